"""Checks of a machine's life: states, actions with their methods, what is refused, save."""

from __future__ import annotations

import json
import time

from conformance.checks import Absent, expect
from conformance.occi import codec
from conformance.occi.aids import difference, shown, unchanged
from conformance.occi.cast import STATE, accepted, act, bring, machine, refusal, stable
from conformance.occi.documents import COMPUTE, DESCRIBING, JSON, OS_TPL, PLAIN, Category, Wanted
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import ONLINE, RESTART, SAVE, START, STOP, SUSPEND
from conformance.wire import Answer

#: An action, its method, the state it begins in, the state it leads to.
_STEPS: dict[str, tuple[str, str, str, str]] = {
    "start": (START, "", "inactive", "active"),
    "start of what is suspended": (START, "", "suspended", "active"),
    "stop": (STOP, "", "active", "inactive"),
    "stop by graceful": (STOP, "graceful", "active", "inactive"),
    "stop by acpioff": (STOP, "acpioff", "active", "inactive"),
    "stop by poweroff": (STOP, "poweroff", "active", "inactive"),
    "restart": (RESTART, "", "active", "active"),
    "restart by graceful": (RESTART, "graceful", "active", "active"),
    "restart by warm": (RESTART, "warm", "active", "active"),
    "restart by cold": (RESTART, "cold", "active", "active"),
    "suspend": (SUSPEND, "", "active", "suspended"),
    "suspend by hibernate": (SUSPEND, "hibernate", "active", "suspended"),
    "suspend by suspend": (SUSPEND, "suspend", "active", "suspended"),
}
#: What the diagram has no arrow for: the state, the action, where it must not lead.
_NO_ARROW: dict[str, tuple[str, str, str]] = {
    "stop of what is inactive": ("inactive", STOP, "poweroff"),
    "suspend of what is inactive": ("inactive", SUSPEND, "suspend"),
    "stop of what is suspended": ("suspended", STOP, "poweroff"),
    "suspend of what is suspended": ("suspended", SUSPEND, "suspend"),
    "start of what is active": ("active", START, ""),
}
#: Methods that no guest has a say in.
_HARD = frozenset({"poweroff", "cold", "warm", "suspend", "hibernate"})
_GRACE = 60.0  # a guest may take its time to obey, or ignore who asks it


def _given(method: str) -> dict[str, str]:
    return {"method": method} if method else {}


@SUITE.check("OCCI-INFRA-011", "OCCI-INFRA-010", changes=True, cases=tuple(_STEPS))
def actions_lead_to_their_state(session: OcciSession, case: str) -> None:
    """The action is carried out, and the machine gets into the state that it leads to."""
    action, method, before, after = _STEPS[case]
    session.category(action)
    path = machine(session, before)
    act(session, path, action, **_given(method))
    session.until(
        f"{after} after {case}",
        lambda: session.read(path).attributes.get(STATE) == after or None,
        within=_GRACE,
        due=method in _HARD,
    )
    if before == after:
        session.rested(path)


@SUITE.check("OCCI-INFRA-011", changes=True, cases=DESCRIBING)
def actions_are_understood_in_each_rendering(session: OcciSession, media: str) -> None:
    """A stop with a method, said in the rendering, stops the machine."""
    session.category(STOP)
    path = machine(session, "active")
    answer = session.send("GET", path, media=media)
    if answer.status == 406:
        raise Absent(f"the endpoint does not speak {media}")
    act(session, path, STOP, media, method="poweroff")
    session.state(path, STATE, "inactive", due=True)


@SUITE.check("OCCI-INFRA-011", changes=True, cases=tuple(_NO_ARROW))
def what_has_no_arrow_leads_nowhere(session: OcciSession, case: str) -> None:
    """An action that the diagram does not have in a state is refused, or leaves the machine in it."""
    state, action, method = _NO_ARROW[case]
    session.category(action)
    path = machine(session, state)
    answer = session.act(path, action, **_given(method))
    expect(refusal(answer) or accepted(answer), f"{case}: {answer}")
    ends = time.monotonic() + (2.0 if accepted(answer) else 0.0)
    while True:
        now = session.read(path).attributes.get(STATE)
        expect(now == state, f"{case} ({answer}) led to {now}")
        if time.monotonic() >= ends:
            return
        time.sleep(0.2)


@SUITE.check("OCCI-INFRA-011", "OCCI-CORE-021", changes=True)
def offered_actions_fit_the_state(session: OcciSession) -> None:
    """In each state those actions are offered that lead from it, and none that the state refuses."""
    for state, due, wrong in (
        ("active", {"stop", "suspend"}, {"start"}),
        ("inactive", {"start"}, {"stop", "suspend"}),
        ("suspended", {"start"}, {"suspend"}),
    ):
        path = machine(session, state)
        stable(session, path, START if "start" in due else STOP)
        offered = {each.rpartition("#")[2] for each in session.read(path).actions}
        expect(due <= offered, f"a machine that is {state} offers {sorted(offered)}, not {sorted(due)}")
        expect(not offered & wrong, f"a machine that is {state} offers {sorted(offered & wrong)}")


@SUITE.check("OCCI-INFRA-010", changes=True, cases=("stop", "restart", "suspend"))
def unknown_methods_are_refused(session: OcciSession, term: str) -> None:
    """A method that the table does not have is refused, and the machine stays as it is."""
    action = {"stop": STOP, "restart": RESTART, "suspend": SUSPEND}[term]
    session.category(action)
    path = machine(session, "active")
    stable(session, path, action)
    with unchanged(session, path):
        answer = session.act(path, action, method="nonsense")
        expect(refusal(answer), f"{term} by nonsense: expected a refusal, got {answer}")
    state = session.read(path).attributes.get(STATE)
    expect(state == "active", f"{term} by nonsense was refused and left the machine {state}")


@SUITE.check("OCCI-INFRA-010", changes=True)
def actions_of_other_kinds_are_refused(session: OcciSession) -> None:
    """An action of storage is none of a machine's."""
    session.category(ONLINE)
    path = machine(session, "active")
    with unchanged(session, path):
        answer = session.act(path, ONLINE)
        expect(refusal(answer), f"online of a machine: expected a refusal, got {answer}")


@SUITE.check("OCCI-INFRA-011", changes=True)
def a_new_machine_gets_going(session: OcciSession) -> None:
    """A new machine is inactive or active, and can be made active."""
    path = session.create(session.machine_wanted())
    first = session.read(path).attributes.get(STATE)
    expect(first in {"inactive", "active"}, f"a new machine is {first}")
    found = session.rested(path)
    by_itself = found.attributes.get(STATE) == "active"
    session.note(f"a new machine is {'started at once' if by_itself else 'inactive until it is started'}")
    bring(session, path, "active")
    session.deleted(path)
    listed = session.listed(session.location(COMPUTE))
    expect(path not in listed, f"{path} is deleted, and is in the collection")


# save ---------------------------------------------------------------------------------------------------


def _saved(session: OcciSession, answer: Answer) -> Category:
    """The template that an answer to save renders; what can be is removed after all checks."""
    if answer.media == JSON:
        found = [each for each in codec.categories(_as_model(answer)) if each.class_ == "mixin"]
    else:
        found = [each for each in codec.categories(answer) if each.class_ == "mixin"]
    expect(
        len(found) == 1, f"the answer to save renders {len(found)} mixins, and should one: {answer.text!r}"
    )
    template = found[0]
    session.note(f"{template.id} was made; not every endpoint lets clients remove it")
    session.afterwards(lambda: session.untag(template), at_end=True)
    return template


def _as_model(answer: Answer) -> Answer:
    """An answer that renders one mixin by itself, as one that renders a model; others as they are."""
    given = codec.document(answer)
    if isinstance(given, dict) and "term" in given:
        body = json.dumps({"mixins": [given]}).encode()
        return Answer(
            method=answer.method,
            status=answer.status,
            reason=answer.reason,
            headers=answer.headers,
            body=body,
        )
    return answer


@SUITE.check("OCCI-INFRA-012", changes=True, cases=("hot", "deferred"))
def save_makes_a_template(session: OcciSession, method: str) -> None:
    """The answer renders a new OS template, which discovery tells; the machine is as it was."""
    session.category(SAVE)
    path = machine(session, "active")
    known = {each.id for each in session.discovered()}
    before = shown(session.read(path))
    answer = act(session, path, SAVE, method=method, name=session.name("saved"))
    template = _saved(session, answer)
    expect(OS_TPL in template.rel, f"{template.id} depends on {template.rel!r}, and should on os_tpl")
    expect(template.id not in known, f"save answers with {template.id}, which was there before")
    expect(
        template.id in {each.id for each in session.discovered()}, f"discovery does not tell {template.id}"
    )
    session.rested(path)
    after = session.read(path)
    expect(after.attributes.get(STATE) == "active", f"the machine is {after.attributes.get(STATE)}")
    differs = difference(before, shown(after))
    expect(not differs, f"save changed the machine: {differs}")


@SUITE.check("OCCI-INFRA-012", changes=True, cases=DESCRIBING)
def save_answers_in_each_rendering(session: OcciSession, media: str) -> None:
    """The rendering asked for is the one that the new template comes in, and is complete."""
    session.category(SAVE)
    path = machine(session, "active")
    if session.send("GET", path, media=media).status == 406:
        raise Absent(f"the endpoint does not speak {media}")
    template = _saved(session, act(session, path, SAVE, media, method="hot"))
    told = next((each for each in session.discovered(media) if each.id == template.id), None)
    expect(told is not None, f"discovery does not tell {template.id}")
    expect(told is None or told.location == template.location, "discovery tells another location")
    session.rested(path)


@SUITE.check("OCCI-INFRA-012", changes=True)
def saved_templates_make_machines(session: OcciSession) -> None:
    """A machine can be made of what was saved."""
    session.category(SAVE)
    path = machine(session, "active")
    template = _saved(session, act(session, path, SAVE, method="hot"))
    whole = session.machine_wanted()
    others = [each for each in whole.mixins if OS_TPL not in session.category(each).rel]
    made = session.create(
        Wanted(kind=COMPUTE, mixins=(template.id, *others), attributes=whole.attributes), media=PLAIN
    )
    expect(template.id in session.read(made).mixins, f"a machine of {template.id} does not show it")
    session.rested(made)


@SUITE.check("OCCI-INFRA-013", changes=True)
def the_name_given_to_save(session: OcciSession) -> None:
    """The template has the name given, or one that the provider chose."""
    session.category(SAVE)
    path, name = machine(session, "active"), session.name("saved")
    template = _saved(session, act(session, path, SAVE, method="hot", name=name))
    told = f"{template.term} {template.title or ''}"
    session.note("save uses the name given" if name in told else "save overrides the name given")
    session.rested(path)
