"""The public surface: what the packages export, and that nobody is sent to a private module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = (
    "vimlib", "vimlib.vim25", "vimlib.soap", "vimlib.model", "vimlib.codegen", "vimlib.simulator",
    "vimlib.simulator.pytest_plugin", "vimlib.errors", "vimlib.blocking", "vimdriver", "vimdriver.errors", "vimdriver.nova", "vimdriver.neutron",
)  # fmt: skip
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def is_private(dotted: str) -> bool:
    return any(part.startswith("_") and part != "__main__" for part in dotted.split("."))


@pytest.mark.parametrize("package", ["vimlib", "vimdriver", "vimlib.soap", "vimlib.model",
                                     "vimlib.codegen", "vimlib.simulator"])  # fmt: skip
def test_every_exported_name_exists_and_is_listed_by_dir(package: str) -> None:
    module = import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


@pytest.mark.parametrize("package", ["vimlib", "vimdriver", "vimlib.simulator"])
def test_checkers_and_the_interpreter_find_the_same_names(package: str) -> None:
    path = Path(import_module(package).__file__ or "")
    (typed,) = [
        node for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]  # fmt: skip
    imported = {
        alias.asname or alias.name for node in ast.walk(typed)
        if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    assert imported == set(import_module(package).__all__)


def test_modules_that_are_not_public_begin_with_an_underscore() -> None:
    named = set()
    for top in ("vimlib", "driver/vimdriver"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to((ROOT / top).parent).with_suffix("").parts
            dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if not is_private(dotted) and not dotted.endswith("__main__"):
                named.add(dotted)
    assert named == set(PUBLIC)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_import_public_modules_alone(page: Path) -> None:
    found = [
        line
        for block in blocks(page, page.read_text())
        for line in block.text.splitlines()
        if re.match(r"\s*(from|import)\s+(vimlib|vimdriver)\b", line)
        and re.search(r"(?<!\w)_\w", line)
    ]
    assert found == []


@pytest.mark.parametrize("package", ["vimlib", "vimdriver"])
def test_importing_a_package_imports_no_dependency(package: str) -> None:
    code = f"import sys, {package}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {"aiohttp", "msgspec", "lxml", "asyncio"} & set(done.stdout.split())


def test_an_unknown_name_is_an_attribute_error() -> None:
    for package in ("vimlib", "vimdriver"):
        module: ModuleType = import_module(package)
        with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'nothing'"):
            module.nothing  # noqa: B018
