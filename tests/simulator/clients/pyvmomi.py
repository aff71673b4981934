"""pyVmomi as a client of the scenarios."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.parsers.expat import ExpatError

from tests.simulator.clients.base import Client
from tests.simulator.conftest import leave
from tests.simulator.servers import Server
from tests.simulator.values import Failed, Obj, Ref
from tests.simulator.vmomi import (
    DataObject,
    GetWsdlMethod,
    GetWsdlType,
    SmartConnect,
    SoapStubAdapter,
    WaitForTask,
    vim,
    vmodl,
)

NAMESPACE = "urn:vim25"


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except vmodl.MethodFault as fault:
        raise Failed(wire(fault)) from None
    except (http.client.RemoteDisconnected, ExpatError):  # of an empty reply
        raise Failed("no answer") from None


def wire(value: Any) -> str:
    """Return the name of a value's type on the wire."""
    return str(type(value)._wsdlName)


def plain(value: Any) -> Any:
    if isinstance(value, vim.ManagedObject):
        return Ref(wire(value), value._moId)
    if isinstance(value, vmodl.MethodFault):
        return Obj("LocalizedMethodFault", fault=Obj(wire(value)))
    if isinstance(value, DataObject):
        fields = {item.name: plain(getattr(value, item.name)) for item in value._GetPropertyList()}
        return Obj(wire(value), **fields)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, type):
        return value._wsdlName  # type: ignore[attr-defined]
    return value


class PyVmomi(Client):
    """A session by pyVmomi."""

    def __init__(self, server: Server, si: Any) -> None:
        super().__init__(server)
        self.si = si

    def native(self, value: Any, declared: Any = None) -> Any:
        """Return a plain value as pyVmomi's; `declared` is the type of the field or argument."""
        if isinstance(value, Ref):
            return GetWsdlType(NAMESPACE, value.kind)(value.id, self.si._stub)
        if isinstance(value, Obj):
            cls = GetWsdlType(NAMESPACE, value._kind)
            made = cls()
            for name, item in value._fields.items():
                if item is not None and name not in ("dynamicType", "dynamicProperty"):
                    setattr(made, name, self.native(item, cls._GetPropertyInfo(name).type))
            return made
        if isinstance(value, list):
            return [self.native(item, getattr(declared, "Item", None)) for item in value]
        if isinstance(value, str) and declared is type:
            return GetWsdlType(NAMESPACE, value)
        return value

    @property
    def content(self) -> Obj:
        found: Obj = plain(self.si.content)
        return found

    def call(self, method: str, this: Ref, **args: Any) -> Any:
        found = GetWsdlMethod(NAMESPACE, method)
        types = {param.name: param.type for param in found.info.params}
        given = {name: self.native(value, types[name]) for name, value in args.items()}
        with translated():
            return plain(getattr(self.native(this), found.info.name)(**given))

    def get(self, ref: Ref, path: str) -> Any:
        found = self.retrieve(self.filter_spec([ref], path))[0]
        if found.missingSet:
            raise Failed(found.missingSet[0].fault.fault._kind)
        return found.propSet[0].val if found.propSet else None

    def fetch(self, ref: Ref, name: str) -> Any:
        """Return a property by the attribute of pyVmomi's object."""
        with translated():
            return plain(getattr(self.native(ref), name))

    def wait(self, task: Ref) -> Any:
        # Not by the whole of `info`, which pyVmomi cannot always read; and vcsim's tasks are over
        # when the call returns, where a wait would take a quarter of a second.
        if self.get(task, "info.state") not in ("success", "error"):
            with translated():
                WaitForTask(self.native(task), si=self.si)
        if self.get(task, "info.state") == "error":
            raise Failed(self.get(task, "info.error").fault._kind)
        return self.get(task, "info.result")

    def cookie(self) -> str:
        return str(self.si._stub.cookie.split(";")[0])

    @contextmanager
    def another(self, password: str | None = None) -> Iterator[Client]:
        with logged_in(self.server, password) as client:
            yield client

    @contextmanager
    def stranger(self) -> Iterator[Client]:
        """Give a connection that has not logged in."""
        stub = SoapStubAdapter("127.0.0.1", self.server.port, sslContext=self.trust)
        try:
            yield PyVmomi(self.server, vim.ServiceInstance("ServiceInstance", stub))
        finally:
            stub.DropConnections()


@contextmanager
def logged_in(server: Server, password: str | None = None) -> Iterator[PyVmomi]:
    with translated():
        si = SmartConnect(
            host="127.0.0.1",
            port=server.port,
            user=server.username,
            pwd=server.password if password is None else password,
            sslContext=ssl.create_default_context(cafile=str(server.ca)),
        )
    client = PyVmomi(server, si)
    try:
        yield client
    finally:
        client.web.close()
        leave(si)
