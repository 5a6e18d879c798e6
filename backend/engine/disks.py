"""Volumes as disks of instances: device names, limits, sizes, and what a launch maps."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from backend.engine.access import seen_snapshot
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import (
    QUOTA_DEFAULTS,
    UNLIMITED,
    AttachState,
    BlockDevice,
    Content,
    Flavor,
    Image,
    Instance,
    QuotaName,
    Snapshot,
    SnapshotState,
    Value,
    Volume,
    VolumeState,
    new_id,
)
from backend.ports import DiskSpec, ImageSource, VolumeSpec
from backend.volume_types import DEFAULT_TYPE, VOLUME_TYPES

ROOT_TARGET = "vda"
ROOT_DEVICE = "/dev/vda"
SCRATCH_TARGET = "vdb"
_SEED_TARGET = "vdz"
_ROOT_NAMES = frozenset({ROOT_DEVICE, "/dev/sda1", "/dev/sda", "/dev/xvda", "vda", "sda", "sda1", "xvda"})
_LETTERS = "bcdefghijklmnopqrstuvwxy"
_DEVICE = re.compile(r"(?:/dev/)?(?:sd|xvd|vd|hd)([a-z])[0-9]{0,2}\Z")
_LONGEST_DEVICE = 32
_GIB = 1 << 30


def gib(size_bytes: int) -> int:
    """Whole GiB that hold so many bytes."""
    return max(-(-size_bytes // _GIB), 1)


# Device names -------------------------------------------------------------------------------------------


def is_root_device(device: str) -> bool:
    """Whether a name means the disk that an instance boots from; clients bring those of other clouds."""
    return device in _ROOT_NAMES


def most_volumes(*, scratch: bool) -> int:
    """How many volumes an instance can have at once, the root among them, with a scratch disk or without."""
    return 1 + len(_LETTERS) - scratch


def choose_device(wanted: str, taken: Iterable[Volume], *, scratch: bool) -> tuple[str, str]:
    """The client's name and the target of a new disk among those an instance has.

    The letter asked for is used when it is free, else the lowest one: guests find disks by their serial.

    Raises:
        BackendError: DEVICE_IN_USE, DEVICES_EXHAUSTED, or PARAMETER_INVALID for what is no device name.
    """
    have = list(taken)
    used = {volume.target for volume in have} | {ROOT_TARGET, _SEED_TARGET}
    if scratch:
        used.add(SCRATCH_TARGET)
    free = [letter for letter in _LETTERS if f"vd{letter}" not in used]
    named = _DEVICE.match(wanted) if wanted else None
    if wanted and (named is None or len(wanted) > _LONGEST_DEVICE):
        raise BackendError(
            Code.PARAMETER_INVALID, f"{wanted[:80]} is no device name.", parameter="device", value=wanted[:80]
        )
    in_use = is_root_device(wanted) or any(_same(wanted, volume.device) for volume in have)
    if wanted and in_use:
        raise BackendError(Code.DEVICE_IN_USE, f"{wanted} is already in use.", device=wanted)
    if not free:
        raise BackendError(Code.DEVICES_EXHAUSTED, "The instance has as many disks as it can have.")
    letter = named[1] if named is not None and named[1] in free else free[0]
    return wanted or f"/dev/vd{letter}", f"vd{letter}"


def _same(one: str, other: str) -> bool:
    return bool(one) and one.removeprefix("/dev/") == other.removeprefix("/dev/")


# Types, sizes, quotas -----------------------------------------------------------------------------------


def check_type(name: str, size_gib: int, iops: int, throughput: int) -> str:
    """The type to use; refuses what EC2's types do not allow.

    Raises:
        BackendError: PARAMETER_INVALID, with ``dependency`` for what a type does not take at all, or
            PARAMETER_MISSING.
    """
    found = VOLUME_TYPES.get(name or DEFAULT_TYPE)
    if found is None:
        raise _invalid("volumeType", name, "There is no such volume type.")
    if iops and not found.may_ask_iops:
        raise _dependency("iops", f"The parameter iops is not supported for {found.name} volumes.")
    if found.asks_iops and not iops:
        raise BackendError(
            Code.PARAMETER_MISSING,
            f"The parameter iops must be specified for {found.name} volumes.",
            parameter="iops",
        )
    if throughput and not found.may_ask_throughput:
        raise _dependency(
            "throughput", f"The parameter throughput is not supported for {found.name} volumes."
        )
    refused = found.refusal(size_gib, iops, throughput)
    if refused is not None:
        parameter, sentence = refused
        asked = {"size": size_gib, "iops": iops, "throughput": throughput}
        raise _invalid(parameter, asked[parameter], sentence)
    return found.name


def _invalid(parameter: str, value: object, sentence: str) -> BackendError:
    return BackendError(Code.PARAMETER_INVALID, sentence, parameter=parameter, value=value)


def _dependency(parameter: str, sentence: str) -> BackendError:
    return BackendError(Code.PARAMETER_INVALID, sentence, parameter=parameter, dependency=True)


def check_volume_quota(work: Work, tenant_id: str, count: int, more_gib: int) -> None:
    """Refuse volumes or GiB beyond the tenant's limits; its row is locked, so claims come one by one."""
    tenant = work.tx.tenants.lock(tenant_id)
    if tenant is None:
        raise BackendError(Code.TENANT_NOT_FOUND, "The tenant does not exist.")
    volumes, used = work.tx.volumes.usage(tenant_id)
    wanted = (
        (QuotaName.VOLUMES, Code.QUOTA_VOLUMES, volumes, count),
        (QuotaName.GIGABYTES, Code.QUOTA_GIGABYTES, used, more_gib),
    )
    for name, code, have, more in wanted:
        limit = tenant.quotas.get(name.value, QUOTA_DEFAULTS[name.value])
        if more > 0 and limit != UNLIMITED and have + more > limit:
            raise BackendError(
                code,
                f"Your limit of {limit} {name.value} is reached.",
                limit=limit,
                quota=name.value,
                used=have,
            )


# Secrets ------------------------------------------------------------------------------------------------


def new_secret(work: Work, owner: str) -> bytes:
    """A fresh passphrase for a disk, sealed for its owner."""
    return seal(work, owner, secrets.token_hex(32))


def seal(work: Work, owner: str, secret: str) -> bytes:
    """A passphrase at rest; refused where there is nothing to seal it with."""
    if work.vault is None:
        raise BackendError(Code.UNSUPPORTED, "Encrypted volumes are not set up in this installation.")
    return work.vault.seal(owner, secret)


def reseal(work: Work, owner: str, old_owner: str, sealed: bytes) -> bytes:
    """A passphrase for a further owner of the same bytes."""
    if work.vault is None:
        raise BackendError(Code.UNSUPPORTED, "Encrypted volumes are not set up in this installation.")
    return work.vault.seal(owner, work.vault.open(old_owner, sealed))


# What the hypervisor is given ---------------------------------------------------------------------------


def source_of(chain: Sequence[Content], name: str) -> ImageSource | None:
    """A content with those that it tells the difference to, as a driver wants it."""
    if not chain:
        return None
    first = chain[0]
    return ImageSource(
        image_id=name,
        path=first.path,
        format=first.format,
        checksum=first.checksum,
        size_bytes=first.size_bytes,
        virtual_bytes=first.virtual_bytes,
        parents=tuple(content.path for content in chain[1:]),
        encrypted=first.encrypted,
    )


def volume_spec(volume: Volume, chain: Sequence[Content], key: bytes) -> VolumeSpec:
    """A volume as it is to be made."""
    return VolumeSpec(
        name=volume.id, size_bytes=volume.size_bytes, source=source_of(chain, volume.id), key=key
    )


def scratch_name(instance_id: str) -> str:
    """The name on the host of an instance's scratch disk."""
    return f"{instance_id}.{SCRATCH_TARGET}"


def disk_spec(volume: Volume, key: bytes) -> DiskSpec:
    """A volume as a disk of its instance's domain."""
    kind = VOLUME_TYPES.get(volume.type, VOLUME_TYPES[DEFAULT_TYPE])
    iops, throughput = kind.limits(volume.size_gib, volume.iops, volume.throughput)
    return DiskSpec(
        target=volume.target,
        name=volume.id,
        serial=volume.serial,
        key=key,
        iops=iops,
        mib_per_second=throughput,
    )


# Launching ----------------------------------------------------------------------------------------------


class Plan(Value, frozen=True, kw_only=True):
    """The volumes that one instance of a launch gets; made anew for each, with an id of its own."""

    root: Volume
    others: tuple[Volume, ...] = ()
    keys: Mapping[str, str] = {}

    @property
    def every(self) -> tuple[Volume, ...]:
        """All of them, the root first."""
        return (self.root, *self.others)

    @property
    def size_gib(self) -> int:
        """GiB in all."""
        return sum(volume.size_gib for volume in self.every)


def plan_volumes(
    work: Work, prototype: Instance, image: Image, flavor: Flavor, mappings: Sequence[BlockDevice]
) -> Plan:
    """The volumes of an instance: its image's root, and what image and launch map besides (spec ec2 §15).

    Raises:
        BackendError: BLOCK_DEVICE_INVALID, or what is said of a snapshot, a size, a type or a device.
    """
    _check_root(image, mappings)
    merged = merge(image.mappings, mappings)
    root = next((each for each in merged if is_root_device(each.device)), BlockDevice(device=ROOT_DEVICE))
    least = max(flavor.root_gib, gib(image.virtual_bytes))
    size = root.size_gib if root.size_gib is not None else least
    if size < gib(image.virtual_bytes):
        raise _bad_mapping(
            f"Volume of size {size}GB is smaller than snapshot, expect size >= {gib(image.virtual_bytes)}GB"
        )
    keys: dict[str, str] = {}
    first = _planned(work, prototype, root, size, ROOT_DEVICE, ROOT_TARGET)
    first = msgspec.structs.replace(
        first, boot=True, content=image.checksum, snapshot_id=image.snapshot_id, image_id=image.id
    )
    first = _protected(work, first, root, image.id if image.encrypted else "", image.secret, keys)
    others: list[Volume] = []
    for each in merged:
        if is_root_device(each.device) or each.virtual_name:
            continue
        others.append(_extra(work, prototype, image, each, [first, *others], keys))
    return Plan(root=first, others=tuple(others), keys=keys)


def _check_root(image: Image, mappings: Sequence[BlockDevice]) -> None:
    """A machine boots from its image: neither nothing nor another snapshot can take the root's place."""
    for each in mappings:
        if not is_root_device(each.device):
            continue
        if each.no_device:
            raise _bad_mapping(f"The root device {each.device} cannot be left out.")
        if each.snapshot_id not in {"", image.snapshot_id}:
            raise _bad_mapping("snapshotId cannot be modified on root device")


def merge(base: Sequence[BlockDevice], more: Sequence[BlockDevice]) -> list[BlockDevice]:
    """A launch's mapping on top of its image's: by device name, property by property."""
    found = {_canonical(each.device): each for each in base}
    seen: set[str] = set()
    for each in more:
        name = _canonical(each.device)
        if not each.device or name in seen:
            raise _bad_mapping(
                f"Duplicate or missing device name in block device mapping: '{each.device[:80]}'"
            )
        seen.add(name)
        if each.no_device:
            found.pop(name, None)
            continue
        have = found.get(name)
        found[name] = each if have is None else _over(have, each)
    return list(found.values())


def _canonical(device: str) -> str:
    return ROOT_DEVICE if is_root_device(device) else device.removeprefix("/dev/")


def _over(base: BlockDevice, each: BlockDevice) -> BlockDevice:
    given = {
        name: value
        for name, value in msgspec.structs.asdict(each).items()
        if value not in (None, "", 0, False) and name != "device"
    }
    for name in ("encrypted", "delete_on_termination"):
        if getattr(each, name) is not None:
            given[name] = getattr(each, name)
    if each.snapshot_id and each.snapshot_id != base.snapshot_id and each.size_gib is None:
        given["size_gib"] = None
    if given.get("type") and given["type"] != base.type:
        given |= {"iops": each.iops, "throughput": each.throughput}
    return msgspec.structs.replace(base, **given)


def _bad_mapping(sentence: str) -> BackendError:
    return BackendError(Code.BLOCK_DEVICE_INVALID, sentence)


def _extra(
    work: Work,
    prototype: Instance,
    image: Image,
    each: BlockDevice,
    have: Sequence[Volume],
    keys: dict[str, str],
) -> Volume:
    snapshot = _made_of(work, image, each.snapshot_id) if each.snapshot_id else None
    size = each.size_gib if each.size_gib is not None else snapshot.size_gib if snapshot else None
    if size is None:
        raise _bad_mapping(f"The mapping of {each.device} needs a size or a snapshot.")
    if snapshot is not None and size < snapshot.size_gib:
        raise _bad_mapping(
            f"Volume of size {size}GB is smaller than snapshot '{snapshot.id}', "
            f"expect size >= {snapshot.size_gib}GB"
        )
    device, target = choose_device(each.device, have, scratch=bool(prototype.ephemeral_gib))
    volume = _planned(work, prototype, each, size, device, target)
    if snapshot is None:
        return _protected(work, volume, each, "", b"", keys)
    volume = msgspec.structs.replace(volume, snapshot_id=snapshot.id, content=snapshot.content)
    owner = snapshot.id if snapshot.encrypted else ""
    return _protected(work, volume, each, owner, snapshot.secret, keys)


def _made_of(work: Work, image: Image, snapshot_id: str) -> Snapshot:
    """What a mapping names. An image's own disks are for whoever may launch it, whosesoever they are; they
    are completed when the image is ready.
    """
    snapshot = work.tx.snapshots.get(snapshot_id)
    if snapshot is not None and any(each.snapshot_id == snapshot_id for each in image.mappings):
        return snapshot
    return usable_content(work, snapshot_id)


def _planned(
    work: Work, prototype: Instance, each: BlockDevice, size: int, device: str, target: str
) -> Volume:
    ends = each.delete_on_termination
    return Volume(
        id="",
        tenant_id=prototype.tenant_id,
        account_id=prototype.account_id,
        region=prototype.region,
        zone=prototype.zone,
        size_gib=size,
        state=VolumeState.IN_USE,
        created_at=work.now,
        type=check_type(each.type, size, each.iops, each.throughput),
        iops=each.iops,
        throughput=each.throughput,
        api=prototype.api,
        attach=AttachState.ATTACHING,
        device=device,
        target=target,
        delete_on_termination=True if ends is None else ends,
        asked_at=work.now,
    )


def _protected(
    work: Work, volume: Volume, each: BlockDevice, owner: str, sealed: bytes, keys: dict[str, str]
) -> Volume:
    """Whether it is encrypted, and by which passphrase: its source's when that is, else one of its own.

    Where all new volumes are to be encrypted, a mapping that says otherwise changes nothing.
    """
    if owner:
        if each.encrypted is False:
            raise _bad_mapping(f"What {volume.device} is made of is encrypted, and so is every volume of it.")
        if work.vault is None:
            raise BackendError(Code.UNSUPPORTED, "Encrypted volumes are not set up in this installation.")
        keys[volume.target] = work.vault.open(owner, sealed)
        return msgspec.structs.replace(volume, encrypted=True)
    return msgspec.structs.replace(volume, encrypted=bool(each.encrypted) or work.encrypts_unasked)


def usable_content(work: Work, snapshot_id: str, *, region: str = "") -> Snapshot:
    """A snapshot that volumes can be made of now; nobody deletes it before this transaction has ended.

    It is in the caller's region unless another is named.
    """
    snapshot = seen_snapshot(work, snapshot_id, region=region)
    work.tx.snapshots.lock(snapshot.id)
    if snapshot.state is not SnapshotState.COMPLETED:
        raise BackendError(
            Code.SNAPSHOT_WRONG_STATE,
            f"The snapshot '{snapshot_id}' is not completed.",
            ids=(snapshot_id,),
            state=snapshot.state.value,
        )
    return snapshot


def volumes_for(work: Work, plan: Plan, instance: Instance) -> list[Volume]:
    """The rows of one instance's volumes, each with an identity and a passphrase of its own."""
    made = []
    for planned in plan.every:
        identity = new_id("vol")
        secret = b""
        if planned.encrypted:
            known = plan.keys.get(planned.target)
            secret = seal(work, identity, known) if known else new_secret(work, identity)
        made.append(msgspec.structs.replace(planned, id=identity, instance_id=instance.id, secret=secret))
    return made


def by_target(volumes: Collection[Volume]) -> list[Volume]:
    """The order in which a domain has its disks: the one it boots from first."""
    return sorted(volumes, key=lambda volume: (not volume.boot, volume.target))
