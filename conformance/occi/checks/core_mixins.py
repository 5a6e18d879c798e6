"""Checks of mixins and collections: tags, association, restrictions, actions on many, owned links."""

from __future__ import annotations

from conformance.checks import Absent, expect
from conformance.occi.aids import difference, fresh, shown, unchanged, wanted
from conformance.occi.cast import (
    accepted,
    example,
    machine,
    refusal,
    spare_disk,
    spare_network,
)
from conformance.occi.documents import (
    COMPUTE,
    NETWORK,
    OS_TPL,
    RESOURCE_TPL,
    STORAGE,
    STORAGELINK,
    Category,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import KINDS, LINK, SSH_KEY, START, STOP, USER_DATA
from conformance.wire import Answer

_KINDS = {each.id.rpartition("#")[2]: each.id for each in KINDS}


def _associate(session: OcciSession, tag: Category, *paths: str) -> Answer:
    return session.send("POST", session.path(tag.location or ""), Wanted(locations=session.uris(*paths)))


def _mixins(session: OcciSession, path: str) -> tuple[str, ...]:
    return session.read(path).mixins


@SUITE.check("OCCI-CORE-028", "OCCI-CORE-003", changes=True)
def tags_are_made_and_destroyed(session: OcciSession) -> None:
    """A mixin of the client's own is discoverable as it was given, and when removed it is not."""
    tag = session.tag(title="a tag, of ours")
    found = {each.id: each for each in session.discovered()}.get(tag.id)
    expect(found, f"{tag.id} was added, and discovery does not tell it")
    told = found and (found.class_, found.title, session.path(found.location or ""))
    wanted_one = ("mixin", tag.title, session.path(tag.location or ""))
    expect(told == wanted_one, f"added was {wanted_one}, told is {told}")
    session.untag(tag)
    expect(tag.id not in {each.id for each in session.discovered()}, f"{tag.id} was removed and is told")


@SUITE.check("OCCI-CORE-028", "OCCI-CORE-015", changes=True)
def destroyed_tags_leave_their_entities(session: OcciSession) -> None:
    """Removing a mixin ends its associations; the entities live on."""
    tag, path = session.tag(), fresh(session)
    session.ok(_associate(session, tag, path), "associating", 200, 204)
    session.untag(tag)
    expect(tag.id not in _mixins(session, path), f"{path} shows {tag.id}, which is removed")


@SUITE.check("OCCI-CORE-015", "OCCI-CORE-025", changes=True)
def mixins_are_given_at_creation(session: OcciSession) -> None:
    """An entity that is made with a tag has it, and is in its collection."""
    tag, cheap = session.tag(), wanted(session)
    path = session.create(Wanted(kind=cheap.kind, mixins=(tag.id,), attributes=cheap.attributes))
    expect(tag.id in _mixins(session, path), f"{path} was made with {tag.id} and does not show it")
    members = session.listed(session.path(tag.location or ""))
    expect(members == [path], f"the collection of the tag is {members}, and should be {path}")


@SUITE.check("OCCI-CORE-015", "OCCI-CORE-025", changes=True)
def mixins_are_associated_later(session: OcciSession) -> None:
    """Adding to a mixin's collection associates, removing dissociates; others are not touched."""
    tag, path, other = session.tag(), fresh(session), fresh(session)
    where = session.path(tag.location or "")
    session.ok(_associate(session, tag, path, other), "associating", 200, 204)
    expect(sorted(session.listed(where)) == sorted([path, other]), f"{where} has not both that were added")
    for each in (path, other):
        expect(tag.id in _mixins(session, each), f"{each} was added to {where} and does not show the mixin")
    away = session.send("DELETE", where, Wanted(locations=session.uris(path)))
    session.ok(away, "dissociating", 200, 204)
    expect(session.listed(where) == [other], f"{where} should hold {other} alone: {session.listed(where)}")
    expect(tag.id not in _mixins(session, path), f"{path} was taken out of {where} and shows the mixin")
    expect(tag.id in _mixins(session, other), f"{other} was not taken out of {where}, and lost the mixin")


@SUITE.check("OCCI-CORE-019", changes=True)
def tags_change_nothing_else(session: OcciSession) -> None:
    """A tag changes neither attributes nor links nor actions."""
    tag, path = session.tag(), fresh(session)
    before = {**shown(session.read(path)), "mixins": None}
    session.ok(_associate(session, tag, path), "associating", 200, 204)
    differs = difference(before, {**shown(session.read(path)), "mixins": None})
    expect(not differs, f"a tag changed {differs}")
    expect(not session.read(path).attributes.get(tag.id), "a tag shows as an attribute")


@SUITE.check("OCCI-CORE-016", changes=True, cases=tuple(_KINDS))
def what_a_tag_goes_with_is_told(session: OcciSession, term: str) -> None:
    """A tag goes with an entity of any kind, unless its applies says otherwise."""
    kind = session.category(_KINDS[term]).id
    if not session.speaks(("1.2",)):
        raise Absent("the endpoint does not claim OCCI 1.2, and 1.1 has no applies")
    tag = session.tag()
    told = session.fresh_details().get(tag.id)
    path = example(session, kind)
    answer = _associate(session, tag, path)
    if told is not None and told.applies and not _applies(session, told.applies, kind):
        expect(refusal(answer), f"{tag.id} does not apply to {term}, and associating it gave {answer}")
        return
    session.ok(answer, f"associating a tag, which is not restricted, with {term}", 200, 204)
    expect(tag.id in _mixins(session, path), f"{path} does not show {tag.id}")


def _applies(session: OcciSession, applies: tuple[str, ...], kind: str) -> bool:
    model, chain = session.model(), [kind]
    while chain[-1] in model and model[chain[-1]].rel:
        chain.append(model[chain[-1]].rel[0])
    return bool(set(chain) & set(applies))


@SUITE.check("OCCI-CORE-016", changes=True, cases=("os_tpl", "resource_tpl", "ssh_key", "user_data"))
def restricted_mixins_are_refused(session: OcciSession, term: str) -> None:
    """A mixin that applies to other kinds is refused, and nothing changes."""
    type_id = {"ssh_key": SSH_KEY, "user_data": USER_DATA}.get(term, "")
    if not type_id:
        found = session.depending(OS_TPL if term == "os_tpl" else RESOURCE_TPL)
        if not found:
            raise Absent(f"there are no mixins that depend on {term}")
        type_id = found[0].id
    mixin = session.category(type_id)
    kind = STORAGE if STORAGE in session.model() else NETWORK
    path = spare_disk(session) if kind == STORAGE else spare_network(session)
    attributes = {each.name: "AAAA" for each in mixin.attributes if each.required}
    with unchanged(session, path):
        answer = session.update(path, kind, mixins=(mixin.id,), attributes=attributes)
        expect(refusal(answer), f"{mixin.id} with {kind}: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-016", cases=("os_tpl", "resource_tpl"))
def templates_say_that_they_apply_to_compute(session: OcciSession, term: str) -> None:
    """The templates are restricted to compute, and their applies tells so."""
    detailed = session.detailed()
    for each in session.depending(OS_TPL if term == "os_tpl" else RESOURCE_TPL):
        told = detailed[each.id].applies if each.id in detailed else ()
        expect(told == (COMPUTE,), f"{each.id}: applies is {told!r} and should be compute")


@SUITE.check("OCCI-CORE-017", changes=True)
def association_at_an_unsupported_stage_is_a_bad_request(session: OcciSession) -> None:
    """User data for a machine that is there is taken, or refused with 400 and without a change."""
    session.category(USER_DATA)
    path = machine(session, "inactive")
    before = shown(session.read(path))
    given = {"occi.compute.userdata": "I2Nsb3VkLWNvbmZpZwp7fQo="}
    answer = session.update(path, COMPUTE, mixins=(USER_DATA,), attributes=given)
    after = session.read(path)
    if accepted(answer):
        expect(USER_DATA in after.mixins, f"user_data was granted ({answer}), and the machine lacks it")
        return
    expect(answer.status == 400, f"user_data after creation: expected 400, got {answer}")
    differs = difference(before, shown(after))
    expect(not differs, f"what was refused changed {differs}")


@SUITE.check("OCCI-CORE-022", changes=True)
def actions_on_others_collections_are_refused(session: OcciSession) -> None:
    """An action of compute on the collection of storage is refused."""
    session.category(STOP)
    path = spare_disk(session)
    with unchanged(session, path):
        answer = session.act(session.location(STORAGE), STOP)
        expect(refusal(answer), f"stop on storage: expected a refusal, got {answer}")


@SUITE.check("OCCI-CORE-022", changes=True)
def actions_need_every_member_to_know_them(session: OcciSession) -> None:
    """An action of compute on a collection that has storage, too, is refused as a whole."""
    session.category(STOP)
    tag, disk = session.tag(), spare_disk(session)
    path = machine(session, "active")
    session.ok(_associate(session, tag, path, disk), "associating", 200, 204)
    answer = session.act(session.path(tag.location or ""), STOP, method="poweroff")
    state = session.read(path).attributes.get("occi.compute.state")
    expect(refusal(answer), f"stop on a collection with storage in it: expected a refusal, got {answer}")
    expect(state == "active", f"a stop that was refused left the machine {state}")


@SUITE.check("OCCI-CORE-033", changes=True)
def links_that_end_are_gone_from_their_source(session: OcciSession) -> None:
    """A link that is deleted is gone from its source's rendering, whose target lives on."""
    session.category(STORAGELINK)
    source, target = machine(session, "inactive"), spare_disk(session)
    ends = {"occi.core.source": source, "occi.core.target": target}
    path = session.create(Wanted(kind=STORAGELINK, attributes=ends))
    shown_one = [session.path(each.self_) for each in session.read(source).links if each.self_]
    expect(path in shown_one, f"{source} does not show its link {path}")
    session.deleted(path)
    targets = [session.path(each.target) for each in session.read(source).links]
    expect(target not in targets, f"{source} shows a link to {target} that was deleted")
    session.get(target)


@SUITE.check("OCCI-CORE-033", changes=True)
def links_end_with_their_source(session: OcciSession) -> None:
    """Deleting a machine deletes its links, and not what they lead to."""
    session.category(STORAGELINK)
    source, target = session.create(session.machine_wanted()), spare_disk(session)
    session.rested(source)
    ends = {"occi.core.source": source, "occi.core.target": target}
    path = session.create(Wanted(kind=STORAGELINK, attributes=ends))
    session.deleted(source)
    session.until(
        f"the end of {path}, whose source is deleted",
        lambda: session.send("GET", path).status in {404, 410} or None,
        within=30,
        due=True,
    )
    session.get(target)


@SUITE.check("OCCI-CORE-034", changes=True, cases=("storagelink", "networkinterface"))
def sources_exist(session: OcciSession, term: str) -> None:
    """A link from what does not exist is refused, and not made."""
    kind = session.category(_KINDS[term])
    target = session.disk() if kind.id == STORAGELINK else session.net()
    place = session.location(COMPUTE)
    ends = {"occi.core.source": f"{place}{session.name('nothing')}", "occi.core.target": target}
    before = set(session.listed(session.location(kind.id)))
    answer = session.send("POST", session.location(kind.id), Wanted(kind=kind.id, attributes=ends))
    expect(refusal(answer), f"a {term} from nothing: expected a refusal, got {answer}")
    made = set(session.listed(session.location(kind.id))) - before
    expect(not made, f"a {term} that was refused is there: {made}")


@SUITE.check("OCCI-CORE-035", changes=True, cases=("storagelink", "networkinterface"))
def target_kinds_are_right(session: OcciSession, term: str) -> None:
    """A link that tells the kind of its target tells the right one."""
    kind = session.category(_KINDS[term]).id
    link = session.read(example(session, kind))
    told = link.attributes.get("occi.core.target.kind")
    if told is None:
        raise Absent(f"a {term} does not tell the kind of its target")
    right = session.read(session.path(str(link.attributes.get("occi.core.target")))).kind
    expect(told == right, f"occi.core.target.kind is {told}, the target is of {right}")


@SUITE.check("OCCI-CORE-021", changes=True)
def actions_that_do_not_apply(session: OcciSession) -> None:
    """Action start of a machine that is active is refused, or does nothing."""
    session.category(START)
    path = machine(session, "active")
    answer = session.act(path, START)
    session.note(f"start of an active machine: {answer}")
    expect(refusal(answer) or accepted(answer), f"start of an active machine: {answer}")
    state = session.read(path).attributes.get("occi.compute.state")
    expect(state == "active", f"start of an active machine left it {state}")


@SUITE.check("OCCI-CORE-034", "OCCI-CORE-012", changes=True, cases=("storagelink", "networkinterface"))
def links_show_their_ends(session: OcciSession, term: str) -> None:
    """A link shows the source and the target that it was made with."""
    kind = session.category(_KINDS[term]).id
    expect(session.category(kind).rel == (LINK,), f"{term} is no link")
    source = machine(session, "inactive")
    target = spare_disk(session) if kind == STORAGELINK else spare_network(session)
    ends = {"occi.core.source": source, "occi.core.target": target}
    found = session.read(session.create(Wanted(kind=kind, attributes=ends)))
    told = {name: session.path(str(found.attributes.get(name))) for name in ends}
    expect(told == ends, f"made with {ends}, it shows {told}")
