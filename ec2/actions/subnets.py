"""Subnets: create, list, change, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend import network_commands as commands
from backend.errors import BackendError, Code
from backend.network_model import Subnet
from ec2 import mapping, network_mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags
from ec2.actions.network_listing import Told, absent, at, id_in, listed, table, tags_of, told
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind
from ec2.listing import Column, Listing, flag
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="SubnetIds", ids_word="subnetIds")

_NAMES = "private-dns-name-options-on-launch"
FILTERS = table(
    {
        "availability-zone": at("AvailabilityZone"),
        "availability-zone-id": at("AvailabilityZoneId"),
        "available-ip-address-count": at("AvailableIpAddressCount"),
        "cidr-block": at("CidrBlock"),
        "customer-owned-ipv4-pool": absent,
        "default-for-az": at("DefaultForAz"),
        "enable-dns64": at("EnableDns64"),
        "enable-lni-at-device-index": absent,
        "ipv6-cidr-block-association.association-id": absent,
        "ipv6-cidr-block-association.ipv6-cidr-block": absent,
        "ipv6-cidr-block-association.state": absent,
        "ipv6-native": at("Ipv6Native"),
        "map-customer-owned-ip-on-launch": at("MapCustomerOwnedIpOnLaunch"),
        "map-public-ip-on-launch": at("MapPublicIpOnLaunch"),
        "outpost-arn": absent,
        "owner-id": at("OwnerId"),
        f"{_NAMES}.enable-resource-name-dns-a-record": at(
            "PrivateDnsNameOptionsOnLaunch", "EnableResourceNameDnsARecord"
        ),
        f"{_NAMES}.enable-resource-name-dns-aaaa-record": at(
            "PrivateDnsNameOptionsOnLaunch", "EnableResourceNameDnsAAAARecord"
        ),
        f"{_NAMES}.hostname-type": at("PrivateDnsNameOptionsOnLaunch", "HostnameType"),
        "state": at("State"),
        "subnet-arn": at("SubnetArn"),
        "subnet-id": at("SubnetId"),
        "vpc-id": at("VpcId"),
    },
    aliases={
        "availabilityZone": "availability-zone",
        "availabilityZoneId": "availability-zone-id",
        "cidr": "cidr-block",
        "cidrBlock": "cidr-block",
        "defaultForAz": "default-for-az",
        "subnetId": "subnet-id",
        "vpcId": "vpc-id",
    },
)

_NOT_OFFERED = (
    "Ipv4IpamPoolId",
    "Ipv4NetmaskLength",
    "Ipv6CidrBlock",
    "Ipv6IpamPoolId",
    "Ipv6Native",
    "Ipv6NetmaskLength",
    "OutpostArn",
)


def create_subnet(context: Ec2Context, params: Params) -> Document:
    """Make a subnet in a zone (CreateSubnet)."""
    vpc_id = id_in(params, "VpcId", IdKind.VPC)
    refuse_all(params, _NOT_OFFERED)
    cidr: str = params.get("CidrBlock") or ""
    if not cidr:
        raise missing("CidrBlock")
    subnet = context.engine.execute(
        context.caller,
        commands.CreateSubnet(vpc_id=vpc_id, cidr=cidr, zone=_zone(context, params), tags=_tags(params)),
    )
    return {"Subnet": _document(context, subnet)}


def _tags(params: Params) -> tuple[tuple[str, str], ...]:
    """The subnet's tags; EC2 has a code of its own here for specifications that are none."""
    try:
        return specified_tags(params, "subnet")
    except Ec2Error as error:
        if error.code != "InvalidParameterValue":
            raise
        raise Ec2Error("InvalidParameter", error.message) from error


def _zone(context: Ec2Context, params: Params) -> str | None:
    """The zone that a call names, by its name or its id."""
    zone: str = params.get("AvailabilityZone") or ""
    zone_id: str = params.get("AvailabilityZoneId") or ""
    if zone and zone_id:
        raise Ec2Error(
            "InvalidParameterCombination",
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together",
        )
    named = [name for name in context.zones if mapping.zone_id_of(context.region, name) == zone_id]
    if zone_id and not named:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({zone_id[:120]}) for parameter availabilityZoneId is invalid. There is no such zone.",
        )
    return named[0] if named else zone or None


def _document(context: Ec2Context, subnet: Subnet) -> Document:
    held = context.engine.networks.held([subnet.id]).get(subnet.id, 0)
    return network_mapping.subnet_document(subnet, held, tags_of(context, subnet.id))


def create_default_subnet(context: Ec2Context, params: Params) -> Document:
    """Make the default VPC's subnet of a zone again (CreateDefaultSubnet)."""
    zone = _zone(context, params)
    if zone is None:
        raise missing("AvailabilityZone")
    refuse_all(params, ("Ipv6Native",))
    try:
        subnet = context.engine.execute(context.caller, commands.CreateSubnet(zone=zone, default=True))
    except BackendError as error:
        if error.code is not Code.NO_DEFAULT_VPC:
            raise
        raise Ec2Error(
            "DefaultVpcDoesNotExist", "No default VPC exists for this account in this region."
        ) from error
    return {"Subnet": _document(context, subnet)}


def _told(context: Ec2Context, subnets: Sequence[Subnet]) -> list[Told]:
    held = context.engine.networks.held([each.id for each in subnets])
    return told(
        context,
        subnets,
        lambda subnet, tags: network_mapping.subnet_document(subnet, held.get(subnet.id, 0), tags),
    )


LISTING = Listing(
    kind=Subnet,
    dress=_told,
    filters=FILTERS,
    columns={
        "availability-zone": Column("zone"),
        "cidr-block": Column("cidr"),
        "default-for-az": flag("default"),
        "map-public-ip-on-launch": flag("map_public_ip"),
        "owner-id": Column("account_id"),
        "subnet-id": Column("id"),
        "vpc-id": Column("vpc_id"),
    },
    limits=LIMITS,
)


def describe_subnets(context: Ec2Context, params: Params) -> Document:
    """Subnets by id or filter, oldest first (DescribeSubnets)."""
    documents, token = listed(context, params, LISTING, IdKind.SUBNET, "SubnetIds")
    return {"Subnets": documents, "NextToken": token}


def delete_subnet(context: Ec2Context, params: Params) -> Document:
    """Delete a subnet without interfaces (DeleteSubnet)."""
    command = commands.DeleteSubnet(subnet_id=id_in(params, "SubnetId", IdKind.SUBNET))
    context.engine.execute(context.caller, command)
    return {}


_NEVER = ("CustomerOwnedIpv4Pool", "DisableLniAtDeviceIndex", "EnableLniAtDeviceIndex")
_AS_IT_IS: Mapping[str, Any] = {
    "AssignIpv6AddressOnCreation": {"Value": False},
    "EnableDns64": {"Value": False},
    "EnableResourceNameDnsAAAARecordOnLaunch": {"Value": False},
    "EnableResourceNameDnsARecordOnLaunch": {"Value": False},
    "MapCustomerOwnedIpOnLaunch": {"Value": False},
    "PrivateDnsHostnameTypeOnLaunch": "ip-name",
}


def modify_subnet_attribute(context: Ec2Context, params: Params) -> Document:
    """Whether instances get a public address of their own accord (ModifySubnetAttribute)."""
    subnet_id = id_in(params, "SubnetId", IdKind.SUBNET)
    refuse_all(params, _NEVER)
    refuse_unless(params, _AS_IT_IS)
    wanted = (params.get("MapPublicIpOnLaunch") or {}).get("Value")
    if wanted is None and not any(params.get(name) for name in _AS_IT_IS):
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    context.engine.execute(context.caller, commands.ModifySubnet(subnet_id=subnet_id, map_public_ip=wanted))
    return {}
