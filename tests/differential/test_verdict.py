"""Each judge rejects a client that behaved wrongly."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from tests.differential import verdict
from tests.differential.cell import Cell, _leaks
from tests.differential.report import page, secrets, text
from tests.differential.scenarios import SCENARIOS
from tests.differential.servers import NAMES, Server
from tests.differential.verdict import Seen, Verdict
from tests.rig.relay import Relay
from tests.rig.stage import Conn, Stage


class Host:
    """A host with the state that a test sets."""

    kind = "simulator"
    port = 0
    username, password = "root", "pa55"

    def __init__(self, machines: int) -> None:
        self._machines = machines

    async def machines(self, name: str) -> int:
        return self._machines

    def executed(self, method: str) -> int:
        return 0


def conn(said: bytes) -> Conn:
    made = Conn(0, cast("Any", None), cast("Any", None))
    made.received += said
    return made


def seen(
    outcome: dict[str, Any] | None,
    *,
    machines: int = 0,
    calls: str = "",
    heard: bytes = b"",
    trapped: bytes = b"",
) -> Seen:
    relay = Relay("127.0.0.1", 1)
    relay.calls = calls.split()
    relay.cookies = {"c00kie"}
    relay.stage, trap = Stage(True), Stage(True)
    relay.stage.connections, trap.connections = [conn(heard)], [conn(trapped)]
    return Seen(outcome, 10.0, cast("Server", Host(machines)), relay, trap)


TOLD = {"raised": "SomeError", "text": ""}
TIME = {"returned": {"type": "datetime", "value": "x"}}
CONFIG = {"returned": {"type": "VirtualMachineConfigSpec", "value": "x"}}
NOTHING = {"returned": {"type": "NoneType", "value": "None"}}
ALL = {"type": "names", "value": NAMES}
SOME = {"type": "names", "value": NAMES[:1]}
CREATED = {"returned": {"type": "VirtualMachine", "value": "x"}}


@pytest.mark.parametrize(
    ("judge", "of", "word"),
    [
        (verdict.works(verdict.a_time), seen(TIME), "ok"),
        (verdict.works(verdict.a_time), seen(TOLD), "lies"),
        (verdict.no_byte, seen(TOLD), "ok"),
        (verdict.no_byte, seen(None), "hangs"),
        (verdict.no_byte, seen({"returned": None}, heard=b"<Login>pa55"), "trusts"),
        (verdict.no_byte, seen(TOLD, heard=b"GET /"), "trusts"),
        (verdict.one_machine("a"), seen(TOLD, machines=1, calls="CreateVM_Task"), "ok"),
        (verdict.one_machine("a"), seen(CREATED, machines=1, calls="CreateVM_Task"), "ok"),
        (verdict.one_machine("a"), seen(CREATED, machines=0, calls="CreateVM_Task"), "lies"),
        (verdict.one_machine("a"), seen(CREATED, machines=2), "duplicates"),
        (
            verdict.one_machine("a"),
            seen(TOLD, machines=1, calls="CreateVM_Task CreateVM_Task"),
            "duplicates",
        ),
        (verdict.one_machine("a"), seen(None, machines=1), "hangs"),
        (verdict.sent_once("X"), seen(TOLD, calls="X"), "ok"),
        (verdict.sent_once("X"), seen(TOLD, calls="X Y X"), "duplicates"),
        (verdict.a_time, seen(TIME), "ok"),
        (verdict.a_time, seen(NOTHING), "lies"),
        (verdict.a_time_and_no_other_type, seen(CONFIG), "trusts"),
        (verdict.the_names, seen({"returned": ALL}), "ok"),
        (verdict.the_names, seen({"returned": SOME}), "lies"),
        (
            verdict.the_names_without_entities,
            seen({"returned": {"type": "names", "value": [verdict.EXPANDED]}}),
            "trusts",
        ),
        (verdict.the_names_without_entities, seen({"returned": SOME}), "lies"),
        (verdict.nothing_elsewhere, seen(TOLD), "ok"),
        (verdict.nothing_elsewhere, seen(TOLD, trapped=b"pa55"), "trusts"),
        (verdict.nothing_elsewhere, seen(TOLD, trapped=b"Cookie: c00kie"), "trusts"),
        (verdict.nothing_elsewhere, seen(TOLD, trapped=b"GET"), "trusts"),
        (verdict.one_login(2), seen({"returned": [ALL, ALL]}, calls="Login"), "ok"),
        (verdict.one_login(2), seen({"returned": [ALL, ALL]}, calls="Login Login"), "duplicates"),
        (verdict.one_login(2), seen({"returned": [ALL, SOME]}, calls="Login"), "lies"),
        (verdict.tried_once, seen(TOLD, calls="Login"), "ok"),
        (verdict.tried_once, seen(TOLD, calls="Login Login"), "duplicates"),
        (verdict.not_stored, seen({"returned": 5}), "lies"),
        (verdict.received(5), seen({"returned": 4}), "lies"),
    ],
)
async def test_a_judge_returns_the_expected_word(judge: verdict.Judge, of: Seen, word: str) -> None:
    assert (await judge(of)).word == word


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("vmware_soap_session=x", "ok"),
        ("vmware_soap_session=x; other=1", "ok"),
        ("vmware_soap_session=x; Path=/; HttpOnly, other=1", "lies"),
    ],
)
async def test_returned_cookies_are_judged(header: str, word: str) -> None:
    of = seen(TIME)
    of.relay.sent_cookies = [header]
    assert (await verdict.its_own_cookie(of)).word == word


def test_a_secret_is_found_with_its_logger() -> None:
    log = "DEBUG:suds.client:<Login>\n  <password>pa55</password>\nDEBUG:other:nothing\n"
    assert _leaks(log.splitlines(), {"pa55": "the password"}) == {"suds.client: the password"}
    assert _leaks(log.splitlines(), {"another": "the password"}) == set()


def test_the_page_names_leaks_and_counts_verdicts() -> None:
    scenario = next(s for s in SCENARIOS if not s.control)
    cell = Cell(Verdict("ok", "raises A|B"), "1.0", ("suds.client: the password",), TOLD, "")
    cells = {("simulator", scenario.row, "ours"): cell}
    assert secrets(cast("Any", cells), "ours").word == "leaks"
    made = page(cast("Any", cells), [scenario], ["ours"], date(2026, 1, 2))
    assert r"ok: raises A\|B" in made
    assert "| **leaks** | 1 |" in made
    assert "suds.client" in text(cast("Any", cells), [scenario], ["ours"])
