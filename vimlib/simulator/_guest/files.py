"""The files of a scripted guest: a POSIX tree in memory, with owners and modes.

The faults are those that the API reference names for the methods of GuestFileManager: FileNotFound,
FileAlreadyExists, NotADirectory, NotAFile, DirectoryNotEmpty and, for another user's files,
GuestPermissionDenied.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.messages import with_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

MOST_BYTES: Final = 64 << 20
"""Bytes of all files of a guest, which are in this process's memory."""
_MOST_NODES: Final = 100_000
_LONGEST: Final = 4095
"""Characters of a path, as of Linux."""
_MOST_LINKS: Final = 40
"""Symbolic links that a path may pass, as of Linux."""
READ, WRITE, SEARCH = 4, 2, 1


@dataclass(frozen=True)
class GuestAccount:
    """A user of a guest."""

    name: str
    password: str = field(repr=False)
    uid: int = 0
    """0 may read and write every file."""
    home: str = "/root"


@dataclass(eq=False)
class GuestNode:
    """A file, a directory or a symbolic link."""

    owner: int
    mode: int
    modified: datetime
    content: bytes = b""
    children: dict[str, GuestNode] | None = None
    """By name; None for a file or a link."""
    target: str | None = None
    """Where a symbolic link leads."""

    @property
    def kind(self) -> str:
        """`GuestFileType`."""
        if self.children is not None:
            return "directory"
        return "file" if self.target is None else "symlink"

    def allows(self, account: GuestAccount, wish: int) -> bool:
        """Whether the mode lets a user read, write or search it."""
        shift = 6 if account.uid == self.owner else 0
        return account.uid == 0 or bool((self.mode >> shift) & wish)


class GuestTree:
    """All files of a guest. Paths are absolute; `account` acts."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._bytes = 0
        self._nodes = 1
        self.root = GuestNode(0, 0o755, now(), children={})

    def find(self, path: str, account: GuestAccount, *, follow: bool = True) -> GuestNode:
        """Return the node of a path. Raises the fault for one that is missing or out of reach."""
        node = self.root
        pending = _names(path)[::-1]
        links = 0
        trail: list[str] = []
        while pending:
            name = pending.pop()
            if node.children is None:
                raise _fault(vim25.NotADirectory, path)
            if not node.allows(account, SEARCH):
                raise denied(path)
            inner = node.children.get(name)
            if inner is None:
                raise no_such_guest_file(path)
            if inner.target is not None and (pending or follow):
                links += 1
                if links > _MOST_LINKS:
                    raise _fault(vim25.FileFault, path, "Too many levels of symbolic links")
                start = posixpath.join("/", *trail, inner.target)
                pending.extend(_names(start)[::-1])
                node, trail = self.root, []
                continue
            node = inner
            trail.append(name)
        return node

    def _parent(self, path: str, account: GuestAccount) -> tuple[GuestNode, str]:
        """Return the directory of a path and the last name."""
        names = _names(path)
        if not names:
            raise _fault(vim25.NotAFile, path)
        parent = self.find("/" + "/".join(names[:-1]), account)
        if parent.children is None:
            raise _fault(vim25.NotADirectory, path)
        return parent, names[-1]

    def _entry(self, path: str, account: GuestAccount) -> tuple[dict[str, GuestNode], str]:
        """Return the entries of a path's directory, which `account` may change, and the last name."""
        parent, name = self._parent(path, account)
        if not parent.allows(account, WRITE):
            raise denied(path)
        parent.modified = self._now()
        assert parent.children is not None
        return parent.children, name

    def exists(self, path: str, account: GuestAccount) -> bool:
        """Whether a path exists for `account`."""
        try:
            self.find(path, account)
        except vim25.MethodFault:
            return False
        return True

    def read(self, path: str, account: GuestAccount) -> bytes:
        """Return a file's content."""
        node = self.find(path, account)
        if node.children is not None:
            raise _fault(vim25.NotAFile, path)
        if not node.allows(account, READ):
            raise denied(path)
        return node.content

    def write(
        self, path: str, content: bytes, account: GuestAccount, *, append: bool = False
    ) -> GuestNode:
        """Write a file, a new one with mode 0644."""
        node = self.find(path, account) if self.exists(path, account) else None
        if node is None:
            entries, name = self._entry(path, account)
            self._grow(path, nodes=1)
            node = entries[name] = GuestNode(account.uid, 0o644, self._now())
        elif node.children is not None:
            raise _fault(vim25.NotAFile, path)
        elif not node.allows(account, WRITE):
            raise denied(path)
        if append:
            content = node.content + content
        self._grow(path, size=len(content) - len(node.content))
        node.content, node.modified = content, self._now()
        return node

    def make_directory(self, path: str, account: GuestAccount, *, parents: bool = False) -> None:
        """Make a directory; `parents` makes those above it too."""
        missing = []
        above = posixpath.dirname(_normal(path))
        while parents and not self.exists(above, account):
            missing.append(above)
            above = posixpath.dirname(above)
        for each in reversed(missing):
            self.make_directory(each, account)
        entries, name = self._entry(path, account)
        if name in entries:
            raise with_message(vim25.FileAlreadyExists(file=path))
        self._grow(path, nodes=1)
        entries[name] = GuestNode(account.uid, 0o755, self._now(), children={})

    def link(self, path: str, target: str, account: GuestAccount) -> None:
        """Make a symbolic link."""
        entries, name = self._entry(path, account)
        if name in entries:
            raise with_message(vim25.FileAlreadyExists(file=path))
        self._grow(path, nodes=1)
        entries[name] = GuestNode(account.uid, 0o777, self._now(), target=target)

    def remove_file(self, path: str, account: GuestAccount) -> None:
        """Remove a file or a symbolic link."""
        if self.find(path, account, follow=False).children is not None:
            raise _fault(vim25.NotAFile, path)
        entries, name = self._entry(path, account)
        self._drop(entries.pop(name))

    def remove_directory(self, path: str, account: GuestAccount, *, recursive: bool) -> None:
        """Remove a directory, an empty one unless `recursive`."""
        node = self.find(path, account, follow=False)
        if node.children is None:
            raise _fault(vim25.NotADirectory, path)
        if node.children and not recursive:
            raise _fault(vim25.DirectoryNotEmpty, path)
        entries, name = self._entry(path, account)
        self._drop(entries.pop(name))

    def move(self, source: str, target: str, account: GuestAccount, *, overwrite: bool) -> None:
        """Rename a file or directory."""
        node = self.find(source, account, follow=False)
        if node.children is not None and _normal(target).startswith(_normal(source) + "/"):
            raise _fault(vim25.FileFault, target, "A directory cannot be moved into itself")
        if _normal(source) == _normal(target):
            return
        old = self.find(target, account, follow=False) if self.exists(target, account) else None
        if old is not None and (not overwrite or old.children is not None):
            raise with_message(vim25.FileAlreadyExists(file=target))
        left, old_name = self._entry(source, account)
        entries, name = self._entry(target, account)
        if old is not None:
            self._drop(old)
        del left[old_name]
        entries[name] = node

    def _grow(self, path: str, *, nodes: int = 0, size: int = 0) -> None:
        if self._bytes + size > MOST_BYTES or self._nodes + nodes > _MOST_NODES:
            raise _fault(vim25.FileFault, path, "No space left on device")
        self._bytes += size
        self._nodes += nodes

    def _drop(self, node: GuestNode) -> None:
        dropped = [node]
        while dropped:
            each = dropped.pop()
            self._bytes -= len(each.content)
            self._nodes -= 1
            dropped.extend((each.children or {}).values())


def _names(path: str) -> list[str]:
    return [name for name in _normal(path).split("/") if name]


def _normal(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise no_such_guest_file(path)
    if len(path) > _LONGEST:
        raise _fault(vim25.FileFault, path, "File name too long")
    return "/" + posixpath.normpath(path).lstrip("/")


def _fault(kind: Any, path: str, text: str | None = None) -> Any:
    words = {
        "NotADirectory": f"{path} is not a directory",
        "NotAFile": f"{path} is not a file",
        "DirectoryNotEmpty": f"Directory {path} is not empty",
    }
    return with_message(kind(file=path), text or words[kind.__name__])


def no_such_guest_file(path: str) -> Any:
    """Return the fault for a path that does not exist."""
    return with_message(vim25.FileNotFound(file=path))


def denied(path: str) -> Any:
    """Return the fault for a path that a user must not use so."""
    return with_message(
        vim25.GuestPermissionDenied(), f"Permission to perform this operation was denied: {path}"
    )
