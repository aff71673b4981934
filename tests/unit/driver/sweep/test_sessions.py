"""The sessions of processes that were killed, and only those, are ended by a sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.driver.hosted import CONFIG, OWNER, Hosted, spec
from tests.unit.driver.sweep.test_sweep import driver_of, journalled, known
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._journal import FileJournal, LoggedIn
from vimdriver._journal.entries import replay
from vimdriver._verbs.session import SessionRecord, session_recorded
from vimlib import vim25
from vimlib._client import Client


def sessions(host: Hosted) -> int:
    return host.state().sessions


async def entry_of(client: Client) -> LoggedIn:
    return LoggedIn(**known(client, session=client.session_digest))


async def test_a_killed_process_session_is_ended_and_others_are_not(host: Hosted) -> None:
    async with host.client() as killed, host.client() as other, host.client() as client:
        journal = await journalled(await entry_of(killed))
        dry = await driver_of(client, journal).sweep(dry_run=True)
        assert sessions(host) == 3
        report = await driver_of(client, journal).sweep()
        assert [i.action for i in report.items] == [i.action for i in dry.items] == ["removed"]
        (item,) = report.items
        assert (item.kind, item.reason) == ("session", "its process has ended")
        assert item.name.startswith(f"{host.esx.credentials.username} since 2")
        assert sessions(host) == 2
        # The other one was not logged in again: its session is the one that it had.
        before = other.session_digest
        await driver_of(other).list_instances()
        assert other.session_digest == before
        assert await journal.abandoned() == ()
        assert (await driver_of(client, journal).sweep()).items == ()


async def test_a_session_that_has_ended_by_itself(host: Hosted) -> None:
    async with host.client() as client:
        async with host.client() as gone:
            journal = await journalled(await entry_of(gone))
        report = await driver_of(client, journal).sweep()
        assert [(i.action, i.reason) for i in report.items] == [("kept", "already ended")]
        assert not host.esx.calls("TerminateSession")


async def test_the_session_that_sweeps_is_left(host: Hosted) -> None:
    async with host.client() as client:
        journal = await journalled(await entry_of(client))
        report = await driver_of(client, journal).sweep()
        assert [(i.action, i.kind) for i in report.items] == [("left", "session")]
        assert not host.esx.calls("TerminateSession")


async def test_without_permission_it_is_left_to_the_host(host: Hosted) -> None:
    async with host.client() as killed, host.client() as client:
        manager = vim25.SessionManager("ha-sessionmgr")
        denied = vim25.NoPermission(object=manager, privilegeId="Sessions.TerminateSession")
        host.esx.faults.fail("TerminateSession", denied)
        report = await driver_of(client, await journalled(await entry_of(killed))).sweep()
        assert [i.action for i in report.items] == ["left"]
        host.esx.faults.deny("SessionManager", "sessionList", denied)
        report = await driver_of(client, await journalled(await entry_of(killed))).sweep()
        assert [i.action for i in report.items] == ["left"]
        assert "Sessions.TerminateSession is missing" in report.items[0].reason
        assert sessions(host) == 2


async def test_entries_of_another_owner_or_host_are_not_acted_on(host: Hosted) -> None:
    async with host.client() as killed, host.client() as client:
        theirs = await entry_of(killed)
        for entry in (
            LoggedIn(host=theirs.host, owner="others", session=theirs.session),
            LoggedIn(host="elsewhere:443", owner=OWNER, session=theirs.session),
        ):
            assert (await driver_of(client, await journalled(entry)).sweep()).items == ()
        assert sessions(host) == 2


def opened(path: Path) -> list[LoggedIn]:
    found = replay(path.read_bytes()).entries.values()
    return [entry for entry in found if isinstance(entry, LoggedIn)]


async def test_a_driver_writes_its_session_and_closes_the_entry(
    host: Hosted, image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    config = replace(CONFIG, journal=path)
    async with host.driver(config=config) as driver:
        async with driver:
            await driver.list_instances()
            assert not path.exists()  # reading needs no journal
            await driver.spawn(spec(image))
            entry, *_ = opened(path)
            assert entry.session == driver.client.session_digest
            # The key itself gives access on some hosts.
            keys = [s.key for s in host.esx.sessions.by_cookie.values()]
            assert not any(key in path.read_text() for key in keys)
        assert opened(path) == []


async def test_a_new_login_is_written_too(host: Hosted, image: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, journal=tmp_path / "journal")
    async with host.driver(config=config) as driver, driver:
        await driver.ensure_vlan("blue", 42)
        first = driver.client.session_digest
        host.beside.call(host.esx.sessions.expire)
        await driver.list_instances()
        assert driver.client.session_digest != first
        await driver.destroy("web")
        await driver.ensure_vlan("red", 43)
        entry, *_ = opened(tmp_path / "journal")
        assert entry.session == driver.client.session_digest


async def test_a_shared_journal_has_the_session_of_each_driver_that_was_entered(
    host: Hosted, tmp_path: Path
) -> None:
    async with FileJournal(tmp_path / "journal") as journal, host.client() as client:
        loose = ESXDriver(client, LocalImages(), CONFIG, journal=journal)
        await loose.ensure_vlan("blue", 42)
        assert list(journal.running) == []
        async with ESXDriver(client, LocalImages(), CONFIG, journal=journal) as driver:
            await driver.ensure_vlan("red", 43)
            assert [type(entry) for entry in journal.running] == [LoggedIn]
        assert list(journal.running) == []


async def test_for_code_without_a_driver(host: Hosted, tmp_path: Path) -> None:
    async with host.client() as client, FileJournal(tmp_path / "journal") as journal:
        async with session_recorded(client, journal, OWNER):
            assert [type(entry) for entry in journal.running] == [LoggedIn]
        assert list(journal.running) == []


@pytest.mark.parametrize("times", [1, 3])
async def test_it_is_written_once(times: int, host: Hosted, tmp_path: Path) -> None:
    async with host.client() as client, FileJournal(tmp_path / "journal") as journal:
        record = SessionRecord(client, journal, OWNER)
        for _ in range(times):
            await record.write()
        assert len((tmp_path / "journal").read_bytes().splitlines()) == 2
        await record.aclose()
        await record.aclose()
        assert list(journal.running) == []
