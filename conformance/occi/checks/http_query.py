"""Checks of the query interface: discovery and its filter."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import add_tags, is_old, kind_of, known, malformed, new_tag
from conformance.occi.documents import DESCRIBING, HEADERS, Category, Wanted
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE

WELL_KNOWN = "/.well-known/org/ogf/occi/-/"
_ENTITY = "http://schemas.ogf.org/occi/core#entity"


def by(type_id: str, class_: str) -> dict[str, str]:
    """The headers of a filter by a category; the type is that of headers which say something (H11 3.6.6)."""
    return {"Content-Type": HEADERS, "Category": grammar.named(type_id, class_)}


# Discovery ----------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-021", "OCCI-CORE-027", cases=DESCRIBING)
def the_query_interface_describes_everything(session: OcciSession, media: str) -> None:
    """GET of the query interface answers kinds, mixins and actions, and all that they name."""
    found = codec.categories(session.get(QUERY, media))
    classes = {each.class_ for each in found}
    expect({"kind", "action"} <= classes, f"of the classes only {', '.join(sorted(classes))} are there")
    names = {each.id for each in found}
    acting = {action for each in found for action in each.actions}
    expect(acting <= names, f"actions that are not described: {', '.join(sorted(acting - names))}")
    idle = {each.id for each in found if each.class_ == "action"} - acting
    expect(not idle, f"actions of no kind and no mixin: {', '.join(sorted(idle))}")
    bare = [each.id for each in found if each.class_ == "kind" and not each.attributes]
    expect(not bare, f"kinds without attributes: {', '.join(bare)}")


@SUITE.check("OCCI-HTTP-001", "OCCI-HTTP-002", "OCCI-HTTP-003", cases=DESCRIBING)
def locations_of_categories(session: OcciSession, media: str) -> None:
    """Each kind but entity, and each mixin, has a location that ends in a slash and no other has."""
    taken: dict[str, str] = {}
    for each in session.model(media).values():
        if each.class_ not in {"kind", "mixin"} or each.id == _ENTITY:
            continue
        if each.location is None and each.id.startswith("http://schemas.ogf.org/occi/core#"):
            continue  # these cannot be instantiated
        expect(each.location, f"{each.id} has no location")
        location = str(each.location)
        grammar.location(location)
        expect(location.endswith("/"), f"the location of {each.id} is {location}")
        path = session.path(location)
        expect(path not in taken, f"{path} is the location of {taken.get(path)} and of {each.id}")
        taken[path] = each.id


@SUITE.check("OCCI-HTTP-001", "OCCI-HTTP-040", "OCCI-HTTP-050", "OCCI-HTTP-STATUS-204")
def locations_are_there(session: OcciSession) -> None:
    """GET of each kind's and each mixin's location answers 200, or 204 without a body when it is empty."""
    for each in session.model().values():
        if each.location and each.class_ in {"kind", "mixin"} and each.id != _ENTITY:
            answer = session.send("GET", session.path(each.location))
            session.ok(answer, f"GET {each.location}", 200, 204)
            expect(answer.status == 200 or not answer.body, f"GET {each.location}: a 204 has a body")


@SUITE.check("OCCI-HTTP-020", cases=DESCRIBING)
def the_well_known_path(session: OcciSession, media: str) -> None:
    """/.well-known/org/ogf/occi/-/ answers what /-/ does."""
    answer = session.send("GET", WELL_KNOWN, media=media)
    if answer.status == 404:
        raise Absent(f"{WELL_KNOWN} is not offered")
    session.ok(answer, f"GET {WELL_KNOWN}")
    found = {each.id: each for each in codec.categories(answer)}
    expect(found == known(session, media), f"{WELL_KNOWN} does not answer what {QUERY} does")


@SUITE.check("OCCI-HTTP-020", changes=True)
def mixins_at_the_well_known_path(session: OcciSession) -> None:
    """At /.well-known/org/ogf/occi/-/ mixins are added, filtered and removed as at /-/."""
    if session.send("GET", WELL_KNOWN).status == 404:
        raise Absent(f"{WELL_KNOWN} is not offered")
    mine = new_tag(session)
    add_tags(session, mine, at=WELL_KNOWN)
    expect(mine.id in known(session), f"a mixin added at {WELL_KNOWN} is not at {QUERY}")
    answer = session.send("GET", WELL_KNOWN, headers=by(mine.id, "mixin"))
    found = [each.id for each in codec.categories(session.ok(answer, "GET with a filter"))]
    expect(mine.id in found and len(found) < len(known(session)), f"{WELL_KNOWN} does not filter")
    answer = session.send("DELETE", WELL_KNOWN, Wanted(described=(mine,)))
    session.ok(answer, "removing a mixin", 200, 204)
    expect(mine.id not in known(session), f"a mixin removed at {WELL_KNOWN} is still at {QUERY}")


@SUITE.check("OCCI-HTTP-023", "OCCI-HTTP-STATUS-405", changes=True)
def put_on_the_query_interface(session: OcciSession) -> None:
    """PUT is refused on the query interface, and adds nothing."""
    mine = new_tag(session)
    session.afterwards(lambda: session.untag(mine))
    answer = session.send("PUT", QUERY, Wanted(described=(mine,)))
    session.refused(answer, "PUT", 405, 501)
    expect(mine.id not in known(session), "a PUT that was refused added a mixin")


# Filter -------------------------------------------------------------------------------------------------


def related(everything: Iterable[Category], named: Category) -> set[str]:
    """What 1.2 may take for related: what a category names, and what names it."""
    names = {named.id, *named.rel, *named.depends, *named.applies, *named.actions}
    for each in everything:
        if named.id in {*each.rel, *each.depends, *each.applies, *each.actions}:
            names.add(each.id)
    return names


@SUITE.check("OCCI-HTTP-022", "OCCI-AMB-13", cases=DESCRIBING)
def the_query_interface_filtered(session: OcciSession, media: str) -> None:
    """A Category header leaves the category named, or also those related to it, in each rendering."""
    kind = session.category(kind_of(session))
    mixin = next((each for each in session.model().values() if each.class_ == "mixin"), None)
    action = next((each for each in session.model().values() if each.class_ == "action"), None)
    for each in filter(None, (kind, mixin, action)):
        headers = by(each.id, each.class_)
        answer = session.send("GET", QUERY, media=media, headers=headers)
        found = {one.id for one in codec.categories(session.ok(answer, f"GET with {each.id}"))}
        if found == set(session.model()) and not is_old(session):
            raise Absent("there is no filter, which 1.2 only recommends")
        expect(each.id in found, f"the filter {each.id} left {len(found)} others")
        others = found - related(session.model().values(), each)
        expect(not others, f"the filter {each.id} left {', '.join(sorted(others)[:3])}")
        session.note("the filter leaves those named" if found == {each.id} else "and those related")


@SUITE.check("OCCI-HTTP-022")
def the_filter_by_several(session: OcciSession) -> None:
    """Two Category headers leave both categories."""
    kinds = [each for each in session.model().values() if each.class_ == "kind"][:2]
    text = ", ".join(grammar.named(each.id, "kind") for each in kinds)
    answer = session.ok(
        session.send("GET", QUERY, headers={"Content-Type": HEADERS, "Category": text}),
        "GET with two categories",
    )
    found = {one.id for one in codec.categories(answer)}
    expect({each.id for each in kinds} <= found, f"two were named, {', '.join(sorted(found))} came")


@SUITE.check("OCCI-HTTP-022", "OCCI-HTTP-STATUS-400")
def a_filter_by_nothing_known(session: OcciSession) -> None:
    """A filter that names what there is not is refused, or leaves nothing."""
    headers = by("http://example.org/nothing#known", "kind")
    answer = session.send("GET", QUERY, headers=headers)
    session.ok(answer, "a filter by an unknown kind", 400, 404, 200, 204)
    if answer.status == 200:
        expect(not codec.categories(answer), "a filter by an unknown kind left categories")
    session.note(f"a filter by an unknown category: {answer.status}")


@SUITE.check("OCCI-HTTP-022", "OCCI-HTTP-STATUS-400")
def a_malformed_filter(session: OcciSession) -> None:
    """A filter that is malformed is 400."""
    for text in ("nonsense", 'compute; scheme="http', "; scheme="):
        malformed(
            session.send("GET", QUERY, headers={"Content-Type": HEADERS, "Category": text}),
            f"the filter {text}",
        )
