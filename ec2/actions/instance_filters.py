"""The filters of DescribeInstances, and which of them the database can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.engine import InstanceQuery
from ec2 import mapping
from ec2.filters import Filter, FilterTable, Value, plain_values
from ec2.rendered import Shown


def _absent(_shown: Shown) -> Value:
    return None


def _reason_code(shown: Shown) -> Value:
    reason = mapping.state_reason(shown.instance)
    return (reason.code or None) if reason is not None else None


def _reason_message(shown: Shown) -> Value:
    reason = mapping.state_reason(shown.instance)
    return reason.message if reason is not None else None


_NOT_YET = (
    "affinity",
    "capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-id",
    "capacity-reservation-specification.capacity-reservation-target.capacity-reservation-resource-group-arn",
    "dns-name",
    "group-id",
    "group-name",
    "host-id",
    "iam-instance-profile.arn",
    "iam-instance-profile.id",
    "iam-instance-profile.name",
    "instance-lifecycle",
    "instance.group-id",
    "instance.group-name",
    "ip-address",
    "ipv6-address",
    "kernel-id",
    "network-interface.addresses.association.allocation-id",
    "network-interface.addresses.association.association-id",
    "network-interface.addresses.association.carrier-ip",
    "network-interface.addresses.association.customer-owned-ip",
    "network-interface.addresses.association.ip-owner-id",
    "network-interface.addresses.association.public-dns-name",
    "network-interface.addresses.association.public-ip",
    "network-interface.addresses.primary",
    "network-interface.addresses.private-dns-name",
    "network-interface.addresses.private-ip-address",
    "network-interface.association.allocation-id",
    "network-interface.association.association-id",
    "network-interface.association.carrier-ip",
    "network-interface.association.customer-owned-ip",
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.network-card-index",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.deny-all-igw-traffic",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv4-prefixes.ipv4-prefix",
    "network-interface.ipv6-address",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.ipv6-addresses.is-primary-ipv6",
    "network-interface.ipv6-native",
    "network-interface.ipv6-prefixes.ipv6-prefix",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.operator.managed",
    "network-interface.operator.principal",
    "network-interface.outpost-arn",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.public-dns-name",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.source-dest-check",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.tag-key",
    "network-interface.tag-value",
    "network-interface.vpc-id",
    "operator.principal",
    "outpost-arn",
    "placement-group-name",
    "placement-partition-number",
    "platform",
    "product-code",
    "product-code.type",
    "public-dns-name",
    "ramdisk-id",
    "requester-id",
    "spot-instance-request-id",
    "subnet-id",
    "tpm-support",
    "vpc-id",
)
"""Filters on things that no instance has yet: known, and matching nothing."""

FILTERS: FilterTable[Shown] = FilterTable(
    {
        **dict.fromkeys(_NOT_YET, _absent),
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
        "ebs-optimized": lambda _: False,
        "ena-support": lambda _: False,
        "enclave-options.enabled": lambda _: False,
        "hibernation-options.configured": lambda row: row.instance.hibernation,
        "hypervisor": lambda _: mapping.HYPERVISOR,
        "image-id": lambda row: row.instance.image_id,
        "instance-id": lambda row: row.instance.id,
        "instance-state-code": lambda row: mapping.STATE_CODES[row.state],
        "instance-state-name": lambda row: row.state,
        "instance-type": lambda row: row.instance.flavor,
        "key-name": lambda row: row.instance.key_name or None,
        "launch-index": lambda row: row.instance.launch_index,
        "launch-time": lambda row: mapping.launch_time(row.instance),
        "maintenance-options.auto-recovery": lambda _: "disabled",
        "metadata-options.http-endpoint": lambda _: mapping.METADATA_OPTIONS["HttpEndpoint"],
        "metadata-options.http-protocol-ipv4": lambda _: mapping.METADATA_OPTIONS["HttpEndpoint"],
        "metadata-options.http-protocol-ipv6": lambda _: mapping.METADATA_OPTIONS["HttpProtocolIpv6"],
        "metadata-options.http-put-response-hop-limit": lambda _: mapping.METADATA_OPTIONS[
            "HttpPutResponseHopLimit"
        ],
        "metadata-options.http-tokens": lambda _: mapping.METADATA_OPTIONS["HttpTokens"],
        "metadata-options.instance-metadata-tags": lambda _: mapping.METADATA_OPTIONS["InstanceMetadataTags"],
        "metadata-options.state": lambda _: mapping.METADATA_STATE,
        "monitoring-state": lambda _: "disabled",
        "network-performance-options.bandwidth-weighting": lambda _: mapping.BANDWIDTH_WEIGHTING,
        "operator.managed": lambda _: False,
        "owner-id": lambda row: row.instance.account_id,
        "platform-details": lambda _: mapping.PLATFORM,
        "private-dns-name": lambda row: mapping.private_dns_name(row.instance) or None,
        "private-dns-name-options.enable-resource-name-dns-a-record": lambda _: False,
        "private-dns-name-options.enable-resource-name-dns-aaaa-record": lambda _: False,
        "private-dns-name-options.hostname-type": lambda _: mapping.DNS_NAME_OPTIONS["HostnameType"],
        "private-ip-address": lambda row: mapping.private_address(row.instance),
        "reason": lambda row: mapping.transition_reason(row.instance) or None,
        "reservation-id": lambda row: row.instance.launch_id,
        "root-device-name": lambda _: mapping.ROOT_DEVICE_NAME,
        "root-device-type": lambda _: mapping.ROOT_DEVICE_TYPE,
        "source-dest-check": lambda row: True if row.state != "terminated" else None,
        "state-reason-code": _reason_code,
        "state-reason-message": _reason_message,
        "tenancy": lambda _: "default",
        "usage-operation": lambda _: mapping.USAGE_OPERATION,
        "usage-operation-update-time": lambda row: mapping.moment(row.instance.created_at),
        "virtualization-type": lambda _: "hvm",
    },
    tags=lambda row: row.tags,
)

_COLUMNS: Mapping[str, str] = {
    "architecture": "architecture",
    "availability-zone": "zone",
    "client-token": "client_token",
    "image-id": "image_id",
    "instance-id": "id",
    "instance-type": "flavor",
    "key-name": "key_name",
    "owner-id": "account_id",
    "reservation-id": "launch_id",
}
"""Filters that are columns: with plain values they are left to the database."""


def narrowed(filters: Sequence[Filter]) -> tuple[InstanceQuery | None, list[Filter]]:
    """What the database can decide of some filters, and those that it cannot; None when nothing matches.

    Raises the refusals of :meth:`FilterTable.compile` for all of them.
    """
    FILTERS.compile(filters)
    equal: dict[str, frozenset[str]] = {}
    tags: list[tuple[str, tuple[str, ...]]] = []
    rest: list[Filter] = []
    for each in filters:
        name, values = each.get("Name") or "", plain_values(each.get("Values") or ())
        column = _COLUMNS.get(FILTERS.canonical(name))
        if values is not None and column is not None:
            # An empty column stands for a value that is not there, and that matches nothing.
            chosen = values - {""}
            equal[column] = equal[column] & chosen if column in equal else chosen
        elif values and name.startswith("tag:"):
            tags.append((name[4:], tuple(sorted(values))))
        else:
            rest.append(each)
    if not all(equal.values()) or any(not each.get("Values") for each in filters):
        return None, rest
    return InstanceQuery(
        equal={column: tuple(sorted(values)) for column, values in equal.items()}, tags=tuple(tags)
    ), rest
