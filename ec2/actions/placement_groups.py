"""Placement groups, and which of them an instance belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from backend import launch_commands
from backend.launch_model import PlacementGroup, Strategy
from ec2.actions.common import (
    missing,
    refuse_all,
    specified_tags,
    unsupported_value,
    well_formed_ids,
)
from ec2.actions.run import group_named
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.ids import IdKind, not_found
from ec2.mapping import tag_list, writable

_RESERVED = ("LinkedGroupId", "Operator", "ParentGroupId")
"""Parameters of CreatePlacementGroup for purposes that this cloud has not."""
_STATE = "available"  # a group is made and deleted at once

_DEDICATED = ("HostId", "HostResourceGroupArn")
"""What ModifyInstancePlacement says of dedicated hosts, of which there are none."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A group with its tags."""

    group: PlacementGroup
    tags: Mapping[str, str]

    @property
    def arn(self) -> str:
        """Its Amazon Resource Name, which ends in its name."""
        group = self.group
        return f"arn:aws:ec2:{group.region}:{group.account_id}:placement-group/{group.name}"

    @property
    def document(self) -> Document:
        """``PlacementGroup`` of replies."""
        group = self.group
        return {
            "GroupId": group.id,
            "GroupName": writable(group.name),
            "GroupArn": writable(self.arn),
            "State": _STATE,
            "Strategy": group.strategy.value,
            "PartitionCount": group.partitions or None,
            "SpreadLevel": group.spread_level or None,
            "Tags": tag_list(self.tags),
            "Operator": {"Managed": False},
        }


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "group-arn": lambda row: row.arn,
        "group-name": lambda row: row.group.name,
        "spread-level": lambda row: row.group.spread_level or None,
        "state": lambda _: _STATE,
        "strategy": lambda row: row.group.strategy.value,
    },
    tags=lambda row: row.tags,
)


def create_placement_group(context: Ec2Context, params: Params) -> Document:
    """Make a placement group (CreatePlacementGroup)."""
    if not params.get("GroupName"):
        raise missing("GroupName")
    refuse_all(params, _RESERVED)
    strategy = params.get("Strategy") or Strategy.CLUSTER.value
    if strategy not in {each.value for each in Strategy}:
        raise unsupported_value(strategy, "Strategy")
    tags = specified_tags(params, "placement-group")
    group = context.engine.execute(
        context.caller,
        launch_commands.CreatePlacementGroup(
            name=params["GroupName"],
            strategy=Strategy(strategy),
            partitions=params.get("PartitionCount"),
            spread_level=params.get("SpreadLevel") or "",
            tags=tags,
        ),
    )
    return {"PlacementGroup": Listed(group=group, tags=dict(tags)).document}


def delete_placement_group(context: Ec2Context, params: Params) -> Document:
    """Delete a placement group that has no instances (DeletePlacementGroup)."""
    context.engine.execute(context.caller, launch_commands.DeletePlacementGroup(name=params["GroupName"]))
    return {}


def describe_placement_groups(context: Ec2Context, params: Params) -> Document:
    """Placement groups by name, id or filter; all that are named must exist (DescribePlacementGroups)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    groups = context.engine.networks.all(context.caller, PlacementGroup)
    names, ids = params.get("GroupNames") or (), params.get("GroupIds") or ()
    well_formed_ids(IdKind.PLACEMENT_GROUP, ids)
    require_groups(names, {group.name for group in groups})
    require_groups(ids, {group.id for group in groups})
    chosen = [group for group in groups if not (names or ids) or group.name in names or group.id in ids]
    tags = context.engine.tags_of([group.id for group in chosen])
    rows = [Listed(group=group, tags=tags.get(group.id, {})) for group in chosen]
    return {"PlacementGroups": [row.document for row in rows if matches(row)]}


def require_groups(wanted: Sequence[str], there: set[str]) -> None:
    """Refuse names or ids of groups of which one is unknown."""
    unknown = [each for each in dict.fromkeys(wanted) if each not in there]
    if unknown:
        raise not_found(IdKind.PLACEMENT_GROUP, unknown[:1])


def modify_instance_placement(context: Ec2Context, params: Params) -> Document:
    """Move a stopped instance between placement groups and partitions (ModifyInstancePlacement)."""
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    named = group_named(params)
    instance = context.engine.instance(context.caller, instance_id)
    for name in _DEDICATED:
        if params.get(name):
            raise unsupported_value(params[name], name)
    for name in ("Affinity", "Tenancy"):
        if params.get(name, "default") != "default":
            raise unsupported_value(params[name], name)
    leaves = params.get("GroupName") == "" and not named["group"]
    if not (named["group"] or named["partition"] or leaves):
        if "Affinity" in params or "Tenancy" in params:
            return {"Return": True}  # it is so already
        raise Ec2Error(
            "MissingParameter",
            "The request must contain one of the parameters GroupName, GroupId, PartitionNumber, Affinity, "
            "Tenancy and HostId",
        )
    group = named["group"] or ("" if leaves else instance.group_id)
    context.engine.execute(
        context.caller,
        launch_commands.PlaceInstance(instance_id=instance_id, group=group, partition=named["partition"]),
    )
    return {"Return": True}
