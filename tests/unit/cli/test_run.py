from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from cyclopts import App

from vimdriver._cli import app as tree
from vimdriver._cli import main
from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.output import OUTPUT, Output
from vimlib.errors import CertificateError, LoginError, NotFoundError

RESULT: dict[str, Any] = {}


async def fail(*, output: Output = OUTPUT) -> None:
    """Raise the error that the test set."""
    raise RESULT["error"]


async def hang(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """Wait until cancelled."""
    if connection.url and connection.url.startswith("http:"):
        async with connection.client():
            pass
    if "signal" in RESULT:
        os.kill(os.getpid(), RESULT["signal"])
    try:
        await asyncio.Event().wait()
    finally:
        RESULT["cleaned"] = True


async def answer(*, output: Output = OUTPUT) -> int:
    """Return the value that the test set."""
    output.document({"a": 1}, RESULT.get("text", "one"))
    output.say("said")
    return int(RESULT.get("code", 0))


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    RESULT.clear()
    top = App(name="vimctl", result_action="return_value")
    for command in (fail, hang, answer):
        top.command(command)
    monkeypatch.setattr(tree, "app", top)
    for name in list(os.environ):
        if name.startswith(("VIMLIB_", "GOVC_", "VMWARE_")):
            monkeypatch.delenv(name)


def run(*tokens: str) -> int:
    return main(list(tokens))


def test_results_are_on_stdout_and_messages_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("answer") == 0
    assert capsys.readouterr() == ("one\n", "said\n")
    assert run("answer", "--json", "-q") == 0
    assert capsys.readouterr() == ('{"a": 1}\n', "")
    RESULT["code"] = 7
    assert run("answer") == 7


@pytest.mark.parametrize(
    ("error", "code"), [(LoginError("no", hint="Try again"), 3), (NotFoundError("gone"), 4)]
)
def test_an_error_has_a_message_and_a_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    RESULT["error"] = error
    assert run("fail") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"vimctl: {error}\n"


def test_a_terminal_with_a_narrow_encoding_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    RESULT["text"] = "\N{SNOWMAN}\N{LATIN SMALL LETTER U WITH DIAERESIS}"
    assert run("answer") == 0
    assert raw.getvalue() == b"\\u2603\xfc\n"


def test_an_error_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    RESULT["error"] = LoginError("no", hint="Try again")
    assert run("fail", "--json") == 3
    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "type": "LoginError",
            "message": "no. Try again",
            "retryable": False,
            "outcome": "refused",
        }
    }


def test_a_refused_certificate_is_reported_with_its_pin_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sha = ":".join(["AB"] * 32)
    RESULT["error"] = CertificateError("no", sha256=sha, hint=f"Pin it: TLS(pin={sha!r}).")
    assert run("fail") == 5
    assert capsys.readouterr().err == (
        "vimctl: no. Give the CA that signed it with --ca, or, if the host itself displays the same "
        f"SHA-256, accept it with --pin {sha}\n"
    )


def test_a_hint_names_the_option_not_the_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hang", "--url", "http://h", "--username", "u", "--password-file", __file__) == 2
    err = capsys.readouterr().err
    assert "Use https, or --insecure to allow http." in err
    assert "verify=" not in err


def test_an_unexpected_error_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    RESULT["error"] = ZeroDivisionError("division by zero")
    assert run("fail") == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ZeroDivisionError: division by zero" in err
    assert "report" in err


def test_verbose_shows_the_traceback_of_a_known_error(capsys: pytest.CaptureFixture[str]) -> None:
    RESULT["error"] = LoginError("no")
    assert run("fail", "--verbose") == 3
    assert "Traceback" in capsys.readouterr().err


def test_control_characters_of_a_peer_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    RESULT["error"] = NotFoundError("no \x1b[31mred\r\n")
    run("fail")
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("tokens", [("nosuch",), ("answer", "--nosuch"), ("answer", "extra")])
def test_a_wrong_command_line_refers_to_the_help(
    capsys: pytest.CaptureFixture[str], tokens: tuple[str, ...]
) -> None:
    assert run(*tokens) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--help" in err
    assert run(*tokens, "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"


def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    assert run("answer") == 2
    assert "pip install 'vimlib-esx[cli]'" in capsys.readouterr().err


def test_a_missing_host_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hang") == 2
    assert "--url" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_command_which_cleans_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "pw")
    RESULT["signal"] = number
    # As in a terminal, even if the tests themselves run under nohup.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        assert run("hang", "--url", "h", "--username", "u", "--json") == 130
    finally:
        signal.signal(number, before)
    assert RESULT["cleaned"]
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["message"] == "interrupted"
    assert err == "vimctl: interrupted\n"


def test_under_nohup_a_closing_terminal_is_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "pw")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        RESULT["signal"] = signal.SIGHUP
        assert run("hang", "--url", "h", "--username", "u", "--timeout", "0.05") == 6
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_deadline_cancels_with_its_own_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMLIB_PASSWORD", "pw")
    assert run("hang", "--url", "h", "--username", "u", "--timeout", "0.01") == 6
    assert RESULT["cleaned"]
    assert "--timeout" in capsys.readouterr().err
    assert run("hang", "--url", "h", "--username", "u", "--timeout", "0") == 2


def vimctl(*tokens: str, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"import sys; from vimdriver._cli import main; code = main(sys.argv[1:]); {code}; sys.exit(code)"
    return subprocess.run(
        [sys.executable, "-c", program, *tokens], capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [("--help",), ("--version",), ("instance", "spawn", "--help")])
def test_help_loads_neither_the_api_nor_http(tokens: tuple[str, ...]) -> None:
    heavy = "('aiohttp', 'vimlib.vim25', 'vimlib._client', 'vimlib.soap', 'lxml')"
    done = vimctl(*tokens, code=f"loaded = [m for m in {heavy} if m in sys.modules]; print(loaded)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[]\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "err"),
    [
        ("guest render --nic mac=00:50:56:00:00:01 --json >/dev/full", 1, "No space left"),
        ("guest render --nonsense --json >/dev/full", 2, "--nonsense"),
        ("guest render --nic mac=00:50:56:00:00:01 --json >&-", 0, ""),
        ("guest render --nonsense 2>&-", 2, ""),
    ],
)
def test_closed_streams_cause_no_traceback(words: str, code: int, err: str) -> None:
    program = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        f"exec {sys.executable} -c '{program}' {words}", shell=True, stderr=subprocess.PIPE, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == code
    assert err in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_closed_pipe_prints_no_traceback() -> None:
    program = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            program,
            "guest",
            "render",
            "--nic",
            "mac=00:50:56:00:00:01",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(60) == 1
    assert err == ""
