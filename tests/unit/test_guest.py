"""Listings of a guest's files, by a host that sends them without end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from vimlib import vim25
from vimlib._guest import GuestSession
from vimlib.errors import LimitError, ProtocolError


def guest(name: Callable[[], str], *, most: int) -> GuestSession:
    """Return a guest each of whose pages has one file and promises another page."""

    async def page(*_: object, **__: object) -> vim25.GuestListFileInfo:
        one = vim25.GuestFileInfo(
            path=name(), type="file", size=0, attributes=vim25.GuestFileAttributes()
        )
        return vim25.GuestListFileInfo(files=[one], remaining=1)

    async def find() -> tuple[None, object]:
        return None, SimpleNamespace(ListFilesInGuest=page)

    context: Any = SimpleNamespace(
        once=lambda _: SimpleNamespace(find=find),
        invoker=SimpleNamespace(host="esx:443"),
        most_objects=most,
    )
    transport: Any = None
    return GuestSession(context, transport, vim25.VirtualMachine("vm-1"), "root", "secret")


async def test_a_page_without_a_new_file_ends_the_listing() -> None:
    with pytest.raises(ProtocolError, match="a page with no new object"):
        await guest(lambda: "a", most=10).stat("/")


async def test_a_listing_has_a_most_number_of_files() -> None:
    numbers = count()
    with pytest.raises(LimitError, match="at most 10 objects"):
        await guest(lambda: f"f{next(numbers)}", most=10).stat("/")
