"""Networks and events."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import Stage, outcome, scenario


def system(stage: Stage) -> Any:
    host = next(iter(stage.all("HostSystem").values()))
    return stage.read(host, "configManager.networkSystem")


def group(stage: Stage, name: str) -> Any:
    teaming = stage.new("HostNicTeamingPolicy", notifySwitches=True)
    policy = stage.new("HostNetworkPolicy", nicTeaming=teaming)
    return stage.new(
        "HostPortGroupSpec", name=name, vlanId=5, vswitchName="vSwitch0", policy=policy
    )


@scenario()
def adds_a_port_group(stage: Stage) -> Any:
    name = f"vlan {stage.name()}"
    stage.call("AddPortGroup", (network := system(stage)), portgrp=group(stage, name))
    info = stage.read(network, "networkInfo")
    return [item.spec.vlanId for item in info.portgroup if item.spec.name == name]


@scenario()
def adds_a_port_group_twice(stage: Stage) -> Any:
    spec = group(stage, f"vlan {stage.name()}")
    stage.call("AddPortGroup", (network := system(stage)), portgrp=spec)
    return outcome(stage.call, "AddPortGroup", network, portgrp=spec)


@scenario()
def asks_for_events_at_once(stage: Stage) -> Any:
    vm = stage.create()
    entity = stage.new("EventFilterSpecByEntity", entity=vm, recursion="self")
    spec = stage.new("EventFilterSpec", entity=entity)
    return outcome(stage.call, "QueryEvents", stage.content.eventManager, filter=spec)


@scenario()
def reads_events_by_a_cursor(stage: Stage) -> Any:
    vm = stage.running()
    entity = stage.new("EventFilterSpecByEntity", entity=vm, recursion="self")
    spec = stage.new("EventFilterSpec", entity=entity)
    cursor = stage.call("CreateCollectorForEvents", stage.content.eventManager, filter=spec)
    stage.call("RewindCollector", cursor)
    names = []
    while page := stage.call("ReadNextEvents", cursor, maxCount=10):
        names += [event.__class__.__name__ for event in page]
    stage.call("DestroyCollector", cursor)
    return [name for name in ("VmCreatedEvent", "VmPoweredOnEvent") if name in names]
