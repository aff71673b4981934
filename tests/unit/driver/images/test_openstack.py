from __future__ import annotations

import asyncio
import builtins
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.driver.images.peers import server_tls, small
from vimdriver._images import Glance, HttpClient, openstack
from vimdriver._images.embedded import EmbeddedGlance
from vimdriver._images.openstack import open_cloud
from vimdriver.errors import (
    SourceLoginError,
    SourceUnreachableError,
    SourceUntrustedError,
)
from vimlib.errors import MissingExtraError, UsageError

# openstacksdk emits deprecation warnings.
pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB")


class Keystone:
    """The part of Keystone's v3 API that a password login needs."""

    def __init__(self) -> None:
        self.url = ""
        self.glance_url: str | None = None
        self.logins = 0

    def versions(self, request: web.Request) -> web.Response:
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": f"{self.url}/v3/"}],
        }
        if request.path.strip("/") == "v3":
            return web.json_response({"version": version})
        return web.json_response({"versions": {"values": [version]}}, status=300)

    async def login(self, request: web.Request) -> web.Response:
        auth = (await request.json())["auth"]["identity"]["password"]["user"]
        if auth["password"] != "secret":
            return web.json_response({"error": {"code": 401, "message": "no"}}, status=401)
        self.logins += 1
        catalog: list[dict[str, Any]] = []
        if self.glance_url is not None:
            endpoint = {
                "id": "e",
                "interface": "public",
                "region": "R",
                "region_id": "R",
                "url": self.glance_url,
            }
            catalog.append({"type": "image", "id": "g", "name": "glance", "endpoints": [endpoint]})
        token = {
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [],
            "catalog": catalog,
        }
        return web.json_response(
            {"token": token}, status=201, headers={"X-Subject-Token": f"token-{self.logins}"}
        )


@pytest.fixture
async def keystone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keystone]:
    made = Keystone()

    async def versions(request: web.Request) -> web.Response:
        return made.versions(request)

    app = web.Application()
    for path in ("/", "/v3", "/v3/"):
        app.router.add_get(path, versions)
    app.router.add_post("/v3/auth/tokens", made.login)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        write_clouds(tmp_path, monkeypatch, made.url)
        yield made


def write_clouds(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    *,
    password: str = "secret",
    more: str = "",
) -> None:
    file = folder / "clouds.yaml"
    file.write_text(
        f"""\
clouds:
  home:
    region_name: R
    auth:
      auth_url: {url}/v3
      username: demo
      password: {password}
      project_name: demo
      user_domain_id: default
      project_domain_id: default
{more}
"""
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))


async def test_a_cloud_provides_endpoint_and_tokens(keystone: Keystone) -> None:
    image = small(mib=1)
    async with EmbeddedGlance([image], token="token-2") as embedded, HttpClient() as client:
        keystone.glance_url = embedded.url
        cloud = await open_cloud("home")
        assert cloud.glance_url.rstrip("/") == embedded.url
        assert cloud.ca is None
        assert await cloud.token(False) == "token-1"
        # Glance refuses the first token and accepts the next one.
        info = await Glance(client, cloud.glance_url, token=cloud.token).image("image").info()
        assert info.size == image.size
        assert keystone.logins == 2
        assert "token" not in repr(cloud)


async def test_a_wrong_password_is_a_login_error(
    keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clouds(tmp_path, monkeypatch, keystone.url, password="canary")
    with pytest.raises(SourceLoginError) as caught:
        await open_cloud("home")
    assert "canary" not in str(caught.value)
    assert "clouds.yaml" in str(caught.value)


async def test_a_silent_keystone_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack, "SILENCE", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        write_clouds(tmp_path, monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")
        async with asyncio.timeout(60):
            with pytest.raises(SourceUnreachableError):
                await open_cloud("home")


async def test_an_untrusted_keystone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedGlance([], tls=server_tls()) as embedded:
        write_clouds(tmp_path, monkeypatch, embedded.url)
        with pytest.raises(SourceUntrustedError):
            await open_cloud("home")


async def test_a_missing_image_service_is_reported(keystone: Keystone) -> None:
    with pytest.raises(SourceUnreachableError):
        await open_cloud("home")


async def test_an_unknown_cloud_is_refused(keystone: Keystone) -> None:
    with pytest.raises(UsageError):
        await open_cloud("elsewhere")


async def test_verification_stays_on(
    keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clouds(tmp_path, monkeypatch, keystone.url, more="    verify: false")
    with pytest.raises(UsageError):
        await open_cloud("home")


async def test_a_missing_extra_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("openstack", "keystoneauth1"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError) as caught:
        await open_cloud("home")
    assert caught.value.extra == "openstack"
    assert "vimlib-esx[openstack]" in str(caught.value)
