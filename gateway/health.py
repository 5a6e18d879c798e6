"""Whether this process lives, and whether the installation can do its work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from backend.store import Store

HEARTBEAT_AGE: Final = 45.0
"""Seconds after which a worker that said nothing counts as gone; it says so every 10 to 15."""


class Health:
    """Answers ``/readyz``: database, its revision, a living worker. Hosts are told, but do not decide.

    One bad host of a hundred must not take the gateway out of service; instances wait for hosts as long as
    there are none.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._current = False

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well, and what was found."""
        try:
            facts = self._facts()
        except Exception as error:  # whatever it is, the database cannot be asked
            return False, {"status": "not ready", "database": type(error).__name__}
        ready = facts["revision"] == "current" and any(worker["alive"] for worker in facts["workers"])
        return ready, {"status": "ready" if ready else "not ready", **facts}

    def _facts(self) -> dict[str, Any]:
        self._current = self._current or self._store.pending_revision() is None
        if not self._current:
            return {"database": "ok", "revision": "pending", "workers": [], "hosts": []}
        now = self._clock()
        with self._store.read() as tx:
            workers, hosts = tx.workers.all(), tx.hosts.all()
        return {
            "database": "ok",
            "revision": "current",
            "workers": [
                {
                    "executor": worker.executor,
                    "seen_seconds_ago": round(now - worker.seen_at, 1),
                    "alive": now - worker.seen_at < HEARTBEAT_AGE,
                }
                for worker in workers
            ],
            "hosts": [{"id": host.id, "zone": host.zone, "state": host.state.value} for host in hosts],
        }
