"""What several checks do: throw-away entities, and looking whether a request changed anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from conformance.checks import Absent, Failed, Unknown, Value, expect
from conformance.occi import codec
from conformance.occi.cast import dressed
from conformance.occi.documents import HEADERS, NETWORKINTERFACE, PLAIN, STORAGELINK, Category, Entity, Wanted
from conformance.occi.session import QUERY, TAGS, OcciSession
from conformance.wire import Answer

T = TypeVar("T")
_THING = "an entity"
ID, TITLE, SUMMARY = "occi.core.id", "occi.core.title", "occi.core.summary"
SOURCE, TARGET = "occi.core.source", "occi.core.target"
IPRESERVATION = "http://schemas.ogf.org/occi/infrastructure#ipreservation"

#: What an action leads to, as the diagrams have it; those that leave things behind are not here.
EFFECTS: Mapping[str, str] = {
    "offline": "offline",
    "down": "inactive",
    "online": "online",
    "up": "active",
    "stop": "inactive",
    "start": "active",
    "suspend": "suspended",
}


def fresh(session: OcciSession, **attributes: Any) -> str:
    """The path of an entity of the check's own that costs little and is made as far as it goes."""
    return session.ready(session.create(wanted(session, **attributes)))


def wanted(session: OcciSession, **attributes: Any) -> Wanted:
    """What to say to make one; names of attributes are given without ``occi.core.``."""
    cheap = session.cheap()
    named = {f"occi.core.{name}": value for name, value in attributes.items()}
    return replaced(cheap, attributes={**cheap.attributes, **named})


def replaced(given: Wanted, **parts: Any) -> Wanted:
    """The same with other parts."""
    return Wanted(**{**{name: getattr(given, name) for name in given.__struct_fields__}, **parts})


def thing(session: OcciSession) -> str:
    """The path of an entity that costs little, for checks that look at it and try what must be refused."""
    return session.shared(_THING, lambda: session.ready(session.create(session.cheap(), shared=True)))


def kind_of(session: OcciSession) -> str:
    """The kind of such entities."""
    return session.cheap().kind


def shown(entity: Entity) -> Mapping[str, Any]:
    """What an entity shows, but for what changes by itself: its state, and the actions that apply to it."""
    return {
        "kind": entity.kind,
        "mixins": sorted(entity.mixins),
        "links": sorted(each.self_ or each.target for each in entity.links),
        **{name: each for name, each in entity.attributes.items() if ".state" not in name},
    }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Which parts of what is shown differ, and how; empty when none."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name} was {before.get(name)!r} and is {after.get(name)!r}" for name in names)[:400]


@contextmanager
def unspoilt(session: OcciSession) -> Iterator[None]:
    """Have :func:`thing` made anew when a check fails inside the block: what failed may have changed it."""
    try:
        yield
    except Exception:
        session.forget(_THING)
        raise


@contextmanager
def unchanged(session: OcciSession, path: str) -> Iterator[None]:
    """Fail when what is done inside the block changes an entity."""
    before = shown(session.read(path))
    with unspoilt(session):
        yield
        changed = difference(before, shown(session.read(path)))
        expect(not changed, f"what was refused changed {path}: {changed}")


@contextmanager
def untouched(session: OcciSession, path: str) -> Iterator[None]:
    """Fail when what is done inside the block changes an entity, its state or the actions that apply."""
    before = session.read(path)
    with unspoilt(session):
        yield
        after = session.read(path)
        changed = difference(shown(before), shown(after))
        expect(not changed, f"what was refused changed {path}: {changed}")
        expect(
            state_of(before) == state_of(after) and set(before.actions) == set(after.actions),
            f"what was refused was done: {path} was {state_of(before)} and is {state_of(after)}",
        )


@contextmanager
def nothing_made(session: OcciSession, kind: str, title: str) -> Iterator[None]:
    """Fail when an entity of a kind and a title is made inside the block; it is deleted then."""
    where = session.location(kind)
    before = set(session.listed(where))
    yield
    for path in set(session.listed(where)) - before:
        answer = session.send("GET", path)
        if answer.status == 200 and codec.entity(answer).attributes.get(TITLE) == title:
            session.afterwards(lambda path=path: session.delete(path))  # type: ignore[misc]
            expect(False, f"what was refused made {path}")


def settled(session: OcciSession, path: str) -> Entity:
    """An entity once it offers actions; Absent when its kind has none."""
    kind = session.category(session.read(path).kind)
    if not kind.actions:
        raise Absent(f"{kind.id} has no actions")

    def probe() -> Entity | None:
        found = session.read(path)
        return found if found.actions else None

    return session.until(f"an action of {path} that applies", probe)


def usable_action(session: OcciSession, path: str) -> str:
    """An action that applies to an entity now and can be undone, by its identifier."""
    offered = settled(session, path).actions
    for term in EFFECTS:
        for each in offered:
            if each.rpartition("#")[2] == term:
                return each
    raise Absent(f"of the actions {', '.join(offered)} none can be tried without leaving something")


def state_of(entity: Entity) -> Any:
    """The state of an entity; None when it shows none."""
    return next((value for name, value in entity.attributes.items() if name.endswith(".state")), None)


def effect(session: OcciSession, path: str, action: str) -> None:
    """Wait until an entity is in the state that an action leads to."""
    want = EFFECTS[action.rpartition("#")[2]]
    promised(session, f"{want} of {path}", lambda: state_of(session.read(path)) == want or None)


def promised(session: OcciSession, what: str, probe: Callable[[], T | None]) -> T:
    """What comes about after the endpoint said that it would; the check fails when it never does."""
    try:
        return session.until(what, probe)
    except Unknown as finding:
        raise Failed(f"success was answered, and {finding}") from finding


def gone(session: OcciSession, path: str, media: str = PLAIN) -> Answer:
    """The answer to GET of what was deleted, 404 or 410; the check fails when it stays."""

    def answered() -> Answer | None:
        answer = session.send("GET", path, media=media)
        return answer if answer.status != 200 else None

    answer = promised(session, f"the end of {path}", answered)
    return session.refused(answer, f"GET of {path}, which was deleted", 404, 410)


class Linked(Value, frozen=True, kw_only=True):
    """A link, where it begins and where it leads, as paths."""

    path: str
    source: str
    target: str


def linked(session: OcciSession) -> Linked:
    """A machine and what it was made with, for checks that look at them; Absent without such links."""
    whole = dressed(session)
    kind, target = (STORAGELINK, whole.disk) if whole.disk else (NETWORKINTERFACE, whole.network)
    return Linked(path=whole.link(session, kind), source=whole.path, target=target)


def new_tag(session: OcciSession, **parts: str) -> Category:
    """A mixin that is not there yet."""
    term = session.name("tag")
    given = {"scheme": TAGS, "term": term, "location": f"/{term}/", **parts}
    return Category(class_="mixin", **given)  # type: ignore[arg-type]


def add_tags(session: OcciSession, *tags: Category, at: str = QUERY, media: str = PLAIN) -> None:
    """Add mixins, to be removed after the check; Absent when clients may make none."""
    answer = session.send("POST", at, Wanted(described=tags), media=media)
    for each in tags:
        session.afterwards(lambda each=each: session.untag(each))  # type: ignore[misc]
    if answer.status in {403, 405, 501}:
        raise Absent(f"clients cannot make mixins here: {answer}")
    session.ok(answer, "adding a mixin", 200)


def known(session: OcciSession, media: str = PLAIN) -> dict[str, Category]:
    """The categories that there are now."""
    return {each.id: each for each in session.discovered(media)}


def malformed(answer: Answer, what: str, *others: int) -> None:
    """Fail unless a malformed request was answered with 400, or with one of the other statuses given."""
    wanted = (400, *others)
    expect(
        answer.status in wanted,
        f"{what}: expected {' or '.join(map(str, wanted))}, got {answer}: {answer.text[:200]!r}",
    )


def told(answer: Answer) -> list[str]:
    """The locations in the body of an answer to a change; some servers say OK instead, or nothing."""
    if answer.media not in {PLAIN, HEADERS} or (answer.media == PLAIN and answer.text.strip() in {"", "OK"}):
        return []
    return codec.locations(answer)


def is_old(session: OcciSession) -> bool:
    """Whether the endpoint claims 1.1, or nothing."""
    return "1.1" in session.versions or not session.versions


def raw(
    session: OcciSession, path: str, body: str | bytes, *, method: str = "POST", media: str = PLAIN
) -> Answer:
    """The answer to a body that is sent as it is."""
    data = body.encode() if isinstance(body, str) else body
    return session.send(method, path, media=media, headers={"Content-Type": media}, body=data)
