from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25


@pytest.mark.parametrize(
    ("method", "this", "parameter"),
    [
        (
            vim25.FileManager.DeleteDatastoreFile_Task,
            vim25.FileManager("ha-nfc-file-manager"),
            "name",
        ),
        (
            vim25.HostDatastoreBrowser.DeleteFile,
            vim25.HostDatastoreBrowser("ha-host-datastorebrowser"),
            "datastorePath",
        ),
    ],
)
async def test_the_root_of_a_datastore_is_not_deleted(
    make: Callable[..., Awaitable[Caller]], method: Any, this: Any, parameter: str
) -> None:
    call = await make(vms=1)
    send = call if method.returns is None else call.done
    with pytest.raises(vim25.CannotDeleteFile):
        await send(method, this, **{parameter: "[datastore1]"})
    assert (call.esx.datastore_path() / "vm-0" / "vm-0.vmx").exists()
