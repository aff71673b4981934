"""Which of several datastores of one name is meant, on a host and on a vCenter."""

from __future__ import annotations

import pytest

from tests.unit.collector.host import Host
from tests.unit.collector.virtual import virtual
from vimlib import vim25
from vimlib._datastore.location import locate
from vimlib._inventory import find, paths_of
from vimlib.errors import NotFoundError, UsageError


def two_datacenters() -> Host:
    """A vCenter with DC1 and folder/DC1, each with a datastore named `ds`."""
    host = Host("8.0.3.0")
    root, folder = host.ref(vim25.Folder, "root"), host.ref(vim25.Folder, "sub")
    centers = [host.ref(vim25.Datacenter, name) for name in ("dc-1", "dc-2")]
    host.add(vim25.Folder, "root", name="Datacenters", childEntity=[centers[0], folder])
    host.add(vim25.Folder, "sub", name="folder", parent=root, childEntity=[centers[1]])
    for number, (center, parent) in enumerate(zip(centers, (root, folder), strict=True), 1):
        store = host.add(vim25.Datastore, f"ds-{number}", name="ds")
        browser = host.ref(vim25.HostDatastoreBrowser, f"browser-{number}")
        host.set(
            store,
            summary=vim25.DatastoreSummary(
                name="ds",
                url="",
                capacity=1,
                freeSpace=1,
                accessible=True,
                multipleHostAccess=False,
                type="VMFS",
            ),
            browser=browser,
        )
        host.add(
            vim25.Datacenter, center.moref[1], name=f"DC{number}", parent=parent, datastore=[store]
        )
    return host


@virtual
async def test_a_datacenter_is_selected_by_whatever_find_and_paths_return() -> None:
    host = two_datacenters()
    context = host.context()
    found = await find(context, "/**", vim25.Datacenter)
    paths = await paths_of(context, [item.obj for item in found])
    assert [item.path for item in found] == paths == ["/DC1", "/folder/DC2"]
    for item in found:
        wanted = item.path.strip("/")
        for given in (item, item.obj, item.path, wanted, wanted.rpartition("/")[2]):
            place = await locate(context, "ds", given)
            assert (place.datacenter.moref, place.datacenter_path) == (item.obj.moref, wanted)


@virtual
async def test_an_ambiguous_name_and_an_unknown_datacenter_are_refused() -> None:
    context = two_datacenters().context()
    with pytest.raises(UsageError, match="DC1, folder/DC2"):
        await locate(context, "ds")
    with pytest.raises(NotFoundError):
        await locate(context, "ds", "/DC9")
