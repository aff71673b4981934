r"""Inventory paths, as `/DC/vm/web/web-1`: of many objects at once, and back to the objects.

On the wire, names have `/`, `\` and `%` escaped as `%2f`, `%5c` and `%25`. An `InventoryPath` keeps
them so, and FindByInventoryPath accepts it. It does not contain the root folder's name. A pattern
is an ordinary `str`; the two types distinguish a machine named `web[1]` from the pattern `web[1]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector.bounds import bounded
from vimlib._collector.collect import PAGE, listing
from vimlib._collector.declared import check_contents
from vimlib._collector.sources import filter_spec, members_of, property_spec, retrieval_spec
from vimlib._collector.traversal import UP, Hop, Traversal
from vimlib._collector.views import container_view, list_view
from vimlib._text import printable
from vimlib.errors import InvalidPathError

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Iterator,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager

    from vimlib._collector.context import Context

Key = tuple[str, str]

# Up to this many start objects are listed in the request itself; for more, a ListView holds them,
# so that the request stays small and the number of calls low.
FEW: Final = 20
DEEPEST: Final = 64

# The children of each type. Together with the leaves these are all types of the inventory; no
# object has two of these types.
CHILDREN: Final = {
    "Folder": ("childEntity",),
    "Datacenter": ("vmFolder", "hostFolder", "datastoreFolder", "networkFolder"),
    "ComputeResource": ("host", "resourcePool"),
    "ResourcePool": ("resourcePool", "vm"),
}
LEAVES: Final = (
    vim25.HostSystem,
    vim25.VirtualMachine,
    vim25.Datastore,
    vim25.Network,
    vim25.DistributedVirtualSwitch,
    vim25.TransitGateway,
)
BELOW: Final = Traversal(
    tuple(Hop(kind, path) for kind, paths in CHILDREN.items() for path in paths)
)

# The folders in which a bare name of a type is searched.
HOMES: Final[tuple[tuple[type[vim25.ManagedObject], str], ...]] = (
    (vim25.VirtualMachine, "vm"),
    (vim25.HostSystem, "host"),
    (vim25.ComputeResource, "host"),
    (vim25.ResourcePool, "host"),
    (vim25.Datastore, "datastore"),
    (vim25.Network, "network"),
    (vim25.DistributedVirtualSwitch, "network"),
)


class InventoryPath(str):
    """The exact path of an object, as `Client.paths` and `Client.find` return it.

    A `str` to print, store and compare. `Client.find` compares its parts with names letter for
    letter, whereas it reads an ordinary `str` as a pattern. Build one from stored text with
    ``InventoryPath(text)``.

    Raises:
        InvalidPathError: The text does not begin with `/`, or has an empty part.
    """

    __slots__ = ()

    def __new__(cls, path: str) -> Self:
        """Validate and return `path`."""
        check_argument("path", path, str, "an inventory path")
        if not path.startswith("/") or "//" in path or (path != "/" and path.endswith("/")):
            raise InvalidPathError(
                f"an inventory path begins with / and has no empty part, got {printable(path)!r}",
                hint="Write it as Client.paths returns it, such as /ha-datacenter/vm/web-1.",
                path=path,
            )
        return super().__new__(cls, path)

    @property
    def parts(self) -> tuple[str, ...]:
        """The escaped names from the datacenter down; empty for the root folder."""
        text = self[1:]
        return tuple(text.split("/")) if text else ()


class Found(Struct, frozen=True):
    """An object of the inventory, with a path to it."""

    path: InventoryPath
    obj: Any

    def __str__(self) -> str:
        return self.path


def escape(name: str) -> str:
    """Return a name in its escaped form, as one part of a path."""
    return name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def unescape(part: str) -> str:
    """Return the name of one escaped part of a path."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), part)


_ROOT: Final = InventoryPath("/")
_ESCAPE: Final = re.compile(r"%(2[fF]|5[cC]|25)")


async def paths_of(
    context: Context, objects: Iterable[vim25.ManagedObject], *, timeout: float | None = None
) -> list[InventoryPath | None]:
    """Return the inventory path of each object; the number of calls is independent of their number.

    (Before API 4.1 it grows with the number of deleted objects.) The path is None for an object
    that is gone or has an ancestor that this user may not read. Raises `DeadlineError` after `timeout`
    seconds. Cancelling leaves nothing behind on the host.
    """
    check_argument("objects", objects, Iterable, "an iterable of managed objects")
    async with bounded(context, "paths", timeout):
        return await _paths_of(context, list(objects))


async def _paths_of(
    context: Context, wanted: list[vim25.ManagedObject]
) -> list[InventoryPath | None]:
    if not wanted:
        return []
    known: dict[Key, vim25.ObjectContent] = {}
    properties = [
        property_spec(kind, ("name", "parent", *_other_parents(context, kind)))
        for kind in (*CHILDREN, *_leaves(context))
    ]
    async for content in _walk(context, wanted, UP, properties):
        known[content.obj.moref] = content
    names: dict[Key, tuple[str | None, Key | None]] = {}
    for key, content in known.items():
        props = {item.name: item.val for item in content.propSet}
        above = props.get("parent") or props.get("parentVApp")
        names[key] = (props.get("name"), None if above is None else above.moref)
    return [_path(obj.moref, names, context.content.rootFolder.moref) for obj in wanted]


def _leaves(context: Context) -> list[str]:
    return [kind.__name__ for kind in LEAVES if context.speaks(kind._since_)]


def _other_parents(context: Context, kind: str) -> tuple[str, ...]:
    # A machine in a vApp has no parent.
    hops = UP.at(context.api_version).hops
    return tuple(hop.path for hop in hops if hop.kind == kind)


def _path(
    key: Key, names: dict[Key, tuple[str | None, Key | None]], root: Key
) -> InventoryPath | None:
    parts: list[str] = []
    at = key
    while at != root:
        name, above = names.get(at, (None, None))
        if name is None or above is None or len(parts) > DEEPEST:
            return None
        parts.append(_part(name))
        at = above
    return InventoryPath("/" + "/".join(reversed(parts)))


def _part(name: str) -> str:
    # Servers escape names; an unescaped one must not become two parts.
    return name.replace("/", "%2f").replace("\\", "%5c")


async def find(
    context: Context,
    pattern: str,
    kind: type[vim25.ManagedObject] = vim25.ManagedEntity,
    *,
    timeout: float | None = None,
) -> list[Found]:
    r"""Return the objects whose inventory path matches `pattern`, in one call per level.

    An `InventoryPath` matches the objects with exactly that path, whatever characters it has.

    Any other `str` is a pattern: ``await find(context, "/*/vm/web-*")``. In a part of the path `*`
    matches any text, `?` one character, `[a-c]` and `[^a-c]` one of these or none of them, and `\`
    takes the next character literally; `**` (or `...`) as a part matches any number of levels. A
    `/` in a name is written `%2f`.

    A pattern without a leading `/` starts at the folder of each datacenter for objects of `kind`:
    `find(context, "a/web-*", vim25.VirtualMachine)` is `/*/vm/a/web-*`; a bare name is searched at
    all levels below. If `kind` has no such folder, it starts at the root.

    Each object is returned once, with the first path found. Cancelling leaves nothing
    behind on the host.

    Raises:
        InvalidPathError: The pattern has an empty part or an unclosed bracket.
        DeadlineError: `timeout` seconds have passed.
        ProtocolError: The host's pages get nowhere.
    """
    check_argument("pattern", pattern, str, "a pattern or an InventoryPath")
    check_argument("kind", kind, type, "a managed type, such as vim25.VirtualMachine")
    async with bounded(context, "find", timeout):
        return await _find(context, pattern, kind)


async def _find(context: Context, pattern: str, kind: type[vim25.ManagedObject]) -> list[Found]:
    tree = _Tree(context)
    level = [Found(_ROOT, context.content.rootFolder)]
    if isinstance(pattern, InventoryPath):
        parts = _exactly(pattern)
    else:
        parts = _parse(_anchored(pattern, kind))
    for part in parts:
        level = await (tree.all_below(level) if part is None else tree.below(level, part))
    unique = {item.obj.moref: item for item in reversed(level) if isinstance(item.obj, kind)}
    return list(reversed(unique.values()))


_Fits = Callable[[str], object]
"""Whether an escaped name matches a part of a path or pattern."""


def _exactly(path: InventoryPath) -> list[_Fits | None]:
    return [part.__eq__ for part in path.parts]


class _Tree:
    """The part of the inventory that has been read."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names: dict[Key, str] = {}
        self._below: dict[Key, list[vim25.ManagedObject]] = {}
        # Levels whose children have been read too, so that all names below them are known.
        self._done: set[Key] = set()

    async def below(self, level: Sequence[Found], fits: _Fits) -> list[Found]:
        """Return the children of a level whose names match."""
        unread = {
            item.obj.moref: item.obj
            for item in level
            if item.obj.moref not in self._done and not isinstance(item.obj, LEAVES)
        }
        if unread:
            await self._take(_walk(self._context, list(unread.values()), BELOW, self._properties()))
            self._done.update(unread)
        return [item for item in self._steps(level) if fits(item.path.rpartition("/")[2])]

    async def all_below(self, level: Sequence[Found]) -> list[Found]:
        """Return `level` and its descendants at all levels."""
        tops = [item.obj for item in level if not isinstance(item.obj, LEAVES)]
        if tops:
            await self._take_all(tops[0] if len(tops) == 1 else self._context.content.rootFolder)
        found = list(level)
        seen = {item.obj.moref for item in level}
        at = 0
        while at < len(found):
            for item in self._steps(found[at : at + 1]):
                if item.obj.moref not in seen:
                    seen.add(item.obj.moref)
                    found.append(item)
            at += 1
        return found

    def _steps(self, level: Iterable[Found]) -> Iterator[Found]:
        for item in level:
            for child in self._below.get(item.obj.moref, ()):
                name = self._names.get(child.moref)
                if name is not None:  # else not readable by this user, or deleted in between
                    above = "" if item.path == _ROOT else item.path
                    yield Found(InventoryPath(f"{above}/{_part(name)}"), child)

    def _properties(self) -> list[vim25.PropertySpec]:
        specs = [property_spec(kind, ("name", *paths)) for kind, paths in CHILDREN.items()]
        return specs + [property_spec(kind, ("name",)) for kind in _leaves(self._context)]

    async def _take_all(self, top: vim25.ManagedObject) -> None:
        """Read all descendants of `top` through a view, the fastest way for the server."""

        @asynccontextmanager
        async def objects() -> AsyncIterator[list[vim25.ObjectSpec]]:
            async with container_view(self._context, root=top) as view:
                yield [vim25.ObjectSpec(obj=top), members_of(view)]

        self._done.update(await self._take(_contents(self._context, self._properties(), objects)))

    async def _take(self, contents: AsyncGenerator[vim25.ObjectContent, None]) -> list[Key]:
        read = []
        async with aclosing(contents):
            async for content in contents:
                key, children = content.obj.moref, list[vim25.ManagedObject]()
                read.append(key)
                for item in content.propSet:
                    if item.name == "name":
                        self._names[key] = item.val
                    elif isinstance(item.val, list):
                        children.extend(
                            obj for obj in item.val if isinstance(obj, vim25.ManagedObject)
                        )
                    elif isinstance(item.val, vim25.ManagedObject):
                        children.append(item.val)
                self._below[key] = children
        return read


async def _walk(
    context: Context,
    starts: list[vim25.ManagedObject],
    traversal: Traversal,
    properties: list[vim25.PropertySpec],
) -> AsyncGenerator[vim25.ObjectContent, None]:
    """Yield the readable objects among the starts and their traversal; deleted ones are skipped."""
    while starts:
        try:
            async with aclosing(_walk_once(context, starts, traversal, properties)) as contents:
                async for content in contents:
                    yield content
            return
        except vim25.ManagedObjectNotFound as gone:
            # Hosts before 4.1 refuse the whole request for one deleted object, before returning
            # any.
            lost: vim25.ManagedObject | None = gone.obj
            left = [obj for obj in starts if lost is None or obj.moref != lost.moref]
            if lost is None or len(left) == len(starts):
                raise
            starts = left


async def _walk_once(
    context: Context,
    starts: list[vim25.ManagedObject],
    traversal: Traversal,
    properties: list[vim25.PropertySpec],
) -> AsyncGenerator[vim25.ObjectContent, None]:
    traversal = traversal.at(context.api_version)

    @asynccontextmanager
    async def objects() -> AsyncIterator[list[vim25.ObjectSpec]]:
        if len(starts) <= FEW:
            select = traversal.select()
            yield [vim25.ObjectSpec(obj=start, skip=False, selectSet=select) for start in starts]
            return
        async with list_view(context, starts) as view:
            members = Traversal((Hop("ListView", "view"),)).then(traversal)
            yield [vim25.ObjectSpec(obj=view, skip=True, selectSet=members.select())]

    async with aclosing(_contents(context, properties, objects)) as contents:
        async for content in contents:
            yield content


async def _contents(
    context: Context,
    properties: list[vim25.PropertySpec],
    objects: Callable[[], AbstractAsyncContextManager[list[vim25.ObjectSpec]]],
) -> AsyncGenerator[vim25.ObjectContent, None]:
    @asynccontextmanager
    async def begin() -> AsyncIterator[vim25.PropertyFilterSpec]:
        async with objects() as specs:
            # If the view is lost the call is refused, so create a new one; a deleted start has no
            # children.
            make = retrieval_spec if any(spec.skip for spec in specs) else filter_spec
            yield make(context, properties, specs)

    async with aclosing(listing(context, begin, PAGE)) as found:
        async for page in found:
            check_contents(page)
            for content in page:
                yield content


def _anchored(pattern: str, kind: type[vim25.ManagedObject]) -> str:
    if pattern.startswith("/"):
        return pattern
    home = next((folder for known, folder in HOMES if issubclass(kind, known)), None)
    if home is None:
        return f"/{pattern}"
    return f"/*/{home}/{pattern}" if "/" in pattern else f"/*/{home}/**/{pattern}"


def _parse(pattern: str) -> list[_Fits | None]:
    """Return a predicate for each part; None stands for any number of levels."""
    text = pattern.strip("/")
    parts: list[_Fits | None] = []
    for part in text.split("/") if text else ():
        if part in ("**", "..."):
            if not parts or parts[-1] is not None:
                parts.append(None)
        elif part:
            parts.append(_matching(re.compile(_regex(part, pattern), re.DOTALL)))
        else:
            raise _bad(pattern, "empty part", "Write a single slash between parts.")
    return parts


def _matching(regex: re.Pattern[str]) -> _Fits:
    return lambda name: regex.fullmatch(unescape(name))


_TOKEN: Final = re.compile(
    r"\\(?P<taken>.)|(?P<star>\*+)|(?P<one>\?)|\[(?P<set>\^?\]?[^\]]*)\]|(?P<open>\[)|%(?P<code>2f|5c|25)|(?P<plain>.)",
    re.DOTALL | re.IGNORECASE,
)


def _regex(part: str, pattern: str) -> str:
    out = []
    for token in _TOKEN.finditer(part):
        kind = token.lastgroup
        if kind == "star":
            out.append(".*")
        elif kind == "one":
            out.append(".")
        elif kind == "set":
            inverted = token["set"].startswith("^")
            members = "".join(
                c if c == "-" else re.escape(c) for c in token["set"].removeprefix("^")
            )
            if not members:
                raise _bad(pattern, "empty brackets", "Write [abc] or [a-c].")
            out.append(f"[{'^' if inverted else ''}{members}]")
        elif kind == "open":
            raise _bad(pattern, "unclosed bracket", r"Write \[ for a bracket in a name.")
        elif kind == "code":
            out.append(re.escape(chr(int(token["code"], 16))))
        else:
            out.append(re.escape(token["taken"] or token["plain"]))
    try:
        re.compile("".join(out))
    except re.error:
        raise _bad(pattern, "reversed range", "Write [a-c].") from None
    return "".join(out)


def _bad(pattern: str, what: str, hint: str) -> InvalidPathError:
    return InvalidPathError(
        f"invalid inventory path {printable(pattern)!r}: {what}", hint=hint, path=pattern
    )
