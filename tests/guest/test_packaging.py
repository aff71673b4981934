"""The helper as one file: what it needs, its zipapp, and the oldest Python."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest

from .test_records import BAD_BYTES, BAD_DOCUMENTS, BAD_NICS, BAD_RECORDS, GOOD, record
from .tree import FULL, HELPER, NOVA2, OLDEST, Guest

SOURCE = HELPER.read_text()
README = HELPER.with_name("README.md").read_text()

# What the standard library has had since 3.7 and later, and this kind of program reaches for.
NEWER = {
    ("subprocess", "DETACHED_PROCESS"),
    ("contextlib", "nullcontext"),
    ("time", "monotonic_ns"),
    ("time", "time_ns"),
    ("shlex", "join"),
    ("math", "prod"),
    ("os", "waitstatus_to_exitcode"),
    ("os", "pidfd_open"),
    ("os", "memfd_create"),
    ("ipaddress", "IPv6Address.scope_id"),
    ("functools", "cache"),
    ("functools", "cached_property"),
    ("re", "NOFLAG"),
    ("re", "Pattern"),
    ("typing", "Final"),
    ("typing", "Literal"),
    ("typing", "Protocol"),
    ("typing", "TypedDict"),
    ("typing", "OrderedDict"),
    ("typing", "final"),
    ("typing", "get_args"),
}
NEWER_METHODS = {"removeprefix", "removesuffix", "isascii", "readlink", "is_relative_to"}
NEWER_ARGUMENTS = {"capture_output", "text", "missing_ok", "strict", "dirs_exist_ok", "mtime"}
NEWER_MODULES = {"dataclasses", "contextvars", "graphlib", "tomllib", "zoneinfo"}


def test_it_imports_the_standard_library_alone() -> None:
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names - NEWER_MODULES


def test_it_is_of_python_3_6() -> None:
    """A check of syntax and library, for machines that have no Python 3.6 to run it on."""
    for node in ast.walk(ast.parse(SOURCE, feature_version=(3, 6))):
        assert not isinstance(node, ast.NamedExpr | ast.Match)
        if isinstance(node, ast.Attribute):
            module = node.value.id if isinstance(node.value, ast.Name) else ""
            assert module == "os" or node.attr not in NEWER_METHODS, node.lineno
            assert (module, node.attr) not in NEWER, node.lineno
        if isinstance(node, ast.ImportFrom):
            assert not {(node.module, alias.name) for alias in node.names} & NEWER
            assert node.module != "__future__"
        if isinstance(node, ast.Call):
            assert not {word.arg for word in node.keywords} & NEWER_ARGUMENTS, node.lineno
        if isinstance(node, ast.arguments):
            assert not node.posonlyargs


CORPUS: list[str] = [
    *(text for text, _, _ in GOOD),
    *(record(**fields) for fields in BAD_NICS),
    *BAD_RECORDS,
    *("v1:" + json.dumps(document) for document in BAD_DOCUMENTS),
    *(text for text in BAD_BYTES if "\ud800" not in text),
    *(FULL[:at] for at in range(0, len(FULL), 7)),
    *(NOVA2[:at] + "\u00e9" + NOVA2[at:] for at in range(0, len(NOVA2), 5)),
]
READ = """
import json, sys
sys.path.insert(0, sys.argv[1])
import vimguest
found = []
for text in json.loads(sys.stdin.buffer.read().decode("utf-8")):
    try:
        form, config = vimguest.parse(text)
    except vimguest.RefusedError as error:
        found.append(type(error).__name__)
    else:
        found.append([form, config.hostname, [vimguest.to_document(nic) for nic in config.nics]])
print(json.dumps(found))
"""


def read_here(text: str) -> Any:
    try:
        form, config = vimguest.parse(text)
    except vimguest.RefusedError as error:
        return type(error).__name__
    return [form, config.hostname, [vimguest.to_document(nic) for nic in config.nics]]


@pytest.mark.slow
@pytest.mark.skipif(OLDEST is None, reason="no Python 3.6 on this machine")
def test_python_3_6_reads_every_record_alike() -> None:
    assert OLDEST is not None
    ran = subprocess.run(
        [OLDEST, "-W", "error", "-c", READ, str(HELPER.parent)],
        input=json.dumps(CORPUS).encode(),
        capture_output=True,
        check=True,
        timeout=100,
    )
    assert json.loads(ran.stdout) == [read_here(text) for text in CORPUS]


def documented(start: str) -> str:
    """The command of README.md that starts so."""
    found = re.search(rf"^{re.escape(start)}.*(?:\\\n.*)*", README, re.MULTILINE)
    assert found, start
    return found.group().replace("\\\n", " ")


@pytest.mark.slow
def test_zipapp_as_documented(guest: Guest, tmp_path: Path) -> None:
    script = "\n".join(
        ["set -e", documented("mkdir "), documented("cp "), documented("python3 -m zipapp")]
    ).replace("python3 ", f"{sys.executable} ", 1)
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(
        ["sh", "-c", f"ln -s {HELPER.parent} guest\n{script}"],
        cwd=work,
        check=True,
        timeout=100,
    )
    made = work / "vimguest.pyz"
    assert zipapp.get_interpreter(made) == "/usr/bin/env python3"
    guest.says(NOVA2)
    argv = [guest.python or sys.executable, str(made), "--root", str(guest.root)]
    argv += ["--backend", "networkd", "--check"]
    environment = {"PATH": f"{guest.bin}:/usr/bin:/bin"}
    ran = subprocess.run(argv, env=environment, check=False, timeout=100, capture_output=True)
    # What main returns has to come out of the archive as the exit code.
    assert ran.returncode == 1, ran


def test_examples_of_the_readme_are_read() -> None:
    examples = re.findall(r"^```text\n(.*?)```", README, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 4
    forms = [vimguest.parse("".join(example.splitlines()))[0] for example in examples]
    assert set(forms) == {"nova", "original", "labmanager", "v1"}


def vimguest_options() -> list[str]:
    """Every option of the command line but --help and --version."""
    found = re.findall(r"add_argument\(\s*\"(--[a-z-]+)\"", SOURCE)
    return [option for option in found if option != "--version"]


def test_readme_names_every_option_and_exit_code() -> None:
    for word in vimguest_options():
        assert f"`{word}" in README
    assert len(vimguest_options()) == 9
    for code in range(6):
        assert f"| {code} |" in README
    for limit in (vimguest.MAX_RECORD // 1024, vimguest.MAX_JSON // 1024):
        assert f"{limit} KiB" in README


def test_the_unit_runs_before_the_network() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    text = HELPER.with_name("vimguest.service").read_text()
    # What is said of the shutdown is another matter.
    unit.read_string(text.replace("\nBefore=shutdown.target", ""))
    services = {"systemd-networkd.service", "NetworkManager.service", "networking.service"}
    assert set(unit["Unit"]["Before"].split()) == {"network-pre.target", *services}
    assert unit["Unit"]["Wants"] == "network-pre.target"
    # Else it would wait for the targets that wait for the network.
    assert unit["Unit"]["DefaultDependencies"] == "no"
    assert unit["Service"]["Type"] == "oneshot"
    # A network that waits for the unit does not wait for ever.
    assert int(unit["Service"]["TimeoutStartSec"]) < 300


def test_the_unit_runs_where_the_readme_puts_the_helper() -> None:
    unit = HELPER.with_name("vimguest.service").read_text()
    (program,) = re.findall(r"^ExecStart=(\S+) \$VIMGUEST_OPTIONS$", unit, re.MULTILINE)
    assert program in README
