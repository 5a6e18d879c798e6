"""Carrying out storage work, step by step: claim, act, record; resumable after any crash.

Tasks on their own are run here; those of an instance by its hot-plug job (:mod:`backend.engine.runner`),
which uses the same acts and the same records.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backend.engine import Engine
from backend.engine.check import Checker
from backend.engine.image_test import ImageTester
from backend.engine.images import image_progress, imported, test_ended
from backend.engine.leaving import forget_volume, set_free, touch
from backend.engine.network_applier import NetworkApplier
from backend.engine.nics import plugged, unplugged
from backend.engine.places import same_store
from backend.engine.task_steps import STEPS, GuestKeeps, Interrupted, Step, TaskAct, Tools
from backend.engine.tasks import (
    CALLED_OFF,
    FOLLOWING,
    begin_hotplug,
    done,
    enqueue,
    failed,
    is_called_off,
    leave_copy,
    leave_instance,
    release_lock,
)
from backend.engine.work import ENGINE, Work
from backend.model import (
    AttachState,
    Content,
    Debris,
    Host,
    HostState,
    Instance,
    JobState,
    SnapshotState,
    Task,
    TaskKind,
    Volume,
    VolumeState,
)
from backend.ports import ContentStore, HostDriver, Hosts, HostSilent, StepFailed, Vault
from backend.store import Tx, WorkerBeat

_log = logging.getLogger(__name__)
_AGAIN_AT_ONCE = 0.0
_AGAIN_SOON = 0.2
_LATER = 60.0
_LONGEST_CHAIN = 16
"""After so many differences a snapshot is whole again."""


class Inside:
    """What this process is inside a step of. That a row names its worker does not tell one thread of it from
    another; after a crash nobody is inside anything.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def entering(self, name: str) -> Iterator[bool]:
        """Whether nobody else is inside; until the end of the block, one is."""
        with self._lock:
            alone = name not in self._names
            self._names.add(name)
        try:
            yield alone
        finally:
            if alone:
                with self._lock:
                    self._names.discard(name)


class TaskRunner:
    """Runs storage work for one worker process, known by its executor name."""

    def __init__(
        self,
        engine: Engine,
        hosts: Hosts,
        contents: ContentStore,
        network: NetworkApplier,
        executor: str,
        *,
        lives: Callable[[WorkerBeat | None], bool],
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.engine = engine
        self.hosts = hosts
        self.contents = contents
        self.network = network
        self.executor = executor
        self.lives = lives
        self.failpoint = failpoint
        self.inside = Inside()
        checker = Checker(engine, hosts, contents, network)
        self._steps: Mapping[TaskKind, Sequence[Step]] = {
            **STEPS,
            TaskKind.CHECK: (checker.step,),
            TaskKind.IMAGE_TEST: (ImageTester(engine).step,),
        }

    # Running --------------------------------------------------------------------------------------------

    def run(self, task_id: str) -> float | None:
        """Do one step of a task that runs on its own: seconds until the next, or None."""
        with self.inside.entering(task_id) as alone:
            return self._run(task_id) if alone else self._second(task_id)

    def _second(self, task_id: str) -> float | None:
        """The task is in the queue twice: who is inside its step goes on with it."""
        with self.engine.store.read() as tx:
            task = tx.tasks.get(task_id)
        return None if task is None or task.busy == self.executor else _AGAIN_SOON

    def _run(self, task_id: str) -> float | None:
        claimed = self._claim(task_id)
        if not isinstance(claimed, TaskAct):
            return claimed
        outcome, message, transient = self.perform(claimed)
        with self.engine.store.begin() as tx:
            work = self.engine.work(tx, ENGINE)
            task = tx.tasks.get(task_id)
            if task is None or task.finished_at is not None:
                self.too_late(work, claimed, task)
                return None
            if (task.step, task.busy) != (claimed.task.step, self.executor):
                return _AGAIN_SOON
            return self.record(work, task, claimed, outcome, message, transient=transient)

    def _claim(self, task_id: str) -> TaskAct | float | None:
        with self.engine.store.begin() as tx:
            task = tx.tasks.get(task_id)
            if task is None or task.finished_at is not None or task.instance_id:
                return None
            if task.busy not in {"", self.executor} and self.lives(tx.workers.get(task.busy)):
                return _AGAIN_SOON
            if is_called_off(task):
                failed(self.engine.work(tx, ENGINE), task, CALLED_OFF)
                return None
            if self._has_elder(tx, task) or self._goes_to_instance(tx, task):
                return None  # its end brings this one to its turn
            task = tx.tasks.update(task, state=JobState.RUNNING, busy=self.executor)
            return self.act(tx, task)

    def _has_elder(self, tx: Tx, task: Task) -> bool:
        if not task.lock:
            return False
        first = tx.tasks.open_with_lock(task.lock)[0]
        return first.id != task.id

    def _goes_to_instance(self, tx: Tx, task: Task) -> bool:
        """Whether the volume was attached since the task was accepted: then it is that instance's to do.

        One that is only being attached waits for this task.
        """
        if not task.lock or task.kind not in FOLLOWING:
            return False
        volume = tx.volumes.lock(task.lock)
        instance = tx.instances.get(volume.instance_id or "") if volume is not None else None
        if volume is None or instance is None:
            return False
        if any(each.kind is TaskKind.VOLUME_ATTACH for each in tx.tasks.open_with_lock(task.lock)):
            return False
        tx.tasks.update(task, instance_id=instance.id, state=JobState.QUEUED, busy="")
        begin_hotplug(self.engine.work(tx, ENGINE), instance)
        return True

    def perform(self, act: TaskAct) -> tuple[str, str, bool]:
        """One step: its outcome (ok, failed, lost, again, kept), a message, and whether to repeat it."""
        kind, step = act.task.kind, act.task.step
        name = f"{kind.value}:{step}"
        self.failpoint(f"{name}:before")
        try:
            steps = self._steps[kind]
            steps[min(step, len(steps) - 1)](act)
        except GuestKeeps:
            return "kept", "The guest does not let go of the disk.", False
        except Interrupted:
            return "again", "", False
        except StepFailed as error:
            return "failed", str(error), error.transient
        except HostSilent as error:
            return "lost", str(error) or "The host does not answer.", False
        except Exception as error:
            _log.exception("storage work failed unexpectedly: %s, %s", act.task.id, name)
            return "failed", f"internal error: {type(error).__name__}", True
        finally:
            self.failpoint(f"{name}:after")
        return "ok", "", False

    # What a step may use --------------------------------------------------------------------------------

    def act(
        self,
        tx: Tx,
        task: Task,
        *,
        instance: Instance | None = None,
        host: Host | None = None,
        running: bool = False,
        superseded: Callable[[], bool] = lambda: False,
    ) -> TaskAct:
        """The next step of a task, with everything that it is about, as this transaction reads it."""
        volume = tx.volumes.get(task.arguments.get("volume") or task.lock or task.resource_id)
        snapshot = tx.snapshots.get(task.resource_id)
        if task.arguments.get("snapshot"):
            snapshot = tx.snapshots.get(task.arguments["snapshot"])
        image = tx.images.get(task.resource_id)
        checksum = task.arguments.get("parent", "")
        if task.kind is TaskKind.VOLUME_CREATE and volume is not None:
            checksum = volume.content
        elif task.kind is TaskKind.VOLUME_REVERT and snapshot is not None:
            checksum = snapshot.content
        elif task.kind in {TaskKind.IMAGE_EXPORT, TaskKind.IMAGE_TEST} and image is not None:
            checksum = image.checksum
        elif task.kind is TaskKind.SNAPSHOT_CREATE and task.step == 0 and volume is not None:
            checksum = _base_of(tx, volume) if running else ""
            task = _naming(tx, task, "parent", checksum)  # before the act: else the reaper may be faster
        return TaskAct(
            task=task,
            tools=self.tools(tell=lambda percent: self._tell(task.id, percent)),
            clock=self.engine.clock,
            volume=volume,
            snapshot=snapshot,
            image=image,
            chain=tx.contents.chain(checksum) if checksum else (),
            instance=instance,
            host=host,
            running=running,
            superseded=superseded,
        )

    def tools(self, tell: Callable[[int], None] = lambda _percent: None) -> Tools:
        """What acts on volumes may use in this process."""
        return Tools(
            driver=self._driver,
            host=self._host,
            contents=self.contents,
            key=self._key,
            moved=self._moved,
            tidied=self._tidied,
            littered=self._littered,
            network=self.network,
            tell=tell,
        )

    def _driver(self, host: Host) -> HostDriver:
        if host.state is HostState.OFFLINE:
            raise StepFailed(f"The host {host.uri} is offline.")
        return self.hosts.driver(host.id, host.uri)

    def _host(self, host_id: str | None) -> Host | None:
        with self.engine.store.read() as tx:
            return tx.hosts.get(host_id or "")

    def _key(self, volume: Volume) -> bytes:
        return open_key(self.engine.vault, volume)

    def _tell(self, task_id: str, percent: int) -> None:
        with self.engine.store.begin() as tx:
            task = tx.tasks.get(task_id)
            if task is None or task.finished_at is not None:
                return
            tx.tasks.update(task, progress=min(percent, 99))
            snapshot = tx.snapshots.get(task.resource_id)
            if snapshot is not None and snapshot.state is SnapshotState.PENDING:
                tx.snapshots.update(snapshot, progress=min(percent, 99))

    def _moved(self, volume: Volume, host_id: str, left: Sequence[str]) -> None:
        """The bytes are on another host now; what is left on the old one is noted before it is removed."""
        with self.engine.store.begin() as tx:
            fresh = tx.volumes.get(volume.id)
            if fresh is None or fresh.host_id == host_id:
                return
            if left and is_littered(tx, volume.id, host_id):
                raise StepFailed(f"The copy of {volume.id} is to be removed.", transient=True)
            for name in left:
                if fresh.host_id is not None:
                    tx.debris.put(
                        Debris(
                            instance_id=name, host_id=fresh.host_id, at=self.engine.clock(), message="moved"
                        )
                    )
            tx.debris.delete(volume.id, host_id)
            tx.volumes.update(fresh, host_id=host_id)

    def _tidied(self, name: str, host_id: str) -> None:
        with self.engine.store.begin() as tx:
            item = tx.debris.lock(name, host_id)
            if item is not None and not item.busy:  # who is removing it is still to be heard of
                tx.debris.delete(name, host_id)

    def _littered(self, name: str, host_id: str) -> bool:
        with self.engine.store.read() as tx:
            return is_littered(tx, name, host_id)

    # Record ---------------------------------------------------------------------------------------------

    def record(
        self, work: Work, task: Task, act: TaskAct, outcome: str, message: str, *, transient: bool
    ) -> float | None:
        """Commit what a step came to: seconds until the next one, or None when the task ended or waits."""
        task = work.tx.tasks.update(task, busy="")
        if is_called_off(task):
            failed(work, task, CALLED_OFF)
            leave_copy(work, task, CALLED_OFF, act.volume)
            return None
        if outcome == "again":
            return _AGAIN_AT_ONCE
        if outcome == "lost":  # in an instance's job it is the job that waits for the host
            state = task.state if task.instance_id else JobState.WAITING
            work.tx.tasks.update(task, state=state, message=message)
            return None
        if outcome == "kept":
            self._kept(work, task, message)
            return None
        if outcome == "failed":
            if act.grown:
                task = _naming(work.tx, task, "grown", "true")
            return self._failed(work, task, message, transient=transient)
        return RECORDS[task.kind](work, task, act)

    def too_late(self, work: Work, act: TaskAct, task: Task | None) -> None:
        """The task ended, or went, while a step was at it: what that made is the reaper's."""
        if task is not None and task.busy:
            work.tx.tasks.update(task, busy="")
        if act.task.kind is TaskKind.SNAPSHOT_CREATE:
            leave_copy(work, act.task, "The snapshot was called off.", act.volume)

    def _failed(self, work: Work, task: Task, message: str, *, transient: bool) -> float | None:
        delays = work.settings.retry_delays
        stays = task.kind is TaskKind.VOLUME_DELETE  # the row is not dropped before the bytes are (§9.1)
        if (stays or transient) and task.attempt <= len(delays):
            work.tx.tasks.update(task, attempt=task.attempt + 1, message=message)
            return delays[task.attempt - 1]
        if stays:  # later, by the sweep; a place in the queue is for others meanwhile
            task = _naming(work.tx, task, "due", str(work.now + _LATER))
            work.tx.tasks.update(task, state=JobState.WAITING, message=message)
            return None
        failed(work, task, message)
        return None

    def _kept(self, work: Work, task: Task, message: str) -> None:
        """Still attached, and known to be asked for: it goes on when the guest lets go, or is off."""
        volume = work.tx.volumes.get(task.resource_id)
        if volume is not None and volume.attach is AttachState.DETACHING:
            touch(work, work.tx.volumes.update(volume, attach=AttachState.BUSY, message=message))
        work.tx.tasks.update(task, state=JobState.WAITING, message=message)


def _naming(tx: Tx, task: Task, name: str, value: str) -> Task:
    """The task with an argument, or without it when the value is empty."""
    if task.arguments.get(name, "") == value:
        return task
    others = {key: each for key, each in task.arguments.items() if key != name}
    return tx.tasks.update(task, arguments=others | ({name: value} if value else {}))


def _base_of(tx: Tx, volume: Volume) -> str:
    """The content to which a snapshot may tell the difference; none when the chain would become long.

    It is locked: whoever wants to remove it sees the task that names it first.
    """
    base = tx.snapshots.get(volume.last_snapshot) if volume.last_snapshot else None
    if base is None or base.state is not SnapshotState.COMPLETED or volume.encrypted:
        return ""
    tx.contents.lock(base.content)
    chain = tx.contents.chain(base.content)
    return base.content if 0 < len(chain) < _LONGEST_CHAIN and all(each.path for each in chain) else ""


def open_key(vault: Vault | None, volume: Volume) -> bytes:
    """The passphrase of an encrypted volume; empty for another."""
    if not volume.encrypted:
        return b""
    if vault is None:
        raise StepFailed("Passphrases cannot be opened here: the installation's key is missing.")
    return vault.open(volume.id, volume.secret).encode()


def is_littered(tx: Tx, name: str, host_id: str) -> bool:
    """Whether files of a name are to be removed first where a host's files lie."""
    host = tx.hosts.get(host_id)
    return any(same_store(tx.hosts.get(item.host_id), host) for item in tx.debris.named(name))


# What the end of each step leaves -----------------------------------------------------------------------

Record = Callable[[Work, Task, TaskAct], "float | None"]


def _volume(work: Work, task: Task) -> Volume | None:
    return work.tx.volumes.get(task.resource_id)


def _created(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None:
        work.tx.volumes.update(volume, made=True, state=VolumeState.AVAILABLE)
    done(work, task)


def _deleted(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None:
        host = work.tx.hosts.get(volume.host_id or "")
        if host is not None and host.state is HostState.OFFLINE:
            work.tx.debris.put(
                Debris(instance_id=volume.id, host_id=host.id, at=work.now, message="The host is offline.")
            )
        forget_volume(work, volume)
    done(work, task)


def _modified(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None and volume.modification is not None:
        ended = msgspec.structs.replace(volume.modification, state="completed", ended_at=work.now)
        touch(work, work.tx.volumes.update(volume, modification=ended))
    done(work, task)


def _reverted(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None:
        work.tx.volumes.update(volume, last_snapshot="")
    done(work, task)


def _attached(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None and volume.instance_id == task.instance_id:
        touch(
            work,
            work.tx.volumes.update(
                volume, attach=AttachState.ATTACHED, attached_at=work.now, last_snapshot="", message=""
            ),
        )
    done(work, task)


def _detached(work: Work, task: Task, _act: TaskAct) -> None:
    volume = _volume(work, task)
    if volume is not None and volume.instance_id == task.instance_id:
        touch(work, volume)
        set_free(work, volume, last_snapshot="", message="")
        leave_instance(work, volume.id, task.instance_id)
    done(work, task)


def _snapshot_step(work: Work, task: Task, act: TaskAct) -> float | None:
    if task.step == 0:
        return _copied(work, task, act)
    if task.step == 1:
        work.tx.tasks.update(task, step=2, attempt=1, progress=90)
        return _AGAIN_AT_ONCE
    if task.step == 2 and act.content is not None:
        return _taken(work, task, act.content)
    done(work, task)
    return None


def _copied(work: Work, task: Task, act: TaskAct) -> float | None:
    """The copy is on the host: the volume and its instance are free again, and the rest needs neither."""
    volume = act.disk
    arguments = task.arguments | {"host": str(volume.host_id)}
    if not act.incremental:
        arguments.pop("parent", None)
    fresh = work.tx.volumes.get(volume.id)
    if fresh is not None:
        mark = task.resource_id if act.running else ""
        work.tx.volumes.update(fresh, last_snapshot=mark)
    was_in_line = bool(task.instance_id)
    freed = release_lock(work, task, step=1, attempt=1, progress=10, arguments=arguments)
    if was_in_line:
        enqueue(work, work.tx.tasks.update(freed, state=JobState.QUEUED))
    return _AGAIN_AT_ONCE


def _taken(work: Work, task: Task, content: Content) -> float | None:
    kept = work.tx.contents.put(content)
    if not Path(kept.path).is_file():  # the reaper was faster with an unused one of the same bytes
        work.tx.tasks.update(task, step=1)
        return _AGAIN_SOON
    snapshot = work.tx.snapshots.get(task.resource_id)
    if snapshot is None:  # deleted meanwhile: the bytes are the reaper's
        leave_copy(work, task, "The snapshot was deleted.")
        done(work, task)
        return None
    snapshot = work.tx.snapshots.update(
        snapshot,
        state=SnapshotState.COMPLETED,
        progress=100,
        content=kept.checksum,
        completed_at=work.now,
        message="",
    )
    image_progress(work, snapshot)
    work.tx.tasks.update(task, step=3, attempt=1, progress=99)
    return _AGAIN_AT_ONCE


def _brought(work: Work, task: Task, act: TaskAct) -> float | None:
    if act.content is None:
        done(work, task)
        return None
    kept = work.tx.contents.put(act.content)
    if not Path(kept.path).is_file():
        return _AGAIN_SOON
    imported(work, task, kept)
    result = {"checksum": kept.checksum}
    work.tx.tasks.update(task, step=1, attempt=1, progress=99, result=result)
    return _AGAIN_AT_ONCE


def _nic_attached(work: Work, task: Task, _act: TaskAct) -> None:
    plugged(work, task.resource_id, task.instance_id)
    done(work, task)


def _nic_detached(work: Work, task: Task, _act: TaskAct) -> None:
    then_delete = task.arguments.get("then_delete") == "true"
    unplugged(work, task.resource_id, task.instance_id, delete=then_delete)
    done(work, task)


def _finished(work: Work, task: Task, act: TaskAct) -> None:
    done(work, task, act.result)


def _tested(work: Work, task: Task, act: TaskAct) -> None:
    image = work.tx.images.get(task.resource_id)
    if image is not None:
        test_ended(work, image, passed=act.result["passed"] == "true", report=act.result["checks"])
    done(work, task, act.result)


def _ending(record: Callable[[Work, Task, TaskAct], Any]) -> Record:
    def ended(work: Work, task: Task, act: TaskAct) -> None:
        record(work, task, act)

    return ended


RECORDS: dict[TaskKind, Record] = {
    TaskKind.VOLUME_CREATE: _ending(_created),
    TaskKind.VOLUME_DELETE: _ending(_deleted),
    TaskKind.VOLUME_MODIFY: _ending(_modified),
    TaskKind.VOLUME_REVERT: _ending(_reverted),
    TaskKind.VOLUME_ATTACH: _ending(_attached),
    TaskKind.VOLUME_DETACH: _ending(_detached),
    TaskKind.SNAPSHOT_CREATE: _snapshot_step,
    TaskKind.IMAGE_IMPORT: _brought,
    TaskKind.SNAPSHOT_IMPORT: _brought,
    TaskKind.IMAGE_EXPORT: _ending(_finished),
    TaskKind.IMAGE_TEST: _ending(_tested),
    TaskKind.NIC_ATTACH: _ending(_nic_attached),
    TaskKind.NIC_DETACH: _ending(_nic_detached),
    TaskKind.CHECK: _ending(_finished),
}
"""What each kind's step leaves in the database."""


def guest_let_go(engine: Engine, driver: HostDriver, instance_id: str) -> None:
    """Look whether a guest has let go of disks that it kept before; those detachments go on."""
    with engine.store.read() as tx:
        busy = [each for each in tx.volumes.of_instance(instance_id) if each.attach is AttachState.BUSY]
    if not busy:
        return
    disks = driver.disks(instance_id)
    gone = {volume.id for volume in busy if disks.get(volume.target) != volume.id}
    if not gone:
        return
    with engine.store.begin() as tx:
        work = engine.work(tx, ENGINE)
        for task in tx.tasks.open_of_instance(instance_id):
            if task.kind is TaskKind.VOLUME_DETACH and task.resource_id in gone:
                tx.tasks.update(task, state=JobState.QUEUED, deadline=work.now + 60)
        instance = tx.instances.get(instance_id)
        if instance is not None:
            begin_hotplug(work, instance)


def guests_let_go(engine: Engine, driver: HostDriver, host_id: str) -> None:
    """The same for all guests of a host: the hint that one has let go may be lost."""
    with engine.store.read() as tx:
        busy = {each.instance_id for each in tx.volumes.on_host(host_id) if each.attach is AttachState.BUSY}
        running = [item.id for item in tx.instances.on_host(host_id) if item.id in busy]
    for instance_id in running:
        guest_let_go(engine, driver, instance_id)
