"""A session of zeep on a host, by the WSDL that the host serves; the login is read from standard input."""

from __future__ import annotations

import json
import sys
from typing import Any

import requests
import urllib3
from zeep import Client, Settings
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
    """Return a reference."""
    made = vim.ManagedObjectReference(moid)
    made.type = kind
    return made


content = service.RetrieveServiceContent(ref("ServiceInstance", "ServiceInstance"))


def read(obj: Any, *paths: str) -> dict[str, Any]:
    """Return properties of an object."""
    spec = vim.PropertyFilterSpec(
        propSet=[vim.PropertySpec(type=obj.type, pathSet=list(paths))],
        objectSet=[vim.ObjectSpec(obj=obj)],
    )
    [found] = service.RetrieveProperties(content.propertyCollector, [spec])
    return {prop.name: prop.val for prop in found.propSet}


def wait(task: Any) -> Any:
    """Return the information of a task when it has ended."""
    while True:
        info = read(task, "info")["info"]
        if info.state not in ("queued", "running"):
            return info
