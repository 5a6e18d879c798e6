"""Enqueuing, from any process: web workers, the command line, and the worker itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from backend.jobs.bell import CHANNEL
from backend.jobs.database import JOB, SCHEDULE, Database, Ledger
from backend.ports import JobQueue

if TYPE_CHECKING:
    from dbos import DBOSClient


class Queue(JobQueue):
    """The queue of a database. Made before a fork it opens nothing; each process makes its own client."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ledger = Ledger(database)
        self._lock = threading.Lock()
        self._client: tuple[int, DBOSClient] | None = None
        self._ring = text(f"NOTIFY {CHANNEL}")

    def enqueue(self, connection: Any, name: str, key: str, argument: str) -> None:
        """Enqueue inside the caller's transaction: committed together, or neither.

        ``name`` is ``job`` (argument: job id) or ``schedule`` (no argument; a pass that waits already may
        serve). The same key twice is one piece of work.
        """
        if name == SCHEDULE and self._pass_waits(connection):
            return
        arguments = (argument,) if name == JOB else ()
        client = self.client()
        client.enqueue_in_transaction(
            connection, {"queue_name": name, "workflow_name": name, "workflow_id": key}, *arguments
        )
        if not self._database.is_sqlite:
            connection.execute(self._ring)

    def cancel(self, key: str) -> None:
        """Take a piece of work off the queue if it has not begun."""
        with self._database.engine.begin() as connection:
            self._ledger.cancel(connection, key, time.time())

    def status(self, key: str) -> str | None:
        """``ENQUEUED``, ``PENDING`` (begun), ``SUCCESS``, ``ERROR``, ``CANCELLED``; None when unknown."""
        with self._reading() as connection:
            return self._ledger.state(connection, key)

    def list(self) -> Sequence[str]:
        """Keys of work not finished."""
        with self._reading() as connection:
            return self._ledger.open_keys(connection)

    def recover(self, executors: Sequence[str]) -> int:
        """Put the begun work of dead executors back on the queue; answers how much."""
        from backend.jobs import library

        return library.recover(self.client(), executors, JOB)

    def purge(self, before: float) -> int:
        """Forget work that was over before a Unix time; answers how much."""
        total = 0
        while True:
            with self._database.engine.begin() as connection:
                found = self._ledger.forget(connection, before)
            if not found:
                return total
            total += found

    def client(self) -> DBOSClient:
        """This process's client, made on first use (and again in a forked child)."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                from backend.jobs import library

                self._client = (os.getpid(), library.system(self._database))
            return self._client[1]

    def _pass_waits(self, connection: Connection) -> bool:
        """Whether a scheduler pass waits already, which will see what this transaction commits.

        Certain on SQLite only: the caller holds the write lock, so no worker can begin that pass before the
        commit. On PostgreSQL the worker drops surplus passes instead.
        """
        return self._database.is_sqlite and self._ledger.is_waiting(connection, SCHEDULE)

    def _reading(self) -> Connection:
        return self._database.engine.connect().execution_options(isthmus_read=True)
