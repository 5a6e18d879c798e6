"""Structured logs: one JSON object a line on standard error, with the request id wherever there is one.

What is logged is chosen field by field. Query strings, Authorization headers, bodies and user data never are:
they hold signatures, passwords and keys.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, merge_contextvars
from structlog.typing import Processor

__all__ = ["bind_contextvars", "clear_contextvars", "configure"]


def configure(level: str = "INFO", form: str = "json", *, process: str = "") -> None:
    """Send all logs of this process, those of libraries too, through one formatter to standard error."""
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[_named(process), *_rendering(form)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("alembic", "sqlalchemy", "dbos", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _rendering(form: str) -> list[Processor]:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [remove, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # others show local variables, which are keys and bodies, too
    return [remove, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]


def _named(process: str) -> Processor:
    def name(_logger: Any, _method: str, event: Any) -> Any:
        if process:
            event["process"] = process
        return event

    return name
