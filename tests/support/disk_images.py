"""Disk images for tests: whole ones by qemu-img, and hostile ones by hand."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

MIB = 1 << 20
CLUSTER = 1 << 16


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def raw_disk(path: Path, size=4 * MIB) -> Path:
    """A disk with something at its beginning, in its middle and at its end."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset in (512, size // 2, size - 512):
            file.seek(offset)
            file.write(f"data at {offset}".encode().ljust(512, b"."))
    return path


def converted(raw: Path, path: Path, form: str, **options) -> Path:
    given = [f"{name}={value}" for name, value in options.items()]
    qemu_img("convert", "-f", "raw", "-O", form, *(["-o", ",".join(given)] if given else []), raw, path)
    return path


def qcow2(
    *,
    version=3,
    size=64 * MIB,
    backing=b"",
    cluster_bits=16,
    encryption=0,
    l1_size=1,
    l1_at=3 * CLUSTER,
    refcounts_at=CLUSTER,
    refcount_clusters=1,
    snapshots=0,
    snapshots_at=0,
    incompatible=0,
    refcount_order=4,
    header_length=104,
    extensions=b"",
    length=4 * CLUSTER,
):
    """The bytes of a qcow2 with whatever header is wanted."""
    name_at = 1024 if backing else 0
    head = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb",
        version,
        name_at,
        len(backing),
        cluster_bits,
        size,
        encryption,
        l1_size,
        l1_at,
        refcounts_at,
        refcount_clusters,
        snapshots,
        snapshots_at,
    )
    if version >= 3:
        head += struct.pack(">QQQII", incompatible, 0, 0, refcount_order, header_length)
        head = head.ljust(header_length, b"\0")[:header_length] + extensions
    head = head.ljust(1024, b"\0") + backing
    data = bytearray(head.ljust(length, b"\0")[:length])
    if length >= 4 * CLUSTER:  # a table of reference counts that counts the four clusters
        data[CLUSTER : CLUSTER + 8] = struct.pack(">Q", 2 * CLUSTER)
        data[2 * CLUSTER : 2 * CLUSTER + 8] = struct.pack(">HHHH", 1, 1, 1, 1)
    return bytes(data)


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=12345678
parentCID={parent}
{more}createType="{kind}"

# Extent description
{extent}
"""


def vmdk(
    *,
    kind="monolithicSparse",
    extent='RW 8192 SPARSE "disk.vmdk"',
    parent="ffffffff",
    more="",
    capacity=8192,
    descriptor_at=1,
    version=1,
    grain=128,
    entries=512,
    directory=21,
    length=128 * 512,
):
    """The bytes of a VMDK with its descriptor inside."""
    head = struct.pack(
        "<4sIIQQQQIQQQB4sH",
        b"KDMV",
        version,
        3,
        capacity,
        grain,
        descriptor_at,
        20,
        entries,
        22,
        directory,
        64,
        0,
        b"\n \r\n",
        0,
    ).ljust(512, b"\0")
    text = DESCRIPTOR.format(parent=parent, more=more, kind=kind, extent=extent).encode()
    return (head + text).ljust(length, b"\0")


def vmdk_descriptor(extent):
    """The text of a VMDK whose data are elsewhere."""
    kind = "monolithicFlat" if "FLAT" in extent else "twoGbMaxExtentSparse"
    return DESCRIPTOR.format(parent="ffffffff", more="", kind=kind, extent=extent).encode().ljust(1024, b"\n")


def patched(path: Path, offset: int, data: bytes) -> Path:
    """Some bytes of a file, changed."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path
