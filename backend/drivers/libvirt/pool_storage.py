"""Storage of hosts with a libvirt daemon: one directory pool, through libvirt's own protocol.

Volumes are named so that half of one is never taken for a whole one (:mod:`.pool_storage_names`); images are
cached as ``image.CHECKSUM``. An instance's own files are ``ID.seed.iso`` and ``ID.console.log``, and its
disks volumes ``ID.vdb``.

libvirt looks into volumes to find out their format, and believes what a guest may have written into a raw
one. So nothing here follows what it says about a raw volume: those are copied and lengthened as plain bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import libvirt

from backend.drivers.libvirt import storage_files as files
from backend.drivers.libvirt.boot_probe import boot_probe
from backend.drivers.libvirt.connection import Caller, Links, Wait
from backend.drivers.libvirt.domain_xml import DiskFile, Layout
from backend.drivers.libvirt.errors import Absent, AlreadyThere, WrongState
from backend.drivers.libvirt.pool_storage_names import COMPLETE, Attempt, Things, attempt_of, new_attempt
from backend.drivers.libvirt.pool_storage_streams import (
    beginning,
    download,
    lengthen,
    part,
    saying_when_full,
    upload,
    upload_bytes,
)
from backend.drivers.libvirt.qcow2 import Qcow2, parse_qcow2
from backend.drivers.libvirt.storage import (
    CONSOLE,
    GIB,
    QCOW2,
    RAW,
    SEED,
    check_image,
    own_disk,
    safe_name,
    safe_volume,
    volume_bytes,
)
from backend.drivers.libvirt.storage_locks import NO_SPACE
from backend.drivers.libvirt.threads import KeyedLocks
from backend.drivers.libvirt.volume_xml import (
    backing_of,
    format_of,
    pool_document,
    qcow2_document,
    raw_document,
    secret_document,
    target_of,
)
from backend.ports import (
    DiskSpec,
    ImageSource,
    Progress,
    StepFailed,
    StoreFacts,
    VolumeFacts,
    VolumeSpec,
    no_progress,
)

IMAGE: Final = "image."
PROBE: Final = "isthmus-boot-probe"
FREE_TRIES: Final = 20
_NOT_FREE: Final = ("in use", "still being allocated", "another process using", "Failed to get")
REFRESH_PAUSE: Final = 0.1
REFRESH_SECONDS: Final = 2.0
TRIES: Final = 4
"""Attempts at a thing that somebody else makes, or removes the image of, at the same time."""
OTHERS_PATIENCE: Final = 30.0
"""Seconds without headway after which another's attempt counts as left over."""
_OWN_FILE: Final = re.compile(r"(i-[0-9a-f]+)(@[0-9a-f]+)?\.(seed\.iso|console\.log)(\.complete|\.[0-9]+)?")
_OWN_DISK: Final = re.compile(r"(i-[0-9a-f]+)(@[0-9a-f]+)?\.(vd[a-z])")


class _Volume:
    """A complete volume found in the pool."""

    def __init__(self, call: Caller, attempt: Attempt, handle: libvirt.virStorageVol, folder: str) -> None:
        self.call = call
        self.form = attempt.form
        self.file = attempt.file
        self.handle = handle
        self.path = f"{folder}/{attempt.file}"

    def header(self) -> Qcow2 | None:
        """The header of a qcow2; None for a raw one, whose bytes are the guest's."""
        if self.form == RAW:
            return None
        header = parse_qcow2(BytesIO(beginning(self.call, self.handle)))
        if header is None:
            raise StepFailed(f"{self.file} is not qcow2")
        return header


class _Again(StepFailed):
    """The image went while a volume was made of it: it is to be cached once more."""

    def __init__(self) -> None:
        super().__init__("The image was removed from the host meanwhile.", transient=True)


Fill = Callable[[Caller, libvirt.virStoragePool, str], None]
"""Makes a volume of that name in the pool, with all its bytes."""


class PoolStorage:
    """Volumes in a directory pool of a host, which is defined and started when it is not.

    ``form`` is the format of new volumes. ``shared``: other hosts have a pool on the same directory; ``tag``
    then tells this host's instances' own files from theirs. ``image_mode`` are the permissions of images.
    """

    def __init__(
        self,
        links: Links,
        *,
        pool: str,
        path: str,
        form: str = QCOW2,
        shared: bool = False,
        host_id: str = "",
        image_mode: str = "",
    ) -> None:
        self._links = links
        self._name = pool
        self._path = path
        self._form = form
        self._shared = shared
        self._tag = "@" + hashlib.sha256(host_id.encode()).hexdigest()[:8] if shared else ""
        self._image_mode = image_mode
        self._making = KeyedLocks()

    # Volumes --------------------------------------------------------------------------------------------

    def clone(self, volume: VolumeSpec) -> None:
        """A volume on top of the image, which is uploaded when this host has not seen it."""
        if volume.source is None:
            raise StepFailed(f"{volume.name} has no source to clone")
        self._begin(volume)

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """An empty volume; one with a file system or a key is made here, and sent."""
        form = self._new_format(volume)
        quick = not filesystem and not volume.key
        self._make(self._thing(volume.name), form, self._empty(volume, form, filesystem), quick=quick)

    def mkswap(self, volume: VolumeSpec) -> None:
        """A volume with the signature of swap space."""
        self.mkimage(volume, "swap")

    def ln(self, name: str) -> None:
        """Look at the volume's header, and at the image that it is linked to."""
        with self._links.reading() as call:
            pool = self._pool(call)
            header = self._require(call, pool, name).header()
            if header is not None and header.backing:
                image = attempt_of(Path(header.backing).name)
                if image is None or image not in self._seen(call, pool).whole(image.thing):
                    raise StepFailed(f"{name}: the image that it is linked to is not there")

    def delete(self, name: str) -> None:
        """Delete every attempt at the volume: what says that it is complete first."""
        thing = self._thing(name)
        with self._making(thing), self._sighted(), self._links.working() as call:
            pool = self._pool(call)
            for attempt in self._things(call, pool).all_of(thing):
                _remove(call, pool, attempt)

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """A qcow2 made by the host; raw and encrypted volumes go through here, unread by the daemon."""

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            source = self._require(call, pool, name)
            header = source.header()
            if key and (header is None or not header.encrypted):
                raise StepFailed(f"{name} is not encrypted")
            if header is not None and not header.encrypted:
                _require_format(call, pool, source.handle, QCOW2)
                document = qcow2_document(file, header.virtual_bytes)
                call(Wait.SLOW, pool.createXMLFrom, document, source.handle)
                return
            if header is not None and header.backing:
                raise StepFailed(f"{name} is encrypted and refers to another file")
            with files.unnamed_file() as (bytes_of, descriptor):
                download(call, source.handle, bytes_of)
                if header is not None:
                    self._send(call, pool, file, bytes_of)
                    return
                with files.unnamed_file() as (made, number):
                    files.convert(files.plain(bytes_of, RAW), made, QCOW2, fds=[descriptor, number])
                    self._send(call, pool, file, made)

        self._make(self._thing(copy), QCOW2, fill, replace=True)

    def begin_copy(self, volume: VolumeSpec) -> str:
        """An empty volume without the mark that it is complete."""
        thing = self._thing(volume.name)
        with self._making(thing), self._sighted(), self._links.copying() as call:
            pool = self._pool(call)
            self._clear(call, pool, self._things(call, pool), thing)
            attempt = new_attempt(thing, QCOW2)
            with saying_when_full():
                self._empty(volume, QCOW2)(call, pool, attempt.file)
            return f"{self._directory(call, pool)}/{attempt.file}"

    def end_copy(self, name: str) -> None:
        """Mark what QEMU has written as complete."""
        thing = self._thing(name)
        with self._making(thing), self._links.working() as call:
            pool = self._pool(call)
            things = self._things(call, pool)
            whole = things.whole(thing)
            begun = [one for one in things.all_of(thing) if one not in whole and one.file in things.files]
            if begun:
                self._publish(call, pool, begun[-1], replace=True)
            elif not whole:
                raise StepFailed(f"no copy {name} was begun")

    def drop_copy(self, name: str) -> None:
        """Delete what QEMU has written."""
        thing = self._thing(name)
        with self._making(thing), self._sighted(), self._links.working() as call:
            pool = self._pool(call)
            self._clear(call, pool, self._things(call, pool), thing)

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """Download the file; one that refers to another is refused."""
        with self._links.copying() as call:
            found = self._require(call, self._pool(call), name)
            header = found.header()
            if header is not None and header.backing:
                raise StepFailed(f"{name} is not self-contained")
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()
            download(call, found.handle, path, progress)

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:
        """Upload the file, converted here when this host's volumes have another format."""
        header = files.incoming(path, form, volume.key)
        wanted = self._new_format(volume)
        large = (header.virtual_bytes if header else Path(path).stat().st_size) >= volume.size_bytes

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            if large and files.as_it_is(header, wanted, volume.key):
                self._send(call, pool, file, path, progress)
                return
            with files.unnamed_file(Path(path).parent) as (made, number):
                if files.as_it_is(header, wanted, volume.key):
                    files.copy_file(path, made)
                else:
                    files.convert(
                        files.plain(path, form),
                        made,
                        wanted,
                        source_key=volume.key if header is not None and header.encrypted else b"",
                        target_key=volume.key,
                        fds=[number],
                    )
                files.grow(made, volume.size_bytes, wanted, key=volume.key, fds=[number])
                self._send(call, pool, file, made, progress)

        self._make(self._thing(volume.name), wanted, fill, replace=True)

    def revert(self, volume: VolumeSpec) -> None:
        """Make it anew beside the old one."""
        self._begin(volume, replace=True)

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """Grow the volume in place; for an encrypted one the daemon is lent the key."""
        with self._links.working() as call, saying_when_full():
            pool = self._pool(call)
            found = self._require(call, pool, name)
            header = found.header()
            if header is None:
                _when_free(lambda: lengthen(call, found.handle, size_bytes))
            elif header.virtual_bytes < size_bytes:
                if header.encrypted and not key:
                    raise StepFailed(f"{name} is encrypted, and there is no key")
                _require_format(call, pool, found.handle, QCOW2)
                with _lent(call, found.path, key if header.encrypted else b""):
                    _when_free(lambda: call(Wait.NORMAL, found.handle.resize, size_bytes))

    # Looking --------------------------------------------------------------------------------------------

    def monitor(self) -> StoreFacts:
        """The pool's own listing."""
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            folder = self._directory(call, pool)
            _, total, _, free = call(Wait.NORMAL, pool.info)
            handles = {one.name(): one for one in call(Wait.NORMAL, pool.listAllVolumes)}
            things = Things(handles)
            volumes, damaged = {}, set[str]()
            for thing, attempt in things.current().items():
                name = self._volume_name(thing)
                if name:
                    found = _Volume(call, attempt, handles[attempt.file], folder)
                    try:
                        volumes[name] = _facts(name, found)
                    except Absent:
                        continue
                    except StepFailed:
                        damaged.add(attempt.file)
        own = [match for match in map(_OWN_FILE.fullmatch, handles) if match]
        disks = [match for match in map(_OWN_DISK.fullmatch, things.current()) if match]
        known = {match[0] for match in own} | {
            file for one in things.current().values() for file in (one.file, one.mark)
        }
        return StoreFacts(
            total_bytes=total,
            free_bytes=free,
            volumes=volumes,
            instances=frozenset(match[1] for match in [*own, *disks] if (match[2] or "") == self._tag),
            images=frozenset(
                thing.removeprefix(IMAGE) for thing in things.current() if thing.startswith(IMAGE)
            ),
            strays=frozenset(handles) - known | damaged,
        )

    def sweep(self, older_than_seconds: float) -> frozenset[str]:
        """Delete what is left of attempts that are older than that by their names."""
        with self._links.working() as call:
            pool = self._pool(call)
            strays = [(name, attempt_of(name)) for name in self._things(call, pool).strays()]
            gone = frozenset(name for name, one in strays if one and one.age > older_than_seconds)
            for name in sorted(gone, reverse=True):  # marks first
                _delete(call, pool, name)
        return gone

    def volume(self, name: str) -> VolumeFacts | None:
        """By what is marked as complete."""
        with self._links.reading() as call:
            found = self._find(call, self._pool(call), name)
            return _facts(name, found) if found else None

    def path_of(self, name: str) -> str:
        """In the pool's directory."""
        with self._links.working() as call:
            return self._require(call, self._pool(call), name).path

    def name_of(self, path: str) -> str:
        """By the file's name alone."""
        attempt = attempt_of(Path(path).name)
        return self._volume_name(attempt.thing) if attempt else ""

    def disk_gib(self) -> int:
        """The pool's free space and what volumes have taken."""
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            free = call(Wait.NORMAL, pool.info)[3]
            taken = 0
            for one in call(Wait.NORMAL, pool.listAllVolumes):
                if not one.name().startswith(IMAGE):
                    with contextlib.suppress(Absent):
                        taken += call(Wait.NORMAL, one.info)[2]
            return int(free + taken) // GIB

    # Instances ------------------------------------------------------------------------------------------

    def context(self, instance_id: str, image: bytes) -> None:
        """Replace the seed: made anew under the name that a checkpoint may know, and marked when complete."""
        name = f"{self._own(instance_id)}.seed.iso"
        with self._making(name), self._links.working() as call, saying_when_full():
            pool = self._pool(call)
            if self._shared:
                _refresh(call, pool)
            self._put_marked(call, pool, name, image)

    def delete_files(self, instance_id: str) -> None:
        """Delete the instance's own volumes, rotated logs included."""
        prefix = f"{self._own(instance_id)}."
        with self._links.working() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            for name in sorted(call(Wait.NORMAL, pool.listVolumes), reverse=True):  # marks first
                if name.startswith(prefix):
                    _delete(call, pool, name)

    def files(self, instance_id: str) -> frozenset[str]:
        """The complete ones by the pool's own listing."""
        prefix = f"{self._own(instance_id)}."
        with self._links.reading() as call:
            pool = self._pool(call)
            _refresh(call, pool)
            things = Things(call(Wait.NORMAL, pool.listVolumes))
        seed, console = f"{prefix}seed.iso", f"{prefix}console.log"
        found = {thing.removeprefix(prefix) for thing in things.current() if thing.startswith(prefix)}
        found |= {SEED} if {seed, seed + COMPLETE} <= things.files else set()
        return frozenset(found | ({CONSOLE} if console in things.files else set()))

    def console(self, instance_id: str, limit: int) -> bytes:
        """The end of the log that the host's log daemon (or QEMU) writes into the pool's directory."""
        name = f"{self._own(instance_id)}.console.log"
        with self._links.reading() as call:
            pool = self._pool(call)
            volume = _volume(call, pool, name)
            if volume is None:
                _refresh(call, pool)
                volume = _volume(call, pool, name)
            if volume is None:
                return b""
            size = call(Wait.NORMAL, volume.info)[1]
            return part(call, volume, max(0, size - limit), min(limit, size))

    def layout(self, instance_id: str, disks: Sequence[DiskSpec]) -> Layout:
        """Paths in the pool's directory."""
        own = self._own(instance_id)
        with self._links.working() as call:
            pool = self._pool(call)
            folder = self._directory(call, pool)
            found = {disk.target: self._require(call, pool, disk.name) for disk in disks}
            seed = f"{own}.seed.iso"
            return Layout(
                disks={target: DiskFile(path=one.path, format=one.form) for target, one in found.items()},
                seed=f"{folder}/{seed}" if _volume(call, pool, seed) else "",
                console=f"{folder}/{own}.console.log",
            )

    def probe_disk(self) -> str:
        """The boot probe's volume."""
        content = boot_probe()
        name = f"{PROBE}-{hashlib.sha256(content).hexdigest()[:8]}"

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            upload_bytes(call, call(Wait.NORMAL, pool.createXML, raw_document(file, len(content))), content)

        self._make(name, RAW, fill)
        return self.path_of(name)

    # Images ---------------------------------------------------------------------------------------------

    def forget_image(self, checksum: str) -> bool:
        """Delete the image's volumes unless a volume's backing file is one of them.

        Its mark goes first: who links a volume to it looks for the mark once more afterwards.
        """
        thing = _image(checksum)
        with self._making(thing), self._links.working() as call:
            pool = self._pool(call)
            gone = True
            for attempt in self._things(call, pool).all_of(thing):
                if attempt.file in self._backings(call, pool):
                    gone = False
                    continue
                _delete(call, pool, attempt.mark)
                if attempt.file in self._backings(call, pool):  # linked to it just now
                    _create(call, pool, raw_document(attempt.mark, 0))
                    gone = False
                else:
                    _delete(call, pool, attempt.file)
            return gone

    def _backings(self, call: Caller, pool: libvirt.virStoragePool) -> frozenset[str]:
        """The names of files that volumes are linked to, those in the making included."""
        self._refresh_if_shared(call, pool)
        found = set()
        for volume in call(Wait.NORMAL, pool.listAllVolumes):
            attempt = attempt_of(volume.name())
            if attempt is not None and attempt.form == QCOW2:
                with contextlib.suppress(Absent):
                    found.add(Path(backing_of(call(Wait.FAST, volume.XMLDesc))).name)
        return frozenset(found)

    def _cache(self, image: ImageSource) -> None:
        """Have a complete copy of the image on the host; those who wait for it hold no connection."""

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            path = check_image(image)
            if not image.parents:
                self._send(call, pool, file, str(path), mode=self._image_mode)
                return
            with files.unnamed_file(path.parent) as (made, number):
                files.convert(files.chain_of(image), made, image.format, fds=[number])
                self._send(call, pool, file, made, mode=self._image_mode)

        check_image(image)
        thing = _image(image.checksum)
        with self._links.working() as call:
            pool = self._pool(call)
            if self._seen(call, pool).whole(thing):
                return
        self._make(thing, image.format, fill)

    def _cached(self, call: Caller, pool: libvirt.virStoragePool, image: ImageSource) -> Attempt:
        """The complete copy of the image on the host; raises _Again when it is gone again."""
        whole = Things(call(Wait.NORMAL, pool.listVolumes)).whole(_image(image.checksum))
        if not whole:
            raise _Again
        return whole[0]

    # Inside ---------------------------------------------------------------------------------------------

    def _begin(self, volume: VolumeSpec, *, replace: bool = False) -> None:
        """A volume as it begins, from its source or of zeros."""
        form, source = self._new_format(volume), volume.source
        if source is None:
            fill = self._empty(volume, form)
        elif source.encrypted or volume.key:
            fill = self._copied(volume, source, form)
        else:
            fill = self._linked(volume, source) if form == QCOW2 else self._unpacked(volume, source)
        quick = not volume.key and (source is None or (form == QCOW2 and not source.encrypted))
        cached = source if source is not None and not source.encrypted and not volume.key else None
        for left in reversed(range(TRIES)):
            if cached is not None and (replace or self.volume(volume.name) is None):
                self._cache(cached)
            try:
                self._make(self._thing(volume.name), form, fill, replace=replace, quick=quick)
            except _Again:
                if left == 0:
                    raise
            else:
                return

    def _empty(self, volume: VolumeSpec, form: str, filesystem: str = "") -> Fill:
        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            if not filesystem and not volume.key:
                document = qcow2_document if form == QCOW2 else raw_document
                call(Wait.NORMAL, pool.createXML, document(file, volume_bytes(volume)))
                return
            with files.unnamed_file() as (made, number):
                files.make_empty(made, volume, form, filesystem, fds=[number])
                self._send(call, pool, file, made)

        return fill

    def _copied(self, volume: VolumeSpec, source: ImageSource, form: str) -> Fill:
        """Made here in full and sent: nobody else has the key."""

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            with files.unnamed_file(Path(source.path).parent) as (made, number):
                files.make_copy(made, source, volume, form, fds=[number])
                self._send(call, pool, file, made)

        return fill

    def _linked(self, volume: VolumeSpec, source: ImageSource) -> Fill:
        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            base = self._cached(call, pool, source)
            path = f"{self._directory(call, pool)}/{base.file}"
            document = qcow2_document(file, volume_bytes(volume), backing=path, backing_format=source.format)
            with self._linked_to(call, pool, base):
                call(Wait.NORMAL, pool.createXML, document)

        return fill

    @contextlib.contextmanager
    def _linked_to(self, call: Caller, pool: libvirt.virStoragePool, base: Attempt) -> Iterator[None]:
        """See that an image was there all the time that it was read or linked to."""
        failure: StepFailed | None = None
        try:
            yield
        except StepFailed as error:
            failure = error
        if base not in self._things(call, pool).whole(base.thing):
            raise _Again from failure
        if failure is not None:
            raise failure

    def _unpacked(self, volume: VolumeSpec, source: ImageSource) -> Fill:
        """A raw volume with all the image's bytes, written by the host if it can be trusted to read them."""

        def fill(call: Caller, pool: libvirt.virStoragePool, file: str) -> None:
            base = self._cached(call, pool, source)
            with self._linked_to(call, pool, base):
                handle = call(Wait.FAST, pool.storageVolLookupByName, base.file)
                if source.format == RAW and _seen_format(call, pool, handle) != RAW:
                    self._send(call, pool, file, str(check_image(source)))
                else:
                    _require_format(call, pool, handle, source.format)
                    document = raw_document(file, source.virtual_bytes)
                    call(Wait.SLOW, pool.createXMLFrom, document, handle)
            made = _volume(call, pool, file)
            if made is not None:
                lengthen(call, made, volume_bytes(volume))

        return fill

    def _send(
        self,
        call: Caller,
        pool: libvirt.virStoragePool,
        file: str,
        path: str,
        progress: Progress = no_progress,
        *,
        mode: str = "",
    ) -> None:
        """A volume with a file's bytes; libvirt takes it for raw until it has looked at them."""
        there = os.stat(path)  # noqa: PTH116 - of a descriptor's path
        _require_space(call, pool, there.st_blocks * 512)
        document = raw_document(file, there.st_size, mode=mode)
        upload(call, call(Wait.NORMAL, pool.createXML, document), path, progress)

    def _make(self, thing: str, form: str, fill: Fill, *, replace: bool = False, quick: bool = False) -> None:
        """Have a thing made; a complete one is left alone, or replaced at the end.

        ``quick`` ones do not wait for others' long copies.
        """
        lent = self._links.working if quick else self._links.copying
        with self._making(thing), self._sighted(), lent() as call, saying_when_full():
            pool = self._pool(call)
            for left in reversed(range(TRIES)):
                things = Things(call(Wait.NORMAL, pool.listVolumes))
                if not things.whole(thing) and (things.all_of(thing) or thing.startswith(IMAGE)):
                    things = self._looked_again(call, pool, thing)
                if not replace and things.whole(thing):
                    return
                self._clear(call, pool, things, thing)
                attempt = new_attempt(thing, form)
                try:
                    fill(call, pool, attempt.file)
                    if self._publish(call, pool, attempt, replace=replace):
                        return
                except StepFailed as error:
                    with contextlib.suppress(StepFailed):
                        _delete(call, pool, attempt.file)
                    # Absent: who took this attempt for left over may not have begun another yet.
                    others = isinstance(error, Absent) or self._later(call, pool, attempt)
                    if isinstance(error, _Again) or left == 0 or not others:
                        raise
                if self._made_by_others(call, pool, attempt):
                    return
            raise StepFailed(f"{thing}: somebody else is making it at the same time", transient=True)

    def _later(self, call: Caller, pool: libvirt.virStoragePool, mine: Attempt) -> list[Attempt]:
        """Attempts at the same thing that began after this one, and have taken it for left over."""
        return [one for one in self._things(call, pool).all_of(mine.thing) if one.number > mine.number]

    def _made_by_others(self, call: Caller, pool: libvirt.virStoragePool, mine: Attempt) -> bool:
        """Wait for a later attempt as long as it makes headway; whether it was completed."""
        seen, patience = -1, OTHERS_PATIENCE
        while (later := self._later(call, pool, mine)) and patience > 0:
            if any(one in self._things(call, pool).whole(mine.thing) for one in later):
                return True
            time.sleep(REFRESH_PAUSE)
            with contextlib.suppress(StepFailed):
                handle = _volume(call, pool, later[-1].file)
                there = call(Wait.NORMAL, handle.info)[2] if handle else -1
                seen, patience = there, OTHERS_PATIENCE if there != seen else patience - REFRESH_PAUSE
        return False

    def _publish(self, call: Caller, pool: libvirt.virStoragePool, mine: Attempt, *, replace: bool) -> bool:
        """Mark an attempt as complete; whether the thing is now there as it was to be."""
        others = Things(call(Wait.NORMAL, pool.listVolumes)).whole(mine.thing)
        if others and not replace:
            _delete(call, pool, mine.file)
            return True
        _create(call, pool, raw_document(mine.mark, 0))
        things = self._things(call, pool)
        if mine.file not in things.files:  # a later attempt took it for left over
            _delete(call, pool, mine.mark)
            return bool(things.whole(mine.thing)) and not replace
        older = [other for other in things.whole(mine.thing) if other.number < mine.number]
        for superfluous in older if replace else [mine] * bool(older):
            _remove(call, pool, superfluous)
        return True

    def _looked_again(self, call: Caller, pool: libvirt.virStoragePool, thing: str) -> Things:
        """What there is, by a new look at the directory, before something is taken for absent or left over.

        Daemons look again by themselves after uploads, and a look that meets a file which is just being made
        may end early: until the next one its list lacks files that are there.
        """
        until = time.monotonic() + REFRESH_SECONDS
        while True:
            looked = _refresh(call, pool, REFRESH_PAUSE)
            things = Things(call(Wait.NORMAL, pool.listVolumes))
            if looked or things.whole(thing) or time.monotonic() > until:
                return things

    def _clear(self, call: Caller, pool: libvirt.virStoragePool, things: Things, thing: str) -> None:
        """Delete what attempts at a thing left: they were interrupted, or are slower than the next one."""
        whole = things.whole(thing)
        for attempt in things.all_of(thing):
            if attempt not in whole[:1]:
                _remove(call, pool, attempt)

    def _put_marked(self, call: Caller, pool: libvirt.virStoragePool, name: str, content: bytes) -> None:
        _delete(call, pool, name + COMPLETE)
        _delete(call, pool, name)
        volume = call(Wait.NORMAL, pool.createXML, raw_document(name, len(content)))
        upload_bytes(call, volume, content)
        _create(call, pool, raw_document(name + COMPLETE, 0))

    def _find(self, call: Caller, pool: libvirt.virStoragePool, name: str) -> _Volume | None:
        thing = self._thing(name)
        whole = self._seen(call, pool).whole(thing)
        handle = _volume(call, pool, whole[0].file) if whole else None
        return _Volume(call, whole[0], handle, self._directory(call, pool)) if handle else None

    def _require(self, call: Caller, pool: libvirt.virStoragePool, name: str) -> _Volume:
        found = self._find(call, pool, name)
        if found is None:
            self._looked_again(call, pool, self._thing(name))
            found = self._find(call, pool, name)
        if found is None:
            raise Absent(f"there is no volume {name} on this host")
        return found

    def _things(self, call: Caller, pool: libvirt.virStoragePool) -> Things:
        """What there is, other hosts' things included."""
        self._refresh_if_shared(call, pool)
        return Things(call(Wait.NORMAL, pool.listVolumes))

    def _seen(self, call: Caller, pool: libvirt.virStoragePool) -> Things:
        """What there is for who only reads: what the daemon knows when it is too busy to look."""
        if self._shared:
            _refresh(call, pool, REFRESH_PAUSE)
        return Things(call(Wait.NORMAL, pool.listVolumes))

    def _refresh_if_shared(self, call: Caller, pool: libvirt.virStoragePool) -> None:
        """Have this daemon see what other hosts did; without them it knows of everything itself."""
        if self._shared and not _refresh(call, pool, Wait.PART.value):
            raise StepFailed("The pool is busy with other copies.", transient=True)

    @contextlib.contextmanager
    def _sighted(self) -> Iterator[None]:
        """See what other hosts did before an act that depends on it.

        A daemon does not look while it copies a volume itself, which may take long: who waits for that holds
        no connection.
        """
        until = time.monotonic() + Wait.SLOW.value
        while self._shared:
            with self._links.working() as call:
                if _refresh(call, self._pool(call), 0):
                    break
            if time.monotonic() > until:
                raise StepFailed("The pool is busy with other copies.", transient=True)
            time.sleep(REFRESH_PAUSE)
        yield

    def _new_format(self, volume: VolumeSpec) -> str:
        """The host's format, but only qcow2 holds encrypted bytes."""
        return QCOW2 if volume.key else self._form

    def _own(self, instance_id: str) -> str:
        return safe_name(instance_id) + self._tag

    def _thing(self, name: str) -> str:
        """What a volume is called in the pool."""
        owner, target = own_disk(name)
        return f"{owner}{self._tag}.{target}" if owner else safe_volume(name)

    def _volume_name(self, thing: str) -> str:
        """What the pool's thing is called outside; empty for what is no volume, or another host's."""
        match = _OWN_DISK.fullmatch(thing)
        if match:
            return f"{match[1]}.{match[3]}" if (match[2] or "") == self._tag else ""
        return "" if thing.startswith((IMAGE, PROBE)) else thing

    def _pool(self, call: Caller) -> libvirt.virStoragePool:
        """The pool, running: defined, built and started as needed."""
        with contextlib.suppress(Absent):
            pool = call(Wait.FAST, call.connection.storagePoolLookupByName, self._name)
            if call(Wait.FAST, pool.isActive):
                return pool
        with self._making(self._path):
            return self._started_pool(call)

    def _started_pool(self, call: Caller) -> libvirt.virStoragePool:
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


def _facts(name: str, found: _Volume) -> VolumeFacts:
    header = found.header()
    info = found.call(Wait.NORMAL, found.handle.info)
    physical = found.call(Wait.NORMAL, found.handle.infoFlags, libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)
    return VolumeFacts(
        name=name,
        format=found.form,
        virtual_bytes=header.virtual_bytes if header else physical[2],
        allocated_bytes=info[2],
    )


def _image(checksum: str) -> str:
    return f"{IMAGE}{safe_name(checksum)}"


def _volume(call: Caller, pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    try:
        return call(Wait.FAST, pool.storageVolLookupByName, name)
    except Absent:
        return None


def _create(call: Caller, pool: libvirt.virStoragePool, document: str) -> None:
    with contextlib.suppress(AlreadyThere):
        call(Wait.NORMAL, pool.createXML, document)


def _remove(call: Caller, pool: libvirt.virStoragePool, attempt: Attempt) -> None:
    _delete(call, pool, attempt.mark)
    _delete(call, pool, attempt.file)


def _delete(call: Caller, pool: libvirt.virStoragePool, name: str) -> None:
    volume = _volume(call, pool, name)
    if volume is not None:
        with contextlib.suppress(Absent):
            _when_free(lambda: call(Wait.NORMAL, volume.delete))


def _when_free(act: Callable[[], object]) -> None:
    """Act on a volume, which libvirt refuses while its bytes come or go."""
    for left in reversed(range(FREE_TRIES)):
        try:
            act()
        except Absent:
            raise
        except StepFailed as error:
            if not any(words in str(error) for words in _NOT_FREE):
                raise
            if left == 0:
                raise StepFailed(str(error), transient=True) from error
            time.sleep(REFRESH_PAUSE)
        else:
            return


def _refresh(call: Caller, pool: libvirt.virStoragePool, patience: float = REFRESH_SECONDS) -> bool:
    """Make the pool see files that came without it; it refuses while bytes come in. Whether it did."""
    until = time.monotonic() + patience
    while True:
        try:
            call(Wait.NORMAL, pool.refresh)
        except StepFailed as error:
            if "asynchronous jobs" not in str(error):
                raise
            if time.monotonic() > until:
                return False
            time.sleep(REFRESH_PAUSE)
        else:
            return True


def _require_space(call: Caller, pool: libvirt.virStoragePool, size: int) -> None:
    """Do not begin to send what there is no room for: libvirt may leave the stream hanging."""
    if _refresh(call, pool) and call(Wait.NORMAL, pool.info)[3] < size:
        raise StepFailed(f"{NO_SPACE}: {size} bytes are needed", transient=True)


def _seen_format(call: Caller, pool: libvirt.virStoragePool, volume: libvirt.virStorageVol) -> str:
    """What libvirt takes a volume for; after an upload it has to look again."""
    _refresh(call, pool)
    return format_of(call(Wait.FAST, volume.XMLDesc))


def _require_format(
    call: Caller, pool: libvirt.virStoragePool, volume: libvirt.virStorageVol, form: str
) -> None:
    """See that libvirt will read a volume as what it is."""
    if format_of(call(Wait.FAST, volume.XMLDesc)) != form and _seen_format(call, pool, volume) != form:
        raise StepFailed(f"libvirt does not see that {volume.name()} is {form}", transient=True)


@contextlib.contextmanager
def _lent(call: Caller, path: str, key: bytes) -> Iterator[None]:
    """Let the daemon have a volume's key while a call needs it."""
    if not key:
        yield
        return
    with contextlib.ExitStack() as defined:
        secret = _secret(call, path)
        defined.callback(call, Wait.FAST, secret.undefine)
        call(Wait.FAST, secret.setValue, key)
        yield


def _secret(call: Caller, path: str) -> libvirt.virSecret:
    try:  # left by a process that was killed
        usage = libvirt.VIR_SECRET_USAGE_TYPE_VOLUME
        return call(Wait.FAST, call.connection.secretLookupByUsage, usage, path)
    except StepFailed:
        return call(Wait.FAST, call.connection.secretDefineXML, secret_document(path))
