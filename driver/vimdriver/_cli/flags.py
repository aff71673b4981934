"""Option types that several commands share."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

Flag: TypeAlias = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option without a value; False if it is not given."""

Strings: TypeAlias = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
"""An option that may be repeated."""


def _no_option(kind: Any, value: Any) -> None:
    if str(value).startswith("-") and str(value) != "-":
        raise ValueError(f"unknown option: {value}")


class OutOfRange(ValueError):
    """A number outside an option's range; `run` prefixes the message with the option's name."""


def _finite(value: float | None) -> None:
    if value is not None and not math.isfinite(value):
        raise OutOfRange(f"must be a finite number, got {value:g}")


def within(low: float, high: float = math.inf) -> Parameter:
    """Return the parameter of a finite number from `low` to `high`, inclusive."""
    rule = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"

    def check(kind: Any, value: Any) -> None:
        _finite(value)
        if value is not None and not low <= value <= high:
            raise OutOfRange(f"must be {rule}, got {value:g}")

    return Parameter(validator=check)


def _above_0(kind: Any, value: Any) -> None:
    _finite(value)
    if value is not None and not value > 0:
        raise OutOfRange(f"must be above 0, got {value:g}")


ABOVE_0 = Parameter(validator=_above_0)
"""For a finite number above 0."""


DASH = Parameter(allow_leading_hyphen=True, validator=_no_option)
"""For an argument or option that may be `-`, for stdin or stdout; options are refused as values."""


def _memory(kind: Any, value: Any) -> None:
    if value is not None and (value < 4 or value % 4):
        raise OutOfRange(f"must be a multiple of 4, at least 4, got {value}")


MEMORY = Parameter(validator=_memory)
"""For a size of memory in MiB."""

Parallel: TypeAlias = Annotated[int, within(1), Parameter(help="Objects at the same time.")]
"""How many of the objects that a command names are worked on at once."""
