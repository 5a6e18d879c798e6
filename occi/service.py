"""OCCI without HTTP's bytes: a method, a path and a parsed request → a document and a status.

Five sorts of paths: the query interface, a kind's collection, a mixin's collection, an entity, and paths
bound to nothing that stand for the collections below them. Each has a table of methods (HTTP 8 to 11,
H11 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

import msgspec

from backend.commands import Associate
from backend.errors import BackendError
from backend.request_commands import ChoosePath, ClaimKey, FillKey, Hold
from occi import batches, compute, entities, kinds, listing, names, tagging
from occi.chosen import Paths, check_name
from occi.conditions import Conditions, check, tags
from occi.errors import OcciError, failure
from occi.mixins import template_of_image
from occi.negotiation import Media
from occi.scope import Scope
from rendering.occi_document import (
    Category,
    CategoryClass,
    Collection,
    Created,
    Discovery,
    Document,
    Entity,
    Link,
    Request,
)

QUERY_PATHS = frozenset({"/-/", "/-", "/.well-known/org/ogf/occi/-/", "/.well-known/org/ogf/occi/-"})
_CREATED_BY_POST = "There is nothing here: entities are made by POST to a kind, or by PUT below one."


class Detail(Enum):
    """How much of its members the rendering of a collection shows."""

    LOCATIONS = "locations"
    FULL = "full"


class Call(Document, frozen=True, kw_only=True):
    """One request. ``body`` is what it says, ``conditions`` the filter in the headers of a GET.

    ``in_body`` and ``in_headers`` tell where anything stood, which ``body`` cannot when it says nothing.
    ``base`` is the absolute URI of ``/`` without the slash. ``detail`` is how collections are to be answered;
    ``can_describe`` is False when the client accepts nothing but lists of URIs. ``prefix`` is what all paths
    begin with for this client. ``wanted`` is what the request depends on. ``key`` is what the client calls
    the creation it asks for, and ``digest`` tells that request from others. ``asked`` is the path as it was
    given, where ``path`` is the one computed from an id.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: Request
    in_body: bool
    in_headers: bool
    conditions: Request
    base: str
    detail: Detail
    can_describe: bool
    prefix: str = ""
    wanted: Conditions = Conditions()
    key: str = ""
    digest: str = ""
    asked: str = ""


class Reply(Document, frozen=True, kw_only=True):
    """An answer. ``document`` None is an empty body; ``location`` goes to the Location header.

    ``made`` are the ids of what was made, by which the same can be answered again.
    """

    status: int = 200
    document: Document | None = None
    location: str = ""
    allow: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


Handler = Callable[[Scope, Call], Reply]


def answer(scope: Scope, call: Call) -> Reply:
    """Do what a request asks.

    What depends on the state of things, is answered once only, or may be made at a path, is done in one
    transaction.

    Raises:
        OcciError, BackendError, RenderingError: it is refused; nothing has changed.
    """
    if call.method in _CHANGING and (call.wanted or call.key or call.method == "PUT"):
        return scope.atomically(lambda inside: _answered(inside, call))
    return _answered(scope, call)


def _answered(scope: Scope, call: Call) -> Reply:
    paths = Paths(lambda: scope.engine.chosen_paths(scope.caller), base=call.base, prefix=call.prefix)
    call = _inside(paths, call)
    handlers = _handlers(scope, call)
    allowed = tuple(handlers)
    if call.method == "OPTIONS":
        return Reply(allow=(*allowed, "OPTIONS"))
    handler = handlers.get(call.method)
    if handler is None:
        raise OcciError(405, f"{call.method[:20]} is not possible here.", allow=(*allowed, "OPTIONS"))
    if call.path not in QUERY_PATHS:  # there clients describe categories of their own
        call = msgspec.structs.replace(call, body=scope.classified(call.body))
    made = _made_before(scope, call, handlers)
    if made:
        return _outside(paths, _again(scope, call, made))
    if call.method in _CHANGING and call.wanted:
        _check(scope, call, handlers["GET"], paths)
    reply = handler(scope, call)
    if made is not None and reply.made:
        scope.engine.execute(scope.caller, FillKey(key=call.key, made=reply.made))
    return _outside(paths, reply)


def _inside(paths: Paths, call: Call) -> Call:
    """A request with everything called what it is called inside."""
    asked = paths.without_prefix(call.path)
    return msgspec.structs.replace(
        call,
        asked=asked,
        path=paths.computed(asked),
        body=paths.request(call.body),
        conditions=paths.request(call.conditions),
    )


def _outside(paths: Paths, reply: Reply) -> Reply:
    """An answer with everything called what clients call it."""
    location = paths.uri(reply.location) if reply.location else ""
    return msgspec.structs.replace(reply, document=paths.document(reply.document), location=location)


def _check(scope: Scope, call: Call, read: Handler, paths: Paths) -> None:
    """Refuse a change unless its conditions hold (412), now and until it is committed.

    Conditions on what is not there are left to PUT, which may make it (RFC 9110, 13.2.1).
    """
    is_there = _held(scope, call)
    if is_there or call.method == "PUT":
        check(call.wanted, is_there, lambda: _current(scope, call, read, paths))


def _held(scope: Scope, call: Call) -> bool:
    """Whether there is anything at a path; from here on nobody else changes it."""
    scope.engine.execute(scope.caller, Hold())
    if not names.is_path(call.path):
        return True
    entity_id = _there(scope, call)
    if entity_id and entities.has_owner(entity_id):
        scope.engine.execute(scope.caller, Hold(resource_id=entity_id))
    return bool(entity_id)


def _current(scope: Scope, call: Call, read: Handler, paths: Paths) -> list[str]:
    """The entity tags of what a GET would answer, in all renderings."""
    found: list[str] = []
    for detail, among in _RENDERED.items():
        nothing = Request()
        asked = msgspec.structs.replace(
            call, method="GET", body=nothing, conditions=nothing, detail=detail, can_describe=True
        )
        found += tags(paths.document(read(scope, asked).document), among)
    return found


# Requests that are answered once -----------------------------------------------------------------------


def _made_before(scope: Scope, call: Call, handlers: Mapping[str, Handler]) -> tuple[str, ...] | None:
    """What a creation with the client's key has made; empty when it is to be made, None without a key.

    Whoever asks with the same key at the same time waits here.
    """
    if not call.key or not _makes(call, handlers):
        return None
    return scope.engine.execute(scope.caller, ClaimKey(key=call.key, digest=call.digest)) or ()


def _makes(call: Call, handlers: Mapping[str, Handler]) -> bool:
    """Whether a request may make something: entities, or templates."""
    if call.method == "PUT":
        return handlers is _ENTITY
    if call.method == "POST" and "action" in call.query:
        return call.query["action"] == kinds.SAVE.term
    return call.method == "POST" and (handlers is _KIND or handlers is _UNBOUND)


def _again(scope: Scope, call: Call, made: tuple[str, ...]) -> Reply:
    """The answer to a creation that was carried out before."""
    if "action" not in call.query:
        return _created(call, list(made))
    images = scope.engine.images_known(scope.caller, made)
    found = (template_of_image(scope.domain, images[each]) for each in made if each in images)
    return Reply(document=Discovery(categories=tuple(found)), made=made)


# Paths -------------------------------------------------------------------------------------------------


def _handlers(scope: Scope, call: Call) -> Mapping[str, Handler]:
    if call.path in QUERY_PATHS:
        return _QUERY
    if names.is_path(call.path):
        return _ENTITY
    category = _category(scope, call)
    if category is not None:
        return _KIND if category.class_ is CategoryClass.KIND else _MIXIN
    if call.path == "/" or scope.catalog.below(_closed(call.path)):
        return _UNBOUND
    if call.method == "PUT":
        raise OcciError(400, _CREATED_BY_POST)
    raise OcciError(404, f"There is nothing at {call.path[:200]}.")


def _closed(path: str) -> str:
    """A collection's path; clients leave the slash out (OCCI-AMB-23)."""
    return path if path.endswith("/") else f"{path}/"


def _category(scope: Scope, call: Call) -> Category | None:
    return scope.catalog.at(_closed(call.path))


def _bound(scope: Scope, call: Call) -> Category:
    category = _category(scope, call)
    assert category is not None
    return category


def _needs_description(call: Call) -> None:
    """A list of URIs can carry neither entities nor categories (OCCI-TEXT-018, OCCI-AMB-03)."""
    if not call.can_describe:
        raise OcciError(400, "text/uri-list is for listings of entities only.")


# Query interface ----------------------------------------------------------------------------------------


def _discover(scope: Scope, call: Call) -> Reply:
    """All categories, or only those that the filter names (OCCI-AMB-13)."""
    _needs_description(call)
    if not call.conditions.categories:
        return Reply(document=Discovery(categories=scope.catalog.categories))
    found = {}
    for given in call.conditions.categories:
        known = scope.catalog.find(given.id)
        if known is None:
            raise OcciError(400, f"The filter names {given.id[:200]}, which does not exist.")
        found[known.id] = known
    return Reply(document=Discovery(categories=tuple(found.values())))


def _add_mixins(scope: Scope, call: Call) -> Reply:
    tagging.add(scope, call.body)
    return Reply()


def _remove_mixins(scope: Scope, call: Call) -> Reply:
    tagging.remove(scope, call.body)
    return Reply()


# Entities -----------------------------------------------------------------------------------------------


def _shown(scope: Scope, entity_id: str) -> Reply:
    return Reply(document=entities.entity(scope, entity_id))


def _read(scope: Scope, call: Call) -> Reply:
    _needs_description(call)
    return _shown(scope, names.id_at(call.path))


def _there(scope: Scope, call: Call) -> str:
    """The id of the entity at a path, or nothing where the caller has none."""
    try:
        entity_id = names.id_at(call.path)
        entities.check(scope, [entity_id])
    except (OcciError, BackendError) as error:
        if failure(error).status != 404:
            raise
        return ""
    return entity_id


def _put(scope: Scope, call: Call) -> Reply:
    """Replace what is there, or make it where the caller has nothing (OCCI-HTTP-031, 032)."""
    _needs_description(call)
    entity_id = _there(scope, call)
    if not entity_id:
        return _make(scope, call)
    entities.replace(scope, entity_id, call.body)
    return _shown(scope, entity_id)


def _make(scope: Scope, call: Call) -> Reply:
    """Make an entity at the path of the client's choice; the path is its from then on."""
    at = check_name(call.asked)
    if call.body.members:
        raise OcciError(400, "One entity is made at a path.")
    kind = _kind_made(scope, call.body, at)
    [entity_id] = entities.create(scope, [(kind, call.body)])
    # What had the name is being ended by the engine; its owner sees it no more.
    ended = names.id_at(call.path) if call.path != call.asked else ""
    command = ChoosePath(path=call.asked, resource_id=entity_id, instead_of=ended)
    scope.engine.execute(scope.caller, command)
    return _created(call, [entity_id])


def _post_entity(scope: Scope, call: Call) -> Reply:
    _needs_description(call)
    entity_id = names.id_at(call.path)
    if "action" in call.query:
        made = _act(scope, call, [entity_id], _offered_by(names.kind_of(entity_id)))
        return _templates(made) if made is not None else _shown(scope, entity_id)
    if call.body.is_empty:
        raise OcciError(400, "Nothing is said that could be changed.")
    entities.update(scope, entity_id, call.body)
    return _shown(scope, entity_id)


def _delete_entity(scope: Scope, call: Call) -> Reply:
    entities.delete(scope, [names.id_at(call.path)])
    return Reply()


def _offered_by(*of: Category) -> list[Category]:
    """The actions that kinds define."""
    defined = {type_id for kind in of for type_id in kind.actions}
    return [action for action in kinds.ACTIONS if action.id in defined]


def _act(scope: Scope, call: Call, wanted: list[str], possible: list[Category]) -> Discovery | None:
    return entities.act(scope, wanted, _action(scope, call, possible), call.body)


def _templates(made: Discovery) -> Reply:
    """The OS templates that were made."""
    return Reply(document=made, made=tuple(category.term for category in made.categories))


def _action(scope: Scope, call: Call, possible: list[Category]) -> Category:
    """The action that both the query and the body name (OCCI-AMB-10).

    A body without category names none; then the query's is one of those possible.
    """
    term, body = call.query["action"], call.body
    given = [scope.known(category) for category in body.categories]
    if any(category.class_ is not CategoryClass.ACTION for category in given) or len(given) > 1:
        raise OcciError(400, "An action is invoked by exactly one category, the action.")
    if body.links or body.locations or body.members:
        raise OcciError(400, "An action takes attributes only.")
    if given and given[0].term != term:
        raise OcciError(400, f"The query asks for {term[:80]}, the body for {given[0].term}.")
    found = given or [each for each in possible if each.term == term]
    if not found:
        raise OcciError(404, f"There is no action {term[:80]}.")
    if len(found) > 1:
        raise OcciError(409, f"There are several actions {term[:80]}: name the category.")
    return found[0]


# Creation -----------------------------------------------------------------------------------------------


def _create(scope: Scope, call: Call, category: Category) -> Reply:
    """Create the entity of the body, or (JSON) all its members; each of a kind that belongs here."""
    requests = call.body.members or (call.body,)
    if call.body.members and (call.body.categories or call.body.attributes):
        raise OcciError(400, "Either one entity is described, or a collection of them.")
    kinds_of = [(_kind_made(scope, request, category), request) for request in requests]
    return _created(call, batches.create(scope, kinds_of))


def _kind_made(scope: Scope, request: Request, category: Category) -> Category:
    kind = scope.kind_of(request)
    if kind is None:
        raise OcciError(400, "A request names exactly one kind.")
    if category.id not in scope.catalog.ancestry(kind):
        raise OcciError(400, f"An entity of the kind {kind.id} is not made here.")
    return kind


def _created(call: Call, made: list[str]) -> Reply:
    """201 and where it is; one Location at most, as curl refuses several (OCCI-AMB-06, OCCI-REAL-20)."""
    is_chosen = call.method == "PUT"
    locations = (call.asked,) if is_chosen else tuple(map(names.path_of, made))
    return Reply(
        status=201,
        document=Created(locations=locations),
        location=locations[0] if len(locations) == 1 else "",
        made=tuple(made),
    )


# Collections --------------------------------------------------------------------------------------------


def _collection(scope: Scope, call: Call, wanted: list[str]) -> Reply:
    if call.detail is Detail.LOCATIONS:
        return Reply(document=Collection(locations=tuple(map(names.path_of, wanted))))
    found = entities.entities(scope, wanted)
    return Reply(
        document=Collection(
            resources=tuple(each for each in found if isinstance(each, Entity)),
            links=tuple(each for each in found if isinstance(each, Link)),
        )
    )


def _members(scope: Scope, call: Call, conditions: Request) -> list[str]:
    """What a collection or a path stands for, after a filter."""
    category = _category(scope, call)
    found = (
        listing.members(scope, category) if category is not None else listing.below(scope, _closed(call.path))
    )
    return listing.filtered(scope, found, conditions)


def _list(scope: Scope, call: Call) -> Reply:
    return _collection(scope, call, listing.paged(_members(scope, call, call.conditions), call.query))


def _said_once(call: Call) -> None:
    """Refuse what would end more than its client means: only half of it would be read, or nothing of it."""
    if call.in_body and call.in_headers:
        raise OcciError(400, "Either the body says what is meant, or the headers do.")
    if call.method == "DELETE" and call.in_body and call.body.is_empty:
        raise OcciError(400, "The body says nothing; without one, everything is meant.")


def _delete_members(scope: Scope, call: Call) -> Reply:
    """Delete all members, or those that a filter leaves; a list of them is no filter.

    What every tenant has from its beginning is deleted by its own path only.
    """
    _said_once(call)
    if call.body.locations or call.body.members or call.body.links:
        raise OcciError(400, "Entities are deleted one by one, or by categories and attributes.")
    entities.delete(scope, entities.own(scope, _members(scope, call, call.body)))
    return Reply()


def _post_kind(scope: Scope, call: Call) -> Reply:
    category = _bound(scope, call)
    if "action" in call.query:
        return _act_on_all(scope, call, category)
    return _create(scope, call, category)


def _act_on_all(scope: Scope, call: Call, category: Category) -> Reply:
    """An action on all members, if they are of the kind that defines it (OCCI-CORE-022)."""
    can_be = list({kind.id: kind for kind in names.KINDS.values()}.values())
    if category.class_ is CategoryClass.KIND:
        collected = entities.collected(scope, category)
        can_be = [kind for kind in can_be if kind.id in collected]
    possible = _offered_by(*can_be)
    if not possible:
        raise OcciError(400, f"The kind {category.id} has no actions.")
    wanted = listing.members(scope, category)
    made = _act(scope, call, wanted, possible)
    return _templates(made) if made is not None else _collection(scope, call, wanted)


def _post_unbound(scope: Scope, call: Call) -> Reply:
    """Create by the kind in the body (OCCI-AMB-24)."""
    if call.path != "/" or "action" in call.query:
        raise OcciError(400, "This path is bound to no kind or mixin.")
    return _create(scope, call, kinds.ENTITY)


def _post_mixin(scope: Scope, call: Call) -> Reply:
    """An action on all members, or association of the entities listed."""
    category = _bound(scope, call)
    if "action" in call.query:
        return _act_on_all(scope, call, category)
    wanted = listing.named(call.body, category)
    if not wanted:
        raise OcciError(400, "Expected the locations of entities.")
    catalog = scope.catalog
    if category.id in catalog.tags:
        entities.check(scope, wanted)
        command = Associate(scheme=category.scheme, term=category.term, add=tuple(wanted))
        scope.engine.execute(scope.caller, command)
    elif category.id in catalog.flavors:
        compute.resize(scope, wanted, catalog.flavors[category.id])
    elif category.id in catalog.images:
        raise OcciError(501, "The OS template of a machine cannot be replaced.")
    else:
        raise OcciError(400, f"The mixin {category.id} is associated at creation only.")
    return _collection(scope, call, listing.members(scope, category))


def _own_tag(scope: Scope, call: Call) -> Category:
    category = _bound(scope, call)
    if category.id not in scope.catalog.tags:
        raise OcciError(403, f"Every entity keeps what it has of {category.id}.")
    return category


def _listed(call: Call, category: Category) -> list[str]:
    """The entities of a list; 400 for a filter, which would read as an empty list."""
    wanted = listing.named(call.body, category)
    if not wanted and not call.body.is_empty:
        raise OcciError(400, "Expected the locations of entities.")
    return wanted


def _put_mixin(scope: Scope, call: Call) -> Reply:
    category = _own_tag(scope, call)
    _said_once(call)
    if not call.in_body and not call.in_headers:
        raise OcciError(400, "Expected the locations of entities; a list may be empty, but must be there.")
    wanted = _listed(call, category)
    entities.check(scope, wanted)
    command = Associate(scheme=category.scheme, term=category.term, add=tuple(wanted), replace=True)
    scope.engine.execute(scope.caller, command)
    return _collection(scope, call, wanted)


def _delete_from_mixin(scope: Scope, call: Call) -> Reply:
    """Dissociate the entities listed, or all; they live on (OCCI-HTTP-053)."""
    category = _own_tag(scope, call)
    _said_once(call)
    wanted = _listed(call, category)
    entities.check(scope, wanted)
    command = (
        Associate(scheme=category.scheme, term=category.term, remove=tuple(wanted))
        if wanted
        else Associate(scheme=category.scheme, term=category.term, replace=True)
    )
    scope.engine.execute(scope.caller, command)
    return Reply()


_CHANGING = frozenset({"POST", "PUT", "DELETE"})
#: The renderings that a collection has, by how much of it they show.
_RENDERED: Mapping[Detail, tuple[Media, ...]] = {
    Detail.LOCATIONS: tuple(media for media in Media if media is not Media.JSON),
    Detail.FULL: (Media.JSON,),
}
_QUERY: Mapping[str, Handler] = {
    "GET": _discover,
    "HEAD": _discover,
    "POST": _add_mixins,
    "DELETE": _remove_mixins,
}
_ENTITY: Mapping[str, Handler] = {
    "GET": _read,
    "HEAD": _read,
    "PUT": _put,
    "POST": _post_entity,
    "DELETE": _delete_entity,
}
_KIND: Mapping[str, Handler] = {
    "GET": _list,
    "HEAD": _list,
    "POST": _post_kind,
    "DELETE": _delete_members,
}
_MIXIN: Mapping[str, Handler] = {
    "GET": _list,
    "HEAD": _list,
    "POST": _post_mixin,
    "PUT": _put_mixin,
    "DELETE": _delete_from_mixin,
}
_UNBOUND: Mapping[str, Handler] = {
    "GET": _list,
    "HEAD": _list,
    "POST": _post_unbound,
    "DELETE": _delete_members,
}
