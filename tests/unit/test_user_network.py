"""The user network: what of the rows it makes true, by ports that it opens and closes on hosts in memory."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.drivers.memory import Fault, MemoryHost
from backend.drivers.user_network import CAPABILITIES, UserNetwork, capabilities
from backend.drivers.user_network.plan import PORTS_LIMIT, RANGE_LIMIT, forwards_of, lowest_port, place
from backend.network_model import Nic, PublicAddress, SecurityRule, Subnet, Topology
from backend.ports import DomainSpec, Forward, HostSilent, StepFailed

REPLACE = msgspec.structs.replace
OWNED = {"tenant_id": "t", "account_id": "1", "region": "r", "created_at": 0.0}
SUBNET = Subnet(
    id="subnet-1", **OWNED, vpc_id="vpc-1", zone="z", cidr="172.31.0.0/20", acl_id="acl-1",
    acl_association_id="aclassoc-1",
)  # fmt: skip


def a_nic(number: int = 1, **more: object) -> Nic:
    return REPLACE(
        Nic(
            id=f"eni-{number}", **OWNED, zone="z", vpc_id="vpc-1", subnet_id="subnet-1",
            mac=f"02:00:00:00:00:{number:02x}", address=f"172.31.0.{number + 10}", groups=("sg-1",),
            instance_id=f"i-{number}",
        ),
        **more,
    )  # fmt: skip


def a_rule(first: int, last: int | None = None, **more: object) -> SecurityRule:
    wanted = {"group_id": "sg-1", "egress": False, "protocol": "tcp", "cidr": "0.0.0.0/0"} | more
    return SecurityRule(
        id=f"sgr-{first}", tenant_id="t", created_at=0.0, from_port=first, to_port=last or first, **wanted
    )


def an_address(ip: str, nic: Nic, **more: object) -> PublicAddress:
    found = PublicAddress(
        id=f"eipalloc-{ip}", **OWNED, ip=ip, pool="p", nic_id=nic.id, private_ip=nic.address
    )
    return REPLACE(found, **more)


def drawn(*nics: Nic, rules: tuple[SecurityRule, ...] = (), public: dict[str, Nic] | None = None) -> Topology:
    """Interfaces with their rules and addresses, each on the host h."""
    addresses: dict[str, list[PublicAddress]] = {}
    for ip, nic in (public or {}).items():
        addresses.setdefault(nic.id, []).append(an_address(ip, nic))
    return Topology(
        subnets={SUBNET.id: SUBNET},
        nics={nic.id: nic for nic in nics},
        rules={"sg-1": rules},
        public={nic_id: tuple(some) for nic_id, some in addresses.items()},
        places={nic.id: "h" for nic in nics},
    )


def ports(topology: Topology, nic: Nic, lowest: int = 1) -> list[tuple[str, str, int, int]]:
    found = forwards_of(topology, nic, lowest=lowest)
    return [(one.protocol, one.address, one.port, one.guest_port) for one in found]


# Ports ------------------------------------------------------------------------------------------------------


def test_ports_are_open_where_a_rule_lets_everybody_in():
    nic = a_nic()
    topology = drawn(
        nic,
        rules=(a_rule(22), a_rule(8080, 8081), a_rule(53, protocol="udp")),
        public={"127.100.0.1": nic, "127.100.0.2": nic},
    )
    assert ports(topology, nic) == [
        (protocol, address, port, port)
        for protocol, address, port in [
            ("tcp", "127.100.0.1", 22),
            ("tcp", "127.100.0.1", 8080),
            ("tcp", "127.100.0.1", 8081),
            ("tcp", "127.100.0.2", 22),
            ("tcp", "127.100.0.2", 8080),
            ("tcp", "127.100.0.2", 8081),
            ("udp", "127.100.0.1", 53),
            ("udp", "127.100.0.2", 53),
        ]
    ]


@pytest.mark.parametrize(
    ("rule", "loopback", "other"),
    [
        (a_rule(22), True, True),
        (a_rule(22, cidr="127.0.0.0/8"), True, False),
        (a_rule(22, cidr="127.0.0.1/32"), True, False),
        (a_rule(22, cidr="127.0.0.2/32"), False, False),
        (a_rule(22, cidr="10.0.0.0/8"), False, False),
        (a_rule(22, cidr="::/0"), False, False),
        (a_rule(22, cidr="", peer_group_id="sg-1"), False, False),
        (a_rule(22, egress=True), False, False),
        (a_rule(-1, -1, protocol="-1"), False, False),
        (a_rule(-1, -1, protocol="icmp"), False, False),
        (a_rule(22, group_id="sg-2"), True, True),
        (a_rule(22, 22 + RANGE_LIMIT - 1), True, True),
        (a_rule(22, 22 + RANGE_LIMIT), False, False),
        (a_rule(0, 65535), False, False),
        (a_rule(0, 22), True, True),
    ],
)
def test_what_qemu_cannot_tell_apart_opens_nothing(rule, loopback, other):
    nic = a_nic()
    for address, is_open in (("127.100.0.1", loopback), ("203.0.113.7", other)):
        topology = drawn(nic, rules=(rule,), public={address: nic})
        found = ports(topology, nic)
        assert bool(found) is is_open
        assert ("tcp", address, 22, 22) in found or not is_open
        assert all(0 < port < 65536 for _, _, port, _ in found)


def test_what_is_down_or_leads_elsewhere_forwards_nothing():
    nic = a_nic()
    topology = drawn(nic, rules=(a_rule(22),), public={"127.100.0.1": nic})
    assert ports(topology, nic)
    assert ports(topology, REPLACE(nic, up=False)) == []
    assert ports(topology, REPLACE(nic, groups=())) == []
    for changed in ({"up": False}, {"private_ip": "172.31.0.99"}):
        public = {nic.id: (an_address("127.100.0.1", nic, **changed),)}
        assert ports(REPLACE(topology, public=public), nic) == []


def test_ports_of_root_are_higher_for_others_and_give_way():
    nic = a_nic()
    topology = drawn(nic, rules=(a_rule(22), a_rule(80), a_rule(10080)), public={"127.100.0.1": nic})
    assert ports(topology, nic, lowest=1024) == [
        ("tcp", "127.100.0.1", 10022, 22),
        ("tcp", "127.100.0.1", 10080, 10080),
    ]
    assert lowest_port() <= 1024


def test_there_is_a_most_of_ports_and_narrow_rules_come_first():
    nic = a_nic()
    wide = tuple(a_rule(n * 100, n * 100 + RANGE_LIMIT - 1) for n in range(1, 40))
    topology = drawn(nic, rules=(*wide, a_rule(60000)), public={"127.100.0.1": nic})
    found = ports(topology, nic)
    assert len(found) == PORTS_LIMIT
    assert ("tcp", "127.100.0.1", 60000, 60000) in found


# Places -----------------------------------------------------------------------------------------------------


@given(
    address=st.one_of(
        st.integers(0x0A000000, 0x0AFFFFFF),
        st.integers(0xAC100000, 0xAC1FFFFF),
        st.integers(0xC0A80000, 0xC0A8FFFF),
    ).map(ipaddress.IPv4Address),
    outbound=st.booleans(),
)
def test_a_guests_network_holds_it_and_the_metadata_service(address, outbound):
    found, network = place(str(address), f"{address}/32", index=0, outbound=outbound)
    hosts = ipaddress.IPv4Network(network)
    assert ipaddress.IPv4Address(found) in hosts
    assert ipaddress.IPv4Address("169.254.169.254") in hosts
    assert found != "169.254.169.254"
    own = not outbound and not str(address).startswith("10.")
    assert (found == str(address)) is own
    if not own:
        assert network == "169.254.0.0/16"
        assert int(ipaddress.IPv4Address(found)) & 0xFFFF not in {0, 1, 2, 3, 0xFFFF}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.0.4.5", "169.254.4.5"),
        ("10.0.169.254", "169.254.41.254"),
        ("10.0.0.2", "169.254.128.2"),
        ("10.0.255.255", "169.254.127.255"),
    ],
)
def test_link_local_addresses_keep_what_they_can(address, found):
    assert place(address, "10.0.0.0/16", index=0, outbound=False) == (found, "169.254.0.0/16")
    assert place(address, "10.0.0.0/16", index=1, outbound=False) == (address, "10.0.0.0/16")


# The driver -------------------------------------------------------------------------------------------------


class Sockets:
    """Doors that remember what was asked of them."""

    def __init__(self) -> None:
        self.open_for: set[str] = set()
        self.broken = False

    def path(self, nic_id: str) -> str:
        return f"/run/{nic_id}"

    def open(self, nic_id: str) -> str:
        if self.broken:
            raise OSError("no space")
        self.open_for.add(nic_id)
        return self.path(nic_id)

    def close(self, nic_id: str) -> None:
        self.open_for.discard(nic_id)


class World:
    """A driver over hosts in memory, h and more, and starting guests on them."""

    def __init__(self) -> None:
        self.hosts = {"h": MemoryHost("h")}
        self.doors = Sockets()
        self.network = UserNetwork(self.hosts.get, self.doors, lowest=1)

    def start(self, topology: Topology, nic: Nic) -> None:
        self.hosts[topology.places[nic.id]].start(
            DomainSpec(
                instance_id=str(nic.instance_id), epoch=1, uuid="", vcpus=1, memory_mib=64,
                architecture="x86_64", disks=[], nics=[self.network.plug(topology, nic)],
            )
        )  # fmt: skip

    def open(self, nic: Nic, host: str = "h") -> list[tuple[str, int]]:
        found = self.hosts[host].forwards(str(nic.instance_id)).get(nic.index, frozenset())
        return sorted((one.address, one.port) for one in found)


@pytest.fixture
def world() -> World:
    return World()


def test_a_plug_says_all_that_a_host_needs(world):
    nic = a_nic()
    spec = world.network.plug(drawn(nic, rules=(a_rule(22),), public={"127.100.0.1": nic}), nic)
    assert (spec.id, spec.index, spec.mac, spec.bridge, spec.up) == (nic.id, 0, nic.mac, "", True)
    assert (spec.address, spec.cidr) == ("172.31.0.11", "172.31.0.0/20")
    assert (spec.guest_address, spec.guest_cidr) == ("172.31.0.11", "168.0.0.0/5")
    assert (spec.metadata_socket, spec.outbound) == ("/run/eni-1", False)
    assert spec.forwards == (Forward(protocol="tcp", address="127.100.0.1", port=22, guest_port=22),)
    second = world.network.plug(drawn(nic), REPLACE(nic, index=1))
    assert (second.metadata_socket, second.guest_cidr) == ("", "172.31.0.0/20")
    out = UserNetwork(world.hosts.get, world.doors, outbound=True).plug(drawn(nic), nic)
    assert (out.outbound, out.guest_cidr) == (True, "169.254.0.0/16")


def test_rules_and_addresses_are_followed_while_guests_run(world):
    nic, other = a_nic(1), a_nic(2)
    both = drawn(nic, other, rules=(a_rule(22),), public={"127.100.0.1": nic, "127.100.0.2": other})
    for one in (nic, other):
        world.start(both, one)
    assert (world.open(nic), world.open(other)) == ([("127.100.0.1", 22)], [("127.100.0.2", 22)])

    # A group's rules change: for all its members.
    changed = REPLACE(both, rules={"sg-1": (a_rule(80),)})
    assert len(world.network.differences(changed)) == 4
    for _ in range(2):
        world.network.apply(changed, ["sg-1"])
        assert (world.open(nic), world.open(other)) == ([("127.100.0.1", 80)], [("127.100.0.2", 80)])
    assert world.network.differences(changed) == []

    # What is not concerned is left alone, whatever the topology says of it: it may not hold all of it.
    partial = REPLACE(changed, rules={})
    world.network.apply(partial, [nic.id])
    assert (world.open(nic), world.open(other)) == ([], [("127.100.0.2", 80)])
    world.network.apply(partial, ["vpc-1", "subnet-1", "acl-1"])
    assert world.open(other) == [("127.100.0.2", 80)]
    world.network.apply(changed)
    assert world.open(nic) == [("127.100.0.1", 80)]


def test_an_address_moves_from_one_guest_to_another(world):
    """The one who gets it may be asked before the one who loses it."""
    for first, second in ((1, 2), (2, 1)):
        losing, getting = a_nic(first), a_nic(second)
        before = drawn(a_nic(1), a_nic(2), rules=(a_rule(22),), public={"127.100.0.1": losing})
        after = REPLACE(before, public={getting.id: (an_address("127.100.0.1", getting),)})
        for nic in (losing, getting):
            world.start(before, nic)
        world.network.apply(before)
        world.network.apply(after, [losing.id, getting.id])
        assert (world.open(losing), world.open(getting)) == ([], [("127.100.0.1", 22)])


def test_a_port_that_a_stranger_has_is_told_and_keeps_nothing_up(world):
    nic, stranger = a_nic(1), a_nic(2)
    theirs = drawn(stranger, rules=(a_rule(22),), public={"127.100.0.1": stranger})
    world.start(theirs, stranger)
    ours = drawn(nic, rules=(a_rule(22), a_rule(80)), public={"127.100.0.1": nic})
    world.start(ours, nic)
    world.network.apply(ours)
    assert world.open(nic) == [("127.100.0.1", 80)]
    assert world.network.differences(ours) == ["eni-1 on host h: tcp 127.100.0.1:22 to port 22 is not open"]


def failing(method: str, fault: Fault, times: int = 1000) -> Callable[[str], Fault]:
    left = [times]

    def decide(called: str) -> Fault:
        if called == method and left[0]:
            left[0] -= 1
            return fault
        return Fault.NONE

    return decide


def test_a_port_that_stays_open_is_a_failure(world):
    nic = a_nic()
    before = drawn(nic, rules=(a_rule(22),), public={"127.100.0.1": nic})
    world.start(before, nic)
    after = REPLACE(before, rules={})
    world.hosts["h"].fault = failing("update_nic", Fault.FAIL_BEFORE)
    with pytest.raises(StepFailed):
        world.network.apply(after, ["sg-1"])
    assert world.network.differences(after) == [
        "eni-1 on host h: tcp 127.100.0.1:22 to port 22 is open against the rules"
    ]
    world.hosts["h"].fault = failing("update_nic", Fault.FAIL_BEFORE, 1)
    world.network.apply(after, ["sg-1"])
    assert world.open(nic) == []


def test_a_silent_host_keeps_no_other_waiting(world):
    nic, other = a_nic(1), a_nic(2)
    topology = drawn(nic, other, rules=(a_rule(22),), public={"127.100.0.1": nic, "127.100.0.2": other})
    topology = REPLACE(topology, places={nic.id: "h", other.id: "j"})
    world.hosts["j"] = MemoryHost("j")
    for one in (nic, other):
        world.start(REPLACE(topology, public={}), one)
    world.hosts["h"].silent = True
    with pytest.raises(HostSilent):
        world.network.apply(topology)
    assert world.open(other, "j") == [("127.100.0.2", 22)]
    (line,) = world.network.differences(topology)
    assert line.startswith("eni-1: host h does not tell")
    del world.hosts["h"]
    world.network.apply(topology)
    assert world.network.differences(topology) == []


def test_what_does_not_run_has_nothing_to_agree(world):
    nic = a_nic()
    topology = drawn(nic, rules=(a_rule(22),), public={"127.100.0.1": nic})
    world.network.apply(topology)
    assert world.network.differences(topology) == []
    world.start(topology, nic)
    world.hosts["h"].destroy("i-1")
    world.network.apply(topology)
    assert world.network.differences(topology) == []


def test_the_metadata_service_listens_before_guests_start_and_not_after_they_end(world):
    nic = a_nic()
    world.network.apply(drawn(nic), [nic.id])
    assert world.doors.open_for == {"eni-1"}
    world.network.apply(drawn(nic), ["sg-1", "vpc-1"])
    assert world.doors.open_for == {"eni-1"}
    for gone in (drawn(REPLACE(nic, instance_id=None)), drawn(REPLACE(nic, index=1)), drawn()):
        world.network.apply(drawn(nic))
        assert world.doors.open_for == {"eni-1"}
        world.network.apply(gone, [nic.id])
        assert world.doors.open_for == set()
    world.doors.broken = True
    with pytest.raises(StepFailed, match="no space"):
        world.network.apply(drawn(nic), [nic.id])


def test_what_is_not_enforced_is_said_in_sentences():
    assert world_of(CAPABILITIES) == {"groups", "by_member"}
    for one in (CAPABILITIES, capabilities(outbound=True)):
        assert all(sentence.endswith(".") for sentence in one.limits)
    assert set(capabilities(outbound=True).limits) ^ set(CAPABILITIES.limits) == {
        CAPABILITIES.limits[-1],
        capabilities(outbound=True).limits[-1],
    }


def world_of(declared: object) -> set[str]:
    return {name for name, value in msgspec.structs.asdict(declared).items() if value is True}
