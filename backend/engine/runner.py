"""Carrying out jobs: intent, act, verify, record; one step at a time, resumable after any crash.

The job's own row says how far it is. A step's intent is committed before the act and its outcome after it,
so a worker that dies in between repeats an idempotent act and nothing else. What follows an outcome is read
from the life-cycle table, never decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.engine import Engine
from backend.engine.groups import parties
from backend.engine.leaving import volumes_after_return
from backend.engine.seeds import seed_of
from backend.engine.stages import Act, Place, steps_of
from backend.engine.task_runner import TaskRunner
from backend.engine.task_steps import Interrupted, TaskAct
from backend.engine.tasks import (
    CALLED_OFF,
    abandon,
    begin_hotplug,
    failed,
    is_called_off,
    is_deferred,
    next_task,
)
from backend.engine.work import DESIRES, ENGINE, Work
from backend.lifecycle import STAY, Transition, is_quiet, transition
from backend.model import (
    AttachState,
    Debris,
    Desired,
    HostState,
    Instance,
    Job,
    JobState,
    Reason,
    SeedKind,
    Stay,
    TaskKind,
)
from backend.ports import HostSilent, Seed, StepFailed
from backend.store import Tx, WorkerBeat

_log = logging.getLogger(__name__)
_AGAIN_AT_ONCE = 0.0
_AGAIN_SOON = 0.2


class Runner:
    """Runs jobs for one worker process, known by its executor name."""

    def __init__(
        self,
        engine: Engine,
        tasks: TaskRunner,
        executor: str,
        *,
        lives: Callable[[WorkerBeat | None], bool],
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.engine = engine
        self.tasks = tasks
        self.executor = executor
        self.lives = lives
        self.failpoint = failpoint

    def run(self, job_id: str) -> float | None:
        """Do one step of a job: seconds until the next, or None when there is nothing more to do now."""
        with self.tasks.inside.entering(job_id) as alone:
            return self._run(job_id) if alone else self._second(job_id)

    def _second(self, job_id: str) -> float | None:
        """The job is in the queue twice: who is inside its step goes on with it."""
        with self.engine.store.read() as tx:
            job = tx.jobs.get(job_id)
        return None if job is None or job.busy == self.executor else _AGAIN_SOON

    def _run(self, job_id: str) -> float | None:
        claimed = self._claim(job_id)
        if not isinstance(claimed, Act):
            return claimed
        if claimed.task is not None:
            return self._record_task(claimed, claimed.task, *self.tasks.perform(claimed.task))
        name = f"{claimed.job.stages[claimed.job.stage]}:{claimed.job.step}"
        self.failpoint(f"{name}:before")
        outcome, message, transient = _perform(claimed)
        self.failpoint(f"{name}:after")
        return self._record(claimed, outcome, message, transient=transient)

    # Intent ---------------------------------------------------------------------------------------------

    def _claim(self, job_id: str) -> Act | float | None:
        """Commit the intent of the next step and gather what it needs; else when to come back, or None."""
        with self.engine.store.begin() as tx:
            work = self.engine.work(tx, ENGINE)
            job = tx.jobs.get(job_id)
            if job is None or job.finished_at is not None:
                return None
            instance = tx.instances.get(job.instance_id)
            if instance is None or instance.job_id != job.id:
                tx.jobs.update(job, state=JobState.SUPERSEDED, finished_at=work.now)
                return None
            if self._others_busy(work, job):
                return _AGAIN_SOON
            places = self._places(work, instance, job)
            task = self._task(work, instance, job, places)
            job = tx.jobs.update(job, state=JobState.RUNNING, busy=self.executor, **_patience(job, task))
            volumes = tx.volumes.of_instance(instance.id)
            chains = {
                each.content: tx.contents.chain(each.content)
                for each in volumes
                if each.content and not each.made
            }
            seed, nics = _context_of(tx, instance), tx.nics.of_instance(instance.id)
            deferred = [each for each in tx.tasks.open_of_instance(instance.id) if is_deferred(each)]
        return Act(
            instance=instance,
            job=job,
            places=places,
            volumes=volumes,
            chains=chains,
            tools=self.tasks.tools(),
            nic_ids=[nic.id for nic in nics],
            seed=seed,
            settings=self.engine.settings,
            clock=self.engine.clock,
            superseded=lambda: self._superseded(job),
            keep_console=self._keep_console,
            task=task,
            deferred=deferred,
        )

    def _task(self, work: Work, instance: Instance, job: Job, places: Sequence[Place]) -> TaskAct | None:
        """What a hot-plug stage does next."""
        stage = job.stages[job.stage]
        if not stage.startswith("hotp@"):
            return None
        while (task := next_task(work, instance.id, stage)) is not None and is_called_off(task):
            failed(work, task, CALLED_OFF)
        if task is None:
            return None
        fresh = task.state is JobState.QUEUED or task.deadline < job.stage_started
        deadline = work.now + work.settings.deadlines.of_task(task.kind) if fresh else task.deadline
        task = work.tx.tasks.update(task, state=JobState.RUNNING, busy=self.executor, deadline=deadline)
        return self.tasks.act(
            work.tx,
            task,
            instance=instance,
            host=places[-1].host if places else None,
            running=stage == "hotp@runn",
            superseded=lambda: self._superseded(job),
        )

    def _others_busy(self, work: Work, job: Job) -> bool:
        """Whether a living worker is inside a step: another one of this job, or any of one superseded."""
        busy = {other.busy for other in work.tx.jobs.busy_elsewhere(job.instance_id, job.id)}
        if job.busy not in {"", self.executor}:
            busy.add(job.busy)
        return any(self.lives(work.tx.workers.get(executor)) for executor in busy)

    def _places(self, work: Work, instance: Instance, job: Job) -> list[Place]:
        """Open placements with their hosts; a boot stage notes its intent there first (invariant 6)."""
        places = []
        booting = job.stages[job.stage].startswith("boot.")
        for placement in work.tx.placements.open_of(instance.id):
            kept = placement
            if booting and placement.booted_at is None:
                kept = work.tx.placements.update(placement, booted_at=work.now)
            host = work.tx.hosts.get(placement.host_id)
            if host is not None:
                places.append(Place(placement=kept, host=host))
        return places

    def _superseded(self, job: Job) -> bool:
        with self.engine.store.read() as tx:
            instance = tx.instances.get(job.instance_id)
            if instance is None or instance.job_id != job.id:
                return True
            in_place = job.stages[job.stage].startswith("runn.")
            return in_place and instance.desired is Desired.GONE

    def _keep_console(self, instance_id: str, data: bytes) -> None:
        with self.engine.store.begin() as tx:
            tx.blobs.put_console(instance_id, data, self.engine.clock())

    # Record ---------------------------------------------------------------------------------------------

    def _record(self, act: Act, outcome: str, message: str, *, transient: bool) -> float | None:
        with self.engine.store.begin() as tx:
            work = self.engine.work(tx, ENGINE)
            job = tx.jobs.get(act.job.id)
            instance = tx.instances.get(act.instance.id)
            if job is None or instance is None:
                return None
            if (job.stage, job.step, job.busy) != (act.job.stage, act.job.step, self.executor):
                return _AGAIN_SOON  # taken over, as we looked dead: what we found is not about this step
            job = tx.jobs.update(job, busy="")
            if instance.job_id != job.id:
                return None
            for host_id, text, name in act.debris:
                tx.debris.put(Debris(instance_id=name, host_id=host_id, at=work.now, message=text))
            for text in act.notes:
                work.note(instance, op=job.op, old=instance.detail, why=text, job=job)
            return self._next(work, job, instance, act, outcome, message, transient=transient)

    def _record_task(
        self, act: Act, of: TaskAct, outcome: str, message: str, transient: bool
    ) -> float | None:
        """Commit what an act on a disk came to. The job goes on, whatever it was: a task that failed is its
        own affair, and only a host that does not answer is the instance's.
        """
        with self.engine.store.begin() as tx:
            work = self.engine.work(tx, ENGINE)
            job = tx.jobs.get(act.job.id)
            instance = tx.instances.get(act.instance.id)
            task = tx.tasks.get(of.task.id)
            if job is None or instance is None:
                return None
            if (job.stage, job.busy) != (act.job.stage, self.executor):
                return _AGAIN_SOON
            job = tx.jobs.update(job, busy="")
            delay: float | None = _AGAIN_AT_ONCE
            if task is None or task.finished_at is not None:
                self.tasks.too_late(work, of, task)
            elif task.step == of.task.step:
                delay = self.tasks.record(work, task, of, outcome, message, transient=transient)
            if instance.job_id != job.id:
                return None
            if outcome == "lost":
                return _lost(work, job, instance, act, message)
            return _AGAIN_AT_ONCE if delay is None else delay

    def _next(
        self,
        work: Work,
        job: Job,
        instance: Instance,
        act: Act,
        outcome: str,
        message: str,
        *,
        transient: bool,
    ) -> float | None:
        if outcome == "ok":
            return self._advance(work, job, instance, act)
        if outcome == "again":
            return _AGAIN_AT_ONCE
        if outcome == "lost":
            return _lost(work, job, instance, act, message)
        return _failed(work, job, instance, message, transient=transient)

    def _advance(self, work: Work, job: Job, instance: Instance, act: Act) -> float | None:
        step = job.step + 1
        if step < len(steps_of(job.stages[job.stage], act)):
            work.tx.jobs.update(job, step=step, attempt=1)
            return _AGAIN_AT_ONCE
        name = job.stages[job.stage]
        if name.startswith("hotp@") and next_task(work, instance.id, name) is not None:
            return _AGAIN_AT_ONCE  # accepted since we looked
        if job.stages[job.stage].startswith("prol."):
            volumes_are_made(work, instance)
        stage = _edge_of(job).after(job.stage)
        if stage < len(job.stages):
            _enter(work, job, instance, stage)
            return _AGAIN_AT_ONCE
        finish(work, job, instance, job.on_ok, state=JobState.DONE, copies=act.copies)
        return None


def _perform(act: Act) -> tuple[str, str, bool]:
    """One step: its outcome (ok, failed, lost, again), a message, and whether a repeat is worth while."""
    try:
        steps = steps_of(act.job.stages[act.job.stage], act)
        steps[min(act.job.step, len(steps) - 1)](act)
    except Interrupted:
        return "again", "", False
    except StepFailed as error:
        return "failed", str(error), error.transient
    except HostSilent as error:
        return "lost", str(error) or "The host does not answer.", False
    except Exception as error:
        _log.exception(
            "step failed unexpectedly: job %s, stage %s", act.job.id, act.job.stages[act.job.stage]
        )
        return "failed", f"internal error: {type(error).__name__}", True
    return "ok", "", False


def _edge_of(job: Job) -> Transition:
    """The table's row as the job recorded it when it was accepted."""
    return Transition(
        op=job.op,
        origin=job.origin,
        who=frozenset(),
        via=job.stages,
        ok=job.on_ok,
        failed=job.on_failed,
        lost=job.on_lost,
    )


def _enter(work: Work, job: Job, instance: Instance, stage: int, why: str = "") -> None:
    """Go on to another stage of the job."""
    name = job.stages[stage]
    job = work.tx.jobs.update(
        job,
        stage=stage,
        step=0,
        attempt=1,
        stage_started=work.now,
        deadline=work.now + work.settings.deadlines.of(name),
    )
    work.move(instance, name, op=job.op, why=why, job=job)


def _failed(work: Work, job: Job, instance: Instance, message: str, *, transient: bool) -> float | None:
    """The verified failure of a step: repeat a transient one, else follow the *failure* column."""
    delays = work.settings.retry_delays
    stays = job.on_failed[job.stage] == STAY
    if job.attempt <= len(delays) and (stays or (transient and work.now < job.deadline)):
        work.tx.jobs.update(job, attempt=job.attempt + 1, message=message)
        return delays[job.attempt - 1]
    if stays:  # again and again, by the sweep; a place in the queue is for others meanwhile
        work.tx.jobs.update(job, state=JobState.WAITING, message=message)
        return None
    target = job.on_failed[job.stage]
    if target in job.stages[job.stage + 1 :]:
        _enter(work, job, instance, job.stages.index(target, job.stage + 1), why=message)
        return _AGAIN_AT_ONCE
    if job.op == "deploy" and _elsewhere(work, instance):
        _reschedule(work, job, instance, message)
        return None
    finish(work, job, instance, target, state=JobState.FAILED, why=message)
    return None


def _elsewhere(work: Work, instance: Instance) -> bool:
    """Whether a launch that failed may be tried on another host: it never ran, so nothing is lost."""
    if instance.attempts + 1 >= work.settings.max_attempts or instance.launched_at is not None:
        return False
    return instance.desired is not Desired.GONE and _others(work, instance)


def _others(work: Work, instance: Instance) -> bool:
    """Whether there is a host, not tried yet, besides the one that an instance is on, where it may be."""
    tried = {*instance.excluded, instance.host_id}
    party = parties(work.tx, [instance.group_id] if instance.group_id else ()).get(instance.group_id)
    return any(
        host.state is HostState.ON
        and host.id not in tried
        and host.zone == instance.zone
        and (party is None or bool(party.partitions_on(instance, host.id)))
        for host in work.tx.hosts.all()
    )


def _reschedule(work: Work, job: Job, instance: Instance, message: str) -> None:
    edge = transition("reschedule", instance.detail)
    if edge is None:
        raise AssertionError(instance.detail)
    work.tx.jobs.update(job, state=JobState.FAILED, message=message, finished_at=work.now)
    free = work.tx.instances.update(instance, job_id=None)
    excluded = (*instance.excluded, str(instance.host_id))
    work.begin(free, edge, op="reschedule", why=message, attempts=instance.attempts + 1, excluded=excluded)


def _lost(work: Work, job: Job, instance: Instance, act: Act, message: str) -> float | None:
    """No testimony: wait for the host until the deadline, then follow the *lost* column."""
    target = job.on_lost[job.stage] if job.on_lost else STAY
    never_booted = job.stages[job.stage].startswith("prol.")
    host_down = bool(act.places) and work.settings.silent(work.tx.hosts.get(act.place.host.id))
    if target == STAY or (work.now < job.deadline and not (never_booted and host_down)):
        work.tx.jobs.update(job, state=JobState.WAITING, message=message)
        return None
    if target == "pend":
        instance = _leave_behind(work, instance, act, message)
    finish(work, job, instance, target, state=JobState.LOST, why=message)
    return None


def _leave_behind(work: Work, instance: Instance, act: Act, message: str) -> Instance:
    """Nothing ever ran on the silent host: its files are debris, and another is tried if there is one."""
    for place in act.places:
        names = [volume.id for volume in act.volumes if not volume.made and volume.host_id == place.host.id]
        for name in (instance.id, *names):
            work.tx.debris.put(Debris(instance_id=name, host_id=place.host.id, at=work.now, message=message))
    excluded = instance.excluded
    if _others(work, instance):
        excluded = (*excluded, act.place.host.id)
    return work.tx.instances.update(instance, excluded=excluded, attempts=instance.attempts + 1)


# Finishing ----------------------------------------------------------------------------------------------


def finish(
    work: Work,
    job: Job,
    instance: Instance,
    detail: str,
    *,
    state: JobState,
    why: str = "",
    copies: Mapping[str, str] | None = None,
) -> None:
    """End a job in one transaction: the new state, and everything that state holds or gives back.

    ``copies`` are what the epilog kept for deferred snapshots: the host of each, by task.
    """
    job = work.tx.jobs.update(job, state=state, message=why, finished_at=work.now)
    changes: dict[str, Any] = {"job_id": None}
    if state is JobState.DONE and detail == "pend":
        changes |= {"checkpoint": "none", "saved": "none"}
    changes |= settled(work, instance, detail, failed=state is not JobState.DONE, why=why)
    moved = work.move(instance, detail, op=job.op, why=why, job=job, **changes)
    if detail == "pend":
        volumes_after_return(work, instance)
    if detail == "done":
        abandon(work, moved, copies or {})
    if moved.detail in {"pend", "done"} and work.tx.instances.in_details(["pend"], limit=1):
        work.wake_scheduler()
    if state is JobState.FAILED and DESIRES.get(job.op) is Desired.GONE:
        return  # an end that failed is tried again by the sweep, not at once and for ever
    go_on(work, moved, why=why)


def settled(work: Work, instance: Instance, detail: str, *, failed: bool, why: str = "") -> dict[str, Any]:
    """What a stable state holds (lifecycle §2.1): accounting, placements, reservations, reasons."""
    if detail == "runn":
        _open_stay(work, instance)
        volumes_are_attached(work, instance)
        nics_are_attached(work, instance)
        back = {"desired": Desired.RUN} if instance.desired is not Desired.GONE else {}
        return {
            "launched_at": instance.launched_at or work.now,
            "last_seen": work.now,
            "checkpoint": "none",
            "health": "ok",
            "attempts": 0,
            "excluded": (),
            **back,
            **({} if instance.desired is Desired.GONE else work.clear_reason()),
        }
    if detail == "susp.disk":
        _close_stay(work, instance, "stop")
        return {"checkpoint": "disk", "health": "ok"}
    if detail == "susp.ram":
        _close_stay(work, instance, "stop")
        return {"checkpoint": "ram", "health": "ok"}
    if detail == "poff":
        _close_stay(work, instance, "erro" if failed else "stop")
        return {"checkpoint": "none", "health": "ok"}
    if detail in {"pend", "done"}:
        return _left_host(work, instance, detail, failed=failed)
    if detail.startswith("fail."):
        _close_stay(work, instance, "erro")
        return {
            "reason": Reason.LAUNCH_FAILED if instance.launched_at is None else Reason.JOB_FAILED,
            "reason_text": why,
            "by_user": False,
        }
    return {}


def _left_host(work: Work, instance: Instance, detail: str, *, failed: bool) -> dict[str, Any]:
    """No host has anything of the instance any more: its claims on hosts are given back."""
    _close_stay(work, instance, "erro" if failed else "user" if detail == "pend" else "none")
    for placement in work.tx.placements.open_of(instance.id):
        host = work.tx.hosts.get(placement.host_id)
        offline = host is not None and host.state is HostState.OFFLINE
        proof = "never_booted" if failed else "administrator" if offline else "host_answered"
        work.tx.placements.close(placement, work.now, proof)
    work.tx.reservations.release(instance.id)
    left: dict[str, Any] = {"host_id": None}
    if detail == "done":
        left["ended_at"] = work.now
    return left


def go_on(work: Work, instance: Instance, why: str = "", *, again: bool = False) -> None:
    """What follows by itself: the wish to be gone, and the end of an EC2 launch that failed (§3.8, §7.4).

    An epilog that failed is not repeated at once, but by the worker's sweep (``again``).
    """
    doomed = instance.detail in {"fail.prolog", "fail.boot"} and not instance.keep_failed
    if instance.job_id is not None or not is_quiet(instance.detail):
        return
    if instance.detail == "unkn" and not _declared_dead(work, instance):
        return  # the host's answer decides first
    if instance.detail == "fail.epilog" and not again:
        return
    if _copies_first(work, instance) or (instance.desired is not Desired.GONE and not doomed):
        begin_hotplug(work, instance)
        return
    edge = transition("terminate", instance.detail)
    if edge is None:
        return
    if edge.via:
        work.begin(instance, edge, op="terminate", why=why, desired=Desired.GONE)
    else:
        work.move(instance, edge.ok, op="terminate", ended_at=work.now, desired=Desired.GONE)


def _copies_first(work: Work, instance: Instance) -> bool:
    """Whether snapshots were asked for before the end was: they are taken first."""
    return instance.detail in {"runn", "poff", "susp.disk"} and any(
        task.kind is TaskKind.SNAPSHOT_CREATE and not is_deferred(task)
        for task in work.tx.tasks.open_of_instance(instance.id)
    )


def volumes_are_made(work: Work, instance: Instance) -> None:
    """The prolog has verified that every volume is on the host."""
    for volume in work.tx.volumes.of_instance(instance.id):
        if not volume.made:
            work.tx.volumes.update(volume, made=True)


def volumes_are_attached(work: Work, instance: Instance) -> None:
    """The instance runs with what it was launched with."""
    asked = {task.resource_id for task in work.tx.tasks.open_of_instance(instance.id)}
    for volume in work.tx.volumes.of_instance(instance.id):
        if volume.attach is AttachState.ATTACHING and volume.id not in asked:
            work.tx.volumes.update(volume, attach=AttachState.ATTACHED, attached_at=work.now)


def nics_are_attached(work: Work, instance: Instance) -> None:
    """The instance runs with the interfaces that it was started with."""
    asked = {task.resource_id for task in work.tx.tasks.open_of_instance(instance.id)}
    nics = work.tx.nics.of_instance(instance.id)
    for nic in nics:
        if nic.attach is AttachState.ATTACHING and nic.id not in asked:
            work.tx.nics.update(nic, attach=AttachState.ATTACHED, attached_at=work.now)
    if work.settings.network.capabilities.by_member:  # rules that changed while it was being started
        work.network_changed(*(nic.id for nic in nics))


def _context_of(tx: Tx, instance: Instance) -> Seed | None:
    """The disk that tells the guest who it is, of the kind that its image wants."""
    image = tx.images.get(instance.image_id)
    kind = image.seed if image is not None else SeedKind.DEFAULT
    return seed_of(
        instance,
        kind,
        user_data=tx.blobs.user_data(instance.id),
        nics=tx.nics.of_instance(instance.id),
        tags=tx.tags.of([instance.id]).get(instance.id, {}),
    )


def _patience(job: Job, task: TaskAct | None) -> dict[str, Any]:
    """The job may take as long as the task that it does now."""
    return {} if task is None else {"deadline": max(job.deadline, task.task.deadline)}


def _declared_dead(work: Work, instance: Instance) -> bool:
    """An administrator's word that the host is dead is its answer (§5.4, §12)."""
    host = work.tx.hosts.get(instance.host_id or "")
    return host is not None and host.state is HostState.OFFLINE


def _open_stay(work: Work, instance: Instance) -> None:
    stay = work.tx.stays.open_of(instance.id)
    if stay is None:
        stay = open_stay(work, instance, str(instance.host_id))
    if stay.running_at is None:
        work.tx.stays.update(stay, running_at=work.now)


def open_stay(work: Work, instance: Instance, host_id: str) -> Stay:
    """A new accounting record (lifecycle §17)."""
    seq = len(work.tx.stays.of(instance.id)) + 1
    stay = Stay(
        instance_id=instance.id,
        seq=seq,
        host_id=host_id,
        tenant_id=instance.tenant_id,
        owner=instance.owner,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        started_at=work.now,
    )
    work.tx.stays.insert(stay)
    return stay


def _close_stay(work: Work, instance: Instance, reason: str) -> None:
    stay = work.tx.stays.open_of(instance.id)
    if stay is not None:
        until = work.now if stay.running_at is not None else None
        work.tx.stays.update(stay, running_until=until, ended_at=work.now, reason=reason)
