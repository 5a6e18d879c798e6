"""ooi 1.2.0's parsers and serializers, without the OpenStack around them.

It reads no answers of servers: of a ``/-/`` answer, which it would refuse as several kinds at once, it gets
one category at a time; lists of locations it cannot read. What it renders of a category is without attributes
and actions.
"""

from __future__ import annotations

import collections
import collections.abc
import sys
import types
from functools import cache
from typing import Any

from timing import Case, Round, main

# It was written for older Pythons, and its package asks for nova, which its parsers and serializers do not.
collections.Mapping = collections.abc.Mapping  # type: ignore[attr-defined]
collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]
import ooi

package = types.ModuleType("ooi.wsgi")
package.__path__ = [f"{ooi.__path__[0]}/wsgi"]
sys.modules["ooi.wsgi"] = package

from ooi.occi.core import action, attribute, collection, kind, mixin
from ooi.occi.infrastructure import compute, network, network_link, storage, storage_link
from ooi.wsgi import parsers, serializers

_ENVIRONMENT = {"application_url": "http://cloud.example.org"}
_TEXT = serializers.TextSerializer(_ENVIRONMENT)
_JSON = serializers.JsonSerializer(_ENVIRONMENT)


def _attributes(fact: dict[str, Any]) -> Any:
    made = {}
    for name, immutable, required in fact["attributes"]:
        class_ = attribute.InmutableAttribute if immutable else attribute.MutableAttribute
        made[name] = class_(name, required=required)
    return attribute.AttributeCollection(made)


@cache
def _related(type_id: str, is_kind: bool) -> Any:
    scheme, _, term = type_id.rpartition("#")
    return (kind.Kind if is_kind else mixin.Mixin)(f"{scheme}#", term, term)


def _category(fact: dict[str, Any]) -> Any:
    given = (fact["scheme"], fact["term"], fact["title"], _attributes(fact), fact["location"])
    match fact["class"]:
        case "kind":
            return kind.Kind(*given, parent=_related(fact["rel"], True) if fact["rel"] else None)
        case "mixin":
            return mixin.Mixin(*given, depends=[_related(fact["rel"], False)] if fact["rel"] else [])
        case _:
            return action.Action(*given)


def _machine(fact: dict[str, Any]) -> Any:
    values = fact["attributes"]
    made = compute.ComputeResource(
        values["occi.core.title"],
        id=values["occi.core.id"],
        architecture=values["occi.compute.architecture"],
        cores=values["occi.compute.cores"],
        hostname=values["occi.compute.hostname"],
        share=values["occi.compute.share"],
        memory=values["occi.compute.memory"],
        state=values["occi.compute.state"],
        mixins=[_category(each) for each in fact["mixins"]],
    )
    disk, interface = fact["links"]
    target = storage.StorageResource("", id=disk["target"].rsplit("/")[-1])
    made.add_link(
        storage_link.StorageLink(
            made,
            target,
            disk["attributes"]["occi.storagelink.deviceid"],
            state=disk["attributes"]["occi.storagelink.state"],
        )
    )
    net = network.NetworkResource("", id=interface["target"].rsplit("/")[-1])
    plugged = interface["attributes"]
    made.add_link(
        network_link.NetworkInterface(
            [],
            made,
            net,
            interface["location"].rsplit("/")[-1],
            plugged["occi.networkinterface.interface"],
            plugged["occi.networkinterface.mac"],
            plugged["occi.networkinterface.state"],
        )
    )
    return made


def _machines(given: Round) -> list[Any]:
    return [_machine(each) for each in given["machines"]]


def _parse(body: bytes) -> Any:
    return parsers.TextParser({}, body.decode()).parse()


def _parse_each_line(body: bytes) -> list[Any]:
    lines = body.decode().split("\n")
    return [parsers.TextParser({}, line).parse() for line in lines]


def _rendered(document: Any) -> bytes:
    return _TEXT.serialize(document)[1]


def _rendered_json(document: Any) -> bytes:
    return _JSON.serialize(document)[1]


def _read(found: dict[str, Any]) -> object:
    return [found["category"], sorted(found["mixins"]), found["attributes"]["occi.core.title"]]


def _model(facts: list[dict[str, Any]]) -> Any:
    made = [_category(fact) for fact in facts]
    of = {
        name: [c for c, f in zip(made, facts, strict=True) if f["class"] == name]
        for name in ("kind", "mixin", "action")
    }
    return collection.Collection(kinds=of["kind"], mixins=of["mixin"], actions=of["action"])


class Listed:
    """Something with a place, which is all that a listing of it asks for."""

    def __init__(self, location: str) -> None:
        self.location = location


main(
    {
        "parse a compute": Case(lambda given: [each.encode() for each in given["creations"]], _parse, _read),
        "render a compute": Case(_machines, _rendered, lambda body: body.count(b"\nLink: ")),
        "parse a `/-/` answer": Case(
            lambda given: [each.encode() for each in given["model_bodies"]], _parse_each_line, len
        ),
        "render a `/-/` answer": Case(
            lambda given: [_model(each) for each in given["models"]],
            _rendered,
            lambda body: body.count(b"\nCategory: ") + 1,
        ),
        "render a collection of 1000": Case(
            lambda given: [
                collection.Collection(resources=[Listed(each.split("/", 3)[3]) for each in listing])
                for listing in given["listings"]
            ],
            _rendered,
            lambda body: [body.count(b"X-OCCI-Location: "), body.decode().rsplit(" ", 1)[1]],
        ),
        "parse a compute, JSON": Case(
            lambda given: list(given["json_creations"]),
            lambda body: parsers.JsonParser({}, body).parse(),
            _read,
        ),
        "render a compute, JSON": Case(_machines, _rendered_json, lambda body: body.count(b'"kind"') > 2),
        "render 200 computes in full, JSON": Case(
            lambda given: [collection.Collection(resources=_machines(given))],
            _rendered_json,
            lambda body: body.count(b"occi.compute.cores"),
        ),
    }
)
