"""Machines that exist already: register, unregister, adopt, rename, annotate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._instances.change import OFF, MachineState, gather, reconfigure, require_whole
from vimdriver._instances.machine import OWNER_KEY, every, is_gone, read, reads
from vimdriver._instances.placement import gather_placement
from vimdriver._instances.types import Instance, check_name, check_text
from vimdriver._verbs import Host, Plan, Run, Step, already, returns, verb
from vimdriver.errors import ForeignInstanceError, InstanceExistsError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._inventory import escape, unescape
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from vimlib._client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredInstance:
    """A machine that is no longer in the inventory; its files are where they were."""

    path: str
    """Datastore path of its configuration file, by which `register` brings it back."""
    name: str
    uuid: str

    def to_json(self) -> dict[str, str]:
        """Return the document that `vimctl instance unregister --json` prints."""
        return asdict(self)


async def _by_file(client: Client) -> dict[str, vim25.VirtualMachine]:
    """Return the host's machines by the paths of their configuration files."""
    rows = await every(client, "config.files.vmPathName")
    return {str(row.props.get("config.files.vmPathName")): row.obj for row in rows}


@verb
async def register(host: Host, path: str, *, name: str | None = None) -> Plan[Instance]:
    """Add a machine to the inventory by its configuration file (`RegisterVM_Task`).

    It belongs to the owner whose mark it has, if any: `adopt` it to change it. Cancelling waits for the
    task, then takes it out of the inventory again.

    Args:
        path: Datastore path of its configuration file, as `[datastore1] web/web.vmx`.
        name: Another name than that in the file.

    Raises:
        NotFoundError: There is no such file.
        UsageError: The path does not name a configuration file, or the name is not valid.
        InstanceExistsError: It is registered already, or another machine has the name.
        MethodFault: The host refused.
    """
    file = DatastorePath.parse(path)
    if file.suffix != ".vmx":
        raise UsageError(
            f"path must name a machine's configuration file (.vmx), got {printable(path, 200)!r}",
            field="path",
        )
    if name is not None:
        check_name(name)
    # The call refuses it otherwise, and needs no reading of all machines.
    if host.dry and str(file) in await _by_file(host.client):
        raise InstanceExistsError(name=str(file))
    place = await gather_placement(host)
    folder = host.client.bind(place.folder)

    async def probe(run: Run) -> vim25.VirtualMachine | None:
        return (await _by_file(run.host.client)).get(str(file))

    async def undo(run: Run, vm: vim25.VirtualMachine) -> None:
        await run.host.client.bind(vm).UnregisterVM()

    def refused(run: Run, fault: vim25.MethodFault) -> vim25.VirtualMachine:
        if isinstance(fault, vim25.NotFound | vim25.FileNotFound):
            raise NotFoundError(f"file not found: {file}", kind="file", name=str(file)) from fault
        if isinstance(fault, vim25.AlreadyExists):
            raise InstanceExistsError(name=str(file)) from fault
        if isinstance(fault, vim25.DuplicateName):
            raise InstanceExistsError(name=fault.name or str(file)) from fault
        raise fault

    step = Step[vim25.VirtualMachine](
        title=f"register {file} (RegisterVM_Task)",
        makes=f"registration of {file}",
        call=lambda run: folder.RegisterVM_Task(
            str(file),
            name=None if name is None else escape(name),
            asTemplate=False,
            pool=place.pool,
            host=place.host,
        ),
        probe=probe,
        undo=undo,
        refused=refused,
        method="RegisterVM_Task",
    )

    async def result(run: Run) -> Instance:
        return await read(run.host.client, run[step])

    return Plan(f"register {file}", (step,), result)


@verb
async def unregister(host: Host, ref: str, *, foreign: bool = False) -> Plan[UnregisteredInstance]:
    """Take a machine that is off out of the inventory (`UnregisterVM`). Its files stay.

    Cancelling waits for the call.

    Args:
        ref: uuid, name or moref's value.
        foreign: A machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made it, and `foreign` is false.
        InstanceStateError: It is not off.
    """
    machine = await gather(host, ref, OFF, foreign=foreign)
    vm = machine.vm

    async def call(run: Run) -> bool:
        await vm.UnregisterVM()
        return True

    step = Step[bool](
        title="take it out of the inventory (UnregisterVM)",
        call=call,
        probe=is_gone(vm),
        refused=already(vim25.ManagedObjectNotFound),
        of=lambda run: vm,
        idempotent=True,
    )
    found = UnregisteredInstance(path=str(machine.vmx), name=machine.name, uuid=machine.uuid)
    return Plan(f"unregister {ref}", (step,), returns(found))


@verb
async def adopt(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Make a machine this owner's (`ReconfigVM_Task`), so that all verbs change it. Its own one stays so.

    Cancelling waits for the task, then gives it back.

    Args:
        ref: uuid, name or moref's value.
        foreign: Also a machine with the mark of another owner.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: It has the mark of another owner, and `foreign` is false.
        HostStateError: A spawn is making it, or has left it half-made.
        InstanceStateError: The host cannot reach its files.
    """
    machine = await gather(host, ref, foreign=True)
    if machine.owner and machine.owner != host.owner and not foreign:
        raise ForeignInstanceError(name=ref, owner=machine.owner)
    require_whole(machine)
    ours, before = host.owner, machine.owner

    def mark(owner: str) -> vim25.VirtualMachineConfigSpec:
        option = vim25.OptionValue(key=OWNER_KEY, value=owner)
        return vim25.VirtualMachineConfigSpec(extraConfig=[option])

    step = reconfigure(
        machine,
        f"set {OWNER_KEY}",
        lambda run: mark(ours),
        lambda run, now: now.owner == ours,
        undo=lambda run, now: mark(before) if now.owner == ours else None,
        makes=f"owner mark of {ref}",
    )
    return Plan(f"adopt {ref}", (step,) if before != ours else (), reads(machine.vm))


@verb
async def rename(host: Host, ref: str, name: str, *, foreign: bool = False) -> Plan[Instance]:
    """Give a machine another name (`Rename_Task`), running or not. Its files keep theirs.

    Cancelling waits for the task, then gives it its former name again.

    Args:
        ref: uuid, name or moref's value.
        name: The new name, 1 to 80 characters of any script, as people write it.
        foreign: A machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        UsageError: The name is not valid.
        InstanceExistsError: Another machine has the name.
        ForeignInstanceError: Another made it, and `foreign` is false.
    """
    check_name(name)
    machine = await gather(host, ref, foreign=foreign)
    step = _rename_step(machine, name)
    return Plan(f"rename {ref}", (step,) if name != machine.name else (), reads(machine.vm))


def _rename_step(machine: MachineState, name: str) -> Step[Any]:
    vm = machine.vm

    async def is_named(run: Run) -> bool | None:
        row = await run.host.client.get(vm, "name")
        return unescape(row.props.get("name") or "") == name or None

    async def undo(run: Run, result: Any) -> None:
        # Somebody may have given it a third name since.
        if await is_named(run):
            task = await vm.Rename_Task(escape(machine.name))
            await run.host.client.wait(task, timeout=run.host.config.task_seconds)

    def refused(run: Run, fault: vim25.MethodFault) -> None:
        if isinstance(fault, vim25.DuplicateName):
            raise InstanceExistsError(name=name) from fault
        raise fault

    return Step[Any](
        title=f"rename it to {name!r} (Rename_Task)",
        makes=f"name of {machine.ref}",
        call=lambda run: vm.Rename_Task(escape(name)),
        probe=is_named,
        undo=undo,
        refused=refused,
        of=lambda run: vm,
    )


@verb
async def annotate(host: Host, ref: str, text: str, *, foreign: bool = False) -> Plan[Instance]:
    """Write a machine's annotation, its notes for people (`ReconfigVM_Task`), in place of the former one.

    Cancelling waits for the task, then writes the former one again.

    Args:
        ref: uuid, name or moref's value.
        text: The annotation; "" removes it.
        foreign: A machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        UsageError: The text has control characters other than tabs and line ends.
        ForeignInstanceError: Another made it, and `foreign` is false.
    """
    check_text("text", text)
    machine = await gather(host, ref, foreign=foreign)

    def spec(value: str) -> vim25.VirtualMachineConfigSpec:
        return vim25.VirtualMachineConfigSpec(annotation=value)

    step = reconfigure(
        machine,
        "write its annotation",
        lambda run: spec(text),
        lambda run, now: now.annotation == text,
        undo=lambda run, now: spec(machine.annotation) if now.annotation == text else None,
        makes=f"annotation of {ref}",
    )
    steps = (step,) if text != machine.annotation else ()
    return Plan(f"annotate {ref}", steps, reads(machine.vm))
