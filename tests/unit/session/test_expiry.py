"""However sessions end, no caller sees it, and each end costs one login at most."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig import clock
from tests.rig.host import BINDING, service_content, session_of
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._session import Session
from vimlib._session.credentials import Credentials
from vimlib._session.policy import MOST_LOGINS
from vimlib._transport import EncodedCall, ScriptedTransport
from vimlib.errors import SessionExpiredError
from vimlib.soap import decode_request, encode_fault, encode_response

Face = str
FACES = ("fault", "empty", "missing")
NAME = "value of name"


@dataclass
class Host:
    """A host whose sessions end at times of the test's choosing, behind a wire that takes its time."""

    rng: random.Random = field(default_factory=random.Random)
    slow: float = 0.0
    """Most seconds for each part of an exchange: waiting for a connection, the way there and back."""
    live: str = ""
    """The session that is accepted."""
    face: Face = "fault"
    logins: int = 0
    expiries: int = 0
    applied: list[str] = field(default_factory=list)
    held: dict[str, list[asyncio.Event]] = field(default_factory=dict)
    """Replies to the next calls of a method, which wait for these events."""

    def expire(self) -> None:
        if self.live:
            self.live = ""
            self.expiries += 1

    async def _pass(self) -> None:
        if self.slow:
            await asyncio.sleep(self.rng.uniform(0, self.slow))

    async def answer(self, call: EncodedCall) -> bytes | Exception:
        await self._pass()  # a connection becomes free
        cookie = call.credential()
        given = "" if cookie is None else cookie.reveal()
        await self._pass()
        reply = self._decide(call, given)
        for waiting in self.held.get(call.method, [])[:1]:
            self.held[call.method].remove(waiting)
            await waiting.wait()
        await self._pass()
        return reply

    def _decide(self, call: EncodedCall, cookie: str) -> bytes:
        request = decode_request(BINDING, call.body)
        method: Any = request.method
        name = method.name
        if name == "RetrieveServiceContent":
            return encode_response(method, service_content())
        if name == "Login":
            self.logins += 1
            self.live = f"session-{self.logins}"
            assert call.on_cookie is not None
            call.on_cookie(Secret(self.live))
            return encode_response(method, session_of("x"))
        if not cookie or cookie != self.live:
            return self._refuse(method, request.args)
        self.applied.append(name)
        if name == "Logout":
            self.live = ""
            return encode_response(method)
        if name in {"RetrieveProperties", "RetrievePropertiesEx"}:
            found = [
                vim25.ObjectContent(
                    obj=request.args["specSet"][0].objectSet[0].obj,
                    propSet=[
                        vim25.DynamicProperty(
                            name=path, val=session_of("x") if path == "currentSession" else NAME
                        )
                        for path in request.args["specSet"][0].propSet[0].pathSet
                    ],
                )
            ]
            return encode_response(
                method,
                found if name == "RetrieveProperties" else vim25.RetrieveResult(objects=found),
            )
        if name.endswith("_Task"):
            return encode_response(method, vim25.Task("task-1"))
        return encode_response(method, datetime(2026, 1, 1, tzinfo=UTC))

    def _refuse(self, method: Any, args: dict[str, Any]) -> bytes:
        name = method.name
        fault: Any = vim25.NotAuthenticated(privilegeId="System.View")
        if name not in {"RetrieveProperties", "RetrievePropertiesEx"} or self.face == "fault":
            return encode_fault(fault)
        found = []
        if self.face == "missing":
            found = [
                vim25.ObjectContent(
                    obj=args["specSet"][0].objectSet[0].obj,
                    missingSet=[
                        vim25.MissingProperty(
                            path=args["specSet"][0].propSet[0].pathSet[0],
                            fault=vim25.LocalizedMethodFault(fault=fault),
                        )
                    ],
                )
            ]
        if name == "RetrieveProperties":
            return encode_response(method, found)
        return encode_response(method, vim25.RetrieveResult(objects=found) if found else None)

    def session(self) -> Session:
        methods = (
            "RetrieveServiceContent Login Logout RetrieveProperties RetrievePropertiesEx CurrentTime "
            "PowerOnVM_Task"
        )
        transport = ScriptedTransport(dict.fromkeys(methods.split(), self.answer))
        return Session(transport, Credentials("root", Secret("x")), keepalive=None)


async def read(session: Session) -> None:
    spec = vim25.PropertyFilterSpec(
        propSet=[vim25.PropertySpec(type="HostSystem", pathSet=["name"])],
        objectSet=[vim25.ObjectSpec(obj=vim25.HostSystem("ha-host"))],
    )
    collector = session.content.propertyCollector
    found = await collector.RetrievePropertiesEx([spec], vim25.RetrieveOptions())
    assert found is not None
    assert found.objects[0].propSet[0].val == NAME


async def change(session: Session) -> None:
    assert await session.bind(vim25.VirtualMachine("1")).PowerOnVM_Task() is not None


async def ask(session: Session) -> None:
    assert await session.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime() is not None


async def ensure(session: Session) -> None:
    assert await session.ensure() is not None


Verb = Callable[[Session], Awaitable[None]]
VERBS: tuple[Verb, ...] = (read, change, ask, ensure)


@given(
    seed=st.integers(0, 2**32),
    face=st.sampled_from(FACES),
    calls=st.lists(st.tuples(st.sampled_from(VERBS), st.floats(0, 20)), min_size=1, max_size=60),
    ends=st.lists(st.floats(0, 25), max_size=MOST_LOGINS),
)
def test_no_caller_sees_the_end_of_a_session(
    seed: int, face: Face, calls: list[tuple[Verb, float]], ends: list[float]
) -> None:
    async def main() -> None:
        host = Host(random.Random(seed), slow=2.0, face=face)

        async def later(seconds: float, verb: Verb, session: Session) -> None:
            await asyncio.sleep(seconds)
            await verb(session)

        async with host.session() as session:
            for end in ends:
                asyncio.get_running_loop().call_later(end, host.expire)
            await asyncio.gather(*(later(at, verb, session) for verb, at in calls))
            assert host.logins <= 1 + host.expiries
            assert host.applied.count("PowerOnVM_Task") == sum(verb is change for verb, _ in calls)

    clock.run(main())


@pytest.mark.parametrize("face", FACES)
def test_a_check_that_was_answered_before_the_refusal_proves_nothing(face: Face) -> None:
    async def main() -> None:
        host = Host(face=face)
        async with host.session() as session:
            answered = asyncio.Event()
            host.held["RetrieveProperties"] = [answered]
            checking = asyncio.create_task(session.ensure())
            await asyncio.sleep(1)  # the host has said "it lives"; the reply is on its way
            host.expire()
            calls = [asyncio.create_task(verb(session)) for verb in (read, change, ask)]
            await asyncio.sleep(1)
            answered.set()
            await asyncio.gather(*calls)
            await checking
            assert host.logins == 2

    clock.run(main())


def test_a_request_carries_the_cookie_of_the_moment_in_which_it_is_written() -> None:
    async def main() -> None:
        host = Host()
        async with host.session() as session:
            written: list[str] = []
            free = asyncio.Event()
            plain = host.answer

            async def waits_for_a_connection(call: EncodedCall) -> bytes | Exception:
                await free.wait()
                cookie = call.credential()
                written.append("" if cookie is None else cookie.reveal())
                return await plain(call)

            session._transport._script["CurrentTime"] = waits_for_a_connection  # type: ignore[attr-defined]
            waiting = asyncio.create_task(ask(session))
            await asyncio.sleep(1)
            host.expire()
            await read(session)
            free.set()
            await waiting
            assert written == ["session-2"]

    clock.run(main())


def test_a_host_that_ends_every_session_is_given_up() -> None:
    async def main() -> None:
        host = Host()
        plain = host.answer

        async def ends(call: EncodedCall) -> bytes | Exception:
            host.expire()
            return await plain(call)

        async with host.session() as session:
            session._transport._script["CurrentTime"] = ends  # type: ignore[attr-defined]
            with pytest.raises(SessionExpiredError, match="before it answered CurrentTime"):
                await ask(session)
            assert host.logins == 1 + MOST_LOGINS

    clock.run(main())
