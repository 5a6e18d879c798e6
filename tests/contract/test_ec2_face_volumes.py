"""Volumes through the EC2 face: create, attach, grow, detach, delete, and what is refused."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from moto import mock_aws
from simulation import ADMIN

from backend.commands import SetQuota
from backend.drivers.memory import Guest
from backend.model import VolumeState

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


def create(face, client=None, **parameters) -> str:
    parameters = {"AvailabilityZone": ZONE, "Size": 2} | parameters
    made: str = (client or face.ann).create_volume(**parameters)["VolumeId"]
    face.cloud.settle()
    return made


def running(face, **parameters) -> str:
    (instance,) = face.run(**parameters)
    face.cloud.settle()
    return instance


def volume(face, volume_id, client=None) -> dict[str, Any]:
    (found,) = (client or face.ann).describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return found


def listed(face, **filters: Any) -> set[str]:
    wanted = [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in filters.items()
    ]
    return {each["VolumeId"] for each in face.ann.describe_volumes(Filters=wanted)["Volumes"]}


def mapped(face, instance) -> dict[str, dict[str, Any]]:
    found = face.describe(instance)["BlockDeviceMappings"]
    return {each["DeviceName"]: each["Ebs"] for each in found}


def root_of(face, instance) -> str:
    found: str = mapped(face, instance)["/dev/vda"]["VolumeId"]
    return found


# Create -------------------------------------------------------------------------------------------------


def test_a_volume_is_made(face):
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    made = face.ann.create_volume(AvailabilityZone=ZONE, Size=3, VolumeType="gp3", TagSpecifications=tags)
    created = made.pop("CreateTime")
    assert {name: made[name] for name in made if name not in {"ResponseMetadata", "VolumeId"}} == {
        "AvailabilityZone": ZONE,
        "AvailabilityZoneId": "use1-az1",
        "Attachments": [],
        "Encrypted": False,
        "Iops": 3000,
        "MultiAttachEnabled": False,
        "Operator": {"Managed": False},
        "Size": 3,
        "SnapshotId": "",
        "State": "creating",
        "Tags": [{"Key": "Name", "Value": "data"}],
        "Throughput": 125,
        "VolumeType": "gp3",
    }
    face.cloud.settle()
    face.ann.get_waiter("volume_available").wait(VolumeIds=[made["VolumeId"]])
    shown = volume(face, made["VolumeId"])
    assert (shown["State"], shown["CreateTime"]) == ("available", created)
    assert face.ann.describe_tags()["Tags"] == [
        {"Key": "Name", "ResourceId": made["VolumeId"], "ResourceType": "volume", "Value": "data"}
    ]
    assert refused(face.bob.describe_volumes, VolumeIds=[made["VolumeId"]])[0] == "InvalidVolume.NotFound"
    assert face.bob.describe_volumes()["Volumes"] == []


@pytest.mark.parametrize(
    ("parameters", "iops", "throughput"),
    [
        ({"VolumeType": "standard"}, None, None),
        ({}, 3000, None),
        ({"VolumeType": "gp3"}, 3000, 125),
        ({"VolumeType": "gp3", "Iops": 3000, "Throughput": 750}, 3000, 750),
        ({"VolumeType": "gp3", "Size": 8, "Iops": 4000, "Throughput": 200}, 4000, 200),
        ({"VolumeType": "io1", "Size": 4, "Iops": 200}, 200, None),
        ({"VolumeType": "st1", "Size": 125}, None, None),
    ],
)
def test_limits_are_told_as_the_real_service_does(face, parameters, iops, throughput):
    made = face.ann.create_volume(**{"AvailabilityZone": ZONE, "Size": 2} | parameters)
    assert (made.get("Iops"), made.get("Throughput")) == (iops, throughput)


def test_a_client_token_makes_one_volume(face):
    one = create(face, ClientToken="t")
    assert create(face, ClientToken="t") == one
    assert create(face, ClientToken="u") != one
    code, _ = refused(face.ann.create_volume, AvailabilityZone=ZONE, Size=3, ClientToken="t")
    assert code == "IdempotentParameterMismatch"
    assert create(face, face.bob, ClientToken="t") != one
    assert len(face.ann.describe_volumes()["Volumes"]) == 2


@pytest.mark.parametrize(
    ("parameters", "code", "part"),
    [
        ({"Size": None}, "MissingParameter", "size/snapshot"),
        ({"AvailabilityZone": None}, "MissingParameter", "AvailabilityZone"),
        ({"AvailabilityZone": "us-east-1z"}, "InvalidZone.NotFound", "The zone 'us-east-1z' does not exist."),
        ({"AvailabilityZoneId": "use1-az1"}, "InvalidParameterCombination", "AvailabilityZoneId"),
        ({"SnapshotId": "snap-1"}, "InvalidParameterValue", "Expected: 'snap-...'."),
        (
            {"SnapshotId": f"snap-{UNKNOWN}"},
            "InvalidSnapshot.NotFound",
            f"The snapshot 'snap-{UNKNOWN}' does not exist.",
        ),
        ({"Size": 0}, "InvalidParameterValue", "(0)"),
        ({"Size": -1}, "InvalidParameterValue", "(-1)"),
        ({"Size": 20000}, "InvalidParameterValue", "(20000)"),
        ({"VolumeType": "fast"}, "InvalidParameterValue", "fast"),
        ({"VolumeType": "st1"}, "InvalidParameterValue", "125"),
        ({"Iops": 200}, "InvalidParameterDependency", "not supported for gp2 volumes"),
        (
            {"VolumeType": "io1", "Size": 4},
            "MissingParameter",
            "The request must contain the parameter iops",
        ),
        (
            {"VolumeType": "io1", "Size": 4, "Iops": 201},
            "InvalidParameterValue",
            "Iops to volume size ratio of 50.250000 is too high; maximum is 50.",
        ),
        ({"VolumeType": "io2", "Size": 4, "Iops": 2001}, "InvalidParameterValue", "maximum is 500."),
        (
            {"VolumeType": "gp3", "Iops": 300},
            "InvalidParameterValue",
            "Volume iops of 300 is too low; minimum is 3000.",
        ),
        ({"VolumeType": "gp3", "Size": 90, "Iops": 16001}, "InvalidParameterValue", "maximum is 16000."),
        ({"VolumeType": "gp3", "Size": 7, "Iops": 3501}, "InvalidParameterValue", "maximum is 500."),
        (
            {"VolumeType": "gp3", "Throughput": 751},
            "InvalidParameterValue",
            "Throughput (MiBps) to iops ratio of 0.250333 is too high; maximum is 0.250000 MiBps per iops.",
        ),
        ({"VolumeType": "io2", "Size": 4, "Iops": 99}, "InvalidParameterValue", "(99)"),
        ({"Throughput": 200}, "InvalidParameterDependency", "not supported for gp2 volumes"),
        ({"VolumeType": "gp3", "Throughput": 9}, "InvalidParameterValue", "(9)"),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation", "MultiAttachEnabled"),
        ({"Encrypted": True, "KmsKeyId": "alias/k"}, "UnsupportedOperation", "KmsKeyId"),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]},
            "InvalidParameterValue",
            "'instance' is not a valid taggable resource type for this operation.",
        ),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue", "clientToken"),
    ],
)
def test_volumes_that_are_refused(face, parameters, code, part):
    wanted = {"AvailabilityZone": ZONE, "Size": 2} | parameters
    found = refused(face.ann.create_volume, **{k: v for k, v in wanted.items() if v is not None})
    assert found[0] == code
    assert part in found[1]
    assert face.ann.describe_volumes()["Volumes"] == []


def test_what_asks_for_nothing_is_accepted(face):
    made = create(face, MultiAttachEnabled=False, Encrypted=False, KmsKeyId="", Iops=0)
    assert volume(face, made)["State"] == "available"


@pytest.mark.parametrize(("name", "limit"), [("volumes", 1), ("gigabytes", 3)])
def test_limits_of_the_tenant(face, name, limit):
    tenant = face.cloud.caller.tenant_id
    face.cloud.engine.execute(ADMIN, SetQuota(tenant_id=tenant, quotas={name: limit}))
    create(face)
    assert refused(face.ann.create_volume, AvailabilityZone=ZONE, Size=2)[0] == "VolumeLimitExceeded"


def test_there_is_no_room(face):
    assert (
        refused(face.ann.create_volume, AvailabilityZone=ZONE, Size=16000)[0] == "InsufficientVolumeCapacity"
    )


def test_encrypted_volumes(face):
    made = create(face, Encrypted=True)
    assert volume(face, made)["Encrypted"] is True
    assert listed(face, encrypted="true") == {made}
    assert face.ann.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False


# List ---------------------------------------------------------------------------------------------------


def test_filters(face):
    plain = create(face)
    big = create(face, Size=5, VolumeType="gp3")
    instance = running(face)
    root = root_of(face, instance)
    face.ann.create_tags(Resources=[big], Tags=[{"Key": "role", "Value": "db"}])
    every = {plain, big, root}
    when = volume(face, root)["Attachments"][0]["AttachTime"].strftime("%Y-%m-%dT*")
    for filters, expected in (
        ({}, every),
        ({"status": "available"}, {plain, big}),
        ({"size": "5"}, {big}),
        ({"volume_type": "gp3"}, {big}),
        ({"volume_id": plain}, {plain}),
        ({"volume_id": f"vol-{UNKNOWN}"}, set()),
        ({"availability_zone": ZONE}, every),
        ({"availability_zone_id": "use1-az1"}, every),
        ({"attachment__instance_id": instance}, {root}),
        ({"attachment__device": "/dev/vda"}, {root}),
        ({"attachment__status": "attached"}, {root}),
        ({"attachment__delete_on_termination": "true"}, {root}),
        ({"attachment__delete_on_termination": "false"}, set()),
        ({"attachment__attach_time": when}, {root}),
        ({"create_time": "20*"}, every),
        ({"encrypted": "false"}, every),
        ({"multi_attach_enabled": "false"}, every),
        ({"fast_restored": "true"}, set()),
        ({"operator__managed": "false"}, every),
        ({"snapshot_id": "*"}, set()),
        ({"tag:role": "db"}, {big}),
        ({"tag_key": "role"}, {big}),
    ):
        assert listed(face, **filters) == expected, filters
    assert refused(face.ann.describe_volumes, Filters=[{"Name": "colour", "Values": ["x"]}]) == (
        "InvalidParameterValue",
        "The filter 'colour' is invalid",
    )


def test_pages_and_ids(face):
    ids = [create(face) for _ in range(7)]
    first = face.ann.describe_volumes(MaxResults=5)
    second = face.ann.describe_volumes(MaxResults=5, NextToken=first["NextToken"])
    assert [each["VolumeId"] for each in first["Volumes"] + second["Volumes"]] == ids
    assert "NextToken" not in second
    assert refused(face.ann.describe_volumes, VolumeIds=ids, MaxResults=5) == (
        "InvalidParameterCombination",
        "The parameter volumesSet cannot be used with the parameter maxResults",
    )
    assert refused(face.ann.describe_volumes, VolumeIds=["vol-x"])[0] == "InvalidParameterValue"
    assert refused(face.ann.describe_volumes, VolumeIds=[ids[0], f"vol-{UNKNOWN}"]) == (
        "InvalidVolume.NotFound",
        f"The volume 'vol-{UNKNOWN}' does not exist.",
    )


# Attach, detach, delete ---------------------------------------------------------------------------------


def test_a_disk_that_comes_or_goes_does_not_make_a_ready_instance_unready(face):
    made, instance = create(face), running(face)
    face.cloud.clock.advance(61)

    def change(action, **more) -> None:
        action(VolumeId=made, InstanceId=instance, **more)
        face.cloud.settle()
        (found,) = face.ann.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        assert [found[part]["Status"] for part in ("InstanceStatus", "SystemStatus")] == ["ok", "ok"]

    change(face.ann.attach_volume, Device="/dev/sdf")
    assert "/dev/sdf" in mapped(face, instance)
    change(face.ann.detach_volume)
    assert "/dev/sdf" not in mapped(face, instance)


def test_the_life_of_an_attachment(face):
    made, instance = create(face), running(face)
    answer = face.ann.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    assert {name: answer[name] for name in ("Device", "InstanceId", "State", "VolumeId")} == {
        "Device": "/dev/sdf",
        "InstanceId": instance,
        "State": "attaching",
        "VolumeId": made,
    }
    assert answer["DeleteOnTermination"] is False
    assert mapped(face, instance)["/dev/sdf"]["Status"] == "attaching"
    face.cloud.settle()
    face.ann.get_waiter("volume_in_use").wait(VolumeIds=[made])
    shown = volume(face, made)
    (attachment,) = shown["Attachments"]
    assert attachment == {
        "AttachTime": answer["AttachTime"],
        "DeleteOnTermination": False,
        "Device": "/dev/sdf",
        "InstanceId": instance,
        "State": "attached",
        "VolumeId": made,
    }
    assert mapped(face, instance)["/dev/sdf"] == {
        "AttachTime": answer["AttachTime"],
        "DeleteOnTermination": False,
        "Status": "attached",
        "VolumeId": made,
    }
    assert refused(face.ann.delete_volume, VolumeId=made) == (
        "VolumeInUse",
        f"Volume {made} is currently attached to {instance}",
    )
    assert face.ann.detach_volume(VolumeId=made)["State"] == "detaching"
    assert mapped(face, instance)["/dev/sdf"]["Status"] == "detaching"
    face.cloud.settle()
    assert "/dev/sdf" not in mapped(face, instance)
    face.ann.get_waiter("volume_available").wait(VolumeIds=[made])
    face.ann.delete_volume(VolumeId=made)
    assert volume(face, made)["State"] == "deleting"
    face.cloud.settle()
    face.ann.get_waiter("volume_deleted").wait(VolumeIds=[made])
    assert refused(face.ann.delete_volume, VolumeId=made)[0] == "InvalidVolume.NotFound"


def test_attachments_that_are_refused(face):
    made, other, instance = create(face), create(face), running(face)
    elsewhere = create(face, AvailabilityZone="us-east-1b") if "us-east-1b" in _zones(face) else None
    attach = face.ann.attach_volume
    assert (
        refused(attach, VolumeId="vol-1", InstanceId=instance, Device="/dev/sdf")[0]
        == "InvalidParameterValue"
    )
    assert (
        refused(attach, VolumeId=made, InstanceId="i-1", Device="/dev/sdf")[0]
        == "InvalidInstanceID.Malformed"
    )
    assert refused(attach, VolumeId=f"vol-{UNKNOWN}", InstanceId=instance, Device="/dev/sdf") == (
        "InvalidVolume.NotFound",
        f"The volume 'vol-{UNKNOWN}' does not exist.",
    )
    assert refused(attach, VolumeId=made, InstanceId=f"i-{UNKNOWN}", Device="/dev/sdf") == (
        "InvalidInstanceID.NotFound",
        f"The instance ID 'i-{UNKNOWN}' does not exist",
    )
    for device in ("/dev/vda", "/dev/sda1"):
        assert refused(attach, VolumeId=made, InstanceId=instance, Device=device) == (
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )
    assert refused(attach, VolumeId=made, InstanceId=instance, Device="xyz")[0] == "InvalidParameterValue"
    attach(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    assert refused(attach, VolumeId=made, InstanceId=instance, Device="/dev/sdg") == (
        "VolumeInUse",
        f"Volume {made} is currently attached to {instance}",
    )
    assert (
        refused(attach, VolumeId=other, InstanceId=instance, Device="/dev/sdf")[0] == "InvalidParameterValue"
    )
    if elsewhere:
        assert refused(attach, VolumeId=elsewhere, InstanceId=instance, Device="/dev/sdh")[0] == (
            "InvalidVolume.ZoneMismatch"
        )
    fresh = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert refused(attach, VolumeId=fresh, InstanceId=instance, Device="/dev/sdh") == (
        "IncorrectState",
        f"Volume '{fresh}' is in the 'creating' state.",
    )
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=[instance])
    face.cloud.settle()
    assert refused(attach, VolumeId=other, InstanceId=instance, Device="/dev/sdh") == (
        "IncorrectInstanceState",
        f"The instance '{instance}' is not in a state in which volumes are attached or detached.",
    )
    assert volume(face, made)["State"] == "available"  # it outlives the instance


def _zones(face) -> tuple[str, ...]:
    return face.cloud.engine.settings.zones["us-east-1"]


def test_detachments_that_are_refused(face):
    made, instance, other = create(face), running(face), running(face)
    detach = face.ann.detach_volume
    assert refused(detach, VolumeId=made) == (
        "IncorrectState",
        f"Volume '{made}' is in the 'available' state.",
    )
    face.ann.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    face.cloud.settle()
    assert refused(detach, VolumeId=made, InstanceId=other, Device="/dev/sdf") == (
        "InvalidAttachment.NotFound",
        f"The volume {made} is not attached to instance {other} as device /dev/sdf",
    )
    assert refused(detach, VolumeId=made, InstanceId=instance, Device="/dev/sdg") == (
        "InvalidAttachment.NotFound",
        f"The volume {made} is not attached to instance {instance} as device /dev/sdg",
    )
    root = root_of(face, instance)
    assert refused(detach, VolumeId=root) == (
        "OperationNotPermitted",
        f"Unable to detach root volume '{root}' from instance '{instance}'",
    )
    assert refused(face.bob.detach_volume, VolumeId=made)[0] == "InvalidVolume.NotFound"
    assert volume(face, made)["Attachments"][0]["State"] == "attached"
    face.ann.stop_instances(InstanceIds=[instance])
    face.cloud.settle()
    assert detach(VolumeId=root)["Device"] == "/dev/vda"
    face.cloud.settle()
    assert volume(face, root)["State"] == "available"
    face.ann.attach_volume(VolumeId=root, InstanceId=other, Device="/dev/sdg")
    face.cloud.settle()
    assert mapped(face, other)["/dev/sdg"]["VolumeId"] == root


def test_a_guest_that_keeps_its_disk(face):
    made, instance = create(face), running(face)
    face.ann.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    face.cloud.settle()
    face.cloud.host().guest = Guest(lets_go=False)
    face.ann.detach_volume(VolumeId=made)
    face.cloud.quiesce()
    shown = volume(face, made)
    assert (shown["State"], shown["Attachments"][0]["State"]) == ("in-use", "busy")
    assert mapped(face, instance)["/dev/sdf"]["Status"] == "busy"
    assert listed(face, attachment__status="busy") == {made}
    assert face.listed(instance_state_name="running") == [instance]
    assert face.ann.detach_volume(VolumeId=made, Force=True)["State"] == "detaching"
    face.cloud.quiesce()
    assert volume(face, made)["State"] == "available"
    assert face.state(instance) == "stopped"


# Modify -------------------------------------------------------------------------------------------------


def test_growing(face):
    made = create(face)
    modify = face.ann.modify_volume
    change = modify(VolumeId=made, Size=4, VolumeType="gp3", Iops=3000)["VolumeModification"]
    started = change.pop("StartTime")
    assert change == {
        "ModificationState": "modifying",
        "OriginalIops": 3000,
        "OriginalMultiAttachEnabled": False,
        "OriginalSize": 2,
        "OriginalVolumeType": "gp2",
        "Progress": 0,
        "TargetIops": 3000,
        "TargetMultiAttachEnabled": False,
        "TargetSize": 4,
        "TargetThroughput": 125,
        "TargetVolumeType": "gp3",
        "VolumeId": made,
    }
    assert refused(modify, VolumeId=made, Size=5)[0] == "IncorrectModificationState"
    face.cloud.settle()
    (done,) = face.ann.describe_volumes_modifications(VolumeIds=[made])["VolumesModifications"]
    assert (done["ModificationState"], done["Progress"], done["StartTime"]) == ("completed", 100, started)
    assert done["EndTime"] >= started
    shown = volume(face, made)
    assert (shown["Size"], shown["VolumeType"], shown["Iops"]) == (4, "gp3", 3000)
    code, message = refused(modify, VolumeId=made, Size=3)
    assert (code, "New size cannot be smaller than existing size" in message) == (
        "InvalidParameterValue",
        True,
    )
    assert refused(modify, VolumeId=made)[0] == "MissingParameter"
    assert refused(modify, VolumeId=made, MultiAttachEnabled=True)[0] == "UnsupportedOperation"
    assert refused(modify, VolumeId=f"vol-{UNKNOWN}", Size=9)[0] == "InvalidVolume.NotFound"


def test_a_volume_in_use_grows_and_one_not_made_does_not(face):
    made, instance = create(face), running(face)
    face.ann.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    face.cloud.settle()
    face.ann.modify_volume(VolumeId=made, Size=9)
    face.cloud.settle()
    assert (volume(face, made)["Size"], volume(face, made)["State"]) == (9, "in-use")
    fresh = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    assert refused(face.ann.modify_volume, VolumeId=fresh, Size=2)[0] == "IncorrectModificationState"


def test_modifications_are_found_by_filter(face):
    one, two, never = create(face), create(face), create(face)
    face.ann.modify_volume(VolumeId=one, Size=4)
    face.cloud.settle()
    face.ann.modify_volume(VolumeId=two, VolumeType="gp3")

    def found(name, value):
        rows = face.ann.describe_volumes_modifications(Filters=[{"Name": name, "Values": [value]}])
        return {each["VolumeId"] for each in rows["VolumesModifications"]}

    assert found("modification-state", "modifying") == {two}
    assert found("modification-state", "completed") == {one}
    assert found("target-size", "4") == {one}
    assert found("original-volume-type", "gp2") == {one, two}
    assert found("target-volume-type", "gp3") == {two}
    assert found("targetMultiAttachEnabled", "false") == {one, two}
    assert found("volume-id", never) == set()
    assert refused(face.ann.describe_volumes_modifications, VolumeIds=[never]) == (
        "InvalidVolumeModification.NotFound",
        f"Modification for volume '{never}' does not exist.",
    )


# Status and attributes ----------------------------------------------------------------------------------


def test_status(face):
    made = create(face)
    (status,) = face.ann.describe_volume_status(VolumeIds=[made])["VolumeStatuses"]
    assert status["VolumeStatus"] == {
        "Status": "ok",
        "Details": [
            {"Name": "io-enabled", "Status": "passed"},
            {"Name": "io-performance", "Status": "not-applicable"},
        ],
    }
    assert (status["Events"], status["Actions"], status["AvailabilityZone"]) == ([], [], ZONE)
    fresh = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]

    def found(name, value):
        rows = face.ann.describe_volume_status(Filters=[{"Name": name, "Values": [value]}])
        return {each["VolumeId"] for each in rows["VolumeStatuses"]}

    assert found("volume-status.status", "ok") == {made}
    assert found("volume-status.status", "insufficient-data") == {fresh}
    assert found("volume-status.details-name", "io-enabled") == {made, fresh}
    assert found("volume-status.details-status", "passed") == {made}
    assert found("event.event-id", "*") == set()


def test_a_volume_in_error_is_used_again_on_its_owners_word(face):
    made = create(face)
    with face.cloud.store.begin() as tx:
        tx.volumes.update(tx.volumes.get(made), state=VolumeState.ERROR, message="disk trouble on host-1")
    (status,) = face.ann.describe_volume_status(VolumeIds=[made])["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "impaired"
    assert status["VolumeStatus"]["Details"][0] == {"Name": "io-enabled", "Status": "failed"}
    assert "host-1" not in face.transport.last.text
    assert refused(face.bob.enable_volume_io, VolumeId=made)[0] == "InvalidVolume.NotFound"
    face.ann.enable_volume_io(VolumeId=made)
    face.ann.enable_volume_io(VolumeId=made)
    assert volume(face, made)["State"] == "available"


def test_attributes(face):
    made = create(face)
    attribute = face.ann.describe_volume_attribute
    assert attribute(VolumeId=made, Attribute="autoEnableIO")["AutoEnableIO"] == {"Value": True}
    face.ann.modify_volume_attribute(VolumeId=made, AutoEnableIO={"Value": False})
    assert attribute(VolumeId=made, Attribute="autoEnableIO")["AutoEnableIO"] == {"Value": False}
    assert attribute(VolumeId=made, Attribute="productCodes")["ProductCodes"] == []
    assert refused(attribute, VolumeId=made, Attribute="colour")[0] == "InvalidParameterValue"
    assert refused(face.ann.modify_volume_attribute, VolumeId=made)[0] == "MissingParameter"


# Block device mappings ----------------------------------------------------------------------------------


def test_a_launch_maps_volumes(face):
    reply = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        MinCount=2,
        MaxCount=2,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 12, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "Encrypted": True}},
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdc", "NoDevice": ""},
        ],
        TagSpecifications=[
            {"ResourceType": "volume", "Tags": [{"Key": "v", "Value": "1"}]},
            {"ResourceType": "instance", "Tags": [{"Key": "i", "Value": "2"}]},
        ],
    )
    ids: set[str] = set()
    for each in reply["Instances"]:
        shown = {one["DeviceName"]: one["Ebs"] for one in each["BlockDeviceMappings"]}
        assert list(shown) == ["/dev/vda", "/dev/sdf"]
        assert {one["Status"] for one in shown.values()} == {"attaching"}
        ids |= {one["VolumeId"] for one in shown.values()}
        root, data = (volume(face, one["VolumeId"]) for one in shown.values())
        assert (root["Size"], root["Attachments"][0]["DeleteOnTermination"]) == (12, False)
        assert (data["Size"], data["VolumeType"], data["Encrypted"]) == (3, "gp3", True)
        assert root["Tags"] == data["Tags"] == [{"Key": "v", "Value": "1"}]
        assert each["Tags"] == [{"Key": "i", "Value": "2"}]
    assert len(ids) == 4
    face.cloud.settle()
    one = reply["Instances"][0]["InstanceId"]
    assert {each["Status"] for each in mapped(face, one).values()} == {"attached"}
    root = root_of(face, one)
    for name, value in (
        ("volume-id", root),
        ("device-name", "/dev/sdf"),
        ("status", "attached"),
        ("delete-on-termination", "false"),
        ("attach-time", "20*"),
    ):
        found = face.ann.describe_instances(
            Filters=[
                {"Name": f"block-device-mapping.{name}", "Values": [value]},
                {"Name": "instance-id", "Values": [one]},
            ]
        )
        assert found["Reservations"], name
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    assert face.describe(one)["BlockDeviceMappings"] == []
    assert volume(face, root)["State"] == "available"
    assert face.ann.describe_volumes()["Volumes"][0]["VolumeId"]
    assert len(listed(face)) == 3


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"DeviceName": "/dev/sdf"}, "InvalidBlockDeviceMapping"),
        ({"Ebs": {"VolumeSize": 1}}, "MissingParameter"),
        ({"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 0}}, "InvalidParameterValue"),
        ({"DeviceName": "/dev/sdf", "VirtualName": "floppy"}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}, "NoDevice": ""}, "InvalidBlockDeviceMapping"),
        ({"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": f"snap-{UNKNOWN}"}}, "InvalidSnapshot.NotFound"),
        ({"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "x"}}, "InvalidParameterValue"),
        ({"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "Iops": 200}}, "InvalidParameterDependency"),
        ({"DeviceName": "nonsense", "Ebs": {"VolumeSize": 1}}, "InvalidParameterValue"),
    ],
)
def test_mappings_that_are_refused(face, mapping, code):
    wanted = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": [mapping]}
    assert refused(face.ann.run_instances, **wanted)[0] == code
    assert face.ann.describe_volumes()["Volumes"] == []


def test_what_ends_with_the_instance_is_changed_later(face):
    made, instance = create(face), running(face)
    face.ann.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdf")
    face.cloud.settle()
    modify = face.ann.modify_instance_attribute
    modify(
        InstanceId=instance,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True, "VolumeId": made}},
        ],
    )
    told = face.ann.describe_instance_attribute(InstanceId=instance, Attribute="blockDeviceMapping")
    fates = {each["DeviceName"]: each["Ebs"]["DeleteOnTermination"] for each in told["BlockDeviceMappings"]}
    assert fates == {"/dev/vda": False, "/dev/sdf": True}
    assert {name: each["DeleteOnTermination"] for name, each in mapped(face, instance).items()} == fates
    for item, code in (
        ({"DeviceName": "/dev/sdz", "Ebs": {"DeleteOnTermination": True}}, "InvalidInstanceAttributeValue"),
        ({"DeviceName": "/dev/sdf", "Ebs": {}}, "MissingParameter"),
        ({"Ebs": {"DeleteOnTermination": True}}, "MissingParameter"),
        ({"DeviceName": "/dev/sdf", "NoDevice": ""}, "UnsupportedOperation"),
        (
            {"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True, "VolumeId": f"vol-{UNKNOWN}"}},
            "InvalidInstanceAttributeValue",
        ),
    ):
        assert refused(modify, InstanceId=instance, BlockDeviceMappings=[item])[0] == code, item
    root = root_of(face, instance)
    face.ann.terminate_instances(InstanceIds=[instance])
    face.cloud.settle()
    assert listed(face) == {root}


# moto as an oracle for shape ----------------------------------------------------------------------------

EXPLAINED = {
    "copy.Tags[]": "absent when there are none",
    "modify.VolumeModification.EndTime": "a modification takes its time; moto's is over at once",
}


def conversation(client: Any, image: str, settle: Any) -> dict[str, Any]:
    """The same calls to either cloud."""
    said: dict[str, Any] = {}
    disks = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}}]
    run = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, BlockDeviceMappings=disks)
    instance = run["Instances"][0]["InstanceId"]
    settle()
    said["devices"] = client.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0][
        "BlockDeviceMappings"
    ]
    tags = [{"Key": "a", "Value": "b"}]
    said["create"] = client.create_volume(
        AvailabilityZone=ZONE,
        Size=2,
        VolumeType="gp3",
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    made = said["create"]["VolumeId"]
    settle()
    said["available"] = client.describe_volumes(VolumeIds=[made])
    said["attach"] = client.attach_volume(VolumeId=made, InstanceId=instance, Device="/dev/sdg")
    settle()
    said["in use"] = client.describe_volumes(VolumeIds=[made])
    said["modify"] = client.modify_volume(VolumeId=made, Size=4)
    settle()
    said["modified"] = client.describe_volumes_modifications(VolumeIds=[made])
    said["detach"] = client.detach_volume(VolumeId=made, InstanceId=instance)
    settle()
    said["snapshot"] = client.create_snapshot(
        VolumeId=made,
        Description="d",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    snapshot = said["snapshot"]["SnapshotId"]
    settle()
    said["completed"] = client.describe_snapshots(SnapshotIds=[snapshot])
    said["snapshots"] = client.create_snapshots(InstanceSpecification={"InstanceId": instance})
    settle()
    said["of it"] = client.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot)
    settle()
    client.modify_snapshot_attribute(
        SnapshotId=snapshot,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=["123412341234"],
    )
    said["shared"] = client.describe_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission"
    )
    said["copy"] = client.copy_snapshot(
        SourceRegion="us-east-1", SourceSnapshotId=snapshot, Description="copied"
    )
    said["delete snapshot"] = client.delete_snapshot(SnapshotId=said["copy"]["SnapshotId"])
    said["tags"] = client.describe_tags(Filters=[{"Name": "resource-id", "Values": [made, snapshot]}])
    said["default"] = client.get_ebs_encryption_by_default()
    said["delete"] = client.delete_volume(VolumeId=made)
    return said


def members(value: Any, path: str = "") -> set[str]:
    """Paths of everything a reply holds."""
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if name != "ResponseMetadata"}
        return {found for name, inner in kept.items() for found in members(inner, f"{path}.{name}")}
    if isinstance(value, list):
        return {f"{path}[]"} | {found for inner in value for found in members(inner, f"{path}[]")}
    return {path}


def test_what_moto_says_of_volumes_and_we_do_not_is_explained(face):
    with mock_aws():
        client = boto3.client(
            "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        image = client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        theirs = conversation(client, image, lambda: None)
    ours = conversation(face.ann, face.cloud.image.id, face.cloud.settle)
    lacking = {
        f"{name}{path}" for name, reply in theirs.items() for path in members(reply) - members(ours[name])
    }
    assert lacking == set(EXPLAINED)
    for name, key in (("available", "Volumes"), ("in use", "Volumes"), ("completed", "Snapshots")):
        mine, other = (each[name][key][0] for each in (ours, theirs))
        for member in ("State", "Size", "VolumeType", "Encrypted", "VolumeSize", "Description", "Progress"):
            assert mine.get(member) == other.get(member), (name, member)
