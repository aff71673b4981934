"""The host's own certificate: self-signed, made at start, not stored unless the host keeps its state."""

from __future__ import annotations

import hashlib
import ipaddress
import ssl
import tempfile
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from vimlib._distribution import missing_extra

if TYPE_CHECKING:
    from pathlib import Path


_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


@dataclass(frozen=True, repr=False)
class Certificate:
    """A certificate with its key, both PEM, and its digests as vSphere writes them."""

    pem: bytes
    key: bytes
    sha256: str
    """SHA-256 of the DER form, upper-case hex with colons."""
    sha1: str
    """SHA-1 of it, which NFC leases and tickets give."""


def make_certificate(name: str = "localhost.localdomain", *, bits: int = 0) -> Certificate:
    """Return a fresh self-signed certificate for loopback.

    `bits` is the size of an RSA key; 0 makes an elliptic one, which is faster to make and to use
    but which old TLS 1.0 clients may not support. Raises `MissingExtraError` if cryptography is
    not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise missing_extra("the simulator", package="cryptography", extra="simulator") from error

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    key = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "VMware, Inc."),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName(name),
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    x509.IPAddress(ipaddress.ip_address("::1")),
                ]
            ),
            critical=False,
        )
        # A user may put it into a CA bundle; strict verifiers (Python 3.13's default) then want these.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=bool(bits),
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return _certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def load_certificate(certificate: Path, key: Path) -> Certificate:
    """Return the certificate of two PEM files; others of its chain may follow it in the first.

    Raises:
        OSError: A file cannot be read.
        ValueError: The first has no certificate, or the key is another's.
        MissingExtraError: cryptography is not installed.
    """
    found = _certificate(certificate.read_bytes(), key.read_bytes())
    try:
        server_context(found)
    except ssl.SSLError:
        raise ValueError(f"{key} must be the unencrypted key of {certificate}") from None
    return found


def _certificate(pem: bytes, key: bytes) -> Certificate:
    """Return a certificate with its digests. Raises `ValueError`."""
    der = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    first, end, _ = pem.partition(_END)
    _, begin, body = first.partition(_BEGIN)
    if not begin or not end:
        raise ValueError("a certificate must be in PEM form")
    for digest in der:
        digest.update(ssl.PEM_cert_to_DER_cert((begin + body + end).decode("ascii")))
    return Certificate(pem, key, *(digest.digest().hex(":").upper() for digest in der))


def server_context(certificate: Certificate, *, legacy: bool = False) -> ssl.SSLContext:
    """Return a TLS context that serves `certificate`; `legacy` speaks TLS 1.0 alone, as ESX 4.1 did."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if legacy:
        with warnings.catch_warnings():
            # Python deprecates the name of the one version that such a host speaks.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    # `load_cert_chain` reads files only. This one is ours alone (mode 0600) and gone at once.
    with tempfile.NamedTemporaryFile(prefix="vimlib-sim-", suffix=".pem") as file:
        file.write(certificate.key + certificate.pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context
