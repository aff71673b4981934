"""Temporary certificates for the peers."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class ServerCertificate:
    """A certificate for 127.0.0.1 and localhost, and the authority that signed it."""

    cert: Path
    key: Path
    ca: Path
    # SHA-256 of the DER form, upper-case hex with colons: the format of a pin.
    thumbprint: str


def make_certificate(folder: Path) -> ServerCertificate:
    """Create a certificate in `folder`; its file holds the chain."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = ServerCertificate(
        cert=folder / "server.crt", key=folder / "server.key", ca=folder / "ca.crt", thumbprint=""
    )
    leaf = issued.cert_chain_pems[0].bytes()
    files.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    files.key.touch(mode=0o600)
    files.key.write_bytes(issued.private_key_pem.bytes())
    files.ca.write_bytes(authority.cert_pem.bytes())
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.decode())).digest()
    return ServerCertificate(files.cert, files.key, files.ca, digest.hex(":").upper())
