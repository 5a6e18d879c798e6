"""The filters of DescribeInstances, and which of them the database can decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from backend.engine import InstanceQuery
from backend.lifecycle import DETAILS, ec2_state
from backend.network_model import PublicAddress
from ec2 import instance_mapping, interface_mapping, listing, mapping
from ec2.filters import Filter, FilterTable, Value, texts
from ec2.interface_mapping import Interface
from ec2.listing import Column, Columns
from ec2.rendered import Shown


def _absent(_shown: Shown) -> Value:
    return None


def _reason_code(shown: Shown) -> Value:
    reason = mapping.state_reason(shown.instance)
    return (reason.code or None) if reason is not None else None


def _reason_message(shown: Shown) -> Value:
    reason = mapping.state_reason(shown.instance)
    return reason.message if reason is not None else None


def _of_primary(read: Callable[[Interface], Value]) -> Callable[[Shown], Value]:
    """What an instance has by its primary interface."""

    def value(shown: Shown) -> Value:
        first = instance_mapping.primary(shown.interfaces)
        return None if first is None else read(first)

    return value


def _of_interfaces(read: Callable[[Interface], Value]) -> Callable[[Shown], Value]:
    """What any of an instance's interfaces has."""
    return lambda shown: [text for each in shown.interfaces for text in texts(read(each))]


def _association(read: Callable[[Interface, PublicAddress], Value]) -> Callable[[Interface], Value]:
    """What the public address of an interface's primary address has."""

    def value(each: Interface) -> Value:
        public = each.primary_public
        return None if public is None else read(each, public)

    return value


def _associations(read: Callable[[Interface, PublicAddress], Value]) -> Callable[[Interface], Value]:
    """What any public address of an interface has."""
    return lambda each: [text for public in each.public for text in texts(read(each, public))]


_ASSOCIATION: Mapping[str, Callable[[Interface, PublicAddress], Value]] = {
    "allocation-id": lambda _, public: None if public.auto else public.id,
    "association-id": lambda _, public: None if public.auto else public.association_id,
    "ip-owner-id": lambda _, public: interface_mapping.address_owner(public),
    "public-dns-name": lambda each, public: each.public_name_of(public) or None,
    "public-ip": lambda _, public: public.ip,
}

_INTERFACE: Mapping[str, Callable[[Interface], Value]] = {
    **{f"association.{name}": _association(read) for name, read in _ASSOCIATION.items()},
    **{f"addresses.association.{name}": _associations(read) for name, read in _ASSOCIATION.items()},
    "addresses.primary": lambda each: [address == each.nic.address for address in each.addresses],
    "addresses.private-dns-name": lambda each: [each.private_name_of(address) for address in each.addresses],
    "addresses.private-ip-address": lambda each: each.addresses,
    "attachment.attach-time": lambda each: interface_mapping.attach_time(each.nic),
    "attachment.attachment-id": lambda each: each.nic.attachment_id,
    "attachment.delete-on-termination": lambda each: each.nic.delete_on_termination,
    "attachment.device-index": lambda each: each.nic.index,
    "attachment.instance-id": lambda each: each.nic.instance_id,
    "attachment.instance-owner-id": lambda each: each.nic.account_id,
    "attachment.network-card-index": lambda _: 0,
    "attachment.status": lambda each: interface_mapping.attachment_status(each.nic),
    "availability-zone": lambda each: each.nic.zone,
    "deny-all-igw-traffic": lambda _: False,
    "description": lambda each: each.nic.description,
    "group-id": lambda each: [group.id for group in each.groups],
    "group-name": lambda each: [group.name for group in each.groups],
    "ipv6-native": lambda _: False,
    "mac-address": lambda each: each.nic.mac,
    "network-interface-id": lambda each: each.nic.id,
    "operator.managed": lambda _: False,
    "owner-id": lambda each: each.nic.account_id,
    "private-dns-name": lambda each: each.private_name_of(each.nic.address),
    "private-ip-address": lambda each: each.nic.address,
    "public-dns-name": _association(lambda each, public: each.public_name_of(public) or None),
    "requester-managed": lambda _: False,
    "source-dest-check": lambda each: each.nic.source_dest_check,
    "status": lambda each: interface_mapping.status(each.nic),
    "subnet-id": lambda each: each.nic.subnet_id,
    "tag-key": lambda each: each.tags.keys(),
    "tag-value": lambda each: each.tags.values(),
    "vpc-id": lambda each: each.nic.vpc_id,
}
"""Filters on an instance's interfaces, beneath ``network-interface.``."""


_NOT_YET = (
    "affinity",
    "capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
    "host-id",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "iam-instance-profile.name",
    "instance-lifecycle",
    "ipv6-address",
    "kernel-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.requester-id",
    "operator.principal",
    "outpost-arn",
    "platform",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "requester-id",
    "spot-instance-request-id",
    "tpm-support",
)
"""Filters on things that no instance has yet: known, and matching nothing."""

FILTERS: FilterTable[Shown] = FilterTable(
    {
        **dict.fromkeys(_NOT_YET, _absent),
        **{f"network-interface.{name}": _of_interfaces(read) for name, read in _INTERFACE.items()},
        "architecture": lambda row: row.instance.architecture,
        "availability-zone": lambda row: row.instance.zone,
        "availability-zone-id": lambda row: mapping.zone_id_of(row.instance.region, row.instance.zone),
        "block-device-mapping.attach-time": lambda row: [mapping.attach_time(each) for each in row.volumes],
        "block-device-mapping.delete-on-termination": lambda row: [
            each.delete_on_termination for each in row.volumes
        ],
        "block-device-mapping.device-name": lambda row: [each.device for each in row.volumes],
        "block-device-mapping.status": lambda row: [each.attach.value for each in row.volumes],
        "block-device-mapping.volume-id": lambda row: [each.id for each in row.volumes],
        "boot-mode": lambda _: mapping.BOOT_MODE,
        "capacity-reservation-specification.capacity-reservation-preference": lambda _: "open",
        "client-token": lambda row: row.instance.client_token or None,
        "current-instance-boot-mode": lambda _: mapping.BOOT_MODE,
        "dns-name": lambda row: instance_mapping.public_dns_name(row.interfaces) or None,
        "ebs-optimized": lambda _: False,
        "ena-support": lambda _: False,
        "enclave-options.enabled": lambda _: False,
        **dict.fromkeys(
            ("group-id", "instance.group-id"), _of_primary(lambda each: [group.id for group in each.groups])
        ),
        **dict.fromkeys(
            ("group-name", "instance.group-name"),
            _of_primary(lambda each: [group.name for group in each.groups]),
        ),
        "hibernation-options.configured": lambda row: row.instance.hibernation,
        "hypervisor": lambda _: mapping.HYPERVISOR,
        "image-id": lambda row: row.instance.image_id,
        "instance-id": lambda row: row.instance.id,
        "instance-state-code": lambda row: mapping.STATE_CODES[row.state],
        "instance-state-name": lambda row: row.state,
        "instance-type": lambda row: row.instance.flavor,
        "ip-address": lambda row: instance_mapping.public_address(row.interfaces),
        "key-name": lambda row: row.instance.key_name or None,
        "launch-index": lambda row: row.instance.launch_index,
        "launch-time": lambda row: mapping.launch_time(row.instance),
        "maintenance-options.auto-recovery": lambda _: "disabled",
        "metadata-options.http-endpoint": lambda row: mapping.enabled(row.instance.metadata.endpoint),
        "metadata-options.http-protocol-ipv4": lambda row: mapping.enabled(row.instance.metadata.endpoint),
        "metadata-options.http-protocol-ipv6": lambda _: mapping.enabled(False),
        "metadata-options.http-put-response-hop-limit": lambda row: row.instance.metadata.hop_limit,
        "metadata-options.http-tokens": lambda row: row.instance.metadata.tokens,
        "metadata-options.instance-metadata-tags": lambda row: mapping.enabled(row.instance.metadata.tags),
        "metadata-options.state": lambda _: mapping.METADATA_STATE,
        "monitoring-state": lambda row: instance_mapping.monitoring_state(row.instance),
        "network-performance-options.bandwidth-weighting": lambda _: mapping.BANDWIDTH_WEIGHTING,
        "operator.managed": lambda _: False,
        "owner-id": lambda row: row.instance.account_id,
        "placement-group-name": lambda row: row.group_name or None,
        "placement-partition-number": lambda row: row.instance.partition or None,
        "platform-details": lambda _: mapping.PLATFORM,
        "private-dns-name": lambda row: mapping.private_dns_name(row.instance) or None,
        "private-dns-name-options.enable-resource-name-dns-a-record": lambda _: False,
        "private-dns-name-options.enable-resource-name-dns-aaaa-record": lambda _: False,
        "private-dns-name-options.hostname-type": lambda _: mapping.DNS_NAME_OPTIONS["HostnameType"],
        "private-ip-address": lambda row: mapping.private_address(row.instance),
        "public-dns-name": lambda row: instance_mapping.public_dns_name(row.interfaces) or None,
        "reason": lambda row: mapping.transition_reason(row.instance) or None,
        "reservation-id": lambda row: row.instance.launch_id,
        "root-device-name": lambda _: mapping.ROOT_DEVICE_NAME,
        "root-device-type": lambda _: mapping.ROOT_DEVICE_TYPE,
        "source-dest-check": _of_primary(lambda each: each.nic.source_dest_check),
        "state-reason-code": _reason_code,
        "state-reason-message": _reason_message,
        "subnet-id": _of_primary(lambda each: each.nic.subnet_id),
        "tenancy": lambda _: "default",
        "usage-operation": lambda _: mapping.USAGE_OPERATION,
        "usage-operation-update-time": lambda row: mapping.moment(row.instance.created_at),
        "virtualization-type": lambda _: "hvm",
        "vpc-id": _of_primary(lambda each: each.nic.vpc_id),
    },
    tags=lambda row: row.tags,
)


def details_of(state: str) -> list[str]:
    """The details that instances in a state are in; any that has not ended may be shutting down."""
    return [
        detail for detail in DETAILS if state in {ec2_state(detail, gone=False), ec2_state(detail, gone=True)}
    ]


_COLUMNS: Columns = {
    "architecture": Column("architecture"),
    "availability-zone": Column("zone"),
    "client-token": Column("client_token"),
    "image-id": Column("image_id"),
    "instance-id": Column("id"),
    "instance-state-name": Column("detail", details_of, exact=False),
    "instance-type": Column("flavor"),
    "key-name": Column("key_name"),
    "owner-id": Column("account_id"),
    "reservation-id": Column("launch_id"),
    "subnet-id": Column("subnet_id", exact=False),
    "vpc-id": Column("vpc_id", exact=False),
}
"""Filters that are columns: with plain values they are left to the database, or narrowed by it."""


def narrowed(filters: Sequence[Filter]) -> tuple[InstanceQuery | None, list[Filter]]:
    """What the database can decide of some filters, and those that it cannot; None when nothing matches.

    Raises the refusals of :meth:`FilterTable.compile` for all of them.
    """
    FILTERS.compile(filters)
    query, rest = listing.narrowed(FILTERS, _COLUMNS, filters)
    return None if query is None else InstanceQuery(equal=query.equal, tags=query.tags), rest
