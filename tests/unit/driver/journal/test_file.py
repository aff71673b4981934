"""A journal in a file: locked, bounded, and never worse than what was written."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vimdriver._journal import FileJournal, MemoryJournal, Uploading, close, settled, written
from vimdriver._journal import file as module
from vimdriver._journal.entries import HEADER, begin_line, done_line, replay
from vimdriver.errors import JournalError, JournalLockedError


def entry(path: str = "[ds] a.part", token: str = "") -> Uploading:
    made = Uploading(host="h:443", owner="o", path=path)
    return made if not token else Uploading(host="h:443", owner="o", path=path, token=token)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


async def test_what_is_open_outlives_its_process(path: Path) -> None:
    one, two = entry("one"), entry("two")
    async with FileJournal(path) as journal:
        await journal.begin(one)
        await journal.begin(two)
        assert journal.running == (one, two)
        assert await journal.abandoned() == ()
        await journal.done(one.token)
        # On the disk before anything is begun.
        assert replay(path.read_bytes()).entries == {two.token: two}
    assert path.stat().st_mode & 0o777 == 0o600
    async with FileJournal(path) as again:
        assert await again.abandoned() == (two,)
        assert not again.running
        # Whoever takes it up is at it.
        await again.begin(two)
        assert not await again.abandoned()
        assert again.running == (two,)
        again.abandon(two.token)
        assert await again.abandoned() == (two,)
        await again.done(two.token)
        await again.done("never begun")
    async with FileJournal(path) as last:
        assert await last.abandoned() == ()
    assert path.read_bytes() == HEADER


async def test_it_is_opened_by_the_first_who_asks_and_closed_twice(path: Path) -> None:
    journal = FileJournal(path)
    assert not path.exists()
    await journal.aclose()
    await journal.begin(entry(token="t"))
    assert "1 open" in repr(journal)
    await journal.aclose()
    await journal.aclose()
    assert "closed" in repr(journal)
    assert [e.token for e in await journal.abandoned()] == ["t"]
    await journal.aclose()


async def test_two_cannot_have_it(path: Path) -> None:
    async with FileJournal(path) as journal:
        with pytest.raises(JournalLockedError) as caught:
            await FileJournal(path).begin(entry())
        assert caught.value.outcome == "not_sent"
        held = "import fcntl,os,sys; fcntl.flock(os.open(sys.argv[1],os.O_RDWR),fcntl.LOCK_EX|fcntl.LOCK_NB)"
        argv = [sys.executable, "-c", held, str(path)]
        assert b"BlockingIOError" in subprocess.run(argv, capture_output=True).stderr
        await journal.begin(entry())
    assert subprocess.run(argv).returncode == 0


async def test_the_lock_stays_when_the_file_is_written_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMPACT_AT", 0)
    async with FileJournal(path) as journal:
        stays = entry("stays")
        await journal.begin(stays)
        # Held open, so that no other file can be given its number.
        with path.open("rb") as old:
            first = os.fstat(old.fileno())
            one = entry("one")
            await journal.begin(one)
            await journal.done(one.token)
            while os.path.samestat(first, path.stat()):
                await journal.begin(one)
                await journal.done(one.token)
        with pytest.raises(JournalLockedError):
            await FileJournal(path).abandoned()
        assert replay(path.read_bytes()).entries == {stays.token: stays}
    assert os.listdir(path.parent) == ["journal"]


async def test_it_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPACT_AT", 2000)
    largest = 0
    async with FileJournal(path) as journal:
        kept = [entry(f"kept-{n}") for n in range(5)]
        for one in kept:
            await journal.begin(one)
        for number in range(60):
            async with written(journal, entry(str(number))):
                largest = max(largest, path.stat().st_size)
    assert largest < 2000 + 4 * 5 * 250
    assert list(replay(path.read_bytes()).entries.values()) == kept


async def test_a_torn_line_was_never_begun_and_garbles_nothing(path: Path) -> None:
    one, two = entry("one"), entry("two")
    path.write_bytes(HEADER + begin_line(one) + begin_line(two)[:30])
    async with FileJournal(path) as journal:
        assert await journal.abandoned() == (one,)
        await journal.begin(two)
    found = replay(path.read_bytes())
    assert (list(found.entries.values()), found.damaged, found.torn) == ([one, two], [], False)


async def test_a_damaged_line_is_kept_apart_and_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = entry("one"), entry("two")
    data = HEADER + begin_line(one).replace(b"one", b"onf") + begin_line(two)
    path.write_bytes(data)
    async with FileJournal(path) as journal:
        assert await journal.abandoned() == (two,)
    assert "lines [2]" in caplog.text
    assert path.with_name("journal.damaged").read_bytes() == data
    assert replay(path.read_bytes()).entries == {two.token: two}


@pytest.mark.parametrize("data", [b"QFI\xfb", b"\0" * 4096, b'{"vimlib_journal": 2}\n', b"x"])
async def test_what_is_no_journal_stays_as_it_is(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    journal = FileJournal(path)
    with pytest.raises(JournalError) as caught:
        await journal.begin(entry())
    assert not isinstance(caught.value, JournalLockedError)
    assert path.read_bytes() == data
    assert journal.running == ()


@pytest.mark.parametrize("size", [0, 1, len(HEADER) - 1])
async def test_one_that_was_just_made_when_its_process_ended(path: Path, size: int) -> None:
    path.write_bytes(HEADER[:size])
    async with FileJournal(path) as journal:
        assert await journal.abandoned() == ()
    assert path.read_bytes() == HEADER


async def test_a_file_that_is_far_too_large_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.write(HEADER)
        file.truncate(1 << 40)
    with pytest.raises(JournalError):
        await FileJournal(path).abandoned()


async def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        await FileJournal(tmp_path / "no" / "journal").begin(entry())
    assert "No such file" in caught.value.reason


class Full:
    """A disk that has no room for one write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 10**9
        real = os.write

        def write(fd: int, data: bytes) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = real(fd, bytes(data)[: self.left])
            self.left -= count
            return count

        monkeypatch.setattr(os, "write", write)


async def test_row_77_a_full_disk_begins_nothing_and_tears_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Full(monkeypatch)
    one, two = entry("one"), entry("two")
    began = []
    async with FileJournal(path) as journal:
        await journal.begin(one)
        before = path.read_bytes()
        disk.left = 20
        with pytest.raises(JournalError):
            async with written(journal, two):
                began.append(two)
        assert began == []
        assert path.read_bytes() == before
        assert journal.running == (one,)
        # An entry that is written anew stays what it was.
        disk.left = 20
        with pytest.raises(JournalError):
            await journal.begin(entry("other", one.token))
        assert journal.running == (one,)
        # What ended well stays well, and a sweep finds it so.
        disk.left = 0
        await close(journal, one.token)
        assert await journal.abandoned() == (one,)
        disk.left = 10**9
        await journal.begin(two)
    assert replay(path.read_bytes()).entries == {one.token: one, two.token: two}


async def test_a_torn_line_that_could_not_be_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, truncate = Full(monkeypatch), os.ftruncate
    one, two, three = entry("one"), entry("two"), entry("three")

    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with FileJournal(path) as journal:
        await journal.begin(one)
        disk.left = 20
        monkeypatch.setattr(os, "ftruncate", refuse)
        with pytest.raises(JournalError):
            await journal.begin(two)
        # As long as it is there, nothing that is written after it would count.
        disk.left = 10**9
        with pytest.raises(JournalError):
            await journal.begin(two)
        monkeypatch.setattr(os, "ftruncate", truncate)
        await journal.begin(three)
    found = replay(path.read_bytes())
    assert (list(found.entries.values()), found.damaged) == ([one, three], [])


@pytest.mark.parametrize("another", [True, False])
async def test_one_that_is_taken_away_while_it_is_open(path: Path, another: bool) -> None:
    async with FileJournal(path) as journal:
        await journal.begin(entry("one"))
        path.unlink()
        if another:
            path.write_bytes(HEADER)
        with pytest.raises(JournalError):
            await journal.begin(entry("two"))
        assert [e.path for e in journal.running if isinstance(e, Uploading)] == ["one"]


async def test_a_link_to_it_stays_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPACT_AT", 0)
    link = path.with_name("link")
    link.symlink_to(path)
    async with FileJournal(link) as journal:
        stays = entry("stays")
        await journal.begin(stays)
        for number in range(20):
            async with written(journal, entry(str(number))):
                pass
        with pytest.raises(JournalLockedError):
            await FileJournal(path).abandoned()
    assert link.is_symlink()
    assert replay(path.read_bytes()).entries == {stays.token: stays}


async def test_what_is_no_file_is_not_replaced(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(JournalError) as caught:
        await FileJournal(path).abandoned()
    assert "not a regular file" in caught.value.reason
    assert path.is_fifo()


async def test_a_file_that_cannot_be_made_smaller_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_COMPACT_AT", 0)

    def refuse(*paths: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    async with FileJournal(path) as journal:
        monkeypatch.setattr(os, "replace", refuse)
        for name in "abcdef":
            async with written(journal, entry(name)):
                pass
    assert "cannot compact the journal" in caplog.text
    assert replay(path.read_bytes()).entries == {}


async def test_cancelled_while_it_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FileJournal(path) as journal:
        loop = asyncio.get_running_loop()
        one, real = entry(), os.fsync
        task: asyncio.Task[None] | None = None

        def sync(fd: int) -> None:
            assert task is not None
            loop.call_soon_threadsafe(task.cancel)
            real(fd)

        monkeypatch.setattr(os, "fsync", sync)
        task = asyncio.create_task(journal.begin(one))
        with pytest.raises(asyncio.CancelledError):
            await task
        # It stands there, or it was never begun; the caller undoes either.
        assert replay(path.read_bytes()).entries == {one.token: one}
        assert journal.running == (one,)


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_work_under_a_journal(kind: str, path: Path) -> None:
    journal = FileJournal(path) if kind == "file" else MemoryJournal()
    async with written(journal, entry("well")) as nothing:
        assert nothing is None
        assert [e.path for e in journal.running if isinstance(e, Uploading)] == ["well"]
    assert (journal.running, await journal.abandoned()) == ((), ())
    bad = entry("badly")
    with pytest.raises(ValueError, match="x"):
        async with written(journal, bad):
            raise ValueError("x")
    assert (journal.running, await journal.abandoned()) == ((), (bad,))
    async with settled(journal, bad.token):
        pass
    assert await journal.abandoned() == ()
    assert "0 open" in repr(journal)
    await journal.aclose()


async def test_many_at_once_stay_in_order(path: Path) -> None:
    async with FileJournal(path) as journal:

        async def one(number: int) -> None:
            async with written(journal, entry(str(number))):
                await asyncio.sleep(0)

        await asyncio.gather(*(one(n) for n in range(30)))
    found = replay(path.read_bytes())
    assert (found.entries, found.damaged) == ({}, [])


def test_done_before_begin_is_nothing() -> None:
    assert replay(HEADER + done_line("x")).entries == {}
