"""Sparse VMDKs as other programs write them, built from a disk's bytes without our own writer."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

SECTOR = 512
TABLE = 512
AT_END = (1 << 64) - 1
Shuffle = Callable[[list[int]], Sequence[int]]


def disk(capacity: int, *, seed: int = 1, grain: int = 65536) -> bytes:
    """Return a disk with holes, data at odd places, and grains that hold zeros alone."""
    chance = random.Random(seed)
    data = bytearray(capacity)
    for _ in range(capacity // grain // 3 + 2):
        at = chance.randrange(capacity)
        piece = chance.randbytes(chance.randrange(1, 2 * grain))[: capacity - at]
        data[at : at + len(piece)] = piece
    return bytes(data)


def descriptor(
    create_type: str, sectors: int, *, name: str = "disk.vmdk", more: str = "", sectors_of: int = 20
) -> bytes:
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
        f'createType="{create_type}"\n# Extent description\nRW {sectors} SPARSE "{name}"\n'
        f'#DDB\nddb.adapterType = "lsilogic"\n{more}'
    )
    return text.encode().ljust(sectors_of * SECTOR, b"\0")


def header(**fields: int) -> bytes:
    values = {
        "version": 1, "flags": 3, "capacity": 0, "grain": 128, "descriptor": 1, "size": 20,
        "gtes": 512, "rgd": 0, "gd": 0, "overhead": 128, "unclean": 0,
    } | fields  # fmt: skip
    compression = values.pop("compression", 0)
    packed = struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", *values.values(), b"\n \r\n", compression)
    return packed.ljust(SECTOR, b"\0")


def words(values: Sequence[int], sectors: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values).ljust(sectors * SECTOR, b"\0")


def marker(kind: int, sectors: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0")


def grains_of(data: bytes, size: int) -> dict[int, bytes]:
    """Return the grains that are not zero, by index."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return {index: piece for index, piece in enumerate(pieces) if any(piece)}


def sparse(
    data: bytes,
    *,
    grain: int = 128,
    version: int = 1,
    shuffle: Shuffle = list,
    tables_last: bool = False,
    zeroed: bool = False,
    text: bytes | None = None,
) -> bytes:
    """Return a monolithicSparse VMDK.

    Args:
        data: The disk.
        grain: Sectors per grain.
        version: Of the header.
        shuffle: Orders the grains in the file.
        tables_last: Put the tables behind the grains.
        zeroed: Mark holes as zeroed grains.
        text: The descriptor.
    """
    capacity, size = -(-len(data) // SECTOR), grain * SECTOR
    stored = grains_of(data, size)
    count = -(-capacity // (grain * TABLE))
    directory = -(-count * 4 // SECTOR)
    length = 2 * (directory + 4 * count)
    body = len(stored) * grain
    rgd = 21 + body if tables_last else 21
    gd = rgd + length // 2
    first = 21 if tables_last else -(-(21 + length) // grain) * grain
    at = {index: first + place * grain for place, index in enumerate(shuffle(sorted(stored)))}
    hole = 1 if zeroed else 0
    entries = [at.get(index, hole) for index in range(count * TABLE)]
    tables = b"".join(
        words([place + directory + 4 * table for table in range(count)], directory)
        + words(entries, 4 * count)
        for place in (rgd, gd)
    )
    blocks = b"".join(stored[index].ljust(size, b"\0") for index in at)
    beginning = header(
        version=version, flags=7 if zeroed else 3, capacity=capacity, grain=grain, rgd=rgd, gd=gd,
        overhead=21 if tables_last else first,
    ) + (text or descriptor("monolithicSparse", capacity))  # fmt: skip
    if tables_last:
        return beginning + blocks + tables
    return (beginning + tables).ljust(first * SECTOR, b"\0") + blocks


def stream(
    data: bytes,
    *,
    grain: int = 128,
    version: int = 3,
    front: bool = False,
    tables_last: bool = False,
    shuffle: Shuffle = list,
    progress: bool = False,
    zeroed: bool = False,
    end: bytes | None = None,
    padded: bool = True,
    short: bool = False,
    level: int = 6,
    deflate: Callable[[bytes], bytes] | None = None,
    capacity: int | None = None,
    text: bytes | None = None,
) -> bytes:
    """Return a streamOptimized VMDK.

    Args:
        data: The disk.
        grain: Sectors per grain.
        version: Of the header.
        front: Tables in front of the grains, as qemu and open-vmdk write them; else VMware's layout.
        tables_last: VMware's layout with all tables after all grains, as VMDK-stream converters do.
        shuffle: Orders the grains in the file.
        progress: Put a progress marker before each grain.
        zeroed: Mark holes as zeroed grains.
        end: The end of a file with tables in front.
        padded: Pad the last grain of a file with tables in front.
        short: Deflate as much of the last grain as the disk has.
        level: Of zlib.
        deflate: Deflates a grain, instead of zlib.
        capacity: Sectors in the header, if they differ.
        text: The descriptor.
    """
    sectors, size = capacity or -(-len(data) // SECTOR), grain * SECTOR
    stored = grains_of(data, size)
    count = -(-sectors // (grain * TABLE))
    directory = -(-count * 4 // SECTOR)
    gd = 21 if front else AT_END
    overhead = -(-(21 + directory + 4 * count) // 128) * 128 if front else 128
    hole = 1 if zeroed else 0
    entries = [hole] * (count * TABLE)
    places = [0] * count
    flags = 0x30001 | (4 if zeroed else 0)

    def beginning(gd: int) -> bytes:
        return header(version=version, flags=flags, capacity=sectors, grain=grain, gd=gd,
                      overhead=overhead, compression=1)  # fmt: skip

    body: list[bytes] = []
    at = overhead

    def add(piece: bytes, *, padded: bool = True) -> int:
        nonlocal at
        place = at
        body.append(piece.ljust(-(-len(piece) // SECTOR) * SECTOR, b"\0") if padded else piece)
        at += -(-len(piece) // SECTOR)
        return place

    def table(index: int) -> None:
        add(marker(1, 4))
        places[index] = add(words(entries[index * TABLE : (index + 1) * TABLE], 4))

    order = list(shuffle(sorted(stored)))
    for place, index in enumerate(order):
        if progress:
            add(marker(4, 0))
        piece = stored[index] if short else stored[index].ljust(size, b"\0")
        packed = deflate(piece) if deflate else zlib.compress(piece, level)
        packed = struct.pack("<QI", index * grain, len(packed)) + packed
        last = place == len(order) - 1
        entries[index] = add(packed, padded=padded or not last)
        if not front and not tables_last and (last or order[place + 1] // TABLE != index // TABLE):
            table(index // TABLE)
    text = text or descriptor("streamOptimized", sectors)
    if front:
        tables = words([22 + directory - 1 + 4 * i for i in range(count)], directory)
        tables += words(entries, 4 * count)
        head = (beginning(gd) + text + tables).ljust(overhead * SECTOR, b"\0")
        return b"".join([head, *body, end or b""])
    if tables_last:
        for index in range(count):
            if any(entry > 1 for entry in entries[index * TABLE : (index + 1) * TABLE]):
                table(index)
    add(marker(2, directory))
    place = add(words(places, directory))
    add(marker(3, 1))
    add(beginning(place))
    add(marker(0, 0))
    head = (beginning(gd) + text).ljust(overhead * SECTOR, b"\0")
    return b"".join([head, *body])


def qcow2(
    data: bytes,
    *,
    version: int = 3,
    bits: int = 12,
    compress: Callable[[bytes], bytes] | None = None,
    tables_first: bool = False,
    shuffle: Shuffle = list,
    zeroed: bool = False,
    **fields: int,
) -> bytes:
    """Return a qcow2 image without reference counts, which no reader needs.

    QEMU requires a table of them, and does not read it: its field has the offset of the first table.

    Args:
        data: The disk.
        version: 2 or 3.
        bits: Of the size of a cluster.
        compress: Compresses each cluster; else they are stored.
        tables_first: Put all tables in front of the clusters.
        shuffle: Orders the clusters of each table in the file.
        zeroed: Mark holes as clusters of zeros.
        fields: Of the header, instead of the right ones.
    """
    cluster = 1 << bits
    per_table = cluster // 8
    stored = {i: p.ljust(cluster, b"\0") for i, p in grains_of(data, cluster).items()}
    count = -(-len(data) // (cluster * per_table))
    l1_clusters = -(-count * 8 // cluster)
    blocks: dict[int, bytes] = {}
    at = (1 + l1_clusters) * cluster
    l1 = [0] * count
    entries = {index: [1 if zeroed else 0] * per_table for index in range(count)}
    tables = range(count) if tables_first else []
    for index in tables:
        l1[index], at = at, at + cluster
    for index in range(count):
        mine = [i for i in sorted(stored) if i // per_table == index]
        if not l1[index] and (mine or zeroed):
            at = -(-at // cluster) * cluster
            l1[index], at = at, at + cluster
        for i in shuffle(mine):
            piece = stored[i] if compress is None else compress(stored[i])
            if compress is None or len(piece) >= cluster:
                at = -(-at // cluster) * cluster
                entries[index][i % per_table] = at | 1 << 63
                blocks[at], at = stored[i], at + cluster
            else:
                sectors = (at + len(piece) - 1) // SECTOR - at // SECTOR
                entries[index][i % per_table] = 1 << 62 | sectors << (70 - bits) | at
                blocks[at], at = piece, at + len(piece)
    values = {
        "backing": 0, "name": 0, "bits": bits, "size": len(data), "crypt": 0, "l1_size": count,
        "l1": cluster, "refcounts": cluster, "clusters": 1, "snapshots": 0, "at": 0, "incompatible": 0,
        "compatible": 0, "autoclear": 0, "order": 4, "length": 112, "compression": 0,
    } | fields  # fmt: skip
    head = struct.pack(">4sIQIIQIIQQIIQQQQIIB7x", b"QFI\xfb", version, *values.values())
    for index, place in enumerate(l1):
        if place:
            blocks[place] = struct.pack(f">{per_table}Q", *entries[index])
    blocks[cluster] = struct.pack(f">{count}Q", *(place and place | 1 << 63 for place in l1))
    image = bytearray(max(place + len(block) for place, block in blocks.items()))
    image[: len(head)] = head
    for place, block in blocks.items():
        image[place : place + len(block)] = block
    return bytes(image.ljust(-(-len(image) // SECTOR) * SECTOR, b"\0"))


def raw_deflate(data: bytes) -> bytes:
    """Compress a cluster as QEMU does."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()
