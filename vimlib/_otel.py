"""A span for each call, for programs that have OpenTelemetry. Needs the extra `otel`.

::

    async with vimlib.connect(url, user, password, middleware=[vimlib.tracing()]) as client:

Without a tracer provider the API makes spans that cost next to nothing. Attributes follow the
semantic conventions for RPC; bodies, cookies and names of users never enter a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vimlib._distribution import missing_extra
from vimlib.errors import VimlibError

try:
    from opentelemetry import trace
except ImportError as error:
    raise missing_extra("tracing", package="opentelemetry-api", extra="otel") from error

if TYPE_CHECKING:
    from vimlib._transport.base import EncodedCall, Exchange, Middleware, Reply

_SYSTEM: Final = "vim25"
_SOAP_FAULT: Final = 500


def tracing(tracer: trace.Tracer | None = None) -> Middleware:
    """Return middleware that makes a client span for every exchange, logins included.

    A fault only sets the span's error status: the caller gets the fault itself.
    Cancelling ends the span.
    """
    chosen = tracer or trace.get_tracer("vimlib")

    async def around(call: EncodedCall, exchange: Exchange, /) -> Reply:
        kind, name = call.this
        attributes: dict[str, str | int] = {
            "rpc.system": _SYSTEM,
            "rpc.service": kind,
            "rpc.method": call.method,
            "vim.object": name,
            "vim.operation_id": call.operation_id,
            "rpc.request.body.size": len(call.body),
        }
        with chosen.start_as_current_span(
            call.method,
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            # An exception's text may contain a peer's data; type and outcome are enough.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                reply = await exchange(call)
            except VimlibError as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_attribute("vim.outcome", error.outcome)
                span.set_status(trace.StatusCode.ERROR)
                raise
            span.set_attribute("rpc.response.body.size", reply.received)
            if reply.status == _SOAP_FAULT:
                span.set_attribute("error.type", "fault")
                span.set_status(trace.StatusCode.ERROR)
            return reply

    return around
