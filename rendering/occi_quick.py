"""The commonest forms of OCCI's text fields, read without the grammar.

Each reader knows the way in which nearly all clients write, and answers None to everything else: that is the
grammar's (``occi.lark``), and so are all refusals. What a reader does answer is what the grammar would; tests
hold the two against each other.

The readers are given values without control characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from rendering.occi_document import Category, Link, RenderingError, Value
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

_REMEMBERED = 4096
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
_QUOTED = r'"[^"\\]*"'
_BARE = r'[^\x00-\x20\x7f",;<>=]+'
_PAIR = rf"({_NAME})=(?:({_QUOTED})|({_BARE}))"

# Possessive: what was taken is not tried again, so that a long value costs no more than its length.
_whole_quoted = re.compile(r'(?:[^"\\]++|\\.)*+"').fullmatch
_whole_category = re.compile(rf" ?({_NAME})((?:; {_NAME}=(?:{_QUOTED}|{_BARE}))*+);?").fullmatch
_whole_list = re.compile(rf" ?{_NAME}=(?:{_QUOTED}|{_BARE})(?:, {_NAME}=(?:{_QUOTED}|{_BARE}))*+").fullmatch
_whole_locations = re.compile(r' ?[^\x00-\x20\x7f",;<>]++(?:, [^\x00-\x20\x7f",;<>]++)*+').fullmatch
_parameters = re.compile(rf"; {_PAIR}").findall
_pairs = re.compile(_PAIR).findall
_is_name = re.compile(ATTRIBUTE_NAME).fullmatch


class _Known(dict[str, Any]):
    """What short texts that come again and again were found to mean; None if they are the grammar's."""

    def __init__(self, read: Callable[[str], Any], longest: int) -> None:
        super().__init__()
        self._read = read
        self._longest = longest

    def __missing__(self, text: str) -> Any:
        if len(text) > self._longest:
            return None
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self[text] = self._read(text)
        return found


def _name(text: str) -> str | None:
    name = text.removeprefix(" ")
    return name if _is_name(name) else None


def _form(text: str) -> tuple[int, int, int, int, tuple[str, ...]] | None:
    """Where a link's own parameters are, how many, and the names of the others, which come after them."""
    names = [each.removeprefix("; ").removesuffix("=") for each in text.split('"')]
    if len(set(names)) < len(names) or text != '="; '.join(names) + "=" or not all(map(_is_name, names)):
        return None
    own = [name for name in names if name in LINK_PARAMETERS]
    if "rel" not in own or names[: len(own)] != own:
        return None
    rel, self_, category = (own.index(name) if name in own else -1 for name in ("rel", "self", "category"))
    return rel, self_, category, len(own), tuple(names[len(own) :])


def _bare(text: str) -> Value | None:
    try:
        given = literal(text)
    except UnfitError:
        return None
    return None if isinstance(given, str) else given


def _related(text: str) -> tuple[str, ...] | None:
    return tuple(text.split()) or None


def _kinds(text: str) -> tuple[Category, ...] | None:
    try:
        return tuple(named_all(text))
    except RenderingError:
        return None


#: Attributes' names as they stand before the equals sign; numbers and booleans; the names of a link's
#: parameters, by all that stands between their values; links' ``rel`` and ``category``.
_NAMES = _Known(_name, 256)
_BARE_VALUES = _Known(_bare, 64)
_FORMS = _Known(_form, 1024)
_RELATED = _Known(_related, 1024)
_KINDS = _Known(_kinds, 1024)


def attributes(value: str) -> Pairs | None:
    """``name="value"``, ``name=1``, and several of them parted by comma and blank."""
    name, mark, quoted = value.partition('="')
    if not mark:
        name, mark, bare = value.partition("=")
        known, given = _NAMES[name], _BARE_VALUES[bare]
        if mark and known is not None and given is not None:
            return ((known, given),)
    elif (known := _NAMES[name]) is not None:
        if quoted.find('"') + 1 == len(quoted) and quoted and "\\" not in quoted:
            return ((known, quoted[:-1]),)
        if _whole_quoted(quoted):
            return ((known, unescaped(quoted[:-1])),)
    return _several(value)


def _several(value: str) -> Pairs | None:
    if "," not in value or not _whole_list(value):
        return None
    found: dict[str, Value] = {}
    for name, quoted, bare in _pairs(value):
        given = quoted[1:-1] if quoted else _BARE_VALUES[bare]
        if given is None or name in found or _NAMES[name] is None:
            return None
        found[name] = given
    return tuple(found.items())


def locations(value: str) -> tuple[str, ...] | None:
    """URIs, parted by comma and blank."""
    return tuple(value.removeprefix(" ").split(", ")) if _whole_locations(value) else None


def links(value: str) -> tuple[Link, ...] | None:
    """One link with parameters, each after semicolon and blank, all quoted, attributes last."""
    parts = value.split('"')  # what stands between quotes, and what between those, in turns
    target, mark, first = parts[0].removeprefix(" ").partition(">; ")
    if not mark or len(parts) % 2 == 0 or parts[-1] or "\\" in value:
        return None
    if target[:1] != "<" or len(target) == 1 or " " in target or "<" in target[1:] or ">" in target:
        return None
    form = _FORMS['"'.join((first, *parts[2:-1:2]))]
    if form is None:
        return None
    at_rel, at_self, at_category, own, names = form
    texts = parts[1::2]
    rel = _RELATED[texts[at_rel]]
    kinds = _KINDS[texts[at_category]] if at_category >= 0 else ()
    if rel is None or kinds is None:
        return None
    if "?action=" in target:
        return ()
    return (
        Link(
            target=target[1:],
            rel=rel,
            location=texts[at_self] if at_self >= 0 else "",
            kind=kinds[0] if kinds else None,
            mixins=kinds[1:],
            attributes=dict(zip(names, texts[own:], strict=False)),  # as many, and strict takes its time
        ),
    )


def categories(value: str) -> tuple[Category, ...] | None:
    """One category with parameters, each after semicolon and blank."""
    found = _whole_category(value)
    if found is None:
        return None
    term, parameters = found.groups()
    given: dict[str, str] = {}
    for name, quoted, bare in _parameters(parameters):
        if name in given or name not in CATEGORY_PARAMETERS:
            return None
        given[name] = quoted[1:-1] if quoted else bare
    try:
        return (described(term, given),)
    except UnfitError:
        return None


Reader: TypeAlias = Callable[[str], "tuple[Any, ...] | None"]

#: By the rule of the grammar.
READERS: Final[Mapping[str, Reader]] = {
    "categories": categories,
    "links": links,
    "attributes": attributes,
    "locations": locations,
}
