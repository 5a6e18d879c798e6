"""Hosts that live in memory: a second driver of the port, for tests and simulations without libvirt.

A :class:`MemoryHost` keeps domains and volumes in dictionaries and obeys the same contract as libvirt's. What
a real host may do wrong can be asked of it: every call first consults ``fault``, which may let it fail before
or after its effect, or make the host silent. A volume's bytes are real, if few, so that they can be compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from backend.model import Capacity, Value
from backend.ports import (
    DiskSpec,
    DomainFacts,
    DomainReason,
    DomainSpec,
    DomainStatus,
    Forward,
    HostDriver,
    HostEvent,
    HostFacts,
    HostSilent,
    ImageSource,
    Inventory,
    NicSpec,
    Progress,
    Seed,
    StepFailed,
    StoreFacts,
    VolumeFacts,
    VolumeSpec,
    no_progress,
)

_REPLACE = msgspec.structs.replace
_ALIVE = frozenset({DomainStatus.RUNNING, DomainStatus.PAUSED})
_GIB: Final = 1 << 30
_SINCE: Final = b"since "
"""How the bytes of an incremental copy begin: it cannot be taken for a whole one."""


class Fault(Enum):
    """What a call may do instead of simply working."""

    NONE = "none"
    FAIL_BEFORE = "fail before"
    FAIL_AFTER = "fail after"
    SILENT_BEFORE = "silent before"
    SILENT_AFTER = "silent after"


class Guest(Value, frozen=True, kw_only=True):
    """How guests on a host behave; ``lets_go`` of disks and interfaces when asked, while it runs."""

    obeys_power_button: bool = True
    obeys_reboot: bool = True
    lets_go: bool = True


class MemoryVolume(Value, frozen=True, kw_only=True):
    """A volume: what was written to it, its size for the guest, and the image that it refers to.

    ``marks`` are the moments since which changes are known.
    """

    content: bytes
    virtual_bytes: int
    base: str = ""
    key: bytes = b""
    marks: frozenset[str] = frozenset()


class MemoryStore:
    """Volumes and cached images, of one host or of several that share it, declared under ``name``."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.volumes: dict[str, MemoryVolume] = {}
        self.images: set[str] = set()
        self.strays: set[str] = set()
        self.hosts: list[MemoryHost] = []

    def users(self, volume: str) -> set[str]:
        """The ids of instances whose running domain has a volume open."""
        return {
            instance_id
            for host in self.hosts
            for instance_id in list(host.plugged)
            if volume in {disk.name for disk in host.open_disks(instance_id).values()}
        }


class MemoryHost(HostDriver):
    """One host in memory.

    Tests edit ``domains``, ``volumes`` and ``own`` (files besides volumes, by instance) to play a stranger.
    ``plugged`` are the disks of domains by instance and target, ``interfaces`` theirs by instance and MAC;
    ``asked`` the targets and MACs that a guest was asked to let go of and has not; ``saved`` the disks that
    belong to checkpoints. ``tracks_changes`` makes incremental copies possible.
    ``shares`` are those of processor time that domains were started with or given since.
    """

    def __init__(
        self,
        host_id: str = "memory",
        *,
        total: Capacity | None = None,
        store: MemoryStore | None = None,
        fault: Callable[[str], Fault] = lambda _method: Fault.NONE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host_id = host_id
        self.total = total or Capacity(cpu=800, memory_mib=16384, disk_gib=200)
        self.store = store or MemoryStore()
        self.store.hosts.append(self)
        self.fault = fault
        self.clock = clock
        self.silent = False
        self.tracks_changes = False
        self.guest = Guest()
        self.domains: dict[str, DomainFacts] = {}
        self.own: dict[str, set[str]] = {}
        self.plugged: dict[str, dict[str, DiskSpec]] = {}
        self.interfaces: dict[str, dict[str, NicSpec]] = {}
        self.saved: dict[str, dict[str, DiskSpec]] = {}
        self.shares: dict[str, int] = {}
        self.asked: set[tuple[str, str]] = set()
        self.reboots: dict[str, float] = {}
        self.starts: list[tuple[str, int]] = []
        self.listener: Callable[[HostEvent], None] = lambda _event: None
        self._lock = threading.RLock()

    @property
    def volumes(self) -> dict[str, MemoryVolume]:
        """The volumes in this host's store, by name."""
        return self.store.volumes

    @property
    def images(self) -> set[str]:
        """The checksums of images in this host's cache."""
        return self.store.images

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
            shared = {"store": self.store.name} if self.store.name else {}
            return HostFacts(
                architecture="x86_64", total=self.total, hypervisor="memory", capabilities=shared
            )

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

    def clone(self, volume: VolumeSpec) -> None:
        """A volume from an image; one that is there already is left alone."""
        with self._call("clone"):
            if volume.name not in self.volumes:
                self.volumes[volume.name] = self._begun(volume)

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """A volume of zeros, or that begins with the name of its file system."""
        with self._call("mkimage"):
            self._empty(volume, filesystem.encode())

    def mkswap(self, volume: VolumeSpec) -> None:
        """A volume with the signature of swap space."""
        with self._call("mkswap"):
            self._empty(volume, b"SWAPSPACE2")

    def ln(self, name: str) -> None:
        """See that a volume is there."""
        with self._call("ln"):
            self._volume(name)

    def context(self, instance_id: str, seed: Seed) -> None:  # noqa: ARG002 - nobody reads it here
        """The seed."""
        with self._call("context"):
            self.own.setdefault(instance_id, set()).add("seed")

    def delete(self, name: str) -> None:
        """A volume; unlike a file system, this host refuses while a domain has it open."""
        with self._call("delete"):
            self._at_rest(name)
            self.volumes.pop(name, None)

    def delete_files(self, instance_id: str) -> None:
        """Scratch disks, seed and checkpoint of the instance."""
        with self._call("delete_files"):
            self.own.pop(instance_id, None)
            for name in self._scratch(instance_id):
                del self.volumes[name]
            self.saved.pop(instance_id, None)
            known = self.domains.get(instance_id)
            if known is not None and known.has_checkpoint:
                self.domains[instance_id] = _REPLACE(known, has_checkpoint=False)

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """A copy of a volume at rest."""
        with self._call("cpds"):
            self._at_rest(name)
            self._unlock(name, key)
            self.volumes[copy] = _REPLACE(self._volume(name), base="", marks=frozenset())

    def backup(
        self, instance_id: str, target: str, copy: str, *, mark: str = "", since: str = "", key: bytes = b""
    ) -> bool:
        """A copy of a running domain's disk; of what changed, if ``since`` is known."""
        with self._call("backup"):
            name = self._disk(instance_id, target).name
            self._unlock(name, key)
            volume = self._volume(name)
            changes = bool(since) and since in volume.marks
            begin = _SINCE + since.encode() + b"\n" if changes else b""
            self.volumes[copy] = _REPLACE(volume, content=begin + volume.content, base="", marks=frozenset())
            if self.tracks_changes and mark:
                self.volumes[name] = _REPLACE(volume, marks=frozenset({mark}))
            return changes

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """The bytes of a volume into a file."""
        with self._call("fetch"):
            content = self._volume(name).content
            Path(path).write_bytes(content)
            progress(len(content), len(content))

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:  # noqa: ARG002 - bytes are bytes
        """A volume with the bytes of a file."""
        with self._call("put"):
            self._at_rest(volume.name)
            content = Path(path).read_bytes()
            self.volumes[volume.name] = MemoryVolume(
                content=content, virtual_bytes=volume.size_bytes, key=volume.key
            )
            progress(len(content), len(content))

    def revert(self, volume: VolumeSpec) -> None:
        """A volume at rest begins again as its source."""
        with self._call("revert"):
            self._at_rest(volume.name)
            self.volumes[volume.name] = self._begun(volume)

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """Grow a volume at rest."""
        with self._call("resize"):
            self._at_rest(name)
            self._unlock(name, key)
            self._grow(name, size_bytes)

    def grow(self, instance_id: str, target: str, size_bytes: int) -> None:
        """Grow a running domain's disk."""
        with self._call("grow"):
            self._grow(self._disk(instance_id, target).name, size_bytes)

    def limit(self, instance_id: str, disk: DiskSpec) -> None:
        """Limits of a running domain's disk."""
        with self._call("limit"):
            known = self._disk(instance_id, disk.target)
            self.plugged[instance_id][disk.target] = _REPLACE(
                known, iops=disk.iops, mib_per_second=disk.mib_per_second
            )

    def weigh(self, instance_id: str, share: int) -> None:
        """The share of a domain that runs."""
        with self._call("weigh"):
            known = self.domains.get(instance_id)
            if known is not None and known.status in _ALIVE:
                self.shares[instance_id] = share

    def monitor(self) -> StoreFacts:
        """Everything there is."""
        with self._call("monitor"):
            total = self.total.disk_gib * _GIB
            return StoreFacts(
                total_bytes=total,
                free_bytes=total - sum(len(one.content) for one in self.volumes.values()),
                volumes={name: _facts(name, one) for name, one in self.volumes.items()},
                instances=frozenset(self.own),
                images=frozenset(self.images),
                strays=frozenset(self.store.strays),
            )

    def volume(self, name: str) -> VolumeFacts | None:
        """One volume."""
        with self._call("volume"):
            return _facts(name, self.volumes[name]) if name in self.volumes else None

    def files(self, instance_id: str) -> frozenset[str]:
        """What is there."""
        with self._call("files"):
            known = self.domains.get(instance_id)
            checkpoint = {"checkpoint"} if known is not None and known.has_checkpoint else set()
            scratch = {name.removeprefix(f"{instance_id}.") for name in self._scratch(instance_id)}
            return frozenset(self.own.get(instance_id, set()) | scratch | checkpoint)

    def forget_image(self, checksum: str) -> bool:
        """An image's cached copy."""
        with self._call("forget_image"):
            if checksum in {one.base for one in self.volumes.values()}:
                return False
            self.images.discard(checksum)
            return True

    # Domain

    def start(self, domain: DomainSpec) -> None:
        """Define and start unless active."""
        with self._call("start"):
            if self._active(domain):
                self._connect(domain)
                return
            self.saved.pop(domain.instance_id, None)
            self._boot(domain)

    def restore(self, domain: DomainSpec) -> None:
        """Start from the checkpoint unless active; its disks must be those that it was made with."""
        with self._call("restore"):
            if self._active(domain):
                self._connect(domain)
                return
            known = self.domains.get(domain.instance_id)
            if known is None or not known.has_checkpoint:
                raise StepFailed("There is no checkpoint.")
            then = self.saved.get(domain.instance_id)
            if then is not None and _names(then) != {disk.target: disk.name for disk in domain.disks}:
                raise StepFailed("The checkpoint was made with other disks.")
            self._boot(domain)
            self.saved.pop(domain.instance_id, None)

    def _active(self, domain: DomainSpec) -> bool:
        """Whether it runs under the same permit."""
        known = self.domains.get(domain.instance_id)
        if known is None or known.status not in _ALIVE:
            return False
        if known.epoch != domain.epoch:
            raise StepFailed(f"The domain is active with epoch {known.epoch}, not {domain.epoch}.")
        return True

    def _boot(self, domain: DomainSpec) -> None:
        for disk in domain.disks:
            self._pluggable(domain.instance_id, disk)
        self.starts.append((domain.instance_id, domain.epoch))
        self.plugged[domain.instance_id] = {disk.target: disk for disk in domain.disks}
        self.interfaces[domain.instance_id] = {nic.mac: _REPLACE(nic, forwards=()) for nic in domain.nics}
        self._connect(domain)
        self._set(
            DomainFacts(instance_id=domain.instance_id, epoch=domain.epoch, status=DomainStatus.RUNNING)
        )

    def _connect(self, domain: DomainSpec) -> None:
        """Links and forwards of what is plugged in; ports that others have are left out."""
        self.shares[domain.instance_id] = domain.share
        plugged = self.interfaces.get(domain.instance_id, {})
        for nic in domain.nics:
            if nic.mac in plugged:
                plugged[nic.mac] = _REPLACE(nic, forwards=self._free(domain.instance_id, nic))

    def disks(self, instance_id: str) -> Mapping[str, str]:
        """An active domain's disks."""
        with self._call("disks"):
            return _names(self.open_disks(instance_id))

    def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk in."""
        with self._call("attach"):
            self._alive(instance_id)
            there = self.open_disks(instance_id).get(disk.target)
            if there is not None and there.name == disk.name:
                return
            if there is not None:
                raise StepFailed(f"{disk.target} is taken by {there.name}.")
            self._pluggable(instance_id, disk)
            self.plugged[instance_id][disk.target] = disk
            self._hint(instance_id)

    def detach(self, instance_id: str, target: str) -> None:
        """Ask for a disk back; a guest that runs and lets go does so at once."""
        with self._call("detach"):
            if target in self.open_disks(instance_id):
                self.asked.add((instance_id, target))
                if self.guest.lets_go and self._alive(instance_id).status is DomainStatus.RUNNING:
                    self.release(instance_id)

    def nics(self, instance_id: str) -> frozenset[str]:
        """An active domain's interfaces."""
        with self._call("nics"):
            return frozenset(self.interfaces.get(instance_id, {}))

    def attach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Plug an interface in, unless it would be on a user network."""
        with self._call("attach_nic"):
            self._alive(instance_id)
            if not nic.bridge:
                raise StepFailed(f"{nic.id} is on a user network.")
            self.interfaces.setdefault(instance_id, {}).setdefault(nic.mac, nic)
            self._hint(instance_id)

    def detach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Ask for an interface back; a guest that runs and lets go does so at once."""
        with self._call("detach_nic"):
            if nic.mac not in self.interfaces.get(instance_id, {}):
                return
            if not nic.bridge:
                raise StepFailed(f"{nic.id} is on a user network.")
            self.asked.add((instance_id, nic.mac))
            if self.guest.lets_go and self._alive(instance_id).status is DomainStatus.RUNNING:
                self.release(instance_id)

    def update_nic(self, instance_id: str, nic: NicSpec) -> None:
        """An interface as it is to be; a port that another guest has is not to be had."""
        with self._call("update_nic"):
            plugged = self.interfaces.get(instance_id, {})
            if nic.mac not in plugged:
                return
            free = self._free(instance_id, nic)
            plugged[nic.mac] = _REPLACE(nic, forwards=free)
            if len(free) < len(nic.forwards):
                raise StepFailed(f"{nic.id}: ports cannot be forwarded.")

    def forwards(self, instance_id: str) -> Mapping[int, frozenset[Forward]]:
        """What leads to an active domain, by interface on a user network."""
        with self._call("forwards"):
            plugged = self.interfaces.get(instance_id, {}).values()
            return {nic.index: frozenset(nic.forwards) for nic in plugged if not nic.bridge}

    def _free(self, instance_id: str, nic: NicSpec) -> tuple[Forward, ...]:
        """The forwards of an interface whose ports no other interface on this host has."""
        taken = {
            (one.protocol, one.address, one.port)
            for owner, plugged in self.interfaces.items()
            for other in plugged.values()
            for one in other.forwards
            if (owner, other.mac) != (instance_id, nic.mac)
        }
        return tuple(one for one in nic.forwards if (one.protocol, one.address, one.port) not in taken)

    def open_disks(self, instance_id: str) -> dict[str, DiskSpec]:
        """What an active domain has open, to be changed in place; nothing when it is not active."""
        facts = self.domains.get(instance_id)
        alive = facts is not None and facts.status in _ALIVE
        return self.plugged.setdefault(instance_id, {}) if alive else {}

    def release(self, instance_id: str) -> None:
        """The guest lets go of all that it was asked for."""
        for asked in [one for one in self.asked if one[0] == instance_id]:
            self.asked.discard(asked)
            self.open_disks(instance_id).pop(asked[1], None)
            self.interfaces.get(instance_id, {}).pop(asked[1], None)
        self._hint(instance_id)

    def write(self, name: str, content: bytes) -> None:
        """Somebody's guest writes to its disk."""
        self.volumes[name] = _REPLACE(self.volumes[name], content=content)

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
            self.saved.pop(instance_id, None)

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
            self.saved[instance_id] = dict(self.open_disks(instance_id))
            self._set(
                _REPLACE(facts, status=DomainStatus.OFF, reason=DomainReason.SAVED, has_checkpoint=True)
            )

    # Console and events

    def console(self, instance_id: str, limit: int) -> bytes:
        """A line that says which machine this is."""
        with self._call("console"):
            return f"{instance_id}\n".encode()[-limit:] if instance_id in self.domains else b""

    def display(self, instance_id: str, *, wake: bool = False) -> bytes:
        """One dot, bright when the guest was woken; nothing to see of what does not run."""
        with self._call("display"):
            facts = self.domains.get(instance_id)
            if facts is None or facts.status is not DomainStatus.RUNNING:
                raise StepFailed(f"{instance_id} is off")
            return b"P6 1 1 255 " + bytes([255 if wake else 40] * 3)

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
        if facts.status not in _ALIVE:
            self.plugged.pop(facts.instance_id, None)
            self.interfaces.pop(facts.instance_id, None)
            self.asked = {one for one in self.asked if one[0] != facts.instance_id}
        self._hint(facts.instance_id)

    def _scratch(self, instance_id: str) -> list[str]:
        return [name for name in self.volumes if name.startswith(f"{instance_id}.")]

    def _volume(self, name: str) -> MemoryVolume:
        if name not in self.volumes:
            raise StepFailed(f"There is no volume {name}.")
        return self.volumes[name]

    def _unlock(self, name: str, key: bytes) -> None:
        if self._volume(name).key != key:
            raise StepFailed(f"The key of {name} is another one.")

    def _at_rest(self, name: str) -> None:
        if users := self.store.users(name):
            raise StepFailed(f"{name} is in use by {', '.join(sorted(users))}.")

    def _pluggable(self, instance_id: str, disk: DiskSpec) -> None:
        """Refuse a disk that is not there, has another key, or is open in another domain."""
        self._unlock(disk.name, disk.key)
        if self.store.users(disk.name) - {instance_id}:
            self._at_rest(disk.name)

    def _disk(self, instance_id: str, target: str) -> DiskSpec:
        self._alive(instance_id)
        disk = self.open_disks(instance_id).get(target)
        if disk is None:
            raise StepFailed(f"{instance_id} has no disk {target}.")
        return disk

    def _begun(self, volume: VolumeSpec) -> MemoryVolume:
        if volume.source is None:
            raise StepFailed(f"Volume {volume.name} has no image to clone.")
        self.images.add(volume.source.checksum)
        return MemoryVolume(
            content=_content(volume.source),
            virtual_bytes=max(volume.size_bytes, volume.source.virtual_bytes),
            base=volume.source.checksum,
            key=volume.key,
        )

    def _empty(self, volume: VolumeSpec, content: bytes) -> None:
        empty = MemoryVolume(content=content, virtual_bytes=volume.size_bytes, key=volume.key)
        self.volumes.setdefault(volume.name, empty)

    def _grow(self, name: str, size_bytes: int) -> None:
        volume = self._volume(name)
        self.volumes[name] = _REPLACE(volume, virtual_bytes=max(volume.virtual_bytes, size_bytes))

    def _hint(self, instance_id: str) -> None:
        self.listener(HostEvent(host_id=self.host_id, instance_id=instance_id))


def _names(disks: Mapping[str, DiskSpec]) -> dict[str, str]:
    return {target: disk.name for target, disk in disks.items()}


def _facts(name: str, volume: MemoryVolume) -> VolumeFacts:
    return VolumeFacts(
        name=name,
        format="qcow2" if volume.content.startswith(_SINCE) else "raw",
        virtual_bytes=volume.virtual_bytes,
        allocated_bytes=len(volume.content),
    )


def _content(source: ImageSource) -> bytes:
    """An image's bytes, as the guest would see them; a token when there is no file."""
    try:
        content = Path(source.path).read_bytes()
    except OSError:
        return f"image:{source.checksum}".encode()
    return content.partition(b"\n")[2] if content.startswith(_SINCE) else content


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
