"""Who may see and do what: tenants see their own, administrators at the command line see all.

What a caller may not see does not exist (lifecycle §16): it gets the same answer as an unknown id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from backend import commands, identity_commands, launch_commands, network_commands, request_commands
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import (
    UNPUBLISHED,
    Api,
    Caller,
    Image,
    ImageState,
    Instance,
    KeyPair,
    Role,
    Snapshot,
    Volume,
)

POLICY: Mapping[type, Role] = {
    commands.Launch: Role.MEMBER,
    commands.Operate: Role.MEMBER,
    commands.ModifyInstance: Role.MEMBER,
    commands.AskPicture: Role.MEMBER,
    commands.CreateTags: Role.MEMBER,
    commands.DeleteTags: Role.MEMBER,
    commands.ImportKeyPair: Role.MEMBER,
    commands.DeleteKeyPair: Role.MEMBER,
    commands.RegisterImage: Role.MEMBER,
    commands.ModifyImage: Role.MEMBER,
    commands.DeregisterImage: Role.MEMBER,
    commands.CreateImage: Role.MEMBER,
    commands.CopyImage: Role.MEMBER,
    commands.PublishImage: Role.ADMIN,
    commands.ImportImage: Role.MEMBER,
    commands.ImportSnapshot: Role.MEMBER,
    commands.ExportImage: Role.MEMBER,
    commands.TestImage: Role.ADMIN,
    commands.CreateVolume: Role.MEMBER,
    commands.DeleteVolume: Role.MEMBER,
    commands.ModifyVolume: Role.MEMBER,
    commands.SetVolume: Role.MEMBER,
    commands.AttachVolume: Role.MEMBER,
    commands.DetachVolume: Role.MEMBER,
    commands.RevertVolume: Role.MEMBER,
    commands.CreateSnapshot: Role.MEMBER,
    commands.CreateSnapshots: Role.MEMBER,
    commands.CopySnapshot: Role.MEMBER,
    commands.ModifySnapshot: Role.MEMBER,
    commands.DeleteSnapshot: Role.MEMBER,
    commands.EncryptByDefault: Role.MEMBER,
    commands.Check: Role.ADMIN,
    **dict.fromkeys(network_commands.ALL, Role.MEMBER),
    commands.CreateMixin: Role.MEMBER,
    commands.DeleteMixin: Role.MEMBER,
    commands.Associate: Role.MEMBER,
    commands.SetNotes: Role.MEMBER,
    commands.AddHost: Role.ADMIN,
    commands.SetHostState: Role.ADMIN,
    commands.DeleteHost: Role.ADMIN,
    commands.PutFlavor: Role.ADMIN,
    commands.DeleteFlavor: Role.ADMIN,
    commands.CreateTenant: Role.ADMIN,
    commands.SetQuota: Role.ADMIN,
    commands.PurgeTenant: Role.ADMIN,
    commands.CreateUser: Role.ADMIN,
    commands.DeleteUser: Role.ADMIN,
    commands.SetPassword: Role.ADMIN,
    commands.CreateAccessKey: Role.ADMIN,
    commands.SetAccessKeyActive: Role.ADMIN,
    commands.DeleteAccessKey: Role.ADMIN,
    commands.CreateToken: Role.ADMIN,
    commands.DeleteToken: Role.ADMIN,
    launch_commands.CreateLaunchTemplate: Role.MEMBER,
    launch_commands.CreateLaunchTemplateVersion: Role.MEMBER,
    launch_commands.SetDefaultVersion: Role.MEMBER,
    launch_commands.DeleteLaunchTemplate: Role.MEMBER,
    launch_commands.DeleteLaunchTemplateVersions: Role.MEMBER,
    launch_commands.CreatePlacementGroup: Role.MEMBER,
    launch_commands.DeletePlacementGroup: Role.MEMBER,
    launch_commands.PlaceInstance: Role.MEMBER,
    identity_commands.JoinTenant: Role.ADMIN,
    identity_commands.LeaveTenant: Role.ADMIN,
    identity_commands.AddIdentity: Role.ADMIN,
    identity_commands.RemoveIdentity: Role.ADMIN,
    identity_commands.AdmitSubject: Role.ADMIN,
    identity_commands.CreateRole: Role.ADMIN,
    identity_commands.DeleteRole: Role.ADMIN,
    identity_commands.AssumeRole: Role.MEMBER,
    identity_commands.BeginSession: Role.MEMBER,
    **dict.fromkeys(request_commands.ALL, Role.MEMBER),
}
"""The least role for each command: the vocabulary is complete here (a test asserts it)."""


def authorise(caller: Caller, command: object) -> None:
    """Refuse a command whose role the caller lacks."""
    if POLICY[type(command)] is Role.ADMIN and not caller.is_admin:
        raise BackendError(Code.DENIED, "You are not allowed to do this.")


def scope(caller: Caller) -> str | None:
    """The tenant a caller is confined to; None for an administrator at the command line."""
    return None if caller.is_admin and caller.api in {Api.CLI, Api.ENGINE} else caller.tenant_id


def visible(caller: Caller, instance: Instance | None, now: float, done_visible: float) -> bool:
    """Whether a caller may know of an instance."""
    if instance is None or scope(caller) not in {None, instance.tenant_id}:
        return False
    if scope(caller) is not None and caller.region and caller.region != instance.region:
        return False
    return instance.ended_at is None or now - instance.ended_at < done_visible


def own_instances(
    work: Work, ids: Sequence[str], *, ended: bool = False, lock: bool = False
) -> list[Instance]:
    """Instances by id, each once, in the order asked; all must exist for the caller.

    With ``lock`` they stay in their states until this transaction has ended.
    """
    wanted = list(dict.fromkeys(ids))
    found = work.tx.instances.some(wanted)
    if lock:
        found = {item: held for item in sorted(found) if (held := work.tx.instances.lock(item)) is not None}
    missing = tuple(
        item
        for item in wanted
        if not visible(work.caller, found.get(item), work.now, work.settings.done_visible)
        or (not ended and found[item].detail == "done")
    )
    if missing:
        raise instances_not_found(missing)
    return [found[item] for item in wanted]


def instances_not_found(missing: Sequence[str]) -> BackendError:
    """The refusal for unknown (or foreign) instances."""
    names = ", ".join(missing)
    return BackendError(Code.INSTANCE_NOT_FOUND, f"No such instance: {names}", ids=tuple(missing))


def usable_image(caller: Caller, image: Image | None) -> bool:
    """Whether a caller may see an image: its own, a public or a shared one.

    What is disabled or not published yet is its owner's alone (lifecycle §9).
    """
    if image is None or image.state is ImageState.GONE:
        return False
    if scope(caller) in {None, image.tenant_id}:
        return True
    if image.state is ImageState.DISABLED or image.publication in UNPUBLISHED:
        return False
    return image.public or caller.account_id in image.launch_accounts


def seen_image(caller: Caller, image_id: str, image: Image | None) -> Image:
    """An image that the caller may see; its owner is told of one that is deregistered."""
    if image is not None and image.state is ImageState.GONE and scope(caller) in {None, image.tenant_id}:
        raise BackendError(Code.IMAGE_UNAVAILABLE, f"The image {image_id} is deregistered.", ids=(image_id,))
    if image is None or not usable_image(caller, image):
        raise BackendError(Code.IMAGE_NOT_FOUND, f"No such image: {image_id}", ids=(image_id,))
    return image


def seen_volumes(caller: Caller, ids: Sequence[str], found: Mapping[str, Volume]) -> list[Volume]:
    """Volumes by id, each once, in the order asked; all must exist for the caller, in its region."""
    wanted = list(dict.fromkeys(ids))
    missing = tuple(item for item in wanted if not _in_scope(caller, found.get(item)))
    if missing:
        names = ", ".join(missing)
        raise BackendError(Code.VOLUME_NOT_FOUND, f"No such volume: {names}", ids=missing)
    return [found[item] for item in wanted]


def _in_scope(caller: Caller, thing: Volume | Snapshot | None) -> bool:
    if thing is None or scope(caller) not in {None, thing.tenant_id}:
        return False
    return scope(caller) is None or not caller.region or caller.region == thing.region


def own_volume(work: Work, volume_id: str) -> Volume:
    """A volume the caller may change."""
    return seen_volumes(work.caller, [volume_id], work.tx.volumes.some([volume_id]))[0]


def usable_snapshot(caller: Caller, snapshot: Snapshot | None) -> bool:
    """Whether a caller may see a snapshot and make volumes of it: its own, a public or a shared one."""
    if snapshot is None:
        return False
    if scope(caller) is not None and caller.region and caller.region != snapshot.region:
        return False
    mine = scope(caller) in {None, snapshot.tenant_id}
    return mine or snapshot.public or caller.account_id in snapshot.accounts


def seen_snapshots(caller: Caller, ids: Sequence[str], found: Mapping[str, Snapshot]) -> list[Snapshot]:
    """Snapshots by id, each once, in the order asked; all must exist for the caller."""
    wanted = list(dict.fromkeys(ids))
    missing = tuple(item for item in wanted if not usable_snapshot(caller, found.get(item)))
    if missing:
        names = ", ".join(missing)
        raise BackendError(Code.SNAPSHOT_NOT_FOUND, f"No such snapshot: {names}", ids=missing)
    return [found[item] for item in wanted]


def seen_snapshot(work: Work, snapshot_id: str, *, region: str = "") -> Snapshot:
    """A snapshot that the caller may make volumes of, in its region or one that is named."""
    caller = msgspec.structs.replace(work.caller, region=region) if region else work.caller
    return seen_snapshots(caller, [snapshot_id], work.tx.snapshots.some([snapshot_id]))[0]


def own_snapshot(work: Work, snapshot_id: str) -> Snapshot:
    """A snapshot the caller may change; a visible foreign one is refused, an invisible one is unknown."""
    snapshot = seen_snapshot(work, snapshot_id)
    if not _in_scope(work.caller, snapshot):
        raise BackendError(Code.NOT_OWNER, f"The snapshot {snapshot_id} is not yours.", ids=(snapshot_id,))
    return snapshot


def own_key_pair(work: Work, key_pair_id: str) -> KeyPair | None:
    """A key pair that the caller may change: one of the tenant's in the caller's region."""
    pair = work.tx.key_pairs.get(key_pair_id)
    if pair is None or scope(work.caller) is None:
        return pair
    return pair if (pair.tenant_id, pair.region) == (work.caller.tenant_id, work.region) else None


def own_image(work: Work, image_id: str) -> Image:
    """An image the caller may change; a visible foreign one is refused, an invisible one is unknown."""
    image = seen_image(work.caller, image_id, work.tx.images.get(image_id))
    if scope(work.caller) not in {None, image.tenant_id}:
        raise BackendError(Code.NOT_OWNER, f"The image {image_id} is not yours.", ids=(image_id,))
    return image
