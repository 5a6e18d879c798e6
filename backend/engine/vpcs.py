"""VPCs and subnets: ranges of private addresses, and what every VPC is made with.

A VPC's row is locked by whatever changes what is inside it, so ranges are claimed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from backend import network_commands as commands
from backend.engine.acls import default_entries
from backend.engine.cidrs import left_of, network_of
from backend.engine.claims import claim_infra
from backend.engine.network_access import default_vpc, own
from backend.engine.network_limits import Limit
from backend.engine.network_reads import may_see, not_found
from backend.engine.registry import check_quota, lock_tenant
from backend.engine.security_groups import forget_group, make_default_group
from backend.engine.tagging import give_tags
from backend.engine.volumes import zone_named
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import QuotaName, Tenant, new_id
from backend.network_model import (
    ANYWHERE,
    DEFAULT_GROUP,
    RESERVED_FIRST,
    RESERVED_LAST,
    CidrBlock,
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)

LARGEST, SMALLEST = 16, 28
"""Prefix lengths that blocks of VPCs and subnets may have (AWS)."""

DEFAULT_OPTIONS = "default"
"""The installation's own DHCP options where a tenant asked for them (AssociateDhcpOptions)."""

MOST_BLOCKS = 5
_USUAL_SUBNET = 20
_TENANCIES = frozenset({"default", "dedicated"})
_MOST_VLAN = 4095
_NEVER_PRIVATE = tuple(
    IPv4Network(block) for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""Blocks that mean something else to every host (AWS refuses them, too)."""


# Ranges -------------------------------------------------------------------------------------------------


def _vpc_range(work: Work, cidr: str) -> IPv4Network:
    block = network_of(cidr)
    foreign = [IPv4Network(each) for each in work.settings.network.foreign]
    if any(map(block.overlaps, foreign)):
        raise BackendError(
            Code.VPC_RANGE, f"The CIDR '{cidr}' overlaps one that this cloud needs for itself.", value=cidr
        )
    if not LARGEST <= block.prefixlen <= SMALLEST or any(map(block.overlaps, _NEVER_PRIVATE)):
        raise BackendError(Code.VPC_RANGE, f"The CIDR '{cidr}' is invalid.", value=cidr)
    return block


def _subnet_range(vpc: Vpc, cidr: str, there: Iterable[Subnet]) -> IPv4Network:
    block = network_of(cidr)
    inside = any(block.subnet_of(IPv4Network(each)) for each in vpc.cidrs)
    if not LARGEST <= block.prefixlen <= SMALLEST or not inside:
        raise BackendError(Code.SUBNET_RANGE, f"The CIDR '{cidr}' is invalid.", value=cidr)
    if any(block.overlaps(each.network) for each in there):
        raise BackendError(
            Code.SUBNET_CONFLICT, f"The CIDR '{cidr}' conflicts with another subnet", value=cidr
        )
    return block


def _free_range(vpc: Vpc, there: Iterable[Subnet]) -> IPv4Network:
    """The first free /20 of a VPC, or where there is none the largest range that is free."""
    taken = [each.network for each in there]
    free: list[IPv4Network] = []
    for block in vpc.cidrs:
        free += left_of(IPv4Network(block), taken)
    free = [each for each in free if each.prefixlen <= SMALLEST]
    if not free:
        raise BackendError(Code.ADDRESSES_EXHAUSTED, f"There is no free range in the VPC {vpc.id}.")
    length = max(_USUAL_SUBNET, min(each.prefixlen for each in free))
    first = min(each for each in free if each.prefixlen <= length)
    return next(first.subnets(new_prefix=length)) if first.prefixlen < length else first


# VPCs ---------------------------------------------------------------------------------------------------


def create_vpc(work: Work, command: commands.CreateVpc) -> Vpc:
    """Make a VPC with what every VPC has (CreateVpc)."""
    block = _vpc_range(work, command.cidr)
    tenant = _room_for_vpc(work)
    vpc = _make_vpc(
        work,
        _owned(work, tenant, work.region),
        str(block),
        tenancy=_tenancy(command.tenancy),
        summary=command.summary,
    )
    give_tags(work, [vpc.id], "vpc", command.tags)
    return vpc


def create_default_vpc(work: Work, _command: commands.CreateDefaultVpc) -> Vpc:
    """Make the default VPC again, after it was deleted (CreateDefaultVpc)."""
    tenant = _room_for_vpc(work)
    if work.tx.vpcs.default(tenant.id, work.region) is not None:
        raise BackendError(
            Code.DEFAULT_VPC_EXISTS, "A Default VPC already exists for this account in this region."
        )
    return make_default_vpc(work, tenant, work.region)


def _room_for_vpc(work: Work) -> Tenant:
    tenant = lock_tenant(work, work.caller.tenant_id)
    check_quota(work, QuotaName.VPCS, lambda: work.tx.vpcs.count(tenant.id, work.region), Code.QUOTA_VPCS)
    return tenant


def make_default_vpc(work: Work, tenant: Tenant, region: str) -> Vpc:
    """A tenant's default VPC in a region: a subnet in each zone, public addresses, and the way outside."""
    owned = _owned(work, tenant, region)
    block = _vpc_range(work, work.settings.network.default_vpc)
    gateway_id = new_id("igw")
    vpc = _make_vpc(work, owned, str(block), gateway_id=gateway_id, default=True, dns_hostnames=True)
    work.tx.internet_gateways.insert(InternetGateway(id=gateway_id, vpc_id=vpc.id, **owned))
    claim_infra(work, [gateway_id])
    for zone, cidr in _by_zone(block, work.settings.zones.get(region, ())).items():
        _insert_subnet(work, vpc, zone=zone, cidr=cidr, default=True, map_public_ip=True)
    return vpc


def _by_zone(block: IPv4Network, zones: tuple[str, ...]) -> dict[str, str]:
    """The default subnet's range of each zone: a sixteenth of the VPC, or less where zones are many."""
    bits = max(4, (len(zones) - 1).bit_length())
    ranges = block.subnets(new_prefix=min(block.prefixlen + bits, SMALLEST))
    return {zone: str(cidr) for zone, cidr in zip(zones, ranges, strict=False)}


def _owned(work: Work, tenant: Tenant, region: str) -> dict[str, Any]:
    """Whose a new thing is."""
    return {
        "tenant_id": tenant.id,
        "account_id": tenant.account_id,
        "region": region,
        "created_at": work.now,
    }


def inherited(work: Work, vpc: Vpc) -> dict[str, Any]:
    """Whose a new thing in a VPC is: its VPC's owner's."""
    return {
        "tenant_id": vpc.tenant_id,
        "account_id": vpc.account_id,
        "region": vpc.region,
        "created_at": work.now,
    }


def _make_vpc(work: Work, owned: Mapping[str, Any], cidr: str, *, gateway_id: str = "", **more: Any) -> Vpc:
    """A VPC with its main route table, default network ACL and default security group."""
    vpc = Vpc(id=new_id("vpc"), cidr=cidr, association_id=new_id("vpc-cidr-assoc"), **owned, **more)
    work.tx.vpcs.insert(vpc)
    claim_infra(work, [vpc.id])
    work.tx.route_tables.insert(
        RouteTable(
            id=new_id("rtb"),
            vpc_id=vpc.id,
            main=True,
            main_association_id=new_id("rtbassoc"),
            routes=(Route(destination=ANYWHERE, target=gateway_id),) if gateway_id else (),
            **owned,
        )
    )
    work.tx.network_acls.insert(
        NetworkAcl(id=new_id("acl"), vpc_id=vpc.id, default=True, entries=default_entries(), **owned)
    )
    make_default_group(work, vpc)
    work.network_changed(vpc.id)
    return vpc


def in_use(noun: str, identity: str) -> BackendError:
    """The refusal to delete something that other things depend on."""
    return BackendError(
        Code.DEPENDENCY, f"The {noun} '{identity}' has dependencies and cannot be deleted.", ids=(identity,)
    )


def delete_vpc(work: Work, command: commands.DeleteVpc) -> None:
    """Delete a VPC and what it was made with; whatever else is in it must have gone (DeleteVpc)."""
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    tx = work.tx
    tables, acls = tx.route_tables.of_vpc(vpc.id), tx.network_acls.of_vpc(vpc.id)
    groups = tx.security_groups.of_vpc(vpc.id)
    if (
        tx.subnets.of_vpc(vpc.id)
        or tx.internet_gateways.of_vpc(vpc.id) is not None
        or tx.nat_gateways.of_vpc(vpc.id)
        or tx.nics.of("vpc_id", [vpc.id])
        or not all(table.main for table in tables)
        or not all(acl.default for acl in acls)
        or not all(group.name == DEFAULT_GROUP for group in groups)
    ):
        raise in_use("vpc", vpc.id)
    made = [each.id for each in (*tables, *acls)]
    for group in groups:
        forget_group(work, group)
    for acl in acls:
        tx.network_acls.delete(acl.id)
    for table in tables:
        tx.route_tables.delete(table.id)
    tx.infra.release(vpc.id)
    tx.vpcs.delete(vpc.id)
    tx.tags.drop([vpc.id, *made])
    work.network_changed(vpc.id)


def modify_vpc(work: Work, command: commands.ModifyVpc) -> Vpc:
    """Change attributes of a VPC (ModifyVpcAttribute, AssociateDhcpOptions, ModifyVpcTenancy)."""
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    if command.dhcp_options_id and command.dhcp_options_id != DEFAULT_OPTIONS:
        own(work, DhcpOptions, command.dhcp_options_id, lock=True)
    if command.tenancy is not None:
        _tenancy(command.tenancy)
    changes = {
        name: value
        for name in ("dns_support", "dns_hostnames", "tenancy", "dhcp_options_id", "summary")
        if (value := getattr(command, name)) is not None and value != getattr(vpc, name)
    }
    if not changes:
        return vpc
    changed = work.tx.vpcs.update(vpc, **changes)
    if changes.keys() & {"dns_support", "dns_hostnames", "dhcp_options_id"}:
        work.network_changed(vpc.id, *(subnet.id for subnet in work.tx.subnets.of_vpc(vpc.id)))
        _touch_instances(work, vpc.id)
    return changed


def _tenancy(word: str) -> str:
    if word not in _TENANCIES:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "A VPC's tenancy is default or dedicated.",
            parameter="instanceTenancy",
            value=word,
        )
    return word


def _touch_instances(work: Work, vpc_id: str) -> None:
    """Names of instances follow their VPC's attributes."""
    nics = work.tx.nics.of("vpc_id", [vpc_id])
    shown = sorted({nic.instance_id for nic in nics if nic.instance_id})
    if shown:
        work.tx.instances.touch(shown)


def associate_cidr(work: Work, command: commands.AssociateCidr) -> Vpc:
    """Give a VPC a further block of addresses (AssociateVpcCidrBlock)."""
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    block = _vpc_range(work, command.cidr)
    tables = work.tx.route_tables.of_vpc(vpc.id)
    routed = {IPv4Network(route.destination) for table in tables for route in table.routes}
    if any(block.overlaps(IPv4Network(each)) for each in vpc.cidrs) or any(
        each.subnet_of(block) for each in routed
    ):
        raise BackendError(
            Code.VPC_RANGE,
            f"The CIDR '{command.cidr}' conflicts with another block or a route of the VPC {vpc.id}.",
            value=command.cidr,
        )
    if len(vpc.cidrs) >= MOST_BLOCKS:
        raise BackendError(
            Code.CIDR_LIMIT,
            f"This network {vpc.id} has met its maximum number of allowed CIDRs: {MOST_BLOCKS}",
            ids=(vpc.id,),
        )
    added = CidrBlock(association_id=new_id("vpc-cidr-assoc"), cidr=str(block))
    work.network_changed(vpc.id)
    return work.tx.vpcs.update(vpc, blocks=(*vpc.blocks, added))


def disassociate_cidr(work: Work, command: commands.DisassociateCidr) -> Vpc:
    """Take a further block from its VPC (DisassociateVpcCidrBlock)."""
    found = work.tx.vpcs.by_association(command.association_id) if command.association_id else None
    vpc = work.tx.vpcs.lock(found.id) if found is not None else None
    if vpc is None or not may_see(work.caller, vpc):
        raise not_found([command.association_id])
    if vpc.association_id == command.association_id:
        raise BackendError(
            Code.CIDR_IS_PRIMARY,
            f"The vpc CIDR block with association ID {command.association_id} may not be disassociated. "
            "It is the primary IPv4 CIDR block of the VPC",
            ids=(vpc.id,),
        )
    gone = next((each for each in vpc.blocks if each.association_id == command.association_id), None)
    if gone is None:
        raise not_found([command.association_id])
    block = IPv4Network(gone.cidr)
    if any(subnet.network.subnet_of(block) for subnet in work.tx.subnets.of_vpc(vpc.id)):
        raise BackendError(
            Code.CIDR_IN_USE,
            f"The vpc {vpc.id} currently has a subnet within CIDR block {gone.cidr}",
            ids=(vpc.id,),
        )
    work.tx.vpcs.update(vpc, blocks=tuple(each for each in vpc.blocks if each != gone))
    work.network_changed(vpc.id)
    return vpc


# Subnets ------------------------------------------------------------------------------------------------


def create_subnet(work: Work, command: commands.CreateSubnet) -> Subnet:
    """Make a subnet (CreateSubnet, CreateDefaultSubnet, OCCI's network)."""
    vpc = own(work, Vpc, command.vpc_id or default_vpc(work).id, lock=True)
    zone = _zone(work, command.zone)
    there = work.tx.subnets.of_vpc(vpc.id)
    Limit.SUBNETS.check(len(there))
    if command.default:
        _check_default(vpc, zone, there)
    block = _free_range(vpc, there) if command.cidr is None else _subnet_range(vpc, command.cidr, there)
    subnet = _insert_subnet(
        work,
        vpc,
        zone=zone,
        cidr=str(block),
        default=command.default,
        map_public_ip=command.default,
        label=command.label,
        vlan=_vlan(command.vlan),
        summary=command.summary,
        api=work.caller.api,
    )
    give_tags(work, [subnet.id], "subnet", command.tags)
    for scheme, term in command.mixins:
        work.tx.mixins.associate(subnet.tenant_id, scheme, term, subnet.id)
    return subnet


def _zone(work: Work, name: str | None) -> str:
    zones = work.settings.zones.get(work.region, ())
    if name is not None and name not in zones:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Subnets can currently only be created in the following availability zones: {', '.join(zones)}.",
            parameter="availabilityZone",
            value=name,
        )
    return zone_named(work, name)


def _check_default(vpc: Vpc, zone: str, there: Iterable[Subnet]) -> None:
    if not vpc.default:
        raise BackendError(Code.NO_DEFAULT_VPC, f"The VPC {vpc.id} is not the default one.")
    for subnet in there:
        if subnet.default and subnet.zone == zone:
            raise BackendError(
                Code.DEFAULT_SUBNET_EXISTS,
                f"'{subnet.id}' is already the default subnet in {zone}.",
                ids=(subnet.id,),
            )


def _vlan(number: int | None) -> int | None:
    if number is not None and not 0 <= number <= _MOST_VLAN:
        raise BackendError(
            Code.PARAMETER_INVALID, f"A VLAN is a number up to {_MOST_VLAN}.", parameter="vlan", value=number
        )
    return number


def _insert_subnet(work: Work, vpc: Vpc, **fields: Any) -> Subnet:
    acl = work.tx.network_acls.default_of(vpc.id)
    if acl is None:
        raise BackendError(Code.INTERNAL, f"The VPC {vpc.id} has no default network ACL.")
    subnet = Subnet(
        id=new_id("subnet"),
        vpc_id=vpc.id,
        acl_id=acl.id,
        acl_association_id=new_id("aclassoc"),
        **inherited(work, vpc),
        **fields,
    )
    work.tx.subnets.insert(subnet)
    work.network_changed(vpc.id, subnet.id)
    return subnet


def delete_subnet(work: Work, command: commands.DeleteSubnet) -> Subnet:
    """Delete a subnet; its interfaces must have gone (DeleteSubnet)."""
    subnet = own(work, Subnet, command.subnet_id, lock=True)
    if work.tx.nics.count_in_subnet(subnet.id):
        raise in_use("subnet", subnet.id)
    work.tx.subnets.delete(subnet.id)
    work.tx.tags.drop([subnet.id])
    work.tx.forget([subnet.id])
    work.network_changed(subnet.vpc_id, subnet.id)
    return subnet


def modify_subnet(work: Work, command: commands.ModifySubnet) -> Subnet:
    """Change attributes of a subnet (ModifySubnetAttribute; OCCI's up, down and label)."""
    subnet = own(work, Subnet, command.subnet_id, lock=True)
    changes: dict[str, Any] = {
        name: value
        for name in ("map_public_ip", "up", "label", "summary")
        if (value := getattr(command, name)) is not None and value != getattr(subnet, name)
    }
    vlan = None if command.vlan == commands.NO_VLAN else _vlan(command.vlan)
    if command.vlan is not None and vlan != subnet.vlan:
        changes["vlan"] = vlan
    if not changes:
        return subnet
    if "up" in changes:
        work.network_changed(subnet.id)
    return work.tx.subnets.update(subnet, **changes)


def size_of(subnet: Subnet) -> int:
    """How many addresses of a subnet can be given out."""
    return subnet.network.num_addresses - RESERVED_FIRST - RESERVED_LAST


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateVpc: create_vpc,
    commands.CreateDefaultVpc: create_default_vpc,
    commands.DeleteVpc: delete_vpc,
    commands.ModifyVpc: modify_vpc,
    commands.AssociateCidr: associate_cidr,
    commands.DisassociateCidr: disassociate_cidr,
    commands.CreateSubnet: create_subnet,
    commands.DeleteSubnet: delete_subnet,
    commands.ModifySubnet: modify_subnet,
}
