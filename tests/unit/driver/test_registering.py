"""Machines that exist already: registered, unregistered, adopted, renamed, annotated."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as revised

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from tests.unit.driver.test_sizing import marks
from vimdriver._instances.machine import MAKING_KEY, OWNER_KEY
from vimdriver._verbs import Plan, execute
from vimdriver.errors import ForeignInstanceError, InstanceExistsError, InstanceStateError
from vimlib import vim25
from vimlib.errors import HostStateError, NotFoundError, UsageError

NAMES = ["my web server", "Größe 5/6 100%", "サーバー", "a\\b", "x" * 80, "-rf",
         "نام\u200cها", "👨\u200d👩\u200d👧", "名\u3000前", "10\u00a0GB"]  # fmt: skip


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_machine_is_taken_out_and_brought_back(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            made = await driver.spawn(spec(image, power_on=False))
            files = host.state().files
            gone = await driver.unregister("web")
            assert (gone.path, gone.uuid) == ("[datastore1] web/web.vmx", made.uuid)
            assert (host.state().machines, host.state().files) == (frozenset(), files)
            back = await driver.register(gone.path, name="web 2")
            assert (back.name, back.uuid) == ("web 2", made.uuid)
            # It still has its mark.
            await driver.annotate("web 2", "mine")
            with pytest.raises(InstanceExistsError, match=r"web/web.vmx' already exists"):
                await driver.register(gone.path)


@pytest.mark.parametrize("name", NAMES)
async def test_names_as_people_write_them(name: str, host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        assert (await driver.rename("web", name)).name == name
        assert (await driver.info(name)).name == name
        assert (await driver.rename.plan(name, name)).steps == ()
        assert "web/web.vmdk" in host.state().files


async def test_an_annotation_is_written_and_removed(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.annotate("web", "Zeile 1\n\tline 2")
        assert host.esx.machine("web").config.annotation == "Zeile 1\n\tline 2"
        await driver.annotate("web", "")
        assert host.esx.machine("web").config.annotation == ""


async def test_a_machine_is_adopted_and_then_changed(host: Hosted, image: Path) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image))
        await other.rename("web", "web")
    async with host.driver() as driver:
        host.beside.call(lambda: _unmark(host))
        with pytest.raises(ForeignInstanceError, match="its owner mark is missing"):
            await driver.rename("web", "mine")
        seen = len(host.esx.call_log)
        await driver.adopt("web")
        made = [name for name in host.methods()[seen:] if not name.startswith("WaitForUpdates")]
        assert len(made) <= 12, made  # the first wait of a client makes its collector
        assert marks(host)[OWNER_KEY] == "tests"
        assert (await driver.adopt.plan("web")).steps == ()
        await driver.rename("web", "mine")
        assert await driver.destroy("mine")


def _unmark(host: Hosted) -> None:
    web = host.esx.machine("web")
    kept = [one for one in web.config.extraConfig if one.key != OWNER_KEY]
    web.set_config(revised(web.config, extraConfig=kept))


async def test_a_machine_of_another_owner_is_adopted_on_demand_only(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image, power_on=False))
        async with host.driver() as driver:
            call: Awaitable[Any]
            for call in (
                driver.adopt("web"),
                driver.rename("web", "mine"),
                driver.annotate("web", "mine"),
                driver.unregister("web"),
            ):
                with pytest.raises(ForeignInstanceError, match="its owner mark is 'another'"):
                    await call
            await driver.adopt("web", foreign=True)
        with pytest.raises(ForeignInstanceError):
            await other.rename("web", "theirs")


async def test_refusals_state_the_rule_and_change_nothing(host: Hosted, image: Path) -> None:
    call: Awaitable[Any]
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.spawn(spec(image, "db", nics=(), power_on=False))
        state = host.state()
        for call, rule in (
            (driver.rename("web", ""), r"name must be 1 to 80 printable characters .*, got ''"),
            (driver.rename("web", "x" * 81), "name must be 1 to 80 printable characters"),
            (driver.rename("web", "a\nb"), "name must be 1 to 80 printable characters"),
            (driver.rename("web", " a"), "without spaces at the ends, got ' a'"),
            (driver.annotate("web", "a\0b"), "text must not have control characters"),
            (driver.register("[datastore1] web/web.vmdk"), "path must name a machine's configuration"),
            (driver.register("web.vmx"), "invalid datastore path: web.vmx"),
            (driver.register("[datastore1] a.vmx", name=""), "name must be 1 to 80"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=rule):
                await call
        with pytest.raises(NotFoundError, match=r"file not found: \[datastore1\] a.vmx"):
            await driver.register("[datastore1] a.vmx")
        with pytest.raises(InstanceExistsError, match="machine 'db' already exists"):
            await driver.rename("web", "db")
        with pytest.raises(InstanceStateError, match="must be poweredOff, is poweredOn"):
            await driver.unregister("web")
        host.beside.call(lambda: _making(host))
        with pytest.raises(HostStateError, match="is being made, or was left half-made"):
            await driver.adopt("db")
        assert host.state() == state


def _making(host: Hosted) -> None:
    db = host.esx.machine("db")
    mark = vim25.OptionValue(key=MAKING_KEY, value="x")
    db.set_config(revised(db.config, extraConfig=[*db.config.extraConfig, mark]))


async def test_answers_that_are_lost(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image, power_on=False))
            host.esx.faults.add("Rename_Task", "lose")
            assert (await driver.rename("web", "b")).name == "b"
            host.esx.faults.add("UnregisterVM", "lose")
            gone = await driver.unregister("b")
            host.esx.faults.add("RegisterVM_Task", "lose")
            assert (await driver.register(gone.path)).name == "b"
            assert len(host.esx.calls("RegisterVM_Task")) == 1


async def test_a_failed_plan_is_rolled_back(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        gone = await driver.unregister("web")

        async def fail(run: Any) -> Any:
            raise UsageError("on order")

        async def in_vain(plan: Plan[Any]) -> None:
            with pytest.raises(UsageError, match="on order"):
                await execute(driver.host(), replace(plan, result=fail))

        await in_vain(await driver.register.plan(gone.path))
        assert host.state().machines == frozenset()
        await driver.register(gone.path)
        await in_vain(await driver.rename.plan("web", "other"))
        await in_vain(await driver.annotate.plan("web", "other"))
        assert host.state().machines == {"web"}
        assert host.esx.machine("web").config.annotation == ""
