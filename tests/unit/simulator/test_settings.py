from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25
from vimlib.soap import Typed

OPTIONS = vim25.OptionManager("ha-adv-options")


async def test_a_read_option_is_written_back(make: Callable[..., Awaitable[Caller]]) -> None:
    call = await make(version="8.0")
    found = await call(vim25.OptionManager.QueryOptions, OPTIONS)
    await call(vim25.OptionManager.UpdateOptions, OPTIONS, changedValue=found)
    assert await call(vim25.OptionManager.QueryOptions, OPTIONS) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("UserVars.DcuiTimeOut", 300),
        ("Security.AccountLockFailures", Typed("xsd:long", 3)),
        ("Security.AccountLockFailures", "3"),
    ],
)
async def test_a_value_of_another_type_is_refused(
    make: Callable[..., Awaitable[Caller]], key: str, value: Any
) -> None:
    call = await make(version="8.0")
    option = vim25.OptionValue(key=key, value=value)
    with pytest.raises(vim25.InvalidArgument):
        await call(vim25.OptionManager.UpdateOptions, OPTIONS, changedValue=[option])
    option.value = Typed.like(
        (await call(vim25.OptionManager.QueryOptions, OPTIONS, name=key))[0].value, int(value)
    )
    await call(vim25.OptionManager.UpdateOptions, OPTIONS, changedValue=[option])
    assert await call(vim25.OptionManager.QueryOptions, OPTIONS, name=key) == [option]


async def test_a_licence_key_is_decoded(make: Callable[..., Any]) -> None:
    call = await make()
    decode, manager = vim25.LicenseManager.DecodeLicense, call.content.licenseManager
    mine = await call(decode, manager, licenseKey="00000-00000-00000-00000-00000")
    assert mine.name == "VMware vSphere 8 Enterprise Plus"
    assert (await call(decode, manager, licenseKey="A0000-00000-00000-00000-00000")).name == ""
    with pytest.raises(vim25.InvalidArgument):
        await call(decode, manager, licenseKey="abc")
