"""What an error of `vimctl` says to try, by the situation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver.errors import SourceUnreachableError, size_text
from vimlib.simulator import ESXHost

SPAWN = "instance spawn --name a --image a.img --datastore datastore1 -q --memory-mb 64"


@pytest.fixture(autouse=True)
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.img").write_bytes(bytes(4096))
    Path("empty.img").write_bytes(b"")


@pytest.mark.parametrize(
    ("before", "words", "message"),
    [
        ("suspend", "shutdown vm-1",
         ("machine 'vm-1' must be poweredOn or poweredOff, is suspended. "
          "Try: vimctl instance resume vm-1, or cut its power with vimctl instance stop.")),
        ("suspend", "reboot vm-1", "is suspended. Try: vimctl instance resume vm-1."),
        ("suspend", "screenshot vm-1 a.png", "is suspended. Try: vimctl instance resume vm-1."),
        ("suspend", "console vm-1", "is suspended. Try: vimctl instance resume vm-1."),
        ("stop", "reboot vm-1", "'vm-1' must be poweredOn, is poweredOff. Try: vimctl instance start vm-1."),
        ("stop", "suspend vm-1", "is poweredOff. Try: vimctl instance start vm-1."),
        ("stop", "resume vm-1", "Only a suspended machine can be resumed; this one is poweredOff."),
    ],
)  # fmt: skip
def test_a_power_state_comes_with_the_command_that_leaves_it(
    esx: ESXHost, vimctl: Vimctl, before: str, words: str, message: str
) -> None:
    vimctl("instance", "start", "vm-1")
    vimctl("instance", before, "vm-1")
    assert message in vimctl("instance", *words.split(), code=1).err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("get VirtualMachine:99 -p name", 4, "List those of its type: vimctl get VirtualMachine."),
        ("get VirtualMachin", 2, "Did you mean VirtualMachine?"),
        ("get VirtualMachine -p name,config.uuid", 2,
         "--path must be one property path, got 'name,config.uuid'. Repeat the option: -p name -p config.uuid."),
        ("watch VirtualMachine -p name,config.uuid", 2, "Repeat the option: -p name -p config.uuid."),
        ("ls vm-0", 4, "give its type: vimctl ls vm-0 -t VirtualMachine."),
        ("about --known-hosts nosuch", 2,
         "cannot read known hosts from 'nosuch': No such file or directory. Check the path"),
        ("about --ca nosuch", 2, "from 'nosuch': No such file or directory. Give a file"),
        ("about --password-file nosuch", 2, "from 'nosuch': No such file or directory. Check the path"),
        ("sweep --journal nosuch/j", 2, "--journal must be in a folder that exists, got 'nosuch/j'."),
        ("sweep --journal a.img", 2, "the file is not a journal. Give the path of a journal, or of a file that"),
        ("image inspect nosuch.img", 4, "image not found: 'nosuch.img'. Check the path."),
        ("image inspect empty.img", 1, "Check that whatever wrote it has ended without an error."),
        (f"{SPAWN} --guest-id foo", 2, "--guest-id must be a guestId that the host supports, got 'foo'."),
        (f"{SPAWN} --network n --mac 00:50:56:00:00:01 --ip 10.0.0.2", 2,
         "--ip must be an address with a prefix length, got '10.0.0.2'. Write --ip 10.0.0.2/24"),
        (f"{SPAWN} --disk-gb 50000", 1, "needs 48.8 TiB free, has 1.0 TiB."),
    ],
)  # fmt: skip
def test_an_error_says_what_to_try(
    esx: ESXHost, vimctl: Vimctl, words: str, code: int, message: str
) -> None:
    assert message in vimctl(*words.split(), code=code).err


@pytest.mark.parametrize("words", ["--adapter foo", "--network nosuch", "--journal nosuch/j"])
def test_progress_begins_after_the_checks(esx: ESXHost, vimctl: Vimctl, words: str) -> None:
    spawn = SPAWN.replace(" -q", "").split()
    done = vimctl(*spawn, *words.split(), code=4 if "network" in words else 2)
    assert done.err.startswith("vimctl: ")
    assert len(done.err.splitlines()) == 1


def test_two_snapshots_of_one_name_are_told_apart_by_reference(
    esx: ESXHost, vimctl: Vimctl
) -> None:
    one = vimctl.json("instance", "snapshot", "vm-0", "a")["moref"]
    vimctl("instance", "snapshot", "vm-0", "a")
    refused = vimctl("instance", "revert", "vm-0", "a", code=4).err
    assert f"Give the reference of one: a ({one})" in refused
    vimctl("instance", "revert", "vm-0", one)


def test_a_page_of_html_is_shown_as_its_text(esx: ESXHost, vimctl: Vimctl) -> None:
    refused = vimctl("about", "--url", esx.url.removesuffix("/sdk") + "/foo", code=1).err
    assert "HTTP 404" in refused
    assert not re.search(r"</?\w+>", refused)


def test_plain_http_has_no_certificate() -> None:
    plain = SourceUnreachableError(image="http://h/x.img", host="h:80", reason="no")
    assert "certificate" not in str(plain)
    assert "certificate" in str(SourceUnreachableError(image="https://h/x", host="h:443"))


def test_a_folder_that_cannot_be_made_is_named(vimctl: Vimctl) -> None:
    refused = vimctl("sim", "--datastore-dir", "/proc/x", code=1).err
    assert "Check the path '/proc/x'." in refused
    assert "--port" not in refused


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), ((1 << 40) - 4096, "1.0 TiB")],
)
def test_a_size_is_rounded_to_the_unit_above(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize("name", ["a.vmdk", "a.iso", "A.QCOW2"])
def test_a_name_that_claims_another_format_is_refused(
    esx: ESXHost, vimctl: Vimctl, tmp_path: Path, name: str
) -> None:
    Path(name).write_bytes(b"\x7fELF" + bytes(100_000))
    before = set(esx.datastore_path().rglob("*.*"))
    done = vimctl("image", "push", name, "--datastore", "datastore1", "--json", code=1)
    assert "format.name" in done.lines[0]["error"]["message"]
    assert set(esx.datastore_path().rglob("*.*")) == before
    Path("a-flat.vmdk").write_bytes(bytes(100_000))
    vimctl("image", "push", "a-flat.vmdk", "--datastore", "datastore1")
