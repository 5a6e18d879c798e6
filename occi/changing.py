"""Changing entities of any kind: what a partial update (POST) or a replacement (PUT) gives and may give."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from backend.commands import Associate, Command, CreateTags, DeleteTags
from backend.model import uuid_of
from occi import kinds, names
from occi.creation import refuse_links, zone_among
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import checked_all, checked_title
from rendering.occi_document import (
    ID,
    SOURCE,
    TARGET,
    TITLE,
    Category,
    CategoryClass,
    Entity,
    Link,
    Request,
    Value,
)


class Standing:
    """An entity as it is before a change: its id, and what OCCI shows of it."""

    def __init__(self, entity_id: str, shown: Entity | Link) -> None:
        self.id = entity_id
        self.shown = shown
        self.kind = names.kind_of(entity_id)

    @property
    def mixin_ids(self) -> set[str]:
        """Type identifiers of the mixins it has."""
        return {mixin.id for mixin in self.shown.mixins}


def named_mixins(scope: Scope, standing: Standing, request: Request) -> list[Category]:
    """The mixins that a request names, each of which may go with the entity."""
    kind = scope.kind_of(request)
    if (kind is not None and kind.id != standing.kind.id) or request.of(CategoryClass.ACTION):
        raise OcciError(400, "An entity keeps its kind.")
    return scope.mixins_for(standing.kind, request, standing.shown.mixins)


def given_attributes(
    scope: Scope,
    standing: Standing,
    request: Request,
    wanted: Sequence[Category],
    *,
    volatile: Collection[str] = (),
) -> dict[str, Any]:
    """The mutable attributes given, checked. What the server sets must be as it is (OCCI-AMB-08).

    ``volatile`` are those that change by themselves between a client's reading and its PUT (OCCI-REAL-13).
    """
    known = scope.catalog.attributes([*standing.shown.mixins, *wanted, standing.kind])
    whose = f"The {names.WORDS[standing.kind.id]}"
    given = checked_all(_meant(standing, request), known, whose=whose)
    fixed = {name: value for name, value in given.items() if not known[name].mutable}
    for name, value in fixed.items():
        if name == ID and value in {standing.id, uuid_of(standing.id)}:
            continue
        if name not in volatile and value != standing.shown.attributes.get(name):
            raise OcciError(403, f"{name} is immutable.")
    return {name: value for name, value in given.items() if name not in fixed}


def link_changes(
    scope: Scope,
    standing: Standing,
    request: Request,
    *,
    mutable: Collection[str],
    volatile: Collection[str] = (),
) -> tuple[list[Category], dict[str, Any]]:
    """The mixins that an update of a link names, and what it changes of the ``mutable`` attributes.

    Raises:
        OcciError: 501 for another end, or what else goes with the link to its end: the standard would have
            it changed.
    """
    refuse_links(request)
    wanted = named_mixins(scope, standing, request)
    changes: dict[str, Any] = {}
    for name, value in given_attributes(scope, standing, request, wanted, volatile=volatile).items():
        if _meaning(name, value) == _meaning(name, standing.shown.attributes.get(name, "")):
            continue
        if name not in mutable:
            raise OcciError(501, f"{name} of the link cannot be changed: end it, and make another.")
        changes[name] = value
    return wanted, changes


def _meaning(name: str, value: Value) -> Value:
    """A value as it is compared: clients write the ends as paths and as URIs, and MACs in any case."""
    if name in {SOURCE, TARGET}:
        return names.id_in(str(value))
    if name == kinds.LINK_DEVICE:
        return str(value).removeprefix("/dev/")
    return str(value).lower() if name == kinds.MAC else value


def check_zone(scope: Scope, wanted: Sequence[Category], zone: str) -> None:
    """Refuse another availability zone than the entity is in."""
    if zone_among(scope, wanted) not in {None, zone}:
        raise OcciError(501, f"What there is stays in its availability zone, {zone}.")


def full(scope: Scope, request: Request) -> Request:
    """A full rendering; 400 for one that does not name the kind."""
    if scope.kind_of(request) is None:
        raise OcciError(400, "A full rendering names the kind.")
    return request


def _meant(standing: Standing, request: Request) -> dict[str, Value]:
    """The attributes given. Of two values for one, one may still be as it was read: the other counts."""
    now = standing.shown.attributes
    later = {
        name: value
        for name, value in request.overruled.items()
        if request.attributes[name] == now.get(name, "")
    }
    return {**request.attributes, **later}


def naming(standing: Standing, title: str | None) -> list[Command[Any]]:
    """The commands that give an entity a title, or take it; None leaves it."""
    if title is None or title == standing.shown.attributes.get(TITLE, ""):
        return []
    if not checked_title(title):
        return [DeleteTags(ids=(standing.id,), tags=(("Name", None),))]
    return [CreateTags(ids=(standing.id,), tags=(("Name", title),))]


def tagging(
    scope: Scope, standing: Standing, wanted: Sequence[Category], *, replacing: bool
) -> list[Command[Any]]:
    """The commands that associate an entity with the tags wanted, and with ``replacing`` with no others."""
    tags = scope.catalog.tags
    has = {type_id for type_id in standing.mixin_ids if type_id in tags}
    wants = {mixin.id for mixin in wanted if mixin.id in tags}
    ids = (standing.id,)
    added = [Associate(scheme=tags[t].scheme, term=tags[t].term, add=ids) for t in sorted(wants - has)]
    gone = sorted(has - wants) if replacing else []
    return [*added, *(Associate(scheme=tags[t].scheme, term=tags[t].term, remove=ids) for t in gone)]
