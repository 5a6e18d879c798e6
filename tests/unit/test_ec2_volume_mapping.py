"""Volumes and snapshots in EC2's words. Pure functions only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ec2_instances import AT, a_snapshot, a_volume, an_instance

from backend.model import AttachState, Desired, Modification, SnapshotState, VolumeState
from ec2 import instance_mapping, mapping, volume_mapping
from ec2.actions.block_devices import block_devices
from ec2.errors import Ec2Error

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "size", "asked", "expected"),
    [
        ("standard", 8, 0, None),
        ("gp2", 8, 0, 3000),
        ("gp2", 2000, 0, 6000),
        ("gp2", 16000, 0, 16000),
        ("gp3", 8, 0, 3000),
        ("gp3", 8, 5000, 5000),
        ("io1", 8, 300, 300),
        ("io2", 8, 400, 400),
        ("st1", 500, 0, None),
        ("sc1", 500, 0, None),
    ],
)
def test_operations_a_second(kind, size, asked, expected):
    assert volume_mapping.iops(kind, size, asked) == expected
    document = volume_mapping.volume_document(a_volume(type=kind, size_gib=size, iops=asked), {})
    assert document["Iops"] == expected


@pytest.mark.parametrize(
    ("kind", "asked", "expected"), [("gp2", 0, None), ("gp3", 0, 125), ("gp3", 300, 300), ("io1", 0, None)]
)
def test_throughput(kind, asked, expected):
    assert volume_mapping.throughput(kind, 8, asked) == expected


@pytest.mark.parametrize("state", [each for each in AttachState if each is not AttachState.NONE])
def test_attachments_have_the_same_words_on_either_side(state):
    volume = a_volume(attach=state)
    (attachment,) = volume_mapping.volume_document(volume, {})["Attachments"]
    (mapped,) = mapping.block_devices([volume])
    assert attachment["State"] == mapped["Ebs"]["Status"] == state.value
    assert attachment["AttachTime"] == mapped["Ebs"]["AttachTime"] == WHEN
    assert attachment["Device"] == mapped["DeviceName"] == "/dev/vda"


def test_a_volume_without_attachment():
    free = a_volume(state=VolumeState.AVAILABLE, instance_id=None, attach=AttachState.NONE)
    document = volume_mapping.volume_document(free, {})
    assert (document["Attachments"], document["SnapshotId"], document["Tags"]) == ([], "", None)
    assert document["MultiAttachEnabled"] is False
    # The next instance of an id that it once had does not have it.
    assert mapping.attached(an_instance(), [free]) == []


def test_an_instance_has_its_volumes_until_it_is_terminated():
    volume = a_volume()
    for detail, desired, count in (
        ("pend", Desired.RUN, 1),
        ("runn", Desired.RUN, 1),
        ("poff", Desired.OFF, 1),
        ("epil", Desired.GONE, 1),
        ("done", Desired.GONE, 0),
    ):
        instance = an_instance(detail=detail, desired=desired)
        document = instance_mapping.instance_document(instance, {}, [volume])
        assert len(document["BlockDeviceMappings"]) == count, detail


@pytest.mark.parametrize("state", list(VolumeState))
def test_every_state_has_a_check(state):
    document = volume_mapping.status_document(a_volume(state=state))
    word, detail = document["VolumeStatus"]["Status"], document["VolumeStatus"]["Details"][0]["Status"]
    assert (word, detail) == {
        "available": ("ok", "passed"),
        "in-use": ("ok", "passed"),
        "error": ("impaired", "failed"),
    }.get(state.value, ("insufficient-data", "insufficient-data"))


def test_a_modification_that_failed():
    change = Modification(
        state="failed",
        started_at=AT,
        old_size_gib=1,
        size_gib=2,
        old_type="st1",
        type="gp3",
        ended_at=AT,
        message="qemu+ssh://host-1/ is full",
    )
    document = volume_mapping.modification_document(a_volume(), change)
    assert document["StatusMessage"] == "The modification could not be completed."
    assert (document["OriginalIops"], document["TargetIops"], document["TargetThroughput"]) == (
        None,
        3000,
        125,
    )
    assert (document["Progress"], document["EndTime"]) == (0, WHEN)


def test_snapshots():
    document = volume_mapping.snapshot_document(a_snapshot(description="a\x01b"), {"k": "v"})
    assert (document["Progress"], document["State"], document["StateMessage"]) == ("100%", "completed", None)
    assert document["Description"] == "a\ufffdb"
    assert document["Tags"] == [{"Key": "k", "Value": "v"}]
    pending = a_snapshot(state=SnapshotState.PENDING, progress=40, completed_at=None)
    assert volume_mapping.snapshot_document(pending, {})["Progress"] == "40%"
    assert volume_mapping.snapshot_document(pending, {})["CompletionTime"] is None
    assert volume_mapping.snapshot_document(pending, {})["Tags"] is None
    assert volume_mapping.snapshot_info(pending, {})["Tags"] == []


def test_block_device_mappings_are_read():
    root, data, scratch, gone = block_devices(
        [
            {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 9, "DeleteOnTermination": False}},
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {
                    "SnapshotId": "snap-0123456789abcdef0",
                    "VolumeType": "gp3",
                    "Iops": 4000,
                    "Throughput": 200,
                    "Encrypted": True,
                },
            },
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdc", "NoDevice": ""},
        ]
    )
    assert (root.size_gib, root.delete_on_termination, root.encrypted) == (9, False, None)
    assert (data.snapshot_id, data.type, data.iops, data.throughput) == (
        "snap-0123456789abcdef0",
        "gp3",
        4000,
        200,
    )
    assert (data.size_gib, data.encrypted, data.delete_on_termination) == (None, True, None)
    assert (scratch.virtual_name, gone.no_device) == ("ephemeral0", True)


def test_a_mapping_of_several_things_is_refused():
    with pytest.raises(Ec2Error, match="InvalidBlockDeviceMapping"):
        block_devices([{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0", "NoDevice": ""}])
