"""Files that tenants upload, to be imported as disk images: a folder for each tenant in the home.

A file appears under its name when it is whole, and never before: it is written as a part beside it, synced,
and renamed. Parts that a killed process left are removed a day later.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from backend.model import Value
from gateway.home import PRIVATE_FILE, PRIVATE_FOLDER

SCHEME: Final = "upload:"
"""How the location of an upload begins, wherever an image can be imported from one."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PART: Final = ".part"
_CHUNK: Final = 1 << 20
_MOST_FILES: Final = 1000
_FORGOTTEN: Final = 86_400.0
"""Seconds after which nobody writes to a part any more."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Upload(Value, frozen=True, kw_only=True):
    """A complete upload; ``sha256`` is known only of one that has just been received."""

    name: str
    size_bytes: int
    at: float
    sha256: str = ""
    replaced: bool = False

    @property
    def location(self) -> str:
        """What it is imported by."""
        return SCHEME + self.name


class TooLarge(Exception):  # noqa: N818 - it says what is the case
    """The upload is larger than one may be."""


class NoRoom(Exception):  # noqa: N818 - it says what is the case
    """The tenant has uploaded as much as it may, or the disk is full; the message says which."""


class CutOff(Exception):  # noqa: N818 - it says what is the case
    """The body ended before it was whole, or nothing of it came for too long."""


def is_name(text: str) -> bool:
    """Whether an upload may have this name: no path, nothing hidden, no option of a program."""
    return _NAME.fullmatch(text) is not None


class Uploads:
    """The uploads of all tenants. Safe to use from several threads and processes."""

    def __init__(
        self, folder: Path, *, most_bytes: int, tenant_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._tenant_bytes = tenant_bytes
        self._clock = clock

    def of(self, tenant_id: str) -> list[Upload]:
        """The complete uploads of a tenant, by name."""
        found = []
        for path in self._files(tenant_id):
            if is_name(path.name):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    stat = path.stat()
                    found.append(Upload(name=path.name, size_bytes=stat.st_size, at=stat.st_mtime))
        return sorted(found, key=lambda upload: upload.name)

    def path(self, tenant_id: str, name: str) -> Path | None:
        """Where a complete upload lies, or None when there is none of that name."""
        path = self._folder / tenant_id / name
        return path if is_name(name) and path.is_file() else None

    def delete(self, tenant_id: str, name: str) -> bool:
        """Remove an upload; whether there was one."""
        path = self.path(tenant_id, name)
        if path is None:
            return False
        path.unlink(missing_ok=True)
        return True

    def forget(self, tenant_id: str) -> None:
        """Remove all that a tenant has uploaded."""
        shutil.rmtree(self._folder / tenant_id, ignore_errors=True)

    def receive(
        self, tenant_id: str, name: str, read: Callable[[int], bytes], length: int | None = None
    ) -> Upload:
        """Take an upload in; ``read`` answers at most so many bytes of it, none at its end.

        ``length`` is how long it will be, when that was announced.

        Raises:
            TooLarge: it is larger than one may be.
            NoRoom: the tenant has no room left, or the disk has none.
            CutOff: it ended too early.
        """
        assert is_name(name), name
        folder = self._folder / tenant_id
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._forget_parts(tenant_id)
        self._check(tenant_id, name, length or 0, total=length or 0)
        part = folder / f".{secrets.token_hex(8)}{_PART}"
        try:
            sha256, size = self._write(tenant_id, name, part, read, length)
            replaced = (folder / name).exists()
            at = part.stat().st_mtime  # as the list of uploads tells it
            part.rename(folder / name)
            _sync(folder)
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom("The disk for uploads is full.") from error
            raise
        finally:
            part.unlink(missing_ok=True)
        return Upload(name=name, size_bytes=size, at=at, sha256=sha256, replaced=replaced)

    def _write(
        self, tenant_id: str, name: str, part: Path, read: Callable[[int], bytes], length: int | None
    ) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            while length is None or size < length:
                chunk = read(_CHUNK if length is None else min(_CHUNK, length - size))
                if not chunk:
                    break
                size += len(chunk)
                self._check(tenant_id, name, len(chunk), total=size)
                digest.update(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
            os.fsync(file.fileno())
        if length is not None and size < length:
            raise CutOff(f"It ended after {size} of {length} bytes.")
        return digest.hexdigest(), size

    def _check(self, tenant_id: str, name: str, more: int, *, total: int) -> None:
        """Refuse an upload of ``total`` bytes so far, ``more`` of them not on the disk yet.

        What others of the tenant are uploading at the same time counts, as far as it is here.
        """
        if total > self._most_bytes:
            raise TooLarge(f"An upload may have {self._most_bytes} bytes at most.")
        sizes = _sizes(path for path in self._files(tenant_id) if path.name != name)
        if sum(sizes) + more > self._tenant_bytes:
            raise NoRoom(
                f"All uploads together may have {self._tenant_bytes} bytes at most; delete what is imported."
            )
        if len(sizes) > _MOST_FILES:
            raise NoRoom(f"There may be {_MOST_FILES} uploads at most; delete what is imported.")

    def _files(self, tenant_id: str) -> list[Path]:
        try:
            return list((self._folder / tenant_id).iterdir())
        except FileNotFoundError:
            return []

    def _forget_parts(self, tenant_id: str) -> None:
        before = self._clock() - _FORGOTTEN
        for path in self._files(tenant_id):
            with contextlib.suppress(FileNotFoundError):
                if path.name.endswith(_PART) and path.name.startswith(".") and path.stat().st_mtime < before:
                    path.unlink()


def _sizes(paths: Iterable[Path]) -> list[int]:
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.append(path.stat().st_size)
    return found


def _sync(folder: Path) -> None:
    """Have a rename in a folder reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
