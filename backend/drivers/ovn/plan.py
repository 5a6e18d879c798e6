"""The rows of a northbound database that a topology calls for, by the object of the topology that they belong
to.

For each VPC two routers, for each subnet a switch that both are plugged into: the *main* router (the subnet's
first address) leads to other subnets and to the outside; the *metadata* router (the third) only to the
metadata service, where every interface appears under an infra address of its own, whatever the main router
makes of it. That is what tells guests with the same private address apart. Public and infra addresses are
translated on the chassis of the guest; what shares an address (NAT gateways) on one of the gateway chassis.

Everything here is pure. Whoever needs a row that another owner's plan makes names it by a
:class:`~backend.drivers.ovn.rows.Ref`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from backend.drivers.ovn import filters
from backend.drivers.ovn.names import (
    GATEWAY_SLOTS,
    GATEWAYS_EACH,
    METADATA,
    PROVIDER,
    by_turns,
    gateway_slot,
    guest_port,
    inner_port,
    localnet,
    mac_of,
    main_router,
    metadata_router,
    outer_port,
    switch_port,
)
from backend.drivers.ovn.rows import INSTALLATION, Column, Link, Ref, Row
from backend.drivers.ovn.settings import OvnSettings
from backend.network_model import (
    ANYWHERE,
    METADATA_ADDRESS,
    DhcpOptions,
    NatGateway,
    NatState,
    Nic,
    Route,
    RouteTable,
    Subnet,
    Topology,
    Vpc,
)

PROVIDER_SWITCH: Final = Ref("Logical_Switch", PROVIDER, INSTALLATION)
BALANCER: Final = Ref("Load_Balancer", METADATA, INSTALLATION)
DISCARD: Final = "discard"
OWN_RESOLVER: Final = "AmazonProvidedDNS"
NAT_REQUESTER: Final = "nat"

ROUTER_OPTIONS: Final[Mapping[str, str]] = {
    "dynamic_neigh_routers": "true",  # else every router on the provider's switch has a flow for every other
    "always_learn_from_arp_request": "false",
}


def plan(
    topology: Topology, scopes: Collection[str] | None, settings: OvnSettings
) -> dict[str, tuple[Row, ...]]:
    """The rows of each owner: of those concerned when some ids have changed, else of all.

    An owner that is not in the topology (any more) has none. What all share is always among them: it is
    little, and follows the chassis.
    """
    owners = concerned(topology, scopes) if scopes is not None else everyone(topology)
    return {owner: tuple(rows_of(topology, owner, settings)) for owner in owners}


def everyone(topology: Topology) -> list[str]:
    """Every owner that there is, those that others refer to first."""
    return [INSTALLATION, *topology.vpcs, *topology.subnets, *topology.groups, *topology.nics]


def concerned(topology: Topology, scopes: Collection[str]) -> list[str]:
    """The owners whose rows depend on what changed.

    A subnet is drawn together with the whole of its VPC: which tables its routers have, and what is
    translated, depends on all subnets; and each subnet's port on the VPC's main route table.
    """
    drawn = {subnet.vpc_id for each in scopes if (subnet := topology.subnets.get(each)) is not None}
    drawn |= {each for each in scopes if each in topology.vpcs}
    subnets = [each.id for each in topology.subnets.values() if each.vpc_id in drawn]
    return list(dict.fromkeys([INSTALLATION, *sorted(drawn), *subnets, *scopes]))


def rows_of(topology: Topology, owner: str, settings: OvnSettings) -> Iterator[Row]:
    """The rows of one owner; none of one that is not there."""
    if owner == INSTALLATION:
        yield from _installation(settings.chassis or topology.chassis, settings)
    elif (vpc := topology.vpcs.get(owner)) is not None:
        yield from _vpc(topology, vpc, settings)
    elif (subnet := topology.subnets.get(owner)) is not None:
        yield from _subnet(topology, subnet, settings)
    elif (group := topology.groups.get(owner)) is not None:
        yield from filters.group_rows(group, topology.rules.get(owner, ()))
    elif (nic := topology.nics.get(owner)) is not None and nic.requester != NAT_REQUESTER:
        yield from _nic(topology, nic)


# What all share -----------------------------------------------------------------------------------------


def _installation(chassis: tuple[str, ...], settings: OvnSettings) -> Iterator[Row]:
    name = localnet(settings.provider)
    yield Row(*_of(PROVIDER_SWITCH), {"name": settings.provider, "other_config": {}, "load_balancer": ()})
    yield _switch_port(
        INSTALLATION, name, PROVIDER_SWITCH, "localnet", ("unknown",), {"network_name": settings.provider}
    )
    yield from filters.provider_rows(PROVIDER_SWITCH, settings)
    service = f"{settings.metadata_address}:{settings.metadata_port}"
    vips = {f"{METADATA_ADDRESS}:80": service}
    yield Row(*_of(BALANCER), {"name": f"isthmus-{METADATA}", "vips": vips, "protocol": ("tcp",)})
    for slot in range(GATEWAY_SLOTS):
        yield from _gateways(slot, chassis)


def _gateways(slot: int, chassis: tuple[str, ...]) -> Iterator[Row]:
    group = _gateway_group(slot)
    yield Row(*_of(group), {"name": group.key})
    for place, name in enumerate(by_turns(slot, chassis)):
        columns: dict[str, Column] = {"chassis_name": name, "priority": GATEWAYS_EACH - place}
        yield Row(INSTALLATION, "HA_Chassis", f"{slot}/{name}", columns, (Link(group, "ha_chassis"),))


def _gateway_group(slot: int) -> Ref:
    return Ref("HA_Chassis_Group", f"isthmus-{slot}", INSTALLATION)


# VPCs ---------------------------------------------------------------------------------------------------


def _vpc(topology: Topology, vpc: Vpc, settings: OvnSettings) -> Iterator[Row]:
    main, metadata = _main(vpc.id), _metadata(vpc.id)
    for router in (main, metadata):
        yield Row(*_of(router), {"name": router.key, "options": ROUTER_OPTIONS})
    infra = topology.infra.get(vpc.id)
    if infra is None:
        return
    length = settings.infra_length
    yield from _outer_port(metadata, f"{infra}/{length}", gateway_slot(vpc.id))
    if topology.gateway_of(vpc.id) is not None:
        yield from _outer_port(main, f"{settings.link_address(infra)}/{length}", gateway_slot(vpc.id))
    subnets = sorted(
        (each for each in topology.subnets.values() if each.vpc_id == vpc.id), key=lambda it: it.id
    )
    tables = {table.id: table for each in subnets if (table := topology.table_of(each)) is not None}
    for table in tables.values():
        yield from _routes(topology, vpc, table, subnets[0].metadata_router, settings)
    for subnet in subnets:
        yield from _shared_translation(topology, subnet)


def _outer_port(router: Ref, network: str, slot: int) -> Iterator[Row]:
    """A router's port on the provider's switch. The chassis that serves it announces what it translates."""
    port = outer_port(router.key)
    columns: dict[str, Column] = {
        "name": port,
        "mac": mac_of(port),
        "networks": (network,),
        "options": {},
        "ha_chassis_group": (_gateway_group(slot),),
    }
    yield Row(router.owner, "Logical_Router_Port", port, columns, (Link(router, "ports"),))
    options = {"router-port": port, "nat-addresses": "router"}
    yield _switch_port(router.owner, switch_port(port), PROVIDER_SWITCH, "router", ("router",), options)


def _routes(
    topology: Topology, vpc: Vpc, table: RouteTable, service_hop: str, settings: OvnSettings
) -> Iterator[Row]:
    """A table's routes. Each table also has the way to the metadata service, for guests that send there by
    their default route: its address is already the real one when such a packet comes to the router.
    """
    ways = {f"{settings.metadata_address}/32": (service_hop, "")}
    for route in sorted(table.routes, key=lambda each: each.destination):
        for prefix, hop, port in _ways(topology, vpc, route, settings):
            ways.setdefault(prefix, (hop, port))
    for prefix, (hop, port) in ways.items():
        columns: dict[str, Column] = {
            "route_table": table.id,
            "ip_prefix": prefix,
            "nexthop": hop,
            "output_port": (port,) if port else (),
        }
        link = Link(_main(vpc.id), "static_routes")
        yield Row(vpc.id, "Logical_Router_Static_Route", f"{table.id}/{prefix}", columns, (link,))


def _ways(topology: Topology, vpc: Vpc, route: Route, settings: OvnSettings) -> list[tuple[str, str, str]]:
    """A route as prefixes with their next hop and port; a target that cannot forward swallows the packets.

    Public addresses are on the same wire as the router's outer port, though no address of that port is.
    """
    destination = ipaddress.ip_network(route.destination)
    if not isinstance(destination, ipaddress.IPv4Network):
        return []  # routers have no IPv6 addresses
    prefix = str(destination)
    if route.target.startswith("eni-"):
        hop = topology.nics.get(route.target)
        usable = hop is not None and hop.vpc_id == vpc.id and hop.instance_id is not None
        return [(prefix, hop.address if hop is not None and usable else DISCARD, "")]
    if not _leads_out(topology, vpc.id, route.target):
        return [(prefix, DISCARD, "")]
    port = outer_port(main_router(vpc.id))
    wire = [str(part) for pool in settings.pool_networks if (part := _common(pool, destination)) is not None]
    return [(prefix, settings.next_hop, port), *((each, "", port) for each in wire if each != prefix)]


def _common(one: ipaddress.IPv4Network, other: ipaddress.IPv4Network) -> ipaddress.IPv4Network | None:
    if not one.overlaps(other):
        return None
    return max(one, other, key=lambda each: each.prefixlen)


def _leads_out(topology: Topology, vpc_id: str, target: str) -> bool:
    """Whether a target is the VPC's internet gateway, or a NAT gateway whose own subnet leads there."""
    gateway = topology.gateway_of(vpc_id)
    if gateway is None:
        return False
    nat = topology.nat_gateways.get(target)
    if nat is None:
        return target == gateway.id
    home = topology.subnets.get(nat.subnet_id)
    table = topology.table_of(home) if home is not None else None
    return (
        _works(nat, vpc_id)
        and table is not None
        and any(route.target == gateway.id for route in table.routes)
    )


def _works(nat: NatGateway, vpc_id: str) -> bool:
    return nat.state is NatState.AVAILABLE and nat.vpc_id == vpc_id


def _shared_translation(topology: Topology, subnet: Subnet) -> Iterator[Row]:
    """What a subnet shows the outside when its table leads to a NAT gateway: that of its broadest route."""
    table = topology.table_of(subnet)
    ways = [
        (ipaddress.ip_network(route.destination).prefixlen, route.destination, nat)
        for route in (table.routes if table is not None else ())
        if (nat := topology.nat_gateways.get(route.target)) is not None and _works(nat, subnet.vpc_id)
    ]
    if ways:
        nat = min(ways, key=lambda way: way[:2])[2]
        yield _nat(subnet.vpc_id, f"{nat.id}/{subnet.id}", _main(subnet.vpc_id), nat.public_ip, subnet.cidr)


# Subnets ------------------------------------------------------------------------------------------------


def _subnet(topology: Topology, subnet: Subnet, settings: OvnSettings) -> Iterator[Row]:
    switch = _switch(subnet.id)
    yield Row(*_of(switch), {"name": subnet.id, "other_config": {}, "load_balancer": (BALANCER,)})
    table = topology.table_of(subnet)
    options = {"route_table": table.id} if table is not None else {}
    length = subnet.network.prefixlen
    yield from _inner_port(switch, _main(subnet.vpc_id), "r", f"{subnet.router}/{length}", options)
    yield from _inner_port(switch, _metadata(subnet.vpc_id), "m", f"{subnet.metadata_router}/{length}", {})
    vpc = topology.vpcs.get(subnet.vpc_id)
    blocks = vpc.cidrs if vpc is not None else (subnet.cidr,)
    yield from filters.subnet_rows(switch, subnet, topology.acls.get(subnet.acl_id), blocks, settings)
    told = topology.dhcp_options.get(vpc.dhcp_options_id) if vpc is not None else None
    resolver = settings.dns if vpc is None or vpc.dns_support else ()
    columns: dict[str, Column] = {
        "cidr": subnet.cidr,
        "options": dhcp_options(subnet, told, resolver, settings),
    }
    yield Row(*_of(_dhcp(subnet.id)), columns)


def _inner_port(
    switch: Ref, router: Ref, side: str, network: str, options: Mapping[str, str]
) -> Iterator[Row]:
    port = inner_port(switch.key, side)
    columns: dict[str, Column] = {
        "name": port,
        "mac": mac_of(port),
        "networks": (network,),
        "options": options,
        "ha_chassis_group": (),
    }
    yield Row(switch.owner, "Logical_Router_Port", port, columns, (Link(router, "ports"),))
    yield _switch_port(switch.owner, switch_port(port), switch, "router", ("router",), {"router-port": port})


def dhcp_options(
    subnet: Subnet, told: DhcpOptions | None, resolver: tuple[str, ...], settings: OvnSettings
) -> dict[str, str]:
    """What guests are told: by OVN's names, in OVN's notation.

    The metadata service has a route of its own (RFC 3442, which makes clients ignore the router option).
    Values that a tenant chose become part of a logical flow, so only what is an address or a name is passed
    on.
    """
    options = told.options if told is not None else {}
    words = {key.lower(): values for key, values in options.items()}
    servers = [
        each
        for value in words.get("domain-name-servers", (OWN_RESOLVER,))
        for each in (resolver if value == OWN_RESOLVER else (value,))
    ]
    domain = " ".join(words.get("domain-name", (settings.domain,)))
    node_type = "".join(words.get("netbios-node-type", ()))
    routes = f"{METADATA_ADDRESS}/32,{subnet.metadata_router}, {ANYWHERE},{subnet.router}"
    found = {
        "lease_time": str(settings.lease_seconds),
        "server_id": subnet.router,
        "server_mac": mac_of(inner_port(subnet.id, "r")),
        "router": subnet.router,
        "mtu": str(settings.mtu),
        "classless_static_route": f"{{{routes}}}",
        "dns_server": _addresses(servers),
        "domain_name": f'"{domain}"' if _DOMAIN.fullmatch(domain) else "",
        "ntp_server": _addresses(words.get("ntp-servers", ())),
        "netbios_name_server": _addresses(words.get("netbios-name-servers", ())),
        "netbios_node_type": node_type if node_type in {"1", "2", "4", "8"} else "",
    }
    return {name: value for name, value in found.items() if value}


_DOMAIN: Final = re.compile(r"[A-Za-z0-9._ -]{1,255}")


def _addresses(values: Iterable[str]) -> str:
    found = [each for each in values if _is_address(each)]
    return found[0] if len(found) == 1 else f"{{{', '.join(found)}}}" if found else ""


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


# Interfaces ---------------------------------------------------------------------------------------------


def _nic(topology: Topology, nic: Nic) -> Iterator[Row]:
    """An interface's port, and under what addresses it is known outside.

    Without the check of source and destination it may send and receive anything, as a router must.
    """
    addresses = " ".join([nic.mac, *topology.leases.get(nic.id, (nic.address,))])
    groups = tuple(Link(_group(each), "ports") for each in nic.groups)
    port = guest_port(nic.id)
    yield _switch_port(
        nic.id,
        port,
        _switch(nic.subnet_id),
        "",
        (addresses,),
        {},
        security=(addresses,) if nic.source_dest_check else (),
        enabled=nic.up,
        dhcp=(_dhcp(nic.subnet_id),),
        groups=groups,
        key=nic.id,
    )
    infra = topology.infra.get(nic.id)
    if infra:
        yield _nat(nic.id, f"{nic.id}/infra", _metadata(nic.vpc_id), infra, nic.address, port)
    for public in topology.public.get(nic.id, ()):
        if public.up:
            yield _nat(nic.id, public.id, _main(nic.vpc_id), public.ip, public.private_ip, port)


# Rows of several owners ---------------------------------------------------------------------------------


def _nat(owner: str, key: str, router: Ref, external: str, logical: str, port: str = "") -> Row:
    """A translation. With a port one address for one address, on the chassis where that is; the MAC goes with
    the address, so that neighbours need not learn another when the address moves.
    """
    columns: dict[str, Column] = {
        "type": "dnat_and_snat" if port else "snat",
        "external_ip": external,
        "logical_ip": logical,
        "external_mac": (mac_of(external),) if port else (),
        "logical_port": (port,) if port else (),
    }
    return Row(owner, "NAT", key, columns, (Link(router, "nat"),))


def _switch_port(
    owner: str,
    name: str,
    switch: Ref,
    kind: str,
    addresses: tuple[str, ...],
    options: Mapping[str, str],
    *,
    security: tuple[str, ...] = (),
    enabled: bool = True,
    dhcp: tuple[Ref, ...] = (),
    groups: tuple[Link, ...] = (),
    key: str = "",
) -> Row:
    columns: dict[str, Column] = {
        "name": name,
        "type": kind,
        "addresses": addresses,
        "options": options,
        "port_security": security,
        "enabled": (enabled,),
        "dhcpv4_options": dhcp,
    }
    return Row(owner, "Logical_Switch_Port", key or name, columns, (Link(switch, "ports"), *groups))


def _main(vpc_id: str) -> Ref:
    return Ref("Logical_Router", main_router(vpc_id), vpc_id)


def _metadata(vpc_id: str) -> Ref:
    return Ref("Logical_Router", metadata_router(vpc_id), vpc_id)


def _switch(subnet_id: str) -> Ref:
    return Ref("Logical_Switch", subnet_id, subnet_id)


def _dhcp(subnet_id: str) -> Ref:
    return Ref("DHCP_Options", subnet_id, subnet_id)


def _group(group_id: str) -> Ref:
    return Ref("Port_Group", group_id, group_id)


def _of(ref: Ref) -> tuple[str, str, str]:
    return ref.owner, ref.table, ref.key
