from __future__ import annotations

from pathlib import Path

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_a_screenshot_is_downloaded_and_deleted_on_the_host(
    esx: ESXHost, vimctl: Vimctl, tmp_path: Path
) -> None:
    file = tmp_path / "screen.png"
    off = vimctl("instance", "screenshot", "vm-0", file, "--json", code=1)
    assert off.document["error"]["type"] == "InstanceStateError"
    vimctl("instance", "start", "vm-0")
    found = vimctl.json("instance", "screenshot", "vm-0", file)
    assert found == {"file": str(file), "bytes": file.stat().st_size}
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert not list(esx.datastore_path().rglob("*.png"))
    vimctl("instance", "screenshot", "vm-0", file, code=2)
    vimctl("instance", "screenshot", "vm-0", file, "--overwrite")
    esx.call_log.clear()
    vimctl("instance", "screenshot", "vm-0", tmp_path / "none" / "screen.png", code=2)
    assert not esx.call_log


def test_a_console_ticket_is_printed(esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "console", "vm-0", code=1)
    vimctl("instance", "start", "vm-0")
    found = vimctl.json("instance", "console", "vm-0")
    assert found["kind"] == "webmks"
    assert found["url"].startswith("wss://")
    assert found["ticket"] in found["url"]
    vimctl("instance", "console", "nobody", code=4)


def test_host_show_prints_the_host(esx: ESXHost, vimctl: Vimctl) -> None:
    found = vimctl.json("host", "show")
    assert found["api_version"] == "8.0.3.0"
    assert found["cpu_threads"] >= found["cpu_cores"] > 0
    assert found["memory_mb"] > found["memory_used_mb"] > 0
    (store,) = found["datastores"]
    assert (store["name"], store["accessible"]) == ("datastore1", True)
    assert 0 < store["free"] <= store["capacity"]
    text = vimctl("host", "show").out
    assert "datastore1" in text
    assert found["product"] in text
