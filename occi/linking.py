"""Links as clients describe them: what a machine is to be linked with, and how that is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.commands import AttachVolume, Command, NicRequest
from backend.engine import Do
from backend.model import Instance
from backend.network_commands import AllocateAddress, AssociateAddress, AttachNic, CreateNic, ModifyNic
from backend.network_model import Nic, PublicAddress, Subnet
from occi import kinds, names, noting
from occi.creation import Floating, Links, implied, name_tag, settable
from occi.deeds import Deed
from occi.errors import OcciError
from occi.mixins import (
    FLOATING_POOL,
    INTERFACE_ADDRESS,
    INTERFACE_ALLOCATION,
    INTERFACE_GATEWAY,
    IPNETWORKINTERFACE,
)
from occi.scope import Scope
from occi.values import checked_all, checked_title
from rendering.occi_document import TARGET_KIND, TITLE, Category, Link, Request

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
    notes: dict[str, noting.Notes] = {}
    for link in request.links:
        kind = _kind_of(scope, link)
        associated = scope.mixins_for(kind, Request(categories=link.mixins))
        known = scope.catalog.attributes([kind, *associated, *implied(kind)])
        given = checked_all(settable(link.attributes, known), known, whose="A new link")
        if kind is kinds.STORAGELINK:
            volume_id = storage_target(link.target, given)
            volumes.append((volume_id, given.get(kinds.LINK_DEVICE, "")))
            notes[volume_id] = noting.noted(noting.OF_STORAGELINKS, given)
        elif kind is kinds.SECURITYGROUPLINK:
            group_id = group_target(link.target, given)
            groups.append(group_id)
            notes[group_id] = noting.noted(noting.OF_GROUPLINKS, given)
        else:
            plug = plugged(scope, link.target, associated, given)
            interfaces += [plug] if isinstance(plug, NicRequest) else []
            floating += [plug] if isinstance(plug, Floating) else []
    return Links(
        volumes=tuple(volumes),
        interfaces=tuple(interfaces),
        floating=tuple(floating),
        groups=tuple(groups),
        notes=notes,
    )


def storage_target(target: str, given: Mapping[str, Any]) -> str:
    """The id of the storage that a link leads to; a title that is too long is refused."""
    checked_title(given.get(TITLE, ""))
    _check_kind(kinds.STORAGE, given)
    return names.id_of_kind(kinds.STORAGE, target)


def group_target(target: str, given: Mapping[str, Any]) -> str:
    """The id of the security group that a link leads to."""
    checked_title(given.get(TITLE, ""))
    _check_kind(kinds.SECURITYGROUP, given)
    return names.id_of_kind(kinds.SECURITYGROUP, target)


def _check_kind(kind: Category, given: Mapping[str, Any]) -> None:
    """Refuse a word about the target's kind that is not true; 400."""
    if given.get(TARGET_KIND, kind.id) != kind.id:
        raise OcciError(400, f"{TARGET_KIND} is {kind.id} there.")


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
    wanted_ip, title = given.get(INTERFACE_ADDRESS, ""), checked_title(given.get(TITLE, ""))
    outside = {names.pool_id(pool): pool for pool in scope.engine.settings.network.pools}
    if names.path_in(target).rstrip("/").lower() == _OUTSIDE and outside:
        pool = pools[0] if pools else next(iter(outside.values()))
        return Floating(pool=pool, ip=wanted_ip, title=title)
    target_id = names.id_in(target)
    if names.kind_of(target_id) is kinds.IPRESERVATION:
        _check_kind(kinds.IPRESERVATION, given)
        return Floating(allocation_id=target_id, title=title)
    if names.kind_of(target_id) is not kinds.NETWORK or (
        target_id.startswith("pool-") and target_id not in outside
    ):
        raise OcciError(404, f"There is no network at {target[:200]}.")
    _check_kind(kinds.NETWORK, given)
    if target_id in outside:
        return Floating(pool=pools[0] if pools else outside[target_id], ip=wanted_ip, title=title)
    if pools:
        return Floating(pool=pools[0], ip=wanted_ip, subnet_id=target_id, title=title)
    allocation = given.get(INTERFACE_ALLOCATION, "static" if wanted_ip else "dynamic")
    static = ((IPNETWORKINTERFACE.scheme, IPNETWORKINTERFACE.term),) if allocation == "static" else ()
    check_gateway(scope, target_id, given)
    tags = tuple((mixin.scheme, mixin.term) for mixin in associated if mixin.id in scope.catalog.tags)
    return NicRequest(
        subnet_id=target_id,
        address=wanted_ip,
        mac=given.get(kinds.MAC, ""),
        mixins=(*static, *tags),
        tags=name_tag(given),
    )


def check_gateway(scope: Scope, subnet_id: str, given: Mapping[str, Any]) -> None:
    """Refuse another gateway than the network's router (400)."""
    gateway = given.get(INTERFACE_GATEWAY, "")
    if gateway and gateway != scope.engine.networks.one(scope.caller, Subnet, subnet_id).router:
        raise OcciError(400, f"{INTERFACE_GATEWAY} is the router of the network.")


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
    notes = noting.noted(noting.OF_ADDRESSES, {TITLE: wanted.title})
    for each in noting.set_notes(linked.association_id, notes):
        do(each)
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
    deeds: list[Deed] = []
    for volume_id, device in wanted.volumes:
        if is_new(volume_id):
            deeds.append(AttachVolume(volume_id=volume_id, instance_id=instance_id, device=device))
            deeds += noting.set_notes(names.link_id(volume_id), wanted.notes.get(volume_id, ()))
    deeds += [_attaching(instance_id, each, nics) for each in wanted.interfaces if is_new(each.subnet_id)]
    deeds += [
        _associating(each, whereto(each, nics))
        for each in wanted.floating
        if is_new(each.allocation_id or names.pool_id(each.pool))
    ]
    groups = [group_id for group_id in wanted.groups if is_new(group_id)]
    deeds += joined(nics, groups) if groups else []
    return [*deeds, *group_notes(instance_id, groups, wanted.notes)]


def group_notes(
    instance_id: str, group_ids: Sequence[str], notes: Mapping[str, noting.Notes]
) -> list[Command[Any]]:
    """What notes of a machine's links to groups what a client says of them."""
    return [
        command
        for group_id in group_ids
        for command in noting.set_notes(
            names.group_link_id(instance_id, group_id), notes.get(group_id, ()), instance_id=instance_id
        )
    ]


def launch_notes(instance_id: str, wanted: Links) -> list[Command[Any]]:
    """What notes of a new machine's links to storage and groups what a client says of them."""
    storage = [
        command
        for volume_id, _ in wanted.volumes
        for command in noting.set_notes(names.link_id(volume_id), wanted.notes.get(volume_id, ()))
    ]
    return [*storage, *group_notes(instance_id, wanted.groups, wanted.notes)]


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
