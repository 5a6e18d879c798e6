"""Checks of tags."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.reading import Node
from conformance.ec2.session import Ec2Session, filters, tags
from conformance.ec2.suite import SUITE


def _told(found: Node, path: str) -> dict[str, str]:
    return {each.get("key"): each.get("value") for each in found.items(path)}


def _of(session: Ec2Session, resource: str) -> dict[str, str]:
    return _told(session.ok("DescribeTags", filters({"resource-id": resource})), "tagSet")


@SUITE.check("EC2-TAG-001", changes=True, cases=("volume", "group", "key", "subnet", "snapshot"))
def a_tag(session: Ec2Session, kind: str) -> None:
    """A tag is told with its resource and by DescribeTags, and not any more when it was deleted."""
    action, param, path = {
        "volume": ("DescribeVolumes", "VolumeId.1", "volumeSet/item/tagSet"),
        "group": ("DescribeSecurityGroups", "GroupId.1", "securityGroupInfo/item/tagSet"),
        "key": ("DescribeKeyPairs", "KeyName.1", "keySet/item/tagSet"),
        "subnet": ("DescribeSubnets", "SubnetId.1", "subnetSet/item/tagSet"),
        "snapshot": ("DescribeSnapshots", "SnapshotId.1", "snapshotSet/item/tagSet"),
    }[kind]
    name = resource = things.thing(session, kind)
    if kind == "key":
        resource = session.ok("DescribeKeyPairs", {"KeyName.1": name}).text("keySet/item/keyPairId")
    key = session.name("tag")
    target = {"ResourceId.1": resource, "Tag.1.Key": key}
    session.afterwards(lambda: session.remove("DeleteTags", target))
    session.ok("CreateTags", {**target, "Tag.1.Value": "told"})
    found = _told(session.ok(action, {param: name}), path)
    expect(found.get(key) == "told", f"{action} tells the tags {found}, not {key}")
    expect(_of(session, resource).get(key) == "told", "DescribeTags does not tell the tag")
    session.ok("DeleteTags", target)
    found = _told(session.ok(action, {param: name}), path)
    expect(key not in found, f"{action} tells a tag that was deleted")
    expect(key not in _of(session, resource), "DescribeTags tells a tag that was deleted")


@SUITE.check("EC2-TAG-002", changes=True)
def tags_by_value(session: Ec2Session) -> None:
    """A tag of another value is not deleted, one of the value is, and one without value always."""
    volume = things.thing(session, "volume")
    first, second = session.name("tag"), session.name("tag")
    target = {"ResourceId.1": volume, "Tag.1.Key": first, "Tag.2.Key": second}
    session.afterwards(lambda: session.remove("DeleteTags", target))
    session.ok("CreateTags", {**target, "Tag.1.Value": "a", "Tag.2.Value": "b"})
    session.ok("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": first, "Tag.1.Value": "other"})
    expect(_of(session, volume).get(first) == "a", "a tag was deleted by another value than its own")
    session.ok("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": first, "Tag.1.Value": "a"})
    session.ok("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": second})
    left = set(_of(session, volume)) & {first, second}
    expect(not left, f"tags that were deleted are told: {', '.join(left)}")


#: What is made with tags: what the call says, the kind of resource, and where its id is told.
MADE: Mapping[str, tuple[dict[str, object], str, str]] = {
    "CreateVolume": ({"AvailabilityZone": "{zone}", "Size": 1}, "volume", "volumeId"),
    "CreateSecurityGroup": (
        {"GroupName": "{name}", "GroupDescription": "x", "VpcId": "{home}"},
        "security-group",
        "groupId",
    ),
    "ImportKeyPair": ({"KeyName": "{name}", "PublicKeyMaterial": "{public-key}"}, "key-pair", "keyPairId"),
    "CreateSnapshot": ({"VolumeId": "{volume}"}, "snapshot", "snapshotId"),
}


@SUITE.check("EC2-TAG-003", changes=True, cases=tuple(MADE))
def tags_at_creation(session: Ec2Session, action: str) -> None:
    """Tags given at creation are there, and answered."""
    params, kind, path = MADE[action]
    wanted = {"Name": "é & <b>", "empty": ""}
    made = session.make(action, {**things.filled(session, params), **tags(kind, **wanted)})
    answered = _told(made, "tagSet")
    expect(answered == wanted, f"{action} answers the tags {answered}, not {wanted}")
    found = _of(session, made.text(path))
    expect(found == wanted, f"the tags are {found}, not {wanted}")


@SUITE.check("EC2-TAG-003", changes=True, cases=("no tags", "another kind", "no kind"))
def tags_at_creation_that_cannot_be(session: Ec2Session, case: str) -> None:
    """A tag specification without tags, or of another kind of resource, is refused, and nothing is made."""
    wrong = {
        "no tags": {"TagSpecification.1.ResourceType": "security-group"},
        "another kind": tags("instance", a="b"),
        "no kind": {"TagSpecification.1.Tag.1.Key": "a", "TagSpecification.1.Tag.1.Value": "b"},
    }[case]
    name = session.name("group")
    params = {"GroupName": name, "GroupDescription": "x", "VpcId": things.home(session), **wrong}
    session.refused(
        "CreateSecurityGroup", params, "InvalidParameterValue", "InvalidParameter", "MissingParameter"
    )
    found = session.ok("DescribeSecurityGroups", filters({"group-name": name}))
    expect(not found.items("securityGroupInfo"), "the refused call made a group")


@SUITE.check("EC2-TAG-004", changes=True)
def too_many_tags(session: Ec2Session) -> None:
    """The 51st tag is TagLimitExceeded, and none of its call is written."""
    made = session.make("CreateVolume", {"AvailabilityZone": things.zone(session), "Size": 1})
    volume = made.text("volumeId")
    many: dict[str, object] = {"ResourceId.1": volume}
    for number in range(1, 50):
        many |= {f"Tag.{number}.Key": f"key {number}", f"Tag.{number}.Value": "x"}
    session.ok("CreateTags", many)
    two: dict[str, object] = {"ResourceId.1": volume}
    for number in (1, 2):
        two |= {f"Tag.{number}.Key": f"more {number}", f"Tag.{number}.Value": "x"}
    session.refused("CreateTags", two, "TagLimitExceeded")
    found = _of(session, volume)
    expect(len(found) == 49, f"after the refusal the volume has {len(found)} tags, not 49")
