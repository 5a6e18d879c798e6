"""Reconciliation: what hosts testify, against what the database says (lifecycle §5).

"I could not ask" is never "it is not there": only a successful answer changes an instance, only when no job
is at work on it, and only when it has not changed since the question.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from backend.engine import Engine
from backend.engine.runner import go_on, settled
from backend.engine.work import ENGINE, Work
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from backend.model import Capacity, Desired, GuestShutdown, Host, Instance, Reason
from backend.ports import (
    DomainFacts,
    DomainReason,
    DomainStatus,
    HostDriver,
    HostSilent,
    Inventory,
    StepFailed,
)

_log = logging.getLogger(__name__)
_WATCHED = frozenset({"runn", "unkn", "poff", "susp.disk", "susp.ram"})
_EXTERNAL_PAUSE_POLLS = 2
_RETRY_END = 30.0


class Testimony:
    """Applies one host's answers. Kept per host, because a pause must be seen twice before it counts."""

    def __init__(self, engine: Engine, host_id: str, *, simulated: bool = False) -> None:
        self.engine = engine
        self.host_id = host_id
        self.simulated = simulated
        self._pauses: Counter[str] = Counter()

    def placed(self) -> list[Instance]:
        """What the database says is on the host. Read it before the host is asked."""
        with self.engine.store.read() as tx:
            return tx.instances.on_host(self.host_id)

    def inventory(self, driver: HostDriver, listing: Inventory, placed: Sequence[Instance]) -> None:
        """A complete listing, compared with every instance that was placed there before it was asked for."""
        for instance in placed:
            facts = listing.domains.get(instance.id)
            if facts is None and not listing.settled:
                continue
            self.instance(driver, instance, facts)
        self._strays(driver, listing, {instance.id for instance in placed})

    def instance(self, driver: HostDriver, instance: Instance, facts: DomainFacts | None) -> None:
        """One answer about one instance, as it was before the question. It counts only while the instance
        has not changed since (invariant 29): versions tell, clocks might not.
        """
        if instance.detail not in _WATCHED or instance.job_id is not None:
            return
        verdict = self._verdict(driver, instance, facts)
        if verdict is None:
            self._wish(instance)
            return
        op, changes = verdict
        self._apply(instance, op, changes)

    def _wish(self, instance: Instance) -> None:
        """The host answers, so an end that was asked for and got stuck goes on."""
        if instance.desired is not Desired.GONE or instance.detail == "unkn":
            return
        with self.engine.store.begin() as tx:
            work = self.engine.work(tx, ENGINE)
            fresh = tx.instances.get(instance.id)
            if fresh is not None and work.now - fresh.state_since > _RETRY_END:
                go_on(work, fresh)

    # What an answer means -------------------------------------------------------------------------------

    def _verdict(
        self, driver: HostDriver, instance: Instance, facts: DomainFacts | None
    ) -> tuple[str, dict[str, Any]] | None:
        if facts is not None and facts.epoch != instance.epoch:
            return None  # a stale copy is never adopted
        if facts is not None and facts.status is DomainStatus.RUNNING:
            return self._running(instance)
        if facts is not None and facts.status is DomainStatus.PAUSED:
            return self._paused(instance, facts)
        self._pauses.pop(instance.id, None)
        if facts is not None and facts.status in {DomainStatus.CRASHED, DomainStatus.PM_SUSPENDED}:
            return _stuck(instance, "impaired" if facts.status is DomainStatus.CRASHED else "ok")
        return self._off(driver, instance, facts)

    def _running(self, instance: Instance) -> tuple[str, dict[str, Any]] | None:
        self._pauses.pop(instance.id, None)
        if instance.detail == "runn":
            return _health(instance, "ok")
        return "seen_running", {}

    def _paused(self, instance: Instance, facts: DomainFacts) -> tuple[str, dict[str, Any]] | None:
        if instance.detail == "susp.ram" or facts.reason is DomainReason.STARTING:
            return None
        if facts.reason is DomainReason.IO_ERROR:
            return _stuck(instance, "impaired")
        self._pauses[instance.id] += 1
        if self._pauses[instance.id] < _EXTERNAL_PAUSE_POLLS:
            return None
        self._pauses.pop(instance.id)
        if instance.detail in {"poff", "susp.disk"}:
            return "seen_running", {}  # somebody started it; that it is paused is seen next
        return "paused_outside", {"reason": Reason.PAUSED_OUTSIDE}

    def _off(
        self, driver: HostDriver, instance: Instance, facts: DomainFacts | None
    ) -> tuple[str, dict[str, Any]] | None:
        reason = facts.reason if facts is not None else DomainReason.UNKNOWN
        if instance.detail == "susp.ram":
            return "guest_gone", {"reason": Reason.VANISHED}
        if instance.detail == "poff":
            saved = facts is not None and facts.has_checkpoint and reason is DomainReason.SAVED
            return ("saved_outside", {}) if saved else None
        if instance.detail == "susp.disk":
            kept = facts is not None and facts.has_checkpoint
            return None if kept else ("guest_gone", {"reason": Reason.VANISHED})
        match reason:
            case DomainReason.GUEST_SHUTDOWN:
                ends = instance.on_guest_shutdown is GuestShutdown.TERMINATE
                return ("guest_off_end" if ends else "guest_off_keep"), {"reason": Reason.GUEST_SHUTDOWN}
            case DomainReason.SAVED if facts is not None and facts.has_checkpoint:
                return "saved_outside", {"reason": Reason.USER_HIBERNATE}
            case DomainReason.CRASHED:
                return "crashed", {"reason": Reason.CRASHED, "crash_count": instance.crash_count + 1}
            case DomainReason.DESTROYED:
                return "destroyed_outside", {"reason": Reason.DESTROYED_OUTSIDE}
            case _:
                return _vanished(driver, self._disks(instance), simulated=self.simulated)

    def _disks(self, instance: Instance) -> list[str]:
        """The volumes that the instance needs to be switched on again."""
        with self.engine.store.read() as tx:
            return [volume.id for volume in tx.volumes.of_instance(instance.id) if volume.boot]

    # Applying it ----------------------------------------------------------------------------------------

    def _apply(self, instance: Instance, op: str, changes: dict[str, Any]) -> None:
        try:
            with self.engine.store.begin() as tx:
                work = self.engine.work(tx, ENGINE)
                fresh = tx.instances.get(instance.id)
                if fresh is not None and fresh.version == instance.version:
                    apply(work, fresh, op, changes)
        except BackendError as error:
            if error.code is not Code.STALE:
                raise

    def _strays(self, driver: HostDriver, listing: Inventory, placed: set[str]) -> None:
        """Domains of ours whose instance is not here any more: ended behind a silent host's back (§5.3)."""
        strays = [facts for name, facts in listing.domains.items() if name not in placed]
        for facts in strays:
            with self.engine.store.read() as tx:
                instance = tx.instances.get(facts.instance_id)
                placements = tx.placements.of(facts.instance_id)
            mine = [item for item in placements if item.epoch == facts.epoch]
            if instance is None or not mine or mine[0].closed_at is None or mine[0].host_id != self.host_id:
                continue
            if any(item.closed_at is None and item.host_id == self.host_id for item in placements):
                continue  # placed here again: its own job makes room
            try:
                driver.destroy(facts.instance_id)
                driver.undefine(facts.instance_id)
                driver.delete_files(facts.instance_id)
            except StepFailed as error:  # one stray must not make the host look ill
                _log.warning("stray domain of %s on %s stays: %s", instance.id, self.host_id, error)


def apply(work: Work, instance: Instance, op: str, changes: dict[str, Any]) -> Instance:
    """Take a monitoring edge of the table, with everything its new state holds or gives back."""
    if op == "health":
        return work.tx.instances.update(instance, **changes)
    edge = transition(op, instance.detail)
    if edge is None:
        return instance
    if edge.via:
        return work.begin(instance, edge, op=op, desired=Desired.GONE, by_user=False, **changes)
    kept = settled(work, instance, edge.ok, failed=False) | {"by_user": False} | changes
    moved = work.move(instance, edge.ok, op=op, **kept)
    go_on(work, moved)
    return moved


def _health(instance: Instance, health: str) -> tuple[str, dict[str, Any]] | None:
    return None if instance.health == health else ("health", {"health": health})


def _stuck(instance: Instance, health: str) -> tuple[str, dict[str, Any]] | None:
    """A guest that is there but does not run its own code: known, and as healthy as that (§5.3)."""
    if instance.detail == "unkn":
        return "seen_running", {"health": health}
    return _health(instance, health) if instance.detail == "runn" else None


def _vanished(
    driver: HostDriver, disks: Sequence[str], *, simulated: bool
) -> tuple[str, dict[str, Any]] | None:
    """Off without a reason: off it is if its disks are there, else something removed them."""
    try:
        lost = not simulated and not all(driver.volume(name) is not None for name in disks)
    except (HostSilent, StepFailed):
        return None
    if lost:
        return "vanished_files", {"reason": Reason.VANISHED, "reason_text": "files missing"}
    return "destroyed_outside", {"reason": Reason.VANISHED}


def seen(work: Work, host: Host, listing: Inventory, **changes: Any) -> Host:
    """Record a successful answer of a host."""
    used = work.tx.reservations.used_on(host.id)
    over = used != Capacity() and not used.plus(listing.foreign).fits(host.limit)
    return work.tx.hosts.update(
        host,
        last_seen=work.now,
        failures=0,
        message="",
        foreign=listing.foreign,
        overcommitted=over and host.overcommitted,
        **changes,
    )
