"""The nouns of networks: what a tenant draws, as frozen rows, and the whole of it as one :class:`Topology`.

Identifiers are EC2's. CIDRs are normalised texts (host bits zero). What packets do follows from these rows
alone: a network driver is given a :class:`Topology` and makes the world agree with it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from enum import StrEnum

from backend.model import Api, AttachState, Owned, Value

ANYWHERE = "0.0.0.0/0"
METADATA_ADDRESS = "169.254.169.254"
DEFAULT_GROUP = "default"
ALL_PROTOCOLS = "-1"


class CidrBlock(Value, frozen=True, kw_only=True):
    """A further block of addresses of a VPC, with the id of its association."""

    association_id: str
    cidr: str


class Vpc(Owned, frozen=True, kw_only=True):
    """A tenant's own network of networks: one router, any addresses, seen by nobody else.

    ``blocks`` are the blocks besides ``cidr``. ``dhcp_options_id`` is empty for the installation's own,
    ``default`` where a tenant asked for them back.
    """

    cidr: str
    default: bool = False
    blocks: tuple[CidrBlock, ...] = ()
    association_id: str = ""
    dhcp_options_id: str = ""
    dns_support: bool = True
    dns_hostnames: bool = False
    tenancy: str = "default"
    summary: str = ""

    @property
    def cidrs(self) -> tuple[str, ...]:
        """All its blocks."""
        return (self.cidr, *(block.cidr for block in self.blocks))


class Subnet(Owned, frozen=True, kw_only=True):
    """A range of a VPC's addresses in one zone: EC2's subnet, OCCI's network.

    ``route_table_id`` is empty for the VPC's main table; ``acl_id`` is always set. ``up`` is OCCI's switch: a
    network that is down hands out no addresses any more (lifecycle §11, ``disabled``). ``label`` and ``vlan``
    are OCCI's, and only recorded.
    """

    vpc_id: str
    zone: str
    cidr: str
    acl_id: str
    acl_association_id: str
    default: bool = False
    map_public_ip: bool = False
    route_table_id: str = ""
    route_association_id: str = ""
    up: bool = True
    label: str = ""
    vlan: int | None = None
    summary: str = ""
    api: Api = Api.CLI

    @property
    def network(self) -> ipaddress.IPv4Network:
        """Its range."""
        return ipaddress.IPv4Network(self.cidr)

    def address(self, offset: int) -> str:
        """The address so many after the first one: 1 is the router, 2 the resolver, 3 the metadata router."""
        return str(self.network.network_address + offset)

    @property
    def router(self) -> str:
        """The address of the VPC's router in it."""
        return self.address(1)

    @property
    def metadata_router(self) -> str:
        """The address of the way to the metadata service in it."""
        return self.address(3)


RESERVED_FIRST = 4
RESERVED_LAST = 1
"""Addresses at either end of a subnet that nobody gets (AWS: five in all)."""


class Route(Value, frozen=True, kw_only=True):
    """One route besides the local ones: ``target`` is the id of a gateway, NAT gateway or interface.

    ``instance_id`` is what the client named when it named an instance; the target is its interface then.
    """

    destination: str
    target: str
    instance_id: str = ""


class RouteTable(Owned, frozen=True, kw_only=True):
    """Where packets that leave a subnet go; the VPC's blocks are always local. ``main`` serves the subnets
    that name no other, by the association ``main_association_id``.
    """

    vpc_id: str
    main: bool = False
    main_association_id: str = ""
    routes: tuple[Route, ...] = ()


class InternetGateway(Owned, frozen=True, kw_only=True):
    """The way of one VPC to and from outside, for interfaces that have a public address."""

    vpc_id: str | None = None


class NatState(StrEnum):
    """States of a NAT gateway; a deleted one is shown for an hour."""

    PENDING = "pending"
    AVAILABLE = "available"
    DELETED = "deleted"
    FAILED = "failed"


class NatGateway(Owned, frozen=True, kw_only=True):
    """Lets what has no public address reach outside under that of the gateway; nothing comes in."""

    vpc_id: str
    subnet_id: str
    nic_id: str
    allocation_id: str
    public_ip: str
    private_ip: str
    state: NatState = NatState.AVAILABLE
    client_token: str = ""
    deleted_at: float | None = None


class DhcpOptions(Owned, frozen=True, kw_only=True):
    """What guests are told besides their address: EC2's keys with their values."""

    options: Mapping[str, tuple[str, ...]] = {}


class AclEntry(Value, frozen=True, kw_only=True):
    """One numbered rule of a network ACL; the lowest number that matches decides.

    ``protocol`` is a number or ``-1``. Ports are for TCP and UDP, type and code for ICMP (-1: any).
    """

    number: int
    egress: bool
    allow: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


class NetworkAcl(Owned, frozen=True, kw_only=True):
    """What may cross the border of its subnets, packet by packet, without memory."""

    vpc_id: str
    default: bool = False
    entries: tuple[AclEntry, ...] = ()


class SecurityGroup(Owned, frozen=True, kw_only=True):
    """A named set of rules for the interfaces that are its members: what no rule allows is dropped."""

    vpc_id: str
    name: str
    description: str = ""
    api: Api = Api.CLI


class SecurityRule(Value, frozen=True, kw_only=True):
    """One permission of a group: a protocol, ports, and one peer (a CIDR, or the members of a group).

    ``protocol`` is tcp, udp, icmp, icmpv6, a number, or ``-1`` for all. For TCP and UDP ``from_port`` to
    ``to_port``; for ICMP type and code (-1: any); -1 and -1 otherwise.
    """

    id: str
    group_id: str
    tenant_id: str
    egress: bool
    protocol: str
    created_at: float
    from_port: int = -1
    to_port: int = -1
    cidr: str = ""
    peer_group_id: str = ""
    description: str = ""
    version: int = 1


class Nic(Owned, frozen=True, kw_only=True):
    """A network interface: EC2's eni, OCCI's networkinterface. Its primary address and MAC change only
    while it is not in use.

    ``lends``: a public address is lent to it while its instance runs.
    ``index`` is its place in its instance (0 is primary). ``requester`` names what keeps it for itself
    (``nat`` for a NAT gateway's); such a one is no tenant's to change. ``up`` is OCCI's switch.
    """

    zone: str
    vpc_id: str
    subnet_id: str
    mac: str
    address: str
    groups: tuple[str, ...] = ()
    description: str = ""
    source_dest_check: bool = True
    lends: bool = False
    instance_id: str | None = None
    index: int = 0
    attach: AttachState = AttachState.NONE
    attachment_id: str = ""
    delete_on_termination: bool = False
    asked_at: float | None = None
    attached_at: float | None = None
    requester: str = ""
    up: bool = True
    api: Api = Api.CLI
    client_token: str = ""
    summary: str = ""
    message: str = ""


def membership_id(instance_id: str, group_id: str) -> str:
    """What an instance's membership in a security group is called: it has no row of its own."""
    digits = hashlib.sha256(f"{instance_id}/{group_id}".encode()).hexdigest()[:17]
    return f"sglink-{digits}"


class Lease(Value, frozen=True, kw_only=True):
    """One address of a subnet, held by one interface (lifecycle §11: ``used``); without a row it is free."""

    subnet_id: str
    address: str
    nic_id: str
    primary: bool = True


class PublicAddress(Owned, frozen=True, kw_only=True):
    """An address of the outside: elastic, allocated by a tenant, or ``auto``, lent to a running instance.

    Associated with one private address of one interface (``nic_id``, ``private_ip``), or with none.
    """

    ip: str
    pool: str
    auto: bool = False
    nic_id: str | None = None
    private_ip: str = ""
    association_id: str = ""
    associated_at: float | None = None
    up: bool = True
    summary: str = ""
    api: Api = Api.CLI


class InfraAddress(Value, frozen=True, kw_only=True):
    """An address between routers and the metadata service, and whose it is: an interface or a VPC."""

    address: str
    owner_id: str


class NetworkChange(Value, frozen=True, kw_only=True):
    """Something that a network driver has yet to make true: the id of what changed."""

    id: str
    scope: str
    at: float


# The whole of it ----------------------------------------------------------------------------------------


class Topology(Value, frozen=True, kw_only=True):
    """Rows that belong together, by id: all there are, or those that some objects depend on.

    ``infra`` has the addresses towards the metadata service and outside: of interfaces, of VPCs (their
    metadata router) and of internet gateways (the main router's side outside). ``rules`` are by group,
    ``leases`` (addresses, the primary one first) by interface, ``public`` by interface. ``chassis`` names
    what can forward for everybody, ``places`` the host of each interface whose instance is on one.
    """

    vpcs: Mapping[str, Vpc] = {}
    subnets: Mapping[str, Subnet] = {}
    route_tables: Mapping[str, RouteTable] = {}
    internet_gateways: Mapping[str, InternetGateway] = {}
    nat_gateways: Mapping[str, NatGateway] = {}
    dhcp_options: Mapping[str, DhcpOptions] = {}
    acls: Mapping[str, NetworkAcl] = {}
    groups: Mapping[str, SecurityGroup] = {}
    rules: Mapping[str, tuple[SecurityRule, ...]] = {}
    nics: Mapping[str, Nic] = {}
    leases: Mapping[str, tuple[str, ...]] = {}
    public: Mapping[str, tuple[PublicAddress, ...]] = {}
    infra: Mapping[str, str] = {}
    chassis: tuple[str, ...] = ()
    places: Mapping[str, str] = {}

    def table_of(self, subnet: Subnet) -> RouteTable | None:
        """The route table that a subnet uses: its own, or the main one of its VPC."""
        if subnet.route_table_id:
            return self.route_tables.get(subnet.route_table_id)
        return next(
            (each for each in self.route_tables.values() if each.vpc_id == subnet.vpc_id and each.main), None
        )

    def gateway_of(self, vpc_id: str) -> InternetGateway | None:
        """The internet gateway of a VPC."""
        return next((each for each in self.internet_gateways.values() if each.vpc_id == vpc_id), None)
