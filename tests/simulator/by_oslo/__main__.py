"""Play scenarios: one JSON object that says which on standard input, a line for each on standard output."""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import traceback
from typing import Any

from tests.simulator import by_oslo


def play(part: dict[str, Any]) -> None:
    """Play the scenarios of one server in one session."""
    stage = by_oslo.stage.Stage(part["server"])
    for name in part["names"]:
        start = time.monotonic()
        try:
            found: Any = {"found": by_oslo.stage.play(name, stage)}
        except Exception:  # noqa: BLE001 - each scenario reports, whatever happened
            found = {"error": traceback.format_exc()[-4000:]}
        seconds = round(time.monotonic() - start, 3)
        line = {"kind": part["server"]["kind"], "name": name, "seconds": seconds, **found}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    importlib.import_module("oslo_vmware.image_transfer")  # by one thread
    # Its waits before another try take ten seconds: side by side they do so once.
    threads = [
        threading.Thread(target=play, args=(part,)) for part in json.load(sys.stdin)["parts"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
