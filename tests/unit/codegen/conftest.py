from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vimlib.codegen import generate

HERE = Path(__file__).parent


@pytest.fixture
def wsdl(tmp_path: Path) -> Path:
    """A small service of somebody else's, as two files that a test may change."""
    for name in ("thermostat.wsdl", "thermostat.xsd"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path / "thermostat.wsdl"


@pytest.fixture(scope="session")
def thermostat(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The package made from that service, imported."""
    root = tmp_path_factory.mktemp("packages")
    generate(HERE / "thermostat.wsdl", root / "thermostat_api")
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("thermostat_api")
    finally:
        sys.path.remove(str(root))
