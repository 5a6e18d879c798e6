"""Waking the queues at once, without busy polling.

A worker must begin what any process has just committed. On PostgreSQL the enqueuing transaction notifies a
channel. SQLite has no such thing, but ``PRAGMA data_version`` says in some microseconds whether anybody has
committed since it was last asked; only then are the queues looked at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import text

from backend.jobs.database import Database, Ledger

CHANNEL: Final = "isthmus_jobs"
_TICK = 0.02
"""Seconds between looks at SQLite's counter, and between rings while work waits for a free place."""
_QUIET = 5.0
"""Seconds that a PostgreSQL watcher blocks before it looks at the queues without having been notified."""
_PAUSE = 1.0
"""Seconds before a lost connection is made again."""

_log = logging.getLogger(__name__)


class Bell:
    """Takes the place of the stop event that the library's queue loop waits on between two polls."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._stopped = False

    def ring(self) -> None:
        """Let the loop poll now."""
        self._rung.set()

    def stop(self) -> None:
        """Let the loop end."""
        self._stopped = True
        self._rung.set()

    def is_set(self) -> bool:
        """Whether the loop should end."""
        return self._stopped

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a ring or a time; answers whether the loop should end."""
        self._rung.wait(timeout)
        if not self._stopped:
            self._rung.clear()
        return self._stopped


class Watcher:
    """One thread that rings each queue's bell while work waits in it."""

    def __init__(self, database: Database, bells: Mapping[str, Bell]) -> None:
        self._database = database
        self._ledger = Ledger(database)
        self._bells = bells
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue-bell", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if not self._database.is_sqlite:
            with suppress(Exception), self._database.engine.begin() as connection:
                connection.execute(text(f"NOTIFY {CHANNEL}"))  # it may be blocked in waiting for one
        self._thread.join(timeout=_QUIET + _PAUSE)

    def _run(self) -> None:
        watch = self._watch_sqlite if self._database.is_sqlite else self._watch_postgres
        while not self._stop.is_set():
            try:
                watch()
            except Exception as error:  # the queues still poll at their own, slower interval
                if not self._stop.is_set():
                    _log.warning("watching the queue failed; trying again: %s", error)
                self._stop.wait(_PAUSE)

    def _watch_sqlite(self) -> None:
        reading = self._database.engine.connect().execution_options(isthmus_read=True)
        pooled = self._database.engine.raw_connection()
        pooled.detach()
        raw: Any = pooled.dbapi_connection
        seen, waits = None, True
        with reading as connection:
            connection.detach()  # for good, so that it is none of the pool's
            try:
                while not self._stop.wait(_TICK):
                    version = raw.execute("PRAGMA data_version").fetchone()
                    if waits or version != seen:
                        seen = version
                        with connection.begin():
                            waits = self._look(connection)
            finally:
                raw.close()

    def _watch_postgres(self) -> None:
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()
            driver: Any = connection.connection.dbapi_connection
            connection.execute(text(f"LISTEN {CHANNEL}"))
            waits = True
            while not self._stop.is_set():
                waits = self._look(connection)
                pause = _TICK if waits else _QUIET
                for _ in driver.notifies(timeout=pause, stop_after=1):
                    pass

    def _look(self, connection: Any) -> bool:
        queues = self._ledger.waiting_queues(connection)
        for queue in queues:
            self._bells[queue].ring()
        return bool(queues)
