"""The tree of commands, by name. A command's module is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from cyclopts import App

__all__ = ["COMMANDS", "app", "resolved"]

# Noun to its line of help; "" is the top.
_NOUNS: Final = {
    "": "Work with an ESX host: images into its datastores, machines from them.",
    "datastore": "Files of datastores.",
    "image": "Images: into datastores, and what they are.",
    "instance": "Machines: made from images, run, removed.",
    "host": "The host itself.",
    "network": "Port groups.",
    "guest": "What a machine's settings tell its guest.",
}

# Command to where it lives and its line of help, in the order of `vimctl --help`.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo:demo", "Show it all, with a simulated host and an image service of its own."),
    "sim": ("sim:sim", "Run a simulated ESX host."),
    "about": ("about:about", "Show product and version of the host."),
    "ls": ("ls:ls", "List the inventory."),
    "get": ("properties:get", "Read properties of one object or of all of a type."),
    "watch": ("watch:watch", "Watch properties as they change."),
    "call": ("call:call", "Call any method of the API."),
    "sweep": ("sweep:sweep", "Take away what a process that was killed has left."),
    "datastore ls": ("datastore:ls", "List a folder, or the datastores."),
    "datastore put": ("datastore:put", "Store a local file."),
    "datastore get": ("datastore:get", "Fetch a file."),
    "datastore rm": ("datastore:rm", "Delete files."),
    "datastore mv": ("datastore:mv", "Rename or move a file on the host."),
    "datastore stat": ("datastore:stat", "Show size and kind of a file."),
    "image push": ("image:push", "Push images into a datastore, many at once."),
    "image inspect": ("image:inspect", "Say what an image is."),
    "instance list": ("instance:list_", "List the machines of the host."),
    "instance show": ("instance:show", "Show one machine."),
    "instance spawn": ("instance:spawn", "Make a machine from an image and power it on."),
    "instance destroy": ("instance:destroy", "Remove machines with their files."),
    "instance start": ("instance:start", "Power a machine on."),
    "instance stop": ("instance:stop", "Cut a machine's power."),
    "instance shutdown": ("instance:shutdown", "Let the guest shut down."),
    "instance reboot": ("instance:reboot", "Let the guest reboot, or reset."),
    "instance suspend": ("instance:suspend", "Suspend a machine to disk."),
    "instance resume": ("instance:resume", "Wake a suspended machine."),
    "instance snapshot": ("snapshot:take", "Take a snapshot of a machine."),
    "instance snapshots": ("snapshot:list_", "List a machine's snapshots."),
    "instance revert": ("snapshot:revert", "Make a machine what it was at a snapshot."),
    "instance remove-snapshot": ("snapshot:remove", "Remove a snapshot."),
    "instance console": ("screen:console", "Get a ticket to a machine's console."),
    "instance screenshot": ("screen:screenshot", "Save a picture of a machine's screen."),
    "instance diagnostics": ("diagnostics:diagnostics", "Show how a machine is doing."),
    "instance events": ("events:events", "Show what happened to machines."),
    "host show": ("host:show", "Show what the host is and how it is doing."),
    "network ls": ("network:ls", "List the host's port groups."),
    "network ensure-vlan": ("network:ensure_vlan", "Make a port group for a VLAN."),
    "network remove-vlan": ("network:remove_vlan", "Remove a port group made here."),
    "guest render": ("guest:render", "Print the settings that give a guest its network."),
    "guest set": ("guest:set_", "Write anew what a machine tells its guest."),
    "guest helper": ("guest:helper", "Print the program that a Linux guest applies them with."),
    "codegen": ("codegen:codegen", "Make a typed package like vimlib.vim25 from a WSDL."),
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
            nouns[noun] = App(name=noun, help=_NOUNS[noun], version_flags=())
            top.command(nouns[noun])
        nouns[noun].command(f"vimdriver._cli.{target}", name=verb, help=text, version_flags=())
    return top


def resolved(tokens: list[str]) -> App:
    """Return the tree with the command that `tokens` name loaded.

    That command's help is then its docstring, which says more than its line in the tree.
    """
    _, apps, _ = app.parse_commands(tokens)
    for one in apps:
        if getattr(one.default_command, "__module__", "").startswith("vimdriver._cli."):
            one.help = None
    return app


app = _build()
