"""A whole cloud in memory: the real engine and store, hosts in memory, a clock and a queue that tests drive.

Nothing runs by itself. :meth:`Cloud.step` does one step of queued work, :meth:`Cloud.settle` all there is,
:meth:`Cloud.quiesce` lets time pass until nothing is left to do. Hosts can be told to fail, to fall silent,
to reboot; the worker can be told to die before or after any commit and any act, and a new one takes over.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine as Database

from backend.commands import (
    AddHost,
    Change,
    CreateTenant,
    CreateUser,
    Launch,
    Op,
    Operate,
    PutFlavor,
    RegisterImage,
    SetHostState,
)
from backend.drivers.memory import Fault, MemoryHost, MemoryHosts
from backend.drivers.memory.network import CAPABILITIES, MemoryNetwork
from backend.engine import Engine, EngineSettings
from backend.engine.settings import NetworkSettings
from backend.engine.worker import Monitor, Worker
from backend.errors import BackendError, Code
from backend.model import Api, Caller, Capacity, Content, Event, Flavor, HostState, Instance, Role, Volume
from backend.ports import DomainReason, DomainStatus, HostEvent, Progress, no_progress
from backend.store import Store, Tx

ADMIN = Caller(tenant_id="", account_id="", user_id="", user_name="root", role=Role.ADMIN, api=Api.CLI)


NETWORK = NetworkSettings(
    pools={"public": ("203.0.113.0/26",)}, infra="100.64.0.0/20", capabilities=CAPABILITIES
)


class WorkerKilled(BaseException):
    """The worker's process ends here, as ``kill -9`` would end it: nothing may catch this."""


class Clock:
    """Time that stands still until told."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        self.now += 0.000_1
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ListQueue:
    """The queue's port as a list. Committed work only: a rolled-back transaction's entries are dropped."""

    def __init__(self) -> None:
        self.work: deque[tuple[str, str]] = deque()
        self.keys: set[str] = set()

    def enqueue(self, connection: Any, name: str, key: str, argument: str) -> None:
        from sqlalchemy import event

        @event.listens_for(connection, "commit", once=True)
        def committed(_connection: Any) -> None:
            if key not in self.keys:
                self.keys.add(key)
                self.work.append((name, argument))

        @event.listens_for(connection, "rollback", once=True)
        def rolled_back(_connection: Any) -> None:
            if event.contains(connection, "commit", committed):
                event.remove(connection, "commit", committed)

    def cancel(self, key: str) -> None:
        raise NotImplementedError

    def status(self, key: str) -> str | None:
        return None

    def list(self) -> list[str]:
        return []

    def recover(self, executors: Any) -> int:
        return 0


_engines: dict[str, Database] = {}


class MortalStore(Store):
    """A store whose process can be told to die at a commit: just before it, or just after it.

    ``deaths`` counts down with every transaction that may write: ``(transactions still to pass, after it)``.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.death: tuple[int, bool] | None = None
        if not self.url.database:  # to compile the same statements for each anew is a third of a test's time
            first = _engines.setdefault("first", self.engine)
            self.engine.dialect, self.engine._compiled_cache = first.dialect, first._compiled_cache

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        dies, after = False, False
        if self.death is not None:
            left, after = self.death
            dies = left == 0
            self.death = None if dies else (left - 1, after)
        with super().begin() as tx:
            yield tx
            if dies and not after:
                raise WorkerKilled
        if dies:
            raise WorkerKilled


class SimulatedHost(MemoryHost):
    """A host in memory whose trouble is planned.

    ``plan`` maps a number of calls still to pass to what happens at that call: a :class:`Fault`, the
    worker's death before or after the call's effect, or something that happens meanwhile.
    """

    def __init__(self, host_id: str, clock: Clock) -> None:
        super().__init__(host_id, clock=clock)
        self._clock = clock
        self.plan: list[tuple[int, Fault | str | Callable[[], object]]] = []
        self.broken: set[str] = set()
        self.fault = self._planned
        self._then: Fault = Fault.NONE

    def _planned(self, method: str) -> Fault:
        if method in self.broken:
            return Fault.FAIL_BEFORE
        return self._then

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        due = [what for left, what in self.plan if left <= 0]
        self.plan = [(left - 1, what) for left, what in self.plan if left > 0]
        self._then, dies_after = Fault.NONE, False
        faults = [what for what in due if isinstance(what, Fault)]
        for what in due:
            if callable(what):
                what()
            elif what == "die before":
                raise WorkerKilled
            elif what == "die after":
                dies_after = True
        self._then = faults[0] if faults else Fault.NONE
        with super()._call(method):
            yield
        if dies_after:
            raise WorkerKilled

    def wait(self, instance_id: str, seconds: float) -> None:
        """Nothing happens for so long."""
        self._clock.advance(seconds)

    # What happens to it, or is done there behind the engine's back

    def change(self, instance_id: str, status: DomainStatus, reason: DomainReason) -> None:
        """A domain changes without our doing; the hypervisor hints at it."""
        facts = self.domains[instance_id]
        saved = reason is DomainReason.SAVED
        self._set(msgspec.structs.replace(facts, status=status, reason=reason, has_checkpoint=saved))

    def power_cycle(self) -> None:
        """The machine reboots: every guest is gone, disks and checkpoints stay."""
        for facts in list(self.domains.values()):
            if facts.status is not DomainStatus.OFF:
                self.domains[facts.instance_id] = msgspec.structs.replace(
                    facts, status=DomainStatus.OFF, reason=DomainReason.UNKNOWN
                )
        self.listener(HostEvent(host_id=self.host_id, instance_id=None))

    def files_of(self, instance_id: str) -> set[str]:
        """What lies here besides volumes of an instance: its seed, scratch disks and checkpoint."""
        scratch = {name.partition(".")[2] for name in self.volumes if name.startswith(f"{instance_id}.")}
        facts = self.domains.get(instance_id)
        checkpoint = {"checkpoint"} if facts is not None and facts.has_checkpoint else set()
        return self.own.get(instance_id, set()) | scratch | checkpoint

    def is_empty(self) -> bool:
        """Whether nothing of ours lies here but the cache of images."""
        return not (self.domains or self.volumes or self.own or self.saved)

    def running(self) -> set[str]:
        """The ids of instances whose domain runs here."""
        return {name for name, facts in self.domains.items() if facts.status is DomainStatus.RUNNING}


_schema: list[str] = []


def _create_tables(store: Store) -> None:
    """All tables. In memory, from the second time on, by the database's own text of them: that is quicker."""
    if store.url.database or not _schema:
        store.create()
    if store.url.database:
        return
    with store.begin() as tx:
        if _schema:
            for statement in _schema:
                tx.connection.exec_driver_sql(statement)
        else:
            texts = tx.connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            _schema.extend(texts.scalars())


class MemoryContents:
    """The image store as small files of a folder of the test's own: what hosts in memory hold fits into it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="contents-")
        self.folder = Path(self._folder.name)
        self.sources: dict[str, bytes] = {}

    def add(self, data: bytes, *, virtual_bytes: int = 1 << 28) -> Content:
        """A content with bytes of a test's own choice."""
        checksum = hashlib.sha256(data).hexdigest()
        path = self.folder / f"{checksum}.qcow2"
        path.write_bytes(data)
        return Content(
            checksum=checksum,
            path=str(path),
            format="qcow2",
            size_bytes=len(data),
            virtual_bytes=virtual_bytes,
        )

    def scratch(self, name: str) -> str:
        return str(self.folder / f".{name}.part")

    def drop(self, name: str) -> None:
        Path(self.scratch(name)).unlink(missing_ok=True)

    def take(
        self,
        name: str,
        *,
        form: str,  # noqa: ARG002 - all are alike here
        parent: Content | None = None,
        encrypted: bool = False,
        progress: Progress = no_progress,  # noqa: ARG002 - small things are quick
    ) -> Content:
        data = Path(self.scratch(name)).read_bytes()
        kept = self.add(data, virtual_bytes=1 << 30)
        self.drop(name)
        changes = {"parent": parent.checksum if parent else "", "encrypted": encrypted}
        return msgspec.structs.replace(kept, **changes)

    def bring(self, name: str, location: str, form: str, progress: Progress = no_progress) -> Content:
        data = self.sources.get(location)
        if data is None:
            raise BackendError(Code.IMAGE_UNREADABLE, f"There is nothing at {location}.")
        Path(self.scratch(name)).write_bytes(data)
        return self.take(name, form=form, progress=progress)

    def export(
        self,
        content: Content,
        parents: Sequence[Content],  # noqa: ARG002 - nothing is a difference here
        form: str,  # noqa: ARG002 - all are alike here
        path: str,
        progress: Progress,
    ) -> None:
        Path(path).write_bytes(Path(content.path).read_bytes())
        progress(1, 1)

    def remove(self, content: Content) -> None:
        Path(content.path).unlink(missing_ok=True)

    def files(self) -> frozenset[str]:
        names = (path.name for path in self.folder.iterdir())
        return frozenset(
            f"work/{name[1 : -len('.part')]}" if name.startswith(".") else name for name in names
        )


class PlainVault:
    """Seals by saying whose it is; opens for nobody else."""

    def seal(self, owner: str, secret: str) -> bytes:
        return f"{owner}|{secret}".encode()

    def open(self, owner: str, sealed: bytes) -> str:
        whose, _, secret = sealed.decode().partition("|")
        assert whose == owner, "sealed for somebody else"
        return secret


class Cloud:
    """Engine, worker and hosts in one process, without threads: ``settle`` runs everything there is to do."""

    def __init__(
        self, *, hosts: int = 1, settings: EngineSettings | None = None, url: str = "sqlite://"
    ) -> None:
        self.clock = Clock()
        self.queue = ListQueue()
        self.store = MortalStore(url)
        _create_tables(self.store)
        self.contents = MemoryContents()
        self.network = MemoryNetwork()
        self.engine = Engine(
            self.store,
            self.queue,
            settings or EngineSettings(network=NETWORK),
            clock=self.clock,
            vault=PlainVault(),
        )
        self.hosts = MemoryHosts(lambda host_id: SimulatedHost(host_id, self.clock))
        self.failpoint: Callable[[str], None] = lambda _place: None
        self.monitors: dict[str, Monitor] = {}
        self.restart_worker()
        self.tenant = self.engine.execute(ADMIN, CreateTenant(name="alpha", account_id="111122223333"))
        self.other_tenant = self.engine.execute(ADMIN, CreateTenant(name="beta", account_id="444455556666"))
        self.caller = self.login("ann", self.tenant)
        self.other = self.login("bob", self.other_tenant)
        for flavor in (
            Flavor(name="t2.nano", vcpus=1, memory_mib=512, root_gib=1),
            Flavor(name="t2.large", vcpus=2, memory_mib=8192, root_gib=4, ephemeral_gib=2),
        ):
            self.engine.execute(ADMIN, PutFlavor(flavor=flavor))
        self.image = self.register("guest")
        self.host_ids: list[str] = []
        for _ in range(hosts):
            self.add_host()
        self.poll()
        self.queue.work.clear()  # scheduler passes over nothing

    def register(
        self, name: str, caller: Caller | None = None, data: bytes | None = None, **parameters: Any
    ) -> Any:
        """Register an image of a content that says its name, or of other bytes."""
        virtual = parameters.pop("virtual_bytes", 1 << 28)
        known: dict[str, Any] = {"public": True}
        if "snapshot_id" not in parameters:
            data = f"image {name}".encode() if data is None else data
            known["content"] = self.contents.add(data, virtual_bytes=virtual)
        return self.engine.execute(caller or self.caller, RegisterImage(name=name, **{**known, **parameters}))

    def add_host(
        self, total: Capacity | None = None, zone: str = "us-east-1a", region: str = "us-east-1"
    ) -> SimulatedHost:
        """One more host, met at the next poll."""
        uri = f"memory:{len(self.host_ids)}"
        added = self.engine.execute(ADMIN, AddHost(uri=uri, region=region, zone=zone))
        self.host_ids.append(added.id)
        self._watch(added.id)
        host = self.host(len(self.host_ids) - 1)
        if total is not None:
            host.total = total
        return host

    def _watch(self, host_id: str) -> None:
        self.monitors[host_id] = Monitor(self.worker, host_id)
        self.worker._monitors[host_id] = self.monitors[host_id]  # no threads: tests turn the crank

    def restart_worker(self) -> None:
        """A new worker process with the same name, as after a crash: what its start does, without threads."""
        self.store.death = None
        for host in self.hosts.hosts.values():
            host.plan = []
        self.worker = Worker(
            self.engine,
            self.hosts,
            self.contents,
            self.network,
            "worker-1",
            failpoint=lambda name: self.failpoint(name),
            monotonic=self.clock,
        )
        with self.store.begin() as tx:
            tx.jobs.release("worker-1")
            tx.tasks.release("worker-1")
            tx.workers.beat("worker-1", self.clock())
        self.hosts.watch(self.worker._hint)
        for host_id in list(self.monitors):
            self._watch(host_id)

    def login(self, name: str, tenant: Any, api: Api = Api.EC2) -> Caller:
        user = self.engine.execute(ADMIN, CreateUser(tenant_id=tenant.id, name=name, password_hash="x"))
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=user.id,
            user_name=name,
            api=api,
            region="us-east-1",
        )

    def launch(self, caller: Caller | None = None, **parameters: Any) -> list[Instance]:
        parameters.setdefault("image_id", self.image.id)
        return list(self.engine.execute(caller or self.caller, Launch(**parameters)).instances)

    def started(self, caller: Caller | None = None, **parameters: Any) -> Instance:
        """One instance that runs."""
        instance = self.launch(caller, **parameters)[0]
        self.settle()
        found = self.get(instance)
        assert found.detail == "runn", found
        return found

    def operate(
        self, op: Op, *instances: Instance | str, caller: Caller | None = None, **flags: bool
    ) -> tuple[Change, ...]:
        """One operation by the owner, or another caller."""
        ids = tuple(item if isinstance(item, str) else item.id for item in instances)
        return self.engine.execute(caller or self.caller, Operate(op=op, ids=ids, **flags))

    def do(self, op: Op, instance: Instance, caller: Caller | None = None, **flags: bool) -> Instance:
        """An operation carried out to its end."""
        self.operate(op, instance, caller=caller, **flags)
        self.settle()
        return self.get(instance)

    def get(self, instance: Instance | str) -> Instance:
        instance_id = instance if isinstance(instance, str) else instance.id
        with self.store.read() as tx:
            found = tx.instances.get(instance_id)
        assert found is not None
        return found

    def disks(self, instance: Instance | str) -> list[Volume]:
        """The instance's volumes, the root first."""
        with self.store.read() as tx:
            return tx.volumes.of_instance(instance if isinstance(instance, str) else instance.id)

    def volume(self, volume: Volume | str) -> Volume | None:
        """A volume as the database has it now."""
        with self.store.read() as tx:
            return tx.volumes.get(volume if isinstance(volume, str) else volume.id)

    def wrong_files(self) -> set[str]:
        """Where hosts and image store differ from the database (invariant 22); to be asked when all is still.

        What the database says to be debris may be there or not.
        """
        with self.store.read() as tx:
            volumes, instances, contents = tx.volumes.all(), tx.instances.all(), tx.contents.all()
            debris = {(item.host_id, item.instance_id) for item in tx.debris.all()}
        placed = [item for item in instances if item.host_id is not None and item.detail != "done"]
        wrong = set()
        for host_id in self.host_ids:
            host = self.hosts.driver(host_id, "")
            sharing = {each.host_id for each in host.store.hosts}
            wanted = {item.id for item in volumes if item.made and item.host_id in sharing}
            wanted |= {f"{item.id}.vdb" for item in placed if item.host_id in sharing and item.ephemeral_gib}
            seeds = {item.id for item in placed if item.host_id == host_id}
            left = {name for where, name in debris if where in sharing}
            wrong |= {f"missing {name}" for name in (wanted - set(host.volumes)) | (seeds - set(host.own))}
            there = {name for name in host.volumes if name.partition(".")[0] not in left and name not in left}
            wrong |= {f"orphan {name}" for name in (there - wanted) | (set(host.own) - seeds - left)}
            wrong |= {f"cached {name}" for name in host.images - {item.checksum for item in contents}}
        kept = {Path(item.path).name for item in contents if item.path}
        wrong |= {f"stored {name}" for name in self.contents.files() - kept}
        wrong |= {f"lost {name}" for name in kept - self.contents.files()}
        return wrong

    def events(self, instance: Instance | str) -> list[Event]:
        with self.store.read() as tx:
            return tx.events.of(instance if isinstance(instance, str) else instance.id)

    def details(self, instance: Instance | str) -> list[str]:
        """Every detail the instance has been in, in order."""
        return [event.new for event in self.events(instance) if event.old != event.new]

    def host(self, index: int = 0) -> SimulatedHost:
        found = self.hosts.driver(self.host_ids[index], "")
        assert isinstance(found, SimulatedHost)
        return found

    def host_of(self, instance: Instance) -> SimulatedHost:
        found = self.hosts.driver(str(self.get(instance).host_id), "")
        assert isinstance(found, SimulatedHost)
        return found

    def set_host(self, index: int, state: HostState) -> None:
        self.engine.execute(ADMIN, SetHostState(host_id=self.host_ids[index], state=state.value))

    def alive(self, deed: Callable[[], object]) -> bool:
        """Let the worker do something; if it dies of it, a new one is there afterwards."""
        try:
            deed()
        except WorkerKilled:
            self.restart_worker()
            return False
        return True

    def step(self) -> bool:
        """Do one piece of queued work; whether there was one. Work in which the worker dies stays queued."""
        if not self.queue.work:
            return False
        name, argument = self.queue.work.popleft()
        if name == "schedule":
            if not self.alive(self.worker.scheduler.run):
                self.queue.work.append((name, argument))
            return True
        delay: list[float | None] = [0.0]

        def run() -> None:
            delay[0] = self.worker.run_job(argument)

        self.alive(run)
        if delay[0] is not None:
            self.clock.advance(min(delay[0], 0.5))
            self.queue.work.append((name, argument))
        return True

    def settle(self, limit: int = 10_000) -> None:
        """Run queued work until there is none."""
        for _ in range(limit):
            if not self.step():
                return
            if len(self.queue.work) and all(name == "job" for name, _ in self.queue.work):
                self.clock.advance(0.01)
        raise AssertionError(f"work never ended: {list(self.queue.work)[:5]}")

    def poll(self, host_id: str | None = None) -> None:
        """Every monitor (or one) asks its host once."""
        for monitor in list(self.monitors.values()) if host_id is None else [self.monitors[host_id]]:
            monitor.hint()
            if not self.alive(monitor._round):
                return

    def hear(self) -> None:
        """Monitors follow up the hints they got."""
        for monitor in list(self.monitors.values()):
            if monitor._hints:
                self.alive(monitor._round)

    def sweep(self) -> None:
        self.alive(self.worker.sweep)
        self.alive(self.worker.reap)
        self.alive(self.worker.tend_network)

    def quiesce(self, rounds: int = 30) -> None:
        """Time passes with healthy hosts until nothing is left to do: three rounds that change nothing."""
        still, was = 0, None
        for _ in range(rounds):
            self.settle()
            self.clock.advance(40)
            self.poll()
            self.sweep()
            self.settle()
            now = self._standing()
            still = still + 1 if now == was else 0
            if still == 2:
                return
            was = now

    def _standing(self) -> list[Any]:
        with self.store.read() as tx:
            rows = (*tx.instances.all(), *tx.images.all(), *tx.volumes.all(), *tx.snapshots.all())
            rows += (*tx.nics.all(), *tx.public_addresses.all(), *tx.network_changes.all())
            versions = [(row.id, getattr(row, "version", 0)) for row in rows] + [
                item.checksum for item in tx.contents.all()
            ]
            jobs = [(job.id, job.version) for job in (*tx.jobs.open(), *tx.tasks.open())]
            return [versions, jobs, tx.debris.all(), [host.state for host in tx.hosts.all()]]
