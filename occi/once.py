"""Creations that are carried out once: the header Idempotency-Key of an IETF draft (httpapi)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from occi.errors import OcciError

_LONGEST = 255
#: RFC 8941's string, which the draft asks for, or what many clients send instead: the same without quotes.
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_ESCAPED = re.compile(r"\\(.)")


def key(value: str | None) -> str:
    """The key in a header field; empty without one, 400 for one that is malformed."""
    if value is None:
        return ""
    given = value.strip()
    quoted = _STRING.fullmatch(given)
    found = _ESCAPED.sub(r"\1", quoted[1]) if quoted else given if _BARE.fullmatch(given) else ""
    if not 1 <= len(found) <= _LONGEST:
        raise OcciError(
            400, f"Idempotency-Key is malformed: expected a string of 1 to {_LONGEST} visible characters."
        )
    return found


def digest(*parts: str | bytes, fields: Iterable[tuple[str, str]]) -> str:
    """What tells a request from others: its method, target and content, to the byte."""
    found = hashlib.sha256()
    for part in (*parts, *(f"{name}:{value}" for name, value in fields)):
        given = part if isinstance(part, bytes) else part.encode()
        found.update(f"{len(given)}:".encode() + given)
    return found.hexdigest()
