"""Resolves the type of an element's value from its attributes, within the schema.

The schema decides; `xsi:type`, a QName whose prefix is looked up where it stands, may only narrow
the declared type to a subtype. An object of a type that is not known is read as the declared one,
with its own name and its other elements; where nothing is declared (anyType), the element is kept as a
node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib._text import printable
from vimlib.model import DataObject, Enumeration, Field, ManagedObject, MethodFault
from vimlib.model._data import subtype_of
from vimlib.soap._leaf import DECODE, SIGNED, InvalidValueError
from vimlib.soap._names import REFERENCE, XSD, XSI_NIL, XSI_TYPE
from vimlib.soap._tables import ANY, DATA, LAZY, LEAF, REF, FieldInfo, Tables, TypeInfo
from vimlib.soap._typed import DECODE_ANY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from vimlib.model import Invoker

    Scope: TypeAlias = tuple[tuple[str, str], ...]

# What to do with an element instead of reading a value of an item.
NIL: Final = FieldInfo(Field("", "", "anyType"), 0, ())
"""The element is nil."""
CAPTURE: Final = FieldInfo(Field("", "", "anyType"), 0, ())
"""Keep the element as a text or an opaque node."""

_REMEMBERED = 4096
_NOTHING: Mapping[str | None, list[str]] = {}


def unknown_subtype(base: TypeInfo, name: str) -> TypeInfo:
    """Return the shape of a type that is not known: `base` is its nearest known ancestor.

    Its frames have one more place, for the elements that `base` does not have.
    """
    assert base.cls is not None
    cls = base.cls if base.fault else subtype_of(base.cls)  # type: ignore[arg-type]  # a class is hashable

    def make(*values: Any) -> Any:
        *known, raw = values
        if not base.fault:
            return cls(*known, name, tuple(raw or ()))
        fault = base.make(*known)
        fault.fault_name = name
        fault._raw = tuple(raw or ())
        return fault

    return base.like(make=make, blank=[*base.blank, None], known=base)


class ProxyMaker:
    """Makes the proxy of a reference from its text; None from an empty one.

    An empty reference, even without a type, is how some servers send no value.
    """

    __slots__ = ("cls", "guid", "invoker", "kind")

    def __init__(
        self, cls: type[ManagedObject], kind: str, guid: str | None, invoker: Invoker | None
    ) -> None:
        self.cls = cls
        self.kind = kind
        self.guid = guid
        self.invoker = invoker

    def __call__(self, text: str) -> ManagedObject | None:
        """Return the proxy. Raises `InvalidValueError` for a text without a type."""
        if text and self.kind:
            return self.cls(text, invoker=self.invoker, kind=self.kind, guid=self.guid)
        if text.strip():
            raise InvalidValueError("reference without a type")
        return None


class TypeResolver:
    """Turns the declared item and an element's attributes into the item by which to read it."""

    def __init__(self, tables: Tables, invoker: Invoker | None) -> None:
        self.tables = tables
        self._invoker = invoker
        # Prefix to the namespaces that it was bound to, the innermost last.
        self._prefixes: dict[str | None, list[str]] = {}
        self._lent: Mapping[str | None, list[str]] = _NOTHING
        self._scope: Scope | None = ()
        self.known: dict[tuple[Any, ...], FieldInfo] = {}
        """Results of `refine` by `(item, *attributes)`, for the bindings of prefixes in force."""
        self._scopes: dict[tuple[Any, ...], dict[tuple[Any, ...], FieldInfo]] = {}
        self._scope_changed = False
        self._references: dict[tuple[FieldInfo, str], FieldInfo] = {}

    # Namespaces

    def declare(self, prefix: str | None, uri: str | None) -> None:
        """Bind a prefix (None: the default) for the element that starts next."""
        if self._lent:
            self._own()
        self._prefixes.setdefault(prefix, []).append(uri or "")
        self._leave_scope()

    def undeclare(self, prefix: str | None) -> None:
        """Undo the last `declare` of that prefix."""
        bound = self._prefixes[prefix]
        bound.pop()
        if not bound:
            del self._prefixes[prefix]
        self._leave_scope()

    def bound(self) -> dict[str | None, list[str]]:
        """Return a copy of all bindings: prefix to namespaces, the innermost last."""
        return {prefix: uris.copy() for prefix, uris in self._prefixes.items()}

    def borrow(self, bound: Mapping[str | None, list[str]], scope: Scope) -> None:
        """Begin with the bindings that another resolver had, by its `bound` and `scope`."""
        self._lent = bound
        self._scope = scope

    def _own(self) -> None:
        """Copy bindings that are another's, before they change or are looked at."""
        self._prefixes = {prefix: uris.copy() for prefix, uris in self._lent.items()}
        self._lent = _NOTHING

    def _leave_scope(self) -> None:
        self._scope = None
        if not self._scope_changed:
            self._scope_changed = True
            self.known = {}

    def scope(self) -> Scope:
        """Return the bindings in force, prefix ("": the default) and namespace."""
        scope = self._scope
        if scope is None:
            bindings = ((prefix or "", bound[-1]) for prefix, bound in self._prefixes.items())
            scope = self._scope = tuple(sorted(bindings))
        return scope

    def _enter_scope(self) -> None:
        # Some servers declare a prefix on each value; coming back to bindings seen before costs
        # one look-up and loses nothing.
        if len(self._scopes) > 64:
            self._scopes.clear()
        self.known = self._scopes.setdefault(self.scope(), {})
        self._scope_changed = False

    def resolve(self, qname: str) -> tuple[str, str]:
        """Return namespace and local name of a QName where the tokenizer stands."""
        if self._lent:
            self._own()
        prefix, _, local = qname.strip(" \t\n\r").rpartition(":")
        bound = self._prefixes.get(prefix or None)
        if bound is None:
            if prefix:
                raise InvalidValueError(f"undeclared prefix in xsi:type {printable(qname, 80)!r}")
            return self.tables.namespace, local
        # No namespace counts as the binding's: some servers leave it off in fault details.
        return bound[-1] or self.tables.namespace, local

    # Items

    def refine(self, item: FieldInfo, attrs: list[str]) -> FieldInfo:
        """Return the item by which to read an element of `item` that has these attributes.

        `NIL` and `CAPTURE` stand for no value and an opaque one. Raises `InvalidValueError` for any other type than a subtype.
        """
        if item.kind == LAZY:
            self.tables.settle(item)
        if not attrs:
            return self._bare(item)
        if self._scope_changed:
            self._enter_scope()
        key = (item, *attrs)
        found = self.known.get(key)
        if found is None:
            found = self._look(item, dict(zip(attrs[::2], attrs[1::2], strict=True)))
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[key] = found
        return found

    def _bare(self, item: FieldInfo) -> FieldInfo:
        if item.kind == ANY:
            return CAPTURE
        if item.kind == REF:
            return self.reference(item, "", None)
        return item

    def _look(self, item: FieldInfo, attrs: dict[str, str]) -> FieldInfo:
        if attrs.get(XSI_NIL, "").strip() in ("true", "1"):
            return NIL
        qname = attrs.get(XSI_TYPE)
        if qname is not None:
            uri, local = self.resolve(qname)
            if local:
                item = self.narrow(item, uri, local)
        if item.kind == REF:
            return self.reference(item, attrs.get("type", ""), attrs.get("serverGuid"))
        return CAPTURE if item.kind == ANY else item

    def type_name(self, uri: str, local: str) -> str:
        """Return the name of a type in the form of `Typed.type`."""
        if uri == XSD:
            return f"xsd:{local}"
        if uri == self.tables.namespace and not local.startswith("{"):
            return local
        return f"{{{uri}}}{local}"

    def narrow(self, item: FieldInfo, uri: str, local: str) -> FieldInfo:
        """Return `item` narrowed to a type; that of an unknown subtype if the type is not known."""
        if uri == self.tables.namespace:
            if local == REFERENCE:
                return self._narrow_to_reference(item)
            cls = self.tables.binding.find(local)
            if cls is not None and issubclass(cls, DataObject | MethodFault):
                return self._narrow_to_data(item, self.tables.shape(cls))
            if cls is not None and issubclass(cls, Enumeration):
                return self._narrow_to_leaf(item, local, self.tables.enumeration(local), True)
            if item.kind == ANY:
                array = self.tables.array(local)
                return item if array is None else item.like(kind=DATA, shape=array)
        elif uri == XSD and local in DECODE_ANY:
            # Other strings of XSD than these two are read where nothing is declared.
            type_ = local if local in DECODE else "string"
            return self._narrow_to_leaf(item, type_, DECODE_ANY[local], False)
        if item.kind == DATA and item.shape is not None and item.shape.cls is not None:
            return item.like(shape=unknown_subtype(item.shape, self.type_name(uri, local)))
        return item

    def _narrow_to_reference(self, item: FieldInfo) -> FieldInfo:
        if item.kind == ANY:
            return item.like(kind=REF, type="ref", referent="")
        if item.kind != REF:
            raise InvalidValueError(f"xsi:type must be {item.type}, got {REFERENCE}")
        return item

    def _narrow_to_data(self, item: FieldInfo, shape: TypeInfo) -> FieldInfo:
        if item.kind == ANY:
            return item.like(kind=DATA, shape=shape)
        declared = item.shape
        if item.kind != DATA or declared is None or declared.cls is None or shape.cls is None:
            raise InvalidValueError(f"xsi:type must be {item.type}, got {shape.name}")
        if declared is shape:
            return item
        if not issubclass(shape.cls, declared.cls):
            raise InvalidValueError(
                f"xsi:type must be a subtype of {declared.name}, got {shape.name}"
            )
        return item.like(shape=shape)

    def _narrow_to_leaf(
        self, item: FieldInfo, type_: str, decode: Callable[[str], Any] | None, enumeration: bool
    ) -> FieldInfo:
        if item.kind == ANY:
            return item.like(kind=LEAF, type=type_, decode=decode)
        if item.kind != LEAF or not _derives(type_, item.type, enumeration):
            raise InvalidValueError(f"xsi:type must be {item.type}, got {type_}")
        return item

    # References

    def reference(self, item: FieldInfo, kind: str, guid: str | None) -> FieldInfo:
        """Return a leaf whose text becomes a proxy of that kind."""
        key = (item, kind)
        found = self._references.get(key) if guid is None else None
        if found is None:
            found = item.like(kind=LEAF, decode=self.proxy_maker(item.referent, kind, guid))
            if guid is None:
                if len(self._references) >= _REMEMBERED:
                    self._references.clear()
                self._references[key] = found
        return found

    def proxy_maker(self, referent: str, kind: str, guid: str | None) -> ProxyMaker:
        """Return what makes the proxies of a kind; `referent` is the declared one, "" if any."""
        cls = self.tables.binding.find(kind) if kind else None
        if cls is None or not issubclass(cls, ManagedObject):
            cls = self.tables.managed_base
            declared = self.tables.binding.find(referent) if referent else None
            if declared is not None and issubclass(declared, ManagedObject):
                cls = declared
        return ProxyMaker(cls, kind, guid, self._invoker)


def _derives(type_: str, declared: str, enumeration: bool) -> bool:
    """Whether a leaf of `type_` may stand where `declared` is."""
    if type_ == declared:
        return True
    if type_ in SIGNED and declared in SIGNED:
        return SIGNED.index(type_) < SIGNED.index(declared)
    # An enumeration restricts xsd:string; one for another is refused.
    return declared == "string" and enumeration
