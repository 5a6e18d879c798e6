"""Checks of what networks and storage do: up and down, online and offline, resize, snapshot, backup."""

from __future__ import annotations

import re

from conformance.checks import Absent, expect
from conformance.occi import grammar
from conformance.occi.aids import TITLE, nothing_made, unchanged
from conformance.occi.cast import accepted, act, refusal, spare_disk, spare_network, stable
from conformance.occi.documents import DESCRIBING, NETWORK, PLAIN, STORAGE
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import BACKUP, DOWN, OFFLINE, ONLINE, RESIZE, SNAPSHOT, UP

_NETWORK_STATE, _STORAGE_STATE, _SIZE = "occi.network.state", "occi.storage.state", "occi.storage.size"


def _network(session: OcciSession, state: str) -> str:
    """A network of the check's own in a state."""
    path = spare_network(session)
    if session.read(path).attributes.get(_NETWORK_STATE) != state:
        act(session, path, UP if state == "active" else DOWN)
        session.state(path, _NETWORK_STATE, state, due=True)
    return path


def _storage(session: OcciSession, state: str) -> str:
    """Storage of the check's own in a state."""
    path = spare_disk(session)
    if session.read(path).attributes.get(_STORAGE_STATE) != state:
        act(session, path, ONLINE if state == "online" else OFFLINE)
        session.state(path, _STORAGE_STATE, state, due=True)
    return path


@SUITE.check("OCCI-INFRA-020", changes=True, cases=DESCRIBING)
def networks_go_down_and_up(session: OcciSession, media: str) -> None:
    """Action down makes a network inactive, up makes it active, and each is offered when it applies."""
    session.category(DOWN)
    path = _network(session, "active")
    for action, state, other in ((DOWN, "inactive", UP), (UP, "active", DOWN)):
        act(session, path, action, media)
        session.state(path, _NETWORK_STATE, state, due=True)
        stable(session, path, other)
        offered = session.read(path).actions
        expect(other in offered and action not in offered, f"a network that is {state} offers {offered}")


@SUITE.check("OCCI-INFRA-020", changes=True, cases=("up", "down"))
def networks_refuse_what_is_so(session: OcciSession, term: str) -> None:
    """Action up of what is active, or down of what is inactive, changes nothing."""
    action, state = (UP, "active") if term == "up" else (DOWN, "inactive")
    session.category(action)
    path = _network(session, state)
    answer = session.act(path, action)
    expect(refusal(answer) or accepted(answer), f"{term} of a network that is {state}: {answer}")
    now = session.read(path).attributes.get(_NETWORK_STATE)
    expect(now == state, f"{term} of a network that is {state} made it {now}")


@SUITE.check("OCCI-INFRA-020", changes=True, cases=("-1", "4096"))
def vlans_are_in_range(session: OcciSession, vlan: str) -> None:
    """A VLAN that is no number from 0 to 4095 is refused."""
    told = session.category(NETWORK).properties.get("occi.network.vlan")
    if told is None or not told.mutable:
        raise Absent("occi.network.vlan cannot be set")
    path = spare_network(session)
    with unchanged(session, path):
        answer = session.update(path, NETWORK, attributes={"occi.network.vlan": int(vlan)})
        expect(refusal(answer), f"the VLAN {vlan}: expected a refusal, got {answer}")


@SUITE.check("OCCI-INFRA-030", changes=True, cases=DESCRIBING)
def storage_goes_offline_and_online(session: OcciSession, media: str) -> None:
    """Action offline makes storage offline, online makes it online, and each is offered when it applies."""
    session.category(OFFLINE)
    path = _storage(session, "online")
    for action, state, other in ((OFFLINE, "offline", ONLINE), (ONLINE, "online", OFFLINE)):
        act(session, path, action, media)
        session.state(path, _STORAGE_STATE, state, due=True)
        stable(session, path, other)
        offered = session.read(path).actions
        expect(other in offered and action not in offered, f"storage that is {state} offers {offered}")


@SUITE.check("OCCI-INFRA-030", changes=True)
def storage_has_the_size_asked_for(session: OcciSession) -> None:
    """Storage is at least as large as asked for, and has a state."""
    path = spare_disk(session, **{_SIZE: 2.0})
    told = str(session.read(path).attributes.get(_SIZE))
    is_number = re.fullmatch(r"[0-9]+(?:\.[0-9]*)?", told) is not None
    expect(is_number and 2.0 <= float(told) < 4.0, f"asked for 2.0 GiB, it shows {told}")


@SUITE.check("OCCI-INFRA-030", changes=True, cases=("-1", '"large"'))
def sizes_are_sizes(session: OcciSession, size: str) -> None:
    """A size that is none is refused."""
    title = session.name("storage")
    lines = (
        f"Category: {grammar.named(STORAGE, 'kind')}",
        f'X-OCCI-Attribute: {TITLE}="{title}"',
        f"X-OCCI-Attribute: {_SIZE}={size}",
    )
    with nothing_made(session, STORAGE, title):
        where, body = session.location(STORAGE), "\n".join(lines).encode()
        answer = session.send("POST", where, headers={"Content-Type": PLAIN}, body=body)
        expect(refusal(answer), f"{_SIZE}={size}: expected a refusal, got {answer}")


@SUITE.check("OCCI-INFRA-031", changes=True, cases=DESCRIBING)
def storage_is_resized_by_update(session: OcciSession, media: str) -> None:
    """An update of the size resizes the storage."""
    if not session.speaks(("1.2",)):
        raise Absent("the endpoint does not claim OCCI 1.2")
    path = _storage(session, "online")
    answer = session.update(path, STORAGE, media, attributes={_SIZE: 3.0})
    session.ok(answer, "updating the size to 3.0", 200, 201)
    _grows(session, path, 3.0)


@SUITE.check("OCCI-INFRA-032")
def storage_has_the_actions_of_old(session: OcciSession) -> None:
    """Discovery tells that storage has backup, snapshot and resize, where 1.1 is spoken."""
    if not session.speaks(("1.1",)):
        raise Absent("the endpoint does not claim OCCI 1.1")
    told = session.category(STORAGE).actions
    lacking = [each for each in (BACKUP, SNAPSHOT, RESIZE) if each not in told]
    expect(not lacking, f"storage lacks the actions {', '.join(lacking)}")


@SUITE.check("OCCI-INFRA-032", changes=True, cases=DESCRIBING)
def storage_is_resized_by_action(session: OcciSession, media: str) -> None:
    """Action resize of 1.1 resizes the storage."""
    session.category(RESIZE)
    path = _storage(session, "online")
    act(session, path, RESIZE, media, size=2.0)
    _grows(session, path, 2.0)


def _grows(session: OcciSession, path: str, size: float) -> None:
    session.until(
        f"the size {size} of {path}",
        lambda: session.read(path).attributes.get(_SIZE) == size or None,
        within=30,
        due=True,
    )
    session.state(path, _STORAGE_STATE, "online", due=True)


@SUITE.check("OCCI-INFRA-032", changes=True)
def resize_needs_a_size(session: OcciSession) -> None:
    """Action resize without its size, which is required, is refused and changes nothing."""
    session.category(RESIZE)
    path = _storage(session, "online")
    stable(session, path, RESIZE)
    with unchanged(session, path):
        answer = session.act(path, RESIZE)
        expect(refusal(answer), f"resize without a size: expected a refusal, got {answer}")


@SUITE.check("OCCI-INFRA-032", changes=True, cases=("backup", "snapshot"))
def storage_is_copied(session: OcciSession, term: str) -> None:
    """Actions backup and snapshot of 1.1 are carried out, and the storage is online again."""
    action = BACKUP if term == "backup" else SNAPSHOT
    session.category(action)
    path = _storage(session, "online")
    act(session, path, action)
    session.state(path, _STORAGE_STATE, "online", due=True)
    stable(session, path, OFFLINE)
