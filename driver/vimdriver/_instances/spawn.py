"""Make a machine from a flat image: a list of steps, each with its way back.

Check everything that can be checked, create the machine, make its disk, stream the image into
the disk's extent, attach it, power on, read back. The order is the one that hosts since ESX 4.1
take (docs/driver/machines.md); what differs from the original is that every step can be undone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replaced

from vimdriver._images.check import BodyCheck
from vimdriver._images.inspect.magic import PREFIX
from vimdriver._images.peek import beginning
from vimdriver._images.sink import DatastoreSink
from vimdriver._instances import lookup
from vimdriver._instances.devices import root_disk
from vimdriver._instances.place import find_place
from vimdriver._instances.plan import MAKING_KEY, SPAWN_KEY, check_beginning, plan_spawn
from vimdriver._instances.removal import remove_half_made
from vimdriver._journal import MemoryJournal, Spawning
from vimdriver._networks.facts import check_networks
from vimdriver._networks.vlan import EnsuredVlan
from vimdriver._steps import files
from vimdriver._steps.clock import host_time, stamp
from vimdriver._steps.outcome import find_out, run_task, wait_idle
from vimdriver._steps.room import free_space
from vimdriver._steps.undo import Undo
from vimdriver.errors import InstanceExistsError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._session.shield import finish
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._config import DriverConfig
    from vimdriver._images.mover import BodyMover
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._instances.place import Place
    from vimdriver._instances.plan import SpawnPlan
    from vimdriver._instances.types import Instance, InstanceSpec
    from vimdriver._journal import Journal
    from vimlib._client import Client
    from vimlib._progress import Progress

__all__ = ["spawn"]


async def spawn(
    client: Client,
    spec: InstanceSpec,
    source: ImageSource,
    mover: BodyMover,
    config: DriverConfig,
    *,
    on_progress: Progress | None = None,
    journal: Journal | None = None,
) -> Instance:
    """Make the machine, and return it as the host shows it.

    Cancelling undoes what was made: calls that have left run to their end first, then machine
    and files are removed, for at most `config.cleanup_seconds`. After a kill, `vimdriver._sweep` does it.

    Raises:
        JournalError: What is begun could not be written down; nothing was made.
        ImageError: The image cannot be used; nothing was made.
        NetworkNotFoundError: A port group does not exist; nothing was made.
        InstanceExistsError: A machine with that uuid or name exists; nothing was made.
        NoSpaceError: The datastore has too little room; nothing was made.
        VimlibError: A step failed; what was made has been undone, or a note says what was left.
    """
    image = await source.info()
    journal = journal or MemoryJournal()
    entry = Spawning(
        host=client.host,
        owner=config.owner,
        uuid=spec.uuid,
        name=spec.name,
        power_on=spec.power_on,
    )
    plan, place = await _prepare(client, spec, image, config, entry.token)
    if image.disk_format is None:
        # A file or URL of somebody's: it may be anything, and making room for it takes minutes.
        check_beginning(await beginning(source, PREFIX), spec.image)
    try:
        async with Undo(seconds=config.cleanup_seconds, journal=journal) as undo:
            steps = _Steps(client, spec, plan, place, config, undo, journal, entry)
            await steps.ensure_networks()
            await steps.create_machine()
            await steps.create_disk()
            # Whatever the source calls it, these bytes become an extent: they must be flat.
            check = BodyCheck(replace(image, disk_format="raw"))
            await steps.fill_disk(source, check, mover, on_progress)
            if plan.grows:
                await steps.grow_disk()
            await steps.attach_disk()
            if spec.power_on:
                await steps.power_on()
            made = await lookup.read(client, steps.vm)
            undo.keep()
    except vim25.NoDiskSpace as fault:
        # Somebody else took the room meanwhile.
        free = await free_space(client, spec.datastore)
        raise NoSpaceError(datastore=spec.datastore, needed=plan.needed, free=free) from fault
    return made


async def _prepare(
    client: Client, spec: InstanceSpec, image: ImageInfo, config: DriverConfig, token: str
) -> tuple[SpawnPlan, Place]:
    """Check everything that can be checked, and decide what to do where. Makes nothing."""
    plan = plan_spawn(
        spec,
        image,
        config,
        api_version=client.api_version,
        token=token,
        making=stamp(await host_time(client)),
    )
    await check_networks(client, [card.network for card in spec.nics if card.vlan is None])
    await _check_absent(client, spec)
    place = await find_place(client)
    free = await free_space(client, spec.datastore)
    if free < plan.needed:
        raise NoSpaceError(datastore=spec.datastore, needed=plan.needed, free=free)
    return plan, place


async def _check_absent(client: Client, spec: InstanceSpec) -> None:
    if await lookup.find_by_uuid(client, spec.uuid) is not None:
        raise InstanceExistsError(name=spec.uuid)
    # All at once: a loop that is left by an error would end its retrieval some time later.
    for row in await client.collect(vim25.VirtualMachine, "name").all():
        if row.props.get("name") == spec.name:
            raise InstanceExistsError(name=spec.name)


class _Steps:
    """The steps of one spawn; each begins by writing down its way back."""

    def __init__(
        self,
        client: Client,
        spec: InstanceSpec,
        plan: SpawnPlan,
        place: Place,
        config: DriverConfig,
        undo: Undo,
        journal: Journal,
        entry: Spawning,
    ) -> None:
        self.client = client
        self.spec = spec
        self.plan = plan
        self.place = place
        self.config = config
        self.undo = undo
        self.journal = journal
        self.entry = entry
        self.datastore = client.datastore(spec.datastore)
        self._vm: vim25.VirtualMachine | None = None
        self._folder: DatastorePath | None = None
        self._maybe = False
        self._open: list[str] = []

    @property
    def vm(self) -> vim25.VirtualMachine:
        """The machine, once `create_machine` has ended."""
        assert self._vm is not None, "create_machine must run first"
        return self._vm

    @property
    def disk(self) -> DatastorePath:
        """The root disk's descriptor."""
        assert self._folder is not None, "create_machine must run first"
        return self._folder / f"{self.spec.name}.vmdk"

    async def ensure_networks(self) -> None:
        """Make the port groups of VLANs that are missing; what was made here is undone."""
        for card in self.spec.nics:
            if card.vlan is None:
                continue
            made = EnsuredVlan(
                self.client,
                card.network,
                card.vlan,
                self.config,
                interface=card.interface,
                journal=self.journal,
                spawn=self.entry.token,
            )
            self.undo.push(f"port group {card.network}", made.undo, token=made.token)
            await made.ensure()

    async def create_machine(self) -> None:
        """`Folder.CreateVM_Task`, then read which folder the host gave the machine.

        A host takes another folder name where one is left over, so it is read and not guessed.
        """
        await self.undo.begin(f"machine {self.spec.name}", self._remove, self.entry)
        await finish(self._create())
        row = await self.client.get(self.vm, "config.files.vmPathName")
        self._folder = DatastorePath.parse(row["config.files.vmPathName"]).parent
        # Once the machine is gone, nothing on the host says that the folder was ours.
        self.entry = replaced(self.entry, folder=str(self._folder))
        await self.journal.begin(self.entry)

    async def _create(self) -> None:
        folder = self.client.bind(self.place.folder)
        # Until the host has refused, it may have done it.
        self._maybe = True
        try:
            self._vm = await run_task(
                self.client,
                lambda: folder.CreateVM_Task(
                    self.plan.config, self.place.pool, host=self.place.host
                ),
                self.config,
                look=self._ours,
                method="CreateVM_Task",
            )
        except vim25.MethodFault as fault:
            self._maybe = False
            if isinstance(fault, (vim25.DuplicateName, vim25.AlreadyExists)):
                raise InstanceExistsError(name=self.spec.name) from fault
            raise

    async def _ours(self) -> vim25.VirtualMachine | None:
        """Find the machine of our uuid, and be sure that this very spawn made it."""
        vm = await lookup.find_by_uuid(self.client, self.spec.uuid)
        if vm is None:
            return None
        row = await self.client.get(vm, "config.extraConfig")
        wanted = [o.value for o in self.plan.config.extraConfig if o.key == SPAWN_KEY]
        found = [o.value for o in row.props.get("config.extraConfig") or [] if o.key == SPAWN_KEY]
        return vm if found == wanted else None

    async def _remove(self) -> None:
        vm = self._vm
        if vm is None and self._maybe:
            vm = await find_out(self.client, self.config, look=self._ours, method="CreateVM_Task")
        if vm is None:
            return
        for method in ("DeleteDatastoreFile_Task", *self._open):
            await wait_idle(self.client, self.config, method=method)
        await remove_half_made(self.client, vm, self._folder, self.config)

    async def _run(
        self,
        start: Callable[[], Awaitable[vim25.Task[None]]],
        look: Callable[[], Awaitable[bool | None]],
        method: str,
        *,
        of: vim25.VirtualMachine | None = None,
    ) -> None:
        """Run a task to its end, whatever happens to the caller."""
        if of is None:
            # A task on files has no machine whose tasks would show it.
            self._open.append(method)

        async def work() -> None:
            await run_task(self.client, start, self.config, look=look, method=method, of=of)

        await finish(work(), what=method)
        if of is None:
            self._open.remove(method)

    async def create_disk(self) -> None:
        """Make a thick disk of the image's size, whose extent the image then replaces."""
        manager = self.client.bind(_there(self.client.content.virtualDiskManager))
        made = vim25.FileBackedVirtualDiskSpec(
            adapterType=self.plan.disk_adapter,
            diskType=vim25.VirtualDiskType.thick,
            capacityKb=self.plan.extent_bytes // 1024,
        )

        async def create() -> vim25.Task[None]:
            task: vim25.Task[Any] = await manager.CreateVirtualDisk_Task(
                str(self.disk), datacenter=self.place.datacenter, spec=made
            )
            return task

        async def is_there() -> bool | None:
            # The folder is ours alone, so the disk is too.
            return await self.datastore.exists(self.disk) or None

        await self._run(create, is_there, "CreateVirtualDisk_Task")

    async def fill_disk(
        self, source: ImageSource, check: BodyCheck, mover: BodyMover, on_progress: Progress | None
    ) -> None:
        """Stream the image into the disk's place of bytes, whole and checked.

        The extent that came with the disk is deleted first: hosts keep the descriptor, which
        names the extent, and take a new file of that name.
        """
        extent = self.disk.with_name(f"{self.spec.name}-flat.vmdk")
        await finish(files.delete(self.client, extent, self.config), what=f"deletion of {extent}")
        sink = DatastoreSink(self.datastore, extent, pad=1024)
        await mover.move(source, sink, check, on_progress=on_progress)

    async def grow_disk(self) -> None:
        """`VirtualDiskManager.ExtendVirtualDisk_Task` to the size that was asked for."""
        manager = self.client.bind(_there(self.client.content.virtualDiskManager))
        extent = self.disk.with_name(f"{self.spec.name}-flat.vmdk")

        async def is_grown() -> bool | None:
            return (await self.datastore.stat(extent)).size == self.plan.capacity_kb * 1024 or None

        await self._run(
            lambda: manager.ExtendVirtualDisk_Task(
                str(self.disk),
                datacenter=self.place.datacenter,
                newCapacityKb=self.plan.capacity_kb,
            ),
            is_grown,
            "ExtendVirtualDisk_Task",
        )

    async def attach_disk(self) -> None:
        """Add controller and disk, and take the mark off that says "half-made", in one `ReconfigVM_Task`."""
        change = vim25.VirtualMachineConfigSpec(
            deviceChange=root_disk(str(self.disk), self.plan.capacity_kb, self.plan.adapter),
            extraConfig=[vim25.OptionValue(key=MAKING_KEY, value="")],
        )

        async def is_attached() -> bool | None:
            row = await self.client.get(self.vm, "config.hardware.device")
            files = [
                getattr(device.backing, "fileName", None)
                for device in row.props.get("config.hardware.device") or []
                if isinstance(device, vim25.VirtualDisk)
            ]
            return str(self.disk) in files or None

        await self._run(
            lambda: self.vm.ReconfigVM_Task(change), is_attached, "ReconfigVM_Task", of=self.vm
        )

    async def power_on(self) -> None:
        """`PowerOnVM_Task`. A question of the machine ends the wait with an error."""

        async def is_on() -> bool | None:
            row = await self.client.get(self.vm, "runtime.powerState")
            return (
                row.props.get("runtime.powerState") == vim25.VirtualMachinePowerState.poweredOn
                or None
            )

        await self._run(self.vm.PowerOnVM_Task, is_on, "PowerOnVM_Task", of=self.vm)


def _there(manager: vim25.VirtualDiskManager | None) -> vim25.VirtualDiskManager:
    if manager is None:
        raise NotFoundError("the host has no VirtualDiskManager", kind="VirtualDiskManager")
    return manager
