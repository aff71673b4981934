"""Every hint to install something names this distribution, from one constant, and an extra that exists."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from vimlib._distribution import DISTRIBUTION, missing_extra

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = [
    path for top in ("vimlib", "driver/vimdriver") for path in (ROOT / top).rglob("*.py")
    if "vim25" not in path.parts
]  # fmt: skip


def test_the_constant_is_the_name_that_pip_knows() -> None:
    assert PROJECT["name"] == DISTRIBUTION


def test_the_error_has_the_command_that_installs_it() -> None:
    error = missing_extra("the simulator", package="cryptography", extra="simulator")
    assert isinstance(error, ImportError)
    assert (error.package, error.extra, error.outcome) == ("cryptography", "simulator", "not_sent")
    assert str(error) == (
        "the simulator needs the package cryptography."
        f" Install it with: pip install '{DISTRIBUTION}[simulator]'"
    )


def test_no_other_module_has_such_a_command() -> None:
    hints = [path for path in SOURCES if "pip install" in path.read_text()]
    assert hints == [ROOT / "vimlib/_distribution.py"]


def test_every_extra_that_is_named_exists_and_has_the_package() -> None:
    named = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "missing_extra":
                words = {word.arg: ast.literal_eval(word.value) for word in node.keywords}
                named[words["package"]] = words["extra"]
    assert set(named.values()) == {
        "cli",
        "simulator",
        "openstack",
        "codegen",
        "otel",
        "zstd",
        "configdrive",
    }
    for package, extra in named.items():
        needs = PROJECT["optional-dependencies"][extra]
        assert any(need.startswith(f"{package}>=") for need in needs), (package, extra)
