"""The control endpoint: the operations of `ESXHost` for another process. Off by default.

``POST /_ctl/VERB`` with a JSON object and the header ``Authorization: Bearer TOKEN``; the answer is a
JSON object, with status 400 and its ``error`` if the request is wrong. Verbs: `expire`, `order`, `clear`, `fill`, `lie`, `restart`, `reboot`, `licence`,
`calls`, `guest`, `script`, `lockout`, `lockdown`, `ask`.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from vimlib.simulator._protocol.bodies import whole
from vimlib.simulator._protocol.datastore_http import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.simulator._operations import HostOperations

_LARGEST: Final = 1 << 20


class Control:
    """Serves the control endpoint of a host to those who have its token."""

    def __init__(
        self,
        esx: HostOperations,
        token: str,
        *,
        restart: Callable[[float, bool], None],
        reboot: Callable[[float], None],
    ) -> None:
        self.esx = esx
        self._token = token
        self._restart = restart
        self._reboot = reboot

    async def serve(self, request: web.BaseRequest, raw: str) -> web.StreamResponse:
        """Handle one request."""
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        sent = given.encode("utf-8", "surrogateescape")
        right = secrets.compare_digest(sent, self._token.encode())
        if scheme.lower() != "bearer" or not right:
            return refuse(401, "Unauthorized", **{hdrs.WWW_AUTHENTICATE: "Bearer"})
        verb = getattr(self, "_do_" + raw.removeprefix("/_ctl/"), None)
        if verb is None or request.method != "POST":
            return refuse(404, "No such verb")
        try:
            body = await whole(request, self.esx.registry.request_seconds, _LARGEST)
            if body is None:
                return refuse(413, "Request too large", Connection="close")
            given = json.loads(body or b"{}")
            answer = await verb(**given)
        except (TypeError, ValueError, LookupError, RecursionError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(answer or {})

    async def _do_expire(self, face: Any = "fault") -> dict[str, Any]:
        if face not in ("fault", "empty", "missing"):
            raise ValueError(f"invalid face of an expired session: {face!r}")
        return {"sessions": self.esx.expire_sessions(face)}

    async def _do_order(
        self, method: str, what: Any, fault: str | None = None, fields: Any = None, **details: Any
    ) -> None:
        self.esx.order(method, what, fault=fault, fields=fields, **details)

    async def _do_clear(self) -> None:
        self.esx.faults.clear()

    async def _do_fill(self, datastore: str, free: int = 0) -> None:
        self.esx.fill(datastore, free=free)

    async def _do_lie(self, datastore: str, path: str, size: int | None) -> None:
        self.esx.lie(datastore, path, size)

    async def _do_licence(self, licensed: bool) -> None:
        self.esx.registry.licensed = bool(licensed)

    async def _do_restart(self, seconds: float = 0.0, keep_state: bool = True) -> None:
        # After the answer, whose connection a restart closes.
        self._restart(seconds, keep_state)

    async def _do_reboot(self, seconds: float = 0.0) -> None:
        self._reboot(seconds)

    async def _do_calls(self, method: str | None = None) -> dict[str, Any]:
        return {
            "calls": [
                {"method": r.method, "this": list(r.this), "time": r.time, "fault": r.fault}
                for r in self.esx.call_log
                if method in (None, r.method)
            ]
        }

    async def _do_guest(self, name: str, **guest: Any) -> None:
        self.esx.set_guest(name, **guest)

    async def _do_lockout(self, failures: int, seconds: float = 900.0) -> None:
        self.esx.lock_out(failures, seconds=seconds)

    async def _do_lockdown(self, mode: str, exceptions: list[str] | None = None) -> None:
        self.esx.lock_down(mode, exceptions=exceptions or ())

    async def _do_script(self, name: str, path: str, **program: Any) -> None:
        self.esx.script(name, path, **program)

    async def _do_ask(self, name: str, text: str, choices: dict[str, str]) -> dict[str, Any]:
        return {"id": self.esx.ask(name, text, choices)}
