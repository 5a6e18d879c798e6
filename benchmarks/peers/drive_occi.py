"""occi 0.6 (occi-py), translated for Python 3 by fissix and otherwise as it is.

It reads no links, and values as they stand. It has no JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# This folder has nothing of its name, but the checkout has, and Python may have been told to look there.
sys.path[:] = [each for each in sys.path if not Path(each, "rendering", "occi.lark").exists()]

from occi.core import Category, Kind, Mixin
from occi.http.dataobject import DataObject, LinkRepr
from occi.http.parser import get_parser
from occi.http.renderer import get_renderer
from timing import Case, main

_BASE = "http://cloud.example.org"


class Attribute:
    """What it asks of an attribute's description."""

    def __init__(self, name: str) -> None:
        self.name = name


def _category(fact: dict[str, Any]) -> Any:
    given = {
        "title": fact["title"],
        "attributes": [Attribute(name) for name, _, _ in fact["attributes"]],
        "related": _named(fact["rel"], Kind if fact["class"] == "kind" else Mixin) if fact["rel"] else None,
    }
    if fact["class"] == "action":
        return Category(fact["term"], fact["scheme"], **given)
    class_ = Kind if fact["class"] == "kind" else Mixin
    return class_(fact["term"], fact["scheme"], location=fact["location"], **given)


def _named(type_id: str, class_: Any = Category) -> Any:
    scheme, _, term = type_id.rpartition("#")
    return class_(term, f"{scheme}#")


def _machine(fact: dict[str, Any]) -> Any:
    links = [
        LinkRepr(
            target_location=_BASE + link["target"],
            target_categories=[_named(link["rel"])],
            link_location=_BASE + link["location"],
            link_categories=[_named(link["kind"])],
            link_attributes=list(link["attributes"].items()),
        )
        for link in fact["links"]
    ]
    links += [
        LinkRepr(
            target_location=f"{fact['location']}?action={each.rpartition('#')[2]}",
            target_categories=[_named(each)],
        )
        for each in fact["actions"]
    ]
    return DataObject(
        categories=[_category(fact["kind"]), *map(_category, fact["mixins"])],
        attributes=list(fact["attributes"].items()),
        links=links,
        location=_BASE + fact["location"],
    )


def _parse(body: bytes) -> list[Any]:
    parser = get_parser("text/plain")
    parser.parse(body=body.decode())
    return parser.objects


def _render(document: Any) -> bytes:
    renderer = get_renderer(["text/plain"])
    renderer.render(document)
    return renderer.body.encode()


def _model(facts: list[dict[str, Any]]) -> Any:
    made = DataObject(categories=[_category(fact) for fact in facts])
    made.render_flags["category_discovery"] = True
    return made


def _read(found: list[Any]) -> object:
    kind, *mixins = map(str, found[0].categories)
    return [kind, sorted(mixins), dict(found[0].attributes)["occi.core.title"]]


def _encoded(name: str) -> Any:
    return lambda given: [each.encode() for each in given[name]]


main(
    {
        "parse a compute": Case(_encoded("creations"), _parse, _read),
        "render a compute": Case(
            lambda given: [_machine(each) for each in given["machines"]],
            _render,
            lambda body: body.count(b"\nLink: "),
        ),
        "parse a `/-/` answer": Case(
            _encoded("model_bodies"), _parse, lambda found: len(found[0].categories)
        ),
        "render a `/-/` answer": Case(
            lambda given: [_model(each) for each in given["models"]],
            _render,
            lambda body: body.count(b"\nCategory: ") + 1,
        ),
        "parse a collection of 1000": Case(
            _encoded("listing_bodies"), _parse, lambda found: [len(found), found[-1].location]
        ),
        "render a collection of 1000": Case(
            lambda given: [[DataObject(location=each) for each in listing] for listing in given["listings"]],
            _render,
            lambda body: [body.count(b"X-OCCI-Location: "), body.decode().split()[-1]],
        ),
    }
)
