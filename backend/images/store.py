"""The image store: a folder that holds every disk image once, as ``CHECKSUM.FORMAT``.

Work in progress lies in its folder ``work`` under scratch names; a file gets its checksum's name only when it
is checked, whole and on the disk, by one rename. So nothing half is ever found under a checksum.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from backend.errors import BackendError, Code
from backend.images import qemu_img
from backend.images.download import download
from backend.images.formats import KEPT, QCOW2, RAW, Shape, inspect, inspect_own, named
from backend.images.reading import Limits, opened, refuse
from backend.images.sources import (
    IN_PLACE,
    Sources,
    checked_digest,
    copy,
    hashed,
    is_url,
    opened_source,
)
from backend.model import Content
from backend.ports import Progress, StepFailed, no_progress

_WORK: Final = "work"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_KEPT_NAME = re.compile(r"[0-9a-f]{64}\.(?:raw|qcow2)")
_WORK_NAME = re.compile(rf"\.({_NAME.pattern})(?:\+[a-z]+)?\.part")
_NONE: Final = Sources()
_LIMITS: Final = Limits()
_EMPTY_BYTES: Final = 1 << 20
_PASSING: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBUSY),
    }
)
"""Errors of the store, or of this machine: they say nothing of the image, and may be gone another time."""


class ImageStore:
    """The image store in a folder. Implements ``ContentStore``.

    All its methods may be repeated after a crash. Several processes may use one folder at once, also over a
    network, each scratch name by one of them at a time.
    """

    def __init__(self, folder: Path, sources: Sources = _NONE, *, limits: Limits = _LIMITS) -> None:
        self.folder = folder
        self.sources = sources
        self.limits = limits

    # Work in progress

    def scratch(self, name: str) -> str:
        """The path for work in progress of that name; what is there from an earlier attempt stays."""
        return str(self._work(name))

    def drop(self, name: str) -> None:
        """Remove work in progress, if there is any."""
        for kind in ("", "made", "kept"):
            self._work(name, kind).unlink(missing_ok=True)

    # Contents

    def take(
        self,
        name: str,
        *,
        form: str,
        parent: Content | None = None,
        encrypted: bool = False,
        progress: Progress = no_progress,
    ) -> Content:
        """Check what a host of ours wrote, hash it, and keep it under its checksum.

        With a ``parent`` the image holds the difference to that content: its backing file becomes the
        parent's in this folder. A repetition answers what the first call kept.

        Raises:
            StepFailed: it is no whole image of that format.
            FileNotFoundError: there is no work in progress of that name.
        """
        if (kept := self._kept_before(name)) is not None:
            return kept
        path = self._work(name)
        try:
            shape = self._own(path, form)
            if shape.encrypted is not encrypted:
                refuse("it is encrypted" if shape.encrypted else "it is not encrypted")
            if parent is not None:
                self._set_parent(path, parent, shape)
            elif shape.backing:
                refuse("it tells only the difference to another image")
            if not encrypted:  # without its key no tool opens it
                qemu_img.check(path.parent, path.name, form, self.limits)
            return self._keep(name, path, shape, parent=parent, progress=progress)
        except BackendError as error:
            raise StepFailed(error.message) from error
        except OSError as error:
            if error.errno in _PASSING:
                raise _passing(error) from error
            raise

    def bring(
        self, name: str, location: str, form: str = "", progress: Progress = no_progress, *, digest: str = ""
    ) -> Content:
        """Bring a disk image in from outside, checked, and converted unless it is raw or qcow2.

        ``location`` is an absolute path, a ``file``, ``http`` or ``https`` URL, ``upload:TENANT/NAME``, or
        ``-`` for bytes that the caller wrote to the scratch file of that name. ``form`` is the format that
        the client tells, empty when it tells none; a raw image that begins like one of another format is
        taken only when it says raw, and is put into a qcow2, so that nobody ever takes it for the other.
        ``digest`` (``sha256:DIGITS``, md5, sha1 or sha512) is what the bytes must hash to. A repetition
        answers what the first call kept; of an image that is refused, nothing stays.

        Raises:
            BackendError: IMAGE_UNREADABLE, it cannot be used; the message says why.
            StepFailed: the store fails, as when it is full: another time it may be able to.
        """
        if (kept := self._kept_before(name)) is not None:
            return kept
        try:
            told, expected = named(form), checked_digest(digest) if digest else None
            path = self._work(name)
            if location != IN_PLACE:
                self._collect(location, path, _part(progress, 0, 60))
            path.chmod(0o600)
            if expected is not None and hashed(path, expected[:1])[expected[0]] != expected[1]:
                refuse(f"its {expected[0]} checksum is another")
            with opened(path) as image:
                shape = inspect(image, told, self.limits)
            qemu_img.check(path.parent, path.name, shape.format, self.limits)
            if shape.format not in KEPT or shape.guise:
                path, shape = self._convert(name, shape, _part(progress, 60, 80))
            return self._keep(name, path, shape, progress=_part(progress, 80, 100))
        except BackendError:
            self.drop(name)
            raise
        except OSError as error:
            self.drop(name)
            if error.errno in _PASSING:
                raise _passing(error) from error
            refuse(f"{error.strerror}")

    def empty(self) -> Content:
        """An empty disk of 1 MiB, for simulated hosts, which boot nothing."""
        name = f"empty-{os.getpid()}"
        path = self._work(name)
        try:
            with path.open("wb") as file:
                file.truncate(_EMPTY_BYTES)
            return self._keep(name, path, Shape(format=RAW, virtual_bytes=_EMPTY_BYTES))
        finally:
            self.drop(name)

    def export(
        self,
        content: Content,
        parents: Sequence[Content],
        form: str,
        path: str,
        progress: Progress = no_progress,
    ) -> None:
        """Write a self-contained image of a format; ``parents`` are those of the content, nearest first.

        What was under that path before is replaced when the new file is complete.

        Raises:
            BackendError: UNSUPPORTED, the content is encrypted; IMAGE_UNREADABLE, it cannot be written.
        """
        word = named(form)
        if content.encrypted or any(parent.encrypted for parent in parents):
            raise BackendError(Code.UNSUPPORTED, "An encrypted disk cannot be exported.")
        target = Path(path).absolute()
        part = target.with_name(f".{target.name[:200].translate(_PLAIN)}.part")
        chain: dict[str, Any] | None = None
        for one in (*reversed(parents), content):
            chain = qemu_img.node(str(self._file(one).absolute()), one.format, chain)
        assert chain is not None
        room = max(_room(target.parent, 0), 0)
        most = content.virtual_bytes + content.virtual_bytes // 64 + (64 << 20)
        try:
            part.unlink(missing_ok=True)
            qemu_img.convert(
                target.parent,
                chain,
                part.name,
                word or QCOW2,
                self.limits,
                output_bytes=most if word == RAW else min(most, room),
                progress=_scaled(progress, content.virtual_bytes),
            )
            part.chmod(0o600)
            _flush(part)
            part.replace(target)
        except OSError as error:
            refuse(f"{target.name}: {error.strerror}")
        finally:
            part.unlink(missing_ok=True)

    def remove(self, content: Content) -> None:
        """Remove the file of a content; absent is success."""
        self._file(content).unlink(missing_ok=True)

    def files(self) -> frozenset[str]:
        """All files: ``CHECKSUM.FORMAT`` of contents, ``work/NAME`` of scratch names, others by their path.

        ``drop(NAME)`` removes a scratch name's.
        """
        found = {path.name for path in _listed(self.folder) if not path.is_dir()}
        for path in _listed(self.folder / _WORK):
            match = _WORK_NAME.fullmatch(path.name)
            found.add(f"{_WORK}/{match[1] if match else path.name}")
        return frozenset(found)

    # Inside

    def _work(self, name: str, kind: str = "") -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no scratch name")
        folder = self.folder / _WORK
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder / f".{name}{f'+{kind}' if kind else ''}.part"

    def _file(self, content: Content) -> Path:
        name = f"{content.checksum}.{content.format}"
        if not _KEPT_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no content")
        return self.folder / name

    def _own(self, path: Path, form: str) -> Shape:
        path.chmod(0o600, follow_symlinks=True)
        with opened(path) as image:
            return inspect_own(image, form, self.limits)

    def _set_parent(self, path: Path, parent: Content, shape: Shape) -> None:
        """Have an image tell the difference to a content, by its bare name: the folder may be moved."""
        if shape.format != QCOW2 or shape.encrypted:
            refuse("only a qcow2 that is not encrypted can tell a difference")
        file = self._file(parent)
        if not file.is_file():
            refuse("the store has lost what it tells the difference to")
        qemu_img.set_backing(path.parent, path.name, file.name, parent.format, self.limits)
        if self._own(path, QCOW2).backing != file.name:
            refuse("its backing file cannot be set")

    def _collect(self, location: str, path: Path, progress: Progress) -> None:
        room = _room(path.parent, self.limits.spare_bytes)
        if is_url(location):
            download(location, path, self.sources.urls, room, self.limits, progress)
            return
        with opened_source(location, self.sources) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > self.limits.virtual_bytes:
                refuse(f"the file has {size} bytes, and at most {self.limits.virtual_bytes} are allowed")
            copy(descriptor, path, room, progress)

    def _convert(self, name: str, shape: Shape, progress: Progress) -> tuple[Path, Shape]:
        source, made = self._work(name), self._work(name, "made")
        made.unlink(missing_ok=True)
        # A qcow2 is a little larger than the disk in it, by its tables.
        most = shape.virtual_bytes + shape.virtual_bytes // 1024 + (4 << 20)
        room = max(_room(source.parent, self.limits.spare_bytes), 0)
        qemu_img.convert(
            source.parent,
            qemu_img.node(source.name, shape.format),
            made.name,
            QCOW2,
            self.limits,
            output_bytes=min(most, room),
            progress=progress,
        )
        return made, self._own(made, QCOW2)

    def _keep(
        self,
        name: str,
        path: Path,
        shape: Shape,
        *,
        parent: Content | None = None,
        progress: Progress = no_progress,
    ) -> Content:
        """Hash a checked file and give it its name; a note of it outlives a crash until it is dropped."""
        checksum = hashed(path, ("sha256",), progress)["sha256"]
        path.chmod(0o400)  # hosts may link to it
        _flush(path)
        content = Content(
            checksum=checksum,
            path=str(self.folder / f"{checksum}.{shape.format}"),
            format=shape.format,
            size_bytes=path.stat().st_size,
            virtual_bytes=shape.virtual_bytes,
            parent=parent.checksum if parent is not None else "",
            encrypted=shape.encrypted,
            created_at=time.time(),
        )
        note = self._work(name, "kept")
        note.write_bytes(msgspec.json.encode(content))
        _flush(note)
        path.replace(self._file(content))
        _flush(self.folder)
        self._work(name).unlink(missing_ok=True)  # what it was converted from
        return content

    def _kept_before(self, name: str) -> Content | None:
        """What an earlier attempt kept, when it came that far."""
        if self._work(name).exists():
            return None
        try:
            content = msgspec.json.decode(self._work(name, "kept").read_bytes(), type=Content)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return content if self._file(content).is_file() else None


_PLAIN: Final = {code: "_" for code in range(128) if not (chr(code).isalnum() or chr(code) in "._-")}
"""Signs that mean something to tools that get a file's name."""


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _passing(error: OSError) -> StepFailed:
    """What the store's own trouble means: nothing is said of the image."""
    return StepFailed(f"The image store: {error.strerror}.", transient=True)


def _room(folder: Path, spare: int) -> int:
    """Bytes that may still be written to a file system."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize - spare


def _flush(path: Path) -> None:
    """See that a file, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _part(progress: Progress, begin: int, end: int) -> Progress:
    """The progress of one of several steps, which takes it from one percentage to another."""
    return lambda done, size: progress(begin * 100 + (end - begin) * 100 * done // max(size, 1), 10_000)


def _scaled(progress: Progress, size: int) -> Progress:
    return lambda done, whole: progress(size * done // max(whole, 1), size)
