"""Network ACLs: create, list, delete, their entries, and their use by subnets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend import network_commands as commands
from backend.network_model import AclEntry, NetworkAcl, Subnet
from ec2 import network_mapping
from ec2.actions.common import missing, refuse_all, specified_tags
from ec2.actions.network_listing import Told, absent, at, chosen, id_in, page, table, told
from ec2.actions.run import client_token
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import Value
from ec2.ids import IdKind
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="NetworkAclIds", ids_word="networkAclIds")

_PROTOCOL_NAMES: Mapping[str, str] = {"1": "icmp", "6": "tcp", "17": "udp"}


def _protocols(row: Told) -> Value:
    """Protocols of entries, as filters name them: by number, and the usual ones by name."""
    numbers = [entry["Protocol"] for entry in row.document["Entries"]]
    return [*numbers, *(_PROTOCOL_NAMES[each] for each in numbers if each in _PROTOCOL_NAMES)]


FILTERS = table(
    {
        "association.association-id": at("Associations", "NetworkAclAssociationId"),
        "association.network-acl-id": at("Associations", "NetworkAclId"),
        "association.subnet-id": at("Associations", "SubnetId"),
        "default": at("IsDefault"),
        "entry.cidr": at("Entries", "CidrBlock"),
        "entry.egress": at("Entries", "Egress"),
        "entry.icmp.code": at("Entries", "IcmpTypeCode", "Code"),
        "entry.icmp.type": at("Entries", "IcmpTypeCode", "Type"),
        "entry.ipv6-cidr": absent,
        "entry.port-range.from": at("Entries", "PortRange", "From"),
        "entry.port-range.to": at("Entries", "PortRange", "To"),
        "entry.protocol": _protocols,
        "entry.rule-action": at("Entries", "RuleAction"),
        "entry.rule-number": at("Entries", "RuleNumber"),
        "network-acl-id": at("NetworkAclId"),
        "owner-id": at("OwnerId"),
        "vpc-id": at("VpcId"),
    },
    aliases={"vpcId": "vpc-id"},
)


# The lists ----------------------------------------------------------------------------------------------


def create_network_acl(context: Ec2Context, params: Params) -> Document:
    """Make a network ACL that denies everything (CreateNetworkAcl)."""
    token = client_token(params)
    made = context.engine.execute(
        context.caller,
        commands.CreateNetworkAcl(
            vpc_id=id_in(params, "VpcId", IdKind.VPC),
            client_token=token,
            tags=specified_tags(params, "network-acl"),
        ),
    )
    (row,) = _told(context, [made])
    return {"NetworkAcl": row.document, "ClientToken": token or None}


def _told(context: Ec2Context, acls: Sequence[NetworkAcl]) -> list[Told]:
    users: dict[str, list[Subnet]] = {}
    for subnet in context.engine.networks.all(context.caller, Subnet):
        users.setdefault(subnet.acl_id, []).append(subnet)
    return told(
        context,
        acls,
        lambda acl, tags: network_mapping.network_acl_document(acl, users.get(acl.id, []), tags),
    )


def describe_network_acls(context: Ec2Context, params: Params) -> Document:
    """Network ACLs by id or filter, oldest first (DescribeNetworkAcls)."""
    rows = _told(context, chosen(context, params, NetworkAcl, IdKind.NETWORK_ACL, "NetworkAclIds"))
    documents, token = page(context, params, FILTERS, rows, LIMITS)
    return {"NetworkAcls": documents, "NextToken": token}


def delete_network_acl(context: Ec2Context, params: Params) -> Document:
    """Delete a network ACL that no subnet uses (DeleteNetworkAcl)."""
    context.engine.execute(context.caller, commands.DeleteNetworkAcl(acl_id=_acl_id(params)))
    return {}


def _acl_id(params: Params) -> str:
    return id_in(params, "NetworkAclId", IdKind.NETWORK_ACL)


def replace_network_acl_association(context: Ec2Context, params: Params) -> Document:
    """Let a subnet use another network ACL (ReplaceNetworkAclAssociation)."""
    association_id = id_in(params, "AssociationId", IdKind.NETWORK_ACL_ASSOCIATION)
    command = commands.ReplaceAclAssociation(association_id=association_id, acl_id=_acl_id(params))
    made = context.engine.execute(context.caller, command)
    return {"NewAssociationId": made.id}


# Entries ------------------------------------------------------------------------------------------------


def create_network_acl_entry(context: Ec2Context, params: Params) -> Document:
    """Add an entry (CreateNetworkAclEntry)."""
    command = commands.PutAclEntry(acl_id=_acl_id(params), entry=_entry(params))
    context.engine.execute(context.caller, command)
    return {}


def replace_network_acl_entry(context: Ec2Context, params: Params) -> Document:
    """Let an entry say something else (ReplaceNetworkAclEntry)."""
    command = commands.PutAclEntry(acl_id=_acl_id(params), entry=_entry(params), replace=True)
    context.engine.execute(context.caller, command)
    return {}


def _entry(params: Params) -> AclEntry:
    refuse_all(params, ("Ipv6CidrBlock",))
    if not params.get("CidrBlock"):
        raise missing("CidrBlock")
    ports, kinds = params.get("PortRange") or {}, params.get("IcmpTypeCode") or {}
    return AclEntry(
        number=params["RuleNumber"],
        egress=params["Egress"],
        allow=_allows(params["RuleAction"]),
        protocol=params["Protocol"],
        cidr=params["CidrBlock"],
        from_port=ports.get("From"),
        to_port=ports.get("To"),
        icmp_type=kinds.get("Type"),
        icmp_code=kinds.get("Code"),
    )


def _allows(word: str) -> bool:
    if word.lower() not in {"allow", "deny"}:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({word[:120]}) for parameter ruleAction is invalid. Use allow or deny.",
        )
    return word.lower() == "allow"


def delete_network_acl_entry(context: Ec2Context, params: Params) -> Document:
    """Remove an entry (DeleteNetworkAclEntry)."""
    command = commands.DeleteAclEntry(
        acl_id=_acl_id(params), number=params["RuleNumber"], egress=params["Egress"]
    )
    context.engine.execute(context.caller, command)
    return {}
