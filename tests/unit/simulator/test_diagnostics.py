"""The log of the host agent, and keys of licences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25


async def test_the_log_of_the_agent_has_the_calls(make: Callable[..., Any]) -> None:
    call = await make()
    manager = call.content.diagnosticManager
    [log] = await call(vim25.DiagnosticManager.QueryDescriptions, manager)
    browse = vim25.DiagnosticManager.BrowseDiagnosticLog
    end = await call(browse, manager, key=log.key, start=2**31 - 1, lines=0)
    assert (end.lineEnd, end.lineText) == (4, [])
    found = await call(browse, manager, key=log.key, start=2, lines=1)
    assert (found.lineStart, found.lineEnd) == (2, 2)
    assert "Invoking [Login] on [vim.SessionManager:ha-sessionmgr]" in found.lineText[0]
    with pytest.raises(vim25.InvalidArgument):
        await call(browse, manager, key="nonesuch")


async def test_a_licence_key_is_decoded(make: Callable[..., Any]) -> None:
    call = await make()
    decode, manager = vim25.LicenseManager.DecodeLicense, call.content.licenseManager
    mine = await call(decode, manager, licenseKey="00000-00000-00000-00000-00000")
    assert mine.name == "VMware vSphere 8 Enterprise Plus"
    assert (await call(decode, manager, licenseKey="A0000-00000-00000-00000-00000")).name == ""
    with pytest.raises(vim25.InvalidArgument):
        await call(decode, manager, licenseKey="abc")
