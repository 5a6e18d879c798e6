"""``isthmus net``, ``subnet``, ``nic``, ``address`` and ``secgroup``: what tenants draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from backend import network_commands as commands
from backend.engine.trace import spoken
from backend.model import Owned, id_of, uuid_of
from backend.network_commands import RuleSpec
from backend.network_model import (
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    RouteTable,
    SecurityGroup,
    SecurityRule,
    Subnet,
    Vpc,
)
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, tenant_named
from gateway.installation import Installation, acting_for, operator
from gateway.output import Output

T = TypeVar("T", bound=Owned)

nets = typer.Typer(no_args_is_help=True, help="VPCs: tenants' own networks of networks.")
subnets = typer.Typer(no_args_is_help=True, help="Subnets: EC2's subnets, OCCI's networks.")
nics = typer.Typer(no_args_is_help=True, help="Network interfaces.")
addresses = typer.Typer(no_args_is_help=True, help="Public addresses that tenants hold.")
secgroups = typer.Typer(no_args_is_help=True, help="Security groups and their rules.")

TenantOption = Annotated[str | None, typer.Option(help="Whose; the first tenant without.")]
RegionOption = Annotated[str, typer.Option(help="In which region; the default one without.")]
_NET = ("id", "tenant", "cidr", "default", "subnets", "region")
_SUBNET = ("id", "tenant", "cidr", "free", "zone", "vpc_id", "up", "map_public_ip")
_NIC = ("id", "tenant", "addresses", "public", "mac", "instance_id", "attached", "subnet_id", "up")
_ADDRESS = ("id", "tenant", "ip", "pool", "instance_id", "nic_id", "private_ip", "up")
_GROUP = ("id", "tenant", "name", "rules", "vpc_id", "description")
_RULE = ("id", "way", "rule", "description")


def _names(installation: Installation) -> dict[str, str]:
    return {tenant.id: tenant.name for tenant in installation.engine.tenants()}


def _all(installation: Installation, kind: type[T], tenant: str | None) -> list[T]:
    found = installation.engine.networks.all(operator(), kind)
    if tenant is None:
        return found
    owner = tenant_named(installation, tenant).id
    return [each for each in found if each.tenant_id == owner]


def _one(installation: Installation, kind: type[T], prefix: str, name: str) -> T:
    return installation.engine.networks.one(operator(), kind, id_of(prefix, name) or name)


def _row(installation: Installation, thing: Owned, **more: Any) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(thing)
    names = _names(installation)
    return built | {"uuid": uuid_of(thing.id), "tenant": names.get(thing.tenant_id, thing.tenant_id)} | more


# VPCs ---------------------------------------------------------------------------------------------------


@nets.command("list")
@command
def list_nets(tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List VPCs."""
    installation = installation_of(home)
    inside: dict[str, int] = {}
    for subnet in _all(installation, Subnet, None):
        inside[subnet.vpc_id] = inside.get(subnet.vpc_id, 0) + 1
    rows = [_row(installation, vpc, subnets=inside.get(vpc.id, 0)) for vpc in _all(installation, Vpc, tenant)]
    Output(as_json=as_json).rows(rows, _NET)


@nets.command("show")
@command
def show_net(
    vpc: Annotated[str, typer.Argument(metavar="VPC", help="Its id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a VPC with all that is drawn in it: subnets, route tables, gateways, network ACLs."""
    installation = installation_of(home)
    found = _one(installation, Vpc, "vpc", vpc)
    inside: dict[str, Any] = {
        name: [
            msgspec.to_builtins(each)
            for each in installation.engine.networks.all(operator(), kind)
            if getattr(each, "vpc_id", None) == found.id
        ]
        for name, kind in _INSIDE.items()
    }
    output = Output(as_json=as_json)
    if as_json:
        output.document(_row(installation, found, **inside))
        return
    output.one(_row(installation, found, subnets=len(inside["subnets"])), _NET)
    for name, rows in inside.items():
        for each in rows:
            output.say(f"{name[:-1].replace('_', ' ')} {each['id']}: {_said(name, each)}")


_INSIDE: Mapping[str, type[Owned]] = {
    "subnets": Subnet,
    "route_tables": RouteTable,
    "internet_gateways": InternetGateway,
    "nat_gateways": NatGateway,
    "network_acls": NetworkAcl,
}


def _said(name: str, row: Mapping[str, Any]) -> str:
    """One line about a thing in a VPC."""
    match name:
        case "subnets":
            return f"{row['cidr']} in {row['zone']}"
        case "route_tables":
            routes = [f"{route['destination']} → {route['target']}" for route in row["routes"]]
            return ", ".join(["main"] * row["main"] + routes) or "local only"
        case "nat_gateways":
            return f"{row['public_ip']} ({row['state']})"
        case "network_acls":
            return f"{len(row['entries'])} entries" + (", default" if row["default"] else "")
        case _:
            return "attached"


# Subnets ------------------------------------------------------------------------------------------------


@subnets.command("list")
@command
def list_subnets(tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List subnets with the addresses that are free in each."""
    installation = installation_of(home)
    found = _all(installation, Subnet, tenant)
    held = installation.engine.networks.held([subnet.id for subnet in found])
    rows = [
        _row(installation, subnet, free=subnet.network.num_addresses - 5 - held.get(subnet.id, 0))
        for subnet in found
    ]
    Output(as_json=as_json).rows(rows, _SUBNET)


def _switch(up: bool) -> Callable[..., None]:
    @command
    def switch(
        subnet: Annotated[str, typer.Argument(metavar="SUBNET", help="Its id, EC2's or OCCI's.")],
        home: HomeOption = None,
        as_json: JsonOption = False,
    ) -> None:
        installation = installation_of(home)
        found = _one(installation, Subnet, "subnet", subnet)
        changed = installation.engine.execute(operator(), commands.ModifySubnet(subnet_id=found.id, up=up))
        Output(as_json=as_json).one(
            _row(installation, changed), tuple(name for name in _SUBNET if name != "free")
        )

    return switch


subnets.command("up", help="Hand out addresses again.")(_switch(up=True))
subnets.command("down", help="Hand out no further addresses; what is there stays.")(_switch(up=False))


# Interfaces ---------------------------------------------------------------------------------------------


@nics.command("list")
@command
def list_nics(tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List network interfaces with their private and public addresses."""
    installation = installation_of(home)
    found = _all(installation, Nic, tenant)
    networks = installation.engine.networks
    leases = networks.leases_of([nic.id for nic in found])
    public = networks.public_of([nic.id for nic in found])
    rows = [
        _row(
            installation,
            nic,
            addresses=", ".join(leases.get(nic.id, ())),
            public=", ".join(each.ip for each in public.get(nic.id, ())),
            attached=nic.attach.value,
        )
        for nic in found
    ]
    Output(as_json=as_json).rows(rows, _NIC)


# Public addresses ---------------------------------------------------------------------------------------


def _address_rows(installation: Installation, found: Sequence[PublicAddress]) -> list[dict[str, Any]]:
    nics_ = installation.engine.networks.nics_by_id([each.nic_id for each in found if each.nic_id])
    return [
        _row(
            installation,
            each,
            instance_id=nics_[each.nic_id].instance_id if each.nic_id in nics_ else None,
        )
        for each in found
    ]


@addresses.command("list")
@command
def list_addresses(tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the public addresses that tenants hold, and what they lead to."""
    installation = installation_of(home)
    found = _all(installation, PublicAddress, tenant)
    Output(as_json=as_json).rows(_address_rows(installation, found), _ADDRESS)


@addresses.command("pools")
@command
def pools(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the pools that public addresses come from, and how many of each are held."""
    installation = installation_of(home)
    held = _all(installation, PublicAddress, None)
    settings = installation.engine.settings.network
    rows = [
        {
            "pool": name,
            "addresses": ", ".join(texts),
            "held": sum(each.pool == name for each in held),
        }
        for name, texts in settings.pools.items()
    ]
    Output(as_json=as_json).rows(rows, ("pool", "addresses", "held"))


@addresses.command("allocate")
@command
def allocate(
    ip: Annotated[str, typer.Option(help="A certain address; any without.")] = "",
    pool: Annotated[str, typer.Option(help="Of which pool; the first one without.")] = "",
    tenant: TenantOption = None,
    region: RegionOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a public address for a tenant."""
    installation = installation_of(home)
    regions = installation.settings.regions
    if region and region not in regions:
        raise Refused(f"There is no region {region}. There are: {', '.join(regions)}")
    caller = acting_for(tenant_named(installation, tenant), region)
    made = installation.engine.execute(caller, commands.AllocateAddress(ip=ip, pool=pool))
    Output(as_json=as_json).one(_address_rows(installation, [made])[0], _ADDRESS)


@addresses.command("release")
@command
def release(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address, or its id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an address that leads nowhere back to its pool."""
    installation = installation_of(home)
    found = _address(installation, address)
    installation.engine.execute(operator(), commands.ReleaseAddress(allocation_id=found.id))
    Output(as_json=as_json).one(_row(installation, found), ("id", "ip", "pool"))


def _address(installation: Installation, name: str) -> PublicAddress:
    wanted = id_of("eipalloc", name)
    for each in _all(installation, PublicAddress, None):
        if name == each.ip or wanted == each.id:
            return each
    raise Refused(f"Nobody holds the address {name}. See: isthmus address list")


# Security groups ----------------------------------------------------------------------------------------


@secgroups.command("list")
@command
def list_groups(tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List security groups."""
    installation = installation_of(home)
    found = _all(installation, SecurityGroup, tenant)
    rules = installation.engine.networks.rules_of([group.id for group in found])
    rows = [_row(installation, group, rules=len(rules.get(group.id, ()))) for group in found]
    Output(as_json=as_json).rows(rows, _GROUP)


@secgroups.command("show")
@command
def show_group(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="Its id, EC2's or OCCI's.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rules of a security group."""
    installation = installation_of(home)
    found = _one(installation, SecurityGroup, "sg", group)
    rules = installation.engine.networks.rules_of([found.id]).get(found.id, ())
    Output(as_json=as_json).rows([_rule_row(rule) for rule in rules], _RULE)


def _rule_row(rule: SecurityRule) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(rule)
    return built | {"way": "out" if rule.egress else "in", "rule": spoken(rule)}


_ProtocolOption = Annotated[str, typer.Option(help="tcp, udp, icmp, a number, or all.")]
_PortsOption = Annotated[str, typer.Option(help="A port or a range: 22, 8000-8099.")]
_PeerOption = Annotated[str, typer.Option("--peer", help="A CIDR, or the id or name of a group.")]
_EgressOption = Annotated[bool, typer.Option("--egress", help="What goes out instead of what comes in.")]
_GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="Its id, EC2's or OCCI's.")]


def _spec(protocol: str, ports: str, peer: str, *, egress: bool) -> RuleSpec:
    first, _, last = ports.partition("-")
    try:
        numbers = (int(first), int(last or first)) if ports else (None, None)
    except ValueError:
        raise Refused(f"{ports} is no port and no range of ports, such as 22 or 8000-8099.") from None
    is_cidr = "/" in peer or peer.replace(".", "").isdigit() or ":" in peer
    return RuleSpec(
        egress=egress,
        protocol="-1" if protocol == "all" else protocol,
        from_port=numbers[0],
        to_port=numbers[1],
        cidr=peer if is_cidr else "",
        peer_group="" if is_cidr else peer,
    )


@secgroups.command("allow")
@command
def allow(
    group: _GroupArgument,
    protocol: _ProtocolOption = "tcp",
    ports: _PortsOption = "",
    peer: _PeerOption = "0.0.0.0/0",
    egress: _EgressOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a rule; in force on running guests within a second."""
    installation = installation_of(home)
    found = _one(installation, SecurityGroup, "sg", group)
    made = installation.engine.execute(
        operator(),
        commands.AuthorizeRules(group_id=found.id, rules=(_spec(protocol, ports, peer, egress=egress),)),
    )
    Output(as_json=as_json).rows([_rule_row(rule) for rule in made], _RULE)


@secgroups.command("forbid")
@command
def forbid(
    group: _GroupArgument,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id: see secgroup show.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a rule away."""
    installation = installation_of(home)
    found = _one(installation, SecurityGroup, "sg", group)
    rules = installation.engine.networks.rules_of([found.id]).get(found.id, ())
    egress = any(each.id == rule and each.egress for each in rules)
    gone = installation.engine.execute(
        operator(), commands.RevokeRules(group_id=found.id, egress=egress, rule_ids=(rule,))
    )
    Output(as_json=as_json).rows([_rule_row(each) for each in gone], _RULE)
