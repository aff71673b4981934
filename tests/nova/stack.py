"""A whole OpenStack of real processes with our driver as its compute: level 3, `nox -s nova`.

RabbitMQ and MariaDB come from Debian, all else from PyPI. Each process listens on a port of its own
on the loopback interface and keeps its files below one folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.integration.peers.glance import Glance, glance
from tests.integration.peers.keystone import Keystone
from tests.integration.peers.nova import nova_environment
from tests.integration.peers.openstack import call, served
from tests.integration.peers.process import Process, free_port, listening_socket, run, running
from tests.nova.inside import ROOT, entry_points

PACKAGES = "rabbitmq-server mariadb-server-core mariadb-client-core"
RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
DATABASES = ("placement", "neutron", "nova_api", "nova_cell0", "nova_cell1")
# On a machine that others use too.
START_SECONDS = 600
# The user that Glance's Keystone has for services: administrator of the project `service`.
SERVICE = "glance"

AUTH = """\
auth_url = {keystone}
auth_type = password
username = glance
password = glance
project_name = service
user_domain_id = default
project_domain_id = default
"""
NOVA = """\
[DEFAULT]
transport_url = {rabbit}
my_ip = 127.0.0.1
state_path = {folder}/nova-state
# On a machine that others use too.
rpc_response_timeout = 300
allow_resize_to_same_host = true
log_file = {folder}/{name}.log
[api]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = {keystone}
{auth}
[service_user]
send_service_user_token = true
{auth}
[placement]
region_name = RegionOne
{auth}
[neutron]
region_name = RegionOne
{auth}
[glance]
api_servers = {glance}
[scheduler]
discover_hosts_in_cells_interval = 2
workers = 1
[conductor]
workers = 1
[quota]
instances = -1
cores = -1
ram = -1
[oslo_concurrency]
lock_path = {folder}/lock
"""
NOVA_DATABASES = """\
[api_database]
connection = {database}/nova_api
[database]
connection = {database}/nova_cell1
"""
COMPUTE = """\
[DEFAULT]
host = {name}
compute_driver = {driver}
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
resume_guests_state_on_host_boot = false
report_interval = 2
state_path = {state}
log_file = {folder}/{name}.log
[mks]
enabled = true
[esx]
url = {url}
username = {username}
password_file = {password_file}
pin = {pin}
datastore_regex = {datastores}
"""
PLACEMENT = """\
[api]
auth_strategy = keystone
[placement_database]
connection = {database}/placement
[keystone_authtoken]
www_authenticate_uri = {keystone}
{auth}
"""
NEUTRON = """\
[DEFAULT]
core_plugin = ml2
service_plugins =
dhcp_agent_notification = false
transport_url = {rabbit}
auth_strategy = keystone
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
state_path = {folder}/neutron-state
[database]
connection = {database}/neutron
[keystone_authtoken]
www_authenticate_uri = {keystone}
{auth}
[oslo_concurrency]
lock_path = {folder}/lock
[ml2]
type_drivers = flat,vlan
tenant_network_types = vlan
mechanism_drivers = esx
extension_drivers = port_security
[ml2_type_flat]
flat_networks = physnet1
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
"""


@dataclass
class Stack:
    """The running services, and what starts a compute."""

    folder: Path
    keystone: Keystone
    images: Glance
    nova: str
    network: str
    broker: Broker
    python: Path
    environment: Mapping[str, str]
    _token: tuple[float, str] = field(default=(0.0, ""), init=False, repr=False)

    def token(self) -> str:
        """Return a token of the administrator, a new one every ten minutes."""
        if time.monotonic() - self._token[0] > 600:
            self._token = (time.monotonic(), self.keystone.token(SERVICE, project="service"))
        return self._token[1]

    @contextmanager
    def compute(
        self,
        name: str,
        host: Mapping[str, str],
        *,
        datastores: str = ".*",
        driver: str = "esx.ESXNovaDriver",
    ) -> Iterator[Process]:
        """Run a compute service for an ESX host; its state stays for the next one of that name."""
        state = self.folder / f"{name}.state"
        state.mkdir(exist_ok=True)
        own = self.folder / f"{name}.conf"
        own.write_text(
            COMPUTE.format(
                name=name,
                state=state,
                folder=self.folder,
                datastores=datastores,
                driver=driver,
                **host,
            )
        )
        common = self.folder / "etc" / "compute.conf"
        program = "from vimdriver.nova._loading import main; main()"
        argv = [self.python, "-c", program, "--config-file", common, "--config-file", own]
        log = self.folder / f"{name}.out"
        with running(name, argv, log, env=self.environment) as process:
            yield process


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Start everything but the computes.

    Raises:
        PeerError: A service could not be started.
    """
    venv = nova_environment()
    python = venv / "bin" / "python"
    (folder / "etc").mkdir()
    points = folder / "points"
    points.mkdir()
    entry_points(points)
    sys.path.remove(str(points))
    environment = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'driver'}:{points}",
        "PYTHONWARNINGS": "ignore",
        "HOME": str(folder),
    }
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        database = stack.enter_context(mariadb(folder))
        images = stack.enter_context(glance(with_keystone=True, token_seconds=3600))
        assert images.keystone is not None
        values = {
            "folder": folder,
            "rabbit": broker.url,
            "database": database,
            "keystone": images.keystone.url,
            "glance": images.url,
            "auth": AUTH.format(keystone=images.keystone.url),
        }
        configure(folder, venv, values)
        migrate(folder, venv, environment)
        urls = {}
        for name, kind, app, path, suffix in (
            ("placement", "placement", "placement.wsgi.api:application", "/", ""),
            ("neutron", "network", "neutron.wsgi.api:application", "/", ""),
            ("nova", "compute", "nova.wsgi.osapi_compute:application", "/", "/v2.1"),
        ):
            sock = stack.enter_context(listening_socket())
            urls[name] = f"http://127.0.0.1:{sock.getsockname()[1]}{suffix}"
            register(images.keystone, name, kind, urls[name])
            env = dict(environment)
            env[f"OS_{name.upper()}_CONFIG_DIR"] = str(folder / "etc" / name)
            env["OS_NEUTRON_CONFIG_FILES"] = "neutron.conf"
            stack.enter_context(
                served(name, venv, app, folder, sock, threads=8, env=env, path=path, status=200)
            )
        for name in ("scheduler", "conductor"):
            argv: list[object] = [python, venv / "bin" / f"nova-{name}"]
            argv += ["--config-file", folder / "etc" / "nova" / "nova.conf"]
            log = folder / f"nova-{name}.out"
            stack.enter_context(running(f"nova-{name}", argv, log, env=environment))
        yield Stack(
            folder, images.keystone, images, urls["nova"], urls["neutron"], broker, python,
            environment,
        )  # fmt: skip


class Broker:
    """Debian's RabbitMQ, without its wrapper, which needs root; runs within a `with` block."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "rabbit"
        self._home.mkdir()
        self._port, cluster, epmd = free_port(), free_port(), free_port()
        config = self._home / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._port}\n"
            f"distribution.listener.port_range.min = {cluster}\n"
            f"distribution.listener.port_range.max = {cluster}\n"
        )
        (self._home / "plugins").write_text("[].")
        self._environment = {
            "RABBITMQ_NODENAME": "nova@localhost",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(self._home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._home / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "HOME": str(self._home),
        }
        self._running = ExitStack()
        self.url = f"rabbit://guest:guest@127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        # Erlang's daemon of ports leaves the process group of what starts it.
        run("epmd", ["epmd", "-kill"], env=self._environment, deadline=60)

    def restart(self) -> None:
        """End it and start it again; its queues stay."""
        self._running.close()
        self._start()

    def _start(self) -> None:
        process = self._running.enter_context(
            running("rabbitmq", [RABBIT], self._home / "out", env=self._environment, cwd=self._home)
        )
        process.wait_until(lambda: answers(self._port), START_SECONDS)


@contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Run Debian's MariaDB with an empty database for each service; yield the URL without a name."""
    home = folder / "mariadb"
    port = free_port()
    owner = ["--no-defaults", f"--datadir={home}", "--user=root"]
    install = ["mariadb-install-db", *owner, "--auth-root-authentication-method=normal"]
    run("mariadb-install-db", [*install, "--skip-test-db"], deadline=START_SECONDS)
    server = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") or "mariadbd"
    argv = [server, *owner, "--bind-address=127.0.0.1", f"--port={port}",
            f"--socket={folder / 'mysql.sock'}", "--innodb-flush-log-at-trx-commit=0",
            "--max-connections=400"]  # fmt: skip
    with running("mariadb", argv, folder / "mariadb.out") as process:
        process.wait_until(lambda: answers(port), START_SECONDS)
        create = (
            "".join(f"CREATE DATABASE {name} CHARACTER SET utf8mb3;" for name in DATABASES)
            + "CREATE USER 'os'@'%' IDENTIFIED BY 'os'; GRANT ALL ON *.* TO 'os'@'%';"
        )
        client = ["mariadb", "--no-defaults", f"--socket={folder / 'mysql.sock'}", "-u", "root"]
        run("mariadb", [*client, "-e", create], deadline=60)
        yield f"mysql+pymysql://os:os@127.0.0.1:{port}"


def answers(port: int) -> bool:
    """Return whether something listens on a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def configure(folder: Path, venv: Path, values: Mapping[str, Any]) -> None:
    """Write the files of all services."""
    etc = folder / "etc"
    for name in ("nova", "placement", "neutron"):
        (etc / name).mkdir()
    for name in ("lock", "nova-state", "neutron-state"):
        (folder / name).mkdir()
    nova = NOVA.format(name="nova", **values)
    (etc / "nova" / "nova.conf").write_text(nova + NOVA_DATABASES.format(**values))
    (etc / "compute.conf").write_text(nova)
    (etc / "placement" / "placement.conf").write_text(PLACEMENT.format(**values))
    (etc / "neutron" / "neutron.conf").write_text(NEUTRON.format(**values))
    shutil.copy(venv / "etc" / "nova" / "api-paste.ini", etc / "nova")
    shutil.copy(venv / "etc" / "neutron" / "api-paste.ini", etc / "neutron")


def migrate(folder: Path, venv: Path, environment: Mapping[str, str]) -> None:
    """Make the tables and the cells."""
    etc = folder / "etc"
    nova: list[object] = ["nova-manage", "--config-file", etc / "nova" / "nova.conf"]
    neutron: list[object] = ["neutron-db-manage", "--config-file", etc / "neutron" / "neutron.conf"]
    cell0 = (etc / "nova" / "nova.conf").read_text().rpartition("connection = ")[2].strip()
    steps: tuple[list[object], ...] = (
        ["placement-manage", "--config-dir", etc / "placement", "db", "sync"],
        [*nova, "api_db", "sync"],
        [*nova, "cell_v2", "map_cell0", "--database_connection",
         cell0.replace("nova_cell1", "nova_cell0")],
        [*nova, "db", "sync"],
        [*nova, "cell_v2", "create_cell", "--name", "cell1"],
        [*neutron, "upgrade", "heads"],
    )  # fmt: skip
    for words in steps:
        program = [venv / "bin" / "python", venv / "bin" / str(words[0]), *words[1:]]
        run(" ".join(map(str, words[:1])), program, env=environment, deadline=300)


def register(keystone: Keystone, name: str, kind: str, url: str) -> None:
    """Put a service into the catalogue."""
    token = keystone.token(SERVICE, project="service")
    _, made = call("POST", f"{keystone.url}/services", {"service": {"name": name, "type": kind}},
                   token=token)  # fmt: skip
    for interface in ("public", "internal", "admin"):
        endpoint = {"interface": interface, "region_id": "RegionOne",
                    "service_id": made["service"]["id"], "url": url}  # fmt: skip
        call("POST", f"{keystone.url}/endpoints", {"endpoint": endpoint}, token=token)
