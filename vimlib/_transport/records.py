"""TLS of a connection after its handshake, over memory: bytes in, bytes out. No I/O."""

from __future__ import annotations

import contextlib
import ssl
from typing import cast

__all__ = ["Records"]


class Records:
    """What one connection has received and not decrypted yet, and what it has encrypted to send."""

    __slots__ = ("_failure", "_tls", "ended", "incoming", "outgoing")

    def __init__(
        self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._tls = tls
        self.incoming = incoming
        """Takes what the peer sent."""
        self.outgoing = outgoing
        """Has what is to be sent."""
        self.ended = False
        """Whether the peer has said good-bye."""
        self._failure: ssl.SSLError | None = None

    @property
    def more(self) -> bool:
        """Whether `open` has more to say: records that it has not looked at, or an error."""
        return self.incoming.pending > 0 or self._tls.pending() > 0 or self._failure is not None

    def open(self, room: memoryview) -> bytes:
        """Return what the records hold that have come, as far as `room` allows; b"" for nothing yet.

        Raises `ssl.SSLError` for what is no record of the peer's.
        """
        if self._failure is not None:
            raise self._failure
        filled = 0
        try:
            while filled < len(room):
                # With a buffer it returns how many bytes it put there, whatever typeshed says.
                count = cast("int", self._tls.read(len(room) - filled, room[filled:]))
                if count == 0:
                    self.ended = True
                    break
                filled += count
                if not self.more:  # asked, since an exception costs more than the decryption
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as exc:
            if not filled:
                raise
            self._failure = exc  # what came before it is sound
        return bytes(room[:filled])

    def seal(self, data: bytes) -> bytes:
        """Return `data` in records. Raises `ssl.SSLError`; nothing of it has left then."""
        try:
            done = self._tls.write(data)
            while done < len(data):
                done += self._tls.write(memoryview(data)[done:])
        finally:
            del data  # it may hold a cookie, and tracebacks hold frames
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """Return what tells the peer that nothing more comes."""
        with contextlib.suppress(ssl.SSLError, OSError):
            self._tls.unwrap()
        return self.outgoing.read()
