"""Where disk images come from: files, uploads and URLs; and copying a file that may change meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from backend.images.reading import refuse
from backend.model import Value
from backend.ports import Progress, no_progress

IN_PLACE: Final = "-"
"""The location of an image whose bytes are in the scratch file already."""
UPLOAD: Final = "upload:"
"""How locations of uploads begin; TENANT/NAME follows."""
CHUNK: Final = 4 << 20
DIGESTS: Final = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""What an image can be compared with, and how many hexadecimal digits it has."""

_KNOWS_NO_HOLES: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_BLOCK: Final = 64 << 10
_ZEROS: Final = bytes(_BLOCK)
_UPLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}/[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class Sources(Value, frozen=True, kw_only=True):
    """Which files and URLs may be read. None is any: that is the operator's.

    ``directories`` are folders, whose files may be taken; ``urls`` are beginnings of URLs, such as
    ``https://images.example.org/debian/`` or ``https://``, which is every host with a public address.
    ``uploads`` is the folder of uploads.
    """

    directories: tuple[Path, ...] | None = ()
    urls: tuple[str, ...] | None = ()
    uploads: Path | None = None


def is_url(location: str) -> bool:
    """Whether a location is to be downloaded."""
    return location.lower().startswith(("http://", "https://"))


@contextmanager
def opened_source(location: str, sources: Sources) -> Iterator[int]:
    """The descriptor of a regular file that may be read, by path, ``file://`` URL or ``upload:TENANT/NAME``.

    Raises:
        BackendError: IMAGE_UNREADABLE, there is none, or it may not be read.
    """
    path, folders = _allowed(location, sources)
    try:
        # Without O_NONBLOCK the opening of a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        refuse(f"{path.name}: {error.strerror}")
    try:
        # Where a link leads may have changed since; the descriptor says what it is.
        true = Path(f"/proc/self/fd/{descriptor}").readlink()
        if folders is not None and not any(true.is_relative_to(folder.resolve()) for folder in folders):
            refuse("the place that it lies in is not open to tenants")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            refuse(f"{path.name} is no file")
        yield descriptor
    finally:
        os.close(descriptor)


def _allowed(location: str, sources: Sources) -> tuple[Path, tuple[Path, ...] | None]:
    """The file of a location, and the folders in which it must turn out to be."""
    if location.startswith(UPLOAD):
        name = location.removeprefix(UPLOAD)
        if sources.uploads is None or not _UPLOAD_NAME.fullmatch(name):
            refuse("there is no such upload")
        tenant = name.partition("/")[0]
        return sources.uploads / name, (sources.uploads / tenant,)
    path = location
    if "://" in location:
        scheme, _, rest = location.partition("://")
        machine, slash, rest = rest.partition("/")
        if scheme.lower() != "file" or machine not in {"", "localhost"}:
            refuse("its place is neither a path nor a file, http or https URL")
        path = unquote(slash + rest)
    if not path.startswith("/") or "\0" in path:
        refuse("its place is neither an absolute path nor a URL")
    return Path(path), sources.directories


def copy(descriptor: int, target: Path, room: int, progress: Progress = no_progress) -> None:
    """Copy a file as it was when this began; holes and zeros become holes.

    Raises:
        BackendError: IMAGE_UNREADABLE, it holds more bytes than there is room for, or changed meanwhile.
    """
    before = os.fstat(descriptor)
    if min(before.st_blocks * 512, before.st_size) > room:
        refuse(f"it holds more bytes than the store has room for, {room}")
    with target.open("wb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        for begin, end in _extents(descriptor, before.st_size):
            position = begin
            while position < end:
                chunk = os.pread(descriptor, min(CHUNK, end - position), position)
                if not chunk:
                    refuse("it became shorter while it was copied")
                room -= write_sparsely(writing.fileno(), chunk, position)
                if room < 0:
                    refuse("it holds more bytes than the store has room for")
                position += len(chunk)
                progress(position, before.st_size)
        os.ftruncate(writing.fileno(), before.st_size)
    after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        refuse("it changed while it was copied")
    progress(before.st_size, before.st_size)


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data."""
    position = 0
    while position < size:
        try:
            begin = os.lseek(descriptor, position, os.SEEK_DATA)
            end = min(os.lseek(descriptor, begin, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno in _KNOWS_NO_HOLES:
                yield position, size
            elif error.errno != errno.ENXIO:  # there is no data after that position
                raise
            return
        yield begin, end
        position = end


def write_sparsely(descriptor: int, chunk: bytes, offset: int) -> int:
    """Write bytes at a position of a new file but for blocks of zeros; answers how many were written."""
    view, total = memoryview(chunk), 0
    for begin, end in _runs(chunk):
        position = begin
        while position < end:
            position += os.pwrite(descriptor, view[position:end], offset + position)
        total += end - begin
    return total


def _runs(chunk: bytes) -> Iterator[tuple[int, int]]:
    """Where there is something other than whole blocks of zeros."""
    begin = end = 0
    for at in range(0, len(chunk), _BLOCK):
        block = chunk[at : at + _BLOCK]
        if block == _ZEROS or (len(block) < _BLOCK and not any(block)):
            continue
        if at > end:
            yield begin, end
            begin = at
        end = at + len(block)
    yield begin, end


def hashed(path: Path, kinds: tuple[str, ...], progress: Progress = no_progress) -> dict[str, str]:
    """The digests of a file, in hexadecimal digits."""
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    done = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
            done += len(chunk)
            progress(done, size)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def checked_digest(text: str) -> tuple[str, str]:
    """Kind and digits of ``sha256:DIGITS``; raises BackendError IMAGE_UNREADABLE when it is none."""
    kind, _, digits = text.lower().partition(":")
    if len(digits) != DIGESTS.get(kind) or set(digits) - set("0123456789abcdef"):
        refuse(f"{text[:60]} is no checksum: {', '.join(DIGESTS)}, a colon and hexadecimal digits")
    return kind, digits
