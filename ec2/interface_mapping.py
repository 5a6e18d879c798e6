"""Security groups, rules, interfaces and public addresses as EC2's reply documents. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from backend.model import AttachState
from backend.network_model import Nic, PublicAddress, SecurityGroup, SecurityRule
from ec2.mapping import Document, moment, private_name, public_name, tag_list, writable, zone_id_of

PARTITION = "aws"
_WITH_PORTS = frozenset({"tcp", "udp", "icmp", "icmpv6"})


def arn(region: str, account_id: str, kind: str, identity: str) -> str:
    """The Amazon Resource Name of a thing (AWS General Reference, "Amazon Resource Names")."""
    return f"arn:{PARTITION}:ec2:{region}:{account_id}:{kind}/{identity}"


# Security groups ----------------------------------------------------------------------------------------


def group_identifier(group: SecurityGroup) -> Document:
    """``GroupIdentifier``, as everything that is a member of a group names it."""
    return {"GroupId": group.id, "GroupName": writable(group.name)}


def group_arn(group: SecurityGroup) -> str:
    """The ARN of a group."""
    return arn(group.region, group.account_id, "security-group", group.id)


def group_document(group: SecurityGroup, rules: Sequence[SecurityRule], tags: Mapping[str, str]) -> Document:
    """``SecurityGroup`` of DescribeSecurityGroups. A rule's peer is a group of the same account."""
    return {
        "GroupId": group.id,
        "GroupName": writable(group.name),
        "Description": writable(group.description),
        "OwnerId": group.account_id,
        "VpcId": group.vpc_id,
        "SecurityGroupArn": group_arn(group),
        "IpPermissions": permissions([rule for rule in rules if not rule.egress], group.account_id),
        "IpPermissionsEgress": permissions([rule for rule in rules if rule.egress], group.account_id),
        "Tags": tag_list(tags) or [],
    }


def group_for_vpc(group: SecurityGroup, tags: Mapping[str, str]) -> Document:
    """``SecurityGroupForVpc`` of GetSecurityGroupsForVpc."""
    return {
        "GroupId": group.id,
        "GroupName": writable(group.name),
        "Description": writable(group.description),
        "OwnerId": group.account_id,
        "PrimaryVpcId": group.vpc_id,
        "Tags": tag_list(tags) or [],
    }


def permissions(rules: Iterable[SecurityRule], account_id: str) -> list[Document]:
    """``IpPermission`` for each protocol and ports, with all its peers, in the order of the oldest rule."""
    found: dict[tuple[str, int, int], Document] = {}
    for rule in rules:
        key = (rule.protocol, rule.from_port, rule.to_port)
        entry = found.get(key)
        if entry is None:
            entry = found[key] = _permission(rule)
        name, peer = _peer(rule, account_id)
        entry[name].append(peer)
    return list(found.values())


def _permission(rule: SecurityRule) -> Document:
    ports = {"FromPort": rule.from_port, "ToPort": rule.to_port} if rule.protocol in _WITH_PORTS else {}
    return {
        "IpProtocol": rule.protocol,
        **ports,
        "IpRanges": [],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }


def _peer(rule: SecurityRule, account_id: str) -> tuple[str, Document]:
    said = writable(rule.description) or None
    if rule.peer_group_id:
        pair = {"GroupId": rule.peer_group_id, "UserId": account_id, "Description": said}
        return "UserIdGroupPairs", pair
    if is_ipv6(rule.cidr):
        return "Ipv6Ranges", {"CidrIpv6": rule.cidr, "Description": said}
    return "IpRanges", {"CidrIp": rule.cidr, "Description": said}


def is_ipv6(cidr: str) -> bool:
    """Whether a CIDR is one of IPv6."""
    return ":" in cidr


def rule_document(rule: SecurityRule, group: SecurityGroup, tags: Mapping[str, str]) -> Document:
    """``SecurityGroupRule`` of DescribeSecurityGroupRules; ports are -1 where a rule has none."""
    peer = {"GroupId": rule.peer_group_id, "UserId": group.account_id} if rule.peer_group_id else None
    return {
        **_rule(rule),
        "GroupOwnerId": group.account_id,
        "ReferencedGroupInfo": peer,
        "SecurityGroupRuleArn": arn(group.region, group.account_id, "security-group-rule", rule.id),
        "Tags": tag_list(tags) or [],
    }


def revoked_rule(rule: SecurityRule) -> Document:
    """``RevokedSecurityGroupRule`` of the Revoke calls."""
    return {**_rule(rule), "ReferencedGroupId": rule.peer_group_id or None}


def _rule(rule: SecurityRule) -> Document:
    return {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "IsEgress": rule.egress,
        "IpProtocol": rule.protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "CidrIpv4": rule.cidr or None if not is_ipv6(rule.cidr) else None,
        "CidrIpv6": rule.cidr if is_ipv6(rule.cidr) else None,
        "Description": writable(rule.description) or None,
    }


def rule_ports(rule: SecurityRule) -> tuple[int, int] | None:
    """The ports of a rule (of ICMP, type and code); None for protocols without."""
    return (rule.from_port, rule.to_port) if rule.protocol in _WITH_PORTS else None


def protocol_words(rule: SecurityRule) -> list[str]:
    """What filters may call a rule's protocol: its name, and its number."""
    number = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58"}.get(rule.protocol)
    return [rule.protocol] if number is None else [rule.protocol, number]


# Interfaces ---------------------------------------------------------------------------------------------


class Interface(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An interface with all that is told of it.

    ``addresses`` are its private ones, the primary one first; ``groups`` in the order in which it has them.
    ``public_domain`` is the domain of its VPC's public names, empty without such names.
    """

    nic: Nic
    addresses: tuple[str, ...]
    public: tuple[PublicAddress, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    tags: Mapping[str, str] = {}
    public_domain: str = ""

    def public_at(self, address: str) -> PublicAddress | None:
        """The public address that leads to a private one; a lent one stands behind an elastic one."""
        found = [each for each in self.public if each.private_ip == address]
        return min(found, key=lambda each: each.auto) if found else None

    @property
    def primary_public(self) -> PublicAddress | None:
        """The public address that leads to its primary private one."""
        return self.public_at(self.nic.address)

    def public_name_of(self, address: PublicAddress) -> str:
        """The public name of one of its public addresses; empty when there are no such names."""
        return public_name(address.ip, self.public_domain)

    def private_name_of(self, address: str) -> str:
        """The private name of one of its private addresses."""
        return private_name(address, self.nic.region)


LENDER = "amazon"
"""Whose the addresses are that are lent to instances: EC2's word for the provider of the cloud."""


def address_owner(address: PublicAddress) -> str:
    """``IpOwnerId`` of an association."""
    return LENDER if address.auto else address.account_id


_ATTACHMENT_WORDS: Mapping[AttachState, str] = {
    AttachState.ATTACHING: "attaching",
    AttachState.ATTACHED: "attached",
    AttachState.DETACHING: "detaching",
    AttachState.BUSY: "detaching",  # EC2 has no word for an interface that the guest does not let go of
}


def is_attached(nic: Nic) -> bool:
    """Whether an interface has an attachment to be shown, in whatever state."""
    return nic.attach is not AttachState.NONE and nic.instance_id is not None


def status(nic: Nic) -> str:
    """``Status`` of an interface; one that something keeps for itself is never available."""
    return "in-use" if is_attached(nic) or nic.requester else "available"


def attachment_status(nic: Nic) -> str | None:
    """``Attachment.Status``; None without an attachment."""
    return _ATTACHMENT_WORDS.get(nic.attach) if is_attached(nic) else None


def attach_time(nic: Nic) -> datetime | None:
    """When an interface's attachment was asked for (EC2 AttachTime)."""
    asked = nic.asked_at or nic.attached_at
    return None if asked is None else moment(asked)


def interface_type(nic: Nic) -> str:
    """``InterfaceType``: what it is kept for (EC2 user guide, "Requester-managed network interfaces")."""
    return "nat_gateway" if nic.requester.startswith("nat") else "interface"


def _attachment(nic: Nic) -> Document | None:
    if not is_attached(nic):
        return None
    return {
        "AttachmentId": nic.attachment_id,
        "AttachTime": attach_time(nic),
        "DeleteOnTermination": nic.delete_on_termination,
        "DeviceIndex": nic.index,
        "NetworkCardIndex": 0,
        "Status": attachment_status(nic),
    }


def attachment_document(nic: Nic) -> Document | None:
    """``NetworkInterfaceAttachment``; None without an attachment."""
    found = _attachment(nic)
    return (
        None if found is None else found | {"InstanceId": nic.instance_id, "InstanceOwnerId": nic.account_id}
    )


def _association(interface: Interface, address: str) -> Document | None:
    public = interface.public_at(address)
    if public is None:
        return None
    return {
        "IpOwnerId": address_owner(public),
        "PublicDnsName": interface.public_name_of(public),
        "PublicIp": public.ip,
    }


def association_document(interface: Interface, address: str) -> Document | None:
    """``NetworkInterfaceAssociation`` of a private address; what is lent has no ids."""
    found, public = _association(interface, address), interface.public_at(address)
    if found is None or public is None or public.auto:
        return found
    return found | {"AllocationId": public.id, "AssociationId": public.association_id}


def _common(interface: Interface) -> Document:
    """What ``NetworkInterface`` and ``InstanceNetworkInterface`` have in common."""
    nic = interface.nic
    return {
        "NetworkInterfaceId": nic.id,
        "VpcId": nic.vpc_id,
        "SubnetId": nic.subnet_id,
        "OwnerId": nic.account_id,
        "Description": writable(nic.description),
        "MacAddress": nic.mac,
        "PrivateIpAddress": nic.address,
        "PrivateDnsName": interface.private_name_of(nic.address),
        "SourceDestCheck": nic.source_dest_check,
        "Status": status(nic),
        "InterfaceType": interface_type(nic),
        "Groups": [group_identifier(group) for group in interface.groups],
        "Ipv6Addresses": [],
        "Operator": {"Managed": False},
    }


def instance_interface(interface: Interface) -> Document:
    """``InstanceNetworkInterface`` of DescribeInstances."""
    nic = interface.nic
    return _common(interface) | {
        "Association": _association(interface, nic.address),
        "Attachment": _attachment(nic),
        "PrivateIpAddresses": [
            {
                "Association": _association(interface, address),
                "Primary": address == nic.address,
                "PrivateDnsName": interface.private_name_of(address),
                "PrivateIpAddress": address,
            }
            for address in interface.addresses
        ],
    }


def interface_document(interface: Interface) -> Document:
    """``NetworkInterface`` of CreateNetworkInterface and DescribeNetworkInterfaces."""
    nic, public = interface.nic, interface.primary_public
    name = interface.public_name_of(public) if public is not None else ""
    return _common(interface) | {
        "Association": association_document(interface, nic.address),
        "Attachment": attachment_document(nic),
        "AvailabilityZone": nic.zone,
        "AvailabilityZoneId": zone_id_of(nic.region, nic.zone),
        "PublicDnsName": name or None,
        "PrivateIpAddresses": [
            {
                "Association": association_document(interface, address),
                "Primary": address == nic.address,
                "PrivateDnsName": interface.private_name_of(address),
                "PrivateIpAddress": address,
            }
            for address in interface.addresses
        ],
        "RequesterId": LENDER if nic.requester else None,
        "RequesterManaged": bool(nic.requester),
        "TagSet": tag_list(interface.tags) or [],
    }


# Public addresses ---------------------------------------------------------------------------------------


def address_document(address: PublicAddress, nic: Nic | None, tags: Mapping[str, str]) -> Document:
    """``Address`` of DescribeAddresses, with the interface that it leads to."""
    found: Document = {
        "AllocationId": address.id,
        "PublicIp": address.ip,
        "Domain": "vpc",
        "PublicIpv4Pool": address.pool,
        "NetworkBorderGroup": address.region,
        "Tags": tag_list(tags),
    }
    if nic is None:
        return found
    return found | {
        "AssociationId": address.association_id,
        "InstanceId": nic.instance_id or "",
        "NetworkInterfaceId": nic.id,
        "NetworkInterfaceOwnerId": nic.account_id,
        "PrivateIpAddress": address.private_ip,
        "SubnetId": nic.subnet_id,
    }


def allocation_document(address: PublicAddress) -> Document:
    """What AllocateAddress answers."""
    return {
        "AllocationId": address.id,
        "PublicIp": address.ip,
        "Domain": "vpc",
        "PublicIpv4Pool": address.pool,
        "NetworkBorderGroup": address.region,
    }
