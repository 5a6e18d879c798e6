"""VPCs, subnets, route tables, gateways, network ACLs and DHCP options as EC2's reply documents.

Pure functions. These nouns tell of their tags even when there are none, as the real service does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import msgspec

from backend.model import AttachState
from backend.network_model import (
    RESERVED_FIRST,
    RESERVED_LAST,
    AclEntry,
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NatState,
    NetworkAcl,
    Nic,
    PublicAddress,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)
from ec2.interface_mapping import arn
from ec2.mapping import DNS_NAME_OPTIONS, Document, dns_domain, moment, tag_list, writable, zone_id_of

Tags = Mapping[str, str]

AVAILABLE = "available"  # a row that is there can be used: nothing of these nouns is made later
LOCAL = "local"
_BLOCK_PUBLIC_ACCESS = {"InternetGatewayBlockMode": "off"}


def _tags(tags: Tags) -> list[Document]:
    return tag_list(tags) or []


# VPCs and subnets ---------------------------------------------------------------------------------------


def cidr_association(association_id: str, cidr: str, state: str = "associated") -> Document:
    """``VpcCidrBlockAssociation``."""
    return {"AssociationId": association_id, "CidrBlock": cidr, "CidrBlockState": {"State": state}}


def vpc_document(vpc: Vpc, tags: Tags) -> Document:
    """``Vpc`` of CreateVpc and DescribeVpcs."""
    blocks = [(vpc.association_id, vpc.cidr), *((each.association_id, each.cidr) for each in vpc.blocks)]
    return {
        "VpcId": vpc.id,
        "CidrBlock": vpc.cidr,
        "CidrBlockAssociationSet": [cidr_association(*block) for block in blocks],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": vpc.dhcp_options_id or default_dhcp_options(vpc.account_id, vpc.region).id,
        "InstanceTenancy": vpc.tenancy,
        "IsDefault": vpc.default,
        "OwnerId": vpc.account_id,
        "State": AVAILABLE,
        "BlockPublicAccessStates": _BLOCK_PUBLIC_ACCESS,
        "Tags": _tags(tags),
    }


def subnet_document(subnet: Subnet, held: int, tags: Tags) -> Document:
    """``Subnet`` of CreateSubnet and DescribeSubnets; ``held`` is how many of its addresses are given out."""
    return {
        "SubnetId": subnet.id,
        "SubnetArn": arn(subnet.region, subnet.account_id, "subnet", subnet.id),
        "VpcId": subnet.vpc_id,
        "CidrBlock": subnet.cidr,
        "AvailabilityZone": subnet.zone,
        "AvailabilityZoneId": zone_id_of(subnet.region, subnet.zone),
        "AvailableIpAddressCount": subnet.network.num_addresses - RESERVED_FIRST - RESERVED_LAST - held,
        "DefaultForAz": subnet.default,
        "MapPublicIpOnLaunch": subnet.map_public_ip,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "EnableDns64": False,
        "PrivateDnsNameOptionsOnLaunch": DNS_NAME_OPTIONS,
        "OwnerId": subnet.account_id,
        "State": AVAILABLE,
        "BlockPublicAccessStates": _BLOCK_PUBLIC_ACCESS,
        "Tags": _tags(tags),
    }


# Route tables -------------------------------------------------------------------------------------------


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """What routes lead to: gateways by id, interfaces by id, and the instances that run."""

    gateways: Mapping[str, InternetGateway]
    nats: Mapping[str, NatGateway]
    nics: Mapping[str, Nic]
    running: Collection[str]

    def reaches(self, table: RouteTable, target: str) -> bool:
        """Whether packets come through to a route's target."""
        if target in self.gateways:
            return self.gateways[target].vpc_id == table.vpc_id
        if target in self.nats:
            return self.nats[target].state is NatState.AVAILABLE
        nic = self.nics.get(target)
        return nic is not None and nic.attach is AttachState.ATTACHED and nic.instance_id in self.running


def table_association(association_id: str, table_id: str, subnet_id: str = "") -> Document:
    """``RouteTableAssociation``: of a subnet, or without one of the VPC (the main one)."""
    return {
        "Main": not subnet_id,
        "RouteTableAssociationId": association_id,
        "RouteTableId": table_id,
        "SubnetId": subnet_id or None,
        "AssociationState": {"State": "associated"},
    }


def local_route(cidr: str) -> Document:
    """``Route`` to what is in the VPC itself."""
    return {
        "DestinationCidrBlock": cidr,
        "GatewayId": LOCAL,
        "Origin": "CreateRouteTable",
        "State": "active",
    }


def route_document(table: RouteTable, route: Route, hops: Hops) -> Document:
    """``Route`` that somebody made; a *blackhole* when its target is gone, detached or switched off."""
    nic = hops.nics.get(route.target)
    document: Document = {
        "DestinationCidrBlock": route.destination,
        "Origin": "CreateRoute",
        "State": "active" if hops.reaches(table, route.target) else "blackhole",
    }
    match route.target.partition("-")[0]:
        case "igw":
            return document | {"GatewayId": route.target}
        case "nat":
            return document | {"NatGatewayId": route.target}
        case _:
            instance_id = nic.instance_id if nic is not None else None
            return document | {
                "NetworkInterfaceId": route.target,
                "InstanceId": instance_id,
                "InstanceOwnerId": table.account_id if instance_id else None,
            }


def route_table_document(
    table: RouteTable, cidrs: Sequence[str], users: Sequence[Subnet], hops: Hops, tags: Tags
) -> Document:
    """``RouteTable``; ``users`` are the subnets that name it, ``cidrs`` the blocks of its VPC."""
    associations = [table_association(table.main_association_id, table.id)] if table.main else []
    associations += [table_association(each.route_association_id, table.id, each.id) for each in users]
    return {
        "RouteTableId": table.id,
        "VpcId": table.vpc_id,
        "OwnerId": table.account_id,
        "Associations": associations,
        "PropagatingVgws": [],
        "Routes": [
            *(local_route(cidr) for cidr in cidrs),
            *(route_document(table, route, hops) for route in table.routes),
        ],
        "Tags": _tags(tags),
    }


# Gateways -----------------------------------------------------------------------------------------------


def internet_gateway_document(gateway: InternetGateway, tags: Tags) -> Document:
    """``InternetGateway``."""
    attached = gateway.vpc_id is not None
    return {
        "InternetGatewayId": gateway.id,
        "OwnerId": gateway.account_id,
        "Attachments": [{"State": AVAILABLE, "VpcId": gateway.vpc_id}] if attached else [],
        "Tags": _tags(tags),
    }


def nat_gateway_document(gateway: NatGateway, public: Sequence[PublicAddress], tags: Tags) -> Document:
    """``NatGateway``; ``public`` are the addresses of its interface."""
    association = next((each.association_id for each in public), None)
    gone = gateway.deleted_at
    return {
        "NatGatewayId": gateway.id,
        "VpcId": gateway.vpc_id,
        "SubnetId": gateway.subnet_id,
        "State": gateway.state.value,
        "AvailabilityMode": "zonal",
        "ConnectivityType": "public",
        "CreateTime": moment(gateway.created_at),
        "DeleteTime": None if gone is None else moment(gone),
        "NatGatewayAddresses": [
            {
                "AllocationId": gateway.allocation_id,
                "AssociationId": association,
                "NetworkInterfaceId": gateway.nic_id,
                "PrivateIp": gateway.private_ip,
                "PublicIp": gateway.public_ip,
                "IsPrimary": True,
                "Status": "succeeded",
            }
        ],
        "Tags": _tags(tags),
    }


# DHCP options -------------------------------------------------------------------------------------------


def default_dhcp_options(account_id: str, region: str) -> DhcpOptions:
    """The installation's own options, which VPCs have that name none, as a set that each account sees."""
    digits = hashlib.sha256(f"dhcp options of {account_id} in {region}".encode()).hexdigest()[:17]
    return DhcpOptions(
        id=f"dopt-{digits}",
        tenant_id="",
        account_id=account_id,
        region=region,
        created_at=0.0,
        options={"domain-name": (dns_domain(region),), "domain-name-servers": ("AmazonProvidedDNS",)},
    )


def dhcp_options_document(options: DhcpOptions, tags: Tags) -> Document:
    """``DhcpOptions``."""
    return {
        "DhcpOptionsId": options.id,
        "OwnerId": options.account_id,
        "DhcpConfigurations": [
            {"Key": name, "Values": [{"Value": writable(value)} for value in values]}
            for name, values in options.options.items()
        ],
        "Tags": _tags(tags),
    }


# Network ACLs -------------------------------------------------------------------------------------------


def acl_entry_document(entry: AclEntry) -> Document:
    """``NetworkAclEntry``."""
    ports = {"From": entry.from_port, "To": entry.to_port} if entry.from_port is not None else None
    kinds = {"Type": entry.icmp_type, "Code": entry.icmp_code} if entry.icmp_type is not None else None
    return {
        "RuleNumber": entry.number,
        "Egress": entry.egress,
        "RuleAction": "allow" if entry.allow else "deny",
        "Protocol": entry.protocol,
        "CidrBlock": entry.cidr,
        "PortRange": ports,
        "IcmpTypeCode": kinds,
    }


def network_acl_document(acl: NetworkAcl, users: Sequence[Subnet], tags: Tags) -> Document:
    """``NetworkAcl``; ``users`` are the subnets that it is for."""
    return {
        "NetworkAclId": acl.id,
        "VpcId": acl.vpc_id,
        "OwnerId": acl.account_id,
        "IsDefault": acl.default,
        "Associations": [
            {
                "NetworkAclAssociationId": each.acl_association_id,
                "NetworkAclId": acl.id,
                "SubnetId": each.id,
            }
            for each in users
        ],
        "Entries": [acl_entry_document(entry) for entry in acl.entries],
        "Tags": _tags(tags),
    }
