"""Checks of the mixins that clients add to the query interface, and remove."""

from __future__ import annotations

from conformance.checks import Absent, Level, expect
from conformance.occi import grammar
from conformance.occi.aids import (
    TITLE,
    add_tags,
    fresh,
    is_old,
    kind_of,
    known,
    new_tag,
    raw,
    replaced,
    thing,
)
from conformance.occi.documents import DESCRIBING, JSON, PLAIN, Category, Wanted
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import SCHEMAS


@SUITE.check("OCCI-HTTP-024", "OCCI-CORE-028", changes=True, cases=DESCRIBING)
def a_mixin_is_added(session: OcciSession, media: str) -> None:
    """POST of a mixin answers 200; then it is in the query interface and its location is there."""
    mine = new_tag(session, title='A tag; of ours, "quoted"')
    add_tags(session, mine, media=media)
    for each in DESCRIBING:
        found = known(session, each).get(mine.id)
        expect(found is not None, f"the mixin is not in the query interface in {each}")
        assert found is not None
        expect(found.class_ == "mixin", f"the mixin is of the class {found.class_}")
        same = session.path(found.location or "") == session.path(mine.location or "")
        expect(same, f"its location is {found.location}, and {mine.location} was said")
        expect(found.title in {mine.title, None}, f"its title is {found.title!r}")
    expect(not session.listed(session.path(mine.location or "")), "its collection is not empty")


@SUITE.check("OCCI-HTTP-024", changes=True, cases=DESCRIBING)
def several_mixins_are_added(session: OcciSession, media: str) -> None:
    """POST of two mixins adds both (1.2)."""
    mine = (new_tag(session), new_tag(session))
    answer = session.send("POST", QUERY, Wanted(described=mine), media=media)
    for each in mine:
        session.afterwards(lambda each=each: session.untag(each))  # type: ignore[misc]
    if answer.status in {400, 403, 405, 501} and "1.2" not in session.versions:
        raise Absent("several mixins at once are of 1.2")
    session.ok(answer, "adding two mixins", 200)
    missing = {each.id for each in mine} - set(known(session))
    expect(not missing, f"not added: {', '.join(missing)}")


@SUITE.check("OCCI-AMB-14", "OCCI-HTTP-024", changes=True, level=Level.MAY)
def a_mixin_with_an_unknown_rel(session: OcciSession) -> None:
    """A mixin whose rel nobody knows is added, or refused."""
    mine = new_tag(session)
    given = Category(
        scheme=mine.scheme,
        term=mine.term,
        class_="mixin",
        location=mine.location,
        rel=("http://a.example/b#c",),
    )
    session.afterwards(lambda: session.untag(mine))
    answer = session.send("POST", QUERY, Wanted(described=(given,)))
    session.ok(answer, "a mixin with an unknown rel", 200, 400, 403, 404, 405, 409, 501)
    is_there = mine.id in known(session)
    expect(
        is_there == (answer.status == 200), f"{answer}, and the mixin is {'' if is_there else 'not '}there"
    )
    if answer.status != 200:
        raise Absent(f"a mixin with an unknown rel is refused: {answer}")


@SUITE.check("OCCI-HTTP-025", "OCCI-HTTP-STATUS-409", changes=True)
def mixins_that_collide(session: OcciSession) -> None:
    """A mixin by the identifier or at the location of another is refused, or replaces none of it."""
    theirs = session.tag()
    kind = session.category(kind_of(session))
    colliding = {
        "a location of another mixin": new_tag(session, location=theirs.location or ""),
        "the location of a kind": new_tag(session, location=session.path(kind.location or "")),
        "the identifier of another mixin": new_tag(session, term=theirs.term),
        "the identifier of a kind": new_tag(session, scheme=kind.scheme, term=kind.term),
    }
    before = known(session)
    for what, mine in colliding.items():
        answer = session.send("POST", QUERY, Wanted(described=(mine,)))
        if mine.id not in before:
            session.afterwards(lambda mine=mine: session.untag(mine))  # type: ignore[misc]
        session.refused(answer, f"a mixin with {what}", 400, 403, 409)
        expect(known(session) == before, f"a mixin with {what} was refused and changed the query interface")


@SUITE.check("OCCI-HTTP-024", "OCCI-HTTP-STATUS-400", changes=True)
def incomplete_mixins(session: OcciSession) -> None:
    """What is no complete mixin is not added: without location, without class, a kind, nothing at all."""
    mine = new_tag(session)
    full = grammar.described(mine)
    before = set(known(session))
    session.afterwards(lambda: session.untag(mine))
    bodies = {
        "no location": f"Category: {grammar.named(mine.id, 'mixin')}",
        "a location that is no path": f'Category: {grammar.named(mine.id, "mixin")}; location="x"',
        "a kind": f"Category: {full.replace('mixin', 'kind')}",
        "an action": f"Category: {full.replace('mixin', 'action')}",
        "no scheme": f'Category: {mine.term}; class="mixin"; location="{mine.location}"',
        "nothing": "",
        "an attribute beside it": f'Category: {full}\nX-OCCI-Attribute: {TITLE}="x"',
    }
    for what, body in bodies.items():
        answer = raw(session, QUERY, body)
        session.refused(answer, f"POST of {what}", 400, 403, 405, 409, 501)
        expect(set(known(session)) == before, f"POST of {what} was refused and changed the query interface")


@SUITE.check("OCCI-HTTP-014", "OCCI-HTTP-024", changes=True, cases=(PLAIN, JSON))
def mixins_are_added_all_or_none(session: OcciSession, media: str) -> None:
    """Of two mixins, one of which cannot be added, none is."""
    theirs = session.tag()
    mine = new_tag(session)
    session.afterwards(lambda: session.untag(mine))
    both = (mine, new_tag(session, location=theirs.location or ""))
    answer = session.send("POST", QUERY, Wanted(described=both), media=media)
    session.refused(answer, "adding a mixin at a location that is taken", 400, 403, 409)
    expect(mine.id not in known(session), "of two mixins the first was added, though the second was refused")


@SUITE.check("OCCI-HTTP-026", "OCCI-HTTP-STATUS-404", changes=True, cases=DESCRIBING)
def a_mixin_is_removed(session: OcciSession, media: str) -> None:
    """DELETE of a client's mixin answers 200; it, its collection and its associations are gone."""
    mine = session.tag()
    path = session.create(replaced(session.cheap(), mixins=(*session.cheap().mixins, mine.id)))
    expect(mine.id in session.read(path).mixins, "the entity was made with the mixin and has it not")
    answer = session.send("DELETE", QUERY, Wanted(described=(mine,)), media=media)
    session.ok(answer, "removing a mixin", 200, 204)
    expect(mine.id not in known(session), "the mixin is still in the query interface")
    expect(mine.id not in session.read(path).mixins, "an entity still has the mixin")
    gone = session.send("GET", session.path(mine.location or ""))
    session.refused(gone, "GET of the collection of a mixin that was removed", 404, 410)
    again = session.send("DELETE", QUERY, Wanted(described=(mine,)), media=media)
    session.refused(again, "removing a mixin that is gone", 404, 400, 410)


def _providers(session: OcciSession) -> list[Category]:
    """The mixins that are surely the provider's: those of the standard. A template may be somebody's own."""
    mixins = [each for each in session.model().values() if each.class_ == "mixin"]
    found = [each for each in mixins if each.id.startswith(SCHEMAS)]
    if not found:
        raise Absent("the provider has no mixins")
    return found


@SUITE.check("OCCI-HTTP-027", "OCCI-HTTP-STATUS-403", changes=True, cases=DESCRIBING)
def mixins_of_the_provider_stay(session: OcciSession, media: str) -> None:
    """DELETE of a mixin or a kind that the provider defined is refused (1.1: 403), and it stays."""
    session.tag()
    mixins = _providers(session)
    kinds = [each for each in session.model().values() if each.class_ == "kind"]
    before = set(known(session))
    of_mixins = (403,) if is_old(session) else (403, 400, 405, 409)
    refusals = ((mixins[0], of_mixins), (mixins[-1], of_mixins), (kinds[-1], (403, 400, 404, 405)))
    for each, statuses in refusals:
        said = Category(scheme=each.scheme, term=each.term, class_="mixin", location=each.location)
        answer = session.send("DELETE", QUERY, Wanted(described=(said,)), media=media)
        session.refused(answer, f"removing {each.id}", *statuses)
    expect(set(known(session)) == before, "what was refused removed something")


@SUITE.check("OCCI-HTTP-014", "OCCI-HTTP-026", changes=True)
def mixins_are_removed_all_or_none(session: OcciSession) -> None:
    """Of two mixins, one of which cannot be removed, none is; nor by a DELETE that says nothing."""
    mine, theirs = session.tag(), _providers(session)[0]
    other = Category(scheme=theirs.scheme, term=theirs.term, class_="mixin", location=theirs.location)
    answer = session.send("DELETE", QUERY, Wanted(described=(mine, other)))
    session.refused(answer, "removing a mixin of the provider", 403, 400, 405, 409)
    expect(mine.id in known(session), "the first of two mixins was removed, though the second was refused")
    session.refused(session.send("DELETE", QUERY), "DELETE of no mixin", 400, 405)
    expect(mine.id in known(session), "a DELETE that names nothing removed a mixin")


@SUITE.check("OCCI-HTTP-026", changes=True)
def removing_spares_entities(session: OcciSession) -> None:
    """An entity lives on, as it was, when a mixin that it has is removed."""
    mine = session.tag()
    path = fresh(session)
    where = session.path(mine.location or "")
    session.ok(session.send("POST", where, Wanted(locations=(path, thing(session)))), "associating", 200, 204)
    session.ok(session.send("DELETE", QUERY, Wanted(described=(mine,))), "removing the mixin", 200, 204)
    for each in (path, thing(session)):
        expect(mine.id not in session.read(each).mixins, f"{each} still has the mixin")
