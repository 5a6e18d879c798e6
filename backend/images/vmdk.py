"""VMDK in one file: the sparse extent with its descriptor inside (VMware's Virtual Disk Format 5.0)."""

from __future__ import annotations

import re
import struct
from typing import Final

from backend.images.reading import Limits, Source, check_size, refuse

MAGIC: Final = b"KDMV"
SPLIT: Final = "join it first: qemu-img convert -O qcow2 FILE.vmdk NEW.qcow2"

_KINDS: Final = {"monolithicsparse", "streamoptimized"}
_AT_END: Final = (1 << 64) - 1
_SECTOR: Final = 512
_DESCRIPTOR_WINDOW: Final = 20 * _SECTOR
"""Where readers look for the parent's name, whatever length the header gives the descriptor."""
_DESCRIPTOR_SECTORS: Final = 2048
_DIRECTORY_BYTES: Final = 32 << 20
_EXTENT = re.compile(r'(?:RW|RDONLY|NOACCESS)\s+([0-9]+)\s+([A-Z]+)\s+"([^"]*)"')


def read_vmdk(image: Source, limits: Limits) -> int:
    """The size in bytes of the disk in a VMDK that needs no other file.

    Raises:
        BackendError: IMAGE_UNREADABLE, it is not sound, or it consists of several files or is a difference.
    """
    sectors, descriptor_at, descriptor_sectors, directory = _read_header(image, 0)
    if not sectors or descriptor_at != 1 or not 0 < descriptor_sectors <= _DESCRIPTOR_SECTORS:
        refuse(f"this VMDK is a part of a disk in several files; {SPLIT}")
    check_size(sectors * _SECTOR, limits)
    if directory == _AT_END:  # what was streamed has the true header at its end
        footer_at = image.size // _SECTOR * _SECTOR - 2 * _SECTOR
        if image.some(max(footer_at, 0), 4) != MAGIC:
            refuse("it is cut off: the footer is missing")
        footer = _read_header(image, footer_at)
        if footer[0] != sectors or footer[3] == _AT_END:
            refuse("its footer contradicts its header")
    _check_descriptor(image.at(_SECTOR, descriptor_sectors * _SECTOR))
    if b"parentfilenamehint" in image.some(_SECTOR, _DESCRIPTOR_WINDOW).lower():
        refuse(f"it is the difference to another disk; {SPLIT}")
    return sectors * _SECTOR


def _read_header(image: Source, offset: int) -> tuple[int, int, int, int]:
    """Sectors of the disk, sector and length of the descriptor, sector of the grain directory."""
    version, _flags, capacity, grain, descriptor_at, descriptor_sectors, entries, _copy, directory, data = (
        struct.unpack("<IIQQQQIQQQ", image.at(offset + 4, 68))
    )
    if version not in {1, 2, 3}:
        refuse(f"VMDK version {version} is unknown")
    if not 0 < grain <= 1 << 21 or not 0 < entries <= 512:
        refuse("its header contradicts itself")
    grain_tables = -(-capacity // (grain * entries))
    if grain_tables * 4 > _DIRECTORY_BYTES:
        refuse(f"its directory of {grain_tables} tables is out of proportion")
    if directory != _AT_END:
        image.within("directory", directory * _SECTOR, grain_tables * 4)
        image.within("data", 0, min(data, 1 << 54) * _SECTOR)
    return capacity, descriptor_at, descriptor_sectors, directory


def _check_descriptor(raw: bytes) -> None:
    """One extent, which is this file; no parent; not encrypted."""
    text = raw.partition(b"\0")[0].decode("latin-1")
    if not text.lstrip().startswith("# Disk DescriptorFile"):
        refuse("its descriptor is missing")
    extents = []
    for line in map(str.strip, text.splitlines()):
        name, equals, value = (part.strip().strip('"').lower() for part in line.partition("="))
        if match := _EXTENT.match(line):
            extents.append(match.groups())
        elif line.startswith(("RW ", "RDONLY ", "NOACCESS ")):
            refuse("its descriptor is not understood")
        elif not equals:
            continue
        elif name == "createtype" and value not in _KINDS:
            refuse(f"a VMDK of type {value[:40]} is not in one file; {SPLIT}")
        elif name == "parentfilenamehint" or (name == "parentcid" and value != "ffffffff"):
            refuse(f"it is the difference to another disk; {SPLIT}")
        elif name.startswith("encryption."):
            refuse("it is encrypted")
    if len(extents) != 1 or extents[0][1] != "SPARSE" or "/" in extents[0][2] or "\\" in extents[0][2]:
        refuse(f"this VMDK names other files; {SPLIT}")
