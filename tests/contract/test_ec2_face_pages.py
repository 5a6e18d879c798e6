"""Listings of the EC2 face on both databases: as many questions for a hundred things as for ten, and pages."""

from __future__ import annotations

from typing import Any

import pytest
from ec2_face import Ec2Cloud
from simulation import Cloud
from sqlalchemy import event

from benchmarks.stock import stock

LISTINGS = (
    "DescribeAddresses",
    "DescribeImages",
    "DescribeInstanceStatus",
    "DescribeInstances",
    "DescribeKeyPairs",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVolumeStatus",
    "DescribeVolumes",
    "DescribeVolumesModifications",
)
TAGGED = {"Filter.1.Name": "tag:half", "Filter.1.Value.1": "no"}


@pytest.fixture
def face(monkeypatch, database) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch, cloud=Cloud(url=database), rendered_instances=2, rendered_fragments=2)


def questions(face: Ec2Cloud, action: str, **fields: str) -> int:
    """How many statements a call sends; what is kept of earlier ones holds next to nothing."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(face.cloud.store.engine, "before_cursor_execute", note)
    try:
        assert face.post(action, **fields).status_code == 200
    finally:
        event.remove(face.cloud.store.engine, "before_cursor_execute", note)
    return len(sent)


def test_a_listing_asks_no_more_for_a_hundred_than_for_ten(face):
    (first,) = face.run()
    face.cloud.settle()
    made = stock(face.cloud.store, first, 10)
    face.cloud.clock.advance(1000)

    def counted() -> dict[tuple[str, bool], int]:
        return {
            (action, tagged): questions(face, action, **(TAGGED if tagged else {}))
            for action in LISTINGS
            for tagged in (False, True)
            if not tagged or action in {"DescribeInstances", "DescribeVolumes", "DescribeNetworkInterfaces"}
        }

    counted()  # what is asked once in a process
    few = counted()
    made += stock(face.cloud.store, first, 90, begin=11)
    assert counted() == few
    assert len(face.ann.describe_volumes()["Volumes"]) == len(made) + 1


def test_pages_of_every_kind_join_to_the_whole(face):
    (first,) = face.run()
    face.cloud.settle()
    stock(face.cloud.store, first, 12)
    face.cloud.clock.advance(1000)
    for operation, name in (
        ("describe_volumes", "Volumes"),
        ("describe_volume_status", "VolumeStatuses"),
        ("describe_network_interfaces", "NetworkInterfaces"),
        ("describe_tags", "Tags"),
        ("describe_security_group_rules", "SecurityGroupRules"),
        ("describe_subnets", "Subnets"),
        ("describe_images", "Images"),
    ):
        call = getattr(face.ann, operation)
        whole, pages, token = call()[name], [], {}
        while True:
            reply = call(MaxResults=5, **token)
            assert len(reply[name]) <= 5
            pages += reply[name]
            if "NextToken" not in reply:
                break
            token = {"NextToken": reply["NextToken"]}
        assert pages == whole, operation
        assert whole


def test_a_page_that_filters_left_short_is_filled_from_the_next_rows(face):
    (first,) = face.run()
    face.cloud.settle()
    made = stock(face.cloud.store, first, 40)
    face.cloud.clock.advance(1000)
    wild = [{"Name": "tag:Name", "Values": ["web-?0"]}]  # no database decides this one
    expected = [made[number - 1] for number in (10, 20, 30, 40)]
    found = face.ann.describe_volumes(Filters=wild, MaxResults=5)
    assert [each["Attachments"][0]["InstanceId"] for each in found["Volumes"]] == expected
    assert "NextToken" not in found
    shown = face.ann.describe_instances(Filters=wild, MaxResults=5)
    assert [one["InstanceId"] for each in shown["Reservations"] for one in each["Instances"]] == expected


def test_what_is_kept_as_written_is_never_stale(monkeypatch, database):
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database))
    (instance_id,) = face.run()
    face.cloud.settle()

    def shown() -> tuple[Any, Any]:
        (one,) = face.ann.describe_volumes()["Volumes"]
        (nic,) = face.ann.describe_network_interfaces()["NetworkInterfaces"]
        return one, nic

    volume, nic = shown()
    ids = [volume["VolumeId"], nic["NetworkInterfaceId"]]
    face.ann.create_tags(Resources=ids, Tags=[{"Key": "a", "Value": "b"}])
    volume, nic = shown()
    assert volume["Tags"] == nic["TagSet"] == [{"Key": "a", "Value": "b"}]
    face.ann.modify_volume(VolumeId=ids[0], Size=volume["Size"] + 1)
    face.ann.delete_tags(Resources=ids)
    face.cloud.settle()
    grown, nic = shown()
    assert (grown["Size"], grown.get("Tags"), nic["TagSet"]) == (volume["Size"] + 1, None, [])
    face.ann.terminate_instances(InstanceIds=[instance_id])
    face.cloud.settle()
    assert face.ann.describe_volumes()["Volumes"] == []
