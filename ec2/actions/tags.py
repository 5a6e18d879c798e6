"""Tags on resources of any kind: create, delete, describe."""

from __future__ import annotations

from collections.abc import Sequence

from backend import commands
from backend.model import Tag
from ec2.actions.common import missing, tag_pairs
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.ids import UNKNOWN_ID, IdKind, kind_of, not_found
from ec2.listing import Column, Listing, as_it_is
from ec2.mapping import writable
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None)
_TAGGABLE = frozenset(
    {
        IdKind.INSTANCE,
        IdKind.IMAGE,
        IdKind.KEY_PAIR,
        IdKind.VOLUME,
        IdKind.SNAPSHOT,
        IdKind.SECURITY_GROUP,
        IdKind.SECURITY_GROUP_RULE,
        IdKind.VPC,
        IdKind.SUBNET,
        IdKind.NETWORK_INTERFACE,
        IdKind.ALLOCATION,
        IdKind.ROUTE_TABLE,
        IdKind.INTERNET_GATEWAY,
        IdKind.NAT_GATEWAY,
        IdKind.NETWORK_ACL,
        IdKind.DHCP_OPTIONS,
        IdKind.PLACEMENT_GROUP,
        IdKind.LAUNCH_TEMPLATE,
    }
)

FILTERS: FilterTable[Tag] = FilterTable(
    {
        "key": lambda tag: tag.key,
        "resource-id": lambda tag: tag.resource_id,
        "resource-type": lambda tag: tag.resource_type,
        "value": lambda tag: tag.value,
    },
    tags=lambda tag: {tag.key: tag.value},
)


LISTING = Listing(
    kind=Tag,
    dress=lambda _, tags: tags,
    filters=FILTERS,
    columns={
        "key": Column("key"),
        "resource-id": Column("resource_id"),
        "resource-type": Column("resource_type"),
        "value": Column("value", as_it_is),
        "tag-key": Column("key"),
        "tag-value": Column("value", as_it_is),
    },
    limits=LIMITS,
    order=("resource_id", "key"),
)


def create_tags(context: Ec2Context, params: Params) -> Document:
    """Set tags on several resources, on all or none (CreateTags)."""
    ids = _resources(params)
    tags = tag_pairs(params["Tags"])
    if not tags:
        raise missing("Tag")
    context.engine.execute(context.caller, commands.CreateTags(ids=ids, tags=tags))
    return {}


def delete_tags(context: Ec2Context, params: Params) -> Document:
    """Remove tags by key, by key and value, or all (DeleteTags)."""
    ids = _resources(params)
    given = params.get("Tags", ())
    tag_pairs(given)
    tags = tuple((tag["Key"], tag.get("Value")) for tag in given)
    context.engine.execute(context.caller, commands.DeleteTags(ids=ids, tags=tags))
    return {}


def _resources(params: Params) -> tuple[str, ...]:
    ids: Sequence[str] = params["Resources"]
    if not ids:
        raise missing("ResourceId")
    kinds = [(item, kind_of(item)) for item in ids]
    for item, kind in kinds:
        if kind is None:
            raise UNKNOWN_ID.error([item])
    for item, kind in kinds:
        if kind is not None and kind not in _TAGGABLE:
            raise not_found(kind, [item])
    if len(set(ids)) > 1000:
        raise Ec2Error("InvalidParameterValue", "At most 1000 resources can be tagged at once.")
    return tuple(dict.fromkeys(ids))


def describe_tags(context: Ec2Context, params: Params) -> Document:
    """All tags of the tenant, by resource and key (DescribeTags)."""
    page, token = LISTING.page(context, params)
    return {"Tags": [_document(tag) for tag in page], "NextToken": token}


def _document(tag: Tag) -> Document:
    return {
        "Key": writable(tag.key),
        "ResourceId": tag.resource_id,
        "ResourceType": tag.resource_type,
        "Value": writable(tag.value),
    }
