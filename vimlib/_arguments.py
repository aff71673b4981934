"""Checks of arguments that a caller mixes up, or has not set, most easily."""

from __future__ import annotations

import inspect
from typing import Any

from vimlib.errors import ArgumentError


def check_argument(name: str, value: object, allowed: Any, wanted: str, hint: str = "") -> None:
    """Check the type of one argument; `allowed` is a class, such as `Callable`, or several.

    Raises:
        ArgumentError: `value` is of none of the `allowed` types.
    """
    if isinstance(value, allowed):
        return
    if inspect.iscoroutine(value):
        value.close()  # nobody else will await it
        hint = hint or "Pass the function itself, not a coroutine: leave out the parentheses."
    elif value is None:
        hint = hint or "Check that the variable it comes from is set."
    shown = type(value).__name__
    if isinstance(value, str | int | float):
        shown = f"{shown} {value!r:.80}"
    raise ArgumentError(
        f"{name} must be {wanted}, got {shown}",
        hint=hint or "The docstring describes the arguments.",
        field=name,
        wanted=wanted,
    )
