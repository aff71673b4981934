"""What a traceback shows of an object works even if its `__init__` failed half-way."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import vimdriver
import vimlib
from vimlib._transport import HTTPTransport
from vimlib.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
# Generated, or imported by pytest, nova or neutron alone.
PASSED_OVER = (
    "vimlib.vim25",
    "vimlib.codegen.__main__",
    "vimlib.simulator.pytest_plugin",
    "vimdriver.nova.",
    "vimdriver.neutron.",
)


def modules() -> Iterator[str]:
    for top in (vimlib, vimdriver):
        for found in pkgutil.walk_packages(top.__path__, f"{top.__name__}."):
            if not found.name.startswith(PASSED_OVER) and not found.name.endswith("__main__"):
                yield found.name


def with_repr() -> Iterator[type]:
    """Yield our classes that have a `__repr__` written by hand."""
    for name in modules():
        for kind in vars(importlib.import_module(name)).values():
            if not inspect.isclass(kind) or kind.__module__ != name:
                continue
            function = inspect.unwrap(vars(kind).get("__repr__", object.__repr__))
            code = getattr(function, "__code__", None)
            if code is not None and Path(code.co_filename).is_relative_to(ROOT):
                yield kind


CLASSES = sorted(with_repr(), key=lambda kind: (kind.__module__, kind.__qualname__))


def test_the_classes_are_found() -> None:
    assert HTTPTransport in CLASSES
    assert len(CLASSES) > 30


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_the_repr_of_an_object_without_attributes_works(kind: type) -> None:
    if issubclass(kind, Exception):
        made: object = kind.__new__(kind)
    else:
        try:
            made = object.__new__(kind)
        except TypeError:  # a Struct: its fields are set before any code of ours runs
            return
    assert kind.__name__ in repr(made)


def test_a_transport_that_failed_shows_no_error_of_its_own() -> None:
    with pytest.raises(UsageError) as caught:
        HTTPTransport("ftp://h")
    shown = [
        repr(frame.f_locals["self"])
        for frame, _ in traceback.walk_tb(caught.tb)
        if isinstance(frame.f_locals.get("self"), HTTPTransport)
    ]
    assert shown == ["<HTTPTransport, not initialized>"]
