from __future__ import annotations

import io
from pathlib import Path

import pytest

from vimdriver._cli.connection import ConnectArguments, ConnectionOptions, read_login
from vimdriver._cli.trust import TrustOptions
from vimlib._secret import Secret
from vimlib._session.credentials import Credentials
from vimlib.errors import UsageError

BASE = {"VIMLIB_URL": "esx", "VIMLIB_USERNAME": "root", "VIMLIB_PASSWORD": "pw"}


def password_of(login: ConnectArguments) -> str:
    """Return the password that would be sent, from memory or from the file."""
    return Credentials("u", login.password).current()[0].reveal()


def parts(login: ConnectArguments) -> tuple[str, str, str]:
    return login.url, login.username, password_of(login)


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        (ConnectionOptions(), BASE, ("esx", "root", "pw")),
        (ConnectionOptions(url="other", username="me"), BASE, ("other", "me", "pw")),
        (
            ConnectionOptions(),
            {"GOVC_URL": "g", "GOVC_USERNAME": "gu", "GOVC_PASSWORD": "gp"},
            ("g", "gu", "gp"),
        ),
        (
            ConnectionOptions(),
            {**BASE, "GOVC_URL": "g", "GOVC_PASSWORD": "gp"},
            ("esx", "root", "pw"),
        ),
        (ConnectionOptions(), {"GOVC_URL": "u:p%40@h"}, ("https://h", "u", "p@")),
        (
            ConnectionOptions(),
            {"GOVC_URL": "https://u:p@h:8443/sdk"},
            ("https://h:8443/sdk", "u", "p"),
        ),
        # In govc too, variables override the parts of the URL.
        (
            ConnectionOptions(),
            {"GOVC_URL": "u:p@h", "GOVC_USERNAME": "v", "GOVC_PASSWORD": "q"},
            ("https://h", "v", "q"),
        ),
        (
            ConnectionOptions(),
            {
                "VMWARE_HOST": "v",
                "VMWARE_PORT": "444",
                "VMWARE_USER": "vu",
                "VMWARE_PASSWORD": "vp",
            },
            ("v:444", "vu", "vp"),
        ),
        (
            ConnectionOptions(),
            {
                "VMWARE_HOST": "fd00::1",
                "VMWARE_PORT": "444",
                "VMWARE_USER": "u",
                "VMWARE_PASSWORD": "p",
            },
            ("[fd00::1]:444", "u", "p"),
        ),
        # An empty variable counts as unset.
        (ConnectionOptions(), {**BASE, "VIMLIB_URL": "", "GOVC_URL": "g"}, ("g", "root", "pw")),
    ],
)
def test_flags_override_variables_and_those_apply_in_order(
    options: ConnectionOptions, environ: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert parts(read_login(options, environ)) == expected


def test_the_password_of_one_url_never_goes_to_another() -> None:
    environ = {"GOVC_URL": "u:secret@h"}
    with pytest.raises(UsageError):
        read_login(ConnectionOptions(url="elsewhere", username="u"), environ)


def test_a_password_file_is_read_to_the_end_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_bytes(b" pass word \r\nrest\n")
    login = read_login(ConnectionOptions(password_file=file), BASE)
    assert password_of(login) == " pass word "
    environ = {"VIMLIB_URL": "h", "VIMLIB_USERNAME": "u", "VIMLIB_PASSWORD_FILE": str(file)}
    assert password_of(read_login(ConnectionOptions(), environ)) == " pass word "


def test_a_dash_reads_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from-stdin\n"))
    login = read_login(ConnectionOptions(password_file=Path("-")), BASE)
    assert password_of(login) == "from-stdin"


@pytest.mark.parametrize("content", [None, b"", b"\nx", b"\xff\n"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pw"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"password|first line"):
        read_login(ConnectionOptions(password_file=file), BASE)


def test_the_prompt_is_the_last_resort() -> None:
    asked = []

    def prompt(text: str) -> str:
        asked.append(text)
        return "typed"

    login = read_login(ConnectionOptions(url="h", username="u"), {}, prompt=prompt)
    assert password_of(login) == "typed"
    assert asked == ["Password of u at h: "]
    with pytest.raises(UsageError):
        read_login(ConnectionOptions(url="h", username="u"), {}, prompt=lambda _: "")


def test_without_a_terminal_there_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    with pytest.raises(UsageError, match="VIMLIB_PASSWORD"):
        read_login(ConnectionOptions(url="h", username="u"), {})


@pytest.mark.parametrize("missing", ["VIMLIB_URL", "VIMLIB_USERNAME"])
def test_a_missing_setting_is_named(missing: str) -> None:
    environ = {name: value for name, value in BASE.items() if name != missing}
    with pytest.raises(UsageError, match=missing):
        read_login(ConnectionOptions(), environ)


def test_trust_is_part_of_the_login() -> None:
    login = read_login(ConnectionOptions(trust=TrustOptions(pin="AB")), BASE)
    assert login.trust == TrustOptions(pin="AB")


def test_no_repr_shows_the_password() -> None:
    ready = ConnectionOptions().prepared(BASE)
    assert "pw" not in repr(ready)
    assert "pw" not in repr(
        ConnectArguments(url="h", username="u", password=Secret("pw"), trust=TrustOptions())
    )
