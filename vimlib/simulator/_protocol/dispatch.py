"""From the body of a POST to the body of its reply: decode, check, run, encode, log."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.errors import EncodeError, NotFoundError, ProtocolError
from vimlib.model import DataObject, MethodFault, parse_version
from vimlib.simulator._core.call import Call, CallRecord
from vimlib.simulator._core.handlers import HANDLERS, Handler
from vimlib.simulator._core.messages import localized, with_message
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._properties.fetch import BINDING
from vimlib.simulator._properties.internal_api import INTERNAL
from vimlib.simulator._properties.paths import fields_of, known_since
from vimlib.simulator._service.permissions import require_privilege
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._service.tasks import refused
from vimlib.soap import Limits, Request, decode_request, encode_fault, encode_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Face

log = logging.getLogger("vimlib.simulator")

# A client may send a large spec, but must not exhaust this machine's memory.
_LIMITS = Limits(wire=32 << 20, inflated=32 << 20, elements=1_000_000)

# Methods that need no session (the API's System.Anonymous privilege).
_ANONYMOUS = frozenset(
    {
        "RetrieveServiceContent",
        "Login",
        "CloneSession",
        "LoginByToken",
        "LoginBySSPI",
        "AcquireLocalTicket",
    }
)
_READS = frozenset({"RetrieveProperties", "RetrievePropertiesEx"})
_ANONYMOUS_PROPERTIES = {
    "ServiceInstance": frozenset({"content", "capability", "serverClock"}),
    "SessionManager": frozenset(
        {"currentSession", "message", "messageLocaleList", "supportedLocaleList", "defaultLocale"}
    ),
}
# Calls whose reply for an expired session can be chosen.
_FACED = _READS | {
    "ContinueRetrievePropertiesEx",
    "WaitForUpdatesEx",
    "WaitForUpdates",
    "CheckForUpdates",
}
_NEVER_EMPTY = {"WaitForUpdates", "ContinueRetrievePropertiesEx"}
# Calls that do not change the saved state.
_QUIET = _FACED | {
    "Fetch",
    "RetrieveServiceContent",
    "CurrentTime",
    "Login",
    "Logout",
    "CreateFilter",
}
# Calls that end with their connection; all others run to their end.
_WAITS = frozenset({"WaitForUpdatesEx", "WaitForUpdates"})


@dataclass
class Incoming:
    """A received request."""

    body: bytes
    cookie: str | None
    peer: str
    user_agent: str
    action: str
    """The SOAPAction header."""


@dataclass
class Answer:
    """The reply to a request."""

    body: bytes
    status: int = 200
    set_cookie: str | None = None
    lose: bool = False
    """Whether the connection is to be closed instead."""
    rule: Any = None
    """The fault on order that decides about the answer."""
    method: str = ""


class Interrupted(Exception):
    """An injected failure replaces the reply; the call was not run."""

    def __init__(self, rule: Any) -> None:
        super().__init__(rule.what)
        self.rule = rule


_XSD = b' xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
_ROOT = re.compile(rb"<[A-Za-z][\w:.-]*")


def _with_prefix(body: bytes) -> bytes:
    """Declare the prefix `xsd` where it is used and not declared.

    nova and oslo.vmware add `xsi:type="xsd:string"` to envelopes of suds, which do not declare the
    prefix, and hosts accept that.
    """
    if b'="xsd:' not in body or b"xmlns:xsd=" in body:
        return body
    root = _ROOT.search(body)
    return body if root is None else body[: root.end()] + _XSD + body[root.end() :]


async def serve_call(registry: Registry, incoming: Incoming, records: list[CallRecord]) -> Answer:
    """Handle one call. Raises `Interrupted` if an injected failure replaces the reply.

    Cancelling it ends a wait for updates; any other call runs to its end.
    """
    version = _version(registry, incoming.action)
    try:
        request = _decode(_with_prefix(incoming.body))
    except NotFoundError as error:
        records.append(
            CallRecord(error.name, ("", ""), registry.clock.monotonic(), "InvalidRequest")
        )
        fault = with_message(
            vim25.InvalidRequest(),
            f"Unable to resolve WSDL method name {error.name} in namespace urn:vim25",
        )
        return Answer(encode_fault(fault), 500)
    except ProtocolError as error:
        records.append(CallRecord("", ("", ""), registry.clock.monotonic(), "InvalidRequest"))
        return Answer(
            encode_fault(with_message(vim25.InvalidRequest(), f"Malformed request: {error}")), 500
        )
    record = _record(registry, request)
    records.append(record)
    call = Call(
        registry,
        request.method.name,
        request.args,
        None,
        incoming.cookie,
        incoming.peer,
        incoming.user_agent,
    )
    lose = None
    try:
        await _delay(registry, call)
        for rule in registry.faults.matching(call.method):
            if rule.what == "delay":
                await registry.clock.sleep(rule.seconds)
            elif rule.what == "fault":
                assert rule.fault is not None
                raise rule.fault.copy()
            elif rule.what in ("lose", "empty", "truncate"):
                lose = rule
            else:
                record.fault = f"({rule.what})"
                raise Interrupted(rule)
        result = await _run(registry, request, call, record)
        if call.method not in _QUIET:
            await registry.persist()
        body = encode_response(request.method, result, version=version)
        answer = Answer(body, 200, call.set_cookie)
    except MethodFault as fault:
        record.fault = fault.fault_name
        answer = _refusal(fault, version, call.set_cookie)
    except EncodeError as error:
        record.fault = "SystemError"
        answer = _bug(error)
    finally:
        if registry.trace is not None:
            registry.trace(record)
    answer.method = call.method
    if lose is not None:
        answer.rule = lose
        record.fault = record.fault or f"({lose.what})"
    return answer


def _decode(body: bytes) -> Request:
    """Decode a request: of the public methods, or else of those that only hosts know of."""
    try:
        return decode_request(BINDING, body, limits=_LIMITS)
    except NotFoundError as error:
        if INTERNAL.method(error.name) is None:
            raise
        # Some of them have a namespace of their own in requests (govmomi).
        body = body.replace(b'"urn:internalvim25"', b'"urn:vim25"')
        return decode_request(INTERNAL, body, limits=_LIMITS)


def _refusal(fault: MethodFault, version: str, set_cookie: str | None) -> Answer:
    try:
        return Answer(encode_fault(fault, version=version, binding=INTERNAL), 500, set_cookie)
    except EncodeError as error:
        return _bug(error)


def _bug(error: EncodeError) -> Answer:
    """Return the reply for a result that cannot be encoded: an error of the simulator or of a rule."""
    log.error("cannot encode the reply: %s", error)
    fault = with_message(vim25.SystemError(reason=f"simulator: {error}"))
    return Answer(encode_fault(fault), 500)


async def _delay(registry: Registry, call: Call) -> None:
    if registry.faults.latency > 0:
        await registry.clock.sleep(registry.faults.latency)


def _record(registry: Registry, request: Request) -> CallRecord:
    secret = {item.name for item in request.method.params if item.secret}
    return CallRecord(
        request.method.name,
        request.this.moref,
        registry.clock.monotonic(),
        args={
            name: value
            for name, value in request.args.items()
            if name not in secret and name != "password"
        },
    )


async def _run(registry: Registry, request: Request, call: Call, record: CallRecord) -> Any:
    method = request.method
    if not known_since(method.since or method.owner._since_, registry.version):
        text = f"Unable to resolve WSDL method name {method.name} in namespace urn:vim25"
        if method.binding is INTERNAL:
            # What rbvmomi expects of a 4.1 that it asks for the DynamicTypeManager.
            this: Any = request.this
            raise with_message(vim25.MethodNotFound(receiver=this, method=method.name), text)
        raise with_message(vim25.InvalidRequest(), text)
    _refuse_young(request.args.values(), registry.version)
    call.session = registry.one(SessionManager).find(call.cookie)
    if call.session is not None:
        call.session.calls += 1
        record.session = call.session.key
    elif method.name not in _ANONYMOUS:
        face = registry.one(SessionManager).dead.get(call.cookie or "", "fault")
        faced = _faced(face, request, call)
        if faced is not None:
            return faced[0]
    obj = registry.find(request.this)
    handler = _handler(obj, method)
    require_privilege(call, obj)
    try:
        result = handler(obj, call)
    except MethodFault as fault:
        if method.returns is None or method.returns.referent != "Task":
            raise
        return refused(call, obj, fault)
    if inspect.isawaitable(result):
        if method.name in _WAITS:
            return await result
        # If the peer disconnects, the call still runs to its end, as on a host.
        return await asyncio.shield(registry.spawn(_finish(result), f"simulated {method.name}"))
    return result


async def _finish(result: Any) -> Any:
    return await result


def _faced(face: Face, request: Request, call: Call) -> tuple[Any] | None:
    """Return the reply to a call without a session, None if the call needs none."""
    name = request.method.name
    if name == "Fetch" and request.args["prop"] in _ANONYMOUS_PROPERTIES.get(
        request.this.moref[0], ()
    ):
        return None
    # WaitForUpdates and Continue... have no empty answer: their result is required by the schema.
    if face == "empty" and name in _FACED and name not in _NEVER_EMPTY:
        return (None if name != "RetrieveProperties" else [],)
    if name in _READS and _anonymous(request.args["specSet"]):
        return None
    this: Any = request.this
    fault = with_message(vim25.NotAuthenticated(object=this, privilegeId="System.View"))
    if face == "missing" and name in _READS:
        contents = [
            vim25.ObjectContent(
                obj=start.obj,
                missingSet=[
                    vim25.MissingProperty(
                        path=path,
                        fault=localized(fault),
                    )
                    for prop in spec.propSet
                    for path in prop.pathSet
                ],
            )
            for spec in request.args["specSet"]
            for start in spec.objectSet
        ]
        return (
            contents if name == "RetrieveProperties" else vim25.RetrieveResult(objects=contents),
        )
    raise fault


def _anonymous(specs: Iterable[Any]) -> bool:
    """Whether a read is of public properties only."""
    for spec in specs:
        for start in spec.objectSet:
            allowed = _ANONYMOUS_PROPERTIES.get(start.obj.moref[0])
            if allowed is None or start.selectSet:
                return False
            for prop in spec.propSet:
                if prop.all or any(path.partition(".")[0] not in allowed for path in prop.pathSet):
                    return False
    return True


def _handler(obj: SimObject, method: Any) -> Handler:
    owner = method.owner.__name__
    found: tuple[type[SimObject], Handler] | None = None
    for cls, handler in HANDLERS.get(method.name, ()):
        if isinstance(obj, cls) and (found is None or issubclass(cls, found[0])):
            found = cls, handler
    if found is not None:
        return found[1]
    if owner not in obj.kinds:
        raise with_message(
            vim25.MethodNotFound(receiver=obj.ref, method=method.name),
            f"The method {method.name} is not known to {obj.kind}.",
        )
    raise with_message(
        vim25.NotImplemented(), f"The simulator does not implement {owner}.{method.name}."
    )


def _refuse_young(values: Iterable[Any], version: tuple[int, ...]) -> None:
    """Raise `InvalidRequest` for a type or field that is newer than the host."""
    todo = [value for value in values if value is not None]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, (DataObject, MethodFault)):
            for attribute, since, name in _checked(type(value), version):
                inner = getattr(value, attribute, None)
                if inner is None or inner == []:
                    continue
                if since:
                    raise with_message(
                        vim25.InvalidRequest(),
                        f'Unexpected element tag "{name}" seen while parsing serialized value of type {type(value).__name__}',
                    )
                if isinstance(inner, (list, DataObject)):
                    todo.append(inner)


_CHECKED: dict[Any, tuple[tuple[str, bool, str], ...]] = {}


def _checked(cls: Any, version: tuple[int, ...]) -> tuple[tuple[str, bool, str], ...]:
    """Return attribute, whether it is too new, and wire name of each field of a class."""
    found = _CHECKED.get((cls, version))
    if found is not None:
        return found
    born = cls.__dict__.get("_since_", "")
    if not known_since(born, version):
        raise with_message(vim25.InvalidRequest(), f"Unknown type {cls.__name__}")
    found = _CHECKED[cls, version] = tuple(
        (field.attribute, not known_since(field.since, version), name)
        for name, field in fields_of(cls).items()
    )
    return found


def _version(registry: Registry, action: str) -> str:
    """Return the API version in which to answer: the client's, if it is older than the host's."""
    text = action.strip().strip('"').removeprefix("urn:vim25").removeprefix("/")
    if text:
        try:
            if parse_version(text) < registry.version:
                return text
        except ValueError:
            pass
    return registry.release.api
