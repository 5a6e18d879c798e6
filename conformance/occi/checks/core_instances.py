"""Checks of the core model's instances: attributes, identity, kinds, creation, authorization."""

from __future__ import annotations

import re
from collections.abc import Callable

from conformance.checks import Absent, Level, expect
from conformance.occi import grammar
from conformance.occi.aids import (
    ID,
    SUMMARY,
    TITLE,
    difference,
    fresh,
    nothing_made,
    shown,
    unchanged,
    wanted,
)
from conformance.occi.cast import accepted, dressed, example, refusal
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    NETWORK,
    PLAIN,
    STORAGE,
    Category,
    Entity,
    Wanted,
)
from conformance.occi.session import OcciSession, is_uuid
from conformance.occi.suite import SUITE
from conformance.occi.tables import ENTITY, KINDS, STANDARD_NAMES

_RESOURCES = ("compute", "storage", "network")
_ALL = {each.id.rpartition("#")[2]: each.id for each in KINDS}
_REFERENCE = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_PLACES = frozenset({"occi.core.source", "occi.core.target"})


def _kind(session: OcciSession, term: str) -> str:
    return session.category(_ALL[term]).id


@SUITE.check("OCCI-CORE-007", changes=True, cases=DESCRIBING)
def titles_are_given_and_changed(session: OcciSession, media: str) -> None:
    """Title and summary are given at creation, shown, and changed later."""
    first, second = session.name("first"), session.name("second")
    path = session.create(wanted(session, title=first, summary="before, and after"), media=media)
    found = session.read(path, media)
    told = {name: found.attributes.get(name) for name in (TITLE, SUMMARY)}
    expect(told == {TITLE: first, SUMMARY: "before, and after"}, f"given at creation, it shows {told}")
    answer = session.update(path, found.kind, media, attributes={TITLE: second})
    session.ok(answer, "updating the title", 200, 201)
    told = {name: session.read(path).attributes.get(name) for name in (TITLE, SUMMARY)}
    expect(told == {TITLE: second, SUMMARY: "before, and after"}, f"after an update of the title: {told}")


@SUITE.check("OCCI-CORE-007", changes=True, cases=tuple(_ALL))
def immutable_attributes_stay(session: OcciSession, term: str) -> None:
    """An update of an attribute that is declared immutable is refused, and does not change it."""
    kind = session.category(_ALL[term])
    path = example(session, kind.id)
    before = session.read(path)
    for name in (each.name for each in kind.attributes if not each.mutable and each.name != ID):
        value = before.attributes.get(name)
        if isinstance(value, str):
            other = f"{value}x" if "state" not in name else "inactive" if value == "active" else "active"
            answer = session.update(path, kind.id, attributes={name: other})
            expect(refusal(answer), f"another {name}, which is immutable: expected a refusal, got {answer}")
            now = session.read(path).attributes.get(name)
            expect(
                now == value or ".state.message" in name,
                f"{name} was {value!r} and is {now!r} after an update by a client",
            )


@SUITE.check("OCCI-CORE-007", changes=True)
def ids_are_the_servers(session: OcciSession) -> None:
    """An id that a client invents does not name an entity that exists, nor change one."""
    path = fresh(session)
    other = fresh(session)
    taken = session.read(other).attributes.get(ID)
    found = session.read(path)
    session.update(path, found.kind, attributes={ID: taken})
    expect(session.read(path).attributes.get(ID) == found.attributes.get(ID), "an update changed the id")
    expect(session.read(other).attributes.get(ID) == taken, "an update of one changed the id of another")


@SUITE.check("OCCI-CORE-008", changes=True, cases=DESCRIBING)
def required_attributes_are_needed(session: OcciSession, media: str) -> None:
    """Storage without its size is refused, and not made, when the size is declared required."""
    size = session.category(STORAGE).properties.get("occi.storage.size")
    if size is None or not size.required:
        raise Absent("the size of storage is not declared required")
    title = session.name("storage")
    with nothing_made(session, STORAGE, title):
        lacking = Wanted(kind=STORAGE, attributes={TITLE: title})
        answer = session.send("POST", session.location(STORAGE), lacking, media=media)
        expect(refusal(answer), f"storage without a size: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-009", changes=True)
def defaults_of_mixins_apply(session: OcciSession) -> None:
    """What the client did not give has the default that the instance's mixins declare."""
    given = dressed(session)
    found = session.read(given.path)
    defaults = {
        each.name: each.default
        for mixin in found.mixins
        for each in session.detailed().get(mixin, Category(scheme="", term="")).attributes
        if each.default is not None and each.name not in given.wanted.attributes
    }
    if not defaults:
        raise Absent("no mixin of the machine declares a default")
    told = {name: found.attributes.get(name) for name in defaults}
    expect(told == defaults, f"the defaults are {defaults}, the machine shows {told}")


@SUITE.check("OCCI-CORE-013", "OCCI-INFRA-002", changes=True, cases=_RESOURCES)
def kinds_are_for_life(session: OcciSession, term: str) -> None:
    """An update that names another kind changes nothing."""
    kind = _kind(session, term)
    other = STORAGE if kind != STORAGE else NETWORK
    session.category(other)
    path = example(session, kind)
    with unchanged(session, path):
        answer = session.update(path, other, attributes={SUMMARY: "another kind"})
        expect(refusal(answer), f"updating a {term} as if it were another kind: got {answer}")
    expect(session.read(path).kind == kind, f"the {term} has become another kind")


@SUITE.check("OCCI-CORE-023", changes=True, cases=DESCRIBING)
def creation_names_one_kind(session: OcciSession, media: str) -> None:
    """A creation that names no kind is refused."""
    cheap = wanted(session)
    title = str(cheap.attributes[TITLE])
    with nothing_made(session, cheap.kind, title):
        nameless = Wanted(attributes=cheap.attributes)
        answer = session.send("POST", session.location(cheap.kind), nameless, media=media)
        expect(refusal(answer), f"creation without a kind: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-023", changes=True)
def creation_names_no_second_kind(session: OcciSession) -> None:
    """A creation that names two kinds is refused."""
    cheap = wanted(session)
    title = str(cheap.attributes[TITLE])
    others = [each for each in (COMPUTE, NETWORK, STORAGE) if each in session.model() and each != cheap.kind]
    if not others:
        raise Absent("there is one kind only")
    lines = (
        *(f"Category: {grammar.named(kind, 'kind')}" for kind in (cheap.kind, others[0])),
        *(f"X-OCCI-Attribute: {name}={grammar.literal(value)}" for name, value in cheap.attributes.items()),
    )
    with nothing_made(session, cheap.kind, title):
        two = "\n".join(lines)
        where = session.location(cheap.kind)
        answer = session.send("POST", where, headers={"Content-Type": PLAIN}, body=two.encode())
        expect(refusal(answer), f"creation with two kinds: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-023", changes=True)
def creation_names_what_there_is(session: OcciSession) -> None:
    """A creation with a mixin that nobody knows is refused."""
    cheap = wanted(session)
    unknown = Wanted(
        kind=cheap.kind,
        mixins=("http://conformance.example.org/nothing#unknown",),
        attributes=cheap.attributes,
    )
    with nothing_made(session, cheap.kind, str(cheap.attributes[TITLE])):
        answer = session.send("POST", session.location(cheap.kind), unknown)
        expect(refusal(answer), f"creation with an unknown mixin: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-031", changes=True)
def entity_has_no_instances(session: OcciSession) -> None:
    """A creation of core#entity is refused."""
    cheap = session.cheap()
    where = session.location(cheap.kind)
    answer = session.send("POST", where, Wanted(kind=ENTITY, attributes={TITLE: session.name()}))
    if accepted(answer):
        session.made(answer)
    expect(refusal(answer), f"creation of an entity without a type: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-025", changes=True)
def entities_are_in_the_collection_of_their_kind(session: OcciSession) -> None:
    """A new entity is in its kind's collection, and when deleted it is not."""
    path = fresh(session)
    where = session.location(session.cheap().kind)
    expect(path in session.listed(where), f"{path} is not in {where}")
    session.deleted(path)
    expect(path not in session.listed(where), f"{path} is deleted and still in {where}")


@SUITE.check("OCCI-CORE-026", changes=True)
def collections_are_read_by_subset(session: OcciSession) -> None:
    """One of two entities is read alone by a filter, or each by a page of its own."""
    title = session.name("subset")
    wanted_one, other = fresh(session, title=title), fresh(session)
    where = session.location(session.cheap().kind)
    headers = {"X-OCCI-Attribute": f'{TITLE}="{title}"', "Content-Type": "text/occi"}
    filtered = session.listed(where, **headers)
    if filtered == [wanted_one]:
        return
    page = session.listed(f"{where}?page=1&number=1")
    expect(
        len(page) == 1,
        f"neither a filter nor a page gives a part of {where}: {len(filtered)} and {len(page)} members came",
    )
    expect(other in session.listed(where), f"{other} is not in the whole collection")


def _exposes(session: OcciSession, found: Entity) -> None:
    """Fail when an entity shows an attribute or action that none of its types declares."""
    model, types, pending = session.model(), [], [found.kind, *found.mixins]
    while pending:
        category = model.get(pending.pop())
        if category is not None:
            types.append(category)
            pending += [*category.rel, *session.depends(category.id)]
    known = {name for each in types for name in each.properties}
    known |= {name for name in STANDARD_NAMES if name.startswith("occi.core.")}
    strange = sorted(set(found.attributes) - known)
    expect(not strange, f"{found.kind} shows {', '.join(strange)}, which neither kind nor mixins declare")
    actions = {action for each in types for action in each.actions}
    expect(
        set(found.actions) <= actions, f"{sorted(set(found.actions) - actions)} belong to none of its types"
    )


@SUITE.check("OCCI-CORE-018", "OCCI-CORE-032", changes=True, cases=tuple(_ALL))
def instances_show_what_their_types_declare(session: OcciSession, term: str) -> None:
    """All attributes and actions that an instance shows are those of its kind and mixins."""
    kind = _kind(session, term)
    found = session.read(example(session, kind))
    expect(found.kind == kind, f"an instance of {kind} says that it is of {found.kind}")
    missing = [each for each in found.mixins if each not in session.model()]
    if not missing:
        _exposes(session, found)


@SUITE.check("OCCI-CORE-002", "OCCI-CORE-032", changes=True, cases=tuple(_ALL))
def renderings_show_the_same_instance(session: OcciSession, term: str) -> None:
    """All renderings show the same kind, mixins, attributes, links and actions of an instance."""
    path = example(session, _kind(session, term))
    plain = _comparable(session, session.read(path))
    for media in session.describing()[1:]:
        answer = session.send("GET", path, media=media)
        if answer.status != 406:
            differs = difference(plain, _comparable(session, session.read(path, media)))
            expect(not differs, f"{media} and {PLAIN} differ: {differs}")


def _comparable(session: OcciSession, found: Entity) -> dict[str, object]:
    told = {
        name: session.path(value) if name in _PLACES and isinstance(value, str) else value
        for name, value in shown(found).items()
        if name != "links" and not name.endswith(".kind")
    }
    return {
        **told,
        "links": sorted((session.path(each.target), *each.categories[:1]) for each in found.links),
        "actions": sorted(found.actions),
    }


@SUITE.check("OCCI-CORE-030", changes=True, cases=tuple(_ALL))
def ids_are_uris(session: OcciSession, term: str) -> None:
    """Each instance has an id that can stand as a URI."""
    found = session.read(example(session, _kind(session, term)))
    told = found.attributes.get(ID)
    expect(isinstance(told, str) and _REFERENCE.fullmatch(told), f"the id is {told!r}, which is no URI")


@SUITE.check("OCCI-CORE-030", changes=True)
def ids_are_unique(session: OcciSession) -> None:
    """No two entities have the same id."""
    paths = [fresh(session), fresh(session), *(_path(session, term) for term in _ALL)]
    ids = [session.read(path).attributes.get(ID) for path in dict.fromkeys(filter(None, paths))]
    expect(len(set(ids)) == len(ids), f"these ids are not unique: {sorted(map(str, ids))}")


def _path(session: OcciSession, term: str) -> str:
    try:
        return example(session, _kind(session, term))
    except Absent:
        return ""


@SUITE.check("OCCI-CORE-030", level=Level.SHOULD, changes=True)
def ids_are_global(session: OcciSession) -> None:
    """An id is globally unique: a UUID or a URN."""
    told = str(session.read(fresh(session)).attributes.get(ID))
    expect(is_uuid(told) or ":" in told, f"the id is {told!r}, neither a UUID nor a URN")


@SUITE.check("OCCI-CORE-037", changes=True)
def nobody_sees_nothing(session: OcciSession) -> None:
    """Without credentials an entity is neither shown, nor changed, nor deleted."""
    if not session.authorized:
        raise Absent("the endpoint is judged without credentials")
    path = fresh(session)
    kind = session.cheap().kind
    attempts: dict[str, Callable[[], int]] = {
        "GET": lambda: session.send("GET", path, anonymous=True).status,
        "POST": lambda: (
            session.send("POST", path, Wanted(kind=kind, attributes={TITLE: "taken"}), anonymous=True).status
        ),
        "DELETE": lambda: session.send("DELETE", path, anonymous=True).status,
    }
    with unchanged(session, path):
        for method, attempt in attempts.items():
            status = attempt()
            expect(status in {401, 403, 404}, f"{method} without credentials: got {status}")
