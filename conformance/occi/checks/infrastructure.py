"""Checks of OCCI Infrastructure against its tables: what discovery tells, what every instance shows."""

from __future__ import annotations

from typing import Any

from conformance.checks import Absent, expect, fail
from conformance.occi.cast import dressed, example, refusal, spare_network
from conformance.occi.documents import DESCRIBING, NETWORK, NETWORKINTERFACE, Category, Entity, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import (
    CORE_KINDS,
    FEDERATION,
    IPNETWORK,
    IPNETWORKINTERFACE,
    KINDS,
    MIXINS,
    Attribute,
    Type,
    type_of,
)

#: What an instance in a state offers, by the diagrams.
_DUE: dict[tuple[str, str], tuple[str, ...]] = {
    ("compute", "active"): ("stop", "suspend"),
    ("compute", "inactive"): ("start",),
    ("compute", "suspended"): ("start",),
    ("network", "active"): ("down",),
    ("network", "inactive"): ("up",),
    ("storage", "online"): ("offline",),
    ("storage", "offline"): ("online",),
}
_BY_TERM = {each.id.rpartition("#")[2]: each for each in KINDS}


def _offered(session: OcciSession, kind: Type) -> Category:
    return session.category(kind.id)


@SUITE.check("OCCI-INFRA-001")
def infrastructure_is_offered(session: OcciSession) -> None:
    """At least one kind of Infrastructure is told by discovery."""
    offered = [each.id for each in KINDS if each.id in session.model()]
    session.note(f"offered: {', '.join(each.rpartition('#')[2] for each in offered)}")
    expect(offered, "no kind of Infrastructure is offered")


@SUITE.check("OCCI-INFRA-002", cases=tuple(_BY_TERM))
def kinds_have_their_parent(session: OcciSession, term: str) -> None:
    """The kind's parent is resource or link, as its document says."""
    kind = _BY_TERM[term]
    told = _offered(session, kind).rel
    expect(told == (kind.above,), f"the parent of {term} is {told!r} and should be {kind.above}")


def _attribute(session: OcciSession, owner: Type, row: Attribute) -> None:
    """Fail unless discovery tells a row of a table, with its flags and (in JSON) its type."""
    if not session.speaks(row.versions):
        raise Absent(f"{row.name} is of OCCI {', '.join(row.versions)}, which the endpoint does not claim")
    told = _offered(session, owner).properties.get(row.name)
    if told is None:
        fail(f"{owner.id} does not tell the attribute {row.name}")
    flag = "mutable" if row.mutable else "immutable"
    expect(told.mutable == row.mutable, f"{row.name} should be {flag}, and is told to be otherwise")
    try:
        described = session.detailed().get(owner.id)
    except Absent:
        return
    found = described.properties.get(row.name) if described is not None else None
    if found is None:
        fail(f"JSON does not tell the attribute {row.name} of {owner.id}")
    expect(found.type == row.type, f"{row.name} is told to be a {found.type}, and should be a {row.type}")


@SUITE.check("OCCI-INFRA-079", "OCCI-INFRA-080", cases=("ssh_key", "user_data"))
def context_mixins_are_offered(session: OcciSession, term: str) -> None:
    """The mixins ssh_key and user_data are offered where 1.2 is spoken."""
    if not session.speaks(("1.2",)):
        raise Absent("the endpoint does not claim OCCI 1.2")
    found = [each for each in MIXINS if each.id.endswith(f"#{term}")]
    expect(found[0].id in session.model(), f"{found[0].id} is not offered")


_OWNERS = (*KINDS, *MIXINS, *FEDERATION)
_ATTRIBUTES = {row.name: (owner, row) for owner in _OWNERS for row in owner.attributes}
_ACTIONS = {
    f"{owner.id.rpartition('#')[2]} {row.id.rpartition('#')[2]}": (owner, row)
    for owner in _OWNERS
    for row in owner.actions
}


@SUITE.check(cases={name: owner.requirement for name, (owner, _) in _ATTRIBUTES.items()})
def attributes_are_told(session: OcciSession, name: str) -> None:
    """Discovery tells the attribute, whether it is mutable, and its type."""
    _attribute(session, *_ATTRIBUTES[name])


@SUITE.check(cases={name: owner.requirement for name, (owner, _) in _ACTIONS.items()})
def actions_are_told(session: OcciSession, name: str) -> None:
    """Discovery tells the action, that the kind has it, and its parameters."""
    owner, row = _ACTIONS[name]
    if not session.speaks(row.versions):
        raise Absent(f"{row.id} is of OCCI {', '.join(row.versions)}, which the endpoint does not claim")
    expect(row.id in _offered(session, owner).actions, f"{owner.id} does not have the action {row.id}")
    told = session.model().get(row.id)
    if told is None or told.class_ != "action":
        fail(f"{row.id} is not told as an action")
    known = sorted(told.properties)
    expect(known == sorted(row.parameters), f"{row.id} takes {known!r}, and should {row.parameters!r}")


@SUITE.check(cases={each.id.rpartition("#")[2]: each.requirement for each in MIXINS})
def mixins_apply_to_their_kind(session: OcciSession, term: str) -> None:
    """The mixin applies to its kind, and to no other."""
    mixin = next(each for each in MIXINS if each.id.endswith(f"#{term}"))
    session.category(mixin.id)
    told = session.detail(mixin.id).applies
    expect(told == (mixin.applies,), f"{mixin.id} applies to {told!r} and should to {mixin.applies}")


@SUITE.check(cases={each.id.rpartition("#")[2]: each.requirement for each in MIXINS})
def mixins_have_their_identifier(session: OcciSession, term: str) -> None:
    """What declares the attributes of the mixin is identified as the standard says."""
    mixin = next(each for each in MIXINS if each.id.endswith(f"#{term}"))
    names = {row.name for row in mixin.attributes}
    declaring = [each.id for each in session.model().values() if names & set(each.properties)]
    if not declaring:
        raise Absent(f"{mixin.id} is not offered")
    expect(
        declaring == [mixin.id], f"{', '.join(sorted(names))} are of {declaring}, and should be {mixin.id}"
    )


# Instances ----------------------------------------------------------------------------------------------


def _rows(found: Entity) -> list[Attribute]:
    """The tables' rows for an instance: those of its kind, the kind's parents, and its mixins."""
    known = {each.id: each for each in (*CORE_KINDS, *KINDS, *MIXINS)}
    chain = [found.kind]
    while known.get(chain[-1]) is not None and known[chain[-1]].above:
        chain.append(known[chain[-1]].above)
    types = [known[each] for each in (*chain, *found.mixins) if each in known]
    return [row for each in types for row in each.attributes]


@SUITE.check(
    "OCCI-INFRA-003", changes=True, cases=tuple(f"{kind}, {m}" for kind in _BY_TERM for m in DESCRIBING)
)
def instances_show_what_each_must(session: OcciSession, case: str) -> None:
    """An instance shows each attribute of multiplicity 1, and all that it shows is in range."""
    term, media = case.split(", ")
    kind = _offered(session, _BY_TERM[term])
    path = example(session, kind.id)
    answer = session.send("GET", path, media=media)
    if answer.status == 406:
        raise Absent(f"the endpoint does not speak {media}")
    found = session.read(path, media)
    for row in _rows(found):
        value = found.attributes.get(row.name)
        expect(value is not None or not row.one, f"{row.name} has multiplicity 1 and is not shown")
        strays = row.strays(_whole(row, value)) if value is not None else ""
        expect(not strays, strays)


def _whole(row: Attribute, value: Any) -> Any:
    """The value, or in text the place of an array: text has no arrays."""
    return [] if row.type == "array" and isinstance(value, str) else value


@SUITE.check("OCCI-INFRA-004", changes=True, cases=("compute", "network", "storage"))
def instances_offer_the_actions_of_their_kind(session: OcciSession, term: str) -> None:
    """An instance at rest offers the actions that lead from its state to another."""
    kind = _offered(session, _BY_TERM[term])
    found = session.read(example(session, kind.id))
    state = found.attributes.get(f"occi.{term}.state")
    due = _DUE.get((term, str(state)), ())
    offered = {each.rpartition("#")[2] for each in found.actions}
    for action in due:
        expect(action in offered, f"{term} is {state} and does not offer {action} (only {sorted(offered)})")


@SUITE.check("OCCI-INFRA-022", changes=True)
def networks_show_ipnetwork(session: OcciSession) -> None:
    """A network made with ipnetwork and an address shows both."""
    session.category(IPNETWORK)
    address = "192.168.178.0/24"
    path = spare_network(session, IPNETWORK, **{"occi.network.address": address})
    found = session.read(path)
    expect(IPNETWORK in found.mixins, f"{path} was made with ipnetwork and does not show it")
    told = found.attributes.get("occi.network.address")
    expect(told == address, f"occi.network.address was given as {address} and is {told!r}")
    where = session.location(IPNETWORK)
    expect(path in session.listed(where), f"{path} has ipnetwork and is not in {where}")


@SUITE.check("OCCI-INFRA-022", changes=True)
def addresses_that_are_none_are_refused(session: OcciSession) -> None:
    """A network whose address is no range is refused."""
    session.category(IPNETWORK)
    wanted = Wanted(
        kind=NETWORK,
        mixins=(IPNETWORK,),
        attributes={"occi.core.title": session.name("network"), "occi.network.address": "nowhere/24"},
    )
    answer = session.send("POST", session.location(NETWORK), wanted)
    if answer.status == 201:
        session.made(answer)
    expect(refusal(answer), f"a network with the address nowhere/24: expected a refusal, got {answer}")


@SUITE.check("OCCI-INFRA-042", changes=True)
def interfaces_show_ipnetworkinterface(session: OcciSession) -> None:
    """An interface of a machine in a network shows its address and how it got it."""
    session.category(IPNETWORKINTERFACE)
    found = session.read(dressed(session).link(session, NETWORKINTERFACE))
    if IPNETWORKINTERFACE not in found.mixins:
        raise Absent("the interface has no address by ipnetworkinterface")
    for row in type_of(IPNETWORKINTERFACE).attributes:
        value = found.attributes.get(row.name)
        expect(value is not None or not row.one, f"{row.name} is not shown")
        strays = row.strays(value) if value is not None else ""
        expect(not strays, strays)
