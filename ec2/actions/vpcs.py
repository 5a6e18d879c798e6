"""VPCs: create, list, change, delete, further blocks of addresses."""

from __future__ import annotations

from typing import Any

from backend import network_commands as commands
from backend.network_model import Vpc
from ec2 import network_mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags
from ec2.actions.network_listing import absent, at, chosen, id_in, page, table, tags_of, told
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="VpcIds", ids_word="vpcIds")
CLASSIC_LIMITS = PageLimits(default=None)

FILTERS = table(
    {
        "cidr": at("CidrBlock"),
        "cidr-block-association.association-id": at("CidrBlockAssociationSet", "AssociationId"),
        "cidr-block-association.cidr-block": at("CidrBlockAssociationSet", "CidrBlock"),
        "cidr-block-association.state": at("CidrBlockAssociationSet", "CidrBlockState", "State"),
        "dhcp-options-id": at("DhcpOptionsId"),
        "instance-tenancy": at("InstanceTenancy"),
        "ipv6-cidr-block-association.association-id": absent,
        "ipv6-cidr-block-association.ipv6-cidr-block": absent,
        "ipv6-cidr-block-association.ipv6-pool": absent,
        "ipv6-cidr-block-association.state": absent,
        "is-default": at("IsDefault"),
        "owner-id": at("OwnerId"),
        "state": at("State"),
        "vpc-id": at("VpcId"),
    },
    aliases={
        "cidr-block": "cidr",
        "cidrBlock": "cidr",
        "dhcpOptionsId": "dhcp-options-id",
        "isDefault": "is-default",
        "vpcId": "vpc-id",
    },
)

_NO_IPV6 = (
    "AmazonProvidedIpv6CidrBlock",
    "Ipv6CidrBlock",
    "Ipv6CidrBlockNetworkBorderGroup",
    "Ipv6IpamPoolId",
    "Ipv6NetmaskLength",
    "Ipv6Pool",
)
_NO_POOLS = ("Ipv4IpamPoolId", "Ipv4NetmaskLength")


# Create, list, delete -----------------------------------------------------------------------------------


def create_vpc(context: Ec2Context, params: Params) -> Document:
    """Make a VPC with a route table, a network ACL and a security group (CreateVpc)."""
    refuse_all(params, (*_NO_IPV6, *_NO_POOLS, "VpcEncryptionControl"))
    vpc = context.engine.execute(
        context.caller,
        commands.CreateVpc(
            cidr=_cidr(params),
            tenancy=params.get("InstanceTenancy") or "default",
            tags=specified_tags(params, "vpc"),
        ),
    )
    return {"Vpc": _document(context, vpc)}


def _cidr(params: Params) -> str:
    cidr: str = params.get("CidrBlock") or ""
    if not cidr:
        raise missing("CidrBlock")
    return cidr


def _document(context: Ec2Context, vpc: Vpc) -> Document:
    return network_mapping.vpc_document(vpc, tags_of(context, vpc.id))


def create_default_vpc(context: Ec2Context, _params: Params) -> Document:
    """Make the default VPC again, with its subnets and gateway (CreateDefaultVpc)."""
    vpc = context.engine.execute(context.caller, commands.CreateDefaultVpc())
    return {"Vpc": _document(context, vpc)}


def describe_vpcs(context: Ec2Context, params: Params) -> Document:
    """VPCs by id or filter, oldest first (DescribeVpcs)."""
    vpcs = chosen(context, params, Vpc, IdKind.VPC, "VpcIds")
    rows = told(context, vpcs, network_mapping.vpc_document)
    documents, token = page(context, params, FILTERS, rows, LIMITS)
    return {"Vpcs": documents, "NextToken": token}


def delete_vpc(context: Ec2Context, params: Params) -> Document:
    """Delete a VPC that is empty (DeleteVpc)."""
    command = commands.DeleteVpc(vpc_id=id_in(params, "VpcId", IdKind.VPC))
    context.engine.execute(context.caller, command)
    return {}


# Attributes ---------------------------------------------------------------------------------------------

_SWITCHES = {"EnableDnsSupport": "dns_support", "EnableDnsHostnames": "dns_hostnames"}
_METRICS = "EnableNetworkAddressUsageMetrics"


def describe_vpc_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of a VPC (DescribeVpcAttribute)."""
    vpc = context.engine.networks.one(context.caller, Vpc, id_in(params, "VpcId", IdKind.VPC))
    name = params["Attribute"][:1].upper() + params["Attribute"][1:]
    value = getattr(vpc, _SWITCHES[name]) if name in _SWITCHES else False
    return {"VpcId": vpc.id, name: {"Value": value}}


def modify_vpc_attribute(context: Ec2Context, params: Params) -> Document:
    """Whether names are resolved, and whether instances get public ones (ModifyVpcAttribute)."""
    vpc_id = id_in(params, "VpcId", IdKind.VPC)
    given: dict[str, bool] = {
        name: params[name]["Value"] for name in _SWITCHES if (params.get(name) or {}).get("Value") is not None
    }
    refuse_unless(params, {_METRICS: {"Value": False}})
    if len(given) > 1:
        raise Ec2Error(
            "InvalidParameterCombination", f"Fields {' and '.join(given)} cannot be modified at once"
        )
    if not given and params.get(_METRICS) is None:
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    changes: dict[str, Any] = {_SWITCHES[name]: value for name, value in given.items()}
    context.engine.execute(context.caller, commands.ModifyVpc(vpc_id=vpc_id, **changes))
    return {}


def modify_vpc_tenancy(context: Ec2Context, params: Params) -> Document:
    """Let instances be launched on shared hosts from now on (ModifyVpcTenancy)."""
    vpc_id = id_in(params, "VpcId", IdKind.VPC)
    command = commands.ModifyVpc(vpc_id=vpc_id, tenancy=params["InstanceTenancy"])
    context.engine.execute(context.caller, command)
    return {"ReturnValue": True}


# Blocks -------------------------------------------------------------------------------------------------


def associate_vpc_cidr_block(context: Ec2Context, params: Params) -> Document:
    """Give a VPC a further block of addresses (AssociateVpcCidrBlock)."""
    vpc_id = id_in(params, "VpcId", IdKind.VPC)
    refuse_all(params, (*_NO_IPV6, *_NO_POOLS))
    command = commands.AssociateCidr(vpc_id=vpc_id, cidr=_cidr(params))
    vpc = context.engine.execute(context.caller, command)
    added = vpc.blocks[-1]
    return {
        "VpcId": vpc.id,
        "CidrBlockAssociation": network_mapping.cidr_association(
            added.association_id, added.cidr, "associating"
        ),
    }


def disassociate_vpc_cidr_block(context: Ec2Context, params: Params) -> Document:
    """Take a further block that no subnet uses from its VPC (DisassociateVpcCidrBlock)."""
    association_id = id_in(params, "AssociationId", IdKind.VPC_CIDR_ASSOCIATION)
    vpc = context.engine.execute(context.caller, commands.DisassociateCidr(association_id=association_id))
    (gone,) = [each for each in vpc.blocks if each.association_id == association_id]
    return {
        "VpcId": vpc.id,
        "CidrBlockAssociation": network_mapping.cidr_association(
            gone.association_id, gone.cidr, "disassociating"
        ),
    }


# ClassicLink --------------------------------------------------------------------------------------------

CLASSIC_FILTERS = table({"is-classic-link-enabled": at("ClassicLinkEnabled"), "vpc-id": at("VpcId")})
DNS_FILTERS = table({})


def describe_vpc_classic_link(context: Ec2Context, params: Params) -> Document:
    """Every VPC, without the link that EC2 once had (DescribeVpcClassicLink)."""
    vpcs = chosen(context, params, Vpc, IdKind.VPC, "VpcIds")
    rows = told(
        context,
        vpcs,
        lambda vpc, tags: {
            "VpcId": vpc.id,
            "ClassicLinkEnabled": False,
            "Tags": network_mapping.vpc_document(vpc, tags)["Tags"],
        },
    )
    documents, _ = page(context, params, CLASSIC_FILTERS, rows, CLASSIC_LIMITS)
    return {"Vpcs": documents}


def describe_vpc_classic_link_dns_support(context: Ec2Context, params: Params) -> Document:
    """Every VPC, without names over that link (DescribeVpcClassicLinkDnsSupport)."""
    vpcs = chosen(context, params, Vpc, IdKind.VPC, "VpcIds")
    rows = told(context, vpcs, lambda vpc, _: {"VpcId": vpc.id, "ClassicLinkDnsSupported": False})
    documents, token = page(context, params, DNS_FILTERS, rows, CLASSIC_LIMITS)
    return {"Vpcs": documents, "NextToken": token}
