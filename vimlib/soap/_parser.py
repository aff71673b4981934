"""Expat's parsers as this package wants them, whichever release of expat is there."""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

_SWITCH: Final = hasattr(expat.XMLParserType, "SetReparseDeferralEnabled")

HELD: Final = 2 if expat.version_info >= (2, 6) and not _SWITCH else 1
"""How many times its own length of a token expat may hold before it reports it."""


def make_parser() -> expat.XMLParserType:
    """Return a parser of UTF-8 with namespaces, which reports each token as soon as it is complete.

    Expat 2.6 and later read a token that has not ended again only once its bytes have doubled, so
    that a long one in drops costs little. A token is then not reported before more bytes arrive, and
    looks like one without an end. The decoder waits for long tokens itself.
    Pythons of before that release, built with it, cannot switch that off (`HELD`).
    """
    parser = expat.ParserCreate("UTF-8", " ")
    if _SWITCH:
        parser.SetReparseDeferralEnabled(False)
    return parser
