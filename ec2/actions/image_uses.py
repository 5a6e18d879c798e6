"""What images are used for and made of: the images of instances, and an image's forebears."""

from __future__ import annotations

from backend.engine import InstanceQuery
from backend.model import Image
from ec2 import mapping
from ec2.actions.common import well_formed_ids
from ec2.actions.instances import keys_of
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.filters import FilterTable
from ec2.ids import IdKind
from ec2.image_mapping import image_state
from ec2.mapping import iso, moment, writable
from ec2.pages import PageLimits, Position
from ec2.rendered import Shown

LIMITS = PageLimits(minimum=1, default=None, ids="InstanceIds", ids_word="instancesSet")

FILTERS: FilterTable[Shown] = FilterTable(
    {
        "availability-zone": lambda row: row.instance.zone,
        "image-allowed": lambda _: True,
        "instance-id": lambda row: row.instance.id,
        "instance-state-name": lambda row: row.state,
        "instance-type": lambda row: row.instance.flavor,
        "launch-time": lambda row: mapping.launch_time(row.instance),
        "owner-alias": lambda _: None,
        "owner-id": lambda row: row.instance.account_id,
        "zone-id": lambda row: mapping.zone_id_of(row.instance.region, row.instance.zone),
    },
    tags=lambda row: row.tags,
)


def describe_instance_image_metadata(context: Ec2Context, params: Params) -> Document:
    """Instances with the images that they were launched from (DescribeInstanceImageMetadata)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    ids = params.get("InstanceIds") or ()
    keys = (
        keys_of(context, ids, InstanceQuery())
        if ids
        else context.engine.instance_keys(context.caller, InstanceQuery())
    )
    rows: list[tuple[Position, Shown]] = [
        (_position(row), row)
        for row in context.rendered.rows(context.engine, context.caller, keys)
        if matches(row)
    ]
    shown, token = page_of(context, params, sorted(rows, key=lambda row: row[0]), LIMITS)
    images = context.engine.images_known(
        context.caller, list(dict.fromkeys(row.instance.image_id for row in shown))
    )
    return {
        "InstanceImageMetadata": [_of(row, images.get(row.instance.image_id)) for row in shown],
        "NextToken": token,
    }


def _position(row: Shown) -> Position:
    instance = row.instance
    return (round(instance.created_at * 1e6), instance.launch_id, instance.launch_index)


def _of(row: Shown, image: Image | None) -> Document:
    instance = row.instance
    return {
        "InstanceId": instance.id,
        "InstanceType": instance.flavor,
        "LaunchTime": mapping.launch_time(instance),
        "AvailabilityZone": instance.zone,
        "ZoneId": mapping.zone_id_of(instance.region, instance.zone),
        "State": mapping.state_document(row.state),
        "OwnerId": instance.account_id,
        "Tags": mapping.tag_list(row.tags),
        "ImageMetadata": {"ImageId": instance.image_id} if image is None else _metadata(image),
        "Operator": {"Managed": False},
    }


def _metadata(image: Image) -> Document:
    return {
        "ImageId": image.id,
        "Name": writable(image.name),
        "OwnerId": image.account_id,
        "State": image_state(image),
        "CreationDate": iso(image.created_at),
        "DeprecationTime": None if image.deprecated_at is None else iso(image.deprecated_at),
        "ImageAllowed": True,
        "IsPublic": image.public,
    }


def get_image_ancestry(context: Ec2Context, params: Params) -> Document:
    """An image, what it was copied from, and so on, as far as the caller may see (GetImageAncestry)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    line = [context.engine.image(context.caller, image_id)]
    while (source := _source(line[-1])) and source not in {each.id for each in line}:
        known = context.engine.images_known(context.caller, [source]).get(source)
        if known is None:
            break
        line.append(known)
    return {"ImageAncestryEntries": [_entry(context, image) for image in line]}


def _source(image: Image) -> str:
    return image.source_image_id


def _entry(context: Ec2Context, image: Image) -> Document:
    own = image.tenant_id == context.caller.tenant_id
    source = _source(image) if own else ""
    return {
        "ImageId": image.id,
        "CreationDate": moment(image.created_at),
        "SourceImageId": source or None,
        "SourceImageRegion": context.region if source else None,
    }
