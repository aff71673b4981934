from __future__ import annotations

import ast
import inspect
import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli import sim
from vimdriver._cli.sim_options import Release
from vimlib.simulator import ESXHost
from vimlib.simulator._core.certificate import make_certificate
from vimlib.simulator._core.versions import RELEASES

PROGRAM = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"


def test_all_simulator_releases_are_offered() -> None:
    assert list(get_args(Release)) == list(RELEASES)


def test_every_option_of_the_host_has_a_flag() -> None:
    tree = ast.parse(Path(sim.__file__).read_text(encoding="utf-8"))
    [made] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "ESXHost"
    ]
    given = {word.arg for word in made.keywords} | {"version"}
    # A clock is an object of Python, for tests in the same process.
    assert given == set(inspect.signature(ESXHost).parameters) - {"clock"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_prints_its_address_and_ends_cleanly(
    vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    words = (
        "sim",
        "--port",
        "0",
        "--datastore-dir",
        tmp_path / "ds",
        "--api-version",
        "4.1",
        "--vms",
        "3",
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert set(said) == {"url", "username", "password", "thumbprint"}
        monkeypatch.setenv("VIMLIB_PASSWORD", said["password"])
        login = ("--url", said["url"], "--username", said["username"], "--pin", said["thumbprint"])
        assert vimctl.json("about", *login)["apiVersion"] == "4.1"
        names = [row["name"] for row in vimctl.json("instance", "list", *login)]
        assert names == ["vm-0", "vm-1", "vm-2"]
        assert (tmp_path / "ds/vm-0/vm-0.vmx").exists()
        process.send_signal(number)
        assert process.stdout.read() == ""
        assert process.wait(30) == 0


@contextmanager
def running(*words: object) -> Iterator[dict[str, str]]:
    """Run the command until the block ends; give what it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "sim", *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def login(said: dict[str, str]) -> tuple[str, ...]:
    return "--url", said["url"], "--username", said["username"], "--pin", said["thumbprint"]


@pytest.mark.slow
def test_each_option_reaches_the_host(
    vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = make_certificate()
    (tmp_path / "c.pem").write_bytes(made.pem)
    (tmp_path / "k.pem").write_bytes(made.key)
    (tmp_path / "password").write_text("s3cret pass\nmore\n")
    (tmp_path / "token").write_text("t0ken\n")
    orders = [{"method": "SuspendVM_Task", "what": "fault", "fault": "InvalidState"}]
    (tmp_path / "faults.json").write_text(json.dumps(orders))
    options = {
        "listen": "127.0.0.1",
        "username": "admin",
        "password-file": tmp_path / "password",
        "certificate": tmp_path / "c.pem",
        "key": tmp_path / "k.pem",
        "control-token-file": tmp_path / "token",
        "datastore": f"fast={tmp_path / 'fast'}",
        "capacity-gb": 3,
        "state": tmp_path / "state.json",
        "seed": 7,
        "vms": 1,
        "task-ms": 1,
        "latency-ms": 1,
        "max-objects": 5,
        "session-limit": 50,
        "session-timeout": 600,
        "refusals": "call",
        "faults": tmp_path / "faults.json",
        "trace": tmp_path / "trace.jsonl",
        "local-folders": tmp_path,
        "export": f"10.0.0.9:/exports/a={tmp_path / 'nas'}",
        "call-log-limit": 1000,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    monkeypatch.setenv("VIMLIB_PASSWORD", "s3cret pass")
    with running(*words, "--datastore", "slow", "--refuse-missing-folders") as said:
        assert (said["username"], said["password"]) == ("admin", "s3cret pass")
        assert said["thumbprint"] == made.sha256
        stores = vimctl.json("ls", "ha-datacenter/datastore", *login(said))
        assert [row["path"].rpartition("/")[2] for row in stores] == ["fast", "slow"]
        store = f"Datastore:{stores[0]['obj']['value']}"
        summary = vimctl.json("get", store, "-p", "summary.capacity", *login(said))
        assert summary["props"]["summary.capacity"] == 3 << 30
        vimctl("host", "mount", "nas", "10.0.0.9", "/exports/a", *login(said))
        assert (tmp_path / "nas").is_dir()
        machine = vimctl.json("instance", "list", *login(said))[0]["moref"]
        for method, fault in (
            ("SuspendVM_Task", "InvalidState"),
            ("ResetVM_Task", "InvalidPowerState"),
        ):
            done = vimctl(
                "call", f"VirtualMachine:{machine}", method, "--json", *login(said), code=1
            )
            assert done.document["error"]["type"] == fault
        request = urllib.request.Request(
            said["url"].replace("/sdk", "/_ctl/calls"),
            data=b'{"method": "ResetVM_Task"}',
            headers={"Authorization": "Bearer t0ken"},
        )
        context = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        with urllib.request.urlopen(request, context=context) as reply:
            [call] = json.load(reply)["calls"]
        assert call["fault"] == "InvalidPowerState"
    lines = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    [reset] = [line for line in lines if line["method"] == "ResetVM_Task"]
    assert (reset["this"], reset["fault"]) == (f"VirtualMachine:{machine}", "InvalidPowerState")
    assert "s3cret" not in (tmp_path / "trace.jsonl").read_text()
    assert next(line["args"] for line in lines if line["method"] == "Login") == {
        "userName": "'admin'"
    }
    assert (tmp_path / "fast/vm-0/vm-0.vmx").exists()
    with running("--state", tmp_path / "state.json", "--datastore", options["datastore"]) as said:
        assert [row["name"] for row in vimctl.json("instance", "list", *login(said))] == ["vm-0"]


def test_options_that_do_not_fit_are_refused(vimctl: Vimctl, tmp_path: Path) -> None:
    made = make_certificate()
    (tmp_path / "c.pem").write_bytes(make_certificate().pem)
    (tmp_path / "k.pem").write_bytes(made.key)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("text")
    (tmp_path / "orders").write_text('[{"method": "x", "what": "fault", "fault": "nonesuch"}]')
    (tmp_path / "what").write_text('[{"method": "x", "what": "explode"}]')
    for words, said in (
        (("--datastore", "a=", "--vms", "1"), "NAME or NAME=FOLDER"),
        (("--datastore", "a", "--datastore", "a"), "each name once"),
        (("--datastore", "a", "--datastore-dir", tmp_path), "must not be given together"),
        (("--export", "a"), "--export must be SERVER:/PATH"),
        (("--export", "a:/b", "--export", "a:/b"), "each name once"),
        (("--certificate", tmp_path / "c.pem"), "must be given together"),
        (
            ("--certificate", tmp_path / "c.pem", "--key", tmp_path / "k.pem"),
            "must be the unencrypted key",
        ),
        (("--certificate", tmp_path / "text", "--key", tmp_path / "k.pem"), "PEM form"),
        (("--password-file", tmp_path / "empty"), "empty line"),
        (("--control-token-file", tmp_path / "absent"), "cannot read"),
        (("--faults", tmp_path / "absent"), "cannot be read"),
        (("--faults", tmp_path / "text"), "invalid order"),
        (("--faults", tmp_path / "orders"), "unknown fault: 'nonesuch'"),
        (("--faults", tmp_path / "what"), "what must be one of"),
        (("--refusals", "both"), "both"),
        (("--capacity-gb", "0"), "at least 1"),
    ):
        assert said in vimctl("sim", *words, code=2).err, words
    assert "Check the path" in vimctl("sim", "--trace", tmp_path / "no" / "trace", code=1).err


def test_invalid_options_are_refused(vimctl: Vimctl, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    vimctl("sim", "--datastore-dir", tmp_path / "file", code=2)
    vimctl("sim", "--api-version", "3.5", code=2)
    vimctl("sim", "--vms", "-1", code=2)
    vimctl("sim", "--port", "70000", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = vimctl("sim", "--port", str(taken.getsockname()[1]), code=1)
    assert "another --port" in done.err


@pytest.mark.parametrize("command", ["sim", "demo"])
def test_a_missing_extra_is_named(
    vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    done = vimctl(command, "--json", code=2)
    assert done.document["error"]["type"] == "MissingExtraError"
    assert "vimlib-esx[simulator]" in done.err


@pytest.mark.slow
def test_the_container_serves_a_host(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[3] / "Containerfile"
    [entry] = [
        line.removeprefix("ENTRYPOINT ")
        for line in recipe.read_text().splitlines()
        if line.startswith("ENTRYPOINT ")
    ]
    program, *words = json.loads(entry)
    assert program == "vimctl"
    words[words.index("--port") + 1] = "0"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert said["url"].startswith("https://0.0.0.0:")


def test_a_folder_without_an_inventory_is_refused(vimctl: Vimctl, tmp_path: Path) -> None:
    done = vimctl("sim", "--load", tmp_path, code=2)
    assert "must be a folder that `govc object.save` wrote" in done.err
