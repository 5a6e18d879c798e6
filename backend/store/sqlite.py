"""SQLite as a server uses it: a write-ahead log, commits that reach the disk, writers that take turns.

SQLite's own writers poll for the file's lock with pauses of up to 100 ms, so that whoever writes little waits
seconds for whoever writes much. Here each takes a file lock beside the database first: the operating system
wakes the next in line, and lets the lock go when its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from typing import Any, Final, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

READING: Final = "isthmus_read"
"""Execution option of a connection that only reads, and so waits for nobody."""

_BUSY_MILLISECONDS: Final = 30_000  # for programs that do not know of the turns


class _Connection(sqlite3.Connection):
    """A connection with a place in the line of writers."""

    _line: int | None = None

    def join(self, path: str) -> None:
        """Open the lock file."""
        self._line = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take_turn(self) -> None:
        """Wait until no other connection writes."""
        if self._line is not None:
            fcntl.flock(self._line, fcntl.LOCK_EX)

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self._pass_on()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._pass_on()

    def close(self) -> None:
        super().close()
        if self._line is not None:
            os.close(self._line)
            self._line = None

    def _pass_on(self) -> None:
        if self._line is not None and not self.in_transaction:
            fcntl.flock(self._line, fcntl.LOCK_UN)


def sqlite_engine(url: URL) -> Engine:
    """An engine on a file, or on a database in memory that all threads share."""
    in_memory = not url.database or url.database == ":memory:"
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "factory": _Connection}}
    if in_memory:
        options["poolclass"] = StaticPool
    else:  # a thread for each host and job may need one; their turns order them, not the pool
        options |= {"pool_size": 16, "max_overflow": -1}
    engine = create_engine(url, hide_parameters=True, **options)  # they may be secrets

    @event.listens_for(engine, "connect")
    def connected(connection: _Connection, _record: object) -> None:
        if not in_memory:
            connection.join(f"{url.database}.turn.lock")
        _prepare(connection)

    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: _Connection) -> None:
    """Transactions are begun by us, not guessed by the driver, and every commit reaches the disk.

    Guests on other hosts outlive a power cut here: a database that had forgotten them would start them twice.
    """
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={_BUSY_MILLISECONDS}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-65536",
    ):
        connection.execute(f"PRAGMA {pragma}")
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):  # once in a file's life
        connection.take_turn()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        finally:
            connection.rollback()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(READING, False):
        connection.exec_driver_sql("BEGIN")
        return
    driver = cast("_Connection", connection.connection.dbapi_connection)
    driver.take_turn()
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except BaseException:
        driver.rollback()
        raise
