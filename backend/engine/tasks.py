"""Storage work: how a task begins, in which order tasks run, and what the end of each leaves in the database.

A task about a volume of an instance is done inside that instance's hot-plug job, so that nothing else happens
to the instance meanwhile; the others run on their own. Tasks with the same lock run in the order accepted.
What they do on hosts is in :mod:`backend.engine.task_steps`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from backend.engine.leaving import leave_moving_copies, set_free, touch
from backend.engine.nic_ends import set_nic_free
from backend.engine.work import Work
from backend.lifecycle import transition
from backend.model import (
    AttachState,
    Debris,
    Desired,
    Instance,
    JobState,
    SnapshotState,
    Task,
    TaskKind,
    Volume,
    VolumeState,
)

CALLED_OFF = "It was called off."
PLUGGING = frozenset(
    {TaskKind.VOLUME_ATTACH, TaskKind.VOLUME_DETACH, TaskKind.NIC_ATTACH, TaskKind.NIC_DETACH}
)
"""What changes the devices of a domain: nothing that a saved memory image could bear."""
FOLLOWING = frozenset({TaskKind.SNAPSHOT_CREATE, TaskKind.VOLUME_MODIFY, TaskKind.VOLUME_REVERT})
"""What is done inside the job of whatever instance the volume is attached to when its turn comes."""
_HOTPLUG = {"runn": "hotplug", "poff": "hotplug", "susp.disk": "disk_copy_or_snapshot"}
"""The life-cycle's row by which an instance in each state has its disks worked on (lifecycle §20.1)."""


def begin_task(
    work: Work,
    kind: TaskKind,
    resource_id: str,
    *,
    tenant_id: str,
    lock: str = "",
    instance_id: str = "",
    arguments: Mapping[str, str] | None = None,
    task_id: str | None = None,
) -> Task:
    """Accept a piece of storage work; with an instance it is done by that one's next hot-plug job.

    What copies or changes a volume is its instance's when it has one by now: the row is locked and read anew.
    """
    if lock and kind in FOLLOWING:
        volume = work.tx.volumes.lock(lock)
        instance_id = (volume.instance_id or "") if volume is not None else ""
    task = Task(
        id=task_id or f"task-{secrets.token_hex(10)}",
        kind=kind,
        resource_id=resource_id,
        tenant_id=tenant_id,
        actor=work.caller.actor,
        created_at=work.now,
        lock=lock,
        instance_id=instance_id,
        arguments=dict(arguments or {}),
        deadline=work.now + work.settings.deadlines.of_task(kind),
        request_id=work.caller.request_id,
    )
    work.tx.tasks.insert(task)
    if instance_id:
        instance = work.tx.instances.get(instance_id)
        if instance is not None:
            begin_hotplug(work, instance)
    else:
        enqueue(work, task)
    return task


def queue_key(task: Task) -> str:
    """What a task is called on the queue, until it changes: enqueued twice it is there once."""
    return f"{task.id}:{task.version}"


def enqueue(work: Work, task: Task) -> None:
    """Put a task that runs on its own on the queue."""
    work.queue.enqueue(work.tx.connection, "job", queue_key(task), task.id)


# An instance's tasks ------------------------------------------------------------------------------------


def next_task(work: Work, instance_id: str, detail: str) -> Task | None:
    """The task to do next in a hot-plug stage. One that must wait for a task outside is not the job's to wait
    for: the end of the other begins the job anew.
    """
    for task in work.tx.tasks.open_of_instance(instance_id):
        if is_deferred(task) or (task.kind in PLUGGING and detail.endswith("susp.disk")):
            continue
        if task.state is JobState.WAITING and not detail.endswith("poff"):
            continue  # the guest does not let go; without a guest nobody needs to
        if not _locked_outside(work, task):
            return task
    return None


def _locked_outside(work: Work, task: Task) -> bool:
    """Whether an earlier task, on its own or of another instance, still works on the same thing."""
    if not task.lock:
        return False
    return any(
        other.instance_id != task.instance_id and _before(other, task)
        for other in work.tx.tasks.open_with_lock(task.lock)
    )


def _before(one: Task, other: Task) -> bool:
    return (one.created_at, one.id) < (other.created_at, other.id)


def is_deferred(task: Task) -> bool:
    """Whether a snapshot is to be taken when its instance ends, not before."""
    return task.arguments.get("deferred") == "true" and task.step == 0


def is_hotpluggable(instance: Instance) -> bool:
    """Whether the instance is in a state in which its disks can be worked on."""
    return instance.detail in _HOTPLUG


def begin_hotplug(work: Work, instance: Instance) -> Instance:
    """Begin the instance's hot-plug job if it has work to do and is free for it; answers the instance."""
    row = _HOTPLUG.get(instance.detail)
    if row is None or instance.job_id is not None:
        return instance
    if next_task(work, instance.id, instance.detail) is None:
        return _switch_off_for(work, instance)
    edge = transition(row, instance.detail)
    if edge is None:
        raise AssertionError(row)
    return work.begin(instance, edge, op="hotplug")


def _switch_off_for(work: Work, instance: Instance) -> Instance:
    """A guest that keeps a disk which its owner wants by force is switched off: nothing else takes it."""
    forced = any(
        task.kind is TaskKind.VOLUME_DETACH and task.arguments.get("force") == "true"
        for task in work.tx.tasks.open_of_instance(instance.id)
        if task.state is JobState.WAITING
    )
    edge = transition("poweroff_hard", instance.detail)
    if not forced or edge is None or instance.desired is Desired.GONE:
        return instance
    return work.begin(instance, edge, op="poweroff_hard", force=True, why="A volume was detached by force.")


def begin_saveas_reboot(work: Work, instance: Instance) -> Instance:
    """Shut a running instance down, do what its tasks ask, and start it again (EC2 CreateImage).

    To be called before the tasks are begun.
    """
    edge = transition("saveas_reboot", instance.detail)
    if edge is None:
        raise AssertionError(instance.detail)
    return work.begin(instance, edge, op="saveas_reboot", force=True)


def abandon(work: Work, instance: Instance, copies: Mapping[str, str]) -> None:
    """The instance is gone: what was still to be done to its disks ends as a failure, or goes on alone.

    Deferred copies were made by the epilog, which alone knows ``copies``: the hosts that they are on.
    """
    for task in work.tx.tasks.open_of_instance(instance.id):
        host_id = copies.get(task.id)
        if is_called_off(task):
            failed(work, task, CALLED_OFF)
        elif host_id is not None:
            arguments = task.arguments | {"host": host_id}
            enqueue(work, work.tx.tasks.update(task, instance_id="", step=1, busy="", arguments=arguments))
        elif task.kind is TaskKind.SNAPSHOT_CREATE and work.tx.volumes.get(task.lock) is not None:
            alone = work.tx.tasks.update(task, instance_id="", step=0, busy="", state=JobState.QUEUED)
            enqueue(work, alone)
        else:
            failed(work, task, "The instance was terminated.")


def leave_instance(work: Work, volume_id: str, instance_id: str) -> None:
    """A volume is not the instance's any more: what was still to be done to it goes on alone, in its turn."""
    for task in work.tx.tasks.open_with_lock(volume_id):
        if task.instance_id == instance_id and task.kind in FOLLOWING:
            work.tx.tasks.update(task, instance_id="", state=JobState.QUEUED, busy="")


# Ends ---------------------------------------------------------------------------------------------------


def failed(work: Work, task: Task, why: str) -> Task:
    """A task that could not be done: what it was about is as it was before, or in error."""
    task = _end(work, task, JobState.FAILED, why)
    _FAILED.get(task.kind, _nothing)(work, task, why)
    _next_in_line(work, task)
    return task


def done(work: Work, task: Task, result: Mapping[str, str] | None = None) -> Task:
    """A task that has been done."""
    task = _end(work, task, JobState.DONE, "", result)
    _next_in_line(work, task)
    return task


def is_called_off(task: Task) -> bool:
    """Whether a task is only to be ended any more."""
    return task.arguments.get("called_off") == "true"


def _end(work: Work, task: Task, state: JobState, why: str, result: Mapping[str, str] | None = None) -> Task:
    return work.tx.tasks.update(
        task,
        state=state,
        message=why,
        finished_at=work.now,
        progress=100 if state is JobState.DONE else task.progress,
        result=dict(result or task.result),
    )


def _next_in_line(work: Work, task: Task) -> None:
    """Whoever waited for the same thing comes to its turn."""
    if not task.lock:
        return
    for other in work.tx.tasks.open_with_lock(task.lock):
        if other.instance_id:
            instance = work.tx.instances.get(other.instance_id)
            if instance is not None:
                begin_hotplug(work, instance)
        elif other.state is not JobState.RUNNING:  # changed: it may have been queued before its turn
            enqueue(work, work.tx.tasks.update(other, state=JobState.QUEUED))
        return


def release_lock(work: Work, task: Task, **changes: Any) -> Task:
    """From here on the task is nobody's hindrance: what it worked on may be used again."""
    freed = work.tx.tasks.update(task, lock="", instance_id="", **changes)
    _next_in_line(work, task)
    return freed


def _nothing(_work: Work, _task: Task, _why: str) -> None:
    return


def _volume_in_error(work: Work, task: Task, why: str) -> None:
    volume = work.tx.volumes.get(task.resource_id)
    if volume is not None:
        work.tx.volumes.update(volume, state=VolumeState.ERROR, message=why)


def _not_attached(work: Work, task: Task, why: str) -> None:
    volume = work.tx.volumes.get(task.resource_id)
    if volume is None or volume.attach is not AttachState.ATTACHING:
        return
    touch(work, volume)
    instance = work.tx.instances.get(str(volume.instance_id))
    if instance is not None:
        leave_moving_copies(work, instance, volume, why)
    set_free(work, volume, message=why)
    leave_instance(work, volume.id, str(volume.instance_id))


def _still_attached(work: Work, task: Task, why: str) -> None:
    volume = work.tx.volumes.get(task.resource_id)
    if volume is not None and volume.attach is AttachState.DETACHING:
        touch(work, work.tx.volumes.update(volume, attach=AttachState.ATTACHED, message=why))


def _nic_not_attached(work: Work, task: Task, why: str) -> None:
    nic = work.tx.nics.get(task.resource_id)
    if nic is not None and nic.attach is AttachState.ATTACHING and nic.instance_id == task.instance_id:
        work.tx.instances.touch([task.instance_id])
        work.tx.nics.update(set_nic_free(work, nic), message=why)


def _nic_still_attached(work: Work, task: Task, why: str) -> None:
    nic = work.tx.nics.get(task.resource_id)
    if nic is not None and nic.attach is AttachState.DETACHING:
        work.tx.instances.touch([task.instance_id])
        work.tx.nics.update(nic, attach=AttachState.ATTACHED, message=why)


def _not_modified(work: Work, task: Task, why: str) -> None:
    volume = work.tx.volumes.get(task.resource_id)
    change = volume.modification if volume is not None else None
    if volume is None or change is None:
        return
    ended = msgspec.structs.replace(change, state="failed", ended_at=work.now, message=why)
    grown = task.arguments.get("grown") == "true"  # bytes never shrink again: only the limits go back
    work.tx.volumes.update(
        volume,
        size_gib=volume.size_gib if grown else change.old_size_gib,
        type=change.old_type,
        iops=change.old_iops,
        throughput=change.old_throughput,
        modification=ended,
    )


def _no_snapshot(work: Work, task: Task, why: str) -> None:
    from backend.engine.images import image_progress

    snapshot = work.tx.snapshots.get(task.resource_id)
    if snapshot is not None:
        snapshot = work.tx.snapshots.update(snapshot, state=SnapshotState.ERROR, message=why)
        image_progress(work, snapshot)
    leave_copy(work, task, why)


def leave_copy(work: Work, task: Task, why: str, volume: Volume | None = None) -> None:
    """The copy on a host that a task made, of a volume as it was then, is to be removed by the reaper."""
    volume = volume or work.tx.volumes.get(task.arguments.get("volume", ""))
    host_id = task.arguments.get("host") or (volume.host_id if volume is not None else None)
    if host_id and work.tx.hosts.get(host_id) is not None:
        work.tx.debris.put(Debris(instance_id=task.resource_id, host_id=host_id, at=work.now, message=why))


def _not_imported(work: Work, task: Task, why: str) -> None:
    from backend.engine.images import import_failed

    import_failed(work, task, why)


_FAILED: Mapping[TaskKind, Callable[[Work, Task, str], None]] = {
    TaskKind.VOLUME_CREATE: _volume_in_error,
    TaskKind.VOLUME_DELETE: _volume_in_error,
    TaskKind.VOLUME_ATTACH: _not_attached,
    TaskKind.VOLUME_DETACH: _still_attached,
    TaskKind.VOLUME_MODIFY: _not_modified,
    TaskKind.SNAPSHOT_CREATE: _no_snapshot,
    TaskKind.NIC_ATTACH: _nic_not_attached,
    TaskKind.NIC_DETACH: _nic_still_attached,
    TaskKind.IMAGE_IMPORT: _not_imported,
    TaskKind.SNAPSHOT_IMPORT: _not_imported,
}
