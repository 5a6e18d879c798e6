"""Route tables: create, list, delete, their use by subnets, and routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend import network_commands as commands
from backend.engine import InstanceQuery
from backend.errors import BackendError, Code
from backend.network_model import InternetGateway, NatGateway, RouteTable, Subnet, Vpc
from ec2 import network_mapping
from ec2.actions.common import missing, refuse_all, specified_tags, unsupported, well_formed_ids
from ec2.actions.network_listing import absent, at, chosen, id_in, page, table, told
from ec2.actions.run import client_token
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind, kind_of
from ec2.mapping import state_name
from ec2.network_mapping import LOCAL, Hops
from ec2.pages import PageLimits

LIMITS = PageLimits(maximum=100, default=None, ids="RouteTableIds", ids_word="routeTableIds")

FILTERS = table(
    {
        "association.gateway-id": absent,
        "association.main": at("Associations", "Main"),
        "association.route-table-association-id": at("Associations", "RouteTableAssociationId"),
        "association.route-table-id": at("Associations", "RouteTableId"),
        "association.subnet-id": at("Associations", "SubnetId"),
        "owner-id": at("OwnerId"),
        "route-table-id": at("RouteTableId"),
        "route.destination-cidr-block": at("Routes", "DestinationCidrBlock"),
        "route.destination-ipv6-cidr-block": absent,
        "route.destination-prefix-list-id": absent,
        "route.egress-only-internet-gateway-id": absent,
        "route.gateway-id": at("Routes", "GatewayId"),
        "route.instance-id": at("Routes", "InstanceId"),
        "route.nat-gateway-id": at("Routes", "NatGatewayId"),
        "route.network-interface-id": at("Routes", "NetworkInterfaceId"),
        "route.origin": at("Routes", "Origin"),
        "route.state": at("Routes", "State"),
        "route.transit-gateway-id": absent,
        "route.vpc-peering-connection-id": absent,
        "vpc-id": at("VpcId"),
    },
    aliases={"routeTableId": "route-table-id", "vpcId": "vpc-id"},
)


# Tables -------------------------------------------------------------------------------------------------


def create_route_table(context: Ec2Context, params: Params) -> Document:
    """Make a route table that only knows its VPC (CreateRouteTable)."""
    token = client_token(params)
    made = context.engine.execute(
        context.caller,
        commands.CreateRouteTable(
            vpc_id=id_in(params, "VpcId", IdKind.VPC),
            client_token=token,
            tags=specified_tags(params, "route-table"),
        ),
    )
    (document,) = [row.document for row in told(context, [made], _Teller(context, [made]))]
    return {"RouteTable": document, "ClientToken": token or None}


def describe_route_tables(context: Ec2Context, params: Params) -> Document:
    """Route tables by id or filter, oldest first (DescribeRouteTables)."""
    tables = chosen(context, params, RouteTable, IdKind.ROUTE_TABLE, "RouteTableIds")
    rows = told(context, tables, _Teller(context, tables))
    documents, token = page(context, params, FILTERS, rows, LIMITS)
    return {"RouteTables": documents, "NextToken": token}


class _Teller:
    """Tells of route tables, with what is around them read once for all."""

    def __init__(self, context: Ec2Context, tables: Sequence[RouteTable]) -> None:
        networks, caller = context.engine.networks, context.caller
        self._vpcs = {vpc.id: vpc for vpc in networks.all(caller, Vpc)}
        self._users: dict[str, list[Subnet]] = {}
        for subnet in networks.all(caller, Subnet):
            self._users.setdefault(subnet.route_table_id, []).append(subnet)
        self._hops = _hops(context, [route.target for each in tables for route in each.routes])

    def __call__(self, made: RouteTable, tags: Mapping[str, str]) -> Document:
        vpc = self._vpcs.get(made.vpc_id)
        return network_mapping.route_table_document(
            made, vpc.cidrs if vpc is not None else (), self._users.get(made.id, []), self._hops, tags
        )


def _hops(context: Ec2Context, targets: Sequence[str]) -> Hops:
    """What routes lead to; what is not there any more is left out."""
    networks, caller = context.engine.networks, context.caller
    nics = networks.nics_by_id([each for each in targets if each.startswith("eni-")])
    ids = tuple(sorted({nic.instance_id for nic in nics.values() if nic.instance_id}))
    instances = context.engine.instances(caller, InstanceQuery(ids=ids)) if ids else []
    return Hops(
        gateways={each.id: each for each in networks.all(caller, InternetGateway)},
        nats={each.id: each for each in networks.all(caller, NatGateway)},
        nics=nics,
        running={each.id for each in instances if state_name(each) == "running"},
    )


def delete_route_table(context: Ec2Context, params: Params) -> Document:
    """Delete a route table that nothing uses (DeleteRouteTable)."""
    command = commands.DeleteRouteTable(route_table_id=_table_id(params))
    context.engine.execute(context.caller, command)
    return {}


def _table_id(params: Params) -> str:
    return id_in(params, "RouteTableId", IdKind.ROUTE_TABLE)


# Associations -------------------------------------------------------------------------------------------

_ASSOCIATED = {"State": "associated"}


def associate_route_table(context: Ec2Context, params: Params) -> Document:
    """Let a subnet use a route table (AssociateRouteTable)."""
    table_id = _table_id(params)
    refuse_all(params, ("GatewayId", "PublicIpv4Pool"))
    if not params.get("SubnetId"):
        raise missing("SubnetId")
    subnet_id = id_in(params, "SubnetId", IdKind.SUBNET)
    command = commands.AssociateRouteTable(route_table_id=table_id, subnet_id=subnet_id)
    made = context.engine.execute(context.caller, command)
    return {"AssociationId": made.id, "AssociationState": _ASSOCIATED}


def disassociate_route_table(context: Ec2Context, params: Params) -> Document:
    """Let a subnet use its VPC's main table again (DisassociateRouteTable)."""
    association_id = id_in(params, "AssociationId", IdKind.ROUTE_TABLE_ASSOCIATION)
    context.engine.execute(context.caller, commands.DisassociateRouteTable(association_id=association_id))
    return {}


def replace_route_table_association(context: Ec2Context, params: Params) -> Document:
    """Let a subnet or a whole VPC use another table (ReplaceRouteTableAssociation)."""
    association_id = id_in(params, "AssociationId", IdKind.ROUTE_TABLE_ASSOCIATION)
    command = commands.ReplaceRouteTableAssociation(
        association_id=association_id, route_table_id=_table_id(params)
    )
    made = context.engine.execute(context.caller, command)
    return {"NewAssociationId": made.id, "AssociationState": _ASSOCIATED}


# Routes -------------------------------------------------------------------------------------------------

_OTHER_DESTINATIONS = ("DestinationIpv6CidrBlock", "DestinationPrefixListId")
_OTHER_TARGETS = (
    "CarrierGatewayId",
    "CoreNetworkArn",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "OdbNetworkArn",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)
_TARGETS: Mapping[str, IdKind] = {
    "InstanceId": IdKind.INSTANCE,
    "NatGatewayId": IdKind.NAT_GATEWAY,
    "NetworkInterfaceId": IdKind.NETWORK_INTERFACE,
}


def create_route(context: Ec2Context, params: Params) -> Document:
    """Add a route (CreateRoute)."""
    table_id, destination = _table_id(params), _destination(params)
    _put(context, table_id, destination, _target(params), replace=False)
    return {"Return": True}


def replace_route(context: Ec2Context, params: Params) -> Document:
    """Let a route lead elsewhere (ReplaceRoute)."""
    table_id, destination = _table_id(params), _destination(params)
    if params.get("LocalTarget") or params.get("GatewayId") == LOCAL:
        _require_local(context, table_id, destination)
        return {}
    _put(context, table_id, destination, _target(params), replace=True)
    return {}


def _destination(params: Params) -> str:
    refuse_all(params, _OTHER_DESTINATIONS)
    destination: str = params.get("DestinationCidrBlock") or ""
    if not destination:
        raise missing("DestinationCidrBlock")
    return destination


def _target(params: Params) -> str:
    """The one thing that a route is to lead to."""
    refuse_all(params, _OTHER_TARGETS)
    given = {name: params[name] for name in ("GatewayId", *_TARGETS) if params.get(name)}
    if not given:
        raise missing("GatewayId")
    if len(given) > 1:
        raise Ec2Error(
            "InvalidParameterCombination",
            f"The parameters {', '.join(given)} cannot be used together: a route has one target",
        )
    [(name, target)] = given.items()
    if name in _TARGETS:
        return well_formed_ids(_TARGETS[name], [target])[0]
    if target.startswith("vgw-"):
        raise unsupported("GatewayId of a virtual private gateway")
    if kind_of(target) not in {IdKind.INTERNET_GATEWAY, IdKind.NAT_GATEWAY}:  # EC2 takes both here
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({target[:120]}) for parameter gatewayId is invalid. Expected: 'igw-...'.",
        )
    found: str = target
    return found


def _put(context: Ec2Context, table_id: str, destination: str, target: str, *, replace: bool) -> None:
    command = commands.PutRoute(
        route_table_id=table_id, destination=destination, target=target, replace=replace
    )
    try:
        context.engine.execute(context.caller, command)
    except BackendError as error:
        unknown = error.code is Code.RESOURCE_NOT_FOUND and error.context.get("ids") == (target,)
        if unknown and kind_of(target) is IdKind.INTERNET_GATEWAY:  # a code of its own in these calls
            raise Ec2Error(
                "InvalidGatewayID.NotFound", f"The gateway ID '{target}' does not exist"
            ) from error
        raise


def _require_local(context: Ec2Context, table_id: str, destination: str) -> None:
    """The routes to a VPC's own blocks always are local; no other can be made so."""
    found = context.engine.networks.one(context.caller, RouteTable, table_id)
    vpc = context.engine.networks.one(context.caller, Vpc, found.vpc_id)
    if destination not in vpc.cidrs:
        raise Ec2Error(
            "InvalidParameterValue", f"There is no local route for '{destination[:80]}' in the route table."
        )


def delete_route(context: Ec2Context, params: Params) -> Document:
    """Remove a route (DeleteRoute)."""
    table_id, destination = _table_id(params), _destination(params)
    context.engine.execute(
        context.caller, commands.DeleteRoute(route_table_id=table_id, destination=destination)
    )
    return {}
