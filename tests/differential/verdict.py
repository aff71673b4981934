"""The words of the table, and the judges that award them from observations alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tests.differential.servers import NAMES, Server, Simulator

if TYPE_CHECKING:
    from tests.rig.relay import Relay
    from tests.rig.stage import Stage

Word = Literal["ok", "duplicates", "hangs", "lies", "trusts", "leaks", "-"]

WORDS: dict[Word, str] = {
    "ok": "did it right, or raised an error, within the deadline",
    "duplicates": "sent again what must not be done twice",
    "hangs": "had not ended at the deadline",
    "lies": "returned something as a result that was not so, or reported success without it",
    "trusts": "gave data to, or took data from, a peer that it had no reason to believe",
    "leaks": "showed a secret in a log, a repr or an error",
    "-": "does not offer it",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict of one cell: a word and its evidence."""

    word: Word
    evidence: str


@dataclass
class Seen:
    """The observations of one client in one scenario."""

    outcome: dict[str, Any] | None
    """The outcome that the client reported; None: nothing by the deadline."""
    deadline: float
    server: Server
    relay: Relay
    trap: Stage
    """The target of redirects."""
    before: int = 0
    """Calls that the relay had seen at the checkpoint."""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def returned(self) -> Any:
        return (self.outcome or {}).get("returned")

    @property
    def host(self) -> Simulator:
        assert isinstance(self.server, Simulator)
        return self.server

    def told(self) -> str:
        if self.outcome is None:
            return f"no end in {self.deadline:g} s"
        if "raised" in self.outcome:
            return f"raises {self.outcome['raised']}"
        value = self.returned
        if isinstance(value, dict):
            shown = value["value"] if value["type"] == "names" else value["type"]
            return f"returns {shown}"
        return "returns" if value is None else f"returns {value}"

    def sent(self, method: str) -> int:
        """Return how often a method was sent since the checkpoint."""
        return self.relay.calls[self.before :].count(method)


Judge: TypeAlias = Callable[[Seen], Awaitable[Verdict]]


def _told(seen: Seen, *, good: bool, otherwise: Word = "lies") -> Verdict:
    """An error is fine; a result must be `good`."""
    if seen.outcome is None:
        return Verdict("hangs", seen.told())
    if "raised" in seen.outcome or good:
        return Verdict("ok", seen.told())
    return Verdict(otherwise, seen.told())


def works(judge: Judge) -> Judge:
    """As `judge`, but without a fault: an error is not acceptable."""

    async def strictly(seen: Seen) -> Verdict:
        if seen.outcome is not None and "raised" in seen.outcome:
            return Verdict("lies", f"{seen.told()}: {seen.outcome['text']}")
        return await judge(seen)

    return strictly


async def no_byte(seen: Seen) -> Verdict:
    """The peer must not have received a byte of the client's requests."""
    received = seen.relay.stage.received
    if not received:
        return _told(seen, good=False)
    password = seen.server.password.encode() in received
    what = "the password" if password else f"{len(received)} bytes"
    return Verdict("trusts", f"the peer got {what}")


async def no_byte_later(seen: Seen) -> Verdict:
    """As `no_byte`, from the checkpoint on, when the certificate had changed."""
    if "connections" not in seen.notes:  # the client did not reach the checkpoint
        return _told(seen, good=False)
    new = seen.relay.stage.connections[seen.notes["connections"] :]
    received = sum(len(conn.received) for conn in new)
    if not received:
        return _told(seen, good=False)
    cookie = any(
        value.encode() in bytes(conn.received) for conn in new for value in seen.relay.cookies
    )
    return Verdict(
        "trusts", f"the peer got {'the session cookie' if cookie else f'{received} bytes'}"
    )


def one_machine(name: str) -> Judge:
    """Exactly one machine must have the name, or none if the client raised an error."""

    async def judge(seen: Seen) -> Verdict:
        count, sent = await seen.server.machines(name), seen.sent("CreateVM_Task")
        if count > 1:
            return Verdict("duplicates", f"{count} machines; {seen.told()}")
        if sent > 1:
            return Verdict("duplicates", f"sent {sent} times; {seen.told()}")
        return _told(seen, good=count == 1)

    return judge


async def one_snapshot(seen: Seen) -> Verdict:
    """Exactly one snapshot must exist, or none if the client raised an error."""
    count = seen.host.snapshots()
    if count > 1:
        return Verdict("duplicates", f"{count} snapshots; {seen.told()}")
    return _told(seen, good=count == 1)


def sent_once(method: str) -> Judge:
    """A method must have been sent once."""

    async def judge(seen: Seen) -> Verdict:
        if (sent := seen.sent(method)) > 1:
            return Verdict("duplicates", f"sent {sent} times; {seen.told()}")
        return _told(seen, good=True)

    return judge


async def a_time(seen: Seen) -> Verdict:
    """The result must be a date and time, or an error."""
    value = seen.returned
    return _told(seen, good=isinstance(value, dict) and value["type"] == "datetime")


async def a_time_and_no_other_type(seen: Seen) -> Verdict:
    """As `a_time`; with another type, the client trusted the peer's type."""
    value = seen.returned
    good = isinstance(value, dict) and value["type"] == "datetime"
    return _told(seen, good=good, otherwise="trusts")


async def the_names(seen: Seen) -> Verdict:
    """The result must be the names of the machines, or an error."""
    return _told(seen, good=_names(seen.returned))


async def the_names_without_entities(seen: Seen) -> Verdict:
    """As `the_names`; an expanded entity means that the client trusted the peer."""
    expanded = any(
        word in str(seen.returned) for word in (EXPANDED, seen.notes.get("file", EXPANDED))
    )
    return _told(seen, good=_names(seen.returned), otherwise="trusts" if expanded else "lies")


EXPANDED = "an-entity-was-expanded"


def _names(value: Any) -> bool:
    return bool(isinstance(value, dict) and value["value"] == NAMES)


async def nothing_elsewhere(seen: Seen) -> Verdict:
    """The target of a redirect must not have received a secret."""
    received = seen.trap.received
    if seen.server.password.encode() in received:
        return Verdict("trusts", "the password went to the other origin")
    if any(cookie.encode() in received for cookie in seen.relay.cookies):
        return Verdict("trusts", "the session cookie went to the other origin")
    if received:
        return Verdict("trusts", f"followed; {seen.told()}")
    return _told(seen, good=False)


ATTRIBUTES = frozenset({"path", "httponly", "secure", "expires", "max-age", "domain", "samesite"})


async def its_own_cookie(seen: Seen) -> Verdict:
    """The client must return cookies only: another cookie of the origin is allowed, an attribute is
    not."""
    sent = {
        part.strip().partition("=")[0]
        for header in seen.relay.sent_cookies
        for part in header.replace(",", ";").split(";")
    } - {""}
    if wrong := sorted(name for name in sent if name.lower() in ATTRIBUTES):
        return Verdict("lies", f"sends {', '.join(wrong)} as cookies")
    verdict = _told(seen, good=True)
    if verdict.word != "ok":
        return verdict
    alone = sent == {"vmware_soap_session"}
    return Verdict("ok", f"sends back {'its own alone' if alone else 'both'}")


def one_login(count: int) -> Judge:
    """All callers must get the names, after one login."""

    async def judge(seen: Seen) -> Verdict:
        logins = seen.sent("Login")
        if seen.outcome is None or not isinstance(seen.returned, list):
            return _told(seen, good=False)
        wrong = [x for x in seen.returned if isinstance(x, dict) and not _names(x)]
        failed = sorted({x for x in seen.returned if isinstance(x, str)})
        right = sum(map(_names, seen.returned))
        text = f"{right} of {count} right after {logins} Logins" + (f"; {failed}" if failed else "")
        if wrong:
            return Verdict("lies", f"{len(wrong)} of {count} wrong; {text}")
        return Verdict("duplicates" if logins > 1 else "ok", text)

    return judge


async def tried_once(seen: Seen) -> Verdict:
    """Refused credentials must not be sent again."""
    logins = seen.sent("Login")
    if logins > 1:
        return Verdict("duplicates", f"{logins} Logins; {seen.told()}")
    return _told(seen, good=False)


async def not_stored(seen: Seen) -> Verdict:
    """The upload failed, so the client must report an error."""
    return _told(seen, good=False)


def stored(name: str, size: int, content: bytes = b"x") -> Judge:
    """If the client reports success, the complete file must exist under its name."""

    async def judge(seen: Seen) -> Verdict:
        file = seen.host.file(name)
        there = file.is_file() and file.read_bytes() == content * size
        verdict = _told(seen, good=there)
        if verdict.word != "lies":
            return verdict
        found = sorted(
            f"{path.name} ({path.stat().st_size} bytes)"
            for path in seen.host.file("").glob("*")
            if path.is_file()
        )
        return Verdict("lies", f"reports success; stored: {', '.join(found) or 'nothing'}")

    return judge


def received(size: int) -> Judge:
    """All bytes must have arrived, or an error."""

    async def judge(seen: Seen) -> Verdict:
        return _told(seen, good=seen.returned == size)

    return judge
