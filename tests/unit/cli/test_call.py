from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli.run import fault_text
from vimlib import vim25
from vimlib.simulator import ESXHost


@pytest.fixture
def machine(esx: ESXHost, vimctl: Vimctl) -> str:
    return f"VirtualMachine:{vimctl.json('instance', 'show', 'vm-0')['moref']}"


def test_a_plain_result_is_printed(esx: ESXHost, vimctl: Vimctl) -> None:
    assert vimctl.json("call", "ServiceInstance:ServiceInstance", "CurrentTime").startswith("20")


def test_a_task_is_printed_or_waited_for(esx: ESXHost, vimctl: Vimctl, machine: str) -> None:
    task = vimctl.json("call", machine, "PowerOnVM_Task")
    assert task["_typeName"] == "ManagedObjectReference"
    assert task["type"] == "Task"
    assert vimctl("call", machine, "PowerOffVM_Task", "--wait").out == ""
    assert vimctl.json("instance", "show", "vm-0")["power_state"] == "poweredOff"


@pytest.mark.parametrize("way", ["argument", "stdin", "file"])
def test_arguments_are_read_as_json(
    esx: ESXHost,
    vimctl: Vimctl,
    machine: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = json.dumps(
        {
            "spec": {
                "_typeName": "VirtualMachineConfigSpec",
                "extraConfig": [{"key": "a", "value": "b"}],
            }
        }
    )
    (tmp_path / "args").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    given = {"argument": text, "stdin": "-", "file": f"@{tmp_path / 'args'}"}[way]
    vimctl("call", machine, "ReconfigVM_Task", given, "--wait", "--json")
    found = vimctl.json("get", machine, "-p", "config.extraConfig")["props"]["config.extraConfig"]
    assert {"_typeName": "OptionValue", "key": "a", "value": "b"} in found


def test_a_fault_is_reported_by_name(esx: ESXHost, vimctl: Vimctl, machine: str) -> None:
    done = vimctl("call", machine, "PowerOffVM_Task", "--wait", "--json", code=1)
    assert done.document["error"]["type"] == "InvalidPowerState"


def test_a_refusal_of_the_host_is_a_sentence(esx: ESXHost, vimctl: Vimctl, machine: str) -> None:
    done = vimctl("call", machine, "PowerOffVM_Task", "--wait", code=1)
    assert done.err.splitlines()[-1].startswith(
        "vimctl: the host answered with the fault InvalidPowerState: the power state must allow a"
        " change to poweredOff, got poweredOff; the host says: The attempted operation"
    )


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (vim25.InvalidArgument(invalidProperty="spec.x"), ": invalidProperty is 'spec.x'"),
        (
            vim25.InvalidPowerState(requestedState="poweredOn", existingState="poweredOn"),
            ": the power state must allow a change to poweredOn, got poweredOn",
        ),
        (vim25.NotSupported(), ""),
    ],
)
def test_any_fault_has_its_name_and_its_fields_in_words(
    fault: vim25.MethodFault, text: str
) -> None:
    assert fault_text(fault) == f"the host answered with the fault {fault.fault_name}{text}"
    fault.localized_message = "No."
    assert fault_text(fault).endswith("the host says: No.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["VirtualMachine:1", "PowerOn"], "Did you mean PowerOnVM_Task"),
        (["VirtualMachine:1", "PowerOnVM_Task", "--wiat"], "unknown option: --wiat"),
        (["VirtualMachine:1", "AddPortGroup"], "has no method"),
        (
            ["VirtualMachine", "PowerOnVM_Task"],
            "a reference must be VirtualMachine:ID, got 'VirtualMachine'",
        ),
        (["VirtualMachine:1", "ReconfigVM_Task", "{"], "the arguments must be JSON"),
        (["VirtualMachine:1", "ReconfigVM_Task", '{"spek": {}}'], "spek"),
        (["VirtualMachine:1", "ReconfigVM_Task", "@/nonexistent"], "cannot read"),
        (
            ["VirtualMachine:1", "AcquireTicket", '{"ticketType": "mks"}', "--wait"],
            "a method that returns a task, got AcquireTicket",
        ),
    ],
)
def test_an_invalid_call_is_not_sent(
    esx: ESXHost, vimctl: Vimctl, words: list[str], said: str
) -> None:
    assert said in vimctl("call", *words, code=2).err
    assert esx.call_log == []
