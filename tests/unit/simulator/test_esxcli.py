"""Calls that are not in the public description: esxcli with its types, and the type of a disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._managers.esxcli_commands import COMMANDS
from vimlib.simulator._properties.internal_api import (
    METHODS,
    ReflectManagedMethodExecuterSoapArgument,
    VimEsxCLICLIFault,
)
from vimlib.soap import decode_response, encode_request

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


class Shell:
    """Runs commands of a host."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def soap(self, moid: str, method: str, **arguments: str) -> Any:
        host = self.call.esx.host.ref
        executer = await self.call(METHODS["RetrieveManagedMethodExecuter"], host)
        given = [
            ReflectManagedMethodExecuterSoapArgument(name=name, val=f"<{name}>{value}</{name}>")
            for name, value in arguments.items()
        ]
        args = {"moid": moid, "version": "urn:vim25/5.0", "method": method, "argument": given}
        run = METHODS["ExecuteSoap"]
        return decode_response(run, (await self.call.raw(encode_request(run, executer, args))).body)

    async def __call__(self, name: str, **arguments: str) -> Any:
        """Run a command; return its rows, its one row, its text, or its error as an exception's text."""
        moid = "ha-cli-handler-" + name.rpartition(".")[0].replace(".", "-")
        found = await self.soap(moid, f"vim.EsxCLI.{name}", **arguments)
        if found.fault is not None:
            raise ValueError(found.fault.faultMsg)
        root = etree.fromstring(found.response)
        if root.get(XSI_TYPE) == "ArrayOfDataObject":
            return [row(item) for item in root]
        return row(root) if len(root) else root.text


def row(element: Any) -> dict[str, str]:
    return {etree.QName(child).localname: child.text or "" for child in element}


@pytest.fixture
async def shell(make: Callable[..., Any]) -> Shell:
    return Shell(await make(vms=1))


async def test_commands_show_the_host(shell: Shell) -> None:
    version = await shell("system.version.get")
    assert (version["Product"], version["Version"]) == ("VMware ESXi", "8.0.3")
    assert (await shell("system.hostname.get"))["HostName"] == "localhost"
    assert await shell("system.uuid.get") == shell.call.esx.host.uuid
    assert (await shell("network.firewall.get"))["DefaultAction"] == "DROP"
    names = {each["Name"] for each in await shell("network.vswitch.standard.portgroup.list")}
    assert names == {"VM Network", "Management Network"}
    [store] = await shell("storage.filesystem.list")
    assert (store["VolumeName"], store["Type"]) == ("datastore1", "VMFS-6")
    assert len(await shell("network.nic.list")) == 3


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not any(p.needed for p in c.parameters)])  # fmt: skip
async def test_every_command_without_arguments_answers(shell: Shell, name: str) -> None:
    found = await shell(name)
    assert found is not None
    for each in found if isinstance(found, list) else []:
        assert set(COMMANDS[name].columns) <= set(each) == set(COMMANDS[name].fields)
    if isinstance(found, dict):
        assert set(found) == set(COMMANDS[name].fields)


async def test_the_commands_have_more_than_a_dozen_name_spaces() -> None:
    assert len({command.space for command in COMMANDS.values()}) > 12


async def test_a_running_machine_is_listed_and_killed(shell: Shell) -> None:
    assert await shell("vm.process.list") == []
    machine = shell.call.esx.machine("vm-0")
    await shell.call.done(vim25.VirtualMachine.PowerOnVM_Task, machine.ref)
    [process] = await shell("vm.process.list")
    uuid = process["UUID"].replace(" ", "").replace("-", "")
    assert uuid == machine.config.uuid.replace("-", "")
    await shell("vm.process.kill", type="soft", worldid=process["WorldID"])
    assert machine.power == "poweredOff"
    with pytest.raises(ValueError, match="world ID 7"):
        await shell("vm.process.kill", type="soft", worldid="7")


async def test_an_option_that_is_set_is_that_of_the_option_manager(shell: Shell) -> None:
    await shell("system.settings.advanced.set", option="/NFS/MaxVolumes", intvalue="64")
    [shown] = await shell("system.settings.advanced.list", option="/NFS/MaxVolumes")
    assert (shown["IntValue"], shown["DefaultIntValue"]) == ("64", "32")
    options = vim25.OptionManager("ha-adv-options")
    [found] = await shell.call(vim25.OptionManager.QueryOptions, options, name="NFS.MaxVolumes")
    assert found.value == 64
    for arguments, words in (
        ({"option": "/NFS/MaxVolumes", "intvalue": "9999"}, "out of range"),
        ({"option": "/No/Such", "intvalue": "1"}, "Unable to find option Such"),
        ({"intvalue": "1"}, "Missing required parameter"),
        ({"option": "/NFS/MaxVolumes", "shade": "blue"}, "Invalid option --shade"),
        ({"option": "/NFS/MaxVolumes", "intvalue": "--5"}, "Missing required parameter"),
        ({"option": "/NFS/MaxVolumes", "intvalue": "\u00b2"}, "Missing required parameter"),
        ({"option": "/NFS/MaxVolumes", "intvalue": "9" * 5000}, "Missing required parameter"),
        ({"option": "/NFS/MaxVolumes", "default": "maybe"}, "Invalid value of --default: maybe"),
    ):
        with pytest.raises(ValueError, match=words):
            await shell("system.settings.advanced.set", **arguments)


async def test_comments_in_an_argument_are_skipped(shell: Shell) -> None:
    name = "vim.EsxCLI.network.firewall.ruleset.list"
    value = "snmp</rulesetid><!-- a --><?b?><rulesetid>"
    found = await shell.soap("ha-cli-handler-network-firewall-ruleset", name, rulesetid=value)
    assert etree.fromstring(found.response).findtext(".//{*}Name") == "snmp"


async def test_a_ruleset_is_disabled(shell: Shell) -> None:
    await shell("network.firewall.ruleset.set", rulesetid="snmp", enabled="false")
    [found] = await shell("network.firewall.ruleset.list", rulesetid="snmp")
    assert found["Enabled"] == "false"


async def test_a_ruleset_is_limited_to_its_addresses(shell: Shell) -> None:
    firewall = shell.call.esx.registry.one("HostFirewallSystem")
    for text, allowed in (("false", False), ("true", True)):
        await shell("network.firewall.ruleset.set", rulesetid="sshServer", allowedall=text)
        assert firewall.find("sshServer").allowedHosts.allIp is allowed
    for arguments, words in (
        ({"rulesetid": "sshServer", "enabled": "false"}, "required ruleset"),
        ({"rulesetid": "snmp", "enabled": "maybe"}, "Invalid value of --enabled: maybe"),
        ({"rulesetid": "nonesuch", "enabled": "true"}, "Invalid ruleset id: nonesuch"),
    ):
        with pytest.raises(ValueError, match=words):
            await shell("network.firewall.ruleset.set", **arguments)


async def test_what_is_not_there_is_an_error_of_the_result(shell: Shell) -> None:
    with pytest.raises(ValueError, match=r"Unknown command or namespace no\.such\.list"):
        await shell("no.such.list")
    with pytest.raises(vim25.ManagedObjectNotFound):
        await shell.soap("ha-elsewhere", "vim.EsxCLI.system.version.get")
    bad = await shell.soap("ha-cli-handler-system-version", "vim.EsxCLI.system.version.get", x="<")
    assert bad.fault.faultMsg.startswith("EsxCLI.CLIFault.summary: Invalid argument")


async def test_commands_are_described(shell: Shell) -> None:
    found = await shell.soap(
        "ha-dynamic-type-manager-local-cli-cliinfo",
        "vim.CLIInfo.FetchCLIInfo",
        typeName="vim.EsxCLI.system.settings.advanced",
    )
    root = etree.fromstring(found.response)
    methods = root.findall("{*}method")
    assert [m.findtext("{*}name") for m in methods] == ["list", "set"]
    aliases = [p.findtext("{*}aliases") for p in methods[1].findall("{*}param")]
    assert aliases == ["-d", "-i", "-o", "-s"]


async def test_types_of_commands_are_listed(shell: Shell) -> None:
    manager = await shell.call(METHODS["RetrieveDynamicTypeManager"], shell.call.esx.host.ref)
    objects = await shell.call(METHODS["DynamicTypeMgrQueryMoInstances"], manager)
    assert ("ha-cli-handler-vm-process", "vim.EsxCLI.vm.process") in {
        (each.id, each.moType) for each in objects
    }
    types = await shell.call(METHODS["DynamicTypeMgrQueryTypeInfo"], manager)
    [process] = [t for t in types.managedTypeInfo if t.name == "vim.EsxCLI.vm.process"]
    assert [method.name for method in process.method] == ["list", "kill"]


async def test_a_disk_has_a_type_and_parents(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    machine = call.esx.machine("vm-0")
    snapshot = {"name": "s", "memory": False, "quiesce": False}
    await call.done(vim25.VirtualMachine.CreateSnapshot_Task, machine.ref, **snapshot)
    name = machine.disks()[0].backing.fileName
    query, manager = METHODS["QueryVirtualDiskInfo_Task"], call.content.virtualDiskManager

    async def info(*, parents: bool) -> list[tuple[str, str, str | None]]:
        args = {"name": name, "includeParents": parents}
        ref = decode_response(query, (await call.raw(encode_request(query, manager, args))).body)
        task = call.esx.registry.find(ref)
        await task.work
        # The types are not in the public description, so a client keeps them as they are.
        shown = (await call.read(ref, "info.result"))["info.result"]
        assert shown.type == "ArrayOfVirtualDiskInfo"
        rows = [dict(each.children) for _, each in shown.children]
        return [
            (dict(each["unit"].children)["name"], each["diskType"], each.get("parent"))
            for each in rows
        ]

    assert await info(parents=False) == [(name, "delta", "[datastore1] vm-0/vm-0.vmdk")]
    assert [row[1] for row in await info(parents=True)] == ["delta", "thin"]


async def test_an_old_host_has_no_executer(make: Callable[..., Any]) -> None:
    call = await make(version="4.1")
    for name in ("RetrieveManagedMethodExecuter", "RetrieveDynamicTypeManager"):
        with pytest.raises(vim25.MethodNotFound):
            await call(METHODS[name], call.esx.host.ref)


async def test_commands_are_methods_of_their_name_space_on_4_1(make: Callable[..., Any]) -> None:
    call = await make(version="4.1", vms=1)
    machine = call.esx.machine("vm-0")
    machine.set_power("poweredOn")
    manager = ManagedObject("ha-dynamic-type-manager", kind="InternalDynamicTypeManager")
    types = await call(METHODS["DynamicTypeMgrQueryTypeInfo"], manager)
    assert [each.name for each in types.managedTypeInfo] == ["vim.EsxCLI.vms.vm", "vim.CLIInfo"]
    space = ManagedObject("ha-cli-handler-vms-vm", kind="VimEsxCLIvmsvm")
    [row] = await call(METHODS["VimEsxCLIvmsvmlist"], space)
    fields = dict(row.children)
    assert (row.type, fields["DisplayName"]) == ("VimEsxCLIvmsvmlist", "vm-0")
    kill = METHODS["VimEsxCLIvmsvmkill"]
    with pytest.raises(VimEsxCLICLIFault) as caught:
        await call(kill, space, type="soft")
    assert caught.value.errMsg == ["Missing required parameter -w|--world-id"]
    assert await call(kill, space, type="soft", worldid=fields["WorldID"]) is True
    assert machine.power == "poweredOff"


async def test_a_host_before_4_1_has_no_commands(make: Callable[..., Any]) -> None:
    call = await make(version="4.0")
    manager = ManagedObject("ha-dynamic-type-manager", kind="InternalDynamicTypeManager")
    with pytest.raises(vim25.MethodFault):
        await call(METHODS["DynamicTypeMgrQueryTypeInfo"], manager)


async def test_a_request_may_have_the_internal_namespace(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    query = METHODS["QueryVirtualDiskInfo_Task"]
    args = {"name": "[datastore1] vm-0/vm-0.vmdk", "includeParents": False}
    body = encode_request(query, call.content.virtualDiskManager, args)
    assert body.count(b'"urn:vim25"') == 1
    body = body.replace(b'"urn:vim25"', b'"urn:internalvim25"')
    ref = decode_response(query, (await call.raw(body)).body)
    assert ref.moref[0] == "Task"
