"""The kind storagelink: attachments of volumes listed, read, made and ended. A link has no row of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.commands import AttachVolume, DetachVolume, SetVolume
from backend.engine import Do, InstanceQuery
from occi import kinds, linking, mapping, names, noting, shown, storing
from occi.changing import Standing, full, link_changes
from occi.creation import described, refuse_links
from occi.deeds import Creation, Deed
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import checked_title
from rendering.occi_document import SOURCE, TARGET, TITLE, Category, Link, Request

_MUTABLE = frozenset({*noting.OF_STORAGELINKS, kinds.LINK_DEVICE})
_VOLATILE = frozenset({kinds.LINK_STATE, kinds.LINK_MESSAGE})


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
    notes = scope.engine.notes_of([names.link_id(volume.id) for volume in attached])
    return [
        storing.link(volume, found[str(volume.instance_id)], notes.get(names.link_id(volume.id), {}))
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


def creation(scope: Scope, request: Request) -> Creation:
    """What attaches the storage to the machine (OCCI-HTTP-061)."""
    refuse_links(request)
    _, given = described(scope, kinds.STORAGELINK, request)
    command = AttachVolume(
        volume_id=linking.storage_target(given[TARGET], given),
        instance_id=names.id_of_kind(kinds.COMPUTE, given[SOURCE]),
        device=given.get(kinds.LINK_DEVICE, ""),
    )
    notes = noting.noted(noting.OF_STORAGELINKS, given)

    def make(do: Do) -> str:
        link_id = names.link_id(do(command).id)
        for each in noting.set_notes(link_id, notes):
            do(each)
        return link_id

    return make


def update(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """What changes title, mount point and device of a link; its ends are the same to its end."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """As :func:`update`; title and mount point that are missing are removed."""
    return _changes(scope, entity_id, full(scope, request), replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> list[Deed]:
    [link] = _links(scope, [entity_id])
    standing = Standing(entity_id, link)
    volatile = _VOLATILE if replacing else ()
    _, given = link_changes(scope, standing, request, mutable=_MUTABLE, volatile=volatile)
    if replacing:
        given = {name: "" for name in noting.OF_STORAGELINKS if name not in request.attributes} | given
    checked_title(given.get(TITLE, ""))
    deeds: list[Deed] = []
    if given.get(kinds.LINK_DEVICE):
        deeds.append(SetVolume(volume_id=names.id_at(link.target), device=given[kinds.LINK_DEVICE]))
    return [*deeds, *noting.changed(standing, noting.OF_STORAGELINKS, given)]


def act(_scope: Scope, _wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Links have no actions (OCCI-INFRA-043)."""
    raise OcciError(400, f"Links do not have the action {action.term}.")


def deletion(scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """The commands that detach the storage; the link is there until the guest has let go."""
    return [
        DetachVolume(
            volume_id=names.id_at(link.target), instance_id=names.id_at(str(link.attributes[SOURCE]))
        )
        for link in _links(scope, wanted)
    ]
