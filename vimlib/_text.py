"""Text of others in messages and logs."""

from __future__ import annotations

import re
import unicodedata


def printable(text: str, limit: int = 200) -> str:
    """Return `text` fit for one line of a log: control characters escaped, cut at `limit`.

    Unescaped text from a peer could forge log lines or control a terminal.
    """
    cut = text[:limit]
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut
    )
    return safe + ("..." if len(text) > limit else "")


def is_line(text: str) -> bool:
    """Return whether a text is one line that XML can carry: no control characters, line ends or surrogates.

    Unlike `str.isprintable`, it takes the spaces of all scripts, and the joiners that Persian, Indic
    scripts and emoji need.
    """
    return not any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "\ufffe\uffff"
        for char in text
    )


def bare_url(url: str) -> str:
    """Return scheme, host, port and path of a URL: user info, query and fragment may be secret.

    Where an unquoted password makes it uncertain which part is the host, only the scheme is left.
    """
    parts = re.fullmatch(r"(?s)((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?(([^/?#]*)[^?#]*).*", url.strip())
    assert parts is not None  # every text matches
    scheme, rest, authority = parts[1] or "", parts[2], parts[3]
    if "@" in authority:
        return scheme + rest[authority.rindex("@") + 1 :]
    is_certain = re.fullmatch(r"(?:\[[^\]]*\]|[^:\[]*)(?::[0-9]*)?", authority)
    return scheme + (rest if is_certain or "@" not in url else "***")
