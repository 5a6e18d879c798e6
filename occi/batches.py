"""Several entities in one request (OCCI-HTTP-042), which may be linked with one another.

What clients call entities that are yet to be made, by ``id`` or by the path of it, means in the same request
what is made of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from backend.model import ChosenPath
from occi import entities, kinds, names
from occi.chosen import Paths
from occi.errors import OcciError
from occi.scope import Scope
from rendering.occi_document import ID, SOURCE, TARGET, Category, Request

Member = tuple[Category, Request]


def create(scope: Scope, members: Sequence[Member]) -> list[str]:
    """Make entities as described, all or none; answers their ids in the order of the descriptions.

    Raises:
        OcciError: 400, two that others refer to have one name.
    """
    called = Counter(each for kind, request in members for each in _called(kind, request))
    referred = {each for _, request in members for each in _named(request)}
    twice = next((name for name in referred if called[name] > 1), None)
    if twice is not None:
        raise OcciError(400, f"Two of the entities are called {twice[:80]}.")
    if referred.isdisjoint(called):
        return entities.create(scope, members)
    return scope.atomically(lambda inside: _in_turn(inside, members))


def _in_turn(scope: Scope, members: Sequence[Member]) -> list[str]:
    """Make one after the other: what machines are linked with, the machines, and links by themselves."""
    made: dict[int, str] = {}
    known: list[ChosenPath] = []
    for index in sorted(range(len(members)), key=lambda each: _turn(members[each][0])):
        kind, request = members[index]
        [made[index]] = entities.create(scope, [(kind, _referring(request, known))])
        name = _name(request)
        if name:
            path = f"{kind.location}{name}"
            known.append(
                ChosenPath(tenant_id=scope.caller.tenant_id, path=path, resource_id=made[index], created_at=0)
            )
    return [made[index] for index in range(len(members))]


def _referring(request: Request, known: Sequence[ChosenPath]) -> Request:
    """A description in which what was made so far is called by its own name."""
    return Paths(lambda: known, base="", prefix="").request(request)


def _turn(kind: Category) -> int:
    if kind.parent == kinds.LINK.id:
        return 2
    return int(kind is kinds.COMPUTE)


def _name(request: Request) -> str:
    """What a client calls an entity that is yet to be made."""
    name = request.attributes.get(ID)
    return name if isinstance(name, str) else ""


def _called(kind: Category, request: Request) -> tuple[str, ...]:
    """What others may call an entity to be made: by its name, or by the path of that."""
    name = _name(request)
    return (name, f"{kind.location}{name}") if name else ()


def _named(request: Request) -> Iterator[str]:
    """What a description refers to."""
    ends = (request.attributes.get(name) for name in (SOURCE, TARGET))
    for each in (*ends, *(link.target for link in request.links)):
        if isinstance(each, str):
            yield names.path_in(each)
