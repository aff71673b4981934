"""Start a peer's process, know when it is ready, show its log when it is not, and end it for sure."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What runs now; the conftest shows their logs under a test that failed.
RUNNING: list[Process] = []


class PeerError(Exception):
    """A peer did not build, start or answer; the text ends with its log."""


@dataclass(eq=False)
class Process:
    """A running peer."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], deadline: float) -> None:
        """Return when `ready()` is true.

        Raises:
            PeerError: The process ended, or `deadline` seconds passed.
        """
        end = time.monotonic() + deadline
        while not ready():
            if self.popen.poll() is not None:
                raise PeerError(f"{self.name} ended with {self.popen.returncode}\n{self.tail()}")
            if time.monotonic() > end:
                raise PeerError(f"{self.name} not ready in {deadline:g} s\n{self.tail()}")
            time.sleep(0.05)

    def stop(self, grace: float = 5.0) -> None:
        """End it: politely, then, after `grace` seconds, by force with all that it started."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait()


@contextmanager
def running(
    name: str,
    argv: Sequence[object],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Process]:
    """Run a program in a process group of its own, both outputs in `log`, until the block ends.

    The parts of `argv` are what `str` makes of them; `env` is put over the environment of this
    process.
    """
    with log.open("wb") as out:
        popen = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    process = Process(name, popen, log)
    RUNNING.append(process)
    try:
        yield process
    finally:
        RUNNING.remove(process)
        process.stop()


def run(
    name: str,
    argv: Sequence[object],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float,
) -> str:
    """Run a program to its end and return what it said.

    Raises:
        PeerError: It failed, or took more than `deadline` seconds.
    """
    try:
        done = subprocess.run(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired as exc:
        said = (exc.stdout or b"").decode(errors="replace")
        raise PeerError(f"{name} took more than {deadline:g} s\n{said}") from exc
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        last = "\n".join(said.splitlines()[-40:])
        raise PeerError(f"{name} failed with {done.returncode}\n{last}")
    return said


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free loopback port, to be handed to a server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def free_port() -> int:
    """Return a loopback port that was free a moment ago, for servers that open it themselves."""
    with listening_socket() as sock:
        port: int = sock.getsockname()[1]
    return port
