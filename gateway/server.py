"""``isthmus serve``: web processes, a worker, and where it has a port the metadata service, watched together.

The listening socket belongs to this process and is inherited by the web server: while a killed one is
replaced, connections wait in the queue and none is refused. A child that ends is started again, at once or,
when it keeps ending, more and more slowly. When this process dies, however it dies, the kernel tells the
children to stop (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from gateway.settings import listen_address

PARENT_VARIABLE: Final = "ISTHMUS_SUPERVISOR"
TAKEN: Final = 75
"""Exit status: another process has what there can be one of."""
GIVE_UP: Final = frozenset({TAKEN, 78})
"""Exit statuses that no restart cures: the database has another worker, or something is not installed."""
_PR_SET_PDEATHSIG: Final = 1
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 10.0
_SETTLED: Final = 10.0
_GRACE: Final = 40.0
_BIND_PATIENCE: Final = 10.0

_log = logging.getLogger(__name__)


class AddressTaken(Exception):  # noqa: N818 - it says what is the case
    """Somebody else listens on the address."""


class HomeTaken(Exception):  # noqa: N818 - it says what is the case
    """Another supervisor serves the home directory."""


def hold(folder: Path) -> int:
    """Take a home for this supervisor: a descriptor that holds its lock until it is closed or we die.

    Raises:
        HomeTaken: a living supervisor that was not told to stop has it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise HomeTaken(
            f"Another `isthmus serve` runs on {folder.parent}. Stop it first; nothing was changed."
        ) from error
    return descriptor


def listening_socket(listen: str, *, patience: float = _BIND_PATIENCE) -> socket.socket:
    """A socket that listens on HOST:PORT; waits a while for a predecessor to let the address go.

    Raises:
        AddressTaken: the address cannot be had.
    """
    host, port = listen_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + patience
    while True:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            found.listen(2048)
        except OSError as error:
            found.close()
            if time.monotonic() >= deadline:
                raise AddressTaken(f"Cannot listen on {listen}: {error.strerror or error}.") from error
            time.sleep(0.2)
        else:
            return found


def die_with_parent() -> None:
    """In a child: have the kernel send SIGTERM when the supervisor is gone, even by ``kill -9``."""
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


class Child:
    """One watched process."""

    def __init__(self, name: str, command: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        self.name = name
        self._command = list(command)
        self._descriptors = tuple(descriptors)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._delay = 0.0
        self._due = 0.0

    def start(self) -> None:
        """Start it; the environment says whose child it is."""
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            pass_fds=self._descriptors,
            stdin=subprocess.DEVNULL,
        )
        _log.info("%s started, process %d", self.name, self._process.pid)

    def look(self) -> float | None:
        """Start it again when it is time; answers the seconds until then, or None while it runs.

        Raises:
            SystemExit: it ended in a way that no restart cures.
        """
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return None
            self._ended(status)
        wait = self._due - time.monotonic()
        if wait > 0:
            return wait
        self.start()
        return None

    def _ended(self, status: int) -> None:
        self._process = None
        if status in GIVE_UP:
            _log.error("%s cannot run (exit status %d); see its message above", self.name, status)
            raise SystemExit(status)
        lived = time.monotonic() - self._started
        self._delay = (
            _FIRST_DELAY if lived > _SETTLED else min(max(self._delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        )
        self._due = time.monotonic() + self._delay
        _log.warning("%s ended (%d) after %.1f s; starting it again", self.name, status, lived)

    def tell(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; after the deadline it is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.warning("%s does not stop; killing it", self.name)
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Runs children until it is told to stop by SIGTERM or SIGINT."""

    def __init__(self, children: Sequence[Child], let_go: Callable[[], None] = lambda: None) -> None:
        """``let_go`` is called when the end begins: a successor may start to wait for what we still have."""
        self._children = children
        self._let_go = let_go
        self._stopping = False

    def run(self) -> None:
        """Start, watch, and stop them all in the end."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake us
        try:
            for child in self._children:
                child.start()
            while not self._stopping:
                waits = [wait for child in self._children if (wait := child.look()) is not None]
                select.select([reader], [], [], min([*waits, 60.0]))
                with contextlib.suppress(BlockingIOError):
                    os.read(reader, 4096)
        finally:
            self._end()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> None:
        self._let_go()
        for child in self._children:
            child.tell(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        for child in self._children:
            child.wait(deadline)


def serve(home: Path, listen: str, held: int, *, metadata: bool = False) -> None:
    """Run web processes and a worker for a home directory until SIGTERM. ``held`` is the home's lock.

    With ``metadata`` also the process that serves the metadata service's port.

    Raises:
        AddressTaken: somebody else listens there.
    """
    listener = listening_socket(listen)
    words = [sys.executable, "-P", "-m", "gateway.cli"]  # -P: not what lies in this directory
    where = ["--home", str(home)]
    _log.info("serving on http://%s, home %s", listen, home)
    children = [
        Child("web", [*words, "web", *where, "--fd", str(listener.fileno())], [listener.fileno()]),
        Child("worker", [*words, "worker", *where]),
    ]
    if metadata:
        children.append(Child("metadata", [*words, "metadata", *where]))
    Supervisor(children, let_go=lambda: os.close(held)).run()
