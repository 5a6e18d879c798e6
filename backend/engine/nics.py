"""Network interfaces: made with an instance or alone, attached and detached, with addresses that are theirs.

An address and a MAC are claimed by unique index in the transaction that accepts the command, and stay until
the interface goes (lifecycle §11, invariants 11 to 13).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from backend import network_commands as commands
from backend.commands import Launch, MadeNic, NicRequest
from backend.engine.access import own_instances
from backend.engine.addresses import lend, lend_new, unlink
from backend.engine.claims import claim_infra, free_in, usable
from backend.engine.link_ends import memberships_ended
from backend.engine.network_access import default_subnet, own, own_group, own_nic
from backend.engine.network_reads import may_see
from backend.engine.nic_ends import forget_nic, nic_changed, set_nic_free
from backend.engine.registry import lock_tenant, require_quota
from backend.engine.tagging import check_tags, give_tags
from backend.engine.tasks import begin_task
from backend.engine.work import Work, require_off, wrong_state
from backend.errors import BackendError, Code
from backend.lifecycle import ec2_state
from backend.model import (
    AttachState,
    Desired,
    Instance,
    QuotaName,
    TaskKind,
    Tenant,
    Value,
    new_id,
)
from backend.network_model import DEFAULT_GROUP, Lease, Nic, SecurityGroup, Subnet, Vpc

MOST_NICS = 8
"""Interfaces of an instance: as many as its domain has places to plug them in while it runs."""
MOST_GROUPS = 16
MOST_ADDRESSES = 50
_DERIVED = "52:54:"
"""How a MAC begins that is derived from an address: locally administered, QEMU's own without its zero."""
_ATTACHABLE = frozenset({"running", "stopped"})


# Planning -----------------------------------------------------------------------------------------------


class NicPlan(Value, frozen=True, kw_only=True):
    """One interface of a launch, with its subnet and groups found; ``existing`` is one there is already."""

    request: NicRequest
    subnet: Subnet
    groups: tuple[SecurityGroup, ...]
    lends: bool
    existing: Nic | None = None

    @property
    def count(self) -> int:
        """How many addresses it takes that the caller did not choose."""
        chosen = len(self.request.secondary) + bool(self.request.address)
        return 0 if self.existing is not None else 1 + self._more - chosen

    @property
    def _more(self) -> int:
        return max(self.request.secondary_count, len(self.request.secondary))


def zone_of_nics(work: Work, command: Launch) -> str | None:
    """The zone that a launch's interfaces lie in, or None when it names no place for them.

    Raises:
        BackendError: they lie in several, or not in the one that the launch names.
    """
    requests = requests_of(command)
    zones = {_place(work, each).zone for each in requests if each.nic_id or each.subnet_id}
    if len(zones) > 1:
        raise BackendError(
            Code.NETWORK_MISMATCH, "The network interfaces of an instance must be in one availability zone."
        )
    zone = zones.pop() if zones else None
    if zone is not None and command.zone is not None and command.zone != zone:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"The subnet is in the availability zone '{zone}'.",
            parameter="availabilityZone",
            value=command.zone,
        )
    return zone


def _place(work: Work, request: NicRequest) -> Nic | Subnet:
    return own(work, Nic, request.nic_id) if request.nic_id else own(work, Subnet, request.subnet_id)


def requests_of(command: Launch) -> tuple[NicRequest, ...]:
    """The interfaces that a launch asks for, the primary one first."""
    single = command.subnet_id or command.address or command.groups or command.public_ip is not None
    if command.nics and single:
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            "Network interfaces and an instance-level subnet ID may not be specified on the same request",
        )
    if not command.nics:
        return (
            NicRequest(
                subnet_id=command.subnet_id,
                address=command.address,
                groups=command.groups,
                public_ip=command.public_ip,
            ),
        )
    found = tuple(sorted(command.nics, key=lambda each: each.index))
    indices = [each.index for each in found]
    if len(found) > MOST_NICS:
        raise _too_many()
    if indices[0] != 0 or len(set(indices)) != len(indices) or indices[-1] >= MOST_NICS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Device indices are 0, for the primary interface, to {MOST_NICS - 1}, each once.",
            parameter="deviceIndex",
        )
    return found


def _too_many() -> BackendError:
    return BackendError(Code.NICS_EXHAUSTED, f"An instance can have at most {MOST_NICS} network interfaces.")


def plan_nics(work: Work, command: Launch, zone: str) -> list[NicPlan]:
    """The interfaces of each instance of a launch, the primary one first; nothing is claimed yet."""
    plans = [_plan(work, each, zone) for each in requests_of(command)]
    if len({plan.subnet.vpc_id for plan in plans}) != 1:
        raise BackendError(Code.NETWORK_MISMATCH, "The network interfaces of an instance must be in one VPC.")
    _require_once(plans)
    one_only = any(plan.existing is not None or plan.request.mac or _named(plan.request) for plan in plans)
    if command.maximum > 1 and one_only:
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            "A certain interface or address can be given to one instance only.",
        )
    if len(plans) > 1 and any(plan.request.public_ip for plan in plans):
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces.",
        )
    return plans


def _named(request: NicRequest) -> list[str]:
    """The addresses that a request chooses itself."""
    return [*filter(None, [request.address]), *request.secondary]


def _require_once(plans: Sequence[NicPlan]) -> None:
    """Refuse what a launch gives to two of its interfaces."""
    kept = [plan.existing for plan in plans if plan.existing is not None]
    for nic in kept:
        if kept.count(nic) > 1:
            raise nic_in_use(nic)
    fresh = [plan for plan in plans if plan.existing is None]
    wanted = [(plan.subnet.id, each) for plan in fresh for each in _named(plan.request)]
    wanted += [(plan.subnet.id, normal_mac(plan.request.mac)) for plan in fresh if plan.request.mac]
    for place, name in wanted:
        if wanted.count((place, name)) > 1:
            raise _taken(name)


def _taken(name: str) -> BackendError:
    return BackendError(Code.ADDRESS_IN_USE, f"The address {name} is in use.", value=name)


def _plan(work: Work, request: NicRequest, zone: str) -> NicPlan:
    if request.nic_id:
        return _existing(work, request)
    subnet = own(work, Subnet, request.subnet_id) if request.subnet_id else default_subnet(work, zone)
    lends = subnet.map_public_ip if request.public_ip is None else request.public_ip
    return NicPlan(
        request=request,
        subnet=subnet,
        groups=_check(work, subnet, request),
        lends=lends and request.index == 0,
    )


def _existing(work: Work, request: NicRequest) -> NicPlan:
    nic = own_nic(work, request.nic_id, lock=True)
    if nic.instance_id is not None:
        raise nic_in_use(nic)
    subnet = work.tx.subnets.get(nic.subnet_id)
    if subnet is None:
        raise AssertionError(nic.subnet_id)
    return NicPlan(request=request, subnet=subnet, groups=(), lends=nic.lends, existing=nic)


def _check(work: Work, subnet: Subnet, request: NicRequest) -> tuple[SecurityGroup, ...]:
    """The groups that a new interface is in; refuses what it cannot be."""
    _require_up(subnet)
    wanted = _named(request)
    more = request.secondary_count
    if len(set(wanted)) != len(wanted) or more < 0 or more + len(wanted) > MOST_ADDRESSES:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Addresses are named once each, and are at most {MOST_ADDRESSES}.",
            parameter="privateIpAddresses",
        )
    _require_free(work, subnet, wanted)
    if request.mac:
        _require_free_mac(work, subnet, request)
    groups = _groups(work, subnet.vpc_id, request.groups)
    if request.public_ip and not work.settings.network.pools:
        raise BackendError(Code.PUBLIC_ADDRESSES_EXHAUSTED, "This installation has no public addresses.")
    return groups


def _require_up(subnet: Subnet) -> None:
    if not subnet.up:
        raise BackendError(
            Code.NETWORK_DOWN, f"The network {subnet.id} is down: it gives no addresses.", ids=(subnet.id,)
        )


def _require_free_mac(work: Work, subnet: Subnet, request: NicRequest) -> None:
    """Refuse a MAC that the subnet has, or will have when another of its addresses is given."""
    mac = normal_mac(request.mac)
    if any(nic.subnet_id == subnet.id for nic in work.tx.nics.of("mac", [mac])):
        raise _taken(mac)
    if mac.startswith(_DERIVED):
        owner = str(ipaddress.IPv4Address(bytes.fromhex(mac.removeprefix(_DERIVED).replace(":", ""))))
        if owner != request.address and ipaddress.IPv4Address(owner) in subnet.network:
            raise BackendError(
                Code.PARAMETER_INVALID, f"It is the MAC of the address {owner}.", parameter="mac", value=mac
            )


def _groups(work: Work, vpc_id: str, names: Sequence[str]) -> tuple[SecurityGroup, ...]:
    """Groups by id or name, each once; none means the VPC's default one."""
    if len(names) > MOST_GROUPS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"An interface can be in at most {MOST_GROUPS} security groups.",
            parameter="securityGroups",
        )
    if names:
        found = [own_group(work, name, vpc_id) for name in names]
        return tuple({group.id: group for group in found}.values())
    default: SecurityGroup | None = work.tx.security_groups.named(vpc_id, DEFAULT_GROUP)
    return (default,) if default is not None else ()


def groups_of(work: Work, vpc_id: str, names: Sequence[str]) -> tuple[str, ...]:
    """The ids of groups by id or name; none means the VPC's default one."""
    return tuple(group.id for group in _groups(work, vpc_id, names))


def _require_free(work: Work, subnet: Subnet, addresses: Collection[str]) -> None:
    """Refuse addresses that are not the subnet's to give, or that somebody has."""
    room = usable(subnet)
    for address in addresses:
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            raise BackendError(
                Code.PARAMETER_INVALID, "Invalid IPv4 address.", parameter="address", value=address[:80]
            ) from None
        if ipaddress.IPv4Address(address) not in subnet.network:
            raise BackendError(
                Code.PARAMETER_INVALID,
                "Address does not fall within the subnet's address range",
                parameter="address",
                value=address,
            )
        if number not in room:
            raise BackendError(
                Code.PARAMETER_INVALID,
                "Address is in subnet's reserved address range",
                parameter="address",
                value=address,
            )
    if addresses and (taken := work.tx.leases.taken(subnet.id, addresses)):
        raise _taken(min(taken))


# Making -------------------------------------------------------------------------------------------------


class NewNic(Value, frozen=True, kw_only=True):
    """An interface to be recorded, with all its addresses (the primary one first), and its place."""

    nic: Nic
    addresses: tuple[str, ...]
    index: int = 0
    mixins: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


def draw(
    work: Work, plans: Sequence[NicPlan], owners: int, *, least: int | None = None
) -> list[list[NewNic]]:
    """New interfaces for so many owners, by the plans; addresses are chosen, nothing is recorded.

    For fewer where the subnets have no more free addresses, but for ``least`` (all of them, unless it is
    given). An existing interface stands among them as it is.
    """
    least = owners if least is None else least
    stock: dict[str, list[str]] = {}
    for subnet in {plan.subnet.id: plan.subnet for plan in plans}.values():
        mine = [plan for plan in plans if plan.subnet.id == subnet.id and plan.existing is None]
        named = [address for plan in mine for address in _named(plan.request)]
        each = sum(plan.count for plan in mine)
        stock[subnet.id] = free_in(work, subnet, owners * each, named)
        if len(stock[subnet.id]) < least * each:
            raise BackendError(
                Code.ADDRESSES_EXHAUSTED,
                f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the request.",
                ids=(subnet.id,),
            )
        owners = min(owners, len(stock[subnet.id]) // each) if each else owners
    return [[_draw_one(work, plan, stock[plan.subnet.id]) for plan in plans] for _ in range(owners)]


def _draw_one(work: Work, plan: NicPlan, stock: list[str]) -> NewNic:
    if plan.existing is not None:
        return NewNic(nic=plan.existing, addresses=(), index=plan.request.index)
    request, subnet = plan.request, plan.subnet
    primary = request.address or stock.pop()
    more = [*request.secondary]
    more += [stock.pop() for _ in range(request.secondary_count - len(more))]
    nic = Nic(
        id=new_id("eni"),
        tenant_id=subnet.tenant_id,
        account_id=subnet.account_id,
        region=subnet.region,
        zone=subnet.zone,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        mac=normal_mac(request.mac) if request.mac else mac_of(primary),
        address=primary,
        groups=tuple(group.id for group in plan.groups),
        description=request.description,
        lends=plan.lends,
        delete_on_termination=request.delete_on_termination,
        api=work.caller.api,
        created_at=work.now,
    )
    return NewNic(
        nic=nic,
        addresses=(primary, *more),
        mixins=request.mixins,
        tags=request.tags,
        index=request.index,
    )


def mac_of(address: str) -> str:
    """The MAC of an interface: derived from its address, so unique within its subnet."""
    octets = ipaddress.IPv4Address(address).packed
    return _DERIVED + ":".join(f"{octet:02x}" for octet in octets)


def normal_mac(text: str) -> str:
    """A MAC of one machine, in small letters with colons; refuses what is none."""
    digits = text.replace(":", "").replace("-", "").lower()
    if len(digits) != 12 or not set(digits) <= set("0123456789abcdef") or int(digits[1], 16) % 2:
        raise BackendError(
            Code.PARAMETER_INVALID, "It is no MAC address of one interface.", parameter="mac", value=text[:40]
        )
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2))


def attached(instance: Instance, index: int, now: float) -> dict[str, Any]:
    """What says in an interface's row that it is an instance's, from the beginning."""
    return {
        "instance_id": instance.id,
        "index": index,
        "attach": AttachState.ATTACHING,
        "attachment_id": new_id("eni-attach"),
        "asked_at": now,
        "message": "",
    }


def record(work: Work, new: Sequence[NewNic]) -> list[Nic]:
    """Write new interfaces with their addresses; an infra address is claimed for each where needed."""
    nics = [each.nic for each in new]
    claim_infra(work, [nic.id for nic in nics])
    work.tx.nics.insert_all(nics)
    work.tx.leases.insert_all(
        Lease(subnet_id=each.nic.subnet_id, address=address, nic_id=each.nic.id, primary=number == 0)
        for each in new
        for number, address in enumerate(each.addresses)
    )
    for each in new:
        for scheme, term in each.mixins:
            work.tx.mixins.associate(each.nic.tenant_id, scheme, term, each.nic.id)
        if each.tags:
            give_tags(work, [each.nic.id], "network-interface", each.tags, tenant_id=each.nic.tenant_id)
    work.network_changed(*(nic.id for nic in nics), urgent=False)
    return nics


def record_of_launch(
    work: Work, drawn: Sequence[tuple[Instance, Sequence[NewNic]]], tags: Sequence[tuple[str, str]]
) -> list[MadeNic]:
    """Write the interfaces of new instances, attach those there were, and lend public addresses.

    Answers the new ones with their addresses.
    """
    fresh, kept = [], []
    for instance, news in drawn:
        for new in news:
            link = attached(instance, new.index, work.now)
            if new.addresses:
                nic = msgspec.structs.replace(new.nic, **link)
                fresh.append(msgspec.structs.replace(new, nic=nic))
            else:
                kept.append(work.tx.nics.update(new.nic, **link))
    nics = record(work, fresh)
    give_tags(work, [nic.id for nic in nics], "network-interface", tags)
    lent = {address.nic_id: address for address in lend_new(work, nics)}
    lend(work, kept)
    for nic in kept:
        nic_changed(work, nic)
    return [
        MadeNic(
            nic=new.nic,
            addresses=new.addresses,
            public=(lent[new.nic.id],) if new.nic.id in lent else (),
        )
        for new in fresh
    ]


# Alone --------------------------------------------------------------------------------------------------


def create_nic(work: Work, command: commands.CreateNic) -> Nic:
    """An interface that is attached to nothing (CreateNetworkInterface)."""
    check_tags(command.tags)
    tenant = lock_tenant(work, work.caller.tenant_id)
    request = command.nic
    if command.client_token:
        for known in work.tx.nics.of("client_token", [command.client_token]):
            if known.tenant_id == tenant.id and known.region == work.region:
                return _replayed(command, known)
    check_nic_quota(work, tenant, 1)
    subnet = own(work, Subnet, request.subnet_id)
    plan = NicPlan(
        request=request, subnet=subnet, groups=_check(work, subnet, request), lends=bool(request.public_ip)
    )
    [[new]] = draw(work, [plan], 1)
    nic = msgspec.structs.replace(
        new.nic,
        client_token=command.client_token,
        summary=command.summary,
        delete_on_termination=False,
    )
    [made] = record(work, [msgspec.structs.replace(new, nic=nic)])
    give_tags(work, [made.id], "network-interface", command.tags)
    return made


def _replayed(command: commands.CreateNic, known: Nic) -> Nic:
    """The interface again that a client token made; what never changes of it tells another request."""
    request = command.nic
    if request.subnet_id != known.subnet_id or request.address not in {"", known.address}:
        raise BackendError(
            Code.TOKEN_MISMATCH,
            "The client token was used with other parameters.",
            token=command.client_token,
        )
    return known


def check_nic_quota(work: Work, tenant: Tenant, more: int) -> None:
    """Refuse interfaces beyond the limit of a tenant, whose row is locked."""
    require_quota(tenant, QuotaName.NICS, lambda: work.tx.nics.count(tenant.id), Code.QUOTA_NICS, more=more)


def delete_nic(work: Work, command: commands.DeleteNic) -> Nic:
    """Delete an interface that is attached to nothing (DeleteNetworkInterface)."""
    nic = own_nic(work, command.nic_id, lock=True)
    if nic.instance_id is not None:
        raise nic_in_use(nic)
    forget_nic(work, nic)
    return nic


def nic_in_use(nic: Nic) -> BackendError:
    """The refusal of what needs an interface that is attached to nothing."""
    return BackendError(
        Code.NIC_IN_USE,
        f"Network interface '{nic.id}' is currently in use.",
        ids=(nic.id,),
        instance=nic.instance_id,
    )


def modify_nic(work: Work, command: commands.ModifyNic) -> Nic:
    """Change what an interface is; in force at once (ModifyNetworkInterfaceAttribute)."""
    nic = own_nic(work, command.nic_id, lock=True)
    names = ("description", "source_dest_check", "delete_on_termination", "up", "summary")
    changes: dict[str, Any] = {
        name: getattr(command, name) for name in names if getattr(command, name) is not None
    }
    if command.groups is not None:
        if not command.groups:
            raise BackendError(
                Code.PARAMETER_MISSING, "An interface is in at least one security group.", parameter="groupId"
            )
        changes["groups"] = groups_of(work, nic.vpc_id, command.groups)
    if command.join or command.leave:
        changes["groups"] = _regrouped(work, nic, command)
    if command.delete_on_termination is not None and nic.instance_id is None:
        raise _not_attached(nic.attachment_id or nic.id)
    changes |= _readdressed(work, nic, command)
    if not changes:
        return nic
    changed = work.tx.nics.update(nic, **changes)
    memberships_ended(work, nic.instance_id, set(nic.groups) - set(changed.groups))
    work.network_changed(nic.id)
    if nic.instance_id is not None:
        work.tx.instances.touch([nic.instance_id])
    return changed


def _readdressed(work: Work, nic: Nic, command: commands.ModifyNic) -> dict[str, Any]:
    """The fields of an interface with another MAC or another primary address, which are claimed for it.

    A MAC that was derived from the address goes with it, as that address may be somebody else's tomorrow.
    What led to the old address leads to the new one.
    """
    address = nic.address if command.address is None else command.address
    mac = nic.mac if command.mac is None else normal_mac(command.mac)
    if (mac, address) == (nic.mac, nic.address):
        return {}
    instance = None
    if nic.instance_id is not None:
        [instance] = own_instances(work, [nic.instance_id], lock=True)
        require_off(instance, f"The interface {nic.id} is to have another address")
    subnet = own(work, Subnet, nic.subnet_id)
    if address != nic.address:
        _require_up(subnet)
        _require_free(work, subnet, [address])
        _move_lease(work, nic, address)
        if mac == nic.mac == mac_of(nic.address):
            mac = mac_of(address)
    if mac != nic.mac:
        _require_free_mac(work, subnet, NicRequest(mac=mac, address=address))
    if instance is not None and nic.index == 0:
        work.tx.instances.update(instance, address=address, mac=mac)
    nic_changed(work, nic)
    return {"mac": mac, "address": address}


def _move_lease(work: Work, nic: Nic, address: str) -> None:
    """Give an interface another primary address, which is free; what led to the old one follows."""
    work.tx.leases.free(nic.id, [nic.address])
    work.tx.leases.insert(Lease(subnet_id=nic.subnet_id, address=address, nic_id=nic.id, primary=True))
    for public in work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ()):
        if public.private_ip == nic.address:
            work.tx.public_addresses.update(public, private_ip=address)


def _regrouped(work: Work, nic: Nic, command: commands.ModifyNic) -> tuple[str, ...]:
    """The groups of an interface once it has joined some and left others."""
    left = [group_id for group_id in nic.groups if group_id not in command.leave]
    wanted = tuple(dict.fromkeys((*left, *command.join)))
    if not wanted:
        raise BackendError(
            Code.NIC_WRONG_STATE,
            f"The network interface {nic.id} is in no other security group; it must be in one.",
            ids=(nic.id,),
        )
    return groups_of(work, nic.vpc_id, wanted)


# Addresses ----------------------------------------------------------------------------------------------


def assign_addresses(work: Work, command: commands.AssignAddresses) -> Nic:
    """Give an interface further private addresses (AssignPrivateIpAddresses)."""
    nic = own_nic(work, command.nic_id, lock=True)
    subnet = own(work, Subnet, nic.subnet_id)
    if bool(command.addresses) == bool(command.count):
        raise BackendError(
            Code.PARAMETER_COMBINATION, "Either addresses or their number must be given, not both."
        )
    have = work.tx.leases.of_nic(nic.id)
    wanted = [address for address in dict.fromkeys(command.addresses) if address not in have]
    if wanted or command.count:
        _require_up(subnet)
    if command.count < 0 or len(have) + len(wanted) + command.count > MOST_ADDRESSES:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"An interface can have at most {MOST_ADDRESSES} addresses.",
            parameter="privateIpAddresses",
        )
    if command.reassign:
        _take_from_others(work, nic, wanted)
    _require_free(work, subnet, wanted)
    if command.count:
        wanted = free_in(work, subnet, command.count)
        if len(wanted) < command.count:
            raise BackendError(
                Code.ADDRESSES_EXHAUSTED,
                f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the request.",
                ids=(subnet.id,),
            )
    work.tx.leases.insert_all(
        Lease(subnet_id=subnet.id, address=address, nic_id=nic.id, primary=False) for address in wanted
    )
    return _changed(work, nic)


def _take_from_others(work: Work, nic: Nic, addresses: Sequence[str]) -> None:
    """Take secondary addresses from other interfaces of the same owner in the subnet."""
    for address in addresses:
        lease = work.tx.leases.get(nic.subnet_id, address)
        if lease is None or lease.primary:
            continue
        other = own_nic(work, lease.nic_id, lock=True)
        _unassign(work, other, [address])
        _changed(work, other)


def unassign_addresses(work: Work, command: commands.UnassignAddresses) -> Nic:
    """Take further private addresses away (UnassignPrivateIpAddresses)."""
    nic = own_nic(work, command.nic_id, lock=True)
    have = work.tx.leases.of_nic(nic.id)
    for address in command.addresses:
        if address not in have[1:]:
            raise BackendError(
                Code.PARAMETER_INVALID,
                "Some of the specified addresses are not assigned to the interface, or are its primary one.",
                parameter="privateIpAddresses",
                value=address[:80],
            )
    _unassign(work, nic, command.addresses)
    return _changed(work, nic)


def _unassign(work: Work, nic: Nic, addresses: Sequence[str]) -> None:
    for public in work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ()):
        if public.private_ip in addresses:
            unlink(work, public)
    work.tx.leases.free(nic.id, addresses)


def _changed(work: Work, nic: Nic) -> Nic:
    changed = work.tx.nics.update(nic)
    work.network_changed(nic.id)
    if nic.instance_id is not None:
        work.tx.instances.touch([nic.instance_id])
    return changed


# Attaching, detaching -----------------------------------------------------------------------------------


def attach_nic(work: Work, command: commands.AttachNic) -> Nic:
    """Attach an interface; the instance's hot-plug job plugs it in (AttachNetworkInterface)."""
    nic = own_nic(work, command.nic_id, lock=True)
    if nic.instance_id is not None:
        raise nic_in_use(nic)
    [instance] = own_instances(work, [command.instance_id], ended=True, lock=True)
    _require_pluggable(work, instance, "attach a network interface to")
    if nic.zone != instance.zone or nic.vpc_id != instance.vpc_id:
        raise BackendError(
            Code.NETWORK_MISMATCH,
            f"You may not attach a network interface to an instance in another VPC or availability zone: "
            f"{nic.id} is in {nic.zone}.",
            ids=(nic.id,),
        )
    index = _free_index(work, instance, command.index)
    changed = work.tx.nics.update(nic, **attached(instance, index, work.now), delete_on_termination=False)
    if changed.lends and ec2_state(instance.detail, gone=False) == "running":
        lend(work, [changed])
    work.tx.instances.touch([instance.id])
    nic_changed(work, nic)
    begin_task(
        work, TaskKind.NIC_ATTACH, nic.id, tenant_id=nic.tenant_id, lock=nic.id, instance_id=instance.id
    )
    return changed


def _free_index(work: Work, instance: Instance, wanted: int | None) -> int:
    used = {nic.index for nic in work.tx.nics.of_instance(instance.id)}
    free = [index for index in range(1, MOST_NICS) if index not in used]
    if len(used) >= MOST_NICS or not free:
        raise _too_many()
    if wanted is None:
        return free[0]
    if wanted in used:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Instance '{instance.id}' already has an interface attached at device index '{wanted}'.",
            ids=(instance.id,),
        )
    if wanted not in free:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Device indices are 1 to {MOST_NICS - 1}.",
            parameter="deviceIndex",
            value=wanted,
        )
    return wanted


def _require_pluggable(work: Work, instance: Instance, what: str) -> None:
    gone = instance.desired is Desired.GONE
    shown = ec2_state(instance.detail, gone=gone)
    if gone or shown not in _ATTACHABLE or instance.detail == "unkn" or instance.detail.startswith("susp"):
        raise wrong_state(instance, what)
    if shown == "running" and not work.settings.network.capabilities.hotplug:
        raise BackendError(
            Code.UNSUPPORTED,
            "Network interfaces cannot be plugged while the instance runs here; stop it first.",
            ids=(instance.id,),
        )


def detach_nic(work: Work, command: commands.DetachNic) -> Nic:
    """Detach an interface; the guest is asked to let go (DetachNetworkInterface)."""
    nic = _attachment(work, command)
    if nic.index == 0:
        raise BackendError(
            Code.NIC_IS_PRIMARY,
            "The network interface at device index 0 and networkCard index 0 cannot be detached.",
            ids=(nic.id,),
        )
    [instance] = own_instances(work, [str(nic.instance_id)], ended=True, lock=True)
    if nic.attach is AttachState.DETACHING:
        return nic
    if nic.attach is AttachState.ATTACHING:
        raise BackendError(Code.NIC_WRONG_STATE, f"Network interface '{nic.id}' is attaching.", ids=(nic.id,))
    _require_pluggable(work, instance, "detach a network interface from")
    changed = work.tx.nics.update(nic, attach=AttachState.DETACHING)
    work.tx.instances.touch([instance.id])
    arguments = {"then_delete": "true"} if command.then_delete else {}
    begin_task(
        work,
        TaskKind.NIC_DETACH,
        nic.id,
        tenant_id=nic.tenant_id,
        lock=nic.id,
        instance_id=instance.id,
        arguments=arguments,
    )
    return changed


def _attachment(work: Work, command: commands.DetachNic) -> Nic:
    named = command.attachment_id or command.nic_id
    found = (
        work.tx.nics.by_attachment(command.attachment_id)
        if command.attachment_id
        else work.tx.nics.get(command.nic_id)
    )
    if found is None or not may_see(work.caller, found):
        if command.attachment_id:
            raise _not_attached(named)
        return own_nic(work, command.nic_id)
    nic = own_nic(work, found.id, lock=True)
    if nic.instance_id is None or (command.attachment_id and nic.attachment_id != command.attachment_id):
        raise _not_attached(named)
    return nic


def _not_attached(named: str) -> BackendError:
    return BackendError(
        Code.ATTACHMENT_NOT_FOUND,
        f"The networkInterface attachment '{named[:80]}' does not exist",
        ids=(named,),
    )


# What the end of the work leaves ------------------------------------------------------------------------


def plugged(work: Work, nic_id: str, instance_id: str) -> None:
    """An interface is in its instance's domain."""
    nic = work.tx.nics.get(nic_id)
    if nic is not None and nic.instance_id == instance_id and nic.attach is AttachState.ATTACHING:
        work.tx.nics.update(nic, attach=AttachState.ATTACHED, attached_at=work.now, message="")
        work.tx.instances.touch([instance_id])


def unplugged(work: Work, nic_id: str, instance_id: str, *, delete: bool) -> None:
    """An interface is out of its instance's domain."""
    nic = work.tx.nics.get(nic_id)
    if nic is None or nic.instance_id != instance_id:
        return
    work.tx.instances.touch([instance_id])
    free = set_nic_free(work, nic)
    if delete:
        forget_nic(work, free)


def nic_of_vpc(work: Work, subnet: Subnet, vpc: Vpc, requester: str, address: str = "") -> Nic:
    """An interface that something of ours keeps for itself in a subnet, such as a NAT gateway."""
    request = NicRequest(address=address, description=f"Interface for {requester}")
    _require_free(work, subnet, [address] if address else [])
    plan = NicPlan(request=request, subnet=subnet, groups=(), lends=False)
    [[new]] = draw(work, [plan], 1)
    nic = msgspec.structs.replace(new.nic, requester=requester, delete_on_termination=False)
    [made] = record(work, [NewNic(nic=nic, addresses=new.addresses)])
    work.network_changed(vpc.id)
    return made


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateNic: create_nic,
    commands.DeleteNic: delete_nic,
    commands.ModifyNic: modify_nic,
    commands.AssignAddresses: assign_addresses,
    commands.UnassignAddresses: unassign_addresses,
    commands.AttachNic: attach_nic,
    commands.DetachNic: detach_nic,
}
