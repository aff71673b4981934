"""The state machine of two processes finds what is planted, and a sample of schedules finds nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.attacks import lifecycle
from tests.attacks.foreign import OURS, THEIRS, temporary
from tests.attacks.lifecycle import Action, Disturbance, Lifecycle, Stage, schedules, stage
from tests.rig.memory import run
from vimdriver.errors import DiskSnapshotError, PendingChangeError
from vimlib.errors import HostStateError

pytestmark = pytest.mark.slow

SPAWN, DESTROY = Action("spawn", 0, 0), Action("destroy", 0, 0)


def play(steps: Callable[[Stage], Awaitable[None]]) -> None:
    """Play steps on a stage of their own, up to the final sweep."""
    temporary(OURS), temporary(THEIRS)

    async def whole() -> None:
        async with stage() as found:
            await steps(found)
            await found.check()
            await found.finish()

    run(whole())


@pytest.mark.timeout(900)  # seconds on an idle machine
def test_a_sample_of_schedules_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = Lifecycle.played
    schedules(8, seed=1)
    played = Lifecycle.played - before
    with capsys.disabled():
        print(f"\nlifecycle: {played} schedules")
    assert played >= 8


async def whole_life(s: Stage) -> None:
    first, second = s.processes
    for process, verb, number in (
        (first, "spawn", 1), (second, "clone", 0), (first, "resize", 1), (second, "confirm_resize", 0),
        (second, "resize", 0), (first, "revert_resize", 0), (first, "rescue", 0), (second, "unrescue", 0),
        (first, "attach_disk", 0), (second, "detach_disk", 1), (second, "power_on", 0), (first, "sweep", 0),
        (first, "power_off", 0), (second, "destroy", 0),
    ):  # fmt: skip
        await s.perform(process, Action(verb, 0, number), None)
        assert not s.refused, (verb, s.refused)


def test_each_verb_succeeds_undisturbed() -> None:
    play(whole_life)


@pytest.mark.parametrize(
    "kind", ["kill", "cancel", "lose", "fault", "a task fails", "a task is late"]
)
def test_each_kind_of_disturbance_happens(kind: str) -> None:
    async def steps(s: Stage) -> None:
        # The eighth request of a spawn comes after its machine was made.
        await s.perform(s.processes[0], SPAWN, Disturbance(kind, 9))
        happened = {
            "kill": s.processes[0].journal.name == "a-1.journal",
            "cancel": not s.own(),
            "lose": bool(s.processes[0].proxy.lost),
            "fault": len(s.world.esx.calls("Login")) > 3,
            "a task fails": True,
            "a task is late": True,
        }
        assert happened[kind]

    play(steps)


@pytest.mark.parametrize("verb", ["resize", "rescue"])
@pytest.mark.parametrize("at", [0, 1])
def test_of_two_changes_that_begin_at_once_one_is_refused(verb: str, at: int) -> None:
    async def steps(s: Stage) -> None:
        first, _ = s.processes
        await s.perform(first, SPAWN, None)
        await s.perform(first, Action(verb, 0, 1), None, Action("resize", 0, 1), at)
        assert [type(error) for error in s.refused] == [PendingChangeError]

    play(steps)


@pytest.mark.parametrize("verb", ["resize", "rescue"])
def test_a_destroy_during_a_change_leaves_nothing(verb: str) -> None:
    async def steps(s: Stage) -> None:
        first, _ = s.processes
        await s.perform(first, SPAWN, None)
        # It lists the machine's files before the copy is there, and removes the machine after it.
        await s.perform(first, Action(verb, 0, 1), None, DESTROY, 1)
        assert not s.own()

    play(steps)


@pytest.mark.parametrize(("verb", "number"), [("rescue", 0), ("resize", 1)])
def test_a_change_during_which_a_linked_clone_takes_a_snapshot_is_refused(
    verb: str, number: int
) -> None:
    async def steps(s: Stage) -> None:
        first, _ = s.processes
        await s.perform(first, Action("spawn", 1, 0), None)
        # Else the machine would go on with the disk that the snapshot has frozen.
        await s.perform(first, Action("clone", 1, 2), None, Action(verb, 1, number), 0)
        assert [type(error) for error in s.refused] == [DiskSnapshotError]

    play(steps)


def test_no_clone_is_linked_to_a_disk_that_a_resize_replaces_meanwhile() -> None:
    async def steps(s: Stage) -> None:
        first, _ = s.processes
        await s.perform(first, SPAWN, None)
        # The clone reads the disks before the resize replaces one, and takes its snapshot after that.
        await s.perform(first, Action("resize", 0, 1), None, Action("clone", 0, 2), 7)
        assert [type(error) for error in s.refused] == [HostStateError]

    play(steps)


def test_no_disk_is_attached_to_a_machine_that_another_process_is_making() -> None:
    async def steps(s: Stage) -> None:
        # It would keep a sweep from removing what the killed process has begun.
        kill, attach = Disturbance("kill", 4), Action("attach_disk", 0, 0)
        await s.perform(s.processes[0], SPAWN, kill, attach, 2)

    play(steps)


def test_a_former_disk_that_is_linked_to_an_image_stays_once_its_resize_is_confirmed() -> None:
    async def steps(s: Stage) -> None:
        first, _ = s.processes
        for verb, number in (("spawn", 2), ("resize", 1), ("confirm_resize", 0)):
            await s.perform(first, Action(verb, 0, number), None)
        assert not s.refused
        assert s.formers == {"[datastore1] web/web.vmdk"}

    play(steps)


@pytest.mark.parametrize("theirs", ["web/other.vmx", "web/notes.txt"])
def test_of_a_linked_machine_only_files_next_to_a_configuration_of_others_stay(theirs: str) -> None:
    async def steps(s: Stage) -> None:
        await s.perform(s.processes[0], Action("spawn", 0, 2), None)
        s.others.put(theirs, b"precious")

    play(steps)


# A verb of one process with its number, one of the other, and what is done before.
PAIRS = (
    ("resize", 1, "resize", 1, ()), ("rescue", 0, "resize", 1, ()), ("resize", 1, "rescue", 0, ()),
    ("clone", 2, "rescue", 0, ()), ("rescue", 0, "clone", 2, ()), ("resize", 1, "clone", 2, ()),
    ("clone", 0, "clone", 0, ()), ("resize", 1, "destroy", 0, ()), ("rescue", 0, "destroy", 0, ()),
    ("clone", 0, "destroy", 0, ()), ("clone", 2, "destroy", 0, ()), ("destroy", 0, "destroy", 0, ()),
    ("attach_disk", 0, "attach_disk", 0, ()), ("attach_disk", 0, "resize", 1, ()), ("resize", 1, "attach_disk", 0, ()),
    ("confirm_resize", 0, "revert_resize", 0, ("resize",)), ("revert_resize", 0, "confirm_resize", 0, ("resize",)),
    ("confirm_resize", 0, "confirm_resize", 0, ("resize",)), ("revert_resize", 0, "revert_resize", 0, ("resize",)),
    ("unrescue", 0, "unrescue", 0, ("rescue",)), ("detach_disk", 1, "detach_disk", 1, ("attach_disk",)),
)  # fmt: skip


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("verb", "number", "other", "others", "before"), PAIRS)
def test_two_verbs_of_which_one_begins_at_each_request_of_the_other(
    verb: str, number: int, other: str, others: int, before: tuple[str, ...]
) -> None:
    for at in range(26):

        async def steps(s: Stage, at: int = at) -> None:
            first, _ = s.processes
            for each in (SPAWN, *(Action(name, 0, 1) for name in before)):
                await s.perform(first, each, None)
            second = Action(other, 0, others)
            await s.perform(first, Action(verb, 0, number), None, second, at)

        play(steps)


def test_two_machines_of_one_uuid_are_found() -> None:
    async def steps(s: Stage) -> None:
        await s.perform(s.processes[0], SPAWN, None)
        await s.perform(s.processes[0], Action("spawn", 1, 0), None)
        one, other = s.own()
        other.config.instanceUuid = one.config.instanceUuid

    with pytest.raises(AssertionError, match="Counter"):
        play(steps)


def test_a_file_that_is_left_is_found() -> None:
    async def steps(s: Stage) -> None:
        await s.perform(s.processes[0], SPAWN, None)
        await s.perform(s.processes[1], DESTROY, None)
        (s.world.root / "web.vmdk").write_bytes(b"left")

    with pytest.raises(AssertionError, match=r"web\.vmdk"):
        play(steps)


def test_harm_to_others_is_found() -> None:
    async def steps(s: Stage) -> None:
        s.others.put("web/notes.txt", b"precious")
        (s.world.root / "web" / "notes.txt").unlink()

    with pytest.raises(AssertionError, match=r"removed: web/notes\.txt"):
        play(steps)


def test_a_success_that_the_host_lacks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(driver: Any, action: Action) -> None:
        return None

    monkeypatch.setitem(lifecycle.VERBS, "spawn", lie)

    async def steps(s: Stage) -> None:
        await s.perform(s.processes[0], SPAWN, None)

    with pytest.raises(AssertionError, match="spawn succeeded, but the host has it not"):
        play(steps)


def test_a_schedule_that_breaks_something_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(stage: Stage) -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(Stage, "check", broken)
    with pytest.raises(AssertionError, match="broken") as caught:
        schedules(2, seed=1, steps=1)
    assert "state.begin()" in "\n".join(caught.value.__notes__)
