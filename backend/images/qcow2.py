"""The qcow2 header (QEMU's docs/interop/qcow2.rst): is it sound, and what other files does it lead to?"""

from __future__ import annotations

import struct
from typing import Final

from backend.images.reading import Limits, Source, check_size, refuse
from backend.model import Value

MAGIC: Final = b"QFI\xfb"
LUKS: Final = 2
"""The encryption method whose key is kept by the key slots in the image."""
MERGE: Final = "merge them first: qemu-img convert -O qcow2 FILE NEW.qcow2"

_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN: Final = _DIRTY | _CORRUPT | _EXTERNAL_DATA | _COMPRESSION | _EXTENDED_L2
_DATA_FILE_EXTENSION: Final = 0x44415441
_L1_BYTES: Final = 32 << 20
_REFCOUNT_BYTES: Final = 8 << 20
_SNAPSHOTS: Final = 1024
_NAME_BYTES: Final = 1023


class Qcow2(Value, frozen=True, kw_only=True):
    """What a sound header says. ``backing`` is the name of its backing file; ``encryption`` 0 is none."""

    virtual_bytes: int
    backing: str
    encryption: int


def read_qcow2(image: Source, limits: Limits) -> Qcow2:
    """The header of a qcow2 image, its tables in proportion and inside the file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is not sound, or its data lie in another file.
    """
    head = image.at(0, 72)
    version, backing_at, backing_length, cluster_bits, size, encryption, l1_size = struct.unpack_from(
        ">IQIIQII", head, 4
    )
    l1_at, refcounts_at, refcount_clusters, snapshots, snapshots_at = struct.unpack_from(">QQIIQ", head, 40)
    if version not in {2, 3}:
        refuse(f"qcow2 version {version} is unknown")
    if not 9 <= cluster_bits <= 21:
        refuse(f"its clusters of 2^{cluster_bits} bytes are unknown to qcow2")
    cluster = 1 << cluster_bits
    features, header_length = _version_3(image, cluster) if version == 3 else (0, 72)
    _check_extensions(image, header_length, backing_at or cluster)
    check_size(size, limits)
    _check_l1(image, l1_at, l1_size, cluster)
    covered = l1_size * (cluster // (16 if features & _EXTENDED_L2 else 8)) * cluster
    if covered < size:
        refuse("its tables do not cover the disk that it describes")
    _check_refcounts(image, refcounts_at, refcount_clusters, cluster)
    if snapshots:
        _check_snapshots(image, snapshots, snapshots_at)
    return Qcow2(
        virtual_bytes=size,
        backing=_backing(image, backing_at, backing_length, cluster),
        encryption=encryption,
    )


def _version_3(image: Source, cluster: int) -> tuple[int, int]:
    """The incompatible features, and the header's length."""
    head = image.at(72, 32)
    features, refcount_order, length = struct.unpack(">Q16xII", head)
    if features & _EXTERNAL_DATA:
        refuse(f"its data are in another file; {MERGE}")
    if features & ~_KNOWN:
        refuse("it has features that are unknown here")
    if features & (_DIRTY | _CORRUPT):
        refuse("it was not closed cleanly; repair it first: qemu-img check -r all FILE")
    if refcount_order > 6 or not 104 <= length <= cluster:
        refuse("its header contradicts itself")
    if features & _COMPRESSION and image.at(104, 1) not in {b"\0", b"\x01"}:
        refuse("it is compressed in an unknown way")
    return features, length


def _check_extensions(image: Source, start: int, end: int) -> None:
    """Walk the header extensions; the one that names an external data file is refused."""
    while start + 8 <= end:
        kind, length = struct.unpack(">II", image.at(start, 8))
        if kind == 0:
            return
        if kind == _DATA_FILE_EXTENSION:
            refuse(f"its data are in another file; {MERGE}")
        start += 8 + -(-length // 8) * 8
        if start > end:
            refuse("its header contradicts itself")


def _check_l1(image: Source, offset: int, entries: int, cluster: int) -> None:
    if entries * 8 > _L1_BYTES:
        refuse(f"its table of {entries} entries is out of proportion")
    if offset % cluster:
        refuse("its header contradicts itself")
    image.within("table of clusters", offset, entries * 8)


def _check_refcounts(image: Source, offset: int, clusters: int, cluster: int) -> None:
    if clusters * cluster > _REFCOUNT_BYTES:
        refuse(f"its table of {clusters} clusters is out of proportion")
    if not clusters or not offset or offset % cluster:
        refuse("its header contradicts itself")
    image.within("table of reference counts", offset, clusters * cluster)


def _check_snapshots(image: Source, count: int, offset: int) -> None:
    """Walk the table of internal snapshots."""
    if count > _SNAPSHOTS:
        refuse(f"its {count} internal snapshots are out of proportion")
    for _ in range(count):
        l1_at, l1_size, id_length, name_length, extra = struct.unpack(">QIHH20xI", image.at(offset, 40))
        if l1_size * 8 > _L1_BYTES or extra > 1024:
            refuse("its internal snapshots are out of proportion")
        image.within("internal snapshots", l1_at, l1_size * 8)
        image.within("internal snapshots", offset, 40 + extra + id_length + name_length)
        offset += -(-(40 + extra + id_length + name_length) // 8) * 8


def _backing(image: Source, offset: int, length: int, cluster: int) -> str:
    if not offset:
        return ""
    if not 0 < length <= _NAME_BYTES or offset + length > cluster:
        refuse("its header contradicts itself")
    return image.at(offset, length).decode(errors="surrogateescape")
