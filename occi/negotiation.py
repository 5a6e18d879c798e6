"""Renderings by media type: which one a client gets, reading what it sent, writing what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import falcon
from falcon import mediatypes

from occi.errors import OcciError
from rendering import occi_json, occi_text, uri_list
from rendering.occi_document import Collection, Created, Document, Failure, Request

LARGEST_BODY = 1 << 20
_CHARSETS: Mapping[str, str] = {
    **dict.fromkeys(("", "utf-8", "utf8", "us-ascii", "ascii"), "utf-8"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1"), "iso-8859-1"),
}


class Media(StrEnum):
    """The media types spoken, the default first (OCCI-AMB-01)."""

    PLAIN = "text/plain"
    OCCI_PLAIN = "text/occi+plain"
    HEADERS = "text/occi"
    JSON = "application/occi+json"
    URI_LIST = "text/uri-list"


_DESCRIBING = tuple(media for media in Media if media is not Media.URI_LIST)
_CONTENT_TYPES = {
    Media.PLAIN: "text/plain; charset=utf-8",
    Media.OCCI_PLAIN: "text/occi+plain; charset=utf-8",
}


class Accepted:
    """What a client accepts: ``listing`` for lists of entities, ``describing`` for all else, or None."""

    def __init__(self, accept: str | None) -> None:
        # Types are compared without case, and a list may have empty elements (RFC 9110).
        wanted = ",".join(filter(str.strip, (accept or "").lower().split(","))) or "*/*"
        self.listing = _best(tuple(Media), wanted)
        self.describing = _best(_DESCRIBING, wanted)
        if self.listing is None:
            raise OcciError(406, f"Possible are {', '.join(Media)}.")

    def of(self, document: Document | None) -> Media:
        """The media type for a document."""
        best = self.listing if isinstance(document, (Collection, Created)) else self.describing
        return best or Media.PLAIN


def _best(offered: tuple[Media, ...], accept: str) -> Media | None:
    try:
        found = mediatypes.best_match(offered, accept)
    except (falcon.InvalidMediaType, falcon.InvalidMediaRange, ValueError) as error:
        raise OcciError(400, "The Accept header is malformed.") from error
    return Media(found) if found else None


def spoken_to(user_agent: str) -> tuple[Media, ...]:
    """What to name in the Accept header of a response; clients of 1.1 misread JSON there (OCCI-REAL-21)."""
    texts = (Media.PLAIN, Media.HEADERS, Media.URI_LIST)
    return texts if "OCCI/1.1" in user_agent else tuple(Media)


class Said(Document, frozen=True, kw_only=True):
    """What a request says, and where it says anything: in a body that is not blank, in OCCI's headers."""

    request: Request = Request()
    in_body: bool = False
    in_headers: bool = False


def read(content_type: str | None, headers: Mapping[str, str], body: bytes) -> Said:
    """What a request says: in its body, or without one in its headers, whatever media type it names.

    Raises:
        OcciError: 406 for a media type or a charset that is not spoken (OCCI-AMB-04).
        RenderingError: it is malformed.
    """
    media = _media_of(content_type, body)
    # The body beside headers is OK, or nothing (OCCI-TEXT-015).
    silent = not body.strip() or (media is Media.HEADERS and body.strip() == b"OK")
    return Said(
        request=_request(media, _encoding_of(content_type), headers, body),
        in_body=not silent,
        in_headers=occi_text.has_fields(headers),
    )


def _request(media: Media, encoding: str, headers: Mapping[str, str], body: bytes) -> Request:
    if media is Media.HEADERS or not body.strip():
        return occi_text.parse_headers(headers)
    match media:
        case Media.PLAIN | Media.OCCI_PLAIN:
            if encoding not in _CHARSETS:
                raise OcciError(406, "Text is in UTF-8, or in ISO-8859-1 where its charset says so.")
            return occi_text.parse_plain(body, _CHARSETS[encoding])
        case Media.JSON:
            return occi_json.parse(body)
        case _:
            return uri_list.parse(body)


def _media_of(content_type: str | None, body: bytes) -> Media:
    """The first of a list, as one client sends (OCCI-REAL-01)."""
    given = (content_type or "").split(",")[0].split(";")[0].strip().lower()
    if given in set(Media):
        return Media(given)
    if given and body.strip():
        raise OcciError(406, f"Bodies can be {', '.join(Media)}.")
    return Media.PLAIN


def _encoding_of(content_type: str | None) -> str:
    """The charset that is declared of a body; JSON and lists of URIs have one only (RFC 8259, RFC 2483)."""
    for parameter in (content_type or "").lower().split(",")[0].split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return value.strip(' "')
    return ""


def content(media: Media, document: Document | None) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the header fields that carry a document.

    Raises:
        OcciError: 406, it is too long for headers (OCCI-HTTP-011).
    """
    match media:
        case Media.HEADERS:
            return _in_headers(document)
        case Media.JSON:
            return occi_json.encode(document) if document is not None else b"{}", []
        case Media.URI_LIST if isinstance(document, (Collection, Created)):
            return uri_list.encode(document.locations), []
        case Media.URI_LIST | Media.PLAIN | Media.OCCI_PLAIN:
            return occi_text.plain(document).encode() if document is not None else b"", []


def _in_headers(document: Document | None) -> tuple[bytes, list[tuple[str, str]]]:
    if document is None:
        return b"OK", []
    try:
        fields = occi_text.headers(document)
    except ValueError as error:
        raise OcciError(406, "The answer is too long for headers; ask for text/plain.") from error
    return document.message.encode() if isinstance(document, Failure) else b"OK", fields


def write(resp: falcon.Response, media: Media, document: Document | None) -> None:
    """Put a document into a response; 406 when it is too long for headers (OCCI-HTTP-011)."""
    body, fields = content(media, document)
    put(resp, media, body, fields)


def put(resp: falcon.Response, media: Media, body: bytes, fields: list[tuple[str, str]]) -> None:
    """Put what carries a document into a response."""
    resp.content_type = _CONTENT_TYPES.get(media, media.value)
    for name, value in fields:
        resp.set_header(name, value)
    resp.data = body
