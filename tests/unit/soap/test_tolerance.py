"""What a host does not keep to: numbers beyond their range, faults that lack fields."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.unit.soap.cases import ANY, DECODERS, any_reply, fault, feed_all, reply
from vimlib import vim25
from vimlib.errors import EncodeError, ProtocolError
from vimlib.model import MethodFault
from vimlib.soap import Typed, encode_response

TASK = vim25.PropertyCollector.RetrievePropertiesEx

pytestmark = pytest.mark.parametrize("decoder", DECODERS)


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("byte", "128"), ("byte", "-129"), ("short", "32768"), ("int", "4294967295"), ("int", "-2147483649"),
        ("long", "9" * 19), ("long", "1" * 21), ("long", "-" + "1" * 400), ("unsignedInt", "-1"),
    ],
)  # fmt: skip
def test_a_number_beyond_its_range_is_kept_as_read(decoder: Any, type_: str, text: str) -> None:
    body = any_reply(f'<value xsi:type="xsd:{type_}">{text}</value>')
    options = feed_all(decoder(ANY), body)
    assert options[0].value == int(text)
    assert options[0].value.type == f"xsd:{type_}"
    # No host would take it.
    with pytest.raises(EncodeError, match=f"xsd:{type_} must be") as caught:
        encode_response(ANY, options)
    assert caught.value.path == "returnval[0].value"
    with pytest.raises(ProtocolError, match=f"out of range for xsd:{type_}") as refused:
        feed_all(decoder(ANY, strict=True), body)
    assert refused.value.path == "returnval[0].value"


def test_the_rest_of_a_reply_is_read_around_such_a_number(
    decoder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    vim25.BINDING.codec.clear()
    body = any_reply(
        '<value xsi:type="VirtualHardware"><numCPU>5000000000</numCPU><memoryMB>1</memoryMB></value>'
    )
    with caplog.at_level(logging.WARNING, "vimlib.soap"):
        for step in (0, 3):
            hardware = feed_all(decoder(ANY), body, step)[0].value
            assert hardware == vim25.VirtualHardware(numCPU=5000000000, memoryMB=1)
    assert [record.getMessage() for record in caplog.records] == [
        (
            "VirtualHardware: invalid reply, numCPU: out of range for xsd:int: '5000000000'; "
            "kept as read (logged once per type)"
        )
    ]
    hardware.numCPU = Typed.like(hardware.numCPU, 2)
    assert b"<numCPU>2</numCPU>" in encode_response(
        ANY, [vim25.OptionValue(key="k", value=hardware)]
    )


@pytest.mark.parametrize("text", ["", "x", "1.0", "0x1", "1" * 2000])
def test_what_is_no_number_is_refused(decoder: Any, text: str) -> None:
    body = any_reply(f'<value xsi:type="xsd:int">{text}</value>')
    for strict in (False, True):
        with pytest.raises(ProtocolError, match="invalid xsd:int"):
            feed_all(decoder(ANY, strict=strict), body)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        "",
        "<requestedState></requestedState><existingState>poweredOn</existingState>",
        "<faultCause><localizedMessage>m</localizedMessage></faultCause><existingState>poweredOn</existingState>",
        "<faultMessage><key>k</key><arg><key>a</key></arg></faultMessage>",
    ],
)
def test_a_fault_that_lacks_a_field_is_raised(decoder: Any, fields: str, strict: bool) -> None:
    body = fault(
        "<faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail>"
        f'<InvalidPowerStateFault xmlns="urn:vim25" xsi:type="InvalidPowerState">{fields}</InvalidPowerStateFault></detail>'
    )
    with pytest.raises(vim25.InvalidPowerState) as caught:
        feed_all(decoder(ANY, strict=strict), body)
    assert caught.value.localized_message == "no"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("number", ["", "x", "99999999999"])
def test_a_fault_with_a_field_that_is_no_value_is_raised(
    decoder: Any, number: str, strict: bool
) -> None:
    body = fault(
        '<detail><NotEnoughCpusFault xmlns="urn:vim25" xsi:type="NotEnoughCpus">'
        f"<numCpuDest>{number}</numCpuDest><numCpuVm>4</numCpuVm></NotEnoughCpusFault></detail>"
    )
    with pytest.raises(vim25.NotEnoughCpus) as caught:
        feed_all(decoder(ANY, strict=strict), body)
    assert caught.value.numCpuVm == 4
    assert caught.value.numCpuDest == (99999999999 if number.startswith("9") else None)


def test_strict_mode_reads_the_fault_of_a_failed_task_that_lacks_a_field(
    decoder: Any,
) -> None:
    body = reply(
        "RetrievePropertiesEx",
        '<returnval><objects><obj type="Task">t</obj><propSet><name>info.error</name>'
        '<val xsi:type="LocalizedMethodFault"><fault xsi:type="InvalidPowerState">'
        "<existingState>poweredOn</existingState></fault></val></propSet></objects></returnval>",
    )
    error = feed_all(decoder(TASK, strict=True), body).objects[0].propSet[0].val
    assert isinstance(error.fault, vim25.InvalidPowerState)
    assert isinstance(error.fault, MethodFault)
    assert error.fault.requestedState is None
