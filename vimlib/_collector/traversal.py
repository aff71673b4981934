"""Traversals of the object graph as values: printed as paths, sent as selection specs.

A `Hop` is one property that refers to other objects; a `Traversal` is a set of hops, each
knowing by name which hops follow it, so that recursion is a hop that names itself::

    >>> print(UP)
    ManagedEntity.parent -> ManagedEntity.parent, VirtualMachine.parentVApp
    VirtualMachine.parentVApp -> ManagedEntity.parent

A `Walk` is a traversal from somewhere; it is a source for `collect` and `watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from vimlib import vim25
from vimlib._collector.paths import properties_of
from vimlib.errors import UsageError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable


class Hop(Struct, frozen=True):
    """From an object of type `kind`, along its property `path`, to the objects that it refers to."""

    kind: str
    path: str
    then: tuple[str, ...] = ()
    """Names of the hops that may follow, of the same traversal."""

    @property
    def name(self) -> str:
        """`kind.path`, by which other hops refer to this one."""
        return f"{self.kind}.{self.path}"

    def __str__(self) -> str:
        return f"{self.name} -> {', '.join(self.then)}" if self.then else self.name


class Traversal(Struct, frozen=True):
    """A set of hops. The first step may be any of them whose type fits the start."""

    hops: tuple[Hop, ...]

    def then(self, following: Traversal) -> Traversal:
        """Return the traversal that goes on with `following` from wherever this one leads."""
        names = tuple(hop.name for hop in following.hops)
        mine = {
            hop.name: Hop(hop.kind, hop.path, tuple(dict.fromkeys((*hop.then, *names))))
            for hop in self.hops
        }
        # A hop in both keeps the ways of both.
        for hop in following.hops:
            if hop.name not in mine:
                mine[hop.name] = hop
        return Traversal(tuple(mine.values()))

    def at(self, version: str) -> Traversal:
        """Return it for a host of API `version`, without hops by newer properties."""
        known = {hop.name for hop in self.hops if _since(hop) <= parse_version(version)}
        return Traversal(
            tuple(
                Hop(hop.kind, hop.path, tuple(name for name in hop.then if name in known))
                for hop in self.hops
                if hop.name in known
            )
        )

    def select(self) -> list[vim25.SelectionSpec]:
        """Return the selections to put into an `ObjectSpec`.

        All hops are defined side by side before any is referred to: hosts resolve the names
        in the order in which they meet them.
        """
        return [
            vim25.TraversalSpec(
                name=hop.name,
                type=hop.kind,
                path=hop.path,
                skip=False,
                selectSet=[vim25.SelectionSpec(name=name) for name in hop.then],
            )
            for hop in self.hops
        ]

    def start(self, *starts: vim25.ManagedObject, include: bool = False) -> Walk:
        """Return the walk along this traversal from `starts`; `include` reports them as well."""
        return Walk(starts, self, include)

    def __str__(self) -> str:
        return "\n".join(map(str, self.hops))


class Walk(Struct, frozen=True):
    """A traversal from given objects."""

    starts: tuple[vim25.ManagedObject, ...]
    traversal: Traversal
    include: bool = False
    """Whether the starts themselves are reported."""

    def __str__(self) -> str:
        who = ", ".join(":".join(start.moref) for start in self.starts)
        return f"from {who}\n{self.traversal}"


def via(kind: type[vim25.ManagedObject], path: str) -> Traversal:
    """Return the traversal of one hop, as `via(vim25.HostSystem, "vm")`.

    Raises:
        UsageError: `kind` has no property `path` that refers to objects.
    """
    head, _, rest = path.partition(".")
    item = properties_of(kind).get(head)
    if item is None or (not rest and item.type != "ref"):
        links = ", ".join(
            name for name, known in properties_of(kind).items() if known.type == "ref"
        )
        raise UsageError(
            f"{kind.__name__}.{path} does not refer to other objects",
            hint=f"{kind.__name__} refers to other objects by: {links or 'no property'}.",
        )
    return Traversal((Hop(kind.__name__, path),))


def _since(hop: Hop) -> tuple[int, ...]:
    kind = vim25.BINDING.find(hop.kind)
    if kind is None:
        return ()
    item = properties_of(kind).get(hop.path.partition(".")[0])
    return max(parse_version(kind._since_ or "0"), parse_version((item and item.since) or "0"))


def _tangle(hops: Iterable[tuple[str, str, tuple[str, ...]]]) -> Traversal:
    return Traversal(tuple(Hop(kind, path, then) for kind, path, then in hops))


_FOLDER = (
    "Folder.childEntity",
    "Datacenter.vmFolder",
    "Datacenter.hostFolder",
    "Datacenter.datastoreFolder",
    "Datacenter.networkFolder",
    "ComputeResource.host",
    "ComputeResource.resourcePool",
)
_POOL = ("ResourcePool.resourcePool", "ResourcePool.vm")

INVENTORY: Final = _tangle(
    (
        ("Folder", "childEntity", (*_FOLDER, *_POOL)),  # a vApp stands in a folder and is a pool
        ("Datacenter", "vmFolder", ("Folder.childEntity",)),
        ("Datacenter", "hostFolder", ("Folder.childEntity",)),
        ("Datacenter", "datastoreFolder", ("Folder.childEntity",)),
        ("Datacenter", "networkFolder", ("Folder.childEntity",)),
        ("ComputeResource", "host", ()),
        ("ComputeResource", "resourcePool", _POOL),
        ("ResourcePool", "resourcePool", _POOL),
        ("ResourcePool", "vm", ()),
    )
)
"""Down from any folder, datacenter, compute resource or pool to all that an ESX host or vCenter
has below it: folders, datacenters, compute resources, hosts, pools, vApps, machines, datastores,
networks."""

HOSTING: Final = _tangle(
    (
        (
            "Folder",
            "childEntity",
            (
                "Folder.childEntity",
                "Datacenter.hostFolder",
                "ComputeResource.host",
                "ComputeResource.resourcePool",
                "ComputeResource.datastore",
                "ComputeResource.network",
            ),
        ),
        ("Datacenter", "hostFolder", ("Folder.childEntity",)),
        ("ComputeResource", "host", ()),
        ("ComputeResource", "resourcePool", ()),
        ("ComputeResource", "datastore", ()),
        ("ComputeResource", "network", ()),
    )
)
"""Down from the root folder to the objects that machines are put on: datacenters, compute resources, hosts, root
resource pools, datastores, networks. It does not visit machines, however many there are."""

UP: Final = _tangle(
    (
        ("ManagedEntity", "parent", ("ManagedEntity.parent", "VirtualMachine.parentVApp")),
        ("VirtualMachine", "parentVApp", ("ManagedEntity.parent",)),
    )
)
"""From any object of the inventory up to the root folder."""
