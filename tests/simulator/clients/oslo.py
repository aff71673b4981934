# mypy: disable-error-code="import-not-found,attr-defined"
"""oslo.vmware as a client of the scenarios, by an interpreter of its own; run as a module, it plays them.

Reads one JSON object from standard input that names servers and scenarios, and writes a line for each
scenario on standard output. What oslo.vmware is needed for is imported when it is used.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.simulator.clients.base import Client
from tests.simulator.values import Failed, Obj, Ref

if TYPE_CHECKING:
    from tests.simulator.servers import Server


class Images:
    """What oslo.vmware takes for an image service."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        return {"id": image_id, "container_format": "bare"}

    def download(self, context: Any, image_id: str) -> Any:
        return (self.data[at : at + 65536] for at in range(0, len(self.data), 65536))


def fault_of(error: Any) -> str:
    """Return the name of the fault that an exception stands for."""
    from oslo_vmware import exceptions

    if faults := getattr(error, "fault_list", None):
        return str(faults[0])
    known = {kind: name for name, kind in exceptions._fault_classes_registry.items()}
    return str(known.get(type(error), ""))


@contextmanager
def translated() -> Iterator[None]:
    from oslo_vmware import exceptions

    try:
        yield
    except exceptions.VimException as error:
        if fault := fault_of(error):
            raise Failed(fault) from None
        raise


def plain(value: Any) -> Any:
    from suds.sax.text import Text
    from suds.sudsobject import Object

    if isinstance(value, Text):
        return str(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, Object):
        return value
    if hasattr(value, "_type"):
        return Ref(value._type, str(value.value))
    # Its class is named after the type, or else after the element.
    declared = getattr(value.__metadata__, "sxtype", None)
    kind = declared.resolve().name if declared is not None else value.__class__.__name__
    fields = {name: plain(getattr(value, name)) for name, _ in value}
    if kind.startswith("ArrayOf"):
        return next(iter(fields.values()), [])
    return Obj(kind, **fields)


class Oslo(Client):
    """A session by oslo.vmware."""

    def __init__(self, server: Server, session: Any) -> None:
        super().__init__(server)
        self.session = session
        self.vim = session.vim
        self.factory = self.vim.client.factory

    def native(self, value: Any) -> Any:
        from oslo_vmware import vim_util

        if isinstance(value, Ref):
            return vim_util.get_moref(value.id, value.kind)
        if isinstance(value, Obj):
            made = self.factory.create(f"ns0:{value._kind}")
            for name, item in value._fields.items():
                setattr(made, name, self.native(item))
            return made
        if isinstance(value, list):
            return [self.native(item) for item in value]
        return value

    @property
    def content(self) -> Obj:
        found: Obj = plain(self.vim.service_content)
        return found

    def call(self, method: str, this: Ref, **args: Any) -> Any:
        given = {name: self.native(value) for name, value in args.items()}
        with translated():
            return plain(self.session.invoke_api(self.vim, method, self.native(this), **given))

    def helped(self, name: str, *args: Any) -> Any:
        """Call a function of oslo.vmware's `vim_util`."""
        from oslo_vmware import vim_util

        with translated():
            return self.session.invoke_api(vim_util, name, self.vim, *args)

    def get(self, ref: Ref, path: str) -> Any:
        return plain(self.helped("get_object_property", self.native(ref), path))

    def get_many(self, refs: list[Ref], path: str) -> list[Any]:
        found = self.helped(
            "get_properties_for_a_collection_of_objects", refs[0].kind, self.native(refs), [path]
        )
        return [plain(item.propSet[0].val) for item in found.objects]

    def wait(self, task: Ref) -> Any:
        with translated():
            info = self.session.wait_for_task(self.native(task))
        return plain(getattr(info, "result", None))

    def _listed(self, most: int) -> list[Ref]:
        from oslo_vmware import vim_util

        page = self.helped("get_objects", "VirtualMachine", most, ["name"])
        assert most > 1 or len(page.objects) == 1
        with vim_util.WithRetrieval(self.vim, page) as objects:
            found = [plain(item.obj) for item in objects]
        assert len(found) == len(set(found))
        return found

    def walk(self) -> list[Ref]:
        return self._listed(100)

    def walk_in_pages(self) -> list[Ref]:
        return self._listed(1)

    def path_of(self, ref: Ref) -> str:
        return str(self.helped("get_inventory_path", self.native(ref))).strip("/")

    @contextmanager
    def another(self, password: str | None = None) -> Iterator[Client]:
        client = logged_in(self.server, password)
        try:
            yield client
        finally:
            client.session.logout()

    def control(self, verb: str, **body: Any) -> Any:
        """Send an order to the control endpoint of the simulated host."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.server.port}/_ctl/{verb}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.server.password}"},
            method="POST",
        )
        with urllib.request.urlopen(request, context=self.trust) as answer:
            return json.load(answer)

    # Files.

    def cookie(self) -> str:
        return "; ".join(f"{item.name}={item.value}" for item in self.vim.client.cookiejar)

    def upload(self, path: str, data: bytes) -> None:
        from oslo_vmware import image_transfer

        with translated():
            image_transfer.download_flat_image(
                None,
                60,
                Images(data),
                "image",
                image_size=len(data),
                host="127.0.0.1",
                port=self.server.port,
                data_center_name=self.server.datacenter,
                datastore_name=self.server.datastore,
                cookies=self.vim.client.cookiejar,
                file_path=path,
                cacerts=str(self.server.ca),
            )

    def download(self, path: str, part: tuple[int, int] | None = None) -> bytes:
        from oslo_vmware import rw_handles

        if part is not None:
            return super().download(path, part)
        handle = rw_handles.FileReadHandle(
            "127.0.0.1",
            self.server.port,
            self.server.datacenter,
            self.server.datastore,
            self.vim.client.cookiejar,
            path,
            cacerts=str(self.server.ca),
        )
        found = b""
        while data := handle.read(65536):
            found += data
        assert int(handle.get_size()) == len(found)
        handle.close()
        return found

    # Leases.

    def import_vm(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        from oslo_vmware import image_transfer

        with translated():
            image_transfer.download_stream_optimized_image(
                None,
                60,
                Images(image),
                "image",
                image_size=len(image),
                session=self.session,
                host="127.0.0.1",
                port=self.server.port,
                resource_pool=self.native(pool),
                vm_folder=self.native(folder),
                vm_import_spec=self.native(spec),
            )

    def abort_import(self, spec: Obj, pool: Ref, folder: Ref, image: bytes) -> None:
        from oslo_vmware import rw_handles

        handle = rw_handles.VmdkWriteHandle(
            self.session,
            "127.0.0.1",
            self.server.port,
            self.native(pool),
            self.native(folder),
            self.native(spec),
            len(image),
        )
        handle.write(image[: len(image) // 2])
        handle.close()

    def export_vm(self, vm: Ref) -> bytes:
        import tempfile

        from oslo_vmware import image_transfer

        disk = next(d for d in self.get(vm, "config.hardware.device") if d._kind == "VirtualDisk")
        with tempfile.TemporaryDirectory() as folder:
            out = open(f"{folder}/disk", "w+b")  # noqa: SIM115 - oslo.vmware closes it
            try:
                with translated():
                    image_transfer.copy_stream_optimized_disk(
                        None,
                        60,
                        out,
                        session=self.session,
                        host="127.0.0.1",
                        port=self.server.port,
                        vm=self.native(vm),
                        vmdk_file_path=disk.backing.fileName,
                        vmdk_size=disk.capacityInKB * 1024,
                    )
            finally:
                out.close()
            with open(f"{folder}/disk", "rb") as file:
                return file.read()


def logged_in(server: Server, password: str | None = None) -> Oslo:
    """Log in. Raises `Failed`."""
    from oslo_vmware import api

    with translated():
        session = api.VMwareAPISession(
            "127.0.0.1",
            server.username,
            password or server.password,
            2,
            0.02,
            port=server.port,
            cacert=str(server.ca),
            insecure=False,
            wsdl_loc=server.wsdl,
        )
        return Oslo(server, session)
