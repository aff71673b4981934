"""The compute driver: one object that reads like a list of intentions."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from vimdriver._config import DriverConfig
from vimdriver._host import HostInfo, host_info
from vimdriver._images.choose import own_mover
from vimdriver._instances import guest, lookup, power, removal, screen, snapshots
from vimdriver._instances.diagnostics import diagnostics
from vimdriver._instances.events import InstanceEvents
from vimdriver._instances.spawn import spawn
from vimdriver._journal import FileJournal, MemoryJournal
from vimdriver._licence import licensed
from vimdriver._networks.vlan import ensure_vlan, remove_vlan
from vimdriver._sweep import DAY, sweep

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from types import TracebackType

    from vimdriver._guestinfo import Form, GuestConfig
    from vimdriver._images.mover import BodyMover
    from vimdriver._images.source import ImageStore
    from vimdriver._instances.diagnostics import Diagnostics
    from vimdriver._instances.screen import Console
    from vimdriver._instances.snapshots import Snapshot
    from vimdriver._instances.types import Instance, InstanceSpec, PowerChange
    from vimdriver._journal import Journal
    from vimdriver._networks.facts import PortGroup
    from vimdriver._sweep import SweepReport
    from vimlib._client import Client
    from vimlib._progress import Progress

__all__ = ["ESXDriver"]


class ESXDriver:
    """Runs machines on one host.

    A machine is named by its instanceUuid, its name, or its moref's value. Nothing is cached:
    what is returned was read from the host for this call.

    With `DriverConfig.journal` it holds a file open: use it as ``async with ESXDriver(...) as driver``,
    or call `aclose`. Without, neither is needed.

    Args:
        client: Logged in; stays the caller's.
        images: Where images come from.
        config: Settings.
        mover: What moves image bodies; None makes one for each spawn.
        journal: Where what is begun is written first, to share one with other hosts' drivers; stays
            the caller's. None opens `config.journal`, if one is named.
    """

    def __init__(
        self,
        client: Client,
        images: ImageStore,
        config: DriverConfig | None = None,
        *,
        mover: BodyMover | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.client = client
        self.images = images
        self.config = config or DriverConfig()
        self._mover = mover
        self._owned: FileJournal | None = None
        if journal is None and self.config.journal is not None:
            # Without I/O: whatever is begun first opens it.
            journal = self._owned = FileJournal(self.config.journal)
        self.journal: Journal = journal or MemoryJournal()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close and unlock the journal of `config.journal`. Safe to call twice. Cancelling waits."""
        if self._owned is not None:
            await self._owned.aclose()

    async def list_instances(self) -> list[Instance]:
        """Return all machines, by name. Cancelling loses nothing."""
        return await lookup.list_instances(self.client)

    async def info(self, ref: str) -> Instance:
        """Return one machine. Cancelling loses nothing. Raises `NotFoundError`."""
        return await lookup.read(self.client, await lookup.find(self.client, ref))

    async def spawn(self, spec: InstanceSpec, *, on_progress: Progress | None = None) -> Instance:
        """Create a machine from a flat image and power it on. Cancelling undoes all of it.

        `on_progress` receives the bytes of each piece that was sent.

        Raises:
            ImageError: The image cannot be read, is not flat, or is not what its hash says.
            InstanceExistsError: The name or the uuid is taken.
            NetworkError: A port group is missing or is another than `NICSpec` describes.
            NoSpaceError: The datastore has too little free space.
            HostReadOnlyError: The licence allows reading only; so for every method that writes.
            NotFoundError: There is no such datastore.
        """
        source = self.images.image(spec.image)
        async with AsyncExitStack() as stack:
            stack.enter_context(licensed(self.client))
            mover = self._mover
            if mover is None:
                mover = await stack.enter_async_context(own_mover(self.client, 1))
            return await spawn(
                self.client,
                spec,
                source,
                mover,
                self.config,
                on_progress=on_progress,
                journal=self.journal,
            )

    async def destroy(self, ref: str, *, foreign: bool = False) -> bool:
        """Power a machine off and remove it with its files; False if there was none.

        Cancelling waits until it is removed.

        Raises:
            ForeignInstanceError: This driver did not create it, and `foreign` is false.
            DiskSharedError: Another machine uses one of its disks; nothing was removed.
            InstanceAmbiguousError: Several machines have that name.
            OutcomeUnknownError: The host did not answer, and the machine is still there.
        """
        with licensed(self.client):
            return await removal.destroy(
                self.client, ref, self.config, foreign=foreign, journal=self.journal
            )

    async def sweep(
        self, *, older_than: float = DAY, dry_run: bool = False, forget: Collection[str] = ()
    ) -> SweepReport:
        """Finish or remove what an ended process of this owner has left.

        Only what carries the owner's mark or stands in the journal. What is younger than `older_than`
        seconds may be another process's work and is left, unless the journal's file says that it was
        begun by a process that has ended. `forget` names datastores that will never come back.
        Cancelling ends after what is being removed.
        """
        with licensed(self.client):
            return await sweep(
                self.client,
                self.config,
                self.journal,
                older_than=older_than,
                dry_run=dry_run,
                forget=forget,
            )

    async def diagnostics(self, ref: str) -> Diagnostics:
        """Return how a machine is doing, as last measured by the host. Cancelling loses nothing.

        Raises `NotFoundError`.
        """
        return await diagnostics(self.client, ref)

    def events(
        self, ref: str | None = None, *, since: datetime | None = None, follow: bool = True
    ) -> InstanceEvents:
        """Iterate over what happens on the host, or to one machine, oldest first.

        ``async for event in driver.events("web-1")``. None is lost and none comes twice; see
        `vimlib._events`. Leaving the loop or being cancelled releases what was made on the host.
        """
        return InstanceEvents(self.client, ref, since, follow=follow)

    async def set_guest_info(
        self, ref: str, config: GuestConfig, *, form: Form | None = None
    ) -> dict[str, str]:
        """Replace the network settings for the guest, on a running machine too; return what was written.

        `form` is `nova`, `original`, `versioned` or `cloud-init`; None takes that of the configuration.
        Cancelling waits for the task. Raises `NotFoundError`, and `UsageError` for a MAC that no NIC of
        the machine has and for what the form cannot express.
        """
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
        """Take a snapshot and return it. Cancelling waits for the task.

        `memory` includes the memory of a running machine; `quiesce` asks VMware Tools to flush the
        guest's file systems first. Raises `NotFoundError`, and the fault if the host refuses.
        """
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
        """Return a ticket to a running machine's console. Raises `InstanceStateError`, `NotFoundError`."""
        return await screen.console(self.client, ref)

    async def screenshot(self, ref: str) -> bytes:
        """Return a picture (PNG) of a running machine's screen. Raises `InstanceStateError`, `NotFoundError`."""
        with licensed(self.client):
            return await screen.screenshot(self.client, ref, self.config)

    async def host_info(self) -> HostInfo:
        """Return what the host is and how it is doing. Cancelling loses nothing."""
        return await host_info(self.client)

    async def ensure_vlan(self, name: str, vlan: int, *, interface: str = "vmnic0") -> PortGroup:
        """Return the port group for a VLAN, created if it is missing.

        Cancelling lets the call under way end; a port group that it created stays.

        Raises:
            PhysicalNICNotFoundError: There is no such `interface`, or no virtual switch on it.
            PortGroupMismatchError: It exists on another switch or with another VLAN id.
        """
        with licensed(self.client):
            return await ensure_vlan(
                self.client, name, vlan, self.config, interface=interface, journal=self.journal
            )

    async def remove_vlan(self, name: str) -> None:
        """Remove a port group that this driver made and nothing uses."""
        with licensed(self.client):
            await remove_vlan(self.client, name, self.config)

    async def power_on(self, ref: str) -> Instance:
        """Power on; see `vimdriver._instances.power`, as for the next five."""
        with licensed(self.client):
            return await power.power_on(self.client, ref, self.config)

    async def power_off(self, ref: str) -> Instance:
        """Cut the power."""
        with licensed(self.client):
            return await power.power_off(self.client, ref, self.config)

    async def shutdown(
        self, ref: str, *, timeout: float = 60.0, force: bool = False
    ) -> PowerChange:
        """Let the guest shut down within `timeout` seconds; only with `force`, cut the power else."""
        with licensed(self.client):
            return await power.shutdown(self.client, ref, self.config, timeout=timeout, force=force)

    async def reboot(self, ref: str, *, soft: bool = True, force: bool = False) -> PowerChange:
        """Let the guest reboot; with `force`, reset one that cannot; with `soft` false, any."""
        with licensed(self.client):
            return await power.reboot(self.client, ref, self.config, soft=soft, force=force)

    async def suspend(self, ref: str) -> Instance:
        """Suspend to disk."""
        with licensed(self.client):
            return await power.suspend(self.client, ref, self.config)

    async def resume(self, ref: str) -> Instance:
        """Wake a suspended machine."""
        with licensed(self.client):
            return await power.resume(self.client, ref, self.config)
