"""Tracing packets: each step of the way, and the same verdict as a plain reading of all rules."""

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ovn_topology import OPEN, OWNED

from backend.engine.trace import Packet, trace
from backend.model import AttachState
from backend.network_model import (
    ANYWHERE,
    AclEntry,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Topology,
    Vpc,
)

OUTSIDE = "198.51.100.9"


def rule(group: str, *, egress: bool = False, **parameters: Any) -> SecurityRule:
    known = {"id": f"sgr-{group}", "protocol": "-1", "cidr": ANYWHERE}
    return SecurityRule(
        group_id=group, tenant_id="t-1", created_at=0.0, egress=egress, **{**known, **parameters}
    )


def nic(name: str, subnet: str, address: str, *groups: str, **more: Any) -> Nic:
    known = {"instance_id": f"i-{name}", "attach": AttachState.ATTACHED, "source_dest_check": True}
    return Nic(
        id=f"eni-{name}", zone="z", vpc_id="vpc-1", subnet_id=subnet, mac="02:00:00:00:00:01", address=address,
        groups=groups, **OWNED, **{**known, **more},
    )  # fmt: skip


def world(**changes: Any) -> Topology:
    """Two subnets of a VPC with a way outside; ann and bob in one, cat in the other, which has a NAT gateway."""
    subnets = {
        name: Subnet(
            id=name, vpc_id="vpc-1", zone="z", cidr=cidr, acl_id=f"acl-{name}", acl_association_id=f"a-{name}",
            route_table_id=table, **OWNED,
        )
        for name, cidr, table in (("subnet-1", "10.0.1.0/24", "rtb-1"), ("subnet-2", "10.0.2.0/24", "rtb-2"))
    }  # fmt: skip
    nics = [
        nic("ann", "subnet-1", "10.0.1.10", "sg-1"),
        nic("bob", "subnet-1", "10.0.1.11", "sg-2"),
        nic("cat", "subnet-2", "10.0.2.12", "sg-2"),
    ]
    routes = {"rtb-1": "igw-1", "rtb-2": "nat-1"}
    public = PublicAddress(
        id="eipalloc-1", ip="203.0.113.7", pool="p", nic_id="eni-ann", private_ip="10.0.1.10", **OWNED
    )
    parts: dict[str, Any] = {
        "vpcs": {"vpc-1": Vpc(id="vpc-1", cidr="10.0.0.0/16", **OWNED)},
        "subnets": subnets,
        "route_tables": {
            name: RouteTable(
                id=name, vpc_id="vpc-1", routes=(Route(destination=ANYWHERE, target=target),), **OWNED
            )
            for name, target in routes.items()
        },
        "internet_gateways": {"igw-1": InternetGateway(id="igw-1", vpc_id="vpc-1", **OWNED)},
        "nat_gateways": {
            "nat-1": NatGateway(
                id="nat-1", vpc_id="vpc-1", subnet_id="subnet-1", nic_id="eni-nat", allocation_id="e",
                public_ip="203.0.113.8", private_ip="10.0.1.99", **OWNED,
            )
        },
        "acls": {
            f"acl-{name}": NetworkAcl(id=f"acl-{name}", vpc_id="vpc-1", entries=OPEN, **OWNED) for name in subnets
        },
        "groups": {
            name: SecurityGroup(id=name, vpc_id="vpc-1", name=name, **OWNED) for name in ("sg-1", "sg-2")
        },
        "rules": {
            "sg-1": (rule("sg-1", egress=True), rule("sg-1", protocol="tcp", from_port=22, to_port=22)),
            "sg-2": (rule("sg-2", egress=True), rule("sg-2", cidr="", peer_group_id="sg-1")),
        },
        "nics": {each.id: each for each in nics},
        "leases": {each.id: (each.address,) for each in nics},
        "public": {"eni-ann": (public,)},
    }  # fmt: skip
    return Topology(**{**parts, **changes})


def verdict(topology: Topology, source: str | None, destination: str, **packet: Any) -> tuple[bool, str, str]:
    """Whether a packet arrives, and where and why its way ends."""
    sender = topology.nics[f"eni-{source}"] if source else None
    known = {"protocol": "tcp", "port": 22}
    here = sender.address if sender else OUTSIDE
    steps = trace(topology, Packet(source=here, destination=destination, **{**known, **packet}), sender)
    assert all(step.passes for step in steps[:-1])
    return steps[-1].passes, steps[-1].at, steps[-1].words


def with_nic(topology: Topology, name: str, **changes: Any) -> Topology:
    changed = msgspec.structs.replace(topology.nics[f"eni-{name}"], **changes)
    return msgspec.structs.replace(topology, nics={**topology.nics, changed.id: changed})


def with_acl(topology: Topology, subnet: str, *entries: AclEntry) -> Topology:
    acl = msgspec.structs.replace(topology.acls[f"acl-{subnet}"], entries=entries)
    return msgspec.structs.replace(topology, acls={**topology.acls, acl.id: acl})


def with_route(topology: Topology, table: str, *routes: Route) -> Topology:
    changed = msgspec.structs.replace(topology.route_tables[table], routes=routes)
    return msgspec.structs.replace(topology, route_tables={**topology.route_tables, table: changed})


def entry(number: int, *, allow: bool = True, egress: bool = False, **parameters: Any) -> AclEntry:
    known = {"protocol": "-1", "cidr": ANYWHERE}
    return AclEntry(number=number, egress=egress, allow=allow, **{**known, **parameters})


@pytest.mark.parametrize(
    ("source", "destination", "packet", "passes", "at"),
    [
        ("ann", "10.0.1.11", {}, True, "sg-2"),  # members of sg-1 are heard
        ("bob", "10.0.1.10", {}, True, "sg-1"),  # port 22 from anywhere
        ("bob", "10.0.1.10", {"port": 23}, False, "eni-ann"),
        ("bob", "10.0.1.10", {"protocol": "udp"}, False, "eni-ann"),
        ("bob", "10.0.2.12", {}, False, "eni-cat"),  # members of sg-2 are not
        ("ann", "10.0.2.12", {}, True, "acl-subnet-1"),  # the answer crosses the border last
        ("ann", "10.0.1.77", {}, False, "vpc-1"),
        ("ann", "169.254.169.254", {"port": 80}, True, "eni-ann"),
        ("ann", OUTSIDE, {}, True, "acl-subnet-1"),
        ("bob", OUTSIDE, {}, False, "igw-1"),  # without a public address
        ("cat", OUTSIDE, {}, True, "acl-subnet-2"),  # by the NAT gateway
        ("cat", "203.0.113.7", {}, True, "acl-subnet-2"),
        (None, "203.0.113.7", {}, True, "acl-subnet-1"),
        (None, "203.0.113.7", {"port": 23}, False, "eni-ann"),
        (None, "203.0.113.9", {}, False, "203.0.113.9"),
    ],
)
def test_where_a_packet_ends(source, destination, packet, passes, at):
    assert verdict(world(), source, destination, **packet)[:2] == (passes, at)


def test_the_rule_that_decides_is_named():
    assert verdict(world(), "bob", "10.0.1.10")[2] == "sgr-sg-1: tcp 22 from 0.0.0.0/0 lets it into eni-ann"


def test_interfaces_that_are_off_or_nobodys():
    topology = world()
    assert verdict(with_nic(topology, "ann", up=False), "ann", "10.0.1.11")[:2] == (False, "eni-ann")
    assert verdict(with_nic(topology, "bob", up=False), "ann", "10.0.1.11")[:2] == (False, "eni-bob")
    spare = with_nic(topology, "bob", instance_id=None)
    assert verdict(spare, "ann", "10.0.1.11")[1:] == (
        "eni-bob",
        "the interface is attached to no instance",
    )


def test_network_acls_stop_what_crosses_a_border_and_its_answers():
    topology = world()
    closed = with_acl(topology, "subnet-2", *OPEN[:1])  # nothing leaves
    assert verdict(closed, "ann", "10.0.2.12") == (
        False,
        "acl-subnet-2",
        "no entry lets answers out of subnet-2",
    )
    first = with_acl(
        topology,
        "subnet-2",
        entry(200),
        entry(100, allow=False, protocol="6", from_port=20, to_port=22),
        OPEN[1],
    )
    assert verdict(first, "ann", "10.0.2.12")[1:] == ("acl-subnet-2", "entry 100 stops it into subnet-2")
    assert verdict(first, "ann", "10.0.2.12", port=23)[0]
    assert verdict(first, "ann", "10.0.2.12", protocol="udp")[0]
    icmp = with_acl(topology, "subnet-2", entry(1, allow=False, protocol="1", icmp_type=8), *OPEN)
    assert not verdict(icmp, "ann", "10.0.2.12", protocol="icmp", port=8)[0]
    assert verdict(icmp, "ann", "10.0.2.12", protocol="icmp", port=13)[0]
    inside = with_acl(topology, "subnet-1")
    assert verdict(inside, "ann", "10.0.1.11")[0]  # no border in between
    assert verdict(inside, None, "203.0.113.7")[:2] == (False, "acl-subnet-1")


def test_routes_by_the_longest_prefix_and_those_that_lead_nowhere():
    topology = world()
    longer = Route(destination="198.51.100.0/24", target="igw-gone")
    both = with_route(topology, "rtb-1", Route(destination=ANYWHERE, target="igw-1"), longer)
    assert verdict(both, "ann", OUTSIDE)[1:] == (
        "rtb-1",
        "route 198.51.100.0/24 leads to igw-gone, which is not there (blackhole)",
    )
    assert verdict(both, "ann", "192.0.2.1")[0]
    assert verdict(with_route(topology, "rtb-1"), "ann", OUTSIDE)[1] == "rtb-1"
    assert verdict(both, None, "203.0.113.7")[1:] == (
        "rtb-1",
        "answers find no route to the internet gateway",
    )
    ungated = msgspec.structs.replace(topology, internet_gateways={})
    assert verdict(ungated, None, "203.0.113.7")[1] == "vpc-1"


def test_an_interface_forwards_when_its_check_is_off():
    routed = with_route(world(), "rtb-1", Route(destination=ANYWHERE, target="eni-cat"))
    assert verdict(routed, "ann", OUTSIDE)[1:] == (
        "eni-cat",
        "it takes what is for itself only: its source/destination check is on",
    )
    forwards = with_nic(routed, "cat", source_dest_check=False)
    assert verdict(forwards, "ann", OUTSIDE)[:2] == (True, "sg-2")
    assert verdict(forwards, "bob", OUTSIDE)[:2] == (False, "eni-cat")
    assert verdict(with_nic(forwards, "cat", up=False), "ann", OUTSIDE)[:2] == (False, "eni-cat")
    assert verdict(with_acl(forwards, "subnet-2"), "ann", OUTSIDE)[:2] == (False, "acl-subnet-2")
    spare = with_nic(forwards, "cat", instance_id=None)
    assert verdict(spare, "ann", OUTSIDE)[:2] == (False, "rtb-1")


def test_an_address_that_is_down_leads_nowhere():
    topology = world()
    [public] = topology.public["eni-ann"]
    down = msgspec.structs.replace(topology, public={"eni-ann": (msgspec.structs.replace(public, up=False),)})
    assert verdict(down, None, "203.0.113.7")[:2] == (False, "eipalloc-1")


# Against a plain reading of the rules --------------------------------------------------------------------

GROUPS = ("sg-1", "sg-2", "sg-3")
protocols = st.sampled_from(["tcp", "udp", "icmp"])
ports = st.integers(0, 4)


@st.composite
def rules_(draw: st.DrawFn, group: str) -> SecurityRule:
    protocol = draw(protocols | st.just("-1"))
    first, last = -1, -1
    if protocol in {"tcp", "udp"}:
        first, last = sorted((draw(ports), draw(ports)))
    elif protocol == "icmp" and draw(st.booleans()):
        first = draw(ports)
    peer = draw(st.sampled_from(GROUPS) | st.none())
    cidr = draw(st.sampled_from([ANYWHERE, "10.0.1.8/30", "10.0.1.10/32", "::/0"]))
    return rule(
        group,
        egress=draw(st.booleans()),
        protocol=protocol,
        from_port=first,
        to_port=last,
        cidr="" if peer else cidr,
        peer_group_id=peer or "",
    )


def matches(rule: SecurityRule, packet: Packet, address: str, groups: tuple[str, ...]) -> bool:
    """A rule read as it is written."""
    if rule.peer_group_id:
        who = rule.peer_group_id in groups
    else:
        network = ipaddress.ip_network(rule.cidr)
        who = network.version == 4 and ipaddress.IPv4Address(address) in network
    if rule.protocol == "-1":
        return who
    whole = rule.protocol == "icmp" and rule.from_port == -1
    last = rule.from_port if rule.protocol == "icmp" else rule.to_port
    return (
        who and rule.protocol == packet.protocol and (whole or packet.port in range(rule.from_port, last + 1))
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_groups_decide_as_their_rules_read(data):
    mine, theirs = (tuple(data.draw(st.sets(st.sampled_from(GROUPS), min_size=1))) for _ in range(2))
    rules = {group: tuple(data.draw(st.lists(rules_(group), max_size=3))) for group in GROUPS}
    ann, bob = nic("ann", "subnet-1", "10.0.1.10", *mine), nic("bob", "subnet-1", "10.0.1.11", *theirs)
    topology = world(rules=rules, nics={each.id: each for each in (ann, bob)})
    packet = Packet(
        source=ann.address, destination=bob.address, protocol=data.draw(protocols), port=data.draw(ports)
    )
    leaves = any(
        each.egress and matches(each, packet, bob.address, bob.groups)
        for group in ann.groups
        for each in rules[group]
    )
    enters = any(
        not each.egress and matches(each, packet, ann.address, ann.groups)
        for group in bob.groups
        for each in rules[group]
    )
    steps = trace(topology, packet, ann)
    assert all(step.passes for step in steps) is (leaves and enters)
    if not leaves:
        assert steps[-1].at == ann.id
    elif not enters:
        assert steps[-1].at == bob.id
