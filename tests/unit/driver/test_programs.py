"""Programs and files inside a guest."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted, until
from vimdriver._driver import ESXDriver
from vimdriver._instances.programs import GuestLogin, _command
from vimdriver.errors import GuestProgramTimeoutError, GuestToolsError, InstanceStateError
from vimlib import vim25
from vimlib._guest import GuestSession
from vimlib._secret import Secret
from vimlib.errors import (
    LimitError,
    NotFoundError,
    ProtocolError,
    TransferRejectedError,
    UsageError,
    VersionError,
)

ROOT = GuestLogin("root", Secret("secret"))


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "s", owned=True, vms=2) as found:
        beside.call(
            lambda: found.esx.set_guest("vm-0", tools=True, accounts={"root": "secret", "joe": "x"})
        )
        yield found


@pytest.fixture
async def driver(host: Hosted) -> AsyncIterator[ESXDriver]:
    async with host.driver() as found:
        await found.power_on("vm-0")
        yield found


def temporary(host: Hosted) -> list[str]:
    files = host.esx.guest("vm-0").files
    return sorted(files.find("/tmp", host.esx.guest("vm-0").accounts["root"]).children or {})


async def test_a_program_runs_once_and_its_output_comes_back(
    host: Hosted, driver: ESXDriver
) -> None:
    before = temporary(host)
    host.esx.guest("vm-0").script("/opt/job", exit_code=3, stdout="out\n", stderr="err\n")
    found = await driver.guest_exec("vm-0", ROOT, "/opt/job", "a b", "$HOME", "it's")
    assert (found.exit_code, found.stdout, found.stderr) == (3, b"out\n", b"err\n")
    assert host.methods().count("StartProgramInGuest") == 1
    assert temporary(host) == before
    assert "secret" not in repr(ROOT)


async def test_arguments_arrive_as_they_are(host: Hosted, driver: ESXDriver) -> None:
    words = ["a b", "$HOME", "it's", '"', ">", "*", ""]
    found = await driver.guest_exec("vm-0", ROOT, "/bin/echo", *words)
    assert found.stdout.decode() == " ".join(words) + "\n"


async def test_a_program_that_does_not_end_is_killed(host: Hosted, driver: ESXDriver) -> None:
    before = temporary(host)
    host.esx.guest("vm-0").script("/opt/job", seconds=3600)
    with pytest.raises(GuestProgramTimeoutError, match=r"did not end within 0\.01 s"):
        await driver.guest_exec("vm-0", ROOT, "/opt/job", timeout=0.01)
    assert "TerminateProcessInGuest" in host.methods()
    assert temporary(host) == before
    with pytest.raises(UsageError):
        await driver.guest_exec("vm-0", ROOT, "/opt/job", timeout=0)


async def test_cancelling_kills_the_program(host: Hosted, driver: ESXDriver) -> None:
    before = temporary(host)
    host.esx.guest("vm-0").script("/opt/job", seconds=3600)
    work = asyncio.create_task(driver.guest_exec("vm-0", ROOT, "/opt/job"))
    await until(lambda: "ListProcessesInGuest" in host.methods())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert "TerminateProcessInGuest" in host.methods()
    assert temporary(host) == before


async def test_cancelling_while_it_is_started_kills_it_too(host: Hosted, driver: ESXDriver) -> None:
    before = temporary(host)
    host.esx.guest("vm-0").script("/opt/job", seconds=3600)
    host.esx.faults.add("StartProgramInGuest", "delay", seconds=0.05)
    work = asyncio.create_task(driver.guest_exec("vm-0", ROOT, "/opt/job"))
    await until(lambda: "StartProgramInGuest" in host.methods())
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert "TerminateProcessInGuest" in host.methods()
    assert temporary(host) == before


async def test_a_failing_clean_up_hides_neither_error_nor_cancellation(
    host: Hosted, driver: ESXDriver
) -> None:
    host.esx.guest("vm-0").script("/opt/job", seconds=3600)
    refusal = vim25.GuestPermissionDenied()
    for method in ("TerminateProcessInGuest", "DeleteDirectoryInGuest"):
        host.esx.faults.add(method, "fault", fault=refusal, times=None)
    with pytest.raises(GuestProgramTimeoutError) as caught:
        await driver.guest_exec("vm-0", ROOT, "/opt/job", timeout=0.01)
    (note,) = caught.value.__notes__
    assert note.startswith("Left behind: the program (")
    assert "; the folder of its output (" in note
    polls = host.methods().count("ListProcessesInGuest")
    work = asyncio.create_task(driver.guest_exec("vm-0", ROOT, "/opt/job"))
    await until(lambda: host.methods().count("ListProcessesInGuest") > polls)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_processes_are_listed(host: Hosted, driver: ESXDriver) -> None:
    host.esx.guest("vm-0").script("/opt/job", exit_code=7)
    await driver.guest_exec("vm-0", ROOT, "/opt/job")
    found = await driver.guest_ps("vm-0", ROOT)
    (job,) = [one for one in found if "/opt/job" in one.command]
    assert (job.owner, job.exit_code) == ("root", 7)
    assert job.to_json()["exit_code"] == 7


async def test_files_go_in_and_come_out(host: Hosted, driver: ESXDriver, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    local = tmp_path / "local"
    local.write_bytes(data)
    assert await driver.guest_upload("vm-0", ROOT, local, "/tmp/file", mode=0o600) == len(data)
    assert host.esx.guest("vm-0").read("/tmp/file") == data
    assert await driver.guest_download("vm-0", ROOT, "/tmp/file") == data
    with pytest.raises(vim25.FileAlreadyExists):
        await driver.guest_upload("vm-0", ROOT, b"new", "/tmp/file")
    await driver.guest_upload("vm-0", ROOT, b"new", "/tmp/file", overwrite=True)
    assert host.esx.guest("vm-0").read("/tmp/file") == b"new"


async def test_an_empty_file_takes_no_transfer(host: Hosted, driver: ESXDriver) -> None:
    assert await driver.guest_upload("vm-0", ROOT, b"", "/tmp/empty", mode=0o640) == 0
    assert host.esx.guest("vm-0").read("/tmp/empty") == b""
    assert "InitiateFileTransferToGuest" not in host.methods()
    assert await driver.guest_download("vm-0", ROOT, "/tmp/empty") == b""


async def test_an_empty_file_that_is_refused_leaves_nothing(
    host: Hosted, driver: ESXDriver
) -> None:
    await driver.guest_upload("vm-0", ROOT, b"mine", "/tmp/there")
    before = temporary(host)
    with pytest.raises(vim25.FileAlreadyExists):
        await driver.guest_upload("vm-0", ROOT, b"", "/tmp/there")
    assert temporary(host) == before
    assert host.esx.guest("vm-0").read("/tmp/there") == b"mine"


async def test_refusals_are_typed(host: Hosted, driver: ESXDriver) -> None:
    with pytest.raises(vim25.InvalidGuestLogin):
        await driver.guest_ps("vm-0", GuestLogin("root", Secret("wrong")))
    with pytest.raises(InstanceStateError) as caught:
        await driver.guest_ps("vm-1", ROOT)
    assert caught.value.needed == "poweredOn"
    await driver.power_on("vm-1")
    with pytest.raises(GuestToolsError, match="cannot run /bin/true"):
        await driver.guest_exec("vm-1", ROOT, "/bin/true")
    with pytest.raises(NotFoundError):
        await driver.guest_ps("nobody", ROOT)
    with pytest.raises(vim25.FileNotFound):
        await driver.guest_download("vm-0", ROOT, "/tmp/nothing")
    host.esx.faults.add("GUEST PUT", "status", status=403)
    with pytest.raises(TransferRejectedError) as refused:
        await driver.guest_upload("vm-0", ROOT, b"data", "/tmp/file")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/guestFile?id=1&token=2",
        "https://*:443/folder/x?id=1",
        "ftp://*/guestFile?id=1",
        "https://*:443/guestFile?a\r\nHost: x",
        "",
    ],
)
async def test_a_url_of_another_host_is_refused(url: str, driver: ESXDriver) -> None:
    guest = driver.client.guest(vim25.VirtualMachine("1"), "root", "secret")
    with pytest.raises(ProtocolError):
        guest._target(url)
    assert isinstance(guest, GuestSession)
    assert "secret" not in repr(guest)


async def test_the_host_itself_may_be_named(host: Hosted, driver: ESXDriver) -> None:
    guest = driver.client.guest(vim25.VirtualMachine("1"), "root", "secret")
    for where in ("*", "*:443", driver.client.host):
        assert guest._target(f"https://{where}/guestFile?id=1") == "/guestFile?id=1"


async def test_a_host_without_guest_operations(beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "t", "4.1", owned=True, vms=1) as host:
        async with host.driver() as driver:
            await driver.power_on("vm-0")
            with pytest.raises(VersionError, match="no guest operations"):
                await driver.guest_ps("vm-0", ROOT)


async def test_more_output_than_fits_is_refused(driver: ESXDriver) -> None:
    from vimdriver._instances.programs import read_all

    await driver.guest_upload("vm-0", ROOT, b"x" * 1000, "/tmp/file")
    vm = driver.client.bind(vim25.VirtualMachine((await driver.info("vm-0")).moref))
    guest = driver.client.guest(vm, "root", "secret")
    with pytest.raises(LimitError):
        await read_all(guest.download("/tmp/file"), most=999)


def test_windows_gets_a_command_line() -> None:
    path, line = _command(r"C:\a b\x.exe", ("one two", "3"), r"C:\Temp\v", windows=True)
    assert path.endswith("cmd.exe")
    assert line == (
        r'''/s /c ""C:\a b\x.exe" ^"one two^" 3 > "C:\Temp\v\out" 2> "C:\Temp\v\err""'''
    )


@pytest.mark.parametrize("word", ["a&b", 'a"&calc&"', "%PATH%", ">x", "a|b", "(a)", "a^b", "!a!"])
def test_nothing_in_an_argument_is_a_command_of_windows(word: str) -> None:
    _, line = _command("x.exe", (word, "end"), r"C:\Temp\v", windows=True)
    given = line.partition('x.exe" ')[2].partition(" end > ")[0]
    # A caret makes the next character a plain one; what has none must be harmless to cmd.exe.
    plain = re.sub(r"\^(.)", "", given)
    assert not set(plain) & set('()%!^"<>&|')
    assert re.sub(r"\^(.)", r"\1", given) == subprocess.list2cmdline([word])
