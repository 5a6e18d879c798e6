"""Mutated messages at the parsers: a refusal or a document, and the document says the same again."""

from __future__ import annotations

from occi_corpus import HEADERS, PLAIN, Message

from rendering import occi_fields, occi_json, occi_text, uri_list
from rendering.occi_document import RenderingError, Request

_COMPARED = 64
"""One message in so many is read by the grammar alone, too."""


class Wrong(Exception):
    """What must not be: the message says what."""


def judge(number: int, message: Message) -> bool:
    """Whether a message was read; raises Wrong, or whatever the parsers should never raise."""
    try:
        request = _read(message)
    except RenderingError as error:
        if not error.message:
            raise Wrong("a refusal without a word") from None
        return False
    if not isinstance(request, Request):
        raise Wrong(f"a {type(request).__name__} was read")
    said = _again(message, request)
    if said is not None and said != request:
        raise Wrong(f"read {request!r}, written and read again {said!r}")
    if number % _COMPARED == 0:
        _compare_with_grammar(message)
    return True


def _read(message: Message) -> Request:
    match message.media:
        case "text/plain":
            return occi_text.parse_plain(message.body, _encoding(message))
        case "text/occi":
            return occi_text.parse_headers(message.fields)
        case "application/occi+json":
            return occi_json.parse(message.body)
        case _:
            return uri_list.parse(message.body)


def _encoding(message: Message) -> str:
    return "iso-8859-1" if "8859" in message.content_type else "utf-8"


def _again(message: Message, request: Request) -> Request | None:
    """What was read, written and read again; None when there is no such rendering."""
    match message.media:
        case "text/plain":
            body = occi_text.plain(request)
            again = occi_text.parse_plain(body.encode())
            if occi_text.plain(again) != body:
                raise Wrong(f"{body!r} becomes {occi_text.plain(again)!r}")
        case "text/occi":
            try:
                fields = occi_text.headers(request)
            except ValueError:  # longer than clients read
                return None
            again = occi_text.parse_headers(dict(fields))
            if occi_text.headers(again) != fields:
                raise Wrong(f"{fields!r} becomes {occi_text.headers(again)!r}")
        case "application/occi+json":
            raw = occi_json.encode(request)
            again = occi_json.parse(raw)
            if occi_json.encode(again) != raw:
                raise Wrong(f"{raw!r} becomes {occi_json.encode(again)!r}")
        case _:
            again = uri_list.parse(uri_list.encode(request.locations))
    return again


def _compare_with_grammar(message: Message) -> None:
    """Every field means what the grammar alone says."""
    if message.media == PLAIN:
        lines = message.body.decode(_encoding(message)).replace("\r\n", "\n").removesuffix("\r").split("\n")
        given = [line.partition(":")[::2] for line in lines if line.strip(" \t")]
    elif message.media == HEADERS:
        given = [
            (name, occi_text._from_wsgi(value)) for name, value in message.fields.items() if value.strip()
        ]
    else:
        return
    for name, value in given:
        rule, _ = occi_text._RULES[name.strip().lower()]
        if repr(occi_fields.parse_field(rule, value)) != repr(occi_fields.by_grammar(rule, value)):
            raise Wrong(f"{rule} {value!r} is not what the grammar says")
