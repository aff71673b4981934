"""The common parts of Glance and Keystone: gunicorn as server.

Each has an environment of its own, with dozens of pinned packages. gunicorn runs one process with a thread
per request: it streams uploads and downloads, which other servers spool or hold in memory.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.peers.process import Process, running

START_SECONDS = 90  # 1.5 s
GUNICORN = "gunicorn==27.0.1"


@contextmanager
def served(
    name: str,
    venv: Path,
    app: str,
    folder: Path,
    sock: socket.socket,
    *,
    threads: int,
    env: Mapping[str, str],
    path: str,
    status: int,
) -> Iterator[Process]:
    """Run a WSGI application under gunicorn on a listening socket until the block ends.

    It is ready when a GET of `path` returns `status`.

    Raises:
        PeerError: It is not ready within its deadline.
    """
    # Settings are passed in a file: Keystone reads sys.argv and fails on gunicorn's options.
    settings = folder / f"{name}.gunicorn.py"
    settings.write_text(
        f"wsgi_app = {app!r}\n"
        f"bind = 'fd://{sock.fileno()}'\n"
        "worker_class = 'gthread'\n"
        "workers = 1\n"
        f"threads = {threads}\n"
        # With the default of 2 s a pooled client meets closed connections.
        "keepalive = 65\n"
        "graceful_timeout = 1\n"
        "control_socket_disable = True\n"
        f"chdir = {str(folder)!r}\n"
        f"worker_tmp_dir = {str(folder)!r}\n"
    )
    settled = {**env, "GUNICORN_CMD_ARGS": f"-c {settings}", "PYTHONWARNINGS": "ignore"}
    port: int = sock.getsockname()[1]
    log = folder / f"{name}.out"
    argv = [venv / "bin" / "gunicorn"]
    with running(name, argv, log, env=settled, cwd=folder, pass_fds=[sock.fileno()]) as process:
        process.wait_until(lambda: _status(port, path) == status, START_SECONDS)
        yield process


def _status(port: int, path: str) -> int | None:
    """Return the status of a GET, None if no response came in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def call(
    method: str,
    url: str,
    body: Any = None,
    *,
    token: str | None = None,
    version: str | None = None,
) -> tuple[http.client.HTTPMessage, Any]:
    """Send JSON; return the response's headers and its JSON (None without a body).

    `version` is a microversion of nova's API.

    Raises:
        urllib.error.HTTPError: The status is 400 or above.
    """
    headers = {"Content-Type": "application/json"} | ({"X-Auth-Token": token} if token else {})
    if version is not None:
        headers["OpenStack-API-Version"] = f"compute {version}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
        return answer.headers, json.loads(content) if content else None
