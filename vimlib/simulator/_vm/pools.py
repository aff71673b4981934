"""Resource pools: made, changed, filled and destroyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._core.objects import unescape_name
from vimlib.simulator._host.resources import ResourcePool, root_pool
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._vm.reconfigure import check_name
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task

_SHARES = {"low": 2000, "normal": 4000, "high": 8000}
"""Shares of a pool by level (SharesInfo)."""


def _check_free(parent: ResourcePool, name: str, *, but: ResourcePool | None = None) -> str:
    """Return the name of a pool as it is kept. Raises `InvalidName` or `DuplicateName`."""
    name = unescape_name(name)
    check_name(name)
    for other in parent.pools:
        if other.name == name and other is not but:
            raise with_message(vim25.DuplicateName(name=name, object=other.ref))
    return name


def _checked(pool: ResourcePool, spec: Any, old: Any) -> Any:
    """Return an allocation, completed by the old one, within the host's resources."""
    shape = pool.owner.host.shape
    found = {}
    for part, whole in (
        ("cpuAllocation", shape.cores * shape.mhz),
        ("memoryAllocation", shape.memory >> 20),
    ):
        given = getattr(spec, part)
        before = getattr(old, part) if old is not None else None
        fields = {
            name: value
            if (value := getattr(given, name)) is not None
            else getattr(before, name, None)
            for name in ("reservation", "expandableReservation", "limit", "shares")
        }
        shares = fields["shares"]
        if shares is not None and shares.level in _SHARES:
            fields["shares"] = vim25.SharesInfo(level=shares.level, shares=_SHARES[shares.level])
        wanted = fields["reservation"] or 0
        if wanted > whole:
            raise _insufficient(part, whole, wanted)
        if fields["limit"] is not None and fields["limit"] < -1:
            raise invalid_argument(f"spec.{part}.limit", str(fields["limit"]))
        found[part] = vim25.ResourceAllocationInfo(**fields)
    return replace(spec, entity=pool.ref, **found)


def _insufficient(part: str, whole: int, wanted: int) -> Any:
    cls = (
        vim25.InsufficientCpuResourcesFault
        if part == "cpuAllocation"
        else vim25.InsufficientMemoryResourcesFault
    )
    return with_message(
        cls(unreserved=whole, requested=wanted),
        "The available resources in the parent resource pool are insufficient for the operation.",
    )


@handles(ResourcePool, "CreateResourcePool")
def create_pool(pool: ResourcePool, call: Call) -> Any:
    """Make a resource pool."""
    registry = call.registry
    registry.require_licence()
    name = _check_free(pool, call.args["name"])
    spec = _checked(pool, call.args["spec"], None)
    made = ResourcePool(registry, f"pool{registry.serial()}", name, pool, pool.owner)
    made.allocation = replace(spec, entity=made.ref)
    pool.pools[made] = None
    pool.changed("resourcePool")
    return made.ref


@handles(ResourcePool, "UpdateConfig")
def update_pool(pool: ResourcePool, call: Call) -> None:
    """Rename a pool or change its allocation; values not given stay."""
    pool.registry.require_licence()
    parent = pool.parent
    if not isinstance(parent, ResourcePool):
        raise with_message(vim25.NotSupported())  # the root of a host is fixed
    name = _check_free(parent, call.args["name"], but=pool) if call.get("name") else pool.name
    if call.get("config") is not None:
        pool.allocation = _checked(pool, call.args["config"], pool.allocation)
    pool.name = name
    pool.changed("name", "config", "summary")


@handles(ResourcePool, "UpdateChildResourceConfiguration")
def update_children(pool: ResourcePool, call: Call) -> None:
    """Change the allocation of pools and machines right below."""
    registry = pool.registry
    for spec in call.args["spec"]:
        child = registry.find(spec.entity) if spec.entity is not None else None
        if child not in pool.children():
            raise invalid_argument("spec.entity")
        if isinstance(child, ResourcePool):
            child.allocation = _checked(child, spec, child.allocation)
            child.changed("config", "summary")
        elif isinstance(child, VirtualMachine):
            checked = _checked(pool, spec, child.config)
            child.set_config(
                replace(
                    child.config,
                    cpuAllocation=checked.cpuAllocation,
                    memoryAllocation=checked.memoryAllocation,
                )
            )


@handles(ResourcePool, "MoveIntoResourcePool")
def move_into(pool: ResourcePool, call: Call) -> None:
    """Move machines and pools into a pool."""
    registry = pool.registry
    moved = [registry.find(ref) for ref in call.args["list"]]
    for each in moved:
        above: Any = pool
        while isinstance(above, ResourcePool):
            if above is each:
                raise invalid_argument("list")
            above = above.parent
        if not isinstance(each, ResourcePool | VirtualMachine) or each is root_pool(registry):
            raise invalid_argument("list")
        if isinstance(each, ResourcePool):
            _check_free(pool, each.name, but=each)
    for each in moved:
        if isinstance(each, VirtualMachine):
            old = each.pool
            old.machines.pop(each, None)
            each.pool = pool
            pool.machines[each] = None
            each.changed("resourcePool")
        else:
            assert isinstance(each.parent, ResourcePool)
            old = each.parent
            old.pools.pop(each, None)
            each.parent = pool
            pool.pools[each] = None
            each.changed("parent")
        for changed in (old, pool):
            changed.changed("resourcePool", "vm")


def dissolve(pool: ResourcePool) -> None:
    """Remove a pool; its contents go to the pool above."""
    parent = pool.parent
    assert isinstance(parent, ResourcePool)
    for machine in tuple(pool.machines):
        machine.pool = parent
        parent.machines[machine] = None
        machine.changed("resourcePool")
    for inner in tuple(pool.pools):
        inner.parent = parent
        parent.pools[inner] = None
        inner.changed("parent")
    parent.pools.pop(pool, None)
    pool.remove()
    parent.changed("resourcePool", "vm")


@handles(ResourcePool, "DestroyChildren")
def destroy_children(pool: ResourcePool, call: Call) -> None:
    """Remove the pools below a pool; their machines go to it."""
    pool.registry.require_licence()
    while pool.pools:
        dissolve(next(iter(pool.pools)))


def destroy_pool(pool: ResourcePool, call: Call) -> Any:
    """Return a task that removes a pool."""

    async def work(task: Task) -> None:
        dissolve(pool)

    return start_task(call, pool, work)


@handles(ResourcePool, "RefreshRuntime")
def refresh(pool: ResourcePool, call: Call) -> None:
    """Do nothing: nothing is stale."""
