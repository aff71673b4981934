"""Images whose source fails: rows 50, 51, 54 and 55 of the catalogue of faults.

Each goes through `push_images` to a simulated host, and the host has nothing of it afterwards.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from tests.rig.stage import Conn, stage
from tests.unit.driver.hosted import CONFIG, Beside, Hosted, glance
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage, Fault, made_image
from vimdriver._images.glance import Glance
from vimdriver._images.http import HttpClient
from vimdriver._images.make import Pattern
from vimdriver._images.push import PushEvent, PushResult, push_images
from vimdriver.errors import (
    ImageHashError,
    ImageNotFoundError,
    ImageNotReadyError,
    ImageSizeError,
    SourceProtocolError,
    SourceRefusedError,
    SourceStalledError,
)
from vimlib.errors import VimlibError

pytestmark = pytest.mark.usefixtures("hurried")

MIB = 1 << 20
UNKNOWN = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"


def raw(fault: Fault | None = None, size: int = 2 * MIB, **given: Any) -> EmbeddedImage:
    image = made_image("raw", "raw", Pattern(1, size))
    image.fault = fault
    for name, value in given.items():
        setattr(image, name, value)
    return image


async def push(
    esx: Hosted, url: str, *refs: str, token: Any = None, stall: float = 60.0, **how: Any
) -> list[PushResult]:
    async with (
        asyncio.timeout(60),
        esx.client() as client,
        HttpClient(stall_timeout=stall) as http,
    ):
        images = Glance(http, url, token=token)
        how.setdefault("as_is", True)
        return await push_images(
            client, images, refs or ["raw"], datastore="datastore1", config=CONFIG, **how
        )


async def refused(
    esx: Hosted, url: str, kind: type[VimlibError], *refs: str, **how: Any
) -> VimlibError:
    """Push one image that fails, typed and with something to try; the host is as it was."""
    clean = esx.state()
    (result,) = await push(esx, url, *refs, **how)
    assert isinstance(result.error, kind), result.error
    assert result.error.hint
    await esx.settled(clean)
    return result.error


def untouched(esx: Hosted) -> bool:
    """Whether no file and no machine was even begun."""
    return not {m for m in esx.methods() if m in {"PUT", "MakeDirectory"} or m.endswith("_Task")}


@pytest.mark.parametrize("status", [401, 403])
async def test_row_50_glance_refuses(status: int, beside: Beside, esx: Hosted) -> None:
    fault = {401: Fault.UNAUTHORIZED, 403: Fault.FORBIDDEN}[status]
    with glance(beside, raw(fault)) as service:
        error = await refused(esx, service.url, SourceRefusedError)
    assert isinstance(error, SourceRefusedError)
    assert error.status == status


async def test_row_50_glance_has_no_such_image(beside: Beside, esx: Hosted) -> None:
    with glance(beside, raw()) as service:
        await refused(esx, service.url, ImageNotFoundError, UNKNOWN)
    assert untouched(esx)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, ImageNotFoundError), (410, ImageNotFoundError), (403, SourceRefusedError)],
)
async def test_row_50_glance_refuses_to_describe_it(
    status: int, kind: type[VimlibError], esx: Hosted
) -> None:
    async def play(conn: Conn) -> None:
        while True:
            await conn.request()
            await conn.reply(status, b"gone")

    async with stage(play) as server:
        await refused(esx, f"http://127.0.0.1:{server.port}", kind, UNKNOWN)
    assert untouched(esx)


@pytest.mark.parametrize("status", ["queued", "saving", "deactivated", "killed", "pending_delete"])
async def test_row_50_an_image_that_is_not_active(status: str, beside: Beside, esx: Hosted) -> None:
    with glance(beside, raw(status=status)) as service:
        error = await refused(esx, service.url, ImageNotReadyError)
        assert status in str(error)
        assert not [seen for seen in service.seen if seen.path.endswith("/file")]
    assert untouched(esx)


class Tokens:
    """A token that is renewed when asked to."""

    def __init__(self, service: EmbeddedGlance) -> None:
        self.service = service
        self.current = "token-1"
        self.renewed = 0
        service.token = self.current

    async def __call__(self, fresh: bool) -> str:
        if fresh:
            self.renewed += 1
            self.current = self.service.token or ""
        return self.current


async def test_row_51_a_token_that_expires_between_two_images_is_renewed_once(
    beside: Beside, esx: Hosted
) -> None:
    second = made_image("second", "raw", Pattern(2, MIB))
    with glance(beside, raw(), second) as service:
        tokens = Tokens(service)

        def expire(event: PushEvent) -> None:
            if event.kind == "done" and service.token == "token-1":
                service.token = "token-2"

        results = await push(
            esx, service.url, "raw", "second", token=tokens, events=expire, concurrency=1
        )
    assert [result.error for result in results] == [None, None]
    assert service.token == "token-2"
    assert tokens.renewed == 1
    for image in (raw(), second):
        whole = (esx.folder / f"images/{image.id}.img").read_bytes()
        assert hashlib.sha512(whole).hexdigest() == service.named(image.name).sha512


@pytest.mark.parametrize("fault", [Fault.KILLED, Fault.SHORT])
async def test_row_51_a_body_that_breaks_as_the_token_expires_goes_on_with_a_new_one(
    fault: Fault, beside: Beside, esx: Hosted
) -> None:
    """It is resumed at the byte reached, and what arrives is checked whole."""
    with glance(beside, raw(fault, 8 * MIB)) as service:
        tokens = Tokens(service)

        def expire(event: PushEvent) -> None:
            if event.kind == "progress":
                service.token = "token-2"

        (result,) = await push(esx, service.url, token=tokens, events=expire)
        assert result.error is None
        assert result.verified
        assert service.token == "token-2"
        assert tokens.renewed == 1
        files = [seen for seen in service.seen if seen.path.endswith("/file")]
        assert len(files) >= 3, "broken off, refused, resumed"


@pytest.mark.parametrize("fault", [Fault.KILLED, Fault.SHORT])
async def test_row_51_a_body_without_a_hash_is_never_spliced(
    fault: Fault, beside: Beside, esx: Hosted
) -> None:
    """Nothing would prove that both parts are of one image: it fails, and nothing stays."""
    with glance(beside, raw(fault, 8 * MIB, hashed=False)) as service:
        error = await refused(esx, service.url, ImageSizeError)
        assert error.retryable
        assert len([seen for seen in service.seen if seen.path.endswith("/file")]) == 1


async def test_row_51_a_token_that_is_refused_again_is_not_renewed_for_ever(
    beside: Beside, esx: Hosted
) -> None:
    with glance(beside, raw()) as service:
        asked: list[bool] = []

        async def token(fresh: bool) -> str:
            asked.append(fresh)
            return "never right"

        service.token = "token-1"
        error = await refused(esx, service.url, SourceRefusedError, token=token)
    assert isinstance(error, SourceRefusedError)
    assert error.status == 401
    assert asked.count(True) == 1
    assert untouched(esx)


class Md5Only(EmbeddedImage):
    """As Glance before 17.0 knew it."""

    def document(self) -> dict[str, Any]:
        return {**super().document(), "os_hash_algo": None, "os_hash_value": None}


def md5_only(fault: Fault | None = None) -> EmbeddedImage:
    image = raw()
    return Md5Only(name="raw", chunks=image.chunks, virtual_size=image.virtual_size, fault=fault)


@pytest.mark.parametrize("make", [raw, md5_only])
async def test_row_54_a_body_of_another_hash_is_not_published(
    make: Any, beside: Beside, esx: Hosted
) -> None:
    with glance(beside, make(Fault.FLIPPED)) as service:
        error = await refused(esx, service.url, ImageHashError)
    assert isinstance(error, ImageHashError)
    assert "MoveDatastoreFile_Task" not in esx.methods()


async def test_row_54_md5_alone_is_compared(beside: Beside, esx: Hosted) -> None:
    with glance(beside, md5_only()) as service:
        (result,) = await push(esx, service.url)
    assert result.error is None
    assert (result.hash_algo, result.verified) == ("md5", True)


async def test_row_54_a_hash_that_nobody_knows_is_said_to_be_unverified(
    beside: Beside, esx: Hosted
) -> None:
    with glance(beside, raw(hashed=False)) as service:
        (result,) = await push(esx, service.url)
    assert result.error is None
    assert result.verified is False


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.REDIRECT, SourceRefusedError),
        (Fault.GZIP, SourceProtocolError),
        (Fault.STALLED, SourceStalledError),
    ],
)
async def test_row_55_redirected_encoded_or_stalled(
    fault: Fault, kind: type[VimlibError], beside: Beside, esx: Hosted
) -> None:
    # With a hash, a source that stalls is resumed.
    with glance(beside, raw(fault, 4 * MIB, hashed=False)) as service:
        await refused(esx, service.url, kind, stall=0.5 if fault is Fault.STALLED else 60.0)
        assert not [seen for seen in service.seen if seen.path == "/elsewhere"]


async def test_row_55_bytes_that_come_one_by_one_arrive_whole(beside: Beside, esx: Hosted) -> None:
    with glance(beside, raw(Fault.DRIP)) as service:
        (result,) = await push(esx, service.url)
        assert result.error is None
        assert result.verified
        whole = (esx.folder / f"images/{service.named('raw').id}.img").read_bytes()
        assert hashlib.sha512(whole).hexdigest() == service.named("raw").sha512
