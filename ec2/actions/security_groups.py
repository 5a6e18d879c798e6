"""Security groups and their rules: create, list, authorise, revoke, change, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from backend import network_commands as commands
from backend.engine import RowQuery
from backend.network_commands import RuleSpec
from backend.network_model import SecurityGroup, SecurityRule, Vpc
from ec2 import interface_mapping, mapping
from ec2.actions.common import missing, specified_tags, well_formed_ids
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value, texts
from ec2.ids import IdKind, not_found, well_formed
from ec2.listing import Column, Listing, as_it_is
from ec2.pages import PageLimits

GROUP_LIMITS = PageLimits(default=None, ids="GroupIds", ids_word="groupIds")
RULE_LIMITS = PageLimits(default=None, ids="SecurityGroupRuleIds", ids_word="securityGroupRuleIds")
VPC_LIMITS = PageLimits(default=None)
STALE_LIMITS = PageLimits(maximum=255, default=None)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A group with its rules, its tags, and the groups that the rules name."""

    group: SecurityGroup
    rules: Sequence[SecurityRule]
    tags: Mapping[str, str]
    peers: Mapping[str, SecurityGroup]


class ListedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with its group and its tags."""

    rule: SecurityRule
    group: SecurityGroup
    tags: Mapping[str, str]


# Filters ------------------------------------------------------------------------------------------------


def _ports(index: int) -> Callable[[Listed, SecurityRule], Value]:
    def read(_row: Listed, rule: SecurityRule) -> Value:
        ports = interface_mapping.rule_ports(rule)
        return None if ports is None else ports[index]

    return read


def _peer_name(row: Listed, rule: SecurityRule) -> Value:
    peer = row.peers.get(rule.peer_group_id)
    return None if peer is None else peer.name


_OF_RULES: Mapping[str, Callable[[Listed, SecurityRule], Value]] = {
    "cidr": lambda _, rule: None if interface_mapping.is_ipv6(rule.cidr) else rule.cidr or None,
    "from-port": _ports(0),
    "group-id": lambda _, rule: rule.peer_group_id or None,
    "group-name": _peer_name,
    "ipv6-cidr": lambda _, rule: rule.cidr if interface_mapping.is_ipv6(rule.cidr) else None,
    "prefix-list-id": lambda *_: None,
    "protocol": lambda _, rule: interface_mapping.protocol_words(rule),
    "to-port": _ports(1),
    "user-id": lambda row, rule: row.group.account_id if rule.peer_group_id else None,
}


def _any_rule(read: Callable[[Listed, SecurityRule], Value], *, egress: bool) -> Callable[[Listed], Value]:
    """What any rule of one direction has."""
    return lambda row: [
        text for rule in row.rules if rule.egress is egress for text in texts(read(row, rule))
    ]


FILTERS: FilterTable[Listed] = FilterTable(
    {
        **{f"ip-permission.{name}": _any_rule(read, egress=False) for name, read in _OF_RULES.items()},
        **{f"egress.ip-permission.{name}": _any_rule(read, egress=True) for name, read in _OF_RULES.items()},
        "description": lambda row: row.group.description,
        "group-id": lambda row: row.group.id,
        "group-name": lambda row: row.group.name,
        "owner-id": lambda row: row.group.account_id,
        "primary-vpc-id": lambda row: row.group.vpc_id,
        "vpc-id": lambda row: row.group.vpc_id,
    },
    tags=lambda row: row.tags,
)

RULE_FILTERS: FilterTable[ListedRule] = FilterTable(
    {
        "group-id": lambda row: row.rule.group_id,
        "security-group-rule-id": lambda row: row.rule.id,
    },
    tags=lambda row: row.tags,
)


COLUMNS: Mapping[str, Column] = {
    "description": Column("description", as_it_is),
    "group-id": Column("id"),
    "group-name": Column("name"),
    "owner-id": Column("account_id"),
    "primary-vpc-id": Column("vpc_id"),
    "vpc-id": Column("vpc_id"),
}
"""Filters that the database can decide."""


def _listed(context: Ec2Context, groups: Sequence[SecurityGroup]) -> list[Listed]:
    networks, ids = context.engine.networks, [group.id for group in groups]
    rules, tags = networks.rules_of(ids), context.engine.tags_of(ids)
    peers = networks.groups_by_id({rule.peer_group_id for each in rules.values() for rule in each} - {""})
    limits = context.engine.settings.network.capabilities.briefly
    return [
        Listed(
            group=group,
            rules=rules.get(group.id, ()),
            tags=mapping.with_limits(tags.get(group.id, {}), limits),
            peers=peers,
        )
        for group in groups
    ]


def _with_groups(context: Ec2Context, rules: Sequence[SecurityRule]) -> list[ListedRule | None]:
    """Rules with their groups; a rule goes with its group."""
    groups = context.engine.networks.groups_by_id({rule.group_id for rule in rules})
    tags = context.engine.tags_of([rule.id for rule in rules])
    return [
        ListedRule(rule=rule, group=groups[rule.group_id], tags=tags.get(rule.id, {}))
        if rule.group_id in groups
        else None
        for rule in rules
    ]


GROUPS = Listing(kind=SecurityGroup, dress=_listed, filters=FILTERS, columns=COLUMNS, limits=GROUP_LIMITS)
GROUPS_OF_VPC = msgspec.structs.replace(GROUPS, limits=VPC_LIMITS)
RULES = Listing(
    kind=SecurityRule,
    dress=_with_groups,
    filters=RULE_FILTERS,
    columns={"group-id": Column("group_id"), "security-group-rule-id": Column("id")},
    limits=RULE_LIMITS,
)


# Listing ------------------------------------------------------------------------------------------------


def describe_security_groups(context: Ec2Context, params: Params) -> Document:
    """Groups by id, name or filter, oldest first (DescribeSecurityGroups)."""
    page, token = GROUPS.page(context, params, named=_named(context, params))
    documents = [interface_mapping.group_document(row.group, row.rules, row.tags) for row in page]
    return {"SecurityGroups": documents, "NextToken": token}


def get_security_groups_for_vpc(context: Ec2Context, params: Params) -> Document:
    """The groups that interfaces in a VPC can be in (GetSecurityGroupsForVpc)."""
    vpc = _vpc(context, params)
    page, token = GROUPS_OF_VPC.page(context, params, among={"vpc_id": (vpc.id,)})
    documents = [interface_mapping.group_for_vpc(row.group, row.tags) for row in page]
    return {"SecurityGroupForVpcs": documents, "NextToken": token}


def describe_stale_security_groups(context: Ec2Context, params: Params) -> Document:
    """Groups whose rules name groups of deleted peerings: there are none (DescribeStaleSecurityGroups)."""
    _vpc(context, params)
    page, token = page_of(context, params, [], STALE_LIMITS)
    return {"StaleSecurityGroupSet": page, "NextToken": token}


def describe_security_group_references(context: Ec2Context, params: Params) -> Document:
    """Peered VPCs whose rules name groups: there are none (DescribeSecurityGroupReferences)."""
    ids = well_formed_ids(IdKind.SECURITY_GROUP, params["GroupId"])
    context.engine.networks.some(context.caller, SecurityGroup, ids)
    return {"SecurityGroupReferenceSet": []}


def _vpc(context: Ec2Context, params: Params) -> Vpc:
    (vpc_id,) = well_formed_ids(IdKind.VPC, [params["VpcId"]])
    return context.engine.networks.one(context.caller, Vpc, vpc_id)


def _named(context: Ec2Context, params: Params) -> list[SecurityGroup] | None:
    """The groups that a call names by id and by name, all of which must exist; None when it names none."""
    ids, names = params.get("GroupIds") or (), params.get("GroupNames") or ()
    if not ids and not names:
        return None
    networks = context.engine.networks
    found = networks.some(context.caller, SecurityGroup, well_formed_ids(IdKind.SECURITY_GROUP, ids))
    if names:
        by_name = _default_groups(context, names)
        unknown = [name for name in dict.fromkeys(names) if name not in by_name]
        if unknown:
            raise not_found(IdKind.SECURITY_GROUP, unknown)
        found += [by_name[name] for name in dict.fromkeys(names)]
    return list({group.id: group for group in found}.values())


def _default_groups(context: Ec2Context, names: Sequence[str]) -> dict[str, SecurityGroup]:
    """Groups of the default VPC by name: only there does a name say which group is meant."""
    default = context.engine.listing(context.caller, Vpc, RowQuery(equal={"default": (True,)}))
    wanted = RowQuery(equal={"vpc_id": tuple(vpc.id for vpc in default), "name": tuple(names)})
    return {group.name: group for group in context.engine.listing(context.caller, SecurityGroup, wanted)}


def describe_security_group_rules(context: Ec2Context, params: Params) -> Document:
    """Rules by id or filter, oldest first (DescribeSecurityGroupRules)."""
    named = _named_rules(context, params)
    _refuse_malformed_groups(params)
    page, token = RULES.page(context, params, named=named)
    documents = [interface_mapping.rule_document(row.rule, row.group, row.tags) for row in page]
    return {"SecurityGroupRules": documents, "NextToken": token}


def _named_rules(context: Ec2Context, params: Params) -> list[SecurityRule] | None:
    """The rules that a call names, all of which must exist; None when it names none."""
    wanted = well_formed_ids(IdKind.SECURITY_GROUP_RULE, params.get("SecurityGroupRuleIds") or ())
    if not wanted:
        return None
    found = context.engine.listing(context.caller, SecurityRule, RowQuery(equal={"id": tuple(wanted)}))
    unknown = [each for each in wanted if each not in {rule.id for rule in found}]
    if unknown:
        raise not_found(IdKind.SECURITY_GROUP_RULE, unknown)
    return found


def _refuse_malformed_groups(params: Params) -> None:
    among = RULE_FILTERS.literals(params.get("Filters", ()), "group-id")
    for each in sorted(among or ()):
        if not well_formed(IdKind.SECURITY_GROUP, each):
            raise Ec2Error("InvalidGroupId.Malformed", f"The security group ID '{each[:120]}' is malformed")


# Create, delete -----------------------------------------------------------------------------------------

_LONGEST_DESCRIPTION = 255


def create_security_group(context: Ec2Context, params: Params) -> Document:
    """A group from which everything may leave, and to which nothing comes (CreateSecurityGroup)."""
    vpc_id = params.get("VpcId") or None
    if vpc_id is not None:
        well_formed_ids(IdKind.VPC, [vpc_id])
    for name, wire in (("GroupName", "GroupName"), ("Description", "GroupDescription")):
        if not params[name]:
            raise missing(wire)
    if len(params["Description"]) > _LONGEST_DESCRIPTION:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({params['Description'][:120]}) for parameter GroupDescription is invalid. "
            f"It must have at most {_LONGEST_DESCRIPTION} characters.",
        )
    tags = specified_tags(params, "security-group")
    group = context.engine.execute(
        context.caller,
        commands.CreateSecurityGroup(
            name=params["GroupName"], description=params["Description"], vpc_id=vpc_id, tags=tags
        ),
    )
    return {
        "GroupId": group.id,
        "SecurityGroupArn": interface_mapping.group_arn(group),
        "Tags": mapping.tag_list(dict(tags)),
    }


def delete_security_group(context: Ec2Context, params: Params) -> Document:
    """Delete a group that nothing uses (DeleteSecurityGroup)."""
    group_id = _group_id(context, params)
    context.engine.execute(context.caller, commands.DeleteSecurityGroup(group_id=group_id))
    return {"Return": True, "GroupId": group_id}


def _group_id(context: Ec2Context, params: Params) -> str:
    """The group that a call is about, by its id, or by its name in the default VPC."""
    group_id, name = params.get("GroupId"), params.get("GroupName")
    if group_id:
        well_formed_ids(IdKind.SECURITY_GROUP, [group_id])
        return str(group_id)
    if not name:
        raise missing("groupName or groupId")
    group = _default_groups(context, [name]).get(name)
    if group is None:
        raise not_found(IdKind.SECURITY_GROUP, [name])
    return group.id


# Rules --------------------------------------------------------------------------------------------------


def authorize_ingress(context: Ec2Context, params: Params) -> Document:
    """Let in what the permissions say (AuthorizeSecurityGroupIngress)."""
    return _authorize(context, params, egress=False)


def authorize_egress(context: Ec2Context, params: Params) -> Document:
    """Let out what the permissions say (AuthorizeSecurityGroupEgress)."""
    return _authorize(context, params, egress=True)


def _authorize(context: Ec2Context, params: Params, *, egress: bool) -> Document:
    group_id = _group_id(context, params)
    specs = rule_specs(params, context.caller.account_id, egress=egress)
    if not specs:
        raise missing("ipPermissions")
    tags = specified_tags(params, "security-group-rule")
    rules = context.engine.execute(
        context.caller, commands.AuthorizeRules(group_id=group_id, rules=specs, tags=tags)
    )
    group = context.engine.networks.one(context.caller, SecurityGroup, group_id)
    return {
        "Return": True,
        "SecurityGroupRules": [interface_mapping.rule_document(rule, group, dict(tags)) for rule in rules],
    }


def revoke_ingress(context: Ec2Context, params: Params) -> Document:
    """Let in no more what the permissions said (RevokeSecurityGroupIngress)."""
    return _revoke(context, params, egress=False)


def revoke_egress(context: Ec2Context, params: Params) -> Document:
    """Let out no more what the permissions said (RevokeSecurityGroupEgress)."""
    return _revoke(context, params, egress=True)


def _revoke(context: Ec2Context, params: Params, *, egress: bool) -> Document:
    group_id = _group_id(context, params)
    rule_ids = well_formed_ids(IdKind.SECURITY_GROUP_RULE, params.get("SecurityGroupRuleIds") or ())
    specs = rule_specs(params, context.caller.account_id, egress=egress)
    if not specs and not rule_ids:
        raise missing("ipPermissions")
    if specs and rule_ids:
        raise Ec2Error(
            "InvalidParameterCombination",
            "The parameter securityGroupRuleIds cannot be used with the parameter ipPermissions",
        )
    gone = context.engine.execute(
        context.caller,
        commands.RevokeRules(group_id=group_id, egress=egress, rules=specs, rule_ids=tuple(rule_ids)),
    )
    return {
        "Return": True,
        "UnknownIpPermissions": [],
        "RevokedSecurityGroupRules": [interface_mapping.revoked_rule(rule) for rule in gone],
    }


def update_descriptions_ingress(context: Ec2Context, params: Params) -> Document:
    """Describe rules for what comes in (UpdateSecurityGroupRuleDescriptionsIngress)."""
    return _describe(context, params, egress=False)


def update_descriptions_egress(context: Ec2Context, params: Params) -> Document:
    """Describe rules for what leaves (UpdateSecurityGroupRuleDescriptionsEgress)."""
    return _describe(context, params, egress=True)


def _describe(context: Ec2Context, params: Params, *, egress: bool) -> Document:
    group_id = _group_id(context, params)
    specs = rule_specs(params, context.caller.account_id, egress=egress)
    descriptions = tuple(_descriptions(params.get("SecurityGroupRuleDescriptions") or ()))
    if bool(specs) == bool(descriptions):
        sentence = "Either ipPermissions or securityGroupRuleDescriptions must be specified, and not both"
        raise Ec2Error("InvalidParameterCombination" if specs else "MissingParameter", sentence)
    context.engine.execute(
        context.caller,
        commands.DescribeRules(group_id=group_id, egress=egress, rules=specs, descriptions=descriptions),
    )
    return {"Return": True}


def _descriptions(items: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for number, item in enumerate(items, 1):
        rule_id = item.get("SecurityGroupRuleId")
        if not rule_id:
            raise missing(f"SecurityGroupRuleDescription.{number}.SecurityGroupRuleId")
        well_formed_ids(IdKind.SECURITY_GROUP_RULE, [rule_id])
        yield rule_id, item.get("Description", "")


def modify_rules(context: Ec2Context, params: Params) -> Document:
    """Replace rules by id, all or none; direction and ids stay (ModifySecurityGroupRules)."""
    group_id = _group_id(context, params)
    changes = []
    for item in params["SecurityGroupRules"]:
        rule_id = item["SecurityGroupRuleId"]
        well_formed_ids(IdKind.SECURITY_GROUP_RULE, [rule_id])
        changes.append((rule_id, _replacement(item.get("SecurityGroupRule") or {})))
    if not changes:
        raise missing("SecurityGroupRule")
    context.engine.execute(context.caller, commands.ModifyRules(group_id=group_id, changes=tuple(changes)))
    return {"Return": True}


def _replacement(item: Mapping[str, Any]) -> RuleSpec:
    """A rule as it is to be; the engine keeps its direction."""
    peers = [item[name] for name in ("CidrIpv4", "CidrIpv6", "ReferencedGroupId") if item.get(name)]
    if item.get("PrefixListId"):
        raise _no_prefix_list(item["PrefixListId"])
    if len(peers) != 1:
        raise Ec2Error(
            "InvalidParameterValue",
            "Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId must be specified.",
        )
    group_id = item.get("ReferencedGroupId") or ""
    if group_id:
        well_formed_ids(IdKind.SECURITY_GROUP, [group_id])
    return RuleSpec(
        egress=False,
        protocol=_protocol(item),
        from_port=item.get("FromPort"),
        to_port=item.get("ToPort"),
        cidr="" if group_id else _cidr(peers[0]),
        peer_group=group_id,
        description=item.get("Description", ""),
    )


# What a request calls a permission ----------------------------------------------------------------------

_FLAT = (
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIp",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
)


def rule_specs(params: Params, account_id: str, *, egress: bool) -> tuple[RuleSpec, ...]:
    """The permissions of a call, one for each peer, from its list or from its flat form.

    Raises Ec2Error: InvalidParameterCombination for both forms at once, InvalidParameterValue without a
    protocol, MissingParameter without a peer, InvalidGroup.NotFound for a group of another account,
    InvalidPrefixListID.NotFound.
    """
    flat = {name: params[name] for name in _FLAT if params.get(name) not in (None, "")}
    listed = params.get("IpPermissions") or ()
    if flat and listed:
        raise Ec2Error(
            "InvalidParameterCombination",
            "The parameter ipPermissions cannot be used with the parameters of a single permission",
        )
    items = [_unflattened(flat)] if flat else listed
    return tuple(
        spec
        for number, item in enumerate(items, 1)
        for spec in _specs(item, "" if flat else f"IpPermissions.{number}.", account_id, egress=egress)
    )


def _unflattened(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The flat form of old clients as a permission; a source group without a protocol means all of them."""
    item = {name: flat[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in flat}
    if "CidrIp" in flat:
        item["IpRanges"] = [{"CidrIp": flat["CidrIp"]}]
    if "SourceSecurityGroupName" in flat:
        pair = {
            "GroupName": flat["SourceSecurityGroupName"],
            "UserId": flat.get("SourceSecurityGroupOwnerId"),
        }
        item = {"IpProtocol": "-1"} | item | {"UserIdGroupPairs": [pair]}
    return item


def _specs(item: Mapping[str, Any], path: str, account_id: str, *, egress: bool) -> list[RuleSpec]:
    base = RuleSpec(
        egress=egress, protocol=_protocol(item), from_port=item.get("FromPort"), to_port=item.get("ToPort")
    )
    found = [
        msgspec.structs.replace(base, cidr=cidr, peer_group=group, description=description)
        for cidr, group, description in _peers(item, path, account_id)
    ]
    if not found:
        raise missing(f"{path}IpRanges, {path}Ipv6Ranges, {path}PrefixListIds or {path}Groups")
    return found


def _peers(item: Mapping[str, Any], path: str, account_id: str) -> Iterator[tuple[str, str, str]]:
    """CIDR, group and description of each peer of a permission."""
    for name, member in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
        for number, each in enumerate(item.get(name) or (), 1):
            if not each.get(member):
                raise missing(f"{path}{name}.{number}.{member}")
            yield _cidr(each[member]), "", each.get("Description", "")
    for each in item.get("PrefixListIds") or ():
        raise _no_prefix_list(each.get("PrefixListId", ""))
    for number, each in enumerate(item.get("UserIdGroupPairs") or (), 1):
        yield "", _peer_group(each, f"{path}Groups.{number}", account_id), each.get("Description", "")


def _protocol(item: Mapping[str, Any]) -> str:
    protocol: str = item.get("IpProtocol") or ""
    if not protocol:
        raise Ec2Error(
            "InvalidParameterValue",
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        )
    return protocol


def _cidr(text: str) -> str:
    """A CIDR with its length, without which EC2 takes none."""
    if "/" not in text:
        raise Ec2Error("InvalidParameterValue", f"CIDR block {text[:80]} is malformed")
    return text


def _no_prefix_list(name: str) -> Ec2Error:
    return Ec2Error("InvalidPrefixListID.NotFound", f"The prefix list ID '{name[:120]}' does not exist")


def _peer_group(pair: Mapping[str, Any], path: str, account_id: str) -> str:
    """A group by id, or by name in the same VPC; groups of other accounts are not there."""
    group_id, name = pair.get("GroupId"), pair.get("GroupName")
    if group_id:
        well_formed_ids(IdKind.SECURITY_GROUP, [group_id])
    wanted = group_id or name
    if not wanted:
        raise missing(f"{path}.GroupId")
    if pair.get("UserId") not in (None, "", account_id):
        raise not_found(IdKind.SECURITY_GROUP, [wanted])
    return str(wanted)
