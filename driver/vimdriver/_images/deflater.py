"""Deflates the grains of streams in threads of its own, several at once."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final

from vimdriver._images.formats.deflate import deflate

_EACH: Final = 4
"""Grains that a writer is ahead with, for each thread."""
_KEPT: Final = 256
"""Grains of 64 KiB that are kept for other writers: as many as the window of a fan-out has bytes."""


class Deflater:
    """Deflates grains for one or more `StreamOptimizedWriter`s. `close` it in the end.

    Args:
        shared: Several writers write the same disk, about in step: each of its grains is deflated once.
    """

    def __init__(self, *, shared: bool = False) -> None:
        threads = os.cpu_count() or 4
        self.ahead = threads * _EACH
        """The number of grains that a writer should have in progress at most."""
        # Its threads start with its first grains.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="vimlib-deflate")
        self._shared = shared
        self._kept: OrderedDict[tuple[int, bytes], Future[bytes]] = OrderedDict()
        self._lock = Lock()

    def start(self, data: bytes, level: int) -> Future[bytes]:
        """Begin to deflate a grain; the future returns what `deflate` does. Not after `close`."""
        if not self._shared:
            return self._executor.submit(deflate, data, level)
        with self._lock:
            # The bytes themselves are the key: writers may differ in what they have read.
            key = (level, data)
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = self._executor.submit(deflate, data, level)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            return found

    def close(self) -> None:
        """End the threads, once they are done with their grains (milliseconds). Idempotent."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._kept.clear()
