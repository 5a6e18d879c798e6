"""Reading the bytes of disk images that somebody else made: reads are bounded, surprises are refusals."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from backend.errors import BackendError, Code
from backend.model import Value


class Limits(Value, frozen=True, kw_only=True):
    """What the image store takes on.

    ``virtual_bytes`` is the largest disk that an image may describe, ``raw_bytes`` the largest raw file: its
    zeros are hashed, too. ``spare_bytes`` of the store's file system are never used. A download, and each
    conversion or check, ends after so many ``seconds``; ``memory_bytes`` is the address space of the tool
    that does them.
    """

    virtual_bytes: int = 64 << 40
    raw_bytes: int = 1 << 40
    spare_bytes: int = 1 << 30
    seconds: int = 6 * 3600
    memory_bytes: int = 2 << 30


def refuse(reason: str) -> NoReturn:
    """Say that a disk image cannot be used; the reason is a clause without a full stop."""
    raise BackendError(Code.IMAGE_UNREADABLE, f"The disk image cannot be used: {reason}.")


class Source:
    """A file by position. ``size`` is its length in bytes when it was opened."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def at(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes; refuses the image when it ends before."""
        found = self.some(offset, length)
        if len(found) < length:
            refuse("it is cut off")
        return found

    def some(self, offset: int, length: int) -> bytes:
        """Up to so many bytes, as many as there are."""
        if not 0 <= offset < 1 << 63:
            refuse("it is cut off")
        return os.pread(self._descriptor, length, offset)

    def within(self, what: str, offset: int, length: int) -> None:
        """Refuse the image unless a part of it lies inside the file."""
        if not 0 <= offset <= offset + length <= self.size:
            refuse(f"it is cut off: its {what} should be at byte {offset}, and the file has {self.size}")


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A file of the store's, opened for reading."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Source(descriptor)
    finally:
        os.close(descriptor)


def check_size(size: int, limits: Limits) -> None:
    """Refuse a disk of no size, of half sectors, or larger than the limits."""
    if not 0 < size <= limits.virtual_bytes:
        refuse(
            f"it describes a disk of {size} bytes, and at most {limits.virtual_bytes} are allowed"
            if size
            else "it describes a disk of 0 bytes"
        )
    if size % 512:
        refuse(f"it describes a disk of {size} bytes, which is no multiple of 512")
