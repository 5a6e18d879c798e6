"""How many requests one guest may make: a bucket of tokens for each interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

_BUCKETS: Final = 65_536


class Throttle:
    """Lets ``rate`` requests a second pass for each interface, and ``burst`` at once after a rest.

    cloud-init makes about a hundred when a guest boots. What is longest unused is forgotten, full again.
    """

    def __init__(
        self, *, rate: float = 100.0, burst: float = 400.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(maxsize=_BUCKETS)
        self._lock = threading.Lock()

    def passes(self, interface: str) -> bool:
        """Whether one more request may pass now; counts it."""
        now = self._clock()
        with self._lock:
            level, since = self._buckets.get(interface, (self._burst, now))
            level = min(self._burst, level + (now - since) * self._rate)
            passes = level >= 1.0
            self._buckets[interface] = (level - 1.0 if passes else level, now)
        return passes
