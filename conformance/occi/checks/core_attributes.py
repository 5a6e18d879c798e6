"""Checks of mutable attributes, one by one: given at creation, changed later (OCCI-CORE-007)."""

from __future__ import annotations

from typing import Any

from conformance.checks import Absent, Value, expect
from conformance.occi.cast import dressed, machine, spare_disk, spare_network
from conformance.occi.documents import (
    COMPUTE,
    NETWORK,
    NETWORKINTERFACE,
    STORAGE,
    STORAGELINK,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import IPNETWORK, IPNETWORKINTERFACE

_TITLE, _SUMMARY = "occi.core.title", "occi.core.summary"


class Change(Value, frozen=True, kw_only=True):
    """An attribute of a kind or mixin, a value given at creation (None: none is) and another."""

    kind: str
    name: str
    first: Any = None
    second: Any = None
    mixin: str = ""

    @property
    def case(self) -> str:
        """What the check of it is called."""
        return f"{self.kind.rpartition('#')[2]}: {self.name}"


_ALL = (
    Change(kind=COMPUTE, name=_TITLE, second="another, title"),
    Change(kind=COMPUTE, name=_SUMMARY, second='a "summary"; with = and \\'),
    Change(kind=COMPUTE, name="occi.compute.hostname", second="other.example.org"),
    Change(kind=COMPUTE, name="occi.compute.architecture", second="x64"),
    Change(kind=COMPUTE, name="occi.compute.cores", second=2),
    Change(kind=COMPUTE, name="occi.compute.memory", second=2.0),
    Change(kind=COMPUTE, name="occi.compute.speed", second=1.5),
    Change(kind=COMPUTE, name="occi.compute.share", second=250),
    Change(kind=STORAGE, name=_TITLE, first="a title", second="another, title"),
    Change(kind=STORAGE, name=_SUMMARY, first="a summary", second='a "summary"; with = and \\'),
    Change(kind=STORAGE, name="occi.storage.size", first=1.0, second=2.0),
    Change(kind=NETWORK, name=_TITLE, first="a title", second="another, title"),
    Change(kind=NETWORK, name=_SUMMARY, first="a summary", second='a "summary"; with = and \\'),
    Change(kind=NETWORK, name="occi.network.vlan", first=17, second=18),
    Change(kind=NETWORK, name="occi.network.label", first="blue", second="green"),
    Change(kind=STORAGELINK, name=_TITLE, first="a title", second="another, title"),
    Change(kind=STORAGELINK, name="occi.storagelink.deviceid"),
    Change(kind=STORAGELINK, name="occi.storagelink.mountpoint", first="/mnt/a", second="/mnt/b"),
    Change(kind=NETWORKINTERFACE, name=_TITLE, first="a title", second="another, title"),
    Change(
        kind=NETWORKINTERFACE,
        name="occi.networkinterface.mac",
        first="52:54:00:c0:ff:01",
        second="52:54:00:c0:ff:02",
    ),
    Change(
        kind=NETWORKINTERFACE,
        name="occi.networkinterface.address",
        mixin=IPNETWORKINTERFACE,
        first="192.168.177.20",
        second="192.168.177.21",
    ),
    Change(kind=NETWORK, name="occi.network.address", mixin=IPNETWORK, first="192.168.177.0/24"),
)
_BY_CASE = {each.case: each for each in _ALL}


def _made(session: OcciSession, change: Change) -> str:
    """An instance with the first value, that may be changed; machines and what links to them are off."""
    given = {} if change.first is None else {change.name: change.first}
    mixins = (change.mixin,) if change.mixin else ()
    if change.kind == STORAGE:
        return spare_disk(session, **given)
    if change.kind == NETWORK:
        return spare_network(session, *mixins, **given)
    source = machine(session, "inactive")
    if change.kind == COMPUTE:
        return source
    if change.kind == STORAGELINK:
        target = spare_disk(session)
    elif change.mixin:
        target = spare_network(session, IPNETWORK, **{"occi.network.address": "192.168.177.0/24"})
    else:
        target = spare_network(session)
    ends = {"occi.core.source": source, "occi.core.target": target}
    return session.create(Wanted(kind=change.kind, mixins=mixins, attributes={**ends, **given}))


def _declared(session: OcciSession, change: Change) -> None:
    """Absent unless the attribute is declared mutable."""
    told = session.category(change.mixin or change.kind).properties.get(change.name)
    if told is None or not told.mutable:
        raise Absent(f"{change.name} is not declared{'' if told is None else ' mutable'}")


@SUITE.check("OCCI-CORE-007", changes=True, cases=tuple(_BY_CASE))
def mutable_attributes_are_given_and_changed(session: OcciSession, case: str) -> None:
    """An attribute that is declared mutable is shown as given at creation, and as changed by an update."""
    change = _BY_CASE[case]
    _declared(session, change)
    path = _made(session, change)
    found = session.read(path)
    value = found.attributes.get(change.name)
    expect(
        change.first is None or _means(value, change.first),
        f"{change.name} was given as {change.first!r} and is shown as {value!r}",
    )
    for mixin in found.mixins:
        told = session.model()[mixin].properties.get(change.name) if mixin in session.model() else None
        if told is not None and not told.mutable:
            raise Absent(f"{mixin} declares {change.name} immutable")
    second = _other(change, value)
    if second is None:
        return
    wanted = {change.name: second}
    answer = session.patiently(lambda: session.update(path, change.kind, attributes=wanted))
    session.ok(answer, f"updating {change.name} to {second!r}", 200, 201)
    session.until(
        f"{change.name} {second!r} of {path}, which an update was granted",
        lambda: _means(session.read(path).attributes.get(change.name), second) or None,
        within=20,
        due=True,
    )
    after = session.read(path)
    lost = [name for name in found.attributes if name not in after.attributes and ".message" not in name]
    expect(not lost, f"an update of {change.name} took away {', '.join(lost)}")


def _means(told: object, value: object) -> bool:
    """Whether a value shown is one given; that a number is shown as one is judged elsewhere."""
    return told == value or str(told) == str(value)


def _other(change: Change, value: object) -> Any:
    """The value to change to: the device that is shown, with another last letter, where that is asked."""
    if change.name == "occi.storagelink.deviceid" and isinstance(value, str):
        return value[:-1] + ("k" if value[-1:] != "k" else "l")
    return change.second


@SUITE.check("OCCI-CORE-007", "OCCI-INFRA-010", changes=True)
def a_machine_shows_what_it_was_given(session: OcciSession) -> None:
    """A machine shows all attributes that it was made with, and all its mixins."""
    given = dressed(session)
    found = session.read(given.path)
    told = {name: found.attributes.get(name) for name in given.wanted.attributes}
    expect(told == dict(given.wanted.attributes), f"given were {given.wanted.attributes}, it shows {told}")
    lost = set(given.wanted.mixins) - set(found.mixins)
    expect(not lost, f"it was made with {', '.join(lost)} and does not show that")
