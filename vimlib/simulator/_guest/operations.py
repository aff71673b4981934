"""GuestOperationsManager and its managers: the guest operations of the API on scripted guests.

Refusals come in the order of the API reference: a machine that is off (InvalidPowerState,
vmware/vic#6236), tools that do not run (GuestOperationsUnavailable), credentials (InvalidGuestLogin),
then the operation's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._guest.files import MOST_BYTES, WRITE, denied
from vimlib.simulator._guest.scripted import ScriptedGuest, guest_of
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._guest.files import GuestAccount, GuestNode
    from vimlib.simulator._guest.scripted import GuestTransfer

_MOST_LISTED: Final = 50
"""Files that one list has unless asked otherwise (GuestFileManager.ListFiles)."""


class GuestOperationsManager(SimObject):
    """The managers of guest operations; recorded is its id, those of the others are our choice."""

    kind = "GuestOperationsManager"

    @prop("authManager")
    def _auth(self) -> Any:
        return self.registry.one("GuestAuthManager").ref

    @prop("fileManager")
    def _files(self) -> Any:
        return self.registry.one("GuestFileManager").ref

    @prop("processManager")
    def _processes(self) -> Any:
        return self.registry.one("GuestProcessManager").ref

    @prop("aliasManager")
    def _aliases(self) -> Any:
        return self.registry.one("GuestAliasManager").ref

    @prop("guestWindowsRegistryManager")
    def _windows(self) -> Any:
        return self.registry.one("GuestWindowsRegistryManager").ref


class GuestAuthManager(SimObject):
    """Credentials of guests."""

    kind = "GuestAuthManager"


class GuestFileManager(SimObject):
    """Files of guests."""

    kind = "GuestFileManager"


class GuestProcessManager(SimObject):
    """Processes of guests."""

    kind = "GuestProcessManager"


class GuestAliasManager(SimObject):
    """Single sign-on in guests; its methods are not simulated."""

    kind = "GuestAliasManager"


class GuestWindowsRegistryManager(SimObject):
    """The registry of Windows guests, which scripted guests are not."""

    kind = "GuestWindowsRegistryManager"


def make_guest_operations(registry: Registry) -> None:
    """Make the managers that a host of this release has: from 5.0 on, two of them from 6.0 on."""
    if registry.version < (5,):
        return
    GuestOperationsManager(registry, "ha-guest-operations-manager")
    GuestAuthManager(registry, "ha-guest-operations-auth-manager")
    GuestFileManager(registry, "ha-guest-operations-file-manager")
    GuestProcessManager(registry, "ha-guest-operations-process-manager")
    if registry.version >= (6,):
        GuestAliasManager(registry, "ha-guest-operations-alias-manager")
        GuestWindowsRegistryManager(registry, "ha-guest-operations-windows-registry-manager")


def _guest(call: Call) -> tuple[ScriptedGuest, GuestAccount]:
    """Return the guest that a call is for, and the account that acts in it."""
    machine = call.registry.find(call.args["vm"])
    if not isinstance(machine, VirtualMachine):
        raise invalid_argument("vm")
    if machine.power != "poweredOn":
        raise with_message(
            vim25.InvalidPowerState(requestedState="poweredOn", existingState=machine.power),
            "The attempted operation cannot be performed in the current state "
            f"({'Powered off' if machine.power == 'poweredOff' else 'Suspended'}).",
        )
    if not machine.guest.tools_running or machine.config.guestId.startswith("win"):
        raise with_message(
            vim25.GuestOperationsUnavailable(),
            "The guest operations agent could not be contacted.",
        )
    guest = guest_of(machine)
    return guest, guest.log_in(call.args["auth"])


@handles(GuestAuthManager, "ValidateCredentialsInGuest")
def validate_credentials(manager: GuestAuthManager, call: Call) -> None:
    """Check credentials."""
    _guest(call)


@handles(GuestProcessManager, "StartProgramInGuest")
def start_program(manager: GuestProcessManager, call: Call) -> int:
    """Start a program; return its process id."""
    guest, account = _guest(call)
    if any("=" not in each for each in call.args["spec"].envVariables):
        raise invalid_argument("spec.envVariables")
    return guest.start(account, call.args["spec"]).pid


@handles(GuestProcessManager, "ListProcessesInGuest")
def list_processes(manager: GuestProcessManager, call: Call) -> list[Any]:
    """Return processes: all, or those of the given ids that exist."""
    guest, _ = _guest(call)
    wanted = call.args["pids"]
    return [p.info() for p in guest.processes.values() if not wanted or p.pid in wanted]


@handles(GuestProcessManager, "TerminateProcessInGuest")
def terminate_process(manager: GuestProcessManager, call: Call) -> None:
    """Kill a process, one's own unless root."""
    guest, account = _guest(call)
    process = guest.processes.get(call.args["pid"])
    if process is not None and account.uid and process.owner != account.name:
        raise denied(f"process {process.pid}")
    guest.terminate(call.args["pid"])


@handles(GuestProcessManager, "ReadEnvironmentVariableInGuest")
def read_environment(manager: GuestProcessManager, call: Call) -> list[str]:
    """Return variables of the user's environment as `NAME=value`: all, or the named ones that are set."""
    guest, account = _guest(call)
    wanted = call.args["names"]
    return [
        f"{name}={value}"
        for name, value in sorted(guest.environment(account).items())
        if not wanted or name in wanted
    ]


@handles(GuestFileManager, "MakeDirectoryInGuest")
def make_directory(manager: GuestFileManager, call: Call) -> None:
    """Make a directory."""
    guest, account = _guest(call)
    parents = call.args["createParentDirectories"]
    guest.files.make_directory(call.args["directoryPath"], account, parents=parents)


@handles(GuestFileManager, "DeleteFileInGuest")
def delete_file(manager: GuestFileManager, call: Call) -> None:
    """Delete a file or a symbolic link."""
    guest, account = _guest(call)
    guest.files.remove_file(call.args["filePath"], account)


@handles(GuestFileManager, "DeleteDirectoryInGuest")
def delete_directory(manager: GuestFileManager, call: Call) -> None:
    """Delete a directory."""
    guest, account = _guest(call)
    path, recursive = call.args["directoryPath"], call.args["recursive"]
    guest.files.remove_directory(path, account, recursive=recursive)


@handles(GuestFileManager, "MoveDirectoryInGuest")
def move_directory(manager: GuestFileManager, call: Call) -> None:
    """Rename a directory."""
    guest, account = _guest(call)
    source = call.args["srcDirectoryPath"]
    if guest.files.find(source, account, follow=False).children is None:
        raise with_message(vim25.NotADirectory(file=source), f"{source} is not a directory")
    guest.files.move(source, call.args["dstDirectoryPath"], account, overwrite=False)


@handles(GuestFileManager, "MoveFileInGuest")
def move_file(manager: GuestFileManager, call: Call) -> None:
    """Rename a file."""
    guest, account = _guest(call)
    source, overwrite = call.args["srcFilePath"], call.args["overwrite"]
    if guest.files.find(source, account, follow=False).children is not None:
        raise with_message(vim25.NotAFile(file=source), f"{source} is not a file")
    guest.files.move(source, call.args["dstFilePath"], account, overwrite=overwrite)


def _temporary(call: Call) -> tuple[ScriptedGuest, GuestAccount, str]:
    guest, account = _guest(call)
    number = call.registry.random.getrandbits(32)
    prefix, suffix = call.args["prefix"], call.args["suffix"]
    if "/" in prefix + suffix:
        raise invalid_argument("prefix")
    folder = (call.get("directoryPath") or "/tmp").rstrip("/")
    return guest, account, f"{folder}/{prefix}vmware{number:08x}{suffix}"


@handles(GuestFileManager, "CreateTemporaryFileInGuest")
def create_temporary_file(manager: GuestFileManager, call: Call) -> str:
    """Make an empty file with a name of its own; return its path."""
    guest, account, path = _temporary(call)
    guest.files.write(path, b"", account).mode = 0o600
    return path


@handles(GuestFileManager, "CreateTemporaryDirectoryInGuest")
def create_temporary_directory(manager: GuestFileManager, call: Call) -> str:
    """Make a directory with a name of its own; return its path."""
    guest, account, path = _temporary(call)
    guest.files.make_directory(path, account)
    return path


def _attributes(node: GuestNode) -> Any:
    return vim25.GuestPosixFileAttributes(
        modificationTime=node.modified,
        accessTime=node.modified,
        symlinkTarget=node.target or "",
        ownerId=node.owner,
        groupId=node.owner,
        permissions=node.mode,
    )


def _file_info(path: str, node: GuestNode) -> Any:
    return vim25.GuestFileInfo(
        path=path, type=node.kind, size=len(node.content), attributes=_attributes(node)
    )


@handles(GuestFileManager, "ListFilesInGuest")
def list_files(manager: GuestFileManager, call: Call) -> Any:
    """Return a file, or the entries of a directory with `.` and `..`, a part at a time."""
    guest, account = _guest(call)
    path = call.args["filePath"]
    node = guest.files.find(path, account)
    if node.children is None:
        return vim25.GuestListFileInfo(files=[_file_info(path, node)], remaining=0)
    if not node.allows(account, 4):
        raise denied(path)
    try:
        pattern = re.compile(call.get("matchPattern") or "")
    except re.error:
        raise invalid_argument("matchPattern") from None
    entries = {".": node, "..": guest.files.find(f"{path}/..", account), **node.children}
    found = [_file_info(n, each) for n, each in sorted(entries.items()) if pattern.search(n)]
    start = max(call.get("index") or 0, 0)
    most = call.get("maxResults")
    end = start + (_MOST_LISTED if most is None else max(most, 0))
    return vim25.GuestListFileInfo(files=found[start:end], remaining=max(len(found) - end, 0))


@handles(GuestFileManager, "ChangeFileAttributesInGuest")
def change_attributes(manager: GuestFileManager, call: Call) -> None:
    """Set the mode, the owner or the time of a file."""
    guest, account = _guest(call)
    path, given = call.args["guestFilePath"], call.args["fileAttributes"]
    node = guest.files.find(path, account)
    if account.uid not in (0, node.owner):
        raise denied(path)
    owner = getattr(given, "ownerId", None)
    if owner is not None and owner != node.owner:
        if account.uid:
            raise denied(path)
        node.owner = owner
    if (mode := _mode(given)) is not None:
        node.mode = mode
    node.modified = given.modificationTime or node.modified


def _mode(given: Any) -> int | None:
    """Return the mode of attributes: permissions as of chmod; 0 leaves the default."""
    mode: int | None = getattr(given, "permissions", None)
    if mode is not None and not 0 <= mode <= 0o7777:
        raise invalid_argument("fileAttributes.permissions")
    return mode or None


def _url(guest: ScriptedGuest, transfer: GuestTransfer) -> str:
    # A host writes `*` for its own address.
    port = guest.registry.port
    return f"https://*:{port}/guestFile?id={transfer.id}&token={transfer.token}"


@handles(GuestFileManager, "InitiateFileTransferFromGuest")
def transfer_from_guest(manager: GuestFileManager, call: Call) -> Any:
    """Return the URL from which a file can be read, once."""
    guest, account = _guest(call)
    path = call.args["guestFilePath"]
    content = guest.files.read(path, account)
    return vim25.FileTransferInformation(
        attributes=_attributes(guest.files.find(path, account)),
        size=len(content),
        url=_url(guest, guest.transfer(path, account)),
    )


@handles(GuestFileManager, "InitiateFileTransferToGuest")
def transfer_to_guest(manager: GuestFileManager, call: Call) -> str:
    """Return the URL to which a file can be written, once."""
    guest, account = _guest(call)
    path, size = call.args["guestFilePath"], call.args["fileSize"]
    if size < 0:
        raise invalid_argument("fileSize")
    if size > MOST_BYTES:
        raise with_message(vim25.FileFault(file=path), f"{path}: No space left on device")
    folder = path.rpartition("/")[0] or "/"
    if guest.files.exists(path, account):
        node = guest.files.find(path, account)
        if node.children is not None:
            raise with_message(vim25.NotAFile(file=path), f"{path} is not a file")
        if not call.args["overwrite"]:
            raise with_message(vim25.FileAlreadyExists(file=path))
        if not node.allows(account, WRITE):
            raise denied(path)
    elif not guest.files.find(folder, account).allows(account, WRITE):
        raise denied(path)
    mode = _mode(call.args["fileAttributes"])
    return _url(guest, guest.transfer(path, account, size=size, mode=mode))
