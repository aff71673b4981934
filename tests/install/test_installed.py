"""What a user gets: each distribution installed, with and without a C compiler, with and without extras."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.install.environments import PLANS, ROOT, Installation

everywhere = pytest.mark.parametrize("plan", PLANS, ids=str)


def with_extras(extras: str) -> pytest.MarkDecorator:
    """Run a test in each environment that has just these."""
    plans = [plan for plan in PLANS if plan.extras == extras]
    return pytest.mark.parametrize("plan", plans, ids=str)


@everywhere
def test_the_decoder_is_compiled_where_a_compiler_was(installed: Installation) -> None:
    found = installed.python("import vimlib.soap; print(vimlib.soap.backend)")
    assert found == installed.plan.backend


@everywhere
def test_what_is_installed_fits_together(installed: Installation) -> None:
    installed.pip("check")


@everywhere
def test_a_program_may_have_modules_of_its_own_named_driver(
    installed: Installation, tmp_path: Path
) -> None:
    module, package = tmp_path / "module", tmp_path / "package"
    (package / "driver").mkdir(parents=True)
    module.mkdir()
    (module / "driver.py").write_text("WHOSE = 'theirs'")
    (package / "driver/__init__.py").write_text("WHOSE = 'theirs'")
    for folder in (module, package):
        found = installed.python(
            "import vimdriver; from vimdriver import ESXDriver, push_images, errors;"
            "import driver; print(driver.WHOSE, ESXDriver.__module__)",
            PYTHONPATH=str(folder),
        )
        assert found == "theirs vimdriver._driver"


@with_extras("")
def test_without_extras_the_command_says_what_to_install(installed: Installation) -> None:
    done = installed.vimctl("--help", code=2)
    assert b"pip install 'vimlib-esx[cli]'" in done.stderr
    assert b"Traceback" not in done.stderr


@with_extras("cli")
def test_the_command_alone_helps(installed: Installation) -> None:
    assert b"datastore" in installed.vimctl("--help").stdout
    assert installed.vimctl("--version").stdout.strip() == installed.version.encode()


@with_extras("cli")
@pytest.mark.parametrize("command", ["sim", "demo"])
def test_what_needs_the_simulator_says_what_to_install(
    installed: Installation, command: str
) -> None:
    done = installed.vimctl(command, code=2)
    assert b"pip install 'vimlib-esx[simulator]'" in done.stderr
    assert b"Traceback" not in done.stderr


@with_extras("cli")
def test_the_command_prints_the_guest_helper_byte_for_byte(installed: Installation) -> None:
    helper = (ROOT / "guest/vimguest.py").read_bytes()
    assert installed.vimctl("guest", "helper").stdout == helper


@with_extras("cli,simulator")
def test_the_demo_pushes_spawns_and_leaves_nothing(installed: Installation) -> None:
    document = json.loads(installed.vimctl("demo", "--json").stdout)
    assert [image["verified"] for image in document["images"]] == [True] * 4
    assert len(document["instances"]) == 4
    assert document["leftovers"] == []
