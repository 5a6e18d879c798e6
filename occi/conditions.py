"""Conditional requests (RFC 9110, 13; OCCI-HTTP-012): entity tags, and what a request depends on.

A tag is a digest of a rendering, so it is strong, another one for each media type, and changes with whatever
is shown. Nothing is kept of it: it is computed anew from what is there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

from occi.errors import OcciError
from occi.negotiation import Media, content
from rendering.occi_document import Document

_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_LISTED = re.compile(rf"[\s,]*(?:{_TAG.pattern}\s*(?:,[\s,]*|$))+")
_MOST_TAGS = 100


class Tags(Document, frozen=True, kw_only=True):
    """The entity tags of a header field, or ``*``, which is the tag of whatever is there."""

    anything: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()


class Conditions(Document, frozen=True, kw_only=True):
    """What a request depends on: that one of some tags is current (If-Match), or none of some is."""

    match: Tags | None = None
    none_match: Tags | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.match is not None or self.none_match is not None


def read(if_match: str | None, if_none_match: str | None) -> Conditions:
    """The conditions in the two header fields; 400 for one that is malformed."""
    return Conditions(match=_tags("If-Match", if_match), none_match=_tags("If-None-Match", if_none_match))


def _tags(name: str, value: str | None) -> Tags | None:
    if value is None:
        return None
    if value.strip() == "*":
        return Tags(anything=True)
    found = _TAG.findall(value)
    if not _LISTED.fullmatch(value) or len(found) > _MOST_TAGS:
        raise OcciError(400, f"{name} is malformed: expected *, or at most {_MOST_TAGS} tags in quotes.")
    return Tags(
        strong=frozenset(tag for weak, tag in found if not weak),
        weak=frozenset(tag for weak, tag in found if weak),
    )


def tag(media: Media, body: bytes, fields: Iterable[tuple[str, str]]) -> str:
    """The entity tag of a rendering."""
    digest = hashlib.blake2b(body, digest_size=15, person=b"occi entity tag")
    for name, value in (("", media.value), *fields):
        digest.update(f"\0{name}\0{value}".encode())
    return f'"{digest.hexdigest()}"'


def tags(document: Document | None, among: Iterable[Media]) -> list[str]:
    """The entity tags of a document in some renderings, as far as they can carry it."""
    found = []
    for media in among:
        try:
            found.append(tag(media, *content(media, document)))
        except OcciError:  # too long for headers
            continue
    return found


def is_met(wanted: Tags, current: Iterable[str], *, strongly: bool) -> bool:
    """Whether one of the tags is current: a strong one, or weakly compared any (RFC 9110, 8.8.3.2)."""
    if wanted.anything:
        return True
    accepted = wanted.strong if strongly else wanted.strong | wanted.weak
    return any(each in accepted for each in current)


def check(wanted: Conditions, is_there: bool, current: Callable[[], Iterable[str]]) -> None:
    """Refuse a change whose conditions do not hold (412); ``current`` are the tags of what is there.

    A tag of any rendering counts, for clients read one and write another.
    """
    if wanted.match is not None and not (is_there and is_met(wanted.match, current(), strongly=True)):
        raise OcciError(412, "What is there is not what the request says in If-Match.")
    none_match = wanted.none_match
    if none_match is not None and is_there and is_met(none_match, current(), strongly=False):
        raise OcciError(412, "What is there is what the request says in If-None-Match.")
