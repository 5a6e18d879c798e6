"""HTTP/1.1 of the metadata service: bytes to requests, answers to bytes. One request, one answer, no more.

h11 does the parsing.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

import h11

from gateway.metadata.service import REASONS, Request, Response

MOST_HEAD: Final = 16_384
"""How long a request line with headers may be, in bytes, give or take a piece."""
MOST_BODY: Final = 65_536
"""The longest body that is read, and ignored, before a request is answered."""
SERVER: Final = "EC2ws"


class BadRequest(Exception):  # noqa: N818 - it says what is the case
    """What came is no request; ``status`` is the answer to it."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class Reader:
    """Makes a request out of bytes as they come; what comes after it is ignored."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        self._head: h11.Request | None = None
        self._body = 0

    @property
    def waits_for_leave(self) -> bool:
        """Whether the client holds its body back until it is told to go on (``Expect: 100-continue``)."""
        return self._connection.they_are_waiting_for_100_continue

    def feed(self, data: bytes) -> Request | None:
        """The request, when this was the last of it.

        Raises:
            BadRequest: it is none, or too long.
        """
        try:
            self._connection.receive_data(data)
            while True:
                event = self._connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return None
                if isinstance(event, h11.Request):
                    if event.http_version not in {b"1.0", b"1.1"}:
                        raise BadRequest(400)
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += len(event.data)
                    if self._body > MOST_BODY:
                        raise BadRequest(413)
                elif isinstance(event, h11.EndOfMessage):
                    return self._request()
                else:
                    return None
        except h11.RemoteProtocolError as error:
            raise BadRequest(431 if error.error_status_hint == 431 else 400) from error

    def _request(self) -> Request:
        assert self._head is not None
        return Request(
            method=self._head.method.decode(),
            target=self._head.target.decode("latin-1"),
            headers=tuple((name.decode(), value.decode("latin-1")) for name, value in self._head.headers),
        )


def written(response: Response, method: str, now: float) -> bytes:
    """An answer as bytes; that to HEAD has no body. Its end is told by its length, and nothing follows it."""
    headers = {
        "Content-Type": response.media,
        **response.headers,
        "Content-Length": str(len(response.body)),
        "Date": formatdate(now, usegmt=True),
        "Server": SERVER,
        "Connection": "close",
    }
    if response.status == 304:
        del headers["Content-Length"]
    lines = [f"HTTP/1.1 {response.status} {REASONS[response.status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if method == "HEAD" or response.status == 304 else head + response.body
