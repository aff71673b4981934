"""Glance 15.0.2 (2017) from PyPI, the newest with the v1 API that runs on Python 3.6: API and registry, on sqlite."""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.peers import cache
from tests.integration.peers.process import Process, free_port, run, running

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
INSTALL_SECONDS = 900
READY_SECONDS = 120
# The first pip that finds releases for Python 3.6, and what builds them.
TOOLS = ("pip==21.3.1", "setuptools==57.5.0", "wheel==0.37.1", "pbr==7.1.3")

CONFIG = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 0
log_file = {folder}/{name}.log
enable_v1_api = true
data_api = glance.db.sqlalchemy.api
registry_host = 127.0.0.1
registry_port = {registry}
[database]
connection = sqlite:///{folder}/glance.sqlite
[glance_store]
stores = file,http
default_store = file
filesystem_store_datadir = {folder}/images
[paste_deploy]
config_file = {folder}/paste.ini
[oslo_policy]
policy_file = {folder}/policy.json
[oslo_concurrency]
lock_path = {folder}/lock
"""
# The wheel ships none.
PASTE = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: versions
/v1: v1
[pipeline:versions]
pipeline = negotiate ctx versionsapp
[pipeline:v1]
pipeline = ctx v1app
[pipeline:glance-registry]
pipeline = ctx registryapp
[app:versionsapp]
paste.app_factory = glance.api.versions:create_resource
[app:v1app]
paste.app_factory = glance.api.v1.router:API.factory
[app:registryapp]
paste.app_factory = glance.registry.api:API.factory
[filter:negotiate]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:ctx]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
"""


@dataclass(frozen=True)
class GlanceOfV1:
    """A running Glance without authentication."""

    url: str
    process: Process = field(repr=False)

    def upload(self, data: bytes, headers: dict[str, str], *, chunked: bool = False) -> str:
        """Upload an image in one request, and return its id."""
        given = headers | {"Content-Type": "application/octet-stream"}
        body = iter([data]) if chunked else data
        request = urllib.request.Request(f"{self.url}/v1/images", body, given)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: str = json.load(answer)["image"]["id"]
        return found


@contextmanager
def glance_v1(python: str) -> Iterator[GlanceOfV1]:
    """Run a Glance with the v1 API until the block ends.

    Args:
        python: Path of a Python 3.6.

    Raises:
        PeerError: It could not be installed, or is not ready within its deadline.
    """
    venv = _environment(python)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="glance-v1-")))
        for name in ("images", "lock"):
            (folder / name).mkdir()
        (folder / "paste.ini").write_text(PASTE)
        (folder / "policy.json").write_text('{"context_is_admin": "", "default": ""}')
        ports = {"api": free_port(), "registry": free_port()}
        for name, port in ports.items():
            config = CONFIG.format(name=name, port=port, folder=folder, registry=ports["registry"])
            (folder / f"{name}.conf").write_text(config)
        quiet = {"PYTHONWARNINGS": "ignore"}
        migrate = [venv / "bin" / "glance-manage", "--config-file", folder / "api.conf", "db_sync"]
        run("glance db_sync", migrate, env=quiet, deadline=READY_SECONDS)
        for name in ("registry", "api"):
            argv = [venv / "bin" / f"glance-{name}", "--config-file", folder / f"{name}.conf"]
            process = stack.enter_context(
                running(f"glance-{name}", argv, folder / f"{name}.out", env=quiet)
            )
        url = f"http://127.0.0.1:{ports['api']}"
        process.wait_until(lambda: _answers(f"{url}/v1/images"), READY_SECONDS)
        yield GlanceOfV1(url, process)


def _environment(python: str) -> Path:
    """Return a virtual environment with Glance.

    The list is installed without a resolver: it has pairs that their metadata forbids, and that run.
    """

    def install(folder: Path) -> None:
        run("venv", [python, "-m", "venv", folder], deadline=INSTALL_SECONDS)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        for tool in TOOLS:
            run(f"pip install {tool}", [*pip, tool], deadline=INSTALL_SECONDS)
        frozen = [*pip, "--no-deps", "--no-build-isolation", "--requirement", CONSTRAINTS]
        run("pip install glance", frozen, deadline=INSTALL_SECONDS)

    return cache.built("glance-v1-py3.6", [*TOOLS, CONSTRAINTS.read_bytes()], install)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
