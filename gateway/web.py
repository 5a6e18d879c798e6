"""The web processes: gunicorn with threads, made to fit clients of both standards.

OCCI puts content into header fields, old EC2 clients put everything into the URL: the limits allow both.
Gunicorn's own error pages are HTML, which no client of ours can read, and it adds a Server header of its own
to ours (OCCI-HTTP-008): both are replaced.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.metric_files import MetricFiles

SERVER: Final = "isthmus OCCI/1.1 OCCI/1.2"
_LONGEST_LINE: Final = 64 << 10
_LONGEST_FIELD: Final = 128 << 10
_MOST_FIELDS: Final = 1000


def run(installation: Any, *, bind: str) -> None:
    """Serve until SIGTERM. ``bind`` is gunicorn's: ``HOST:PORT``, or ``fd://N`` for an open socket.

    Does not return: gunicorn ends the process.
    """
    metrics = MetricFiles(installation.home.run)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics.path)  # before the library is imported
    try:
        _adapt_gunicorn(installation.settings.x509.headers)
        _application(installation.settings, bind).run()
    finally:
        metrics.remove()


def _application(settings: Any, bind: str) -> Any:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in _options(settings, bind).items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            """Called in each web process after its fork: nothing that it opens is shared."""
            from gateway.app import compose
            from gateway.logs import configure

            configure(settings.log_level, settings.log_format, process="web")
            return compose(settings)

    return Application()


def _options(settings: Any, bind: str) -> dict[str, Any]:
    web = settings.web
    return {
        "bind": bind,
        "workers": web.workers,
        "threads": web.threads,
        "worker_class": "gthread",
        "worker_connections": 2000,
        "timeout": web.timeout,
        "graceful_timeout": 8,  # requests are short; an idle keep-alive connection would use all of it
        "keepalive": web.keepalive,
        "max_requests": web.max_requests,
        "max_requests_jitter": web.max_requests // 10,
        "limit_request_line": _LONGEST_LINE,
        "limit_request_fields": _MOST_FIELDS,
        "limit_request_field_size": _LONGEST_FIELD,
        "control_socket_disable": True,
        "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - heartbeats
        "logger_class": _logger(),
        "proc_name": "isthmus-web",
        "child_exit": _forget_metrics,
    }


def _logger() -> type:
    """Gunicorn's logger, whose lines go where all our logs go; requests are logged by the application."""
    from gunicorn.glogging import Logger

    class Quiet(Logger):  # type: ignore[misc]
        def setup(self, cfg: Any) -> None:
            self.error_log.handlers[:] = []
            self.error_log.propagate = True
            self.error_log.setLevel(cfg.loglevel.upper())
            self.access_log.handlers[:] = []
            self.access_log.propagate = False

        def access(self, *_args: Any) -> None:
            return

        def reopen_files(self) -> None:
            return

    return Quiet


def _forget_metrics(_server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _adapt_gunicorn(once: Sequence[str]) -> None:
    """See the module's docstring. Gunicorn offers no setting for these four.

    ``once`` are headers that may not stand in a request twice: WSGI would join a client's and the proxy's.
    """
    from gunicorn import util
    from gunicorn.http import message, wsgi

    class Response(wsgi.Response):  # type: ignore[misc]
        def process_headers(self, headers: list[tuple[str, str]]) -> None:
            for name, value in headers:
                if name.lower() == "server":
                    self.version = value  # what it names itself in this header
            super().process_headers(headers)

    wsgi.Response = Response
    message.MAX_REQUEST_LINE = _LONGEST_LINE
    message.RFC9110_5_3_SINGLETON_FIELDS |= {name.upper() for name in once}
    util.write_error = _write_error


def _write_error(connection: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer bytes that are no HTTP request of ours, in plain text."""
    from gunicorn import util

    request_id = uuid.uuid4()
    text = f"{reason}. {message}".strip() + f"\nRequest id: {request_id}\n"
    body = text.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {reason}\r\nServer: {SERVER}\r\nConnection: close\r\n"
        f"X-Request-Id: {request_id}\r\nx-amzn-RequestId: {request_id}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(connection, head.encode("latin-1", "replace") + body)
