"""The JSON that the standard knows, as data (JSON 3, app. B): which members there are, and of what type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from conformance.checks import Value


class Text(Value, frozen=True, kw_only=True):
    """A string; ``type_id`` is one that names a category."""

    type_id: bool = False


class Flag(Value, frozen=True, kw_only=True):
    """True or false."""


class Values(Value, frozen=True, kw_only=True):
    """Attributes by flat names; any JSON but null."""


class Any_(Value, frozen=True, kw_only=True):  # noqa: N801 - the name is taken
    """Any JSON."""


class Object(Value, frozen=True, kw_only=True):
    """Any object."""


class Choice(Value, frozen=True, kw_only=True):
    """One of some strings."""

    of: tuple[str, ...]


class Many(Value, frozen=True, kw_only=True):
    """An array."""

    of: Shape


class Named(Value, frozen=True, kw_only=True):
    """An object whose members have names of their own, as attributes in a kind."""

    of: Shape


class Record(Value, frozen=True, kw_only=True):
    """An object with these members and no others."""

    needs: Mapping[str, Shape] = {}
    may: Mapping[str, Shape] = {}


Shape: TypeAlias = "Text | Flag | Values | Any_ | Object | Choice | Many | Named | Record"

_TEXT, _TYPE = Text(), Text(type_id=True)
_TYPES = Many(of=_TYPE)
END = Record(needs={"location": _TEXT}, may={"kind": _TYPE})
LINK = Record(
    needs={"kind": _TYPE, "id": _TEXT, "source": END, "target": END},
    may={"mixins": _TYPES, "attributes": Values(), "actions": _TYPES, "title": _TEXT},
)
RESOURCE = Record(
    needs={"kind": _TYPE, "id": _TEXT},
    may={
        "mixins": _TYPES,
        "attributes": Values(),
        "actions": _TYPES,
        "links": Many(of=LINK),
        "summary": _TEXT,
        "title": _TEXT,
    },
)
DESCRIPTION = Record(
    may={
        "mutable": Flag(),
        "required": Flag(),
        "type": Choice(of=("string", "number", "boolean", "array", "object")),
        "pattern": Object(),
        "default": Any_(),
        "description": _TEXT,
    }
)
_DESCRIPTIONS = Named(of=DESCRIPTION)
KIND = Record(
    needs={"term": _TEXT, "scheme": _TEXT},
    may={"title": _TEXT, "attributes": _DESCRIPTIONS, "parent": _TYPE, "actions": _TYPES, "location": _TEXT},
)
MIXIN = Record(
    needs={"term": _TEXT, "scheme": _TEXT, "location": _TEXT},
    may={
        "title": _TEXT,
        "attributes": _DESCRIPTIONS,
        "depends": _TYPES,
        "applies": _TYPES,
        "actions": _TYPES,
    },
)
ACTION = Record(needs={"term": _TEXT, "scheme": _TEXT}, may={"title": _TEXT, "attributes": _DESCRIPTIONS})
MODEL = Record(
    may={
        "kinds": Many(of=KIND),
        "mixins": Many(of=MIXIN),
        "actions": Many(of=ACTION),
        "resources": Many(of=RESOURCE),
        "links": Many(of=LINK),
    }
)
RESOURCES = Record(needs={"resources": Many(of=RESOURCE)})
LINKS = Record(needs={"links": Many(of=LINK)})
#: What values an attribute of a type has.
OF_TYPE: Mapping[str, Any] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def is_of_type(given: Any, name: str) -> bool:
    """Whether a value is of a type that an attribute's description names; true is no number.

    A type that the standard does not know has any value.
    """
    if name not in OF_TYPE:
        return True
    return isinstance(given, OF_TYPE[name]) and (name != "number" or not isinstance(given, bool))


def strays(given: Any, shape: Shape, where: str = "the answer") -> Iterator[str]:
    """What in a document is not as its shape says, and where."""
    match shape:
        case Text():
            if not isinstance(given, str):
                yield f"{where} is {_kind(given)} and not a string"
            elif shape.type_id and not _names_type(given):
                yield f"{where} is {given[:80]!r}, which is no type identifier"
        case Flag():
            if not isinstance(given, bool):
                yield f"{where} is {_kind(given)} and not true or false"
        case Choice():
            if given not in shape.of:
                yield f"{where} is {given!r} and none of {', '.join(shape.of)}"
        case Many():
            yield from _strays_of_many(given, shape, where)
        case Any_():
            return
        case _:
            yield from _strays_of_object(given, shape, where)


def _strays_of_many(given: Any, shape: Many, where: str) -> Iterator[str]:
    if not isinstance(given, list):
        yield f"{where} is {_kind(given)} and not an array"
        return
    for number, each in enumerate(given):
        yield from strays(each, shape.of, f"{where}[{number}]")


def _strays_of_object(given: Any, shape: Shape, where: str) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"{where} is {_kind(given)} and not an object"
        return
    match shape:
        case Values():
            yield from (f"{where}.{name} is null" for name, each in given.items() if each is None)
        case Named():
            for name, each in given.items():
                yield from strays(each, shape.of, f"{where}.{name}")
        case Record():
            members = {**shape.needs, **shape.may}
            yield from (f"{where} has no {name}" for name in shape.needs if name not in given)
            yield from (f"{where} has the unknown member {name}" for name in given if name not in members)
            for name, each in given.items():
                if name in members:
                    yield from strays(each, members[name], f"{where}.{name}")


def _names_type(text: str) -> bool:
    scheme, mark, term = text.partition("#")
    return bool(mark and ":" in scheme and term and not any(sign.isspace() for sign in text))


def _kind(given: Any) -> str:
    return "null" if given is None else f"the {type(given).__name__} {str(given)[:40]!r}"
