"""Nova's objects to our specifications, and the meaning of our errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vimdriver._instances.types import Instance
from vimdriver.errors import (
    HostIdentityError,
    ImageNotFoundError,
    ImageUnacceptableError,
    InstanceStateError,
    NetworkNotFoundError,
    NoSpaceError,
    SourceRefusedError,
)
from vimdriver.nova._map import (
    NetworkRules,
    disk_adapter,
    further_disks,
    guest_config_of,
    meaning,
    nic_model,
    nic_of,
    refuse_volumes,
    spec_of,
    state_name,
    state_of,
)
from vimlib import vim25
from vimlib.errors import ConnectError, HostStateError, NotFoundError, UsageError, VimlibError

UUID = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"


def subnet(cidr: str, *addresses: str, **more: Any) -> dict[str, Any]:
    return {"cidr": cidr, "ips": [{"address": one, "type": "fixed"} for one in addresses], **more}


def vif(kind: str = "ovs", *subnets: dict[str, Any], **details: Any) -> dict[str, Any]:
    network = {"bridge": "br-int", "subnets": list(subnets)}
    return {"id": "port", "type": kind, "address": "FA:16:3E:00:00:01", "network": network,
            "details": details}  # fmt: skip


def test_subnets_without_an_address_of_the_port_do_not_count() -> None:
    card = nic_of(
        vif(
            "ovs",
            subnet("10.0.0.0/24", "10.0.0.5", gateway={"address": "10.0.0.1"},
                   dns=[{"address": "10.0.0.2"}]),
            subnet("2001:db8::/64", gateway={"address": "2001:db8::1"}, dns=[{"address": "::2"}]),
        ),
        NetworkRules(),
        "e1000",
    )  # fmt: skip
    assert (card.network, card.mac) == ("br-int", "fa:16:3e:00:00:01")
    assert card.addresses == ("10.0.0.5/24",)
    assert (card.gateway, card.gateway6, card.dns) == ("10.0.0.1", None, ("10.0.0.2",))


def test_both_families_have_their_gateway_and_routes() -> None:
    card = nic_of(
        vif(
            "ovs",
            subnet("10.0.0.0/24", "10.0.0.5", routes=[
                {"cidr": "10.9.0.0/16", "gateway": {"address": "10.0.0.9"}}]),
            subnet("2001:db8::/64", "2001:db8::5", gateway={"address": "2001:db8::1"}),
        ),
        NetworkRules(),
        "vmxnet3",
    )  # fmt: skip
    assert (card.gateway, card.gateway6) == (None, "2001:db8::1")
    assert [(route.to, route.via) for route in card.routes] == [("10.9.0.0/16", "10.0.0.9")]


RULES = NetworkRules({"physnet1": "VM Network"}, {"physnet2": "vmnic3"}, "vmnic0")


@pytest.mark.parametrize(
    ("details", "network", "vlan", "interface"),
    [
        ({"port_group": "physnet1", "physical_network": "physnet1"}, "VM Network", None, "vmnic0"),
        ({"port_group": "other", "physical_network": "other"}, "other", None, "vmnic0"),
        ({"port_group": "physnet2-7", "physical_network": "physnet2", "vlan": 7},
         "physnet2-7", 7, "vmnic3"),
        ({"port_group": "physnet1-8", "physical_network": "physnet1", "vlan": 8},
         "physnet1-8", 8, "vmnic0"),
    ],
)  # fmt: skip
def test_a_bound_port_names_its_port_group(
    details: dict[str, Any], network: str, vlan: int | None, interface: str
) -> None:
    card = nic_of(vif("other", **details), RULES, "e1000")
    assert (card.network, card.vlan, card.interface) == (network, vlan, interface)


@pytest.mark.parametrize(
    ("port", "message"),
    [
        (vif("dvs"), "got vif_type 'dvs'"),
        (vif("binding_failed"), "got vif_type 'binding_failed'"),
        (vif("other"), "got vif_type 'other'"),
        (vif("ovs", port_filter=True), "must not need a packet filter"),
    ],
)
def test_ports_that_a_standard_switch_cannot_serve(port: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        nic_of(port, NetworkRules(), "e1000")


def test_a_promise_of_a_filter_can_be_accepted() -> None:
    card = nic_of(vif("ovs", port_filter=True), NetworkRules(allow_unfiltered=True), "e1000")
    assert card.network == "br-int"


def test_properties_of_the_image() -> None:
    assert nic_model({}) == "e1000"
    assert nic_model({"hw_vif_model": "VirtualVmxnet3"}) == "vmxnet3"
    with pytest.raises(UsageError, match=r"hw_vif_model must be one of .*, got 'virtio'"):
        nic_model({"hw_vif_model": "virtio"})
    assert disk_adapter({}) is None
    assert disk_adapter({"hw_disk_bus": "ide"}) == "ide"
    assert disk_adapter({"hw_disk_bus": "scsi", "hw_scsi_model": "vmpvscsi"}) == "paraVirtual"
    with pytest.raises(UsageError, match="hw_disk_bus must be ide or scsi, got 'virtio'"):
        disk_adapter({"hw_disk_bus": "virtio"})
    with pytest.raises(UsageError, match=r"hw_scsi_model must be one of .*, got 'virtio-scsi'"):
        disk_adapter({"hw_scsi_model": "virtio-scsi"})


def instance(**flavor: int) -> Any:
    given = {"vcpus": 2, "memory_mb": 512, "root_gb": 1, "ephemeral_gb": 0, "swap": 0} | flavor
    return SimpleNamespace(name="instance-00000001", uuid=UUID, hostname="web",
                           flavor=SimpleNamespace(**given))  # fmt: skip


def test_a_flavor_is_a_machine() -> None:
    spec = spec_of(instance(), {}, image="i", datastore="ds", nics=())
    assert (spec.name, spec.uuid, spec.hostname) == ("instance-00000001", UUID, "web")
    assert (spec.cpus, spec.memory_mb, spec.disk_gb, spec.power_on) == (2, 512, 1, True)
    cores = spec_of(instance(), {}, image="i", datastore="ds", nics=(), cores=2)
    assert cores.hardware.cores_per_socket == 2


def test_a_root_disk_of_0_is_as_large_as_the_image() -> None:
    assert spec_of(instance(root_gb=0), {}, image="i", datastore="ds", nics=()).disk_gb is None


def test_memory_that_no_host_accepts() -> None:
    with pytest.raises(UsageError, match="memory_mb must be a multiple of 4"):
        spec_of(instance(memory_mb=511), {}, image="i", datastore="ds", nics=())


@pytest.mark.parametrize(
    ("flavor", "info", "sizes"),
    [
        ({}, None, []),
        ({"ephemeral_gb": 20, "swap": 512}, None, [20, 1]),
        ({"ephemeral_gb": 20, "swap": 1025}, {"ephemerals": [{"size": 5}, {"size": 6}]}, [5, 6, 2]),
        ({"swap": 512}, {"swap": {"swap_size": 4096}}, [4]),
    ],
)
def test_ephemeral_and_swap_disks(
    flavor: dict[str, int], info: dict[str, Any] | None, sizes: list[int]
) -> None:
    assert [disk.size_gb for disk in further_disks(instance(**flavor), info)] == sizes


def test_volumes_are_refused() -> None:
    refuse_volumes(None)
    refuse_volumes({"block_device_mapping": []})
    with pytest.raises(NotImplementedError, match="volumes"):
        refuse_volumes({"block_device_mapping": [{"mount_device": "vda"}]})


def test_a_guest_configuration_has_the_nics_with_addresses() -> None:
    card = nic_of(vif("ovs", subnet("10.0.0.0/24", "10.0.0.5")), NetworkRules(), "e1000")
    config = guest_config_of(instance(), (card,))
    assert config is not None
    assert [nic.mac for nic in config.nics] == ["fa:16:3e:00:00:01"]
    assert guest_config_of(instance(), (nic_of(vif(), NetworkRules(), "e1000"),)) is None


def test_power_states() -> None:
    words = ("poweredOn", "poweredOff", "suspended", "surprise")
    assert [state_name(word) for word in words] == ["running", "shutdown", "suspended", "pending"]

    def seen(connection: str) -> str:
        return state_of(Instance(uuid=UUID, name="n", power_state="poweredOn", cpus=1, memory_mb=4,
                                 moref="1", connection_state=connection))  # fmt: skip

    assert [seen(word) for word in ("connected", "inaccessible", "orphaned", "invalid")] == [
        "running", "pending", "pending", "pending"]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotFoundError("machine not found", kind="VirtualMachine"), "missing"),
        (vim25.ManagedObjectNotFound(obj=vim25.VirtualMachine("1")), "missing"),
        (NotFoundError("datastore not found", kind="Datastore"), "other"),
        (ImageNotFoundError(image="i"), "image"),
        (ImageUnacceptableError(rule="r", detail="d", image="i"), "other"),
        (InstanceStateError(name="n", state="poweredOff", needed="poweredOn"), "state"),
        (HostIdentityError(uuid="none", hosts=("esx1",)), "identity"),
        (HostStateError("in maintenance", state="maintenance"), "other"),
        (NetworkNotFoundError(name="n", known=[]), "other"),
        (NoSpaceError(datastore="ds", needed=2, free=1), "host"),
        (ConnectError("refused", host="h"), "host"),
        (UsageError("memory_mb must be a multiple of 4, got 511"), "other"),
    ],
)
def test_each_error_has_a_meaning(error: VimlibError, kind: str) -> None:
    assert meaning(error).kind == kind


def test_a_token_that_expired_names_the_option_that_helps() -> None:
    found = meaning(SourceRefusedError(status=401, image="i"))
    assert found.reason.startswith("the image source answered with HTTP 401")
    assert "[service_user] send_service_user_token" in found.reason


def test_a_reason_begins_with_the_rule_and_is_one_line() -> None:
    found = meaning(UsageError("x must be 1, got 2", hint="Give\n1."))
    assert found.reason == "x must be 1, got 2. Give 1."
