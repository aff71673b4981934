"""zeep with the WSDL that the host serves: prints a JSON document of what it did and saw."""

from __future__ import annotations

import json
from typing import Any

from zeep.exceptions import Fault

from tests.integration.foreign.scripts.zeep_session import (
    content,
    login,
    read,
    ref,
    service,
    vim,
    wait,
)

told: dict[str, Any] = {"full": content.about.fullName, "api": content.about.apiVersion}
try:
    service.Login(content.sessionManager, login["username"], "wrong")
except Fault as fault:
    told["fault"] = [child.tag for child in fault.detail]
told["user"] = service.Login(content.sessionManager, login["username"], login["password"]).userName
folder, pool = ref("Folder", "ha-folder-vm"), ref("ResourcePool", "ha-root-pool")
spec = vim.VirtualMachineConfigSpec(
    name="made by zeep",
    guestId="otherGuest",
    numCPUs=2,
    memoryMB=64,
    files=vim.VirtualMachineFileInfo(vmPathName="[datastore1]"),
)
info = wait(service.CreateVM_Task(folder, spec, pool))
machine = info.result
told["made"] = [info.state, machine._value_1]
config = read(machine, "config", "runtime.powerState", "config.hardware.device")
told["config"] = [config["config"].name, config["config"].hardware.memoryMB]
told["power"] = [config["runtime.powerState"]]
wait(service.PowerOnVM_Task(machine))
told["power"].append(read(machine, "runtime.powerState")["runtime.powerState"])
told["error"] = type(wait(service.PowerOnVM_Task(machine)).error.fault).__name__
service.Logout(content.sessionManager)
print(json.dumps(told))
