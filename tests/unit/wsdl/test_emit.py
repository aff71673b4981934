"""The emitted texts: a schema that compiles and judges rightly, a sidecar that agrees with it."""

import re
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from wsdl.emit_sidecar import _LINE
from wsdl.emit_xsd import ANNOTATIONS, NAMESPACE

XSD = "{http://www.w3.org/2001/XMLSchema}"
V = f"{{{ANNOTATIONS}}}"


@pytest.fixture(scope="module")
def validator(xsd: Any) -> Any:
    return etree.XMLSchema(xsd)


def body(text: str) -> Any:
    return etree.fromstring(
        f'<r xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xmlns:xsd="http://www.w3.org/2001/XMLSchema">{text}</r>'
    )[0]


VM = '<_this type="VirtualMachine">vm-1</_this>'

DEVICE = f"""<ReconfigVM_Task>{VM}<spec>
 <deviceChange><operation>add</operation>
  <device xsi:type="{{type}}"><key>-1</key></device></deviceChange>
 <extraConfig><key>a</key><value xsi:type="xsd:string">b</value></extraConfig>
</spec></ReconfigVM_Task>"""


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (f'<PowerOnVM_Task>{VM}<host type="HostSystem">h</host></PowerOnVM_Task>', True),
        (f"<PowerOnVM_Task>{VM}</PowerOnVM_Task>", True),
        ("<PowerOnVM_Task/>", False),
        (f"<PowerOnVM_Task><host>h</host>{VM}</PowerOnVM_Task>", False),
        ("<PowerOnVM_TaskResponse><returnval>task-1</returnval></PowerOnVM_TaskResponse>", True),
        ("<PowerOnVM_TaskResponse/>", False),
        ("<ReloadResponse/>", True),
        (f"<ReconfigVM_Task>{VM}<spec><name>a</name><numCPUs>2</numCPUs></spec></ReconfigVM_Task>", True),
        (f"<ReconfigVM_Task>{VM}<spec><numCPUs>2</numCPUs><name>a</name></spec></ReconfigVM_Task>", False),
        (f"<ReconfigVM_Task>{VM}<spec><numCPUs>two</numCPUs></spec></ReconfigVM_Task>", False),
        (DEVICE.format(type="VirtualE1000"), True),
        (DEVICE.format(type="Description"), False),
        ("<InvalidPowerStateFault><existingState>poweredOn</existingState></InvalidPowerStateFault>", True),
        ("<InvalidPowerStateFault><existingState>odd</existingState></InvalidPowerStateFault>", False),
    ],
)  # fmt: skip
def test_schema_judges(validator: Any, text: str, valid: bool) -> None:
    assert validator.validate(body(text)) is valid, validator.error_log


def test_schema_counts(xsd: Any) -> None:
    names = [node.get("name") for node in xsd.findall(f"{XSD}complexType")]
    requests = [name for name in names if name.endswith("RequestType")]
    arrays = [name for name in names if name.startswith("ArrayOf")]
    assert (len(requests), len(arrays)) == (975, 599)
    assert len(names) == 2331 + 699 + len(requests) + len(arrays) + 1  # and ManagedObjectReference
    assert len(xsd.findall(f"{XSD}simpleType")) == 446
    assert len(xsd.findall(f"{XSD}element")) == 2 * 975 + 699


def test_every_item_of_the_schema_is_dated(xsd: Any, sidecar: Any) -> None:
    ids = {version["id"] for version in sidecar["versions"]}
    undated = [
        node.get("name")
        for node in xsd.iter(f"{XSD}complexType", f"{XSD}simpleType", f"{XSD}element")
        if node.get("name") and node.get(f"{V}since") not in ids and node.getparent() is not xsd
    ]
    # Their type carries the date.
    assert set(undated) == {"_this"} | {
        array.find(f".//{XSD}element").get("name")
        for array in xsd.findall(f"{XSD}complexType")
        if array.get("name").startswith("ArrayOf")
    }


def test_array_of_faults_holds_them_bare(xsd: Any) -> None:
    array = xsd.find(f"{XSD}complexType[@name='ArrayOfMethodFault']//{XSD}element")
    assert dict(array.attrib) == {
        "name": "MethodFault",
        "type": "vim25:MethodFault",
        "minOccurs": "0",
        "maxOccurs": "unbounded",
    }
    assert xsd.find(f"{XSD}complexType[@name='ArrayOfLocalizedMethodFault']") is None


def test_sidecar_agrees_with_the_schema(xsd: Any, sidecar: Any) -> None:
    """Both say which managed type a reference of a data type means, and what a type's area is."""
    structs = sidecar["data"] | sidecar["faults"]
    seen = 0
    for node in xsd.findall(f"{XSD}complexType"):
        if node.get(f"{V}vmodl") is None:
            continue
        entry = structs[node.get("name")]
        elements = list(node.iter(f"{XSD}element"))
        refs = {e.get("name"): e.get(f"{V}ref") for e in elements if e.get(f"{V}ref")}
        links = {e.get("name"): e.get(f"{V}link") for e in elements if e.get(f"{V}link")}
        assert entry == {
            "vmodl": node.get(f"{V}vmodl"),
            **({"refs": refs} if refs else {}),
            **({"links": links} if links else {}),
        }
        seen += 1
    assert seen == len(structs) == 2331 + 699
    enums = {n.get("name"): {"vmodl": n.get(f"{V}vmodl")} for n in xsd.findall(f"{XSD}simpleType")}
    assert sidecar["enums"] == enums


def test_sidecar_methods_are_the_operations(xsd: Any, sidecar: Any) -> None:
    elements = {node.get("name"): node for node in xsd.findall(f"{XSD}element")}
    types = {node.get("name"): node for node in xsd.findall(f"{XSD}complexType")}
    assert sum(len(managed["methods"]) for managed in sidecar["managed"].values()) == 975
    for owner, managed in sidecar["managed"].items():
        for method in managed["methods"]:
            request = types[elements[method["name"]].get("type").removeprefix("vim25:")]
            this, *params = request.iter(f"{XSD}element")
            assert this.get(f"{V}ref") == owner
            assert [
                (p.get("name"), p.get("minOccurs") == "0", p.get("maxOccurs") is not None)
                for p in params
            ] == [(p["name"], "optional" in p, "array" in p) for p in method["params"]]


def test_sidecar_shape(sidecar: Any) -> None:
    assert list(sidecar) == ["about", "versions", "managed", "data", "faults", "enums"]
    assert sidecar["about"]["format"] == 1
    assert sidecar["versions"][5] == {
        "id": "4.1", "vmodl": "vim.version.version6", "urn": "urn:vim25/4.1"
    }  # fmt: skip
    assert sidecar["versions"][2]["urn"] == "urn:vim25"
    folder = sidecar["managed"]["Folder"]
    assert (folder["vmodl"], folder["base"], folder["since"]) == (
        "vim.Folder", "ManagedEntity", "2.0"
    )  # fmt: skip
    create = next(m for m in folder["methods"] if m["name"] == "CreateVM_Task")
    moref = "ManagedObjectReference"
    assert create["short"] == "createVm"
    assert create["params"][1:] == [
        {"name": "pool", "type": moref, "ref": "ResourcePool", "since": "2.0"},
        {"name": "host", "type": moref, "ref": "HostSystem", "optional": True, "since": "2.0"},
    ]
    assert create["returns"] == {"type": moref, "ref": "Task"}
    assert create["task"] is True
    assert create["task_result"] == {"type": moref, "ref": "VirtualMachine"}
    assert create["faults"][0] == "VmConfigFault"


def test_sidecar_is_laid_out_an_item_a_line(committed: Path) -> None:
    lines = (committed / "vim25.json").read_text().splitlines()
    # Nothing breaks a scalar, so a long line must be one.
    assert [
        line for line in lines if len(line) > _LINE + 1 and not re.match(r' *"\w+": "', line)
    ] == []


def test_wsdl(committed: Path) -> None:
    root = etree.parse(str(committed / "vim25.wsdl")).getroot()
    ns = {"w": "http://schemas.xmlsoap.org/wsdl/", "s": "http://schemas.xmlsoap.org/wsdl/soap/"}
    power_on = root.find("w:portType/w:operation[@name='PowerOnVM_Task']", ns)
    assert [fault.get("name") for fault in power_on.findall("w:fault", ns)] == [
        "TaskInProgressFault", "InvalidStateFault", "InsufficientResourcesFaultFault",
        "VmConfigFaultFault", "FileFaultFault", "RuntimeFault",
    ]  # fmt: skip
    actions = {node.get("soapAction") for node in root.iterfind(".//s:operation", ns)}
    assert actions == {"urn:vim25/9.1.1.0"}


@pytest.mark.parametrize("name", ["vim25.wsdl", "vim25.xsd", "vim25.json"])
def test_each_file_says_where_it_came_from(committed: Path, name: str) -> None:
    start = (committed / name).read_text()[:400]
    assert "Generated by wsdl/build.py from the type facts of pyvmomi 9.1.1.0" in start
