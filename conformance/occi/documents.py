"""What an OCCI endpoint shows, whichever rendering it came in, and what is said to it.

Written without the server's code: a shared misreading would hide a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from conformance.checks import Value

PLAIN, OCCI_PLAIN, HEADERS, JSON, URI_LIST = (
    "text/plain",
    "text/occi+plain",
    "text/occi",
    "application/occi+json",
    "text/uri-list",
)
#: The renderings that carry entities and categories.
DESCRIBING = (PLAIN, HEADERS, JSON)

CORE = "http://schemas.ogf.org/occi/core#"
INFRASTRUCTURE = "http://schemas.ogf.org/occi/infrastructure#"
COMPUTE = f"{INFRASTRUCTURE}compute"
STORAGE = f"{INFRASTRUCTURE}storage"
NETWORK = f"{INFRASTRUCTURE}network"
STORAGELINK = f"{INFRASTRUCTURE}storagelink"
NETWORKINTERFACE = f"{INFRASTRUCTURE}networkinterface"
OS_TPL = f"{INFRASTRUCTURE}os_tpl"
RESOURCE_TPL = f"{INFRASTRUCTURE}resource_tpl"

Attributes: TypeAlias = Mapping[str, Any]


class Property(Value, frozen=True, kw_only=True):
    """What a category says of an attribute; None where the rendering does not tell."""

    name: str
    mutable: bool = True
    required: bool = False
    type: str | None = None
    default: Any = None
    described: Attributes = {}


class Category(Value, frozen=True, kw_only=True):
    """A kind, mixin or action, described or named. ``class_`` is kind, mixin, action, or empty.

    ``rel`` is what text calls so: a kind's parent, the first mixin that a mixin depends on. ``depends`` and
    ``applies`` are only told in JSON.
    """

    scheme: str
    term: str
    class_: str = ""
    title: str | None = None
    rel: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    applies: tuple[str, ...] = ()
    location: str | None = None
    attributes: tuple[Property, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The type identifier (OCCI-CORE-002)."""
        return self.scheme + self.term

    @property
    def properties(self) -> dict[str, Property]:
        """Attributes by name."""
        return {each.name: each for each in self.attributes}


class Link(Value, frozen=True, kw_only=True):
    """A link inside a resource's rendering, or (``rel`` is an action's id) an action that is offered."""

    target: str
    rel: tuple[str, ...] = ()
    self_: str = ""
    categories: tuple[str, ...] = ()
    attributes: Attributes = {}

    @property
    def is_action(self) -> bool:
        """Whether it offers an action."""
        return "?action=" in self.target


class Entity(Value, frozen=True, kw_only=True):
    """A resource or a link, as one rendering shows it; ``actions`` are the identifiers of those offered."""

    kind: str
    mixins: tuple[str, ...] = ()
    attributes: Attributes = {}
    links: tuple[Link, ...] = ()
    actions: tuple[str, ...] = ()


class Wanted(Value, frozen=True, kw_only=True):
    """What is said to an endpoint: an entity or a part of one, an action, mixins to add, or locations.

    ``kind``, ``mixins`` and ``action`` are type identifiers. ``described`` are mixins to add.
    """

    kind: str = ""
    mixins: tuple[str, ...] = ()
    action: str = ""
    attributes: Attributes = {}
    links: tuple[Link, ...] = ()
    locations: tuple[str, ...] = ()
    described: tuple[Category, ...] = ()
