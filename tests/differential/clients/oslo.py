# mypy: disable-error-code="import-untyped,import-not-found"
"""oslo.vmware as nova uses it: `VMwareAPISession` with ten retries, `image_transfer` for files."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from oslo_vmware import api, image_transfer, rw_handles, vim_util

from tests.differential.clients.base import Channel, Job, NotOffered, attempt, describe, run, show
from tests.differential.clients.threads import in_threads


class Oslo:
    def __init__(self, job: Job, channel: Channel) -> None:
        self.job, self.channel = job, channel
        if job.trust == "pin":
            return
        how: dict[str, Any] = {"cacert": job.ca} if job.trust == "ca" else {}
        self.session = api.VMwareAPISession(
            job.host,
            job.username,
            job.password,
            10,
            0.2,
            create_session=False,
            port=job.port,
            wsdl_loc=f"file://{job.wsdl}/vimService.wsdl",
            connection_timeout=job.deadline,
            **how,
        )
        self.vim = self.session.vim  # reads the WSDL, which takes seconds

    def _call(self, method: str, this: Any, **args: Any) -> Any:
        return self.session.invoke_api(self.session.vim, method, this, **args)

    def _with(self, work: Any) -> Any:
        if self.job.trust == "pin":
            raise NotOffered("has no pin for a session")
        self.session._create_session()
        try:
            show(self.session, self.session.vim, self.session.vim.service_content.about)
            return work()
        finally:
            self.session.logout()

    # -- actions -------------------------------------------------------------------------------

    def login(self) -> Any:
        return self._with(lambda: None)

    def login_again(self) -> Any:
        attempt(self.login)
        return self.login()

    def now(self) -> Any:
        def work() -> Any:
            self.channel.checkpoint("between")
            return describe(self._call("CurrentTime", "ServiceInstance"))

        return self._with(work)

    def _names(self) -> Any:
        session = self.session
        found = session.invoke_api(vim_util, "get_objects", session.vim, "VirtualMachine", 100)
        return [item.propSet[0].val for item in getattr(found, "objects", found)]

    def names(self) -> Any:
        def work() -> Any:
            self.channel.checkpoint("between")
            return describe([str(name) for name in self._names()])

        return self._with(work)

    def callers(self, count: int) -> Any:
        def work() -> Any:
            self._names()
            self.channel.checkpoint("between")
            return in_threads(count, lambda: [str(name) for name in self._names()])

        return self._with(work)

    def _read(self, obj: Any, path: str) -> Any:
        """Return a property; of an array its first item."""
        session = self.session
        found = session.invoke_api(vim_util, "get_object_property", session.vim, obj, path)
        return found[0][0] if found.__class__.__name__.startswith("ArrayOf") else found

    def create(self, name: str) -> Any:
        def work() -> Any:
            factory = self.session.vim.client.factory
            # In single steps: vcsim fails on its recursive traversal.
            center = self._read(self.session.vim.service_content.rootFolder, "childEntity")
            compute = self._read(self._read(center, "hostFolder"), "childEntity")
            pool = self._read(compute, "resourcePool")
            store = self._read(self._read(center, "datastore"), "name")
            folder = self._read(center, "vmFolder")
            spec = factory.create("ns0:VirtualMachineConfigSpec")
            spec.name, spec.guestId, spec.memoryMB, spec.numCPUs = name, "otherGuest64", 64, 1
            spec.files = factory.create("ns0:VirtualMachineFileInfo")
            spec.files.vmPathName = f"[{store}]"
            task = self._call("CreateVM_Task", folder, config=spec, pool=pool)
            return describe(str(self.session.wait_for_task(task).result.value))

        return self._with(work)

    def _machine(self) -> Any:
        path = "ha-datacenter/vm/vm-0"
        index = self.session.vim.service_content.searchIndex
        return self._call("FindByInventoryPath", index, inventoryPath=path)

    def power_on(self) -> Any:
        def work() -> Any:
            task = self._call("PowerOnVM_Task", self._machine())
            return describe(str(self.session.wait_for_task(task).state))

        return self._with(work)

    def snapshot(self, name: str) -> Any:
        def work() -> Any:
            task = self._call(
                "CreateSnapshot_Task", self._machine(), name=name, memory=False, quiesce=False
            )
            return describe(str(self.session.wait_for_task(task).state))

        return self._with(work)

    def upload(self, name: str, size: int, give: int, door: str = "careful") -> Any:
        job = self.job
        if door == "read back":
            raise NotOffered("does not read back what it stored")

        class Images:
            def download(self, context: Any, image: str) -> Any:
                left = give
                while left > 0:
                    yield b"x" * min(left, 1 << 16)
                    left -= 1 << 16

        where = (job.host, job.port, "ha-datacenter", "datastore1")

        def work() -> Any:
            self.channel.checkpoint("between")
            cookies = self.session.vim.client.cookiejar
            if door == "handle":
                handle = rw_handles.FileWriteHandle(*where, cookies, name, size)
                for data in Images().download(None, ""):
                    handle.write(data)
                handle.close()
                return describe(size)
            names = ("host", "port", "data_center_name", "datastore_name")
            image_transfer.download_flat_image(
                None,
                60,
                Images(),
                "image",
                **dict(zip(names, where, strict=True)),
                cookies=cookies,
                file_path=name,
                image_size=size,
                # Nova's fetch_image passes nothing here.
                **({"cacerts": job.ca} if door == "careful" else {}),
            )
            return describe(size)

        return self._with(work)

    def download(self, name: str) -> Any:
        job = self.job

        def work() -> Any:
            handle = rw_handles.FileReadHandle(
                job.host,
                job.port,
                "ha-datacenter",
                "datastore1",
                self.session.vim.client.cookiejar,
                name,
                cacerts=job.ca,
            )
            total = 0
            try:
                while data := handle.read(1 << 16):
                    total += len(data)
            finally:
                handle.close()
            return total

        return self._with(work)


if __name__ == "__main__":
    run(Oslo, version("oslo.vmware"))
