"""The worker process's threads: one monitor for each host, consoles, and a sweep over what got stuck.

Monitors wait for hints and ask at intervals; each host has threads of its own, so that a hung one holds up
nobody else. Jobs come from the queue (:mod:`backend.jobs`), which calls :meth:`Worker.run_job`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from backend.engine import Engine
from backend.engine.claims import complete_infra
from backend.engine.colleagues import LEFT, Colleagues
from backend.engine.display_reader import DisplayReader
from backend.engine.displays import ERRAND
from backend.engine.leaving import is_to_move
from backend.engine.network_applier import NetworkApplier
from backend.engine.places import moving_name, same_store
from backend.engine.reconcile import Testimony, seen
from backend.engine.runner import Runner, go_on
from backend.engine.scheduler import Scheduler
from backend.engine.shares import ERRAND as SHARE_ERRAND
from backend.engine.shares import set_share
from backend.engine.silence import host_silent
from backend.engine.stages import CONSOLE_LIMIT
from backend.engine.task_runner import TaskRunner, guest_let_go, guests_let_go
from backend.engine.tasks import begin_hotplug, enqueue, is_deferred, is_hotpluggable, queue_key
from backend.engine.work import ENGINE
from backend.errors import BackendError, Code
from backend.lifecycle import STAY
from backend.model import Content, Debris, Desired, Host, HostState, JobState, Task
from backend.ports import (
    ContentStore,
    HostDriver,
    HostEvent,
    Hosts,
    HostSilent,
    Inventory,
    NetworkDriver,
    StepFailed,
)
from backend.store import Conflict, Tx

_log = logging.getLogger(__name__)
_RETRY_SILENT = (1.0, 2.0, 4.0, 8.0, 15.0)
_CONSOLE_STATES = ("runn", "boot.new", "boot.poff", "boot.susp", "boot.unkn", "shut.done", "shut.poff")
_ASKED = frozenset({HostState.ON, HostState.DISABLED, HostState.MAINTENANCE})
"""Hosts that answer, as far as is known."""
_HEARTBEAT = 10.0
_WISH_RETRY = 30.0
_PURGE_EVERY = 3600.0
_DRAW_EVERY = 300.0
"""Seconds after which the whole network is compared with what is drawn."""
_KEEP_FINISHED_WORK = 86400.0
_KEEP_EXPIRED_SESSIONS = 86400.0
"""Seconds in which a client is still told that its session has expired, and not that it is unknown."""
_AT_ONCE = (-math.inf, 30.0)
"""When hosts are asked to forget a content, and the pause should one of them still need it."""
_RAREST_QUESTION = 3600.0
_WORK = "work/"
_SCRATCH = ("task-", "import-ami-", "import-snap-", "export-ami-", "vol-")
"""Scratch names of the image store that are the worker's own."""


class Worker:
    """Everything of one worker process that touches hosts, except the queue's own threads."""

    def __init__(
        self,
        engine: Engine,
        hosts: Hosts,
        contents: ContentStore,
        network: NetworkDriver,
        executor: str,
        *,
        take_over: Callable[[list[str]], object] = lambda _dead: None,
        purge: Callable[[float], object] = lambda _before: None,
        failpoint: Callable[[str], None] = lambda _name: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.hosts = hosts
        self.executor = executor
        self.scheduler = Scheduler(engine)
        self.monotonic = monotonic
        self.colleagues = Colleagues(monotonic)
        self.contents = contents
        self.network = NetworkApplier(engine, network)
        self.tasks = TaskRunner(
            engine, hosts, contents, self.network, executor, lives=self.colleagues.lives, failpoint=failpoint
        )
        self.runner = Runner(engine, self.tasks, executor, lives=self.colleagues.lives, failpoint=failpoint)
        self.displays = DisplayReader(engine, hosts)
        self._take_over = take_over
        self._purge = purge
        self._purged_at = -math.inf
        self._scheduled_at = -math.inf
        self._drawn_at = -math.inf
        self._stop = threading.Event()
        self._monitors: dict[str, Monitor] = {}
        self._meeting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._beat_at = -math.inf
        self._enqueued_at: dict[str, float] = {}
        self._lingering: dict[str, tuple[float, float]] = {}

    # What the queue calls -------------------------------------------------------------------------------

    def run_job(self, job_id: str) -> float | None:
        """One step of a job: seconds until the next, or None when it is over or waits for its host."""
        if job_id.startswith("net-"):
            return self.network.drain()
        if job_id.startswith(ERRAND):
            self.displays.read(job_id.removeprefix(ERRAND))
            return None
        if job_id.startswith(SHARE_ERRAND):
            set_share(self.engine, self.hosts, job_id.removeprefix(SHARE_ERRAND))
            return None
        run = self.runner.run if job_id.startswith("job-") else self.tasks.run
        try:
            return run(job_id)
        except Conflict:  # what the step did is found again when it is asked for again
            return 0.0
        except BackendError as error:
            if error.code is not Code.STALE:
                raise
            return 0.0  # something shown of the instance was changed at the same moment

    def job_failed(self, job_id: str, error: Exception) -> None:
        """A step broke in a way nobody foresaw: log it, and let the sweep bring the job back."""
        _log.error("job %s broke", job_id, exc_info=error)
        with self.engine.store.begin() as tx:
            job = tx.jobs.get(job_id)
            if job is not None and job.finished_at is None:
                tx.jobs.update(job, state=JobState.WAITING, busy="", message=f"internal error: {error!r}")
            task = tx.tasks.get(job_id)
            if task is not None and task.finished_at is None:
                tx.tasks.update(task, state=JobState.WAITING, busy="", message=f"internal error: {error!r}")

    def run_schedule(self) -> None:
        """A scheduler pass; hosts that were just added are met first."""
        self._meet_hosts()
        self.scheduler.run()

    # Life of the process --------------------------------------------------------------------------------

    def start(self) -> None:
        """Claim this executor's name, take up what a dead namesake left, and begin to watch."""
        now = self.engine.clock()
        with self.engine.store.begin() as tx:
            complete_infra(self.engine.work(tx, ENGINE))
            alone = [beat.executor for beat in tx.workers.all()] if self.engine.store.is_sqlite else []
            for executor in {self.executor, *alone}:  # SQLite has one worker: all others have ended
                _release(tx, executor)
            tx.workers.beat(self.executor, now)
        self.hosts.watch(self._hint)
        self._meet_hosts()
        for chore in (self.sweep, self.reap, self.tend_network):
            thread = threading.Thread(target=self._loop, args=(chore,), name=chore.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop watching, once the queue has stopped. Guests go on; what was begun goes to others."""
        self._stop.set()
        for monitor in self._monitors.values():
            monitor.stop()
        for thread in self._threads:
            thread.join(timeout=5)
        with contextlib.suppress(Exception), self.engine.store.begin() as tx:
            tx.workers.beat(self.executor, LEFT)

    def _meet_hosts(self) -> None:
        """Watch the hosts there are, each once, whichever thread meets it first."""
        with self._meeting:
            known = {host.id: host for host in self.engine.hosts()}
            for host in known.values():
                if host.id not in self._monitors and host.state is not HostState.OFFLINE:
                    monitor = Monitor(self, host.id)
                    self._monitors[host.id] = monitor
                    monitor.start()
                elif host.state is HostState.INIT:
                    self._monitors[host.id].hint()
            gone = set(self._monitors) - set(known)
            for host_id in gone:
                self._monitors.pop(host_id).stop()
        for host_id in gone:
            self.hosts.forget(host_id)

    def _hint(self, event: HostEvent) -> None:
        monitor = self._monitors.get(event.host_id)
        if monitor is not None:
            monitor.hint(event.instance_id)

    # Sweep ----------------------------------------------------------------------------------------------

    def _loop(self, chore: Callable[[], None]) -> None:
        while not self._stop.wait(self.engine.settings.sweep_interval):
            try:
                chore()
            except Exception:
                _log.exception("%s failed", chore.__name__)

    def sweep(self) -> None:
        """Heartbeat, dead workers, jobs that wait for hosts, and wishes. It asks the database alone: a hung
        host must not make this worker look dead.
        """
        self._heartbeat()
        self._meet_hosts()
        self._wake_waiting(self.engine.clock())
        self._wake_tasks(self.engine.clock())
        self._wishes(self.engine.clock())
        if self._due(self._scheduled_at, self.engine.settings.poll_interval) and self._has_pending():
            self._scheduled_at = self.monotonic()
            self.scheduler.run()

    def _due(self, last: float, every: float) -> bool:
        return self.monotonic() - last >= every

    def _heartbeat(self) -> None:
        if not self._due(self._beat_at, _HEARTBEAT):
            return
        self._beat_at = self.monotonic()
        with self.engine.store.begin() as tx:
            tx.workers.beat(self.executor, self.engine.clock())
            others = [beat for beat in tx.workers.all() if beat.executor != self.executor]
        dead = [beat.executor for beat in others if not self.colleagues.lives(beat)]
        if dead:
            _log.warning("taking over from dead workers: %s", ", ".join(dead))
            self._take_over(dead)  # may be repeated, so their rows go last
            with self.engine.store.begin() as tx:
                for executor in dead:
                    _release(tx, executor)
                    self.colleagues.forget(executor)

    def _wake_waiting(self, now: float) -> None:
        """Enqueue jobs again whose host answers again, is given up, or whose deadline has passed."""
        with self.engine.store.read() as tx:
            waiting = [job for job in tx.jobs.open() if job.state is JobState.WAITING]
            hosts = {host.id: host for host in tx.hosts.all()}
            instances = tx.instances.some([job.instance_id for job in waiting])
            volumes = tx.volumes.of_instances(list(instances))
        for job in waiting:
            instance = instances.get(job.instance_id)
            host = hosts.get(instance.host_id or "") if instance else None
            answers = _answers(host)
            if job.stages[job.stage].startswith("prol."):  # a volume may have to be brought from elsewhere
                places = {each.host_id for each in volumes.get(job.instance_id, ())}
                others = [hosts.get(place) for place in places if place and hosts.get(place) != host]
                answers &= all(map(_answers, others)) and (not others or self._due_again(job.id))
            due = now >= job.deadline and bool(job.on_lost) and job.on_lost[job.stage] != STAY
            given_up = self.engine.settings.silent(host) and job.stages[job.stage].startswith("prol.")
            if answers or due or given_up:
                self._enqueue_again(job.id)

    def _enqueue_again(self, job_id: str) -> None:
        with self.engine.store.begin() as tx:
            job = tx.jobs.get(job_id)
            if job is None or job.state is not JobState.WAITING:
                return
            tx.jobs.update(job, state=JobState.QUEUED, attempt=job.attempt + 1)
            self.engine.queue.enqueue(tx.connection, "job", f"{job_id}:{secrets.token_hex(4)}", job_id)

    def _wake_tasks(self, now: float) -> None:
        """Storage work that waits for a host that answers again, or whose turn nobody brought about; and
        instances that are free for what is to be done to their disks.
        """
        with self.engine.store.read() as tx:
            open_tasks = tx.tasks.open()
            silent = {
                host.id for host in tx.hosts.all() if host.failures and host.state is not HostState.OFFLINE
            }
            volumes = tx.volumes.some([_volume_of(task) for task in open_tasks])
            instances = tx.instances.some(list({task.instance_id for task in open_tasks if task.instance_id}))
        for task in open_tasks:
            if task.instance_id or task.busy:
                continue
            volume = volumes.get(_volume_of(task))
            place = task.arguments.get("host") or (volume.host_id if volume is not None else None)
            due = now >= float(task.arguments.get("due", "0"))
            answers = task.state is JobState.WAITING and place not in silent and due
            overdue = task.state is JobState.QUEUED and now - task.created_at > _WISH_RETRY
            if answers or (overdue and self._due_again(task.id) and not self._is_queued(task)):
                self._enqueue_task(task)
        plugging = {task.instance_id for task in open_tasks if not is_deferred(task)}
        for instance in instances.values():
            idle = instance.job_id is None and instance.desired is not Desired.GONE
            if idle and instance.id in plugging and is_hotpluggable(instance):
                with self._careful(), self.engine.store.begin() as tx:
                    fresh = tx.instances.get(instance.id)
                    if fresh is not None and fresh.version == instance.version:
                        begin_hotplug(self.engine.work(tx, ENGINE), fresh)

    def _enqueue_task(self, task: Task) -> None:
        with self._careful(), self.engine.store.begin() as tx:
            fresh = tx.tasks.get(task.id)
            if fresh is not None and fresh.version == task.version:
                work = self.engine.work(tx, ENGINE)
                enqueue(work, tx.tasks.update(fresh, state=JobState.QUEUED))

    def _is_queued(self, task: Task) -> bool:
        """Whether the task's turn is still to come: it is in the queue once at most."""
        return self.engine.queue.status(queue_key(task)) in {"ENQUEUED", "PENDING"}

    def _due_again(self, task_id: str) -> bool:
        """A task whose turn does not come is enqueued again now and then, not at every sweep."""
        now = self.monotonic()
        last = self._enqueued_at.get(task_id, -math.inf)
        if now - last < _WISH_RETRY:
            return False
        self._enqueued_at = {name: at for name, at in self._enqueued_at.items() if now - at < _PURGE_EVERY}
        self._enqueued_at[task_id] = now
        return True

    def _wishes(self, now: float) -> None:
        """Instances that are to be gone but have no job: a failed epilog, or a host that came back."""
        with self.engine.store.read() as tx:
            stuck = [item for item in tx.instances.wished_gone() if now - item.state_since > _WISH_RETRY]
        for instance in stuck:
            with self._careful(), self.engine.store.begin() as tx:
                fresh = tx.instances.get(instance.id)
                if fresh is not None:
                    go_on(self.engine.work(tx, ENGINE), fresh, again=True)

    def _has_pending(self) -> bool:
        with self.engine.store.read() as tx:
            return bool(tx.instances.in_details(["pend"], limit=1))

    def tend_network(self) -> None:
        """What is noted and was not followed, and at the beginning and now and then everything."""
        try:
            if self._due(self._drawn_at, _DRAW_EVERY):
                self.network.reconcile()
                self._drawn_at = self.monotonic()
            self.network.follow_hosts()
        except (HostSilent, StepFailed) as error:
            _log.warning("the network does not follow: %s", error)
        self.network.drain()

    def reap(self) -> None:
        """Bytes of withdrawn images nobody uses, files left on hosts, and rows past their time."""
        now, settings = self.engine.clock(), self.engine.settings
        with self.engine.store.read() as tx:
            unused = tx.contents.unused()
            asked = [host for host in tx.hosts.all() if host.state in _ASKED]
            left = [item for host in asked for item in tx.debris.on(host.id)]
        self._lingering = {each.checksum: self._lingering.get(each.checksum, _AT_ONCE) for each in unused}
        for content in unused:
            with self._careful():
                self._remove_content(content)
        for item in left:
            with self._careful():
                self._remove_debris(item)
        with self._careful():
            self._drop_scratch()
        if self._due(self._purged_at, _PURGE_EVERY):
            self._purged_at = self.monotonic()
            self._purge(now - _KEEP_FINISHED_WORK)
            with self.engine.store.begin() as tx:
                tx.instances.forget_history(now - settings.history)
                tx.pictures.forget(now - settings.picture_memory)
                tx.tasks.forget_before(now - settings.history)
        with self.engine.store.begin() as tx:
            tx.instances.archive(now - settings.done_visible)
            tx.tags.drop(tx.nat_gateways.forget_deleted(now - settings.done_visible))
            tx.tokens.expired(now)
            tx.sessions.forget_expired(now - _KEEP_EXPIRED_SESSIONS)
            tx.launch_tokens.forget_before(now - settings.token_memory)
            tx.volume_tokens.forget_before(now - settings.token_memory)
            tx.creation_keys.forget(now - settings.token_memory)

    def _drop_scratch(self) -> None:
        """Remove what work that has ended, or was called off, left in the image store."""
        names = {name.rpartition("/")[2] for name in self.contents.files() if name.startswith(_WORK)}
        ours = {name for name in names if name.startswith(_SCRATCH)}
        if not ours:
            return
        with self.engine.store.read() as tx:
            busy = {task.id for task in tx.tasks.open()}
            volumes = tx.volumes.some([name.partition(".")[0] for name in ours])
            moving = {moving_name(each.id) for each in volumes.values() if is_to_move(tx, each)}
        for name in ours - busy - moving:
            self.contents.drop(name)

    def _remove_debris(self, item: Debris) -> None:
        """Remove what was left on a host; not a volume that has come back there meanwhile.

        The row stays until the host has answered: as long as it is there, nothing of that name is put there.
        """
        claimed = self._claim_debris(item)
        if claimed is None:
            return
        host, item = claimed
        driver = self.hosts.driver(host.id, host.uri)
        try:
            if item.instance_id.startswith("i-"):
                driver.delete_files(item.instance_id)
            else:
                driver.delete(item.instance_id)
        except Exception:
            self._give_back(item, removed=False)
            raise
        self._give_back(item, removed=True)

    def _give_back(self, item: Debris, *, removed: bool) -> None:
        """What was removed is forgotten, unless it was noted again meanwhile: it may have come after that."""
        with self.engine.store.begin() as tx:
            fresh = tx.debris.lock(item.instance_id, item.host_id)
            if fresh is not None and removed and fresh.version == item.version:
                tx.debris.delete(item.instance_id, item.host_id)
            elif fresh is not None and fresh.busy == self.executor:
                tx.debris.update(fresh, busy="")

    def _claim_debris(self, item: Debris) -> tuple[Host, Debris] | None:
        """The row, for this worker alone, with its host; None when there is nothing to remove now."""
        with self.engine.store.begin() as tx:
            fresh, host = tx.debris.lock(item.instance_id, item.host_id), tx.hosts.get(item.host_id)
            if fresh is None or host is None or host.state not in _ASKED:
                return None
            others = fresh.busy not in {"", self.executor}
            if others and self.colleagues.lives(tx.workers.get(fresh.busy)):
                return None
            if any(place.host_id == host.id for place in tx.placements.open_of(fresh.instance_id)):
                return None  # the job that works there comes first
            volume = tx.volumes.get(fresh.instance_id)
            if volume is not None and same_store(tx.hosts.get(volume.host_id or ""), host):
                tx.debris.delete(fresh.instance_id, fresh.host_id)
                return None
            return host, tx.debris.update(fresh, busy=self.executor)

    def _remove_content(self, content: Content) -> None:
        """The store's file first, then every host's copy, then the row: repeatable at every point.

        A host's cache may be in use by volumes for a long time; the row waits for it, the file does not. It
        waits until every host can be asked, but for those declared dead: no copy is forgotten.
        """
        if content.path and not self._remove_file(content):
            return
        due, pause = self._lingering.get(content.checksum, _AT_ONCE)
        hosts = [host for host in self.engine.hosts() if host.state is not HostState.OFFLINE]
        if self.monotonic() < due or not all(host.state in _ASKED and not host.failures for host in hosts):
            return
        kept = [
            host.id
            for host in hosts
            if not self.hosts.driver(host.id, host.uri).forget_image(content.checksum)
        ]
        if kept:
            self._lingering[content.checksum] = (self.monotonic() + pause, min(2 * pause, _RAREST_QUESTION))
            return
        with self.engine.store.begin() as tx:
            gone = tx.contents.lock(content.checksum)
            if gone is not None and not gone.path:
                tx.contents.delete(content.checksum)

    def _remove_file(self, content: Content) -> bool:
        """Remove a content's file from the store, if still nothing refers to it; whether it went."""
        with self.engine.store.begin() as tx:
            fresh = tx.contents.lock(content.checksum)
            if fresh is None or not tx.contents.is_unused(fresh.checksum):
                return False
            if any(task.arguments.get("parent") == fresh.checksum for task in tx.tasks.open()):
                return False  # the difference to it is on its way
            if fresh.path:
                self.contents.remove(fresh)
                tx.contents.update(fresh, path="")
            return True

    @contextlib.contextmanager
    def _careful(self) -> Iterator[None]:
        """One failure must not keep the rest of a sweep from being done."""
        try:
            yield
        except (HostSilent, StepFailed) as error:
            _log.info("put off: %s", error)
        except BackendError as error:
            if error.code is not Code.STALE:
                _log.exception("sweep step refused")
        except Exception:
            _log.exception("sweep step failed")


def _release(tx: Tx, executor: str) -> None:
    """Forget a worker, and what it was in the middle of."""
    tx.jobs.release(executor)
    tx.tasks.release(executor)
    tx.debris.release(executor)
    tx.workers.delete(executor)


def _answers(host: Host | None) -> bool:
    """Whether nothing stands against asking a host; one declared dead refuses at once."""
    return host is None or host.state is HostState.OFFLINE or not host.failures


def _volume_of(task: Task) -> str:
    """The id of the volume that a task is about, if it is about one."""
    return task.arguments.get("volume", task.resource_id)


class Monitor:
    """Watches one host: asks it at intervals and when something happened there."""

    def __init__(self, worker: Worker, host_id: str) -> None:
        self.engine = worker.engine
        self.hosts = worker.hosts
        self.scheduler = worker.scheduler
        self.host_id = host_id
        self.testimony = Testimony(worker.engine, host_id)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._hints: set[str] = set()
        self._all = True
        self._poll_due = -math.inf
        self._monotonic = worker.monotonic
        self._silent = 0
        self._simulated = False
        self._console_sizes: dict[str, tuple[int, float, float]] = {}

    def start(self) -> None:
        """Begin to watch, on two threads: answers, and consoles."""
        for name, target in (("monitor", self._loop), ("console", self._console_loop)):
            threading.Thread(target=target, name=f"{name}-{self.host_id}", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._wake.set()

    def hint(self, instance_id: str | None = None) -> None:
        """Something happened to an instance, or (None) to the host."""
        with self._lock:
            if instance_id is None:
                self._all = True
            else:
                self._hints.add(instance_id)
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self._round()
            except Exception:
                _log.exception("monitor of %s failed", self.host_id)
                self._ask_again(5.0)
            self._wake.wait(max(0.0, self._poll_due - self._monotonic()))
            self._wake.clear()

    def _round(self) -> None:
        """One look at the host: everything when it is time, else just what was hinted at."""
        with self._lock:
            everything = self._all or self._monotonic() >= self._poll_due
            hints = self._hints
            self._all, self._hints = False, set()
        host = self._host()
        if host is None or host.state is HostState.OFFLINE:
            self._poll_due = self._monotonic() + self.engine.settings.poll_interval
            return
        try:
            driver = self.hosts.driver(host.id, host.uri)
            if everything or host.failures or host.state in {HostState.INIT, HostState.ERR}:
                self._poll(host, driver)
                self._poll_due = self._monotonic() + self.engine.settings.poll_interval
            else:
                for instance_id in hints:
                    self._look(driver, instance_id)
        except (HostSilent, StepFailed) as error:
            self._failed(str(error))
        else:
            self._silent = 0

    def _ask_again(self, delay: float) -> None:
        """What was hinted at is in the next full poll."""
        with self._lock:
            self._all = True
        self._poll_due = self._monotonic() + delay

    def _host(self) -> Host | None:
        with self.engine.store.read() as tx:
            return tx.hosts.get(self.host_id)

    def _look(self, driver: HostDriver, instance_id: str) -> None:
        with self.engine.store.read() as tx:
            instance = tx.instances.get(instance_id)
        if instance is None or instance.host_id != self.host_id:
            return
        if instance.detail == "runn" and instance.job_id is None:
            guest_let_go(self.engine, driver, instance_id)
        self.testimony.instance(driver, instance, driver.domain(instance_id))

    def _poll(self, host: Host, driver: HostDriver) -> None:
        changes: dict[str, object] = {}
        if host.state in {HostState.INIT, HostState.ERR} or not host.architecture:
            facts = driver.facts()
            told = {"acceleration": facts.acceleration, "hypervisor": facts.hypervisor}
            told |= {"simulated": "true"} if facts.simulated else {}
            changes = {
                "architecture": facts.architecture,
                "total": facts.total,
                "capabilities": {**facts.capabilities, **told},
            }
            self.testimony.simulated = self._simulated = facts.simulated
        else:
            self.testimony.simulated = self._simulated = host.capabilities.get("simulated") == "true"
        placed = self.testimony.placed()
        listing = driver.inventory()
        self.testimony.inventory(driver, listing, placed)  # before the scheduler may use the host (§12)
        guests_let_go(self.engine, driver, self.host_id)
        turned_on = self._seen(listing, changes)
        if turned_on:
            self.scheduler.run()

    def _seen(self, listing: Inventory, changes: dict[str, object]) -> bool:
        with self.engine.store.begin() as tx:
            fresh = tx.hosts.get(self.host_id)
            if fresh is None:
                return False
            turned_on = fresh.state in {HostState.INIT, HostState.ERR}
            state = HostState.ON if turned_on else fresh.state
            seen(self.engine.work(tx, ENGINE), fresh, listing, state=state, **changes)
            return turned_on

    def _failed(self, message: str) -> None:
        """No testimony. After some failures in a row the host is in error and what ran there unknown."""
        _log.warning("host %s does not answer: %s", self.host_id, message)
        self._ask_again(_RETRY_SILENT[min(self._silent, len(_RETRY_SILENT) - 1)])
        self._silent += 1
        with self.engine.store.begin() as tx:
            host = tx.hosts.get(self.host_id)
            if host is None or host.state is HostState.OFFLINE:  # declared dead while we asked
                return
            host = tx.hosts.update(host, failures=host.failures + 1, message=message)
            if not self.engine.settings.silent(host):
                return
            if host.state in {HostState.ON, HostState.INIT}:
                host = tx.hosts.update(host, state=HostState.ERR)
            host_silent(self.engine.work(tx, ENGINE), host)

    # Consoles -------------------------------------------------------------------------------------------

    def _console_loop(self) -> None:
        """Copy console logs to the database while they grow; quiet ones are looked at less and less."""
        while not self._stopped.wait(self.engine.settings.console_interval):
            if self._simulated or self._silent:
                continue
            try:
                self._consoles()
            except (HostSilent, StepFailed):
                continue
            except Exception:
                _log.exception("reading consoles of %s failed", self.host_id)

    def _consoles(self) -> None:
        host = self._host()
        if host is None or host.state is not HostState.ON:
            return
        with self.engine.store.read() as tx:
            placed = [
                item.id for item in tx.instances.on_host(self.host_id) if item.detail in _CONSOLE_STATES
            ]
        driver = self.hosts.driver(host.id, host.uri)
        now = self.engine.clock()
        for instance_id in set(self._console_sizes) - set(placed):
            del self._console_sizes[instance_id]
        for instance_id in placed:
            mark, due, pause = self._console_sizes.get(instance_id, (0, 0.0, 1.0))
            if now < due:
                continue
            data = driver.console(instance_id, CONSOLE_LIMIT)
            new = hash(data)
            pause = 1.0 if new != mark else min(pause * 2, 16.0)
            self._console_sizes[instance_id] = (new, now + pause, pause)
            if data and new != mark:
                with self.engine.store.begin() as tx:
                    tx.blobs.put_console(instance_id, data, now)
