from __future__ import annotations

import io

import pytest

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_the_output_has_product_version_and_build(esx: ESXHost, vimctl: Vimctl) -> None:
    found = vimctl.json("about")
    assert found["_typeName"] == "AboutInfo"
    assert found["apiVersion"] == "8.0.3.0"
    assert f"fullName  {found['fullName']}\n" in vimctl("about").out


def test_the_command_logs_out(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("about")
    assert (len(esx.calls("Login")), len(esx.calls("Logout"))) == (1, 1)


def test_a_wrong_pin_is_refused_before_a_byte_and_shows_the_right_one(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMLIB_PIN", "00" * 32)
    done = vimctl("about", "--json", code=5)
    assert f"--pin {esx.thumbprint}\n" in done.err
    assert done.document["error"]["type"] == "PinMismatchError"
    assert done.document["error"]["outcome"] == "not_sent"
    assert esx.call_log == []


def test_an_unknown_ca_is_refused_and_shows_the_pin(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIMLIB_PIN")
    done = vimctl("about", code=5)
    assert f"--pin {esx.thumbprint}\n" in done.err
    assert vimctl("about", "--insecure", "-q").err.count("not verified") == 1


def test_a_wrong_password_is_sent_once_and_never_shown(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "wrong-canary")
    done = vimctl("about", "--json", "--verbose", code=3)
    assert done.document["error"]["outcome"] == "refused"
    assert "wrong-canary" not in done.out + done.err
    assert len(esx.calls("Login")) == 1


def test_the_password_can_come_from_stdin(
    esx: ESXHost, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "wrong")
    monkeypatch.setattr("sys.stdin", io.StringIO(esx.credentials.password + "\n"))
    vimctl("about", "--password-file", "-")


def test_an_unreachable_host_is_an_error(vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "pw")
    done = vimctl("about", "--url", "127.0.0.1:1", "--username", "u", "--json", code=1)
    assert done.document["error"]["outcome"] == "not_sent"
