"""The kind securitygrouplink (OCCI-EXT-005): machines' memberships in security groups.

A machine is linked with the groups that any of its interfaces is in. Such a link has no row of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.engine import Do
from backend.errors import BackendError, Code
from backend.model import Instance
from backend.network_commands import ModifyNic
from backend.network_model import Nic, SecurityGroup
from occi import groupings, kinds, linking, names, noting
from occi.changing import Standing, full, link_changes
from occi.creation import described, refuse_links
from occi.deeds import Creation, Deed
from occi.errors import OcciError
from occi.networkinterface import machines, plugged
from occi.scope import Scope
from occi.values import checked_title
from rendering.occi_document import SOURCE, TARGET, TITLE, Category, Link, Request

_VOLATILE = frozenset({kinds.GROUPLINK_STATE, kinds.GROUPLINK_MESSAGE})


# Reading ------------------------------------------------------------------------------------------------


def links_of(
    scope: Scope, instances: Sequence[Instance], nics: Mapping[str, Sequence[Nic]]
) -> dict[str, list[Link]]:
    """The links of machines, by machine, in the order of their interfaces."""
    ids = {
        each.id: {
            names.group_link_id(each.id, group_id): group_id for group_id in _groups(nics.get(each.id, ()))
        }
        for each in instances
    }
    notes = scope.engine.notes_of([own_id for own in ids.values() for own_id in own])
    return {
        each.id: [
            groupings.link(own_id, each, group_id, notes.get(own_id, {}))
            for own_id, group_id in ids[each.id].items()
        ]
        for each in instances
    }


def _groups(nics: Sequence[Nic]) -> list[str]:
    return list(dict.fromkeys(group_id for nic in nics for group_id in nic.groups))


def of_machines(scope: Scope, wanted: Sequence[str]) -> set[str]:
    """The ids of the links of some machines."""
    nics = scope.engine.networks.nics_of(wanted)
    return {
        names.group_link_id(each, group_id) for each in wanted for group_id in _groups(nics.get(each, ()))
    }


def ids(scope: Scope) -> list[str]:
    """All links of the caller's machines to security groups."""
    return [names.id_at(link.location) for link in entities(scope)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise 404 for links that are not there."""
    _links(scope, wanted)


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Link]:
    """Renderings of all links or of some; those that have gone meanwhile are left out."""
    nics = plugged(scope)
    found = links_of(scope, list(machines(scope, list(nics)).values()), nics)
    named = None if wanted is None else {names.path_of(each) for each in wanted}
    return [link for own in found.values() for link in own if named is None or link.location in named]


def _links(scope: Scope, wanted: Sequence[str]) -> list[Link]:
    found = {names.id_at(link.location): link for link in entities(scope, wanted)}
    missing = [each for each in wanted if each not in found]
    if missing:
        raise OcciError(404, f"No such link: {', '.join(map(names.path_of, missing))}")
    return [found[each] for each in wanted]


# Writing ------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What makes all of a machine's interfaces members of a group."""
    refuse_links(request)
    _, given = described(scope, kinds.SECURITYGROUPLINK, request)
    instance_id = names.id_of_kind(kinds.COMPUTE, given[SOURCE])
    group_id = linking.group_target(given[TARGET], given)
    if instance_id not in machines(scope, [instance_id]):
        raise BackendError(Code.INSTANCE_NOT_FOUND, f"No such instance: {instance_id}", ids=(instance_id,))
    scope.engine.networks.one(scope.caller, SecurityGroup, group_id)
    nics = scope.engine.networks.nics_of([instance_id]).get(instance_id, [])
    commands = linking.joined(nics, [group_id])
    if not commands:
        raise OcciError(409, "The machine is linked with the security group already.")
    link_id = names.group_link_id(instance_id, group_id)
    notes = {group_id: noting.noted(noting.OF_GROUPLINKS, given)}

    def make(do: Do) -> str:
        for command in (*commands, *linking.group_notes(instance_id, [group_id], notes)):
            do(command)
        return link_id

    return make


def update(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What changes the title of a link, which else is the same from its creation to its end."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """As :func:`update`; a title that is missing is removed."""
    return _changes(scope, entity_id, full(scope, request), replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> Sequence[Deed]:
    [link] = _links(scope, [entity_id])
    standing = Standing(entity_id, link)
    volatile = _VOLATILE if replacing else ()
    _, given = link_changes(scope, standing, request, mutable=noting.OF_GROUPLINKS, volatile=volatile)
    if replacing and TITLE not in request.attributes:
        given = {TITLE: "", **given}
    checked_title(given.get(TITLE, ""))
    instance_id = names.id_at(str(link.attributes[SOURCE]))
    return noting.changed(standing, noting.OF_GROUPLINKS, given, instance_id=instance_id)


def act(_scope: Scope, _wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Links to groups have no actions."""
    raise OcciError(400, f"Links to security groups do not have the action {action.term}.")


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What ends memberships; each interface must stay in one group at least (NIC_WRONG_STATE)."""
    gone: dict[str, set[str]] = {}
    for link in _links(scope, wanted):
        instance_id = names.id_at(str(link.attributes[SOURCE]))
        gone.setdefault(instance_id, set()).add(names.id_at(link.target))
    return [
        ModifyNic(nic_id=nic.id, leave=tuple(sorted(gone[instance_id])))
        for instance_id, nics in scope.engine.networks.nics_of(list(gone)).items()
        for nic in nics
        if gone[instance_id] & set(nic.groups)
    ]
