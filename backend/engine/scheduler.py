"""The scheduler: gives pending instances a host by capacity, and says why when it cannot (lifecycle §14).

Only the claim admits: a reservation opened in a transaction that locked the host's row, and before it that of
the instance's placement group. One instance that
fits nowhere never holds up the next.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence

from backend.engine import Engine
from backend.engine.capacity import Fit, candidates, need_of, refusal
from backend.engine.groups import parties, party_of
from backend.engine.leaving import is_fresh
from backend.engine.places import same_store, volume_of
from backend.engine.runner import open_stay
from backend.engine.work import ENGINE, Work
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from backend.model import Capacity, Desired, Host, Instance, Placement, Reason, Reservation
from backend.store import Tx


class Scheduler:
    """Passes over the pending instances, one at a time; a pass asked for during a pass follows it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._raced = False

    def run(self) -> int:
        """Dispatch what fits; how many. When another thread is at it, it goes round once more instead."""
        self._wanted.set()
        self._raced = False
        dispatched = 0
        while self._wanted.is_set() and self._lock.acquire(blocking=False):
            try:
                self._wanted.clear()
                dispatched += self._passes()
            finally:
                self._lock.release()
        return dispatched

    def _passes(self) -> int:
        total = 0
        while True:
            dispatched = self._pass()
            total += dispatched
            if dispatched < self.engine.settings.max_dispatch:
                return total

    def _pass(self) -> int:
        settings = self.engine.settings
        with self.engine.store.read() as tx:
            pending = tx.instances.in_details(["pend"], limit=settings.max_pending)
            hosts = tx.hosts.all()
            used = tx.reservations.used()
            littered = litter(tx, hosts)
            groups = parties(tx, {instance.group_id for instance in pending if instance.group_id})
        dispatched = 0
        waits: dict[Instance, str] = {}
        hopeless: dict[object, str] = {}
        for instance in pending:
            if dispatched >= settings.max_dispatch:
                break
            kind = _kind(instance, littered)
            if kind in hopeless:  # room only shrinks during a pass
                waits[instance] = hopeless[kind]
                continue
            party = groups.get(instance.group_id)
            fitting, why = candidates(instance, hosts, used, littered, party)
            if not fitting:
                waits[instance] = hopeless[kind] = why
                continue
            placed = next((fit for fit in fitting if self._claim(instance, fit)), None)
            if placed is not None:
                used[placed.host.id] = used.get(placed.host.id, Capacity()).plus(need_of(instance))
                if party is not None:
                    groups[party.group.id] = party.with_placed(instance, placed.host.id, placed.partition)
                dispatched += 1
            elif not self._raced:  # the host was taken or the instance ended meanwhile: look once more
                self._raced = True
                self._wanted.set()
        self._explain(waits)
        return dispatched

    def _claim(self, instance: Instance, fit: Fit) -> bool:
        """Open reservation and placement and begin the deployment, if all still holds."""
        try:
            with self.engine.store.begin() as tx:
                work = self.engine.work(tx, ENGINE)
                return _deploy(work, instance.id, fit.host.id, fit.partition)
        except BackendError as error:
            if error.code is not Code.STALE:
                raise
            return False

    def _explain(self, waits: Mapping[Instance, str]) -> None:
        """Keep the reasons why instances wait, where they changed; end the waits that took too long."""
        limit, now = self.engine.settings.pending_timeout, self.engine.clock()
        late = [item for item in waits if limit is not None and now - item.state_since > limit]
        changed: dict[str, list[str]] = {}
        for instance, why in waits.items():
            if instance.reason_text != why:
                changed.setdefault(why, []).append(instance.id)
        if not changed and not late:
            return
        with self.engine.store.begin() as tx:
            for why, ids in changed.items():
                tx.instances.explain(ids, Reason.NO_CAPACITY, why)
            work = self.engine.work(tx, ENGINE)
            for instance in late:
                _give_up(work, instance.id, waits[instance])


def _kind(instance: Instance, littered: Collection[tuple[str, str]]) -> object:
    """What instances have in common that fit on the same hosts."""
    own = frozenset(host_id for instance_id, host_id in littered if instance_id == instance.id)
    place = (instance.region, instance.zone, instance.architecture, instance.group_id, instance.partition)
    return (*place, need_of(instance), frozenset(instance.excluded), own)


def litter(tx: Tx, hosts: Sequence[Host]) -> set[tuple[str, str]]:
    """Instances, each with a host where files of it, or of a volume that is to be put there, must go first.

    The reaper would remove the new files, or the prolog would take the old for its own.
    """
    left = tx.debris.all()
    if not left:
        return set()
    volumes = tx.volumes.some(list({volume_of(item.instance_id) for item in left}))
    by_id = {host.id: host for host in hosts}
    found = set()
    for item in left:
        name, place = item.instance_id, by_id.get(item.host_id)
        volume = volumes.get(volume_of(name))
        at = by_id.get(volume.host_id or "") if volume is not None and volume.made else None
        for host in hosts:
            near = same_store(host, place)
            if volume is None:
                stands_in_the_way = near and name.startswith("i-")
            elif name == volume.id:
                stands_in_the_way = near and not same_store(host, at)
            else:  # a copy for moving: on the way to any other host it would be in the way
                stands_in_the_way = not same_store(host, at)
            if stands_in_the_way:
                found.add((str(volume.instance_id) if volume is not None else name, host.id))
    return found


def _deploy(work: Work, instance_id: str, host_id: str, partition: int = 0) -> bool:
    waiting = work.tx.instances.get(instance_id)
    party = party_of(work.tx, waiting) if waiting is not None else None  # its group is locked, then the host
    host = work.tx.hosts.lock(host_id)
    instance = work.tx.instances.get(instance_id)
    if host is None or instance is None or instance.detail != "pend":
        return False
    if waiting is None or instance.group_id != waiting.group_id:  # another group than the one that is locked
        return False
    if party is not None and partition not in party.partitions_on(instance, host_id):
        return False
    used = work.tx.reservations.used_on(host_id)
    volumes = work.tx.volumes.of_instance(instance_id)
    there = sum(
        volume.size_gib for volume in volumes if volume.host_id == host_id and is_fresh(instance, volume)
    )
    kept = Capacity(cpu=used.cpu, memory_mib=used.memory_mib, disk_gib=used.disk_gib - there)
    if refusal(instance, host, kept):
        return False
    if (instance_id, host_id) in litter(work.tx, work.tx.hosts.all()):
        return False
    edge = transition("deploy", instance.detail)
    if edge is None:
        return False
    # A deleted host takes its placements with it; the instance remembers its last epoch all the same.
    epoch = max(instance.epoch, work.tx.placements.last_epoch(instance_id)) + 1
    need = instance.need
    work.tx.reservations.insert(
        Reservation(
            instance_id=instance_id,
            host_id=host_id,
            cpu=need.cpu,
            memory_mib=need.memory_mib,
            disk_gib=need.disk_gib,
            opened_at=work.now,
        )
    )
    for volume in volumes:
        if volume.host_id is None:
            work.tx.volumes.update(volume, host_id=host_id)
    work.tx.placements.insert(
        Placement(instance_id=instance_id, epoch=epoch, host_id=host_id, opened_at=work.now)
    )
    open_stay(work, instance, host_id)
    work.begin(
        instance,
        edge,
        op="deploy",
        host_id=host_id,
        epoch=epoch,
        partition=partition,
        **work.clear_reason(),
    )
    return True


def _give_up(work: Work, instance_id: str, why: str) -> None:
    """A wait for capacity that took longer than the operator allows ends the launch (§7.4)."""
    instance = work.tx.instances.get(instance_id)
    if instance is None or instance.detail != "pend" or instance.keep_failed:
        return
    edge = transition("terminate", "pend")
    if edge is not None:
        work.begin(instance, edge, op="terminate", why=why, ended_at=work.now, desired=Desired.GONE)
