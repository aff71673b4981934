"""Which decoder is in use, chosen once when the package is imported."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from vimlib._text import printable
from vimlib.errors import UsageError
from vimlib.soap._decode import PureDecoder
from vimlib.soap._limits import Limits
from vimlib.soap._native import REVISION

if TYPE_CHECKING:
    from vimlib.model import Invoker, Method

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("vimlib.soap")

VARIABLE: Final = "VIMLIB_SOAP_BACKEND"


def _choose() -> tuple[Literal["pure", "accelerated"], type[PureDecoder[Any]]]:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "pure", "accelerated"):
        raise UsageError(
            f"{VARIABLE} must be 'pure' or 'accelerated', got {printable(wanted)!r}", field=VARIABLE
        )
    if wanted == "pure":
        return "pure", PureDecoder
    lacking = _lacking()
    if not lacking:
        from vimlib.soap._accelerated import AcceleratedDecoder

        return "accelerated", AcceleratedDecoder
    if wanted:
        raise UsageError(
            f"{VARIABLE}={wanted} requires the compiled decoder, which {lacking}",
            hint="Install vimlib on a machine with a C compiler, or unset the variable.",
            field=VARIABLE,
        )
    return "pure", PureDecoder


def _lacking() -> str:
    """Return why the compiled decoder cannot be used; "" if it can."""
    try:
        accel = import_module("vimlib.soap._accel")
    except ModuleNotFoundError as error:
        # Any other error is one of the build, and to be seen.
        if error.name != "vimlib.soap._accel":
            raise
        return "is not built"
    if getattr(accel, "REVISION", 0) != REVISION:
        # A working copy has moved on since it was installed.
        log.warning(
            "ignoring the compiled decoder, which has another revision; install vimlib again"
        )
        return "has another revision"
    return ""


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

    Raises the fault for a Fault body and `ProtocolError` for anything else than a reply to the
    call; see `Decoder`.
    """
    decoder = Decoder(method, limits=limits, strict=strict, invoker=invoker)
    decoder.feed(body)
    return decoder.close()
