"""Zstandard, from the standard library (Python 3.14) or the extra `zstd`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from vimlib._distribution import missing_extra

_zstd: Any
try:
    _zstd = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
except ImportError:
    _zstd = None

ZSTD_ERRORS: tuple[type[Exception], ...] = () if _zstd is None else (_zstd.ZstdError,)
"""What a decompressor raises on damaged data."""


def zstd_decompressor() -> Any:
    """Return a decompressor of one frame, with the methods of `lzma.LZMADecompressor`.

    Its window is limited to 128 MiB, as by the zstd command.

    Raises:
        MissingExtraError: The extra is not installed.
    """
    if _zstd is None:
        raise missing_extra("Zstandard", package="backports.zstd", extra="zstd")
    options = {_zstd.DecompressionParameter.window_log_max: 27}
    return _zstd.ZstdDecompressor(options=options)
