"""Snapshots: volumes as they were at one moment, as records; their bytes are contents of the image store."""

from __future__ import annotations

from collections.abc import Sequence

from backend import commands
from backend.engine.access import own_instances, own_snapshot, own_volume
from backend.engine.disks import reseal, usable_content
from backend.engine.registry import check_quota
from backend.engine.tagging import give_tags
from backend.engine.tasks import CALLED_OFF, begin_task, failed
from backend.engine.volumes import hold_volume, wrong_volume_state
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.model import (
    Desired,
    Image,
    Instance,
    QuotaName,
    Snapshot,
    SnapshotState,
    TaskKind,
    Volume,
    VolumeState,
    new_id,
)

NO_VOLUME = "vol-ffffffff"
"""What EC2 says a snapshot is of that was not made of any volume here: a copy, or an import."""

_COPIED = frozenset({VolumeState.AVAILABLE, VolumeState.IN_USE})


# Creating -----------------------------------------------------------------------------------------------


def create_snapshot(work: Work, command: commands.CreateSnapshot) -> Snapshot:
    """Keep a volume as it is now, attached or not (CreateSnapshot)."""
    volume = own_volume(work, command.volume_id)
    [snapshot] = _keep(work, [volume], command.description)
    give_tags(work, [snapshot.id], "snapshot", command.tags, tenant_id=snapshot.tenant_id)
    return snapshot


def create_snapshots(work: Work, command: commands.CreateSnapshots) -> tuple[Snapshot, ...]:
    """Keep the volumes of an instance as they are now, the root first (CreateSnapshots)."""
    [instance] = own_instances(work, [command.instance_id])
    if instance.desired is Desired.GONE:
        raise wrong_state(instance, "create snapshots")
    volumes = _chosen(work, instance, command)
    tags = work.tx.tags.of([volume.id for volume in volumes]) if command.copy_tags else {}
    made = _keep(work, volumes, command.description)
    for snapshot in made:
        given = tags.get(snapshot.volume_id, {}) | dict(command.tags)
        give_tags(work, [snapshot.id], "snapshot", given.items(), tenant_id=snapshot.tenant_id)
    return tuple(made)


def _chosen(work: Work, instance: Instance, command: commands.CreateSnapshots) -> list[Volume]:
    volumes = work.tx.volumes.of_instance(instance.id)
    data = {volume.id for volume in volumes if not volume.boot}
    for volume_id in command.exclude:
        if volume_id not in data:
            raise BackendError(
                Code.PARAMETER_INVALID,
                f"It is no data volume of the instance '{instance.id}'.",
                parameter="excludeDataVolumeId",
                value=volume_id,
            )
    chosen = [
        volume
        for volume in volumes
        if volume.id not in command.exclude and not (volume.boot and command.exclude_boot)
    ]
    if not chosen:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "No volumes are left to be kept.",
            parameter="instanceSpecification",
            value=instance.id,
        )
    return chosen


def _keep(work: Work, volumes: Sequence[Volume], description: str) -> list[Snapshot]:
    """A snapshot of each volume, and the work of making it; all of them, or none."""
    volumes = [hold_volume(work, volume) for volume in volumes]
    for volume in volumes:
        if volume.state not in _COPIED or not volume.made:
            raise wrong_volume_state(volume, "create a snapshot")
    if volumes:
        check_snapshot_quota(work, volumes[0].tenant_id, len(volumes))
    return [begin_snapshot(work, volume, description) for volume in volumes]


def begin_snapshot(work: Work, volume: Volume, description: str, *, deferred: bool = False) -> Snapshot:
    """The row of a new snapshot, and the task that makes it, now or when the volume's instance ends.

    Whether it may be made was checked before.
    """
    identity = new_id("snap")
    snapshot = Snapshot(
        id=identity,
        tenant_id=volume.tenant_id,
        account_id=volume.account_id,
        region=volume.region,
        volume_id=volume.id,
        size_gib=volume.size_gib,
        state=SnapshotState.PENDING,
        started_at=work.now,
        description=description,
        encrypted=volume.encrypted,
        secret=reseal(work, identity, volume.id, volume.secret) if volume.encrypted else b"",
    )
    work.tx.snapshots.insert(snapshot)
    begin_task(
        work,
        TaskKind.SNAPSHOT_CREATE,
        identity,
        tenant_id=volume.tenant_id,
        lock="" if deferred else volume.id,
        instance_id=volume.instance_id or "",
        arguments={"volume": volume.id} | ({"deferred": "true"} if deferred else {}),
    )
    return snapshot


def check_snapshot_quota(work: Work, tenant_id: str, more: int) -> None:
    """Refuse more snapshots than the tenant's limit."""
    check_quota(
        work,
        QuotaName.SNAPSHOTS,
        lambda: work.tx.snapshots.count(tenant_id),
        Code.QUOTA_SNAPSHOTS,
        tenant_id=tenant_id,
        more=more,
    )


# Copying, sharing ---------------------------------------------------------------------------------------


def copy_snapshot(work: Work, command: commands.CopySnapshot) -> Snapshot:
    """A snapshot of the caller's own with the same bytes, at once: bytes never change (CopySnapshot)."""
    source = usable_content(work, command.source_id, region=command.source_region)
    if (command.encrypted or work.encrypts_unasked) and not source.encrypted:
        raise BackendError(
            Code.UNSUPPORTED,
            "A snapshot that is not encrypted cannot be copied to one that is"
            + (", as is asked for in this region" if work.encrypts_unasked else "")
            + "; encrypt a volume made of it.",
        )
    check_snapshot_quota(work, work.caller.tenant_id, 1)
    snapshot = own_copy(work, source, command.description)
    give_tags(work, [snapshot.id], "snapshot", command.tags)
    return snapshot


def hold(work: Work, snapshot: Snapshot) -> Snapshot:
    """A snapshot that is going to be referred to: nobody deletes it before this transaction has ended."""
    held = work.tx.snapshots.lock(snapshot.id)
    if held is None:
        raise BackendError(Code.SNAPSHOT_NOT_FOUND, f"No such snapshot: {snapshot.id}", ids=(snapshot.id,))
    return held


def own_copy(work: Work, source: Snapshot, description: str) -> Snapshot:
    """A completed snapshot of the caller's with the bytes of another; nobody can take it away."""
    source = hold(work, source)
    identity = new_id("snap")
    snapshot = Snapshot(
        id=identity,
        tenant_id=work.caller.tenant_id,
        account_id=work.caller.account_id,
        region=work.region,
        volume_id=NO_VOLUME,
        size_gib=source.size_gib,
        state=SnapshotState.COMPLETED,
        started_at=work.now,
        completed_at=work.now,
        description=description,
        progress=100,
        content=source.content,
        encrypted=source.encrypted,
        secret=reseal(work, identity, source.id, source.secret) if source.encrypted else b"",
        source_id=source.id,
    )
    work.tx.snapshots.insert(snapshot)
    return snapshot


def modify_snapshot(work: Work, command: commands.ModifySnapshot) -> Snapshot:
    """Change who may make volumes of an own snapshot (ModifySnapshotAttribute)."""
    snapshot = own_snapshot(work, command.snapshot_id)
    if command.public and snapshot.encrypted:
        raise BackendError(Code.UNSUPPORTED, "Encrypted snapshots cannot be made public.")
    accounts = set() if command.reset_permissions else set(snapshot.accounts)
    accounts = (accounts | set(command.add_accounts)) - set(command.remove_accounts)
    public = False if command.reset_permissions else snapshot.public
    return work.tx.snapshots.update(
        snapshot,
        accounts=tuple(sorted(accounts)),
        public=public if command.public is None else command.public,
    )


# Deleting -----------------------------------------------------------------------------------------------


def delete_snapshot(work: Work, command: commands.DeleteSnapshot) -> Snapshot:
    """Forget an own snapshot; work on one that is not completed is called off (DeleteSnapshot).

    The reaper removes the bytes when nothing else refers to them.
    """
    snapshot = hold(work, own_snapshot(work, command.snapshot_id))
    user = _user_of(work, snapshot)
    if user is not None:
        raise BackendError(
            Code.SNAPSHOT_IN_USE,
            f"The snapshot {snapshot.id} is currently in use by {user}",
            ids=(snapshot.id,),
            used_by=user,
        )
    forget_snapshot(work, snapshot)
    return snapshot


def _user_of(work: Work, snapshot: Snapshot) -> str | None:
    """An image that the snapshot is a disk of, or a volume that is still being made of it.

    Those of other tenants are none of the owner's business: images have copies of their own, and a volume
    needs the bytes alone, which stay until it is made.
    """
    users: list[Image | Volume] = [
        *work.tx.images.of_snapshot(snapshot.id),
        *work.tx.volumes.to_be_made_of(snapshot.id),
    ]
    return next((user.id for user in users if user.tenant_id == snapshot.tenant_id), None)


def forget_made_with(work: Work, image: Image) -> None:
    """Delete the snapshots that an image was made with, unless its owner has another image of them.

    Older ones were chosen for it, not made. Volumes that are being made of one need the bytes alone.
    """
    for snapshot_id in sorted(image.snapshot_ids):
        snapshot = work.tx.snapshots.lock(snapshot_id)
        if snapshot is None or snapshot.started_at < image.created_at:
            continue
        is_needed = any(
            other.tenant_id == image.tenant_id for other in work.tx.images.of_snapshot(snapshot_id)
        )
        if snapshot.tenant_id == image.tenant_id and not is_needed:
            forget_snapshot(work, snapshot)


def forget_snapshot(work: Work, snapshot: Snapshot) -> None:
    """Remove a snapshot that nothing is made of, and call off the work on it."""
    work.tx.tags.drop([snapshot.id])
    work.tx.forget([snapshot.id])
    work.tx.snapshots.delete(snapshot.id)
    call_off(work, snapshot.id)


def call_off(work: Work, resource_id: str) -> None:
    """End the open tasks about a resource.

    A copy in progress is ended when it is there, by whoever then has it to do: only then can it be removed.
    """
    for task in work.tx.tasks.open_of_resource(resource_id):
        if task.busy and task.kind is TaskKind.SNAPSHOT_CREATE:
            work.tx.tasks.update(task, arguments=task.arguments | {"called_off": "true"})
        else:
            failed(work, task, CALLED_OFF)
