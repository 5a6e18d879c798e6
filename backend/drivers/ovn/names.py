"""What things are called in the databases, and the numbers that decide which rule goes first."""

from __future__ import annotations

import hashlib
from typing import Final

from backend.model import uuid_of

BRIDGE: Final = "br-int"
"""Where ``ovn-controller`` puts the ports of guests on every chassis."""

PROVIDER: Final = "provider"
METADATA: Final = "metadata"
"""Keys of the provider's switch and of the load balancer that leads to the metadata service."""

GATEWAY_SLOTS: Final = 16
GATEWAYS_EACH: Final = 5
"""VPCs share so many groups of gateway chassis, each of so many at most: every one of a group watches every
other (BFD), so neither may grow with the installation."""


class Priority:
    """The order of rules, of both ACLs and router policies: the highest that matches decides."""

    EXEMPT: Final = 32767  # what no tenant's rule may touch
    ENTRY: Final = 30000  # a network ACL's entries, downwards in their order
    RULE: Final = 2000  # what security groups allow
    BORDER: Final = 1500  # what no entry decides at a router's port
    NOTHING: Final = 1000  # what no rule allows


def main_router(vpc_id: str) -> str:
    """The key of a VPC's router: everything but metadata."""
    return f"{vpc_id}-r"


def metadata_router(vpc_id: str) -> str:
    """The key of a VPC's way to the metadata service."""
    return f"{vpc_id}-m"


def outer_port(router: str) -> str:
    """The name of a router's port on the provider's switch."""
    return f"{router}-out"


def inner_port(subnet_id: str, side: str) -> str:
    """The name of a router's port in a subnet; ``side`` is ``r`` or ``m``."""
    return f"{subnet_id}-{side}-in"


def switch_port(router_port: str) -> str:
    """The name of the switch's port that a router's port is plugged into."""
    return f"{router_port}-sw"


def guest_port(nic_id: str) -> str:
    """The name of an interface's port, as its domain names it: libvirt wants a UUID."""
    return uuid_of(nic_id)


def group_name(group_id: str) -> str:
    """A security group's name where a match can name it: no dashes."""
    return group_id.replace("-", "_")


def localnet(provider: str) -> str:
    """The name of the port by which the provider's switch reaches the chassis' bridges."""
    return f"{provider}-localnet"


def mac_of(name: str) -> str:
    """A locally administered address that is always the same for a name."""
    return ":".join(["0a", *(f"{byte:02x}" for byte in _digest(name)[:5])])


def gateway_slot(vpc_id: str) -> int:
    """Which group of gateway chassis a VPC uses."""
    return _digest(vpc_id)[0] % GATEWAY_SLOTS


def by_turns(slot: int, chassis: tuple[str, ...]) -> list[str]:
    """The chassis of a group, the first choice first; each comes first in about as many groups as any other,
    and one more or less disturbs few.
    """
    return sorted(chassis, key=lambda name: _digest(f"{slot}/{name}"))[:GATEWAYS_EACH]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
