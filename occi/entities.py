"""Entities of all kinds: a table of modules with the same functions, and what concerns several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from backend.commands import Associate
from backend.engine import Do
from backend.model import UserMixin
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
from occi.changing import Standing, tagging
from occi.deeds import Creation, Deed, carry_out
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import check_required, checked_all
from rendering.occi_document import Category, CategoryClass, Discovery, Entity, Link, Request


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
    return _with_tags(scope, [found[entity_id] for entity_id in wanted if entity_id in found])


def create(scope: Scope, requests: Sequence[tuple[Category, Request]]) -> list[str]:
    """Make an entity of each kind as described, all or none (OCCI-HTTP-014); answers their ids."""
    return deeds.create(scope, [_creation(scope, kind, request) for kind, request in requests])


def _creation(scope: Scope, kind: Category, request: Request) -> Creation:
    """What makes an entity, with its tags where its kind leaves them to us."""
    make = MODULES[kind.id].creation(scope, request)
    if not scope.catalog.tags:
        return make

    def make_tagged(do: Do) -> str:
        entity_id = make(do)
        if _is_rowless(entity_id):
            for tag in _tags(scope, request.categories):
                do(Associate(scheme=tag.scheme, term=tag.term, add=(entity_id,)))
        for command in _inline_tagging(scope, entity_id, request):
            do(command)
        return entity_id

    return make_tagged


def _tags(scope: Scope, named: Sequence[Category]) -> list[UserMixin]:
    """The clients' tags among mixins that are named, each once."""
    tags = scope.catalog.tags
    return [tags[type_id] for type_id in dict.fromkeys(each.id for each in named) if type_id in tags]


def update(scope: Scope, entity_id: str, request: Request) -> None:
    """Change all that a request gives, or nothing (POST)."""
    module = MODULES[names.kind_of(entity_id).id]
    wanted = list(module.update(scope, entity_id, request))
    wanted += _inline_tagging(scope, entity_id, request)
    carry_out(scope, [*wanted, *_retagging(scope, entity_id, request, replacing=False)])


def replace(scope: Scope, entity_id: str, request: Request) -> None:
    """Make an entity what a full rendering says, or leave it as it is (PUT)."""
    module = MODULES[names.kind_of(entity_id).id]
    wanted = list(module.replace(scope, entity_id, request))
    carry_out(scope, [*wanted, *_retagging(scope, entity_id, request, replacing=True)])


# Links without rows -------------------------------------------------------------------------------------
# Attachments, memberships in security groups and links to public addresses are what other rows say. What
# their modules make of those is completed here with the clients' tags.


def _is_rowless(entity_id: str) -> bool:
    return entity_id.startswith(("att-", "sglink-", "eipassoc-"))


def _with_tags(scope: Scope, found: list[Entity | Link]) -> list[Entity | Link]:
    """Entities whose links without rows, and those links themselves, have their tags."""
    if not scope.catalog.tags:
        return found
    links = [
        *(each for each in found if isinstance(each, Link)),
        *(link for each in found for link in _of(each)),
    ]
    rowless = [entity_id for link in links if _is_rowless(entity_id := names.id_at(link.location))]
    associated = scope.engine.mixins_of(scope.caller, list(dict.fromkeys(rowless)))
    return [_tagged(scope, each, associated) for each in found] if associated else found


def _of(entity: Entity | Link) -> tuple[Link, ...]:
    return entity.links if isinstance(entity, Entity) else ()


def _tagged(
    scope: Scope, entity: Entity | Link, associated: Mapping[str, Sequence[tuple[str, str]]]
) -> Entity | Link:
    if isinstance(entity, Entity):
        links = tuple(_tagged_link(scope, link, associated) for link in entity.links)
        return msgspec.structs.replace(entity, links=links)
    return _tagged_link(scope, entity, associated)


def _tagged_link(scope: Scope, link: Link, associated: Mapping[str, Sequence[tuple[str, str]]]) -> Link:
    tags = scope.catalog.own_tags(associated.get(names.id_at(link.location), ()))
    return msgspec.structs.replace(link, mixins=(*link.mixins, *tags)) if tags else link


def _retagging(scope: Scope, entity_id: str, request: Request, *, replacing: bool) -> Sequence[Deed]:
    """What gives a link without a row the tags that a request names, and with ``replacing`` no others."""
    if not _is_rowless(entity_id):
        return ()
    standing = Standing(entity_id, entity(scope, entity_id))
    return tagging(scope, standing, request.of(CategoryClass.MIXIN), replacing=replacing)


def _inline_tagging(scope: Scope, entity_id: str, request: Request) -> list[Associate]:
    """What gives the links without rows in a machine's description their tags, once they are there.

    A link to an address that is yet to be allocated has no name to know it by, and gets none.
    """
    if not request.links or not scope.catalog.tags:
        return []
    return [
        Associate(scheme=tag.scheme, term=tag.term, add=(link_id,))
        for link in request.links
        for tag in _tags(scope, link.mixins)
        for link_id in _inline_id(entity_id, link.target)
    ]


def _inline_id(machine_id: str, target: str) -> tuple[str, ...]:
    try:
        target_id = names.id_in(target)
    except OcciError:  # the network outside by another server's name
        return ()
    kind = names.kind_of(target_id)
    if kind is kinds.STORAGE:
        return (names.link_id(target_id),)
    return (names.group_link_id(machine_id, target_id),) if kind is kinds.SECURITYGROUP else ()


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


def has_owner(entity_id: str) -> bool:
    """Whether an entity is a tenant's: pools of public addresses are the provider's."""
    return not entity_id.startswith("pool-")


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
