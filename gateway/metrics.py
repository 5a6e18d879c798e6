"""Prometheus metrics: counters of all web processes together, and gauges read from the database when asked.

In the web processes the library keeps its numbers in files (``PROMETHEUS_MULTIPROC_DIR``, set before this
module is imported), so that any of them can answer for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.store import Store

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REQUESTS: Final = Counter("isthmus_requests_total", "Requests answered.", ("face", "operation", "status"))
THROTTLED: Final = Counter(
    "isthmus_throttled_total", "Requests refused because an account calls too often.", ("kind",)
)
SECONDS: Final = Histogram(
    "isthmus_request_seconds",
    "Time to answer a request.",
    ("face",),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)


def observe(face: str, operation: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    REQUESTS.labels(face, operation, str(status)).inc()
    SECONDS.labels(face).observe(seconds)


class StoreCollector(Collector):
    """What the database says now: instances, hosts, volumes and snapshots by state, open work, workers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        with self._store.read() as tx:
            details = tx.instances.count_by_detail()
            hosts = tx.hosts.all()
            jobs, tasks = tx.jobs.open(), tx.tasks.open()
            volumes, snapshots = tx.volumes.count_by_state(), tx.snapshots.count_by_state()
            workers = tx.workers.all()
        yield _by("isthmus_instances", "Instances by state.", "state", details)
        yield _by("isthmus_hosts", "Hosts by state.", "state", _counted(host.state.value for host in hosts))
        yield _by("isthmus_jobs", "Open jobs by state.", "state", _counted(job.state.value for job in jobs))
        yield _by("isthmus_volumes", "Volumes by state.", "state", volumes)
        yield _by("isthmus_snapshots", "Snapshots by state.", "state", snapshots)
        kinds = _counted(task.kind.value for task in tasks)
        yield _by("isthmus_tasks", "Open storage work by kind.", "kind", kinds)
        seen = GaugeMetricFamily(
            "isthmus_worker_seen_timestamp_seconds", "Last heartbeat of a worker.", labels=("executor",)
        )
        for worker in workers:
            seen.add_metric((worker.executor,), worker.seen_at)
        yield seen


def _counted(states: Iterator[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in states:
        found[state] = found.get(state, 0) + 1
    return found


def _by(name: str, text: str, label: str, numbers: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, number in numbers.items():
        family.add_metric((value,), number)
    return family


def exposition(store: Store) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(store))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)
