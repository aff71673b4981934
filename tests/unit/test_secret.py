from __future__ import annotations

import copy
import pickle

import pytest

from vimlib._secret import Secret, masked, reveal


def test_a_secret_shows_nothing() -> None:
    secret = Secret("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{secret!r}", repr([secret]),
                  repr(vars(secret) if hasattr(secret, "__dict__") else ""), repr({"p": secret.reveal()})):  # fmt: skip
        assert "hunter2" not in shown


def test_its_text_is_a_string_like_any_other() -> None:
    text = Secret("hunter2").reveal()
    assert text == "hunter2"
    assert text.encode() == b"hunter2"
    assert f"<p>{text}</p>" == "<p>hunter2</p>"
    assert reveal("x") == reveal(Secret("x")) == "x"


def test_equality_and_truth() -> None:
    assert Secret("a") == Secret("a") == Secret(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_it_does_not_travel() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))
    secret = Secret("x")
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"s": secret})["s"] is secret


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("you sent s3cret&word", "s3cret&word", "you sent ***"),
        ("you sent s3cret&amp;word", "s3cret&word", "you sent ***"),
        ("you sent s3cret%26word", "s3cret&word", "you sent ***"),
        ("you sent czNjcmV0JndvcmQ=", "s3cret&word", "you sent ***="),
        ("you sent s3cret&w", "s3cret&word", "you sent ***"),
        ("Cookie: a=52aaaaaaaaaa", 'a="52aaaaaaaaaa"', "Cookie: a=***"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic dXNlcjpwYXNzd29yZA==", "***"),
        ("user:password, password", "Basic dXNlcjpwYXNzd29yZA==", "***, ***"),
        ("no base64", "Basic x", "no base64"),
        ("a cat", "a", "a cat"),
    ],
)
def test_each_form_of_a_repeated_secret_is_masked(text: str, secret: str, shown: str) -> None:
    assert masked(text, [Secret(secret)]) == shown
