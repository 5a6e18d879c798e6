"""Connections to one libvirt host: deadlines, limits in flight, keepalive, reconnection, generations.

What is guarded against, all of it seen in experiments: ``open()`` and any call may block for ever; a
connection queues requests behind slow ones, and its client code crashes when it is closed under several
waiting threads; a daemon may be killed or stopped.
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
from backend.drivers.libvirt.events import ensure_event_loop, keeping_errors
from backend.drivers.libvirt.threads import Overdue, Threads
from backend.ports import HostSilent, StepFailed

P = ParamSpec("P")
R = TypeVar("R")

READERS = 3
WORKERS = 6
COPIERS = 2
"""Connections for quick reads, for acts and for long copies, opened as they are needed and used by one call
at a time.

libvirt 9's client has a race when several threads wait on one connection and it is closed under them: the
process crashes (a stack frame of one waiter is used by another). It was seen within seconds with a stopped
daemon and four calls; with one call at a time it does not happen, and nothing queues behind slow ones.
"""
KEEPALIVE_SECONDS = 2
KEEPALIVE_COUNT = 3
FIRST_DELAY = 0.25
LAST_DELAY = 15.0
UNRETURNED_OPENS = 2
"""How many calls of ``open()`` may hang at a host that accepts and never answers: each costs a thread and
descriptors until it returns."""
GIVEN_UP_OPEN = 600.0
"""Seconds after which another may be tried all the same: its peer may have vanished without a word."""


class Wait(Enum):
    """How long a call may take, in seconds, by its nature."""

    FAST = 5.0
    """Reads that ask no guest."""
    OPEN = 10.0
    """A new connection, with its handshake."""
    NORMAL = 45.0
    """Acts on one domain: longer than libvirt's own 30 s wait for the domain's lock."""
    START = 150.0
    """A guest's QEMU is started; libvirt may look into QEMU first, which takes a minute on a bad day."""
    PART = 120.0
    """A part of a file is streamed. libvirt may leave a stream hanging when the host's disk is full."""
    SLOW = 1800.0
    """Memory or disks are written, or streamed."""


class Caller:
    """One open connection, borrowed for one operation: each call has a deadline and a translated error."""

    def __init__(self, link: Link, connection: libvirt.virConnect) -> None:
        self.connection = connection
        self._link = link

    def __call__(self, wait: Wait, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result; raises HostSilent or StepFailed (see :mod:`.errors`)."""
        return self._link.run(self.connection, wait, lambda: function(*args, **kwargs))


class Reach:
    """Whether a host could be reached lately: after a failure nobody tries again before the back-off ends."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._delay = FIRST_DELAY
        self._retry_at = 0.0
        self._failure = ""
        self._opening: list[float] = []
        self._turns = threading.BoundedSemaphore(UNRETURNED_OPENS)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until another open may be tried; raises HostSilent when it is too early, or takes too long."""
        if not self._turns.acquire(timeout=Wait.NORMAL.value):
            raise HostSilent(f"{self.uri}: connecting")
        try:
            self._check()
            yield
        finally:
            self._turns.release()

    def _check(self) -> None:
        """Raise HostSilent while it is too early to try again."""
        now = time.monotonic()
        hanging = [begun for begun in self._opening if Wait.OPEN.value < now - begun < GIVEN_UP_OPEN]
        if now < self._retry_at or len(hanging) >= UNRETURNED_OPENS:
            raise HostSilent(f"{self.uri}: {self._failure or 'connecting'}")

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Around a call of ``open()``, in the thread that may be left behind with it."""
        begun = time.monotonic()
        self._opening.append(begun)
        try:
            yield
        finally:
            self._opening.remove(begun)

    def failed(self, failure: object) -> HostSilent:
        """Note a failure; the answer is to be raised."""
        self._failure = str(failure)
        self._retry_at = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, LAST_DELAY)
        return HostSilent(f"{self.uri}: {failure}")

    def succeeded(self) -> None:
        """Note that the host answers."""
        self._delay = FIRST_DELAY


class Link:
    """One connection that is opened when needed, and opened again when lost.

    ``in_process`` drivers (embed, test) live in this process: their connection is never given up.
    """

    def __init__(
        self,
        reach: Reach,
        threads: Threads,
        *,
        in_process: bool,
        lost: Callable[[], None],
        opened: Callable[[libvirt.virConnect], None] | None = None,
    ) -> None:
        self._reach = reach
        self._threads = threads
        self._in_process = in_process
        self._lost = lost
        self._opened = opened
        self._connection: libvirt.virConnect | None = None
        self._opening = threading.Lock()
        self._closed = False

    def caller(self) -> Caller:
        """The connection for an operation; raises HostSilent when it cannot be had."""
        return Caller(self, self._connection or self._open())

    def run(self, connection: libvirt.virConnect, wait: Wait, function: Callable[[], R]) -> R:
        """Run a call of this connection under its deadline."""
        try:
            result: R = self._threads.run(wait.value, keeping_errors, function)
        except Overdue as overdue:
            # It may be one hung guest and not the host: whether the host answers, the next opening will tell.
            self._drop(connection)
            raise HostSilent(f"{self._reach.uri}: {overdue}") from None
        except libvirt.libvirtError as error:
            alive = self._in_process or _is_alive(connection)
            if not alive:
                self._drop(connection)
            raise translate(error, alive=alive) from error
        return result

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
                raise HostSilent(f"{self._reach.uri}: closed")
            with self._reach.turn():
                try:
                    ensure_event_loop()
                    self._connection = self._threads.run(Wait.OPEN.value, self._connect, late=_close_quietly)
                except (Overdue, libvirt.libvirtError) as error:
                    raise self._reach.failed(error) from error
                self._reach.succeeded()
            return self._connection

    def _connect(self) -> libvirt.virConnect:
        with self._reach.opening():
            connection = libvirt.open(self._reach.uri)
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
        if not self._closed:
            self._lost()


class Pool:
    """Connections that are lent to one operation at a time, the one used last first.

    An operation made of others shares its connection with them: if each took a second one while it holds a
    first, all could be waiting for each other.
    """

    def __init__(self, size: int, make: Callable[[], Link], *, patience: Wait = Wait.NORMAL) -> None:
        self._make = make
        self._patience = patience
        self._held = threading.local()
        self._free = threading.BoundedSemaphore(size)
        self._idle: list[Link] = []
        self._all: list[Link] = []

    @contextlib.contextmanager
    def lend(self) -> Iterator[Caller]:
        """A connection for one operation; waits for one to come back.

        Raises:
            StepFailed: too many wait; the host itself may be well.
        """
        held: Caller | None = getattr(self._held, "caller", None)
        if held is not None:
            yield held
            return
        if not self._free.acquire(timeout=self._patience.value):
            raise StepFailed("too many calls to this host are waiting", transient=True)
        try:
            link = self._take()
            try:
                self._held.caller = link.caller()
                yield self._held.caller
            finally:
                self._held.caller = None
                self._idle.append(link)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close all."""
        for link in list(self._all):
            link.close()

    def _take(self) -> Link:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        link = self._make()
        self._all.append(link)
        return link


class Links:
    """A host's connections: one for events, a few for quick reads, a few for acts.

    An in-process driver has one connection for everything: nothing waits on a socket there, and a simulated
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
        self.in_process = in_process
        self.generation = 0
        self._since = 0.0
        self._registered = registered
        self._reconnected = reconnected
        self._closed = False
        self._reviving = threading.Lock()
        reach, threads = Reach(uri), Threads()
        self._events = Link(
            reach, threads, in_process=in_process, opened=self._events_opened, lost=self._events_lost
        )

        def make() -> Link:
            return Link(reach, threads, in_process=False, lost=self._unsettle)

        self._readers = Pool(READERS, make)
        self._workers = Pool(WORKERS, make)
        self._copiers = Pool(COPIERS, make, patience=Wait.SLOW)

    @property
    def age(self) -> float:
        """Seconds since the daemon was last found anew."""
        return time.monotonic() - self._since

    def connect(self) -> None:
        """Have the event connection, or raise HostSilent; once it was there, it comes back by itself."""
        if self.generation == 0:
            self._events.caller()

    def reading(self) -> contextlib.AbstractContextManager[Caller]:
        """A connection for quick reads, which never wait for acts."""
        return self._lend(self._readers)

    def working(self) -> contextlib.AbstractContextManager[Caller]:
        """A connection for acts."""
        return self._lend(self._workers)

    def copying(self) -> contextlib.AbstractContextManager[Caller]:
        """A connection for a long copy: others are not kept from working by it."""
        return self._lend(self._copiers)

    def close(self) -> None:
        """Close all; no reconnection any more."""
        self._closed = True
        self._readers.close()
        self._workers.close()
        self._copiers.close()
        self._events.close()

    @contextlib.contextmanager
    def _lend(self, pool: Pool) -> Iterator[Caller]:
        if self.in_process:
            yield self._events.caller()
        else:
            with pool.lend() as caller:
                yield caller

    def _events_opened(self, connection: libvirt.virConnect) -> None:
        self._registered(connection)
        self.generation += 1
        self._unsettle()

    def _unsettle(self) -> None:
        self._since = time.monotonic()

    def _events_lost(self) -> None:
        self._unsettle()
        threading.Thread(target=self._revive, name="libvirt-reconnect", daemon=True).start()

    def _revive(self) -> None:
        """Reopen the event connection with back-off, then say that anything may have happened meanwhile."""
        delay = FIRST_DELAY
        with self._reviving:
            while not self._closed:
                time.sleep(delay)
                delay = min(delay * 2, LAST_DELAY)
                with contextlib.suppress(HostSilent):
                    self._events.caller()
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
