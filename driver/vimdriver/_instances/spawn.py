"""Make a machine from a flat image.

Check everything that can be checked, create the machine, make its disk, stream the image into the
disk's extent, attach it, power on, read back. The order is the one that hosts since ESX 4.1 accept
(docs/driver/machines.md); unlike in the original, every step can be undone.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replaced

from vimdriver._images.formats import PREFIX
from vimdriver._images.prefix import read_prefix
from vimdriver._images.sink import DatastoreSink
from vimdriver._images.uploader import Uploader
from vimdriver._instances.destroy import remove_half_made
from vimdriver._instances.devices import root_disk
from vimdriver._instances.folder import names_of
from vimdriver._instances.further import further_steps
from vimdriver._instances.machine import MAKING_KEY, SPAWN_KEY, find_by_uuid, marks_of, read
from vimdriver._instances.placement import Placement, placement_of
from vimdriver._instances.plan import check_beginning, guest_settings, plan_spawn
from vimdriver._instances.power import power_step
from vimdriver._instances.types import Instance, InstanceSpec
from vimdriver._journal import Spawning
from vimdriver._networks.making import port_group_steps
from vimdriver._networks.port_groups import (
    Network,
    PortGroup,
    check_port_group,
    gather_network,
    switch_on,
)
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver._verbs.host import free_space, stamp
from vimdriver.errors import InstanceExistsError, NetworkNotFoundError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._inventory import unescape
from vimlib._text import printable
from vimlib.errors import HostStateError, NotFoundError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._instances.plan import SpawnPlan
    from vimdriver._verbs.host import Moment
    from vimlib._collector import Row
    from vimlib._progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that a spawn reads before it makes anything."""

    image: ImageInfo
    head: bytes | None
    """The image's first bytes, where its source does not state its format."""
    now: Moment
    networks: frozenset[str]
    """Names of the host's networks."""
    network: Network | None
    """Only read where a NIC has a VLAN."""
    names: frozenset[str]
    """Names of the host's machines."""
    uuid_taken: bool
    placement: Placement
    free: int
    """Bytes that the datastore has free."""


@verb
async def spawn(
    host: Host,
    spec: InstanceSpec,
    *,
    source: ImageSource | None = None,
    on_progress: Progress | None = None,
) -> Plan[Instance]:
    """Make a machine from an image, and return it as the host shows it.

    The image comes from `source`, as with the token of a request; None finds `spec.image` in the
    driver's store. `on_progress` is called with the bytes of the image that have just left. Cancelling undoes all:
    calls that have been sent run to their end first, then machine and files are removed,
    for at most `DriverConfig.cleanup_seconds`. After a kill, `ESXDriver.sweep` does it.

    Raises:
        JournalError: The first step could not be written down; nothing was made.
        ImageError: The image cannot be used; nothing was made.
        NetworkNotFoundError: A port group does not exist; nothing was made.
        InstanceExistsError: A machine with that uuid or name exists; nothing was made.
        NoSpaceError: The datastore has too little free space; nothing was made.
        HostReadOnlyError: The host's licence forbids writes.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    if source is None:
        if host.images is None:
            raise UsageError(
                "spawn needs an image source or an image store",
                hint="Give source=, or use ESXDriver(client, images).",
            )
        source = host.images.image(spec.image)
    return _plan(host, spec, source, on_progress, await _gather(host, spec, source))


async def _gather(host: Host, spec: InstanceSpec, source: ImageSource) -> Gathered:
    """Read all that the plan needs. Makes nothing; cancelling loses nothing."""
    client = host.client
    image = await source.info()
    vlans = [card.network for card in spec.nics if card.vlan is not None]
    now = await host.now()
    uuid_taken = await find_by_uuid(client, spec.uuid) is not None
    # One listing of the inventory, whole: a loop that is left by an error would end it some time later.
    rows = await client.collect(vim25.ManagedEntity, "name", "parent").all()
    hosts = [row.obj for row in rows if isinstance(row.obj, vim25.HostSystem)]
    stores = [row.obj for row in rows if isinstance(row.obj, vim25.Datastore)]
    return Gathered(
        image=image,
        now=now,
        # An entity's name has `/`, `\` and `%` escaped; those of port groups and of cards have not.
        networks=frozenset(unescape(name) for name in _names(rows, vim25.Network)),
        names=frozenset(unescape(name) for name in _names(rows, vim25.VirtualMachine)),
        uuid_taken=uuid_taken,
        placement=await placement_of(host, rows),
        network=await gather_network(host, *vlans, hosts=hosts) if vlans else None,
        free=await free_space(client, spec.datastore, stores),
        # A file or URL of somebody's may be anything, and allocating its disk takes minutes.
        head=await read_prefix(source, PREFIX) if image.disk_format is None else None,
    )


def _names(rows: list[Row[vim25.ManagedEntity]], kind: type[vim25.ManagedEntity]) -> Iterator[str]:
    return (str(row.props.get("name", "")) for row in rows if isinstance(row.obj, kind))


def _plan(
    host: Host,
    spec: InstanceSpec,
    source: ImageSource,
    on_progress: Progress | None,
    found: Gathered,
) -> Plan[Instance]:
    """Check the gathered values, then return the steps. Pure."""
    entry = Spawning(
        host=host.client.host,
        owner=host.owner,
        uuid=spec.uuid,
        name=spec.name,
        power_on=spec.power_on,
    )
    machine = plan_spawn(
        spec,
        found.image,
        host.config,
        api_version=host.client.api_version,
        token=entry.token,
        making=stamp(found.now),
    )
    _check(spec, machine, found)
    manager = host.client.content.virtualDiskManager
    if manager is None:
        raise NotFoundError("the host has no VirtualDiskManager", kind="VirtualDiskManager")

    async def undo(run: Run, vm: vim25.VirtualMachine) -> str:
        vmx = run.get(located)
        path = None if vmx is None or disk.is_theirs(run) else disk.file(run)
        removed = await remove_half_made(run.host, vm, vmx, path, token=entry.token)
        return f"{vmx.parent}, with {names_of(removed.left)}" if vmx and removed.left else ""

    created = _create_step(host, spec, machine, found.placement, undo, entry)
    located = Step[DatastorePath](
        title="read which folder the host gave it",
        call=lambda run: _read_vmx(run.host, run[created]),
    )
    disk = _Disk(
        machine,
        found.placement.datacenter,
        host.client.bind(manager),
        lambda run: run[located].with_name(f"{run[located].name.removesuffix('.vmx')}.vmdk"),
    )

    # Once the machine is gone, nothing on the host shows that the folder was ours.
    def with_folder(run: Run) -> Spawning:
        return replaced(entry, folder=str(run[located].parent))

    made, kept = _network_steps(host, spec, found.network, entry.token)
    steps: list[Step[Any]] = [
        *made,
        created,
        located,
        *further_steps(spec, created, lambda run: run[located]),
        disk.create(with_folder),
        disk.delete_extent(),
        disk.fill(source, found.image, on_progress),
    ]
    if machine.grows:
        steps.append(disk.grow())
    steps.append(disk.attach(created))
    steps += _mac_steps(host, spec, created)
    if spec.power_on:
        steps.append(power_step(lambda run: run[created], vim25.VirtualMachinePowerState.poweredOn))
    steps += kept

    async def result(run: Run) -> Instance:
        return await read(run.host.client, run[created])

    return Plan(f"spawn {spec.name}", tuple(steps), result, explain=_explain(spec, machine))


def _check(spec: InstanceSpec, machine: SpawnPlan, found: Gathered) -> None:
    """Refuse what cannot be made on this host; see `spawn`."""
    for card in spec.nics:
        if card.vlan is None and card.network not in found.networks:
            raise NetworkNotFoundError(name=card.network, known=sorted(found.networks))
    if found.uuid_taken or spec.name in found.names:
        raise InstanceExistsError(name=spec.uuid if found.uuid_taken else spec.name)
    if found.free < machine.needed:
        raise NoSpaceError(datastore=spec.datastore, needed=machine.needed, free=found.free)
    if found.head is not None:
        check_beginning(found.head, spec.image)


def _explain(
    spec: InstanceSpec, machine: SpawnPlan
) -> Callable[[Host, VimlibError], Awaitable[VimlibError]]:
    """Return the function that names the argument or the space behind the fault of a step."""

    async def explain(host: Host, error: VimlibError) -> VimlibError:
        argument = str(getattr(error, "invalidProperty", None))
        if isinstance(error, vim25.InvalidArgument) and argument.endswith("guestId"):
            return UsageError(
                "guest_id must be a guestId that the host supports, "
                f"got {printable(str(machine.config.guestId), 80)!r}",
                field="guest_id",
                outcome="refused",
                hint="Use one of the API's, as otherGuest64 or ubuntu64Guest, or omit it.",
            )
        if not isinstance(error, vim25.NoDiskSpace):
            return error
        # Somebody else used the space.
        free = await free_space(host.client, spec.datastore)
        return NoSpaceError(datastore=spec.datastore, needed=machine.needed, free=free)

    return explain


def _network_steps(
    host: Host, spec: InstanceSpec, network: Network | None, token: str
) -> tuple[list[Step[Any]], list[Step[Any]]]:
    """Return the steps that make the port groups of VLANs that are missing, each once, and keep them."""
    made: list[Step[Any]] = []
    kept: list[Step[Any]] = []
    planned: dict[str, PortGroup] = {}
    for card in spec.nics:
        if card.vlan is None or network is None:
            continue
        vswitch = switch_on(network.info, card.interface)
        if card.network in planned:
            check_port_group(planned[card.network], vswitch=vswitch, vlan=card.vlan)
            continue
        planned[card.network] = PortGroup(name=card.network, vlan=card.vlan, vswitch=vswitch)
        steps = port_group_steps(
            host, network, card.network, card.vlan, interface=card.interface, spawn=token
        )
        made += steps[:-1]
        kept += steps[-1:]
    return made, kept


def _create_step(
    host: Host,
    spec: InstanceSpec,
    machine: SpawnPlan,
    placement: Placement,
    undo: Callable[[Run, vim25.VirtualMachine], Awaitable[str]],
    entry: Spawning,
) -> Step[vim25.VirtualMachine]:
    folder = host.client.bind(placement.folder)

    async def ours(run: Run) -> vim25.VirtualMachine | None:
        """Find the machine of our uuid that this very spawn made."""
        vm = await find_by_uuid(run.host.client, spec.uuid)
        if vm is None:
            return None
        marks = marks_of(await run.host.client.get(vm, "config.extraConfig"))
        return vm if marks.get(SPAWN_KEY) == entry.token else None

    def refused(run: Run, fault: vim25.MethodFault) -> vim25.VirtualMachine:
        if isinstance(fault, vim25.DuplicateName | vim25.AlreadyExists):
            raise InstanceExistsError(name=spec.name) from fault
        raise fault

    return Step(
        title=f"create machine {spec.name} (CreateVM_Task)",
        makes=f"machine {spec.name}",
        call=lambda run: folder.CreateVM_Task(machine.config, placement.pool, host=placement.host),
        probe=ours,
        undo=undo,
        refused=refused,
        entry=lambda run: entry,
        method="CreateVM_Task",
    )


def _mac_steps(
    host: Host, spec: InstanceSpec, created: Step[vim25.VirtualMachine]
) -> list[Step[Any]]:
    """Return the steps that write the guest's settings with the MAC addresses that the host chose.

    Raises:
        UsageError: A value is not valid; nothing was made.
    """
    if not any(card.mac is None and card.for_the_guest for card in spec.nics):
        return []
    # Checked before anything is made, with addresses of the range that hosts generate.
    wanted = guest_settings(
        spec,
        host.config,
        [card.mac or f"00:0c:29:00:00:{at:02x}" for at, card in enumerate(spec.nics)],
    )

    async def read_macs(run: Run) -> list[str]:
        row = await run.host.client.get(run[created], "config.hardware.device")
        cards = [
            device
            for device in row.props.get("config.hardware.device") or []
            if isinstance(device, vim25.VirtualEthernetCard)
        ]
        macs = [card.macAddress or "" for card in sorted(cards, key=lambda card: card.key)]
        if len(macs) != len(spec.nics) or not all(macs):
            raise HostStateError(
                f"the host has not chosen the MAC addresses of {spec.name}: {macs}",
                state="created",
                hint="Give each NIC its MAC address.",
            )
        return macs

    chosen = Step[list[str]](
        title="read the MAC addresses that the host chose", call=read_macs, idempotent=True
    )

    def settings(run: Run) -> dict[str, str]:
        return guest_settings(spec, host.config, run[chosen])

    async def probe(run: Run) -> bool | None:
        there = marks_of(await run.host.client.get(run[created], "config.extraConfig"))
        return all(there.get(key) == value for key, value in settings(run).items()) or None

    def write(run: Run) -> Awaitable[Any]:
        options = [vim25.OptionValue(key=key, value=value) for key, value in settings(run).items()]
        return run[created].ReconfigVM_Task(vim25.VirtualMachineConfigSpec(extraConfig=options))

    written = Step[Any](
        title=f"set {', '.join(sorted(wanted))} with them (ReconfigVM_Task)",
        call=write,
        probe=probe,
        of=lambda run: run[created],
    )
    return [chosen, written]


async def _read_vmx(host: Host, vm: vim25.VirtualMachine) -> DatastorePath:
    """Return a machine's configuration file: a host chooses another folder where one is left over."""
    row = await host.client.get(vm, "config.files.vmPathName")
    return DatastorePath.parse(row.require("config.files.vmPathName"))


@dataclass(frozen=True, slots=True)
class _Disk:
    """The root disk of a machine to come, and the steps that make it."""

    machine: SpawnPlan
    datacenter: vim25.Datacenter
    manager: vim25.VirtualDiskManager
    file: Callable[[Run], DatastorePath]
    """Its descriptor, once the machine's folder is known."""
    refused: set[Run] = field(default_factory=set)
    """Runs in which somebody else's file had its name."""

    def is_theirs(self, run: Run) -> bool:
        """Whether somebody else's file has its name."""
        return run in self.refused

    def extent(self, run: Run) -> DatastorePath:
        file = self.file(run)
        return file.with_name(f"{file.name.removesuffix('.vmdk')}-flat.vmdk")

    def create(self, entry: Callable[[Run], Spawning]) -> Step[Any]:
        """A thick disk of the image's size, whose extent the image then replaces."""
        spec = vim25.FileBackedVirtualDiskSpec(
            adapterType=self.machine.disk_adapter,
            diskType=vim25.VirtualDiskType.thick,
            capacityKb=self.machine.extent_bytes // 1024,
        )

        async def probe(run: Run) -> bool | None:
            # The folder is ours alone, so the disk is too.
            return await run.host.exists(self.file(run)) or None

        def taken(run: Run, fault: vim25.MethodFault) -> None:
            if isinstance(fault, vim25.FileAlreadyExists):
                self.refused.add(run)
            raise fault

        return Step[Any](
            title=f"create a disk of {self.machine.extent_bytes} bytes (CreateVirtualDisk_Task)",
            call=lambda run: self.manager.CreateVirtualDisk_Task(
                str(self.file(run)), datacenter=self.datacenter, spec=spec
            ),
            probe=probe,
            refused=taken,
            entry=entry,
            method="CreateVirtualDisk_Task",
        )

    def delete_extent(self) -> Step[None]:
        """Hosts keep the descriptor, which names the extent, and take a new file of that name."""
        return Step(
            title="delete its extent (DeleteDatastoreFile_Task)",
            call=lambda run: run.host.delete(self.extent(run)),
            method="DeleteDatastoreFile_Task",
        )

    def fill(
        self, source: ImageSource, image: ImageInfo, on_progress: Progress | None
    ) -> Step[None]:
        """Stream the image into the extent, whole and checked."""

        async def transfer(run: Run) -> None:
            extent = self.extent(run)
            sink = DatastoreSink(run.host.datastore(extent.datastore), extent, pad=1024)
            # Whatever the source calls it, these bytes become an extent: they must be flat.
            flat = replace(image, disk_format="raw")
            given = run.host.uploader
            async with nullcontext(given) if given else Uploader(streams=1) as uploader:
                await uploader.upload(source, sink, flat, on_progress=on_progress)

        return Step(
            title=f"upload {image.size} bytes as its extent (PUT)",
            call=transfer,
            interruptible=True,
        )

    def grow(self) -> Step[Any]:
        """Extend the disk to the size that was asked for."""
        capacity = self.machine.capacity_kb

        async def probe(run: Run) -> bool | None:
            extent = self.extent(run)
            found = await run.host.datastore(extent.datastore).stat(extent)
            return found.size == capacity * 1024 or None

        return Step[Any](
            title=f"extend the disk to {capacity} KiB (ExtendVirtualDisk_Task)",
            call=lambda run: self.manager.ExtendVirtualDisk_Task(
                str(self.file(run)), datacenter=self.datacenter, newCapacityKb=capacity
            ),
            probe=probe,
            method="ExtendVirtualDisk_Task",
        )

    def attach(self, created: Step[vim25.VirtualMachine]) -> Step[Any]:
        """Add controller and disk, and remove the mark of a half-made machine, in one call."""

        async def probe(run: Run) -> bool | None:
            row = await run.host.client.get(run[created], "config.hardware.device")
            files = [
                getattr(device.backing, "fileName", None)
                for device in row.props.get("config.hardware.device") or []
                if isinstance(device, vim25.VirtualDisk)
            ]
            return str(self.file(run)) in files or None

        def call(run: Run) -> Awaitable[Any]:
            disk = root_disk(str(self.file(run)), self.machine.capacity_kb, self.machine.adapter)
            unmark = vim25.OptionValue(key=MAKING_KEY, value="")
            return run[created].ReconfigVM_Task(
                vim25.VirtualMachineConfigSpec(deviceChange=disk, extraConfig=[unmark])
            )

        return Step[Any](
            title="attach the disk (ReconfigVM_Task)",
            call=call,
            probe=probe,
            of=lambda run: run[created],
        )
