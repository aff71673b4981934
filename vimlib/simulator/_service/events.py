"""The event log, of which the newest are kept, and its history collectors."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import Entity, SimObject, prop
from vimlib.simulator._service.history import HistoryCollector, concerns, open_collector

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_KEPT = 1000
"""Events that a host remembers."""


class EventManager(SimObject):
    """The log of events."""

    kind = "EventManager"

    def __init__(self, registry: Registry, host: Entity, datacenter: Entity) -> None:
        self.host = host
        self.datacenter = datacenter
        self.events: deque[tuple[Any, Entity | None]] = deque(maxlen=_KEPT)
        self.collectors: list[EventCollector] = []
        super().__init__(registry, "ha-eventmgr")

    def post(
        self,
        name: str,
        text: str,
        *,
        machine: Any = None,
        user: str = "",
        chain: int = 0,
        **fields: Any,
    ) -> None:
        """Add an event of the type `name` about `machine` (None: about the host)."""
        registry = self.registry
        cls = vim25.BINDING.find(name)
        assert cls is not None, name
        key = registry.serial()
        host, datacenter = self.host, self.datacenter
        resource = host.parent
        assert resource is not None
        if machine is not None:
            fields["vm"] = vim25.VmEventArgument(name=machine.name, vm=machine.ref)
            if issubclass(cls, vim25.VmEvent):
                fields.setdefault("template", machine.config.template)
        event = cls(
            key=key,
            chainId=chain or key,
            createdTime=registry.clock.now(),
            userName=user,
            datacenter=vim25.DatacenterEventArgument(
                name=datacenter.name, datacenter=datacenter.ref
            ),
            computeResource=vim25.ComputeResourceEventArgument(
                name=resource.name, computeResource=resource.ref
            ),
            host=vim25.HostEventArgument(name=host.name, host=host.ref),
            fullFormattedMessage=text,
            **fields,
        )
        entity = machine if machine is not None else host
        self.events.append((event, entity))
        self.changed("latestEvent")
        for collector in self.collectors:
            collector.offer(event, entity)

    @prop("latestEvent")
    def _latest(self) -> Any:
        return self.events[-1][0] if self.events else None

    @prop("maxCollector")
    def _max_collector(self) -> int:
        return 32

    @prop("description")
    def _description(self) -> Any:
        categories = [
            vim25.ElementDescription(label=key.capitalize(), summary=key.capitalize(), key=key)
            for key in ("info", "warning", "error", "user")
        ]
        return vim25.EventDescription(category=categories, eventInfo=[])

    def select(self, spec: Any) -> list[Any]:
        """Return the events that a filter spec wants, oldest first."""
        return [event for event, entity in self.events if wanted(spec, event, entity)]


def wanted(spec: Any, event: Any, entity: Entity | None) -> bool:
    """Whether a filter spec wants an event."""
    if spec.entity is not None and not concerns(spec.entity, entity):
        return False
    if spec.time is not None:
        if spec.time.beginTime is not None and event.createdTime < spec.time.beginTime:
            return False
        if spec.time.endTime is not None and event.createdTime > spec.time.endTime:
            return False
    if (
        spec.userName is not None
        and spec.userName.userList
        and event.userName not in spec.userName.userList
    ):
        return False
    if spec.eventChainId is not None and event.chainId != spec.eventChainId:
        return False
    types = [*spec.type, *spec.eventTypeId]
    if types:
        names = {cls.__name__ for cls in type(event).__mro__}
        if not any(name in names or name.removeprefix("vim.event.") in names for name in types):
            return False
    return True


class EventCollector(HistoryCollector):
    """A collector of events."""

    kind = "EventHistoryCollector"

    def offer(self, event: Any, entity: Entity | None) -> None:
        """Add a new event if the filter wants it."""
        if wanted(self.spec, event, entity):
            self.take(event)


@handles(EventManager, "QueryEvents")
def query_events(manager: EventManager, call: Call) -> None:
    """Refuse, as hosts do: events are read by a collector (seen from a host's shell, vmware/pyvmomi#268)."""
    raise with_message(vim25.NotImplemented())


@handles(EventManager, "CreateCollectorForEvents")
def create_collector(manager: EventManager, call: Call) -> Any:
    """Make a collector of the session."""
    session = open_collector(call, manager.collectors)
    spec = call.args["filter"]
    return EventCollector(
        manager.registry, session, spec, manager.select(spec), manager.collectors
    ).ref


@handles(EventManager, "LogUserEvent")
def log_user_event(manager: EventManager, call: Call) -> None:
    """Add a user's event to the log."""
    entity = manager.registry.find(call.args["entity"])
    manager.post(
        "GeneralUserEvent",
        f"User logged event: {call.args['msg']}",
        machine=entity if entity.kind == "VirtualMachine" else None,
        user=call.user,
        message=call.args["msg"],
    )
