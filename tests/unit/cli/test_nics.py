from __future__ import annotations

import pytest

from driver.cli.nics import all_nics, parse_nic
from driver.instances.types import NICSpec
from vimlib.errors import UsageError


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
    ],
)
def test_a_nic_in_a_line(text: str, nic: NICSpec) -> None:
    assert parse_nic(text) == nic


@pytest.mark.parametrize(
    "text",
    [
        "", "VM Network", "model=e1000", "network=", "network=a,network=b", "network=a,speed=1",
        "network=a,model=ne2000", "network=a,mac=xx", "network=a,ip=10.0.0.2/24",
        "network=a,mac=00:50:56:00:00:01,gw=1.1.1.1+2.2.2.2",
    ],
)  # fmt: skip
def test_what_is_no_nic(text: str) -> None:
    with pytest.raises(UsageError):
        parse_nic(text)


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
