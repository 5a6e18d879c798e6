"""DHCP options: create, list, delete, and their use by VPCs.

The installation's own options, which every VPC has that names none, are shown as a set of the account's.
"""

from __future__ import annotations

from backend import network_commands as commands
from backend.engine.vpcs import DEFAULT_OPTIONS
from backend.network_model import DhcpOptions
from ec2 import network_mapping
from ec2.actions.common import missing, specified_tags, well_formed_ids
from ec2.actions.network_listing import at, id_in, page, table, tags_of, told
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="DhcpOptionsIds", ids_word="dhcpOptionsIds")
FILTERS = table(
    {
        "dhcp-options-id": at("DhcpOptionsId"),
        "key": at("DhcpConfigurations", "Key"),
        "owner-id": at("OwnerId"),
        "value": at("DhcpConfigurations", "Values", "Value"),
    },
    aliases={"dhcpOptionsId": "dhcp-options-id"},
)
_DEFAULT = "default"


def create_dhcp_options(context: Ec2Context, params: Params) -> Document:
    """Make a set of options (CreateDhcpOptions)."""
    options = []
    for number, each in enumerate(params["DhcpConfigurations"], 1):
        if not each.get("Key"):
            raise missing(f"DhcpConfiguration.{number}.Key")
        options.append((each["Key"], tuple(each.get("Values") or ())))
    command = commands.CreateDhcpOptions(options=tuple(options), tags=specified_tags(params, "dhcp-options"))
    made = context.engine.execute(context.caller, command)
    return {"DhcpOptions": network_mapping.dhcp_options_document(made, tags_of(context, made.id))}


def describe_dhcp_options(context: Ec2Context, params: Params) -> Document:
    """Sets of options by id or filter, the installation's own first (DescribeDhcpOptions)."""
    rows = told(context, _chosen(context, params), network_mapping.dhcp_options_document)
    documents, token = page(context, params, FILTERS, rows, LIMITS)
    return {"DhcpOptions": documents, "NextToken": token}


def _ours(context: Ec2Context) -> DhcpOptions:
    return network_mapping.default_dhcp_options(context.caller.account_id, context.region)


def _chosen(context: Ec2Context, params: Params) -> list[DhcpOptions]:
    networks, ours = context.engine.networks, _ours(context)
    ids = params.get("DhcpOptionsIds")
    if not ids:
        return [ours, *networks.all(context.caller, DhcpOptions)]
    wanted = well_formed_ids(IdKind.DHCP_OPTIONS, ids)
    found = networks.some(context.caller, DhcpOptions, [each for each in wanted if each != ours.id])
    return [ours, *found] if ours.id in wanted else found


def associate_dhcp_options(context: Ec2Context, params: Params) -> Document:
    """Let a VPC's guests be told a set of options, or the installation's own (AssociateDhcpOptions)."""
    wanted: str = params["DhcpOptionsId"]
    if wanted != DEFAULT_OPTIONS:
        well_formed_ids(IdKind.DHCP_OPTIONS, [wanted])
    command = commands.ModifyVpc(
        vpc_id=id_in(params, "VpcId", IdKind.VPC),
        dhcp_options_id="" if wanted == _ours(context).id else wanted,
    )
    context.engine.execute(context.caller, command)
    return {}


def delete_dhcp_options(context: Ec2Context, params: Params) -> Document:
    """Delete a set that no VPC uses (DeleteDhcpOptions)."""
    wanted = id_in(params, "DhcpOptionsId", IdKind.DHCP_OPTIONS)
    if wanted == _ours(context).id:
        raise Ec2Error(
            "DependencyViolation", f"The dhcpOptions '{wanted}' has dependencies and cannot be deleted."
        )
    context.engine.execute(context.caller, commands.DeleteDhcpOptions(dhcp_options_id=wanted))
    return {}
