"""The rules of the metadata service: a request and the interface it came by in, an answer out.

Version 1 reads without a token, version 2 with one got by PUT; an instance may require the second, or have
the service switched off. Status codes and their pages are EC2's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote

from backend.model import Value
from gateway.metadata import documents
from gateway.metadata.documents import TEXT, Folder, Leaf
from gateway.metadata.guests import Told
from gateway.metadata.throttle import Throttle
from gateway.metadata.tokens import LONGEST, SHORTEST, Tokens

TTL_HEADER: Final = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER: Final = "x-aws-ec2-metadata-token"  # noqa: S105 - the header's name
TOKEN_PATH: Final = (documents.LATEST, "api", "token")

_READING: Final = frozenset({"GET", "HEAD"})
_SECONDS = re.compile(r"[0-9]{1,9}")
_ORIGIN = re.compile(r"(?i:https?)://[^/?#]*")
REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}
_PAGE: Final = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{0}</title>
 </head>
 <body>
  <h1>{0}</h1>
 </body>
</html>
"""


class Request(Value, frozen=True, kw_only=True):
    """A request: the target as it stood in the request line, header names in lower case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()

    def all(self, name: str) -> list[str]:
        """The values of a header, without blanks around them; empty ones count as absent."""
        return [value.strip() for key, value in self.headers if key == name and value.strip()]


class Response(Value, frozen=True, kw_only=True):
    """An answer. ``hop_limit`` is how many hops it may travel from the service's own network (None: any)."""

    status: int
    body: bytes = b""
    media: str = TEXT
    headers: Mapping[str, str] = {}
    hop_limit: int | None = None


def refusal(status: int, headers: Mapping[str, str] | None = None, hop_limit: int | None = None) -> Response:
    """An error with EC2's page for it."""
    page = _PAGE.format(f"{status} - {REASONS[status]}").encode()
    return Response(status=status, body=page, media="text/html", headers=headers or {}, hop_limit=hop_limit)


def segments(target: str) -> tuple[str, ...]:
    """The path of a request's target: decoded segments, empty ones (``//``) left out.

    Nothing is resolved: ``..`` is a name like any other, and there is none of it.
    """
    path = _ORIGIN.sub("", target, count=1) if not target.startswith("/") else target
    path = path.partition("?")[0].partition("#")[0]
    return tuple(unquote(part) for part in path.split("/") if part)


class MetadataService:
    """Answers requests. ``guest`` knows who is behind an interface, and is asked for each request."""

    def __init__(
        self,
        guest: Callable[[str], Told | None],
        tokens: Tokens,
        throttle: Throttle | None = None,
    ) -> None:
        self._guest = guest
        self._tokens = tokens
        self._throttle = throttle or Throttle()

    def answer(self, request: Request, nic_id: str) -> Response:
        """The answer to a request that came by an interface."""
        if not self._throttle.passes(nic_id):
            return refusal(429, {"Retry-After": "1"})
        guest = self._guest(nic_id)
        if guest is None:
            return refusal(404)
        if not guest.options.endpoint:
            return refusal(403)
        path = segments(request.target)
        if path == TOKEN_PATH:
            return self._token(request, guest)
        if request.method not in _READING:
            return refusal(405, {"Allow": "GET, HEAD"})
        return self._read(request, guest, path)

    def _token(self, request: Request, guest: Told) -> Response:
        """A token for the guest itself: never for whom a proxy asks, nor farther than its hops allow."""
        hops = guest.options.hop_limit
        if request.method != "PUT":
            return refusal(405, {"Allow": "PUT"})
        if request.all("x-forwarded-for"):
            return refusal(403, hop_limit=hops)
        wanted = request.all(TTL_HEADER)
        if len(wanted) != 1 or not _SECONDS.fullmatch(wanted[0]):
            return refusal(400, hop_limit=hops)
        seconds = int(wanted[0])
        if not SHORTEST <= seconds <= LONGEST:
            return refusal(400, hop_limit=hops)
        token = self._tokens.issue(guest.instance_id, seconds)
        return Response(
            status=200, body=token.encode(), headers={_shown(TTL_HEADER): str(seconds)}, hop_limit=hops
        )

    def _read(self, request: Request, guest: Told, path: tuple[str, ...]) -> Response:
        given = request.all(TOKEN_HEADER)
        headers: dict[str, str] = {}
        if given:
            left = self._tokens.left(guest.instance_id, given[0]) if len(given) == 1 else None
            if left is None:
                return refusal(401)
            headers[_shown(TTL_HEADER)] = str(left)
        elif guest.options.tokens == "required":
            return refusal(401)
        found = documents.find(guest.tree, path)
        if found is None:
            return refusal(404)
        body, media = _content(found)
        headers |= {
            "Accept-Ranges": "none",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
            "Last-Modified": formatdate(guest.modified, usegmt=True),
        }
        if headers["ETag"] in _etags(request):
            return Response(status=304, media=media, headers=headers)
        return Response(status=200, body=body, media=media, headers=headers)


def _content(found: Leaf | Folder) -> tuple[bytes, str]:
    return (found.listing, TEXT) if isinstance(found, Folder) else (found.body, found.media)


def _etags(request: Request) -> set[str]:
    values = ",".join(request.all("if-none-match")).split(",")
    return {value.strip().removeprefix("W/") for value in values}


def _shown(header: str) -> str:
    return "-".join(part.capitalize() for part in header.split("-"))
