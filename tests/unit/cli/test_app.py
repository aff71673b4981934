from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from vimdriver._cli import main
from vimdriver._cli.app import COMMANDS
from vimdriver._cli.output import Output
from vimdriver._driver import ESXDriver
from vimdriver._verbs.verb import Query, Verb

NAMES = {"ref": "instance", "timeout": "grace", "soft": "hard"}
"""Options of commands that are called otherwise than the verb's parameters."""


def function_of(path: str) -> object:
    module, _, name = COMMANDS[path][0].partition(":")
    return getattr(import_module(f"vimdriver._cli.{module}"), name)


@pytest.mark.parametrize("path", COMMANDS)
def test_each_command_has_json_and_a_help_line(path: str) -> None:
    function = function_of(path)
    assert callable(function)
    assert Output in get_type_hints(function).values()
    assert inspect.getdoc(function)
    assert COMMANDS[path][1].endswith(".")


@pytest.mark.parametrize("path", COMMANDS)
def test_each_commands_help_is_its_docstring(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path.split(), "--help"]) == 0
    out = capsys.readouterr().out
    doc = inspect.getdoc(function_of(path)) or ""
    first = doc.partition("\n\n")[0].replace("`", "").replace("\n", " ")
    assert " ".join(first.split()) in " ".join(out.split())
    assert "--json" in out
    # Other users of the machine can read a command line.
    assert "--password" not in out.replace("--password-file", "")


@pytest.mark.parametrize(
    "path", [path for path, (target, _) in COMMANDS.items() if target.startswith("verbs:")]
)
def test_a_command_made_from_a_verb_has_its_arguments_and_a_dry_run(path: str) -> None:
    verb = getattr(ESXDriver, COMMANDS[path][0].partition(":")[2])
    assert isinstance(verb, Verb | Query)
    names = list(inspect.signature(verb.function).parameters)[1:]
    shown = list(inspect.signature(function_of(path)).parameters)  # type: ignore[arg-type]
    if isinstance(verb, Verb) and "parallel" in shown:
        # Only its machine has a place: it takes any number of them.
        assert shown.pop(0) == "instances"
        shown.insert(0, "instance")
        shown.remove("parallel")
    assert shown[: len(names)] == [NAMES.get(name, name) for name in names]
    assert shown[len(names)] == ("dry_run" if isinstance(verb, Verb) else "connection")


def test_every_verb_of_the_driver_has_a_command() -> None:
    generated = {
        target.partition(":")[2] for target, _ in COMMANDS.values() if target.startswith("verbs:")
    }
    modules = {target.partition(":")[0] for target, _ in COMMANDS.values()}
    texts = [
        Path(inspect.getfile(import_module(f"vimdriver._cli.{module}"))).read_text("utf-8")
        for module in modules
    ]
    verbs = {name for name, value in vars(ESXDriver).items() if isinstance(value, Verb | Query)}
    assert generated <= verbs
    # A command of another shape calls its verb itself.
    missing = {
        name for name in verbs - generated if not any(f"driver.{name}(" in text for text in texts)
    }
    assert missing == set()
