"""Make a machine from an image, from a disk on the host, or empty.

Check everything that can be checked, bring the image onto the host if it is to be cached, create the
machine, make its disk (`vimdriver._instances.root` has the ways), attach it, power on, read back. The
order is the one that hosts since ESX 4.1 accept (docs/driver/machines.md); unlike in the original, every
step can be undone.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replaced

from vimdriver._disks import cache
from vimdriver._disks.ensure import DiskWish, ensure_disk, judge
from vimdriver._disks.load import Load
from vimdriver._disks.lookup import stored_disk
from vimdriver._disks.peek import read_hash, read_prefix
from vimdriver._disks.transfer import choose
from vimdriver._images.archive import contents_of
from vimdriver._images.formats import PREFIX
from vimdriver._images.hashing import DEFAULT_ALGORITHM
from vimdriver._images.ranges import needs_ranges
from vimdriver._instances import root as roots
from vimdriver._instances.creating import create_step, read_vmx
from vimdriver._instances.destroy import remove_half_made
from vimdriver._instances.devices import ADAPTERS, limited
from vimdriver._instances.folder import names_of
from vimdriver._instances.further import count_option, further_steps
from vimdriver._instances.image_properties import ImageDefaults, check_least, image_defaults
from vimdriver._instances.machine import find_by_name, find_by_uuid, marks_of, read
from vimdriver._instances.package_defaults import filled, package_defaults
from vimdriver._instances.placement import gather_site
from vimdriver._instances.plan import guest_settings, plan_spawn
from vimdriver._instances.power import power_step
from vimdriver._instances.root import Base, Place, RootDisk
from vimdriver._instances.types import FurtherDisk, Instance, InstanceSpec
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
from vimlib._text import printable
from vimlib.errors import HostStateError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._disks.cache import CacheEntry
    from vimdriver._images.formats import ImageFormat
    from vimdriver._images.formats.survey import Contents
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._instances.placement import Placement, Site
    from vimdriver._instances.plan import SpawnPlan
    from vimdriver._instances.types import Clone
    from vimdriver._verbs.host import Moment
    from vimlib._progress import Progress

log = logging.getLogger("vimdriver.instances")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """The image of a spawn, as far as it is known before anything is made."""

    source: ImageSource | None = None
    """None for a disk on the host, and without an image."""
    info: ImageInfo | None = None
    format: ImageFormat | None = None
    """Where the machine alone gets it; else it is judged when it is fetched into the cache."""
    by_range: bool = False
    """Whether it is read by Range then."""
    base: Base | None = None
    """A disk or ISO image on the host that it is, or is cached as."""
    cached: CacheEntry | None = None
    recalled: bool = False
    """Whether it was cached by an earlier look, and not looked up again."""
    key: str | None = None
    """Its name in the cache; None if it is not cached."""
    package: Contents | None = None
    """Of an OVA."""
    is_iso: bool = False
    clone: Clone = "copy"

    @property
    def is_ready(self) -> bool:
        """Whether nothing is brought onto the host before the machine is created."""
        return self.source is None or self.base is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that a spawn reads before it makes anything."""

    image: FoundImage
    now: Moment
    site: Site
    network: Network | None
    """Only read where a NIC has a VLAN."""
    taken: str | None
    """The uuid or the name, if a machine has it."""

    @property
    def placement(self) -> Placement:
        """See `Site.placement`."""
        return self.site.placement


@verb
async def spawn(
    host: Host,
    spec: InstanceSpec,
    *,
    source: ImageSource | None = None,
    on_progress: Progress | None = None,
    on_ignored: Callable[[str], None] | None = None,
) -> Plan[Instance]:
    """Make a machine, and return it as the host shows it.

    The image comes from `source`, as with the token of a request; None finds `spec.image` in the
    driver's store, or on the host. `on_progress` is called with the bytes of the image that have just
    left, `on_ignored` with each property of the image that has no effect here, as `hw_rng_model=virtio`;
    without it they are logged. Cancelling undoes all but an image that is in the cache by then:
    calls that have been sent run to their end first, then machine and files are removed,
    for at most `DriverConfig.cleanup_seconds`. After a kill, `ESXDriver.sweep` does it.

    Raises:
        JournalError: The first step could not be written down; nothing was made.
        ImageError: The image cannot be used; nothing was made.
        NotFoundError: A disk on the host does not exist; nothing was made.
        NetworkNotFoundError: A port group does not exist; nothing was made.
        InstanceExistsError: A machine with that uuid or name exists; nothing was made.
        NoSpaceError: The datastore has too little free space; nothing was made.
        HostReadOnlyError: The host's licence forbids writes.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    if source is None and spec.image is not None and not spec.image.startswith("["):
        if host.images is None:
            raise UsageError(
                "spawn needs an image source or an image store",
                hint="Give source=, or use ESXDriver(client, images).",
            )
        source = host.images.image(spec.image)
    found = await _gather(host, spec, source)
    return _plan(host, spec, found, on_progress, on_ignored)


async def _gather(host: Host, spec: InstanceSpec, source: ImageSource | None) -> Gathered:
    """Read all that the plan needs. Makes nothing; cancelling loses nothing."""
    info = await source.info() if source is not None else None
    vlans = [card.network for card in spec.nics if card.vlan is not None]
    now = await host.about_now()
    site = await gather_site(host, spec.datastore)
    taken = spec.uuid if await find_by_uuid(host.client, spec.uuid) is not None else None
    network = await gather_network(host, *vlans) if vlans else None
    image = await _image(host, spec, source, info, now)
    # Where the machine is made first, the call that makes it refuses a name that is taken.
    if taken is None and (host.dry or vlans or not image.is_ready):
        taken = spec.name if await find_by_name(host.client, spec.name) is not None else None
    return Gathered(now=now, site=site, network=network, taken=taken, image=image)


async def _image(
    host: Host,
    spec: InstanceSpec,
    source: ImageSource | None,
    info: ImageInfo | None,
    now: Moment,
) -> FoundImage:
    """Return the gathered facts of the image. Cancelling closes its body.

    Raises:
        ImageError: The image is refused, or its source failed.
        NotFoundError: The disk on the host does not exist.
    """
    if spec.image is not None and source is None:
        path = DatastorePath.parse(spec.image)
        if path.suffix.lower() not in (".vmdk", ".iso"):
            raise UsageError(
                f"an image on the host must be a .vmdk or an .iso, got {path}", field="image"
            )
        there = await stored_disk(host, path)
        base = Base(path=path, capacity=there.capacity)
        return FoundImage(base=base, is_iso=base.is_iso, clone=spec.clone or "copy")
    if source is None or info is None:
        return FoundImage()
    wished = image_defaults(info, api_version=host.client.api_version).linked
    clone: Clone = spec.clone or ("linked" if wished else "copy")
    key = cache.cache_key(info) if clone != "none" else None
    image: ImageFormat | None = None
    by_range = False
    package: Contents | None = None
    packed = info.container_format in ("ova", "compressed")
    if key is None or info.disk_format is None or packed:
        # A file or URL of somebody's may be anything, and allocating its disk takes minutes.
        head = await read_prefix(source, info, PREFIX)
        image = judge(info, head)
        if image.kind == "ova":
            package = await contents_of(source, info, image, head)
            image = image.with_disk(package.disks[0].inside)
        by_range = key is None and await needs_ranges(source, image, head)
    is_iso = info.disk_format == "iso"
    if image is not None and info.disk_format is None:
        is_iso = image.kind == "iso"
    if is_iso and key is None:
        # Machines share it, and it outlives them, so that it needs a name of its own.
        if cache.cache_key(info) is None:
            digest = await read_hash(source, info, DEFAULT_ALGORITHM)
            info = replace(info, hash_algo=DEFAULT_ALGORITHM, hash_value=digest)
        key = cache.cache_key(info)
    cached, recalled = None, False
    if key is not None:
        cached = cache.known(host, spec.datastore, key, now.host)
        recalled = cached is not None
        cached = cached or await cache.look_up(host, spec.datastore, key)
    return FoundImage(
        source=source,
        info=info,
        format=image,
        by_range=by_range,
        base=None if cached is None else Base(path=cached.path, capacity=cached.capacity),
        cached=cached,
        recalled=recalled,
        key=key,
        package=package,
        is_iso=is_iso,
        clone=clone,
    )


def _plan(
    host: Host,
    spec: InstanceSpec,
    found: Gathered,
    on_progress: Progress | None,
    on_ignored: Callable[[str], None] | None,
) -> Plan[Instance]:
    """Check the gathered values, then return the steps. Pure, except that `on_ignored` is called."""
    defaults = _defaults(host, found)
    spec = filled(spec, defaults)
    if found.image.info is not None:
        check_least(found.image.info, spec, spec.shown)
    disks = (*map(FurtherDisk.of, spec.disks), *defaults.disks)
    entry = _entry(host, spec)

    def planned(making: str) -> SpawnPlan:
        return plan_spawn(
            spec,
            defaults,
            host.config,
            api_version=host.client.api_version,
            token=entry.token,
            making=making,
        )

    root = _root(host, spec, planned(""), found, on_progress)
    if not root.half_made and (disks or spec.serial_log or spec.config_drive is not None):
        root = roots.attached_later(root)
    root.needed += sum(disk.needed for disk in spec.disks)
    machine = planned(stamp(found.now) if root.half_made else "")
    if defaults.disks:
        machine.config.extraConfig = [*(machine.config.extraConfig or ()), count_option(disks)]
    first = limited(root.devices, spec.hardware.disk)
    machine.config.deviceChange = [*(machine.config.deviceChange or ()), *first]
    _check(spec, root, found)
    _report(spec, defaults, on_ignored)

    async def undo(run: Run, vm: vim25.VirtualMachine) -> str:
        vmx = run.get(located)
        path = None if vmx is None or run in root.theirs else place.file(run)
        removed = await remove_half_made(run.host, vm, vmx, path, token=entry.token)
        return f"{vmx.parent}, with {names_of(removed.left)}" if vmx and removed.left else ""

    created = create_step(host, machine.config, found.placement, undo, entry)
    located = Step[DatastorePath](
        title="read which folder the host gave it",
        call=lambda run: read_vmx(run.host, run[created]),
    )
    place = Place(
        created=created,
        file=lambda run: run[located].with_name(f"{run[located].name.removesuffix('.vmx')}.vmdk"),
        # Once the machine is gone, nothing on the host shows that the folder was ours.
        entry=lambda run: replaced(entry, folder=str(run[located].parent)),
        limits=spec.hardware.disk,
    )
    made, kept = _network_steps(host, spec, found.network, entry.token)
    further = further_steps(
        spec, disks, created, lambda run: run[located], _brought(spec, found.image)
    )
    steps: list[Step[Any]] = [*made, *root.before, created]
    if root.half_made:
        steps += [located, *further, *root.after(place)]
    steps += _mac_steps(host, spec, created)
    if spec.power_on:
        steps.append(power_step(lambda run: run[created], vim25.VirtualMachinePowerState.poweredOn))
    steps += kept

    async def result(run: Run) -> Instance:
        return await read(run.host.client, run[created])

    return Plan(
        f"spawn {spec.name}",
        tuple(steps),
        result,
        explain=_explain(spec, root, machine),
        stale=lambda error: _forget_stale(host, spec, found.image, error),
    )


def _entry(host: Host, spec: InstanceSpec) -> Spawning:
    """Return what the journal keeps of a spawn."""
    return Spawning(
        host=host.client.host,
        owner=host.owner,
        uuid=spec.uuid,
        name=spec.name,
        power_on=spec.power_on,
    )


def _forget_stale(host: Host, spec: InstanceSpec, image: FoundImage, error: VimlibError) -> bool:
    """Return whether an entry of the cache was remembered that is gone; it is forgotten then."""
    if not image.recalled or not isinstance(error, vim25.FileNotFound):
        return False
    cache.forget(host, spec.datastore, image.key or "")
    return True


def _defaults(host: Host, found: Gathered) -> ImageDefaults:
    """Return what the image states about its machine. Pure."""
    info, version = found.image.info, host.client.api_version
    defaults = ImageDefaults() if info is None else image_defaults(info, api_version=version)
    package = found.image.package
    if package is None:
        return defaults
    return package_defaults(defaults, package, found.site.networks, api_version=version)


def _report(
    spec: InstanceSpec, defaults: ImageDefaults, on_ignored: Callable[[str], None] | None
) -> None:
    for ignored in defaults.ignored:
        text = printable(ignored, 200)
        if on_ignored is not None:
            on_ignored(text)
        else:
            log.warning("%s: the image's property %s has no effect", spec.name, text)


def _brought(
    spec: InstanceSpec, image: FoundImage
) -> Callable[[Run, DatastorePath, FurtherDisk], Awaitable[Any]]:
    """Return the function that makes a disk of an OVA at a path where only its machine has files."""

    async def bring(run: Run, path: DatastorePath, disk: FurtherDisk) -> None:
        assert image.source is not None, "an OVA comes from a source"
        wish = DiskWish(
            target=path,
            disk=disk.number or 0,
            transfer=spec.transfer,
            by_content=True,
            adapter=disk.adapter if disk.adapter in ADAPTERS else "lsiLogic",
        )
        await ensure_disk(run.host, image.source, wish)

    return bring


def _root(
    host: Host,
    spec: InstanceSpec,
    machine: SpawnPlan,
    found: Gathered,
    on_progress: Progress | None,
) -> RootDisk:
    """Return how the machine gets its disk. Pure.

    Raises:
        ImageUnacceptableError: The image is larger than the disk.
        UsageError: The options do not fit the image.
    """
    image = found.image
    before: list[Step[Any]] = []
    base, fetch = image.base, None
    if image.cached is not None:
        before.append(roots.used_step(image.cached, found.now.host))
    elif image.key is not None:
        assert image.source is not None, "only an image from a source is cached"
        assert image.info is not None, "its properties were read"
        base, fetch = roots.fetched(
            host,
            spec,
            image.source,
            image.info,
            image.key,
            is_iso=image.is_iso,
            on_progress=on_progress,
        )
        before.append(fetch)
    if base is None:
        if image.source is None:
            return roots.blank(spec, machine)
        return _own_root(host, spec, machine, found, on_progress)
    if image.is_iso:
        root = roots.from_iso(spec, machine, base.path)
    elif image.clone == "linked":
        root = roots.linked(spec, machine, base)
    elif image.clone == "none":
        root = roots.existing(spec, machine, base)
    else:
        root = roots.copied(host, spec, machine, found.placement, base, image.info, fetch)
    root.before = before
    return root


def _own_root(
    host: Host,
    spec: InstanceSpec,
    machine: SpawnPlan,
    found: Gathered,
    on_progress: Progress | None,
) -> RootDisk:
    """Return the root that an image is brought into for this machine alone."""
    image = found.image
    assert image.source is not None, "it comes from a source"
    assert image.info is not None, "its properties were read"
    assert image.format is not None, "and was judged"
    load = Load(
        source=image.source,
        info=image.info,
        image=image.format,
        by_range=image.by_range,
        on_progress=on_progress,
    )
    way = choose(image.format, spec.transfer)
    if way.transfer == "put":
        return roots.uploaded(host, spec, machine, found.placement, load, way)
    if way.transfer == "sparse":
        return roots.converted(host, spec, machine, found.placement, load, way)
    return roots.imported(host, spec, machine, found.placement, load, way, found.now)


def _check(spec: InstanceSpec, root: RootDisk, found: Gathered) -> None:
    """Refuse what cannot be made on this host; see `spawn`."""
    for card in spec.nics:
        if card.vlan is None and card.network not in found.site.networks:
            raise NetworkNotFoundError(name=card.network, known=sorted(found.site.networks))
    if found.taken is not None:
        raise InstanceExistsError(name=found.taken)
    free = found.site.free
    if free < root.needed:
        raise NoSpaceError(datastore=spec.datastore, needed=root.needed, free=free)


def _explain(
    spec: InstanceSpec, root: RootDisk, machine: SpawnPlan
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
        return NoSpaceError(datastore=spec.datastore, needed=root.needed, free=free)

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
