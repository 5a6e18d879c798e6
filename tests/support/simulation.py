"""A whole cloud in memory: the real engine and store, hosts in memory, a clock and a queue that tests drive."""

from __future__ import annotations

from collections import deque
from typing import Any

from backend.commands import AddHost, CreateTenant, CreateUser, Launch, PutFlavor, RegisterImage
from backend.drivers.memory import MemoryHost, MemoryHosts
from backend.engine import Engine, EngineSettings
from backend.engine.worker import Monitor, Worker
from backend.model import Api, Caller, Flavor, Instance, Role
from backend.store import Store

ADMIN = Caller(tenant_id="", account_id="", user_id="", user_name="root", role=Role.ADMIN, api=Api.CLI)


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


class Cloud:
    """Engine, worker and hosts in one process, without threads: ``settle`` runs everything there is to do."""

    def __init__(
        self, *, hosts: int = 1, settings: EngineSettings | None = None, url: str = "sqlite://"
    ) -> None:
        self.clock = Clock()
        self.queue = ListQueue()
        self.store = Store(url)
        self.store.create()
        self.engine = Engine(self.store, self.queue, settings or EngineSettings(), clock=self.clock)
        self.hosts = MemoryHosts(lambda host_id: MemoryHost(host_id, clock=self.clock))
        self.worker = Worker(self.engine, self.hosts, "worker-1")
        self.tenant = self.engine.execute(ADMIN, CreateTenant(name="alpha", account_id="111122223333"))
        self.other_tenant = self.engine.execute(ADMIN, CreateTenant(name="beta", account_id="444455556666"))
        self.caller = self.login("ann", self.tenant)
        self.other = self.login("bob", self.other_tenant)
        for flavor in (
            Flavor(name="t2.nano", vcpus=1, memory_mib=512, root_gib=1),
            Flavor(name="t2.large", vcpus=2, memory_mib=8192, root_gib=4, ephemeral_gib=2),
        ):
            self.engine.execute(ADMIN, PutFlavor(flavor=flavor))
        self.image = self.engine.execute(
            self.caller,
            RegisterImage(
                name="guest",
                path="/nowhere/guest.qcow2",
                format="qcow2",
                checksum="c" * 64,
                size_bytes=1 << 24,
                virtual_bytes=1 << 28,
                public=True,
            ),
        )
        self.host_ids = [
            self.engine.execute(
                ADMIN, AddHost(uri=f"memory:{number}", region="us-east-1", zone="us-east-1a")
            ).id
            for number in range(hosts)
        ]
        self.monitors = {host_id: Monitor(self.worker, host_id) for host_id in self.host_ids}
        self.worker._monitors = dict(self.monitors)  # no threads: tests turn the crank
        self.poll()

    def login(self, name: str, tenant: Any) -> Caller:
        user = self.engine.execute(ADMIN, CreateUser(tenant_id=tenant.id, name=name, password_hash="x"))
        return Caller(
            tenant_id=tenant.id,
            account_id=tenant.account_id,
            user_id=user.id,
            user_name=name,
            api=Api.EC2,
            region="us-east-1",
        )

    def launch(self, caller: Caller | None = None, **parameters: Any) -> list[Instance]:
        parameters.setdefault("image_id", self.image.id)
        return list(self.engine.execute(caller or self.caller, Launch(**parameters)).instances)

    def get(self, instance: Instance | str) -> Instance:
        instance_id = instance if isinstance(instance, str) else instance.id
        with self.store.read() as tx:
            found = tx.instances.get(instance_id)
        assert found is not None
        return found

    def host(self, index: int = 0) -> MemoryHost:
        return self.hosts.driver(self.host_ids[index], "")

    def step(self) -> bool:
        """Do one piece of queued work; whether there was one."""
        if not self.queue.work:
            return False
        name, argument = self.queue.work.popleft()
        if name == "schedule":
            self.worker.scheduler.run()
            return True
        delay = self.worker.run_job(argument)
        if delay is not None:
            if delay:
                self.clock.advance(min(delay, 0.5))
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

    def poll(self) -> None:
        """Every monitor asks its host once."""
        for monitor in self.monitors.values():
            monitor.hint()
            monitor._round()

    def quiesce(self, rounds: int = 12) -> None:
        """Time passes with healthy hosts until nothing is left to do."""
        for _ in range(rounds):
            self.settle()
            self.clock.advance(40)
            self.poll()
            self.worker.sweep()
            self.settle()
