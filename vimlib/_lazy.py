"""Names of a package that load on first use, so that importing the package loads little.

Imports nothing of ours: every package may use it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def lazy(
    package: str, homes: dict[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    Args:
        package: The package's `__name__`.
        homes: Module of the package, without the package's name, to the names that it has,
            separated by blanks.
        modules: Modules of the package that are names of it themselves.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    shown = {*home_of, *modules}

    def load(name: str) -> Any:
        if name not in shown:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of.get(name)
        module = import_module(f"{package}.{home or name}")
        value = getattr(module, name) if home else module
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *shown})

    return load, names
