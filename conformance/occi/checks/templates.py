"""Checks of OS templates and of sizes: offered, given at creation, replaced."""

from __future__ import annotations

from conformance.checks import Absent, Level, expect
from conformance.occi.aids import difference, shown
from conformance.occi.cast import (
    accepted,
    defaults,
    dressed,
    machine,
    refusal,
    saved_system,
    sized,
    templates,
)
from conformance.occi.documents import (
    COMPUTE,
    DESCRIBING,
    OS_TPL,
    RESOURCE_TPL,
    Category,
    Entity,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import EPHEMERAL

_CORES, _MEMORY = "occi.compute.cores", "occi.compute.memory"


def _sizes(session: OcciSession) -> list[Category]:
    """The size templates that tell cores and memory, the smallest first."""
    detailed = session.detailed()
    known = [detailed[each.id] for each in templates(session, RESOURCE_TPL) if each.id in detailed]
    whole = [each for each in known if {_CORES, _MEMORY} <= set(defaults(each))]
    if not whole:
        raise Absent("no size tells its cores and memory")
    return sorted(whole, key=lambda each: (defaults(each)[_MEMORY], defaults(each)[_CORES]))


def _has_sizes(found: Entity, template: Category) -> str:
    """How a machine's sizes differ from a template's; empty when they do not."""
    wanted, told = defaults(template), {name: found.attributes.get(name) for name in (_CORES, _MEMORY)}
    return difference({name: wanted[name] for name in told}, told)


# OS templates -------------------------------------------------------------------------------------------


@SUITE.check("OCCI-INFRA-070")
def os_templates_are_offered(session: OcciSession) -> None:
    """There is at least one mixin that depends on os_tpl."""
    expect(session.depending(OS_TPL), "no OS template is offered")


@SUITE.check("OCCI-INFRA-070", level=Level.MUST)
def os_templates_have_their_parent(session: OcciSession) -> None:
    """The parent os_tpl is a mixin without parent, and machines tell by which template they were made."""
    templates(session)
    expect(OS_TPL in session.model(), "OS templates depend on os_tpl, which discovery does not tell")
    expect(session.model()[OS_TPL].class_ == "mixin", "os_tpl is no mixin")
    expect(not session.model()[OS_TPL].rel, "os_tpl depends on another mixin")


@SUITE.check("OCCI-INFRA-070", level=Level.MUST, changes=True)
def machines_tell_their_templates(session: OcciSession) -> None:
    """A machine shows the templates that it was made with, and is in their collections."""
    templates(session)
    given = dressed(session)
    found = session.read(given.path)
    for each in given.wanted.mixins:
        expect(each in found.mixins, f"{given.path} was made with {each} and does not show it")
        expect(given.path in session.listed(session.location(each)), f"it is not in the collection of {each}")


@SUITE.check("OCCI-INFRA-071", changes=True)
def machines_without_os_template(session: OcciSession) -> None:
    """A machine without an OS template gets a default one, none, or is refused."""
    whole = session.machine_wanted()
    systems = {each.id for each in templates(session)}
    bare = Wanted(
        kind=COMPUTE,
        mixins=tuple(each for each in whole.mixins if each not in systems),
        attributes=whole.attributes,
    )
    answer = session.send("POST", session.location(COMPUTE), bare)
    if refusal(answer):
        raise Absent(f"an OS template is needed: {answer}")
    session.ok(answer, "a machine without OS template", 200, 201)
    found = session.read(session.made(answer))
    chosen = sorted(systems & set(found.mixins))
    session.note(
        f"the default OS template is {chosen[0]}" if chosen else "there is no OS template by default"
    )


@SUITE.check("OCCI-INFRA-072")
def os_templates_have_titles(session: OcciSession) -> None:
    """Each OS template has a title."""
    for each in templates(session):
        expect(each.title, f"{each.id} has no title")


@SUITE.check("OCCI-INFRA-073", level=Level.MUST, changes=True)
def os_templates_are_replaced_or_kept(session: OcciSession) -> None:
    """Another OS template takes the place of the first at once, or is refused and changes nothing."""
    systems = [each.id for each in templates(session)]
    if len(systems) < 2:
        systems.append(saved_system(session))
    path = session.create(sized(session))
    session.rested(path)
    before = session.read(path)
    mine = set(systems) & set(before.mixins)
    other = next(each for each in systems if each not in mine)
    answer = session.update(path, COMPUTE, mixins=(other,))
    after = session.read(path)
    has = set(systems) & set(after.mixins)
    if accepted(answer):
        session.note("OS templates can be replaced")
        expect(has == {other}, f"{other} was granted, and the machine has {sorted(has)}")
        return
    session.note(f"OS templates cannot be replaced: {answer}")
    expect(refusal(answer), f"another OS template: expected a refusal or a change, got {answer}")
    differs = difference(shown(before), shown(after))
    expect(not differs, f"what was refused changed {differs}")


# Sizes --------------------------------------------------------------------------------------------------


@SUITE.check("OCCI-INFRA-074")
def sizes_have_their_parent(session: OcciSession) -> None:
    """The parent resource_tpl is a mixin without parent where sizes are offered."""
    templates(session, RESOURCE_TPL)
    expect(RESOURCE_TPL in session.model(), "sizes depend on resource_tpl, which discovery does not tell")
    expect(session.model()[RESOURCE_TPL].class_ == "mixin", "resource_tpl is no mixin")
    expect(not session.model()[RESOURCE_TPL].rel, "resource_tpl depends on another mixin")


@SUITE.check("OCCI-INFRA-075", changes=True)
def machines_without_size(session: OcciSession) -> None:
    """A machine without a size gets a default one, or is refused."""
    answer = session.send("POST", session.location(COMPUTE), sized(session))
    if refusal(answer):
        raise Absent(f"a size is needed: {answer}")
    session.ok(answer, "a machine without size", 200, 201)
    told = session.read(session.made(answer)).attributes
    session.note(f"the default size is {told.get(_CORES)} cores, {told.get(_MEMORY)} GiB")


@SUITE.check("OCCI-INFRA-076", "OCCI-CORE-009", changes=True)
def sizes_win_over_what_is_asked(session: OcciSession) -> None:
    """A machine asked for with a size template and other cores has the template's, or is refused."""
    smallest = _sizes(session)[0]
    asked = sized(session, smallest.id, **{_CORES: int(defaults(smallest)[_CORES]) + 1})
    answer = session.send("POST", session.location(COMPUTE), asked)
    session.ok(answer, "a machine with a size and other cores", 200, 201)
    differs = _has_sizes(session.read(session.made(answer)), smallest)
    expect(not differs, f"the template {smallest.term} does not win: {differs}")


@SUITE.check("OCCI-INFRA-077")
def sizes_tell_their_defaults(session: OcciSession) -> None:
    """Each size tells cores and memory, with defaults."""
    if not session.speaks(("1.2",)):
        raise Absent("the endpoint does not claim OCCI 1.2")
    detailed = session.detailed()
    for each in templates(session, RESOURCE_TPL):
        known = defaults(detailed[each.id]) if each.id in detailed else {}
        lacking = [name for name in (_CORES, _MEMORY) if name not in known]
        expect(not lacking, f"{each.id} has no default for {', '.join(lacking)}")


@SUITE.check("OCCI-INFRA-078", "OCCI-CRTP-001", "OCCI-CRTP-002", changes=True, cases=DESCRIBING)
def sizes_are_replaced(session: OcciSession, media: str) -> None:
    """Another size takes the place of the first at once, and the machine gets its sizes."""
    sizes = [each for each in _sizes(session) if not each.properties.keys() & {EPHEMERAL[0].name}]
    sizes = sizes if len(sizes) > 1 else _sizes(session)
    if len(sizes) < 2:
        raise Absent("there is one size only")
    path = machine(session, "inactive")
    known = {each.id for each in session.depending(RESOURCE_TPL)}
    has = set(session.read(path).mixins) & known
    for each in [one for one in sizes if one.id not in has][:2]:
        answer = session.update(path, COMPUTE, media, mixins=(each.id,))
        if answer.status == 406:
            raise Absent(f"the endpoint does not speak {media}")
        session.ok(answer, f"another size, {each.term}", 200, 201)
        found = session.read(path)
        now = set(found.mixins) & known
        expect(now == {each.id}, f"{each.id} was associated, and the machine has the sizes {sorted(now)}")
        differs = _has_sizes(found, each)
        expect(not differs, f"the machine is not resized to {each.term}: {differs}")


@SUITE.check("OCCI-INFRA-078", "OCCI-CRTP-001", changes=True)
def machines_have_one_size(session: OcciSession) -> None:
    """A machine that is asked for with two sizes is refused, or has one."""
    known = [each.id for each in templates(session, RESOURCE_TPL)]
    if len(known) < 2:
        raise Absent("there is one size only")
    asked = sized(session, known[0])
    asked = Wanted(kind=COMPUTE, mixins=(*asked.mixins, known[1]), attributes=asked.attributes)
    answer = session.send("POST", session.location(COMPUTE), asked)
    if refusal(answer):
        return
    session.ok(answer, "a machine with two sizes", 200, 201)
    has = [each for each in session.read(session.made(answer)).mixins if each in known]
    expect(len(has) == 1, f"a machine has the sizes {', '.join(has)}")
