"""govc carries out its commands on the simulated host: exit code, output, and the state of the host."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.foreign import govc_page
from tests.integration.foreign.govc_commands import COMMANDS
from tests.integration.foreign.govc_page import newer
from tests.integration.foreign.govc_player import (
    SECONDS,
    play_simulator,
    play_vcsim,
    simulator_environment,
)
from tests.integration.peers import cache, govc, tools
from tests.integration.peers.cache import REPOSITORY
from tests.integration.peers.govc import BUILD_SECONDS
from tests.integration.peers.process import ended
from tests.integration.peers.vcsim import vcsim
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow


def test_the_list_has_commands_of_every_kind() -> None:
    assert len({command.line for command in COMMANDS}) >= 150
    assert len({command.line.split()[0] for command in COMMANDS}) >= 90


async def test_commands_succeed_and_change_the_host(
    esx: ESXHost, release: str, tmp_path: Path
) -> None:
    with needed_tools():
        govc.binary()
    outcomes = await play_simulator(esx, release, tmp_path)
    if newer("4.1", release):
        # govc reads and waits by methods of API 4.1; without them it says so, each time.
        assert {outcome.word for outcome in outcomes} <= {"ok", "refused", "wrong answer"}
        assert any("CreatePropertyCollector" in outcome.output for outcome in outcomes)
        return
    wrong = [
        f"{outcome.word}: {outcome.command.line}\n{outcome.output[:600]}"
        for outcome in outcomes
        if outcome.word != "ok"
        and outcome.command.missing is None
        and not newer(outcome.command.since, release)
    ]
    assert not wrong, "\n".join(wrong)
    # A host refuses fields that it cannot know; a mark that is no longer true hides a fault.
    marked = [
        outcome.command.line
        for outcome in outcomes
        if outcome.word == "ok"
        and (outcome.command.missing or newer(outcome.command.since, release))
    ]
    assert not marked
    if release in govc_page.SERVERS:
        assert govc_page.column(release) == govc_page.cells(release, outcomes)


async def test_a_host_is_loaded_from_an_inventory_that_govc_saved(
    esx: ESXHost, release: str, tmp_path: Path
) -> None:
    with needed_tools():
        program = govc.binary()
    env = simulator_environment(esx, release)
    folder = tmp_path / "saved"
    if newer("4.1", release):
        end = await ended([program, "object.save", "-d", folder], env=env, deadline=SECONDS)
        assert end.code == 1
        assert "WSDL method name RetrievePropertiesEx" in end.output
        return
    for words in (
        "vm.create -firmware= -m 64 -disk 10M -on=true one",
        "vm.create -firmware= -m 32 -disk 10M -on=false two",
        "host.portgroup.add -vswitch vSwitch0 -vlan 9 pg9",
        f"object.save -d {folder}",
    ):
        end = await ended([program, *words.split()], env=env, deadline=SECONDS)
        assert end.code == 0, end.output
    async with ESXHost(release, load=folder) as loaded:
        assert loaded.networks.groups["pg9"].vlan == 9
        for name in ("one", "two"):
            old, new = esx.machine(name), loaded.machine(name)
            assert (new.moid, new.power, new.config.uuid) == (old.moid, old.power, old.config.uuid)
            assert [disk.capacityInKB for disk in new.disks()] == [10240]
        env = simulator_environment(loaded, release)
        end = await ended([program, "vm.power", "-on", "two"], env=env, deadline=SECONDS)
        assert end.code == 0, end.output
        assert loaded.machine("two").power == "poweredOn"


async def test_the_go_test_of_the_page_passes(tmp_path: Path) -> None:
    with needed_tools():
        go, library = tools.find("go"), tools.find("govmomi")
    page = (REPOSITORY / "docs" / "other-clients.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```go\n(.*?)```", page, re.DOTALL)
    (tmp_path / "host_test.go").write_text(block)
    programs = Path(sys.executable).parent
    env = {
        "GO111MODULE": "off",
        "GOPATH": str(library).split("/src/", 1)[0],
        "GOCACHE": str(cache.root() / "go-build"),
        "GOFLAGS": "",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    end = await ended([go, "test", "-v", "."], env=env, cwd=tmp_path, deadline=BUILD_SECONDS)
    assert end.code == 0, end.output
    assert "--- PASS: TestMachineIsPoweredOn" in end.output


async def test_the_page_has_the_outcomes_of_vcsim(tmp_path: Path) -> None:
    with needed_tools(), vcsim("esx") as peer:
        outcomes = await play_vcsim(peer, tmp_path)
    assert govc_page.column("vcsim") == govc_page.cells("vcsim", outcomes)
