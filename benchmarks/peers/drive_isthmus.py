"""Isthmus's renderings: the same documents as the peers'."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from timing import Case, Round, main

from rendering import occi_json, occi_text
from rendering.occi_document import (
    AttributeSpec,
    Category,
    CategoryClass,
    Collection,
    Discovery,
    Entity,
    Link,
    Request,
    named,
)

_catalog: dict[str, Category] = {}


def _category(fact: dict[str, Any]) -> Category:
    """A category out of a catalog: as in the gateway, the same one is the same object."""
    return _catalog.setdefault(json.dumps(fact), _made(fact))


def _made(fact: dict[str, Any]) -> Category:
    is_kind = fact["class"] == "kind"
    return Category(
        scheme=fact["scheme"],
        term=fact["term"],
        class_=CategoryClass(fact["class"]),
        title=fact["title"],
        parent=fact["rel"] if is_kind else "",
        depends=(fact["rel"],) if fact["rel"] and not is_kind else (),
        location=fact["location"],
        attributes=tuple(
            AttributeSpec(name=name, mutable=not immutable, required=required)
            for name, immutable, required in fact["attributes"]
        ),
        actions=tuple(fact["actions"]),
    )


_named = cache(named)


def _entity(machine: dict[str, Any]) -> Entity:
    return Entity(
        kind=_category(machine["kind"]),
        mixins=tuple(_category(each) for each in machine["mixins"]),
        location=machine["location"],
        attributes=machine["attributes"],
        actions=tuple(_named(each, CategoryClass.ACTION) for each in machine["actions"]),
        links=tuple(
            Link(
                target=link["target"],
                rel=(link["rel"],),
                location=link["location"],
                kind=_named(link["kind"], CategoryClass.KIND),
                attributes=link["attributes"],
            )
            for link in machine["links"]
        ),
    )


def _entities(given: Round) -> list[Entity]:
    return [_entity(each) for each in given["machines"]]


def _read(request: Request) -> object:
    kind, *mixins = [each.id for each in request.categories]
    return [kind, sorted(mixins), request.attributes["occi.core.title"]]


def _bodies(name: str) -> Any:
    return lambda given: [body.encode() for body in given[name]]


main(
    {
        "parse a compute": Case(_bodies("creations"), occi_text.parse_plain, _read),
        "render a compute": Case(
            _entities,
            lambda entity: occi_text.plain(entity).encode(),
            lambda body: body.count(b"\nLink: "),
        ),
        "parse a `/-/` answer": Case(
            _bodies("model_bodies"), occi_text.parse_plain, lambda request: len(request.categories)
        ),
        "render a `/-/` answer": Case(
            lambda given: [Discovery(categories=tuple(map(_category, each))) for each in given["models"]],
            lambda model: occi_text.plain(model).encode(),
            lambda body: body.count(b"\nCategory: ") + 1,
        ),
        "parse a collection of 1000": Case(
            _bodies("listing_bodies"),
            occi_text.parse_plain,
            lambda request: [len(request.locations), request.locations[-1]],
        ),
        "render a collection of 1000": Case(
            lambda given: [Collection(locations=tuple(each)) for each in given["listings"]],
            lambda listing: occi_text.plain(listing).encode(),
            lambda body: [body.count(b"X-OCCI-Location: "), body.decode().rsplit(" ", 1)[1]],
        ),
        "parse a compute, JSON": Case(_bodies("json_creations"), occi_json.parse, _read),
        "render a compute, JSON": Case(_entities, occi_json.encode, lambda body: body.count(b'"kind"') > 2),
        "render 200 computes in full, JSON": Case(
            lambda given: [Collection(resources=tuple(_entities(given)))],
            occi_json.encode,
            lambda body: body.count(b"occi.compute.cores"),
        ),
    }
)
