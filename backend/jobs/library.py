"""Everything we use of the library, in one place: its settings, its serialiser, and four private names.

Imported on first use only. The private names (recovery of a given executor, the queue's loop, its in-memory
queue, the set of active workflows) are pinned by the dependency's version and held by the contract tests.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, Serializer
from dbos._queue import _INTERNAL_QUEUE_CONSTRUCTION, Queue, queue_worker_thread

from backend.jobs.database import Database

__all__ = [
    "APPLICATION",
    "DBOS",
    "VERSION",
    "EnqueueOptions",
    "Queue",
    "config",
    "memory_queue",
    "migrate",
    "queue_worker_thread",
    "recover",
    "running",
    "system",
]

APPLICATION: Final = "isthmus"
VERSION: Final = "1"
"""Version of the workflows. Recovery takes up work of its own version only: raise it when the order of steps
in :mod:`backend.jobs.worker` changes, never for anything else, so that work survives a deployment."""

_log = logging.getLogger("dbos")


class _Json(Serializer):
    """JSON instead of pickle: who can write to the database must not be able to run code."""

    def serialize(self, data: Any) -> str:
        """Data as JSON; an exception as its text."""
        plain = f"{type(data).__name__}: {data}" if isinstance(data, BaseException) else data
        return msgspec.json.encode(plain).decode()

    def deserialize(self, serialized_data: str) -> Any:
        """The data again."""
        return msgspec.json.decode(serialized_data)

    def name(self) -> str:
        """Written to each row."""
        return "isthmus_json"


def system(database: Database) -> DBOSClient:
    """A client on the store's own engine; it opens nothing and starts no thread."""
    _quiet()
    return DBOSClient(
        system_database_engine=database.engine,
        serializer=_Json(),
        application_name=APPLICATION,
        lazy=True,
        retry_connection_errors=False,
    )


def migrate(database: Database) -> None:
    """Bring the library's tables to its newest revision, on an engine of its own.

    On SQLite it begins the migration's transaction itself, which the store's engine does already.
    """
    _quiet()
    DBOS.migrate(database.engine.url.render_as_string(hide_password=False))


def config(database: Database, executor: str, threads: int) -> DBOSConfig:
    """Settings of a worker: explicit names, our engine, no console, nothing that calls out."""
    _quiet()
    return DBOSConfig(
        name=APPLICATION,
        application_version=VERSION,
        executor_id=executor,
        system_database_engine=database.engine,
        serializer=_Json(),
        run_migrations=False,
        use_listen_notify=True,
        enable_otlp=False,
        log_level="WARNING",
        max_executor_threads=threads,
        scheduler_polling_interval_sec=3600,
    )


def memory_queue(name: str, concurrency: int, fallback: float) -> Queue:
    """A queue whose settings are ours alone, not a row that each poll reads again.

    ``fallback``: seconds between looks when nobody rings (:mod:`backend.jobs.bell`).
    """
    return Queue(
        name,
        token=_INTERNAL_QUEUE_CONSTRUCTION,
        worker_concurrency=concurrency,
        polling_interval_sec=fallback,
    )


def recover(client: DBOSClient, executors: Sequence[str], queue: str) -> int:
    """Put what dead executors had begun back on its queue; how much. Twice is once."""
    rows = client._sys_db  # noqa: SLF001 - the only way that needs no launched library
    found = 0
    for executor in executors:
        for item in rows.get_pending_workflows(executor, VERSION):
            found += rows.reenqueue_for_recovery(item.workflow_id, list(executors), queue)
    return found


def running(dbos: DBOS) -> int:
    """How many workflows this process is in."""
    return len(dbos._active_workflows_set.activeList())  # noqa: SLF001 - destroy() itself waits whole seconds


def _quiet() -> None:
    """Its warnings go where all logs go; it would otherwise print to the console by itself."""
    for handler in list(_log.handlers):
        if handler.name == "__dbos_console_log_handler__":
            _log.removeHandler(handler)
    if not _log.handlers:
        _log.addHandler(logging.NullHandler())  # a handler of any kind keeps it from adding its own
    _log.propagate = True
    _log.setLevel(logging.WARNING)
