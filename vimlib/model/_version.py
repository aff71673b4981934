"""API versions, as numbers that compare."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=256)
def parse_version(text: str) -> tuple[int, ...]:
    """Return `text` (`"6.7.1"`, `"8.0.3.0"`, `"2.5u2"`) as a tuple that compares as versions do.

    Trailing zeros do not count, so `"7.0"` equals `"7.0.0.0"`. An update suffix as in
    `"2.5u2"` is one more number. Raises `ValueError` for anything else.
    """
    numbers: list[int] = []
    try:
        for part in text.split("."):
            head, _, update = part.partition("u")
            numbers.append(int(head))
            if update:
                numbers.append(int("".join(c for c in update if c.isdigit()) or "0"))
    except ValueError:
        raise ValueError(f"invalid API version: {text!r}; a valid one is 6.7.1") from None
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
