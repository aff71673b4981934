"""The scenarios: the fault, the client's action, and the judge."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.differential import verdict
from tests.differential.servers import Kind, Server, Simulator
from tests.differential.verdict import Judge
from tests.rig import certs
from tests.rig.relay import (
    HTML,
    XML,
    Relay,
    Reply,
    alter,
    answer,
    cut,
    edit,
    lose,
    silence,
    trickle,
)
from tests.rig.stage import Stage

SIMULATOR: tuple[Kind, ...] = ("simulator",)
BOTH: tuple[Kind, ...] = ("simulator", "vcsim")

CALLERS = 20
# Long enough for a client that sleeps ten seconds before it retries.
WATCHED = 25.0


@dataclass
class Scene:
    """The objects that a scenario may prepare."""

    server: Server
    relay: Relay
    trap: Stage
    folder: Any
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> Simulator:
        assert isinstance(self.server, Simulator)
        return self.server


Prepare = Callable[[Scene], object]


def _nothing(scene: Scene) -> None:
    """Break nothing."""


@dataclass(frozen=True)
class Scenario:
    """One row."""

    row: str
    """Number in the catalogue of faults, and a letter if it has several."""
    title: str
    action: str
    judge: Judge
    args: dict[str, Any] = field(default_factory=dict)
    prepare: Prepare = _nothing
    """Runs before the client starts."""
    between: Prepare = _nothing
    """Runs at its checkpoint: logged in, just before the action."""
    trust: str = "ca"
    certificate: str = "good"
    address: str = "127.0.0.2"
    servers: tuple[Kind, ...] = SIMULATOR
    deadline: float = 10.0
    wrong_pin: bool = False
    control: bool = False
    """Without a fault: a client that fails here is not set up correctly, so its other errors mean
    nothing."""


def on(method: str, act: Any, **how: Any) -> Prepare:
    """Break replies to a method."""
    return lambda scene: scene.relay.on(method, act, **how)


def _redirect(method: str, status: int) -> Prepare:
    def prepare(scene: Scene) -> None:
        location = scene.trap.url
        scene.relay.on(method, answer(status, b"", ("Location", location)), times=None)

    return prepare


def _new_certificate(scene: Scene) -> None:
    """Present another certificate, and break the existing connections."""
    scene.relay.present(certs.make("self-signed", 2).server_context())
    for conn in scene.relay.stage.connections:
        if not conn.writer.is_closing():
            conn.reset()
    scene.notes["connections"] = len(scene.relay.stage.connections)


def _doctype(entity: str) -> Any:
    def change(reply: Reply) -> Reply:
        body = re.sub(rb">vm-0<", b">&e;<", reply.body)
        head = f"<!DOCTYPE x [<!ENTITY e {entity}>]>".encode()
        at = body.index(b"?>") + 2 if body.startswith(b"<?xml") else 0
        reply.body = body[:at] + head + body[at:]
        return reply

    return edit(change)


def _external(scene: Scene) -> None:
    file = scene.folder / "private.txt"
    scene.notes["file"] = "text-of-a-private-file"
    file.write_text(scene.notes["file"])
    scene.relay.on("RetrievePropertiesEx", _doctype(f'SYSTEM "file://{file}"'), times=None)


ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope '
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body>'
    "</soapenv:Envelope>"
)


def soap(body: str) -> bytes:
    return ENVELOPE.format(body).encode()


CONFUSED = soap(
    '<CurrentTimeResponse xmlns="urn:vim25"><returnval xsi:type="VirtualMachineConfigSpec">'
    "<name>not a time</name></returnval></CurrentTimeResponse>"
)
SWAPPED = soap(
    '<CreateFilterResponse xmlns="urn:vim25"><returnval type="PropertyFilter">filter-1</returnval>'
    "</CreateFilterResponse>"
)
BODYLESS = soap('<CurrentTimeResponse xmlns="urn:vim25"/>')
PAGE = b"<html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"


def _cookies(reply: Reply) -> Reply:
    if any(name.lower() == "set-cookie" for name, _ in reply.headers):
        reply.headers.append(("Set-Cookie", "other=1; Path=/"))
    return reply


def _expire(face: Any) -> Prepare:
    return lambda scene: scene.host.esx.expire_sessions(face)


def _expire_and_change(scene: Scene) -> None:
    scene.host.esx.expire_sessions()
    scene.host.esx.sessions.password = "another"


def _file(size: int) -> Prepare:
    return lambda scene: scene.host.file("up.bin").write_bytes(b"x" * size)


def _then(*steps: Prepare) -> Prepare:
    def prepare(scene: Scene) -> None:
        for step in steps:
            step(scene)

    return prepare


SIZE = 1 << 20
UP = {"name": "up.bin", "size": SIZE, "give": SIZE}
NEW = {"name": "inst-1"}


def _control(letter: str, action: str, judge: Judge, **given: Any) -> Scenario:
    title = f"Nothing is broken: {action}"
    judge = verdict.works(judge)
    return Scenario(f"0{letter}", title, action, judge, deadline=WATCHED, control=True, **given)


CONTROLS: tuple[Scenario, ...] = (
    _control("a", "now", verdict.a_time, servers=BOTH),
    _control("b", "now", verdict.a_time, trust="pin"),
    _control("c", "names", verdict.the_names),
    _control("d", "create", verdict.one_machine("inst-1"), args=NEW, servers=BOTH),
    _control("e", "snapshot", verdict.one_snapshot, args={"name": "s"}),
    _control("f", "power_on", verdict.sent_once("PowerOnVM_Task")),
    _control("g", "callers", verdict.one_login(3), args={"count": 3}),
    _control("h", "upload", verdict.stored("up.bin", SIZE), args=UP),
    _control("i", "download", verdict.received(SIZE), args={"name": "up.bin"}, prepare=_file(SIZE)),
)

SCENARIOS: tuple[Scenario, ...] = (
    *CONTROLS,
    Scenario(
        "4a",
        "A self-signed certificate; no trust setting",
        "login",
        verdict.no_byte,
        trust="default",
        certificate="self-signed",
    ),
    Scenario(
        "4b",
        "The same at 127.0.0.1",
        "login",
        verdict.no_byte,
        trust="default",
        certificate="self-signed",
        address="127.0.0.1",
    ),
    Scenario(
        "4c",
        "An expired certificate of the CA that is trusted",
        "login",
        verdict.no_byte,
        certificate="expired",
    ),
    Scenario(
        "4d",
        "A certificate of the CA for another name",
        "login",
        verdict.no_byte,
        certificate="wrong-name",
    ),
    Scenario(
        "4e",
        "During a session, an upload meets a self-signed certificate",
        "upload",
        verdict.no_byte_later,
        args=UP | {"door": "plain"},
        between=_new_certificate,
    ),
    Scenario(
        "4f",
        "The same, by `FileWriteHandle` with its defaults",
        "upload",
        verdict.no_byte_later,
        args=UP | {"door": "handle"},
        between=_new_certificate,
    ),
    Scenario(
        "5a",
        "A wrong pin, first connection",
        "login",
        verdict.no_byte,
        trust="pin",
        wrong_pin=True,
        certificate="self-signed",
    ),
    Scenario(
        "5b",
        "A wrong pin, second try with the same TLS settings",
        "login_again",
        verdict.no_byte,
        trust="pin",
        wrong_pin=True,
        certificate="self-signed",
    ),
    Scenario(
        "7a",
        "The right pin; then the connection breaks and another certificate answers",
        "now",
        verdict.no_byte_later,
        trust="pin",
        certificate="self-signed",
        between=_new_certificate,
    ),
    Scenario(
        "7b",
        "The right CA; then the connection breaks and a self-signed certificate answers",
        "now",
        verdict.no_byte_later,
        between=_new_certificate,
    ),
    Scenario(
        "9",
        "CreateVM_Task is done, its reply lost (RST)",
        "create",
        verdict.one_machine("inst-1"),
        args=NEW,
        prepare=on("CreateVM_Task", lose),
        servers=BOTH,
        deadline=WATCHED,
    ),
    Scenario(
        "10a",
        "CreateSnapshot_Task is done, its reply lost",
        "snapshot",
        verdict.one_snapshot,
        args={"name": "s"},
        prepare=on("CreateSnapshot_Task", lose),
        deadline=WATCHED,
    ),
    Scenario(
        "10b",
        "PowerOnVM_Task is done, its reply lost",
        "power_on",
        verdict.sent_once("PowerOnVM_Task"),
        prepare=on("PowerOnVM_Task", lose),
        deadline=WATCHED,
    ),
    Scenario(
        "12",
        "A reply of one byte each 0.2 s",
        "now",
        verdict.a_time,
        between=on("CurrentTime", trickle(0.2), times=None),
        servers=BOTH,
    ),
    Scenario(
        "13",
        "A server that never answers",
        "now",
        verdict.a_time,
        between=on("CurrentTime", silence, times=None),
        servers=BOTH,
    ),
    Scenario(
        "15",
        "CreateVM_Task is done; a gateway answers 502",
        "create",
        verdict.one_machine("inst-1"),
        args=NEW,
        prepare=on("CreateVM_Task", answer(502, PAGE, HTML, forward=True)),
        servers=BOTH,
        deadline=WATCHED,
    ),
    Scenario(
        "17a",
        "Login is redirected to another origin (307)",
        "login",
        verdict.nothing_elsewhere,
        prepare=_redirect("Login", 307),
        servers=BOTH,
    ),
    Scenario(
        "17b",
        "A call is redirected to another origin (302)",
        "now",
        verdict.nothing_elsewhere,
        between=_redirect("CurrentTime", 302),
        servers=BOTH,
    ),
    Scenario(
        "17c",
        "A call is redirected to another origin (307)",
        "now",
        verdict.nothing_elsewhere,
        between=_redirect("CurrentTime", 307),
        servers=BOTH,
    ),
    Scenario(
        "18a",
        "A page of HTML, status 200",
        "now",
        verdict.a_time,
        between=on("CurrentTime", answer(200, PAGE, HTML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "18b",
        "A page of HTML, status 500",
        "now",
        verdict.a_time,
        between=on("CurrentTime", answer(500, PAGE, HTML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "19a",
        "An empty body, status 200",
        "now",
        verdict.a_time,
        between=on("CurrentTime", answer(200, b"", XML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "19b",
        "A reply without its result",
        "now",
        verdict.a_time,
        between=on("CurrentTime", answer(200, BODYLESS, XML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "20a",
        "A reply cut at three quarters of its Content-Length",
        "names",
        verdict.the_names,
        between=on("RetrievePropertiesEx", cut(0.75), times=None),
    ),
    Scenario(
        "20b",
        "The same without a Content-Length",
        "names",
        verdict.the_names,
        between=on("RetrievePropertiesEx", cut(0.75, length=False), times=None),
    ),
    Scenario(
        "20c",
        "CreateVM_Task is done, its reply cut in the middle",
        "create",
        verdict.one_machine("inst-1"),
        args=NEW,
        prepare=on("CreateVM_Task", cut(0.5, length=False)),
        servers=BOTH,
        deadline=WATCHED,
    ),
    Scenario(
        "22a",
        "A reply with a DOCTYPE and an entity of its own",
        "names",
        verdict.the_names_without_entities,
        between=on("RetrievePropertiesEx", _doctype(f'"{verdict.EXPANDED}"'), times=None),
    ),
    Scenario(
        "22b",
        "A reply with an entity that names a local file",
        "names",
        verdict.the_names_without_entities,
        between=_external,
    ),
    Scenario(
        "25",
        "xsi:type is VirtualMachineConfigSpec where a time belongs",
        "now",
        verdict.a_time_and_no_other_type,
        between=on("CurrentTime", answer(200, CONFUSED, XML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "26",
        "The reply to another method",
        "now",
        verdict.a_time_and_no_other_type,
        between=on("CurrentTime", answer(200, SWAPPED, XML), times=None),
        servers=BOTH,
    ),
    Scenario(
        "29",
        "A second Set-Cookie",
        "now",
        verdict.its_own_cookie,
        prepare=on("*", edit(_cookies), times=None),
        servers=BOTH,
    ),
    Scenario(
        "30",
        f"The session has expired (reported by a fault); {CALLERS} callers",
        "callers",
        verdict.one_login(CALLERS),
        args={"count": CALLERS},
        between=_expire("fault"),
        deadline=WATCHED,
    ),
    Scenario(
        "31a",
        "The session has expired; property reads answer empty",
        "names",
        verdict.the_names,
        between=_expire("empty"),
        deadline=WATCHED,
    ),
    Scenario(
        "31b",
        "The session has expired (reported in missingSet)",
        "names",
        verdict.the_names,
        between=_expire("missing"),
        deadline=WATCHED,
    ),
    Scenario(
        "34a",
        "InvalidLogin",
        "login",
        verdict.tried_once,
        prepare=lambda scene: setattr(scene.host.esx.sessions, "password", "another"),
    ),
    Scenario(
        "34b",
        "The session has expired and the password is another",
        "names",
        verdict.tried_once,
        between=_expire_and_change,
        deadline=WATCHED,
    ),
    *(
        Scenario(
            f"45{letter}",
            f"PUT is answered {status}",
            "upload",
            verdict.not_stored,
            args=UP,
            prepare=on("PUT", answer(status, b"no", HTML)),
        )
        for letter, status in (("a", 507), ("b", 403), ("c", 500))
    ),
    Scenario(
        "46a",
        "The host stores half of the body and answers 201",
        "upload",
        verdict.stored("up.bin", SIZE),
        args=UP,
        prepare=on("PUT", alter(lambda body: body[: len(body) // 2])),
    ),
    Scenario(
        "46b",
        "The host stores one bit wrong and answers 201",
        "upload",
        verdict.stored("up.bin", SIZE),
        args=UP,
        prepare=on("PUT", alter(lambda body: body[:-1] + bytes([body[-1] ^ 1]))),
    ),
    Scenario(
        "46c",
        "The same, and reading back was asked for",
        "upload",
        verdict.stored("up.bin", SIZE),
        args=UP | {"door": "read back"},
        prepare=on("PUT", alter(lambda body: body[:-1] + bytes([body[-1] ^ 1]))),
    ),
    Scenario(
        "52",
        "The source ends at half of the size",
        "upload",
        verdict.stored("up.bin", SIZE),
        args=UP | {"give": SIZE // 2},
    ),
    Scenario(
        "53",
        "The source goes on beyond the size",
        "upload",
        verdict.stored("up.bin", 2 * SIZE),
        args=UP | {"give": 2 * SIZE},
    ),
    Scenario(
        "79",
        "A name with characters of a URL: c#d?x.vmdk",
        "upload",
        verdict.stored("c#d?x.vmdk", SIZE),
        args=UP | {"name": "c#d?x.vmdk"},
    ),
    Scenario(
        "11",
        "A download cut at three quarters of its Content-Length",
        "download",
        verdict.received(SIZE),
        args={"name": "up.bin"},
        prepare=_then(_file(SIZE), on("GET", cut(0.75), times=None)),
    ),
)


KNOWN = {
    # By default no client reads back the stored file: over a WAN that costs as much as the upload.
    # On request, vimlib does (46c).
    "46b": "lies",
}
"""The rows in which vimlib is not ok, with its result."""


def ordered() -> list[Scenario]:
    """Return the scenarios by number."""
    return sorted(SCENARIOS, key=lambda s: (int(re.match(r"\d+", s.row)[0]), s.row))  # type: ignore[index]
