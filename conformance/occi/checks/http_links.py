"""Checks of links over HTTP: inside a creation, by themselves, and when they end (HTTP 10, 11; H11 3.4.5)."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi.aids import SOURCE, TARGET, TITLE, gone, kind_of, linked, nothing_made
from conformance.occi.documents import COMPUTE, DESCRIBING, STORAGE, STORAGELINK, Link, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE


@SUITE.check("OCCI-HTTP-037", "OCCI-HTTP-061", changes=True)
def deleting_a_link(session: OcciSession) -> None:
    """A link is made by its kind, source and target, and both ends live on when it is deleted."""
    link = linked(session)
    kind = session.read(link.path).kind
    if kind != STORAGELINK:
        raise Absent("links to storage are not offered")
    given = Wanted(kind=STORAGE, attributes={TITLE: session.name(), "occi.storage.size": 1.0})
    disk = session.ready(session.create(given))
    path = session.create(Wanted(kind=kind, attributes={SOURCE: link.source, TARGET: disk}))
    found = session.read(path).attributes
    for name, end in ((SOURCE, link.source), (TARGET, disk)):
        expect(session.path(str(found.get(name))) == end, f"{name} is {found.get(name)}, said was {end}")
    expect(disk in _targets(session, link.source), "the source does not show the link")
    session.state(path, "occi.storagelink.state", "active", "inactive")
    answer = session.patiently(lambda: session.send("DELETE", path))
    session.ok(answer, "DELETE of a link", 200, 204)
    gone(session, path)
    expect(disk not in _targets(session, link.source), "the source still shows the link")
    for end in (link.source, disk):
        session.ok(session.send("GET", end), f"GET of {end} after its link was deleted")


def _targets(session: OcciSession, path: str) -> list[str]:
    return [session.path(each.target) for each in session.read(path).links]


@SUITE.check("OCCI-HTTP-061", "OCCI-HTTP-043", "OCCI-HTTP-STATUS-400", changes=True)
def links_without_ends(session: OcciSession) -> None:
    """A link without source or target is 400, one to what is not there is refused; nothing is made."""
    link = linked(session)
    kind = session.read(link.path).kind
    where = session.location(kind)
    before = session.listed(where)
    nowhere = f"{link.target}{session.name()}"
    said = {
        "without source": ({TARGET: link.target}, (400,)),
        "without target": ({SOURCE: link.source}, (400,)),
        "without either": ({}, (400,)),
        "from nowhere": ({SOURCE: nowhere, TARGET: link.target}, (400, 404)),
        "to nowhere": ({SOURCE: link.source, TARGET: nowhere}, (400, 404)),
        "to itself": ({SOURCE: link.source, TARGET: link.source}, (400, 403, 404, 409)),
    }
    for what, (ends, statuses) in said.items():
        answer = session.send("POST", where, Wanted(kind=kind, attributes=ends))
        session.refused(answer, f"a link {what}", *statuses)
    expect(sorted(session.listed(where)) == sorted(before), "what was refused made a link")


@SUITE.check("OCCI-HTTP-060", changes=True, cases=DESCRIBING)
def links_inside_a_creation(session: OcciSession, media: str) -> None:
    """A link inside a creation makes a link instance with its attributes, which has a path of its own."""
    for kind in (COMPUTE, STORAGE, STORAGELINK):
        session.category(kind)
    given = Wanted(kind=STORAGE, attributes={TITLE: session.name(), "occi.storage.size": 1.0})
    disk = session.ready(session.create(given))
    device = "/dev/vdh"
    inline = Link(
        target=disk,
        rel=(STORAGE,),
        categories=(STORAGELINK,),
        attributes={"occi.storagelink.deviceid": device},
    )
    path = session.create(session.machine_wanted(links=(inline,)), media=media)
    mine = [each for each in session.read(path, media).links if session.path(each.target) == disk]
    expect(len(mine) == 1, f"the machine has {len(mine)} links to {disk}")
    made = [
        each
        for each in session.listed(session.location(STORAGELINK))
        if session.path(str(session.read(each).attributes.get(TARGET))) == disk
    ]
    expect(len(made) == 1, f"{len(made)} links lead to {disk}")
    found = session.read(made[0]).attributes
    expect(session.path(str(found.get(SOURCE))) == path, f"the link's source is {found.get(SOURCE)}")
    shown = found.get("occi.storagelink.deviceid")
    expect(shown == device, f"occi.storagelink.deviceid is {shown!r}, said was {device!r}")


@SUITE.check("OCCI-HTTP-060", "OCCI-HTTP-014", "OCCI-HTTP-STATUS-400", changes=True, cases=DESCRIBING)
def bad_links_inside_a_creation(session: OcciSession, media: str) -> None:
    """A creation with a link to what is not there is refused, and makes nothing."""
    session.category(COMPUTE)
    nowhere = f"{session.location(kind_of(session))}{session.name()}"
    kind = session.read(linked(session).path).kind
    rel = session.read(linked(session).target).kind
    link = Link(target=nowhere, rel=(rel,), categories=(kind,))
    given = session.machine_wanted(links=(link,))
    with nothing_made(session, COMPUTE, str(given.attributes[TITLE])):
        answer = session.send("POST", session.location(COMPUTE), given, media=media)
        if answer.status in {200, 201}:
            session.made(answer)
        session.refused(answer, "a machine linked to nothing", 400, 404)
