"""The guest's report is read as the helper writes it, and is never trusted."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest import vimguest
from vimdriver._guestinfo import NIC, machine_id, record_digest
from vimdriver._gueststatus import (
    MAX_ROWS,
    GuestNIC,
    GuestProblem,
    local_addresses,
    parse_status,
)
from vimlib.errors import UnexpectedReplyError

MAC = "00:50:56:aa:bb:01"


def written(tmp_path: Path, text: str) -> str:
    """The report of a helper that has read this record."""
    run = vimguest.Run(vimguest.parse_args(["--root", str(tmp_path)]))
    run.digest = record_digest(text)
    run.bound = [vimguest.Bound("eth0", vimguest.parse(text)[1].nics[0])]
    run.report.update(status="overruled", verified=False, backend="networkd", notes=["a", "b"])
    run.report["verified"] = None
    run.problem(
        vimguest.Problem(MAC, "address", "10.0.0.2/24", "", "/etc/systemd/network/x.network")
    )
    return vimguest.status_text(run.report, run, 5)


def test_the_report_of_the_helper_is_read(tmp_path: Path) -> None:
    text = machine_id([NIC(MAC, ["10.0.0.2/24"])])
    found = parse_status(written(tmp_path, text))
    assert (found.status, found.code, found.verified) == ("overruled", 5, None)
    assert found.nics == (GuestNIC(MAC, "eth0", ("10.0.0.2/24",)),)
    assert found.problems == (
        GuestProblem(MAC, "address", "10.0.0.2/24", "", "/etc/systemd/network/x.network"),
    )
    assert found.notes == ("a", "b")
    assert not found.cut
    # A machine whose settings were changed since has not reported on them yet.
    assert found.is_for(text)
    assert found.is_for(text + "\n")
    assert not found.is_for(machine_id([NIC(MAC, ["10.0.0.3/24"])]))


GOOD: dict[str, Any] = {"version": 1, "status": "changed", "code": 0}
BAD: list[Any] = [
    "",
    "x",
    "[" * 3000,
    "[]",
    "null",
    {"version": 2},
    GOOD | {"code": True},
    GOOD | {"code": "0"},
    GOOD | {"verified": 1},
    GOOD | {"status": 1},
    GOOD | {"nics": {}},
    GOOD | {"nics": [1]},
    GOOD | {"nics": [{"addresses": ["10.0.0.2/33"]}]},
    GOOD | {"nics": [{"addresses": ["fe80::1%\n/64"]}]},
    GOOD | {"notes": [1]},
    GOOD | {"notes": ["x"] * (MAX_ROWS + 1)},
    GOOD | {"error": "x"},
    GOOD | {"notes": ["x" * 5000]},
]


@pytest.mark.parametrize("document", BAD, ids=lambda one: str(one)[:40])
def test_a_report_that_breaks_its_form_is_refused(document: Any) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(UnexpectedReplyError, match=r"guestinfo\.vimguest\.status") as caught:
        parse_status(text)
    assert str(caught.value).isprintable()


def test_texts_are_made_printable() -> None:
    found = parse_status(json.dumps(GOOD | {"status": "\x1b[2J\n", "notes": ["\u202e" * 300]}))
    assert found.status == "\\x1b[2J\\n"
    assert found.notes[0].isascii()
    assert len(found.notes[0]) <= 256


@given(st.text(max_size=300) | st.dictionaries(st.text(max_size=5), st.integers()).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UnexpectedReplyError):
        assert parse_status(text).status.isprintable()


def test_local_addresses_are_addresses() -> None:
    assert local_addresses({}) == ()
    settings = {"guestinfo.local-ipv4": "10.0.0.2", "guestinfo.local-ipv6": "2001:DB8::2"}
    assert local_addresses(settings) == ("10.0.0.2", "2001:db8::2")
    assert (
        local_addresses({"guestinfo.local-ipv4": "x\n", "guestinfo.local-ipv6": "fe80::1%a"}) == ()
    )
