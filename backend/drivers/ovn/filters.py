"""Which packets pass: ACLs of groups, of subnets and of the provider's switch, and router policies.

OVN drops a rule whose match it cannot read without telling anybody, so every text here is of a form that a
test sends packets against. Addresses go through :mod:`ipaddress` on their way into it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from backend.drivers.ovn.names import (
    Priority,
    group_name,
    inner_port,
    localnet,
    main_router,
    switch_port,
)
from backend.drivers.ovn.rows import Column, Link, Ref, Row
from backend.drivers.ovn.settings import OvnSettings
from backend.network_model import (
    ALL_PROTOCOLS,
    METADATA_ADDRESS,
    AclEntry,
    NetworkAcl,
    SecurityGroup,
    SecurityRule,
    Subnet,
)

IN, OUT = "to-lport", "from-lport"
"""OVN's directions, as a guest sees them."""

STATEFUL, STATELESS, DROP = "allow-related", "allow-stateless", "drop"

PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}
EVERY_PORT = (0, 65535)
ANYWHERE = ipaddress.IPv4Network("0.0.0.0/0")


# Security groups ----------------------------------------------------------------------------------------


def group_rows(group: SecurityGroup, rules: Iterable[SecurityRule]) -> list[Row]:
    """A port group with what its rules allow; members join it from their side."""
    parent = Row(group.id, "Port_Group", group.id, {"name": group_name(group.id)})
    return [parent, *(_rule(parent.ref, rule) for rule in rules if _possible(rule.protocol, rule.cidr))]


def _rule(group: Ref, rule: SecurityRule) -> Row:
    name = group_name(rule.group_id)
    member = f"inport == @{name}" if rule.egress else f"outport == @{name}"
    match = f"{member} && {rule_match(rule)}"
    return _acl(group, rule.id, OUT if rule.egress else IN, Priority.RULE, match, STATEFUL)


def rule_match(rule: SecurityRule) -> str:
    """The packets that a rule speaks of, seen from the member."""
    side = "dst" if rule.egress else "src"
    if rule.peer_group_id:
        peer = f"ip4.{side} == ${group_name(rule.peer_group_id)}_ip4"
    else:
        peer = _peer(rule.cidr, side)
    return " && ".join([peer, *_protocol(rule.protocol, rule.from_port, rule.to_port)])


def _peer(cidr: str, side: str) -> str:
    network = ipaddress.ip_network(cidr)
    family = f"ip{network.version}"
    return family if network.prefixlen == 0 else f"{family}.{side} == {network}"


def _possible(protocol: str, cidr: str) -> bool:
    """Whether such packets exist: each family has an ICMP of its own. A peer without a CIDR is a group."""
    family = ipaddress.ip_network(cidr).version if cidr else 4
    return {"icmp": 4, "icmpv6": 6}.get(PROTOCOLS.get(protocol, protocol), family) == family


def _protocol(protocol: str, low: int, high: int) -> list[str]:
    """The rest of a match: protocol and ports, or type and code."""
    name = PROTOCOLS.get(protocol, protocol)
    match name:
        case "-1":
            return []
        case "tcp" | "udp":
            return [name, *_ports(f"{name}.dst", low, high)]
        case "icmp" | "icmpv6":
            kind = "icmp4" if name == "icmp" else "icmp6"
            numbers = (("type", low), ("code", high))
            return [kind, *(f"{kind}.{field} == {value}" for field, value in numbers if value >= 0)]
        case _:
            return [f"ip.proto == {int(name)}"]


def _ports(field: str, low: int, high: int) -> list[str]:
    if low < 0 or (low, high) == EVERY_PORT:
        return []
    return [f"{field} == {low}"] if low == high else [f"{field} >= {low}", f"{field} <= {high}"]


# Subnets ------------------------------------------------------------------------------------------------


def subnet_rows(
    switch: Ref, subnet: Subnet, acl: NetworkAcl | None, blocks: Sequence[str], settings: OvnSettings
) -> list[Row]:
    """What passes at the ports of a subnet's switch whatever groups say, and at its border to the router.

    A packet that comes in by the main router's port meets the network ACL's entries for ingress here, one
    that goes out meets those for egress as policies of the router: as an ACL of the switch they would not see
    answers of connections that the guest's own port has let pass. By the metadata router's port pass the
    service's questions and answers alone, of the VPC's own addresses (``blocks``). Guests always reach DHCP
    and the service: a connection's first packet is seen here under the address that guests know, later ones
    under the service's own.
    """
    entries = acl.entries if acl is not None else ()
    main, metadata = (switch_port(inner_port(subnet.id, side)) for side in "rm")
    service, number = f"ip4.dst == {settings.metadata_address}", settings.metadata_port
    own = ", ".join(str(ipaddress.IPv4Network(block)) for block in blocks)
    answer = f"ip4.src == {settings.metadata_address} && tcp.src == {number}"
    question = f"ip4.src == {{{own}}} && {service} && tcp.dst == {number}"
    incoming, rest = decisions(entries, egress=False)
    plain: list[tuple[str, str, int, str, str]] = [
        ("service", OUT, Priority.EXEMPT, f'inport == "{main}" && {service}', STATELESS),
        *(
            (f"in-{entry.number}", OUT, Priority.ENTRY - place, f'inport == "{main}" && {entry_match(entry)}',
             STATELESS if entry.allow else DROP)
            for place, entry in enumerate(incoming)
        ),
        ("dhcp", OUT, Priority.RULE,
         f"ip4.dst == {{255.255.255.255, {subnet.router}}} && udp.src == 68 && udp.dst == 67", STATELESS),
        ("metadata", OUT, Priority.RULE, f"ip4.dst == {METADATA_ADDRESS} && tcp.dst == 80", STATEFUL),
        ("metadata-open", OUT, Priority.RULE, f"{service} && tcp.dst == {number}", STATEFUL),
        ("in", OUT, Priority.BORDER, f'inport == "{main}" && ip', STATELESS if rest else DROP),
        ("metadata-in", OUT, Priority.BORDER, f'inport == "{metadata}" && {answer}', STATELESS),
        ("metadata-out", IN, Priority.BORDER, f'outport == "{metadata}" && {question}', STATELESS),
        ("out", IN, Priority.BORDER, f'outport == "{main}" && ip', STATELESS),
        ("nothing-out", OUT, Priority.NOTHING, "ip", DROP),
        ("nothing-in", IN, Priority.NOTHING, "ip", DROP),
    ]  # fmt: skip
    acls = [_acl(switch, f"{subnet.id}/{rule[0]}", *rule[1:]) for rule in plain]
    return [*acls, *_policies(subnet, entries, service)]


def _policies(subnet: Subnet, entries: Sequence[AclEntry], service: str) -> list[Row]:
    """A network ACL's entries for egress; none when everything may leave."""
    outgoing, rest = decisions(entries, egress=True)
    if rest and not outgoing:
        return []
    port = f'inport == "{inner_port(subnet.id, "r")}"'
    plain = [
        ("service", Priority.EXEMPT, service, True),
        *(
            (f"out-{entry.number}", Priority.ENTRY - place, entry_match(entry), entry.allow)
            for place, entry in enumerate(outgoing)
        ),
        ("out", Priority.BORDER, "ip", rest),
    ]
    router = Link(Ref("Logical_Router", main_router(subnet.vpc_id), subnet.vpc_id), "policies")
    return [
        Row(
            subnet.id,
            "Logical_Router_Policy",
            f"{subnet.id}/{name}",
            {"priority": priority, "match": f"{port} && {match}", "action": "allow" if allow else DROP},
            (router,),
        )
        for name, priority, match, allow in plain
    ]


def decisions(entries: Sequence[AclEntry], *, egress: bool) -> tuple[list[AclEntry], bool]:
    """The entries of a direction in their order up to one that speaks of everything, and what becomes of the
    rest. Entries for IPv6 speak of nothing: routers have none.
    """
    ordered: list[AclEntry] = []
    for entry in sorted((each for each in entries if each.egress == egress), key=lambda each: each.number):
        network = ipaddress.ip_network(entry.cidr)
        if network.version != ANYWHERE.version or not _possible(entry.protocol, entry.cidr):
            continue
        if network == ANYWHERE and entry.protocol == ALL_PROTOCOLS:
            return ordered, entry.allow
        ordered.append(entry)
    return ordered, False


def entry_match(entry: AclEntry) -> str:
    """The packets that an entry speaks of."""
    peer = _peer(entry.cidr, "dst" if entry.egress else "src")
    is_icmp = PROTOCOLS.get(entry.protocol, entry.protocol) in {"icmp", "icmpv6"}
    low, high = (entry.icmp_type, entry.icmp_code) if is_icmp else (entry.from_port, entry.to_port)
    numbers = (-1 if low is None else low, -1 if high is None else high)
    return " && ".join([peer, *_protocol(entry.protocol, *numbers)])


# The provider's switch ----------------------------------------------------------------------------------


def provider_rows(switch: Ref, settings: OvnSettings) -> list[Row]:
    """What may pass between routers, and between them and the provider's network.

    The metadata service and infra addresses may talk to each other; nothing else reaches an infra address.
    Only packets with a public source leave a router, for another router, too: what nothing translated stays.
    """
    outside = f'inport == "{localnet(settings.provider)}"'
    service, number = settings.metadata_address, settings.metadata_port
    infra = str(ipaddress.IPv4Network(settings.infra))
    hidden = f"{{{infra}, {ipaddress.IPv4Network(settings.link)}}}"
    guarded = f"ip4.src == {hidden} || ip4.dst == {hidden}"
    public = ", ".join(map(str, settings.pool_networks))
    answer = f"ip4.src == {service} && ip4.dst == {infra} && tcp.src == {number}"
    question = f"ip4.src == {infra} && ip4.dst == {service} && tcp.dst == {number}"
    plain: list[tuple[str, str, str]] = [
        ("answers", f"{outside} && {answer}", STATELESS),
        ("outside-hidden", f"{outside} && ({guarded})", DROP),
        ("outside", f"{outside} && ip", STATELESS),
        ("questions", question, STATELESS),
        ("hidden", guarded, DROP),
        *([("public", f"ip4.src == {{{public}}}", STATELESS)] if public else []),
        ("nothing", "ip", DROP),
    ]
    first = Priority.RULE
    return [
        _acl(switch, f"provider/{name}", OUT, first - place, match, action)
        for place, (name, match, action) in enumerate(plain)
    ]


def _acl(parent: Ref, key: str, direction: str, priority: int, match: str, action: str) -> Row:
    columns: dict[str, Column] = {
        "direction": direction,
        "priority": priority,
        "match": match,
        "action": action,
    }
    return Row(parent.owner, "ACL", key, columns, (Link(parent, "acls"),))
