"""The peers themselves: each starts, behaves as the tests require, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.peers import images, process
from tests.integration.peers.glance import Glance
from tests.integration.peers.images import DiskImage
from tests.integration.peers.nginx import nginx as run_nginx
from tests.integration.peers.process import PeerError
from tests.integration.peers.tools import Tool


def test_glance_refuses_flat_bytes_as_vmdk(
    glance: Glance, disk_image: Callable[..., DiskImage]
) -> None:
    with pytest.raises(PeerError, match="415"):
        glance.upload(disk_image("raw").path, "vmdk")


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized", "monolithicFlat"])
def test_images_contain_the_disk_that_they_were_made_from(
    disk_image: Callable[..., DiskImage], tmp_path: Path, kind: images.Kind
) -> None:
    image = disk_image(kind)
    info = images.inspect(image.path)
    assert info["format-specific"]["data"]["create-type"] == kind
    assert info["virtual-size"] == image.virtual_size
    assert images.virtual_sha512(image.path, tmp_path) == image.virtual_sha512


def test_a_peer_leaves_no_process_and_no_file() -> None:
    with run_nginx() as peer:
        popen, folder = peer.process.popen, peer.root.parent
        assert popen.poll() is None
    assert popen.poll() is not None
    assert not folder.exists()
    assert peer.process not in process.RUNNING


def test_a_peer_that_fails_to_start_reports_the_reason(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo the reason; exit 3"]
    with (
        process.running("broken", argv, tmp_path / "log") as peer,
        pytest.raises(PeerError, match=r"(?s)broken ended with 3.*the reason"),
    ):
        peer.wait_until(lambda: False, deadline=10)


def test_a_late_peer_is_an_error(tmp_path: Path) -> None:
    argv = ["sleep", "60"]
    with process.running("late", argv, tmp_path / "log") as peer:
        with pytest.raises(PeerError, match=r"late not ready in 0\.2 s"):
            peer.wait_until(lambda: False, deadline=0.2)
        popen = peer.popen
    assert popen.poll() is not None


def test_a_missing_tool_names_the_command_that_installs_it() -> None:
    tool = Tool("no-such-program", ("some-package",), "shows the message")
    assert tool.path() is None
    assert tool.apt_line == "apt-get install --no-install-recommends some-package"
