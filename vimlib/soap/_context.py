"""What holds for one message whichever loop reads it: its tables, limits and strictness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib.errors import LimitError, ProtocolError
from vimlib.soap._names import XSI_TYPE
from vimlib.soap._resolve import TypeResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.model import Invoker
    from vimlib.soap._limits import Limits
    from vimlib.soap._tables import FieldInfo, Tables, TypeInfo


def over(limit: str, allowed: int, text: str) -> LimitError:
    """Return the error for more than `allowed` of what `limit` of `Limits` bounds.

    Its path is set by the decoder, which knows where in the message it is.
    """
    return LimitError(
        text,
        hint=f"If you trust the host, raise Limits.{limit} or request less at once.",
        limit=limit,
        allowed=allowed,
    )


class MessageContext:
    """The context of one message. It refers to no loop, so no reference runs back."""

    def __init__(
        self, tables: Tables, limits: Limits, *, strict: bool, invoker: Invoker | None
    ) -> None:
        self.tables = tables
        self.limits = limits
        self.strict = strict
        self.resolver = TypeResolver(tables, invoker)

    def check_elements(self, count: int) -> None:
        """Raise `LimitError` for too many elements; called now and then, not for each."""
        allowed = self.limits.elements
        if count > allowed:
            raise over("elements", allowed, f"the message must have at most {allowed} elements")

    def too_deep(self) -> LimitError:
        """Return the error for elements nested too deep."""
        allowed = self.limits.depth
        return over("depth", allowed, f"elements must nest at most {allowed} deep")

    def check_text(self, length: int) -> None:
        """Raise `LimitError` for a text of that length."""
        allowed = self.limits.text
        if length > allowed:
            raise over("text", allowed, f"a text must have at most {allowed} bytes")

    def check_attributes(self, attrs: list[str]) -> None:
        """Raise `LimitError` for too many attributes."""
        allowed = self.limits.attributes
        if len(attrs) > 2 * allowed:
            text = f"an element must have at most {allowed} attributes, got {len(attrs) // 2}"
            raise over("attributes", allowed, text)

    def absent(self, item: FieldInfo, shape: TypeInfo, what: str, path: Callable[[], str]) -> None:
        """Note that a required value is absent. Raises `ProtocolError` in strict mode."""
        if self.strict:
            around = path()
            where = f"{around}.{item.name}" if around else item.name
            raise ProtocolError(f"{where}: {what}", path=where)
        self.tables.tolerate(shape.name, f"{item.name}: {what}")

    @staticmethod
    def type_of(attrs: list[str]) -> str:
        """Return the local name of an element's `xsi:type`, "" if it has none."""
        for name, value in zip(attrs[::2], attrs[1::2], strict=True):
            if name == XSI_TYPE:
                return value.rpartition(":")[2]
        return ""
