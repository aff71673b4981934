"""Every verb of the driver that writes, as an operation: its row in `tests.unit.driver.scenarios`, disturbed.

What a verb does to the host is learnt from an undisturbed run: the host is then as before it, as after it, or in part.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import msgspec

import vimlib
from tests.attacks.ops import Happened, Op, driver
from tests.attacks.world import World, world
from tests.rig.memory import run
from tests.unit.driver.hosted import Here, Hosted
from tests.unit.driver.scenarios import SCENARIOS, Stage, writing
from vimdriver import ESXDriver, GuestLogin
from vimlib._secret import Secret
from vimlib.simulator._host.date_time import DateTimeSystem

WRITING: Final = frozenset(writing() | {"guest_exec", "guest_upload", "sweep", "prune_cache"})
"""Those of the registry, and the four that write without a plan."""
LOGIN: Final = GuestLogin("root", Secret("of-the-guest"))
DATA: Final = bytes(range(256)) * 8
MADE: Final = (
    "CreateVM_Task", "RegisterVM_Task", "CreateSnapshot_Task", "AddVirtualSwitch", "AddPortGroup", "CreateNasDatastore",
)  # fmt: skip
"""Calls that make something."""
SETTINGS: Final = {
    "HostServiceSystem": "serviceInfo",
    "HostFirewallSystem": "firewallInfo",
    "HostAutoStartManager": "config",
    "OptionManager": "setting",
    "Datastore": "name",
}
"""What is read of the simulator's objects, by their kinds."""


def stage(w: World, verb: str) -> Stage:
    """Return the stage of a verb on this host."""
    return Stage(SCENARIOS[verb], Hosted(w.esx, Here(), w.root), None)  # type: ignore[arg-type]


async def prepare(w: World, verb: str, made: ESXDriver) -> None:
    """Bring the host into the state for a verb."""
    await stage(w, verb).prepare(made)


RANDOM: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f]{16,}|([0-9a-f]{2,8}[-: ]){4,}[0-9a-f]+")


def whole(value: object) -> str:
    """Return a value as text, without what is random; `repr` of the binding's types leaves out a part."""
    return RANDOM.sub("*", msgspec.json.encode(value, enc_hook=repr).decode())


def facts(w: World, verb: str) -> list[str]:
    """Return all that verbs may change, without what is random."""
    host, networks = w.esx.host, w.esx.networks
    (clock,) = w.esx.registry.all(DateTimeSystem).values()
    return [
        repr(stage(w, verb).shape()),
        # It starts a day after its boot, in another year.
        whole((host.maintenance, host.booted.year, clock.servers)),
        whole((networks.switches, networks.groups)),
        *(
            whole((one.name, one.config.hardware, one.question, one.typed))
            for one in w.esx.machines.values()
        ),
        *(
            whole(one.read(SETTINGS[kind]))
            for (kind, _), one in w.esx.registry.objects.items()
            if kind in SETTINGS
        ),
    ]


@cache
def learnt(verb: str) -> tuple[list[str], list[str]]:
    """Return the host before and after a verb that nothing disturbs."""

    async def learn() -> tuple[list[str], list[str]]:
        async with world(vms=2) as w:
            async with w.client() as client:
                await prepare(w, verb, driver(client))
            before = facts(w, verb)
            async with w.client() as client:
                await SCENARIOS[verb].act(driver(client))
            await w.settle(200)
            return before, facts(w, verb)

    return run(learn())


def operation(verb: str) -> Op:
    """Return a verb as an operation."""

    def happened(w: World) -> Happened:
        (before, after), found = learnt(verb), facts(w, verb)
        if before == after == found:
            return "both"
        return "yes" if found == after else "no" if found == before else "part"

    async def setup(w: World) -> None:
        async with w.client() as client:
            await prepare(w, verb, driver(client))

    return Op(
        lambda c: SCENARIOS[verb].act(driver(c)),
        happened,
        setup=setup,
        once=MADE,
        undoes=True,
        learn=lambda: learnt(verb),
    )


async def a_guest(w: World) -> None:
    w.esx.set_guest("vm-0", tools=True, accounts={LOGIN.username: LOGIN.password.reveal()})
    w.esx.guest("vm-0").script("/opt/job", exit_code=0, stdout="out")
    async with w.client() as client:
        await driver(client).power_on("vm-0", foreign=True)


async def _exec(client: vimlib.Client) -> bytes:
    found = await driver(client).guest_exec("vm-0", LOGIN, "/opt/job", timeout=30, foreign=True)
    return found.stdout


async def _upload_and_read(client: vimlib.Client) -> bytes:
    await driver(client).guest_upload(
        "vm-0", LOGIN, DATA, "/tmp/up.bin", overwrite=True, foreign=True
    )
    return await driver(client).guest_download("vm-0", LOGIN, "/tmp/up.bin")


VERBS: dict[str, Op] = {verb: operation(verb) for verb in sorted(WRITING)} | {
    "guest_exec": Op(_exec, expected=b"out", setup=a_guest, once=("StartProgramInGuest",)),
    "guest_upload": Op(_upload_and_read, expected=DATA, setup=a_guest),
}
