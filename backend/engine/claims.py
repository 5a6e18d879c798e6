"""Choosing addresses that nobody has. Only a choice: the unique index has the last word at the commit."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence

from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.network_model import RESERVED_FIRST, RESERVED_LAST, InfraAddress, Subnet

_INFRA_RESERVED = 16
"""Addresses at the beginning of the infra range that are for the installation itself."""
_TRIES = 4
_CHUNK = 500


def addresses_of(texts: Sequence[str]) -> tuple[range, ...]:
    """The addresses of CIDRs and ranges (``203.0.113.10-203.0.113.99``), as numbers.

    Raises:
        ValueError: one is neither.
    """
    found = []
    for text in texts:
        first, dash, last = text.partition("-")
        if dash:
            low, high = (int(ipaddress.IPv4Address(each.strip())) for each in (first, last))
            if low > high:
                raise ValueError(f"{text!r} ends before it begins")
            found.append(range(low, high + 1))
        else:
            network = ipaddress.IPv4Network(text.strip())
            found.append(range(int(network.network_address), int(network.broadcast_address) + 1))
    return tuple(found)


def choose(ranges: Sequence[range], count: int, taken: Callable[[Collection[str]], set[str]]) -> list[str]:
    """Up to so many free addresses: at random first, as most are free; then all of them in order."""
    chosen: list[str] = []
    for candidates in _candidates(ranges, count):
        held = taken(candidates) | set(chosen)
        chosen.extend(address for address in candidates if address not in held)
        if len(chosen) >= count:
            return chosen[:count]
    return chosen


def _candidates(ranges: Sequence[range], count: int) -> Iterator[list[str]]:
    room = sum(map(len, ranges))
    generator = secrets.SystemRandom()
    for _ in range(_TRIES if room > 2 * count + 16 else 0):
        yield [_at(ranges, offset) for offset in generator.sample(range(room), min(room, count + 8))]
    for start in range(0, room, _CHUNK):
        yield [_at(ranges, offset) for offset in range(start, min(room, start + _CHUNK))]


def _at(ranges: Sequence[range], offset: int) -> str:
    for each in ranges:
        if offset < len(each):
            return str(ipaddress.IPv4Address(each[offset]))
        offset -= len(each)
    raise IndexError(offset)


def usable(subnet: Subnet) -> range:
    """The addresses of a subnet that interfaces can have, as numbers."""
    network = subnet.network
    return range(
        int(network.network_address) + RESERVED_FIRST, int(network.broadcast_address) + 1 - RESERVED_LAST
    )


def free_in(work: Work, subnet: Subnet, count: int, beside: Collection[str] = ()) -> list[str]:
    """Up to so many free addresses of a subnet, none of them among those ``beside``."""
    return choose([usable(subnet)], count, lambda some: work.tx.leases.taken(subnet.id, some) | set(beside))


def claim_infra(work: Work, owners: Sequence[str]) -> None:
    """Give each owner an infra address, where the network driver needs them."""
    settings = work.settings.network
    if not settings.capabilities.needs_infra or not owners:
        return
    [every] = addresses_of([settings.infra])
    found = choose([every[_INFRA_RESERVED:-1]], len(owners), work.tx.infra.taken)
    if len(found) < len(owners):
        raise BackendError(
            Code.ADDRESSES_EXHAUSTED, "The installation has no addresses left towards its metadata service."
        )
    work.tx.infra.insert_all(
        InfraAddress(address=address, owner_id=owner) for owner, address in zip(owners, found, strict=True)
    )


def complete_infra(work: Work) -> None:
    """Give an infra address to whatever was drawn while the network driver needed none."""
    tx = work.tx
    every = [
        *(vpc.id for vpc in tx.vpcs.all()),
        *(gateway.id for gateway in tx.internet_gateways.all()),
        *(nic.id for nic in tx.nics.all()),
    ]
    have = tx.infra.of_owners(every)
    missing = [owner for owner in every if owner not in have]
    for start in range(0, len(missing), _CHUNK):
        claim_infra(work, missing[start : start + _CHUNK])
