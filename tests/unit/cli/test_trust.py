from __future__ import annotations

from pathlib import Path

import pytest

from vimdriver._cli.trust import TrustOptions, certificate_text, read_bool
from vimlib.errors import CertificateError, UsageError

PIN = "AB" * 32


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (TrustOptions(), {}, TrustOptions()),
        (TrustOptions(), {"VIMLIB_PIN": PIN}, TrustOptions(pin=PIN)),
        (TrustOptions(), {"VIMLIB_CA": "a:b"}, TrustOptions(ca=(Path("a"), Path("b")))),
        (TrustOptions(), {"VIMLIB_KNOWN_HOSTS": "k"}, TrustOptions(known_hosts=Path("k"))),
        (TrustOptions(), {"VIMLIB_INSECURE": "1"}, TrustOptions(insecure=True)),
        (TrustOptions(), {"VIMLIB_INSECURE": "0"}, TrustOptions()),
        (TrustOptions(), {"GOVC_INSECURE": "true"}, TrustOptions(insecure=True)),
        (TrustOptions(), {"GOVC_TLS_KNOWN_HOSTS": "k"}, TrustOptions(known_hosts=Path("k"))),
        (TrustOptions(), {"VMWARE_VALIDATE_CERTS": "false"}, TrustOptions(insecure=True)),
        (TrustOptions(), {"VMWARE_VALIDATE_CERTS": "true"}, TrustOptions()),
        # The first layer with a setting supplies all of them.
        (TrustOptions(), {"VIMLIB_PIN": PIN, "GOVC_INSECURE": "1"}, TrustOptions(pin=PIN)),
        (TrustOptions(ca=(Path("c"),)), {"VIMLIB_INSECURE": "1"}, TrustOptions(ca=(Path("c"),))),
        (TrustOptions(insecure=True), {"VIMLIB_PIN": PIN}, TrustOptions(insecure=True)),
        # Of govc's two variables the stricter one applies.
        (
            TrustOptions(),
            {"GOVC_INSECURE": "1", "GOVC_TLS_CA_CERTS": "c"},
            TrustOptions(ca=(Path("c"),)),
        ),
        # Allowing old TLS is independent of the trust settings.
        (
            TrustOptions(tls_legacy=True),
            {"VIMLIB_PIN": PIN},
            TrustOptions(pin=PIN, tls_legacy=True),
        ),
    ],
)
def test_the_first_layer_with_a_setting_applies(
    options: TrustOptions, environ: dict[str, str], expected: TrustOptions
) -> None:
    assert options.with_environment(environ) == expected


def test_the_options_become_a_tls_value() -> None:
    tls = TrustOptions(pin=PIN, tls_legacy=True).tls()
    assert (tls.pin, tls.verify, tls.legacy, tls.ca) == (PIN, True, True, None)
    assert TrustOptions(insecure=True).tls().verify is False


def test_a_wrong_pin_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UsageError):
        TrustOptions(pin="12:34").tls()


def test_a_variable_is_a_boolean() -> None:
    assert [read_bool({"X": text}, "X") for text in ("YES", "off", "", "1")] == [
        True,
        False,
        None,
        True,
    ]
    with pytest.raises(UsageError, match="X must be 1 or 0, got 'maybe'"):
        read_bool({"X": "maybe"}, "X")


def test_the_text_of_an_error_names_the_options_once() -> None:
    text = certificate_text(CertificateError("x", sha256="AB:CD"))
    assert text.count("AB:CD") == 1
    assert "--pin AB:CD" in text
    assert "--ca" in certificate_text(CertificateError("x"))


def test_insecure_and_a_ca_exclude_each_other_by_their_options() -> None:
    with pytest.raises(UsageError, match="--insecure and --ca are mutually exclusive"):
        TrustOptions(insecure=True, ca=(Path("c"),)).tls()
