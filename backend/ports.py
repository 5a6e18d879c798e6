"""What the engine needs from the outside world: one host's hypervisor and storage, and a durable job queue.

Every act on a host is idempotent, so that it may be repeated after a crash: *define if absent, start unless
active, destroy unless gone, delete if there*. Drivers declare abilities in :class:`HostFacts` and the engine
asks for them, never for a driver's name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from backend.model import Capacity, Content, Value
from backend.network_model import Nic, Topology

# What the world says ------------------------------------------------------------------------------------


class HostSilent(Exception):  # noqa: N818 - it says what the host does
    """The host could not be asked: no testimony. The effect of the call is unknown (outcome *lost*)."""


class StepFailed(Exception):  # noqa: N818 - the outcome's name (lifecycle §3.3)
    """The host answered, and the act failed. ``transient`` ones are worth repeating."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class NoDisplay(StepFailed):
    """The domain runs, and has nothing that could be pictured."""


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
    STARTING = "starting"
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
    """A disk image in the gateway's image store, by content.

    ``parents`` are the files of the contents that this one only tells the difference to, nearest first; the
    driver makes one self-contained copy before it leaves the gateway. ``encrypted``: a LUKS qcow2.
    """

    image_id: str
    path: str
    format: str
    checksum: str
    size_bytes: int
    virtual_bytes: int
    parents: tuple[str, ...] = ()
    encrypted: bool = False


class VolumeSpec(Value, frozen=True, kw_only=True):
    """A disk's bytes on a host: ``name`` is a volume's id, or ``ID.vdb`` for an instance's scratch disk.

    ``source`` None means zeros. With a ``key`` the bytes are encrypted by it (LUKS).
    """

    name: str
    size_bytes: int
    source: ImageSource | None = None
    key: bytes = b""


class DiskSpec(Value, frozen=True, kw_only=True):
    """A disk of a domain: ``target`` vda, vdb…; ``name`` is the volume's on the host.

    ``iops`` and ``mib_per_second`` limit reads and writes together; 0 is no limit.
    """

    target: str
    name: str
    serial: str = ""
    key: bytes = b""
    iops: int = 0
    mib_per_second: int = 0


class VolumeFacts(Value, frozen=True, kw_only=True):
    """Testimony about one volume on a host: its format, and bytes as the guest sees them and as taken."""

    name: str
    format: str
    virtual_bytes: int
    allocated_bytes: int


class StoreFacts(Value, frozen=True, kw_only=True):
    """MONITOR: a host's store, in bytes, and every file of ours in it.

    ``volumes`` are volumes, scratch disks and copies by name; ``instances`` those that have other files there
    (seed, console); ``images`` checksums in the cache; ``strays`` names of files that are none of these, such
    as temporary ones.
    """

    total_bytes: int
    free_bytes: int
    volumes: Mapping[str, VolumeFacts]
    instances: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    strays: frozenset[str] = frozenset()


Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


def no_progress(_done: int, _size: int) -> None:
    """Nobody watches."""


class Seed(Value, frozen=True, kw_only=True):
    """The contextualisation disk: its label and its files by path (``meta-data``, ``openstack/latest/…``)."""

    label: str
    files: Mapping[str, bytes]


class Forward(Value, frozen=True, kw_only=True):
    """A port of a public address that leads to a port of a guest behind QEMU's user network.

    ``protocol`` is tcp or udp. ``port`` is where it listens at ``address``, perhaps not ``guest_port``.
    """

    protocol: str
    address: str
    port: int
    guest_port: int


class NicSpec(Value, frozen=True, kw_only=True):
    """An interface of a domain, as the network driver wants it (:meth:`NetworkDriver.plug`).

    With a ``bridge`` it is plugged into that Open vSwitch bridge as the logical port that is named by the
    UUID of its id (:func:`~backend.model.uuid_of`); ``offload`` False keeps checksum and segmentation
    offloads off (userspace datapath). Without one it is on a user network of its own: the guest gets
    ``guest_address`` out of ``guest_cidr`` by DHCP, reaches the metadata service at the UNIX socket
    ``metadata_socket``, and nothing else unless ``outbound``; ``forwards`` lead to it. ``up`` False keeps
    the link down.
    """

    id: str
    index: int
    mac: str
    address: str
    cidr: str
    mtu: int = 0
    up: bool = True
    bridge: str = ""
    offload: bool = True
    guest_address: str = ""
    guest_cidr: str = ""
    metadata_socket: str = ""
    outbound: bool = False
    forwards: tuple[Forward, ...] = ()


class DomainSpec(Value, frozen=True, kw_only=True):
    """A domain to be: what the hypervisor is given. ``epoch`` goes into the metadata with the id.

    ``share`` weighs its processor time: 100 is that of a domain without one (0). A host whose capabilities do
    not tell ``cpu_shares`` cannot weigh domains, and runs all of them alike.
    """

    instance_id: str
    epoch: int
    uuid: str
    vcpus: int
    memory_mib: int
    architecture: str
    disks: Sequence[DiskSpec]
    share: int = 0
    nics: Sequence[NicSpec] = ()
    title: str = ""


_ENFORCED: Mapping[str, str] = {
    "groups": "security groups",
    "egress": "egress rules",
    "routing": "routes and gateways",
    "guest_to_guest": "traffic between guests",
    "network_acls": "network ACLs",
    "source_dest_check": "source/destination checks",
    "secondary_addresses": "secondary addresses",
}


class NetworkCapabilities(Value, frozen=True, kw_only=True):
    """What a network driver enforces. What is False is recorded, shown, and said to be without effect.

    ``limits`` says so in sentences, for operators and tenants. ``metadata_hops`` is how many routers lie
    between a guest and the metadata service. ``needs_infra``: interfaces need an infra address.
    ``by_member``: a group's rules are made for each of its members, which a topology must hold then.
    """

    name: str
    groups: bool
    egress: bool
    routing: bool
    guest_to_guest: bool
    network_acls: bool
    source_dest_check: bool
    nat_gateways: bool
    hotplug: bool
    secondary_addresses: bool
    needs_infra: bool
    by_member: bool = False
    metadata_hops: int = 0
    limits: tuple[str, ...] = ()

    @property
    def briefly(self) -> tuple[str, ...]:
        """The limits in one sentence, short enough for a tag's value; nothing when all is enforced."""
        lacking = [words for name, words in _ENFORCED.items() if not getattr(self, name)]
        return (f"Recorded, not enforced here: {', '.join(lacking)}.",) if lacking else ()


NO_NETWORK = NetworkCapabilities(
    name="none",
    groups=False,
    egress=False,
    routing=False,
    guest_to_guest=False,
    network_acls=False,
    source_dest_check=False,
    nat_gateways=False,
    hotplug=True,
    secondary_addresses=True,
    needs_infra=False,
    limits=("Guests have no network: everything about networks is only recorded.",),
)
"""Of a simulated installation: whatever is asked for is recorded."""


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

    # Transfer manager (lifecycle §13). Every act may be repeated, and leaves the old state when it fails.
    def clone(self, volume: VolumeSpec) -> None:
        """CLONE: a volume that begins as its source, grown to the size asked; the source is never written."""
        ...

    def mkimage(self, volume: VolumeSpec, filesystem: str = "") -> None:
        """MKIMAGE: a new volume of zeros, or with an empty file system (``ext4``)."""
        ...

    def mkswap(self, volume: VolumeSpec) -> None:
        """MKSWAP: a new volume formatted as swap space."""
        ...

    def ln(self, name: str) -> None:
        """LN: see that a volume is there and whole, to be used in place."""
        ...

    def context(self, instance_id: str, seed: Seed) -> None:
        """CONTEXT: build (or rebuild) the contextualisation disk."""
        ...

    def delete(self, name: str) -> None:
        """DELETE one volume or copy; absent is success."""
        ...

    def delete_files(self, instance_id: str) -> None:
        """DELETE what is the instance's own on this host: scratch disks, seed, console log, checkpoint.

        Volumes are not. Absent is success.
        """
        ...

    def cpds(self, name: str, copy: str, key: bytes = b"") -> None:
        """CPDS of a volume at rest: a self-contained copy under another name on the same host."""
        ...

    def backup(
        self, instance_id: str, target: str, copy: str, *, mark: str = "", since: str = "", key: bytes = b""
    ) -> bool:
        """CPDS (SNAP_CREATE_LIVE) of a running domain's disk, as it is at the call, while the guest goes on.

        File systems are frozen for that moment when a guest agent answers. ``mark`` begins to note what
        changes from now on, under that name; ``since`` an earlier mark: then the copy holds only what changed
        since, if the host still knows. Answers whether it does. With a ``key`` the disk is encrypted, and so
        is the copy. Returns when the copy is complete.
        """
        ...

    def fetch(self, name: str, path: str, progress: Progress = no_progress) -> None:
        """MV, MVDS, first half: the bytes of a self-contained copy into a new file of the gateway's."""
        ...

    def put(self, volume: VolumeSpec, path: str, form: str, progress: Progress = no_progress) -> None:
        """MV, second half: a volume with the bytes of a self-contained file of the gateway's, verified.

        What was under that name before is replaced.
        """
        ...

    def revert(self, volume: VolumeSpec) -> None:
        """SNAP_REVERT of a volume at rest: it begins again as its source; the old bytes go only then."""
        ...

    def resize(self, name: str, size_bytes: int, key: bytes = b"") -> None:
        """RESIZE of a volume at rest; one that is as large already is left alone, none is ever shrunk."""
        ...

    def grow(self, instance_id: str, target: str, size_bytes: int) -> None:
        """RESIZE of a running domain's disk; the guest sees it at once."""
        ...

    def limit(self, instance_id: str, disk: DiskSpec) -> None:
        """Set a running domain's disk's limits to those of the spec."""
        ...

    def weigh(self, instance_id: str, share: int) -> None:
        """Set a running domain's share of processor time (see :class:`DomainSpec`), where the host can.

        A domain that is not running gets its share when it starts.
        """
        ...

    def monitor(self) -> StoreFacts:
        """MONITOR: the store and everything of ours in it."""
        ...

    def volume(self, name: str) -> VolumeFacts | None:
        """One volume or copy, or None when the host says it has none."""
        ...

    def files(self, instance_id: str) -> frozenset[str]:
        """What of the instance's own is there: scratch disks' targets, seed, checkpoint, console."""
        ...

    def forget_image(self, checksum: str) -> bool:
        """Remove an image from this host's cache unless a volume still refers to it; whether it is gone."""
        ...

    # Domain
    def start(self, domain: DomainSpec) -> None:
        """Define (persistently, with our metadata) and start unless it is active; restores no checkpoint."""
        ...

    def restore(self, domain: DomainSpec) -> None:
        """Start from the checkpoint; the checkpoint is gone afterwards. Unless active."""
        ...

    def disks(self, instance_id: str) -> Mapping[str, str]:
        """What disks a domain has now: target → name on the host; empty for one that is not there."""
        ...

    def attach(self, instance_id: str, disk: DiskSpec) -> None:
        """Plug a disk into a running domain; there already is success."""
        ...

    def detach(self, instance_id: str, target: str) -> None:
        """Ask the guest to let go of a disk; it may take its time, or never answer (see :meth:`disks`)."""
        ...

    def nics(self, instance_id: str) -> frozenset[str]:
        """The MACs of the interfaces that a domain has now; empty for one that is not there."""
        ...

    def attach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Plug an interface into a running domain; there already is success."""
        ...

    def detach_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Ask the guest to let go of an interface; it may take its time (see :meth:`nics`)."""
        ...

    def update_nic(self, instance_id: str, nic: NicSpec) -> None:
        """Make a running domain's interface agree with its spec: link state and, on a user network, exactly
        its ``forwards``. A domain that is not running has nothing to agree.
        """
        ...

    def forwards(self, instance_id: str) -> Mapping[int, frozenset[Forward]]:
        """The ports that lead to a running domain now, by interface index (user networks only)."""
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

    def display(self, instance_id: str, *, wake: bool = False) -> bytes:
        """A picture of what the guest shows now, as PNG or PPM; with ``wake`` a key is pressed before.

        NoDisplay where it has none; StepFailed when it does not run.
        """
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


class NetworkDriver(Protocol):
    """What makes packets obey the rows: one for the whole installation.

    Acts are idempotent and atomic: rules are replaced together, and a failed act leaves the old ones.
    Raises :class:`StepFailed` when the network refused, :class:`HostSilent` when it could not be asked.
    """

    @property
    def capabilities(self) -> NetworkCapabilities:
        """What it enforces, and what it cannot."""
        ...

    def plug(self, topology: Topology, nic: Nic) -> NicSpec:
        """How a domain is to have an interface. Pure; the topology holds what the interface depends on."""
        ...

    def apply(self, topology: Topology, scopes: Collection[str] | None = None) -> None:
        """Make the network agree with the topology, and wait until hosts do.

        With ``scopes`` (ids) only what belongs to these, of which the topology holds all that each depends
        on: an id that is not in it has been deleted, and so is what was made for it. Without, everything, and
        what is not in the topology goes.
        """
        ...

    def differences(self, topology: Topology) -> Sequence[str]:
        """In what the network differs from the (whole) topology: one line each, for an operator."""
        ...

    def close(self) -> None:
        """Let go of connections; the network goes on."""
        ...


class ContentStore(Protocol):
    """The image store: files by checksum, on the gateway (or a directory that all its machines share).

    Work in progress lies under scratch names, which tasks choose so that a repetition finds its own.
    """

    def scratch(self, name: str) -> str:
        """The path for work in progress of that name; what is there from an earlier attempt stays."""
        ...

    def drop(self, name: str) -> None:
        """Remove work in progress, if there is any."""
        ...

    def take(
        self,
        name: str,
        *,
        form: str,
        parent: Content | None = None,
        encrypted: bool = False,
        progress: Progress = no_progress,
    ) -> Content:
        """Check work in progress, hash it, and keep it under its checksum. The same bytes are kept once.

        Raises:
            StepFailed: it is no whole image of that format.
        """
        ...

    def bring(self, name: str, location: str, form: str, progress: Progress = no_progress) -> Content:
        """Bring a disk image from a file, a URL or an upload in, checked and converted if need be.

        Raises:
            BackendError: IMAGE_UNREADABLE, it cannot be used; the message says why.
        """
        ...

    def export(
        self, content: Content, parents: Sequence[Content], form: str, path: str, progress: Progress
    ) -> None:
        """Write a self-contained image of a format to a new file."""
        ...

    def remove(self, content: Content) -> None:
        """Remove the file of a content; absent is success."""
        ...

    def files(self) -> frozenset[str]:
        """The names of all files in the store, work in progress included."""
        ...


class Vault(Protocol):
    """Seals what must be readable again, such as passphrases of disks, for rest in the database."""

    def seal(self, owner: str, secret: str) -> bytes:
        """Encrypt a secret of an owner's (the id of what it belongs to)."""
        ...

    def open(self, owner: str, sealed: bytes) -> str:
        """The secret again; only under the same owner."""
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
