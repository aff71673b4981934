"""Start a peer's process, wait until it is ready, show its log on failure, and always end it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The running processes; the conftest adds their logs to the report of a failed test.
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
        """End it: first politely, after `grace` seconds by force, with all its child processes."""
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
    """Run a program in its own process group, with both outputs in `log`, until the block ends.

    The parts of `argv` are converted with `str`; `env` extends the environment of this process.
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
    """Run a program to its end and return its output.

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


@dataclass(frozen=True)
class Ended:
    """The end of a program: its exit code, negative for a signal, and both its outputs in one."""

    code: int
    output: str


async def ended(
    argv: Sequence[object],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str = "",
    deadline: float,
) -> Ended:
    """Run a program to its end while the event loop serves others; `given` is its standard input.

    Cancelling kills it.

    Raises:
        PeerError: It took more than `deadline` seconds.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(part) for part in argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline):
            output, _ = await process.communicate(given.encode())
    except TimeoutError:
        raise PeerError(f"{argv[0]} took more than {deadline:g} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(errors="replace"))


def listening_socket() -> socket.socket:
    """Return a listening socket on a free loopback port, for a server to inherit."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def free_port() -> int:
    """Return a loopback port that is currently free, for servers that bind it themselves."""
    with listening_socket() as sock:
        port: int = sock.getsockname()[1]
    return port
