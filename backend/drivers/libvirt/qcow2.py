"""The qcow2 header, as far as safety needs it: what other files an image leads to."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

from backend.model import Value

MAGIC: Final = b"QFI\xfb"
EXTERNAL_DATA: Final = 1 << 2
BACKING_FORMAT: Final = 0xE2792ACA
_HEADER: Final = 80
_LONGEST_NAME: Final = 1023
_EXTENSIONS: Final = 64
"""More header extensions than anybody writes."""


class Qcow2(Value, frozen=True, kw_only=True):
    """What a header says.

    ``virtual_bytes`` is the size the guest sees; ``backing`` the name of the backing file, with
    ``backing_format`` as written in the header (empty: not said); ``external_data`` that data lies elsewhere;
    ``encrypted`` that the data cannot be read without a key.
    """

    version: int
    virtual_bytes: int
    backing: str
    external_data: bool
    backing_format: str = ""
    encrypted: bool = False


def read_qcow2(path: Path) -> Qcow2 | None:
    """A file's header, or None when it is no qcow2."""
    with path.open("rb") as file:
        return parse_qcow2(file)


def parse_qcow2(file: BinaryIO) -> Qcow2 | None:
    """The header at the beginning of a stream, or None when it is no qcow2."""
    head = file.read(_HEADER)
    if len(head) < 72 or head[:4] != MAGIC:
        return None
    version, offset, length, _bits, size, crypt = struct.unpack_from(">IQIIQI", head, 4)
    incompatible = struct.unpack_from(">Q", head, 72)[0] if version >= 3 and len(head) == _HEADER else 0
    backing = b""
    if offset and length <= _LONGEST_NAME:
        file.seek(offset)
        backing = file.read(length)
    return Qcow2(
        version=version,
        virtual_bytes=size,
        backing=backing.decode(errors="surrogateescape"),
        external_data=bool(incompatible & EXTERNAL_DATA),
        backing_format=_backing_format(file, version) if backing else "",
        encrypted=crypt != 0,
    )


def _backing_format(file: BinaryIO, version: int) -> str:
    """The header extension that names it; empty when there is none."""
    offset = 72
    if version >= 3:
        file.seek(100)
        offset = int.from_bytes(file.read(4), "big")
    for _ in range(_EXTENSIONS):
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return ""
        kind, length = struct.unpack(">II", head)
        if kind == BACKING_FORMAT:
            return file.read(min(length, 16)).decode(errors="replace")
        if kind == 0:
            return ""
        offset += 8 + (length + 7) // 8 * 8
    return ""
