"""Images, their disks and tasks as EC2's documents, and block device mappings as they come."""

from __future__ import annotations

import pytest

from backend.model import (
    BlockDevice,
    Image,
    ImageState,
    JobState,
    Publication,
    Snapshot,
    Task,
    TaskKind,
)
from ec2 import image_mapping
from ec2.actions.block_devices import block_devices
from ec2.actions.images import FILTERS, Listed
from ec2.errors import Ec2Error


def an_image(**changes) -> Image:
    known = {
        "id": "ami-0123456789abcdef0",
        "tenant_id": "t-1",
        "account_id": "111122223333",
        "name": "image",
        "state": ImageState.READY,
        "format": "qcow2",
        "checksum": "c",
        "size_bytes": 1,
        "virtual_bytes": (2 << 30) + 1,
        "created_at": 1.5e9,
    }
    return Image(**(known | changes))


def a_task(**changes) -> Task:
    known = {
        "id": "import-snap-0123456789abcdef0",
        "kind": TaskKind.SNAPSHOT_IMPORT,
        "resource_id": "snap-0123456789abcdef0",
        "tenant_id": "t-1",
        "actor": "ec2:ann",
        "created_at": 1.5e9,
        "arguments": {"location": "upload:t-1/disk", "form": "vpc"},
    }
    return Task(**(known | changes))


def a_snapshot(state) -> Snapshot:
    return Snapshot(
        id="snap-0123456789abcdef0",
        tenant_id="t-1",
        account_id="111122223333",
        region="us-east-1",
        volume_id="vol-ffffffff",
        size_gib=3,
        state=state,
        started_at=1.5e9,
    )


def test_every_state_of_an_image_has_a_word():
    words = {state: image_mapping.image_state(an_image(state=state)) for state in ImageState}
    assert words == {
        ImageState.LOCKED: "pending",
        ImageState.READY: "available",
        ImageState.DISABLED: "disabled",
        ImageState.ERROR: "failed",
        ImageState.GONE: "deregistered",
    }
    for publication in Publication:
        word = image_mapping.image_state(an_image(publication=publication))
        hidden = {Publication.REJECTED, Publication.REVOKED}
        assert word == ("disabled" if publication in hidden else "available")


def test_why_an_image_is_as_it_is():
    assert image_mapping.state_reason(an_image(message="/var/lib/x")) is None
    failed = image_mapping.state_reason(an_image(state=ImageState.ERROR, message="/var/lib/x is full"))
    assert failed is not None
    assert "/var" not in failed["Message"]
    revoked = image_mapping.state_reason(an_image(publication=Publication.REVOKED, message="CVE-1"))
    assert revoked == {"Code": "Client.UserInitiated", "Message": "The image was revoked: CVE-1"}
    plain = image_mapping.state_reason(an_image(publication=Publication.REJECTED))
    assert plain is not None
    assert plain["Message"] == "The image was rejected"


def test_the_root_comes_first_and_is_as_large_as_the_image():
    (root,) = image_mapping.block_devices(an_image())
    assert (root["DeviceName"], root["Ebs"]["VolumeSize"], root["Ebs"]["SnapshotId"]) == ("/dev/vda", 3, None)
    data = BlockDevice(device="/dev/sdf", size_gib=7, delete_on_termination=False, type="io1", iops=200)
    named = BlockDevice(device="/dev/xvda", size_gib=9)
    root, other = image_mapping.block_devices(an_image(mappings=(data, named), snapshot_id="snap-1"))
    assert (root["DeviceName"], root["Ebs"]["VolumeSize"], root["Ebs"]["SnapshotId"]) == (
        "/dev/xvda",
        9,
        "snap-1",
    )
    assert (other["Ebs"]["Iops"], other["Ebs"]["DeleteOnTermination"]) == (200, False)
    (unknown,) = image_mapping.block_devices(an_image(virtual_bytes=0, state=ImageState.LOCKED))
    assert unknown["Ebs"]["VolumeSize"] is None  # nobody knows yet


def test_what_is_the_owners_business_is_told_nobody_else():
    image = an_image(
        location="/srv/images/a", source_instance_id="i-1", source_image_id="ami-1", description="\x00"
    )
    own = image_mapping.image_document(image, {}, own=True, region="r")
    other = image_mapping.image_document(image, {}, own=False, region="r")
    assert (own["ImageLocation"], own["SourceInstanceId"], own["SourceImageId"]) == (
        "/srv/images/a",
        "i-1",
        "ami-1",
    )
    assert (other["ImageLocation"], other["SourceInstanceId"], other["SourceImageId"]) == (
        "111122223333/image",
        None,
        None,
    )
    assert (own["SourceImageRegion"], other["SourceImageRegion"]) == ("r", None)
    assert own["Description"] == "\ufffd"
    uploaded = an_image(location="upload:t-1/disk")
    assert image_mapping.image_location(uploaded, own=True) == "upload:disk"
    assert image_mapping.shown_location("upload:t-2/disk", "t-1") == "upload:t-2/disk"


@pytest.mark.parametrize(
    ("state", "finished", "word", "message"),
    [
        (JobState.QUEUED, None, "active", "pending"),
        (JobState.RUNNING, None, "active", "converting"),
        (JobState.WAITING, None, "active", "converting"),
        (JobState.DONE, 1.0, "completed", None),
        (JobState.FAILED, 1.0, "deleted", "ClientError: why"),
    ],
)
def test_how_far_an_import_is(state, finished, word, message):
    task = a_task(state=state, finished_at=finished, message="why", progress=42)
    detail = image_mapping.import_snapshot_document(task, None, {})["SnapshotTaskDetail"]
    assert (detail["Status"], detail["StatusMessage"]) == (word, message)
    assert detail["Progress"] == ("42" if word == "active" else None)
    assert (detail["Url"], detail["Format"]) == ("upload:disk", "VHD")
    image = image_mapping.import_image_document(task, None, None, {})
    assert (image["Status"], image["StatusMessage"], image["Progress"]) == (word, message, detail["Progress"])


def test_an_import_of_a_snapshot_that_failed_is_in_error_and_a_cancelled_one_deleted():
    for result, word in (({"outcome": "error"}, "error"), ({}, "deleted")):
        task = a_task(state=JobState.FAILED, finished_at=1.0, result=result)
        detail = image_mapping.import_snapshot_document(task, None, {})["SnapshotTaskDetail"]
        assert (detail["Status"], detail["DiskImageSize"]) == (word, None)


def test_filters_look_at_every_disk():
    data = BlockDevice(device="/dev/sdf", size_gib=7, snapshot_id="snap-2", encrypted=True)
    scratch = BlockDevice(device="/dev/sdb", virtual_name="ephemeral0")
    row = Listed(image=an_image(mappings=(data, scratch)), tags={}, own=True)

    def matches(name, value):
        return FILTERS.compile([{"Name": f"block-device-mapping.{name}", "Values": [value]}])(row)

    assert matches("volume-size", "3")
    assert matches("volume-size", "7")
    assert not matches("volume-size", "8")
    assert matches("device-name", "/dev/sdb")
    assert matches("snapshot-id", "snap-2")
    assert matches("encrypted", "true")
    assert matches("encrypted", "false")


def test_a_mapping_as_it_comes():
    given = [
        {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdc", "NoDevice": ""},
        {"DeviceName": "/dev/sdd", "Ebs": {"VolumeType": "io1", "Iops": 200, "VolumeSize": 4}},
    ]
    assert block_devices(given) == (
        BlockDevice(device="/dev/sda1", size_gib=8, delete_on_termination=False),
        BlockDevice(device="/dev/sdb", virtual_name="ephemeral0"),
        BlockDevice(device="/dev/sdc", no_device=True),
        BlockDevice(device="/dev/sdd", size_gib=4, type="io1", iops=200),
    )
    with pytest.raises(Ec2Error) as refused:
        block_devices([{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": -1}}])
    assert refused.value.code == "InvalidParameterValue"
