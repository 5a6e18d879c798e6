"""Checks of what clients that are in use need beyond the letter, of answers."""

from __future__ import annotations

import json
import re

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    ID,
    TARGET,
    fresh,
    kind_of,
    linked,
    thing,
    wanted,
)
from conformance.occi.cast import dressed
from conformance.occi.documents import (
    COMPUTE,
    CORE,
    HEADERS,
    JSON,
    NETWORK,
    NETWORKINTERFACE,
    OS_TPL,
    PLAIN,
    RESOURCE_TPL,
    STORAGE,
    URI_LIST,
)
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import KINDS

_FIELD = re.compile(r"(Category|Link|X-OCCI-Attribute|X-OCCI-Location): \S.*\S")
_ATTRIBUTE = re.compile(r'X-OCCI-Attribute: [A-Za-z0-9_.-]+=("(?:[^"\\]|\\.)*"|[^"\s]+)')


def _texts(session: OcciSession) -> dict[str, str]:
    """What text/plain says of the query interface, a collection, a machine with links, and an entity."""
    paths = [QUERY, session.location(kind_of(session)), thing(session)]
    if COMPUTE in session.model():
        paths.append(linked(session).source)
    return {path: session.get(path).text for path in paths}


@SUITE.check("OCCI-REAL-02", changes=True)
def one_value_a_line(session: OcciSession) -> None:
    """Each line of text/plain is one value after a colon and one blank, and ends with LF alone."""
    for path, text in _texts(session).items():
        expect("\r" not in text, f"GET {path}: lines end in CRLF")
        expect(not text.endswith("\n"), f"GET {path}: there is a line end after the last line")
        for line in text.split("\n") if text else []:
            expect(_FIELD.fullmatch(line), f"GET {path}: the line {line[:100]!r}")
            if line.startswith("X-OCCI-Attribute"):
                expect(
                    _ATTRIBUTE.fullmatch(line), f"GET {path}: no name=value after one blank: {line[:100]!r}"
                )
            name, _, value = line.partition(": ")
            expect(len(grammar.split(value)) == 1, f"GET {path}: {name} has several values in a line")


@SUITE.check("OCCI-REAL-03", "OCCI-AMB-06", changes=True)
def the_id_at_the_end(session: OcciSession) -> None:
    """The text that answers a creation ends in the last element of the new entity's path."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given)
    path = session.made(session.ok(answer, "creation", 200, 201))
    last = path.rpartition("/")[2]
    expect(
        answer.text.endswith(f"/{last}"), f"the entity is {path}, and the body ends in {answer.text[-60:]!r}"
    )


@SUITE.check("OCCI-REAL-04")
def how_categories_begin(session: OcciSession) -> None:
    """A category's line begins with Category: TERM;, and templates have their parent's name on it."""
    lines = session.get(QUERY).text.split("\n")
    odd = [line for line in lines if not re.match(r"Category: [^\s;]+; ?", line)]
    expect(not odd, f"a line begins otherwise: {odd[:1]}")
    for parent in (OS_TPL, RESOURCE_TPL):
        for each in session.depending(parent):
            mine = [
                line for line in lines if line.startswith(f"Category: {each.term};") and each.scheme in line
            ]
            word = parent.rpartition("#")[2]
            expect(any(word in line for line in mine), f"{each.id} has no {word} on its line")


@SUITE.check("OCCI-REAL-05", "OCCI-REAL-14", changes=True)
def what_links_have(session: OcciSession) -> None:
    """Links have self, a category, their target and an attribute; targets tell what they are."""
    whole = dressed(session)
    links = session.read(whole.path).links
    if not links:
        raise Absent("no machine has links here")
    for each in links:
        expect(each.self_, f"the link to {each.target} has no self")
        expect(each.categories, f"the link to {each.target} has no category")
        expect(each.attributes, f"the link to {each.target} has no attribute")
        expect(TARGET in each.attributes, f"the link to {each.target} has no {TARGET}")
        for kind, word in ((STORAGE, "/storage/"), (NETWORK, "/network/")):
            if kind in each.rel:
                expect(word in session.path(each.target), f"{each.target} has no {word} in its path")
        if NETWORKINTERFACE in each.categories and NETWORK in each.rel:
            name = each.attributes.get("occi.networkinterface.interface", "")
            expect(re.search("[0-9]", str(name)), f"the interface is {name!r}, without a digit")


@SUITE.check("OCCI-REAL-06", "OCCI-INFRA-030", changes=True)
def storage_gets_online(session: OcciSession) -> None:
    """New storage gets online without being told."""
    session.category(STORAGE)
    if kind_of(session) != STORAGE:
        raise Absent("storage cannot be made")
    path = session.create(wanted(session))
    session.state(path, "occi.storage.state", "online")


@SUITE.check("OCCI-REAL-11", changes=True)
def nothing_is_empty(session: OcciSession) -> None:
    """No value is empty, and no line ends in a semicolon."""
    for path, text in _texts(session).items():
        empty = re.search(r'[\w.-]+=""', text)
        expect(not empty, f"GET {path}: {empty and empty[0]}")
        odd = [line for line in text.split("\n") if line.rstrip().endswith(";")]
        expect(not odd, f"GET {path}: a line ends in a semicolon: {odd[:1]}")


@SUITE.check("OCCI-REAL-12")
def what_is_required_of_clients(session: OcciSession) -> None:
    """The kinds of the standard require no attributes but the ones that the standard does."""
    core = {ID, "occi.core.title", "occi.core.source", TARGET}
    allowed = {
        *core,
        "occi.storage.size",
        "occi.storage.state",
        "occi.storagelink.deviceid",
    }
    for each in KINDS:
        found = session.model().get(each.id)
        required = {one.name for one in found.attributes if one.required} if found else set()
        expect(required <= allowed, f"{each.id} requires {', '.join(sorted(required - allowed))}")


@SUITE.check("OCCI-REAL-13", "OCCI-CORE-001")
def the_kinds_of_the_core(session: OcciSession) -> None:
    """Entity, resource and link are in the query interface, and every kind descends from them."""
    for term in ("entity", "resource", "link"):
        expect(f"{CORE}{term}" in session.model(), f"core#{term} is not in the query interface")
    for each in session.model().values():
        if each.class_ == "kind" and each.id != f"{CORE}entity":
            expect(each.rel and each.rel[0] in session.model(), f"the parent of {each.id} is {each.rel}")


@SUITE.check("OCCI-REAL-14")
def names_in_lower_case(session: OcciSession) -> None:
    """Names of attributes are in lower case, and what is named as parent or depends is listed."""
    model = session.model()
    for each in model.values():
        odd = [one.name for one in each.attributes if one.name != one.name.lower()]
        expect(not odd, f"{each.id} has the attributes {', '.join(odd)}")
        missing = [name for name in each.rel if name not in model]
        expect(not missing, f"{each.id} depends on {', '.join(missing)}, which is not listed")


@SUITE.check("OCCI-REAL-15", changes=True)
def json_that_rocci_reads(session: OcciSession) -> None:
    """Descriptions have type, mutable and required; entities have attributes; no array is empty."""
    model = session.ok(session.send("GET", QUERY, media=JSON), "GET /-/", 200, 406)
    if model.status == 406:
        raise Absent(f"{JSON} is not spoken")
    found = codec.document(model)
    for class_ in ("kinds", "mixins"):
        for each in found.get(class_, []):
            for name, said in each.get("attributes", {}).items():
                missing = {"type", "mutable", "required"} - set(said)
                expect(not missing, f"{each['term']}: {name} has no {', '.join(sorted(missing))}")
                expect(not isinstance(said.get("pattern"), dict), f"{each['term']}: {name} has a pattern")
    for each in found.get("kinds", []):
        expect(each.get("location"), f"the kind {each['term']} has no location")
    paths = [thing(session), *([linked(session).source] if COMPUTE in session.model() else [])]
    for path in paths:
        entity = codec.document(session.get(path, JSON))
        for each in (entity, *entity.get("links", [])):
            expect(each.get("attributes"), f"{each.get('id')} has no attributes")
        empty = [name for name, value in entity.items() if value == []]
        expect(not empty, f"{path} has empty {', '.join(empty)}")


@SUITE.check("OCCI-REAL-16", changes=True)
def creation_by_json(session: OcciSession) -> None:
    """A creation in JSON is answered with an array of URIs, or (by the letter) with the rendering."""
    given = wanted(session)
    answer = session.send("POST", session.location(given.kind), given, media=JSON)
    if answer.status in {406, 415}:
        raise Absent(f"{JSON} is not spoken")
    path = session.made(session.ok(answer, "creation", 200, 201))
    found = codec.document(answer) if answer.body else None
    if not isinstance(found, list):
        raise Absent(f"the answer is no array but {json.dumps(found)[:80]}")
    expect([session.path(str(each)) for each in found] == [path], f"the array is {found}, made was {path}")
    expect(all("://" in each for each in found), f"no URI: {found}")


@SUITE.check("OCCI-REAL-18", "OCCI-AMB-19", changes=True)
def locations_in_headers(session: OcciSession) -> None:
    """In headers locations are parted by a comma and a blank, each an absolute URI."""
    mine = {thing(session), fresh(session)}
    answer = session.get(session.location(kind_of(session)), HEADERS)
    found = [part for value in answer.all("x-occi-location") for part in value.split(", ")]
    expect(mine <= set(map(session.path, found)), f"{mine} are not among {found[:3]}")
    relative = [each for each in found if "://" not in each]
    session.note(f"X-OCCI-Location is {'relative' if relative else 'absolute'}")
    expect(not relative, f"not absolute: {relative[:1]}")


@SUITE.check("OCCI-REAL-19", "OCCI-TEXT-017")
def the_query_interface_in_headers(session: OcciSession) -> None:
    """The query interface is whole in headers, or refused with 406, and not cut."""
    answer = session.ok(session.send("GET", QUERY, media=HEADERS), "GET /-/ in headers", 200, 406)
    if answer.status == 406:
        raise Absent("the query interface is too long for headers")
    found = {each.id for each in codec.categories(answer)}
    expect(set(session.model()) <= found, f"in headers there are {len(found)} of {len(session.model())}")


@SUITE.check("OCCI-REAL-20", changes=True)
def one_location(session: OcciSession) -> None:
    """No answer has several Location headers, a collection in headers neither."""
    thing(session), fresh(session)
    where = session.location(kind_of(session))
    given = wanted(session)
    created = session.send("POST", where, given, media=HEADERS)
    session.made(created)
    for answer in (session.get(where, HEADERS), created):
        expect(len(answer.all("location")) <= 1, f"there are {len(answer.all('location'))} Location headers")


@SUITE.check("OCCI-REAL-21")
def what_old_clients_are_told(session: OcciSession) -> None:
    """The Accept header of an answer to a client of OCCI/1.1 does not name JSON."""
    answer = session.get(QUERY, PLAIN, **{"User-Agent": "rOCCI-core/4.3 OCCI/1.1"})
    said = answer.header("accept")
    if said is None:
        raise Absent("answers have no Accept header")
    expect(JSON not in said, f"Accept is {said!r}")


@SUITE.check("OCCI-REAL-22", changes=True)
def what_old_clients_ask_for(session: OcciSession) -> None:
    """Accept: text/plain,text/occi;q=0.2 is answered in text/plain, and collections as text/uri-list."""
    headers = {"User-Agent": "rOCCI-core/4.3 OCCI/1.1"}
    path = thing(session)
    answer = session.send("GET", path, accept="text/plain,text/occi;q=0.2", headers=headers)
    session.ok(answer, "GET")
    expect(answer.media == PLAIN, f"expected {PLAIN}, got {answer.media}")
    answer = session.send("GET", session.location(kind_of(session)), media=URI_LIST, headers=headers)
    session.ok(answer, "GET of a collection", 200, 204)
    expect(path in map(session.path, codec.locations(answer)), f"{path} is not in the list")
