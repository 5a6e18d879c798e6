"""Checks of pages: MaxResults and NextToken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.checks import Absent, Unknown, expect
from conformance.ec2 import things
from conformance.ec2.reading import Node, said
from conformance.ec2.session import Ec2Session, filters
from conformance.ec2.suite import SUITE

#: Listings that have pages: where entries are, and what tells them apart.
LISTINGS: Mapping[str, tuple[str, str]] = {
    "DescribeInstances": ("reservationSet/item/instancesSet/item", "instanceId"),
    "DescribeInstanceStatus": ("instanceStatusSet/item", "instanceId"),
    "DescribeInstanceTypes": ("instanceTypeSet/item", "instanceType"),
    "DescribeInternetGateways": ("internetGatewaySet/item", "internetGatewayId"),
    "DescribeNetworkAcls": ("networkAclSet/item", "networkAclId"),
    "DescribeNetworkInterfaces": ("networkInterfaceSet/item", "networkInterfaceId"),
    "DescribeRouteTables": ("routeTableSet/item", "routeTableId"),
    "DescribeSecurityGroupRules": ("securityGroupRuleSet/item", "securityGroupRuleId"),
    "DescribeSecurityGroups": ("securityGroupInfo/item", "groupId"),
    "DescribeSnapshots": ("snapshotSet/item", "snapshotId"),
    "DescribeSubnets": ("subnetSet/item", "subnetId"),
    "DescribeVolumes": ("volumeSet/item", "volumeId"),
    "DescribeVpcs": ("vpcSet/item", "vpcId"),
}
#: What keeps a listing short at an endpoint that has a great many.
OWN: Mapping[str, dict[str, object]] = {"DescribeSnapshots": {"Owner.1": "self"}}


def _token(page: Node) -> str:
    """The token of a page that is not the last one."""
    if not page.get("nextToken"):
        raise Unknown("the first page of seven tags has no nextToken")
    return page.text("nextToken")


def _tags_of(session: Ec2Session) -> dict[str, str]:
    return filters({"resource-id": things.tagged(session)})


@SUITE.check("EC2-PAGE-001", changes=True)
def pages_of_tags(session: Ec2Session) -> None:
    """Of seven tags five are told on the first page, with a token, and two on the second, without."""
    sizes = []
    params = _tags_of(session)
    first = session.ok("DescribeTags", {**params, "MaxResults": 5})
    sizes.append(len(first.items("tagSet")))
    expect(
        first.get("nextToken"),
        f"there are 7 tags, MaxResults is 5, and there is no nextToken ({sizes[0]} told)",
    )
    expect(sizes[0] <= 5, f"MaxResults is 5, and {sizes[0]} are told")
    second = session.ok("DescribeTags", {**params, "MaxResults": 5, "NextToken": first.get("nextToken")})
    sizes.append(len(second.items("tagSet")))
    expect(sum(sizes) == 7, f"pages of {sizes} tags; there are 7")
    expect(not second.get("nextToken"), "the last page has a nextToken")


@SUITE.check("EC2-PAGE-002", changes=True)
def pages_of_tags_are_the_whole(session: Ec2Session) -> None:
    """The pages of seven tags have each of them once."""
    params = _tags_of(session)
    whole = sorted(session.ok("DescribeTags", params).texts("tagSet/item/key"))
    told = [key for page in session.pages("DescribeTags", params, 5) for key in page.texts("tagSet/item/key")]
    expect(sorted(told) == whole, f"the pages told {sorted(told)}, the whole is {whole}")


@SUITE.check("EC2-PAGE-002", cases=tuple(LISTINGS))
def pages_are_the_whole(session: Ec2Session, action: str) -> None:
    """The pages of a listing have each entry once."""
    at, key = LISTINGS[action]
    params = OWN.get(action, {})
    for _ in range(3):  # what others begin and end meanwhile is no fault of the pages
        before = {each.text(key) for each in session.ok(action, params).all(at)}
        told = [each.text(key) for page in session.pages(action, params, 5) for each in page.all(at)]
        after = {each.text(key) for each in session.ok(action, params).all(at)}
        if before == after:
            break
    twice = sorted({each for each in told if told.count(each) > 1})
    expect(not twice, f"told on two pages: {', '.join(twice)}")
    missing, more = before - set(told), set(told) - before
    expect(not missing, f"on no page: {', '.join(sorted(missing)[:10])} ({len(missing)} of {len(before)})")
    expect(not more, f"on a page, and not in the whole: {', '.join(sorted(more)[:10])}")


#: Values of MaxResults that are refused: by the model's limits, or those told in prose.
LIMITS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "DescribeInstances": ("5 to 1000", (0, 4, 1001)),
    "DescribeInstanceTypes": ("5 to 100", (0, 4, 101)),
    "DescribeSecurityGroups": ("5 to 1000", (0, 4, 1001)),
    "DescribeSubnets": ("5 to 1000", (0, 4, 1001)),
    "DescribeVpcs": ("5 to 1000", (0, 4, 1001)),
    "DescribeRouteTables": ("5 to 100", (0, 4, 101)),
    "DescribeNetworkInterfaces": ("5 to 1000", (4, 1001)),
    "DescribeTags": ("5 to 1000", (4, 1001)),
    "DescribeVolumes": ("5 to 1000", (4,)),
}


@SUITE.check("EC2-PAGE-003", cases=tuple(LIMITS))
def sizes_of_pages(session: Ec2Session, action: str) -> None:
    """MaxResults outside of the operation's limits is InvalidParameterValue."""
    for size in LIMITS[action][1]:
        session.refused(action, {"MaxResults": size}, "InvalidParameterValue")


@SUITE.check("EC2-PAGE-004", cases=(*LISTINGS, "DescribeTags"))
def tokens_that_are_none(session: Ec2Session, action: str) -> None:
    """A token that nobody was given is refused."""
    for token in ("nonsense", "AAAAAAAAAAAAAAAAAAAAAAAA", "'; --", "é"):
        params = {"MaxResults": 5, "NextToken": token}
        session.refused(action, params, "InvalidNextToken", "InvalidParameterValue", "InvalidPaginationToken")


@SUITE.check("EC2-PAGE-004", changes=True)
def tokens_that_were_changed(session: Ec2Session) -> None:
    """A token with another character is refused, or read as what it was: nothing is told twice or made up."""
    params = {**_tags_of(session), "MaxResults": 5}
    first = session.ok("DescribeTags", params)
    token = _token(first)
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    answer = session.send("DescribeTags", {**params, "NextToken": changed})
    told = said(answer)
    codes = {"InvalidNextToken", "InvalidParameterValue", "InvalidPaginationToken"}
    expect(
        told is not None and told.code in codes, f"a changed token: expected a refusal, got {told or answer}"
    )


@SUITE.check("EC2-PAGE-005", changes=True)
def pages_of_named_instances(session: Ec2Session) -> None:
    """MaxResults beside ids of instances is InvalidParameterCombination."""
    params = {"InstanceId.1": things.machine(session), "MaxResults": 5}
    session.refused("DescribeInstances", params, "InvalidParameterCombination")


@SUITE.check("EC2-PAGE-006", changes=True)
def pages_while_entries_go(session: Ec2Session) -> None:
    """What was told on one page is deleted, and the next page skips nothing."""
    made = session.make("CreateVolume", {"AvailabilityZone": things.zone(session), "Size": 1})
    volume = made.text("volumeId")
    wanted: dict[str, Any] = {"ResourceId.1": volume}
    keys = [f"key {number}" for number in range(1, 9)]
    for number, key in enumerate(keys, 1):
        wanted |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": "x"}
    session.ok("CreateTags", wanted)
    params = {**filters({"resource-id": volume}), "MaxResults": 5}
    first = session.ok("DescribeTags", params)
    told = first.texts("tagSet/item/key")
    gone = {f"Tag.{number}.Key": key for number, key in enumerate(told[:3], 1)}
    session.ok("DeleteTags", {"ResourceId.1": volume, **gone})
    rest = session.ok("DescribeTags", {**params, "NextToken": _token(first)})
    missing = set(keys) - set(told) - set(rest.texts("tagSet/item/key"))
    expect(
        not missing,
        f"three tags of the first page were deleted, and no page has {', '.join(sorted(missing))}",
    )


@SUITE.check("EC2-PAGE-007", changes=True)
def tokens_of_another_filter(session: Ec2Session) -> None:
    """A token with another filter than its own is refused."""
    first = session.ok("DescribeTags", {**_tags_of(session), "MaxResults": 5})
    other = {**filters({"resource-type": "volume", "key": "nothing"}), "MaxResults": 5}
    answer = session.send("DescribeTags", {**other, "NextToken": _token(first)})
    if answer.status == 200:
        raise Absent("a token may be used with another filter")
    session.refusal_of("DescribeTags", other, answer, "InvalidNextToken", "InvalidParameterValue")


@SUITE.check("EC2-PAGE-008", changes=True)
def tokens_of_another_operation(session: Ec2Session) -> None:
    """A token of another operation is refused, or changes nothing."""
    token = _token(session.ok("DescribeTags", {**_tags_of(session), "MaxResults": 5}))
    whole = session.ok("DescribeVpcs").texts("vpcSet/item/vpcId")
    params = {"MaxResults": 1000, "NextToken": token}
    answer = session.send("DescribeVpcs", params)
    if answer.status == 200:
        told = session.granted("DescribeVpcs", answer).texts("vpcSet/item/vpcId")
        expect(told == whole, f"with a token of DescribeTags, DescribeVpcs told {told}, not {whole}")
        return
    session.refusal_of("DescribeVpcs", params, answer, "InvalidNextToken", "InvalidParameterValue")
