"""The kind network: subnets, and the pools of public addresses, which are the provider's.

OCCI's networks are subnets of the tenant's default VPC, so that machines can have interfaces in several, and
security groups and floating addresses go with all of them. A range that the VPC does not have is added to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from backend.engine import Do
from backend.engine.claims import addresses_of
from backend.errors import BackendError, Code
from backend.model import Api
from backend.network_commands import (
    NO_VLAN,
    AssociateCidr,
    AssociateRouteTable,
    CreateRouteTable,
    CreateSubnet,
    DeleteRouteTable,
    DeleteSubnet,
    DisassociateCidr,
    ModifySubnet,
    PutRoute,
)
from backend.network_model import ANYWHERE, RouteTable, Subnet, Vpc
from occi import kinds, names, networking, noting
from occi.changing import Standing, check_zone, full, given_attributes, named_mixins, naming, tagging
from occi.creation import described, name_tag, refuse_links, tags_among, zone_among
from occi.deeds import Creation, Deed, carry_out
from occi.drawn import Drawn
from occi.errors import OcciError
from occi.mixins import NAT_NET, NETWORK_ADDRESS, NETWORK_GATEWAY, PRIVATE_NET, PUBLIC_NET, REACHES
from occi.scope import Scope
from occi.values import checked_summary
from rendering.occi_document import SUMMARY, TITLE, Category, Entity, Request

_VOLATILE = frozenset({kinds.NETWORK_STATE, kinds.NETWORK_MESSAGE})
_REACHES = {mixin.id: mixin for mixin in REACHES.values()}
#: Tags a route table that was made for a network alone, and goes with it.
_MADE_FOR = "isthmus:made-for"


# Reading ------------------------------------------------------------------------------------------------


def pools(scope: Scope) -> dict[str, str]:
    """The pools of public addresses, by the id of the network that each is."""
    return {names.pool_id(pool): pool for pool in scope.engine.settings.network.pools}


def ids(scope: Scope) -> list[str]:
    """All networks of the caller, oldest first, and those outside."""
    return [*Drawn(scope).subnets, *pools(scope)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise RESOURCE_NOT_FOUND for networks that are not there."""
    known = pools(scope)
    scope.engine.networks.some(scope.caller, Subnet, [each for each in wanted if each not in known])


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Entity]:
    """Renderings of all networks or of some; what has gone meanwhile is left out."""
    drawn = Drawn(scope)
    named = None if wanted is None else set(wanted)
    found = [each for each in drawn.subnets.values() if named is None or each.id in named]
    outside = {each: pool for each, pool in pools(scope).items() if named is None or each in named}
    return [*_rendered(scope, drawn, found), *_pools(scope, outside)]


def _rendered(scope: Scope, drawn: Drawn, found: Sequence[Subnet]) -> list[Entity]:
    own = [subnet.id for subnet in found]
    tags = scope.engine.tags_of(own)
    associated = scope.engine.mixins_of(scope.caller, own)
    notes = scope.engine.notes_of(own)
    unsettled = scope.engine.networks.unsettled({*own, *(subnet.vpc_id for subnet in found)})
    return [
        networking.entity(
            subnet,
            scope.catalog,
            drawn.reach(subnet),
            title=tags.get(subnet.id, {}).get("Name", ""),
            associated=associated.get(subnet.id, ()),
            unsettled=not unsettled.isdisjoint({subnet.id, subnet.vpc_id}),
            limits=scope.engine.settings.network.capabilities.briefly,
            notes=notes.get(subnet.id, {}),
        )
        for subnet in found
    ]


def _pools(scope: Scope, found: Mapping[str, str]) -> list[Entity]:
    settings = scope.engine.settings.network
    return [
        networking.pool_entity(pool, addresses_of(settings.pools[pool]), settings.capabilities.briefly)
        for pool in found.values()
    ]


def provided(scope: Scope, wanted: Collection[str]) -> set[str]:
    """Those of some entities that are networks which the provider has, or gave the tenant."""
    some = {each for each in wanted if names.kind_of(each) is kinds.NETWORK}
    if not some:
        return set()
    return {each for each in some if each in pools(scope)} | {
        each.id for each in Drawn(scope).subnets.values() if each.id in some and each.default
    }


# Making -------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What makes a network: of the range asked for, or of one that is free.

    Its routes are the default VPC's own, unless a mixin says what it is to reach.
    """
    refuse_links(request)
    associated, given = described(scope, kinds.NETWORK, request)
    drawn = Drawn(scope)
    vpc = drawn.default_vpc
    if vpc is None:
        raise BackendError(Code.NO_DEFAULT_VPC, "There is no default VPC, in which networks are made.")
    cidr = networking.wanted_range(given.get(NETWORK_ADDRESS, ""), given.get(NETWORK_GATEWAY, ""))
    block = networking.block_for(cidr, vpc) if cidr is not None else None
    command = CreateSubnet(
        vpc_id=vpc.id,
        cidr=cidr,
        zone=zone_among(scope, associated),
        label=given.get(kinds.LABEL, ""),
        vlan=given.get(kinds.VLAN),
        summary=checked_summary(given.get(SUMMARY, "")),
        tags=name_tag(given),
        mixins=tags_among(scope, associated),
    )
    reach = _reach_among(associated)
    target = _target(drawn, vpc, reach) if reach is not None else None
    notes = noting.noted(noting.OF_NETWORKS, given)

    def make(do: Do) -> str:
        if block is not None:
            do(AssociateCidr(vpc_id=vpc.id, cidr=block))
        subnet = do(command)
        if target is not None:
            _route(do, subnet, target)
        if reach is PUBLIC_NET:
            do(ModifySubnet(subnet_id=subnet.id, map_public_ip=True))
        for each in noting.set_notes(subnet.id, notes):
            do(each)
        return str(subnet.id)

    return make


def _reach_among(associated: Sequence[Category]) -> Category | None:
    found = [_REACHES[mixin.id] for mixin in associated if mixin.id in _REACHES]
    if len(found) > 1:
        raise OcciError(400, "A network is one of public_net, private_net and nat_net.")
    return found[0] if found else None


def _target(drawn: Drawn, vpc: Vpc, reach: Category) -> str | None:
    """Where a route table of its own must lead to, "" for nowhere; None when the main one does already.

    Raises:
        OcciError: 409, the VPC has no such way.
    """
    main = next((each for each in drawn.tables.values() if each.vpc_id == vpc.id and each.main), None)
    if main is not None and drawn.reach_of(main) is reach:
        return None
    if reach is PRIVATE_NET:
        return ""
    ways = drawn.nat_gateways if reach is NAT_NET else drawn.gateways
    found = next((each.id for each in ways.values() if each.vpc_id == vpc.id), None)
    if found is None:
        raise OcciError(409, f"There is no gateway that could make it a {reach.term}.")
    return found


def _route(do: Do, subnet: Subnet, target: str) -> None:
    table: RouteTable = do(CreateRouteTable(vpc_id=subnet.vpc_id, tags=((_MADE_FOR, subnet.id),)))
    do(AssociateRouteTable(route_table_id=table.id, subnet_id=subnet.id))
    if target:
        do(PutRoute(route_table_id=table.id, destination=ANYWHERE, target=target))


# Changing -----------------------------------------------------------------------------------------------


def update(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What changes all that a request gives (POST)."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What makes a network what a full rendering says (PUT); what is missing and can be removed is."""
    return _changes(scope, entity_id, full(scope, request), replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> list[Deed]:
    refuse_links(request)
    subnet = _own(scope, [entity_id])[0]
    [shown] = _rendered(scope, Drawn(scope), [subnet])
    standing = Standing(entity_id, shown)
    wanted = named_mixins(scope, standing, request)
    check_zone(scope, wanted, subnet.zone)
    if _reach_among(wanted) not in {None, *shown.mixins}:
        raise OcciError(501, "What a network reaches is decided by its routes.")
    given = given_attributes(scope, standing, request, wanted, volatile=_VOLATILE if replacing else ())
    for name in (NETWORK_ADDRESS, NETWORK_GATEWAY):
        if name in given and given[name] != shown.attributes[name]:
            raise OcciError(501, f"{name} of a network cannot be changed: make another.")
    if replacing:
        given = {TITLE: "", SUMMARY: "", kinds.LABEL: "", kinds.VLAN: NO_VLAN, **given}
    if given.get(kinds.VLAN) == NO_VLAN and subnet.vlan is None:
        del given[kinds.VLAN]
    changes: dict[str, Any] = {
        field: given[name]
        for field, name in (("label", kinds.LABEL), ("vlan", kinds.VLAN), ("summary", SUMMARY))
        if given.get(name, getattr(subnet, field)) != getattr(subnet, field)
    }
    checked_summary(changes.get("summary", ""))
    return [
        *([ModifySubnet(subnet_id=subnet.id, **changes)] if changes else []),
        *naming(standing, given.get(TITLE)),
        *noting.changed(standing, noting.OF_NETWORKS, given),
        *tagging(scope, standing, wanted, replacing=replacing),
    ]


def _own(scope: Scope, wanted: Sequence[str]) -> list[Subnet]:
    """Networks that are the caller's to change; 403 for those outside."""
    if not pools(scope).keys().isdisjoint(wanted):
        raise OcciError(403, "The network outside is the provider's.")
    return scope.engine.networks.some(scope.caller, Subnet, wanted)


def act(scope: Scope, wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Let networks give addresses, or give no further ones: all of them or none.

    Raises:
        BackendError: it is so already (409).
    """
    found = _own(scope, wanted)
    for subnet in found:
        if subnet.up is (action is kinds.UP):
            raise BackendError(
                Code.NETWORK_DOWN,
                f"The network {subnet.id} is {networking.state(subnet)}: the action {action.term} needs it "
                f"to be {'inactive' if subnet.up else 'active'}.",
                ids=(subnet.id,),
            )
    carry_out(scope, [ModifySubnet(subnet_id=subnet.id, up=action is kinds.UP) for subnet in found])


# Deleting -----------------------------------------------------------------------------------------------


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What deletes networks, which no machine may use, with what was made for them alone."""
    drawn = Drawn(scope)
    left = [each for each in drawn.subnets.values() if each.id not in wanted]
    found = _own(scope, wanted)
    made = scope.engine.tags_of([each.route_table_id for each in found if each.route_table_id])
    tables = {
        subnet.route_table_id
        for subnet in found
        if _MADE_FOR in made.get(subnet.route_table_id, {})
        and subnet.route_table_id not in {each.route_table_id for each in left}
    }
    return [
        *(DeleteSubnet(subnet_id=subnet.id) for subnet in found),
        *(DeleteRouteTable(route_table_id=table_id) for table_id in sorted(tables)),
        *(DisassociateCidr(association_id=each) for each in _blocks(drawn, found, left)),
    ]


def _blocks(drawn: Drawn, gone: Sequence[Subnet], left: Sequence[Subnet]) -> list[str]:
    """The further blocks of addresses that are empty without some networks of OCCI's."""
    found: dict[str, None] = {}
    for subnet in gone:
        vpc = drawn.vpcs.get(subnet.vpc_id)
        if subnet.api is not Api.OCCI or vpc is None:
            continue
        for block in vpc.blocks:
            inside = IPv4Network(block.cidr)
            others = (each for each in left if each.vpc_id == vpc.id)
            if subnet.network.subnet_of(inside) and not any(
                each.network.subnet_of(inside) for each in others
            ):
                found[block.association_id] = None
    return list(found)
