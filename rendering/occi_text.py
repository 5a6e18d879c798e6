"""OCCI's text renderings (GFD.185 and GFD.229): documents ⇄ fields, in a body or in headers.

``text/plain`` (and ``text/occi+plain``) carries one field a line in the body; ``text/occi`` carries the same
fields as HTTP headers, the values of one name joined by comma and blank. Reading takes everything that the
clients of OCCI-REAL-01…22 send; whatever else is refused with a :class:`RenderingError` that names the field,
the column and what was expected.

Text is UTF-8. In headers it travels as WSGI wants it, each byte as one character of Latin-1; a header that is
not UTF-8 is read as Latin-1. Control characters are refused on input (other than what ends a line) and become
blanks on output, so no value can begin a line or a header of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from rendering.occi_document import (
    TARGET_KIND,
    AttributeSpec,
    Category,
    Collection,
    Created,
    Discovery,
    Document,
    Entity,
    Failure,
    Link,
    RenderingError,
    Request,
    Value,
)
from rendering.occi_fields import parse_field

MAX_BODY = 1 << 20
MAX_FIELDS = 2000
MAX_ITEMS = 10_000
#: Longest header field sent: clients of Python's http.client read no more than 64 KiB (OCCI-TEXT-017).
MAX_HEADER = 60 * 1024

Field: TypeAlias = tuple[str, str]

CATEGORY: Final = "Category"
LINK: Final = "Link"
ATTRIBUTE: Final = "X-OCCI-Attribute"
LOCATION: Final = "X-OCCI-Location"
ERROR: Final = "X-OCCI-Error"

# Writing ------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def plain(document: Document) -> str:
    """The body of ``text/plain``: LF between lines, none at the end (OCCI-REAL-02, 03)."""
    if isinstance(document, Failure):
        return _CONTROL.sub(" ", document.message)
    return "\n".join([f"{name}: {value}" for name, value in fields(document)])


def headers(document: Document) -> list[Field]:
    """The headers of ``text/occi``, one per name, ready for WSGI.

    Raises:
        ValueError: a header would be longer than clients read; the answer must be another rendering.
    """
    joined: dict[str, list[str]] = {}
    for name, value in fields(document):
        joined.setdefault(name, []).append(value)
    ready = [(name, ", ".join(values).encode().decode("latin-1")) for name, values in joined.items()]
    if any(len(value) > MAX_HEADER for _, value in ready):
        raise ValueError("too long for headers")
    return ready


def fields(document: Document) -> Iterator[Field]:
    """The fields of a document, in the standard's order (OCCI-TEXT-005, 006)."""
    match document:
        case Entity():
            yield from _entity_fields(document)
        case Link():
            yield from _lone_link_fields(document)
        case Collection():
            for location in document.locations:
                yield LOCATION, _uri(location)
        case Created():
            for location in document.locations:
                yield LOCATION, _uri(location)
        case Discovery():
            for category in document.categories:
                yield CATEGORY, _category(category)
        case Request():
            yield from _request_fields(document)
        case Failure():
            yield ERROR, _CONTROL.sub(" ", document.message)
        case _:
            raise TypeError(f"{type(document).__name__} has no text rendering")


def _entity_fields(entity: Entity) -> Iterator[Field]:
    for category in (entity.kind, *entity.mixins):
        yield CATEGORY, _category_name(category)
    for link in entity.links:
        yield LINK, _inline_link(link)
    for action in entity.actions:
        yield LINK, _action_link(entity.location, action)
    yield from _attribute_fields(entity.attributes)


def _lone_link_fields(link: Link) -> Iterator[Field]:
    for category in (link.kind, *link.mixins):
        if category is not None:
            yield CATEGORY, _category_name(category)
    for action in link.actions:
        yield LINK, _action_link(link.location, action)
    yield from _attribute_fields(link.attributes)


def _request_fields(request: Request) -> Iterator[Field]:
    if request.members:
        raise TypeError("text has no rendering for several entities")
    for category in request.categories:
        yield CATEGORY, _category(category)
    for link in request.links:
        yield LINK, _inline_link(link)
    yield from _attribute_fields(request.attributes)
    for location in request.locations:
        yield LOCATION, _uri(location)


def _attribute_fields(attributes: Mapping[str, Value]) -> Iterator[Field]:
    # An empty quoted string breaks pOCCI (OCCI-REAL-11) and says no more than its absence.
    for name, value in attributes.items():
        if value != "":
            yield ATTRIBUTE, f"{name}={_value(value)}"


def quoted(text: str) -> str:
    """A quoted-string: quotes and backslashes escaped, control characters made blanks."""
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_CONTROL.sub(" ", text)}"'


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return quoted(value)
        case _:
            return quoted(msgspec.json.encode(value).decode())


def _float(number: float) -> str:
    """Digits, a point, digits: the grammar has no exponent."""
    if not math.isfinite(number):
        raise ValueError("text has no rendering for an infinite number")
    shown = repr(number)
    if "e" in shown:
        shown = format(Decimal(shown), "f")
    return shown if "." in shown else f"{shown}.0"


def _uri(uri: str) -> str:
    return re.sub(r'[\x00-\x20\x7f",;<>]', lambda bad: f"%{ord(bad[0]):02X}", uri)


def _category_name(category: Category) -> str:
    """A category on an entity: identified and titled, not described."""
    class_ = f'; class="{category.class_.value}"' if category.class_ is not None else ""
    title = f"; title={quoted(category.title)}" if category.title else ""
    return f'{category.term}; scheme="{_uri(category.scheme)}"{class_}{title}'


@lru_cache(maxsize=4096)
def _category(category: Category) -> str:
    """A category described, in the order that rOCCI insists on (OCCI-REAL-14)."""
    rel = category.parent or (category.depends[0] if category.depends else "")
    described = " ".join(_attribute_definition(spec) for spec in category.attributes)
    optional = (
        ("rel", _uri(rel)),
        ("location", _uri(category.location)),
        ("attributes", described),
        ("actions", " ".join(map(_uri, category.actions))),
    )
    return _category_name(category) + "".join(f'; {name}="{text}"' for name, text in optional if text)


def _attribute_definition(spec: AttributeSpec) -> str:
    flags = ([] if spec.mutable else ["immutable"]) + (["required"] if spec.required else [])
    return f"{spec.name}{{{' '.join(flags)}}}" if flags else spec.name


def _inline_link(link: Link) -> str:
    rel = link.rel or ((str(link.attributes[TARGET_KIND]),) if TARGET_KIND in link.attributes else ())
    parts = [f"<{_uri(link.target)}>"]
    if rel:
        parts.append(f'rel="{" ".join(map(_uri, rel))}"')
    if link.location:
        parts.append(f'self="{_uri(link.location)}"')
    if link.kind is not None:
        parts.append(f'category="{" ".join(_uri(c.id) for c in (link.kind, *link.mixins))}"')
    parts += [f"{name}={_value(value)}" for name, value in link.attributes.items() if value != ""]
    return "; ".join(parts)


def _action_link(location: str, action: Category) -> str:
    return f'<{_uri(location)}?action={action.term}>; rel="{_uri(action.id)}"'


# Reading ------------------------------------------------------------------------------------------------

#: The rule for each field name, in lower case (OCCI-TEXT-020, OCCI-AMB-26).
_RULES: Mapping[str, tuple[str, str]] = {
    "category": ("categories", CATEGORY),
    "x-occi-category": ("categories", CATEGORY),
    "link": ("links", LINK),
    "x-occi-link": ("links", LINK),
    "x-occi-attribute": ("attributes", ATTRIBUTE),
    "x-occi-location": ("locations", LOCATION),
}


def parse_plain(body: bytes, encoding: str = "utf-8") -> Request:
    """Read a ``text/plain`` body; lines end in LF or CRLF.

    Raises:
        RenderingError: it is not of that encoding, too large, or a line is not a field of OCCI's.
    """
    if len(body) > MAX_BODY:
        raise RenderingError(f"the body is longer than {MAX_BODY} bytes")
    try:
        lines = body.decode(encoding).split("\n")
    except UnicodeDecodeError as error:
        raise RenderingError(f"byte {error.start}: the body is not {encoding.upper()}") from error
    return _request(_line_fields(lines))


def parse_headers(given: Mapping[str, str]) -> Request:
    """Read the OCCI headers of a request (names in any case, values as WSGI gives them); others are ignored.

    Raises:
        RenderingError: one of them does not follow the grammar.
    """
    return _request((name, _from_wsgi(value), name) for name, value in _ours(given))


def has_fields(given: Mapping[str, str]) -> bool:
    """Whether there are OCCI headers among those of a request."""
    return any(True for _ in _ours(given))


def _ours(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if name.lower() in _RULES and value.strip():
            yield name.lower(), value


def _from_wsgi(value: str) -> str:
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _line_fields(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        if not line.strip(" \t"):
            continue
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() not in _RULES:
            raise RenderingError(
                f"line {number}: expected Category, Link, X-OCCI-Attribute or X-OCCI-Location and a colon"
            )
        yield name.strip().lower(), value, f"line {number}"


def _request(given: Iterable[tuple[str, str, str]]) -> Request:
    """Gather fields (name, value, where it stands) into one request."""
    found: dict[str, list[Any]] = {CATEGORY: [], LINK: [], ATTRIBUTE: [], LOCATION: []}
    for count, (name, value, where) in enumerate(given, 1):
        if count > MAX_FIELDS:
            raise RenderingError(f"there are more than {MAX_FIELDS} fields")
        rule, kind = _RULES[name]
        found[kind].extend(parse_field(rule, value, f"{kind}, {where}" if where != name else kind))
        if len(found[kind]) > MAX_ITEMS:
            raise RenderingError(f"there are more than {MAX_ITEMS} values")
    return Request(
        categories=tuple(found[CATEGORY]),
        attributes=_merged(found[ATTRIBUTE]),
        links=tuple(found[LINK]),
        locations=tuple(found[LOCATION]),
    )


def _merged(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            raise RenderingError(f"{ATTRIBUTE}: '{name[:80]}' is given twice with different values")
    return values
