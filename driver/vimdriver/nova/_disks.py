"""Disks of images in a host's cache, from which machines boot in rescue mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._disks.cache import cache_folder, cache_key
from vimdriver._disks.ensure import DiskWish, ensure_disk
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimdriver._driver import ESXDriver
    from vimdriver._images.source import ImageSource


async def cached_disk(driver: ESXDriver, source: ImageSource, datastore: str) -> str:
    """Return the datastore path of an image's disk in the cache, fetched if it is missing.

    Cancelling undoes an unfinished transfer.

    Raises:
        UsageError: The image has no hash that names its content.
        VimlibError: As `ensure_disk`.
    """
    info = await source.info()
    key = cache_key(info)
    if key is None:
        raise UsageError(f"image {info.id} must have a sha256 or sha512 hash to be cached")
    host = driver.host()
    await host.record_session()
    wish = DiskWish(target=cache_folder(datastore) / f"{key}.vmdk", by_content=True)
    return str((await ensure_disk(host, source, wish)).path)
