"""The kind storagelink: attachments of volumes listed, read, made and ended. A link has no row of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import AttachVolume, Command, DetachVolume
from backend.engine import InstanceQuery
from backend.model import Volume
from occi import kinds, mapping, names, shown, storing
from occi.changing import Standing, given_attributes, named_mixins
from occi.creation import described, refuse_links
from occi.errors import OcciError
from occi.scope import Scope
from rendering.occi_document import SOURCE, TARGET, Category, Link, Request, Value

_VOLATILE = frozenset({kinds.LINK_STATE, kinds.LINK_MESSAGE})
#: The ends of a link, with the kinds of what is there.
_ENDS: Mapping[str, Category] = {SOURCE: kinds.COMPUTE, TARGET: kinds.STORAGE}


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All links of the caller's machines to storage, in the order in which the storage was made."""
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
    named = None if wanted is None else [names.volume_id(link_id) for link_id in wanted]
    attached = [volume for volume in shown.volumes(scope, named) if volume.instance_id is not None]
    sources = tuple(dict.fromkeys(str(volume.instance_id) for volume in attached))
    if not sources:
        return []
    query = InstanceQuery(ids=sources, equal={"detail": shown.ALIVE})
    machines = scope.engine.instances(scope.caller, query)
    found = {machine.id: machine for machine in machines if mapping.is_shown(machine)}
    return [
        storing.link(volume, found[str(volume.instance_id)])
        for volume in attached
        if volume.instance_id in found
    ]


def _links(scope: Scope, wanted: Sequence[str]) -> list[Link]:
    found = {names.id_at(link.location): link for link in entities(scope, wanted)}
    missing = [link_id for link_id in wanted if link_id not in found]
    if missing:
        raise OcciError(404, f"No such link: {', '.join(map(names.path_of, missing))}")
    return [found[link_id] for link_id in wanted]


# Writing ------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> AttachVolume:
    """The command that attaches the storage to the machine (OCCI-HTTP-061)."""
    refuse_links(request)
    _, given = described(scope, kinds.STORAGELINK, request)
    return AttachVolume(
        volume_id=names.id_of_kind(kinds.STORAGE, given[TARGET]),
        instance_id=names.id_of_kind(kinds.COMPUTE, given[SOURCE]),
        device=given.get(kinds.LINK_DEVICE, ""),
    )


def made(answer: Volume) -> str:
    """The id of the link made."""
    return names.link_id(answer.id)


def update(scope: Scope, entity_id: str, request: Request) -> list[Command[Any]]:
    """No commands: what a link is, it is from its creation to its end; saying so again is no error."""
    _check(scope, entity_id, request, ())
    return []


def replace(scope: Scope, entity_id: str, request: Request) -> list[Command[Any]]:
    """No commands, as for :func:`update`."""
    if scope.kind_of(request) is None:
        raise OcciError(400, "A full rendering names the kind.")
    _check(scope, entity_id, request, _VOLATILE)
    return []


def _check(scope: Scope, entity_id: str, request: Request, volatile: Sequence[str] | frozenset[str]) -> None:
    """Refuse another device or end with 501: the standard would have them changed."""
    refuse_links(request)
    [link] = _links(scope, [entity_id])
    standing = Standing(entity_id, link)
    wanted = named_mixins(scope, standing, request)
    for name, value in given_attributes(scope, standing, request, wanted, volatile=volatile).items():
        if _meaning(name, value) != _meaning(name, link.attributes[name]):
            raise OcciError(501, f"{name} of a link cannot be changed: end it, and make another.")


def _meaning(name: str, value: Value) -> Value:
    """A value as it is compared: clients write the ends as paths and as URIs."""
    return names.id_of_kind(_ENDS[name], str(value)) if name in _ENDS else value


def act(_scope: Scope, _wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Links have no actions (OCCI-INFRA-043)."""
    raise OcciError(400, f"Links do not have the action {action.term}.")


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Command[Any]]:
    """The commands that detach the storage; the link is there until the guest has let go."""
    return [
        DetachVolume(
            volume_id=names.id_at(link.target), instance_id=names.id_at(str(link.attributes[SOURCE]))
        )
        for link in _links(scope, wanted)
    ]
