"""Programs that we did not write, as readers of disk images: each returns the bytes of the disk."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import BinaryIO

from tests.integration.conftest import needed_tools
from tests.integration.peers import tools


def qemu_img(*args: object) -> str:
    """Run `qemu-img`; return its output."""
    with needed_tools():
        program = tools.find("qemu-img")
    done = subprocess.run(
        [program, *map(str, args)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_io(path: Path, commands: list[str], *, form: str = "vmdk") -> None:
    """Let `qemu-io` run commands on an image, as a machine that writes to it."""
    arguments = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", form, *arguments, path], check=True, capture_output=True)


def by_qemu_img(image: Path) -> bytes:
    """Return the disk that qemu-img sees in a file."""
    raw = image.with_name(f"{image.name}.raw")
    qemu_img("convert", "-O", "raw", image, raw)
    data = raw.read_bytes()
    raw.unlink()
    return data


def by_libvmdk(image: Path) -> bytes:
    """Return the disk that libvmdk sees in a VMDK."""
    import pyvmdk

    handle = pyvmdk.handle()
    handle.open(str(image))
    try:
        handle.open_extent_data_files()
        data = b""
        while len(data) < handle.get_media_size():
            data += handle.read_buffer(min(handle.get_media_size() - len(data), 8 << 20))
        return data
    finally:
        handle.close()


def by_dissect(image: Path) -> bytes:
    """Return the disk that dissect.hypervisor sees in a VMDK, without a last part below 8 KiB.

    It reads 8 KiB at a time, and fails behind the end of the disk.
    """
    from dissect.hypervisor.disk.vmdk import VMDK

    stream: BinaryIO = VMDK(io.BytesIO(image.read_bytes()))
    size: int = stream.size - stream.size % stream.align  # type: ignore[attr-defined]
    return stream.read(size)
