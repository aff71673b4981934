"""Operations that a standalone host, or this driver, does not have: each raises `NotImplementedError`."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from nova.virt import driver

from vimdriver.nova._map import NO_VOLUMES

_NO_PAUSE: Final = "ESX hosts cannot pause a machine; suspend it instead"
_NO_LIVE_MIGRATION: Final = "live migration needs a vCenter; the ESX driver has none"


class Refusals(driver.ComputeDriver):  # type: ignore[misc]  # nova has no annotations
    """Nova's base of a driver, whose refusals say why."""

    def pause(self, instance: Any) -> NoReturn:
        """Refuse: the API of the host has no such operation."""
        raise NotImplementedError(_NO_PAUSE)

    def unpause(self, instance: Any) -> NoReturn:
        """Refuse; see `pause`."""
        raise NotImplementedError(_NO_PAUSE)

    def live_migration(self, *args: Any, **given: Any) -> NoReturn:
        """Refuse: it needs a vCenter."""
        raise NotImplementedError(_NO_LIVE_MIGRATION)

    def live_migration_force_complete(self, instance: Any) -> NoReturn:
        """Refuse; see `live_migration`."""
        raise NotImplementedError(_NO_LIVE_MIGRATION)

    def live_migration_abort(self, instance: Any) -> NoReturn:
        """Refuse; see `live_migration`."""
        raise NotImplementedError(_NO_LIVE_MIGRATION)

    def get_volume_connector(self, instance: Any) -> NoReturn:
        """Refuse: volumes follow later."""
        raise NotImplementedError(NO_VOLUMES)

    def attach_volume(self, *args: Any, **given: Any) -> NoReturn:
        """Refuse: volumes follow later."""
        raise NotImplementedError(NO_VOLUMES)

    def detach_volume(self, *args: Any, **given: Any) -> NoReturn:
        """Refuse: volumes follow later."""
        raise NotImplementedError(NO_VOLUMES)

    def swap_volume(self, *args: Any, **given: Any) -> NoReturn:
        """Refuse: volumes follow later."""
        raise NotImplementedError(NO_VOLUMES)

    def get_spice_console(self, context: Any, instance: Any) -> NoReturn:
        """Refuse: the host serves MKS and WebMKS only."""
        raise NotImplementedError("ESX hosts have no SPICE console; use the MKS console")

    def get_serial_console(self, context: Any, instance: Any) -> NoReturn:
        """Refuse: it needs a proxy, which the driver lacks."""
        raise NotImplementedError("the ESX driver has no serial console proxy")

    def get_vnc_console(self, context: Any, instance: Any) -> NoReturn:
        """Refuse: hosts since ESX 7.0 have no VNC server, and nova's proxy sends no VNC password."""
        raise NotImplementedError("ESX hosts have no safe VNC console; use the MKS console")

    def set_admin_password(self, instance: Any, new_pass: str) -> NoReturn:
        """Refuse: the driver has no account in the guest."""
        raise NotImplementedError(
            "a running guest's password cannot be set; the config drive has it for the first boot"
        )

    def block_stats(self, instance: Any, disk_id: str) -> NoReturn:
        """Refuse: the host keeps rates of the last hour, nova asks for totals."""
        raise NotImplementedError("the host counts no requests of a disk since its start")

    def get_host_cpu_stats(self) -> NoReturn:
        """Refuse: the host keeps rates of the last hour, nova asks for totals."""
        raise NotImplementedError("the host counts no CPU time since its start")

    def get_device_name_for_instance(
        self, instance: Any, bdms: Any, block_device_obj: Any
    ) -> NoReturn:
        """Leave the name to nova: the host gives its disks none."""
        raise NotImplementedError("the host gives its disks no device names")
