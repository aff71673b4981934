"""zeep: starts the machine `one` as often as it is told, then once more; prints each error as JSON."""

from __future__ import annotations

import json

from zeep.exceptions import Fault

from tests.integration.foreign.scripts.zeep_session import content, login, read, service, wait

service.Login(content.sessionManager, login["username"], login["password"])
machine = service.FindByInventoryPath(content.searchIndex, "ha-datacenter/vm/one")


def start() -> str:
    """Start it; return the text of the error."""
    try:
        error = wait(service.PowerOnVM_Task(machine)).error
    except Fault as fault:
        return str(fault.message)
    return "no error" if error is None else str(error.localizedMessage)


messages = [start() for _ in range(login["times"])]
last = start()
power = read(machine, "runtime.powerState")["runtime.powerState"]
print(json.dumps({"messages": messages, "last": last, "power": power}))
