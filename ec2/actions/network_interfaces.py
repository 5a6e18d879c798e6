"""Network interfaces: create, list, attach, detach, change, give addresses, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend import network_commands as commands
from backend.network_commands import ModifyNic
from backend.network_model import Nic, PublicAddress
from ec2 import interface_mapping, mapping
from ec2.actions.common import missing, refuse_all, specified_tags, unsupported_value, well_formed_ids
from ec2.actions.nic_requests import nic_request
from ec2.actions.run import client_token
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value, texts
from ec2.ids import IdKind, not_found
from ec2.interface_mapping import Interface
from ec2.interfaces import interfaces
from ec2.listing import Column, Listing, as_it_is, flag
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="NetworkInterfaceIds", ids_word="networkInterfaceIds")


# Filters ------------------------------------------------------------------------------------------------


def _absent(_row: Interface) -> Value:
    return None


def _attached(read: Callable[[Nic], Value]) -> Callable[[Interface], Value]:
    """What an interface's attachment has; one without matches nothing."""
    return lambda row: read(row.nic) if interface_mapping.is_attached(row.nic) else None


def _primary(read: Callable[[Interface, PublicAddress], Value]) -> Callable[[Interface], Value]:
    """What the public address of the primary address has."""

    def value(row: Interface) -> Value:
        public = row.primary_public
        return None if public is None else read(row, public)

    return value


def _any(read: Callable[[PublicAddress], Value]) -> Callable[[Interface], Value]:
    """What any of an interface's public addresses has."""
    return lambda row: [text for public in row.public for text in texts(read(public))]


FILTERS: FilterTable[Interface] = FilterTable(
    {
        "addresses.association.allocation-id": _any(lambda public: None if public.auto else public.id),
        "addresses.association.association-id": _any(
            lambda public: None if public.auto else public.association_id
        ),
        "addresses.association.owner-id": _any(interface_mapping.address_owner),
        "addresses.association.public-ip": _any(lambda public: public.ip),
        "addresses.primary": lambda row: [address == row.nic.address for address in row.addresses],
        "addresses.private-ip-address": lambda row: row.addresses,
        "association.allocation-id": _primary(lambda _, public: None if public.auto else public.id),
        "association.association-id": _primary(
            lambda _, public: None if public.auto else public.association_id
        ),
        "association.ip-owner-id": _primary(lambda _, public: interface_mapping.address_owner(public)),
        "association.public-dns-name": _primary(lambda row, public: row.public_name_of(public) or None),
        "association.public-ip": _primary(lambda _, public: public.ip),
        "attachment.attach-time": _attached(interface_mapping.attach_time),
        "attachment.attachment-id": _attached(lambda nic: nic.attachment_id),
        "attachment.delete-on-termination": _attached(lambda nic: nic.delete_on_termination),
        "attachment.device-index": _attached(lambda nic: nic.index),
        "attachment.instance-id": _attached(lambda nic: nic.instance_id),
        "attachment.instance-owner-id": _attached(lambda nic: nic.account_id),
        "attachment.network-card-index": _attached(lambda _: 0),
        "attachment.status": _attached(interface_mapping.attachment_status),
        "availability-zone": lambda row: row.nic.zone,
        "availability-zone-id": lambda row: mapping.zone_id_of(row.nic.region, row.nic.zone),
        "description": lambda row: row.nic.description,
        "group-id": lambda row: [group.id for group in row.groups],
        "group-name": lambda row: [group.name for group in row.groups],
        "interface-type": lambda row: interface_mapping.interface_type(row.nic),
        "ipv6-addresses.ipv6-address": _absent,
        "mac-address": lambda row: row.nic.mac,
        "network-interface-id": lambda row: row.nic.id,
        "operator.managed": lambda _: False,
        "operator.principal": _absent,
        "owner-id": lambda row: row.nic.account_id,
        "private-dns-name": lambda row: row.private_name_of(row.nic.address),
        "private-ip-address": lambda row: row.addresses,
        "requester-id": lambda row: interface_mapping.LENDER if row.nic.requester else None,
        "requester-managed": lambda row: bool(row.nic.requester),
        "source-dest-check": lambda row: row.nic.source_dest_check,
        "status": lambda row: interface_mapping.status(row.nic),
        "subnet-id": lambda row: row.nic.subnet_id,
        "vpc-id": lambda row: row.nic.vpc_id,
    },
    tags=lambda row: row.tags,
)


COLUMNS: Mapping[str, Column] = {
    "attachment.attachment-id": Column("attachment_id", exact=False),
    "attachment.instance-id": Column("instance_id", exact=False),
    "availability-zone": Column("zone"),
    "description": Column("description", as_it_is),
    "mac-address": Column("mac"),
    "network-interface-id": Column("id"),
    "owner-id": Column("account_id"),
    "source-dest-check": flag("source_dest_check"),
    "subnet-id": Column("subnet_id"),
    "vpc-id": Column("vpc_id"),
}
"""Filters that the database can decide, or at least narrow."""


def _shown(context: Ec2Context, nics: Sequence[Nic]) -> list[Interface]:
    return interfaces(context.engine, context.caller, nics, public_domain=context.settings.public_domain)


LISTING = Listing(kind=Nic, dress=_shown, filters=FILTERS, columns=COLUMNS, limits=LIMITS)


# Listing ------------------------------------------------------------------------------------------------


def describe_network_interfaces(context: Ec2Context, params: Params) -> Document:
    """Interfaces by id or filter, oldest first (DescribeNetworkInterfaces)."""
    ids, named = params.get("NetworkInterfaceIds"), None
    if ids:
        wanted = well_formed_ids(IdKind.NETWORK_INTERFACE, ids)
        named = context.engine.networks.some(context.caller, Nic, wanted)
    page, token = LISTING.page(context, params, named=named)
    shown = context.fragments.of(
        "NetworkInterface", page, lambda row: row.nic.id, interface_mapping.interface_document
    )
    return {"NetworkInterfaces": shown, "NextToken": token}


def _nic_id(params: Params) -> str:
    (nic_id,) = well_formed_ids(IdKind.NETWORK_INTERFACE, [params["NetworkInterfaceId"]])
    return nic_id


def _interface(context: Ec2Context, params: Params) -> Interface:
    nic = context.engine.networks.one(context.caller, Nic, _nic_id(params))
    return _shown(context, [nic])[0]


_ATTRIBUTES: Mapping[str, Callable[[Interface], Document]] = {
    "associatePublicIpAddress": lambda row: {"AssociatePublicIpAddress": row.nic.lends},
    "attachment": lambda row: {"Attachment": interface_mapping.attachment_document(row.nic)},
    "description": lambda row: {"Description": {"Value": mapping.writable(row.nic.description)}},
    "groupSet": lambda row: {"Groups": [interface_mapping.group_identifier(group) for group in row.groups]},
    "sourceDestCheck": lambda row: {"SourceDestCheck": {"Value": row.nic.source_dest_check}},
}


def describe_network_interface_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of an interface (DescribeNetworkInterfaceAttribute)."""
    attribute = params.get("Attribute")
    if attribute is None:
        raise missing("Attribute")
    row = _interface(context, params)
    return {"NetworkInterfaceId": row.nic.id, **_ATTRIBUTES[attribute](row)}


# Create, delete -----------------------------------------------------------------------------------------

_NOT_OFFERED = (
    "EnablePrimaryIpv6",
    "InterfaceType",
    "Ipv4PrefixCount",
    "Ipv4Prefixes",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "Ipv6PrefixCount",
    "Ipv6Prefixes",
    "ConnectionTrackingSpecification",
    "Operator",
)
"""What interfaces here have not: other kinds of them, prefixes, IPv6, and time-outs of their own."""


def create_network_interface(context: Ec2Context, params: Params) -> Document:
    """An interface in a subnet, attached to nothing; idempotent by ClientToken (CreateNetworkInterface)."""
    refuse_all(params, _NOT_OFFERED)
    token = client_token(params)
    request = nic_request(params, index=0)
    if not request.subnet_id:
        raise missing("SubnetId")
    nic = context.engine.execute(
        context.caller,
        commands.CreateNic(
            nic=request,
            client_token=token,
            tags=specified_tags(params, "network-interface"),
        ),
    )
    [row] = _shown(context, [nic])
    return {"NetworkInterface": interface_mapping.interface_document(row), "ClientToken": token or None}


def delete_network_interface(context: Ec2Context, params: Params) -> Document:
    """Delete an interface that is attached to nothing (DeleteNetworkInterface)."""
    context.engine.execute(context.caller, commands.DeleteNic(nic_id=_nic_id(params)))
    return {}


# Attach, detach -----------------------------------------------------------------------------------------


def attach_network_interface(context: Ec2Context, params: Params) -> Document:
    """Attach an interface to a running or stopped instance; answers at once (AttachNetworkInterface)."""
    nic_id = _nic_id(params)
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    refuse_all(params, ("EnaQueueCount", "EnaSrdSpecification"))
    if params.get("NetworkCardIndex"):
        raise unsupported_value(params["NetworkCardIndex"], "NetworkCardIndex")
    nic = context.engine.execute(
        context.caller,
        commands.AttachNic(nic_id=nic_id, instance_id=instance_id, index=params["DeviceIndex"]),
    )
    return {"AttachmentId": nic.attachment_id, "NetworkCardIndex": 0}


def detach_network_interface(context: Ec2Context, params: Params) -> Document:
    """Ask the guest to let go of an interface other than the primary one (DetachNetworkInterface)."""
    (attachment_id,) = well_formed_ids(IdKind.NETWORK_INTERFACE_ATTACHMENT, [params["AttachmentId"]])
    context.engine.execute(
        context.caller,
        commands.DetachNic(attachment_id=attachment_id, force=params.get("Force", False)),
    )
    return {}


# Attributes ---------------------------------------------------------------------------------------------

_CHANGES = ("Attachment", "Description", "Groups", "SourceDestCheck")
_UNCHANGED = (
    "AssociatePublicIpAddress",
    "AssociatedSubnetIds",
    "ConnectionTrackingSpecification",
    "EnaSrdSpecification",
    "EnablePrimaryIpv6",
)


def modify_network_interface_attribute(context: Ec2Context, params: Params) -> Document:
    """Change one attribute, in force at once (ModifyNetworkInterfaceAttribute)."""
    nic_id = _nic_id(params)
    refuse_all(params, _UNCHANGED)
    given = [name for name in _CHANGES if name in params]
    if len(given) > 1:
        fields = ", ".join(name[:1].lower() + name[1:] for name in given)
        raise Ec2Error(
            "InvalidParameterCombination", f"Fields for multiple attribute types specified: {fields}"
        )
    if not given:
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    context.engine.execute(context.caller, _change(context, params, nic_id, given[0]))
    return {}


def _change(context: Ec2Context, params: Params, nic_id: str, name: str) -> ModifyNic:
    body = params[name]
    match name:
        case "Attachment":
            refuse_all(body, ("DefaultEnaQueueCount", "EnaQueueCount"))
            fate = _fate(context, body, nic_id)
            return ModifyNic(nic_id=nic_id, delete_on_termination=fate)
        case "Description":
            return ModifyNic(nic_id=nic_id, description=body.get("Value", ""))
        case "Groups":
            return ModifyNic(nic_id=nic_id, groups=tuple(well_formed_ids(IdKind.SECURITY_GROUP, body)))
        case _:
            if "Value" not in body:
                raise missing("SourceDestCheck.Value")
            return ModifyNic(nic_id=nic_id, source_dest_check=body["Value"])


def _fate(context: Ec2Context, body: Mapping[str, Any], nic_id: str) -> bool:
    """Whether an interface ends with its instance; the attachment named must be the one it has."""
    attachment_id = body.get("AttachmentId")
    if not attachment_id:
        raise missing("Attachment.AttachmentId")
    if body.get("DeleteOnTermination") is None:
        raise missing("Attachment.DeleteOnTermination")
    well_formed_ids(IdKind.NETWORK_INTERFACE_ATTACHMENT, [attachment_id])
    if context.engine.networks.one(context.caller, Nic, nic_id).attachment_id != attachment_id:
        raise not_found(IdKind.NETWORK_INTERFACE_ATTACHMENT, [attachment_id])
    return bool(body["DeleteOnTermination"])


def reset_network_interface_attribute(context: Ec2Context, params: Params) -> Document:
    """Check source and destination again (ResetNetworkInterfaceAttribute)."""
    nic_id = _nic_id(params)
    if "SourceDestCheck" not in params:
        raise missing("SourceDestCheck")
    context.engine.execute(context.caller, ModifyNic(nic_id=nic_id, source_dest_check=True))
    return {}


# Private addresses --------------------------------------------------------------------------------------


def assign_private_ip_addresses(context: Ec2Context, params: Params) -> Document:
    """Give an interface further addresses: certain ones, or so many (AssignPrivateIpAddresses)."""
    nic_id = _nic_id(params)
    refuse_all(params, ("Ipv4PrefixCount", "Ipv4Prefixes"))
    addresses = tuple(dict.fromkeys(params.get("PrivateIpAddresses") or ()))
    count = params.get("SecondaryPrivateIpAddressCount") or 0
    if not addresses and count < 1:
        raise missing("privateIpAddresses or secondaryPrivateIpAddressCount")
    if addresses and count:
        raise Ec2Error(
            "InvalidParameterCombination",
            "The parameters privateIpAddresses and secondaryPrivateIpAddressCount cannot be used together",
        )
    networks = context.engine.networks
    networks.one(context.caller, Nic, nic_id)
    before = networks.leases_of([nic_id]).get(nic_id, ())
    context.engine.execute(
        context.caller,
        commands.AssignAddresses(
            nic_id=nic_id,
            addresses=addresses,
            count=count,
            reassign=params.get("AllowReassignment", False),
        ),
    )
    after = networks.leases_of([nic_id]).get(nic_id, ())
    assigned = addresses or tuple(each for each in after if each not in before)
    return {
        "NetworkInterfaceId": nic_id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": each} for each in assigned],
        "AssignedIpv4Prefixes": [],
    }


def unassign_private_ip_addresses(context: Ec2Context, params: Params) -> Document:
    """Take further addresses away (UnassignPrivateIpAddresses)."""
    nic_id = _nic_id(params)
    refuse_all(params, ("Ipv4Prefixes",))
    addresses = tuple(dict.fromkeys(params.get("PrivateIpAddresses") or ()))
    if not addresses:
        raise missing("PrivateIpAddress")
    context.engine.execute(context.caller, commands.UnassignAddresses(nic_id=nic_id, addresses=addresses))
    return {}
