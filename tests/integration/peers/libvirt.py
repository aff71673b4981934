"""libvirt: its command on a host, and the configuration files that its own tests are made of.

`virsh` of Debian's `libvirt-clients` speaks to ESX without a daemon. The files are those of Debian's
source package: downloaded, never committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.peers import source_package, tools
from tests.integration.peers.process import PeerError, ended

if TYPE_CHECKING:
    from vimlib.simulator import ESXHost

# Folders of the source package, and the names that are kept of them.
KEPT = (("tests/vmx2xmldata/", ".vmx"), ("tests/xml2vmxdata/", ".xml"))
RUN_SECONDS = 120
_MARK = "=== end of output ==="


def samples() -> Path:
    """Return a folder with libvirt's sample files: `*.vmx` of hosts and tools, `*.xml` of domains.

    Raises:
        PeerError: They cannot be downloaded.
    """
    return source_package.files_of(
        "libvirt",
        lambda name: any(name.startswith(head) and name.endswith(end) for head, end in KEPT),
    )


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
            PeerError: The program was ended by a signal, did not connect, or took too long.
        """
        text = "; ".join(f"{command}; echo; echo {_MARK!r}" for command in commands)
        end = await ended(
            [self._program, "--quiet", "-c", self._uri, text],
            env={
                "LIBVIRT_AUTH_FILE": str(self._auth),
                # Fields that are newer than it are warnings.
                "LIBVIRT_LOG_FILTERS": "4:*",
            },
            deadline=RUN_SECONDS,
        )
        parts = end.output.split(_MARK)
        if end.code < 0 or len(parts) <= len(commands):
            raise PeerError(f"virsh ended with {end.code}: {end.output[-2000:]}")
        return [part.strip() for part in parts[: len(commands)]]
