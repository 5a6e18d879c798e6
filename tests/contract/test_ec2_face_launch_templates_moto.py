"""moto as an oracle for the shape of what is said of launch templates: the same calls to both clouds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from ec2_face import Ec2Cloud
from moto import mock_aws
from network_cloud import network_cloud
from test_ec2_face_vpcs_moto import members, tagged

DATA = {
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
ADDRESSES = {f"NetworkInterfaces[].PrivateIpAddresses[].{name}" for name in ("Primary", "PrivateIpAddress")}


def conversation(client: Any) -> Iterator[tuple[str, Any]]:
    """The same calls to either cloud."""
    image = client.describe_images(Filters=[{"Name": "state", "Values": ["available"]}])["Images"][0]
    made = client.create_launch_template(
        LaunchTemplateName="web",
        VersionDescription="first",
        LaunchTemplateData=DATA | {"ImageId": image["ImageId"]},
        TagSpecifications=tagged("launch-template"),
    )
    yield "create", made
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    yield (
        "version",
        client.create_launch_template_version(
            LaunchTemplateName="web",
            VersionDescription="second",
            LaunchTemplateData=DATA | {"ImageId": image["ImageId"]},
        ),
    )
    yield "modify", client.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    yield "templates", client.describe_launch_templates(LaunchTemplateIds=[template])
    yield "versions", client.describe_launch_template_versions(LaunchTemplateId=template)
    yield "latest", client.describe_launch_template_versions(Versions=["$Latest"])
    launched = client.run_instances(LaunchTemplate={"LaunchTemplateId": template}, MinCount=1, MaxCount=1)
    instance = launched["Instances"][0]
    yield "tags", [tag["Key"] for tag in instance["Tags"] if not tag["Key"].startswith("aws:")]
    yield "data", client.get_launch_template_data(InstanceId=instance["InstanceId"])
    yield "delete", client.delete_launch_template(LaunchTemplateId=template)


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
    """But for addresses and credits of CPUs: a second instance gets addresses of its own, and no type here
    has credits. moto tells groups of interfaces as structures, which EC2 has as ids.
    """
    missing = {name: set(members(reply)) - set(members(ours[name])) for name, reply in theirs.items()}
    data = {path.removeprefix("LaunchTemplateData.") for path in missing.pop("data")}
    assert data <= ADDRESSES | {
        "CreditSpecification.CpuCredits",
        "NetworkInterfaces[].Groups[].GroupId",
        "NetworkInterfaces[].PrivateIpAddresses[]",
    }
    assert missing == {name: set() for name in theirs if name != "data"}
    assert sum(len(set(members(reply))) for reply in theirs.values()) > 100
