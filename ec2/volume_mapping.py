"""Volumes and snapshots, and what becomes of them, as EC2's reply documents. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from backend.model import AttachState, Modification, Snapshot, SnapshotState, Volume, VolumeState
from backend.volume_types import DEFAULT_TYPE, VOLUME_TYPES
from ec2.mapping import Document, attach_time, moment, tag_list, writable, zone_id_of

# Volumes ------------------------------------------------------------------------------------------------

_IOPS_ARE_TOLD = frozenset({"gp2", "gp3", "io1", "io2"})
_THROUGHPUT_IS_TOLD = frozenset({"gp3"})


def iops(kind: str, size_gib: int, asked: int) -> int | None:
    """The I/O operations a second that a volume may do; None for types of which EC2 tells none."""
    return _limits(kind, size_gib, asked, 0)[0] if kind in _IOPS_ARE_TOLD else None


def throughput(kind: str, size_gib: int, asked: int) -> int | None:
    """The MiB a second that a volume may move; None for types of which EC2 tells none."""
    return _limits(kind, size_gib, 0, asked)[1] if kind in _THROUGHPUT_IS_TOLD else None


def _limits(kind: str, size_gib: int, asked_iops: int, asked_throughput: int) -> tuple[int, int]:
    return VOLUME_TYPES.get(kind, VOLUME_TYPES[DEFAULT_TYPE]).limits(size_gib, asked_iops, asked_throughput)


def is_attached(volume: Volume) -> bool:
    """Whether a volume has an attachment to be shown, in whatever state."""
    return volume.instance_id is not None and volume.attach is not AttachState.NONE


def attachment(volume: Volume) -> Document:
    """``VolumeAttachment``, in whatever state."""
    return {
        "VolumeId": volume.id,
        "InstanceId": volume.instance_id,
        "Device": writable(volume.device),
        "State": volume.attach.value,
        "AttachTime": attach_time(volume),
        "DeleteOnTermination": volume.delete_on_termination,
    }


def volume_document(volume: Volume, tags: Mapping[str, str]) -> Document:
    """``Volume`` of CreateVolume and DescribeVolumes."""
    return {
        "VolumeId": volume.id,
        "Size": volume.size_gib,
        "SnapshotId": volume.snapshot_id,
        "AvailabilityZone": volume.zone,
        "AvailabilityZoneId": zone_id_of(volume.region, volume.zone),
        "State": volume.state.value,
        "CreateTime": moment(volume.created_at),
        "Attachments": [attachment(volume)] if is_attached(volume) else [],
        "Encrypted": volume.encrypted,
        "VolumeType": volume.type,
        "Iops": iops(volume.type, volume.size_gib, volume.iops),
        "Throughput": throughput(volume.type, volume.size_gib, volume.throughput),
        "MultiAttachEnabled": False,  # always told: clients read it without asking
        "Operator": {"Managed": False},
        "Tags": tag_list(tags),
    }


def modification_document(volume: Volume, change: Modification) -> Document:
    """``VolumeModification``: what was, what is to be, and how far it is."""
    return {
        "VolumeId": volume.id,
        "ModificationState": change.state,
        "StatusMessage": "The modification could not be completed." if change.state == "failed" else None,
        "TargetSize": change.size_gib,
        "TargetVolumeType": change.type,
        "TargetIops": iops(change.type, change.size_gib, change.iops),
        "TargetThroughput": throughput(change.type, change.size_gib, change.throughput),
        "TargetMultiAttachEnabled": False,
        "OriginalSize": change.old_size_gib,
        "OriginalVolumeType": change.old_type,
        "OriginalIops": iops(change.old_type, change.old_size_gib, change.old_iops),
        "OriginalThroughput": throughput(change.old_type, change.old_size_gib, change.old_throughput),
        "OriginalMultiAttachEnabled": False,
        "Progress": 100 if change.state == "completed" else 0,
        "StartTime": moment(change.started_at),
        "EndTime": None if change.ended_at is None else moment(change.ended_at),
    }


# Volume status ------------------------------------------------------------------------------------------

_CHECKS: Mapping[VolumeState, tuple[str, str]] = {
    VolumeState.CREATING: ("insufficient-data", "insufficient-data"),
    VolumeState.AVAILABLE: ("ok", "passed"),
    VolumeState.IN_USE: ("ok", "passed"),
    VolumeState.DELETING: ("insufficient-data", "insufficient-data"),
    VolumeState.ERROR: ("impaired", "failed"),
}
"""The words of a volume's check and of its detail ``io-enabled``."""


def volume_check(volume: Volume) -> str:
    """The word of a volume's status check."""
    return _CHECKS[volume.state][0]


def check_details(volume: Volume) -> list[tuple[str, str]]:
    """Names and words of what a volume's check consists of; nobody measures how fast a volume is."""
    return [("io-enabled", _CHECKS[volume.state][1]), ("io-performance", "not-applicable")]


def status_document(volume: Volume) -> Document:
    """``VolumeStatusItem`` of DescribeVolumeStatus; nothing is ever announced, so there are no events."""
    return {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.zone,
        "AvailabilityZoneId": zone_id_of(volume.region, volume.zone),
        "VolumeStatus": {
            "Status": volume_check(volume),
            "Details": [{"Name": name, "Status": word} for name, word in check_details(volume)],
        },
        "Actions": [],
        "Events": [],
        "AttachmentStatuses": [],
        "Operator": {"Managed": False},
    }


# Snapshots ----------------------------------------------------------------------------------------------

STORAGE_TIER = "standard"


def progress(snapshot: Snapshot) -> str:
    """How far a snapshot is, as EC2 writes it."""
    return f"{snapshot.progress}%"


def _snapshot(snapshot: Snapshot) -> Document:
    """What ``Snapshot`` and ``SnapshotInfo`` have in common."""
    return {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "VolumeSize": snapshot.size_gib,
        "State": snapshot.state.value,
        "Progress": progress(snapshot),
        "StartTime": moment(snapshot.started_at),
        "Description": writable(snapshot.description),
        "OwnerId": snapshot.account_id,
        "Encrypted": snapshot.encrypted,
    }


def snapshot_document(snapshot: Snapshot, tags: Mapping[str, str]) -> Document:
    """``Snapshot`` of CreateSnapshot and DescribeSnapshots.

    What a host said of one that failed is for operators; it names files and machines.
    """
    failed = snapshot.state is SnapshotState.ERROR
    ended = snapshot.completed_at
    return _snapshot(snapshot) | {
        "StateMessage": "The snapshot could not be completed." if failed else None,
        "CompletionTime": None if ended is None else moment(ended),
        "StorageTier": STORAGE_TIER,
        "Tags": tag_list(tags),
    }


def snapshot_info(snapshot: Snapshot, tags: Mapping[str, str]) -> Document:
    """``SnapshotInfo`` of CreateSnapshots, which tells of tags even when there are none."""
    return _snapshot(snapshot) | {"Tags": tag_list(tags) or []}
