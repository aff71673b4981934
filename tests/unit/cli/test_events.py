from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_the_events_of_one_machine_are_listed(esx: ESXHost, vimctl: Vimctl) -> None:
    for verb, name in (("start", "vm-0"), ("start", "vm-1"), ("stop", "vm-0")):
        vimctl("instance", verb, name)
    found = vimctl("instance", "events", "vm-0", "--json").lines
    kinds = [event["_typeName"] for event in found]
    assert kinds.index("VmPoweredOnEvent") < kinds.index("VmPoweredOffEvent")
    assert {event["vm"]["name"] for event in found} == {"vm-0"}
    everything = vimctl("instance", "events", "--json").lines
    assert len(everything) > len(found)
    assert "VmPoweredOffEvent" in vimctl("instance", "events", "vm-0").out


def test_since_limits_the_events(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "start", "vm-0")
    assert vimctl("instance", "events", "--since", "2099-01-01T00:00:00", "--json").lines == []
    vimctl("instance", "events", "nosuch", code=4)


def test_follow_continues_until_interrupted(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "events", "--follow", "--timeout", "0.5", code=6)
