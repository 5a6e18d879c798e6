"""Request bodies, read once and whole before a face sees them.

A body that is too long is read too, and thrown away: to answer while a client still sends would reset the
connection, and the client would never see the answer. The faces then refuse it by its length, each in its own
words. Chunked bodies get a length here, so that nothing behind need know of them.
"""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any, Final

from gunicorn.http.errors import ParseException

_CHUNK: Final = 1 << 20
_SIP: Final = 1 << 16
_DRAIN: Final = 64 << 20
"""Bytes after which a client that does not stop has its connection closed."""
_SILENCE: Final = 30.0
"""Seconds without a byte after which a client has gone: a thread waits for it."""
_DRAIN_SILENCE: Final = 1.0
_DRAIN_SECONDS: Final = 10.0


def receive(env: dict[str, Any], limit: int) -> bool:
    """Put the body into ``wsgi.input``, at most ``limit`` bytes (else none); False when it is malformed.

    ``CONTENT_LENGTH`` becomes the number of bytes received, also of those that were thrown away.
    """
    length = env.get("CONTENT_LENGTH")
    if "HTTP_TRANSFER_ENCODING" not in env and length in {None, "", "0"}:
        return True
    env["wsgi.input_terminated"] = False  # what replaces it has a length, and falcon keeps the old stream
    be_patient(env, _SILENCE)
    try:
        body, total = _read(env["wsgi.input"], limit)
    except (ParseException, OSError):
        env["wsgi.input"] = io.BytesIO()
        return False
    env["wsgi.input"] = io.BytesIO(body)
    if length and total < int(length) and total < _DRAIN:
        return False  # the client went away in the middle
    env["CONTENT_LENGTH"] = str(total)
    return True


def be_patient(env: dict[str, Any], seconds: float) -> None:
    """Have reads of the body fail with OSError when nothing comes for so long."""
    connection = env.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(seconds)


def drain(env: dict[str, Any]) -> None:
    """Read what is left of a body that nobody wants, so that the client comes to read the answer.

    Not for long: who sends slowly finds the connection closed.
    """
    if "HTTP_TRANSFER_ENCODING" not in env and env.get("CONTENT_LENGTH") in {None, "", "0"}:
        return
    be_patient(env, _DRAIN_SILENCE)
    deadline, total = time.monotonic() + _DRAIN_SECONDS, 0
    with contextlib.suppress(ParseException, OSError):
        while total < _DRAIN and time.monotonic() < deadline and (part := env["wsgi.input"].read(_SIP)):
            total += len(part)


def _read(stream: Any, limit: int) -> tuple[bytes, int]:
    parts, total = [], 0
    while total < _DRAIN and (part := stream.read(_CHUNK)):
        total += len(part)
        if total <= limit:
            parts.append(part)
    return (b"".join(parts) if total <= limit else b""), total
