"""What the driver needs of a host's storage, and the simulated one that has none.

A volume's bytes lie in one file, under the volume's name and a format: ``qcow2`` (version 3) or ``raw``. What
is half made is never taken for it: implementations of :class:`Storage` write elsewhere and publish it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from backend.drivers.libvirt.domain_xml import Layout
from backend.drivers.libvirt.qcow2 import read_qcow2
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

GIB: Final = 1024**3
QCOW2: Final = "qcow2"
RAW: Final = "raw"
FORMATS: Final = frozenset({QCOW2, RAW})
SEED: Final = "seed"
CONSOLE: Final = "console"
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VOLUME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[a-z]{2,8})?")
_OWN: Final = re.compile(r"(i-[0-9a-f]+)\.(vd[a-z])")


class Storage(Protocol):
    """The transfer manager of one host (lifecycle §13).

    Every act may be repeated, also by another process or host at the same time; one that fails leaves what
    was there. What a killed process left is a stray, which the next attempt at the same thing removes.

    Raises:
        StepFailed: from every act; ``transient`` when the store is full or busy.
        HostSilent: from every act; the store does not come back, and the effect is unknown.
    """

    def clone(self, volume: VolumeSpec) -> None:
        """CLONE: a volume that begins as its source, which is copied once to the host; grown to its size."""
        ...

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """MKIMAGE: a volume of zeros, or with an empty file system: ``ext4`` or ``swap``."""
        ...

    def mkswap(self, volume: VolumeSpec) -> None:
        """MKSWAP: a volume formatted as swap space."""
        ...

    def ln(self, name: str) -> None:
        """LN: raises StepFailed unless the volume is there and whole, with all that it refers to."""
        ...

    def context(self, instance_id: str, image: bytes) -> None:
        """CONTEXT: the contextualisation disk, replaced when there is one."""
        ...

    def delete(self, name: str) -> None:
        """DELETE a volume or copy, and what was left of attempts at it; absent is success."""
        ...

    def delete_files(self, instance_id: str) -> None:
        """DELETE scratch disks, seed and console log of an instance on this host; absent is success."""
        ...

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """CPDS of a volume at rest: a self-contained qcow2, encrypted by the same key if the volume is."""
        ...

    def begin_copy(self, volume: VolumeSpec) -> str:
        """The path of an empty qcow2 of that name, size and key, for QEMU to write a backup to.

        The file is there already (``VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL``). What an interrupted backup
        left under that name is replaced; a finished copy of that name stays until :meth:`end_copy`.
        """
        ...

    def end_copy(self, name: str) -> None:
        """Publish what was written since :meth:`begin_copy`; published already is success."""
        ...

    def drop_copy(self, name: str) -> None:
        """Remove what was written since :meth:`begin_copy`; absent is success."""
        ...

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """MV, first half: the file's bytes, holes kept, into a file (mode 0600) that is replaced."""
        ...

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:
        """MV, second half: a volume with the bytes of a self-contained file, replacing what was there."""
        ...

    def revert(self, volume: VolumeSpec) -> None:
        """SNAP_REVERT: the volume begins again as its source (zeros without one)."""
        ...

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """RESIZE of a volume at rest; never smaller."""
        ...

    def monitor(self) -> StoreFacts:
        """MONITOR: the store and everything of ours in it."""
        ...

    def sweep(self, older_than_seconds: float) -> frozenset[str]:
        """Remove strays that nobody works on and that are older than that; answers their names."""
        ...

    def volume(self, name: str) -> VolumeFacts | None:
        """One volume or copy that is whole."""
        ...

    def files(self, instance_id: str) -> frozenset[str]:
        """Scratch disks' targets, ``seed``, ``console``."""
        ...

    def forget_image(self, checksum: str) -> bool:
        """Remove a cached image that no volume refers to; whether it is gone."""
        ...

    def console(self, instance_id: str, limit: int) -> bytes:
        """The last bytes of the console's log."""
        ...

    def layout(self, instance_id: str, disks: Sequence[DiskSpec]) -> Layout:
        """Where these volumes and the instance's own files are; raises StepFailed for an absent volume."""
        ...

    def path_of(self, name: str) -> str:
        """The path on the host of a volume; raises StepFailed when it is not there."""
        ...

    def name_of(self, path: str) -> str:
        """The volume's name by its path on the host, as QEMU shows it; empty for a file that is none."""
        ...

    def probe_disk(self) -> str:
        """The path of the boot probe's disk, written if absent."""
        ...

    def disk_gib(self) -> int:
        """What volumes may use in all: free space and what they have taken."""
        ...


def safe_name(text: str) -> str:
    """An id or checksum as part of a file name; refuses what could lead elsewhere."""
    plain = text.replace(":", "-")
    if not _SAFE.fullmatch(plain):
        raise StepFailed(f"{text!r} cannot be part of a file name")
    return plain


def safe_volume(name: str) -> str:
    """A volume's name as a file's: an id, with a word after a dot for what is made of it."""
    if not _VOLUME.fullmatch(name) or name.endswith((".qcow2", ".raw", ".lock", ".partial", ".copying")):
        raise StepFailed(f"{name!r} cannot be a volume's name")
    return name


def own_disk(name: str) -> tuple[str, str]:
    """The instance and target of an instance's own (scratch) disk; empty for other volumes."""
    match = _OWN.fullmatch(name)
    return (match[1], match[2]) if match else ("", "")


def volume_bytes(volume: VolumeSpec) -> int:
    """The size to make: what was asked, and never less than the source needs."""
    return max(volume.size_bytes, volume.source.virtual_bytes if volume.source else 0)


def check_image(image: ImageSource) -> Path:
    """The image's file, after looking that it is what it claims and leads to no other file of the host.

    One that tells only the difference to its parents leads to the first of them.
    """
    if image.format not in FORMATS:
        raise StepFailed(f"image {image.image_id}: format {image.format} cannot be cloned")
    path = Path(image.path)
    try:
        header = read_qcow2(path)
    except OSError as error:
        raise StepFailed(f"image {image.image_id}: {error.strerror}") from error
    if image.format == QCOW2:
        if header is None:
            raise StepFailed(f"image {image.image_id} is not qcow2")
        if header.external_data or bool(header.backing) is not bool(image.parents):
            raise StepFailed(f"image {image.image_id} refers to another file")
    return path
