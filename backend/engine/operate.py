"""Life-cycle operations: which edge of the table a wish takes, and when it is already fulfilled."""

from __future__ import annotations

from typing import Any

from backend.commands import Change, Op, Operate
from backend.engine.access import own_instances
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.lifecycle import SAME, Transition, Who, ec2_state, transition
from backend.model import Desired, HostState, Instance, Reason, State

_ENDINGS = frozenset({Op.TERMINATE, Op.CANCEL, Op.DELETE})
_LOCKED_OUT = _ENDINGS | {Op.SHUTDOWN}
"""Operations that end in ``done``: the termination lock stands against all of them (invariant 32)."""

_STOPS = frozenset({Op.POWEROFF, Op.POWEROFF_HARD, Op.SUSPEND})

_EDGES: dict[Op, tuple[str, ...]] = {
    Op.START: ("release", "resume", "recover_retry"),
    Op.RESTART_COLD: ("reset",),
}
"""Operations that stand for one of several rows of the table, in order of preference."""

_SUPERSEDING = frozenset({"delete", "resubmit", "cancel", "poweroff_hard", "recover_recreate"})
"""Rows that may interrupt a running job (lifecycle §3.6); terminate may while nothing was written yet."""

_FULFILLED: dict[Op, frozenset[str]] = {
    Op.START: frozenset({"pending", "running"}),
    Op.POWEROFF: frozenset({"stopping", "stopped"}),
    Op.POWEROFF_HARD: frozenset({"stopping", "stopped"}),
    Op.SUSPEND: frozenset({"stopping", "stopped"}),
    Op.TERMINATE: frozenset({"shutting-down", "terminated"}),
    Op.CANCEL: frozenset({"terminated"}),
    Op.DELETE: frozenset({"terminated"}),
}
"""EC2 states in which an operation has nothing left to do."""

_ADMIN_ONLY = frozenset({Op.RECOVER_RETRY, Op.RECOVER_RECREATE})


def operate(work: Work, command: Operate) -> tuple[Change, ...]:
    """Check all instances, then begin on all of them (Operate)."""
    if command.op in _ADMIN_ONLY and not work.caller.is_admin:
        raise BackendError(Code.DENIED, f"Only an administrator may {command.op.value} instances.")
    instances = own_instances(work, command.ids, ended=True)
    edges = {instance.id: _choose(work, command, instance) for instance in instances}
    changes = {}
    for instance in sorted(instances, key=lambda item: item.id):  # one order for all: no deadlock
        edge = edges[instance.id]
        after = _apply(work, command, instance, edge) if edge else instance
        changes[instance.id] = Change(before=instance, after=after)
    return tuple(changes[instance.id] for instance in instances)


def _choose(work: Work, command: Operate, instance: Instance) -> Transition | None:
    """The edge to take, or None when there is nothing to do; refuses what is not allowed."""
    op, gone = command.op, instance.desired is Desired.GONE
    _check_locks(op, instance, gone=gone)
    edge = _edge(work, op, instance)
    if edge is not None and _may_begin(op, edge, instance, gone=gone):
        _require_host(work, edge, instance)
        return edge
    shown = ec2_state(instance.detail, gone=gone)
    under_way = op is Op.REBOOT and not gone and _is_rebooting(work, instance)
    if (shown in _FULFILLED.get(op, ()) or under_way) and not command.strict:
        return None
    raise wrong_state(instance, op.value)


def _is_rebooting(work: Work, instance: Instance) -> bool:
    """Whether what is being done to an instance is a reboot already: a second one asks for nothing more."""
    job = work.tx.jobs.get(instance.job_id) if instance.job_id is not None else None
    return job is not None and job.op == Op.REBOOT.value


def _check_locks(op: Op, instance: Instance, *, gone: bool) -> None:
    """Termination and stop protection; the latter keeps an instance from being ended, too, as EC2's does."""
    lasts = instance.detail != "done" and not gone
    if op in _LOCKED_OUT and lasts and (instance.locked_terminate or instance.locked_stop):
        raise BackendError(
            Code.INSTANCE_LOCKED,
            f"The instance '{instance.id}' may not be terminated.",
            ids=(instance.id,),
            lock="terminate" if instance.locked_terminate else "stop",
        )
    if op in _STOPS and instance.locked_stop and instance.state is State.RUNN:
        raise BackendError(
            Code.INSTANCE_LOCKED,
            f"The instance '{instance.id}' may not be stopped.",
            ids=(instance.id,),
            lock="stop",
        )


def _require_host(work: Work, edge: Transition, instance: Instance) -> None:
    """What is switched on again needs its host: one that is in error, dead or being emptied starts nothing
    (lifecycle §4.2, §5.4). A disabled host takes no new instances, but keeps those it has.
    """
    if not edge.via or not edge.via[0].startswith("boot.") or edge.origin == "unkn":
        return
    host = work.tx.hosts.get(instance.host_id or "")
    if host is None or host.state not in {HostState.ON, HostState.DISABLED}:
        raise BackendError(
            Code.HOST_UNAVAILABLE,
            f"The host of the instance '{instance.id}' is not available.",
            ids=(instance.id,),
        )
    if not any(volume.boot for volume in work.tx.volumes.of_instance(instance.id)):
        raise BackendError(
            Code.INSTANCE_WRONG_STATE,
            f"The instance '{instance.id}' has no root volume attached.",
            ids=(instance.id,),
            state=instance.detail,
        )


def _edge(work: Work, op: Op, instance: Instance) -> Transition | None:
    for row in _EDGES.get(op, (op.value,)):
        edge = transition(row, instance.detail)
        if edge is not None and _allowed(work, edge):
            return edge
    return None


def _allowed(work: Work, edge: Transition) -> bool:
    return Who.USER in edge.who or (work.caller.is_admin and Who.ADMIN in edge.who)


def _may_begin(op: Op, edge: Transition, instance: Instance, *, gone: bool) -> bool:
    """Whether an edge may be taken now: not against a wish to be gone, not over another job."""
    if gone and op is Op.RECOVER_RECREATE:
        return True  # an administrator's recover alone takes the wish back (lifecycle §3.8)
    if gone and op not in _ENDINGS:
        return False
    if gone and op is Op.TERMINATE:
        return False
    if instance.job_id is None or edge.op in _SUPERSEDING:
        return True
    return op is Op.TERMINATE  # waits for the job, or (nothing written yet) replaces it


def _apply(work: Work, command: Operate, instance: Instance, edge: Transition) -> Instance:
    op = command.op
    if op is Op.TERMINATE and _must_wait(instance, edge):
        return work.move(instance, instance.detail, op="terminate", desired=Desired.GONE, **_reason(op))
    if edge.ok == "done" and not edge.via:
        return _end_at_once(work, instance, op.value)
    force = command.force_at_timeout or op in {Op.POWEROFF_HARD, Op.CANCEL, Op.DELETE}
    row = "restart_cold" if op is Op.RESTART_COLD else edge.op
    again: dict[str, Any] = {"started_at": work.now} if op is Op.START and edge.op == "resume" else {}
    moved = work.begin(instance, edge, op=row, force=force, **again, **_reason(op))
    if moved.detail == "pend" and moved.detail != instance.detail:
        work.wake_scheduler()
    return moved


def _must_wait(instance: Instance, edge: Transition) -> bool:
    """Terminate lets a job end first, unless that job has written nothing of value (lifecycle §4.3)."""
    return instance.job_id is not None and (edge.ok == SAME or "epil.delete" not in edge.via)


def _reason(op: Op) -> dict[str, Any]:
    reasons = {
        Op.POWEROFF: Reason.USER_SHUTDOWN,
        Op.POWEROFF_HARD: Reason.USER_SHUTDOWN,
        Op.SHUTDOWN: Reason.USER_SHUTDOWN,
        Op.TERMINATE: Reason.USER_SHUTDOWN,
        Op.CANCEL: Reason.USER_SHUTDOWN,
        Op.DELETE: Reason.USER_SHUTDOWN,
        Op.SUSPEND: Reason.USER_HIBERNATE,
        Op.PAUSE: Reason.USER_HIBERNATE,
    }
    if op in {Op.RESUBMIT, Op.RECOVER_RECREATE}:  # a new beginning: every host may be tried again
        return {"reason": Reason.NONE, "reason_text": "", "by_user": False, "attempts": 0, "excluded": ()}
    if op not in reasons:
        return {}
    return {"reason": reasons[op], "reason_text": "", "by_user": True}


def _end_at_once(work: Work, instance: Instance, op: str) -> Instance:
    """An instance that was never placed: done in the accept transaction."""
    return work.move(
        instance, "done", op=op, desired=Desired.GONE, ended_at=work.now, job_id=None, **_reason(Op.TERMINATE)
    )
