"""What the parts of OCCI's text fields mean once they are taken apart: texts → values, categories."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from rendering.occi_document import (
    LARGEST_INTEGER,
    AttributeSpec,
    BareInteger,
    BareNumber,
    Category,
    CategoryClass,
    RenderingError,
    Value,
    named,
)

Pairs: TypeAlias = tuple[tuple[str, Value], ...]

ATTRIBUTE_NAME = r"[A-Za-z0-9][A-Za-z0-9_\-]*(?:\.[A-Za-z0-9][A-Za-z0-9_\-]*)*"
CATEGORY_PARAMETERS = frozenset({"scheme", "class", "title", "rel", "location", "attributes", "actions"})
LINK_PARAMETERS = frozenset({"rel", "self", "category"})

_NUMBER = re.compile(r"-?(?:[0-9]{1,340}(?:\.[0-9]{0,340})?|\.[0-9]{1,340})")
_DEFINITION = re.compile(rf"({ATTRIBUTE_NAME})(?:\{{([a-z ]*)\}})?(?: +|$)")
_NO_SCHEME = re.compile(r'[\x00-\x20\x7f"<>]')
_ESCAPED = re.compile(r"\\(.)")
_BOOLEANS = {"true": True, "false": False}
_CLASSES = {class_.value: class_ for class_ in CategoryClass}


class UnfitError(Exception):
    """A part of a field that makes no sense: which parameter (None: the field's first word), and why."""

    def __init__(self, parameter: str | None, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.message = message


def unescaped(text: str) -> str:
    """The content of a quoted string."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def literal(text: str) -> Value:
    """A value without quotes: a boolean, a number that remembers how it stood, or a word.

    Raises:
        UnfitError: the number is too large.
    """
    return _known_literal(text) if len(text) <= _KNOWN_LITERAL else _literal(text)


def _literal(text: str) -> Value:
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if not _NUMBER.fullmatch(text):
        return text
    if "." in text:
        number = BareNumber(text)
        if math.isfinite(number):
            return number
    else:
        whole = BareInteger(text)
        if abs(whole) <= LARGEST_INTEGER:
            return whole
    raise UnfitError(None, "the number is too large")


_KNOWN_LITERAL = 32
_known_literal = lru_cache(maxsize=1024)(_literal)


def described(term: str, given: Mapping[str, str]) -> Category:
    """A category from its parameters.

    Raises:
        UnfitError: one of them is missing or says nothing sensible.
    """
    if "scheme" not in given:
        raise UnfitError(None, "the category needs scheme=")
    class_ = _class(given["class"]) if "class" in given else None  # the 1.1 suites only name (OCCI-REAL-18)
    rel = tuple(given["rel"].split()) if "rel" in given else ()
    is_kind = class_ is CategoryClass.KIND
    return Category(
        scheme=_scheme(given["scheme"]),
        term=term,
        class_=class_,
        title=given.get("title", ""),
        parent=rel[0] if rel and is_kind else "",
        depends=() if is_kind else rel,
        location=given.get("location", ""),
        attributes=_definitions(given["attributes"]) if "attributes" in given else (),
        actions=tuple(given["actions"].split()) if "actions" in given else (),
    )


def _class(text: str) -> CategoryClass:
    if text not in _CLASSES:
        raise UnfitError("class", "class must be kind, mixin or action")
    return _CLASSES[text]


def _scheme(text: str) -> str:
    if not text or _NO_SCHEME.search(text):
        raise UnfitError("scheme", "scheme must be a URI")
    return text


def named_all(text: str) -> list[Category]:
    """The kind and the mixins of a link, of which the parameter ``category`` names the identifiers.

    Raises:
        RenderingError: there is none, or one is no type identifier.
    """
    ids = text.split()
    if not ids:
        raise RenderingError("category must name the link's kind")
    classes = [CategoryClass.KIND] + [CategoryClass.MIXIN] * (len(ids) - 1)
    return [named(type_id, class_) for type_id, class_ in zip(ids, classes, strict=True)]


def _definitions(text: str) -> tuple[AttributeSpec, ...]:
    text = text.strip()
    specs = []
    position = 0
    while position < len(text):
        found = _DEFINITION.match(text, position)
        flags = (found[2] or "").split() if found else ["?"]
        if found is None or not _FLAGS.issuperset(flags):
            raise UnfitError(
                "attributes", "attributes must be names, each with {immutable}, {required} or nothing"
            )
        specs.append(_specification(found[1], "immutable" not in flags, "required" in flags))
        position = found.end()
    return tuple(specs)


_FLAGS = frozenset({"immutable", "required"})


@lru_cache(maxsize=1024)
def _specification(name: str, mutable: bool, required: bool) -> AttributeSpec:
    return AttributeSpec(name=name, mutable=mutable, required=required)
