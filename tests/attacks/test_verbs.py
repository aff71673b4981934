"""Each kind of attack has every verb of the driver that writes."""

from __future__ import annotations

import inspect

import pytest

from tests.attacks import endless, foreign, lies, secrets
from tests.attacks.core import Case
from tests.attacks.verbs import WRITING, learnt
from tests.attacks.world import world
from tests.rig.memory import run
from vimdriver._driver import ESXDriver
from vimdriver._verbs.verb import Query

ATTACKED = {
    "lies": lies.CHOICES,
    "endless": endless.CHOICES,
    "foreign": [*foreign.WORKFLOWS, *foreign.LEFT_OUT],
    "secrets": [name.removeprefix("lies: ") for name in secrets.CHOICES],
}
READS = {
    "aclose", "console_log", "devices", "events", "guest_network", "host", "info", "list_cache", "list_instances",
    "wait_for_network",
}  # fmt: skip
"""Methods that are written out in the class, and change nothing on the host."""
UNSEEN = {
    "capture", "export", "guest_exec", "guest_upload", "reboot", "rescan", "revert_snapshot", "screenshot", "send_nmi",
    "sweep",
}  # fmt: skip
"""Verbs after which the host is as before: a success without work is found by their result alone, if at all."""


@pytest.mark.parametrize("kind", ATTACKED)
def test_a_kind_attacks_every_verb_that_writes(kind: str) -> None:
    assert WRITING - set(ATTACKED[kind]) == set()


def test_what_is_left_out_is_a_verb() -> None:
    assert foreign.LEFT_OUT.keys() <= WRITING - foreign.WORKFLOWS.keys()


def test_every_public_method_of_the_driver_is_known_to_read_or_attacked() -> None:
    public = {name: value for name, value in vars(ESXDriver).items() if name[0] != "_"}
    reads = {
        name
        for name, value in public.items()
        if isinstance(value, Query)
        and "foreign" not in inspect.signature(value.function).parameters
    }
    assert public.keys() - reads - READS == WRITING


@pytest.mark.slow
def test_the_host_shows_the_work_of_all_other_verbs() -> None:
    unseen = {verb for verb in WRITING for before, after in [learnt(verb)] if before == after}
    assert unseen == UNSEEN


@pytest.mark.slow
def test_a_success_of_a_verb_that_did_nothing_is_found() -> None:
    case, op = Case("lies", 0, 0), lies.OPS["set_mtu"]
    learnt("set_mtu")

    async def lie() -> None:
        async with world(vms=2) as w:
            assert op.setup is not None
            await op.setup(w)
            lies.judge(case, "set_mtu", op, w, None, None, 0)

    run(lie())
    assert [each.what for each in case.findings] == [
        "set_mtu: success, but the host has it not (no)"
    ]
