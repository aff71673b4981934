"""Keystone 30 from PyPI: issues the tokens of the token tests to Glance's clients.

It has three users in the domain `default`, each with its name as password: `demo` and `other`,
members of the projects of their names, and `glance`, the service.
"""

from __future__ import annotations

import getpass
import grp
import http.client
import json
import os
import re
import secrets
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tests.integration.peers.environment import environment
from tests.integration.peers.openstack import GUNICORN, START_SECONDS, call, served
from tests.integration.peers.process import PeerError, Process, listening_socket, run

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
REQUIREMENT = "keystone==30.0.0"
SETUP_SECONDS = 120  # 1.5 s per step

CONFIG = """\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.sqlite
[token]
provider = fernet
expiration = {token_seconds}
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
[cache]
# Without it a token takes 330 ms to check instead of 4.
enabled = true
backend = dogpile.cache.memory
"""


@dataclass(frozen=True)
class Keystone:
    """A running Keystone; `url` ends with `/v3`."""

    url: str
    process: Process = field(repr=False)
    config: Path = field(repr=False)

    def token(self, user: str, password: str | None = None, project: str | None = None) -> str:
        """Return a token of a user for a project, by default the one with the user's name.

        Raises:
            urllib.error.HTTPError: 401 if the password is wrong.
        """
        who = {"name": user, "domain": {"id": "default"}, "password": password or user}
        scope = {"project": {"name": project or user, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": who}}
        body = {"auth": {"identity": identity, "scope": scope}}
        headers, _ = call("POST", f"{self.url}/auth/tokens", body)
        return headers["X-Subject-Token"]

    def short_token(self, user: str, project: str, seconds: int) -> tuple[str, float]:
        """Return a token that is valid for some seconds, and the time at which it expires.

        The workers are restarted twice: Keystone has one lifetime for all tokens.
        """
        text = self.config.read_text()
        usual = int(re.findall(r"(?m)^expiration = (\d+)$", text)[0])
        self.config.write_text(text.replace(f"expiration = {usual}\n", f"expiration = {seconds}\n"))
        try:
            token = self._issued(user, project, lambda left: left <= seconds)
        finally:
            self.config.write_text(text)
        end = time.time() + self._seconds_left(token)
        self._issued(user, project, lambda left: left > seconds)
        return token, end

    def _issued(self, user: str, project: str, wanted: Callable[[float], bool]) -> str:
        """Restart the workers until a token has the lifetime that the configuration has now."""
        self.process.popen.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with suppress(OSError, http.client.HTTPException):  # its worker has just ended
                token = self.token(user, project=project)
                if wanted(self._seconds_left(token)):
                    return token
            time.sleep(0.2)
        raise PeerError(f"keystone has the old lifetime of tokens\n{self.process.tail()}")

    def _seconds_left(self, token: str) -> float:
        """Return how many seconds a token is still valid."""
        request = urllib.request.Request(f"{self.url}/auth/tokens")
        request.add_header("X-Auth-Token", token)
        request.add_header("X-Subject-Token", token)
        with urllib.request.urlopen(request, timeout=30) as answer:
            end: str = json.load(answer)["token"]["expires_at"]
        return datetime.fromisoformat(end).timestamp() - time.time()

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        both = {"X-Auth-Token": token, "X-Subject-Token": token}
        request = urllib.request.Request(f"{self.url}/auth/tokens", None, both, method="DELETE")
        with urllib.request.urlopen(request, timeout=30):
            pass


@contextmanager
def keystone(image_url: str, *, token_seconds: int = 3600) -> Iterator[Keystone]:
    """Run a Keystone whose catalogue has one image service, at `image_url`.

    Raises:
        PeerError: It could not be installed, or is not ready within its deadline.
    """
    venv = environment("keystone", REQUIREMENT, GUNICORN, constraints=CONSTRAINTS)
    admin_password = secrets.token_urlsafe(12)
    with tempfile.TemporaryDirectory(prefix="keystone-") as name, listening_socket() as sock:
        folder = Path(name)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v3"
        (folder / "etc").mkdir()
        config = folder / "etc" / "keystone.conf"
        config.write_text(CONFIG.format(folder=folder, token_seconds=token_seconds))
        _bootstrap(venv, config, url, admin_password)
        with served(
            "keystone",
            venv,
            "keystone.wsgi.api:application",
            folder,
            sock,
            threads=8,
            env={"OS_KEYSTONE_CONFIG_DIR": str(folder / "etc")},
            path="/v3",
            status=200,
        ) as process:
            server = Keystone(url, process, config)
            _populate(server, server.token("admin", admin_password), image_url)
            yield server


def _bootstrap(venv: Path, config: Path, url: str, password: str) -> None:
    manage: list[object] = [venv / "bin" / "keystone-manage", "--config-file", config]
    owner = ["--keystone-user", getpass.getuser()]
    owner += ["--keystone-group", grp.getgrgid(os.getgid()).gr_name]
    # The middleware in Glance requires an internal endpoint.
    urls = ["--bootstrap-public-url", url, "--bootstrap-internal-url", url]
    for step in (
        ["db_sync"],
        ["fernet_setup", *owner],
        ["credential_setup", *owner],
        ["bootstrap", "--bootstrap-region-id", "RegionOne", *urls],
    ):
        env = {"OS_BOOTSTRAP_PASSWORD": password, "PYTHONWARNINGS": "ignore"}
        run(f"keystone {step[0]}", [*manage, *step], env=env, deadline=SETUP_SECONDS)


def _populate(server: Keystone, token: str, image_url: str) -> None:
    """Create the users, their projects and roles, and the catalogue's image service."""

    def create(kind: str, **fields: str) -> str:
        _, made = call("POST", f"{server.url}/{kind}s", {kind: fields}, token=token)
        identity: str = made[kind]["id"]
        return identity

    _, listed = call("GET", f"{server.url}/roles", token=token)
    roles = {role["name"]: role["id"] for role in listed["roles"]}
    for user, project, granted in (
        ("glance", "service", ("service", "admin")),
        ("demo", "demo", ("member",)),
        ("other", "other", ("member",)),
    ):
        where = create("project", name=project, domain_id="default")
        who = create("user", name=user, domain_id="default", password=user)
        for role in granted:
            path = f"projects/{where}/users/{who}/roles/{roles[role]}"
            call("PUT", f"{server.url}/{path}", token=token)
    service = create("service", name="glance", type="image")
    create("endpoint", interface="public", region_id="RegionOne", service_id=service, url=image_url)
