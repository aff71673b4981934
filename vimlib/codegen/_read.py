"""Read a WSDL and the schemas that it includes, with lxml.

It supports the document/literal dialect of SOAP services like vSphere's: named
complex types with sequences, choices and extension, qualified elements, restrictions of simple
types, enumerations of texts, one part a message. Anything else raises `CodegenError` with its
location instead of generating a broken package. Only local files are read: an import from the
network is refused.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from lxml import etree

from vimlib.codegen._schema import CodegenError, DataType, Element, Enum, Operation, Schema
from vimlib.model._wire import PRIMITIVES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

XSD: Final = "{http://www.w3.org/2001/XMLSchema}"
WSDL: Final = "{http://schemas.xmlsoap.org/wsdl/}"
SOAP: Final = "{http://schemas.xmlsoap.org/wsdl/soap/}"
# Attributes of our own schemas (wsdl/README.md): since, secret, ref, vmodl.
ANNOTATIONS: Final = "{urn:x-vimlib:annotations}"

_REFERENCE = "ManagedObjectReference"
# DynamicData's own two fields are relics of VMODL that no host fills; readers skip them.
_HIDDEN = frozenset({"dynamicType", "dynamicProperty"})

_PRIMITIVES: Final = {
    **{n: n for n in ("boolean", "byte", "short", "int", "long", "float", "double", "dateTime", "base64Binary", "anyURI", "anyType")},
    **dict.fromkeys(("string", "token", "normalizedString", "QName", "NCName", "Name", "ID", "IDREF", "language", "date", "time", "duration", "gYear", "gYearMonth", "decimal", "anySimpleType"), "string"),
    **dict.fromkeys(("integer", "unsignedInt", "unsignedLong", "nonNegativeInteger", "positiveInteger", "negativeInteger", "nonPositiveInteger"), "long"),
    "unsignedShort": "int", "unsignedByte": "short",
}  # fmt: skip


class _Reader:
    def __init__(self, wsdl: Path) -> None:
        self.hash = hashlib.sha256()
        self.schemas: list[etree._Element] = []
        self.seen: set[Path] = set()
        self.complex: dict[str, etree._Element] = {}
        self.simple: dict[str, etree._Element] = {}
        """Restrictions of types of text and numbers, which have no class of their own."""
        self.elements: dict[str, etree._Element] = {}
        self.fault_elements: dict[str, str] = {}
        self.documents: list[tuple[etree._Element, Path]] = []
        """The WSDL and those that it imports."""
        self._document(wsdl.resolve())
        self.namespace = ""
        """That of the types and elements, which need not be the WSDL's own."""

    def _parse(self, path: Path) -> etree._Element:
        data = path.read_bytes()
        self.hash.update(data)
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
        )
        try:
            root = etree.fromstring(data, parser)
        except etree.XMLSyntaxError as error:
            raise CodegenError(
                f"{path.name} is not well-formed: {error}", where=str(path)
            ) from None
        if root.getroottree().docinfo.doctype:
            raise CodegenError(f"{path.name} must not have a DOCTYPE", where=str(path))
        return root

    def _document(self, path: Path) -> None:
        self.seen.add(path)
        root = self._parse(path)
        self.documents.append((root, path))
        for link in root.iter(f"{WSDL}import"):
            other = _beside(path, link.get("location", ""))
            if other not in self.seen:
                self._document(other)

    def all(self, name: str) -> Iterator[etree._Element]:
        """Yield the elements of that name in all documents."""
        for root, _ in self.documents:
            yield from root.iter(name)

    # -- schemas ---------------------------------------------------------------------------

    def load(self) -> None:
        for root, path in self.documents:
            for schema in root.iter(f"{XSD}schema"):
                self._schema(schema, path, "")

    def _schema(self, schema: etree._Element, path: Path, around: str) -> None:
        """Add a schema and those that it includes; `around` is the namespace of the including
        schema.
        """
        target = schema.get("targetNamespace") or around
        beside = {f"{XSD}annotation", f"{XSD}import"}
        if any(node.tag not in beside for node in schema):
            self.namespace = self.namespace or target
            if not target:
                raise CodegenError("types without a namespace are not supported", where=path.name)
            if target != self.namespace:
                raise CodegenError(
                    f"types must be in one namespace, got a second: {target}",
                    where=path.name,
                    hint=f"Generate a package for {self.namespace} only, or move the types there.",
                )
        self.schemas.append(schema)
        for name in ("redefine", "override"):
            if schema.find(f"{XSD}{name}") is not None:
                raise CodegenError(f"xsd:{name} is not supported", where=path.name)
        for link in schema.iter(f"{XSD}include", f"{XSD}import"):
            location = link.get("schemaLocation")
            if location is None:
                continue
            other = _beside(path, location)
            if other not in self.seen:
                self.seen.add(other)
                inside = target if link.tag == f"{XSD}include" else ""
                self._schema(self._parse(other), other, inside)

    def index(self) -> Iterator[tuple[str, etree._Element]]:
        """Yield the named enumerations and complex types, and index all other named items."""
        for schema in self.schemas:
            for node in schema:
                name = node.get("name")
                if node.tag == f"{XSD}element" and name:
                    self.elements[name] = node
                elif node.tag == f"{XSD}complexType" and name:
                    self.complex[name] = node
                elif (
                    node.tag == f"{XSD}simpleType"
                    and name
                    and node.find(f".//{XSD}enumeration") is None
                ):
                    restriction = node.find(f"{XSD}restriction")
                    if restriction is None:
                        raise CodegenError("a simple type must be a restriction", where=name)
                    self.simple[name] = restriction
        for schema in self.schemas:
            for node in schema.iterchildren(f"{XSD}simpleType"):
                self._numbers(node, node.get("name", ""))
        for schema in self.schemas:
            yield from ((n.get("name", ""), n) for n in schema if n.get("name"))

    def _numbers(self, node: etree._Element, name: str) -> None:
        """Replace a simple type that enumerates non-strings by the type that it restricts."""
        restriction = node.find(f"{XSD}restriction")
        if restriction is not None and name not in self.simple:
            base = self.type_of(restriction.get("base", ""), restriction, name)
            if base in PRIMITIVES and base != "string":
                self.simple[name] = restriction

    def type_of(
        self, qname: str, node: etree._Element, where: str, line: tuple[str, ...] = ()
    ) -> str:
        """Resolve a QName in the scope of `node` to a primitive or a type name.

        `line` lists the simple types already visited.
        """
        prefix, _, local = qname.rpartition(":")
        uri = node.nsmap.get(prefix or None)
        if uri == XSD[1:-1]:
            try:
                return _PRIMITIVES[local]
            except KeyError:
                raise CodegenError(f"xsd:{local} is not supported", where=where) from None
        if local == _REFERENCE:
            return "ref"
        if len(line) > len(self.simple):
            raise CodegenError("the simple type is its own base", where=where)
        restriction = self.simple.get(local)
        if restriction is None:
            return local
        return self.type_of(restriction.get("base", ""), restriction, local, (*line, local))

    def fields(self, node: etree._Element, where: str) -> tuple[str | None, tuple[Element, ...]]:
        """Return the base and the own fields of a complex type."""
        base = None
        content = node
        for name in ("attribute", "simpleContent", "group", "any"):
            if node.find(f".//{XSD}{name}") is not None:
                raise CodegenError(f"xsd:{name} in a complex type is not supported", where=where)
        if node.find(f"{XSD}complexContent") is not None:
            extension = node.find(f"{XSD}complexContent/{XSD}extension")
            if extension is None:
                raise CodegenError("complexContent must be an extension", where=where)
            base = self.type_of(extension.get("base", ""), extension, where)
            content = extension
        found: list[Element] = []
        for group in content:
            if group.tag not in (f"{XSD}annotation", f"{XSD}complexContent"):
                found += self._group(group, where, False)
        return base, tuple(f for f in found if f.name not in _HIDDEN)

    def _group(self, group: etree._Element, where: str, optional: bool) -> Iterator[Element]:
        """Yield the elements of a sequence or choice, including those of nested groups."""
        if group.tag not in (f"{XSD}sequence", f"{XSD}all", f"{XSD}choice"):
            raise CodegenError(f"{etree.QName(group).localname} is not supported", where=where)
        if group.get("maxOccurs", "1") != "1":
            raise CodegenError(
                f"repeated {etree.QName(group).localname} is not supported", where=where
            )
        optional = optional or group.tag == f"{XSD}choice" or group.get("minOccurs", "1") == "0"
        for node in group:
            if node.tag == f"{XSD}element":
                yield self.element(node, where, optional)
            elif node.tag != f"{XSD}annotation":
                yield from self._group(node, where, optional)

    def element(self, node: etree._Element, where: str, optional: bool = False) -> Element:
        most, least = node.get("maxOccurs", "1"), node.get("minOccurs", "1")
        reference = node.get("ref")
        if reference is not None:
            node = self._global(reference, where)
        name, type_ = node.get("name", ""), node.get("type")
        where = f"{where}.{name}"
        if type_ is None:
            raise CodegenError("the element must have a named type", where=where)
        if reference is None:
            schema = next(node.iterancestors(f"{XSD}schema"))
            if node.get("form", schema.get("elementFormDefault", "unqualified")) != "qualified":
                raise CodegenError(
                    "elements without a namespace are not supported",
                    where=where,
                    hint='Set elementFormDefault="qualified" in the schema.',
                )
        return Element(
            name,
            self.type_of(type_, node, where),
            array=most not in ("0", "1"),
            optional=optional or least == "0" or node.get("nillable") == "true",
            secret=node.get(f"{ANNOTATIONS}secret") is not None,
            since=node.get(f"{ANNOTATIONS}since", ""),
            referent=node.get(f"{ANNOTATIONS}ref", ""),
        )

    # -- operations -----------------------------------------------------------------------------

    def operations(self) -> Iterator[Operation]:
        bindings = list(self.all(f"{SOAP}binding"))
        ports = list(self.all(f"{WSDL}portType"))
        if ports and not bindings:
            raise CodegenError("the WSDL has no SOAP 1.1 binding")
        for binding in bindings:
            around = binding.getparent()
            styles = [binding, *(around.iter(f"{SOAP}operation") if around is not None else ())]
            if any(node.get("style", "document") != "document" for node in styles):
                raise CodegenError("the service must be document/literal, got RPC")
        for body in self.all(f"{SOAP}body"):
            if body.get("use", "literal") != "literal":
                raise CodegenError("the service must be document/literal, got encoded")
        messages = {m.get("name"): m.findall(f"{WSDL}part") for m in self.all(f"{WSDL}message")}
        for node in (o for port in ports for o in port.findall(f"{WSDL}operation")):
            name = node.get("name", "")
            request = self._part(messages, node.find(f"{WSDL}input"), name)
            answer = self._part(messages, node.find(f"{WSDL}output"), name)
            if request is None or answer is None:
                raise CodegenError("one-way operations are not supported", where=name)
            if request.get("name") != name:
                raise CodegenError(
                    f"the request element must be {name}, got {request.get('name')}", where=name
                )
            if answer.get("name") != f"{name}Response":
                raise CodegenError(
                    f"the reply element must be {name}Response, got {answer.get('name')}",
                    where=name,
                )
            params = self._body(request, name)
            results = self._body(answer, name)
            if len(results) > 1:
                raise CodegenError(
                    f"an operation must have at most one result, got {len(results)}", where=name
                )
            addressed = bool(params) and params[0].name == "_this"
            faults = [self._part(messages, f, name) for f in node.findall(f"{WSDL}fault")]
            yield Operation(
                name,
                params[1:] if addressed else params,
                results[0] if results else None,
                tuple(self._fault(f, name) for f in faults if f is not None),
                addressed,
            )

    def _fault(self, element: etree._Element, where: str) -> str:
        type_ = element.get("type")
        found = type_ and self.type_of(type_, element, where)
        if not found or found not in self.complex:
            raise CodegenError(
                f"the fault {element.get('name')} must be a named complex type", where=where
            )
        local = element.get("name", "")
        if local.removesuffix("Fault") != found:
            self.fault_elements[local] = found
        return found

    def _global(self, qname: str, where: str) -> etree._Element:
        """Return the top-level element that `qname` refers to."""
        found = self.elements.get(qname.rpartition(":")[2])
        if found is None:
            raise CodegenError(f"unknown element: {qname}", where=where)
        return found

    def _part(
        self,
        messages: dict[str | None, list[etree._Element]],
        use: etree._Element | None,
        where: str,
    ) -> etree._Element | None:
        if use is None:
            return None
        parts = messages.get(use.get("message", "").rpartition(":")[2], [])
        if len(parts) != 1 or parts[0].get("element") is None:
            raise CodegenError("a message must have one part that names an element", where=where)
        return self._global(parts[0].get("element", ""), where)

    def _body(self, element: etree._Element, where: str) -> tuple[Element, ...]:
        named = element.get("type")
        if named is not None:
            found = self.complex.get(named.rpartition(":")[2])
            if found is None:
                raise CodegenError(f"not a complex type: {named}", where=where)
            node = found
        else:
            inner = element.find(f"{XSD}complexType")
            if inner is None:
                return ()
            node = inner
        return self.fields(node, where)[1]


def _beside(path: Path, location: str) -> Path:
    """Return the file that `location` names, relative to the file at `path`."""
    if "://" in location:
        raise CodegenError(
            f"remote schemas are not fetched: {location}", hint="Store it in the WSDL's folder."
        )
    other = (path.parent / location).resolve()
    if not other.is_file():
        raise CodegenError(f"file not found: {location}, included by {path.name}")
    return other


def read_wsdl(path: Path) -> Schema:
    """Return the content of the WSDL at `path`. Raises `CodegenError`."""
    reader = _Reader(path)
    reader.load()
    service = next(reader.all(f"{WSDL}service"), None)
    if service is None and next(reader.all(f"{WSDL}portType"), None) is not None:
        raise CodegenError(
            "the WSDL has no service", hint="Give the WSDL that imports this one.", where=path.name
        )
    schema = Schema(
        reader.namespace, "Service" if service is None else service.get("name", "Service")
    )
    nodes = list(reader.index())
    schema.operations = {o.name: o for o in reader.operations()}
    schema.fault_elements = reader.fault_elements
    requests = {
        e.get("type", "").rpartition(":")[2]
        for n, e in reader.elements.items()
        if n in schema.operations
    }
    for name, node in nodes:
        since, origin = node.get(f"{ANNOTATIONS}since", ""), node.get(f"{ANNOTATIONS}vmodl", "")
        if node.tag == f"{XSD}simpleType" and name not in reader.simple:
            values = tuple(v.get("value", "") for v in node.iter(f"{XSD}enumeration"))
            schema.enums[name] = Enum(name, values, since, origin)
        elif node.tag == f"{XSD}complexType" and name not in requests and name != _REFERENCE:
            base, fields = reader.fields(node, name)
            schema.types[name] = DataType(name, base, fields, since, origin)
    _check_names(schema)
    _mark_faults(schema)
    _drop_arrays(schema)
    schema.digest = reader.hash.hexdigest()
    return schema


def _check_names(schema: Schema) -> None:
    """Raise `CodegenError` for a type that is undefined or its own ancestor."""
    known = schema.types.keys() | schema.enums.keys() | PRIMITIVES
    for name, data in schema.types.items():
        line = [name]
        while (base := schema.types[line[-1]].base) is not None:
            if base not in schema.types:
                raise CodegenError(f"the base {base} is not a complex type", where=line[-1])
            if base in line:
                raise CodegenError("the type is its own ancestor", where=name)
            line.append(base)
        _check_types(data.fields, known, name)
    for operation in schema.operations.values():
        results = (operation.returns,) if operation.returns else ()
        _check_types((*operation.params, *results), known, operation.name)


def _check_types(elements: tuple[Element, ...], known: Collection[str], where: str) -> None:
    for element in elements:
        if element.type not in known:
            raise CodegenError(f"unknown type: {element.type}", where=f"{where}.{element.name}")


def _mark_faults(schema: Schema) -> None:
    """Mark as faults the types that operations declare as such, and their bases and subtypes."""
    faults = {f for o in schema.operations.values() for f in o.faults}
    for name in list(faults):
        base = schema.types[name].base
        while base is not None and base in schema.types:
            faults.add(base)
            base = schema.types[base].base
    for name, data in schema.types.items():
        line = [name]
        while (base := schema.types[line[-1]].base) is not None and base in schema.types:
            line.append(base)
        data.fault = not faults.isdisjoint(line)


def _drop_arrays(schema: Schema) -> None:
    """Remove ArrayOfX classes: such a type is a list, unless a field has it as its own type."""
    used = {f.type for t in schema.types.values() for f in t.fields}
    used |= {t.base for t in schema.types.values() if t.base}
    used |= {
        p.type
        for o in schema.operations.values()
        for p in (*o.params, *([o.returns] if o.returns else []))
    }
    for name in [n for n in schema.types if n.startswith("ArrayOf") and n not in used]:
        del schema.types[name]
