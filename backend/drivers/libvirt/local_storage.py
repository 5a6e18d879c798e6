"""Storage of the embedded driver, which has no pools: a directory of ours, and ``qemu-img``.

``volumes/NAME.FORMAT`` are volumes and copies; ``images/CHECKSUM.FORMAT`` read-only copies of images, which
volumes are linked to; ``instances/ID/`` holds an instance's own disks, seed and console log.

Everything is written as ``FILE.partial`` and renamed, by whoever holds the lock ``NAME.lock``: of those who
do the same at once, be it from several hosts that share the directory, all but one wait. A killed process
loses its lock, and what it left is replaced by the next who holds it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from backend.drivers.libvirt import storage_files as files
from backend.drivers.libvirt.boot_probe import boot_probe
from backend.drivers.libvirt.connection import Wait
from backend.drivers.libvirt.domain_xml import DiskFile, Layout
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.drivers.libvirt.storage import (
    CONSOLE,
    FORMATS,
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
from backend.drivers.libvirt.storage_locks import LOCK, failed, in_use, locked
from backend.ports import (
    DiskSpec,
    HostSilent,
    ImageSource,
    Progress,
    StepFailed,
    StoreFacts,
    VolumeFacts,
    VolumeSpec,
    no_progress,
)

PARTIAL: Final = ".partial"
COPYING: Final = ".copying"
SEED_FILE: Final = "seed.iso"
CONSOLE_FILE: Final = "console.log"
PRIVATE: Final = 0o600
"""Permissions of guests' disks and seeds: QEMU runs as the owner of every file here."""
CONSOLE_MOST: Final = 4 << 20
CONSOLE_KEPT: Final = 1 << 20
_DISK: Final = re.compile(rf"(.+)\.({'|'.join(sorted(FORMATS))})")


@dataclasses.dataclass
class Survey:
    """What lies in the directories: volumes by name, instances, images' checksums, and strays' paths."""

    volumes: dict[str, VolumeFacts] = dataclasses.field(default_factory=dict)
    instances: set[str] = dataclasses.field(default_factory=set)
    images: set[str] = dataclasses.field(default_factory=set)
    strays: dict[str, Path] = dataclasses.field(default_factory=dict)


class LocalStorage:
    """Files below one directory of this machine.

    ``logs`` is where QEMU's own log of each domain lies. A directory that several hosts share has the volumes
    and images; ``own`` is then where this host's instances have their files. ``form`` is that of new volumes.
    """

    def __init__(
        self, directory: Path, logs: Path | None = None, *, own: Path | None = None, form: str = QCOW2
    ) -> None:
        self._logs = logs
        self._form = form
        self._directory = directory
        self._images = directory / "images"
        self._volumes = directory / "volumes"
        self._own = own or directory
        self._instances = self._own / "instances"
        self._probe = self._own / "boot-probe.img"
        for folder in (self._images, self._volumes, self._instances):
            with contextlib.suppress(OSError):  # made when it is needed, or the act says why it cannot be
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_mode & 0o077:  # made by an earlier version
                    folder.chmod(0o700)

    # Volumes --------------------------------------------------------------------------------------------

    def clone(self, volume: VolumeSpec) -> None:
        """A qcow2 on top of the cached image: milliseconds, whatever its size. Raw hosts copy."""
        if volume.source is None:
            raise StepFailed(f"{volume.name} has no source to clone")
        self._make(volume, self._new_format(volume), self._begin)

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """An empty file, or one with an empty file system."""

        def begin(partial: Path, form: str, lock: int) -> None:
            files.make_empty(str(partial), volume, form, filesystem, folder=partial.parent, fds=[lock])

        self._make(volume, self._new_format(volume), lambda _volume, *place: begin(*place))

    def mkswap(self, volume: VolumeSpec) -> None:
        """A file with the signature of swap space."""
        self.mkimage(volume, "swap")

    def ln(self, name: str) -> None:
        """Look at the volume's header, and at the image that it is linked to."""
        found = self._require(name)
        if found.format == QCOW2:
            header = files.require_qcow2(Path(found.path))
            if header.backing and not Path(found.path).parent.joinpath(header.backing).exists():
                raise StepFailed(f"{name}: the image that it is linked to is not there")

    def delete(self, name: str) -> None:
        """Remove the volume's file, and what attempts at it left, be it the lock of a process that died."""
        file = self._folder_of(name) / name
        if not any(path.exists() for path in (*self._all_of(name), file.with_name(file.name + LOCK))):
            return
        with locked(file):
            for path in self._all_of(name):
                _unlink(path)

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """A new qcow2: encrypted ones are copied as they are, others without what they were linked to."""
        source = self._at_rest(name)
        header = files.require_qcow2(Path(source.path)) if source.format == QCOW2 else None
        encrypted = header is not None and header.encrypted
        if header is not None and encrypted and header.backing:
            raise StepFailed(f"{name} is encrypted and refers to another file")
        if key and not encrypted:
            raise StepFailed(f"{name} is not encrypted")

        def begin(_copy: VolumeSpec, partial: Path, _form: str, lock: int) -> None:
            if encrypted:
                files.copy_file(source.path, str(partial))
            else:
                files.convert(files.linked(source.path, source.format), str(partial), QCOW2, fds=[lock])

        self._make(VolumeSpec(name=copy, size_bytes=0), QCOW2, begin, replace=True)

    def begin_copy(self, volume: VolumeSpec) -> str:
        """An empty qcow2 beside where the copy will be."""
        path = self._copying(volume.name)
        with locked(self._folder_of(volume.name) / volume.name) as lock:
            _unlink(path)
            files.make_empty(str(path), volume, QCOW2, fds=[lock])
            path.chmod(PRIVATE)
        return str(path)

    def end_copy(self, name: str) -> None:
        """Rename what QEMU has written."""
        path = self._copying(name)
        with locked(self._folder_of(name) / name):
            if path.exists():
                files.require_qcow2(path)
                _publish(path, self._path(name, QCOW2))
            elif self._find(name) is None:
                raise StepFailed(f"no copy {name} was begun")

    def drop_copy(self, name: str) -> None:
        """Remove what QEMU has written."""
        path = self._copying(name)
        if path.exists():
            with locked(self._folder_of(name) / name):
                _unlink(path)

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """Copy the file; one that refers to another is refused."""
        found = self._at_rest(name)
        if found.format == QCOW2 and files.require_qcow2(Path(found.path)).backing:
            raise StepFailed(f"{name} is not self-contained")
        _unlink(Path(path))
        files.copy_file(found.path, path, progress)

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:
        """Copy the file in, or convert it when this host's volumes have another format."""
        header = files.incoming(path, form, volume.key)
        wanted = self._new_format(volume)

        def begin(_volume: VolumeSpec, partial: Path, made: str, lock: int) -> None:
            if files.as_it_is(header, made, volume.key):
                files.copy_file(path, str(partial), progress)
            else:
                key = volume.key if header is not None and header.encrypted else b""
                files.convert(
                    files.plain(path, form),
                    str(partial),
                    made,
                    source_key=key,
                    target_key=volume.key,
                    fds=[lock],
                    progress=progress,
                )
            files.grow(str(partial), volume.size_bytes, made, key=volume.key, fds=[lock])

        self._make(volume, wanted, begin, replace=True)
        size = Path(path).stat().st_size
        progress(size, size)

    def revert(self, volume: VolumeSpec) -> None:
        """Make it anew beside the old one, and rename."""
        if self._find(volume.name) is not None:
            self._at_rest(volume.name)
        self._make(volume, self._new_format(volume), self._begin, replace=True)

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """Grow the file in place, which either format allows at any moment."""
        found = self._require(name)
        facts = self._facts(name, found)
        if facts is not None and facts.virtual_bytes >= size_bytes:
            return
        self._at_rest(name)
        with locked(self._folder_of(name) / name) as lock:
            files.grow(found.path, size_bytes, found.format, key=key, fds=[lock])

    # Looking --------------------------------------------------------------------------------------------

    def monitor(self) -> StoreFacts:
        """What the directories list."""
        disk = shutil.disk_usage(self._directory)
        survey = self._survey()
        return StoreFacts(
            total_bytes=disk.total,
            free_bytes=disk.free,
            volumes=survey.volumes,
            instances=frozenset(survey.instances),
            images=frozenset(survey.images),
            strays=frozenset(survey.strays),
        )

    def sweep(self, older_than_seconds: float) -> frozenset[str]:
        """Remove temporary files, and locks that nobody holds."""
        until = time.time() - older_than_seconds
        gone = set()
        for name, path in self._survey().strays.items():
            with contextlib.suppress(OSError, HostSilent, StepFailed):
                if path.stat().st_mtime > until:
                    continue
                with locked(_locked_name(path), patience=0):
                    if not in_use(path):
                        path.unlink()  # a lock goes, too, held until it is gone
                        gone.add(name)
        return frozenset(gone)

    def _survey(self) -> Survey:
        found = Survey()
        for path in _listing(self._images):
            match = _DISK.fullmatch(path.name)
            if match:
                found.images.add(match[1])
            else:
                found.strays[f"images/{path.name}"] = path
        for path in _listing(self._volumes):
            self._note(found, path, "", f"volumes/{path.name}")
        for folder, prefix in self._instance_folders():
            found.instances.add(folder.name)
            for path in _listing(folder):
                if path.name not in {SEED_FILE, CONSOLE_FILE}:
                    self._note(found, path, prefix, f"instances/{folder.name}/{path.name}")
        return found

    def _note(self, found: Survey, path: Path, prefix: str, where: str) -> None:
        match = _DISK.fullmatch(path.name)
        name = prefix + match[1] if match else ""
        facts = self._facts(name, DiskFile(path=str(path), format=match[2])) if match else None
        if facts is not None:
            found.volumes[name] = facts
        elif path.exists():
            found.strays[where] = path

    def volume(self, name: str) -> VolumeFacts | None:
        """By the file under its final name."""
        found = self._find(name)
        return self._facts(name, found) if found else None

    def path_of(self, name: str) -> str:
        """Below the directory."""
        return self._require(name).path

    def name_of(self, path: str) -> str:
        """By the file's name and folder."""
        match = _DISK.fullmatch(Path(path).name)
        folder = Path(path).parent
        if match is None:
            return ""
        if folder.parent.name == self._instances.name:
            return f"{folder.name}.{match[1]}"
        return match[1] if folder.name == self._volumes.name else ""

    def disk_gib(self) -> int:
        """Free space and what the volumes' and instances' files have taken."""
        folders = [self._volumes, self._instances]
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        taken = 0
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                taken += path.stat().st_blocks * 512
        return (shutil.disk_usage(self._directory).free + taken) // GIB

    # Instances ------------------------------------------------------------------------------------------

    def context(self, instance_id: str, image: bytes) -> None:
        """Write the seed; one that a guest has open keeps its old content."""
        path = self._folder(instance_id) / SEED_FILE
        with locked(path), _published(path) as partial:
            partial.touch(PRIVATE)
            partial.write_bytes(image)

    def delete_files(self, instance_id: str) -> None:
        """Remove the instance's directory, and what QEMU said while it ran."""
        try:
            shutil.rmtree(self._folder(instance_id))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise failed(instance_id, error) from error
        if self._logs is not None:
            _unlink(self._logs / f"{safe_name(instance_id)}.log")

    def files(self, instance_id: str) -> frozenset[str]:
        """What is there under its final name."""
        special = {SEED_FILE: SEED, CONSOLE_FILE: CONSOLE}
        names = [path.name for path in _listing(self._folder(instance_id))]
        disks = {match[1] for match in map(_DISK.fullmatch, names) if match}
        return frozenset(disks | {special[name] for name in names if name in special})

    def console(self, instance_id: str, limit: int) -> bytes:
        """The end of the log that QEMU itself writes."""
        try:
            with (self._folder(instance_id) / CONSOLE_FILE).open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - limit))
                end = log.read(limit)
        except FileNotFoundError:
            return b""
        if size > CONSOLE_MOST:
            _forget_beginning(Path(log.name), size - CONSOLE_KEPT)
        return end

    def layout(self, instance_id: str, disks: Sequence[DiskSpec]) -> Layout:
        """The volumes' files; the instance's directory is made for the console's log."""
        folder = self._folder(instance_id)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise failed(instance_id, error) from error
        seed = folder / SEED_FILE
        return Layout(
            disks={disk.target: self._require(disk.name) for disk in disks},
            seed=str(seed) if seed.exists() else "",
            console=str(folder / CONSOLE_FILE),
        )

    def probe_disk(self) -> str:
        """The boot probe's file."""
        with locked(self._probe), _published(self._probe) as partial:
            partial.write_bytes(boot_probe())
        return str(self._probe)

    # Images ---------------------------------------------------------------------------------------------

    def forget_image(self, checksum: str) -> bool:
        """Remove the cached copy unless a volume's header names it."""
        name = safe_name(checksum)
        paths = [self._images / f"{name}.{form}" for form in sorted(FORMATS)]
        paths += [path.with_name(path.name + PARTIAL) for path in paths]
        if not any(path.exists() for path in paths):
            return True
        with locked(self._images / name):
            used = {os.path.realpath(backing) for backing in self._backings()}
            if any(os.path.realpath(path) in used for path in paths):
                return False
            for path in paths:
                _unlink(path)
        return True

    def _backings(self) -> Iterator[str]:
        """The files that volumes are linked to, those in the making included."""
        for folder in (self._volumes, *(folder for folder, _ in self._instance_folders())):
            for path in _listing(folder):
                with contextlib.suppress(OSError):
                    header = read_qcow2(path)
                    if header is not None and header.backing:
                        yield str(path.parent / header.backing)

    @contextlib.contextmanager
    def _cached(self, image: ImageSource) -> Iterator[Path]:
        """The host's own name for the image's bytes, which stay there meanwhile; made when they are not."""
        name = safe_name(image.checksum)
        path = self._images / f"{name}.{image.format}"
        source = check_image(image)
        while True:
            with locked(self._images / name, shared=True):
                if path.exists():
                    yield path
                    return
            with locked(self._images / name) as lock:
                if path.exists():
                    continue
                with _published(path) as partial:
                    if image.parents:
                        files.convert(files.chain_of(image), str(partial), image.format, fds=[lock])
                    else:
                        _reproduce(source, partial)
                    if partial.stat().st_nlink == 1:  # else its permissions are the image store's affair
                        partial.chmod(0o400)

    # Inside ---------------------------------------------------------------------------------------------

    def _begin(self, volume: VolumeSpec, partial: Path, form: str, lock: int) -> None:
        """A volume as it begins, from its source or of zeros."""
        source = volume.source
        if source is None:
            files.make_empty(str(partial), volume, form, fds=[lock])
        elif source.encrypted or volume.key:
            files.make_copy(str(partial), source, volume, form, fds=[lock])
        elif form == QCOW2:
            with self._cached(source) as base:
                files.create_linked(str(partial), volume_bytes(volume), base, source.format, fds=[lock])
        else:
            with self._cached(source) as base:
                image = base.open("rb")
            with image:
                cached = f"/proc/self/fd/{image.fileno()}"
                if source.format == RAW:
                    files.copy_file(cached, str(partial))
                else:
                    fds = [lock, image.fileno()]
                    files.convert(files.plain(cached, source.format), str(partial), form, fds=fds)
            files.grow(str(partial), volume_bytes(volume), form)

    def _make(
        self,
        volume: VolumeSpec,
        form: str,
        begin: Callable[[VolumeSpec, Path, str, int], None],
        *,
        replace: bool = False,
    ) -> None:
        """Have a volume made, by one at a time; one that is there is left alone or replaced at the end."""
        if not replace and self._find(volume.name) is not None:
            return
        with locked(self._folder_of(volume.name) / volume.name) as lock:
            there = self._find(volume.name)
            if there is not None and not replace:
                return
            path = self._path(volume.name, form)
            with _published(path) as partial:
                begin(volume, partial, form, lock)
                partial.chmod(PRIVATE)
                if there is not None:
                    self._at_rest(volume.name)
            for other in FORMATS - {form}:
                _unlink(self._path(volume.name, other))

    def _new_format(self, volume: VolumeSpec) -> str:
        """The host's format, but only qcow2 holds encrypted bytes."""
        return QCOW2 if volume.key else self._form

    def _folder(self, instance_id: str) -> Path:
        return self._instances / safe_name(instance_id)

    def _folder_of(self, name: str) -> Path:
        owner, _ = own_disk(name)
        return self._folder(owner) if owner else self._volumes

    def _path(self, name: str, form: str) -> Path:
        owner, target = own_disk(name)
        return self._folder_of(name) / f"{target if owner else safe_volume(name)}.{form}"

    def _copying(self, name: str) -> Path:
        path = self._path(name, QCOW2)
        return path.with_name(path.name + COPYING)

    def _all_of(self, name: str) -> list[Path]:
        paths = [self._path(name, form) for form in sorted(FORMATS)]
        partials = [path.with_name(path.name + PARTIAL) for path in paths]
        return [*paths, *partials, self._copying(name)]

    def _find(self, name: str) -> DiskFile | None:
        for form in (self._form, *sorted(FORMATS - {self._form})):
            path = self._path(name, form)
            if path.exists():
                return DiskFile(path=str(path), format=form)
        return None

    def _require(self, name: str) -> DiskFile:
        found = self._find(name)
        if found is None:
            raise StepFailed(f"there is no volume {name} on this host")
        return found

    def _at_rest(self, name: str) -> DiskFile:
        found = self._require(name)
        try:
            used = in_use(Path(found.path))
        except OSError as error:
            raise failed(name, error) from error
        if used:
            raise StepFailed(f"{name} is in use")
        return found

    def _facts(self, name: str, file: DiskFile) -> VolumeFacts | None:
        path = Path(file.path)
        try:
            there = path.stat()
            header = read_qcow2(path) if file.format == QCOW2 else None
        except FileNotFoundError:
            return None
        if file.format == QCOW2 and header is None:
            return None
        return VolumeFacts(
            name=name,
            format=file.format,
            virtual_bytes=header.virtual_bytes if header else there.st_size,
            allocated_bytes=there.st_blocks * 512,
        )

    def _instance_folders(self) -> list[tuple[Path, str]]:
        return [(path, f"{path.name}.") for path in _listing(self._instances) if path.is_dir()]


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _locked_name(path: Path) -> Path:
    """The name that is locked by whoever makes a temporary file, or whose lock it is."""
    base = path.name.removesuffix(PARTIAL).removesuffix(COPYING).removesuffix(LOCK)
    match = _DISK.fullmatch(base)
    return path.with_name(match[1] if match else base)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise failed(path.name, error) from error


def _forget_beginning(path: Path, length: int) -> None:
    """Give the disk space of a console log's beginning back; a guest must not be able to fill the disk.

    A hole, not a shorter file: QEMU goes on writing where it was.
    """
    if path.stat().st_blocks * 512 > CONSOLE_MOST:
        hole = ["fallocate", "--punch-hole", "--offset", "0", "--length", str(length), str(path)]
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # not every file system can
            subprocess.run(hole, check=True, capture_output=True, timeout=Wait.NORMAL.value)


def _reproduce(source: Path, target: Path) -> None:
    """The same bytes under another name, as cheaply as the file systems allow."""
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            fcntl.ioctl(writer.fileno(), files.FICLONE, reader.fileno())
    except OSError:
        target.unlink(missing_ok=True)
    else:
        return
    there = source.stat()
    # Else QEMU might not be allowed to read it, or might be allowed to write into it.
    if there.st_uid == os.geteuid() and not there.st_mode & 0o222:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    files.copy_file(str(source), str(target))


@contextlib.contextmanager
def _published(path: Path) -> Iterator[Path]:
    """A temporary name to write to, renamed to the final one on success and removed on failure.

    The lock of the path's name is held; what is there under the temporary name is left over.
    """
    partial = path.with_name(f"{path.name}{PARTIAL}")
    try:
        partial.unlink(missing_ok=True)
        yield partial
        _publish(partial, path)
    except OSError as error:
        raise failed(path.name, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _publish(partial: Path, path: Path) -> None:
    """Have the bytes on the disk, and then the name."""
    for one in (partial, path.parent):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if one is partial:
            partial.replace(path)
