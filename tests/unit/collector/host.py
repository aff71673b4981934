"""A made-up host in memory: property collectors, views, tasks and events, called without a wire.

It keeps the rules of the real one that matter here: a version is good until the next is handed
out and acknowledged, a token is good once, session objects die with the session, a truncated
set continues under the next version.
"""

# Handlers are named after the methods they answer, their parameters after the wire.
# ruff: noqa: N802, N803, A002

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from vimlib import vim25
from vimlib._collector import Context
from vimlib.errors import ConnectionLostError
from vimlib.model import ManagedObject, Method, MethodFault
from vimlib.model._managed import rebind

Key = tuple[str, str]
Hook = Callable[[str, ManagedObject, Mapping[str, Any]], Awaitable[Any]]
ABSENT = object()


@dataclass
class Call:
    method: str
    this: ManagedObject
    args: Mapping[str, Any]


@dataclass
class Filter:
    spec: vim25.PropertyFilterSpec


@dataclass
class Collector:
    filters: dict[Key, Filter] = field(default_factory=dict)
    # version -> what the client knows with it: filter -> object -> path -> value
    known: dict[str, dict[Key, dict[Key, dict[str, Any]]]] = field(default_factory=dict)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    # filter and named object: told of as missing
    told_lost: set[tuple[Key, Key]] = field(default_factory=set)


@dataclass
class View:
    members: list[ManagedObject] = field(default_factory=list)
    container: ManagedObject | None = None
    types: tuple[str, ...] = ()


class Host:
    """Implements `Invoker`."""

    def __init__(self, version: str = "8.0.3.0") -> None:
        self.version = version
        self.latency = 0.0
        self.calls: list[Call] = []
        self.objects: dict[Key, dict[str, Any]] = {}
        self.denied: dict[tuple[Key, str], MethodFault] = {}
        self.page_limit: int | None = None
        self.update_limit: int | None = None
        self.hook: Hook | None = None
        # Called with (method, result) before the result goes back; may raise to lose the reply.
        self.reply: Callable[[str, Any], None] | None = None
        self.waiting = 0
        self.most_waiting = 0
        self.has_views = True
        # Whether a filter tells of named objects that are not there; not all hosts do.
        self.reports_missing = True
        self._ids = itertools.count(1)
        self._changed = asyncio.Event()
        self.events: list[vim25.Event] = []
        self._setup()

    @property
    def host(self) -> str:
        return "made-up:443"

    # -- making things ---------------------------------------------------------------------------

    def _setup(self) -> None:
        self.collectors: dict[Key, Collector] = {("PropertyCollector", "ha-pc"): Collector()}
        self.views: dict[Key, View] = {}
        self.tokens: dict[str, list[vim25.ObjectContent]] = {}
        self.histories: dict[Key, dict[str, Any]] = {}

    def ref(self, cls: type[Any], value: str) -> Any:
        return cls(value, invoker=self)

    def content(self) -> vim25.ServiceContent:
        return vim25.ServiceContent(
            rootFolder=vim25.Folder("root"),
            propertyCollector=vim25.PropertyCollector("ha-pc"),
            viewManager=vim25.ViewManager("views") if self.has_views else None,
            eventManager=vim25.EventManager("events"),
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
        obj = self.ref(cls, value)
        self.objects[obj.moref] = props
        self.touch()
        return obj

    def set(self, obj: ManagedObject, **props: Any) -> None:
        self.objects[obj.moref].update(props)
        self.touch()

    def remove(self, obj: ManagedObject) -> None:
        del self.objects[obj.moref]
        for view in self.views.values():
            view.members = [item for item in view.members if item.moref != obj.moref]
        self.touch()

    def touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def expire(self) -> None:
        """Log the session out and in: what lived in it is gone."""
        self._setup()
        self.touch()

    def drop_views(self) -> None:
        """Lose the views and nothing else."""
        self.views.clear()
        self.touch()

    def leftovers(self) -> list[Key]:
        """Return the session objects that somebody forgot."""
        filters = [key for collector in self.collectors.values() for key in collector.filters]
        own = [key for key in self.collectors if key != ("PropertyCollector", "ha-pc")]
        return [*own, *filters, *self.views, *self.histories, *[("token", t) for t in self.tokens]]

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
        handler = getattr(self, f"_{method.name}")
        result = handler(this, **args)
        if asyncio.iscoroutine(result):
            result = await result
        if self.reply is not None:
            self.reply(method.name, result)
        await asyncio.sleep(self.latency)
        return result

    def _new(self, cls: type[Any]) -> Any:
        return self.ref(cls, f"session-{next(self._ids)}")

    @staticmethod
    def _find(table: dict[Key, Any], this: ManagedObject) -> Any:
        if this.moref not in table:
            raise vim25.ManagedObjectNotFound(obj=cast("vim25.ManagedObject", this))
        return table[this.moref]

    # -- reading ---------------------------------------------------------------------------------

    def _exists(self, obj: ManagedObject) -> bool:
        return obj.moref in self.objects or obj.moref in self.views or obj.moref in self.histories

    def _link(self, obj: ManagedObject, path: str) -> list[ManagedObject]:
        view = self.views.get(obj.moref)
        if view is not None and path == "view":
            return self._members(view)
        value = self._value(obj, path)
        if value is ABSENT or value is None:
            return []
        return value if isinstance(value, list) else [value]

    def _members(self, view: View) -> list[ManagedObject]:
        if view.container is None:
            return [obj for obj in view.members if self._exists(obj)]
        found = []
        for kind, value in self.objects:
            cls = getattr(vim25, kind)
            if any(
                issubclass(cls, getattr(vim25, name)) for name in view.types or ("ManagedEntity",)
            ):
                found.append(self.ref(cls, value))
        return found

    def _value(self, obj: ManagedObject, path: str) -> Any:
        value: Any = ABSENT
        for part in path.split("."):
            if value is ABSENT:
                props = self.objects.get(obj.moref, {})
                if obj.moref in self.histories and part == "latestPage":
                    return self._latest(obj)
                value = props.get(part)
            else:
                value = getattr(value, part, None)
            if value is None:
                return None
        return value

    def _selected(self, spec: vim25.PropertyFilterSpec) -> list[Any]:
        found: dict[Key, Any] = {}
        for start in spec.objectSet:
            if not self._exists(start.obj):
                if spec.reportMissingObjectsInResults:
                    continue
                raise vim25.ManagedObjectNotFound(obj=start.obj)
            obj = rebind(start.obj, self)
            if not start.skip:
                found[obj.moref] = obj
            named = {
                item.name: item for item in start.selectSet if isinstance(item, vim25.TraversalSpec)
            }
            seen: set[tuple[Key, str | None]] = set()
            todo: list[tuple[ManagedObject, Any]] = [(obj, item) for item in start.selectSet]
            while todo:
                at, step = todo.pop()
                if not isinstance(step, vim25.TraversalSpec):
                    step = named[step.name]
                if not isinstance(at, getattr(vim25, step.type)) or (at.moref, step.name) in seen:
                    continue
                seen.add((at.moref, step.name))
                for target in self._link(at, step.path):
                    if not step.skip and self._exists(target):
                        found[target.moref] = rebind(target, self)
                    todo.extend((target, item) for item in step.selectSet)
        return list(found.values())

    def _read(
        self, spec: vim25.PropertyFilterSpec, obj: ManagedObject
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        for wanted in spec.propSet:
            if isinstance(obj, getattr(vim25, wanted.type)):
                break
        else:
            return None
        paths = list(self.objects.get(obj.moref, {})) if wanted.all else wanted.pathSet
        props: dict[str, Any] = {}
        missing: dict[str, Any] = {}
        for path in paths:
            denied = self.denied.get((obj.moref, path))
            value = self._value(obj, path)
            if denied is not None:
                missing[path] = denied
            elif value is not None:
                props[path] = value if isinstance(value, ManagedObject) else copy.copy(value)
        return props, missing

    def _contents(self, specs: list[vim25.PropertyFilterSpec]) -> list[vim25.ObjectContent]:
        contents = []
        for spec in specs:
            for obj in self._selected(spec):
                read = self._read(spec, obj)
                if read is None:
                    continue
                props, missing = read
                contents.append(
                    vim25.ObjectContent(
                        obj=obj,
                        propSet=[vim25.DynamicProperty(name=k, val=v) for k, v in props.items()],
                        missingSet=[
                            vim25.MissingProperty(path=k, fault=vim25.LocalizedMethodFault(fault=v))
                            for k, v in missing.items()
                        ],
                    )
                )
        return contents

    def _old(self, since: str) -> None:
        if Context(self, self.content(), self.version).speaks(since):
            return
        raise AssertionError(
            f"a method of API {since} was called on a host that speaks {self.version}"
        )

    def _RetrieveProperties(self, this: Any, specSet: Any) -> Any:
        return self._contents(specSet)

    def _RetrievePropertiesEx(self, this: Any, specSet: Any, options: Any) -> Any:
        self._old("4.1")
        return self._paged(self._contents(specSet), options.maxObjects)

    def _paged(self, contents: list[Any], most: int | None) -> Any:
        size = min(x for x in (most, self.page_limit, len(contents) or 1) if x)
        token = None
        if len(contents) > size:
            token = f"{size}:{next(self._ids)}"
            self.tokens[token] = contents[size:]
        if not contents:
            return None
        return vim25.RetrieveResult(token=token, objects=contents[:size])

    def _ContinueRetrievePropertiesEx(self, this: Any, token: str) -> Any:
        if token not in self.tokens:
            raise vim25.InvalidProperty(name="token")
        return self._paged(self.tokens.pop(token), int(token.partition(":")[0]))

    def _CancelRetrievePropertiesEx(self, this: Any, token: str) -> None:
        if token not in self.tokens:
            raise vim25.InvalidProperty(name="token")
        del self.tokens[token]

    # -- views -----------------------------------------------------------------------------------

    def _CreateContainerView(
        self, this: Any, container: Any, type: Any = (), recursive: bool = True
    ) -> Any:
        view = self._new(vim25.ContainerView)
        self.views[view.moref] = View(container=container, types=tuple(type))
        return view

    def _CreateListView(self, this: Any, obj: Any = ()) -> Any:
        view = self._new(vim25.ListView)
        self.views[view.moref] = View(members=[item for item in obj if self._exists(item)])
        return view

    def _ModifyListView(self, this: Any, add: Any = (), remove: Any = ()) -> list[Any]:
        view = self._find(self.views, this)
        gone = {item.moref for item in remove}
        view.members = [item for item in view.members if item.moref not in gone]
        unresolved = [item for item in add if not self._exists(item)]
        view.members.extend(item for item in add if self._exists(item))
        self.touch()
        return unresolved

    def _DestroyView(self, this: Any) -> None:
        self._find(self.views, this)
        del self.views[this.moref]

    # -- collectors ------------------------------------------------------------------------------

    def _CreatePropertyCollector(self, this: Any) -> Any:
        self._old("4.1")
        collector = self._new(vim25.PropertyCollector)
        self.collectors[collector.moref] = Collector()
        return collector

    def _DestroyPropertyCollector(self, this: Any) -> None:
        self._find(self.collectors, this).cancelled.set()
        del self.collectors[this.moref]

    def _CreateFilter(self, this: Any, spec: Any, partialUpdates: bool) -> Any:
        assert partialUpdates is False
        collector = self._find(self.collectors, this)
        self._selected(spec)  # refuses objects that are gone
        made = self._new(vim25.PropertyFilter)
        collector.filters[made.moref] = Filter(spec)
        self.touch()
        return made

    def _DestroyPropertyFilter(self, this: Any) -> None:
        for collector in self.collectors.values():
            if collector.filters.pop(this.moref, None):
                for known in collector.known.values():
                    known.pop(this.moref, None)
                return
        raise vim25.ManagedObjectNotFound(obj=this)

    def _CancelWaitForUpdates(self, this: Any) -> None:
        self._find(self.collectors, this).cancelled.set()

    async def _WaitForUpdates(self, this: Any, version: str | None = None) -> Any:
        return await self._wait(this, version, None, None)

    async def _WaitForUpdatesEx(
        self, this: Any, version: str | None = None, options: Any = None
    ) -> Any:
        self._old("4.1")
        return await self._wait(this, version, options.maxWaitSeconds, options.maxObjectUpdates)

    async def _wait(
        self, this: Any, version: str | None, seconds: int | None, most: int | None
    ) -> Any:
        collector = self._find(self.collectors, this)
        collector.cancelled = asyncio.Event()
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if (
                        this.moref not in self.collectors
                        or self.collectors[this.moref] is not collector
                    ):
                        raise vim25.ManagedObjectNotFound(obj=this)
                    result = self._updates(collector, version, most)
                    if result is not None:
                        return result
                    if collector.cancelled.is_set():
                        raise vim25.RequestCanceled
                    waits = [
                        asyncio.ensure_future(e.wait())
                        for e in (self._changed, collector.cancelled)
                    ]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
                        await asyncio.gather(*waits, return_exceptions=True)
        except TimeoutError:
            return None
        finally:
            self.waiting -= 1

    def _updates(self, collector: Collector, version: str | None, most: int | None) -> Any:
        if version is not None and version not in collector.known:
            raise vim25.InvalidCollectorVersion
        before = collector.known[version] if version is not None else {}
        after = {key: dict(told) for key, told in before.items()}
        room = min(x for x in (most, self.update_limit, 10**9) if x)
        truncated = False
        sets = []
        for key, item in collector.filters.items():
            told = after.setdefault(key, {})
            updates = []
            now: dict[Key, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
            for obj in self._selected(item.spec):
                read = self._read(item.spec, obj)
                if read is not None:
                    now[obj.moref] = (obj, *read)
            for moref, (obj, props, missing) in now.items():
                update = self._object_update(obj, told.get(moref), props, missing)
                if update is None:
                    continue
                if room == 0:
                    truncated = True
                    break
                room -= 1
                updates.append(update)
                told[moref] = {**props, "?": sorted(missing)}
            for moref in [moref for moref in told if moref not in now]:
                if room == 0:
                    truncated = True
                    break
                room -= 1
                updates.append(
                    vim25.ObjectUpdate(
                        kind="leave", obj=self.ref(getattr(vim25, moref[0]), moref[1])
                    )
                )
                del told[moref]
            lost = []
            if self.reports_missing and item.spec.reportMissingObjectsInResults:
                lost = [
                    vim25.MissingObject(
                        obj=start.obj,
                        fault=vim25.LocalizedMethodFault(
                            fault=vim25.ManagedObjectNotFound(obj=start.obj)
                        ),
                    )
                    for start in item.spec.objectSet
                    if not self._exists(start.obj)
                    and (version is None or (key, start.obj.moref) not in collector.told_lost)
                ]
                collector.told_lost.update((key, missing.obj.moref) for missing in lost)
            if updates or lost:
                sets.append(
                    vim25.PropertyFilterUpdate(
                        filter=self.ref(vim25.PropertyFilter, key[1]),
                        objectSet=updates,
                        missingSet=lost,
                    )
                )
        if not sets and version is not None:
            return None
        number = str(next(self._ids))
        collector.known = {number: after, **({version: before} if version is not None else {})}
        return vim25.UpdateSet(version=number, filterSet=sets, truncated=truncated or None)

    @staticmethod
    def _object_update(obj: Any, told: Any, props: Any, missing: Any) -> Any:
        missing_set = [
            vim25.MissingProperty(path=k, fault=vim25.LocalizedMethodFault(fault=v))
            for k, v in missing.items()
        ]
        if told is None:
            changes = [vim25.PropertyChange(name=k, op="assign", val=v) for k, v in props.items()]
            return vim25.ObjectUpdate(
                kind="enter", obj=obj, changeSet=changes, missingSet=missing_set
            )
        changes = [
            vim25.PropertyChange(name=k, op="assign", val=v)
            for k, v in props.items()
            if told.get(k, ABSENT) != v
        ]
        changes += [
            vim25.PropertyChange(name=k, op="indirectRemove")
            for k in told
            if k != "?" and k not in props and k not in missing
        ]
        if not changes and told["?"] == sorted(missing):
            return None
        return vim25.ObjectUpdate(kind="modify", obj=obj, changeSet=changes, missingSet=missing_set)

    # -- tasks -----------------------------------------------------------------------------------

    def task(self, state: str = "running", **info: Any) -> vim25.Task[Any]:
        value = f"task-{next(self._ids)}"
        made: vim25.Task[Any] = self.ref(vim25.Task, value)
        defaults: dict[str, Any] = {
            "key": value,
            "task": made,
            "descriptionId": "x",
            "cancelled": False,
            "cancelable": True,
            "reason": vim25.TaskReason(),
            "queueTime": datetime(2026, 1, 1, tzinfo=UTC),
            "eventChainId": 1,
        }
        self.objects[made.moref] = {"info": vim25.TaskInfo(**(defaults | info), state=state)}
        return made

    def update_task(self, task: ManagedObject, state: str, **info: Any) -> None:
        props = self.objects[task.moref]
        old = props["info"]
        props["info"] = new = copy.copy(old)
        new.state = state
        for name, value in info.items():
            setattr(new, name, value)
        self.touch()

    def _CancelTask(self, this: Any) -> None:
        info = self._find(self.objects, this)["info"]
        if info.state in ("success", "error"):
            raise vim25.InvalidState
        self.update_task(
            this,
            "error",
            cancelled=True,
            error=vim25.LocalizedMethodFault(
                fault=vim25.RequestCanceled(), localizedMessage="cancelled"
            ),
        )

    # -- events ----------------------------------------------------------------------------------

    def post(
        self, cls: type[Any] = vim25.GeneralUserEvent, *, at: datetime | None = None, **fields: Any
    ) -> Any:
        key = next(self._ids)
        when = at or datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=key)
        event = cls(key=key, chainId=key, createdTime=when, userName="root", **fields)
        self.events.append(event)
        self.touch()
        return event

    def _latest(self, this: ManagedObject) -> list[Any]:
        history = self.histories[this.moref]
        return list(reversed(self._history(history)))[: history["page"]]

    def _history(self, history: dict[str, Any]) -> list[Any]:
        time = history["filter"].time
        begin = time.beginTime if time is not None else None
        kinds = tuple(getattr(vim25, name) for name in history["filter"].eventTypeId) or (
            vim25.Event,
        )
        return [
            event
            for event in self.events
            if (begin is None or event.createdTime >= begin) and isinstance(event, kinds)
        ]

    def _CreateCollectorForEvents(self, this: Any, filter: Any) -> Any:
        made = self._new(vim25.EventHistoryCollector)
        self.histories[made.moref] = {"filter": filter, "at": 0, "page": 10}
        return made

    def _SetCollectorPageSize(self, this: Any, maxCount: int) -> None:
        self._find(self.histories, this)["page"] = maxCount

    def _RewindCollector(self, this: Any) -> None:
        self._find(self.histories, this)["at"] = 0

    def _ReadNextEvents(self, this: Any, maxCount: int) -> list[Any]:
        history = self._find(self.histories, this)
        found = self._history(history)[history["at"] : history["at"] + maxCount]
        history["at"] += len(found)
        return found

    def _DestroyCollector(self, this: Any) -> None:
        self._find(self.histories, this)
        del self.histories[this.moref]


def lost() -> ConnectionLostError:
    return ConnectionLostError(
        "the peer closed the connection amid the exchange", host="made-up:443"
    )
