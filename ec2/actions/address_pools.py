"""DescribePublicIpv4Pools: the pools that the operator gives public addresses of, to all accounts."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable
from ec2.pages import PageLimits, Position

LIMITS = PageLimits(minimum=1, maximum=10, default=10, ids="PoolIds", ids_word="poolId")
# There are no tags on what the operator configures.
FILTERS: FilterTable[Document] = FilterTable({}, tags=lambda _: {})


def describe_public_ipv4_pools(context: Ec2Context, params: Params) -> Document:
    """Pools by name, which stands in place of their ids (DescribePublicIpv4Pools)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    held = context.engine.networks.address_pools()
    wanted = params.get("PoolIds") or held
    unknown = [name for name in wanted if name not in held]
    if unknown:
        raise Ec2Error("InvalidPublicIpv4PoolID.NotFound", f"The pool ID '{unknown[0][:120]}' does not exist")
    pools = [_pool(context, name, *held[name]) for name in sorted(set(wanted))]
    rows: list[tuple[Position, Document]] = [((pool["PoolId"],), pool) for pool in pools if matches(pool)]
    page, token = page_of(context, params, rows, LIMITS)
    return {"PublicIpv4Pools": page, "NextToken": token}


def _pool(context: Ec2Context, name: str, ranges: Sequence[range], held: frozenset[int]) -> Document:
    found = [_range(each, held) for each in ranges]
    return {
        "PoolId": name,
        "Description": "",
        "PoolAddressRanges": found,
        "TotalAddressCount": sum(each["AddressCount"] for each in found),
        "TotalAvailableAddressCount": sum(each["AvailableAddressCount"] for each in found),
        "NetworkBorderGroup": context.region,
        "Tags": [],
    }


def _range(numbers: range, held: frozenset[int]) -> Document:
    return {
        "FirstAddress": str(ipaddress.IPv4Address(numbers.start)),
        "LastAddress": str(ipaddress.IPv4Address(numbers.stop - 1)),
        "AddressCount": len(numbers),
        "AvailableAddressCount": len(numbers) - sum(number in numbers for number in held),
    }
