"""One generated package: its namespace, its names and where each lives."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vimlib.model._method import Method

__all__ = ["Binding"]


class Binding:
    """The names of a generated package, resolved on first use.

    A codec asks it for the class of a type name; importing one area of the API loads that area
    and the areas of its base classes, nothing else.
    """

    def __init__(
        self,
        package: str,
        namespace: str,
        *,
        areas: Mapping[str, str],
        methods: Mapping[str, str],
        versions: tuple[str, ...] = (),
        fault_elements: Mapping[str, str] | None = None,
    ) -> None:
        self.package = package
        """Dotted name of the generated package."""
        self.namespace = namespace
        """XML namespace of its types, as `urn:vim25`."""
        self.versions = versions
        """API versions that it knows, oldest first."""
        self.fault_elements: Mapping[str, str] = fault_elements or {}
        """Element to type of the faults that do not travel as `NAME` or `NAMEFault`."""
        self._areas = areas
        self._owners = methods
        self._where: dict[str, str] = {}
        self._methods: dict[str, str] = {}
        self._classes: dict[str, type[Any] | None] = {}
        # Compiled codec tables; filled by vimlib.soap, kept here since they live as long as the binding.
        self.codec: dict[Any, Any] = {}

    @property
    def where(self) -> dict[str, str]:
        """Type name to the module of the package that defines it."""
        if not self._where:
            for area, names in self._areas.items():
                for name in names.split():
                    self._where[name] = area
        return self._where

    def find(self, name: str) -> type[Any] | None:
        """Return the class of that name (data object, fault, enumeration or managed type), or None."""
        try:
            return self._classes[name]
        except KeyError:
            pass
        area = self.where.get(name)
        if area is None:
            return None  # not remembered: names from the wire are unbounded
        found: type[Any] = getattr(import_module(f"{self.package}.{area}"), name)
        self._classes[name] = found
        return found

    def method(self, name: str) -> Method[..., Any] | None:
        """Return the method of that wire name, or None."""
        if not self._methods:
            for owner, names in self._owners.items():
                for method in names.split():
                    self._methods[method] = owner
        owned_by = self._methods.get(name)
        if owned_by is None:
            return None
        cls = self.find(owned_by)
        found: Method[..., Any] = vars(cls)[name]
        return found

    def names(self) -> Iterator[str]:
        """Yield the names of all types."""
        return iter(self.where)

    def method_names(self) -> Iterator[str]:
        """Yield the wire names of all methods."""
        for names in self._owners.values():
            yield from names.split()

    def __repr__(self) -> str:
        return f"<Binding {self.package} of {self.namespace}>"
