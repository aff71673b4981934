"""The tree of commands, by name. A command's module is imported when it is called, not before."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from cyclopts import App

__all__ = ["COMMANDS", "app"]

# Noun to its line of help; "" is the top.
_NOUNS: Final = {
    "": "Work with an ESX host: images into its datastores, machines from them.",
}

# Command to where it lives and its line of help, in the order of `vimctl --help`.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
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
    nouns = {"": top}
    for path, (target, text) in COMMANDS.items():
        noun, _, verb = path.rpartition(" ")
        if noun not in nouns:
            nouns[noun] = App(name=noun, help=_NOUNS[noun], version_flags=())
            top.command(nouns[noun])
        nouns[noun].command(f"driver.cli.{target}", name=verb, help=text, version_flags=())
    return top


app = _build()
