"""Checks of keys, user data, and the compute resource templates profile."""

from __future__ import annotations

import base64
import re

from conformance.checks import Absent, Level, expect, fail
from conformance.occi.aids import unchanged
from conformance.occi.cast import PUBLIC_KEY, SCRIPT, accepted, defaults, dressed, refusal, sized
from conformance.occi.documents import COMPUTE, RESOURCE_TPL, Category, Wanted
from conformance.occi.session import QUERY, OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import CRTP_SCHEMES, EPHEMERAL, SIZES, SSH_KEY, USER_DATA

_CORES, _MEMORY = "occi.compute.cores", "occi.compute.memory"
_KEY, _DATA = "occi.credentials.ssh.publickey", "occi.compute.userdata"
_CLAIM = re.compile(r"OCCI-CRTP(-EP)?/1\.[01]")
_TERMS = {each.term: each for each in SIZES}


# Context ------------------------------------------------------------------------------------------------


@SUITE.check(
    "OCCI-INFRA-081", changes=True, cases={"ssh_key": "OCCI-INFRA-079", "user_data": "OCCI-INFRA-080"}
)
def machines_show_their_context(session: OcciSession, term: str) -> None:
    """A machine with the mixin shows it, and its attribute as it was given, in each rendering."""
    mixin, name, value = (SSH_KEY, _KEY, PUBLIC_KEY) if term == "ssh_key" else (USER_DATA, _DATA, SCRIPT)
    session.category(mixin)
    path = dressed(session).path
    for media in session.describing():
        answer = session.send("GET", path, media=media)
        if answer.status == 406:
            continue
        found = session.read(path, media)
        expect(mixin in found.mixins, f"{path} was made with {term} and does not show it in {media}")
        told = found.attributes.get(name)
        expect(told == value, f"{name} was given as {value!r} and is {told!r} in {media}")


@SUITE.check("OCCI-INFRA-080")
def user_data_is_described(session: OcciSession) -> None:
    """Discovery tells by a title or a description what user data is."""
    told = session.category(USER_DATA)
    described = session.detail(USER_DATA).properties.get(_DATA)
    text = described.described.get("description") if described is not None else None
    expect(text or told.title, "neither title nor description tell what sort of data user_data takes")


@SUITE.check("OCCI-INFRA-079", "OCCI-CORE-008", level=Level.MUST, changes=True)
def keys_that_are_none_are_refused(session: OcciSession) -> None:
    """A machine with ssh_key and without its attribute, which has multiplicity 1, is refused."""
    told = session.category(SSH_KEY).properties.get(_KEY)
    if told is None or not told.required:
        raise Absent(f"{_KEY} is not declared required")
    given = sized(session)
    where = session.location(COMPUTE)
    before = session.listed(where)
    asked = Wanted(kind=COMPUTE, mixins=(*given.mixins, SSH_KEY), attributes=given.attributes)
    answer = session.send("POST", where, asked)
    if accepted(answer):
        session.made(answer)
    expect(refusal(answer), f"ssh_key without a key: expected a refusal, got {answer}")
    expect(not set(session.listed(where)) - set(before), "a machine that was refused is there")


@SUITE.check("OCCI-INFRA-080", level=Level.MUST, changes=True)
def user_data_is_given_once(session: OcciSession) -> None:
    """User data that a machine has is not updated."""
    session.category(USER_DATA)
    path = dressed(session).path
    with unchanged(session, path):
        other = base64.b64encode(b"#!/bin/sh\necho other\n").decode()
        answer = session.update(path, COMPUTE, attributes={_DATA: other})
        expect(refusal(answer), f"other user data for a machine that is there: got {answer}")


@SUITE.check("OCCI-EXT-003", changes=True)
def user_data_is_base64(session: OcciSession) -> None:
    """User data in Base64 comes back as it was given."""
    session.category(USER_DATA)
    told = session.read(dressed(session).path).attributes.get(_DATA)
    expect(isinstance(told, str), f"{_DATA} is {told!r}")
    try:
        decoded = base64.b64decode(str(told), validate=True)
    except ValueError:
        fail(f"{_DATA} is {told!r}, which is no Base64")
    expect(decoded == base64.b64decode(SCRIPT), f"{_DATA} is shown as {decoded!r}")


# Compute resource templates profile ---------------------------------------------------------------------


def _profile(session: OcciSession) -> dict[str, Category]:
    """The profile's templates that are offered, by term."""
    found = {
        size.term: session.model()[scheme + size.term]
        for scheme in reversed(CRTP_SCHEMES)
        for size in SIZES
        if scheme + size.term in session.model()
    }
    if not found:
        raise Absent("no template of the profile is offered")
    return found


@SUITE.check("OCCI-CRTP-001", "OCCI-CRTP-003")
def the_profile_is_whole(session: OcciSession) -> None:
    """small, medium and large are offered with compute and resource_tpl, and depend on that."""
    found = _profile(session)
    lacking = [each.term for each in SIZES if each.must and each.term not in found]
    expect(not lacking, f"the profile's {', '.join(lacking)} are not offered")
    for needed in (COMPUTE, RESOURCE_TPL):
        expect(needed in session.model(), f"{needed} is not offered")
    for each in found.values():
        expect(RESOURCE_TPL in each.rel, f"{each.id} depends on {each.rel!r}, and should on resource_tpl")


@SUITE.check("OCCI-CRTP-003", "OCCI-CRTP-002", cases=tuple(_TERMS))
def profile_templates_are_as_written(session: OcciSession, term: str) -> None:
    """The template has the title and the sizes that the profile gives it."""
    size, found = _TERMS[term], _profile(session).get(term)
    if found is None:
        if size.must:
            fail(f"{term} is not offered")
        raise Absent(f"{term} is not offered")
    expect(found.title == size.title, f"the title is {found.title!r} and should be {size.title!r}")
    known = defaults(session.detail(found.id))
    right = {_CORES: size.cores, _MEMORY: size.memory, EPHEMERAL[0].name: size.ephemeral}
    told = {name: known.get(name) for name in right}
    expect(told == right, f"the defaults of {term} are {told}, and should be {right}")


@SUITE.check(cases={EPHEMERAL[0].name: "OCCI-CRTP-004", EPHEMERAL[1].name: "OCCI-CRTP-005"})
def ephemeral_storage_is_declared(session: OcciSession, name: str) -> None:
    """The profile's templates declare the attribute, with the type and mutability of the profile."""
    row = next(each for each in EPHEMERAL if each.name == name)
    for found in _profile(session).values():
        told = found.properties.get(name)
        if told is None:
            fail(f"{found.id} does not tell {name}")
        flag = "mutable" if row.mutable else "immutable"
        expect(told.mutable == row.mutable, f"{name} should be {flag}, and {found.id} tells otherwise")
        detailed = session.detail(found.id).properties.get(name)
        kind = detailed.type if detailed is not None else "nothing"
        expect(kind == row.type, f"{name} of {found.id} is told as a {kind}, and should be a {row.type}")


@SUITE.check("OCCI-CRTP-002", "OCCI-CRTP-004", "OCCI-CRTP-005", changes=True)
def profile_templates_make_machines(session: OcciSession) -> None:
    """A machine made with small has all its sizes, scratch space and its device among them."""
    small = _profile(session).get("small")
    if small is None:
        raise Absent("small is not offered")
    found = session.read(dressed(session).path)
    if small.id not in found.mixins:
        found = session.read(session.create(sized(session, small.id)))
    right = {_CORES: 1, _MEMORY: 1.0, EPHEMERAL[0].name: 10.0}
    told = {name: found.attributes.get(name) for name in right}
    expect(told[EPHEMERAL[0].name] is not None, f"{EPHEMERAL[0].name} is not shown")
    expect(told | {EPHEMERAL[0].name: 10.0} == right, f"a small machine has {told}")
    expect(float(told[EPHEMERAL[0].name] or 0) >= 10.0, f"a small machine has {told}")
    device = found.attributes.get(EPHEMERAL[1].name)
    expect(isinstance(device, str) and device, f"{EPHEMERAL[1].name} is {device!r}")


@SUITE.check("OCCI-CRTP-004", changes=True)
def ephemeral_storage_is_immutable(session: OcciSession) -> None:
    """The size of scratch space is not changed by a client."""
    small = _profile(session).get("small")
    path = dressed(session).path
    if small is None or small.id not in session.read(path).mixins:
        raise Absent("no machine is made with small")
    with unchanged(session, path):
        session.update(path, COMPUTE, attributes={EPHEMERAL[0].name: 11.0})


@SUITE.check("OCCI-CRTP-006")
def the_profile_is_claimed(session: OcciSession) -> None:
    """The Server header of each answer claims the profile that is offered, refusals' too."""
    offered = _profile(session)
    whole = len(offered) == len(SIZES)
    for path in (QUERY, session.location(COMPUTE), f"{session.location(COMPUTE)}{session.name('nothing')}"):
        answer = session.send("GET", path)
        claim = _CLAIM.search(answer.header("server") or "")
        expect(claim, f"GET {path} ({answer}): Server is {answer.header('server')!r}, without OCCI-CRTP/1.1")
        extended = claim is not None and claim[1] is not None
        expect(whole or not extended, "OCCI-CRTP-EP is claimed, and not all six templates are offered")
