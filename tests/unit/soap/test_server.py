from __future__ import annotations

import pytest

from tests.unit.soap.cases import HEAD, envelope, reply
from vimlib import vim25
from vimlib.errors import EncodeError, ForbiddenXMLError, NotFoundError, ProtocolError
from vimlib.soap import (
    Limits,
    Typed,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

BINDING = vim25.BINDING
RetrieveProperties = vim25.PropertyCollector.RetrieveProperties


def test_a_request_as_other_clients_write_it() -> None:
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><soap-env:Envelope xmlns:soap-env="http://schemas.xmlsoap.org/soap/envelope/">'
        b"<soap-env:Header><operationID>op</operationID><vcSessionCookie>c</vcSessionCookie></soap-env:Header>"
        b'<soap-env:Body><ns0:FindByUuid xmlns:ns0="urn:vim25"><ns0:_this type="SearchIndex">ha-searchindex</ns0:_this>'
        b"<ns0:uuid>u</ns0:uuid><ns0:vmSearch>true</ns0:vmSearch></ns0:FindByUuid></soap-env:Body></soap-env:Envelope>"
    )
    request = decode_request(BINDING, body)
    assert request.method is vim25.SearchIndex.FindByUuid
    assert request.this == vim25.SearchIndex("ha-searchindex")
    assert request.args == {"datacenter": None, "uuid": "u", "vmSearch": True, "instanceUuid": None}
    assert request.header == {"operationID": "op", "vcSessionCookie": "c"}


def test_absent_arrays_are_empty() -> None:
    body = envelope(
        '<RetrieveProperties xmlns="urn:vim25"><_this type="PropertyCollector">p</_this></RetrieveProperties>'
    )
    assert decode_request(BINDING, body).args == {"specSet": []}


@pytest.mark.parametrize("name", ["Nonesuch", "LoginResponse", "VirtualMachine", "__class__"])
def test_an_unknown_method(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        decode_request(BINDING, envelope(f'<{name} xmlns="urn:vim25"/>'))
    assert (caught.value.kind, caught.value.name) == ("Method", name)


def test_a_method_of_another_service() -> None:
    with pytest.raises(NotFoundError):
        decode_request(BINDING, envelope('<Login xmlns="urn:other"/>'))


@pytest.mark.parametrize(
    ("inside", "path"),
    [
        ("", "_this"),
        ('<_this type="SessionManager">s</_this><userName>u</userName>', "password"),
        ("<_this>s</_this>", "_this"),
        ('<_this type="SessionManager">s</_this><userName><a/></userName>', "userName"),
    ],
)
def test_a_request_that_does_not_fit(inside: str, path: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_request(BINDING, envelope(f'<Login xmlns="urn:vim25">{inside}</Login>'))
    assert caught.value.path == path


def test_hostile_requests() -> None:
    with pytest.raises(ForbiddenXMLError):
        decode_request(BINDING, HEAD.replace("?>\n", "?>\n<!DOCTYPE a>").encode())
    with pytest.raises(ProtocolError):
        decode_request(BINDING, envelope('<Logout xmlns="urn:vim25">' + "<x>" * 300))
    with pytest.raises(ProtocolError):
        decode_request(BINDING, b"x" * 100, limits=Limits(inflated=10))


# As an ESX 4.1 was recorded (`resources/esx-4.1.0-1/*.soap` of fusioninventory-agent), and as libvirt's
# `esxVI_*_CastFromAnyType`, which reads no element without a type, wants it.
TYPED_ITEMS = [
    (
        [vim25.Datastore("ds"), vim25.HostSystem("ha-host")],
        (
            '<val xsi:type="ArrayOfManagedObjectReference">'
            '<ManagedObjectReference type="Datastore" xsi:type="ManagedObjectReference">ds</ManagedObjectReference>'
            '<ManagedObjectReference type="HostSystem" xsi:type="ManagedObjectReference">ha-host</ManagedObjectReference></val>'
        ),
    ),
    (["a"], '<val xsi:type="ArrayOfString"><string xsi:type="xsd:string">a</string></val>'),
    ([1], '<val xsi:type="ArrayOfInt"><int xsi:type="xsd:int">1</int></val>'),
    (
        Typed("ArrayOfHostSystemPowerState", ["poweredOn"]),
        (
            '<val xsi:type="ArrayOfHostSystemPowerState">'
            '<HostSystemPowerState xsi:type="HostSystemPowerState">poweredOn</HostSystemPowerState></val>'
        ),
    ),
    (
        [vim25.HostCpuIdInfo(level=1)],
        '<val xsi:type="ArrayOfHostCpuIdInfo"><HostCpuIdInfo xsi:type="HostCpuIdInfo"><level>1</level></HostCpuIdInfo></val>',
    ),
    (
        Typed("ArrayOfVirtualDevice", [vim25.VirtualFloppy(key=8000)]),
        '<val xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualFloppy"><key>8000</key></VirtualDevice></val>',
    ),
    (
        [vim25.VirtualVmxnet3(key=4000)],
        '<val xsi:type="ArrayOfVirtualVmxnet"><VirtualVmxnet xsi:type="VirtualVmxnet"><key>4000</key></VirtualVmxnet></val>',
    ),
    (
        [1, "a"],
        '<val xsi:type="ArrayOfAnyType"><anyType xsi:type="xsd:int">1</anyType><anyType xsi:type="xsd:string">a</anyType></val>',
    ),
]


@pytest.mark.parametrize(("value", "xml"), TYPED_ITEMS, ids=lambda value: str(value)[:40])
def test_each_element_of_an_array_in_anytype_has_its_type(value: object, xml: str) -> None:
    prop = vim25.DynamicProperty(name="p", val=value)
    content = vim25.ObjectContent(obj=vim25.HostSystem("ha-host"), propSet=[prop])
    # The release is older than the class VirtualVmxnet3, which goes as its base.
    body = encode_response(RetrieveProperties, [content], version="2.5")
    assert xml in body.decode()
    read = decode_response(RetrieveProperties, body)[0].propSet[0].val
    if "VirtualVmxnet" not in xml:
        assert read == value


def test_repr_masks_secrets() -> None:
    body = encode_request(
        vim25.SessionManager.Login,
        ("SessionManager", "s"),
        {"userName": "u", "password": "hunter2"},
    )
    request = decode_request(BINDING, body)
    assert "hunter2" not in repr(request)
    assert repr(request).startswith(
        "<Request SessionManager.Login on <SessionManager s>: userName='u', password=***"
    )


def test_replies() -> None:
    task = vim25.VirtualMachine.PowerOnVM_Task
    assert encode_response(task, vim25.Task("task-1")) == reply(
        "PowerOnVM_Task", '<returnval type="Task">task-1</returnval>'
    )
    logout = vim25.SessionManager.Logout
    assert encode_response(logout) == reply("Logout", "")
    options = vim25.OptionManager.QueryOptions
    two = [vim25.OptionValue(key="a", value=1), vim25.OptionValue(key="b", value="c")]
    assert decode_response(options, encode_response(options, two)) == two
    assert decode_response(options, encode_response(options, [])) == []
    wait = vim25.PropertyCollector.WaitForUpdatesEx
    assert decode_response(wait, encode_response(wait, None)) is None


def test_a_reply_for_an_old_client() -> None:
    method = vim25.ServiceInstance.RetrieveServiceContent
    about = vim25.AboutInfo(
        name="n",
        fullName="f",
        vendor="v",
        version="4",
        build="b",
        osType="o",
        productLineId="embeddedEsx",
        apiType="HostAgent",
        apiVersion="4.1",
        instanceUuid="u",
    )
    content = vim25.ServiceContent(
        rootFolder=vim25.Folder("r"), propertyCollector=vim25.PropertyCollector("p"), about=about,
        ovfManager=vim25.OvfManager("o"), guestOperationsManager=vim25.GuestOperationsManager("g"),
    )  # fmt: skip
    assert b"guestOperationsManager" in encode_response(method, content)
    old = encode_response(method, content, version="4.1")
    assert b"guestOperationsManager" not in old
    assert b"ovfManager" in old


def test_replies_that_do_not_fit() -> None:
    with pytest.raises(EncodeError) as caught:
        encode_response(vim25.SessionManager.Logout, 5)
    assert caught.value.path == "returnval"
    with pytest.raises(EncodeError) as caught:
        encode_response(vim25.VirtualMachine.PowerOnVM_Task, None)
    assert caught.value.path == "returnval"
    with pytest.raises(EncodeError) as caught:
        encode_response(vim25.OptionManager.QueryOptions, [vim25.OptionValue(key="a", value=1), 5])
    assert caught.value.path == "returnval[1]"
