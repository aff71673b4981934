from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib._transport.address import Address, parse_address
from vimlib.errors import UsageError


@pytest.mark.parametrize(
    ("text", "shown", "netloc"),
    [
        ("esx1", "https://esx1/sdk", "esx1:443"),
        ("esx1:8443", "https://esx1:8443/sdk", "esx1:8443"),
        ("  esx1.test  ", "https://esx1.test/sdk", "esx1.test:443"),
        ("ESX1", "https://esx1/sdk", "esx1:443"),
        ("https://esx1", "https://esx1/sdk", "esx1:443"),
        ("https://esx1/", "https://esx1/sdk", "esx1:443"),
        ("https://esx1:443/sdk", "https://esx1/sdk", "esx1:443"),
        ("https://esx1/other/sdk", "https://esx1/other/sdk", "esx1:443"),
        ("10.0.0.1", "https://10.0.0.1/sdk", "10.0.0.1:443"),
        ("[2001:db8::1]", "https://[2001:db8::1]/sdk", "[2001:db8::1]:443"),
        ("[2001:db8::1]:9", "https://[2001:db8::1]:9/sdk", "[2001:db8::1]:9"),
        ("2001:db8::1", "https://[2001:db8::1]/sdk", "[2001:db8::1]:443"),
        ("http://esx1", "http://esx1/sdk", "esx1:80"),
        ("http://esx1:443", "http://esx1:443/sdk", "esx1:443"),
    ],
)
def test_addresses(text: str, shown: str, netloc: str) -> None:
    address = parse_address(text)
    assert str(address) == shown
    assert address.netloc == netloc
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", " ", "https://", "ftp://esx1", "https://esx1?x=1", "https://esx1#f", "https://esx1:0", "esx1:99999",
     "https://esx 1", "https://esx1/a b", "https://es\x00x", "https://[::1", "https://esx1/\x1b", "esx1:port",
     "https://-x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    for text in (
        "https://root:hunter2@esx1/sdk",
        "root:hunter2@esx1",
        "https://root:hunter2@esx1:bad",
    ):
        with pytest.raises(UsageError) as caught:
            parse_address(text)
        assert "hunter2" not in str(caught.value) + repr(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert isinstance(address, Address)
    assert str(address).isascii()
    assert "@" not in str(address).partition("/sdk")[0].partition("://")[2].partition("/")[0]
