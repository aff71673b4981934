"""A refused password is not tried again for 900 seconds, by any process of the user."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vimlib._secret import Secret
from vimlib._session.refusals import LOCK_SECONDS, LoginKey, RefusedLogins, shared_refusals

KEY = LoginKey("esx1:443", "root", Secret("canary-password"))


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vimlib" / "refused-logins"


def other(**changes: str) -> LoginKey:
    values = {
        "host": KEY.host,
        "username": KEY.username,
        "password": "canary-password",
        "stamp": "",
    }
    values |= changes
    return LoginKey(values["host"], values["username"], Secret(values["password"]), values["stamp"])


def test_an_unknown_login_may_be_tried(path: Path) -> None:
    assert RefusedLogins(path).seconds_left(KEY) == 0.0
    assert not path.exists()


def test_a_refused_login_waits_for_900_seconds(path: Path, clock: Clock) -> None:
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    clock.now += 1
    assert refused.seconds_left(KEY) == pytest.approx(LOCK_SECONDS - 1, abs=0.01)
    clock.now += LOCK_SECONDS
    assert refused.seconds_left(KEY) == 0.0


@pytest.mark.parametrize("fraction", [0.0004, 0.0005, 0.0006, 0.9999])
def test_a_refusal_counts_from_the_moment_in_which_it_was_written(
    path: Path, clock: Clock, fraction: float
) -> None:
    # A time that is rounded up lies in the future for half a millisecond, and does not count then.
    clock.now += fraction
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    assert refused.seconds_left(KEY) > 0
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_another_process_knows_of_the_refusal(path: Path, clock: Clock) -> None:
    RefusedLogins(path, clock=clock).add(KEY)
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_two_processes_that_refuse_at_once_keep_both(path: Path, clock: Clock) -> None:
    first, second = (RefusedLogins(path, clock=clock) for _ in range(2))
    first.add(KEY)
    second.seconds_left(KEY)
    first.add(other(username="admin"))
    second.add(other(username="backup"))
    for name in ("root", "admin", "backup"):
        assert RefusedLogins(path, clock=clock).seconds_left(other(username=name)) > 0


@pytest.mark.parametrize(
    "changed",
    [{"host": "esx2:443"}, {"username": "admin"}, {"password": "other"}, {"stamp": "2"}],
    ids=lambda changed: next(iter(changed)),
)
def test_another_login_is_not_affected(path: Path, clock: Clock, changed: dict[str, str]) -> None:
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    assert refused.seconds_left(other(**changed)) == 0.0


def test_an_accepted_login_is_forgotten_by_all(path: Path, clock: Clock) -> None:
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    refused.add(other(username="admin"))
    refused.accept(KEY)
    again = RefusedLogins(path, clock=clock)
    assert again.seconds_left(KEY) == 0.0
    assert again.seconds_left(other(username="admin")) > 0


def test_the_file_holds_no_secret_and_is_private(path: Path, clock: Clock) -> None:
    RefusedLogins(path, clock=clock).add(KEY)
    content = path.read_text()
    for secret in ("canary-password", "root", "esx1"):
        assert secret not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_clock_that_was_set_back_does_not_lock_for_ever(path: Path, clock: Clock) -> None:
    RefusedLogins(path, clock=clock).add(KEY)
    clock.now -= 10 * LOCK_SECONDS
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) == 0.0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe nonsense\n", b"AAAA\ncut", b"\n" * 9])
def test_a_damaged_file_neither_stops_a_login_nor_loses_the_next_refusal(
    path: Path, clock: Clock, content: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    refused = RefusedLogins(path, clock=clock)
    assert refused.seconds_left(KEY) == 0.0
    refused.add(KEY)
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_a_file_that_cannot_be_written_is_reported_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    refused = RefusedLogins(tmp_path / "file" / "refused-logins", clock=clock)
    with caplog.at_level("WARNING", "vimlib.session"):
        refused.add(KEY)
        refused.add(other(username="admin"))
    assert len(caplog.records) == 1
    assert refused.seconds_left(KEY) > 0


def test_a_file_of_many_refusals_is_compacted(path: Path, clock: Clock) -> None:
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    with path.open("a") as file:
        file.writelines(f"old{n} {clock.now - 10**6}\n" for n in range(2000))
    refused.add(other(username="admin"))
    assert path.stat().st_size < 1000
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_a_login_that_was_tried_again_and_accepted_is_forgotten(path: Path, clock: Clock) -> None:
    RefusedLogins(path, clock=clock).add(KEY)
    RefusedLogins(path, clock=clock).accept(KEY)  # retry_login: sent without asking first
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) == 0.0


def test_a_process_sees_what_another_one_found_accepted(path: Path, clock: Clock) -> None:
    first, second = (RefusedLogins(path, clock=clock) for _ in range(2))
    first.add(KEY)
    second.seconds_left(KEY)
    second.accept(KEY)
    assert first.seconds_left(KEY) == 0.0


def test_a_file_that_was_removed_is_made_again(path: Path, clock: Clock) -> None:
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    path.unlink()
    assert refused.seconds_left(KEY) == 0.0
    refused.add(KEY)
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_a_directory_that_cannot_be_written_keeps_refusals_in_memory(
    path: Path, clock: Clock
) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.{os.getpid()}").mkdir()  # in the way of the new file, root or not
    refused = RefusedLogins(path, clock=clock)
    refused.add(KEY)
    assert not path.exists()
    assert refused.seconds_left(KEY) > 0


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_the_file_does_not_block(path: Path, clock: Clock) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    refused = RefusedLogins(path, clock=clock)
    assert refused.seconds_left(KEY) == 0.0
    refused.add(KEY)
    assert RefusedLogins(path, clock=clock).seconds_left(KEY) > 0


def test_threads_share_one_object(path: Path, clock: Clock) -> None:
    refused = RefusedLogins(path, clock=clock)
    keys = [other(username=str(n)) for n in range(8)]

    def refuse_some(key: LoginKey) -> None:
        for n in range(8):
            refused.add(other(username=key.username, host=str(n)))
            refused.seconds_left(key)
        refused.add(key)

    with ThreadPoolExecutor(len(keys)) as pool:
        list(pool.map(refuse_some, keys))
    again = RefusedLogins(path, clock=clock)
    assert all(again.seconds_left(key) > 0 for key in keys)


def test_a_relative_state_directory_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shared_refusals().path == tmp_path / ".local/state/vimlib/refused-logins"


def test_the_shared_file_follows_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert shared_refusals().path == tmp_path / "vimlib" / "refused-logins"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shared_refusals().path == tmp_path / ".local" / "state" / "vimlib" / "refused-logins"
