"""Checks of actions over HTTP: on an entity, on a kind's and a mixin's collection (HTTP 10.3.2, 11.3.3)."""

from __future__ import annotations

import json

from conformance.checks import Absent, Unknown, expect
from conformance.occi import grammar
from conformance.occi.aids import (
    EFFECTS,
    IPRESERVATION,
    TITLE,
    effect,
    fresh,
    raw,
    settled,
    state_of,
    thing,
    untouched,
    usable_action,
)
from conformance.occi.documents import DESCRIBING, HEADERS, JSON, NETWORK, STORAGE, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import SCHEMAS

#: What can be made with a title alone, or a size, and has actions.
_MAKABLE = {
    STORAGE: {"occi.storage.size": 1.0},
    NETWORK: {},
    IPRESERVATION: {},
}


def invocation(action: str) -> str:
    """The text of an invocation."""
    return f"Category: {grammar.named(action, 'action')}"


def another(session: OcciSession, action: str) -> str:
    """An action of the same kind as another; Absent without."""
    for each in session.model().values():
        others = [one for one in each.actions if one != action]
        if action in each.actions and others:
            return others[0]
    raise Absent(f"{action} is the only one of its kind")


@SUITE.check("OCCI-HTTP-036", "OCCI-TEXT-007", "OCCI-AMB-11", changes=True, cases=DESCRIBING)
def an_action_is_carried_out(session: OcciSession, media: str) -> None:
    """POST with ?action=TERM and the action answers 200 (or 204), and has its effect."""
    path = fresh(session)
    action = usable_action(session, path)
    before = session.read(path)
    answer = session.act(path, action, media)
    session.ok(answer, f"the action {action}", 200, 204)
    effect(session, path, action)
    after = session.read(path)
    expect(after.attributes.get(TITLE) == before.attributes.get(TITLE), "the action changed the title")
    session.note(f"an action succeeds with {answer.status}")


@SUITE.check("OCCI-HTTP-036", "OCCI-INFRA-004", changes=True)
def there_and_back(session: OcciSession) -> None:
    """After an action the one that undoes it is offered, and undoes it."""
    path = fresh(session)
    first = usable_action(session, path)
    was = state_of(session.read(path))
    session.ok(session.act(path, first), f"the action {first}", 200, 204)
    effect(session, path, first)

    def back() -> str | None:
        terms = {each: EFFECTS.get(each.rpartition("#")[2]) for each in session.read(path).actions}
        return next((each for each, state in terms.items() if state == was), None)

    second = session.until(f"an action that leads back to {was}", back)
    session.ok(session.act(path, second), f"the action {second}", 200, 204)
    effect(session, path, second)


@SUITE.check("OCCI-AMB-10", "OCCI-HTTP-036", changes=True, cases=DESCRIBING)
def two_actions_that_differ(session: OcciSession, media: str) -> None:
    """When ?action= and the body name different actions the answer is 400 and neither is carried out."""
    path = fresh(session)
    action = usable_action(session, path)
    other = another(session, action)
    with untouched(session, path):
        for query, said in ((other, action), (action, other)):
            answer = session.send(
                "POST", f"{path}?action={query.rpartition('#')[2]}", Wanted(action=said), media=media
            )
            session.refused(answer, "two actions that differ", 400, 409)


@SUITE.check("OCCI-HTTP-036", "OCCI-HTTP-STATUS-404", "OCCI-HTTP-STATUS-400", changes=True, cases=DESCRIBING)
def actions_that_there_are_not(session: OcciSession, media: str) -> None:
    """An action that there is not, or that is another kind's, is refused and changes nothing."""
    path = fresh(session)
    own = session.read(path).kind
    foreign = [
        action
        for each in session.model().values()
        if each.class_ == "kind" and each.id != own
        for action in each.actions
        if action not in session.category(own).actions
    ]
    said = ["http://example.org/nothing#known", f"{SCHEMAS}infrastructure/nothing#known", *foreign[:1]]
    with untouched(session, path):
        for action in said:
            answer = session.act(path, action, media)
            session.refused(answer, f"the action {action}", 400, 403, 404, 409, 501)


@SUITE.check("OCCI-HTTP-036", "OCCI-HTTP-STATUS-400", changes=True)
def an_action_of_another_scheme(session: OcciSession) -> None:
    """An action of the right term and another scheme is refused and not carried out."""
    path = fresh(session)
    term = usable_action(session, path).rpartition("#")[2]
    with untouched(session, path):
        answer = session.act(path, f"http://example.org/nothing#{term}")
        session.refused(answer, f"{term} of another scheme", 400, 403, 404)


@SUITE.check("OCCI-AMB-12", "OCCI-HTTP-036", "OCCI-HTTP-STATUS-409", changes=True)
def idle_actions_are_refused(session: OcciSession) -> None:
    """An action that is not offered now is refused with 409 (or 400, 1.1), or has no effect."""
    path = fresh(session)
    entity = settled(session, path)
    idle = [
        each
        for each in session.category(entity.kind).actions
        if each not in entity.actions and EFFECTS.get(each.rpartition("#")[2])
    ]
    if not idle:
        raise Absent("every action is offered")
    with untouched(session, path):
        answer = session.act(path, idle[0])
        session.ok(answer, f"the action {idle[0]}, which is not offered", 409, 400, 403, 200, 204)
    session.note(f"an action that does not apply: {answer.status}")
    if answer.status in {200, 204}:
        raise Absent("an action that is not offered is taken for done")


@SUITE.check("OCCI-HTTP-036", changes=True)
def reading_does_not_act(session: OcciSession) -> None:
    """GET with ?action= reads, or is refused; it does not act."""
    path = fresh(session)
    term = usable_action(session, path).rpartition("#")[2]
    with untouched(session, path):
        answer = session.send("GET", f"{path}?action={term}")
        session.ok(answer, "GET with ?action=", 200, 400, 404, 405)


@SUITE.check("OCCI-HTTP-036", changes=True)
def an_action_needs_its_query(session: OcciSession) -> None:
    """An action in the body without ?action= is refused, and not carried out."""
    path = fresh(session)
    action = usable_action(session, path)
    with untouched(session, path):
        session.refused(raw(session, path, invocation(action)), "an action without ?action=", 400, 404)
        body = json.dumps({"action": action})
        answer = raw(session, path, body, media=JSON)
        session.refused(answer, "an action in JSON without ?action=", 400, 404, 406)


@SUITE.check("OCCI-HTTP-036", "OCCI-HTTP-STATUS-400", changes=True)
def an_action_and_more(session: OcciSession) -> None:
    """An invocation with a kind or a link beside the action is refused, and not carried out."""
    path = fresh(session)
    action = usable_action(session, path)
    kind = session.read(path).kind
    where = f"{path}?action={action.rpartition('#')[2]}"
    more = (f"Category: {grammar.named(kind, 'kind')}", f'Link: <{path}>; rel="{kind}"')
    with untouched(session, path):
        for line in more:
            answer = raw(session, where, f"{invocation(action)}\n{line}")
            session.refused(answer, f"an action with {line.partition(':')[0]} beside it", 400, 403)


@SUITE.check("OCCI-HTTP-036", "OCCI-HTTP-STATUS-404", changes=True)
def an_action_on_nothing(session: OcciSession) -> None:
    """An action on what is not there is 404."""
    path = fresh(session)
    action = usable_action(session, path)
    where = f"{path.rpartition('/')[0]}/{session.name()}"
    session.refused(session.act(where, action), "an action on nothing", 404)


# Collections --------------------------------------------------------------------------------------------


def _two(session: OcciSession) -> tuple[str, str, str]:
    """Two entities, and an action that applies to both."""
    paths = fresh(session), fresh(session)
    return (*paths, usable_action(session, paths[0]))


def _tagged(session: OcciSession, *paths: str) -> str:
    """The collection of a mixin of ours that some entities have."""
    where = session.path(session.tag().location or "")
    session.ok(session.send("POST", where, Wanted(locations=paths)), "associating", 200, 204)
    return where


@SUITE.check("OCCI-HTTP-054", changes=True, cases=DESCRIBING)
def an_action_on_a_mixins_members(session: OcciSession, media: str) -> None:
    """An action on a mixin's collection is carried out on every member, and on nothing else: 200."""
    first, second, action = _two(session)
    third = fresh(session)
    where = _tagged(session, first, second)
    answer = session.act(where, action, media)
    if answer.status in {400, 403, 404, 405} and media == DESCRIBING[0]:
        one = session.act(first, action)
        expect(one.status >= 400, f"{action} is refused on a collection ({answer}), and not on its members")
    with untouched(session, third):
        session.ok(answer, f"{action} on a mixin's collection", 200, 204)
        for path in (first, second):
            effect(session, path, action)


@SUITE.check("OCCI-HTTP-014", "OCCI-HTTP-054", changes=True)
def an_action_on_all_or_none(session: OcciSession) -> None:
    """When an action does not apply to one member it is carried out on none."""
    first, second, action = _two(session)
    where = _tagged(session, first, second)
    session.ok(session.act(second, action), action, 200, 204)
    effect(session, second, action)
    with untouched(session, first):
        answer = session.act(where, action)
        if answer.status in {200, 204}:
            effect(session, first, action)
            raise Absent(f"{action} applies to what it was carried out on before")
        session.refused(answer, f"{action} on a collection, one of which it was carried out on", 409, 400)


@SUITE.check("OCCI-CORE-022", "OCCI-HTTP-054", changes=True)
def an_action_that_some_members_do_not_have(session: OcciSession) -> None:
    """An action on a collection with a member of another kind is refused, and carried out on none."""
    first = fresh(session)
    action = usable_action(session, first)
    kind = session.read(first).kind
    others = [each for each in _MAKABLE if each in session.model() and each != kind]
    if not others:
        raise Absent("there is one kind only that costs little")
    other = session.create(Wanted(kind=others[0], attributes={TITLE: session.name(), **_MAKABLE[others[0]]}))
    where = _tagged(session, first, other)
    with untouched(session, first):
        answer = session.act(where, action)
        session.refused(answer, f"{action} on a collection with a member of another kind", 400, 403, 404, 409)


def lonely_kind(session: OcciSession, number: int) -> tuple[str, list[str]]:
    """A kind without instances, and some that are made; Unknown when none is without.

    What a collection is asked concerns all members, and those that are not this tool's are none of its.
    """
    for kind, attributes in _MAKABLE.items():
        if kind not in session.model() or session.listed(session.location(kind)):
            continue
        given = [Wanted(kind=kind, attributes={TITLE: session.name(), **attributes}) for _ in range(number)]
        return kind, [session.ready(session.create(each)) for each in given]
    raise Unknown("each collection has members that are not this tool's, and that it must not touch")


@SUITE.check("OCCI-HTTP-044", changes=True, cases=DESCRIBING)
def an_action_on_a_kinds_members(session: OcciSession, media: str) -> None:
    """An action on a kind's collection is carried out on every member: 200."""
    kind, paths = lonely_kind(session, 2)
    action = usable_action(session, paths[0])
    answer = session.act(session.location(kind), action, media)
    session.ok(answer, f"{action} on the collection of {kind}", 200, 204)
    for path in paths:
        effect(session, path, action)


@SUITE.check("OCCI-HTTP-044", "OCCI-HTTP-STATUS-400", changes=True)
def a_foreign_action_on_a_kinds_members(session: OcciSession) -> None:
    """An action that is not the kind's, or does not match ?action=, is refused on its collection."""
    path = thing(session)
    kind = session.category(session.read(path).kind)
    if not kind.actions:
        raise Absent(f"{kind.id} has no actions")
    where = session.location(kind.id)
    with untouched(session, path):
        for action in ("http://example.org/nothing#known", f"{SCHEMAS}infrastructure/nothing#known"):
            answer = session.act(where, action)
            session.refused(answer, f"{action} on the collection of {kind.id}", 400, 403, 404)
        term = kind.actions[0].rpartition("#")[2]
        answer = session.send("POST", f"{where}?action=x{term}", Wanted(action=kind.actions[0]))
        session.refused(answer, f"?action=x{term} with {term} in the body", 400, 404, 409)
        answer = session.send(
            "POST", f"{where}?action=x{term}", Wanted(action=kind.actions[0]), media=HEADERS
        )
        session.refused(answer, f"?action=x{term} with {term} in the headers", 400, 404, 409)
