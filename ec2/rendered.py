"""What listings show, already written as XML.

Instances are kept by id and version, typed for filters, too. A row's version rises with everything that is
shown of it, tags, volumes and interfaces included, so an entry is right exactly as long as its version is the
row's. Nothing that depends on the time of a call is kept. A cache is one for the process; it holds things of
all tenants, and which of them a caller sees is decided by the engine alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, TypeVar

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

E = TypeVar("E")
R = TypeVar("R")
Document = dict[str, Any]
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


class _Kept(Generic[E]):
    """At most ``limit`` entries, those used least recently go first.

    Two generations instead of a linked list: what is found in the old one moves to the young one, and when
    the young one is full it becomes the old one. All steps are single dictionary operations, so threads need
    no lock; the worst of a race is an entry made twice.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._young: dict[str, E] = {}
        self._old: dict[str, E] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: str) -> E | None:
        """The entry of a key."""
        entry = self._young.get(key)
        if entry is not None:
            return entry
        entry = self._old.get(key)
        if entry is not None:
            self.put(key, entry)
        return entry

    def put(self, key: str, entry: E) -> None:
        """Keep an entry."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = entry


@cache
def writer(shape: str) -> Callable[[Mapping[str, Any]], Fragment]:
    """What writes one structure of EC2's, for example ``Volume``."""
    return EC2.fragment(shape)


class Fragments:
    """Other things as they were written last, for all tenants, at most ``limit``.

    An entry is kept with all that it was written from, and is right exactly as long as that is the same:
    nothing has to be told of a change.
    """

    def __init__(self, limit: int) -> None:
        self._kept: _Kept[tuple[object, Fragment]] = _Kept(limit)

    def of(
        self, shape: str, rows: Iterable[R], identity: Callable[[R], str], tell: Callable[[R], Document]
    ) -> list[Fragment]:
        """Rows as XML of a shape; ``tell`` makes the document of one, of nothing but the row."""
        found = []
        for row in rows:
            key = identity(row)
            entry = self._kept.get(key)
            if entry is None or entry[0] != row:
                entry = (row, writer(shape)(tell(row)))
                self._kept.put(key, entry)
            found.append(entry[1])
        return found


class RenderedInstances:
    """Instances as they were written last, for all tenants, at most ``limit``."""

    def __init__(self, limit: int, *, public_domain: str = "") -> None:
        self._public_domain = public_domain
        self._kept: _Kept[_Entry] = _Kept(limit)

    def rows(self, engine: Engine, caller: Caller, keys: Sequence[InstanceKey]) -> list[Shown]:
        """What the keys stand for, in their order; an instance that went meanwhile is left out."""
        kept = self._kept.get
        found: dict[str, Shown] = {}
        missing: list[str] = []
        for key in keys:
            entry = kept(key.id)
            if entry is not None and entry[0] == key.version and entry[1] == key.created_at:
                found[key.id] = entry[2]
            else:
                missing.append(key.id)
        if not missing:
            return list(found.values())
        for start in range(0, len(missing), _CHUNK):
            found.update(self._render(engine, caller, tuple(missing[start : start + _CHUNK])))
        return [found[key.id] for key in keys if key.id in found]

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
            self._kept.put(instance_id, (shown.instance.version, shown.instance.created_at, shown))
        return made


def by_launch(rows: Iterable[Shown]) -> list[list[Shown]]:
    """Rows grouped into reservations."""
    return [list(group) for _, group in groupby(rows, key=attrgetter("instance.launch_id"))]
