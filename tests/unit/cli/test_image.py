from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimdriver._images.embedded import EmbeddedGlance, Fault
from vimlib.simulator import ESXHost

LINE = {
    "image", "datastore_path", "bytes", "hash", "hash_algo", "stored_hash", "stored_hash_algo",
    "verified", "already_there", "seconds",
}  # fmt: skip
ERROR = {"type", "message", "rule", "retryable", "outcome"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\x01" * 1_000_000 + bytes(48_576))
    return path


def push(*images: str | Path) -> tuple[str | Path, ...]:
    return ("image", "push", *images, "--datastore", "datastore1")


def test_several_images_from_glance_are_pushed(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    done = vimctl(*push(*glance.images), "--glance", glance.url, "--json")
    assert done.err == ""
    lines = {line["image"]: line for line in done.lines}
    assert set(lines) == set(glance.images)  # one line as each image ends
    for identity, image in glance.images.items():
        line = lines[identity]
        assert set(line) == LINE
        assert line["datastore_path"] == f"[datastore1] images/{identity}.vmdk"
        assert (line["stored_hash"], line["already_there"]) == (None, False)
        assert (line["hash_algo"], line["hash"]) == ("sha512", image.sha512)
        assert line["verified"] is True
        assert (esx.datastore_path() / "images" / f"{identity}-flat.vmdk").is_file()
    again = vimctl(*push(*glance.images), "--glance", glance.url, "--json").lines
    assert all(line["already_there"] for line in again)


def test_bytes_are_stored_unchanged_where_that_is_asked_for(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    done = vimctl(*push(*glance.images), "--as-is", "--glance", glance.url, "--json")
    for line in done.lines:
        image = glance.images[line["image"]]
        ending = "img" if image.disk_format == "raw" else "vmdk"
        assert line["datastore_path"] == f"[datastore1] images/{image.id}.{ending}"
        stored = esx.datastore_path() / "images" / f"{image.id}.{ending}"
        assert hashlib.sha512(stored.read_bytes()).hexdigest() == image.sha512


def test_a_disk_gets_a_name_of_choice_and_the_command_that_spawns_from_it(
    esx: ESXHost, vimctl: Vimctl, disk: Path
) -> None:
    done = vimctl(*push(disk), "--as", "golden")
    assert "[datastore1] images/golden.vmdk" in done.out
    assert "vimctl instance spawn --name NAME --image '[datastore1] images/golden.vmdk'" in done.err
    error = vimctl(*push(disk, disk.parent), "--as", "golden", code=2)
    assert "a name must be given for one image, got 2" in error.err


def test_an_image_is_found_by_name_and_printed_as_text(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    done = vimctl(*push("demo-raw-1"), "--glance", glance.url)
    assert done.out.splitlines()[1].startswith("demo-raw-1  [datastore1] images/")
    assert "demo-raw-1: 1.0 MiB" in done.err
    assert "demo-raw-1: done" in done.err


def test_hosts_of_a_file_get_the_images_too(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance, beside: Beside, tmp_path: Path
) -> None:
    folder, file = tmp_path / "second", tmp_path / "hosts"
    folder.mkdir()

    async def start() -> ESXHost:
        login = esx.credentials
        return await ESXHost(
            datastores={"datastore1": folder}, username=login.username, password=login.password
        ).__aenter__()

    second: ESXHost = beside.run(start())
    try:
        file.write_text(
            f"# the second\n{second.url} {second.thumbprint}\nhttps://127.0.0.1:1/sdk # down\n"
        )
        words = (*push("demo-raw-1"), "--glance", glance.url, "--host-file", file)
        done = vimctl(*words, "--host-bandwidth", "500", "--bandwidth", "900", "--json", code=7)
    finally:
        beside.run(second.aclose())
    lines = {line["host"]: line for line in done.lines}
    assert set(lines) == {esx.url, second.url, "https://127.0.0.1:1/sdk"}
    assert lines["https://127.0.0.1:1/sdk"]["error"]["type"] == "ConnectError"
    stored = [next(host.rglob("images/*-flat.vmdk")) for host in (esx.datastore_path(), folder)]
    assert stored[0].read_bytes() == stored[1].read_bytes()
    assert len([seen for seen in glance.seen if seen.path.endswith("/file")]) == 1


@pytest.mark.parametrize("text", [None, "https://a/sdk pin more", "https://a/sdk\nhttps://a/sdk"])
def test_an_invalid_file_of_hosts_is_refused(
    esx: ESXHost, vimctl: Vimctl, disk: Path, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "hosts"
    if text is not None:
        file.write_text(text)
    assert "hosts" in vimctl(*push(disk), "--host-file", file, code=2).err
    assert not esx.calls("Login")


def test_bandwidth_needs_a_file_of_hosts(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    assert "--host-file" in vimctl(*push(disk), "--bandwidth", "5", code=2).err


def test_a_local_file_is_not_verified(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    (line,) = vimctl(*push(disk), "--to", "a/b", "--json").lines
    assert line["datastore_path"] == "[datastore1] a/b/disk.vmdk"
    assert line["verified"] is False
    assert line["hash"] == hashlib.new(line["hash_algo"], disk.read_bytes()).hexdigest()
    (again,) = vimctl(*push(disk), "--to", "a/b", "--json").lines
    assert again["already_there"] is True
    disk.write_bytes(b"\x02" * 1_000_000)
    (again,) = vimctl(*push(disk), "--to", "a/b", "--json", code=1).lines
    assert again["error"]["type"] == "FileConflictError"
    vimctl(*push(disk), "--to", "a/b", "--overwrite")


def test_the_target_may_be_a_datastore_path(esx: ESXHost, vimctl: Vimctl, disk: Path) -> None:
    for to, folder in (
        ("[datastore1] a/b", "a/b/"),
        ("[datastore1]", ""),
        ("[other] c", "[other] c/"),
    ):
        (line,) = vimctl(*push(disk), "--to", to, "--json").lines
        assert line["datastore_path"] == f"[datastore1] {folder}disk.vmdk"


def test_a_file_that_cannot_be_read_back_gets_no_name(
    esx: ESXHost, vimctl: Vimctl, disk: Path
) -> None:
    esx.faults.add("GET", "status", status=500)
    (line,) = vimctl(*push(disk), "--read-back", "--json", code=1).lines
    assert line["error"]["type"] == "TransferRejectedError"
    assert not list(esx.datastore_path().glob("images/*"))
    (line,) = vimctl(*push(disk), "--read-back", "--json").lines
    assert line["datastore_path"] == "[datastore1] images/disk.vmdk"
    assert line["stored_hash"] == line["hash"]


def test_a_partial_failure_has_its_own_code(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance, disk: Path
) -> None:
    broken = glance.named("demo-raw-1")
    broken.fault, broken.hashed = Fault.KILLED, False  # with a hash it is resumed
    before = {path for path in esx.datastore_path().rglob("*") if path.is_file()}
    images = ("demo-raw-1", "demo-raw-2", "nosuch", f"./{disk.relative_to(disk.anchor)}")
    done = vimctl(*push(*images), "--glance", glance.url, "--json", code=7)
    lines = {line["image"]: line for line in done.lines}
    assert set(lines["demo-raw-1"]["error"]) == ERROR
    assert lines["demo-raw-2"]["verified"] is True
    assert lines["nosuch"]["error"]["type"] == "ImageNotFoundError"
    stored = {path for path in esx.datastore_path().rglob("*") if path.is_file()} - before
    assert {path.name.partition(".")[0] for path in stored if path.suffix == ".vmdk"} == {
        glance.named("demo-raw-2").id,
        f"{glance.named('demo-raw-2').id}-flat",
    }
    text = vimctl(*push("demo-raw-1", "demo-stream"), "--glance", glance.url, code=7)
    assert "demo-raw-1: failed: " in text.err


def test_a_name_that_is_not_utf8_is_refused(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    path = tmp_path / "\udcff.img"
    path.write_bytes(b"\1" * 1000)
    (line,) = vimctl(*push(path), "--json", code=2).lines
    assert line["image"] == str(path)
    assert line["error"]["type"] == "InvalidPathError"


def test_quiet_prints_failures(esx: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl(*push("/nonexistent/disk"), "-q", code=4)
    assert (
        done.err == "/nonexistent/disk: failed: image not found: '/nonexistent/disk'. "
        "Check the path. An image in Glance requires --glance URL or OS_CLOUD.\n"
    )


@pytest.mark.slow
def test_a_push_into_a_closed_pipe_ends_without_a_message(
    esx: ESXHost, disk: Path, vimctl: Vimctl
) -> None:
    program = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"
    words = (*push(disk, "/nonexistent"), "--json", "--concurrency", "1")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_single_failure_has_the_code_of_its_error(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    vimctl(*push("nosuch"), "--glance", glance.url, code=4)
    vimctl(*push("/nonexistent/disk"), code=4)
    vimctl("image", "push", "demo-raw-1", "--datastore", "no", "--glance", glance.url, code=4)
    vimctl(*push(), code=2)


@pytest.mark.slow
def test_an_interrupted_push_leaves_no_file(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    glance.named("demo-raw-1").fault = Fault.STALLED
    before = {path for path in esx.datastore_path().rglob("*") if path.is_file()}
    program = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"
    words = (*push("demo-raw-1"), "--glance", glance.url)
    # A shell that runs the tests in the background makes its children ignore SIGINT.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, usual)
    with process:
        assert process.stderr is not None
        assert process.stderr.readline() == "demo-raw-1: 1.0 MiB\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "vimctl: interrupted\n"
        assert process.wait(30) == 130
    assert {path for path in esx.datastore_path().rglob("*") if path.is_file()} == before
    assert len(esx.calls("Logout")) == len(esx.calls("Login"))


def test_a_stalled_source_is_a_deadline_error(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    image = glance.named("demo-raw-1")
    image.fault, image.hashed = Fault.STALLED, False
    words = (*push("demo-raw-1"), "--glance", glance.url, "--stall-timeout", "0.2", "--json")
    (line,) = vimctl(*words, code=6).lines
    assert line["error"]["type"] == "SourceStalledError"
    assert line["error"]["retryable"] is True


def test_inspect_reads_the_whole_image(vimctl: Vimctl, glance: EmbeddedGlance, disk: Path) -> None:
    found = vimctl.json("image", "inspect", disk)
    assert found["kind"] == "raw"
    assert found["bytes"] == found["capacity_bytes"] == disk.stat().st_size
    found = vimctl.json("image", "inspect", "demo-stream", "--glance", glance.url)
    assert found["kind"] == "streamOptimized"
    assert found["verified"] is True
    assert "capacity_bytes" in vimctl("image", "inspect", disk, "-q").out
    vimctl("image", "inspect", "/nonexistent", code=4)


def test_inspect_refuses_the_same_images_as_push(vimctl: Vimctl, tmp_path: Path) -> None:
    bad = tmp_path / "bad.vmdk"
    bad.write_bytes(b"QFI\xfb" + bytes(1020))
    done = vimctl("image", "inspect", bad, "--json", code=1)
    assert done.document["error"]["type"] == "ImageUnacceptableError"


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_file_on_a_host_is_pushed(esx: ESXHost, vimctl: Vimctl, elsewhere: bool) -> None:
    (esx.datastore_path() / "up.img").write_bytes(b"\1" * 4096)
    more = ("--source-host", esx.url, "--source-pin", esx.thumbprint) if elsewhere else ()
    (line,) = vimctl(*push("[datastore1] up.img"), *more, "--json").lines
    assert line["datastore_path"] == "[datastore1] images/up.vmdk"
    assert (esx.datastore_path() / "images/up-flat.vmdk").read_bytes() == b"\1" * 4096


def test_inspect_reads_no_file_of_a_host(vimctl: Vimctl) -> None:
    done = vimctl("image", "inspect", "[datastore1] up.img", code=2)
    assert "vimctl datastore get" in done.err


def test_json_has_no_secret_of_a_url(esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance) -> None:
    image = glance.named("demo-raw-1")
    where = glance.url.removeprefix("http://")
    url = f"http://bob:canary@{where}/v2/images/{image.id}/file?sig=canary#sha512={image.sha512}"
    bad = url.replace("/file?", "/none?")
    done = vimctl(*push(url, bad), "--json", code=7)
    assert "canary" not in done.out + done.err
    assert {line["image"] for line in done.lines} == {
        f"http://{where}/v2/images/{image.id}/{name}?...#sha512={image.sha512}"
        for name in ("file", "none")
    }
    found = vimctl("image", "inspect", url, "--json")
    assert "canary" not in found.out + found.err
