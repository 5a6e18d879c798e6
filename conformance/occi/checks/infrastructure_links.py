"""Checks of links: made with their machine and alone, their states, their ends, their removal."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi.cast import dressed, machine, refusal, spare_disk, spare_network
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    NETWORK,
    NETWORKINTERFACE,
    STORAGE,
    STORAGELINK,
    Link,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import KINDS

_KINDS = {"networkinterface": NETWORKINTERFACE, "storagelink": STORAGELINK}
_TARGETS = {NETWORKINTERFACE: NETWORK, STORAGELINK: STORAGE}
_CASES = {each.id.rpartition("#")[2]: each.requirement for each in KINDS if each.id in set(_KINDS.values())}
_CASES_IN_EACH = {f"{term}, {media}": _CASES[term] for term in _CASES for media in DESCRIBING}
_SOURCE, _TARGET = "occi.core.source", "occi.core.target"


def _target(session: OcciSession, kind: str) -> str:
    session.category(kind)
    return spare_disk(session) if kind == STORAGELINK else spare_network(session)


def _state(kind: str) -> str:
    return f"occi.{kind.rpartition('#')[2]}.state"


@SUITE.check("OCCI-INFRA-043", changes=True, cases=_CASES)
def links_are_made_with_their_machine(session: OcciSession, term: str) -> None:
    """A link in the description of a new machine is there, shown by the machine, and gets active."""
    kind = _KINDS[term]
    given = dressed(session)
    path = given.link(session, kind)
    found = session.read(path)
    expect(found.kind == kind, f"the link made inline is of {found.kind}, and should be of {kind}")
    target = session.path(str(found.attributes.get(_TARGET)))
    expect(target == (given.disk if kind == STORAGELINK else given.network), f"it leads to {target}")
    source = session.path(str(found.attributes.get(_SOURCE)))
    expect(source == given.path, f"its source is {source} and should be {given.path}")
    session.state(path, _state(kind), "active", due=True)
    expect(path in session.listed(session.location(kind)), f"{path} is not in its kind's collection")


@SUITE.check(changes=True, cases=_CASES_IN_EACH)
def links_are_made_alone(session: OcciSession, case: str) -> None:
    """A link made by its kind, source and target is shown by its source, and is gone when deleted."""
    term, media = case.split(", ")
    kind = _KINDS[term]
    source, target = machine(session, "inactive"), _target(session, kind)
    ends = {_SOURCE: source, _TARGET: target}
    path = session.create(Wanted(kind=kind, attributes=ends), media=media)
    found = session.read(path)
    told = {name: session.path(str(found.attributes.get(name))) for name in ends}
    expect(told == ends, f"made with {ends}, it shows {told}")
    inside = [
        session.path(each.self_) for each in session.read(source).links if session.path(each.target) == target
    ]
    expect(inside == [path], f"{source} shows {inside} to {target}, and should {path}")
    session.deleted(path)
    expect(path not in session.listed(session.location(kind)), f"{path} is deleted and listed")
    session.get(target)


@SUITE.check("OCCI-INFRA-043", changes=True, cases=_CASES)
def links_of_what_is_off_are_inactive(session: OcciSession, term: str) -> None:
    """A link of a machine that is off is inactive."""
    kind = _KINDS[term]
    source, target = machine(session, "inactive"), _target(session, kind)
    path = session.create(Wanted(kind=kind, attributes={_SOURCE: source, _TARGET: target}))
    state = session.read(path).attributes.get(_state(kind))
    expect(state == "inactive", f"the machine is off, and its {term} is {state}")


@SUITE.check("OCCI-INFRA-043", changes=True, cases=_CASES)
def links_to_what_runs_get_active(session: OcciSession, term: str) -> None:
    """A link that is made while the machine runs gets active, or is refused while it runs."""
    kind = _KINDS[term]
    source, target = machine(session, "active"), _target(session, kind)
    ends = {_SOURCE: source, _TARGET: target}
    answer = session.send("POST", session.location(kind), Wanted(kind=kind, attributes=ends))
    if refusal(answer):
        raise Absent(f"a {term} of a machine that runs is refused: {answer}")
    path = session.made(answer)
    session.state(path, _state(kind), "active", due=True)
    session.deleted(path)
    session.get(target)


@SUITE.check(changes=True, cases=_CASES)
def links_are_added_to_a_machine(session: OcciSession, term: str) -> None:
    """A link in an update of a machine is made, and the others stay."""
    kind = _KINDS[term]
    source, target = machine(session, "inactive"), _target(session, kind)
    before = {session.path(each.target) for each in session.read(source).links}
    link = Link(target=target, rel=(_TARGETS[kind],), categories=(kind,))
    session.ok(session.update(source, COMPUTE, links=(link,)), "an update with a link", 200, 201)
    after = {session.path(each.target): each for each in session.read(source).links}
    expect(target in after, f"{source} was given a link to {target} and does not show it")
    expect(before <= set(after), f"an update with a link took away {sorted(before - set(after))}")
    session.deleted(session.path(after[target].self_))


@SUITE.check(changes=True, cases=_CASES)
def links_have_the_right_ends(session: OcciSession, term: str) -> None:
    """A link whose target is of another kind, or whose source is no machine, is refused and not made."""
    kind = _KINDS[term]
    source, target = machine(session, "inactive"), _target(session, kind)
    wrong = _target(session, STORAGELINK if kind == NETWORKINTERFACE else NETWORKINTERFACE)
    for ends in ({_SOURCE: source, _TARGET: wrong}, {_SOURCE: wrong, _TARGET: target}):
        before = session.listed(session.location(kind))
        answer = session.send("POST", session.location(kind), Wanted(kind=kind, attributes=ends))
        expect(refusal(answer), f"a {term} with the ends {ends}: expected a refusal, got {answer}")
        made = set(session.listed(session.location(kind))) - set(before)
        expect(not made, f"a {term} that was refused is there: {made}")


@SUITE.check(changes=True, cases=_CASES)
def links_in_a_machine_that_is_refused(session: OcciSession, term: str) -> None:
    """A machine with a link to what does not exist is refused, and neither is made."""
    kind = _KINDS[term]
    session.category(kind)
    where = session.location(COMPUTE)
    nothing = f"{session.location(_TARGETS[kind])}{session.name('nothing')}"
    link = Link(target=nothing, rel=(_TARGETS[kind],), categories=(kind,))
    before = session.listed(where)
    answer = session.send("POST", where, session.machine_wanted(links=(link,)))
    if not refusal(answer):
        session.made(answer)
    expect(refusal(answer), f"a machine with a {term} to nothing: expected a refusal, got {answer}")
    made = set(session.listed(where)) - set(before)
    expect(not made, f"a machine that was refused is there: {made}")
