"""Connections to one libvirt host: deadlines, limits in flight, keepalive, reconnection, generations.

What is guarded against, all of it seen in experiments: ``open()`` and any call may block for ever; a
connection serves five requests at a time and queues the rest behind slow ones; a daemon may be killed or
stopped.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import ParamSpec, TypeVar

import libvirt

from backend.drivers.libvirt.errors import translate
from backend.drivers.libvirt.events import ensure_event_loop
from backend.drivers.libvirt.threads import Overdue, Threads
from backend.ports import HostSilent

P = ParamSpec("P")
R = TypeVar("R")

WORK_LINKS = 3
IN_FLIGHT = 4  # libvirtd answers five at once; the fifth is left to its keepalive and close messages
KEEPALIVE_SECONDS = 2
KEEPALIVE_COUNT = 3
FIRST_DELAY = 0.25
LAST_DELAY = 15.0


class Wait(Enum):
    """How long a call may take, in seconds, by its nature."""

    FAST = 5.0
    """Reads that ask no guest."""
    OPEN = 10.0
    """A new connection, with its handshake."""
    NORMAL = 45.0
    """Acts on one domain: longer than libvirt's own 30 s wait for the domain's lock."""
    SLOW = 1800.0
    """Memory or disks are written, or streamed."""


Call = Callable[..., R]


class Caller:
    """One open connection, borrowed for one operation: each call has a deadline and a translated error."""

    def __init__(self, link: Link, connection: libvirt.virConnect) -> None:
        self.connection = connection
        self._link = link

    def __call__(self, wait: Wait, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result; raises HostSilent or StepFailed (see :mod:`.errors`)."""
        return self._link.run(self.connection, wait, lambda: function(*args, **kwargs))


class Link:
    """One connection that is opened when needed, and opened again when lost.

    ``in_process`` drivers (embed, test) live in this process: their connection is never given up.
    """

    def __init__(
        self,
        uri: str,
        threads: Threads,
        *,
        in_process: bool,
        opened: Callable[[libvirt.virConnect], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self._uri = uri
        self._threads = threads
        self._in_process = in_process
        self._opened = opened
        self._lost = lost
        self._connection: libvirt.virConnect | None = None
        self._opening = threading.Lock()
        self._delay = FIRST_DELAY
        self._retry_at = 0.0
        self._failure = ""
        self._closed = False

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Caller]:
        """The connection for an operation; raises HostSilent when it cannot be had."""
        yield Caller(self, self._connection or self._open())

    def run(self, connection: libvirt.virConnect, wait: Wait, function: Callable[[], R]) -> R:
        """Run a call of this connection under its deadline."""
        try:
            return self._threads.run(wait.value, function)
        except Overdue as overdue:
            self._drop(connection)
            raise HostSilent(f"{self._uri}: {overdue}") from None
        except libvirt.libvirtError as error:
            alive = self._in_process or _is_alive(connection)
            if not alive:
                self._drop(connection)
            raise translate(error, alive=alive) from error

    def close(self) -> None:
        """Let go for good. The C library closes when the last call has returned."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Overdue, libvirt.libvirtError):
                self._threads.run(Wait.FAST.value, connection.close)

    def _open(self) -> libvirt.virConnect:
        with self._opening:
            if self._connection is not None:
                return self._connection
            if self._closed:
                raise HostSilent(f"{self._uri}: closed")
            if time.monotonic() < self._retry_at:
                raise HostSilent(f"{self._uri}: {self._failure}")
            try:
                ensure_event_loop()
                self._connection = self._threads.run(Wait.OPEN.value, self._connect, late=_close_quietly)
            except (Overdue, libvirt.libvirtError) as error:
                self._retry_at = time.monotonic() + self._delay
                self._delay = min(self._delay * 2, LAST_DELAY)
                self._failure = str(error)
                raise HostSilent(f"{self._uri}: {error}") from error
            self._delay = FIRST_DELAY
            return self._connection

    def _connect(self) -> libvirt.virConnect:
        connection = libvirt.open(self._uri)
        if not self._in_process:
            connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
            connection.registerCloseCallback(self._on_close, None)
        if self._opened is not None:
            self._opened(connection)
        return connection

    def _on_close(self, connection: libvirt.virConnect, _reason: int, _opaque: object) -> None:
        self._drop(connection)

    def _drop(self, connection: libvirt.virConnect) -> None:
        if self._in_process or self._connection is not connection:
            return
        self._connection = None
        if self._lost is not None and not self._closed:
            self._lost()


class Links:
    """A host's connections: one for events and quick reads, a few for acts; never more than 4 calls in each.

    An in-process driver has one connection for everything: nothing queues in a socket there, and a simulated
    host's state belongs to its connection.
    """

    def __init__(
        self,
        uri: str,
        *,
        in_process: bool,
        registered: Callable[[libvirt.virConnect], None],
        reconnected: Callable[[], None],
    ) -> None:
        threads = Threads()
        self.in_process = in_process
        self.generation = 0
        self._since = 0.0
        self._registered = registered
        self._reconnected = reconnected
        self._closed = False
        self._events = Link(
            uri, threads, in_process=in_process, opened=self._events_opened, lost=self._events_lost
        )
        self._work = (
            [self._events]
            if in_process
            else [Link(uri, threads, in_process=False) for _ in range(WORK_LINKS)]
        )
        limit = 1_000_000 if in_process else IN_FLIGHT
        self._slots = {id(link): threading.BoundedSemaphore(limit) for link in [self._events, *self._work]}
        self._load = {id(link): 0 for link in self._work}
        self._lock = threading.Lock()

    @property
    def age(self) -> float:
        """Seconds since the daemon was last found anew."""
        return time.monotonic() - self._since

    @contextlib.contextmanager
    def reading(self) -> Iterator[Caller]:
        """A connection for quick reads."""
        with self._slot(self._events), self._events.borrow() as caller:
            yield caller

    @contextlib.contextmanager
    def working(self) -> Iterator[Caller]:
        """A connection for acts, the one with least to do."""
        with self._lock:
            link = min(self._work, key=lambda one: self._load[id(one)])
            self._load[id(link)] += 1
        try:
            with self._slot(link), link.borrow() as caller:
                yield caller
        finally:
            with self._lock:
                self._load[id(link)] -= 1

    def close(self) -> None:
        """Close all; no reconnection any more."""
        self._closed = True
        for link in {id(one): one for one in [self._events, *self._work]}.values():
            link.close()

    @contextlib.contextmanager
    def _slot(self, link: Link) -> Iterator[None]:
        slot = self._slots[id(link)]
        if not slot.acquire(timeout=Wait.NORMAL.value):
            raise HostSilent("too many calls to this host are waiting")
        try:
            yield
        finally:
            slot.release()

    def _events_opened(self, connection: libvirt.virConnect) -> None:
        self._registered(connection)
        self.generation += 1
        self._since = time.monotonic()

    def _events_lost(self) -> None:
        threading.Thread(target=self._revive, name="libvirt-reconnect", daemon=True).start()

    def _revive(self) -> None:
        """Reopen the event connection with back-off, then say that anything may have happened meanwhile."""
        delay = FIRST_DELAY
        while not self._closed:
            time.sleep(delay)
            delay = min(delay * 2, LAST_DELAY)
            with contextlib.suppress(HostSilent), self.reading():
                self._reconnected()
                return


def _is_alive(connection: libvirt.virConnect) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _close_quietly(connection: libvirt.virConnect) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()
