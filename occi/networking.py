"""Subnets and pools of public addresses as network resources (lifecycle §8.2), and ranges of addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from backend.model import uuid_of
from backend.network_model import Subnet, Vpc
from occi import kinds, mixins, names
from occi.catalog import Catalog
from occi.errors import OcciError
from rendering.occi_document import ID, SUMMARY, TITLE, Category, Entity, Value

_PRIVATE = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_LARGEST_BLOCK = 16
_NOTHING: Mapping[str, str] = {}


def state(subnet: Subnet) -> str:
    """The state of a network."""
    return "active" if subnet.up else "inactive"


def message(word: str, *, unsettled: bool, limits: Iterable[str]) -> str:
    """More about the state of something: that a change is under way, and what has no effect here."""
    about = " ".join((*(("a change is being made true.",) if unsettled else ()), *limits))
    return ": ".join(filter(None, (word, about.replace(";", ","))))  # OCCI-REAL-11


def entity(
    subnet: Subnet,
    catalog: Catalog,
    reach: Category,
    *,
    title: str = "",
    associated: Sequence[tuple[str, str]] = (),
    unsettled: bool = False,
    limits: Iterable[str] = (),
    notes: Mapping[str, str] = _NOTHING,
) -> Entity:
    """A subnet as a network resource; ``reach`` is what its routes lead to, ``notes`` what is noted of it."""
    word = "available" if subnet.up else "taken down by its owner"
    values: dict[str, Value | None] = {
        ID: uuid_of(subnet.id),
        TITLE: title or None,
        SUMMARY: subnet.summary or None,
        kinds.VLAN: subnet.vlan,
        kinds.LABEL: subnet.label or None,
        kinds.NETWORK_STATE: state(subnet),
        kinds.NETWORK_MESSAGE: message(word, unsettled=unsettled, limits=limits),
        mixins.NETWORK_ADDRESS: subnet.cidr,
        mixins.NETWORK_GATEWAY: subnet.router,
        mixins.NETWORK_ALLOCATION: notes.get(mixins.NETWORK_ALLOCATION, "dynamic"),
    }
    places = catalog.places(subnet.zone, subnet.region)
    return Entity(
        kind=kinds.NETWORK,
        location=names.path_of(subnet.id),
        mixins=(mixins.IPNETWORK, reach, *places, *catalog.own_tags(associated)),
        attributes={name: value for name, value in values.items() if value is not None},
        actions=(kinds.DOWN,) if subnet.up else (kinds.UP,),
    )


def pool_entity(pool: str, ranges: Sequence[range], limits: Iterable[str]) -> Entity:
    """A pool of public addresses as the network outside: a link to it is an address of the pool."""
    values: dict[str, Value] = {
        ID: uuid_of(names.pool_id(pool)),
        TITLE: pool,
        SUMMARY: "Outside: a link to it gives a machine one of its addresses",
        kinds.NETWORK_STATE: "active",
        kinds.NETWORK_MESSAGE: message("available", unsettled=False, limits=limits),
        mixins.NETWORK_ADDRESS: str(covering(ranges)),
        mixins.NETWORK_ALLOCATION: "dynamic",
    }
    return Entity(
        kind=kinds.NETWORK,
        location=names.path_of(names.pool_id(pool)),
        mixins=(mixins.IPNETWORK, mixins.PUBLIC_NET),
        attributes=values,
    )


def covering(ranges: Sequence[range]) -> IPv4Network:
    """The smallest block with all addresses of some ranges."""
    first, last = min(each[0] for each in ranges), max(each[-1] for each in ranges)
    return IPv4Network((first, 32)).supernet(new_prefix=32 - (first ^ last).bit_length())


def wanted_range(given: str, gateway: str) -> str | None:
    """The range that a client asks for, normalised; None when it asks for none.

    Raises:
        OcciError: 400 for what is no range, and for a gateway that is not its first address.
    """
    if not given:
        if gateway:
            raise OcciError(400, f"{mixins.NETWORK_GATEWAY} needs {mixins.NETWORK_ADDRESS}.")
        return None
    try:
        block = IPv4Network(given, strict=False)
        router = IPv4Address(gateway) if gateway else block[1]
    except (ValueError, IndexError) as error:
        raise OcciError(400, f"{mixins.NETWORK_ADDRESS} is an IPv4 range in CIDR form.") from error
    if "/" not in given:
        raise OcciError(400, f"{mixins.NETWORK_ADDRESS} is an IPv4 range in CIDR form.")
    if router != block[1]:
        raise OcciError(400, f"The gateway of {block} is its first address, {block[1]}.")
    return str(block)


def block_for(cidr: str, vpc: Vpc) -> str | None:
    """The block of addresses that a VPC needs besides its own to hold a range; None when it holds it already.

    Of private addresses as much as a block can have, for a VPC has few blocks.
    """
    wanted, there = IPv4Network(cidr), [IPv4Network(each) for each in vpc.cidrs]
    if any(wanted.overlaps(each) for each in there):
        return None
    wide = wanted.supernet(new_prefix=_LARGEST_BLOCK) if wanted.prefixlen > _LARGEST_BLOCK else wanted
    is_private = any(wide.subnet_of(each) for each in _PRIVATE)
    return str(wide if is_private and not any(wide.overlaps(each) for each in there) else wanted)
