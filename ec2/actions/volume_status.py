"""Whether volumes can be read and written, and what is only recorded of them."""

from __future__ import annotations

from backend import commands
from backend.model import Volume, VolumeState
from ec2 import mapping, volume_mapping
from ec2.actions.common import missing
from ec2.actions.volumes import named, volume_id_of
from ec2.context import Document, Ec2Context, Params
from ec2.filters import FilterTable, Value
from ec2.listing import Column, Listing
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="VolumeIds", ids_word="volumesSet")


def _absent(_volume: Volume) -> Value:
    return None


_NEVER = (
    "action.code",
    "action.description",
    "action.event-id",
    "attachment-status.instance-id",
    "attachment-status.io-performance",
    "event.description",
    "event.event-id",
    "event.event-type",
    "event.not-after",
    "event.not-before",
    "operator.principal",
)
"""Filters on events and measurements, which no volume has: known, and matching nothing."""

FILTERS: FilterTable[Volume] = FilterTable(
    {
        **dict.fromkeys(_NEVER, _absent),
        "availability-zone": lambda volume: volume.zone,
        "availability-zone-id": lambda volume: mapping.zone_id_of(volume.region, volume.zone),
        "operator.managed": lambda _: False,
        "volume-status.details-name": lambda volume: [
            name for name, _ in volume_mapping.check_details(volume)
        ],
        "volume-status.details-status": lambda volume: [
            word for _, word in volume_mapping.check_details(volume)
        ],
        "volume-status.status": volume_mapping.volume_check,
    }
)


LISTING = Listing(
    kind=Volume,
    dress=lambda _, volumes: volumes,
    filters=FILTERS,
    columns={"availability-zone": Column("zone")},
    limits=LIMITS,
)


def describe_volume_status(context: Ec2Context, params: Params) -> Document:
    """Status checks of volumes (DescribeVolumeStatus)."""
    page, token = LISTING.page(context, params, named=named(context, params))
    return {"VolumeStatuses": [volume_mapping.status_document(volume) for volume in page], "NextToken": token}


def enable_volume_io(context: Ec2Context, params: Params) -> Document:
    """Let a volume in error be used again as it is; of any other nothing is to be done (EnableVolumeIO)."""
    volume = context.engine.volume(context.caller, volume_id_of(params))
    if volume.state is VolumeState.ERROR:
        context.engine.execute(context.caller, commands.SetVolume(volume_id=volume.id, reset=True))
    return {}


def describe_volume_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of a volume (DescribeVolumeAttribute)."""
    volume = context.engine.volume(context.caller, volume_id_of(params))
    if params["Attribute"] == "productCodes":
        return {"VolumeId": volume.id, "ProductCodes": []}
    return {"VolumeId": volume.id, "AutoEnableIO": {"Value": volume.auto_io}}


def modify_volume_attribute(context: Ec2Context, params: Params) -> Document:
    """Set AutoEnableIO, which is kept and told (ModifyVolumeAttribute)."""
    volume_id = volume_id_of(params)
    value = params.get("AutoEnableIO", {}).get("Value")
    if value is None:
        raise missing("AutoEnableIO.Value")
    context.engine.execute(context.caller, commands.SetVolume(volume_id=volume_id, auto_io=value))
    return {}
