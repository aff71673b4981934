"""Tickets, keystrokes and questions of a machine's console."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted, until
from vimdriver._driver import ESXDriver
from vimdriver._instances.keys import key_event, text_events
from vimdriver.errors import InstanceStateError
from vimlib import vim25
from vimlib.errors import HostStateError, TaskQuestionError, UsageError, VersionError


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "s", owned=True, vms=1) as found:
        yield found


@pytest.fixture
async def driver(host: Hosted) -> AsyncIterator[ESXDriver]:
    async with host.driver() as found:
        yield found


async def test_each_kind_of_ticket(host: Hosted, driver: ESXDriver) -> None:
    with pytest.raises(InstanceStateError):
        await driver.console("vm-0", kind="vmrc")
    await driver.power_on("vm-0")
    mks, web = await driver.console("vm-0", kind="mks"), await driver.console("vm-0", kind="webmks")
    assert (mks.kind, mks.port, mks.url) == ("mks", 902, None)
    assert web.url is not None
    assert web.url.reveal().startswith("wss://")


async def test_the_plug_in_of_4_1_gets_a_session_ticket_and_no_password(
    beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "t", "4.1", owned=True, vms=1) as host:
        async with host.driver() as driver:
            await driver.power_on("vm-0")
            found = await driver.console("vm-0", kind="vmrc")
            document = json.loads(base64.b64decode(found.ticket.reveal()))
            assert document["vm_id"] == host.esx.machine("vm-0").moid
            assert document["username"] == document["password"] != ""
            assert host.esx.credentials.password not in document.values()
            with pytest.raises(VersionError):
                await driver.console("vm-0", kind="webmks")


async def test_keys_are_typed(host: Hosted, driver: ESXDriver) -> None:
    with pytest.raises(InstanceStateError):
        await driver.send_keys("vm-0", "x")
    await driver.power_on("vm-0")
    assert await driver.send_keys("vm-0", "aB\n", keys=("ctrl+alt+delete", "f12")) == 5
    typed = host.esx.machine("vm-0").typed
    assert [event.usbHidCode >> 16 for event in typed] == [0x04, 0x05, 0x28, 0x4C, 0x45]
    assert typed[1].modifiers.leftShift
    assert typed[3].modifiers.leftControl
    assert typed[3].modifiers.leftAlt
    host.esx.faults.add("PutUsbScanCodes", "fault", fault=vim25.NotSupported())
    with pytest.raises(vim25.NotSupported):
        await driver.send_keys("vm-0", "x")


def test_every_character_of_a_us_keyboard_has_a_key() -> None:
    text = "".join(map(chr, range(32, 127))) + "\n\t"
    assert len(text_events(text)) == len(text)
    assert len({(e.usbHidCode, e.modifiers is not None) for e in text_events(text)}) == len(text)


@pytest.mark.parametrize("name", ["", "hyper+a", "ctrl+", "nothing", "ä"])
def test_a_key_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="keys must be names"):
        key_event(name)


async def test_text_that_no_us_keyboard_has(driver: ESXDriver) -> None:
    with pytest.raises(UsageError, match="US keyboard"):
        await driver.send_keys("vm-0", "ä")
    with pytest.raises(UsageError, match="must be given"):
        await driver.send_keys("vm-0")


async def test_a_host_before_6_5_takes_no_keys(beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "t", "5.5", owned=True, vms=1) as host:
        async with host.driver() as driver:
            with pytest.raises(VersionError, match=r"need API 6\.5"):
                await driver.send_keys("vm-0", "x")


async def test_keys_that_the_host_did_not_take(driver: ESXDriver) -> None:
    await driver.power_on("vm-0")
    plan = await driver.send_keys.plan("vm-0", "abc")
    (step,) = plan.steps

    class Ran(dict):  # type: ignore[type-arg]
        """The results of a run."""

    with pytest.raises(HostStateError, match="took 2 of 3 keys"):
        await plan.result(Ran({step: 2}))  # type: ignore[arg-type]


async def test_a_question_is_shown_and_answered_while_a_verb_waits_for_it(
    host: Hosted, driver: ESXDriver
) -> None:
    assert await driver.question("vm-0") is None
    with pytest.raises(InstanceStateError):
        await driver.answer("vm-0", "ok")
    host.beside.call(
        lambda: host.esx.ask("vm-0", "Was it moved?", {"0": "I moved it", "1": "I copied it"})
    )
    waiting = asyncio.create_task(driver.power_on("vm-0"))
    await until(lambda: "PowerOnVM_Task" in host.methods())
    found = await driver.question("vm-0")
    assert found is not None
    assert (found.text, found.choices, found.default) == (
        "Was it moved?", {"0": "I moved it", "1": "I copied it"}, "0",
    )  # fmt: skip
    with pytest.raises(UsageError, match="I copied it"):
        await driver.answer("vm-0", "perhaps")
    await driver.answer("vm-0", "i COPIED it")
    assert host.esx.machine("vm-0").answers == ["1"]
    try:
        await waiting
    except TaskQuestionError:
        await driver.power_on("vm-0")
    assert await driver.question("vm-0") is None


async def test_an_answer_that_is_lost_is_read_back(host: Hosted, driver: ESXDriver) -> None:
    host.beside.call(lambda: host.esx.ask("vm-0", "Go on?", {"y": "Yes"}))
    host.esx.faults.add("AnswerVM", "lose")
    await driver.answer("vm-0", "y")
    assert host.esx.machine("vm-0").answers == ["y"]
