"""OvfManager: descriptors in, specifications out, and back."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25

MANAGER = vim25.OvfManager
STREAM = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
DESCRIPTOR = """\
<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
  xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="1234"{file}/></References>
  <DiskSection><Info/><Disk ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1"
    ovf:fileRef="file1" ovf:format="{format}"/></DiskSection>
  <NetworkSection><Info/><Network ovf:name="{network}"><Description>net</Description></Network></NetworkSection>
  <DeploymentOptionSection><Info/><Configuration ovf:id="small"><Label>S</Label><Description/></Configuration>
    <Configuration ovf:id="big" ovf:default="true"><Label>B</Label><Description/></Configuration>
  </DeploymentOptionSection>
  <VirtualSystem ovf:id="appliance"><Info/><Name>Appliance</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="debian10_64Guest"><Info/></OperatingSystemSection>
    <AnnotationSection><Info/><Annotation>made for a test</Annotation></AnnotationSection>
    <EulaSection><Info/><License>none</License></EulaSection>
    <ProductSection><Info/><Product>P</Product><Vendor>V</Vendor>
      <Property ovf:key="ip" ovf:type="string" ovf:userConfigurable="true" ovf:value="x"><Label>IP</Label></Property>
    </ProductSection>
    <VirtualHardwareSection><Info/>
      <System><vssd:VirtualSystemType>{family}</vssd:VirtualSystemType></System>
      <Item ovf:configuration="small"><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>
      <Item ovf:configuration="big"><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>4</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>256</rasd:VirtualQuantity></Item>
      <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Connection>{network}</rasd:Connection><rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
      {item}
    </VirtualHardwareSection>
    {section}
  </VirtualSystem>
</Envelope>
"""


def descriptor(**given: str) -> str:
    values = {"file": "", "format": STREAM, "network": "VM Network", "family": "vmx-10 vmx-13",
              "item": "", "section": ""}  # fmt: skip
    return DESCRIPTOR.format(**values | given)


async def spec_of(call: Caller, text: str, **params: Any) -> Any:
    """Return the result of CreateImportSpec."""
    given = {"locale": "", "deploymentOption": "", "entityName": "made"} | params
    [store] = call.esx.datastores.values()
    return await call(
        MANAGER.CreateImportSpec,
        call.content.ovfManager,
        ovfDescriptor=text,
        resourcePool=vim25.ResourcePool("ha-root-pool"),
        datastore=store.ref,
        cisp=vim25.OvfCreateImportSpecParams(**given),
    )


async def test_a_descriptor_becomes_a_specification(make: Callable[..., Any]) -> None:
    call = await make()
    found = await spec_of(call, descriptor(), diskProvisioning="thin")
    assert (found.error, found.warning) == ([], [])
    spec = found.importSpec.configSpec
    assert (spec.name, spec.version, spec.numCPUs, spec.memoryMB) == ("made", "vmx-13", 4, 256)
    assert (spec.guestId, spec.annotation) == ("debian10_64Guest", "made for a test")
    controller, disk, nic = (change.device for change in spec.deviceChange)
    assert type(controller) is vim25.ParaVirtualSCSIController
    assert (disk.controllerKey, disk.unitNumber, disk.capacityInKB) == (controller.key, 0, 2048)
    assert disk.backing.thinProvisioned
    assert nic.backing.deviceName == "VM Network"
    [file] = found.fileItem
    assert (file.deviceId, file.path, file.size) == (
        "/made/ParaVirtualSCSIController0:0",
        "disk.vmdk",
        1234,
    )
    small = await spec_of(call, descriptor(), deploymentOption="small")
    assert small.importSpec.configSpec.numCPUs == 1
    with pytest.raises(vim25.InvalidArgument):
        await spec_of(call, descriptor(), deploymentOption="huge")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"family": "virtualbox-2.2"}, vim25.OvfNoSupportedHardwareFamily),
        ({"network": "lost"}, vim25.OvfNoHostNic),
        ({"format": "http://www.vmware.com/x.html#"}, vim25.OvfUnsupportedAttributeValue),
        ({"file": ' ovf:compression="gzip"'}, vim25.OvfUnsupportedAttributeValue),
        ({"section": "<CustomSection/>"}, vim25.OvfUnsupportedSection),
        ({"item": "<Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>99</rasd:ResourceType></Item>"},
         vim25.OvfUnsupportedType),
        ({"item": "<StorageItem/>"}, vim25.OvfUnsupportedElement),
        ({"item": "<Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>x</rasd:ResourceType></Item>"},
         vim25.OvfInvalidValue),
    ],
)  # fmt: skip
async def test_an_unsupported_descriptor_is_an_error_of_the_result(
    make: Callable[..., Any], given: dict[str, str], fault: Any
) -> None:
    call = await make()
    found = await spec_of(call, descriptor(**given))
    assert [type(error.fault) for error in found.error] == [fault]
    assert (found.importSpec, found.fileItem) == (None, [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ovf:capacity="2"', 'ovf:capacity="\u00b2"'),
        ('ovf:capacity="2"', f'ovf:capacity="{"9" * 5000}"'),
        ("byte * 2^20", f"byte * 2^{'9' * 5000}"),
        ("byte * 2^20", "hours"),
        (">4</rasd:VirtualQuantity>", ">99999999999999999999</rasd:VirtualQuantity>"),
        (">256</rasd:VirtualQuantity>", ">99999999999999999999</rasd:VirtualQuantity>"),
        (">256</rasd:VirtualQuantity>", ">-7</rasd:VirtualQuantity>"),
        (">17</rasd:ResourceType>", ">1_7</rasd:ResourceType>"),
    ],
)
async def test_a_number_out_of_bounds_is_an_error_of_the_result(
    make: Callable[..., Any], old: str, new: str
) -> None:
    call = await make()
    assert old in descriptor()
    found = await spec_of(call, descriptor().replace(old, new))
    assert [type(error.fault) for error in found.error] == [vim25.OvfInvalidValue]


@pytest.mark.parametrize(
    ("units", "quantity", "megabytes"),
    [
        ("byte * 2^20", "256", 256),
        ("byte * 2^30", "2", 2048),
        ("byte", "268435456", 256),
        ("byte * 2^10", "262144", 256),
        ("MegaByte", "300", 300),
        ("GigaBytes", "1", 1024),
    ],
)
async def test_memory_is_counted_in_the_units_of_its_item(
    make: Callable[..., Any], units: str, quantity: str, megabytes: int
) -> None:
    call = await make()
    item = "<rasd:AllocationUnits>{}</rasd:AllocationUnits>"
    text = descriptor().replace(item.format("byte * 2^20"), item.format(units))
    text = text.replace(">256<", f">{quantity}<")
    found = await spec_of(call, text)
    assert found.importSpec.configSpec.memoryMB == megabytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<Envelope>",
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>',
        "x" * ((4 << 20) + 1),
    ],
)
async def test_a_text_that_is_not_a_descriptor_is_an_error_of_the_result(
    make: Callable[..., Any], text: str
) -> None:
    call = await make()
    found = await spec_of(call, text)
    assert [type(error.fault) for error in found.error] == [vim25.OvfXmlFormat]


async def test_an_unknown_item_that_is_not_required_is_a_warning(make: Callable[..., Any]) -> None:
    call = await make()
    item = '<Item ovf:required="false"><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>99</rasd:ResourceType></Item>'
    section = '<CustomSection ovf:required="false"/>'
    found = await spec_of(call, descriptor(item=item, section=section))
    assert found.error == []
    assert [type(each.fault) for each in found.warning] == [
        vim25.OvfUnsupportedType,
        vim25.OvfUnsupportedSection,
    ]


async def test_comments_in_a_descriptor_are_skipped(make: Callable[..., Any]) -> None:
    call = await make()
    text = descriptor(section="<!-- note --><?note?>").replace("<Item>", "<Item><!-- a --><?b?>")
    found = await spec_of(call, text)
    assert (found.error, found.warning) == ([], [])


async def test_a_mapped_network_is_used(make: Callable[..., Any]) -> None:
    call = await make()
    [network] = call.esx.networks.networks.values()
    mapping = vim25.OvfNetworkMapping(name="lost", network=network.ref)
    found = await spec_of(call, descriptor(network="lost"), networkMapping=[mapping])
    assert found.importSpec.configSpec.deviceChange[2].device.backing.deviceName == "VM Network"


async def test_a_descriptor_is_read_for_its_user(make: Callable[..., Any]) -> None:
    call = await make()
    params = vim25.OvfParseDescriptorParams(locale="", deploymentOption="")
    found = await call(
        MANAGER.ParseDescriptor, call.content.ovfManager, ovfDescriptor=descriptor(), pdp=params
    )
    assert (found.defaultEntityName, found.virtualApp, found.eula) == ("Appliance", False, ["none"])
    assert [n.name for n in found.network] == ["VM Network"]
    assert (found.approximateDownloadSize, found.approximateFlatDeploymentSize) == (1234, 2 << 20)
    assert (found.defaultDeploymentOption, [o.key for o in found.deploymentOption]) == (
        "big",
        ["big", "small"],
    )
    assert [(p.id, p.defaultValue) for p in found.property] == [("ip", "x")]
    assert found.productInfo.vendor == "V"


async def test_sizes_beyond_a_reply_are_the_largest_of_one(make: Callable[..., Any]) -> None:
    call = await make()
    disk = '<Disk ovf:capacity="4611686018427387904" ovf:diskId="{}"/>'
    more = "".join(disk.format(f"x{number}") for number in range(3))
    text = descriptor().replace("</DiskSection>", more + "</DiskSection>")
    params = vim25.OvfParseDescriptorParams(locale="", deploymentOption="")
    parse, manager = MANAGER.ParseDescriptor, call.content.ovfManager
    found = await call(parse, manager, ovfDescriptor=text, pdp=params)
    assert found.approximateFlatDeploymentSize == (1 << 63) - 1


async def transfer(call: Caller, url: str, body: bytes | None) -> bytes:
    """Read or write the disk of a lease."""
    trust = ssl.create_default_context(cadata=call.esx.certificate_pem.decode())
    target = call.esx.url.removesuffix("/sdk") + urlsplit(url).path
    async with aiohttp.ClientSession() as session:
        verb = session.get if body is None else session.post
        async with verb(target, data=body, ssl=trust) as reply:
            assert reply.status == 200
            return await reply.read()


async def lease_of(call: Caller, ref: Any) -> Any:
    """Return the lease's information once it is ready."""
    lease = call.esx.registry.find(ref)
    while lease.state == "initializing":
        await call.esx.registry.io(lambda: None)
    return (await call.read(ref, "info"))["info"]


@pytest.mark.slow
async def test_an_exported_machine_is_imported_by_its_own_descriptor(
    make: Callable[..., Any],
) -> None:
    call = await make(vms=1)
    machine = call.esx.machine("vm-0").ref
    ref = await call(vim25.VirtualMachine.ExportVm, machine)
    info = await lease_of(call, ref)
    [url] = info.deviceUrl
    body = await transfer(call, url.url, None)
    await call(vim25.HttpNfcLease.HttpNfcLeaseComplete, ref)
    file = vim25.OvfFile(deviceId=url.key, path="disk-0.vmdk", size=len(body))
    params = vim25.OvfCreateDescriptorParams(ovfFiles=[file], name="copy", description="a copy")
    made = await call(MANAGER.CreateDescriptor, call.content.ovfManager, obj=machine, cdp=params)
    found = await spec_of(call, made.ovfDescriptor, entityName="copy")
    assert (found.error, found.warning) == ([], [])
    pool, folder = vim25.ResourcePool("ha-root-pool"), vim25.Folder("ha-folder-vm")
    ref = await call(vim25.ResourcePool.ImportVApp, pool, spec=found.importSpec, folder=folder)
    info = await lease_of(call, ref)
    [file], [url] = found.fileItem, info.deviceUrl
    assert url.importKey == file.deviceId
    await transfer(call, url.url, body)
    await call(vim25.HttpNfcLease.HttpNfcLeaseComplete, ref)
    old, new = call.esx.machine("vm-0").config, call.esx.machine("copy").config
    assert new.annotation == "a copy"
    assert (new.hardware.memoryMB, new.guestId) == (old.hardware.memoryMB, old.guestId)
    assert [type(d) for d in new.hardware.device] == [type(d) for d in old.hardware.device]
    flat = [
        call.esx.datastore_path("datastore1").joinpath(name, f"{name}-flat.vmdk").read_bytes()
        for name in ("vm-0", "copy")
    ]
    assert flat[0] == flat[1]


@pytest.mark.slow
async def test_a_manifest_has_the_checksum_that_was_asked_for(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    ref = await call(vim25.VirtualMachine.ExportVm, call.esx.machine("vm-0").ref)
    [url] = (await lease_of(call, ref)).deviceUrl
    choose = vim25.HttpNfcLease.HttpNfcLeaseSetManifestChecksumType
    pairs = [vim25.KeyValue(key=url.key, value="sha256")]
    await call(choose, ref, deviceUrlsToChecksumTypes=pairs)
    body = await transfer(call, url.url, None)
    [entry] = await call(vim25.HttpNfcLease.HttpNfcLeaseGetManifest, ref)
    assert (entry.size, entry.sha1) == (len(body), hashlib.sha1(body).hexdigest())
    assert (entry.checksumType, entry.checksum) == ("sha256", hashlib.sha256(body).hexdigest())
    pairs = [vim25.KeyValue(key="nonesuch", value="sha1")]
    with pytest.raises(vim25.InvalidArgument):
        await call(choose, ref, deviceUrlsToChecksumTypes=pairs)
