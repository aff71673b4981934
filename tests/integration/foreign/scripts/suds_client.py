"""suds with the WSDL that the host serves: prints a JSON document of what it did and saw."""

from __future__ import annotations

import json
import ssl
import sys
import urllib.request
from typing import Any

from suds import WebFault
from suds.client import Client
from suds.sudsobject import Property
from suds.transport.https import HttpAuthenticated


class Unverified(HttpAuthenticated):  # type: ignore[misc]
    """HTTPS to a certificate that nobody signed."""

    def u2handlers(self) -> list[Any]:
        context = ssl._create_unverified_context()
        return [*super().u2handlers(), urllib.request.HTTPSHandler(context=context)]


login = json.loads(sys.stdin.read())
base = f"https://127.0.0.1:{login['port']}/sdk"
client = Client(
    f"{base}/vimService.wsdl", location=base, transport=Unverified(), cache=None, timeout=300
)
service = client.service


def ref(kind: str, moid: str) -> Any:
    made = Property(moid)
    made._type = kind
    return made


def read(obj: Any, path: str) -> Any:
    spec = client.factory.create("ns0:PropertyFilterSpec")
    prop = client.factory.create("ns0:PropertySpec")
    prop.type, prop.pathSet, prop.all = obj._type, [path], None
    what = client.factory.create("ns0:ObjectSpec")
    what.obj, what.skip, what.selectSet = obj, None, []
    spec.propSet, spec.objectSet = [prop], [what]
    if "reportMissingObjectsInResults" in spec:  # of API 4.1
        spec.reportMissingObjectsInResults = None
    [found] = service.RetrieveProperties(content.propertyCollector, [spec])
    return found.propSet[0].val


content = service.RetrieveServiceContent(ref("ServiceInstance", "ServiceInstance"))
told: dict[str, Any] = {"full": content.about.fullName, "api": content.about.apiVersion}
try:
    service.Login(content.sessionManager, login["username"], "wrong")
except WebFault as fault:
    told["fault"] = fault.fault.faultstring
told["user"] = service.Login(content.sessionManager, login["username"], login["password"]).userName
machine = service.FindByInventoryPath(content.searchIndex, "ha-datacenter/vm/one")
told["name"] = read(machine, "name")
told["power"] = [read(machine, "runtime.powerState")]
task = service.PowerOnVM_Task(machine)
while read(task, "info.state") in ("queued", "running"):
    pass
told["power"].append(read(machine, "runtime.powerState"))
service.Logout(content.sessionManager)
print(json.dumps(told))
