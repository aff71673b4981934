"""Throw-away certificates, good and bad ones."""

from __future__ import annotations

import atexit
import hashlib
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cert:
    """A certificate, its key, and the authority that signed it (itself if none did)."""

    pem: bytes
    key: bytes
    der: bytes
    ca_pem: bytes

    def digest(self, algorithm: str = "sha256") -> str:
        """Return the thumbprint with colons."""
        return hashlib.new(algorithm, self.der).digest().hex(":").upper()

    def server_context(self, *, legacy: bool = False) -> ssl.SSLContext:
        """Return a server context with it; with `legacy`, TLS 1.0 and nothing newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if legacy:
            context.set_ciphers("ALL:@SECLEVEL=0")
            # Setting old versions warns; here they are intended.
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "both.pem"
            file.write_bytes(self.pem + self.key)
            context.load_cert_chain(file)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key(bits: int) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    return (
        rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    )


@cache
def authority_file() -> Path:
    """Return a PEM file with the single CA of the tests: the system's take 17 ms each time that they are read."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    file = Path(folder.name, "ca.pem")
    file.write_bytes(authority()[0].public_bytes(serialization.Encoding.PEM))
    return file


@cache
def authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return the single CA of the tests."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(_name("rig authority"))
        .issuer_name(_name("rig authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * DAY)
        .not_valid_after(now + 30 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return cert, key


@cache
def make(kind: str = "good", serial: int = 0, *, bits: int = 0) -> Cert:
    """Return a certificate: `good`, `self-signed`, `expired`, `future` or `wrong-name`.

    `serial` distinguishes several of one kind; `bits` makes an RSA key instead of an elliptic one.
    """
    now = datetime.now(UTC)
    before, after = now - DAY, now + DAY
    if kind == "expired":
        before, after = now - 10 * DAY, now - DAY
    elif kind == "future":
        before, after = now + DAY, now + 10 * DAY
    ca, ca_key = authority()
    key = _key(bits)
    own = kind == "self-signed"
    subject = _name(f"rig host {serial}")
    names: list[x509.GeneralName] = (
        [x509.DNSName("elsewhere.invalid")]
        if kind == "wrong-name"
        else [
            x509.DNSName("localhost"),
            # 127.0.0.2 is for clients that treat 127.0.0.1 specially.
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("127.0.0.2")),
        ]
    )
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if own else ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                (key if own else ca_key).public_key()
            ),
            critical=False,
        )
        .sign(key if own else ca_key, hashes.SHA256())
    )
    pem = cert.public_bytes(serialization.Encoding.PEM)
    return Cert(
        pem=pem,
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        der=cert.public_bytes(serialization.Encoding.DER),
        ca_pem=pem if own else ca.public_bytes(serialization.Encoding.PEM),
    )
