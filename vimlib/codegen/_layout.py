"""Assign each type to a module of the package.

The areas are the API's own: `vim.vm.device.VirtualDisk` is in `_vm_device`. Their modules are
private: the package exports every type. Areas whose classes derive from each other's share one
module, since imports must not be circular.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vimlib.codegen._schema import DataType, Enum, ManagedType, Schema

_ONE_AREA = "_types"


def _area(origin: str) -> str:
    """Return the module for a dotted origin: its parts in lower case, without the root if there are
    more.
    """
    parts = []
    for part in origin.split(".")[:-1]:
        if not part[:1].islower():
            break
        parts.append(part)
    if not parts:
        return _ONE_AREA
    if len(parts) > 1 and parts[0] == "vim":
        del parts[0]
    name = f"_{'_'.join(parts)}"
    # `_binding` is the module that holds the tables.
    return f"{name}_" if name == "_binding" else name


def bases(schema: Schema) -> dict[str, str | None]:
    """Return the base class of every generated class."""
    return {n: t.base for n, t in schema.types.items()} | {
        n: m.base for n, m in schema.managed.items()
    }


def lay_out(schema: Schema) -> dict[str, list[str]]:
    """Return a map of module name to the names of its types, each after its base; modules
    sorted.
    """
    items: list[Enum | DataType | ManagedType] = [
        *schema.enums.values(),
        *schema.types.values(),
        *schema.managed.values(),
    ]
    home = {item.name: _area(item.origin) for item in items}
    base_of = bases(schema)
    while (cycle := _two_way(home, base_of)) is not None:
        keep, gone = cycle
        home = {name: keep if area == gone else area for name, area in home.items()}
    modules: dict[str, list[str]] = {}
    done: set[str] = set()

    def put(name: str) -> None:
        if name in done or name not in home:
            return
        done.add(name)
        base = base_of.get(name)
        if base is not None:
            put(base)
        modules.setdefault(home[name], []).append(name)

    for group in (schema.enums, schema.types, schema.managed):
        for name in sorted(group):
            put(name)
    return dict(sorted(modules.items()))


def _two_way(home: dict[str, str], base_of: dict[str, str | None]) -> tuple[str, str] | None:
    """Return two areas that derive from each other, directly or not, the shorter name first."""
    needs: dict[str, set[str]] = {}
    for name, base in base_of.items():
        if base in home and home[name] != home[base]:
            needs.setdefault(home[name], set()).add(home[base])
    for start in sorted(needs):
        reached, todo = set[str](), list(needs[start])
        while todo:
            area = todo.pop()
            if area not in reached:
                reached.add(area)
                todo += needs.get(area, ())
        if start in reached:
            back = sorted(a for a in reached if _reaches(needs, a, start) and a != start)
            first, second = sorted((start, back[0]), key=lambda a: (len(a), a))
            return first, second
    return None


def _reaches(needs: dict[str, set[str]], start: str, goal: str) -> bool:
    seen, todo = set[str](), [start]
    while todo:
        for area in needs.get(todo.pop(), ()):
            if area == goal:
                return True
            if area not in seen:
                seen.add(area)
                todo.append(area)
    return False
