"""Glance 33 from PyPI: a real image service, on sqlite and a folder of files.

It runs without authentication, or with its own Keystone. It inspects uploads: with
`disk_format=vmdk` it accepts only sparse and streamOptimized images and refuses flat bytes with 415
at the end of the upload, so flat content is uploaded as `raw`; `format_check=False` disables that.
"""

from __future__ import annotations

import http.client
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.integration.peers.environment import environment
from tests.integration.peers.keystone import Keystone, keystone
from tests.integration.peers.openstack import GUNICORN, call, served
from tests.integration.peers.process import PeerError, Process, listening_socket, run

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
REQUIREMENT = "glance==33.0.0"
SETUP_SECONDS = 120  # 1.3 s
# One thread per open upload or download; further requests wait for a free one.
THREADS = 32

CONFIG = """\
[DEFAULT]
log_file = {folder}/glance.log
enabled_backends = fs:file
# An empty list makes every image creation a 500.
enabled_import_methods = [glance-direct]
worker_self_reference_url = {url}
[database]
connection = sqlite:///{folder}/glance.sqlite
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = {folder}/images
filesystem_store_chunk_size = 1048576
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[image_format]
require_image_format_match = {format_check}
[paste_deploy]
flavor = {flavor}
config_file = {folder}/etc/glance-api-paste.ini
[oslo_policy]
policy_file = {folder}/etc/policy.yaml
[oslo_concurrency]
lock_path = {folder}/lock
"""

KEYSTONE_CONFIG = """\
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
username = glance
password = glance
project_name = service
user_domain_id = default
project_domain_id = default
# No cache of our own: a revoked token is refused at once.
token_cache_time = -1
service_token_roles_required = true
"""


@dataclass(frozen=True)
class Glance:
    """A running Glance; `url` does not end in `/v2`, as in a Keystone catalogue."""

    url: str
    # The folder with the bytes of its images, each named by its id.
    store: Path
    # The Keystone that issues its tokens; None without authentication.
    keystone: Keystone | None
    process: Process = field(repr=False)

    def create(self, *, token: str | None = None, **fields: Any) -> str:
        """Create an image record without bytes (status queued) and return its id."""
        fields = {"container_format": "bare", **fields}
        _, made = call("POST", f"{self.url}/v2/images", fields, token=token)
        identity: str = made["id"]
        return identity

    def upload(
        self, path: Path, disk_format: str, *, token: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Create an image from a file and return its record, with size and hashes.

        Raises:
            PeerError: Glance refused the bytes; the text has its status and reason.
        """
        image = self.create(token=token, name=path.name, disk_format=disk_format, **fields)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=120)
        headers = {"Content-Type": "application/octet-stream"}
        headers["Content-Length"] = str(path.stat().st_size)
        if token:
            headers["X-Auth-Token"] = token
        try:
            with path.open("rb") as body:
                connection.request("PUT", f"/v2/images/{image}/file", body, headers)
                answer = connection.getresponse()
                reason = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.NO_CONTENT:
            raise PeerError(f"upload of {path.name} as {disk_format}: {answer.status} {reason}")
        return self.show(image, token=token)

    def show(self, image: str, *, token: str | None = None) -> dict[str, Any]:
        """Return an image's record."""
        _, record = call("GET", f"{self.url}/v2/images/{image}", token=token)
        shown: dict[str, Any] = record
        return shown

    def delete(self, image: str, *, token: str | None = None) -> None:
        """Remove an image and its bytes."""
        call("DELETE", f"{self.url}/v2/images/{image}", token=token)


@contextmanager
def glance(
    *, with_keystone: bool = False, token_seconds: int = 3600, format_check: bool = True
) -> Iterator[Glance]:
    """Run a Glance, optionally with a Keystone, until the block ends.

    Raises:
        PeerError: It could not be installed, or is not ready within its deadline.
    """
    venv = environment("glance", REQUIREMENT, GUNICORN, constraints=CONSTRAINTS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glance-")))
        sock = stack.enter_context(listening_socket())
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        identity = None
        if with_keystone:
            identity = stack.enter_context(keystone(url, token_seconds=token_seconds))
        _configure(venv, folder, url, identity, format_check)
        config = folder / "etc" / "glance-api.conf"
        migrate = [venv / "bin" / "glance-manage", "--config-file", config, "db_sync"]
        run("glance db_sync", migrate, env={"PYTHONWARNINGS": "ignore"}, deadline=SETUP_SECONDS)
        process = stack.enter_context(
            served(
                "glance",
                venv,
                "glance.wsgi.api:application",
                folder,
                sock,
                threads=THREADS,
                env={"OS_GLANCE_CONFIG_DIR": str(folder / "etc")},
                path="/",
                status=300,
            )
        )
        yield Glance(url, folder / "images", identity, process)


def _configure(
    venv: Path, folder: Path, url: str, identity: Keystone | None, format_check: bool
) -> None:
    for name in ("etc", "images", "staging", "tasks", "lock"):
        (folder / name).mkdir()
    shutil.copy(venv / "etc" / "glance" / "glance-api-paste.ini", folder / "etc")
    text = CONFIG.format(
        folder=folder, url=url, format_check=format_check, flavor="keystone" if identity else ""
    )
    if identity:
        text += KEYSTONE_CONFIG.format(keystone=identity.url)
    (folder / "etc" / "glance-api.conf").write_text(text)
    # Without authentication the context is an administrator without a role, and today's policies
    # require a role: every write would be 403.
    policy = "" if identity else '"context_is_admin": "@"\n'
    (folder / "etc" / "policy.yaml").write_text(policy)
