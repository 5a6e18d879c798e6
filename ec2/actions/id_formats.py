"""Whether ids are long: in EC2 every kind went over to 17 digits in its time; here all have them always."""

from __future__ import annotations

from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error

_KINDS = (
    "bundle",
    "conversion-task",
    "customer-gateway",
    "dhcp-options",
    "elastic-ip-allocation",
    "elastic-ip-association",
    "export-task",
    "flow-log",
    "image",
    "import-task",
    "instance",
    "internet-gateway",
    "network-acl",
    "network-acl-association",
    "network-interface",
    "network-interface-attachment",
    "prefix-list",
    "reservation",
    "route-table",
    "route-table-association",
    "security-group",
    "snapshot",
    "subnet",
    "subnet-cidr-block-association",
    "volume",
    "vpc",
    "vpc-cidr-block-association",
    "vpc-endpoint",
    "vpc-peering-connection",
    "vpn-connection",
    "vpn-gateway",
)
"""The kinds whose ids had two forms (EC2 API reference, DescribeIdFormat)."""


def describe_id_format(_context: Ec2Context, params: Params) -> Document:
    """The form of ids for the caller (DescribeIdFormat)."""
    return {"Statuses": _statuses(params.get("Resource"))}


def describe_identity_id_format(_context: Ec2Context, params: Params) -> Document:
    """The form of ids for some user or role: that for all (DescribeIdentityIdFormat)."""
    return {"Statuses": _statuses(params.get("Resource"))}


def describe_aggregate_id_format(_context: Ec2Context, _params: Params) -> Document:
    """The form of ids in all regions (DescribeAggregateIdFormat)."""
    return {"UseLongIdsAggregated": True, "Statuses": _statuses(None)}


def _statuses(kind: str | None) -> list[Document]:
    if kind and kind not in _KINDS:
        raise Ec2Error("InvalidParameterValue", f"Value ({kind[:120]}) for parameter resource is invalid.")
    return [{"Resource": each, "UseLongIds": True} for each in _KINDS if kind in (None, "", each)]
