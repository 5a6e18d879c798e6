"""What is said and shown in each rendering: :class:`Wanted` → a request, an answer → entities, categories."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from conformance.checks import Failed
from conformance.occi import grammar
from conformance.occi.documents import (
    HEADERS,
    JSON,
    OCCI_PLAIN,
    PLAIN,
    URI_LIST,
    Category,
    Entity,
    Link,
    Property,
    Wanted,
)
from conformance.occi.grammar import Malformed
from conformance.wire import Answer

T = TypeVar("T")
_FIELDS = ("Category", "Link", "X-OCCI-Attribute", "X-OCCI-Location")
_MEMBERS, _ENDS = ("id", "title", "summary"), ("source", "target")
_CLASSES = ("kind", "mixin", "action")

# Saying -------------------------------------------------------------------------------------------------


def said(wanted: Wanted, media: str) -> tuple[dict[str, str], bytes | None]:
    """Headers and body that say something in a rendering."""
    if media == JSON:
        return {"Content-Type": JSON}, json.dumps(_json(wanted)).encode()
    fields = list(_fields(wanted))
    if media == HEADERS:
        joined: dict[str, list[str]] = {}
        for name, value in fields:
            joined.setdefault(name, []).append(value)
        return {"Content-Type": HEADERS, **{name: ", ".join(values) for name, values in joined.items()}}, None
    if media == URI_LIST:
        return {"Content-Type": URI_LIST}, "\n".join(wanted.locations).encode()
    return {"Content-Type": media}, "\n".join(f"{name}: {value}" for name, value in fields).encode()


def _fields(wanted: Wanted) -> Iterable[tuple[str, str]]:
    for type_id, class_ in ((wanted.action, "action"), (wanted.kind, "kind")):
        if type_id:
            yield "Category", grammar.named(type_id, class_)
    for mixin in wanted.mixins:
        yield "Category", grammar.named(mixin, "mixin")
    for category in wanted.described:
        yield "Category", grammar.described(category)
    for link in wanted.links:
        yield "Link", grammar.inline(link)
    for name, value in wanted.attributes.items():
        yield "X-OCCI-Attribute", f"{name}={grammar.literal(value)}"
    for location in wanted.locations:
        yield "X-OCCI-Location", location


def _json(wanted: Wanted) -> Any:
    if wanted.locations:
        return list(wanted.locations)
    if wanted.described:
        return {"mixins": [_described(each) for each in wanted.described]}
    if wanted.action:
        return _filled(action=wanted.action, attributes=dict(wanted.attributes))
    attributes = dict(wanted.attributes)
    members = {
        name: attributes.pop(f"occi.core.{name}") for name in _MEMBERS if f"occi.core.{name}" in attributes
    }
    ends = {
        name: {"location": attributes.pop(f"occi.core.{name}")}
        for name in _ENDS
        if f"occi.core.{name}" in attributes
    }
    return (
        _filled(
            kind=wanted.kind,
            mixins=list(wanted.mixins),
            attributes=attributes,
            links=[_link(each) for each in wanted.links],
            **ends,
        )
        | members
    )


def _described(category: Category) -> Any:
    return _filled(
        scheme=category.scheme,
        term=category.term,
        title=category.title,
        location=category.location,
        depends=list(category.depends or category.rel),
    )


def _link(link: Link) -> Any:
    target = _filled(location=link.target, kind=link.rel[0] if link.rel else "")
    kind, *mixins = link.categories or ("",)
    return _filled(kind=kind, mixins=mixins, target=target, attributes=dict(link.attributes))


def _filled(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}


# Reading ------------------------------------------------------------------------------------------------


def fields(answer: Answer) -> list[tuple[str, str]]:
    """The OCCI fields of an answer in text, by name as the standard writes it.

    Raises:
        Failed: a line of a body is none.
    """
    names = {name.lower(): name for name in _FIELDS}
    if answer.media == HEADERS:
        found = [(names[k.lower()], v) for k, v in answer.headers if k.lower() in names]
        return [
            (name, part) for name, value in found for part in _or_fail(grammar.split, _utf8(value)) if part
        ]
    lines = [line.removesuffix("\r") for line in answer.text.split("\n")]
    pairs = [line.partition(":") for line in lines if line.strip()]
    for name, colon, _ in pairs:
        if not colon or name.strip().lower() not in names:
            raise Failed(f"the body has a line that is no field of OCCI: {name[:80]!r}")
    listed = [(names[name.strip().lower()], value.strip()) for name, _, value in pairs]
    return [(name, part) for name, value in listed for part in _or_fail(grammar.split, value) if part]


def _utf8(value: str) -> str:
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _or_fail(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except Malformed as error:
        raise Failed(str(error)) from error


def categories(answer: Answer) -> list[Category]:
    """The categories of a query interface, described."""
    if answer.media == JSON:
        model = document(answer)
        if not isinstance(model, dict):
            raise Failed("the model is no JSON object")
        return [_category(each, class_) for class_ in _CLASSES for each in _list(model, f"{class_}s")]
    return [_or_fail(grammar.category, text) for name, text in fields(answer) if name == "Category"]


def _category(given: Any, class_: str) -> Category:
    if not isinstance(given, dict) or not all(
        isinstance(given.get(name), str) for name in ("scheme", "term")
    ):
        raise Failed(f"a {class_} has no term and scheme")
    parent, depends = given.get("parent"), tuple(given.get("depends", ()))
    return Category(
        scheme=given["scheme"],
        term=given["term"],
        class_=class_,
        title=given.get("title"),
        rel=(parent,) if parent else depends[:1],
        depends=depends,
        applies=tuple(given.get("applies", ())),
        location=given.get("location"),
        attributes=tuple(_property(name, each) for name, each in given.get("attributes", {}).items()),
        actions=tuple(given.get("actions", ())),
    )


def _property(name: str, given: Any) -> Property:
    if not isinstance(given, dict):
        raise Failed(f"the description of {name} is no object")
    return Property(
        name=name,
        mutable=bool(given.get("mutable", False)),
        required=bool(given.get("required", False)),
        type=given.get("type", "string"),
        default=given.get("default"),
        described=given,
    )


def entity(answer: Answer) -> Entity:
    """The one resource or link of an answer."""
    if answer.media == JSON:
        return json_entity(document(answer))
    return _text_entity(fields(answer))


def _text_entity(found: list[tuple[str, str]]) -> Entity:
    named = [_or_fail(grammar.category, text) for name, text in found if name == "Category"]
    links = [_or_fail(grammar.link, text) for name, text in found if name == "Link"]
    pairs = [_or_fail(grammar.attribute, text) for name, text in found if name == "X-OCCI-Attribute"]
    kinds = [each.id for each in named if each.class_ == "kind"]
    if len(kinds) != 1:
        raise Failed(f"the rendering has {len(kinds)} kinds, and an entity has one")
    if len({name for name, _ in pairs}) != len(pairs):
        raise Failed("an attribute is there twice")
    return Entity(
        kind=kinds[0],
        mixins=tuple(each.id for each in named if each.class_ == "mixin"),
        attributes=dict(pairs),
        links=tuple(each for each in links if not each.is_action),
        actions=tuple(type_id for each in links if each.is_action for type_id in each.rel),
    )


def json_entity(given: Any) -> Entity:
    """A resource or link of JSON's; ``id``, ``title`` and their like are attributes, as they are in text."""
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        raise Failed("the answer is no JSON object with a kind")
    attributes = dict(given.get("attributes", {}))
    for member in _MEMBERS:
        if member in given:
            attributes.setdefault(f"occi.core.{member}", given[member])
    for end in _ENDS:
        if isinstance(given.get(end), dict):
            attributes.setdefault(f"occi.core.{end}", given[end].get("location", ""))
    return Entity(
        kind=given["kind"],
        mixins=tuple(given.get("mixins", ())),
        attributes=attributes,
        links=tuple(_inline(each) for each in given.get("links", ())),
        actions=tuple(given.get("actions", ())),
    )


def _inline(given: Any) -> Link:
    whole = json_entity(given)
    target = given.get("target") or {}
    kind = target.get("kind")
    return Link(
        target=target.get("location", ""),
        rel=(kind,) if kind else (),
        self_=str(given.get("id", "")),
        categories=(whole.kind, *whole.mixins),
        attributes=whole.attributes,
    )


def locations(answer: Answer) -> list[str]:
    """Where the members of a collection, or new entities, are: URIs, or (JSON) ids without them."""
    if answer.media == URI_LIST:
        lines = [line.strip() for line in answer.text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    if answer.media == JSON:
        return _json_locations(document(answer))
    return [_or_fail(grammar.location, text) for name, text in fields(answer) if name == "X-OCCI-Location"]


def _json_locations(given: Any) -> list[str]:
    if isinstance(given, list):
        return [each for each in given if isinstance(each, str)]
    if not isinstance(given, dict):
        raise Failed("the answer is neither a JSON object nor a list")
    members = [*_list(given, "resources"), *_list(given, "links")] or ([given] if "id" in given else [])
    return [str(each.get("location") or each.get("id", "")) for each in members]


def members(answer: Answer) -> list[Entity]:
    """The entities of a collection in JSON, which renders them whole."""
    given = document(answer)
    if not isinstance(given, dict):
        raise Failed("a collection is a JSON object")
    return [json_entity(each) for each in [*_list(given, "resources"), *_list(given, "links")]]


def document(answer: Answer) -> Any:
    """The JSON of an answer."""
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise Failed(f"the body is no JSON: {error}") from error


def _list(given: dict[str, Any], name: str) -> list[Any]:
    found = given.get(name, [])
    if not isinstance(found, list):
        raise Failed(f"{name} is no array")
    return found


def is_text(media: str) -> bool:
    """Whether a media type is one of those that carry OCCI's text."""
    return media in {PLAIN, OCCI_PLAIN, HEADERS}
