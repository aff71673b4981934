"""Two processes fetch one image into the cache at once, and one of them is killed at each step."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, glance
from tests.unit.driver.sweep.test_killed import (
    ALL,
    SOME,
    Point,
    Rig,
    points,
    rigged,
    spawner,
    spawning,
)
from vimdriver._disks.transfer import TRANSFERS
from vimdriver._images.embedded import EmbeddedGlance, made_image
from vimdriver._images.make import Pattern, raw

__all__ = ["spawner"]

pytestmark = pytest.mark.slow
PATTERN = Pattern(15, 1 << 20)


@pytest.fixture(scope="module")
def other_spawner() -> Iterator[subprocess.Popen[str]]:
    with spawning() as process:
        yield process


@pytest.fixture
def service(beside: Beside) -> Iterator[EmbeddedGlance]:
    with glance(beside, made_image("shared", "streamOptimized", PATTERN)) as found:
        yield found


def both(first: Rig, second: Rig, way: str, at: Point | None, images: str) -> list[int]:
    """Let two processes spawn from the image at once, the first one until a step; return how they ended."""
    first.begin(f"cached-{way}", at, images=images, name="web-a")
    second.begin(f"cached-{way}", images=images, name="web-b")
    return [first.ended(), second.ended()]


def cached(rig: Rig) -> set[str]:
    """Return the files of the cache, which must be one whole disk."""
    files = {name for name in rig.state().files if name.startswith("vimlib-cache/")}
    disks = {name for name in files if not name.endswith(".used")}
    (flat,) = [name for name in disks if name.endswith("-flat.vmdk")]
    assert disks == {flat, flat.replace("-flat.vmdk", ".vmdk")}
    assert (rig.host.folder / flat).read_bytes() == b"".join(raw(PATTERN))
    return files


async def clear(rig: Rig, second: Rig) -> None:
    for each in (rig, second):
        each.journal.unlink(missing_ok=True)
    async with rig.host.driver() as driver:
        for name in ("web-a", "web-b"):
            if name in rig.state().machines:
                await driver.destroy(name)
        await driver.prune_cache("datastore1", older_than=0)
    rig.host.beside.call(rig.host.esx.sessions.expire)
    rig.check_clean()


@pytest.mark.parametrize(
    ("way", "every"),
    [
        *(pytest.param(way, True, id=f"{way}-all", marks=ALL.marks) for way in TRANSFERS),
        *(
            pytest.param(way, False, id=f"{way}-some", marks=SOME.marks)
            for way in ("nfc", "sparse")
        ),
    ],
)
async def test_one_of_two_processes_is_killed(
    way: str,
    every: bool,
    beside: Beside,
    tmp_path: Path,
    image: Path,
    service: EmbeddedGlance,
    spawner: subprocess.Popen[str],
    other_spawner: subprocess.Popen[str],
) -> None:
    async with rigged(beside, tmp_path, image, spawner) as rig:
        second = replace(rig, spawner=other_spawner, folder=tmp_path / "second", steps=[])
        second.folder.mkdir()
        assert both(rig, second, way, None, service.url) == [0, 0]
        assert rig.state().machines == rig.clean.machines | {"web-a", "web-b"}
        cached(rig)
        await clear(rig, second)
        # Alone, it takes all steps.
        rig.order(f"cached-{way}", images=service.url, name="web-a")
        todo = points(rig.steps, every, 9)
        await clear(rig, second)
        for at in todo:
            statuses = both(rig, second, way, at, service.url)
            where = f"{way}, killed at {at}"
            assert statuses[1] == 0, where
            # What the other one had done already, this one need not do.
            killed = statuses[0] != 0
            assert statuses[0] in (0, -9), where
            report = await rig.sweep()
            assert not report.failed, f"{where}: {report.items}"
            rig.decoys.check()
            machines = rig.state().machines - rig.clean.machines
            assert "web-b" in machines, where
            assert killed or machines == {"web-a", "web-b"}, where
            files = cached(rig)
            rest = rig.state().files - rig.clean.files - files
            assert all(name.startswith(("web-a/", "web-b/")) for name in rest), f"{where}: {rest}"
            assert "web-a" in machines or not any(n.startswith("web-a/") for n in rest), where
            await clear(rig, second)
    print(f"{way}: killed at {len(todo)} points")
    assert len(todo) > 2
