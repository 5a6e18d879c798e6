"""Questions to the tables of networks, by noun."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
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
)

from backend.model import Value
from backend.network_model import (
    DhcpOptions,
    InfraAddress,
    InternetGateway,
    Lease,
    NatGateway,
    NatState,
    NetworkAcl,
    NetworkChange,
    Nic,
    PublicAddress,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Vpc,
)
from backend.store import tables
from backend.store.listing import CHUNK, ListedRows, RowQuery, Shape, View, own
from backend.store.rows import Rows

T = TypeVar("T", bound=Value)


class OwnedRows(ListedRows[T]):
    """Rows that a tenant has in a region."""

    def of_tenant(self, tenant_id: str | None, region: str | None) -> list[T]:
        """A tenant's (None: everybody's) in a region (None: in all), oldest first."""
        return self.listing(View(tenant_id=tenant_id, region=region), RowQuery())

    def of(self, column: str, values: Collection[str]) -> list[T]:
        """Rows with one of some values in a column, oldest first."""
        return self.having(column, values)

    def count(self, tenant_id: str, region: str | None = None) -> int:
        """How many a tenant has."""
        c = self.table.c
        query = select(func.count()).where(c.tenant_id == tenant_id)
        if region is not None:
            query = query.where(c.region == region)
        return int(self.connection.execute(query).scalar_one())


_TAKEN = select(tables.lease.c.address).where(
    tables.lease.c.subnet_id == bindparam("subnet"),
    tables.lease.c.address.in_(bindparam("addresses", expanding=True)),
)


@cache
def _default_subnet(columns: tuple[Column[Any], ...]) -> Select[Any]:
    subnets, vpcs = tables.subnet.c, tables.vpc.c
    mine = and_(vpcs.tenant_id == bindparam("tenant"), vpcs.region == bindparam("region"))
    return (
        select(*columns)
        .join(tables.vpc, vpcs.id == subnets.vpc_id)
        .where(mine, vpcs.default.is_(True), subnets.default.is_(True), subnets.zone == bindparam("zone"))
        .order_by(subnets.created_at, subnets.id)
    )


_HELD = select(tables.public_address.c.ip).where(
    tables.public_address.c.ip.in_(bindparam("addresses", expanding=True))
)


class VpcRows(OwnedRows[Vpc]):
    """VPCs."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.vpc, Vpc)

    def default(self, tenant_id: str, region: str) -> Vpc | None:
        """A tenant's default VPC in a region."""
        c = self.table.c
        found = self.where(c.tenant_id == tenant_id, c.region == region, c.default.is_(True))
        return found[0] if found else None

    def by_association(self, association_id: str) -> Vpc | None:
        """The VPC of a CIDR block's association."""
        c = self.table.c
        has = c.blocks.contains(f'"{association_id}"', autoescape=True)
        found = self.where(or_(c.association_id == association_id, has))
        return found[0] if found else None


class SubnetRows(OwnedRows[Subnet]):
    """Subnets."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.subnet, Subnet)

    def default(self, tenant_id: str, region: str, zone: str) -> Subnet | None:
        """The subnet of a tenant's default VPC in a zone."""
        at = {"tenant": tenant_id, "region": region, "zone": zone}
        row = self.connection.execute(_default_subnet(self.columns), at).first()
        return None if row is None else self.decode(row)

    def of_vpc(self, vpc_id: str) -> list[Subnet]:
        """The subnets of a VPC, oldest first."""
        return self.of("vpc_id", [vpc_id])


class RouteTableRows(OwnedRows[RouteTable]):
    """Route tables."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.route_table, RouteTable)

    def of_vpc(self, vpc_id: str) -> list[RouteTable]:
        """The route tables of a VPC, oldest first."""
        return self.of("vpc_id", [vpc_id])

    def leading_to(self, target: str, vpc_id: str) -> list[RouteTable]:
        """A VPC's tables with a route to something (or by an instance's id)."""
        c = self.table.c
        return self.where(c.vpc_id == vpc_id, c.routes.contains(f'"{target}"', autoescape=True))


class InternetGatewayRows(OwnedRows[InternetGateway]):
    """Internet gateways."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.internet_gateway, InternetGateway)

    def of_vpc(self, vpc_id: str) -> InternetGateway | None:
        """The internet gateway of a VPC."""
        found = self.of("vpc_id", [vpc_id])
        return found[0] if found else None


class NatGatewayRows(OwnedRows[NatGateway]):
    """NAT gateways."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.nat_gateway, NatGateway)

    def of_vpc(self, vpc_id: str) -> list[NatGateway]:
        """The NAT gateways of a VPC that have not been deleted."""
        c = self.table.c
        return self.where(c.vpc_id == vpc_id, c.state != NatState.DELETED.value, order=(c.created_at, c.id))

    def forget_deleted(self, before: float) -> list[str]:
        """Remove those deleted before a time; their ids."""
        c = self.table.c
        old = [item.id for item in self.where(c.deleted_at < before)]
        self.delete_where(c.id.in_(old))
        return old


class DhcpOptionsRows(OwnedRows[DhcpOptions]):
    """Sets of DHCP options."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.dhcp_options, DhcpOptions)


class NetworkAclRows(OwnedRows[NetworkAcl]):
    """Network ACLs."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.network_acl, NetworkAcl)

    def of_vpc(self, vpc_id: str) -> list[NetworkAcl]:
        """The network ACLs of a VPC, oldest first."""
        return self.of("vpc_id", [vpc_id])

    def default_of(self, vpc_id: str) -> NetworkAcl | None:
        """The default network ACL of a VPC."""
        return next((each for each in self.of_vpc(vpc_id) if each.default), None)


class SecurityGroupRows(OwnedRows[SecurityGroup]):
    """Security groups."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.security_group, SecurityGroup)

    def of_vpc(self, vpc_id: str) -> list[SecurityGroup]:
        """The groups of a VPC, oldest first."""
        return self.of("vpc_id", [vpc_id])

    def named(self, vpc_id: str, name: str) -> SecurityGroup | None:
        """One group of a VPC by name."""
        row = self.connection.execute(_named_group(self.columns), {"vpc": vpc_id, "name": name}).first()
        return None if row is None else self.decode(row)


@cache
def _named_group(columns: tuple[Column[Any], ...]) -> Select[Any]:
    c = tables.security_group.c
    return select(*columns).where(c.vpc_id == bindparam("vpc"), c.name == bindparam("name"))


class SecurityRuleRows(OwnedRows[SecurityRule]):
    """Rules of security groups."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.security_rule, SecurityRule)

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """A rule is where its group is."""
        group = tables.security_group.c
        there = [group.id == table.c.group_id, group.region == bindparam("region")]
        return [[*own(table, shape), *([exists().where(*there)] if shape.regional else [])]]

    def of_group(self, group_id: str) -> list[SecurityRule]:
        """The rules of a group, oldest first."""
        return self.of("group_id", [group_id])

    def of_groups(self, group_ids: Collection[str]) -> dict[str, tuple[SecurityRule, ...]]:
        """The rules of groups, by group."""
        return _grouped(self.of("group_id", group_ids), "group_id")

    def with_peer(self, group_id: str) -> list[SecurityRule]:
        """The rules whose peer is a group."""
        return self.of("peer_group_id", [group_id])


class NicRows(OwnedRows[Nic]):
    """Network interfaces. Their groups stand in the row, and in a table of their own to be asked for."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.nic, Nic)

    def insert_all(self, values: Iterable[Nic]) -> None:
        """Add many rows."""
        made = list(values)
        super().insert_all(made)
        self._join(made)

    def insert(self, value: Nic) -> None:
        """Add one row."""
        self.insert_all([value])

    def update(self, old: Nic, **changes: Any) -> Nic:
        """Write changes of a value read before (see :meth:`Rows.update`)."""
        new = super().update(old, **changes)
        if new.groups != old.groups:
            members = tables.nic_group
            self.connection.execute(delete(members).where(members.c.nic_id == new.id))
            self._join([new])
        return new

    def _join(self, nics: Sequence[Nic]) -> None:
        rows = [{"nic_id": nic.id, "group_id": group_id} for nic in nics for group_id in nic.groups]
        if rows:
            self.connection.execute(insert(tables.nic_group), rows)

    def of_instance(self, instance_id: str) -> list[Nic]:
        """The interfaces of an instance, the primary one first."""
        c = self.table.c
        return self.where(c.instance_id == instance_id, order=(c.index,))

    def of_instances(self, instance_ids: Collection[str]) -> dict[str, list[Nic]]:
        """The interfaces of instances, by instance, the primary one first."""
        found: dict[str, list[Nic]] = {}
        for nic in sorted(self.of("instance_id", instance_ids), key=lambda each: each.index):
            found.setdefault(str(nic.instance_id), []).append(nic)
        return found

    def by_attachment(self, attachment_id: str) -> Nic | None:
        """The interface of an attachment."""
        found = self.of("attachment_id", [attachment_id]) if attachment_id else []
        return found[0] if found else None

    def in_group(self, group_id: str) -> list[Nic]:
        """The members of a security group."""
        members = tables.nic_group.c
        inside = select(members.nic_id).where(members.group_id == group_id)
        return self.where(self.table.c.id.in_(inside), order=(self.table.c.id,))

    def count_in_subnet(self, subnet_id: str) -> int:
        """How many interfaces a subnet has."""
        query = select(func.count()).where(self.table.c.subnet_id == subnet_id)
        return int(self.connection.execute(query).scalar_one())


class LeaseRows(Rows[Lease]):
    """Addresses of subnets that are held."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.lease, Lease)

    def taken(self, subnet_id: str, candidates: Collection[str]) -> set[str]:
        """Which of some addresses of a subnet are held."""
        given = {"subnet": subnet_id, "addresses": list(candidates)}
        return set(self.connection.execute(_TAKEN, given).scalars())

    def of_nic(self, nic_id: str) -> tuple[str, ...]:
        """The addresses of an interface, the primary one first."""
        return self.of_nics([nic_id]).get(nic_id, ())

    def of_nics(self, nic_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The addresses of interfaces, by interface, the primary one first."""
        c, wanted = self.table.c, list(nic_ids)
        found: dict[str, list[str]] = {}
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            query = (
                select(c.nic_id, c.address).where(c.nic_id.in_(part)).order_by(c.primary.desc(), c.address)
            )
            for nic_id, address in self.connection.execute(query):
                found.setdefault(nic_id, []).append(address)
        return {nic_id: tuple(addresses) for nic_id, addresses in found.items()}

    def count(self, subnet_ids: Collection[str]) -> dict[str, int]:
        """How many addresses of subnets are held, by subnet; those without any are left out."""
        c = self.table.c
        query = (
            select(c.subnet_id, func.count()).where(c.subnet_id.in_(list(subnet_ids))).group_by(c.subnet_id)
        )
        return {row[0]: int(row[1]) for row in self.connection.execute(query)}

    def free(self, nic_id: str, addresses: Collection[str] | None = None) -> None:
        """Give the addresses of an interface back, or some of them."""
        c = self.table.c
        some = [] if addresses is None else [c.address.in_(list(addresses))]
        self.delete_where(and_(c.nic_id == nic_id, *some))


class PublicAddressRows(OwnedRows[PublicAddress]):
    """Public addresses."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.public_address, PublicAddress)

    def elastic(self, view: View, query: RowQuery) -> list[PublicAddress]:
        """The addresses of a page that are somebody's own: those that are lent are not listed."""
        return self.listing(view, msgspec.structs.replace(query, equal={**query.equal, "auto": (False,)}))

    def of_nics(self, nic_ids: Collection[str]) -> dict[str, tuple[PublicAddress, ...]]:
        """The public addresses that lead to interfaces, by interface."""
        return _grouped(self.of("nic_id", nic_ids), "nic_id")

    def by_association(self, association_id: str) -> PublicAddress | None:
        """The address of an association."""
        found = self.of("association_id", [association_id]) if association_id else []
        return found[0] if found else None

    def taken(self, candidates: Collection[str]) -> set[str]:
        """Which of some addresses are held by anybody."""
        return set(self.connection.execute(_HELD, {"addresses": list(candidates)}).scalars())

    def held(self, pool: str) -> list[str]:
        """The addresses of a pool that anybody has."""
        query = select(self.table.c.ip).where(self.table.c.pool == pool)
        return list(self.connection.execute(query).scalars())

    def count_elastic(self, tenant_id: str) -> int:
        """How many addresses a tenant has allocated."""
        c = self.table.c
        query = select(func.count()).where(c.tenant_id == tenant_id, c.auto.is_(False))
        return int(self.connection.execute(query).scalar_one())


class InfraAddressRows(Rows[InfraAddress]):
    """Addresses between routers and the metadata service."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.infra_address, InfraAddress)

    def taken(self, candidates: Collection[str]) -> set[str]:
        """Which of some addresses are held."""
        c = self.table.c
        query = select(c.address).where(c.address.in_(list(candidates)))
        return set(self.connection.execute(query).scalars())

    def of_owners(self, owner_ids: Collection[str]) -> dict[str, str]:
        """The addresses of owners, by owner."""
        c, wanted = self.table.c, list(owner_ids)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), CHUNK):
            query = select(c.owner_id, c.address).where(c.owner_id.in_(wanted[start : start + CHUNK]))
            found.update((row[0], row[1]) for row in self.connection.execute(query))
        return found

    def release(self, owner_id: str) -> None:
        """Give an owner's address back."""
        self.delete_where(self.table.c.owner_id == owner_id)


class NetworkChangeRows(Rows[NetworkChange]):
    """What the network has yet to follow."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, tables.network_change, NetworkChange)

    def first(self, limit: int) -> list[NetworkChange]:
        """The oldest ones."""
        return self.where(order=(self.table.c.id,), limit=limit)

    def of(self, scope: str) -> list[NetworkChange]:
        """Those of one object."""
        return self.where(self.table.c.scope == scope)

    def forget(self, ids: Collection[str]) -> None:
        """They have been followed."""
        self.delete_where(self.table.c.id.in_(list(ids)))

    def pending(self, scopes: Collection[str]) -> set[str]:
        """Which of some objects the network has yet to follow."""
        c = self.table.c
        return set(self.connection.execute(select(c.scope).where(c.scope.in_(list(scopes)))).scalars())


def _grouped(items: Iterable[T], name: str) -> dict[str, tuple[T, ...]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(getattr(item, name), []).append(item)
    return {key: tuple(values) for key, values in found.items()}


def forget_networks(connection: Connection, tenant_id: str) -> None:
    """Remove everything of a tenant's networks, those rows that are referred to last."""
    nic, vpc, gateway = tables.nic.c, tables.vpc.c, tables.internet_gateway.c
    nics = select(nic.id).where(nic.tenant_id == tenant_id)
    owners = nics.union(
        select(vpc.id).where(vpc.tenant_id == tenant_id),
        select(gateway.id).where(gateway.tenant_id == tenant_id),
    )
    infra = tables.infra_address
    connection.execute(delete(infra).where(infra.c.owner_id.in_(owners)))
    _drop(connection, tenant_id, tables.public_address, tables.nat_gateway)
    for table in (tables.lease, tables.nic_group):
        connection.execute(delete(table).where(table.c.nic_id.in_(nics)))
    _drop(
        connection,
        tenant_id,
        tables.nic,
        tables.security_rule,
        tables.security_group,
        tables.subnet,
        tables.network_acl,
        tables.route_table,
        tables.internet_gateway,
        tables.vpc,
        tables.dhcp_options,
    )


def _drop(connection: Connection, tenant_id: str, *some: Table) -> None:
    for table in some:
        connection.execute(delete(table).where(table.c.tenant_id == tenant_id))
