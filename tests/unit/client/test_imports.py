"""What a program loads with the client: a slow start is paid by every command and every script."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from vimlib.simulator import ESXHost

REPORT = "; import sys; print(*sys.modules)"
OBJECT = "import vimlib; vimlib.connect; vimlib.vim25.VirtualMachineConfigSpec(name='a')"
SESSION = """
import asyncio, sys, vimlib
async def main():
    url, username, thumbprint = sys.argv[1:]
    tls = vimlib.TLS(pin=thumbprint)
    async with vimlib.connect(url, username, sys.stdin.read(), tls=tls) as client:
        assert client.about.fullName
asyncio.run(main())
print(*sys.modules)
"""
UNUSED = {"aiohttp", "lxml", "email.parser", "email.utils", "http.client", "urllib.request"}
"""What no session needs unless there is a proxy or a transfer by aiohttp."""


def test_connect_and_one_object_load_the_types_and_no_network() -> None:
    argv = [sys.executable, "-c", OBJECT + REPORT]
    found = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(found.stdout.split())
    assert {name for name in loaded if name.split(".")[0] == "vimlib"} == {
        "vimlib",
        "vimlib._client",
        "vimlib._lazy",
        "vimlib._repr",
        "vimlib._secret",
        "vimlib._text",
        "vimlib.errors",
        "vimlib.model",
        "vimlib.model._data",
        "vimlib.model._fault",
        "vimlib.model._managed",
        "vimlib.model._version",
        "vimlib.model._wire",
        "vimlib.vim25",
        "vimlib.vim25._binding",
        "vimlib.vim25._vim",
        "vimlib.vim25._vm",
        "vimlib.vim25._vmodl",
    }
    heavy = {"asyncio", "ssl", "logging", "subprocess", "threading", "xml", "zlib", "email"}
    assert loaded & (heavy | UNUSED) == set()
    others = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    dependencies = {name for name in others if name.isidentifier() and not name.startswith("_")}
    assert dependencies - {"vimlib", "msgspec", "typing_extensions"} == set()


async def test_a_session_loads_what_it_uses(esx_host: ESXHost) -> None:
    who = esx_host.credentials
    argv = [sys.executable, "-c", SESSION, esx_host.url, who.username, esx_host.thumbprint]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate(who.password.encode())
    assert process.returncode == 0
    loaded = set(out.decode().split())
    assert "asyncio" in loaded
    assert loaded & UNUSED == set()
    assert "vimlib._datastore" not in loaded
    assert "vimlib.vim25._fault" not in loaded
