"""DescribeInstances, and the four operations of an instance's life: start, stop, reboot, terminate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.commands import Change, Op, Operate
from backend.engine import InstanceKey, InstanceQuery
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from ec2 import mapping
from ec2.actions.common import well_formed_ids
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import Filter, FilterTable, Value, plain_values
from ec2.ids import IdKind, not_found
from ec2.pages import PageLimits, Position, page_size
from ec2.rendered import Shown, by_launch, reservations

LIMITS = PageLimits(default=None, ids="InstanceIds", ids_word="instancesSet")
_BATCH = 1000


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
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "capacity-reservation-id",
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
    "network-interface.association.ip-owner-id",
    "network-interface.association.public-dns-name",
    "network-interface.association.public-ip",
    "network-interface.attachment.attach-time",
    "network-interface.attachment.attachment-id",
    "network-interface.attachment.delete-on-termination",
    "network-interface.attachment.device-index",
    "network-interface.attachment.instance-id",
    "network-interface.attachment.instance-owner-id",
    "network-interface.attachment.status",
    "network-interface.availability-zone",
    "network-interface.description",
    "network-interface.group-id",
    "network-interface.group-name",
    "network-interface.ipv6-addresses.ipv6-address",
    "network-interface.mac-address",
    "network-interface.network-interface-id",
    "network-interface.owner-id",
    "network-interface.private-dns-name",
    "network-interface.private-ip-address",
    "network-interface.requester-id",
    "network-interface.requester-managed",
    "network-interface.source-dest-check",
    "network-interface.status",
    "network-interface.subnet-id",
    "network-interface.vpc-id",
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
        "launch-time": lambda row: mapping.moment(row.instance.created_at),
        "maintenance-options.auto-recovery": lambda _: "disabled",
        "metadata-options.http-endpoint": lambda _: mapping.METADATA_OPTIONS["HttpEndpoint"],
        "metadata-options.http-protocol-ipv4": lambda _: mapping.METADATA_OPTIONS["HttpEndpoint"],
        "metadata-options.http-protocol-ipv6": lambda _: mapping.METADATA_OPTIONS["HttpProtocolIpv6"],
        "metadata-options.http-put-response-hop-limit": lambda _: mapping.METADATA_OPTIONS[
            "HttpPutResponseHopLimit"
        ],
        "metadata-options.http-tokens": lambda _: mapping.METADATA_OPTIONS["HttpTokens"],
        "metadata-options.instance-metadata-tags": lambda _: mapping.METADATA_OPTIONS["InstanceMetadataTags"],
        "monitoring-state": lambda _: "disabled",
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


# Listing ------------------------------------------------------------------------------------------------


def describe_instances(context: Ec2Context, params: Params) -> Document:
    """List reservations by id or filter, in pages of whole reservations (DescribeInstances)."""
    size = page_size(params, LIMITS)
    query, rest = narrowed(params.get("Filters", ()))
    matches = FILTERS.compile(rest) if rest else None
    ids = params.get("InstanceIds")
    cache = context.rendered
    if ids:
        keys = keys_of(context, ids, query)
    elif query is None:
        return {"Reservations": []}
    else:
        keys = context.engine.instance_keys(
            context.caller, paged(context, params, query, size if matches is None else None)
        )
    if size is None or len(keys) <= size:
        rows = cache.rows(context.engine, context.caller, keys)
        return {"Reservations": reservations(filter(matches, rows) if matches is not None else rows)}
    groups = (
        group
        for batch in _batches(keys)
        for group in by_launch(filter(matches, cache.rows(context.engine, context.caller, batch)))
    )
    shown, more = whole_reservations(groups, size)
    token = context.next_token(params, position(shown[-1])) if more else None
    return {"Reservations": reservations(shown), "NextToken": token}


def keys_of(context: Ec2Context, ids: Sequence[str], query: InstanceQuery | None) -> list[InstanceKey]:
    """Keys of instances named by the caller: all must exist, then filters choose among them."""
    wanted = well_formed_ids(IdKind.INSTANCE, ids)
    found = context.engine.instance_keys(context.caller, InstanceQuery(ids=tuple(wanted)))
    unknown = set(wanted).difference(key.id for key in found)
    if unknown:
        raise not_found(IdKind.INSTANCE, [each for each in wanted if each in unknown])
    if query is None:
        return []
    if query == InstanceQuery():
        return found
    return context.engine.instance_keys(context.caller, _with(query, ids=tuple(wanted)))


def _with(query: InstanceQuery, **changes: Any) -> InstanceQuery:
    fields = {name: getattr(query, name) for name in query.__struct_fields__}
    return InstanceQuery(**(fields | changes))


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


def paged(context: Ec2Context, params: Params, query: InstanceQuery, size: int | None) -> InstanceQuery:
    """A query that begins after the page before, and goes one beyond the page when its size is known."""
    after = context.after(params)
    limit = None if size is None else size + 1
    if after is None:
        return _with(query, limit=limit)
    if len(after) != 3:
        raise Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
    created, launch, index = after
    return _with(query, limit=limit, after=(float(created), str(launch), int(index)))


def position(row: Shown) -> Position:
    """Where a row stands in the listing; the time as text, since it must come back exactly."""
    return (repr(row.instance.created_at), row.instance.launch_id, row.instance.launch_index)


def whole_reservations(groups: Iterable[list[Shown]], size: int) -> tuple[list[Shown], bool]:
    """Rows of a page, and whether more follow: a reservation is only cut when it alone is too long."""
    shown: list[Shown] = []
    for group in groups:
        if len(shown) + len(group) > size:
            return (shown, True) if shown else (group[:size], True)
        shown.extend(group)
    return shown, False


def _batches(keys: list[InstanceKey]) -> Iterable[list[InstanceKey]]:
    """Keys in batches that do not cut a reservation."""
    start = 0
    while start < len(keys):
        end = min(start + _BATCH, len(keys))
        while end < len(keys) and keys[end].launch_id == keys[end - 1].launch_id:
            end += 1
        yield keys[start:end]
        start = end


# Operations ---------------------------------------------------------------------------------------------


def start_instances(context: Ec2Context, params: Params) -> Document:
    """Start stopped instances (StartInstances)."""
    return {"StartingInstances": _states(_operate(context, params, Op.START))}


def stop_instances(context: Ec2Context, params: Params) -> Document:
    """Stop running instances: by the power button and, when that is ignored, hard (StopInstances)."""
    if params.get("Hibernate"):
        _require_hibernation(context, params)
        op = Op.SUSPEND
    elif params.get("Force") or params.get("SkipOsShutdown"):
        op = Op.POWEROFF_HARD
    else:
        op = Op.POWEROFF
    return {"StoppingInstances": _states(_operate(context, params, op))}


def _require_hibernation(context: Ec2Context, params: Params) -> None:
    """Only instances launched for it hibernate in EC2; they stay so for life, so this needs no lock."""
    for instance in context.engine.instances_by_id(context.caller, _wanted(params)):
        if not instance.hibernation:
            raise BackendError(
                Code.HIBERNATION_NOT_CONFIGURED,
                "The instance is not configured for hibernation.",
                ids=(instance.id,),
            )


def reboot_instances(context: Ec2Context, params: Params) -> Document:
    """Ask guests to reboot, and reset those that do not (RebootInstances)."""
    _operate(context, params, Op.REBOOT)
    return {}


def terminate_instances(context: Ec2Context, params: Params) -> Document:
    """End instances for good (TerminateInstances); with Force or SkipOsShutdown without asking the guest."""
    changes = _operate(context, params, Op.TERMINATE)
    if params.get("Force") or params.get("SkipOsShutdown"):
        _hurry(context, changes)
    return {"TerminatingInstances": _states(changes)}


def _hurry(context: Ec2Context, changes: tuple[Change, ...]) -> None:
    """Cut short the shutdowns that the termination began; one that is over already needs no hurry."""
    for change in changes:
        if transition(Op.CANCEL.value, change.after.detail) is not None:
            try:
                context.engine.execute(context.caller, Operate(op=Op.CANCEL, ids=(change.after.id,)))
            except BackendError:
                continue


def _operate(context: Ec2Context, params: Params, op: Op) -> tuple[Change, ...]:
    # EC2 promises that a stop and a reboot end, whatever the guest does.
    forced = op in {Op.POWEROFF, Op.REBOOT}
    command = Operate(op=op, ids=_wanted(params), force_at_timeout=forced)
    return context.engine.execute(context.caller, command)


def _wanted(params: Params) -> tuple[str, ...]:
    ids = params.get("InstanceIds")
    if not ids:
        raise Ec2Error("InvalidParameterCombination", "No instances specified")
    return tuple(well_formed_ids(IdKind.INSTANCE, ids))


def _states(changes: tuple[Change, ...]) -> list[Document]:
    return [mapping.state_change(change.before, change.after) for change in changes]
