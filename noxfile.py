# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""Everything that is run over this repository, here and in CI: `nox -s NAME`; `nox -l` lists them.

Words after `--` go to the tool of the session: `nox -s unit -- -k soap`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
# Where peers, caches and results lie; never committed.
CACHE = ROOT / ".nox"

# Tools whose new releases bring new rules are pinned, so that a check that passed passes again.
RUFF = "ruff==0.17.6"
MYPY = "mypy==2.4.1"
# What the generator reads its type facts from; no part of any environment that runs vimlib.
PYVMOMI = "pyvmomi==9.1.1.0"
OSLO_VMWARE = "oslo.vmware==4.10.1"
# The clients that meet the same faults as ours.
DIFFERENTIAL_PEERS = (PYVMOMI, OSLO_VMWARE)
# The clients that the bench measures against.
BENCH_PEERS = (
    PYVMOMI,
    "zeep==4.3.3",
    OSLO_VMWARE,
    "oslo.service[threading]==4.8.0",  # the backend with which oslo.vmware's calls suit threads
)

# Other people's clients have a session of their own.
FOREIGN = "tests/integration/foreign"
OLD_GLANCE = "tests/integration/old_glance"
PEERS = ("tests/integration", f"--ignore={FOREIGN}", f"--ignore={OLD_GLANCE}")

GENERATED = ROOT / "vimlib" / "vim25"


@nox.session
def demo(session: nox.Session) -> None:
    """Simulated host and image service, four images pushed at once, four machines spawned."""
    session.install("-e", ".[cli,simulator]")
    session.run("vimctl", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests; those whose tool is missing are skipped and listed, or fail where CI is set."""
    session.install("-e", ".[all,test,docs]")
    # A file stays in one process, since its tests may share what is dear to make.
    parallel = ("-n", "auto", "--dist", "loadfile")
    chosen = ("--ignore=tests/integration", "-m", "not torture and not boot")
    session.run("pytest", *parallel, *chosen, *session.posargs)
    session.run("pytest", *PEERS, *session.posargs, env=peer_environment())


@nox.session
def unit(session: nox.Session) -> None:
    """The fast tests: no service, nothing slow."""
    session.install("-e", ".[all,test]")
    session.run(
        "pytest",
        "--ignore=tests/integration",
        "-m",
        "not slow and not torture and not boot",
        *session.posargs,
    )


@nox.session
def integration(session: nox.Session) -> None:
    """The tests against vcsim, Glance, Keystone, nginx, qemu-img and Chromium alone."""
    session.install("-e", ".[all,test,docs]")
    session.run("pytest", *PEERS, *session.posargs, env=peer_environment())


@nox.session
def foreign(session: nox.Session) -> None:
    """Other people's clients on the simulated host; `-- --write` writes docs/appendix/clients.md."""
    session.install("-e", ".[all,test]")
    if "--write" in session.posargs:
        page = "tests.integration.foreign.govc_page"
        session.run("python", "-m", page, *session.posargs, env=peer_environment())
    else:
        session.run("pytest", FOREIGN, *session.posargs, env=peer_environment())


@nox.session
def foreign_releases(session: nox.Session) -> None:
    """The same clients on every release of the host."""
    session.install("-e", ".[all,test]")
    environment = peer_environment() | {"VIMLIB_FOREIGN_RELEASES": "4.0 4.1 5.5 6.7 7.0 8.0 9.0"}
    session.run("pytest", FOREIGN, *session.posargs, env=environment)


@nox.session
def glance_v1(session: nox.Session) -> None:
    """The v1 source against a real Glance 15; skipped without Python 3.6, on which that runs."""
    pyenv = sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))
    python = shutil.which("python3.6") or next(map(str, pyenv), None)
    if python is None:
        session.skip("Glance 15 needs Python 3.6: pyenv install 3.6.15")
    session.install("-e", ".[all,test]")
    environment = peer_environment() | {"VIMLIB_PYTHON36": python}
    session.run("pytest", OLD_GLANCE, *session.posargs, env=environment)


@nox.session
def torture(session: nox.Session) -> None:
    """Cancel and fail every await and every call of what makes things on a host; takes an hour."""
    session.install("-e", ".[all,test]")
    session.run("pytest", "--ignore=tests/integration", "-m", "torture", *session.posargs)


@nox.session
def nova_ci(session: nox.Session) -> None:
    """Nova's and Neutron's own tests over vimdriver.nova and vimdriver.neutron; `-- LEVEL... PATTERN...`."""
    session.install("-e", ".[cli,simulator]", "trustme")
    session.run("python", "-m", "tests.nova", *session.posargs, env=peer_environment())


@nox.session
def nova_lts(session: nox.Session) -> None:
    """Nova's tests of a compute driver on the release with long support; its fixtures of services need 34."""
    session.install("-e", ".[cli,simulator]", "trustme")
    environment = peer_environment() | {"VIMLIB_NOVA_RELEASE": "33.0.2"}
    session.run("python", "-m", "tests.nova", "virt_driver", *session.posargs, env=environment)


@nox.session
def nova(session: nox.Session) -> None:
    """A whole OpenStack of real processes, with servers on a simulated host; `-- PART...`, `-- --help`."""
    session.install("-e", ".[cli,simulator]", "trustme")
    session.run("python", "-m", "tests.nova.life", *session.posargs, env=peer_environment())


@nox.session
def install(session: nox.Session) -> None:
    """Build sdist and wheel, install both with and without a C compiler, and use what is there."""
    session.install("build", "cibuildwheel", "pip", "pytest", "twine")
    session.run("pytest", "tests/install", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """A million mutated replies, compiled decoder against the pure one, under sanitizers."""
    session.install("-e", ".[test]", "cython")
    session.run("python", "-m", "tests.fuzz.codec", "--sanitize", *session.posargs)


@nox.session
def guest(session: nox.Session) -> None:
    """Boot a Debian with the guest helper's units in every kind of network; needs root."""
    session.install("-e", ".[all,test]")
    session.run("pytest", "tests/guest", "-m", "boot", *session.posargs, env=peer_environment())


@nox.session
def guest_second(session: nox.Session) -> None:
    """The same on the Debian release before it."""
    session.install("-e", ".[all,test]")
    environment = peer_environment() | {"VIMGUEST_SUITE": "bookworm"}
    session.run("pytest", "tests/guest", "-m", "boot", *session.posargs, env=environment)


@nox.session
def attacks(session: nox.Session) -> None:
    """Lies, endless waits, harm to others, secrets, two processes at once: 10,000 cases of each; `-- KIND --cases N`."""
    session.install("-e", ".[all,test]")
    session.run("python", "-m", "tests.attacks", *session.posargs)


@nox.session
def fuzz_client(session: nox.Session) -> None:
    """A hundred thousand flows of the client and the driver, one reply of each changed."""
    session.install("-e", ".[all,test]")
    session.run("python", "-m", "tests.fuzz.client", *session.posargs)


@nox.session
def fuzz_images(session: nox.Session) -> None:
    """A million mutated disk images through the stages, compared with qemu-img where they are read."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.fuzz.images", *session.posargs)


@nox.session
def fuzz_requests(session: nox.Session) -> None:
    """A hundred thousand requests that no client means, to the simulated host."""
    session.install("-e", ".[all,test]")
    session.run("python", "-m", "tests.fuzz.requests", *session.posargs)


@nox.session
def fuzz_guest(session: nox.Session) -> None:
    """A million mutated records for the guest helper."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.fuzz.guest", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """The fast tests with the oldest dependencies that pyproject.toml allows, extras included."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"].values()
    needs = [*project["dependencies"], *(need for extra in extras for need in extra)]
    # A constraint must not name extras.
    plain = {re.sub(r"\[.*?\]", "", need) for need in needs if ">=" in need}
    oldest = sorted(need.replace(">=", "==") for need in plain)
    constraints = Path(session.create_tmp(), "oldest.txt")
    constraints.write_text("\n".join(oldest))
    session.install("-e", ".[all,test]", "-c", str(constraints))
    session.run(
        "pytest",
        "--ignore=tests/integration",
        "-m",
        "not slow and not torture and not boot",
        *session.posargs,
    )


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of the fast tests, with the lines that they miss."""
    session.install("-e", ".[all,test]")
    data = {"COVERAGE_FILE": str(CACHE / "coverage")}
    words = ("--ignore=tests/integration", "-m", "not torture and not boot")
    pytest = ("pytest", *words, *session.posargs)
    session.run("coverage", "run", "-m", *pytest, env=data)
    session.run("coverage", "report", env=data)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style with ruff; `-- --fix` mends what it can and formats."""
    session.install(RUFF)
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--diff"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strict; the generated package when its content is a new one."""
    session.install("-e", ".[all,test]", MYPY, "nox")
    cache = f"--cache-dir={CACHE / 'mypy'}"
    session.run("mypy", cache, *session.posargs)
    stamp = CACHE / "vim25-types"
    content = f"{MYPY} {digest(GENERATED)}"
    if stamp.exists() and stamp.read_text() == content:
        session.log("vimlib/vim25 is as it was when it was checked last")
        return
    # A configuration of its own: the project's is quiet about this package, and this one about
    # all others.
    strict = Path(session.create_tmp(), "vim25.ini")
    strict.write_text("[mypy]\nstrict = true\nfollow_imports = silent\n")
    session.run("mypy", f"--config-file={strict}", f"{cache}-vim25", "-p", "vimlib.vim25")
    stamp.write_text(content)


@nox.session
def generate(session: nox.Session) -> None:
    """Make wsdl/vim25 and vimlib/vim25 anew; `-- --check` fails when they are stale."""
    session.install("-e", ".[codegen]", PYVMOMI)
    session.run("python", "wsdl/build.py", *session.posargs)
    session.run("python", "-m", "vimlib.codegen", "--builtin", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against peers on this machine, in one run; `-- NAME...`, `-- --quick`, `-- --json FILE`."""
    session.install("-e", ".[all]", "trustme", *BENCH_PEERS)
    session.run("python", "-m", "bench", *session.posargs, env=peer_environment())


@nox.session
def differential(session: nox.Session) -> None:
    """Break the same things for vimlib, pyVmomi and oslo.vmware; `-- --write` writes docs/appendix/differential.md."""
    session.install("-e", ".[simulator]", "trustme", *DIFFERENTIAL_PEERS)
    session.run("python", "-m", "tests.differential", *session.posargs, env=peer_environment())


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, run its examples, look at its pages in Chromium."""
    session.install("-e", ".[all,test,docs]")
    session.run("mkdocs", "build", "--strict")
    session.run("pytest", "tests/docs", "tests/integration/test_site.py", *session.posargs)


def peer_environment() -> dict[str, str]:
    """Keep built peers in one place for all sessions."""
    return {"VIMLIB_PEER_CACHE": os.environ.get("VIMLIB_PEER_CACHE", str(CACHE / "peers"))}


def digest(folder: Path) -> str:
    """Return a hash of the Python files below a folder, and of the Python that reads them."""
    content = hashlib.sha256(sys.version.encode())
    for path in sorted(folder.rglob("*.py")):
        content.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return content.hexdigest()


if __name__ == "__main__":
    nox.main()
