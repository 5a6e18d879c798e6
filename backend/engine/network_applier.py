"""Making the network follow the rows: what changed since, at once; everything, now and then.

Changes are noted in the transaction that makes them (:meth:`Work.network_changed`) and forgotten when the
driver has applied what the rows say then, so that none is lost whenever a worker dies. Applying is
idempotent; only one worker applies at a time, or an older state might overwrite a newer one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence

from backend.engine import Engine
from backend.engine.network_reads import around, chassis, whole
from backend.model import AttachState, Instance
from backend.network_model import Topology
from backend.ports import HostSilent, NetworkDriver, NicSpec, StepFailed

_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 1000
_AGAIN = 1.0
HOSTS = "hosts"
"""The scope of what belongs to no object: which hosts carry what all share."""


class NetworkApplier:
    """The network driver's only user in a worker process."""

    def __init__(self, engine: Engine, driver: NetworkDriver) -> None:
        self.engine = engine
        self.driver = driver
        self._lock = threading.Lock()
        self._waiting = threading.Lock()
        self._serving: tuple[str, ...] | None = None  # what was drawn last; None: unknown

    def drain(self) -> float | None:
        """Follow every change noted: None, or in how many seconds to try again.

        While one thread is at it another one waits, and finds what came meanwhile; more need not.
        """
        if not self._waiting.acquire(blocking=False):
            return None
        with self._lock:
            self._waiting.release()
            return self._drain()

    def _drain(self) -> float | None:
        try:
            with self.engine.store.exclusive("network"):
                try:
                    while self._follow_noted():
                        pass
                except StepFailed:
                    self._follow_one_by_one()
                    return _AGAIN
        except HostSilent as error:
            _log.warning("the network does not follow: %s", error)
            return _AGAIN
        return None

    def _follow_noted(self) -> bool:
        with self.engine.store.read() as tx:
            changes = tx.network_changes.first(_MOST_AT_ONCE)
            scopes = frozenset(change.scope for change in changes)
            topology = around(tx, scopes, members=self.driver.capabilities.by_member)
        if not changes:
            return False
        self._apply(topology, scopes)
        with self.engine.store.begin() as tx:
            tx.network_changes.forget([change.id for change in changes])
        return True

    def _follow_one_by_one(self) -> None:
        """Follow what can be followed: what is refused, whosever it is, holds up nothing else."""
        with self.engine.store.read() as tx:
            scopes = {change.scope for change in tx.network_changes.first(_MOST_AT_ONCE)}
        for scope in sorted(scopes):
            with self.engine.store.read() as tx:
                changes = tx.network_changes.of(scope)
                topology = around(tx, [scope], members=self.driver.capabilities.by_member)
            try:
                self._apply(topology, frozenset([scope]))
            except StepFailed as error:
                _log.warning("the network does not follow a change of %s: %s", scope, error)
                continue
            with self.engine.store.begin() as tx:
                tx.network_changes.forget([change.id for change in changes])

    def follow(self, scopes: Collection[str]) -> None:
        """Apply what the rows say of some objects, and come back when it is in force.

        Raises:
            StepFailed: the network refused.
            HostSilent: it could not be asked.
        """
        with self._lock, self.engine.store.exclusive("network"):
            with self.engine.store.read() as tx:
                topology = around(tx, scopes, members=self.driver.capabilities.by_member)
            self._apply(topology, frozenset(scopes))

    def follow_hosts(self) -> None:
        """Apply what depends on which hosts serve, if that has changed. Raises like :meth:`follow`."""
        with self.engine.store.read() as tx:
            serving = chassis(tx)
        if serving != self._serving:
            self.follow([HOSTS])

    def _apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        """Every application draws what depends on the hosts as they are then, which may not last."""
        self._serving = None
        self.driver.apply(topology, scopes)
        self._serving = topology.chassis

    def reconcile(self) -> None:
        """Apply everything; what is not in the rows goes. Raises like :meth:`follow`."""
        with self._lock, self.engine.store.exclusive("network"):
            with self.engine.store.read() as tx:
                changes = tx.network_changes.first(_MOST_AT_ONCE)
                topology = whole(tx)
            self._apply(topology)
            with self.engine.store.begin() as tx:
                tx.network_changes.forget([change.id for change in changes])

    def differences(self) -> Sequence[str]:
        """In what the network differs from the rows."""
        with self._lock, self.engine.store.exclusive("network"):
            with self.engine.store.read() as tx:
                topology = whole(tx)
            return self.driver.differences(topology)

    # What a domain gets ---------------------------------------------------------------------------------

    def plug(self, nic_id: str) -> NicSpec:
        """How a domain is to have an interface."""
        with self.engine.store.read() as tx:
            topology = around(tx, [nic_id])
        nic = topology.nics.get(nic_id)
        if nic is None:
            raise StepFailed(f"The network interface {nic_id} is not there any more.")
        return self.driver.plug(topology, nic)

    def plugs(self, instance: Instance) -> list[NicSpec]:
        """What a domain is started with: the interfaces of its instance, the primary one first.

        One that is only being attached to an instance that ran before is plugged in by its own task.
        """
        with self.engine.store.read() as tx:
            nics = tx.nics.of_instance(instance.id)
            asked = {task.resource_id for task in tx.tasks.open_of_instance(instance.id)}
            topology = around(tx, [nic.id for nic in nics])
        return [
            self.driver.plug(topology, nic)
            for nic in nics
            if nic.attach is not AttachState.ATTACHING or nic.id not in asked
        ]
