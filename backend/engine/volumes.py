"""Volumes: create, delete, modify, attach and detach (lifecycle §10; EC2's and OCCI's block storage)."""

from __future__ import annotations

from typing import Any

import msgspec

from backend import commands
from backend.engine.access import own_instances, own_snapshot, own_volume, usable_image
from backend.engine.disks import (
    ROOT_DEVICE,
    ROOT_TARGET,
    check_type,
    check_volume_quota,
    choose_device,
    gib,
    is_root_device,
    new_secret,
    reseal,
    usable_content,
)
from backend.engine.leaving import touch
from backend.engine.places import same_store
from backend.engine.tagging import check_tags, give_tags
from backend.engine.tasks import begin_hotplug, begin_task
from backend.engine.work import Work, require_off, wrong_state
from backend.errors import BackendError, Code
from backend.lifecycle import ec2_state
from backend.model import (
    AttachState,
    Capacity,
    Desired,
    Host,
    HostState,
    ImageState,
    Instance,
    JobState,
    Modification,
    TaskKind,
    Tenant,
    Volume,
    VolumeState,
    new_id,
)
from backend.store import VolumeToken

_ATTACHABLE = frozenset({"running", "stopped"})
_HIBERNATED = "susp."


# Creating -----------------------------------------------------------------------------------------------


def create_volume(work: Work, command: commands.CreateVolume) -> Volume:
    """Make a volume of zeros, of a snapshot or of an image (CreateVolume)."""
    caller = work.caller
    tenant_id = caller.tenant_id
    if work.tx.tenants.lock(tenant_id) is None:
        raise BackendError(Code.TENANT_NOT_FOUND, "The tenant does not exist.")
    replay = _replay(work, command)
    if replay is not None:
        return replay
    check_tags(command.tags)
    zone = zone_named(work, command.zone)
    volume = Volume(
        id=new_id("vol"),
        tenant_id=tenant_id,
        account_id=caller.account_id,
        region=work.region,
        zone=zone,
        size_gib=0,
        state=VolumeState.CREATING,
        created_at=work.now,
        iops=command.iops,
        throughput=command.throughput,
        api=caller.api,
        client_token=command.client_token,
        summary=command.summary,
    )
    source = _source(work, command, volume)
    least = source.pop("least", None)
    size = command.size_gib if command.size_gib is not None else least
    if size is None:
        raise BackendError(
            Code.PARAMETER_MISSING, "A size or a snapshot is needed.", parameter="size/snapshot"
        )
    if least is not None and size < least:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Volume of size {size}GB is smaller than snapshot, expect size >= {least}GB",
            parameter="size",
            value=size,
        )
    kind = check_type(command.type, size, command.iops, command.throughput)
    check_volume_quota(work, tenant_id, 1, size)
    host = roomiest(work, volume.region, zone, size)
    volume = msgspec.structs.replace(volume, size_gib=size, type=kind, host_id=host.id, **source)
    work.tx.volumes.insert(volume)
    _put_tags(work, volume, command)
    if command.client_token:
        work.tx.volume_tokens.insert(
            VolumeToken(
                tenant_id=tenant_id,
                region=caller.region,
                token=command.client_token,
                digest=command.token_digest,
                volume_id=volume.id,
                created_at=work.now,
            )
        )
    begin_task(work, TaskKind.VOLUME_CREATE, volume.id, tenant_id=tenant_id, lock=volume.id)
    return volume


def _replay(work: Work, command: commands.CreateVolume) -> Volume | None:
    """The first answer again when the client token is known (spec ec2 §11)."""
    if not command.client_token:
        return None
    known = work.tx.volume_tokens.get(work.caller.tenant_id, work.caller.region, command.client_token)
    if known is None:
        return None
    if known.digest != command.token_digest:
        raise BackendError(
            Code.TOKEN_MISMATCH,
            "The client token was used with other parameters.",
            token=command.client_token,
        )
    volume = work.tx.volumes.get(known.volume_id)
    if volume is None:
        raise BackendError(
            Code.VOLUME_NOT_FOUND, f"No such volume: {known.volume_id}", ids=(known.volume_id,)
        )
    return volume


def _source(work: Work, command: commands.CreateVolume, volume: Volume) -> dict[str, Any]:
    """What a volume begins as: fields of its row, and ``least``, the GiB that its source needs."""
    if command.snapshot_id:
        snapshot = usable_content(work, command.snapshot_id)
        found: dict[str, Any] = {
            "snapshot_id": snapshot.id,
            "content": snapshot.content,
            "least": snapshot.size_gib,
        }
        if snapshot.encrypted:
            sealed = reseal(work, volume.id, snapshot.id, snapshot.secret)
            return found | {"encrypted": True, "secret": sealed}
    elif command.image_id:
        image = work.tx.images.get(command.image_id)
        if image is None or not usable_image(work.caller, image):
            raise BackendError(
                Code.IMAGE_NOT_FOUND, f"No such image: {command.image_id}", ids=(command.image_id,)
            )
        if image.state is not ImageState.READY:
            raise BackendError(Code.IMAGE_UNAVAILABLE, f"The image {image.id} is not ready.", ids=(image.id,))
        found = {"image_id": image.id, "content": image.checksum, "least": gib(image.virtual_bytes)}
        if image.encrypted:
            return found | {"encrypted": True, "secret": reseal(work, volume.id, image.id, image.secret)}
    else:
        found = {}
    if command.encrypted or work.encrypts_unasked:
        found |= {"encrypted": True, "secret": new_secret(work, volume.id)}
    return found


def encrypt_by_default(work: Work, command: commands.EncryptByDefault) -> Tenant:
    """Have the tenant's new volumes of this region encrypted unasked, or no more; those there are stay."""
    if command.enabled and work.vault is None:
        raise BackendError(Code.UNSUPPORTED, "Encrypted volumes are not set up in this installation.")
    tenant = work.tx.tenants.lock(work.caller.tenant_id)
    if tenant is None:
        raise BackendError(Code.TENANT_NOT_FOUND, "The tenant does not exist.")
    regions = set(tenant.encrypted_regions) - {work.region} | ({work.region} if command.enabled else set())
    if regions == set(tenant.encrypted_regions):
        return tenant
    return work.tx.tenants.update(tenant, encrypted_regions=tuple(sorted(regions)))


def zone_named(work: Work, name: str | None) -> str:
    """A zone of the caller's region by name; the first one without."""
    zones = work.settings.zones.get(work.region, ())
    if name is None and zones:
        return zones[0]
    if name not in zones:
        raise BackendError(Code.ZONE_NOT_FOUND, f"Invalid availability zone: [{name}]", name=name)
    return str(name)


def roomiest(work: Work, region: str, zone: str, size_gib: int) -> Host:
    """The host of a zone with most free disk, locked, so that two volumes do not take the same room."""
    used = work.tx.reservations.used()
    found: list[tuple[int, str]] = []
    for host in work.tx.hosts.all():
        if (host.region, host.zone, host.state) == (region, zone, HostState.ON):
            taken = used.get(host.id, Capacity()).plus(host.foreign)
            found.append((host.limit.disk_gib - taken.disk_gib, host.id))
    for free, host_id in sorted(found, reverse=True):
        locked = work.tx.hosts.lock(host_id)
        if locked is not None and free >= size_gib:
            return locked
    raise BackendError(Code.VOLUME_CAPACITY, f"No host of the zone {zone} has room for {size_gib} GiB.")


def _put_tags(work: Work, volume: Volume, command: commands.CreateVolume) -> None:
    give_tags(work, [volume.id], "volume", command.tags, tenant_id=volume.tenant_id)
    for scheme, term in command.mixins:
        work.tx.mixins.associate(volume.tenant_id, scheme, term, volume.id)


# Deleting, changing -------------------------------------------------------------------------------------


def delete_volume(work: Work, command: commands.DeleteVolume) -> Volume:
    """Delete a volume that is attached to nothing (DeleteVolume)."""
    volume = own_volume(work, command.volume_id)
    if volume.instance_id is not None:
        raise in_use(volume)
    if volume.state is VolumeState.DELETING:
        return volume
    if volume.state is VolumeState.CREATING:
        raise wrong_volume_state(volume, "delete")
    begin_task(work, TaskKind.VOLUME_DELETE, volume.id, tenant_id=volume.tenant_id, lock=volume.id)
    return work.tx.volumes.update(volume, state=VolumeState.DELETING)


def modify_volume(work: Work, command: commands.ModifyVolume) -> Volume:
    """Grow a volume, or change its type and limits, in use or not (ModifyVolume)."""
    volume = hold_volume(work, own_volume(work, command.volume_id))
    if volume.state not in {VolumeState.AVAILABLE, VolumeState.IN_USE} or not volume.made:
        raise wrong_volume_state(volume, "modify")
    if volume.modification is not None and volume.modification.state == "modifying":
        raise BackendError(
            Code.VOLUME_BEING_MODIFIED,
            f"The volume '{volume.id}' is being modified already.",
            ids=(volume.id,),
        )
    size = volume.size_gib if command.size_gib is None else command.size_gib
    if size < volume.size_gib:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "New size cannot be smaller than existing size",
            parameter="size",
            value=size,
        )
    kind = volume.type if command.type is None else command.type
    same_kind = kind == volume.type
    iops = command.iops if command.iops is not None else volume.iops if same_kind else 0
    throughput = (
        command.throughput if command.throughput is not None else volume.throughput if same_kind else 0
    )
    kind = check_type(kind, size, iops, throughput)
    if size > volume.size_gib:
        check_volume_quota(work, volume.tenant_id, 0, size - volume.size_gib)
        _claim_room(work, volume, size - volume.size_gib)
    change = Modification(
        state="modifying",
        started_at=work.now,
        old_size_gib=volume.size_gib,
        size_gib=size,
        old_type=volume.type,
        type=kind,
        old_iops=volume.iops,
        iops=iops,
        old_throughput=volume.throughput,
        throughput=throughput,
    )
    changed = work.tx.volumes.update(
        volume, size_gib=size, type=kind, iops=iops, throughput=throughput, modification=change
    )
    begin_task(
        work,
        TaskKind.VOLUME_MODIFY,
        volume.id,
        tenant_id=volume.tenant_id,
        lock=volume.id,
        instance_id=volume.instance_id or "",
    )
    return changed


def _claim_room(work: Work, volume: Volume, more_gib: int) -> None:
    host = work.tx.hosts.lock(volume.host_id or "")
    if host is not None and _free_gib(work, host) < more_gib:
        raise BackendError(Code.VOLUME_CAPACITY, "There is no room for the volume to grow where it is.")


def _claim_way(work: Work, volume: Volume, instance: Instance) -> None:
    """Refuse a volume that is to move to a host without room for it, which is locked."""
    if instance.host_id is None or instance.host_id == volume.host_id:
        return
    host = work.tx.hosts.lock(instance.host_id)
    if host is None or same_store(host, work.tx.hosts.get(volume.host_id or "")):
        return
    if _free_gib(work, host) - _coming_gib(work, host) < volume.size_gib:
        raise BackendError(
            Code.VOLUME_CAPACITY, f"The host of the instance has no room for {volume.size_gib} GiB."
        )


def _free_gib(work: Work, host: Host) -> int:
    return host.limit.disk_gib - work.tx.reservations.used_on(host.id).plus(host.foreign).disk_gib


def _coming_gib(work: Work, host: Host) -> int:
    """GiB of the volumes that are still to be brought to a host."""
    moving = [task for task in work.tx.tasks.open() if task.kind is TaskKind.VOLUME_ATTACH]
    volumes = work.tx.volumes.some([task.resource_id for task in moving])
    instances = work.tx.instances.some([task.instance_id for task in moving])
    return sum(
        volumes[task.resource_id].size_gib
        for task in moving
        if task.resource_id in volumes
        and task.instance_id in instances
        and instances[task.instance_id].host_id == host.id
        and not same_store(host, work.tx.hosts.get(volumes[task.resource_id].host_id or ""))
    )


def hold_volume(work: Work, volume: Volume) -> Volume:
    """A volume as it is now; nobody attaches or detaches it before this transaction has ended."""
    held = work.tx.volumes.lock(volume.id)
    if held is None:
        raise BackendError(Code.VOLUME_NOT_FOUND, f"No such volume: {volume.id}", ids=(volume.id,))
    return held


def set_volume(work: Work, command: commands.SetVolume) -> Volume:
    """Change what is only recorded of a volume."""
    volume = own_volume(work, command.volume_id)
    changes: dict[str, Any] = {
        name: getattr(command, name)
        for name in ("auto_io", "online", "summary", "delete_on_termination")
        if getattr(command, name) is not None
    }
    if command.delete_on_termination is not None and volume.instance_id is None:
        raise not_attached(volume, "", "")
    if command.device is not None and command.device != volume.device:
        changes |= _replugged(work, volume, command.device)
    if command.reset:
        if volume.state is not VolumeState.ERROR or not volume.made:
            raise wrong_volume_state(volume, "reset")
        back = VolumeState.AVAILABLE if volume.instance_id is None else VolumeState.IN_USE
        changes |= {"state": back, "message": ""}
    if not changes:
        return volume
    return touch(work, work.tx.volumes.update(volume, **changes))


def _replugged(work: Work, volume: Volume, wanted: str) -> dict[str, str]:
    """The fields of an attachment as another device, in an instance that is off."""
    if volume.instance_id is None:
        raise not_attached(volume, "", wanted)
    [instance] = own_instances(work, [volume.instance_id], lock=True)
    require_off(instance, f"The volume {volume.id} is to be {wanted[:80]}")
    if volume.boot:
        raise BackendError(
            Code.VOLUME_IS_ROOT,
            f"The instance '{instance.id}' boots from the volume '{volume.id}', as {volume.device}.",
            ids=(volume.id,),
            instance=instance.id,
        )
    others = [each for each in work.tx.volumes.of_instance(instance.id) if each.id != volume.id]
    device, target = choose_device(wanted, others, scratch=bool(instance.ephemeral_gib))
    return {"device": device, "target": target}


def revert_volume(work: Work, command: commands.RevertVolume) -> Volume:
    """Make a volume what a snapshot of it says; its instance, if it has one, must be switched off."""
    volume = hold_volume(work, own_volume(work, command.volume_id))
    snapshot = own_snapshot(work, command.snapshot_id)
    usable_content(work, snapshot.id)
    if snapshot.volume_id != volume.id:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"The snapshot {snapshot.id} is none of the volume {volume.id}.",
            parameter="snapshot",
            value=snapshot.id,
        )
    if volume.state not in {VolumeState.AVAILABLE, VolumeState.IN_USE}:
        raise wrong_volume_state(volume, "revert")
    if volume.instance_id is not None:
        [instance] = own_instances(work, [volume.instance_id])
        if instance.detail != "poff" or instance.job_id is not None:
            raise wrong_state(instance, "revert a volume of")
    begin_task(
        work,
        TaskKind.VOLUME_REVERT,
        volume.id,
        tenant_id=volume.tenant_id,
        lock=volume.id,
        instance_id=volume.instance_id or "",
        arguments={"snapshot": snapshot.id},
    )
    return volume


# Attaching, detaching -----------------------------------------------------------------------------------


def attach_volume(work: Work, command: commands.AttachVolume) -> Volume:
    """Attach a volume; the instance's hot-plug job does it (AttachVolume)."""
    own_volume(work, command.volume_id)
    [instance] = own_instances(work, [command.instance_id], ended=True, lock=True)
    _require_pluggable(instance, "attach a volume to")
    volume = own_volume(work, command.volume_id)  # behind the lock, where two who want it are in turn
    require_attachable(volume, instance.zone)
    device, target = _device_for(work, instance, command.device)
    _claim_way(work, volume, instance)
    attached = work.tx.volumes.update(
        volume,
        state=VolumeState.IN_USE,
        instance_id=instance.id,
        attach=AttachState.ATTACHING,
        device=device,
        target=target,
        boot=target == ROOT_TARGET,
        delete_on_termination=command.delete_on_termination,
        asked_at=work.now,
        message="",
    )
    work.tx.instances.touch([instance.id])
    begin_task(
        work,
        TaskKind.VOLUME_ATTACH,
        volume.id,
        tenant_id=volume.tenant_id,
        lock=volume.id,
        instance_id=instance.id,
    )
    return attached


def _device_for(work: Work, instance: Instance, wanted: str) -> tuple[str, str]:
    """The client's name and the target; the root's when that was detached while the instance is stopped."""
    have = work.tx.volumes.of_instance(instance.id)
    stopped = ec2_state(instance.detail, gone=False) == "stopped"
    if is_root_device(wanted) and stopped and not any(volume.boot for volume in have):
        return ROOT_DEVICE, ROOT_TARGET
    return choose_device(wanted, have, scratch=bool(instance.ephemeral_gib))


def require_attachable(volume: Volume, zone: str) -> None:
    """Refuse a volume that is in use, unfinished, switched off, or in another zone."""
    if volume.instance_id is not None:
        raise in_use(volume)
    if volume.state is not VolumeState.AVAILABLE or not volume.online:
        raise wrong_volume_state(volume, "attach")
    if volume.zone != zone:
        raise BackendError(
            Code.VOLUME_ZONE_MISMATCH,
            f"The volume '{volume.id}' is not in the same availability zone as the instance.",
            ids=(volume.id,),
        )


def _require_pluggable(instance: Instance, what: str) -> None:
    gone = instance.desired is Desired.GONE
    shown = ec2_state(instance.detail, gone=gone)
    if (
        gone
        or shown not in _ATTACHABLE
        or instance.detail == "unkn"
        or instance.detail.startswith(_HIBERNATED)
    ):
        raise wrong_state(instance, what)


def detach_volume(work: Work, command: commands.DetachVolume) -> Volume:
    """Detach a volume; the guest is asked to let go (DetachVolume)."""
    volume = own_volume(work, command.volume_id)
    if volume.instance_id is None:
        if command.instance_id:
            raise not_attached(volume, command.instance_id, command.device)
        raise wrong_volume_state(volume, "detach")
    wrong_place = command.instance_id and command.instance_id != volume.instance_id
    wrong_name = command.device and command.device.removeprefix("/dev/") != volume.device.removeprefix(
        "/dev/"
    )
    if wrong_place or wrong_name:
        raise not_attached(volume, command.instance_id or volume.instance_id, command.device or volume.device)
    [instance] = own_instances(work, [volume.instance_id], ended=True)
    _require_pluggable(instance, "detach a volume from")
    if volume.boot and ec2_state(instance.detail, gone=False) != "stopped":
        raise BackendError(
            Code.VOLUME_IS_ROOT,
            f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'",
            ids=(volume.id,),
            instance=instance.id,
        )
    if volume.attach is AttachState.ATTACHING:
        raise wrong_volume_state(volume, "detach")
    again = [
        task
        for task in work.tx.tasks.open_of_resource(volume.id)
        if task.kind is TaskKind.VOLUME_DETACH and task.instance_id == instance.id
    ]
    detaching = volume
    if volume.attach is not AttachState.DETACHING:
        detaching = touch(work, work.tx.volumes.update(volume, attach=AttachState.DETACHING))
    if again:
        _ask_again(work, instance, again[0].id, force=command.force)
        return detaching
    begin_task(
        work,
        TaskKind.VOLUME_DETACH,
        volume.id,
        tenant_id=volume.tenant_id,
        lock=volume.id,
        instance_id=instance.id,
        arguments={"force": "true"} if command.force else {},
    )
    return detaching


def _ask_again(work: Work, instance: Instance, task_id: str, *, force: bool) -> None:
    """A guest that did not let go is asked once more, and with force switched off after that."""
    task = work.tx.tasks.get(task_id)
    if task is None:
        return
    arguments = task.arguments | ({"force": "true"} if force else {})
    state = JobState.QUEUED if task.state is JobState.WAITING else task.state
    deadline = work.now + work.settings.deadlines.of_task(task.kind)
    work.tx.tasks.update(task, arguments=arguments, state=state, deadline=deadline)
    fresh = work.tx.instances.get(instance.id)
    if fresh is not None:
        begin_hotplug(work, fresh)


# Refusals -----------------------------------------------------------------------------------------------


def in_use(volume: Volume) -> BackendError:
    """The refusal of what needs a volume that is attached to nothing."""
    return BackendError(
        Code.VOLUME_IN_USE,
        f"Volume {volume.id} is currently attached to {volume.instance_id}",
        ids=(volume.id,),
        instance=volume.instance_id,
    )


def wrong_volume_state(volume: Volume, op: str) -> BackendError:
    """The refusal of an operation that a volume's state does not allow."""
    shown = volume.state.value if volume.online or volume.state is not VolumeState.AVAILABLE else "offline"
    if volume.attach not in {AttachState.NONE, AttachState.ATTACHED}:
        shown = volume.attach.value
    return BackendError(
        Code.VOLUME_WRONG_STATE,
        f"Volume '{volume.id}' is {shown}: it cannot be asked to {op} now.",
        ids=(volume.id,),
        state=shown,
        op=op,
    )


def not_attached(volume: Volume, instance_id: str, device: str) -> BackendError:
    """The refusal of a detachment of what is not attached so."""
    return BackendError(
        Code.VOLUME_NOT_ATTACHED,
        f"The volume {volume.id} is not attached to instance {instance_id} as device {device}",
        ids=(volume.id,),
        instance=instance_id,
        device=device,
    )
