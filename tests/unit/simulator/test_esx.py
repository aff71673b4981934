from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vimlib.simulator import ESXHost
from vimlib.simulator._core.certificate import make_certificate
from vimlib.simulator._run import in_thread


async def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    async with ESXHost(vms=2) as esx:
        assert esx.url.startswith("https://127.0.0.1:")
        assert esx.url.endswith("/sdk")
        assert len(esx.thumbprint.split(":")) == 32
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) <= files
    assert [task for task in asyncio.all_tasks() if "simulated" in task.get_name()] == []


async def test_a_used_port_is_refused(tmp_path: Path) -> None:
    async with ESXHost() as first:
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            async with ESXHost(port=first.port):
                raise AssertionError("it started")


async def test_an_unknown_release_does_not_start() -> None:
    with pytest.raises(ValueError, match="the release must be one of"):
        ESXHost("3.0")


async def test_the_same_seed_makes_the_same_host() -> None:
    found = []
    for _ in range(2):
        async with ESXHost(vms=2, seed=7) as esx:
            found.append([(m.config.uuid, m.nics()[0].macAddress) for m in esx.machines.values()])
    assert found[0] == found[1]


async def test_folders_that_are_given_stay(tmp_path: Path) -> None:
    async with ESXHost(
        datastores={"a": tmp_path / "a", "b": str(tmp_path / "b"), "c": None}, vms=1
    ) as esx:
        assert set(esx.datastores) == {"a", "b", "c"}
        made = esx.datastore_path("c")
    assert (tmp_path / "a" / "vm-0" / "vm-0.vmx").exists()
    assert not made.exists()


def test_secrets_do_not_show() -> None:
    esx = ESXHost(password="correct horse")
    assert "correct horse" not in repr(esx) + repr(esx.credentials)
    certificate = make_certificate()
    assert "PRIVATE" not in repr(certificate)


def test_in_a_thread() -> None:
    with in_thread(vms=1) as esx:
        assert esx.threadsafe(lambda: threading.current_thread().name) == "vimlib-sim"
        assert esx.threadsafe(esx.expire_sessions) == 0
    with pytest.raises(ValueError, match="the release must be one of"), in_thread(version="1"):
        raise AssertionError("it started")


@pytest.mark.slow
def test_the_plugin_imports_nothing_of_ours() -> None:
    code = """
import sys
import pytest
pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "/nonexistent"])
ours = {"vimlib", "vimlib._lazy", "vimlib.simulator", "vimlib.simulator.pytest_plugin"}
print("PLUGIN", "vimlib.simulator.pytest_plugin" in sys.modules)
print("LOADED", sorted(name for name in sys.modules if name.startswith("vimlib") and name not in ours))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert "PLUGIN True" in found.stdout
    assert "LOADED []" in found.stdout, found.stdout + found.stderr


async def test_the_fixture(esx_host: ESXHost) -> None:
    assert esx_host.registry.release.name == "8.0"


class TestOptions:
    @pytest.fixture
    def esx_options(self) -> dict[str, object]:
        return {"version": "4.1", "vms": 2}

    async def test_can_be_given(self, esx_host: ESXHost) -> None:
        assert esx_host.registry.release.name == "4.1"
        assert len(esx_host.machines) == 2

    def test_in_a_thread_too(self, esx_thread: ESXHost) -> None:
        assert esx_thread.registry.release.name == "4.1"
