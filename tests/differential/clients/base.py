"""The common part of the adapters: the channel to the runner. Standard library only."""

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
    """The requested action and its target."""

    action: str
    args: dict[str, Any]
    server: str
    """`simulator` or `vcsim`."""
    host: str
    port: int
    username: str
    password: str
    trust: str
    """`default`: no trust setting; `ca`: the file in `ca`; `pin`: the SHA-256 in `pin`."""
    ca: str
    pin: str
    wsdl: str
    """A folder with the WSDL, for a client that needs one before it connects."""
    deadline: float
    """Seconds of each network timeout, if the client has such a setting."""


class NotOffered(Exception):
    """The client does not support this."""


class Channel:
    """The channel to the runner."""

    def __init__(self) -> None:
        # stdout carries the protocol; the client's own prints go to stderr and are searched like
        # its log.
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def receive(self) -> Any:
        return json.loads(sys.stdin.readline())

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def checkpoint(self, word: str) -> None:
        """Let the runner act now."""
        self.send(at=word)
        self.receive()


def show(*things: object) -> None:
    """Print output as a user would."""
    for thing in things:
        print(repr(thing), str(thing), file=sys.stderr)


def describe(value: Any) -> dict[str, Any]:
    """Return a value and its type as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {"type": "names", "value": sorted(value)}
    return {"type": type(value).__name__, "value": repr(value)[:200]}


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """Call something; return its outcome."""
    try:
        return {"returned": function()}
    except NotOffered as error:
        return {"not_offered": str(error)}
    except Exception as error:  # noqa: BLE001 - every error is an observation
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
    # Only from here on: one client logs a hundred megabytes about its WSDL.
    logging.getLogger().setLevel(logging.DEBUG)
    channel.send(ready=version)
    channel.receive()
    channel.send(**attempt(lambda: getattr(adapter, job.action)(**job.args)))
