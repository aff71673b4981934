"""Replies recorded of a standalone ESX 4.1: what is decoded and encoded again is what the host sent.

They are in the source package of Debian's fusioninventory-agent. Compared is each leaf: its path, its
type, which is the declared one where the host wrote none, and its value. Left out are the 106 elements
`dynamicType`, all of them empty: the API reserves them, and generated classes do not have them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree

from tests.integration import recordings
from tests.unit.soap.cases import DECODERS, feed_all
from vimlib import vim25
from vimlib.model import Enumeration, Field, wire_fields
from vimlib.soap import encode_response

METHODS: Final[dict[str, Any]] = {
    "Login": vim25.SessionManager.Login,
    "ServiceInstance": vim25.ServiceInstance.RetrieveServiceContent,
    "RetrieveProperties": vim25.PropertyCollector.RetrieveProperties,
    "RetrievePropertiesVMList": vim25.PropertyCollector.RetrieveProperties,
    **{
        f"RetrieveProperties-VM-{machine}": vim25.PropertyCollector.RetrieveProperties
        for machine in (16, 32, 48, 64)
    },
}
XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
XSD: Final = "http://www.w3.org/2001/XMLSchema"
RESERVED: Final = "dynamicType"
REFERENCE: Final = "ManagedObjectReference"
ARRAYS: Final = {f"ArrayOf{name[:1].upper()}{name[1:]}": name for name in
                 "string boolean byte short int long float double dateTime base64Binary anyURI anyType".split()}  # fmt: skip

Leaf = tuple[str, str, Any]


@pytest.fixture(scope="module")
def recorded() -> Path:
    """A folder with the recorded replies, verified."""
    return recordings.esx_4_1()


def leaves(body: bytes, returns: Field) -> list[Leaf]:
    """Return all leaves of a reply, and its structures without children, by the schema."""
    root = etree.fromstring(body)
    (message,) = root[-1]
    return list(_children(message, {"returnval": returns}, ""))


def _children(element: Any, fields: dict[str, Field], path: str) -> Iterator[Leaf]:
    count: Counter[str] = Counter()
    for child in element:
        name = etree.QName(child).localname
        if name == RESERVED and name not in fields:
            assert child.text is None
            assert len(child) == 0
            continue
        where = f"{path}/{name}[{count[name]}]"
        count[name] += 1
        yield from _leaves(child, fields[name].type, where)


def _leaves(element: Any, declared: str, path: str) -> Iterator[Leaf]:
    type_ = REFERENCE if declared == "ref" else declared
    if XSI_TYPE in element.attrib:
        prefix, _, type_ = element.attrib[XSI_TYPE].rpartition(":")
        assert element.nsmap[prefix or None] in ("urn:vim25", XSD)
    text = element.text or ""
    cls = vim25.BINDING.find(type_)
    if type_ == REFERENCE:
        yield path, type_, (element.get("type"), element.get("serverGuid"), text)
    elif type_.startswith("ArrayOf"):
        item = ARRAYS.get(type_, type_.removeprefix("ArrayOf"))
        yield path, type_, len(element)
        yield from _children(element, {item: Field(item, item, item)}, path)
    elif cls is None or issubclass(cls, Enumeration):
        assert len(element) == 0, path
        yield path, type_, _value(type_, text)
    else:
        yield path, type_, len(element) - len(element.findall(f"{{urn:vim25}}{RESERVED}"))
        yield from _children(element, {field.name: field for field in wire_fields(cls)}, path)


def _value(type_: str, text: str) -> Any:
    """Return the value that a text of that type stands for, in a form that compares."""
    if type_ in ("byte", "short", "int", "long"):
        return int(text)
    if type_ in ("float", "double"):
        return float(text)
    if type_ == "dateTime":
        moment = datetime.fromisoformat(text)
        return moment, moment.utcoffset()
    return text


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", METHODS)
def test_a_reply_is_encoded_as_the_host_sent_it(recorded: Path, name: str, decoder: Any) -> None:
    method: Any = METHODS[name]
    body = (recorded / f"{name}.soap").read_bytes()
    result = feed_all(decoder(method, strict=True), body)
    sent = encode_response(method, result)
    assert leaves(sent, method.returns) == leaves(body, method.returns)
    again = feed_all(decoder(method, strict=True), sent)
    assert again == result
    assert encode_response(method, again) == sent


def test_the_recorded_replies_have_values_of_many_types(recorded: Path) -> None:
    assert {path.stem for path in recorded.glob("*.soap")} == set(METHODS)
    method = METHODS["RetrieveProperties"]
    assert method.returns is not None
    found = leaves((recorded / "RetrieveProperties.soap").read_bytes(), method.returns)
    types = {type_ for _, type_, _ in found}
    assert len(found) > 10_000
    assert {"long", "short", "boolean", "HostSystemPowerState", "ArrayOfCustomFieldDef"} <= types
