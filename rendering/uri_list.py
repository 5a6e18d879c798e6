"""``text/uri-list`` (RFC 2483): a listing of entities and nothing else (OCCI-TEXT-018).

Lines end in LF as in OCCI's other text, without one at the end: its clients leave a CR in the last URI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rendering.occi_document import RenderingError, Request

MAX_BODY = 1 << 20
MAX_ITEMS = 10_000
_UNSAFE = re.compile(r'[\x00-\x20\x7f"<>]')


def encode(locations: Iterable[str]) -> bytes:
    """The body for URIs."""
    return "\n".join(
        _UNSAFE.sub(lambda bad: f"%{ord(bad[0]):02X}", location) for location in locations
    ).encode()


def parse(body: bytes) -> Request:
    """Read a body: one URI a line, comments (``#``) and empty lines skipped.

    Raises:
        RenderingError: a line is not a URI, or there are too many.
    """
    if len(body) > MAX_BODY:
        raise RenderingError(f"the body is longer than {MAX_BODY} bytes")
    try:
        lines = [line.strip() for line in body.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise RenderingError(f"byte {error.start}: the body is not UTF-8") from error
    locations = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        if _UNSAFE.search(line):
            raise RenderingError(f"line {number}: expected a URI")
        locations.append(line)
    if len(locations) > MAX_ITEMS:
        raise RenderingError(f"there are more than {MAX_ITEMS} URIs")
    return Request(locations=tuple(locations))
