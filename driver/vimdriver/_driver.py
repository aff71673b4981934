"""The compute driver: one object with all verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from vimdriver._config import DriverConfig
from vimdriver._disks import cache
from vimdriver._host import (
    capacity,
    clock,
    datastores,
    firewall,
    identity,
    info,
    maintenance,
    services,
    settings,
    storage,
)
from vimdriver._host import tasks as recent
from vimdriver._instances import (
    autostart,
    capture,
    change,
    clone,
    destroy,
    device_list,
    disks,
    drives,
    exporting,
    guest,
    keys,
    machine,
    metrics,
    network,
    nics,
    power,
    programs,
    questions,
    registering,
    rescuing,
    screen,
    serial,
    sizing,
    snapshots,
    spawn,
)
from vimdriver._instances import diagnostics as figures
from vimdriver._instances.events import InstanceEvents
from vimdriver._journal import FileJournal, MemoryJournal
from vimdriver._networks import making, port_groups
from vimdriver._networks import switches as vswitches
from vimdriver._sweep import DAY, sweep
from vimdriver._verbs import Host
from vimdriver._verbs.session import SessionRecord
from vimdriver._verbs.verb import licensed
from vimlib._shield import finish

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from vimdriver._disks.cache import CacheEntry
    from vimdriver._images.source import ImageStore
    from vimdriver._images.uploader import Uploader
    from vimdriver._instances.device_list import DeviceInfo
    from vimdriver._instances.network import GuestNetwork
    from vimdriver._instances.serial import ConsoleLog
    from vimdriver._instances.types import Instance
    from vimdriver._journal import Journal
    from vimdriver._sweep import SweepReport
    from vimlib._client import Client


class ESXDriver:
    """Runs machines on one host.

    A machine is named by its instanceUuid, its name, or its moref's value. Each result was read from
    the host for this call; only references are remembered, and resolved again when they are stale.
    Verbs that change one machine go one after another, in the order of their calls; `destroy` goes
    before those that wait.

    With `DriverConfig.journal` it holds a file open: use it as ``async with ESXDriver(...) as driver``,
    or call `aclose`. Without, neither is needed. A journal in a file also gets the client's session, which
    a sweep ends if the process is killed: with a shared journal, in an ``async with`` of the driver.

    Args:
        client: Logged in; stays the caller's.
        images: Where images come from; None for a driver whose spawns are given their source.
        config: Settings.
        uploader: Uploads image bodies; None opens one for each spawn.
        journal: To share one with other hosts' drivers; stays the caller's. None opens
            `config.journal`, if one is named.
    """

    def __init__(
        self,
        client: Client,
        images: ImageStore | None = None,
        config: DriverConfig | None = None,
        *,
        uploader: Uploader | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.client = client
        self.images = images
        self.config = config or DriverConfig()
        self._uploader = uploader
        self._owned: FileJournal | None = None
        if journal is None and self.config.journal is not None:
            # Without I/O: the first step opens it.
            journal = self._owned = FileJournal(self.config.journal)
        self.journal: Journal = journal or MemoryJournal()
        self._session: SessionRecord | None = None
        self._entered = self._owned is not None

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close and unlock the journal of `config.journal`. Safe to call twice. Cancelling waits."""
        await finish(self._close(), what="closing the driver")

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.aclose()
        if self._owned is not None:
            await self._owned.aclose()

    def host(self, *, dry: bool = False) -> Host:
        """Return the argument of a verb's function, new for each call: nothing is remembered.

        `dry`: the verb only plans.
        """
        if self._session is None and self._entered and isinstance(self.journal, FileJournal):
            self._session = SessionRecord(self.client, self.journal, self.config.mark())
        return Host(
            self.client,
            self.config,
            self.journal,
            images=self.images,
            uploader=self._uploader,
            session=self._session,
            holding=machine.holding,
            dry=dry,
        )

    # Verbs that write. Each is also a dry run: ``print(await driver.destroy.plan("web"))``.

    spawn = spawn.spawn
    destroy = destroy.destroy
    power_on = power.power_on
    power_off = power.power_off
    shutdown = power.shutdown
    reboot = power.reboot
    suspend = power.suspend
    resume = power.resume
    send_nmi = power.send_nmi
    capture = capture.capture
    export = exporting.export
    import_instance = exporting.import_instance
    snapshot = snapshots.snapshot
    revert_snapshot = snapshots.revert_snapshot
    remove_snapshot = snapshots.remove_snapshot
    clone = clone.clone
    register = registering.register
    unregister = registering.unregister
    adopt = registering.adopt
    rename = registering.rename
    annotate = registering.annotate
    change_hardware = sizing.change_hardware
    resize = sizing.resize
    confirm_resize = sizing.confirm_resize
    revert_resize = sizing.revert_resize
    rescue = rescuing.rescue
    unrescue = rescuing.unrescue
    rebuild = rescuing.rebuild
    attach_disk = disks.attach_disk
    detach_disk = disks.detach_disk
    grow_disk = disks.grow_disk
    insert_cdrom = drives.insert_cdrom
    eject_cdrom = drives.eject_cdrom
    attach_interface = nics.attach_interface
    change_interface = nics.change_interface
    detach_interface = nics.detach_interface
    set_guest_info = guest.set_guest_info
    screenshot = screen.screenshot
    send_keys = keys.send_keys
    answer = questions.answer
    # These act in the guest only, where nothing is undone: they have no plan, and take no turn.
    guest_exec = programs.guest_exec
    guest_upload = programs.guest_upload

    ensure_vlan = making.ensure_vlan
    remove_vlan = port_groups.remove_vlan
    create_switch = vswitches.create_switch
    remove_switch = vswitches.remove_switch
    set_mtu = vswitches.set_mtu
    set_switch = vswitches.set_switch
    set_port_group = vswitches.set_port_group
    set_autostart = autostart.set_autostart
    enter_maintenance = maintenance.enter_maintenance
    exit_maintenance = maintenance.exit_maintenance
    reboot_host = maintenance.reboot_host
    shutdown_host = maintenance.shutdown_host
    control_service = services.control_service
    set_service_policy = services.set_service_policy
    set_ruleset = firewall.set_ruleset
    set_time_servers = clock.set_time_servers
    set_host_option = settings.set_host_option
    rescan = storage.rescan
    mount_nfs = storage.mount_nfs
    unmount_nfs = storage.unmount_nfs

    async def sweep(
        self, *, older_than: float = DAY, dry_run: bool = False, forget: Collection[str] = ()
    ) -> SweepReport:
        """Finish or remove leftovers of ended processes of this owner; see `vimdriver._sweep`.

        Only objects with the owner's mark or an entry in the journal are touched. An object younger
        than `older_than` seconds may be another process's work and is left, unless the journal's
        file shows that its process has ended. `forget` names datastores that will never come back.
        Cancelling ends after the object that is being removed.

        Raises:
            HostReadOnlyError: The host's licence forbids writes.
        """
        host = self.host()
        await host.record_session()
        with licensed(self.client):
            return await sweep(host, older_than=older_than, dry_run=dry_run, forget=forget)

    async def prune_cache(
        self,
        datastore: str,
        *,
        older_than: float = cache.WEEK,
        keys: Collection[str] | None = None,
        dry_run: bool = False,
    ) -> list[CacheEntry]:
        """Remove images from a datastore's cache that nobody used for `older_than` seconds; return them.

        See `vimdriver._disks.cache.prune_cache`. Cancelling ends after the entry that is being removed.
        """
        host = self.host()
        with licensed(self.client):
            return await cache.prune_cache(
                host, datastore, older_than=older_than, keys=keys, dry_run=dry_run
            )

    # Verbs that only read.

    async def list_cache(self, datastore: str) -> list[CacheEntry]:
        """Return the images in a datastore's cache. Cancelling loses nothing. Raises `NotFoundError`."""
        return await cache.list_cache(self.host(), datastore)

    diagnostics = figures.diagnostics
    console = screen.console
    question = questions.question
    guest_ps = programs.guest_ps
    guest_download = programs.guest_download
    snapshots = snapshots.list_snapshots
    host_info = info.host_info
    host_identity = identity.host_identity
    host_capacity = capacity.host_capacity
    datastores = datastores.datastores
    services = services.services
    firewall = firewall.firewall
    host_time = clock.host_time
    host_options = settings.host_options
    tasks = recent.tasks
    logs = recent.logs
    metrics = metrics.metrics
    autostarts = autostart.autostarts
    switches = vswitches.switches
    port_group_policies = vswitches.port_group_policies
    vmkernel = vswitches.vmkernel

    async def list_instances(self, *, owned: bool = False) -> list[Instance]:
        """Return all machines, by name, or with `owned` those with this driver's mark.

        One retrieval, with the power states of all. Cancelling loses nothing.
        """
        owner = self.config.mark() if owned else None
        return await machine.list_instances(self.client, owner=owner)

    async def info(self, ref: str) -> Instance:
        """Return one machine. Cancelling loses nothing. Raises `NotFoundError`."""
        return machine.instance_of(await machine.look(self.client, ref, *machine.PATHS))

    async def guest_network(self, ref: str) -> GuestNetwork:
        """Return the addresses that a machine's guest reports, and its helper's report.

        Cancelling loses nothing. Raises `NotFoundError`.
        """
        return await network.guest_network(self.client, ref)

    async def wait_for_network(self, ref: str, *, timeout: float) -> GuestNetwork:
        """Wait until a machine's guest has verified its network, at most `timeout` seconds.

        See `vimdriver._instances.network.wait_for_network`. Cancelling loses nothing.

        Raises:
            NotFoundError: The machine does not exist.
            HostStateError: The guest's network differs from its record.
            DeadlineError: The guest did not report in time.
        """
        return await network.wait_for_network(self.client, ref, timeout=timeout)

    async def devices(self, ref: str) -> list[DeviceInfo]:
        """Return a machine's devices, by key. Cancelling loses nothing.

        Raises:
            NotFoundError: The machine does not exist.
            InstanceStateError: The host cannot reach its files.
        """
        found = await change.find_state(self.client, ref)
        return [device_list.describe(device, found.devices) for device in found.devices]

    def events(
        self, ref: str | None = None, *, since: datetime | None = None, follow: bool = True
    ) -> InstanceEvents:
        """Iterate over the events of the host, or of one machine, oldest first.

        ``async for event in driver.events("web-1")``. None is lost and none comes twice; see
        `vimlib._events`. Leaving the loop or being cancelled releases its objects on the host.
        """
        return InstanceEvents(self.client, ref, since, follow=follow)

    async def console_log(self, ref: str, *, tail: int = serial.TAIL) -> ConsoleLog:
        """Return the last `tail` bytes that a machine wrote to its serial port; see `InstanceSpec.serial_log`.

        Cancelling loses nothing.

        Raises:
            NotFoundError: The machine does not exist, or has no serial port that writes to a file.
            UsageError: `tail` is below 1.
        """
        return await serial.console_log(self.host(), ref, tail=tail)
