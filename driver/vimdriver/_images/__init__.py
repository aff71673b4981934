"""The image pipeline: source, inspect, verify, upload. Nothing is stored on disk or held whole in
memory.

This package may know HTTP, files and disk formats, but not SOAP; only `push` and `sink` connect it
to `vimlib`.

Upload one image::

    async with HttpClient(ca=...) as client, ThreadUploader() as uploader:
        source = Glance(client, url, token=...).image("fedora")   # or HttpImages, LocalImages
        info = await source.info()             # id, name, exact size, format, hash, properties
        check = BodyCheck(info, limits=...)    # checks length, disk format and hash; no I/O
        report = await uploader.upload(source, sink, check, on_progress=...)

`sink` has `put(body, size)` for the uploader on asyncio (`AsyncUploader`) and `wire()` for the one
that owns its sockets (`ThreadUploader`). `report` has `bytes`, `hash`, `hash_algo`, `verified` and
`facts`: kind, capacity, adapter type, `extension`. On any failure the PUT is aborted before its
last byte; the server may keep a partial file, which the caller deletes.

Read the checked bytes of a source without an uploader::

    async with source.open() as body, piped(body, check, executor=...) as pipe:
        async for chunk in pipe: ...

- `source`: the protocols and `ImageInfo`; `glance`, `http`, `local`: the sources; `openstack`: the
  endpoint and token of Glance from clouds.yaml
- `prefix`: reads the first bytes of an image; `check`: checks a body; `inspect/`: disk formats;
  `hashing`: hash algorithms
- `pipe`, `uploader`, `worker`: transfers on the event loop; `threads`, `pump`, `channel`, `raw_http`:
  transfers in threads
- `make`, `embedded`: generated images, and a Glance in this process that serves them
"""

from vimdriver._images.check import BodyCheck, BodyReport
from vimdriver._images.glance import Glance, GlanceImage, TokenSource
from vimdriver._images.http import HttpClient, HttpImage, HttpImages
from vimdriver._images.inspect import DiskFacts, InspectLimits, Inspector
from vimdriver._images.local import LocalImage, LocalImages
from vimdriver._images.pipe import Pipe, piped
from vimdriver._images.pump import PumpOptions
from vimdriver._images.raw_http import RawRequest
from vimdriver._images.source import (
    ImageBody,
    ImageInfo,
    ImageSource,
    ImageStore,
    RawSource,
)
from vimdriver._images.threads import ThreadUploader
from vimdriver._images.uploader import AsyncUploader, BodySink, BodyUploader

__all__ = [
    "AsyncUploader",
    "BodyCheck",
    "BodyReport",
    "BodySink",
    "BodyUploader",
    "DiskFacts",
    "Glance",
    "GlanceImage",
    "HttpClient",
    "HttpImage",
    "HttpImages",
    "ImageBody",
    "ImageInfo",
    "ImageSource",
    "ImageStore",
    "InspectLimits",
    "Inspector",
    "LocalImage",
    "LocalImages",
    "Pipe",
    "PumpOptions",
    "RawRequest",
    "RawSource",
    "ThreadUploader",
    "TokenSource",
    "piped",
]
