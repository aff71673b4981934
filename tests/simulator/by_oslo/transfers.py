# mypy: disable-error-code="import-not-found,attr-defined"
"""Moving images, as nova and cinder do."""

from __future__ import annotations

import tempfile
import urllib.request
from typing import Any

from tests.simulator.by_oslo.stage import Stage, scenario
from tests.simulator.images import content, stream_optimized


class Images:
    """What oslo.vmware takes for an image service."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        return {"id": image_id, "container_format": "bare"}

    def download(self, context: Any, image_id: str) -> Any:
        return (self.data[at : at + 65536] for at in range(0, len(self.data), 65536))


def fetched(stage: Stage, path: str) -> bytes:
    """Read a file of the datastore by oslo.vmware's own handle."""
    from oslo_vmware import rw_handles

    handle = rw_handles.FileReadHandle(
        stage.host,
        stage.port,
        stage.center,
        stage.store,
        stage.vim.client.cookiejar,
        path,
        cacerts=stage.pem,
    )
    found = b""
    while data := handle.read(65536):
        found += data
    assert int(handle.get_size()) == len(found)
    handle.close()
    return found


def importing(stage: Stage, name: str) -> Any:
    disk = stage.disk(len(content()) // 1024)
    return stage.new("VirtualMachineImportSpec", configSpec=stage.spec(name, deviceChange=disk))


@scenario()
def uploads_and_reads_back(stage: Stage) -> Any:
    from oslo_vmware import image_transfer

    image_transfer.download_flat_image(
        None,
        60,
        Images(content()),
        "image",
        image_size=len(content()),
        host=stage.host,
        port=stage.port,
        data_center_name=stage.center,
        datastore_name=stage.store,
        cookies=stage.vim.client.cookiejar,
        file_path=(name := stage.name()),
        cacerts=stage.pem,
    )
    return fetched(stage, name) == content()


def imported(stage: Stage) -> Any:
    from oslo_vmware import image_transfer

    image = stream_optimized(content())
    vm = image_transfer.download_stream_optimized_image(
        None,
        60,
        Images(image),
        "image",
        image_size=len(image),
        session=stage.session,
        host=stage.host,
        port=stage.port,
        resource_pool=stage.pool,
        vm_folder=stage.vm_folder,
        vm_import_spec=importing(stage, name := stage.name()),
    )
    assert stage.read(vm, "name") == name
    return name


@scenario()
def imports_a_machine(stage: Stage) -> Any:
    return imported(stage) in stage.all("VirtualMachine")


@scenario()
def keeps_what_was_imported(stage: Stage) -> Any:
    name = imported(stage)
    return fetched(stage, f"{name}/{name}-flat.vmdk") == content()


@scenario()
def gives_up_an_import(stage: Stage) -> Any:
    from oslo_vmware import rw_handles

    image = stream_optimized(content())
    handle = rw_handles.VmdkWriteHandle(
        stage.session,
        stage.host,
        stage.port,
        stage.pool,
        stage.vm_folder,
        importing(stage, name := stage.name()),
        len(image),
    )
    handle.write(image[: len(image) // 2])
    handle.close()
    return name in stage.all("VirtualMachine")


@scenario()
def exports_a_machine(stage: Stage) -> Any:
    from oslo_vmware import image_transfer

    name = stage.name()
    vm = stage.create(name, len(content()) // 1024)
    with tempfile.TemporaryDirectory() as folder:
        out = open(f"{folder}/disk", "w+b")  # noqa: SIM115 - oslo.vmware closes it
        try:
            image_transfer.copy_stream_optimized_disk(
                None,
                60,
                out,
                session=stage.session,
                host=stage.host,
                port=stage.port,
                vm=vm,
                vmdk_file_path=stage.path(f"{name}/{name}.vmdk"),
                vmdk_size=len(content()),
            )
        finally:
            out.close()
        with open(f"{folder}/disk", "rb") as file:
            return "ok" if file.read(4) == b"KDMV" else "another format"


@scenario()
def puts_a_new_file_by_a_ticket(stage: Stage) -> Any:
    from oslo_vmware.objects import datastore

    url = datastore.DatastoreURL(
        "https", f"{stage.host}:{stage.port}", stage.name(), stage.center, stage.store
    )
    ticket = url.get_transfer_ticket(stage.session, "PUT")
    request = urllib.request.Request(
        str(url), data=b"by ticket", headers={"Cookie": ticket}, method="PUT"
    )
    with urllib.request.urlopen(request, context=stage.trust) as answer:
        return answer.status
