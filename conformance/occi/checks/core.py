"""Checks of the core model's categories: what discovery tells of kinds, mixins, actions and attributes."""

from __future__ import annotations

import re
from typing import Any

from conformance.checks import Absent, Level, expect, fail
from conformance.occi.documents import DESCRIBING, PLAIN, Category, Wanted
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import (
    CORE_KINDS,
    ENTITY,
    KINDS,
    LINK,
    OTHER_DOCUMENTS,
    RESERVED,
    RESOURCE,
    SCHEMAS,
    STANDARD_NAMES,
)

_TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_DOMAIN = re.compile(r"[a-z]{2,}(?:\.[A-Za-z0-9_-]+){2,}")


def _of(session: OcciSession, class_: str, media: str = PLAIN) -> list[Category]:
    return [each for each in session.model(media).values() if each.class_ == class_]


@SUITE.check("OCCI-CORE-001", "OCCI-CORE-027")
def the_core_kinds_are_there(session: OcciSession) -> None:
    """Discovery tells the kinds entity, resource and link."""
    missing = [each.id for each in CORE_KINDS if each.id not in session.model()]
    expect(not missing, f"discovery does not tell {', '.join(missing)}")


@SUITE.check("OCCI-CORE-002", "OCCI-CORE-027", cases=DESCRIBING)
def renderings_tell_the_same_categories(session: OcciSession, media: str) -> None:
    """All renderings tell the same type identifiers, with the same attributes, actions and relations."""
    plain, found = session.model(), session.model(media)
    expect(set(found) == set(plain), f"{media} tells others than {PLAIN}: {sorted(set(found) ^ set(plain))}")
    for type_id, category in found.items():
        other = plain[type_id]
        for what in ("class_", "title", "actions", "rel"):
            mine, theirs = getattr(category, what), getattr(other, what)
            expect(
                mine == theirs, f"{type_id}: {what.strip('_')} is {mine!r} in {media}, {theirs!r} in {PLAIN}"
            )
        mine, theirs = (
            {(each.name, each.mutable, each.required) for each in one.attributes} for one in (category, other)
        )
        expect(
            mine == theirs, f"{type_id}: attributes differ in {media} and {PLAIN}: {sorted(mine ^ theirs)}"
        )


@SUITE.check("OCCI-CORE-003", cases=DESCRIBING)
def categories_are_identified(session: OcciSession, media: str) -> None:
    """Each category has a term, an absolute URI as scheme, a class, and no title that is empty."""
    for each in session.model(media).values():
        expect(each.term, f"a category of scheme {each.scheme} has no term")
        expect(_URI.fullmatch(each.scheme), f"{each.term}: the scheme {each.scheme!r} is no URI")
        expect(each.title != "", f"{each.id}: the title is empty")


@SUITE.check("OCCI-CORE-003", changes=True)
def clients_cannot_change_a_category(session: OcciSession) -> None:
    """Adding a mixin with the identifier of the provider's own leaves that as it is."""
    mixins = _of(session, "mixin")
    if not mixins:
        raise Absent("the provider has no mixin")
    before = mixins[0]
    claimed = Category(
        scheme=before.scheme,
        term=before.term,
        class_="mixin",
        title=session.name("title"),
        location=f"/{session.name('place')}/",
    )
    answer = session.send("POST", QUERY, Wanted(described=(claimed,)))
    expect(answer.status < 500 or answer.status == 501, f"the endpoint broke: {answer}")
    after = next((each for each in session.discovered() if each.id == before.id), None)
    expect(after == before, f"{before.id} was {before} and is {after} after a client claimed it")


@SUITE.check("OCCI-CORE-004")
def reserved_schemes_are_left_to_the_standard(session: OcciSession) -> None:
    """No category of the provider's own stands under http://schemas.ogf.org/occi/."""
    for type_id in session.model():
        own = type_id.startswith(SCHEMAS) and not type_id.startswith(OTHER_DOCUMENTS)
        expect(not own or type_id in RESERVED, f"{type_id} is not the standard's, and its scheme is")


@SUITE.check("OCCI-CORE-005")
def attributes_are_described(session: OcciSession) -> None:
    """JSON describes each attribute by a type it knows, with a default of that type."""
    for category in session.detailed().values():
        for each in category.attributes:
            where, told = f"{category.id}: {each.name}", each.described
            expect(told.get("type", "string") in _TYPES, f"{where} has the type {told.get('type')!r}")
            for name in ("mutable", "required"):
                expect(isinstance(told.get(name, False), bool), f"{where}: {name} is {told[name]!r}")
            expect(isinstance(told.get("description", ""), str), f"{where}: the description is no text")
            if each.default is not None:
                wanted = _TYPES[each.type or "string"]
                expect(isinstance(each.default, wanted), f"{where}: {each.default!r} is no {each.type}")


@SUITE.check("OCCI-CORE-006")
def names_of_attributes_are_the_standards_or_a_domains(session: OcciSession) -> None:
    """Names that begin with occi. are the standard's."""
    for category in session.model().values():
        for name in (each.name for each in category.attributes if category.class_ != "action"):
            expect(
                not name.startswith("occi.") or name in STANDARD_NAMES,
                f"{category.id} has {name}, which no document of the standard knows",
            )


@SUITE.check("OCCI-CORE-006", level=Level.SHOULD)
def other_names_begin_with_a_domain(session: OcciSession) -> None:
    """Names that are not the standard's begin with a reversed domain name."""
    for category in session.model().values():
        for name in (each.name for each in category.attributes if category.class_ != "action"):
            expect(
                name.startswith("occi.") or _DOMAIN.fullmatch(name),
                f"{category.id} has {name}, which begins with no reversed domain name",
            )


@SUITE.check("OCCI-CORE-006")
def a_name_means_one_thing(session: OcciSession) -> None:
    """The namespace is flat: an attribute has the same type in whichever category it stands."""
    types: dict[str, tuple[str | None, str]] = {}
    for category in session.detailed().values():
        for each in category.attributes if category.class_ != "action" else ():
            known, where = types.setdefault(each.name, (each.type, category.id))
            expect(known == each.type, f"{each.name}: {known} in {where}, {each.type} in {category.id}")


@SUITE.check("OCCI-CORE-010", "OCCI-CORE-011", cases=DESCRIBING)
def kinds_have_one_parent(session: OcciSession, media: str) -> None:
    """Each kind but entity has one parent, a kind that is told, and the chain ends at entity."""
    kinds = {each.id: each for each in _of(session, "kind", media)}
    for kind in kinds.values():
        chain = [kind.id]
        while chain[-1] != ENTITY:
            above = kinds[chain[-1]].rel
            expect(len(above) == 1, f"{chain[-1]} has the parents {above!r}")
            expect(above[0] in kinds, f"the parent of {chain[-1]} is {above[0]}, which is no kind here")
            expect(above[0] not in chain, f"{kind.id} is among its own ancestors")
            chain.append(above[0])
    expect(not kinds[ENTITY].rel if ENTITY in kinds else True, "entity has a parent")


@SUITE.check("OCCI-CORE-011")
def core_kinds_have_their_parents(session: OcciSession) -> None:
    """The parent of resource and of link is entity, that of a kind of Infrastructure resource or link."""
    model = session.model()
    for each in (*CORE_KINDS, *KINDS):
        if each.above and each.id in model:
            found = model[each.id].rel
            expect(found == (each.above,), f"the parent of {each.id} is {found!r} and should be {each.above}")


@SUITE.check("OCCI-CORE-012")
def core_kinds_have_their_attributes(session: OcciSession) -> None:
    """entity, resource and link tell their attributes, and which of them are mutable and required."""
    for each in CORE_KINDS:
        found = session.category(each.id).properties
        for row in each.attributes:
            told = found.get(row.name)
            if told is None:
                fail(f"{each.id} does not tell {row.name}")
            expect(told.mutable == row.mutable, f"{row.name} should be {'' if row.mutable else 'im'}mutable")
            expect(told.required or not row.required, f"{row.name} of {each.id} should be required")


@SUITE.check("OCCI-CORE-012", "OCCI-CORE-020", "OCCI-CORE-027", cases=DESCRIBING)
def actions_belong_to_types(session: OcciSession, media: str) -> None:
    """Every action that a type has is described, and every action described belongs to a type."""
    model = session.model(media)
    owned = {action for each in model.values() for action in each.actions}
    described = {each.id for each in model.values() if each.class_ == "action"}
    expect(owned <= described, f"these actions are not described: {sorted(owned - described)}")
    expect(described <= owned, f"these actions belong to no type: {sorted(described - owned)}")


@SUITE.check("OCCI-CORE-014", "OCCI-CORE-027")
def relations_of_mixins_are_discoverable(session: OcciSession) -> None:
    """What a mixin depends on is a mixin that is told, and what it applies to is a kind that is told."""
    detailed = session.detailed()
    for mixin in (each for each in detailed.values() if each.class_ == "mixin"):
        for relation, class_ in (("depends", "mixin"), ("applies", "kind")):
            for other in getattr(mixin, relation):
                found = detailed.get(other)
                expect(
                    found is not None and found.class_ == class_,
                    f"{mixin.id}: {relation} names {other}, which is no {class_} here",
                )


@SUITE.check("OCCI-CORE-014")
def mixins_in_text_name_a_mixin(session: OcciSession) -> None:
    """The rel of a mixin in text is a mixin that is told."""
    model = session.model()
    for mixin in _of(session, "mixin"):
        for other in mixin.rel:
            known = other in model and model[other].class_ == "mixin"
            expect(known, f"{mixin.id}: its rel is {other}, which is no mixin here")


@SUITE.check("OCCI-CORE-020")
def actions_are_only_identifiers(session: OcciSession) -> None:
    """An action has parameters, and neither location nor parent nor actions."""
    for action in _of(session, "action"):
        more = [name for name in ("location", "rel", "actions") if getattr(action, name)]
        expect(not more, f"the action {action.id} has {', '.join(more)}")


@SUITE.check("OCCI-CORE-036")
def own_kinds_extend_the_cores(session: OcciSession) -> None:
    """A kind of the provider's own descends from resource or link."""
    model = session.model()
    own = [each for each in _of(session, "kind") if not each.id.startswith(SCHEMAS)]
    if not own:
        raise Absent("the provider has no kinds of its own")
    for kind in own:
        above = kind
        while above.id not in {RESOURCE, LINK}:
            parent = model.get(above.rel[0]) if above.rel else None
            if parent is None:
                fail(f"{kind.id} descends from neither resource nor link")
            above = parent
