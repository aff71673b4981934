"""OVA files, OVF descriptors and manifests, made without the code that reads them.

`CASES` each break one rule, `GOOD` are odd but right. All hold the disk `RAW`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.unit.driver.images import foreign
from tests.unit.driver.images.corpus import RAW, STREAM

CAPACITY = len(RAW)
NAMES = (
    'xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" '
    'xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" '
    'xmlns:vmw="http://www.vmware.com/schema/ovf"'
)


def item(**fields: Any) -> str:
    return "<Item>" + "".join(f"<rasd:{k}>{v}</rasd:{k}>" for k, v in fields.items()) + "</Item>"


HARDWARE = (
    "<System><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>"
    + item(InstanceID=1, ResourceType=3, VirtualQuantity=2)
    + item(AllocationUnits="byte * 2^20", InstanceID=2, ResourceType=4, VirtualQuantity=1024)
    + item(Address=0, InstanceID=3, ResourceSubType="VirtualSCSI", ResourceType=6)
    + item(AddressOnParent=7, Connection="VM Network", InstanceID=5, ResourceSubType="VmxNet3",
           ResourceType=10)
    + '<vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>'
)  # fmt: skip


def attached(disk: str = "vmdisk1", unit: int = 0, **more: Any) -> str:
    given = {"AddressOnParent": unit, "HostResource": f"ovf:/disk/{disk}", "InstanceID": 10 + unit,
             "Parent": 3, "ResourceType": 17}  # fmt: skip
    return item(**given | more)


def file_ref(href: str = "web-disk1.vmdk", id_: str = "file1", **more: Any) -> str:
    extra = "".join(f' ovf:{k}="{v}"' for k, v in more.items())
    return f'<File ovf:href="{href}" ovf:id="{id_}"{extra}/>'


def disk_ref(
    id_: str = "vmdisk1", file: str | None = "file1", capacity: Any = CAPACITY, **more: Any
) -> str:
    extra = "".join(f' ovf:{k}="{v}"' for k, v in more.items())
    ref = "" if file is None else f' ovf:fileRef="{file}"'
    return f'<Disk ovf:capacity="{capacity}" ovf:diskId="{id_}"{ref}{extra}/>'


def ovf(
    files: str = file_ref(),
    disks: str = disk_ref(),
    hardware: str = HARDWARE + attached(),
    *,
    head: str = '<?xml version="1.0" encoding="UTF-8"?>',
    guest: str = '<OperatingSystemSection ovf:id="94" vmw:osType="ubuntu64Guest"><Info/></OperatingSystemSection>',
) -> bytes:
    return (
        f"{head}<Envelope {NAMES}><References>{files}</References>"
        f"<DiskSection><Info/>{disks}</DiskSection>"
        f'<VirtualSystem ovf:id="web"><Info/><Name>web</Name>{guest}'
        f"<VirtualHardwareSection><Info/>{hardware}</VirtualHardwareSection></VirtualSystem></Envelope>"
    ).encode()


def manifest(
    files: Mapping[str, bytes], algorithm: str = "sha256", form: str = "{0}({1})= {2}\n"
) -> bytes:
    return "".join(
        form.format(algorithm.upper(), name, hashlib.new(algorithm, data).hexdigest())
        for name, data in files.items()
    ).encode()


def tar(files: Mapping[str, Any], form: Any = tarfile.USTAR_FORMAT, **of_members: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in of_members.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


FILES = {"web.ovf": ovf(), "web-disk1.vmdk": STREAM}


def ova(
    descriptor: bytes | None = None,
    disk: bytes = STREAM,
    *,
    algorithm: str | None = "sha256",
    order: str = "omd",
    form: int = tarfile.USTAR_FORMAT,
    name: str = "web-disk1.vmdk",
    more: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return an archive with its files in an order: descriptor, manifest, disk."""
    files = {"web.ovf": ovf() if descriptor is None else descriptor, name: disk, **(more or {})}
    parts: dict[str, dict[str, bytes]] = {
        "o": {"web.ovf": files["web.ovf"]},
        "m": {} if algorithm is None else {"web.mf": manifest(files, algorithm)},
        "d": {key: data for key, data in files.items() if key != "web.ovf"},
    }
    return tar({name: data for part in order for name, data in parts[part].items()}, form)


def sparse_tar(version: str, name: str = "web-disk1.img", disk: bytes = RAW) -> bytes:
    """Return an archive of GNU tar's kind whose raw disk is stored without its zeros."""
    pieces = [(at, disk[at : at + 65536]) for at in range(0, len(disk), 65536)]
    pieces = [(at, data) for at, data in pieces if any(data)] + [(len(disk), b"")]
    packed = b"".join(data for _, data in pieces)
    member = tarfile.TarInfo(name)
    if version == "old":
        return (
            tar({"web.ovf": RAW_OVF}).rstrip(b"\0").ljust(_full(RAW_OVF), b"\0")
            + _old(member, pieces, packed, len(disk))
            + bytes(1024)
        )
    pairs = [value for at, data in pieces for value in (at, len(data))]
    headers = {"GNU.sparse.name": name, "GNU.sparse.realsize": str(len(disk))}
    if version == "1.0":
        text = "".join(f"{value}\n" for value in (len(pieces), *pairs)).encode()
        packed = text.ljust(-(-len(text) // 512) * 512, b"\0") + packed
        headers |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    else:
        headers = {"GNU.sparse.size": str(len(disk)), "GNU.sparse.map": ",".join(map(str, pairs))}
    member.size, member.pax_headers = len(packed), headers
    block = member.tobuf(tarfile.PAX_FORMAT)
    rest = packed.ljust(-(-len(packed) // 512) * 512, b"\0")
    return tar({"web.ovf": RAW_OVF})[: _full(RAW_OVF)] + block + rest + bytes(1024)


def _full(data: bytes) -> int:
    return 512 + -(-len(data) // 512) * 512


def _old(
    member: tarfile.TarInfo, pieces: list[tuple[int, bytes]], packed: bytes, size: int
) -> bytes:
    member.size, member.type = len(packed), tarfile.GNUTYPE_SPARSE
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    entries = [b"%011o\0%011o\0" % (at, len(data)) for at, data in pieces]
    block[386:482] = b"".join(entries[:4]).ljust(96, b"\0")
    block[482] = len(entries) > 4
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    more = b""
    for at in range(4, len(entries), 21):
        part = b"".join(entries[at : at + 21]).ljust(504, b"\0")
        more += part + (b"\1" if at + 21 < len(entries) else b"\0") + bytes(7)
    return bytes(block) + more + packed.ljust(-(-len(packed) // 512) * 512, b"\0")


RAW_OVF = ovf(file_ref("web-disk1.img"))


@dataclass(frozen=True)
class Package:
    rule: str
    """The rule that it breaks; "" if it is right."""
    name: str
    build: Callable[[], bytes] = field(repr=False)


def patched(at: int, data: bytes, image: bytes | None = None) -> bytes:
    whole = ova() if image is None else image
    return whole[:at] + data + whole[at + len(data) :]


def wrong_manifest(algorithm: str) -> bytes:
    text = manifest({"web.ovf": ovf(), "web-disk1.vmdk": b"other"}, algorithm)
    return tar({"web.ovf": ovf(), "web.mf": text, "web-disk1.vmdk": STREAM})


def archives() -> list[Package]:
    link: dict[str, Any] = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
    plain = {"web.ovf": ovf(), "web-disk1.vmdk": STREAM}
    long = {"x" * 5000 + ".txt": b"x"}
    found: list[tuple[str, str, Callable[[], bytes]]] = [
        ("tar.header", "checksum", lambda: patched(_full(ovf()) + 148, b"777777")),
        ("tar.end", "cut in the disk", lambda: ova()[:-60_000]),
        ("tar.end", "no end", lambda: tar(plain).rstrip(b"\0").ljust(_full(ovf()) + _full(STREAM), b"\0")),
        ("tar.trailing", "bytes behind", lambda: ova() + b"x" * 512),
        ("tar.trailing", "another archive behind", lambda: ova() + ova()),
        ("tar.type", "a link", lambda: tar(plain)[: _full(ovf())] + tar({"web-disk1.vmdk": b""}, **link)),
        ("tar.type", "a device", lambda: tar(plain)[: _full(ovf())] + tar({"x": b""}, type=tarfile.CHRTYPE)),
        ("tar.name", "a name that leaves", lambda: tar({"web.ovf": ovf(), "../x": b"", "web-disk1.vmdk": STREAM})),
        ("tar.name", "an absolute name", lambda: tar({"web.ovf": ovf(), "/etc/x": b"", "web-disk1.vmdk": STREAM})),
        ("tar.name", "a backslash", lambda: tar({"web.ovf": ovf(), "a\\b": b"", "web-disk1.vmdk": STREAM})),
        ("tar.name", "a long name", lambda: tar({"web.ovf": ovf(), **long, "web-disk1.vmdk": STREAM}, tarfile.GNU_FORMAT)),
        ("tar.duplicate", "a file twice", lambda: ova()[: _full(ovf())] + ova()),
        ("tar.header", "a pax record of no length", lambda: _pax(b"0 path=x\n")),
        ("tar.header", "a pax record without a value", lambda: _pax(b"9 path x\n")),
        ("tar.header", "a huge extended header", lambda: _pax(bytes(2 << 20))),
        ("tar.header", "a pax size of words", lambda: _pax(b"12 size=abc\n")),
        ("tar.sparse", "a bomb", _sparse_bomb),
        ("tar.sparse", "pieces that overlap", lambda: _sparse_map("0,512,256,512")),
        ("tar.sparse", "half a pair", lambda: _sparse_map("0,512,1024")),
        ("tar.sparse", "bytes left over", lambda: _sparse_map("0,512")),
    ]  # fmt: skip
    return [Package(*each) for each in found]


def _pax(record: bytes) -> bytes:
    header = tarfile.TarInfo("PaxHeaders/x")
    header.type, header.size = tarfile.XHDTYPE, len(record)
    block = header.tobuf(tarfile.USTAR_FORMAT)
    rest = record.ljust(-(-len(record) // 512) * 512, b"\0")
    return tar({"web.ovf": ovf()})[: _full(ovf())] + block + rest + tar({"web-disk1.vmdk": STREAM})


def _sparse(size: int, headers: Mapping[str, str]) -> bytes:
    member = tarfile.TarInfo("web-disk1.img")
    member.size, member.pax_headers = 1024, dict(headers)
    return (
        tar({"web.ovf": RAW_OVF})[: _full(RAW_OVF)]
        + member.tobuf(tarfile.PAX_FORMAT)
        + b"x" * 1024
        + bytes(1024)
    )


def _sparse_map(numbers: str) -> bytes:
    return _sparse(4096, {"GNU.sparse.size": str(CAPACITY), "GNU.sparse.map": numbers})


def _sparse_bomb() -> bytes:
    return _sparse(4096, {"GNU.sparse.size": str(1 << 45), "GNU.sparse.map": "0,1024"})


def descriptors() -> list[Package]:
    entities = '<!DOCTYPE x [<!ENTITY a "b">]>'
    lol = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>'
    two = '<VirtualSystem ovf:id="b"/>'
    texts: list[tuple[str, str, bytes]] = [
        ("ovf.xml", "no XML", b"hello"),
        ("ovf.xml", "nothing", b""),
        ("ovf.xml", "cut", ovf()[:-20]),
        ("ovf.doctype", "an entity", ovf(head=entities)),
        ("ovf.doctype", "an external DTD", ovf(head='<!DOCTYPE x SYSTEM "file:///etc/passwd">')),
        ("ovf.doctype", "nested entities", ovf(head=lol)),
        ("ovf.xml", "deep", ovf(hardware="<a>" * 400 + "</a>" * 400)),
        ("ovf.envelope", "another root", b"<html/>"),
        ("ovf.machines", "two machines", ovf().replace(b"</Envelope>", two.encode() + b"</Envelope>")),
        ("ovf.machines", "no machine", ovf().replace(b"VirtualSystem ", b"VirtualApp ").replace(b"/VirtualSystem>", b"/VirtualApp>")),
        ("ovf.reference", "a disk that is not there", ovf(hardware=HARDWARE + attached("vmdisk9"))),
        ("ovf.reference", "a file that is not there", ovf(disks=disk_ref(file="file9"))),
        ("ovf.reference", "a file as a disk", ovf(hardware=HARDWARE + attached(HostResource="ovf:/file/file1"))),
        ("ovf.href", "a path that leaves", ovf(file_ref("../../etc/passwd"))),
        ("ovf.href", "an absolute path", ovf(file_ref("/etc/passwd"))),
        ("ovf.href", "a URL", ovf(file_ref("http://169.254.169.254/x"))),
        ("ovf.chunks", "chunks", ovf(file_ref(chunkSize=1000))),
        ("ovf.compression", "an unknown coding", ovf(file_ref(compression="brotli"))),
        ("ovf.parent", "a difference", ovf(disks=disk_ref(parentRef="vmdisk0"))),
        ("ovf.value", "a negative capacity", ovf(disks=disk_ref(capacity=-1))),
        ("ovf.value", "a capacity of words", ovf(disks=disk_ref(capacity="large"))),
        ("ovf.value", "a huge capacity", ovf(disks=disk_ref(capacity=1 << 50))),
        ("ovf.value", "a capacity of a parameter", ovf(disks=disk_ref(capacity="${size}"))),
        ("ovf.value", "a unit that explodes", ovf(disks=disk_ref(capacity=1, capacityAllocationUnits="byte * 999999999999^99"))),
        ("ovf.value", "no unit", ovf(disks=disk_ref(capacity=1, capacityAllocationUnits="furlongs"))),
        ("ovf.value", "no CPUs", ovf(hardware=item(ResourceType=3, VirtualQuantity=0) + attached())),
        ("ovf.value", "too much memory", ovf(hardware=item(ResourceType=4, VirtualQuantity=1 << 40) + attached())),
        ("ova.disks", "no disk", ovf(hardware=HARDWARE)),
        ("ova.disks", "a blank disk alone", ovf(disks=disk_ref(file=None))),
        ("ova.disks", "a file for two disks", ovf(disks=disk_ref() + disk_ref("b"), hardware=HARDWARE + attached() + attached("b", 1))),
        ("ova.file", "a disk that is missing", ovf(file_ref("other.vmdk"))),
        ("ova.size", "another size", ovf(file_ref(size=7))),
        ("ova.capacity", "another capacity", ovf(disks=disk_ref(capacity=CAPACITY + 512))),
        ("ova.compression", "gzip, declared alone", ovf(file_ref(compression="gzip"))),
    ]  # fmt: skip
    return [Package(rule, name, partial(ova, text)) for rule, name, text in texts]


def contents() -> list[Package]:
    odd = {"web.ovf": ovf(), "web-disk1.vmdk": STREAM}
    plain = manifest(odd)
    gz = ovf(file_ref(compression="gzip"))
    found: list[tuple[str, str, Callable[[], bytes]]] = [
        *(("manifest.digest", f"a wrong {a}", partial(wrong_manifest, a)) for a in ("sha1", "sha256", "sha512")),
        ("manifest.digest", "wrong and last", lambda: tar({**odd, "web.mf": manifest({**odd, "web.ovf": b"x"})})),
        ("manifest.missing", "a file without a digest", lambda: tar({"web.mf": manifest({"web.ovf": ovf()}), **odd})),
        ("manifest.missing", "an empty manifest", lambda: tar({"web.mf": b"", **odd})),
        ("manifest.syntax", "md5", lambda: tar({"web.mf": plain.replace(b"SHA256", b"MD5"), **odd})),
        ("manifest.syntax", "a short digest", lambda: tar({"web.mf": plain[:-3], **odd})),
        ("manifest.syntax", "a digest twice", lambda: tar({"web.mf": plain + plain, **odd})),
        ("manifest.syntax", "no UTF-8", lambda: tar({"web.mf": b"\xff\xfe", **odd})),
        ("ova.file", "a digest of nothing", lambda: tar({"web.mf": manifest({**odd, "b.vmdk": b""}), **odd})),
        ("ova.manifest", "two manifests", lambda: tar({"web.mf": plain, "b.mf": plain, **odd})),
        ("ova.manifest", "a huge manifest", lambda: tar({"web.mf": bytes(2 << 20), **odd})),
        ("ova.descriptor", "none", lambda: tar({"web-disk1.vmdk": STREAM})),
        ("ova.descriptor", "two", lambda: tar({"a.ovf": ovf(), "b.ovf": ovf(), "web-disk1.vmdk": STREAM})),
        ("ova.descriptor", "a huge one", lambda: tar({"web.ovf": b" " * (5 << 20), "web-disk1.vmdk": STREAM})),
        ("ova.compression", "gzip that is not declared", lambda: ova(disk=gzip.compress(STREAM))),
        ("ova.compression", "xz", lambda: ova(gz, lzma.compress(STREAM))),
        ("compressed.damaged", "a damaged gzip", lambda: ova(gz, gzip.compress(STREAM)[:-4], algorithm=None)),
        ("ova.capacity", "a gzip of a raw disk that is too long", lambda: ova(gz, gzip.compress(RAW + b"x" * 70_000))),
        ("ova.capacity", "a gzip of a raw disk that is too short", lambda: ova(gz, gzip.compress(RAW[:-512]))),
        ("ova.disks", "an ISO as a disk", lambda: ova(disk=bytes(0x8001) + b"CD001" + bytes(60 << 10))),
        ("stream.end", "a disk that is cut", lambda: ova(disk=STREAM[:-1024])),
        ("format.unsupported", "a VHDX", lambda: ova(disk=b"vhdxfile".ljust(100_000, b"\0"))),
    ]  # fmt: skip
    return [Package(*each) for each in found]


SPARSE = foreign.sparse(RAW)


def good() -> list[Package]:
    pax, gnu = tarfile.PAX_FORMAT, tarfile.GNU_FORMAT
    deep = "disks/" + "d" * 150 + "/web-disk1.vmdk"
    dotted = {f"./{name}": data for name, data in {**FILES, "web.mf": manifest(FILES)}.items()}
    gz = ovf(file_ref(compression="gzip"))
    found: list[tuple[str, Callable[[], bytes]]] = [
        *((f"order {order}", partial(ova, order=order)) for order in ("omd", "odm", "dom", "mod", "dmo")),
        *((f"{a}", partial(ova, algorithm=a)) for a in ("sha1", "sha512")),
        ("no manifest", partial(ova, algorithm=None)),
        ("a manifest of openssl", lambda: tar({**FILES, "web.mf": manifest(FILES, form="{0}({1}) = {2}\r\n")})),
        ("pax headers", lambda: ova(ovf(file_ref(deep)), name=deep, form=pax)),
        ("a long name of GNU's", lambda: ova(ovf(file_ref(deep)), name=deep, form=gnu)),
        ("a name of other letters", lambda: ova(ovf(file_ref("dísk.vmdk")), name="dísk.vmdk", form=pax)),
        ("dots in names", lambda: tar(dotted)),
        ("a certificate", lambda: tar({"web.ovf": ovf(), "web.mf": manifest(FILES), "web.cert": b"-----BEGIN", "web-disk1.vmdk": STREAM})),
        ("other files", lambda: ova(more={"web.nvram": b"x" * 8684, "tools.iso": b"y" * 3000})),
        ("other files in front", lambda: tar({"web.ovf": ovf(), "a.iso": b"y" * (2 << 20), "web-disk1.vmdk": STREAM})),
        ("a sparse disk", lambda: ova(disk=SPARSE)),
        ("a raw disk", lambda: ova(disk=RAW)),
        ("a gzip", lambda: ova(gz, gzip.compress(STREAM))),
        ("a gzip of a raw disk", lambda: ova(gz, gzip.compress(RAW))),
        ("GiB", lambda: ova(ovf(disks=disk_ref(capacity=2, capacityAllocationUnits="byte * 2^20")))),
        ("comments and instructions", lambda: ova(ovf(head="<?xml version='1.0'?><!-- made --><?pi x?>"))),
        ("sections that nobody knows", lambda: ova(ovf().replace(b"</Envelope>", b'<x:Y xmlns:x="urn:x">1</x:Y></Envelope>'))),
        ("memory in words", lambda: ova(ovf(hardware=HARDWARE.replace("byte * 2^20", "MegaBytes") + attached()))),
        ("OVF 2.0", lambda: ova(ovf().replace(b"ovf/envelope/1", b"ovf/envelope/2"))),
        ("a size", lambda: ova(ovf(file_ref(size=len(STREAM))))),
        ("zeros behind", lambda: ova() + bytes(10 << 10)),
        ("an archive in xz", lambda: lzma.compress(ova())),
        ("an archive in gzip", lambda: gzip.compress(ova(order="dmo"))),
        *((f"a sparse member {version}", partial(sparse_tar, version)) for version in ("old", "0.1", "1.0")),
    ]  # fmt: skip
    return [Package("", *each) for each in found]


CASES = [*archives(), *descriptors(), *contents()]
GOOD = good()
