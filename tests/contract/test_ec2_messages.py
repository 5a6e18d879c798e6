"""The sentences that clients and their tests compare, word for word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_population import Population, tags

ZEROS = "0" * 17


@pytest.fixture(scope="module")
def populated(tmp_path_factory) -> Iterator[Population]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Population(monkeypatch, tmp_path_factory.mktemp("exports"))


def refused(populated: Population, operation: str, **parameters: Any) -> tuple[str, str]:
    """Code and message. ``{name}`` in a parameter stands for something of the population."""
    try:
        with pytest.raises(ClientError) as caught:
            getattr(populated.face.ann, xform_name(operation))(**_filled(parameters, populated.named))
    finally:
        populated.restore()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def _filled(value: Any, named: dict[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled(each, named) for key, each in value.items()}
        case list():
            return [_filled(each, named) for each in value]
        case str() if value.startswith("{"):
            return named[value.strip("{}")]
        case _:
            return value


LAUNCH = {"ImageId": "{image}", "MinCount": 1, "MaxCount": 1}
MANY_TAGS = [{"Key": str(number), "Value": ""} for number in range(51)]
ROWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("DescribeVpcs", {"DryRun": True}, "DryRunOperation",
     "Request would have succeeded, but DryRun flag is set."),
    ("DescribeInstances", {"InstanceIds": [f"i-{ZEROS}"]}, "InvalidInstanceID.NotFound",
     f"The instance ID 'i-{ZEROS}' does not exist"),
    ("DescribeInstances", {"InstanceIds": [f"i-{ZEROS}", "i-12345678"]}, "InvalidInstanceID.NotFound",
     f"The instance IDs 'i-{ZEROS}, i-12345678' do not exist"),
    ("DescribeImages", {"ImageIds": [f"ami-{ZEROS}"]}, "InvalidAMIID.NotFound",
     f"The image id '[ami-{ZEROS}]' does not exist"),
    ("DescribeImages", {"ImageIds": [f"ami-{ZEROS}", "ami-12345678"]}, "InvalidAMIID.NotFound",
     f"The image ids '[ami-{ZEROS}, ami-12345678]' do not exist"),
    ("DescribeImages", {"ImageIds": ["x"]}, "InvalidAMIID.Malformed", 'Invalid id: "x" (expecting "ami-...")'),
    ("DeregisterImage", {"ImageId": "{gone image}"}, "InvalidAMIID.Unavailable",
     "The image id '[{gone image}]' is no longer available"),
    ("DeleteVolume", {"VolumeId": f"vol-{ZEROS}"}, "InvalidVolume.NotFound",
     f"The volume 'vol-{ZEROS}' does not exist."),
    ("DeleteVolume", {"VolumeId": "{data volume}"}, "VolumeInUse",
     "Volume {data volume} is currently attached to {running}"),
    ("DetachVolume", {"VolumeId": "{data volume}", "InstanceId": "{running}", "Device": "/dev/sdz"},
     "InvalidAttachment.NotFound",
     "The volume {data volume} is not attached to instance {running} as device /dev/sdz"),
    ("DescribeSecurityGroups", {"GroupIds": [f"sg-{ZEROS}"]}, "InvalidGroup.NotFound",
     f"The security group 'sg-{ZEROS}' does not exist"),
    ("CreateSecurityGroup", {"GroupName": "web", "Description": "d", "VpcId": "{vpc}"}, "InvalidGroup.Duplicate",
     "The security group 'web' already exists"),
    ("CreateKeyPair", {"KeyName": "ours"}, "InvalidKeyPair.Duplicate", "The keypair 'ours' already exists."),
    ("DescribeKeyPairs", {"KeyNames": ["nobody's"]}, "InvalidKeyPair.NotFound",
     "The key pair 'nobody's' does not exist"),
    ("DescribeVpcs", {"VpcIds": [f"vpc-{ZEROS}"]}, "InvalidVpcID.NotFound",
     f"The vpc ID 'vpc-{ZEROS}' does not exist"),
    ("DescribeSubnets", {"SubnetIds": [f"subnet-{ZEROS}"]}, "InvalidSubnetID.NotFound",
     f"The subnet ID 'subnet-{ZEROS}' does not exist"),
    ("CreateSubnet", {"VpcId": "{vpc}", "CidrBlock": "192.168.0.0/24"}, "InvalidSubnet.Range",
     "The CIDR '192.168.0.0/24' is invalid."),
    ("CreateSubnet", {"VpcId": "{vpc}", "CidrBlock": "10.8.1.0/28"}, "InvalidSubnet.Conflict",
     "The CIDR '10.8.1.0/28' conflicts with another subnet"),
    ("DescribeRouteTables", {"RouteTableIds": [f"rtb-{ZEROS}"]}, "InvalidRouteTableID.NotFound",
     f"The routeTable ID 'rtb-{ZEROS}' does not exist"),
    ("DescribeNetworkInterfaces", {"NetworkInterfaceIds": [f"eni-{ZEROS}"]},
     "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID 'eni-{ZEROS}' does not exist"),
    ("CreateVpc", {"CidrBlock": "nonsense"}, "InvalidParameterValue",
     "Value (nonsense) for parameter cidrBlock is invalid. This is not a valid CIDR block."),
    ("DescribeInstanceAttribute", {"InstanceId": "{running}", "Attribute": "nonsense"}, "InvalidParameterValue",
     "Value (nonsense) for parameter attribute is invalid. Unknown attribute."),
    ("DescribeVolumes", {"Filters": [{"Name": "x", "Values": ["y"]}]}, "InvalidParameterValue",
     "The filter 'x' is invalid"),
    ("StopInstances", {"InstanceIds": []}, "InvalidParameterCombination", "No instances specified"),
    ("DescribeInstances", {"InstanceIds": ["{running}"], "MaxResults": 5}, "InvalidParameterCombination",
     "The parameter instancesSet cannot be used with the parameter maxResults"),
    ("RunInstances", {**LAUNCH, "SubnetId": "{subnet}", "NetworkInterfaces": [{"DeviceIndex": 0}]},
     "InvalidParameterCombination",
     "Network interfaces and an instance-level subnet ID may not be specified on the same request"),
    ("DeleteSubnet", {}, "MissingParameter", "The request must contain the parameter SubnetId"),
    ("CreateTags", {"Resources": ["{running}"], "Tags": MANY_TAGS}, "TagLimitExceeded",
     "The maximum number of Tags for a resource has been reached."),
    ("CreateTags", {"Resources": ["nonsense"], "Tags": [{"Key": "a"}]}, "InvalidID",
     "The ID 'nonsense' is not valid"),
    ("RunInstances", {**LAUNCH, "TagSpecifications": tags("nonsense", a="b")}, "InvalidParameterValue",
     "'nonsense' is not a valid taggable resource type for this operation."),
    ("CreateTags", {"Resources": ["{running}"], "Tags": [{"Key": "aws:a"}]}, "InvalidParameterValue",
     "Tag keys starting with 'aws:' are reserved for internal use"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "parameters", "code", "message"), ROWS)
def test_sentences(populated, operation, parameters, code, message):
    for name, identity in populated.named.items():
        message = message.replace(f"{{{name}}}", identity)
    assert refused(populated, operation, **parameters) == (code, message)


def test_a_snapshot_that_an_image_uses(populated):
    (image,) = populated.face.ann.describe_images(ImageIds=[populated.named["saved image"]])["Images"]
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert refused(populated, "DeleteSnapshot", SnapshotId=snapshot) == (
        "InvalidSnapshot.InUse",
        f"The snapshot {snapshot} is currently in use by {image['ImageId']}",
    )


def test_an_instance_that_is_protected(populated):
    one = populated.named["running"]
    populated.face.ann.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": True})
    assert refused(populated, "TerminateInstances", InstanceIds=[one]) == (
        "OperationNotPermitted",
        (
            f"The instance '{one}' may not be terminated. Modify its 'disableApiTermination' instance "
            "attribute and try again."
        ),
    )


def test_the_interface_that_an_instance_keeps(populated):
    row = populated.face.describe(populated.named["running"])
    (first,) = [each for each in row["NetworkInterfaces"] if each["Attachment"]["DeviceIndex"] == 0]
    assert refused(populated, "DetachNetworkInterface", AttachmentId=first["Attachment"]["AttachmentId"]) == (
        "OperationNotPermitted",
        "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    )


def test_user_data_that_is_not_base64(populated):
    status, code, message = populated.face.refusal(
        "RunInstances", ImageId=populated.named["image"], MinCount="1", MaxCount="1", UserData="%"
    )
    assert (status, code, message) == (
        400,
        "InvalidUserData.Malformed",
        "Invalid BASE64 encoding of user data.",
    )


def test_more_blocks_than_a_vpc_has(populated):
    vpc, ec2 = populated.named["quiet vpc"], populated.face.ann
    for number in range(4):
        ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=f"10.{100 + number}.0.0/16")
    assert refused(populated, "AssociateVpcCidrBlock", VpcId=vpc, CidrBlock="10.110.0.0/16") == (
        "CidrLimitExceeded",
        f"This network {vpc} has met its maximum number of allowed CIDRs: 5",
    )
