"""A client that does not decode replies: the cost of a server alone, or a cookie for curl."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vimlib import vim25
from vimlib.model import Method
from vimlib.soap import decode_response, encode_request

__all__ = ["Raw"]

R = TypeVar("R")
ACTION = "urn:vim25/6.5"


class Raw:
    """One connection to a host that runs on this machine."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        # A host that was made for this run, on loopback.
        context = ssl._create_unverified_context()  # noqa: SLF001
        assert parts.hostname is not None
        self._connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, context=context, timeout=600
        )
        self.cookie = ""

    def send(self, method: Method[..., Any], this: Any, args: Mapping[str, Any]) -> bytes:
        """Call and return the reply's bytes."""
        body = encode_request(method, this, args, version="6.5")
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": ACTION}
        if self.cookie:
            headers["Cookie"] = self.cookie
        self._connection.request("POST", "/sdk", body, headers)
        answer = self._connection.getresponse()
        if found := answer.headers.get("Set-Cookie"):
            self.cookie = found.partition(";")[0]
        reply = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method.name}: HTTP {answer.status}: {reply[:200]!r}")
        return reply

    def call(self, method: Method[..., R], this: Any, args: Mapping[str, Any]) -> R:
        """Call and return the result."""
        return decode_response(method, self.send(method, this, args))

    def login(self, username: str, password: str) -> vim25.ServiceContent:
        """Log in and return the service content."""
        instance = vim25.ServiceInstance("ServiceInstance")
        content = self.call(vim25.ServiceInstance.RetrieveServiceContent, instance, {})
        login = {"userName": username, "password": password}
        self.call(vim25.SessionManager.Login, content.sessionManager, login)
        return content

    def pages(self, paths: tuple[str, ...], content: vim25.ServiceContent) -> tuple[int, int]:
        """Read properties of all machines to the end; return pages and bytes."""
        view = self.call(
            vim25.ViewManager.CreateContainerView,
            content.viewManager,
            {"container": content.rootFolder, "type": ["VirtualMachine"], "recursive": True},
        )
        hop = vim25.TraversalSpec(name="view", type="ContainerView", path="view", skip=False)
        spec = vim25.PropertyFilterSpec(
            propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=list(paths))],
            objectSet=[vim25.ObjectSpec(obj=view, skip=True, selectSet=[hop])],
        )
        collector = vim25.PropertyCollector
        arguments: dict[str, Any] = {"specSet": [spec], "options": vim25.RetrieveOptions()}
        reply = self.send(collector.RetrievePropertiesEx, content.propertyCollector, arguments)
        count, size = 1, len(reply)
        while token := re.search(rb"<token>([^<]+)</token>", reply[:4096] + reply[-4096:]):
            arguments = {"token": token[1].decode()}
            reply = self.send(
                collector.ContinueRetrievePropertiesEx, content.propertyCollector, arguments
            )
            count, size = count + 1, size + len(reply)
        return count, size

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
