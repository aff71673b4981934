"""The tree of commands, by name. A command's module is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from cyclopts import App

# Noun to its help line; "" is the top level.
_NOUNS: Final = {
    "": "Manage the images, machines, datastores and networks of an ESX host.",
    "datastore": "Manage files in datastores.",
    "image": "Push images into datastores, inspect them, and manage those that are cached.",
    "image cache": "The cache of a datastore: images that machines are copied from.",
    "instance": "Create, run, inspect and remove machines.",
    "host": "Inspect and manage the host.",
    "network": "Manage port groups and standard switches.",
    "nova": "Prepare OpenStack Nova's compute service.",
    "guest": "Render and set the guest configuration of machines.",
}

# Command to its function and help line, in the order of `vimctl --help`. `verbs:NAME` is generated
# from the driver's verb of that name.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo:demo", "Run a demonstration with a simulated host and image service."),
    "sim": ("sim:sim", "Run a simulated ESX host."),
    "about": ("about:about", "Show the product and version of the host."),
    "ls": ("ls:ls", "List the inventory."),
    "get": ("properties:get", "Read properties of one object, or of all objects of a type."),
    "watch": ("watch:watch", "Watch properties for changes."),
    "call": ("call:call", "Call any API method."),
    "sweep": ("sweep:sweep", "Clean up after processes that were killed."),
    "datastore ls": ("datastore:ls", "List a folder, or all datastores."),
    "datastore put": ("datastore:put", "Upload a local file."),
    "datastore get": ("datastore:get", "Download a file."),
    "datastore rm": ("datastore:rm", "Delete files."),
    "datastore mv": ("datastore:mv", "Rename or move a file on the host."),
    "datastore stat": ("datastore:stat", "Show the size and type of a file."),
    "image push": ("image:push", "Push images into a datastore, in parallel."),
    "image cache ls": ("cache:ls", "List the images in the cache of a datastore."),
    "image cache rm": ("cache:rm", "Remove images from the cache of a datastore."),
    "image cache prune": ("cache:prune", "Remove images that nobody used for long from the cache."),
    "image capture": ("image:capture", "Capture a machine's root disk into Glance."),
    "image inspect": ("image:inspect", "Check an image and show its format."),
    "instance list": ("instance:list_", "List the machines of the host."),
    "instance show": ("instance:show", "Show one machine."),
    "instance ip": ("instance:ip", "Show the addresses that a guest reports."),
    "instance spawn": ("instance:spawn", "Create a machine from an image and power it on."),
    "instance destroy": ("instance:destroy", "Remove machines and their files."),
    "instance start": ("verbs:power_on", "Power a machine on."),
    "instance stop": ("verbs:power_off", "Power a machine off."),
    "instance shutdown": ("verbs:shutdown", "Shut down the guest of a machine."),
    "instance reboot": ("verbs:reboot", "Reboot the guest."),
    "instance suspend": ("verbs:suspend", "Suspend a machine to disk."),
    "instance resume": ("verbs:resume", "Resume a suspended machine."),
    "instance send-nmi": ("verbs:send_nmi", "Send a machine a non-maskable interrupt."),
    "instance snapshot": ("verbs:snapshot", "Take a snapshot of a machine."),
    "instance snapshots": ("verbs:snapshots", "List a machine's snapshots."),
    "instance revert": ("verbs:revert_snapshot", "Revert a machine to a snapshot."),
    "instance remove-snapshot": ("verbs:remove_snapshot", "Remove a snapshot."),
    "instance clone": ("verbs:clone", "Make a machine like another one."),
    "instance export": ("exporting:export", "Write a machine's disks into local files."),
    "instance import": ("exporting:import_", "Make a machine from a local file."),
    "instance register": ("verbs:register", "Add a machine by its configuration file."),
    "instance unregister": ("verbs:unregister", "Take a machine out of the inventory."),
    "instance adopt": ("verbs:adopt", "Make a machine one of this owner's."),
    "instance rename": ("verbs:rename", "Give a machine another name."),
    "instance annotate": ("verbs:annotate", "Write the notes of a machine."),
    "instance change-hardware": ("verbs:change_hardware", "Change CPUs and memory of a machine."),
    "instance resize": (
        "verbs:resize",
        "Change the size of a machine, to confirm or revert later.",
    ),
    "instance confirm-resize": ("verbs:confirm_resize", "Make a resize final."),
    "instance revert-resize": ("verbs:revert_resize", "Undo a resize."),
    "instance rescue": ("verbs:rescue", "Let a machine boot from a rescue disk."),
    "instance unrescue": ("verbs:unrescue", "End a rescue."),
    "instance rebuild": ("verbs:rebuild", "Replace the root disk of a machine."),
    "instance devices": ("device:list_", "List the devices of a machine."),
    "instance attach-disk": ("verbs:attach_disk", "Add a new or an existing disk to a machine."),
    "instance grow-disk": ("verbs:grow_disk", "Extend a disk of a machine."),
    "instance detach-disk": ("verbs:detach_disk", "Remove a disk from a machine."),
    "instance insert-cdrom": ("verbs:insert_cdrom", "Insert an ISO image into a CD-ROM drive."),
    "instance eject-cdrom": ("verbs:eject_cdrom", "Eject the image from a CD-ROM drive."),
    "instance attach-interface": ("verbs:attach_interface", "Add a NIC to a machine."),
    "instance change-interface": ("verbs:change_interface", "Connect, disconnect or move a NIC."),
    "instance detach-interface": ("verbs:detach_interface", "Remove a NIC from a machine."),
    "instance console": ("verbs:console", "Get a ticket for a machine's console."),
    "instance console-log": ("screen:console_log", "Show the log of a machine's serial console."),
    "instance keys": ("verbs:send_keys", "Type into a machine's console."),
    "instance question": ("questions:question", "Show or answer a machine's question."),
    "instance exec": ("programs:exec_", "Run a program in a machine's guest."),
    "instance ps": ("programs:ps", "List the processes of a machine's guest."),
    "instance cp": ("programs:cp", "Copy a file into a machine's guest or out of it."),
    "instance metrics": ("metrics:instance_metrics", "Show counters of a machine."),
    "instance autostarts": ("verbs:autostarts", "List the machines that start with the host."),
    "instance autostart": ("verbs:set_autostart", "Start a machine with the host, or not."),
    "instance screenshot": ("screen:screenshot", "Save a screenshot of a machine."),
    "instance diagnostics": ("verbs:diagnostics", "Show the resource usage of a machine."),
    "instance events": ("events:events", "Show the events of machines."),
    "host show": ("verbs:host_info", "Show the hardware, usage and datastores of the host."),
    "host identity": ("verbs:host_identity", "Show the hardware UUID of the host."),
    "host capacity": ("verbs:host_capacity", "Show the capacity of the host and its allocation."),
    "host datastores": ("verbs:datastores", "List the datastores by available space."),
    "host services": ("verbs:services", "List the services of the host."),
    "host service": ("verbs:control_service", "Start, stop or restart a service."),
    "host service-policy": ("verbs:set_service_policy", "Choose when a service starts."),
    "host firewall": ("verbs:firewall", "List the rulesets of the firewall."),
    "host ruleset": ("verbs:set_ruleset", "Open or close the ports of a ruleset."),
    "host time": ("verbs:host_time", "Show the clock and time servers of the host."),
    "host time-servers": ("verbs:set_time_servers", "Set the time servers of the host."),
    "host options": ("verbs:host_options", "List the advanced options of the host."),
    "host set-option": ("verbs:set_host_option", "Set an advanced option of the host."),
    "host rescan": ("verbs:rescan", "Rescan the storage of the host."),
    "host mount": ("verbs:mount_nfs", "Mount an NFS datastore."),
    "host unmount": ("verbs:unmount_nfs", "Unmount an NFS datastore."),
    "host tasks": ("verbs:tasks", "List the recent tasks of the host."),
    "host logs": ("logs:logs", "Show the end of one of the host's logs."),
    "host metrics": ("metrics:host_metrics", "Show counters of the host."),
    "host enter-maintenance": ("verbs:enter_maintenance", "Enter maintenance mode."),
    "host exit-maintenance": ("verbs:exit_maintenance", "Leave maintenance mode."),
    "host reboot": ("verbs:reboot_host", "Reboot the host."),
    "host shutdown": ("verbs:shutdown_host", "Shut the host down."),
    "network switches": ("verbs:switches", "List the standard switches."),
    "network policies": ("verbs:port_group_policies", "List the policies of port groups."),
    "network vmkernel": ("verbs:vmkernel", "List the network adapters of the host itself."),
    "network create-switch": ("verbs:create_switch", "Create a standard switch."),
    "network remove-switch": ("verbs:remove_switch", "Remove a standard switch."),
    "network set-mtu": ("verbs:set_mtu", "Set the MTU of a standard switch."),
    "network set-switch": ("verbs:set_switch", "Change the policies of a standard switch."),
    "network set": ("verbs:set_port_group", "Change the policies of a port group."),
    "network ls": ("network:ls", "List the host's port groups."),
    "network ensure-vlan": ("verbs:ensure_vlan", "Create a port group for a VLAN."),
    "network remove-vlan": ("verbs:remove_vlan", "Remove a port group that vimctl created."),
    "guest render": ("guest:render", "Print the guest configuration without a host."),
    "guest set": ("guest:set_", "Set the guest configuration of a machine."),
    "guest helper": ("guest:helper", "Print the guest helper, a program for Linux guests."),
    "nova install-shim": ("nova:install_shim", "Let nova-compute load the ESX driver."),
    "codegen": ("codegen:codegen", "Generate a typed Python package from a WSDL."),
}


def _version() -> str:
    version: str = import_module("vimlib").__version__
    return version


def _build() -> App:
    top = App(
        name="vimctl",
        help=_NOUNS[""],
        version=_version,
        result_action="return_value",
    )
    top.register_install_completion_command()  # bash, zsh, fish
    nouns = {"": top}
    for path, (target, text) in COMMANDS.items():
        noun, _, verb = path.rpartition(" ")
        if noun not in nouns:
            above, _, name = noun.rpartition(" ")
            nouns[noun] = App(name=name, help=_NOUNS[noun], version_flags=())
            nouns[above].command(nouns[noun])
        nouns[noun].command(f"vimdriver._cli.{target}", name=verb, help=text, version_flags=())
    return top


def resolved(tokens: list[str]) -> App:
    """Return the tree with the command that `tokens` name loaded.

    The command's help is then its full docstring, not just its line in the tree.
    """
    _, apps, _ = app.parse_commands(tokens)
    for one in apps:
        if getattr(one.default_command, "__module__", "").startswith("vimdriver._cli."):
            one.help = None
    return app


app = _build()
