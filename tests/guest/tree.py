"""A guest for tests: a folder that stands for its file system, and VMware's tools played by a script."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from guest import vimguest

HELPER = Path(__file__).parents[2] / "guest" / "vimguest.py"

MAC0 = "00:50:56:aa:bb:01"
MAC1 = "00:50:56:aa:bb:02"

NOVA = f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.53#"
NOVA2 = NOVA + f"{MAC1};10.0.1.2;255.255.255.0;10.0.1.1;10.0.1.255;10.0.1.53#"
FULL = "v1:" + json.dumps(
    {
        "hostname": "web-1",
        "nics": [
            {
                "mac": MAC0,
                "addresses": ["10.0.0.2/24", "2001:db8::2/64"],
                "gateway4": "10.0.0.1",
                "gateway6": "2001:db8::1",
                "mtu": 9000,
                "dns": ["10.0.0.53", "2001:db8::53"],
                "search": ["example.org"],
                "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50}],
            },
            {"mac": MAC1, "addresses": ["10.0.1.2/24", "2001:db8:1::2/64"], "mtu": 1400},
        ],
    }
)


def find_oldest() -> str | None:
    """A Python 3.6 of this machine that starts, the oldest that the helper runs on."""
    versions = Path("~/.pyenv/versions").expanduser()
    pythons = [shutil.which("python3.6"), *map(str, versions.glob("3.6.*/bin/python"))]
    ask = "import sys; print(sys.version_info[:2] == (3, 6))"
    for python in filter(None, pythons):
        # A shim may stand on PATH for a version that is switched off.
        ran = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
        if ran.stdout == "True\n":
            return python
    return None


OLDEST = find_oldest()

# Answers as the real tools do: a value on stdout and 0, or a sentence and 1.
TOOL = """#!/bin/sh
printf '%s\\n' "$*" >> "$0.calls"
case "$0" in *rpctool) word=$1;; *) word=$2; [ "$1" = --cmd ] || exit 64;; esac
case "$word" in
machine.id.get) answer="$0.machine.id";;
"info-get "*) answer="$0.${word#info-get }";;
"info-set "*)
  rest=${word#info-set }
  printf '%s' "${rest#* }" > "$0.${rest%% *}.new" && mv "$0.${rest%% *}.new" "$0.${rest%% *}"
  exit;;
*) echo "Unknown command"; exit 1;;
esac
if [ -e "$answer" ]; then exec cat "$answer"; fi
case "$word" in machine.id.get) echo "No machine id" >&2;; *) echo "No value found" >&2;; esac
exit 1
"""


def run_here(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the helper in this process, as if it had that environment."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = vimguest.main(argv)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@dataclass
class Guest:
    """One guest; `run` runs the helper on it."""

    folder: Path
    #: The Python to run the helper with; None runs it in this process, which is quicker.
    python: str | None = None
    tool: str = "vmtoolsd"

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.bin = self.folder / "bin"
        self.root.mkdir(parents=True)
        self.bin.mkdir()
        self.script(TOOL)

    def script(self, text: str) -> None:
        """Put another tool in the place of the one that answers."""
        path = self.bin / self.tool
        path.write_text(text)
        path.chmod(0o755)

    def says(self, text: str | bytes | None, key: str = "machine.id") -> None:
        """Set what the host says under that key."""
        path = self.bin / f"{self.tool}.{key}"
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    @property
    def calls(self) -> list[str]:
        """What the tool was asked, in order."""
        path = self.bin / f"{self.tool}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def nic(self, name: str, mac: str, **files: str) -> None:
        """Add a NIC to /sys/class/net; keywords are further files in its folder."""
        folder = self.root / "sys/class/net" / name
        folder.mkdir(parents=True)
        for key, text in {"address": mac, "type": "1", **files}.items():
            (folder / key).write_text(text + "\n")

    def put(self, name: str, text: str = "") -> Path:
        """Put somebody else's file there."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the helper as an image builder does."""
        words = ["--root", str(self.root), *argv]
        environment = {"PATH": f"{self.bin}:{os.defpath}"}
        if self.python is None:
            return run_here(words, environment)
        return subprocess.run(
            [self.python, str(HELPER), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def report(self, *argv: str) -> dict[str, Any]:
        """Run it with --json; its report, with the exit code as `code`."""
        ran = self.run("--json", *argv)
        assert ran.stdout.count("\n") == 1, ran
        found: dict[str, Any] = json.loads(ran.stdout)
        assert (found["error"] is None) == (ran.stderr == ""), ran
        return found | {"code": ran.returncode}

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file but those of /sys: its mode and bytes (a link's target)."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = "/" + str(path.relative_to(self.root))
            if name.startswith("/sys/") or (path.is_dir() and not path.is_symlink()):
                continue
            status = path.lstat()
            link = stat.S_ISLNK(status.st_mode)
            data = os.fsencode(path.readlink()) if link else path.read_bytes()
            found[name] = (stat.S_IMODE(status.st_mode), data)
        return found

    def text(self, name: str) -> str:
        """One file of it."""
        return (self.root / name.lstrip("/")).read_text()
