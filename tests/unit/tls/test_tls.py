from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig import certs
from vimlib._tls import TLS, Pin, blind_trust, fingerprint, parse_pin, read_known_hosts
from vimlib.errors import CertificateError, PinMismatchError, TLSError, UsageError

GOOD = certs.make("good")
SHA1, SHA256, SHA512 = (GOOD.digest(name) for name in ("sha1", "sha256", "sha512"))


@given(
    st.sampled_from(["sha1", "sha256", "sha512"]),
    st.sampled_from([str, str.lower, str.swapcase]),
    st.sampled_from([":", "", " "]),
)
def test_a_pin_reads_in_all_its_spellings(algorithm: str, case: object, colon: str) -> None:
    assert callable(case)
    pin = parse_pin(case(GOOD.digest(algorithm)).replace(":", colon))
    assert pin.algorithm == algorithm
    assert pin.matches(GOOD.der)
    assert not pin.matches(certs.make("good", 1).der)
    assert str(pin) == GOOD.digest(algorithm)


@pytest.mark.parametrize(
    "text",
    ["", "ab", "zz" * 32, "ab" * 16, SHA256 + "00", "ab" * 64 + "c", "é" * 64],
    ids=["empty", "short", "no-hex", "md5", "33-bytes", "half-a-byte", "not-ascii"],
)
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_pin(text)


def test_the_arguments_are_checked_when_given() -> None:
    with pytest.raises(UsageError):
        TLS(pin="nonsense")
    with pytest.raises(UsageError):
        TLS(verify=False, ca="x")
    with pytest.raises(AttributeError):
        TLS().verify = False  # type: ignore[misc]
    assert TLS(pin=SHA256) == TLS(pin=SHA256)


@pytest.mark.parametrize(
    ("line", "host", "found"),
    [
        (f"esx.test:443 {SHA256}", "esx.test:443", True),
        (f"esx.test {SHA256}", "esx.test:443", True),
        (f"ESX.test {SHA256.lower()}", "esx.test:443", True),
        (f"esx.test:444 {SHA256}", "esx.test:443", False),
        (f"esx.test:444 {SHA256}", "esx.test:444", True),
        (f"[::1]:8989 {SHA256}", "[::1]:8989", True),
        (f"[::1] {SHA256}", "[::1]:443", True),
        (f"::1 {SHA256}", "[::1]:443", True),
        (f"# esx.test {SHA256}", "esx.test:443", False),
        ("esx.test", "esx.test:443", False),
        ("", "esx.test:443", False),
        (f"  esx.test   {SHA1}  ", "esx.test:443", True),
        ("other not-a-pin", "esx.test:443", False),
    ],
    ids=range(13),
)
def test_known_hosts_in_govc_s_format(line: str, host: str, found: bool) -> None:
    pins = read_known_hosts(f"\nfirst 00\n{line}\n".replace("first 00", f"first {SHA1}"), host)
    assert bool(pins) == found
    assert all(pin.matches(GOOD.der) for pin in pins)


def test_a_broken_line_of_this_host_is_refused() -> None:
    with pytest.raises(UsageError):
        read_known_hosts("esx.test nonsense", "esx.test:443")


def test_two_lines_of_a_host_are_both_good() -> None:
    pins = read_known_hosts(f"h {SHA1}\nh {certs.make('good', 1).digest()}\n", "h:443")
    assert len(pins) == 2


@pytest.mark.parametrize(
    ("tls", "chain", "pins"),
    [
        (TLS(), True, 0),
        (TLS(pin=SHA256), False, 1),
        (TLS(verify=False), False, 0),
        (TLS(verify=False, pin=SHA256), False, 1),
    ],
)
def test_what_is_checked(tls: TLS, chain: bool, pins: int) -> None:
    trust = tls.prepare("h")
    assert trust.context.check_hostname is chain
    assert (trust.context.verify_mode is ssl.CERT_REQUIRED) is chain
    assert len(trust.pins) == pins
    assert trust.context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_pin_with_a_ca_means_both(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(GOOD.ca_pem)
    for ca in (file, str(file), [file], tmp_path):
        trust = TLS(pin=SHA256, ca=ca).prepare("h")
        assert trust.context.verify_mode is ssl.CERT_REQUIRED
        assert trust.pins
        assert len(trust.context.get_ca_certs()) == 1


def test_known_hosts_beside_a_pin_or_a_ca(tmp_path: Path) -> None:
    hosts, ca = tmp_path / "known_hosts", tmp_path / "ca.pem"
    hosts.write_text(f"h {SHA1}\n")
    ca.write_bytes(GOOD.ca_pem)
    assert [pin.algorithm for pin in TLS(known_hosts=hosts, pin=SHA256).prepare("h").pins] == [
        "sha256"
    ]
    trust = TLS(known_hosts=hosts, ca=ca).prepare("h")
    assert trust.context.verify_mode is ssl.CERT_REQUIRED
    assert trust.pins
    assert TLS(known_hosts=hosts).prepare("other").context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize("content", [None, b"", b"not pem"])
def test_a_ca_that_cannot_be_read_is_the_caller_s_mistake(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError):
        TLS(ca=file).prepare("h")
    with pytest.raises(UsageError):
        TLS(known_hosts=tmp_path / "absent").prepare("h")


def test_each_server_has_a_context_of_its_own() -> None:
    tls = TLS(pin=SHA256)
    assert tls.prepare("a").context is not tls.prepare("a").context


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (TLS(pin=SHA1), "SHA-1"),
        (TLS(verify=False), "not verified"),
        (TLS(pin=SHA256, legacy=True), "TLS 1.0"),
    ],
)
def test_what_is_weak_is_logged(tls: TLS, said: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vimlib.tls"):
        tls.prepare("esx.test", 444)
    assert said in caplog.text
    assert "esx.test:444" in caplog.text


def test_what_is_strong_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    TLS(pin=SHA256).prepare("h")
    TLS().prepare("h")
    assert not caplog.records


def test_legacy_is_for_that_host_alone() -> None:
    legacy = TLS(pin=SHA256, legacy=True).prepare("old").context
    modern = TLS(pin=SHA256).prepare("new").context
    assert legacy.minimum_version < ssl.TLSVersion.TLSv1_2 <= modern.minimum_version
    assert legacy.options & ssl.OP_NO_SSLv3


def test_a_trust_checks_every_certificate_that_it_is_shown() -> None:
    trust = TLS(pin=SHA512).prepare("h")
    trust.check(GOOD.der)
    for der in (certs.make("good", 1).der, None, b""):
        with pytest.raises(PinMismatchError) as caught:
            trust.check(der)
        assert caught.value.sha256 == ("" if der is None else fingerprint(der))
        assert caught.value.outcome == "not_sent"
    blind_trust("h").check(None)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("UNSUPPORTED_PROTOCOL", "legacy=True"),
        ("UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "legacy=True"),
        ("WRONG_VERSION_NUMBER", "does not speak TLS"),
        ("SOMETHING_ELSE", "SOMETHING_ELSE"),
    ],
)
def test_a_failed_handshake_says_what_to_try(reason: str, said: str) -> None:
    cause = ssl.SSLError(1, "x")
    cause.reason = reason
    error = TLS(pin=SHA256).prepare("h").error(cause)
    assert type(error) is TLSError
    assert said in str(error)
    assert "legacy=True" not in str(TLS(pin=SHA256, legacy=True).prepare("h").error(cause))


def test_a_certificate_error_has_the_facts() -> None:
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_message = "certificate has expired"
    error = TLS().prepare("h").error(cause, GOOD.der)
    assert isinstance(error, CertificateError)
    assert (error.sha256, error.reason) == (SHA256, "certificate has expired")
    assert SHA256 in str(error)


def test_pins_of_certificates() -> None:
    assert Pin.of(GOOD.der) == Pin.of_pem(GOOD.pem.decode())
    with pytest.raises(UsageError):
        Pin.of_pem("nonsense")
