from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

from vimlib.soap import backend

BUILT = find_spec("vimlib.soap._accel") is not None


def imported(
    wanted: str | None, code: str = "print(vimlib.soap.backend)"
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "VIMLIB_SOAP_BACKEND"}
    if wanted is not None:
        environment["VIMLIB_SOAP_BACKEND"] = wanted
    command = [sys.executable, "-c", f"import vimlib.soap; {code}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_pure_one_can_be_forced() -> None:
    assert imported("pure").stdout == "pure\n"


def test_the_pure_one_does_not_load_the_other() -> None:
    code = "import sys; print('vimlib.soap._accel' in sys.modules)"
    assert imported("pure", code).stdout == "False\n"


def test_without_a_word_the_best_that_is_built() -> None:
    run = imported(None)
    best = "accelerated" if BUILT and not run.stderr else "pure"
    assert run.stdout == f"{best}\n"


def test_what_is_not_built_cannot_be_forced() -> None:
    run = imported("accelerated")
    if BUILT and run.returncode == 0:
        assert run.stdout == "accelerated\n"
    else:
        assert (
            "UsageError: VIMLIB_SOAP_BACKEND=accelerated requires the compiled decoder"
            in run.stderr
        )


def test_an_unknown_word() -> None:
    run = imported("fast")
    assert run.returncode == 1
    assert (
        "UsageError: VIMLIB_SOAP_BACKEND must be 'pure' or 'accelerated', got 'fast'" in run.stderr
    )


def test_a_library_of_another_revision_is_not_used() -> None:
    code = (
        "import sys, types; stale = types.ModuleType('vimlib.soap._accel'); stale.REVISION = -1;"
        "sys.modules['vimlib.soap._accel'] = stale; import vimlib.soap; print(vimlib.soap.backend)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "VIMLIB_SOAP_BACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.stdout == "pure\n"
    assert "install vimlib again" in run.stderr


def test_the_name() -> None:
    assert backend in ("pure", "accelerated")
