"""Ansible with community.vmware, from PyPI's `ansible`, in an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.peers.environment import environment
from tests.integration.peers.process import PeerError, ended

if TYPE_CHECKING:
    from vimlib.simulator import ESXHost

# The last release for Python 3.11, and the libraries that its modules for VMware need.
REQUIREMENTS = ("ansible==12.3.0", "pyvmomi==9.1.1.0", "requests>=2.32")
PLAY_SECONDS = 900  # 40 s on an idle machine


@dataclass(frozen=True)
class Task:
    """The result of a task."""

    name: str
    changed: bool
    failed: bool
    result: Mapping[str, Any]


def installed() -> Path:
    """Return the folder with its commands; install it if it is not cached.

    Raises:
        PeerError: It could not be installed.
    """
    return environment("ansible", *REQUIREMENTS) / "bin"


async def play(
    playbook: Path,
    esx: ESXHost,
    folder: Path,
    variables: Mapping[str, object],
    *,
    skip: Sequence[str] = (),
) -> list[Task]:
    """Play a playbook on this machine; `folder` gets what Ansible writes.

    Returns the tasks up to the first that failed.

    Raises:
        PeerError: Ansible itself failed, or was ended by a signal.
    """
    commands = installed()
    login = {
        "host": "127.0.0.1",
        "port": esx.port,
        "username": esx.credentials.username,
        "password": esx.credentials.password,
    }
    end = await ended(
        [
            *(commands / "ansible-playbook", "-i", "localhost,", "-c", "local"),
            *("-e", json.dumps({**variables, "esx": login})),
            *(["--skip-tags", ",".join(skip)] if skip else []),
            playbook,
        ],
        env={
            "HOME": str(folder),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PYTHON_INTERPRETER": str(commands / "python"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "LC_ALL": "C.UTF-8",
        },
        cwd=folder,
        deadline=PLAY_SECONDS,
    )
    # 2 is a task that failed; the document follows the warnings.
    if end.code not in (0, 2) or "{" not in end.output:
        raise PeerError(f"ansible-playbook ended with {end.code}: {end.output[-2000:]}")
    _, brace, text = end.output.partition("\n{")
    document, _ = json.JSONDecoder().raw_decode(f"{{{text}" if brace else end.output)
    return [
        Task(task["task"]["name"], bool(found.get("changed")), bool(found.get("failed")), found)
        for run in document["plays"]
        for task in run["tasks"]
        for found in task["hosts"].values()
    ]
