"""Checks of what the EGI federation adds: reserved addresses, pools, zones, regions, tags of networks."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi.cast import (
    accepted,
    act,
    dressed,
    machine,
    refusal,
    sized,
    spare_network,
    stable,
    templates,
)
from conformance.occi.documents import COMPUTE, INFRASTRUCTURE, NETWORKINTERFACE, STORAGE, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import (
    AVAILABILITY_ZONE,
    IPRESERVATION,
    IPRESERVATION_DOWN,
    IPRESERVATION_UP,
    LINK_ACTIONS,
    REGION,
    type_of,
)

_POOL = "http://schemas.openstack.org/network#floatingippool"
_EGI = "http://schemas.fedcloud.egi.eu/occi/infrastructure/"
_CONNECTIVITY = f"{_EGI}compute#default_connectivity"
_CONNECTIVITY_NAME = "eu.egi.fedcloud.compute.default_connectivity"
_SOURCE, _TARGET = "occi.core.source", "occi.core.target"
_ADDRESS, _USED = "occi.ipreservation.address", "occi.ipreservation.used"


# Reserved addresses and pools ---------------------------------------------------------------------------


def _reservation(session: OcciSession, *mixins: str) -> str:
    session.category(IPRESERVATION)
    attributes = {"occi.core.title": session.name("address")}
    return session.create(Wanted(kind=IPRESERVATION, mixins=mixins, attributes=attributes))


@SUITE.check("OCCI-EXT-006", changes=True)
def reservations_hold_an_address(session: OcciSession) -> None:
    """A reservation shows an address that no other has, and that it is not used."""
    first, second = (session.read(_reservation(session)) for _ in range(2))
    for found in (first, second):
        for row in type_of(IPRESERVATION).attributes:
            value = found.attributes.get(row.name)
            expect(value is not None or not row.one, f"{row.name} is not shown")
            strays = row.strays(value) if value is not None else ""
            expect(not strays, strays)
        expect(found.attributes[_USED] is False, "a new reservation says that it is used")
    expect(first.attributes[_ADDRESS] != second.attributes[_ADDRESS], "two reservations hold one address")


@SUITE.check("OCCI-EXT-006", changes=True)
def reservations_are_used_by_machines(session: OcciSession) -> None:
    """An interface to a reservation gives the machine its address; it is used until the interface ends."""
    target, source = _reservation(session), machine(session, "active")
    address = session.read(target).attributes[_ADDRESS]
    ends = {_SOURCE: source, _TARGET: target}
    path = session.create(Wanted(kind=NETWORKINTERFACE, attributes=ends))
    told = session.read(path).attributes.get("occi.networkinterface.address")
    expect(told == address, f"the interface shows {told!r}, the reservation {address!r}")
    expect(session.read(target).attributes[_USED] is True, "the reservation is used and does not say so")
    session.deleted(path)
    session.until(
        "the reservation is free again",
        lambda: session.read(target).attributes[_USED] is False or None,
        within=20,
        due=True,
    )
    kept = session.read(target).attributes[_ADDRESS]
    expect(kept == address, f"the reservation held {address} and holds {kept} after its use")


@SUITE.check("OCCI-EXT-006", changes=True)
def reservations_go_down_and_up(session: OcciSession) -> None:
    """Actions down and up of a reservation lead to inactive and active."""
    path = _reservation(session)
    state = "occi.ipreservation.state"
    if session.read(path).attributes.get(state) != "active":
        act(session, path, IPRESERVATION_UP)
        session.state(path, state, "active", due=True)
    act(session, path, IPRESERVATION_DOWN)
    session.state(path, state, "inactive", due=True)
    act(session, path, IPRESERVATION_UP)
    session.state(path, state, "active", due=True)


@SUITE.check("OCCI-EXT-008", changes=True)
def pools_give_addresses(session: OcciSession) -> None:
    """An interface made with a pool has an address that the machine did not have, and gives it back."""
    pool = templates(session, _POOL)[0]
    source = machine(session, "active")
    places = [each for each in session.read(source).links if NETWORKINTERFACE in each.categories]
    if not places:
        raise Absent("the machine is in no network")
    before = {str(each.attributes.get("occi.networkinterface.address")) for each in places}
    ends = {_SOURCE: source, _TARGET: session.path(places[0].target)}
    wanted = Wanted(kind=NETWORKINTERFACE, mixins=(pool.id,), attributes=ends)
    answer = session.patiently(lambda: session.send("POST", session.location(NETWORKINTERFACE), wanted))
    session.ok(answer, "an interface with a pool", 200, 201)
    found = session.read(session.made(answer))
    told = found.attributes.get("occi.networkinterface.address")
    expect(isinstance(told, str) and told not in before, f"of the pool came {told!r}; it had {before}")
    expect(pool.id in found.mixins, f"the interface does not show {pool.id}")


# Zones, regions, tags -----------------------------------------------------------------------------------


@SUITE.check("OCCI-EXT-007", cases=("availability_zone", "region"))
def zones_depend_on_their_parent(session: OcciSession, term: str) -> None:
    """Zones and regions are mixins that depend on theirs, which is told, and apply to compute."""
    parent = AVAILABILITY_ZONE if term == "availability_zone" else REGION
    found = templates(session, parent)
    expect(parent in session.model(), f"{parent} is not told")
    detailed = session.detailed()
    for each in found:
        applies = detailed[each.id].applies if each.id in detailed else ()
        expect(COMPUTE in applies, f"{each.id} does not tell that it applies to compute")


@SUITE.check("OCCI-EXT-007", changes=True, cases=("compute", "storage", "network"))
def instances_are_in_the_zone_they_are_given(session: OcciSession, term: str) -> None:
    """An instance made with the last zone is in it, and in no other."""
    zones = [each.id for each in templates(session, AVAILABILITY_ZONE)]
    kind, zone = session.category(INFRASTRUCTURE + term).id, zones[-1]
    if kind == COMPUTE:
        whole = sized(session)
        others = [each for each in whole.mixins if each not in zones]
        wanted = Wanted(kind=kind, mixins=(*others, zone), attributes=whole.attributes)
    else:
        attributes: dict[str, object] = {"occi.core.title": session.name(term)}
        attributes |= {"occi.storage.size": 1.0} if kind == STORAGE else {}
        wanted = Wanted(kind=kind, mixins=(zone,), attributes=attributes)
    path = session.create(wanted)
    has = [each for each in session.read(path).mixins if each in zones]
    expect(has == [zone], f"made in {zone}, it is in {has}")
    expect(path in session.listed(session.location(zone)), f"{path} is not in the collection of {zone}")


@SUITE.check("OCCI-EXT-007", changes=True)
def machines_are_in_one_zone(session: OcciSession) -> None:
    """A machine asked for in two zones is refused."""
    zones = [each.id for each in templates(session, AVAILABILITY_ZONE)]
    if len(zones) < 2:
        raise Absent("there is one zone only")
    whole = sized(session)
    others = [each for each in whole.mixins if each not in zones]
    answer = session.send(
        "POST",
        session.location(COMPUTE),
        Wanted(kind=COMPUTE, mixins=(*others, *zones[:2]), attributes=whole.attributes),
    )
    if accepted(answer):
        has = [each for each in session.read(session.made(answer)).mixins if each in zones]
        expect(len(has) == 1, f"a machine is in the zones {has}")


@SUITE.check("OCCI-EXT-009", changes=True, cases=("public_net", "private_net"))
def networks_are_tagged(session: OcciSession, term: str) -> None:
    """A network made with the tag shows it, and one made with the other does not."""
    mixin = session.category(f"{_EGI}network#{term}").id
    path = spare_network(session, mixin)
    expect(mixin in session.read(path).mixins, f"{path} was made with {term} and does not show it")
    expect(path in session.listed(session.location(mixin)), f"{path} is not in the collection of {term}")


@SUITE.check("OCCI-EXT-009", changes=True)
def connectivity_is_chosen(session: OcciSession) -> None:
    """A machine made with default_connectivity shows it; a value that is none is refused."""
    session.category(_CONNECTIVITY)
    whole = sized(session)
    asked = [
        Wanted(
            kind=COMPUTE,
            mixins=(*whole.mixins, _CONNECTIVITY),
            attributes={**whole.attributes, _CONNECTIVITY_NAME: value},
        )
        for value in ("nonsense", "private")
    ]
    answer = session.send("POST", session.location(COMPUTE), asked[0])
    if accepted(answer):
        session.made(answer)
    expect(refusal(answer), f"default_connectivity nonsense: expected a refusal, got {answer}")
    found = session.read(session.create(asked[1]))
    told = found.attributes.get(_CONNECTIVITY_NAME)
    expect(told == "private", f"{_CONNECTIVITY_NAME} was given as 'private' and is {told!r}")


@SUITE.check("OCCI-EXT-010", changes=True)
def interfaces_go_down_and_up(session: OcciSession) -> None:
    """Actions down and up of an interface lead to inactive and active."""
    up, down, *_ = LINK_ACTIONS
    session.category(down)
    path = dressed(session).link(session, NETWORKINTERFACE)
    state = "occi.networkinterface.state"
    session.state(path, state, "active", due=True)
    stable(session, path, down)
    act(session, path, down)
    session.state(path, state, "inactive", due=True)
    act(session, path, up)
    session.state(path, state, "active", due=True)
