from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimdriver._images.sink import is_temporary, temporary_name
from vimdriver._journal.entries import Uploading, render, replay
from vimdriver._owner import installation_owner
from vimlib import vim25
from vimlib.simulator import ESXHost

AGE = 90_000


def yesterday() -> str:
    """Return a temporary name that was made yesterday."""
    at = datetime.now(UTC) - timedelta(seconds=AGE)
    return temporary_name("disk.img", installation_owner(), at=at)


@pytest.fixture
def part(esx: ESXHost) -> Path:
    """A file that an upload left yesterday."""
    path = esx.datastore_path() / "images" / yesterday()
    path.parent.mkdir()
    path.write_bytes(b"x")
    os.utime(path, (time.time() - AGE,) * 2)
    return path


def test_dry_run_lists_then_sweep_removes_then_nothing_is_left(
    esx: ESXHost, vimctl: Vimctl, part: Path
) -> None:
    name = f"[datastore1] images/{part.name}"
    dry = vimctl.json("sweep", "--dry-run")
    assert dry["dry_run"] is True
    assert dry["items"][0]["action"] == "removed"
    assert vimctl("sweep", "--dry-run").out.splitlines()[1].startswith("would be removed  file")
    assert part.exists()
    done = vimctl.json("sweep")
    (item,), (would,) = done["items"], dry["items"]
    # The reason contains the file's age, which each sweep computes by its own clock.
    assert {**item, "reason": ""} == {**would, "reason": ""}
    assert done["dry_run"] is False
    assert (item["kind"], item["name"], item["action"]) == ("file", name, "removed")
    assert not part.exists()
    assert vimctl.json("sweep") == {"dry_run": False, "items": []}
    assert "nothing to clean up" in vimctl("sweep").err


def test_young_or_foreign_files_are_kept(esx: ESXHost, vimctl: Vimctl, part: Path) -> None:
    assert vimctl.json("sweep", "--owner", "others")["items"] == []
    (left,) = vimctl.json("sweep", "--older-than", "48")["items"]
    assert left["action"] == "left"
    assert part.exists()
    assert "removed" in vimctl("sweep").out


def test_objects_in_the_journal_are_removed_at_any_age(
    esx: ESXHost, vimctl: Vimctl, part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(part)
    host = esx.url.removeprefix("https://").removesuffix("/sdk")
    entry = Uploading(
        host=host, owner=installation_owner(), path=f"[datastore1] images/{part.name}"
    )
    journal = tmp_path / "journal"
    journal.write_bytes(render([entry]))
    assert vimctl.json("sweep")["items"][0]["action"] == "left"
    monkeypatch.setenv("VIMLIB_JOURNAL", str(journal))
    assert vimctl.json("sweep")["items"][0]["action"] == "removed"
    assert replay(journal.read_bytes()).entries == {}


def test_a_removed_datastore_can_be_forgotten(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    host = esx.url.removeprefix("https://").removesuffix("/sdk")
    path = f"[lost] images/{temporary_name('disk.img', installation_owner())}"
    journal = tmp_path / "journal"
    journal.write_bytes(render([Uploading(host=host, owner=installation_owner(), path=path)]))
    words = ("sweep", "--journal", journal)
    failed = vimctl.json(*words, code=4)["items"]
    assert [item["action"] for item in failed] == ["failed"]
    (kept,) = vimctl.json(*words, "--forget", "lost")["items"]
    assert (kept["action"], kept["name"]) == ("kept", path)
    assert vimctl.json(*words)["items"] == []


def test_a_partial_failure_is_reported(
    esx: ESXHost, vimctl: Vimctl, part: Path, beside: Beside, tmp_path: Path
) -> None:
    again = part.with_name(yesterday())
    again.write_bytes(b"x")
    os.utime(again, (time.time() - AGE,) * 2)
    fault = vim25.FileLocked(file="x")
    beside.call(lambda: esx.faults.fail_task("DeleteDatastoreFile_Task", fault))
    done = vimctl("sweep", "--json", code=7)
    assert sorted(item["action"] for item in done.document["items"]) == ["failed", "removed"]
    beside.call(lambda: esx.faults.fail_task("DeleteDatastoreFile_Task", fault))
    done = vimctl("sweep", code=1)
    assert "failed" in done.out
    assert "vimctl: " in done.err


def test_push_and_spawn_keep_a_journal(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    disk, journal = tmp_path / "disk.img", tmp_path / "journal"
    disk.write_bytes(b"\1" * (1 << 20))
    words = ("--datastore", "datastore1", "--journal", journal, "--owner", "me")
    vimctl("image", "push", disk, *words)
    assert journal.read_bytes().count(b'"what":"upload"') == 1
    vimctl("instance", "spawn", "--name", "web", "--image", disk, *words)
    assert journal.read_bytes().count(b'"what":"spawn"') == 2  # and once more with its folder
    vimctl("instance", "destroy", "web", code=1)
    vimctl("instance", "destroy", "web", "--journal", journal, "--owner", "me")
    assert vimctl.json("sweep", "--journal", journal, "--owner", "me")["items"] == []
    journal.write_bytes(b"something else")
    vimctl("image", "push", disk, "--to", "b", *words, code=2)


def test_put_keeps_a_journal_and_its_owners_name(
    esx: ESXHost, vimctl: Vimctl, beside: Beside, tmp_path: Path
) -> None:
    disk, journal = tmp_path / "disk.img", tmp_path / "journal"
    disk.write_bytes(b"\1" * 1000)
    fault = vim25.FileLocked(file="x")
    # The file can be neither moved nor removed.
    beside.call(lambda: esx.faults.fail_task("MoveDatastoreFile_Task", fault))
    beside.call(lambda: esx.faults.fail_task("DeleteDatastoreFile_Task", fault))
    words = ("--journal", journal, "--owner", "me")
    vimctl("datastore", "put", disk, "[datastore1] b.img", *words, code=1)
    (part,) = esx.datastore_path().glob("*.part")
    assert is_temporary(part.name, "me")
    (item,) = vimctl.json("sweep", *words)["items"]
    assert (item["action"], item["name"]) == ("removed", f"[datastore1] {part.name}")


def test_an_invalid_owner_is_refused(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    vimctl("sweep", "--owner", "", code=2)
    vimctl("sweep", "--owner", "a\nb", code=2)
    # An empty variable counts as unset.
    monkeypatch.setenv("VIMLIB_OWNER", "")
    monkeypatch.setenv("VIMLIB_JOURNAL", "")
    assert vimctl.json("sweep")["items"] == []


def test_diagnostics_are_printed(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "start", "vm-0")
    found = vimctl.json("instance", "diagnostics", "vm-0")
    assert (found["name"], found["power_state"]) == ("vm-0", "poweredOn")
    assert found["disks"][0]["capacity"] == 1 << 30
    assert found["nics"][0]["network"] == "VM Network"
    text = vimctl("instance", "diagnostics", "vm-0").out
    assert "cpu_used_mhz" in text
    assert "Hard disk 1" in text
    vimctl("instance", "diagnostics", "nosuch", code=4)
