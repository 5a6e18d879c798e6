"""Launching: everything that creating instances claims, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from backend.commands import Launch, Launched, LaunchedWith
from backend.engine.access import own_volume, usable_image
from backend.engine.capacity import room
from backend.engine.disks import Plan, choose_device, plan_volumes, volumes_for
from backend.engine.groups import SPREAD_LIMIT, Party
from backend.engine.images import hold_content, may_launch
from backend.engine.metadata_options import checked_options
from backend.engine.nics import (
    NewNic,
    NicPlan,
    check_nic_quota,
    draw,
    plan_nics,
    record_of_launch,
    zone_of_nics,
)
from backend.engine.placement_groups import check_zone, party_of_launch
from backend.engine.registry import lock_tenant
from backend.engine.tagging import check_tags, give_origin, give_tags
from backend.engine.volumes import require_attachable
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import (
    QUOTA_DEFAULTS,
    UNLIMITED,
    Api,
    AttachState,
    Capacity,
    Flavor,
    HostState,
    Image,
    ImageState,
    Instance,
    QuotaName,
    Tenant,
    Value,
    Volume,
    VolumeState,
    new_id,
)
from backend.store import LaunchToken

USER_DATA_LIMIT = 16 * 1024
SHARES = range(1, 10_001)
"""Shares of processor time that every host with control groups can weigh, of either version."""


def launch(work: Work, command: Launch) -> Launched:
    """Create instances (Launch): between minimum and maximum, as many as quotas, hosts and
    subnets allow.
    """
    _check_shape(command)
    tenant = lock_tenant(work, work.caller.tenant_id)
    # Behind the lock, so that a retry beside its original waits for it.
    replay = replayed(work, command.client_token, command.token_digest)
    if replay is not None:
        return replay
    image, flavor = _image(work, command), _flavor(work, command)
    party = party_of_launch(work, command)
    if image.state is ImageState.READY:
        hold_content(work, image)
    draft = _drafted(work, command, image, flavor, party)
    prototype, nics, plan = draft.prototype, draft.nics, draft.plan
    given = _given_volumes(work, command, prototype)
    count = _within_room(draft, command, _within_quota(work, tenant, prototype, plan, command))
    drawn = _instances(work, prototype, nics, command, count)
    instances = [instance for instance, _ in drawn]
    check_nic_quota(work, tenant, len(instances) * sum(each.existing is None for each in nics))
    volumes = _record(work, command, instances, plan)
    made_nics = record_of_launch(work, drawn, command.nic_tags)
    for volume, device in given:
        _attach_from_the_beginning(work, volume, instances[0], device)
    made = None
    if not given and all(each.existing is None for each in nics):
        groups = {group.id: group for each in nics for group in each.groups}
        made = LaunchedWith(volumes=tuple(volumes), nics=tuple(made_nics), groups=tuple(groups.values()))
    return Launched(launch_id=prototype.launch_id, instances=tuple(instances), made=made)


def _check_shape(command: Launch) -> None:
    if not 1 <= command.minimum <= command.maximum:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "The minimum must be at least 1 and at most the maximum.",
            parameter="minimum",
            value=command.minimum,
        )
    if len(command.user_data) > USER_DATA_LIMIT:
        raise BackendError(Code.USER_DATA_TOO_LARGE, "User data is limited to 16384 bytes.")
    check_tags(command.tags)
    check_tags(command.volume_tags)
    check_tags(command.nic_tags)


def replayed(work: Work, token: str, digest: str) -> Launched | None:
    """The first answer again when the client token is known (spec ec2 §11)."""
    if not token:
        return None
    key = (work.caller.tenant_id, work.caller.region, token)
    known = work.tx.launch_tokens.get(*key)
    if known is None:
        return None
    if known.digest != digest:
        raise BackendError(
            Code.TOKEN_MISMATCH, "The client token was used with other parameters.", token=token
        )
    instances = tuple(work.tx.instances.of_launch(known.launch_id))
    if instances and all(instance.detail == "done" for instance in instances):
        raise BackendError(
            Code.TOKEN_TERMINATED, "The instances of the client token have ended.", token=token
        )
    return Launched(launch_id=known.launch_id, instances=instances, replayed=True)


def _given_volumes(work: Work, command: Launch, prototype: Instance) -> list[tuple[Volume, str]]:
    """Volumes there are that are to be attached from the beginning, each free and in the zone."""
    if not command.volumes:
        return []
    if command.maximum != 1:
        raise BackendError(
            Code.PARAMETER_INVALID, "A volume can be attached to one instance only.", parameter="volumes"
        )
    found = [(own_volume(work, volume_id), device) for volume_id, device in command.volumes]
    for volume, _ in found:
        require_attachable(volume, prototype.zone)
    if len({volume.id for volume, _ in found}) != len(found):
        raise BackendError(Code.PARAMETER_INVALID, "A volume is named twice.", parameter="volumes")
    return found


def _attach_from_the_beginning(work: Work, volume: Volume, instance: Instance, device: str) -> None:
    have = work.tx.volumes.of_instance(instance.id)
    name, target = choose_device(device, have, scratch=bool(instance.ephemeral_gib))
    work.tx.volumes.update(
        volume,
        state=VolumeState.IN_USE,
        instance_id=instance.id,
        attach=AttachState.ATTACHING,
        device=name,
        target=target,
        asked_at=work.now,
    )


class _Draft(Value, frozen=True, kw_only=True):
    """A launch in one zone: its first instance, interfaces, volumes, and how many such have room there."""

    prototype: Instance
    nics: Sequence[NicPlan]
    plan: Plan
    room: int
    why: str = ""


def _drafted(work: Work, command: Launch, image: Image, flavor: Flavor, party: Party | None) -> _Draft:
    """The launch in the first zone that has room for all of it, else in the one that has most."""
    best: _Draft | None = None
    for zone in _zones(work, command, party):
        draft = _draft(work, command, image, flavor, zone, party)
        if draft.room >= command.maximum:
            return draft
        if best is None or draft.room > best.room:
            best = draft
    assert best is not None  # there is a zone
    return best


def _draft(
    work: Work, command: Launch, image: Image, flavor: Flavor, zone: str, party: Party | None
) -> _Draft:
    prototype = _prototype(work, command, image, flavor, zone)
    nics = plan_nics(work, command, zone)
    plan = plan_volumes(work, prototype, image, flavor, command.mappings)
    prototype = msgspec.structs.replace(
        prototype,
        root_gib=plan.size_gib,
        group_id=party.group.id if party is not None else "",
        partition=command.partition,
    )
    most, why = command.maximum, ""
    if work.settings.refuse_when_full and work.caller.api is Api.EC2:
        most, why = room(work.tx, prototype, party, most)
    left = party.left_in(zone) if party is not None else None
    if left is not None and left < most:
        most, why = max(left, 0), f"a zone takes {SPREAD_LIMIT} instances of a spread placement group"
    return _Draft(prototype=prototype, nics=nics, plan=plan, room=most, why=why)


def _prototype(work: Work, command: Launch, image: Image, flavor: Flavor, zone: str) -> Instance:
    """The first instance, with everything but its own identity and address."""
    caller = work.caller
    keys = command.public_keys
    if command.key_name:
        pair = work.tx.key_pairs.named(caller.tenant_id, work.region, command.key_name)
        if pair is None:
            raise BackendError(
                Code.KEY_PAIR_NOT_FOUND,
                f"The key pair '{command.key_name}' does not exist",
                name=command.key_name,
            )
        keys = (pair.public_key, *keys)
    return Instance(
        id=new_id("i"),
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        owner=caller.user_id,
        launch_id=new_id("r"),
        launch_index=0,
        region=work.region,
        zone=zone,
        flavor=flavor.name,
        vcpus=_size(command.vcpus, flavor.vcpus, "vcpus", 128),
        memory_mib=_size(command.memory_mib, flavor.memory_mib, "memory_mib", 1 << 21),
        root_gib=0,
        ephemeral_gib=flavor.ephemeral_gib,
        architecture=image.architecture,
        image_id=image.id,
        vpc_id="",
        subnet_id="",
        address="",
        mac="",
        detail=_first_detail(command, image),
        created_at=work.now,
        state_since=work.now,
        api=caller.api,
        client_token=command.client_token,
        metadata=checked_options(command.metadata),
        key_name=command.key_name or "",
        public_keys=keys,
        hostname=command.hostname,
        summary=command.summary,
        locked_terminate=command.locked_terminate,
        locked_stop=command.locked_stop,
        hibernation=command.hibernation,
        monitoring=command.monitoring,
        on_guest_shutdown=command.on_guest_shutdown,
        keep_failed=caller.api is not Api.EC2 or work.settings.keep_failed_launches,
        user_data_size=len(command.user_data),
        cpu_share=checked_share(command.cpu_share),
    )


def _first_detail(command: Launch, image: Image) -> str:
    """An instance waits for an image that is still being written, and is then as asked for."""
    if image.state is ImageState.LOCKED:
        return "pend.image"
    return "hold" if command.held else "pend"


def checked_share(share: int) -> int:
    """A share of processor time, or 0 for none; refused where hosts could not weigh it."""
    if share and share not in SHARES:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A share of processor time is {SHARES[0]} to {SHARES[-1]}.",
            parameter="share",
            value=share,
        )
    return share


def _size(wanted: int | None, default: int, name: str, most: int) -> int:
    if wanted is None:
        return default
    if not 1 <= wanted <= most:
        raise BackendError(
            Code.PARAMETER_INVALID, f"{name} must be between 1 and {most}.", parameter=name, value=wanted
        )
    return wanted


def _image(work: Work, command: Launch) -> Image:
    if command.architectures:
        _require_host(work, command.architectures)
    if command.image_id is None:
        return _default_image(work, command.architectures)
    image = work.tx.images.get(command.image_id)
    if image is not None and image.state is ImageState.GONE and image.tenant_id == work.caller.tenant_id:
        raise BackendError(
            Code.IMAGE_UNAVAILABLE, f"The image {image.id} is no longer available", ids=(image.id,)
        )
    if image is None or not usable_image(work.caller, image):
        raise BackendError(
            Code.IMAGE_NOT_FOUND, f"No such image: {command.image_id}", ids=(command.image_id,)
        )
    if command.architectures and image.architecture not in command.architectures:
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            f"The image {image.id} is for {image.architecture}, not for {command.architectures[0]}.",
        )
    waits = image.state is ImageState.LOCKED and work.caller.api is not Api.EC2
    if not waits and (image.state is not ImageState.READY or not may_launch(work.caller, image)):
        raise BackendError(
            Code.IMAGE_UNAVAILABLE,
            f"The image {image.id} is not ready.",
            ids=(image.id,),
            state=image.state.value,
        )
    return image


def _require_host(work: Work, architectures: Sequence[str]) -> None:
    """Refuse an architecture that is asked for and that no host of the region has: it would wait for ever."""
    hosts = [host for host in work.tx.hosts.all() if host.region == work.region and host.architecture]
    if hosts and all(host.architecture not in architectures for host in hosts):
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"No host here has the architecture {architectures[0]}.",
            parameter="architecture",
            value=architectures[0],
        )


def _default_image(work: Work, architectures: Sequence[str]) -> Image:
    """OCCI lets a client name no template (OCCI-INFRA-071): the oldest public image that is ready."""
    usable = work.tx.images.visible(work.caller.tenant_id, work.caller.account_id)
    ready = [
        image
        for image in usable
        if image.state is ImageState.READY
        and may_launch(work.caller, image)
        and (not architectures or image.architecture in architectures)
    ]
    if not ready:
        raise BackendError(Code.PARAMETER_MISSING, "No image was named and none is there.", parameter="image")
    return min(ready, key=lambda image: (not image.public, image.created_at, image.id))


def _flavor(work: Work, command: Launch) -> Flavor:
    name = command.flavor or work.settings.default_flavor
    flavor = work.tx.flavors.get(name)
    if flavor is None:
        raise BackendError(Code.FLAVOR_NOT_FOUND, f"No such flavor: {name}", name=name)
    return flavor


def _zones(work: Work, command: Launch, party: Party | None) -> Sequence[str]:
    """The zones that a launch may go to, the best first: the one it names, or is bound to by its group."""
    named = zone_of_nics(work, command) or command.zone
    zones = work.settings.zones.get(work.region, ())
    if named is None and zones:
        if party is not None and party.zone is not None:
            return (party.zone,)
        return zones if len(zones) == 1 else _roomiest_first(work, work.region, zones)
    if named not in zones:
        raise BackendError(Code.ZONE_NOT_FOUND, f"Invalid availability zone: [{named}]", name=named)
    if party is not None:
        check_zone(party, named)
    return (named,)


def _roomiest_first(work: Work, region: str, zones: Sequence[str]) -> list[str]:
    """Zones for a launch that names none, as EC2 chooses one: first that of the host with most free memory.

    Only a choice: what is admitted there, the scheduler decides. Zones without a host that is on come last.
    """
    used = work.tx.reservations.used()
    free = dict.fromkeys(zones, -1)
    for host in work.tx.hosts.all():
        if host.region == region and host.zone in free and host.state is HostState.ON:
            taken = used.get(host.id, Capacity()).plus(host.foreign)
            free[host.zone] = max(free[host.zone], host.limit.memory_mib - taken.memory_mib, 0)
    ordered = sorted(zones, key=lambda zone: -free[zone])
    return _with_default_subnet(work, ordered) or ordered


def _with_default_subnet(work: Work, zones: Sequence[str]) -> list[str]:
    """The zones in which a launch that names no subnet has one."""
    vpc = work.tx.vpcs.default(work.caller.tenant_id, work.region)
    subnets = work.tx.subnets.of_vpc(vpc.id) if vpc is not None else []
    there = {subnet.zone for subnet in subnets if subnet.default}
    return [zone for zone in zones if zone in there]


_QUOTAS = (
    (QuotaName.INSTANCES, Code.QUOTA_INSTANCES),
    (QuotaName.CORES, Code.QUOTA_CORES),
    (QuotaName.MEMORY_MIB, Code.QUOTA_MEMORY),
    (QuotaName.VOLUMES, Code.QUOTA_VOLUMES),
    (QuotaName.GIGABYTES, Code.QUOTA_GIGABYTES),
)


def _within_quota(work: Work, tenant: Tenant, prototype: Instance, plan: Plan, command: Launch) -> int:
    """How many of the maximum the tenant's quotas leave room for; refused when below the minimum."""
    limits = [tenant.quotas.get(name.value, QUOTA_DEFAULTS[name.value]) for name, _ in _QUOTAS]
    unlimited = [limit == UNLIMITED for limit in limits]
    used = (  # counted only where somebody asks
        *((0, 0, 0) if all(unlimited[:3]) else work.tx.instances.usage(tenant.id)),
        *((0, 0) if all(unlimited[3:]) else work.tx.volumes.usage(tenant.id)),
    )
    each = (1, prototype.vcpus, prototype.memory_mib, len(plan.every), plan.size_gib)
    count = command.maximum
    for (name, code), limit, have, need in zip(_QUOTAS, limits, used, each, strict=True):
        if limit == UNLIMITED:
            continue
        count = min(count, (limit - have) // need)
        if count < command.minimum:
            raise BackendError(
                code,
                f"You have requested more {name.value} than your limit of {limit} allows.",
                limit=limit,
                quota=name.value,
                used=have,
            )
    return count


def _within_room(draft: _Draft, command: Launch, count: int) -> int:
    """How many of them hosts have room for; refused when below the minimum."""
    if draft.room < command.minimum:
        first = draft.prototype
        fewer = f", but for {draft.room}" if draft.room else ""
        why = f": {draft.why}" if draft.why else "."
        raise BackendError(
            Code.NO_CAPACITY,
            f"There is not sufficient {first.flavor} capacity for {command.minimum} instances in the "
            f"availability zone {first.zone} now{fewer}{why}",
            zone=first.zone,
        )
    return min(count, draft.room)


def _instances(
    work: Work, prototype: Instance, plans: Sequence[NicPlan], command: Launch, count: int
) -> list[tuple[Instance, list[NewNic]]]:
    """The rows of as many instances as the subnets have addresses for, each with the interfaces it gets."""
    made = []
    for index, nics in enumerate(draw(work, plans, count, least=command.minimum)):
        primary = nics[0].nic
        instance = msgspec.structs.replace(
            prototype,
            id=prototype.id if index == 0 else new_id("i"),
            launch_index=index,
            vpc_id=primary.vpc_id,
            subnet_id=primary.subnet_id,
            address=primary.address,
            mac=primary.mac,
        )
        made.append((instance, nics))
    return made


def _record(work: Work, command: Launch, instances: list[Instance], plan: Plan) -> list[Volume]:
    """Write instances and their volumes; answers the volumes."""
    tx, caller, first = work.tx, work.caller, instances[0]
    if command.client_token:
        tx.launch_tokens.insert(
            LaunchToken(
                tenant_id=caller.tenant_id,
                region=caller.region,
                token=command.client_token,
                digest=command.token_digest,
                launch_id=first.launch_id,
                created_at=work.now,
            )
        )
    tx.instances.insert_all(instances)
    volumes = [volume for instance in instances for volume in volumes_for(work, plan, instance)]
    tx.volumes.insert_all(volumes)
    if command.user_data:
        tx.blobs.put_user_data([instance.id for instance in instances], command.user_data)
    give_tags(work, [instance.id for instance in instances], "instance", command.tags)
    give_origin(work, [instance.id for instance in instances], "instance", command.origin_tags)
    give_tags(work, [volume.id for volume in volumes], "volume", command.volume_tags)
    for scheme, term in command.mixins:
        for instance in instances:
            tx.mixins.associate(caller.tenant_id, scheme, term, instance.id)
    work.note_all(instances, op="create")
    if not command.held:
        work.wake_scheduler()
    return volumes
