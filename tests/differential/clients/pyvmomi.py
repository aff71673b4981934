# mypy: disable-error-code="no-untyped-call"
"""pyVmomi with `VimSessionOrientedStub`, which logs in again by itself, as in its docstring."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from pyVim.connect import Connect, Disconnect, SmartStubAdapter, VimSessionOrientedStub
from pyVmomi import vim

from tests.differential.clients.base import Actions, Channel, Job, attempt, run, show
from tests.simulator.clients import pyvmomi
from tests.simulator.values import Ref, new


class PyVmomi(Actions):
    def __init__(self, job: Job, channel: Channel) -> None:
        super().__init__(job, channel)
        # One context for all connections, as in a program with several hosts.
        self.context = ssl.create_default_context(cafile=job.ca if job.trust == "ca" else None)

    @contextmanager
    def session(self) -> Iterator[pyvmomi.PyVmomi]:
        si = self._open()
        try:
            yield pyvmomi.PyVmomi(self.job.target(), si)
        finally:
            attempt(lambda: Disconnect(si))

    def _open(self) -> Any:
        """Return a ServiceInstance that has logged in."""
        job = self.job
        if job.trust == "pin":
            return Connect(
                host=job.host,
                port=job.port,
                user=job.username,
                pwd=job.password,
                version="vim.version.v8_0_2_0",
                thumbprint=job.pin,
                sslContext=self.context,
                httpConnectionTimeout=job.deadline,
            )
        stub = SmartStubAdapter(
            host=job.host,
            port=job.port,
            # Without a trust setting, its own default applies.
            sslContext=None if job.trust == "default" else self.context,
            httpConnectionTimeout=job.deadline,
        )
        login = VimSessionOrientedStub.makeUserLoginMethod(job.username, job.password)
        if job.server == "vcsim":  # it refuses the usual method's call before login
            login = self._login
        si = vim.ServiceInstance("ServiceInstance", VimSessionOrientedStub(stub, login))
        show(si, si.content.about)
        si.CurrentTime()
        return si

    def _login(self, stub: Any) -> None:
        si: Any = vim.ServiceInstance("ServiceInstance", stub)
        si.content.sessionManager.Login(self.job.username, self.job.password)

    def listed(self, client: pyvmomi.PyVmomi) -> list[str]:
        # By attributes to the folder, as in its samples; the first of them logs in again.
        folder = client.si.content.rootFolder.childEntity[0].vmFolder
        walk = new("TraversalSpec", type="Folder", path="childEntity", skip=False)
        start = new("ObjectSpec", obj=Ref("Folder", folder._moId), skip=True, selectSet=[walk])
        names = new("PropertySpec", type="VirtualMachine", all=False, pathSet=["name"])
        spec = new("PropertyFilterSpec", objectSet=[start], propSet=[names])
        found = client.call(
            "RetrievePropertiesEx",
            client.content.propertyCollector,
            specSet=[spec],
            options=new("RetrieveOptions"),
        )
        return [item.propSet[0].val for item in found.objects] if found is not None else []


if __name__ == "__main__":
    run(PyVmomi, version("pyvmomi"))
