"""Parts that the programs for nova's environment share.

The host is a process of its own, shared by all tests: nova's tests patch `os.unlink` and other things
that a simulator needs.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import tomllib
import unittest
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.integration.peers.openstack import call

ROOT = Path(__file__).resolve().parents[2]
# Calls that any connection makes, whatever a test does.
BACKGROUND = frozenset(
    {
        "RetrieveServiceContent",
        "Login",
        "Logout",
        "CreateCollector",
        "CreatePropertyCollector",
        "DestroyPropertyCollector",
        "CreateFilter",
        "DestroyPropertyFilter",
        "CancelWaitForUpdates",
        "WaitForUpdates",
        "WaitForUpdatesEx",
        "CreateContainerView",
        "CreateListView",
        "DestroyView",
        "CurrentTime",
        "SessionIsActive",
    }
)


@dataclass(frozen=True)
class Stage:
    """The peers of a run, as `__main__` passes them."""

    url: str
    username: str
    password_file: str
    pin: str
    trace: str
    datastore: str
    second: dict[str, str]
    glance: str
    results: str
    state: str

    @classmethod
    def read(cls) -> Stage:
        return cls(**json.loads(os.environ["VIMLIB_NOVA_STAGE"]))

    def options(self, *, second: bool = False) -> dict[str, Any]:
        """Return the group `[esx]` for the first host or the second."""
        values = self.second if second else asdict(self)
        return {name: values[name] for name in ("url", "username", "password_file", "pin")}

    def calls(self) -> int:
        """Return how many calls the host has seen, without those of any connection.

        The host answers a call before it writes its line, so this waits until no line is added.
        """
        trace, size = Path(self.trace), -1
        while size != (size := trace.stat().st_size):
            time.sleep(0.1)
        lines = trace.read_text().splitlines()
        return sum(json.loads(line)["method"] not in BACKGROUND for line in lines)

    def last_fault(self, since: int) -> str:
        """Return the last call that the host refused after so many bytes of its trace, and the fault."""
        with Path(self.trace).open("rb") as file:
            file.seek(since)
            calls = [json.loads(line) for line in file.read().splitlines()]
        refused = [f"{one['method']}: {one['fault']}" for one in calls if one["fault"]]
        return refused[-1] if refused else "none"


def keep_in_glance(test: Any, url: str) -> list[str]:
    """Have the images that nova makes for snapshots in a Glance too; return their ids, which grow.

    Nova's fixture keeps records in memory, with ids of its own. Those of its own images are there already.
    """
    from nova.tests.fixtures import GlanceFixture

    made: list[str] = []
    create, delete = GlanceFixture.create, GlanceFixture.delete

    def created(fixture: Any, context: Any, metadata: Any, data: Any = None) -> Any:
        ours = "status" not in metadata
        record = create(fixture, context, metadata, data)
        if ours:
            fields = {"id": record["id"], "name": record["name"]}
            call("POST", f"{url}/v2/images", fields)
            made.append(record["id"])
        return record

    def deleted(fixture: Any, context: Any, image: str) -> None:
        delete(fixture, context, image)
        if image in made:
            try:
                call("DELETE", f"{url}/v2/images/{image}")
            except HTTPError as error:
                if error.code != 404:  # the driver may have deleted it
                    raise

    test.stub_out("nova.tests.fixtures.GlanceFixture.create", created)
    test.stub_out("nova.tests.fixtures.GlanceFixture.delete", deleted)
    return made


@dataclass
class Row:
    """One test."""

    name: str
    ours: bool = False
    """It is not one of nova's cases."""
    outcome: str = "passed"
    why: str = ""
    """One line."""
    calls: int = 0
    seconds: float = 0.0


@dataclass
class Table:
    """The tests of a run."""

    rows: list[Row] = field(default_factory=list)

    def write(self, path: str) -> None:
        Path(path).write_text(json.dumps([asdict(row) for row in self.rows]))


def cause(text: str) -> str:
    """Return the reason for a failure: nova's fault of the server if there is one, else the exception."""
    faults = re.findall(r"'fault': \{.*?'message': (['\"])(.*?)\1", text)
    if faults:
        # A fault may be that of the last retry, and the log has the first cause.
        found = re.search(r"Instance failed to spawn(.*?)\n(?:\d{4}-|\}\}\})", text, re.DOTALL)
        return found[1].strip().splitlines()[-1] if found else str(faults[-1][1])
    raised = re.findall(
        r"^[\w.]+(?:Error|Exception|Exit|Fault|Mismatch\w*|Timeout)\b.*", text, re.M
    )
    lines = raised or text.strip().splitlines() or ["no reason"]
    return str(lines[-1])


class Result(unittest.TextTestResult):
    """Collects rows; a test may set `row` fields while it runs."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self.table = Table()
        self._began = 0.0
        self._stage = Stage.read()
        self._traced = 0

    def startTest(self, test: Any) -> None:  # noqa: N802
        self._began = time.monotonic()
        self._traced = Path(self._stage.trace).stat().st_size
        super().startTest(test)

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        name = test.id().rpartition(".")[2]
        theirs = any(
            hasattr(base, name) for base in type(test).__mro__ if base.__module__ != "__main__"
        )
        row = Row(name, not theirs, calls=getattr(test, "_host_calls", 0))
        row.seconds = time.monotonic() - self._began
        wrong = [text for case, text in (*self.failures, *self.errors) if case is test]
        skipped = [text for case, text in self.skipped if case is test]
        if wrong:
            fault = self._stage.last_fault(self._traced)
            row.outcome, row.why = "failed", f"{cause(wrong[-1])[:160]}; last fault: {fault}"
        elif skipped:
            row.outcome, row.why = "skipped", skipped[-1]
        elif getattr(test, "_not_implemented", ""):
            row.outcome, row.why = "not implemented", test._not_implemented
        self.table.rows.append(row)

    def printErrorList(self, flavour: str, errors: Any) -> None:  # noqa: N802
        """Print the end of each: the log of a case is long, and a log of CI is cut."""
        short = ["\n".join(line[:200] for line in text.splitlines()[-40:]) for _, text in errors]
        super().printErrorList(
            flavour, [(e[0], text) for e, text in zip(errors, short, strict=True)]
        )


def entry_points(folder: Path) -> None:
    """Make the entry points of pyproject.toml known, as an installation would."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / f"vimlib_esx-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Name: vimlib-esx\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        if group.startswith(("neutron", "oslo"))
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.append(str(folder))


def run(suite: unittest.TestSuite) -> None:
    """Run tests and write their table."""
    result = unittest.TextTestRunner(sys.stderr, resultclass=Result, verbosity=2).run(suite)
    assert isinstance(result, Result)
    result.table.write(Stage.read().results)
