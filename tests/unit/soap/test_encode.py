from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from msgspec import UNSET

from tests.unit.soap.cases import ANY_VALUES, TYPED, UTC_NOON, envelope
from vimlib import vim25
from vimlib.errors import EncodeError, VersionError
from vimlib.soap import Limits, Typed, decode_request, encode_request

UPDATE = vim25.OptionManager.UpdateOptions
CREATE = vim25.Folder.CreateVM_Task
RECONFIGURE = vim25.VirtualMachine.ReconfigVM_Task
VM = vim25.VirtualMachine("vm-1")


def update(value: Any, **options: Any) -> bytes:
    return encode_request(
        UPDATE,
        ("OptionManager", "o"),
        {"changedValue": [vim25.OptionValue(key="k", value=value)]},
        **options,
    )


def updated(xml: str) -> bytes:
    return envelope(
        '<UpdateOptions xmlns="urn:vim25"><_this type="OptionManager">o</_this>'
        f"<changedValue><key>k</key>{xml}</changedValue></UpdateOptions>"
    )


def reconfigured(xml: str) -> bytes:
    return envelope(
        '<ReconfigVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-1</_this>'
        f"<spec>{xml}</spec></ReconfigVM_Task>"
    )


def reconfigure(spec: Any, **options: Any) -> bytes:
    return encode_request(RECONFIGURE, VM, {"spec": spec}, **options)


@pytest.mark.parametrize(
    ("value", "xml"), [row[1:] for row in ANY_VALUES], ids=[row[0] for row in ANY_VALUES]
)
def test_any_type_from_the_python_value(value: Any, xml: str) -> None:
    assert update(value) == updated(xml)


@pytest.mark.parametrize(("value", "xml", "_"), TYPED, ids=[row[0].type for row in TYPED])
def test_any_type_as_told(value: Typed, xml: str, _: Any) -> None:
    assert update(value) == updated(xml)


def test_fields_stand_in_the_order_of_the_wire_whatever_the_call_s() -> None:
    spec = vim25.VirtualMachineConfigSpec(memoryMB=64, guestId="other", name="n", numCPUs=2)
    assert reconfigure(spec) == reconfigured(
        "<name>n</name><guestId>other</guestId><numCPUs>2</numCPUs><memoryMB>64</memoryMB>"
    )


def test_a_subtype_says_what_it_is_and_a_declared_type_does_not() -> None:
    spec = vim25.VirtualMachineConfigSpec(
        deviceChange=[vim25.VirtualDeviceConfigSpec(device=vim25.VirtualCdrom(key=-1))]
    )
    assert reconfigure(spec) == reconfigured(
        '<deviceChange><device xsi:type="VirtualCdrom"><key>-1</key></device></deviceChange>'
    )


@pytest.mark.parametrize(
    ("absent", "no_array"), [(None, None), (UNSET, UNSET), (None, []), (None, ())]
)
def test_what_is_not_given_is_not_sent(absent: Any, no_array: Any) -> None:
    spec = vim25.VirtualMachineConfigSpec(name=absent, deviceChange=no_array, flags=absent)
    assert reconfigure(spec) == reconfigured("")


def test_a_required_array_may_be_empty_and_may_not_be_left_out() -> None:
    method = vim25.PropertyCollector.RetrieveProperties
    this = ("PropertyCollector", "pc")
    assert b"specSet" not in encode_request(method, this, {"specSet": []})
    with pytest.raises(EncodeError) as caught:
        encode_request(method, this, {})
    assert caught.value.path == "specSet"


def test_words_that_python_claims() -> None:
    event = vim25.AlarmClearedEvent(
        key=1, chainId=1, createdTime=UTC_NOON, userName="u",
        alarm=vim25.AlarmEventArgument(name="a", alarm=vim25.Alarm("alarm-1")),
        source=vim25.ManagedEntityEventArgument(name="n", entity=VM),
        entity=vim25.ManagedEntityEventArgument(name="n", entity=VM),
        from_="red",
    )  # fmt: skip
    assert b"<from>red</from>" in update(event)


class Power(enum.StrEnum):
    ON = "poweredOn"


class MixedPower(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    ON = "poweredOn"


@pytest.mark.parametrize("value", [Power.ON, MixedPower.ON])
def test_a_member_of_a_str_enum_goes_as_its_value(value: str) -> None:
    filter_ = vim25.VmConfigFileQueryFilter(matchConfigVersion=[1], encrypted=True)
    assert b">true<" in update(filter_)
    assert updated('<value xsi:type="VirtualMachinePowerState">poweredOn</value>') == update(
        Typed("VirtualMachinePowerState", value)
    )


def test_numbers_of_numeric_enums() -> None:
    class Key(enum.IntEnum):
        DISK = 2000

    assert b">2000<" in update(Key.DISK)


def test_a_subclass_of_the_user_s_goes_as_its_generated_base() -> None:
    class Note(vim25.OptionValue):
        mine: int = 0

    assert update(Note(key="a", value=True, mine=3)) == updated(
        '<value xsi:type="OptionValue"><key>a</key><value xsi:type="xsd:boolean">true</value></value>'
    )


def test_a_float_field_takes_an_int() -> None:
    info = vim25.VirtualDiskVFlashCacheConfigInfo(reservationInMB=1)
    assert b"<reservationInMB>1</reservationInMB>" in update(info)
    point = vim25.PerfMetricSeriesCSV(id=vim25.PerfMetricId(counterId=1, instance=""), value="1")
    assert b"<instance></instance>" in update(point)


def test_a_header() -> None:
    body = encode_request(
        vim25.ServiceInstance.CurrentTime,
        ("ServiceInstance", "si"),
        {},
        header={"operationID": "a<b"},
    )
    assert (
        b"<soapenv:Header><operationID>a&lt;b</operationID></soapenv:Header><soapenv:Body>" in body
    )


@pytest.mark.parametrize("header", [{"a b": "x"}, {"<a>": "x"}, {"a": "\x00"}, {"": "x"}])
def test_a_header_that_xml_cannot_carry(header: dict[str, str]) -> None:
    with pytest.raises(EncodeError):
        encode_request(
            vim25.ServiceInstance.CurrentTime, ("ServiceInstance", "si"), {}, header=header
        )


def nested(depth: int) -> vim25.SelectionSpec:
    inner: list[vim25.SelectionSpec] = []
    for _ in range(depth):
        inner = [vim25.TraversalSpec(type="Folder", path="childEntity", selectSet=inner)]
    return inner[0]


def disk(**fields: Any) -> vim25.VirtualMachineConfigSpec:
    device = vim25.VirtualDisk(**{"key": -1, "capacityInKB": 1, **fields})
    return vim25.VirtualMachineConfigSpec(
        deviceChange=[vim25.VirtualDeviceConfigSpec(device=device)]
    )


REFUSED: list[tuple[str, Any, str]] = [
    ("bool for int", disk(key=True), "spec.deviceChange[0].device.key"),
    ("str for int", disk(key="1"), "spec.deviceChange[0].device.key"),
    ("float for int", disk(key=1.0), "spec.deviceChange[0].device.key"),
    ("int too large", disk(key=2**31), "spec.deviceChange[0].device.key"),
    ("long too small", disk(capacityInKB=-(2**63) - 1), "spec.deviceChange[0].device.capacityInKB"),
    ("required", vim25.VirtualMachineConfigSpec(deviceChange=[vim25.VirtualDeviceConfigSpec(device=vim25.VirtualDisk(key=1))]), "spec.deviceChange[0].device.capacityInKB"),  # type: ignore[call-arg]
    ("int for str", vim25.VirtualMachineConfigSpec(name=5), "spec.name"),  # type: ignore[arg-type]
    ("bytes for str", vim25.VirtualMachineConfigSpec(name=b"a"), "spec.name"),  # type: ignore[arg-type]
    ("NUL", vim25.VirtualMachineConfigSpec(name="a\x00"), "spec.name"),
    ("escape", vim25.VirtualMachineConfigSpec(name="\x1b[31m"), "spec.name"),
    ("surrogate", vim25.VirtualMachineConfigSpec(name="\ud800"), "spec.name"),
    ("not a character", vim25.VirtualMachineConfigSpec(name="\uffff"), "spec.name"),
    ("int for bool", vim25.VirtualMachineConfigSpec(memoryHotAddEnabled=1), "spec.memoryHotAddEnabled"),  # type: ignore[arg-type]
    ("naive datetime", vim25.VirtualMachineConfigSpec(createDate=datetime(2026, 1, 1)), "spec.createDate"),
    ("str for datetime", vim25.VirtualMachineConfigSpec(createDate="2026-01-01T00:00:00Z"), "spec.createDate"),  # type: ignore[arg-type]
    ("list for str", vim25.VirtualMachineConfigSpec(name=[]), "spec.name"),  # type: ignore[arg-type]
    ("one for an array", vim25.VirtualMachineConfigSpec(extraConfig=vim25.OptionValue(key="a", value=1)), "spec.extraConfig"),  # type: ignore[arg-type]
    ("str for an array", vim25.VirtualMachineConfigSpec(cpuFeatureMask="abc"), "spec.cpuFeatureMask"),  # type: ignore[arg-type]
    ("None in an array", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=1), None]), "spec.extraConfig[1]"),  # type: ignore[list-item]
    ("no subtype", disk(backing=vim25.Description(label="a", summary="b")), "spec.deviceChange[0].device.backing"),
    ("dict for an object", disk(backing={"fileName": "a"}), "spec.deviceChange[0].device.backing"),
    ("list for an object", disk(backing=[vim25.VirtualDiskFlatVer2BackingInfo(fileName="a", diskMode="persistent")]), "spec.deviceChange[0].device.backing"),
    ("object of no binding", vim25.VirtualMachineConfigSpec(deviceChange=[vim25.VirtualDeviceConfigSpec(device=vim25.VirtualDisk)]), "spec.deviceChange[0].device"),  # type: ignore[arg-type]
    ("reference for an object", vim25.VirtualMachineConfigSpec(flags=VM), "spec.flags"),  # type: ignore[arg-type]
    ("untyped any", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=object())]), "spec.extraConfig[0].value"),
    ("empty any", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=[])]), "spec.extraConfig[0].value"),
    ("any out of range", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=2**63)]), "spec.extraConfig[0].value"),
    ("typed out of range", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("xsd:short", 2**15))]), "spec.extraConfig[0].value"),
    ("typed unknown", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("Nonesuch", 1))]), "spec.extraConfig[0].value"),
    ("typed xsd unknown", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("xsd:nonesuch", 1))]), "spec.extraConfig[0].value"),
    ("typed prefix", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("x:int", 1))]), "spec.extraConfig[0].value"),
    ("typed array unknown", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("ArrayOfNonesuch", []))]), "spec.extraConfig[0].value"),
    ("in an any array", vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="a", value=Typed("ArrayOfInt", [1, "b"]))]), "spec.extraConfig[0].value[1]"),
    ("tuple as reference", disk(backing=vim25.VirtualDiskFlatVer2BackingInfo(fileName="a", diskMode="b", datastore=("Datastore", "ds"))), "spec.deviceChange[0].device.backing.datastore"),  # type: ignore[arg-type]
    ("reference to another kind", disk(backing=vim25.VirtualDiskFlatVer2BackingInfo(fileName="a", diskMode="b", datastore=VM)), "spec.deviceChange[0].device.backing.datastore"),  # type: ignore[arg-type]
    ("control character in an id", disk(backing=vim25.VirtualDiskFlatVer2BackingInfo(fileName="a", diskMode="b", datastore=vim25.Datastore("\x07"))), "spec.deviceChange[0].device.backing.datastore"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "path"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_value_that_does_not_fit_is_refused_with_its_path(spec: Any, path: str) -> None:
    with pytest.raises(EncodeError) as caught:
        reconfigure(spec)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.outcome == "not_sent"


def test_infinity_is_legal_in_xsd_and_too_much_for_a_float_is_not() -> None:
    assert b">INF<" in update(Typed("xsd:float", float("inf")))
    assert b">NaN<" in update(float("nan"))
    for value in (1e39, 10**400):
        with pytest.raises(EncodeError):
            update(Typed("xsd:float", value))


def test_a_value_that_contains_itself() -> None:
    spec = vim25.TraversalSpec(type="Folder", path="childEntity")
    spec.selectSet.append(spec)
    with pytest.raises(EncodeError, match="too deep"):
        update(spec)
    assert update(nested(100)).count(b"<selectSet") == 99
    with pytest.raises(EncodeError, match="too deep"):
        update(nested(128))
    values: list[Any] = [1]
    values.append(values)
    with pytest.raises(EncodeError, match="too deep"):
        update(values)
    assert b'ArrayOfAnyType"><anyType xsi:type="xsd:short">1<' in update([Typed("xsd:short", 1)])
    assert update([[1], ["a", [2]]]) == updated(
        '<value xsi:type="ArrayOfAnyType"><anyType xsi:type="ArrayOfInt"><int>1</int></anyType>'
        '<anyType xsi:type="ArrayOfAnyType"><anyType xsi:type="xsd:string">a</anyType>'
        '<anyType xsi:type="ArrayOfInt"><int>2</int></anyType></anyType></value>'
    )


@pytest.mark.parametrize("name", ["Spec", "_this", "nonesuch"])
def test_an_unknown_parameter(name: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_request(RECONFIGURE, VM, {name: 1})
    assert caught.value.path == name


def test_the_wrong_object_to_call() -> None:
    with pytest.raises(EncodeError) as caught:
        encode_request(RECONFIGURE, vim25.Folder("f"), {"spec": vim25.VirtualMachineConfigSpec()})
    assert caught.value.path == "_this"
    for nothing in (None, "vm-1"):
        with pytest.raises(EncodeError) as caught:
            encode_request(vim25.VirtualMachine.RebootGuest, nothing, {})  # type: ignore[arg-type]
        assert caught.value.path == "_this"
    # A host may have kinds of objects that we do not know.
    assert b'type="SuperVM"' in encode_request(
        vim25.VirtualMachine.RebootGuest, ("SuperVM", "x"), {}
    )


def test_a_request_too_large() -> None:
    with pytest.raises(EncodeError, match="bytes"):
        reconfigure(vim25.VirtualMachineConfigSpec(annotation="x" * 5000), limits=Limits(wire=4000))


# Versions


def test_what_a_host_cannot_know_is_refused() -> None:
    spec = vim25.VirtualMachineConfigSpec(firmware="efi")
    with pytest.raises(VersionError) as caught:
        reconfigure(spec, version="4.1")
    assert caught.value.item == "VirtualMachineConfigSpec.firmware"
    assert (caught.value.needs, caught.value.speaks) == ("5.0", "4.1")
    assert "VirtualMachineConfigSpec.firmware needs API 5.0, the host has API 4.1" in str(
        caught.value
    )
    assert reconfigure(spec, version="5.0") == reconfigure(spec)


def test_a_refusal_names_the_host_and_what_to_try() -> None:
    spec = vim25.VirtualMachineConfigSpec(firmware="efi")
    with pytest.raises(VersionError) as caught:
        reconfigure(spec, version="4.1", host="esx1")
    assert str(caught.value) == (
        "VirtualMachineConfigSpec.firmware needs API 5.0, esx1 has API 4.1. "
        'Omit it, or send with newer="drop" to leave out fields that the host does not know.'
    )
    send_nmi = vim25.VirtualMachine.SendNMI
    with pytest.raises(VersionError, match=r"SendNMI needs API 6\.0, esx1 has API 4\.1") as caught:
        encode_request(send_nmi, VM, {}, version="4.1", host="esx1")
    assert "drop" not in caught.value.hint  # a method is never left out


def test_what_a_host_cannot_know_is_dropped_on_demand() -> None:
    spec = vim25.VirtualMachineConfigSpec(name="a", firmware="efi")
    assert reconfigure(spec, version="4.1", newer="drop") == reconfigured("<name>a</name>")


def test_a_method_too_young_is_refused_either_way() -> None:
    newer: Literal["refuse", "drop"]
    for newer in ("refuse", "drop"):
        with pytest.raises(VersionError) as caught:
            encode_request(
                vim25.PropertyCollector.RetrievePropertiesEx,
                ("PropertyCollector", "pc"),
                {"specSet": [], "options": vim25.RetrieveOptions()},
                version="4.0",
                newer=newer,
            )
        assert caught.value.item == "PropertyCollector.RetrievePropertiesEx"
        assert caught.value.needs == "4.1"


def test_a_parameter_too_young() -> None:
    young = vim25.VirtualMachine.RevertToCurrentSnapshot_Task
    assert {item.name: item.since for item in young.params}["suppressPowerOn"] == "2.5u2server"
    with pytest.raises(VersionError) as caught:
        encode_request(young, VM, {"suppressPowerOn": True}, version="2.5")
    assert caught.value.item == "RevertToCurrentSnapshot_Task.suppressPowerOn"
    assert b"suppressPowerOn" not in encode_request(
        young, VM, {"suppressPowerOn": True}, version="2.5", newer="drop"
    )


def test_a_subtype_too_young() -> None:
    # VirtualVmxnet3 came with 4.0 under VirtualVmxnet and VirtualEthernetCard of 2.0.
    card = vim25.VirtualVmxnet3(key=-1, macAddress="00:50:56:00:00:01")
    spec = vim25.VirtualMachineConfigSpec(deviceChange=[vim25.VirtualDeviceConfigSpec(device=card)])
    with pytest.raises(VersionError) as caught:
        reconfigure(spec, version="2.5")
    assert caught.value.item == "VirtualVmxnet3"
    assert b'xsi:type="VirtualVmxnet"' in reconfigure(spec, version="2.5", newer="drop")
    assert b'xsi:type="VirtualVmxnet3"' in reconfigure(spec, version="4.0")


def test_an_array_and_an_enumeration_too_young_as_any_value() -> None:
    for value, item, old in (
        ([vim25.VirtualVmxnet3(key=-1)], "ArrayOfVirtualVmxnet3", "ArrayOfVirtualVmxnet"),
        (Typed("ArrayOfVirtualVmxnet3", []), "ArrayOfVirtualVmxnet3", "ArrayOfVirtualVmxnet"),
        (
            Typed("VirtualMachineFaultToleranceState", "running"),
            "VirtualMachineFaultToleranceState",
            "xsd:string",
        ),
    ):
        with pytest.raises(VersionError) as caught:
            update(value, version="2.5")
        assert caught.value.item == item.removeprefix("ArrayOf")
        assert f'<value xsi:type="{item}">' in update(value, version="4.0").decode()
        assert f'<value xsi:type="{old}">' in update(value, version="2.5", newer="drop").decode()


def test_decoding_gives_back_what_was_sent() -> None:
    spec = disk(
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName="[ds] a/b.vmdk", diskMode="persistent", datastore=vim25.Datastore("ds-1")
        )
    )
    spec.createDate = datetime(2020, 1, 1, tzinfo=UTC)
    request = decode_request(vim25.BINDING, reconfigure(spec, header={"operationID": "op-1"}))
    assert request.method is RECONFIGURE
    assert request.this == VM
    assert request.args == {"spec": spec}
    assert request.header == {"operationID": "op-1"}


@pytest.mark.parametrize("version", [None, "4.1", "8.0.3.0"])
def test_a_call_without_arguments_is_encoded_the_second_time_as_the_first(version: Any) -> None:
    power_on = vim25.VirtualMachine.PowerOnVM_Task
    for id_ in ("vm-1", "", "a&b<c>", "vm-2", "vm-1"):
        vm = vim25.VirtualMachine(id_)
        long_way = encode_request(power_on, vm, {"host": None}, version=version)
        assert encode_request(power_on, vm, {}, version=version) == long_way
    elsewhere = encode_request(power_on, vim25.VirtualMachine("vm-1", guid="g"), {})
    assert b'<_this serverGuid="g" type="VirtualMachine">vm-1</_this>' in elsewhere


def test_a_call_without_arguments_is_refused_the_second_time_as_the_first() -> None:
    current, power_on = vim25.ServiceInstance.CurrentTime, vim25.VirtualMachine.PowerOnVM_Task
    for _ in range(2):
        encode_request(power_on, VM, {})
        with pytest.raises(EncodeError, match=r"U\+0000") as caught:
            encode_request(power_on, vim25.VirtualMachine("a\0"), {})
        assert caught.value.path == "_this"
        with pytest.raises(EncodeError, match="must be a reference to a VirtualMachine"):
            encode_request(power_on, vim25.Folder("f"), {})
        encode_request(vim25.VirtualMachine.SendNMI, VM, {}, version="8.0")
        with pytest.raises(VersionError):
            encode_request(vim25.VirtualMachine.SendNMI, VM, {}, version="4.1")
        with pytest.raises(EncodeError, match="bytes"):
            encode_request(current, ("ServiceInstance", "x"), {}, limits=Limits(wire=10))
