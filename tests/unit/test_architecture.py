"""The floors of the house: who may import whom, read from the source itself.

Every import counts, at the top of a module, in a function or under TYPE_CHECKING. A floor may
import what stands on it or below it; no arrow runs up. `FLOORS` is the table; a private
module of `vimlib/` without a line there is a helper of the client.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up. A name stands for the module or package and all that is in it; the longest
# one that fits decides.
FLOORS = {
    "vimlib.errors": -2,
    "vimlib._arguments": -2,
    "vimlib._distribution": -2,
    "vimlib._secret": -2,
    "vimlib._text": -2,
    "vimlib._repr": -2,
    "vimlib._lazy": -2,
    "vimlib._progress": -2,
    "vimlib._shield": -2,
    "vimlib.blocking": -1,
    "vimlib.model": -1,
    "vimlib.vim25": 0,
    "vimlib.soap": 1,
    "vimlib._transport": 2,
    "vimlib._tls": 2,
    "vimlib._session": 3,
    "vimlib._": 4,  # the helpers
    "vimlib._otel": 5,
    "vimlib._client": 5,
    # The lazy exports: whoever asks `vimlib` itself for a name may get the client.
    "vimlib": 5,
    "vimdriver": 6,
    "vimdriver._cli": 7,
    "vimdriver.nova": 8,
    "vimdriver.neutron": 8,
}

# Beside the floors: what each may import of ours, and who may import it.
BESIDE = {
    "vimlib.simulator": {"vimlib.soap", "vimlib.vim25", "vimlib.model", "vimlib.errors",
                         "vimlib._secret", "vimlib._text", "vimlib._repr", "vimlib._distribution",
                         "vimlib._lazy"},
    "vimlib.codegen": {"vimlib.soap", "vimlib.model", "vimlib.errors", "vimlib._text",
                       "vimlib._distribution"},
    "wsdl": set(),
    "guest": set(),
}  # fmt: skip
MAY_USE_BESIDE = {
    "vimlib.simulator": {"vimdriver._cli"},
    "vimlib.codegen": {"vimdriver._cli"},
    "wsdl": set(),
    "guest": {"vimdriver._cli"},
}

# What must not do I/O cannot import what does it.
NO_IO = ("vimlib.errors", "vimlib._secret", "vimlib._text", "vimlib.model", "vimlib.vim25", "vimlib.soap",
         "vimlib._session.policy")  # fmt: skip
IO_MODULES = {
    "asyncio", "socket", "ssl", "aiohttp", "http", "urllib.request", "select", "selectors",
    "socketserver", "subprocess", "threading", "concurrent", "multiprocessing", "requests",
}  # fmt: skip
# Within vimlib, these stay behind floor 2's one method.
WIRE_MODULES = {"socket", "ssl", "aiohttp", "http", "urllib.request"}
WIRE_ROOMS = ("vimlib._transport", "vimlib._tls", "vimlib.simulator")

# Each thing from outside has its rooms, so that an extra is needed only where it says.
OUTSIDE = {
    "msgspec": ("vimlib", "vimdriver"),
    "aiohappyeyeballs": ("vimlib._transport",),
    "aiohttp": ("vimlib", "vimdriver"),
    "yarl": ("vimlib", "vimdriver"),  # aiohttp's URLs
    # Hostile XML is read in few places.
    "lxml": ("vimlib.simulator", "vimlib.codegen", "vimdriver._images.ovf"),
    "cyclopts": ("vimdriver._cli",),
    "rich": ("vimdriver._cli",),
    "cryptography": ("vimlib.simulator",),
    "pytest": ("vimlib.simulator.pytest_plugin",),
    "pytest_asyncio": ("vimlib.simulator.pytest_plugin",),
    "pycdlib": ("vimdriver",),
    "keystoneauth1": ("vimdriver",),
    "openstack": ("vimdriver",),
    "zeep": ("vimlib.codegen",),
    "isal": ("vimdriver._images.formats",),
    "compression": ("vimdriver._images.formats",),  # of Python 3.14
    "backports": ("vimdriver._images.formats",),  # Zstandard
    "opentelemetry": ("vimlib", "vimdriver"),
    "nova": ("vimdriver.nova",),
    "os_traits": ("vimdriver.nova",),
    "oslo_config": ("vimdriver.nova", "vimdriver.neutron"),
    "neutron_lib": ("vimdriver.neutron",),
}

# The simulator's packages from the ground up: each may import those before it.
SIMULATOR = ("_core", "_data", "_service", "_properties", "_host", "_storage", "_vm", "_guest",
             "_managers", "_protocol")  # fmt: skip

# Packages whose tests are in the folder of another: the simulator is tested through its calls.
TESTED_WITH = {f"vimlib.simulator.{name}": "vimlib.simulator" for name in SIMULATOR}
# Folders below tests/unit that belong to a module of vimlib or to a subject, not to a package.
OTHER_TEST_FOLDERS = {"bench", "client", "faults", "nfc", "tls"}

# Class names that two modules share. The simulator names the same objects of a host as its clients,
# and the guest helper, which imports nothing of ours, the same parts of a record as the driver.
SHARED_NAMES = {
    "simulator": {
        "Credentials",
        "Datastore",
        "Lease",
        "Network",
        "PortGroup",
        "Session",
        "Snapshot",
    },
    "guest": {"Bound", "Change", "Host", "Route", "Run"},
    "type checkers": {"DataObject"},  # a base for them, and the one at run time
}

# Generated; and one file on purpose, to be copied into a guest.
MAY_BE_LONG = ("vimlib.vim25", "guest.vimguest")


@dataclass(frozen=True)
class Import:
    """One import statement's target, and where it stands."""

    importer: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def inside(name: str, rooms: tuple[str, ...] | set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def room_of(name: str) -> str | None:
    """Return the line of FLOORS or BESIDE that a module falls under."""
    rooms = [room for room in (*FLOORS, *BESIDE) if inside(name, (room,))]
    room = max(rooms, key=len, default=None)
    return "vimlib._" if room == "vimlib" and name.startswith("vimlib._") else room


@cache
def sources() -> dict[str, Path]:
    """Return our modules by dotted name."""
    found = {}
    for top in ("vimlib", "driver/vimdriver", "guest", "wsdl"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to((ROOT / top).parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def absolute(node: ast.ImportFrom, importer: str, is_package: bool) -> str:
    """Return the module that a `from` statement names, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = importer.split(".")
    if not is_package:
        package = package[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports_in(tree: ast.AST, importer: str, is_package: bool) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, importer, is_package)
            for alias in node.names:
                deeper = f"{module}.{alias.name}"
                yield Import(importer, deeper if deeper in sources() else module, node.lineno)


@cache
def all_imports() -> list[Import]:
    found: list[Import] = []
    for name, path in sources().items():
        tree = ast.parse(path.read_bytes(), str(path))
        found += imports_in(tree, name, path.name == "__init__.py")
    return found


def is_ours(target: str) -> bool:
    return inside(target, ("vimlib", "vimdriver", "guest", "wsdl", "tests"))


def complaint_about(found: Import) -> str | None:
    """Return what is wrong with an import of one of our modules by another, None if nothing is."""
    source, target = room_of(found.importer), room_of(found.target)
    if source is None or target is None:
        return f"{found}: not on any floor"
    if source == target:
        return None
    if source in BESIDE:
        if target in BESIDE[source]:
            return None
        return f"{found}: {source} stands beside and may use {sorted(BESIDE[source])} alone"
    if target in BESIDE:
        if inside(found.importer, MAY_USE_BESIDE[target]):
            return None
        return f"{found}: only {sorted(MAY_USE_BESIDE[target])} may use {target}"
    if FLOORS[target] > FLOORS[source]:
        return f"{found}: floor {FLOORS[source]} may not use floor {FLOORS[target]}"
    if source == "vimlib.soap" and target == "vimlib.vim25":
        return f"{found}: the codec gets its tables with the method"
    return None


def test_no_arrow_runs_up() -> None:
    wrong = [
        complaint
        for found in all_imports()
        # The exports of `vimlib` name what is above and beside; another test keeps them lazy.
        if is_ours(found.target) and found.importer != "vimlib"
        if (complaint := complaint_about(found))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("vimlib._session.login", "vimlib._transport", True),
        ("vimlib._transport.http", "vimlib._session", False),
        ("vimlib.soap._decode", "vimlib.vim25", False),
        ("vimlib.soap._decode", "vimlib.model", True),
        ("vimlib._tasks", "vimlib._client", False),
        ("vimlib._tasks", "vimlib", False),
        ("vimlib._tasks", "vimlib._collector", True),
        ("vimlib.model", "vimlib.errors", True),
        ("vimlib.errors", "vimlib.model", False),
        ("vimlib._client", "vimdriver", False),
        ("vimdriver._instances.spawn", "vimlib", True),
        ("vimdriver._instances.spawn", "vimdriver._cli", False),
        ("vimdriver._instances.spawn", "vimlib.simulator", False),
        ("vimdriver._cli.demo", "vimlib.simulator", True),
        ("vimlib.simulator.host", "vimlib.vim25._vm", True),
        ("vimlib.simulator.host", "vimlib._transport", False),
        ("wsdl.build", "vimlib.model", False),
        ("vimlib._newcomer", "vimlib._session", True),
        ("vimlib._newcomer", "vimlib._client", False),
        ("vimlib._session.login", "vimlib._newcomer", False),
        ("vimlib.simulator.host", "vimlib._newcomer", False),
    ],
)
def test_the_rule_itself(importer: str, target: str, allowed: bool) -> None:
    assert (complaint_about(Import(importer, target, 1)) is None) == allowed


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import top
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from vimlib import soap
def function():
    from . import sibling
    from .._transport import something
"""
    found = {i.target for i in imports_in(ast.parse(source), "vimlib._session.login", False)}
    assert found == {"top", "typing", "vimlib.soap", "vimlib._session", "vimlib._transport"}


def circles(arrows: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of modules that import each other in a loop."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in arrows.get(todo.pop(), set()) - seen:
                seen.add(target)
                todo.append(target)
        reached[start] = seen
    return {
        frozenset(other for other in seen if start in reached.get(other, ()))
        for start, seen in reached.items()
        if start in seen
    }


def test_circles_are_found() -> None:
    arrows = {"a": {"b", "x"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "x": set(), "y": {"y"}}
    assert circles(arrows) == {frozenset("abc"), frozenset("y")}


def test_no_module_imports_itself_through_others() -> None:
    arrows: dict[str, set[str]] = {}
    for found in all_imports():
        # The exports of `vimlib` name what imports it; `vim25` is generated.
        if found.importer != "vimlib" and not inside(found.importer, ("vimlib.vim25",)):
            arrows.setdefault(found.importer, set()).add(found.target)
    assert circles(arrows) == set()


def test_the_simulators_packages_stand_on_each_other() -> None:
    wrong = []
    for found in all_imports():
        both = [name.removeprefix("vimlib.simulator.").split(".")[0]
                for name in (found.importer, found.target)
                if inside(name, ("vimlib.simulator",))]  # fmt: skip
        below = SIMULATOR[: SIMULATOR.index(both[0]) + 1] if both and both[0] in SIMULATOR else ()
        if len(both) == 2 and below and both[1] not in below:
            wrong.append(str(found))
    assert wrong == []


def folder_of_tests(package: str) -> str:
    """Return the folder below tests/unit for a package: `vimdriver._images` has `driver/images`."""
    top, *rest = TESTED_WITH.get(package, package).split(".")
    parts = [name.removeprefix("_") for name in rest]
    if top == "vimlib":
        return "/".join(parts) or "."
    return "/".join(parts if parts[:1] == ["cli"] else [top.removeprefix("vim"), *parts])


def test_each_package_has_its_test_folder() -> None:
    unit = ROOT / "tests/unit"
    packages = [name for name, path in sources().items()
                if path.name == "__init__.py" and not inside(name, ("vimlib.vim25",))]  # fmt: skip
    wanted = {folder_of_tests(name) for name in packages}
    assert [folder for folder in wanted if not any((unit / folder).glob("test_*.py"))] == []
    folders = {path.parent.relative_to(unit).as_posix() for path in unit.rglob("test_*.py")}
    assert folders - wanted == OTHER_TEST_FOLDERS


def test_every_public_module_has_its_own_floor() -> None:
    homeless = [name for name in sources() if name != "vimlib" and room_of(name) == "vimlib"]
    assert homeless == []


def test_the_exports_of_vimlib_are_lazy() -> None:
    tree = ast.parse(sources()["vimlib"].read_bytes())
    at_run_time = [
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    ]
    ours = [name for name in at_run_time if name.split(".")[0] not in sys.stdlib_module_names]
    assert ours == ["vimlib._lazy"]


def test_the_error_tree_imports_the_escaping_of_text_alone() -> None:
    found = [str(i) for i in all_imports() if i.importer in ("vimlib.errors", "vimlib._text")
             and i.target.split(".")[0] not in sys.stdlib_module_names
             and i.target != "vimlib._text"]  # fmt: skip
    assert found == []


def test_what_does_no_io_imports_nothing_that_does() -> None:
    found = [str(i) for i in all_imports() if inside(i.importer, NO_IO)
             and inside(i.target, IO_MODULES)]  # fmt: skip
    assert found == []


def test_the_wire_is_touched_by_the_transport_alone() -> None:
    found = [str(i) for i in all_imports() if inside(i.importer, ("vimlib",))
             and inside(i.target, WIRE_MODULES) and not inside(i.importer, WIRE_ROOMS)]  # fmt: skip
    assert found == []


def test_the_guest_helper_needs_the_standard_library_alone() -> None:
    found = [str(i) for i in all_imports() if inside(i.importer, ("guest",))
             and i.target.split(".")[0] not in sys.stdlib_module_names]  # fmt: skip
    assert found == []


def test_what_comes_from_outside_stays_in_its_rooms() -> None:
    found = []
    for i in all_imports():
        package = i.target.split(".")[0]
        if is_ours(i.target) or package in sys.stdlib_module_names or inside(i.importer, ("wsdl",)):
            continue
        if not inside(i.importer, OUTSIDE.get(package, ())):
            found.append(str(i))
    assert found == []


def test_cancellation_is_put_off_in_one_place() -> None:
    # A simulated call goes on without its caller, as on a host; a rollback adds notes to the error.
    others = {"vimlib.simulator._protocol.dispatch", "vimdriver._verbs.execute"}
    words = (b"asyncio.shield", b"except asyncio.CancelledError as")
    found = {name for name, path in sources().items()
             if any(word in path.read_bytes() for word in words)}  # fmt: skip
    assert found - others == {"vimlib._shield"}


def test_a_class_name_means_one_thing() -> None:
    seen: dict[str, int] = {}
    for name, path in sources().items():
        if not inside(name, ("vimlib.vim25",)):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.ClassDef):
                    seen[node.name] = seen.get(node.name, 0) + 1
    twice = {name for name, count in seen.items() if count > 1}
    assert twice - set().union(*SHARED_NAMES.values()) == set()


def test_no_module_is_too_long_to_read() -> None:
    long = {
        name: lines
        for name, path in sources().items()
        if not inside(name, MAY_BE_LONG) and (lines := len(path.read_bytes().splitlines())) > 800
    }
    assert long == {}


def test_no_function_is_too_long_to_read() -> None:
    long = set()
    for name, path in sources().items():
        if inside(name, MAY_BE_LONG):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (body[-1].end_lineno or 0) - body[0].lineno >= 80:
                    long.add(f"{name}.{node.name}")
    # Closures over one frame, for speed.
    assert long <= {"vimlib.soap._builder._inner_loop"}


@pytest.mark.parametrize("module", ["vimlib", "vimlib.soap", "vimlib.vim25", "vimlib.errors"])
def test_the_lower_floors_load_no_http_client(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    argv = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"aiohttp", "asyncio", "ssl", "zeep", "cryptography"} & set(done.stdout.split()) == set()


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


# Somebody's own folders, and hosts that a mirror or proxy may stand in for.
ELSEWHERE = re.compile(
    rb"(?<![\w.$}/-])/(?:home|root|work|farm)/"
    rb"|\.\./(?:shared)\b"
    rb"|\b(?:pypi|pythonhosted)\.(?:org)\b"
    rb"|\bdeb\.(?:debian)\.org\b"
)

# Their paths are those of a simulated guest.
GUESTS = ("vimlib/simulator/_guest/", "tests/unit/simulator/test_guest_operations")


def test_the_repository_stands_alone() -> None:
    found = []
    for path in tracked_files():
        if str(path.relative_to(ROOT)).startswith(GUESTS):
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if ELSEWHERE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line[:120]!r}")
    assert found == []
