"""One field of OCCI's text: its value → documents, by a grammar and a bounded memory.

A line of a ``text/plain`` body and a header of ``text/occi`` share the grammar (``occi.lark``). The forms in
which nearly all clients write are read without it (:mod:`rendering.occi_quick`), to the same effect.
Categories repeat from request to request and are remembered; other fields are new every time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib import resources
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from rendering.occi_document import Category, Link, RenderingError, Value
from rendering.occi_quick import READERS, Reader
from rendering.occi_values import (
    ATTRIBUTE_NAME,
    CATEGORY_PARAMETERS,
    LINK_PARAMETERS,
    Pairs,
    UnfitError,
    described,
    literal,
    named_all,
    unescaped,
)

MAX_FIELD = 64 * 1024

# What is remembered: fields up to a length, of so many words, and so many of them before all are forgotten.
_CACHED_FIELD = 1024
_REMEMBERED_FIELD = 2048
_REMEMBERED_ATTRIBUTES = 64
_REMEMBERED = 4096

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
        given = _parameters(parameters, CATEGORY_PARAMETERS)
        try:
            return described(str(term), {name: _text(value) for name, value in given.items()})
        except UnfitError as error:
            _refuse(given[error.parameter] if error.parameter else term, error.message)

    @v_args(inline=True)
    def link(self, target: Token, *parameters: tuple[Token, Token]) -> Link | None:
        own = [pair for pair in parameters if pair[0] in LINK_PARAMETERS]
        given = _parameters(own, LINK_PARAMETERS)
        if "rel" not in given:
            _refuse(target, "the link needs rel=")
        rel = tuple(_text(given["rel"]).split())
        if not rel:
            _refuse(given["rel"], "rel must name what the link leads to")
        if "?action=" in target:
            return None
        kind, *mixins = _named_all(given["category"]) if "category" in given else [None]
        others = [pair for pair in parameters if pair[0] not in LINK_PARAMETERS]
        for name, _ in others:
            _check_name(name)
        return Link(
            target=str(target),
            rel=rel,
            location=_text(given["self"]) if "self" in given else "",
            kind=kind,
            mixins=tuple(mixin for mixin in mixins if mixin is not None),
            attributes=dict(_without_duplicates([(n, _literal(v, bare_text=True)) for n, v in others])),
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
    return str(token) if token.type == "BARE" else unescaped(token[1:-1])


def _literal(token: Token, *, bare_text: bool) -> Value:
    """The value of an attribute; only links may carry words bare."""
    if token.type == "QUOTED":
        return _text(token)
    try:
        value = literal(str(token))
    except UnfitError as error:
        _refuse(token, error.message)
    if isinstance(value, str) and not bare_text:
        _refuse(token, "expected a quoted string, a number, true or false")
    return value


def _check_name(name: Token) -> None:
    if not re.fullmatch(ATTRIBUTE_NAME, name):
        _refuse(name, f"'{name[:80]}' is not an attribute name")


def _named_all(token: Token) -> list[Category]:
    try:
        return named_all(_text(token))
    except RenderingError as error:
        _refuse(token, error.message)


_PARSER = Lark(
    resources.files(__package__).joinpath("occi.lark").read_text("utf-8"),
    start=["categories", "links", "attributes", "locations"],
    parser="lalr",
    lexer="contextual",
    transformer=_Reader(),
    maybe_placeholders=False,
)


def parse_field(rule: str, value: str, *, clean: bool = False) -> tuple[Any, ...]:
    """The values of one field: categories, links, pairs (rule ``attributes``) or locations.

    ``clean`` says that the value surely holds no control characters.

    Raises:
        RenderingError: it does not follow the grammar; the message begins with the column.
    """
    if len(value) > MAX_FIELD:
        raise RenderingError(f"the value is longer than {MAX_FIELD} characters")
    if rule == "categories" and (known := _remembered.get(value)) is not None:
        return known
    found = READERS[rule](value) if clean or not _CONTROL.search(value) else None
    if found is None:
        found = by_grammar(rule, value)
    if rule == "categories":
        _remember(value, found)
    return found


def by_grammar(rule: str, value: str) -> tuple[Any, ...]:
    """What the grammar alone makes of a value; :func:`parse_field` answers the same, sooner.

    Raises:
        RenderingError: it does not follow the grammar.
    """
    try:
        # Long values are keys and user data: they do not repeat, and should not be kept.
        return _parse_cached(rule, value) if len(value) <= _CACHED_FIELD else _parse(rule, value)
    except UnexpectedInput as error:
        raise RenderingError(_explained(error)) from error


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_remembered: dict[str, tuple[Category, ...]] = {}


def quickly(rule: str) -> Reader:
    """A reader of values without control characters and no longer than :data:`MAX_FIELD`.

    It knows what is commonest and answers None to the rest, which are :func:`parse_field`'s.
    """
    return _remembered.get if rule == "categories" else READERS[rule]


def _remember(value: str, found: tuple[Category, ...]) -> None:
    words = sum(1 + len(each.attributes) + len(each.actions) + len(each.depends) for each in found)
    if len(value) > _REMEMBERED_FIELD or words > _REMEMBERED_ATTRIBUTES:
        return
    if len(_remembered) >= _REMEMBERED:
        _remembered.clear()  # rare, and whole threads may be at it: nothing to get wrong here
    _remembered[value] = found


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
