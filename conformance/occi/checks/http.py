"""Checks of the HTTP protocol: versions, negotiation, methods, credentials."""

from __future__ import annotations

import re

from conformance.checks import Absent, Level, expect
from conformance.occi import codec
from conformance.occi.aids import TITLE, is_old, kind_of, nothing_made, thing, unchanged, wanted
from conformance.occi.documents import DESCRIBING, HEADERS, JSON, OCCI_PLAIN, PLAIN, URI_LIST
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer

_CLAIM = re.compile(r"(?<![\w-])OCCI/1\.[12](?![0-9])")
_SPOKEN = {PLAIN, OCCI_PLAIN, HEADERS, JSON, URI_LIST}
_UNKNOWN = "image/png"
#: Methods that HTTP and its extensions have, and OCCI gives no meaning.
_STRANGE = ("PATCH", "TRACE", "PROPFIND", "BREW")


def nowhere(session: OcciSession) -> str:
    """A path in a kind's collection at which there is nothing."""
    return f"{session.location(kind_of(session))}{session.name()}"


# Versions -----------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-008", changes=True)
def the_server_says_what_it_speaks(session: OcciSession) -> None:
    """Answers of each sort, refusals too, have a Server header with OCCI/1.1 or OCCI/1.2."""
    where = session.location(kind_of(session))
    answers = {
        "the query interface": session.send("GET", QUERY),
        "a collection": session.send("GET", where),
        "an entity": session.send("GET", thing(session)),
        "an entity in headers": session.send("GET", thing(session), media=HEADERS),
        "what is not there": session.send("GET", nowhere(session)),
        "what is malformed": session.send("POST", where, headers={"Content-Type": PLAIN}, body=b"x"),
        "what cannot be rendered": session.send("GET", QUERY, accept=_UNKNOWN),
        "a method that is not allowed": session.send("PUT", QUERY),
        "a version that is too high": session.send("GET", QUERY, headers={"User-Agent": "x OCCI/9.9"}),
        "a stranger": session.send("GET", where, anonymous=True),
    }
    for what, answer in answers.items():
        said = answer.header("server")
        expect(said and _CLAIM.search(said), f"{what} ({answer}): Server is {said!r}")


@SUITE.check(
    "OCCI-HTTP-009", "OCCI-HTTP-STATUS-501", changes=True, cases=("OCCI/9.9", "OCCI/2.0", "OCCI/1.99")
)
def clients_that_are_too_new(session: OcciSession, version: str) -> None:
    """A client of a version above the server's is answered 501, and makes nothing."""
    headers = {"User-Agent": f"conformance/1 {version}"}
    session.refused(session.send("GET", QUERY, headers=headers), f"a client of {version}", 501)
    given = wanted(session, title=(title := session.name()))
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.location(given.kind), given, headers=headers)
        session.refused(answer, f"creation by a client of {version}", 501)


@SUITE.check("OCCI-HTTP-009")
def clients_that_are_not_too_new(session: OcciSession) -> None:
    """Clients of the versions that the server claims, and those that claim none, are served."""
    for version in (*sorted(f"OCCI/{each}" for each in session.versions), "curl/8", "x OCCI y"):
        headers = {"User-Agent": version}
        session.ok(session.send("GET", QUERY, headers=headers), f"GET with User-Agent: {version}")


# Negotiation --------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-010", "OCCI-AMB-01", changes=True, cases=("no Accept", "*/*"))
def what_is_rendered_unasked(session: OcciSession, case: str) -> None:
    """Without Accept, or with */*, the answer is text/plain (1.1)."""
    accept = "" if case == "no Accept" else case
    for path in (QUERY, session.location(kind_of(session)), thing(session)):
        answer = session.ok(session.send("GET", path, accept=accept), f"GET {path} with {case}")
        expect(answer.media in _SPOKEN, f"GET {path} with {case}: {answer.media} is none of OCCI's")
        if answer.media != PLAIN and not is_old(session):
            raise Absent(f"{case} means {answer.media} to this server, which claims 1.2 only")
        expect(answer.media == PLAIN, f"GET {path} with {case}: expected {PLAIN}, got {answer.media}")


@SUITE.check("OCCI-HTTP-011", "OCCI-HTTP-STATUS-406", "OCCI-AMB-02", changes=True)
def what_cannot_be_rendered(session: OcciSession) -> None:
    """When nothing that is accepted can be rendered the answer is 406."""
    for accept in (
        _UNKNOWN,
        "application/pdf, image/*",
        "text/*;q=0, application/*;q=0",
        f"{PLAIN};q=0, {_UNKNOWN}",
    ):
        for path in (QUERY, session.location(kind_of(session)), thing(session)):
            answer = session.send("GET", path, accept=accept)
            session.refused(answer, f"GET {path} with Accept: {accept}", 406)


@SUITE.check("OCCI-HTTP-011", "OCCI-HTTP-STATUS-406", changes=True)
def nothing_is_made_that_cannot_be_rendered(session: OcciSession) -> None:
    """A creation whose answer cannot be rendered is 406, and makes nothing; so is a deletion."""
    given = wanted(session, title=(title := session.name()))
    with nothing_made(session, given.kind, title):
        answer = session.send("POST", session.location(given.kind), given, accept=_UNKNOWN)
        if answer.status == 201:
            session.made(answer)
        session.refused(answer, f"creation with Accept: {_UNKNOWN}", 406)


_PREFERENCES = {
    f"{PLAIN};q=0.1, {HEADERS};q=0.9": HEADERS,
    f"{HEADERS};q=0.1, {PLAIN};q=0.9": PLAIN,
    f"{_UNKNOWN}, {PLAIN}": PLAIN,
    f"{HEADERS}, */*;q=0.1": HEADERS,
    f"*/*;q=0.1, {HEADERS}": HEADERS,
    f"{PLAIN};q=0, {HEADERS};q=0.5": HEADERS,
    f"  {HEADERS.upper()}  ": HEADERS,
    f"{PLAIN}; charset=utf-8": PLAIN,
    f"{_UNKNOWN};q=1.0,{HEADERS};q=0.001": HEADERS,
}


@SUITE.check("OCCI-HTTP-011", "OCCI-HTTP-007", changes=True)
def what_is_preferred(session: OcciSession) -> None:
    """Of several types the one with the highest q is answered, never one with q=0."""
    path = thing(session)
    for accept, media in _PREFERENCES.items():
        answer = session.ok(session.send("GET", path, accept=accept), f"GET with Accept: {accept}")
        expect(answer.media == media, f"Accept: {accept}: expected {media}, got {answer.media}")


@SUITE.check("OCCI-HTTP-011", "OCCI-HTTP-007", "OCCI-JSON-001", changes=True)
def json_is_preferred(session: OcciSession) -> None:
    """JSON is answered when it is preferred to text."""
    path = thing(session)
    for accept in (f"{PLAIN};q=0.5, {JSON}", f"{JSON};q=0.9, */*;q=0.8", f"text/*;q=0.1, {JSON};q=0.2"):
        answer = session.send("GET", path, accept=accept)
        if "1.2" not in session.versions and answer.media != JSON:
            raise Absent(f"{JSON} is of 1.2, which the server does not claim")
        session.ok(answer, f"GET with Accept: {accept}")
        expect(answer.media == JSON, f"Accept: {accept}: expected {JSON}, got {answer.media}")


@SUITE.check("OCCI-HTTP-007", changes=True, cases=DESCRIBING)
def content_types(session: OcciSession, media: str) -> None:
    """What is answered names the Content-Type that was asked for, creations and updates too."""
    given = wanted(session)
    created = session.send("POST", session.location(given.kind), given, media=media)
    path = session.made(session.ok(created, "creation", 200, 201))
    updated = session.update(path, given.kind, media, attributes={TITLE: session.name()})
    for what, answer in (("creation", created), ("update", updated), ("GET", session.get(path, media))):
        if answer.body:
            expect(answer.media == media, f"{what}: asked for {media}, got {answer.media or 'none'}")


@SUITE.check("OCCI-HTTP-007", level=Level.SHOULD)
def what_the_server_accepts(session: OcciSession) -> None:
    """The server lists the types that it accepts in an Accept header of its answer."""
    said = session.send("GET", QUERY).header("accept")
    expect(said, "there is no Accept header in the answer")
    listed = {each.partition(";")[0].strip().lower() for each in str(said).split(",")}
    spoken = {media for media in DESCRIBING if session.send("GET", QUERY, media=media).status == 200}
    missing = spoken - listed
    expect(not missing, f"Accept is {said!r}, and {', '.join(sorted(missing))} is spoken, too")


@SUITE.check("OCCI-HTTP-STATUS-406", "OCCI-AMB-04", changes=True)
def a_body_of_an_unknown_type(session: OcciSession) -> None:
    """A body of an unknown Content-Type is refused, and nothing is made."""
    given = wanted(session, title=(title := session.name()))
    _, body = codec.said(given, PLAIN)
    with nothing_made(session, given.kind, title):
        headers = {"Content-Type": "application/x-unknown"}
        answer = session.send("POST", session.location(given.kind), headers=headers, body=body)
        if answer.status in {200, 201}:
            session.made(answer)
        session.refused(answer, "a body of an unknown Content-Type", 406, 415, 400)
    session.note(f"a body of an unknown Content-Type: {answer.status}")


# Methods ------------------------------------------------------------------------------------------------


def not_allowed(answer: Answer, what: str, session: OcciSession) -> None:
    """Fail unless a method was refused with 405 and a list of those that are allowed, or with 501."""
    session.refused(answer, what, 405, 501)
    if answer.status == 405:
        allowed = answer.header("allow")
        expect(allowed is not None, f"{what}: a 405 has no Allow header")
        methods = {each.strip() for each in str(allowed).split(",") if each.strip()}
        expect(answer.method not in methods, f"{what}: Allow names {answer.method}")


@SUITE.check("OCCI-HTTP-STATUS-405", changes=True, cases=_STRANGE)
def methods_that_occi_does_not_have(session: OcciSession, method: str) -> None:
    """A method that OCCI does not define is refused with 405 and Allow (or 501), everywhere."""
    path = thing(session)
    with unchanged(session, path):
        for where in (QUERY, session.location(kind_of(session)), path):
            answer = session.send(method, where)
            if answer.status == 400 and method == "BREW":
                continue  # the server in front does not know the word
            not_allowed(answer, f"{method} {where}", session)


@SUITE.check("OCCI-HTTP-STATUS-405", "OCCI-HTTP-045", "OCCI-HTTP-023", changes=True)
def what_allow_says(session: OcciSession) -> None:
    """OPTIONS, where it is answered, names in Allow the methods that a path has."""
    expected = {
        QUERY: ({"GET", "POST", "DELETE"}, {"PUT"}),
        session.location(kind_of(session)): ({"GET", "POST", "DELETE"}, {"PUT"}),
        thing(session): ({"GET", "POST", "PUT", "DELETE"}, set[str]()),
    }
    for path, (has, lacks) in expected.items():
        answer = session.send("OPTIONS", path)
        if answer.status in {404, 405, 501}:
            raise Absent(f"OPTIONS is not answered: {answer}")
        session.ok(answer, f"OPTIONS {path}", 200, 204)
        allowed = {each.strip() for each in (answer.header("allow") or "").split(",")}
        missing = (
            has - allowed - (set() if path != QUERY or session_has_tags(session) else {"POST", "DELETE"})
        )
        expect(not missing, f"OPTIONS {path}: Allow lacks {', '.join(sorted(missing))}")
        expect(not lacks & allowed, f"OPTIONS {path}: Allow names {', '.join(sorted(lacks & allowed))}")


def session_has_tags(session: OcciSession) -> bool:
    """Whether clients may make mixins."""
    try:
        session.tag()
    except Absent:
        return False
    return True


@SUITE.check("OCCI-REAL-09", changes=True)
def heads(session: OcciSession) -> None:
    """HEAD has the status and the type of GET, and no body."""
    for path in (QUERY, session.location(kind_of(session)), thing(session), nowhere(session)):
        got, head = session.send("GET", path), session.send("HEAD", path)
        expect(head.status == got.status, f"HEAD {path} is {head}, and GET {got}")
        expect(not head.body, f"HEAD {path} has a body")
        expect(head.media == got.media, f"HEAD {path} is {head.media}, and GET {got.media}")


@SUITE.check("OCCI-HTTP-STATUS-404")
def what_is_not_there(session: OcciSession) -> None:
    """A path at which there is nothing is 404, by each method."""
    for path in (nowhere(session), f"/{session.name()}"):
        for method in ("GET", "DELETE"):
            session.refused(session.send(method, path), f"{method} {path}", 404)
    path = nowhere(session)
    answer = session.update(path, kind_of(session), attributes={TITLE: "x"})
    session.refused(answer, f"POST {path}", 404)


# Caches, tasks ------------------------------------------------------------------------------------------


@SUITE.check("OCCI-HTTP-012", changes=True, cases=DESCRIBING)
def entity_tags(session: OcciSession, media: str) -> None:
    """Where an entity has an ETag it changes with the entity, and conditions on it are kept to."""
    path = session.ready(session.create(wanted(session)))
    kind = kind_of(session)
    first = session.get(path, media).header("etag")
    if first is None:
        raise Absent("entities have no ETag")
    expect(re.fullmatch(r'(W/)?"[^"\s]*"', first), f"{first!r} is no ETag")
    known = session.send("GET", path, media=media, headers={"If-None-Match": first})
    session.ok(known, "GET of what is known", 304, 200)
    expect(known.status == 304 or known.body, "GET with If-None-Match has neither 304 nor a body")
    changed = session.update(path, kind, media, attributes={TITLE: session.name()})
    session.ok(changed, "an update", 200, 201)
    second = session.get(path, media).header("etag")
    expect(second != first, f"the title changed, and the ETag is still {first}")
    with unchanged(session, path):
        headers, body = codec.said(wanted(session), media)
        for method in ("POST", "PUT", "DELETE"):
            answer = session.send(
                method, path, media=media, headers={**headers, "If-Match": first}, body=body
            )
            session.refused(answer, f"{method} of what has changed since", 412)
    headers, body = codec.said(wanted(session), media)
    answer = session.send("POST", path, media=media, headers={**headers, "If-Match": str(second)}, body=body)
    session.ok(answer, "an update with the ETag of now", 200, 201)


@SUITE.check("OCCI-HTTP-013", "OCCI-HTTP-STATUS-202", changes=True)
def tasks(session: OcciSession) -> None:
    """A creation that is answered 202 has the Location of a task, which is there."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given)
    session.ok(answer, "creation", 200, 201, 202)
    path = session.made(answer)
    if answer.status != 202:
        raise Absent(f"creation is answered {answer.status}, and goes on by itself")
    session.ok(session.send("GET", path), "GET of the task", 200, 301, 303)
