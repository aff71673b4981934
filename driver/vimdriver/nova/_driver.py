"""Nova's `ComputeDriver` over `ESXDriver`. A method names its steps; other modules do them.

Methods that are not here raise nova's own `NotImplementedError`, which its manager and API know.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import nova.conf
import os_traits
from nova import context as nova_context
from nova import exception, objects
from nova.api.metadata import base as instance_metadata
from nova.compute import task_states
from nova.console import type as console_type
from nova.image import glance
from nova.virt import configdrive, event, hardware
from nova.virt import node as local_node

from vimdriver._config import DriverConfig
from vimdriver._disks.cache import prune_cache
from vimdriver._host import check_identities
from vimdriver._instances.config_drive import ConfigDrive
from vimdriver.errors import InstanceStateError, PendingChangeError
from vimdriver.nova import _diagnostics as diagnostics
from vimdriver.nova import _map as mapped
from vimdriver.nova import _resources as resources
from vimdriver.nova._access import HostAccess
from vimdriver.nova._disks import cached_disk
from vimdriver.nova._events import HostAway, HostBack, PowerMoved, Report
from vimdriver.nova._faults import state_number, translated_build
from vimdriver.nova._hosts import Hosts, Node, configured, management_address
from vimdriver.nova._service_user import service_tokens
from vimdriver.nova._snapshots import SnapshotImage
from vimlib.errors import NotFoundError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vimdriver._driver import ESXDriver
    from vimdriver._host import DatastoreInfo
    from vimdriver._images import Glance
    from vimdriver._instances.types import Instance

T = TypeVar("T")

CONF = nova.conf.CONF
log = logging.getLogger("vimdriver.nova")

# Nova's own prefix: a service that an operator has disabled, with another reason, stays disabled.
_AUTO: Final = "AUTO: "
_KINDS: Final = ("raw", "vmdk")


class ESXNovaDriver(HostAccess):
    """Runs nova's machines on standalone ESX hosts."""

    capabilities: Final = {
        **HostAccess.capabilities,
        "has_imagecache": True,
        "supports_attach_interface": True,
        "supports_evacuate": True,
        "supports_migrate_to_same_host": True,
        **{f"supports_image_type_{kind}": True for kind in _KINDS},
    }

    def __init__(self, virtapi: Any) -> None:
        super().__init__(virtapi)
        self._compute_id: str | None = None
        # Nova's reactions to reports call the conductor, which the loop must not wait for.
        self._reports: ThreadPoolExecutor | None = None
        # Hosts that have no datastore for machines, and are disabled for that.
        self._without_datastore: set[str] = set()

    # -- the service ---------------------------------------------------------------------------

    def init_host(self, host: str) -> None:
        """Read the configuration, and begin to connect. A host that is away does not end the service.

        Raises:
            InvalidConfiguration: An option is missing or wrong, or a host has no identity.
        """
        if self._hosts is not None:
            return
        self._closed = False
        try:
            settings = configured(self._options, host)
            resources.datastore_pattern(self._options.datastore_regex)
            config = DriverConfig(
                owner=self._options.owner or f"nova-{host}",
                concurrency=self._options.concurrency,
            )
        except UsageError as error:
            raise exception.InvalidConfiguration(mapped.reason(error)) from error
        self._reports = ThreadPoolExecutor(1, thread_name_prefix="esx-reports")
        self._hosts = Hosts(
            settings,
            config,
            Path(CONF.state_path),
            report=self._reported,
            glance_ca=CONF.glance.cafile,
        )
        self._hosts.start()
        nodes = self._hosts.nodes.values()
        for node in nodes:
            self._identify(node)
        try:
            check_identities(node.known for node in nodes if node.known is not None)
        except VimlibError as error:
            if len(nodes) > 1:
                self.cleanup_host(host)
                raise exception.InvalidConfiguration(mapped.reason(error)) from error

    def cleanup_host(self, host: str) -> None:
        """Log out of the hosts, and end all threads. A build that still runs is undone first.

        Nova may go on with such a build: the driver then raises `VirtDriverNotReady`.
        """
        self._closed = True
        if self._hosts is not None:
            self._hosts.close()
        if self._reports is not None:
            self._reports.shutdown(wait=True)
        self._hosts = self._reports = None

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the names of the hosts, those that are away too."""
        return list(self._all().nodes)

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Return the hosts by UUID: that of `compute_id` for one host, by hardware for several."""
        nodes = self._all().nodes
        if len(nodes) == 1:
            if self._compute_id is None:
                self._identify(next(iter(nodes.values())))
            if self._compute_id is None:
                raise exception.VirtDriverNotReady
            return {self._compute_id: next(iter(nodes))}
        found = {}
        for node in nodes.values():
            with suppress(VimlibError):
                found[self._all().wait(node.identity()).uuid] = node.name
        if not found:
            raise exception.VirtDriverNotReady
        return found

    def is_node_deleted(self, nodename: str) -> bool:
        """Return whether a host is no longer configured; one that is away stays."""
        return nodename not in self._all().nodes

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Return the resources of the host, in nova's terms."""
        node = self._node(nodename)
        found = self._ask(node, lambda esx: esx.host_capacity())
        uuid = found.identity.uuid if len(self._all().nodes) > 1 else self._compute_id
        self._offer(node.name, found.datastores)
        stores = resources.usable(found.datastores, self._pattern)
        return resources.available(found, stores, nodename=node.name, uuid=uuid)

    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        """Write inventory and traits of the host into placement's tree."""
        found = self._ask(self._node(nodename), lambda esx: esx.host_capacity())
        ratios = self._get_allocation_ratios(provider_tree.data(nodename).inventory)
        inventory = resources.inventory(
            found,
            resources.usable(found.datastores, self._pattern),
            ratios=ratios,
            reserved=resources.Reserved(
                cpus=CONF.reserved_host_cpus,
                memory_mb=CONF.reserved_host_memory_mb,
                disk_gb=-(-CONF.reserved_host_disk_mb // 1024),
            ),
        )
        provider_tree.update_inventory(nodename, inventory)
        known = os_traits.get_traits("HW_CPU_X86_")
        provider_tree.add_traits(nodename, *resources.traits(found.cpu.features, known))

    def get_host_ip_addr(self) -> str:
        """Return the address of the host's management network."""
        return self._ask(self._only(), management_address)

    def get_host_uptime(self) -> str:
        """Return how long the host has been up."""
        info = self._ask(self._only(), lambda esx: esx.host_info())
        days, rest = divmod(info.uptime, 86400)
        return f"up {days} days, {rest // 3600:02}:{rest % 3600 // 60:02}"

    def manage_image_cache(self, context: Any, all_instances: Any) -> None:
        """Remove images that no machine was made from for as long as nova keeps unused ones."""
        if not CONF.image_cache.remove_unused_base_images:
            return
        age = CONF.image_cache.remove_unused_original_minimum_age_seconds

        async def prune(esx: ESXDriver) -> None:
            for store in resources.usable(await esx.datastores(), self._pattern):
                await prune_cache(esx.host(), store.name, older_than=age)

        for node in self._all().nodes.values():
            self._ask(node, prune)

    def host_maintenance_mode(self, host: str, mode: bool) -> str:
        """Put the host into maintenance mode, while no machine runs on it, or out of it."""
        if mode:
            self._ask(self._only(), lambda esx: esx.enter_maintenance())
            return "on_maintenance"
        self._ask(self._only(), lambda esx: esx.exit_maintenance())
        return "off_maintenance"

    def host_power_action(self, action: str) -> str:
        """Reboot the host, or shut it down; it must be in maintenance mode."""
        if action not in ("reboot", "shutdown"):
            raise NotImplementedError("an ESX host that is off cannot be started by its own API")

        async def act(esx: ESXDriver) -> str:
            take_down = esx.reboot_host if action == "reboot" else esx.shutdown_host
            return (await take_down((await esx.host_info()).name)).requested

        return self._ask(self._only(), act)

    def set_host_enabled(self, enabled: bool) -> str:
        """Enable or disable this service for the scheduler, as an operator asks."""
        self._set_service(enabled, "disabled by set_host_enabled", operator=True)
        return "enabled" if enabled else "disabled"

    # -- machines ------------------------------------------------------------------------------

    def list_instances(self) -> list[str]:
        """Return the names of our machines; those of others are not nova's."""
        return [one.name for one in self._instances()]

    def list_instance_uuids(self) -> list[str]:
        """Return the UUIDs of our machines."""
        return [one.uuid for one in self._instances()]

    def get_num_instances(self) -> int:
        """Return the number of our machines."""
        return len(self._instances())

    def instance_exists(self, instance: Any) -> bool:
        """Return whether the host has the machine."""
        try:
            self.get_info(instance, use_cache=False)
        except exception.InstanceNotFound:
            return False
        return True

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """Return a machine's power state; with `use_cache` as the watch of the host has it."""
        node = self._node(instance.node)
        if use_cache and (known := node.states.state(instance.uuid)) is not None:
            return _info(mapped.state_name(known))
        found = self._on(instance, lambda esx: esx.info(instance.uuid))
        return _info(mapped.state_of(found))

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        """Make a machine from its image, which is read with the request's own token."""
        image = image_meta.id if image_meta.obj_attr_is_set("id") else instance.image_ref
        with translated_build(instance, image):
            mapped.refuse_volumes(block_device_info)
            node = self._node(instance.node)
            store = self._run(node, self._datastore, context)
            spec = mapped.spec_of(
                instance,
                image_meta.properties,
                image=image,
                datastore=store,
                nics=mapped.nics_of(
                    network_info, self._rules, mapped.nic_model(image_meta.properties)
                ),
                disks=mapped.further_disks(instance, block_device_info),
                config_drive=self._drive(instance, injected_files, admin_password, network_info),
                power_on=power_on,
                cores=_cores(instance, image_meta),
            )
            source = self._glance(context).image(image)

            async def make(esx: ESXDriver) -> Instance:
                async with node.transfers:
                    with node.states.building(instance.uuid):
                        return await esx.spawn(spec, source=source)

            self._run(node, make, context)

    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove a machine, with its files unless they are kept. A missing one is not an error."""
        if getattr(instance, "task_state", None) == task_states.RESIZE_REVERTING:
            # Nova removes the resized machine before it reverts to the former; ours is one machine.
            return
        self._on(
            instance,
            lambda esx: esx.destroy(instance.uuid, keep_files=not destroy_disks),
            context,
        )

    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        """Remove the machine that a failed build has left, if there is one."""
        self.destroy(context, instance, network_info, block_device_info, destroy_disks)

    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Power a machine on; a running one stays as it is."""
        self._on(instance, lambda esx: esx.power_on(instance.uuid), context)

    def power_off(self, instance: Any, timeout: int = 0, retry_interval: int = 0) -> None:
        """Power a machine off: by its guest within `timeout` seconds, else at once."""
        self._on(instance, lambda esx: _off(esx, instance.uuid, timeout))

    def soft_delete(self, instance: Any) -> None:
        """Power a machine off and keep it."""
        self.power_off(instance)

    def restore(self, instance: Any) -> None:
        """Power a soft-deleted machine on again."""
        self.power_on(None, instance, None)

    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Reboot by the guest for SOFT where its tools run, else by a reset; power on if it is off."""

        async def again(esx: ESXDriver) -> None:
            try:
                await esx.reboot(instance.uuid, soft=reboot_type == "SOFT", force=True)
            except InstanceStateError:
                if reboot_type == "SOFT":
                    raise
                await esx.power_on(instance.uuid)

        self._on(instance, again, context, states=exception.InstanceRebootFailure)

    def trigger_crash_dump(self, instance: Any) -> None:
        """Send a machine a non-maskable interrupt; its guest decides whether it writes a dump."""
        self._on(instance, lambda esx: esx.send_nmi(instance.uuid))

    def suspend(self, context: Any, instance: Any) -> None:
        """Suspend a machine to disk."""
        self._on(
            instance,
            lambda esx: esx.suspend(instance.uuid),
            context,
            states=exception.InstanceSuspendFailure,
        )

    def resume(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        share_info: Any = None,
    ) -> None:
        """Resume a suspended machine; a running one stays as it is."""
        self._on(
            instance,
            lambda esx: esx.power_on(instance.uuid),
            context,
            states=exception.InstanceResumeFailure,
        )

    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any,
        block_device_info: Any = None,
    ) -> None:
        """Power a machine on after its host has booted, unless it runs or is suspended."""

        async def again(esx: ESXDriver) -> None:
            if (await esx.info(instance.uuid)).power_state == "poweredOff":
                await esx.power_on(instance.uuid)

        self._on(instance, again, context)

    def poll_rebooting_instances(self, timeout: int, instances: Any) -> None:
        """Do nothing: a reboot of ours ends when the host has accepted it."""

    def attach_interface(self, context: Any, instance: Any, image_meta: Any, vif: Any) -> None:
        """Add a network card to a machine; nova then calls `inject_network_info`."""

        async def attach(esx: ESXDriver) -> None:
            card = mapped.nic_of(vif, self._rules, mapped.nic_model(image_meta.properties))
            if card.vlan is not None:
                await esx.ensure_vlan(card.network, card.vlan, interface=card.interface)
            await esx.attach_interface(
                instance.uuid, card.network, model=card.model or "e1000", mac=card.mac
            )

        self._on(instance, attach, context)

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        """Remove a network card from a machine."""
        mac = str(vif["address"]).lower()
        self._on(instance, lambda esx: esx.detach_interface(instance.uuid, mac), context)

    def inject_network_info(self, instance: Any, nw_info: Any) -> None:
        """Write the addresses of all of a machine's ports for the guest's helper."""

        async def write(esx: ESXDriver) -> None:
            cards = mapped.nics_of(nw_info, self._rules, "e1000")
            config = mapped.guest_config_of(instance, cards)
            if config is not None:
                await esx.set_guest_info(instance.uuid, config)

        self._on(instance, write)

    # -- other sizes ---------------------------------------------------------------------------

    def migrate_disk_and_power_off(
        self,
        context: Any,
        instance: Any,
        dest: str,
        flavor: Any,
        network_info: Any,
        block_device_info: Any = None,
        timeout: int = 0,
        retry_interval: int = 0,
    ) -> str:
        """Resize a machine on this host; its former root disk is kept until nova confirms.

        Raises:
            InstanceFaultRollback: The disk would shrink, or another value is not valid.
        """
        if dest != self.get_host_ip_addr():
            raise NotImplementedError("cold migration is not supported by the ESX driver yet")
        mapped.refuse_volumes(block_device_info)
        before = instance.flavor
        disk = flavor.root_gb if flavor.root_gb != before.root_gb else None

        async def resize(esx: ESXDriver) -> None:
            if disk == 0:
                raise UsageError("the root disk must not shrink, got a flavor with a disk of 0 GiB")
            await _off(esx, instance.uuid, timeout)
            await esx.resize(
                instance.uuid, cpus=flavor.vcpus, memory_mb=flavor.memory_mb, disk_gb=disk
            )

        try:
            self._on(instance, resize, context)
        except exception.NovaException as error:
            raise exception.InstanceFaultRollback(
                exception.ResizeError(reason=error.format_message())
            ) from error
        return ""

    def finish_migration(
        self,
        context: Any,
        migration: Any,
        instance: Any,
        disk_info: Any,
        network_info: Any,
        image_meta: Any,
        resize_instance: bool,
        allocations: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        """Power a resized machine on."""
        if power_on:
            self.power_on(context, instance, network_info)

    def confirm_migration(
        self, context: Any, migration: Any, instance: Any, network_info: Any
    ) -> None:
        """Delete the former root disk of a resized machine."""
        self._on(instance, lambda esx: esx.confirm_resize(instance.uuid), context)

    def finish_revert_migration(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        migration: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        """Give a machine its former size and root disk again."""

        async def revert(esx: ESXDriver) -> None:
            await esx.power_off(instance.uuid)
            await esx.revert_resize(instance.uuid)
            if power_on:
                await esx.power_on(instance.uuid)

        self._on(instance, revert, context)

    # -- rescue --------------------------------------------------------------------------------

    def rescue(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        image_meta: Any,
        rescue_password: str,
        block_device_info: Any,
        share_info: Any,
    ) -> None:
        """Boot a machine from a copy of an image, which the cache has; its own disk stays attached."""
        image = image_meta.id if image_meta.obj_attr_is_set("id") else instance.image_ref
        source = self._glance(context).image(image)

        async def rescue(esx: ESXDriver) -> None:
            async with self._node(instance.node).transfers:
                disk = await cached_disk(esx, source, await self._datastore(esx))
            await esx.power_off(instance.uuid)
            await esx.rescue(instance.uuid, disk)
            await esx.power_on(instance.uuid)

        self._on(instance, rescue, context)

    def unrescue(self, context: Any, instance: Any) -> None:
        """Boot a machine from its own disk again; one that is not in rescue is only powered on."""

        async def unrescue(esx: ESXDriver) -> None:
            await esx.power_off(instance.uuid)
            try:
                await esx.unrescue(instance.uuid)
            except PendingChangeError as error:
                if error.pending:
                    raise
            await esx.power_on(instance.uuid)

        self._on(instance, unrescue, context)

    # -- images of machines --------------------------------------------------------------------

    def snapshot(
        self, context: Any, instance: Any, image_id: str, update_task_state: Callable[..., None]
    ) -> None:
        """Fill the image that nova has made with a machine's root disk, running or not.

        The image is deleted if that fails. Nova cannot cancel it.

        Raises:
            InstanceNotRunning: The machine does not exist.
            ImageNotFound: The image does not exist.
        """
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        begin = partial(
            update_task_state,
            task_state=task_states.IMAGE_UPLOADING,
            expected_state=task_states.IMAGE_PENDING_UPLOAD,
        )
        target = SnapshotImage(self._glance(context), image_id, begin)
        properties = mapped.snapshot_properties(instance)

        async def capture(esx: ESXDriver) -> None:
            async with self._node(instance.node).transfers:
                await esx.capture(instance.uuid, image_id, target=target, properties=properties)

        try:
            self._on(instance, capture, context)
        except exception.InstanceNotFound as error:
            raise exception.InstanceNotRunning(instance_id=instance.uuid) from error

    # -- looking at machines -------------------------------------------------------------------

    def get_mks_console(self, context: Any, instance: Any) -> Any:
        """Return a ticket for one connection to a running machine's console."""
        found = self._on(
            instance,
            lambda esx: esx.console(instance.uuid),
            context,
            states=lambda **_: exception.InstanceNotReady(instance_id=instance.uuid),
        )
        access = {
            "ticket": found.ticket.reveal(),
            "cfgFile": "",
            "thumbprint": found.thumbprint.replace(":", "").lower(),
            "kind": found.kind,
        }
        return console_type.ConsoleMKS(found.host, found.port, json.dumps(access))

    def get_console_output(self, context: Any, instance: Any) -> str:
        """Return the end of the log of a machine's serial port."""
        return self._on(instance, lambda esx: esx.console_log(instance.uuid), context).text

    def get_diagnostics(self, instance: Any) -> dict[str, Any]:
        """Return all figures of a machine as last measured, and what its guest reports of its network."""

        async def read(esx: ESXDriver) -> dict[str, Any]:
            figures = await esx.diagnostics(instance.uuid)
            guest = await esx.guest_network(instance.uuid)
            return diagnostics.all_of(figures, guest)

        return self._on(instance, read)

    def get_instance_diagnostics(self, instance: Any) -> Any:
        """Return a machine's figures in nova's form."""
        found = self._on(instance, lambda esx: esx.diagnostics(instance.uuid))
        return diagnostics.shown(found, config_drive=configdrive.required_by(instance))

    def get_instance_disk_info(self, instance: Any, block_device_info: Any = None) -> str:
        """Return a machine's disks, as JSON."""
        found = self._on(instance, lambda esx: esx.diagnostics(instance.uuid))
        return json.dumps(diagnostics.disks(found))

    # -- inside --------------------------------------------------------------------------------

    @property
    def _pattern(self) -> Any:
        return resources.datastore_pattern(self._options.datastore_regex)

    @property
    def _rules(self) -> mapped.NetworkRules:
        values = self._options
        return mapped.NetworkRules(
            values.port_groups, values.uplinks, values.vlan_interface, values.allow_unfiltered
        )

    async def _datastore(self, esx: ESXDriver) -> str:
        """Return the datastore that takes the next machine."""
        return resources.emptiest(await esx.datastores(), self._pattern).name

    def _glance(self, context: Any) -> Glance:
        url = next(glance.get_api_servers(context))
        return self._all().glance(url, context.auth_token, service_tokens(url))

    def _drive(
        self, instance: Any, files: Any, password: Any, network_info: Any
    ) -> ConfigDrive | None:
        """Return the config drive of a machine: there is no metadata service on a host."""
        if not (self._options.config_drive or configdrive.required_by(instance)):
            return None
        metadata = instance_metadata.InstanceMetadata(
            instance,
            content=files,
            extra_md={"admin_pass": password} if password else {},
            network_info=network_info,
        )
        return ConfigDrive(
            files=tuple(
                (path, data if isinstance(data, bytes) else data.encode())
                for path, data in metadata.metadata_for_config_drive()
            )
        )

    def _identify(self, node: Node) -> None:
        """Give a new service the identity of its host, and refuse one that cannot have any."""
        self._compute_id = local_node.read_local_node_uuid()
        if self._compute_id is not None and len(self._all().nodes) == 1:
            return
        try:
            uuid = self._all().wait(node.identity()).uuid
        except VimlibError as error:
            if isinstance(error, UsageError) or mapped.meaning(error).kind == "identity":
                self.cleanup_host(CONF.host)
                raise exception.InvalidConfiguration(f"{node.name}: {error}") from error
            log.warning("host %s is away: %s", node.name, mapped.reason(error))
            return
        if self._compute_id is None:
            local_node.write_local_node_uuid(uuid)
            self._compute_id = uuid

    def _reported(self, report: Report) -> None:
        """Hand a report to the thread that may wait for nova. In the loop."""
        if self._reports is not None:
            self._reports.submit(self._react, report).add_done_callback(_logged)

    def _react(self, report: Report) -> None:
        match report:
            case PowerMoved(uuid, transition):
                number = getattr(event, f"EVENT_LIFECYCLE_{transition}")
                self.emit_event(event.LifecycleEvent(uuid, number))
            case HostAway(node, why):
                log.warning("host %s is away: %s", node, why)
                self._set_node(node, False, f"{_AUTO}{why}")
            case HostBack(node):
                log.info("host %s answers", node)
                if node not in self._without_datastore:
                    self._set_node(node, True, "")

    def _offer(self, node: str, datastores: Iterable[DatastoreInfo]) -> None:
        """Disable a host while it has no datastore for machines: placement shows no reason."""
        try:
            resources.emptiest(datastores, self._pattern)
        except NotFoundError as error:
            self._without_datastore.add(node)
            self._set_node(node, False, f"{_AUTO}{mapped.reason(error)}")
            return
        if node in self._without_datastore:
            self._without_datastore.discard(node)
            self._set_node(node, True, "")

    def _set_node(self, node: str, enabled: bool, why: str) -> None:
        """Enable or disable a host: by the service, or one of several by its resource provider."""
        if self._hosts is not None and len(self._hosts.nodes) == 1:
            self._set_service(enabled, why)
            return
        admin = nova_context.get_admin_context()
        with suppress(exception.ComputeHostNotFound):
            found = objects.ComputeNode.get_by_host_and_nodename(admin, CONF.host, node)
            self.virtapi.update_compute_provider_status(admin, found.uuid, enabled=enabled)

    def _set_service(self, enabled: bool, why: str, *, operator: bool = False) -> None:
        """Set or clear `service.disabled`; where another operator set it, only an operator clears it."""
        admin = nova_context.get_admin_context()
        try:
            service = objects.Service.get_by_compute_host(admin, CONF.host)
        except exception.ComputeHostNotFound:
            return  # the first start: nova registers the service later
        ours = (service.disabled_reason or "").startswith(_AUTO)
        if service.disabled and not (ours or (operator and enabled)):
            return
        moved, shown = service.disabled is enabled, None if enabled else why[:255]
        if not moved and service.disabled_reason == shown:
            return
        service.disabled, service.disabled_reason = not enabled, shown
        service.save()
        if not moved:
            return  # a later reason: an operator reads the present one
        with suppress(exception.ComputeHostNotFound):
            for found in objects.ComputeNodeList.get_all_by_host(admin, CONF.host):
                self.virtapi.update_compute_provider_status(admin, found.uuid, enabled=enabled)


def _cores(instance: Any, image_meta: Any) -> int:
    """Return the cores of a socket that flavor and image ask for, as nova's rules choose them."""
    topology = hardware.get_best_cpu_topology(instance.flavor, image_meta, allow_threads=False)
    return int(topology.cores)


def _info(name: str) -> Any:
    return hardware.InstanceInfo(state=state_number(name))


def _logged(done: Future[None]) -> None:
    if (error := done.exception()) is not None:
        log.error("nova failed to handle a report of a host", exc_info=error)


async def _off(esx: ESXDriver, uuid: str, timeout: float) -> None:
    if timeout > 0:
        await esx.shutdown(uuid, timeout=timeout, force=True)
    else:
        await esx.power_off(uuid)
