"""An image on its way to a remote host and a volume made of it, against the same by virsh."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from backend.drivers.libvirt.hosts import LibvirtHosts
from backend.ports import HostDriver, ImageSource, VolumeSpec
from benchmarks.report import Row, show
from tests.support.libvirt_hosts import libvirt_daemon

_MIB = 1 << 20


def run(*, quick: bool) -> None:
    """Measure and print."""
    repeats = 3 if quick else 7
    data, sparse = (64, 512) if quick else (256, 2048)
    with tempfile.TemporaryDirectory(prefix="storing-") as name:
        folder = Path(name)
        home = folder / "daemon"
        home.mkdir()
        with libvirt_daemon(home) as daemon:
            driver = LibvirtHosts().driver("h-benchmark", daemon.uri)
            images = [
                (f"upload of {data} MiB of data", _image(folder, data, data)),
                (
                    f"upload of {data // 4} MiB of data in a disk of {sparse} MiB",
                    _image(folder, data // 4, sparse),
                ),
            ]
            rows = [_upload(driver, daemon.uri, what, path, repeats) for what, path in images]
            rows.append(_cached(driver, daemon.uri, images[0][1], repeats))
    show("Image to a remote host by libvirt's streams (seconds, median; ratio = virsh / isthmus)", rows)


def _image(folder: Path, data_mib: int, size_mib: int) -> Path:
    """A raw disk whose data no storage can make smaller."""
    path = folder / f"{data_mib}-{size_mib}.raw"
    with path.open("wb") as file:
        for _ in range(data_mib):
            file.write(os.urandom(_MIB))
        file.truncate(size_mib * _MIB)
    return path


def _upload(driver: HostDriver, uri: str, what: str, path: Path, repeats: int) -> Row:
    """Both have to write to the same disk, so they take turns."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(repeats):
        checksum = hashlib.sha256(f"{path.name}{number}".encode()).hexdigest()
        spec = VolumeSpec(
            name=f"vol-{checksum[:17]}", size_bytes=path.stat().st_size, source=_source(path, checksum)
        )
        ours.append(_timed(lambda spec=spec: driver.clone(spec)))  # type: ignore[misc]
        driver.delete(spec.name)
        driver.forget_image(checksum)
        theirs.append(_timed(lambda number=number: _by_hand(uri, path, f"hand{number}")))  # type: ignore[misc]
        _virsh(uri, f"vol-delete hand{number}-clone isthmus", f"vol-delete hand{number} isthmus")
    return Row(what, {"isthmus": statistics.median(ours), "virsh": statistics.median(theirs)})


def _cached(driver: HostDriver, uri: str, path: Path, repeats: int) -> Row:
    """A volume of an image that the host has."""
    checksum = hashlib.sha256(b"cached").hexdigest()
    source = _source(path, checksum)
    size = path.stat().st_size
    driver.clone(VolumeSpec(name="vol-00000000000000000", size_bytes=size, source=source))
    _by_hand(uri, path, "base")
    ours, theirs = [], []
    for number in range(repeats):
        spec = VolumeSpec(name=f"vol-{number:017x}1"[:21], size_bytes=size, source=source)
        ours.append(_timed(lambda spec=spec: driver.clone(spec)))  # type: ignore[misc]
        driver.delete(spec.name)
        theirs.append(_timed(lambda number=number: _virsh(uri, _clone("base", f"c{number}", size))))  # type: ignore[misc]
    return Row(
        "volume of a cached image", {"isthmus": statistics.median(ours), "virsh": statistics.median(theirs)}
    )


def _source(path: Path, checksum: str) -> ImageSource:
    size = path.stat().st_size
    return ImageSource(
        image_id="ami-benchmark",
        path=str(path),
        format="raw",
        checksum=checksum,
        size_bytes=size,
        virtual_bytes=size,
    )


def _by_hand(uri: str, path: Path, name: str) -> None:
    size = path.stat().st_size
    _virsh(
        uri,
        f"vol-create-as isthmus {name} {size} --format raw --allocation 0",
        f"vol-upload {name} {path} --pool isthmus --sparse",
        _clone(name, f"{name}-clone", size),
    )


def _clone(base: str, name: str, size: int) -> str:
    return f"vol-create-as isthmus {name} {size} --format qcow2 --backing-vol {base} --backing-vol-format raw"


def _virsh(uri: str, *commands: str) -> None:
    subprocess.run(["virsh", "-q", "-c", uri, "; ".join(commands)], check=True, capture_output=True)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
