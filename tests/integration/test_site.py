"""The documentation as Chromium shows it: nothing overflows, no link is broken, nothing is loaded from elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.peers.chromium import chromium

ROOT = Path(__file__).resolve().parents[2]
HOSTED = "https://github.com/vimlib/vimlib-esx/blob/main/"

# The contents of a page: links, anchors, images that did not load, and elements that extend beyond the
# right edge of the window and are not inside a scrollable element.
LOOK = """
(() => {
  const scrolls = element => {
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return true;
    return false;
  };
  const seen = {opacityProperty: true, visibilityProperty: true};
  const wide = [...document.querySelectorAll("body *")].filter(element =>
    element.getBoundingClientRect().right > innerWidth + 1
    && element.checkVisibility(seen) && !scrolls(element));
  return {
    width: innerWidth,
    scrolled: document.documentElement.scrollWidth,
    wide: wide.slice(0, 5).map(element => element.outerHTML.slice(0, 120)),
    links: [...document.querySelectorAll("a[href]")].map(link => link.href),
    ids: [...document.querySelectorAll("[id]")].map(element => element.id),
    broken: [...document.images].filter(image => !image.naturalWidth).map(image => image.src),
  };
})()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `nox -s docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.parametrize("width", [400, 1400])
async def test_pages_fit_the_window_and_lead_somewhere(
    site: Path, need_tool: Callable[[str], Path], tmp_path: Path, width: int
) -> None:
    app = web.Application()
    app.router.add_static("/", site)
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))
    assert {"index.html", "quickstart.html", "reference/vimctl.html"} <= set(pages)
    found: dict[str, dict[str, Any]] = {}
    async with TestServer(app) as server, chromium(need_tool("chromium"), tmp_path) as tab:
        base = str(server.make_url("/"))
        for page in pages:
            await tab.show(base + page, width)
            found[page] = await tab.evaluate(LOOK)
    assert {page: it["wide"] for page, it in found.items() if it["wide"]} == {}
    assert {page: it["scrolled"] for page, it in found.items() if it["scrolled"] > width} == {}
    assert {page: it["broken"] for page, it in found.items() if it["broken"]} == {}
    assert [url for url in tab.requests if not url.startswith((base, "data:", "about:"))] == []
    assert broken_links(site, base, found) == []


def broken_links(site: Path, base: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the links that lead to no file, or to no place in a page."""
    broken = []
    for page, it in found.items():
        for link in it["links"]:
            if link.startswith(HOSTED):
                fine = (ROOT / urlsplit(link.removeprefix(HOSTED)).path).exists()
            elif link.startswith(base):
                parts = urlsplit(link.removeprefix(base))
                path = unquote(parts.path) or "index.html"
                anchor = unquote(parts.fragment)
                fine = (site / path).is_file()
                if fine and anchor and path in found:
                    fine = anchor in found[path]["ids"]
            else:
                fine = True  # somebody else's
            if not fine:
                broken.append(f"{page}: {link}")
    return broken


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("")
    links = ["http://here/a.html", "http://here/a.html#x", "http://here/a.html#y", "http://here/b"]
    found = {"a.html": {"links": links, "ids": ["x"]}}
    assert broken_links(tmp_path, "http://here/", found) == [
        "a.html: http://here/a.html#y",
        "a.html: http://here/b",
    ]
