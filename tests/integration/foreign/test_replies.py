"""Faults and broken replies end no client by a signal or a traceback of its own.

Each of a hundred faults is the answer to a call, each of another fifty the end of a task. What a
client says of it has the text of the fault, and it goes on.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.foreign.govc_page import newer
from tests.integration.foreign.govc_player import simulator_environment
from tests.integration.foreign.test_scripts import SECONDS, create, script
from tests.integration.peers import govc, soap_clients, tools
from tests.integration.peers.libvirt import Virsh
from tests.integration.peers.process import ended
from tests.rig.login import tasks_ended
from tests.unit.soap.building import Builder, classes
from vimlib.model import MethodFault, parse_version
from vimlib.simulator import ESXHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CALLS = 100
TASKS = 50
# After these a client logs in again, as it should.
SESSION = {"NotAuthenticated", "InvalidLogin", "NoPermission"}
# rbvmomi ends where it meets a type that it has not got: it has those of 2.5 but this one.
NOT_IN_RUBY = {"InvalidToken"}


def faults(release: str, count: int) -> list[MethodFault]:
    """Return faults of as many types that a release has, with the fields that they need."""
    builder = Builder(random.Random(5), portable=True, optional=0.0)
    found = [
        cls
        for cls in sorted(classes(), key=lambda cls: cls.__name__)
        if issubclass(cls, MethodFault)
        and cls.__name__ not in SESSION | NOT_IN_RUBY
        and parse_version(cls._since_ or "2.0") <= parse_version(release)
    ]
    chosen = found[:: len(found) // count][:count]
    assert len(chosen) == count
    made = []
    for cls in chosen:
        fault: Any = builder.value(cls, depth=3)
        fault.localized_message = f"text of {cls.__name__}."
        made.append(fault)
    return made


def order(esx: ESXHost, release: str) -> list[str]:
    """Order the faults of PowerOnVM_Task, calls first; return their texts."""
    made = faults(release, CALLS + TASKS)
    for fault in made[:CALLS]:
        esx.faults.fail("PowerOnVM_Task", fault)
    for fault in made[CALLS:]:
        esx.faults.fail_task("PowerOnVM_Task", fault)
    return [str(fault.localized_message) for fault in made]


async def test_libvirt_reports_each_fault(esx: ESXHost, virsh: Virsh, release: str) -> None:
    await create(esx)
    texts = order(esx, release)
    said = await virsh.run(*["start one"] * len(texts), "start one", "domstate one")
    for text, shown in zip(texts, said, strict=False):
        assert text in shown, shown
    assert said[-1] == "running"


async def test_rbvmomi_reports_each_fault(esx: ESXHost) -> None:
    with needed_tools():
        ruby = tools.find("ruby")
    await create(esx)
    texts = order(esx, "2.5")
    told = await script(esx, ruby, "rbvmomi_faults.rb", times=len(texts))
    assert [message.partition(": ")[2] for message in told["messages"]] == texts
    assert told["power"] == esx.machine("one").power == "poweredOn"


async def test_zeep_reports_each_fault(esx: ESXHost, release: str) -> None:
    await create(esx)
    texts = order(esx, release)
    program = soap_clients.installed() / "python"
    told = await script(esx, program, "zeep_faults.py", times=len(texts))
    assert told["messages"] == texts
    assert told["power"] == esx.machine("one").power == "poweredOn"


async def test_govc_reports_faults_and_broken_replies(
    esx: ESXHost, release: str, tmp_path: Path
) -> None:
    with needed_tools():
        program = govc.binary()
    await create(esx)
    env = simulator_environment(esx, release)

    async def power_on() -> tuple[int, str]:
        end = await ended([program, "vm.power", "-on", "one"], env=env, deadline=SECONDS)
        assert end.code in (0, 1), end.output
        assert "panic:" not in end.output, end.output
        return end.code, end.output

    for fault in faults(release, CALLS):
        esx.faults.fail("PowerOnVM_Task", fault)
        code, text = await power_on()
        assert (code, str(fault.localized_message) in text) == (1, True), text
    if newer("4.1", release):
        # govc waits for a task by a collector of its own, which a 4.0 does not make.
        code, text = await power_on()
        assert (code, "WSDL method name CreatePropertyCollector" in text) == (1, True), text
        return
    for what in ("html", "status", "empty", "truncate", "drop", "reset"):
        esx.faults.add("PowerOnVM_Task", what)
        code, text = await power_on()
        # The work is done where the reply alone is broken; then the machine runs already.
        assert code == 1, (what, text)
        esx.faults.clear()
        await tasks_ended(esx)
        if esx.machine("one").power == "poweredOn":
            end = await ended([program, "vm.power", "-off", "one"], env=env, deadline=SECONDS)
            assert end.code == 0, end.output
    assert (await power_on())[0] == 0
    assert esx.machine("one").power == "poweredOn"


async def test_libvirt_survives_broken_replies(esx: ESXHost, virsh: Virsh) -> None:
    await create(esx)
    for what in ("html", "status", "empty", "truncate", "drop", "reset"):
        esx.faults.add("PowerOnVM_Task", what)
        [shown] = await virsh.run("start one")
        # A closed connection is opened again, and the request sent once more.
        assert shown.startswith("error") or what in ("drop", "reset"), (what, shown)
        # libvirt does not wait for a task of which it has read no reply.
        await tasks_ended(esx)
        running = esx.machine("one").power == "poweredOn"
        state, ended = await virsh.run("domstate one", "destroy one")
        assert state == ("running" if running else "shut off"), what
        assert ended.startswith("error") is not running, (what, ended)
    assert (await virsh.run("start one", "domstate one"))[1] == "running"


def test_the_list_has_a_hundred_faults_of_each_release() -> None:
    for release in ("4.1", "8.0"):
        names = {type(fault).__name__ for fault in faults(release, CALLS + TASKS)}
        assert len(names) == CALLS + TASKS
