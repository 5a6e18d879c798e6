"""Changing an instance's attributes (EC2 ModifyInstanceAttribute, OCCI updates)."""

from __future__ import annotations

from typing import Any

from backend.commands import ModifyInstance
from backend.engine.access import own_instances
from backend.engine.launch import USER_DATA_LIMIT
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.model import QUOTA_DEFAULTS, UNLIMITED, Capacity, Desired, Instance, QuotaName, Reservation

_RESIZABLE = frozenset({"pend", "hold", "poff"})


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
        changes = {"flavor": flavor.name, "vcpus": flavor.vcpus, "memory_mib": flavor.memory_mib}
    if command.vcpus is not None:
        changes["vcpus"] = command.vcpus
    if command.memory_mib is not None:
        changes["memory_mib"] = command.memory_mib
    changes = {name: value for name, value in changes.items() if getattr(instance, name) != value}
    if not changes:
        return {}
    if instance.detail not in _RESIZABLE or instance.job_id is not None:
        raise wrong_state(instance, "resize")
    vcpus, memory = changes.get("vcpus", instance.vcpus), changes.get("memory_mib", instance.memory_mib)
    if vcpus < 1 or memory < 1:
        raise BackendError(Code.PARAMETER_INVALID, "Sizes are at least 1.", parameter="size", value=vcpus)
    _claim(work, instance, vcpus, memory)
    return changes


def _claim(work: Work, instance: Instance, vcpus: int, memory_mib: int) -> None:
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
        _claim_on_host(work, held, vcpus, memory_mib)


def _claim_on_host(work: Work, held: Reservation, vcpus: int, memory_mib: int) -> None:
    host = work.tx.hosts.lock(held.host_id)
    used = work.tx.reservations.used().get(held.host_id, Capacity())
    need = Capacity(
        cpu=used.cpu - held.cpu + vcpus * 100,
        memory_mib=used.memory_mib - held.memory_mib + memory_mib,
        disk_gib=used.disk_gib,
    )
    grows = vcpus * 100 > held.cpu or memory_mib > held.memory_mib
    if grows and (host is None or host.overcommitted or not need.plus(host.foreign).fits(host.limit)):
        raise BackendError(Code.NO_CAPACITY, "The instance's host has no room for this size.")
    work.tx.reservations.update(held, cpu=vcpus * 100, memory_mib=memory_mib)


def _user_data(work: Work, instance: Instance, command: ModifyInstance) -> dict[str, Any]:
    if command.user_data is None:
        return {}
    if instance.detail not in _RESIZABLE or instance.job_id is not None:
        raise wrong_state(instance, "change user data")
    if len(command.user_data) > USER_DATA_LIMIT:
        raise BackendError(Code.USER_DATA_TOO_LARGE, "User data is limited to 16384 bytes.")
    work.tx.blobs.put_user_data([instance.id], command.user_data)
    return {"user_data_size": len(command.user_data)}
