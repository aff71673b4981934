from __future__ import annotations

import pytest

from tests.rig.login import connected
from tests.unit.collector.host import Host
from tests.unit.collector.virtual import virtual
from vimlib import vim25
from vimlib._inventory import FEW, InventoryPath, escape, find, paths_of, unescape
from vimlib._transport import EncodedCall, Reply
from vimlib._transport.base import Exchange
from vimlib.errors import InvalidPathError
from vimlib.simulator import ESXHost

VM = vim25.VirtualMachine


def tree(version: str = "8.0.3.0", vms: int = 3) -> Host:
    host = Host(version)

    def put(cls: type, value: str, name: str, parent: object = None, **props: object) -> object:
        return host.add(cls, value, name=name, parent=parent, **props)

    root = host.ref(vim25.Folder, "root")
    dc = host.ref(vim25.Datacenter, "dc")
    folders = {
        kind: host.ref(vim25.Folder, f"f-{kind}") for kind in ("vm", "host", "datastore", "network")
    }
    put(vim25.Folder, "root", "Datacenters", childEntity=[dc])
    put(
        vim25.Datacenter,
        "dc",
        "ha-dc",
        root,
        **{f"{kind}Folder": ref for kind, ref in folders.items()},
    )
    machines = [put(VM, f"vm-{n}", f"web-{n}", folders["vm"]) for n in range(vms)]
    odd = put(VM, "odd", "a%2fb%25c [x]", host.ref(vim25.Folder, "sub"))
    sub = put(vim25.Folder, "sub", "sub", folders["vm"], childEntity=[odd])
    put(vim25.Folder, "f-vm", "vm", dc, childEntity=[*machines, sub])
    pool = host.ref(vim25.ResourcePool, "pool")
    cr = host.ref(vim25.ComputeResource, "cr")
    esx = put(vim25.HostSystem, "esx", "esx1", cr)
    vapp = host.ref(vim25.VirtualApp, "vapp")
    inner = host.add(VM, "inner", name="inner", parentVApp=vapp)
    put(vim25.VirtualApp, "vapp", "app", pool, resourcePool=[], vm=[inner])
    put(vim25.ResourcePool, "pool", "Resources", cr, resourcePool=[vapp], vm=machines)
    put(vim25.ComputeResource, "cr", "esx1", folders["host"], host=[esx], resourcePool=pool)
    put(vim25.Folder, "f-host", "host", dc, childEntity=[cr])
    put(
        vim25.Folder,
        "f-datastore",
        "datastore",
        dc,
        childEntity=[put(vim25.Datastore, "ds", "datastore1", folders["datastore"])],
    )
    put(
        vim25.Folder,
        "f-network",
        "network",
        dc,
        childEntity=[put(vim25.Network, "net", "VM Network", folders["network"])],
    )
    return host


@pytest.mark.parametrize("version", ["4.0", "8.0.3.0"])
@virtual
async def test_paths_of_many_objects_of_all_kinds(version: str) -> None:
    host = tree(version)
    ref = host.ref
    objects = [
        ref(VM, "vm-1"),
        ref(VM, "odd"),
        ref(VM, "inner"),
        ref(vim25.Datastore, "ds"),
        ref(vim25.HostSystem, "esx"),
        ref(vim25.Folder, "root"),
        ref(vim25.Datacenter, "dc"),
        ref(vim25.VirtualApp, "vapp"),
    ]
    assert await paths_of(host.context(), objects) == [
        "/ha-dc/vm/web-1",
        "/ha-dc/vm/sub/a%2fb%25c [x]",
        # What a host of 4.0 does not say: VirtualMachine.parentVApp is younger.
        None if version == "4.0" else "/ha-dc/host/esx1/Resources/app/inner",
        "/ha-dc/datastore/datastore1",
        "/ha-dc/host/esx1/esx1",
        "/",
        "/ha-dc",
        "/ha-dc/host/esx1/Resources/app",
    ]
    assert len(host.calls) == 1
    assert await paths_of(host.context(), []) == []


@virtual
async def test_paths_take_as_many_calls_for_a_thousand_as_for_thirty() -> None:
    counts = []
    for vms in (30, 900):
        host = tree(vms=vms)
        machines = [host.ref(VM, f"vm-{n}") for n in range(vms)]
        assert await paths_of(host.context(), machines) == [
            f"/ha-dc/vm/web-{n}" for n in range(vms)
        ]
        counts.append(len(host.calls))
        assert host.leftovers() == []
    assert counts == [3, 3]


@pytest.mark.parametrize("version", ["4.0", "8.0.3.0"])
@virtual
async def test_what_is_gone_or_hidden_has_no_path(version: str) -> None:
    host = tree(version)
    dc = host.ref(vim25.Datacenter, "dc")
    assert await paths_of(host.context(), [host.ref(VM, "nobody")]) == [None]
    some = [host.ref(VM, "nobody"), host.ref(VM, "vm-1"), host.ref(VM, "no other")]
    assert [path is None for path in await paths_of(host.context(), some)] == [True, False, True]
    host.denied[dc.moref, "name"] = vim25.NoPermission(object=dc, privilegeId="System.View")
    assert await paths_of(host.context(), [host.ref(VM, "vm-1")]) == [None]


@virtual
async def test_a_ring_of_parents_ends() -> None:
    host = Host()
    a, b = host.ref(vim25.Folder, "a"), host.ref(vim25.Folder, "b")
    host.add(vim25.Folder, "a", name="a", parent=b)
    host.add(vim25.Folder, "b", name="b", parent=a)
    assert await paths_of(host.context(), [a]) == [None]


@pytest.mark.parametrize(
    ("pattern", "kind", "found"),
    [
        ("/*/vm/web-*", VM, ["/ha-dc/vm/web-0", "/ha-dc/vm/web-1", "/ha-dc/vm/web-2"]),
        ("/ha-dc/vm/web-?", VM, ["/ha-dc/vm/web-0", "/ha-dc/vm/web-1", "/ha-dc/vm/web-2"]),
        ("/*/vm/web-[^1]", VM, ["/ha-dc/vm/web-0", "/ha-dc/vm/web-2"]),
        ("/*/vm/web-[0-1]", VM, ["/ha-dc/vm/web-0", "/ha-dc/vm/web-1"]),
        ("/*/vm/*", VM, ["/ha-dc/vm/web-0", "/ha-dc/vm/web-1", "/ha-dc/vm/web-2"]),
        ("/*/vm/*", vim25.Folder, ["/ha-dc/vm/sub"]),
        (r"/*/vm/sub/a%2Fb%25c \[x\]", VM, ["/ha-dc/vm/sub/a%2fb%25c [x]"]),
        ("/*/vm/sub/a?b*", VM, ["/ha-dc/vm/sub/a%2fb%25c [x]"]),
        ("web-1", VM, ["/ha-dc/vm/web-1"]),
        ("a*", VM, ["/ha-dc/vm/sub/a%2fb%25c [x]"]),
        ("sub/*", VM, ["/ha-dc/vm/sub/a%2fb%25c [x]"]),
        ("datastore1", vim25.Datastore, ["/ha-dc/datastore/datastore1"]),
        ("VM*", vim25.Network, ["/ha-dc/network/VM Network"]),
        ("esx1", vim25.HostSystem, ["/ha-dc/host/esx1/esx1"]),
        ("/**/inner", VM, ["/ha-dc/host/esx1/Resources/app/inner"]),
        ("/.../web-0", VM, ["/ha-dc/vm/web-0"]),
        ("/**", vim25.Datacenter, ["/ha-dc"]),
        ("/", vim25.ManagedEntity, ["/"]),
        ("/*", vim25.ManagedEntity, ["/ha-dc"]),
        (
            "ha-dc/*",
            vim25.Folder,
            ["/ha-dc/vm", "/ha-dc/host", "/ha-dc/datastore", "/ha-dc/network"],
        ),
        ("/*/vm/WEB-*", VM, []),
        ("/nobody/vm/*", VM, []),
        ("/*/vm/web-1/deeper", VM, []),
    ],
)
@virtual
async def test_find(pattern: str, kind: type[vim25.ManagedObject], found: list[str]) -> None:
    host = tree()
    assert [str(item) for item in await find(host.context(), pattern, kind)] == found
    assert len(host.calls) <= 8
    assert host.leftovers() == []


@virtual
async def test_find_takes_a_call_a_level_however_many_objects_there_are() -> None:
    host = tree(vms=900)
    assert len(await find(host.context(), "/*/vm/web-*", VM)) == 900
    assert host.count("RetrievePropertiesEx") == 3
    assert len(host.calls) == 3


@pytest.mark.parametrize("pattern", ["/a//b", "/a/[b", "/a/[]", "/a/[z-a]"])
@virtual
async def test_a_pattern_that_cannot_be_is_refused(pattern: str) -> None:
    host = tree()
    with pytest.raises(InvalidPathError):
        await find(host.context(), pattern)
    assert host.calls == []


@pytest.mark.parametrize("name", ["plain", "a/b", "100%", "%2f", "a\\b", "%252f", "ü/ß"])
def test_escaping_comes_back(name: str) -> None:
    assert unescape(escape(name)) == name
    assert "/" not in escape(name)


@pytest.mark.parametrize("behind", ["CreateListView", "CreateContainerView"])
async def test_row_31_a_view_that_ends_with_its_session_is_made_anew(behind: str) -> None:
    async with ESXHost(version="8.0", vms=FEW + 1) as esx:
        ended: list[str] = []

        class Ending:
            async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
                reply = await exchange(call)
                if call.method == behind and not ended:
                    ended.append(behind)
                    esx.expire_sessions()
                return reply

        async with connected(esx) as client:
            machines = [row.obj for row in await client.collect(vim25.VirtualMachine).all()]
        async with connected(esx, middleware=[Ending()]) as client:
            if behind == "CreateListView":
                paths = await paths_of(client._context, machines)
            else:
                paths = [item.path for item in await find(client._context, "/**/vm-*")]
        assert ended
        assert sorted(str(path) for path in paths) == sorted(
            f"/ha-datacenter/vm/vm-{n}" for n in range(len(machines))
        )


WILD = ["web[1]", "web1", "*", "web-?", "**", "...", "a%2fb", "a%5cb", "50%25", "[", "x y"]


@virtual
async def test_a_path_leads_back_to_its_own_object_whatever_its_name_contains() -> None:
    host = tree()
    folder = host.ref(vim25.Folder, "f-vm")
    made = [host.add(VM, f"wild-{n}", name=name, parent=folder) for n, name in enumerate(WILD)]
    host.objects[folder.moref]["childEntity"] += made
    paths = await paths_of(host.context(), made)
    for obj, path in zip(made, paths, strict=True):
        assert isinstance(path, InventoryPath)
        (found,) = await find(host.context(), path)
        assert (found.obj, found.path) == (obj, path)


@virtual
async def test_the_path_of_the_root_folder_leads_back_to_it() -> None:
    host = tree()
    root = host.ref(vim25.Folder, "root")
    (path,) = await paths_of(host.context(), [root])
    assert path is not None
    assert [item.obj.moref for item in await find(host.context(), path)] == [root.moref]


@virtual
async def test_the_same_text_without_the_type_is_a_pattern() -> None:
    host = tree()
    folder = host.ref(vim25.Folder, "f-vm")
    host.objects[folder.moref]["childEntity"] += [
        host.add(VM, "set", name="web[1]", parent=folder),
        host.add(VM, "one", name="web1", parent=folder),
    ]
    assert [item.obj.moref[1] for item in await find(host.context(), "/ha-dc/vm/web[1]")] == ["one"]
    exact = InventoryPath("/ha-dc/vm/web[1]")
    assert [item.obj.moref[1] for item in await find(host.context(), exact)] == ["set"]
    assert await find(host.context(), InventoryPath("/ha-dc/vm/gone[1]")) == []


@pytest.mark.parametrize("text", ["", "web", "/a//b", "/a/", "//"])
def test_a_text_that_is_not_a_path_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InvalidPathError, match="begins with / and has no empty part"):
        InventoryPath(text)
