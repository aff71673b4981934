"""What the helper takes for a record, and what it refuses."""

from __future__ import annotations

import base64
import gzip
import json
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from guest import vimguest
from guest.vimguest import Config, InvalidRecordError, UnknownVersionError

from .tree import FULL, MAC0, MAC1, NOVA, NOVA2, Guest


def said(config: Config) -> list[tuple[str | None, list[str], str | None, list[str]]]:
    return [
        (
            nic.mac,
            [str(one) for one in nic.addresses],
            None if nic.gateway4 is None else str(nic.gateway4),
            [str(one) for one in nic.dns],
        )
        for nic in config.nics
    ]


FIRST = (MAC0, ["10.0.0.2/24"], "10.0.0.1", ["10.0.0.53"])

GOOD: list[tuple[str, str, list[Any]]] = [
    (NOVA, "nova", [FIRST]),
    (NOVA[:-1], "nova", [FIRST]),
    (NOVA + "\n", "nova", [FIRST]),
    (NOVA.upper(), "nova", [FIRST]),
    (NOVA.replace("00:50:56:aa:bb:01", "00-50-56-AA-BB-01"), "nova", [FIRST]),
    (NOVA2, "nova", [FIRST, (MAC1, ["10.0.1.2/24"], "10.0.1.1", ["10.0.1.53"])]),
    (f"{MAC0};;;;;#", "nova", [(MAC0, [], None, [])]),
    # nova names the subnet of a NIC without an address all the same.
    (f"{MAC0};;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.53#", "nova", [(MAC0, [], None, [])]),
    (f"{MAC0};10.0.0.2;255.255.255.254;;None;#", "nova", [(MAC0, ["10.0.0.2/31"], None, [])]),
    (
        f"{MAC0};10.0.0.2;255.0.0.0;;;10.0.0.53,10.0.0.54#",
        "nova",
        [(MAC0, ["10.0.0.2/8"], None, ["10.0.0.53", "10.0.0.54"])],
    ),
    # The driver and the tool of 2011 never agreed on these four.
    (f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.1", "original", [(*FIRST[:3], [])]),
    (
        "ip=10.0.0.2&netmask=255.255.255.0&gateway=10.0.0.1&dns1=10.0.0.53&dns2=",
        "labmanager",
        [(None, *FIRST[1:])],
    ),
    (
        f"ip=10.0.0.2&netmask=255.255.255.0&mac={MAC0}&computerName=WEB-1&resetSid=1",
        "labmanager",
        [(MAC0, ["10.0.0.2/24"], None, [])],
    ),
    ('v1:{"nics":[]}', "v1", []),
    (
        f'v1: {{"nics": [{{"mac": "{MAC0}"}}]}}\n'.replace(": {", ":{", 1),
        "v1",
        [(MAC0, [], None, [])],
    ),
    (
        "v1:base64:" + base64.b64encode(f'{{"nics":[{{"mac":"{MAC0}"}}]}}'.encode()).decode(),
        "v1",
        [(MAC0, [], None, [])],
    ),
    (
        "v1:gzip+base64:" + base64.b64encode(gzip.compress(FULL[3:].encode(), mtime=0)).decode(),
        "v1",
        [
            (MAC0, ["10.0.0.2/24", "2001:db8::2/64"], "10.0.0.1", ["10.0.0.53", "2001:db8::53"]),
            (MAC1, ["10.0.1.2/24", "2001:db8:1::2/64"], None, []),
        ],
    ),
]


@pytest.mark.parametrize(("text", "form", "expected"), GOOD)
def test_forms(text: str, form: str, expected: list[Any]) -> None:
    found, config = vimguest.parse(text)
    assert (form, expected) == (found, said(config))


def test_everything_of_the_versioned_form() -> None:
    _, config = vimguest.parse(FULL)
    assert config.hostname == "web-1"
    assert [vimguest.to_document(nic) for nic in config.nics] == [
        {
            "mac": MAC0,
            "addresses": ["10.0.0.2/24", "2001:db8::2/64"],
            "gateway4": "10.0.0.1",
            "gateway6": "2001:db8::1",
            "dhcp4": False,
            "dhcp6": False,
            "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50}],
            "mtu": 9000,
            "dns": ["10.0.0.53", "2001:db8::53"],
            "search": ["example.org"],
        },
        {
            "mac": MAC1,
            "addresses": ["10.0.1.2/24", "2001:db8:1::2/64"],
            "gateway4": None,
            "gateway6": None,
            "dhcp4": False,
            "dhcp6": False,
            "routes": [],
            "mtu": 1400,
            "dns": [],
            "search": [],
        },
    ]


def test_computer_name_is_the_host_name() -> None:
    assert vimguest.parse("computerName=WEB-1&ip=")[1].hostname == "WEB-1"


def test_search_domains_of_all_nics() -> None:
    text = {
        "search": ["a.example"],
        "nics": [{"mac": MAC0}, {"mac": MAC1, "search": ["b.example"]}],
    }
    _, config = vimguest.parse("v1:" + json.dumps(text))
    assert [nic.search for nic in config.nics] == [("a.example",), ("b.example",)]


def record(**fields: str) -> str:
    good = {
        "mac": MAC0,
        "ip": "10.0.0.2",
        "netmask": "255.255.255.0",
        "gateway": "10.0.0.1",
        "broadcast": "10.0.0.255",
        "dns": "10.0.0.53",
    }
    return ";".join((good | fields).values()) + "#"


INJECTED = "\n    post-up reboot"
# Without MAC address, IP address or netmask there is nothing to configure: the NIC is skipped.
BAD_NICS = [
    *({"mac": bad} for bad in ["", "0:0:0:0:0:0", MAC0 + ":00", "00:50-56:aa:bb:01", "zz" + MAC0]),
    *({"ip": bad} for bad in ["10.0.0", "10.0.0.256", "010.0.0.2", "10.0.0.2/24", "10.0.0.0"]),
    *({"ip": bad} for bad in ["10.0.0.255", "0.0.0.0", "127.0.0.1", "224.0.0.1", "2001:db8::2"]),
    *({"ip": bad} for bad in ["255.255.255.255", "10.0.0.2" + INJECTED, "$(reboot)", " 10.0.0.2"]),
    *({"netmask": bad} for bad in ["", "0.0.0.0", "0.0.0.255", "255.0.255.0", "24", "255.255.255"]),
    {"mac": MAC0 + INJECTED},
    {"mac": "\u0660" * 2 + MAC0[2:]},
]
# A bad value of these fields costs itself. Each with the gateway and the servers that are left.
BAD_VALUES: list[tuple[dict[str, str], str | None, list[str]]] = [
    *(
        ({"gateway": bad}, None, ["10.0.0.53"])
        for bad in ["10.0.0.2", "10.0.0", "10.0.0.1" + INJECTED, "::1", "fe80::1"]
    ),
    # The network and broadcast addresses: the kernel would drop the default route.
    *(({"gateway": bad}, None, ["10.0.0.53"]) for bad in ["10.0.0.0", "10.0.0.255"]),
    *(
        ({"broadcast": bad}, "10.0.0.1", ["10.0.0.53"])
        for bad in ["none", "10.0.0", "255.255.255.255" + INJECTED]
    ),
    *(
        ({"dns": bad}, "10.0.0.1", [])
        for bad in ["10.0.0", ",", "10.0.0.53 10.0.0.54", "a.example"]
    ),
    ({"dns": "10.0.0.53,"}, "10.0.0.1", ["10.0.0.53"]),
    # One more than a list may have: what the next run could not read back.
    (
        {"dns": ",".join(f"10.0.0.{at}" for at in range(1, 66))},
        "10.0.0.1",
        [f"10.0.0.{at}" for at in range(1, 65)],
    ),
]
OTHER = record(mac=MAC1, ip="10.0.0.9")


@pytest.mark.parametrize("fields", BAD_NICS, ids=str)
def test_a_bad_record_costs_its_nic(fields: dict[str, str]) -> None:
    form, config = vimguest.parse(OTHER + record(**fields))
    assert form == "nova"
    assert [nic.mac for nic in config.nics] == [MAC1]
    (note,) = config.notes
    assert note.startswith("record 2 ignored: ")
    assert note.isprintable()
    with pytest.raises(InvalidRecordError, match="no usable record"):
        vimguest.parse(record(**fields))


@pytest.mark.parametrize(("fields", "gateway", "dns"), BAD_VALUES, ids=str)
def test_a_bad_value_costs_itself(
    fields: dict[str, str], gateway: str | None, dns: list[str]
) -> None:
    _, config = vimguest.parse(OTHER + record(**fields))
    assert said(config)[1] == (MAC0, ["10.0.0.2/24"], gateway, dns)
    assert config.notes
    assert all(MAC0 in note and note.isprintable() for note in config.notes)


def test_records_that_nova_writes_for_odd_networks() -> None:
    # An IPv6 name server on an IPv4 subnet; a router machine; one address on two networks.
    text = record(dns="2001:db8::53") + record(mac=MAC1, gateway="10.0.0.2")
    _, config = vimguest.parse(text)
    assert said(config) == [
        (MAC0, ["10.0.0.2/24"], "10.0.0.1", ["2001:db8::53"]),
        (MAC1, ["10.0.0.2/24"], None, ["10.0.0.53"]),
    ]
    assert len(config.notes) == 2


LENIENT = [
    (NOVA + "#", [MAC0]),
    (NOVA + NOVA, [MAC0]),
    (NOVA.replace("#", ";") + NOVA2, [MAC1]),  # twelve fields, one NIC
    (f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.1#" + NOVA2, [MAC0, MAC1]),
    (NOVA * 500, [MAC0]),
    (
        "".join(f"00:50:56:00:00:{at:02x};;;;;#" for at in range(33)),
        [f"00:50:56:00:00:{at:02x}" for at in range(32)],
    ),
    (NOVA + "\0" + NOVA2, [MAC0, MAC1]),
]


@pytest.mark.parametrize(("text", "macs"), LENIENT, ids=lambda one: str(one)[:30])
def test_the_good_records_of_a_text_are_used(text: str, macs: list[str]) -> None:
    _, config = vimguest.parse(text)
    assert [nic.mac for nic in config.nics] == macs
    assert config.notes


BAD_RECORDS = [
    ";",
    ";;;;;#",
    f"{MAC0};10.0.0.2;255.255.255.0",
    "a=b=c;",
    "ip=10.0.0.2",
    "ip=10.0.0.2&ip=10.0.0.3&netmask=255.255.255.0",
    "ip=10.0.0.2&netmask=255.255.255.0&",
    "ip=10.0.0.2&netmask=255.255.255.0&computerName=a b",
    "ip=10.0.0.2&netmask=255.255.255.0&computerName=a\nb",
    f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.255",
    NOVA * 1000,
    "x" * 70000 + ";",
]


@pytest.mark.parametrize("text", BAD_RECORDS, ids=lambda text: text[:30])
def test_records_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        vimguest.parse(text)


@pytest.mark.parametrize(
    "text", ["v2:{}", "v0:{}", "v11:{}", "v1:", "v1:yaml", "v1:zstd:AAAA", "x", "{}", "<xml/>"]
)
def test_other_versions_are_told_apart(text: str) -> None:
    with pytest.raises(UnknownVersionError):
        vimguest.parse(text)


def nic(**values: Any) -> dict[str, Any]:
    return {"nics": [{"mac": MAC0, "addresses": ["10.0.0.2/24"], **values}]}


V6 = ["2001:db8::2/64"]
BAD_DOCUMENTS: list[Any] = [
    [],
    "x",
    None,
    {"nics": {}},
    {"nics": [1]},
    {"nics": [{}]},
    {"nick": []},
    {"hostname": 1},
    {"hostname": ""},
    {"hostname": "a" * 64},
    {"hostname": "a." * 32 + "b"},
    {"hostname": "10.0.0.1"},
    {"hostname": "web\n"},
    {"hostname": "web_1"},
    {"hostname": "-web"},
    {"search": "a.example"},
    {"search": ["a..b"]},
    {"search": ["a" * 254]},
    nic(mac=None),
    nic(mac=MAC0 + "\n"),
    nic(addresses=["10.0.0.2"]),
    nic(addresses=["10.0.0.2/024"]),
    nic(addresses=["10.0.0.2/33"]),
    nic(addresses=["10.0.0.2/0"]),
    nic(addresses=["10.0.0.2/255.255.255.0"]),
    nic(addresses=["fe80::1%eth0/64"]),
    nic(addresses=["fe80::1%\npost-up reboot/64"]),
    nic(addresses=["::ffff:10.0.0.2/96"]),
    nic(addresses=["::/64"]),
    nic(addresses=["ff02::1/64"]),
    nic(addresses=["10.0.0.2/24"] * 2),
    nic(addresses=[f"10.0.{at}.2/24" for at in range(65)]),
    nic(addresses="10.0.0.2/24"),
    nic(gateway4="2001:db8::1"),
    nic(gateway6="10.0.0.1"),
    nic(gateway6="fe80::1"),
    nic(gateway4="10.0.0.0"),
    nic(gateway4="10.0.0.255"),
    nic(gateway4="10.0.0.2"),
    nic(gateway4=["10.0.0.1"]),
    nic(addresses=[], gateway4="10.0.0.1", dhcp4=True),
    nic(addresses=[], mtu=1500),
    nic(addresses=[], routes=[{"to": "10.9.0.0/16", "via": "10.0.0.1"}]),
    nic(mtu=True),
    nic(mtu=1500.0),
    nic(mtu="1500"),
    nic(mtu=67),
    nic(mtu=10**30),
    nic(mtu=1000, addresses=V6),
    nic(dhcp4="no"),
    nic(dhcp6=0),
    nic(dns=["10.0.0.53;10.0.0.54"]),
    nic(dns=["a.example"]),
    nic(search=["a b"]),
    nic(routes={}),
    nic(routes=[{"to": "10.9.0.0/16"}]),
    nic(routes=[{"to": "10.9.0.1/16", "via": "10.0.0.1"}]),
    nic(routes=[{"to": "0.0.0.0/0", "via": "10.0.0.1"}]),
    nic(routes=[{"to": "default", "via": "10.0.0.1"}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "2001:db8::1"}]),
    nic(routes=[{"to": "2001:db8::/32", "via": "2001:db8::1"}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "10.0.0.2"}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "10.0.0.255"}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "10.0.0.1", "metric": 0}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "10.0.0.1", "dev": "eth0"}]),
    nic(routes=[{"to": "10.9.0.0/16", "via": "10.0.0.1"}] * 65),
    nic(routes=[{"to": "10.9.0.0/16", "via": f"10.0.0.{at}"} for at in (1, 3)]),
    {"nics": [{"mac": MAC0}, {"mac": MAC0.upper()}]},
    {"nics": [{"mac": f"00:50:56:00:00:{at:02x}"} for at in range(33)]},
]


@pytest.mark.parametrize("document", BAD_DOCUMENTS, ids=lambda one: json.dumps(one)[:60])
def test_documents_that_are_refused(document: Any) -> None:
    with pytest.raises(InvalidRecordError):
        vimguest.parse("v1:base64:" + base64.b64encode(json.dumps(document).encode()).decode())


def packed(data: bytes) -> str:
    return "v1:gzip+base64:" + base64.b64encode(data).decode()


WHOLE = gzip.compress(b'{"nics":[]}', mtime=0)
BAD_BYTES = [
    "v1:{",
    "v1:{}x",
    'v1:{"nics":[],"nics":[]}',
    'v1:{"nics":NaN}',
    "v1:{'nics':[]}",
    'v1:{"nics":[{"mac":' + "9" * 5000 + "}]}",
    'v1:{"nics":' + "[" * 30000 + "]" * 30000 + "}",
    'v1:{"hostname":"\\ud800"}',
    'v1:{"\\ud800":1}',
    "v1:{\ud800}",
    "v1:base64:!",
    "v1:base64:e30",
    "v1:base64:\u0660",
    "v1:base64:/w==",
    packed(b"no gzip"),
    packed(WHOLE[:-1]),
    packed(WHOLE + b"x"),
    packed(WHOLE + WHOLE),
    packed(zlib.compress(b"{}")),
    packed(gzip.compress(b" " * 300_000 + b"{}", mtime=0)),
    packed(gzip.compress(b"0" * 40_000_000, mtime=0)),
]


@pytest.mark.parametrize("text", BAD_BYTES, ids=lambda text: ascii(text)[:40])
def test_encodings_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidRecordError):
        vimguest.parse(text)


KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()


def test_ssh_keys_and_time_servers() -> None:
    document = {"ssh_keys": {"debian": [KEY, KEY + " me@here"]}, "ntp": ["10.0.0.7", "ntp.example"]}
    _, config = vimguest.parse("v1:" + json.dumps(document))
    assert config.ssh_keys == (("debian", (KEY, KEY + " me@here")),)
    assert config.ntp == ("10.0.0.7", "ntp.example")


BAD_KEYS = ["", "ssh-ed25519", "ssh-ed25519 !", KEY.replace("ed25519", "rsa"), KEY + "\nroot"]
BAD_KEYS += ["no-pty " + KEY, KEY + " \x1b[2J", KEY.replace(" ", "  "), "x" * 20_000]


@pytest.mark.parametrize(
    "document",
    [
        *({"ssh_keys": {"debian": [key]}} for key in BAD_KEYS),
        *({"ssh_keys": {user: [KEY]}} for user in ["", "a b", "../x", "Root", "a" * 33, "a\n"]),
        {"ssh_keys": [KEY]},
        {"ssh_keys": {f"u{at}": [KEY] for at in range(17)}},
        {"ssh_authorized_keys": [KEY]},
        {"ntp": ["a b"]},
        {"ntp": ["127.0.0.1"]},
        {"ntp": "10.0.0.7"},
    ],
    ids=lambda one: json.dumps(one)[:60],
)
def test_bad_keys_and_time_servers_are_refused(document: Any) -> None:
    with pytest.raises(InvalidRecordError):
        vimguest.parse("v1:" + json.dumps(document))


# --- any text -----------------------------------------------------------------

WORDS = ["v1:", '"nics"', MAC0, "10.0.0.2", "255.255.255.0", "ip=", "netmask=", "10.0.0.0/24"]
MORE_WORDS = ["2001:db8::2/64", '{"mac":"', "null", "1e9", "\u0660"]
PIECES = st.sampled_from([*";#&=:,/%\n\0 {}[]", *WORDS, *MORE_WORDS])
TEXTS = st.text() | st.lists(PIECES, max_size=30).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from([*vimguest.Nic._fields, "x"])
DOCUMENTS = st.fixed_dictionaries(
    {"nics": st.lists(st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=3)}
).map(lambda document: "v1:" + json.dumps(document))


def parsed(text: str) -> Config | str:
    """What a text says, or the message of the declared error."""
    try:
        return vimguest.parse(text)[1]
    except vimguest.RefusedError as error:
        return str(error)


@given(TEXTS | DOCUMENTS)
@example("\x1f")
def test_any_text_gives_a_config_or_a_declared_error(text: str) -> None:
    config = parsed(text)
    if isinstance(config, str):
        assert config.isprintable()
        assert config.isascii()
        return
    bound = [
        vimguest.Bound(f"eth{at}", nic._replace(mac=nic.mac or MAC0))
        for at, nic in enumerate(config.nics)
        if not nic.silent
    ]
    for render in vimguest.RENDER.values():
        try:
            files = render(bound)
        except vimguest.RefusedError:
            continue
        for name, file in files.items():
            assert vimguest.is_owned(name)
            assert file.data.isascii()


@given(st.binary(max_size=200))
def test_any_bytes_packed(data: bytes) -> None:
    for text in (
        packed(data),
        packed(gzip.compress(data)),
        "v1:base64:" + base64.b64encode(data).decode(),
    ):
        try:
            vimguest.parse(text)
        except vimguest.RefusedError:
            continue


# --- what reaches a file ------------------------------------------------------
# Documents of good values with a bad one here and there, and for each back end every line that its
# files may have. A value that got through as it came would make another line, or a wider one.


BAD = ["", "x\npost-up reboot", "10.0.0.2;", "a b", "$(reboot)", "\u0663", 0, None, True, ["x"]]


@st.composite
def nics_nearly_good(draw: st.DrawFn) -> str:
    rows: list[dict[str, Any]] = []
    for at in range(draw(st.integers(1, 3))):
        every = [f"10.0.{at}.2/24", f"10.1.{at}.2/32", f"2001:DB8:{at}::2/64", f"fe80::{at + 1}/64"]
        addresses: list[str] = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
        optional: dict[str, st.SearchStrategy[Any]] = {
            "dhcp4": st.booleans(),
            "dhcp6": st.booleans(),
            "mtu": st.integers(1280, 9216),
            "dns": st.lists(st.sampled_from(["10.0.0.53", "2001:db8::53"])),
            "search": st.lists(st.sampled_from(["a.example", "B.example"])),
        }
        routes: list[dict[str, Any]] = []
        if any("." in one for one in addresses):
            optional["gateway4"] = st.sampled_from([f"10.0.{at}.1", "10.9.0.1"])
            routes.append({"to": "10.9.0.0/16", "via": f"10.0.{at}.254"})
        if any(":" in one for one in addresses):
            optional["gateway6"] = st.sampled_from([f"2001:db8:{at}::1", "fe80::99"])
            routes.append({"to": "2001:db8:9::/48", "via": "fe80::98", "metric": 50})
        optional["routes"] = st.lists(st.sampled_from(routes))
        row: dict[str, Any] = {"mac": f"00-50-56-AA-BB-0{at + 1}", "addresses": addresses}
        rows.append(row | draw(st.fixed_dictionaries({}, optional=optional)))
    if draw(st.integers(0, 2)) == 0:
        row = draw(st.sampled_from(rows))
        bad: Any = draw(st.sampled_from(BAD))
        key = draw(st.sampled_from(sorted(row)))
        row[key] = [*row[key], bad] if isinstance(row[key], list) else bad
    return "v1:" + json.dumps({"nics": rows})


NEARLY = nics_nearly_good()

IP = r"[0-9a-f:.]+"
WORDS_OF_DNS = r"[A-Za-z0-9.-]+"
GRAMMAR = {
    "ifupdown-ng": (
        r"|# Written by vimguest .*|auto eth\d|iface eth\d"
        rf"|    (address {IP}/\d+|use dhcp|pre-up ip link set dev eth\d mtu \d+"
        r"|pre-up echo [01] > /proc/sys/net/ipv6/conf/eth\d/accept_ra"
        rf"|up ip -[46] route add (default|{IP}/\d+) via {IP} dev eth\d( metric \d+)?( onlink)?"
        rf"|up printf '(nameserver {IP}\\n)*(search {WORDS_OF_DNS}( {WORDS_OF_DNS})*\\n)?'"
        r" \| resolvconf -a eth\d|down resolvconf -d eth\d)"
    ),
    "networkmanager": (
        r"|# Written by vimguest .*|\[(connection|ethernet|ipv4|ipv6)\]|(id|uuid|type)=[a-z0-9-]+"
        rf"|autoconnect-priority=999|mac-address=[0-9A-F:]{{17}}|mtu=\d+|method=[a-z]+"
        rf"|address\d+={IP}/\d+|gateway={IP}|route-metric=\d+|route\d+={IP}/\d+,{IP}(,\d+)?"
        rf"|route\d+_options=onlink=true|dns=({IP};)+|dns-search=({WORDS_OF_DNS};)+"
    ),
    "networkd": (
        r"|# Written by vimguest .*|\[(Match|Link|Network|Route)\]|MACAddress=[0-9a-f:]{17}"
        rf"|Type=ether|Kind=!bond bridge vlan macvlan team|MTUBytes=\d+|DHCP=[a-z0-9]+"
        rf"|Address={IP}/\d+|IPv6AcceptRA=no|DNS={IP}|Domains={WORDS_OF_DNS}( {WORDS_OF_DNS})*"
        rf"|Gateway={IP}|Destination={IP}/\d+|Metric=\d+|GatewayOnLink=yes"
        r"|\[(DHCPv4|IPv6AcceptRA)\]|RouteMetric=\d+"
    ),
    "ifupdown": (
        r"|# Written by vimguest .*|auto eth\d|iface eth\d inet6? (static|dhcp)"
        rf"|    (address {IP}/\d+|gateway {IP}|metric \d+|mtu \d+|accept_ra [01]"
        rf"|dns-nameservers {IP}( {IP})*|dns-search {WORDS_OF_DNS}( {WORDS_OF_DNS})*"
        r"|pre-up ip link set dev eth\d mtu \d+"
        rf"|up ip -[46] route add (default|{IP}/\d+) via {IP} dev eth\d( metric \d+)?( onlink)?)"
    ),
}


@given(NEARLY)
def test_no_value_reaches_a_file_as_it_came(text: str) -> None:
    config = parsed(text)
    event("refused" if isinstance(config, str) else "read")
    if isinstance(config, str):
        return
    bound = [vimguest.Bound(f"eth{at}", nic) for at, nic in enumerate(config.nics)]
    for backend, grammar in GRAMMAR.items():
        try:
            files = vimguest.RENDER[backend](bound)
        except vimguest.RefusedError:
            continue
        for file in files.values():
            for line in file.data.decode("ascii").split("\n"):
                assert re.fullmatch(grammar, line), line
    (netplan,) = vimguest.RENDER["netplan"](bound).values()
    for word in words_of(json.loads(netplan.data)):
        assert re.fullmatch(r"[0-9A-Za-z.:/-]+", word), word


def words_of(value: Any) -> list[str]:
    """Every text in a JSON document, keys too."""
    if isinstance(value, dict):
        return [word for pair in value.items() for part in pair for word in words_of(part)]
    if isinstance(value, list):
        return [word for one in value for word in words_of(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS | DOCUMENTS | NEARLY, backend=st.sampled_from(vimguest.BACKENDS))
@example(text=FULL, backend="networkd")
@example(text=NOVA2, backend="ifupdown")
def test_no_byte_outside_the_owned_files(tmp_path: Path, text: str, backend: str) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    guest = Guest(folder / "guest")
    guest.nic("eth0", MAC0)
    guest.nic("eth1", MAC1)
    theirs = guest.put("etc/network/interfaces", "source interfaces.d/*\n")
    guest.says(text.encode("utf-8", "surrogatepass"))
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    ran = guest.run("--backend", backend, "--json")
    assert ran.returncode in (0, 3), ran
    assert json.loads(ran.stdout)["status"] in ("changed", "nothing", "refused")
    assert theirs.read_text() == "source interfaces.d/*\n"
    written = set(guest.files()) - {"/etc/network/interfaces"}
    state = {vimguest.STATE, vimguest.HOSTNAME, vimguest.HOSTS}
    assert all(vimguest.is_owned(name) for name in written - state)
    assert (vimguest.STATE in written) == bool(written)
    beside = {path.relative_to(folder) for path in folder.rglob("*")} - before
    assert all(path.parts[:2] == ("guest", "root") or path.suffix == ".calls" for path in beside)
