"""Entities of all kinds: a table of modules with the same functions, and what concerns several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from occi import (
    compute,
    deeds,
    ipreservation,
    kinds,
    names,
    network,
    networkinterface,
    securitygroup,
    securitygrouplink,
    storage,
    storagelink,
)
from occi.deeds import Creation, Deed, carry_out
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import check_required, checked_all
from rendering.occi_document import Category, Discovery, Entity, Link, Request


class KindModule(Protocol):
    """What the module of a kind offers. Ids are the engine's; commands are carried out together or not."""

    def ids(self, scope: Scope) -> list[str]:
        """All entities of the caller."""
        ...

    def check(self, scope: Scope, wanted: Sequence[str]) -> None:
        """Refuse what OCCI does not know (404)."""
        ...

    def entities(
        self, scope: Scope, wanted: Sequence[str] | None = None, *, in_full: bool = True
    ) -> Sequence[Entity | Link]:
        """Renderings of all entities or of some; those that have gone meanwhile are left out.

        Without ``in_full``, what is costly to read may be spared.
        """
        ...

    def creation(self, scope: Scope, request: Request) -> Creation:
        """What makes the entity that a request describes."""
        ...

    def update(self, scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
        """What changes all that a request gives, and leave the rest (POST)."""
        ...

    def replace(self, scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
        """What makes an entity what a full rendering says (PUT)."""
        ...

    def act(
        self, scope: Scope, wanted: Sequence[str], action: Category, given: Mapping[str, Any]
    ) -> Discovery | None:
        """Begin one of the kind's actions, on all entities wanted or on none; answers what it made."""
        ...

    def deletion(self, scope: Scope, wanted: Sequence[str]) -> Sequence[Deed]:
        """What deletes entities."""
        ...


MODULES: Mapping[str, KindModule] = {
    kinds.COMPUTE.id: compute,
    kinds.STORAGE.id: storage,
    kinds.NETWORK.id: network,
    kinds.SECURITYGROUP.id: securitygroup,
    kinds.IPRESERVATION.id: ipreservation,
    kinds.STORAGELINK.id: storagelink,
    kinds.NETWORKINTERFACE.id: networkinterface,
    kinds.SECURITYGROUPLINK.id: securitygrouplink,
}


def _by_kind(wanted: Iterable[str]) -> dict[str, list[str]]:
    """Ids, each once, in groups by kind, in the order of the kinds."""
    found: dict[str, list[str]] = {kind_id: [] for kind_id in MODULES}
    for entity_id in dict.fromkeys(wanted):
        found[names.kind_of(entity_id).id].append(entity_id)
    return {kind_id: group for kind_id, group in found.items() if group}


def ids(scope: Scope, kind: Category = kinds.ENTITY) -> list[str]:
    """All entities of a kind, or, of a kind that has none of its own, those of the kinds below it."""
    return [
        entity_id
        for kind_id, module in MODULES.items()
        if kind_id in collected(scope, kind)
        for entity_id in module.ids(scope)
    ]


def collected(scope: Scope, kind: Category) -> set[str]:
    """Type identifiers of the kinds whose entities are in a kind's collection (OCCI-CORE-025).

    An address that is reserved is a network by its parent only, and no network to plug a machine into.
    """
    if kind.id in MODULES:
        return {kind.id}
    return {kind_id for kind_id in MODULES if kind.id in scope.catalog.ancestry_of(kind_id)}


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Refuse what OCCI does not know (404)."""
    for kind_id, group in _by_kind(wanted).items():
        MODULES[kind_id].check(scope, group)


def entity(scope: Scope, entity_id: str) -> Entity | Link:
    """The rendering of one entity; 404 when there is none."""
    check(scope, [entity_id])
    found = entities(scope, [entity_id])
    if not found:
        raise OcciError(404, f"There is nothing at {names.path_of(entity_id)}.")
    return found[0]


def entities(scope: Scope, wanted: Sequence[str], *, in_full: bool = True) -> list[Entity | Link]:
    """Renderings in the order asked; what has gone meanwhile is left out."""
    found = {
        names.id_at(rendered.location): rendered
        for kind_id, group in _by_kind(wanted).items()
        for rendered in MODULES[kind_id].entities(scope, group, in_full=in_full)
    }
    return [found[entity_id] for entity_id in wanted if entity_id in found]


def create(scope: Scope, requests: Sequence[tuple[Category, Request]]) -> list[str]:
    """Make an entity of each kind as described, all or none (OCCI-HTTP-014); answers their ids."""
    return deeds.create(scope, [MODULES[kind.id].creation(scope, request) for kind, request in requests])


def update(scope: Scope, entity_id: str, request: Request) -> None:
    """Change all that a request gives, or nothing (POST)."""
    module = MODULES[names.kind_of(entity_id).id]
    carry_out(scope, module.update(scope, entity_id, request))


def replace(scope: Scope, entity_id: str, request: Request) -> None:
    """Make an entity what a full rendering says, or leave it as it is (PUT)."""
    module = MODULES[names.kind_of(entity_id).id]
    carry_out(scope, module.replace(scope, entity_id, request))


def act(scope: Scope, wanted: Sequence[str], action: Category, request: Request) -> Discovery | None:
    """Begin an action on entities of the kind that defines it: on all of them or on none (OCCI-CORE-022).

    Raises:
        OcciError: 400 for an entity of another kind, and for what is wrong with the attributes; 404 for an
            attribute that the action does not have.
    """
    known = scope.catalog.attributes([action])
    given = checked_all(request.attributes, known, whose=f"The action {action.term}")
    check_required(given, known)
    groups = _by_kind(wanted)
    for kind_id, group in groups.items():
        if action.id not in names.kind_of(group[0]).actions:
            raise OcciError(400, f"The kind {kind_id} does not have the action {action.term}.")
    check(scope, wanted)
    if not groups:
        return None
    [(kind_id, group)] = groups.items()  # an action is one kind's
    return MODULES[kind_id].act(scope, group, action, given)


def delete(scope: Scope, wanted: Sequence[str]) -> None:
    """Delete entities, all or none."""
    check(scope, wanted)
    groups = _by_kind(wanted)
    implied = _ends_with(scope, groups.get(kinds.COMPUTE.id, ())) if len(groups) > 1 else set()
    wanted_deeds: list[Deed] = []
    for kind_id, group in groups.items():
        left = [entity_id for entity_id in group if entity_id not in implied]
        wanted_deeds += MODULES[kind_id].deletion(scope, left) if left else []
    carry_out(scope, wanted_deeds)


def own(scope: Scope, wanted: Sequence[str]) -> list[str]:
    """Those that go when a collection is deleted: not what the provider offers, or gave every tenant."""
    kept = network.provided(scope, wanted) | securitygroup.provided(scope, wanted)
    return [entity_id for entity_id in wanted if entity_id not in kept]


def _ends_with(scope: Scope, machines: Sequence[str]) -> set[str]:
    """What is deleted with machines: their links (OCCI-CORE-033), and the storage that ends with them."""
    if not machines:
        return set()
    volumes = [volume for group in scope.engine.disks_of(machines).values() for volume in group]
    networked = networkinterface.of_machines(scope, machines) | securitygrouplink.of_machines(scope, machines)
    links = {names.link_id(volume.id) for volume in volumes} | networked
    return links | {volume.id for volume in volumes if volume.delete_on_termination}
