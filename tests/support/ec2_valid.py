"""For every operation requests that succeed on a :class:`Population`, in the SDK's words.

They are where made-up requests begin, what shows every structure of the replies, and what the order of checks
is tried with: one id changed, and each of them must be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.serialize import create_serializer
from ec2_population import BUCKET, KEY, SOURCE, ZONES, tags
from ec2_replies import MODEL

from ec2.service import EC2
from rendering.query_shapes import Structure

Request = dict[str, Any]
Pair = tuple[str, str]
_serializer = create_serializer("ec2", include_validation=False)


def wire(operation: str, request: Mapping[str, Any]) -> list[Pair]:
    """A request as botocore puts it on the wire, without the envelope."""
    body = _serializer.serialize_to_request(dict(request), MODEL.operation_model(operation))["body"]
    return [(name, str(value)) for name, value in body.items() if name not in {"Action", "Version"}]


def _permissions(port: int, **more: Any) -> list[Request]:
    return [
        {
            "IpProtocol": "tcp",
            "FromPort": port,
            "ToPort": port,
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
            **more,
        }
    ]


def valid_requests(named: Mapping[str, str]) -> dict[str, list[Request]]:
    """Requests by operation; ``named`` are the things of the population."""
    n = {"template": "", **named}
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    entry = {"NetworkAclId": n["acl"], "RuleAction": "deny", "CidrBlock": "10.0.0.0/8", "Protocol": "-1"}
    anywhere = {"DestinationCidrBlock": "0.0.0.0/0", "RouteTableId": n["table"]}
    here = {"AvailabilityZone": ZONES[0]}
    source = {"Url": SOURCE, "Format": "qcow2"}
    everything: dict[str, Request | list[Request]] = {
        # Instances
        "RunInstances": [
            {"ImageId": n["image"], "MinCount": 1, "MaxCount": 1},
            {
                "ImageId": n["image"], "MinCount": 2, "MaxCount": 2, "KeyName": "ours",
                "InstanceType": "t2.nano", "UserData": "eA==", "SubnetId": n["subnet"],
                "SecurityGroupIds": [n["group"]],
                "TagSpecifications": tags("instance", Name="x") + tags("volume", Name="y"),
            },
        ],
        "DescribeInstances": [{}, {"InstanceIds": [n["running"]]}],
        "DescribeInstanceStatus": [{"IncludeAllInstances": True}, {"InstanceIds": [n["running"]]}],
        "StartInstances": {"InstanceIds": [n["stopped"]]},
        "StopInstances": {"InstanceIds": [n["running"]]},
        "RebootInstances": {"InstanceIds": [n["running"]]},
        "TerminateInstances": {"InstanceIds": [n["running"]]},
        "MonitorInstances": {"InstanceIds": [n["running"]]},
        "UnmonitorInstances": {"InstanceIds": [n["running"]]},
        "GetPasswordData": {"InstanceId": n["running"]},
        "GetConsoleOutput": {"InstanceId": n["running"]},
        "GetConsoleScreenshot": {"InstanceId": n["running"]},
        "DescribeInstanceAttribute": [
            {"InstanceId": n["running"], "Attribute": attribute}
            for attribute in (
                "instanceType", "kernel", "ramdisk", "userData", "disableApiTermination", "disableApiStop",
                "instanceInitiatedShutdownBehavior", "rootDeviceName", "blockDeviceMapping", "productCodes",
                "sourceDestCheck", "groupSet", "ebsOptimized", "enaSupport", "sriovNetSupport",
                "enclaveOptions",
            )
        ],
        "ModifyInstanceAttribute": [
            {"InstanceId": n["running"], "DisableApiTermination": {"Value": True}},
            {"InstanceId": n["stopped"], "InstanceType": {"Value": "t2.large"}},
        ],
        "ResetInstanceAttribute": {"InstanceId": n["running"], "Attribute": "sourceDestCheck"},
        "ModifyInstanceMetadataOptions": {"InstanceId": n["running"], "HttpTokens": "required"},
        "DescribeInstanceTypes": {},
        "DescribeInstanceTypeOfferings": [{}, {"LocationType": "availability-zone"}],
        "DescribeInstanceTopology": {},
        "GetInstanceTypesFromInstanceRequirements": {
            "ArchitectureTypes": ["x86_64"], "VirtualizationTypes": ["hvm"],
            "InstanceRequirements": {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 1}},
        },
        "DescribeIdentityIdFormat": {"PrincipalArn": "arn:aws:iam::111122223333:root"},
        "ModifyInstancePlacement": {"InstanceId": n["stopped"], "GroupName": "empty"},
        "ModifyInstanceCapacityReservationAttributes": {
            "InstanceId": n["stopped"],
            "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        },
        "ModifyInstanceCpuOptions": {"InstanceId": n["stopped"], "CoreCount": 1, "ThreadsPerCore": 1},
        "ModifyInstanceCreditSpecification": {
            "InstanceCreditSpecifications": [{"InstanceId": n["running"], "CpuCredits": "standard"}],
        },
        "ModifyInstanceMaintenanceOptions": {"InstanceId": n["running"], "AutoRecovery": "disabled"},
        "ModifyInstanceMetadataDefaults": {"HttpTokens": "no-preference"},
        "ModifyInstanceNetworkPerformanceOptions": {
            "InstanceId": n["stopped"], "BandwidthWeighting": "default",
        },
        "ModifyPrivateDnsNameOptions": {
            "InstanceId": n["running"], "PrivateDnsHostnameType": "ip-name",
        },
        "GetImageAncestry": {"ImageId": n["saved image"]},
        # Launch templates and placement groups
        "CreateLaunchTemplate": {
            "LaunchTemplateName": "another", "VersionDescription": "first",
            "LaunchTemplateData": {
                "ImageId": n["image"], "InstanceType": "t2.nano", "KeyName": "ours", "UserData": "eA==",
                "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}],
                "NetworkInterfaces": [
                    {"DeviceIndex": 0, "SubnetId": n["subnet"], "Groups": [n["group"]]},
                ],
                "Placement": here, "Monitoring": {"Enabled": True},
                "MetadataOptions": {"HttpTokens": "required"}, "DisableApiTermination": True,
                "TagSpecifications": tags("instance", Name="x"),
            },
        },
        "CreateLaunchTemplateVersion": {
            "LaunchTemplateId": n["template"], "SourceVersion": "1",
            "LaunchTemplateData": {"InstanceType": "t2.large"},
        },
        "ModifyLaunchTemplate": {"LaunchTemplateId": n["template"], "DefaultVersion": "2"},
        "DeleteLaunchTemplateVersions": {"LaunchTemplateId": n["template"], "Versions": ["2", "9"]},
        "DeleteLaunchTemplate": {"LaunchTemplateId": n["template"]},
        "DescribeLaunchTemplates": [{}, {"LaunchTemplateIds": [n["template"]]}],
        "DescribeLaunchTemplateVersions": {"LaunchTemplateId": n["template"]},
        "GetLaunchTemplateData": {"InstanceId": n["running"]},
        "CreatePlacementGroup": [
            {"GroupName": "another", "Strategy": "cluster"},
            {"GroupName": "more parts", "Strategy": "partition", "PartitionCount": 2},
        ],
        "DeletePlacementGroup": {"GroupName": "empty"},
        "DescribePlacementGroups": {},
        # Images and keys
        "DescribeImages": [{}, {"ImageIds": [n["saved image"]]}],
        "DescribeImageAttribute": [
            {"ImageId": n["saved image"], "Attribute": attribute}
            for attribute in ("description", "launchPermission", "blockDeviceMapping", "productCodes")
        ],
        "ModifyImageAttribute": {"ImageId": n["saved image"], "Description": {"Value": "new"}},
        "ResetImageAttribute": {"ImageId": n["saved image"], "Attribute": "launchPermission"},
        "CreateImage": {"InstanceId": n["running"], "Name": "another", "NoReboot": True},
        "CopyImage": {"SourceImageId": n["saved image"], "SourceRegion": "us-east-1", "Name": "copied"},
        "RegisterImage": {"Name": "registered", "ImageLocation": SOURCE, "RootDeviceName": "/dev/vda"},
        "DeregisterImage": {"ImageId": n["image"]},
        "DisableImage": {"ImageId": n["saved image"]},
        "EnableImage": {"ImageId": n["saved image"]},
        "EnableImageDeprecation": {"ImageId": n["saved image"], "DeprecateAt": "2030-01-01T00:00:00Z"},
        "DisableImageDeprecation": {"ImageId": n["saved image"]},
        "ImportImage": {"DiskContainers": [source]},
        "ImportSnapshot": {"DiskContainer": source},
        "ExportImage": {
            "ImageId": n["saved image"], "DiskImageFormat": "VMDK", "S3ExportLocation": {"S3Bucket": BUCKET},
        },
        "CancelImportTask": {"ImportTaskId": n["import"]},
        "DescribeImportImageTasks": {},
        "DescribeImportSnapshotTasks": {},
        "DescribeExportImageTasks": {},
        "CreateKeyPair": {"KeyName": "another"},
        "ImportKeyPair": {"KeyName": "another", "PublicKeyMaterial": KEY.encode()},
        "DescribeKeyPairs": [{}, {"KeyNames": ["ours"], "IncludePublicKey": True}],
        "DeleteKeyPair": [{"KeyName": "plain"}, {"KeyPairId": n["key"]}],
        # Volumes and snapshots
        "CreateVolume": [{"Size": 1, **here}, {"SnapshotId": n["snapshot"], "VolumeType": "gp3", **here}],
        "DeleteVolume": {"VolumeId": n["second volume"]},
        "DescribeVolumes": [{}, {"VolumeIds": [n["data volume"]]}],
        "DescribeVolumeStatus": {},
        "DescribeVolumeAttribute": [
            {"VolumeId": n["volume"], "Attribute": attribute} for attribute in ("autoEnableIO", "productCodes")
        ],
        "ModifyVolumeAttribute": {"VolumeId": n["volume"], "AutoEnableIO": {"Value": True}},
        "EnableVolumeIO": {"VolumeId": n["volume"]},
        "AttachVolume": {"VolumeId": n["volume"], "InstanceId": n["running"], "Device": "/dev/sdg"},
        "DetachVolume": {"VolumeId": n["data volume"]},
        "ModifyVolume": {"VolumeId": n["second volume"], "Size": 5},
        "DescribeVolumesModifications": {},
        "CreateSnapshot": {"VolumeId": n["volume"]},
        "CreateSnapshots": {"InstanceSpecification": {"InstanceId": n["running"]}},
        "CopySnapshot": {"SourceSnapshotId": n["snapshot"], "SourceRegion": "us-east-1"},
        "DeleteSnapshot": {"SnapshotId": n["snapshot"]},
        "DescribeSnapshots": [{}, {"SnapshotIds": [n["snapshot"]]}],
        "DescribeSnapshotAttribute": [
            {"SnapshotId": n["snapshot"], "Attribute": attribute}
            for attribute in ("createVolumePermission", "productCodes")
        ],
        "ModifySnapshotAttribute": {
            "SnapshotId": n["snapshot"], "Attribute": "createVolumePermission", "OperationType": "add",
            "UserIds": ["444455556666"],
        },
        "ResetSnapshotAttribute": {"SnapshotId": n["snapshot"], "Attribute": "createVolumePermission"},
        "GetEbsEncryptionByDefault": {},
        "EnableEbsEncryptionByDefault": {},
        "DisableEbsEncryptionByDefault": {},
        # Tags, places, the account
        "CreateTags": {"Resources": [n["running"], n["vpc"]], "Tags": [{"Key": "a", "Value": "b"}]},
        "DeleteTags": {"Resources": [n["running"]]},
        "DescribeTags": {},
        "DescribeRegions": {},
        "DescribeAvailabilityZones": {},
        "DescribeAccountAttributes": {},
        # Security groups
        "CreateSecurityGroup": {"GroupName": "another", "Description": "d", "VpcId": n["vpc"]},
        "DeleteSecurityGroup": {"GroupId": n["plain group"]},
        "DescribeSecurityGroups": [{}, {"GroupIds": [n["group"]]}],
        "DescribeSecurityGroupRules": [{}, {"SecurityGroupRuleIds": [n["rule"]]}],
        "DescribeSecurityGroupReferences": {"GroupId": [n["group"]]},
        "DescribeStaleSecurityGroups": {"VpcId": n["vpc"]},
        "GetSecurityGroupsForVpc": {"VpcId": n["vpc"]},
        "AuthorizeSecurityGroupIngress": {"GroupId": n["group"], "IpPermissions": _permissions(80)},
        "AuthorizeSecurityGroupEgress": {"GroupId": n["group"], "IpPermissions": _permissions(80)},
        "RevokeSecurityGroupIngress": [
            {"GroupId": n["group"], "IpPermissions": [https]},
            {"GroupId": n["group"], "SecurityGroupRuleIds": [n["peer rule"]]},
        ],
        "RevokeSecurityGroupEgress": {
            "GroupId": n["group"],
            "IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        },
        "ModifySecurityGroupRules": {
            "GroupId": n["group"],
            "SecurityGroupRules": [
                {
                    "SecurityGroupRuleId": n["rule"],
                    "SecurityGroupRule": {
                        "IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "CidrIpv4": "0.0.0.0/0",
                    },
                }
            ],
        },
        "UpdateSecurityGroupRuleDescriptionsIngress": {
            "GroupId": n["group"],
            "SecurityGroupRuleDescriptions": [{"SecurityGroupRuleId": n["rule"], "Description": "new"}],
        },
        "UpdateSecurityGroupRuleDescriptionsEgress": {
            "GroupId": n["group"],
            "IpPermissions": [
                {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "new"}]}
            ],
        },
        # VPCs and subnets
        "CreateVpc": {"CidrBlock": "10.6.0.0/16"},
        "DeleteVpc": {"VpcId": n["empty vpc"]},
        "DescribeVpcs": [{}, {"VpcIds": [n["vpc"]]}],
        "DescribeVpcAttribute": [
            {"VpcId": n["vpc"], "Attribute": attribute}
            for attribute in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
        ],
        "ModifyVpcAttribute": {"VpcId": n["vpc"], "EnableDnsHostnames": {"Value": True}},
        "ModifyVpcTenancy": {"VpcId": n["vpc"], "InstanceTenancy": "default"},
        "AssociateVpcCidrBlock": {"VpcId": n["vpc"], "CidrBlock": "10.10.0.0/16"},
        "DisassociateVpcCidrBlock": {"AssociationId": n["block"]},
        "CreateDefaultSubnet": {"AvailabilityZone": ZONES[1]},
        "DescribeVpcClassicLink": {},
        "DescribeVpcClassicLinkDnsSupport": {},
        "CreateSubnet": {"VpcId": n["vpc"], "CidrBlock": "10.8.9.0/24"},
        "DeleteSubnet": {"SubnetId": n["empty subnet"]},
        "DescribeSubnets": [{}, {"SubnetIds": [n["subnet"]]}],
        "ModifySubnetAttribute": {"SubnetId": n["subnet"], "MapPublicIpOnLaunch": {"Value": True}},
        "CreateDhcpOptions": {"DhcpConfigurations": [{"Key": "domain-name", "Values": ["example.net"]}]},
        "AssociateDhcpOptions": {"VpcId": n["vpc"], "DhcpOptionsId": n["spare options"]},
        "DeleteDhcpOptions": {"DhcpOptionsId": n["spare options"]},
        "DescribeDhcpOptions": [{}, {"DhcpOptionsIds": [n["options"]]}],
        # Routing
        "CreateRouteTable": {"VpcId": n["vpc"]},
        "DeleteRouteTable": {"RouteTableId": n["spare table"]},
        "DescribeRouteTables": [{}, {"RouteTableIds": [n["table"]]}],
        "AssociateRouteTable": {"RouteTableId": n["spare table"], "SubnetId": n["empty subnet"]},
        "DisassociateRouteTable": {"AssociationId": n["table association"]},
        "ReplaceRouteTableAssociation": {
            "AssociationId": n["table association"], "RouteTableId": n["spare table"],
        },
        "CreateRoute": {
            "RouteTableId": n["table"], "DestinationCidrBlock": "10.98.0.0/16", "GatewayId": n["gateway"],
        },
        "ReplaceRoute": {**anywhere, "NatGatewayId": n["nat"]},
        "DeleteRoute": anywhere,
        "CreateInternetGateway": {},
        "AttachInternetGateway": {"InternetGatewayId": n["spare gateway"], "VpcId": n["empty vpc"]},
        "DetachInternetGateway": {"InternetGatewayId": n["idle gateway"], "VpcId": n["quiet vpc"]},
        "DeleteInternetGateway": {"InternetGatewayId": n["spare gateway"]},
        "DescribeInternetGateways": [{}, {"InternetGatewayIds": [n["gateway"]]}],
        "CreateNatGateway": {"SubnetId": n["subnet"], "AllocationId": n["address"]},
        "DeleteNatGateway": {"NatGatewayId": n["nat"]},
        "DescribeNatGateways": [{}, {"NatGatewayIds": [n["nat"]]}],
        "CreateNetworkAcl": {"VpcId": n["vpc"]},
        "DeleteNetworkAcl": {"NetworkAclId": n["acl"]},
        "DescribeNetworkAcls": [{}, {"NetworkAclIds": [n["acl"]]}],
        "CreateNetworkAclEntry": {**entry, "RuleNumber": 200, "Egress": False},
        "ReplaceNetworkAclEntry": {**entry, "RuleNumber": 100, "Egress": False},
        "DeleteNetworkAclEntry": {"NetworkAclId": n["acl"], "RuleNumber": 100, "Egress": False},
        "ReplaceNetworkAclAssociation": {"AssociationId": n["acl association"], "NetworkAclId": n["acl"]},
        # Interfaces and addresses
        "CreateNetworkInterface": {"SubnetId": n["subnet"]},
        "DeleteNetworkInterface": {"NetworkInterfaceId": n["nic"]},
        "DescribeNetworkInterfaces": [{}, {"NetworkInterfaceIds": [n["nic"]]}],
        "DescribeNetworkInterfaceAttribute": [
            {"NetworkInterfaceId": n["second nic"], "Attribute": attribute}
            for attribute in ("description", "groupSet", "sourceDestCheck", "attachment", "associatePublicIpAddress")
        ],
        "ModifyNetworkInterfaceAttribute": {
            "NetworkInterfaceId": n["nic"], "Description": {"Value": "new"},
        },
        "ResetNetworkInterfaceAttribute": {
            "NetworkInterfaceId": n["nic"], "SourceDestCheck": "true",
        },
        "AttachNetworkInterface": {
            "NetworkInterfaceId": n["nic"], "InstanceId": n["far"], "DeviceIndex": 2,
        },
        "DetachNetworkInterface": {"AttachmentId": n["attachment"]},
        "AssignPrivateIpAddresses": {
            "NetworkInterfaceId": n["nic"], "SecondaryPrivateIpAddressCount": 1,
        },
        "UnassignPrivateIpAddresses": {
            "NetworkInterfaceId": n["second nic"], "PrivateIpAddresses": [n["second nic address"]],
        },
        "AllocateAddress": {"Domain": "vpc"},
        "ReleaseAddress": {"AllocationId": n["address"]},
        "AssociateAddress": {"AllocationId": n["address"], "InstanceId": n["sleeper"]},
        "DisassociateAddress": {"AssociationId": n["address association"]},
        "DescribeAddresses": [{}, {"AllocationIds": [n["address"]]}],
        "DescribeAddressesAttribute": {},
    }  # fmt: skip
    given = {name: each if isinstance(each, list) else [each] for name, each in everything.items()}
    needing = {name for name, endpoint in EC2.endpoints.items() if needed(endpoint.shape.input)}
    return {name: given.get(name, [{}]) for name in EC2.endpoints if name in given or name not in needing}


def needed(shape: Structure) -> list[str]:
    """The members that a structure cannot be without."""
    return [each.name for each in shape.members if each.required]


#: What the operations that take tags make first.
TAGGED: Mapping[str, str] = {
    "AllocateAddress": "elastic-ip",
    "AuthorizeSecurityGroupEgress": "security-group-rule",
    "AuthorizeSecurityGroupIngress": "security-group-rule",
    "CopyImage": "image",
    "CopySnapshot": "snapshot",
    "CreateDhcpOptions": "dhcp-options",
    "CreateImage": "image",
    "CreateInternetGateway": "internet-gateway",
    "CreateKeyPair": "key-pair",
    "CreateLaunchTemplate": "launch-template",
    "CreateNatGateway": "natgateway",
    "CreateNetworkAcl": "network-acl",
    "CreateNetworkInterface": "network-interface",
    "CreatePlacementGroup": "placement-group",
    "CreateRouteTable": "route-table",
    "CreateSecurityGroup": "security-group",
    "CreateSnapshot": "snapshot",
    "CreateSnapshots": "snapshot",
    "CreateSubnet": "subnet",
    "CreateVolume": "volume",
    "CreateVpc": "vpc",
    "ExportImage": "export-image-task",
    "ImportImage": "import-image-task",
    "ImportKeyPair": "key-pair",
    "ImportSnapshot": "import-snapshot-task",
    "RegisterImage": "image",
    "RunInstances": "instance",
}


def with_more(operation: str, request: Request) -> list[Request]:
    """A request as it is, with a client token where one can be, and with tags where they can be."""
    members = MODEL.operation_model(operation).input_shape.members
    found = [request]
    if "ClientToken" in members:
        found.append({**request, "ClientToken": "a-token"})
    if operation in TAGGED:
        found.append({**request, "TagSpecifications": tags(TAGGED[operation], Made="up")})
    return found
