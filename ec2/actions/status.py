"""DescribeInstanceStatus: states and status checks, which depend on the time of the call."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from backend.engine import InstanceQuery
from backend.model import Instance
from ec2 import mapping
from ec2.actions.instance_filters import details_of
from ec2.actions.instances import in_turn, keys_of, paged, position, rows_of
from ec2.context import Document, Ec2Context, Params
from ec2.filters import FilterTable, Value
from ec2.listing import Column, Columns, narrowed
from ec2.pages import PageLimits, page_size
from ec2.rendered import Shown

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


_COLUMNS: Columns = {
    "availability-zone": Column("zone", exact=False),
    "instance-state-name": Column("detail", details_of, exact=False),
}
_EVERY = 10_000


def describe_instance_status(context: Ec2Context, params: Params) -> Document:
    """Status checks of running instances, or of all with IncludeAllInstances (DescribeInstanceStatus)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    size, now = page_size(params, LIMITS), context.now
    every = params.get("IncludeAllInstances", False)
    found: list[Shown] = []
    for batch in _batches(context, params, size):
        for row in batch:
            checked = _checked(row.instance, now)
            if (every or checked.state == "running") and matches(checked):
                found.append(row)
        if size is not None and len(found) > size:
            break
    shown = found[:size]
    token = context.next_token(params, position(shown[-1])) if len(shown) < len(found) else None
    return {
        "InstanceStatuses": [mapping.status_document(row.instance, now) for row in shown],
        "NextToken": token,
    }


def _batches(context: Ec2Context, params: Params, size: int | None) -> Iterable[list[Shown]]:
    """The instances that a call names, or after the page before as many as it takes to fill one."""
    ids = params.get("InstanceIds")
    if ids:
        return [rows_of(context, keys_of(context, ids, InstanceQuery()))]
    query, _ = narrowed(FILTERS, _COLUMNS, params.get("Filters", ()))
    if query is None:
        return []
    equal = dict(query.equal)
    if not params.get("IncludeAllInstances", False) and "detail" not in equal:
        equal["detail"] = tuple(details_of("running"))
    first = _EVERY if size is None else size + 1
    return in_turn(context, paged(context, params, InstanceQuery(equal=equal)), first, whole=False)


def _checked(instance: Instance, now: float) -> Checked:
    of_instance, of_system = mapping.checks(instance, now)
    return Checked(
        instance=instance,
        state=mapping.state_name(instance),
        instance_check=of_instance,
        system_check=of_system,
    )
