"""Checks of entities: reading, replacing, updating, deleting them (HTTP 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.checks import Absent, expect
from conformance.occi import codec
from conformance.occi.aids import (
    ID,
    SUMMARY,
    TITLE,
    fresh,
    gone,
    is_old,
    kind_of,
    linked,
    nothing_made,
    replaced,
    thing,
    unchanged,
    wanted,
)
from conformance.occi.documents import COMPUTE, DESCRIBING, NETWORK, STORAGE, Entity, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_UNCHOSEN = {400, 403, 405, 501}


def representation(session: OcciSession, answer: Answer, path: str) -> None:
    """Fail unless an answer is 200 with the entity's rendering, or 201 with its Location."""
    if answer.status == 201:
        where = answer.header("location")
        expect(where, "a 201 has no Location")
        expect(session.path(str(where)) == path, f"Location is {where}, and the entity is at {path}")
    elif codec.is_text(answer.media) and not codec.fields(answer):
        expect(False, "a 200 has no rendering")
    else:
        expect(codec.entity(answer).attributes.get(ID), "the rendering has no id")


def whole(entity: Entity, **attributes: Any) -> Wanted:
    """All that an entity shows, to be said in a PUT, with other attributes of the core."""
    named = {f"occi.core.{name}": value for name, value in attributes.items()}
    return Wanted(kind=entity.kind, mixins=entity.mixins, attributes={**entity.attributes, **named})


# GET ----------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-030", "OCCI-HTTP-STATUS-200", changes=True, cases=DESCRIBING)
def an_entity_is_read(session: OcciSession, media: str) -> None:
    """GET of an entity answers 200 with its kind, its id and what it was made with."""
    given = wanted(session)
    path = session.create(given, media=media)
    found = session.read(path, media)
    expect(found.kind == given.kind, f"made as {given.kind}, shown as {found.kind}")
    expect(found.attributes.get(ID), "there is no id")
    for name, value in given.attributes.items():
        expect(
            found.attributes.get(name) == value,
            f"{name} is {found.attributes.get(name)!r}, said was {value!r}",
        )


# PUT ----------------------------------------------------------------------------------------------------


def _chosen(session: OcciSession, media: str) -> tuple[str, Wanted]:
    """The path of an entity made by PUT at a path of our choice; Absent where the server chooses them."""
    given = wanted(session)
    path = f"{session.location(given.kind)}{session.name('chosen')}"
    answer = session.send("PUT", path, given, media=media)
    if answer.status in _UNCHOSEN:
        there = session.send("GET", path)
        expect(there.status in {404, 410}, f"PUT was refused ({answer}), and GET answers {there}")
        raise Absent(f"clients cannot choose paths: {answer}")
    session.afterwards(lambda: session.delete(path))
    session.ok(answer, f"PUT {path}", 201, 200)
    representation(session, answer, path)
    return path, given


@SUITE.check("OCCI-HTTP-031", "OCCI-HTTP-STATUS-201", changes=True, cases=DESCRIBING)
def a_path_is_chosen(session: OcciSession, media: str) -> None:
    """PUT to a path with nothing there makes the entity at this path (or is 400, and makes nothing)."""
    title = session.name()
    with nothing_made(session, kind_of(session), title):
        path, given = _chosen(session, media)
    found = session.read(path, media)
    expect(found.kind == given.kind, f"made as {given.kind}, shown as {found.kind}")
    expect(found.attributes.get(TITLE) == given.attributes[TITLE], "the title is not the one said")
    members = session.listed(session.location(given.kind))
    expect(path in members, f"{path} is not in its kind's collection")


@SUITE.check("OCCI-HTTP-031", "OCCI-HTTP-032", "OCCI-HTTP-037", changes=True)
def a_chosen_path_is_the_entitys(session: OcciSession) -> None:
    """PUT to a chosen path once more replaces what is there; DELETE frees the path."""
    path, _ = _chosen(session, DESCRIBING[0])
    session.ready(path)
    before = session.read(path)
    title = session.name()
    answer = session.send("PUT", path, whole(before, title=title))
    session.ok(answer, "PUT to an entity at a chosen path", 200, 201)
    after = session.read(path)
    expect(after.attributes.get(TITLE) == title, "the second PUT did not replace the entity")
    expect(after.attributes.get(ID) == before.attributes.get(ID), "the second PUT made another entity")
    session.ok(session.send("DELETE", path), "DELETE", 200, 204)
    gone(session, path)


@SUITE.check("OCCI-HTTP-031", "OCCI-HTTP-STATUS-400", changes=True)
def nothing_is_put_nowhere(session: OcciSession) -> None:
    """PUT of what is no entity, or of a kind that is not of this path, is refused and makes nothing."""
    path = f"{session.location(kind_of(session))}{session.name('chosen')}"
    said = {"nothing": Wanted(), "an unknown kind": Wanted(kind="http://example.org/nothing#known")}
    for what, given in said.items():
        answer = session.send("PUT", path, given)
        session.refused(answer, f"PUT of {what}", 400, 403, 404, 405, 501)
        session.refused(session.send("GET", path), f"GET after PUT of {what}", 404, 410)


@SUITE.check("OCCI-HTTP-032", changes=True, cases=DESCRIBING)
def an_entity_is_replaced(session: OcciSession, media: str) -> None:
    """PUT to an entity sets what is said and deletes what is not: 200 with the rendering or 201."""
    path = fresh(session)
    kind = kind_of(session)
    answer = session.update(path, kind, media, attributes={SUMMARY: "to be dropped"})
    has_summary = answer.status == 200
    title = session.name()
    given = whole(session.read(path, media), title=title)
    rest = {name: value for name, value in given.attributes.items() if name != SUMMARY}
    answer = session.send("PUT", path, replaced(given, attributes=rest), media=media)
    session.ok(answer, "PUT to an entity", 200, 201)
    representation(session, answer, path)
    found = session.read(path).attributes
    expect(found.get(TITLE) == title, f"the title is {found.get(TITLE)!r}, and {title!r} was put")
    if has_summary:
        expect(SUMMARY not in found, "the summary was not in the PUT, and is still there")


@SUITE.check("OCCI-HTTP-032", changes=True)
def mixins_are_replaced(session: OcciSession) -> None:
    """A mixin of a client's that is not in a PUT is dissociated, one that is in it associated."""
    old, new = session.tag(), session.tag()
    given = wanted(session)
    path = session.ready(session.create(replaced(given, mixins=(*given.mixins, old.id))))
    said = whole(session.read(path))
    mixins = (*(each for each in said.mixins if each != old.id), new.id)
    session.ok(session.send("PUT", path, replaced(said, mixins=mixins)), "PUT", 200, 201)
    found = session.read(path).mixins
    expect(new.id in found, "the mixin in the PUT was not associated")
    expect(old.id not in found, "the mixin that was not in the PUT is still associated")


@SUITE.check("OCCI-HTTP-032", "OCCI-HTTP-STATUS-400", changes=True)
def what_no_put_can_do(session: OcciSession) -> None:
    """A PUT of another kind, of no kind, or without a required attribute is refused and changes nothing."""
    path = fresh(session)
    given = whole(session.read(path), title=session.name("changed"))
    others = [each for each in (COMPUTE, STORAGE, NETWORK) if each != given.kind]
    said = {
        "of no kind": replaced(given, kind=""),
        "of another kind": replaced(given, kind=others[0]),
        "of an unknown kind": replaced(given, kind="http://example.org/nothing#known"),
        "with an unknown mixin": replaced(given, mixins=(*given.mixins, "http://example.org/nothing#known")),
    }
    with unchanged(session, path):
        for what, each in said.items():
            answer = session.send("PUT", path, each)
            session.refused(answer, f"a PUT {what}", 400, 403, 404, 409)
        session.refused(
            session.send("PUT", path, body=b"", headers={"Content-Type": "text/plain"}), "PUT of nothing", 400
        )


@SUITE.check("OCCI-HTTP-033", "OCCI-HTTP-034", "OCCI-AMB-09", changes=True)
def put_leaves_links(session: OcciSession) -> None:
    """PUT without links leaves the links of a resource as they are; with links it makes and ends none."""
    link = linked(session)
    before = session.read(link.source)
    answer = session.send("PUT", link.source, whole(before))
    session.ok(answer, "PUT of what was read, without links", 200, 201)
    expect(_ends(session.read(link.source)) == _ends(before), "a PUT without links changed the links")
    answer = session.send("PUT", link.source, replaced(whole(before), links=before.links))
    session.ok(answer, "PUT of what was read, with links", 200, 201, 400)
    expect(_ends(session.read(link.source)) == _ends(before), "a PUT with links changed the links")
    session.note(f"a link in a PUT: {answer.status}")


def _ends(entity: Entity) -> list[tuple[str, str]]:
    return sorted((each.self_, each.target) for each in entity.links)


# POST ---------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-035", changes=True, cases=DESCRIBING)
def an_entity_is_updated(session: OcciSession, media: str) -> None:
    """POST of an attribute sets it and leaves the others: 200 with the rendering or 201."""
    path = fresh(session)
    before = session.read(path)
    title = session.name()
    answer = session.update(path, before.kind, media, attributes={TITLE: title})
    session.ok(answer, "an update", 200, 201)
    representation(session, answer, path)
    _only_title_changed(before, session.read(path), title)


def _only_title_changed(before: Entity, after: Entity, title: str) -> None:
    expect(
        after.attributes.get(TITLE) == title,
        f"the title is {after.attributes.get(TITLE)!r}, said was {title!r}",
    )
    expect(after.kind == before.kind and set(after.mixins) == set(before.mixins), "kind or mixins changed")
    others = {n for n in _rest(before.attributes) if before.attributes[n] != after.attributes.get(n)}
    expect(not others, f"the title was to be changed, and {', '.join(sorted(others))} changed, too")


def _rest(attributes: Mapping[str, Any]) -> set[str]:
    return {name for name in attributes if name != TITLE and ".state" not in name}


@SUITE.check("OCCI-HTTP-035", changes=True)
def an_update_without_kind(session: OcciSession) -> None:
    """A partial update needs no kind."""
    path = fresh(session)
    before, title = session.read(path), session.name()
    session.ok(session.update(path, "", attributes={TITLE: title}), "an update without kind", 200, 201)
    _only_title_changed(before, session.read(path), title)


@SUITE.check("OCCI-HTTP-035", changes=True, cases=DESCRIBING)
def a_mixin_by_update(session: OcciSession, media: str) -> None:
    """POST of a mixin associates it, and leaves the others."""
    mine = session.tag()
    path = fresh(session)
    before = session.read(path)
    answer = session.update(path, before.kind, media, mixins=(mine.id,))
    session.ok(answer, "an update with a mixin", 200, 201)
    after = session.read(path).mixins
    expect(set(after) == {*before.mixins, mine.id}, f"the mixins are {', '.join(after)}")
    expect(path in session.listed(session.path(mine.location or "")), "it is not in the mixin's collection")


@SUITE.check("OCCI-HTTP-035", "OCCI-HTTP-STATUS-400", changes=True)
def what_no_update_can_do(session: OcciSession) -> None:
    """An update to another kind, by two kinds, or of nothing is refused and changes nothing."""
    path = thing(session)
    own = kind_of(session)
    other = next(each for each in (COMPUTE, STORAGE, NETWORK) if each != own)
    title = {TITLE: session.name("changed")}
    with unchanged(session, path):
        answer = session.update(path, other, attributes=title)
        session.refused(answer, "an update to another kind", 400, 403, 404, 409)
        answer = session.update(path, "http://example.org/nothing#known", attributes=title)
        session.refused(answer, "an update to an unknown kind", 400, 403, 404, 409)
        answer = session.send("POST", path, headers={"Content-Type": "text/plain"}, body=b"")
        session.refused(answer, "an update of nothing", 400)


_OTHER = {"online": "offline", "active": "inactive", "inactive": "active", "offline": "online"}


@SUITE.check("OCCI-HTTP-STATUS-403", "OCCI-AMB-08", "OCCI-HTTP-035", changes=True, cases=("POST", "PUT"))
def immutable_attributes_stay(session: OcciSession, method: str) -> None:
    """An immutable attribute is not changed: 403 (1.1), or without effect in 1.2.

    A PUT may say a state that was read a moment ago, so that one may pass without effect in either version.
    """
    path = fresh(session)
    given = whole(session.read(path))
    state = next((name for name in given.attributes if name.endswith(".state")), "")
    for name in filter(None, (state, ID)):
        other = _OTHER.get(given.attributes[name], "11111111-2222-3333-4444-555555555555")
        part = {name: other} if method == "POST" else {**given.attributes, name: other}
        with unchanged(session, path):
            answer = session.send(method, path, replaced(given, attributes=part))
            if is_old(session) and (method == "POST" or name == ID):
                session.refused(answer, f"{method} of another {name}", 403)
            else:
                session.ok(answer, f"{method} of another {name}", 403, 400, 409, 200, 201)
        now = session.read(path).attributes.get(name)
        expect(now != other, f"{name} is immutable, and was changed to {other!r}")
        session.note(f"another {name}: {answer.status}")


@SUITE.check("OCCI-AMB-08", "OCCI-REAL-13", changes=True, cases=("POST", "PUT"))
def immutable_attributes_as_they_are(session: OcciSession, method: str) -> None:
    """An immutable attribute that is sent as it is hinders no update."""
    path = fresh(session)
    given = whole(session.read(path), title=(title := session.name()))
    answer = session.send(method, path, given)
    session.ok(answer, f"{method} of all attributes as they are", 200, 201, 403)
    if answer.status == 403:
        raise Absent("immutable attributes are refused even when they do not change")
    expect(
        session.read(path).attributes.get(TITLE) == title, "the title that was said with them is not there"
    )


@SUITE.check("OCCI-AMB-08", changes=True)
def immutable_attributes_at_creation(session: OcciSession) -> None:
    """An immutable attribute at creation is ignored, or refused."""
    given = wanted(session)
    states = [name for name in session.read(thing(session)).attributes if name.endswith(".state")]
    if not states:
        raise Absent(f"{given.kind} has no state")
    said = replaced(given, attributes={**given.attributes, states[0]: "no state at all"})
    with nothing_made(session, given.kind, ""):
        answer = session.send("POST", session.location(given.kind), said)
    session.ok(answer, f"creation with {states[0]}", 200, 201, 400, 403)
    if answer.status < 300:
        found = session.read(session.made(answer)).attributes.get(states[0])
        expect(found != "no state at all", f"{states[0]} is what the client said")
    session.note(f"immutable attributes at creation: {answer.status}")


# DELETE -------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-037", "OCCI-HTTP-STATUS-410", "OCCI-AMB-07", changes=True, cases=DESCRIBING)
def an_entity_is_deleted(session: OcciSession, media: str) -> None:
    """DELETE answers 200 or 204; then the entity is 404 or 410 and in no collection."""
    path = fresh(session)
    kind = kind_of(session)
    session.ok(session.send("DELETE", path, media=media), "DELETE", 200, 204)
    answer = gone(session, path, media)
    session.note(f"what was deleted is {answer.status}")
    expect(path not in session.listed(session.location(kind), media), "what was deleted is in its collection")
    again = session.send("DELETE", path, media=media)
    session.refused(again, "DELETE of what was deleted", 404, 410)
