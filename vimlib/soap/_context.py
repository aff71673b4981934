"""What holds for one message whichever loop reads it: its tables, limits and strictness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vimlib.errors import InvalidFieldError, LimitError, ProtocolError
from vimlib.soap._leaf import InvalidValueError, OutOfRangeError
from vimlib.soap._names import XSI_TYPE
from vimlib.soap._resolve import TypeResolver
from vimlib.soap._typed import Unknown, typed_int, typed_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


class NodeHead(NamedTuple):
    """The attributes of an element that is kept."""

    type: str
    """Its `xsi:type`, as in `Typed.type`."""
    kind: str
    """For a reference: the managed type."""
    guid: str | None


_BARE = NodeHead("", "", None)


class MessageContext:
    """The context of one message. It refers to no loop, so no reference runs back."""

    def __init__(
        self,
        tables: Tables,
        limits: Limits,
        *,
        strict: bool,
        invoker: Invoker | None,
        essential: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.tables = tables
        self.limits = limits
        self.strict = strict
        self.faulted = False
        """Whether the message is a fault."""
        self.essential = essential
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
        """Note that a required value is absent.

        Raises `ProtocolError` in strict mode, and `InvalidFieldError` for an essential field. A fault
        is never refused for that: its type tells more than the field.
        """
        if (
            self.essential is not None
            and not self.faulted
            and _is_essential(self.essential, item, shape)
        ):
            around = path()
            raise InvalidFieldError(
                type=shape.name,
                field=item.name,
                wanted=item.referent or item.type,
                actual="nothing",
                path=f"{around}.{item.name}" if around else item.name,
            )
        if self.strict and not shape.fault:
            around = path()
            where = f"{around}.{item.name}" if around else item.name
            raise ProtocolError(f"{where}: {what}", path=where)
        self.tables.tolerate(shape.name, f"{item.name}: {what}")

    def unfit(self, reason: InvalidValueError, item: FieldInfo, shape: TypeInfo) -> Any:
        """Return what stands for a leaf that is not a value of its type; raise `reason` if nothing does.

        An integer beyond its range stands for itself, except in strict mode. In a fault that is the
        whole reply, None stands for any other value.
        """
        if isinstance(reason, OutOfRangeError) and not self.strict:
            self.tables.tolerate(shape.name, f"{item.name}: {reason}", "kept as read")
            return typed_int(f"xsd:{reason.type}", reason.value)
        if not self.faulted:
            raise reason
        self.tables.tolerate(shape.name, f"{item.name}: {reason}")
        return None

    # Elements that are kept without a type

    def name_of(self, tag: str) -> str:
        """Return the name of a kept element from the tokenizer's `namespace name`."""
        namespace, _, local = tag.rpartition(" ")
        return local if namespace in ("", self.tables.namespace) else f"{{{namespace}}}{local}"

    def head_of(self, attrs: list[str]) -> NodeHead:
        """Return what the attributes of a kept element say, for `node`."""
        if not attrs:
            return _BARE
        type_ = kind = ""
        guid = None
        for name, value in zip(attrs[::2], attrs[1::2], strict=True):
            if name == XSI_TYPE:
                try:
                    uri, local = self.resolver.resolve(value)
                    type_ = self.resolver.type_name(uri, local) if local else ""
                except InvalidValueError:  # an undeclared prefix
                    type_ = value
            elif name == "type" and ":" not in value:  # else an `xsi:type` that lost its prefix
                kind = value
            elif name == "serverGuid":
                guid = value
        return NodeHead(type_, kind, guid)

    def node(self, head: NodeHead, text: str, children: list[tuple[str, Any]]) -> Any:
        """Return a kept element as a node, a proxy or a text."""
        if children:
            return Unknown(head.type, "", tuple(children))
        if head.kind and text:
            return self.resolver.proxy_maker("", head.kind, head.guid)(text)
        return typed_str(head.type, text) if head.type else text

    @staticmethod
    def any_of(node: Any) -> Any:
        """Return the value of an anyType field from its node."""
        return typed_str("", node) if node.__class__ is str else node

    def keep_in(self, values: list[Any], tag: str) -> Callable[[Any], None]:
        """Return what adds a child to a frame that keeps those of a type that it does not have."""
        place = max(
            (at + 1 for at, value in enumerate(values[:-1]) if value is not None), default=0
        )
        name = self.name_of(tag)

        def add(node: Any) -> None:
            if values[-1] is None:
                values[-1] = []
            values[-1].append((place, name, node))

        return add


def _is_essential(
    essential: Mapping[str, frozenset[str]], item: FieldInfo, shape: TypeInfo
) -> bool:
    """Return whether a required field must not be None: of a message each, of a type the listed."""
    if shape.cls is None:
        return True
    return any(item.name in essential.get(base.__name__, ()) for base in shape.cls.__mro__)
