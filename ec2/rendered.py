"""Instances as listings need them: typed for filters and already written as XML, kept by id and version.

A row's version rises with everything that is shown of it, tags, volumes and interfaces included, so an entry
is right exactly as long as its version is the row's. Nothing that depends on the time of a call is kept. The
cache is one for the process; it holds instances of all tenants, and which of them a caller sees is decided by
the engine's keys alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter

import msgspec

from backend.engine import Engine, InstanceKey, InstanceQuery
from backend.model import Caller, Instance, Volume
from ec2.instance_mapping import instance_document, interfaces_of
from ec2.interface_mapping import Interface
from ec2.interfaces import interfaces_by_instance
from ec2.mapping import attached, reservation_head, state_name
from ec2.service import EC2
from rendering.query_shapes import ListOf
from rendering.query_xml import Fragment

_CHUNK = 1000
_MARK = Fragment("\0")  # no XML holds it, so it shows where content goes


class Shown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instance with its tags, volumes and interfaces, and what DescribeInstances says of it.

    ``head`` is the start of a reservation that begins with this instance. ``group_name`` is that of its
    placement group, empty for none.
    """

    instance: Instance
    tags: Mapping[str, str]
    volumes: Sequence[Volume]
    interfaces: Sequence[Interface]
    state: str
    xml: Fragment
    head: str
    group_name: str = ""


class _Templates(msgspec.Struct, frozen=True):
    """How a reservation's instances are put together, taken from the compiled writers."""

    between: str
    tail: str
    item_open: str
    item_close: str


_instance_xml = EC2.fragment("Instance")
_reservation_xml = EC2.fragment("Reservation")


def show(
    instance: Instance,
    tags: Mapping[str, str],
    volumes: Sequence[Volume] = (),
    interfaces: Sequence[Interface] = (),
    group_name: str = "",
) -> Shown:
    """Render one instance."""
    reservation = reservation_head(instance.launch_id, instance.account_id) | {"Instances": [_MARK]}
    return Shown(
        instance=instance,
        tags=tags,
        volumes=attached(instance, volumes),
        interfaces=interfaces_of(instance, interfaces),
        state=state_name(instance),
        xml=_instance_xml(instance_document(instance, tags, volumes, interfaces, group_name)),
        head=_templates().item_open + _reservation_xml(reservation).split(_MARK)[0],
        group_name=group_name,
    )


@cache
def _templates() -> _Templates:
    document = reservation_head("", "") | {"Instances": [_MARK, _MARK]}
    _, between, tail = _reservation_xml(document).split(_MARK)
    listing = next(
        member.shape
        for member in EC2.shapes["DescribeInstancesResult"].members
        if member.name == "Reservations"
    )
    assert isinstance(listing, ListOf)
    close = f"</{listing.item_name}>"
    return _Templates(between, tail + close, f"<{listing.item_name}>", close)


def reservations(rows: Iterable[Shown]) -> Fragment:
    """The content of a list of reservations; instances of one launch stand together in the rows."""
    between, tail = _templates().between, _templates().tail
    parts: list[str] = []
    last = ""
    for row in rows:
        launch = row.instance.launch_id
        if launch == last:
            parts.append(between)
        else:
            if last:
                parts.append(tail)
            parts.append(row.head)
            last = launch
        parts.append(row.xml)
    if last:
        parts.append(tail)
    return Fragment("".join(parts))


# Version, time of creation, rendering. A chosen id may come back after its instance was forgotten, and its
# versions begin again; the time tells the two lives apart.
_Entry = tuple[int, float, Shown]


class RenderedInstances:
    """The cache: at most ``limit`` entries, those used least recently go first.

    Two generations instead of a linked list: what is found in the old one moves to the young one, and when
    the young one is full it becomes the old one. All steps are single dictionary operations, so threads need
    no lock; the worst of a race is an entry rendered twice.
    """

    def __init__(self, limit: int, *, public_domain: str = "") -> None:
        self._public_domain = public_domain
        self._half = max(limit // 2, 1)
        self._young: dict[str, _Entry] = {}
        self._old: dict[str, _Entry] = {}

    def rows(self, engine: Engine, caller: Caller, keys: Sequence[InstanceKey]) -> list[Shown]:
        """What the keys stand for, in their order; an instance that went meanwhile is left out."""
        young = self._young
        found: dict[str, Shown] = {}
        missing: list[str] = []
        for key in keys:
            entry = young.get(key.id) or self._promoted(key.id)
            if entry is not None and entry[0] == key.version and entry[1] == key.created_at:
                found[key.id] = entry[2]
            else:
                missing.append(key.id)
        if not missing:
            return list(found.values())
        for start in range(0, len(missing), _CHUNK):
            found.update(self._render(engine, caller, tuple(missing[start : start + _CHUNK])))
        return [found[key.id] for key in keys if key.id in found]

    def _promoted(self, instance_id: str) -> _Entry | None:
        entry = self._old.get(instance_id)
        if entry is not None:
            self._keep(instance_id, entry)
        return entry

    def _keep(self, instance_id: str, entry: _Entry) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[instance_id] = entry

    def _render(self, engine: Engine, caller: Caller, ids: tuple[str, ...]) -> dict[str, Shown]:
        # Rows first: what is read later is at least as new as the version it is kept under.
        instances = engine.instances(caller, InstanceQuery(ids=ids))
        known = [instance.id for instance in instances]
        tags, volumes = engine.tags_of(known), engine.disks_of(known)
        interfaces = interfaces_by_instance(engine, caller, known, public_domain=self._public_domain)
        groups = engine.group_names(instances)
        made = {
            each.id: show(
                each,
                tags.get(each.id, {}),
                volumes.get(each.id, ()),
                interfaces.get(each.id, ()),
                groups.get(each.group_id, ""),
            )
            for each in instances
        }
        for instance_id, shown in made.items():
            self._keep(instance_id, (shown.instance.version, shown.instance.created_at, shown))
        return made


def by_launch(rows: Iterable[Shown]) -> list[list[Shown]]:
    """Rows grouped into reservations."""
    return [list(group) for _, group in groupby(rows, key=attrgetter("instance.launch_id"))]
