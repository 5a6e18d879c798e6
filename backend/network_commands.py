"""The part of the command vocabulary that is about networks; see :mod:`backend.commands`.

An address, a CIDR or an id that the caller gives is checked by the engine. ``None`` leaves as it is, or lets
the engine choose.
"""

from __future__ import annotations

from typing import Any

from backend.commands import Command, NicRequest
from backend.model import Instance, MetadataOptions, Value
from backend.network_model import (
    AclEntry,
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
    Vpc,
)

Tags = tuple[tuple[str, str], ...]


# VPCs and subnets ---------------------------------------------------------------------------------------


class CreateVpc(Command[Vpc], frozen=True, kw_only=True):
    """A VPC with its main route table, default network ACL and default security group (CreateVpc)."""

    cidr: str
    tenancy: str = "default"
    summary: str = ""
    tags: Tags = ()


class CreateDefaultVpc(Command[Vpc], frozen=True, kw_only=True):
    """The default VPC of the caller's region, with a subnet in each zone and a way outside."""


class DeleteVpc(Command[None], frozen=True, kw_only=True):
    """Delete a VPC that holds nothing but what it was made with."""

    vpc_id: str


class ModifyVpc(Command[Vpc], frozen=True, kw_only=True):
    """Change attributes of a VPC; ``dhcp_options_id`` empty means the installation's own, ``default`` too."""

    vpc_id: str
    dns_support: bool | None = None
    dns_hostnames: bool | None = None
    tenancy: str | None = None
    dhcp_options_id: str | None = None
    summary: str | None = None


class AssociateCidr(Command[Vpc], frozen=True, kw_only=True):
    """Give a VPC a further block of addresses."""

    vpc_id: str
    cidr: str


class DisassociateCidr(Command[Vpc], frozen=True, kw_only=True):
    """Take a further block that no subnet uses from its VPC; answers the VPC as it was before."""

    association_id: str


class CreateSubnet(Command[Subnet], frozen=True, kw_only=True):
    """A subnet. Without a VPC in the default one, without a CIDR the next free /20 or smaller (OCCI).

    ``default`` makes it the default VPC's subnet of its zone.
    """

    vpc_id: str | None = None
    cidr: str | None = None
    zone: str | None = None
    default: bool = False
    label: str = ""
    vlan: int | None = None
    summary: str = ""
    tags: Tags = ()
    mixins: tuple[tuple[str, str], ...] = ()


class DeleteSubnet(Command[Subnet], frozen=True, kw_only=True):
    """Delete a subnet that has no interface left."""

    subnet_id: str


NO_VLAN = -1


class ModifySubnet(Command[Subnet], frozen=True, kw_only=True):
    """Change attributes of a subnet; ``up`` False hands out no further addresses.

    ``vlan`` :data:`NO_VLAN` takes the number away.
    """

    subnet_id: str
    map_public_ip: bool | None = None
    up: bool | None = None
    label: str | None = None
    vlan: int | None = None
    summary: str | None = None


# Routes and gateways ------------------------------------------------------------------------------------


class CreateRouteTable(Command[RouteTable], frozen=True, kw_only=True):
    """A route table with nothing but the local routes; one for each client token."""

    vpc_id: str
    client_token: str = ""
    tags: Tags = ()


class DeleteRouteTable(Command[None], frozen=True, kw_only=True):
    """Delete a route table that no subnet uses."""

    route_table_id: str


class Association(Value, frozen=True, kw_only=True):
    """The use of a route table or network ACL by a subnet (empty: a route table's use as main)."""

    id: str
    subnet_id: str = ""


class AssociateRouteTable(Command[Association], frozen=True, kw_only=True):
    """Let a subnet use a route table; asked again it answers the same association."""

    route_table_id: str
    subnet_id: str


class DisassociateRouteTable(Command[None], frozen=True, kw_only=True):
    """Let a subnet use the main table again."""

    association_id: str


class ReplaceRouteTableAssociation(Command[Association], frozen=True, kw_only=True):
    """Let the subnet of an association, or the VPC of its main one, use another table; a new association
    unless it is the same table.
    """

    association_id: str
    route_table_id: str


class PutRoute(Command[RouteTable], frozen=True, kw_only=True):
    """Add a route, or with ``replace`` change one there is.

    ``target`` is the id of an internet gateway, NAT gateway, interface or instance.
    """

    route_table_id: str
    destination: str
    target: str
    replace: bool = False


class DeleteRoute(Command[RouteTable], frozen=True, kw_only=True):
    """Remove a route."""

    route_table_id: str
    destination: str


class CreateInternetGateway(Command[InternetGateway], frozen=True, kw_only=True):
    """An internet gateway, attached to nothing."""

    tags: Tags = ()


class DeleteInternetGateway(Command[None], frozen=True, kw_only=True):
    """Delete an internet gateway that is attached to nothing."""

    gateway_id: str


class AttachInternetGateway(Command[InternetGateway], frozen=True, kw_only=True):
    """Give a VPC its way outside."""

    gateway_id: str
    vpc_id: str


class DetachInternetGateway(Command[InternetGateway], frozen=True, kw_only=True):
    """Take a VPC's way outside; refused while interfaces in it have public addresses."""

    gateway_id: str
    vpc_id: str


class CreateNatGateway(Command[NatGateway], frozen=True, kw_only=True):
    """A NAT gateway in a subnet, under an elastic address."""

    subnet_id: str
    allocation_id: str
    private_ip: str = ""
    client_token: str = ""
    tags: Tags = ()


class DeleteNatGateway(Command[NatGateway], frozen=True, kw_only=True):
    """Delete a NAT gateway; its elastic address stays allocated."""

    nat_gateway_id: str


class CreateDhcpOptions(Command[DhcpOptions], frozen=True, kw_only=True):
    """A set of DHCP options: EC2's keys with their values."""

    options: tuple[tuple[str, tuple[str, ...]], ...]
    tags: Tags = ()


class DeleteDhcpOptions(Command[None], frozen=True, kw_only=True):
    """Delete a set that no VPC uses."""

    dhcp_options_id: str


# Network ACLs -------------------------------------------------------------------------------------------


class CreateNetworkAcl(Command[NetworkAcl], frozen=True, kw_only=True):
    """A network ACL that denies all; one for each client token."""

    vpc_id: str
    client_token: str = ""
    tags: Tags = ()


class DeleteNetworkAcl(Command[None], frozen=True, kw_only=True):
    """Delete a network ACL that no subnet uses and that is not the default one."""

    acl_id: str


class PutAclEntry(Command[NetworkAcl], frozen=True, kw_only=True):
    """Add a numbered entry, or with ``replace`` change one there is."""

    acl_id: str
    entry: AclEntry
    replace: bool = False


class DeleteAclEntry(Command[NetworkAcl], frozen=True, kw_only=True):
    """Remove a numbered entry."""

    acl_id: str
    number: int
    egress: bool


class ReplaceAclAssociation(Command[Association], frozen=True, kw_only=True):
    """Let the subnet of an association use another network ACL; a new association."""

    association_id: str
    acl_id: str


# Security groups ----------------------------------------------------------------------------------------


class RuleSpec(Value, frozen=True, kw_only=True):
    """A permission as asked for. ``peer_group`` is the id of a group, or its name in the same VPC."""

    egress: bool
    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr: str = ""
    peer_group: str = ""
    description: str = ""


class CreateSecurityGroup(Command[SecurityGroup], frozen=True, kw_only=True):
    """A group with one rule: everything may leave. Without a VPC in the default one.

    ``rules`` not None are its rules instead (OCCI).
    """

    name: str
    description: str
    vpc_id: str | None = None
    rules: tuple[RuleSpec, ...] | None = None
    tags: Tags = ()
    mixins: tuple[tuple[str, str], ...] = ()


class DeleteSecurityGroup(Command[SecurityGroup], frozen=True, kw_only=True):
    """Delete a group that no interface and no other group's rule uses."""

    group_id: str


class AuthorizeRules(Command[tuple[SecurityRule, ...]], frozen=True, kw_only=True):
    """Add permissions, all or none; in force on running guests within a second."""

    group_id: str
    rules: tuple[RuleSpec, ...]
    tags: Tags = ()


class RevokeRules(Command[tuple[SecurityRule, ...]], frozen=True, kw_only=True):
    """Remove permissions, by what they say or by id; answers those removed."""

    group_id: str
    egress: bool
    rules: tuple[RuleSpec, ...] = ()
    rule_ids: tuple[str, ...] = ()


class ModifyRules(Command[tuple[SecurityRule, ...]], frozen=True, kw_only=True):
    """Replace rules by id, all or none; the ids stay."""

    group_id: str
    changes: tuple[tuple[str, RuleSpec], ...]


class DescribeRules(Command[None], frozen=True, kw_only=True):
    """Set descriptions of rules, by what they say or by id."""

    group_id: str
    egress: bool
    rules: tuple[RuleSpec, ...] = ()
    descriptions: tuple[tuple[str, str], ...] = ()


class ModifySecurityGroup(Command[SecurityGroup], frozen=True, kw_only=True):
    """Change a group as a whole (OCCI): rules are replaced by those given, in one step."""

    group_id: str
    rules: tuple[RuleSpec, ...] | None = None
    description: str | None = None


# Interfaces ---------------------------------------------------------------------------------------------


class CreateNic(Command[Nic], frozen=True, kw_only=True):
    """An interface in a subnet; groups default to the VPC's default one. ``nic.index`` says nothing here."""

    nic: NicRequest
    client_token: str = ""
    summary: str = ""
    tags: Tags = ()


class DeleteNic(Command[Nic], frozen=True, kw_only=True):
    """Delete an interface that is attached to nothing; its addresses are free again."""

    nic_id: str


class AttachNic(Command[Nic], frozen=True, kw_only=True):
    """Attach an interface to a running or stopped instance of its zone; ``index`` None lets us choose."""

    nic_id: str
    instance_id: str
    index: int | None = None


class DetachNic(Command[Nic], frozen=True, kw_only=True):
    """Detach an interface other than the primary one, by itself or by its attachment.

    ``then_delete``: it goes when it is off (OCCI, which knows no interface without a machine).
    """

    nic_id: str = ""
    attachment_id: str = ""
    force: bool = False
    then_delete: bool = False


class ModifyNic(Command[Nic], frozen=True, kw_only=True):
    """Change attributes of an interface; ``groups`` are ids, all in its VPC.

    ``join`` and ``leave`` change its groups one by one, whatever the others are. Another ``mac`` or primary
    ``address`` needs that the interface is not in use: that its instance, if it has one, is off.
    """

    nic_id: str
    description: str | None = None
    groups: tuple[str, ...] | None = None
    join: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    source_dest_check: bool | None = None
    delete_on_termination: bool | None = None
    up: bool | None = None
    summary: str | None = None
    mac: str | None = None
    address: str | None = None


class AssignAddresses(Command[Nic], frozen=True, kw_only=True):
    """Give an interface further private addresses; ``reassign`` takes them from another one of the VPC."""

    nic_id: str
    addresses: tuple[str, ...] = ()
    count: int = 0
    reassign: bool = False


class UnassignAddresses(Command[Nic], frozen=True, kw_only=True):
    """Take further private addresses away; elastic addresses on them are disassociated."""

    nic_id: str
    addresses: tuple[str, ...]


# Public addresses ---------------------------------------------------------------------------------------


class AllocateAddress(Command[PublicAddress], frozen=True, kw_only=True):
    """An elastic address of a pool (empty: the first one); ``ip`` asks for a certain one."""

    ip: str = ""
    pool: str = ""
    summary: str = ""
    tags: Tags = ()
    mixins: tuple[tuple[str, str], ...] = ()


class AssociateAddress(Command[PublicAddress], frozen=True, kw_only=True):
    """Let an elastic address lead to a private one: of an interface, or of an instance's primary one.

    With ``move`` one that leads elsewhere is moved, else refused. It takes the place of a lent one.
    """

    allocation_id: str
    instance_id: str = ""
    nic_id: str = ""
    private_ip: str = ""
    move: bool = True


class DisassociateAddress(Command[PublicAddress], frozen=True, kw_only=True):
    """Let an elastic address lead nowhere; it stays its owner's."""

    association_id: str


class ReleaseAddress(Command[PublicAddress], frozen=True, kw_only=True):
    """Give an elastic address that leads nowhere back to its pool."""

    allocation_id: str


class ModifyAddress(Command[PublicAddress], frozen=True, kw_only=True):
    """Change what is recorded of an elastic address; ``up`` False lets it lead nowhere for a while (OCCI)."""

    allocation_id: str
    up: bool | None = None
    summary: str | None = None


# Metadata service ---------------------------------------------------------------------------------------


class ModifyMetadataOptions(Command[Instance], frozen=True, kw_only=True):
    """Change how an instance may use the metadata service; the answer holds the options as they are now."""

    instance_id: str
    options: MetadataOptions


ALL: tuple[type[Command[Any]], ...] = tuple(
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and kind.__module__ == __name__ and issubclass(kind, Command)
)
"""Every command about networks."""
