"""Maps an HTTP status to an error: outcome, whether to retry, and when."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import HTTPStatusError

if TYPE_CHECKING:
    from vimlib.errors import Outcome

LONGEST_WAIT: Final = 60.0
"""Cap of Retry-After in seconds: a peer may not park a caller for days."""

# Answered before the service saw the call. 408, 5xx and all else may come from a proxy that had
# passed it on.
_REFUSED: Final = frozenset(
    {400, 401, 403, 404, 405, 406, 407, 411, 413, 414, 415, 417, 426, 429, 431, 501, 505}
)
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_HINTS: Final = {
    401: "Log in again, or check the user's rights.",
    403: "Check the user's rights and the host's lockdown mode.",
    404: "Check that the URL is that of the API: https://HOST/sdk.",
    429: "The host is busy: send fewer calls at once.",
    502: "A gateway cannot reach the service: check that hostd or vpxd is running.",
    503: "The service is starting, too busy, or at its session limit: try again later.",
    504: "A gateway timed out waiting for the service.",
}


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Read a Retry-After header: seconds or a date, capped; None for nothing or nonsense."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_WAIT)
    import email.utils  # slow to load, and few hosts send a date

    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, when - (time.time() if now is None else now)), LONGEST_WAIT)


def readable(body: bytes, limit: int) -> str:
    """Return the beginning of an error's body for a message: without HTML tags, escaped, cut."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        # The error page of a web server: a style or script is dropped whole, ended or not.
        text = re.sub(r"(?is)<(style|script)\b.*?(?:</\1>|\Z)|<[^>]*>?", " ", text)
    return printable(" ".join(text.split()), limit)


def status_error(host: str, status: int, excerpt: str, after: float | None) -> HTTPStatusError:
    """Return the error for a status other than 200 or 500."""
    outcome: Outcome = "refused" if status in _REFUSED else "unknown"
    said = f": {excerpt}" if excerpt else ""
    return HTTPStatusError(
        f"{host} answered with HTTP {status}{said}",
        hint=_HINTS.get(status, ""),
        host=host,
        status=status,
        excerpt=excerpt,
        retry_after=after,
        outcome=outcome,
        retryable=status in _RETRYABLE,
    )
