"""Links as clients describe them: what a machine is to be linked with, and how that is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.commands import AttachVolume, Command, NicRequest
from backend.engine import Do
from backend.model import Instance
from backend.network_commands import AllocateAddress, AssociateAddress, AttachNic, CreateNic, ModifyNic
from backend.network_model import Nic, PublicAddress
from occi import kinds, names
from occi.creation import Floating, Links, implied, settable
from occi.deeds import Deed
from occi.errors import OcciError
from occi.mixins import FLOATING_POOL, INTERFACE_ADDRESS, IPNETWORKINTERFACE
from occi.scope import Scope
from occi.values import checked_all
from rendering.occi_document import Category, Link, Request

#: What kind a link is that does not say, by the kind of its target: text leaves that open.
_LINKS_TO: Mapping[str, Category] = {
    kinds.STORAGE.id: kinds.STORAGELINK,
    kinds.NETWORK.id: kinds.NETWORKINTERFACE,
    kinds.IPRESERVATION.id: kinds.NETWORKINTERFACE,
    kinds.SECURITYGROUP.id: kinds.SECURITYGROUPLINK,
}
#: What other servers call the network outside (ooi); here, the first pool.
_OUTSIDE = "/network/public"
#: Says of an address that a link allocated it, and is to release it.
BY_LINK = (FLOATING_POOL.scheme, FLOATING_POOL.term)


# Reading what clients send ------------------------------------------------------------------------------


def links_of(scope: Scope, request: Request) -> Links:
    """What the links of a request lead to.

    What clients make up for the link itself and its source is ignored (OCCI-REAL-07).

    Raises:
        OcciError: 404 for what an attribute or a target there cannot be, 400 for another kind of link.
    """
    volumes: list[tuple[str, str]] = []
    interfaces: list[NicRequest] = []
    floating: list[Floating] = []
    groups: list[str] = []
    for link in request.links:
        kind = _kind_of(scope, link)
        associated = scope.mixins_for(kind, Request(categories=link.mixins))
        known = scope.catalog.attributes([kind, *associated, *implied(kind)])
        given = checked_all(settable(link.attributes, known), known, whose="A new link")
        if kind is kinds.STORAGELINK:
            volumes.append((names.id_of_kind(kinds.STORAGE, link.target), given.get(kinds.LINK_DEVICE, "")))
        elif kind is kinds.SECURITYGROUPLINK:
            groups.append(names.id_of_kind(kinds.SECURITYGROUP, link.target))
        else:
            plug = plugged(scope, link.target, associated, given)
            interfaces += [plug] if isinstance(plug, NicRequest) else []
            floating += [plug] if isinstance(plug, Floating) else []
    return Links(
        volumes=tuple(volumes), interfaces=tuple(interfaces), floating=tuple(floating), groups=tuple(groups)
    )


def _kind_of(scope: Scope, link: Link) -> Category:
    said = link.kind or next((_LINKS_TO[type_id] for type_id in link.rel if type_id in _LINKS_TO), None)
    if said is None:
        raise OcciError(400, f"The link to {link.target[:200]} needs a category.")
    kind = scope.known(said)
    if all(kind is not each for each in _LINKS_TO.values()):
        raise OcciError(400, f"The kind {kind.id} is none of a machine's links.")
    return kind


def plugged(
    scope: Scope, target: str, associated: Sequence[Category], given: Mapping[str, Any]
) -> NicRequest | Floating:
    """What a link to a network, to the network outside or to a reserved address asks for.

    Raises:
        OcciError: 404 for another target, 400 for two pools.
    """
    pools = [scope.catalog.pools[mixin.id] for mixin in associated if mixin.id in scope.catalog.pools]
    if len(pools) > 1:
        raise OcciError(400, "A link has at most one pool of floating addresses.")
    wanted_ip = given.get(INTERFACE_ADDRESS, "")
    outside = {names.pool_id(pool): pool for pool in scope.engine.settings.network.pools}
    if names.path_in(target).rstrip("/").lower() == _OUTSIDE and outside:
        return Floating(pool=pools[0] if pools else next(iter(outside.values())), ip=wanted_ip)
    target_id = names.id_in(target)
    if names.kind_of(target_id) is kinds.IPRESERVATION:
        return Floating(allocation_id=target_id)
    if names.kind_of(target_id) is not kinds.NETWORK or (
        target_id.startswith("pool-") and target_id not in outside
    ):
        raise OcciError(404, f"There is no network at {target[:200]}.")
    if target_id in outside:
        return Floating(pool=pools[0] if pools else outside[target_id], ip=wanted_ip)
    if pools:
        return Floating(pool=pools[0], ip=wanted_ip, subnet_id=target_id)
    static = ((IPNETWORKINTERFACE.scheme, IPNETWORKINTERFACE.term),) if wanted_ip else ()
    tags = tuple((mixin.scheme, mixin.term) for mixin in associated if mixin.id in scope.catalog.tags)
    return NicRequest(
        subnet_id=target_id, address=wanted_ip, mac=given.get(kinds.MAC, ""), mixins=(*static, *tags)
    )


# Doing it -----------------------------------------------------------------------------------------------


def attach(do: Do, instance_id: str, wanted: NicRequest, nics: Sequence[Nic]) -> str:
    """Give a machine one more interface, which ends with it; answers its id.

    It is in the security groups of the first of those that it has, as groups go with machines here.
    """
    groups = nics[0].groups if nics else ()
    nic: Nic = do(CreateNic(nic=msgspec.structs.replace(wanted, groups=groups)))
    do(AttachNic(nic_id=nic.id, instance_id=instance_id))
    do(ModifyNic(nic_id=nic.id, delete_on_termination=True))
    return nic.id


def associate(do: Do, wanted: Floating, command: AssociateAddress) -> str:
    """Let a reserved address, or a new one of a pool, lead to a machine; answers the id of the link.

    ``command`` says whereto; the address is filled in.
    """
    allocation_id = wanted.allocation_id
    if not allocation_id:
        made: PublicAddress = do(AllocateAddress(pool=wanted.pool, ip=wanted.ip, mixins=(BY_LINK,)))
        allocation_id = made.id
    command = msgspec.structs.replace(command, allocation_id=allocation_id, move=False)
    linked: PublicAddress = do(command)
    return linked.association_id


def whereto(wanted: Floating, nics: Sequence[Nic]) -> AssociateAddress:
    """Where a public address is to lead: a machine's interface in the network named, or its primary one."""
    nic = next((each for each in nics if each.subnet_id == wanted.subnet_id), nics[0] if nics else None)
    if nic is None:
        raise OcciError(409, "The machine has no interface that an address could lead to.")
    return AssociateAddress(allocation_id="", nic_id=nic.id)


def at_launch(instance: Instance) -> AssociateAddress:
    """Where a public address leads to in a machine that was just made: its primary interface."""
    return AssociateAddress(allocation_id="", instance_id=instance.id, private_ip=instance.address)


def additions(scope: Scope, instance_id: str, wanted: Links, has: Sequence[Link]) -> list[Deed]:
    """What links a machine with all that it is not linked with yet (OCCI-HTTP-035)."""
    there = {link.target for link in has}

    def is_new(entity_id: str) -> bool:
        return names.path_of(entity_id) not in there

    nics = scope.engine.networks.nics_of([instance_id]).get(instance_id, [])
    deeds: list[Deed] = [
        AttachVolume(volume_id=volume_id, instance_id=instance_id, device=device)
        for volume_id, device in wanted.volumes
        if is_new(volume_id)
    ]
    deeds += [_attaching(instance_id, each, nics) for each in wanted.interfaces if is_new(each.subnet_id)]
    deeds += [
        _associating(each, whereto(each, nics))
        for each in wanted.floating
        if is_new(each.allocation_id or names.pool_id(each.pool))
    ]
    groups = [group_id for group_id in wanted.groups if is_new(group_id)]
    return [*deeds, *(joined(nics, groups) if groups else [])]


def _attaching(instance_id: str, wanted: NicRequest, nics: Sequence[Nic]) -> Deed:
    return lambda do: attach(do, instance_id, wanted, nics)


def _associating(wanted: Floating, command: AssociateAddress) -> Deed:
    return lambda do: associate(do, wanted, command)


def joined(nics: Sequence[Nic], group_ids: Sequence[str]) -> list[Command[Any]]:
    """What makes interfaces members of groups besides those that they are in."""
    return [
        ModifyNic(nic_id=nic.id, join=tuple(group_ids))
        for nic in nics
        if not set(group_ids) <= set(nic.groups)
    ]
