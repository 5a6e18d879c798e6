"""Everything the product can be asked to change: one frozen type per command, a closed vocabulary.

A face turns a document into one of these; :meth:`backend.engine.Engine.execute` authorises it, checks it,
claims what it needs, records it and enqueues its work in one transaction, or refuses it and changes
nothing. Each command names the type of its answer: ``Command[R]``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from backend.model import (
    BearerToken,
    BlockDevice,
    Content,
    Flavor,
    GuestShutdown,
    Host,
    Image,
    Instance,
    KeyPair,
    MetadataOptions,
    Picture,
    Publication,
    Role,
    SeedKind,
    Snapshot,
    Task,
    Tenant,
    User,
    UserMixin,
    Value,
    Volume,
)
from backend.network_model import Nic, PublicAddress, SecurityGroup

R = TypeVar("R")


class Command(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """Base of all commands; ``R`` is what the engine answers."""


# Instances ----------------------------------------------------------------------------------------------


class MadeNic(Value, frozen=True, kw_only=True):
    """An interface that was made, with its private and public addresses (the primary ones first)."""

    nic: Nic
    addresses: tuple[str, ...]
    public: tuple[PublicAddress, ...] = ()


class LaunchedWith(Value, frozen=True, kw_only=True):
    """What was made together with instances: all that they have of volumes and interfaces.

    ``groups`` are the security groups that the interfaces are in.
    """

    volumes: tuple[Volume, ...]
    nics: tuple[MadeNic, ...]
    groups: tuple[SecurityGroup, ...]


class Launched(Value, frozen=True, kw_only=True):
    """The instances of one launch, in launch-index order; ``replayed`` when the client token was known.

    ``made`` saves reading it; it is None where the instances have more than was made with them.
    """

    launch_id: str
    instances: tuple[Instance, ...]
    replayed: bool = False
    made: LaunchedWith | None = None


class Launch(Command[Launched], frozen=True, kw_only=True):
    """Create between ``minimum`` and ``maximum`` instances: as many as quotas and addresses allow, or none.

    ``flavor`` or ``image_id`` None means the installation's default. ``vcpus`` and ``memory_mib`` override
    the flavor (OCCI without a resource template). ``token_digest`` is a digest of the normalised request
    beside its ``client_token``. ``user_data`` is the raw text of at most 16 KiB. ``tags`` go to every
    instance, ``volume_tags`` to every volume made with it. ``mappings`` add to the image's, by device name.
    ``volumes`` are volumes there are, with a device name or none, to be attached from the beginning; they
    allow one instance only.

    ``subnet_id``, ``address``, ``groups`` and ``public_ip`` say where its one interface is; else ``nics``
    lists its interfaces. Without either it is one in the default subnet of the zone. ``groups`` are ids, or
    names in the VPC; without any the VPC's default one.

    ``architectures`` are those that the image may be for, where the caller wants certain ones. ``cpu_share``
    weighs the instance against others on its host (see :class:`~backend.model.Instance`).

    ``group`` is a placement group by name or id, and ``partition`` one of its partitions (0: the engine's
    choice). ``origin_tags`` are the service's own, with keys that users may not give.
    """

    image_id: str | None = None
    flavor: str | None = None
    minimum: int = 1
    maximum: int = 1
    zone: str | None = None
    key_name: str | None = None
    public_keys: tuple[str, ...] = ()
    user_data: bytes = b""
    tags: tuple[tuple[str, str], ...] = ()
    client_token: str = ""
    token_digest: str = ""
    on_guest_shutdown: GuestShutdown = GuestShutdown.STOP
    locked_terminate: bool = False
    locked_stop: bool = False
    hibernation: bool = False
    held: bool = False
    hostname: str = ""
    summary: str = ""
    vcpus: int | None = None
    memory_mib: int | None = None
    architectures: tuple[str, ...] = ()
    cpu_share: int = 0
    mixins: tuple[tuple[str, str], ...] = ()
    mappings: tuple[BlockDevice, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    volume_tags: tuple[tuple[str, str], ...] = ()
    subnet_id: str = ""
    address: str = ""
    groups: tuple[str, ...] = ()
    nics: tuple[NicRequest, ...] = ()
    nic_tags: tuple[tuple[str, str], ...] = ()
    public_ip: bool | None = None
    metadata: MetadataOptions = MetadataOptions()
    monitoring: bool = False
    group: str = ""
    partition: int = 0
    origin_tags: tuple[tuple[str, str], ...] = ()


class NicRequest(Value, frozen=True, kw_only=True):
    """An interface of a launch: one there is (``nic_id``), or one to be made.

    ``public_ip`` None leaves it to the subnet. ``secondary`` are further private addresses, or so many
    (``secondary_count``) of the engine's choice. ``groups`` are ids, or names in the VPC.
    """

    index: int = 0
    nic_id: str = ""
    subnet_id: str = ""
    address: str = ""
    secondary: tuple[str, ...] = ()
    secondary_count: int = 0
    groups: tuple[str, ...] = ()
    description: str = ""
    delete_on_termination: bool = True
    public_ip: bool | None = None
    mac: str = ""
    mixins: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


class Op(StrEnum):
    """Life-cycle operations a caller may ask for; legal states are the table's (lifecycle §20.1).

    ``START`` is resume or release, whichever the state needs (EC2 StartInstances, OCCI start).
    ``POWEROFF`` asks the guest and falls back to running when it is ignored; with ``force_at_timeout`` it
    ends in a hard power-off, as EC2 promises. ``RESTART_COLD`` destroys and starts on the same host.
    """

    HOLD = "hold"
    RELEASE = "release"
    START = "start"
    RESUME = "resume"
    POWEROFF = "poweroff"
    POWEROFF_HARD = "poweroff_hard"
    SHUTDOWN = "shutdown"
    SUSPEND = "suspend"
    PAUSE = "pause"
    REBOOT = "reboot"
    RESET = "reset"
    RESTART_COLD = "restart_cold"
    TERMINATE = "terminate"
    CANCEL = "cancel"
    DELETE = "delete"
    RESUBMIT = "resubmit"
    RESTART = "restart"
    RECOVER_RETRY = "recover_retry"
    RECOVER_RECREATE = "recover_recreate"


class Change(Value, frozen=True, kw_only=True):
    """An instance before and after a command, both read in its transaction."""

    before: Instance
    after: Instance


class Operate(Command[tuple[Change, ...]], frozen=True, kw_only=True):
    """Do one life-cycle operation on instances: all ids are checked first, then all start, or none does.

    An instance that is already there (stopped for POWEROFF, running for START, ending for TERMINATE)
    answers with before equal to after. ``force_at_timeout`` concerns POWEROFF and REBOOT.
    With ``strict`` that is refused as the wrong state instead (OCCI's "not applicable").
    """

    op: Op
    ids: tuple[str, ...]
    force_at_timeout: bool = False
    strict: bool = False


class ModifyInstance(Command[Instance], frozen=True, kw_only=True):
    """Change attributes; None leaves one as it is. Size and user data need a stopped (``poff``) instance.

    ``cpu_share`` (0: none) counts where the instance runs, and at every start. ``delete_on_termination`` says
    for device names whether their volumes end with the instance. ``public_keys`` are told to the guest when
    it asks again, or starts again.
    """

    instance_id: str
    flavor: str | None = None
    vcpus: int | None = None
    memory_mib: int | None = None
    user_data: bytes | None = None
    locked_terminate: bool | None = None
    locked_stop: bool | None = None
    monitoring: bool | None = None
    on_guest_shutdown: GuestShutdown | None = None
    hostname: str | None = None
    summary: str | None = None
    cpu_share: int | None = None
    public_keys: tuple[str, ...] | None = None
    delete_on_termination: tuple[tuple[str, bool], ...] = ()
    expected_version: int | None = None


class AskPicture(Command[Picture], frozen=True, kw_only=True):
    """Have the worker take a picture of a running instance's display; answers the row that it comes to.

    With ``wake`` a key is pressed before, which ends a screen saver.
    """

    instance_id: str
    wake: bool = False


# Tags, keys, images -------------------------------------------------------------------------------------


class CreateTags(Command[None], frozen=True, kw_only=True):
    """Set tags on resources of any kind, overwriting by key: all or none. Changes their versions."""

    ids: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]


class DeleteTags(Command[None], frozen=True, kw_only=True):
    """Remove tags: by key, by key and value, or (without any) all that users set."""

    ids: tuple[str, ...]
    tags: tuple[tuple[str, str | None], ...] = ()


class ImportKeyPair(Command[KeyPair], frozen=True, kw_only=True):
    """Keep a public key (OpenSSH form) under a new name of the tenant's."""

    name: str
    key_type: str
    fingerprint: str
    public_key: str
    tags: tuple[tuple[str, str], ...] = ()


class DeleteKeyPair(Command[KeyPair | None], frozen=True, kw_only=True):
    """Forget a key pair by name or id; None when there was none (EC2 DeleteKeyPair succeeds then)."""

    name: str | None = None
    key_pair_id: str | None = None


class RegisterImage(Command[Image], frozen=True, kw_only=True):
    """Register a disk image: of a content that lies, checked and complete, in the image store, or a snapshot.

    ``image_id`` chooses the id (people who migrate). ``line`` makes it the next version of a product line,
    with the publication state ``built``. ``mappings`` are the disks besides the root; an entry of the root's
    device gives its size, type and fate.
    """

    name: str
    content: Content | None = None
    snapshot_id: str = ""
    architecture: str = "x86_64"
    description: str = ""
    location: str = ""
    public: bool = False
    image_id: str | None = None
    mappings: tuple[BlockDevice, ...] = ()
    line: str = ""
    changelog: str = ""
    seed: SeedKind = SeedKind.DEFAULT
    tags: tuple[tuple[str, str], ...] = ()


class CreateImage(Command[Image], frozen=True, kw_only=True):
    """Make an image of an instance's disks (EC2 CreateImage, OCCI save): a snapshot of each volume.

    Without ``no_reboot`` a running instance is shut down for it and started again. ``deferred``: the disks
    are kept as they are when the instance ends, and the image waits for that (lifecycle §4.5). ``mappings``
    change or take away what the instance's own disks say.
    """

    instance_id: str
    name: str
    description: str = ""
    no_reboot: bool = False
    deferred: bool = False
    mappings: tuple[BlockDevice, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    snapshot_tags: tuple[tuple[str, str], ...] = ()


class CopyImage(Command[Image], frozen=True, kw_only=True):
    """An image of one's own with the bytes of one that may be launched.

    A ``client_token`` that was used is answered with the first copy, here and in the commands below;
    ``token_digest`` is a digest of the request beside it.
    """

    source_id: str
    name: str
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    snapshot_tags: tuple[tuple[str, str], ...] = ()
    client_token: str = ""
    token_digest: str = ""


class ModifyImage(Command[Image], frozen=True, kw_only=True):
    """Change description or launch permissions of an own image; lists are added and removed in one step.

    ``deprecate_at`` is a Unix time, or 0 to take the deprecation off.
    """

    image_id: str
    description: str | None = None
    public: bool | None = None
    add_accounts: tuple[str, ...] = ()
    remove_accounts: tuple[str, ...] = ()
    reset_permissions: bool = False
    enabled: bool | None = None
    deprecate_at: float | None = None
    seed: SeedKind | None = None


class PublishImage(Command[Image], frozen=True, kw_only=True):
    """Move a version of a product line to another publication state (lifecycle §9.2).

    Publishing deprecates the version published before, in the same transaction.
    """

    image_id: str
    publication: Publication
    reason: str = ""


class DeregisterImage(Command[Image], frozen=True, kw_only=True):
    """Withdraw an own image; running instances keep it, and its bytes go when the last of them ended.

    With ``snapshots`` those go that were made with it, unless something else needs them.
    """

    image_id: str
    snapshots: bool = False


class ImportImage(Command[Task], frozen=True, kw_only=True):
    """Bring a disk image from a location into the store as a snapshot, and register an image of it.

    ``location`` is a path, an http(s) URL or ``upload:NAME``; the face has checked that the caller may read
    it. ``form`` names the format when the client does.
    """

    location: str
    form: str = ""
    name: str = ""
    description: str = ""
    architecture: str = "x86_64"
    public: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    client_token: str = ""
    token_digest: str = ""


class ImportSnapshot(Command[Task], frozen=True, kw_only=True):
    """Bring a disk image from a location into the store as a snapshot."""

    location: str
    form: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    client_token: str = ""
    token_digest: str = ""


class ExportImage(Command[Task], frozen=True, kw_only=True):
    """Write an own image to a file: raw, qcow2, vmdk, vdi, vhdx or vpc. The face checked the path."""

    image_id: str
    form: str
    path: str
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    client_token: str = ""
    token_digest: str = ""


class TestImage(Command[Task], frozen=True, kw_only=True):
    """Boot an instance of an image and go through the check list (lifecycle §9.2)."""

    __test__ = False  # it is no test of ours

    image_id: str


# Volumes and snapshots ----------------------------------------------------------------------------------


class CreateVolume(Command[Volume], frozen=True, kw_only=True):
    """Make a volume: of zeros, or of a snapshot or an image, at least as large.

    ``zone`` None is the first one. ``token_digest`` is a digest of the request beside its ``client_token``.
    """

    size_gib: int | None = None
    snapshot_id: str = ""
    image_id: str = ""
    zone: str | None = None
    type: str = ""
    iops: int = 0
    throughput: int = 0
    encrypted: bool | None = None
    client_token: str = ""
    token_digest: str = ""
    summary: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    mixins: tuple[tuple[str, str], ...] = ()


class DeleteVolume(Command[Volume], frozen=True, kw_only=True):
    """Delete a volume that is attached to nothing; its snapshots stay."""

    volume_id: str


class ModifyVolume(Command[Volume], frozen=True, kw_only=True):
    """Grow a volume or change its type and limits, attached or not; None leaves as it is."""

    volume_id: str
    size_gib: int | None = None
    type: str | None = None
    iops: int | None = None
    throughput: int | None = None


class SetVolume(Command[Volume], frozen=True, kw_only=True):
    """Change what is only recorded of a volume: EC2's AutoEnableIO, OCCI's online and summary.

    ``delete_on_termination`` and ``device`` are the attachment's; another device needs an instance that is
    off. ``reset`` makes a volume in error available again, or in
    use, as its bytes are there (an administrator's ``enable``).
    """

    volume_id: str
    auto_io: bool | None = None
    online: bool | None = None
    summary: str | None = None
    delete_on_termination: bool | None = None
    device: str | None = None
    reset: bool = False


class AttachVolume(Command[Volume], frozen=True, kw_only=True):
    """Attach a volume to a running or stopped instance of its zone; an empty ``device`` lets us choose."""

    volume_id: str
    instance_id: str
    device: str = ""
    delete_on_termination: bool = False


class DetachVolume(Command[Volume], frozen=True, kw_only=True):
    """Detach a volume; ``instance_id`` and ``device``, when given, must be the attachment's.

    With ``force`` an instance whose guest does not let go is switched off. Answers the volume, detaching.
    """

    volume_id: str
    instance_id: str = ""
    device: str = ""
    force: bool = False


class CreateSnapshot(Command[Snapshot], frozen=True, kw_only=True):
    """Keep a volume as it is now."""

    volume_id: str
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()


class CreateSnapshots(Command[tuple[Snapshot, ...]], frozen=True, kw_only=True):
    """Keep all volumes of an instance, but for those excluded, as they are now.

    ``copy_tags``: the volumes' tags go to their snapshots.
    """

    instance_id: str
    description: str = ""
    exclude_boot: bool = False
    exclude: tuple[str, ...] = ()
    copy_tags: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class CopySnapshot(Command[Snapshot], frozen=True, kw_only=True):
    """A snapshot of one's own, in the caller's region, with the bytes of one that may be used.

    ``source_region`` is where that one is; empty is the caller's.
    """

    source_id: str
    source_region: str = ""
    description: str = ""
    encrypted: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class ModifySnapshot(Command[Snapshot], frozen=True, kw_only=True):
    """Change who may make volumes of an own snapshot, in one step."""

    snapshot_id: str
    public: bool | None = None
    add_accounts: tuple[str, ...] = ()
    remove_accounts: tuple[str, ...] = ()
    reset_permissions: bool = False


class DeleteSnapshot(Command[Snapshot], frozen=True, kw_only=True):
    """Delete an own snapshot that no image is made of; others of the same volume stay whole."""

    snapshot_id: str


class RevertVolume(Command[Volume], frozen=True, kw_only=True):
    """Make a volume what a snapshot of it says: detached, or of an instance that is switched off."""

    volume_id: str
    snapshot_id: str


class Check(Command[Task], frozen=True, kw_only=True):
    """Recompute what must lie where, and ask every host and the store what does (invariant 22)."""


# OCCI mixins of users -----------------------------------------------------------------------------------


class CreateMixin(Command[UserMixin], frozen=True, kw_only=True):
    """Add a tag mixin of the tenant's (OCCI-HTTP-024)."""

    scheme: str
    term: str
    title: str
    location: str


class DeleteMixin(Command[None], frozen=True, kw_only=True):
    """Remove a tag mixin and every association with it (OCCI-HTTP-026)."""

    scheme: str
    term: str


class Associate(Command[None], frozen=True, kw_only=True):
    """Change the members of a tag mixin: add, remove, or (``replace``) make them exactly ``add``."""

    scheme: str
    term: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    replace: bool = False


class SetNotes(Command[None], frozen=True, kw_only=True):
    """Write texts about a resource that mean nothing to the engine; an empty one takes a note away.

    ``resource_id`` may also be a link's: an attachment's (``att-`` and the volume's digits), an
    association's, or a membership's, which needs the ``instance_id`` that it begins at. A link's notes end
    with it.
    """

    resource_id: str
    notes: tuple[tuple[str, str], ...]
    instance_id: str = ""


# Administration (role admin) ----------------------------------------------------------------------------


class AddHost(Command[Host], frozen=True, kw_only=True):
    """Add a libvirt host by URI; the worker probes it and turns it on."""

    uri: str
    region: str
    zone: str
    cpu_ratio: float = 16.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0


class SetHostState(Command[Host], frozen=True, kw_only=True):
    """Enable (``init``), disable or take a host offline; ``off`` counts as proof of death (lifecycle §12)."""

    host_id: str
    state: str


class DeleteHost(Command[None], frozen=True, kw_only=True):
    """Forget a host on which nothing is placed, reserved or left behind."""

    host_id: str


class PutFlavor(Command[Flavor], frozen=True, kw_only=True):
    """Add or change a flavor; running instances keep their size."""

    flavor: Flavor


class DeleteFlavor(Command[None], frozen=True, kw_only=True):
    """Withdraw a flavor; instances keep its name and size."""

    name: str


class EncryptByDefault(Command[Tenant], frozen=True, kw_only=True):
    """Whether the caller's new volumes in its region are encrypted unasked (EnableEbsEncryptionByDefault)."""

    enabled: bool


class CreateTenant(Command[Tenant], frozen=True, kw_only=True):
    """Add a tenant with its 12-digit account id (None: a random one)."""

    name: str
    account_id: str | None = None


class SetQuota(Command[Tenant], frozen=True, kw_only=True):
    """Set limits of a tenant; lowering one below the usage only stops new claims."""

    tenant_id: str
    quotas: dict[str, int]


class PurgeTenant(Command[int], frozen=True, kw_only=True):
    """End and remove all that a tenant has; answers how many instances and image files are still going.

    Repeat until it answers 0. Keys, images, tags and mixins go at once; ``remove`` then removes the tenant.
    """

    tenant_id: str
    remove: bool = False


class CreateUser(Command[User], frozen=True, kw_only=True):
    """Add a user to a tenant; the password comes as an argon2 hash."""

    tenant_id: str
    name: str
    password_hash: str
    role: Role = Role.MEMBER


class DeleteUser(Command[None], frozen=True, kw_only=True):
    """Forget a user with its keys and tokens; what it made is its tenant's and stays."""

    name: str


class SetPassword(Command[User], frozen=True, kw_only=True):
    """Replace a user's password hash, and forget its bearer tokens, which may be in the same wrong hands."""

    name: str
    password_hash: str


class CreateAccessKey(Command[None], frozen=True, kw_only=True):
    """Keep an EC2 access key: its id and the encrypted secret."""

    key_id: str
    user_name: str
    secret: bytes


class SetAccessKeyActive(Command[None], frozen=True, kw_only=True):
    """Switch an access key off or on."""

    key_id: str
    active: bool


class DeleteAccessKey(Command[None], frozen=True, kw_only=True):
    """Forget an access key for good."""

    key_id: str


class CreateToken(Command[None], frozen=True, kw_only=True):
    """Keep the SHA-256 of a bearer token of a user's."""

    digest: str
    user_name: str
    expires_at: float | None = None


class DeleteToken(Command[BearerToken], frozen=True, kw_only=True):
    """Forget a bearer token by its id, or by more of its SHA-256; answers what was forgotten."""

    token_id: str
