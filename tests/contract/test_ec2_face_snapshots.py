"""Snapshots through the EC2 face: make, list, copy, share, delete, and volumes of them."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from simulation import ADMIN

from backend.commands import SetQuota
from backend.model import SnapshotState

UNKNOWN = "0123456789abcdef0"
ZONE = "us-east-1a"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def a_volume(face, **parameters) -> str:
    made: str = face.ann.create_volume(**{"AvailabilityZone": ZONE, "Size": 2} | parameters)["VolumeId"]
    face.cloud.settle()
    return made


def kept(face, volume_id, **parameters) -> str:
    made: str = face.ann.create_snapshot(VolumeId=volume_id, **parameters)["SnapshotId"]
    face.cloud.settle()
    return made


def listed(client, **parameters) -> set[str]:
    return {each["SnapshotId"] for each in client.describe_snapshots(**parameters)["Snapshots"]}


def filtered(face, name: str, value: str) -> set[str]:
    return listed(face.ann, Filters=[{"Name": name, "Values": [value]}])


def test_a_snapshot_is_made_and_a_volume_of_it(face):
    volume = a_volume(face)
    face.cloud.host().write(volume, b"kept")
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
    made = face.ann.create_snapshot(VolumeId=volume, Description="d & <d>", TagSpecifications=tags)
    snapshot = made["SnapshotId"]
    assert {name: made[name] for name in made if name not in {"ResponseMetadata", "StartTime"}} == {
        "Description": "d & <d>",
        "Encrypted": False,
        "OwnerId": face.cloud.caller.account_id,
        "Progress": "0%",
        "SnapshotId": snapshot,
        "State": "pending",
        "StorageTier": "standard",
        "Tags": [{"Key": "a", "Value": "b"}],
        "VolumeId": volume,
        "VolumeSize": 2,
    }
    code, message = refused(face.ann.create_volume, AvailabilityZone=ZONE, SnapshotId=snapshot)
    assert (code, message) == ("IncorrectState", f"Snapshot '{snapshot}' is in the 'pending' state.")
    face.cloud.settle()
    face.ann.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot])
    (shown,) = face.ann.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["Progress"]) == ("completed", "100%")
    assert shown["CompletionTime"] >= shown["StartTime"] == made["StartTime"]
    code, message = refused(face.ann.create_volume, AvailabilityZone=ZONE, SnapshotId=snapshot, Size=1)
    assert (code, "smaller than snapshot" in message) == ("InvalidParameterValue", True)
    again = a_volume(face, SnapshotId=snapshot, Size=3)
    (of_it,) = face.ann.describe_volumes(VolumeIds=[again])["Volumes"]
    assert (of_it["SnapshotId"], of_it["Size"], of_it["State"]) == (snapshot, 3, "available")
    assert face.ann.describe_volumes(Filters=[{"Name": "snapshot-id", "Values": [snapshot]}])["Volumes"]
    face.ann.delete_volume(VolumeId=volume)
    face.cloud.settle()
    assert listed(face.ann) == {snapshot}  # it outlives its volume


def test_snapshots_of_all_volumes_of_an_instance(face):
    disks = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 4}},
    ]
    (instance,) = face.run(
        BlockDeviceMappings=disks,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "v", "Value": "1"}]}],
    )
    face.cloud.settle()
    root, data, more = (each["Ebs"]["VolumeId"] for each in face.describe(instance)["BlockDeviceMappings"])
    make = face.ann.create_snapshots
    every = make(InstanceSpecification={"InstanceId": instance}, Description="all")["Snapshots"]
    assert [each["VolumeId"] for each in every] == [root, data, more]
    assert [each["Tags"] for each in every] == [[], [], []]
    assert {each["State"] for each in every} == {"pending"}
    some = make(
        InstanceSpecification={
            "InstanceId": instance,
            "ExcludeBootVolume": True,
            "ExcludeDataVolumeIds": [data],
        },
        CopyTagsFromSource="volume",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "s", "Value": "2"}]}],
    )["Snapshots"]
    assert [(each["VolumeId"], each["Tags"]) for each in some] == [
        (more, [{"Key": "s", "Value": "2"}, {"Key": "v", "Value": "1"}])
    ]
    face.cloud.settle()
    assert filtered(face, "status", "completed") == {each["SnapshotId"] for each in every + some}
    for wanted, code in (
        ({"InstanceId": "i-1"}, "InvalidInstanceID.Malformed"),
        ({"InstanceId": f"i-{UNKNOWN}"}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": instance, "ExcludeDataVolumeIds": [root]}, "InvalidParameterValue"),
        ({"InstanceId": instance, "ExcludeDataVolumeIds": ["vol"]}, "InvalidParameterValue"),
    ):
        assert refused(make, InstanceSpecification=wanted)[0] == code


def test_what_is_refused(face):
    volume = a_volume(face)
    make = face.ann.create_snapshot
    assert refused(make, VolumeId=f"vol-{UNKNOWN}") == (
        "InvalidVolume.NotFound",
        f"The volume 'vol-{UNKNOWN}' does not exist.",
    )
    assert refused(face.bob.create_snapshot, VolumeId=volume)[0] == "InvalidVolume.NotFound"
    assert refused(make, VolumeId=volume, Location="local")[0] == "UnsupportedOperation"
    fresh = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert refused(make, VolumeId=fresh) == (
        "IncorrectState",
        f"Volume '{fresh}' is in the 'creating' state.",
    )
    face.cloud.settle()
    tenant = face.cloud.caller.tenant_id
    face.cloud.engine.execute(ADMIN, SetQuota(tenant_id=tenant, quotas={"snapshots": 1}))
    snapshot = kept(face, volume)
    assert refused(make, VolumeId=volume)[0] == "SnapshotLimitExceeded"
    assert refused(face.ann.describe_snapshots, SnapshotIds=["snap"])[0] == "InvalidParameterValue"
    assert refused(face.ann.describe_snapshots, SnapshotIds=[snapshot, f"snap-{UNKNOWN}"]) == (
        "InvalidSnapshot.NotFound",
        f"The snapshot 'snap-{UNKNOWN}' does not exist.",
    )
    assert refused(face.ann.delete_snapshot, SnapshotId=f"snap-{UNKNOWN}")[0] == "InvalidSnapshot.NotFound"
    assert refused(face.bob.delete_snapshot, SnapshotId=snapshot)[0] == "InvalidSnapshot.NotFound"


def test_a_snapshot_that_failed_tells_nothing_of_the_hosts(face):
    snapshot = kept(face, a_volume(face))
    with face.cloud.store.begin() as tx:
        row = tx.snapshots.get(snapshot)
        tx.snapshots.update(row, state=SnapshotState.ERROR, message="qemu+ssh://host-1/ is full")
    (shown,) = face.ann.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert (shown["State"], shown["StateMessage"]) == ("error", "The snapshot could not be completed.")
    assert "host-1" not in face.transport.last.text


def test_filters_and_pages(face):
    volume = a_volume(face)
    first = kept(face, volume, Description="one")
    secret = kept(face, a_volume(face, Size=3, Encrypted=True))
    face.ann.create_tags(Resources=[first], Tags=[{"Key": "role", "Value": "db"}])
    both = {first, secret}
    for name, value, expected in (
        ("description", "one", {first}),
        ("encrypted", "true", {secret}),
        ("owner-id", face.cloud.caller.account_id, both),
        ("owner-alias", "amazon", set()),
        ("progress", "100%", both),
        ("snapshot-id", first, {first}),
        ("start-time", "20*", both),
        ("status", "completed", both),
        ("status", "pending", set()),
        ("storage-tier", "standard", both),
        ("transfer-type", "*", set()),
        ("volume-id", volume, {first}),
        ("volume-size", "3", {secret}),
        ("tag:role", "db", {first}),
        ("tag-key", "role", {first}),
    ):
        assert filtered(face, name, value) == expected, name
    assert face.ann.describe_tags()["Tags"] == [
        {"Key": "role", "ResourceId": first, "ResourceType": "snapshot", "Value": "db"}
    ]
    more = [kept(face, volume) for _ in range(4)]
    page = face.ann.describe_snapshots(MaxResults=5)
    rest = face.ann.describe_snapshots(MaxResults=5, NextToken=page["NextToken"])
    assert [each["SnapshotId"] for each in page["Snapshots"] + rest["Snapshots"]] == [first, secret, *more]
    assert refused(face.ann.describe_snapshots, SnapshotIds=[first], MaxResults=5)[0] == (
        "InvalidParameterCombination"
    )


def permissions(face, snapshot) -> list[dict[str, Any]]:
    told = face.ann.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    found: list[dict[str, Any]] = told["CreateVolumePermissions"]
    return found


def test_sharing(face):
    snapshot = kept(face, a_volume(face))
    bob = face.cloud.other.account_id
    ann = face.cloud.caller.account_id
    modify = face.ann.modify_snapshot_attribute
    assert permissions(face, snapshot) == []
    assert listed(face.bob) == set()
    modify(SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", UserIds=[bob])
    assert permissions(face, snapshot) == [{"UserId": bob}]
    assert listed(face.bob) == listed(face.bob, RestorableByUserIds=["self"]) == {snapshot}
    assert listed(face.bob, OwnerIds=["self"]) == listed(face.bob, RestorableByUserIds=["all"]) == set()
    assert listed(face.bob, OwnerIds=[ann]) == listed(face.ann, RestorableByUserIds=[bob]) == {snapshot}
    assert face.bob.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot)["Size"] == 2
    assert refused(face.bob.delete_snapshot, SnapshotId=snapshot) == (
        "AuthFailure",
        f"Not authorized for snapshot:{snapshot}",
    )
    attribute = face.bob.describe_snapshot_attribute
    assert refused(attribute, SnapshotId=snapshot, Attribute="createVolumePermission")[0] == "AuthFailure"
    modify(
        SnapshotId=snapshot, CreateVolumePermission={"Add": [{"Group": "all"}], "Remove": [{"UserId": bob}]}
    )
    assert permissions(face, snapshot) == [{"Group": "all"}]
    assert listed(face.bob, RestorableByUserIds=["all"]) == {snapshot}
    assert listed(face.bob, RestorableByUserIds=["self"]) == set()
    face.ann.reset_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert permissions(face, snapshot) == []
    for wanted, code in (
        ({}, "InvalidParameterCombination"),
        ({"OperationType": "add", "UserIds": ["bob"]}, "InvalidParameterValue"),
        ({"OperationType": "add", "GroupNames": ["everyone"]}, "InvalidParameterValue"),
        ({"UserIds": [bob]}, "MissingParameter"),
        ({"Attribute": "productCodes"}, "UnsupportedOperation"),
    ):
        assert refused(modify, SnapshotId=snapshot, **wanted)[0] == code, wanted
    secret = kept(face, a_volume(face, Encrypted=True))
    code, _ = refused(modify, SnapshotId=secret, OperationType="add", GroupNames=["all"])
    assert code == "UnsupportedOperation"


def test_copies(face):
    snapshot = kept(face, a_volume(face), Description="first")
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
    copy = face.ann.copy_snapshot(
        SourceRegion="us-east-1", SourceSnapshotId=snapshot, Description="again", TagSpecifications=tags
    )
    assert copy["Tags"] == [{"Key": "a", "Value": "b"}]
    (shown,) = face.ann.describe_snapshots(SnapshotIds=[copy["SnapshotId"]])["Snapshots"]
    assert (shown["State"], shown["Description"], shown["VolumeId"]) == ("completed", "again", "vol-ffffffff")
    face.ann.delete_snapshot(SnapshotId=snapshot)
    assert a_volume(face, SnapshotId=copy["SnapshotId"])
    make = face.ann.copy_snapshot
    for wanted, code in (
        ({"SourceRegion": "mars-1"}, "InvalidParameterValue"),
        ({"SourceSnapshotId": f"snap-{UNKNOWN}"}, "InvalidSnapshot.NotFound"),
        ({"Encrypted": True}, "UnsupportedOperation"),
        ({"KmsKeyId": "k"}, "UnsupportedOperation"),
    ):
        base = {"SourceRegion": "us-east-1", "SourceSnapshotId": copy["SnapshotId"]}
        assert refused(make, **base | wanted)[0] == code, wanted
    # boto3 always names its own region.
    elsewhere = {"DestinationRegion": "eu-west-1", "SourceSnapshotId": copy["SnapshotId"]}
    assert face.refusal("CopySnapshot", SourceRegion="us-east-1", **elsewhere)[1] == "UnsupportedOperation"


def test_a_snapshot_that_an_image_is_made_of_stays(face):
    snapshot = kept(face, a_volume(face))
    disks = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    image = face.ann.register_image(Name="of it", RootDeviceName="/dev/sda1", BlockDeviceMappings=disks)[
        "ImageId"
    ]
    assert refused(face.ann.delete_snapshot, SnapshotId=snapshot) == (
        "InvalidSnapshot.InUse",
        f"The snapshot {snapshot} is currently in use by {image}",
    )
    face.ann.deregister_image(ImageId=image)
    face.ann.delete_snapshot(SnapshotId=snapshot)
    assert listed(face.ann) == set()


def test_a_launch_with_a_volume_of_a_snapshot(face):
    snapshot = kept(face, a_volume(face))
    (instance,) = face.run(BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot}}])
    face.cloud.settle()
    _, data = face.describe(instance)["BlockDeviceMappings"]
    (shown,) = face.ann.describe_volumes(VolumeIds=[data["Ebs"]["VolumeId"]])["Volumes"]
    assert (shown["SnapshotId"], shown["Size"], shown["State"]) == (snapshot, 2, "in-use")
    code, message = refused(
        face.ann.run_instances,
        ImageId=face.cloud.image.id,
        MinCount=1,
        MaxCount=1,
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 1}}],
    )
    assert (code, "expect size >= 2GB" in message) == ("InvalidBlockDeviceMapping", True)


def test_a_description_has_at_most_255_characters(face):
    volume = a_volume(face)
    code, message = refused(face.ann.create_snapshot, VolumeId=volume, Description="d" * 256)
    assert (code, message.endswith("It must have at most 255 characters.")) == ("InvalidParameterValue", True)
    assert face.ann.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert face.ann.create_snapshot(VolumeId=volume, Description="d" * 255)["Description"] == "d" * 255


def test_several_that_do_not_exist_are_told_in_the_plural(face):
    ids = ["snap-00000000000000000", "snap-00000000000000001"]
    assert refused(face.ann.describe_snapshots, SnapshotIds=ids)[1] == (
        f"The snapshots '{', '.join(ids)}' do not exist."
    )
