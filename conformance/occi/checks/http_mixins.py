"""Checks of mixins' collections: associating, replacing, dissociating (HTTP 11), all or none (H11 3.6.4)."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import TITLE, fresh, kind_of, raw, replaced, thing, told, unchanged, wanted
from conformance.occi.checks.http_kinds import filtered, ids, name_of
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    HEADERS,
    JSON,
    OS_TPL,
    PLAIN,
    RESOURCE_TPL,
    URI_LIST,
    Category,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_LISTS = (PLAIN, HEADERS, URI_LIST)


def where(session: OcciSession, tag: Category) -> str:
    """The path of a mixin's collection."""
    return session.path(tag.location or "")


def named(session: OcciSession, *paths: str) -> Wanted:
    """A list of locations: absolute URIs, as the endpoint gives them."""
    return Wanted(locations=tuple(f"{session.wire.origin}{path}" for path in paths))


def associate(session: OcciSession, tag: Category, *paths: str) -> None:
    """Associate entities, which must succeed."""
    answer = session.send("POST", where(session, tag), Wanted(locations=paths))
    session.ok(answer, "associating", 200, 204)


def has(session: OcciSession, tag: Category, *paths: str) -> None:
    """Fail unless exactly these entities have a mixin, by its collection and by their renderings."""
    found = set(session.listed(where(session, tag)))
    expect(found == set(paths), f"the collection has {sorted(found)}, expected {sorted(paths)}")
    for path in paths:
        expect(tag.id in session.read(path).mixins, f"{path} is in the collection and has not the mixin")


def _collection_or_nothing(session: OcciSession, answer: Answer, *paths: str) -> None:
    """1.2 answers with the collection, 1.1 without a body."""
    if found := told(answer):
        expect({session.path(each) for each in found} == set(paths), f"the answer tells of {found}")


@SUITE.check("OCCI-HTTP-051", "OCCI-CORE-025", changes=True, cases=_LISTS)
def entities_are_associated(session: OcciSession, media: str) -> None:
    """POST of locations to a mixin's collection adds these to it: 200."""
    tag, first, second = session.tag(), fresh(session), fresh(session)
    for paths, members in (((first,), {first}), ((second, first), {first, second})):
        said = named(session, *paths)
        answer = session.send("POST", where(session, tag), said, media=media, accept=PLAIN)
        session.ok(answer, "associating", 200, 204)
        _collection_or_nothing(session, answer, *members)
        has(session, tag, *members)


@SUITE.check("OCCI-HTTP-051", changes=True, cases=("paths", "absolute URIs"))
def entities_are_named(session: OcciSession, how: str) -> None:
    """Entities are named by their paths and by their URIs."""
    tag, path = session.tag(), fresh(session)
    said = Wanted(locations=(path,)) if how == "paths" else named(session, path)
    session.ok(session.send("POST", where(session, tag), said), f"associating by {how}", 200, 204)
    has(session, tag, path)


@SUITE.check("OCCI-HTTP-051", "OCCI-HTTP-052", changes=True)
def entities_are_associated_by_json(session: OcciSession) -> None:
    """A collection in JSON, as it is read, can be said to a mixin's collection."""
    tag, path = session.tag(), thing(session)
    body = b'{"resources": [' + session.get(path, JSON).body + b"]}"
    answer = raw(session, where(session, tag), body.decode(), media=JSON)
    session.ok(answer, "associating by JSON", 200, 204, 400, 406)
    if answer.status in {400, 406}:
        raise Absent(f"a collection in JSON is no list of entities here: {answer}")
    has(session, tag, path)


@SUITE.check("OCCI-HTTP-050", "OCCI-HTTP-041", changes=True, cases=(PLAIN, HEADERS, URI_LIST, JSON))
def a_mixin_lists_its_members(session: OcciSession, media: str) -> None:
    """GET of a mixin's collection has those that have it, filtered by attributes when asked."""
    tag = session.tag()
    title = session.name()
    given = wanted(session, title=title)
    first = session.create(replaced(given, mixins=(*given.mixins, tag.id)))
    second = fresh(session)
    associate(session, tag, second)
    names = {name_of(session, path, media) for path in (first, second)}
    found = ids(session, where(session, tag), media)
    expect(found == names, f"the collection has {sorted(found)}, expected {sorted(names)}")
    one = ids(session, where(session, tag), media, **filtered(f"{TITLE}={grammar.quoted(title)}"))
    if one == names and "1.1" not in session.versions:
        raise Absent("there is no filter, which 1.2 only recommends")
    expect(one == {name_of(session, first, media)}, f"one has that title, and {len(one)} came")


@SUITE.check("OCCI-HTTP-050", "OCCI-AMB-05", "OCCI-HTTP-STATUS-204", changes=True, cases=(*_LISTS, JSON))
def an_empty_collection(session: OcciSession, media: str) -> None:
    """The collection of a new mixin is 200 and empty (or 204)."""
    answer = session.send("GET", where(session, session.tag()), media=media)
    session.ok(answer, "GET of an empty collection", 200, 204)
    if answer.status == 204:
        expect(not answer.body, "a 204 has a body")
    elif media == JSON:
        expect(not codec.members(answer), "the collection is not empty")
    else:
        expect(not codec.locations(answer), "the collection is not empty")
    session.note(f"an empty collection: {answer.status}")


@SUITE.check("OCCI-HTTP-052", changes=True, cases=_LISTS)
def a_collection_is_replaced(session: OcciSession, media: str) -> None:
    """PUT of locations leaves exactly these in a mixin's collection: 200."""
    tag, first, second = session.tag(), fresh(session), fresh(session)
    associate(session, tag, first)
    said = named(session, second)
    answer = session.send("PUT", where(session, tag), said, media=media, accept=PLAIN)
    session.ok(answer, "PUT of a collection", 200, 204)
    _collection_or_nothing(session, answer, second)
    has(session, tag, second)
    expect(tag.id not in session.read(first).mixins, "what was not in the PUT still has the mixin")


@SUITE.check("OCCI-HTTP-053", changes=True, cases=_LISTS)
def entities_are_dissociated(session: OcciSession, media: str) -> None:
    """DELETE with locations takes these out of a mixin's collection, and they live on: 200."""
    tag, first, second = session.tag(), fresh(session), fresh(session)
    associate(session, tag, first, second)
    said = named(session, first)
    answer = session.send("DELETE", where(session, tag), said, media=media, accept=PLAIN)
    session.ok(answer, "dissociating", 200, 204)
    has(session, tag, second)
    expect(tag.id not in session.read(first).mixins, "what was dissociated still has the mixin")


@SUITE.check("OCCI-HTTP-053", changes=True)
def all_entities_are_dissociated(session: OcciSession) -> None:
    """DELETE without locations empties a mixin's collection (1.2), and all that were in it live on."""
    tag, first, second = session.tag(), fresh(session), fresh(session)
    associate(session, tag, first, second)
    answer = session.send("DELETE", where(session, tag))
    if answer.status == 400 and "1.2" not in session.versions:
        raise Absent("DELETE without locations is of 1.2, which the server does not claim")
    session.ok(answer, "DELETE of a mixin's collection", 200, 204)
    has(session, tag)
    for path in (first, second):
        expect(tag.id not in session.read(path).mixins, "what was dissociated still has the mixin")


@SUITE.check(
    "OCCI-HTTP-014", "OCCI-HTTP-051", "OCCI-HTTP-STATUS-404", changes=True, cases=("POST", "PUT", "DELETE")
)
def all_or_none(session: OcciSession, method: str) -> None:
    """When one of several locations is of nothing, or malformed, no entity is touched."""
    tag, first, second = session.tag(), fresh(session), fresh(session)
    associate(session, tag, first)
    nowhere = f"{first.rpartition('/')[0]}/{session.name()}"
    good = first if method == "DELETE" else second
    for bad in (nowhere, f"/{session.name()}", f"/{session.name()}/x"):
        for order in ((good, bad), (bad, good)):
            answer = session.send(method, where(session, tag), Wanted(locations=order))
            session.refused(answer, f"{method} with the location {bad}", 400, 403, 404, 409)
            has(session, tag, first)


@SUITE.check("OCCI-HTTP-051", "OCCI-HTTP-STATUS-400", changes=True, cases=("POST", "PUT"))
def what_is_no_list(session: OcciSession, method: str) -> None:
    """A request to a mixin's collection that has no locations is 400, and changes nothing."""
    tag, path = session.tag(), fresh(session)
    associate(session, tag, path)
    bodies = {
        "an attribute": f'X-OCCI-Attribute: {TITLE}="x"',
        "a kind": f"Category: {grammar.named(kind_of(session), 'kind')}",
        "no URI": "X-OCCI-Location: a b",
        "nonsense": "nonsense",
    }
    for what, body in bodies.items():
        answer = raw(session, where(session, tag), body, method=method)
        session.refused(answer, f"{method} of {what}", 400)
        has(session, tag, path)


@SUITE.check("OCCI-HTTP-055", "OCCI-HTTP-STATUS-403", "OCCI-CORE-016", changes=True, cases=DESCRIBING)
def a_mixin_goes_with_its_kinds(session: OcciSession, media: str) -> None:
    """A mixin that does not apply to an entity cannot be associated, by update or by its collection: 403."""
    path = thing(session)
    if kind_of(session) == COMPUTE:
        raise Absent("there is no kind but compute")
    mixins = [*session.depending(RESOURCE_TPL), *session.depending(OS_TPL)]
    if not mixins:
        raise Absent("there is no mixin that surely does not apply")
    with unchanged(session, path):
        for mixin in (mixins[0], mixins[-1]):
            answer = session.update(path, kind_of(session), media, mixins=(mixin.id,))
            session.refused(answer, f"an update of {kind_of(session)} with {mixin.id}", 403, 400)
            if media != JSON and mixin.location:
                said = Wanted(locations=(path,))
                answer = session.send("POST", session.path(mixin.location), said, media=media)
                statuses = (403, 400, 405, 501)
                session.refused(answer, f"associating {kind_of(session)} with {mixin.id}", *statuses)
