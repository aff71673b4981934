"""zeep with the WSDL that the host serves: prints a JSON document of what it did and saw."""

from __future__ import annotations

import json
import sys
from typing import Any

import requests
import urllib3
from zeep import Client, Settings
from zeep.exceptions import Fault
from zeep.transports import Transport

urllib3.disable_warnings()
login = json.loads(sys.stdin.read())
session = requests.Session()
session.trust_env = session.verify = False
base = f"https://127.0.0.1:{login['port']}/sdk"
client = Client(
    f"{base}/vimService.wsdl",
    transport=Transport(session=session),
    settings=Settings(strict=True, xml_huge_tree=True),
)
service = client.bind("VimService", "VimPort")
# The document has the address `localhost`, without the port.
service._binding_options["address"] = base
vim = client.type_factory("urn:vim25")


def ref(kind: str, moid: str) -> Any:
    made = vim.ManagedObjectReference(moid)
    made.type = kind
    return made


def read(obj: Any, *paths: str) -> dict[str, Any]:
    spec = vim.PropertyFilterSpec(
        propSet=[vim.PropertySpec(type=obj.type, pathSet=list(paths))],
        objectSet=[vim.ObjectSpec(obj=obj)],
    )
    [found] = service.RetrieveProperties(content.propertyCollector, [spec])
    return {prop.name: prop.val for prop in found.propSet}


def wait(task: Any) -> Any:
    while True:
        info = read(task, "info")["info"]
        if info.state not in ("queued", "running"):
            return info


content = service.RetrieveServiceContent(ref("ServiceInstance", "ServiceInstance"))
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
