"""Where instances are relative to one another, and how burstable ones spend their credits."""

from __future__ import annotations

import hashlib
import hmac

from backend.engine import InstanceQuery
from backend.launch_model import PlacementGroup
from backend.model import Instance
from ec2 import mapping
from ec2.actions.instances import keys_of
from ec2.actions.placement_groups import require_groups
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.pages import PageLimits, Position
from ec2.rendered import Shown

LIMITS = PageLimits(minimum=1, maximum=100, default=20, ids="InstanceIds", ids_word="instanceId")
NAMED_LIMITS = PageLimits(minimum=1, maximum=100, default=None, ids="InstanceIds", ids_word="instanceId")
CREDIT_LIMITS = PageLimits(default=None, ids="InstanceIds", ids_word="instanceId")
_MOST_NAMED = 100

FILTERS: FilterTable[Shown] = FilterTable(
    {
        "availability-zone": lambda row: row.instance.zone,
        "instance-type": lambda row: row.instance.flavor,
        "zone-id": lambda row: mapping.zone_id_of(row.instance.region, row.instance.zone),
    }
)
CREDIT_FILTERS: FilterTable[Shown] = FilterTable({"instance-id": lambda row: row.instance.id})


def describe_instance_topology(context: Ec2Context, params: Params) -> Document:
    """The network nodes above each instance: two on one host have all in common (DescribeInstanceTopology).

    A node is known by a digest that belongs to the account: it tells nothing of the host.
    """
    matches = FILTERS.compile(params.get("Filters", ()))
    ids, names = params.get("InstanceIds") or (), params.get("GroupNames") or ()
    for member, given in (("instanceId", ids), ("groupName", names)):
        if len(given) > _MOST_NAMED:
            raise Ec2Error(
                "InvalidParameterValue", f"At most {_MOST_NAMED} values of {member} can be named at once."
            )
    keys = (
        keys_of(context, ids, InstanceQuery())
        if ids
        else context.engine.instance_keys(context.caller, InstanceQuery())
    )
    if names:
        groups = context.engine.networks.all(context.caller, PlacementGroup)
        require_groups(names, {group.name for group in groups})
    rows = [
        (_position(row.instance), row)
        for row in context.rendered.rows(context.engine, context.caller, keys)
        if (ids or row.state != "terminated") and (not names or row.group_name in names) and matches(row)
    ]
    shown, token = page_of(context, params, rows, NAMED_LIMITS if ids else LIMITS)
    return {"Instances": [_topology(context, row) for row in shown], "NextToken": token}


def _topology(context: Ec2Context, row: Shown) -> Document:
    instance = row.instance
    placed = row.state == "running" and instance.host_id is not None
    path = (instance.region, instance.zone, instance.host_id or "")
    return {
        "InstanceId": instance.id,
        "InstanceType": instance.flavor,
        "GroupName": row.group_name or None,
        "NetworkNodes": [_node(context, path[:depth]) for depth in (1, 2, 3)] if placed else None,
        "AvailabilityZone": instance.zone,
        "ZoneId": mapping.zone_id_of(instance.region, instance.zone),
    }


def _node(context: Ec2Context, path: tuple[str, ...]) -> str:
    """The id of the node that a region, a zone in it, or a host in that hangs from, for one account."""
    text = "\0".join(("network-node", context.caller.account_id, *path))
    digest = hmac.new(context.settings.page_secret.encode(), text.encode(), hashlib.sha256)
    return f"nn-{digest.hexdigest()[:17]}"


def describe_credit_specifications(context: Ec2Context, params: Params) -> Document:
    """The credit option of instances that are named: ``standard``, as nothing else is offered.

    Without ids EC2 tells those with the option ``unlimited``, and there are none
    (DescribeInstanceCreditSpecifications).
    """
    matches = CREDIT_FILTERS.compile(params.get("Filters", ()))
    ids = params.get("InstanceIds") or ()
    keys = keys_of(context, ids, InstanceQuery()) if ids else []
    rows = [
        (_position(row.instance), row)
        for row in context.rendered.rows(context.engine, context.caller, keys)
        if matches(row)
    ]
    shown, token = page_of(context, params, rows, CREDIT_LIMITS)
    return {
        "InstanceCreditSpecifications": [
            {"InstanceId": row.instance.id, "CpuCredits": "standard"} for row in shown
        ],
        "NextToken": token,
    }


def _position(instance: Instance) -> Position:
    return (round(instance.created_at * 1e6), instance.launch_id, instance.launch_index)
