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

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeVar

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
from rendering.occi_fields import MAX_FIELD, parse_field, quickly

MAX_BODY = 1 << 20
MAX_FIELDS = 2000
MAX_ITEMS = 10_000
#: Longest header field sent: clients of Python's http.client read no more than 64 KiB (OCCI-TEXT-017).
MAX_HEADER = 60 * 1024

Field: TypeAlias = tuple[str, str]
Group: TypeAlias = tuple[str, Sequence[str]]

CATEGORY: Final = "Category"
LINK: Final = "Link"
ATTRIBUTE: Final = "X-OCCI-Attribute"
LOCATION: Final = "X-OCCI-Location"
ERROR: Final = "X-OCCI-Error"

# Writing ------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_json = msgspec.json.Encoder().encode
_NOT_IN_URIS = bytes((*range(33), 127, *b'",;<>'))
_UNSAFE_TARGET = re.compile(r'[\x00-\x20\x7f"<>]')
_UNSAFE = re.compile(f"[{re.escape(_NOT_IN_URIS.decode())}]")


def plain(document: Document) -> str:
    """The body of ``text/plain``: LF between lines, none at the end (OCCI-REAL-02, 03)."""
    if isinstance(document, Failure):
        return _CONTROL.sub(" ", document.message)
    lines = [f"{name}: " + f"\n{name}: ".join(values) for name, values in groups(document) if values]
    return "\n".join(lines)


def headers(document: Document) -> list[Field]:
    """The headers of ``text/occi``, one per name, ready for WSGI.

    Raises:
        ValueError: a header would be longer than clients read; the answer must be another rendering.
    """
    joined = [(name, ", ".join(values)) for name, values in groups(document) if values]
    ready = [(name, value.encode().decode("latin-1")) for name, value in joined]
    if any(len(value) > MAX_HEADER for _, value in ready):
        raise ValueError("too long for headers")
    return ready


def groups(document: Document) -> list[Group]:
    """The fields of a document by their names, in the standard's order (OCCI-TEXT-005, 006)."""
    match document:
        case Entity():
            return [
                (CATEGORY, _NAMED.all((document.kind, *document.mixins))),
                (LINK, [*map(_inline_link, document.links), *_action_links(document)]),
                (ATTRIBUTE, _pairs(document.attributes)),
            ]
        case Link():
            return [
                (CATEGORY, _NAMED.all(_kind_and_mixins(document))),
                (LINK, _action_links(document)),
                (ATTRIBUTE, _pairs(document.attributes)),
            ]
        case Collection() | Created():
            return [(LOCATION, _uris(document.locations))]
        case Discovery():
            return [(CATEGORY, _DESCRIBED.all(document.categories))]
        case Request(members=()):
            return [
                (CATEGORY, [_described(each, each.depends) for each in document.categories]),
                (LINK, [_inline_link(link, _all_pairs) for link in document.links]),
                (ATTRIBUTE, _all_pairs(document.attributes)),
                (LOCATION, _uris(document.locations)),
            ]
        case Failure():
            return [(ERROR, [_CONTROL.sub(" ", document.message)])]
        case _:
            raise TypeError(f"{type(document).__name__} has no text rendering, or several entities have none")


def _action_links(document: Entity | Link) -> list[str]:
    if not document.actions:
        return []
    begin = f"<{_target(document.location)}?action="
    return [begin + text for text in _INVOKED.all(document.actions)]


def _kind_and_mixins(link: Link) -> tuple[Category, ...]:
    return (link.kind, *link.mixins) if link.kind is not None else link.mixins


def _pairs(attributes: Mapping[str, Value]) -> list[str]:
    # An empty quoted string breaks pOCCI (OCCI-REAL-11) and says no more than its absence.
    if _is_bare("".join([value for value in attributes.values() if type(value) is str])):
        return [
            f'{name}="{value}"' if type(value) is str else f"{name}={_value(value)}"
            for name, value in attributes.items()
            if value or type(value) is not str
        ]
    return [f"{name}={_value(value)}" for name, value in attributes.items() if value != ""]


def _texts(attributes: Mapping[str, Value]) -> list[str]:
    """The same, sooner where all values are texts, as links' mostly are."""
    try:
        joined = "".join(attributes.values())  # type: ignore[arg-type]
    except TypeError:
        return _pairs(attributes)
    if not _is_bare(joined):
        return _pairs(attributes)
    return [f'{name}="{value}"' for name, value in attributes.items() if value]


def _all_pairs(attributes: Mapping[str, Value]) -> list[str]:
    """With the empty ones: what a client says is all said."""
    return [f"{name}={_value(value)}" for name, value in attributes.items()]


def _is_bare(text: str) -> bool:
    """Whether nothing in a text needs an escape. JSON escapes the same but for DEL, and is quick to write."""
    size = len(text) if text.isascii() else len(text.encode())
    return len(_json(text)) == size + 2 and "\x7f" not in text


def quoted(text: str) -> str:
    """A quoted-string: quotes and backslashes escaped, control characters made blanks."""
    if not _is_bare(text):
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        text = _CONTROL.sub(" ", text)
    return f'"{text}"'


def _value(value: Value) -> str:
    if type(value) is int:
        return str(value)
    match value:
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case int():
            return int.__repr__(value)
        case float():
            return _float(value)
        case _:
            return quoted(msgspec.json.encode(value).decode())


def _float(number: float) -> str:
    """Digits, a point, digits: the grammar has no exponent."""
    shown = float.__repr__(number)
    if "n" in shown:  # inf, nan
        raise ValueError("text has no rendering for an infinite number")
    if "e" in shown:
        shown = format(Decimal(shown), "f")
    return shown if "." in shown else f"{shown}.0"


def _uri(uri: str) -> str:
    """A location, which stands between commas."""
    return _UNSAFE.sub(_percent, uri) if _UNSAFE.search(uri) else uri


def _target(uri: str) -> str:
    """The target of a link, which stands between angle brackets."""
    return _UNSAFE_TARGET.sub(_percent, uri)


def _percent(bad: re.Match[str]) -> str:
    return f"%{ord(bad[0]):02X}"


def _uris(uris: tuple[str, ...]) -> Sequence[str]:
    """There may be thousands, and all are looked at together."""
    joined = "".join(uris)
    is_safe = _is_bare(joined) and not any(mark in joined for mark in " ,;<>")
    return uris if is_safe else [*map(_uri, uris)]


Named = TypeVar("Named", Category, tuple[str, ...])


class _Written(dict[Named, str], Generic[Named]):
    """What is written of what names a category: nearly all are the same from answer to answer."""

    def __init__(self, write: Callable[[Named], str]) -> None:
        super().__init__()
        self._write: Callable[[Named], str] = write

    def one(self, category: Named) -> str:
        """The text of a category."""
        try:
            return self[category]
        except TypeError:  # the default of an attribute is an array or an object, and has no hash
            return self._write(category)

    def all(self, categories: Iterable[Named]) -> list[str]:
        """The texts of categories, in their order."""
        try:
            return [self[category] for category in categories]
        except TypeError:
            return [self._write(category) for category in categories]

    def __missing__(self, category: Named) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        text = self[category] = self._write(category)
        return text


def _named(category: Category) -> str:
    """A category on an entity: identified and titled, not described."""
    class_ = f'; class="{category.class_.value}"' if category.class_ is not None else ""
    title = f"; title={quoted(category.title)}" if category.title else ""
    return f"{category.term}; scheme={quoted(category.scheme)}{class_}{title}"


def _described(category: Category, depends: Iterable[str]) -> str:
    """A category described, in the order that rOCCI insists on (OCCI-REAL-14)."""
    optional = (
        ("rel", category.parent or " ".join(depends)),
        ("location", category.location),
        ("attributes", " ".join(map(_attribute_definition, category.attributes))),
        ("actions", " ".join(category.actions)),
    )
    return _named(category) + "".join(f"; {name}={quoted(text)}" for name, text in optional if text)


def _attribute_definition(spec: AttributeSpec) -> str:
    flags = ([] if spec.mutable else ["immutable"]) + (["required"] if spec.required else [])
    return f"{spec.name}{{{' '.join(flags)}}}" if flags else spec.name


_REMEMBERED = 4096
_NAMED = _Written[Category](_named)
_DESCRIBED = _Written[Category](lambda category: _described(category, category.depends[:1]))  # OCCI-TEXT-012
_IDENTIFIED = _Written[Category](lambda category: quoted(category.id)[1:-1])
_RELATED = _Written[tuple[str, ...]](lambda rel: quoted(" ".join(rel)))
_INVOKED = _Written[Category](lambda action: f"{action.term}>; rel={quoted(action.id)}")


def _inline_link(link: Link, pairs: Callable[[Mapping[str, Value]], list[str]] = _texts) -> str:
    rel = link.rel or ((str(link.attributes[TARGET_KIND]),) if TARGET_KIND in link.attributes else ())
    related = f"; rel={_RELATED[rel]}" if rel else ""
    own = f"; self={quoted(link.location)}" if link.location else ""
    category = ""
    if link.mixins:
        category = f'; category="{" ".join(_IDENTIFIED.all(_kind_and_mixins(link)))}"'
    elif link.kind is not None:
        category = f'; category="{_IDENTIFIED.one(link.kind)}"'
    return "; ".join([f"<{_target(link.target)}>{related}{own}{category}", *pairs(link.attributes)])


# Reading ------------------------------------------------------------------------------------------------

#: The grammar's rule and the field's proper name for each name in lower case (OCCI-TEXT-020, OCCI-AMB-26).
_RULES: Final[Mapping[str, tuple[str, str]]] = {
    "category": ("categories", CATEGORY),
    "x-occi-category": ("categories", CATEGORY),
    "link": ("links", LINK),
    "x-occi-link": ("links", LINK),
    "x-occi-attribute": ("attributes", ATTRIBUTE),
    "x-occi-location": ("locations", LOCATION),
}


def parse_plain(body: bytes, encoding: str = "utf-8") -> Request:
    """Read a ``text/plain`` body in UTF-8 or ISO 8859-1; lines end in LF or CRLF.

    Raises:
        RenderingError: it is not of that encoding, too large, or a line is not a field of OCCI's.
    """
    if len(body) > MAX_BODY:
        raise RenderingError(f"the body is longer than {MAX_BODY} bytes")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise RenderingError(f"byte {error.start}: the body is not {encoding.upper()}") from error
    if (listed := _listing(body, text)) is not None:
        return listed
    clean = len(body.translate(None, _NEVER)) == len(body)  # in both encodings these are themselves
    if "\r" in text:
        text = text.replace("\r\n", "\n").removesuffix("\r")
        clean = clean and "\r" not in text
    usual = _usual(text) if clean and len(text) <= MAX_FIELD else None
    return usual or _read_lines(text.split("\n"), clean=clean)


def parse_headers(given: Mapping[str, str]) -> Request:
    """Read the OCCI headers of a request (names in any case, values as WSGI gives them); others are ignored.

    Raises:
        RenderingError: one of them does not follow the grammar.
    """
    found = _nothing()
    for name, value in _ours(given):
        rule, kind = _RULES[name.lower()]
        found[kind] += _parsed(rule, _from_wsgi(value), kind, clean=False)
    _check_count(found)
    return _request(found)


def has_fields(given: Mapping[str, str]) -> bool:
    """Whether there are OCCI headers among those of a request."""
    return any(True for _ in _ours(given))


def _ours(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if name.lower() in _RULES and value.strip():
            yield name, value


def _from_wsgi(value: str) -> str:
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


#: No field may have these, wherever they stand; a tab may be a blank or be wrong.
_NEVER = bytes((*range(9), 9, 11, 12, *range(14, 32), 127))
_LISTED = f"{LOCATION}: "


def _listing(body: bytes, text: str) -> Request | None:
    """A body of locations alone, one a line, as this module writes it; None for any other."""
    if not text.startswith(_LISTED):
        return None
    locations = text[len(_LISTED) :].split(f"\n{_LISTED}")
    apart = 2 * len(locations) - 1  # the blanks after the colons and the ends of lines
    if len(body) - len(body.translate(None, _NOT_IN_URIS)) != apart or "" in locations:
        return None
    if len(locations) > MAX_FIELDS or max(map(len, locations)) >= MAX_FIELD:
        return None
    return Request(locations=tuple(locations))


def _usual(text: str) -> Request | None:
    """Categories, links and attributes in this order, as nearly all write them; None for another order.

    The text has no control characters but the ends of lines, and is no longer than a field may be: it has
    no room for too many values.
    """
    text = text.removesuffix("\n")
    rest, *attributes = text.split(_BEGIN_ATTRIBUTE)
    rest, *links = rest.split(_BEGIN_LINK)
    rest, *categories = f"\n{rest}".split(_BEGIN_CATEGORY)
    values = [*categories, *links, *attributes]
    if rest or "\n" in "".join(values) or len(values) > MAX_FIELDS:
        return None
    return _request(
        {
            CATEGORY: _all(CATEGORY, categories, 1),
            LINK: _all(LINK, links, 1 + len(categories)),
            ATTRIBUTE: _all(ATTRIBUTE, attributes, 1 + len(categories) + len(links)),
            LOCATION: [],
        }
    )


_BEGIN_CATEGORY, _BEGIN_LINK, _BEGIN_ATTRIBUTE = (f"\n{name}:" for name in (CATEGORY, LINK, ATTRIBUTE))


def _all(kind: str, values: Iterable[str], first: int) -> list[Any]:
    """What several lines say, the first of which has that number."""
    read = _QUICKLY[kind]
    found: list[Any] = []
    for number, value in enumerate(values, first):
        known = read(value)
        found += _new(kind, value, number) if known is None else known
    return found


_QUICKLY: Final = {name: quickly(rule) for rule, name in _RULES.values()}


def _new(kind: str, value: str, line: int) -> tuple[Any, ...]:
    rule, _ = _RULES[kind.lower()]
    return _parsed(rule, value, f"{kind}, line {line}", clean=True)


_Found: TypeAlias = dict[str, list[Any]]
"""What was read, by the field's proper name."""


def _nothing() -> _Found:
    return {CATEGORY: [], LINK: [], ATTRIBUTE: [], LOCATION: []}


def _read_lines(lines: list[str], *, clean: bool) -> Request:
    """``clean`` says that there are no control characters."""
    found = _nothing()
    if len(lines) > MAX_FIELDS and sum(bool(line.strip(" \t\r")) for line in lines) > MAX_FIELDS:
        raise RenderingError(f"there are more than {MAX_FIELDS} fields")
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        known = _RULES.get(name.strip().lower())
        if known is not None and colon:
            rule, kind = known
            found[kind] += _parsed(rule, value, f"{kind}, line {number}", clean=clean)
            _check_count(found)
        elif line.strip(" \t"):
            raise RenderingError(
                f"line {number}: expected Category, Link, X-OCCI-Attribute or X-OCCI-Location and a colon"
            )
    return _request(found)


def _parsed(rule: str, value: str, where: str, *, clean: bool) -> tuple[Any, ...]:
    try:
        return parse_field(rule, value, clean=clean)
    except RenderingError as error:
        raise RenderingError(f"{where}, {error.message}") from error


def _request(found: _Found) -> Request:
    return Request(
        categories=tuple(found[CATEGORY]),
        attributes=_merged(found[ATTRIBUTE]),
        links=tuple(found[LINK]),
        locations=tuple(found[LOCATION]),
    )


def _check_count(found: _Found) -> None:
    if max(map(len, found.values())) > MAX_ITEMS:
        raise RenderingError(f"there are more than {MAX_ITEMS} values")


def _merged(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    values = dict(pairs)
    if len(values) == len(pairs):
        return values
    values = {}
    for name, value in pairs:
        if values.setdefault(name, value) != value:
            raise RenderingError(f"{ATTRIBUTE}: '{name[:80]}' is given twice with different values")
    return values
