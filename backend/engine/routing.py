"""Where packets go that leave a subnet: route tables, internet gateways, NAT gateways; DHCP options.

A route whose target has gone stays, and leads nowhere until it is replaced (EC2's *blackhole*).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from backend import network_commands as commands
from backend.engine.access import own_instances
from backend.engine.addresses import link, own_address, unlink
from backend.engine.cidrs import network_of
from backend.engine.claims import claim_infra
from backend.engine.network_access import own
from backend.engine.network_limits import Limit
from backend.engine.network_reads import may_see, not_found
from backend.engine.nic_ends import forget_nic
from backend.engine.nics import nic_of_vpc
from backend.engine.registry import lock_tenant
from backend.engine.replays import id_for, replayed
from backend.engine.tagging import give_tags
from backend.engine.vpcs import in_use, inherited
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import new_id
from backend.network_commands import Association
from backend.network_model import (
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NatState,
    Nic,
    Route,
    RouteTable,
    Subnet,
    Vpc,
)

_NAT = "nat"


def _different_networks(sentence: str) -> BackendError:
    return BackendError(Code.PARAMETER_INVALID, f"{sentence} belong to different networks")


# Route tables -------------------------------------------------------------------------------------------


def create_route_table(work: Work, command: commands.CreateRouteTable) -> RouteTable:
    """A route table that no subnet uses yet (CreateRouteTable)."""
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    identity = id_for(work, "rtb", command.client_token)
    known = replayed(work, RouteTable, identity, vpc_id=vpc.id)
    if known is not None:
        return known
    Limit.ROUTE_TABLES.check(len(work.tx.route_tables.of_vpc(vpc.id)))
    table = RouteTable(id=identity, vpc_id=vpc.id, **inherited(work, vpc))
    work.tx.route_tables.insert(table)
    give_tags(work, [table.id], "route-table", command.tags)
    return table


def delete_route_table(work: Work, command: commands.DeleteRouteTable) -> None:
    """Delete a table that is neither the main one nor any subnet's (DeleteRouteTable)."""
    table = own(work, RouteTable, command.route_table_id, lock=True)
    if table.main or work.tx.subnets.of("route_table_id", [table.id]):
        raise in_use("routeTable", table.id)
    work.tx.route_tables.delete(table.id)
    work.tx.tags.drop([table.id])


def associate_route_table(work: Work, command: commands.AssociateRouteTable) -> Association:
    """Let a subnet use a table; again, it is the same association (AssociateRouteTable)."""
    table = own(work, RouteTable, command.route_table_id, lock=True)
    subnet = own(work, Subnet, command.subnet_id, lock=True)
    _same_network(table, subnet)
    if subnet.route_table_id == table.id:
        return Association(id=subnet.route_association_id, subnet_id=subnet.id)
    if subnet.route_table_id:
        raise BackendError(
            Code.ALREADY_ASSOCIATED,
            f"the specified association for route table {table.id} conflicts with an existing association",
            ids=(table.id, subnet.id),
        )
    return _use(work, subnet, table.id)


def _same_network(table: RouteTable, subnet: Subnet) -> None:
    if table.vpc_id != subnet.vpc_id:
        raise _different_networks(f"route table {table.id} and subnet {subnet.id}")


def _use(work: Work, subnet: Subnet, table_id: str) -> Association:
    """The subnet uses a table from now on; its VPC's main one when the id is empty."""
    changed = work.tx.subnets.update(
        subnet, route_table_id=table_id, route_association_id=new_id("rtbassoc") if table_id else ""
    )
    work.network_changed(subnet.vpc_id)
    return Association(id=changed.route_association_id, subnet_id=subnet.id)


def disassociate_route_table(work: Work, command: commands.DisassociateRouteTable) -> None:
    """Let a subnet use the main table again (DisassociateRouteTable)."""
    user = _user_of(work, command.association_id)
    if isinstance(user, RouteTable):
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"cannot disassociate the main route table association {command.association_id}",
        )
    _use(work, user, "")


def replace_association(work: Work, command: commands.ReplaceRouteTableAssociation) -> Association:
    """Let a subnet, or a VPC for its other subnets, use another table (ReplaceRouteTableAssociation)."""
    user = _user_of(work, command.association_id)
    table = own(work, RouteTable, command.route_table_id, lock=True)
    if isinstance(user, Subnet):
        _same_network(table, user)
        if user.route_table_id == table.id:
            return Association(id=user.route_association_id, subnet_id=user.id)
        return _use(work, user, table.id)
    if user.vpc_id != table.vpc_id:
        raise _different_networks(f"route table {table.id} and network {user.vpc_id}")
    if user.id == table.id:
        return Association(id=user.main_association_id)
    work.tx.route_tables.update(user, main=False, main_association_id="")
    table = work.tx.route_tables.update(table, main=True, main_association_id=new_id("rtbassoc"))
    work.network_changed(table.vpc_id)
    return Association(id=table.main_association_id)


def _user_of(work: Work, association_id: str) -> Subnet | RouteTable:
    """The subnet of an association, or the table of a main one; locked."""
    if not association_id:
        raise not_found([association_id])
    subnets = work.tx.subnets.of("route_association_id", [association_id])
    tables = work.tx.route_tables.of("main_association_id", [association_id])
    for subnet in subnets:
        held = work.tx.subnets.lock(subnet.id)
        if held is not None and held.route_association_id == association_id and may_see(work.caller, held):
            return held
    for table in tables:
        main = work.tx.route_tables.lock(table.id)
        if main is not None and main.main_association_id == association_id and may_see(work.caller, main):
            return main
    raise not_found([association_id])


# Routes -------------------------------------------------------------------------------------------------


def put_route(work: Work, command: commands.PutRoute) -> RouteTable:
    """Add a route, or change one there is (CreateRoute, ReplaceRoute)."""
    table = own(work, RouteTable, command.route_table_id, lock=True)
    destination = network_of(command.destination, "destinationCidrBlock")
    route = _route(work, table, str(destination), command.target)
    there = next((each for each in table.routes if each.destination == str(destination)), None)
    if command.replace and there is None:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead.",
        )
    if not command.replace:
        _require_outside(work, table, destination)
        if there is not None:
            raise _route_exists(destination)
    others = [each for each in table.routes if each is not there]
    Limit.ROUTES.check(len(others))
    return _with_routes(work, table, [*others, route])


def _require_outside(work: Work, table: RouteTable, destination: IPv4Network) -> None:
    """Refuse routes within the VPC: what is inside is always reached directly."""
    for block in _local(work, table):
        if destination == block:
            raise _route_exists(destination)
        if destination.subnet_of(block):
            raise BackendError(
                Code.PARAMETER_INVALID,
                f"The destination CIDR block {destination} is equal to or more specific than one of this "
                "VPC's CIDR blocks.",
            )


def _local(work: Work, table: RouteTable) -> list[IPv4Network]:
    """The blocks of a table's VPC, which gets no other before this transaction has ended."""
    vpc = work.tx.vpcs.lock(table.vpc_id)
    return [IPv4Network(block) for block in vpc.cidrs] if vpc is not None else []


def _route_exists(destination: IPv4Network) -> BackendError:
    return BackendError(Code.ROUTE_EXISTS, f"The route identified by {destination} already exists.")


def _with_routes(work: Work, table: RouteTable, routes: list[Route]) -> RouteTable:
    ordered = sorted(routes, key=lambda each: IPv4Network(each.destination))
    work.network_changed(table.vpc_id)
    return work.tx.route_tables.update(table, routes=tuple(ordered))


def _route(work: Work, table: RouteTable, destination: str, target: str) -> Route:
    """A route to something that is there, in the table's VPC."""
    if target.startswith("i-"):
        nic = _nic_of(work, target)
        _require_near(table, nic.vpc_id, f"interface {nic.id}")
        return Route(destination=destination, target=nic.id, instance_id=target)
    kind = _TARGETS.get(target.partition("-")[0])
    if kind is None:
        raise not_found([target])
    found = own(work, kind, target)
    if isinstance(found, NatGateway) and found.state is NatState.DELETED:
        raise not_found([target])
    word = _WORDS[kind]
    _require_near(table, found.vpc_id, f"{word} {target}")
    return Route(destination=destination, target=target)


_TARGETS: Mapping[str, type[InternetGateway | NatGateway | Nic]] = {
    "igw": InternetGateway,
    "nat": NatGateway,
    "eni": Nic,
}
_WORDS: Mapping[type, str] = {
    InternetGateway: "network gateway",
    NatGateway: "NAT gateway",
    Nic: "interface",
}


def _require_near(table: RouteTable, vpc_id: str | None, other: str) -> None:
    if vpc_id != table.vpc_id:
        raise _different_networks(f"route table {table.id} and {other}")


def _nic_of(work: Work, instance_id: str) -> Nic:
    """The only interface of an instance."""
    [instance] = own_instances(work, [instance_id])
    nics = work.tx.nics.of_instance(instance.id)
    if len(nics) != 1:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"There are multiple interfaces attached to instance '{instance.id}'. "
            "Please specify an interface ID for the operation instead."
            if nics
            else f"There is no interface attached to instance '{instance.id}'.",
        )
    return nics[0]


def delete_route(work: Work, command: commands.DeleteRoute) -> RouteTable:
    """Remove a route; the local ones stay (DeleteRoute)."""
    table = own(work, RouteTable, command.route_table_id, lock=True)
    destination = network_of(command.destination, "destinationCidrBlock")
    if destination in _local(work, table):
        raise BackendError(
            Code.PARAMETER_INVALID, f"cannot remove local route {destination} in route table {table.id}"
        )
    left = [each for each in table.routes if each.destination != str(destination)]
    if len(left) == len(table.routes):
        raise BackendError(
            Code.ROUTE_NOT_FOUND,
            f"no route with destination-cidr-block {destination} in route table {table.id}",
            ids=(table.id,),
        )
    return _with_routes(work, table, left)


# Internet gateways --------------------------------------------------------------------------------------


def create_gateway(work: Work, command: commands.CreateInternetGateway) -> InternetGateway:
    """A gateway that is attached to nothing (CreateInternetGateway)."""
    tenant = lock_tenant(work, work.caller.tenant_id)
    Limit.GATEWAYS.check(work.tx.internet_gateways.count(tenant.id, work.region))
    gateway = InternetGateway(
        id=new_id("igw"),
        tenant_id=tenant.id,
        account_id=tenant.account_id,
        region=work.region,
        created_at=work.now,
    )
    work.tx.internet_gateways.insert(gateway)
    claim_infra(work, [gateway.id])
    give_tags(work, [gateway.id], "internet-gateway", command.tags)
    return gateway


def delete_gateway(work: Work, command: commands.DeleteInternetGateway) -> None:
    """Delete a gateway that is attached to nothing (DeleteInternetGateway)."""
    gateway = own(work, InternetGateway, command.gateway_id, lock=True)
    if gateway.vpc_id is not None:
        raise in_use("internetGateway", gateway.id)
    work.tx.infra.release(gateway.id)
    work.tx.internet_gateways.delete(gateway.id)
    work.tx.tags.drop([gateway.id])


def attach_gateway(work: Work, command: commands.AttachInternetGateway) -> InternetGateway:
    """Give a VPC its way outside (AttachInternetGateway)."""
    gateway = own(work, InternetGateway, command.gateway_id, lock=True)
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    if gateway.vpc_id is not None:
        raise BackendError(
            Code.ALREADY_ASSOCIATED,
            f"resource {gateway.id} is already attached to network {gateway.vpc_id}",
            ids=(gateway.id,),
        )
    if work.tx.internet_gateways.of_vpc(vpc.id) is not None:
        raise BackendError(
            Code.ALREADY_ASSOCIATED,
            f"Network {vpc.id} already has an internet gateway attached",
            ids=(vpc.id,),
        )
    work.network_changed(vpc.id)
    return work.tx.internet_gateways.update(gateway, vpc_id=vpc.id)


def detach_gateway(work: Work, command: commands.DetachInternetGateway) -> InternetGateway:
    """Take a VPC's way outside; nothing in it may have a public address (DetachInternetGateway)."""
    gateway = own(work, InternetGateway, command.gateway_id, lock=True)
    if gateway.vpc_id != command.vpc_id:
        raise BackendError(
            Code.GATEWAY_NOT_ATTACHED,
            f"resource {gateway.id} is not attached to network {command.vpc_id}",
            ids=(gateway.id, command.vpc_id),
        )
    vpc = own(work, Vpc, command.vpc_id, lock=True)
    nics = [nic.id for nic in work.tx.nics.of("vpc_id", [vpc.id])]
    if work.tx.public_addresses.of_nics(nics):
        raise BackendError(
            Code.DEPENDENCY,
            f"Network {vpc.id} has some mapped public address(es). Please unmap those public address(es) "
            "before detaching the gateway.",
            ids=(vpc.id,),
        )
    work.network_changed(vpc.id)
    return work.tx.internet_gateways.update(gateway, vpc_id=None)


# NAT gateways -------------------------------------------------------------------------------------------


def create_nat(work: Work, command: commands.CreateNatGateway) -> NatGateway:
    """A NAT gateway with an interface of its own, under an elastic address (CreateNatGateway)."""
    lock_tenant(work, work.caller.tenant_id)
    identity = id_for(work, "nat", command.client_token)
    subnet = own(work, Subnet, command.subnet_id)
    known = replayed(work, NatGateway, identity, subnet_id=subnet.id, allocation_id=command.allocation_id)
    if known is not None:
        return known
    address = own_address(work, command.allocation_id)
    if address.nic_id is not None:
        raise BackendError(
            Code.ALREADY_ASSOCIATED,
            f"Elastic IP address [{address.id}] is already associated",
            ids=(address.id,),
        )
    if not subnet.up:
        raise BackendError(Code.NETWORK_DOWN, f"The network {subnet.id} is down: it gives no addresses.")
    nic = nic_of_vpc(work, subnet, own(work, Vpc, subnet.vpc_id), _NAT, command.private_ip)
    link(work, address, nic, nic.address)
    gateway = NatGateway(
        id=identity,
        vpc_id=subnet.vpc_id,
        nic_id=nic.id,
        public_ip=address.ip,
        private_ip=nic.address,
        client_token=command.client_token,
        tenant_id=subnet.tenant_id,
        account_id=subnet.account_id,
        region=subnet.region,
        created_at=work.now,
        subnet_id=subnet.id,
        allocation_id=address.id,
    )
    work.tx.nat_gateways.insert(gateway)
    give_tags(work, [gateway.id], "natgateway", command.tags)
    return gateway


def delete_nat(work: Work, command: commands.DeleteNatGateway) -> NatGateway:
    """Delete a NAT gateway; its address stays its owner's, routes to it lead nowhere (DeleteNatGateway)."""
    gateway = own(work, NatGateway, command.nat_gateway_id, lock=True)
    if gateway.state is NatState.DELETED:
        return gateway
    nic = work.tx.nics.get(gateway.nic_id)
    if nic is not None:
        for address in work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ()):
            unlink(work, address)
        forget_nic(work, nic)
    work.network_changed(gateway.vpc_id)
    return work.tx.nat_gateways.update(gateway, state=NatState.DELETED, deleted_at=work.now)


# DHCP options -------------------------------------------------------------------------------------------

_MOST_SERVERS = 4
_SERVERS = frozenset({"domain-name-servers", "ntp-servers", "netbios-name-servers"})
_OUR_RESOLVER = "AmazonProvidedDNS"
_NODE_TYPES = frozenset({"1", "2", "4", "8"})
_MOST_LEASE = 2147483647
_LEAST_LEASE = 140


def create_dhcp_options(work: Work, command: commands.CreateDhcpOptions) -> DhcpOptions:
    """A set of options that no VPC uses yet (CreateDhcpOptions)."""
    options: dict[str, tuple[str, ...]] = {}
    for name, values in command.options:
        if name in options:
            raise _bad_option(name, name, "It is given twice.")
        options[name] = _checked_option(name, values)
    if not options:
        raise BackendError(
            Code.PARAMETER_MISSING, "A set holds at least one option.", parameter="dhcpConfiguration"
        )
    tenant = lock_tenant(work, work.caller.tenant_id)
    Limit.DHCP_OPTIONS.check(work.tx.dhcp_options.count(tenant.id, work.region))
    made = DhcpOptions(
        id=new_id("dopt"),
        tenant_id=tenant.id,
        account_id=tenant.account_id,
        region=work.region,
        created_at=work.now,
        options=options,
    )
    work.tx.dhcp_options.insert(made)
    give_tags(work, [made.id], "dhcp-options", command.tags)
    return made


def _checked_option(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise _bad_option(name, name, "It needs a value.")
    if name in _SERVERS:
        if len(values) > _MOST_SERVERS:
            raise _bad_option(name, ",".join(values), f"It takes at most {_MOST_SERVERS} addresses.")
        for value in values:
            if not (_is_address(value) or (name == "domain-name-servers" and value == _OUR_RESOLVER)):
                raise _bad_option(name, value, "This is not an IPv4 address.")
        return values
    if len(values) > 1:
        raise _bad_option(name, ",".join(values), "It takes one value.")
    if not _fits(name, values[0]):
        raise _bad_option(name, values[0], _FORMS.get(name, "Unknown DHCP option."))
    return values


_FORMS: Mapping[str, str] = {
    "domain-name": "This is not a domain name.",
    "netbios-node-type": "It is one of 1, 2, 4, 8.",
    "ipv6-address-preferred-lease-time": f"It is a number of seconds from {_LEAST_LEASE}.",
}


def _fits(name: str, value: str) -> bool:
    match name:
        case "domain-name":  # Linux guests take several, separated by blanks
            return value.isprintable() and 0 < len(value) <= 255 and value.isascii() and bool(value.strip())
        case "netbios-node-type":
            return value in _NODE_TYPES
        case "ipv6-address-preferred-lease-time":
            return value.isascii() and value.isdigit() and _LEAST_LEASE <= int(value) <= _MOST_LEASE
        case _:
            return False


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _bad_option(name: str, value: str, reason: str) -> BackendError:
    return BackendError(Code.PARAMETER_INVALID, reason, parameter=name, value=value[:120])


def delete_dhcp_options(work: Work, command: commands.DeleteDhcpOptions) -> None:
    """Delete a set that no VPC uses (DeleteDhcpOptions)."""
    options = own(work, DhcpOptions, command.dhcp_options_id, lock=True)
    if work.tx.vpcs.of("dhcp_options_id", [options.id]):
        raise in_use("dhcpOptions", options.id)
    work.tx.dhcp_options.delete(options.id)
    work.tx.tags.drop([options.id])


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateRouteTable: create_route_table,
    commands.DeleteRouteTable: delete_route_table,
    commands.AssociateRouteTable: associate_route_table,
    commands.DisassociateRouteTable: disassociate_route_table,
    commands.ReplaceRouteTableAssociation: replace_association,
    commands.PutRoute: put_route,
    commands.DeleteRoute: delete_route,
    commands.CreateInternetGateway: create_gateway,
    commands.DeleteInternetGateway: delete_gateway,
    commands.AttachInternetGateway: attach_gateway,
    commands.DetachInternetGateway: detach_gateway,
    commands.CreateNatGateway: create_nat,
    commands.DeleteNatGateway: delete_nat,
    commands.CreateDhcpOptions: create_dhcp_options,
    commands.DeleteDhcpOptions: delete_dhcp_options,
}
