"""Checks of kinds' collections: listing, filters, creation, deletion (HTTP 11)."""

from __future__ import annotations

import json

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    ID,
    TITLE,
    fresh,
    gone,
    is_old,
    kind_of,
    nothing_made,
    raw,
    replaced,
    thing,
    told,
    wanted,
)
from conformance.occi.checks.http_actions import lonely_kind
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    HEADERS,
    JSON,
    PLAIN,
    RESOURCE_TPL,
    URI_LIST,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE

_NONSENSE = {"Content-Type": HEADERS, "Category": "nonsense"}
_FORMS = (PLAIN, HEADERS, URI_LIST, JSON)


def ids(session: OcciSession, path: str, media: str, **headers: str) -> set[str]:
    """What a collection has: the paths of its members, or (JSON) their ids."""
    answer = session.send("GET", path, media=media, headers=headers)
    session.ok(answer, f"GET {path}", 200, 204)
    if answer.status == 204 or (not answer.body and media != HEADERS):
        return set()
    if media == JSON:
        return {str(each.attributes.get(ID)) for each in codec.members(answer)}
    return {session.path(each) for each in codec.locations(answer)}


def name_of(session: OcciSession, path: str, media: str) -> str:
    """What :func:`ids` calls an entity."""
    return str(session.read(path).attributes.get(ID)) if media == JSON else path


def filtered(text: str) -> dict[str, str]:
    """The headers of a filter by attributes; the type is that of headers which say something (H11 3.6.6)."""
    return {"Content-Type": HEADERS, "X-OCCI-Attribute": text}


def by_category(type_id: str, class_: str) -> dict[str, str]:
    """The headers of a filter by a category."""
    return {"Content-Type": HEADERS, "Category": grammar.named(type_id, class_)}


# GET ----------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-040", "OCCI-HTTP-STATUS-200", changes=True, cases=_FORMS)
def a_kind_lists_its_members(session: OcciSession, media: str) -> None:
    """GET of a kind's collection has every member once, and they are of that kind."""
    mine = {fresh(session), fresh(session)}
    where = session.location(kind_of(session))
    found = ids(session, where, media)
    missing = {name_of(session, path, media) for path in mine} - found
    expect(not missing, f"{', '.join(missing)} are not among the {len(found)} members")
    if media == JSON:
        kinds = {each.kind for each in codec.members(session.get(where, JSON))}
        expect(kinds == {kind_of(session)}, f"the members are of {', '.join(sorted(kinds))}")


@SUITE.check("OCCI-HTTP-041", changes=True, cases=_FORMS)
def a_filter_by_an_attribute(session: OcciSession, media: str) -> None:
    """An X-OCCI-Attribute header leaves the members with that value, in each rendering."""
    title = session.name('with, comma; and "quotes"')
    mine, other = session.create(wanted(session, title=title)), thing(session)
    where = session.location(kind_of(session))
    found = ids(session, where, media, **filtered(f"{TITLE}={grammar.quoted(title)}"))
    if name_of(session, other, media) in found and not is_old(session):
        raise Absent("there is no filter, which 1.2 only recommends")
    expect(found == {name_of(session, mine, media)}, f"one has that title, and {len(found)} came")
    none = ids(session, where, media, **filtered(f"{TITLE}={grammar.quoted(title + 'x')}"))
    expect(not none, f"none has that title, and {len(none)} came")


@SUITE.check("OCCI-HTTP-041", changes=True)
def a_filter_by_several(session: OcciSession) -> None:
    """Several conditions must all hold, in one header or in two."""
    given = wanted(session, title=(title := session.name()))
    path = session.create(given)
    where = session.location(given.kind)
    right = [f"{name}={grammar.literal(value)}" for name, value in given.attributes.items()]
    wrong = [right[0], f"{ID}={grammar.quoted(session.name())}"]
    for texts, expected in ((right, {path}), (wrong, set[str]())):
        found = ids(session, where, PLAIN, **filtered(", ".join(texts)))
        expect(found == expected, f"by {' and '.join(texts)}: {len(found)} came, expected {len(expected)}")
        fields = [("X-OCCI-Attribute", each) for each in texts]
        headers = {"Content-Type": HEADERS}
        answer = session.send("GET", where, headers=headers, fields=fields)
        session.ok(answer, f"GET by {title}", 200, 204)
        again = {session.path(each) for each in codec.locations(answer)}
        expect(again == expected, f"by {' and '.join(texts)}, in two headers: {len(again)} came")


@SUITE.check("OCCI-HTTP-041", changes=True, cases=_FORMS)
def a_filter_by_a_category(session: OcciSession, media: str) -> None:
    """A Category header leaves the members that have the mixin, too (1.1)."""
    if not is_old(session):
        raise Absent("filters by categories are of 1.1, which the server does not claim")
    mine = session.tag()
    given = wanted(session)
    path = session.create(replaced(given, mixins=(*given.mixins, mine.id)))
    where = session.location(given.kind)
    found = ids(session, where, media, **by_category(mine.id, "mixin"))
    expect(found == {name_of(session, path, media)}, f"one has the mixin, and {len(found)} came")
    every = ids(session, where, media, **by_category(given.kind, "kind"))
    expect(every == ids(session, where, media), "the filter by the kind itself does not leave all")


@SUITE.check("OCCI-HTTP-041", "OCCI-HTTP-STATUS-400")
def filters_that_are_none(session: OcciSession) -> None:
    """A malformed filter is 400; one by what there is not is refused or leaves nothing."""
    where = session.location(kind_of(session))
    for headers in (
        filtered("nonsense"),
        filtered(f'{TITLE}="x'),
        {"Content-Type": HEADERS, "Category": "nonsense"},
    ):
        session.refused(session.send("GET", where, headers=headers), f"the filter {headers}", 400)
    unknown = by_category("http://example.org/nothing#known", "mixin")
    for headers in (unknown, filtered('org.example.nothing="x"')):
        answer = session.send("GET", where, headers=headers)
        session.ok(answer, f"the filter {headers}", 200, 204, 400, 404)
        if answer.status == 200:
            expect(not codec.locations(answer), f"the filter {headers} leaves members")


# POST ---------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-042", "OCCI-HTTP-STATUS-201", "OCCI-AMB-06", changes=True, cases=DESCRIBING)
def an_entity_is_created(session: OcciSession, media: str) -> None:
    """POST answers 201 with one Location, or 200 with the rendering; the entity is in its collection."""
    given = wanted(session)
    where = session.location(given.kind)
    answer = session.send("POST", where, given, media=media)
    path = session.made(session.ok(answer, "creation", 201, 200))
    if answer.status == 201:
        expect(len(answer.all("location")) == 1, f"a 201 has {len(answer.all('location'))} Location headers")
        for each in told(answer):
            expect(session.path(each) == path, f"Location is {path}, the body says {each}")
    else:
        expect(codec.entity(answer).kind == given.kind, "the rendering is of another kind")
    found = session.read(path)
    expect(found.attributes.get(TITLE) == given.attributes[TITLE], "the title is not the one that was said")
    expect(path in session.listed(where), f"{path} is not in the collection")
    session.note(f"creation is {answer.status}")


@SUITE.check("OCCI-HTTP-042", changes=True, cases=DESCRIBING)
def each_creation_makes_one(session: OcciSession, media: str) -> None:
    """Two creations that say the same make two entities, with ids of their own."""
    given = wanted(session)
    paths = [session.create(given, media=media) for _ in range(2)]
    expect(paths[0] != paths[1], "the second creation answers the path of the first")
    found = [session.read(path).attributes.get(ID) for path in paths]
    expect(found[0] != found[1], f"both have the id {found[0]}")


@SUITE.check("OCCI-HTTP-042", "OCCI-HTTP-014", changes=True)
def several_are_created(session: OcciSession) -> None:
    """POST of several entities (JSON, 1.2) makes them all; when one cannot be made none is."""
    given = [wanted(session), wanted(session)]
    where = session.location(given[0].kind)
    said = [json.loads(codec.said(each, JSON)[1] or b"") for each in given]
    answer = raw(session, where, json.dumps({"resources": said}), media=JSON)
    if answer.status in {400, 403, 405, 501}:
        raise Absent(f"several entities cannot be created at once: {answer}")
    session.ok(answer, "creation of two", 200, 201)
    made = codec.locations(answer)
    for each in made:
        session.afterwards(lambda each=each: session.delete(session.path(each)))  # type: ignore[misc]
    expect(len(made) == 2, f"two were created, and the answer tells of {len(made)}")
    titles = {session.read(session.path(each)).attributes.get(TITLE) for each in made if "/" in each}
    expect(not titles or titles == {each.attributes[TITLE] for each in given}, f"made were {titles}")
    bad = dict(said[1], mixins=["http://example.org/nothing#known"], title=session.name())
    first = wanted(session)
    good = json.loads(codec.said(first, JSON)[1] or b"")
    with nothing_made(session, first.kind, str(first.attributes[TITLE])):
        answer = raw(session, where, json.dumps({"resources": [good, bad]}), media=JSON)
        session.refused(answer, "creation of two, one with an unknown mixin", 400, 404)


@SUITE.check("OCCI-HTTP-043", "OCCI-HTTP-STATUS-400", changes=True, cases=DESCRIBING)
def what_is_required(session: OcciSession, media: str) -> None:
    """A creation without an attribute that is required is 400, and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    properties = session.category(given.kind).properties
    needed = [name for name in given.attributes if name in properties and properties[name].required]
    if not needed:
        raise Absent(f"{given.kind} requires nothing of clients")
    for name in needed:
        rest = {each: value for each, value in given.attributes.items() if each != name}
        with nothing_made(session, given.kind, title):
            answer = session.send(
                "POST", session.location(given.kind), replaced(given, attributes=rest), media=media
            )
            if answer.status in {200, 201}:
                session.made(answer)
            session.refused(answer, f"creation without {name}", 400)


@SUITE.check("OCCI-HTTP-043", "OCCI-HTTP-STATUS-400", changes=True, cases=DESCRIBING)
def exactly_one_kind(session: OcciSession, media: str) -> None:
    """A creation without kind, or (in text) with two, is 400, and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    where = session.location(given.kind)
    other = next(
        each.id for each in session.model().values() if each.class_ == "kind" and each.id != given.kind
    )
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", where, replaced(given, kind=""), media=media)
        session.refused(answer, "creation without kind", 400)
        if media != JSON:
            headers, body = codec.said(given, media)
            two = f"Category: {grammar.named(other, 'kind')}"
            if media == HEADERS:
                headers["Category"] += ", " + grammar.named(other, "kind")
            body = f"{two}\n".encode() + (body or b"") if body else body
            answer = session.send("POST", where, media=media, headers=headers, body=body)
            session.refused(answer, "creation with two kinds", 400)


@SUITE.check("OCCI-HTTP-042", "OCCI-HTTP-STATUS-400", changes=True)
def a_kind_makes_its_own(session: OcciSession) -> None:
    """A creation of another kind at a kind's collection is refused, and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    others = [
        each
        for each in session.model().values()
        if each.class_ == "kind"
        and each.location
        and each.id not in {given.kind, *session.category(given.kind).rel}
        and "infrastructure#" in each.id
    ]
    if not others:
        raise Absent("there is one kind only")
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.path(others[0].location or ""), given)
        session.refused(answer, f"{given.kind} at {others[0].location}", 400, 403, 404, 405, 409)


@SUITE.check("OCCI-HTTP-055", "OCCI-HTTP-STATUS-403", changes=True, cases=DESCRIBING)
def mixins_that_do_not_apply(session: OcciSession, media: str) -> None:
    """A creation with a mixin that does not apply to the kind is 403 (or 400), and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    templates = session.depending(RESOURCE_TPL)
    if not templates or given.kind == COMPUTE:
        raise Absent("there is no mixin that surely does not apply")
    said = replaced(given, mixins=(*given.mixins, templates[0].id))
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.location(given.kind), said, media=media)
        if answer.status in {200, 201}:
            session.made(answer)
        session.refused(answer, f"{given.kind} with {templates[0].id}", 403, 400)


# PUT, DELETE --------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-045", "OCCI-HTTP-STATUS-405", changes=True)
def put_on_a_kind(session: OcciSession) -> None:
    """PUT on a kind's collection is refused, and neither makes nor removes anything."""
    path = thing(session)
    given = wanted(session, title=(title := session.name()))
    where = session.location(given.kind)
    with nothing_made(session, given.kind, title):
        for said in (given, Wanted(locations=(path,)), Wanted(locations=())):
            session.refused(session.send("PUT", where, said), f"PUT {where}", 405, 501)
    expect(path in session.listed(where), "a PUT on the collection removed an entity")


@SUITE.check("OCCI-HTTP-046", changes=True)
def a_collection_is_deleted(session: OcciSession) -> None:
    """DELETE of a kind's collection deletes all its members: 200 or 204."""
    kind, paths = lonely_kind(session, 2)
    where = session.location(kind)
    session.ok(session.send("DELETE", where), f"DELETE {where}", 200, 204)
    for path in paths:
        gone(session, path)
    expect(not set(paths) & set(session.listed(where)), "what was deleted is in the collection")
