"""A hook of MkDocs: makes the reference pages from the code, and fits fences to its Markdown.

Nothing of this is committed, so no reference page can be stale.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from vimdriver._verbs.verb import Query, Verb

if TYPE_CHECKING:
    from cyclopts import App
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

# Page to the module whose exported names it has, and what stands above them.
MODULES: Final = {
    "vimlib": ("vimlib", "What `from vimlib import ...` offers. Names load on first use."),
    "blocking": (
        "vimlib.blocking",
        "The bridge from threads to asyncio. [Use it from threads](../client/threads.md) explains its use.",
    ),
    "errors": (
        "vimlib.errors",
        "Every error of `vimlib`. [Errors and what to do](../client/errors.md) explains their use.",
    ),
    "simulator": (
        "vimlib.simulator",
        "An ESX host in a process. [Test your own code](../testing.md) explains its use.",
    ),
    "soap": ("vimlib.soap", "The codec: bytes in, objects out, without I/O."),
    "model": ("vimlib.model", "The classes from which generated packages derive."),
    "codegen": (
        "vimlib.codegen",
        "Makes a typed package like `vimlib.vim25` from a WSDL; also `vimctl codegen`.",
    ),
    "vimdriver": (
        "vimdriver",
        (
            "What `from vimdriver import ...` offers. Names load on first use."
            " Functions below `ESXDriver` are its methods."
        ),
    ),
    "driver-errors": ("vimdriver.errors", "The errors that the driver adds to `vimlib.errors`."),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {"vimctl": commands(), **{page: names(*what) for page, what in MODULES.items()}}
    for page, text in pages.items():
        files.append(File.generated(config, f"reference/{page}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Drop the words for our own runner from fences: MkDocs takes a fence that has them for text."""
    return re.sub(r"^(`{3,}\w+) [^`\n]*$", r"\1", markdown, flags=re.MULTILINE)


def names(module: str, text: str) -> str:
    """Return the page of a module: a section for each exported name."""
    found = import_module(module)
    parts = [f"# {module}", text]
    tree = re.search(r"::\n\n((?:    .*\n|\n)+)", found.__doc__ or "")
    if tree and "─" in tree[1]:
        parts.append(f"```text\n{inspect.cleandoc(tree[1])}\n```")
    for name in sorted(found.__all__, key=str.lower):
        value = getattr(found, name)
        if not isinstance(value, ModuleType):
            parts.append(f"::: {module}.{name}")
        parts += verbs(value)
    return "\n\n".join(parts) + "\n"


def verbs(value: object) -> list[str]:
    """Return a section for each verb of the driver: its methods are made from functions elsewhere."""
    if not isinstance(value, type):
        return []
    made = [v.function for v in vars(value).values() if isinstance(v, Verb | Query)]
    return [
        f"::: {function.__module__}.{function.__name__}\n    options: {{heading_level: 3}}"
        for function in made
    ]


def commands() -> str:
    """Return the page of `vimctl`, each command with the help that `--help` shows."""
    from vimdriver._cli.app import COMMANDS, app, resolved

    for path in COMMANDS:
        resolved(path.split())
    tree: App = app
    made: str = tree.generate_docs(output_format="markdown", heading_level=1)
    # The page has a table of contents of its own at its side.
    made = re.sub(r"## Table of Contents\n\n(?: *- .*\n)+\n", "", made)
    # A bracket that follows one makes a reference of both.
    return made.replace("[,", "\\[,")


__all__ = ["on_files", "on_page_markdown"]
