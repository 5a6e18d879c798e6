"""Where the web processes of one master keep their counters: in memory, in a directory of its own.

Prometheus' library maps sparse files into memory. On a full disk a process that counts would die of SIGBUS,
with every request; and two masters must not remove each other's files. Not to be imported after the library,
which looks for the directory when it is loaded.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "isthmus-metrics-"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directories made there are closed to others


class MetricFiles:
    """A directory that nobody else can read, locked for as long as the master or a child of it lives."""

    def __init__(self, otherwise: Path, *, memory: Path = _MEMORY) -> None:
        """Make it in memory, or below ``otherwise`` where there is no such place; remove dead masters'."""
        parent = memory if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK) else otherwise
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(parent)
        self._master = os.getpid()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            self._lock = _locked(self.path)
            if self._lock is not None and self.path.exists():  # nobody swept it before it was locked
                return

    def remove(self) -> None:
        """Remove it; in a forked child this does nothing."""
        if os.getpid() == self._master:
            shutil.rmtree(self.path, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None when somebody else does, or it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path) -> None:
    """Remove what masters of ours left that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
        descriptor = _locked(folder)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
