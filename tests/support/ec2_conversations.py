"""What is said to a cloud when two are compared: conversations by noun, each from an empty account.

A conversation calls every operation of its noun at least once, so that what it made is looked at in each of
its states, and makes the mistakes that need a certain state (twice the same, still in use). Mistakes that
can be made from any good request (no such id, no id at all, a parameter left out) are not written here:
:class:`Talk` and :func:`converse` make them up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_replies import MODEL

ZONE = "us-east-1a"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example.com"
_ID = re.compile(r"([a-z]+(?:-[a-z]+)*)-(?:[0-9a-f]{17}|[0-9a-f]{8})")

#: What moto has half done when it refuses it.
LAST = frozenset({"ReplaceNetworkAclAssociation"})

Request = dict[str, Any]


class Said(NamedTuple):
    """One call and its answer: the reply's document, or ``refused`` as status and code."""

    operation: str
    request: Request
    reply: Request
    refused: str = ""
    mistake: str = ""


class Talk:
    """A client that remembers what was said; after each call the cloud comes to rest.

    Before the first good request of each operation it is said with each id wrong in turn, when everything else
    that it speaks of is there; after it where something is made, lest that be there already; and at the end
    for what is in :data:`LAST`.
    """

    def __init__(self, client: Any, settle: Callable[[], object], made: set[tuple[str, str]]) -> None:
        """``made`` are operations and mistakes that need not be made again; those that are made go there."""
        self._client = client
        self._settle = settle
        self._made = made
        self.said: list[Said] = []

    def __call__(self, operation: str, **request: Any) -> Request:
        """Say what must be granted."""
        makes = operation.startswith("Create")
        if not makes:
            self._ids_wrong(operation, request)
        reply: Request = getattr(self._client, xform_name(operation))(**request)
        reply.pop("ResponseMetadata")
        self._settle()
        self.said.append(Said(operation, request, reply))
        if makes:
            self._ids_wrong(operation, request)
        return reply

    def _ids_wrong(self, operation: str, request: Request) -> None:
        for mistake, wrong in wrong_ids(request) if operation not in LAST else ():
            self.once(mistake, operation, wrong)

    def once(self, mistake: str, operation: str, request: Request) -> None:
        """Make a mistake that was not made yet."""
        if (operation, mistake) not in self._made:
            self._made.add((operation, mistake))
            self.wrong(mistake, operation, **request)

    def quietly(self, operation: str, **request: Any) -> Request:
        """Say what is needed to go on, but is not to be compared."""
        reply: Request = getattr(self._client, xform_name(operation))(**request)
        self._settle()
        return reply

    def wrong(self, mistake: str, operation: str, **request: Any) -> None:
        """Say what should be refused; that it is granted, or that the cloud breaks, is remembered too."""
        try:
            getattr(self._client, xform_name(operation))(**request)
            refused = "granted"
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            refused = f"{status} {error.response['Error']['Code']}"
        except Exception:  # an emulator inside this process breaks with whatever it likes
            refused = "breaks"
        self._settle()
        self.said.append(Said(operation, request, {}, refused, mistake))


def tagged(kind: str) -> list[Request]:
    """``TagSpecifications`` with one tag."""
    return [{"ResourceType": kind, "Tags": [{"Key": "a", "Value": "b"}]}]


def filtered(name: str, *values: str) -> list[Request]:
    """``Filters`` with one filter."""
    return [{"Name": name, "Values": list(values)}]


def image_of(talk: Talk) -> str:
    """An image to launch, of no operating system that asks for a licence."""
    images = talk.quietly("DescribeImages", Filters=filtered("architecture", "x86_64"))["Images"]
    return str(next(each["ImageId"] for each in images if "Platform" not in each))


def launched(talk: Talk, **parameters: Any) -> Request:
    """An instance, running."""
    request = {"ImageId": image_of(talk), "MinCount": 1, "MaxCount": 1, "InstanceType": "t2.nano"}
    made = talk("RunInstances", **(request | parameters))["Instances"][0]
    found: Request = talk("DescribeInstances", InstanceIds=[made["InstanceId"]])["Reservations"][0]
    return dict(found["Instances"][0])


def network(talk: Talk) -> tuple[str, str]:
    """A VPC and a subnet."""
    vpc = talk("CreateVpc", CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    request = {"VpcId": vpc, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": ZONE}
    made = talk("CreateSubnet", **request, TagSpecifications=tagged("subnet"))
    return vpc, made["Subnet"]["SubnetId"]


def the_account(talk: Talk) -> None:
    """Places, types, and what holds for an account as a whole."""
    talk("DescribeRegions", RegionNames=["us-east-1"])
    talk("DescribeAvailabilityZones", ZoneNames=[ZONE])
    talk("DescribeInstanceTypes", InstanceTypes=["t2.nano"])
    talk("DescribeInstanceTypeOfferings", Filters=filtered("instance-type", "t2.nano"))
    talk("DescribeAccountAttributes")
    talk("GetEbsEncryptionByDefault")
    talk("EnableEbsEncryptionByDefault")
    talk("GetEbsEncryptionByDefault")
    talk("DisableEbsEncryptionByDefault")
    talk.wrong("unknown name", "DescribeRegions", RegionNames=["nowhere-1"])
    talk.wrong("unknown name", "DescribeAvailabilityZones", ZoneNames=["us-east-1z"])
    talk.wrong("unknown name", "DescribeInstanceTypes", InstanceTypes=["t2.none"])


def key_pairs(talk: Talk) -> None:
    talk("CreateKeyPair", KeyName="k", TagSpecifications=tagged("key-pair"))
    talk("ImportKeyPair", KeyName="l", PublicKeyMaterial=KEY.encode(), TagSpecifications=tagged("key-pair"))
    talk("DescribeKeyPairs", IncludePublicKey=True)
    talk("DescribeKeyPairs", KeyNames=["k"])
    talk.wrong("duplicate", "CreateKeyPair", KeyName="k")
    talk.wrong("duplicate", "ImportKeyPair", KeyName="k", PublicKeyMaterial=KEY.encode())
    talk.wrong("not a key", "ImportKeyPair", KeyName="m", PublicKeyMaterial=b"no key")
    talk("DeleteKeyPair", KeyName="k")
    talk("DeleteKeyPair", KeyName="k")
    talk.wrong("unknown name", "DescribeKeyPairs", KeyNames=["k"])


def instances(talk: Talk) -> None:
    talk("CreateKeyPair", KeyName="k")
    instance = launched(
        talk,
        KeyName="k",
        UserData="x",
        Placement={"AvailabilityZone": ZONE},
        TagSpecifications=tagged("instance"),
    )["InstanceId"]
    only = {"InstanceIds": [instance]}
    talk("DescribeInstanceStatus", **only)
    talk("DescribeInstanceCreditSpecifications", **only)
    for attribute in _INSTANCE_ATTRIBUTES:
        talk("DescribeInstanceAttribute", InstanceId=instance, Attribute=attribute)
    talk("GetConsoleOutput", InstanceId=instance)
    talk("GetPasswordData", InstanceId=instance)
    talk("ModifyInstanceMetadataOptions", InstanceId=instance, HttpTokens="required")
    talk("ModifyInstanceAttribute", InstanceId=instance, DisableApiTermination={"Value": True})
    talk.wrong("protected", "TerminateInstances", **only)
    talk("ModifyInstanceAttribute", InstanceId=instance, DisableApiTermination={"Value": False})
    talk.wrong("unknown attribute", "DescribeInstanceAttribute", InstanceId=instance, Attribute="nothing")
    talk("RebootInstances", **only)
    talk("StopInstances", **only)
    talk("DescribeInstances", **only)
    talk("DescribeInstanceStatus", **only, IncludeAllInstances=True)
    talk("StartInstances", **only)
    talk("CreateTags", Resources=[instance], Tags=[{"Key": "c", "Value": "d"}])
    talk("DescribeTags", Filters=filtered("resource-id", instance))
    talk("DeleteTags", Resources=[instance], Tags=[{"Key": "c"}])
    talk("TerminateInstances", **only)
    talk("DescribeInstances", **only)
    talk("TerminateInstances", **only)
    talk.wrong("reserved", "CreateTags", Resources=[instance], Tags=[{"Key": "aws:c", "Value": "d"}])
    talk.wrong("terminated", "StartInstances", **only)
    talk.wrong("terminated", "StopInstances", **only)
    talk.wrong("terminated", "RebootInstances", **only)
    running, larger = launched(talk)["InstanceId"], {"Value": "t2.micro"}
    talk.wrong("not stopped", "ModifyInstanceAttribute", InstanceId=running, InstanceType=larger)
    image = image_of(talk)
    run = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    talk.wrong("unknown type", "RunInstances", **run, InstanceType="t2.none")
    talk.wrong("unknown key", "RunInstances", **run, KeyName="none")
    talk.wrong("less than one", "RunInstances", ImageId=image, MinCount=0, MaxCount=0)
    talk.wrong("no image", "RunInstances", MinCount=1, MaxCount=1)
    talk.wrong("unknown filter", "DescribeInstances", Filters=filtered("no-such-filter", "x"))


_INSTANCE_ATTRIBUTES = (
    "instanceType", "userData", "disableApiTermination", "disableApiStop", "kernel", "ramdisk",
    "instanceInitiatedShutdownBehavior", "rootDeviceName", "sourceDestCheck", "ebsOptimized", "groupSet",
    "productCodes", "sriovNetSupport", "blockDeviceMapping",
)  # fmt: skip


def launch_templates(talk: Talk) -> None:
    data = {
        "ImageId": image_of(talk),
        "InstanceType": "t2.nano",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "UserData": "IyEvYmluL3No",
        "EbsOptimized": False,
        "Monitoring": {"Enabled": False},
        "TagSpecifications": tagged("instance"),
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "gp3", "Encrypted": False}}
        ],
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "Placement": {"Tenancy": "default"},
    }
    named = {"LaunchTemplateName": "web", "LaunchTemplateData": data}
    made = talk(
        "CreateLaunchTemplate", **named, VersionDescription="1st", TagSpecifications=tagged("launch-template")
    )
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    talk.wrong("duplicate", "CreateLaunchTemplate", **named)
    talk("CreateLaunchTemplateVersion", **named, VersionDescription="2nd")
    talk("ModifyLaunchTemplate", LaunchTemplateId=template, DefaultVersion="2")
    talk("DescribeLaunchTemplates", LaunchTemplateIds=[template])
    talk("DescribeLaunchTemplateVersions", LaunchTemplateId=template)
    talk("DescribeLaunchTemplateVersions", Versions=["$Latest"])
    made = talk("RunInstances", LaunchTemplate={"LaunchTemplateId": template}, MinCount=1, MaxCount=1)
    talk("GetLaunchTemplateData", InstanceId=made["Instances"][0]["InstanceId"])
    talk.wrong("unknown version", "ModifyLaunchTemplate", LaunchTemplateId=template, DefaultVersion="9")
    talk("DeleteLaunchTemplate", LaunchTemplateId=template)
    talk.wrong("unknown name", "DeleteLaunchTemplate", LaunchTemplateName="web")
    talk.wrong("unknown name", "DescribeLaunchTemplates", LaunchTemplateNames=["web"])


def volumes(talk: Talk) -> None:
    instance = launched(talk, Placement={"AvailabilityZone": ZONE})["InstanceId"]
    made = talk("CreateVolume", Size=2, AvailabilityZone=ZONE, TagSpecifications=tagged("volume"))
    volume = made["VolumeId"]
    talk("DescribeVolumes", VolumeIds=[volume])
    talk("AttachVolume", VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    talk("DescribeVolumes", VolumeIds=[volume])
    talk("DescribeVolumes", Filters=filtered("attachment.instance-id", instance))
    talk("DescribeInstances", InstanceIds=[instance])
    talk.wrong("in use", "DeleteVolume", VolumeId=volume)
    talk("CreateSnapshots", InstanceSpecification={"InstanceId": instance}, Description="all")
    link = {"VolumeId": volume, "InstanceId": instance, "Device": "/dev/sdf"}
    talk("DetachVolume", **link)
    talk.wrong("not attached", "DetachVolume", **link)
    talk("ModifyVolume", VolumeId=volume, Size=3)
    talk("DescribeVolumesModifications", VolumeIds=[volume])
    made = talk("CreateSnapshot", VolumeId=volume, Description="d", TagSpecifications=tagged("snapshot"))
    snapshot = made["SnapshotId"]
    talk("DescribeSnapshots", SnapshotIds=[snapshot])
    talk("DescribeSnapshots", Filters=filtered("volume-id", volume))
    talk("DescribeSnapshotTierStatus", Filters=filtered("snapshot-id", snapshot))
    talk("CopySnapshot", SourceSnapshotId=snapshot, SourceRegion="us-east-1", Description="copy")
    permission = {"SnapshotId": snapshot, "Attribute": "createVolumePermission"}
    talk("DescribeSnapshotAttribute", **permission)
    talk("ModifySnapshotAttribute", **permission, OperationType="add", UserIds=["111122223333"])
    talk("DescribeSnapshotAttribute", **permission)
    talk("CreateVolume", SnapshotId=snapshot, AvailabilityZone=ZONE, VolumeType="gp3")
    talk.wrong("unknown zone", "CreateVolume", Size=1, AvailabilityZone="us-east-1z")
    talk.wrong("no size", "CreateVolume", AvailabilityZone=ZONE)
    talk.wrong(
        "smaller than its snapshot", "CreateVolume", SnapshotId=snapshot, Size=1, AvailabilityZone=ZONE
    )
    talk("DeleteSnapshot", SnapshotId=snapshot)
    talk("AttachVolume", VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    talk.wrong("in use", "AttachVolume", VolumeId=volume, InstanceId=instance, Device="/dev/sdg")
    talk("DetachVolume", VolumeId=volume, InstanceId=instance)
    talk("DeleteVolume", VolumeId=volume)


def images(talk: Talk) -> None:
    base = image_of(talk)
    talk("DescribeImages", ImageIds=[base])
    instance = launched(talk)["InstanceId"]
    made = talk(
        "CreateImage", InstanceId=instance, Name="made", Description="d", TagSpecifications=tagged("image")
    )
    image = made["ImageId"]
    found = talk("DescribeImages", ImageIds=[image])["Images"][0]
    talk("DescribeImages", Owners=["self"], Filters=filtered("name", "made"))
    talk.wrong("duplicate", "CreateImage", InstanceId=instance, Name="made")
    snapshot = found["BlockDeviceMappings"][0]["Ebs"].get("SnapshotId")
    talk.wrong("in use", "DeleteSnapshot", SnapshotId=snapshot)
    talk("DescribeImageAttribute", ImageId=image, Attribute="description")
    talk("DescribeImageAttribute", ImageId=image, Attribute="launchPermission")
    ann = [{"UserId": "111122223333"}]
    talk("ModifyImageAttribute", ImageId=image, LaunchPermission={"Add": ann})
    talk("DescribeImageAttribute", ImageId=image, Attribute="launchPermission")
    talk("ModifyImageAttribute", ImageId=image, LaunchPermission={"Remove": ann})
    talk("CopyImage", SourceImageId=image, SourceRegion="us-east-1", Name="copied", Description="d")
    root = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    talk("RegisterImage", Name="registered", RootDeviceName="/dev/sda1", BlockDeviceMappings=root)
    talk("DescribeImages", Filters=filtered("name", "copied"))
    talk("DisableImage", ImageId=image)
    talk("DescribeImages", ImageIds=[image])
    talk("EnableImage", ImageId=image)
    talk("DeregisterImage", ImageId=image)
    talk.wrong("deregistered", "RunInstances", ImageId=image, MinCount=1, MaxCount=1)
    talk.wrong("deregistered", "DeregisterImage", ImageId=image)
    talk.wrong("unknown attribute", "DescribeImageAttribute", ImageId=base, Attribute="nothing")


SSH: Request = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
EVERY: Request = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "words"}]}


def security_groups(talk: Talk) -> None:
    vpc, _ = network(talk)
    talk("DescribeSecurityGroups", Filters=filtered("vpc-id", vpc))
    named = {"GroupName": "web", "Description": "d", "VpcId": vpc}
    web = talk("CreateSecurityGroup", **named, TagSpecifications=tagged("security-group"))["GroupId"]
    plain = talk("CreateSecurityGroup", GroupName="plain", Description="d")["GroupId"]
    talk.wrong("duplicate", "CreateSecurityGroup", **named)
    talk.wrong("reserved", "CreateSecurityGroup", GroupName="default", Description="d", VpcId=vpc)
    talk(
        "AuthorizeSecurityGroupIngress",
        GroupId=web,
        IpPermissions=[SSH],
        TagSpecifications=tagged("security-group-rule"),
    )
    talk.wrong("duplicate", "AuthorizeSecurityGroupIngress", GroupId=web, IpPermissions=[SSH])
    peers = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}
    talk("AuthorizeSecurityGroupIngress", GroupId=web, IpPermissions=[peers])
    talk("AuthorizeSecurityGroupEgress", GroupId=web, IpPermissions=[SSH])
    talk.wrong("duplicate", "AuthorizeSecurityGroupEgress", GroupId=web, IpPermissions=[SSH])
    talk("DescribeSecurityGroups", GroupIds=[web])
    rules = talk("DescribeSecurityGroupRules", Filters=filtered("group-id", web))["SecurityGroupRules"]
    talk("DescribeSecurityGroupRules", SecurityGroupRuleIds=[rules[0]["SecurityGroupRuleId"]])
    ssh = next(each["SecurityGroupRuleId"] for each in rules if not each["IsEgress"] and "CidrIpv4" in each)
    described = [{"SecurityGroupRuleId": ssh, "Description": "words"}]
    talk("UpdateSecurityGroupRuleDescriptionsIngress", GroupId=web, SecurityGroupRuleDescriptions=described)
    talk("UpdateSecurityGroupRuleDescriptionsEgress", GroupId=web, IpPermissions=[EVERY])
    changed = {"IpProtocol": "tcp", "FromPort": 23, "ToPort": 23, "CidrIpv4": "10.0.0.0/8"}
    talk(
        "ModifySecurityGroupRules",
        GroupId=web,
        SecurityGroupRules=[{"SecurityGroupRuleId": ssh, "SecurityGroupRule": changed}],
    )
    talk("DescribeSecurityGroups", GroupIds=[web])
    talk("RevokeSecurityGroupIngress", GroupId=web, IpPermissions=[peers])
    talk.wrong("not there", "RevokeSecurityGroupIngress", GroupId=web, IpPermissions=[peers])
    talk("RevokeSecurityGroupEgress", GroupId=web, IpPermissions=[SSH])
    talk.wrong("not there", "RevokeSecurityGroupEgress", GroupId=web, IpPermissions=[SSH])
    backwards = SSH | {"FromPort": 23}
    talk.wrong("ports backwards", "AuthorizeSecurityGroupIngress", GroupId=web, IpPermissions=[backwards])
    launched(talk, SecurityGroupIds=[plain])
    talk.wrong("in use", "DeleteSecurityGroup", GroupId=plain)
    default = talk("DescribeSecurityGroups", GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    talk.wrong("the default one", "DeleteSecurityGroup", GroupId=default)
    talk.wrong("unknown name", "DescribeSecurityGroups", GroupNames=["none"])
    talk("DeleteSecurityGroup", GroupId=web)


def vpcs(talk: Talk) -> None:
    talk("DescribeVpcs")
    talk("DescribeSubnets")
    talk("DescribeDhcpOptions")
    vpc, subnet = network(talk)
    only = {"VpcId": vpc}
    for attribute in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"):
        talk("DescribeVpcAttribute", **only, Attribute=attribute)
    talk("ModifyVpcAttribute", **only, EnableDnsHostnames={"Value": True})
    talk("ModifyVpcTenancy", **only, InstanceTenancy="default")
    block = talk("AssociateVpcCidrBlock", **only, CidrBlock="10.1.0.0/16")["CidrBlockAssociation"]
    talk("DescribeVpcs", VpcIds=[vpc])
    talk("DisassociateVpcCidrBlock", AssociationId=block["AssociationId"])
    talk("ModifySubnetAttribute", SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    talk("DescribeSubnets", SubnetIds=[subnet])
    talk("DescribeVpcClassicLink")
    talk("DescribeVpcClassicLinkDnsSupport")
    options = [{"Key": "domain-name", "Values": ["example.com"]}]
    made = talk("CreateDhcpOptions", DhcpConfigurations=options, TagSpecifications=tagged("dhcp-options"))
    dhcp = made["DhcpOptions"]["DhcpOptionsId"]
    talk("AssociateDhcpOptions", DhcpOptionsId=dhcp, VpcId=vpc)
    talk("DescribeDhcpOptions", DhcpOptionsIds=[dhcp])
    talk.wrong("in use", "DeleteDhcpOptions", DhcpOptionsId=dhcp)
    talk.wrong("in use", "DeleteVpc", **only)
    talk.wrong("too large", "CreateVpc", CidrBlock="10.0.0.0/8")
    talk.wrong("no block", "CreateVpc", CidrBlock="nonsense")
    talk.wrong("outside the VPC", "CreateSubnet", **only, CidrBlock="10.9.0.0/24")
    talk.wrong("overlapping", "CreateSubnet", **only, CidrBlock="10.0.1.0/25")
    talk.wrong("unknown zone", "CreateSubnet", **only, CidrBlock="10.0.2.0/24", AvailabilityZone="us-east-1z")
    talk("AssociateDhcpOptions", DhcpOptionsId="default", VpcId=vpc)
    talk("DeleteDhcpOptions", DhcpOptionsId=dhcp)
    talk("DeleteSubnet", SubnetId=subnet)
    talk("DeleteVpc", **only)
    talk.wrong("duplicate", "CreateDefaultVpc")
    default = talk("DescribeVpcs", Filters=filtered("is-default", "true"))["Vpcs"][0]["VpcId"]
    for each in talk.quietly("DescribeSubnets", Filters=filtered("vpc-id", default))["Subnets"]:
        talk.quietly("DeleteSubnet", SubnetId=each["SubnetId"])
    talk("CreateDefaultSubnet", AvailabilityZone=ZONE)
    talk.wrong("duplicate", "CreateDefaultSubnet", AvailabilityZone=ZONE)


def no_default_vpc(talk: Talk) -> None:
    default = talk("DescribeVpcs", Filters=filtered("is-default", "true"))["Vpcs"][0]["VpcId"]
    for each in talk.quietly("DescribeSubnets", Filters=filtered("vpc-id", default))["Subnets"]:
        talk.quietly("DeleteSubnet", SubnetId=each["SubnetId"])
    here = filtered("attachment.vpc-id", default)
    for each in talk.quietly("DescribeInternetGateways", Filters=here)["InternetGateways"]:
        gateway = each["InternetGatewayId"]
        talk.quietly("DetachInternetGateway", InternetGatewayId=gateway, VpcId=default)
        talk.quietly("DeleteInternetGateway", InternetGatewayId=gateway)
    talk("DeleteVpc", VpcId=default)
    talk("CreateDefaultVpc")


def routing(talk: Talk) -> None:
    talk("DescribeRouteTables")
    talk("DescribeInternetGateways")
    vpc, subnet = network(talk)
    made = talk("CreateInternetGateway", TagSpecifications=tagged("internet-gateway"))
    gateway = made["InternetGateway"]["InternetGatewayId"]
    talk("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    talk.wrong("attached", "AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    talk.wrong("attached", "DeleteInternetGateway", InternetGatewayId=gateway)
    talk("DescribeInternetGateways", InternetGatewayIds=[gateway])
    made = talk("CreateRouteTable", VpcId=vpc, TagSpecifications=tagged("route-table"))
    table = made["RouteTable"]["RouteTableId"]
    other = talk("CreateRouteTable", VpcId=vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    talk("CreateRoute", **route, GatewayId=gateway)
    talk.wrong("duplicate", "CreateRoute", **route, GatewayId=gateway)
    made = talk("AssociateRouteTable", RouteTableId=table, SubnetId=subnet)
    talk.wrong("in use", "DeleteRouteTable", RouteTableId=table)
    talk("DescribeRouteTables", RouteTableIds=[table])
    address = talk("AllocateAddress", Domain="vpc")
    placed = {"SubnetId": subnet, "AllocationId": address["AllocationId"]}
    nat = talk("CreateNatGateway", **placed, TagSpecifications=tagged("natgateway"))["NatGateway"]
    nat_id = nat["NatGatewayId"]
    talk("DescribeNatGateways", NatGatewayIds=[nat_id])
    talk("ReplaceRoute", **route, NatGatewayId=nat_id)
    talk("DescribeRouteTables", RouteTableIds=[table])
    talk("DeleteRoute", **route)
    talk.wrong("not there", "DeleteRoute", **route)
    talk.wrong("not there", "ReplaceRoute", **route, GatewayId=gateway)
    made = talk("ReplaceRouteTableAssociation", AssociationId=made["AssociationId"], RouteTableId=other)
    talk("DisassociateRouteTable", AssociationId=made["NewAssociationId"])
    talk("DeleteNatGateway", NatGatewayId=nat_id)
    talk("DescribeNatGateways", NatGatewayIds=[nat_id])
    talk("DeleteRouteTable", RouteTableId=table)
    talk("ReleaseAddress", AllocationId=address["AllocationId"])
    talk("DetachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    talk.wrong("not attached", "DetachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    talk("DeleteInternetGateway", InternetGatewayId=gateway)


def network_acls(talk: Talk) -> None:
    talk("DescribeNetworkAcls")
    vpc, subnet = network(talk)
    made = talk("CreateNetworkAcl", VpcId=vpc, TagSpecifications=tagged("network-acl"))
    acl = made["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "RuleNumber": 5, "Egress": False}
    ssh = {"Protocol": "6", "PortRange": {"From": 22, "To": 23}, "CidrBlock": "0.0.0.0/0"}
    talk("CreateNetworkAclEntry", **entry, **ssh, RuleAction="allow")
    talk.wrong("duplicate", "CreateNetworkAclEntry", **entry, **ssh, RuleAction="allow")
    talk("ReplaceNetworkAclEntry", **entry, **ssh, RuleAction="deny")
    talk("DescribeNetworkAcls", NetworkAclIds=[acl])
    used = talk("DescribeNetworkAcls", Filters=filtered("association.subnet-id", subnet))["NetworkAcls"][0]
    link = used["Associations"][0]["NetworkAclAssociationId"]
    talk.wrong("the default one", "DeleteNetworkAcl", NetworkAclId=used["NetworkAclId"])
    made = talk("ReplaceNetworkAclAssociation", AssociationId=link, NetworkAclId=acl)
    talk.wrong("in use", "DeleteNetworkAcl", NetworkAclId=acl)
    link = made["NewAssociationId"]
    talk("ReplaceNetworkAclAssociation", AssociationId=link, NetworkAclId=used["NetworkAclId"])
    talk("DeleteNetworkAclEntry", **entry)
    talk.wrong("not there", "DeleteNetworkAclEntry", **entry)
    talk.wrong("not there", "ReplaceNetworkAclEntry", **entry, **ssh, RuleAction="deny")
    talk("DeleteNetworkAcl", NetworkAclId=acl)


def interfaces(talk: Talk) -> None:
    vpc, subnet = network(talk)
    group = talk("CreateSecurityGroup", GroupName="web", Description="d", VpcId=vpc)["GroupId"]
    machine = launched(talk, SubnetId=subnet, SecurityGroupIds=[group])
    instance, primary = machine["InstanceId"], machine["NetworkInterfaces"][0]["NetworkInterfaceId"]
    wanted = {"SubnetId": subnet, "Groups": [group], "Description": "d"}
    made = talk("CreateNetworkInterface", **wanted, TagSpecifications=tagged("network-interface"))
    nic = made["NetworkInterface"]["NetworkInterfaceId"]
    only = {"NetworkInterfaceId": nic}
    talk("DescribeNetworkInterfaces", NetworkInterfaceIds=[nic])
    talk("AssignPrivateIpAddresses", **only, SecondaryPrivateIpAddressCount=1)
    seen = talk("DescribeNetworkInterfaces", NetworkInterfaceIds=[nic])["NetworkInterfaces"][0]
    drawn = {machine["PrivateIpAddress"], *(each["PrivateIpAddress"] for each in seen["PrivateIpAddresses"])}
    free = next(ip for ip in (f"10.0.1.{host}" for host in range(77, 81)) if ip not in drawn)
    second = {"PrivateIpAddresses": [free]}
    talk("AssignPrivateIpAddresses", **only, **second)
    talk("UnassignPrivateIpAddresses", **only, **second)
    talk.wrong("not there", "UnassignPrivateIpAddresses", **only, **second)
    for attribute in ("description", "groupSet", "sourceDestCheck"):
        talk("DescribeNetworkInterfaceAttribute", **only, Attribute=attribute)
    talk("ModifyNetworkInterfaceAttribute", **only, Groups=[group])
    attached = talk("AttachNetworkInterface", **only, InstanceId=instance, DeviceIndex=1)["AttachmentId"]
    talk.wrong("in use", "DeleteSecurityGroup", GroupId=group)
    talk.wrong("in use", "DeleteSubnet", SubnetId=subnet)
    gateway = talk("CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    talk("AttachInternetGateway", InternetGatewayId=gateway, VpcId=vpc)
    address = talk("AllocateAddress", Domain="vpc", TagSpecifications=tagged("elastic-ip"))
    allocation = {"AllocationId": address["AllocationId"]}
    talk("DescribeAddresses")
    associated = talk("AssociateAddress", **allocation, NetworkInterfaceId=nic)
    talk("DescribeAddresses", AllocationIds=[address["AllocationId"]])
    talk("DescribeNetworkInterfaces", NetworkInterfaceIds=[nic])
    talk("DescribeInstances", InstanceIds=[instance])
    talk("DescribeAddressesAttribute", AllocationIds=[address["AllocationId"]])
    talk("DisassociateAddress", AssociationId=associated["AssociationId"])
    talk.wrong("not there", "DisassociateAddress", AssociationId=associated["AssociationId"])
    talk("ReleaseAddress", **allocation)
    talk.wrong("not there", "ReleaseAddress", **allocation)
    talk("DetachNetworkInterface", AttachmentId=attached, Force=True)
    talk("DescribeNetworkInterfaces", NetworkInterfaceIds=[nic])
    talk("DeleteNetworkInterface", **only)
    talk.wrong("not there", "DescribeNetworkInterfaces", NetworkInterfaceIds=[nic])
    address = talk("AllocateAddress", Domain="vpc")
    talk("AssociateAddress", AllocationId=address["AllocationId"], InstanceId=instance)
    talk("DescribeInstances", InstanceIds=[instance])
    talk.wrong("in use", "ReleaseAddress", AllocationId=address["AllocationId"])
    again = {"NetworkInterfaceId": primary, "InstanceId": instance, "DeviceIndex": 2}
    talk.wrong("in use", "AttachNetworkInterface", **again)
    talk.wrong("in use", "DeleteNetworkInterface", NetworkInterfaceId=primary)
    bound = {"InstanceId": instance, "AllocationId": "eipalloc-0123456789abcdef0"}
    talk.wrong("unknown address", "AssociateAddress", **bound)


CONVERSATIONS: tuple[Callable[[Talk], None], ...] = (
    the_account, key_pairs, instances, launch_templates, volumes, images, security_groups, vpcs,
    no_default_vpc, routing, network_acls, interfaces,
)  # fmt: skip


def converse(conversation: Callable[[Talk], None], talk: Talk) -> list[Said]:
    """All that is said in a conversation, and at its end every good request without each of what it needs."""
    conversation(talk)
    for each in [said for said in talk.said if not said.mistake]:
        for mistake, wrong in wrong_ids(each.request) if each.operation in LAST else ():
            talk.once(mistake, each.operation, wrong)
        for name in MODEL.operation_model(each.operation).input_shape.required_members:
            if (each.operation, name) == ("CopySnapshot", "SourceRegion"):
                continue  # the client signs a URL of that region, and cannot without one
            if name in each.request:
                rest = {key: value for key, value in each.request.items() if key != name}
                talk.once(f"missing {name}", each.operation, rest)
    return talk.said


def wrong_ids(request: Request) -> Iterator[tuple[str, Request]]:
    """What is wrong, and the request: each id in turn is one of nothing, and no id at all."""
    for name, value in request.items():
        for mistake, changed in _other_ids(value):
            yield f"{mistake} {name}", request | {name: changed}


def _other_ids(value: Any) -> Iterator[tuple[str, Any]]:
    """An id, or a list of one, as one of nothing and as none at all."""
    text = value[0] if isinstance(value, list) and len(value) == 1 else value
    matched = _ID.fullmatch(text) if isinstance(text, str) else None
    if matched is None:
        return
    for mistake, other in (("unknown", f"{matched[1]}-0123456789abcdef0"), ("malformed", "nonsense")):
        yield mistake, [other] if isinstance(value, list) else other
