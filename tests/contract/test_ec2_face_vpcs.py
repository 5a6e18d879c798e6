"""VPCs and what is in them through the EC2 face: drawn, listed, changed, taken down, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from network_cloud import ZONES, network_cloud
from simulation import ADMIN, Cloud

from backend.commands import SetQuota
from backend.engine import EngineSettings
from backend.model import QuotaName

UNKNOWN = "0123456789abcdef0"
ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch, cloud=network_cloud())


def refused(call, **parameters) -> tuple[str, str]:
    """Code and message of a refusal; a parameter that is None is not sent."""
    with pytest.raises(ClientError) as caught:
        call(**{name: value for name, value in parameters.items() if value is not None})
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def where(**filters: Any) -> list[dict[str, Any]]:
    return [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in filters.items()
    ]


def tagged(kind: str, **tags: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def new_vpc(face, cidr="10.0.0.0/16", **more) -> str:
    made: str = face.ann.create_vpc(CidrBlock=cidr, **more)["Vpc"]["VpcId"]
    return made


def new_subnet(face, vpc, cidr="10.0.1.0/24", **more) -> str:
    made: str = face.ann.create_subnet(VpcId=vpc, CidrBlock=cidr, **more)["Subnet"]["SubnetId"]
    return made


def new_table(face, vpc, **more) -> str:
    made: str = face.ann.create_route_table(VpcId=vpc, **more)["RouteTable"]["RouteTableId"]
    return made


def new_gateway(face, vpc=None) -> str:
    made: str = face.ann.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    if vpc is not None:
        face.ann.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc)
    return made


def table_of(face, table) -> dict[str, Any]:
    (found,) = face.ann.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return found


def main_table(face, vpc) -> dict[str, Any]:
    filters = where(association__main="true", vpc_id=vpc)
    (found,) = face.ann.describe_route_tables(Filters=filters)["RouteTables"]
    return found


def routes(face, table) -> dict[str, tuple[str | None, str]]:
    return {
        each["DestinationCidrBlock"]: (
            each.get("GatewayId") or each.get("NatGatewayId") or each.get("NetworkInterfaceId"),
            each["State"],
        )
        for each in table_of(face, table)["Routes"]
    }


def default_acl(face, vpc) -> dict[str, Any]:
    (found,) = face.ann.describe_network_acls(Filters=where(default="true", vpc_id=vpc))["NetworkAcls"]
    return found


# The default network ------------------------------------------------------------------------------------


def test_a_tenant_begins_with_a_default_vpc(face):
    (vpc,) = face.ann.describe_vpcs()["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"], vpc["State"], vpc["Tags"]) == (
        "172.31.0.0/16",
        True,
        "available",
        [],
    )
    subnets = face.ann.describe_subnets()["Subnets"]
    assert {each["AvailabilityZone"]: each["CidrBlock"] for each in subnets} == {
        ZONES[0]: "172.31.0.0/20",
        ZONES[1]: "172.31.16.0/20",
    }
    assert all(
        each["DefaultForAz"] and each["MapPublicIpOnLaunch"] and each["AvailableIpAddressCount"] == 4091
        for each in subnets
    )
    (gateway,) = face.ann.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"State": "available", "VpcId": vpc["VpcId"]}]
    (table,) = face.ann.describe_route_tables()["RouteTables"]
    assert routes(face, table["RouteTableId"]) == {
        "172.31.0.0/16": ("local", "active"),
        ANYWHERE: (gateway["InternetGatewayId"], "active"),
    }
    (acl,) = face.ann.describe_network_acls()["NetworkAcls"]
    assert {each["SubnetId"] for each in acl["Associations"]} == {each["SubnetId"] for each in subnets}
    (options,) = face.ann.describe_dhcp_options()["DhcpOptions"]
    assert options["DhcpOptionsId"] == vpc["DhcpOptionsId"]
    assert vpc["VpcId"] != face.bob.describe_vpcs()["Vpcs"][0]["VpcId"]
    names = face.ann.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")
    assert names["EnableDnsHostnames"] == {"Value": True}


def test_the_default_vpc_is_taken_down_and_made_again(face):
    (vpc,) = [each["VpcId"] for each in face.ann.describe_vpcs()["Vpcs"]]
    assert refused(face.ann.create_default_vpc) == (
        "DefaultVpcAlreadyExists",
        "A Default VPC already exists for this account in this region.",
    )
    assert refused(face.ann.create_default_subnet, AvailabilityZone=ZONES[0])[0] == (
        "DefaultSubnetAlreadyExistsInAvailabilityZone"
    )
    for subnet in face.ann.describe_subnets()["Subnets"]:
        face.ann.delete_subnet(SubnetId=subnet["SubnetId"])
    again = face.ann.create_default_subnet(AvailabilityZoneId="use1-az2")["Subnet"]
    assert (again["AvailabilityZone"], again["DefaultForAz"], again["CidrBlock"]) == (
        ZONES[1],
        True,
        "172.31.0.0/20",
    )
    face.ann.delete_subnet(SubnetId=again["SubnetId"])
    (gateway,) = [
        each["InternetGatewayId"] for each in face.ann.describe_internet_gateways()["InternetGateways"]
    ]
    face.ann.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    face.ann.delete_vpc(VpcId=vpc)
    for listing in ("vpcs", "route_tables", "network_acls", "subnets", "security_groups"):
        reply = getattr(face.ann, f"describe_{listing}")()
        assert [value for value in reply.values() if isinstance(value, list)] == [[]]
    assert refused(face.ann.create_default_subnet, AvailabilityZone=ZONES[0])[0] == "DefaultVpcDoesNotExist"
    made = face.ann.create_default_vpc()["Vpc"]
    assert (made["IsDefault"], len(face.ann.describe_subnets()["Subnets"])) == (True, 2)


def test_what_the_driver_does_not_enforce_is_said(monkeypatch):
    face = Ec2Cloud(monkeypatch, cloud=Cloud(settings=EngineSettings()))
    limits = face.cloud.engine.settings.network.capabilities.briefly
    shown = face.ann.describe_vpcs()["Vpcs"] + face.ann.describe_subnets()["Subnets"]
    for each in shown:
        assert each["Tags"] == [{"Key": "aws:isthmus:limits", "Value": " ".join(limits)}]


# VPCs ---------------------------------------------------------------------------------------------------


def test_a_vpc_comes_with_what_every_vpc_has(face):
    made = face.ann.create_vpc(CidrBlock="10.0.9.7/16", TagSpecifications=tagged("vpc", Name="mine"))["Vpc"]
    vpc = made["VpcId"]
    association = made["CidrBlockAssociationSet"][0]["AssociationId"]
    assert made == {
        "VpcId": vpc,
        "CidrBlock": "10.0.0.0/16",
        "CidrBlockAssociationSet": [
            {
                "AssociationId": association,
                "CidrBlock": "10.0.0.0/16",
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": face.ann.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"],
        "InstanceTenancy": "default",
        "IsDefault": False,
        "OwnerId": "111122223333",
        "State": "available",
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": [{"Key": "Name", "Value": "mine"}],
    }
    face.ann.get_waiter("vpc_available").wait(VpcIds=[vpc])
    table = main_table(face, vpc)
    assert table["Associations"] == [
        {
            "Main": True,
            "RouteTableAssociationId": table["Associations"][0]["RouteTableAssociationId"],
            "RouteTableId": table["RouteTableId"],
            "AssociationState": {"State": "associated"},
        }
    ]
    assert table["Routes"] == [
        {
            "DestinationCidrBlock": "10.0.0.0/16",
            "GatewayId": "local",
            "Origin": "CreateRouteTable",
            "State": "active",
        }
    ]
    assert [
        (each["RuleNumber"], each["Egress"], each["RuleAction"], each["Protocol"], each["CidrBlock"])
        for each in default_acl(face, vpc)["Entries"]
    ] == [
        (100, True, "allow", "-1", ANYWHERE),
        (32767, True, "deny", "-1", ANYWHERE),
        (100, False, "allow", "-1", ANYWHERE),
        (32767, False, "deny", "-1", ANYWHERE),
    ]
    groups = face.ann.describe_security_groups(Filters=where(group_name="default", vpc_id=vpc))
    (group,) = groups["SecurityGroups"]
    assert [each["UserIdGroupPairs"][0]["GroupId"] for each in group["IpPermissions"]] == [group["GroupId"]]
    assert [each["IpRanges"] for each in group["IpPermissionsEgress"]] == [[{"CidrIp": ANYWHERE}]]
    assert refused(face.bob.describe_vpcs, VpcIds=[vpc]) == (
        "InvalidVpcID.NotFound",
        f"The vpc ID '{vpc}' does not exist",
    )


@pytest.mark.parametrize(
    ("cidr", "code", "message"),
    [
        ("10.0.0.0/15", "InvalidVpc.Range", "The CIDR '10.0.0.0/15' is invalid."),
        ("10.0.0.0/29", "InvalidVpc.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ("169.254.0.0/16", "InvalidVpc.Range", "The CIDR '169.254.0.0/16' is invalid."),
        ("127.0.0.0/24", "InvalidVpc.Range", "The CIDR '127.0.0.0/24' is invalid."),
        ("0.0.0.0/16", "InvalidVpc.Range", "The CIDR '0.0.0.0/16' is invalid."),
        *(
            (
                text,
                "InvalidParameterValue",
                f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
            )
            for text in (
                "10.0.0.0",
                "10.0.0.0/33",
                "10.0.0/16",
                "10.0.0.256/16",
                "::/16",
                "10.0.0.0/ 16",
                "x",
            )
        ),
        (None, "MissingParameter", "The request must contain the parameter CidrBlock"),
    ],
)
def test_a_vpc_has_a_certain_size(face, cidr, code, message):
    assert refused(face.ann.create_vpc, CidrBlock=cidr) == (code, message)
    assert len(face.ann.describe_vpcs()["Vpcs"]) == 1


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"AmazonProvidedIpv6CidrBlock": True}, "UnsupportedOperation"),
        ({"Ipv4IpamPoolId": "ipam-pool-0"}, "UnsupportedOperation"),
        ({"InstanceTenancy": "host"}, "InvalidParameterValue"),
        ({"TagSpecifications": tagged("subnet", a="b")}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_a_vpc_cannot_be(face, parameters, code):
    assert refused(face.ann.create_vpc, CidrBlock="10.0.0.0/16", **parameters)[0] == code
    assert len(face.ann.describe_vpcs()["Vpcs"]) == 1


def test_vpcs_have_a_limit(face):
    face.cloud.engine.execute(
        ADMIN, SetQuota(tenant_id=face.cloud.tenant.id, quotas={QuotaName.VPCS.value: 2})
    )
    new_vpc(face)
    assert refused(face.ann.create_vpc, CidrBlock="10.1.0.0/16")[0] == "VpcLimitExceeded"


def test_a_vpc_is_deleted_when_it_is_empty(face):
    vpc = new_vpc(face)

    def in_use() -> bool:
        code, message = refused(face.ann.delete_vpc, VpcId=vpc)
        assert message == f"The vpc '{vpc}' has dependencies and cannot be deleted."
        return code == "DependencyViolation"

    subnet = new_subnet(face, vpc)
    assert in_use()
    face.ann.delete_subnet(SubnetId=subnet)
    gateway = new_gateway(face, vpc)
    assert in_use()
    face.ann.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    group = face.ann.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    assert in_use()
    face.ann.delete_security_group(GroupId=group)
    acl = face.ann.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    assert in_use()
    face.ann.delete_network_acl(NetworkAclId=acl)
    table = new_table(face, vpc)
    assert in_use()
    main = main_table(face, vpc)["Associations"][0]["RouteTableAssociationId"]
    face.ann.replace_route_table_association(AssociationId=main, RouteTableId=table)
    assert in_use()  # the first one is no longer the main one
    (old,) = [
        each["RouteTableId"]
        for each in face.ann.describe_route_tables(Filters=where(vpc_id=vpc))["RouteTables"]
        if each["RouteTableId"] != table
    ]
    face.ann.delete_route_table(RouteTableId=old)
    face.ann.create_tags(Resources=[vpc, table], Tags=[{"Key": "k", "Value": "v"}])
    face.ann.delete_vpc(VpcId=vpc)
    assert refused(face.ann.delete_vpc, VpcId=vpc)[0] == "InvalidVpcID.NotFound"
    assert refused(face.ann.describe_route_tables, RouteTableIds=[table])[0] == "InvalidRouteTableID.NotFound"
    assert face.ann.describe_tags()["Tags"] == []


def test_attributes_of_a_vpc(face):
    vpc = new_vpc(face)

    def attribute(name: str) -> bool:
        reply = face.ann.describe_vpc_attribute(VpcId=vpc, Attribute=name)
        value: bool = reply[name[:1].upper() + name[1:]]["Value"]
        return value

    assert (attribute("enableDnsSupport"), attribute("enableDnsHostnames")) == (True, False)
    face.ann.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    face.ann.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
    assert (attribute("enableDnsSupport"), attribute("enableDnsHostnames")) == (False, True)
    assert attribute("enableNetworkAddressUsageMetrics") is False
    both = {"EnableDnsHostnames": {"Value": True}, "EnableDnsSupport": {"Value": True}}
    assert refused(face.ann.modify_vpc_attribute, VpcId=vpc, **both)[0] == "InvalidParameterCombination"
    assert refused(face.ann.modify_vpc_attribute, VpcId=vpc)[0] == "InvalidParameterCombination"
    metrics = {"EnableNetworkAddressUsageMetrics": {"Value": True}}
    assert refused(face.ann.modify_vpc_attribute, VpcId=vpc, **metrics)[0] == "UnsupportedOperation"
    assert refused(face.ann.describe_vpc_attribute, VpcId=vpc, Attribute="x")[0] == "InvalidParameterValue"
    assert refused(face.ann.describe_vpc_attribute, VpcId="vpc-1", Attribute="enableDnsSupport") == (
        "InvalidParameterValue",
        "Value (vpc-1) for parameter vpcId is invalid. Expected: 'vpc-...'.",
    )
    dedicated = new_vpc(face, InstanceTenancy="dedicated")
    assert face.ann.modify_vpc_tenancy(VpcId=dedicated, InstanceTenancy="default")["ReturnValue"] is True
    (shown,) = face.ann.describe_vpcs(VpcIds=[dedicated])["Vpcs"]
    assert shown["InstanceTenancy"] == "default"


def test_further_blocks_of_a_vpc(face):
    vpc = new_vpc(face)
    made = face.ann.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")
    association = made["CidrBlockAssociation"]
    assert (made["VpcId"], association["CidrBlockState"]) == (vpc, {"State": "associating"})
    (shown,) = face.ann.describe_vpcs(
        Filters=where(
            cidr_block_association__cidr_block="10.1.0.0/16", cidr_block_association__state="associated"
        )
    )["Vpcs"]
    assert (shown["VpcId"], shown["CidrBlock"]) == (vpc, "10.0.0.0/16")
    assert "10.1.0.0/16" in routes(face, main_table(face, vpc)["RouteTableId"])
    subnet = new_subnet(face, vpc, "10.1.7.0/24")
    assert refused(face.ann.disassociate_vpc_cidr_block, AssociationId=association["AssociationId"]) == (
        "InvalidCidrBlock.InUse",
        f"The vpc {vpc} currently has a subnet within CIDR block 10.1.0.0/16",
    )
    face.ann.delete_subnet(SubnetId=subnet)
    gone = face.ann.disassociate_vpc_cidr_block(AssociationId=association["AssociationId"])
    assert gone["CidrBlockAssociation"]["CidrBlockState"] == {"State": "disassociating"}
    again = {"AssociationId": association["AssociationId"]}
    assert refused(face.ann.disassociate_vpc_cidr_block, **again)[0] == (
        "InvalidVpcCidrBlockAssociationID.NotFound"
    )
    primary = shown["CidrBlockAssociationSet"][0]["AssociationId"]
    assert refused(face.ann.disassociate_vpc_cidr_block, AssociationId=primary)[0] == "OperationNotPermitted"
    assert refused(face.bob.disassociate_vpc_cidr_block, AssociationId=primary)[0] == (
        "InvalidVpcCidrBlockAssociationID.NotFound"
    )
    assert refused(face.ann.associate_vpc_cidr_block, VpcId=vpc, CidrBlock="10.0.128.0/17")[0] == (
        "InvalidVpc.Range"
    )
    for number in range(1, 5):
        face.ann.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=f"10.{number}.0.0/16")
    assert refused(face.ann.associate_vpc_cidr_block, VpcId=vpc, CidrBlock="10.9.0.0/16") == (
        "CidrLimitExceeded",
        f"This network {vpc} has met its maximum number of allowed CIDRs: 5",
    )


def test_vpcs_are_found_by_filters(face):
    one = new_vpc(face, TagSpecifications=tagged("vpc", Name="one"))
    two = new_vpc(face, "10.2.0.0/24")
    (default,) = [each["VpcId"] for each in face.ann.describe_vpcs(Filters=where(is_default="true"))["Vpcs"]]

    def found(*filters: dict[str, Any]) -> set[str]:
        return {each["VpcId"] for each in face.ann.describe_vpcs(Filters=list(filters))["Vpcs"]}

    assert found(*where(isDefault="false")) == {one, two}
    for name in ("cidr", "cidr-block", "cidrBlock", "cidr-block-association.cidr-block"):
        assert found({"Name": name, "Values": ["10.2.*"]}) == {two}
    assert found({"Name": "tag:Name", "Values": ["o?e"]}) == {one}
    assert found(*where(tag_key="Name", state="available", owner_id="111122223333")) == {one}
    assert found(*where(vpc_id=two), *where(is_default="false")) == {two}
    assert found(*where(vpc_id=f"vpc-{UNKNOWN}")) == set()
    assert found(*where(dhcp_options_id="dopt-*")) == {one, two, default}
    assert found(*where(ipv6_cidr_block_association__state="associated")) == set()
    assert refused(face.ann.describe_vpcs, Filters=where(colour="x")) == (
        "InvalidParameterValue",
        "The filter 'colour' is invalid",
    )


def test_listings_come_in_pages(face):
    vpcs = [face.ann.describe_vpcs()["Vpcs"][0]["VpcId"], *(new_vpc(face) for _ in range(6))]
    pages = list(face.ann.get_paginator("describe_vpcs").paginate(PaginationConfig={"PageSize": 5}))
    assert [[each["VpcId"] for each in page["Vpcs"]] for page in pages] == [vpcs[:5], vpcs[5:]]
    tables = list(face.ann.get_paginator("describe_route_tables").paginate(PaginationConfig={"PageSize": 5}))
    assert [len(page["RouteTables"]) for page in tables] == [5, 2]
    assert refused(face.ann.describe_vpcs, MaxResults=5, VpcIds=vpcs[:1])[0] == "InvalidParameterCombination"
    assert refused(face.ann.describe_route_tables, MaxResults=101)[0] == "InvalidParameterValue"
    assert refused(face.ann.describe_vpcs, MaxResults=4)[0] == "InvalidParameterValue"
    assert refused(face.ann.describe_vpcs, NextToken="x")[0] == "InvalidNextToken"


@pytest.mark.parametrize(
    ("listing", "member", "code"),
    [
        ("vpcs", {"VpcIds": ["vpc"]}, "InvalidVpcID.NotFound"),
        ("subnets", {"SubnetIds": ["subnet"]}, "InvalidSubnetID.NotFound"),
        ("route_tables", {"RouteTableIds": ["rtb"]}, "InvalidRouteTableID.NotFound"),
        ("internet_gateways", {"InternetGatewayIds": ["igw"]}, "InvalidInternetGatewayID.NotFound"),
        ("nat_gateways", {"NatGatewayIds": ["nat"]}, "NatGatewayNotFound"),
        ("network_acls", {"NetworkAclIds": ["acl"]}, "InvalidNetworkAclID.NotFound"),
        ("dhcp_options", {"DhcpOptionsIds": ["dopt"]}, "InvalidDhcpOptionID.NotFound"),
        ("vpc_classic_link", {"VpcIds": ["vpc"]}, "InvalidVpcID.NotFound"),
    ],
)
def test_what_is_named_must_be_there(face, listing, member, code):
    call = getattr(face.ann, f"describe_{listing}")
    wanted = {name: [f"{value[0]}-{UNKNOWN}"] for name, value in member.items()}
    assert refused(call, **wanted)[0] == code
    malformed = {name: ["x-1"] for name in member}
    assert refused(call, **malformed)[0] in {"InvalidParameterValue", "InvalidDhcpOptionsId.Malformed"}
    assert refused(call, DryRun=True)[0] == "DryRunOperation"


# Subnets ------------------------------------------------------------------------------------------------


def test_a_subnet_is_made(face):
    vpc = new_vpc(face)
    made = face.ann.create_subnet(
        VpcId=vpc,
        CidrBlock="10.0.1.9/24",
        AvailabilityZone=ZONES[1],
        TagSpecifications=tagged("subnet", Name="s"),
    )["Subnet"]
    subnet = made["SubnetId"]
    assert made == {
        "SubnetId": subnet,
        "SubnetArn": f"arn:aws:ec2:us-east-1:111122223333:subnet/{subnet}",
        "VpcId": vpc,
        "CidrBlock": "10.0.1.0/24",
        "AvailabilityZone": ZONES[1],
        "AvailabilityZoneId": "use1-az2",
        "AvailableIpAddressCount": 251,
        "DefaultForAz": False,
        "MapPublicIpOnLaunch": False,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "EnableDns64": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "OwnerId": "111122223333",
        "State": "available",
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": [{"Key": "Name", "Value": "s"}],
    }
    face.ann.get_waiter("subnet_available").wait(SubnetIds=[subnet])
    (association,) = default_acl(face, vpc)["Associations"]
    assert association["SubnetId"] == subnet
    face.ann.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    face.ann.create_network_interface(SubnetId=subnet)
    (shown,) = face.ann.describe_subnets(Filters=where(map_public_ip_on_launch="true", vpc_id=vpc))["Subnets"]
    assert (shown["MapPublicIpOnLaunch"], shown["AvailableIpAddressCount"]) == (True, 250)


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"CidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ({"CidrBlock": "10.0.0.0/15"}, "InvalidSubnet.Range", "The CIDR '10.0.0.0/15' is invalid."),
        ({"CidrBlock": "10.0.0.0/29"}, "InvalidSubnet.Range", "The CIDR '10.0.0.0/29' is invalid."),
        (
            {"CidrBlock": "10.0.0.128/25"},
            "InvalidSubnet.Conflict",
            "The CIDR '10.0.0.128/25' conflicts with another subnet",
        ),
        (
            {"CidrBlock": "10.0.0.0/20"},
            "InvalidSubnet.Conflict",
            "The CIDR '10.0.0.0/20' conflicts with another subnet",
        ),
        (
            {"CidrBlock": "ten"},
            "InvalidParameterValue",
            "Value (ten) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ),
        (
            {"AvailabilityZone": "us-east-1z"},
            "InvalidParameterValue",
            (
                "Value (us-east-1z) for parameter availabilityZone is invalid. Subnets can currently only be "
                "created in the following availability zones: us-east-1a, us-east-1b."
            ),
        ),
        ({"CidrBlock": None}, "MissingParameter", "The request must contain the parameter CidrBlock"),
        ({"VpcId": f"vpc-{UNKNOWN}"}, "InvalidVpcID.NotFound", f"The vpc ID 'vpc-{UNKNOWN}' does not exist"),
        (
            {"TagSpecifications": tagged("vpc", a="b")},
            "InvalidParameter",
            "'vpc' is not a valid taggable resource type for this operation.",
        ),
        (
            {"TagSpecifications": [{"Tags": [{"Key": "a", "Value": "b"}]}]},
            "InvalidParameter",
            "Tag specification resource type must have a value",
        ),
        (
            {"TagSpecifications": [{"ResourceType": "subnet"}]},
            "InvalidParameter",
            "Tag specification must have at least one tag",
        ),
        (
            {"AvailabilityZone": ZONES[0], "AvailabilityZoneId": "use1-az1"},
            "InvalidParameterCombination",
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together",
        ),
    ],
)
def test_where_a_subnet_cannot_be(face, parameters, code, message):
    vpc = new_vpc(face)
    new_subnet(face, vpc, "10.0.0.0/24")
    given = {"VpcId": vpc, "CidrBlock": "10.0.5.0/24"} | parameters
    assert refused(face.ann.create_subnet, **given) == (code, message)
    assert len(face.ann.describe_subnets(Filters=where(vpc_id=vpc))["Subnets"]) == 1


def test_a_subnet_with_interfaces_stays(face):
    vpc = new_vpc(face)
    subnet = new_subnet(face, vpc)
    nic = face.ann.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    assert refused(face.ann.delete_subnet, SubnetId=subnet) == (
        "DependencyViolation",
        f"The subnet '{subnet}' has dependencies and cannot be deleted.",
    )
    face.ann.delete_network_interface(NetworkInterfaceId=nic)
    assert refused(face.bob.delete_subnet, SubnetId=subnet)[0] == "InvalidSubnetID.NotFound"
    face.ann.delete_subnet(SubnetId=subnet)
    assert refused(face.ann.describe_subnets, SubnetIds=[subnet]) == (
        "InvalidSubnetID.NotFound",
        f"The subnet ID '{subnet}' does not exist",
    )


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"AssignIpv6AddressOnCreation": {"Value": True}}, "UnsupportedOperation"),
        ({"EnableLniAtDeviceIndex": 1}, "UnsupportedOperation"),
        ({"PrivateDnsHostnameTypeOnLaunch": "resource-name"}, "UnsupportedOperation"),
        ({}, "InvalidParameterCombination"),
    ],
)
def test_what_a_subnet_does_not_do(face, parameters, code):
    subnet = new_subnet(face, new_vpc(face))
    assert refused(face.ann.modify_subnet_attribute, SubnetId=subnet, **parameters)[0] == code


def test_subnets_are_found_by_filters(face):
    vpc = new_vpc(face)
    one = new_subnet(face, vpc, AvailabilityZone=ZONES[0], TagSpecifications=tagged("subnet", a="b"))
    two = new_subnet(face, vpc, "10.0.2.0/26", AvailabilityZone=ZONES[1])

    def found(name: str, value: str) -> set[str]:
        filters = [{"Name": name, "Values": [value]}, *where(vpc_id=vpc)]
        return {each["SubnetId"] for each in face.ann.describe_subnets(Filters=filters)["Subnets"]}

    for name, value in (
        ("availability-zone", ZONES[1]),
        ("availabilityZone", ZONES[1]),
        ("availability-zone-id", "use1-az2"),
        ("cidr", "10.0.2.0/26"),
        ("cidr-block", "10.0.2.0/26"),
        ("cidrBlock", "*/26"),
        ("available-ip-address-count", "59"),
        ("subnet-id", two),
        ("subnet-arn", f"*/{two}"),
    ):
        assert found(name, value) == {two}, name
    assert found("tag:a", "b") == {one}
    assert found("default-for-az", "true") == found("defaultForAz", "true") == set()
    assert found("state", "available") == {one, two}


# Route tables -------------------------------------------------------------------------------------------


def test_a_subnet_uses_a_table_of_its_own(face):
    vpc = new_vpc(face)
    subnet, table = new_subnet(face, vpc), new_table(face, vpc)
    made = face.ann.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert made["AssociationState"] == {"State": "associated"}
    first = made["AssociationId"]
    assert face.ann.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"] == first
    assert table_of(face, table)["Associations"] == [
        {
            "Main": False,
            "RouteTableAssociationId": first,
            "RouteTableId": table,
            "SubnetId": subnet,
            "AssociationState": {"State": "associated"},
        }
    ]
    other = new_table(face, vpc)
    assert refused(face.ann.associate_route_table, RouteTableId=other, SubnetId=subnet)[0] == (
        "Resource.AlreadyAssociated"
    )
    assert refused(face.ann.delete_route_table, RouteTableId=table) == (
        "DependencyViolation",
        f"The routeTable '{table}' has dependencies and cannot be deleted.",
    )
    second = face.ann.replace_route_table_association(AssociationId=first, RouteTableId=other)
    assert second["NewAssociationId"] != first
    by = where(association__route_table_association_id=second["NewAssociationId"])
    (shown,) = face.ann.describe_route_tables(Filters=by)["RouteTables"]
    assert shown["RouteTableId"] == other
    assert refused(face.ann.disassociate_route_table, AssociationId=first) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{first}' does not exist",
    )
    gone = second["NewAssociationId"]
    assert (
        refused(face.bob.disassociate_route_table, AssociationId=gone)[0] == "InvalidAssociationID.NotFound"
    )
    face.ann.disassociate_route_table(AssociationId=gone)
    face.ann.delete_route_table(RouteTableId=table)
    face.ann.delete_route_table(RouteTableId=other)
    elsewhere = new_table(face, new_vpc(face))
    code, message = refused(face.ann.associate_route_table, RouteTableId=elsewhere, SubnetId=subnet)
    assert (code, message) == (
        "InvalidParameterValue",
        f"route table {elsewhere} and subnet {subnet} belong to different networks",
    )


def test_the_main_table_is_replaced_never_removed(face):
    vpc = new_vpc(face)
    old = main_table(face, vpc)
    association = old["Associations"][0]["RouteTableAssociationId"]
    assert refused(face.ann.disassociate_route_table, AssociationId=association) == (
        "InvalidParameterValue",
        f"cannot disassociate the main route table association {association}",
    )
    assert refused(face.ann.delete_route_table, RouteTableId=old["RouteTableId"])[0] == "DependencyViolation"
    table = new_table(face, vpc)
    made = face.ann.replace_route_table_association(AssociationId=association, RouteTableId=table)
    shown = main_table(face, vpc)
    assert shown["RouteTableId"] == table
    assert shown["Associations"][0]["RouteTableAssociationId"] == made["NewAssociationId"] != association
    assert table_of(face, old["RouteTableId"])["Associations"] == []
    again = face.ann.replace_route_table_association(
        AssociationId=made["NewAssociationId"], RouteTableId=table
    )
    assert again["NewAssociationId"] == made["NewAssociationId"]
    face.ann.delete_route_table(RouteTableId=old["RouteTableId"])


def test_a_client_token_makes_one_table_and_one_list(face):
    vpc, other = new_vpc(face), new_vpc(face)
    one = new_table(face, vpc, ClientToken="t")
    assert new_table(face, vpc, ClientToken="t") == one
    assert new_table(face, vpc, ClientToken="u") != one
    assert refused(face.ann.create_route_table, VpcId=other, ClientToken="t")[0] == (
        "IdempotentParameterMismatch"
    )
    acls = [face.ann.create_network_acl(VpcId=vpc, ClientToken="t") for _ in range(2)]
    assert acls[0]["NetworkAcl"]["NetworkAclId"] == acls[1]["NetworkAcl"]["NetworkAclId"]
    assert acls[0]["ClientToken"] == "t"
    assert len(face.ann.describe_route_tables(Filters=where(vpc_id=vpc))["RouteTables"]) == 3


# Routes -------------------------------------------------------------------------------------------------


def test_routes_are_added_changed_and_removed(face):
    vpc = new_vpc(face)
    table, gateway = new_table(face, vpc), new_gateway(face, vpc)
    route = {"RouteTableId": table, "DestinationCidrBlock": ANYWHERE}
    assert face.ann.create_route(**route, GatewayId=gateway)["Return"] is True
    assert table_of(face, table)["Routes"] == [
        {
            "DestinationCidrBlock": "10.0.0.0/16",
            "GatewayId": "local",
            "Origin": "CreateRouteTable",
            "State": "active",
        },
        {
            "DestinationCidrBlock": ANYWHERE,
            "GatewayId": gateway,
            "Origin": "CreateRoute",
            "State": "active",
        },
    ]
    assert refused(face.ann.create_route, **route, GatewayId=gateway) == (
        "RouteAlreadyExists",
        f"The route identified by {ANYWHERE} already exists.",
    )
    subnet = new_subnet(face, vpc)
    nic = face.ann.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    face.ann.replace_route(**route, NetworkInterfaceId=nic)
    assert routes(face, table)[ANYWHERE] == (nic, "blackhole")  # it is attached to nothing
    face.ann.delete_network_interface(NetworkInterfaceId=nic)
    assert routes(face, table)[ANYWHERE] == (nic, "blackhole")
    filters = where(route__state="blackhole", route__destination_cidr_block=ANYWHERE)
    assert [
        each["RouteTableId"] for each in face.ann.describe_route_tables(Filters=filters)["RouteTables"]
    ] == [table]
    face.ann.delete_route(**route)
    assert refused(face.ann.delete_route, **route) == (
        "InvalidRoute.NotFound",
        f"no route with destination-cidr-block {ANYWHERE} in route table {table}",
    )
    assert refused(face.ann.replace_route, **route, GatewayId=gateway) == (
        "InvalidParameterValue",
        f"There is no route defined for '{ANYWHERE}' in the route table. Use CreateRoute instead.",
    )
    face.ann.replace_route(RouteTableId=table, DestinationCidrBlock="10.0.0.0/16", LocalTarget=True)


def test_a_route_leads_to_a_running_instance(face):
    vpc = new_vpc(face)
    subnet, table = new_subnet(face, vpc), new_table(face, vpc)
    (instance,) = face.run(SubnetId=subnet)
    face.cloud.settle()
    face.ann.create_route(RouteTableId=table, DestinationCidrBlock="192.168.0.1/24", InstanceId=instance)
    (route,) = [each for each in table_of(face, table)["Routes"] if each["Origin"] == "CreateRoute"]
    nic = face.describe(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert route == {
        "DestinationCidrBlock": "192.168.0.0/24",
        "InstanceId": instance,
        "InstanceOwnerId": "111122223333",
        "NetworkInterfaceId": nic,
        "Origin": "CreateRoute",
        "State": "active",
    }
    face.ann.stop_instances(InstanceIds=[instance])
    face.cloud.settle()
    assert routes(face, table)["192.168.0.0/24"] == (nic, "blackhole")


@pytest.mark.parametrize(
    ("parameters", "code", "part"),
    [
        ({"DestinationCidrBlock": "10.0.0.0/16"}, "RouteAlreadyExists", "10.0.0.0/16"),
        (
            {"DestinationCidrBlock": "10.0.4.0/24"},
            "InvalidParameterValue",
            "more specific than one of this VPC's",
        ),
        ({"DestinationCidrBlock": "x"}, "InvalidParameterValue", "parameter destinationCidrBlock is invalid"),
        ({"DestinationCidrBlock": None}, "MissingParameter", "DestinationCidrBlock"),
        ({"DestinationIpv6CidrBlock": "::/0"}, "UnsupportedOperation", "DestinationIpv6CidrBlock"),
        ({"GatewayId": None}, "MissingParameter", "GatewayId"),
        ({"GatewayId": f"igw-{UNKNOWN}"}, "InvalidGatewayID.NotFound", f"The gateway ID 'igw-{UNKNOWN}'"),
        ({"GatewayId": "igw-1"}, "InvalidParameterValue", "Expected: 'igw-...'"),
        ({"GatewayId": f"vgw-{UNKNOWN}"}, "UnsupportedOperation", "virtual private gateway"),
        ({"NatGatewayId": f"nat-{UNKNOWN}"}, "InvalidParameterCombination", "one target"),
        ({"GatewayId": None, "NatGatewayId": f"nat-{UNKNOWN}"}, "NatGatewayNotFound", UNKNOWN),
        ({"GatewayId": None, "InstanceId": f"i-{UNKNOWN}"}, "InvalidInstanceID.NotFound", UNKNOWN),
        (
            {"GatewayId": None, "NetworkInterfaceId": f"eni-{UNKNOWN}"},
            "InvalidNetworkInterfaceID.NotFound",
            UNKNOWN,
        ),
        ({"RouteTableId": f"rtb-{UNKNOWN}"}, "InvalidRouteTableID.NotFound", UNKNOWN),
        ({"VpcPeeringConnectionId": "pcx-1"}, "UnsupportedOperation", "VpcPeeringConnectionId"),
    ],
)
def test_where_a_route_cannot_lead(face, parameters, code, part):
    vpc = new_vpc(face)
    table, gateway = new_table(face, vpc), new_gateway(face, vpc)
    given = {"RouteTableId": table, "DestinationCidrBlock": ANYWHERE, "GatewayId": gateway} | parameters
    found, message = refused(face.ann.create_route, **given)
    assert (found, part in message) == (code, True), message
    assert list(routes(face, table)) == ["10.0.0.0/16"]


def test_the_local_route_stays(face):
    table = new_table(face, new_vpc(face))
    assert refused(face.ann.delete_route, RouteTableId=table, DestinationCidrBlock="10.0.0.0/16") == (
        "InvalidParameterValue",
        f"cannot remove local route 10.0.0.0/16 in route table {table}",
    )


# Gateways -----------------------------------------------------------------------------------------------


def test_an_internet_gateway_has_one_vpc_and_the_reverse(face):
    vpc, other = new_vpc(face), new_vpc(face)
    gateway = new_gateway(face)
    (shown,) = face.ann.describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    assert (shown["Attachments"], shown["OwnerId"], shown["Tags"]) == ([], "111122223333", [])
    wanted = {"InternetGatewayId": gateway, "VpcId": vpc}
    assert refused(face.ann.detach_internet_gateway, **wanted) == (
        "Gateway.NotAttached",
        f"resource {gateway} is not attached to network {vpc}",
    )
    face.ann.attach_internet_gateway(**wanted)
    for each in (vpc, other):
        assert refused(face.ann.attach_internet_gateway, InternetGatewayId=gateway, VpcId=each) == (
            "Resource.AlreadyAssociated",
            f"resource {gateway} is already attached to network {vpc}",
        )
    second = new_gateway(face)
    assert refused(face.ann.attach_internet_gateway, InternetGatewayId=second, VpcId=vpc) == (
        "Resource.AlreadyAssociated",
        f"Network {vpc} already has an internet gateway attached",
    )
    assert refused(face.ann.delete_internet_gateway, InternetGatewayId=gateway) == (
        "DependencyViolation",
        f"The internetGateway '{gateway}' has dependencies and cannot be deleted.",
    )
    found = face.ann.describe_internet_gateways(
        Filters=where(attachment__vpc_id=vpc, attachment__state="available")
    )["InternetGateways"]
    assert [each["InternetGatewayId"] for each in found] == [gateway]
    table = new_table(face, vpc)
    face.ann.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    nowhere = {"InternetGatewayId": gateway, "VpcId": f"vpc-{UNKNOWN}"}
    assert refused(face.ann.detach_internet_gateway, **nowhere)[0] == "Gateway.NotAttached"
    face.ann.detach_internet_gateway(**wanted)
    assert routes(face, table)[ANYWHERE] == (gateway, "blackhole")
    code, message = refused(
        face.ann.create_route, RouteTableId=table, DestinationCidrBlock="8.8.8.0/24", GatewayId=gateway
    )
    assert (code, message) == (
        "InvalidParameterValue",
        f"route table {table} and network gateway {gateway} belong to different networks",
    )
    face.ann.delete_internet_gateway(InternetGatewayId=gateway)
    assert refused(face.ann.delete_internet_gateway, InternetGatewayId=gateway)[0] == (
        "InvalidInternetGatewayID.NotFound"
    )


def test_a_gateway_stays_while_public_addresses_need_it(face):
    vpc = new_vpc(face)
    subnet, gateway = new_subnet(face, vpc), new_gateway(face, vpc)
    nic = face.ann.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    allocation = face.ann.allocate_address(Domain="vpc")["AllocationId"]
    made = face.ann.associate_address(AllocationId=allocation, NetworkInterfaceId=nic)
    code, message = refused(face.ann.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    assert (code, message.split(" has ")[1]) == (
        "DependencyViolation",
        "some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
    )
    face.ann.disassociate_address(AssociationId=made["AssociationId"])
    face.ann.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)


def test_a_nat_gateway_lives_and_goes(face):
    vpc = new_vpc(face)
    subnet = new_subnet(face, vpc)
    new_gateway(face, vpc)
    address = face.ann.allocate_address(Domain="vpc")
    made = face.ann.create_nat_gateway(
        SubnetId=subnet,
        AllocationId=address["AllocationId"],
        PrivateIpAddress="10.0.1.77",
        ClientToken="t",
        TagSpecifications=tagged("natgateway", Name="n"),
    )
    nat = made["NatGateway"]["NatGatewayId"]
    assert (made["ClientToken"], made["NatGateway"]["Tags"]) == ("t", [{"Key": "Name", "Value": "n"}])
    face.ann.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat])
    again = face.ann.create_nat_gateway(
        SubnetId=subnet, AllocationId=address["AllocationId"], ClientToken="t"
    )
    assert again["NatGateway"]["NatGatewayId"] == nat
    (shown,) = face.ann.describe_nat_gateways(Filter=where(state="available", subnet_id=subnet))[
        "NatGateways"
    ]
    (inside,) = shown["NatGatewayAddresses"]
    assert (inside["PublicIp"], inside["PrivateIp"], inside["Status"]) == (
        address["PublicIp"],
        "10.0.1.77",
        "succeeded",
    )
    (nic,) = face.ann.describe_network_interfaces(NetworkInterfaceIds=[inside["NetworkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert (nic["PrivateIpAddress"], nic["RequesterManaged"]) == ("10.0.1.77", True)
    assert refused(face.ann.delete_network_interface, NetworkInterfaceId=nic["NetworkInterfaceId"])[0] != ""
    assert refused(face.ann.delete_subnet, SubnetId=subnet)[0] == "DependencyViolation"
    assert refused(face.ann.release_address, AllocationId=address["AllocationId"])[0] == (
        "InvalidIPAddress.InUse"
    )
    taken = {"SubnetId": subnet, "AllocationId": address["AllocationId"]}
    assert refused(face.ann.create_nat_gateway, **taken)[0] == "Resource.AlreadyAssociated"
    table = new_table(face, vpc)
    face.ann.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat)
    assert routes(face, table)[ANYWHERE] == (nat, "active")
    assert face.ann.delete_nat_gateway(NatGatewayId=nat)["NatGatewayId"] == nat
    (gone,) = face.ann.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"]
    assert (gone["State"], "DeleteTime" in gone) == ("deleted", True)
    face.ann.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat])
    assert routes(face, table)[ANYWHERE] == (nat, "blackhole")
    face.ann.release_address(AllocationId=address["AllocationId"])
    face.ann.delete_subnet(SubnetId=subnet)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"AllocationId": None}, "MissingParameter"),
        ({"SubnetId": None}, "MissingParameter"),
        ({"AllocationId": f"eipalloc-{UNKNOWN}"}, "InvalidAllocationID.NotFound"),
        ({"SubnetId": f"subnet-{UNKNOWN}"}, "InvalidSubnetID.NotFound"),
        ({"PrivateIpAddress": "10.9.9.9"}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.0.1.1"}, "InvalidParameterValue"),
        ({"ConnectivityType": "private"}, "UnsupportedOperation"),
        ({"SecondaryPrivateIpAddressCount": 1}, "UnsupportedOperation"),
    ],
)
def test_what_a_nat_gateway_needs(face, parameters, code):
    subnet = new_subnet(face, new_vpc(face))
    allocation = face.ann.allocate_address(Domain="vpc")["AllocationId"]
    given = {"SubnetId": subnet, "AllocationId": allocation} | parameters
    assert refused(face.ann.create_nat_gateway, **given)[0] == code
    assert face.ann.describe_nat_gateways()["NatGateways"] == []
    face.ann.release_address(AllocationId=allocation)
    face.ann.delete_subnet(SubnetId=subnet)


# DHCP options -------------------------------------------------------------------------------------------


def test_dhcp_options_are_made_used_and_deleted(face):
    vpc = new_vpc(face)
    made = face.ann.create_dhcp_options(
        DhcpConfigurations=[
            {"Key": "domain-name", "Values": ["example.com"]},
            {"Key": "domain-name-servers", "Values": ["10.0.0.2", "AmazonProvidedDNS"]},
            {"Key": "ntp-servers", "Values": ["10.0.0.3"]},
            {"Key": "netbios-node-type", "Values": ["2"]},
        ],
        TagSpecifications=tagged("dhcp-options", Name="d"),
    )["DhcpOptions"]
    options = made["DhcpOptionsId"]
    assert made["DhcpConfigurations"][1] == {
        "Key": "domain-name-servers",
        "Values": [{"Value": "10.0.0.2"}, {"Value": "AmazonProvidedDNS"}],
    }
    assert made["Tags"] == [{"Key": "Name", "Value": "d"}]
    face.ann.associate_dhcp_options(DhcpOptionsId=options, VpcId=vpc)
    (shown,) = face.ann.describe_vpcs(Filters=where(dhcp_options_id=options))["Vpcs"]
    assert shown["VpcId"] == vpc
    assert refused(face.ann.delete_dhcp_options, DhcpOptionsId=options) == (
        "DependencyViolation",
        f"The dhcpOptions '{options}' has dependencies and cannot be deleted.",
    )
    found = face.ann.describe_dhcp_options(Filters=where(key="ntp-servers", value="10.0.0.3"))["DhcpOptions"]
    assert [each["DhcpOptionsId"] for each in found] == [options]
    face.ann.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    (shown,) = face.ann.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert shown["DhcpOptionsId"] == "default"
    face.ann.delete_dhcp_options(DhcpOptionsId=options)
    assert refused(face.ann.associate_dhcp_options, DhcpOptionsId=options, VpcId=vpc)[0] == (
        "InvalidDhcpOptionID.NotFound"
    )
    (ours,) = face.ann.describe_dhcp_options()["DhcpOptions"]
    face.ann.associate_dhcp_options(DhcpOptionsId=ours["DhcpOptionsId"], VpcId=vpc)
    (shown,) = face.ann.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    assert shown["DhcpOptionsId"] == ours["DhcpOptionsId"]
    assert face.ann.describe_dhcp_options(DhcpOptionsIds=[ours["DhcpOptionsId"]])["DhcpOptions"] == [ours]
    assert refused(face.ann.delete_dhcp_options, DhcpOptionsId=ours["DhcpOptionsId"])[0] == (
        "DependencyViolation"
    )
    assert refused(face.ann.delete_dhcp_options, DhcpOptionsId="dopt-x")[0] == (
        "InvalidDhcpOptionsId.Malformed"
    )


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("colour", ["red"]),
        ("domain-name", []),
        ("domain-name-servers", ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5"]),
        ("domain-name-servers", ["one"]),
        ("ntp-servers", ["AmazonProvidedDNS"]),
        ("netbios-node-type", ["3"]),
        ("netbios-node-type", ["1", "2"]),
    ],
)
def test_dhcp_options_are_known_and_well_formed(face, key, values):
    call = face.ann.create_dhcp_options
    assert refused(call, DhcpConfigurations=[{"Key": key, "Values": values}])[0] == "InvalidParameterValue"


# Network ACLs -------------------------------------------------------------------------------------------


def entries(face, acl) -> dict[tuple[bool, int], dict[str, Any]]:
    (shown,) = face.ann.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    return {(each["Egress"], each["RuleNumber"]): each for each in shown["Entries"]}


def test_entries_of_a_network_acl(face):
    vpc = new_vpc(face)
    acl = face.ann.create_network_acl(VpcId=vpc, TagSpecifications=tagged("network-acl", a="b"))["NetworkAcl"]
    identity = acl["NetworkAclId"]
    assert (acl["IsDefault"], acl["Associations"], acl["Tags"]) == (False, [], [{"Key": "a", "Value": "b"}])
    assert set(entries(face, identity)) == {(True, 32767), (False, 32767)}
    given = {"NetworkAclId": identity, "RuleNumber": 10, "Egress": False, "CidrBlock": "10.9.8.7/8"}
    ports = {"PortRange": {"From": 22, "To": 80}}
    face.ann.create_network_acl_entry(**given, Protocol="tcp", RuleAction="ALLOW", **ports)
    assert entries(face, identity)[False, 10] == {
        "CidrBlock": "10.0.0.0/8",
        "Egress": False,
        "PortRange": {"From": 22, "To": 80},
        "Protocol": "6",
        "RuleAction": "allow",
        "RuleNumber": 10,
    }
    again = {**given, "Protocol": "-1", "RuleAction": "deny"}
    assert refused(face.ann.create_network_acl_entry, **again) == (
        "NetworkAclEntryAlreadyExists",
        "The network acl entry identified by 10 already exists.",
    )
    face.ann.create_network_acl_entry(**(again | {"Egress": True}))
    icmp = {"Protocol": "1", "RuleAction": "allow", "IcmpTypeCode": {"Type": 8, "Code": -1}}
    face.ann.replace_network_acl_entry(**given, **icmp)
    assert entries(face, identity)[False, 10]["IcmpTypeCode"] == {"Type": 8, "Code": -1}
    for name, value in (
        ("entry.icmp.type", "8"),
        ("entry.protocol", "icmp"),
        ("entry.cidr", "10.0.0.0/8"),
        ("network-acl-id", identity),
        ("tag:a", "b"),
    ):
        found = face.ann.describe_network_acls(Filters=[{"Name": name, "Values": [value]}])["NetworkAcls"]
        assert [each["NetworkAclId"] for each in found] == [identity], name
    gone = {"NetworkAclId": identity, "RuleNumber": 10, "Egress": False}
    face.ann.delete_network_acl_entry(**gone)
    assert refused(face.ann.delete_network_acl_entry, **gone)[0] == "InvalidNetworkAclEntry.NotFound"
    assert refused(face.ann.replace_network_acl_entry, **again)[0] == "InvalidNetworkAclEntry.NotFound"
    assert set(entries(face, identity)) == {(True, 10), (True, 32767), (False, 32767)}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue"),
        ({"RuleNumber": 32767}, "InvalidParameterValue"),
        ({"Protocol": "256"}, "InvalidParameterValue"),
        ({"Protocol": "six"}, "InvalidParameterValue"),
        ({"Protocol": "6"}, "MissingParameter"),
        ({"Protocol": "17", "PortRange": {"From": 5, "To": 4}}, "InvalidParameterValue"),
        ({"Protocol": "1"}, "MissingParameter"),
        ({"CidrBlock": "x"}, "InvalidParameterValue"),
        ({"CidrBlock": None}, "MissingParameter"),
        ({"Ipv6CidrBlock": "::/0"}, "UnsupportedOperation"),
        ({"RuleAction": "maybe"}, "InvalidParameterValue"),
        ({"NetworkAclId": f"acl-{UNKNOWN}"}, "InvalidNetworkAclID.NotFound"),
    ],
)
def test_entries_that_are_none(face, parameters, code):
    acl = face.ann.create_network_acl(VpcId=new_vpc(face))["NetworkAcl"]["NetworkAclId"]
    given = {
        "NetworkAclId": acl,
        "RuleNumber": 1,
        "Protocol": "-1",
        "RuleAction": "allow",
        "Egress": True,
        "CidrBlock": ANYWHERE,
    } | parameters
    assert refused(face.ann.create_network_acl_entry, **given)[0] == code
    assert len(entries(face, acl)) == 2


def test_a_subnet_uses_a_network_acl(face):
    vpc = new_vpc(face)
    subnet = new_subnet(face, vpc)
    default = default_acl(face, vpc)
    (association,) = [each["NetworkAclAssociationId"] for each in default["Associations"]]
    acl = face.ann.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    made = face.ann.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
    (shown,) = face.ann.describe_network_acls(Filters=where(association__subnet_id=subnet))["NetworkAcls"]
    assert shown["Associations"] == [
        {
            "NetworkAclAssociationId": made["NewAssociationId"],
            "NetworkAclId": acl,
            "SubnetId": subnet,
        }
    ]
    again = {"AssociationId": association, "NetworkAclId": acl}
    assert refused(face.ann.replace_network_acl_association, **again)[0] == "InvalidAssociationID.NotFound"
    assert refused(face.ann.delete_network_acl, NetworkAclId=acl) == (
        "DependencyViolation",
        f"The networkAcl '{acl}' has dependencies and cannot be deleted.",
    )
    assert refused(face.ann.delete_network_acl, NetworkAclId=default["NetworkAclId"]) == (
        "InvalidParameterValue",
        f"cannot delete default network ACL {default['NetworkAclId']}",
    )
    elsewhere = face.ann.create_network_acl(VpcId=new_vpc(face))["NetworkAcl"]["NetworkAclId"]
    foreign = {"AssociationId": made["NewAssociationId"], "NetworkAclId": elsewhere}
    assert refused(face.ann.replace_network_acl_association, **foreign)[0] == "InvalidParameterValue"
    face.ann.delete_subnet(SubnetId=subnet)
    face.ann.delete_network_acl(NetworkAclId=acl)


# ClassicLink --------------------------------------------------------------------------------------------


def test_no_vpc_has_the_link_of_old(face):
    vpc = new_vpc(face, TagSpecifications=tagged("vpc", a="b"))
    links = face.ann.describe_vpc_classic_link(VpcIds=[vpc])["Vpcs"]
    assert links == [{"VpcId": vpc, "ClassicLinkEnabled": False, "Tags": [{"Key": "a", "Value": "b"}]}]
    enabled = where(is_classic_link_enabled="true")
    assert face.ann.describe_vpc_classic_link(Filters=enabled)["Vpcs"] == []
    names = face.ann.describe_vpc_classic_link_dns_support(VpcIds=[vpc])["Vpcs"]
    assert names == [{"VpcId": vpc, "ClassicLinkDnsSupported": False}]


# Terraform ----------------------------------------------------------------------------------------------


def test_terraform_reads_back_what_it_made(face):
    """The calls of the provider's resources in its order: made, waited for, refreshed, destroyed."""
    ec2 = face.ann
    vpc = new_vpc(face, TagSpecifications=tagged("vpc", Name="tf"))
    for name in ("enableDnsHostnames", "enableDnsSupport", "enableNetworkAddressUsageMetrics"):
        ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
    own = where(vpc_id=vpc)
    (acl,) = ec2.describe_network_acls(Filters=where(default="true") + own)["NetworkAcls"]
    (main,) = ec2.describe_route_tables(Filters=where(association__main="true") + own)["RouteTables"]
    named = where(group_name="default") + own
    (group,) = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    assert {each["VpcId"] for each in (acl, main, group)} == {vpc}
    subnet = new_subnet(face, vpc)
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    (shown,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert (shown["State"], shown["MapPublicIpOnLaunch"], shown["AssignIpv6AddressOnCreation"]) == (
        "available",
        True,
        False,
    )
    gateway = new_gateway(face, vpc)
    ec2.get_waiter("internet_gateway_exists").wait(InternetGatewayIds=[gateway])
    table = new_table(face, vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    by = where(association__route_table_association_id=association)
    ((found,),) = [each["Associations"] for each in ec2.describe_route_tables(Filters=by)["RouteTables"]]
    assert (found["SubnetId"], found["AssociationState"]["State"]) == (subnet, "associated")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(AllocationId=address, SubnetId=subnet)["NatGateway"]["NatGatewayId"]
    (shown,) = ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"]
    ((inside,), state) = shown["NatGatewayAddresses"], shown["State"]
    assert (inside["AllocationId"], inside["IsPrimary"], state) == (address, True, "available")

    ec2.delete_nat_gateway(NatGatewayId=nat)
    assert ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "deleted"
    ec2.release_address(AllocationId=address)
    ec2.disassociate_route_table(AssociationId=association)
    assert ec2.describe_route_tables(Filters=by)["RouteTables"] == []
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE)
    ec2.delete_route_table(RouteTableId=table)
    assert ec2.describe_network_interfaces(Filters=where(subnet_id=subnet))["NetworkInterfaces"] == []
    ec2.delete_subnet(SubnetId=subnet)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)
    assert refused(ec2.describe_vpcs, VpcIds=[vpc])[0] == "InvalidVpcID.NotFound"
