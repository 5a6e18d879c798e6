"""Which tenant a request is for: ``X-Project: NAME``, or a path below ``/projects/NAME/``.

Some clients join a location, which carries the prefix already, to a base URL that carries it too: a prefix
may stand there again and again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from backend.model import Value

HEADER: Final = "X-Project"
_SEGMENT: Final = "projects"
_BEGIN: Final = f"/{_SEGMENT}/"
_PREFIX = re.compile(r"/(?P<segment>[^/]+)/(?P<name>[^/]*)")


class Place(Value, frozen=True, kw_only=True):
    """Where a request goes: the projects it names, each spelling once, and the path without them.

    ``prefix`` is what stood in front of ``path``, as in a URI, without a slash at the end.
    """

    path: str
    names: tuple[str, ...] = ()
    prefix: str = ""


def place_of(env: Mapping[str, Any], path: str) -> Place:
    """The place that a WSGI request means, whose decoded path is ``path``."""
    given = env.get("HTTP_X_PROJECT")
    named = () if given is None else (_text(str(given).strip(" \t").encode("latin-1", "replace")),)
    if not path.startswith(_BEGIN):
        return Place(path=path, names=named)
    raw, begin, inside = _raw_path(env), 0, list[str]()
    while (found := _PREFIX.match(raw, begin)) is not None and unquote(found["segment"]) == _SEGMENT:
        inside.append(_text(unquote_to_bytes(found["name"])))
        begin = found.end()
    if not inside:
        return Place(path=path, names=named)
    return Place(
        path=unquote_to_bytes(raw[begin:]).decode("utf-8", "replace") or "/",
        names=tuple(dict.fromkeys((*named, *inside))),
        prefix=f"{_BEGIN}{quote(inside[0], safe='', errors='replace')}",
    )


def _raw_path(env: Mapping[str, Any]) -> str:
    """The path as it was sent, for a name may have a slash; where that cannot be told, it has none."""
    decoded = str(env.get("PATH_INFO", "")).encode("latin-1", "replace")
    raw = str(env.get("RAW_URI") or "")
    found = raw.partition("?")[0].partition("#")[0] if raw.startswith("/") else _path_of(raw)
    return found if unquote_to_bytes(found) == decoded else quote(decoded)


def _path_of(uri: str) -> str:
    try:
        return urlsplit(uri).path
    except ValueError:
        return ""


def _text(name: bytes) -> str:
    """A name in UTF-8; what is none gets a sign that no tenant's name has."""
    return name.decode("utf-8", "surrogateescape")
