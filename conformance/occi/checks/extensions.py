"""Checks of what the EGI federation adds: the older context, security groups, how to authenticate."""

from __future__ import annotations

import json
from typing import Any

from conformance.checks import Absent, expect
from conformance.occi.aids import unchanged
from conformance.occi.cast import (
    PUBLIC_KEY,
    SCRIPT,
    machine,
    refusal,
    sized,
)
from conformance.occi.documents import (
    COMPUTE,
    Link,
    Wanted,
)
from conformance.occi.session import OcciSession
from conformance.occi.suite import SUITE
from conformance.occi.tables import (
    SECURITYGROUP,
    SECURITYGROUPLINK,
    type_of,
)

_OPENSTACK = "http://schemas.openstack.org/"
_OLD_DATA = f"{_OPENSTACK}compute/instance#user_data"
_OLD_KEY = f"{_OPENSTACK}instance/credentials#public_key"
_SOURCE, _TARGET = "occi.core.source", "occi.core.target"
_RULES = "occi.securitygroup.rules"
_WEB = {"type": "inbound", "protocol": "tcp", "port": "80", "range": "0.0.0.0/0", "ipversion": "ipv4"}
_SSH = {"type": "inbound", "protocol": "tcp", "port": "22", "range": "10.0.0.0/8", "ipversion": "ipv4"}


# The older context --------------------------------------------------------------------------------------


@SUITE.check("OCCI-EXT-001", "OCCI-EXT-002", changes=True)
def the_older_context_is_taken(session: OcciSession) -> None:
    """A machine made with OpenStack's user_data and public_key shows both."""
    values: dict[str, tuple[str, Any]] = {
        _OLD_DATA: ("org.openstack.compute.user_data", SCRIPT),
        _OLD_KEY: ("org.openstack.credentials.publickey.data", PUBLIC_KEY),
    }
    mixins = [each for each in values if each in session.model()]
    if not mixins:
        raise Absent("the older mixins are not offered")
    wanted = sized(session, **dict(values[each] for each in mixins))
    path = session.create(
        Wanted(kind=COMPUTE, mixins=(*wanted.mixins, *mixins), attributes=wanted.attributes)
    )
    found = session.read(path)
    for mixin in mixins:
        name, value = values[mixin]
        told = found.attributes.get(name)
        expect(mixin in found.mixins, f"the machine was made with {mixin} and does not show it")
        expect(told == value, f"{name} was given as {value!r} and is {told!r}")


# Security groups ----------------------------------------------------------------------------------------


def _group(session: OcciSession, *rules: dict[str, str], media: str = "text/plain") -> str:
    session.category(SECURITYGROUP)
    attributes = {"occi.core.title": session.name("group"), _RULES: list(rules)}
    return session.create(Wanted(kind=SECURITYGROUP, attributes=attributes), media=media)


def _rules(session: OcciSession, path: str, media: str = "text/plain") -> list[dict[str, Any]]:
    """The rules that a group shows: an array, in text one written as JSON."""
    told = session.read(path, media).attributes.get(_RULES)
    rules = json.loads(told) if isinstance(told, str) else told
    expect(isinstance(rules, list), f"{_RULES} is {told!r}, and should be an array")
    return list(rules or [])


def _has(rules: list[dict[str, Any]], rule: dict[str, str]) -> bool:
    return any(
        {name: str(each.get(name)) for name in ("type", "protocol", "port", "range")}
        == {name: rule[name] for name in ("type", "protocol", "port", "range")}
        for each in rules
    )


@SUITE.check("OCCI-EXT-004", changes=True, cases=("text/plain", "text/occi", "application/occi+json"))
def groups_have_the_rules_they_are_given(session: OcciSession, media: str) -> None:
    """A group shows its rules and state, and an update replaces the rules."""
    path = _group(session, _WEB, media=media)
    expect(_has(_rules(session, path, media), _WEB), f"{_WEB} is not among the rules of the group")
    for row in type_of(SECURITYGROUP).attributes[1:2]:
        strays = row.strays(session.read(path).attributes.get(row.name))
        expect(not strays, strays)
    answer = session.update(path, SECURITYGROUP, media, attributes={_RULES: [_SSH]})
    session.ok(answer, "updating the rules", 200, 201)
    rules = _rules(session, path, media)
    expect(_has(rules, _SSH), f"{_SSH} was given in an update and is not among the rules")
    expect(not _has(rules, _WEB), "an update of the rules left one that it does not have")


_BAD_RULES: dict[str, dict[str, str]] = {
    "a direction that is none": {**_WEB, "type": "sideways"},
    "a range that is none": {**_WEB, "range": "somewhere"},
    "a port that is none": {**_WEB, "port": "70000"},
    "no protocol": {"type": "inbound", "protocol": "nonsense", "port": "80"},
}


@SUITE.check("OCCI-EXT-004", changes=True, cases=tuple(_BAD_RULES))
def rules_that_are_none_are_refused(session: OcciSession, case: str) -> None:
    """A rule that means nothing is refused, and the rules stay."""
    path = _group(session, _WEB)
    with unchanged(session, path):
        answer = session.update(path, SECURITYGROUP, attributes={_RULES: [_BAD_RULES[case]]})
        expect(refusal(answer), f"{case}: expected a refusal, got {answer}")


@SUITE.check("OCCI-EXT-005", changes=True)
def machines_join_and_leave_groups(session: OcciSession) -> None:
    """A securitygrouplink puts a machine into a group, shows in it, and its end takes the machine out."""
    session.category(SECURITYGROUPLINK)
    source, target = machine(session, "active"), _group(session, _WEB)
    ends = {_SOURCE: source, _TARGET: target}
    path = session.create(Wanted(kind=SECURITYGROUPLINK, attributes=ends))
    found = session.read(path)
    told = {name: session.path(str(found.attributes.get(name))) for name in ends}
    expect(told == ends, f"made with {ends}, it shows {told}")
    inside = [session.path(each.target) for each in session.read(source).links]
    expect(target in inside, f"{source} does not show its link to the group")
    session.state(path, "occi.securitygrouplink.state", "active", due=True)
    session.deleted(path)
    inside = [session.path(each.target) for each in session.read(source).links]
    expect(target not in inside, f"{source} shows a link to the group that was deleted")
    session.get(target)


@SUITE.check("OCCI-EXT-005", changes=True)
def machines_are_made_in_groups(session: OcciSession) -> None:
    """A machine made with an inline link to a group is in it."""
    session.category(SECURITYGROUPLINK)
    target = _group(session, _WEB)
    link = Link(target=target, rel=(SECURITYGROUP,), categories=(SECURITYGROUPLINK,))
    wanted = sized(session)
    source = session.create(
        Wanted(kind=COMPUTE, mixins=wanted.mixins, attributes=wanted.attributes, links=(link,))
    )
    inside = [session.path(each.target) for each in session.read(source).links]
    expect(target in inside, f"{source} was made in a group and does not show it")
    session.deleted(source)


# Authentication -----------------------------------------------------------------------------------------


@SUITE.check("OCCI-EXT-012")
def a_401_tells_how_to_authenticate(session: OcciSession) -> None:
    """A request without credentials is answered by 401 and WWW-Authenticate."""
    if not session.authorized:
        raise Absent("the endpoint is judged without credentials")
    answer = session.send("GET", session.location(session.cheap().kind), anonymous=True)
    session.refused(answer, "a request without credentials", 401)
    told = answer.header("www-authenticate") or ""
    expect(told, "the 401 has no WWW-Authenticate")
    if told.lower().startswith("keystone"):
        expect("uri=" in told.lower(), f"WWW-Authenticate names Keystone without its URI: {told!r}")
    session.note(f"WWW-Authenticate: {told}")
