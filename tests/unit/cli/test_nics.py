from __future__ import annotations

import pytest

from vimdriver._cli.nics import all_nics, guest_nic, parse_nic
from vimdriver._guestinfo import NIC, Route
from vimdriver._instances.types import NICSpec
from vimlib.errors import UsageError

MAC = "network=a,mac=00:50:56:00:00:01"


@pytest.mark.parametrize(
    ("text", "nic"),
    [
        ("network=VM Network", NICSpec(network="VM Network")),
        (
            "network=n,model=vmxnet3,mac=00-50-56-AA-00-01,ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.8+10.0.0.9",
            NICSpec(
                network="n",
                model="vmxnet3",
                mac="00:50:56:aa:00:01",
                addresses=("10.0.0.2/24",),
                gateway="10.0.0.1",
                dns=("10.0.0.8", "10.0.0.9"),
            ),
        ),
        (
            "network=n,mac=00:50:56:00:00:01,ip=10.0.0.2/24+fd00::2/64,gw=fd00::1+10.0.0.1",
            NICSpec(
                network="n",
                mac="00:50:56:00:00:01",
                addresses=("10.0.0.2/24", "fd00::2/64"),
                gateway="10.0.0.1",
                gateway6="fd00::1",
            ),
        ),
        (
            f"{MAC},dhcp=4+6,mtu=9000,search=a.example+b.ex,route=10.9.0.0/16@10.0.0.254+fd09::/48@fd00::9@50",
            NICSpec(
                network="a",
                mac="00:50:56:00:00:01",
                dhcp4=True,
                dhcp6=True,
                mtu=9000,
                search=("a.example", "b.ex"),
                routes=(Route("10.9.0.0/16", "10.0.0.254"), Route("fd09::/48", "fd00::9", 50)),
            ),
        ),
        (
            "network=n,mac=00:50:56:00:00:01,dhcp=6",
            NICSpec(network="n", mac="00:50:56:00:00:01", dhcp6=True),
        ),
        # The host chooses its MAC address, and the record is written with it.
        ("network=n,ip=10.0.0.2/24", NICSpec(network="n", addresses=("10.0.0.2/24",))),
        ("network=n,vlan=42,interface=vmnic1", NICSpec(network="n", vlan=42, interface="vmnic1")),
    ],
)
def test_a_nic_is_parsed_from_one_argument(text: str, nic: NICSpec) -> None:
    assert parse_nic(text) == nic


@pytest.mark.parametrize(
    "text",
    [
        "", "VM Network", "model=e1000", "network=", "network=a,network=b", "network=a,speed=1",
        "network=a,model=ne2000", "network=a,mac=xx",
        "network=a,mac=00:50:56:00:00:01,gw=1.1.1.1+2.2.2.2",
        "network=a,mac=00:50:56:00:00:01,ip=10.0.0.2/24,ip=10.0.0.3/24",
        f"{MAC},dhcp=yes", f"{MAC},dhcp=4+", f"{MAC},dhcp=+", f"{MAC},mtu=big", f"{MAC},mtu=-1", f"{MAC},mtu=١",
        f"{MAC},route=10.9.0.0/16", f"{MAC},route=10.9.0.0/16@", f"{MAC},route=10.9.0.1/16@10.0.0.254",
        f"{MAC},route=10.9.0.0/16@10.0.0.254@x", f"{MAC},route=10.9.0.0/16@10.0.0.254@0",
        f"{MAC},route=10.9.0.0/16@10.0.0.254@1@2", f"{MAC},route=10.9.0.0/16@fd00::1",
        "network=a,vlan=x", "network=a,vlan=4095", "network=a,vlan=99999999999999999999",
        "network=a,interface=vmnic1",
    ],
)  # fmt: skip
def test_an_invalid_nic_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_nic(text)
    assert " must be " in str(caught.value) or caught.value.hint


def test_the_guest_settings_of_a_nic_are_parsed() -> None:
    found = guest_nic("mac=00:50:56:00:00:01,ip=10.0.0.2/24+fd00::2/64,gw=fd00::1,mtu=1400,dhcp=6")
    assert found == NIC(
        mac="00:50:56:00:00:01",
        addresses=("10.0.0.2/24", "fd00::2/64"),
        gateway6="fd00::1",
        mtu=1400,
        dhcp6=True,
    )
    # Settings that only the host uses are allowed, as in a spawn.
    assert guest_nic("mac=00:50:56:00:00:01,vlan=42,interface=vmnic1,model=vmxnet3") == NIC(
        mac="00:50:56:00:00:01"
    )
    for text in ("network=a", "ip=10.0.0.2/24"):
        with pytest.raises(UsageError, match="a NIC requires mac=ADDRESS") as caught:
            guest_nic(text)
        assert "mac=" in (caught.value.hint or "")


def test_the_short_options_are_the_first_nic() -> None:
    mac = "00:50:56:00:00:01"
    found = all_nics("a", mac, "10.0.0.2/24", ["network=b"])
    assert found == (
        NICSpec(network="a", mac=mac, addresses=("10.0.0.2/24",)),
        NICSpec(network="b"),
    )
    assert all_nics(None, None, None, []) == ()
    with pytest.raises(UsageError, match="--network"):
        all_nics(None, mac, None, [])
