"""Downloading disk images: over HTTP, from places that the operator allows, whole or not at all.

A name is resolved once, and the addresses found are judged and then used, so that a second answer cannot
lead elsewhere. Addresses inside (private, loopback, link-local such as the metadata service's) are open only
to URLs whose host the operator's list names.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from backend.images.reading import Limits, refuse
from backend.images.sources import write_sparsely
from backend.model import Value
from backend.ports import Progress, no_progress

_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_HOPS: Final = 5
_ATTEMPTS: Final = 5
_SILENCE: Final = 30.0
"""Seconds without a byte after which a connection counts as broken."""
_HEADER: Final = 120.0
"""Seconds that the header of a response may take."""
_CHUNK: Final = 1 << 20
_HEADWAY: Final = 1 << 20
"""Bytes that an attempt must bring to count as none of those that failed."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_BROKEN: Final = (OSError, http.client.HTTPException)


class _Told(Value, frozen=True, kw_only=True):
    """What a server says of the bytes it is about to send."""

    begin: int
    total: int | None
    mark: str


class _Download:
    """One download: how far it is, and what must stay the same when it goes on."""

    def __init__(
        self, url: str, target: Path, urls: tuple[str, ...] | None, room: int, limits: Limits
    ) -> None:
        self.url = url
        self.urls = urls
        self.room = room
        self.deadline = time.monotonic() + limits.seconds
        self.done = 0
        self.total: int | None = None
        self.mark = ""
        self.file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def run(self, progress: Progress) -> None:
        """Fetch everything, going on where a connection broke if the server can."""
        try:
            failures, best = 0, 0
            while not self._attempt(progress):
                failures = failures + 1 if self.done < best + _HEADWAY else 1
                best = max(best, self.done)
                if failures == _ATTEMPTS:
                    refuse(f"the download from {urlsplit(self.url).hostname} broke off {failures} times")
                time.sleep(0.1 * 2**failures)
            os.ftruncate(self.file, self.done)
        finally:
            os.close(self.file)

    def _attempt(self, progress: Progress) -> bool:
        """One connection; whether all bytes are there now."""
        try:
            connection, response = self._ask()
        except _BROKEN as error:
            return self._broken(error)
        try:
            self._begin(response)
            while chunk := response.read1(
                _CHUNK
            ):  # what is there: who sends a byte at a time is watched, too
                self._write(chunk)
                if self.total:
                    progress(self.done, self.total)
            if self.total in {None, self.done}:
                return True
            return self._broken(None)
        except _BROKEN as error:
            return self._broken(error)
        finally:
            connection.close()

    def _broken(self, error: Exception | None) -> bool:
        """Refuse what no repetition mends; begin again unless the server can tell the bytes are the same."""
        if not self.mark or self.total is None:
            self._restart()
        if isinstance(error, ssl.SSLCertVerificationError):
            refuse(f"the certificate of {urlsplit(self.url).hostname} is not valid")
        if isinstance(error, socket.gaierror):
            refuse(f"there is no host {urlsplit(self.url).hostname}")
        if time.monotonic() > self.deadline:
            refuse("its download takes too long")
        return False

    def _restart(self) -> None:
        os.ftruncate(self.file, 0)
        self.done, self.total, self.mark = 0, None, ""

    def _ask(self) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The response with the bytes, after redirects, each of which is judged like the first URL."""
        url = self.url
        for _ in range(_HOPS + 1):
            parts = _parsed(url)
            connection = _connect(parts, inside=_judge(parts, self.urls))
            try:
                headers = {"Accept-Encoding": "identity", "User-Agent": "isthmus"}
                if self.done:
                    headers |= {"Range": f"bytes={self.done}-", "If-Range": self.mark}
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                with _ending(connection, self.deadline):
                    connection.request("GET", path, headers=headers)
                    response = connection.getresponse()
            except BaseException:
                connection.close()
                raise
            if response.status not in _REDIRECTS:
                return connection, response
            connection.close()
            url = urljoin(url, response.getheader("Location") or "")
        return refuse(f"it is redirected more than {_HOPS} times")

    def _begin(self, response: http.client.HTTPResponse) -> None:
        """See that the response goes on where the file ends, or begin again."""
        told = _told(response)
        if told.begin != self.done or (self.done and told.total != self.total):
            if told.begin:
                refuse("the server sends another part than was asked for")
            self._restart()
        self.total, self.mark = told.total, told.mark
        if told.total is not None and told.total > self.room:
            refuse(f"it has {told.total} bytes, and the store has room for {self.room}")

    def _write(self, chunk: bytes) -> None:
        if time.monotonic() > self.deadline:
            refuse("its download takes too long")
        write_sparsely(self.file, chunk, self.done)
        self.done += len(chunk)
        if self.done > self.room:
            refuse(f"it has more bytes than the store has room for, {self.room}")


@contextmanager
def _ending(connection: http.client.HTTPConnection, deadline: float) -> Iterator[None]:
    """Break a connection at a deadline: each byte of a header starts the socket's own limit anew."""
    wire = connection.sock

    broken = threading.Event()

    def end() -> None:
        broken.set()
        with suppress(OSError):
            socket.socket.shutdown(wire, socket.SHUT_RDWR)

    timer = threading.Timer(max(min(deadline - time.monotonic(), _HEADER), 0.0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if broken.is_set():  # what looks like the end of the header is none
        raise TimeoutError("no header in time")


def download(
    url: str,
    target: Path,
    urls: tuple[str, ...] | None,
    room: int,
    limits: Limits,
    progress: Progress = no_progress,
) -> None:
    """Fetch a URL into a new file. ``urls`` are the beginnings allowed, None for any place whatever.

    Raises:
        BackendError: IMAGE_UNREADABLE, it may not be fetched, or not all of it came.
    """
    _Download(url, target, urls, room, limits).run(progress)


def _parsed(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        refuse("its URL is not understood")
    if parts.scheme not in _PORTS or not parts.hostname:
        refuse("its URL is no http or https URL")
    if parts.username is not None or parts.password is not None:
        refuse("its URL holds a user name or password")
    if not url.isascii() or any(sign <= " " or sign == "\x7f" for sign in url):
        refuse("its URL has signs that a URL cannot have; write them as %20 and so on")
    return parts


def _judge(parts: SplitResult, urls: tuple[str, ...] | None) -> bool:
    """Whether a URL may lead to an address inside; refuses one that the list does not have at all."""
    if urls is None:
        return True
    fitting = [prefix for prefix in urls if fits(parts, prefix)]
    if not fitting:
        refuse(f"the operator allows no image from {parts.scheme}://{parts.netloc}")
    return any(urlsplit(prefix).hostname for prefix in fitting)


def fits(parts: SplitResult, prefix: str) -> bool:
    """Whether a URL begins as a prefix says: same scheme, host and port, and a path inside its path."""
    allowed = urlsplit(prefix)
    if allowed.scheme != parts.scheme:
        return False
    if not allowed.hostname:
        return True
    if (allowed.hostname, _port(allowed)) != (parts.hostname, _port(parts)):
        return False
    path = unquote(parts.path)
    folder = allowed.path.rstrip("/")
    if ".." in re.split(r"[/\\]", path):
        return False
    return path == folder or path.startswith(f"{folder}/")


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS.get(parts.scheme, 0)


def _connect(parts: SplitResult, *, inside: bool) -> http.client.HTTPConnection:
    """A connection to an address that was judged."""
    host, port = parts.hostname or "", _port(parts)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not inside and not all(_is_public(address) for address in addresses):
        refuse(f"{host} is at an address that is not public")
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            wire = socket.create_connection((address, port), timeout=_SILENCE)
        except OSError as error:
            failure = error
            continue
        if parts.scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=_SILENCE)
            connection.sock = wire
            return connection
        context = ssl.create_default_context()
        secure = http.client.HTTPSConnection(host, port, timeout=_SILENCE, context=context)
        secure.sock = context.wrap_socket(wire, server_hostname=host)
        return secure
    raise failure


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None and not _is_public(str(inner)):
            return False
        if found in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 leads to the IPv4 address in it
            return _is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


def _told(response: http.client.HTTPResponse) -> _Told:
    if response.getheader("Content-Encoding", "identity").lower() not in {"identity", ""}:
        refuse("the server sends it packed")
    # A weak mark, or none, does not say that the bytes are the same.
    mark = response.getheader("ETag") or response.getheader("Last-Modified") or ""
    mark = "" if mark.startswith("W/") else mark
    length = response.getheader("Content-Length")
    if response.status == 206:
        match = _RANGE.fullmatch(response.getheader("Content-Range") or "")
        if match is None:
            refuse("the server's answer is not understood")
        return _Told(begin=int(match[1]), total=int(match[2]), mark=mark)
    if response.status in _BUSY:
        raise http.client.HTTPException(f"{response.status}")
    if response.status != 200:
        refuse(f"the server answers {response.status} {response.reason[:80]}")
    if length is None and response.getheader("Transfer-Encoding", "").lower() != "chunked":
        refuse("the server does not say how long it is")
    return _Told(begin=0, total=int(length) if length and length.isdigit() else None, mark=mark)
