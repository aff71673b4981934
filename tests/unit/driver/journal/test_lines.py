"""What bytes say is open, whatever has become of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimdriver._journal.entries import (
    HEADER,
    AddingPortGroup,
    Destroying,
    Entry,
    NotAJournalError,
    Replay,
    Spawning,
    Uploading,
    begin_line,
    done_line,
    render,
    replay,
)

WORDS = st.text(max_size=30)
COMMON = {"host": WORDS, "owner": WORDS, "token": st.text(min_size=1, max_size=8)}
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(Spawning, uuid=WORDS, name=WORDS, folder=WORDS, power_on=st.booleans(), **COMMON),
    st.builds(Destroying, name=WORDS, folder=WORDS, **COMMON),
    st.builds(Uploading, path=WORDS, **COMMON),
    st.builds(AddingPortGroup, name=WORDS, note=WORDS, spawn=WORDS, **COMMON),
)
STEPS = st.lists(st.tuples(ENTRIES, st.booleans()), max_size=12)


def lines(steps: list[tuple[Entry, bool]]) -> list[bytes]:
    found = []
    for entry, done in steps:
        found.append(begin_line(entry))
        if done:
            found.append(done_line(entry.token))
    return found


def expected(said: list[bytes]) -> dict[str, Entry]:
    return replay(HEADER + b"".join(said)).entries


@given(STEPS)
def test_what_was_begun_and_not_done_is_open(steps: list[tuple[Entry, bool]]) -> None:
    wanted: dict[str, Entry] = {}
    for entry, done in steps:
        wanted[entry.token] = entry
        if done:
            del wanted[entry.token]
    found = replay(HEADER + b"".join(lines(steps)))
    assert (found.entries, found.damaged, found.torn) == (wanted, [], False)
    assert replay(render(found.entries.values())).entries == wanted


@given(STEPS, st.data())
def test_a_torn_end_costs_its_last_line_alone(
    steps: list[tuple[Entry, bool]], data: st.DataObject
) -> None:
    said = lines(steps)
    whole = HEADER + b"".join(said)
    cut = data.draw(st.integers(0, len(whole)))
    found = replay(whole[:cut])
    assert found.damaged == []
    if cut < len(HEADER):
        assert (found.entries, found.torn) == ({}, cut > 0)
        return
    kept, size = 0, len(HEADER)
    # A line that lacks its end of line alone is whole.
    while kept < len(said) and size + len(said[kept]) - 1 <= cut:
        size += len(said[kept])
        kept += 1
    assert found.entries == expected(said[:kept])


@settings(max_examples=300)
@given(STEPS.filter(bool), st.data())
def test_a_garbled_line_says_nothing_and_the_others_all_they_did(
    steps: list[tuple[Entry, bool]], data: st.DataObject
) -> None:
    said = lines(steps)
    which = data.draw(st.integers(0, len(said) - 1))
    at = data.draw(st.integers(0, len(said[which]) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b not in (10, said[which][at])))
    garbled = said[which][:at] + bytes([byte]) + said[which][at + 1 :]
    found = replay(HEADER + b"".join([*said[:which], garbled, *said[which + 1 :]]))
    if found.damaged:
        assert found.damaged == [which + 2]
        assert found.entries == expected(said[:which] + said[which + 1 :])
    else:
        # JSON that means the same: other spacing is all that a changed byte can leave unseen.
        assert json.loads(garbled) == json.loads(said[which])
        assert found.entries == expected(said)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert isinstance(replay(HEADER + data), Replay)
    if not data.startswith(HEADER) and not HEADER.startswith(data):
        with pytest.raises(NotAJournalError):
            replay(data)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b'{"crc":"00000000"}',
        b'{"crc":"00000000","done":"a"}',
        b'{"crc":1,"done":"a"}',
        b'{"crc":"00000000","begin":{"what":"format"}}',
        b"",
        b"\xff\xfe",
    ],
)
def test_lines_that_are_none(line: bytes) -> None:
    assert replay(HEADER + line + b"\n") == Replay(damaged=[2])


def test_a_kind_of_a_newer_version_is_damage_and_no_guess() -> None:
    import zlib

    payload = b'{"what":"teleport","host":"h","owner":"o","token":"t"}'
    crc = zlib.crc32(b"begin" + payload)
    line = b'{"crc":"%08x","begin":%b}\n' % (crc, payload)
    assert replay(HEADER + line).damaged == [2]
