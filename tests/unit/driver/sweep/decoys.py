"""What looks like ours and is not: another owner's, somebody's own, and whole things."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.driver.hosted import CONFIG, OWNER, Hosted, add_port_group, host_of, write_note
from vimdriver._images.sink import temporary_name
from vimdriver._instances.machine import MAKING_KEY, OWNER_KEY, SPAWN_KEY
from vimlib import vim25
from vimlib._client import Client

OLD = "2001-01-01T00:00:00Z"
MACHINES: dict[str, dict[str, str]] = {
    # Half-made, of another owner.
    "other-1": {OWNER_KEY: "others", SPAWN_KEY: "0" * 16, MAKING_KEY: OLD},
    # Half-made, of nobody.
    "other-2": {SPAWN_KEY: "1" * 16, MAKING_KEY: OLD},
    # Ours, and whole.
    "whole": {OWNER_KEY: OWNER, SPAWN_KEY: "2" * 16},
    "webs": {},
}
FILES = (
    "web-1/web.vmdk",
    "web-1/web-flat.vmdk",
    "web.vmdk",
    "images/disk.img.0123456789abcdef.part",
    f"images/{temporary_name('disk.img', 'others')}",
    f"images/{temporary_name('disk.img', OWNER)}.bak",
    "images/disk.img.part",
    "vimlib-networks/0123",
)


@dataclass(frozen=True)
class Decoys:
    """All of it, as it was when it was made."""

    host: Hosted
    digests: dict[str, str]
    groups: frozenset[str]

    def check(self) -> None:
        """None of it may have changed."""
        assert _digests(self.host.folder, self.digests) == self.digests
        state = self.host.state()
        assert set(MACHINES) <= state.machines
        assert self.groups <= state.groups


def _digests(folder: Path, names: dict[str, str] | tuple[str, ...]) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if (folder / name).exists()
    }


async def place(host: Hosted, client: Client) -> Decoys:
    """Put them onto the host."""
    folder = client.bind(vim25.Folder("ha-folder-vm"))
    for name, marks in MACHINES.items():
        spec = vim25.VirtualMachineConfigSpec(
            name=name,
            memoryMB=64,
            files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
            extraConfig=[vim25.OptionValue(key=k, value=v) for k, v in marks.items()],
        )
        await client.wait(await folder.CreateVM_Task(spec, vim25.ResourcePool("ha-root-pool")))
    for name in FILES:
        path = host.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    # Another owner's port group, with its note, and one whose note was left without it.
    others = replace(CONFIG, owner="others")
    await add_port_group(host_of(client, others), "vlan-1", 1)
    await write_note(host_of(client, others), "vlan-2", 2)
    there = tuple(str(p.relative_to(host.folder)) for p in host.folder.rglob("*") if p.is_file())
    digests = _digests(host.folder, there)
    assert set(FILES) <= set(digests)
    return Decoys(host, digests, host.state().groups)
