from __future__ import annotations

import hashlib

import pytest

from vimdriver._images.hashing import new_hasher, verify
from vimdriver._images.source import ImageInfo
from vimdriver.errors import HashUnknownError, ImageHashError


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        (None, "sha512"),
        ("sha512", "sha512"),
        ("SHA-256", "sha256"),
        ("sha3-256", "sha3_256"),
        ("md5", "md5"),
        ("sha1", "sha1"),
        ("blake2b", "blake2b"),
    ],
)
def test_known_algorithms_are_accepted(name: str | None, same_as: str) -> None:
    hasher = new_hasher(name)
    hasher.update(b"abc")
    assert hasher.hexdigest() == hashlib.new(same_as, b"abc").hexdigest()


@pytest.mark.parametrize("name", ["crc32", "shake_256", "", "md5 ", "../md5", "x" * 1000])
def test_unknown_algorithms_are_refused(name: str) -> None:
    if name == "":  # the default, as for None
        assert new_hasher(name).digest_size == 64
        return
    with pytest.raises(HashUnknownError) as caught:
        new_hasher(name, image="i")
    assert caught.value.image == "i"
    assert len(str(caught.value)) < 200


def info(value: str | None) -> ImageInfo:
    return ImageInfo(id="i", name="n", size=3, hash_algo="md5" if value else None, hash_value=value)


def test_verify_compares_the_hashes() -> None:
    digest = hashlib.md5(b"abc").hexdigest()
    assert verify(info(digest), digest)
    assert verify(info(digest.upper() + "\n"), digest)
    assert not verify(info(None), digest)
    with pytest.raises(ImageHashError) as caught:
        verify(info("0" * 32), digest)
    assert caught.value.expected == "0" * 32
    assert caught.value.actual == digest
    assert caught.value.algorithm == "md5"
