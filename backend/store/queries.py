"""Questions to the tables, by noun: each class adds its own to the common row operations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from backend.model import (
    UNPUBLISHED,
    AccessKey,
    BearerToken,
    Capacity,
    Content,
    Debris,
    Event,
    Flavor,
    Host,
    Image,
    ImageState,
    Instance,
    Job,
    KeyPair,
    Picture,
    Placement,
    Reason,
    Reservation,
    Session,
    Snapshot,
    Stay,
    Tag,
    Task,
    TaskKind,
    Tenant,
    TenantRole,
    User,
    UserMixin,
    Value,
    Volume,
    VolumeState,
)
from backend.store import tables
from backend.store.listing import CHUNK, ListedRows, RowQuery, Shape, View, beside, is_tag, own, tagged
from backend.store.network_queries import forget_networks
from backend.store.rows import Rows, columns_of
from backend.store.tables import CURRENT, IN_GROUP, LIVE, OPEN, PRESENT, PUBLIC, SHARED_IMAGE, SHARED_SNAPSHOT

DONE = "done"


class InstanceKey(Value, frozen=True, kw_only=True, gc=False):
    """What identifies one listing entry: a rendering of it may be cached under ``(id, version)``."""

    id: str
    version: int
    launch_id: str
    launch_index: int
    created_at: float


class GroupMember(Value, frozen=True, kw_only=True, gc=False):
    """An instance of a placement group that has not ended: where it is, or None while it waits."""

    group_id: str
    instance_id: str
    zone: str
    partition: int
    host_id: str | None


class Waiting(Value, frozen=True, kw_only=True, gc=False):
    """How many instances of one size wait for a host in a zone; ``disk_gib`` counts their volumes, too."""

    zone: str
    architecture: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    count: int


class InstanceQuery(Value, frozen=True, kw_only=True):
    """Which instances: every condition must hold. ``after`` is the key of the last one of the page before.

    ``done_since``: ended instances are listed only when they ended after this time; None lists none.
    ``equal`` compares columns with any of several values; ``tags`` are (key, values) of which one must match,
    with no values the key must be there.
    """

    tenant_id: str | None = None
    region: str | None = None
    ids: tuple[str, ...] | None = None
    equal: Mapping[str, tuple[Any, ...]] = {}
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    done_since: float | None = None
    after: tuple[float, str, int] | None = None
    limit: int | None = None


class InstanceRows(ListedRows[Instance]):
    """Instances."""

    order: ClassVar[tuple[str, ...]] = ("created_at", "launch_id", "launch_index")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.instance, Instance)

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """Those that have not ended, or after ``since`` when there is one."""
        ended = table.c.ended_at > bindparam("since")
        return [[*own(table, shape), CURRENT, or_(LIVE, ended) if shape.done else LIVE]]

    def keys(self, query: InstanceQuery) -> list[InstanceKey]:
        """The keys of a listing, in its order: oldest first, launches together."""
        return [
            InstanceKey(id=row[0], version=row[1], launch_id=row[2], launch_index=row[3], created_at=row[4])
            for row in self.cells(*_split(query), _KEY)
        ]

    def find(self, query: InstanceQuery) -> list[Instance]:
        """The instances of a listing, in its order."""
        return self.listing(*_split(query))

    def of_launch(self, launch_id: str) -> list[Instance]:
        """The instances of one launch."""
        return self.where(self.table.c.launch_id == launch_id, order=(self.table.c.launch_index,))

    def in_details(self, details: Collection[str], *, limit: int | None = None) -> list[Instance]:
        """Instances in some details, oldest first: the scheduler's queue."""
        c = self.table.c
        return self.where(
            LIVE, c.detail.in_(list(details)), order=(c.created_at, c.launch_index), limit=limit
        )

    def on_host(self, host_id: str) -> list[Instance]:
        """Instances placed on a host."""
        c = self.table.c
        return self.where(LIVE, c.host_id == host_id, order=(c.id,))

    def wished_gone(self) -> list[Instance]:
        """Instances whose end was asked for and that have no job."""
        c = self.table.c
        return self.where(LIVE, c.desired == "gone", c.job_id.is_(None))

    def count_with_image(self, image_id: str) -> int:
        """How many instances that are not done refer to an image."""
        c = self.table.c
        query = select(func.count()).where(c.image_id == image_id, c.detail != DONE)
        return int(self.connection.execute(query).scalar_one())

    def count_of_flavor(self, name: str) -> int:
        """How many instances that are not done have a flavor."""
        c = self.table.c
        query = select(func.count()).where(c.flavor == name, c.detail != DONE)
        return int(self.connection.execute(query).scalar_one())

    def members(self, group_ids: Collection[str]) -> dict[str, list[GroupMember]]:
        """The instances of placement groups that have not ended, by group; empty groups are left out."""
        found: dict[str, list[GroupMember]] = {}
        if not group_ids:
            return found
        for row in self.connection.execute(_MEMBERS, {"groups": list(group_ids)}):
            member = GroupMember(
                group_id=row[0], instance_id=row[1], zone=row[2], partition=row[3], host_id=row[4]
            )
            found.setdefault(member.group_id, []).append(member)
        return found

    def waiting(self, region: str, *, besides: str = "") -> list[Waiting]:
        """What waits for hosts in a region, summed by size: the largest first. The instances of one placement
        group are left out when there is one ``besides``.
        """
        return [
            Waiting(
                zone=row[0],
                architecture=row[1],
                vcpus=row[2],
                memory_mib=row[3],
                disk_gib=row[4] + row[5],
                count=row[6],
            )
            for row in self.connection.execute(
                _waiting(besides=bool(besides)), {"region": region, "besides": besides}
            )
        ]

    def usage(self, tenant_id: str) -> tuple[int, int, int]:
        """Instances, cores and MiB of memory that a tenant uses, summed over its rows (§15)."""
        row = self.connection.execute(_USAGE, {"tenant": tenant_id}).one()
        return int(row[0]), int(row[1]), int(row[2])

    def explain(self, ids: Sequence[str], reason: Reason, why: str) -> None:
        """Note why pending instances wait; those that do not wait any more are left alone."""
        c = self.table.c
        for start in range(0, len(ids), CHUNK):
            waiting = and_(c.id.in_(ids[start : start + CHUNK]), c.detail == "pend", c.desired != "gone")
            self.connection.execute(
                update(self.table)
                .where(waiting)
                .values(reason=reason.value, reason_text=why, version=c.version + 1)
            )

    def count_by_detail(self) -> dict[str, int]:
        """How many instances are in each detail, ended ones left out."""
        c = self.table.c
        query = select(c.detail, func.count()).where(LIVE).group_by(c.detail)
        return {row[0]: int(row[1]) for row in self.connection.execute(query)}

    def archive(self, before: float) -> int:
        """Take instances that ended before a time out of all listings, with what only a listing shows of
        them: console, user data, tags and tag mixins. The rows stay, for accounting. How many.
        """
        c = self.table.c
        ended = select(c.id).where(CURRENT, c.detail == DONE, c.ended_at < before).limit(CHUNK)
        found = list(self.connection.execute(ended).scalars())
        if found:
            for table in (tables.console, tables.context, tables.picture):
                self.connection.execute(delete(table).where(table.c.instance_id.in_(found)))
            for table in (tables.tag, tables.mixin_member, tables.note, tables.chosen_path):
                self.connection.execute(delete(table).where(table.c.resource_id.in_(found)))
            self.connection.execute(update(self.table).where(c.id.in_(found)).values(archived=1))
        return len(found)

    def forget_history(self, before: float) -> None:
        """Remove jobs, events and placements of instances that ended before a time."""
        c = self.table.c
        ended = select(c.id).where(c.archived == 1, c.ended_at < before)
        for table in (tables.job, tables.event, tables.placement):
            self.connection.execute(delete(table).where(table.c.instance_id.in_(ended)))


_KEY = tuple(tables.instance.c[name] for name in InstanceKey.__struct_fields__)


def _split(query: InstanceQuery) -> tuple[View, RowQuery]:
    view = View(tenant_id=query.tenant_id, region=query.region, done_since=query.done_since)
    equal = query.equal if query.ids is None else {**query.equal, "id": query.ids}
    return view, RowQuery(equal=equal, tags=query.tags, after=query.after, limit=query.limit)


_MEMBERS = select(
    tables.instance.c.group_id,
    tables.instance.c.id,
    tables.instance.c.zone,
    tables.instance.c.partition,
    tables.instance.c.host_id,
).where(IN_GROUP, tables.instance.c.group_id.in_(bindparam("groups", expanding=True)))


@cache
def _waiting(*, besides: bool) -> Select[Any]:
    c = tables.instance.c
    size = (c.zone, c.architecture, c.vcpus, c.memory_mib, c.root_gib, c.ephemeral_gib)
    wanted = and_(LIVE, c.detail == "pend", c.desired != "gone", c.region == bindparam("region"))
    if besides:
        wanted = and_(wanted, c.group_id != bindparam("besides"))
    return select(*size, func.count()).where(wanted).group_by(*size).order_by(c.memory_mib.desc(), *size)


_USAGE = select(
    func.count(),
    func.coalesce(func.sum(tables.instance.c.vcpus), 0),
    func.coalesce(func.sum(tables.instance.c.memory_mib), 0),
).where(tables.instance.c.tenant_id == bindparam("tenant"), LIVE)


class JobRows(Rows[Job]):
    """Jobs."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.job, Job)

    def open(self) -> list[Job]:
        """Jobs that have not ended."""
        c = self.table.c
        return self.where(OPEN, order=(c.created_at,))

    def of_instance(self, instance_id: str) -> list[Job]:
        """All jobs of an instance, oldest first."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, order=(c.created_at, c.id))

    def recent(self, tenant_id: str | None, limit: int) -> list[Job]:
        """The newest jobs, newest first."""
        c, i = self.table.c, tables.instance.c
        mine = (
            true() if tenant_id is None else c.instance_id.in_(select(i.id).where(i.tenant_id == tenant_id))
        )
        return self.where(mine, order=(c.created_at.desc(),), limit=limit)

    def busy_elsewhere(self, instance_id: str, job_id: str) -> list[Job]:
        """Other jobs of an instance that are inside a step right now."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, c.id != job_id, c.busy != "")

    def release(self, executor: str) -> int:
        """Forget the steps a dead executor was in."""
        c = self.table.c
        return self.connection.execute(update(self.table).where(c.busy == executor).values(busy="")).rowcount


class PlacementRows(Rows[Placement]):
    """Placements."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.placement, Placement)

    def open_of(self, instance_id: str) -> list[Placement]:
        """Open placements of an instance, oldest epoch first."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, c.closed_at.is_(None), order=(c.epoch,))

    def of(self, instance_id: str) -> list[Placement]:
        """All placements of an instance."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, order=(c.epoch,))

    def open_on(self, host_id: str) -> list[Placement]:
        """Open placements on a host."""
        c = self.table.c
        return self.where(c.host_id == host_id, c.closed_at.is_(None))

    def close(self, placement: Placement, at: float, proof: str) -> None:
        """Close a placement with its proof (lifecycle §5.4)."""
        self.update(placement, closed_at=at, closed_by=proof)

    def forget_host(self, host_id: str) -> int:
        """Remove the closed placements of a host that is to be deleted."""
        return self.delete_where(and_(self.table.c.host_id == host_id, self.table.c.closed_at.is_not(None)))

    def last_epoch(self, instance_id: str) -> int:
        """The highest epoch of an instance, 0 when it never had one."""
        c = self.table.c
        query = select(func.coalesce(func.max(c.epoch), 0)).where(c.instance_id == instance_id)
        return int(self.connection.execute(query).scalar_one())


class ReservationRows(Rows[Reservation]):
    """Capacity claims."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.reservation, Reservation)

    def used(self, host_ids: Collection[str] | None = None) -> dict[str, Capacity]:
        """What is reserved on each host (or on some), and the volumes that are there."""
        c, v = self.table.c, tables.volume.c
        claims: ColumnElement[bool] = true()
        volumes: ColumnElement[bool] = v.host_id.is_not(None)
        if host_ids is not None:
            claims, volumes = c.host_id.in_(host_ids), v.host_id.in_(host_ids)
        query = select(c.host_id, func.sum(c.cpu), func.sum(c.memory_mib), func.sum(c.disk_gib))
        found = {
            row[0]: Capacity(cpu=int(row[1]), memory_mib=int(row[2]), disk_gib=int(row[3]))
            for row in self.connection.execute(query.where(claims).group_by(c.host_id))
        }
        there = select(v.host_id, func.sum(v.size_gib)).where(volumes).group_by(v.host_id)
        for host_id, gib in self.connection.execute(there):
            found[host_id] = found.get(host_id, Capacity()).plus(Capacity(disk_gib=int(gib)))
        return found

    def used_on(self, host_id: str) -> Capacity:
        """What is reserved on one host, with the volumes that are there."""
        c, v = self.table.c, tables.volume.c
        claims = select(
            func.coalesce(func.sum(c.cpu), 0),
            func.coalesce(func.sum(c.memory_mib), 0),
            func.coalesce(func.sum(c.disk_gib), 0),
        ).where(c.host_id == host_id)
        cpu, memory, disk = self.connection.execute(claims).one()
        volumes = select(func.coalesce(func.sum(v.size_gib), 0)).where(v.host_id == host_id)
        there = self.connection.execute(volumes).scalar_one()
        return Capacity(cpu=int(cpu), memory_mib=int(memory), disk_gib=int(disk) + int(there))

    def of(self, instance_id: str) -> list[Reservation]:
        """Claims of an instance."""
        return self.where(self.table.c.instance_id == instance_id)

    def on(self, host_id: str) -> list[Reservation]:
        """Claims on a host."""
        return self.where(self.table.c.host_id == host_id)

    def release(self, instance_id: str) -> None:
        """Give all claims of an instance back."""
        self.delete_where(self.table.c.instance_id == instance_id)


class HostRows(Rows[Host]):
    """Hosts."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.host, Host)

    def by_uri(self, uri: str) -> Host | None:
        """The host of a URI."""
        found = self.where(self.table.c.uri == uri)
        return found[0] if found else None


class ImageRows(ListedRows[Image]):
    """Images."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.image, Image)

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """A tenant's own, and of others what is ready, published, and public or shared with the account."""
        if not shape.scoped:
            return [[PRESENT]]
        c = table.c
        foreign = [
            PRESENT,
            c.state != ImageState.DISABLED.value,
            c.publication.not_in([each.value for each in UNPUBLISHED]),
        ]
        shared = c.launch_accounts.contains(bindparam("account"), escape="/")
        return [[*own(table, shape), PRESENT], [*foreign, PUBLIC], [*foreign, SHARED_IMAGE, shared]]

    def visible(self, tenant_id: str, account_id: str) -> list[Image]:
        """Images that a tenant may see, oldest first."""
        return self.listing(View(tenant_id=tenant_id, account_id=account_id), RowQuery())

    def gone(self) -> list[Image]:
        """Deregistered images whose row is still there."""
        return self.where(self.table.c.state == ImageState.GONE.value)

    def with_checksum(self, checksum: str) -> list[Image]:
        """Images with the same bytes, those that are gone left out."""
        c = self.table.c
        return self.where(c.checksum == checksum, c.state != ImageState.GONE.value)

    def of_snapshot(self, snapshot_id: str) -> list[Image]:
        """Images that a snapshot is a disk of, those that are gone left out."""
        c = self.table.c
        named = c.mappings.contains(f'"{snapshot_id}"', autoescape=True)
        return self.where(
            c.state != ImageState.GONE.value, or_(c.snapshot_id == snapshot_id, named), order=(c.created_at,)
        )

    def of_line(self, tenant_id: str, line: str) -> list[Image]:
        """The versions of a product line, oldest first; purged ones too."""
        c = self.table.c
        return self.where(c.tenant_id == tenant_id, c.line == line, order=(c.line_version,))


class ContentRows(Rows[Content]):
    """Contents of the image store."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.content, Content)

    def put(self, content: Content) -> Content:
        """Keep a content; the one that is there already when there is, unless its file went."""
        known = self.lock(content.checksum)
        if known is None:
            self.insert(content)
            return content
        if known.path:
            return known
        return self.update(known, path=content.path, parent=content.parent, format=content.format)

    def chain(self, checksum: str) -> list[Content]:
        """A content and those that it tells the difference to, nearest first; empty when unknown."""
        found: list[Content] = []
        while checksum and (content := self.get(checksum)) is not None:
            found.append(content)
            checksum = content.parent
        return found

    def unused(self) -> list[Content]:
        """Contents that nothing refers to: no image, no snapshot, no volume yet to be made, no difference."""
        return self.where(*self._unreferred(), order=(self.table.c.created_at,))

    def is_unused(self, checksum: str) -> bool:
        """Whether nothing refers to one content, which may be unknown."""
        return bool(self.where(self.table.c.checksum == checksum, *self._unreferred()))

    def _unreferred(self) -> list[ColumnElement[bool]]:
        checksum, i, s, v = self.table.c.checksum, tables.image.c, tables.snapshot.c, tables.volume.c
        child = tables.content.alias("child").c
        return [
            ~exists().where(i.checksum == checksum, i.state != ImageState.GONE.value),
            ~exists().where(s.content == checksum),
            ~exists().where(v.content == checksum, or_(v.made.is_(False), v.boot.is_(True))),
            ~exists().where(child.parent == checksum),
        ]


class VolumeRows(ListedRows[Volume]):
    """Volumes."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.volume, Volume)

    def of_tenant(self, tenant_id: str | None, region: str | None) -> list[Volume]:
        """Volumes of a tenant in a region, oldest first; None is any."""
        return self.listing(View(tenant_id=tenant_id, region=region), RowQuery())

    def of_instance(self, instance_id: str) -> list[Volume]:
        """The volumes of an instance, the root first, then by target."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, order=(c.boot.desc(), c.target))

    def of_instances(self, ids: Sequence[str]) -> dict[str, list[Volume]]:
        """The volumes of some instances, the root first, then by target."""
        c = self.table.c
        found: dict[str, list[Volume]] = {}
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            for item in self.where(c.instance_id.in_(part), order=(c.boot.desc(), c.target)):
                found.setdefault(str(item.instance_id), []).append(item)
        return found

    def on_host(self, host_id: str) -> list[Volume]:
        """Volumes whose bytes are on a host, or are to be."""
        c = self.table.c
        return self.where(c.host_id == host_id, order=(c.id,))

    def usage(self, tenant_id: str) -> tuple[int, int]:
        """Volumes and GiB that a tenant has."""
        c = self.table.c
        query = select(func.count(), func.coalesce(func.sum(c.size_gib), 0)).where(c.tenant_id == tenant_id)
        row = self.connection.execute(query).one()
        return int(row[0]), int(row[1])

    def count_by_state(self) -> dict[str, int]:
        """How many volumes are in each state."""
        c = self.table.c
        query = select(c.state, func.count()).group_by(c.state)
        return {row[0]: int(row[1]) for row in self.connection.execute(query)}

    def in_state(self, state: VolumeState) -> list[Volume]:
        """Volumes in a state."""
        return self.where(self.table.c.state == state.value)

    def to_be_made_of(self, snapshot_id: str) -> list[Volume]:
        """Volumes that are yet to be made of a snapshot."""
        c = self.table.c
        return self.where(c.snapshot_id == snapshot_id, c.made.is_(False))


class SnapshotRows(ListedRows[Snapshot]):
    """Snapshots."""

    order: ClassVar[tuple[str, ...]] = ("started_at", "id")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.snapshot, Snapshot)

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """A tenant's own, and what is public or shared with the account."""
        if not shape.scoped:
            return [own(table, shape)]
        shared = table.c.accounts.contains(bindparam("account"), escape="/")
        there = [beside(table.c.region, shape) == bindparam("region")] if shape.regional else []
        return [own(table, shape), [*there, PUBLIC], [*there, SHARED_SNAPSHOT, shared]]

    def visible(self, tenant_id: str | None, account_id: str, region: str | None) -> list[Snapshot]:
        """Snapshots that a tenant may see, oldest first."""
        return self.listing(View(tenant_id=tenant_id, account_id=account_id, region=region), RowQuery())

    def of_volume(self, volume_id: str) -> list[Snapshot]:
        """Snapshots of a volume, oldest first."""
        c = self.table.c
        return self.where(c.volume_id == volume_id, order=(c.started_at, c.id))

    def count(self, tenant_id: str) -> int:
        """How many a tenant has."""
        c = self.table.c
        query = select(func.count()).where(c.tenant_id == tenant_id)
        return int(self.connection.execute(query).scalar_one())

    def count_by_state(self) -> dict[str, int]:
        """How many snapshots are in each state."""
        c = self.table.c
        query = select(c.state, func.count()).group_by(c.state)
        return {row[0]: int(row[1]) for row in self.connection.execute(query)}


class TaskRows(Rows[Task]):
    """Storage work."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.task, Task)

    def open(self) -> list[Task]:
        """Tasks that have not ended, oldest first."""
        c = self.table.c
        return self.where(OPEN, order=(c.created_at, c.id))

    def open_of_instance(self, instance_id: str) -> list[Task]:
        """Tasks for an instance's job that have not ended, in the order accepted."""
        c = self.table.c
        return self.where(OPEN, c.instance_id == instance_id, order=(c.created_at, c.id))

    def open_with_lock(self, lock: str) -> list[Task]:
        """Tasks with a lock that have not ended, in the order accepted."""
        c = self.table.c
        return self.where(OPEN, c.lock == lock, order=(c.created_at, c.id))

    def open_of_resource(self, resource_id: str) -> list[Task]:
        """Tasks about a resource that have not ended, in the order accepted."""
        c = self.table.c
        return self.where(OPEN, c.resource_id == resource_id, order=(c.created_at, c.id))

    def of(self, tenant_id: str | None, kinds: Sequence[TaskKind], limit: int) -> list[Task]:
        """The newest tasks of a tenant (None: of all) of some kinds (none: any), newest first."""
        c = self.table.c
        conditions: list[ColumnElement[bool]] = []
        if tenant_id is not None:
            conditions.append(c.tenant_id == tenant_id)
        if kinds:
            conditions.append(c.kind.in_([kind.value for kind in kinds]))
        return self.where(*conditions, order=(c.created_at.desc(), c.id), limit=limit)

    def release(self, executor: str) -> int:
        """Forget the steps a dead executor was in."""
        c = self.table.c
        return self.connection.execute(update(self.table).where(c.busy == executor).values(busy="")).rowcount

    def forget_before(self, before: float) -> int:
        """Remove tasks that ended before a time."""
        return self.delete_where(self.table.c.finished_at < before)


class KeyPairRows(ListedRows[KeyPair]):
    """Key pairs, whose names are those of a region."""

    order: ClassVar[tuple[str, ...]] = ("name", "region", "id")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.key_pair, KeyPair)

    def of_tenant(self, tenant_id: str, region: str | None = None) -> list[KeyPair]:
        """A tenant's key pairs by name, of one region or of all."""
        return self.listing(View(tenant_id=tenant_id, region=region), RowQuery())

    def named(self, tenant_id: str, region: str, name: str) -> KeyPair | None:
        """One key pair by name."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.region == region, c.name == name)
        return found[0] if found else None

    def count(self, tenant_id: str) -> int:
        """How many a tenant has in all regions."""
        query = select(func.count()).where(self.table.c.tenant_id == tenant_id)
        return int(self.connection.execute(query).scalar_one())


@cache
def _one_tag() -> Delete:
    c = tables.tag.c
    at = and_(c.resource_id == bindparam("of_resource"), c.key == bindparam("of_key"))
    return delete(tables.tag).where(at)


_OF_REGIONS: Mapping[str, Table] = {
    "instance": tables.instance,
    "key-pair": tables.key_pair,
    "volume": tables.volume,
    "snapshot": tables.snapshot,
    "vpc": tables.vpc,
    "subnet": tables.subnet,
    "route-table": tables.route_table,
    "internet-gateway": tables.internet_gateway,
    "natgateway": tables.nat_gateway,
    "dhcp-options": tables.dhcp_options,
    "network-acl": tables.network_acl,
    "security-group": tables.security_group,
    "security-group-rule": tables.security_rule,
    "network-interface": tables.nic,
    "elastic-ip": tables.public_address,
    "launch-template": tables.launch_template,
    "placement-group": tables.placement_group,
}
"""What is in one region, by EC2's resource type; a rule of a security group is where that is."""


def _tagged_row(tag: Table, of: Table, shape: Shape) -> ColumnElement[bool]:
    """Whether the row that a tag is of is there to be seen: one look-up by primary key."""
    conditions: list[ColumnElement[bool]] = [of.c.id == tag.c.resource_id]
    place = of
    if of is tables.security_rule:
        place = tables.security_group
        conditions.append(place.c.id == of.c.group_id)
    if shape.regional:
        conditions.append(place.c.region == bindparam("region"))
    if of is tables.instance:
        conditions.append(CURRENT)
        conditions.append(or_(LIVE, of.c.ended_at > bindparam("since")) if shape.done else LIVE)
    return exists().where(*conditions)


class TagRows(ListedRows[Tag]):
    """Tags."""

    order: ClassVar[tuple[str, ...]] = ("resource_id", "key")
    identity: ClassVar[str] = "resource_id"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.tag, Tag)

    def of(self, resource_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Tags of resources: id → key → value, keys in order; untagged resources are left out."""
        c = self.table.c
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(resource_ids), CHUNK):
            part = resource_ids[start : start + CHUNK]
            query = select(c.resource_id, c.key, c.value).where(c.resource_id.in_(part)).order_by(c.key)
            for resource_id, key, value in self.connection.execute(query):
                found.setdefault(resource_id, {})[key] = value
        return found

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """The tags of a tenant's resources, those of instances as long as a listing shows these, and of what
        is in regions only the region's.
        """
        conditions = own(table, shape)
        for kind, of in _OF_REGIONS.items() if shape.regional or shape.done else ():
            conditions.append(or_(table.c.resource_type != kind, _tagged_row(table, of, shape)))
        return [conditions]

    @classmethod
    def has_tag(cls, table: Table, shape: Shape, number: int) -> ColumnElement[bool]:  # noqa: ARG003 - a tag's own
        """Whether a tag is the one of the question."""
        return and_(*is_tag(shape, number))

    def _few_with(self, view: View, query: RowQuery) -> set[str] | None:
        """The resources with some keys, by the index for that."""
        if "key" not in query.equal:
            return None
        values = query.equal.get("value", ())
        given = {"tenant": view.tenant_id, "keys": query.equal["key"], "values": values}
        return self._few(tagged(view.tenant_id is not None, bool(values)), given)

    def of_tenant(self, tenant_id: str) -> list[Tag]:
        """All tags of a tenant, by resource and key."""
        return self.listing(View(tenant_id=tenant_id), RowQuery())

    def put(self, tags: Iterable[Tag]) -> None:
        """Set tags, overwriting by key."""
        given = list(tags)
        if given:
            keys = [{"of_resource": item.resource_id, "of_key": item.key} for item in given]
            self.connection.execute(_one_tag(), keys)
            self.insert_all(given)

    def drop(self, resource_ids: Collection[str]) -> None:
        """Remove all tags of resources."""
        self.delete_where(self.table.c.resource_id.in_(list(resource_ids)))


class EventRows(Rows[Event]):
    """Events."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.event, Event)

    def of(self, instance_id: str) -> list[Event]:
        """Events of an instance, oldest first."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, order=(c.id,))

    def recent(self, tenant_id: str | None, limit: int) -> list[Event]:
        """The newest events, newest first."""
        c = self.table.c
        mine = true() if tenant_id is None else c.tenant_id == tenant_id
        return self.where(mine, order=(c.id.desc(),), limit=limit)


class StayRows(Rows[Stay]):
    """Accounting records."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.stay, Stay)

    def of(self, instance_id: str) -> list[Stay]:
        """Records of an instance in order."""
        return self.where(self.table.c.instance_id == instance_id, order=(self.table.c.seq,))

    def open_of(self, instance_id: str) -> Stay | None:
        """The open record of an instance."""
        c = self.table.c
        found = self.where(c.instance_id == instance_id, c.ended_at.is_(None), order=(c.seq.desc(),))
        return found[0] if found else None


class DebrisRows(Rows[Debris]):
    """Files left behind."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.debris, Debris)

    def on(self, host_id: str) -> list[Debris]:
        """What is left on a host."""
        return self.where(self.table.c.host_id == host_id)

    def named(self, instance_id: str) -> list[Debris]:
        """What is left of one thing, on whatever host."""
        return self.where(self.table.c.instance_id == instance_id)

    def put(self, item: Debris) -> None:
        """Note something left behind; once is enough, and who is removing it already has to look again."""
        known = self.lock(item.instance_id, item.host_id)
        if known is None:
            self.insert(item)
        else:
            self.update(known, at=item.at, message=item.message)

    def release(self, executor: str) -> int:
        """Forget what a dead executor was removing."""
        c = self.table.c
        return self.connection.execute(update(self.table).where(c.busy == executor).values(busy="")).rowcount

    def forget_host(self, host_id: str) -> int:
        """Forget what is left on a host that will never be asked again."""
        return self.delete_where(self.table.c.host_id == host_id)


class TenantRows(Rows[Tenant]):
    """Tenants."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.tenant, Tenant)

    def named(self, name: str) -> Tenant | None:
        """A tenant by name."""
        found = self.where(self.table.c.name == name)
        return found[0] if found else None

    def with_account(self, account_id: str) -> Tenant | None:
        """A tenant by account id."""
        found = self.where(self.table.c.account_id == account_id)
        return found[0] if found else None

    def called(self, name: str) -> Tenant | None:
        """A tenant by id, name or account id, in this order; with one question, whichever it is."""
        c = self.table.c
        found = self.where(or_(c.id == name, c.name == name, c.account_id == name))
        return min(found, key=lambda each: (each.id != name, each.name != name), default=None)


class UserRows(Rows[User]):
    """Users."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.user, User)

    def named(self, name: str) -> User | None:
        """A user by name (unique over all tenants)."""
        found = self.where(self.table.c.name == name)
        return found[0] if found else None


class TenantRoleRows(Rows[TenantRole]):
    """Roles that tenants let others take on."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.tenant_role, TenantRole)

    def of_tenant(self, tenant_id: str) -> list[TenantRole]:
        """A tenant's roles by name."""
        return self.where(self.table.c.tenant_id == tenant_id, order=(self.table.c.name,))

    def named(self, tenant_id: str, name: str) -> TenantRole | None:
        """A tenant's role by name."""
        found = self.where(self.table.c.tenant_id == tenant_id, self.table.c.name == name)
        return found[0] if found else None


class SessionRows(Rows[Session]):
    """Temporary keys."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.session, Session)

    def with_owner(self, key_id: str) -> SessionOwner | None:
        """A session whose access key is active, its user, tenant and role, in one question.

        None for a session whose role is gone.
        """
        row = self.connection.execute(_session_with_owner(), {"key": key_id}).one_or_none()
        if row is None:
            return None
        users, tenants = UserRows(self.connection), TenantRows(self.connection)
        user_at = len(self.columns)
        tenant_at = user_at + len(users.columns)
        session = self.decode(row[:user_at])
        role_name: str | None = row[-1]
        if session.role_id and role_name is None:
            return None
        return (
            session,
            users.decode(row[user_at:tenant_at]),
            tenants.decode(row[tenant_at:-1]),
            role_name or "",
        )

    def forget_user(self, user_id: str) -> int:
        """End the sessions that a user began; how many."""
        return self.delete_where(self.table.c.user_id == user_id)

    def forget_key(self, access_key_id: str) -> int:
        """End the sessions that go back to an access key; how many."""
        return self.delete_where(self.table.c.access_key_id == access_key_id)

    def forget_role(self, role_id: str) -> int:
        """End a role's sessions; how many."""
        return self.delete_where(self.table.c.role_id == role_id)

    def forget_expired(self, before: float) -> int:
        """Remove sessions that ended before a time; how many."""
        return self.delete_where(self.table.c.expires_at < before)


SessionOwner = tuple[Session, User, Tenant, str]
"""A session, who began it, whose things it is about, and the name of its role (empty without one)."""


@cache
def _session_with_owner() -> Select[Any]:
    session, key, role = tables.session, tables.access_key, tables.tenant_role
    user, tenant = tables.user, tables.tenant
    columns = [*columns_of(session, Session), *columns_of(user, User), *columns_of(tenant, Tenant)]
    joined = (
        session.join(key, and_(key.c.id == session.c.access_key_id, key.c.active))
        .join(user, and_(user.c.id == session.c.user_id, user.c.id == key.c.user_id))
        .join(tenant, tenant.c.id == session.c.tenant_id)
        .outerjoin(role, role.c.id == session.c.role_id)
    )
    return select(*columns, role.c.name).select_from(joined).where(session.c.id == bindparam("key"))


class PictureRows(Rows[Picture]):
    """What displays showed when somebody asked."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.picture, Picture)

    def forget(self, before: float) -> int:
        """Remove pictures that were asked for before a time: they are answers, not records. How many."""
        return self.delete_where(self.table.c.asked_at < before)


class MixinRows(Rows[UserMixin]):
    """Tag mixins and their members."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.user_mixin, UserMixin)

    def of(self, tenant_id: str) -> list[UserMixin]:
        """A tenant's mixins."""
        c = self.table.c
        return self.where(c.tenant_id == tenant_id, order=(c.created_at, c.scheme, c.term))

    def members(self, tenant_id: str, scheme: str, term: str) -> list[str]:
        """Ids of the resources associated with a mixin."""
        m = tables.mixin_member.c
        query = (
            select(m.resource_id)
            .where(m.tenant_id == tenant_id, m.scheme == scheme, m.term == term)
            .order_by(m.resource_id)
        )
        return [row[0] for row in self.connection.execute(query)]

    def of_resources(self, tenant_id: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """Mixins (scheme, term) of resources."""
        m = tables.mixin_member.c
        found: dict[str, list[tuple[str, str]]] = {}
        for start in range(0, len(ids), CHUNK):
            query = (
                select(m.resource_id, m.scheme, m.term)
                .where(m.tenant_id == tenant_id, m.resource_id.in_(ids[start : start + CHUNK]))
                .order_by(m.scheme, m.term)
            )
            for resource_id, scheme, term in self.connection.execute(query):
                found.setdefault(resource_id, []).append((scheme, term))
        return found

    def associate(self, tenant_id: str, scheme: str, term: str, resource_id: str) -> None:
        """Add a member; twice is once."""
        key = {"tenant_id": tenant_id, "scheme": scheme, "term": term, "resource_id": resource_id}
        m = tables.mixin_member.c
        same = and_(*(m[name] == value for name, value in key.items()))
        if not self.connection.execute(select(exists().where(same))).scalar_one():
            self.connection.execute(insert(tables.mixin_member).values(**key))

    def dissociate(self, tenant_id: str, scheme: str, term: str, ids: Collection[str] | None = None) -> None:
        """Remove members; None removes all."""
        m = tables.mixin_member.c
        mine = and_(m.tenant_id == tenant_id, m.scheme == scheme, m.term == term)
        some = true() if ids is None else m.resource_id.in_(list(ids))
        self.connection.execute(delete(tables.mixin_member).where(mine, some))

    def forget(self, resource_ids: Collection[str]) -> None:
        """Remove resources from all mixins."""
        m = tables.mixin_member.c
        self.connection.execute(delete(tables.mixin_member).where(m.resource_id.in_(list(resource_ids))))


class VolumeToken(Value, frozen=True, kw_only=True):
    """A client token of CreateVolume, and what it made."""

    tenant_id: str
    region: str
    token: str
    digest: str
    volume_id: str
    created_at: float


class LaunchToken(Value, frozen=True, kw_only=True):
    """A client token already used, with a digest of what was asked."""

    tenant_id: str
    region: str
    token: str
    digest: str
    launch_id: str
    created_at: float


class WorkerBeat(Value, frozen=True, kw_only=True):
    """A worker process and when it was last alive."""

    executor: str
    started_at: float
    seen_at: float


class Blobs:
    """Bytes that listings must not carry: user data and console logs, by instance."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def user_data(self, instance_id: str) -> bytes:
        """The user data, empty when there is none."""
        c = tables.context.c
        row = self.connection.execute(select(c.user_data).where(c.instance_id == instance_id)).one_or_none()
        return bytes(row[0]) if row else b""

    def put_user_data(self, ids: Sequence[str], data: bytes) -> None:
        """Set the user data of instances."""
        c = tables.context.c
        self.connection.execute(delete(tables.context).where(c.instance_id.in_(list(ids))))
        if data and ids:
            rows = [{"instance_id": instance_id, "user_data": data} for instance_id in ids]
            self.connection.execute(insert(tables.context), rows)

    def console(self, instance_id: str) -> tuple[bytes, float] | None:
        """The console log as last read, and when; None before the first reading."""
        c = tables.console.c
        row = self.connection.execute(select(c.data, c.at).where(c.instance_id == instance_id)).one_or_none()
        return (bytes(row[0]), row[1]) if row else None

    def put_console(self, instance_id: str, data: bytes, at: float) -> None:
        """Replace the console log."""
        c = tables.console.c
        changed = self.connection.execute(
            update(tables.console).where(c.instance_id == instance_id).values(data=data, at=at)
        )
        if not changed.rowcount:
            row = {"instance_id": instance_id, "data": data, "at": at}
            self.connection.execute(insert(tables.console).values(**row))


class FlavorRows(Rows[Flavor]):
    """Flavors."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.flavor, Flavor)


class AccessKeyRows(Rows[AccessKey]):
    """EC2 access keys."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.access_key, AccessKey)

    def of_user(self, user_id: str) -> list[AccessKey]:
        """A user's keys."""
        return self.where(self.table.c.user_id == user_id, order=(self.table.c.created_at,))

    def forget_user(self, user_id: str) -> int:
        """Remove a user's keys; how many."""
        return self.delete_where(self.table.c.user_id == user_id)

    def with_owner(self, key_id: str) -> tuple[AccessKey, User, Tenant] | None:
        """A key, its user and their tenant, in one question: every signed request asks it."""
        users, tenants = UserRows(self.connection), TenantRows(self.connection)
        row = self.connection.execute(_key_with_owner(), {"key": key_id}).one_or_none()
        if row is None:
            return None
        user_at = len(self.columns)
        tenant_at = user_at + len(users.columns)
        return (
            self.decode(row[:user_at]),
            users.decode(row[user_at:tenant_at]),
            tenants.decode(row[tenant_at:]),
        )


@cache
def _key_with_owner() -> Select[Any]:
    key, user, tenant = tables.access_key, tables.user, tables.tenant
    columns = [*columns_of(key, AccessKey), *columns_of(user, User), *columns_of(tenant, Tenant)]
    joined = key.join(user, user.c.id == key.c.user_id).join(tenant, tenant.c.id == user.c.tenant_id)
    return select(*columns).select_from(joined).where(key.c.id == bindparam("key"))


class BearerTokenRows(Rows[BearerToken]):
    """OCCI bearer tokens."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.bearer_token, BearerToken)

    def of_user(self, user_id: str) -> list[BearerToken]:
        """A user's tokens, oldest first."""
        return self.where(self.table.c.user_id == user_id, order=(self.table.c.created_at,))

    def beginning(self, digest: str) -> list[BearerToken]:
        """Tokens whose digests begin so."""
        return self.where(self.table.c.digest.startswith(digest, autoescape=True))

    def forget_user(self, user_id: str) -> int:
        """Remove a user's tokens; how many."""
        return self.delete_where(self.table.c.user_id == user_id)

    def expired(self, now: float) -> int:
        """Remove tokens past their time; how many."""
        return self.delete_where(self.table.c.expires_at < now)


class LaunchTokenRows(Rows[LaunchToken]):
    """Used client tokens."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.launch_token, LaunchToken)

    def forget_before(self, time: float) -> int:
        """Remove tokens older than a time; how many."""
        return self.delete_where(self.table.c.created_at < time)


class VolumeTokenRows(Rows[VolumeToken]):
    """Used client tokens of CreateVolume."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.volume_token, VolumeToken)

    def forget_before(self, time: float) -> int:
        """Remove tokens older than a time; how many."""
        return self.delete_where(self.table.c.created_at < time)


class WorkerRows(Rows[WorkerBeat]):
    """Worker heartbeats."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.worker, WorkerBeat)

    def beat(self, executor: str, now: float) -> None:
        """Say that a worker lives."""
        c = self.table.c
        alive = update(self.table).where(c.executor == executor).values(seen_at=now)
        if not self.connection.execute(alive).rowcount:
            self.insert(WorkerBeat(executor=executor, started_at=now, seen_at=now))


def _hand_on_images(connection: Connection, tenant_id: str) -> None:
    """Records of images that other tenants' instances still name pass to one of those tenants."""
    i, m = tables.instance.c, tables.image.c
    heir = select(func.min(i.tenant_id)).where(i.image_id == m.id, i.tenant_id != tenant_id).scalar_subquery()
    named = exists().where(i.image_id == m.id, i.tenant_id != tenant_id)
    connection.execute(update(tables.image).where(m.tenant_id == tenant_id, named).values(tenant_id=heir))


def forget_tenant(connection: Connection, tenant_id: str) -> None:
    """Remove every row of a tenant, those that are referred to last."""
    i, u = tables.instance.c, tables.user.c
    instances = select(i.id).where(i.tenant_id == tenant_id)
    users = select(u.id).where(u.tenant_id == tenant_id)
    for table in (tables.job, tables.context, tables.console, tables.picture, tables.placement):
        connection.execute(delete(table).where(table.c.instance_id.in_(instances)))
    for table in (
        tables.access_key,
        tables.bearer_token,
        tables.session,
        tables.identity,
        tables.membership,
    ):
        connection.execute(delete(table).where(table.c.user_id.in_(users)))
    templates = select(tables.launch_template.c.id).where(tables.launch_template.c.tenant_id == tenant_id)
    versions = tables.launch_template_version
    connection.execute(delete(versions).where(versions.c.template_id.in_(templates)))
    _hand_on_images(connection, tenant_id)
    forget_networks(connection, tenant_id)
    for table in (
        tables.tag,
        tables.note,
        tables.chosen_path,
        tables.creation_key,
        tables.membership,
        tables.session,
        tables.tenant_role,
        tables.launch_template,
        tables.placement_group,
        tables.launch_token,
        tables.volume_token,
        tables.task,
        tables.snapshot,
        tables.volume,
        tables.instance,
        tables.image,
        tables.user,
    ):
        connection.execute(delete(table).where(table.c.tenant_id == tenant_id))
    connection.execute(delete(tables.tenant).where(tables.tenant.c.id == tenant_id))
