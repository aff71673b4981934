"""The command: deterministic, checked against what is committed, loud about other tables."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wsdl import build, typeinfo


@pytest.mark.slow
def test_committed_files_are_what_it_writes(tables: typeinfo.VmodlTables, committed: Path) -> None:
    first, second = build.build(tables), build.build(tables)
    assert first == second
    assert {path.name for path in committed.iterdir()} == set(first)
    for name, text in first.items():
        assert (committed / name).read_bytes() == text.encode()


@pytest.mark.slow
def test_check_runs_as_a_script_from_anywhere(tmp_path: Path) -> None:
    """Under another hash seed than this process's, too."""
    run = subprocess.run(
        [sys.executable, str(build.HERE / "build.py"), "--check"],
        cwd=tmp_path, env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.slow
def test_check_finds_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--out", str(tmp_path), "--max-since", "2.5"]
    assert build.main([*arguments, "--check"]) == 1
    assert build.main(arguments) == 0
    assert build.main([*arguments, "--check"]) == 0
    capsys.readouterr()
    with (tmp_path / "vim25.xsd").open("a") as file:
        file.write(" ")
    before = (tmp_path / "vim25.xsd").read_bytes()
    assert build.main([*arguments, "--check"]) == 1
    assert (tmp_path / "vim25.xsd").read_bytes() == before
    message = capsys.readouterr().err
    assert "vim25.xsd" in message
    assert "vim25.json" not in message


def test_other_tables_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = build.installed_tables()
    for name in typeinfo.FILES:
        shutil.copyfile(source / name, tmp_path / name)
    with (tmp_path / "_typeinfo_vim.py").open("a") as file:
        file.write("\n")
    out = tmp_path / "out"
    assert build.main(["--typeinfo", str(tmp_path), "--out", str(out)]) == 1
    assert not out.exists()
    assert "pip install pyvmomi==9.1.1.0" in capsys.readouterr().err


def test_missing_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(build.InputError):
        build.read_tables(tmp_path)


def test_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(build.InputError):
        build.installed_tables()


@pytest.mark.slow
def test_unknown_release_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--max-since", "4.2"]) == 1
    assert "4.1" in capsys.readouterr().err


@pytest.mark.slow
def test_pyvmomi_is_not_imported() -> None:
    code = "import sys, wsdl.build as b; b.read_tables(b.installed_tables()); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=build.HERE.parent, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "wsdl.typeinfo" in run.stdout.split()
    assert not [
        name for name in run.stdout.split() if name.lower().startswith(("pyvmomi", "vmware"))
    ]
