from __future__ import annotations

import base64

import pytest

from vimlib._transport.address import parse_address
from vimlib._transport.proxy import find_proxy, parse_proxy
from vimlib.errors import UsageError

TARGET = parse_address("https://esx.test")


def test_a_proxy_with_a_password() -> None:
    proxy = parse_proxy("http://us%40er:p%3Aw@proxy.test:3128")
    assert proxy.address.netloc == "proxy.test:3128"
    assert proxy.credentials is not None
    assert proxy.credentials.reveal() == "us@er:p:w"
    assert proxy.authorization is not None
    assert proxy.authorization.reveal() == "Basic dXNAZXI6cDp3"
    assert "p:w" not in repr(proxy)


def test_a_user_without_a_password() -> None:
    proxy = parse_proxy("http://user@proxy.test:3128")
    assert proxy.authorization is not None
    assert base64.b64decode(proxy.authorization.reveal().removeprefix("Basic ")) == b"user:"


def test_a_bare_proxy() -> None:
    proxy = parse_proxy("proxy.test:3128")
    assert proxy.address.netloc == "proxy.test:3128"
    assert proxy.authorization is None


@pytest.mark.parametrize(
    "url", ["https://p:1", "socks5://p:1", "http://u:hunter2%0a@p:1", "http://"]
)
def test_what_is_no_proxy_is_refused_and_its_password_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_proxy(url)
    assert "hunter2" not in str(caught.value)


def test_the_environment_is_asked_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "https_proxy",
        "http_proxy",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    assert find_proxy("environment", TARGET) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    assert find_proxy(None, TARGET) is None
    found = find_proxy("environment", TARGET)
    assert found is not None
    assert found.address.netloc == "p:1"
    monkeypatch.setenv("NO_PROXY", "other.test,.test")
    assert find_proxy("environment", TARGET) is None
    monkeypatch.setenv("NO_PROXY", "*")
    assert find_proxy("environment", TARGET) is None
