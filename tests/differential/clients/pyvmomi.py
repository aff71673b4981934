# mypy: disable-error-code="no-untyped-call"
"""pyVmomi with `VimSessionOrientedStub`, which logs in again by itself, as in its docstring."""

from __future__ import annotations

import ssl
from importlib.metadata import version
from typing import Any, NoReturn

from pyVim.connect import Connect, Disconnect, SmartStubAdapter, VimSessionOrientedStub
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from tests.differential.clients.base import Channel, Job, NotOffered, attempt, describe, run, show
from tests.differential.clients.threads import in_threads


class PyVmomi:
    def __init__(self, job: Job, channel: Channel) -> None:
        self.job, self.channel = job, channel
        # One context for all connections, as in a program with several hosts.
        self.context = ssl.create_default_context(cafile=job.ca if job.trust == "ca" else None)

    def open(self) -> Any:
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

    def _with(self, work: Any) -> Any:
        si = self.open()
        try:
            return work(si)
        finally:
            attempt(lambda: Disconnect(si))

    # -- actions -------------------------------------------------------------------------------

    def login(self) -> Any:
        return self._with(lambda si: None)

    def login_again(self) -> Any:
        attempt(self.login)
        return self.login()

    def now(self) -> Any:
        def work(si: Any) -> Any:
            self.channel.checkpoint("between")
            return describe(si.CurrentTime())

        return self._with(work)

    def names(self) -> Any:
        def work(si: Any) -> Any:
            self.channel.checkpoint("between")
            return describe(self._names(si))

        return self._with(work)

    def _names(self, si: Any) -> Any:
        folder = si.content.rootFolder.childEntity[0].vmFolder
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
            objectSet=[
                collector.ObjectSpec(
                    obj=folder,
                    skip=True,
                    selectSet=[
                        collector.TraversalSpec(type=vim.Folder, path="childEntity", skip=False)
                    ],
                )
            ],
        )
        found = si.content.propertyCollector.RetrievePropertiesEx(
            [spec], collector.RetrieveOptions()
        )
        return [item.propSet[0].val for item in found.objects] if found is not None else []

    def callers(self, count: int) -> Any:
        def work(si: Any) -> Any:
            self._names(si)
            self.channel.checkpoint("between")
            return in_threads(count, lambda: self._names(si))

        return self._with(work)

    def create(self, name: str) -> Any:
        def work(si: Any) -> Any:
            center = si.content.rootFolder.childEntity[0]
            store = center.datastore[0].name
            spec = vim.vm.ConfigSpec(
                name=name,
                guestId="otherGuest64",
                memoryMB=64,
                numCPUs=1,
                files=vim.vm.FileInfo(vmPathName=f"[{store}]"),
            )
            pool = center.hostFolder.childEntity[0].resourcePool
            task = center.vmFolder.CreateVM_Task(spec, pool)
            WaitForTask(task, si=si)
            return describe(task.info.result)

        return self._with(work)

    def _machine(self, si: Any) -> Any:
        return si.content.searchIndex.FindByInventoryPath("ha-datacenter/vm/vm-0")

    def power_on(self) -> Any:
        return self._with(
            lambda si: describe(WaitForTask(self._machine(si).PowerOnVM_Task(), si=si))
        )

    def snapshot(self, name: str) -> Any:
        def work(si: Any) -> Any:
            task = self._machine(si).CreateSnapshot_Task(name, None, False, False)
            return describe(WaitForTask(task, si=si))

        return self._with(work)

    def upload(self, **_: Any) -> NoReturn:
        raise NotOffered("leaves files to the caller")

    def download(self, **_: Any) -> NoReturn:
        raise NotOffered("leaves files to the caller")


if __name__ == "__main__":
    run(PyVmomi, version("pyvmomi"))
