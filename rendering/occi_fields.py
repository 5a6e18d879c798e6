"""One field of OCCI's text: its value → documents, by a grammar and a bounded cache.

A line of a ``text/plain`` body and a header of ``text/occi`` share the grammar (``occi.lark``). Fields repeat
from request to request (categories above all), so short ones are remembered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NoReturn, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from rendering.occi_document import (
    LARGEST_INTEGER,
    AttributeSpec,
    BareInteger,
    BareNumber,
    Category,
    CategoryClass,
    Link,
    RenderingError,
    Value,
    named,
)

MAX_FIELD = 64 * 1024
_CACHED_FIELD = 1024
Pairs: TypeAlias = tuple[tuple[str, Value], ...]
_NUMBER = re.compile(r"-?(?:[0-9]{1,340}(?:\.[0-9]{0,340})?|\.[0-9]{1,340})")

_EXPECTED = {
    "QUOTED": "a quoted string",
    "BARE": "a value",
    "NAME": "a name",
    "TARGET": "a URI",
    "LOCATION": "a URI",
    "EQUAL": "'='",
    "SEMICOLON": "';'",
    "COMMA": "','",
    "LESSTHAN": "'<'",
    "MORETHAN": "'>'",
    "$END": "the end",
}
_CATEGORY_PARAMETERS = frozenset({"scheme", "class", "title", "rel", "location", "attributes", "actions"})
_LINK_PARAMETERS = frozenset({"rel", "self", "category"})
_ATTRIBUTE_NAME = r"[A-Za-z0-9][A-Za-z0-9_\-]*(?:\.[A-Za-z0-9][A-Za-z0-9_\-]*)*"
_DEFINITION = re.compile(rf"({_ATTRIBUTE_NAME})(?:\{{([a-z ]*)\}})?(?: +|$)")
_BOOLEANS = {"true": True, "false": False}
_ESCAPED = re.compile(r"\\(.)")


class _Reader(Transformer[Token, Any]):
    """Builds documents while the parser runs."""

    def categories(self, found: list[Category]) -> tuple[Category, ...]:
        return tuple(found)

    def links(self, found: list[Link | None]) -> tuple[Link, ...]:
        return tuple(link for link in found if link is not None)

    def attributes(self, found: list[tuple[Token, Value]]) -> Pairs:
        return _without_duplicates(found)

    def locations(self, found: list[str]) -> tuple[str, ...]:
        return tuple(found)

    @v_args(inline=True)
    def location(self, token: Token) -> str:
        return str(token)

    @v_args(inline=True)
    def attribute(self, name: Token, value: Token) -> tuple[Token, Value]:
        _check_name(name)
        return name, _literal(value, bare_text=False)

    @v_args(inline=True)
    def parameter(self, name: Token, value: Token) -> tuple[Token, Token]:
        return name, value

    @v_args(inline=True)
    def category(self, term: Token, *parameters: tuple[Token, Token]) -> Category:
        given = _parameters(parameters, _CATEGORY_PARAMETERS)
        if "scheme" not in given:
            _refuse(term, "the category needs scheme=")
        return _described(given, term)

    @v_args(inline=True)
    def link(self, target: Token, *parameters: tuple[Token, Token]) -> Link | None:
        own = [pair for pair in parameters if pair[0] in _LINK_PARAMETERS]
        given = _parameters(own, _LINK_PARAMETERS)
        if "rel" not in given:
            _refuse(target, "the link needs rel=")
        if "?action=" in target:
            return None
        kind, *mixins = _named_all(given["category"]) if "category" in given else [None]
        others = [pair for pair in parameters if pair[0] not in _LINK_PARAMETERS]
        for name, _ in others:
            _check_name(name)
        return Link(
            target=str(target),
            rel=tuple(_text(given["rel"]).split()),
            location=_text(given["self"]) if "self" in given else "",
            kind=kind,
            mixins=tuple(mixin for mixin in mixins if mixin is not None),
            attributes=dict(_without_duplicates([(n, _literal(v, bare_text=True)) for n, v in others])),
        )


def _described(given: Mapping[str, Token], term: Token) -> Category:
    """A category from its parameters."""
    class_ = _class(given["class"]) if "class" in given else None  # the 1.1 suites only name (OCCI-REAL-18)
    rel = tuple(_text(given["rel"]).split()) if "rel" in given else ()
    is_kind = class_ is CategoryClass.KIND
    return Category(
        scheme=_scheme(given["scheme"]),
        term=str(term),
        class_=class_,
        title=_text(given["title"]) if "title" in given else "",
        parent=rel[0] if rel and is_kind else "",
        depends=() if is_kind else rel,
        location=_text(given["location"]) if "location" in given else "",
        attributes=_definitions(given["attributes"]) if "attributes" in given else (),
        actions=tuple(_text(given["actions"]).split()) if "actions" in given else (),
    )


def _refuse(token: Token, message: str) -> NoReturn:
    raise RenderingError(f"column {token.column}: {message}")


def _parameters(pairs: Iterable[tuple[Token, Token]], known: frozenset[str]) -> dict[str, Token]:
    given: dict[str, Token] = {}
    for name, value in pairs:
        if name not in known:
            _refuse(name, f"expected one of {', '.join(sorted(known))} instead of '{name[:80]}'")
        if name in given:
            _refuse(name, f"'{name}' is given twice")
        given[str(name)] = value
    return given


def _without_duplicates(pairs: list[tuple[Token, Value]]) -> Pairs:
    values: dict[str, Value] = {}
    for name, value in pairs:
        if values.setdefault(str(name), value) != value:
            _refuse(name, f"'{name[:80]}' is given twice with different values")
    return tuple(values.items())


def _text(token: Token) -> str:
    """A quoted string's content, or a bare value as it is."""
    if token.type == "BARE":
        return str(token)
    inner = token[1:-1]
    return _ESCAPED.sub(r"\1", inner) if "\\" in inner else str(inner)


def _literal(token: Token, *, bare_text: bool) -> Value:
    """The value of an attribute; only links may carry words bare. Numbers remember how they stood."""
    if token.type == "QUOTED":
        return _text(token)
    if token in _BOOLEANS:
        return _BOOLEANS[token]
    if _NUMBER.fullmatch(token):
        return _number(token)
    if bare_text:
        return str(token)
    return _refuse(token, "expected a quoted string, a number, true or false")


def _number(token: Token) -> Value:
    if "." in token:
        number = BareNumber(token)
        return number if math.isfinite(number) else _refuse(token, "the number is too large")
    whole = BareInteger(token)
    return whole if abs(whole) <= LARGEST_INTEGER else _refuse(token, "the number is too large")


def _check_name(name: Token) -> None:
    if not re.fullmatch(_ATTRIBUTE_NAME, name):
        _refuse(name, f"'{name[:80]}' is not an attribute name")


def _class(token: Token) -> CategoryClass:
    text = _text(token)
    if text not in set(CategoryClass):
        _refuse(token, "class must be kind, mixin or action")
    return CategoryClass(text)


def _scheme(token: Token) -> str:
    text = _text(token)
    if not text or re.search(r'[\x00-\x20\x7f"<>]', text):
        _refuse(token, "scheme must be a URI")
    return text


def _named_all(token: Token) -> list[Category]:
    ids = _text(token).split()
    if not ids:
        _refuse(token, "category must name the link's kind")
    classes = [CategoryClass.KIND] + [CategoryClass.MIXIN] * (len(ids) - 1)
    try:
        return [named(type_id, class_) for type_id, class_ in zip(ids, classes, strict=True)]
    except RenderingError as error:
        _refuse(token, error.message)


def _definitions(token: Token) -> tuple[AttributeSpec, ...]:
    text = _text(token).strip()
    specs = []
    position = 0
    while position < len(text):
        found = _DEFINITION.match(text, position)
        flags = set((found[2] or "").split()) if found else {"?"}
        if found is None or flags - {"immutable", "required"}:
            _refuse(token, "attributes must be names, each with {immutable}, {required} or nothing")
        specs.append(
            AttributeSpec(name=found[1], mutable="immutable" not in flags, required="required" in flags)
        )
        position = found.end()
    return tuple(specs)


_PARSER = Lark(
    resources.files(__package__).joinpath("occi.lark").read_text("utf-8"),
    start=["categories", "links", "attributes", "locations"],
    parser="lalr",
    lexer="contextual",
    transformer=_Reader(),
    maybe_placeholders=False,
)


def parse_field(rule: str, value: str, where: str) -> tuple[Any, ...]:
    """The values of one field: categories, links, pairs (rule ``attributes``) or locations.

    Raises:
        RenderingError: it does not follow the grammar; the message begins with ``where``.
    """
    if len(value) > MAX_FIELD:
        raise RenderingError(f"{where}: the value is longer than {MAX_FIELD} characters")
    try:
        # Long values are keys and user data: they do not repeat, and should not be kept.
        return _parse_cached(rule, value) if len(value) <= _CACHED_FIELD else _parse(rule, value)
    except RenderingError as error:
        raise RenderingError(f"{where}, {error.message}") from error
    except UnexpectedInput as error:
        raise RenderingError(f"{where}, {_explained(error)}") from error


def _parse(rule: str, value: str) -> tuple[Any, ...]:
    # The embedded transformer makes the parser answer documents instead of trees.
    result: Any = _PARSER.parse(value, start=rule)
    return tuple(result)


_parse_cached: Callable[[str, str], tuple[Any, ...]] = lru_cache(maxsize=4096)(_parse)


def _explained(error: UnexpectedInput) -> str:
    """A parser's error in the words of the standard."""
    expected: Iterable[str] = ()
    place = f"column {error.column}" if error.column > 0 else "at the end"
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        if error.token.type == "$END":
            place = "at the end"
    elif isinstance(error, UnexpectedCharacters):
        expected = error.allowed
    words = sorted({_EXPECTED.get(name, name) for name in expected})
    return f"{place}: expected {' or '.join(words)}" if words else f"{place}: not understood"
