"""Plays scenarios by oslo.vmware; run as a module by the interpreter that has it.

One JSON object on standard input names servers and scenarios; each scenario gives a line on standard output.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from tests.simulator import scenarios as _scenarios  # noqa: F401 - registers them
from tests.simulator.clients.oslo import logged_in
from tests.simulator.stage import Stage, play
from tests.simulator.values import Server


def play_part(part: dict[str, Any]) -> None:
    """Play the scenarios of one server in one session."""
    server = Server(**{**part["server"], "ca": Path(part["server"]["ca"])})
    stage = Stage(logged_in(server))
    for name in part["names"]:
        start = time.monotonic()
        try:
            found: Any = {"found": play(name, stage)}
        except Exception:  # noqa: BLE001 - each scenario reports, whatever happened
            found = {"error": traceback.format_exc()[-4000:]}
        seconds = round(time.monotonic() - start, 3)
        line = {"kind": server.kind, "name": name, "seconds": seconds, **found}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    importlib.import_module("oslo_vmware.image_transfer")  # by one thread
    # Its waits before another try take ten seconds: side by side they do so once.
    parts = json.load(sys.stdin)["parts"]
    threads = [threading.Thread(target=play_part, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
