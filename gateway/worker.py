"""The worker process: jobs, hosts, reconciliation. The only place where libvirt is loaded, after the fork."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

from backend.engine.failpoints import from_folder
from backend.engine.worker import Worker
from backend.jobs import ExecutorTaken, QueueWorker
from gateway.installation import Installation
from gateway.metadata.process import doors
from gateway.network import network_of
from gateway.scratch import sweep
from gateway.server import TAKEN

FAILPOINTS_VARIABLE: Final = "ISTHMUS_FAILPOINTS"
"""For crash tests: the folder of :mod:`backend.engine.failpoints`."""
_PATIENCE: Final = 15.0

_log = logging.getLogger(__name__)


def run(installation: Installation) -> int:
    """Work until SIGTERM or SIGINT; answers the exit status. Guests go on."""
    from backend.drivers.libvirt.hosts import LibvirtHosts

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    installation.migrate()
    settings = installation.settings
    ready = threading.Event()

    def run_job(job_id: str) -> float | None:
        ready.wait()  # a job taken up before the worker has claimed its name would lose its mark
        return worker.run_job(job_id)

    def run_schedule() -> None:
        ready.wait()
        worker.run_schedule()

    def job_failed(job_id: str, error: Exception) -> None:
        worker.job_failed(job_id, error)

    queue = QueueWorker(
        installation.store,
        settings.executor_id,
        run_job,
        run_schedule,
        on_error=job_failed,
        concurrency=settings.concurrency,
    )
    folder = os.environ.get(FAILPOINTS_VARIABLE)
    hosts, metadata = LibvirtHosts(), doors(installation)
    worker = Worker(
        installation.engine,
        hosts,
        installation.images,
        network_of(installation, hosts, metadata),
        settings.executor_id,
        take_over=queue.take_over,
        purge=queue.purge,
        failpoint=from_folder(Path(folder) if folder else None),
    )
    try:
        _start(queue, stop)
    except ExecutorTaken as error:
        _log.error("%s", error)
        return TAKEN
    sweep(installation.images, installation.home.run)
    if not installation.engine.settings.network.capabilities.needs_infra:
        metadata.start()  # before guests are met: theirs find it again
    worker.start()
    ready.set()
    _log.info("worker %s is at work", settings.executor_id)
    stop.wait()
    _log.info("worker %s is stopping", settings.executor_id)
    queue.stop()
    worker.stop()
    metadata.stop()
    return 0


def _start(queue: QueueWorker, stop: threading.Event) -> None:
    """Start the queue; a predecessor that was told to stop gets some seconds to leave."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            queue.start()
        except ExecutorTaken:
            if time.monotonic() >= deadline or stop.wait(0.5):
                raise
        else:
            return
