"""Volumes: create, list, grow, delete, attach and detach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from backend import commands
from backend.model import Modification, Volume
from ec2 import mapping, volume_mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags, well_formed_ids
from ec2.actions.run import client_token, request_digest
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.ids import IdKind
from ec2.listing import Column, Listing, flag, whole
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="VolumeIds", ids_word="volumesSet")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A volume with its tags."""

    volume: Volume
    tags: Mapping[str, str]


def _absent(_row: object) -> Value:
    return None


def _of_attachment(read: Callable[[Volume], Value]) -> Callable[[Listed], Value]:
    """What a volume's attachment has; a volume without one matches nothing."""
    return lambda row: read(row.volume) if volume_mapping.is_attached(row.volume) else None


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "attachment.attach-time": _of_attachment(mapping.attach_time),
        "attachment.delete-on-termination": _of_attachment(lambda volume: volume.delete_on_termination),
        "attachment.device": _of_attachment(lambda volume: volume.device),
        "attachment.instance-id": _of_attachment(lambda volume: volume.instance_id),
        "attachment.status": _of_attachment(lambda volume: volume.attach.value),
        "availability-zone": lambda row: row.volume.zone,
        "availability-zone-id": lambda row: mapping.zone_id_of(row.volume.region, row.volume.zone),
        "create-time": lambda row: mapping.moment(row.volume.created_at),
        "encrypted": lambda row: row.volume.encrypted,
        "fast-restored": lambda _: False,
        "multi-attach-enabled": lambda _: False,
        "operator.managed": lambda _: False,
        "operator.principal": _absent,
        "size": lambda row: row.volume.size_gib,
        "snapshot-id": lambda row: row.volume.snapshot_id or None,
        "source-volume-id": _absent,
        "status": lambda row: row.volume.state.value,
        "volume-id": lambda row: row.volume.id,
        "volume-type": lambda row: row.volume.type,
    },
    tags=lambda row: row.tags,
)


COLUMNS: Mapping[str, Column] = {
    "attachment.instance-id": Column("instance_id", exact=False),
    "availability-zone": Column("zone"),
    "encrypted": flag("encrypted"),
    "size": whole("size_gib"),
    "snapshot-id": Column("snapshot_id"),
    "status": Column("state"),
    "volume-id": Column("id"),
    "volume-type": Column("type"),
}
"""Filters that the database can decide, or at least narrow."""


def _with_tags(context: Ec2Context, volumes: Sequence[Volume]) -> list[Listed]:
    tags = context.engine.tags_of([volume.id for volume in volumes])
    return [Listed(volume=volume, tags=tags.get(volume.id, {})) for volume in volumes]


LISTING = Listing(kind=Volume, dress=_with_tags, filters=FILTERS, columns=COLUMNS, limits=LIMITS)


# Create, list -------------------------------------------------------------------------------------------

_NOT_OFFERED = ("KmsKeyId", "Operator", "OutpostArn", "VolumeInitializationRate")
_AS_IT_IS: Mapping[str, Any] = {"MultiAttachEnabled": False}


def create_volume(context: Ec2Context, params: Params) -> Document:
    """Make a volume, of zeros or of a snapshot; idempotent by ClientToken (CreateVolume)."""
    snapshot_id = params.get("SnapshotId") or ""
    if snapshot_id:
        well_formed_ids(IdKind.SNAPSHOT, [snapshot_id])
    if params.get("Size") is None and not snapshot_id:
        raise missing("size/snapshot")
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, _AS_IT_IS)
    token = client_token(params)
    volume = context.engine.execute(
        context.caller,
        commands.CreateVolume(
            size_gib=params.get("Size"),
            snapshot_id=snapshot_id,
            zone=_zone(context, params),
            type=params.get("VolumeType", ""),
            iops=params.get("Iops", 0),
            throughput=params.get("Throughput", 0),
            encrypted=params.get("Encrypted"),
            client_token=token,
            token_digest=request_digest(params) if token else "",
            tags=specified_tags(params, "volume"),
        ),
    )
    return volume_mapping.volume_document(volume, context.engine.tags_of([volume.id]).get(volume.id, {}))


def _zone(context: Ec2Context, params: Params) -> str:
    zone: str = params.get("AvailabilityZone") or ""
    zone_id: str = params.get("AvailabilityZoneId") or ""
    if zone and zone_id:
        raise Ec2Error(
            "InvalidParameterCombination",
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together",
        )
    if not zone and not zone_id:
        raise missing("AvailabilityZone")
    for name in context.zones:
        if zone == name or (zone_id and mapping.zone_id_of(context.region, name) == zone_id):
            return name
    raise Ec2Error("InvalidZone.NotFound", f"The zone '{(zone or zone_id)[:120]}' does not exist.")


def describe_volumes(context: Ec2Context, params: Params) -> Document:
    """Volumes by id or filter, oldest first (DescribeVolumes)."""
    page, token = LISTING.page(context, params, named=named(context, params))
    shown = context.fragments.of(
        "Volume",
        page,
        lambda row: row.volume.id,
        lambda row: volume_mapping.volume_document(row.volume, row.tags),
    )
    return {"Volumes": shown, "NextToken": token}


def named(context: Ec2Context, params: Params) -> list[Volume] | None:
    """The volumes that a call names, all of which must exist; None when it names none."""
    ids = params.get("VolumeIds")
    if not ids:
        return None
    return context.engine.volumes_by_id(context.caller, well_formed_ids(IdKind.VOLUME, ids))


def volume_id_of(params: Params) -> str:
    """The volume that a call is about; raises the error for an id of another shape."""
    (volume_id,) = well_formed_ids(IdKind.VOLUME, [params["VolumeId"]])
    return volume_id


# Change, delete -----------------------------------------------------------------------------------------

_CHANGES = ("Size", "VolumeType", "Iops", "Throughput")


def modify_volume(context: Ec2Context, params: Params) -> Document:
    """Grow a volume or change its type and limits, while it is in use, too (ModifyVolume)."""
    volume_id = volume_id_of(params)
    refuse_unless(params, _AS_IT_IS)
    if all(params.get(name) is None for name in (*_CHANGES, "MultiAttachEnabled")):
        raise missing("size/volumeType/iops/throughput")
    volume = context.engine.execute(
        context.caller,
        commands.ModifyVolume(
            volume_id=volume_id,
            size_gib=params.get("Size"),
            type=params.get("VolumeType"),
            iops=params.get("Iops"),
            throughput=params.get("Throughput"),
        ),
    )
    assert volume.modification is not None
    return {"VolumeModification": volume_mapping.modification_document(volume, volume.modification)}


def delete_volume(context: Ec2Context, params: Params) -> Document:
    """Delete a volume that is attached to nothing (DeleteVolume)."""
    context.engine.execute(context.caller, commands.DeleteVolume(volume_id=volume_id_of(params)))
    return {}


# Attach, detach -----------------------------------------------------------------------------------------


def attach_volume(context: Ec2Context, params: Params) -> Document:
    """Attach a volume to a running or stopped instance; answers at once (AttachVolume)."""
    volume_id = volume_id_of(params)
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    refuse_all(params, ("EbsCardIndex",))
    volume = context.engine.execute(
        context.caller,
        commands.AttachVolume(volume_id=volume_id, instance_id=instance_id, device=params["Device"]),
    )
    return volume_mapping.attachment(volume)


def detach_volume(context: Ec2Context, params: Params) -> Document:
    """Ask the guest to let go of a volume; with Force it is switched off if it does not (DetachVolume)."""
    volume_id = volume_id_of(params)
    instance_id = params.get("InstanceId") or ""
    if instance_id:
        well_formed_ids(IdKind.INSTANCE, [instance_id])
    volume = context.engine.execute(
        context.caller,
        commands.DetachVolume(
            volume_id=volume_id,
            instance_id=instance_id,
            device=params.get("Device") or "",
            force=params.get("Force", False),
        ),
    )
    return volume_mapping.attachment(volume)


# Modifications ------------------------------------------------------------------------------------------

MODIFICATION_LIMITS = PageLimits(default=None, maximum=500, ids="VolumeIds", ids_word="volumesSet")


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A volume with its last modification, and that as it is told."""

    volume: Volume
    change: Modification
    document: Document


def _member(name: str) -> Callable[[Changed], Value]:
    return lambda row: row.document[name]


MODIFICATION_FILTERS: FilterTable[Changed] = FilterTable(
    {
        "modification-state": _member("ModificationState"),
        "operator.managed": lambda _: False,
        "operator.principal": _absent,
        "original-iops": _member("OriginalIops"),
        "original-size": _member("OriginalSize"),
        "original-volume-type": _member("OriginalVolumeType"),
        "originalMultiAttachEnabled": _member("OriginalMultiAttachEnabled"),
        "start-time": _member("StartTime"),
        "target-iops": _member("TargetIops"),
        "target-size": _member("TargetSize"),
        "target-volume-type": _member("TargetVolumeType"),
        "targetMultiAttachEnabled": _member("TargetMultiAttachEnabled"),
        "volume-id": _member("VolumeId"),
    }
)


def _changed(_context: Ec2Context, volumes: Sequence[Volume]) -> list[Changed]:
    return [
        Changed(volume=volume, change=change, document=volume_mapping.modification_document(volume, change))
        for volume in volumes
        if (change := volume.modification) is not None
    ]


MODIFICATIONS = Listing(
    kind=Volume,
    dress=_changed,
    filters=MODIFICATION_FILTERS,
    columns={"volume-id": Column("id")},
    limits=MODIFICATION_LIMITS,
)


def describe_volumes_modifications(context: Ec2Context, params: Params) -> Document:
    """The last modification of each volume that ever had one (DescribeVolumesModifications)."""
    volumes = named(context, params)
    never = [volume.id for volume in volumes or () if volume.modification is None]
    if never:
        raise Ec2Error(
            "InvalidVolumeModification.NotFound", f"Modification for volume '{never[0]}' does not exist."
        )
    page, token = MODIFICATIONS.page(
        context, params, named=volumes, keep=lambda volume: volume.modification is not None
    )
    return {"VolumesModifications": [row.document for row in page], "NextToken": token}
