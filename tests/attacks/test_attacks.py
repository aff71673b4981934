"""Each kind of attack finds what is planted, and a case is the same each time."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.attacks import endless, foreign, lies, secrets
from tests.attacks.core import Case, many
from tests.attacks.proxy import HTML, Act, Turn, late, lose, response, say
from tests.attacks.world import world
from tests.rig.memory import MemoryLoop, Stuck, run
from vimlib import vim25
from vimlib._secret import Secret
from vimlib.errors import TransportError, VimlibError

pytestmark = pytest.mark.slow

ATTACKS = {"lies": lies, "endless": endless, "foreign": foreign, "secrets": secrets}


@pytest.mark.parametrize(
    ("kind", "cases"), [("lies", 100), ("endless", 100), ("foreign", 40), ("secrets", 100)]
)
def test_a_sample_finds_nothing(kind: str, cases: int) -> None:
    result = many(kind, ATTACKS[kind].attack, seed=1, numbers=range(cases))
    assert [str(each) for each in result.findings] == []
    assert result.cases == cases


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_case_is_the_same_each_time(kind: str) -> None:
    attack = ATTACKS[kind].attack
    for number in range(5):
        first, second = (Case(kind, 2, number) for _ in range(2))
        attack(first)
        attack(second)
        assert first.counts == second.counts


def test_a_success_that_the_host_lacks_is_found() -> None:
    case = Case("lies", 0, 0)

    async def lie() -> None:
        async with world(vms=2) as w:
            async with w.client() as client:
                await lies.OPS["upload"].work(client)
            (w.root / "new.bin").write_bytes(lies.DATA[:-1])
            lies.judge(case, "upload", lies.OPS["upload"], w, None, None, 0)

    run(lie())
    assert [each.what for each in case.findings] == [
        "upload: success, but the host has it not (part)"
    ]


def test_a_refusal_of_what_was_done_is_found() -> None:
    case = Case("lies", 0, 0)

    async def lie() -> None:
        async with world(vms=2) as w:
            async with w.client() as client:
                await lies.OPS["call PowerOn"].work(client)
            error = TransportError("nothing happened", outcome="not_sent")
            lies.judge(case, "call PowerOn", lies.OPS["call PowerOn"], w, None, error, 0)

    run(lie())
    assert [each.what for each in case.findings] == ["call PowerOn: not_sent, but the host has all"]


def test_a_wrong_result_is_found() -> None:
    case = Case("lies", 0, 0)

    async def lie() -> None:
        async with world() as w:
            lies.judge(case, "download", lies.OPS["download"], w, b"<html>", None, 0)

    run(lie())
    assert [each.what for each in case.findings] == ["download: wrong result as success"]


@pytest.mark.parametrize(
    ("name", "change", "refused"),
    [
        ("power_on", "PowerOnVM_Task", "RetrievePropertiesEx"),
        ("power_off", "PowerOffVM_Task", ""),
        ("delete", "DeleteDatastoreFile_Task", ""),
        ("upload, hashed", "PUT", "GET"),
        ("upload, hashed", "PUT", ""),
        ("call PowerOn", "PowerOnVM_Task", ""),
        ("destroy", "Destroy_Task", "SearchDatastore_Task"),
    ],
)
def test_a_refused_read_refuses_nothing_that_was_done(name: str, change: str, refused: str) -> None:
    op = lies.OPS[name]

    async def refuse() -> VimlibError:
        async with world(vms=2) as w:
            if op.setup is not None:
                await op.setup(w)
            async with w.client() as client:

                def plan(turn: Turn) -> Act | None:
                    done = change in turn.proxy.seen and turn.verb != change
                    return say(response(403)) if done and refused in ("", turn.verb) else None

                w.proxy.plan = plan
                with pytest.raises(VimlibError) as raised:
                    await op.work(client)
                w.proxy.plan = None
            assert op.happened is not None
            assert op.happened(w) == "yes"
            return raised.value

    assert run(refuse()).outcome in ("applied", "unknown")


def test_a_refused_removal_of_a_note_refuses_nothing_that_was_done() -> None:
    op = lies.OPS["remove_vlan"]

    async def refuse() -> VimlibError:
        async with world(vms=2) as w:
            assert op.setup is not None
            await op.setup(w)
            async with w.client() as client:
                w.esx.faults.fail_task("DeleteDatastoreFile_Task", vim25.NoPermission())
                with pytest.raises(VimlibError) as raised:
                    await op.work(client)
            assert "ours-9" not in w.port_groups()
            return raised.value

    assert run(refuse()).outcome == "applied"


@pytest.mark.parametrize(
    ("method", "act", "lost"),
    [
        ("Destroy_Task", lose, True),
        ("Destroy_Task", say(response(200, HTML)), True),
        ("Destroy_Task", late(15.0), True),  # longer than the client waits
        ("Destroy_Task", late(3.0), False),
        ("SearchDatastore_Task", lose, False),
    ],
)
def test_two_may_have_removed_a_machine_only_if_that_answer_was_lost(
    method: str, act: Act, lost: bool
) -> None:
    case, name = Case("lies", 0, 0), "destroy, twice at once"
    op = lies.OPS[name]

    async def play() -> None:
        async with world(vms=2) as w:
            assert op.setup is not None
            await op.setup(w)
            async with w.client() as client:
                broken: list[str] = []

                def plan(turn: Turn) -> Act | None:
                    if turn.verb != method or broken:
                        return None
                    broken.append(method)
                    return act

                w.proxy.plan = plan
                assert True in await op.work(client)
            await w.settle()
            assert broken
            lies.judge(case, name, op, w, [True, True], None, 0)

    run(play())
    wrong = ["destroy, twice at once: wrong result"]
    assert [each.what for each in case.findings] == ([] if lost else wrong)


def test_work_without_an_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> None:
        await asyncio.sleep(1e9)

    monkeypatch.setattr(endless, "OPS", {"never": endless.Op(never, 90.0)})
    monkeypatch.setattr(endless, "CHOICES", ["never"])
    case = Case("endless", 0, 3)
    endless.attack(case)
    assert [each.what for each in case.findings] == ["never: no end"]


def test_asking_without_an_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(s: Any) -> None:
        while True:
            await s.client.get(s.client.content.rootFolder, "name")

    monkeypatch.setattr(endless, "OPS", {"ask": endless.Op(ask, 1e6)})
    monkeypatch.setattr(endless, "CHOICES", ["ask"])
    monkeypatch.setattr(endless, "MOST_REQUESTS", 100)
    monkeypatch.setattr(endless, "arm", lambda *_: None)
    case = Case("endless", 0, 1)
    endless.attack(case)
    assert [each.what for each in case.findings] == ["ask: no end"]


def test_what_is_stuck_is_found() -> None:
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(stuck())


@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_harm_to_what_others_own_is_found(harm: str) -> None:
    case = Case("foreign", 0, 0)

    async def harmed() -> None:
        async with AsyncExitStack() as stack:
            w = await stack.enter_async_context(world(vms=1))
            others = await foreign._others(stack, w, case)
            others.put("web/notes.txt", b"precious")
            await foreign.their_group(others)
            if harm == "removed":
                (w.root / "web" / "notes.txt").unlink()
                w.esx.networks.groups.pop("v-77")
                w.esx.machine("vm-0").remove()
                w.esx.expire_sessions()
            else:
                (w.root / "web" / "notes.txt").write_bytes(b"Precious")
                w.esx.networks.groups["v-77"].vlan = 79
                w.esx.machine("vm-0").set_power("poweredOn")
            await others.compare()

    run(harmed())
    found = {each.what for each in case.findings}
    common = {f"{harm}: web/notes.txt", f"{harm}: a machine", "removed or changed: a port group"}
    assert found == common | ({"ended: a session"} if harm == "removed" else set())


def _leak(search: secrets.Search, text: object) -> None:
    try:
        raise_it(text)
    except TransportError as error:
        search.error(error)


exec(  # a frame that is not one of the harness, whose own are not searched
    compile(
        "def raise_it(text):\n    kept = {'header': [text]}\n    raise Error('no')\n",
        "/elsewhere/module.py",
        "exec",
    ),
    given := {"Error": TransportError},
)
raise_it: Any = given["raise_it"]


@pytest.mark.parametrize(
    "text", [secrets.PASSWORD, base64.b64encode(f"root:{secrets.PASSWORD}".encode())]
)
def test_a_secret_in_a_frame_is_found(text: object) -> None:
    search = secrets.Search()
    _leak(search, text)
    assert search.found.keys() == {
        f"password in a frame: {name} of module.py raise_it" for name in ("text", "kept")
    }


def test_a_secret_in_a_message_a_log_and_a_pickle_is_found() -> None:
    search = secrets.Search()
    with secrets.watching(search):
        logging.getLogger("vimlib.any").debug("said %s", secrets.TOKEN)
    search.error(TransportError(f"refused {secrets.TOKEN}"))
    places = ("a log of vimlib.any", "a message", "a field of an error", "a pickle")
    assert search.found.keys() == {f"token in {place}" for place in places}


def test_a_masked_secret_is_not_found() -> None:
    search = secrets.Search()
    _leak(search, Secret(secrets.PASSWORD).reveal())
    _leak(search, Secret(secrets.PASSWORD))
    assert not search.found


def test_time_of_the_loop_jumps_and_threads_run_at_once() -> None:
    async def hours() -> tuple[float, int]:
        await asyncio.sleep(7200)
        return asyncio.get_running_loop().time(), await asyncio.to_thread(sum, [1, 2])

    seconds, total = run(hours())
    assert 7200 <= seconds < 7201
    assert total == 3
    assert issubclass(MemoryLoop, asyncio.SelectorEventLoop)
