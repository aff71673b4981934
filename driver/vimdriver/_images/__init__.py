"""Images on their way: source, inspect, convert, verify, target. Never on disk, never whole in memory.

What stands here may know HTTP, files and disk formats, and nothing of SOAP; `push` and `sink` join it
to `vimlib`.

One image, moved::

    async with HttpClient(ca=...) as client, ThreadMover() as mover:
        source = Glance(client, url, token=...).image("fedora")   # or HttpImages, LocalImages
        info = await source.info()             # id, name, exact size, format, hash, properties
        check = BodyCheck(info, limits=...)    # judges length, disk format and hash; no I/O
        report = await mover.move(source, sink, check, on_progress=...)

`sink` has `put(body, size)` for movers on asyncio (`AsyncMover`) and `wire()` for those that own
sockets (`ThreadMover`). `report` has `bytes`, `hash`, `hash_algo`, `verified` and `facts`: kind,
capacity, adapter type, `extension`. On any failure the PUT is aborted before its last byte; what the
server kept of it is a partial file that the caller deletes.

The bytes of a source, checked, without a mover::

    async with source.open() as body, piped(body, check, executor=...) as pipe:
        async for chunk in pipe: ...

- `source`: the protocols and `ImageInfo`; `glance`, `http`, `local`: the sources; `openstack`: where
  Glance is and which token it wants
- `peek`: how an image begins; `check`: the judge of a body; `inspect/`: disk formats; `hashing`: which hash
- `pipe`, `mover`, `worker`: on the event loop; `threads`, `pump`, `channel`, `wire`: beside it
- `make`, `embedded`: images made on the fly, and a Glance that serves them
"""

from vimdriver._images.check import BodyCheck, BodyReport
from vimdriver._images.glance import Glance, GlanceImage, TokenSource
from vimdriver._images.http import HttpClient, HttpImage, HttpImages
from vimdriver._images.inspect import DiskFacts, InspectLimits, Inspector
from vimdriver._images.local import LocalImage, LocalImages
from vimdriver._images.mover import AsyncMover, BodyMover, BodySink
from vimdriver._images.pipe import Pipe, piped
from vimdriver._images.pump import PumpOptions
from vimdriver._images.source import (
    ImageBody,
    ImageInfo,
    ImageSource,
    ImageStore,
    WireSource,
)
from vimdriver._images.threads import ThreadMover
from vimdriver._images.wire import Wire

__all__ = [
    "AsyncMover",
    "BodyCheck",
    "BodyMover",
    "BodyReport",
    "BodySink",
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
    "ThreadMover",
    "TokenSource",
    "Wire",
    "WireSource",
    "piped",
]
