"""Bytes to and from a host's volumes, through libvirt's streams; holes stay holes.

An upload is cut into parts: each has a deadline of its own, and between two of them the daemon can look at
its pool, which it refuses while bytes come in.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from io import BytesIO, FileIO
from pathlib import Path
from typing import Final

import libvirt

from backend.drivers.libvirt.connection import Caller, Wait
from backend.drivers.libvirt.errors import Absent
from backend.drivers.libvirt.storage_files import CHUNK, extents
from backend.drivers.libvirt.storage_locks import NO_SPACE, failed
from backend.ports import HostSilent, Progress, StepFailed, no_progress

_NO_FILE: Final = "No such file or directory"
PART: Final = 64 << 20
MESSAGE: Final = 262120
"""Bytes that fit into one message of libvirt's protocol."""
HEAD: Final = 4096
"""Bytes of a file that hold a qcow2 header with its extensions and the backing file's name."""


def upload(call: Caller, volume: libvirt.virStorageVol, path: str, progress: Progress = no_progress) -> None:
    """Write a file into an empty volume of its size, and look that it arrived.

    Raises:
        StepFailed: the volume does not have the file's size and beginning.
    """
    try:
        with Path(path).open("rb", buffering=0) as file:  # its position is the descriptor's, for SEEK_HOLE
            size = os.fstat(file.fileno()).st_size
            for start in range(0, size, PART):
                end = min(start + PART, size)
                told = _Told(lambda done: progress(done, size), start)
                with _removed_by_others():
                    call(Wait.PART, _send, call.connection, volume, file, start, end, told)
            file.seek(0)
            head = file.read(min(HEAD, size))
    except OSError as error:
        raise failed("reading a disk", error) from error
    there = call(Wait.NORMAL, volume.infoFlags, libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]
    if there != size or beginning(call, volume, len(head)) != head:
        raise StepFailed(f"what arrived is not what was sent: {there} bytes of {size}", transient=True)
    progress(size, size)


@contextlib.contextmanager
def _removed_by_others() -> Iterator[None]:
    """Libvirt has the volume on its list, and its file is gone: another host of a shared store took it."""
    try:
        yield
    except StepFailed as error:
        if _NO_FILE in str(error):
            raise Absent(str(error)) from error
        raise


def upload_bytes(call: Caller, volume: libvirt.virStorageVol, content: bytes) -> None:
    """Write a few bytes into an empty volume of their size."""
    file = BytesIO(content)
    call(Wait.PART, _send, call.connection, volume, file, 0, len(content), _Told(lambda _done: None))


def lengthen(call: Caller, volume: libvirt.virStorageVol, size: int) -> None:
    """Append a hole up to so many bytes, whatever libvirt takes the bytes before it for."""
    there = call(Wait.NORMAL, volume.infoFlags, libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]
    if there < size:
        call(Wait.NORMAL, _append_hole, call.connection, volume, there, size - there)


def download(
    call: Caller, volume: libvirt.virStorageVol, path: str, progress: Progress = no_progress
) -> None:
    """Write a volume's bytes into a new file (mode 0600), on the disk when this returns."""
    size = call(Wait.NORMAL, volume.infoFlags, libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for start in range(0, size, PART):
                file.seek(start)
                told = _Told(lambda done: progress(done, size), start)
                call(Wait.PART, _receive, call.connection, volume, file, start, min(PART, size - start), told)
            file.truncate(size)
            os.fsync(file.fileno())
    except OSError as error:
        raise failed("writing a disk", error) from error
    progress(size, size)


def beginning(call: Caller, volume: libvirt.virStorageVol, length: int = HEAD) -> bytes:
    """A volume's first bytes, as many as there are."""
    there = call(Wait.NORMAL, volume.infoFlags, libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2]
    return part(call, volume, 0, min(length, there))


def part(call: Caller, volume: libvirt.virStorageVol, offset: int, length: int) -> bytes:
    """Some bytes of a volume."""
    return call(Wait.NORMAL, _download, call.connection, volume, offset, length) if length else b""


class _Told:
    """Tells a position every four MiB."""

    def __init__(self, tell: Callable[[int], None], start: int = 0) -> None:
        self._tell = tell
        self._last = start

    def at(self, position: int) -> None:
        if position - self._last >= CHUNK:
            self._last = position
            self._tell(position)


@contextlib.contextmanager
def _stream(connection: libvirt.virConnect) -> Iterator[libvirt.virStream]:
    """A stream that is finished, or aborted with the error that ended it."""
    stream = connection.newStream()
    try:
        yield stream
        stream.finish()
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise


def _send(
    connection: libvirt.virConnect,
    volume: libvirt.virStorageVol,
    file: FileIO | BytesIO,
    start: int,
    end: int,
    told: _Told,
) -> None:
    with _stream(connection) as stream:
        volume.upload(stream, start, end - start, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
        here = start
        for data_start, data_end in _extents(file, start, end):
            if data_start > here:
                stream.sendHole(data_start - here)
            here = data_start
            file.seek(here)
            while here < data_end:
                data = file.read(min(MESSAGE, data_end - here))
                if not data:
                    raise OSError(errno.EIO, "the file became shorter")
                here += _send_all(stream, data)
                told.at(here)
        if here < end:
            stream.sendHole(end - here)


def _send_all(stream: libvirt.virStream, data: bytes) -> int:
    sent = 0
    while sent < len(data):
        sent += stream.send(data[sent:] if sent else data)
    return sent


def _extents(file: FileIO | BytesIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where there is data from a place to another; a file in memory is nothing else."""
    if isinstance(file, BytesIO):
        return iter([(start, end)])
    return extents(file, end, start)


def _append_hole(
    connection: libvirt.virConnect, volume: libvirt.virStorageVol, offset: int, length: int
) -> None:
    with _stream(connection) as stream:
        volume.upload(stream, offset, length, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
        stream.sendHole(length)


def _receive(
    connection: libvirt.virConnect,
    volume: libvirt.virStorageVol,
    file: FileIO | BytesIO,
    offset: int,
    length: int,
    told: _Told,
) -> None:
    with _stream(connection) as stream:
        volume.download(stream, offset, length, libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM)
        while True:
            got = stream.recvFlags(MESSAGE, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
            if isinstance(got, int):  # VIR_STREAM_RECV_STOP_AT_HOLE's answer
                file.seek(stream.recvHole(), os.SEEK_CUR)
            elif not got:
                return
            else:
                file.write(got)
                told.at(file.tell())


def _download(
    connection: libvirt.virConnect, volume: libvirt.virStorageVol, offset: int, length: int
) -> bytes:
    received = bytearray()
    with _stream(connection) as stream:
        volume.download(stream, offset, length)
        while got := stream.recv(MESSAGE):
            received.extend(got)
    return bytes(received)


@contextlib.contextmanager
def saying_when_full() -> Iterator[None]:
    """Make a host's failure for want of space one that is worth another try."""
    try:
        yield
    except HostSilent:
        raise
    except StepFailed as error:
        if NO_SPACE in str(error) and not error.transient:
            raise StepFailed(str(error), transient=True) from error
        raise
