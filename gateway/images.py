"""The image store: disk images by content, checked before anything may boot from them.

A qcow2 image can name other files, as its backing or its data file, and its author chose the names: such an
image is refused before any program opens it. The format is read from the first bytes and given to every
program that follows, never probed again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from backend.errors import BackendError, Code
from backend.model import Value
from ec2.context import ImportedImage

_CHUNK: Final = 4 << 20
_QCOW2: Final = b"QFI\xfb"
_EXTERNAL_DATA: Final = 1 << 2
_LARGEST: Final = 64 << 40
"""Bytes of disk that an image may describe."""
_UNREADABLE_FORMATS: Final = {
    b"KDMV": "VMDK",
    b"# Disk D": "VMDK",
    b"conectix": "VHD",
    b"vhdxfile": "VHDX",
    b"\x7fVDI": "VDI",
    b"<<< Orac": "VDI",
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
}
_CHECK_SECONDS: Final = 3600

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are copied."""


class Header(Value, frozen=True, kw_only=True):
    """What the first bytes of an image say."""

    format: str
    virtual_bytes: int


class ImageStore:
    """The directory that holds every image once, under its checksum. Implements ``ImageImporter``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def import_file(self, source: Path, progress: Progress = lambda _done, _size: None) -> ImportedImage:
        """Check a disk image and copy it into the store; the same bytes twice are kept once.

        Raises:
            BackendError: IMAGE_UNREADABLE, it is no whole and self-contained image.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            checksum, size = _copy(source, part, progress)
            header = read_header(part)  # of the copy: the source may change behind our back
            _check(part, header)
            path = self.folder / f"{checksum}.{header.format}"
            part.chmod(0o600)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return ImportedImage(
            path=str(path),
            format=header.format,
            checksum=checksum,
            size_bytes=size,
            virtual_bytes=header.virtual_bytes,
        )

    def empty(self) -> ImportedImage:
        """An empty disk of 1 MiB, for simulated hosts, which boot nothing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = self.folder / f".{secrets.token_hex(8)}.empty"
        try:
            source.write_bytes(bytes(1 << 20))
            return self.import_file(source)
        finally:
            source.unlink(missing_ok=True)


def _refuse(reason: str) -> NoReturn:
    raise BackendError(Code.IMAGE_UNREADABLE, f"The disk image cannot be used: {reason}.")


def _copy(source: Path, target: Path, progress: Progress) -> tuple[str, int]:
    """Copy and hash in one pass; holes stay holes."""
    digest, done = hashlib.sha256(), 0
    try:
        with source.open("rb") as reading, target.open("xb") as writing:
            size = os.fstat(reading.fileno()).st_size
            while chunk := reading.read(_CHUNK):
                digest.update(chunk)
                _write_sparsely(writing.fileno(), chunk, done)
                done += len(chunk)
                progress(done, size)
            os.ftruncate(writing.fileno(), done)
            os.fsync(writing.fileno())
    except OSError as error:
        _refuse(f"{error.filename or source.name}: {error.strerror}")
    return digest.hexdigest(), done


def _write_sparsely(descriptor: int, chunk: bytes, offset: int) -> None:
    if chunk.count(0) == len(chunk):
        return
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def read_header(path: Path) -> Header:
    """What kind of image a file is, and how large a disk it describes.

    Raises:
        BackendError: IMAGE_UNREADABLE, it refers to other files, is encrypted, or of a format that is not
            served.
    """
    with path.open("rb") as file:
        start = file.read(104)
    size = path.stat().st_size
    if start[:4] == _QCOW2:
        return Header(format="qcow2", virtual_bytes=_qcow2_size(start))
    for magic, name in _UNREADABLE_FORMATS.items():
        if start.startswith(magic):
            _refuse(f"it is {name}; unpack or convert it first: qemu-img convert -O qcow2 FILE NEW.qcow2")
    if not size:
        _refuse("the file is empty")
    if size % 512:
        _refuse("it is neither qcow2 nor a raw disk (whose size is a multiple of 512 bytes)")
    return Header(format="raw", virtual_bytes=size)


def _qcow2_size(start: bytes) -> int:
    """The size of the disk in a qcow2 header (QEMU's docs/interop/qcow2.rst)."""
    if len(start) < 72:
        _refuse("its header is cut off")
    version, backing = struct.unpack(">IQ", start[4:16])
    virtual, encryption = struct.unpack(">QI", start[24:36])
    if version not in {2, 3}:
        _refuse(f"qcow2 version {version} is unknown")
    if backing:
        _refuse("it has a backing file; merge them first: qemu-img convert -O qcow2 FILE NEW.qcow2")
    if encryption:
        _refuse("it is encrypted")
    if version == 3:
        if len(start) < 104:
            _refuse("its header is cut off")
        if struct.unpack(">Q", start[72:80])[0] & _EXTERNAL_DATA:
            _refuse(
                "its data are in another file; merge them first: qemu-img convert -O qcow2 FILE NEW.qcow2"
            )
    if not 0 < virtual <= _LARGEST:
        _refuse(f"it describes a disk of {virtual} bytes")
    return int(virtual)


def _check(path: Path, header: Header) -> None:
    """Have QEMU's own tool look at it, told the format. Where it is missing no guest can run either."""
    tool = shutil.which("qemu-img")
    if tool is None or header.format == "raw":
        return
    facts = _run([tool, "info", "-f", header.format, "--output=json", str(path)])
    told = msgspec.json.decode(facts)
    details = told.get("format-specific", {}).get("data", {})
    if told.get("backing-filename") or details.get("data-file") or told.get("encrypted"):
        _refuse("it refers to other files or is encrypted")
    if told.get("virtual-size") != header.virtual_bytes:
        _refuse("its header contradicts itself")
    _run([tool, "check", "-q", "-f", header.format, str(path)])


def _run(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=_CHECK_SECONDS)
    except subprocess.TimeoutExpired:
        _refuse("looking at it takes for ever")
    if done.returncode not in {0, 3}:  # 3: leaked clusters, which harm nobody
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["qemu-img found it damaged"]
        _refuse(lines[-1].replace(command[-1], "the image"))
    return done.stdout
