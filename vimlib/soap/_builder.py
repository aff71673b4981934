"""The stack machine that turns the tokenizer's events into objects.

`ObjectBuilder.open` starts a message; from then on `start` and `end` of its inner loop are the
tokenizer's handlers until the message ends. They are closures over the frame in hand, since they
run once for every element of a reply: the code for the common element is inlined there,
and anything else is a method that they call. While an element is skipped or kept as an opaque
node, other handlers stand in for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib._text import printable
from vimlib.model import Field
from vimlib.soap._context import MessageContext
from vimlib.soap._leaf import InvalidValueError
from vimlib.soap._resolve import CAPTURE, NIL
from vimlib.soap._tables import DATA, LEAF, FieldInfo, Tables, TypeInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from xml.parsers.expat import XMLParserType

    from vimlib.model import Invoker
    from vimlib.soap._limits import Limits


def local_name(tag: str) -> str:
    """Return the local part of a tokenizer's `namespace name`."""
    return tag.rpartition(" ")[2]


class ObjectBuilder(MessageContext):
    """Decodes one message. `parser` is an expat parser whose handlers it sets."""

    def __init__(
        self,
        parser: XMLParserType,
        tables: Tables,
        limits: Limits,
        *,
        strict: bool,
        invoker: Invoker | None,
        essential: Mapping[str, frozenset[str]] | None,
    ) -> None:
        super().__init__(tables, limits, strict=strict, invoker=invoker, essential=essential)
        self.parser = parser
        self.texts: list[str] = []
        """Pieces of the text in hand."""
        self.starting: FieldInfo | None = None
        """FieldInfo of an element whose attributes are being looked at."""
        self.on_unknown_child: Callable[[str, list[str]], FieldInfo | None] | None = None
        """Asked for an item where a shape is open-ended, as the detail of a SOAP fault is."""
        self.open: Callable[[TypeInfo, Callable[[Any], None]], None]
        self.count_one: Callable[[], None]
        self.path: Callable[[], str]
        """Returns where in the message the element in hand is."""
        self.counted: Callable[[], int]
        """Returns how many elements have begun."""
        self.frame: Callable[[], list[Any]]
        """Returns the values of the structure in hand."""
        self.frame_depth: Callable[[], int]
        """Returns how many structures are open, the message's included."""
        self.store: Callable[[FieldInfo, Any], None]
        self.enter: Callable[[FieldInfo], None]
        self._inner: tuple[Any, Any]
        _inner_loop(self)

    # Cases outside of the inner loop

    def joined(self) -> str:
        """Return the text in hand, which came in pieces, and forget it."""
        text = "".join(self.texts)
        self.texts.clear()
        self.check_text(len(text))
        return text

    def unknown(self, shape: TypeInfo, tag: str, attrs: list[str]) -> None:
        """Deal with a child that the shape in hand does not have."""
        if " " not in tag:
            # No namespace counts as the binding's: some servers leave it off in fault details.
            item = shape.by_tag.get(f"{self.tables.namespace} {tag}")
            if item is not None:
                self.child(item, attrs)
                return
        if shape.open_ended and self.on_unknown_child is not None:
            item = self.on_unknown_child(tag, attrs)
            if item is not None:
                self.enter(item)
                return
        self.check_attributes(attrs)
        if shape.known is not None:
            _Capture(self, attrs, self.keep_in(self.frame(), tag))
        else:
            _Skip(self)

    def child(self, item: FieldInfo, attrs: list[str]) -> None:
        """Begin an element that is not a bare leaf or structure."""
        self.starting = item
        self.check_attributes(attrs)
        found = self.resolver.refine(item, attrs)
        self.starting = None
        if found is NIL:
            _Skip(self)
        elif found is CAPTURE:
            _Capture(self, attrs, lambda node: self.store(item, self.any_of(node)))
        else:
            self.enter(found)

    def resume(self) -> None:
        """Give the events back to the inner loop."""
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._inner
        self.texts.clear()

    def depth(self) -> int:
        """Return how deep the element in hand is nested; the envelope's two levels count."""
        return self.frame_depth() + 2


class _Skip:
    """Passes over an element with all that it holds."""

    def __init__(self, machine: ObjectBuilder) -> None:
        self.machine = machine
        self.level = 0
        self.deepest = machine.limits.depth - machine.depth() - 1
        machine.texts.clear()
        machine.parser.StartElementHandler = self.start
        machine.parser.EndElementHandler = self.end

    def start(self, tag: str, attrs: list[str]) -> None:
        machine = self.machine
        machine.count_one()
        self.level += 1
        machine.texts.clear()
        if self.level > self.deepest:
            raise machine.too_deep()
        machine.check_attributes(attrs)

    def end(self, tag: str) -> None:
        self.machine.texts.clear()
        if self.level == 0:
            self.machine.resume()
        self.level -= 1


class _Capture(_Skip):
    """Keeps an element as the context's `node`."""

    def __init__(
        self, machine: ObjectBuilder, attrs: list[str], deliver: Callable[[Any], Any]
    ) -> None:
        super().__init__(machine)
        self.deliver = deliver
        self.names = [""]
        self.heads = [machine.head_of(attrs)]
        self.children: list[list[tuple[str, Any]]] = [[]]

    def start(self, tag: str, attrs: list[str]) -> None:
        super().start(tag, attrs)
        self.names.append(self.machine.name_of(tag))
        self.heads.append(self.machine.head_of(attrs))
        self.children.append([])

    def end(self, tag: str) -> None:
        text = self.machine.joined()
        name, head, children = self.names.pop(), self.heads.pop(), self.children.pop()
        node = self.machine.node(head, text, children)
        if self.level == 0:
            self.machine.resume()
            self.deliver(node)
        else:
            self.children[-1].append((name, node))
        self.level -= 1


def _inner_loop(machine: ObjectBuilder) -> None:
    """Give `machine` its inner loop: the handlers for elements of known types."""
    limits = machine.limits
    deepest = limits.depth - 2  # Envelope, Body
    texts = machine.texts
    resolver = machine.resolver
    child, unknown, joined, absent = machine.child, machine.unknown, machine.joined, machine.absent

    # The frame in hand: the structure that is being filled. Those around it are on the stack,
    # each with the item that the structure inside is for. `leaf` is an open leaf, if any.
    stack: list[tuple[TypeInfo, dict[str, FieldInfo], list[Any], FieldInfo]] = []
    shape: TypeInfo
    by_tag: dict[str, FieldInfo]
    values: list[Any]
    leaf: FieldInfo | None = None
    count = 0

    def start(tag: str, attrs: list[str]) -> None:
        nonlocal shape, by_tag, values, leaf, count
        count += 1
        if leaf is not None:
            raise InvalidValueError(
                f"unexpected child element <{printable(local_name(tag))}> in a value"
            )
        try:
            item = by_tag[tag]
        except KeyError:
            unknown(shape, tag, attrs)
            return
        if attrs:
            found = resolver.known.get((item, *attrs))
            if found is None or found.kind > DATA:
                child(item, attrs)
                return
            item = found
        kind = item.kind
        if kind == LEAF:
            leaf = item
            if texts:
                texts.clear()
            return
        if kind != DATA:
            child(item, attrs)
            return
        stack.append((shape, by_tag, values, item))
        if len(stack) > deepest:
            raise machine.too_deep()
        shape = item.shape  # type: ignore[assignment]
        by_tag = shape.by_tag
        values = shape.blank.copy()

    def end(tag: str) -> None:
        nonlocal shape, by_tag, values, leaf
        if leaf is not None:
            item = leaf
            try:
                (text,) = texts
            except ValueError:
                text = joined()
            decode = item.decode
            try:
                value = text if decode is None else decode(text)
            except InvalidValueError as reason:
                value = machine.unfit(reason, item, shape)
            leaf = None
            if value is None:
                if text == "" and item.type != "ref":
                    absent(item, shape, "empty enumeration value", machine.path)
                return
        else:
            make = shape.make
            for index in shape.arrays:
                if values[index] is None:
                    values[index] = []
            for index in shape.needed:
                if values[index] is None:
                    if _is_no_result(stack[-1][3], values):
                        make = _no_result
                        break
                    absent(shape.items[index], shape, "required element missing", machine.path)
            value = make(*values)
            shape, by_tag, values, item = stack.pop()
        if item.array:
            held = values[item.index]
            if held is None:
                values[item.index] = [value]
            else:
                held.append(value)
        else:
            values[item.index] = value

    def open_(message: TypeInfo, done: Callable[[Any], None]) -> None:
        """Begin the message whose start tag has just been read; `done` gets its object."""
        nonlocal shape, by_tag, values, leaf

        def make(*values: Any) -> Any:
            machine.parser.StartElementHandler, machine.parser.EndElementHandler = around
            done(message.make(*values))

        around = machine.parser.StartElementHandler, machine.parser.EndElementHandler
        outer = message.like(make=make)
        leaf = None
        shape, by_tag, values = outer, outer.by_tag, [None]
        stack.append((outer, {}, [None], PLACE))
        values = outer.blank.copy()
        machine.resume()

    def enter(item: FieldInfo) -> None:
        """Begin an element by an item that was made for it."""
        nonlocal shape, by_tag, values, leaf
        if item.kind == LEAF:
            leaf = item
            texts.clear()
            return
        stack.append((shape, by_tag, values, item))
        if len(stack) > deepest:
            raise machine.too_deep()
        assert item.shape is not None
        shape = item.shape
        by_tag = shape.by_tag
        values = shape.blank.copy()

    def store(item: FieldInfo, value: Any) -> None:
        """Put a value where `item` belongs in the frame in hand."""
        if item.array:
            held = values[item.index]
            if held is None:
                values[item.index] = [value]
            else:
                held.append(value)
        else:
            values[item.index] = value

    def count_one() -> None:
        """Count an element that other handlers take."""
        nonlocal count
        count += 1

    def path() -> str:
        """Return where in the message the element in hand is."""
        text = ""
        places = [(item, frame) for _, _, frame, item in stack[1:]]
        inside = leaf if leaf is not None else machine.starting
        if inside is not None:
            places.append((inside, values))
        for item, frame in places:
            if item.attribute:  # the items of an array that is a value of its own have none
                text += f".{item.name}" if text else item.name
            if item.array:
                text += f"[{len(frame[item.index] or ())}]"
        return text

    machine.open, machine.path = open_, path
    machine.store, machine.enter, machine.count_one = store, enter, count_one
    machine.frame = lambda: values
    machine.frame_depth = lambda: len(stack)
    machine.counted = lambda: count
    machine._inner = (start, end)


# Where the object of a message goes, in a frame of its own.
PLACE = FieldInfo(Field("", "", "anyType"), 0, ())


def _no_result(*_: Any) -> None:
    return None


def _is_no_result(item: FieldInfo, values: list[Any]) -> bool:
    """Whether an empty structure stands for "no result", as some servers answer an optional one."""
    return item.optional_result and all(value is None or value == [] for value in values)
