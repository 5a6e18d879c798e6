"""The kind storage: volumes listed, read, made, changed, acted upon and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.commands import Command, CreateSnapshot, CreateVolume, DeleteVolume, ModifyVolume, SetVolume
from backend.errors import BackendError, Code
from backend.model import Volume
from occi import kinds, shown, storing
from occi.changing import Standing, check_zone, full, given_attributes, named_mixins, naming, tagging
from occi.creation import described, name_tag, refuse_links, tags_among, zone_among
from occi.deeds import Creation, Deed
from occi.scope import Scope
from occi.values import checked_summary
from rendering.occi_document import SUMMARY, TITLE, Category, Entity, Request

_NEEDED_STATE = {
    kinds.ONLINE.id: "offline by its owner's wish",
    kinds.OFFLINE.id: "online",
    kinds.BACKUP.id: "online, or taken offline",
    kinds.SNAPSHOT.id: "online, or taken offline",
    kinds.RESIZE.id: "online or taken offline, and not changing",
}
_VOLATILE = frozenset({kinds.STORAGE_STATE, kinds.STORAGE_MESSAGE})


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All storage of the caller, oldest first.

    What machines boot from comes last: clients that look for some storage take the first (pOCCI).
    """
    found = shown.volumes(scope)
    return [volume.id for volume in sorted(found, key=lambda volume: volume.boot)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise VOLUME_NOT_FOUND for storage that OCCI does not know."""
    _volumes(scope, wanted)


def _volumes(scope: Scope, wanted: Sequence[str]) -> list[Volume]:
    found = {volume.id: volume for volume in shown.volumes(scope, wanted)}
    missing = tuple(volume_id for volume_id in wanted if volume_id not in found)
    if missing:
        raise BackendError(Code.VOLUME_NOT_FOUND, f"No such storage: {', '.join(missing)}", ids=missing)
    return [found[volume_id] for volume_id in wanted]


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Entity]:
    """Renderings of all storage or of some; what has gone meanwhile is left out."""
    return _rendered(scope, shown.volumes(scope, wanted))


def _rendered(scope: Scope, found: Sequence[Volume]) -> list[Entity]:
    names = [volume.id for volume in found]
    tags = scope.engine.tags_of(names)
    associated = scope.engine.mixins_of(scope.caller, names)
    return [
        storing.entity(
            volume,
            scope.catalog,
            title=tags.get(volume.id, {}).get("Name", ""),
            associated=associated.get(volume.id, ()),
        )
        for volume in found
    ]


# Writing ------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What makes a storage; its size is rounded up to whole GiB."""
    refuse_links(request)
    associated, given = described(scope, kinds.STORAGE, request)
    command = CreateVolume(
        size_gib=storing.whole_gib(given[kinds.STORAGE_SIZE]),
        zone=zone_among(scope, associated),
        summary=checked_summary(given.get(SUMMARY, "")),
        tags=name_tag(given),
        mixins=tags_among(scope, associated),
    )
    return lambda do: str(do(command).id)


def update(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """The commands that change all that a request gives (POST). Another size is a resize (OCCI-INFRA-031)."""
    refuse_links(request)
    volume, standing = _standing(scope, entity_id)
    wanted = _mixins(scope, volume, standing, request)
    given = given_attributes(scope, standing, request, wanted)
    return _commands(scope, volume, standing, given, wanted, replacing=False)


def replace(scope: Scope, entity_id: str, request: Request) -> list[Deed]:
    """The commands that make a storage what a full rendering says (PUT).

    Title, summary and tags that are missing are removed; a storage always has a size.
    """
    full(scope, request)
    volume, standing = _standing(scope, entity_id)
    wanted = _mixins(scope, volume, standing, request)
    given = given_attributes(scope, standing, request, wanted, volatile=_VOLATILE)
    given = {TITLE: "", SUMMARY: "", **given}
    return _commands(scope, volume, standing, given, wanted, replacing=True)


def _standing(scope: Scope, entity_id: str) -> tuple[Volume, Standing]:
    found = _volumes(scope, [entity_id])
    [rendered] = _rendered(scope, found)
    return found[0], Standing(entity_id, rendered)


def _mixins(scope: Scope, volume: Volume, standing: Standing, request: Request) -> list[Category]:
    wanted = named_mixins(scope, standing, request)
    check_zone(scope, wanted, volume.zone)
    return wanted


def _commands(
    scope: Scope,
    volume: Volume,
    standing: Standing,
    given: Mapping[str, Any],
    wanted: Sequence[Category],
    *,
    replacing: bool,
) -> list[Deed]:
    commands: list[Deed] = []
    if kinds.STORAGE_SIZE in given:
        commands += _resized(volume, given[kinds.STORAGE_SIZE])
    if given.get(SUMMARY, volume.summary) != volume.summary:
        commands.append(SetVolume(volume_id=volume.id, summary=checked_summary(given[SUMMARY])))
    return [
        *commands,
        *naming(standing, given.get(TITLE)),
        *tagging(scope, standing, wanted, replacing=replacing),
    ]


def _resized(volume: Volume, gib: float) -> list[Command[Any]]:
    size = storing.whole_gib(gib)
    return [ModifyVolume(volume_id=volume.id, size_gib=size)] if size != volume.size_gib else []


def _kept(volume: Volume, _given: Mapping[str, Any]) -> list[Command[Any]]:
    return [CreateSnapshot(volume_id=volume.id)]


#: What each action asks of the engine. Both of 1.1's ways to keep a copy are a snapshot.
_OPERATIONS: Mapping[str, Callable[[Volume, Mapping[str, Any]], list[Command[Any]]]] = {
    kinds.ONLINE.id: lambda volume, _: [SetVolume(volume_id=volume.id, online=True)],
    kinds.OFFLINE.id: lambda volume, _: [SetVolume(volume_id=volume.id, online=False)],
    kinds.BACKUP.id: _kept,
    kinds.SNAPSHOT.id: _kept,
    kinds.RESIZE.id: lambda volume, given: _resized(volume, given["size"]),
}


def act(scope: Scope, wanted: Sequence[str], action: Category, given: Mapping[str, Any]) -> None:
    """Begin an action on storage: on all of it or on none.

    Raises:
        BackendError: an action that is not applicable now is refused (409).
    """
    commands: list[Command[Any]] = []
    for volume in _volumes(scope, wanted):
        if action not in storing.offered(volume):
            raise BackendError(
                Code.VOLUME_WRONG_STATE,
                f"The storage {volume.id} is {storing.state(volume)} ({storing.state_message(volume)}): "
                f"the action {action.term} needs it to be {_NEEDED_STATE[action.id]}.",
                ids=(volume.id,),
                state=volume.state.value,
            )
        commands += _OPERATIONS[action.id](volume, given)
    scope.engine.execute_all(scope.caller, commands)


def deletion(_scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """The commands that delete storage, which must be attached to nothing."""
    return [DeleteVolume(volume_id=volume_id) for volume_id in wanted]
