"""The kind securitygroup (OCCI-EXT-004): security groups with their rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from backend.model import new_id
from backend.network_commands import (
    CreateSecurityGroup,
    DeleteSecurityGroup,
    ModifySecurityGroup,
    RuleSpec,
)
from backend.network_model import ALL_PROTOCOLS, ANYWHERE, DEFAULT_GROUP, SecurityGroup
from occi import groupings, kinds, names
from occi.changing import Standing, full, given_attributes, named_mixins, naming, tagging
from occi.creation import described, name_tag, refuse_links, tags_among
from occi.deeds import Creation, Deed
from occi.drawn import Drawn
from occi.errors import OcciError
from occi.scope import Scope
from rendering.occi_document import SUMMARY, TITLE, Category, Entity, Request

LONGEST_DESCRIPTION = 255
_LONGEST_NAME = 255
_VOLATILE = frozenset({kinds.GROUP_STATE, kinds.GROUP_MESSAGE})
_EVERYTHING_OUT = RuleSpec(egress=True, protocol=ALL_PROTOCOLS, cidr=ANYWHERE)


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All security groups of the caller, oldest first."""
    return [group.id for group in scope.engine.networks.all(scope.caller, SecurityGroup)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise RESOURCE_NOT_FOUND for groups that are not there."""
    scope.engine.networks.some(scope.caller, SecurityGroup, wanted)


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Entity]:
    """Renderings of all groups or of some; those that have gone meanwhile are left out."""
    found = scope.engine.networks.all(scope.caller, SecurityGroup)
    named = None if wanted is None else set(wanted)
    return _rendered(scope, [group for group in found if named is None or group.id in named])


def _rendered(scope: Scope, found: Sequence[SecurityGroup]) -> list[Entity]:
    own = [group.id for group in found]
    networks = scope.engine.networks
    tags, rules = scope.engine.tags_of(own), networks.rules_of(own)
    associated, unsettled = scope.engine.mixins_of(scope.caller, own), networks.unsettled(own)
    return [
        groupings.entity(
            group,
            rules.get(group.id, ()),
            scope.catalog,
            tags=tags.get(group.id, {}),
            associated=associated.get(group.id, ()),
            unsettled=group.id in unsettled,
            limits=scope.engine.settings.network.capabilities.briefly,
        )
        for group in found
    ]


def provided(scope: Scope, wanted: Collection[str]) -> set[str]:
    """Those of some entities that are groups which VPCs have from their beginning."""
    some = [each for each in wanted if names.kind_of(each) is kinds.SECURITYGROUP]
    found = scope.engine.networks.groups_by_id(some) if some else {}
    return {group.id for group in found.values() if group.name == DEFAULT_GROUP}


# Making -------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What makes a group for the networks of OCCI. Unless a rule says what may leave, everything may."""
    refuse_links(request)
    associated, given = described(scope, kinds.SECURITYGROUP, request)
    rules = groupings.rule_specs(given.get(kinds.RULES, ()))
    if not any(rule.egress for rule in rules):
        rules = (*rules, _EVERYTHING_OUT)
    command = CreateSecurityGroup(
        name=_name(scope, given.get(TITLE, "")),
        description=_description(given.get(SUMMARY, "")),
        rules=rules,
        tags=name_tag(given),
        mixins=tags_among(scope, associated),
    )
    return lambda do: str(do(command).id)


def _name(scope: Scope, title: str) -> str:
    """A name that no other group of the VPC has, as titles may be alike: the title, perhaps with a mark."""
    wanted = "".join(sign if sign.isprintable() else " " for sign in title).strip()
    wanted = wanted.removeprefix("sg-")
    vpc = Drawn(scope).default_vpc
    groups = scope.engine.networks.all(scope.caller, SecurityGroup)
    taken = {group.name for group in groups if vpc is not None and group.vpc_id == vpc.id} | {
        DEFAULT_GROUP,
        "",
    }
    if wanted not in taken:
        return wanted
    mark = new_id("occi")
    return f"{wanted[: _LONGEST_NAME - len(mark) - 1]} {mark}".strip()


def _description(summary: str) -> str:
    if len(summary) > LONGEST_DESCRIPTION:
        raise OcciError(400, f"{SUMMARY} of a security group has at most {LONGEST_DESCRIPTION} characters.")
    return summary


# Changing -----------------------------------------------------------------------------------------------


def update(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What changes all that a request gives (POST). Rules that are given replace all there were."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What makes a group what a full rendering says (PUT), which has rules; other things may be missing."""
    if kinds.RULES not in full(scope, request).attributes:
        raise OcciError(400, f"A full rendering of a security group has {kinds.RULES}.")
    return _changes(scope, entity_id, request, replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> Sequence[Deed]:
    refuse_links(request)
    group = scope.engine.networks.one(scope.caller, SecurityGroup, entity_id)
    [shown] = _rendered(scope, [group])
    standing = Standing(entity_id, shown)
    wanted = named_mixins(scope, standing, request)
    given = given_attributes(scope, standing, request, wanted, volatile=_VOLATILE if replacing else ())
    if replacing:
        given = {SUMMARY: "", **given}
    changes: dict[str, Any] = {}
    if kinds.RULES in given and given[kinds.RULES] != shown.attributes[kinds.RULES]:
        changes["rules"] = groupings.rule_specs(given[kinds.RULES])
    if given.get(SUMMARY, group.description) != group.description:
        changes["description"] = _description(given[SUMMARY])
    return [
        *([ModifySecurityGroup(group_id=group.id, **changes)] if changes else []),
        *naming(standing, given.get(TITLE)),
        *tagging(scope, standing, wanted, replacing=replacing),
    ]


def act(_scope: Scope, _wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Groups have no actions."""
    raise OcciError(400, f"Security groups do not have the action {action.term}.")


def deletion(_scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What deletes groups, which nothing may use."""
    return [DeleteSecurityGroup(group_id=group_id) for group_id in wanted]
