"""Checks of paths that are bound to nothing, and of pages (HTTP 4.1, 6)."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import TITLE, fresh, gone, is_old, kind_of, nothing_made, thing, wanted
from conformance.occi.checks.http_kinds import filtered, ids, name_of
from conformance.occi.checks.http_mixins import associate
from conformance.occi.documents import DESCRIBING, HEADERS, JSON, PLAIN, URI_LIST, Category
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_FORMS = (PLAIN, HEADERS, URI_LIST, JSON)

# Unbound paths ------------------------------------------------------------------------------------------


def _listing(session: OcciSession, path: str, media: str) -> Answer:
    """GET of an unbound path; Absent where these are not offered, which 1.2 allows."""
    answer = session.send("GET", path, media=media)
    if answer.status in {404, 405, 501} and not is_old(session):
        raise Absent(f"{path} is not offered: {answer}")
    return session.ok(answer, f"GET {path}", 200, 204)


@SUITE.check("OCCI-HTTP-005", "OCCI-HTTP-004", changes=True, cases=_FORMS)
def the_root_has_everything(session: OcciSession, media: str) -> None:
    """GET of / has the entities of every kind, filtered when asked."""
    first, second = thing(session), session.create(wanted(session, title=(title := session.name())))
    _listing(session, "/", media)
    found = ids(session, "/", media)
    missing = {name_of(session, path, media) for path in (first, second)} - found
    expect(not missing, f"{', '.join(missing)} are not at /")
    one = ids(session, "/", media, **filtered(f"{TITLE}={grammar.quoted(title)}"))
    expect(one == {name_of(session, second, media)}, f"one has that title, and {len(one)} came")


@SUITE.check("OCCI-HTTP-004", "OCCI-HTTP-005", changes=True)
def the_root_has_all_kinds(session: OcciSession) -> None:
    """What is in any kind's collection is at /."""
    thing(session)
    _listing(session, "/", PLAIN)
    everything = set(session.listed("/"))
    for each in session.model().values():
        if each.class_ == "kind" and each.location and "infrastructure#" in each.id:
            missing = set(session.listed(session.path(each.location))) - everything
            expect(not missing, f"{', '.join(sorted(missing)[:3])} of {each.id} are not at /")


def _below(session: OcciSession) -> tuple[str, list[str]]:
    """A path that is bound to nothing, with two mixins' collections below it, and an entity in each."""
    top = f"/{session.name()}"
    tags = [session.tag(location=f"{top}/{each}/") for each in ("a", "b")]
    paths = [fresh(session), fresh(session)]
    for tag, path in zip(tags, paths, strict=True):
        associate(session, tag, path)
    return f"{top}/", paths


@SUITE.check("OCCI-HTTP-005", "OCCI-HTTP-004", changes=True)
def a_path_has_what_is_below(session: OcciSession) -> None:
    """GET of a path bound to nothing has the members of the collections below it, filtered when asked."""
    top, paths = _below(session)
    _listing(session, top, PLAIN)
    found = set(session.listed(top))
    expect(found == set(paths), f"{top} has {sorted(found)}, below are {sorted(paths)}")
    title = session.read(paths[0]).attributes[TITLE]
    one = ids(session, top, PLAIN, **filtered(f"{TITLE}={grammar.literal(title)}"))
    expect(one == {paths[0]}, f"one below has that title, and {len(one)} came")


@SUITE.check("OCCI-HTTP-005", changes=True)
def a_path_deletes_what_is_below(session: OcciSession) -> None:
    """DELETE of a path bound to nothing deletes the entities below it, and no others."""
    other = fresh(session)
    top, paths = _below(session)
    answer = session.send("DELETE", top)
    if answer.status in {404, 405, 501} and not is_old(session):
        raise Absent(f"{top} is not offered: {answer}")
    session.ok(answer, f"DELETE {top}", 200, 204)
    for path in paths:
        gone(session, path)
    session.ok(session.send("GET", other), "GET of what is not below")


@SUITE.check("OCCI-AMB-24", "OCCI-HTTP-004", changes=True, cases=DESCRIBING)
def creation_at_the_root(session: OcciSession, media: str) -> None:
    """POST to / creates by the kind in the body, or is refused and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    answer = session.send("POST", "/", given, media=media)
    if answer.status in {400, 403, 404, 405, 501}:
        with nothing_made(session, given.kind, title):
            session.send("POST", "/", given, media=media)
        raise Absent(f"nothing is created at /: {answer}")
    path = session.made(session.ok(answer, "POST /", 200, 201))
    expect(session.read(path).attributes.get(TITLE) == title, "the title is not the one that was said")
    expect(path in session.listed(session.location(given.kind)), f"{path} is not in its kind's collection")


@SUITE.check("OCCI-AMB-23", changes=True)
def the_slash_at_the_end(session: OcciSession) -> None:
    """A collection's path without the slash at its end is served, redirected, or 404."""
    path, where = thing(session), session.location(kind_of(session))
    answer = session.send("GET", where.rstrip("/"))
    session.ok(answer, "GET of a collection without the slash", 200, 301, 302, 307, 308, 404)
    if answer.status == 200:
        expect(path in map(session.path, codec.locations(answer)), "without the slash there are others")
    session.note(f"a collection without the slash: {answer.status}")


# Pages --------------------------------------------------------------------------------------------------


def _paged(session: OcciSession, number: int) -> tuple[Category, list[str]]:
    """A mixin of ours and its members in the order of the listing."""
    tag = session.tag()
    associate(session, tag, *(fresh(session) for _ in range(number)))
    return tag, session.listed(session.path(tag.location or ""))


def _page(session: OcciSession, tag: Category, page: int, number: int, media: str = PLAIN) -> list[str]:
    """One page; the members' paths, or (JSON) ids."""
    where = f"{session.path(tag.location or '')}?page={page}&number={number}"
    answer = session.ok(session.send("GET", where, media=media), f"GET {where}", 200)
    if media == JSON:
        return [str(each.attributes.get("occi.core.id")) for each in codec.members(answer)]
    return [session.path(each) for each in codec.locations(answer)]


def _first(session: OcciSession, tag: Category) -> int:
    """Which number the first page has; Absent where there are no pages, and 1.2 is not claimed."""
    where = session.path(tag.location or "")
    if "1.2" not in session.versions and len(_page(session, tag, 1, 1)) != 1:
        raise Absent("pages are of 1.2, which the server does not claim")
    zero = session.send("GET", f"{where}?page=0&number=1")
    return 0 if zero.status == 200 and codec.locations(zero) else 1


@SUITE.check("OCCI-HTTP-062", "OCCI-AMB-15", changes=True, cases=_FORMS)
def pages(session: OcciSession, media: str) -> None:
    """Page by page a collection has each member once, and no page more than asked."""
    tag, members = _paged(session, 3)
    first = _first(session, tag)
    whole = [name_of(session, path, media) for path in members]
    found = [_page(session, tag, first + each, 2, media) for each in range(3)]
    sizes = [len(each) for each in found]
    expect(sizes == [2, 1, 0], f"of three members pages of two have {sizes}")
    joined = [name for page in found for name in page]
    expect(sorted(joined) == sorted(whole), f"the pages have {joined}, the collection {whole}")
    everything = _page(session, tag, first, 100, media)
    expect(sorted(everything) == sorted(whole), f"a page of 100 has {len(everything)} of three members")
    session.note(f"the first page is {first}")


@SUITE.check("OCCI-HTTP-062", changes=True)
def pages_of_a_kind(session: OcciSession) -> None:
    """A kind's collection has pages, too, and a filter goes with them."""
    title = session.name()
    mine = {session.create(wanted(session, title=title)) for _ in range(3)}
    where = session.location(kind_of(session))
    headers = filtered(f"{TITLE}={grammar.quoted(title)}")
    found: list[str] = []
    for page in (1, 2):
        answer = session.send("GET", f"{where}?page={page}&number=2", headers=headers)
        session.ok(answer, f"GET of page {page}")
        if len(codec.locations(answer)) > 2 and "1.2" not in session.versions:
            raise Absent("pages are of 1.2, which the server does not claim")
        expect(len(codec.locations(answer)) <= 2, f"a page of two has {len(codec.locations(answer))}")
        found += map(session.path, codec.locations(answer))
    expect(set(found) <= mine and len(set(found)) == len(found) and found, f"the pages have {found}")


@SUITE.check("OCCI-HTTP-063", "OCCI-HTTP-STATUS-413", changes=True)
def pages_that_are_too_large(session: OcciSession) -> None:
    """A number that is too large is 413; one that is none is 400; a large one is never cut."""
    tag, members = _paged(session, 2)
    first = _first(session, tag)
    where = session.path(tag.location or "")
    for number in (10**6, 10**9, 10**30):
        answer = session.send("GET", f"{where}?page={first}&number={number}")
        session.ok(answer, f"GET with number={number}", 413, 200)
        if answer.status == 200:
            expect(len(codec.locations(answer)) == len(members), f"number={number} does not have all members")
        session.note(f"number={number}: {answer.status}")


@SUITE.check("OCCI-HTTP-062", "OCCI-HTTP-STATUS-400", changes=True)
def pages_that_are_none(session: OcciSession) -> None:
    """A page or a number that is none is refused with 400."""
    tag, _ = _paged(session, 2)
    _first(session, tag)
    where = session.path(tag.location or "")
    for query in (
        "page=x&number=1",
        "page=1&number=x",
        "page=-1&number=1",
        "page=1&number=-1",
        "page=1&number=0",
    ):
        session.refused(session.send("GET", f"{where}?{query}"), f"GET with {query}", 400, 413)


@SUITE.check("OCCI-HTTP-064", changes=True, cases=_FORMS)
def past_the_end(session: OcciSession, media: str) -> None:
    """A page past the end is 200 with an empty collection."""
    tag, _ = _paged(session, 2)
    _first(session, tag)
    for page in (100, 10**6):
        found = _page(session, tag, page, 10, media)
        expect(not found, f"page {page} of two members has {len(found)}")
