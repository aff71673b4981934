"""The other side of the wire: requests decoded, replies and faults encoded, from the same tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vimlib._repr import robust
from vimlib._text import printable
from vimlib.errors import EncodeError, NotFoundError, ProtocolError
from vimlib.model import Binding, ManagedObject, Method, MethodFault
from vimlib.model._data import show
from vimlib.soap._decode import MessageDecoder
from vimlib.soap._encode import Encoder, Refused, envelope
from vimlib.soap._leaf import InvalidValueError, encode_string, escape_attribute
from vimlib.soap._limits import Limits
from vimlib.soap._tables import tables_of


class Request:
    """A decoded call."""

    __slots__ = ("_method", "args", "header", "this")

    def __init__(
        self,
        method: Method[..., Any],
        this: ManagedObject,
        args: dict[str, Any],
        header: dict[str, str],
    ) -> None:
        self._method = method
        self.this = this
        """The object that is called; bound to nobody."""
        self.args = args
        """Wire name to value: None for an argument that was not given, [] for such an array."""
        self.header = header
        """Plain children of the SOAP header, as `operationID`."""

    # A property, since type checkers take a Method that is an attribute for a descriptor.
    @property
    def method(self) -> Method[..., Any]:
        """The method called."""
        return self._method

    @robust
    def __repr__(self) -> str:
        secret = {item.name for item in self._method.params if item.secret}
        args = (f"{name}={show(value, name in secret)}" for name, value in self.args.items())
        return f"<Request {self._method!r} on {self.this!r}: {', '.join(args)}>"


def decode_request(
    binding: Binding,
    body: bytes | bytearray | memoryview,
    *,
    limits: Limits = Limits(),
    strict: bool = True,
) -> Request:
    """Decode a call of any method of `binding`.

    Raises:
        NotFoundError: No method has that name; `kind` is `"Method"`, `name` is the requested one.
        ProtocolError: The request violates the schema.
    """
    tables = tables_of(binding)
    found: list[Request] = []

    def begin(namespace: str, local: str) -> None:
        method = binding.method(local) if namespace in (binding.namespace, "") else None
        if method is None:
            shown = printable(local, 80)
            raise NotFoundError(
                f"unknown method in {binding.namespace}: {shown!r}", kind="Method", name=local
            )
        shape = tables.request(method)

        def done(values: tuple[Any, ...]) -> None:
            args = dict(zip((item.name for item in shape.items), values, strict=True))
            this = args.pop("_this", None) if method.addressed else method.owner("")
            if this is None:
                raise ProtocolError("_this: required element missing", path="_this")
            decoder.complete()
            found.append(Request(method, this, args, decoder.header))

        decoder.machine.open(shape, done)

    decoder = MessageDecoder(tables, limits, begin, strict=strict, invoker=None)
    decoder.feed(body)
    decoder.finish()
    decoder.release()
    return found[0]


def encode_response(
    method: Method[..., Any], result: Any = None, *, version: str | None = None
) -> bytes:
    """Encode the reply to a call of `method`. Fields that a client of API `version` cannot know are left out.

    Raises `EncodeError` if the result does not fit the method; its `path` begins with `returnval`.
    """
    tables = tables_of(method.binding)
    shape = tables.reply(method)
    name = f"{method.name}Response"
    if not shape.items and result is not None:
        raise EncodeError(f"{method!r} returns nothing", path="returnval")
    encoder = Encoder(tables, version=version, newer="drop", limits=Limits(), typed_items=True)
    encoder.out.append(f'<{name} xmlns="{escape_attribute(tables.namespace)}">')
    _encoded(lambda: encoder.items(shape, (result,)))
    encoder.out.append(f"</{name}>")
    return envelope(encoder.out)


def encode_fault(
    fault: MethodFault,
    *,
    code: str = "ServerFaultCode",
    message: str = "",
    version: str | None = None,
    binding: Binding | None = None,
) -> bytes:
    """Encode a fault as the answer to a call, with the detail `<NAMEFault xsi:type="NAME">`.

    `binding` is that of the fault's class if not given. Raises `EncodeError` if a field does not fit.
    """
    tables = tables_of(binding or _binding_of(type(fault)))
    encoder = Encoder(tables, version=version, newer="drop", limits=Limits(), typed_items=True)
    try:
        text = encode_string(message or fault.localized_message)
        head = f"<soapenv:Fault><faultcode>{encode_string(code)}</faultcode><faultstring>{text}</faultstring>"
    except InvalidValueError as reason:
        raise EncodeError(f"faultstring: {reason}", path="faultstring") from None
    encoder.out.append(f"{head}<detail>")
    _encoded(lambda: encoder.fault(fault))
    encoder.out.append("</detail></soapenv:Fault>")
    return envelope(encoder.out)


def _encoded(encode: Any) -> None:
    try:
        encode()
    except Refused as refusal:
        path = refusal.where()
        raise EncodeError(f"{path}: {refusal.reason}", path=path, hint=refusal.hint) from None


def _binding_of(cls: type[MethodFault]) -> Binding:
    for base in cls.__mro__:
        package = base.__module__.rpartition(".")[0]
        found = getattr(import_module(package), "BINDING", None) if package else None
        if isinstance(found, Binding):
            return found
    raise EncodeError(f"{cls.__name__} belongs to no generated package; give binding=...")
