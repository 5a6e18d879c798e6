"""Images and the work of bringing them in and out, as EC2's reply documents. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.engine.disks import gib, is_root_device
from backend.model import BlockDevice, Image, ImageState, JobState, Publication, Snapshot, Task
from backend.volume_types import DEFAULT_TYPE
from ec2.mapping import (
    BOOT_MODE,
    HYPERVISOR,
    PLATFORM,
    ROOT_DEVICE_NAME,
    ROOT_DEVICE_TYPE,
    USAGE_OPERATION,
    Document,
    iso,
    tag_list,
    writable,
)

# Images -------------------------------------------------------------------------------------------------

_STATES: Mapping[ImageState, str] = {
    ImageState.LOCKED: "pending",
    ImageState.READY: "available",
    ImageState.DISABLED: "disabled",
    ImageState.ERROR: "failed",
    ImageState.GONE: "deregistered",
}
_NOT_TO_BE_USED = frozenset({Publication.REJECTED, Publication.REVOKED})

UPLOAD = "upload:"
"""How the location of an upload begins."""


def image_state(image: Image) -> str:
    """EC2's word for an image's state; what may not be launched any more is disabled (lifecycle §9.2)."""
    return "disabled" if image.publication in _NOT_TO_BE_USED else _STATES[image.state]


def state_reason(image: Image) -> Document | None:
    """Why an image is in its state: of one that failed, and of one that was rejected or revoked.

    What a host said is for operators; it names files and machines.
    """
    if image.state is ImageState.ERROR:
        words = "Server.InternalError: The image could not be completed"
        return {"Code": "Server.InternalError", "Message": words}
    if image.publication in _NOT_TO_BE_USED:
        why = f": {writable(image.message)}" if image.message else ""
        return {
            "Code": "Client.UserInitiated",
            "Message": f"The image was {image.publication.value}{why}",
        }
    return None


def image_location(image: Image, *, own: bool) -> str:
    """Where an image came from, for its owner; to others (a path says much of a server) owner and name."""
    shown = shown_location(image.location, image.tenant_id) if own else ""
    return shown or f"{image.account_id}/{image.name}"


def shown_location(location: str, tenant_id: str) -> str:
    """A location as its owner gave it: an upload's has the tenant before its name in the image store."""
    own = f"{UPLOAD}{tenant_id}/"
    return f"{UPLOAD}{location.removeprefix(own)}" if location.startswith(own) else location


def root_device_name(image: Image) -> str:
    """What the image's author calls the root disk; every instance's is the same disk anyway."""
    named = (each.device for each in image.mappings if is_root_device(each.device))
    return next(named, ROOT_DEVICE_NAME)


def block_devices(image: Image) -> list[Document]:
    """``BlockDeviceMappings`` of an image: the root first, then what it maps besides."""
    name = root_device_name(image)
    root = next((each for each in image.mappings if is_root_device(each.device)), BlockDevice(device=name))
    devices = [_root_device(image, root)]
    devices += [_device(each) for each in image.mappings if not is_root_device(each.device)]
    return devices


def _root_device(image: Image, root: BlockDevice) -> Document:
    size = gib(image.virtual_bytes) if root.size_gib is None else root.size_gib
    encrypted = image.encrypted or bool(root.encrypted)
    return {
        "DeviceName": root.device,
        "Ebs": _ebs(root, image.snapshot_id, size if image.virtual_bytes else None, encrypted=encrypted),
    }


def _device(each: BlockDevice) -> Document:
    if each.virtual_name:
        return {"DeviceName": writable(each.device), "VirtualName": each.virtual_name}
    ebs = _ebs(each, each.snapshot_id, each.size_gib, encrypted=bool(each.encrypted))
    return {"DeviceName": writable(each.device), "Ebs": ebs}


def _ebs(each: BlockDevice, snapshot_id: str, size: int | None, *, encrypted: bool) -> Document:
    ends = each.delete_on_termination
    return {
        "DeleteOnTermination": True if ends is None else ends,
        "Encrypted": encrypted,
        "Iops": each.iops or None,
        "SnapshotId": snapshot_id or None,
        "Throughput": each.throughput or None,
        "VolumeSize": size,
        "VolumeType": each.type or DEFAULT_TYPE,
    }


def source_region(image: Image, region: str, *, own: bool) -> str | None:
    """Where the image is that this one was made of, for its owner: where it is looked at itself."""
    return region if own and image.source_image_id else None


def image_document(image: Image, tags: Mapping[str, str], *, own: bool, region: str) -> Document:
    """``Image`` of DescribeImages in a region; its owner also sees what it was made of, and its tags."""
    return {
        "ImageId": image.id,
        "ImageLocation": writable(image_location(image, own=own)),
        "ImageType": "machine",
        "Name": writable(image.name),
        "Description": writable(image.description) or None,
        "State": image_state(image),
        "StateReason": state_reason(image),
        "OwnerId": image.account_id,
        "Public": image.public,
        "CreationDate": iso(image.created_at),
        "DeprecationTime": None if image.deprecated_at is None else iso(image.deprecated_at),
        "DeregistrationProtection": "disabled",
        "Architecture": image.architecture,
        "BlockDeviceMappings": block_devices(image),
        "BootMode": BOOT_MODE,
        "EnaSupport": False,
        "FreeTierEligible": False,
        "Hypervisor": HYPERVISOR,
        "PlatformDetails": PLATFORM,
        "ProductCodes": None,
        "RootDeviceName": root_device_name(image),
        "RootDeviceType": ROOT_DEVICE_TYPE,
        "SourceImageId": (image.source_image_id if own else "") or None,
        "SourceImageRegion": source_region(image, region, own=own),
        "SourceInstanceId": (image.source_instance_id if own else "") or None,
        "UsageOperation": USAGE_OPERATION,
        "VirtualizationType": "hvm",
        "Tags": tag_list(tags),
    }


# Import and export --------------------------------------------------------------------------------------

_TASK_STATES: Mapping[JobState, str] = {JobState.DONE: "completed"}
FORMATS: Mapping[str, str] = {
    "raw": "RAW",
    "qcow2": "QCOW2",
    "vmdk": "VMDK",
    "vdi": "VDI",
    "vhdx": "VHDX",
    "vpc": "VHD",
}
"""Disk formats: qemu-img's words and EC2's."""


def task_state(task: Task) -> str:
    """EC2's word for how far import or export is: one that failed or was cancelled is deleted."""
    if task.finished_at is None:
        return "active"
    return _TASK_STATES.get(task.state, "deleted")


def _task_message(task: Task) -> str | None:
    state = task_state(task)
    if state == "active":
        return "pending" if task.state is JobState.QUEUED else "converting"
    return f"ClientError: {writable(task.message)}" if state == "deleted" else None


def _progress(task: Task) -> str | None:
    return str(task.progress) if task_state(task) == "active" else None


def _disk(task: Task, snapshot: Snapshot | None) -> Document:
    """What both ``SnapshotDetail`` and ``SnapshotTaskDetail`` tell; the size is in GiB."""
    location = shown_location(task.arguments.get("location", ""), task.tenant_id)
    return {
        "Description": writable(task.arguments.get("description", "")) or None,
        "DiskImageSize": float(snapshot.size_gib) if snapshot is not None and snapshot.size_gib else None,
        "Format": FORMATS.get(task.arguments.get("form", "")),
        "Progress": _progress(task),
        "SnapshotId": snapshot.id if snapshot is not None else None,
        "Status": task_state(task),
        "StatusMessage": _task_message(task),
        "Url": writable(location),
    }


def import_image_document(
    task: Task, image: Image | None, snapshot: Snapshot | None, tags: Mapping[str, str]
) -> Document:
    """``ImportImageTask``; image and snapshot while they are there, from the beginning."""
    disk = _disk(task, snapshot)
    return {
        "ImportTaskId": task.id,
        "Architecture": image.architecture if image is not None else None,
        "Description": disk.pop("Description"),
        "Encrypted": False,
        "Hypervisor": HYPERVISOR,
        "ImageId": image.id if image is not None else None,
        "Platform": "Linux",
        "Progress": disk["Progress"],
        "SnapshotDetails": [disk | {"DeviceName": ROOT_DEVICE_NAME}],
        "Status": disk["Status"],
        "StatusMessage": disk["StatusMessage"],
        "Tags": tag_list(tags),
        "UsageOperation": USAGE_OPERATION,
    }


def import_snapshot_document(task: Task, snapshot: Snapshot | None, tags: Mapping[str, str]) -> Document:
    """``ImportSnapshotTask``; a failed one is in error, for which clients wait, a cancelled one deleted."""
    disk = _disk(task, snapshot)
    disk["Status"] = task.result.get("outcome", disk["Status"])
    return {
        "ImportTaskId": task.id,
        "Description": disk["Description"],
        "SnapshotTaskDetail": disk | {"Encrypted": False},
        "Tags": tag_list(tags),
    }


def export_image_document(task: Task, place: Sequence[str], tags: Mapping[str, str]) -> Document:
    """``ExportImageTask``; ``place`` is the bucket and the prefix of the file's name in it."""
    found: dict[str, Any] = {
        "ExportImageTaskId": task.id,
        "Description": writable(task.arguments.get("description", "")) or None,
        "ImageId": task.resource_id,
        "Progress": _progress(task),
        "S3ExportLocation": {"S3Bucket": place[0], "S3Prefix": place[1] or None},
        "Status": task_state(task),
        "StatusMessage": _task_message(task),
        "Tags": tag_list(tags),
    }
    return found
