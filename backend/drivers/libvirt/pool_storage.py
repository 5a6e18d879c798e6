"""Storage of hosts with a libvirt daemon: volumes in one directory pool, through libvirt's own protocol.

An instance's volumes are ``ID.vda.qcow2``, ``ID.seed.iso`` and ``ID.console.log``. Volumes cannot be renamed,
so an uploaded image becomes valid by a marker: ``image.CHECKSUM.NONCE.FORMAT`` counts only when there is a
volume ``image.CHECKSUM.NONCE.FORMAT.complete``, made after the upload ended. Two workers that upload at once
make two images with two names, both good; an interrupted upload has no marker and goes with the image.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, BinaryIO, Final

import libvirt

from backend.drivers.libvirt.boot_probe import boot_probe
from backend.drivers.libvirt.connection import Caller, Links, Wait
from backend.drivers.libvirt.domain_xml import Layout
from backend.drivers.libvirt.errors import Absent, AlreadyThere, WrongState
from backend.drivers.libvirt.storage import CONSOLE, GIB, SEED, check_image, disk_bytes, safe_name
from backend.drivers.libvirt.threads import KeyedLocks
from backend.drivers.libvirt.volume_xml import (
    backing_of,
    pool_document,
    qcow2_document,
    raw_document,
    target_of,
)
from backend.ports import DiskSpec, ImageSource, StepFailed

COMPLETE: Final = ".complete"
PROBE: Final = "isthmus-boot-probe"
REFRESH_TRIES: Final = 20


class PoolStorage:
    """Volumes in a directory pool of a host, which is defined and started when it is not."""

    def __init__(self, links: Links, *, pool: str, path: str) -> None:
        self._links = links
        self._name = pool
        self._path = path
        self._uploads = KeyedLocks()

    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """A volume on top of the image, which is uploaded when this host has not seen it."""
        if disk.image is None:
            raise StepFailed(f"disk {disk.target} has no image to clone")
        name = _disk(instance_id, disk.target)
        with self._uploads(disk.image.checksum):
            base = self._base(name, disk.image)
            if base is None:
                return
            with self._links.working() as call:
                document = qcow2_document(
                    name, disk_bytes(disk), backing=base, backing_format=disk.image.format
                )
                _create(call, self._pool(call), document)

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """An empty volume."""
        with self._links.working() as call:
            pool = self._pool(call)
            _create(call, pool, qcow2_document(_disk(instance_id, disk.target), disk_bytes(disk)))

    def context(self, instance_id: str, image: bytes) -> None:
        """Replace the seed: made anew, then written through a stream."""
        with self._links.working() as call:
            pool = self._pool(call)
            self._put(call, pool, f"{safe_name(instance_id)}.seed.iso", image)

    def delete(self, instance_id: str) -> None:
        """Delete the instance's volumes, rotated logs included."""
        prefix = f"{safe_name(instance_id)}."
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            for name in call(Wait.NORMAL, pool.listVolumes):
                if name.startswith(prefix):
                    _delete(call, pool, name)

    def files(self, instance_id: str) -> frozenset[str]:
        """The volumes there are by the pool's own listing."""
        prefix = f"{safe_name(instance_id)}."
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            names = [
                name.removeprefix(prefix)
                for name in call(Wait.NORMAL, pool.listVolumes)
                if name.startswith(prefix)
            ]
        special = {"seed.iso": SEED, "console.log": CONSOLE}
        disks = {name.removesuffix(".qcow2") for name in names if name.endswith(".qcow2")}
        return frozenset(disks | {special[name] for name in names if name in special})

    def forget_image(self, checksum: str) -> None:
        """Delete the image's volumes unless a disk's backing file is one of them."""
        prefix = _prefix(checksum)
        with self._uploads(checksum), self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            volumes = call(Wait.NORMAL, pool.listAllVolumes)
            used = {call(Wait.FAST, _backing, volume) for volume in volumes}
            for volume in volumes:
                name = volume.name()
                image = name.removesuffix(COMPLETE)
                if name.startswith(prefix) and f"{self._directory(call, pool)}/{image}" not in used:
                    _delete(call, pool, name)

    def console(self, instance_id: str, limit: int) -> bytes:
        """The end of the log that the host's log daemon (or QEMU) writes into the pool's directory."""
        name = f"{safe_name(instance_id)}.console.log"
        with self._links.working() as call:
            pool = self._pool(call)
            volume = _volume(call, pool, name)
            if volume is None:
                _refresh(call, pool)
                volume = _volume(call, pool, name)
            if volume is None:
                return b""
            size = call(Wait.NORMAL, volume.info)[1]
            if size == 0:
                return b""
            return call(
                Wait.NORMAL, _download, call.connection, volume, max(0, size - limit), min(limit, size)
            )

    def layout(self, instance_id: str, targets: Iterable[str]) -> Layout:
        """Paths in the pool's directory."""
        with self._links.working() as call:
            pool = self._pool(call)
            folder = self._directory(call, pool)
            seed = f"{safe_name(instance_id)}.seed.iso"
            return Layout(
                disks={target: f"{folder}/{_disk(instance_id, target)}" for target in targets},
                seed=f"{folder}/{seed}" if _volume(call, pool, seed) else "",
                console=f"{folder}/{safe_name(instance_id)}.console.log",
            )

    def probe_disk(self) -> str:
        """The boot probe's volume."""
        with self._links.working() as call:
            pool = self._pool(call)
            content = boot_probe()
            name = f"{PROBE}.{hashlib.sha256(content).hexdigest()[:8]}.img"
            if _volume(call, pool, name + COMPLETE) is None:  # else it is there, and may be in use
                self._put(call, pool, name, content)
                _create(call, pool, raw_document(name + COMPLETE, 0))
            return f"{self._directory(call, pool)}/{name}"

    def disk_gib(self) -> int:
        """The pool's free space and what our disks have taken."""
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            free = call(Wait.NORMAL, pool.info)[3]
            volumes = call(Wait.NORMAL, pool.listAllVolumes)
            disks = [one for one in volumes if not one.name().startswith("image.")]
            return int(free + sum(call(Wait.NORMAL, one.info)[2] for one in disks)) // GIB

    def _pool(self, call: Caller) -> libvirt.virStoragePool:
        """The pool, running: defined, built and started as needed."""
        try:
            pool = call(Wait.FAST, call.connection.storagePoolLookupByName, self._name)
        except Absent:
            document = pool_document(self._name, self._path)
            pool = call(Wait.NORMAL, call.connection.storagePoolDefineXML, document)
            call(Wait.NORMAL, pool.build)
            call(Wait.NORMAL, pool.setAutostart, 1)
        if not call(Wait.FAST, pool.isActive):
            with contextlib.suppress(WrongState):  # another thread was faster
                call(Wait.NORMAL, pool.create)
        return pool

    def _directory(self, call: Caller, pool: libvirt.virStoragePool) -> str:
        return target_of(call(Wait.FAST, pool.XMLDesc))

    def _base(self, name: str, image: ImageSource) -> str | None:
        """The path of a complete copy of the image on the host; None when the disk is there already."""
        with self._links.working() as call:
            pool = self._pool(call)
            if _volume(call, pool, name) is not None:
                return None
            folder = self._directory(call, pool)
            cached = _complete(call, pool, image)
        if cached is None:
            with self._links.copying() as call:
                cached = self._upload(call, self._pool(call), image)
        return f"{folder}/{cached}"

    def _upload(self, call: Caller, pool: libvirt.virStoragePool, image: ImageSource) -> str:
        path = check_image(image)
        name = f"{_prefix(image.checksum)}{secrets.token_hex(4)}.{image.format}"
        with path.open("rb", buffering=0) as file:  # its position is the descriptor's, for SEEK_HOLE
            size = os.fstat(file.fileno()).st_size
            volume = call(Wait.NORMAL, pool.createXML, raw_document(name, size))
            call(Wait.SLOW, _send, call.connection, volume, file, size)
        _create(call, pool, raw_document(name + COMPLETE, 0))
        return name

    def _put(self, call: Caller, pool: libvirt.virStoragePool, name: str, content: bytes) -> None:
        _delete(call, pool, name)
        volume = call(Wait.NORMAL, pool.createXML, raw_document(name, len(content)))
        call(Wait.SLOW, _send, call.connection, volume, BytesIO(content), len(content))


def _prefix(checksum: str) -> str:
    return f"image.{safe_name(checksum)}."


def _complete(call: Caller, pool: libvirt.virStoragePool, image: ImageSource) -> str | None:
    """The name of a complete copy of an image."""
    names = set(call(Wait.NORMAL, pool.listVolumes))
    prefix = _prefix(image.checksum)
    found = sorted(
        name
        for name in names
        if name.startswith(prefix) and not name.endswith(COMPLETE) and name + COMPLETE in names
    )
    return found[0] if found else None


def _disk(instance_id: str, target: str) -> str:
    return f"{safe_name(instance_id)}.{safe_name(target)}.qcow2"


def _volume(call: Caller, pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    try:
        return call(Wait.FAST, pool.storageVolLookupByName, name)
    except Absent:
        return None


def _create(call: Caller, pool: libvirt.virStoragePool, document: str) -> None:
    with contextlib.suppress(AlreadyThere):
        call(Wait.NORMAL, pool.createXML, document)


def _delete(call: Caller, pool: libvirt.virStoragePool, name: str) -> None:
    volume = _volume(call, pool, name)
    if volume is not None:
        with contextlib.suppress(Absent):
            call(Wait.NORMAL, volume.delete)


def _refresh(call: Caller, pool: libvirt.virStoragePool) -> None:
    """Make the pool see files that came without it; it refuses while an upload is going on."""
    for _ in range(REFRESH_TRIES):
        try:
            call(Wait.NORMAL, pool.refresh)
        except StepFailed as error:
            if "asynchronous jobs" not in str(error):
                raise
            time.sleep(0.1)
        else:
            return


def _backing(volume: libvirt.virStorageVol) -> str:
    return backing_of(volume.XMLDesc())


def _send(connection: libvirt.virConnect, volume: libvirt.virStorageVol, file: BinaryIO, size: int) -> None:
    """Write a file into a volume; holes stay holes."""
    stream = connection.newStream()
    volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
    try:
        stream.sparseSendAll(_read, _section_of(size), _skip, file)
        stream.finish()
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise


def _read(_stream: libvirt.virStream, count: int, file: BinaryIO) -> bytes:
    return file.read(count)


def _skip(_stream: libvirt.virStream, length: int, file: BinaryIO) -> int:
    return file.seek(length, os.SEEK_CUR)


def _section_of(size: int) -> Callable[[libvirt.virStream, BinaryIO], tuple[bool, int]]:
    def section(_stream: libvirt.virStream, file: BinaryIO) -> tuple[bool, int]:
        """Whether data or a hole comes next, and how much of it; (False, 0) at the end."""
        here = file.tell()
        if here >= size:
            return False, 0
        try:
            start = os.lseek(file.fileno(), here, os.SEEK_DATA)
            end = os.lseek(file.fileno(), here, os.SEEK_HOLE)
        except (OSError, ValueError):
            # Not a file (ValueError: all data), or no data after here (ENXIO: all hole).
            return _without_extents(file, here, size)
        file.seek(here)
        return (True, end - here) if start == here else (False, start - here)

    return section


def _without_extents(file: BinaryIO, here: int, size: int) -> tuple[bool, int]:
    file.seek(here)
    return isinstance(file, BytesIO), size - here


def _download(
    connection: libvirt.virConnect, volume: libvirt.virStorageVol, offset: int, length: int
) -> bytes:
    stream = connection.newStream()
    volume.download(stream, offset, length)
    received = bytearray()

    def keep(_stream: libvirt.virStream, data: bytes, _opaque: Any) -> int:
        received.extend(data)
        return len(data)

    stream.recvAll(keep, None)
    stream.finish()
    return bytes(received)
