"""Running what was enqueued: the library, launched once per worker process.

A job's workflow asks ``run_job`` again and again until the job is over; every answer is checkpointed, so a
worker that took a dead one's work over goes on where it was. ``run_job`` reads the job's own row and its acts
are idempotent, so that an answer lost in a crash is asked for again without harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from backend.jobs.bell import Bell, Watcher
from backend.jobs.database import JOB, SCHEDULE, Database, Ledger, migrate
from backend.jobs.lock import Lock, lock
from backend.jobs.queue import Queue

_log = logging.getLogger(__name__)
_FALLBACK = 2.0
"""Seconds between polls of a queue when its bell is silent."""
_UNTOLD = 5.0
"""Seconds until a job whose failure could not even be reported is tried again."""
_LEAVE = 10.0
"""Seconds that stopping waits for acts in progress; what is still running is taken up at the next start."""


class JobFailed(Exception):  # noqa: N818 - the outcome's name
    """The workflow's end when ``run_job`` raised."""


class _Leaving(BaseException):
    """Ends a workflow's thread while its row stays begun. Not an Exception, which would be its outcome."""


class QueueWorker:
    """The worker process's half of the queue. One at a time in a process.

    ``run_job(job_id)`` does one step and answers the seconds until the next, or None when the job is over
    or parked. When it raises, ``on_error`` is told and the work ends with status ``ERROR``; to go on, enqueue
    the job under a new key. ``run_schedule()`` does a scheduler pass, never two at once in a process.
    """

    def __init__(
        self,
        database: Database,
        executor: str,
        run_job: Callable[[str], float | None],
        run_schedule: Callable[[], None],
        *,
        on_error: Callable[[str, Exception], None] = lambda _job_id, _error: None,
        concurrency: int = 16,
    ) -> None:
        self.executor = executor
        self.queue = Queue(database)
        self._database = database
        self._ledger = Ledger(database)
        self._run_job = run_job
        self._run_schedule = run_schedule
        self._on_error = on_error
        self._concurrency = {JOB: concurrency, SCHEDULE: 1}
        self._bells = {name: Bell() for name in self._concurrency}
        self._stop = threading.Event()
        self._one_pass = threading.Lock()
        self._places = threading.BoundedSemaphore(concurrency)
        self._threads: list[threading.Thread] = []
        self._watcher: Watcher | None = None
        self._lock: Lock | None = None
        self._dbos: Any = None

    # Life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the executor's lock, put what it had begun back on the queue, and begin to run.

        Raises:
            ExecutorTaken: another living worker holds the name, or the SQLite file.
        """
        migrate(self._database)
        self._lock = lock(self._database, self.executor)
        try:
            self.take_over(self._dead())
            self._dbos = self._launch()
        except BaseException:
            self._lock.release()
            self._lock = None
            raise
        self._watcher = Watcher(self._database, self._bells)
        self._watcher.start()
        self._listen(self._dbos)

    def stop(self) -> None:
        """Begin nothing more, let acts in progress end, and leave the rest for the next start.

        An act that outlasts the time allowed keeps its thread, which the interpreter would wait for: leave
        the process with ``os._exit`` afterwards.
        """
        from backend.jobs.library import DBOS, running

        if self._lock is None:
            return
        self._stop.set()
        for bell in self._bells.values():
            bell.stop()
        if self._watcher is not None:
            self._watcher.stop()
        deadline = time.monotonic() + _LEAVE
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        while running(self._dbos) and time.monotonic() < deadline:
            time.sleep(0.02)
        DBOS.destroy(destroy_registry=True)
        self._lock.release()
        self._lock = None

    def take_over(self, dead: Sequence[str]) -> int:
        """Put the begun work of dead executors back on the queue; answers how much."""
        return self.queue.recover(dead) if dead else 0

    def purge(self, before: float) -> int:
        """Forget work that was over before a Unix time; answers how much."""
        return self.queue.purge(before)

    def _dead(self) -> list[str]:
        """Executors that cannot be alive: our own last life; on SQLite, whose lock we hold, everybody."""
        if not self._database.is_sqlite:
            return [self.executor]
        with self._database.engine.begin() as connection:
            return self._ledger.executors(connection)

    def _launch(self) -> Any:
        from backend.jobs.library import DBOS, config

        threads = sum(self._concurrency.values()) + 8
        dbos = DBOS(config=config(self._database, self.executor, threads))
        self._register(dbos)
        DBOS.listen_queues([])  # ours have loops of their own, below
        DBOS.launch()
        return dbos

    def _register(self, dbos: Any) -> None:
        """Declare the two workflows; the names are what :class:`~backend.jobs.queue.Queue` enqueues."""

        @dbos.step(name="run_job")  # type: ignore[untyped-decorator]
        def step(job_id: str, asked: threading.Event) -> float | str | None:
            asked.set()
            return self._step(job_id)

        @dbos.workflow(name=JOB, max_recovery_attempts=None)  # type: ignore[untyped-decorator]
        def job(job_id: str) -> None:
            self._job(step, job_id)

        @dbos.workflow(name=SCHEDULE, max_recovery_attempts=None)  # type: ignore[untyped-decorator]
        def schedule() -> None:
            self._schedule()

    def _listen(self, dbos: Any) -> None:
        from backend.jobs.library import memory_queue, queue_worker_thread

        for name, bell in self._bells.items():
            queue = memory_queue(name, self._concurrency[name], _FALLBACK)
            thread = threading.Thread(
                target=queue_worker_thread, args=(bell, dbos, queue), name=f"queue-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    # Work -----------------------------------------------------------------------------------------------

    def _job(self, step: Callable[[str, threading.Event], Any], job_id: str) -> None:
        """Ask until the job is over. Pauses that an earlier worker has begun are not made again: asking too
        early is harmless, and what is not due yet says so.
        """
        while True:
            asked = threading.Event()  # not set when the answer comes from the record
            delay = step(job_id, asked)
            if isinstance(delay, str):
                raise JobFailed(delay)
            if delay is None:
                return
            if self._stop.wait(delay if asked.is_set() else 0.0):
                raise _Leaving

    def _step(self, job_id: str) -> float | str | None:
        """One answer of ``run_job``; a text says that it raised, after ``on_error`` was told."""
        try:
            with self._places:  # the library counts late, and takes a few more than it is told to
                return self._run_job(job_id)
        except Exception as error:
            _log.exception("job %s failed", job_id)
            try:
                self._on_error(job_id, error)
            except Exception:
                _log.exception("the failure of job %s could not be reported; trying it again", job_id)
                return _UNTOLD
            return f"{type(error).__name__}: {error}"

    def _schedule(self) -> None:
        with self._one_pass:
            with self._database.engine.begin() as connection:
                self._ledger.coalesce(connection, SCHEDULE, time.time())
            try:
                self._run_schedule()
            except Exception:
                _log.exception("scheduler pass failed")
                raise
