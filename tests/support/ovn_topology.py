"""Small topologies, drawn in few words, for tests of network drivers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from backend.network_model import (
    AclEntry,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Topology,
    Vpc,
)

OWNED: dict[str, Any] = {"tenant_id": "t-1", "account_id": "1", "region": "r", "created_at": 0.0}
OPEN = (
    AclEntry(number=100, egress=False, allow=True, protocol="-1", cidr="0.0.0.0/0"),
    AclEntry(number=100, egress=True, allow=True, protocol="-1", cidr="0.0.0.0/0"),
)
INFRA = ipaddress.IPv4Network("100.64.0.0/16")


@dataclass
class Drawing:
    """A topology under construction; ids are readable, addresses handed out in order."""

    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    route_tables: dict[str, RouteTable] = field(default_factory=dict)
    internet_gateways: dict[str, InternetGateway] = field(default_factory=dict)
    nat_gateways: dict[str, NatGateway] = field(default_factory=dict)
    dhcp_options: dict[str, Any] = field(default_factory=dict)
    acls: dict[str, NetworkAcl] = field(default_factory=dict)
    groups: dict[str, SecurityGroup] = field(default_factory=dict)
    rules: dict[str, tuple[SecurityRule, ...]] = field(default_factory=dict)
    nics: dict[str, Nic] = field(default_factory=dict)
    leases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    addresses: dict[str, PublicAddress] = field(default_factory=dict)
    infra: dict[str, str] = field(default_factory=dict)
    chassis: tuple[str, ...] = ("h1", "h2")
    count: int = 0

    @property
    def topology(self) -> Topology:
        """What is drawn."""
        public: dict[str, tuple[PublicAddress, ...]] = {}
        for each in self.addresses.values():
            if each.nic_id is not None:
                public[each.nic_id] = (*public.get(each.nic_id, ()), each)
        return Topology(
            vpcs=dict(self.vpcs), subnets=dict(self.subnets), route_tables=dict(self.route_tables),
            internet_gateways=dict(self.internet_gateways), nat_gateways=dict(self.nat_gateways),
            dhcp_options=dict(self.dhcp_options), acls=dict(self.acls), groups=dict(self.groups),
            rules=dict(self.rules), nics=dict(self.nics), leases=dict(self.leases), public=public,
            infra=dict(self.infra), chassis=self.chassis,
        )  # fmt: skip

    def number(self) -> int:
        """The next one."""
        self.count += 1
        return self.count

    def vpc(self, name: str, cidr: str = "10.0.0.0/16", *, gateway: bool = True, **more: Any) -> Vpc:
        """A VPC with an open network ACL, a main table, and an internet gateway that it leads to."""
        vpc = Vpc(id=f"vpc-{name}", cidr=cidr, **OWNED, **more)
        self.vpcs[vpc.id] = vpc
        self.infra[vpc.id] = str(INFRA[0x8000 + self.number()])
        self.acl(f"acl-{name}", vpc, OPEN)
        routes: tuple[Route, ...] = ()
        if gateway:
            found = InternetGateway(id=f"igw-{name}", vpc_id=vpc.id, **OWNED)
            self.internet_gateways[found.id] = found
            routes = (Route(destination="0.0.0.0/0", target=found.id),)
        self.table(f"rtb-{name}", vpc, *routes, main=True)
        return vpc

    def acl(self, name: str, vpc: Vpc, entries: tuple[AclEntry, ...]) -> NetworkAcl:
        """A network ACL, or the same with other entries."""
        self.acls[name] = NetworkAcl(id=name, vpc_id=vpc.id, entries=entries, **OWNED)
        return self.acls[name]

    def table(self, name: str, vpc: Vpc, *routes: Route, main: bool = False) -> RouteTable:
        """A route table, or the same with other routes."""
        self.route_tables[name] = RouteTable(id=name, vpc_id=vpc.id, main=main, routes=routes, **OWNED)
        return self.route_tables[name]

    def subnet(self, name: str, vpc: Vpc, cidr: str, **more: Any) -> Subnet:
        """A subnet with the VPC's own network ACL."""
        more.setdefault("acl_id", vpc.id.replace("vpc-", "acl-"))
        subnet = Subnet(
            id=f"subnet-{name}",
            vpc_id=vpc.id,
            zone="z",
            cidr=cidr,
            acl_association_id="aclassoc-1",
            **OWNED,
            **more,
        )
        self.subnets[subnet.id] = subnet
        return subnet

    def group(self, name: str, vpc: Vpc, *rules: dict[str, Any]) -> SecurityGroup:
        """A group, or the same with other rules."""
        group = SecurityGroup(id=f"sg-{name}", vpc_id=vpc.id, name=name, **OWNED)
        self.groups[group.id] = group
        self.rules[group.id] = tuple(
            SecurityRule(
                id=f"sgr-{name}{place}",
                group_id=group.id,
                tenant_id="t-1",
                created_at=0.0,
                **{"egress": False, **rule},
            )
            for place, rule in enumerate(rules)
        )
        return group

    def nic(self, subnet: Subnet, *groups: SecurityGroup, **more: Any) -> Nic:
        """An interface with the next address of its subnet."""
        number = self.number()
        address = more.pop(
            "address", subnet.address(11 + sum(each.subnet_id == subnet.id for each in self.nics.values()))
        )
        secondary = more.pop("secondary", ())
        nic = Nic(
            id=f"eni-{number:017x}", zone="z", vpc_id=subnet.vpc_id, subnet_id=subnet.id,
            mac=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}", address=address,
            **OWNED, **{"groups": tuple(each.id for each in groups), "instance_id": f"i-{number}", **more},
        )  # fmt: skip
        self.nics[nic.id] = nic
        self.leases[nic.id] = (address, *secondary)
        self.infra[nic.id] = str(INFRA[256 + number])
        return nic

    def public(self, name: str, ip: str, nic: Nic | None, private_ip: str = "") -> PublicAddress:
        """A public address, or the same with another interface."""
        address = PublicAddress(
            id=f"eipalloc-{name}", ip=ip, pool="public", nic_id=nic.id if nic else None,
            private_ip=private_ip or (nic.address if nic else ""), **OWNED,
        )  # fmt: skip
        self.addresses[address.id] = address
        return address

    def nat(self, name: str, subnet: Subnet, ip: str) -> NatGateway:
        """A NAT gateway with an interface of its own."""
        nic = self.nic(subnet, requester="nat", instance_id=None)
        address = self.public(name, ip, nic)
        gateway = NatGateway(
            id=f"nat-{name}", vpc_id=subnet.vpc_id, subnet_id=subnet.id, nic_id=nic.id, allocation_id=address.id,
            public_ip=ip, private_ip=nic.address, **OWNED,
        )  # fmt: skip
        self.nat_gateways[gateway.id] = gateway
        return gateway


def anything(*, egress: bool = False, **more: Any) -> dict[str, Any]:
    """A rule that allows everything, or what is named."""
    return {"protocol": "-1", "cidr": "0.0.0.0/0", "egress": egress, **more}
