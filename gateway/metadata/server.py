"""The metadata service's doors: a TCP port for networks that lead there, a UNIX socket for each other guest.

Who asks is known by the door alone: behind the port by the address that the network gave the interface (no
guest can take another's), behind a socket by the socket, which only that guest's hypervisor connects to.
Nothing that a guest sends names it.

All connections are served by one event loop; the database is asked in threads. A connection is given one
answer. How many there are, how long they take and how much they send is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from backend.model import Value
from gateway.metadata.service import MetadataService, Request, Response, refusal
from gateway.metadata.wire import MOST_BODY, MOST_HEAD, BadRequest, Reader, written

DEFAULT_HOPS: Final = 64
"""How far an answer travels that has no limit of its own (IP's time to live)."""

_THREADS: Final = 8
_BACKLOG: Final = 256
_PIECE: Final = 8192
_IP_FREEBIND: Final = 15

_log = structlog.get_logger("isthmus.metadata")


class Limits(Value, frozen=True, kw_only=True):
    """Bounds, for all that a guest could take too much of.

    Attributes:
        connections: at one time, all together.
        of_one: at one time, from one guest.
        arrival: seconds that a request may take to arrive.
        departure: seconds that an answer may take to be taken.
    """

    connections: int = 2000
    of_one: int = 20
    arrival: float = 5.0
    departure: float = 10.0


ALONE: Final = Limits()
"""Bounds in a process of its own."""
AMONG_OTHERS: Final = Limits(connections=200)
"""Bounds in a process that has other things to do, and files to open."""

Identify = Callable[[], str | None]
"""Says whose interface a connection belongs to, from the database; None when nobody's."""


class Server:
    """Serves connections in the running event loop."""

    def __init__(self, service: MetadataService, *, hops: int = 0, limits: Limits = ALONE) -> None:
        """``hops`` are the routers between guests and this server, which tokens pass besides their own."""
        self._service = service
        self._hops = hops
        self._limits = limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="metadata")
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_port(self, listener: socket.socket, nic_at: Callable[[str], str | None]) -> asyncio.Server:
        """Serve a listening TCP socket; ``nic_at`` knows the interface of an address."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = (writer.get_extra_info("peername") or ("",))[0]
            await self._served(peer, lambda: nic_at(peer), reader, writer)

        return await asyncio.start_server(accepted, sock=listener, limit=MOST_HEAD)

    async def on_socket(self, listener: socket.socket, nic_id: str) -> asyncio.Server:
        """Serve a listening UNIX socket, which only the guest behind one interface is led to."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._served(nic_id, lambda: nic_id, reader, writer)

        return await asyncio.start_unix_server(accepted, sock=listener, limit=MOST_HEAD)

    async def close(self) -> None:
        """End all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _served(
        self,
        peer: str,
        identify: Identify,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        task = asyncio.current_task()
        if task is None or self._open.total() >= self._limits.connections or self._full(peer):
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._open[peer] += 1
        try:
            await self._once(identify, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()  # the guest went away, or takes nothing
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._open[peer] -= 1
            self._open += Counter()  # forgets those at zero
            self._tasks.discard(task)
            writer.close()

    def _full(self, peer: str) -> bool:
        return self._open[peer] >= self._limits.of_one

    async def _once(
        self, identify: Identify, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(self._limits.arrival):
                request = await self._request(reader, writer)
        except (BadRequest, TimeoutError) as error:
            await self._send(writer, refusal(error.status if isinstance(error, BadRequest) else 408), "GET")
            await self._drained(reader, writer)
            return
        if request is not None:
            await self._send(writer, await self._answer(request, identify), request.method)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        """The request; None when the client said nothing."""
        parser = Reader()
        leave = False
        while data := await reader.read(_PIECE):
            request = parser.feed(data)
            if request is not None:
                return request
            if parser.waits_for_leave and not leave:
                leave = True
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _drained(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a little of what still comes: a socket closed with unread bytes takes the answer back."""
        writer.write_eof()
        left = MOST_BODY
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while left > 0 and (data := await reader.read(_PIECE)):
                    left -= len(data)

    async def _answer(self, request: Request, identify: Identify) -> Response:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._answered_in_thread, request, identify
        )

    def _answered_in_thread(self, request: Request, identify: Identify) -> Response:
        """Only path, status and interface are told: headers hold tokens, and bodies are the guest's."""
        nic_id = None
        path = request.target.partition("?")[0][:200]
        try:
            nic_id = identify()
            response = self._service.answer(request, nic_id) if nic_id is not None else refusal(404)
        except Exception:
            _log.exception("metadata.broke", interface=nic_id, path=path)
            response = refusal(500)
        _log.debug("metadata.request", interface=nic_id, path=path, status=response.status)
        return response

    async def _send(self, writer: asyncio.StreamWriter, response: Response, method: str) -> None:
        sock = writer.get_extra_info("socket")
        if response.hop_limit is not None and sock is not None and sock.family == socket.AF_INET:
            hops = min(response.hop_limit + self._hops, 255)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        writer.transport.set_write_buffer_limits(high=0)  # so that it has been taken when this returns
        writer.write(written(response, method, time.time()))
        async with asyncio.timeout(self._limits.departure):
            await writer.drain()


# The port -----------------------------------------------------------------------------------------------


def listening_port(host: str, port: int) -> socket.socket:
    """A listening TCP socket; the address may come to this machine later. Raises OSError."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        found.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, DEFAULT_HOPS)  # connections inherit it
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError:
        found.close()
        raise
    return found


# Sockets ------------------------------------------------------------------------------------------------


class Doors:
    """A UNIX socket for each interface, in a folder of its own, served by a thread of this process.

    Implements what a driver of user networks needs: the path to tell a hypervisor before a guest starts.
    """

    def __init__(
        self,
        service: MetadataService,
        folder: Path,
        present: Callable[[], Iterable[str]],
        *,
        limits: Limits = AMONG_OTHERS,
    ) -> None:
        """``present`` are the interfaces of instances, to listen for from the start."""
        self._service = service
        self._folder = folder
        self._present = present
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Server | None = None
        self._servers: dict[str, asyncio.Server] = {}

    def path(self, nic_id: str) -> str:
        """The path of an interface's socket, which may be longer than a socket's address can be.

        Who connects goes to its folder first.
        """
        return str(self._folder / nic_id)

    def start(self) -> None:
        """Serve, for all interfaces that there are."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        present = set(self._present())
        for left in self._folder.iterdir():  # of interfaces that went while nobody was here
            if left.name not in present:
                left.unlink(missing_ok=True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="metadata", daemon=True)
        self._thread.start()
        for nic_id in sorted(present):
            self.open(nic_id)

    def open(self, nic_id: str) -> str:
        """Listen for an interface, unless we do; answers the socket's path.

        Raises:
            OSError: the socket could not be made.
        """
        self._do(self._listen(nic_id))
        return self.path(nic_id)

    def close(self, nic_id: str) -> None:
        """Listen for an interface no more; its socket goes. One that is not there is no error."""
        self._do(self._unlisten(nic_id))
        (self._folder / nic_id).unlink(missing_ok=True)

    def stop(self) -> None:
        """Serve no more. Sockets stay where they are: hypervisors come again when somebody listens."""
        if self._loop is None or self._thread is None:
            return
        with contextlib.suppress(TimeoutError):
            self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop = self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _do(self, work: Coroutine[object, object, None]) -> None:
        if self._loop is None:
            work.close()
            raise OSError("The metadata service is not running.")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self, nic_id: str) -> None:
        if nic_id in self._servers and self._is_there(nic_id):
            return
        await self._unlisten(nic_id)
        if self._server is None:
            self._server = Server(self._service, limits=self._limits)
        listener = listening_socket(self._folder, nic_id)
        self._servers[nic_id] = await self._server.on_socket(listener, nic_id)

    def _is_there(self, nic_id: str) -> bool:
        return (self._folder / nic_id).exists()

    async def _unlisten(self, nic_id: str) -> None:
        server = self._servers.pop(nic_id, None)
        if server is not None:
            server.close()

    async def _end(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        if self._server is not None:
            await self._server.close()
            self._server = None


def listening_socket(folder: Path, name: str) -> socket.socket:
    """A listening UNIX socket that only its owner can connect to, in the place of what was there.

    Addresses of sockets hold 107 bytes, and homes may lie deep: the folder is named by a descriptor of it.
    """
    (folder / name).unlink(missing_ok=True)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.bind(f"/proc/self/fd/{place}/{name}")
        (folder / name).chmod(0o600)
        found.listen(_BACKLOG)
    except OSError:
        found.close()
        raise
    finally:
        os.close(place)
    return found
