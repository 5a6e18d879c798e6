"""What each guest is told, kept for as long as nothing about it changes.

A guest that boots asks about a hundred times within seconds. Whatever changes what is shown of an instance
gives it a new version, so one small question tells whether the tree made for the last answer still holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from backend.engine.network_reads import GuestMark, NetworkReads
from backend.model import MetadataOptions, Value
from gateway.metadata import documents
from gateway.metadata.documents import Folder

_KEPT: Final = 1000
_LONGEST: Final = 5.0
"""Seconds after which a tree is made anew all the same: a VPC's blocks are no part of an instance."""


class Told(Value, frozen=True, kw_only=True):
    """A guest: who it is, what it may do, and all that it may read, last changed at a time (Unix seconds)."""

    instance_id: str
    options: MetadataOptions
    tree: Folder
    modified: float


class Guests:
    """Knows the guest behind an interface. ``public_domain`` is where public addresses have names."""

    def __init__(
        self,
        networks: NetworkReads,
        *,
        public_domain: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._networks = networks
        self._public_domain = public_domain
        self._clock = clock
        self._known: LRUCache[str, tuple[GuestMark, float, Told]] = LRUCache(maxsize=_KEPT)
        self._lock = threading.Lock()

    def __call__(self, nic_id: str) -> Told | None:
        """What the guest behind an interface is told; None when there is none."""
        mark = self._networks.guest_mark(nic_id)
        if mark is None:
            return None
        now = self._clock()
        with self._lock:
            known = self._known.get(nic_id)
        if known is not None and known[0] == mark and now - known[1] < _LONGEST:
            return known[2]
        told = self._told(nic_id)  # read after its mark: at least as new
        if told is not None:
            with self._lock:
                self._known[nic_id] = (mark, now, told)
        return told

    def _told(self, nic_id: str) -> Told | None:
        view = self._networks.guest(nic_id)
        if view is None:
            return None
        return Told(
            instance_id=view.instance.id,
            options=view.instance.metadata,
            tree=documents.tree(view, self._public_domain),
            modified=documents.modified(view),
        )
