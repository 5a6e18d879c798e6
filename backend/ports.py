"""What the engine needs from the outside world: one host's hypervisor and storage, and a durable job queue.

Every act on a host is idempotent, so that it may be repeated after a crash: *define if absent, start unless
active, destroy unless gone, delete if there*. Drivers declare abilities in :class:`HostFacts` and the engine
asks for them, never for a driver's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from backend.model import Capacity, Value

# What the world says ------------------------------------------------------------------------------------


class HostSilent(Exception):  # noqa: N818 - it says what the host does
    """The host could not be asked: no testimony. The effect of the call is unknown (outcome *lost*)."""


class StepFailed(Exception):  # noqa: N818 - the outcome's name (lifecycle §3.3)
    """The host answered, and the act failed. ``transient`` ones are worth repeating."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class DomainStatus(StrEnum):
    """What a domain is doing, as far as the life-cycle cares."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    PM_SUSPENDED = "pm_suspended"


class DomainReason(StrEnum):
    """Why a domain is in its status, from the hypervisor's own reason."""

    UNKNOWN = "unknown"
    USER = "user"
    IO_ERROR = "io_error"
    GUEST_SHUTDOWN = "guest_shutdown"
    DESTROYED = "destroyed"
    CRASHED = "crashed"
    SAVED = "saved"


class DomainFacts(Value, frozen=True, kw_only=True):
    """Testimony about one domain of ours: found by the instance id and epoch in its metadata."""

    instance_id: str
    epoch: int
    status: DomainStatus
    reason: DomainReason = DomainReason.UNKNOWN
    has_checkpoint: bool = False


class HostFacts(Value, frozen=True, kw_only=True):
    """What a host is and can do, probed and declared (never guessed from its name).

    ``simulated`` hosts have no real disks or guests: nothing is cloned, nothing boots (``test:///``).
    ``acceleration`` is ``kvm`` only after a guest's CPU really ran with it, else ``tcg``.
    """

    architecture: str
    total: Capacity
    acceleration: str = "tcg"
    simulated: bool = False
    hypervisor: str = ""
    capabilities: Mapping[str, str] = {}


class Inventory(Value, frozen=True, kw_only=True):
    """One complete and successful listing of a host.

    ``settled`` is False while the daemon is so young that an absent domain proves nothing (lifecycle §5.2).
    ``foreign`` is what domains without our metadata use: counted, never touched.
    """

    domains: Mapping[str, DomainFacts]
    foreign: Capacity = Capacity()
    settled: bool = True


class HostEvent(Value, frozen=True, kw_only=True):
    """A hint from a host: look at this instance again (None: at all, as after a reconnect)."""

    host_id: str
    instance_id: str | None


# What the engine asks for -------------------------------------------------------------------------------


class ImageSource(Value, frozen=True, kw_only=True):
    """An image in the gateway's image store, by content."""

    image_id: str
    path: str
    format: str
    checksum: str
    size_bytes: int
    virtual_bytes: int


class DiskSpec(Value, frozen=True, kw_only=True):
    """A disk of an instance: ``target`` vda, vdb…; ``image`` None means an empty one."""

    target: str
    size_gib: int
    image: ImageSource | None = None
    serial: str = ""


class Seed(Value, frozen=True, kw_only=True):
    """The contextualisation disk: NoCloud files, label ``cidata``."""

    meta_data: str
    user_data: bytes
    network_config: str = ""


class NicSpec(Value, frozen=True, kw_only=True):
    """The instance's interface: MAC, fixed address and the subnet it lies in (CIDR)."""

    mac: str
    address: str
    cidr: str


class DomainSpec(Value, frozen=True, kw_only=True):
    """A domain to be: what the hypervisor is given. ``epoch`` goes into the metadata with the id."""

    instance_id: str
    epoch: int
    uuid: str
    vcpus: int
    memory_mib: int
    architecture: str
    disks: Sequence[DiskSpec]
    nics: Sequence[NicSpec] = ()
    title: str = ""


class HostDriver(Protocol):
    """One host. Calls may block up to their own deadline and then raise :class:`HostSilent`.

    All calls are safe from several threads; a hung host never holds up another.
    """

    # Host
    def facts(self) -> HostFacts:
        """Probe the host: totals, architecture, what truly works. Slow (seconds); cached by the caller."""
        ...

    def inventory(self) -> Inventory:
        """Every domain of ours, in one successful listing."""
        ...

    def domain(self, instance_id: str) -> DomainFacts | None:
        """One domain, or None when the host says it has none."""
        ...

    def close(self) -> None:
        """Let go of connections; guests live on."""
        ...

    # Transfer manager (lifecycle §13)
    def clone(self, instance_id: str, disk: DiskSpec) -> None:
        """CLONE: an independent disk from the image, grown to the size asked; the image is never written."""
        ...

    def mkimage(self, instance_id: str, disk: DiskSpec) -> None:
        """MKIMAGE: a new empty disk."""
        ...

    def context(self, instance_id: str, seed: Seed) -> None:
        """CONTEXT: build (or rebuild) the contextualisation disk."""
        ...

    def delete_files(self, instance_id: str) -> None:
        """DELETE everything of the instance on this host, checkpoint included; absent is success."""
        ...

    def files(self, instance_id: str) -> frozenset[str]:
        """What of the instance is there: disk targets, ``seed``, ``checkpoint``, ``console``."""
        ...

    def forget_image(self, checksum: str) -> None:
        """Remove an image from this host's cache unless a disk still refers to it; absent is success."""
        ...

    # Domain
    def start(self, domain: DomainSpec) -> None:
        """Define (persistently, with our metadata) and start unless it is active; restores no checkpoint."""
        ...

    def restore(self, domain: DomainSpec) -> None:
        """Start from the checkpoint; the checkpoint is gone afterwards. Unless active."""
        ...

    def shutdown(self, instance_id: str) -> None:
        """Press the power button once; returns at once."""
        ...

    def destroy(self, instance_id: str) -> None:
        """Power off hard; off or absent is success."""
        ...

    def undefine(self, instance_id: str) -> None:
        """Remove the definition with checkpoint, snapshot metadata and NVRAM; absent is success."""
        ...

    def reboot(self, instance_id: str) -> None:
        """Ask the guest to reboot (ACPI or agent); returns at once."""
        ...

    def reset(self, instance_id: str) -> None:
        """Reset the CPUs, without a power cycle."""
        ...

    def pause(self, instance_id: str) -> None:
        """Stop the vCPUs, memory stays in RAM; paused already is success."""
        ...

    def unpause(self, instance_id: str) -> None:
        """Let the vCPUs run; running already is success."""
        ...

    def save(self, instance_id: str) -> None:
        """Write memory to a checkpoint on the host; the domain is off afterwards."""
        ...

    # Console and events
    def console(self, instance_id: str, limit: int) -> bytes:
        """The last ``limit`` bytes of the serial console's log; empty when there is none."""
        ...

    def wait(self, instance_id: str, seconds: float) -> None:
        """Return when something happened to the instance's domain, or after so many seconds."""
        ...

    def rebooted(self, instance_id: str, since: float) -> bool:
        """Whether the guest was seen rebooting since a Unix time."""
        ...


class Hosts(Protocol):
    """The hosts' drivers, by host id, made on first use and kept."""

    def driver(self, host_id: str, uri: str) -> HostDriver:
        """The driver of a host; raises :class:`HostSilent` when it cannot be reached."""
        ...

    def forget(self, host_id: str) -> None:
        """Close a host's driver."""
        ...

    def watch(self, listener: Callable[[HostEvent], None]) -> None:
        """Tell the listener of every hint from every host, from any thread."""
        ...


class JobQueue(Protocol):
    """Durable work, behind five methods (D5). A job runs at least once; its own row makes it once."""

    def enqueue(self, connection: Any, name: str, key: str, argument: str) -> None:
        """Enqueue inside the caller's transaction: committed together, or neither.

        ``name`` is ``job`` (argument: job id) or ``schedule``; ``key`` is the idempotency key.
        """
        ...

    def cancel(self, key: str) -> None:
        """Take a piece of work off the queue if it has not begun."""
        ...

    def status(self, key: str) -> str | None:
        """The queue's word for a piece of work, or None when unknown."""
        ...

    def list(self) -> Sequence[str]:
        """Keys of work not finished."""
        ...

    def recover(self, executors: Sequence[str]) -> int:
        """Take over the work of dead executors; answers how much."""
        ...
