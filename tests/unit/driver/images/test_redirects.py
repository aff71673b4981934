"""Where redirects of an image's URL lead, and where they must not."""

from __future__ import annotations

import pytest
from yarl import URL

from vimdriver._images.redirects import Redirects, is_public
from vimdriver.errors import SourceRefusedError, SourceUnreachableError
from vimlib._secret import Secret

START = URL("https://images.example/a/disk.img?x=1")
FROM = Redirects(START.origin())


def after(location: str, *, url: URL = START, redirects: Redirects = FROM) -> URL | None:
    found = redirects.after(url, 302, location, "disk.img")
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://mirror.example/b", "https://mirror.example/b"),
        ("/c?sig=1", "https://images.example/c?sig=1"),
        ("d", "https://images.example/a/d"),
        ("//mirror.example:444/b", "https://mirror.example:444/b"),
        ("https://u:p@mirror.example/b#sha256=00", "https://mirror.example/b"),
        ("https://93.184.216.34/b", "https://93.184.216.34/b"),
    ],
)
def test_a_redirect_leads_to_its_location(location: str, leads_to: str) -> None:
    assert after(location) == URL(leads_to)


@pytest.mark.parametrize("status", [200, 206, 300, 304, 404])
def test_another_status_is_not_a_redirect(status: int) -> None:
    assert FROM.after(START, status, "https://mirror.example/", "x") is None


@pytest.mark.parametrize("location", [None, ""])
def test_a_response_without_a_location_is_not_a_redirect(location: str | None) -> None:
    assert FROM.after(START, 302, location, "x") is None


@pytest.mark.parametrize(
    "location",
    ["http://images.example/b", "ftp://x/b", "file:///etc/passwd", "http://[", "https://:0x/"],
)
def test_a_redirect_that_must_not_be_followed_is_refused(location: str) -> None:
    with pytest.raises(SourceRefusedError) as caught:
        after(location)
    assert caught.value.status == 302
    assert caught.value.hint


def test_an_endless_row_of_redirects_is_refused() -> None:
    url, redirects = START, FROM
    for number in range(5):
        found = redirects.after(url, 302, f"/{number}", "x")
        assert found is not None
        url, redirects = found
    with pytest.raises(SourceRefusedError, match="5 redirects"):
        redirects.after(url, 302, "/more", "x")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0",
     "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "[2002:a00:1::1]", "224.0.0.1"],
)  # fmt: skip
def test_a_private_address_is_followed_only_when_asked(host: str) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        after(f"https://{host}/b")
    assert not caught.value.retryable
    asked = Redirects(FROM.origin, private=True)
    assert after(f"https://{host}/b", redirects=asked) is not None
    named = URL(f"https://{host}/a")
    again = after("/b", url=named, redirects=Redirects(named.origin()))
    assert again == named.with_path("/b")


def test_a_name_is_guarded_unless_the_user_gave_it() -> None:
    assert FROM.guards(URL("https://mirror.example/"))
    assert not FROM.guards(URL("https://images.example:444/"))
    assert not Redirects(FROM.origin, private=True).guards(URL("https://mirror.example/"))


@pytest.mark.parametrize("address", ["8.8.8.8", "2600::1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url", ["https://mirror.example/a", "https://images.example:444/a", "http://images.example/a"]
)
def test_secrets_are_sent_to_their_origin_alone(url: str) -> None:
    headers: dict[str, str | Secret] = {"Authorization": Secret("Basic x"), "Range": "bytes=5-"}
    assert FROM.headers(START, headers) == headers
    assert FROM.headers(URL(url), headers) == {"Range": "bytes=5-"}
