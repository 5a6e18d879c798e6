"""Internet gateways and NAT gateways: create, list, attach, detach, delete."""

from __future__ import annotations

from backend import network_commands as commands
from backend.network_model import InternetGateway, NatGateway
from ec2 import network_mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags
from ec2.actions.network_listing import at, chosen, id_in, page, table, tags_of, told
from ec2.actions.run import client_token
from ec2.context import Document, Ec2Context, Params
from ec2.ids import IdKind
from ec2.pages import PageLimits

# Internet gateways --------------------------------------------------------------------------------------

INTERNET_LIMITS = PageLimits(default=None, ids="InternetGatewayIds", ids_word="internetGatewayIds")
INTERNET_FILTERS = table(
    {
        "attachment.state": at("Attachments", "State"),
        "attachment.vpc-id": at("Attachments", "VpcId"),
        "internet-gateway-id": at("InternetGatewayId"),
        "owner-id": at("OwnerId"),
    }
)


def create_internet_gateway(context: Ec2Context, params: Params) -> Document:
    """Make a gateway that is attached to nothing (CreateInternetGateway)."""
    tags = specified_tags(params, "internet-gateway")
    made = context.engine.execute(context.caller, commands.CreateInternetGateway(tags=tags))
    shown = network_mapping.internet_gateway_document(made, tags_of(context, made.id))
    return {"InternetGateway": shown}


def describe_internet_gateways(context: Ec2Context, params: Params) -> Document:
    """Internet gateways by id or filter, oldest first (DescribeInternetGateways)."""
    gateways = chosen(context, params, InternetGateway, IdKind.INTERNET_GATEWAY, "InternetGatewayIds")
    rows = told(context, gateways, network_mapping.internet_gateway_document)
    documents, token = page(context, params, INTERNET_FILTERS, rows, INTERNET_LIMITS)
    return {"InternetGateways": documents, "NextToken": token}


def delete_internet_gateway(context: Ec2Context, params: Params) -> Document:
    """Delete a gateway that is attached to nothing (DeleteInternetGateway)."""
    command = commands.DeleteInternetGateway(gateway_id=_gateway_id(params))
    context.engine.execute(context.caller, command)
    return {}


def _gateway_id(params: Params) -> str:
    return id_in(params, "InternetGatewayId", IdKind.INTERNET_GATEWAY)


def attach_internet_gateway(context: Ec2Context, params: Params) -> Document:
    """Give a VPC its way outside (AttachInternetGateway)."""
    command = commands.AttachInternetGateway(
        gateway_id=_gateway_id(params), vpc_id=id_in(params, "VpcId", IdKind.VPC)
    )
    context.engine.execute(context.caller, command)
    return {}


def detach_internet_gateway(context: Ec2Context, params: Params) -> Document:
    """Take a VPC's way outside (DetachInternetGateway)."""
    command = commands.DetachInternetGateway(
        gateway_id=_gateway_id(params), vpc_id=id_in(params, "VpcId", IdKind.VPC)
    )
    context.engine.execute(context.caller, command)
    return {}


# NAT gateways -------------------------------------------------------------------------------------------

NAT_LIMITS = PageLimits(default=None, ids="NatGatewayIds", ids_word="natGatewayIds")
NAT_FILTERS = table(
    {
        "connectivity-type": at("ConnectivityType"),
        "nat-gateway-id": at("NatGatewayId"),
        "state": at("State"),
        "subnet-id": at("SubnetId"),
        "vpc-id": at("VpcId"),
    }
)
_NOT_OFFERED = (
    "AvailabilityZoneAddresses",
    "SecondaryAllocationIds",
    "SecondaryPrivateIpAddressCount",
    "SecondaryPrivateIpAddresses",
    "VpcId",
)
_AS_IT_IS = {"AvailabilityMode": "zonal", "ConnectivityType": "public"}


def create_nat_gateway(context: Ec2Context, params: Params) -> Document:
    """Make a NAT gateway under an elastic address (CreateNatGateway)."""
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, _AS_IT_IS)
    for name in ("SubnetId", "AllocationId"):
        if not params.get(name):
            raise missing(name)
    token = client_token(params)
    made = context.engine.execute(
        context.caller,
        commands.CreateNatGateway(
            subnet_id=id_in(params, "SubnetId", IdKind.SUBNET),
            allocation_id=id_in(params, "AllocationId", IdKind.ALLOCATION),
            private_ip=params.get("PrivateIpAddress") or "",
            client_token=token,
            tags=specified_tags(params, "natgateway"),
        ),
    )
    return {"NatGateway": _nat_document(context, made), "ClientToken": token or None}


def _nat_document(context: Ec2Context, gateway: NatGateway) -> Document:
    public = context.engine.networks.public_of([gateway.nic_id]).get(gateway.nic_id, ())
    return network_mapping.nat_gateway_document(gateway, public, tags_of(context, gateway.id))


def describe_nat_gateways(context: Ec2Context, params: Params) -> Document:
    """NAT gateways by id or filter, deleted ones for an hour (DescribeNatGateways)."""
    gateways = chosen(context, params, NatGateway, IdKind.NAT_GATEWAY, "NatGatewayIds")
    public = context.engine.networks.public_of([each.nic_id for each in gateways])
    rows = told(
        context,
        gateways,
        lambda each, tags: network_mapping.nat_gateway_document(each, public.get(each.nic_id, ()), tags),
    )
    documents, token = page(context, params, NAT_FILTERS, rows, NAT_LIMITS, member="Filter")
    return {"NatGateways": documents, "NextToken": token}


def delete_nat_gateway(context: Ec2Context, params: Params) -> Document:
    """Delete a NAT gateway; its elastic address stays allocated (DeleteNatGateway)."""
    gateway_id = id_in(params, "NatGatewayId", IdKind.NAT_GATEWAY)
    context.engine.execute(context.caller, commands.DeleteNatGateway(nat_gateway_id=gateway_id))
    return {"NatGatewayId": gateway_id}
