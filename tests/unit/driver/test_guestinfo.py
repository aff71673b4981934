"""What vimdriver._guestinfo writes, read back by the helper that runs in the guest."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest import vimguest
from vimdriver import _guestinfo as guestinfo
from vimdriver._guestinfo import NIC, GuestConfig, Route
from vimlib.errors import UsageError

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
MAC = "DE:AD:BE:EF:00:00"
OTHER = "00:50:56:aa:bb:02"
FULL = NIC(
    OTHER,
    addresses=("10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"),
    gateway4="10.0.0.1",
    gateway6="fe80::1",
    dns=("10.0.0.53", "2001:db8::53"),
    search=("example.org", "b.example"),
    routes=(Route("10.9.0.0/16", "10.0.0.254", 50), Route("2001:db8:9::/48", "2001:db8::9")),
    mtu=9000,
)


@pytest.mark.parametrize(
    ("nics", "expected"),
    [
        ([], ""),
        ([NIC(MAC)], "DE:AD:BE:EF:00:00;;;;;#"),
        (
            [NIC(MAC, ("192.168.1.100/24",), gateway4="192.168.1.1", dns=("192.168.1.1",))],
            "DE:AD:BE:EF:00:00;192.168.1.100;255.255.255.0;192.168.1.1;192.168.1.255;192.168.1.1#",
        ),
        (
            [NIC(MAC, ("10.0.0.2/24",)), NIC(OTHER, ("10.1.0.2/16",))],
            (
                "DE:AD:BE:EF:00:00;10.0.0.2;255.255.255.0;;10.0.0.255;#"
                "00:50:56:aa:bb:02;10.1.0.2;255.255.0.0;;10.1.255.255;#"
            ),
        ),
        # The first IPv4 address and the first name server only.
        (
            [FULL],
            "00:50:56:aa:bb:02;10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.53#",
        ),
        ([NIC(MAC, ("2001:db8::2/64",), dns=("2001:db8::53",))], "DE:AD:BE:EF:00:00;;;;;#"),
        # The first name server, whatever its version; a router machine; one address on two networks.
        (
            [
                NIC(MAC, ("10.0.0.1/24",), gateway4="10.0.0.1", dns=("2001:db8::53", "10.0.0.53")),
                NIC(OTHER, ("10.0.0.1/24",)),
            ],
            (
                "DE:AD:BE:EF:00:00;10.0.0.1;255.255.255.0;10.0.0.1;10.0.0.255;2001:db8::53#"
                "00:50:56:aa:bb:02;10.0.0.1;255.255.255.0;;10.0.0.255;#"
            ),
        ),
        # What netaddr has no broadcast address for, nova prints as None.
        (
            [NIC(MAC, ("10.0.0.2/31",))],
            "DE:AD:BE:EF:00:00;10.0.0.2;255.255.255.254;;None;#",
        ),
    ],
)
def test_nova_records(nics: list[NIC], expected: str) -> None:
    assert expected == guestinfo.machine_id(nics)


def test_original_fields() -> None:
    nic = NIC(MAC, ("10.0.0.2/24",), gateway4="10.0.0.1", dns=("10.0.0.53",))
    text = guestinfo.machine_id([nic], "original")
    assert text == "DE:AD:BE:EF:00:00;10.0.0.2;255.255.255.0;10.0.0.1"
    assert vimguest.parse(text)[0] == "original"
    with pytest.raises(UsageError):
        guestinfo.machine_id([nic, NIC(OTHER)], "original")
    with pytest.raises(UsageError):
        guestinfo.machine_id([], "original")


HOSTILE = ["", ";", "#", "&", "=", "\n", "a\nb", "a\0b", "a;b", "a#b", "x y", "\u0663", "%eth0"]


# How each field is reached; a text may be good in some and is then not asked of those.
FIELDS: dict[str, Any] = {
    "mac": NIC,
    "addresses": lambda bad: NIC(MAC, (bad,)),
    "gateway4": lambda bad: NIC(MAC, ("10.0.0.2/24",), gateway4=bad),
    "gateway6": lambda bad: NIC(MAC, ("2001:db8::2/64",), gateway6=bad),
    "dns": lambda bad: NIC(MAC, dns=(bad,)),
    "search": lambda bad: NIC(MAC, search=(bad,)),
    "nic-search": lambda bad: GuestConfig(None, (), (bad,)),
    "to": lambda bad: Route(bad, "10.0.0.1"),
    "via": lambda bad: Route("10.9.0.0/16", bad),
    "hostname": GuestConfig,
}


@pytest.mark.parametrize("bad", [*HOSTILE, "::1", "10.0.0.2/24\n", "10.0.0.2/0", "-a", "a..b"])
@pytest.mark.parametrize("field", FIELDS)
def test_values_that_no_form_may_carry(field: str, bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        FIELDS[field](bad)
    assert caught.value.outcome == "not_sent"
    assert "\n" not in str(caught.value)
    assert f"must be {caught.value.wanted}, got " in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NIC(MAC, ("10.0.0.0/24",)),
        lambda: NIC(MAC, ("10.0.0.255/24",)),
        lambda: NIC(MAC, ("010.0.0.2/24",)),
        lambda: NIC(MAC, ("127.0.0.1/8",)),
        lambda: NIC(MAC, ("224.0.0.1/24",)),
        lambda: NIC(MAC, ("fe80::1%eth0/64",)),
        lambda: NIC(MAC, ("::ffff:10.0.0.2/96",)),
        lambda: NIC(MAC, ("10.0.0.2/24", "10.0.0.2/16")),
        lambda: NIC(MAC, "10.0.0.2/24"),
        lambda: NIC(MAC, gateway4="10.0.0.1"),
        lambda: NIC(MAC, ("10.0.0.2/24",), gateway6="2001:db8::1"),
        lambda: NIC(MAC, ("10.0.0.2/24",), gateway4="10.0.0.0"),
        lambda: NIC(MAC, ("10.0.0.2/24",), gateway4="10.0.0.255"),
        lambda: NIC(MAC, mtu=9000),
        lambda: NIC(MAC, dhcp4="no"),  # type: ignore[arg-type]
        lambda: NIC(MAC, dhcp6=1),  # type: ignore[arg-type]
        lambda: NIC(MAC, ("10.0.0.2/24",), mtu=100),
        lambda: NIC(MAC, ("10.0.0.2/24",), mtu=True),
        lambda: NIC(MAC, ("2001:db8::2/64",), mtu=1000),
        lambda: NIC(MAC, ("10.0.0.2/24",), routes=(Route("2001:db8::/32", "fe80::1"),)),
        lambda: NIC(MAC, ("10.0.0.2/24",), routes=(Route("10.9.0.0/16", "10.0.0.2"),)),
        lambda: NIC(
            MAC,
            ("10.0.0.2/24",),
            routes=(Route("10.9.0.0/16", "10.0.0.3"), Route("10.9.0.0/16", "10.0.0.4")),
        ),
        lambda: Route("10.9.0.1/16", "10.0.0.1"),
        lambda: Route("10.9.0.0/16", "2001:db8::1"),
        lambda: Route("10.9.0.0/16", "10.0.0.1", 0),
        lambda: GuestConfig("h" * 64 + ".x"),
        lambda: GuestConfig("1.2"),
        lambda: GuestConfig(None, (NIC(MAC), NIC(MAC.lower()))),
        lambda: guestinfo.versioned(
            GuestConfig(None, (NIC(MAC, ("10.0.0.2/24",)), NIC(OTHER, ("10.0.0.2/8",))))
        ),
        lambda: GuestConfig(ssh_keys={"a b": []}),
        lambda: GuestConfig(ssh_keys={"debian": ["ssh-ed25519 AAAA"]}),
        lambda: GuestConfig(ssh_keys={"debian": [KEY + "\n"]}),
        lambda: GuestConfig(ssh_keys={f"u{at}": [KEY] for at in range(17)}),
        lambda: GuestConfig(ntp=("a b",)),
        lambda: guestinfo.extra_config(
            GuestConfig(user_data="x" * 300_000), "cloud-init", instance_id="i"
        ),
        lambda: GuestConfig(None, [NIC(f"00:50:56:00:00:{at:02x}") for at in range(33)]),
        lambda: guestinfo.extra_config(GuestConfig(), "cloud-init"),
        lambda: guestinfo.extra_config(GuestConfig(), "cloud-init", instance_id="a\nb"),
        lambda: guestinfo.extra_config(GuestConfig(), "yaml"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_hold_together_is_refused(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def test_versioned_is_short_and_stable() -> None:
    config = GuestConfig("web-1", (NIC("00-50-56-AA-BB-02", ("10.0.0.2/24",)),), ("a.example",))
    assert guestinfo.versioned(config) == (
        'v1:{"hostname":"web-1","search":["a.example"],'
        '"nics":[{"mac":"00:50:56:aa:bb:02","addresses":["10.0.0.2/24"]}]}'
    )


def test_versioned_is_compressed_when_long() -> None:
    nics = [
        NIC(f"00:50:56:00:00:{at:02x}", (f"10.0.{at}.2/24", f"2001:db8:{at:x}::2/64"))
        for at in range(32)
    ]
    text = guestinfo.versioned(GuestConfig("web", nics))
    assert text.startswith("v1:gzip+base64:")
    assert text == guestinfo.versioned(GuestConfig("web", nics))
    form, config = vimguest.parse(text)
    assert form == "v1"
    assert [nic.mac for nic in config.nics] == [nic.mac for nic in nics]


def test_metadata_is_what_cloud_init_reads() -> None:
    config = GuestConfig("web", (FULL, NIC(MAC), NIC("00:50:56:aa:bb:03", dhcp4=True)), ("c.d",))
    found = guestinfo.metadata(config, "i-1")
    assert set(found) == {"guestinfo.metadata", "guestinfo.metadata.encoding"}
    assert found["guestinfo.metadata.encoding"] == "base64"
    document = json.loads(base64.b64decode(found["guestinfo.metadata"]))
    assert document["instance-id"] == "i-1"
    assert document["local-hostname"] == "web"
    network = document["network"]
    assert network["version"] == 2
    assert list(network["ethernets"]) == ["id0", "id2"]
    first, last = network["ethernets"].values()
    assert first["match"] == {"macaddress": OTHER}
    # A name would rename somebody else's NIC.
    assert "set-name" not in first
    assert first["addresses"] == list(FULL.addresses)
    assert first["mtu"] == 9000
    assert (first["gateway4"], first["gateway6"]) == ("10.0.0.1", "fe80::1")
    assert first["routes"] == [
        # For cloudbase-init, which takes one of the two gateways.
        {"to": "0.0.0.0/0", "via": "10.0.0.1"},
        {"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50},
        {"to": "2001:db8:9::/48", "via": "2001:db8::9"},
    ]
    assert first["nameservers"] == {"addresses": list(FULL.dns), "search": list(FULL.search)}
    assert last["dhcp4"] is True
    # The first NIC keeps the default route.
    assert last["dhcp4-overrides"] == {"route-metric": 1124}
    assert last["nameservers"] == {"search": ["c.d"]}


def test_long_metadata_is_compressed() -> None:
    nics = [NIC(f"00:50:56:00:00:{at:02x}", (f"10.0.{at}.2/24",)) for at in range(32)]
    found = guestinfo.metadata(GuestConfig("web", nics), "i-1")
    assert found["guestinfo.metadata.encoding"] == "gzip+base64"
    text = gzip.decompress(base64.b64decode(found["guestinfo.metadata"]))
    assert len(json.loads(text)["network"]["ethernets"]) == 32


def test_second_gateway_and_gateway_off_the_link() -> None:
    nics = (
        NIC(MAC, ("10.0.0.2/24",), gateway4="10.0.0.1"),
        NIC(OTHER, ("10.1.0.2/32",), gateway4="10.9.0.1"),
    )
    found = guestinfo.metadata(GuestConfig(None, nics), "i-1")
    ethernets = json.loads(base64.b64decode(found["guestinfo.metadata"]))["network"]["ethernets"]
    assert ethernets["id1"]["routes"] == [
        {"to": "10.9.0.1/32", "via": "0.0.0.0", "scope": "link"},
        {"to": "0.0.0.0/0", "via": "10.9.0.1", "metric": 1124, "on-link": True},
    ]


def ethernets(*nics: NIC) -> list[dict[str, Any]]:
    """What cloud-init gets of those NICs."""
    found = guestinfo.metadata(GuestConfig(None, nics), "i-1")["guestinfo.metadata"]
    return list(json.loads(base64.b64decode(found))["network"]["ethernets"].values())


TWO = ("10.1.0.2/24", "2001:db8:1::2/64")


@pytest.mark.parametrize(
    ("second", "kept", "lost"),
    [
        (NIC(OTHER, TWO, "10.1.0.1", "2001:db8:1::1"), ["10.1.0.1"], ["2001:db8:1::1"]),
        (NIC(OTHER, TWO, gateway6="2001:db8:1::1"), ["2001:db8:1::1"], []),
        (NIC(OTHER, TWO[:1], "10.1.0.1", dhcp6=True), [], ["10.1.0.1"]),
        (NIC(OTHER, TWO, gateway6="2001:db8:1::1", dhcp4=True), [], ["2001:db8:1::1"]),
    ],
)
def test_a_later_nic_keeps_the_default_route_of_its_first_entry(
    second: NIC, kept: list[str], lost: list[str]
) -> None:
    first = NIC(MAC, ("10.0.0.2/24", "2001:db8::2/64"), "10.0.0.1", "2001:db8::1")
    _, item = ethernets(first, second)
    found = item.get("routes", [])
    assert [(route["via"], route["metric"]) for route in found] == [(one, 1124) for one in kept]
    words = guestinfo.left_out(GuestConfig(None, (first, second)), "cloud-init")
    assert list(words) == [f"{OTHER}: gateway {one}" for one in lost]


def test_addresses_of_the_routes_ip_version_come_first() -> None:
    """cloud-init adds all routes of a NIC to the entry of its first address."""
    six = Route("2001:db8:9::/48", "2001:db8:1::9")
    (nic,) = ethernets(NIC(MAC, TWO, routes=[six]))
    assert nic["addresses"] == [*TWO[::-1]]
    (nic,) = ethernets(NIC(MAC, TWO[::-1], routes=[six, Route("10.9.0.0/16", "10.1.0.9")]))
    assert nic["addresses"] == [*TWO]
    (nic,) = ethernets(NIC(MAC, TWO[::-1]))
    assert nic["addresses"] == [*TWO[::-1]]


def test_a_gateway_off_the_link_gets_one_route_of_its_own() -> None:
    routes = [Route("10.8.0.0/16", "10.9.0.1"), Route("10.7.0.0/16", "10.9.0.1")]
    (nic,) = ethernets(NIC(MAC, ("10.1.0.2/32",), gateway4="10.9.0.1", routes=routes))
    assert [route["to"] for route in nic["routes"]] == [
        *("10.9.0.1/32", "10.8.0.0/16", "10.7.0.0/16"),
    ]
    six = NIC(MAC, ("2001:db8::2/128",), gateway6="2001:db8:f::1")
    assert ethernets(six)[0]["routes"] == [
        {"to": "2001:db8:f::1/128", "via": "::", "scope": "link"}
    ]


def test_a_name_server_goes_to_a_nic_of_its_ip_version() -> None:
    config = GuestConfig(
        None,
        (
            NIC(MAC, TWO[:1], dns=["2001:db8::53", "10.0.0.53"]),
            NIC(OTHER, TWO[1:], dns=["2001:db8::53"]),
        ),
    )
    first, second = ethernets(*config.nics)
    assert first["nameservers"] == {"addresses": ["10.0.0.53"]}
    assert second["nameservers"] == {"addresses": ["2001:db8::53"]}
    assert guestinfo.left_out(config, "cloud-init") == ()
    # One that no NIC can reach.
    alone = GuestConfig(None, config.nics[:1])
    assert guestinfo.left_out(alone, "cloud-init") == ("DNS 2001:db8::53",)


@pytest.mark.parametrize(("address", "on_link"), [("10.1.0.2/32", True), ("169.254.7.2/16", False)])
def test_a_link_local_gateway_is_reached_without_a_word_in_ipv6_alone(
    address: str, on_link: bool
) -> None:
    nic = NIC(MAC, (address, "2001:db8::2/64"), gateway4="169.254.0.1", gateway6="fe80::1")
    found = guestinfo.metadata(GuestConfig(None, (nic,)), "i-1")
    (ethernet,) = json.loads(base64.b64decode(found["guestinfo.metadata"]))["network"][
        "ethernets"
    ].values()
    assert (ethernet["gateway4"], ethernet["gateway6"]) == ("169.254.0.1", "fe80::1")
    link = [{"to": "169.254.0.1/32", "via": "0.0.0.0", "scope": "link"}]
    again = [{"to": "0.0.0.0/0", "via": "169.254.0.1"}]
    assert ethernet["routes"] == (link if on_link else again)
    # The helper agrees.
    (read,) = vimguest.parse(guestinfo.versioned(GuestConfig(None, (nic,))))[1].nics
    assert [hop.onlink for hop in vimguest.written_routes(read, {})] == [on_link, False]


def test_no_more_than_the_reader_takes() -> None:
    domains = [f"{'a' * 60}.{'b' * 60}.{'c' * 60}.x{at}" for at in range(64)]
    nics = [NIC(f"00:50:56:00:00:{at:02x}", dhcp4=True, search=domains) for at in range(32)]
    # It would pack well, and the reader does not unpack without end.
    with pytest.raises(UsageError):
        guestinfo.versioned(GuestConfig(None, nics))
    assert len(vimguest.parse(guestinfo.versioned(GuestConfig(None, nics[:20])))[1].nics) == 20


def test_extra_config_keys() -> None:
    config = GuestConfig("web", (FULL,))
    keys = {
        form: set(guestinfo.extra_config(config, form, instance_id="i")) for form in guestinfo.FORMS
    }
    assert keys == {
        "nova": {"machine.id"},
        "original": {"machine.id"},
        "versioned": {"machine.id"},
        "cloud-init": {
            "guestinfo.metadata",
            "guestinfo.metadata.encoding",
            "guestinfo.vendordata",
            "guestinfo.vendordata.encoding",
        },
    }


def test_vendor_data_has_cloud_init_apply_a_changed_network() -> None:
    config = GuestConfig(ssh_keys={"debian": [KEY], "ops": [KEY]}, ntp=["10.0.0.7"])
    found = guestinfo.extra_config(config, "cloud-init", instance_id="i")
    assert found["guestinfo.vendordata.encoding"] == "base64"
    head, body = base64.b64decode(found["guestinfo.vendordata"]).decode().split("\n", 1)
    assert head == "#cloud-config"
    document = json.loads(body)
    assert document["updates"] == {"network": {"when": ["boot-new-instance", "boot"]}}
    assert [user if user == "default" else user["name"] for user in document["users"]] == [
        "default",
        "debian",
        "ops",
    ]
    assert document["ntp"]["servers"] == ["10.0.0.7"]
    # Keys of several users are nobody else's.
    assert "public-keys-data" not in json.loads(base64.b64decode(found["guestinfo.metadata"]))


def test_user_data_and_vendor_data_go_unchanged() -> None:
    text = "#!/bin/sh\necho \u00e4\n" + "x" * 3000
    config = GuestConfig(user_data=text, vendor_data="#cloud-config\n{}\n")
    found = guestinfo.extra_config(config, "cloud-init", instance_id="i")
    assert found["guestinfo.userdata.encoding"] == "gzip+base64"
    assert gzip.decompress(base64.b64decode(found["guestinfo.userdata"])).decode() == text
    assert base64.b64decode(found["guestinfo.vendordata"]) == b"#cloud-config\n{}\n"
    assert guestinfo.left_out(config, "versioned") == ("user-data", "vendor-data")


def test_keys_and_time_servers_reach_the_helper() -> None:
    config = GuestConfig(ssh_keys={"debian": [KEY]}, ntp=["10.0.0.7", "ntp.example"])
    read = vimguest.parse(guestinfo.versioned(config))[1]
    assert read.ssh_keys == (("debian", (KEY,)),)
    assert read.ntp == ("10.0.0.7", "ntp.example")
    assert guestinfo.left_out(config, "nova") == (
        "SSH keys of debian",
        "time servers 10.0.0.7, ntp.example",
    )


def test_left_out_names_what_is_lost() -> None:
    config = GuestConfig("web", (FULL,), ("c.d",))
    assert guestinfo.left_out(config, "versioned") == ()
    assert guestinfo.left_out(config, "nova") == (
        "hostname web",
        "search domains c.d",
        f"{OTHER}: addresses 10.0.0.3/24, 2001:db8::2/64",
        f"{OTHER}: gateway fe80::1",
        f"{OTHER}: DNS 2001:db8::53",
        f"{OTHER}: search domains example.org, b.example",
        f"{OTHER}: routes 10.9.0.0/16, 2001:db8:9::/48",
        f"{OTHER}: MTU 9000",
    )
    plain = GuestConfig(None, (NIC(MAC, ("10.0.0.2/24",), dns=("10.0.0.53",)),))
    assert guestinfo.left_out(plain, "nova") == ()
    assert guestinfo.left_out(plain, "original") == (f"{MAC}: DNS 10.0.0.53",)


# --- round trips through the reader -------------------------------------------

MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
V4 = st.builds(
    lambda host, bits: f"10.{host >> 8}.{host & 255 or 1}.77/{bits}",
    st.integers(0, 0xFFFF),
    st.integers(8, 32),
)
V6 = st.builds(
    lambda host, bits: f"2001:db8::{host:x}/{bits}", st.integers(1, 0xFFFF), st.integers(1, 128)
)
DOMAINS = st.from_regex(r"[a-z][a-z0-9]{0,9}(\.[a-z][a-z0-9]{0,9}){0,3}", fullmatch=True)


@st.composite
def nics(draw: st.DrawFn) -> NIC:
    v4: list[str] = draw(st.lists(V4, max_size=1))
    v6: list[str] = draw(st.lists(V6, max_size=1))
    dhcp4: bool = draw(st.booleans())
    dhcp6: bool = draw(st.booleans())
    four, six = bool(v4 or dhcp4), bool(v6 or dhcp6)
    gateway4: bool = draw(st.booleans())
    gateway6: bool = draw(st.booleans())
    routed: bool = draw(st.booleans())
    routes = [Route("172.16.0.0/12", "10.255.255.1", draw(st.none() | st.integers(1, 99)))]
    return NIC(
        draw(MACS),
        [*v4, *v6],
        "10.255.255.2" if v4 and gateway4 else None,
        "fe80::1" if v6 and gateway6 else None,
        draw(st.lists(st.sampled_from(["10.0.0.53", "2001:db8::53"]), max_size=3)),
        draw(st.lists(DOMAINS, max_size=3)),
        dhcp4,
        dhcp6,
        routes if four and routed else [],
        draw(st.none() | st.integers(1280, 9216)) if four or six else None,
    )


def distinct(rows: list[NIC]) -> bool:
    addresses = [one.partition("/")[0] for row in rows for one in row.addresses]
    return len({row.mac for row in rows}) == len(rows) and len(set(addresses)) == len(addresses)


CONFIGS = st.builds(
    GuestConfig,
    st.none() | DOMAINS,
    st.lists(nics(), max_size=4).filter(distinct),
    st.lists(DOMAINS, max_size=2),
)


@given(CONFIGS)
def test_versioned_reads_back_whole(config: GuestConfig) -> None:
    form, read = vimguest.parse(guestinfo.extra_config(config, "versioned")["machine.id"])
    assert form == "v1"
    assert read.hostname == config.hostname
    assert len(read.nics) == len(config.nics)
    for found, sent in zip(read.nics, config.nics, strict=True):
        expected = {
            "mac": sent.mac,
            "addresses": list(sent.addresses),
            "gateway4": sent.gateway4,
            "gateway6": sent.gateway6,
            "dhcp4": sent.dhcp4,
            "dhcp6": sent.dhcp6,
            "routes": [{"to": r.to, "via": r.via, "metric": r.metric} for r in sent.routes],
            "mtu": sent.mtu,
            "dns": list(sent.dns),
            "search": list(sent.search or config.search),
        }
        assert vimguest.to_document(found) == expected


@given(CONFIGS)
def test_nova_reads_back_what_it_can_say(config: GuestConfig) -> None:
    text = guestinfo.machine_id(config.nics)
    if not config.nics:
        assert text == ""
        return
    form, read = vimguest.parse(text)
    assert form == "nova"
    for found, sent in zip(read.nics, config.nics, strict=True):
        v4 = [one for one in sent.addresses if ":" not in one]
        assert [str(one) for one in found.addresses] == v4
        assert found.gateway4 is None or str(found.gateway4) == sent.gateway4


@given(
    st.text(max_size=40),
    st.sampled_from(["mac", "addresses", "gateway4", "gateway6", "dns", "search"]),
)
def test_any_text_is_refused_or_reads_back(text: str, field: str) -> None:
    value: Any = text if field in ("mac", "gateway4", "gateway6") else (text,)
    values: dict[str, Any] = {"mac": MAC, "addresses": ("10.0.0.2/24", "2001:db8::2/64")}
    try:
        config = GuestConfig(None, (NIC(**(values | {field: value})),))
    except UsageError:
        return
    assert len(vimguest.parse(guestinfo.versioned(config))[1].nics) == 1
    assert len(vimguest.parse(guestinfo.machine_id(config.nics))[1].nics) == 1
