"""Host, user and password: from the flags, then VIMLIB_*, GOVC_*, VMWARE_*.

The password comes from a file, a variable or a prompt, never from the command line, which other
users of the machine can read.
"""

from __future__ import annotations

import copy
import getpass
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from cyclopts import Parameter

from vimdriver._cli.flags import ABOVE_0, DASH
from vimdriver._cli.trust import TrustOptions
from vimlib._secret import Secret
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from vimlib._client import Client


@dataclass(frozen=True, kw_only=True)
class ConnectArguments:
    """All arguments of `vimlib.connect`."""

    url: str
    username: str
    password: Secret | Path
    """The file is read for each login, so that a changed file is used."""
    trust: TrustOptions
    retry_login: bool = False


@Parameter(name="*", group="Connection")
@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Options that select the host and the login."""

    url: str | None = None
    """URL of the host: `https://HOST/sdk`, or just HOST. [VIMLIB_URL, GOVC_URL, VMWARE_HOST]"""

    username: str | None = None
    """User name. [VIMLIB_USERNAME, GOVC_USERNAME, VMWARE_USER]"""

    password_file: Annotated[Path | None, DASH] = None
    """File whose first line is the password; `-` reads stdin. The default is VIMLIB_PASSWORD, GOVC_PASSWORD or VMWARE_PASSWORD, else a prompt. [VIMLIB_PASSWORD_FILE]"""

    retry_login: Annotated[bool, Parameter(negative=())] = False
    """Send the password even if the host refused it less than 900 seconds ago."""

    timeout: Annotated[float | None, ABOVE_0] = None
    """Cancel the command after this many seconds (exit code 6)."""

    trust: TrustOptions = field(default_factory=TrustOptions)

    # Set by `prepared`, on its copy only. Not a field: cyclopts would make an option of it.
    _login: ClassVar[ConnectArguments | None] = None

    def prepared(self, environ: Mapping[str, str]) -> ConnectionOptions:
        """Return a copy that holds the login. Blocking: may read files and prompt.

        Raises:
            UsageError: Address, user name or password is missing.
        """
        ready = copy.copy(self)
        object.__setattr__(ready, "_login", read_login(self, environ))
        return ready

    @property
    def address(self) -> str:
        """URL of the host."""
        assert self._login is not None, "run() prepares a command's connection"
        return self._login.url

    def to(self, url: str, pin: str | None) -> ConnectionOptions:
        """Return a copy for another host, with the same user and password.

        Args:
            url: URL of the host.
            pin: Of its certificate; None trusts it as the first host, whose pin does not count.
        """
        assert self._login is not None, "run() prepares a command's connection"
        trust = replace(self._login.trust, pin=pin)
        other = copy.copy(self)
        object.__setattr__(other, "_login", replace(self._login, url=url, trust=trust))
        return other

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Log in; leaving the block in any way logs out.

        Raises:
            VimlibError: Connection, certificate or login failed.
        """
        from vimlib._client import connect

        assert self._login is not None, "run() prepares a command's connection"
        login = self._login
        async with connect(
            login.url,
            login.username,
            login.password,
            tls=login.trust.tls(),
            retry_login=login.retry_login,
        ) as client:
            yield client


CONNECTION = ConnectionOptions()
"""The default of a command's parameter: all from the environment."""


def read_login(
    options: ConnectionOptions,
    environ: Mapping[str, str],
    *,
    prompt: Callable[[str], str] | None = None,
) -> ConnectArguments:
    """Determine address, user name, password and trust. Blocking: reads files and may prompt.

    `prompt` asks for the password; None uses the terminal, if there is one.

    Raises:
        UsageError: One of them is missing, or a variable has an invalid value.
    """
    url, inner_user, inner_password = _address(options, environ)
    username = options.username or _first(environ, "VIMLIB_USERNAME", "GOVC_USERNAME")
    username = username or inner_user or environ.get("VMWARE_USER")
    if not username:
        raise UsageError(
            "a user name is required", hint="Give --username NAME or set VIMLIB_USERNAME."
        )
    trust = options.trust.with_environment(environ)
    password = _password(options, environ, inner_password)
    if password is None:
        who = f"{printable(username, 80)} at {printable(url, 200)}"
        password = ask(who, "Set VIMLIB_PASSWORD, or give --password-file FILE.", prompt)
    return ConnectArguments(
        url=url,
        username=username,
        password=password,
        trust=trust,
        retry_login=options.retry_login,
    )


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _address(
    options: ConnectionOptions, environ: Mapping[str, str]
) -> tuple[str, str | None, Secret | None]:
    """Return the URL, and the user name and password embedded in GOVC_URL if that is the URL."""
    url = options.url or environ.get("VIMLIB_URL")
    if url:
        return url, None, None
    if environ.get("GOVC_URL"):
        return _split_userinfo(environ["GOVC_URL"])
    host = environ.get("VMWARE_HOST")
    if host:
        port = environ.get("VMWARE_PORT")
        if not port:
            return host, None, None
        return (
            f"[{host}]:{port}" if host.count(":") > 1 and host[0] != "[" else f"{host}:{port}",
            None,
            None,
        )
    raise UsageError("a host is required", hint="Give --url https://HOST/sdk or set VIMLIB_URL.")


def _split_userinfo(text: str) -> tuple[str, str | None, Secret | None]:
    # govc's form: [https://][user[:password]@]host[/sdk]
    parts = urlsplit(text if "://" in text else f"https://{text}")
    userinfo, at, host = parts.netloc.rpartition("@")
    if not at:
        return text, None, None
    user, colon, password = userinfo.partition(":")
    bare = urlunsplit(parts._replace(netloc=host))
    return bare, unquote(user) or None, Secret(unquote(password)) if colon else None


def _password(
    options: ConnectionOptions, environ: Mapping[str, str], inner: Secret | None
) -> Secret | Path | None:
    if options.password_file is not None:
        return _file(options.password_file)
    if environ.get("VIMLIB_PASSWORD"):
        return Secret(environ["VIMLIB_PASSWORD"])
    if environ.get("VIMLIB_PASSWORD_FILE"):
        return _file(Path(environ["VIMLIB_PASSWORD_FILE"]))
    if environ.get("GOVC_PASSWORD"):
        return Secret(environ["GOVC_PASSWORD"])
    if inner is not None:
        return inner
    if environ.get("VMWARE_PASSWORD"):
        return Secret(environ["VMWARE_PASSWORD"])
    return None


def _file(path: Path) -> Secret | Path:
    """Return the file after a test read; `-` is read only once."""
    # Imported here: `vimctl --help` does not load the API.
    from vimlib._session.credentials import first_line, read_password

    if str(path) == "-":
        return first_line("standard input", sys.stdin)
    read_password(path)
    return path


def ask(who: str, hint: str, prompt: Callable[[str], str] | None = None) -> Secret:
    """Ask for a password on the terminal. Blocking. Raises `UsageError` with `hint` without one."""
    if prompt is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "a password is required, and there is no terminal for a prompt", hint=hint
            )
        prompt = getpass.getpass
    password = prompt(f"Password of {who}: ")
    if not password:
        raise UsageError("the password must not be empty", hint=hint)
    return Secret(password)
