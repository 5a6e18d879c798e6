"""Checks of the JSON rendering: its shapes, and what is understood of requests."""

from __future__ import annotations

import json
from typing import Any

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    SUMMARY,
    TITLE,
    effect,
    fresh,
    kind_of,
    linked,
    malformed,
    raw,
    thing,
    untouched,
    usable_action,
    wanted,
)
from conformance.occi.documents import JSON, PLAIN, RESOURCE_TPL, Wanted
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.shapes import (
    ACTION,
    DESCRIPTION,
    END,
    KIND,
    LINK,
    LINKS,
    MIXIN,
    MODEL,
    RESOURCE,
    RESOURCES,
    Named,
    Shape,
    is_of_type,
    strays,
)
from conformance.occi.suite import SUITE
from conformance.wire import Answer

ENTITY = "http://schemas.ogf.org/occi/core#entity"


def spoken(session: OcciSession, path: str, what: str = "") -> Any:
    """The JSON at a path; Absent when the endpoint speaks none and does not claim 1.2."""
    answer = session.send("GET", path, media=JSON)
    if answer.status == 406 and "1.2" not in session.versions:
        raise Absent(f"{JSON} is of 1.2, which the server does not claim")
    return told(session, answer, what or f"GET {path}")


def told(session: OcciSession, answer: Answer, what: str) -> Any:
    """The JSON of an answer, which must say that it is JSON."""
    session.ok(answer, what, 200, 201)
    expect(answer.media == JSON, f"{what}: asked for {JSON}, got {answer.media or 'no Content-Type'}")
    return codec.document(answer)


def conforms(given: Any, shape: Shape, where: str) -> None:
    """Fail when a document is not of a shape."""
    found = list(strays(given, shape, where))
    expect(not found, "; ".join(found[:5]))


def _model(session: OcciSession, member: str) -> list[Any]:
    found = spoken(session, QUERY).get(member, [])
    expect(isinstance(found, list) and found, f"the query interface has no {member}")
    return list(found)


@SUITE.check("OCCI-JSON-001", "OCCI-HTTP-007", changes=True)
def the_media_type(session: OcciSession) -> None:
    """JSON is answered, and read, as application/occi+json."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given, media=JSON)
    if answer.status in {406, 415} and "1.2" not in session.versions:
        raise Absent(f"{JSON} is of 1.2, which the server does not claim")
    path = session.made(session.ok(answer, "creation", 200, 201))
    if answer.body:
        expect(answer.media == JSON, f"asked for {JSON}, got {answer.media or 'no Content-Type'}")
    for where in (path, session.location(given.kind), QUERY):
        spoken(session, where)


@SUITE.check("OCCI-JSON-010", "OCCI-JSON-014")
def the_model_in_json(session: OcciSession) -> None:
    """The query interface is an object of kinds, mixins and actions."""
    found = spoken(session, QUERY)
    expect(isinstance(found, dict), "the query interface is no object")
    strange = set(found) - set(MODEL.may)
    expect(not strange, f"the query interface has {', '.join(sorted(strange))}")
    expect(found.get("kinds"), "there are no kinds")


@SUITE.check("OCCI-JSON-006", "OCCI-JSON-014")
def kinds_in_json(session: OcciSession) -> None:
    """Each kind has term and scheme and no unknown members; all but entity have a location."""
    for each in _model(session, "kinds"):
        where = f"the kind {each.get('term')}"
        conforms(each, KIND, where)
        if each["scheme"] + each["term"] != ENTITY:
            expect(each.get("location"), f"{where} has no location")


@SUITE.check("OCCI-JSON-007", "OCCI-JSON-014")
def mixins_in_json(session: OcciSession) -> None:
    """Each mixin has term, scheme and location and no unknown members."""
    found = spoken(session, QUERY).get("mixins", [])
    if not found:
        raise Absent("there are no mixins")
    for each in found:
        conforms(each, MIXIN, f"the mixin {each.get('term')}")


@SUITE.check("OCCI-JSON-008", "OCCI-JSON-014")
def actions_in_json(session: OcciSession) -> None:
    """Each action has term and scheme and no unknown members."""
    for each in _model(session, "actions"):
        conforms(each, ACTION, f"the action {each.get('term')}")


@SUITE.check("OCCI-JSON-012")
def descriptions_of_attributes(session: OcciSession) -> None:
    """Descriptions of attributes are of the schema's shape, and a default is of its attribute's type."""
    model = spoken(session, QUERY)
    for class_ in ("kinds", "mixins", "actions"):
        for each in model.get(class_, []):
            given = each.get("attributes", {})
            where = f"{each.get('term')}.attributes"
            conforms(given, Named(of=DESCRIPTION), where)
            for name, said in given.items():
                type_ = said.get("type", "string")
                if "default" in said:
                    right = is_of_type(said["default"], type_)
                    expect(right, f"{where}.{name}: the default {said['default']!r} is no {type_}")


@SUITE.check("OCCI-JSON-012", changes=True)
def values_are_of_their_types(session: OcciSession) -> None:
    """The attributes of a machine and of others are of the types that their descriptions say."""
    whole = session.detailed()
    for path in (thing(session), linked(session).source):
        found = spoken(session, path)
        types = [whole[name] for name in (found["kind"], *found.get("mixins", [])) if name in whole]
        described = {each.name: each for category in types for each in category.attributes}
        for name, value in found.get("attributes", {}).items():
            type_ = (described[name].type or "string") if name in described else ""
            expect(not type_ or is_of_type(value, type_), f"{name} is {value!r}, and described as {type_}")


@SUITE.check("OCCI-JSON-002", "OCCI-JSON-014", changes=True)
def resources_in_json(session: OcciSession) -> None:
    """Resources have kind and id and no unknown members; id, title and their like are as in text."""
    for path in (thing(session), linked(session).source):
        found = spoken(session, path)
        conforms(found, RESOURCE, "the resource")
        text = session.read(path).attributes
        for member, name in (("id", "occi.core.id"), ("title", TITLE), ("summary", SUMMARY)):
            said = found.get(member, found.get("attributes", {}).get(name))
            expect(said == text.get(name), f"{member} is {said!r}, and {name} {text.get(name)!r} in text")


@SUITE.check("OCCI-JSON-003", "OCCI-JSON-004", "OCCI-JSON-014", changes=True)
def links_in_json(session: OcciSession) -> None:
    """Links have kind, id, source and target and no unknown members, alone and inside their source."""
    link = linked(session)
    alone = spoken(session, link.path)
    conforms(alone, LINK, "the link")
    for each in spoken(session, link.source).get("links", []):
        conforms(each, LINK, "the link inside its source")
        if each["id"] == alone["id"]:
            expect(
                each["kind"] == alone["kind"], f"the link's kind is {alone['kind']}, inside {each['kind']}"
            )
            return
    expect(False, f"the source does not show the link {alone['id']}")


@SUITE.check("OCCI-JSON-004", changes=True)
def ends_of_links_in_json(session: OcciSession) -> None:
    """A link's source and target have the locations and the kinds of what is linked."""
    link = linked(session)
    found = spoken(session, link.path)
    for end, path in (("source", link.source), ("target", link.target)):
        conforms(found.get(end), END, end)
        location = found[end]["location"]
        expect(session.path(location) == path, f"{end} is at {location}, and was linked as {path}")
        kind, own = found[end].get("kind"), session.read(path).kind
        expect(kind == own, f"{end} is said to be of kind {kind}, and is of {own}")


@SUITE.check("OCCI-JSON-009", "OCCI-JSON-014", "OCCI-HTTP-040", changes=True)
def collections_in_json(session: OcciSession) -> None:
    """A collection is an object with the array resources, whose members are as by themselves."""
    path = thing(session)
    found = spoken(session, session.location(kind_of(session)))
    conforms(found, RESOURCES, "the collection")
    alone = spoken(session, path)
    mine = [each for each in found["resources"] if each["id"] == alone["id"]]
    expect(len(mine) == 1, f"{alone['id']} is there {len(mine)} times among {len(found['resources'])}")
    expect(mine[0] == alone, f"in the collection {alone['id']} is not what it is by itself")
    listed = session.listed(session.location(kind_of(session)))
    expect(
        len(listed) == len(found["resources"]), f"{len(listed)} in text, {len(found['resources'])} in JSON"
    )


@SUITE.check("OCCI-JSON-009", "OCCI-JSON-003", "OCCI-JSON-014", changes=True)
def collections_of_links_in_json(session: OcciSession) -> None:
    """A collection of links is an object with the array links."""
    link = linked(session)
    alone = spoken(session, link.path)
    found = spoken(session, session.location(alone["kind"]))
    conforms(found, LINKS, "the collection")
    expect(alone["id"] in [each["id"] for each in found["links"]], f"{alone['id']} is not among the links")


@SUITE.check("OCCI-JSON-009", "OCCI-JSON-014", "OCCI-AMB-05", changes=True)
def empty_collections_in_json(session: OcciSession) -> None:
    """An empty collection is an object without members, or with empty arrays."""
    answer = session.send("GET", session.path(session.tag().location or ""), media=JSON)
    session.ok(answer, "GET of an empty collection", 200, 204)
    if answer.status == 200:
        found = told(session, answer, "GET")
        conforms(found, MODEL, "the collection")
        expect(not any(found.values()), "the collection of a new mixin is not empty")
    session.note(f"an empty collection in JSON: {answer.status} {answer.text[:40]}")


@SUITE.check("OCCI-JSON-011", changes=True)
def names_are_flat(session: OcciSession) -> None:
    """The names of attributes in JSON are those of text, and their values those of text."""
    for path in (thing(session), linked(session).source):
        text, found = session.read(path).attributes, session.read(path, JSON).attributes
        names = {name for name in set(text) ^ set(found) if not name.endswith(".kind")}
        expect(not names, f"only in one of text and JSON: {', '.join(sorted(names))}")
        for name in set(text) & set(found):
            expect(grammar.same(text[name], found[name]), f"{name}: {text[name]!r} and {found[name]!r}")


@SUITE.check("OCCI-JSON-005", "OCCI-HTTP-036", changes=True)
def actions_by_json(session: OcciSession) -> None:
    """An action is invoked with its type identifier and attributes, and is carried out."""
    path = fresh(session)
    action = usable_action(session, path)
    body = json.dumps({"action": action, "attributes": {}})
    answer = raw(session, f"{path}?action={action.rpartition('#')[2]}", body, media=JSON)
    session.ok(answer, action, 200, 204)
    effect(session, path, action)


@SUITE.check("OCCI-JSON-005", "OCCI-HTTP-STATUS-400", changes=True)
def malformed_actions_by_json(session: OcciSession) -> None:
    """An invocation with an unknown member, or an action that is no string, is 400 and nothing is done."""
    path = fresh(session)
    action = usable_action(session, path)
    where = f"{path}?action={action.rpartition('#')[2]}"
    with untouched(session, path):
        for body in ({"action": action, "nonsense": 1}, {"action": [action]}, {"action": "nonsense"}):
            malformed(raw(session, where, json.dumps(body), media=JSON), f"the invocation {json.dumps(body)}")


@SUITE.check("OCCI-JSON-002", "OCCI-JSON-014", changes=True)
def answers_to_changes_in_json(session: OcciSession) -> None:
    """What answers an update, a replacement or an action in JSON is a resource, if there is a body."""
    path = fresh(session)
    before = spoken(session, path)
    updated = session.update(path, kind_of(session), JSON, attributes={TITLE: session.name()})
    replaced = raw(session, path, json.dumps(before), method="PUT", media=JSON)
    acted = session.act(path, usable_action(session, path), JSON)
    for what, answer in (("an update", updated), ("a PUT of what was read", replaced), ("an action", acted)):
        session.ok(answer, what, 200, 201, 204)
        if answer.status == 200 and answer.body:
            conforms(told(session, answer, what), RESOURCE, f"the answer to {what}")
    associated = Wanted(locations=(path,))
    where = session.path(session.tag().location or "")
    answer = session.send("POST", where, associated, media=PLAIN, accept=JSON)
    session.ok(answer, "associating", 200, 204)
    if answer.status == 200 and answer.body.strip() not in {b"", b"{}"}:
        conforms(told(session, answer, "associating"), RESOURCES, "the answer to an association")


@SUITE.check("OCCI-JSON-013", changes=True)
def defaults_apply(session: OcciSession) -> None:
    """A machine made with a template has the template's defaults for what was not said."""
    sizes = [each.id for each in session.depending(RESOURCE_TPL)]
    path = linked(session).source
    mine = [each for each in session.read(path).mixins if each in sizes]
    if not mine:
        raise Absent("there are no resource templates")
    found = session.read(path, JSON).attributes
    defaults = {each.name: each.default for each in session.detailed()[mine[0]].attributes}
    said = {name: value for name, value in defaults.items() if value is not None}
    if not said:
        raise Absent(f"{mine[0]} has no defaults")
    for name, value in said.items():
        same = grammar.same(found.get(name), value)
        expect(same, f"{name} is {found.get(name)!r}, and {mine[0]} has the default {value!r}")


@SUITE.check("OCCI-JSON-015", "OCCI-AMB-21")
def refusals_in_json(session: OcciSession) -> None:
    """A refusal asked for in JSON is a JSON object, or says that it is something else."""
    where = f"{session.location(kind_of(session))}{session.name()}"
    answer = session.refused(session.send("GET", where, media=JSON), "GET of what is not there", 404)
    if answer.media == JSON:
        found = codec.document(answer)
        expect(isinstance(found, dict) and found, "the refusal is no JSON object")
    else:
        expect(not answer.body or answer.media, "the refusal has a body and no Content-Type")
    session.note(f"a refusal in JSON: {answer.media or 'no body'}, {answer.text[:80]}")


@SUITE.check("OCCI-JSON-002", "OCCI-HTTP-042", changes=True)
def members_that_are_attributes(session: OcciSession) -> None:
    """Title and summary are understood as members and inside attributes."""
    given = wanted(session)
    rest = {name: value for name, value in given.attributes.items() if name != TITLE}
    for members, attributes in (({"title": session.name()}, rest), ({}, {**rest, TITLE: session.name()})):
        body = {"kind": given.kind, "mixins": list(given.mixins), **members, "attributes": attributes}
        answer = raw(session, session.location(given.kind), json.dumps(body), media=JSON)
        path = session.made(session.ok(answer, "creation", 200, 201))
        title = members.get("title") or attributes.get(TITLE)
        found = session.read(path, PLAIN).attributes.get(TITLE)
        expect(found == title, f"the title is {found!r}, and {title!r} was said")
