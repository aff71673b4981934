"""The state of a logged-in client that the helpers of this layer share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vimlib._repr import robust
from vimlib.model import parse_version
from vimlib.model._managed import ManagedObject, rebind
from vimlib.soap import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib import vim25
    from vimlib.model import Invoker

M = TypeVar("M", bound=ManagedObject)
T = TypeVar("T")


class Context:
    """One logged-in host, as the collector, the tasks, the inventory and the events see it.

    A client makes one and hands it to all of them::

        context = Context(session, content, api_version, max_wait=20)
        tasks = TaskWaiter(context)

    It holds no connection and needs no closing. All calls go through `invoker`, which logs in
    again when the session has expired and repeats calls where that is safe.
    """

    def __init__(
        self,
        invoker: Invoker,
        content: vim25.ServiceContent,
        api_version: str,
        *,
        max_wait: int = 20,
        patience: float = 60.0,
        most_objects: int = Limits().objects,
    ) -> None:
        if max_wait < 1:
            raise ValueError(f"max_wait must be at least 1 second, got {max_wait}")
        self.invoker = invoker
        self.content = content
        """The host's ServiceContent; proxies in it may be unbound."""
        self.api_version = api_version
        """API version of the host, as `"8.0.3.0"`."""
        self.max_wait = max_wait
        """Seconds that one long poll waits on the host. Keep it well below the read deadline of
        `invoker`, and below the minute after which proxies and firewalls cut silent connections."""
        self.patience = patience
        """Seconds for which a watch or a wait keeps trying a host that cannot be reached."""
        self.most_objects = most_objects
        """Objects that a listing may have; see `Limits.objects`."""
        self._version = parse_version(api_version)
        self._made: dict[Any, Any] = {}

    def speaks(self, version: str) -> bool:
        """Return whether the host's API is at least `version`."""
        return self._version >= parse_version(version)

    def bind(self, proxy: M) -> M:
        """Return a proxy of the same object that calls through this host's invoker."""
        return rebind(proxy, self.invoker)  # type: ignore[return-value]

    @property
    def collector(self) -> vim25.PropertyCollector:
        """The session's own property collector, bound."""
        return self.bind(self.content.propertyCollector)

    def once(self, make: Callable[[Context], T]) -> T:
        """Return `make(self)`, the same object each time: what all users of this host share."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    @robust
    def __repr__(self) -> str:
        return f"<Context {self.invoker.host} API {self.api_version}>"
