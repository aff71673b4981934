"""How a listing looks when the session behind it has ended. No I/O.

A session that has ended has three faces: a fault, which is an error like others, an empty listing,
and NotAuthenticated within the listing, in its missingSet.
"""

from __future__ import annotations

from typing import Any, Final

from vimlib import vim25

LISTINGS: Final = frozenset({"RetrieveProperties", "RetrievePropertiesEx"})
"""Methods that list objects from the beginning."""
PAGES: Final = frozenset({"ContinueRetrievePropertiesEx"})
"""Methods that go on with a listing, which cannot be done in another session."""
BOUND: Final = PAGES | {"WaitForUpdates"}
"""Methods that continue from state of the session, such as filters: the collector that
every session has (the only one before API 4.1) would wait for ever without them. A collector that
was made, as WaitForUpdatesEx mostly has, is gone with them, and the host reports that."""


def looks_expired(name: str, result: Any) -> bool:
    """Tell whether a listing has the look of an ended session: empty, or NotAuthenticated within."""
    if name in LISTINGS:
        return not _contents(result) or says_expired(result)
    return name in PAGES and says_expired(result)


def says_expired(result: Any) -> bool:
    """Tell whether there is NotAuthenticated within a listing."""
    return any(
        isinstance(getattr(missing.fault, "fault", None), vim25.NotAuthenticated)
        for item in _contents(result)
        for missing in item.missingSet
    )


def _contents(result: Any) -> list[Any]:
    objects = getattr(result, "objects", result)
    return objects if isinstance(objects, list) else []
