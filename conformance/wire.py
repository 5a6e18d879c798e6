"""Real HTTP, recorded: what is sent is exactly what the caller says, and every exchange is kept."""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from conformance.checks import Unknown, Value

_HIDDEN = "***"
_SECRET_HEADERS = frozenset({"authorization", "x-amz-security-token", "cookie", "set-cookie"})
_LARGEST = 64 << 20
_LONGEST_KEPT = 20_000
Headers = tuple[tuple[str, str], ...]


class Exchange(Value, frozen=True, kw_only=True):
    """One request and its answer, as it is shown: credentials are masked. ``status`` 0: no answer came."""

    method: str
    url: str
    sent: Headers
    body: str
    status: int = 0
    reason: str = ""
    received: Headers = ()
    answer: str = ""
    seconds: float = 0.0
    trouble: str = ""


class Answer(Value, frozen=True, kw_only=True):
    """What the endpoint said. Header values are as they came, one character for each byte."""

    method: str
    status: int
    reason: str
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none shows as a question mark."""
        return self.body.decode("utf-8", "replace")

    @property
    def media(self) -> str:
        """The media type, without parameters, in lower case; empty when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def all(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The values of a header, joined by commas as HTTP lets one do; None when there is none."""
        found = self.all(name)
        return ", ".join(found) if found else None

    def __str__(self) -> str:
        """The status as it is told in messages."""
        return f"{self.status} {self.reason}".strip()


class Wire:
    """A server that one URL names. Each request has a connection of its own: none taints another."""

    def __init__(self, url: str, *, timeout: float = 60.0, ca_file: str = "", verify: bool = True) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no http(s) URL")
        if parts.username or parts.password:
            raise ValueError("credentials do not belong into the URL")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.prefix = parts.path.rstrip("/")
        self.host = parts.netloc
        self.timeout = timeout
        self.exchanges: list[Exchange] = []
        self.masks: tuple[re.Pattern[str], ...] = ()  # what else is not shown, of URLs and bodies
        self._parts = parts
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca_file or None)
            if not verify:
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE

    def target(self, location: str) -> str:
        """The request target for a path below the URL, or for an absolute URI of the same server."""
        if "://" in location:
            parts = urlsplit(location)
            return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return location if self.prefix and location.startswith(f"{self.prefix}/") else self.prefix + location

    def send(
        self,
        method: str,
        location: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Answer:
        """Send one request and keep the exchange.

        Text of header values beyond Latin-1 goes out as UTF-8.

        Raises:
            Unknown: no answer came, or none that is HTTP.
        """
        given = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        target = self.target(location)
        began = time.perf_counter()
        try:
            answer = self._exchanged(method, target, given, body)
        except (OSError, http.client.HTTPException) as error:
            trouble = f"{type(error).__name__}: {error}"
            self._keep(method, target, given, body, None, time.perf_counter() - began, trouble)
            raise Unknown(f"{method} {target}: no answer ({trouble})") from error
        self._keep(method, target, given, body, answer, time.perf_counter() - began, "")
        return answer

    def _exchanged(self, method: str, target: str, headers: Headers, body: bytes | None) -> Answer:
        names = {name.lower() for name, _ in headers}
        connection = self._connection()
        try:
            connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, _wire(value))
            if body is not None and not names & {"content-length", "transfer-encoding"}:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(
                method=method,
                status=response.status,
                reason=response.reason,
                headers=tuple(response.getheaders()),
                body=response.read(_LARGEST),
            )
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self.timeout)

    def _keep(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | None,
        answer: Answer | None,
        seconds: float,
        trouble: str,
    ) -> None:
        kept = Exchange(
            method=method,
            url=self._hidden(self.origin + target),
            sent=_masked(headers),
            body=self._hidden((body or b"").decode("utf-8", "replace")),
            status=answer.status if answer else 0,
            reason=answer.reason if answer else "",
            received=_masked(answer.headers) if answer else (),
            answer=self._hidden(answer.text) if answer else "",
            seconds=seconds,
            trouble=trouble,
        )
        self.exchanges.append(kept)

    def _hidden(self, text: str) -> str:
        """A text as it is kept: masked, and not endless."""
        for mask in self.masks:
            text = mask.sub(_HIDDEN, text)
        return text if len(text) <= _LONGEST_KEPT else f"{text[:_LONGEST_KEPT]}… ({len(text)} characters)"


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def _masked(headers: Headers) -> Headers:
    return tuple(
        (name, _mask(value) if name.lower() in _SECRET_HEADERS else value) for name, value in headers
    )


def _mask(value: str) -> str:
    """A credential without what it is worth: its scheme stays."""
    scheme, blank, _ = value.partition(" ")
    return f"{scheme} {_HIDDEN}" if blank else _HIDDEN
