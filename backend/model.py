"""The nouns of the product: frozen value types that the store keeps and both faces show.

Times are Unix seconds (float, UTC). Sizes carry their unit in the name. Identifiers are EC2's
(``i-`` and 17 hex digits); :func:`uuid_of` and :func:`id_of` give OCCI's view of the same identity (D3).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping
from enum import Enum, StrEnum
from functools import lru_cache

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all value types: immutable, keyword-only."""


class Owned(Value, frozen=True, kw_only=True):
    """What a tenant has in a region, known by its id."""

    id: str
    tenant_id: str
    account_id: str
    region: str
    created_at: float
    version: int = 1


# Identity -----------------------------------------------------------------------------------------------


def new_id(prefix: str) -> str:
    """A fresh identifier, for example ``i-0123456789abcdef0`` for prefix ``i``."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def uuid_of(resource_id: str) -> str:
    """The OCCI id of an EC2 id: a version 8 UUID that carries the same 68 bits, so no look-up is needed.

    Layout: 48 bits, version nibble 8, 12 bits, variant ``10``, 6 zero bits, 8 bits, 48 bits of a short
    digest of the prefix, which keeps kinds apart.
    """
    prefix, _, digits = resource_id.partition("-")
    digits = digits.rjust(17, "0")
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-80{digits[15:17]}-{_mark(prefix)}"


@lru_cache(maxsize=256)
def _mark(prefix: str) -> str:
    return hashlib.sha256(prefix.encode()).hexdigest()[:12]


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def id_of(prefix: str, occi_id: str) -> str | None:
    """The EC2 id of an OCCI id, or None when it is not one of this prefix. EC2 ids pass unchanged."""
    if occi_id.startswith(f"{prefix}-"):
        return occi_id
    plain = occi_id
    if not _UUID.fullmatch(plain):  # as some clients write them; to read it so takes its time
        try:
            plain = str(uuid.UUID(occi_id))
        except ValueError:
            return None
    candidate = f"{prefix}-{plain[:8]}{plain[9:13]}{plain[15:18]}{plain[21:23]}"
    return candidate if uuid_of(candidate) == plain else None


# Life-cycle ---------------------------------------------------------------------------------------------


class State(StrEnum):
    """The 16 short states of an instance (lifecycle §2.1)."""

    PEND = "pend"
    HOLD = "hold"
    PROL = "prol"
    BOOT = "boot"
    RUNN = "runn"
    MIGR = "migr"
    HOTP = "hotp"
    SAVE = "save"
    EPIL = "epil"
    SHUT = "shut"
    STOP = "stop"
    SUSP = "susp"
    POFF = "poff"
    FAIL = "fail"
    UNKN = "unkn"
    DONE = "done"


class Desired(StrEnum):
    """What the owner last asked for; ``gone`` is never taken back by a user (lifecycle §3.8)."""

    RUN = "run"
    OFF = "off"
    SUSP = "susp"
    STOP = "stop"
    GONE = "gone"


class GuestShutdown(StrEnum):
    """What happens when the guest powers itself off (EC2 InstanceInitiatedShutdownBehavior)."""

    STOP = "stop"
    TERMINATE = "terminate"


class Reason(StrEnum):
    """Why an instance is in its state; both faces derive their own texts from it."""

    NONE = ""
    USER_SHUTDOWN = "user_shutdown"
    USER_HIBERNATE = "user_hibernate"
    GUEST_SHUTDOWN = "guest_shutdown"
    CRASHED = "crashed"
    DESTROYED_OUTSIDE = "destroyed_outside"
    PAUSED_OUTSIDE = "paused_outside"
    VANISHED = "vanished"
    HOST_REBOOT = "host_reboot"
    HOST_SILENT = "host_silent"
    LAUNCH_FAILED = "launch_failed"
    NO_CAPACITY = "no_capacity"
    JOB_FAILED = "job_failed"

    @property
    def words(self) -> str:
        """For the owner. ``reason_text`` is for operators: it names hosts, files and numbers."""
        return _REASON_WORDS.get(self, "")


_REASON_WORDS: Mapping[Reason, str] = {
    Reason.GUEST_SHUTDOWN: "the guest switched itself off",
    Reason.CRASHED: "the hypervisor ended unexpectedly",
    Reason.DESTROYED_OUTSIDE: "switched off by the host's operator",
    Reason.PAUSED_OUTSIDE: "paused by the host's operator",
    Reason.VANISHED: "not found on its host any more",
    Reason.HOST_REBOOT: "the host was started again",
    Reason.HOST_SILENT: "the host does not answer",
    Reason.LAUNCH_FAILED: "it could not be launched",
    Reason.NO_CAPACITY: "waiting for capacity",
    Reason.JOB_FAILED: "what was asked for could not be done",
}


class Api(StrEnum):
    """Where a command came from."""

    EC2 = "ec2"
    OCCI = "occi"
    CLI = "cli"
    ENGINE = "engine"


class Role(StrEnum):
    """What a user may do: a member owns a tenant's resources, an administrator the installation."""

    MEMBER = "member"
    ADMIN = "admin"


class Caller(Value, frozen=True, kw_only=True):
    """Who sends a command, after authentication. ``region`` is the signature's or the default one.

    ``key_id`` is the access key or temporary key that signed. Who took on a role acts in the role's tenant:
    ``role_id`` is set then, and ``user_name`` is ``ROLE/SESSION``.
    """

    tenant_id: str
    account_id: str
    user_id: str
    user_name: str
    role: Role = Role.MEMBER
    api: Api = Api.CLI
    request_id: str = ""
    region: str = ""
    key_id: str = ""
    role_id: str = ""

    @property
    def actor(self) -> str:
        """The name written to events."""
        return f"{self.api.value}:{self.user_name}"

    @property
    def is_admin(self) -> bool:
        """Whether administrator operations are allowed."""
        return self.role is Role.ADMIN


class Tag(Value, frozen=True, kw_only=True):
    """One key and value on a resource; ``Name`` is also OCCI's title of the resource."""

    resource_id: str
    resource_type: str
    tenant_id: str
    key: str
    value: str


class MetadataOptions(Value, frozen=True, kw_only=True):
    """How an instance may use the metadata service. ``tokens`` is ``optional`` or ``required``.

    ``hop_limit`` is how many hops a token travels; ``tags`` shows the instance its tags.
    """

    tokens: str = "optional"
    endpoint: bool = True
    hop_limit: int = 1
    tags: bool = False


class Instance(Value, frozen=True, kw_only=True):
    """One virtual machine, whichever face made it. ``detail`` is the life-cycle's automaton state (§2.2).

    ``group_id`` is the placement group that it belongs to, empty for none, and ``partition`` its partition
    there, counted from 1 (0 where the group has none). ``monitoring`` records EC2's detailed monitoring.

    ``vpc_id``, ``subnet_id``, ``address`` and ``mac`` are those of its primary interface.

    ``cpu_share`` is its share of processor time where guests of a host want more than there is: 100 weighs as
    much as an instance without one (0).
    """

    id: str
    tenant_id: str
    account_id: str
    owner: str
    launch_id: str
    launch_index: int
    region: str
    zone: str
    flavor: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int
    architecture: str
    image_id: str
    vpc_id: str
    subnet_id: str
    address: str
    mac: str
    detail: str
    created_at: float
    state_since: float
    api: Api = Api.CLI
    client_token: str = ""
    metadata: MetadataOptions = MetadataOptions()
    key_name: str = ""
    public_keys: tuple[str, ...] = ()
    hostname: str = ""
    summary: str = ""
    job_id: str | None = None
    host_id: str | None = None
    epoch: int = 0
    attempts: int = 0
    excluded: tuple[str, ...] = ()
    desired: Desired = Desired.RUN
    saved: str = "none"
    checkpoint: str = "none"
    resched: bool = False
    locked_terminate: bool = False
    locked_stop: bool = False
    hibernation: bool = False
    monitoring: bool = False
    group_id: str = ""
    partition: int = 0
    on_guest_shutdown: GuestShutdown = GuestShutdown.STOP
    keep_failed: bool = True
    health: str = "ok"
    crash_count: int = 0
    reason: Reason = Reason.NONE
    reason_text: str = ""
    by_user: bool = False
    launched_at: float | None = None
    started_at: float | None = None
    last_seen: float | None = None
    ended_at: float | None = None
    user_data_size: int = 0
    cpu_share: int = 0
    version: int = 1

    @property
    def state(self) -> State:
        """The short state."""
        return State(self.detail[:4])

    @property
    def need(self) -> Capacity:
        """What it takes on a host, besides its volumes, which are counted where they are."""
        return Capacity(cpu=self.vcpus * 100, memory_mib=self.memory_mib, disk_gib=self.ephemeral_gib)


class Capacity(Value, frozen=True, kw_only=True):
    """An amount of a host: hundredths of a core, MiB of memory, GiB of system disk."""

    cpu: int = 0
    memory_mib: int = 0
    disk_gib: int = 0

    def plus(self, other: Capacity) -> Capacity:
        """The sum."""
        return Capacity(
            cpu=self.cpu + other.cpu,
            memory_mib=self.memory_mib + other.memory_mib,
            disk_gib=self.disk_gib + other.disk_gib,
        )

    def fits(self, limit: Capacity) -> bool:
        """Whether it is within a limit in every dimension."""
        return (
            self.cpu <= limit.cpu and self.memory_mib <= limit.memory_mib and self.disk_gib <= limit.disk_gib
        )


CRTP_SIZES: Mapping[str, tuple[int, int, int]] = {
    "small": (1, 1024, 10),
    "medium": (2, 2048, 20),
    "large": (4, 4096, 40),
    "mem_small": (1, 4096, 10),
    "mem_medium": (2, 8192, 20),
    "mem_large": (4, 16384, 40),
}
"""OCCI's Compute Resource Templates Profile (GWD.222): cores, MiB of memory, GiB of scratch space by term."""


class Flavor(Value, frozen=True, kw_only=True):
    """A size an operator offers: EC2's instance type, OCCI's resource template.

    ``crtp`` is the term of the profile's template that it is, if it is one.
    """

    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    crtp: str = ""
    created_at: float = 0.0
    version: int = 1

    @property
    def term(self) -> str:
        """What OCCI calls it: the profile's term, or its name without the dots, which 1.1 does not allow."""
        return self.crtp if self.crtp in CRTP_SIZES else self.name.lower().replace(".", "_")


class Content(Value, frozen=True, kw_only=True):
    """Bytes in the image store, known by their SHA-256: images and snapshots refer to them.

    ``parent`` is the checksum of the content that this one only tells the difference to (a qcow2 whose
    backing file is the parent's); empty when it stands alone. ``encrypted`` bytes are LUKS in a qcow2, and
    whoever refers to them has the passphrase. ``path`` is empty when the store has removed its file and some
    host's cache is yet to forget it.
    """

    checksum: str
    path: str
    format: str
    size_bytes: int
    virtual_bytes: int
    parent: str = ""
    encrypted: bool = False
    created_at: float = 0.0


class ImageState(StrEnum):
    """Storage state of an image (lifecycle §9.1); ``gone`` is deregistered, its bytes kept while in use."""

    LOCKED = "lock"
    READY = "rdy"
    DISABLED = "disa"
    ERROR = "err"
    GONE = "gone"


class Publication(StrEnum):
    """Where a version of a product line is (lifecycle §9.2); images outside of lines have none."""

    NONE = ""
    BUILT = "built"
    TESTING = "testing"
    REJECTED = "rejected"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"
    REVOKED = "revoked"
    PURGED = "purged"


UNPUBLISHED = frozenset({Publication.BUILT, Publication.TESTING, Publication.REJECTED})
"""What only its owner sees of a product line."""


class BlockDevice(Value, frozen=True, kw_only=True):
    """One entry of a block device mapping, of an image or of a launch.

    ``device`` is the name the client uses (``/dev/sdf``). What is None or empty is left to the image, the
    snapshot or the installation. ``virtual_name`` is ``ephemeral0`` for the flavor's scratch disk.
    ``no_device`` takes the image's entry of that name away.
    """

    device: str
    snapshot_id: str = ""
    size_gib: int | None = None
    type: str = ""
    iops: int = 0
    throughput: int = 0
    encrypted: bool | None = None
    delete_on_termination: bool | None = None
    virtual_name: str = ""
    no_device: bool = False


class SeedKind(StrEnum):
    """The disk by which guests of an image get their data besides the metadata service, if any.

    ``DEFAULT`` is NoCloud's.
    """

    DEFAULT = "default"
    NONE = "none"
    NOCLOUD = "nocloud"
    CONFIG_DRIVE = "config-drive"


class Image(Value, frozen=True, kw_only=True):
    """A disk image that instances clone; its bytes never change after ``ready``.

    ``checksum`` names the :class:`Content` of its root disk (empty while ``lock``). ``snapshot_id`` is the
    snapshot that it was made from, if it was; ``mappings`` are the disks besides the root, and what differs
    from the defaults for the root. ``line`` is the product line (name and architecture) that it is a version
    of. ``secret`` is the sealed passphrase of encrypted bytes. ``message`` says what went wrong.
    """

    id: str
    tenant_id: str
    account_id: str
    name: str
    state: ImageState
    format: str
    checksum: str
    size_bytes: int
    virtual_bytes: int
    created_at: float
    architecture: str = "x86_64"
    description: str = ""
    location: str = ""
    public: bool = False
    launch_accounts: tuple[str, ...] = ()
    snapshot_id: str = ""
    mappings: tuple[BlockDevice, ...] = ()
    source_instance_id: str = ""
    source_image_id: str = ""
    encrypted: bool = False
    secret: bytes = b""
    seed: SeedKind = SeedKind.DEFAULT
    deprecated_at: float | None = None
    publication: Publication = Publication.NONE
    line: str = ""
    line_version: int = 0
    parent_id: str = ""
    changelog: str = ""
    report: str = ""
    message: str = ""
    deregistered_at: float | None = None
    version: int = 1

    @property
    def snapshot_ids(self) -> tuple[str, ...]:
        """The snapshots that its disks are, the root's first, each once."""
        ids = (self.snapshot_id, *(each.snapshot_id for each in self.mappings))
        return tuple(dict.fromkeys(each for each in ids if each))


class Trouble(StrEnum):
    """Why there is no picture of a display."""

    NONE = ""
    NO_DISPLAY = "no_display"
    SILENT = "silent"
    FAILED = "failed"


class Picture(Value, frozen=True, kw_only=True):
    """What an instance's display showed when somebody asked: ``data`` is a JPEG, empty while ``taken_at``
    is None or when there was ``trouble``. ``wake``: a key was to be pressed before.
    """

    instance_id: str
    asked_at: float
    wake: bool = False
    taken_at: float | None = None
    data: bytes = b""
    trouble: Trouble = Trouble.NONE


class JobState(StrEnum):
    """Where a job is. ``waiting``: its host is silent; ``superseded``: a more urgent one replaced it."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    SUPERSEDED = "superseded"


# Volumes and snapshots ----------------------------------------------------------------------------------


class VolumeState(StrEnum):
    """Storage state of a volume (lifecycle §10); a deleted one has no row."""

    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    DELETING = "deleting"
    ERROR = "error"


class AttachState(StrEnum):
    """How far an attachment is. ``busy``: the guest was asked to let go and did not (lifecycle §10)."""

    NONE = ""
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    BUSY = "busy"


class Modification(Value, frozen=True, kw_only=True):
    """The last change of a volume's size or type: ``modifying``, ``completed`` or ``failed``."""

    state: str
    started_at: float
    old_size_gib: int
    size_gib: int
    old_type: str
    type: str
    old_iops: int = 0
    iops: int = 0
    old_throughput: int = 0
    throughput: int = 0
    ended_at: float | None = None
    message: str = ""


class Volume(Value, frozen=True, kw_only=True):
    """A disk that outlives instances: EC2's volume, OCCI's storage. An instance's root disk is one, too.

    ``content`` is the checksum of what it began as (empty: zeros), ``snapshot_id`` where that came from.
    ``host_id`` is the host that has its bytes, or is to get them; ``made`` says that they are there.
    ``iops`` and ``throughput`` (MiB/s) are what was asked for, 0 for what the type gives.
    ``secret`` is the sealed passphrase of an encrypted one. ``online`` is OCCI's switch: a volume that is
    offline takes no new attachment.

    The attachment is part of the row, so that no volume ever has two (invariant 16): ``device`` is the
    client's name for it (``/dev/sdf``), ``target`` what the hypervisor was told (``vdf``), ``asked_at`` when
    it was asked for. ``boot`` marks the disk that the instance boots from.
    """

    id: str
    tenant_id: str
    account_id: str
    region: str
    zone: str
    size_gib: int
    state: VolumeState
    created_at: float
    type: str = "gp2"
    iops: int = 0
    throughput: int = 0
    encrypted: bool = False
    secret: bytes = b""
    snapshot_id: str = ""
    content: str = ""
    image_id: str = ""
    api: Api = Api.CLI
    client_token: str = ""
    summary: str = ""
    online: bool = True
    auto_io: bool = True
    host_id: str | None = None
    made: bool = False
    instance_id: str | None = None
    attach: AttachState = AttachState.NONE
    device: str = ""
    target: str = ""
    boot: bool = False
    delete_on_termination: bool = False
    asked_at: float | None = None
    attached_at: float | None = None
    modification: Modification | None = None
    last_snapshot: str = ""
    message: str = ""
    version: int = 1

    @property
    def serial(self) -> str:
        """What the guest finds the disk by: the id without its dash, as 20 bytes hold no more."""
        return self.id.replace("-", "")

    @property
    def size_bytes(self) -> int:
        """Its size in bytes."""
        return self.size_gib << 30


class SnapshotState(StrEnum):
    """States of a snapshot (lifecycle §10)."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"


class Snapshot(Value, frozen=True, kw_only=True):
    """A volume as it was at one moment; its bytes are a :class:`Content` of the image store.

    ``progress`` is in percent. ``accounts`` and ``public`` are who may make volumes of it
    (createVolumePermission). ``secret`` is the sealed passphrase of an encrypted one.
    """

    id: str
    tenant_id: str
    account_id: str
    region: str
    volume_id: str
    size_gib: int
    state: SnapshotState
    started_at: float
    description: str = ""
    progress: int = 0
    content: str = ""
    encrypted: bool = False
    secret: bytes = b""
    public: bool = False
    accounts: tuple[str, ...] = ()
    source_id: str = ""
    completed_at: float | None = None
    message: str = ""
    version: int = 1


class TaskKind(StrEnum):
    """Work that takes time; what is about an attached volume or interface is done in its instance's job."""

    VOLUME_CREATE = "volume.create"
    VOLUME_DELETE = "volume.delete"
    VOLUME_ATTACH = "volume.attach"
    VOLUME_DETACH = "volume.detach"
    VOLUME_MODIFY = "volume.modify"
    VOLUME_REVERT = "volume.revert"
    SNAPSHOT_CREATE = "snapshot.create"
    IMAGE_CREATE = "image.create"
    IMAGE_IMPORT = "image.import"
    SNAPSHOT_IMPORT = "snapshot.import"
    IMAGE_EXPORT = "image.export"
    IMAGE_TEST = "image.test"
    NIC_ATTACH = "nic.attach"
    NIC_DETACH = "nic.detach"
    CHECK = "check"


class Task(Value, frozen=True, kw_only=True):
    """One piece of storage work and how far it is.

    ``resource_id`` is what it makes or changes. Tasks with the same ``lock`` run in the order accepted.
    ``instance_id``: done by that instance's hot-plug job, which keeps the instance from doing anything else
    meanwhile; empty: done on its own. ``arguments`` and ``result`` depend on the kind; ``busy`` names the
    worker inside a step. ``progress`` is in percent.
    """

    id: str
    kind: TaskKind
    resource_id: str
    tenant_id: str
    actor: str
    created_at: float
    lock: str = ""
    instance_id: str = ""
    state: JobState = JobState.QUEUED
    step: int = 0
    attempt: int = 1
    deadline: float = 0.0
    busy: str = ""
    progress: int = 0
    arguments: dict[str, str] = {}
    result: dict[str, str] = {}
    message: str = ""
    request_id: str = ""
    finished_at: float | None = None
    version: int = 1


class KeyPair(Value, frozen=True, kw_only=True):
    """A public key under a name of the tenant's in one region; a private key is never stored."""

    id: str
    tenant_id: str
    region: str
    name: str
    key_type: str
    fingerprint: str
    public_key: str
    created_at: float
    version: int = 1


class HostState(StrEnum):
    """Host states (lifecycle §12)."""

    INIT = "init"
    ON = "on"
    ERR = "err"
    DISABLED = "dsbl"
    OFFLINE = "off"
    MAINTENANCE = "maint"


class Host(Value, frozen=True, kw_only=True):
    """A libvirt host, known by its URI. Totals come from the probe, ratios from the operator."""

    id: str
    uri: str
    region: str
    zone: str
    created_at: float
    state: HostState = HostState.INIT
    architecture: str = ""
    total: Capacity = Capacity()
    reserved: Capacity = Capacity()
    foreign: Capacity = Capacity()
    cpu_ratio: float = 16.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    capabilities: dict[str, str] = {}
    message: str = ""
    failures: int = 0
    overcommitted: bool = False
    last_seen: float | None = None
    version: int = 1

    @property
    def limit(self) -> Capacity:
        """What may be reserved in all (lifecycle §14)."""
        return Capacity(
            cpu=int((self.total.cpu - self.reserved.cpu) * self.cpu_ratio),
            memory_mib=int((self.total.memory_mib - self.reserved.memory_mib) * self.memory_ratio),
            disk_gib=int((self.total.disk_gib - self.reserved.disk_gib) * self.disk_ratio),
        )


class Placement(Value, frozen=True, kw_only=True):
    """VM v may have a process on host h: the permit that a domain's metadata must match (§1)."""

    instance_id: str
    epoch: int
    host_id: str
    opened_at: float
    booted_at: float | None = None
    closed_at: float | None = None
    closed_by: str = ""


class Reservation(Value, frozen=True, kw_only=True):
    """Capacity of an instance on a host."""

    instance_id: str
    host_id: str
    cpu: int
    memory_mib: int
    disk_gib: int
    opened_at: float


class Job(Value, frozen=True, kw_only=True):
    """Work in progress on one instance: an operation's stages, and how far they are.

    ``busy`` names the worker inside a step right now, so that a superseding job waits for it.
    """

    id: str
    instance_id: str
    op: str
    stages: tuple[str, ...]
    on_failed: tuple[str, ...]
    on_lost: tuple[str, ...]
    on_ok: str
    origin: str
    actor: str
    created_at: float
    api: Api = Api.ENGINE
    request_id: str = ""
    state: JobState = JobState.QUEUED
    stage: int = 0
    step: int = 0
    attempt: int = 1
    deadline: float = 0.0
    stage_started: float = 0.0
    busy: str = ""
    force: bool = False
    message: str = ""
    finished_at: float | None = None
    version: int = 1


class Event(Value, frozen=True, kw_only=True):
    """One state change, or one noteworthy happening, with who and why."""

    id: str
    at: float
    instance_id: str
    tenant_id: str
    op: str
    old: str
    new: str
    actor: str
    reason: str = ""
    request_id: str = ""
    job_id: str = ""


class Stay(Value, frozen=True, kw_only=True):
    """One stay of an instance on a host: the accounting record (§17)."""

    instance_id: str
    seq: int
    host_id: str
    tenant_id: str
    owner: str
    vcpus: int
    memory_mib: int
    started_at: float
    running_at: float | None = None
    running_until: float | None = None
    ended_at: float | None = None
    reason: str = "none"


class Debris(Value, frozen=True, kw_only=True):
    """Files left on a host that the reaper must still remove: an instance's, or those of the volume or copy
    that ``instance_id`` names then. ``busy`` is the worker that is removing them.
    """

    instance_id: str
    host_id: str
    at: float
    message: str = ""
    busy: str = ""
    version: int = 1


class Tenant(Value, frozen=True, kw_only=True):
    """An account: owns instances, images, keys and tags, and has the quotas.

    ``encrypted_regions`` are those where its new volumes are encrypted unasked.
    """

    id: str
    name: str
    account_id: str
    created_at: float
    quotas: dict[str, int] = {}
    encrypted_regions: tuple[str, ...] = ()
    version: int = 1


class User(Value, frozen=True, kw_only=True):
    """A person or program of a tenant; the password is an argon2 hash."""

    id: str
    tenant_id: str
    name: str
    role: Role
    password_hash: str
    created_at: float
    version: int = 1


class AccessKey(Value, frozen=True, kw_only=True):
    """An EC2 access key; the secret is encrypted at rest because signatures need it in clear."""

    id: str
    user_id: str
    secret: bytes
    active: bool
    created_at: float


class TenantRole(Value, frozen=True, kw_only=True):
    """Rights in a tenant that users of it, and of the accounts ``trusted``, may take on for a while (STS).

    ``longest`` is how long one session may last, in seconds.
    """

    id: str
    tenant_id: str
    name: str
    trusted: tuple[str, ...] = ()
    longest: int = 3600
    created_at: float
    version: int = 1


class Session(Value, frozen=True, kw_only=True):
    """A key for a while: of a user himself (GetSessionToken), or of a role that he took on (AssumeRole).

    ``id`` is the temporary key's. ``secret`` is sealed; of the session token only the SHA-256 is kept.
    ``tenant_id`` is whose things the session is about, ``user_id`` who began it; ``role_id`` is empty for the
    user's own. ``name`` is the role session's name. ``access_key_id`` is the lasting key that the session
    goes back to, through other sessions too: it ends with that.
    """

    id: str
    access_key_id: str
    user_id: str
    tenant_id: str
    secret: bytes
    token_digest: str
    created_at: float
    expires_at: float
    role_id: str = ""
    name: str = ""


TOKEN_ID_LENGTH = 12


class BearerToken(Value, frozen=True, kw_only=True):
    """A bearer token for OCCI: only its SHA-256 is kept."""

    digest: str
    user_id: str
    created_at: float
    expires_at: float | None

    @property
    def id(self) -> str:
        """What it is called in public: the beginning of the digest, from which nobody finds the token."""
        return self.digest[:TOKEN_ID_LENGTH]


class Identity(Value, frozen=True, kw_only=True):
    """Who a user is to somebody else: the subject of an OpenID issuer, or of a certificate.

    ``issuer`` is the issuer's URL, or ``x509`` for certificates that a proxy verified. ``claimed`` is whether
    the user was made because of what the issuer claims: then nothing but the claims of the day, and what an
    administrator grants, lets it in, not even into the tenant that it is of.
    """

    issuer: str
    subject: str
    user_id: str
    created_at: float
    claimed: bool = False


class Membership(Value, frozen=True, kw_only=True):
    """One more tenant (a project) that a user may work in, besides the one that the user is of."""

    user_id: str
    tenant_id: str
    role: Role
    created_at: float


class ChosenPath(Value, frozen=True, kw_only=True):
    """A path that a client chose for what it made, besides the one computed from the id."""

    tenant_id: str
    path: str
    resource_id: str
    created_at: float


class CreationKey(Value, frozen=True, kw_only=True):
    """A client's key of a creation, a digest of what was asked, and the ids of what it made."""

    tenant_id: str
    key: str
    digest: str
    made: tuple[str, ...]
    created_at: float


class UserMixin(Value, frozen=True, kw_only=True):
    """A tag of OCCI's kind: a mixin that a client made, with the resources associated."""

    tenant_id: str
    scheme: str
    term: str
    title: str
    location: str
    created_at: float


class QuotaName(Enum):
    """Limits of a tenant, with OpenStack's defaults (lifecycle §15). -2 is unlimited."""

    INSTANCES = "instances"
    CORES = "cores"
    MEMORY_MIB = "memory_mib"
    KEY_PAIRS = "key_pairs"
    IMAGES = "images"
    VOLUMES = "volumes"
    GIGABYTES = "gigabytes"
    SNAPSHOTS = "snapshots"
    VPCS = "vpcs"
    NICS = "nics"
    SECURITY_GROUPS = "security_groups"
    SECURITY_GROUP_RULES = "security_group_rules"
    ADDRESSES = "floating_ips"


QUOTA_DEFAULTS: dict[str, int] = {
    QuotaName.INSTANCES.value: 1000,
    QuotaName.CORES.value: 2000,
    QuotaName.MEMORY_MIB.value: 4_000_000,
    QuotaName.KEY_PAIRS.value: 5000,
    QuotaName.IMAGES.value: 1000,
    QuotaName.VOLUMES.value: 5000,
    QuotaName.GIGABYTES.value: 100_000,
    QuotaName.SNAPSHOTS.value: 10_000,
    QuotaName.VPCS.value: 100,
    QuotaName.NICS.value: 10_000,
    QuotaName.SECURITY_GROUPS.value: 2500,
    QuotaName.SECURITY_GROUP_RULES.value: 60,
    QuotaName.ADDRESSES.value: 50,
}
UNLIMITED = -2
