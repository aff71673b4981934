"""A push streams images from a real Glance into a datastore in parallel, complete and verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Host
from tests.integration.peers.glance import Glance
from tests.integration.peers.images import DiskImage, Kind, sha512
from tests.integration.vimctl import vimctl

FOUR: tuple[tuple[Kind, int], ...] = (
    ("raw", 1),
    ("raw", 2),
    ("monolithicSparse", 3),
    ("streamOptimized", 4),
)


@pytest.fixture(scope="module")
def stocked(glance: Glance, disk_image: Callable[..., DiskImage]) -> Iterator[dict[str, DiskImage]]:
    """Four different images of 64 MiB of data in Glance, by id."""
    images: dict[str, DiskImage] = {}
    for kind, seed in FOUR:
        image = disk_image(kind, mib=64, seed=seed)
        images[glance.upload(image.path, image.disk_format)["id"]] = image
    yield images
    for identity in images:
        glance.delete(identity)


def stored(host: Host) -> set[str]:
    return {str(p.relative_to(host.folder)) for p in host.folder.rglob("*") if p.is_file()}


async def test_four_parallel_images_arrive_with_glances_hashes(
    host: Host, glance: Glance, stocked: dict[str, DiskImage]
) -> None:
    before = stored(host)
    done = await vimctl(
        host, "image", "push", *stocked, "--datastore", host.datastore, "--concurrency", "4",
        "--as-is", "--glance", glance.url, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    lines = {line["image"]: line for line in done.lines}
    assert set(lines) == set(stocked)
    for identity, image in stocked.items():
        said, line = glance.show(identity), lines[identity]
        assert set(line) == {
            "image", "datastore_path", "bytes", "hash", "hash_algo", "stored_hash",
            "stored_hash_algo", "verified", "already_there", "seconds",
        }  # fmt: skip
        name = f"{identity}.{'img' if image.kind == 'raw' else 'vmdk'}"
        assert line["datastore_path"] == f"[{host.datastore}] images/{name}"
        assert (line["hash_algo"], line["hash"]) == ("sha512", said["os_hash_value"])
        assert line["verified"] is True
        assert line["bytes"] == said["size"] == image.path.stat().st_size
        assert sha512(host.folder / "images" / name) == said["os_hash_value"]
    assert {p for p in stored(host) - before if not p.startswith("images/")} == set()
    assert len(stored(host) - before) == 4


async def test_a_failed_image_leaves_no_file_and_the_others_continue(
    host: Host, glance: Glance, stocked: dict[str, DiskImage]
) -> None:
    queued = glance.create(name="queued", disk_format="raw", container_format="bare")
    good = next(iter(stocked))
    missing = "00000000-0000-4000-8000-000000000000"
    done = await vimctl(
        host, "image", "push", good, queued, missing, "--datastore", host.datastore, "--to", "a/b",
        "--as-is", "--glance", glance.url, "--json",
    )  # fmt: skip
    glance.delete(queued)
    assert done.code == 7, done.err
    lines = {line["image"]: line for line in done.lines}
    assert lines[good]["verified"] is True
    assert lines[queued]["error"]["type"] == "ImageNotReadyError"
    assert lines[missing]["error"]["type"] == "ImageNotFoundError"
    assert {p for p in stored(host) if p.startswith("a/")} == {f"a/b/{good}.img"}


async def test_a_second_push_of_other_bytes_needs_overwrite(
    host: Host, disk_image: Callable[..., DiskImage], tmp_path: Path
) -> None:
    path = tmp_path / "small.img"
    path.write_bytes(b"\x01" * 3_000_000)
    words = ("image", "push", str(path), "--datastore", host.datastore, "--as-is", "--json")
    first = await vimctl(host, *words)
    assert first.code == 0, first.err
    (line,) = first.lines
    assert line["image"] == str(path)
    assert line["datastore_path"] == f"[{host.datastore}] images/small.img"
    assert line["verified"] is False  # a file has no hash of its own
    assert line["hash"] == hashlib.new(line["hash_algo"], path.read_bytes()).hexdigest()
    second = await vimctl(host, *words)
    assert second.code == 0
    assert second.lines[0]["already_there"] is True
    path.write_bytes(b"\x02" * 3_000_000)
    second = await vimctl(host, *words)
    assert second.code == 1
    assert second.lines[0]["error"]["type"] == "FileConflictError"
    third = await vimctl(host, *words, "--overwrite")
    assert third.code == 0, third.err


async def test_a_wrong_pin_is_refused_before_a_byte_is_sent(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "small.img"
    path.write_bytes(b"\x01" * 4096)
    done = await vimctl(
        host, "image", "push", str(path), "--datastore", host.datastore, VIMLIB_PIN=":".join(["00"] * 32),
    )  # fmt: skip
    assert done.code == 5
    assert host.thumbprint in done.err.upper()
    assert "--pin" in done.err
    assert not (host.folder / "images").exists()


async def test_a_wrong_password_is_refused_and_never_shown(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "small.img"
    path.write_bytes(b"\x01" * 4096)
    done = await vimctl(
        host,
        "image",
        "push",
        str(path),
        "--datastore",
        host.datastore,
        VIMLIB_PASSWORD="wrong-canary",
    )
    assert done.code == 3
    assert "wrong-canary" not in done.err + done.out
    assert not (host.folder / "images").exists()


async def test_an_unknown_datastore_error_lists_the_existing_ones(
    host: Host, tmp_path: Path
) -> None:
    path = tmp_path / "small.img"
    path.write_bytes(b"\x01" * 4096)
    done = await vimctl(host, "image", "push", str(path), "--datastore", "nowhere")
    assert done.code == 4
    assert host.datastore in done.err
