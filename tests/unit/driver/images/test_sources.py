"""Glance, URLs and files as sources: the properties that they report, and the errors that they
raise."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.unit.driver.images.peers import AUTHORITY, Answers, Target, running, server_tls, small
from vimdriver._images import (
    Glance,
    HttpClient,
    HttpImages,
    ImageSource,
    LocalImages,
)
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage, Fault
from vimdriver._images.source import CHUNK
from vimdriver.errors import (
    ImageAmbiguousError,
    ImageError,
    ImageNotFoundError,
    ImageNotReadyError,
    SourceProtocolError,
    SourceReadError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
    SourceUnsizedError,
    SourceUntrustedError,
)
from vimlib.errors import ClosedError, UsageError

ID = "26727b8b-2044-5e6c-84b9-b7bfe758bac6"
GLANCE = "http://glance.example:9292"
RECORD = f"{GLANCE}/v2/images/{ID}"


async def read(source: ImageSource) -> bytes:
    async with source.open() as body:
        return b"".join([chunk async for chunk in body])


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(stall_timeout=30, connect_timeout=30) as made:
        yield made


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as made:
        yield made


# Glance


async def test_an_image_by_id_and_by_name(client: HttpClient) -> None:
    image = small(mib=1)
    async with EmbeddedGlance([image]) as embedded:
        for address in (
            embedded.url,
            f"{embedded.url}/",
            f"{embedded.url}/v2",
            f"{embedded.url}/v2/",
        ):
            for ref in (image.id, image.id.upper(), image.id.replace("-", ""), image.name):
                source = Glance(client, address).image(ref)
                info = await source.info()
                assert (info.id, info.name, info.size) == (image.id, image.name, image.size)
        assert (info.hash_algo, info.hash_value) == ("sha512", image.sha512)
        assert (info.disk_format, info.container_format) == ("raw", "bare")
        assert info.virtual_size == 1 << 20
        assert info.properties == {"vmware_adaptertype": "lsiLogic"}
        assert await read(source) == b"".join(image.chunks())


async def test_glance_over_tls_with_a_ca(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(AUTHORITY.cert_pem.bytes())
    image = small(mib=1)
    async with EmbeddedGlance([image], tls=server_tls()) as embedded:
        async with HttpClient(ca=ca) as client:
            source = Glance(client, embedded.url).image(image.id)
            assert await read(source) == b"".join(image.chunks())
        async with HttpClient() as client:
            with pytest.raises(SourceUntrustedError) as caught:
                await Glance(client, embedded.url).image(image.id).info()
        assert caught.value.retryable is False
        assert "self" in caught.value.reason or "issuer" in caught.value.reason


@pytest.mark.parametrize("text", [None, "no PEM", "\n"])
async def test_an_invalid_ca_file_is_refused(text: str | None, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    if text is not None:
        ca.write_text(text)
    with pytest.raises(UsageError, match=r"ca\.pem") as caught:
        async with HttpClient(ca=ca):
            pass
    assert caught.value.hint


async def test_the_strongest_hash_is_chosen(client: HttpClient, answers: Answers) -> None:
    cases: list[tuple[dict[str, Any], tuple[str | None, str | None]]] = [
        ({"os_hash_algo": "sha256", "os_hash_value": "AB", "checksum": "cd"}, ("sha256", "ab")),
        ({"os_hash_algo": None, "os_hash_value": None, "checksum": "cd"}, ("md5", "cd")),
        ({"os_hash_algo": "sha512", "os_hash_value": None, "checksum": "cd"}, ("md5", "cd")),
        ({"checksum": None}, (None, None)),
        ({}, (None, None)),
    ]
    for fields, expected in cases:
        answers.get(RECORD, payload={"id": ID, "status": "active", "size": 1, **fields})
        info = await Glance(client, GLANCE).image(ID).info()
        assert (info.hash_algo, info.hash_value) == expected
        assert info.name == ID


async def test_locations_are_not_properties(client: HttpClient, answers: Answers) -> None:
    document = {
        "id": ID,
        "status": "active",
        "size": 1,
        "locations": [{"url": "vsphere://evil/folder/x"}],
        "direct_url": "vsphere://evil/folder/x",
        "vmware_disktype": "sparse",
        "number": 5,
    }
    answers.get(RECORD, payload=document)
    info = await Glance(client, GLANCE).image(ID).info()
    assert info.properties == {"vmware_disktype": "sparse"}
    assert "evil" not in repr(info)


@pytest.mark.parametrize("status", ["queued", "saving", "deactivated", "killed"])
async def test_an_image_that_is_not_ready_is_refused(client: HttpClient, status: str) -> None:
    image = small(mib=1)
    image.status = status
    async with EmbeddedGlance([image]) as embedded:
        with pytest.raises(ImageNotReadyError) as caught:
            await Glance(client, embedded.url).image(image.id).info()
    assert caught.value.status == status


async def test_status_204_is_not_an_empty_image(client: HttpClient) -> None:
    async with EmbeddedGlance([small(mib=1, fault=Fault.NO_CONTENT)]) as embedded:
        with pytest.raises(ImageNotReadyError):
            await read(Glance(client, embedded.url).image("image"))


async def test_a_hidden_image_is_found_by_its_name(client: HttpClient) -> None:
    hidden, seen = small("one", mib=1), small("two", mib=1)
    hidden.hidden = True
    async with EmbeddedGlance([hidden, seen]) as embedded:
        glance = Glance(client, embedded.url)
        assert (await glance.image("one").info()).id == hidden.id
        hidden.name = "two"
        assert (await glance.image("two").info()).id == seen.id


async def test_a_name_that_looks_like_an_id_is_looked_up(client: HttpClient) -> None:
    image = small(ID, mib=1)
    async with EmbeddedGlance([image]) as embedded:
        assert (await Glance(client, embedded.url).image(ID).info()).id == image.id


async def test_all_images_of_a_name_are_counted(client: HttpClient) -> None:
    images = [EmbeddedImage(name=f"image-{n}", chunks=lambda: iter([b"x"])) for n in range(130)]
    for image in images:
        image.name = "same"
    async with EmbeddedGlance(images) as embedded:
        with pytest.raises(ImageAmbiguousError, match="130 images") as caught:
            await Glance(client, embedded.url).image("same").info()
    assert len(set(caught.value.ids)) == 130


@pytest.mark.parametrize(
    ("status", "retryable"), [("queued", True), ("saving", True), ("deactivated", False)]
)
async def test_only_an_image_that_becomes_active_is_worth_a_retry(
    status: str, retryable: bool, client: HttpClient
) -> None:
    image = small("one", mib=1)
    image.status = status
    async with EmbeddedGlance([image]) as embedded:
        with pytest.raises(ImageNotReadyError) as caught:
            await Glance(client, embedded.url).image("one").info()
    assert caught.value.retryable is retryable


async def test_names_are_looked_up_exactly(client: HttpClient) -> None:
    one, two, listed = small("one", mib=1), small("two", mib=1), small('in:a,"b"', mib=1)
    two.name = "one"
    async with EmbeddedGlance([one, two, listed]) as embedded:
        glance = Glance(client, embedded.url)
        with pytest.raises(ImageAmbiguousError) as ambiguous:
            await glance.image("one").info()
        assert set(ambiguous.value.ids) == {one.id, two.id}
        for ref in ("three", ID, "../images", "a b&c"):
            with pytest.raises(ImageNotFoundError) as caught:
                await glance.image(ref).info()
            assert caught.value.image == ref


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"id": "x", "status": "active", "size": 1}',
        b'{"id": "../../etc", "status": "active", "size": 1}',
        b'{"status": "active", "size": 1}',
        b'{"id": "%s", "status": "active", "size": "1"}' % ID.encode(),
        b'{"id": "%s", "status": "active", "size": null}' % ID.encode(),
        b'{"id": "%s", "status": "active", "size": -1}' % ID.encode(),
        b'{"id": "%s", "status": "active", "size": 1, "name": {}}' % ID.encode(),
        b"\xff\xfe",
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
async def test_invalid_documents_are_refused(
    client: HttpClient, answers: Answers, body: bytes
) -> None:
    answers.get(RECORD, body=body)
    with pytest.raises(SourceProtocolError) as caught:
        await Glance(client, GLANCE).image(ID).info()
    assert len(str(caught.value)) < 400


async def test_a_document_above_one_mebibyte_is_refused(client: HttpClient) -> None:
    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * ((1 << 20) + 1))
        await writer.drain()

    async with running(Target(behaviour=write)) as target:
        glance = Glance(client, f"http://127.0.0.1:{target.port}")
        with pytest.raises(SourceProtocolError, match="1 MiB"):
            await glance.image(ID).info()


@pytest.mark.parametrize("mib", [1, 2])
async def test_the_answer_to_a_change_is_read_whole_up_to_one_mebibyte(
    client: HttpClient, mib: int
) -> None:
    # More than is read ahead, so that one read returns a part of it.
    said = b" " * ((mib << 20) - 2) + b"{}"

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        await writer.drain()

    async with running(Target(behaviour=write)) as target:
        url = URL(f"http://127.0.0.1:{target.port}")
        asked = client.send("POST", url, image="x", headers={})
        if mib == 1:
            assert await asked == said
        else:
            with pytest.raises(SourceProtocolError, match="1 MiB"):
                await asked


@pytest.mark.parametrize("url", ["glance", "ftp://glance/", "http://", "http://u:p@glance/", "//x"])
async def test_invalid_urls_are_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(UsageError):
        Glance(client, url)


async def test_a_token_is_sent_to_glance_only(client: HttpClient) -> None:
    image = small(mib=1)
    async with EmbeddedGlance([image], token="canary") as embedded:
        source = Glance(client, embedded.url, token="canary").image(image.id)
        await source.info()
        image.fault = Fault.REDIRECT
        with pytest.raises(SourceRefusedError):
            await read(source)
        assert all(seen.with_token for seen in embedded.seen)
        assert not [seen for seen in embedded.seen if seen.path == "/elsewhere"]
        assert "canary" not in repr(source)


async def test_a_wrong_token_is_sent_once(client: HttpClient) -> None:
    async with EmbeddedGlance([small(mib=1)], token="right") as embedded:
        with pytest.raises(SourceRefusedError) as caught:
            await Glance(client, embedded.url, token="canary").image("image").info()
        assert caught.value.status == 401
        assert len(embedded.seen) == 1
    assert "canary" not in str(caught.value) + repr(caught.value)


async def test_a_closed_client_is_refused(client: HttpClient) -> None:
    with pytest.raises(ClosedError):
        await Glance(HttpClient(), "http://127.0.0.1:1").image(ID).info()


async def test_an_unreachable_glance_is_an_error(client: HttpClient) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        await Glance(client, "http://127.0.0.1:1").image(ID).info()
    assert caught.value.outcome == "not_sent"
    assert caught.value.retryable


@pytest.mark.slow
async def test_a_silent_glance_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with HttpClient(stall_timeout=0.3) as client:
            glance = Glance(client, f"http://127.0.0.1:{server.getsockname()[1]}")
            with pytest.raises(SourceStalledError):
                await glance.image(ID).info()


# URLs

DATA = b"disk" * 4_000  # aioresponses supports responses up to 64 KiB
SIZED = {"Content-Length": str(len(DATA))}
IMAGE = "https://images.example/x"


async def test_a_url_is_a_source(client: HttpClient, answers: Answers) -> None:
    url = "https://images.example/a/disk%201.img?signature=canary"
    answers.head(url, headers=SIZED)
    answers.get(url, headers=SIZED, body=DATA)
    source = HttpImages(client).image(f"{url}#sha1=AB")
    info = await source.info()
    assert (info.id, info.size, info.disk_format) == ("disk 1.img", len(DATA), None)
    assert (info.hash_algo, info.hash_value) == ("sha1", "ab")
    assert await read(source) == DATA
    assert list(answers.requests) == [("HEAD", URL(url)), ("GET", URL(url))]
    assert "canary" not in repr(source)


@pytest.mark.parametrize(
    ("path", "name"),
    [("a%2Fdisk.img", "disk.img"), ("..%2F..%2Fdisk.img", "disk.img"), ("a%2F", "images.example")],
)
async def test_a_quoted_slash_is_not_a_folder(
    path: str, name: str, client: HttpClient, answers: Answers
) -> None:
    url = f"https://images.example/{path}"
    answers.head(url, headers=SIZED)
    assert (await HttpImages(client).image(url).info()).name == name


@pytest.mark.parametrize(
    "token", ["", "canary\n", "canary ", "\N{SNOWMAN}canary", "canary\r\nX-Evil: 1"]
)
async def test_a_token_invalid_in_http_is_refused(token: str, client: HttpClient) -> None:
    async with EmbeddedGlance([small(mib=1)]) as embedded:
        source = Glance(client, embedded.url, token=token).image("image")
        with pytest.raises(UsageError) as caught:
            await source.info()
        assert not embedded.seen
    assert "canary" not in str(caught.value)


async def test_an_image_deleted_before_its_bytes_are_read_is_not_found(
    client: HttpClient, answers: Answers
) -> None:
    answers.head(IMAGE, headers=SIZED)
    answers.get(IMAGE, status=404)
    source = HttpImages(client).image(IMAGE)
    await source.info()
    with pytest.raises(ImageNotFoundError):
        await read(source)


async def test_a_server_without_head_support_works(client: HttpClient, answers: Answers) -> None:
    answers.head(IMAGE, status=405)
    answers.get(IMAGE, headers=SIZED, body=DATA, repeat=2)
    source = HttpImages(client).image(IMAGE)
    assert (await source.info()).size == len(DATA)
    assert await read(source) == DATA


async def test_a_head_without_a_length_falls_back_to_get(
    client: HttpClient, answers: Answers
) -> None:
    answers.head(IMAGE)
    answers.get(IMAGE, headers=SIZED, body=DATA)
    assert (await HttpImages(client).image(IMAGE).info()).size == len(DATA)
    assert [method for method, _ in answers.requests] == ["HEAD", "GET"]


async def test_userinfo_is_basic_authentication(client: HttpClient, answers: Answers) -> None:
    answers.head(IMAGE, headers=SIZED)
    source = HttpImages(client).image(IMAGE.replace("//", "//bob:canary@"))
    await source.info()
    (asked,) = answers.requests["HEAD", URL(IMAGE)]
    assert asked.kwargs["headers"]["Authorization"] == "Basic Ym9iOmNhbmFyeQ=="
    assert "canary" not in repr(source) + str(await source.info())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status": 404}, ImageNotFoundError),
        ({"status": 410}, ImageNotFoundError),
        ({"status": 500}, SourceRefusedError),
        ({"status": 302, "headers": {"Location": "http://x/y?canary"}}, SourceRefusedError),
        ({"status": 302, "headers": {"Location": "https://10.0.0.1/"}}, SourceUnreachableError),
        ({"headers": SIZED | {"Content-Encoding": "gzip"}}, SourceProtocolError),
    ],
)
async def test_failed_urls_raise_typed_errors(
    client: HttpClient, answers: Answers, answer: dict[str, Any], error: type[ImageError]
) -> None:
    answers.head(IMAGE, **answer)
    with pytest.raises(error) as caught:
        await HttpImages(client).image(IMAGE).info()
    assert "canary" not in str(caught.value)


async def test_redirects_of_a_url_are_followed_without_its_credentials(
    client: HttpClient, answers: Answers
) -> None:
    mirror = "https://mirror.example/y?signature=canary"
    for method in (answers.head, answers.get):
        method(IMAGE, status=302, headers={"Location": mirror})
        method(mirror, headers=SIZED, body=DATA)
    source = HttpImages(client).image(IMAGE.replace("//", "//bob:canary@"))
    assert (await source.info()).name == "x"
    assert await read(source) == DATA
    sent = {
        (method, str(url)): "Authorization" in call.kwargs["headers"]
        for (method, url), calls in answers.requests.items()
        for call in calls
    }
    assert sent == {
        ("HEAD", IMAGE): True,
        ("HEAD", mirror): False,
        ("GET", IMAGE): True,
        ("GET", mirror): False,
    }


async def test_a_redirect_to_a_name_with_private_addresses_is_followed_only_when_asked() -> None:
    served = Target()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"GET /x" in served.head or b"HEAD /x" in served.head:
            where = f"http://localhost:{served.port}/y".encode()
            writer.write(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: " + where + b"\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
            if served.head.startswith(b"GET"):
                writer.write(b"disk")
        await writer.drain()

    served.behaviour = answer
    async with running(served):
        url = f"http://127.0.0.1:{served.port}/x"
        async with HttpClient() as client:
            with pytest.raises(SourceUnreachableError, match="private") as caught:
                await HttpImages(client).image(url).info()
            assert not caught.value.retryable
        async with HttpClient(private_redirects=True) as client:
            assert await read(HttpImages(client).image(url)) == b"disk"


async def test_a_source_is_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Target()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if proxy.head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
            if proxy.head.startswith(b"GET"):
                writer.write(b"disk")
        await writer.drain()

    proxy.behaviour = answer
    async with running(proxy):
        address = f"http://bob:canary@127.0.0.1:{proxy.port}"
        monkeypatch.setenv("http_proxy", address)
        for given in (address, "environment"):
            async with HttpClient(proxy=given) as client:
                assert await read(HttpImages(client).image("http://images.example/x")) == b"disk"
                assert proxy.head.startswith(b"GET http://images.example/x HTTP/1.1\r\n")
                assert b"Proxy-Authorization: Basic Ym9iOmNhbmFyeQ==\r\n" in proxy.head
        async with HttpClient(proxy=address) as client:
            with pytest.raises(SourceUnreachableError, match="the proxy answered 407") as caught:
                await HttpImages(client).image("https://images.example/x").info()
            assert b"Proxy-Authorization: Basic Ym9iOmNhbmFyeQ==\r\n" in proxy.head
        assert "canary" not in repr(caught.value)
        async with HttpClient() as client:
            with pytest.raises(SourceUnreachableError):
                await HttpImages(client).image("http://127.0.0.1:1/x").info()


@pytest.mark.parametrize("proxy", ["https://proxy", "socks5://proxy", "http://u:canary@"])
def test_a_malformed_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(UsageError) as caught:
        HttpClient(proxy=proxy)
    assert "canary" not in str(caught.value)


async def test_a_url_without_a_length_is_refused(client: HttpClient, answers: Answers) -> None:
    answers.head(IMAGE, status=405)
    answers.get(IMAGE, body=DATA)
    with pytest.raises(SourceUnsizedError):
        await HttpImages(client).image(IMAGE).info()


@pytest.mark.parametrize(
    "url",
    ["x", "file:///etc/passwd", "http://", "http://h/x#canary", "http://h/x#sha1=zz", "http://["],
)
async def test_an_invalid_image_url_is_refused(client: HttpClient, url: str) -> None:
    with pytest.raises(UsageError):
        HttpImages(client).image(url)


# Files


async def test_a_file_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(DATA)
    source = LocalImages().image(str(path))
    info = await source.info()
    assert (info.id, info.size, info.hash_algo) == ("disk.img", len(DATA), None)
    assert await read(source) == DATA


async def test_the_holes_of_a_file_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        for at in (0, 3 * CHUNK + 5000, 6 * CHUNK):
            file.seek(at)
            file.write(b"x" * 10_000)
        file.truncate(9 * CHUNK + 512)
    async with LocalImages().image(str(path)).open() as body:
        chunks = [chunk async for chunk in body]
    assert b"".join(chunks) == path.read_bytes()
    # What is not read is one object.
    holes = [index for index, chunk in enumerate(chunks) if chunk is chunks[1]]
    assert holes == [1, 2, 4, 5, 7, 8]


async def test_a_file_is_read_where_its_holes_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "SEEK_DATA")
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(2 * CHUNK) + b"end")
    async with LocalImages().image(str(path)).open() as body:
        assert b"".join([chunk async for chunk in body]) == path.read_bytes()


async def test_leaving_a_file_early_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(DATA * 40)
    source = LocalImages().image(str(path))
    before = len(os.listdir("/proc/self/fd"))
    async with source.open() as body:
        async for _ in body:
            break
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


async def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"x")
    for name, error in (
        ("missing", ImageNotFoundError),
        ("fifo", SourceReadError),
        (".", SourceReadError),
        ("file/below", SourceReadError),
    ):
        with pytest.raises(error):
            await LocalImages().image(str(tmp_path / name)).info()
    with pytest.raises(SourceReadError):
        await LocalImages().image("/dev/zero").info()


# The embedded Glance


async def test_the_embedded_glance_serves_ranges() -> None:
    import aiohttp

    image = EmbeddedImage(name="a", chunks=lambda: iter([b"0123456789"]))
    async with EmbeddedGlance([image]) as embedded, aiohttp.ClientSession() as session:
        for asked, status, body in (
            ("bytes=0-3", 206, b"0123"),
            ("bytes=4-", 206, b"456789"),
            ("bytes=-2", 206, b"89"),
            ("bytes=8-99", 206, b"89"),
            ("bytes=10-", 416, None),
            ("bytes=5-2", 416, None),
            ("bytes=0-1,3-4", 400, None),
        ):
            url = f"{embedded.url}/v2/images/{image.id}/file"
            async with session.get(url, headers={"Range": asked}) as answer:
                assert answer.status == status
                if body is not None:
                    assert await answer.read() == body
                    assert answer.headers["Content-Range"].endswith("/10")


@pytest.mark.slow
async def test_row_86_a_document_that_drips_ends_by_the_deadline_of_a_call() -> None:
    from tests.unit.driver.images.peers import Target, running
    from vimlib import Timeouts

    target = Target()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not target.released.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    target.behaviour = drip
    async with running(target), HttpClient(timeouts=Timeouts(call=0.4)) as client:
        with pytest.raises(SourceStalledError) as caught:
            await Glance(client, f"http://127.0.0.1:{target.port}").image(ID).info()
    assert (caught.value.rule, caught.value.seconds) == ("call", 0.4)


@pytest.mark.parametrize("status", [429, 503])
async def test_row_14_a_source_is_not_waited_for_on_its_retry_after(status: int) -> None:
    from tests.unit.driver.images.peers import Target, running

    target = Target()

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nRetry-After: 999999\r\nContent-Length: 0\r\n\r\n" % status)
        await writer.drain()

    target.behaviour = busy
    async with running(target), HttpClient() as client:
        for image in (
            Glance(client, f"http://127.0.0.1:{target.port}").image(ID),
            HttpImages(client).image(f"http://127.0.0.1:{target.port}/x"),
        ):
            with pytest.raises(SourceRefusedError) as caught:
                await image.info()
            assert (caught.value.status, caught.value.retryable) == (status, True)
    assert target.connections == 2


@pytest.mark.parametrize(
    ("statuses", "left"),
    [([204], 0), ([404], 0), ([500, 409, 503, 204], 0), ([500] * 4, 0), ([403, 204], 1)],
)
@pytest.mark.usefixtures("hurried")
async def test_an_image_whose_upload_ends_is_deleted_by_another_request(
    client: HttpClient,
    answers: Answers,
    caplog: pytest.LogCaptureFixture,
    statuses: list[int],
    left: int,
) -> None:
    answers.post(f"{GLANCE}/v2/images", payload={"id": ID, "status": "queued"}, status=201)
    for status in statuses:
        answers.delete(RECORD, status=status)

    async def fail() -> None:
        async with Glance(client, GLANCE).new_image("golden", properties={}):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    sent = answers.requests[("DELETE", URL(RECORD))]
    assert len(sent) == len(statuses) - left
    given_up = f"cannot delete the image {ID}" in caplog.text
    assert given_up is (statuses[-1 - left] not in (204, 404))
