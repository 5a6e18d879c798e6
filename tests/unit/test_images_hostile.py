"""Hostile images: refused with a clear sentence, and nothing outside the store is read or written.

What is opened is watched by the kernel: every hostile image here leads to a sentinel, and inotify tells when
anybody opens one.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from backend.errors import BackendError, Code
from backend.images import ImageStore, Limits, Sources, qemu_img
from tests.support.disk_images import (
    CLUSTER,
    MIB,
    converted,
    patched,
    qcow2,
    raw_disk,
    vmdk,
    vmdk_descriptor,
)
from tests.support.disk_images import qemu_img as tool

LIMITS = Limits(spare_bytes=0, seconds=20)
_IN_ACCESS, _IN_OPEN, _IN_MODIFY = 0x1, 0x20, 0x2


class Watch:
    """What has been opened, read or written of some files, as the kernel saw it."""

    def __init__(self, *paths):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0
        for path in paths:
            mask = _IN_ACCESS | _IN_OPEN | _IN_MODIFY
            assert self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), mask) >= 0

    def seen(self):
        try:
            return len(os.read(self._descriptor, 1 << 16))
        except BlockingIOError:
            return 0

    def close(self):
        os.close(self._descriptor)


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images", Sources(directories=None), limits=LIMITS)


@pytest.fixture
def sentinel(tmp_path):
    """A file that hostile images lead to: a sound raw disk, so that whoever opens it goes on."""
    return raw_disk(tmp_path / "sentinel.raw", MIB)


@pytest.fixture
def watch(sentinel):
    watched = Watch(sentinel)
    yield watched
    watched.close()


def hostile(folder, sentinel):
    """Images that lead to the sentinel, by every way their formats have."""
    folder.mkdir()
    name, out = str(sentinel), {}

    def add(label, data):
        out[label] = folder / label
        out[label].write_bytes(data)

    for form in ("raw", "qcow2"):
        out[f"backing-{form}"] = folder / f"backing-{form}"
        tool("create", "-u", "-f", "qcow2", "-b", name, "-F", form, out[f"backing-{form}"], "1M")
    for label, text in {
        "relative": os.path.relpath(sentinel, folder),
        "json": f'json:{{"driver":"raw","file":{{"driver":"file","filename":"{name}"}}}}',
        "file": f"file:{name}",
        "blkdebug": f"blkdebug::{name}",
        "v2": name,
    }.items():
        add(f"backing-{label}", qcow2(backing=text.encode(), version=2 if label == "v2" else 3, size=MIB))
    out["data-file"] = folder / "data-file"
    content = sentinel.read_bytes()
    tool("create", "-f", "qcow2", "-o", f"data_file={name}", out["data-file"], "1M")
    sentinel.write_bytes(content)  # which making the image has emptied
    extension = struct.pack(">II", 0x44415441, len(name)) + name.encode().ljust(-(-len(name) // 8) * 8, b"\0")
    add("data-file-unmarked", qcow2(size=MIB, extensions=extension))
    sectors = MIB // 512
    add("vmdk-flat", vmdk_descriptor(f'RW {sectors} FLAT "{name}" 0'))
    add("vmdk-sparse", vmdk_descriptor(f'RW {sectors} SPARSE "{name}"'))
    add("vmdk-relative", vmdk_descriptor(f'RW {sectors} FLAT "{os.path.relpath(sentinel, folder)}" 0'))
    add("vmdk-inside-flat", vmdk(kind="monolithicFlat", extent=f'RW {sectors} FLAT "{name}" 0', capacity=0))
    add("vmdk-inside", vmdk(extent=f'RW {sectors} FLAT "{name}" 0', capacity=0))
    add("vmdk-two", vmdk(extent=f'RW 8192 SPARSE "x.vmdk"\nRW {sectors} FLAT "{name}" 0'))
    add("vmdk-parent", vmdk(parent="1", more=f'parentFileNameHint="{name}"\n'))
    add("vmdk-parent-hint", vmdk(more=f'parentFileNameHint="{name}"\n'))
    return out


def test_no_image_leads_out_of_the_store(store, sentinel, watch, tmp_path):
    images = hostile(tmp_path / "hostile", sentinel)
    before = sentinel.stat()
    watch.seen()
    assert len(images) >= 15
    for label, path in images.items():
        for form in ("", "qcow2", "vmdk"):
            with pytest.raises(BackendError) as refused:
                store.bring("one", str(path), form)
            assert refused.value.code is Code.IMAGE_UNREADABLE, label
            assert str(sentinel) not in refused.value.message
        assert not watch.seen(), label
        assert store.files() == frozenset()
    after = sentinel.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_taken_as_raw_they_are_bytes_and_nothing_more(store, sentinel, watch, tmp_path):
    for label, path in hostile(tmp_path / "hostile", sentinel).items():
        if path.stat().st_size % 512:
            os.truncate(path, -(-path.stat().st_size // 512) * 512)
        watch.seen()
        content = store.bring("one", str(path), "raw")
        store.export(content, [], "raw", str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == path.read_bytes(), label
        assert not watch.seen(), label
        store.drop("one")


def test_the_watch_sees_what_an_unguarded_tool_does(sentinel, watch, tmp_path):
    images = hostile(tmp_path / "hostile", sentinel)
    watch.seen()
    seen = set()
    for label, path in images.items():
        subprocess.run(
            ["qemu-img", "convert", "-O", "raw", path, tmp_path / "out"], capture_output=True, check=False
        )
        if watch.seen():
            seen.add(label)
    assert {"backing-raw", "backing-json", "data-file", "vmdk-flat", "vmdk-inside-flat"} - seen == set()


def test_even_a_header_that_slips_through_leads_nowhere(sentinel, watch, tmp_path):
    """The tool is given no backing file, whatever the image says."""
    tool("create", "-u", "-f", "qcow2", "-b", sentinel, "-F", "raw", tmp_path / "slipped", "1M")
    watch.seen()
    qemu_img.check(tmp_path, "slipped", "qcow2", LIMITS)
    qemu_img.convert(tmp_path, qemu_img.node("slipped", "qcow2"), "out", "raw", LIMITS, output_bytes=1 << 30)
    assert not watch.seen()
    assert (tmp_path / "out").read_bytes() == bytes(MIB)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_what_is_opened_while_images_come_in(tmp_path, sentinel):
    """Every file that the store and its tool open, from the calls themselves."""
    folder = tmp_path / "hostile"
    images = [*hostile(folder, sentinel).values(), converted(sentinel, folder / "good.vmdk", "vmdk")]
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from backend.images import ImageStore, Sources\nfrom backend.errors import BackendError\n"
        "store = ImageStore(Path(sys.argv[1]), Sources(directories=None))\n"
        "import http.client, msgspec.json, encodings.idna\n"
        "Path('/').stat(); print('begin', flush=True); (Path(sys.argv[1]) / 'begin').exists()\n"
        "for path in sys.argv[2:]:\n"
        "    try:\n        store.bring('one', path); print('kept')\n    except BackendError: pass\n"
        "    store.drop('one')\n"
    )
    trace = tmp_path / "trace"
    calls = (
        "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,truncate,connect,stat,newfstatat"
    )
    command = ["strace", "-f", "-y", "-e", f"trace={calls}", "-o", trace, sys.executable, "-c", program]
    done = subprocess.run(
        [*command, tmp_path / "images", *images], capture_output=True, text=True, check=False
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("processes cannot be traced here")
    assert done.stdout == "begin\nkept\n", done.stderr
    lines = trace.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if f"{tmp_path}/images/begin" in line)
    assert not [line for line in lines[begin:] if str(sentinel) in line]
    assert not [line for line in lines[begin:] if "connect(" in line and "AF_INET" in line]
    written = [
        line for line in lines[begin:] if any(flag in line for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
    ]
    assert written
    for line in written:
        where = line.split("(", 1)[1]
        assert str(tmp_path / "images") in line or '"/dev/null"' in where or ".one" in where, line


# Bombs


def test_eight_exabytes_of_nothing(store, tmp_path):
    for name in ("huge", "large"):
        path = tmp_path / name
        with path.open("wb") as file:
            try:
                file.truncate((1 << 63) - 512 if name == "huge" else 9 << 40)
            except OSError:
                file.truncate(9 << 40)  # as much as this file system can pretend to have
        with pytest.raises(BackendError, match="allowed|too long"):
            store.bring("one", str(path))  # to read it would take days
        path.unlink()


def test_eight_exabytes_in_a_shared_memory_file(tmp_path):
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        pytest.skip("there is no shared memory")
    path = shared / f"isthmus-{os.getpid()}"
    store = ImageStore(tmp_path / "images", Sources(directories=None), limits=LIMITS)
    try:
        with path.open("wb") as file:
            file.truncate((1 << 63) - 4096)
        with pytest.raises(BackendError, match="9223372036854771712 bytes"):
            store.bring("one", str(path))
    finally:
        path.unlink(missing_ok=True)
    assert store.files() == frozenset()


def stream_optimized_bomb(path, virtual=1 << 40):
    """A VMDK of a few kilobytes whose every block is the same compressed one, full of ones."""
    grain_sectors, entries = 128, 512
    packed = zlib.compress(b"\xff" * (grain_sectors * 512), 9)
    capacity = virtual // 512
    tables = -(-capacity // (grain_sectors * entries))
    directory_at = 64
    table_at = directory_at + -(-tables * 4 // 512)
    grain_at = table_at + 4
    whole = bytearray((grain_at + 8) * 512)
    whole[: 64 * 512] = vmdk(
        kind="streamOptimized", capacity=capacity, version=3, directory=directory_at, length=64 * 512
    )
    whole[8:12] = struct.pack("<I", 0x30001)
    whole[77:79] = struct.pack("<H", 1)
    whole[directory_at * 512 : directory_at * 512 + tables * 4] = struct.pack("<I", table_at) * tables
    whole[table_at * 512 : (table_at + 4) * 512] = struct.pack("<I", grain_at) * entries
    whole[grain_at * 512 : grain_at * 512 + 12 + len(packed)] = struct.pack("<QI", 0, len(packed)) + packed
    path.write_bytes(whole)
    return path


def test_a_bomb_stops_at_the_room_there_is(tmp_path):
    bomb = stream_optimized_bomb(tmp_path / "bomb.vmdk", virtual=64 << 30)
    store = ImageStore(tmp_path / "images", Sources(directories=None), limits=LIMITS)
    free = os.statvfs(tmp_path)
    tight = Limits(spare_bytes=free.f_bavail * free.f_frsize - 32 * MIB)
    with pytest.raises(BackendError, match="more bytes than are allowed"):
        ImageStore(store.folder, store.sources, limits=tight).bring("one", str(bomb))
    assert store.files() == frozenset()
    assert sum(path.stat().st_blocks for path in store.folder.rglob("*")) * 512 < MIB


def test_a_bomb_of_a_moderate_disk_is_that_disk_and_no_more(tmp_path):
    bomb = stream_optimized_bomb(tmp_path / "bomb.vmdk", virtual=16 * MIB)
    assert bomb.stat().st_size < 64 << 10
    store = ImageStore(tmp_path / "images", Sources(directories=None), limits=LIMITS)
    content = store.bring("one", str(bomb))
    assert content.virtual_bytes == 16 * MIB
    assert content.size_bytes < 18 * MIB


def test_memory_and_time_of_the_tool_are_bounded(tmp_path):
    raw = raw_disk(tmp_path / "disk.raw")
    vmdk_path = converted(raw, tmp_path / "disk.vmdk", "vmdk")
    poor = ImageStore(
        tmp_path / "images",
        Sources(directories=None),
        limits=Limits(spare_bytes=0, memory_bytes=8 << 20),
    )
    with pytest.raises(BackendError):
        poor.bring("one", str(vmdk_path))
    hurried = ImageStore(
        tmp_path / "images", Sources(directories=None), limits=Limits(spare_bytes=0, seconds=0)
    )
    with pytest.raises(BackendError, match="too long"):
        hurried.bring("one", str(vmdk_path))
    assert poor.files() == frozenset()


# Truncated


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vmdk-stream", "vdi", "vhdx", "vpc", "vpc-fixed"])
def test_a_truncated_image_is_refused(store, tmp_path, form):
    data = tmp_path / "data"
    data.write_bytes(os.urandom(4 * MIB))
    kind = {"stream": {"subformat": "streamOptimized"}, "fixed": {"subformat": "fixed"}}
    name, _, more = form.partition("-")
    whole = converted(data, tmp_path / "whole", name, **kind.get(more, {}))
    size = whole.stat().st_size
    assert store.bring("whole", str(whole), name).virtual_bytes >= 4 * MIB
    store.drop("whole")
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        for length in {
            int(size * share),
            int(size * share) // 512 * 512,
            int(size * share) // CLUSTER * CLUSTER,
        }:
            cut = tmp_path / "cut"
            cut.write_bytes(whole.read_bytes()[:length])
            with pytest.raises(BackendError) as refused:
                store.bring("one", str(cut), name)
            assert refused.value.code is Code.IMAGE_UNREADABLE, (form, length)


def test_tables_that_lead_beyond_the_file(store, tmp_path):
    whole = converted(raw_disk(tmp_path / "disk"), tmp_path / "whole", "qcow2")
    l1_at = struct.unpack_from(">Q", whole.read_bytes(), 40)[0]
    patched(whole, l1_at, struct.pack(">Q", (1 << 63) | (1 << 40)))
    with pytest.raises(BackendError):
        store.bring("one", str(whole))


# Files that are none


def test_pipes_and_devices_are_no_images(store, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero", "/dev/random", tmp_path, "/proc/kmsg"):
        with pytest.raises(BackendError):
            store.bring("one", str(path))


def test_tenants_reach_only_the_directories_of_the_operator(tmp_path):
    open_to_all, secret = tmp_path / "open", tmp_path / "secret"
    open_to_all.mkdir()
    secret.mkdir()
    uploads = tmp_path / "uploads"
    (uploads / "tenant").mkdir(parents=True)
    (uploads / "other").mkdir()
    raw_disk(open_to_all / "disk")
    raw_disk(secret / "disk")
    raw_disk(uploads / "tenant" / "disk")
    raw_disk(uploads / "other" / "disk")
    (open_to_all / "link").symlink_to(secret / "disk")
    (open_to_all / "folder").symlink_to(secret)
    (uploads / "tenant" / "link").symlink_to(uploads / "other" / "disk")
    store = ImageStore(
        tmp_path / "images", Sources(directories=(open_to_all,), uploads=uploads), limits=LIMITS
    )
    for number, location in enumerate(
        (
            str(open_to_all / "disk"),
            f"file://{open_to_all}/disk",
            f"file://localhost{open_to_all}/disk",
            "upload:tenant/disk",
        )
    ):
        assert store.bring(f"n{number}", location).format == "raw"
    for location in (
        str(secret / "disk"),
        str(open_to_all / "link"),
        str(open_to_all / "folder" / "disk"),
        f"{open_to_all}/../secret/disk",
        f"file://{open_to_all}/..%2fsecret/disk",
        f"file://elsewhere{open_to_all}/disk",
        "upload:tenant/link",
        "upload:tenant/../other/disk",
        "upload:tenant",
        "upload:/etc/passwd",
        "upload:tenant/absent",
        "ftp://example.org/disk",
        "nbd://localhost/disk",
        "json:{}",
        f"open/../{open_to_all}/disk",
        "",
    ):
        with pytest.raises(BackendError) as refused:
            store.bring("one", location)
        assert refused.value.code is Code.IMAGE_UNREADABLE
    nothing = ImageStore(tmp_path / "images", limits=LIMITS)
    for location in (str(open_to_all / "disk"), "upload:tenant/disk", "http://example.org/disk"):
        with pytest.raises(BackendError):
            nothing.bring("one", location)
