"""The storage of a simulated host, which has none: it remembers what there would be."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from backend.drivers.libvirt.domain_xml import DiskFile, Layout
from backend.drivers.libvirt.storage import GIB, QCOW2, SEED, own_disk, volume_bytes
from backend.drivers.libvirt.storage_files import create
from backend.ports import (
    DiskSpec,
    Progress,
    StepFailed,
    StoreFacts,
    VolumeFacts,
    VolumeSpec,
    no_progress,
)


class SimulatedStorage:
    """Remembers which volumes there would be, and how large: a simulated host has no bytes."""

    def __init__(self, disk_gib: int) -> None:
        self._gib = disk_gib
        self._volumes: dict[str, VolumeFacts] = {}
        self._images: dict[str, str] = {}
        self._keys: dict[str, bytes] = {}
        self._seeds: set[str] = set()
        self._lock = threading.Lock()

    def clone(self, volume: VolumeSpec) -> None:
        """Remember the volume and its image."""
        if volume.source is None:
            raise StepFailed(f"{volume.name} has no source to clone")
        self._remember(volume)

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:  # noqa: ARG002 - no bytes
        """Remember the volume."""
        self._remember(volume)

    def mkswap(self, volume: VolumeSpec) -> None:
        """Remember the volume."""
        self._remember(volume)

    def ln(self, name: str) -> None:
        """See that it was made."""
        self._known(name)

    def context(self, instance_id: str, image: bytes) -> None:  # noqa: ARG002 - nobody will read it
        """Remember the seed."""
        with self._lock:
            self._seeds.add(instance_id)

    def delete(self, name: str) -> None:
        """Forget the volume."""
        with self._lock:
            self._volumes.pop(name, None)
            self._images.pop(name, None)
            self._keys.pop(name, None)

    def delete_files(self, instance_id: str) -> None:
        """Forget the instance's seed and scratch disks."""
        with self._lock:
            self._seeds.discard(instance_id)
            for name in [one for one in self._volumes if own_disk(one)[0] == instance_id]:
                del self._volumes[name]

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """Remember a copy of the same size."""
        self._remember(VolumeSpec(name=copy, size_bytes=self._known(name).virtual_bytes, key=key))

    def begin_copy(self, volume: VolumeSpec) -> str:
        """Nowhere; the size is remembered."""
        self._remember(volume)
        return ""

    def end_copy(self, name: str) -> None:
        """See that it was begun."""
        self._known(name)

    def drop_copy(self, name: str) -> None:
        """Forget it."""
        self.delete(name)

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """An empty image of the same size: there are no bytes, but whoever takes it checks it."""
        size = self._known(name).virtual_bytes
        Path(path).unlink(missing_ok=True)
        create(path, size, QCOW2, key=self._keys.get(name, b""))
        progress(size, size)

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:  # noqa: ARG002 - no bytes
        """Remember the volume."""
        self.delete(volume.name)
        self._remember(volume)
        size = Path(path).stat().st_size
        progress(size, size)

    def revert(self, volume: VolumeSpec) -> None:
        """Remember what it is now."""
        self.delete(volume.name)
        self._remember(volume)

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:  # noqa: ARG002 - nothing to unlock
        """Remember the new size."""
        known = self._known(name)
        if size_bytes > known.virtual_bytes:
            with self._lock:
                self._volumes[name] = _simulated(name, size_bytes)

    def monitor(self) -> StoreFacts:
        """What is remembered."""
        with self._lock:
            return StoreFacts(
                total_bytes=self._gib * GIB,
                free_bytes=self._gib * GIB,
                volumes=dict(self._volumes),
                instances=frozenset(self._seeds),
                images=frozenset(self._images.values()),
            )

    def sweep(self, older_than_seconds: float) -> frozenset[str]:  # noqa: ARG002 - nothing is half made
        """Nothing strays."""
        return frozenset()

    def volume(self, name: str) -> VolumeFacts | None:
        """What was made and not deleted."""
        with self._lock:
            return self._volumes.get(name)

    def files(self, instance_id: str) -> frozenset[str]:
        """What was made and not deleted."""
        with self._lock:
            owned = (own_disk(name) for name in self._volumes)
            disks = {target for owner, target in owned if owner == instance_id}
            return frozenset(disks | ({SEED} if instance_id in self._seeds else set()))

    def forget_image(self, checksum: str) -> bool:
        """Whether no volume is remembered with it."""
        with self._lock:
            return checksum not in self._images.values()

    def console(self, instance_id: str, limit: int) -> bytes:  # noqa: ARG002 - nothing boots
        """No guest, no words."""
        return b""

    def layout(self, instance_id: str, disks: Sequence[DiskSpec]) -> Layout:  # noqa: ARG002 - no paths
        """Nowhere."""
        return Layout(disks={disk.target: DiskFile(path="") for disk in disks})

    def path_of(self, name: str) -> str:
        """Nowhere, if it is there at all."""
        self._known(name)
        return ""

    def name_of(self, path: str) -> str:  # noqa: ARG002 - no paths
        """None is a volume's."""
        return ""

    def probe_disk(self) -> str:
        """No disk: acceleration is not probed."""
        return ""

    def disk_gib(self) -> int:
        """As configured."""
        return self._gib

    def _known(self, name: str) -> VolumeFacts:
        found = self.volume(name)
        if found is None:
            raise StepFailed(f"there is no volume {name}")
        return found

    def _remember(self, volume: VolumeSpec) -> None:
        with self._lock:
            if volume.source is not None:
                self._images[volume.name] = volume.source.checksum
            if volume.key:
                self._keys[volume.name] = volume.key
            self._volumes.setdefault(volume.name, _simulated(volume.name, volume_bytes(volume)))


def _simulated(name: str, size: int) -> VolumeFacts:
    return VolumeFacts(name=name, format=QCOW2, virtual_bytes=size, allocated_bytes=0)
