"""Each verb makes the number of host calls that the documentation has, and no more.

`pytest tests/unit/driver/test_call_numbers.py --write-calls` writes the table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted
from vimdriver._driver import ESXDriver
from vimdriver._verbs.verb import Query, Verb

PAGE = Path(__file__).parents[3] / "docs" / "driver" / "calls.md"
HEAD = "| verb | calls | of which |\n|---|---|---|\n"
# Longer than a task of the simulator takes: the first read of a task finds it ended.
LATENCY = 0.01
TRIES = 3


class Case(NamedTuple):
    """A verb in its usual case: the machine's reference is known already."""

    act: Callable[[ESXDriver, str], Awaitable[Any]]
    before: Callable[[ESXDriver, str], Awaitable[Any]] | None = None


async def on(driver: ESXDriver, ref: str) -> None:
    await driver.power_on(ref, foreign=True)


async def suspended(driver: ESXDriver, ref: str) -> None:
    await driver.power_on(ref, foreign=True)
    await driver.suspend(ref, foreign=True)


async def shot(driver: ESXDriver, ref: str) -> None:
    await driver.snapshot(ref, "one", foreign=True)


async def resized(driver: ESXDriver, ref: str) -> None:
    await driver.resize(ref, cpus=2, disk_gb=9, foreign=True)


async def root(driver: ESXDriver, ref: str) -> str:
    return next(one.path for one in await driver.devices(ref) if one.kind == "disk")


async def in_rescue(driver: ESXDriver, ref: str) -> None:
    await driver.rescue(ref, await root(driver, ref), foreign=True)


async def with_disk(driver: ESXDriver, ref: str) -> None:
    await driver.attach_disk(ref, size_gb=1, foreign=True)


CARD, DISK = "Network adapter 1", "Hard disk 2"
RESCUE = "[datastore1] vm-0/vm-0.vmdk"
CASES: dict[str, Case] = {
    "devices": Case(lambda d, r: d.devices(r)),
    "adopt": Case(lambda d, r: d.adopt(r)),
    "annotate": Case(lambda d, r: d.annotate(r, "text", foreign=True)),
    "rename": Case(lambda d, r: d.rename(r, f"renamed {r}", foreign=True)),
    "unregister": Case(lambda d, r: d.unregister(r, foreign=True)),
    "change_hardware": Case(lambda d, r: d.change_hardware(r, cpus=2, foreign=True)),
    "resize": Case(lambda d, r: d.resize(r, cpus=2, disk_gb=9, foreign=True)),
    "confirm_resize": Case(lambda d, r: d.confirm_resize(r, foreign=True), resized),
    "revert_resize": Case(lambda d, r: d.revert_resize(r, foreign=True), resized),
    "rescue": Case(lambda d, r: d.rescue(r, RESCUE, foreign=True)),
    "unrescue": Case(lambda d, r: d.unrescue(r, foreign=True), in_rescue),
    "rebuild": Case(lambda d, r: d.rebuild(r, RESCUE, foreign=True)),
    "attach_disk": Case(lambda d, r: d.attach_disk(r, size_gb=1, foreign=True)),
    "grow_disk": Case(lambda d, r: d.grow_disk(r, DISK, 2, foreign=True), with_disk),
    "detach_disk": Case(lambda d, r: d.detach_disk(r, DISK, foreign=True), with_disk),
    "attach_interface": Case(lambda d, r: d.attach_interface(r, "VM Network", foreign=True)),
    "change_interface": Case(
        lambda d, r: d.change_interface(r, CARD, connected=False, foreign=True)
    ),
    "detach_interface": Case(lambda d, r: d.detach_interface(r, CARD, foreign=True)),
    "clone": Case(lambda d, r: d.clone(r, f"clone {r}")),
    "list_instances": Case(lambda d, r: d.list_instances()),
    "info": Case(lambda d, r: d.info(r)),
    "power_on": Case(lambda d, r: d.power_on(r, foreign=True)),
    "power_off": Case(lambda d, r: d.power_off(r, foreign=True), on),
    "suspend": Case(lambda d, r: d.suspend(r, foreign=True), on),
    "resume": Case(lambda d, r: d.resume(r, foreign=True), suspended),
    "reboot": Case(lambda d, r: d.reboot(r, soft=False, foreign=True), on),
    "snapshot": Case(lambda d, r: d.snapshot(r, "two", foreign=True)),
    "snapshots": Case(lambda d, r: d.snapshots(r), shot),
    "revert_snapshot": Case(lambda d, r: d.revert_snapshot(r, "one", foreign=True), shot),
    "remove_snapshot": Case(lambda d, r: d.remove_snapshot(r, "one", foreign=True), shot),
    "diagnostics": Case(lambda d, r: d.diagnostics(r)),
    "guest_network": Case(lambda d, r: d.guest_network(r)),
    "console": Case(lambda d, r: d.console(r), on),
    "screenshot": Case(lambda d, r: d.screenshot(r, foreign=True), on),
    "destroy": Case(lambda d, r: d.destroy(r, foreign=True)),
    "host_info": Case(lambda d, r: d.host_info()),
    "host_identity": Case(lambda d, r: d.host_identity()),
    "host_capacity": Case(lambda d, r: d.host_capacity()),
    "datastores": Case(lambda d, r: d.datastores()),
}
# Their numbers depend on images, networks or what is left over, and other tests hold them to it.
ELSEWHERE = {"spawn", "set_guest_info", "shutdown", "ensure_vlan", "remove_vlan", "sweep",
             "wait_for_network", "events", "register"}  # fmt: skip


@pytest.fixture(scope="module")
def host(beside: Beside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A host with a machine for each try of each case."""
    folder = tmp_path_factory.mktemp("calls")
    with hosted(beside, folder, vms=TRIES * len(CASES), latency=LATENCY) as found:
        yield found


async def measure(host: Hosted, name: str, case: Case) -> Counter[str]:
    async with host.driver() as driver:
        ref = (await driver.info(name)).uuid
        if case.before is not None:
            await case.before(driver, ref)
        await driver.info(ref)
        seen = len(host.methods())
        await case.act(driver, ref)
        return Counter(host.methods()[seen:])


# Of the host itself: each try has a host of its own.
HOST: dict[str, Case] = {
    "services": Case(lambda d, r: d.services()),
    "control_service": Case(lambda d, r: d.control_service("TSM-SSH", "start")),
    "set_service_policy": Case(lambda d, r: d.set_service_policy("TSM-SSH", "on")),
    "firewall": Case(lambda d, r: d.firewall()),
    "set_ruleset": Case(lambda d, r: d.set_ruleset("CIMSLP", "closed")),
    "host_time": Case(lambda d, r: d.host_time()),
    "set_time_servers": Case(lambda d, r: d.set_time_servers(servers=("ntp1",))),
    "host_options": Case(lambda d, r: d.host_options()),
    "set_host_option": Case(lambda d, r: d.set_host_option("UserVars.SuppressShellWarning", "1")),
    "enter_maintenance": Case(lambda d, r: d.enter_maintenance()),
    "exit_maintenance": Case(lambda d, r: d.exit_maintenance(), lambda d, r: d.enter_maintenance()),
    "rescan": Case(lambda d, r: d.rescan()),
    "mount_nfs": Case(lambda d, r: d.mount_nfs("nas", "filer", "/a")),
    "unmount_nfs": Case(
        lambda d, r: d.unmount_nfs("nas"), lambda d, r: d.mount_nfs("nas", "filer", "/a")
    ),
    "tasks": Case(lambda d, r: d.tasks(), on),
    "logs": Case(lambda d, r: d.logs(lines=10), on),
    "metrics": Case(lambda d, r: d.metrics(r), on),
    "autostarts": Case(lambda d, r: d.autostarts()),
    "set_autostart": Case(lambda d, r: d.set_autostart(r, foreign=True)),
    "switches": Case(lambda d, r: d.switches()),
    "port_group_policies": Case(lambda d, r: d.port_group_policies()),
    "vmkernel": Case(lambda d, r: d.vmkernel()),
    "create_switch": Case(lambda d, r: d.create_switch("lab")),
    "remove_switch": Case(lambda d, r: d.remove_switch("lab"), lambda d, r: d.create_switch("lab")),
    "set_mtu": Case(lambda d, r: d.set_mtu("vSwitch0", 9000)),
    "set_port_group": Case(lambda d, r: d.set_port_group("VM Network", vlan=5)),
    "question": Case(lambda d, r: d.question(r)),
    "send_keys": Case(lambda d, r: d.send_keys(r, "x", foreign=True), on),
}


@pytest.mark.parametrize("verb", HOST)
async def test_a_verb_of_the_host_makes_no_more_calls_than_documented(
    verb: str, beside: Beside, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    writes = request.config.getoption("--write-calls")
    made: Counter[str] = Counter()
    for number in range(TRIES):
        given: dict[str, Any] = {"vms": 1, "latency": LATENCY, "exports": {"filer:/a": None}}
        with hosted(beside, tmp_path / str(number), **given) as found:
            tried = await measure(found, "vm-0", HOST[verb])
        made = tried if not made or tried.total() < made.total() else made
        if not writes and made.total() <= rows()[verb]:
            break
    if writes:
        write(row(verb, made))
    assert made.total() <= rows()[verb], made


def rows() -> dict[str, int]:
    return {
        name: int(count)
        for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text("utf-8"), re.M)
    }


def row(verb: str, made: Counter[str]) -> str:
    parts = ", ".join(f"{n} {method}" if n > 1 else method for method, n in sorted(made.items()))
    return f"| `{verb}` | {made.total()} | {parts} |\n"


@pytest.mark.parametrize("verb", CASES)
async def test_a_verb_makes_no_more_calls_than_documented(
    verb: str, host: Hosted, request: pytest.FixtureRequest
) -> None:
    writes = request.config.getoption("--write-calls")
    made: Counter[str] = Counter()
    for number in range(TRIES):
        machine = f"vm-{TRIES * list(CASES).index(verb) + number}"
        found = await measure(host, machine, CASES[verb])
        # On a busy machine a task may outlast its first read.
        made = found if not made or found.total() < made.total() else made
        if not writes and made.total() <= rows()[verb]:
            break
    if writes:
        write(row(verb, made))
    assert made.total() <= rows()[verb], made


def write(line: str) -> None:
    head, _, rest = PAGE.read_text("utf-8").partition(HEAD)
    lines = rest.splitlines(keepends=True)
    table = [text for text in lines if text.startswith("| `")]
    found = {text.split("`")[1]: text for text in (*table, line)}
    body = "".join(found[name] for name in sorted(found))
    tail = "".join(text for text in lines if text not in table)
    PAGE.write_text(head + HEAD + body + tail, "utf-8")


def test_every_verb_has_a_number() -> None:
    verbs = {
        name
        for name, value in vars(ESXDriver).items()
        if isinstance(value, Verb | Query)
        or (callable(value) and not name.startswith("_") and name not in ("aclose", "host"))
    }
    assert set(CASES) | ELSEWHERE <= verbs
    assert rows().keys() == set(CASES) | set(HOST)
