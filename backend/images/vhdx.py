"""VHDX (Microsoft's [MS-VHDX]): region table, metadata table, and no parent."""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

from backend.images.reading import Limits, Source, check_size, refuse

MAGIC: Final = b"vhdxfile"
_REGION_TABLE: Final = 192 << 10
_REGIONS: Final = 2047
_METADATA_BYTES: Final = 64 << 10
_BLOCK_BYTES: Final = range(1 << 20, (256 << 20) + 1)
_HAS_PARENT: Final = 2
_PRESENT: Final = 6
_STEP_BYTES: Final = 1 << 20


def _guid(text: str) -> bytes:
    return UUID(text).bytes_le


_BAT: Final = _guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA: Final = _guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
_PARAMETERS: Final = _guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_DISK_SIZE: Final = _guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_PARENT_LOCATOR: Final = _guid("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C")


def read_vhdx(image: Source, limits: Limits) -> int:
    """The size in bytes of the disk in a VHDX that needs no other file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is not sound, or the difference to another disk.
    """
    regions = _regions(image)
    if _BAT not in regions or _METADATA not in regions:
        refuse("its region table is damaged")
    for offset, length in regions.values():
        image.within("regions", offset, length)
    items = _metadata(image, regions[_METADATA][0])
    if _PARENT_LOCATOR in items:
        refuse("it is the difference to another disk; merge them first")
    if _PARAMETERS not in items or _DISK_SIZE not in items:
        refuse("its metadata are incomplete")
    block, flags = struct.unpack("<II", image.at(items[_PARAMETERS], 8))
    if flags & _HAS_PARENT:
        refuse("it is the difference to another disk; merge them first")
    if block not in _BLOCK_BYTES or block & (block - 1):
        refuse("its header contradicts itself")
    (size,) = struct.unpack("<Q", image.at(items[_DISK_SIZE], 8))
    check_size(size, limits)
    if regions[_BAT][1] < -(-size // block) * 8:
        refuse("its table does not cover the disk that it describes")
    _check_blocks(image, regions[_BAT], block)
    return int(size)


def _check_blocks(image: Source, table: tuple[int, int], block: int) -> None:
    """See that all blocks that the table tells to be present lie inside the file."""
    begin, length = table
    highest = 0
    for offset in range(begin, begin + length, _STEP_BYTES):
        part = image.at(offset, min(_STEP_BYTES, begin + length - offset) // 8 * 8)
        highest = max(
            highest, *(entry for (entry,) in struct.iter_unpack("<Q", part) if entry & 7 >= _PRESENT), 0
        )
    if highest:
        image.within("data", highest >> 20 << 20, block)


def _regions(image: Source) -> dict[bytes, tuple[int, int]]:
    """Offset and length of each region by its GUID."""
    magic, count = struct.unpack("<4s4xI4x", image.at(_REGION_TABLE, 16))
    if magic != b"regi" or count > _REGIONS:
        refuse("its region table is damaged")
    found: dict[bytes, tuple[int, int]] = {}
    for index in range(count):
        guid, offset, length, required = struct.unpack(
            "<16sQII", image.at(_REGION_TABLE + 16 + index * 32, 32)
        )
        if guid in found or (required & 1 and guid not in {_BAT, _METADATA}):
            refuse("its region table is damaged")
        found[guid] = (offset, length)
    return found


def _metadata(image: Source, offset: int) -> dict[bytes, int]:
    """Where in the file each item of the metadata is, by its GUID."""
    magic, count = struct.unpack("<8s2xH", image.at(offset, 12))
    if magic != b"metadata" or count > _REGIONS:
        refuse("its metadata are damaged")
    found: dict[bytes, int] = {}
    for index in range(count):
        guid, where = struct.unpack_from("<16sI", image.at(offset + 32 + index * 32, 32))
        if where < _METADATA_BYTES or guid in found:
            refuse("its metadata are damaged")
        found[guid] = offset + where
    return found
