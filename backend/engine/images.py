"""Images: their records, their life-cycle and publication (lifecycle §9), and what brings them in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backend import commands
from backend.engine.access import own_image, own_instances, seen_image
from backend.engine.disks import (
    ROOT_DEVICE,
    check_type,
    check_volume_quota,
    choose_device,
    gib,
    is_root_device,
    merge,
    reseal,
    usable_content,
)
from backend.engine.registry import check_quota, lock_tenant
from backend.engine.snapshots import (
    NO_VOLUME,
    begin_snapshot,
    call_off,
    check_snapshot_quota,
    forget_made_with,
    forget_snapshot,
    hold,
    own_copy,
)
from backend.engine.tagging import give_tags
from backend.engine.tasks import begin_saveas_reboot, begin_task
from backend.engine.volumes import wrong_volume_state
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from backend.model import (
    BlockDevice,
    Caller,
    Content,
    Desired,
    Image,
    ImageState,
    Instance,
    Publication,
    QuotaName,
    Reason,
    SeedKind,
    Snapshot,
    SnapshotState,
    Task,
    TaskKind,
    Volume,
    VolumeState,
    new_id,
)
from backend.store import InstanceQuery

EXPORT_FORMATS = frozenset({"raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc"})
"""What an image can be written as, in qemu-img's words."""

_SAVED_FROM = frozenset({"runn", "poff", "susp.disk"})
"""Details in which an instance's disks can be kept (lifecycle §20.3, CreateImage)."""

# Publication (lifecycle §9.2) ---------------------------------------------------------------------------

PUBLISHING: Mapping[Publication, frozenset[Publication]] = {
    Publication.BUILT: frozenset({Publication.TESTING}),
    Publication.TESTING: frozenset({Publication.PUBLISHED, Publication.REJECTED}),
    Publication.REJECTED: frozenset({Publication.TESTING, Publication.PURGED}),
    Publication.PUBLISHED: frozenset({Publication.DEPRECATED, Publication.REVOKED}),
    Publication.DEPRECATED: frozenset({Publication.REVOKED, Publication.PURGED}),
    Publication.REVOKED: frozenset({Publication.PUBLISHED}),
}
"""What may follow what."""

_ANYBODY = frozenset({Publication.NONE, Publication.PUBLISHED, Publication.DEPRECATED})
_TESTERS = frozenset({Publication.BUILT, Publication.TESTING})
_UNTESTED = _TESTERS | {Publication.REJECTED}
_TESTABLE = _ANYBODY | _TESTERS | {Publication.REJECTED}


def may_launch(caller: Caller, image: Image) -> bool:
    """Whether an image's publication lets a caller make new instances of it: what is not published yet only
    its builder and administrators, what is rejected or revoked nobody (invariant 21).
    """
    if image.publication in _ANYBODY:
        return True
    return image.publication in _TESTERS and (caller.is_admin or caller.tenant_id == image.tenant_id)


def publish_image(work: Work, command: commands.PublishImage) -> Image:
    """Move a version of a product line on; the one published before is deprecated by its successor."""
    image, wanted = own_image(work, command.image_id), command.publication
    if wanted not in PUBLISHING.get(image.publication, frozenset()):
        now = image.publication.value or "in no product line"
        raise _wrong_state(image, f"The image {image.id} is {now}; it cannot become {wanted.value}.")
    if image.publication is Publication.REVOKED and not command.reason:
        raise BackendError(
            Code.PARAMETER_MISSING, "Publishing what was revoked needs a reason.", parameter="reason"
        )
    if wanted is Publication.PURGED:
        return _withdraw(work, image)
    if wanted is Publication.PUBLISHED:
        _require_tested(work, image)
        _deprecate_others(work, image)
    if wanted is Publication.REVOKED:
        _tell_descendants(work, image, command.reason)
    return work.tx.images.update(
        image,
        publication=wanted,
        deprecated_at=work.now if wanted is Publication.DEPRECATED else None,
        report="" if wanted is Publication.TESTING else image.report,
        message=command.reason or image.message,
    )


def _require_tested(work: Work, image: Image) -> None:
    testing = any(task.kind is TaskKind.IMAGE_TEST for task in work.tx.tasks.open_of_resource(image.id))
    if image.state is not ImageState.READY or testing:
        raise _wrong_state(image, f"The image {image.id} is not ready, or still being tested.")
    if not image.report:
        raise _wrong_state(image, f"The image {image.id} has not passed its tests.")


def _deprecate_others(work: Work, image: Image) -> None:
    for other in work.tx.images.of_line(image.tenant_id, image.line):
        if other.publication is Publication.PUBLISHED and other.id != image.id:
            work.tx.images.update(other, publication=Publication.DEPRECATED, deprecated_at=work.now)


def _tell_descendants(work: Work, image: Image, reason: str) -> None:
    """Every instance of the image, and of those saved or copied from one, has it in its history."""
    family, known = {image.id}, work.tx.images.all()
    while found := {each.id for each in known if each.source_image_id in family} - family:
        family |= found
    why = f"The image {image.id} was revoked: {reason}" if reason else f"The image {image.id} was revoked."
    for instance in work.tx.instances.find(InstanceQuery(equal={"image_id": tuple(sorted(family))})):
        work.note(instance, op="image_revoked", old=instance.detail, why=why)


def test_image(work: Work, command: commands.TestImage) -> Task:
    """Have an image booted and checked; a version of a product line is ``testing`` meanwhile."""
    image = own_image(work, command.image_id)
    open_tasks = work.tx.tasks.open_of_resource(image.id)
    if image.state is not ImageState.READY or any(task.kind is TaskKind.IMAGE_TEST for task in open_tasks):
        raise _wrong_state(image, f"The image {image.id} is not ready, or being tested already.")
    if image.publication not in _TESTABLE:
        raise _wrong_state(image, f"The image {image.id} is {image.publication.value}.")
    if image.publication in _UNTESTED:
        image = work.tx.images.update(image, publication=Publication.TESTING, report="")
    return begin_task(work, TaskKind.IMAGE_TEST, image.id, tenant_id=image.tenant_id)


def test_ended(work: Work, image: Image, *, passed: bool, report: str) -> Image:
    """Keep what a test found; a version that failed a mandatory check is rejected."""
    rejected = image.publication is Publication.TESTING and not passed
    return work.tx.images.update(
        image, report=report, publication=Publication.REJECTED if rejected else image.publication
    )


# Registering --------------------------------------------------------------------------------------------


def register_image(work: Work, command: commands.RegisterImage) -> Image:
    """Register a disk image of a content of the image store, or of a snapshot (RegisterImage)."""
    caller = work.caller
    if command.image_id is not None and work.tx.images.get(command.image_id) is not None:
        raise BackendError(Code.IMAGE_EXISTS, f"The id {command.image_id} is taken.", ids=(command.image_id,))
    _check_name(work, command.name, caller.tenant_id)
    identity = command.image_id or new_id("ami")
    source = _source(work, command, identity)
    image = Image(
        id=identity,
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        name=command.name,
        state=ImageState.READY,
        created_at=work.now,
        architecture=command.architecture,
        description=command.description,
        location=command.location,
        public=command.public,
        seed=command.seed,
        mappings=_checked(work, merge((), command.mappings), gib(source["virtual_bytes"])),
        **source,
        **_next_version(work, command),
    )
    if image.public:
        _require_open(image)
    work.tx.images.insert(image)
    give_tags(work, [image.id], "image", command.tags)
    return image


def _require_open(image: Image) -> None:
    """Refuse to give others an image whose passphrase is its owner's."""
    if image.encrypted:
        raise BackendError(Code.UNSUPPORTED, "Encrypted images cannot be made public or shared.")


def _source(work: Work, command: commands.RegisterImage, identity: str) -> dict[str, Any]:
    """The fields that say what an image's root disk is."""
    if not command.snapshot_id:
        if command.content is None:
            raise BackendError(
                Code.PARAMETER_MISSING, "An image needs a content or a snapshot.", parameter="imageLocation"
            )
        content = work.tx.contents.put(command.content)
        # The same bytes may have been on their way out. In a dry run they are yet to come.
        if content.path and not Path(content.path).is_file():
            raise BackendError(Code.IMAGE_UNREADABLE, "The image's file is not in the store; give it again.")
        return _content_fields(content)
    snapshot = _own_completed(work, command.snapshot_id)
    content = _content(work, snapshot)
    fields = _content_fields(content) | {"snapshot_id": snapshot.id}
    if snapshot.encrypted:
        fields |= {"encrypted": True, "secret": reseal(work, identity, snapshot.id, snapshot.secret)}
    return fields


def _content_fields(content: Content) -> dict[str, Any]:
    return {
        "checksum": content.checksum,
        "format": content.format,
        "size_bytes": content.size_bytes,
        "virtual_bytes": content.virtual_bytes,
    }


def _content(work: Work, snapshot: Snapshot) -> Content:
    content = work.tx.contents.lock(snapshot.content)
    if content is None or not content.path:
        raise BackendError(
            Code.SNAPSHOT_WRONG_STATE,
            f"The bytes of the snapshot '{snapshot.id}' are not there.",
            ids=(snapshot.id,),
            state=snapshot.state.value,
        )
    return content


def hold_content(work: Work, image: Image) -> None:
    """Require the bytes of an image that is ready; nobody removes them before this transaction has ended."""
    content = work.tx.contents.lock(image.checksum)
    if content is None or not content.path:
        raise BackendError(
            Code.IMAGE_UNAVAILABLE, f"The bytes of the image {image.id} are not there.", ids=(image.id,)
        )


def _own_completed(work: Work, snapshot_id: str) -> Snapshot:
    """A snapshot to refer to: of somebody else's a copy, so that its owner may do with it as ever."""
    snapshot = usable_content(work, snapshot_id)
    if snapshot.tenant_id == work.caller.tenant_id:
        return hold(work, snapshot)
    check_snapshot_quota(work, work.caller.tenant_id, 1)
    return own_copy(work, snapshot, snapshot.description)


def _check_name(work: Work, name: str, tenant_id: str) -> None:
    """Refuse a bad or taken name, and an image above the tenant's limit."""
    if not 3 <= len(name) <= 128:
        raise BackendError(
            Code.PARAMETER_INVALID, "An image's name has 3 to 128 characters.", parameter="Name"
        )
    lock_tenant(work, tenant_id)
    own = [image for image in work.tx.images.visible(tenant_id, "") if image.tenant_id == tenant_id]
    taken = next((image for image in own if image.name == name), None)
    if taken is not None:
        raise BackendError(
            Code.IMAGE_NAME_EXISTS,
            f"AMI name {name} is already in use by AMI {taken.id}",
            name=name,
            image=taken.id,
        )
    check_quota(work, QuotaName.IMAGES, lambda: len(own), Code.QUOTA_IMAGES, tenant_id=tenant_id)


def _next_version(work: Work, command: commands.RegisterImage) -> dict[str, Any]:
    """The fields of the next version of a product line, which is a name and an architecture."""
    if not command.line:
        return {"changelog": command.changelog}
    line = f"{command.line}/{command.architecture}"
    before = work.tx.images.of_line(work.caller.tenant_id, line)
    return {
        "line": line,
        "line_version": before[-1].line_version + 1 if before else 1,
        "parent_id": before[-1].id if before else "",
        "publication": Publication.BUILT,
        "changelog": command.changelog,
    }


def _checked(work: Work, mappings: Sequence[BlockDevice], root_gib: int) -> tuple[BlockDevice, ...]:
    """Block devices that every launch could use: names, sizes and types are good, snapshots completed."""
    return tuple(
        _checked_root(each, root_gib) if is_root_device(each.device) else _checked_extra(work, each)
        for each in mappings
    )


def _checked_root(each: BlockDevice, least: int) -> BlockDevice:
    """The root's entry, of which the image itself says what it is made of."""
    if each.virtual_name:
        raise _bad_mapping("The root device is no instance store volume.")
    _require_size(each, least, "the image")
    return msgspec.structs.replace(each, snapshot_id="")


def _checked_extra(work: Work, each: BlockDevice) -> BlockDevice:
    if each.virtual_name:
        return each
    choose_device(each.device, (), scratch=False)
    if not each.snapshot_id:
        if each.size_gib is None:
            raise _bad_mapping(f"The mapping of {each.device} needs a size or a snapshot.")
        _require_size(each, 1, "a volume")
        return each
    snapshot = _own_completed(work, each.snapshot_id)
    each = msgspec.structs.replace(
        each,
        snapshot_id=snapshot.id,
        size_gib=snapshot.size_gib if each.size_gib is None else each.size_gib,
    )
    if snapshot.encrypted and each.encrypted is False:
        raise _bad_mapping(f"What {each.device} is made of is encrypted, and so is every volume of it.")
    _require_size(each, snapshot.size_gib, f"snapshot '{each.snapshot_id}'")
    return each


def _require_size(each: BlockDevice, least: int, what: str) -> None:
    size = least if each.size_gib is None else each.size_gib
    if size < least:
        raise _bad_mapping(f"Volume of size {size}GB is smaller than {what}, expect size >= {least}GB")
    check_type(each.type, size, each.iops, each.throughput)


def _bad_mapping(sentence: str) -> BackendError:
    return BackendError(Code.BLOCK_DEVICE_INVALID, sentence)


def _wrong_state(image: Image, sentence: str) -> BackendError:
    return BackendError(Code.IMAGE_WRONG_STATE, sentence, ids=(image.id,), state=image.state.value)


# Of an instance -----------------------------------------------------------------------------------------


def create_image(work: Work, command: commands.CreateImage) -> Image:
    """Make an image of an instance's disks: a snapshot of each; it is ready when all are (CreateImage)."""
    [instance] = own_instances(work, [command.instance_id])
    _check_name(work, command.name, instance.tenant_id)
    busy = instance.job_id is not None or instance.detail not in _SAVED_FROM
    if instance.desired is Desired.GONE or (busy and not command.deferred):
        raise wrong_state(instance, "create_image")
    volumes = work.tx.volumes.of_instance(instance.id)
    devices = merge([_device_of(volume) for volume in volumes], command.mappings)
    kept = [volume for volume in volumes if _is_kept(volume, devices)]
    root = next((volume for volume in kept if volume.boot), None)
    if root is None:
        raise _bad_mapping("The root device cannot be left out of an image.")
    for volume in kept:
        if volume.state is not VolumeState.IN_USE or not volume.made:
            raise wrong_volume_state(volume, "create_image")
    check_snapshot_quota(work, instance.tenant_id, len(kept))
    image_id = new_id("ami")
    if instance.detail == "runn" and not command.no_reboot and not command.deferred:
        begin_saveas_reboot(work, instance)  # first: the tasks then join its job
    described = f"Created by CreateImage({instance.id}) for {image_id}"
    made = {volume.id: begin_snapshot(work, volume, described, deferred=command.deferred) for volume in kept}
    for snapshot in made.values():
        give_tags(work, [snapshot.id], "snapshot", command.snapshot_tags, tenant_id=snapshot.tenant_id)
    image = Image(
        id=image_id,
        tenant_id=instance.tenant_id,
        account_id=instance.account_id,
        name=command.name,
        state=ImageState.LOCKED,
        format="",
        checksum="",
        size_bytes=0,
        virtual_bytes=root.size_bytes,
        created_at=work.now,
        architecture=instance.architecture,
        description=command.description,
        snapshot_id=made[root.id].id,
        mappings=_saved(work, devices, kept, made),
        source_instance_id=instance.id,
        source_image_id=instance.image_id,
        encrypted=root.encrypted,
        secret=reseal(work, image_id, root.id, root.secret) if root.encrypted else b"",
        seed=_seed_of(work, instance),
    )
    work.tx.images.insert(image)
    give_tags(work, [image.id], "image", command.tags, tenant_id=image.tenant_id)
    return image


def _device_of(volume: Volume) -> BlockDevice:
    """A volume as an entry of a block device mapping."""
    return BlockDevice(
        device=ROOT_DEVICE if volume.boot else volume.device,
        size_gib=volume.size_gib,
        type=volume.type,
        iops=volume.iops,
        throughput=volume.throughput,
        encrypted=volume.encrypted or None,
        delete_on_termination=volume.delete_on_termination,
    )


def _is_kept(volume: Volume, devices: Iterable[BlockDevice]) -> bool:
    """Whether a volume goes into the image: its device is neither taken out nor made of something else."""
    return any(_is_of(each, volume) and not each.snapshot_id and not each.virtual_name for each in devices)


def _is_of(each: BlockDevice, volume: Volume) -> bool:
    return is_root_device(each.device) if volume.boot else each.device == volume.device


def _saved(
    work: Work, devices: Sequence[BlockDevice], kept: Sequence[Volume], made: Mapping[str, Snapshot]
) -> tuple[BlockDevice, ...]:
    """The image's mapping: what is kept with its snapshot, the rest as registering would take it."""
    found: list[BlockDevice] = []
    for each in devices:
        volume = next((volume for volume in kept if _is_of(each, volume)), None)
        if volume is None:
            found.append(_checked_extra(work, each))
            continue
        if volume.encrypted and each.encrypted is False:
            raise _bad_mapping(f"The volume {volume.id} is encrypted, and so is every volume made of it.")
        _require_size(each, volume.size_gib, "its volume")
        snapshot_id = "" if volume.boot else made[volume.id].id
        found.append(msgspec.structs.replace(each, snapshot_id=snapshot_id))
    return tuple(found)


def image_progress(work: Work, snapshot: Snapshot) -> None:
    """A snapshot was completed or failed: images that wait for it are ready or in error, and with them the
    instances that wait for the images.
    """
    for image in work.tx.images.of_snapshot(snapshot.id):
        if image.state is ImageState.LOCKED:
            _settle(work, image)


def _settle(work: Work, image: Image) -> None:
    ids = [image.snapshot_id, *(each.snapshot_id for each in image.mappings if each.snapshot_id)]
    disks = work.tx.snapshots.some(ids)
    broken = next((disk for disk in disks.values() if disk.state is SnapshotState.ERROR), None)
    if broken is not None:
        _in_error(work, image, broken.message)
        return
    root = disks.get(image.snapshot_id)
    if root is None or any(disk.state is not SnapshotState.COMPLETED for disk in disks.values()):
        return
    fields = _content_fields(_content(work, root))
    ready = work.tx.images.update(image, state=ImageState.READY, message="", **fields)
    for instance in _waiting_for(work, ready):
        _let_go_on(work, instance, ready, root, disks)


def _in_error(work: Work, image: Image, why: str) -> Image:
    image = work.tx.images.update(image, state=ImageState.ERROR, message=why)
    for instance in _waiting_for(work, image):
        _wake(work, instance, "images_error", reason=Reason.LAUNCH_FAILED, reason_text=why)
    return image


def _waiting_for(work: Work, image: Image) -> list[Instance]:
    waiting = work.tx.instances.in_details(["pend.image"])
    return [instance for instance in waiting if instance.image_id == image.id]


def _wake(work: Work, instance: Instance, row: str, **changes: Any) -> None:
    edge = transition(row, instance.detail)
    if edge is None:
        raise AssertionError(row)
    work.begin(instance, edge, op=row, **changes)
    work.wake_scheduler()


def _let_go_on(
    work: Work, instance: Instance, image: Image, root: Snapshot, disks: Mapping[str, Snapshot]
) -> None:
    """What the volumes of a waiting instance begin as, and how large the root is, is known only now."""
    volumes = [volume for volume in work.tx.volumes.of_instance(instance.id) if not volume.made]
    least = gib(image.virtual_bytes)
    more = sum(max(least - volume.size_gib, 0) for volume in volumes if volume.boot)
    try:
        if more:
            check_volume_quota(work, instance.tenant_id, 0, more)
    except BackendError as error:
        _wake(work, instance, "images_error", reason=Reason.LAUNCH_FAILED, reason_text=error.message)
        return
    for volume in volumes:
        if volume.boot:
            size = max(volume.size_gib, least)
            work.tx.volumes.update(volume, content=root.content, snapshot_id=root.id, size_gib=size)
        elif volume.snapshot_id in disks:
            work.tx.volumes.update(volume, content=disks[volume.snapshot_id].content)
    _wake(work, instance, "images_ready", root_gib=instance.root_gib + more)


# Copying ------------------------------------------------------------------------------------------------


def copy_image(work: Work, command: commands.CopyImage) -> Image:
    """An image of the caller's own with the same bytes, at once: bytes never change (CopyImage)."""
    source = seen_image(work.caller, command.source_id, work.tx.images.get(command.source_id))
    if source.state is not ImageState.READY or not may_launch(work.caller, source):
        raise BackendError(
            Code.IMAGE_UNAVAILABLE,
            f"The image {source.id} is not ready.",
            ids=(source.id,),
            state=source.state.value,
        )
    caller, image_id = work.caller, _id_for(work, "ami", command.client_token)
    known = work.tx.images.get(image_id)
    if known is not None:
        _require_same((known.source_image_id, known.name), (source.id, command.name))
        return known
    _check_name(work, command.name, caller.tenant_id)
    hold_content(work, source)
    disks = work.tx.snapshots.some(
        [each for each in (source.snapshot_id, *(one.snapshot_id for one in source.mappings)) if each]
    )
    if work.encrypts_unasked and not (source.encrypted and all(disk.encrypted for disk in disks.values())):
        raise BackendError(
            Code.UNSUPPORTED,
            "An image that is not encrypted cannot be copied to one that is, as is asked for in this region; "
            "launch it: its volumes are encrypted then, and an image of the instance is, too.",
        )
    check_snapshot_quota(work, caller.tenant_id, len(disks))
    copies = {
        disk.id: own_copy(
            work, disk, f"Copied for DestinationAmi {image_id} from SourceAmi {source.id} for {disk.id}"
        ).id
        for disk in disks.values()
    }
    for copy in copies.values():
        give_tags(work, [copy], "snapshot", command.snapshot_tags)
    image = msgspec.structs.replace(
        source,
        id=image_id,
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        name=command.name,
        description=command.description,
        created_at=work.now,
        location="",
        public=False,
        launch_accounts=(),
        snapshot_id=copies.get(source.snapshot_id, ""),
        mappings=tuple(
            msgspec.structs.replace(each, snapshot_id=copies.get(each.snapshot_id, ""))
            for each in source.mappings
        ),
        source_instance_id="",
        source_image_id=source.id,
        secret=reseal(work, image_id, source.id, source.secret) if source.encrypted else b"",
        deprecated_at=None,
        publication=Publication.NONE,
        line="",
        line_version=0,
        parent_id="",
        changelog="",
        report="",
        message="",
        version=1,
    )
    work.tx.images.insert(image)
    give_tags(work, [image.id], "image", command.tags)
    return image


# Changing -----------------------------------------------------------------------------------------------


def _seed_of(work: Work, instance: Instance) -> SeedKind:
    """What its guests are told by is a property of the bytes, and theirs are the instance's."""
    source = work.tx.images.get(instance.image_id)
    return source.seed if source is not None else SeedKind.DEFAULT


def modify_image(work: Work, command: commands.ModifyImage) -> Image:
    """Change an own image's description, permissions, availability or deprecation.

    Disabling takes all launch permissions away, as EC2's DisableImage does.
    """
    image = own_image(work, command.image_id)
    changes: dict[str, Any] = {}
    if command.description is not None:
        changes["description"] = command.description
    if command.deprecate_at is not None:
        changes["deprecated_at"] = command.deprecate_at or None
    if command.seed is not None:
        changes["seed"] = command.seed
    changes |= _permissions(image, command)
    if command.enabled is not None:
        changes |= _switched(image, on=command.enabled)
    return work.tx.images.update(image, **changes) if changes else image


def _permissions(image: Image, command: commands.ModifyImage) -> dict[str, Any]:
    given = command.public is not None or command.add_accounts or command.remove_accounts
    if not given and not command.reset_permissions:
        return {}
    if image.state is ImageState.DISABLED and (command.public or command.add_accounts):
        raise _wrong_state(image, f"The image {image.id} is disabled and cannot be shared.")
    if command.public or command.add_accounts:
        _require_open(image)
    accounts = set() if command.reset_permissions else set(image.launch_accounts)
    accounts = (accounts | set(command.add_accounts)) - set(command.remove_accounts)
    public = False if command.reset_permissions else image.public
    return {
        "launch_accounts": tuple(sorted(accounts)),
        "public": public if command.public is None else command.public,
    }


def _switched(image: Image, *, on: bool) -> dict[str, Any]:
    """Enabled or disabled; there already is success."""
    if image.state is ImageState.LOCKED or (on and not image.checksum):
        raise _wrong_state(image, f"The image {image.id} is not complete.")
    if on:
        return {"state": ImageState.READY, "message": ""}
    return {"state": ImageState.DISABLED, "public": False, "launch_accounts": ()}


def deregister_image(work: Work, command: commands.DeregisterImage) -> Image:
    """Withdraw an own image, which instances keep; its snapshots stay unless told not to (DeregisterImage).

    An import that is not finished is called off with what it was to bring; what CreateImage began becomes
    snapshots without an image.
    """
    image = _withdraw(work, own_image(work, command.image_id))
    if command.snapshots:
        forget_made_with(work, image)
    return image


def _withdraw(work: Work, image: Image) -> Image:
    tasks = work.tx.tasks.open_of_resource(image.id)
    if any(task.kind is TaskKind.IMAGE_TEST for task in tasks):
        raise _wrong_state(image, f"The image {image.id} is being tested.")
    return withdraw(work, image)


def withdraw(work: Work, image: Image) -> Image:
    """Take an image out of use, whatever is being done with it; who waits for it waits no more."""
    if image.state is ImageState.LOCKED:
        image = _in_error(work, image, "The image was deregistered.")
    work.tx.tags.drop([image.id])
    gone = work.tx.images.update(
        image,
        state=ImageState.GONE,
        publication=Publication.PURGED if image.line else Publication.NONE,
        deregistered_at=work.now,
    )
    call_off(work, image.id)
    return gone


# Import and export --------------------------------------------------------------------------------------


def import_image(work: Work, command: commands.ImportImage) -> Task:
    """Bring a disk image in as a snapshot with an image of it; both can be seen from the beginning."""
    caller, image_id = work.caller, new_id("ami")
    task_id = _id_for(work, "import-ami", command.client_token)
    known = _replayed(work, task_id, command.token_digest)
    if known is not None:
        return known
    name = command.name or task_id
    _check_name(work, name, caller.tenant_id)
    described = f"Created by ImportImage({task_id}) for {image_id}"
    snapshot = _expected(work, described, command.tags)
    image = Image(
        id=image_id,
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        name=name,
        state=ImageState.LOCKED,
        format="",
        checksum="",
        size_bytes=0,
        virtual_bytes=0,
        created_at=work.now,
        architecture=command.architecture,
        description=command.description,
        location=command.location,
        public=command.public,
        snapshot_id=snapshot.id,
    )
    work.tx.images.insert(image)
    for resource_id, kind in ((image_id, "image"), (task_id, "import-image-task")):
        give_tags(work, [resource_id], kind, command.tags)
    return begin_task(
        work,
        TaskKind.IMAGE_IMPORT,
        image_id,
        tenant_id=caller.tenant_id,
        task_id=task_id,
        arguments=_sources(command) | {"snapshot": snapshot.id},
    )


def import_snapshot(work: Work, command: commands.ImportSnapshot) -> Task:
    """Bring a disk image in as a snapshot, to be seen from the beginning (ImportSnapshot)."""
    task_id = _id_for(work, "import-snap", command.client_token)
    known = _replayed(work, task_id, command.token_digest)
    if known is not None:
        return known
    described = command.description or f"Created by ImportSnapshot({task_id})"
    snapshot = _expected(work, described, command.tags)
    give_tags(work, [task_id], "import-snapshot-task", command.tags)
    return begin_task(
        work,
        TaskKind.SNAPSHOT_IMPORT,
        snapshot.id,
        tenant_id=snapshot.tenant_id,
        task_id=task_id,
        arguments=_sources(command) | {"snapshot": snapshot.id},
    )


def _id_for(work: Work, prefix: str, token: str) -> str:
    """The id of what a client token stands for: the same for the same token, so that there is never a second
    of it; a fresh one without a token. A retry beside its original waits for it.
    """
    if not token:
        return new_id(prefix)
    lock_tenant(work, work.caller.tenant_id)
    key = f"{work.caller.tenant_id} {work.region} {prefix} {token}"
    return f"{prefix}-{hashlib.sha256(key.encode()).hexdigest()[:17]}"


def _replayed(work: Work, task_id: str, digest: str) -> Task | None:
    """The task that a client token already stands for (spec ec2 §11)."""
    known = work.tx.tasks.get(task_id)
    if known is not None:
        _require_same(known.arguments.get("digest"), digest)
    return known


def _require_same(first: object, again: object) -> None:
    if first != again:
        raise BackendError(Code.TOKEN_MISMATCH, "The client token was used with other parameters.")


def _sources(command: commands.ImportImage | commands.ImportSnapshot) -> dict[str, str]:
    return {
        "location": command.location,
        "form": command.form,
        "description": command.description,
        "digest": command.token_digest,
    }


def _expected(work: Work, description: str, tags: Sequence[tuple[str, str]]) -> Snapshot:
    """A snapshot whose bytes are still to come, and with them its size."""
    caller = work.caller
    check_snapshot_quota(work, caller.tenant_id, 1)
    snapshot = Snapshot(
        id=new_id("snap"),
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        region=work.region,
        volume_id=NO_VOLUME,
        size_gib=0,
        state=SnapshotState.PENDING,
        started_at=work.now,
        description=description,
    )
    work.tx.snapshots.insert(snapshot)
    give_tags(work, [snapshot.id], "snapshot", tags)
    return snapshot


def imported(work: Work, task: Task, content: Content) -> None:
    """What an import was to bring is in the store: its snapshot is complete, and its image ready."""
    snapshot = work.tx.snapshots.get(task.arguments["snapshot"])
    if snapshot is None:
        return
    kept = work.tx.contents.put(content)
    snapshot = work.tx.snapshots.update(
        snapshot,
        state=SnapshotState.COMPLETED,
        content=kept.checksum,
        size_gib=gib(kept.virtual_bytes),
        progress=100,
        completed_at=work.now,
    )
    image_progress(work, snapshot)


def import_failed(work: Work, task: Task, why: str) -> None:
    """Of what an import was to bring nothing stays; the task tells why. One that failed has an ``outcome`` in
    its result, one that was called off has none: clients that wait for a snapshot want to know.
    """
    image = work.tx.images.get(task.resource_id)
    if image is not None and image.state is ImageState.LOCKED:
        _withdraw(work, _in_error(work, image, why))
    snapshot = work.tx.snapshots.get(task.arguments["snapshot"])
    if snapshot is None:
        return
    if task.kind is TaskKind.SNAPSHOT_IMPORT:
        work.tx.tasks.update(task, result={"outcome": "error"})
    forget_snapshot(work, snapshot)


def export_image(work: Work, command: commands.ExportImage) -> Task:
    """Write an own image to a file (ExportImage); ``{task}`` in its path stands for the task's id."""
    image = own_image(work, command.image_id)
    if image.state not in {ImageState.READY, ImageState.DISABLED}:
        raise _wrong_state(image, f"The image {image.id} is not ready.")
    if image.encrypted:
        raise BackendError(Code.UNSUPPORTED, "Encrypted images cannot be exported.")
    if command.form not in EXPORT_FORMATS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Images are exported as {', '.join(sorted(EXPORT_FORMATS))}.",
            parameter="diskImageFormat",
            value=command.form,
        )
    task_id = _id_for(work, "export-ami", command.client_token)
    known = _replayed(work, task_id, command.token_digest)
    if known is not None:
        return known
    give_tags(work, [task_id], "export-image-task", command.tags)
    return begin_task(
        work,
        TaskKind.IMAGE_EXPORT,
        image.id,
        tenant_id=image.tenant_id,
        task_id=task_id,
        arguments={
            "form": command.form,
            "path": command.path.replace("{task}", task_id),
            "description": command.description,
            "digest": command.token_digest,
        },
    )
