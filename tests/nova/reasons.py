"""The cases of nova's `_VirtDriverTestCase` that the driver does not pass by a call on the host, and why."""

from __future__ import annotations

_EVENTS = "nova's base class hands events on"
_PAUSE = "the API of a host has no pause"
_VOLUMES = "volumes are not supported yet"
_LIVE = "live migration needs a vCenter"

NO_WORK = {
    "test_emit_unicode_event": _EVENTS,
    "test_event_bad_callback": _EVENTS,
    "test_event_bad_object": _EVENTS,
    "test_events": _EVENTS,
    "test_get_allocation_ratio": "nova's base class computes it",
    "test_get_available_nodes": "the configuration has the names; a host that is away keeps its own",
    "test_network_binding_host_id": "nova's base class returns it",
    "test_set_host_enabled": "it writes nova's database",
}
"""They pass: the driver has no call to make. What the host sees meanwhile is not theirs."""

REASONS = {
    **NO_WORK,
    "test_attach_detach_different_power_states": _VOLUMES,
    "test_attach_detach_volume": _VOLUMES,
    "test_block_stats": "nova asks when it detaches a volume; the host has rates, no totals",
    "test_get_device_name_for_instance": "the host names no disks; nova then uses names of its own",
    "test_get_host_cpu_stats": "the host has no totals, nor kernel, user and I/O wait apart",
    "test_get_serial_console": "it needs a proxy, which the driver lacks",
    "test_get_spice_console": "a host serves MKS and WebMKS only",
    "test_get_vnc_console": "hosts since ESX 7.0 have no VNC; nova's proxy sends older ones no password",
    "test_get_volume_connector": _VOLUMES,
    "test_get_volume_connector_storage_ip": _VOLUMES,
    "test_host_power_action_startup": "a host that is off has no API",
    "test_live_migration": _LIVE,
    "test_live_migration_abort": _LIVE,
    "test_live_migration_force_complete": _LIVE,
    "test_migrate_disk_and_power_off": "it names another host: cold migration is not supported yet",
    "test_pause": _PAUSE,
    "test_set_admin_password": "the driver has no account in the guest",
    "test_swap_volume": _VOLUMES,
    "test_unpause_paused_instance": _PAUSE,
    "test_unpause_unpaused_instance": _PAUSE,
}
"""All of them, those that the driver refuses too."""
