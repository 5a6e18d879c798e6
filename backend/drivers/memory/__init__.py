"""Hosts that live in memory: a second driver of the port, for tests and simulations without libvirt.

A :class:`MemoryHost` keeps domains and files in dictionaries and obeys the same contract as libvirt's. What a
real host may do wrong can be asked of it: every call first consults ``fault``, which may let it fail before
or after its effect, or make the host silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

import msgspec

from backend.model import Capacity, Value
from backend.ports import (
    DiskSpec,
    DomainFacts,
    DomainReason,
    DomainSpec,
    DomainStatus,
    HostDriver,
    HostEvent,
    HostFacts,
    HostSilent,
    Inventory,
    Seed,
    StepFailed,
)

_REPLACE = msgspec.structs.replace
_ALIVE = frozenset({DomainStatus.RUNNING, DomainStatus.PAUSED})


class Fault(Enum):
    """What a call may do instead of simply working."""

    NONE = "none"
    FAIL_BEFORE = "fail before"
    FAIL_AFTER = "fail after"
    SILENT_BEFORE = "silent before"
    SILENT_AFTER = "silent after"


class Guest(Value, frozen=True, kw_only=True):
    """How guests on a host behave."""

    obeys_power_button: bool = True
    obeys_reboot: bool = True


class MemoryHost(HostDriver):
    """One host in memory.

    ``calls`` counts what was asked, by method; tests edit ``domains`` and ``disks`` to play a stranger.
    """

    def __init__(
        self,
        host_id: str = "memory",
        *,
        total: Capacity | None = None,
        fault: Callable[[str], Fault] = lambda _method: Fault.NONE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host_id = host_id
        self.total = total or Capacity(cpu=800, memory_mib=16384, disk_gib=200)
        self.fault = fault
        self.clock = clock
        self.silent = False
        self.guest = Guest()
        self.domains: dict[str, DomainFacts] = {}
        self.disks: dict[str, set[str]] = {}
        self.images: set[str] = set()
        self.reboots: dict[str, float] = {}
        self.starts: list[tuple[str, int]] = []
        self.listener: Callable[[HostEvent], None] = lambda _event: None
        self._lock = threading.RLock()

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        """One call with its possible fault: before the effect, or after it."""
        if self.silent:
            raise HostSilent(f"{self.host_id} does not answer")
        fault = self.fault(method)
        if fault is Fault.FAIL_BEFORE:
            raise StepFailed(f"{method} failed")
        if fault is Fault.SILENT_BEFORE:
            raise HostSilent(f"{method} timed out")
        with self._lock:
            yield
        if fault is Fault.FAIL_AFTER:
            raise StepFailed(f"{method} failed after its effect")
        if fault is Fault.SILENT_AFTER:
            raise HostSilent(f"{method} timed out after its effect")

    # Host

    def facts(self) -> HostFacts:
        """What this host is."""
        with self._call("facts"):
            return HostFacts(architecture="x86_64", total=self.total, hypervisor="memory")

    def inventory(self) -> Inventory:
        """All domains."""
        with self._call("inventory"):
            return Inventory(domains=dict(self.domains))

    def domain(self, instance_id: str) -> DomainFacts | None:
        """One domain."""
        with self._call("domain"):
            return self.domains.get(instance_id)

    def close(self) -> None:
        """Nothing to let go of."""

    # Transfer manager

    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """A disk from an image."""
        with self._call("clone"):
            if disk.image is not None:
                self.images.add(disk.image.checksum)
            self.disks.setdefault(instance_id, set()).add(disk.target)

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """An empty disk."""
        with self._call("mkimage"):
            self.disks.setdefault(instance_id, set()).add(disk.target)

    def context(self, instance_id: str, seed: Seed) -> None:  # noqa: ARG002 - nobody reads it here
        """The seed."""
        with self._call("context"):
            self.disks.setdefault(instance_id, set()).add("seed")

    def delete_files(self, instance_id: str) -> None:
        """Everything of the instance."""
        with self._call("delete_files"):
            self.disks.pop(instance_id, None)
            known = self.domains.get(instance_id)
            if known is not None and known.has_checkpoint:
                self.domains[instance_id] = _REPLACE(known, has_checkpoint=False)

    def files(self, instance_id: str) -> frozenset[str]:
        """What is there."""
        with self._call("files"):
            known = self.domains.get(instance_id)
            checkpoint = {"checkpoint"} if known is not None and known.has_checkpoint else set()
            return frozenset(self.disks.get(instance_id, ())) | checkpoint

    def forget_image(self, checksum: str) -> None:
        """An image's cached copy."""
        with self._call("forget_image"):
            self.images.discard(checksum)

    # Domain

    def start(self, domain: DomainSpec) -> None:
        """Define and start unless active."""
        with self._call("start"):
            self._boot(domain)

    def restore(self, domain: DomainSpec) -> None:
        """Start from the checkpoint unless active."""
        with self._call("restore"):
            known = self.domains.get(domain.instance_id)
            if known is not None and known.status in _ALIVE:
                return
            if known is None or not known.has_checkpoint:
                raise StepFailed("There is no checkpoint.")
            self._boot(domain)

    def _boot(self, domain: DomainSpec) -> None:
        known = self.domains.get(domain.instance_id)
        if known is not None and known.status in _ALIVE:
            return
        if "vda" not in self.disks.get(domain.instance_id, ()):
            raise StepFailed("The root disk is missing.")
        self.starts.append((domain.instance_id, domain.epoch))
        self._set(
            DomainFacts(instance_id=domain.instance_id, epoch=domain.epoch, status=DomainStatus.RUNNING)
        )

    def shutdown(self, instance_id: str) -> None:
        """The power button; whether the guest obeys is its own affair."""
        with self._call("shutdown"):
            if self.guest.obeys_power_button:
                self._off(instance_id, DomainReason.GUEST_SHUTDOWN)

    def destroy(self, instance_id: str) -> None:
        """Power off hard."""
        with self._call("destroy"):
            self._off(instance_id, DomainReason.DESTROYED)

    def undefine(self, instance_id: str) -> None:
        """Remove the definition."""
        with self._call("undefine"):
            known = self.domains.get(instance_id)
            if known is not None and known.status in _ALIVE:
                raise StepFailed("The domain is active.")
            self.domains.pop(instance_id, None)

    def reboot(self, instance_id: str) -> None:
        """Ask for a reboot."""
        with self._call("reboot"):
            if self.guest.obeys_reboot:
                self.reboots[instance_id] = self.clock()
                self._hint(instance_id)

    def reset(self, instance_id: str) -> None:
        """Reset the CPUs."""
        with self._call("reset"):
            self._alive(instance_id)
            self.reboots[instance_id] = self.clock()

    def pause(self, instance_id: str) -> None:
        """Stop the vCPUs."""
        with self._call("pause"):
            facts = self._alive(instance_id)
            self._set(_REPLACE(facts, status=DomainStatus.PAUSED, reason=DomainReason.USER))

    def unpause(self, instance_id: str) -> None:
        """Let the vCPUs run."""
        with self._call("unpause"):
            facts = self._alive(instance_id)
            self._set(_REPLACE(facts, status=DomainStatus.RUNNING, reason=DomainReason.UNKNOWN))

    def save(self, instance_id: str) -> None:
        """Memory to a checkpoint; the domain is off then."""
        with self._call("save"):
            known = self.domains.get(instance_id)
            if known is not None and known.status is DomainStatus.OFF and known.has_checkpoint:
                return
            facts = self._alive(instance_id)
            self._set(
                _REPLACE(facts, status=DomainStatus.OFF, reason=DomainReason.SAVED, has_checkpoint=True)
            )

    # Console and events

    def console(self, instance_id: str, limit: int) -> bytes:
        """A line that says which machine this is."""
        with self._call("console"):
            return f"{instance_id}\n".encode()[-limit:] if instance_id in self.domains else b""

    def wait(self, instance_id: str, seconds: float) -> None:
        """Time passes by itself in tests; nothing is waited for."""

    def rebooted(self, instance_id: str, since: float) -> bool:
        """Whether a reboot was seen."""
        with self._call("rebooted"):
            return self.reboots.get(instance_id, 0.0) >= since

    # What happens there

    def _alive(self, instance_id: str) -> DomainFacts:
        facts = self.domains.get(instance_id)
        if facts is None or facts.status not in _ALIVE:
            raise StepFailed("The domain is not running.")
        return facts

    def _off(self, instance_id: str, reason: DomainReason) -> None:
        facts = self.domains.get(instance_id)
        if facts is not None and facts.status is not DomainStatus.OFF:
            self._set(_REPLACE(facts, status=DomainStatus.OFF, reason=reason))

    def _set(self, facts: DomainFacts) -> None:
        self.domains[facts.instance_id] = facts
        self._hint(facts.instance_id)

    def _hint(self, instance_id: str) -> None:
        self.listener(HostEvent(host_id=self.host_id, instance_id=instance_id))


class MemoryHosts:
    """Hosts in memory by id; a URI ``memory:NAME`` names one."""

    def __init__(self, make: Callable[[str], MemoryHost] | None = None) -> None:
        self.hosts: dict[str, MemoryHost] = {}
        self._make = make or MemoryHost
        self._listener: Callable[[HostEvent], None] = lambda _event: None

    def driver(self, host_id: str, uri: str) -> MemoryHost:  # noqa: ARG002 - the id says it all
        """The host of an id, made on first use."""
        if host_id not in self.hosts:
            self.hosts[host_id] = self._make(host_id)
            self.hosts[host_id].listener = self._listener
        return self.hosts[host_id]

    def forget(self, host_id: str) -> None:
        """Nothing to close."""

    def watch(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell a listener of every change."""
        self._listener = listener
        for host in self.hosts.values():
            host.listener = listener
