"""Checks of requests and replies as they are on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from conformance.checks import Absent, Unknown, expect
from conformance.ec2 import signing, things
from conformance.ec2.reading import Reply, document, reply, said
from conformance.ec2.session import FORM, Ec2Session, filters, pairs
from conformance.ec2.suite import SUITE
from conformance.wire import Answer

ZONES = "DescribeAvailabilityZones"
#: Text that is markup in XML, blanks that XML's rules could change, and what a form must encode.
MARKUP = "<a href=\"b\">&amp; 'c' ]]> + %41  d\te&f=g;h"
BEYOND_ASCII = "Zürich – 東京 😀"


def _zones(found: Reply) -> list[str]:
    return sorted(found.texts("availabilityZoneInfo/item/zoneName"))


@SUITE.check("EC2-WIRE-001", "EC2-SIG-001")
def post(session: Ec2Session) -> None:
    """A signed POST is answered."""
    expect(_zones(session.ok(ZONES)), "there is no zone in the answer to a POST")


@SUITE.check("EC2-WIRE-002", "EC2-SIG-001")
def get(session: Ec2Session) -> None:
    """A signed GET is answered as the POST is."""
    by_get, by_post = _zones(session.ok(ZONES, method="GET")), _zones(session.ok(ZONES))
    expect(by_get == by_post, f"GET tells the zones {by_get}, POST {by_post}")


@SUITE.check("EC2-WIRE-003")
def query_and_body(session: Ec2Session) -> None:
    """The action may be in the query and the other parameters in the body."""
    head, rest = pairs(ZONES, {}), list(filters({"zone-name": "nowhere"}).items())
    answer = session.signed(rest, query=head)
    if answer.status != 200:
        raise Absent(f"parameters are read from one place only: {said(answer) or answer}")
    expect(not _zones(reply(answer, ZONES)), "the filter in the body was not obeyed")


@SUITE.check("EC2-WIRE-004", cases=("DescribeRegions", ZONES, "DescribeSecurityGroups"))
def root(session: Ec2Session, action: str) -> None:
    """The reply's root is called by the action."""
    name = session.ok(action).name
    expect(name == f"{action}Response", f"the root is {name}, not {action}Response")


@SUITE.check("EC2-WIRE-005")
def namespace(session: Ec2Session) -> None:
    """The reply's namespace has the request's version and the final slash."""
    _in_namespace(session, "2016-11-15")


@SUITE.check("EC2-WIRE-006", cases=("2014-10-01", "2013-10-15", "2012-12-01"))
def older_versions(session: Ec2Session, version: str) -> None:
    """Older versions are answered in their namespace."""
    _in_namespace(session, version)


def _in_namespace(session: Ec2Session, version: str) -> None:
    found = reply(session.send(ZONES, version=version), f"{ZONES} of version {version}").namespace
    wanted = f"http://ec2.amazonaws.com/doc/{version}/"
    expect(found == wanted, f"the namespace is {found!r}, not {wanted!r}")


@SUITE.check("EC2-WIRE-007", cases=("1999-01-01", "nonsense"))
def unknown_versions(session: Ec2Session, version: str) -> None:
    """A version that there is not is NoSuchVersion."""
    answer = session.send(ZONES, version=version)
    session.refusal_of(ZONES, {"Version": version}, answer, "NoSuchVersion")


@SUITE.check("EC2-WIRE-008", "EC2-ERR-002", cases=("describeavailabilityzones", "DESCRIBEAVAILABILITYZONES"))
def actions_have_cases(session: Ec2Session, action: str) -> None:
    """An action in other letters is another action, which there is not."""
    session.refused(action, None, "InvalidAction")


@SUITE.check("EC2-WIRE-008", "EC2-ERR-004")
def parameters_have_cases(session: Ec2Session) -> None:
    """A parameter in other letters is not the parameter."""
    answer = session.send(ZONES, {"zonename.1": things.zone(session)})
    if answer.status == 200:
        many = _zones(reply(answer, ZONES))
        all_of_them = _zones(session.ok(ZONES))
        expect(many == all_of_them, f"zonename.1 was read as ZoneName.1: {many} of {all_of_them}")
        return
    session.refusal_of(ZONES, {"zonename.1": "…"}, answer, "UnknownParameter")


@SUITE.check("EC2-WIRE-009", cases=("reply", "refusal"))
def media_type(session: Ec2Session, case: str) -> None:
    """A reply is text/xml with the charset UTF-8, and so is a refusal."""
    answer = session.send(ZONES, {} if case == "reply" else {"ZoneName.1": "nowhere-9z"})
    told = (answer.header("content-type") or "").replace(" ", "").lower()
    expect(told == "text/xml;charset=utf-8", f"Content-Type is {answer.header('content-type')!r}")


@SUITE.check("EC2-WIRE-010", changes=True)
def text_beyond_ascii(session: Ec2Session) -> None:
    """A tag beyond ASCII comes back as it was sent."""
    _comes_back(session, BEYOND_ASCII)


@SUITE.check("EC2-WIRE-013", changes=True)
def markup_in_text(session: Ec2Session) -> None:
    """A tag full of markup comes back as it was sent."""
    _comes_back(session, MARKUP)


def _comes_back(session: Ec2Session, text: str) -> None:
    volume = things.thing(session, "volume")
    key = text[:100]
    session.ok("CreateTags", {"ResourceId.1": volume, "Tag.1.Key": key, "Tag.1.Value": text})
    session.afterwards(lambda: session.remove("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": key}))
    found = session.ok("DescribeTags", filters({"resource-id": volume, "key": _literal(key)}))
    told = [(each.get("key"), each.get("value")) for each in found.items("tagSet")]
    expect(told == [(key, text)], f"the tag {key!r}: {text!r} came back as {told!r}")


def _literal(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)


@SUITE.check("EC2-WIRE-011")
def request_ids(session: Ec2Session) -> None:
    """Each reply has a requestId of its own."""
    found = [session.ok(ZONES).request_id for _ in range(3)]
    expect(all(found), "a reply has no requestId")
    expect(len(set(found)) == 3, f"the requestIds of three requests are {found}")


@SUITE.check("EC2-WIRE-012", cases=("reply", "refusal"))
def request_ids_in_headers(session: Ec2Session, case: str) -> None:
    """The header has the document's request id."""
    answer = session.send(ZONES if case == "reply" else "Nonsense")
    told = said(answer)
    in_document = told.request_id if told else reply(answer, ZONES).request_id
    in_header = answer.header("x-amzn-requestid") or answer.header("x-amz-request-id")
    expect(in_header, "there is no header x-amzn-RequestId or x-amz-request-id")
    expect(in_header == in_document, f"the header says {in_header}, the document {in_document}")


def _chosen(session: Ec2Session, params: Callable[[str], Mapping[str, object]]) -> str:
    """A zone that can be chosen in the ordinary way; without that, other ways cannot be judged."""
    zone = things.zone(session)
    found = _zones(session.ok(ZONES, params(zone)))
    if found != [zone]:
        raise Unknown(f"{params(zone)} tells {found}, so it cannot be told what else is read")
    return zone


@SUITE.check("EC2-WIRE-014", cases=("0", "1", "7"))
def lists_begin_anywhere(session: Ec2Session, number: str) -> None:
    """A list that begins at another number is read."""
    zone = _chosen(session, lambda zone: {"ZoneName.1": zone})
    found = _zones(session.ok(ZONES, {f"ZoneName.{number}": zone}))
    expect(found == [zone], f"ZoneName.{number}={zone} told the zones {found}")


@SUITE.check("EC2-WIRE-014")
def filters_have_gaps(session: Ec2Session) -> None:
    """Filters and their values may be numbered with gaps, from 0."""
    zone = _chosen(session, lambda zone: filters({"zone-name": zone, "state": "available"}))
    params = {
        "Filter.0.Name": "zone-name",
        "Filter.0.Value.0": "nowhere",
        "Filter.0.Value.12": zone,
        "Filter.5.Name": "state",
        "Filter.5.Value.3": "available",
    }
    found = _zones(session.ok(ZONES, params))
    expect(found == [zone], f"filters for {zone} told the zones {found}")


@SUITE.check("EC2-WIRE-014", changes=True)
def lists_of_structures_have_gaps(session: Ec2Session) -> None:
    """Members belong together by their number, and numbers are not texts: 10 is behind 2."""
    volume = things.thing(session, "volume")
    wanted = {"ten": "10", "two": "2", "nought": "0"}
    params: dict[str, object] = {"ResourceId.0": volume}
    for key, value in wanted.items():
        params |= {f"Tag.{value}.Key": key, f"Tag.{value}.Value": value}
    session.ok("CreateTags", params)
    remove = {"ResourceId.1": volume, "Tag.1.Key": "ten", "Tag.2.Key": "two", "Tag.3.Key": "nought"}
    session.afterwards(lambda: session.remove("DeleteTags", remove))
    told = session.ok("DescribeTags", filters({"resource-id": volume, "key": list(wanted)}))
    found = {each.get("key"): each.get("value") for each in told.items("tagSet")}
    expect(found == wanted, f"the tags {wanted} came to be {found}")


@SUITE.check("EC2-WIRE-015", cases=("true", "True", "1"))
def booleans_in_requests(session: Ec2Session, word: str) -> None:
    """What means true is read so."""
    session.refused(ZONES, {"DryRun": word}, "DryRunOperation", status=412)


@SUITE.check("EC2-WIRE-015", cases=("false", "False", "0"))
def booleans_in_requests_that_are_false(session: Ec2Session, word: str) -> None:
    """What means false is read so."""
    session.ok(ZONES, {"DryRun": word})


#: Calls whose replies have many members of a kind.
TELLING: Mapping[str, dict[str, object]] = {
    "DescribeVpcs": {},
    "DescribeSubnets": {},
    "DescribeSecurityGroupRules": {},
    "DescribeInstanceTypes": {},
    "DescribeVolumes": {"VolumeId.1": "{volume}"},
    "DescribeInstances": {"InstanceId.1": "{machine}"},
}
_FLAGS = frozenset(
    {
        "bareMetal",
        "burstablePerformanceSupported",
        "currentGeneration",
        "defaultForAz",
        "deleteOnTermination",
        "ebsOptimized",
        "encrypted",
        "freeTierEligible",
        "hibernationSupported",
        "isDefault",
        "isEgress",
        "mapPublicIpOnLaunch",
        "multiAttachEnabled",
        "primary",
        "sourceDestCheck",
    }
)
_TIMES = frozenset({"createTime", "launchTime", "attachTime", "startTime"})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})Z")


@SUITE.check("EC2-WIRE-017", changes=True, cases=tuple(TELLING))
def booleans_in_replies(session: Ec2Session, action: str) -> None:
    """Booleans in replies are true or false."""
    found = session.ok(action, things.filled(session, TELLING[action]))
    wrong = {
        f"{each.name}={each.content}"
        for each in found.walk()
        if each.name in _FLAGS and not each.children and each.content not in {"true", "false"}
    }
    expect(not wrong, f"not true or false: {', '.join(sorted(wrong))}")


@SUITE.check("EC2-WIRE-016", changes=True, cases=("DescribeVolumes", "DescribeInstances"))
def times_in_replies(session: Ec2Session, action: str) -> None:
    """Times in replies are in UTC, with milliseconds and Z."""
    found = session.ok(action, things.filled(session, TELLING[action]))
    times = {each.content for each in found.walk() if each.name in _TIMES and each.content}
    expect(times, "there is no time in the reply")
    wrong = sorted(each for each in times if not _TIME.fullmatch(each))
    expect(not wrong, f"times not as 2026-01-02T03:04:05.000Z: {', '.join(wrong)}")


@SUITE.check("EC2-WIRE-018", cases=("plus", "percent", "everything"))
def encodings_of_forms(session: Ec2Session, case: str) -> None:
    """A form may be encoded as HTML does it, or more than it must be."""
    zone = _chosen(session, lambda zone: filters({"zone-name": zone}))
    body = {
        "plus": "&Filter.1.Name=zone-name&Filter.1.Value.1=no+where&Filter.1.Value.2=" + zone,
        "percent": "&Filter.1.Name=zone%2Dname&Filter.1.Value.1=no%20where&Filter.1.Value.2=" + zone,
        "everything": "&Filter.1.Name=zone-name&Filter.1.Value.1="
        + "".join(f"%{ord(each):02x}" for each in zone),
    }[case]
    found = _zones(reply(_form(session, f"Action={ZONES}&Version=2016-11-15{body}"), ZONES))
    expect(found == [zone], f"the form {body[1:]} told the zones {found}, not {zone}")


@SUITE.check("EC2-WIRE-018", changes=True)
def a_plus_is_a_blank(session: Ec2Session) -> None:
    """In a form + is a blank, and %2B is +."""
    volume = things.thing(session, "volume")
    text = f"Action=CreateTags&Version=2016-11-15&ResourceId.1={volume}&Tag.1.Key=sum&Tag.1.Value=a+b%2Bc"
    reply(_form(session, text), "CreateTags")
    remove = {"ResourceId.1": volume, "Tag.1.Key": "sum"}
    session.afterwards(lambda: session.remove("DeleteTags", remove))
    found = session.ok("DescribeTags", filters({"resource-id": volume, "key": "sum"}))
    told = found.get("tagSet/item/value")
    expect(told == "a b+c", f"a+b%2Bc was read as {told!r}, not as 'a b+c'")


def _form(session: Ec2Session, text: str) -> Answer:
    """The answer to a signed POST with exactly this body."""
    body = text.encode()
    given = {"host": session.wire.host, "content-type": FORM}
    every = signing.in_header(session.signing, "POST", session.path, (), given, body)
    return session.patiently(lambda: session.wire.send("POST", session.root, every, body))


@SUITE.check("EC2-WIRE-019")
def who_am_i(session: Ec2Session) -> None:
    """STS's GetCallerIdentity tells the account."""
    from msgspec.structs import replace

    signer = replace(session.signing, service="sts")
    answer = session.send("GetCallerIdentity", version="2011-06-15", signing=signer)
    if answer.status != 200:
        raise Absent(f"STS is not answered here: {said(answer) or answer}")
    found = Reply(document(answer), answer)
    account = found.get("GetCallerIdentityResult/Account")
    expect(re.fullmatch(r"\d{12}", account), f"the account is {account!r}, not 12 digits")
    for name in (
        "GetCallerIdentityResult/Arn",
        "GetCallerIdentityResult/UserId",
        "ResponseMetadata/RequestId",
    ):
        expect(found.get(name), f"there is no {name}")


@SUITE.check("EC2-WIRE-021", cases=("DescribeRegions", ZONES, "DescribeVpcs", "DescribeSubnets"))
def lists_have_items(session: Ec2Session, action: str) -> None:
    """A list is an element with an item for each entry."""
    set_name = {
        "DescribeRegions": "regionInfo",
        ZONES: "availabilityZoneInfo",
        "DescribeVpcs": "vpcSet",
        "DescribeSubnets": "subnetSet",
    }[action]
    found = session.ok(action).node(set_name)
    expect(
        set(found.names) <= {"item"}, f"{set_name} has {', '.join(sorted(set(found.names)))}, not item alone"
    )
