"""Which entities a path stands for: members of kinds and mixins, filters and pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from backend.model import id_of
from occi import entities, kinds, names
from occi.errors import OcciError
from occi.mixins import OPENSTACK_USER_DATA, USER_DATA
from occi.scope import Scope
from occi.values import memory_mib
from rendering.occi_document import (
    ID,
    SOURCE,
    TARGET,
    BareInteger,
    BareNumber,
    Category,
    CategoryClass,
    Entity,
    Link,
    Request,
    Value,
)

LARGEST_PAGE = 1000


def members(scope: Scope, category: Category) -> list[str]:
    """Ids of the entities of a kind, or associated with a mixin or with one that depends on it."""
    if category.class_ is CategoryClass.KIND:
        return entities.ids(scope, category)
    if category.id in scope.catalog.tags:
        tagged = set(scope.engine.mixin_members(scope.caller, category.scheme, category.term))
        have = {names.kind_of(entity_id).id for entity_id in tagged}
        found = [module for kind_id, module in entities.MODULES.items() if kind_id in have]
        everything = (entity_id for module in found for entity_id in module.ids(scope))
        return [entity_id for entity_id in everything if entity_id in tagged]
    return [
        entity_id
        for kind_id, module in entities.MODULES.items()
        if not category.applies or kind_id in category.applies
        for entity_id in _ids(
            entity for entity in module.entities(scope, in_full=False) if category.id in types(scope, entity)
        )
    ]


def below(scope: Scope, path: str) -> list[str]:
    """Ids of the entities in all collections below a path that is bound to no category (OCCI-HTTP-004)."""
    if path == "/":
        return entities.ids(scope)
    found: dict[str, None] = {}
    for category in scope.catalog.below(path):
        found.update(dict.fromkeys(members(scope, category)))
    return list(found)


def types(scope: Scope, entity: Entity | Link) -> set[str]:
    """Type identifiers of everything an entity is."""
    has = (entity.kind, *entity.mixins)
    return set().union(*(scope.catalog.ancestry(category) for category in has if category is not None))


def _ids(found: Iterable[Entity | Link]) -> list[str]:
    return [names.id_at(entity.location) for entity in found]


def filtered(scope: Scope, wanted: Sequence[str], conditions: Request) -> list[str]:
    """The entities for which every condition holds: categories and attribute values (OCCI-HTTP-041).

    Raises:
        OcciError: 400 for a category that does not exist.
    """
    if not conditions.categories and not conditions.attributes:
        return list(wanted)
    needed = set()
    for given in conditions.categories:
        known = scope.catalog.find(given.id)
        if known is None:
            raise OcciError(400, f"The filter names {given.id[:200]}, which does not exist.")
        needed.add(known.id)
    in_full = not conditions.attributes.keys().isdisjoint({USER_DATA, OPENSTACK_USER_DATA})
    return _ids(
        entity
        for entity in entities.entities(scope, wanted, in_full=in_full)
        if needed <= types(scope, entity) and _matches(entity, conditions)
    )


def _matches(entity: Entity | Link, conditions: Request) -> bool:
    return all(
        _is_value(name, entity.attributes.get(name), value) for name, value in conditions.attributes.items()
    )


def _is_value(name: str, shown: Value | None, wanted: Value) -> bool:
    if isinstance(shown, str) and isinstance(wanted, (BareInteger, BareNumber)):
        return shown == wanted.text
    return _in_steps(name, shown) == _in_steps(name, wanted)


def _in_steps(name: str, value: Value | None) -> Value | None:
    """A value as it is compared: memory in whole MiB, however it is written, the ends of links by path."""
    if name in {SOURCE, TARGET} and isinstance(value, str):
        return names.path_in(value)
    if name != kinds.MEMORY or not isinstance(value, (int, float)) or not math.isfinite(value * 1024):
        return value
    return memory_mib(value)


def paged(wanted: Sequence[str], query: Mapping[str, str]) -> list[str]:
    """One page: ``number`` items, ``page`` counted from 1 (OCCI-HTTP-062 to 064, OCCI-AMB-15).

    Raises:
        OcciError: 400 unless both are positive integers, 413 for more items than a page may have.
    """
    if "page" not in query and "number" not in query:
        return list(wanted)
    page, number = (_positive(query.get(name, "")) for name in ("page", "number"))
    if number > LARGEST_PAGE:
        raise OcciError(413, f"A page has at most {LARGEST_PAGE} items.")
    return list(wanted[(page - 1) * number : page * number])


def _positive(text: str) -> int:
    digits = text.lstrip("0")
    if not text.isascii() or not text.isdecimal() or not digits:
        raise OcciError(400, "Pages need two positive integers, page and number.")
    return int(digits) if len(digits) < 13 else 10**12  # more than there is of anything


def named(request: Request, collection: Category) -> list[str]:
    """Ids of the entities that a request lists by location, or (JSON) by id; each once.

    A member without a kind is of one that ``collection`` applies to.

    Raises:
        OcciError: 404 for a location that is no entity's, 400 for a member without id, 403 for an entity of a
            kind that the mixin does not apply to (OCCI-HTTP-055), and for one of the provider's.
    """
    found = [names.id_in(location) for location in request.locations]
    found += [_member(member, collection) for member in request.members]
    for entity_id in found:
        kind = names.kind_of(entity_id)
        if collection.applies and kind.id not in collection.applies:
            raise OcciError(403, f"The mixin {collection.id} does not apply to {kind.id}.")
        if not entities.has_owner(entity_id):
            raise OcciError(403, f"The network {names.path_of(entity_id)} is the provider's.")
    return list(dict.fromkeys(found))


def _member(member: Request, collection: Category) -> str:
    own = member.attributes.get(ID)
    if not isinstance(own, str):
        raise OcciError(400, "An entity in a list needs its id.")
    said = {kind.id for kind in member.of(CategoryClass.KIND)} or set(collection.applies)
    for prefix, kind in names.KINDS.items():
        entity_id = id_of(prefix, own) if not said or kind.id in said else None
        if entity_id is not None:
            return entity_id
    raise OcciError(404, f"There is no entity {own[:80]}.")
