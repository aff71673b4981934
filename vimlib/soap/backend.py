"""Which decoder is in use, chosen once when the package is imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, TypeVar

from vimlib.soap.decode import PureDecoder
from vimlib.soap.limits import Limits

if TYPE_CHECKING:
    from vimlib.model import Invoker, Method

__all__ = ["Decoder", "backend", "decode_response"]

P = ParamSpec("P")
R = TypeVar("R")

VARIABLE: Final = "VIMLIB_SOAP_BACKEND"


def _choose() -> tuple[Literal["pure", "accelerated"], type[PureDecoder[R]]]:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "pure", "accelerated"):
        raise ImportError(f"{VARIABLE} is {wanted!r}; it may be 'pure' or 'accelerated'")
    if wanted == "pure":
        return "pure", PureDecoder
    try:
        from vimlib.soap.accelerated import AcceleratedDecoder
    except ModuleNotFoundError as error:
        # Any other error is one of the build, and to be seen.
        if error.name != "vimlib.soap._accel":
            raise
        if wanted:
            raise ImportError(
                f"{VARIABLE} asks for the compiled decoder, which is not built here. "
                "Install vimlib where there is a C compiler, or leave the variable away."
            ) from error
        return "pure", PureDecoder
    return "accelerated", AcceleratedDecoder


_name, _decoder = _choose()

backend: Final = _name
"""`"accelerated"` or `"pure"`."""

if TYPE_CHECKING:
    Decoder = PureDecoder
else:
    Decoder = _decoder


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
