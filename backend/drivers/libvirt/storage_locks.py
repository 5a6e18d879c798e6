"""Locks between processes, and between hosts that share a directory: one file each, gone when not held.

The kernel releases the lock of a process that dies, and its file is taken over by the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.ports import HostSilent, StepFailed

LOCK: Final = ".lock"
PATIENCE: Final = 1800.0
"""Seconds that another may take for the same thing, such as a copy of a large image."""
_PAUSE: Final = 0.02
_FLOCK: Final = "hhqqi4x"
_QEMU_LOCKS: Final = (100, 200)
"""Offset and length of the bytes by which QEMU marks a file as open (``RAW_LOCK_*_BASE``)."""


@contextlib.contextmanager
def locked(path: Path, *, patience: float = PATIENCE, shared: bool = False) -> Iterator[int]:
    """Hold the lock of a name; gives the descriptor, which holds it as long as any process has it open.

    Those who hold it ``shared`` hold it together, and nobody else.

    Raises:
        HostSilent: somebody else has held it for ``patience`` seconds.
        StepFailed: there can be no lock here, as in a store that is read-only.
    """
    lock = path.with_name(path.name + LOCK)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    descriptor = _acquire(lock, kind, time.monotonic() + patience)
    try:
        yield descriptor
    finally:
        if (not shared or _is_last(descriptor)) and _is_at(lock, descriptor):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Whether a QEMU process has a disk open."""
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *_QEMU_LOCKS, 0)
    with path.open("rb") as file:
        answer = fcntl.fcntl(file.fileno(), fcntl.F_OFD_GETLK, question)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _is_last(descriptor: int) -> bool:
    """Whether nobody else holds a shared lock, which is then held alone, or else given up."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _acquire(lock: Path, kind: int, until: float) -> int:
    while True:
        try:
            lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # the directory went with its last instance
        except OSError as error:
            raise failed(lock.name, error) from error
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            if _is_at(lock, descriptor):  # else its last holder has removed it meanwhile
                return descriptor
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(descriptor)
                raise HostSilent(f"{lock.name} is held by somebody else") from None
            time.sleep(_PAUSE)
        except OSError as error:
            os.close(descriptor)
            raise failed(lock.name, error) from error
        os.close(descriptor)


def _is_at(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except OSError:
        return False


NO_SPACE: Final = "No space left on device"


def failed(what: str, error: OSError) -> StepFailed:
    """What a system call's failure means: a full store is worth another try."""
    text = f"{what}: {error.strerror}"
    return StepFailed(text, transient=NO_SPACE in text)
