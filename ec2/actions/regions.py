"""Regions and zones: what the operator configured, in EC2's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ec2 import mapping
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable

_NO_OPT_IN = "opt-in-not-required"

REGION_FILTERS: FilterTable[Document] = FilterTable(
    {
        "endpoint": lambda row: row["Endpoint"],
        "opt-in-status": lambda row: row["OptInStatus"],
        "region-name": lambda row: row["RegionName"],
    }
)

ZONE_FILTERS: FilterTable[Document] = FilterTable(
    {
        "group-long-name": lambda row: row["GroupLongName"],
        "group-name": lambda row: row["GroupName"],
        "message": lambda row: row["Messages"],
        "network-border-group": lambda row: row["NetworkBorderGroup"],
        "opt-in-status": lambda row: row["OptInStatus"],
        "parent-zone-id": lambda _: None,
        "parent-zone-name": lambda _: None,
        "region-name": lambda row: row["RegionName"],
        "state": lambda row: row["State"],
        "zone-id": lambda row: row["ZoneId"],
        "zone-name": lambda row: row["ZoneName"],
        "zone-type": lambda row: row["ZoneType"],
    }
)


def describe_regions(context: Ec2Context, params: Params) -> Document:
    """The regions of this cloud; one endpoint serves all of them (DescribeRegions)."""
    matches = REGION_FILTERS.compile(params.get("Filters", ()))
    rows = [
        {"RegionName": name, "Endpoint": context.endpoint, "OptInStatus": _NO_OPT_IN}
        for name in context.engine.settings.zones
    ]
    chosen = _named(rows, "RegionName", params.get("RegionNames"), "region")
    return {"Regions": [row for row in chosen if matches(row)]}


def describe_availability_zones(context: Ec2Context, params: Params) -> Document:
    """The zones of the region called (DescribeAvailabilityZones)."""
    matches = ZONE_FILTERS.compile(params.get("Filters", ()))
    rows = [_zone(context.region, name) for name in context.zones]
    rows = _named(rows, "ZoneName", params.get("ZoneNames"), "availability zone")
    rows = _named(rows, "ZoneId", params.get("ZoneIds"), "availability zone id")
    return {"AvailabilityZones": [row for row in rows if matches(row)]}


def _zone(region: str, name: str) -> Document:
    return {
        "ZoneName": name,
        "ZoneId": mapping.zone_id_of(region, name),
        "ZoneType": "availability-zone",
        "State": "available",
        "RegionName": region,
        "GroupName": region,
        "GroupLongName": region,
        "NetworkBorderGroup": region,
        "OptInStatus": _NO_OPT_IN,
        "Messages": [],
    }


def _named(
    rows: Iterable[Document], member: str, names: Sequence[str] | None, what: str
) -> list[dict[str, Any]]:
    """The rows of some names, all of them without any; every name must be one."""
    found = list(rows)
    if not names:
        return found
    unknown = [name for name in names if name not in {row[member] for row in found}]
    if unknown:
        raise Ec2Error("InvalidParameterValue", f"Invalid {what}: [{', '.join(unknown)[:240]}]")
    return [row for row in found if row[member] in names]
