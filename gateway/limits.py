"""How often an account may call: token buckets, so that one client's loop leaves room for the others.

Buckets are of one web process: whatever is shared would cost each request more than most requests cost, and
the aim is fairness, not accounts. Callers are known when they are counted, so nobody can use up what is
another's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from gateway import metrics
from gateway.settings import LimitSettings


class _Bucket(msgspec.Struct):
    tokens: float
    at: float


class Limiter:
    """Admits calls, or counts their refusal. Safe to use from several threads."""

    def __init__(self, settings: LimitSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rules = {
            "reading": (settings.reading, settings.reading_burst),
            "changing": (settings.changing, settings.changing_burst),
        }
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.Lock()

    def __call__(self, account_id: str, kind: str) -> bool:
        """Whether an account may make one more call of a kind now: ``reading`` or ``changing``."""
        rate, burst = self._rules[kind]
        if not rate or self._take((account_id, kind), rate, burst):
            return True
        metrics.THROTTLED.labels(kind).inc()
        return False

    def _take(self, key: tuple[str, str], rate: float, burst: int) -> bool:
        with self._lock:
            now = self._monotonic()
            bucket = self._buckets.setdefault(key, _Bucket(tokens=burst, at=now))
            bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) * rate)
            bucket.at = now
            if bucket.tokens < 1:
                return False
            bucket.tokens -= 1
            return True
