"""What holds for a message whichever loop reads it: its limits, and what is done about what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib.errors import LimitError, ProtocolError
from vimlib.soap._names import XSI_TYPE
from vimlib.soap._refine import Refiner

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.model import Invoker
    from vimlib.soap._limits import Limits
    from vimlib.soap._tables import Item, Shape, Tables

__all__ = ["Rules", "over"]


def over(limit: str, allowed: int, text: str, rules: Rules | None = None) -> LimitError:
    """Return the error for more than `allowed` of what `limit` of `Limits` bounds."""
    return LimitError(
        text,
        hint=f"If you trust the host, raise Limits.{limit} or request less at once.",
        limit=limit,
        allowed=allowed,
        path=rules.path() if rules else "",
    )


class Rules:
    """The rules for one message. The loop that reads it sets `path`, `counted` and `frame_depth`."""

    def __init__(
        self, tables: Tables, limits: Limits, *, strict: bool, invoker: Invoker | None
    ) -> None:
        self.tables = tables
        self.limits = limits
        self.strict = strict
        self.refiner = Refiner(tables, invoker)
        self.path: Callable[[], str]
        """Says where in the message the element in hand is."""
        self.counted: Callable[[], int]
        """Says how many elements have begun."""
        self.frame_depth: Callable[[], int]
        """Says how many structures are open, the message's included."""

    def check_elements(self) -> None:
        """Raise `LimitError` for too many elements; asked now and then, not for each."""
        allowed = self.limits.elements
        if self.counted() > allowed:
            raise over(
                "elements", allowed, f"the message must have at most {allowed} elements", self
            )

    def too_deep(self) -> LimitError:
        """Return the error for elements nested too deep."""
        allowed = self.limits.depth
        return over("depth", allowed, f"elements must nest at most {allowed} deep", self)

    def check_text(self, length: int) -> None:
        """Raise `LimitError` for a text of that length."""
        allowed = self.limits.text
        if length > allowed:
            raise over("text", allowed, f"a text must have at most {allowed} bytes", self)

    def check_attributes(self, attrs: list[str]) -> None:
        """Raise `LimitError` for too many attributes."""
        allowed = self.limits.attributes
        if len(attrs) > 2 * allowed:
            text = f"an element must have at most {allowed} attributes, got {len(attrs) // 2}"
            raise over("attributes", allowed, text, self)

    def absent(self, item: Item, shape: Shape, what: str) -> None:
        """Note that a required value is not there. Raises `ProtocolError` in strict mode."""
        if self.strict:
            path = self.path()
            where = f"{path}.{item.name}" if path else item.name
            raise ProtocolError(f"{where}: {what}", path=where)
        self.tables.tolerate(shape.name, f"{item.name}: {what}")

    @staticmethod
    def type_of(attrs: list[str]) -> str:
        """Return the local name of an element's `xsi:type`, "" if it has none."""
        for name, value in zip(attrs[::2], attrs[1::2], strict=True):
            if name == XSI_TYPE:
                return value.rpartition(":")[2]
        return ""
