"""VirtualBox's VDI, version 1.1 (its header is described in QEMU's block/vdi.c)."""

from __future__ import annotations

import struct
from typing import Final

from backend.images.reading import Limits, Source, check_size, refuse

SIGNATURE: Final = struct.pack("<I", 0xBEDA107F)
SIGNATURE_AT: Final = 0x40
_DYNAMIC, _STATIC = 1, 2
_BLOCK: Final = 1 << 20
_UNALLOCATED: Final = 0xFFFFFFFE


def read_vdi(image: Source, limits: Limits) -> int:
    """The size in bytes of the disk in a VDI that needs no other file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is not sound, or the difference to another disk.
    """
    head = image.at(0, 512)
    version, _length, kind = struct.unpack_from("<III", head, 0x44)
    map_at, data_at = struct.unpack_from("<II", head, 0x154)
    sector, size, block, blocks, allocated = struct.unpack_from("<I4xQI4xII", head, 0x168)
    if version != 0x00010001:
        refuse(f"VDI version {version >> 16}.{version & 0xFFFF} is unknown")
    if kind not in {_DYNAMIC, _STATIC} or any(head[0x1A8:0x1C8]):
        refuse("it is the difference to another disk; clone it first: VBoxManage clonemedium FILE NEW.vdi")
    size = -(-size // 512) * 512  # VBoxManage makes odd ones; QEMU rounds up
    check_size(size, limits)
    if sector != 512 or block != _BLOCK or map_at % 512 or data_at % 512:
        refuse("its header contradicts itself")
    if blocks * block < size or blocks > -(-size // block) + 1 or allocated > blocks:
        refuse("its map of blocks is out of proportion")
    image.within("map of blocks", map_at, blocks * 4)
    image.within("data", data_at, _used(image, map_at, blocks) * block)
    return int(size)


def _used(image: Source, map_at: int, blocks: int) -> int:
    """How many blocks the data area must have: one more than the highest in the map."""
    highest, step = -1, 1 << 18
    for begin in range(0, blocks, step):
        count = min(step, blocks - begin)
        entries = struct.unpack(f"<{count}I", image.at(map_at + begin * 4, count * 4))
        highest = max(highest, max((entry for entry in entries if entry < _UNALLOCATED), default=-1))
    if highest >= blocks:
        refuse("its map of blocks is out of proportion")
    return highest + 1
