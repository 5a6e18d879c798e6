"""Security groups and their rules, in force within a second as the network follows each change (§11)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from backend import network_commands as commands
from backend.engine.network_access import own, own_group, own_rule, vpc_or_default
from backend.engine.registry import check_quota
from backend.engine.tagging import check_tags, give_tags
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.model import QUOTA_DEFAULTS, UNLIMITED, QuotaName, new_id
from backend.network_commands import RuleSpec
from backend.network_model import ALL_PROTOCOLS, ANYWHERE, DEFAULT_GROUP, SecurityGroup, SecurityRule, Vpc

_LONGEST_NAME = 255
_NAMES: Mapping[str, str] = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "all": ALL_PROTOCOLS}
_PORTS = frozenset({"tcp", "udp"})
_TYPES = frozenset({"icmp", "icmpv6"})


# Groups -------------------------------------------------------------------------------------------------


def create_security_group(work: Work, command: commands.CreateSecurityGroup) -> SecurityGroup:
    """A group; what its members send may leave, and nothing comes in (CreateSecurityGroup)."""
    vpc = vpc_or_default(work, command.vpc_id)
    _check_name(command.name)
    check_tags(command.tags)
    tenant_id = work.caller.tenant_id
    check_quota(
        work,
        QuotaName.SECURITY_GROUPS,
        lambda: work.tx.security_groups.count(tenant_id),
        Code.QUOTA_GROUPS,
    )
    if work.tx.security_groups.named(vpc.id, command.name) is not None:
        raise BackendError(
            Code.GROUP_EXISTS,
            f"The security group '{command.name}' already exists for VPC '{vpc.id}'",
            name=command.name,
        )
    group = make_group(work, vpc, command.name, command.description)
    specs = (_EVERYTHING_OUT,) if command.rules is None else command.rules
    _add(work, group, specs)
    give_tags(work, [group.id], "security-group", command.tags)
    for scheme, term in command.mixins:
        work.tx.mixins.associate(work.caller.tenant_id, scheme, term, group.id)
    work.network_changed(group.id)
    return group


_EVERYTHING_OUT = RuleSpec(egress=True, protocol=ALL_PROTOCOLS, cidr=ANYWHERE)


def make_group(work: Work, vpc: Vpc, name: str, description: str) -> SecurityGroup:
    """The row of a group without rules."""
    group = SecurityGroup(
        id=new_id("sg"),
        tenant_id=vpc.tenant_id,
        account_id=vpc.account_id,
        region=vpc.region,
        vpc_id=vpc.id,
        name=name,
        description=description,
        api=work.caller.api,
        created_at=work.now,
    )
    work.tx.security_groups.insert(group)
    return group


def make_default_group(work: Work, vpc: Vpc) -> SecurityGroup:
    """The group of interfaces that name none: its members hear each other, and send anywhere."""
    group = make_group(work, vpc, DEFAULT_GROUP, "default VPC security group")
    _add(
        work,
        group,
        (RuleSpec(egress=False, protocol=ALL_PROTOCOLS, peer_group=group.id), _EVERYTHING_OUT),
    )
    work.network_changed(group.id)
    return group


def _check_name(name: str) -> None:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise BackendError(
            Code.PARAMETER_INVALID,
            "Group names have 1 to 255 printable characters.",
            parameter="groupName",
            value=name[:_LONGEST_NAME],
        )
    if name == DEFAULT_GROUP or name.startswith("sg-"):
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"Cannot use reserved security group name: {name}",
            parameter="groupName",
            value=name,
        )


def delete_security_group(work: Work, command: commands.DeleteSecurityGroup) -> SecurityGroup:
    """Delete a group that nothing uses (DeleteSecurityGroup)."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    if group.name == DEFAULT_GROUP:
        raise BackendError(
            Code.GROUP_IS_DEFAULT,
            f'the specified group: "{group.id}" name: "{DEFAULT_GROUP}" cannot be deleted by a user',
            ids=(group.id,),
        )
    others = [rule for rule in work.tx.security_rules.with_peer(group.id) if rule.group_id != group.id]
    if others or work.tx.nics.in_group(group.id):
        raise BackendError(Code.DEPENDENCY, f"resource {group.id} has a dependent object", ids=(group.id,))
    forget_group(work, group)
    return group


def forget_group(work: Work, group: SecurityGroup) -> None:
    """Remove a group with its rules."""
    rules = [rule.id for rule in work.tx.security_rules.of_group(group.id)]
    work.tx.tags.drop([group.id, *rules])
    work.tx.forget([group.id])
    for rule_id in rules:
        work.tx.security_rules.delete(rule_id)
    work.tx.security_groups.delete(group.id)
    work.network_changed(group.id)


def modify_security_group(work: Work, command: commands.ModifySecurityGroup) -> SecurityGroup:
    """Replace the rules of a group, or its description, in one step; rules that stay keep their ids."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    if command.description is not None:
        group = work.tx.security_groups.update(group, description=command.description)
    if command.rules is None:
        return group
    wanted = {_key(rule): rule for rule in _rules(work, group, command.rules)}
    have = {_key(rule): rule for rule in work.tx.security_rules.of_group(group.id)}
    gone = [rule.id for key, rule in have.items() if key not in wanted]
    _drop(work, gone)
    _insert(work, group, [rule for key, rule in wanted.items() if key not in have])
    group = work.tx.security_groups.update(group)
    work.network_changed(group.id)
    return group


# Rules --------------------------------------------------------------------------------------------------


def authorize_rules(work: Work, command: commands.AuthorizeRules) -> tuple[SecurityRule, ...]:
    """Add permissions, all or none (AuthorizeSecurityGroupIngress, …Egress)."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    if not command.rules:
        raise BackendError(
            Code.PARAMETER_MISSING, "At least one permission is needed.", parameter="ipPermissions"
        )
    made = _add(work, group, command.rules)
    give_tags(work, [rule.id for rule in made], "security-group-rule", command.tags)
    work.network_changed(group.id)
    return made


def _add(work: Work, group: SecurityGroup, specs: Sequence[RuleSpec]) -> tuple[SecurityRule, ...]:
    rules = _rules(work, group, specs)
    have = {_key(rule) for rule in work.tx.security_rules.of_group(group.id)}
    for rule in rules:
        if _key(rule) in have:
            raise BackendError(
                Code.RULE_EXISTS, f'the specified rule "{_spoken(rule)}" already exists', ids=(group.id,)
            )
        have.add(_key(rule))
    _insert(work, group, rules)
    return tuple(rules)


def _insert(work: Work, group: SecurityGroup, rules: Sequence[SecurityRule]) -> None:
    work.tx.security_rules.insert_all(rules)
    name = QuotaName.SECURITY_GROUP_RULES.value
    tenant = work.tx.tenants.get(group.tenant_id)
    limit = tenant.quotas.get(name, QUOTA_DEFAULTS[name]) if tenant is not None else UNLIMITED
    all_rules = work.tx.security_rules.of_group(group.id)
    for egress in {rule.egress for rule in rules}:
        if limit != UNLIMITED and sum(rule.egress is egress for rule in all_rules) > limit:
            raise BackendError(
                Code.QUOTA_RULES,
                f"The maximum number of rules per security group has been reached: {limit}",
                limit=limit,
                quota=name,
            )


def _rules(work: Work, group: SecurityGroup, specs: Sequence[RuleSpec]) -> list[SecurityRule]:
    """The rules that are asked for, normalised, each once."""
    found: dict[tuple[Any, ...], SecurityRule] = {}
    for spec in specs:
        rule = _rule(work, group, spec)
        if _key(rule) in found:
            raise BackendError(
                Code.PARAMETER_INVALID,
                "The same permission must not appear multiple times",
                parameter="ipPermissions",
            )
        found[_key(rule)] = rule
    return list(found.values())


def _rule(work: Work, group: SecurityGroup, spec: RuleSpec) -> SecurityRule:
    protocol = normal_protocol(spec.protocol)
    first, last = _ports(protocol, spec)
    if bool(spec.cidr) == bool(spec.peer_group):
        raise BackendError(
            Code.PARAMETER_INVALID, "A permission names one CIDR or one group.", parameter="ipPermissions"
        )
    peer = own_group(work, spec.peer_group, group.vpc_id, lock=True).id if spec.peer_group else ""
    return SecurityRule(
        id=new_id("sgr"),
        group_id=group.id,
        tenant_id=group.tenant_id,
        egress=spec.egress,
        protocol=protocol,
        from_port=first,
        to_port=last,
        cidr=normal_cidr(spec.cidr) if spec.cidr else "",
        peer_group_id=peer,
        description=_description(spec.description),
        created_at=work.now,
    )


def _description(text: str) -> str:
    if len(text) > _LONGEST_NAME or not text.isprintable():
        raise BackendError(
            Code.PARAMETER_INVALID,
            "Descriptions have at most 255 printable characters.",
            parameter="description",
            value=text[:_LONGEST_NAME],
        )
    return text


def normal_protocol(text: str) -> str:
    """A protocol as rows have it: tcp, udp, icmp, icmpv6, another number, or ``-1``."""
    name = text.lower()
    if name.isascii() and name.isdigit():
        name = str(int(name[:9]))
    name = _NAMES.get(name, name)
    if name in _PORTS | _TYPES or name == ALL_PROTOCOLS:
        return name
    if name.isascii() and name.isdigit() and int(name) <= 255:
        return name
    raise BackendError(
        Code.PARAMETER_INVALID, f"Invalid IP protocol: {text[:40]}", parameter="protocol", value=text[:40]
    )


def normal_cidr(text: str) -> str:
    """A CIDR with its host bits zero; a bare address is that address alone.

    Raises:
        BackendError: PARAMETER_INVALID.
    """
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise BackendError(
            Code.PARAMETER_INVALID, f"CIDR block {text[:80]} is malformed", parameter="cidrIp"
        ) from None


def _ports(protocol: str, spec: RuleSpec) -> tuple[int, int]:
    if protocol in _TYPES:
        kind = -1 if spec.from_port is None else spec.from_port
        code = -1 if spec.to_port is None else spec.to_port
        if not (-1 <= kind <= 255 and -1 <= code <= 255) or (kind == -1 and code != -1):
            raise _bad_ports(f"ICMP type ({kind}) or code ({code}) is invalid")
        return kind, code
    if protocol not in _PORTS:
        return -1, -1
    if spec.from_port is None or spec.to_port is None:
        raise _bad_ports("Must specify both from and to ports with TCP/UDP.")
    first, last = (0, 65535) if (spec.from_port, spec.to_port) == (-1, -1) else (spec.from_port, spec.to_port)
    if not 0 <= first <= last <= 65535:
        raise _bad_ports(f"Invalid {protocol.upper()} port range ({first}:{last})")
    return first, last


def _bad_ports(sentence: str) -> BackendError:
    return BackendError(Code.PARAMETER_INVALID, sentence, parameter="portRange")


def _key(rule: SecurityRule) -> tuple[Any, ...]:
    return (rule.egress, rule.protocol, rule.from_port, rule.to_port, rule.cidr, rule.peer_group_id)


def _spoken(rule: SecurityRule) -> str:
    """A rule as EC2 says it in its refusals."""
    protocol = "ALL" if rule.protocol == ALL_PROTOCOLS else rule.protocol.upper()
    ports = f", from port: {rule.from_port}, to port: {rule.to_port}" if rule.protocol in _PORTS else ""
    return f"peer: {rule.cidr or rule.peer_group_id}, {protocol}{ports}, ALLOW"


def revoke_rules(work: Work, command: commands.RevokeRules) -> tuple[SecurityRule, ...]:
    """Remove permissions, all or none (RevokeSecurityGroupIngress, …Egress)."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    have = [rule for rule in work.tx.security_rules.of_group(group.id) if rule.egress is command.egress]
    gone = _named(work, group, have, command.rules, command.rule_ids)
    _drop(work, [rule.id for rule in gone])
    if gone:
        work.network_changed(group.id)
    return tuple(gone)


def _drop(work: Work, rule_ids: Sequence[str]) -> None:
    work.tx.tags.drop(rule_ids)
    for rule_id in rule_ids:
        work.tx.security_rules.delete(rule_id)


def _named(
    work: Work,
    group: SecurityGroup,
    have: Sequence[SecurityRule],
    specs: Sequence[RuleSpec],
    rule_ids: Sequence[str],
) -> list[SecurityRule]:
    """The rules of a group that are meant, by id or by what they say; all must be there."""
    by_id = {rule.id: rule for rule in have}
    by_key = {_key(rule): rule for rule in have}
    found: dict[str, SecurityRule] = {}
    for rule_id in rule_ids:
        if rule_id not in by_id:
            own_rule(work, rule_id)
            raise _no_rule(group)
        found[rule_id] = by_id[rule_id]
    for rule in _rules(work, group, specs):
        known = by_key.get(_key(rule))
        if known is None:
            raise _no_rule(group)
        found[known.id] = known
    return list(found.values())


def _no_rule(group: SecurityGroup) -> BackendError:
    return BackendError(
        Code.RULE_NOT_FOUND, "The specified rule does not exist in this security group.", ids=(group.id,)
    )


def modify_rules(work: Work, command: commands.ModifyRules) -> tuple[SecurityRule, ...]:
    """Replace rules by id, all or none (ModifySecurityGroupRules); direction and id stay."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    have = {rule.id: rule for rule in work.tx.security_rules.of_group(group.id)}
    changed: dict[str, SecurityRule] = {}
    for rule_id, spec in command.changes:
        old = have.get(rule_id)
        if old is None:
            own_rule(work, rule_id)
            raise _no_rule(group)
        new = _rule(work, group, msgspec.structs.replace(spec, egress=old.egress))
        changed[rule_id] = msgspec.structs.replace(
            new, id=old.id, created_at=old.created_at, version=old.version + 1
        )
    keys = [_key(rule) for rule in (have | changed).values()]
    if len(set(keys)) != len(keys):
        raise BackendError(Code.RULE_EXISTS, "The same permission exists already.", ids=(group.id,))
    for rule_id in changed:  # all first: one may become what another one was
        work.tx.security_rules.delete(rule_id)
    work.tx.security_rules.insert_all(changed.values())
    work.network_changed(group.id)
    return tuple(changed.values())


def describe_rules(work: Work, command: commands.DescribeRules) -> None:
    """Set descriptions (UpdateSecurityGroupRuleDescriptionsIngress, …Egress)."""
    group = own(work, SecurityGroup, command.group_id, lock=True)
    have = [rule for rule in work.tx.security_rules.of_group(group.id) if rule.egress is command.egress]
    said = dict(command.descriptions)
    for rule in _named(work, group, have, (), tuple(said)):
        work.tx.security_rules.update(rule, description=_description(said[rule.id]))
    for spec in command.rules:
        [rule] = _named(work, group, have, (spec,), ())
        work.tx.security_rules.update(rule, description=_description(spec.description))


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    commands.CreateSecurityGroup: create_security_group,
    commands.DeleteSecurityGroup: delete_security_group,
    commands.ModifySecurityGroup: modify_security_group,
    commands.AuthorizeRules: authorize_rules,
    commands.RevokeRules: revoke_rules,
    commands.ModifyRules: modify_rules,
    commands.DescribeRules: describe_rules,
}
