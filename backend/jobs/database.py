"""The database that jobs share with the store, and the part of the library's schema we rely on.

The library keeps its tables beside ours: in the schema ``dbos`` on PostgreSQL, in the same file on SQLite. It
migrates them itself; :func:`migrate` has it done. Only :class:`Ledger` reads and writes them directly, for
what its API cannot answer inside a transaction or in one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sqlalchemy import (
    Connection,
    Engine,
    TableClause,
    and_,
    bindparam,
    column,
    delete,
    literal_column,
    select,
    table,
    update,
)

JOB: Final = "job"
SCHEDULE: Final = "schedule"
QUEUES: Final = (JOB, SCHEDULE)
_ENQUEUED = "ENQUEUED"
_PENDING = "PENDING"
_CANCELLED = "CANCELLED"
_OVER = ("SUCCESS", "ERROR", _CANCELLED)
_CHUNK = 500


class Database(Protocol):
    """What is needed of the store: its engine (the library shares it), and which kind it is."""

    engine: Engine
    is_sqlite: bool


def migrate(database: Database) -> None:
    """Make or upgrade the library's tables; nothing to do is success, and two at a time are safe."""
    from backend.jobs import library

    library.migrate(database)


class Ledger:
    """The library's rows of our work: one per key, with a status.

    ``ENQUEUED`` waits, ``PENDING`` runs (or ran in a worker that died), ``SUCCESS``, ``ERROR`` and
    ``CANCELLED`` are over.
    """

    def __init__(self, database: Database) -> None:
        schema = None if database.is_sqlite else "dbos"
        self.status = table(
            "workflow_status",
            *map(
                column,
                ("workflow_uuid", "status", "queue_name", "executor_id", "updated_at", "completed_at"),
            ),
            schema=schema,
        )
        self._details = [
            table(name, column("workflow_uuid"), schema=schema)
            for name in ("workflow_input", "workflow_output", "operation_outputs")
        ]
        s = self.status.c
        self._mine = s.queue_name.in_(QUEUES)
        # SQLite uses the index over rows in flight only when its own condition is there, word for word.
        in_flight = s.status.in_([literal_column(f"'{_ENQUEUED}'"), literal_column(f"'{_PENDING}'")])
        self._open = and_(self._mine, in_flight)
        self._waiting = and_(self._open, s.status == _ENQUEUED)
        self._begun = and_(self._open, s.status == _PENDING)
        one = select(s.workflow_uuid).where(s.queue_name == bindparam("queue"), in_flight)
        self._waiting_in = one.where(s.status == _ENQUEUED).limit(1)
        self._waiting_queues = select(s.queue_name).where(self._waiting).distinct()

    def is_waiting(self, connection: Connection, queue: str) -> bool:
        """Whether a queue has work that nobody has begun."""
        return connection.execute(self._waiting_in, {"queue": queue}).first() is not None

    def waiting_queues(self, connection: Connection) -> list[str]:
        """The queues with work that nobody has begun."""
        return [row[0] for row in connection.execute(self._waiting_queues)]

    def state(self, connection: Connection, key: str) -> str | None:
        """The status of a key."""
        s = self.status.c
        return connection.execute(select(s.status).where(s.workflow_uuid == key, self._mine)).scalar()

    def open_keys(self, connection: Connection) -> list[str]:
        """Keys that wait or run."""
        found = connection.execute(select(self.status.c.workflow_uuid).where(self._open))
        return sorted(row[0] for row in found)

    def executors(self, connection: Connection) -> list[str]:
        """Executors that have begun work and not ended it."""
        begun = select(self.status.c.executor_id).where(self._begun).distinct()
        return [row[0] for row in connection.execute(begun) if row[0]]

    def cancel(self, connection: Connection, key: str, now: float) -> bool:
        """Take a key off the queue unless it has begun; whether it was there."""
        return self._cancel(connection, self.status.c.workflow_uuid == key, now) > 0

    def coalesce(self, connection: Connection, queue: str, now: float) -> int:
        """Take everything that waits in a queue off it, because a run that begins now does it all."""
        return self._cancel(connection, self.status.c.queue_name == queue, now)

    def _cancel(self, connection: Connection, which: object, now: float) -> int:
        at = int(now * 1000)
        change = update(self.status).where(self._waiting, which)  # type: ignore[arg-type]
        result = connection.execute(change.values(status=_CANCELLED, completed_at=at, updated_at=at))
        return result.rowcount

    def forget(self, connection: Connection, before: float) -> int:
        """Delete what was over before a time, with all its details; how much."""
        s = self.status.c
        over = and_(self._mine, s.status.in_(_OVER), s.completed_at < int(before * 1000))
        keys = [row[0] for row in connection.execute(select(s.workflow_uuid).where(over).limit(_CHUNK))]
        for each in (*self._details, self.status):
            self._delete(connection, each, keys)
        return len(keys)

    @staticmethod
    def _delete(connection: Connection, rows: TableClause, keys: Sequence[str]) -> None:
        if keys:
            connection.execute(delete(rows).where(rows.c.workflow_uuid.in_(keys)))
