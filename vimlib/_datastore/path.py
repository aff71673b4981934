"""Paths of files in datastores: `[datastore1] a/b.vmdk`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vimlib._arguments import check_argument
from vimlib._text import printable
from vimlib.errors import InvalidPathError

if TYPE_CHECKING:
    from typing import NoReturn

_PRINTED: Final = re.compile(r"\[([^\[\]]*)\](?: ?(.*))?\Z", re.DOTALL)
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# VMFS and NFS names end at 255 bytes.
_LONGEST_PART: Final = 255


@dataclass(frozen=True, slots=True, order=True)
class DatastorePath:
    """A file or folder in a datastore. Prints, and is sent, as `[datastore1] a/b.vmdk`.

    `path` is relative, its parts separated by `/`; "" is the datastore's root. Raises
    `InvalidPathError` for a part that is empty, `.` or `..`, too long, or holds NUL or control
    characters, and for a datastore name with brackets.
    """

    datastore: str
    path: str = ""

    def __post_init__(self) -> None:
        name, path = self.datastore, self.path
        check_argument("datastore", name, str, "the name of a datastore")
        check_argument("path", path, str, "a path in the datastore")
        if not name or re.search(r"[\[\]/]", name) or _FORBIDDEN.search(name):
            _refuse(
                f"[{name}] {path}",
                "the name of the datastore must not be empty or contain brackets, slashes or control characters",
            )
        if not path:
            return
        for part in path.split("/"):
            if part in {"", ".", ".."}:
                _refuse(str(self), f"a part must not be {part!r}")
            if _FORBIDDEN.search(part):
                _refuse(str(self), "it contains a control character or a lone surrogate")
            if len(part.encode()) > _LONGEST_PART:
                _refuse(str(self), f"a part must have at most {_LONGEST_PART} bytes")

    @classmethod
    def parse(cls, text: str) -> DatastorePath:
        """Read `[datastore1] a/b.vmdk`; one slash at the end is passed over. Raises `InvalidPathError`."""
        check_argument("text", text, str, "a datastore path")
        match = _PRINTED.match(text)
        if match is None:
            _refuse(text, "it must begin with [datastore]")
        return cls(match[1], (match[2] or "").removesuffix("/"))

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the path; none for the root."""
        return tuple(self.path.split("/")) if self.path else ()

    @property
    def name(self) -> str:
        """The last part; "" for the root."""
        return self.path.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The last part from its last dot on; "" if it has none, or only a leading one."""
        stem, dot, ending = self.name.rpartition(".")
        return dot + ending if stem else ""

    @property
    def parent(self) -> DatastorePath:
        """The folder that it is in; the root is its own parent."""
        return DatastorePath(self.datastore, self.path.rpartition("/")[0])

    def with_name(self, name: str) -> DatastorePath:
        """Return the path with another last part. Raises `InvalidPathError` for the root."""
        if not self.path:
            _refuse(str(self), "the root of a datastore has no name")
        return self.parent / name

    def __truediv__(self, part: str) -> DatastorePath:
        if not part:
            _refuse(str(self), "the appended part is empty")
        return DatastorePath(self.datastore, f"{self.path}/{part}" if self.path else part)

    def __str__(self) -> str:
        return f"[{self.datastore}] {self.path}" if self.path else f"[{self.datastore}]"


def _refuse(text: str, why: str) -> NoReturn:
    raise InvalidPathError(
        f"invalid datastore path: {printable(text, 300)}: {why}",
        hint="Write it as `[datastore1] folder/file.vmdk`.",
        path=text,
    )
