"""The durable job queue: DBOS Transact behind the port of :class:`backend.ports.JobQueue` (D5, ADR 0003).

:class:`Queue` is for every process that enqueues; :class:`QueueWorker` runs what was enqueued, in the worker
process only. Nothing outside this package knows the library. It is imported on first use, because that takes
more than a second and most commands never enqueue.
"""

from backend.jobs.database import Database, migrate
from backend.jobs.lock import ExecutorTaken
from backend.jobs.queue import Queue
from backend.jobs.worker import QueueWorker

__all__ = ["Database", "ExecutorTaken", "Queue", "QueueWorker", "migrate"]
