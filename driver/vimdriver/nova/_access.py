"""Access to the hosts of a service, for nova's threads, with nova's errors in place of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import nova.conf
from nova import exception

from vimdriver.nova import _options as options
from vimdriver.nova._faults import translated, translated_host
from vimdriver.nova._refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._driver import ESXDriver
    from vimdriver._instances.types import Instance
    from vimdriver.nova._hosts import Hosts, Node

T = TypeVar("T")

CONF = nova.conf.CONF


class HostAccess(Refusals):
    """The hosts of a service between `init_host`, which a subclass has, and `cleanup_host`."""

    def __init__(self, virtapi: Any) -> None:
        super().__init__(virtapi)
        self._options = options.register(CONF)
        self._hosts: Hosts | None = None
        self._closed = False

    def _all(self) -> Hosts:
        if self._closed:
            raise exception.VirtDriverNotReady
        if self._hosts is None:
            # Nova's tests, and its tools, use a driver without `init_host`.
            self.init_host(CONF.host)
        assert self._hosts is not None
        return self._hosts

    def _node(self, name: str | None) -> Node:
        return self._all().node(name)

    def _only(self) -> Node:
        """Return the host of a service that has one: nova names none for these operations.

        Raises:
            NotImplementedError: The service has several hosts.
        """
        if (count := len(self._all().nodes)) > 1:
            raise NotImplementedError(
                f"the service must have one ESX host for this, got {count} in hosts_file"
            )
        return self._node(None)

    def _run(self, node: Node, work: Callable[[ESXDriver], Awaitable[T]], context: Any = None) -> T:
        request = getattr(context, "request_id", None) or ""
        return self._all().run(node, work, request=request)

    def _ask(self, node: Node, work: Callable[[ESXDriver], Awaitable[T]]) -> T:
        with translated_host():
            return self._run(node, work)

    def _on(
        self,
        instance: Any,
        work: Callable[[ESXDriver], Awaitable[T]],
        context: Any = None,
        *,
        states: Callable[..., Exception] | None = None,
    ) -> T:
        with translated(instance, states=states):
            return self._run(self._node(instance.node), work, context)

    def _instances(self) -> list[Instance]:
        found: list[Instance] = []
        for node in self._all().nodes.values():
            found += self._ask(node, lambda esx: esx.list_instances(owned=True))
        return found
