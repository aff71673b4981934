"""What the adapters share: the channel to the runner. The standard library alone."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass
class Job:
    """What the runner wants, and where."""

    action: str
    args: dict[str, Any]
    server: str
    """`simulator` or `vcsim`."""
    host: str
    port: int
    username: str
    password: str
    trust: str
    """`default`: nothing said; `ca`: the file in `ca`; `pin`: the SHA-256 in `pin`."""
    ca: str
    pin: str
    wsdl: str
    """A folder with the WSDL, for a client that needs one before the first byte."""
    deadline: float
    """Seconds for each wait on the network, where the client has such a thing."""


class NotOffered(Exception):
    """The client has no such thing."""


class Channel:
    """The runner, from the client's side."""

    def __init__(self) -> None:
        # The protocol has stdout for itself; what a client prints is looked at like its logs.
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def receive(self) -> Any:
        return json.loads(sys.stdin.readline())

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def checkpoint(self, word: str) -> None:
        """Let the runner do something now."""
        self.send(at=word)
        self.receive()


def show(*things: object) -> None:
    """Print what a user might print."""
    for thing in things:
        print(repr(thing), str(thing), file=sys.stderr)


def describe(value: Any) -> dict[str, Any]:
    """Return a value and its type as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {"type": "names", "value": sorted(value)}
    return {"type": type(value).__name__, "value": repr(value)[:200]}


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """Call something; return what came of it."""
    try:
        return {"returned": function()}
    except NotOffered as error:
        return {"not_offered": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        traceback.print_exc()
        show(error, error.args)
        kind = type(error)
        return {"raised": kind.__name__, "text": str(error)[:200]}


def run(make: Callable[[Job, Channel], Any], version: str) -> None:
    """Do one job. `make` returns the adapter, whose methods are the actions."""
    logging.basicConfig(stream=sys.stderr)
    channel = Channel()
    job = Job(**channel.receive())
    adapter = make(job, channel)
    # From here on only: one of them logs a hundred megabytes about the WSDL that it reads.
    logging.getLogger().setLevel(logging.DEBUG)
    channel.send(ready=version)
    channel.receive()
    channel.send(**attempt(lambda: getattr(adapter, job.action)(**job.args)))
