"""How many SOAP calls each verb makes, and that planning changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import MAC, Hosted, spec
from tests.unit.driver.test_call_numbers import CASES
from vimdriver._driver import ESXDriver
from vimdriver._instances.types import NICSpec

VLAN = (NICSpec(network="blue", vlan=42),)

OFF: list[tuple[Any, ...]] = [("spawn",), ("power_off", "web")]
ROOT = "[datastore1] web/web.vmdk"

# Verb: the calls that bring the host into the state for it, its own arguments, and how many calls it
# may make on a client that has waited for a task before. Long polls are left out: their number
# depends on how quickly the host answers.
VERBS: dict[str, tuple[list[tuple[Any, ...]], tuple[Any, ...], int]] = {
    "spawn": ([], (), 28),
    "destroy": ([("spawn",)], ("web",), 22),
    "power_on": ([("spawn",), ("power_off", "web")], ("web",), 6),
    "power_off": ([("spawn",)], ("web",), 6),
    "reboot": ([("spawn",)], ("web",), 8),
    "suspend": ([("spawn",)], ("web",), 7),
    "resume": ([("spawn",), ("suspend", "web")], ("web",), 7),
    "shutdown": ([("spawn",)], ("web",), 8),
    "snapshot": ([("spawn",)], ("web", "one"), 7),
    "revert_snapshot": ([("spawn",), ("snapshot", "web", "one")], ("web", "one"), 7),
    "remove_snapshot": ([("spawn",), ("snapshot", "web", "one")], ("web", "one"), 6),
    "clone": ([*OFF], ("web", "db"), 18),
    "unregister": ([*OFF], ("web",), 5),
    "rename": ([("spawn",)], ("web", "db"), 7),
    "annotate": ([("spawn",)], ("web", "text"), 7),
    "change_hardware": ([*OFF], ("web",), 7),
    "resize": ([*OFF], ("web",), 14),
    "confirm_resize": ([*OFF, ("resize", "web")], ("web",), 14),
    "revert_resize": ([*OFF, ("resize", "web")], ("web",), 14),
    "rescue": ([*OFF], ("web", ROOT), 12),
    "unrescue": ([*OFF, ("rescue", "web", ROOT)], ("web",), 7),
    "rebuild": ([*OFF], ("web", ROOT), 17),
    "attach_disk": ([("spawn",)], ("web",), 7),
    "grow_disk": ([("spawn",)], ("web", "Hard disk 1", 1), 7),
    "detach_disk": ([("spawn",)], ("web", "Hard disk 1"), 6),
    "attach_interface": ([("spawn",)], ("web", "VM Network"), 7),
    "change_interface": ([("spawn",)], ("web", MAC), 7),
    "detach_interface": ([("spawn",)], ("web", MAC), 6),
    "ensure_vlan": ([], ("blue", 42), 28),
    "remove_vlan": ([("ensure_vlan", "blue", 42)], ("blue",), 28),
    "screenshot": ([("spawn",)], ("web",), 17),
}

# Without it they fail: the machine's guest has no tools.
OPTIONS: dict[str, dict[str, Any]] = {
    "reboot": {"force": True},
    "shutdown": {"force": True},
    "change_hardware": {"cpus": 2},
    "resize": {"cpus": 2, "disk_gb": 1},
    "attach_disk": {"size_gb": 1},
    "change_interface": {"connected": False},
}


async def warmed(driver: ESXDriver, image: Path) -> None:
    """Make what a client makes once: its collector and its list of tasks."""
    await driver.spawn(spec(image, "first", power_on=False))


# `test_call_numbers` holds the others to their numbers, and writes them into the documentation.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in CASES])
async def test_a_verb_makes_no_more_calls_than_this(verb: str, host: Hosted, image: Path) -> None:
    before, arguments, most = VERBS[verb]
    async with host.driver() as driver:
        await warmed(driver, image)

        def call(name: str, *given: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
            options = OPTIONS.get(name, {})
            return lambda: getattr(driver, name)(*(given or (spec(image),)), **options)

        for name, *given in before:
            await call(name, *given)()
        seen = len(host.esx.call_log)
        await call(verb, *arguments)()
        made = [m for m in host.methods()[seen:] if not m.startswith("WaitForUpdates")]
    print(f"{verb}: {len(made)} calls")
    assert len(made) <= most, made


@pytest.mark.parametrize("verb", VERBS)
async def test_a_plan_is_printed_and_nothing_is_changed(
    verb: str, host: Hosted, image: Path
) -> None:
    before, arguments, _ = VERBS[verb]
    async with host.driver() as driver:
        for name, *given in before:
            await getattr(driver, name)(*(given or (spec(image),)), **OPTIONS.get(name, {}))
        state = host.state()
        seen = len(host.esx.call_log)
        plan = await getattr(driver, verb).plan(
            *(arguments or (spec(image, nics=VLAN),)), **OPTIONS.get(verb, {})
        )
        assert str(plan).startswith(f"{plan.title}:\n1. ")
        assert host.state() == state
        writes = {m for m in host.methods()[seen:] if m.endswith(("_Task", "PortGroup"))}
        assert writes <= {"SearchDatastore_Task"}
