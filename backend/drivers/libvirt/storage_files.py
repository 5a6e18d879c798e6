"""Disk files made on this machine: by ``qemu-img``, ``mke2fs`` and ``mkswap``, always with the format given.

Files are written to a path that the caller publishes or throws away. A key is handed over in memory that has
no name: it is neither in a file nor on a command line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final

from backend.drivers.libvirt.connection import Wait
from backend.drivers.libvirt.qcow2 import Qcow2, read_qcow2
from backend.drivers.libvirt.storage import FORMATS, QCOW2, RAW, check_image, volume_bytes
from backend.drivers.libvirt.storage_locks import NO_SPACE, failed
from backend.ports import HostSilent, ImageSource, Progress, StepFailed, VolumeSpec, no_progress

CHUNK: Final = 4 << 20
FICLONE: Final = 0x40049409
KNOWS_NO_HOLES: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
"""What a file system answers that cannot tell where a file has data."""
_KEY: Final = "key"
_LUKS: Final = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
"""The time to stretch the key in milliseconds: ours are random, and need no stretching."""
_CPU_CLOCK: Final = "Unable to get accurate CPU usage"
"""QEMU measures that time by a clock that stands still between two ticks, and gives up when it did."""
_CPU_CLOCK_TRIES: Final = 40
_LOOK_SECONDS: Final = 0.2
STANDSTILL_SECONDS: Final = 300.0
"""A program that has neither read nor written nor computed anything for so long has hung."""
_SBIN: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_FILESYSTEMS: Final = {
    "ext4": ("mke2fs", "-F", "-q", "-t", "ext4", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"),
    "swap": ("mkswap", "-q"),
}


# Making -------------------------------------------------------------------------------------------------


def make_empty(
    path: str,
    volume: VolumeSpec,
    form: str,
    filesystem: str = "",
    *,
    folder: Path | None = None,
    fds: Sequence[int] = (),
) -> None:
    """A disk of zeros, or with an empty file system, made in the folder."""
    size = volume_bytes(volume)
    if filesystem and filesystem not in _FILESYSTEMS:
        raise StepFailed(f"there is no making a file system {filesystem!r}")
    if not filesystem:
        create(path, size, form, key=volume.key, fds=fds)
    elif form == RAW:
        create(path, size, RAW)
        _run([*_FILESYSTEMS[filesystem], path], fds=fds)
    else:
        with unnamed_file(folder) as (raw, number):
            os.truncate(raw, size)
            _run([*_FILESYSTEMS[filesystem], raw], fds=[number])
            convert(plain(raw, RAW), path, form, target_key=volume.key, fds=[number, *fds])


def make_copy(path: str, source: ImageSource, volume: VolumeSpec, form: str, fds: Sequence[int] = ()) -> None:
    """A self-contained disk with an image's bytes, of the volume's size and key."""
    file = check_image(source)
    if source.encrypted and not volume.key:
        raise StepFailed(f"image {source.image_id} is encrypted, and there is no key")
    if source.encrypted and form != QCOW2:
        raise StepFailed(f"image {source.image_id} is encrypted, which {form} cannot be")
    if source.encrypted and not source.parents:
        copy_file(str(file), path)
    else:
        convert(
            chain_of(source),
            path,
            form,
            source_key=volume.key if source.encrypted else b"",
            target_key=volume.key,
            fds=fds,
        )
    grow(path, volume_bytes(volume), form, key=volume.key, fds=fds)


def create(path: str, size: int, form: str, *, key: bytes = b"", fds: Sequence[int] = ()) -> None:
    """A disk of zeros; with a key a LUKS qcow2."""
    if form == RAW:
        try:
            with Path(path).open("wb") as file:
                file.truncate(size)
        except OSError as error:
            raise failed("an empty disk", error) from error
    else:
        qemu_img("create", "-q", "-f", QCOW2, "-o", _options(form, key), path, str(size), key=key, fds=fds)


def create_linked(path: str, size: int, base: Path, base_format: str, fds: Sequence[int] = ()) -> None:
    """A qcow2 on top of a file."""
    backing = ("-b", str(base), "-F", base_format)
    qemu_img("create", "-q", "-f", QCOW2, "-o", _options(QCOW2, b""), *backing, path, str(size), fds=fds)


def convert(
    source: dict[str, Any],
    path: str,
    form: str,
    *,
    source_key: bytes = b"",
    target_key: bytes = b"",
    fds: Sequence[int] = (),
    progress: Progress = no_progress,
) -> None:
    """A self-contained disk with the bytes of a source (:func:`plain`, :func:`chain_of`).

    The two keys are the same, or one is empty.
    """
    if source_key:
        source = _unlocked(source)
    qemu_img(
        *("convert", "-q", "-O", form),
        *(("-o", _options(form, target_key)) if form == QCOW2 else ()),
        *("json:" + json.dumps(source), path),
        key=source_key or target_key,
        fds=fds,
        watch=_watch(path, progress),
    )


def grow(path: str, size: int, form: str, *, key: bytes = b"", fds: Sequence[int] = ()) -> None:
    """See that a disk has at least so many bytes; one that is in use is refused by QEMU's own lock."""
    if form == RAW:
        try:
            if Path(path).stat().st_size < size:
                os.truncate(path, size)
        except OSError as error:
            raise failed("growing a disk", error) from error
        return
    header = require_qcow2(Path(path))
    if header.virtual_bytes >= size:
        return
    if header.encrypted and not key:
        raise StepFailed("the disk is encrypted, and there is no key")
    node = plain(path, QCOW2)
    document = "json:" + json.dumps(_unlocked(node) if header.encrypted else node)
    qemu_img("resize", "-q", document, str(size), key=key if header.encrypted else b"", fds=fds)


def plain(path: str, form: str) -> dict[str, Any]:
    """QEMU's description of one file and nothing else."""
    node: dict[str, Any] = {"driver": form, "file": {"driver": "file", "filename": path}}
    return node | {"backing": None} if form == QCOW2 else node


def linked(path: str, form: str) -> dict[str, Any]:
    """QEMU's description of a file of ours with the files that its header names."""
    return {"driver": form, "file": {"driver": "file", "filename": path}}


def chain_of(source: ImageSource) -> dict[str, Any]:
    """QEMU's description of an image and exactly those parents that it is said to have.

    Raises:
        StepFailed: a header names another file than the next parent, or the last one any.
    """
    files = [(str(check_image(source)), source.format)]
    for number, parent in enumerate(source.parents):
        above = require_qcow2(Path(files[-1][0]))
        if Path(above.backing).name != Path(parent).name or above.backing_format not in FORMATS:
            raise StepFailed(f"image {source.image_id} is not made on the parent that it is said to have")
        header = read_qcow2(Path(parent)) if above.backing_format == QCOW2 else None
        last = number + 1 == len(source.parents)
        if header is not None and (header.external_data or bool(header.backing) is last):
            raise StepFailed(f"image {source.image_id} refers to another file")
        files.append((parent, above.backing_format))
    node: dict[str, Any] | None = None
    for path, form in reversed(files):
        node = plain(path, form) | ({"backing": node} if form == QCOW2 else {})
    assert node is not None
    return node


def _unlocked(node: dict[str, Any]) -> dict[str, Any]:
    """The same with the key for every qcow2 in it."""
    if node["driver"] != QCOW2:
        return node
    backing = node.get("backing")
    below = {"backing": _unlocked(backing)} if backing else {}
    return node | {"encrypt.key-secret": _KEY} | below


def _options(form: str, key: bytes) -> str:
    return ",".join(["compat=1.1", *([_LUKS] if key and form == QCOW2 else [])])


# Looking and copying ------------------------------------------------------------------------------------


def require_qcow2(path: Path) -> Qcow2:
    """A file's header; raises StepFailed when it is no qcow2, or not there."""
    try:
        header = read_qcow2(path)
    except OSError as error:
        raise failed(path.name, error) from error
    if header is None:
        raise StepFailed(f"{path.name} is not qcow2")
    return header


def incoming(path: str, form: str, key: bytes) -> Qcow2 | None:
    """The header of a file that is to become a volume (None: raw), after looking that it leads nowhere."""
    if form == RAW:
        return None
    if form != QCOW2:
        raise StepFailed(f"a volume cannot be put from {form}")
    header = require_qcow2(Path(path))
    if header.backing or header.external_data:
        raise StepFailed(f"{Path(path).name} refers to another file")
    if header.encrypted and not key:
        raise StepFailed(f"{Path(path).name} is encrypted, and there is no key")
    return header


def as_it_is(header: Qcow2 | None, form: str, key: bytes) -> bool:
    """Whether a file with this header can be a volume of that format and key without conversion."""
    if header is None:
        return form == RAW and not key
    return form == QCOW2 and header.version >= 3 and header.encrypted == bool(key)


def copy_file(source: str, target: str, progress: Progress = no_progress) -> None:
    """The same bytes in another file (made or replaced): a shared extent, or a copy that keeps holes."""
    try:
        with (
            Path(source).open("rb", buffering=0) as reader,
            open(target, "wb", buffering=0, opener=_private) as writer,
        ):
            size = os.fstat(reader.fileno()).st_size
            try:
                fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
            except OSError:
                os.ftruncate(writer.fileno(), 0)
                for start, end in extents(reader, size):
                    _copy_range(reader.fileno(), writer.fileno(), start, end, size, progress)
                os.ftruncate(writer.fileno(), size)
            os.fsync(writer.fileno())
    except OSError as error:
        raise failed("copying a disk", error) from error
    progress(size, size)


def extents(file: FileIO, size: int, here: int = 0) -> Iterator[tuple[int, int]]:
    """Where a file has data, as (start, end), from one place to another.

    The file is asked for its descriptor each time: who reads for somebody that has given up and closed it
    must not read what has that number now.

    Raises:
        OSError: the file cannot be read, which must not be taken for a hole.
    """
    while here < size:
        try:
            start = os.lseek(file.fileno(), here, os.SEEK_DATA)
            end = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno in KNOWS_NO_HOLES:
                yield here, size
            elif error.errno != errno.ENXIO:  # there is no data after here
                raise
            return
        if start >= size:
            return
        yield start, end
        here = end


def _copy_range(reader: int, writer: int, start: int, end: int, size: int, progress: Progress) -> None:
    os.lseek(writer, start, os.SEEK_SET)
    here = start
    while here < end:
        sent = os.sendfile(writer, reader, here, min(CHUNK, end - here))
        if sent == 0:
            raise OSError(5, "the file became shorter")
        here += sent
        progress(here, size)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def unnamed_file(folder: Path | None = None) -> Iterator[tuple[str, int]]:
    """A file that is gone with this process: its path for children that are given the descriptor.

    It lies in the folder, where there is room for what it is of, if that can be written to.
    """
    place = folder if folder is not None and os.access(folder, os.W_OK) else None
    try:
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - closed below
    except OSError as error:
        raise failed("a temporary file", error) from error
    with file:
        yield f"/proc/self/fd/{file.fileno()}", file.fileno()


# Programs -----------------------------------------------------------------------------------------------


def qemu_img(
    command: str,
    *arguments: str,
    key: bytes = b"",
    fds: Sequence[int] = (),
    watch: Callable[[], None] | None = None,
) -> None:
    """Run ``qemu-img``. A key is its secret ``key``."""
    with _secret(key) as (options, descriptors):
        line = ["qemu-img", command, *options, *arguments]
        for left in reversed(range(_CPU_CLOCK_TRIES)):
            try:
                _run(line, fds=[*fds, *descriptors], watch=watch)
            except StepFailed as error:
                if left == 0 or _CPU_CLOCK not in str(error):
                    raise
            else:
                return


@contextlib.contextmanager
def _secret(key: bytes) -> Iterator[tuple[list[str], list[int]]]:
    """QEMU's options for a secret that lies in memory without a name, and the descriptor to be given."""
    if not key:
        yield [], []
        return
    memory = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(memory, key)
        yield ["--object", f"secret,id={_KEY},file=/proc/self/fd/{memory}"], [memory]
    finally:
        os.close(memory)


def _run(line: Sequence[str], *, fds: Sequence[int] = (), watch: Callable[[], None] | None = None) -> None:
    """Run a program; raises StepFailed with its last words, HostSilent when it makes no headway."""
    program = shutil.which(line[0]) or shutil.which(line[0], path=":".join(_SBIN))
    if program is None:
        raise StepFailed(f"{line[0]} is not installed")
    process = subprocess.Popen(
        [program, *line[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=tuple(fds),
        env=os.environ | {"LC_ALL": "C"},
    )
    try:
        said = _last_words(process, watch)
    except BaseException:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a hung disk does not let it end
            process.communicate(timeout=Wait.FAST.value)
        raise
    if process.returncode:
        text = f"{line[0]}: {said.decode(errors='replace').strip()}"
        raise StepFailed(text, transient=NO_SPACE in text)


def _last_words(process: subprocess.Popen[bytes], watch: Callable[[], None] | None) -> bytes:
    done, moved = _headway(process.pid), time.monotonic()
    while time.monotonic() - moved < STANDSTILL_SECONDS:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_LOOK_SECONDS)[1]
        if watch is not None:
            watch()
        if (now := _headway(process.pid)) != done:
            done, moved = now, time.monotonic()
    raise HostSilent("a program makes no headway; the disk may be hung")


def _headway(pid: int) -> str:
    """What a process has read, written and computed; it changes while the process gets anywhere."""
    try:
        counters = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
        return counters + " ".join(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
    except OSError:
        return ""


def _watch(path: str, progress: Progress) -> Callable[[], None] | None:
    """Tells how much of a file is there while another process writes it."""
    if progress is no_progress:
        return None

    def look() -> None:
        with contextlib.suppress(OSError):
            there = Path(path).stat()
            progress(min(there.st_blocks * 512, there.st_size), there.st_size)

    return look
