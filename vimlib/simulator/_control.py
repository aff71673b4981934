"""The control endpoint: the operations of `ESXHost` for another process. Off by default.

``POST /_ctl/VERB`` with a JSON object, by the host's own user and password (Basic); the answer
is a JSON object. Verbs: `expire`, `order`, `clear`, `fill`, `lie`, `restart`, `reboot`, `licence`,
`calls`, `guest`, `ask`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._properties.paths import fields_of
from vimlib.simulator._protocol.datastore_http import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.simulator._operations import HostOperations


class Control:
    """Serves the control endpoint of a host."""

    def __init__(
        self,
        esx: HostOperations,
        *,
        restart: Callable[[float, bool], None],
        reboot: Callable[[float], None],
    ) -> None:
        self.esx = esx
        self._restart = restart
        self._reboot = reboot

    async def serve(self, request: web.BaseRequest, raw: str) -> web.StreamResponse:
        """Handle one request; the server has checked the password."""
        verb = getattr(self, "_do_" + raw.removeprefix("/_ctl/"), None)
        if verb is None or request.method != "POST":
            return refuse(404, "No such verb")
        try:
            given = json.loads(await request.read() or b"{}")
            answer = await verb(**given)
        except (TypeError, ValueError, LookupError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(answer or {})

    async def _do_expire(self, face: Any = "fault") -> dict[str, Any]:
        if face not in ("fault", "empty", "missing"):
            raise ValueError(f"invalid face of an expired session: {face!r}")
        return {"sessions": self.esx.expire_sessions(face)}

    async def _do_order(
        self, method: str, what: Any, fault: str | None = None, fields: Any = None, **details: Any
    ) -> None:
        made = _fault(fault, fields) if fault is not None else None
        if what == "task":
            if made is None:
                raise ValueError("the failure of a task requires a fault")
            self.esx.faults.fail_task(method, made, **details)
        else:
            self.esx.faults.add(method, what, fault=made, **details)

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

    async def _do_ask(self, name: str, text: str, choices: dict[str, str]) -> dict[str, Any]:
        return {"id": self.esx.ask(name, text, choices)}


def _fault(name: str, fields: Any) -> MethodFault:
    cls = vim25.BINDING.find(name)
    if cls is None or not issubclass(cls, MethodFault):
        raise ValueError(f"unknown fault: {name!r}")
    known = fields_of(cls)
    given = {}
    for key, value in (fields or {}).items():
        field = known.get(key)
        if field is not None and field.type == "ref" and isinstance(value, str):
            kind, _, moid = value.partition(":")
            managed = vim25.BINDING.find(kind)
            if managed is None:
                raise ValueError(f"unknown managed type: {kind!r}; write a reference as TYPE:ID")
            value = managed(moid)
        given[field.attribute if field else key] = value
    absent = [
        name
        for name, field in known.items()
        if field.required and given.get(field.attribute) is None
    ]
    if absent:
        raise ValueError(f"{name} needs {', '.join(absent)}")
    made: MethodFault = cls(**given)
    return made
