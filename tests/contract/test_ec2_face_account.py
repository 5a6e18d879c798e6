"""What is recorded of an account and of instances besides: encryption by default, detailed monitoring."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud

ZONE = "us-east-1a"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def launch(face: Ec2Cloud, count: int = 1, **more) -> list[str]:
    made = face.ann.run_instances(
        ImageId=face.cloud.image.id, InstanceType="t2.nano", MinCount=count, MaxCount=count, **more
    )
    face.cloud.quiesce()
    return [each["InstanceId"] for each in made["Instances"]]


def code_of(call, **parameters) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def monitoring(face: Ec2Cloud) -> dict[str, str]:
    found = face.ann.describe_instances()["Reservations"]
    return {each["InstanceId"]: each["Monitoring"]["State"] for group in found for each in group["Instances"]}


# Monitoring ---------------------------------------------------------------------------------------------


def test_monitoring_is_on_from_the_launch_when_asked_for(face):
    made = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        InstanceType="t2.nano",
        MinCount=1,
        MaxCount=1,
        Monitoring={"Enabled": True},
    )
    assert made["Instances"][0]["Monitoring"] == {"State": "pending"}
    face.cloud.quiesce()
    assert list(monitoring(face).values()) == ["enabled"]


def test_monitoring_is_switched_on_and_off(face):
    one, two = launch(face, 2)
    answer = face.ann.monitor_instances(InstanceIds=[one])
    assert answer["InstanceMonitorings"] == [{"InstanceId": one, "Monitoring": {"State": "pending"}}]
    assert monitoring(face) == {one: "enabled", two: "disabled"}
    found = face.ann.describe_instances(Filters=[{"Name": "monitoring-state", "Values": ["enabled"]}])
    assert [each["InstanceId"] for group in found["Reservations"] for each in group["Instances"]] == [one]
    again = face.ann.monitor_instances(InstanceIds=[two, one])["InstanceMonitorings"]
    assert [each["Monitoring"]["State"] for each in again] == ["pending", "enabled"]
    off = face.ann.unmonitor_instances(InstanceIds=[one])["InstanceMonitorings"]
    assert off == [{"InstanceId": one, "Monitoring": {"State": "disabling"}}]
    off = face.ann.unmonitor_instances(InstanceIds=[one])["InstanceMonitorings"]
    assert off == [{"InstanceId": one, "Monitoring": {"State": "disabled"}}]
    assert monitoring(face) == {one: "disabled", two: "enabled"}


def test_monitoring_is_for_all_or_none(face):
    (one,) = launch(face)
    unknown = "i-0123456789abcdef0"
    for call in (face.ann.monitor_instances, face.ann.unmonitor_instances):
        assert code_of(call, InstanceIds=[one, unknown]) == "InvalidInstanceID.NotFound"
        assert code_of(call, InstanceIds=[one, "i-x"]) == "InvalidInstanceID.Malformed"
        assert code_of(call, InstanceIds=[]) == "InvalidParameterCombination"
        assert code_of(call, InstanceIds=[one], DryRun=True) == "DryRunOperation"
    assert code_of(face.bob.monitor_instances, InstanceIds=[one]) == "InvalidInstanceID.NotFound"
    assert monitoring(face) == {one: "disabled"}
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.quiesce()
    assert code_of(face.ann.monitor_instances, InstanceIds=[one]) == "IncorrectInstanceState"


def test_there_is_no_password(face):
    (one,) = launch(face)
    answer = face.ann.get_password_data(InstanceId=one)
    assert (answer["InstanceId"], answer["PasswordData"]) == (one, "")
    assert answer["Timestamp"].tzinfo is not None
    assert code_of(face.bob.get_password_data, InstanceId=one) == "InvalidInstanceID.NotFound"
    assert code_of(face.ann.get_password_data, InstanceId="x") == "InvalidInstanceID.Malformed"


# Encryption by default ----------------------------------------------------------------------------------


def test_encryption_by_default_is_told(face):
    def told(client):
        answer = client.get_ebs_encryption_by_default()
        return answer["EbsEncryptionByDefault"], answer["SseType"]

    assert told(face.ann) == (False, "none")
    assert face.ann.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert face.ann.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert told(face.ann) == (True, "sse-ebs")
    assert told(face.bob) == (False, "none")
    assert face.ann.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert told(face.ann) == (False, "none")


def test_encryption_by_default_is_of_every_new_volume(face):
    before = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)
    face.cloud.quiesce()
    plain = face.ann.create_snapshot(VolumeId=before["VolumeId"])["SnapshotId"]
    face.cloud.quiesce()
    face.ann.enable_ebs_encryption_by_default()
    empty = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)
    denied = face.ann.create_volume(AvailabilityZone=ZONE, Size=1, Encrypted=False)
    copied = face.ann.create_volume(AvailabilityZone=ZONE, SnapshotId=plain)
    assert [each["Encrypted"] for each in (before, empty, denied, copied)] == [False, True, True, True]
    (instance,) = launch(
        face,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/vda", "Ebs": {"Encrypted": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
            {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": plain}},
        ],
    )
    (row,) = face.ann.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert row["State"]["Name"] == "running"
    mine = [{"Name": "attachment.instance-id", "Values": [instance]}]
    volumes = face.ann.describe_volumes(Filters=mine)["Volumes"]
    assert [each["Encrypted"] for each in volumes] == [True] * 3
    rows = {each.id: each for each in face.cloud.engine.volumes(face.cloud.caller)}
    secrets = [each.secret for each in rows.values() if each.encrypted]
    assert len(set(secrets)) == len(secrets) == 6
    assert not rows[before["VolumeId"]].encrypted
    snapshot = face.ann.create_snapshot(VolumeId=empty["VolumeId"])
    assert snapshot["Encrypted"]
    face.ann.disable_ebs_encryption_by_default()
    assert not face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["Encrypted"]
    assert not face.bob.create_volume(AvailabilityZone=ZONE, Size=1)["Encrypted"]


def test_what_is_copied_unencrypted_is_refused_where_all_is_to_be_encrypted(face):
    volume = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    face.cloud.quiesce()
    plain = face.ann.create_snapshot(VolumeId=volume)["SnapshotId"]
    face.cloud.quiesce()
    copy = {"SourceRegion": "us-east-1", "SourceSnapshotId": plain}
    image = {"SourceRegion": "us-east-1", "SourceImageId": face.cloud.image.id, "Name": "copy"}
    face.ann.enable_ebs_encryption_by_default()
    assert code_of(face.ann.copy_snapshot, **copy) == "UnsupportedOperation"
    assert code_of(face.ann.copy_image, **image) == "UnsupportedOperation"
    safe = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    face.cloud.quiesce()
    kept = face.ann.create_snapshot(VolumeId=safe)["SnapshotId"]
    face.cloud.quiesce()
    face.ann.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=kept)
    face.ann.disable_ebs_encryption_by_default()
    face.ann.copy_snapshot(**copy)
    face.ann.copy_image(**image)


def test_encryption_by_default_needs_somebody_who_keeps_the_keys(face):
    face.cloud.engine.vault = None
    assert code_of(face.ann.enable_ebs_encryption_by_default) == "UnsupportedOperation"
    assert face.ann.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
