"""Changing an instance's attributes (EC2 ModifyInstanceAttribute, OCCI updates)."""

from __future__ import annotations

from typing import Any

from backend.commands import ModifyInstance
from backend.engine.access import own_instances
from backend.engine.disks import SCRATCH_TARGET
from backend.engine.launch import USER_DATA_LIMIT, checked_share
from backend.engine.shares import share_changed
from backend.engine.work import OFF, Work, require_off, wrong_state
from backend.errors import BackendError, Code
from backend.model import QUOTA_DEFAULTS, UNLIMITED, Capacity, Desired, Instance, QuotaName, Reservation


def modify_instance(work: Work, command: ModifyInstance) -> Instance:
    """Change attributes; size and user data only where nothing runs (resize, lifecycle §4.5)."""
    instance = own_instances(work, [command.instance_id])[0]
    if command.expected_version is not None and command.expected_version != instance.version:
        raise BackendError(Code.STALE, "The instance was changed by somebody else.", final=True)
    if instance.desired is Desired.GONE:
        raise wrong_state(instance, "modify")
    changes = (
        _plain(instance, command) | _resize(work, instance, command) | _user_data(work, instance, command)
    )
    changes |= _volumes_fate(work, instance, command)
    if not changes:
        return instance
    old = instance.detail
    modified = work.tx.instances.update(instance, **changes)
    work.note(modified, op="modify", old=old, why=", ".join(sorted(changes)))
    if "cpu_share" in changes:
        share_changed(work, modified)
    if modified.detail == "pend":
        work.wake_scheduler()
    return modified


def _volumes_fate(work: Work, instance: Instance, command: ModifyInstance) -> dict[str, Any]:
    """Whether attached volumes end with the instance, by the names of their devices."""
    if not command.delete_on_termination:
        return {}
    have = {volume.device: volume for volume in work.tx.volumes.of_instance(instance.id)}
    for device, ends in command.delete_on_termination:
        volume = have.get(device)
        if volume is None:
            raise BackendError(
                Code.PARAMETER_INVALID,
                f"The instance has no volume as {device[:80]}.",
                parameter="deviceName",
                value=device[:80],
            )
        work.tx.volumes.update(volume, delete_on_termination=ends)
    return {"summary": instance.summary}  # the row changes, as what is shown with it does


def _plain(instance: Instance, command: ModifyInstance) -> dict[str, Any]:
    names = ("locked_terminate", "locked_stop", "monitoring", "on_guest_shutdown", "hostname", "summary")
    wanted = {name: getattr(command, name) for name in names}
    if command.cpu_share is not None:
        wanted["cpu_share"] = checked_share(command.cpu_share)
    if command.public_keys is not None:
        wanted["public_keys"] = command.public_keys
        if command.public_keys[:1] != instance.public_keys[:1]:
            wanted["key_name"] = ""  # the pair's key is the first
    return {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(instance, name)
    }


def _resize(work: Work, instance: Instance, command: ModifyInstance) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if command.flavor is not None:
        flavor = work.tx.flavors.get(command.flavor)
        if flavor is None:
            raise BackendError(
                Code.FLAVOR_NOT_FOUND, f"No such flavor: {command.flavor}", name=command.flavor
            )
        changes = {
            "flavor": flavor.name,
            "vcpus": flavor.vcpus,
            "memory_mib": flavor.memory_mib,
            "ephemeral_gib": max(instance.ephemeral_gib, flavor.ephemeral_gib),  # none is ever shrunk
        }
    if command.vcpus is not None:
        changes["vcpus"] = command.vcpus
    if command.memory_mib is not None:
        changes["memory_mib"] = command.memory_mib
    changes = {name: value for name, value in changes.items() if getattr(instance, name) != value}
    if not changes:
        return {}
    require_off(instance, "The size is to change", "resize")
    vcpus, memory = changes.get("vcpus", instance.vcpus), changes.get("memory_mib", instance.memory_mib)
    if vcpus < 1 or memory < 1:
        raise BackendError(Code.PARAMETER_INVALID, "Sizes are at least 1.", parameter="size", value=vcpus)
    if "ephemeral_gib" in changes and not instance.ephemeral_gib:
        _require_free_letter(work, instance)
    _claim(work, instance, vcpus, memory, changes.get("ephemeral_gib", instance.ephemeral_gib))
    return changes


def _require_free_letter(work: Work, instance: Instance) -> None:
    """Refuse scratch space where one of the instance's volumes is what it would be."""
    for volume in work.tx.volumes.of_instance(instance.id):
        if volume.target == SCRATCH_TARGET:
            raise BackendError(
                Code.DEVICE_IN_USE,
                f"The size has scratch space, which would be {SCRATCH_TARGET}: that is {volume.id}.",
                device=SCRATCH_TARGET,
            )


def _claim(work: Work, instance: Instance, vcpus: int, memory_mib: int, scratch_gib: int) -> None:
    """Quota and the host's capacity, as one claim in this transaction."""
    tenant = work.tx.tenants.lock(instance.tenant_id)
    quotas = tenant.quotas if tenant else {}
    _, cores, memory = work.tx.instances.usage(instance.tenant_id)
    wanted = (
        (QuotaName.CORES, Code.QUOTA_CORES, cores, vcpus - instance.vcpus),
        (QuotaName.MEMORY_MIB, Code.QUOTA_MEMORY, memory, memory_mib - instance.memory_mib),
    )
    for name, code, usage, more in wanted:
        limit = quotas.get(name.value, QUOTA_DEFAULTS[name.value])
        if more > 0 and limit != UNLIMITED and usage + more > limit:
            raise BackendError(code, f"Your limit of {limit} {name.value} is reached.", limit=limit)
    for held in work.tx.reservations.of(instance.id):
        _claim_on_host(work, held, Capacity(cpu=vcpus * 100, memory_mib=memory_mib, disk_gib=scratch_gib))


def _claim_on_host(work: Work, held: Reservation, wanted: Capacity) -> None:
    host = work.tx.hosts.lock(held.host_id)
    used = work.tx.reservations.used().get(held.host_id, Capacity())
    need = Capacity(
        cpu=used.cpu - held.cpu + wanted.cpu,
        memory_mib=used.memory_mib - held.memory_mib + wanted.memory_mib,
        disk_gib=used.disk_gib - held.disk_gib + wanted.disk_gib,
    )
    grows = not wanted.fits(Capacity(cpu=held.cpu, memory_mib=held.memory_mib, disk_gib=held.disk_gib))
    if grows and (host is None or host.overcommitted or not need.plus(host.foreign).fits(host.limit)):
        raise BackendError(Code.NO_CAPACITY, "The instance's host has no room for this size.")
    work.tx.reservations.update(held, cpu=wanted.cpu, memory_mib=wanted.memory_mib, disk_gib=wanted.disk_gib)


def _user_data(work: Work, instance: Instance, command: ModifyInstance) -> dict[str, Any]:
    if command.user_data is None:
        return {}
    if instance.detail not in OFF or instance.job_id is not None:
        raise wrong_state(instance, "change user data")
    if len(command.user_data) > USER_DATA_LIMIT:
        raise BackendError(Code.USER_DATA_TOO_LARGE, "User data is limited to 16384 bytes.")
    work.tx.blobs.put_user_data([instance.id], command.user_data)
    return {"user_data_size": len(command.user_data)}
