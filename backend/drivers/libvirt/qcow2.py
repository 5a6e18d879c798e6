"""The qcow2 header, as far as safety needs it: what other files an image leads to."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

from backend.model import Value

MAGIC: Final = b"QFI\xfb"
EXTERNAL_DATA: Final = 1 << 2


class Qcow2(Value, frozen=True, kw_only=True):
    """What a header says: version, virtual size in bytes, backing file, and whether data lies elsewhere."""

    version: int
    virtual_bytes: int
    backing: str
    external_data: bool


def read_qcow2(path: Path) -> Qcow2 | None:
    """A file's header, or None when it is no qcow2."""
    with path.open("rb") as file:
        return parse_qcow2(file)


def parse_qcow2(file: BinaryIO) -> Qcow2 | None:
    """The header at the beginning of a stream, or None when it is no qcow2."""
    head = file.read(80)
    if len(head) < 72 or head[:4] != MAGIC:
        return None
    version, offset, length, _bits, size = struct.unpack_from(">IQIIQ", head, 4)
    incompatible = struct.unpack_from(">Q", head, 72)[0] if version >= 3 and len(head) == 80 else 0
    backing = b""
    if offset and length <= 1023:
        file.seek(offset)
        backing = file.read(length)
    return Qcow2(
        version=version,
        virtual_bytes=size,
        backing=backing.decode(errors="surrogateescape"),
        external_data=bool(incompatible & EXTERNAL_DATA),
    )
