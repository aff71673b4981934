# mypy: disable-error-code="import-untyped,import-not-found"
"""oslo.vmware as nova uses it: `VMwareAPISession` with ten retries, `image_transfer` for files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from oslo_vmware import api, image_transfer, rw_handles

from tests.differential.clients.base import Actions, Channel, Job, NotOffered, describe, run, show
from tests.simulator.clients import oslo


class Oslo(Actions):
    def __init__(self, job: Job, channel: Channel) -> None:
        super().__init__(job, channel)
        if job.trust == "pin":
            return
        how: dict[str, Any] = {"cacert": job.ca} if job.trust == "ca" else {}
        self.api = api.VMwareAPISession(
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
        self.client = oslo.Oslo(job.target(), self.api)  # reads the WSDL, which takes seconds

    @contextmanager
    def session(self) -> Iterator[oslo.Oslo]:
        if self.job.trust == "pin":
            raise NotOffered("has no pin for a session")
        self.api._create_session()
        try:
            show(self.api, self.api.vim, self.api.vim.service_content.about)
            yield self.client
        finally:
            self.api.logout()

    def listed(self, client: oslo.Oslo) -> list[str]:
        found = client.helped("get_objects", "VirtualMachine", 100)
        return [str(item.propSet[0].val) for item in getattr(found, "objects", found)]

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
        with self.session() as client:
            self.channel.checkpoint("between")
            cookies = client.vim.client.cookiejar
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

    def download(self, name: str) -> Any:
        job = self.job
        with self.session() as client:
            handle = rw_handles.FileReadHandle(
                job.host,
                job.port,
                "ha-datacenter",
                "datastore1",
                client.vim.client.cookiejar,
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


if __name__ == "__main__":
    run(Oslo, version("oslo.vmware"))
