"""Which workers live, without trusting that all clocks agree.

A worker writes its heartbeat every few seconds. It counts as dead when the heartbeat has not *moved* for a
minute of the observer's own, unstoppable clock: clocks that differ, or are set, kill nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from backend.store import WorkerBeat

DEAD_AFTER = 60.0
"""Seconds without a heartbeat."""
LEFT = 0.0
"""The heartbeat of a worker that was stopped: what it had begun is anybody's at once."""


class Colleagues:
    """What one worker process has seen of the others' heartbeats."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def lives(self, beat: WorkerBeat | None) -> bool:
        """Whether a worker with this heartbeat lives; one that has none does not."""
        if beat is None or beat.seen_at == LEFT:
            return False
        now = self._clock()
        with self._lock:
            last, since = self._seen.get(beat.executor, (None, now))
            if last != beat.seen_at:
                since = now
            self._seen[beat.executor] = (beat.seen_at, since)
        return now - since <= DEAD_AFTER

    def forget(self, executor: str) -> None:
        """A worker that is gone for good."""
        with self._lock:
            self._seen.pop(executor, None)
