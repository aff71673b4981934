from __future__ import annotations

import io
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.rig import certs
from tests.rig.relay import Relay, answer, relay
from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimdriver._cli import main
from vimdriver._cli.datastore import _arriving
from vimlib.simulator import ESXHost


@pytest.fixture
def local(tmp_path: Path) -> Path:
    file = tmp_path / "a file.bin"
    file.write_bytes(b"0123456789" * 1000)
    return file


def test_datastores_are_listed(esx: ESXHost, vimctl: Vimctl) -> None:
    (found,) = vimctl.json("datastore", "ls")
    assert found["name"] == "datastore1"
    assert found["accessible"] is True
    assert found["free"] <= found["capacity"]
    assert "TiB" in vimctl("datastore", "ls").out


def test_an_upload_and_its_download_are_equal(
    esx: ESXHost, vimctl: Vimctl, local: Path, tmp_path: Path
) -> None:
    stored = vimctl.json("datastore", "put", local, "[datastore1] vm-0/")
    assert stored["path"] == "[datastore1] vm-0/a file.bin"
    assert stored["size"] == 10_000
    assert esx.datastore_path().joinpath("vm-0/a file.bin").read_bytes() == local.read_bytes()
    names = [row["path"] for row in vimctl.json("datastore", "ls", "[datastore1] vm-0")]
    assert "[datastore1] vm-0/a file.bin" in names
    assert not [name for name in names if name.endswith(".part")]
    back = tmp_path / "back"
    got = vimctl.json("datastore", "get", "vm-0/a file.bin", back, "--datastore", "datastore1")
    assert got == {"path": "[datastore1] vm-0/a file.bin", "local": str(back), "size": 10_000}
    assert back.read_bytes() == local.read_bytes()
    assert (
        "done, 9.8 KiB"
        in vimctl("datastore", "get", "[datastore1] vm-0/a file.bin", back, "--overwrite").err
    )


def test_a_download_can_go_to_stdout(
    esx: ESXHost, vimctl: Vimctl, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vimctl("datastore", "put", local, "[datastore1] x")
    raw = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", io.TextIOWrapper(raw))
        assert main(["datastore", "get", "[datastore1] x", "-", "-q"]) == 0
        assert raw.getvalue() == local.read_bytes()
    vimctl("datastore", "get", "[datastore1] x", "--overwrit", code=2)
    refused = vimctl("datastore", "get", "[datastore1] x", "-", "--json", code=2)
    assert refused.lines == [refused.lines[0]], "one document, and no byte of the file"
    assert refused.lines[0]["error"]["type"] == "UsageError"
    vimctl("datastore", "get", "[datastore1]", "-", code=2)
    assert (
        "the path must name a file, got a datastore"
        in vimctl("datastore", "get", "[datastore1]", code=2).err
    )


def test_existing_files_are_replaced_only_on_request(
    esx: ESXHost, vimctl: Vimctl, local: Path, tmp_path: Path
) -> None:
    put = ("datastore", "put", local, "[datastore1] x")
    vimctl(*put)
    assert vimctl(*put, "--json", code=1).document["error"]["type"] == "FileConflictError"
    local.write_bytes(b"new")
    assert vimctl.json(*put, "--overwrite")["size"] == 3
    get = ("datastore", "get", "[datastore1] x", tmp_path)
    vimctl(*get)
    assert "--overwrite" in vimctl(*get, code=2).err
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("flag", ["--verify", "--read-back"])
def test_a_file_that_cannot_be_read_back_gets_no_name(
    esx: ESXHost, vimctl: Vimctl, local: Path, flag: str
) -> None:
    put = ("datastore", "put", local, "[datastore1] x")
    before = set(esx.datastore_path().rglob("*"))
    esx.faults.add("GET", "status", status=500)
    assert vimctl(*put, flag, "--json", code=1).document["error"]["type"] == "TransferRejectedError"
    assert set(esx.datastore_path().rglob("*")) == before
    assert vimctl.json(*put, flag)["size"] == 10_000


def test_a_failed_upload_leaves_nothing(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    before = set(esx.datastore_path().rglob("*"))
    vimctl("datastore", "put", tmp_path / "missing", "[datastore1] x", code=4)
    for words in ((), ("--overwrite",)):
        refused = vimctl("datastore", "put", __file__, "[nosuch] x", *words, code=4)
        assert refused.err == (
            f"vimctl: datastore not found on 127.0.0.1:{esx.port}: 'nosuch'."
            " The host has: datastore1.\n"
        )
    assert set(esx.datastore_path().rglob("*")) == before


def test_a_missing_folder_is_created(esx: ESXHost, vimctl: Vimctl, local: Path) -> None:
    stored = vimctl.json("datastore", "put", local, "[datastore1] no/such/folder/x")
    assert stored["path"] == "[datastore1] no/such/folder/x"
    refused = vimctl("datastore", "put", local, "[datastore1] no/such/folder/x/y", code=1)
    assert "folder/x already exists. It is not a folder: choose another one." in refused.err


@pytest.mark.parametrize(
    "words", [("ls", "[nosuch]"), ("stat", "[nosuch] x"), ("rm", "[nosuch] x")]
)
def test_a_missing_datastore_comes_with_those_there_are(
    esx: ESXHost, vimctl: Vimctl, words: tuple[str, ...]
) -> None:
    refused = vimctl("datastore", *words, code=4)
    assert "datastore not found on" in refused.err
    assert "The host has: datastore1." in refused.err


def test_a_failed_download_leaves_nothing(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    vimctl("datastore", "get", "[datastore1] missing", tmp_path / "x", code=4)
    assert not list(tmp_path.glob("x*"))


def test_a_broken_download_leaves_the_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    beside = tmp_path / "x.part"
    beside.write_bytes(b"somebody's")

    def fail() -> None:
        with _arriving(target) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    with _arriving(target) as one, _arriving(target) as other:
        one.write(b"one")
        other.write(b"other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.part"]
    assert target.read_bytes() == b"one"
    assert beside.read_bytes() == b"somebody's"


def test_a_local_path_that_is_not_a_file_is_refused(
    esx: ESXHost, vimctl: Vimctl, local: Path, tmp_path: Path
) -> None:
    before = len(esx.call_log)
    refused = vimctl("datastore", "put", tmp_path, "[datastore1] folder", code=2)
    assert "not a regular file" in refused.err
    vimctl("datastore", "put", "/dev/null", "[datastore1] null", code=2)
    assert len(esx.call_log) == before
    vimctl("datastore", "put", local, "[datastore1] x")
    absent = vimctl("datastore", "get", "[datastore1] x", tmp_path / "absent" / "x", code=2)
    assert "local folder not found" in absent.err
    assert "--to" not in vimctl("datastore", "put", local, "[datastore1] x", code=1).err


def test_stat_mv_and_rm(esx: ESXHost, vimctl: Vimctl, local: Path) -> None:
    vimctl("datastore", "put", local, "[datastore1] a")
    assert vimctl.json("datastore", "stat", "[datastore1] a")["size"] == 10_000
    assert vimctl.json("datastore", "stat", "[datastore1] vm-0")["type"] == "folder"
    vimctl("datastore", "put", local, "[datastore1] b")
    moved = ("datastore", "mv", "[datastore1] a", "[datastore1] b")
    vimctl(*moved, code=1)
    assert vimctl.json(*moved, "--overwrite")["path"] == "[datastore1] b"
    vimctl("datastore", "stat", "[datastore1] a", code=4)
    assert (
        vimctl.json("datastore", "mv", "[datastore1] b", "[datastore1] vm-0/")["path"]
        == "[datastore1] vm-0/b"
    )
    assert vimctl.json("datastore", "rm", "[datastore1] vm-0/b") == {
        "path": "[datastore1] vm-0/b",
        "deleted": True,
    }
    vimctl("datastore", "rm", "[datastore1] vm-0/b", code=4)
    vimctl("datastore", "rm", "[datastore1] vm-0/b", "--missing-ok")


def test_a_folder_is_deleted_only_on_request(esx: ESXHost, vimctl: Vimctl) -> None:
    esx.datastore_path().joinpath("d/e").mkdir(parents=True)
    esx.datastore_path().joinpath("d/e/f").write_bytes(b"x")
    assert "--recursive" in vimctl("datastore", "rm", "[datastore1] d", code=2).err
    found = vimctl.json("datastore", "ls", "-r", "[datastore1] d")
    assert [row["path"] for row in found] == ["[datastore1] d/e", "[datastore1] d/e/f"]
    vimctl("datastore", "rm", "-r", "[datastore1] d")
    assert not esx.datastore_path().joinpath("d").exists()


def test_a_failed_deletion_does_not_stop_the_others(
    esx: ESXHost, vimctl: Vimctl, local: Path
) -> None:
    vimctl("datastore", "put", local, "[datastore1] a")
    done = vimctl("datastore", "rm", "[datastore1] no", "[datastore1] a", "--json", code=7)
    assert done.lines[0]["error"]["type"] == "NotFoundError"
    assert done.lines[1] == {"path": "[datastore1] a", "deleted": True}


def test_a_pattern_selects_files(esx: ESXHost, vimctl: Vimctl) -> None:
    found = vimctl.json("datastore", "ls", "[datastore1] vm-0/*.vmx")
    assert [row["path"] for row in found] == ["[datastore1] vm-0/vm-0.vmx"]


@pytest.mark.parametrize("path", ["a", "[datastore1] ../x", "[data/store] x"])
def test_an_invalid_path_is_refused(esx: ESXHost, vimctl: Vimctl, path: str) -> None:
    vimctl("datastore", "stat", path, code=2)
    assert esx.call_log == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>please log in</html>", "TransferCorruptError"),
        (b"", "TransferCorruptError"),
        (b"0123456789" * 999, "TransferCorruptError"),
    ],
)
def test_row_83_a_get_that_is_not_the_listed_file_leaves_nothing(
    esx: ESXHost,
    beside: Beside,
    vimctl: Vimctl,
    local: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    kind: str,
) -> None:
    """A page, nothing, or 10 bytes less, with status 200: the file that was there stays."""
    vimctl("datastore", "put", local, "[datastore1] x")
    folder = tmp_path / "got"
    folder.mkdir()
    (folder / "x").write_bytes(b"mine")
    good = certs.make("good")
    stack = AsyncExitStack()

    async def start() -> Relay:
        found = await stack.enter_async_context(
            relay("127.0.0.1", esx.port, tls=good.server_context())
        )
        raw = ("Content-Type", "application/octet-stream")
        found.on("GET", answer(200, body, raw), nth=2, times=None)  # not the API versions
        return found

    between = beside.run(start())
    try:
        monkeypatch.setenv("VIMLIB_URL", between.stage.url)
        monkeypatch.setenv("VIMLIB_PIN", good.digest())
        get = ("datastore", "get", "[datastore1] x", folder, "--overwrite")
        assert vimctl(*get, "--json", code=1).document["error"]["type"] == kind
        assert [file.name for file in folder.iterdir()] == ["x"]
        assert (folder / "x").read_bytes() == b"mine"
    finally:
        beside.run(stack.aclose())


def test_row_84_a_growing_log_is_read_on_request(
    esx: ESXHost, vimctl: Vimctl, local: Path, tmp_path: Path
) -> None:
    vimctl("datastore", "put", local, "[datastore1] vmware.log")
    back = tmp_path / "vmware.log"
    assert (
        vimctl.json("datastore", "get", "[datastore1] vmware.log", back, "--growing")["size"]
        == 10_000
    )
    assert back.read_bytes() == local.read_bytes()
