from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vimdriver._cli.sources import Sources, kind_of
from vimdriver._images.glance import GlanceImage
from vimdriver._images.http import HttpImage
from vimdriver._images.local import LocalImage
from vimlib._secret import Secret
from vimlib.errors import UsageError

UUID = "8d9d4a2e-6f0e-5f5c-9a43-6e1d0d5d7c11"


@pytest.mark.parametrize(
    ("ref", "glance", "kind"),
    [
        ("http://h/a.img", True, "url"),
        ("HTTPS://h/a.img", False, "url"),
        ("./a.img", True, "file"),
        ("/tmp/a.img", True, "file"),
        ("a.img", False, "file"),
        ("a.img", True, "glance"),
        (UUID, True, "glance"),
    ],
)
def test_the_form_of_a_reference_selects_the_source(ref: str, glance: bool, kind: str) -> None:
    assert kind_of(ref, glance=glance) == kind


def test_an_id_without_a_glance_is_refused_with_advice() -> None:
    with pytest.raises(UsageError, match="--glance"):
        kind_of(UUID, glance=False)


async def test_one_store_combines_all_three_sources() -> None:
    refs = [UUID, "http://127.0.0.1:1/a.img", "./a.img"]
    async with Sources(glance="http://127.0.0.1:1").open(refs, {}) as store:
        found = [type(store.image(ref)) for ref in refs]
    assert found == [GlanceImage, HttpImage, LocalImage]


async def test_the_environment_names_a_cloud_and_a_token(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mutually exclusive"):
        async with Sources(glance="http://h", os_cloud="c").open([UUID], {}):
            pass
    async with Sources(glance="http://127.0.0.1:1").open([UUID], {"OS_TOKEN": "secret"}) as store:
        image = store.image(UUID)
        assert isinstance(image, GlanceImage)
        assert "secret" not in repr(image)
        assert await image._glance._tokens.headers() == {"X-Auth-Token": Secret("secret")}


@pytest.mark.parametrize(("api", "path"), [("1", "/v1/images"), ("bexar", "/images"), ("2", "/v2")])
async def test_the_version_of_glance_selects_its_source(api: Any, path: str) -> None:
    sources = Sources(glance="http://127.0.0.1:1", glance_api=api)
    async with sources.open([UUID], {}) as store:
        assert f"127.0.0.1:1{path}'" in repr(store.image(UUID)._service)  # type: ignore[attr-defined]
    if api != "2":
        with pytest.raises(UsageError, match="--glance-api must be 2 to write"):
            async with sources.opened_glance({}):
                pass


@pytest.mark.parametrize("glance", [False, True])
@pytest.mark.parametrize("ref", ["ftp://mirror.test/x.img", "S3://bucket/x", "file:///x.img"])
def test_a_url_of_another_scheme_is_refused_with_those_that_work(ref: str, glance: bool) -> None:
    scheme = ref.partition("://")[0]
    with pytest.raises(UsageError, match=f"must begin with http:// or https://, got {scheme}://"):
        kind_of(ref, glance=glance)
