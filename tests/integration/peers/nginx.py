"""nginx over TLS: serves files and stores PUTs, as a cheap peer for both ends of a transfer.

It has its own configuration and an unprivileged port; no system service is touched.
"""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.peers import tools
from tests.integration.peers.certs import make_certificate
from tests.integration.peers.process import Process, free_port, running

START_SECONDS = 30

CONFIG = """\
{user}
daemon off;
master_process on;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 100000;
    client_max_body_size 0;
    # In the same folder as the target, so that a finished body is renamed and not copied.
    client_body_temp_path {root}/.body;
    client_body_buffer_size 1m;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_session_cache shared:tls:1m;
    server {{
        listen 127.0.0.1:{port} ssl;
        root {root};
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
            dav_access user:rw;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx; a file `root/a/b` is `url/a/b`, for GET, PUT and DELETE."""

    url: str
    root: Path
    thumbprint: str
    ca: Path
    process: Process = field(repr=False)


@contextmanager
def nginx(root: Path | None = None, *, workers: int = 1) -> Iterator[Nginx]:
    """Run nginx over `root`, or over a temporary folder.

    Raises:
        MissingToolError: nginx is not installed.
        PeerError: It is not ready within its deadline.
    """
    program = tools.find("nginx")
    with TemporaryDirectory(prefix="nginx-") as name:
        folder = Path(name)
        if root is None:
            root = folder / "root"
            root.mkdir()
        certificate = make_certificate(folder)
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(
            CONFIG.format(
                # As root it would serve the files as another user, who cannot read them.
                user="user root;" if os.geteuid() == 0 else "",
                workers=workers,
                folder=folder,
                root=root,
                port=port,
                cert=certificate.cert,
                key=certificate.key,
            )
        )
        url = f"https://127.0.0.1:{port}"
        argv = [program, "-p", folder, "-e", "stderr", "-c", config]
        with running("nginx", argv, folder / "nginx.log", cwd=folder) as process:
            process.wait_until(lambda: _answers(url, certificate.ca), START_SECONDS)
            yield Nginx(url, root, certificate.thumbprint, certificate.ca, process)


def _answers(url: str, ca: Path) -> bool:
    context = ssl.create_default_context(cafile=ca)
    try:
        with urllib.request.urlopen(url, timeout=5, context=context):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()  # 403: a folder without an index
        return True
    except OSError:
        return False
