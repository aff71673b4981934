"""The peers themselves: each starts, behaves as the tests require, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.peers import images, process
from tests.integration.peers.glance import Glance
from tests.integration.peers.images import DiskImage
from tests.integration.peers.nginx import Nginx
from tests.integration.peers.nginx import nginx as run_nginx
from tests.integration.peers.process import PeerError
from tests.integration.peers.tools import Tool
from tests.integration.peers.vcsim import VCSim


def fetch(url: str, ca: Path, data: bytes | None = None, method: str | None = None) -> bytes:
    context = ssl.create_default_context(cafile=ca)
    request = urllib.request.Request(url, data, method=method)
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        content: bytes = answer.read()
        return content


def test_vcsim_serves_its_api_over_tls(vcsim: VCSim) -> None:
    versions = fetch(f"{vcsim.url}/vimServiceVersions.xml", vcsim.ca)
    assert b"<name>urn:vim25</name>" in versions


def test_vcsim_has_the_certificate_of_its_thumbprint(vcsim: VCSim) -> None:
    port = int(vcsim.url.rsplit(":", 1)[1].removesuffix("/sdk"))
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=10)
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
    assert digest.hex(":").upper() == vcsim.thumbprint


def test_vcsim_stores_uploads_in_the_announced_folder(vcsim_esx: VCSim) -> None:
    base = vcsim_esx.url.removesuffix("/sdk")
    url = f"{base}/folder/probe.bin?dcPath=ha-datacenter&dsName={vcsim_esx.datastore}"
    fetch(url, vcsim_esx.ca, b"bytes of the probe", "PUT")
    file = vcsim_esx.datastores[vcsim_esx.datastore] / "probe.bin"
    assert file.read_bytes() == b"bytes of the probe"
    file.unlink()


def test_vcsim_fails_one_call_on_request(vcsim_esx: VCSim) -> None:
    vcsim_esx.fail_next_call(503)
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(vcsim_esx.url, vcsim_esx.ca, b"<x/>")
    caught.value.close()
    assert caught.value.code == 503


@pytest.mark.parametrize(
    ("kind", "mib"), [("raw", 64), ("monolithicSparse", 65), ("streamOptimized", 66)]
)
def test_glance_accepts_and_hashes_each_kind_of_image(
    glance: Glance, disk_image: Callable[..., DiskImage], kind: images.Kind, mib: int
) -> None:
    image = disk_image(kind, mib, seed=mib)
    record = glance.upload(image.path, image.disk_format)
    assert (record["status"], record["size"], record["os_hash_algo"], record["os_hash_value"]) == (
        "active",
        image.size,
        "sha512",
        image.sha512,
    )
    assert images.sha512(glance.store / record["id"]) == image.sha512
    glance.delete(record["id"])


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


def test_glance_requires_a_valid_keystone_token(glance_with_keystone: Glance) -> None:
    glance = glance_with_keystone
    keystone = glance.keystone
    assert keystone is not None
    own = keystone.token("demo")
    image = glance.create(token=own, name="probe", disk_format="raw")
    assert glance.show(image, token=own)["status"] == "queued"

    def status(token: str | None) -> int:
        with pytest.raises(urllib.error.HTTPError) as caught:
            glance.show(image, token=token)
        caught.value.close()
        return caught.value.code

    assert status(None) == 401
    assert status(keystone.token("other")) == 404
    keystone.revoke(own)
    assert status(own) == 401


def test_nginx_serves_stores_and_removes_files(nginx: Nginx) -> None:
    (nginx.root / "source").write_bytes(b"body" * 100_000)
    body = fetch(f"{nginx.url}/source", nginx.ca)
    fetch(f"{nginx.url}/new/folder/target", nginx.ca, body, "PUT")
    target = nginx.root / "new" / "folder" / "target"
    assert target.read_bytes() == b"body" * 100_000
    fetch(f"{nginx.url}/new/folder/target", nginx.ca, method="DELETE")
    assert not target.exists()


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
