"""Every verb that changes a machine leaves those of other owners alone, and names that two machines have."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.driver.hosted import Beside, Hosted, hosted
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import GuestConfig
from vimdriver._instances.programs import GuestLogin
from vimdriver._verbs.verb import Query, Verb
from vimdriver.errors import ForeignInstanceError, InstanceAmbiguousError
from vimlib import vim25
from vimlib._secret import Secret
from vimlib.errors import VimlibError

DISK, CARD = "[datastore1] vm-0/vm-0.vmdk", "Network adapter 1"
LOGIN = GuestLogin("root", Secret("secret"))


class Target:
    """Takes no image."""

    def new_image(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is captured")


Act = Callable[..., Awaitable[Any]]
WRITES: dict[str, Act] = {
    "destroy": lambda d, r, **f: d.destroy(r, **f),
    "power_on": lambda d, r, **f: d.power_on(r, **f),
    "power_off": lambda d, r, **f: d.power_off(r, **f),
    "shutdown": lambda d, r, **f: d.shutdown(r, force=True, **f),
    "reboot": lambda d, r, **f: d.reboot(r, **f),
    "suspend": lambda d, r, **f: d.suspend(r, **f),
    "resume": lambda d, r, **f: d.resume(r, **f),
    "send_nmi": lambda d, r, **f: d.send_nmi(r, **f),
    "capture": lambda d, r, **f: d.capture(r, "image", target=Target(), **f),
    "export": lambda d, r, **f: d.export(r, Path("/dev/null/a.raw"), **f),
    "snapshot": lambda d, r, **f: d.snapshot(r, "one", **f),
    "revert_snapshot": lambda d, r, **f: d.revert_snapshot(r, "one", **f),
    "remove_snapshot": lambda d, r, **f: d.remove_snapshot(r, "one", **f),
    "unregister": lambda d, r, **f: d.unregister(r, **f),
    "rename": lambda d, r, **f: d.rename(r, f"new {r}", **f),
    "annotate": lambda d, r, **f: d.annotate(r, "text", **f),
    "change_hardware": lambda d, r, **f: d.change_hardware(r, cpus=2, **f),
    "resize": lambda d, r, **f: d.resize(r, cpus=2, **f),
    "confirm_resize": lambda d, r, **f: d.confirm_resize(r, **f),
    "revert_resize": lambda d, r, **f: d.revert_resize(r, **f),
    "rescue": lambda d, r, **f: d.rescue(r, DISK, **f),
    "unrescue": lambda d, r, **f: d.unrescue(r, **f),
    "rebuild": lambda d, r, **f: d.rebuild(r, DISK, **f),
    "attach_disk": lambda d, r, **f: d.attach_disk(r, size_gb=1, **f),
    "detach_disk": lambda d, r, **f: d.detach_disk(r, "Hard disk 1", **f),
    "grow_disk": lambda d, r, **f: d.grow_disk(r, "Hard disk 1", 9, **f),
    "insert_cdrom": lambda d, r, **f: d.insert_cdrom(r, "[datastore1] a.iso", **f),
    "eject_cdrom": lambda d, r, **f: d.eject_cdrom(r, **f),
    "attach_interface": lambda d, r, **f: d.attach_interface(r, "VM Network", **f),
    "change_interface": lambda d, r, **f: d.change_interface(r, CARD, connected=False, **f),
    "detach_interface": lambda d, r, **f: d.detach_interface(r, CARD, **f),
    "set_guest_info": lambda d, r, **f: d.set_guest_info(r, GuestConfig(hostname="web"), **f),
    "screenshot": lambda d, r, **f: d.screenshot(r, **f),
    "send_keys": lambda d, r, **f: d.send_keys(r, "x", **f),
    "answer": lambda d, r, **f: d.answer(r, "yes", **f),
    "guest_exec": lambda d, r, **f: d.guest_exec(r, LOGIN, "/bin/true", **f),
    "guest_upload": lambda d, r, **f: d.guest_upload(r, LOGIN, b"data", "/tmp/file", **f),
    "set_autostart": lambda d, r, **f: d.set_autostart(r, **f),
}  # fmt: skip
# They have rules of their own, below.
OTHERS = {"adopt", "clone"}
READS = {"RetrieveServiceContent", "FindByUuid", "FindByInventoryPath", "RetrievePropertiesEx"}


def test_the_table_has_every_verb_that_changes_a_machine() -> None:
    verbs = {
        name
        for name, verb in vars(ESXDriver).items()
        if isinstance(verb, Verb | Query)
        for names in [inspect.signature(verb.function).parameters]
        if (isinstance(verb, Verb) and "ref" in names) or "foreign" in names
    }
    assert verbs == WRITES.keys() | OTHERS


@pytest.fixture(scope="module")
def host(beside: Beside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A host with a machine of nobody's for each verb, and two of one name."""
    folder = tmp_path_factory.mktemp("ownership")
    with hosted(beside, folder, vms=len(WRITES) + 2) as found:
        beside.call(lambda: name_twice(found))
        yield found


def name_twice(host: Hosted) -> None:
    for number in range(2):
        machine = host.esx.machine(f"vm-{len(WRITES) + number}")
        machine.set_config(replace(machine.config, name="twice 100%"))


@pytest.mark.parametrize("verb", WRITES)
async def test_a_machine_of_another_owner_is_changed_on_demand_only(
    verb: str, host: Hosted
) -> None:
    name = f"vm-{list(WRITES).index(verb)}"
    async with host.driver() as driver:
        await driver.info(name)
        seen, state = len(host.methods()), host.state()
        with pytest.raises(ForeignInstanceError) as caught:
            await WRITES[verb](driver, name)
        assert (caught.value.name, caught.value.owner) == (name, "")
        assert set(host.methods()[seen:]) <= READS
        assert host.state() == state
        # With it, the verb gets as far as the machine's own state lets it.
        try:
            await WRITES[verb](driver, name, foreign=True)
        except ForeignInstanceError:
            pytest.fail("it is refused all the same")
        except (VimlibError, vim25.MethodFault, AssertionError):
            pass


@pytest.mark.parametrize("verb", [*WRITES, "adopt"])
@pytest.mark.parametrize("name", ["twice 100%", "twice 100%25"])
async def test_a_name_that_two_machines_have_is_refused_with_their_references(
    verb: str, name: str, host: Hosted
) -> None:
    both = sorted(vm.moid for vm in host.esx.machines.values() if vm.name == "twice 100%")
    async with host.driver() as driver:
        act: Act = WRITES.get(verb, lambda d, r, **f: d.adopt(r, **f))
        seen = len(host.methods())
        with pytest.raises(InstanceAmbiguousError) as caught:
            await act(driver, name, foreign=True)
        assert sorted(caught.value.references) == both
        assert all(one in str(caught.value) for one in both)
        assert set(host.methods()[seen:]) <= READS
        # A reference is not ambiguous.
        with suppress(ForeignInstanceError):
            await driver.annotate(both[0], "text")


async def test_a_second_machine_of_a_name_that_was_used_before_is_noticed(
    beside: Beside, tmp_path: Any
) -> None:
    with hosted(beside, tmp_path / "s", owned=True, vms=2) as host:
        async with host.driver() as driver:
            await driver.power_on("vm-0")
            other = host.esx.machine("vm-1")
            beside.call(lambda: other.set_config(replace(other.config, name="vm-0")))
            with pytest.raises(InstanceAmbiguousError):
                await driver.power_off("vm-0")
            uuid = (await driver.list_instances())[0].uuid
            assert (await driver.power_off(uuid)).power_state == "poweredOff"
