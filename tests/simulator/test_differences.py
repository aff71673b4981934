"""The claims of the table of differences and its page about the API, checked against the binding.

A source in the table is prose, but some of its words are claims that are checked here:

`M is of API V`                         the method came with that version, and vcsim's is not older
`M declares F`                          the method declares that very fault
`M declares F, an ancestor of G`        it declares F, and G only by it
`T.p is optional`, `M.p is optional`    a property, field or parameter that may be left out
`T.p is a U`                            its type

Each name of the API is one of the binding: a type, a method, a fault, `T.p` or `M.p`. Where the
host is right by a declared fault, it answers that fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.simulator import page
from tests.simulator.differences import DIFFERENT
from tests.simulator.outcome import Outcome
from tests.simulator.outcomes import OUTCOMES
from vimlib import vim25
from vimlib.model import (
    DataObject,
    Field,
    ManagedObject,
    Method,
    MethodFault,
    parse_fields,
    parse_version,
    wire_fields,
)

BINDING = vim25.BINDING
TYPES = frozenset(BINDING.names())
METHODS = frozenset(BINDING.method_names())

OF_API = re.compile(r"(\w+) is of API ([\d.]*\d)")
DECLARES = re.compile(r"(\w+) declares (\w+)(?:, an ancestor of (\w+))?")
OPTIONAL = re.compile(r"(\w+\.\w+) is optional")
IS_A = re.compile(r"(\w+\.\w+) is an? ([A-Z]\w+)")
MARKS = {"is of API": OF_API, "declares": DECLARES, "is optional": OPTIONAL}

# Not the API's, though written like its names.
OTHERS = frozenset(
    "ESXi VMware VMkernel BusLogic VVol vSAN vApps vCenter vCenters pyVmomi SOAPAction GitHub GiB TiB UUIDs CPUs "
    "ROMs monolithicSparse streamOptimized seSparse".split()
)


def bare(text: str) -> str:
    """Return a text without code, blocks of it, and references to issues."""
    text = re.sub(r"(?s)```.*?```", "", text)
    return re.sub(r"`[^`]*`|\S+#\d+", "", text)


def names(text: str) -> Iterator[str]:
    """Yield words that look like a name of the API: `TwoCapitals`, `Type.property`, `oneCapital`."""
    for word in re.findall(r"\b[A-Za-z]\w*(?:\.[a-z]\w*)?", bare(text)):
        head, _, tail = word.partition(".")
        capitals = sum(letter.isupper() for letter in head)
        if head in OTHERS or head.isupper():
            continue
        if capitals > head[0].isupper() or (tail and head[0].isupper()):
            yield word


def method(name: str) -> Method[..., object]:
    found = BINDING.method(name)
    assert found is not None, f"no method {name}"
    return found


def fault(name: str) -> type[MethodFault]:
    found = BINDING.find(name)
    assert found is not None, f"no fault {name}"
    assert issubclass(found, MethodFault), f"{name} is no fault"
    return found


def fields(name: str) -> tuple[Field, ...]:
    """Return the parameters of a method, the properties of a managed type, the fields of a data type."""
    if name in METHODS:
        return method(name).params
    found = BINDING.find(name)
    assert found is not None, f"no type {name}"
    if issubclass(found, ManagedObject):
        return tuple(
            item
            for cls in found.__mro__
            if issubclass(cls, ManagedObject)
            for item in parse_fields(cls.__dict__.get("_properties_", ""))
        )
    assert issubclass(found, DataObject), f"{name} has no fields"
    return wire_fields(found)


def has_fields(name: str) -> bool:
    found = BINDING.find(name)
    return found is None or issubclass(found, ManagedObject | DataObject)


def field(path: str) -> Field:
    head, _, tail = path.partition(".")
    found = next((item for item in fields(head) if item.name == tail), None)
    assert found is not None, f"{head} has no {tail}"
    return found


def check_name(name: str) -> None:
    if "." in name:
        field(name)
    else:
        assert name in TYPES | METHODS, f"the API has no {name}"


def check_version(name: str, version: str) -> None:
    assert method(name).since == version, f"{name} is of API {method(name).since}"
    vcsim = OUTCOMES["reports_its_api_version"].as_host
    assert parse_version(version) <= parse_version(vcsim), f"vcsim is of API {vcsim}"


def check_declared(name: str, declared: str, meant: str) -> None:
    faults = method(name).faults
    assert declared in faults, f"{name} declares {faults}"
    assert fault(declared)
    if meant:
        assert meant not in faults, f"{name} declares {meant} itself"
        assert fault(declared) in fault(meant).__mro__[1:], f"{declared} is no ancestor of {meant}"


def check(outcome: Outcome) -> None:
    """Check the claims in the source of an outcome."""
    who, _, source = outcome.right.partition(": ")
    text = bare(source)
    for mark, pattern in MARKS.items():
        assert text.count(mark) == len(pattern.findall(text)), f"cannot read: {mark}"
    for name in names(source):
        check_name(name)
    for claimed in OF_API.findall(text):
        check_version(*claimed)
    declared = DECLARES.findall(text)
    for claim in declared:
        check_declared(*claim)
    for path in OPTIONAL.findall(text):
        assert not field(path).required, f"{path} is required"
    for path, kind in IS_A.findall(text):
        assert kind in (field(path).type, field(path).referent), f"{path} is a {field(path)}"
    if who == "here" and declared:
        meant = [fault or plain for _, plain, fault in declared]
        assert outcome.here in meant, f"{outcome.here} is none of {meant}"


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_the_source_of_a_difference_agrees_with_the_binding(name: str) -> None:
    check(DIFFERENT[name])


@pytest.mark.parametrize(
    ("right", "why"),
    [
        ("here: FindAllByUuid is of API 4.1", "is of API 4.0"),
        ("here: FindAllByUID is of API 4.0", "the API has no FindAllByUID"),
        ("here: InstantClone_Task is of API 6.7", "vcsim is of API 6.5"),
        ("here: FindAllByUuid is of API four", "cannot read"),
        ("here: SuspendVM_Task declares InvalidPowerState", "declares"),
        ("here: ExportVm declares InvalidState, an ancestor of InvalidPowerState", "itself"),
        ("here: CreateVM_Task declares FileFault, an ancestor of TooManyHosts", "no ancestor"),
        ("here: CancelTask declares InvalidState", "is none of"),
        ("here: RetrieveOptions.maxObject", "has no maxObject"),
        ("here: RemoveSnapshot_Task.removeChild", "has no removeChild"),
        ("here: EventManager.lastEvent", "has no lastEvent"),
        ("here: it is in missingSet", "no missingSet"),
        ("here: VirtualDiskSpec.diskType is optional", "is required"),
        ("here: TaskInfo.entity is a VirtualDiskManager", "is a Field"),
    ],
)
def test_a_wrong_source_is_detected(right: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check(Outcome(here="NotSupported", vcsim="ok", right=right))


def test_the_page_names_only_items_of_the_api() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    table = text.partition(page.BEGIN)[2].partition(page.END)[0]
    found = set(names(text.replace(table, "")))
    assert len(found) > 40
    known = TYPES | METHODS | {name.removesuffix("_Task") for name in METHODS}
    members = {item.name for name in TYPES | METHODS if has_fields(name) for item in fields(name)}
    assert not found - known - members
