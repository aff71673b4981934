"""TLS over memory buffers: encrypted bytes in, plain bytes out, and the reverse. No I/O.

`Connection` moves the bytes between these buffers and its socket. asyncio's own TLS layer costs a
small call more CPU than the encryption does, and does not report whether the peer ended the
stream with `close_notify` or somebody cut it off.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import cast


class TLSStream:
    """The TLS state of one connection."""

    __slots__ = ("_failure", "_tls", "ended", "incoming", "more", "outgoing")

    def __init__(
        self, context: ssl.SSLContext, name: str | None = None, *, server_side: bool = False
    ) -> None:
        self.incoming = ssl.MemoryBIO()
        """Takes the bytes that the peer sent."""
        self.outgoing = ssl.MemoryBIO()
        """Holds the bytes to send."""
        self.ended = False
        """Whether the peer has sent `close_notify`."""
        self.more = False
        """Whether `open` can return more data, or raise, without new bytes from the peer."""
        self._tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=name
        )
        self._failure: ssl.SSLError | None = None

    def handshake(self) -> bool:
        """Take the handshake as far as the received bytes allow; return whether it is complete.

        Send the content of `outgoing` after each step, a failed one included: it may be an alert
        with the reason. Raises `ssl.SSLError`.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def certificate(self) -> bytes | None:
        """The certificate (DER) of the peer, None before the handshake is complete."""
        return self._tls.getpeercert(binary_form=True)

    def open(self, room: memoryview) -> bytes:
        """Decrypt received bytes, at most `len(room)` bytes; b"" if no record is complete.

        `room` is scratch memory. Raises `ssl.SSLError` for bytes that are not valid TLS.
        """
        if self._failure is not None:
            raise self._failure
        incoming, tls = self.incoming, self._tls
        self.more = False
        filled = 0
        try:
            while filled < len(room):
                # Given a buffer, `read` returns the number of bytes; typeshed declares bytes.
                count = cast("int", tls.read(len(room) - filled, room[filled:]))
                if count == 0:
                    self.ended = True
                    break
                filled += count
                # Checked, since an exception costs more than the decryption.
                if not incoming.pending and not tls.pending():
                    break
            else:
                self.more = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as exc:
            if not filled:
                raise
            self._failure, self.more = exc, True  # the data before it is valid
        return bytes(room[:filled])

    def seal(self, data: bytes | memoryview) -> bytes:
        """Encrypt `data`. Raises `ssl.SSLError`; none of it has been sent then."""
        try:
            done = self._tls.write(data)
            while done < len(data):
                done += self._tls.write(memoryview(data)[done:])
        finally:
            del data  # it may hold a cookie, and tracebacks keep frames
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """Return the encrypted `close_notify`."""
        with contextlib.suppress(ssl.SSLError, OSError):
            self._tls.unwrap()
        return self.outgoing.read()
