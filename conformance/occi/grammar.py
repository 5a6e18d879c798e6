"""OCCI's text, read by the letter of the standard (TEXT 4, H11 3.5); what strays from it is Malformed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.occi.documents import Category, Link, Property

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9][A-Za-z0-9_-]*)*")
_SIGN = (
    r"[!#-;=?-\[\]_a-z~]"  # of a URI (RFC 3986): no blanks, quotes, angles, braces, backslashes; ASCII only
)
_URI = re.compile(f"{_SIGN}+")
_TEMPLATE = re.compile(rf"(?:{_SIGN}|[{{|}}])+")  # RFC 6570
_TYPE = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?:(?!#){_SIGN})*#{_TERM.pattern}")
_PARAMETER = re.compile(rf'\s*;\s*([A-Za-z0-9._-]+)\s*=\s*({_QUOTED}|[^\s;,"]+)')
_LINK = re.compile(r"\s*<([^<>]*)>")
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.")
_SIGNED = re.compile(r"-(?:[0-9]*\.?[0-9]+|[0-9]+\.)")
_PROPERTY = re.compile(rf"({_NAME.pattern})(?:\{{([a-z ]+)\}})?")
_ORDER = ("scheme", "class", "title", "rel", "location", "attributes", "actions")
_LINK_ORDER = ("rel", "self", "category")


class Malformed(Exception):  # noqa: N818 - it says what is the case
    """Text that does not follow the grammar; the message says what and where."""


def split(value: str) -> list[str]:
    """The elements of a comma list; a comma inside a quoted string or a URI's brackets is no separator."""
    parts, start, quoted, escaped, angled = [], 0, False, False, False
    for position, sign in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = sign == "\\", sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in "<>":
            angled = sign == "<"
        elif sign == "," and not angled:
            parts.append(value[start:position].strip())
            start = position + 1
    if quoted:
        raise Malformed(f"a quoted string does not end: {value[-80:]!r}")
    return [*parts, value[start:].strip()]


def unquoted(text: str) -> str:
    """A quoted string's content, or a bare value as it is."""
    if not text.startswith('"'):
        return text
    if not re.fullmatch(_QUOTED, text, re.DOTALL):
        raise Malformed(f"{text[:80]!r} is no quoted string")
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def value(text: str) -> Any:
    """An attribute's value: a quoted string, a number, true or false."""
    if text.startswith('"'):
        return unquoted(text)
    if text in {"true", "false"}:
        return text == "true"
    if _NUMBER.fullmatch(text) or _SIGNED.fullmatch(text):
        return float(text) if "." in text else int(text)
    raise Malformed(f"{text[:80]!r} is neither a quoted string, a number, true nor false")


def _parameters(text: str, where: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _PARAMETER.match(text, position)
        if found is None:
            if not text[position:].strip():
                return
            raise Malformed(f"{where}: expected ; and a parameter at {text[position : position + 60]!r}")
        yield found[1], found[2]
        position = found.end()


def category(text: str) -> Category:
    """One category (TEXT 4.1)."""
    term = _TERM.match(text)
    if term is None:
        raise Malformed(f"{text[:60]!r} begins with no term")
    given: dict[str, str] = {}
    for name, raw in _parameters(text[term.end() :], f"category {term[0]}"):
        if name not in _ORDER:
            raise Malformed(f"category {term[0]} has the unknown parameter {name}")
        if name in given:
            raise Malformed(f"category {term[0]} has {name} twice")
        if given and _ORDER.index(name) < max(map(_ORDER.index, given)):
            raise Malformed(f"category {term[0]}: {name} is not in the order of the grammar")
        if name != "class" and not raw.startswith('"'):
            raise Malformed(f"category {term[0]}: {name} is not quoted")
        given[name] = unquoted(raw)
    for needed in ("scheme", "class"):
        if needed not in given:
            raise Malformed(f"category {term[0]} has no {needed}")
    if not given["scheme"].endswith("#") or not _URI.fullmatch(given["scheme"]):
        raise Malformed(f"category {term[0]}: the scheme {given['scheme'][:80]!r} is no URI that ends in #")
    if given["class"] not in {"kind", "mixin", "action"}:
        raise Malformed(f"category {term[0]}: the class is {given['class'][:40]!r}")
    for name in ("rel", "actions"):
        for each in given.get(name, "").split():
            if not _TYPE.fullmatch(each):
                raise Malformed(f"category {term[0]}: {name} has {each[:80]!r}, which is no type identifier")
    if "location" in given and not _TEMPLATE.fullmatch(given["location"]):
        raise Malformed(f"category {term[0]}: the location {given['location'][:80]!r} is no URI")
    return Category(
        term=term[0],
        scheme=given["scheme"],
        class_=given["class"],
        title=given.get("title"),
        rel=tuple(given.get("rel", "").split()),
        location=given.get("location"),
        attributes=tuple(_properties(given.get("attributes", ""), term[0])),
        actions=tuple(given.get("actions", "").split()),
    )


def _properties(text: str, term: str) -> Iterator[Property]:
    position, text = 0, text.strip()
    while position < len(text):
        found = _PROPERTY.match(text, position)
        flags = set((found[2] or "").split()) if found else set()
        ends = found.end() if found else position
        if found is None or flags - {"immutable", "required"} or text[ends : ends + 1].strip():
            raise Malformed(
                f"category {term}: attributes are not names at {text[position : position + 60]!r}"
            )
        yield Property(name=found[1], mutable="immutable" not in flags, required="required" in flags)
        position = ends + len(text[ends:]) - len(text[ends:].lstrip())


def link(text: str) -> Link:
    """One link, or action link (TEXT 4.2, 4.3)."""
    target = _LINK.match(text)
    if target is None or not _URI.fullmatch(target[1]):
        raise Malformed(f"{text[:60]!r} begins with no <URI>")
    fixed: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for name, raw in _parameters(text[target.end() :], f"link to {target[1][:60]}"):
        if name in _LINK_ORDER and not attributes:
            fixed[name] = unquoted(raw)
        elif _NAME.fullmatch(name) is None or name in attributes:
            raise Malformed(f"link to {target[1][:60]}: {name} is no attribute's name, or there twice")
        else:
            attributes[name] = value(raw) if raw.startswith('"') or _is_literal(raw) else raw
    if not fixed.get("rel", "").split():
        raise Malformed(f"link to {target[1][:60]} has no rel")
    for each in (*fixed["rel"].split(), *fixed.get("category", "").split()):
        if not _TYPE.fullmatch(each):
            raise Malformed(f"link to {target[1][:60]}: {each[:80]!r} is no type identifier")
    if "self" in fixed and not _URI.fullmatch(fixed["self"]):
        raise Malformed(f"link to {target[1][:60]}: self is {fixed['self'][:80]!r}, which is no URI")
    return Link(
        target=target[1],
        rel=tuple(fixed["rel"].split()),
        self_=fixed.get("self", ""),
        categories=tuple(fixed.get("category", "").split()),
        attributes=attributes,
    )


def _is_literal(raw: str) -> bool:
    return (
        raw in {"true", "false"} or _NUMBER.fullmatch(raw) is not None or _SIGNED.fullmatch(raw) is not None
    )


def attribute(text: str) -> tuple[str, Any]:
    """One attribute with its value (TEXT 4.4)."""
    name, equals, raw = text.partition("=")
    if not equals or _NAME.fullmatch(name) is None:
        raise Malformed(f"{text[:80]!r} is no name=value")
    return name, value(raw)


def location(text: str) -> str:
    """One location (TEXT 4.5)."""
    if not _URI.fullmatch(text):
        raise Malformed(f"{text[:80]!r} is no URI")
    return text


# Writing ------------------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """A quoted string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: text carries arrays and objects as JSON in a string."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, (list, dict)):
        one, other = other, one
    if isinstance(one, (list, dict)) and isinstance(other, str):
        try:
            return bool(json.loads(other) == one)
        except ValueError:
            return False
    return bool(one == other)


def literal(given: Any) -> str:
    """A value as text carries it; arrays and objects as JSON in a quoted string."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, (int, float)):
        return str(given)
    return quoted(given if isinstance(given, str) else json.dumps(given))


def named(type_id: str, class_: str) -> str:
    """A category that is only named."""
    scheme, mark, term = type_id.partition("#")
    return f'{term}; scheme="{scheme}{mark}"; class="{class_}"'


def described(given: Category) -> str:
    """A category with all that is said of it."""
    rest = [
        f"; {name}={quoted(text)}"
        for name, text in (("title", given.title), ("rel", " ".join(given.rel)), ("location", given.location))
        if text
    ]
    return named(given.id, given.class_) + "".join(rest)


def inline(given: Link) -> str:
    """A link in the description of a resource."""
    parts = [f"<{given.target}>"]
    parts += [f'{name}="{" ".join(ids)}"' for name, ids in (("rel", given.rel),) if ids]
    parts += [f'self="{given.self_}"'] if given.self_ else []
    parts += [f'category="{" ".join(given.categories)}"'] if given.categories else []
    return "; ".join([*parts, *(f"{name}={literal(each)}" for name, each in given.attributes.items())])
