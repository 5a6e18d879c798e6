"""What an interface on a user network is to be, by the rows: its address, and the ports that lead to it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backend.network_model import ANYWHERE, METADATA_ADDRESS, Nic, SecurityRule, Topology
from backend.ports import Forward

RANGE_LIMIT: Final = 64
"""Ports of one rule at most, or it opens none: each port takes a descriptor of the guest's QEMU."""
PORTS_LIMIT: Final = 512
"""Ports of one interface at most; those of the narrowest rules come first."""
SHIFT: Final = 10_000
"""How much higher a port listens that only root could listen at."""
LINK_LOCAL: Final = ipaddress.IPv4Network("169.254.0.0/16")
_METADATA: Final = ipaddress.IPv4Address(METADATA_ADDRESS)
_LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")
_LOCAL_CLIENT: Final = ipaddress.IPv4Network("127.0.0.1/32")
"""Where connections to any loopback address come from, unless a client chooses another."""
_ANYWHERE: Final = ipaddress.IPv4Network(ANYWHERE)
_FIRST_GUEST: Final = 4
_OTHER_HALF: Final = 0x8000


# Addresses ----------------------------------------------------------------------------------------------


def place(address: str, cidr: str, *, index: int, outbound: bool) -> tuple[str, str]:
    """The guest's address and the network that it believes to be on.

    The network must hold the metadata service. The smallest one that also holds the private address does, if
    there is any; but what is in it cannot be reached outside, so with ``outbound`` a small one is better, and
    in that the guest's address is link-local. Further interfaces need no way to the metadata service.
    """
    if index:
        return address, cidr
    common = _common(ipaddress.IPv4Address(address), _METADATA)
    if common.prefixlen and not outbound:
        return address, str(common)
    return str(_link_local(ipaddress.IPv4Address(address))), str(LINK_LOCAL)


def _common(one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> ipaddress.IPv4Network:
    """The smallest network that holds both."""
    length = 32 - (int(one) ^ int(other)).bit_length()
    return ipaddress.IPv4Network((int(one), length), strict=False)


def _link_local(address: ipaddress.IPv4Address) -> ipaddress.IPv4Address:
    """An address with the same last 16 bits, or others when these are the network's or the service's."""
    bits = int(address) & 0xFFFF
    found = LINK_LOCAL[bits]
    taken = bits < _FIRST_GUEST or found in {_METADATA, LINK_LOCAL.broadcast_address}
    return LINK_LOCAL[bits ^ _OTHER_HALF] if taken else found


# Ports --------------------------------------------------------------------------------------------------


def lowest_port() -> int:
    """The lowest port that this process, and so a QEMU of the same user, may listen at."""
    if os.geteuid() == 0:
        return 1
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))


def forwards_of(topology: Topology, nic: Nic, *, lowest: int) -> tuple[Forward, ...]:
    """The ports that are to lead to an interface: of its public addresses, where its groups let all in."""
    if not nic.up:
        return ()
    rules = [rule for group_id in nic.groups for rule in topology.rules.get(group_id, ())]
    rules.sort(key=lambda rule: rule.to_port - rule.from_port)
    found: dict[tuple[str, str, int], Forward] = {}
    for public in topology.public.get(nic.id, ()):
        if public.up and public.private_ip == nic.address:
            ports = [port for rule in rules for port in _opened(rule, public.ip)][:PORTS_LIMIT]
            ports.sort(key=lambda port: port[1] >= lowest)  # an own port wins over a shifted one
            for protocol, port in ports:
                listening = port if port >= lowest else port + SHIFT
                found[protocol, public.ip, listening] = Forward(
                    protocol=protocol, address=public.ip, port=listening, guest_port=port
                )
    return tuple(found[key] for key in sorted(found))[:PORTS_LIMIT]


def _opened(rule: SecurityRule, address: str) -> Iterator[tuple[str, int]]:
    """The ports that a rule opens to everybody who can connect to an address."""
    if rule.egress or rule.protocol not in {"tcp", "udp"} or not _covers(rule.cidr, address):
        return
    first, last = max(rule.from_port, 1), rule.to_port
    if rule.from_port >= 0 and last - first < RANGE_LIMIT:
        for port in range(first, last + 1):
            yield rule.protocol, port


def _covers(cidr: str, address: str) -> bool:
    """Whether a peer stands for all who can connect: QEMU does not look at who does."""
    if not cidr:
        return False
    peers = ipaddress.ip_network(cidr)
    clients = _LOCAL_CLIENT if ipaddress.IPv4Address(address) in _LOOPBACK else _ANYWHERE
    return isinstance(peers, ipaddress.IPv4Network) and clients.subnet_of(peers)
