"""moto as an oracle for shape: the same calls to both, and every difference explained.

What moto says and we do not is a gap or a thing that is not so here; the table below has a reason for each.
What we say beyond moto is held to the service model by the strict writers of the other tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from ec2_face import Ec2Cloud
from moto import mock_aws

EXPLAINED = {
    "Instances[].NetworkInterfaces": "an ended instance has no interfaces; moto keeps them",
    "Instances[].SubnetId": "an ended instance is in no subnet; moto keeps it there",
    "Instances[].VpcId": "an ended instance is in no VPC; moto keeps it there",
    "Instances[].StateReason": "a running instance has no reason; moto gives an empty one",
    "Instances[].SriovNetSupport": "the interface is virtio, there is no Intel 82599 to speak of",
    "Instances[].Platform": "moto's sample image is one of Windows",
    "Instances[].KernelId": "hardware virtual machines have no kernel id",
    "Instances[].RamdiskId": "hardware virtual machines have no ramdisk id",
    "Instances[].SourceDestCheck": "an ended instance has no interface to be checked; moto forgets to take it away",
    "Instances[].PrivateIpAddress": "an ended instance has given its address back; moto keeps it",
    "Images[].BlockDeviceMappings": "snapshots are not modelled yet",
    "Images[].Description": "absent when there is none",
    "Images[].ImageOwnerAlias": "nobody here has Amazon's aliases",
    "Images[].Platform": "moto's sample image is one of Windows",
    "Images[].ProductCodes": "absent when there are none",
    "Images[].Tags": "absent when there are none",
    "InstanceTypes[].EbsInfo": "no promise is made about bandwidth: hosts differ",
    "InstanceTypes[].NetworkInfo": "no promise is made about bandwidth, and the interface is not an ENA",
    "InstanceTypes[].ProcessorInfo": "hosts differ in maker and clock",
    "SriovNetSupport.Value": "the interface is virtio",
    "Description.Value": "absent when there is none",
}


def conversation(client: Any, image: str, settle: Callable[[], None]) -> Iterator[tuple[str, Any]]:
    """The same calls to either cloud."""
    tags = [{"Key": "a", "Value": "b"}]
    yield (
        "key",
        client.create_key_pair(KeyName="k", TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}]),
    )
    yield "keys", client.describe_key_pairs(IncludePublicKey=True)
    run = client.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        InstanceType="t2.nano",
        KeyName="k",
        UserData="x",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    yield "run", run
    instance = run["Instances"][0]["InstanceId"]
    settle()
    yield "running", client.describe_instances(InstanceIds=[instance])
    yield "status", client.describe_instance_status(InstanceIds=[instance])
    yield "tags", client.describe_tags()
    yield "images", client.describe_images(ImageIds=[image])
    yield "regions", client.describe_regions(RegionNames=["us-east-1"])
    yield "zones", client.describe_availability_zones(ZoneNames=["us-east-1a"])
    yield "types", client.describe_instance_types(InstanceTypes=["t2.nano"])
    yield "offerings", client.describe_instance_type_offerings()
    yield "account", client.describe_account_attributes()
    for attribute in (
        "instanceType",
        "userData",
        "disableApiTermination",
        "disableApiStop",
        "kernel",
        "ramdisk",
    ):
        yield attribute, client.describe_instance_attribute(InstanceId=instance, Attribute=attribute)
    for attribute in (
        "instanceInitiatedShutdownBehavior",
        "rootDeviceName",
        "sourceDestCheck",
        "ebsOptimized",
    ):
        yield attribute, client.describe_instance_attribute(InstanceId=instance, Attribute=attribute)
    for attribute in ("groupSet", "productCodes", "sriovNetSupport", "blockDeviceMapping"):
        yield attribute, client.describe_instance_attribute(InstanceId=instance, Attribute=attribute)
    yield "console", client.get_console_output(InstanceId=instance)
    for attribute in ("launchPermission", "description"):
        yield f"image {attribute}", client.describe_image_attribute(ImageId=image, Attribute=attribute)
    yield "stop", client.stop_instances(InstanceIds=[instance])
    settle()
    yield "stopped", client.describe_instances(InstanceIds=[instance])
    yield "start", client.start_instances(InstanceIds=[instance])
    settle()
    yield "terminate", client.terminate_instances(InstanceIds=[instance])
    settle()
    yield "terminated", client.describe_instances(InstanceIds=[instance])
    yield "delete", client.delete_key_pair(KeyName="k")


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
        image = client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        return dict(conversation(client, image, lambda: None))


@pytest.fixture
def ours(monkeypatch, theirs) -> dict[str, Any]:
    face = Ec2Cloud(monkeypatch)
    return dict(conversation(face.ann, face.cloud.image.id, face.cloud.settle))


def test_what_moto_says_and_we_do_not_is_explained(ours, theirs):
    lacking = {
        (name, path.removeprefix("Reservations[]."))
        for name, reply in theirs.items()
        for path in set(members(reply)) - set(members(ours[name]))
    }
    unexplained = {
        (name, path) for name, path in lacking if not any(path.startswith(known) for known in EXPLAINED)
    }
    assert unexplained == set()
    used = {known for known in EXPLAINED if any(path.startswith(known) for _, path in lacking)}
    assert used >= set(EXPLAINED) - {
        "Instances[].KernelId",
        "Instances[].RamdiskId",
    }


def test_the_same_states_and_types(ours, theirs):
    for name in ("running", "stopped", "terminated"):
        mine, other = (each[name]["Reservations"][0]["Instances"][0] for each in (ours, theirs))
        assert mine["State"] == other["State"]
        assert mine.get("StateReason", {}).get("Code", "") == other["StateReason"]["Code"]
        for path in (
            "Hypervisor",
            "VirtualizationType",
            "RootDeviceType",
            "EbsOptimized",
            "Monitoring",
            "Architecture",
        ):
            assert mine[path] == other[path]
    for name, key in (("stop", "StoppingInstances"), ("start", "StartingInstances")):
        states = [
            [each["PreviousState"], each["CurrentState"]]
            for each in (ours[name][key][0], theirs[name][key][0])
        ]
        assert states[0] == states[1]
