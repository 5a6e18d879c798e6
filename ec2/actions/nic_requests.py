"""What requests say of an interface to be, and of how a guest may use the metadata service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from backend.commands import NicRequest
from backend.model import MetadataOptions
from ec2.actions.common import missing, refuse_all, refuse_unless, unsupported_value, well_formed_ids
from ec2.errors import Ec2Error
from ec2.ids import IdKind

_NOT_OFFERED = (
    "AssociateCarrierIpAddress",
    "ConnectionTrackingSpecification",
    "EnaQueueCount",
    "EnaSrdSpecification",
    "Ipv4PrefixCount",
    "Ipv4Prefixes",
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "Ipv6PrefixCount",
    "Ipv6Prefixes",
    "PrimaryIpv6",
)
"""What interfaces here have not."""


def launch_nics(params: Mapping[str, Any]) -> tuple[NicRequest, ...]:
    """The interfaces that RunInstances asks for; empty when it leaves them to the subnet.

    Raises Ec2Error: InvalidParameterCombination beside a subnet, address or groups of the instance, and for
    a public address where EC2 gives none.
    """
    items: Sequence[Mapping[str, Any]] = params.get("NetworkInterfaces") or ()
    if not items:
        return ()
    for name, words in _INSTANCE_LEVEL.items():
        if params.get(name):
            raise Ec2Error(
                "InvalidParameterCombination",
                f"Network interfaces and {words} may not be specified on the same request",
            )
    found = tuple(_launch_nic(item) for item in items)
    if len({each.index for each in found}) != len(found):
        raise Ec2Error("InvalidParameterValue", "Each network interface requires a device index of its own.")
    if len(found) > 1 and any(each.public_ip for each in found):
        raise Ec2Error(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple network "
            "interfaces.",
        )
    return found


_INSTANCE_LEVEL: Mapping[str, str] = {
    "SubnetId": "an instance-level subnet ID",
    "PrivateIpAddress": "an instance-level private address",
    "SecurityGroupIds": "an instance-level security groups",
    "SecurityGroups": "an instance-level security groups",
}


def _launch_nic(item: Mapping[str, Any]) -> NicRequest:
    refuse_all(item, _NOT_OFFERED)
    refuse_unless(item, {"InterfaceType": ("interface", "")})
    if item.get("NetworkCardIndex"):
        raise unsupported_value(item["NetworkCardIndex"], "NetworkInterface.NetworkCardIndex")
    if item.get("DeviceIndex") is None:
        raise Ec2Error("InvalidParameterValue", "Each network interface requires a device index.")
    request = nic_request(item, index=item["DeviceIndex"])
    if request.nic_id and _says_more(item):
        raise Ec2Error(
            "InvalidParameterCombination",
            "A network interface that exists is named by its ID alone; it has a subnet, addresses, groups.",
        )
    return request


def _says_more(item: Mapping[str, Any]) -> bool:
    """Whether a request for an interface there is says what only a new one can be told."""
    names = (
        "AssociatePublicIpAddress",
        "Description",
        "Groups",
        "PrivateIpAddress",
        "PrivateIpAddresses",
        "SecondaryPrivateIpAddressCount",
        "SubnetId",
    )
    return any(item.get(name) not in (None, "", [], 0) for name in names)


def nic_request(item: Mapping[str, Any], *, index: int) -> NicRequest:
    """An interface as CreateNetworkInterface and RunInstances ask for it; groups are ids.

    Raises Ec2Error for ill-formed ids, two primary addresses, or addresses beside their number.
    """
    nic_id, subnet_id = item.get("NetworkInterfaceId") or "", item.get("SubnetId") or ""
    if nic_id:
        well_formed_ids(IdKind.NETWORK_INTERFACE, [nic_id])
    if subnet_id:
        well_formed_ids(IdKind.SUBNET, [subnet_id])
    primary, secondary = _addresses(item)
    count = item.get("SecondaryPrivateIpAddressCount") or 0
    if count < 0:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({count}) for parameter secondaryPrivateIpAddressCount is invalid. It is at least 0.",
        )
    if count and secondary:
        raise Ec2Error(
            "InvalidParameterCombination",
            "Secondary addresses and secondaryPrivateIpAddressCount may not be specified on the same request",
        )
    return NicRequest(
        index=index,
        nic_id=nic_id,
        subnet_id=subnet_id,
        address=primary,
        secondary=secondary,
        secondary_count=count,
        groups=tuple(well_formed_ids(IdKind.SECURITY_GROUP, item.get("Groups") or ())),
        description=item.get("Description", ""),
        # An interface that was there before outlives the instance unless it is told otherwise.
        delete_on_termination=item.get("DeleteOnTermination", not nic_id),
        public_ip=item.get("AssociatePublicIpAddress"),
    )


def _addresses(item: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The primary address and the others, from either spelling."""
    listed = item.get("PrivateIpAddresses") or ()
    for number, each in enumerate(listed, 1):
        if not each.get("PrivateIpAddress"):
            raise missing(f"PrivateIpAddresses.{number}.PrivateIpAddress")
    first = [each["PrivateIpAddress"] for each in listed if each.get("Primary")]
    if item.get("PrivateIpAddress"):
        first.append(item["PrivateIpAddress"])
    if len(set(first)) > 1:
        raise Ec2Error("InvalidParameterCombination", "Only one primary private IP address can be specified.")
    primary = first[0] if first else ""
    others = [each["PrivateIpAddress"] for each in listed if not each.get("Primary")]
    return primary, tuple(others)


# Metadata options ---------------------------------------------------------------------------------------

_MOST_HOPS = 64


def metadata_options(asked: Mapping[str, Any], have: MetadataOptions) -> MetadataOptions:
    """Options of the metadata service as they are to be; what is not asked for stays as it is.

    Raises Ec2Error: InvalidParameterValue for a hop limit beyond 1 to 64, UnsupportedOperation for IPv6.
    """
    refuse_unless(asked, {"HttpProtocolIpv6": "disabled"})
    hops = asked.get("HttpPutResponseHopLimit", have.hop_limit)
    if not 1 <= hops <= _MOST_HOPS:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. "
            f"Expecting a value between 1 and {_MOST_HOPS}.",
        )
    return msgspec.structs.replace(
        have,
        tokens=asked.get("HttpTokens", have.tokens),
        endpoint=_switch(asked.get("HttpEndpoint"), default=have.endpoint),
        hop_limit=hops,
        tags=_switch(asked.get("InstanceMetadataTags"), default=have.tags),
    )


def _switch(word: str | None, *, default: bool) -> bool:
    return default if not word else word == "enabled"
