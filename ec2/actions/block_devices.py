"""``BlockDeviceMappings`` of a request: what images, launches and volumes of them are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backend.model import BlockDevice
from ec2.actions.common import missing, refuse_all
from ec2.errors import Ec2Error
from ec2.ids import IdKind, require_well_formed

_EPHEMERAL = re.compile(r"ephemeral[0-9]{1,2}")
_NOT_OFFERED = (
    "AvailabilityZone",
    "AvailabilityZoneId",
    "EbsCardIndex",
    "KmsKeyId",
    "OutpostArn",
    "VolumeInitializationRate",
)


def block_devices(items: Sequence[Mapping[str, Any]]) -> tuple[BlockDevice, ...]:
    """The entries of a request, in their order.

    Raises Ec2Error: MissingParameter without a device name, InvalidBlockDeviceMapping for an entry that asks
    for several things at once or for none, InvalidParameterValue for an ill-formed snapshot id or no
    size.
    """
    return tuple(_device(number, item) for number, item in enumerate(items, 1))


def _device(number: int, item: Mapping[str, Any]) -> BlockDevice:
    name = item.get("DeviceName")
    if not name:
        raise missing(f"BlockDeviceMapping.{number}.DeviceName")
    ebs, virtual = item.get("Ebs") or {}, item.get("VirtualName") or ""
    takes_away = item.get("NoDevice") is not None
    if takes_away + bool(ebs) + bool(virtual) > 1:
        raise _invalid(f"The mapping of {name[:80]} asks for several things at once")
    if takes_away:
        return BlockDevice(device=name, no_device=True)
    if virtual and not _EPHEMERAL.fullmatch(virtual):
        raise _invalid(f"'{virtual[:80]}' is no instance store volume")
    refuse_all(ebs, _NOT_OFFERED)
    snapshot_id = ebs.get("SnapshotId") or ""
    if snapshot_id:
        require_well_formed(IdKind.SNAPSHOT, [snapshot_id])
    size = ebs.get("VolumeSize")
    if size is not None and size < 1:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({size}) for parameter volumeSize is invalid. It is at least 1 GiB.",
        )
    return BlockDevice(
        device=name,
        snapshot_id=snapshot_id,
        size_gib=size,
        type=ebs.get("VolumeType") or "",
        iops=ebs.get("Iops") or 0,
        throughput=ebs.get("Throughput") or 0,
        encrypted=ebs.get("Encrypted"),
        delete_on_termination=ebs.get("DeleteOnTermination"),
        virtual_name=virtual,
    )


def _invalid(sentence: str) -> Ec2Error:
    return Ec2Error("InvalidBlockDeviceMapping", f"{sentence}.")
