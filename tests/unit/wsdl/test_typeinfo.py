"""The reader takes in what it knows and refuses, with file and line, what it does not."""

from pathlib import Path

import pytest

from wsdl import typeinfo
from wsdl.typeinfo import Flag, TypeInfoError, VmodlField


def write(directory: Path, source: str) -> Path:
    for name in typeinfo.FILES:
        (directory / name).write_text(source if name == "_typeinfo_vim.py" else "")
    return directory


def test_reads_every_kind_of_call(tmp_path: Path) -> None:
    tables = typeinfo.read(
        write(
            tmp_path,
            """
from .VmomiSupport import CreateDataType
AddVersion("v1", "vim25", "1.0", 1, "vim25")
AddVersionParent("v1", "v1")
newestVersions.Add("v1")
CreateEnumType("vim.Colour", "Colour", "v1", ["red", "blue"])
CreateDataType("vim.Spec", "Spec", "vmodl.DynamicData", "v1",
    [("key", "string[]", "v1", F_OPTIONAL | F_SECRET)])
CreateDataType("vim.Empty", "Empty", "vim.Spec", "v1", None)
CreateManagedType("vim.Thing", "Thing", "vmodl.ManagedObject", "v1",
    [("name", "string", "v1", 0, "System.View")],
    [("turn", "Turn_Task", "v1", (("by", "int", "v1", 0, None),),
      (0, "vim.Task", "void"), "Thing.Turn", ["vim.fault.Stuck"]),
     ("stop", "Stop", "v1", (), (0, "void", "void"), None, None)])
""",
        )
    )
    assert tables.versions["v1"] == typeinfo.Version("v1", "vim25", "1.0", True, "vim25")
    assert tables.parents == {"v1": {"v1"}}
    assert tables.enums["vim.Colour"].values == ("red", "blue")
    assert tables.data["vim.Spec"].fields == (
        VmodlField("key", "string[]", "v1", Flag.OPTIONAL | Flag.SECRET),
    )
    assert tables.data["vim.Empty"].fields == ()
    thing = tables.managed["vim.Thing"]
    assert thing.properties == (VmodlField("name", "string", "v1", Flag(0)),)
    turn, stop = thing.methods
    assert turn == typeinfo.VmodlMethod(
        "turn", "Turn_Task", "v1", (VmodlField("by", "int", "v1", Flag(0)),),
        Flag(0), "vim.Task", "void", "Thing.Turn", ("vim.fault.Stuck",),
    )  # fmt: skip
    assert (stop.privilege, stop.faults) == (None, ())


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "from os import path",
        'print("x")',
        'someVersions.Add("v1")',
        'AddVersion("v1", "vim25", "1.0", 0)',
        'AddVersion(name="v1")',
        'AddVersion("v1", "", "1.0", 0, "")\nAddVersion("v1", "", "2.0", 0, "")',
        'CreateEnumType("a", "A", "v1", ["x", 1])',
        'CreateEnumType("a", "A", "v1", None)',
        'CreateEnumType("a", "A", "v1", ["x"])\nCreateEnumType("a", "A", "v1", ["x"])',
        'CreateDataType("a", "A", "b", "v1", [("f", "int", "v1")])',
        'CreateDataType("a", "A", "b", "v1", [("f", "int", "v1", 16)])',
        'CreateDataType("a", "A", "b", "v1", [("f", "int", "v1", F_NEW)])',
        'CreateDataType("a", "A", "b", "v1", [("f", "int", "v1", F_LINK & F_OPTIONAL)])',
        'CreateDataType("a", "A", "b", "v1", {})',
        'CreateDataType("a", "A", "b", "v1", "none")',
        'CreateDataType("a", "A", "b".lower(), "v1", None)',
        'CreateManagedType("a", "A", "b", "v1", None, [("m", "M", "v1", (), (0, "void"), None, None)])',
        'CreateManagedType("a", "A", "b", "v1", None)',
    ],
)
def test_refuses_an_unknown_shape(tmp_path: Path, source: str) -> None:
    with pytest.raises(TypeInfoError) as caught:
        typeinfo.read(write(tmp_path, source))
    assert str(caught.value).startswith("_typeinfo_vim.py:")
