"""Checks of what clients that are in use say, which is not always by the letter."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi import codec, grammar
from conformance.occi.aids import (
    ID,
    SOURCE,
    TARGET,
    TITLE,
    fresh,
    kind_of,
    linked,
    raw,
    replaced,
    shown,
    wanted,
)
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    HEADERS,
    PLAIN,
    STORAGE,
    STORAGELINK,
    Link,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.wire import Answer


def _body(session: OcciSession, *, title: str) -> tuple[str, list[str]]:
    """Where to create an entity, and the lines that do."""
    given = wanted(session, title=title)
    headers_and_body = codec.said(given, PLAIN)
    return session.location(given.kind), (headers_and_body[1] or b"").decode().split("\n")


def _made(session: OcciSession, answer: Answer, title: str) -> None:
    path = session.made(session.ok(answer, "creation", 200, 201))
    found = session.read(path).attributes.get(TITLE)
    expect(found == title, f"the title is {found!r}, said was {title!r}")


@SUITE.check("OCCI-REAL-01", changes=True)
def a_list_of_content_types(session: OcciSession) -> None:
    """Content-Type: text/plain,text/occi is read as text/plain."""
    where, lines = _body(session, title=(title := session.name()))
    headers = {"Content-Type": "text/plain,text/occi"}
    _made(session, session.send("POST", where, headers=headers, body="\n".join(lines).encode()), title)


@SUITE.check("OCCI-REAL-07", changes=True, cases=DESCRIBING)
def ids_of_clients(session: OcciSession, media: str) -> None:
    """A creation with an occi.core.id of the client's own is a creation like any other."""
    for made_up in (session.name("im"), "Compute_1690000000"):
        given = wanted(session, id=made_up)
        path = session.create(given, media=media)
        expect(session.read(path).attributes.get(ID), "the entity has no id")


@SUITE.check("OCCI-REAL-07", "OCCI-HTTP-060", changes=True)
def ids_of_clients_in_links(session: OcciSession) -> None:
    """Links inside a creation may have a self, an id and a source of the client's own making."""
    for kind in (COMPUTE, STORAGE, STORAGELINK):
        session.category(kind)
    given = Wanted(kind=STORAGE, attributes={TITLE: session.name(), "occi.storage.size": 1.0})
    disk = session.ready(session.create(given))
    made_up = session.name("im")
    link = Link(
        target=disk,
        rel=(STORAGE,),
        self_=f"/storagelink/{made_up}",
        categories=(STORAGELINK,),
        attributes={ID: made_up, SOURCE: f"/compute/{made_up}", TARGET: disk},
    )
    machine = session.machine_wanted(links=(link,))
    path = session.create(replaced(machine, attributes={**machine.attributes, ID: made_up}))
    targets = [session.path(each.target) for each in session.read(path).links]
    expect(disk in targets, f"the machine is linked with {targets}, and not with {disk}")


@SUITE.check("OCCI-REAL-08", changes=True, cases=("paths", "absolute URIs"))
def ends_of_links(session: OcciSession, how: str) -> None:
    """The ends of a link may be paths or absolute URIs."""
    link = linked(session)
    if session.read(link.path).kind != STORAGELINK:
        raise Absent("links to storage are not offered")
    given = Wanted(kind=STORAGE, attributes={TITLE: session.name(), "occi.storage.size": 1.0})
    disk = session.ready(session.create(given))
    begins = session.wire.origin if how == "absolute URIs" else ""
    ends = {SOURCE: f"{begins}{link.source}", TARGET: f"{begins}{disk}"}
    path = session.create(Wanted(kind=STORAGELINK, attributes=ends))
    found = session.read(path).attributes
    expect(session.path(str(found.get(TARGET))) == disk, f"{TARGET} is {found.get(TARGET)}, said was {disk}")
    session.state(path, "occi.storagelink.state", "active", "inactive")


@SUITE.check("OCCI-REAL-12", changes=True)
def small_storage(session: OcciSession) -> None:
    """Storage of 0.1 GiB can be made, and has at least that size."""
    session.category(STORAGE)
    given = {TITLE: session.name(), "occi.storage.size": 0.1}
    found = session.read(session.create(Wanted(kind=STORAGE, attributes=given))).attributes
    size = found.get("occi.storage.size")
    expect(isinstance(size, (int, float)) and size >= 0.1, f"its size is {size!r}")


@SUITE.check("OCCI-REAL-12", "OCCI-INFRA-071", "OCCI-INFRA-075", changes=True)
def a_machine_without_templates(session: OcciSession) -> None:
    """A machine can be made without any template."""
    session.category(COMPUTE)
    given = Wanted(kind=COMPUTE, attributes={TITLE: session.name()})
    path = session.create(given)
    expect(session.read(path).kind == COMPUTE, "it is no machine")


@SUITE.check("OCCI-REAL-13", "OCCI-HTTP-032", changes=True, cases=(PLAIN, HEADERS))
def what_was_read_is_put(session: OcciSession, media: str) -> None:
    """A PUT of exactly what was read, actions and immutable attributes included, changes nothing."""
    path = fresh(session)
    before = session.read(path)
    answer = session.get(path, media)
    if media == PLAIN:
        put = raw(session, path, answer.body, method="PUT")
    else:
        names = ("category", "link", "x-occi-attribute")
        fields = [(name, value) for name, value in answer.headers if name.lower() in names]
        headers = {"Content-Type": HEADERS}
        put = session.send("PUT", path, media=media, headers=headers, fields=fields)
    session.ok(put, f"PUT of what was read, in {media}", 200, 201)
    expect(shown(session.read(path)) == shown(before), "a PUT of what was read changed the entity")


@SUITE.check("OCCI-REAL-13", "OCCI-HTTP-033", changes=True)
def a_machine_that_was_read_is_put(session: OcciSession) -> None:
    """A PUT of exactly what was read of a machine with links changes nothing."""
    path = linked(session).source
    before = shown(session.read(path))
    put = raw(session, path, session.get(path).body, method="PUT")
    session.ok(put, "PUT of a machine that was read", 200, 201)
    expect(shown(session.read(path)) == before, "a PUT of what was read changed the machine")


@SUITE.check("OCCI-REAL-17", changes=True)
def semicolons_at_the_end(session: OcciSession) -> None:
    """Lines of categories that end in a semicolon are read."""
    where, lines = _body(session, title=(title := session.name()))
    lines = [f"{line};" if line.startswith("Category") else line for line in lines]
    _made(session, raw(session, where, "\n".join(lines)), title)


@SUITE.check("OCCI-REAL-17", changes=True)
def attributes_of_links_parted_by_blanks(session: OcciSession) -> None:
    """A link whose attributes are parted by blanks, and whose line ends in a semicolon, is read."""
    for kind in (COMPUTE, STORAGE, STORAGELINK):
        session.category(kind)
    given = Wanted(kind=STORAGE, attributes={TITLE: session.name(), "occi.storage.size": 1.0})
    disk = session.ready(session.create(given))
    machine = session.machine_wanted()
    lines = (codec.said(machine, PLAIN)[1] or b"").decode().split("\n")
    attributes = f'occi.core.title="a b" {TARGET}="{disk}" occi.storagelink.deviceid="/dev/vdh"'
    lines.append(f'Link: <{disk}>; rel="{STORAGE}"; category="{STORAGELINK}"; {attributes};')
    answer = raw(session, session.location(COMPUTE), "\n".join(lines))
    path = session.made(session.ok(answer, "creation", 200, 201))
    found = [each for each in session.read(path).links if session.path(each.target) == disk]
    expect(found, "the machine has no link to the disk")
    device = found[0].attributes.get("occi.storagelink.deviceid")
    expect(device == "/dev/vdh", f"occi.storagelink.deviceid is {device!r}")


@SUITE.check("OCCI-AMB-26", changes=True)
def headers_of_another_name(session: OcciSession) -> None:
    """In answers the headers are Category and Link; X-OCCI-Category is read, too."""
    where = session.location(kind_of(session))
    answer = session.get(fresh(session), HEADERS)
    expect(answer.header("category"), "there is no header Category")
    given = wanted(session, title=(title := session.name()))
    headers = {"Content-Type": HEADERS, "X-OCCI-Category": grammar.named(given.kind, "kind")}
    fields = [
        ("X-OCCI-Attribute", f"{name}={grammar.literal(value)}") for name, value in given.attributes.items()
    ]
    answer = session.send("POST", where, media=HEADERS, headers=headers, fields=fields)
    if 400 <= answer.status < 500:
        session.note(f"X-OCCI-Category is not read: {answer.status}")
        return
    _made(session, answer, title)
    session.note("X-OCCI-Category is read")
