"""Calls under a deadline, in daemon threads that may be left behind.

The libvirt API has no time limit of its own. A call that does not come back within its deadline is abandoned
together with its thread, which neither holds up the caller nor the end of the process.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Work: TypeAlias = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class Overdue(Exception):  # noqa: N818 - a fact about the call, which may still be going on
    """The call did not return within its deadline; it may yet have its effect."""


class Threads:
    """Idle daemon threads, lent to one call each; as many as there are calls at once."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Work]] = []
        self._lock = threading.Lock()

    def run(
        self,
        seconds: float,
        function: Callable[..., T],
        *arguments: object,
        late: Callable[[T], None] | None = None,
    ) -> T:
        """The function's result; raises :class:`Overdue`. ``late`` receives a result that came afterwards."""
        future: Future[T] = Future()
        self._lend().put((future, function, arguments))
        try:
            return future.result(timeout=seconds)
        except TimeoutError:
            if future.done():
                return future.result()
            if late is not None:
                future.add_done_callback(functools.partial(_deliver, late=late))
            raise Overdue(f"no answer within {seconds:g} s") from None
        finally:
            # The exception's traceback holds this frame, and the future holds the exception: without this
            # cycle libvirt's objects are freed where they are used last, not by the garbage collector.
            del future

    def _lend(self) -> SimpleQueue[Work]:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        inbox: SimpleQueue[Work] = SimpleQueue()
        threading.Thread(target=self._serve, args=(inbox,), name="libvirt-call", daemon=True).start()
        return inbox

    def _serve(self, inbox: SimpleQueue[Work]) -> None:
        while True:
            _settle(*inbox.get())
            with self._lock:
                self._idle.append(inbox)


class KeyedLocks:
    """A lock for each key, there while somebody wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def __call__(self, key: str) -> Iterator[None]:
        """Hold the lock of a key."""
        with self._lock:
            mine, others = self._wanted.get(key, (threading.Lock(), 0))
            self._wanted[key] = mine, others + 1
        try:
            with mine:
                yield
        finally:
            with self._lock:
                mine, users = self._wanted.pop(key)
                if users > 1:
                    self._wanted[key] = mine, users - 1


def _settle(future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        future.set_result(function(*arguments))
    except BaseException as error:  # the caller's, whatever it is
        future.set_exception(error)
    finally:
        del future, function, arguments  # as in Threads.run


def _deliver(done: Future[T], late: Callable[[T], None]) -> None:
    if done.exception() is None:
        late(done.result())
