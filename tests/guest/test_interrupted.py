"""A run that dies, or that the system fails, at each of its system calls."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest

from .tree import FULL, MAC0, MAC1, Guest

pytestmark = pytest.mark.slow

STATE = "/var/lib/vimguest/state.json"
# What changes something, or makes it last.
CALLS = ("open", "write", "fchmod", "chmod", "fsync", "close", "rename", "unlink", "mkdir")
DIED = 99

OLD = FULL.replace("web-1", "before")
NEW = FULL.replace("web-1", "after").replace("10.0.0.2/24", "10.0.0.9/24")
NEW = NEW.replace(
    f'"mac": "{MAC1}", "addresses": ["10.0.1.2/24"', f'"mac": "{MAC1}", "addresses": ["10.0.1.9/24"'
)

Files = dict[str, tuple[int, bytes]]


class Trap:
    """Counts the calls of one run from its first change on, and springs at one of them."""

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.count = 0
        self.armed = False

    def set(self) -> None:
        """Put it around the system calls of this process."""
        for name in CALLS:
            setattr(os, name, self.around(getattr(os, name)))
        make = vimguest.Run.make

        def armed(*args: Any) -> None:
            self.armed = True
            make(*args)
            self.armed = False

        setattr(vimguest.Run, "make", armed)  # noqa: B010

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not self.armed:
                return call(*args, **kwargs)
            self.count += 1
            if self.count != self.at:
                return call(*args, **kwargs)
            if self.how == "fail":
                raise OSError(errno.ENOSPC, "No space left on device")
            if self.how == "half" and call.__name__ == "write":
                call(args[0], bytes(args[1])[: len(args[1]) // 2])
            if self.how == "after":
                # The call may fail, as one does that looks for a missing file.
                with contextlib.suppress(OSError):
                    call(*args, **kwargs)
            os._exit(DIED)

        wrapped.__name__ = call.__name__
        return wrapped


def run_trapped(guest: Guest, trap: Trap, *argv: str) -> int:
    """Run the helper in a child process with that trap; its exit code."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            trap.set()
            code = guest.run(*argv).returncode
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def config_files(guest: Guest) -> Files:
    return {name: file for name, file in guest.files().items() if name != STATE}


def assert_whole(found: Files, *sides: Files) -> None:
    """Each file is, bytes and mode, as on one of the sides; a left-over is hidden from services."""
    for name, file in found.items():
        if Path(name).name.startswith(".vimguest.") and name.endswith(".tmp"):
            continue
        assert file in [side.get(name) for side in sides], name
    for name in set.intersection(*(set(side) for side in sides)):
        assert name in found, name


class Scene:
    """A guest that went from one config to another, kept as it was at each step."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.backend = backend
        guest = self.guest = Guest(folder / "guest")
        guest.nic("eth0", MAC0)
        guest.nic("eth1", MAC1)
        self.keep("bare")
        guest.says(OLD)
        assert guest.run("--backend", backend).returncode == 0
        self.old = config_files(guest)
        self.keep("old")
        guest.says(NEW)
        assert guest.run("--backend", backend).returncode == 0
        self.new = config_files(guest)
        assert self.old.keys() == self.new.keys()
        assert all(self.old[name] != self.new[name] for name in self.old)
        self.keep("new")

    def keep(self, name: str) -> None:
        shutil.copytree(self.guest.root, self.folder / name)

    def back(self, name: str) -> None:
        """Make the guest as it was then."""
        shutil.rmtree(self.guest.root)
        shutil.copytree(self.folder / name, self.guest.root)


BACKENDS = ["networkd", "ifupdown"]


@pytest.fixture(params=BACKENDS)
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    return Scene(tmp_path, request.param)


def calls_of(scene: Scene, start: str, *argv: str) -> int:
    """How many calls an undisturbed run makes."""
    scene.back(start)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        trap = Trap(0, "")
        trap.set()
        scene.guest.run(*argv)
        with os.fdopen(writer, "w") as pipe:
            pipe.write(str(trap.count))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        count = int(pipe.read())
    os.waitpid(child, 0)
    return count


@pytest.mark.parametrize("how", ["half", "after"])
def test_a_run_that_dies_leaves_old_or_new(scene: Scene, how: str) -> None:
    argv = ("--backend", scene.backend)
    count = calls_of(scene, "old", *argv)
    assert count > 30
    for at in range(1, count + 1):
        scene.back("old")
        assert run_trapped(scene.guest, Trap(at, how), *argv) == DIED, at
        assert_whole(config_files(scene.guest), scene.old, scene.new)
        # From there, both ways lead to a whole: on to the new config, and back to the old one.
        scene.keep("torn")
        assert scene.guest.run(*argv).returncode == 0
        assert config_files(scene.guest) == scene.new
        scene.back("torn")
        begun = b'"pending": true' in scene.guest.files()[STATE][1]
        done = config_files(scene.guest) == scene.new
        assert scene.guest.run("--rollback").returncode == 0
        # A run that had not begun to change anything is no run to go back on.
        assert config_files(scene.guest) == (scene.old if begun or done else {}), at
        shutil.rmtree(scene.folder / "torn")


@pytest.mark.parametrize("how", ["half", "after"])
def test_a_first_run_that_dies_leaves_nothing_or_new(scene: Scene, how: str) -> None:
    argv = ("--backend", scene.backend)
    for at in range(1, calls_of(scene, "bare", *argv) + 1):
        scene.back("bare")
        assert run_trapped(scene.guest, Trap(at, how), *argv) == DIED
        assert_whole(config_files(scene.guest), {}, scene.new)
        assert scene.guest.run(*argv).returncode == 0
        assert config_files(scene.guest) == scene.new


@pytest.mark.parametrize("how", ["half", "after"])
def test_a_rollback_that_dies_can_be_done_again(scene: Scene, how: str) -> None:
    for at in range(1, calls_of(scene, "new", "--rollback") + 1):
        scene.back("new")
        assert run_trapped(scene.guest, Trap(at, how), "--rollback") == DIED
        assert_whole(config_files(scene.guest), scene.old, scene.new)
        assert scene.guest.run("--rollback").returncode == 0
        assert config_files(scene.guest) == scene.old, at


def test_a_run_that_the_system_fails_is_rolled_back(scene: Scene) -> None:
    argv = ("--backend", scene.backend)
    codes = []
    for at in range(1, calls_of(scene, "old", *argv) + 1):
        scene.back("old")
        code = run_trapped(scene.guest, Trap(at, "fail"), *argv)
        codes.append(code)
        # Refused is for one that had not begun to write.
        assert code in (0, vimguest.RefusedError.code, vimguest.ApplyError.code), at
        assert config_files(scene.guest) == (scene.old if code else scene.new), at
        assert scene.guest.run(*argv).returncode == 0
        assert config_files(scene.guest) == scene.new
    # Hardly any call may fail without consequence.
    assert codes.count(0) <= 2


def test_a_disk_that_stays_full_keeps_the_old(scene: Scene) -> None:
    scene.back("old")

    class Full(Trap):
        def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                if self.armed and call.__name__ == "write":
                    raise OSError(errno.ENOSPC, "No space left on device")
                return call(*args, **kwargs)

            wrapped.__name__ = call.__name__
            return wrapped

    trap = Full(0, "fail")
    assert run_trapped(scene.guest, trap, "--backend", scene.backend) == vimguest.ApplyError.code
    assert config_files(scene.guest) == scene.old
