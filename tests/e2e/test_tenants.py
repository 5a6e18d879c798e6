"""Tenants see nothing of each other: whatever is another's answers as what does not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from live_cloud import Answer, LiveCloud, key_of, wait_for
from occi_client import COMPUTE, JSON, PLAIN, RENDERINGS, OcciClient, category, request
from wire import Refusal, call, census, refusal, signed

from backend.model import id_of, uuid_of
from ec2.actions import ACTIONS
from ec2.service import EC2, STS
from rendering.query_shapes import ListOf

UNKNOWN = "0123456789abcdef0"
WAIT = {"Delay": 1, "MaxAttempts": 60}

# Which parameters refer to things that tenants have, by their names on the wire.
REFERENCES = {
    "InstanceId": "i", "ImageId": "ami", "SourceImageId": "ami", "VolumeId": "vol", "SnapshotId": "snap",
    "SourceSnapshotId": "snap", "ImportTaskId": "import-snap", "ExportImageTaskId": "export", "KeyPairId": "key",
    "KeyName": "name", "ResourceId": "*", "LaunchTemplateId": "lt", "LaunchTemplateName": "template",
}  # fmt: skip
NEW_NAMES = {
    ("CreateKeyPair", "KeyName"), ("ImportKeyPair", "KeyName"), ("CreateLaunchTemplate", "LaunchTemplateName"),
}  # fmt: skip
# What is called as a security group is, and is a placement group.
PLACEMENT_GROUPS = {
    ("DeletePlacementGroup", "GroupName"): "group", ("DescribeInstanceTopology", "GroupName"): "group",
    ("DescribePlacementGroups", "GroupName"): "group", ("DescribePlacementGroups", "GroupId"): "pg",
    ("ModifyInstancePlacement", "GroupName"): "group", ("ModifyInstancePlacement", "GroupId"): "pg",
}  # fmt: skip
# Inside of structures.
NESTED = (
    ("RunInstances", "LaunchTemplate.LaunchTemplateId", "lt"),
    ("RunInstances", "LaunchTemplate.LaunchTemplateName", "template"),
    ("RunInstances", "Placement.GroupId", "pg"),
    ("RunInstances", "Placement.GroupName", "group"),
    ("RunInstances", "BlockDeviceMapping.1.Ebs.SnapshotId", "snap"),
    ("RegisterImage", "BlockDeviceMapping.1.Ebs.SnapshotId", "snap"),
    ("CreateSnapshots", "InstanceSpecification.InstanceId", "i"),
)
# Parameters that look like references and are none: nobody owns them here, or nothing of the kind exists yet.
NO_REFERENCES = {
    "ZoneName", "ZoneId", "RegionName", "AttributeName", "RootDeviceName", "Name", "UserId", "KernelId",
    "RamdiskId", "KmsKeyId", "RoleName", "AvailabilityZoneId", "DestinationAvailabilityZoneId", "IpamPoolId",
    "GroupName",  # of a VPC of one's own; of placement groups in PLACEMENT_GROUPS
    "LinkedGroupId", "ParentGroupId", "HostId",
    "Ipv4IpamPoolId", "Ipv6IpamPoolId", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId",
    "DestinationPrefixListId",
    "CarrierGatewayId", "CoreNetworkArn", "EgressOnlyInternetGatewayId", "LocalGatewayId", "OdbNetworkArn",
    "PoolId",  # the operator's
    "MetricCategoryId",
    "RoleSessionName", "ExternalId",
    "TransitGatewayId", "VpcEndpointId", "VpcPeeringConnectionId", "AssociatedSubnetId", "SecondaryAllocationId",
}  # fmt: skip
REFER_TO_NOTHING = {
    "CreateKeyPair", "DescribeAccountAttributes", "DescribeAvailabilityZones", "DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes", "DescribeRegions", "DescribeTags", "GetCallerIdentity", "ImportKeyPair",
    "GetEbsEncryptionByDefault", "ImportImage", "ImportSnapshot", "CreatePlacementGroup",
    "CreateLaunchTemplate",  # what its data names is looked up at launch, and warned of: below
    "AllocateAddress", "CreateDefaultSubnet", "CreateDefaultVpc", "CreateDhcpOptions", "CreateInternetGateway",
    "CreateVpc",
    "EnableEbsEncryptionByDefault", "DisableEbsEncryptionByDefault",  # settings of the account
    "GetSerialConsoleAccessStatus", "DisableSerialConsoleAccess", "GetImageBlockPublicAccessState",
    "DisableImageBlockPublicAccess", "GetSnapshotBlockPublicAccessState", "DisableSnapshotBlockPublicAccess",
    "GetAllowedImagesSettings", "DisableAllowedImagesSettings", "GetInstanceMetadataDefaults",
    "ModifyInstanceMetadataDefaults", "DescribeInstanceEventNotificationAttributes",
    "DescribeVpcBlockPublicAccessOptions", "DescribeSpotDatafeedSubscription",
    "DescribeIdFormat", "DescribeIdentityIdFormat", "DescribeAggregateIdFormat",
    "DescribePublicIpv4Pools", "DescribeSnapshotTierStatus", "GetInstanceTypesFromInstanceRequirements",
    "ModifyInstanceCreditSpecification",  # inside a structure, and told of each: below
    "GetSessionToken",
    "AssumeRole",  # of a tenant's own account or another's: below
}  # fmt: skip
# What a call needs besides the reference, so that only the reference can be at fault.
BESIDES: dict[str, tuple[tuple[str, str], ...]] = {
    "AttachVolume": (("Device", "/dev/sdf"),),
    "CopyImage": (("Name", "mine now"), ("SourceRegion", "us-east-1")),
    "CopySnapshot": (("SourceRegion", "us-east-1"),),
    "CreateImage": (("Name", "mine now"),),
    "CreateTags": (("Tag.1.Key", "mine"), ("Tag.1.Value", "now")),
    "CreateVolume": (("AvailabilityZone", "us-east-1a"),),
    "CreateLaunchTemplateVersion": (("LaunchTemplateData.InstanceType", "t2.nano"),),
    "DeleteLaunchTemplateVersions": (("LaunchTemplateVersion.1", "1"),),
    "DescribeSnapshotAttribute": (("Attribute", "createVolumePermission"),),
    "DescribeVolumeAttribute": (("Attribute", "autoEnableIO"),),
    "EnableImageDeprecation": (("DeprecateAt", "2030-01-01T00:00:00Z"),),
    "ExportImage": (("DiskImageFormat", "RAW"), ("S3ExportLocation.S3Bucket", "bucket")),
    "ModifyLaunchTemplate": (("SetDefaultVersion", "1"),),
    "ModifySnapshotAttribute": (
        ("Attribute", "createVolumePermission"),
        ("OperationType", "add"),
        ("UserGroup.1", "all"),
    ),
    "ModifyVolume": (("Size", "4"),),
    "ModifyVolumeAttribute": (("AutoEnableIO.Value", "true"),),
    "ResetImageAttribute": (("Attribute", "launchPermission"),),
    "ResetSnapshotAttribute": (("Attribute", "createVolumePermission"),),
    "DescribeImageAttribute": (("Attribute", "launchPermission"),),
    "DescribeInstanceAttribute": (("Attribute", "userData"),),
    "ModifyImageAttribute": (("Description.Value", "mine now"),),
    "ModifyInstanceAttribute": (("DisableApiTermination.Value", "false"),),
    "ResetInstanceAttribute": (("Attribute", "sourceDestCheck"),),
    "ModifyInstanceCapacityReservationAttributes": (
        ("CapacityReservationSpecification.CapacityReservationPreference", "open"),
    ),
    "ModifyInstanceNetworkPerformanceOptions": (("BandwidthWeighting", "default"),),
    "RunInstances": (("MinCount", "1"), ("MaxCount", "1"), ("InstanceType", "t2.nano")),
    "StopInstances": (("Force", "true"),),
    "TerminateInstances": (("Force", "true"),),
}


# The same for networks: a name, and for associations which of them.
NETWORK_REFERENCES = {
    "VpcId": "vpc", "VpcIds": "vpc", "SubnetId": "subnet", "RouteTableId": "rtb", "InternetGatewayId": "igw", "GatewayId": "igw",
    "NatGatewayId": "nat", "DhcpOptionsId": "dopt", "NetworkAclId": "acl", "GroupId": "sg",
    "SecurityGroupId": "sg", "SecurityGroupRuleId": "sgr", "NetworkInterfaceId": "eni",
    "AttachmentId": "eni-attach", "AllocationId": "eipalloc", "AssociationId": "",
}  # fmt: skip
ASSOCIATIONS = {
    "DisassociateAddress": "eipassoc", "DisassociateRouteTable": "rtbassoc",
    "ReplaceRouteTableAssociation": "rtbassoc", "DisassociateVpcCidrBlock": "vpc-cidr-assoc",
    "ReplaceNetworkAclAssociation": "aclassoc",
}  # fmt: skip
ENTRY = (
    ("RuleNumber", "7"), ("Protocol", "-1"), ("RuleAction", "allow"), ("Egress", "false"),
    ("CidrBlock", "0.0.0.0/0"),
)  # fmt: skip
PERMISSION = (
    ("IpPermissions.1.IpProtocol", "tcp"), ("IpPermissions.1.FromPort", "22"),
    ("IpPermissions.1.ToPort", "22"), ("IpPermissions.1.IpRanges.1.CidrIp", "192.0.2.0/24"),
)  # fmt: skip
# In braces one's own.
BESIDES_NETWORKS: dict[str, tuple[tuple[str, str], ...]] = {
    "AssignPrivateIpAddresses": (("SecondaryPrivateIpAddressCount", "1"),),
    "AssociateAddress": (("AllocationId", "{eipalloc}"), ("NetworkInterfaceId", "{eni}")),
    "AssociateDhcpOptions": (("DhcpOptionsId", "{dopt}"), ("VpcId", "{vpc}")),
    "AssociateRouteTable": (("RouteTableId", "{rtb}"), ("SubnetId", "{subnet}")),
    "AssociateVpcCidrBlock": (("CidrBlock", "10.8.0.0/16"),),
    "AttachInternetGateway": (("InternetGatewayId", "{igw}"), ("VpcId", "{vpc}")),
    "AttachNetworkInterface": (
        ("NetworkInterfaceId", "{eni}"), ("InstanceId", "{i}"), ("DeviceIndex", "2"),
    ),
    "AuthorizeSecurityGroupEgress": PERMISSION,
    "AuthorizeSecurityGroupIngress": PERMISSION,
    "CreateNatGateway": (("SubnetId", "{subnet}"), ("AllocationId", "{eipalloc}")),
    "CreateNetworkAclEntry": ENTRY,
    "CreateNetworkInterface": (("SubnetId", "{subnet}"),),
    "CreateRoute": (
        ("RouteTableId", "{rtb}"), ("DestinationCidrBlock", "192.0.2.0/24"), ("NetworkInterfaceId", "{eni}"),
    ),
    "CreateSecurityGroup": (("GroupName", "mine now"), ("GroupDescription", "d")),
    "CreateSubnet": (("CidrBlock", "10.0.77.0/24"),),
    "DeleteNetworkAclEntry": (("RuleNumber", "100"), ("Egress", "false")),
    "DeleteRoute": (("DestinationCidrBlock", "0.0.0.0/0"),),
    "DescribeAddressesAttribute": (("Attribute", "domain-name"),),
    "DescribeNetworkInterfaceAttribute": (("Attribute", "description"),),
    "DescribeVpcAttribute": (("Attribute", "enableDnsSupport"),),
    "DetachInternetGateway": (("InternetGatewayId", "{igw}"), ("VpcId", "{vpc}")),
    "ModifyInstanceAttribute": (("InstanceId", "{i}"),),
    "ModifyNetworkInterfaceAttribute": (("NetworkInterfaceId", "{eni}"), ("Description.Value", "mine now")),
    "ModifySecurityGroupRules": (
        ("SecurityGroupRule.1.SecurityGroupRuleId", "{sgr}"),
        ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "-1"),
        ("SecurityGroupRule.1.SecurityGroupRule.CidrIpv4", "192.0.2.0/24"),
    ),
    "ModifySubnetAttribute": (("MapPublicIpOnLaunch.Value", "true"),),
    "ModifyVpcAttribute": (("EnableDnsHostnames.Value", "true"),),
    "ModifyVpcTenancy": (("InstanceTenancy", "default"),),
    "ReplaceNetworkAclAssociation": (("AssociationId", "{aclassoc}"), ("NetworkAclId", "{acl}")),
    "ReplaceNetworkAclEntry": ENTRY,
    "ReplaceRoute": (
        ("RouteTableId", "{rtb}"), ("DestinationCidrBlock", "0.0.0.0/0"), ("NetworkInterfaceId", "{eni}"),
    ),
    "ReplaceRouteTableAssociation": (("AssociationId", "{rtbassoc}"), ("RouteTableId", "{rtb}")),
    "ResetNetworkInterfaceAttribute": (("SourceDestCheck", "true"),),
    "RevokeSecurityGroupEgress": (("GroupId", "{sg}"), ("SecurityGroupRuleId.1", "{sgr}")),
    "RevokeSecurityGroupIngress": (("GroupId", "{sg}"), ("SecurityGroupRuleId.1", "{sgr}")),
    "RunInstances": (("ImageId", "{ami}"), ("MinCount", "1"), ("MaxCount", "1"), ("InstanceType", "t2.nano")),
    "UnassignPrivateIpAddresses": (("PrivateIpAddress.1", "10.0.0.9"),),
    "UpdateSecurityGroupRuleDescriptionsEgress": PERMISSION,
    "UpdateSecurityGroupRuleDescriptionsIngress": PERMISSION,
}  # fmt: skip

OF_NETWORKS = BESIDES_NETWORKS.keys() - {"ModifyInstanceAttribute", "RunInstances"}
# What means the same as another parameter, and cannot stand beside it.
INSTEAD = {
    ("CreateRoute", "GatewayId"): "NetworkInterfaceId",
    ("ReplaceRoute", "GatewayId"): "NetworkInterfaceId",
    ("CreateRoute", "NatGatewayId"): "NetworkInterfaceId",
    ("CreateRoute", "InstanceId"): "NetworkInterfaceId",
    ("ReplaceRoute", "NatGatewayId"): "NetworkInterfaceId",
    ("ReplaceRoute", "InstanceId"): "NetworkInterfaceId",
    ("AssociateAddress", "InstanceId"): "NetworkInterfaceId",
    ("ModifyNetworkInterfaceAttribute", "SecurityGroupId.1"): "Description.Value",
}
# For NAT gateways of a whole VPC and route tables of a gateway, which there are none of.
ONLY_BESIDE = {("CreateNatGateway", "VpcId"), ("AssociateRouteTable", "GatewayId")}


# What remains of a tenant that is gone: who did what, and what was used when.
RECORDS = {"event", "stay"}


class Owner(NamedTuple):
    """A tenant, and what it has."""

    name: str
    said: dict[str, str]
    instance: str
    image: str
    key_id: str
    key_name: str
    volume: str
    snapshot: str
    import_task: str
    import_image_task: str
    export_task: str
    template: str
    template_name: str
    group: str
    group_name: str
    tag: str  # the location of a mixin of its own

    @property
    def auth(self) -> tuple[str, str]:
        return self.said["occi_user"], self.said["occi_password"]

    @property
    def things(self) -> dict[str, list[str]]:
        return {
            "i": [self.instance], "ami": [self.image], "key": [self.key_id], "name": [self.key_name],
            "vol": [self.volume], "snap": [self.snapshot], "import-snap": [self.import_task],
            "import-ami": [self.import_image_task],
            "export": [self.export_task], "lt": [self.template], "template": [self.template_name],
            "pg": [self.group], "group": [self.group_name],
            "*": [
                self.instance, self.image, self.key_id, self.volume, self.snapshot, self.template, self.group,
            ],
        }  # fmt: skip


def owner(cloud: LiveCloud, blank_image: Path, name: str) -> Owner:
    """A tenant with one of everything."""
    said = cloud.tenant(name)
    auth = (said["occi_user"], said["occi_password"])
    client = cloud.client(key=key_of(said))
    image = cloud.cli("image", "import", str(blank_image), "--name", f"{name}-image", "--tenant", name)["id"]
    pair = client.create_key_pair(KeyName=f"{name}-key", KeyType="ed25519")
    made = client.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="t2.nano", KeyName=f"{name}-key",
        ClientToken="token", UserData=f"#!/bin/sh\necho {name}-secret\n",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"{name}-vm"}]}],
    )  # fmt: skip
    instance = made["Instances"][0]["InstanceId"]
    volume = client.create_volume(AvailabilityZone=cloud.facts["zone"], Size=1)["VolumeId"]
    client.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=WAIT)
    snapshot = client.create_snapshot(VolumeId=volume)["SnapshotId"]
    client.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=WAIT)
    disk = {"Content-Type": "application/octet-stream"}
    assert cloud.occi("PUT", "/uploads/disk", blank_image.read_bytes(), disk, auth).status in {201, 204}
    taken = client.import_snapshot(DiskContainer={"Url": "upload:disk"})["ImportTaskId"]
    made_of_it = client.import_image(DiskContainers=[{"Url": "upload:disk"}])["ImportTaskId"]
    given = client.export_image(
        ImageId=image, DiskImageFormat="RAW", S3ExportLocation={"S3Bucket": "bucket"}
    )["ExportImageTaskId"]
    wait_for(lambda: cloud.cli("task", "list", "--open") == [], "import and export")
    template = client.create_launch_template(
        LaunchTemplateName=f"{name}-template",
        LaunchTemplateData={"ImageId": image, "InstanceType": "t2.nano"},
    )["LaunchTemplate"]["LaunchTemplateId"]
    group = client.create_placement_group(GroupName=f"{name}-group", Strategy="spread")["PlacementGroup"][
        "GroupId"
    ]
    tagged = [image, pair["KeyPairId"], template, group]
    client.create_tags(Resources=tagged, Tags=[{"Key": "of", "Value": name}])
    client.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=WAIT)
    tag = f'{category(f"http://{name}.example.org/tags#web", "mixin")}; location="/tags/{name}/"'
    plain = {"Content-Type": PLAIN}
    assert cloud.occi("POST", "/-/", f"Category: {tag}", plain, auth).status == 200
    path = f"X-OCCI-Location: /compute/{uuid_of(instance)}"
    assert cloud.occi("POST", f"/tags/{name}/", path, plain, auth).status == 200
    return Owner(
        name, said, instance, image, pair["KeyPairId"], f"{name}-key", volume, snapshot, taken, made_of_it, given,
        template, f"{name}-template", group, f"{name}-group", f"/tags/{name}/",
    )  # fmt: skip


@pytest.fixture(scope="module")
def ann(cloud: LiveCloud, blank_image: Path) -> Owner:
    return owner(cloud, blank_image, "ann")


@pytest.fixture(scope="module")
def bob(cloud: LiveCloud, blank_image: Path) -> Owner:
    return owner(cloud, blank_image, "bob")


# EC2 ----------------------------------------------------------------------------------------------------


def references() -> Iterator[tuple[str, str, str]]:
    """Operation, wire name and kind of each parameter that refers to something a tenant has."""
    for action in ACTIONS:
        endpoint = EC2.endpoints.get(action) or STS.endpoints[action]
        for member in endpoint.shape.input.members:
            name = member.request_name
            kind = None if action in OF_NETWORKS else REFERENCES.get(name)
            kind = kind or PLACEMENT_GROUPS.get((action, name))
            if (action, kind) == ("DescribeImportImageTasks", "import-snap"):
                kind = "import-ami"
            if kind is not None and (action, name) not in NEW_NAMES:
                yield action, name + (".1" if isinstance(member.shape, ListOf) else ""), kind
    yield from NESTED


def test_no_operation_is_forgotten_here():
    """A new operation or parameter must say whether it refers to something of a tenant's."""
    found = {action for action, _, _ in (*references(), *network_references())}
    assert found | REFER_TO_NOTHING == set(ACTIONS)
    assert not found & REFER_TO_NOTHING
    looks_like_one = re.compile(r".*(?:Id|Name|Arn)")
    for action in ACTIONS:
        for member in (EC2.endpoints.get(action) or STS.endpoints[action]).shape.input.members:
            name = member.request_name
            if looks_like_one.fullmatch(name) and not name.endswith("Arn"):
                assert name in REFERENCES.keys() | NETWORK_REFERENCES.keys() | NO_REFERENCES, (action, name)


def _without(answer: Answer, thing: str) -> Any:
    """All that a client can see, but for the request's id and the thing's."""
    body = re.sub(r"(?i:(?<=<requestid>))[^<]+", "", answer.body)
    headers = {name: text for name, text in answer.headers.items() if not _is_of_the_request(name)}
    return answer.status, headers, body.replace(thing, "THING")


def _is_of_the_request(header: str) -> bool:
    name = header.lower().replace("-", "")
    return name in {"date", "contentlength"} or "requestid" in name


def takes_dry_run(action: str) -> bool:
    """Whether an operation has the parameter at all: a few of the real service have not."""
    return any(member.request_name == "DryRun" for member in EC2.endpoints[action].shape.input.members)


NOT_THERE = (".NotFound", ".NotFoundException", "InvalidPlacementGroup.Unknown")


@pytest.mark.parametrize(("action", "parameter", "kind"), list(references()))
def test_a_foreign_thing_is_an_unknown_thing(cloud, ann, bob, action, parameter, kind):
    before = census(cloud)
    for foreign in ann.things[kind]:
        unknown = f"{foreign.rpartition('-')[0]}-{UNKNOWN}"
        mapping = (("BlockDeviceMapping.1.DeviceName", "/dev/sdf"),)
        other = {
            **{
                ("RunInstances", of): (("ImageId", bob.image),)
                for of in ("name", "lt", "template", "pg", "group")
            },
            ("RunInstances", "snap"): (("ImageId", bob.image), *mapping),
            ("RegisterImage", "snap"): (
                ("Name", "mine now"),
                ("RootDeviceName", "/dev/sda1"),
                ("BlockDeviceMapping.1.DeviceName", "/dev/sda1"),
            ),
            ("ModifyInstancePlacement", "i"): (("GroupName", bob.group_name),),
            ("ModifyInstancePlacement", "pg"): (("InstanceId", bob.instance),),
            ("ModifyInstancePlacement", "group"): (("InstanceId", bob.instance),),
            ("AttachVolume", "vol"): (("InstanceId", bob.instance),),
            ("AttachVolume", "i"): (("VolumeId", bob.volume),),
            ("DetachVolume", "i"): (("VolumeId", ann.volume),),
        }.get((action, kind), ())
        besides = (*BESIDES.get(action, ()), *other)
        theirs = call(cloud, action, (parameter, foreign), *besides, key=key_of(bob.said))
        nobodys = call(cloud, action, (parameter, unknown), *besides, key=key_of(bob.said))
        assert _without(theirs, foreign) == _without(nobodys, unknown)
        if action != "DeleteKeyPair":  # deleting what is not there is success
            assert refusal(theirs).code.endswith(NOT_THERE), refusal(theirs)
            assert theirs.status == 400
        if takes_dry_run(action):
            own = call(
                cloud, action, (parameter, foreign), ("DryRun", "true"), *besides, key=key_of(ann.said)
            )
            assert refusal(own).code == "DryRunOperation"  # the call itself is in order
    assert census(cloud) == before


def network_references() -> Iterator[tuple[str, str, str]]:
    """Operation, wire name and kind of each parameter that refers to something of a tenant's networks."""
    for action in ACTIONS:
        endpoint = EC2.endpoints.get(action) or STS.endpoints[action]
        for member in endpoint.shape.input.members:
            name = member.request_name
            kind = NETWORK_REFERENCES.get(name) or (
                ASSOCIATIONS.get(action) if name == "AssociationId" else None
            )
            if action in OF_NETWORKS and name == "InstanceId":
                kind = "i"
            if kind is not None and (action, name) not in {*ONLY_BESIDE, *PLACEMENT_GROUPS}:
                yield action, name + (".1" if isinstance(member.shape, ListOf) else ""), kind


def network_of(cloud: LiveCloud, who: Owner) -> dict[str, str]:
    """One of everything that can be drawn, by kind, and the owner's machine and image."""
    client = cloud.client(key=key_of(who.said))
    vpc = client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    block = client.associate_vpc_cidr_block(VpcId=vpc, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    zone = cloud.facts["zone"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone=zone)["Subnet"][
        "SubnetId"
    ]
    table = client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    used = client.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    client.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    first, second = (client.allocate_address(Domain="vpc")["AllocationId"] for _ in range(2))
    nat = client.create_nat_gateway(SubnetId=subnet, AllocationId=first)["NatGateway"]["NatGatewayId"]
    options = client.create_dhcp_options(
        DhcpConfigurations=[{"Key": "domain-name", "Values": [f"{who.name}.example.org"]}]
    )["DhcpOptions"]["DhcpOptionsId"]
    [acl] = client.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
    group = client.create_security_group(GroupName=f"{who.name}-web", Description="d", VpcId=vpc)["GroupId"]
    [rule] = client.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )["SecurityGroupRules"]
    nic = client.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
    led = client.associate_address(AllocationId=second, NetworkInterfaceId=nic["NetworkInterfaceId"])
    wait_for(lambda: census(cloud)["network_change"] == [], "the network follows")
    [primary] = client.describe_instances(InstanceIds=[who.instance])["Reservations"][0]["Instances"][0][
        "NetworkInterfaces"
    ]
    return {
        "vpc": vpc, "vpc-cidr-assoc": block["AssociationId"], "subnet": subnet, "rtb": table, "rtbassoc": used,
        "igw": gateway, "nat": nat, "dopt": options, "acl": acl["NetworkAclId"],
        "aclassoc": acl["Associations"][0]["NetworkAclAssociationId"], "sg": group,
        "sgr": rule["SecurityGroupRuleId"], "eni": nic["NetworkInterfaceId"],
        "eni-attach": primary["Attachment"]["AttachmentId"], "eipalloc": second,
        "eipassoc": led["AssociationId"], "i": who.instance, "ami": who.image,
    }  # fmt: skip


@pytest.fixture(scope="module")
def anns_network(cloud: LiveCloud, ann: Owner) -> dict[str, str]:
    return network_of(cloud, ann)


@pytest.fixture(scope="module")
def bobs_network(cloud: LiveCloud, bob: Owner) -> dict[str, str]:
    return network_of(cloud, bob)


@pytest.mark.parametrize(("action", "parameter", "kind"), list(network_references()))
def test_a_foreign_network_is_an_unknown_one(cloud, bob, anns_network, bobs_network, action, parameter, kind):
    before = census(cloud)
    foreign, unknown = anns_network[kind], f"{kind}-{UNKNOWN}"
    besides = [
        (name, value.format(**{each.replace("-", "_"): known for each, known in bobs_network.items()}))
        for name, value in BESIDES_NETWORKS.get(action, ())
        if name not in {parameter, INSTEAD.get((action, parameter))}
    ]
    theirs = call(cloud, action, (parameter, foreign), *besides, key=key_of(bob.said))
    nobodys = call(cloud, action, (parameter, unknown), *besides, key=key_of(bob.said))
    assert refusal(theirs).code.endswith(("NotFound", "Gateway.NotAttached")), refusal(theirs)
    assert _without(theirs, foreign) == _without(nobodys, unknown)
    assert census(cloud) == before


def test_listings_show_ones_own_networks_only(cloud, bob, anns_network, bobs_network):
    client = cloud.client(key=key_of(bob.said))
    shown = json.dumps(
        [
            client.describe_vpcs(), client.describe_subnets(), client.describe_route_tables(),
            client.describe_internet_gateways(), client.describe_nat_gateways(), client.describe_dhcp_options(),
            client.describe_network_acls(), client.describe_security_groups(),
            client.describe_security_group_rules(), client.describe_network_interfaces(),
            client.describe_addresses(),
        ],
        default=str,
    )  # fmt: skip
    for kind in anns_network.keys() - {"ami", "i"}:
        assert bobs_network[kind] in shown, kind
        assert anns_network[kind] not in shown, kind


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("network", "subnet"),
        ("networkinterface", "eni"),
        ("securitygroup", "sg"),
        ("ipreservation", "eipalloc"),
    ],
)
def test_occi_answers_about_a_foreign_network_as_about_an_unknown_one(
    cloud, bob, anns_network, bobs_network, place, kind
):
    before = census(cloud)
    foreign, unknown = uuid_of(anns_network[kind]), uuid_of(f"{kind}-{UNKNOWN}")
    for method in ("GET", "HEAD", "DELETE", "POST", "PATCH"):
        for query in ("", "?action=up", "?action=down"):
            theirs = cloud.occi(method, f"/{place}/{foreign}{query}", auth=bob.auth)
            nobodys = cloud.occi(method, f"/{place}/{unknown}{query}", auth=bob.auth)
            assert theirs.status in {400, 404, 405}
            seen = [
                (status, headers, body.replace(name, "THING"))
                for answer, thing, name in (
                    (theirs, foreign, anns_network[kind]),
                    (nobodys, unknown, f"{kind}-{UNKNOWN}"),
                )
                for status, headers, body in [_without(answer, thing)]
            ]
            assert seen[0] == seen[1], (method, query)
    for path in ("/", f"/{place}/"):
        said = cloud.occi("GET", path, auth=bob.auth)
        assert foreign not in f"{said.body}{said.headers}"
    assert uuid_of(bobs_network[kind]) in cloud.occi("GET", f"/{place}/", auth=bob.auth).body or kind == "eni"
    assert census(cloud) == before


def test_credits_of_a_foreign_instance_are_those_of_an_unknown_one(cloud, ann, bob):
    before = census(cloud)
    seen = []
    for thing in (ann.instance, f"i-{UNKNOWN}"):
        wanted = (
            ("InstanceCreditSpecification.1.InstanceId", thing),
            ("InstanceCreditSpecification.1.CpuCredits", "standard"),
        )
        answer = call(cloud, "ModifyInstanceCreditSpecification", *wanted, key=key_of(bob.said))
        assert "<code>InvalidInstanceID.NotFound</code>" in answer.body
        seen.append(_without(answer, thing))
    assert seen[0] == seen[1]
    assert census(cloud) == before


def test_templates_that_name_foreign_things_are_warned_of_as_of_unknown_ones(cloud, ann, bob, anns_network):
    """And a launch from one finds what it names no more than a launch without a template would."""
    client, seen = cloud.client(key=key_of(bob.said)), []
    names = {
        "ImageId": (ann.image, f"ami-{UNKNOWN}"),
        "KeyName": (ann.key_name, "nobodys-key"),
        "SecurityGroupId.1": (anns_network["sg"], f"sg-{UNKNOWN}"),
        "NetworkInterface.1.SubnetId": (anns_network["subnet"], f"subnet-{UNKNOWN}"),
        "Placement.GroupName": (ann.group_name, "nobodys-group"),
        "Placement.GroupId": (ann.group, f"pg-{UNKNOWN}"),
    }
    for member, pair in names.items():
        seen = []
        for thing in pair:
            data = [("NetworkInterface.1.DeviceIndex", "0")] if member.startswith("NetworkInterface") else []
            data += [("InstanceType", "t2.nano"), ("ImageId", bob.image)]
            data = [(name, text) for name, text in data if name != member] + [(member, thing)]
            made = call(
                cloud, "CreateLaunchTemplate", ("LaunchTemplateName", "of-others"),
                *((f"LaunchTemplateData.{name}", text) for name, text in data), key=key_of(bob.said),
            )  # fmt: skip
            assert made.status == 200, made.body
            before = census(cloud)
            counts = (("MinCount", "1"), ("MaxCount", "1"))
            launch = call(
                cloud, "RunInstances", ("LaunchTemplate.LaunchTemplateName", "of-others"), *counts,
                key=key_of(bob.said),
            )  # fmt: skip
            assert refusal(launch).code.endswith(NOT_THERE), refusal(launch)
            assert census(cloud) == before
            client.delete_launch_template(LaunchTemplateName="of-others")
            warned = re.search(r"<warning>.*</warning>", made.body, re.DOTALL)
            warning = warned.group().replace(thing, "THING") if warned else ""
            seen.append((warning, _without(launch, thing)))
        assert seen[0] == seen[1], member


def test_a_foreign_role_is_an_unknown_one(cloud, ann, bob):
    """Ann's role, which trusts nobody else, and one that is not there: neither is told of."""
    cloud.cli("role", "create", "operator", "--tenant", "ann")
    before = census(cloud)
    arns = [f"arn:aws:iam::{ann.said['account_id']}:role/{name}" for name in ("operator", "nobodys")]
    seen = []
    for arn in arns:
        body = (
            ("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", arn), ("RoleSessionName", "me"),
        )  # fmt: skip
        answer = signed(cloud, body, key=key_of(bob.said), service="sts")
        assert (answer.status, "<Code>AccessDenied</Code>" in answer.body) == (403, True), answer.body
        seen.append(_without(answer, arn))
    assert seen[0] == seen[1]
    assert census(cloud) == before
    cloud.cli("role", "delete", "operator", "--tenant", "ann")


def test_settings_of_an_account_are_its_own(cloud, ann, bob):
    mine, theirs = cloud.client(key=key_of(ann.said)), cloud.client(key=key_of(bob.said))
    mine.enable_ebs_encryption_by_default()
    assert mine.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert theirs.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    theirs.disable_ebs_encryption_by_default()
    assert mine.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    mine.disable_ebs_encryption_by_default()


@pytest.mark.parametrize(
    "action", ["StartInstances", "StopInstances", "RebootInstances", "TerminateInstances"]
)
def test_one_foreign_id_among_own_ones_refuses_all(cloud, ann, bob, action):
    before = census(cloud)
    both = (("InstanceId.1", bob.instance), ("InstanceId.2", ann.instance))
    said = refusal(call(cloud, action, *both, key=key_of(bob.said)))
    assert said == Refusal(
        400, "InvalidInstanceID.NotFound", f"The instance ID '{ann.instance}' does not exist"
    )
    assert census(cloud) == before


def test_listings_and_filters_show_ones_own_things_only(cloud, ann, bob):
    client = cloud.client(key=key_of(bob.said))
    shown = json.dumps(
        [
            client.describe_instances(), client.describe_instance_status(IncludeAllInstances=True),
            client.describe_volumes(), client.describe_snapshots(), client.describe_volume_status(),
            client.describe_import_snapshot_tasks(), client.describe_import_image_tasks(),
            client.describe_export_image_tasks(),
            client.describe_images(), client.describe_key_pairs(IncludePublicKey=True), client.describe_tags(),
            client.describe_launch_templates(), client.describe_placement_groups(),
            client.describe_launch_template_versions(Versions=["$Latest", "$Default"]),
        ],
        default=str,
    )  # fmt: skip
    for thing in (
        "instance", "image", "key_id", "key_name", "volume", "snapshot", "import_task", "import_image_task",
        "export_task", "template", "template_name", "group", "group_name",
    ):  # fmt: skip
        assert getattr(bob, thing) in shown
        assert getattr(ann, thing) not in shown
    assert "ann-vm" not in shown
    for name, value in [
        ("instance-id", ann.instance), ("image-id", ann.image), ("key-name", ann.key_name), ("tag:Name", "ann-*"),
        ("owner-id", ann.said["account_id"]), ("client-token", "tok?n"),
    ]:  # fmt: skip
        found = client.describe_instances(Filters=[{"Name": name, "Values": [value]}])["Reservations"]
        ids = {instance["InstanceId"] for each in found for instance in each["Instances"]}
        assert ids <= {bob.instance}
    assert client.describe_tags(Filters=[{"Name": "resource-id", "Values": [ann.instance]}])["Tags"] == []
    assert client.describe_images(Owners=[ann.said["account_id"]])["Images"] == []
    assert client.describe_images(Filters=[{"Name": "name", "Values": ["ann*"]}])["Images"] == []


def test_names_and_tokens_are_each_tenants_own(cloud, ann, bob):
    """Both used the token 'token'; each may use the other's names."""
    client = cloud.client(key=key_of(bob.said))
    client.create_key_pair(KeyName=ann.key_name, KeyType="ed25519")
    client.delete_key_pair(KeyName=ann.key_name)
    assert cloud.client(key=key_of(ann.said)).describe_key_pairs(KeyNames=[ann.key_name])["KeyPairs"]
    for each in (ann, bob):
        found = cloud.client(key=key_of(each.said)).describe_instances(
            Filters=[{"Name": "client-token", "Values": ["token"]}]
        )["Reservations"]
        assert [instance["InstanceId"] for r in found for instance in r["Instances"]] == [each.instance]


def test_a_page_token_is_of_no_use_to_another(cloud, ann, bob):
    client = cloud.client(key=key_of(ann.said))
    client.create_tags(Resources=[ann.image], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(6)])
    token = client.describe_tags(MaxResults=5)["NextToken"]
    said = refusal(
        call(cloud, "DescribeTags", ("MaxResults", "5"), ("NextToken", token), key=key_of(bob.said))
    )
    assert said.code == "InvalidNextToken"


# OCCI ---------------------------------------------------------------------------------------------------


def _occi_requests(identity: str, image: str, tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every verb on an entity of this identity, and everything that can name one."""
    path = f"/compute/{identity}"
    title = {"occi.core.title": "mine now"}
    for media in RENDERINGS:
        yield "GET", path, {"headers": {"Accept": media}}
        yield "POST", path, request(media, "", (), title)
    for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "POST"):
        yield method, path, {}
        yield method, f"{path}/", {}
    for term in ("start", "stop", "restart", "suspend", "save", "dance"):
        yield "POST", f"{path}?action={term}", {}
    for bob_tag in ("/tags/bob/",):
        for method in ("POST", "PUT", "DELETE"):
            yield method, bob_tag, {"body": f"X-OCCI-Location: {path}", "headers": {"Content-Type": PLAIN}}
            yield method, bob_tag, {"body": path, "headers": {"Content-Type": "text/uri-list"}}
    for method in ("GET", "POST", "PUT", "DELETE"):
        yield method, f"/os_tpl/{image}/", {}
    yield (
        "POST",
        "/compute/",
        request(PLAIN, COMPUTE, [f"http://isthmus.local/occi/infrastructure/os_tpl#{image}"]),
    )
    yield (
        "GET",
        "/compute/",
        {
            "headers": {
                "Category": category(f"http://isthmus.local/occi/infrastructure/os_tpl#{image}", "mixin")
            }
        },
    )
    for method in ("GET", "POST", "PUT", "DELETE"):
        yield method, f"/tags/{tag}/", {}
    mixin = category(f"http://{tag}.example.org/tags#web", "mixin")
    yield "DELETE", "/-/", {"body": f"Category: {mixin}", "headers": {"Content-Type": PLAIN}}
    yield "GET", "/-/", {"headers": {"Category": mixin}}
    yield "POST", "/compute/", request(PLAIN, COMPUTE, [f"http://{tag}.example.org/tags#web"])


def test_every_occi_verb_on_a_foreign_thing_answers_as_on_an_unknown_one(cloud, ann, bob):
    before = census(cloud)
    unknown = f"i-{UNKNOWN}"
    for foreign_name, unknown_name in (
        (uuid_of(ann.instance), uuid_of(unknown)), (ann.instance, unknown), (uuid_of(ann.instance).upper(), uuid_of(unknown).upper()),
    ):  # fmt: skip
        theirs = _occi_requests(foreign_name, ann.image, "ann")
        nobodys = _occi_requests(unknown_name, f"ami-{UNKNOWN}", "nob")
        for (method, path, said), (_, other_path, other_said) in zip(theirs, nobodys, strict=True):
            first = cloud.occi(method, path, said.get("body"), said.get("headers"), bob.auth)
            second = cloud.occi(
                method, other_path, other_said.get("body"), other_said.get("headers"), bob.auth
            )
            assert first.status == 404 or method == "OPTIONS" or first.status in {400, 405}, (
                method,
                path,
                first,
            )
            assert _occi_seen(first, ann) == _occi_seen(second, ann), (method, path)
    assert census(cloud) == before


def _occi_seen(answer: Answer, ann: Owner) -> Any:
    """What can be told from an answer, with the names of the thing taken out."""
    text = answer.body + json.dumps(sorted(h for h in answer.headers.items() if not _is_of_the_request(h[0])))
    unknown = f"i-{UNKNOWN}"
    for name in (
        ann.image, f"ami-{UNKNOWN}", uuid_of(ann.instance), uuid_of(unknown), uuid_of(ann.instance).upper(),
        uuid_of(unknown).upper(), ann.instance, unknown, "http://ann.", "http://nob.", "/ann/", "/nob/",
    ):  # fmt: skip
        text = text.replace(name, "THING")
    return answer.status, text


def test_a_foreign_id_cannot_be_chosen_for_a_new_machine(cloud, ann, bob):
    before = census(cloud)
    said = request(PLAIN, COMPUTE, [], {"occi.core.title": "mine now"})
    answer = cloud.occi("PUT", f"/compute/{uuid_of(ann.instance)}", **said, auth=bob.auth)
    unknown = cloud.occi("PUT", f"/compute/{uuid_of(f'i-{UNKNOWN}')}", **said, auth=bob.auth)
    assert answer.status == 400
    assert _occi_seen(answer, ann) == _occi_seen(unknown, ann)
    assert census(cloud) == before


def test_occi_lists_ones_own_things_only(cloud, ann, bob):
    for media in RENDERINGS:
        client = OcciClient(cloud, media, bob.auth)
        for path in ("/", "/compute/", "/compute", "/os_tpl/", "/tags/", "/-/"):
            said = client.send("GET", path)
            text = f"{said.body}{said.headers}"
            for name in (uuid_of(ann.instance), ann.instance, ann.image, "ann-", "/ann/", "http://ann."):
                assert name not in text, (media, path)
    assert OcciClient(cloud, auth=bob.auth).locations("/compute/") == {
        f"{cloud.endpoint}/compute/{uuid_of(bob.instance)}"
    }


def test_actions_and_deletion_of_a_collection_leave_others_machines(cloud, ann, blank_image):
    eve = owner(cloud, blank_image, "eve")
    assert cloud.occi("POST", "/compute/?action=stop", auth=eve.auth).status == 200
    wait_for(
        lambda: (
            OcciClient(cloud, JSON, eve.auth).read(f"/compute/{uuid_of(eve.instance)}").state == "inactive"
        ),
        "stopped",
    )
    assert cloud.occi("DELETE", "/compute/", auth=eve.auth).status in {200, 204}
    assert cloud.occi("DELETE", "/", auth=eve.auth).status in {200, 204}
    assert OcciClient(cloud, JSON, ann.auth).read(f"/compute/{uuid_of(ann.instance)}").state == "active"
    left = OcciClient(cloud, auth=eve.auth).locations("/")  # the network and the group of every tenant
    assert {uri.split("/")[-2] for uri in left} <= {"network", "securitygroup"}


# Sharing and removal ------------------------------------------------------------------------------------


def test_launch_permission_shows_an_image_and_nothing_else(cloud, ann, bob):
    mine, theirs = cloud.client(key=key_of(ann.said)), cloud.client(key=key_of(bob.said))
    share = {"UserId": bob.said["account_id"]}
    mine.modify_image_attribute(ImageId=ann.image, LaunchPermission={"Add": [share]})
    assert theirs.describe_images(ImageIds=[ann.image])["Images"][0]["OwnerId"] == ann.said["account_id"]
    for action, besides in (
        ("ModifyImageAttribute", ("Description.Value", "mine now")),
        ("DescribeImageAttribute", ("Attribute", "launchPermission")),
        ("DeregisterImage", ("DeleteAssociatedSnapshots", "false")),
    ):
        said = refusal(call(cloud, action, ("ImageId", ann.image), besides, key=key_of(bob.said)))
        assert said.code in {"AuthFailure", "UnauthorizedOperation"}, action
    tags = theirs.describe_images(ImageIds=[ann.image])["Images"][0].get("Tags", [])
    assert tags == []  # tags are their owner's
    mine.modify_image_attribute(ImageId=ann.image, LaunchPermission={"Remove": [share]})
    said = refusal(call(cloud, "DescribeImages", ("ImageId.1", ann.image), key=key_of(bob.said)))
    assert said.code == "InvalidAMIID.NotFound"


def test_users_of_one_tenant_share_its_things(cloud, ann):
    """A second user and a second key of the same tenant see what the first made."""
    cloud.cli("user", "create", "anns-friend", "--tenant", "ann", "--password", stdin="a secret\n")
    key = cloud.cli("key", "create", "--user", "anns-friend")
    client = cloud.client(key=key_of(key))
    assert client.describe_instances(InstanceIds=[ann.instance])["Reservations"]
    path = f"/compute/{uuid_of(ann.instance)}"
    assert cloud.occi("GET", path, auth=("anns-friend", "a secret")).status == 200
    assert id_of("i", path.rpartition("/")[2]) == ann.instance


def test_purge_leaves_no_row_and_no_file_of_a_tenant(cloud, blank_image):
    files = set((cloud.home / "images").rglob("*"))
    gone = owner(cloud, blank_image, "gone")
    cloud.cli("token", "create", "--user", gone.said["occi_user"])
    tenant = next(each for each in cloud.cli("tenant", "list") if each["name"] == "gone")
    assert cloud.cli("tenant", "purge", "gone", "--remove")["removed"]
    marks = (
        tenant["id"],
        gone.said["account_id"],
        gone.instance,
        gone.image,
        gone.key_id,
        gone.template,
        gone.group,
        gone.said["access_key"],
    )
    assert set((cloud.home / "images").rglob("*")) == files
    for table, rows in census(cloud).items():
        if table not in RECORDS:
            assert [mark for mark in marks if mark in repr(rows)] == [], table
    assert call(cloud, "DescribeInstances", key=key_of(gone.said)).status == 401
    assert cloud.occi("GET", "/compute/", auth=gone.auth).status == 401
    again = cloud.tenant("gone")  # the name is free again
    assert cloud.client(key=key_of(again)).describe_instances()["Reservations"] == []
    cloud.cli("tenant", "purge", "gone", "--remove")
