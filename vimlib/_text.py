"""Text of others in messages and logs."""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """Return `text` fit for one line of a log: control characters escaped, cut at `limit`.

    Unescaped text from a peer could forge log lines or control a terminal.
    """
    cut = text[:limit]
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut
    )
    return safe + ("..." if len(text) > limit else "")
