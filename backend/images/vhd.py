"""VHD, which QEMU calls vpc (Microsoft's Virtual Hard Disk Image Format Specification 1.0)."""

from __future__ import annotations

import struct
from typing import Final

from backend.images.reading import Limits, Source, check_size, refuse

COOKIE: Final = b"conectix"
FOOTER_BYTES: Final = 512
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_BLOCK_BYTES: Final = 256 << 20
_TABLE_BYTES: Final = 32 << 20
_LARGEST_GEOMETRY: Final = 65535 * 16 * 255
"""What is written when the disk is larger, or its geometry is not to count."""
_UNALLOCATED: Final = 0xFFFFFFFF


def read_vhd(image: Source, limits: Limits) -> int:
    """The size in bytes of the disk in a VHD that needs no other file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is not sound, or the difference to another disk.
    """
    sparse = image.some(0, 8) == COOKIE
    footer = image.at(max(image.size - FOOTER_BYTES, 0), FOOTER_BYTES)
    if footer[:8] != COOKIE:
        refuse("it is cut off: the footer is missing")
    if sparse and image.at(0, FOOTER_BYTES) != footer:
        refuse("its footer contradicts its header")
    if _sum(footer[:64] + footer[68:]) != struct.unpack_from(">I", footer, 64)[0]:
        refuse("its footer is damaged")
    header_at, _time, size, cylinders, heads, sectors, kind = struct.unpack_from(">QI20xQHBBI", footer, 16)
    if kind == _DIFFERENCING:
        refuse("it is the difference to another disk; merge them first")
    if kind != (_DYNAMIC if sparse else _FIXED):
        refuse(f"a VHD of type {kind} is unknown")
    geometry = cylinders * heads * sectors
    if geometry != _LARGEST_GEOMETRY:  # which of both counts depends on who made it
        size = max(size, geometry * 512)
    check_size(size, limits)
    if sparse:
        _check_table(image, header_at, size)
    elif image.size - FOOTER_BYTES < struct.unpack_from(">Q", footer, 48)[0]:
        refuse("it is cut off")
    return int(size)


def _check_table(image: Source, header_at: int, size: int) -> None:
    head = image.at(header_at, 1024)
    if head[:8] != b"cxsparse":
        refuse("its header is missing")
    if _sum(head[:36] + head[40:]) != struct.unpack_from(">I", head, 36)[0]:
        refuse("its header is damaged")
    table_at, _version, entries, block = struct.unpack_from(">QIII", head, 16)
    if block & (block - 1) or not 512 <= block <= _BLOCK_BYTES:
        refuse("its header contradicts itself")
    if entries * 4 > _TABLE_BYTES:
        refuse(f"its table of {entries} blocks is out of proportion")
    if entries * block < size - block:
        refuse("its table does not cover the disk that it describes")
    image.within("table of blocks", table_at, entries * 4)
    table = struct.unpack(f">{entries}I", image.at(table_at, entries * 4))
    highest = max((entry for entry in table if entry != _UNALLOCATED), default=0)
    image.within("data", 0, highest * 512)


def _sum(data: bytes) -> int:
    """The ones' complement of the sum of all bytes."""
    return ~sum(data) & 0xFFFFFFFF
