"""Views: lists of objects that the server keeps for a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import Entity, SimObject, Watcher, prop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session


class ViewManager(SimObject):
    """Makes views."""

    kind = "ViewManager"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ViewManager")


class View(SimObject):
    """A view of one session."""

    kind = "ManagedObjectView"

    def __init__(self, registry: Registry, session: Session) -> None:
        self.session = session
        super().__init__(registry, f"session[{session.key}]{registry.new_uuid()}")
        session.owned.append(self)

    def objects(self) -> list[SimObject]:
        """Return the objects in the view."""
        raise NotImplementedError

    @prop("view", cached=False)
    def _view(self) -> list[Any]:
        return [obj.ref for obj in self.objects()]

    def remove(self) -> None:
        """End the view."""
        if self in self.session.owned:
            self.session.owned.remove(self)
        super().remove()


class ListView(View):
    """A list that its owner edits."""

    kind = "ListView"

    def __init__(self, registry: Registry, session: Session, refs: list[Any]) -> None:
        self.listed: dict[SimObject, None] = {}
        super().__init__(registry, session)
        self.add(refs)

    def add(self, refs: list[Any]) -> list[Any]:
        """Add objects; return the unknown references."""
        unknown = []
        for ref in refs:
            obj = self.registry.objects.get(ref.moref)
            if obj is None:
                unknown.append(ref)
            else:
                self.listed[obj] = None
        return unknown

    def objects(self) -> list[SimObject]:
        """Return the listed objects that still exist."""
        return [obj for obj in self.listed if obj.alive]


class ContainerView(View, Watcher):
    """Everything of some types below a container, always up to date."""

    kind = "ContainerView"

    def __init__(
        self,
        registry: Registry,
        session: Session,
        container: Entity,
        types: list[str],
        recursive: bool,
    ) -> None:
        self.container = container
        self.types = types
        self.recursive = recursive
        self._found: list[SimObject] | None = None
        self._walked: list[SimObject] = []
        super().__init__(registry, session)

    @prop("container")
    def _container(self) -> Any:
        return self.container.ref

    @prop("type")
    def _type(self) -> list[str]:
        return self.types

    @prop("recursive")
    def _recursive(self) -> bool:
        return self.recursive

    def objects(self) -> list[SimObject]:
        """Return the objects below the container."""
        if self._found is None:
            self._unwatch()
            self._walked = [self.container]
            self._found = [
                obj
                for obj in self._walk()
                if not self.types or not obj.kinds.isdisjoint(self.types)
            ]
            for obj in self._walked:
                obj.watchers[self] = None
        return [obj for obj in self._found if obj.alive]

    def _walk(self) -> Iterator[SimObject]:
        stack = [iter(contained(self.container))]
        seen: set[SimObject] = set()
        while stack:
            obj = next(stack[-1], None)
            if obj is None:
                stack.pop()
            elif obj not in seen:
                seen.add(obj)
                yield obj
                if self.recursive:
                    below = contained(obj)
                    if obj.kind != "VirtualMachine":
                        self._walked.append(obj)
                    stack.append(iter(below))

    def object_changed(self, obj: SimObject, names: tuple[str, ...]) -> None:
        """Refresh the view if the tree may have changed."""
        if not names or not _TREE.isdisjoint(names):
            self._found = None
            self.changed("view")

    def remove(self) -> None:
        """End the view."""
        self._unwatch()
        super().remove()

    def _unwatch(self) -> None:
        for obj in self._walked:
            obj.watchers.pop(self, None)


# Properties that make up the inventory tree.
_TREE = frozenset({"childEntity", "vm", "datastore", "network", "resourcePool", "host"})


def contained(obj: SimObject) -> list[Entity]:
    """Return the entities that a container view finds right below `obj`."""
    return (
        obj.contents()
        if hasattr(obj, "contents")
        else obj.children()
        if isinstance(obj, Entity)
        else []
    )


def _session(call: Call) -> Session:
    assert call.session is not None
    return call.session


@handles(ViewManager, "CreateContainerView")
def create_container_view(manager: ViewManager, call: Call) -> Any:
    """Make a container view."""
    types = call.get("type") or []
    for name in types:
        if vim25.BINDING.find(name) is None:
            raise invalid_argument("type", name)
    container = call.registry.find(call.args["container"])
    if not isinstance(container, Entity) or container.kind not in _CONTAINERS:
        raise invalid_argument("container")
    return ContainerView(
        call.registry, _session(call), container, types, bool(call.args["recursive"])
    ).ref


# Types of a container (ViewManager.CreateContainerView).
_CONTAINERS = frozenset(
    {"Folder", "Datacenter", "ComputeResource", "ResourcePool", "HostSystem", "VirtualApp"}
)


@handles(ViewManager, "CreateListView")
def create_list_view(manager: ViewManager, call: Call) -> Any:
    """Make a list view."""
    return ListView(call.registry, _session(call), call.get("obj") or []).ref


@handles(ViewManager, "CreateListViewFromView")
def create_list_view_from_view(manager: ViewManager, call: Call) -> Any:
    """Make a list view of the objects of another view."""
    other = call.registry.find(call.args["view"])
    return ListView(call.registry, _session(call), [obj.ref for obj in other.objects()]).ref


@handles(ListView, "ModifyListView")
def modify_list_view(view: ListView, call: Call) -> list[Any]:
    """Add and remove objects; return the unknown references."""
    unknown = view.add(call.get("add") or [])
    for ref in call.get("remove") or []:
        obj = view.registry.objects.get(ref.moref)
        if obj is None or obj not in view.listed:
            unknown.append(ref)
        else:
            del view.listed[obj]
    for gone in [obj for obj in view.listed if not obj.alive]:
        del view.listed[gone]
    view.changed("view")
    return unknown


@handles(ListView, "ResetListView")
def reset_list_view(view: ListView, call: Call) -> list[Any]:
    """Replace the list; return the unknown references."""
    view.listed.clear()
    unknown = view.add(call.get("obj") or [])
    view.changed("view")
    return unknown


@handles(ListView, "ResetListViewFromView")
def reset_list_view_from_view(view: ListView, call: Call) -> None:
    """Replace the list by the objects of another view."""
    other = call.registry.find(call.args["view"])
    view.listed = dict.fromkeys(other.objects())
    view.changed("view")


@handles(View, "DestroyView")
def destroy_view(view: View, call: Call) -> None:
    """Drop a view."""
    view.remove()
