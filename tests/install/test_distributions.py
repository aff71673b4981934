"""What is in the sdist and in the wheel."""

from __future__ import annotations

import email.message
import email.parser
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest

from tests.install.environments import ROOT, Distributions, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wheel_files(built: Distributions) -> dict[str, bytes]:
    with zipfile.ZipFile(built.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(built: Distributions) -> email.message.Message:
    (text,) = [data for name, data in wheel_files(built).items() if name.endswith("/METADATA")]
    return email.parser.BytesParser().parsebytes(text)


def test_the_sdist_has_every_file_of_the_repository_and_no_other(built: Distributions) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    wanted = {name for name in listed.stdout.decode().split("\0") if (ROOT / name).is_file()}
    with tarfile.open(built.sdist) as archive:
        found = {item.name.partition("/")[2] for item in archive if item.isfile()}
    made = {"PKG-INFO", "setup.cfg"} | {
        name for name in found if name.startswith("vimlib_esx.egg-info/")
    }
    assert found - made == wanted
    assert {"vimlib/soap/_accel.pyx", "vimlib/soap/_accel.pyi", "guest/vimguest.py"} < found


def test_the_wheel_has_vimlib_and_vimdriver_alone(built: Distributions) -> None:
    names = set(wheel_files(built))
    tops = {name.split("/")[0].split("-")[0] for name in names}
    assert tops == {"vimlib", "vimlib_esx", "vimdriver"}
    expected = {
        str(path.relative_to(base))
        for base, package in ((ROOT, "vimlib"), (ROOT / "driver", "vimdriver"))
        for pattern in ("*.py", "*.pyi", "py.typed")
        for path in (base / package).rglob(pattern)
    }
    helper = "vimdriver/_data/vimguest.py"
    (compiled,) = [name for name in names if name.endswith((".so", ".pyd"))]
    assert re.fullmatch(r"vimlib/soap/_accel\.[\w-]+\.so", compiled)
    inside = {name for name in names if ".dist-info/" not in name}
    # So neither _accel.pyx nor the C that Cython made of it.
    assert inside == expected | {helper, compiled}


def test_the_wheel_has_the_guest_helper_byte_for_byte(built: Distributions) -> None:
    shipped = wheel_files(built)["vimdriver/_data/vimguest.py"]
    assert shipped == (ROOT / "guest/vimguest.py").read_bytes()


def test_the_wheel_brings_the_command_and_the_pytest_plugin(built: Distributions) -> None:
    files = wheel_files(built)
    (text,) = [data.decode() for name, data in files.items() if name.endswith("entry_points.txt")]
    assert "vimctl = vimdriver._cli:main" in text
    assert "vimlib = vimlib.simulator.pytest_plugin" in text


def test_the_metadata_says_where_the_project_is(built: Distributions) -> None:
    found = metadata(built)
    assert found["Name"] == "vimlib-esx"
    assert found["Requires-Python"] == PROJECT["requires-python"]
    urls = dict(line.split(", ") for line in found.get_all("Project-URL", []))
    assert urls == PROJECT["urls"]
    assert {url.split("/")[2] for url in urls.values()} == {"github.com"}
    assert set(found.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_the_links_of_the_readme_work_outside_the_repository(built: Distributions) -> None:
    found = metadata(built)
    assert found["Description-Content-Type"] == "text/markdown"
    page = found.get_payload()
    assert isinstance(page, str)
    base = f"{PROJECT['urls']['Repository']}/blob/main/"
    links = re.findall(r"\]\(([^)\s]+)", page)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    ours = [link.removeprefix(base).partition("#")[0] for link in links if link.startswith(base)]
    assert "docs/index.md" in ours
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_an_index_would_take_both(built: Distributions) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", built.sdist, built.wheel, cwd=ROOT)


def test_cibuildwheel_builds_for_manylinux_and_musllinux() -> None:
    tool = (sys.executable, "-m", "cibuildwheel")
    argv = ("--print-build-identifiers", "--platform", "linux", "--archs", "x86_64,aarch64")
    found = run(*tool, *argv, ROOT, cwd=ROOT).stdout.decode().split()
    versions = ("cp311", "cp312", "cp313", "cp314")
    assert set(found) == {
        f"{version}-{libc}_{arch}" for version in versions
        for libc in ("manylinux", "musllinux") for arch in ("x86_64", "aarch64")
    }  # fmt: skip
