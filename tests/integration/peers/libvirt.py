"""libvirt: its command on a host, and the configuration files that its own tests are made of.

`virsh` of Debian's `libvirt-clients` speaks to ESX without a daemon. The files are those of Debian's
source package: downloaded, never committed.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.peers import cache, tools
from tests.integration.peers.process import PeerError

if TYPE_CHECKING:
    from vimlib.simulator import ESXHost

SOURCE = "http://deb.debian.org/debian/pool/main/libv/libvirt/libvirt_9.0.0.orig.tar.xz"
SHA256 = "deca5cff1b7baac297bca9663907c61f71a47183371dc7ac019c107806d5435a"
# Folders of the source package, and the names that are kept of them.
KEPT = (("tests/vmx2xmldata/", ".vmx"), ("tests/xml2vmxdata/", ".xml"))
DOWNLOAD_SECONDS = 120
RUN_SECONDS = 120
_MARK = "=== end of output ==="


def samples() -> Path:
    """Return a folder with libvirt's sample files: `*.vmx` of hosts and tools, `*.xml` of domains.

    Raises:
        PeerError: They cannot be downloaded, or are not the expected ones.
    """

    def build(folder: Path) -> None:
        try:
            with urllib.request.urlopen(SOURCE, timeout=DOWNLOAD_SECONDS) as reply:
                data = reply.read()
        except OSError as error:
            raise PeerError(f"{SOURCE} cannot be downloaded: {error}") from None
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise PeerError(f"{SOURCE} is not the expected file")
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                _, _, name = member.name.partition("/")
                wanted = any(name.startswith(head) and name.endswith(end) for head, end in KEPT)
                if wanted and member.isfile() and (file := archive.extractfile(member)):
                    (folder / Path(name).name).write_bytes(file.read())

    return cache.built("libvirt-samples", [SOURCE, SHA256], build)


class Virsh:
    """`virsh`, connected to one host; `folder` gets the file with its password.

    Raises:
        MissingToolError: It is not installed.
    """

    def __init__(self, esx: ESXHost, folder: Path) -> None:
        self._program = tools.find("virsh")
        self._auth = folder / "auth.conf"
        self._auth.touch(mode=0o600)
        self._auth.write_text(
            f"[credentials-host]\nusername={esx.credentials.username}\n"
            f"password={esx.credentials.password}\n[auth-esx-127.0.0.1]\ncredentials=host\n"
        )
        port = esx.registry.port
        self._uri = f"esx://{esx.credentials.username}@127.0.0.1:{port}/?no_verify=1"

    async def run(self, *commands: str) -> list[str]:
        """Run commands in one connection; return what each printed, errors too.

        Raises:
            PeerError: The program was ended by a signal, or did not connect.
        """
        text = "; ".join(f"{command}; echo; echo {_MARK!r}" for command in commands)
        process = await asyncio.create_subprocess_exec(
            *(self._program, "--quiet", "-c", self._uri, text),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                **os.environ,
                "LIBVIRT_AUTH_FILE": str(self._auth),
                # Fields that are newer than it are warnings.
                "LIBVIRT_LOG_FILTERS": "4:*",
            },
        )
        try:
            async with asyncio.timeout(RUN_SECONDS):
                output, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        parts = output.decode().split(_MARK)
        if process.returncode is None or process.returncode < 0 or len(parts) <= len(commands):
            raise PeerError(f"virsh ended with {process.returncode}: {output.decode()[-2000:]}")
        return [part.strip() for part in parts[: len(commands)]]
