"""The compute driver: one object that reads like a list of intentions."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from driver.config import DriverConfig
from driver.host import HostInfo, host_info
from driver.images.choose import own_mover
from driver.instances import guest, lookup, power, removal, screen, snapshots
from driver.instances.spawn import spawn
from driver.licence import licensed
from driver.networks.vlan import ensure_vlan, remove_vlan

if TYPE_CHECKING:
    from driver.guestinfo import Form, GuestConfig
    from driver.images.mover import BodyMover
    from driver.images.source import ImageStore, Progress
    from driver.instances.screen import Console
    from driver.instances.snapshots import Snapshot
    from driver.instances.types import Instance, InstanceSpec
    from driver.networks.facts import PortGroup
    from vimlib.client import Client

__all__ = ["ESXDriver"]


class ESXDriver:
    """Runs machines on one host.

    A machine is named by its instanceUuid, its name, or its moref's value. Nothing is cached:
    what is returned was read from the host for this call.

    Args:
        client: Logged in; stays the caller's.
        images: Where images come from.
        config: Settings.
        mover: What moves image bodies; None makes one for each spawn.
    """

    def __init__(
        self,
        client: Client,
        images: ImageStore,
        config: DriverConfig | None = None,
        *,
        mover: BodyMover | None = None,
    ) -> None:
        self.client = client
        self.images = images
        self.config = config or DriverConfig()
        self._mover = mover

    async def list_instances(self) -> list[Instance]:
        """Return all machines, by name. Cancelling loses nothing."""
        return await lookup.list_instances(self.client)

    async def info(self, ref: str) -> Instance:
        """Return one machine. Cancelling loses nothing. Raises `NotFoundError`."""
        return await lookup.read(self.client, await lookup.find(self.client, ref))

    async def spawn(self, spec: InstanceSpec, *, on_progress: Progress | None = None) -> Instance:
        """Make a machine from an image; see `driver.instances.spawn`. Cancelling undoes all of it.

        Like every verb that writes, raises `HostReadOnlyError` where the licence allows reading only.
        """
        source = self.images.image(spec.image)
        async with AsyncExitStack() as stack:
            stack.enter_context(licensed(self.client))
            mover = self._mover
            if mover is None:
                mover = await stack.enter_async_context(own_mover(self.client, 1))
            return await spawn(
                self.client, spec, source, mover, self.config, on_progress=on_progress
            )

    async def destroy(self, ref: str, *, foreign: bool = False) -> bool:
        """Remove a machine with its files; False if there was none. See `driver.instances.removal`."""
        with licensed(self.client):
            return await removal.destroy(self.client, ref, self.config, foreign=foreign)

    async def set_guest_info(
        self, ref: str, config: GuestConfig, *, form: Form | None = None
    ) -> dict[str, str]:
        """Write what the guest shall know anew, while it runs too; see `driver.instances.guest`."""
        with licensed(self.client):
            return await guest.set_guest_info(self.client, ref, config, self.config, form=form)

    async def snapshots(self, ref: str) -> list[Snapshot]:
        """Return a machine's snapshots, each before its children. Cancelling loses nothing."""
        return await snapshots.list_snapshots(self.client, ref)

    async def snapshot(
        self,
        ref: str,
        name: str,
        *,
        description: str = "",
        memory: bool = False,
        quiesce: bool = False,
    ) -> Snapshot:
        """Take a snapshot; see `driver.instances.snapshots`, as for the next two."""
        with licensed(self.client):
            return await snapshots.take(
                self.client,
                ref,
                name,
                self.config,
                description=description,
                memory=memory,
                quiesce=quiesce,
            )

    async def revert_snapshot(self, ref: str, snapshot: str) -> Snapshot:
        """Go back to a snapshot, named by its reference's value or its name."""
        with licensed(self.client):
            return await snapshots.revert(self.client, ref, snapshot, self.config)

    async def remove_snapshot(self, ref: str, snapshot: str, *, children: bool = False) -> None:
        """Remove a snapshot; the machine keeps what it is now."""
        with licensed(self.client):
            await snapshots.remove(self.client, ref, snapshot, self.config, children=children)

    async def console(self, ref: str) -> Console:
        """Return a ticket to a machine's console; see `driver.instances.screen`."""
        return await screen.console(self.client, ref)

    async def screenshot(self, ref: str) -> bytes:
        """Return a picture (PNG) of a machine's screen; see `driver.instances.screen`."""
        with licensed(self.client):
            return await screen.screenshot(self.client, ref, self.config)

    async def host_info(self) -> HostInfo:
        """Return what the host is and how it is doing. Cancelling loses nothing."""
        return await host_info(self.client)

    async def ensure_vlan(self, name: str, vlan: int, *, interface: str = "vmnic0") -> PortGroup:
        """Return the port group for a VLAN, made where it is missing; see `driver.networks.vlan`."""
        with licensed(self.client):
            return await ensure_vlan(self.client, name, vlan, self.config, interface=interface)

    async def remove_vlan(self, name: str) -> None:
        """Remove a port group that this driver made and nothing uses."""
        with licensed(self.client):
            await remove_vlan(self.client, name, self.config)

    async def power_on(self, ref: str) -> Instance:
        """Power on; see `driver.instances.power`, as for the next five."""
        with licensed(self.client):
            return await power.power_on(self.client, ref, self.config)

    async def power_off(self, ref: str) -> Instance:
        """Cut the power."""
        with licensed(self.client):
            return await power.power_off(self.client, ref, self.config)

    async def shutdown(self, ref: str, *, timeout: float = 60.0) -> Instance:
        """Let the guest shut down; cut the power after `timeout` seconds."""
        with licensed(self.client):
            return await power.shutdown(self.client, ref, self.config, timeout=timeout)

    async def reboot(self, ref: str, *, soft: bool = True) -> Instance:
        """Let the guest reboot where it can, else reset."""
        with licensed(self.client):
            return await power.reboot(self.client, ref, self.config, soft=soft)

    async def suspend(self, ref: str) -> Instance:
        """Suspend to disk."""
        with licensed(self.client):
            return await power.suspend(self.client, ref, self.config)

    async def resume(self, ref: str) -> Instance:
        """Wake a suspended machine."""
        with licensed(self.client):
            return await power.resume(self.client, ref, self.config)
