"""The driver's further verbs, as operations: hardware, guests, copies, and the host itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import vimlib
from tests.attacks.ops import Happened, Op, driver, yes
from tests.attacks.world import DATASTORE, World
from vimdriver import GuestLogin
from vimlib import vim25
from vimlib._secret import Secret

LOGIN: Final = GuestLogin("root", Secret("of-the-guest"))
DATA: Final = bytes(range(256)) * 8
CARD, DISK = "Network adapter 1", "Hard disk 2"


def config_is(
    test: Callable[[vim25.VirtualMachineConfigInfo], bool],
) -> Callable[[World], Happened]:
    """Return whether the configuration of vm-0 is as wanted."""
    return lambda w: yes(test(w.esx.machine("vm-0").config))


def count(w: World, kind: type[Any]) -> int:
    """Return the number of devices of a kind in vm-0."""
    return sum(isinstance(it, kind) for it in w.esx.machine("vm-0").config.hardware.device)


def has(kind: type[Any], number: int) -> Callable[[World], Happened]:
    return lambda w: yes(count(w, kind) == number)


def before(*verbs: Callable[[Any], Awaitable[Any]]) -> Callable[[World], Awaitable[None]]:
    """Run verbs undisturbed."""

    async def setup(w: World) -> None:
        async with w.client() as client:
            for verb in verbs:
                await verb(driver(client))

    return setup


def with_disk(d: Any) -> Awaitable[Any]:
    return d.attach_disk("vm-0", size_gb=1, disk_type="thin", foreign=True)  # type: ignore[no-any-return]


def a_clone(d: Any) -> Awaitable[Any]:
    return d.clone("vm-0", "copy")  # type: ignore[no-any-return]


def adopted(d: Any) -> Awaitable[Any]:
    return d.adopt("vm-0", foreign=True)  # type: ignore[no-any-return]


def resized(d: Any) -> Awaitable[Any]:
    return d.resize("vm-0", cpus=2, foreign=True)  # type: ignore[no-any-return]


def without_the_clone(d: Any) -> Awaitable[Any]:
    return d.unregister("copy", foreign=True)  # type: ignore[no-any-return]


def a_switch(d: Any) -> Awaitable[Any]:
    return d.create_switch("lab")  # type: ignore[no-any-return]


async def a_guest(w: World) -> None:
    w.esx.set_guest("vm-0", tools=True, accounts={LOGIN.username: LOGIN.password.reveal()})
    w.esx.guest("vm-0").script("/opt/job", exit_code=0, stdout="out")
    await before(lambda d: d.power_on("vm-0", foreign=True))(w)


async def _exec(client: vimlib.Client) -> bytes:
    found = await driver(client).guest_exec("vm-0", LOGIN, "/opt/job", timeout=30, foreign=True)
    return found.stdout


async def _upload_and_read(client: vimlib.Client) -> bytes:
    await driver(client).guest_upload(
        "vm-0", LOGIN, DATA, "/tmp/up.bin", overwrite=True, foreign=True
    )
    return await driver(client).guest_download("vm-0", LOGIN, "/tmp/up.bin")


def whole_copy(w: World) -> Happened:
    there, files = "copy" in w.machines(), [n for n in w.files() if n.startswith("copy")]
    if not there and not files:
        return "no"
    return "yes" if there and any(n.endswith(".vmdk") for n in files) else "part"


def disk_files(w: World) -> int:
    return sum(n.startswith("vm-0/") and n.endswith("-flat.vmdk") for n in w.files())


VERBS: dict[str, Op] = {
    "annotate": Op(
        lambda c: driver(c).annotate("vm-0", "noted", foreign=True),
        config_is(lambda it: it.annotation == "noted"),
    ),
    "rename": Op(
        lambda c: driver(c).rename("vm-0", "other", foreign=True),
        lambda w: yes("other" in w.machines() and "vm-0" not in w.machines()),
    ),
    "change_hardware": Op(
        lambda c: driver(c).change_hardware("vm-0", cpus=2, foreign=True),
        config_is(lambda it: it.hardware.numCPU == 2),
    ),
    "adopt": Op(
        lambda c: driver(c).adopt("vm-0", foreign=True),
        config_is(lambda it: any("owner" in option.key for option in it.extraConfig)),
    ),
    "attach_disk": Op(lambda c: with_disk(driver(c)), has(vim25.VirtualDisk, 2), undoes=True),
    "grow_disk": Op(
        lambda c: driver(c).grow_disk("vm-0", DISK, 2, foreign=True),
        config_is(
            lambda it: any(getattr(d, "capacityInKB", 0) == 2 << 20 for d in it.hardware.device)
        ),
        setup=before(with_disk),
    ),
    "detach_disk": Op(
        lambda c: driver(c).detach_disk("vm-0", DISK, delete=True, foreign=True),
        lambda w: yes(count(w, vim25.VirtualDisk) == 1),
        setup=before(with_disk),
    ),
    "attach_interface": Op(
        lambda c: driver(c).attach_interface("vm-0", "VM Network", foreign=True),
        has(vim25.VirtualEthernetCard, 2),
        undoes=True,
    ),
    "detach_interface": Op(
        lambda c: driver(c).detach_interface("vm-0", CARD, foreign=True),
        has(vim25.VirtualEthernetCard, 0),
    ),
    "clone": Op(
        lambda c: a_clone(driver(c)), whole_copy, once=("CreateVM_Task",), undoes=True, weight=6
    ),
    "unregister": Op(
        lambda c: without_the_clone(driver(c)),
        lambda w: yes("copy" not in w.machines()),
        setup=before(a_clone),
    ),
    "register": Op(
        lambda c: driver(c).register(f"[{DATASTORE}] copy/copy.vmx"),
        lambda w: yes("copy" in w.machines()),
        setup=before(a_clone, without_the_clone),
        once=("RegisterVM_Task",),
    ),
    "resize": Op(
        lambda c: resized(driver(c)),
        config_is(lambda it: it.hardware.numCPU == 2),
        setup=before(adopted),
    ),
    "revert_resize": Op(
        lambda c: driver(c).revert_resize("vm-0", foreign=True),
        config_is(lambda it: it.hardware.numCPU == 1),
        setup=before(adopted, resized),
    ),
    "create_switch": Op(
        lambda c: a_switch(driver(c)),
        lambda w: yes("lab" in w.esx.networks.switches),
        once=("AddVirtualSwitch",),
    ),
    "remove_switch": Op(
        lambda c: driver(c).remove_switch("lab"),
        lambda w: yes("lab" not in w.esx.networks.switches),
        setup=before(a_switch),
    ),
    "set_mtu": Op(
        lambda c: driver(c).set_mtu("vSwitch0", 9000),
        lambda w: yes(w.esx.networks.switches["vSwitch0"].mtu == 9000),
    ),
    "guest_exec": Op(
        _exec, expected=b"out", setup=a_guest, once=("StartProgramInGuest",), weight=6
    ),
    "guest_upload": Op(_upload_and_read, expected=DATA, setup=a_guest, weight=6),
}
