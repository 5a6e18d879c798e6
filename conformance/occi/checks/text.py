"""Checks of the text renderings: what answers look like."""

from __future__ import annotations

import re

from conformance.checks import Absent, expect, fail
from conformance.occi import codec, grammar
from conformance.occi.aids import SOURCE, TARGET, difference, fresh, linked, shown, thing, wanted
from conformance.occi.documents import COMPUTE, DESCRIBING, HEADERS, JSON, OCCI_PLAIN, PLAIN, URI_LIST, Entity
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_TEXT = (PLAIN, HEADERS)
_LISTING = (PLAIN, HEADERS, URI_LIST)
_CATEGORY, _LINK, _ATTRIBUTE, _LOCATION = "Category", "Link", "X-OCCI-Attribute", "X-OCCI-Location"


def only(answer: Answer, *names: str) -> None:
    """Fail when an answer has other fields than some."""
    others = {name for name, _ in codec.fields(answer)} - set(names)
    expect(not others, f"expected no fields but {', '.join(names)}, got {', '.join(sorted(others))}")


@SUITE.check("OCCI-TEXT-001", "OCCI-HTTP-007", "OCCI-HTTP-STATUS-200", cases=_LISTING)
def a_listing_in_each_text(session: OcciSession, media: str) -> None:
    """A collection is answered in the text rendering that was asked for."""
    for kind in session.model().values():
        if kind.class_ == "kind" and kind.location:
            answer = session.send("GET", session.path(kind.location), media=media)
            session.ok(answer, f"GET {kind.location}", 200, 204)
            if answer.status == 200:
                expect(answer.media == media, f"asked for {media}, got {answer.media or 'no Content-Type'}")
                return


@SUITE.check("OCCI-TEXT-010", "OCCI-TEXT-002", cases=_TEXT)
def the_query_interface_in_text(session: OcciSession, media: str) -> None:
    """The query interface is a list of categories by the grammar, and nothing else."""
    answer = session.get(QUERY, media)
    expect(answer.media == media, f"asked for {media}, got {answer.media or 'no Content-Type'}")
    only(answer, _CATEGORY)
    expect(codec.categories(answer), "there is no category")


@SUITE.check("OCCI-TEXT-008", cases=_TEXT)
def each_category_stands_once(session: OcciSession, media: str) -> None:
    """Kinds, mixins and actions are one category each, and actions have no actions."""
    found = codec.categories(session.get(QUERY, media))
    names = [each.id for each in found]
    twice = {name for name in names if names.count(name) > 1}
    expect(not twice, f"there twice: {', '.join(sorted(twice))}")
    acting = [each.id for each in found if each.class_ == "action" and each.actions]
    expect(not acting, f"actions with actions: {', '.join(acting)}")
    dangling = {action for each in found for action in each.actions} - set(names)
    expect(not dangling, f"named as actions and not described: {', '.join(sorted(dangling))}")


@SUITE.check("OCCI-TEXT-012", cases=_TEXT)
def what_rel_names(session: OcciSession, media: str) -> None:
    """A category's rel is one type identifier: a kind's parent, a mixin's first dependency."""
    for each in session.model(media).values():
        expect(len(each.rel) <= 1, f"{each.id} has {len(each.rel)} type identifiers in rel")
        related = session.model(media).get(each.rel[0]) if each.rel else None
        if related is not None and each.class_ in {"kind", "mixin"}:
            expect(related.class_ == each.class_, f"the {each.class_} {each.id} has rel {related.id}")


@SUITE.check("OCCI-TEXT-012")
def rel_is_what_json_says(session: OcciSession) -> None:
    """A category's rel in text is its parent, or the first that it depends on, in JSON."""
    for name, each in session.detailed().items():
        rel = session.model()[name].rel if name in session.model() else each.rel
        expect(rel == each.rel, f"{name} has rel {rel} in text, and {each.rel} by its JSON")


@SUITE.check("OCCI-TEXT-005", "OCCI-TEXT-002", changes=True)
def a_resource_in_order(session: OcciSession) -> None:
    """In text/plain a resource is its categories, its links, its attributes, in this order."""
    answer = session.get(thing(session))
    only(answer, _CATEGORY, _LINK, _ATTRIBUTE)
    codec.entity(answer)
    order = [(_CATEGORY, _LINK, _ATTRIBUTE).index(name) for name, _ in codec.fields(answer)]
    expect(order == sorted(order), "links come after the categories, and attributes after the links")


@SUITE.check(
    "OCCI-TEXT-005", "OCCI-TEXT-002", "OCCI-HTTP-030", cases=(OCCI_PLAIN, HEADERS, JSON), changes=True
)
def a_machine_in_each_rendering(session: OcciSession, media: str) -> None:
    """A machine with its links shows the same in each rendering."""
    path = linked(session).source
    answer = session.send("GET", path, media=media)
    if answer.status == 406:
        raise Absent(f"{media} is not spoken")
    found = codec.entity(session.ok(answer, f"GET {path}"))
    before = session.read(path)
    differing = difference(_comparable(before), _comparable(found))
    expect(not differing, f"in {media}, compared with text/plain: {differing}")
    expect(set(found.actions) == set(before.actions), f"{found.actions} are offered, and {before.actions}")


def _comparable(entity: Entity) -> dict[str, object]:
    links = sorted(sorted(each.categories) for each in entity.links)
    return {**shown(entity), "links": links}


@SUITE.check("OCCI-TEXT-005", "OCCI-TEXT-002", changes=True)
def actions_are_links(session: OcciSession) -> None:
    """Each action that applies is a link to the resource's own path with ?action=TERM."""
    path = linked(session).source if COMPUTE in session.model() else thing(session)
    for name, text in codec.fields(session.get(path)):
        if name != _LINK:
            continue
        link = grammar.link(text)
        if not link.is_action:
            continue
        where, _, term = link.target.partition("?action=")
        expect(session.path(where) == path, f"the action {term} is offered at {where}, and this is {path}")
        expect(
            len(link.rel) == 1 and link.rel[0].rpartition("#")[2] == term,
            f"the action link ?action={term} has rel {' '.join(link.rel)}",
        )


@SUITE.check("OCCI-TEXT-006", "OCCI-TEXT-011", changes=True, cases=DESCRIBING)
def a_link_in_each_rendering(session: OcciSession, media: str) -> None:
    """A link shows its kind, its source and its target, which lead to the resources linked."""
    link = linked(session)
    found = session.read(link.path, media)
    for name, path in ((SOURCE, link.source), (TARGET, link.target)):
        uri = found.attributes.get(name)
        expect(isinstance(uri, str) and uri, f"the link has no {name}")
        expect(session.path(str(uri)) == path, f"{name} is {uri}, and the link was made with {path}")


@SUITE.check("OCCI-TEXT-019", "OCCI-HTTP-030", changes=True, cases=DESCRIBING)
def a_resource_shows_its_links(session: OcciSession, media: str) -> None:
    """The rendering of a resource has the link that begins at it, with the link's attributes."""
    link = linked(session)
    inside = session.read(link.source, media).links
    mine = [
        each for each in inside if session.path(str(each.attributes.get(TARGET, each.target))) == link.target
    ]
    expect(mine, f"{link.source} shows {len(inside)} links and not {link.path}")
    own = session.read(link.path, media)
    expect(
        own.kind in mine[0].categories, f"the link's category is {mine[0].categories}, its kind {own.kind}"
    )
    for name, value in own.attributes.items():
        inner = mine[0].attributes.get(name)
        if inner is not None and ".state" not in name and name not in {SOURCE, TARGET}:
            expect(inner == value, f"{name} is {inner!r} inside the resource, and {value!r} by itself")


@SUITE.check("OCCI-TEXT-009", "OCCI-HTTP-040", changes=True, cases=(*_LISTING, OCCI_PLAIN))
def a_collection_in_text(session: OcciSession, media: str) -> None:
    """A collection is a list of locations that lead to its members, and nothing else."""
    path = thing(session)
    where = session.location(session.cheap().kind)
    answer = session.send("GET", where, media=media)
    if answer.status == 406 and media == OCCI_PLAIN:
        raise Absent(f"{media} is not spoken")
    session.ok(answer, f"GET {where}")
    if media != URI_LIST:
        only(answer, _LOCATION)
    found = [session.path(each) for each in codec.locations(answer)]
    expect(path in found, f"{path} is not among the {len(found)} members")
    expect(len(found) == len(set(found)), "a member is there twice")


@SUITE.check("OCCI-TEXT-014", "OCCI-TEXT-001", changes=True)
def plain_text_by_its_other_name(session: OcciSession) -> None:
    """text/occi+plain is text/plain under another name, in answers and in requests."""
    answer = session.send("GET", thing(session), media=OCCI_PLAIN)
    if answer.status == 406 and "1.2" not in session.versions:
        raise Absent(f"{OCCI_PLAIN} is of 1.2, which the server does not claim")
    session.ok(answer, f"GET as {OCCI_PLAIN}")
    expect(answer.media in {PLAIN, OCCI_PLAIN}, f"asked for {OCCI_PLAIN}, got {answer.media}")
    expect(answer.body == session.get(thing(session)).body, "the body is not that of text/plain")
    session.create(session.cheap(), media=OCCI_PLAIN)


@SUITE.check("OCCI-TEXT-014", changes=True)
def plain_text_has_no_headers_of_occi(session: OcciSession) -> None:
    """In text/plain the lines are in the body, and not in the headers."""
    answer = session.get(thing(session))
    for name in (_CATEGORY, _ATTRIBUTE, _LOCATION):
        expect(answer.header(name) is None, f"text/plain has the header {name}")
    expect(codec.fields(answer), "the body is empty")


@SUITE.check("OCCI-TEXT-015", changes=True)
def headers_with_ok_beside(session: OcciSession) -> None:
    """In text/occi the answer is in the headers, and the body is OK."""
    path = thing(session)
    where = session.location(session.cheap().kind)
    for what, name in ((QUERY, _CATEGORY), (where, _LOCATION), (path, _ATTRIBUTE)):
        answer = session.get(what, HEADERS)
        expect(answer.media == HEADERS, f"GET {what}: asked for {HEADERS}, got {answer.media}")
        expect(answer.header(name), f"GET {what}: there is no header {name}")
        expect(answer.text.strip() == "OK", f"GET {what}: the body is {answer.text[:60]!r}")


@SUITE.check("OCCI-TEXT-015", changes=True)
def headers_with_ok_after_changes(session: OcciSession) -> None:
    """Creation, update and deletion in text/occi succeed with the body OK (or 204)."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given, media=HEADERS)
    path = session.ready(session.made(answer))
    steps = [("creation", answer)]
    steps.append(("update", session.update(path, given.kind, HEADERS, attributes={"occi.core.title": "x"})))
    steps.append(("deletion", session.send("DELETE", path, media=HEADERS)))
    for what, answer in steps:
        session.ok(answer, what, 200, 201, 204)
        if answer.status != 204:
            expect(answer.text.strip() == "OK", f"{what}: the body is {answer.text[:60]!r}")


@SUITE.check("OCCI-TEXT-018", "OCCI-AMB-03")
def no_categories_in_lists_of_uris(session: OcciSession) -> None:
    """The query interface cannot be had as text/uri-list: 400 or 406."""
    answer = session.refused(session.send("GET", QUERY, media=URI_LIST), "GET /-/ as text/uri-list", 400, 406)
    session.note(f"the query interface as text/uri-list: {answer.status}")


@SUITE.check("OCCI-TEXT-018", changes=True)
def no_entities_in_lists_of_uris(session: OcciSession) -> None:
    """An entity can neither be had nor said as text/uri-list: 400 or 406."""
    path = thing(session)
    session.refused(session.send("GET", path, media=URI_LIST), "GET as text/uri-list", 400, 406)
    where = session.location(session.cheap().kind)
    body = f"http://example.org{path}".encode()
    answer = session.send("POST", where, headers={"Content-Type": URI_LIST}, body=body)
    session.refused(answer, "creation by text/uri-list", 400, 406, 415)


@SUITE.check("OCCI-TEXT-018", changes=True)
def a_list_of_uris(session: OcciSession) -> None:
    """text/uri-list has one URI a line, which leads to a member."""
    thing(session)
    answer = session.get(session.location(session.cheap().kind), URI_LIST)
    expect(answer.media == URI_LIST, f"asked for {URI_LIST}, got {answer.media}")
    lines = [line for line in re.split("\r?\n", answer.text) if line and not line.startswith("#")]
    odd = [line for line in lines if not re.fullmatch(r"[^\s\"<>]+", line)]
    expect(lines and not odd, f"no URI: {odd[:1]}")
    for line in lines[:3]:
        session.ok(session.send("GET", session.path(line)), f"GET {line}")


@SUITE.check("OCCI-TEXT-011", changes=True, cases=DESCRIBING)
def names_of_the_core(session: OcciSession, media: str) -> None:
    """Id, title and (where there is one) summary are shown by their names."""
    path = fresh(session, title=(title := session.name()))
    found = session.read(path, media).attributes
    expect(found.get("occi.core.title") == title, f"occi.core.title is {found.get('occi.core.title')!r}")
    if not isinstance(found.get("occi.core.id"), str):
        fail("there is no occi.core.id")
