"""Certificate options, their environment variables, and advice after a refused certificate.

The first layer with any trust setting (flags, VIMLIB_*, GOVC_*, VMWARE_*) supplies all of them, so
a forgotten variable of a later layer can neither weaken nor contradict it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.flags import Flag
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib._tls import TLS
    from vimlib.errors import CertificateError


@Parameter(name="*", group="Trust")
@dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """How far to trust the host's certificate."""

    pin: str | None = None
    """SHA-256 (or SHA-512 or SHA-1) of the host's certificate in hex; replaces the verification of its chain. [VIMLIB_PIN]"""

    ca: Annotated[tuple[Path, ...], Parameter(negative=(), show_default=False)] = field(default=())
    """File or directory with CA certificates (PEM) to trust instead of the system's; repeatable. [VIMLIB_CA, GOVC_TLS_CA_CERTS]"""

    known_hosts: Path | None = None
    """File with a line `host[:port] thumbprint` per host, in the format of govc. [VIMLIB_KNOWN_HOSTS, GOVC_TLS_KNOWN_HOSTS]"""

    insecure: Flag = False
    """Accept any certificate: an attacker in the network can read the password. [VIMLIB_INSECURE, GOVC_INSECURE]"""

    tls_legacy: Flag = False
    """Allow TLS 1.0 and weak cryptography for this host, as ESX 4.1 requires."""

    def with_environment(self, environ: Mapping[str, str]) -> TrustOptions:
        """Return the effective options: these if any is set, else those of the first layer with
        one.

        Raises:
            UsageError: A variable has an invalid value.
        """
        if self.pin or self.ca or self.known_hosts or self.insecure:
            return self
        for layer in (_vimlib(environ), _govc(environ), _ansible(environ)):
            if layer != TrustOptions():
                return TrustOptions(
                    pin=layer.pin,
                    ca=layer.ca,
                    known_hosts=layer.known_hosts,
                    insecure=layer.insecure,
                    tls_legacy=self.tls_legacy,
                )
        return self

    def tls(self) -> TLS:
        """Return the options as `vimlib.TLS`.

        Raises:
            UsageError: The options contradict each other, or the pin is invalid.
        """
        from vimlib._tls import TLS

        if self.insecure and self.ca:
            raise UsageError("--insecure and --ca are mutually exclusive", hint="Give one of them.")
        return TLS(
            pin=self.pin,
            ca=self.ca or None,
            known_hosts=self.known_hosts,
            verify=not self.insecure,
            legacy=self.tls_legacy,
        )


def _vimlib(environ: Mapping[str, str]) -> TrustOptions:
    return TrustOptions(
        pin=environ.get("VIMLIB_PIN") or None,
        ca=_paths(environ.get("VIMLIB_CA")),
        known_hosts=_path(environ.get("VIMLIB_KNOWN_HOSTS")),
        insecure=read_bool(environ, "VIMLIB_INSECURE") or False,
    )


def _govc(environ: Mapping[str, str]) -> TrustOptions:
    ca = _paths(environ.get("GOVC_TLS_CA_CERTS"))
    return TrustOptions(
        ca=ca,
        known_hosts=_path(environ.get("GOVC_TLS_KNOWN_HOSTS")),
        # govc accepts both; if they contradict each other, the stricter one applies.
        insecure=not ca and bool(read_bool(environ, "GOVC_INSECURE")),
    )


def _ansible(environ: Mapping[str, str]) -> TrustOptions:
    return TrustOptions(insecure=read_bool(environ, "VMWARE_VALIDATE_CERTS") is False)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _paths(text: str | None) -> tuple[Path, ...]:
    return tuple(Path(part) for part in (text or "").split(os.pathsep) if part)


def read_bool(environ: Mapping[str, str], name: str) -> bool | None:
    """Parse a boolean variable; None if it is unset or empty.

    Raises:
        UsageError: The value is not a boolean.
    """
    text = environ.get(name, "").strip().lower()
    if not text:
        return None
    if text in {"1", "t", "true", "yes", "on"}:
        return True
    if text in {"0", "f", "false", "no", "off"}:
        return False
    raise UsageError(f"{name} must be 1 or 0, got {printable(text, 40)!r}")


def certificate_text(error: CertificateError) -> str:
    """Return an error's message with the options that would accept the certificate."""
    said = error.args[0] if error.args else "the certificate was not accepted"
    if not error.sha256:
        return f"{said}. Give the CA that signed it with --ca, or its SHA-256 with --pin."
    return (
        f"{said}. Give the CA that signed it with --ca, or, if the host itself displays the same "
        f"SHA-256, accept it with --pin {shlex.quote(error.sha256)}"
    )
