"""The real tables, read once, and the committed files, parsed once."""

import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from wsdl import build, schema, typeinfo


@pytest.fixture(scope="session")
def tables() -> typeinfo.VmodlTables:
    """The pinned tables. Fails, saying what to install, if another pyVmomi is there."""
    return build.read_tables(build.installed_tables())


@pytest.fixture(scope="session")
def service(tables: typeinfo.VmodlTables) -> schema.Service:
    return schema.resolve(tables)


@pytest.fixture(scope="session")
def committed() -> Path:
    return build.OUT


@pytest.fixture(scope="session")
def xsd(committed: Path) -> Any:
    return etree.parse(str(committed / "vim25.xsd")).getroot()


@pytest.fixture(scope="session")
def sidecar(committed: Path) -> Any:
    return json.loads((committed / "vim25.json").read_text())
