"""The OVN driver by its packets: real Open vSwitch and OVN on two hosts, guests that are network namespaces."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ovn_lab import GATEWAY, NEXT_HOP, Guest, Namespace, OvnLab, lab_possible, ovn_lab
from ovn_topology import OPEN, Drawing, anything

from backend.drivers.ovn.driver import OvnNetwork
from backend.drivers.ovn.names import by_turns, gateway_slot
from backend.drivers.ovn.settings import OvnSettings
from backend.model import uuid_of
from backend.network_model import AclEntry, DhcpOptions, Nic, Route
from backend.ports import HostSilent

pytestmark = pytest.mark.skipif(not lab_possible(), reason="needs root, Open vSwitch and OVN")

STARTS = itertools.count(100, 40)
ELASTIC, ELASTIC_2, NAT = "203.0.113.50", "203.0.113.51", "203.0.113.60"

SERVER = """
import socket, threading, sys
def serve(port):
    listener = socket.create_server(("", port))
    while True:
        peer, (address, _) = listener.accept()
        threading.Thread(target=talk, args=(peer, address), daemon=True).start()
def talk(peer, address):
    with peer:
        while peer.recv(100):
            peer.sendall(address.encode() + b"\\n")
for port in map(int, sys.argv[1:]):
    threading.Thread(target=serve, args=(port,)).start()
print("ready", flush=True)
"""

CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3])) as there:
    there.sendall(b"x")
    print(there.recv(100).decode(), end="")
"""

STEADY = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as there:
    there.settimeout(1.5)
    while True:
        there.sendall(b"x")
        print(there.recv(100).decode(), end="", flush=True)
        time.sleep(0.1)
"""


SNIFFER = """
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800)) as wire:
    wire.bind(("eth0", 0))
    print("ready", flush=True)
    while True:
        packet, origin = wire.recvfrom(2000)
        if origin[2] != socket.PACKET_OUTGOING:
            print(socket.inet_ntoa(packet[12:16]), flush=True)
"""

SHOUT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
    wire.bind((sys.argv[1], 0))
    for _ in range(3):
        wire.sendto(b"x", (sys.argv[2], 9999))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[OvnLab]:
    with ovn_lab(("h1", "h2")) as made:
        yield made


@pytest.fixture(scope="module")
def network(lab: OvnLab) -> Iterator[OvnNetwork]:
    made = OvnNetwork(settings(lab))
    yield made
    made.close()


def settings(lab: OvnLab, **more: Any) -> OvnSettings:
    return OvnSettings(
        northbound=lab.nb, southbound=lab.sb, next_hop=NEXT_HOP, pools=("203.0.113.32-203.0.113.99",), offload=False,
        dns=("198.51.100.53",), domain="cloud.test", **more,
    )  # fmt: skip


class Sources:
    """Where the packets that arrive at a place say they come from."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self) -> set[str]:
        """Those of all that have arrived."""
        time.sleep(0.3)
        self._process.kill()
        return set(self._process.stdout.read().split())


class World:
    """A drawing, the network that follows it, and guests that begin where it says."""

    def __init__(self, lab: OvnLab, network: OvnNetwork) -> None:
        self.lab = lab
        self.network = network
        self.draw = Drawing(count=next(STARTS))
        self.running: list[subprocess.Popen[Any]] = []
        self.hosts = itertools.cycle(lab.hosts.values())
        self.plugged: list[Guest] = []

    def apply(self, *scopes: str) -> None:
        self.network.apply(self.draw.topology, scopes or None)

    def guest(self, nic: Nic, host: str = "") -> Guest:
        """A guest with a lease, on one host after the other."""
        chassis = self.lab.hosts[host] if host else next(self.hosts)
        made = self.lab.guest(chassis, uuid_of(nic.id), nic.mac)
        self.plugged.append(made)
        assert made.dhcp()["ip"] == nic.address
        return made

    def listen(self, space: Namespace, *ports: int) -> None:
        process = space.popen(sys.executable, "-c", SERVER, *map(str, ports), stdout=subprocess.PIPE)
        self.running.append(process)
        assert process.stdout.readline() == b"ready\n"

    def steady(self, guest: Guest, address: str, port: int) -> subprocess.Popen[Any]:
        process = guest.space.popen(sys.executable, "-c", STEADY, address, str(port), stdout=subprocess.PIPE)
        self.running.append(process)
        return process

    def sources(self, space: Namespace) -> Sources:
        """Listens for packets from now on."""
        process = space.popen(sys.executable, "-c", SNIFFER, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout.readline() == "ready\n"
        return Sources(process)

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        for guest in self.plugged:
            guest.chassis.vsctl("--if-exists", "del-port", "br-int", guest.device)


@pytest.fixture
def world(lab: OvnLab, network: OvnNetwork) -> Iterator[World]:
    made = World(lab, network)
    yield made
    made.close()
    assert lab.refused_rules() == []  # such a rule would silently be none


def seen(space: Namespace, address: str, port: int = 80, seconds: float = 1) -> str:
    """The address by which a server sees a client; empty when it is not reached."""
    words = (sys.executable, "-c", CLIENT, address, str(port), str(seconds))
    return space.run(*words, check=False, timeout=10).strip()


def imds(guest: Guest) -> str:
    return seen(guest.space, "169.254.169.254")


def set_nic(world: World, nic: Nic, **changes: Any) -> Nic:
    world.draw.nics[nic.id] = msgspec.structs.replace(nic, **changes)
    return world.draw.nics[nic.id]


def two(world: World, *rules: dict[str, Any]) -> tuple[Guest, Guest, Nic, Nic]:
    """Two guests on two hosts in one subnet, in one group with these rules."""
    vpc = world.draw.vpc("one")
    subnet = world.draw.subnet("one", vpc, "10.0.1.0/24")
    group = world.draw.group("one", vpc, *rules)
    first, second = world.draw.nic(subnet, group), world.draw.nic(subnet, group)
    world.apply()
    return world.guest(first, "h1"), world.guest(second, "h2"), first, second


# What guests are told -----------------------------------------------------------------------------------


def test_guests_are_told_their_address_routes_and_names(world: World) -> None:
    vpc = world.draw.vpc("told")
    subnet = world.draw.subnet("told", vpc, "10.0.1.0/24")
    nic = world.draw.nic(subnet)
    world.apply()
    guest = world.lab.guest(world.lab.hosts["h1"], uuid_of(nic.id), nic.mac)
    world.plugged.append(guest)

    lease = guest.dhcp()

    assert (lease["ip"], lease["mask"]) == (nic.address, "24")
    assert lease["staticroutes"] == "169.254.169.254/32 10.0.1.3 0.0.0.0/0 10.0.1.1"
    assert (lease["dns"], lease["domain"], lease["mtu"]) == ("198.51.100.53", "cloud.test", "1442")

    options = {"domain-name-servers": ("192.0.2.1", "192.0.2.2"), "domain-name": ("their.test",)}
    world.draw.dhcp_options["dopt-1"] = DhcpOptions(
        id="dopt-1", tenant_id="t", account_id="1", region="r", created_at=0, options=options
    )
    world.draw.vpcs[vpc.id] = msgspec.structs.replace(vpc, dhcp_options_id="dopt-1")
    world.apply(vpc.id)
    lease = guest.dhcp()
    assert (lease["dns"], lease["domain"]) == ("192.0.2.1 192.0.2.2", "their.test")


def test_a_lease_is_renewed_with_the_router_alone(world: World, tmp_path: Path) -> None:
    vpc = world.draw.vpc("renew")
    subnet = world.draw.subnet("renew", vpc, "10.0.1.0/24", acl_id=world.draw.acl("acl-shut", vpc, ()).id)
    nic = world.draw.nic(subnet)  # in no group: nothing is allowed but this
    world.apply()
    guest = world.guest(nic)
    told, script = tmp_path / "told", tmp_path / "script"
    script.write_text(f'#!/bin/sh\necho "$1" >>{told}\n')
    script.chmod(0o755)
    client = guest.space.popen(
        "busybox", "udhcpc", "-i", "eth0", "-f", "-s", script, "-T", "1", stderr=subprocess.DEVNULL
    )
    world.running.append(client)
    assert eventually(lambda: told.exists() and "bound" in told.read_text())

    client.send_signal(signal.SIGUSR1)  # by unicast: the router's address is the server's

    assert eventually(lambda: "renew" in told.read_text())


# Security groups ----------------------------------------------------------------------------------------


def test_what_no_rule_allows_is_dropped(world: World) -> None:
    a, b, _, second = two(world)
    world.listen(b.space, 80)

    assert not a.space.ping(second.address)
    assert seen(a.space, second.address) == ""


def test_rules_by_protocol_and_port_on_both_ends(world: World) -> None:
    web = {"protocol": "tcp", "from_port": 80, "to_port": 81, "cidr": "10.0.1.0/24"}
    echo = {"protocol": "icmp", "from_port": 8, "to_port": -1, "cidr": "0.0.0.0/0"}
    a, b, first, second = two(world, web, echo, anything(egress=True))
    world.listen(b.space, 80, 81, 82)

    assert seen(a.space, second.address, 80) == first.address
    assert seen(a.space, second.address, 81) == first.address
    assert seen(a.space, second.address, 82) == ""
    assert a.space.ping(second.address)

    vpc = world.draw.vpcs["vpc-one"]
    elsewhere = {"protocol": "6", "from_port": 80, "to_port": 80, "cidr": "10.0.2.0/24"}
    six = {"protocol": "tcp", "from_port": 1, "to_port": 2, "cidr": "2001:db8::/32"}
    odd = {"protocol": "47", "cidr": "0.0.0.0/0"}
    pings = {"protocol": "58", "from_port": 128, "to_port": 0, "cidr": "::/0"}
    world.draw.group("one", vpc, elsewhere, six, odd, pings, anything(egress=True))
    world.apply("sg-one")
    assert seen(a.space, second.address, 80) == ""
    assert not a.space.ping(second.address)


def test_a_rule_taken_back_ends_what_it_had_let_begin(world: World) -> None:
    a, b, _, second = two(world, anything(), anything(egress=True))
    world.listen(b.space, 80)
    talk = world.steady(a, second.address, 80)
    assert talk.stdout.readline()

    world.draw.group("one", world.draw.vpcs["vpc-one"], anything(egress=True))
    world.apply("sg-one")

    assert talk.wait(5) != 0


def test_egress_is_only_where_a_rule_allows_it(world: World) -> None:
    only = {"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr": "10.0.1.0/24", "egress": True}
    a, b, first, second = two(world, anything(), only)
    world.listen(b.space, 80, 81)
    world.listen(a.space, 80)

    assert seen(a.space, second.address, 80) == first.address
    assert seen(a.space, second.address, 81) == ""
    assert not a.space.ping(second.address)

    world.draw.group("one", world.draw.vpcs["vpc-one"], anything())
    world.apply("sg-one")
    assert seen(a.space, second.address, 80) == ""
    assert imds_works(world, a, first)  # no rule stands between a guest and its metadata


def imds_works(world: World, guest: Guest, nic: Nic) -> bool:
    world.listen(world.lab.outside, 8775)
    return imds(guest) == world.draw.infra[nic.id]


def test_members_of_a_group_as_source(world: World) -> None:
    vpc = world.draw.vpc("src")
    subnet = world.draw.subnet("src", vpc, "10.0.1.0/24")
    clients = world.draw.group("clients", vpc, anything(egress=True))
    servers = world.draw.group("servers", vpc, {"protocol": "-1", "peer_group_id": clients.id})
    one, other = world.draw.nic(subnet, clients), world.draw.nic(subnet, servers)
    world.apply()
    a, b = world.guest(one, "h1"), world.guest(other, "h2")
    world.listen(b.space, 80)

    assert seen(a.space, other.address) == one.address

    second = world.draw.group("others", vpc, anything(egress=True))
    set_nic(world, one, groups=(second.id,))
    world.apply(one.id)  # its new group, which nobody has told of yet, comes along
    assert seen(a.space, other.address) == ""

    set_nic(world, one, groups=(second.id, clients.id))
    world.apply(one.id)
    assert seen(a.space, other.address) == one.address


def test_nobody_speaks_for_another_unless_he_may(world: World) -> None:
    a, b, first, second = two(world, anything(), anything(egress=True))
    assert a.space.ping(second.address)

    a.static("10.0.1.200/24", "10.0.1.1")
    assert not a.space.ping(second.address)

    set_nic(world, first, source_dest_check=False)
    world.apply(first.id)
    a.space.ip(
        "address flush dev eth0",
        f"address add {first.address}/24 dev eth0",
        "address add 192.0.2.7/32 dev eth0",
    )
    b.space.ip("route add 192.0.2.7 via " + first.address)
    assert b.space.ping("192.0.2.7")

    set_nic(world, first, source_dest_check=True)
    world.apply(first.id)
    assert not b.space.ping("192.0.2.7")
    assert b.space.ping(first.address)
    a.space.ip("link set eth0 down", "link set eth0 address 02:00:00:ff:ff:ff", "link set eth0 up")
    assert not a.space.ping(second.address)


def test_an_interface_that_is_down_is_silent(world: World) -> None:
    a, _, first, second = two(world, anything(), anything(egress=True))
    assert a.space.ping(second.address)

    set_nic(world, first, up=False)
    world.apply(first.id)
    assert not a.space.ping(second.address)

    set_nic(world, first, up=True)
    world.apply(first.id)
    assert a.space.ping(second.address)


# VPCs ---------------------------------------------------------------------------------------------------


def test_equal_ranges_and_addresses_do_not_meet(world: World) -> None:
    world.listen(world.lab.outside, 8775)
    nics = []
    for name in ("left", "right"):
        vpc = world.draw.vpc(name)
        subnet = world.draw.subnet(name, vpc, "10.0.1.0/24")
        group = world.draw.group(name, vpc, anything(), anything(egress=True))
        nics.append([world.draw.nic(subnet, group, address=f"10.0.1.{last}") for last in (11, 12)])
    world.apply()
    left, right = (world.guest(pair[0]) for pair in nics)

    assert imds(left) == world.draw.infra[nics[0][0].id]
    assert imds(right) == world.draw.infra[nics[1][0].id]
    neighbour = world.guest(nics[0][1])
    assert left.space.ping("10.0.1.12")
    assert not right.space.ping("10.0.1.12")
    assert neighbour.space.ping("10.0.1.11")


def test_subnets_of_a_vpc_reach_each_other(world: World) -> None:
    vpc = world.draw.vpc("many", gateway=False)
    group = world.draw.group("many", vpc, anything(), anything(egress=True))
    nics = [world.draw.nic(world.draw.subnet(f"many{n}", vpc, f"10.0.{n}.0/24"), group) for n in (1, 2)]
    world.apply()
    a, b = (world.guest(nic) for nic in nics)

    assert a.space.ping(nics[1].address)
    assert b.space.ping(nics[0].address)
    assert not a.space.ping(NEXT_HOP)

    third = world.draw.subnet("many3", vpc, "10.0.3.0/24")
    nic = world.draw.nic(third, group)
    world.apply(third.id, nic.id)
    assert world.guest(nic).space.ping(nics[0].address)

    del world.draw.nics[nic.id], world.draw.subnets[third.id]
    world.apply(third.id, nic.id, vpc.id)
    assert world.network.differences(world.draw.topology) == []
    assert a.space.ping(nics[1].address)


# Public addresses ---------------------------------------------------------------------------------------


def test_an_elastic_address_leads_in_and_out_and_moves(world: World) -> None:
    a, b, first, second = two(world, anything(), anything(egress=True))
    outside = world.lab.outside
    world.listen(outside, 80)
    for guest in (a, b):
        world.listen(guest.space, 22)
    assert seen(a.space, NEXT_HOP) == ""  # no address, no way: what is not translated does not leave

    world.draw.public("e", ELASTIC, first)
    world.apply(first.id)
    assert seen(a.space, NEXT_HOP) == ELASTIC
    assert eventually(lambda: seen(outside, ELASTIC, 22) == NEXT_HOP)  # neighbours learn where it is now
    assert seen(b.space, ELASTIC, 22) == ""  # the neighbour has none himself

    world.draw.public("e2", ELASTIC_2, second)
    world.apply(second.id)
    assert seen(b.space, ELASTIC, 22) == ELASTIC_2
    assert seen(a.space, ELASTIC, 22) == ELASTIC

    del world.draw.addresses["eipalloc-e2"]
    world.draw.public("e", ELASTIC, second)
    world.apply(second.id)  # it leaves the other at once
    assert eventually(lambda: seen(outside, ELASTIC, 22) == NEXT_HOP)
    assert seen(b.space, NEXT_HOP) == ELASTIC
    assert seen(a.space, NEXT_HOP) == ""

    world.draw.addresses["eipalloc-e"] = msgspec.structs.replace(world.draw.addresses["eipalloc-e"], up=False)
    world.apply(first.id, second.id)
    assert seen(outside, ELASTIC, 22) == ""


def test_a_public_address_of_a_secondary_private_one(world: World) -> None:
    vpc = world.draw.vpc("sec")
    subnet = world.draw.subnet("sec", vpc, "10.0.1.0/24")
    group = world.draw.group("sec", vpc, anything(), anything(egress=True))
    nic = world.draw.nic(subnet, group, secondary=("10.0.1.77",))
    world.draw.public("s", ELASTIC, nic, "10.0.1.77")
    world.apply()
    guest = world.guest(nic)
    guest.space.ip("address add 10.0.1.77/24 dev eth0")
    world.listen(guest.space, 22)

    assert eventually(lambda: seen(world.lab.outside, ELASTIC, 22) == NEXT_HOP)


def eventually(holds: Any, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
    return True


def test_vpcs_reach_each_other_by_public_addresses(world: World) -> None:
    nics = []
    for name, address in (("x", ELASTIC), ("y", ELASTIC_2)):
        vpc = world.draw.vpc(name)
        subnet = world.draw.subnet(name, vpc, "10.0.1.0/24")
        nics.append(world.draw.nic(subnet, world.draw.group(name, vpc, anything(), anything(egress=True))))
        world.draw.public(name, address, nics[-1])
    world.apply()
    a, b = (world.guest(nic) for nic in nics)
    world.listen(b.space, 22)

    assert seen(a.space, ELASTIC_2, 22) == ELASTIC


# Routes -------------------------------------------------------------------------------------------------


def test_a_nat_gateway_leads_out_and_never_in(world: World) -> None:
    vpc = world.draw.vpc("nat")
    group = world.draw.group("nat", vpc, anything(), anything(egress=True))
    front = world.draw.subnet("front", vpc, "10.0.1.0/24")
    gateway = world.draw.nat("n", front, NAT)
    private = world.draw.table("rtb-private", vpc, Route(destination="0.0.0.0/0", target=gateway.id))
    back = world.draw.subnet("back", vpc, "10.0.2.0/24", route_table_id=private.id)
    nics = [world.draw.nic(back, group) for _ in range(2)]
    elsewhere = world.draw.nic(front, group)
    world.apply()
    a, b = world.guest(nics[0], "h1"), world.guest(nics[1], "h2")
    other = world.guest(elsewhere)
    world.listen(world.lab.outside, 80)
    world.listen(a.space, 22)

    assert eventually(lambda: seen(a.space, NEXT_HOP) == NAT)
    assert seen(b.space, NEXT_HOP) == NAT
    assert seen(other.space, NEXT_HOP) == ""
    assert seen(world.lab.outside, NAT, 22) == ""
    assert a.space.ping(elsewhere.address)

    del world.draw.nat_gateways[gateway.id]
    world.apply(vpc.id)
    assert seen(a.space, NEXT_HOP) == ""


def test_route_tables_decide_by_subnet(world: World) -> None:
    world.listen(world.lab.outside, 80, 8775)
    vpc = world.draw.vpc("rt")
    group = world.draw.group("rt", vpc, anything(), anything(egress=True))
    closed = world.draw.table("rtb-closed", vpc)
    subnets = [
        world.draw.subnet("open", vpc, "10.0.1.0/24"),
        world.draw.subnet("closed", vpc, "10.0.2.0/24", route_table_id=closed.id),
    ]
    nics = [world.draw.nic(subnet, group) for subnet in subnets]
    for name, nic, address in zip("ab", nics, (ELASTIC, ELASTIC_2), strict=True):
        world.draw.public(name, address, nic)
    world.apply()
    a, b = (world.guest(nic) for nic in nics)

    assert seen(a.space, NEXT_HOP) == ELASTIC
    assert seen(b.space, NEXT_HOP) == ""
    assert b.space.ping(nics[0].address)
    assert imds(b) == world.draw.infra[nics[1].id]

    world.draw.table("rtb-closed", vpc, Route(destination="203.0.113.0/24", target="igw-rt"))
    world.apply(vpc.id)
    assert seen(b.space, NEXT_HOP) == ELASTIC_2

    world.draw.table("rtb-closed", vpc, Route(destination="203.0.113.0/24", target="nat-gone"))
    world.apply(vpc.id)
    assert seen(b.space, NEXT_HOP) == ""

    world.draw.subnets["subnet-closed"] = msgspec.structs.replace(subnets[1], route_table_id="")
    world.apply("subnet-closed")
    assert seen(b.space, NEXT_HOP) == ELASTIC_2


def test_an_instance_as_next_hop(world: World) -> None:
    vpc = world.draw.vpc("hop")
    group = world.draw.group("hop", vpc, anything(), anything(egress=True))
    near, far = world.draw.subnet("near", vpc, "10.0.1.0/24"), world.draw.subnet("far", vpc, "10.0.2.0/24")
    nic, hop = world.draw.nic(near, group), world.draw.nic(far, group, source_dest_check=False)
    world.draw.table("rtb-hop", vpc, Route(destination="192.168.7.0/24", target=hop.id), main=True)
    world.apply()
    a, b = world.guest(nic), world.guest(hop)
    b.space.ip("address add 192.168.7.1/32 dev eth0")

    assert a.space.ping("192.168.7.1")

    set_nic(world, hop, instance_id=None)
    world.apply(vpc.id)
    assert not a.space.ping("192.168.7.1")


# Network ACLs -------------------------------------------------------------------------------------------


def entry(number: int, *, egress: bool = False, allow: bool = True, **more: Any) -> AclEntry:
    return AclEntry(
        number=number,
        egress=egress,
        allow=allow,
        **{"protocol": "6", "cidr": "0.0.0.0/0", "from_port": 0, "to_port": 65535, **more},
    )


def test_a_network_acl_has_no_memory_and_guards_the_border_alone(world: World) -> None:
    world.listen(world.lab.outside, 8775)
    vpc = world.draw.vpc("acl")
    group = world.draw.group("acl", vpc, anything(), anything(egress=True))
    acl = world.draw.acl("acl-inner", vpc, OPEN)
    outer = world.draw.subnet("outer", vpc, "10.0.1.0/24")
    inner = world.draw.subnet("inner", vpc, "10.0.2.0/24", acl_id=acl.id)
    asker, server, neighbour = (
        world.draw.nic(outer, group),
        world.draw.nic(inner, group),
        world.draw.nic(inner, group),
    )
    world.apply()
    a, b, c = world.guest(asker), world.guest(server), world.guest(neighbour)
    world.listen(b.space, 80, 443)

    def entries(*these: AclEntry) -> None:
        world.draw.acl(acl.id, vpc, these)
        world.apply(inner.id)

    assert seen(a.space, server.address) == asker.address

    entries()
    assert seen(a.space, server.address) == ""
    assert seen(c.space, server.address) == neighbour.address
    assert imds(b) == world.draw.infra[server.id]
    b.space.ip("route del 169.254.169.254")  # by the main router, and back into this subnet
    assert imds(b) == world.draw.infra[server.id]
    entries(entry(10, allow=False), entry(10, egress=True, allow=False))
    assert imds(b) == world.draw.infra[server.id]

    entries(entry(100, from_port=80, to_port=80))
    assert seen(a.space, server.address) == ""  # the answer may not leave

    entries(entry(100, from_port=80, to_port=80), entry(100, egress=True, from_port=1024))
    assert seen(a.space, server.address) == asker.address
    assert seen(a.space, server.address, 443) == ""
    assert not a.space.ping(server.address)

    deny = entry(90, allow=False, cidr="10.0.1.0/24", from_port=80, to_port=80)
    entries(deny, *OPEN)
    assert seen(a.space, server.address) == ""
    assert seen(a.space, server.address, 443) == asker.address

    ping = {"protocol": "1", "icmp_type": 8, "icmp_code": -1}
    pong = {"protocol": "1", "icmp_type": 0, "icmp_code": -1}
    entries(entry(1, **ping), entry(1, egress=True, **pong))
    assert a.space.ping(server.address)
    assert not b.space.ping(asker.address)

    entries(*OPEN)
    assert b.space.ping(asker.address)


# Metadata -----------------------------------------------------------------------------------------------


def test_metadata_knows_guests_whatever_else_becomes_of_their_address(world: World) -> None:
    outside = world.lab.outside
    world.listen(outside, 80, 8775)
    vpc = world.draw.vpc("md")
    quiet = world.draw.group("quiet", vpc)
    wide = world.draw.group("wide", vpc, anything(), anything(egress=True))
    subnet = world.draw.subnet("md", vpc, "10.0.1.0/24")
    nics = [world.draw.nic(subnet, quiet), world.draw.nic(subnet, wide)]
    world.draw.public("m", ELASTIC, nics[1])
    world.apply()
    a, b = (world.guest(nic) for nic in nics)
    infra = [world.draw.infra[nic.id] for nic in nics]
    world.listen(b.space, 22)

    assert [imds(a), imds(b)] == infra
    b.space.ip("route del 169.254.169.254")  # a guest that knows only its default route
    assert imds(b) == infra[1]
    assert seen(b.space, NEXT_HOP) == ELASTIC

    # The infra address is a way in for nobody, the service's own machine included.
    assert seen(outside, infra[1], 22) == ""
    assert not outside.ping(infra[1])
    assert seen(b.space, infra[0], 22) == ""
    assert seen(b.space, GATEWAY, 80) == ""
    a.space.ip(f"route add {GATEWAY} via 10.0.1.3")
    assert seen(a.space, GATEWAY, 80) == ""


def test_the_way_to_metadata_is_no_way_around(world: World) -> None:
    vpc = world.draw.vpc("way")
    group = world.draw.group("way", vpc, anything(), anything(egress=True))
    closed = world.draw.acl("acl-closed", vpc, ())
    open_subnet = world.draw.subnet("open", vpc, "10.0.1.0/24")
    subnet = world.draw.subnet("shut", vpc, "10.0.2.0/24", acl_id=closed.id)
    asker = world.draw.nic(open_subnet, group, source_dest_check=False)
    server = world.draw.nic(subnet, group)
    far = world.draw.vpc("far", "10.9.0.0/16")
    stranger = world.draw.nic(
        world.draw.subnet("far", far, "10.9.1.0/24"), world.draw.group("far", far, anything())
    )
    world.draw.public("far", ELASTIC, stranger)
    world.apply()
    a, b, c = world.guest(asker), world.guest(server), world.guest(stranger)
    at_server, at_stranger = world.sources(b.space), world.sources(c.space)
    world.listen(world.lab.outside, 8775)
    at_service = world.sources(world.lab.outside)
    mine, foreign = asker.address, "100.64.3.3"
    a.space.ip("route add 10.0.2.0/24 via 10.0.1.3", f"address add {foreign}/32 dev eth0")

    def shout(source: str, destination: str) -> None:
        a.space.run(sys.executable, "-c", SHOUT, source, destination)

    shout(mine, server.address)  # around the network ACL
    for source in (mine, foreign):
        shout(source, ELASTIC)  # to another VPC without a public address of its own
        shout(source, NEXT_HOP)
    for hop in ("10.0.1.1", "10.0.1.3"):  # as if it were another interface
        a.space.ip(f"route replace {GATEWAY} via {hop} src {foreign}")
        assert seen(a.space, GATEWAY, 8775) == ""
    a.space.ip(f"route replace {GATEWAY} via 10.0.1.3 src {mine}")
    assert seen(a.space, GATEWAY, 8775) == world.draw.infra[asker.id]

    assert at_server.end() == set()
    assert at_stranger.end() == set()
    assert at_service.end() == {world.draw.infra[asker.id]}


def test_nothing_with_a_private_or_infra_source_leaves(world: World) -> None:
    a, _, _, _ = two(world, anything(), anything(egress=True))
    listening = world.sources(world.lab.outside)
    a.space.ip(f"route add {GATEWAY}/32 via 10.0.1.3", "route add 100.64.200.1/32 via 10.0.1.3")
    for address in (NEXT_HOP, "100.64.200.1", GATEWAY, "198.51.100.1"):
        assert not a.space.ping(address)

    assert listening.end() == set()


# Hosts and daemons that fail ----------------------------------------------------------------------------


def test_a_shared_translation_moves_off_a_dead_gateway(world: World, lab: OvnLab) -> None:
    vpc = world.draw.vpc("fail")
    group = world.draw.group("fail", vpc, anything(egress=True))
    front = world.draw.subnet("front", vpc, "10.0.1.0/24")
    table = world.draw.table(
        "rtb-back", vpc, Route(destination="0.0.0.0/0", target=world.draw.nat("f", front, NAT).id)
    )
    nic = world.draw.nic(world.draw.subnet("back", vpc, "10.0.2.0/24", route_table_id=table.id), group)
    world.apply()
    active, other = by_turns(gateway_slot(vpc.id), world.draw.chassis)
    guest = world.guest(nic, other)
    world.listen(lab.outside, 80)
    assert eventually(lambda: seen(guest.space, NEXT_HOP) == NAT)

    for daemon in ("ovn-controller", "ovs-vswitchd"):
        lab.kill(f"{active}/{daemon}")
    try:
        assert seen(guest.space, NEXT_HOP) == ""
        world.draw.chassis = (other,)  # what an installation says of a host that is known to be dead
        world.apply("chassis")
        assert eventually(lambda: seen(guest.space, NEXT_HOP) == NAT)
    finally:
        for daemon in ("ovs-vswitchd", "ovn-controller"):
            lab.start(f"{active}/{daemon}")
    world.draw.chassis = (active, other)
    world.apply()
    assert eventually(lambda: seen(guest.space, NEXT_HOP) == NAT, 20)


def test_a_dead_host_holds_nobody_up_for_long(world: World, lab: OvnLab) -> None:
    patient = OvnNetwork(settings(lab, hosts_patience=2.0))
    a, b, _, second = two(world, anything(egress=True))
    lab.kill("h2/ovn-controller")
    try:
        with contextlib.closing(patient):
            spent = []
            for rules in ([anything()], [], [anything()], [], [anything()]):
                world.draw.group("one", world.draw.vpcs["vpc-one"], *rules, anything(egress=True))
                begun = time.monotonic()
                patient.apply(world.draw.topology, ["sg-one"])
                spent.append(time.monotonic() - begun)
    finally:
        lab.start("h2/ovn-controller")

    assert spent[0] >= 2
    assert min(spent[1:]) < 2
    world.apply()
    assert eventually(lambda: a.space.ping(second.address))
    assert b.space.name


def test_without_northd_nothing_is_promised(world: World, lab: OvnLab) -> None:
    a, _, _, second = two(world, anything(), anything(egress=True))
    world.draw.group("one", world.draw.vpcs["vpc-one"], anything(egress=True))
    hasty = OvnNetwork(settings(lab, patience=1.0))
    lab.kill("ovn-northd")
    try:
        with contextlib.closing(hasty), pytest.raises(HostSilent, match="northd"):
            hasty.apply(world.draw.topology, ["sg-one"])
        assert a.space.ping(second.address)
    finally:
        lab.start("ovn-northd")
    world.apply("sg-one")
    assert not a.space.ping(second.address)


def test_chassis_that_cannot_serve_are_named(world: World, lab: OvnLab) -> None:
    world.draw.chassis = ("h1", "h2", "h9")
    world.apply()
    assert world.network.differences(world.draw.topology) == ["chassis h9: not in the southbound database"]

    world.draw.chassis = ("h1", "h2")
    world.apply()
    mappings = "external_ids:ovn-bridge-mappings"
    lab.hosts["h2"].vsctl("set", "open_vswitch", ".", f"{mappings}=other:br-ex")
    try:
        complaint = "chassis h2: no bridge is mapped to the network public"
        assert eventually(lambda: world.network.differences(world.draw.topology) == [complaint])
    finally:
        lab.hosts["h2"].vsctl("set", "open_vswitch", ".", f"{mappings}=public:br-ex")
    assert eventually(lambda: world.network.differences(world.draw.topology) == [])

    with contextlib.closing(OvnNetwork(settings(lab, hosts_patience=0.5))) as hasty:
        lab.kill("h1/ovn-controller")
        try:
            world.draw.vpc("new")
            hasty.apply(world.draw.topology)
            assert hasty.differences(world.draw.topology) == [
                "chassis h1: has not followed the latest changes"
            ]
        finally:
            lab.start("h1/ovn-controller")
    assert eventually(lambda: world.network.differences(world.draw.topology) == [])


def test_hosts_understand_every_form_of_rule(world: World) -> None:
    """Beyond what the packets of other tests show: the fixture looks whether a host has refused a match."""
    vpc = world.draw.vpc("forms")
    ports = [{"from_port": low, "to_port": high} for low, high in ((0, 65535), (22, 22), (1, 9), (-1, -1))]
    types = [{"from_port": kind, "to_port": code} for kind, code in ((-1, -1), (3, -1), (3, 4))]
    forms = [
        *({"protocol": name, **each} for name in ("tcp", "udp", "6", "17") for each in ports),
        *({"protocol": name, **each} for name in ("icmp", "icmpv6", "1", "58") for each in types),
        *({"protocol": name} for name in ("-1", "2", "47", "50", "132", "255", "0")),
    ]
    peers = [{"cidr": cidr} for cidr in ("0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "::/0", "2001:db8::/32")]
    group = world.draw.group(
        "forms", vpc,
        *({**form, **peer, "egress": egress} for form in forms for peer in [*peers, {"peer_group_id": "sg-forms"}] for egress in (False, True)),
    )  # fmt: skip
    entries = [
        entry(number, egress=bool(number % 2), allow=bool(number % 3), protocol=name, cidr=cidr,
              from_port=low, to_port=high, icmp_type=kind, icmp_code=code)
        for number, (name, cidr, (low, high), (kind, code)) in enumerate(
            itertools.product(("6", "17", "1", "58", "47", "-1"), ("0.0.0.0/0", "192.0.2.0/24", "::/0"),
                              ((0, 65535), (80, 80), (1, 9), (None, None)), ((-1, -1), (3, -1), (3, 4), (None, None))),
            start=1,
        )
        if (name, cidr) != ("-1", "0.0.0.0/0")
    ]  # fmt: skip
    acl = world.draw.acl("acl-forms", vpc, tuple(entries))
    nic = world.draw.nic(world.draw.subnet("forms", vpc, "10.0.1.0/24", acl_id=acl.id), group)
    world.apply()

    world.guest(nic)

    assert len(world.lab.nbctl("acl-list", "sg_forms").splitlines()) > 300
