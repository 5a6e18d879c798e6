"""Snapshots: make, list, copy, share, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend import commands
from backend.model import Snapshot
from ec2 import mapping, volume_mapping
from ec2.actions.common import (
    described,
    missing,
    owner_accounts,
    refuse_all,
    refuse_unless,
    specified_tags,
    well_formed_ids,
)
from ec2.actions.volumes import volume_id_of
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.ids import IdKind
from ec2.listing import Column, Listing, flag, whole
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="SnapshotIds", ids_word="snapshotSet")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot with its tags; only its owner sees those."""

    snapshot: Snapshot
    tags: Mapping[str, str]


def _absent(_row: Listed) -> Value:
    return None


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "description": lambda row: row.snapshot.description or None,
        "encrypted": lambda row: row.snapshot.encrypted,
        "owner-alias": _absent,
        "owner-id": lambda row: row.snapshot.account_id,
        "progress": lambda row: volume_mapping.progress(row.snapshot),
        "snapshot-id": lambda row: row.snapshot.id,
        "start-time": lambda row: mapping.moment(row.snapshot.started_at),
        "status": lambda row: row.snapshot.state.value,
        "storage-tier": lambda _: volume_mapping.STORAGE_TIER,
        "transfer-type": _absent,
        "volume-id": lambda row: row.snapshot.volume_id,
        "volume-size": lambda row: row.snapshot.size_gib,
    },
    tags=lambda row: row.tags,
)


COLUMNS: Mapping[str, Column] = {
    "description": Column("description"),
    "encrypted": flag("encrypted"),
    "owner-id": Column("account_id"),
    "snapshot-id": Column("id"),
    "status": Column("state"),
    "volume-id": Column("volume_id"),
    "volume-size": whole("size_gib"),
}
"""Filters that the database can decide."""


def _with_tags(context: Ec2Context, snapshots: Sequence[Snapshot]) -> list[Listed]:
    own = [each.id for each in snapshots if each.tenant_id == context.caller.tenant_id]
    tags = context.engine.tags_of(own)
    return [Listed(snapshot=each, tags=tags.get(each.id, {})) for each in snapshots]


LISTING = Listing(
    kind=Snapshot,
    dress=_with_tags,
    filters=FILTERS,
    columns=COLUMNS,
    limits=LIMITS,
    order=("started_at", "id"),
)


def snapshot_id_of(params: Params, name: str = "SnapshotId") -> str:
    """The snapshot that a call is about; raises the error for an id of another shape."""
    (snapshot_id,) = well_formed_ids(IdKind.SNAPSHOT, [params[name]])
    return snapshot_id


# Make, copy, delete -------------------------------------------------------------------------------------

_AS_IT_IS = {"Location": "regional"}


def create_snapshot(context: Ec2Context, params: Params) -> Document:
    """Keep a volume as it is now, in its own time (CreateSnapshot)."""
    volume_id = volume_id_of(params)
    refuse_all(params, ("OutpostArn",))
    refuse_unless(params, _AS_IT_IS)
    tags = specified_tags(params, "snapshot")
    snapshot = context.engine.execute(
        context.caller,
        commands.CreateSnapshot(volume_id=volume_id, description=described(params), tags=tags),
    )
    return volume_mapping.snapshot_document(snapshot, dict(tags))


def create_snapshots(context: Ec2Context, params: Params) -> Document:
    """Keep all volumes of an instance as they are now, but for those excluded (CreateSnapshots)."""
    wanted = params["InstanceSpecification"]
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [wanted["InstanceId"]])
    refuse_all(params, ("OutpostArn",))
    refuse_unless(params, _AS_IT_IS)
    snapshots = context.engine.execute(
        context.caller,
        commands.CreateSnapshots(
            instance_id=instance_id,
            description=described(params),
            exclude_boot=wanted.get("ExcludeBootVolume", False),
            exclude=tuple(well_formed_ids(IdKind.VOLUME, wanted.get("ExcludeDataVolumeIds", ()))),
            copy_tags=params.get("CopyTagsFromSource") == "volume",
            tags=specified_tags(params, "snapshot"),
        ),
    )
    tags = context.engine.tags_of([snapshot.id for snapshot in snapshots])
    documents = [volume_mapping.snapshot_info(each, tags.get(each.id, {})) for each in snapshots]
    return {"Snapshots": documents}


_NOT_OFFERED_OF_COPIES = (
    "CompletionDurationMinutes",
    "DestinationAvailabilityZone",
    "DestinationOutpostArn",
    "KmsKeyId",
)


def copy_snapshot(context: Ec2Context, params: Params) -> Document:
    """A snapshot of the caller's own with the bytes of another, complete at once (CopySnapshot).

    All regions have one image store, so a region to copy from only has to be there. The presigned URL by
    which AWS's regions ask each other is not needed.
    """
    source_id = snapshot_id_of(params, "SourceSnapshotId")
    refuse_all(params, _NOT_OFFERED_OF_COPIES)
    refuse_unless(params, {"DestinationRegion": context.region})
    region = params["SourceRegion"]
    if region not in context.engine.settings.zones:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({region[:120]}) for parameter sourceRegion is invalid. There is no such region.",
        )
    tags = specified_tags(params, "snapshot")
    snapshot = context.engine.execute(
        context.caller,
        commands.CopySnapshot(
            source_id=source_id,
            source_region=region,
            description=described(params),
            encrypted=params.get("Encrypted", False),
            tags=tags,
        ),
    )
    return {"SnapshotId": snapshot.id, "Tags": mapping.tag_list(dict(tags))}


def delete_snapshot(context: Ec2Context, params: Params) -> Document:
    """Delete an own snapshot that no image is made of (DeleteSnapshot)."""
    context.engine.execute(context.caller, commands.DeleteSnapshot(snapshot_id=snapshot_id_of(params)))
    return {}


# List ---------------------------------------------------------------------------------------------------


def describe_snapshots(context: Ec2Context, params: Params) -> Document:
    """Own, shared and public snapshots, oldest first (DescribeSnapshots)."""
    ids, owners = params.get("SnapshotIds"), params.get("OwnerIds")
    named = None
    if ids:
        named = context.engine.snapshots_by_id(context.caller, well_formed_ids(IdKind.SNAPSHOT, ids))
    among = {"account_id": owner_accounts(context, owners)} if owners else {}
    page, token = LISTING.page(
        context, params, named=named, keep=lambda each: _is_chosen(context, params, each), among=among
    )
    shown = context.fragments.of(
        "Snapshot",
        page,
        lambda row: row.snapshot.id,
        lambda row: volume_mapping.snapshot_document(row.snapshot, row.tags),
    )
    return {"Snapshots": shown, "NextToken": token}


def _is_chosen(context: Ec2Context, params: Params, snapshot: Snapshot) -> bool:
    """Whether a snapshot is one of those by owner and by permission that a call asks for."""
    owners, users = params.get("OwnerIds"), params.get("RestorableByUserIds")
    if owners and snapshot.account_id not in owner_accounts(context, owners):
        return False
    return not users or any(_restorable(context, snapshot, user) for user in users)


def _restorable(context: Ec2Context, snapshot: Snapshot, user: str) -> bool:
    """Whether volumes may be made of a snapshot by ``all``, by ``self``, or by an account."""
    account = context.caller.account_id
    if user == "all":
        return snapshot.public
    if user in {"self", account}:
        return snapshot.account_id == account or account in snapshot.accounts
    # Whom another owner shares with is not for others to know.
    return snapshot.account_id == account and user in snapshot.accounts


# Permissions --------------------------------------------------------------------------------------------

_PERMISSION = "createVolumePermission"
_ACCOUNT = re.compile("[0-9]{12}")


def describe_snapshot_attribute(context: Ec2Context, params: Params) -> Document:
    """Who may make volumes of an own snapshot (DescribeSnapshotAttribute)."""
    snapshot = context.engine.snapshot(context.caller, snapshot_id_of(params))
    if snapshot.tenant_id != context.caller.tenant_id:
        raise Ec2Error("AuthFailure", f"Not authorized for snapshot:{snapshot.id}")
    if params["Attribute"] != _PERMISSION:
        return {"SnapshotId": snapshot.id, "ProductCodes": []}
    everyone = [{"Group": "all"}] if snapshot.public else []
    accounts = [{"UserId": account} for account in snapshot.accounts]
    return {"SnapshotId": snapshot.id, "CreateVolumePermissions": everyone + accounts}


def modify_snapshot_attribute(context: Ec2Context, params: Params) -> Document:
    """Change who may make volumes of an own snapshot (ModifySnapshotAttribute)."""
    snapshot_id = snapshot_id_of(params)
    _require_permissions(params)
    added, removed = _both(params)
    if not added and not removed:
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    public = None
    if "all" in (*added, *removed):
        public = "all" in added
    context.engine.execute(
        context.caller,
        commands.ModifySnapshot(
            snapshot_id=snapshot_id,
            public=public,
            add_accounts=tuple(item for item in added if item != "all"),
            remove_accounts=tuple(item for item in removed if item != "all"),
        ),
    )
    return {}


def reset_snapshot_attribute(context: Ec2Context, params: Params) -> Document:
    """Make an own snapshot private (ResetSnapshotAttribute)."""
    snapshot_id = snapshot_id_of(params)
    _require_permissions(params)
    context.engine.execute(
        context.caller, commands.ModifySnapshot(snapshot_id=snapshot_id, reset_permissions=True)
    )
    return {}


def _require_permissions(params: Params) -> None:
    if params.get("Attribute", _PERMISSION) != _PERMISSION:
        raise Ec2Error("UnsupportedOperation", "Snapshots have no product codes in this cloud.")


def _both(params: Params) -> tuple[list[str], list[str]]:
    """Accounts, and ``all`` for the group, to add and to remove; both spellings are understood."""
    found: dict[str, list[str]] = {"add": [], "remove": []}
    for name, items in params.get("CreateVolumePermission", {}).items():
        for item in items:
            found[name.lower()] += _items([item.get("UserId")], [item.get("Group")])
    older = _items(params.get("UserIds", ()), params.get("GroupNames", ()))
    if older:
        operation = params.get("OperationType")
        if operation is None:
            raise missing("OperationType")
        found[operation] += older
    return found["add"], found["remove"]


def _items(users: Sequence[Any], groups: Sequence[Any]) -> list[str]:
    """Accounts and groups as they are told; raises InvalidParameterValue for what is neither."""
    for user in filter(None, users):
        if not _ACCOUNT.fullmatch(user):
            raise _no_item("userId", user)
    for group in filter(None, groups):
        if group != "all":
            raise _no_item("group", group)
    return [*filter(None, users), *filter(None, groups)]


def _no_item(kind: str, item: str) -> Ec2Error:
    return Ec2Error(
        "InvalidParameterValue", f'Invalid attribute item value "{item[:120]}" for {kind} item type.'
    )
