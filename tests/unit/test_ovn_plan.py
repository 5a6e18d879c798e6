"""What rows a topology calls for: pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovn_topology import OPEN, Drawing, anything

from backend.drivers.ovn import filters, names
from backend.drivers.ovn.difference import Missing, difference, operations
from backend.drivers.ovn.driver import OvnNetwork
from backend.drivers.ovn.names import by_turns, gateway_slot, mac_of
from backend.drivers.ovn.plan import concerned, dhcp_options, plan, rows_of
from backend.drivers.ovn.rows import INSTALLATION, LINKS, ROOTS, Ref, Row, northbound_schema
from backend.drivers.ovn.settings import OvnSettings
from backend.model import uuid_of
from backend.network_model import AclEntry, DhcpOptions, Route, SecurityRule

SETTINGS = OvnSettings(
    northbound="unix:/nowhere", next_hop="203.0.113.1", pools=("203.0.113.64/26", "203.0.113.10-203.0.113.12"),
    dns=("198.51.100.53",), domain="cloud.test",
)  # fmt: skip


def rows(draw: Drawing, owner: str, table: str) -> dict[str, Row]:
    found = [row for row in rows_of(draw.topology, owner, SETTINGS) if row.table == table]
    assert len({row.key for row in found}) == len(found)
    return {row.key: row for row in found}


def drawn() -> tuple[Drawing, Any, Any, Any]:
    draw = Drawing()
    vpc = draw.vpc("v")
    subnet = draw.subnet("s", vpc, "10.0.1.0/24")
    return draw, vpc, subnet, draw.group("g", vpc, anything())


# Rules --------------------------------------------------------------------------------------------------


def rule(**more: Any) -> SecurityRule:
    return SecurityRule(
        **{"id": "sgr-1", "group_id": "sg-a1", "tenant_id": "t", "created_at": 0, "egress": False, **more}
    )


@pytest.mark.parametrize(
    ("given_rule", "match"),
    [
        ({"protocol": "-1", "cidr": "0.0.0.0/0"}, "ip4"),
        ({"protocol": "-1", "cidr": "::/0"}, "ip6"),
        ({"protocol": "-1", "cidr": "10.1.0.0/16"}, "ip4.src == 10.1.0.0/16"),
        ({"protocol": "-1", "cidr": "10.1.0.0/16", "egress": True}, "ip4.dst == 10.1.0.0/16"),
        ({"protocol": "-1", "peer_group_id": "sg-b2"}, "ip4.src == $sg_b2_ip4"),
        ({"protocol": "-1", "peer_group_id": "sg-b2", "egress": True}, "ip4.dst == $sg_b2_ip4"),
        ({"protocol": "tcp", "cidr": "0.0.0.0/0", "from_port": 22, "to_port": 22}, "ip4 && tcp && tcp.dst == 22"),
        (
            {"protocol": "udp", "cidr": "0.0.0.0/0", "from_port": 1, "to_port": 9},
            "ip4 && udp && udp.dst >= 1 && udp.dst <= 9",
        ),
        ({"protocol": "6", "cidr": "192.0.2.1/32", "from_port": 0, "to_port": 65535}, "ip4.src == 192.0.2.1/32 && tcp"),
        ({"protocol": "17", "cidr": "0.0.0.0/0"}, "ip4 && udp"),
        ({"protocol": "icmp", "cidr": "0.0.0.0/0"}, "ip4 && icmp4"),
        ({"protocol": "icmp", "cidr": "0.0.0.0/0", "from_port": 8}, "ip4 && icmp4 && icmp4.type == 8"),
        (
            {"protocol": "1", "cidr": "0.0.0.0/0", "from_port": 3, "to_port": 4},
            "ip4 && icmp4 && icmp4.type == 3 && icmp4.code == 4",
        ),
        ({"protocol": "58", "cidr": "2001:db8::/32", "from_port": 128}, "ip6.src == 2001:db8::/32 && icmp6 && icmp6.type == 128"),
        ({"protocol": "50", "cidr": "0.0.0.0/0"}, "ip4 && ip.proto == 50"),
    ],
)  # fmt: skip
def test_rules_as_matches(given_rule: dict[str, Any], match: str) -> None:
    assert filters.rule_match(rule(**given_rule)) == match


def test_a_group_is_its_rules() -> None:
    draw, vpc, _, _ = drawn()
    draw.group("g", vpc, anything(), anything(egress=True), {"protocol": "icmp", "cidr": "::/0"})

    acls = rows(draw, "sg-g", "ACL")

    assert {key: (row.columns["direction"], row.columns["match"]) for key, row in acls.items()} == {
        "sgr-g0": ("to-lport", "outport == @sg_g && ip4"),
        "sgr-g1": ("from-lport", "inport == @sg_g && ip4"),
    }  # ICMP of the wrong family allows nothing
    assert {row.columns["action"] for row in acls.values()} == {"allow-related"}
    assert rows(draw, "sg-g", "Port_Group")["sg-g"].columns == {"name": "sg_g"}


@pytest.mark.parametrize("cidr", ["10.0.0.0/8 || 1 == 1", "$all", "", "10.0.0.1/8"])
def test_what_is_no_network_never_becomes_a_match(cidr: str) -> None:
    with pytest.raises(ValueError):
        filters.rule_match(rule(protocol="-1", cidr=cidr))


def entry(
    number: int, *, egress: bool = False, allow: bool = True, protocol: str = "6", **more: Any
) -> AclEntry:
    return AclEntry(
        number=number, egress=egress, allow=allow, protocol=protocol, **{"cidr": "0.0.0.0/0", **more}
    )


def test_entries_in_their_order_up_to_the_one_for_everything() -> None:
    entries = (
        entry(300, protocol="-1"), entry(400, from_port=1, to_port=2), entry(200, allow=False, from_port=22, to_port=22),
        entry(100, protocol="-1", cidr="::/0"), entry(150, protocol="58"), entry(120, protocol="17", cidr="10.0.0.0/8"),
        entry(1, egress=True),
    )  # fmt: skip

    ordered, rest = filters.decisions(entries, egress=False)

    assert ([each.number for each in ordered], rest) == ([120, 200], True)
    assert filters.decisions((), egress=False) == ([], False)
    assert filters.decisions((entry(5, protocol="-1", allow=False),), egress=False) == ([], False)


def test_an_open_network_acl_needs_no_policies_and_a_closed_one_exempts_the_service() -> None:
    draw, vpc, subnet, _ = drawn()
    assert rows(draw, subnet.id, "Logical_Router_Policy") == {}

    draw.acl("acl-v", vpc, (entry(7, egress=True, allow=False, from_port=25, to_port=25), *OPEN))
    policies = sorted(
        (row.columns["priority"], row.columns["action"], row.columns["match"])
        for row in rows(draw, subnet.id, "Logical_Router_Policy").values()
    )
    port = 'inport == "subnet-s-r-in"'
    assert policies == [
        (1500, "allow", f"{port} && ip"),
        (30000, "drop", f"{port} && ip4 && tcp && tcp.dst == 25"),
        (32767, "allow", f"{port} && ip4.dst == 100.64.0.1"),
    ]
    assert rows(draw, subnet.id, "ACL")["subnet-s/in"].columns["action"] == "allow-stateless"
    draw.acl("acl-v", vpc, ())
    assert rows(draw, subnet.id, "ACL")["subnet-s/in"].columns["action"] == "drop"


# DHCP ---------------------------------------------------------------------------------------------------


def told(**options: tuple[str, ...]) -> dict[str, str]:
    _, _, subnet, _ = drawn()
    mine = DhcpOptions(
        id="dopt-1", tenant_id="t", account_id="1", region="r", created_at=0,
        options={key.replace("_", "-"): values for key, values in options.items()},
    )  # fmt: skip
    return dhcp_options(subnet, mine, SETTINGS.dns, SETTINGS)


def test_guests_are_told_the_installations_own_options() -> None:
    _, _, subnet, _ = drawn()

    assert dhcp_options(subnet, None, SETTINGS.dns, SETTINGS) == {
        "lease_time": "3600", "server_id": "10.0.1.1", "server_mac": mac_of("subnet-s-r-in"), "router": "10.0.1.1",
        "mtu": "1442", "classless_static_route": "{169.254.169.254/32,10.0.1.3, 0.0.0.0/0,10.0.1.1}",
        "dns_server": "198.51.100.53", "domain_name": '"cloud.test"',
    }  # fmt: skip


def test_guests_are_told_the_tenants_options() -> None:
    found = told(
        domain_name_servers=("192.0.2.1", "AmazonProvidedDNS"), domain_name=("a.test",), ntp_servers=("192.0.2.3",),
        netbios_name_servers=("192.0.2.4", "192.0.2.5"), netbios_node_type=("2",),
    )  # fmt: skip

    assert found["dns_server"] == "{192.0.2.1, 198.51.100.53}"
    assert found["domain_name"] == '"a.test"'
    assert found["ntp_server"] == "192.0.2.3"
    assert found["netbios_name_server"] == "{192.0.2.4, 192.0.2.5}"
    assert found["netbios_node_type"] == "2"


@given(st.text())
def test_no_text_of_a_tenant_leaves_its_quotes(text: str) -> None:
    found = told(
        domain_name=(text,), domain_name_servers=(text,), ntp_servers=(text,), netbios_node_type=(text,)
    )

    domain = found.get("domain_name", '""')
    assert domain[0] == domain[-1] == '"'
    assert not set(domain[1:-1]) & set('"\\(){};$\n')
    for name in ("dns_server", "ntp_server"):
        assert set(found.get(name, "")) <= set("0123456789.")
    assert found.get("netbios_node_type", "1") in {"1", "2", "4", "8"}


def test_without_dns_support_nobody_is_told_of_our_resolver() -> None:
    draw, vpc, subnet, _ = drawn()
    draw.vpcs[vpc.id] = msgspec.structs.replace(vpc, dns_support=False)

    options = rows(draw, subnet.id, "DHCP_Options")[subnet.id].columns["options"]

    assert "dns_server" not in options


# Routes and translations --------------------------------------------------------------------------------


def routes(draw: Drawing, vpc: str = "vpc-v") -> dict[tuple[str, str], str]:
    found = rows(draw, vpc, "Logical_Router_Static_Route").values()
    return {
        (row.columns["route_table"], row.columns["ip_prefix"]): row.columns["nexthop"]
        or f"on {row.columns['output_port'][0]}"
        for row in found
    }


def test_a_route_to_the_internet_gateway_knows_who_is_on_the_wire() -> None:
    draw, vpc, _, _ = drawn()

    assert routes(draw) == {
        ("rtb-v", "100.64.0.1/32"): "10.0.1.3",
        ("rtb-v", "0.0.0.0/0"): "203.0.113.1",
        ("rtb-v", "203.0.113.10/31"): "on vpc-v-r-out",
        ("rtb-v", "203.0.113.12/32"): "on vpc-v-r-out",
        ("rtb-v", "203.0.113.64/26"): "on vpc-v-r-out",
    }
    draw.table("rtb-v", vpc, Route(destination="203.0.113.96/27", target="igw-v"), main=True)
    assert routes(draw)["rtb-v", "203.0.113.96/27"] == "203.0.113.1"
    draw.table("rtb-v", vpc, Route(destination="198.51.100.0/24", target="igw-v"), main=True)
    assert len(routes(draw)) == 2


@pytest.mark.parametrize("target", ["igw-other", "nat-none", "eni-none", "vgw-1", "local"])
def test_a_target_that_leads_nowhere_swallows(target: str) -> None:
    draw, vpc, _, _ = drawn()
    draw.vpc("other")
    draw.table("rtb-v", vpc, Route(destination="0.0.0.0/0", target=target), main=True)

    assert routes(draw)["rtb-v", "0.0.0.0/0"] == "discard"


def test_only_tables_in_use_have_routes_and_ipv6_has_none() -> None:
    draw, vpc, _, _ = drawn()
    draw.table("rtb-unused", vpc, Route(destination="0.0.0.0/0", target="igw-v"))
    draw.table("rtb-v", vpc, Route(destination="::/0", target="igw-v"), main=True)

    assert routes(draw) == {("rtb-v", "100.64.0.1/32"): "10.0.1.3"}


def test_no_routes_of_a_tenant_hide_the_metadata_service() -> None:
    draw, vpc, subnet, group = drawn()
    nic = draw.nic(subnet, group)
    draw.table("rtb-v", vpc, Route(destination="100.64.0.1/32", target=nic.id), main=True)

    assert routes(draw)["rtb-v", "100.64.0.1/32"] == "10.0.1.3"


def test_a_nat_gateway_translates_the_subnets_that_lead_to_it() -> None:
    draw, vpc, subnet, _ = drawn()
    gateway = draw.nat("n", subnet, "203.0.113.70")
    table = draw.table("rtb-n", vpc, Route(destination="0.0.0.0/0", target=gateway.id))
    draw.subnet("back", vpc, "10.0.2.0/24", route_table_id=table.id)

    nats = rows(draw, vpc.id, "NAT")

    assert {row.columns["logical_ip"]: row.columns["external_ip"] for row in nats.values()} == {
        "10.0.2.0/24": "203.0.113.70"
    }
    assert routes(draw)["rtb-n", "0.0.0.0/0"] == "203.0.113.1"
    assert list(rows_of(draw.topology, gateway.nic_id, SETTINGS)) == []  # it is no guest
    draw.table("rtb-v", vpc, main=True)  # now its own subnet leads nowhere
    assert routes(draw)["rtb-n", "0.0.0.0/0"] == "discard"
    del draw.nat_gateways[gateway.id]
    assert rows(draw, vpc.id, "NAT") == {}


def test_without_an_internet_gateway_the_main_router_has_no_outer_port() -> None:
    draw = Drawing()
    vpc = draw.vpc("v", gateway=False)
    assert list(rows(draw, vpc.id, "Logical_Router_Port")) == ["vpc-v-m-out"]


def test_interfaces_by_all_their_addresses() -> None:
    draw, _, subnet, group = drawn()
    nic = draw.nic(subnet, group, secondary=("10.0.1.77",))
    draw.public("a", "203.0.113.70", nic)
    draw.public("b", "203.0.113.71", nic, "10.0.1.77")
    port = rows(draw, nic.id, "Logical_Switch_Port")[nic.id]

    assert port.columns["name"] == uuid_of(nic.id)
    assert port.columns["addresses"] == port.columns["port_security"] == (f"{nic.mac} 10.0.1.11 10.0.1.77",)
    assert [link.parent.key for link in port.links] == ["subnet-s", "sg-g"]
    nats = {row.columns["external_ip"]: row for row in rows(draw, nic.id, "NAT").values()}
    assert {key: (row.columns["logical_ip"], row.links[0].parent.key) for key, row in nats.items()} == {
        "203.0.113.70": ("10.0.1.11", "vpc-v-r"),
        "203.0.113.71": ("10.0.1.77", "vpc-v-r"),
        draw.infra[nic.id]: ("10.0.1.11", "vpc-v-m"),
    }
    assert {row.columns["logical_port"] for row in nats.values()} == {(uuid_of(nic.id),)}


# All of it ----------------------------------------------------------------------------------------------


def test_what_a_subnet_changes() -> None:
    draw, vpc, subnet, group = drawn()
    other = draw.subnet("t", vpc, "10.0.2.0/24")
    stranger = draw.subnet("x", draw.vpc("w"), "10.0.1.0/24")
    nic = draw.nic(subnet, group)

    assert concerned(draw.topology, [subnet.id]) == [INSTALLATION, vpc.id, subnet.id, other.id]
    assert concerned(draw.topology, [vpc.id]) == [INSTALLATION, vpc.id, subnet.id, other.id]
    assert concerned(draw.topology, [nic.id, "sg-gone"]) == [INSTALLATION, nic.id, "sg-gone"]
    assert stranger.id not in concerned(draw.topology, [vpc.id, nic.id])


def test_every_row_is_of_the_schema_and_names_only_planned_rows() -> None:
    draw, vpc, subnet, group = drawn()
    draw.public("e", "203.0.113.70", draw.nic(subnet, group))
    draw.nat("n", subnet, "203.0.113.71")
    draw.acl("acl-v", vpc, (entry(1), entry(1, egress=True)))
    tables = northbound_schema()["tables"]
    all_rows = [row for rows in plan(draw.topology, None, SETTINGS).values() for row in rows]
    refs = {row.ref for row in all_rows}

    by_table: dict[str, set[frozenset[str]]] = {}
    for row in all_rows:
        assert row.ref.owner in {INSTALLATION, *draw.vpcs, *draw.subnets, *draw.groups, *draw.nics}
        assert set(row.columns) <= set(tables[row.table]["columns"]) - set(LINKS.get(row.table, ()))
        assert (row.table in ROOTS) == (not row.links)
        assert {link.parent for link in row.links} <= refs
        values = [
            value
            for column in row.columns.values()
            for value in (column if isinstance(column, tuple) else [column])
        ]
        assert {value for value in values if isinstance(value, Ref)} <= refs
        by_table.setdefault(row.table, set()).add(frozenset(row.columns))
    assert len(refs) == len(all_rows)
    assert all(len(shapes) == 1 for shapes in by_table.values())  # every row decides the same columns
    assert set(by_table) == set(tables) - {"NB_Global"}


def test_gateways_are_spread_over_the_chassis_and_few_move() -> None:
    chassis = tuple(f"h{number}" for number in range(8))
    first = [by_turns(slot, chassis)[0] for slot in range(names.GATEWAY_SLOTS)]
    fewer = [by_turns(slot, chassis[1:])[0] for slot in range(names.GATEWAY_SLOTS)]

    assert len(set(first)) > 4
    assert all(one == other for one, other in zip(first, fewer, strict=True) if one != "h0")
    assert len(by_turns(3, chassis)) == names.GATEWAYS_EACH
    assert len({gateway_slot(f"vpc-{number:017x}") for number in range(200)}) == names.GATEWAY_SLOTS


def test_addresses_made_of_names_are_unlike() -> None:
    macs = Counter(mac_of(f"203.0.113.{number}") for number in range(256))
    assert max(macs.values()) == 1
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)  # local, and of one station


def test_domains_plug_into_the_bridge() -> None:
    draw, _, subnet, group = drawn()
    nic = draw.nic(subnet, group, index=1, up=False)
    network = OvnNetwork(SETTINGS)

    spec = network.plug(draw.topology, nic)

    assert (spec.id, spec.index, spec.mac, spec.address, spec.cidr) == (
        nic.id,
        1,
        nic.mac,
        "10.0.1.11",
        "10.0.1.0/24",
    )
    assert (spec.bridge, spec.mtu, spec.offload, spec.up) == ("br-int", 1442, True, False)
    assert network.capabilities.needs_infra
    network.close()


class Nothing:
    """An empty database."""

    def owned(self, owner: str) -> list[Any]:
        return []

    def find(self, table: str, key: str) -> None:
        return None


def test_new_rows_go_into_new_sets_at_once() -> None:
    draw, _, subnet, group = drawn()
    draw.nic(subnet, group)
    made = operations(difference(Nothing(), plan(draw.topology, None, SETTINGS)))  # type: ignore[arg-type]

    assert {each["op"] for each in made} == {"insert"}
    ports = next(each["row"]["ports"] for each in made if each["row"].get("name") == subnet.id)
    assert ports[0] == "set"
    assert {member[0] for member in ports[1]} == {"named-uuid"}
    assert len(ports[1]) == 3


def test_a_row_that_is_nowhere_is_missing() -> None:
    draw, _, subnet, group = drawn()
    nic = draw.nic(subnet, group)
    with pytest.raises(Missing, match=subnet.id) as missing:
        difference(Nothing(), {nic.id: tuple(rows_of(draw.topology, nic.id, SETTINGS))})  # type: ignore[arg-type]
    assert missing.value.ref.owner == subnet.id
