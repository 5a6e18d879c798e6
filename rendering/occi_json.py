"""``application/occi+json`` (OCCI JSON Rendering 1.2): documents ⇄ bytes.

Unknown members are refused everywhere but inside ``attributes``; members that only the server may give
(``id``, ``actions``, a link's ``location``) are read and left to the receiver. A name given twice counts as
its last value. Attribute values are strings, numbers, booleans, arrays and objects; ``null`` is none of them.

Where the standard's text, its schema and rOCCI's schemas differ (OCCI-REAL-15), what is written satisfies all
of them: no ``pattern``, no empty arrays in a model, ``attributes`` on every entity, a location on every kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from rendering.occi_document import (
    ID,
    LARGEST_INTEGER,
    SOURCE,
    SOURCE_KIND,
    SUMMARY,
    TARGET,
    TARGET_KIND,
    TITLE,
    AttributeSpec,
    AttributeType,
    Category,
    CategoryClass,
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
    named,
)

MAX_BODY = 1 << 20
MAX_DEPTH = 16
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
MAX_ITEMS = 10_000

_MEMBERS = (("id", ID), ("title", TITLE), ("summary", SUMMARY))
_ENDS = (("source", SOURCE, SOURCE_KIND), ("target", TARGET, TARGET_KIND))
_CORE_OF_LINKS = frozenset({ID, TITLE, SOURCE, SOURCE_KIND, TARGET, TARGET_KIND})
_ENTITY_ROOT = "http://schemas.ogf.org/occi/core#entity"

# Writing ------------------------------------------------------------------------------------------------

Json = dict[str, Any]


def encode(document: Document) -> bytes:
    """The body for a document."""
    return msgspec.json.encode(_plain(document))


def _plain(document: Document) -> Any:
    match document:
        case Entity():
            return _entity(document)
        case Link():
            return _link(document)
        case Collection():
            return _collection(document)
        case Discovery():
            return _discovery(document)
        case Created():
            return list(document.locations)
        case Failure():
            return {"status": document.status, "error": document.message, "code": document.code}
        case Request():
            return _request(document)
        case _:
            raise TypeError(f"{type(document).__name__} has no JSON rendering")


def _entity(entity: Entity) -> Json:
    out: Json = {"kind": entity.kind.id}
    if entity.mixins:
        out["mixins"] = [mixin.id for mixin in entity.mixins]
    for member, name in _MEMBERS:
        if name in entity.attributes:
            out[member] = entity.attributes[name]
    out["attributes"] = dict(entity.attributes)
    if entity.actions:
        out["actions"] = [action.id for action in entity.actions]
    if entity.links:
        out["links"] = [_link(link) for link in entity.links]
    return out


def _link(link: Link) -> Json:
    given = link.attributes
    out: Json = {"kind": link.kind.id if link.kind else ""}
    if link.mixins:
        out["mixins"] = [mixin.id for mixin in link.mixins]
    out["id"] = given.get(ID, link.location)
    if TITLE in given:
        out["title"] = given[TITLE]
    out["source"] = _end(given.get(SOURCE), given.get(SOURCE_KIND))
    out["target"] = _end(link.target, link.rel[0] if link.rel else given.get(TARGET_KIND))
    out["attributes"] = {name: value for name, value in given.items() if name not in _CORE_OF_LINKS}
    if link.actions:
        out["actions"] = [action.id for action in link.actions]
    return out


def _end(location: Value | None, kind: Value | None) -> Json:
    end: Json = {"location": location or ""}
    if kind:
        end["kind"] = kind
    return end


def _collection(collection: Collection) -> Json:
    out: Json = {}
    if collection.links:
        out["links"] = [_link(link) for link in collection.links]
    if collection.resources or not out:
        out["resources"] = [_entity(entity) for entity in collection.resources]
    return out


def _discovery(discovery: Discovery) -> Json:
    out: Json = {}
    for class_ in CategoryClass:
        found = [_category(category) for category in discovery.categories if category.class_ is class_]
        if found:
            out[f"{class_.value}s"] = found
    return out


def _category(category: Category) -> Json:
    out: Json = {"term": category.term, "scheme": category.scheme}
    location = category.location or ("/" if category.id == _ENTITY_ROOT else "")
    optional = {
        "title": category.title,
        "attributes": {spec.name: _specification(spec) for spec in category.attributes},
        "parent": category.parent,
        "depends": list(category.depends),
        "applies": list(category.applies),
        "actions": list(category.actions),
        "location": location,
    }
    out.update({name: value for name, value in optional.items() if value})
    return out


def _specification(spec: AttributeSpec) -> Json:
    kind = AttributeType.NUMBER if spec.type is AttributeType.INTEGER else spec.type
    out: Json = {"type": kind.value, "mutable": spec.mutable, "required": spec.required}
    if spec.default is not None:
        out["default"] = spec.default
    if spec.description:
        out["description"] = spec.description
    return out


def _request(request: Request) -> Any:
    """A request of a client's: locations, an action invocation, an entity, or categories and entities."""
    if request.locations:
        return list(request.locations)
    if any(category.class_ is None for category in request.categories):
        raise TypeError("JSON has no rendering for a category of no class")
    kinds, actions = request.of(CategoryClass.KIND), request.of(CategoryClass.ACTION)
    says_more = bool(request.attributes or request.links)
    if not request.members and (says_more or all(map(_is_only_named, request.categories))):
        if actions and len(request.categories) == 1:
            return {"action": actions[0].id, "attributes": dict(request.attributes)}
        if not actions and (len(kinds) == 1 or says_more or not request.categories):
            return _described(request)
    if says_more:
        raise TypeError("JSON has no rendering for this and descriptions of categories together")
    out = _discovery(Discovery(categories=request.categories))
    if request.members:
        out["resources"] = [_described(member) for member in request.members]
    return out


def _is_only_named(category: Category) -> bool:
    """Whether scheme and term say it all, and can be joined and parted."""
    return category.scheme.endswith("#") and category == Category(
        scheme=category.scheme, term=category.term, class_=category.class_
    )


def _described(request: Request) -> Json:
    """An entity, or a part of one, as a client describes it."""
    given = request.attributes
    out: Json = {}
    if kinds := request.of(CategoryClass.KIND):
        out["kind"] = kinds[0].id
    if mixins := request.of(CategoryClass.MIXIN):
        out["mixins"] = [mixin.id for mixin in mixins]
    out["attributes"] = {**given, **request.overruled}
    out.update({member: given[name] for member, name in _MEMBERS if name in request.overruled})
    for member, location, kind in _ENDS:
        if location in request.overruled or kind in request.overruled:
            out[member] = _end(given.get(location), given.get(kind))
    if request.links:
        out["links"] = [_asked_link(link) for link in request.links]
    return out


def _asked_link(link: Link) -> Json:
    """A link as a client asks for it; what it leads to is said once, its other names among the attributes."""
    if link.kind is None:
        raise TypeError("JSON has no rendering for a link of no kind")
    out: Json = {"kind": link.kind.id}
    if link.mixins:
        out["mixins"] = [mixin.id for mixin in link.mixins]
    attributes = dict(link.attributes)
    attributes.pop(TARGET, None)
    kind = attributes.pop(TARGET_KIND) if _names_kind(attributes) else " ".join(link.rel)
    out["target"] = _end(link.target, kind)
    if link.location:
        out["location"] = link.location
    out["attributes"] = attributes
    return out


def _names_kind(attributes: Mapping[str, Value]) -> bool:
    kind = attributes.get(TARGET_KIND)
    return isinstance(kind, str) and kind != ""


# Reading ------------------------------------------------------------------------------------------------


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Base of what a client may send."""


class _End(_Strict):
    location: str
    kind: str = ""


class _Entity(_Strict):
    kind: str = ""
    mixins: list[str] = []
    id: str = ""
    title: str | msgspec.UnsetType = msgspec.UNSET  # null is no title
    summary: str | msgspec.UnsetType = msgspec.UNSET
    attributes: dict[str, Any] = {}
    actions: list[str] = []
    links: list[_Entity] = []
    source: _End | msgspec.UnsetType = msgspec.UNSET
    target: _End | msgspec.UnsetType = msgspec.UNSET
    location: str = ""
    rel: str = ""


class _Invocation(_Strict):
    action: str
    attributes: dict[str, Any] = {}


class _Specification(_Strict):
    type: AttributeType = AttributeType.STRING
    mutable: bool = False
    required: bool = False
    pattern: Any = None
    default: Any = None
    description: str = ""


class _Category(_Strict):
    term: str
    scheme: str
    title: str = ""
    attributes: dict[str, _Specification] = {}
    parent: str = ""
    depends: list[str] = []
    applies: list[str] = []
    actions: list[str] = []
    location: str = ""


class _Model(_Strict):
    kinds: list[_Category] = []
    mixins: list[_Category] = []
    actions: list[_Category] = []
    resources: list[_Entity] = []
    links: list[_Entity] = []


def parse(body: bytes) -> Request:
    """Read a body; an empty one is an empty request.

    Raises:
        RenderingError: it is no JSON, or not of a form that the standard knows; the message says where.
    """
    if len(body) > MAX_BODY:
        raise RenderingError(f"the body is longer than {MAX_BODY} bytes")
    if not body.strip():
        return Request()
    try:
        return _understood(msgspec.json.decode(body))
    except RecursionError:
        raise RenderingError("the JSON is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise RenderingError(f"byte {error.start}: the body is not UTF-8") from error
    except msgspec.MsgspecError as error:
        raise RenderingError(str(error)) from error


def _understood(data: Any) -> Request:
    match data:
        case list():
            return Request(locations=tuple(_bounded(msgspec.convert(data, list[str]))))
        case {"action": _}:
            return _from_invocation(msgspec.convert(data, _Invocation))
        case dict() if _is_model(data):
            return _from_model(msgspec.convert(data, _Model))
        case dict():
            return _from_entity(msgspec.convert(data, _Entity))
        case _:
            raise RenderingError("expected a JSON object, or an array of locations")


def _is_model(data: Mapping[str, Any]) -> bool:
    """Whether an object is a collection of categories or entities rather than one entity."""
    if data.keys() & {"kinds", "resources"} or data.keys() == {"links"}:
        return True
    mixed = (data.get("mixins"), data.get("actions"))
    return any(isinstance(items, list) and items and isinstance(items[0], dict) for items in mixed)


T = TypeVar("T")


def _bounded(items: list[T]) -> list[T]:
    if len(items) > MAX_ITEMS:
        raise RenderingError(f"there are more than {MAX_ITEMS} items")
    return items


def _from_invocation(given: _Invocation) -> Request:
    return Request(
        categories=(named(given.action, CategoryClass.ACTION),), attributes=_values(given.attributes)
    )


def _from_model(given: _Model) -> Request:
    entities = _bounded([*given.resources, *given.links])
    groups = (
        (given.kinds, CategoryClass.KIND),
        (given.mixins, CategoryClass.MIXIN),
        (given.actions, CategoryClass.ACTION),
    )
    return Request(
        categories=tuple(
            _from_category(item, class_) for items, class_ in groups for item in _bounded(items)
        ),
        members=tuple(_from_entity(entity) for entity in entities),
    )


def _from_category(given: _Category, class_: CategoryClass) -> Category:
    if not given.scheme or not given.term:
        raise RenderingError("a category needs term and scheme")
    for member in ("scheme", "term", "title", "location"):
        _check_text(member, getattr(given, member))
    return Category(
        scheme=given.scheme,
        term=given.term,
        class_=class_,
        title=given.title,
        parent=given.parent,
        depends=tuple(given.depends),
        applies=tuple(given.applies),
        location=given.location,
        attributes=tuple(
            AttributeSpec(
                name=name,
                type=spec.type,
                mutable=spec.mutable,
                required=spec.required,
                default=_default(name, spec.default),
                description=spec.description,
            )
            for name, spec in given.attributes.items()
        ),
        actions=tuple(given.actions),
    )


def _from_entity(given: _Entity) -> Request:
    attributes = _merged(given)
    return Request(
        categories=_categories(given),
        attributes=attributes,
        overruled={name: value for name, value in given.attributes.items() if value != attributes[name]},
        links=tuple(_from_link(link) for link in _bounded(given.links)),
    )


def _categories(given: _Entity) -> tuple[Category, ...]:
    kinds = [named(given.kind, CategoryClass.KIND)] if given.kind else []
    return (*kinds, *(named(mixin, CategoryClass.MIXIN) for mixin in given.mixins))


def _merged(given: _Entity) -> dict[str, Value]:
    """Attributes, with the members that stand for one of them; those win."""
    return {**_values(given.attributes), **_named_by_members(given)}


def _named_by_members(given: _Entity) -> dict[str, Value]:
    """The attributes that members stand for (JSON 3.1.1): what is rendered has both."""
    members = [(ID, given.id or msgspec.UNSET), (TITLE, given.title), (SUMMARY, given.summary)]
    for end, location, kind in ((given.source, SOURCE, SOURCE_KIND), (given.target, TARGET, TARGET_KIND)):
        if end is not msgspec.UNSET:
            members += [(location, end.location), (kind, end.kind or msgspec.UNSET)]
    named: dict[str, Value] = {}
    for name, value in members:
        if value is not msgspec.UNSET:
            _check_text(name, value)
            named[name] = value
    return named


def _from_link(given: _Entity) -> Link:
    if not given.kind or given.target is msgspec.UNSET:
        raise RenderingError("a link needs kind and target")
    kind, *mixins = _categories(given)
    attributes = _merged(given)
    if given.rel and not given.target.kind:
        attributes[TARGET_KIND] = given.rel
    rel = str(attributes[TARGET_KIND]).split() if _names_kind(attributes) else ()
    return Link(
        target=given.target.location,
        rel=tuple(rel),
        location=given.location,
        kind=kind,
        mixins=tuple(mixins),
        attributes=attributes,
    )


def _values(given: Mapping[str, Any]) -> dict[str, Value]:
    for name, value in given.items():
        if not name or len(name) > 255 or not name.isprintable():
            raise RenderingError("an attribute needs a printable name of at most 255 characters")
        _check_value(name, value, 0)
    return dict(given)


def _default(name: str, value: Any) -> Value | None:
    if value is not None:
        _check_value(name, value, 0)
    return value  # type: ignore[no-any-return]


def _check_value(name: str, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RenderingError(f"{name}: the value is nested too deeply")
    match value:
        case None:
            raise RenderingError(f"{name}: null is not a value")
        case bool():
            return
        case int() if abs(value) > LARGEST_INTEGER:
            raise RenderingError(f"{name}: the number is too large")
        case float() if not math.isfinite(value):
            raise RenderingError(f"{name}: the number is too large")
        case str():
            _check_text(name, value)
        case list():
            _check_all(name, value, depth)
        case dict():
            _check_all(name, value.keys(), depth)
            _check_all(name, value.values(), depth)


def _check_all(name: str, values: Iterable[Any], depth: int) -> None:
    for value in values:
        _check_value(name, value, depth + 1)


def _check_text(name: str, text: str) -> None:
    # Line ends are allowed: user data is several lines, and text renders them as blanks.
    if not text.isprintable() and _CONTROL.search(text):
        raise RenderingError(f"{name}: control characters are not allowed")
