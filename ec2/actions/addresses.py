"""Elastic addresses: allocate, associate, list, release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backend import network_commands as commands
from backend.engine import RowQuery
from backend.network_model import Nic, PublicAddress
from ec2 import interface_mapping
from ec2.actions.common import missing, refuse_all, specified_tags, unsupported_value, well_formed_ids
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.ids import IdKind, not_found
from ec2.listing import Column, Listing
from ec2.pages import PageLimits

ATTRIBUTE_LIMITS = PageLimits(default=None, minimum=1, ids="AllocationIds", ids_word="allocationIds")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An address with the interface that it leads to, and its tags."""

    address: PublicAddress
    nic: Nic | None
    tags: Mapping[str, str]


def _of_nic(read: Callable[[Nic], Value]) -> Callable[[Listed], Value]:
    """What the interface of an address has; an address without one matches nothing."""
    return lambda row: None if row.nic is None else read(row.nic)


FILTERS: FilterTable[Listed] = FilterTable(
    {
        "allocation-id": lambda row: row.address.id,
        "association-id": lambda row: row.address.association_id or None,
        "domain": lambda _: "vpc",
        "instance-id": _of_nic(lambda nic: nic.instance_id),
        "network-border-group": lambda row: row.address.region,
        "network-interface-id": _of_nic(lambda nic: nic.id),
        "network-interface-owner-id": _of_nic(lambda nic: nic.account_id),
        "private-ip-address": lambda row: row.address.private_ip or None,
        "public-ip": lambda row: row.address.ip,
    },
    tags=lambda row: row.tags,
)


COLUMNS: Mapping[str, Column] = {
    "allocation-id": Column("id"),
    "association-id": Column("association_id"),
    "network-interface-id": Column("nic_id"),
    "private-ip-address": Column("private_ip"),
    "public-ip": Column("ip"),
}
"""Filters that the database can decide."""


def _with_nics(context: Ec2Context, addresses: Sequence[PublicAddress]) -> list[Listed]:
    nics = context.engine.networks.nics_by_id({each.nic_id for each in addresses if each.nic_id is not None})
    tags = context.engine.tags_of([each.id for each in addresses])
    return [
        Listed(address=each, nic=nics.get(each.nic_id or ""), tags=tags.get(each.id, {}))
        for each in addresses
    ]


LISTING = Listing(kind=PublicAddress, dress=_with_nics, filters=FILTERS, columns=COLUMNS)
ATTRIBUTES: Listing[PublicAddress, PublicAddress] = Listing(
    kind=PublicAddress,
    dress=lambda _, addresses: addresses,
    filters=FilterTable({}),
    limits=ATTRIBUTE_LIMITS,
)


# Listing ------------------------------------------------------------------------------------------------


def describe_addresses(context: Ec2Context, params: Params) -> Document:
    """Elastic addresses by id, address or filter, oldest first (DescribeAddresses)."""
    page, _ = LISTING.page(context, params, named=_named(context, params))
    return {"Addresses": [interface_mapping.address_document(row.address, row.nic, row.tags) for row in page]}


def describe_addresses_attribute(context: Ec2Context, params: Params) -> Document:
    """Addresses with their reverse names, of which there are none (DescribeAddressesAttribute)."""
    page, token = ATTRIBUTES.page(context, params, named=_named(context, params))
    documents = [{"PublicIp": each.ip, "AllocationId": each.id} for each in page]
    return {"Addresses": documents, "NextToken": token}


def _named(context: Ec2Context, params: Params) -> list[PublicAddress] | None:
    """The addresses that a call names by id and by address, all of which must exist; None for none named."""
    ids = well_formed_ids(IdKind.ALLOCATION, params.get("AllocationIds") or ())
    ips = list(dict.fromkeys(params.get("PublicIps") or ()))
    if not ids and not ips:
        return None
    by_id = {each.id: each for each in _those(context, "id", ids)}
    by_ip = {each.ip: each for each in _those(context, "ip", ips)}
    unknown = [each for each in ids if each not in by_id]
    if unknown:
        raise not_found(IdKind.ALLOCATION, unknown)
    for ip in ips:
        if ip not in by_ip:
            raise unknown_address(ip)
    return list({each.id: each for each in (*by_id.values(), *by_ip.values())}.values())


def _those(context: Ec2Context, column: str, values: Sequence[str]) -> list[PublicAddress]:
    """The caller's elastic addresses with some values in a column."""
    return context.engine.listing(context.caller, PublicAddress, RowQuery(equal={column: tuple(values)}))


def unknown_address(ip: str) -> Ec2Error:
    """The refusal for an address that is not one of the caller's elastic ones."""
    return Ec2Error("InvalidAddress.NotFound", f"Address '{ip[:120]}' not found.")


# Allocate, release --------------------------------------------------------------------------------------

_NOT_OFFERED = ("CustomerOwnedIpv4Pool", "IpamPoolId")


def allocate_address(context: Ec2Context, params: Params) -> Document:
    """An elastic address of a pool, or a certain one that is free (AllocateAddress)."""
    refuse_all(params, _NOT_OFFERED)
    if params.get("Domain", "vpc") != "vpc":
        raise unsupported_value(params["Domain"], "Domain")
    _check_border(context, params)
    address = context.engine.execute(
        context.caller,
        commands.AllocateAddress(
            ip=params.get("Address", ""),
            pool=params.get("PublicIpv4Pool", ""),
            tags=specified_tags(params, "elastic-ip"),
        ),
    )
    return interface_mapping.allocation_document(address)


def _check_border(context: Ec2Context, params: Params) -> None:
    """A region is one network border group here."""
    group = params.get("NetworkBorderGroup") or context.region
    if group != context.region:
        raise Ec2Error(
            "InvalidParameterValue", f"Value ({group[:120]}) for parameter networkBorderGroup is invalid."
        )


def release_address(context: Ec2Context, params: Params) -> Document:
    """Give an address that leads nowhere back to its pool (ReleaseAddress)."""
    _check_border(context, params)
    allocation_id = _allocation_id(context, params)
    context.engine.execute(context.caller, commands.ReleaseAddress(allocation_id=allocation_id))
    return {}


def _allocation_id(context: Ec2Context, params: Params) -> str:
    """The elastic address that a call is about: by its id, or as old clients do by itself."""
    allocation_id, ip = params.get("AllocationId"), params.get("PublicIp")
    if allocation_id and ip:
        raise Ec2Error(
            "InvalidParameterCombination",
            "You may specify public IP or allocation id, but not both in the same call",
        )
    if allocation_id:
        well_formed_ids(IdKind.ALLOCATION, [allocation_id])
        return str(allocation_id)
    if not ip:
        raise missing("publicIp or allocationId")
    return _by_ip(context, ip).id


def _by_ip(context: Ec2Context, ip: str) -> PublicAddress:
    found = _those(context, "ip", [ip])
    if not found:
        raise unknown_address(ip)
    return found[0]


# Associate, disassociate --------------------------------------------------------------------------------


def associate_address(context: Ec2Context, params: Params) -> Document:
    """Let an address lead to an instance or an interface; moves it unless told not to (AssociateAddress)."""
    allocation_id = _allocation_id(context, params)
    instance_id, nic_id = params.get("InstanceId") or "", params.get("NetworkInterfaceId") or ""
    if not instance_id and not nic_id:
        raise missing("instanceId or networkInterfaceId")
    if instance_id:
        well_formed_ids(IdKind.INSTANCE, [instance_id])
    if nic_id:
        well_formed_ids(IdKind.NETWORK_INTERFACE, [nic_id])
    address = context.engine.execute(
        context.caller,
        commands.AssociateAddress(
            allocation_id=allocation_id,
            instance_id=instance_id,
            nic_id=nic_id,
            private_ip=params.get("PrivateIpAddress", ""),
            move=params.get("AllowReassociation", True),
        ),
    )
    return {"AssociationId": address.association_id}


def disassociate_address(context: Ec2Context, params: Params) -> Document:
    """Let an address lead nowhere (DisassociateAddress)."""
    association_id, ip = params.get("AssociationId"), params.get("PublicIp")
    if not association_id:
        if not ip:
            raise missing("publicIp or associationId")
        association_id = _by_ip(context, ip).association_id
        if not association_id:
            raise Ec2Error("InvalidAssociationID.NotFound", f"The address '{ip}' is not associated.")
    well_formed_ids(IdKind.ASSOCIATION, [association_id])
    context.engine.execute(context.caller, commands.DisassociateAddress(association_id=association_id))
    return {}
