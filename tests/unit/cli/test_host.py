"""`vimctl host`, `network` and `instance metrics`: tables, plots and JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli.metrics import bars
from vimlib.simulator import ESXHost

READS = [
    "host show", "host identity", "host capacity", "host datastores", "host services",
    "host firewall", "host time", "host options", "host tasks", "host logs", "host metrics",
    "network switches", "network policies", "network vmkernel", "instance autostarts",
]  # fmt: skip


@pytest.mark.parametrize("command", READS)
def test_each_read_prints_json_and_text(command: str, esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "start", "vm-0")
    assert vimctl.json(*command.split()) is not None
    assert vimctl(*command.split()).out.strip()


def test_the_host_is_changed_by_the_shell(esx: ESXHost, vimctl: Vimctl) -> None:
    assert vimctl.json("host", "service", "SSH", "start")["running"]
    assert "UpdateServicePolicy" in vimctl("host", "service-policy", "SSH", "on", "--dry-run").out
    vimctl("host", "time-servers", "--servers", "ntp1", "--servers", "ntp2")
    assert vimctl.json("host", "time")["servers"] == ["ntp1", "ntp2"]
    assert vimctl.json("network", "set-mtu", "vSwitch0", "9000")["mtu"] == 9000
    found = vimctl.json("network", "set", "VM Network", "--vlan", "5", "--promiscuous", "accept")
    assert (found["vlan"], found["promiscuous"]) == (5, True)
    assert vimctl.json("instance", "autostart", "vm-1", "--order", "1")["order"] == 1
    assert vimctl.json("host", "enter-maintenance")["maintenance"]
    vimctl("host", "reboot", "wrong-name", code=2)


def test_counters_are_a_table_or_a_plot(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "start", "vm-0")
    esx.machine("vm-0").booted = datetime.now(UTC) - timedelta(hours=1)
    name = "cpu.usage.average"
    table = vimctl("instance", "metrics", "vm-0", "--counter", name).out
    assert table.splitlines()[0].split() == ["COUNTER", "UNIT", "LAST", "LEAST", "MOST"]
    plot = vimctl("instance", "metrics", "vm-0", "--counter", name, "--plot").out
    assert any(bar in plot for bar in "▁▂▃▄▅▆▇█")
    (series,) = vimctl.json("host", "metrics", "--counter", name, "--samples", "3")
    assert len(series["samples"]) == 3
    vimctl("instance", "metrics", "vm-0", "--counter", "none", code=2)


def test_bars_reach_from_zero_to_the_largest_value() -> None:
    assert bars([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert bars([0, 0]) == "▁▁"
    assert bars([]) == ""
