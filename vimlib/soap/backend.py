"""Which decoder is in use, chosen once when the package is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, TypeVar

from vimlib.soap.decode import PureDecoder as Decoder
from vimlib.soap.limits import Limits

if TYPE_CHECKING:
    from vimlib.model import Invoker, Method

__all__ = ["Decoder", "backend", "decode_response"]

P = ParamSpec("P")
R = TypeVar("R")


def _choose() -> Literal["pure", "accelerated"]:
    wanted = os.environ.get("VIMLIB_SOAP_BACKEND", "")
    if wanted not in ("", "pure", "accelerated"):
        raise ImportError(f"VIMLIB_SOAP_BACKEND is {wanted!r}; it may be 'pure' or 'accelerated'")
    if wanted == "accelerated":
        raise ImportError("VIMLIB_SOAP_BACKEND asks for the accelerator, which is not built here")
    return "pure"


backend: Final = _choose()
"""`"accelerated"` or `"pure"`."""


def decode_response(
    method: Method[P, R],
    body: bytes | bytearray | memoryview,
    *,
    limits: Limits = Limits(),
    strict: bool = False,
    invoker: Invoker | None = None,
) -> R:
    """Decode a whole reply: the result of `method`, None for a void one.

    Raises the fault for a Fault body and `ProtocolError` for anything that is no reply to the
    call; see `Decoder`.
    """
    decoder = Decoder(method, limits=limits, strict=strict, invoker=invoker)
    decoder.feed(body)
    return decoder.close()
