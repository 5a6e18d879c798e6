"""CIDRs as clients write them, and ranges that are left between others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network, collapse_addresses

from backend.errors import BackendError, Code

_FORM = re.compile(r"[0-9.]{7,15}/[0-9]{1,2}")


def network_of(cidr: str, parameter: str = "cidrBlock") -> IPv4Network:
    """A CIDR in its normal form: bits of the host are cut off, as AWS does.

    Raises:
        BackendError: PARAMETER_INVALID, it is none.
    """
    if _FORM.fullmatch(cidr):
        with suppress(ValueError):
            return IPv4Network(cidr, strict=False)
    raise BackendError(
        Code.PARAMETER_INVALID, "This is not a valid CIDR block.", parameter=parameter, value=cidr[:80]
    )


def left_of(block: IPv4Network, taken: Iterable[IPv4Network]) -> list[IPv4Network]:
    """What others leave of a block, in as few ranges as can be, in order."""
    left = [block]
    for each in taken:
        rest: list[IPv4Network] = []
        for part in left:
            if each.subnet_of(part):
                rest += part.address_exclude(each)
            elif not part.subnet_of(each):
                rest.append(part)
        left = rest
    return list(collapse_addresses(left))
