"""The error trees: as drawn, raised with the facts they show, copied and pickled whole."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vimdriver.errors
import vimlib.errors
from vimdriver.errors import (
    FileConflictError,
    ImageAmbiguousError,
    ImageSizeError,
    InstanceExistsError,
    JournalLockedError,
    SourceRefusedError,
)
from vimlib.errors import NotFoundError, UsageError, VimlibError

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for top in ("vimlib", "driver")
    for path in sorted((ROOT / top).rglob("*.py"))
    if "vim25" not in path.parts
]
CLASSES = {
    name: value
    for module in (vimlib.errors, vimdriver.errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, VimlibError)
}
_DRAWN = re.compile(
    r"^ {4}(?P<depth>[│├└─ ]*)(?P<name>\w+)(?: \((?P<also>[\w.]+)\))?(?:  *.*)?$", re.M
)


def drawn(module: ModuleType) -> dict[str, tuple[str, ...]]:
    """Return the names in a module's drawing, each with the bases that the drawing shows."""
    tree = (module.__doc__ or "").partition("::\n\n")[2]
    parents: list[str] = []
    found = {}
    for line in tree.partition("\n\n")[0].splitlines():
        match = _DRAWN.match(line)
        assert match, line
        depth = len(match["depth"]) // 4
        also = match["also"]
        bases = [parents[depth - 1]] if depth else ["Exception"]
        found[match["name"]] = (*bases, *([also.rpartition(".")[2]] if also else []))
        parents[depth:] = [match["name"]]
    return found


def defined(module: ModuleType) -> dict[str, tuple[str, ...]]:
    """Return the error classes that a module defines, each with its bases."""
    return {
        name: tuple(base.__name__ for base in value.__bases__)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, VimlibError)
        and value.__module__ == module.__name__
    }


def test_the_drawing_of_vimlib_shows_its_classes_and_their_bases() -> None:
    tree = drawn(vimlib.errors)
    assert tree.pop("MethodFault") == ("VimlibError",)  # defined in vimlib.model
    assert tree == defined(vimlib.errors)


def test_the_drawing_of_the_driver_shows_its_classes_and_their_bases() -> None:
    tree = drawn(vimdriver.errors)
    assert tree.pop("VimlibError") == ("Exception",)
    assert tree == defined(vimdriver.errors)


@pytest.mark.parametrize("module", [vimlib.errors, vimdriver.errors])
def test_every_error_is_exported(module: ModuleType) -> None:
    assert set(module.__all__) >= set(defined(module))


def facts_of(error: type[VimlibError]) -> dict[str, Any]:
    """Return a value other than the default for each field that a class declares."""
    samples: dict[type, Any] = {
        str: "x\n1",
        int: 507,
        float: 2.5,
        tuple: ("a", "b"),
        bool: False,
        type(None): 30.0,
    }
    names = {name for base in error.__mro__ for name in vars(base).get("__annotations__", {})}
    return {
        name: samples[type(getattr(error, name))]
        for name in names - {"retryable", "outcome", "hint"}
        if not name.startswith("_")
    }


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_has_the_message_and_all_facts(error, duplicate) -> None:  # type: ignore[no-untyped-def]
    facts = facts_of(error)
    message = () if error._template else ("it failed",)
    original = error(*message, retryable=True, outcome="applied", **facts)
    original.add_note("a note")
    result = duplicate(original)
    assert type(result) is error
    assert (str(result), repr(result)) == (str(original), repr(original))
    assert (result.retryable, result.outcome) == (True, "applied")
    assert {name: getattr(result, name) for name in facts} == facts
    assert result.__notes__ == ["a note"]


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_a_message_is_one_line_and_ends_with_the_hint(error: type[VimlibError]) -> None:
    facts = facts_of(error)
    text = str(error(*(() if error._template else ("it failed",)), **facts))
    assert text.isprintable()
    assert "{" not in text
    assert not error.hint or len(text.partition(". ")[2]) > 5


def calls(source: str) -> Iterator[tuple[type[VimlibError], ast.Call]]:
    """Yield each construction of an error in a module's source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            if name in CLASSES:
                yield CLASSES[name], node


def shown(error: type[VimlibError]) -> set[str]:
    """Return the facts without a useful default that the class's message and hint show."""
    names = {
        name
        for text in (error._template, error.hint)
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }
    return {
        n for n in names if not isinstance(getattr(error, n), property) and not getattr(error, n)
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_error_is_raised_with_the_facts_that_it_shows(path: Path) -> None:
    for error, call in calls(path.read_text()):
        where = f"{path}:{call.lineno}"
        given = {keyword.arg for keyword in call.keywords}
        if None in given:
            continue
        assert not (error._template and call.args), f"{where}: {error.__name__} makes its message"
        wanted = shown(error)
        if "hint" in given:
            wanted &= {n for _, n, _, _ in string.Formatter().parse(error._template) if n}
        assert wanted <= given, f"{where}: {error.__name__} shows {wanted - given}"
        unknown = {name for name in given if name and not hasattr(error, name)}
        assert not unknown, f"{where}: {error.__name__} has no field {unknown}"


def test_a_fact_that_the_class_does_not_declare_is_refused() -> None:
    with pytest.raises(TypeError, match="NotFoundError has no field 'nam'"):
        NotFoundError("no such file", nam="x")


def test_a_message_of_a_class_shows_its_facts_with_control_characters_escaped() -> None:
    assert str(InstanceExistsError(name="a\x1b[2J")) == (
        "machine 'a\\\\x1b[2J' already exists. Choose another name, or destroy the machine first."
    )


def test_a_hint_given_replaces_the_one_of_the_class_and_is_shown_as_it_is() -> None:
    error = UsageError("not JSON", hint="Quote it for the shell: '{...}'.")
    assert str(error) == "not JSON. Quote it for the shell: '{...}'."
    assert str(InstanceExistsError(name="a", hint="Wait.")) == "machine 'a' already exists. Wait."


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ImageAmbiguousError(image="cirros", ids=[f"id{i}" for i in range(12)]),
            (
                "12 images are named 'cirros': "
                "id0, id1, id2, id3, id4, id5, id6, id7, id8, id9 and 2 more. "
                "Give the image's id instead."
            ),
        ),
        (
            FileConflictError(path="[ds] a.vmdk"),
            (
                "[ds] a.vmdk already exists. "
                "Choose another --to folder, or replace the file with --overwrite."
            ),
        ),
        (
            FileConflictError(path="[ds] a.vmdk", other_image="b"),
            "[ds] a.vmdk is the target of 'b' too. Choose another --to folder for one of them.",
        ),
        (
            ImageSizeError(expected=5, received=6),
            (
                "the image must have 5 bytes, got more. Try again. "
                "If the error persists, the image is damaged at its source or still changing."
            ),
        ),
        (
            SourceRefusedError(status=302, location="https://b/x"),
            (
                "the image source answered with HTTP 302, a redirect to https://b/x, "
                "which is not followed"
            ),
        ),
        (
            JournalLockedError(path="/j"),
            (
                "cannot use the journal '/j': another process or driver has it open. "
                "Give each process, and each driver, a journal of its own."
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, VimlibError) else "",
)
def test_messages_that_depend_on_their_facts(error: VimlibError, text: str) -> None:
    assert str(error) == text
