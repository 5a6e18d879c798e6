"""Work in progress in the image store by processes other than the worker, which has its tasks.

Each has a lock file beside it for as long as its process lives. What a killed process left is removed by the
next that begins, by the worker's start, and before a check.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backend.images import ImageStore
from gateway.home import PRIVATE_FILE, PRIVATE_FOLDER

_LOCK: Final = re.compile(r"(import-[0-9a-f]{16})\.lock")


@contextmanager
def scratch_name(store: ImageStore, run: Path) -> Iterator[str]:
    """A scratch name of the image store's; what is under it goes in the end. Locks lie in ``run``."""
    sweep(store, run)
    name = f"import-{secrets.token_hex(8)}"
    run.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    lock = run / f"{name}.lock"
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield name
    finally:
        store.drop(name)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(store: ImageStore, run: Path) -> None:
    """Remove what processes of this machine left that do not live any more."""
    for lock in run.glob("import-*.lock"):
        match = _LOCK.fullmatch(lock.name)
        if match is None:
            continue
        with contextlib.suppress(OSError):  # it has just ended, or it lives: LOCK_NB
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                store.drop(match[1])
                lock.unlink()
            finally:
                os.close(descriptor)


def living(run: Path) -> frozenset[str]:
    """The scratch names of processes of this machine, after a sweep."""
    return frozenset(match[1] for lock in run.glob("import-*.lock") if (match := _LOCK.fullmatch(lock.name)))
