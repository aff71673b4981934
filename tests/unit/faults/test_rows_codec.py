"""Replies that say they are what they are not: rows 25 and 27 of the catalogue of faults.

What stands in `tests/unit/soap` in full is here once a row, through the backend that clients use.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.soap.cases import CONTENT, reply
from vimlib import vim25
from vimlib.errors import ProtocolError
from vimlib.soap import Unknown, decode_response

OBJ = '<obj type="VirtualMachine">vm-1</obj>'


def retrieved(inner: str, *, strict: bool = False) -> Any:
    body = reply("RetrievePropertiesEx", f"<returnval>{inner}</returnval>")
    return decode_response(CONTENT, body, strict=strict)


def value_of(val: str, *, strict: bool = False) -> Any:
    inner = f"<objects>{OBJ}<propSet><name>p</name>{val}</propSet></objects>"
    return retrieved(inner, strict=strict).objects[0].propSet[0].val


def disk(inner: str) -> str:
    return f'<val xsi:type="VirtualDisk"><key>2000</key>{inner}</val>'


WRONG = {
    "a data object for a field of text": ('<token xsi:type="Description"/>', "returnval.token"),
    "another data object": ('<objects xsi:type="Description"/>', "returnval.objects[0]"),
    "a supertype of the declared": ('<objects xsi:type="DynamicData"/>', "returnval.objects[0]"),
    "a string for a data object": ('<objects xsi:type="xsd:string"/>', "returnval.objects[0]"),
    "an enumeration for a data object": (
        '<objects xsi:type="VirtualMachinePowerState"/>',
        "returnval.objects[0]",
    ),
    "a number for text": (
        f'<objects>{OBJ}<propSet><name xsi:type="xsd:int">1</name></propSet></objects>',
        "returnval.objects[0].propSet[0].name",
    ),
    "text for a reference": (
        '<objects><obj xsi:type="xsd:string" type="Folder">f</obj></objects>',
        "returnval.objects[0].obj",
    ),
    "a device where a backing is due": (
        f"<objects>{OBJ}<propSet><name>p</name>"
        + disk('<backing xsi:type="VirtualDisk"><key>1</key></backing>')
        + "</propSet></objects>",
        "returnval.objects[0].propSet[0].val.backing",
    ),
    "itself, where it does not fit": (
        (
            f'<objects>{OBJ}<propSet><name>p</name><val xsi:type="ObjectContent">{OBJ}'
            '<propSet xsi:type="ObjectContent"/></val></propSet></objects>'
        ),
        "returnval.objects[0].propSet[0].val.propSet[0]",
    ),
}


@pytest.mark.parametrize(("inner", "path"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("strict", [False, True])
def test_row_25_a_type_that_does_not_fit_is_refused_with_its_path(
    inner: str, path: str, strict: bool
) -> None:
    with pytest.raises(ProtocolError) as caught:
        retrieved(inner, strict=strict)
    assert caught.value.path == path
    assert path in str(caught.value)


def test_row_25_a_type_that_nobody_knows_is_kept_or_read_as_declared() -> None:
    assert value_of('<val xsi:type="OfTomorrow"><a>1</a></val>') == Unknown(
        "OfTomorrow", "", (("a", "1"),)
    )
    result = retrieved(
        f'<token xsi:type="TextOfTomorrow">t</token><objects xsi:type="X">{OBJ}</objects>'
    )
    assert result.token == "t"
    assert type(result.objects[0]) is vim25.ObjectContent


def test_row_25_a_name_of_another_namespace_is_not_ours() -> None:
    found = value_of('<val xmlns:o="urn:other" xsi:type="o:VirtualDisk"><key>1</key></val>')
    assert not isinstance(found, vim25.VirtualDisk)
    found = value_of('<val xmlns:o="urn:other" o:type="VirtualDisk"><key>1</key></val>')
    assert not isinstance(found, vim25.VirtualDisk)


def test_row_25_an_abstract_type_is_read_as_what_it_declares() -> None:
    """The API's abstract types have fields; a reply that names one gets those and no others."""
    found = value_of(
        '<val xsi:type="VirtualDevice"><key>7</key><capacityInKB>9</capacityInKB></val>'
    )
    assert type(found) is vim25.VirtualDevice
    assert found.key == 7
    assert not hasattr(found, "capacityInKB")


def test_row_25_types_within_themselves_end_at_the_depth_limit() -> None:
    inner, levels = OBJ, 0
    while levels < 200:
        inner = f'{OBJ}<propSet><name>p</name><val xsi:type="ObjectContent">{inner}</val></propSet>'
        levels += 1
    with pytest.raises(ProtocolError):
        retrieved(f"<objects>{inner}</objects>")


def test_row_25_no_field_holds_what_its_type_does_not_allow() -> None:
    """Every leaf of a device, with every other leaf's text: the right type or an error."""
    texts = ["x", "", "1", "true", "2026-01-02T03:04:05Z", "9" * 30, "-1", "1.5"]
    read, refused = 0, set()
    for name, kind in (("key", int), ("capacityInKB", int), ("unitNumber", int)):
        for text in texts:
            own = "<key>1</key>" if name != "key" else ""
            try:
                found = value_of(f'<val xsi:type="VirtualDisk">{own}<{name}>{text}</{name}></val>')
            except ProtocolError as error:
                refused.add(error.path.rpartition(".")[2])
                continue
            assert type(getattr(found, name)) is kind
            read += 1
    assert read, "some of the texts are numbers"
    assert refused == {"key", "capacityInKB", "unitNumber"}


def test_row_27_unknown_fields_are_skipped_and_the_others_are_kept() -> None:
    found = value_of(
        disk(
            "<ofTomorrow a='b'><key>9</key><deep><deeper/></deep></ofTomorrow>"
            "<capacityInKB>8</capacityInKB><x/>"
        ),
        strict=True,
    )
    assert (found.key, found.capacityInKB) == (2000, 8)


def test_row_27_a_required_field_that_is_missing_is_named_by_its_path() -> None:
    with pytest.raises(ProtocolError) as caught:
        retrieved("<objects/>", strict=True)
    assert caught.value.path == "returnval.objects[0].obj"
    # Old hosts leave out what newer schemas require: by default None stands for it, and it is said.
    assert retrieved("<objects/>").objects[0].obj is None


def test_row_27_order_does_not_matter() -> None:
    one = value_of(
        '<val xsi:type="VirtualDisk"><key>1</key><unitNumber>2</unitNumber><capacityInKB>3</capacityInKB></val>'
    )
    two = value_of(
        '<val xsi:type="VirtualDisk"><capacityInKB>3</capacityInKB><unitNumber>2</unitNumber><key>1</key></val>'
    )
    assert one == two


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "2147483648"),
        ("int", "-2147483649"),
        ("short", "32768"),
        ("byte", "-129"),
        ("long", "9223372036854775808"),
        ("int", "1e3"),
        ("dateTime", "NaN"),
        ("dateTime", "2026-13-40T00:00:00Z"),
        ("dateTime", "0000-00-00T00:00:00Z"),
        ("boolean", "maybe"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_row_27_a_value_out_of_range_is_refused_with_its_path(
    kind: str, text: str, strict: bool
) -> None:
    with pytest.raises(ProtocolError) as caught:
        value_of(f'<val xsi:type="xsd:{kind}">{text}</val>', strict=strict)
    assert caught.value.path == "returnval.objects[0].propSet[0].val"
