"""Checks of what the texts leave open: which choice the endpoint made. What neither version allows fails."""

from __future__ import annotations

import re
import time

from conformance.checks import Absent, expect
from conformance.occi import codec
from conformance.occi.aids import ID, TITLE, kind_of, nothing_made, replaced, thing, told, unchanged, wanted
from conformance.occi.documents import COMPUTE, HEADERS, JSON, NETWORK, PLAIN, STORAGE, Wanted
from conformance.occi.session import QUERY, OcciSession, is_uuid
from conformance.occi.suite import SUITE
from conformance.occi.tables import BACKUP, ENTITY, RESIZE, SNAPSHOT

#: Values that attributes cannot have, by kind.
_IMPOSSIBLE: dict[str, dict[str, tuple[object, ...]]] = {
    STORAGE: {"occi.storage.size": (-1.0, 0.0, "big")},
    NETWORK: {"occi.network.vlan": (-1, 4096, "many")},
    COMPUTE: {"occi.compute.cores": (-1, 0, "many"), "occi.compute.architecture": ("z80",)},
}


@SUITE.check("OCCI-AMB-17", "OCCI-CORE-030", changes=True)
def what_ids_look_like(session: OcciSession) -> None:
    """An id is a URI reference: a UUID, a URN or a path."""
    found = str(session.read(thing(session)).attributes.get(ID))
    expect(re.fullmatch(r"[^\s\"<>\\^`{|}]+", found), f"{ID} is {found!r}")
    forms = {"a UUID": is_uuid(found), "a URN": found.startswith("urn:"), "a path": "/" in found}
    session.note(f"ids are {next((name for name, is_so in forms.items() if is_so), 'names of its own')}")


@SUITE.check("OCCI-AMB-18", "OCCI-HTTP-003")
def where_collections_are_said_to_be(session: OcciSession) -> None:
    """The location in a category is a path or an absolute URI, and leads to the collection."""
    location = session.category(kind_of(session)).location or ""
    expect(location.startswith("/") or "://" in location, f"the location is {location!r}")
    session.ok(session.send("GET", session.path(location)), f"GET {location}", 200, 204)
    session.note(f"locations are {'URIs' if '://' in location else 'paths'}")


@SUITE.check("OCCI-AMB-19", "OCCI-HTTP-STATUS-201", changes=True)
def where_entities_are_said_to_be(session: OcciSession) -> None:
    """Location and X-OCCI-Location are paths or absolute URIs, and lead to the entity."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given)
    path = session.made(session.ok(answer, "creation", 200, 201))
    for each in (*answer.all("location"), *told(answer)):
        expect(each.startswith("/") or "://" in each, f"the location is {each!r}")
        expect(session.path(each) == path, f"the locations {each} and {path} differ")
        session.note(f"locations are {'URIs' if '://' in each else 'paths'}")


@SUITE.check("OCCI-AMB-20", changes=True)
def whether_creation_starts(session: OcciSession) -> None:
    """A machine that was made is started, or waits until it is told."""
    session.category(COMPUTE)
    path = session.create(session.machine_wanted())
    ends = time.monotonic() + min(session.deadline, 60.0)
    while (state := session.read(path).attributes.get("occi.compute.state")) != "active":
        expect(state == "inactive", f"a new machine is {state!r}")
        if time.monotonic() >= ends:
            raise Absent("creation does not start the machine")
        time.sleep(session.poll)
    session.note("creation starts the machine")


@SUITE.check("OCCI-AMB-21", changes=True, cases=(PLAIN, HEADERS, JSON))
def what_refusals_say(session: OcciSession, media: str) -> None:
    """A refusal says why, in its body or in X-OCCI-Error."""
    where = session.location(kind_of(session))
    headers = {"Content-Type": PLAIN}
    answer = session.send("POST", where, accept=media, headers=headers, body=b"X-OCCI-Attribute: x")
    session.refused(answer, "a creation that is malformed", 400)
    said = answer.header("x-occi-error")
    expect(said or len(answer.text.strip()) > 2, f"the refusal says {answer.text!r}")
    expect(answer.text.strip() != "OK", "the refusal has the body OK")
    if answer.media == JSON:
        expect(isinstance(codec.document(answer), dict), "the refusal is no JSON object")
    session.note(f"refusals are {answer.media}{', with X-OCCI-Error' if said else ''}")


@SUITE.check("OCCI-AMB-22", "OCCI-HTTP-STATUS-400", changes=True)
def values_that_cannot_be(session: OcciSession) -> None:
    """A value of the wrong type or out of range is 400 (or 409) at creation, and makes nothing."""
    given = wanted(session, title=(title := session.name()))
    for name, values in _IMPOSSIBLE[given.kind].items():
        for value in values:
            said = replaced(given, attributes={**given.attributes, name: value})
            with nothing_made(session, given.kind, title):
                answer = session.send("POST", session.location(given.kind), said)
                if answer.status in {200, 201}:
                    session.made(answer)
                session.refused(answer, f"{name}={value!r}", 400, 409)
            session.note(f"a value that cannot be: {answer.status}")


@SUITE.check("OCCI-AMB-22", "OCCI-HTTP-035", "OCCI-HTTP-STATUS-400", changes=True)
def values_that_cannot_come_to_be(session: OcciSession) -> None:
    """A value of the wrong type or out of range is 400 (or 409) in an update, and changes nothing."""
    path = thing(session)
    with unchanged(session, path):
        for name, values in _IMPOSSIBLE[kind_of(session)].items():
            for value in values:
                given = {TITLE: session.name("changed"), name: value}
                answer = session.update(path, kind_of(session), attributes=given)
                session.refused(answer, f"an update to {name}={value!r}", 400, 409)


@SUITE.check("OCCI-AMB-25", "OCCI-INFRA-032")
def what_is_kept_of_the_old_version(session: OcciSession) -> None:
    """What 1.2 removed is offered, for clients of 1.1."""
    has: dict[str, bool] = {}
    if COMPUTE in session.model():
        has["occi.compute.speed"] = "occi.compute.speed" in session.category(COMPUTE).properties
    if STORAGE in session.model():
        offered = session.category(STORAGE).actions
        has |= {each.rpartition("#")[2]: each in offered for each in (BACKUP, SNAPSHOT, RESIZE)}
    lacking = [name for name, there in has.items() if not there]
    if lacking:
        raise Absent(f"not offered: {', '.join(lacking)}")
    session.note("all is kept")


@SUITE.check("OCCI-AMB-27", "OCCI-HTTP-008")
def which_versions_are_claimed(session: OcciSession) -> None:
    """The Server header claims a version of OCCI that there is, or both."""
    expect(session.versions, "the Server header claims no version")
    expect(session.versions <= {"1.1", "1.2"}, f"there is no OCCI {', '.join(sorted(session.versions))}")
    session.note(f"claimed: {' and '.join(sorted(session.versions))}")


@SUITE.check("OCCI-AMB-28", "OCCI-HTTP-001", changes=True)
def where_entity_is(session: OcciSession) -> None:
    """The kind entity, which has no instances of its own, makes none."""
    entity = session.model().get(ENTITY)
    if entity is None:
        raise Absent("core#entity is not in the query interface")
    in_json = session.send("GET", QUERY, media=JSON)
    shown = session.model(JSON)[ENTITY].location if in_json.status == 200 else None
    session.note(f"core#entity is at {entity.location or 'no path'}, in JSON at {shown or 'none'}")
    given = Wanted(kind=ENTITY, attributes={TITLE: session.name()})
    for where in filter(None, (entity.location, shown, session.location(kind_of(session)))):
        answer = session.send("POST", session.path(where), given)
        if answer.status in {200, 201}:
            session.made(answer)
        session.refused(answer, f"creation of core#entity at {where}", 400, 403, 404, 405, 409, 501)
