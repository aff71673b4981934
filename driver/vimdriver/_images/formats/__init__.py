"""Disk formats as pure stages: bytes of a file in, extents of a disk out, and the reverse.

No I/O, no clocks, no threads; memory is bounded. Convert an image::

    image = open_image(prefix, size=..., claimed=...)       # decides by the bytes, or refuses
    reader = image.reader()
    writer = StreamOptimizedWriter(image.capacity)          # or FlatWriter
    send(writer.start())
    async for chunk in source:                              # the prefix is fed too
        for extent in reader.feed(chunk):
            for piece in writer.write(extent):
                send(piece)
    ...                                                     # the same for reader.finish()
    for piece in writer.finish():
        send(piece)

- `image`: `open_image`, the one judge of images; `magic`: the kind of a file by its first bytes
- `extents`: extents, the protocols of readers and writers
- `cursor`: the read requests of incremental parsers
- `flat`: raw disks; `stream_writer`, `descriptor_text`: streamOptimized VMDKs that we write
- `header`, `descriptor`, `strict_descriptor`, `tables`: the parts of a sparse extent
- `compressed`: gzip, xz and Zstandard files with an image inside
- `qcow2`, `zstd`: qcow2 images
- `placed`: files of this computer that are written out of order: raw with holes, qcow2
- `tar`, `manifest`, `ova`, `survey`: OVA files, and the disks inside
- `sparse_reader`, `stream_reader`, `deflate`: monolithicSparse and streamOptimized VMDKs
"""

from vimdriver._images.formats.extents import (
    GRAIN,
    MAX_CAPACITY,
    PREFIX,
    TAIL,
    Data,
    DeflatedGrain,
    DiskReader,
    DiskWriter,
    Extent,
    GrainReader,
)
from vimdriver._images.formats.flat import FlatReader, FlatWriter
from vimdriver._images.formats.image import (
    ImageFormat,
    check_claims,
    open_image,
    prefix_bytes,
)
from vimdriver._images.formats.stream_writer import StreamOptimizedWriter

__all__ = [
    "GRAIN",
    "MAX_CAPACITY",
    "PREFIX",
    "TAIL",
    "Data",
    "DeflatedGrain",
    "DiskReader",
    "DiskWriter",
    "Extent",
    "FlatReader",
    "FlatWriter",
    "GrainReader",
    "ImageFormat",
    "StreamOptimizedWriter",
    "check_claims",
    "open_image",
    "prefix_bytes",
]
