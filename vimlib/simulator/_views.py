"""Views: lists of objects that the server keeps for a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._objects import Entity, Served, Watcher, prop, serves
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._call import Call
    from vimlib.simulator._sessions import Session
    from vimlib.simulator._world import World

__all__ = ["ContainerView", "ListView", "ViewManager"]


class ViewManager(Served):
    """Makes views."""

    kind = "ViewManager"

    def __init__(self, world: World) -> None:
        super().__init__(world, "ViewManager")


class View(Served):
    """A view of one session."""

    kind = "ManagedObjectView"

    def __init__(self, world: World, session: Session) -> None:
        self.session = session
        super().__init__(world, f"session[{session.key}]{world.new_uuid()}")
        session.owned.append(self)

    def objects(self) -> list[Served]:
        """Return what the view shows."""
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

    def __init__(self, world: World, session: Session, refs: list[Any]) -> None:
        self.listed: dict[Served, None] = {}
        super().__init__(world, session)
        self.add(refs)

    def add(self, refs: list[Any]) -> list[Any]:
        """Add objects; return the references that are none."""
        unknown = []
        for ref in refs:
            obj = self.world.objects.get(ref.moref)
            if obj is None:
                unknown.append(ref)
            else:
                self.listed[obj] = None
        return unknown

    def objects(self) -> list[Served]:
        """Return what is listed and still there."""
        return [obj for obj in self.listed if obj.alive]


class ContainerView(View, Watcher):
    """Everything of some types below a container, always up to date."""

    kind = "ContainerView"

    def __init__(
        self, world: World, session: Session, container: Entity, types: list[str], recursive: bool
    ) -> None:
        self.container = container
        self.types = types
        self.recursive = recursive
        self._found: list[Served] | None = None
        self._walked: list[Served] = []
        super().__init__(world, session)

    @prop("container")
    def _container(self) -> Any:
        return self.container.ref

    @prop("type")
    def _type(self) -> list[str]:
        return self.types

    @prop("recursive")
    def _recursive(self) -> bool:
        return self.recursive

    def objects(self) -> list[Served]:
        """Return what is below the container now."""
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

    def _walk(self) -> Iterator[Served]:
        stack = [iter(contained(self.container))]
        seen: set[Served] = set()
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

    def object_changed(self, obj: Served, names: tuple[str, ...]) -> None:
        """Look anew if the tree may have changed."""
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


# Properties in which the tree hangs together.
_TREE = frozenset({"childEntity", "vm", "datastore", "network", "resourcePool", "host"})


def contained(obj: Served) -> list[Entity]:
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


@serves(ViewManager, "CreateContainerView")
def create_container_view(manager: ViewManager, call: Call) -> Any:
    """Make a container view."""
    types = call.get("type") or []
    for name in types:
        if vim25.BINDING.find(name) is None:
            raise say(
                vim25.InvalidArgument(invalidProperty="type"),
                f"A specified parameter was not correct: type ({name})",
            )
    container = call.world.find(call.args["container"])
    if not isinstance(container, Entity) or container.kind not in _CONTAINERS:
        raise say(
            vim25.InvalidArgument(invalidProperty="container"),
            "A specified parameter was not correct: container",
        )
    return ContainerView(
        call.world, _session(call), container, types, bool(call.args["recursive"])
    ).ref


# ViewManager.CreateContainerView: what may be a container.
_CONTAINERS = frozenset(
    {"Folder", "Datacenter", "ComputeResource", "ResourcePool", "HostSystem", "VirtualApp"}
)


@serves(ViewManager, "CreateListView")
def create_list_view(manager: ViewManager, call: Call) -> Any:
    """Make a list view."""
    return ListView(call.world, _session(call), call.get("obj") or []).ref


@serves(ViewManager, "CreateListViewFromView")
def create_list_view_from_view(manager: ViewManager, call: Call) -> Any:
    """Make a list view of what another view shows."""
    other = call.world.find(call.args["view"])
    return ListView(call.world, _session(call), [obj.ref for obj in other.objects()]).ref


@serves(ListView, "ModifyListView")
def modify_list_view(view: ListView, call: Call) -> list[Any]:
    """Add and remove; return what is unknown."""
    unknown = view.add(call.get("add") or [])
    for ref in call.get("remove") or []:
        obj = view.world.objects.get(ref.moref)
        if obj is None or obj not in view.listed:
            unknown.append(ref)
        else:
            del view.listed[obj]
    for gone in [obj for obj in view.listed if not obj.alive]:
        del view.listed[gone]
    view.changed("view")
    return unknown


@serves(ListView, "ResetListView")
def reset_list_view(view: ListView, call: Call) -> list[Any]:
    """Replace the list; return what is unknown."""
    view.listed.clear()
    unknown = view.add(call.get("obj") or [])
    view.changed("view")
    return unknown


@serves(ListView, "ResetListViewFromView")
def reset_list_view_from_view(view: ListView, call: Call) -> None:
    """Replace the list by what another view shows."""
    other = call.world.find(call.args["view"])
    view.listed = dict.fromkeys(other.objects())
    view.changed("view")


@serves(View, "DestroyView")
def destroy_view(view: View, call: Call) -> None:
    """Drop a view."""
    view.remove()
