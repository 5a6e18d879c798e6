"""moto as an oracle for the shape of what is said of networks: the same calls to both clouds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from ec2_face import Ec2Cloud
from moto import mock_aws
from network_cloud import network_cloud

TAGS = [{"Key": "a", "Value": "b"}]


def tagged(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def conversation(client: Any) -> Iterator[tuple[str, Any]]:
    """The same calls to either cloud."""
    yield "vpcs", client.describe_vpcs()
    yield "subnets", client.describe_subnets()
    yield "tables", client.describe_route_tables()
    yield "acls", client.describe_network_acls()
    yield "gateways", client.describe_internet_gateways()
    made = client.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))
    vpc = made["Vpc"]["VpcId"]
    yield "vpc", made
    for name in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"):
        yield name, client.describe_vpc_attribute(VpcId=vpc, Attribute=name)
    yield "hostnames", client.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    block = client.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")
    yield "block", block
    association = block["CidrBlockAssociation"]["AssociationId"]
    yield "no block", client.disassociate_vpc_cidr_block(AssociationId=association)
    made = client.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.1.0/24",
        AvailabilityZone="us-east-1a",
        TagSpecifications=tagged("subnet"),
    )
    subnet = made["Subnet"]["SubnetId"]
    yield "subnet", made
    yield "map", client.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    made = client.create_internet_gateway(TagSpecifications=tagged("internet-gateway"))
    gateway = made["InternetGateway"]["InternetGatewayId"]
    yield "gateway", made
    yield "attach", client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    made = client.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table"))
    table = made["RouteTable"]["RouteTableId"]
    yield "table", made
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    yield "route", client.create_route(**route, GatewayId=gateway)
    made = client.associate_route_table(RouteTableId=table, SubnetId=subnet)
    yield "associate", made
    address = client.allocate_address(Domain="vpc")
    nat = client.create_nat_gateway(
        SubnetId=subnet, AllocationId=address["AllocationId"], TagSpecifications=tagged("natgateway")
    )
    yield "nat", nat
    yield "nats", client.describe_nat_gateways()
    yield "their table", client.describe_route_tables(RouteTableIds=[table])
    yield "their gateway", client.describe_internet_gateways(InternetGatewayIds=[gateway])
    yield "their subnet", client.describe_subnets(SubnetIds=[subnet])
    yield "their vpc", client.describe_vpcs(VpcIds=[vpc])
    made = client.create_network_acl(VpcId=vpc, TagSpecifications=tagged("network-acl"))
    acl = made["NetworkAcl"]["NetworkAclId"]
    yield "acl", made
    entry = {"NetworkAclId": acl, "RuleNumber": 5, "RuleAction": "allow", "Egress": False}
    ports = {"PortRange": {"From": 22, "To": 23}, "CidrBlock": "0.0.0.0/0"}
    yield "entry", client.create_network_acl_entry(**entry, Protocol="6", **ports)
    yield "their acl", client.describe_network_acls(NetworkAclIds=[acl])
    options = [{"Key": "domain-name", "Values": ["example.com"]}]
    made = client.create_dhcp_options(DhcpConfigurations=options, TagSpecifications=tagged("dhcp-options"))
    dopt = made["DhcpOptions"]["DhcpOptionsId"]
    yield "options", made
    yield "use", client.associate_dhcp_options(DhcpOptionsId=dopt, VpcId=vpc)
    yield "their options", client.describe_dhcp_options(DhcpOptionsIds=[dopt])
    yield "links", client.describe_vpc_classic_link()
    yield "names", client.describe_vpc_classic_link_dns_support()
    yield "no nat", client.delete_nat_gateway(NatGatewayId=nat["NatGateway"]["NatGatewayId"])


def members(value: Any, path: str = "") -> Iterator[str]:
    """Paths of everything a reply holds."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "ResponseMetadata":
                yield from members(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        yield f"{path}[]"
        for inner in value:
            yield from members(inner, f"{path}[]")
    else:
        yield path


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    with mock_aws():
        client = boto3.client(
            "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        return dict(conversation(client))


@pytest.fixture
def ours(monkeypatch) -> dict[str, Any]:
    return dict(conversation(Ec2Cloud(monkeypatch, cloud=network_cloud()).ann))


def test_what_moto_says_we_say_too(ours, theirs):
    assert {name: set(members(reply)) - set(members(ours[name])) for name, reply in theirs.items()} == {
        name: set() for name in ours
    }
    assert sum(len(set(members(reply))) for reply in theirs.values()) > 250
