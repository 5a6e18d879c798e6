"""Storage of the embedded driver, which has no pools: a directory of ours, and ``qemu-img``.

``images/CHECKSUM.FORMAT`` are read-only copies of images; ``instances/ID/`` holds an instance's disks, seed
and console log. Everything is written under a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from backend.drivers.libvirt.boot_probe import boot_probe
from backend.drivers.libvirt.connection import Wait
from backend.drivers.libvirt.domain_xml import Layout
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.drivers.libvirt.storage import CONSOLE, GIB, SEED, check_image, disk_bytes, safe_name
from backend.ports import DiskSpec, HostSilent, ImageSource, StepFailed

FICLONE: Final = 0x40049409
PARTIAL: Final = ".partial"
DISK_SUFFIX: Final = ".qcow2"
SEED_FILE: Final = "seed.iso"
CONSOLE_FILE: Final = "console.log"
CONSOLE_MOST: Final = 4 << 20
CONSOLE_KEPT: Final = 1 << 20


class LocalStorage:
    """Files below one directory of this machine. ``logs`` is where QEMU's own log of each domain lies."""

    def __init__(self, directory: Path, logs: Path | None = None) -> None:
        self._logs = logs
        self._images = directory / "images"
        self._instances = directory / "instances"
        self._probe = directory / "boot-probe.img"
        self._image_lock = threading.Lock()
        for folder in (self._images, self._instances):
            folder.mkdir(parents=True, exist_ok=True)

    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """A qcow2 on top of the cached image: milliseconds, whatever its size."""
        if disk.image is None:
            raise StepFailed(f"disk {disk.target} has no image to clone")
        path = self._disk(instance_id, disk.target)
        if path.exists():
            return
        with self._image_lock:
            base = self._cached(disk.image)
            _create(path, disk_bytes(disk), backing=base, backing_format=disk.image.format)

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """An empty qcow2."""
        path = self._disk(instance_id, disk.target)
        if not path.exists():
            _create(path, disk_bytes(disk))

    def context(self, instance_id: str, image: bytes) -> None:
        """Write the seed; one that a guest has open keeps its old content."""
        with _published(self._folder(instance_id) / SEED_FILE) as partial:
            partial.write_bytes(image)

    def delete(self, instance_id: str) -> None:
        """Remove the instance's directory, and what QEMU said while it ran."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder(instance_id))
        if self._logs is not None:
            (self._logs / f"{safe_name(instance_id)}.log").unlink(missing_ok=True)

    def files(self, instance_id: str) -> frozenset[str]:
        """What is there under its final name."""
        try:
            names = [path.name for path in self._folder(instance_id).iterdir()]
        except FileNotFoundError:
            return frozenset()
        special = {SEED_FILE: SEED, CONSOLE_FILE: CONSOLE}
        disks = {name.removesuffix(DISK_SUFFIX) for name in names if name.endswith(DISK_SUFFIX)}
        return frozenset(disks | {special[name] for name in names if name in special})

    def forget_image(self, checksum: str) -> None:
        """Remove the cached copy unless a disk's header names it."""
        with self._image_lock:
            used = {os.path.realpath(backing) for backing in self._backings()}
            for path in self._images.glob(f"{safe_name(checksum)}.*"):
                if os.path.realpath(path) not in used:
                    path.unlink(missing_ok=True)

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

    def layout(self, instance_id: str, targets: Iterable[str]) -> Layout:
        """Paths below the instance's directory, which is made for the console's log."""
        folder = self._folder(instance_id)
        folder.mkdir(parents=True, exist_ok=True)
        seed = folder / SEED_FILE
        return Layout(
            disks={target: str(self._disk(instance_id, target)) for target in targets},
            seed=str(seed) if seed.exists() else "",
            console=str(folder / CONSOLE_FILE),
        )

    def probe_disk(self) -> str:
        """The boot probe's file."""
        with _published(self._probe) as partial:
            partial.write_bytes(boot_probe())
        return str(self._probe)

    def disk_gib(self) -> int:
        """Free space and what the instances' files have taken."""
        taken = sum(path.stat().st_blocks * 512 for path in self._instances.rglob("*") if path.is_file())
        return (shutil.disk_usage(self._instances).free + taken) // GIB

    def _folder(self, instance_id: str) -> Path:
        return self._instances / safe_name(instance_id)

    def _disk(self, instance_id: str, target: str) -> Path:
        return self._folder(instance_id) / f"{safe_name(target)}{DISK_SUFFIX}"

    def _backings(self) -> Iterator[str]:
        for path in self._instances.glob(f"*/*{DISK_SUFFIX}"):
            with contextlib.suppress(OSError):
                header = read_qcow2(path)
                if header is not None and header.backing:
                    yield header.backing

    def _cached(self, image: ImageSource) -> Path:
        """The host's own name for the image's bytes: a shared extent, a link, or a copy."""
        path = self._images / f"{safe_name(image.checksum)}.{image.format}"
        source = check_image(image)
        if not path.exists():
            with _published(path) as partial:
                _reproduce(source, partial)
        return path


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
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
    except OSError:
        target.unlink(missing_ok=True)
    else:
        return
    if source.stat().st_uid == os.geteuid():  # else QEMU might not be allowed to read it
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _create(path: Path, size: int, *, backing: Path | None = None, backing_format: str = "") -> None:
    base = ["-b", str(backing), "-F", backing_format] if backing else []
    with _published(path) as partial:
        _qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=1.1", *base, str(partial), str(size))


def _qemu_img(*arguments: str) -> None:
    try:
        subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, timeout=Wait.NORMAL.value)
    except subprocess.CalledProcessError as error:
        raise StepFailed(f"qemu-img: {error.stderr.decode(errors='replace').strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise HostSilent("qemu-img does not come back; the disk may be hung") from error
    except FileNotFoundError as error:
        raise StepFailed("qemu-img is not installed") from error


@contextlib.contextmanager
def _published(path: Path) -> Iterator[Path]:
    """A temporary name to write to, renamed to the final one on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise StepFailed(f"{path.name}: {error.strerror}", transient=True) from error
    finally:
        partial.unlink(missing_ok=True)
