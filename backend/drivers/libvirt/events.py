"""libvirt's event loop, and what happened to domains: hints for waiters and for the engine.

An event is only a hint to look again; the state is always read before anything is decided (lifecycle §5.1).
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from backend.drivers.libvirt.domain_xml import PROBE_PREFIX

log = logging.getLogger(__name__)

T = TypeVar("T")

HINTS: tuple[int, ...] = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG,
    libvirt.VIR_DOMAIN_EVENT_ID_CONTROL_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
)


@functools.cache
def ensure_event_loop() -> None:
    """Start libvirt's event loop in its thread, once per process; connections need it before they open."""
    libvirt.registerErrorHandler(_keep, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_loop, name="libvirt-events", daemon=True).start()


def keeping_errors(function: Callable[[], T]) -> T:
    """Call libvirt, and see that its error is not lost on the way.

    The exception asks the C library for the thread's last error. When Python collects garbage just before,
    and frees a domain, that error is reset, and "no such domain" would become a failure without a name.
    """
    try:
        return function()
    except libvirt.libvirtError as error:
        if error.err is None:
            error.err = getattr(_last, "error", None)
        raise


_last = threading.local()


def _keep(_context: object, error: tuple[Any, ...]) -> None:
    """Called in the failing thread, at once; that it is here also keeps the C library from printing."""
    _last.error = error


def _run_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt event loop")
            time.sleep(1)


class Happenings:
    """Counts what happened to each domain of a host, so that a waiter misses nothing between two waits."""

    def __init__(self, told: Callable[[str | None], None]) -> None:
        self._told = told
        self._changed = threading.Condition()
        self._everything = 0
        self._counts: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._reboots: dict[str, float] = {}

    def register(self, connection: libvirt.virConnect) -> None:
        """Subscribe a new connection to every hint."""
        for event in HINTS:
            connection.domainEventRegisterAny(None, event, self._on_event, event)

    def note(self, name: str, *, reboot: bool = False) -> None:
        """Something happened to a domain."""
        with self._changed:
            if reboot:
                self._reboots[name] = time.time()
            self._counts[name] = self._counts.get(name, 0) + 1
            self._changed.notify_all()
        self._told(name)

    def note_everything(self) -> None:
        """Anything may have happened to any domain, as after a reconnect."""
        with self._changed:
            self._everything += 1
            self._changed.notify_all()
        self._told(None)

    def wait(self, name: str, seconds: float) -> None:
        """Return when something happened since the last wait for this domain, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._count(name) != self._seen.get(name, 0), seconds)
            self._seen[name] = self._count(name)

    def rebooted(self, name: str, since: float) -> bool:
        """Whether a reboot was seen since a Unix time."""
        with self._changed:
            return self._reboots.get(name, -1.0) >= since

    def forget(self, name: str) -> None:
        """The domain is gone for good."""
        with self._changed:
            for known in (self._counts, self._seen, self._reboots):
                known.pop(name, None)

    def _count(self, name: str) -> int:
        return self._everything + self._counts.get(name, 0)

    def _on_event(self, _connection: libvirt.virConnect, domain: libvirt.virDomain, *details: object) -> int:
        # The signature depends on the event; the last argument is what was registered with it.
        name = domain.name()
        if not name.startswith(PROBE_PREFIX):
            self.note(name, reboot=details[-1] == libvirt.VIR_DOMAIN_EVENT_ID_REBOOT)
        return 0
