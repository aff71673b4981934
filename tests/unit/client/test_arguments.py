"""Every public callable refuses an argument of another type with one error, before it does anything."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vimdriver
import vimlib
from tests.rig.login import connected
from vimlib import vim25
from vimlib._arguments import typed
from vimlib.errors import ArgumentError
from vimlib.simulator import ESXHost

INVENTORY_PATH: Any = vimlib.InventoryPath
VM = vim25.VirtualMachine("1")
STORE = vimlib.DatastorePath("datastore1", "x")


async def _nothing() -> None:
    """Something to pass where a function is wanted."""


WRONG: dict[str, Any] = {
    "None": None,
    "int": 7,
    "text": "x",
    "bytes": b"x",
    "list": [object()],
    "object": object(),
    "class": bool,
    "machine": VM,
    "coroutine": _nothing,
}


# Without a host: constructors and functions, each with valid arguments.
PLAIN: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "DatastorePath": (vimlib.DatastorePath, ("datastore1", "a"), {}),
    "DatastorePath.parse": (vimlib.DatastorePath.parse, ("[datastore1] a",), {}),
    "DatastorePath.with_name": (STORE.with_name, ("y",), {}),
    "InventoryPath": (vimlib.InventoryPath, ("/a",), {}),
    "TLS": (vimlib.TLS, (), {"pin": "ab" * 32, "ca": None, "known_hosts": None, "legacy": False}),
    "Timeouts": (vimlib.Timeouts, (), {"connect": 1.0, "files": 2}),
    "RetryPolicy": (vimlib.RetryPolicy, (), {"attempts": 3, "budget": 2}),
    "HTTPTransport": (
        vimlib.HTTPTransport,
        ("https://h.test",),
        {"tls": None, "timeouts": None, "limits": None, "proxy": None, "connections": 3},
    ),
    "connect": (
        vimlib.connect,
        ("https://h.test", "root", "secret"),
        {"tls": None, "timeouts": None, "proxy": None, "connections": 3, "keepalive": 5.0},
    ),
    "via": (vimlib.via, (vim25.VirtualMachine, "datastore"), {}),
    "tracing": (vimlib.tracing, (), {"tracer": None}),
    "NIC": (vimdriver.NIC, ("00:50:56:00:00:01",), {"addresses": ("10.0.0.2/24",), "mtu": 1500}),
    "Route": (vimdriver.Route, ("10.0.0.0/8", "10.0.0.1"), {"metric": 1}),
    "GuestConfig": (vimdriver.GuestConfig, ("web",), {"nics": (), "search": ()}),
    "DriverConfig": (
        vimdriver.DriverConfig,
        (),
        {"owner": "me", "journal": None, "concurrency": 2},
    ),
    "NICSpec": (vimdriver.NICSpec, (), {"network": "n", "model": "e1000", "addresses": ()}),
    "InstanceSpec": (
        vimdriver.InstanceSpec,
        (),
        {"name": "web", "image": "i", "datastore": "d", "nics": (), "cpus": 1, "disk_gb": 1},
    ),
    "ImageInfo": (vimdriver.ImageInfo, (), {"id": "i", "name": "n", "size": 1}),
    "FileJournal": (vimdriver.FileJournal, (Path("/nowhere/j"),), {}),
    "HttpClient": (vimdriver.HttpClient, (), {"ca": None, "connect_timeout": 1.0}),
    "LocalImages.image": (vimdriver.LocalImages().image, ("/x",), {}),
    "open_cloud": (vimdriver.open_cloud, ("cloud",), {}),
}


def swapped(
    args: tuple[Any, ...], given: dict[str, Any], at: int | str, value: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with one replaced."""
    if isinstance(at, int):
        return (*args[:at], value, *args[at + 1 :]), given
    return args, {**given, at: value}


async def outcome(
    function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
) -> BaseException | None:
    """Call, await or enter, and return the error."""
    try:
        made = function(*args, **given)
        if inspect.isawaitable(made):
            await made
        elif hasattr(made, "__aenter__"):
            return None  # the arguments were accepted
        elif hasattr(made, "first"):
            await made.first()
    except Exception as error:  # noqa: BLE001 - the test's subject
        return error
    return None


async def _try_all(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
) -> list[str]:
    """Return the arguments for which something else than a `VimlibError` was raised."""
    failed = []
    for at in (*range(len(args)), *given):
        for what, wrong in WRONG.items():
            value = wrong() if what == "coroutine" else wrong
            error = await outcome(function, *swapped(args, given, at, value))
            if inspect.iscoroutine(value):
                value.close()
            if error is not None and not isinstance(error, vimlib.VimlibError):
                failed.append(f"{name}({at}={what}): {error!r}")
            elif isinstance(error, ArgumentError):
                assert "must be" in str(error), f"{name}({at}={what}): {error}"
    return failed


@pytest.mark.parametrize("name", PLAIN)
async def test_arguments_of_another_type_are_refused_without_a_host(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await _try_all(name, *PLAIN[name]) == []


def calls(client: vimlib.Client, driver: vimdriver.ESXDriver) -> dict[str, Any]:
    """Return the methods that need a host, with valid arguments."""
    store = client.datastore("datastore1")
    vm = client.bind(VM)
    config = vimdriver.DriverConfig()
    found: dict[str, Any] = {
        "bind": (client.bind, (VM,), {}),
        "invoke": (client.invoke, (vim25.ServiceInstance.CurrentTime, vm, {}), {}),
        "collect": (client.collect, (vim25.VirtualMachine, "name"), {"source": None, "limit": 1}),
        "get": (client.get, (vm, "name"), {}),
        "watch": (client.watch, (vim25.VirtualMachine, "name"), {"source": None, "batch": 1}),
        "find": (client.find, ("vm-0", vim25.VirtualMachine), {}),
        "paths": (client.paths, ([vm],), {}),
        "events": (client.events, (None,), {"since": None, "follow": False}),
        "wait_for": (client.wait_for, (vm, "name", bool, 1.0), {}),
        "wait": (client.wait, (vim25.Task("t"), 1.0, None), {"cancel": False}),
        "run": (client.run, (vm.PowerOffVM_Task, 1.0, None), {"attempts": 1, "probe": None}),
        "datastore": (client.datastore, ("datastore1",), {"datacenter": None, "settle": 1.0}),
        "lease": (client.lease, (vim25.HttpNfcLease("l"),), {"timeout": 1.0}),
        "list": (store.list, ("", "*"), {"timeout": 5.0}),
        "stat": (store.stat, ("x",), {"timeout": 5.0}),
        "exists": (store.exists, (STORE,), {"timeout": 5.0}),
        "mkdir": (store.mkdir, ("d",), {"parents": True, "exist_ok": True}),
        "delete": (store.delete, ("none",), {"missing_ok": True}),
        "move": (store.move, ("none", "other"), {"overwrite": False, "size": None}),
        "copy": (store.copy, ("none", "other"), {"overwrite": False}),
        "upload": (
            store.upload,
            ("up", b"data"),
            {"size": None, "progress": None, "overwrite": True},
        ),
        "confirm": (store.confirm, ("none", 1), {"timeout": 5.0}),
        "compare": (store.compare, ("none", "ab", "sha256"), {"progress": None}),
        "download": (store.download, ("none", None), {}),
        "ensure_vlan": (vimdriver.ensure_vlan, (client, "n", 7, config), {"interface": "vmnic9"}),
        "remove_vlan": (vimdriver.remove_vlan, (client, "n", config), {}),
        "list_port_groups": (vimdriver.list_port_groups, (client,), {}),
        "push_images": (
            vimdriver.push_images,
            (client, vimdriver.LocalImages(), ["/none"]),
            {"datastore": "none", "directory": "d", "concurrency": 1},
        ),
        "ESXDriver": (vimdriver.ESXDriver, (client, vimdriver.LocalImages()), {"config": None}),
        "driver.events": (driver.events, ("none",), {"since": None, "follow": False}),
        "sweep": (driver.sweep, (), {"older_than": 5.0, "dry_run": True, "forget": ()}),
        "wait_for_network": (driver.wait_for_network, ("none",), {"timeout": 1.0}),
        "spawn": (
            driver.spawn,
            (vimdriver.InstanceSpec(name="a", image="/none", datastore="none"),),
            {},
        ),
        "snapshot": (driver.snapshot, ("none", "s"), {"description": "", "memory": False}),
        "revert_snapshot": (driver.revert_snapshot, ("none", "s"), {}),
        "remove_snapshot": (driver.remove_snapshot, ("none", "s"), {"children": False}),
        "shutdown": (driver.shutdown, ("none",), {"timeout": 1.0, "force": False}),
        "reboot": (driver.reboot, ("none",), {"soft": True, "force": False}),
        "driver.ensure_vlan": (driver.ensure_vlan, ("n", 7), {"interface": "vmnic9"}),
    }
    for verb in ("info", "guest_network", "snapshots", "diagnostics", "console", "destroy",
                 "power_on", "power_off", "suspend", "resume", "screenshot", "remove_vlan"):  # fmt: skip
        found[f"driver.{verb}"] = (getattr(driver, verb), ("none",), {})
    return found


async def test_arguments_of_another_type_are_refused_by_every_method() -> None:
    async with ESXHost(vms=1) as esx, connected(esx) as client:
        driver = vimdriver.ESXDriver(client, vimdriver.LocalImages())
        failed = []
        for name, (function, args, given) in calls(client, driver).items():
            failed += await _try_all(name, function, args, given)
    assert failed == []


async def test_every_public_callable_is_in_the_tables() -> None:
    async with ESXHost() as esx, connected(esx) as client:
        driver = vimdriver.ESXDriver(client, vimdriver.LocalImages())
        names = {name.rpartition(".")[2] for name in (*PLAIN, *calls(client, driver))}
        public = {
            name
            for owner in (client, driver, client.datastore("datastore1"))
            for name in dir(owner)
            if not name.startswith("_") and callable(getattr(owner, name))
        }
    functions = {
        name
        for module in (vimlib, vimdriver)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }
    without = {"aclose", "host", "list_instances", "host_info", "place", "path", "put_request"}
    assert (public | functions) - names - without == {"set_guest_info"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.get(None), "obj must be a managed object or several, got NoneType"),
        (lambda c: c.run(_nothing()), r"Client.run: start must be Callable.*got coroutine\. Pass"),
        (lambda c: c.collect(None), "the kind must be a managed type, got None"),
        (lambda c: c.wait("x"), r"Client.wait: task must be Task\[T\], got str 'x'"),
        (lambda c: INVENTORY_PATH(None), "InventoryPath.__new__: path must be str, got None"),
        (lambda c: c.find("x", 7), "kind must be type.* got int 7"),
    ],
)
async def test_the_message_states_the_rule_the_value_and_what_to_try(
    call: Callable[[vimlib.Client], Any], message: str
) -> None:
    async with ESXHost() as esx, connected(esx) as client:
        with pytest.raises(vimlib.VimlibError, match=message):
            await call(client)


def test_a_refused_argument_is_a_type_error_with_its_name() -> None:
    with pytest.raises(TypeError) as caught:
        vimlib.DatastorePath(5)  # type: ignore[arg-type]
    assert isinstance(caught.value, ArgumentError)
    assert caught.value.field == "datastore"
    assert caught.value.wanted == "str"


def test_a_password_is_neither_shown_nor_kept_in_a_frame() -> None:
    with pytest.raises(ArgumentError) as caught:
        vimlib.connect(7, "root", "the-password")  # type: ignore[arg-type]
    assert "the-password" not in str(caught.value)
    trace = caught.value.__traceback__
    assert trace is not None
    trace = trace.tb_next  # this test's own frame has it
    while trace is not None:
        assert "the-password" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def test_a_checked_coroutine_function_makes_the_function_s_own_coroutine() -> None:
    @typed
    async def double(value: int, *, times: int | None = None) -> int:
        return value * 2

    loose: Any = double
    made = loose(4)
    assert made.cr_code is inspect.unwrap(double).__code__
    made.close()
    with pytest.raises(ArgumentError, match=r"times must be int \| None, got float 1\.5"):
        loose(4, times=1.5)
    with pytest.raises(ArgumentError, match="value must be int, got bool True"):
        loose(True)
