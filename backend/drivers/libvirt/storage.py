"""What the driver needs of a host's storage, and the simulated one that has none."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from backend.drivers.libvirt.domain_xml import Layout
from backend.drivers.libvirt.qcow2 import read_qcow2
from backend.ports import DiskSpec, ImageSource, StepFailed

GIB: Final = 1024**3
FORMATS: Final = frozenset({"qcow2", "raw"})
SEED: Final = "seed"
CONSOLE: Final = "console"
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Storage(Protocol):
    """An instance's files on one host; every act may be repeated (lifecycle §13)."""

    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """A disk on top of the cached image."""
        ...

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """An empty disk."""
        ...

    def context(self, instance_id: str, image: bytes) -> None:
        """The contextualisation disk, replaced when there is one."""
        ...

    def delete(self, instance_id: str) -> None:
        """Remove all files of the instance."""
        ...

    def files(self, instance_id: str) -> frozenset[str]:
        """Disk targets, ``seed``, ``console``."""
        ...

    def forget_image(self, checksum: str) -> None:
        """Remove a cached image that no disk refers to."""
        ...

    def console(self, instance_id: str, limit: int) -> bytes:
        """The last bytes of the console's log."""
        ...

    def layout(self, instance_id: str, targets: Iterable[str]) -> Layout:
        """Where the instance's files are."""
        ...

    def probe_disk(self) -> str:
        """The path of the boot probe's disk, written if absent."""
        ...

    def disk_gib(self) -> int:
        """What instances may use in all: free space and what they have taken."""
        ...


class SimulatedStorage:
    """Remembers which files there would be: a simulated host declares that nothing is cloned."""

    def __init__(self, disk_gib: int) -> None:
        self._gib = disk_gib
        self._files: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """Remember the disk."""
        self._remember(instance_id, disk.target)

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """Remember the disk."""
        self._remember(instance_id, disk.target)

    def context(self, instance_id: str, image: bytes) -> None:  # noqa: ARG002 - nobody will read it
        """Remember the seed."""
        self._remember(instance_id, SEED)

    def delete(self, instance_id: str) -> None:
        """Forget the instance."""
        with self._lock:
            self._files.pop(instance_id, None)

    def files(self, instance_id: str) -> frozenset[str]:
        """What was made and not deleted."""
        with self._lock:
            return frozenset(self._files.get(instance_id, ()))

    def forget_image(self, checksum: str) -> None:
        """Nothing is cached."""

    def console(self, instance_id: str, limit: int) -> bytes:  # noqa: ARG002 - nothing boots
        """No guest, no words."""
        return b""

    def layout(self, instance_id: str, targets: Iterable[str]) -> Layout:  # noqa: ARG002 - no paths
        """Nowhere."""
        return Layout(disks=dict.fromkeys(targets, ""))

    def probe_disk(self) -> str:
        """No disk: acceleration is not probed."""
        return ""

    def disk_gib(self) -> int:
        """As configured."""
        return self._gib

    def _remember(self, instance_id: str, name: str) -> None:
        with self._lock:
            self._files.setdefault(instance_id, set()).add(name)


def safe_name(text: str) -> str:
    """An id or checksum as part of a file name; refuses what could lead elsewhere."""
    plain = text.replace(":", "-")
    if not _SAFE.fullmatch(plain):
        raise StepFailed(f"{text!r} cannot be part of a file name")
    return plain


def disk_bytes(disk: DiskSpec) -> int:
    """The size to make: what was asked, and never less than the image needs."""
    return max(disk.size_gib * GIB, disk.image.virtual_bytes if disk.image else 0)


def check_image(image: ImageSource) -> Path:
    """The image's file, after looking that it is what it claims and leads to no other file of the host."""
    if image.format not in FORMATS:
        raise StepFailed(f"image {image.image_id}: format {image.format} cannot be cloned")
    path = Path(image.path)
    try:
        header = read_qcow2(path)
    except OSError as error:
        raise StepFailed(f"image {image.image_id}: {error.strerror}") from error
    if image.format == "qcow2":
        if header is None:
            raise StepFailed(f"image {image.image_id} is not qcow2")
        if header.backing or header.external_data:
            raise StepFailed(f"image {image.image_id} refers to another file")
    return path
