"""Neutral OCCI documents: what every rendering carries, in both directions.

A document knows categories, attributes, links and locations, and no instance. Replies are :class:`Entity`,
:class:`Collection` and :class:`Discovery`; whatever a client sent is one :class:`Request`, whichever
rendering it came in. Sources: OCCI Core 1.2 (GFD.221), with the names of 1.1 (GFD.183) where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self, TypeAlias

import msgspec

#: A scalar, or (JSON, and JSON inside a quoted string in text) an array or object of such values.
Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value]"


class BareInteger(int):
    """An integer as text wrote it, without quotes: for a string attribute it is that text (``007``)."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that a text means."""
        made = super().__new__(cls, text)
        made.text = text
        return made


class BareNumber(float):
    """A number with a point as text wrote it, without quotes: for a string attribute it is that text."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that a text means."""
        made = super().__new__(cls, text)
        made.text = text
        return made


ID = "occi.core.id"
TITLE = "occi.core.title"
SUMMARY = "occi.core.summary"
SOURCE = "occi.core.source"
SOURCE_KIND = "occi.core.source.kind"
TARGET = "occi.core.target"
TARGET_KIND = "occi.core.target.kind"

#: The integers that both renderings can carry: 64 bits, signed.
LARGEST_INTEGER = (1 << 63) - 1


class RenderingError(Exception):
    """A request that its rendering does not allow; the message says where and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents: immutable, keyword-only. The mappings in them are never changed either."""


class CategoryClass(StrEnum):
    """The three things that can be a category (CORE 5.3.1)."""

    __hash__ = str.__hash__  # an Enum's own is slow, and members are equal to their texts anyway

    KIND = "kind"
    MIXIN = "mixin"
    ACTION = "action"


class AttributeType(StrEnum):
    """What values an attribute takes; ``INTEGER`` is a ``number`` without fraction."""

    __hash__ = str.__hash__

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


class AttributeSpec(Document, frozen=True, kw_only=True, cache_hash=True):
    """What a category says of one attribute (CORE 5.3.2).

    ``mutable`` False means that only the server sets it. ``choices``, ``minimum`` and ``maximum`` narrow the
    type; no rendering carries them (OCCI-REAL-15), validation knows them.
    """

    name: str
    type: AttributeType = AttributeType.STRING
    mutable: bool = True
    required: bool = False
    default: Value | None = None
    description: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


class Category(Document, frozen=True, kw_only=True, cache_hash=True):
    """A kind, mixin or action, described, or merely named by scheme and term.

    ``parent`` is a kind's parent, ``depends`` and ``applies`` are a mixin's; they and ``actions`` hold type
    identifiers. ``location`` is a path that ends in a slash, empty when there is none. ``class_`` is None
    where a client left it out, as scheme and term are enough to name a category (OCCI-CORE-002).
    """

    scheme: str
    term: str
    class_: CategoryClass | None
    title: str = ""
    parent: str = ""
    depends: tuple[str, ...] = ()
    applies: tuple[str, ...] = ()
    location: str = ""
    attributes: tuple[AttributeSpec, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The type identifier: scheme and term, joined (OCCI-CORE-002)."""
        return self.scheme + self.term


def named(type_id: str, class_: CategoryClass) -> Category:
    """A category that is only named, from its type identifier; raises RenderingError without a ``#``."""
    scheme, mark, term = type_id.rpartition("#")
    if not mark or not scheme or not term:
        raise RenderingError(f"'{type_id[:80]}' is not a type identifier: expected scheme#term")
    return Category(scheme=scheme + mark, term=term, class_=class_)


class Link(Document, frozen=True, kw_only=True):
    """A link, inside its source's rendering or alone.

    ``target`` and ``location`` (the link's own) are paths or URIs. ``rel`` are the type identifiers of the
    target. In a reply ``attributes`` hold everything that is rendered, ``occi.core.id`` included.
    """

    target: str
    rel: tuple[str, ...] = ()
    location: str = ""
    kind: Category | None = None
    mixins: tuple[Category, ...] = ()
    attributes: Mapping[str, Value] = {}
    actions: tuple[Category, ...] = ()


class Entity(Document, frozen=True, kw_only=True):
    """A resource as a server shows it: ``actions`` are those applicable now, ``location`` its path."""

    kind: Category
    location: str
    mixins: tuple[Category, ...] = ()
    attributes: Mapping[str, Value] = {}
    links: tuple[Link, ...] = ()
    actions: tuple[Category, ...] = ()


class Collection(Document, frozen=True, kw_only=True):
    """Entities or links, or only where they are: text lists ``locations`` (URIs), JSON full renderings."""

    locations: tuple[str, ...] = ()
    resources: tuple[Entity, ...] = ()
    links: tuple[Link, ...] = ()


class Discovery(Document, frozen=True, kw_only=True):
    """The query interface: categories, kinds first."""

    categories: tuple[Category, ...] = ()


class Created(Document, frozen=True, kw_only=True):
    """Where new entities are: absolute URIs."""

    locations: tuple[str, ...] = ()


class Failure(Document, frozen=True, kw_only=True):
    """A refusal: an HTTP status, a stable code and a sentence (the standard has no such document)."""

    status: int
    code: str
    message: str


class Request(Document, frozen=True, kw_only=True):
    """What a client sent. What it means depends on the method and the path.

    ``links`` are links to other resources; the action links that clients send back with what they read are
    dropped, as they say nothing. ``members`` are the entities of a JSON collection. ``overruled`` are the
    attributes for which JSON's members (``title`` and its like) say otherwise, with the values that they had.
    """

    categories: tuple[Category, ...] = ()
    attributes: Mapping[str, Value] = {}
    links: tuple[Link, ...] = ()
    locations: tuple[str, ...] = ()
    members: tuple[Request, ...] = ()
    overruled: Mapping[str, Value] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.categories or self.attributes or self.links or self.locations or self.members)

    def of(self, class_: CategoryClass) -> tuple[Category, ...]:
        """The categories of one class."""
        return tuple(category for category in self.categories if category.class_ is class_)
