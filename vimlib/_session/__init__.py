"""Login, keepalive, and one shared re-login for all waiting callers.

`policy` decides what may be repeated and does no I/O; the rest acts. Stands on the transport, and
may import nothing from the helpers or the client above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy
from vimlib._session.policy import Backoff, RetryPolicy
from vimlib._session.readonly import HARMLESS, READ_ONLY

if TYPE_CHECKING:
    from vimlib._session.session import Credentials, Session

__all__ = ["HARMLESS", "READ_ONLY", "Backoff", "Credentials", "RetryPolicy", "Session"]

__getattr__, __dir__ = lazy(__name__, {"session": "Credentials Session"})
