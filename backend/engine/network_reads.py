"""What callers may see of networks, and the topology that drivers are given. Reads ask the database alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from backend.engine.access import scope
from backend.engine.claims import addresses_of
from backend.engine.settings import EngineSettings
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate, PlacementGroup
from backend.model import Caller, Host, HostState, Instance, Owned, Value, Volume
from backend.network_model import (
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Topology,
    Vpc,
)
from backend.store import Store, Tx

T = TypeVar("T", bound=Owned)

ROWS: Mapping[type[Owned], Callable[[Tx], Any]] = {
    Vpc: lambda tx: tx.vpcs,
    Subnet: lambda tx: tx.subnets,
    RouteTable: lambda tx: tx.route_tables,
    InternetGateway: lambda tx: tx.internet_gateways,
    NatGateway: lambda tx: tx.nat_gateways,
    DhcpOptions: lambda tx: tx.dhcp_options,
    NetworkAcl: lambda tx: tx.network_acls,
    SecurityGroup: lambda tx: tx.security_groups,
    Nic: lambda tx: tx.nics,
    PublicAddress: lambda tx: tx.public_addresses,
    LaunchTemplate: lambda tx: tx.launch_templates,
    PlacementGroup: lambda tx: tx.placement_groups,
}
"""The tables of the nouns that a tenant has in a region."""


def not_found(ids: Collection[str]) -> BackendError:
    """The refusal for unknown (or foreign) things of networks; each face knows the kind by the id."""
    names = ", ".join(ids)
    return BackendError(Code.RESOURCE_NOT_FOUND, f"No such resource: {names}", ids=tuple(ids))


def may_see(caller: Caller, thing: Any) -> bool:
    """Whether a caller may know of a thing: its tenant's, in its region."""
    if thing is None or scope(caller) not in {None, thing.tenant_id}:
        return False
    return scope(caller) is None or not caller.region or caller.region == thing.region


class NetworkReads:
    """Reads of networks for both faces, the command line, the metadata service and the worker."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._settings = settings

    def address_pools(self) -> dict[str, tuple[tuple[range, ...], frozenset[int]]]:
        """The operator's pools of public addresses by name: their ranges, and what of them is held."""
        with self._store.read() as tx:
            return {
                name: (
                    addresses_of(texts),
                    frozenset(int(ipaddress.IPv4Address(ip)) for ip in tx.public_addresses.held(name)),
                )
                for name, texts in self._settings.network.pools.items()
            }

    def all(self, caller: Caller, kind: type[T]) -> list[T]:
        """Everything of a kind that the caller's tenant has in its region, oldest first.

        An administrator's at the command line: everybody's. Lent public addresses are left out.
        """
        tenant_id = scope(caller)
        region = None if tenant_id is None else caller.region or self._settings.default_region
        with self._store.read() as tx:
            found: list[T] = ROWS[kind](tx).of_tenant(tenant_id, region)
        return [each for each in found if not getattr(each, "auto", False)]

    def some(self, caller: Caller, kind: type[T], ids: Sequence[str]) -> list[T]:
        """Things by id, each once, in the order asked.

        Raises:
            BackendError: RESOURCE_NOT_FOUND with all missing ``ids``.
        """
        wanted = list(dict.fromkeys(ids))
        with self._store.read() as tx:
            found = ROWS[kind](tx).some(wanted)
        missing = [item for item in wanted if not may_see(caller, found.get(item))]
        if missing:
            raise not_found(missing)
        return [found[item] for item in wanted]

    def one(self, caller: Caller, kind: type[T], identity: str) -> T:
        """One thing by id; raises RESOURCE_NOT_FOUND."""
        return self.some(caller, kind, [identity])[0]

    # Beside what the caller was already shown -----------------------------------------------------------

    def rules_of(self, group_ids: Collection[str]) -> dict[str, tuple[SecurityRule, ...]]:
        """The rules of groups, by group, oldest first; groups without any are left out."""
        with self._store.read() as tx:
            return tx.security_rules.of_groups(group_ids)

    def rules(self, caller: Caller) -> list[SecurityRule]:
        """Every rule of the groups that the caller may see."""
        groups = [group.id for group in self.all(caller, SecurityGroup)]
        return [rule for rules in self.rules_of(groups).values() for rule in rules]

    def nics_of(self, instance_ids: Collection[str]) -> dict[str, list[Nic]]:
        """The interfaces of instances, by instance, the primary one first."""
        with self._store.read() as tx:
            return tx.nics.of_instances(instance_ids)

    def leases_of(self, nic_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """The private addresses of interfaces, by interface, the primary one first."""
        with self._store.read() as tx:
            return tx.leases.of_nics(nic_ids)

    def public_of(self, nic_ids: Collection[str]) -> dict[str, tuple[PublicAddress, ...]]:
        """The public addresses that lead to interfaces, elastic and lent ones, by interface."""
        with self._store.read() as tx:
            return tx.public_addresses.of_nics(nic_ids)

    def groups_by_id(self, ids: Collection[str]) -> dict[str, SecurityGroup]:
        """Security groups by id."""
        with self._store.read() as tx:
            return tx.security_groups.some(ids)

    def nics_by_id(self, ids: Collection[str]) -> dict[str, Nic]:
        """Interfaces by id."""
        with self._store.read() as tx:
            return tx.nics.some(ids)

    def held(self, subnet_ids: Collection[str]) -> dict[str, int]:
        """How many addresses of subnets are held (those that nobody gets not counted), by subnet."""
        with self._store.read() as tx:
            return tx.leases.count(subnet_ids)

    def unsettled(self, ids: Collection[str]) -> set[str]:
        """Which of some objects the network has yet to follow."""
        with self._store.read() as tx:
            return tx.network_changes.pending(ids)

    # For drivers ----------------------------------------------------------------------------------------

    def topology(self) -> Topology:
        """Everything there is."""
        with self._store.read() as tx:
            return whole(tx)

    def around(self, scopes: Collection[str]) -> Topology:
        """Some objects with all that what is made for each of them depends on; deleted ones are not in it."""
        with self._store.read() as tx:
            return around(tx, scopes)

    # For the metadata service ---------------------------------------------------------------------------

    def nic_at(self, infra: str) -> str | None:
        """The id of the interface that an infra address belongs to."""
        with self._store.read() as tx:
            found = tx.infra.get(infra)
        return found.owner_id if found is not None and found.owner_id.startswith("eni-") else None

    def guest_mark(self, nic_id: str) -> GuestMark | None:
        """What tells whether the guest behind an interface is still the one of a view, unchanged."""
        with self._store.read() as tx:
            nic = tx.nics.get(nic_id)
            instance = tx.instances.get(nic.instance_id) if nic is not None and nic.instance_id else None
        if nic is None or instance is None:
            return None
        return GuestMark(instance_id=instance.id, version=instance.version, created_at=instance.created_at)

    def guest(self, nic_id: str) -> GuestView | None:
        """What the metadata service tells the guest behind an interface; None when there is none."""
        with self._store.read() as tx:
            nic = tx.nics.get(nic_id)
            instance = tx.instances.get(nic.instance_id) if nic is not None and nic.instance_id else None
            if nic is None or instance is None:
                return None
            nics = tx.nics.of_instance(instance.id)
            topology = around(tx, [each.id for each in nics])
            volumes = tx.volumes.of_instance(instance.id)
            tags = tx.tags.of([instance.id]).get(instance.id, {})
            user_data = tx.blobs.user_data(instance.id)
            group = tx.placement_groups.get(instance.group_id) if instance.group_id else None
        return GuestView(
            instance=instance,
            nic_id=nic_id,
            nics=tuple(nics),
            topology=topology,
            volumes=tuple(volumes),
            tags=tags,
            user_data=user_data,
            group_name=group.name if group is not None else "",
        )


class GuestMark(Value, frozen=True, kw_only=True):
    """The version of an instance, which changes with what is shown of it. A chosen id may come back; the time
    of creation tells the two apart.
    """

    instance_id: str
    version: int
    created_at: float


class GuestView(Value, frozen=True, kw_only=True):
    """An instance as the metadata service shows it, asked through one of its interfaces (``nic_id``).

    ``group_name`` is its placement group, empty for none.
    """

    instance: Instance
    nic_id: str
    nics: tuple[Nic, ...]
    topology: Topology
    volumes: tuple[Volume, ...] = ()
    tags: Mapping[str, str] = {}
    user_data: bytes = b""
    group_name: str = ""


# Topologies ---------------------------------------------------------------------------------------------


def whole(tx: Tx) -> Topology:
    """Everything there is."""
    nics = {each.id: each for each in tx.nics.all()}
    vpcs = {each.id: each for each in tx.vpcs.all()}
    groups = {each.id: each for each in tx.security_groups.all()}
    gateways = {each.id: each for each in tx.internet_gateways.all()}
    return Topology(
        vpcs=vpcs,
        subnets={each.id: each for each in tx.subnets.all()},
        route_tables={each.id: each for each in tx.route_tables.all()},
        internet_gateways=gateways,
        nat_gateways={each.id: each for each in tx.nat_gateways.all()},
        dhcp_options={each.id: each for each in tx.dhcp_options.all()},
        acls={each.id: each for each in tx.network_acls.all()},
        groups=groups,
        rules=tx.security_rules.of_groups(groups),
        nics=nics,
        leases=tx.leases.of_nics(nics),
        public=tx.public_addresses.of_nics(nics),
        infra=tx.infra.of_owners([*nics, *vpcs, *gateways]),
        chassis=chassis(tx),
        places=places(tx, nics.values()),
    )


def around(tx: Tx, scopes: Collection[str], *, members: bool = False) -> Topology:
    """Some objects with all that each depends on: an interface its groups (with rules), subnet and VPC; a
    subnet and a VPC everything that its router needs; with ``members`` a group its interfaces.
    """
    groups = tx.security_groups.some(_with_prefix(scopes, "sg-"))
    nics = tx.nics.some(_with_prefix(scopes, "eni-"))
    if members:
        for group_id in groups:
            nics |= {nic.id: nic for nic in tx.nics.in_group(group_id)}
    groups |= tx.security_groups.some([each for nic in nics.values() for each in nic.groups])
    rules = tx.security_rules.of_groups(groups)
    subnets = tx.subnets.some([*_with_prefix(scopes, "subnet-"), *(nic.subnet_id for nic in nics.values())])
    vpcs = tx.vpcs.some(
        [
            *_with_prefix(scopes, "vpc-"),
            *(each.vpc_id for each in subnets.values()),
            *(each.vpc_id for each in nics.values()),
        ]
    )
    drawn = [*_with_prefix(scopes, "vpc-"), *(each.vpc_id for each in tx.subnets.some(scopes).values())]
    if drawn:  # a router is made of all of its VPC's subnets, tables and gateways
        subnets |= {each.id: each for each in tx.subnets.of("vpc_id", drawn)}
    tables = {each.id: each for each in tx.route_tables.of("vpc_id", vpcs)}
    nats = {each.id: each for each in tx.nat_gateways.of("vpc_id", vpcs) if each.deleted_at is None}
    gateways = {each.id: each for each in tx.internet_gateways.of("vpc_id", vpcs)}
    targets = {route.target for table in tables.values() for route in table.routes}
    hops = tx.nics.some([target for target in targets if target.startswith("eni-")] if drawn else [])
    every = nics | hops
    return Topology(
        vpcs=vpcs,
        subnets=subnets,
        route_tables=tables,
        internet_gateways=gateways,
        nat_gateways=nats,
        dhcp_options=tx.dhcp_options.some([each.dhcp_options_id for each in vpcs.values()]),
        acls=tx.network_acls.some([each.acl_id for each in subnets.values()]),
        groups=groups,
        rules=rules,
        nics=every,
        leases=tx.leases.of_nics(every),
        public=tx.public_addresses.of_nics(every),
        infra=tx.infra.of_owners([*every, *vpcs, *gateways]),
        chassis=chassis(tx),
        places=places(tx, every.values()),
    )


def _with_prefix(scopes: Collection[str], prefix: str) -> list[str]:
    return [scope_id for scope_id in scopes if scope_id.startswith(prefix)]


_SERVING = frozenset({HostState.ON, HostState.DISABLED})


def _serves(host: Host) -> bool:
    """Whether a host may carry what others send. One that is only being met anew goes on doing so."""
    return host.state in _SERVING or (host.state is HostState.INIT and not host.failures)


def chassis(tx: Tx) -> tuple[str, ...]:
    """The chassis that hosts said they are, by name; those in error cannot carry what others send."""
    serving = [host for host in tx.hosts.all() if _serves(host)]
    return tuple(sorted({name for host in serving if (name := host.capabilities.get("chassis", ""))}))


def places(tx: Tx, nics: Collection[Nic]) -> dict[str, str]:
    """The host of each interface whose instance is on one."""
    instances = tx.instances.some(list({nic.instance_id for nic in nics if nic.instance_id}))
    return {
        nic.id: str(instances[nic.instance_id].host_id)
        for nic in nics
        if nic.instance_id in instances and instances[nic.instance_id].host_id is not None
    }
