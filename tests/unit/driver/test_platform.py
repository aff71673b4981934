"""What works where Python has neither `fcntl` nor `select.poll`, as on Windows.

Each program runs in a process of its own, from which they were taken away before anything of ours
was imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
WITHOUT = """
import select, sys
sys.modules["fcntl"] = None
del select.poll
"""


def run(program: str, *argv: str) -> str:
    """Run a program without them; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT + program, *argv]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_the_driver_is_imported() -> None:
    found = run("""
import importlib, pkgutil, vimdriver
for module in pkgutil.walk_packages(vimdriver.__path__, "vimdriver."):
    if module.name.startswith(("vimdriver.nova.", "vimdriver.neutron.")):
        continue  # these need nova and neutron
    importlib.import_module(module.name)
    print(module.name)
for name in vimdriver.__all__:
    getattr(vimdriver, name)
""").split()
    assert {"vimdriver._journal.file", "vimdriver._images.uploader", "vimdriver._cli.run"} <= set(
        found
    )


def test_a_journal_in_a_file_is_refused_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    printed = run(
        """
import asyncio
from vimdriver import FileJournal
from vimdriver.errors import PlatformUnsupportedError

async def main():
    try:
        async with FileJournal(sys.argv[1]):
            pass
    except PlatformUnsupportedError as error:
        print(error.feature, error.needs, error.outcome, error, sep="|")

asyncio.run(main())
""",
        str(path),
    )
    feature, needs, outcome, text = printed.strip().split("|")
    assert (feature, needs, outcome) == ("a journal in a file", "fcntl", "not_sent")
    assert "MemoryJournal" in text
    assert not path.exists()


def test_an_idle_connection_is_still_checked_before_use() -> None:
    printed = run("""
import socket
from vimlib._transport.connection import _readable
ours, theirs = socket.socketpair()
print(_readable(ours.fileno()))
theirs.close()
print(_readable(ours.fileno()))
ours.close()
""")
    assert printed.split() == ["False", "True"]


@pytest.mark.slow
def test_images_are_pushed_and_machines_spawned_all_the_same() -> None:
    printed = run("""
from vimdriver._cli import main
sys.exit(main(["demo", "--json", "--image-mib", "1"]))
""")
    document = json.loads(printed)
    assert [image["verified"] for image in document["images"]] == [True] * 4
    assert len(document["instances"]) == 4
    assert document["leftovers"] == []
