"""The simulated host with an inventory of the test's own, called without a wire.

Property collectors, views, sessions and events are the simulator's; the objects are those that a
test adds, of any type and with any properties. Calls and replies pass through the codec.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from vimlib import vim25
from vimlib._collector import Context
from vimlib.errors import ConnectionLostError
from vimlib.model import ManagedObject, Method, MethodFault, wire_fields
from vimlib.simulator._assemble import load_handlers
from vimlib.simulator._core.call import Call as SimCall
from vimlib.simulator._core.clock import SystemClock
from vimlib.simulator._core.objects import Entity
from vimlib.simulator._core.registry import Registry
from vimlib.simulator._properties.collector import DefaultCollector, PropertyCollector
from vimlib.simulator._properties.views import View, ViewManager
from vimlib.simulator._protocol.dispatch import Incoming, serve_call
from vimlib.simulator._service.accounts import AuthorizationManager
from vimlib.simulator._service.events import EventManager
from vimlib.simulator._service.sessions import SessionManager
from vimlib.soap import encode_request
from vimlib.soap._backend import decode_response

Key = tuple[str, str]
# Properties that lead down the inventory.
LINKS = ("childEntity", "vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "host",
         "resourcePool", "vm")  # fmt: skip
Hook = Callable[[str, ManagedObject, Mapping[str, Any]], Awaitable[Any]]


@dataclass
class Call:
    method: str
    this: ManagedObject
    args: Mapping[str, Any]


class LoopClock(SystemClock):
    """The clock of the running loop."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Made(Entity):
    """An object with given properties, in the inventory below what links to it, or the root."""

    def __init__(self, registry: Registry, moid: str, props: dict[str, Any]) -> None:
        self.props = props
        super().__init__(registry, moid, moid, None)

    def read(self, name: str) -> Any:
        return self.props.get(name)

    def children(self) -> list[Entity]:
        links = [self.props.get(name) for name in LINKS]
        refs = [
            ref for link in links if link for ref in (link if isinstance(link, list) else [link])
        ]
        found = [obj for ref in refs if (obj := self.registry.objects.get(ref.moref))]
        if self.moid == "root":
            found += [obj for obj in made(self.registry) if "ManagedEntity" in obj.kinds]
        return found


@cache
def made_class(kind: str) -> type[Made]:
    return type(f"Made{kind}", (Made,), {"kind": kind})


def made(registry: Registry) -> list[Made]:
    return [obj for obj in registry.objects.values() if isinstance(obj, Made)]


class Objects(MutableMapping[Key, dict[str, Any]]):
    """The properties of each object, to be changed without notice."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __getitem__(self, key: Key) -> dict[str, Any]:
        props: dict[str, Any] = self.registry.objects[key].props
        return props

    def __setitem__(self, key: Key, props: dict[str, Any]) -> None:
        made_class(key[0])(self.registry, key[1], props)

    def __delitem__(self, key: Key) -> None:
        self.registry.objects[key].remove()

    def __iter__(self) -> Iterator[Key]:
        return iter([(obj.kind, obj.moid) for obj in made(self.registry)])

    def __len__(self) -> int:
        return len(made(self.registry))


class Denied(dict[tuple[Key, str], MethodFault]):
    """Properties that may not be read; they are denied for all objects of the type."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __setitem__(self, key: tuple[Key, str], fault: MethodFault) -> None:
        self.registry.faults.denied[key[0][0], key[1]] = fault

    def __delitem__(self, key: tuple[Key, str]) -> None:
        del self.registry.faults.denied[key[0][0], key[1]]

    def clear(self) -> None:
        self.registry.faults.denied.clear()


class Host:
    """Implements `Invoker`. Logs in again when its session has expired, as a session does."""

    host = "made-up:443"

    def __init__(self, version: str = "8.0.3.0") -> None:
        self.version = version
        self.latency = 0.0
        self.calls: list[Call] = []
        self.update_limit: int | None = None
        self.hook: Hook | None = None
        # Called with (method, result) before the result goes back; may raise to lose the reply.
        self.reply: Callable[[str, Any], None] | None = None
        self.waiting = 0
        self.most_waiting = 0
        self.has_views = True
        # Whether a filter tells of named objects that are not there; not all hosts do.
        self.reports_missing = True
        load_handlers()
        self.registry = Registry(version, clock=LoopClock())
        DefaultCollector(self.registry)
        ViewManager(self.registry)
        AuthorizationManager(self.registry, "ha-authmgr")
        self.sessions = SessionManager(self.registry, "root", "", limit=100, idle=1e9)
        self.log = EventManager(self.registry, None, None)  # type: ignore[arg-type]
        self.log.events = deque()
        self.objects = Objects(self.registry)
        self.denied = Denied(self.registry)
        self.add(vim25.Folder, "root")

    # -- making things ---------------------------------------------------------------------------

    def ref(self, cls: type[Any], value: str) -> Any:
        return cls(value, invoker=self)

    def content(self) -> vim25.ServiceContent:
        return vim25.ServiceContent(
            rootFolder=vim25.Folder("root"),
            propertyCollector=vim25.PropertyCollector("ha-property-collector"),
            viewManager=vim25.ViewManager("ViewManager") if self.has_views else None,
            eventManager=vim25.EventManager("ha-eventmgr"),
            about=vim25.AboutInfo(
                name="made-up",
                fullName="made-up",
                vendor="",
                version=self.version,
                build="1",
                osType="",
                productLineId="embeddedEsx",
                apiType="HostAgent",
                apiVersion=self.version,
            ),
        )

    def context(self, **options: Any) -> Context:
        return Context(self, self.content(), self.version, **options)

    def add(self, cls: type[Any], value: str, /, **props: Any) -> Any:
        self.objects[cls.__name__, value] = props
        self._tree_changed()
        return self.ref(cls, value)

    def set(self, obj: ManagedObject, **props: Any) -> None:
        self.objects[obj.moref].update(props)
        self.registry.objects[obj.moref].changed(*props)

    def remove(self, obj: ManagedObject) -> None:
        del self.objects[obj.moref]
        self._tree_changed()

    def touch(self) -> None:
        for obj in made(self.registry):
            obj.changed()

    def _tree_changed(self) -> None:
        self.registry.objects["Folder", "root"].changed("childEntity")

    def expire(self) -> None:
        """End the session: what lived in it is gone."""
        self.sessions.expire()

    def _owned(self) -> list[Any]:
        return [obj for session in self.sessions.by_cookie.values() for obj in session.owned]

    def drop_views(self) -> None:
        """Lose the views and nothing else."""
        for obj in self._owned():
            if isinstance(obj, View):
                obj.remove()

    def forget_tokens(self) -> None:
        for obj in self._owned():
            if isinstance(obj, PropertyCollector):
                obj.tokens.clear()

    def leftovers(self) -> list[Any]:
        """Return the session objects that somebody forgot."""
        found: list[Any] = []
        for obj in self._owned():
            if isinstance(obj, PropertyCollector):
                found += [*obj.filters, *obj.tokens]
            if not obj.moid.startswith("ha-property-collector"):
                found.append(obj)
        return found

    def count(self, *methods: str) -> int:
        return sum(call.method in methods for call in self.calls)

    # -- calls -----------------------------------------------------------------------------------

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        self.calls.append(Call(method.name, this, args))
        await asyncio.sleep(self.latency)
        if self.hook is not None:
            answer = await self.hook(method.name, this, args)
            if answer is not None:
                return answer
        if method.name.startswith("WaitForUpdates"):
            result = await self._wait(method, this, args)
        elif method.name == "CancelTask":
            self._cancel(this)
            result = None
        else:
            result = await self._serve(method, this, args)
        if self.reply is not None:
            self.reply(method.name, result)
        await asyncio.sleep(self.latency)
        return result

    async def _serve(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        body = encode_request(method, this, args)
        while True:
            cookie = next(iter(self.sessions.by_cookie), None)
            if cookie is None:
                login = SimCall(self.registry, "Login", {}, None)
                cookie = self.sessions.open(login, "root", None).cookie
            answer = await serve_call(self.registry, Incoming(body, cookie, "", "", ""), [])
            try:
                return decode_response(method, answer.body, invoker=self)
            except vim25.NotAuthenticated:
                if cookie in self.sessions.by_cookie:
                    raise

    async def _wait(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        if self.update_limit is not None and "options" in args:
            options = copy.copy(args["options"])
            options.maxObjectUpdates = min(self.update_limit, options.maxObjectUpdates or 10**9)
            args = {**args, "options": options}
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            result = await self._serve(method, this, args)
        finally:
            self.waiting -= 1
        if result is not None and not self.reports_missing:
            for item in result.filterSet:
                item.missingSet = []
        return result

    # -- tasks -----------------------------------------------------------------------------------

    def task(self, state: str = "running", **info: Any) -> vim25.Task[Any]:
        value = f"task-{self.registry.serial()}"
        ref: vim25.Task[Any] = self.ref(vim25.Task, value)
        defaults: dict[str, Any] = {
            "key": value,
            "task": ref,
            "descriptionId": "x",
            "cancelled": False,
            "cancelable": True,
            "reason": vim25.TaskReason(),
            "queueTime": datetime(2026, 1, 1, tzinfo=UTC),
            "eventChainId": 1,
        }
        self.objects[ref.moref] = {"info": vim25.TaskInfo(**(defaults | info), state=state)}
        return ref

    def update_task(self, task: ManagedObject, state: str, **info: Any) -> None:
        new = copy.copy(self.objects[task.moref]["info"])
        for name, value in {"state": state, **info}.items():
            setattr(new, name, value)
        self.set(task, info=new)

    def _cancel(self, task: ManagedObject) -> None:
        if self.objects[task.moref]["info"].state in ("success", "error"):
            raise vim25.InvalidState
        fault = vim25.LocalizedMethodFault(
            fault=vim25.RequestCanceled(), localizedMessage="cancelled"
        )
        self.update_task(task, "error", cancelled=True, error=fault)

    # -- events ----------------------------------------------------------------------------------

    @property
    def events(self) -> list[vim25.Event]:
        return [event for event, _ in self.log.events]

    def post(
        self, cls: type[Any] = vim25.GeneralUserEvent, *, at: datetime | None = None, **fields: Any
    ) -> Any:
        key = self.registry.serial()
        when = at or datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=key)
        empty = {"string": "", "boolean": False}
        needed = {
            f.attribute: empty[f.type] for f in wire_fields(cls) if f.required and f.type in empty
        }
        given = {**needed, **fields, "key": key, "chainId": key, "createdTime": when}
        event = cls(**{**given, "userName": "root"})
        self.log.events.append((event, None))
        for collector in self.log.collectors:
            collector.offer(event, None)
        return event


def lost() -> ConnectionLostError:
    return ConnectionLostError(
        "the peer closed the connection amid the exchange", host="made-up:443"
    )


def runtime_info(state: str, **more: Any) -> vim25.VirtualMachineRuntimeInfo:
    return vim25.VirtualMachineRuntimeInfo(
        connectionState="connected",
        powerState=state,
        toolsInstallerMounted=False,
        numMksConnections=0,
        **more,
    )
