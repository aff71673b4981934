"""Trust in the server: chain, pin or known_hosts, checked on every connection.

`TLS` holds the user's settings; `TLS.prepare(host, port)` makes a `Trust` of them for one server: an
`ssl.SSLContext` of its own, which nothing changes afterwards, and the pins that the certificate
must match. A pin replaces the check of the chain; a pin with a CA means both. No host is exempt,
localhost neither.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vimlib._text import printable
from vimlib.errors import CertificateError, PinMismatchError, TLSError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger("vimlib.tls")

_ALGORITHMS: Final = {40: "sha1", 64: "sha256", 128: "sha512"}

# OpenSSL's reasons (stable symbols) for a peer whose TLS is outdated.
_TOO_OLD: Final = frozenset(
    {
        "BAD_PROTOCOL_VERSION_NUMBER",
        "CA_KEY_TOO_SMALL",
        "CA_MD_TOO_WEAK",
        "DH_KEY_TOO_SMALL",
        "EE_KEY_TOO_SMALL",
        "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED",
        "NO_CIPHERS_AVAILABLE",
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_SIGNATURE_TYPE",
        "WRONG_SSL_VERSION",
    }
)
# The peer answered in the clear.
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE"}
)

BROKEN_HANDSHAKE: Final = (
    "Check that the port is that of the API. A host with outdated TLS also closes the connection"
    " (ESX 4.1 and older): allow it with TLS(legacy=True) or --tls-legacy."
)

# ssl.OP_LEGACY_SERVER_CONNECT has a name in Python 3.12 and later; the number is OpenSSL's.
_LEGACY_SERVER_CONNECT: Final = 0x4


@dataclass(frozen=True, slots=True)
class Pin:
    """The digest of the one certificate (DER, whole) that is accepted."""

    algorithm: str
    """`sha1`, `sha256` or `sha512`."""
    digest: bytes

    @classmethod
    def of(cls, der: bytes) -> Pin:
        """Return the SHA-256 pin of a certificate."""
        return cls("sha256", hashlib.sha256(der).digest())

    @classmethod
    def of_pem(cls, pem: str) -> Pin:
        """Return the SHA-256 pin of a certificate in PEM. Raises `UsageError` if it is invalid."""
        try:
            return cls.of(ssl.PEM_cert_to_DER_cert(pem.strip()))
        except ValueError as exc:
            raise UsageError(f"invalid PEM certificate: {exc}") from None

    def matches(self, der: bytes) -> bool:
        """Tell whether `der` is the pinned certificate."""
        return hmac.compare_digest(hashlib.new(self.algorithm, der).digest(), self.digest)

    def __str__(self) -> str:
        return self.digest.hex(":").upper()


def parse_pin(text: str) -> Pin:
    """Read a thumbprint: hex of SHA-1, SHA-256 or SHA-512, any case, with or without colons.

    Raises `UsageError`.
    """
    bare = re.sub(r"[:\s]", "", text)
    algorithm = _ALGORITHMS.get(len(bare))
    if algorithm is None or re.fullmatch(r"[0-9A-Fa-f]+", bare) is None:
        raise UsageError(
            "a pin must be the SHA-256, SHA-512 or SHA-1 of a certificate in hex, "
            f"got {printable(text, 140)!r}",
            hint="Give the SHA-256: 64 hex digits, with or without colons.",
        )
    return Pin(algorithm, bytes.fromhex(bare))


def fingerprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate as it is shown everywhere: upper-case hex with colons."""
    return hashlib.sha256(der).digest().hex(":").upper()


def file_stamp(path: str | Path) -> str:
    """Return a text that changes with a file: of its inode, size and time; `absent` if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return "absent"
    return f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}"


def _host_key(text: str) -> str:
    """Return `host:port` of an entry, lower case, port 443 where none is given."""
    text = text.strip().lower()
    if text.startswith("["):
        return text if "]:" in text else f"{text}:443"
    if text.count(":") == 1:
        return text
    return f"[{text}]:443" if ":" in text else f"{text}:443"


def read_known_hosts(text: str, host: str) -> tuple[Pin, ...]:
    """Return the pins that a known_hosts file in govc's format has for `host` (`host:port`).

    A line is `host[:port] thumbprint`; empty lines and lines that begin with `#` are passed over.
    Raises `UsageError` for a line of this host that holds no thumbprint.
    """
    wanted = _host_key(host)
    pins = []
    for line in text.splitlines():
        name, _, thumbprint = line.strip().partition(" ")
        if not thumbprint or name.startswith("#"):
            continue
        if _host_key(name) == wanted:
            pins.append(parse_pin(thumbprint))
    return tuple(pins)


@dataclass(frozen=True, kw_only=True)
class TLS:
    """How far to trust a server.

    Without arguments: the system's CAs and the host name. Raises `UsageError` for arguments that
    contradict each other.
    """

    pin: str | None = None
    """Thumbprint of the server's certificate, SHA-1 (a warning is logged), SHA-256 or SHA-512."""
    ca: str | Path | Sequence[str | Path] | None = None
    """File or directory of CA certificates (PEM), or several; trusted instead of the system's.

    Read again for the next connection after it has changed; so is `known_hosts`."""
    known_hosts: str | Path | None = None
    """File in govc's format; a host that is in it is pinned, any other is checked by its chain."""
    verify: bool = True
    """False: trust anybody (a pin is compared all the same). A warning is logged."""
    legacy: bool = False
    """Allow TLS 1.0 and weak keys and hashes for this one host; ESX 4.1 speaks nothing newer."""
    _pin: Pin | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.pin is not None:
            object.__setattr__(self, "_pin", parse_pin(self.pin))
        if not self.verify and self.ca is not None:
            raise UsageError(
                "verify=False and ca= are mutually exclusive", hint="Give one of them."
            )

    def stamp(self) -> str:
        """Return a text that changes with the files that `prepare` reads; "" if there are none."""
        paths = [] if self.known_hosts is None else [self.known_hosts]
        if self.ca is not None:
            paths += [self.ca] if isinstance(self.ca, str | os.PathLike) else self.ca
        return " ".join(map(file_stamp, paths))

    def prepare(self, host: str, port: int = 443) -> Trust:
        """Make the trust in one server. Reads files, so a coroutine calls it in a thread.

        Raises `UsageError` for a file that cannot be read or holds no certificate.
        """
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        pins: tuple[Pin, ...] = () if self._pin is None else (self._pin,)
        if not pins and self.known_hosts is not None:
            pins = read_known_hosts(_read(self.known_hosts), name)
        for pin in pins:
            if pin.algorithm == "sha1":
                log.warning("%s is pinned by SHA-1, which can be forged; pin its SHA-256", name)
        chain = self.verify and (self.ca is not None or not pins)
        if not chain and not pins:
            log.warning("the certificate of %s is not verified", name)
        if self.legacy:
            log.warning("TLS 1.0 and weak cryptography are allowed for %s", name)
        return Trust(name, _context(self.ca, chain=chain, legacy=self.legacy), pins, self.legacy)


@dataclass(frozen=True, slots=True)
class Trust:
    """Trust in one server, ready for use: give `context` to each new connection, then `check` it."""

    host: str
    """`host:port`."""
    context: ssl.SSLContext
    """Shared by the connections to this server and never changed."""
    pins: tuple[Pin, ...] = ()
    """The certificate must match one of them, if there are any."""
    legacy: bool = False

    def check(self, der: bytes | None) -> None:
        """Compare the certificate (DER) of a new connection, before a byte is sent on it.

        Raises `PinMismatchError`.
        """
        if not self.pins:
            return
        if der is not None and any(pin.matches(der) for pin in self.pins):
            return
        seen = fingerprint(der) if der is not None else ""
        raise PinMismatchError(
            f"the certificate of {self.host} does not match the pin",
            hint="If the host has a new certificate and you trust it, pin "
            + (f"this SHA-256: {seen}." if seen else "that one."),
            host=self.host,
            sha256=seen,
            reason="pin mismatch",
        )

    def error(self, cause: ssl.SSLError, der: bytes | None = None) -> TLSError:
        """Return our error for a failed handshake; `der` is the certificate if seen."""
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self.certificate_error(
                cause.verify_message or cause.reason or "not accepted", der
            )
        reason = cause.reason or type(cause).__name__
        hint = "Check that the port is that of the API."
        if reason in _NOT_TLS:
            said = "the port does not speak TLS"
        elif reason in _TOO_OLD and not self.legacy:
            said = f"the TLS handshake failed ({reason})"
            hint = (
                "For ESX 4.1 and older, allow outdated TLS with TLS(legacy=True) or --tls-legacy."
            )
        else:
            said = f"the TLS handshake failed ({reason})"
        return TLSError(f"{self.host}: {said}", hint=hint, host=self.host)

    def certificate_error(self, reason: str, der: bytes | None) -> CertificateError:
        """Return the error for a certificate that was not accepted, with its SHA-256 if it was seen."""
        seen = fingerprint(der) if der is not None else ""
        hint = "Give the CA that signed it (ca=), or compare its SHA-256 on the host and pin it"
        return CertificateError(
            f"the certificate of {self.host} was not accepted: {reason}",
            hint=f"{hint}: TLS(pin={seen!r})." if seen else f"{hint} (pin=).",
            host=self.host,
            sha256=seen,
            reason=reason,
        )


def blind_trust(host: str, pins: tuple[Pin, ...] = (), *, legacy: bool = False) -> Trust:
    """Return a trust without a chain: pins decide, or without them nothing, to look at a certificate."""
    return Trust(host, _context(None, chain=False, legacy=legacy), pins, legacy)


def _context(
    ca: str | Path | Sequence[str | Path] | None, *, chain: bool, legacy: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if legacy:
        # To name TLSv1 warns. SSL 3 stays off: Python sets OP_NO_SSLv3 in every context.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.options |= _LEGACY_SERVER_CONNECT
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not chain:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        for path in [ca] if isinstance(ca, str | os.PathLike) else ca:
            _load_ca(context, path)
    return context


def _load_ca(context: ssl.SSLContext, path: str | Path) -> None:
    try:
        if os.path.isdir(path):
            # capath alone is read lazily and by hashed names only; people have plain directories.
            for entry in sorted(os.scandir(path), key=lambda item: item.name):
                if entry.is_file():
                    context.load_verify_locations(cafile=entry.path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as exc:
        # An SSLError is an OSError: its text has the line in OpenSSL's source.
        reason = "no certificate" if isinstance(exc, ssl.SSLError) else exc.strerror
        raise UsageError(
            f"cannot read CA certificates from {os.fspath(path)!r}: {reason}",
            hint="Give a file, or a directory of files, with certificates in PEM.",
        ) from exc


def _read(path: str | Path) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        raise UsageError(
            f"cannot read known hosts from {os.fspath(path)!r}: {reason}",
            hint="Check the path and its permissions.",
        ) from exc
