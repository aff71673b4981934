"""`vimctl instance exec`, `ps` and `cp`: programs and files inside a guest."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions, ask
from vimdriver._cli.flags import ABOVE_0, Flag
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimlib._secret import Secret
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimdriver._instances.programs import GuestLogin


@Parameter(name="*", group="Guest")
@dataclass(frozen=True, kw_only=True)
class GuestUser:
    """A user of the guest."""

    guest_user: str | None = None
    """User name in the guest. [VIMLIB_GUEST_USERNAME]"""

    guest_password_file: Path | None = None
    """File with the password in its first line; or the variable VIMLIB_GUEST_PASSWORD, or a prompt."""

    def login(self) -> GuestLogin:
        """Return user and password. Blocking: may read a file and prompt. Raises `UsageError`."""
        from vimdriver._instances.programs import GuestLogin
        from vimlib._session.credentials import read_password

        user = self.guest_user or os.environ.get("VIMLIB_GUEST_USERNAME")
        if not user:
            raise UsageError(
                "a user of the guest is required",
                hint="Give --guest-user, or set VIMLIB_GUEST_USERNAME.",
            )
        if self.guest_password_file is not None:
            return GuestLogin(user, read_password(self.guest_password_file))
        given = os.environ.get("VIMLIB_GUEST_PASSWORD")
        if given is not None:
            return GuestLogin(user, Secret(given))
        hint = "Set VIMLIB_GUEST_PASSWORD, or give --guest-password-file FILE."
        return GuestLogin(user, ask(f"{printable(user, 80)} in the guest", hint))


GUEST_USER = GuestUser()
"""The default of a command's parameter."""


async def exec_(
    instance: Ref,
    program: str,
    /,
    *arguments: str,
    guest: GuestUser = GUEST_USER,
    cwd: str | None = None,
    grace: Annotated[float, ABOVE_0] = 60.0,
    foreign: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Run a program in a machine's guest, and print its output. VMware Tools must run there.

    The exit code is 0 if that of the program is, else 1; `--json` prints both streams and the code.

    Args:
        program: Absolute path in the guest.
        arguments: Its arguments; write `--` before the first one that begins with a hyphen.
        cwd: Working directory in the guest.
        grace: Seconds for the program; then it is killed.
        foreign: Act on a machine of another owner too.
    """
    login = await asyncio.to_thread(guest.login)
    async with opened(connection, ownership) as driver:
        found = await driver.guest_exec(
            instance, login, program, *arguments, cwd=cwd, timeout=grace, foreign=foreign
        )
    if output.json:
        output.document(found.to_json())
    else:
        sys.stdout.write(found.stdout.decode("utf-8", "replace"))
        sys.stdout.flush()
        sys.stderr.write(found.stderr.decode("utf-8", "replace"))
    return 0 if found.exit_code == 0 else 1


async def ps(
    instance: Ref,
    /,
    *,
    guest: GuestUser = GUEST_USER,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """List the processes of a machine's guest. VMware Tools must run there."""
    login = await asyncio.to_thread(guest.login)
    async with opened(connection) as driver:
        found = await driver.guest_ps(instance, login)
    output.table(
        ("pid", "owner", "started", "exit_code", "name", "command"),
        [process.to_json() for process in found],
    )


async def cp(
    source: str,
    target: str,
    /,
    *,
    guest: GuestUser = GUEST_USER,
    overwrite: Flag = False,
    foreign: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Copy a file into a machine's guest or out of it. VMware Tools must run there.

    One of both is INSTANCE:PATH with an absolute path in the guest, the other a local file.

    Args:
        source: Local file, or INSTANCE:PATH.
        target: INSTANCE:PATH, or local file.
        overwrite: Replace an existing file.
        foreign: Copy into a machine of another owner too.
    """
    inward, outward = _remote(target), _remote(source)
    if (inward is None) == (outward is None):
        raise UsageError(
            "one of source and target must be INSTANCE:PATH",
            hint="vimctl instance cp motd web-1:/etc/motd",
        )
    login = await asyncio.to_thread(guest.login)
    async with opened(connection, ownership) as driver:
        if inward is not None:
            ref, path = inward
            size = await driver.guest_upload(
                ref, login, Path(source), path, overwrite=overwrite, foreign=foreign
            )
        else:
            assert outward is not None, "one of them is"
            ref, path = outward
            place = Path(target)
            if not overwrite and await asyncio.to_thread(place.exists):
                raise UsageError(
                    f"local file already exists: {printable(target)!r}",
                    hint="Choose another name, or replace it with --overwrite.",
                )
            data = await driver.guest_download(ref, login, path)
            await asyncio.to_thread(place.write_bytes, data)
            size = len(data)
    output.document(
        {"source": source, "target": target, "bytes": size},
        f"{printable(target, 1000)}: {size} bytes",
    )


def _remote(text: str) -> tuple[str, str] | None:
    """Return machine and path of INSTANCE:PATH; None for a local file."""
    ref, colon, path = text.partition(":")
    absolute = path.startswith("/") or path[1:3] in (":\\", ":/")
    return (ref, path) if colon and ref and absolute else None
