"""The hook that makes the reference pages has every exported name and every command on them."""

from __future__ import annotations

import importlib.util
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from vimdriver import ESXDriver
from vimdriver._cli.app import COMMANDS
from vimdriver._verbs.verb import Query, Verb

ROOT = Path(__file__).resolve().parents[2]


def hook() -> ModuleType:
    """Load the hook as MkDocs does: by its path."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = hook()


@pytest.mark.parametrize("page", PAGES.MODULES)
def test_every_exported_name_has_a_section(page: str) -> None:
    module, text = PAGES.MODULES[page]
    found = import_module(module)
    made = PAGES.names(module, text)
    for name in found.__all__:
        listed = f"\n::: {module}.{name}\n" in made
        assert listed != isinstance(getattr(found, name), ModuleType), name


def test_every_verb_of_the_driver_has_a_section() -> None:
    made = PAGES.names(*PAGES.MODULES["vimdriver"])
    verbs = [value for value in vars(ESXDriver).values() if isinstance(value, Verb | Query)]
    assert verbs
    for verb in verbs:
        assert f"\n::: {verb.function.__module__}.{verb.function.__name__}\n" in made


def test_the_errors_begin_with_their_tree() -> None:
    made = PAGES.names(*PAGES.MODULES["errors"])
    assert "```text\nVimlibError\n" in made.split(":::")[0]


def test_every_command_has_a_section_with_its_own_help() -> None:
    made = PAGES.commands()
    for command in COMMANDS:
        assert f"# vimctl {command}\n" in made
    assert "Table of Contents" not in made


def test_words_for_the_runner_are_dropped_from_fences() -> None:
    text = "```python client\nx\n```\n```console no-run\n$ a\n```\n````markdown\n"
    assert PAGES.on_page_markdown(text) == (
        "```python\nx\n```\n```console\n$ a\n```\n````markdown\n"
    )
