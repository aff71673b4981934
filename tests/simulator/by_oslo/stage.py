# mypy: disable-error-code="import-not-found,attr-defined"
"""What each scenario of oslo.vmware gets: a session on a server, and how to make things there."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_numbers = itertools.count(1)


class Stage:
    """A server and a session on it."""

    def __init__(self, given: dict[str, Any]) -> None:
        from oslo_vmware import api

        self.host, self.port = "127.0.0.1", given["port"]
        self.user, self.password, self.pem = given["user"], given["password"], given["pem"]
        self.wsdl = given["wsdl"]  # None: the server has one
        self.store, self.center = given["datastore"], given["datacenter"]
        self.api = api
        self.session = self.connect()
        self.vim = self.session.vim
        self.content = self.vim.service_content
        self.factory = self.vim.client.factory
        self.datacenter = self.all("Datacenter")[self.center]
        self.vm_folder = self.read(self.datacenter, "vmFolder")
        self.pool = self.all("ResourcePool")["Resources"]

    def connect(self, password: str | None = None) -> Any:
        return self.api.VMwareAPISession(
            self.host,
            self.user,
            password or self.password,
            2,
            0.02,
            port=self.port,
            cacert=self.pem,
            insecure=False,
            wsdl_loc=self.wsdl,
        )

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.pem)

    def control(self, verb: str, **body: Any) -> Any:
        """Give the simulated host an order."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"https://{self.host}:{self.port}/_ctl/{verb}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}"},
            method="POST",
        )
        with urllib.request.urlopen(request, context=self.trust) as answer:
            return json.load(answer)

    def path(self, name: str) -> str:
        return f"[{self.store}] {name}"

    def name(self) -> str:
        """Return a name that nobody has yet."""
        return f"o{next(_numbers)}"

    def call(self, method: str, this: Any, **args: Any) -> Any:
        return self.session.invoke_api(self.vim, method, this, **args)

    def done(self, method: str, this: Any, **args: Any) -> Any:
        info = self.session.wait_for_task(self.call(method, this, **args))
        return getattr(info, "result", None)

    def read(self, ref: Any, path: str) -> Any:
        from oslo_vmware import vim_util

        return self.session.invoke_api(vim_util, "get_object_property", self.vim, ref, path)

    def all(self, kind: str) -> dict[str, Any]:
        """Return all objects of a kind by name; by a view, for vcsim does not stand the long way."""
        root = self.content.rootFolder
        view = self.call(
            "CreateContainerView",
            self.content.viewManager,
            container=root,
            type=[kind],
            recursive=True,
        )
        found = self.read(view, "view")
        objects = found.ManagedObjectReference if found else []
        return {self.read(obj, "name"): obj for obj in objects}

    def new(self, kind: str, **fields: Any) -> Any:
        made = self.factory.create(f"ns0:{kind}")
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    def spec(self, name: str, **more: Any) -> Any:
        files = self.new("VirtualMachineFileInfo", vmPathName=self.path(""))
        return self.new(
            "VirtualMachineConfigSpec",
            name=name,
            memoryMB=256,
            numCPUs=1,
            guestId="otherGuest64",
            files=files,
            **more,
        )

    def disk(self, kb: int) -> list[Any]:
        controller = self.new(
            "VirtualLsiLogicController", key=-101, busNumber=0, sharedBus="noSharing"
        )
        backing = self.new(
            "VirtualDiskFlatVer2BackingInfo",
            diskMode="persistent",
            fileName=self.path(""),
            thinProvisioned=True,
        )
        disk = self.new(
            "VirtualDisk",
            key=-100,
            controllerKey=-101,
            unitNumber=0,
            capacityInKB=kb,
            backing=backing,
        )
        return [
            self.new("VirtualDeviceConfigSpec", operation="add", device=controller),
            self.new(
                "VirtualDeviceConfigSpec", operation="add", fileOperation="create", device=disk
            ),
        ]

    def create(self, name: str = "", kb: int = 0) -> Any:
        changes = {"deviceChange": self.disk(kb)} if kb else {}
        spec = self.spec(name or self.name(), **changes)
        return self.done("CreateVM_Task", self.vm_folder, config=spec, pool=self.pool)

    def running(self) -> Any:
        vm = self.create()
        self.done("PowerOnVM_Task", vm)
        return vm

    def files(self, folder: str, pattern: str = "*") -> list[str]:
        """Return the names in a folder."""
        browser = self.read(next(iter(self.all("Datastore").values())), "browser")
        spec = self.new("HostDatastoreBrowserSearchSpec", matchPattern=[pattern])
        found = self.done(
            "SearchDatastore_Task", browser, datastorePath=self.path(folder), searchSpec=spec
        )
        return [file.path for file in getattr(found, "file", None) or ()]


@dataclass(frozen=True)
class Scenario:
    function: Callable[[Stage], Any]
    # Why it is asked of the simulated host alone, or nothing.
    here_only: str = ""
    # In a session and on a server of its own, or with others of this name.
    apart: str = ""


SCENARIOS: dict[str, Scenario] = {}

ORDERS = "it orders what shall go wrong"
COSTLY = "each login reads the whole WSDL anew, which takes seconds"


def scenario(
    *, here_only: str = "", apart: str = ""
) -> Callable[[Callable[[Stage], Any]], Callable[[Stage], Any]]:
    def register(function: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
        assert function.__name__ not in SCENARIOS, function.__name__
        SCENARIOS[function.__name__] = Scenario(function, here_only, apart)
        return function

    return register


def play(name: str, stage: Stage) -> Any:
    """Return what a scenario found, or the name of the fault in which it ended."""
    from oslo_vmware import exceptions

    try:
        return SCENARIOS[name].function(stage)
    except exceptions.VimException as error:
        if fault := _fault(error):
            return fault
        raise


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return how a call ends: `ok`, or the fault's name."""
    from oslo_vmware import exceptions

    try:
        function(*args, **kwargs)
    except exceptions.VimException as error:
        if fault := _fault(error):
            return fault
        raise
    return "ok"


def _fault(error: Any) -> str:
    """Return the name of the fault that an exception stands for."""
    from oslo_vmware import exceptions

    if faults := getattr(error, "fault_list", None):
        return str(faults[0])
    known = {kind: name for name, kind in exceptions._fault_classes_registry.items()}
    return str(known.get(type(error), ""))


def raises(
    kind: type[BaseException], function: Callable[..., Any], *args: Any, **kwargs: Any
) -> BaseException:
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
