"""Types of options that many commands have."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

__all__ = ["DASH", "Flag", "Strings"]

Flag: TypeAlias = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option without a value; not given, it is False."""

Strings: TypeAlias = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
"""An option that may be repeated."""


def _no_option(kind: Any, value: Any) -> None:
    if str(value).startswith("-") and str(value) != "-":
        raise ValueError(f"unknown option: {value}")


DASH = Parameter(allow_leading_hyphen=True, validator=_no_option)
"""Of an argument or option that may be `-`, for stdin or stdout; what looks like an option is none."""
