"""Isthmus with simulated hosts behind a real HTTP server, in this process: both faces, the engine, a worker.

Nothing of the faces, the doors or the engine is simulated; the queue is a list, the hosts and the network are in
memory, and machines start as fast as that. ``python -m tests.support.served_cloud`` serves one until it is ended.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import LimitedStream

from backend.commands import AddHost, RegisterImage
from backend.drivers.memory import MemoryHost, MemoryHosts
from backend.drivers.memory.network import CAPABILITIES, MemoryNetwork
from backend.engine import Engine
from backend.engine.settings import NetworkSettings
from backend.engine.worker import Worker
from gateway.app import Gateway, application
from gateway.crypto import KeyVault
from gateway.installation import Credentials, Installation, acting_for, make, operator

sys.path.append(str(Path(__file__).parent))

from simulation import MemoryContents  # noqa: E402 - found once the line above was read

REGION, ZONES = "us-east-1", ("us-east-1a", "us-east-1b")
_NETWORK = NetworkSettings(
    pools={"public": ("203.0.113.0/26",), "campus": ("198.51.100.0/27",)},
    infra="100.64.0.0/20",
    capabilities=CAPABILITIES,
)


_LOOK_AGAIN = 0.005


class TimedQueue:
    """The queue's port for one process: what is committed is run by a thread, what must wait waits."""

    def __init__(self) -> None:
        self._due: list[tuple[float, str, str]] = []
        self._unwritten: list[tuple[Any, str, str]] = []
        self._keys: set[str] = set()
        self._change = threading.Condition()

    def client(self) -> None:
        """Nothing has to be opened."""

    def enqueue(self, connection: Any, name: str, key: str, argument: str) -> None:
        from sqlalchemy import event

        @event.listens_for(connection, "commit", once=True)
        def committed(connection: Any) -> None:
            with self._change:
                if key not in self._keys:
                    self._keys.add(key)
                    self._unwritten.append((connection, name, argument))  # told just before it is written

        @event.listens_for(connection, "rollback", once=True)
        def rolled_back(_connection: Any) -> None:
            if event.contains(connection, "commit", committed):
                event.remove(connection, "commit", committed)

    def put(self, name: str, argument: str, *, delay: float = 0.0) -> None:
        with self._change:
            self._due.append((time.monotonic() + delay, name, argument))
            self._change.notify()

    def next(self, stop: threading.Event) -> tuple[str, str] | None:
        """The piece of work that is due first, as soon as it is; None when told to stop."""
        with self._change:
            while not stop.is_set():
                now = time.monotonic()
                written = [each for each in self._unwritten if each[0].closed or not each[0].in_transaction()]
                for each in written:
                    self._unwritten.remove(each)
                    self._due.append((now, *each[1:]))
                due = min(self._due, default=None)
                if due is not None and due[0] <= now:
                    self._due.remove(due)
                    return due[1:]
                pause = due[0] - now if due else 0.2
                self._change.wait(min(pause, _LOOK_AGAIN if self._unwritten else 0.05))
        return None

    def cancel(self, key: str) -> None:
        raise NotImplementedError

    def status(self, key: str) -> str | None:
        return None

    def list(self) -> list[str]:
        return []

    def recover(self, executors: Any) -> int:
        return 0


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_arguments: Any) -> None:
        """Tests read answers, not logs."""

    def send_response(self, code: int, message: str | None = None) -> None:
        """The application's Server header is the only one."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())


def _with_ends(app: Any) -> Any:
    """The application with bodies that end where they should, as gunicorn gives them."""

    def wrapped(environ: dict[str, Any], start_response: Any) -> Any:
        length = environ.get("CONTENT_LENGTH")
        if length:
            environ["wsgi.input"] = LimitedStream(environ["wsgi.input"], int(length))
        return app(environ, start_response)

    return wrapped


class ServedCloud:
    """One installation, its worker, and where it is served; ``around`` wraps the application."""

    def __init__(self, folder: Path, around: Callable[[Any], Any] = lambda app: app) -> None:
        self.installation, self.credentials = _made(folder / "home")
        installation = self.installation
        self.queue = TimedQueue()
        settings = msgspec.structs.replace(installation.settings.engine(), network=_NETWORK)
        self.engine = Engine(
            installation.store,
            self.queue,
            settings,
            vault=KeyVault(installation.keys),  # type: ignore[arg-type]
        )
        installation.engine, installation.queue = self.engine, self.queue  # type: ignore[assignment]
        self.hosts = MemoryHosts(lambda host_id: MemoryHost(host_id))
        for number, zone in enumerate(ZONES):
            self.engine.execute(operator(), AddHost(uri=f"memory:{number}", region=REGION, zone=zone))
        self.contents = MemoryContents()
        content = self.contents.add(b"an empty disk", virtual_bytes=1 << 28)
        tenant = self.engine.tenant(self.credentials.tenant)
        assert tenant is not None
        self.image = self.engine.execute(
            acting_for(tenant),
            RegisterImage(name="guest", description="An empty disk", content=content, public=True),
        )
        self.worker = Worker(self.engine, self.hosts, self.contents, MemoryNetwork(), "worker-1")
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(2)]
        self.gateway = Gateway(installation)
        self.app = around(application(self.gateway))
        self.server = make_server(
            "127.0.0.1", 0, _with_ends(self.app), threaded=True, request_handler=_Handler
        )
        self._threads.append(threading.Thread(target=self.server.serve_forever, daemon=True))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def start(self) -> None:
        self.worker.start()
        for thread in self._threads:
            thread.start()
        while any(host.state.value == "init" for host in self.engine.hosts()):
            time.sleep(0.02)

    def stop(self) -> None:
        self._stop.set()
        self.server.shutdown()
        self.worker.stop()
        self.server.server_close()
        self.installation.close()

    def _work(self) -> None:
        while (taken := self.queue.next(self._stop)) is not None:
            name, argument = taken
            try:
                if name in {"schedule", "again"}:
                    self.worker.run_schedule()
                    if name == "schedule":  # what was committed late
                        self.queue.put("again", argument, delay=0.5)
                    continue
                delay = self.worker.run_job(argument)
            except Exception as error:
                traceback.print_exc()
                self.worker.job_failed(argument, error)
            else:
                if delay is not None:
                    self.queue.put(name, argument, delay=min(delay, 0.2))


def _made(home: Path) -> tuple[Installation, Credentials]:
    return make(home, listen="127.0.0.1:0", regions={REGION: ZONES})


@contextlib.contextmanager
def served(around: Callable[[Any], Any] = lambda app: app) -> Iterator[ServedCloud]:
    """A cloud that is served inside the block."""
    with tempfile.TemporaryDirectory(prefix="isthmus-served-") as folder:
        cloud = ServedCloud(Path(folder), around)
        cloud.start()
        try:
            yield cloud
        finally:
            cloud.stop()


def _quiet() -> None:
    """No line in the log for each request."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def main(wait: Callable[[], None] = threading.Event().wait) -> None:
    _quiet()
    with served() as cloud:
        known = cloud.credentials
        print(f"url={cloud.url}")
        print(f"user={known.occi_user}\npassword={known.occi_password}")
        print(
            f"access_key={known.access_key}\nsecret_key={known.secret_key}\nimage={cloud.image.id}",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):
            wait()


if __name__ == "__main__":
    main()
