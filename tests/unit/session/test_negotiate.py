from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib import vim25
from vimlib._session.negotiate import choose, newest_known, read_versions
from vimlib.errors import ForbiddenXMLError, ProtocolError

KNOWN = vim25.ServiceInstance._binding_.versions


def document(*versions: str, name: str = "urn:vim25") -> bytes:
    prior = "".join(f"<version>{version}</version>" for version in versions[1:])
    return (
        f'<?xml version="1.0"?><namespaces version="1.0"><namespace><name>{name}</name>'
        f"<version>{versions[0]}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>"
    ).encode()


def test_the_versions_of_our_namespace() -> None:
    assert read_versions(document("8.0.3.0", "7.0", "4.1", "2.5u2")) == (
        "8.0.3.0",
        "7.0",
        "4.1",
        "2.5u2",
    )
    assert read_versions(document("6.5", name="urn:pbm")) == ()
    assert read_versions(document("evil\x1b"[:4], "6.5")) == ("6.5",)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\0", b"<a></b>", b"x" * 1000])
def test_what_is_no_document(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_versions(body)


def test_a_doctype_is_refused() -> None:
    with pytest.raises((ForbiddenXMLError, ProtocolError)):
        read_versions(
            b'<!DOCTYPE n [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + document("6.5")[21:]
        )
    with pytest.raises(ForbiddenXMLError):
        read_versions(b"<!DOCTYPE n>" + document("6.5")[21:])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_refused(body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        read_versions(body)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("8.0.3.0", "7.0.0.0"), "8.0.3.0"),
        (("99.0", "8.0.1.0", "4.1"), "8.0.1.0"),
        (("4.1", "4.0"), "4.1"),
        (("7.0", "6.7"), "7.0.0.0"),
        (("99.9",), None),
        ((), None),
    ],
)
def test_the_newest_that_both_know(offered: tuple[str, ...], chosen: str | None) -> None:
    assert choose(offered, KNOWN) == chosen


@pytest.mark.parametrize(
    ("about", "spoken"),
    [("4.1", "4.1"), ("8.0.3.0", "8.0.3.0"), ("99.0", KNOWN[-1]), ("6.5.5", "6.5"), ("1.0", "4.0")],
)
def test_by_what_the_service_says_of_itself(about: str, spoken: str) -> None:
    assert newest_known(about, KNOWN) == spoken


@pytest.mark.parametrize("about", ["", "x", "4.1\x1b", "1" * 200])
def test_a_version_that_is_none(about: str) -> None:
    with pytest.raises(ProtocolError):
        newest_known(about, KNOWN)
