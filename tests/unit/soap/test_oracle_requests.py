"""Each method's call, with arguments of chance, as pyVmomi and zeep write it: equal element for element."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.soap.building import BINDING, Builder
from tests.unit.soap.peers import (
    canon,
    name_real_arguments,
    name_real_things,
    pyvmomi_request,
    zeep_request,
)
from vimlib import vim25
from vimlib.model import ManagedObject, Method
from vimlib.soap import encode_request

pytestmark = pytest.mark.slow

NAMES = sorted(BINDING.method_names())
CHUNKS = [NAMES[at : at + 75] for at in range(0, len(NAMES), 75)]

Call = tuple[Method[..., Any], ManagedObject, dict[str, Any]]


def call(name: str) -> Call:
    method: Any = BINDING.method(name)
    builder = Builder(random.Random(name), portable=True, optional=0.4, adjust=name_real_things)
    args = {field.name: builder.field(field, 1) for field in method.params}
    if name == "UpdateOptions":  # the one whose values are anything at all
        args["changedValue"] = [
            vim25.OptionValue(key=str(index), value=builder.any_value(1)) for index in range(60)
        ]
    name_real_arguments(method, args)
    return method, method.owner("moid-1"), args


@pytest.mark.parametrize("names", CHUNKS, ids=lambda names: f"{names[0]}..{names[-1]}")
@pytest.mark.parametrize("peer", [pyvmomi_request, zeep_request])
def test_a_peer_says_the_same(peer: Any, names: list[str]) -> None:
    for name in names:
        method, this, args = call(name)
        assert canon(peer(method, this, args)) == canon(encode_request(method, this, args)), name


def test_the_calls_use_all_that_a_call_can() -> None:
    bodies = {name: encode_request(*call(name)).decode() for name in NAMES}
    uses = {
        "inheritance": 'xsi:type="Virtual',
        "int in anyType": 'xsi:type="xsd:int"',
        "string in anyType": 'xsi:type="xsd:string"',
        "time in anyType": 'xsi:type="xsd:dateTime"',
        "bytes in anyType": 'xsi:type="xsd:base64Binary"',
        "array in anyType": 'xsi:type="ArrayOf',
        "reference in anyType": 'xsi:type="ManagedObjectReference"',
        "reference": 'type="Datastore"',
        "fault": "<fault ",
        "escape": "&amp;",
    }
    counts = {use: sum(mark in body for body in bodies.values()) for use, mark in uses.items()}
    assert all(counts.values()), counts
    assert sum(any(mark in body for mark in uses.values()) for body in bodies.values()) >= 60
