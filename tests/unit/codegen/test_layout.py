from __future__ import annotations

from vimlib.codegen._layout import lay_out
from vimlib.codegen._schema import DataType, Schema


def schema(*types: tuple[str, str | None, str]) -> Schema:
    made = Schema("urn:x", "S")
    made.types = {n: DataType(n, base, (), origin=origin) for n, base, origin in types}
    return made


def test_areas_are_the_lower_case_parts_of_the_origin() -> None:
    made = lay_out(
        schema(
            ("A", None, "vim.vm.device.A"),
            ("B", None, "vim.B.Inner"),
            ("C", None, "vmodl.query.C"),
            ("D", None, ""),
        )
    )
    assert made == {"_types": ["D"], "_vim": ["B"], "_vm_device": ["A"], "_vmodl_query": ["C"]}


def test_a_base_stands_before_its_subtypes() -> None:
    made = lay_out(schema(("A", "Z", "vim.a.A"), ("Z", None, "vim.a.Z"), ("M", "A", "vim.a.M")))
    assert made == {"_a": ["Z", "A", "M"]}


def test_areas_that_derive_from_each_other_are_one_module() -> None:
    made = lay_out(
        schema(
            ("A", None, "vim.one.A"),
            ("B", "A", "vim.three.B"),
            ("C", "B", "vim.four.C"),
            ("D", "C", "vim.one.D"),
            ("E", "A", "vim.five.E"),
        )
    )
    modules = {name: module for module, names in made.items() for name in names}
    assert modules["A"] == modules["B"] == modules["C"] == modules["D"]
    assert modules["E"] == "_five"
