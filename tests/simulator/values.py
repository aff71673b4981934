"""What scenarios send and receive, whatever the client: plain data, references, and one exception."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

Kind = Literal["here", "vcsim", "vpx"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Server:
    """A server with one machine, and how to log in to it."""

    kind: Kind
    url: str
    username: str
    password: str = field(repr=False)
    # SHA-256 with colons, and a file with the certificate to trust: a client takes either.
    thumbprint: str
    ca: Path
    datastore: str
    # Where the WSDL is for a client that reads it; None: the server has one.
    wsdl: str | None = None

    @property
    def port(self) -> int:
        return int(self.url.partition("//")[2].partition("/")[0].rpartition(":")[2])

    @property
    def datacenter(self) -> str:
        return "DC0" if self.kind == "vpx" else "ha-datacenter"


class Ref(NamedTuple):
    """A reference to a managed object."""

    kind: str
    id: str


class Obj:
    """A data object: its type's name on the wire and its fields, an unset one being None."""

    def __init__(self, kind: str, /, **fields: Any) -> None:
        self._kind = kind
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._fields.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._fields[name] = value

    def __repr__(self) -> str:
        return f"{self._kind}({self._fields})"


new = Obj


class Entry(NamedTuple):
    """A file or folder of a datastore."""

    name: str
    size: int
    is_dir: bool


class Failed(Exception):
    """How a call ended if not well: the fault's name, `HTTP` and a status, or `no answer`."""
