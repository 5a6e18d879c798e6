"""OCCI's text as a stranger reads it, sign by sign from the standard's grammar: none of the server's code."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Parameters = list[tuple[str, Any]]


class Read(NamedTuple):
    """What a body or headers say: categories by term, links by target, each with its parameters in order."""

    categories: list[tuple[str, Parameters]]
    links: list[tuple[str, Parameters]]
    attributes: Parameters
    locations: list[str]


def body(text: str) -> Read:
    """A ``text/plain`` body: one field a line, the name, a colon, a blank."""
    return _read([tuple(line.split(": ", 1)) for line in text.split("\n") if line])  # type: ignore[misc]


def headers(fields: list[tuple[str, str]]) -> Read:
    """The headers of ``text/occi``: what WSGI gives is UTF-8 in the guise of Latin-1."""
    return _read(
        [(name, item) for name, value in fields for item in _apart(value.encode("latin-1").decode(), ", ")]
    )


def _read(fields: list[tuple[str, str]]) -> Read:
    found = Read([], [], [], [])
    for name, value in fields:
        match name:
            case "Category":
                term, *parameters = _apart(value, "; ")
                found.categories.append((term, list(map(_pair, parameters))))
            case "Link":
                target, *parameters = _apart(value, "; ")
                assert target[0] + target[-1] == "<>", value
                found.links.append((target[1:-1], list(map(_pair, parameters))))
            case "X-OCCI-Attribute":
                found.attributes.append(_pair(value))
            case "X-OCCI-Location":
                found.locations.append(value)
            case _:
                raise AssertionError(f"no field of OCCI's: {name}")
    return found


def _apart(text: str, mark: str) -> list[str]:
    """Parts between marks, but for those inside quotes or angle brackets."""
    parts, begin, at, quoted, bracketed = [], 0, 0, False, False
    while at < len(text):
        sign = text[at]
        if quoted and sign == "\\":
            at += 1
        elif sign == '"':
            quoted = not quoted
        elif sign in "<>" and not quoted:
            bracketed = sign == "<"
        elif text.startswith(mark, at) and not quoted and not bracketed:
            parts.append(text[begin:at])
            begin = at + len(mark)
            at = begin - 1
        at += 1
    assert not quoted, text
    assert not bracketed, text
    return [*parts, text[begin:]]


def _pair(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    if not value.startswith('"'):
        return name, json.loads(value)
    content, at = "", 1
    while value[at] != '"':
        at += value[at] == "\\"
        content += value[at]
        at += 1
    assert at == len(value) - 1, text
    return name, content
