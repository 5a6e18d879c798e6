"""DescribeInstanceStatus: states and status checks, which depend on the time of the call."""

from __future__ import annotations

import msgspec

from backend.engine import InstanceQuery
from backend.model import Instance
from ec2 import mapping
from ec2.actions.instances import keys_of
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.filters import FilterTable, Value
from ec2.pages import PageLimits, Position

LIMITS = PageLimits(default=None, ids="InstanceIds", ids_word="instancesSet")


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """An instance with the words of its checks."""

    instance: Instance
    state: str
    instance_check: str
    system_check: str


def _absent(_row: Checked) -> Value:
    return None


_NOT_YET = (
    "application-status.status",
    "attached-ebs-status.reachability",
    "attached-ebs-status.status",
    "event.code",
    "event.description",
    "event.instance-event-id",
    "event.not-after",
    "event.not-before",
    "event.not-before-deadline",
    "operator.principal",
)
"""Filters on things that no instance has yet: known, and matching nothing."""

FILTERS: FilterTable[Checked] = FilterTable(
    {
        **dict.fromkeys(_NOT_YET, _absent),
        "availability-zone": lambda row: row.instance.zone,
        "availability-zone-id": lambda row: mapping.zone_id_of(row.instance.region, row.instance.zone),
        "instance-state-code": lambda row: mapping.STATE_CODES[row.state],
        "instance-state-name": lambda row: row.state,
        "instance-status.reachability": lambda row: mapping.reachability(row.instance_check),
        "instance-status.status": lambda row: row.instance_check,
        "operator.managed": lambda _: False,
        "system-status.reachability": lambda row: mapping.reachability(row.system_check),
        "system-status.status": lambda row: row.system_check,
    }
)


def describe_instance_status(context: Ec2Context, params: Params) -> Document:
    """Status checks of running instances, or of all with IncludeAllInstances (DescribeInstanceStatus)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    now = context.now
    found = [_checked(instance, now) for instance in _instances(context, params)]
    every = params.get("IncludeAllInstances", False)
    rows = [
        (_position(row.instance), row) for row in found if (every or row.state == "running") and matches(row)
    ]
    page, token = page_of(context, params, rows, LIMITS)
    statuses = [mapping.status_document(row.instance, now) for row in page]
    return {"InstanceStatuses": statuses, "NextToken": token}


def _instances(context: Ec2Context, params: Params) -> list[Instance]:
    ids = params.get("InstanceIds")
    if ids:
        keys = keys_of(context, ids, InstanceQuery())
    else:
        keys = context.engine.instance_keys(context.caller, InstanceQuery())
    return [row.instance for row in context.rendered.rows(context.engine, context.caller, keys)]


def _checked(instance: Instance, now: float) -> Checked:
    of_instance, of_system = mapping.checks(instance, now)
    return Checked(
        instance=instance,
        state=mapping.state_name(instance),
        instance_check=of_instance,
        system_check=of_system,
    )


def _position(instance: Instance) -> Position:
    # Microseconds as a number: text would sort by digits.
    return (round(instance.created_at * 1e6), instance.launch_id, instance.launch_index)
