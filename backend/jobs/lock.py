"""One living worker per executor name, and one worker per SQLite file.

Recovery puts everything that a name had begun back on the queue, so two processes with one name would run the
same job at the same time. The operating system or PostgreSQL lets a lock go when its holder dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text

from backend.jobs.database import Database

_log = logging.getLogger(__name__)


class ExecutorTaken(Exception):  # noqa: N818 - it says what is the case
    """Another living worker holds the name (or, on SQLite, the database)."""


class Lock(Protocol):
    """A lock held until it is released or the process ends."""

    def release(self) -> None:
        """Let it go."""
        ...


def lock(database: Database, executor: str) -> Lock:
    """Take the lock.

    Raises:
        ExecutorTaken: somebody else holds it.
    """
    return FileLock(database) if database.is_sqlite else AdvisoryLock(database, executor)


class FileLock:
    """A lock file beside the SQLite database: it has one worker, whatever its name."""

    def __init__(self, database: Database) -> None:
        path = Path(f"{database.engine.url.database}.worker.lock")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise ExecutorTaken(
                f"Another worker (process {holder}) runs on {database.engine.url.database}: "
                "SQLite allows one. Stop it first, or use PostgreSQL for several workers."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


class AdvisoryLock:
    """A session lock of PostgreSQL under the executor's name, on a connection kept for it."""

    def __init__(self, database: Database, executor: str) -> None:
        self._connection: Connection = database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        )
        self._connection.detach()
        taken = self._connection.execute(
            text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"),
            {"name": f"isthmus executor {executor}"},
        ).scalar_one()
        if not taken:
            self._connection.close()
            raise ExecutorTaken(
                f"Another worker runs under the name {executor!r}: each needs a name of its own."
            )

    def release(self) -> None:
        """Let it go."""
        with suppress(Exception):  # a lost connection has let it go already
            self._connection.close()
