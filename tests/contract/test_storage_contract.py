"""What the transfer manager's drivers must do, whatever they store in and wherever: every act twice, killed in
the middle, on a full disk, in a read-only store, by two hosts at once; encrypted or not; bytes compared.

The stores lie on a small file system of their own, so that it can be full or read-only.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from libvirt_hosts import LibvirtDaemon, libvirt_daemon
from storage_process import build

from backend.drivers.libvirt.storage import CONSOLE, SEED, Storage
from backend.ports import DiskSpec, HostSilent, ImageSource, StepFailed, VolumeSpec

MIB = 1 << 20
SIZE = 32 * MIB
KEY = b"5f" * 32
IMAGE_BYTES = 3 * MIB
KINDS = ["local-qcow2", "local-raw", "local-shared", "pool-qcow2", "pool-raw", "pool-shared"]
ID = "i-0123456789abcdef0"
HOLD = 200 * MIB

pytestmark = pytest.mark.qemu


class World(SimpleNamespace):
    """A store under test.

    ``storage`` is a host's, ``other`` a second host's on the same store (or another process of the first's),
    ``kind`` what a process needs to build it, ``form`` the format of new volumes.
    """

    storage: Storage
    other: Storage
    kind: dict[str, Any]
    form: str
    folder: Path


class Images(SimpleNamespace):
    """Disk images as the gateway keeps them, by the bytes a guest finds in them."""

    qcow2: ImageSource
    raw: ImageSource
    delta: ImageSource
    luks: ImageSource
    base: bytes
    changed: bytes


# Places ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Iterator[Path]:
    """A small file system, which the daemon sees as well."""
    folder = tmp_path_factory.mktemp("ground")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={HOLD}", "isthmus-test", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def storage_daemon(ground, tmp_path_factory) -> Iterator[LibvirtDaemon]:
    with libvirt_daemon(tmp_path_factory.mktemp("storage-daemon")) as running:
        yield running


@pytest.fixture(scope="session")
def second_daemon(ground, tmp_path_factory) -> Iterator[LibvirtDaemon]:
    with libvirt_daemon(tmp_path_factory.mktemp("second-daemon")) as running:
        yield running


@pytest.fixture(scope="session")
def killable() -> Iterator[Callable[[dict[str, Any]], str]]:
    """A process that forks others and has them killed."""
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, here / "storage_process.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(here.parents[1])},
    )  # fmt: skip

    def order(what: dict[str, Any]) -> str:
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    yield order
    process.stdin.close()
    process.wait()


_worlds: dict[str, World] = {}


@pytest.fixture(params=[kind for kind in KINDS if kind != "local-shared"])
def world(request, ground, images) -> Iterator[World]:
    name = request.param
    made = _worlds.get(name) or _worlds.setdefault(name, _world(name, request, ground))
    yield made
    facts = made.storage.monitor()
    for volume in facts.volumes:
        made.storage.delete(volume)
    for instance_id in facts.instances:
        made.storage.delete_files(instance_id)
        made.other.delete_files(instance_id)
    for checksum in facts.images:
        assert made.storage.forget_image(checksum)
    made.storage.sweep(-1)
    left = made.storage.monitor()
    assert not left.volumes
    assert not left.images
    assert not left.strays


def _world(name: str, request, ground: Path) -> World:
    place, _, variant = name.partition("-")
    form = "raw" if variant == "raw" else "qcow2"
    folder = ground / name
    shared = variant == "shared"
    if place == "local":
        folder.mkdir()
        kind = {"directory": str(folder), "own": str(ground / f"{name}-own"), "form": form}
        other = kind | ({"own": str(ground / f"{name}-other")} if shared else {})
    else:
        daemon = request.getfixturevalue("storage_daemon")
        kind = {
            "uri": daemon.uri, "pool": name, "path": str(folder), "form": form, "shared": shared,
            "host_id": "one",
        }  # fmt: skip
        other = dict(kind)
        if shared:
            other |= {"uri": request.getfixturevalue("second_daemon").uri, "host_id": "two"}
    storage = build(kind)
    storage.disk_gib() if place == "pool" else None  # the pool is there
    return World(storage=storage, other=build(other), kind=kind, form=form, folder=folder, shared=shared)


only = lambda *kinds: pytest.mark.parametrize("world", kinds, indirect=True)  # noqa: E731


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Images:
    """An image in both formats, one that tells the difference to it, and an encrypted one."""
    folder = tmp_path_factory.mktemp("images")
    base = os.urandom(IMAGE_BYTES).ljust(8 * MIB, b"\0")
    (folder / "base.raw").write_bytes(base)
    changed = base[:MIB] + b"\x07" * MIB + base[2 * MIB :]
    run = lambda *line: subprocess.run(line, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("qemu-img", "convert", "-O", "qcow2", "-f", "raw", "base.raw", "base.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "delta.qcow2")
    run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 {MIB} {MIB}", "delta.qcow2")
    (folder / "key").write_bytes(KEY)
    luks = "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10"
    for _ in range(40):  # QEMU's clock may stand still while it measures
        with_key = ["--object", f"secret,id=k,file={folder}/key", "-o", luks]
        if not subprocess.run(
            ["qemu-img", "convert", "-O", "qcow2", "-f", "raw", *with_key, "base.raw", "luks.qcow2"],
            cwd=folder, capture_output=True,
        ).returncode:  # fmt: skip
            break

    def source(name: str, form: str, **more: Any) -> ImageSource:
        path = folder / name
        return ImageSource(
            image_id="ami-1", path=str(path), format=form, size_bytes=path.stat().st_size,
            checksum=hashlib.sha256(path.read_bytes()).hexdigest(), virtual_bytes=len(base), **more,
        )  # fmt: skip

    return Images(
        qcow2=source("base.qcow2", "qcow2"),
        raw=source("base.raw", "raw"),
        delta=source("delta.qcow2", "qcow2", parents=(str(folder / "base.qcow2"),)),
        luks=source("luks.qcow2", "qcow2", encrypted=True),
        base=base,
        changed=changed,
        folder=folder,
        key=folder / "key",
    )


def volume(name: str, source: ImageSource | None = None, size: int = SIZE, key: bytes = b"") -> VolumeSpec:
    return VolumeSpec(name=name, size_bytes=size, source=source, key=key)


def content(path: str, form: str, key: Path | None = None) -> bytes:
    """What a guest reads."""
    node: dict[str, Any] = {"driver": form, "file": {"driver": "file", "filename": path}}
    secret: list[str] = []
    if key is not None:
        node["encrypt.key-secret"] = "k"
        secret = ["--object", f"secret,id=k,file={key}"]
    target = Path(f"/dev/shm/isthmus-test-{os.getpid()}.raw")
    line = ["qemu-img", "convert", *secret, "-O", "raw", "json:" + json.dumps(node), str(target)]
    try:
        subprocess.run(line, check=True, capture_output=True)
        return target.read_bytes()
    finally:
        target.unlink(missing_ok=True)


def read(storage: Storage, name: str, key: Path | None = None) -> bytes:
    facts = storage.volume(name)
    assert facts is not None
    return content(storage.path_of(name), facts.format, key)


def grown(start: bytes, size: int = SIZE) -> bytes:
    return start.ljust(size, b"\0")


def checksum(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# Each act, twice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["qcow2", "raw", "delta"])
def test_clone(world, images, source):
    image = getattr(images, source)
    before = checksum(image.path)
    for _ in range(2):
        world.storage.clone(volume("vol-1", image))
        world.storage.ln("vol-1")
    facts = world.storage.volume("vol-1")
    assert (facts.virtual_bytes, facts.format) == (SIZE, world.form)
    assert facts.allocated_bytes < SIZE
    expected = images.changed if source == "delta" else images.base
    assert read(world.storage, "vol-1") == grown(expected)
    assert world.storage.monitor().images == {image.checksum}
    assert checksum(image.path) == before
    # A second one is of the same copy, which what is written to the first does not change.
    path = world.storage.path_of("vol-1")
    subprocess.run(
        ["qemu-io", "-f", world.form, "-c", f"write -P 9 0 {MIB}", path], check=True, capture_output=True
    )
    world.storage.clone(volume("vol-2", image, size=0))
    assert read(world.storage, "vol-2") == expected
    assert read(world.storage, "vol-1")[:MIB] == b"\x09" * MIB
    assert checksum(image.path) == before
    assert world.storage.forget_image(image.checksum) is (world.form == "raw")
    world.storage.delete("vol-1")
    world.storage.delete("vol-2")
    assert world.storage.forget_image(image.checksum)
    assert world.storage.forget_image(image.checksum)
    assert world.storage.monitor().images == set()


def test_guests_cannot_write_what_their_disks_are_linked_to(world, images):
    world.storage.clone(volume("vol-1", images.qcow2))
    copies = [
        path for path in world.folder.rglob("*") if images.qcow2.checksum in path.name and path.stat().st_size
    ]
    assert copies
    assert all(path.stat().st_mode & 0o222 == 0 for path in copies)


def test_mkimage(world):
    for _ in range(2):
        world.storage.mkimage(volume("vol-1"))
        world.storage.mkimage(volume("vol-2"), "ext4")
        world.storage.mkswap(volume("vol-3"))
        world.storage.mkimage(volume("vol-4"), "swap")
    assert read(world.storage, "vol-1") == bytes(SIZE)
    assert read(world.storage, "vol-2")[0x438:0x43A] == b"\x53\xef"
    for name in ("vol-3", "vol-4"):
        assert read(world.storage, name)[4086:4096] == b"SWAPSPACE2"
    facts = world.storage.monitor()
    assert set(facts.volumes) == {"vol-1", "vol-2", "vol-3", "vol-4"}
    assert all(
        one.virtual_bytes == SIZE and one.allocated_bytes < SIZE // 2 for one in facts.volumes.values()
    )
    assert 0 < facts.free_bytes <= facts.total_bytes == HOLD
    with pytest.raises(StepFailed, match="xfs"):
        world.storage.mkimage(volume("vol-5"), "xfs")
    assert world.storage.volume("vol-5") is None


def test_names_that_lead_elsewhere_are_refused(world):
    for name in ("../x", "a/b", "", ".x", "vol-1.partial", "vol-1.lock", "vol-1.raw"):
        with pytest.raises(StepFailed):
            world.storage.mkimage(volume(name))


def test_delete_and_ln(world):
    with pytest.raises(StepFailed):
        world.storage.ln("vol-1")
    with pytest.raises(StepFailed):
        world.storage.path_of("vol-1")
    world.storage.delete("vol-1")
    world.storage.mkimage(volume("vol-1"))
    assert world.storage.name_of(world.storage.path_of("vol-1")) == "vol-1"
    assert world.storage.name_of("/etc/passwd") == ""
    for _ in range(2):
        world.storage.delete("vol-1")
        assert world.storage.volume("vol-1") is None


@only("local-qcow2", "local-shared")
def test_the_lock_of_who_died_at_the_end_of_a_deletion_goes_with_the_next(world):
    world.storage.mkimage(volume("vol-1"))
    (file,) = (path for path in world.folder.rglob("vol-1*") if path.is_file())
    lock = file.with_name("vol-1.lock")
    world.storage.delete("vol-1")
    lock.touch()
    world.storage.delete("vol-1")
    assert not lock.exists()
    assert list(world.folder.rglob("vol-1*")) == []


@only("local-qcow2", "local-shared", "pool-shared")
def test_ln_sees_that_the_image_is_gone(world, images):
    world.storage.clone(volume("vol-1", images.qcow2))
    for path in list(world.folder.rglob(f"*{images.qcow2.checksum}*")):
        path.unlink()
    with pytest.raises(StepFailed, match="not there"):
        world.storage.ln("vol-1")


def test_cpds_is_self_contained(world, images):
    world.storage.clone(volume("vol-1", images.qcow2))
    for _ in range(2):
        world.storage.cpds("vol-1", "snap-1")
    assert world.storage.volume("snap-1").format == "qcow2"
    assert read(world.storage, "snap-1") == grown(images.base)
    path = world.storage.path_of("vol-1")
    subprocess.run(
        ["qemu-io", "-f", world.form, "-c", f"write -P 9 0 {MIB}", path], check=True, capture_output=True
    )
    world.storage.cpds("vol-1", "snap-1")  # what is there may be of an older attempt: it is made anew
    assert read(world.storage, "snap-1")[:MIB] == b"\x09" * MIB
    world.storage.delete("vol-1")
    assert world.storage.forget_image(images.qcow2.checksum)
    assert read(world.storage, "snap-1")[MIB:] == grown(images.base)[MIB:]
    with pytest.raises(StepFailed):
        world.storage.cpds("vol-1", "snap-2")
    with pytest.raises(StepFailed, match="not encrypted"):
        world.storage.cpds("snap-1", "snap-2", KEY)


def test_a_raw_disk_that_looks_like_another_format_is_only_bytes(world, images, tmp_path):
    """A guest may write a header into its disk that names a file of the host."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"the host's own" * 100_000)
    trap = tmp_path / "trap.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", trap], check=True)
    bait = trap.read_bytes()
    world.storage.put(volume("vol-1"), str(trap), "raw")
    assert read(world.storage, "vol-1") == grown(bait)
    world.storage.resize("vol-1", 2 * SIZE)
    world.storage.cpds("vol-1", "snap-1")
    assert read(world.storage, "vol-1") == grown(bait, 2 * SIZE)
    assert read(world.storage, "snap-1") == grown(bait, 2 * SIZE)
    image = ImageSource(
        image_id="ami-2", path=str(trap), format="raw", checksum="abc", size_bytes=len(bait),
        virtual_bytes=len(bait),
    )  # fmt: skip
    world.storage.clone(volume("vol-2", image))
    assert read(world.storage, "vol-2") == grown(bait)
    with pytest.raises(StepFailed, match="refers"):
        world.storage.clone(volume("vol-3", msgspec.structs.replace(image, format="qcow2")))
    with pytest.raises(StepFailed, match="refers"):
        world.storage.put(volume("vol-3"), str(trap), "qcow2")
    assert world.storage.volume("vol-3") is None


@only(*KINDS)
def test_fetch_and_put_move_a_volume(world, images, tmp_path):
    told: list[tuple[int, int]] = []
    world.storage.clone(volume("vol-1", images.raw))
    world.storage.cpds("vol-1", "vol-1.mv")
    for _ in range(2):
        world.storage.fetch("vol-1.mv", str(tmp_path / "moved"), lambda *at: told.append(at))
    assert (tmp_path / "moved").stat().st_mode & 0o777 == 0o600
    assert told[-1][0] == told[-1][1] == (tmp_path / "moved").stat().st_size
    told.clear()
    for _ in range(2):
        world.storage.put(
            volume("vol-2", size=2 * SIZE), str(tmp_path / "moved"), "qcow2", lambda *at: told.append(at)
        )
    facts = world.storage.volume("vol-2")
    assert (facts.virtual_bytes, facts.format) == (2 * SIZE, world.form)
    assert facts.allocated_bytes < SIZE
    assert read(world.storage, "vol-2") == grown(images.base, 2 * SIZE)
    assert told[-1][0] == told[-1][1]
    world.storage.put(volume("vol-2"), images.raw.path, "raw")
    assert read(world.storage, "vol-2") == grown(images.base)
    if world.form == "qcow2":
        world.storage.clone(volume("vol-3", images.qcow2))
        with pytest.raises(StepFailed, match="self-contained"):
            world.storage.fetch("vol-3", str(tmp_path / "linked"))
    assert {path.name for path in tmp_path.iterdir()} == {"moved"}


def test_progress_is_told_every_four_mebibytes(world, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(20 * MIB))
    told: list[int] = []
    world.storage.put(
        volume("vol-1", size=0), str(tmp_path / "large"), "raw", lambda at, _size: told.append(at)
    )
    if world.form == "raw":
        steps = [b - a for a, b in zip([0, *told], told, strict=False)]
        assert max(steps) <= 5 * MIB
    world.storage.cpds("vol-1", "snap-1")
    told.clear()
    world.storage.fetch("snap-1", str(tmp_path / "back"), lambda at, _size: told.append(at))
    assert max(b - a for a, b in zip([0, *told], told, strict=False)) <= 5 * MIB
    assert content(str(tmp_path / "back"), "qcow2") == (tmp_path / "large").read_bytes()


def test_who_listens_may_end_a_copy(world, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(20 * MIB))
    world.storage.mkimage(volume("vol-1"))

    class Enough(Exception):
        pass

    def listener(at: int, _size: int) -> None:
        if at >= 4 * MIB:
            raise Enough

    if world.form == "raw":
        with pytest.raises(Enough):
            world.storage.put(volume("vol-1"), str(tmp_path / "large"), "raw", listener)
        assert read(world.storage, "vol-1") == bytes(SIZE)
    world.storage.put(volume("vol-1"), str(tmp_path / "large"), "raw")
    assert read(world.storage, "vol-1") == grown((tmp_path / "large").read_bytes())
    assert not world.storage.monitor().strays


def test_revert(world, images):
    world.storage.mkimage(volume("vol-1"))
    for source, expected in ((images.qcow2, images.base), (images.delta, images.changed), (None, b"")):
        for _ in range(2):
            world.storage.revert(volume("vol-1", source))
        assert read(world.storage, "vol-1") == grown(expected)
    broken = msgspec.structs.replace(images.qcow2, path="/nowhere", checksum="f00")
    world.storage.revert(volume("vol-1", images.qcow2))
    with pytest.raises(StepFailed):
        world.storage.revert(volume("vol-1", broken))
    assert read(world.storage, "vol-1") == grown(images.base)


def test_resize(world, images):
    world.storage.clone(volume("vol-1", images.qcow2))
    for size in (2 * SIZE, 2 * SIZE, SIZE):
        world.storage.resize("vol-1", size)
        assert world.storage.volume("vol-1").virtual_bytes == 2 * SIZE
    assert read(world.storage, "vol-1") == grown(images.base, 2 * SIZE)
    with pytest.raises(StepFailed):
        world.storage.resize("vol-2", SIZE)


def test_backup_is_published_at_the_end(world, images):
    first = world.storage.begin_copy(volume("snap-1"))
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", first], check=True, capture_output=True
    )
    assert world.storage.volume("snap-1") is None
    path = world.storage.begin_copy(volume("snap-1"))  # the first was interrupted
    assert read_ok(path, bytes(SIZE))
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 2 0 1M", path], check=True, capture_output=True)
    for _ in range(2):
        world.storage.end_copy("snap-1")
    assert read(world.storage, "snap-1")[: MIB + 1] == b"\x02" * MIB + b"\0"
    assert world.storage.volume("snap-1").virtual_bytes == SIZE
    world.storage.begin_copy(volume("snap-1"))
    for _ in range(2):
        world.storage.drop_copy("snap-1")
    assert read(world.storage, "snap-1")[:1] == b"\x02"
    assert not world.storage.monitor().strays
    with pytest.raises(StepFailed):
        world.storage.end_copy("snap-2")


def read_ok(path: str, expected: bytes) -> bool:
    return content(path, "qcow2") == expected


@only(*KINDS)
def test_an_instances_own_files(world, images):
    world.storage.mkimage(volume(f"{ID}.vdb"), "ext4")
    for text in (b"seed one", b"seed two, longer"):
        world.storage.context(ID, text.ljust(2048, b"\0"))
    world.storage.clone(volume("vol-1", images.qcow2))
    disks = [DiskSpec(target="vda", name="vol-1"), DiskSpec(target="vdb", name=f"{ID}.vdb")]
    layout = world.storage.layout(ID, disks)
    assert {target: one.format for target, one in layout.disks.items()} == {
        "vda": world.form,
        "vdb": world.form,
    }
    assert world.storage.name_of(layout.disks["vdb"].path) == f"{ID}.vdb"
    assert Path(layout.seed).read_bytes().startswith(b"seed two")
    Path(layout.console).write_bytes(b"hello")
    assert world.storage.files(ID) == {"vdb", SEED, CONSOLE}
    assert world.storage.console(ID, 4) == b"ello"
    facts = world.storage.monitor()
    assert set(facts.volumes) == {"vol-1", f"{ID}.vdb"}
    assert facts.instances == {ID}
    assert not facts.strays
    if world.shared:  # what another host does about the instance is about its own files
        assert world.other.files(ID) == frozenset()
        world.other.delete_files(ID)
        assert world.storage.files(ID) == {"vdb", SEED, CONSOLE}
        assert ID not in world.other.monitor().instances
    with pytest.raises(StepFailed):
        world.storage.layout(ID, [DiskSpec(target="vdc", name="vol-9")])
    for _ in range(2):
        world.storage.delete_files(ID)
        assert world.storage.files(ID) == frozenset()
    assert set(world.storage.monitor().volumes) == {"vol-1"}
    assert ID not in world.storage.monitor().instances


# Encryption -----------------------------------------------------------------------------------------------


@only("local-qcow2", "local-raw", "pool-qcow2", "pool-raw")
def test_encrypted_volumes(world, images, tmp_path):
    for _ in range(2):
        world.storage.clone(volume("vol-1", images.luks, key=KEY))
    assert read(world.storage, "vol-1", images.key) == grown(images.base)
    for _ in range(2):
        world.storage.cpds("vol-1", "snap-1", KEY)
    world.storage.fetch("snap-1", str(tmp_path / "moved"))
    for _ in range(2):
        world.storage.put(volume("vol-2", key=KEY), str(tmp_path / "moved"), "qcow2")
        world.storage.resize("vol-2", 2 * SIZE, KEY)
    assert read(world.storage, "vol-2", images.key) == grown(images.base, 2 * SIZE)
    assert world.storage.volume("vol-2").virtual_bytes == 2 * SIZE
    world.storage.revert(volume("vol-2", images.luks, key=KEY))
    assert read(world.storage, "vol-2", images.key) == grown(images.base)
    for bad in (
        lambda: world.storage.clone(volume("vol-3", images.luks)),
        lambda: world.storage.put(volume("vol-3"), str(tmp_path / "moved"), "qcow2"),
        lambda: world.storage.resize("vol-1", 3 * SIZE),
    ):
        with pytest.raises(StepFailed, match="no key"):
            bad()
    with pytest.raises(subprocess.CalledProcessError):
        read(world.storage, "vol-1")


@only("local-qcow2", "pool-raw")
def test_volumes_become_encrypted_and_the_key_is_seen_nowhere(world, images, monkeypatch):
    lines: list[str] = []
    original = subprocess.Popen.__init__

    def watched(self, line, *rest, **more):
        lines.append(" ".join(map(str, line)))
        original(self, line, *rest, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", watched)
    local = "directory" in world.kind
    for _ in range(2):
        if local:
            world.storage.mkimage(volume("vol-1", key=KEY), "ext4")
        else:
            world.storage.clone(volume("vol-2", images.qcow2, key=KEY))
    assert any("secret" in line for line in lines)
    assert not any(KEY.decode() in line for line in lines)
    if local:
        assert read(world.storage, "vol-1", images.key)[0x438:0x43A] == b"\x53\xef"
    else:
        assert read(world.storage, "vol-2", images.key) == grown(images.base)
    for path in world.folder.rglob("*"):
        if path.is_file():
            stored = path.read_bytes()
            assert KEY not in stored
            assert images.base[:4096] not in stored or images.qcow2.checksum in path.name


# Trouble --------------------------------------------------------------------------------------------------


@pytest.fixture
def full(ground) -> Iterator[Callable[[int], None]]:
    """Leaves so many bytes free."""
    filler = ground / "filler"

    def leave(free: int) -> None:
        there = os.statvfs(ground)
        with filler.open("wb") as file:
            left = there.f_bavail * there.f_frsize - free
            while left > 0:
                left -= file.write(bytes(min(left, MIB)))

    yield leave
    filler.unlink(missing_ok=True)


def test_a_full_disk_changes_nothing(world, images, full, ground, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(16 * MIB))
    world.storage.clone(volume("vol-1", images.qcow2))
    before = read(world.storage, "vol-1")
    full(MIB)
    for fails in (
        lambda: world.storage.clone(volume("vol-2", images.raw)),
        lambda: world.storage.cpds("vol-1", "snap-1"),
        lambda: world.storage.put(volume("vol-1"), str(tmp_path / "large"), "raw"),
        lambda: world.storage.put(volume("vol-3"), str(tmp_path / "large"), "raw"),
        lambda: world.storage.revert(volume("vol-1", images.delta)),
    ):
        with pytest.raises(StepFailed, match="No space left") as caught:
            fails()
        assert caught.value.transient
    assert read(world.storage, "vol-1") == before
    assert set(world.storage.monitor().volumes) == {"vol-1"}
    (ground / "filler").unlink()
    assert not world.storage.monitor().strays
    world.storage.put(volume("vol-1"), str(tmp_path / "large"), "raw")
    assert read(world.storage, "vol-1") == grown((tmp_path / "large").read_bytes())
    world.storage.clone(volume("vol-2", images.raw))
    assert read(world.storage, "vol-2") == grown(images.base)


def test_a_read_only_store_says_so(world, images, ground, tmp_path):
    world.storage.clone(volume("vol-1", images.qcow2))
    world.storage.mkimage(volume("vol-2"))
    subprocess.run(["mount", "-o", "remount,ro", ground], check=True)
    try:
        for fails in (
            lambda: world.storage.clone(volume("vol-3", images.qcow2)),
            lambda: world.storage.mkimage(volume("vol-3")),
            lambda: world.storage.cpds("vol-2", "snap-1"),
            lambda: world.storage.begin_copy(volume("snap-1")),
            lambda: world.storage.put(volume("vol-2"), images.raw.path, "raw"),
            lambda: world.storage.revert(volume("vol-2", images.qcow2)),
            lambda: world.storage.resize("vol-2", 2 * SIZE),
            lambda: world.storage.context(ID, bytes(2048)),
            lambda: world.storage.delete("vol-2"),
        ):
            with pytest.raises(StepFailed, match="Read-only"):
                fails()
        # What needs no writing works.
        world.storage.clone(volume("vol-1", images.qcow2))
        world.storage.mkimage(volume("vol-2"))
        world.storage.ln("vol-1")
        world.storage.delete("vol-9")
        world.storage.delete_files(ID)
        world.storage.fetch("vol-2", str(tmp_path / "out"))
        assert set(world.storage.monitor().volumes) == {"vol-1", "vol-2"}
    finally:
        subprocess.run(["mount", "-o", "remount,rw", ground], check=True)
    assert read(world.storage, "vol-1") == grown(images.base)
    assert read(world.storage, "vol-2") == bytes(SIZE)


def _spec(spec: VolumeSpec) -> Any:
    return msgspec.to_builtins(spec)


ACTS = ["clone", "mkimage", "cpds", "put", "revert", "delete"]


@only("local-qcow2", "local-raw", "pool-qcow2", "pool-raw")
@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_moment_a_repetition_succeeds(world, images, killable, act):
    """Nothing half made is taken for whole, nothing whole is lost, and what was left goes."""
    old, new = grown(b""), grown(images.base)
    name = "vol-9"
    calls: dict[str, list[Any]] = {
        "clone": [_spec(volume(name, images.qcow2))],
        "mkimage": [_spec(volume(name)), "ext4"],
        "cpds": ["vol-1", name],
        "put": [_spec(volume(name)), images.raw.path, "raw"],
        "revert": [_spec(volume(name, images.qcow2))],
        "delete": [name],
    }
    replaces = act in {"put", "revert", "delete"}
    world.storage.clone(volume("vol-1", images.qcow2))
    if act == "clone":
        world.storage.delete("vol-1")
    stride = 1 if "directory" in world.kind or act == "delete" else 3
    ended, step = "", 0
    while ended != "done":
        step += stride
        if replaces and world.storage.volume(name) is None:
            world.storage.mkimage(volume(name))
        ended = killable({"kind": world.kind, "act": act, "arguments": calls[act], "step": step})
        assert ended in {"killed", "done"}, ended
        facts = world.storage.volume(name)
        if facts is None:
            assert not replaces or act == "delete"
            with pytest.raises(StepFailed):
                world.storage.ln(name)
        else:
            world.storage.ln(name)
            there = read(world.storage, name)
            if act == "mkimage":
                assert there[0x438:0x43A] == b"\x53\xef"
            else:
                assert there in ((old, new) if replaces else (new,))
        if ended == "done":
            break
        if not replaces and facts is not None:
            world.storage.delete(name)
            if act == "clone" and step % 2:
                world.storage.forget_image(images.qcow2.checksum)
    assert step > 3 * stride
    process_act = getattr(world.storage, act)
    process_act(*[msgspec.convert(one, VolumeSpec) if isinstance(one, dict) else one for one in calls[act]])
    assert not world.storage.monitor().strays, act
    if act == "delete":
        assert world.storage.volume(name) is None
    elif act != "mkimage":
        assert read(world.storage, name) == new


@only("pool-qcow2")
def test_the_daemon_dies_while_an_image_arrives(world, images, storage_daemon, tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(12 * MIB))
    world.storage.mkimage(volume("vol-1"))
    killed = threading.Event()

    def listener(at: int, _size: int) -> None:
        if at >= 4 * MIB and not killed.is_set():
            killed.set()
            storage_daemon.kill()

    spec = volume("vol-1")
    qcow2 = tmp_path / "large.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "large", qcow2], check=True)
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", qcow2, str(SIZE)], check=True)
    with pytest.raises((HostSilent, StepFailed)):
        world.storage.put(spec, str(qcow2), "qcow2", listener)
    assert killed.is_set()
    storage_daemon.start()
    until = time.monotonic() + 20
    while True:
        try:
            assert world.storage.volume("vol-1") is not None
            break
        except HostSilent:
            assert time.monotonic() < until
            time.sleep(0.2)
    assert read(world.storage, "vol-1") == bytes(SIZE)
    world.storage.put(spec, str(qcow2), "qcow2")
    assert read(world.storage, "vol-1") == grown((tmp_path / "large").read_bytes())
    assert not world.storage.monitor().strays


# Several at once ------------------------------------------------------------------------------------------


def _together(*acts: Callable[[], None]) -> list[BaseException]:
    """Do all of it at the same time, and answer what went wrong."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], None]) -> None:
        barrier.wait()
        try:
            act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@only(*KINDS)
def test_two_at_once_do_it_once(world, images):
    """Two hosts with the same store, or two processes with the same host."""
    both = (world.storage, world.other)
    for source, name in ((images.qcow2, "vol-1"), (images.raw, "vol-2"), (images.delta, "vol-3")):
        spec = volume(name, source)
        assert not _together(*[lambda one=one: one.clone(spec) for one in both])
        expected = images.changed if source is images.delta else images.base
        assert {one.path_of(name) for one in both} == {world.storage.path_of(name)}
        assert read(world.other, name) == grown(expected)
    assert not _together(*[lambda one=one: one.cpds("vol-1", "snap-1") for one in both])
    assert read(world.other, "snap-1") == grown(images.base)
    assert not _together(*[lambda one=one: one.resize("vol-1", 2 * SIZE) for one in both])
    assert {one.volume("vol-1").virtual_bytes for one in both} == {2 * SIZE}
    assert not _together(*[lambda one=one: one.delete("vol-2") for one in both])
    assert {one.volume("vol-2") for one in both} == {None}
    assert not _together(
        lambda: world.storage.forget_image(images.raw.checksum),
        lambda: world.other.clone(volume("vol-4", images.raw)),
    )
    assert read(world.storage, "vol-4") == grown(images.base)
    world.storage.ln("vol-4")


@only(*KINDS)
def test_many_clones_of_one_image_make_one_copy(world, images):
    names = [f"vol-{number}" for number in range(8)]
    acts = [lambda name=name: world.storage.clone(volume(name, images.qcow2)) for name in names]
    assert not _together(*acts)
    facts = world.storage.monitor()
    assert set(facts.volumes) == set(names)
    assert facts.images == {images.qcow2.checksum}
    assert not facts.strays


def test_sweep_takes_what_nobody_works_on(world, images, killable):
    kind, spec = world.kind, _spec(volume("vol-1", images.raw))
    step, strays = 0, frozenset()
    while not strays and step < 60:
        step += 1
        killable({"kind": kind, "act": "revert", "arguments": [spec], "step": step})
        strays = world.storage.monitor().strays
    assert strays
    assert world.storage.sweep(3600) == frozenset()
    assert world.storage.sweep(-1) == strays
    assert not world.storage.monitor().strays
