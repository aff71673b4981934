"""The image pipeline: source, inspect, verify, upload. Nothing is stored on disk or held whole in
memory.

This package may know HTTP, files and disk formats, but not SOAP; only `push`, `sink` and `stored`
connect it to `vimlib`.

Upload one image::

    async with HttpClient(ca=...) as client, Uploader() as uploader:
        source = Glance(client, url, token=...).image("fedora")   # or HttpImages, LocalImages
        info = await source.info()             # id, name, exact size, format, hash, properties
        done = await uploader.upload(source, sink, info, on_progress=...)

`sink` has `put(body, size)`: one HTTP request. `done.source` has `bytes`, `hash`, `hash_algo`,
`verified` and `facts`: kind, capacity, adapter type, `extension`. A `Stage` between them converts the
bytes. On any failure the request is aborted before its last byte; the server may keep a partial file,
which the caller deletes.

Read the checked bytes of a source without an uploader::

    async with source.open() as body, piped(body, Passage(BodyCheck(info)), executor=...) as pipe:
        async for piece in pipe: ...

- `source`: the protocols and `ImageInfo`; `glance`, `glance_v1`, `http`, `local`, `stored`: the sources; `openstack`:
  the endpoint and token of Glance from clouds.yaml
- `check`: checks a body; `formats/`: disk formats; `hashing`: hash algorithms
- `uploader`, `pipe`, `ranges`, `worker`, `deflater`: how a body is moved; `sink`: the datastore as its target
- `ovf`, `archive`, `ovf_set`: OVF descriptors, OVA files, and descriptors with their files next to them
- `local_file`: new files of this computer
- `make`, `embedded`: generated images, and a Glance in this process that serves them
"""

from vimdriver._images.check import BodyCheck, BodyReport
from vimdriver._images.glance import Glance, GlanceImage
from vimdriver._images.glance_v1 import GlanceV1
from vimdriver._images.http import HttpClient, HttpImage, HttpImages
from vimdriver._images.local import LocalImage, LocalImages
from vimdriver._images.pipe import Passage, Pipe, Stage, piped
from vimdriver._images.source import (
    ImageBody,
    ImageInfo,
    ImageSource,
    ImageStore,
)
from vimdriver._images.tokens import TokenSource
from vimdriver._images.uploader import BodySink, Uploaded, Uploader

__all__ = [
    "BodyCheck",
    "BodyReport",
    "BodySink",
    "Glance",
    "GlanceImage",
    "GlanceV1",
    "HttpClient",
    "HttpImage",
    "HttpImages",
    "ImageBody",
    "ImageInfo",
    "ImageSource",
    "ImageStore",
    "LocalImage",
    "LocalImages",
    "Passage",
    "Pipe",
    "Stage",
    "TokenSource",
    "Uploaded",
    "Uploader",
    "piped",
]
