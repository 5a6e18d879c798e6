"""Which rule lets a packet pass, and which one stops it: the rows followed step by step, as the network does.

Pure: it tells what the rows say, not what a network does that has yet to follow them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from backend.model import Value
from backend.network_model import (
    ALL_PROTOCOLS,
    METADATA_ADDRESS,
    AclEntry,
    NetworkAcl,
    Nic,
    PublicAddress,
    Route,
    SecurityRule,
    Subnet,
    Topology,
)

_NUMBERS = {"icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
_EPHEMERAL = 49152
"""A port that answers go to: of the range that every system chooses from."""


class Packet(Value, frozen=True, kw_only=True):
    """A first packet. ``port`` is the destination's for TCP and UDP, the type for ICMP."""

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = -1


class Step(Value, frozen=True, kw_only=True):
    """One decision on the way: by what (an id), whether the packet goes on, and why in words."""

    at: str
    passes: bool
    words: str


def trace(topology: Topology, packet: Packet, source: Nic | None) -> list[Step]:
    """The way of a packet of an interface, or (None) from outside, to what stops it or where it arrives."""
    steps: list[Step] = []
    for step in _way(topology, packet, source):
        steps.append(step)
        if not step.passes:
            break
    return steps


def nic_with(topology: Topology, address: str, vpc_id: str) -> Nic | None:
    """The interface of a VPC that has an address."""
    return next(
        (
            topology.nics[nic_id]
            for nic_id, addresses in topology.leases.items()
            if address in addresses and nic_id in topology.nics and topology.nics[nic_id].vpc_id == vpc_id
        ),
        None,
    )


def public_with(topology: Topology, ip: str) -> PublicAddress | None:
    """The public address of that name, if it leads somewhere."""
    return next((each for some in topology.public.values() for each in some if each.ip == ip), None)


def _way(topology: Topology, packet: Packet, source: Nic | None) -> Iterator[Step]:
    if source is None:
        yield from _from_outside(topology, packet)
        return
    if not source.up:
        yield Step(at=source.id, passes=False, words="the interface is switched off")
        return
    if packet.destination == METADATA_ADDRESS:
        yield Step(at=source.id, passes=True, words="the metadata service is always reached")
        return
    yield _groups(topology, source, packet, egress=True)
    subnet = topology.subnets[source.subnet_id]
    there = ipaddress.IPv4Address(packet.destination)
    if there in subnet.network:
        yield Step(at=subnet.id, passes=True, words="the destination is in the same subnet")
        yield from _arrival(topology, packet, source.vpc_id, source)
        return
    yield _acl(topology, subnet, packet, egress=True)
    if any(there in ipaddress.IPv4Network(cidr) for cidr in topology.vpcs[source.vpc_id].cidrs):
        yield Step(at=subnet.router, passes=True, words="the destination is in the same VPC: local route")
        yield from _into_subnet(topology, packet, source.vpc_id, source)
        yield _answers(topology, subnet, packet)
        return
    yield from _routed(topology, packet, source, subnet)


def _routed(topology: Topology, packet: Packet, source: Nic, subnet: Subnet) -> Iterator[Step]:
    table = topology.table_of(subnet)
    route = _route(table.routes if table is not None else (), packet.destination)
    at = table.id if table is not None else subnet.id
    if route is None:
        yield Step(at=at, passes=False, words=f"no route leads to {packet.destination}")
        return
    words = f"route {route.destination} leads to {route.target}"
    hop = topology.nics.get(route.target)
    if hop is not None and hop.instance_id is not None:
        yield Step(at=at, passes=True, words=words)
        yield from _handed_to(topology, packet, hop, source)
        return
    outside = ""
    if route.target in topology.internet_gateways:
        yield Step(at=at, passes=True, words=words)
        mine = [each for each in topology.public.get(source.id, ()) if each.private_ip == packet.source]
        if not mine:
            yield Step(
                at=route.target, passes=False, words=f"{packet.source} has no public address to leave under"
            )
            return
        outside = mine[0].ip
    elif route.target in topology.nat_gateways:
        yield Step(at=at, passes=True, words=words)
        mine = [each for each in topology.public.get(source.id, ()) if each.private_ip == packet.source]
        outside = mine[0].ip if mine else topology.nat_gateways[route.target].public_ip
    else:
        yield Step(at=at, passes=False, words=f"{words}, which is not there (blackhole)")
        return
    yield Step(at=route.target, passes=True, words=f"it leaves under {outside}")
    there = public_with(topology, packet.destination)
    if there is None:
        yield Step(at="outside", passes=True, words=f"{packet.destination} is outside of what is known here")
    else:
        yield from _inward(topology, _with(packet, source=outside), there)
    yield _answers(topology, subnet, packet)


def _handed_to(topology: Topology, packet: Packet, hop: Nic, source: Nic) -> Iterator[Step]:
    """To an interface whose guest forwards; what it makes of the packet is not known here."""
    if hop.subnet_id != source.subnet_id and hop.subnet_id in topology.subnets:
        yield _acl(topology, topology.subnets[hop.subnet_id], packet, egress=False)
    if not hop.up:
        yield Step(at=hop.id, passes=False, words="the interface is switched off")
    elif hop.source_dest_check:
        words = "it takes what is for itself only: its source/destination check is on"
        yield Step(at=hop.id, passes=False, words=words)
    else:
        yield _groups(topology, hop, packet, egress=False, source=source)


def _from_outside(topology: Topology, packet: Packet) -> Iterator[Step]:
    there = public_with(topology, packet.destination)
    if there is None:
        yield Step(
            at=packet.destination, passes=False, words="it is no public address that leads to an interface"
        )
        return
    yield from _inward(topology, packet, there)


def _inward(topology: Topology, packet: Packet, public: PublicAddress) -> Iterator[Step]:
    """From outside to whatever a public address leads to."""
    nic = topology.nics.get(str(public.nic_id))
    if nic is None or not public.up:
        yield Step(at=public.id, passes=False, words=f"{public.ip} leads to no interface")
        return
    gateway = topology.gateway_of(nic.vpc_id)
    if gateway is None:
        yield Step(at=nic.vpc_id, passes=False, words="the VPC has no internet gateway")
        return
    yield Step(at=public.id, passes=True, words=f"{public.ip} leads to {public.private_ip}")
    subnet = topology.subnets[nic.subnet_id]
    table = topology.table_of(subnet)
    back = _route(table.routes if table is not None else (), packet.source)
    if back is None or back.target != gateway.id:
        yield Step(
            at=table.id if table is not None else subnet.id,
            passes=False,
            words="answers find no route to the internet gateway",
        )
        return
    yield from _into_subnet(topology, _with(packet, destination=public.private_ip), nic.vpc_id, None)


def _into_subnet(topology: Topology, packet: Packet, vpc_id: str, source: Nic | None) -> Iterator[Step]:
    """Across the border of the destination's subnet, and there; answers must cross it, too."""
    nic = nic_with(topology, packet.destination, vpc_id)
    subnet = topology.subnets.get(nic.subnet_id) if nic is not None else None
    if subnet is not None:
        yield _acl(topology, subnet, packet, egress=False)
    yield from _arrival(topology, packet, vpc_id, source)
    if subnet is not None:
        yield _acl(topology, subnet, _answer(packet), egress=True, answers=True)


def _arrival(topology: Topology, packet: Packet, vpc_id: str, source: Nic | None) -> Iterator[Step]:
    nic = nic_with(topology, packet.destination, vpc_id)
    if nic is None:
        yield Step(at=vpc_id, passes=False, words=f"nobody has the address {packet.destination}")
        return
    if not nic.up:
        yield Step(at=nic.id, passes=False, words="the interface is switched off")
        return
    if nic.instance_id is None:
        yield Step(at=nic.id, passes=False, words="the interface is attached to no instance")
        return
    yield _groups(topology, nic, packet, egress=False, source=source)


def _answers(topology: Topology, subnet: Subnet, packet: Packet) -> Step:
    return _acl(topology, subnet, _answer(packet), egress=False, answers=True)


def _answer(packet: Packet) -> Packet:
    return Packet(
        source=packet.destination,
        destination=packet.source,
        protocol=packet.protocol,
        port=_EPHEMERAL if packet.protocol in {"tcp", "udp"} else -1,
    )


def _with(packet: Packet, *, source: str = "", destination: str = "") -> Packet:
    return Packet(
        source=source or packet.source,
        destination=destination or packet.destination,
        protocol=packet.protocol,
        port=packet.port,
    )


def _route(routes: Sequence[Route], destination: str) -> Route | None:
    """The route with the longest prefix that holds an address."""
    there = ipaddress.ip_address(destination)
    fitting = [
        route
        for route in routes
        if ipaddress.ip_network(route.destination).version == there.version
        and there in ipaddress.ip_network(route.destination)
    ]
    return max(fitting, key=lambda route: ipaddress.ip_network(route.destination).prefixlen, default=None)


# Security groups ----------------------------------------------------------------------------------------


def _groups(topology: Topology, nic: Nic, packet: Packet, *, egress: bool, source: Nic | None = None) -> Step:
    """What the groups of an interface say: one rule that allows is enough, and answers need none."""
    peer = packet.destination if egress else packet.source
    other = nic_with(topology, peer, nic.vpc_id) if egress else source
    for group_id in nic.groups:
        for rule in topology.rules.get(group_id, ()):
            if rule.egress is egress and _allows(rule, packet, peer, other):
                words = f"{spoken(rule)} lets it {'out of' if egress else 'into'} {nic.id}"
                return Step(at=group_id, passes=True, words=f"{rule.id}: {words}")
    names = ", ".join(nic.groups)
    way = "egress" if egress else "ingress"
    return Step(at=nic.id, passes=False, words=f"no {way} rule of {names or 'its groups'} allows it")


def _allows(rule: SecurityRule, packet: Packet, peer: str, other: Nic | None) -> bool:
    if rule.protocol not in {ALL_PROTOCOLS, packet.protocol}:
        return False
    if packet.protocol in {"tcp", "udp"} and rule.protocol != ALL_PROTOCOLS:
        if not rule.from_port <= packet.port <= rule.to_port:
            return False
    elif rule.protocol == packet.protocol and rule.from_port not in {-1, packet.port}:
        return False
    if rule.peer_group_id:
        return other is not None and rule.peer_group_id in other.groups
    network = ipaddress.ip_network(rule.cidr)
    address = ipaddress.ip_address(peer)
    return network.version == address.version and address in network


def spoken(rule: SecurityRule) -> str:
    """A rule in words: ``tcp 22 from 0.0.0.0/0``."""
    protocol = "everything" if rule.protocol == ALL_PROTOCOLS else rule.protocol
    ports = ""
    if rule.from_port != -1:
        ports = f" {rule.from_port}" + (f"-{rule.to_port}" if rule.to_port != rule.from_port else "")
    way = "to" if rule.egress else "from"
    return f"{protocol}{ports} {way} {rule.cidr or rule.peer_group_id}"


# Network ACLs -------------------------------------------------------------------------------------------


def _acl(topology: Topology, subnet: Subnet, packet: Packet, *, egress: bool, answers: bool = False) -> Step:
    """What the network ACL of a subnet says of a packet that crosses its border."""
    acl = topology.acls[subnet.acl_id]
    entry = _entry(acl, packet, egress=egress)
    what = "answers" if answers else "it"
    way = "out of" if egress else "into"
    if entry is None:
        return Step(at=acl.id, passes=False, words=f"no entry lets {what} {way} {subnet.id}")
    verb = "lets" if entry.allow else "stops"
    return Step(
        at=acl.id,
        passes=entry.allow,
        words=f"entry {entry.number} {verb} {what} {way} {subnet.id}",
    )


def _entry(acl: NetworkAcl, packet: Packet, *, egress: bool) -> AclEntry | None:
    peer = ipaddress.ip_address(packet.destination if egress else packet.source)
    for entry in sorted(acl.entries, key=lambda each: each.number):
        network = ipaddress.ip_network(entry.cidr)
        if entry.egress is not egress or network.version != peer.version or peer not in network:
            continue
        if entry.protocol not in {ALL_PROTOCOLS, _NUMBERS.get(packet.protocol, packet.protocol)}:
            continue
        if entry.protocol in {"6", "17"} and entry.from_port is not None and entry.to_port is not None:
            if not entry.from_port <= packet.port <= entry.to_port:
                continue
        elif entry.protocol == "1" and entry.icmp_type not in {None, -1, packet.port}:
            continue
        return entry
    return None
