"""Guest operations on scripted guests, called without a socket; files go over HTTP in one test."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from vimlib import vim25
from vimlib.simulator import ManualClock

AUTH = vim25.NamePasswordAuthentication(
    interactiveSession=False, username="root", password="secret"
)
PROCESSES = vim25.GuestProcessManager
FILES = vim25.GuestFileManager


class Guest:
    """A running machine with tools, and the managers of its guest."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.guest = call.esx.guest("vm-0")
        self.vm = call.esx.machine("vm-0").ref

    async def managers(self) -> None:
        manager = self.call.content.guestOperationsManager
        found = await self.call.read(manager, "authManager", "fileManager", "processManager")
        self.auth, self.files, self.processes = (
            found[name] for name in ("authManager", "fileManager", "processManager")
        )

    async def file(self, method: Any, auth: Any = AUTH, **args: Any) -> Any:
        return await self.call(method, self.files, vm=self.vm, auth=auth, **args)

    async def start(self, path: str, arguments: str = "", **spec: Any) -> int:
        made = vim25.GuestProgramSpec(programPath=path, arguments=arguments, **spec)
        pid: int = await self.call(
            PROCESSES.StartProgramInGuest, self.processes, vm=self.vm, auth=AUTH, spec=made
        )
        return pid

    async def info(self, pid: int) -> Any:
        work = self.guest.processes[pid].work
        if work is not None:
            await work
        [found] = await self.call(
            PROCESSES.ListProcessesInGuest, self.processes, vm=self.vm, auth=AUTH, pids=[pid]
        )
        return found

    async def run(self, line: str) -> tuple[int, str, str]:
        """Run a line as a client does that wants its output: by files."""
        pid = await self.start("/bin/sh", f"-c '{line}' > /tmp/out 2> /tmp/err")
        found = await self.info(pid)
        return (
            found.exitCode,
            self.guest.read("/tmp/out").decode(),
            self.guest.read("/tmp/err").decode(),
        )


@pytest.fixture
async def guest(make: Any) -> Guest:
    call = await make(vms=1)
    call.esx.set_guest("vm-0", accounts={"root": "secret", "ann": "word"})
    machine = call.esx.machine("vm-0")
    await call.done(vim25.VirtualMachine.PowerOnVM_Task, machine.ref)
    found = Guest(call)
    await found.managers()
    return found


async def validate(guest: Guest, auth: Any = AUTH) -> None:
    await guest.call(
        vim25.GuestAuthManager.ValidateCredentialsInGuest, guest.auth, vm=guest.vm, auth=auth
    )


async def test_a_host_has_guest_operations_from_5_0_on(make: Any) -> None:
    assert (await make(version="4.1")).content.guestOperationsManager is None
    assert (await make(version="5.5")).content.guestOperationsManager.moref[1] == (
        "ha-guest-operations-manager"
    )


async def test_a_guest_is_asked_with_its_own_credentials(guest: Guest) -> None:
    await validate(guest)
    for name, password in (("root", "wrong"), ("nobody", "secret")):
        wrong = vim25.NamePasswordAuthentication(
            interactiveSession=False, username=name, password=password
        )
        with pytest.raises(vim25.InvalidGuestLogin):
            await validate(guest, wrong)


async def test_a_guest_without_tools_or_power_does_not_answer(guest: Guest) -> None:
    guest.call.esx.set_guest("vm-0", tools=False)
    with pytest.raises(vim25.GuestOperationsUnavailable):
        await validate(guest)
    await guest.call.done(vim25.VirtualMachine.PowerOffVM_Task, guest.vm)
    with pytest.raises(vim25.InvalidPowerState) as caught:
        await validate(guest)
    assert caught.value.existingState == "poweredOff"


async def test_a_program_ends_with_its_exit_code(guest: Guest) -> None:
    guest.guest.script("/opt/job", exit_code=3, stdout="out\n", stderr="err\n")
    info = await guest.info(await guest.start("/opt/job", "a b"))
    assert (info.exitCode, info.name, info.owner) == (3, "job", "root")
    assert info.cmdLine == '"/opt/job" a b'
    assert info.endTime is not None


async def test_a_program_that_is_missing_is_not_started(guest: Guest) -> None:
    with pytest.raises(vim25.FileNotFound):
        await guest.start("/opt/nonesuch")
    guest.guest.write("/opt/plain", b"text")
    ann = guest.guest.accounts["ann"]
    assert not guest.guest.files.find("/opt/plain", ann).allows(ann, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("echo one; echo two >&2", (0, "one\n", "two\n")),
        ("false && echo no || echo yes", (0, "yes\n", "")),
        ("echo a | cat - | cat", (0, "a\n", "")),
        ('X="a  b"; echo "$X" ${X} $HOME', (0, "a  b a  b /root\n", "")),
        ("cd /tmp && pwd; exit 7; echo no", (7, "/tmp\n", "")),
        ("cat /nonesuch", (1, "", "cat: /nonesuch: File /nonesuch was not found\n")),
        ("nonesuch", (127, "", "sh: nonesuch: not found\n")),
        ("echo a > /tmp/f; echo b >> /tmp/f; cat < /tmp/f", (0, "a\nb\n", "")),
        ("test -d /tmp && [ -f /etc ] || echo no", (0, "no\n", "")),
        ('echo "$(date)"', (2, "", "sh: Syntax error: no command substitution in a scripted guest\n")),
        ("echo ok |", (2, "", "sh: Syntax error: end of file unexpected\n")),
        ("exit \u00b2", (2, "", "")),
        ("exec && exec echo a", (0, "a\n", "")),
        (f"exit {'9' * 5000}", (2, "", "")),
        ("mkdir -p /a/b && touch /a/b/c && ls /a/b && rm -rf /a && ls /a",
         (2, "c\n", "ls: /a: File /a was not found\n")),
    ],
)  # fmt: skip
async def test_the_shell_runs_lines(
    guest: Guest, line: str, expected: tuple[int, str, str]
) -> None:
    assert await guest.run(line) == expected


async def test_an_uploaded_script_runs(guest: Guest) -> None:
    guest.guest.write("/tmp/run.sh", b"#!/bin/sh\n# a comment\necho $1 > /tmp/got\nexit 4\n")
    guest.guest.files.find("/tmp/run.sh", guest.guest.accounts["root"]).mode = 0o755
    assert (await guest.info(await guest.start("/tmp/run.sh", "'x y'"))).exitCode == 4
    assert guest.guest.read("/tmp/got") == b"x y\n"


async def test_a_script_without_an_interpreter_is_not_run(guest: Guest) -> None:
    for content in (b"", b"#!", b"#!\n", b"#! \nexit 4\n", b"#!/bin/perl\n"):
        guest.guest.write("/tmp/run", content)
        guest.guest.files.find("/tmp/run", guest.guest.accounts["root"]).mode = 0o755
        assert (await guest.info(await guest.start("/tmp/run"))).exitCode == 126


async def test_a_script_that_is_not_utf_8_ends(guest: Guest) -> None:
    guest.guest.write("/tmp/run", b"\xff; echo \xff; cd /\xff\n")
    pid = await guest.start("/bin/sh", "/tmp/run > /tmp/out 2> /tmp/err")
    assert (await guest.info(pid)).exitCode == 1
    assert guest.guest.read("/tmp/out") == b"\xef\xbf\xbd\n"


async def test_a_new_password_leaves_an_account_its_id(guest: Guest) -> None:
    before = guest.guest.accounts["ann"]
    after = guest.guest.add_account("ann", "other")
    assert (after.uid, after.home) == (before.uid, before.home)
    assert guest.guest.add_account("bob", "word").uid not in (0, after.uid)


async def test_a_guest_reads_and_writes_guestinfo(guest: Guest) -> None:
    code, _, _ = await guest.run('vmtoolsd --cmd "info-set guestinfo.vimguest.status {ok}"')
    assert code == 0
    options = (await guest.call.read(guest.vm, "config.extraConfig"))["config.extraConfig"]
    assert {o.key: o.value for o in options}["guestinfo.vimguest.status"] == "{ok}"
    assert await guest.run('vmware-rpctool "info-get guestinfo.vimguest.status"') == (
        (0, "{ok}\n", "")
    )
    assert await guest.run('vmtoolsd --cmd "info-get guestinfo.none"') == (
        (1, "No value found\n", "")
    )


async def test_a_process_takes_its_time_and_can_be_killed(make: Any, clock: ManualClock) -> None:
    call = await make(vms=1, clock=clock)
    call.esx.set_guest("vm-0", accounts={"root": "secret"})
    await call.done(vim25.VirtualMachine.PowerOnVM_Task, call.esx.machine("vm-0").ref)
    guest = Guest(call)
    await guest.managers()
    first, second = await guest.start("/bin/sleep", "60"), await guest.start("/bin/sleep", "90")
    await clock.advance(30)
    listing: dict[str, Any] = {"vm": guest.vm, "auth": AUTH, "pids": []}
    found = await call(PROCESSES.ListProcessesInGuest, guest.processes, **listing)
    assert [(p.pid, p.exitCode) for p in found] == [(first, None), (second, None)]
    await call(
        PROCESSES.TerminateProcessInGuest, guest.processes, vm=guest.vm, auth=AUTH, pid=second
    )
    await clock.advance(40)
    found = await call(PROCESSES.ListProcessesInGuest, guest.processes, **listing)
    assert [(p.pid, p.exitCode) for p in found] == [(first, 0), (second, 137)]
    with pytest.raises(vim25.GuestProcessNotFound):
        await call(
            PROCESSES.TerminateProcessInGuest, guest.processes, vm=guest.vm, auth=AUTH, pid=first
        )
    await clock.advance(301)
    assert await call(PROCESSES.ListProcessesInGuest, guest.processes, **listing) == []


async def test_files_are_made_listed_moved_and_deleted(guest: Guest) -> None:
    await guest.file(FILES.MakeDirectoryInGuest, directoryPath="/a/b", createParentDirectories=True)
    for name in ("one", "two"):
        guest.guest.write(f"/a/b/{name}", name.encode())
    found = await guest.file(FILES.ListFilesInGuest, filePath="/a/b", maxResults=3)
    assert [(f.path, f.type, f.size) for f in found.files] == [
        (".", "directory", 0), ("..", "directory", 0), ("one", "file", 3)]  # fmt: skip
    assert found.remaining == 1
    found = await guest.file(FILES.ListFilesInGuest, filePath="/a/b", matchPattern="^t")
    assert [f.path for f in found.files] == ["two"]
    with pytest.raises(vim25.FileAlreadyExists):
        await guest.file(
            FILES.MoveFileInGuest, srcFilePath="/a/b/one", dstFilePath="/a/b/two", overwrite=False
        )
    with pytest.raises(vim25.DirectoryNotEmpty):
        await guest.file(FILES.DeleteDirectoryInGuest, directoryPath="/a/b", recursive=False)
    await guest.file(FILES.DeleteFileInGuest, filePath="/a/b/one")
    with pytest.raises(vim25.FileNotFound):
        await guest.file(FILES.DeleteFileInGuest, filePath="/a/b/one")
    await guest.file(FILES.DeleteDirectoryInGuest, directoryPath="/a", recursive=True)
    temporary = await guest.file(FILES.CreateTemporaryFileInGuest, prefix="x", suffix=".sh")
    assert temporary.startswith("/tmp/x")
    assert guest.guest.read(temporary) == b""


async def test_a_path_may_be_deep_but_not_longer_than_on_linux(guest: Guest) -> None:
    make = {"createParentDirectories": True}
    await guest.file(FILES.MakeDirectoryInGuest, directoryPath="/d" * 1100, **make)
    await guest.file(FILES.DeleteDirectoryInGuest, directoryPath="/d", recursive=True)
    with pytest.raises(vim25.FileFault, match="File name too long"):
        await guest.file(FILES.MakeDirectoryInGuest, directoryPath="/" + "d" * 4095, **make)


async def test_a_user_does_not_touch_the_files_of_others(guest: Guest) -> None:
    ann = vim25.NamePasswordAuthentication(
        interactiveSession=False, username="ann", password="word"
    )
    homes = {name: account.home for name, account in guest.guest.accounts.items()}
    key = homes["root"] + "/key"
    guest.guest.write(key, b"k")
    with pytest.raises(vim25.GuestPermissionDenied):
        await guest.file(FILES.InitiateFileTransferFromGuest, ann, guestFilePath=key)
    with pytest.raises(vim25.GuestPermissionDenied):
        await guest.file(FILES.MakeDirectoryInGuest, ann, directoryPath="/etc/x",
                         createParentDirectories=False)  # fmt: skip
    await guest.file(FILES.MakeDirectoryInGuest, ann, directoryPath=homes["ann"] + "/x",
                     createParentDirectories=False)  # fmt: skip


async def put(guest: Guest, url: str, body: bytes) -> int:
    parts = urlsplit(url)
    assert parts.hostname == "*"
    address = guest.call.esx.url.removesuffix("/sdk")
    trust = ssl.create_default_context(cadata=guest.call.esx.certificate_pem.decode())
    async with aiohttp.ClientSession() as session:
        target = f"{address}{parts.path}?{parts.query}"
        async with session.put(target, data=body, ssl=trust) as reply:
            return reply.status


async def get(guest: Guest, url: str) -> tuple[int, bytes]:
    address = guest.call.esx.url.removesuffix("/sdk")
    trust = ssl.create_default_context(cadata=guest.call.esx.certificate_pem.decode())
    async with aiohttp.ClientSession() as session:
        target = f"{address}{urlsplit(url).path}?{urlsplit(url).query}"
        async with session.get(target, ssl=trust) as reply:
            return reply.status, await reply.read()


@pytest.mark.slow
async def test_a_file_travels_by_url_once(guest: Guest) -> None:
    async def begin(size: int, *, overwrite: bool = False) -> str:
        url: str = await guest.file(
            FILES.InitiateFileTransferToGuest,
            guestFilePath="/tmp/file",
            fileAttributes=vim25.GuestPosixFileAttributes(permissions=0o640),
            fileSize=size,
            overwrite=overwrite,
        )
        return url

    url = await begin(5)
    assert await put(guest, url, b"12345") == 200
    assert await put(guest, url, b"12345") == 404
    assert guest.guest.read("/tmp/file") == b"12345"
    with pytest.raises(vim25.FileAlreadyExists):
        await begin(5)
    # A size that is not that of the file, and an empty file.
    assert await put(guest, await begin(4, overwrite=True), b"12345") == 500
    assert await put(guest, await begin(0, overwrite=True), b"") == 500
    info = await guest.file(FILES.InitiateFileTransferFromGuest, guestFilePath="/tmp/file")
    assert (info.size, info.attributes.permissions) == (5, 0o640)
    assert await get(guest, info.url) == (200, b"12345")
    assert (await get(guest, info.url))[0] == 404


async def test_a_reboot_ends_processes_and_transfers(guest: Guest) -> None:
    guest.guest.write("/tmp/file", b"1")
    await guest.file(FILES.InitiateFileTransferFromGuest, guestFilePath="/tmp/file")
    await guest.start("/bin/sleep", "600")
    await guest.call.done(vim25.VirtualMachine.PowerOffVM_Task, guest.vm)
    await guest.call.done(vim25.VirtualMachine.PowerOnVM_Task, guest.vm)
    again = guest.call.esx.guest("vm-0")
    assert (again.processes, again.transfers) == ({}, {})
    assert again.read("/tmp/file") == b"1"
