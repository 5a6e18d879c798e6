"""DescribeSnapshotTierStatus: all snapshots are in the standard tier, as there is no archive."""

from __future__ import annotations

import msgspec

from backend.model import Snapshot, SnapshotState
from ec2 import mapping
from ec2.actions import snapshots
from ec2.actions.snapshots import Listed
from ec2.context import Document, Ec2Context, Params
from ec2.filters import FilterTable
from ec2.listing import Column
from ec2.pages import PageLimits

LISTING = msgspec.structs.replace(
    snapshots.LISTING,
    filters=FilterTable(
        {
            "last-tiering-operation": lambda _: None,
            "snapshot-id": lambda row: row.snapshot.id,
            "volume-id": lambda row: row.snapshot.volume_id,
        }
    ),
    limits=PageLimits(minimum=1, default=None),
    columns={"snapshot-id": Column("id"), "volume-id": Column("volume_id")},
)
_STATES = {SnapshotState.ERROR: "error", SnapshotState.PENDING: "pending"}


def describe_snapshot_tier_status(context: Ec2Context, params: Params) -> Document:
    """The caller's own snapshots (DescribeSnapshotTierStatus)."""
    mine = {"tenant_id": (context.caller.tenant_id,)}
    page, token = LISTING.page(context, params, among=mine)
    return {"SnapshotTierStatuses": [_status(row.snapshot, row) for row in page], "NextToken": token}


def _status(snapshot: Snapshot, row: Listed) -> Document:
    return {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "Status": _STATES.get(snapshot.state, "completed"),
        "OwnerId": snapshot.account_id,
        "Tags": mapping.tag_list(row.tags),
        "StorageTier": "standard",
    }
