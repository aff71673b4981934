"""Small managers with few or fixed properties: licences and options."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data import licences
from vimlib.simulator._data.options import values
from vimlib.soap._typed import type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._data.options import OptionSeed


_LICENCE_KEY = re.compile(r"[0-9A-Z]{5}(-[0-9A-Z]{5}){4}")


class LicenseManager(SimObject):
    """The licence of the host."""

    kind = "LicenseManager"

    @prop("licensedEdition")
    def _edition(self) -> str:
        return "esx.enterprisePlus" if self.registry.licensed else "esxBasic"

    @prop("sourceAvailable")
    def _available(self) -> bool:
        return True

    @prop("source")
    def _source(self) -> Any:
        return vim25.LocalLicenseSource(licenseKeys="")

    @prop("licenses")
    def _licences(self) -> list[Any]:
        return [licences.licence(self.registry.release, free=not self.registry.licensed)]

    @prop("evaluation")
    def _evaluation(self) -> Any:
        release = self.registry.release
        return vim25.LicenseManagerEvaluationInfo(properties=licences.evaluation(release))

    @prop("featureInfo")
    def _features(self) -> list[Any]:
        return licences.feature_infos(free=not self.registry.licensed)


@handles(LicenseManager, "DecodeLicense")
def decode_licence(manager: LicenseManager, call: Call) -> Any:
    """Return the licence of a key; the key of another host is for no product."""
    key = call.args["licenseKey"]
    if not _LICENCE_KEY.fullmatch(key):
        raise invalid_argument("licenseKey", key)
    mine = licences.licence(manager.registry.release, free=not manager.registry.licensed)
    if key == mine.licenseKey:
        return mine
    return vim25.LicenseManagerLicenseInfo(
        licenseKey=key,
        editionKey="",
        name="",
        total=0,
        costUnit="",
        properties=[vim25.KeyAnyValue(key="lc_operations", value="invalid")],
    )


class OptionManager(SimObject):
    """Advanced options; `known` returns their names, types and limits when one is first asked for."""

    kind = "OptionManager"

    def __init__(
        self, registry: Registry, moid: str, known: Callable[[], dict[str, OptionSeed]]
    ) -> None:
        self._make = known
        super().__init__(registry, moid)

    @cached_property
    def known(self) -> dict[str, OptionSeed]:
        """The options by name."""
        return self._make()

    @cached_property
    def options(self) -> dict[str, Any]:
        """The values by name."""
        return values(self.known.values())

    def set(self, changed: Mapping[str, Any]) -> None:
        """Set options by name, to values of the right type, and notify watchers."""
        self.options.update(changed)
        self.changed_in_host("setting")

    @prop("setting")
    def _setting(self) -> list[Any]:
        return [
            vim25.OptionValue(key=key, value=value) for key, value in sorted(self.options.items())
        ]

    @prop("supportedOption")
    def _supported(self) -> list[Any]:
        return [option.definition() for _, option in sorted(self.known.items())]


@handles(OptionManager, "QueryOptions")
def query_options(manager: OptionManager, call: Call) -> list[Any]:
    """Return the options of a name or, with a dot at its end, below it."""
    name = call.get("name") or ""
    found = [
        vim25.OptionValue(key=key, value=value)
        for key, value in sorted(manager.options.items())
        if not name or key == name or (name.endswith(".") and key.startswith(name))
    ]
    if name and not found:
        raise with_message(vim25.InvalidName(name=name))
    return found


@handles(OptionManager, "UpdateOptions")
def update_options(manager: OptionManager, call: Call) -> None:
    """Set existing options. A host refuses a value of another type, an int for a long included."""
    for option in call.args["changedValue"]:
        known = manager.known.get(option.key)
        if known is None:
            raise with_message(vim25.InvalidName(name=option.key))
        if type_of(option.value) != known.wire_type or not known.allows(option.value):
            raise invalid_argument("changedValue.value")
    manager.set({option.key: option.value for option in call.args["changedValue"]})
