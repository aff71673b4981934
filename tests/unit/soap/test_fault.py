from __future__ import annotations

import pytest

from tests.unit.soap.cases import ANY, any_reply, envelope, fault, reply
from vimlib import vim25
from vimlib.errors import EncodeError, ProtocolError
from vimlib.model import MethodFault
from vimlib.soap import decode_response, encode_fault

VOID = vim25.SessionManager.Logout


def raised(detail: str, string: str = "words") -> MethodFault:
    body = fault(
        f"<faultcode>ServerFaultCode</faultcode><faultstring>{string}</faultstring>{detail}"
    )
    with pytest.raises(MethodFault) as caught:
        decode_response(VOID, body)
    return caught.value


def test_detail_by_xsi_type() -> None:
    found = raised(
        '<detail><InvalidPowerStateFault xmlns="urn:vim25" xsi:type="InvalidPowerState"><existingState>suspended</existingState></InvalidPowerStateFault></detail>'
    )
    assert found == vim25.InvalidPowerState(existingState="suspended")
    assert found.localized_message == "words"


def test_detail_by_element_name() -> None:
    found = raised('<detail><v:NotFoundFault xmlns:v="urn:vim25"/></detail>')
    assert type(found) is vim25.NotFound


def test_detail_without_a_namespace() -> None:
    # as a simulator in Go sends it
    found = raised(
        '<detail><Fault xsi:type="InvalidPowerState"><existingState>poweredOn</existingState></Fault></detail>'
    )
    assert found == vim25.InvalidPowerState(existingState="poweredOn")


def test_xsi_type_says_more_than_the_element() -> None:
    found = raised(
        '<detail><RuntimeFaultFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound"><obj type="Folder">f</obj></RuntimeFaultFault></detail>'
    )
    assert found == vim25.ManagedObjectNotFound(obj=vim25.Folder("f"))


def test_an_unknown_fault_is_its_nearest_known_ancestor() -> None:
    found = raised(
        '<detail><InvalidPowerStateFault xmlns="urn:vim25" xsi:type="TooHot"><existingState>poweredOn</existingState><degrees>90</degrees><where><rack>7</rack></where></InvalidPowerStateFault></detail>'
    )
    assert type(found) is vim25.InvalidPowerState
    assert found.fault_name == "TooHot"
    assert found.existingState == "poweredOn"
    assert found.raw_fields["degrees"] == "90"
    assert found.raw_fields["where"].children == (("rack", "7"),)


def test_a_fault_that_no_description_has() -> None:
    found = raised(
        '<detail><InvalidPropertyFault xmlns="urn:vim25" xsi:type="InvalidPropertyFault"><name>x</name></InvalidPropertyFault></detail>'
    )
    assert type(found) is vim25.InvalidProperty
    assert found.fault_name == "InvalidPropertyFault"
    assert found.name == "x"
    found = raised('<detail><NeverHeardFault xmlns="urn:vim25"><a>1</a></NeverHeardFault></detail>')
    assert type(found) is vim25.MethodFault
    assert found.fault_name == "NeverHeardFault"
    assert found.raw_fields == {"a": "1"}
    assert str(found).startswith("NeverHeardFault: words")


@pytest.mark.parametrize("detail", ["", "<detail/>", "<detail></detail>", "<detail>text</detail>"])
def test_no_detail(detail: str) -> None:
    found = raised(detail)
    assert type(found) is vim25.MethodFault
    assert found.localized_message == "words"
    assert found.raw_fields == {"faultcode": "ServerFaultCode"}


def test_a_cause_chain() -> None:
    found = raised(
        '<detail><NotFoundFault xmlns="urn:vim25" xsi:type="NotFound"><faultCause><fault xsi:type="FileNotFound">'
        "<file>[ds] a</file></fault><localizedMessage>gone</localizedMessage></faultCause>"
        "<faultMessage><key>k</key><message>m</message></faultMessage></NotFoundFault></detail>"
    )
    assert isinstance(found, vim25.NotFound)
    assert found.faultCause is not None
    assert found.faultCause.fault == vim25.FileNotFound(file="[ds] a")
    assert found.faultCause.fault.localized_message == "gone"
    assert found.faultMessage == [vim25.LocalizableMessage(key="k", message="m")]


def test_an_unknown_fault_in_data() -> None:
    value = decode_response(
        ANY,
        any_reply(
            '<value xsi:type="LocalizedMethodFault"><fault xsi:type="TooHot"><degrees>90</degrees></fault>'
            "<localizedMessage>hot</localizedMessage></value>"
        ),
    )[0].value
    assert type(value) is vim25.LocalizedMethodFault
    assert type(value.fault) is vim25.MethodFault
    assert (value.fault.fault_name, value.fault.raw_fields) == ("TooHot", {"degrees": "90"})
    assert value.fault.localized_message == "hot"


def test_two_unknown_faults_do_not_share_their_fields() -> None:
    one = '<value xsi:type="LocalizedMethodFault"><fault xsi:type="TooHot"><degrees>{}</degrees></fault></value>'
    body = reply(
        "QueryOptions",
        "".join(f"<returnval><key>k</key>{one.format(i)}</returnval>" for i in (1, 2)),
    )
    values = [option.value.fault.raw_fields for option in decode_response(ANY, body)]
    assert values == [{"degrees": "1"}, {"degrees": "2"}]


def test_more_than_one_detail() -> None:
    found = raised(
        '<detail><NotFoundFault xmlns="urn:vim25"/><NotSupportedFault xmlns="urn:vim25"/></detail>'
    )
    assert type(found) is vim25.NotFound


def test_what_is_sent_is_raised() -> None:
    sent = vim25.InvalidProperty(name="a<b")
    body = encode_fault(sent, message="no such property")
    assert body == envelope(
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no such property</faultstring>"
        '<detail><InvalidPropertyFault xmlns="urn:vim25" xsi:type="InvalidProperty"><name>a&lt;b</name>'
        "</InvalidPropertyFault></detail></soapenv:Fault>"
    )
    with pytest.raises(vim25.InvalidProperty) as caught:
        decode_response(VOID, body)
    assert caught.value == sent


def test_a_young_fault_goes_as_an_old_one() -> None:
    # GuestOperationsUnavailable came with 5.0 under GuestOperationsFault, also of 5.0, of VimFault.
    body = encode_fault(vim25.GuestOperationsUnavailable(), version="4.1")
    assert b'<VimFaultFault xmlns="urn:vim25" xsi:type="VimFault">' in body


def test_a_fault_that_does_not_fit() -> None:
    with pytest.raises(EncodeError) as caught:
        encode_fault(vim25.InvalidProperty(name=5))  # type: ignore[arg-type]
    assert caught.value.path == "name"
    with pytest.raises(EncodeError):
        encode_fault(vim25.NotFound(), message="\x00")


@pytest.mark.parametrize(
    "detail",
    [
        '<NotFoundFault xmlns="urn:vim25" xsi:type="a&#10;b&#x9b;{}"/>',
        '<ManagedObjectNotFoundFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound"><obj type="Folder">a\n&#x9b;{}</obj></ManagedObjectNotFoundFault>',
        '<ManagedObjectNotFoundFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound"><obj type="a&#10;b&#x9b;{}">f</obj></ManagedObjectNotFoundFault>',
        '<NotFoundFault xmlns="urn:vim25" xsi:type="NotFound"><faultMessage><key>a\n&#x9b;{}</key></faultMessage></NotFoundFault>',
    ],
    ids=["name", "id", "kind", "message"],
)  # fmt: skip
def test_what_a_host_names_can_neither_forge_a_line_nor_fill_it(detail: str) -> None:
    found = raised(f"<detail>{detail.format('x' * 5000)}</detail>")
    for text in (str(found), repr(found)):
        assert text.isprintable()
        assert len(text) < 400


def test_a_prefix_that_nobody_declared_is_shown_in_short() -> None:
    for name in ("x" * 5000, "a&#10;b"):
        with pytest.raises(ProtocolError, match="undeclared prefix") as caught:
            decode_response(ANY, any_reply(f'<value xsi:type="q:{name}">1</value>'))
        assert len(str(caught.value)) < 200
        assert str(caught.value).isprintable()


def test_control_characters_of_a_message_are_escaped_where_it_is_shown() -> None:
    found = raised("", string="a\r\nb\u202e")
    assert "\n" not in str(found)
    assert "\u202e" not in str(found)
