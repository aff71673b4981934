"""A client that lives for months takes up a new certificate, pin or password from its files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.login import connected
from vimlib import TLS
from vimlib._session.credentials import Credentials
from vimlib._transport import EncodedCall, Exchange, Reply
from vimlib.errors import CertificateError, LoginError, PinMismatchError, UsageError
from vimlib.simulator import ESXHost
from vimlib.simulator._core.certificate import make_certificate


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with ESXHost(vms=0) as host:
        yield host


def known(esx: ESXHost) -> str:
    return f"127.0.0.1:{esx.registry.port} {esx.thumbprint}\n"


async def renew_certificate(esx: ESXHost) -> None:
    esx.registry.certificate = make_certificate()
    await esx.restart()


async def name(client: Any) -> str:
    return str((await client.get(client.content.rootFolder, "name"))["name"])


async def test_a_new_pin_in_known_hosts_is_used_without_a_restart(
    esx: ESXHost, tmp_path: Path
) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(known(esx))
    async with connected(esx, tls=TLS(known_hosts=hosts)) as client:
        store = client.datastore("datastore1")
        assert await name(client) == "ha-folder-root"
        await renew_certificate(esx)
        for _ in range(2):
            with pytest.raises(PinMismatchError):
                await name(client)
        hosts.write_text(known(esx))
        assert await name(client) == "ha-folder-root"
        await store.upload("a", b"over the new certificate")


async def test_a_pin_that_was_taken_out_of_known_hosts_is_trusted_no_more(
    esx: ESXHost, tmp_path: Path
) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(known(esx))
    async with connected(esx, tls=TLS(known_hosts=hosts)) as client:
        hosts.write_text("# nobody\n")
        with pytest.raises(CertificateError):
            await client.datastore("datastore1").upload("a", b"x")
        hosts.unlink()
        with pytest.raises(UsageError, match="known hosts"):
            await client.datastore("datastore1").upload("a", b"x")
        hosts.write_text(known(esx))
        await client.datastore("datastore1").upload("a", b"x")


async def test_a_new_ca_is_used_without_a_restart(esx: ESXHost, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(esx.certificate_pem)
    async with connected(esx, tls=TLS(ca=ca)) as client:
        await renew_certificate(esx)
        with pytest.raises(CertificateError):
            await name(client)
        ca.write_bytes(esx.certificate_pem)
        assert await name(client) == "ha-folder-root"


async def test_a_password_that_was_corrected_during_the_refused_login_is_sent_next(
    esx: ESXHost, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(esx.credentials.password)

    async def corrects_it(call: EncodedCall, exchange: Exchange, /) -> Reply:
        try:
            return await exchange(call)
        finally:
            if call.method == "Login" and esx.sessions.password == "new and longer":
                file.write_text("new and longer\n")

    async with connected(esx, file, middleware=[corrects_it]) as client:
        esx.sessions.password = "new and longer"
        esx.expire_sessions()
        with pytest.raises(LoginError):
            await name(client)
        assert await name(client) == "ha-folder-root"
    assert len(esx.calls("Login")) == 3


def test_the_stamp_of_a_password_is_that_of_its_file_before_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("one")
    before = Credentials("root", file).stamp()
    password, stamp = Credentials("root", file).current()
    assert (password.reveal(), stamp) == ("one", before)


async def test_the_event_loop_hashes_no_password(
    esx: ESXHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    scrypt = hashlib.scrypt

    def recorded(*args: Any, **how: Any) -> bytes:
        where.append(threading.current_thread().name)
        return scrypt(*args, **how)

    monkeypatch.setattr(hashlib, "scrypt", recorded)
    for _ in range(2):
        with pytest.raises(LoginError):
            async with connected(esx, "wrong"):
                pass
    async with connected(esx):
        pass
    assert len(where) >= 3
    assert all(name.startswith("vimlib-login") for name in where)
    assert not [each for each in threading.enumerate() if each.name.startswith("vimlib-login")]
