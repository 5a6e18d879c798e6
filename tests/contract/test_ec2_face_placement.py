"""Placement groups and capacity through the EC2 face."""

from __future__ import annotations

import msgspec
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from simulation import NETWORK, Cloud, Op

from backend.engine import EngineSettings
from backend.model import Capacity

ZONES = ("us-east-1a", "us-east-1b")
SETTINGS = EngineSettings(zones={"us-east-1": ZONES}, network=NETWORK, refuse_when_full=True)


def cloud_of(monkeypatch, *places, settings=SETTINGS):
    """The face before hosts: a zone's letter, MiB of memory, and GiB of disk each."""
    cloud = Cloud(hosts=0, settings=settings)
    for letter, memory, *disk in places:
        cloud.add_host(Capacity(cpu=400, memory_mib=memory, disk_gib=(*disk, 100)[0]), f"us-east-1{letter}")
    cloud.poll()
    return Ec2Cloud(monkeypatch, cloud=cloud)


@pytest.fixture
def face(monkeypatch):
    return cloud_of(monkeypatch, ("a", 2048), ("a", 2048), ("b", 1024))


def refused(call, **parameters):
    """Code, message and status of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def plain(reply):
    return {name: value for name, value in reply.items() if name != "ResponseMetadata"}


def running(face, **parameters):
    """Ids of new instances that run."""
    ids = face.run(InstanceType="t2.nano", **parameters)
    face.cloud.settle()
    assert {face.state(each) for each in ids} == {"running"}
    return ids


def hosts(face, ids):
    return [face.cloud.get(each).host_id for each in ids]


# The groups ---------------------------------------------------------------------------------------------


def test_a_group_is_made_told_and_deleted(face):
    made = face.ann.create_placement_group(
        GroupName="web",
        Strategy="spread",
        TagSpecifications=[{"ResourceType": "placement-group", "Tags": [{"Key": "k", "Value": "v"}]}],
    )["PlacementGroup"]
    assert made["GroupId"].startswith("pg-")
    assert len(made["GroupId"]) == 20
    assert made == {
        "GroupId": made["GroupId"],
        "GroupName": "web",
        "GroupArn": "arn:aws:ec2:us-east-1:111122223333:placement-group/web",
        "State": "available",
        "Strategy": "spread",
        "SpreadLevel": "rack",
        "Tags": [{"Key": "k", "Value": "v"}],
        "Operator": {"Managed": False},
    }
    assert face.ann.describe_placement_groups()["PlacementGroups"] == [made]
    assert face.bob.describe_placement_groups()["PlacementGroups"] == []
    face.ann.delete_placement_group(GroupName="web")
    assert face.ann.describe_placement_groups()["PlacementGroups"] == []
    assert face.ann.describe_tags()["Tags"] == []
    code, message, status = refused(face.ann.delete_placement_group, GroupName="web")
    assert (code, message, status) == (
        "InvalidPlacementGroup.Unknown",
        "The Placement Group 'web' is unknown.",
        400,
    )


def test_each_strategy_has_members_of_its_own(face):
    cluster = face.ann.create_placement_group(GroupName="c", Strategy="cluster")["PlacementGroup"]
    assert {"SpreadLevel", "PartitionCount", "Tags"}.isdisjoint(cluster)
    few = face.ann.create_placement_group(GroupName="p", Strategy="partition")["PlacementGroup"]
    assert few["PartitionCount"] == 2
    many = face.ann.create_placement_group(GroupName="q", Strategy="partition", PartitionCount=7)
    assert many["PlacementGroup"]["PartitionCount"] == 7
    host = face.ann.create_placement_group(GroupName="s", Strategy="spread", SpreadLevel="host")
    assert host["PlacementGroup"]["SpreadLevel"] == "host"
    # As before there were other strategies.
    assert face.ann.create_placement_group(GroupName="d")["PlacementGroup"]["Strategy"] == "cluster"


def test_listings_by_name_id_and_filter(face):
    def listed(client=face.ann, **parameters):
        found = client.describe_placement_groups(**parameters)["PlacementGroups"]
        return [group["GroupName"] for group in found]

    def matching(name, *values):
        return listed(Filters=[{"Name": name, "Values": list(values)}])

    ids = {}
    for name, strategy in (("a", "cluster"), ("b", "spread"), ("c", "partition")):
        made = face.ann.create_placement_group(GroupName=name, Strategy=strategy)["PlacementGroup"]
        ids[name] = made["GroupId"]
    face.ann.create_tags(Resources=[ids["a"], ids["b"]], Tags=[{"Key": "env", "Value": "test"}])
    face.ann.delete_tags(Resources=[ids["b"]], Tags=[{"Key": "env"}])
    assert listed() == ["a", "b", "c"]
    assert listed(GroupNames=["c", "a"]) == ["a", "c"]
    assert listed(GroupIds=[ids["b"]]) == ["b"]
    assert matching("group-name", "a*", "b") == ["a", "b"]
    assert matching("group-arn", "*/c") == ["c"]
    assert matching("strategy", "spread") == ["b"]
    assert matching("spread-level", "rack") == ["b"]
    assert matching("state", "available") == ["a", "b", "c"]
    assert matching("state", "deleted") == []
    assert matching("tag:env", "test") == ["a"]
    assert matching("tag-key", "env") == ["a"]
    tags = face.ann.describe_tags()["Tags"]
    assert tags == [
        {"Key": "env", "ResourceId": ids["a"], "ResourceType": "placement-group", "Value": "test"}
    ]
    assert refused(listed, GroupNames=["a", "z"])[0] == "InvalidPlacementGroup.Unknown"
    assert refused(listed, GroupIds=["pg-00000000000000000"])[0] == "InvalidPlacementGroup.Unknown"
    assert refused(listed, GroupIds=["web"])[0] == "InvalidPlacementGroupId.Malformed"
    assert refused(listed, client=face.bob, GroupIds=[ids["a"]])[0] == "InvalidPlacementGroup.Unknown"
    assert refused(listed, Filters=[{"Name": "x", "Values": ["y"]}])[0] == "InvalidParameterValue"


def test_names_belong_to_a_tenant_and_a_region(face):
    face.ann.create_placement_group(GroupName="web", Strategy="cluster")
    assert refused(face.ann.create_placement_group, GroupName="web", Strategy="spread") == (
        "InvalidPlacementGroup.Duplicate",
        "The placement group 'web' already exists.",
        400,
    )
    face.bob.create_placement_group(GroupName="web", Strategy="spread")
    assert len(face.ann.describe_placement_groups()["PlacementGroups"]) == 1


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Strategy": "cluster"}, "MissingParameter"),
        ({"GroupName": "x" * 256, "Strategy": "cluster"}, "InvalidParameterValue"),
        ({"GroupName": "räck", "Strategy": "cluster"}, "InvalidParameterValue"),
        ({"GroupName": "x", "Strategy": "other"}, "InvalidParameterValue"),
        ({"GroupName": "x", "Strategy": "precision-time"}, "UnsupportedOperation"),
        ({"GroupName": "x", "Strategy": "partition", "PartitionCount": 8}, "InvalidParameterValue"),
        ({"GroupName": "x", "Strategy": "partition", "PartitionCount": 0}, "InvalidParameterValue"),
        ({"GroupName": "x", "Strategy": "spread", "PartitionCount": 2}, "InvalidParameterCombination"),
        ({"GroupName": "x", "Strategy": "cluster", "SpreadLevel": "rack"}, "InvalidParameterCombination"),
        ({"GroupName": "x", "ParentGroupId": "pg-00000000000000000"}, "UnsupportedOperation"),
        (
            {"GroupName": "x", "TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a"}]}]},
            "InvalidParameterValue",
        ),
        ({"GroupName": "x", "Strategy": "cluster", "DryRun": True}, "DryRunOperation"),
    ],
)
def test_what_is_no_group_is_refused(face, parameters, code):
    assert refused(face.ann.create_placement_group, **parameters)[0] == code
    assert face.ann.describe_placement_groups()["PlacementGroups"] == []


def test_as_many_groups_as_ec2_allows(face, monkeypatch):
    monkeypatch.setattr("backend.engine.placement_groups.GROUP_LIMIT", 2)
    for name in ("a", "b"):
        face.ann.create_placement_group(GroupName=name)
    assert refused(face.ann.create_placement_group, GroupName="c")[0] == "PlacementGroupLimitExceeded"
    face.bob.create_placement_group(GroupName="c")


def test_a_group_in_use_stays(face):
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    (instance,) = running(face, Placement={"GroupName": "web"})
    face.ann.stop_instances(InstanceIds=[instance])
    face.cloud.settle()
    assert refused(face.ann.delete_placement_group, GroupName="web") == (
        "InvalidPlacementGroup.InUse",
        "The placement group 'web' is in use and may not be deleted.",
        400,
    )
    face.ann.terminate_instances(InstanceIds=[instance])
    face.cloud.settle()
    face.ann.delete_placement_group(GroupName="web")


# Instances of groups ------------------------------------------------------------------------------------


def test_the_reply_and_listings_tell_the_group(face):
    group = face.ann.create_placement_group(GroupName="db", Strategy="partition")["PlacementGroup"]
    reply = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        MinCount=1,
        MaxCount=1,
        Placement={"GroupId": group["GroupId"], "PartitionNumber": 2, "AvailabilityZone": "us-east-1a"},
    )
    told = reply["Instances"][0]["Placement"]
    assert told == {
        "AvailabilityZone": "us-east-1a",
        "AvailabilityZoneId": "use1-az1",
        "GroupId": group["GroupId"],
        "GroupName": "db",
        "PartitionNumber": 2,
        "Tenancy": "default",
    }
    (named,) = [each["InstanceId"] for each in reply["Instances"]]
    face.cloud.settle()
    assert face.describe(named)["Placement"] == told
    alone = face.run()[0]
    assert face.describe(alone)["Placement"]["GroupName"] == ""
    assert face.listed(placement_group_name="d*") == [named]
    assert face.listed(placement_partition_number="2") == [named]
    assert face.listed(placement_partition_number="1") == []


def test_a_cluster_shares_a_host_and_its_zone(face):
    face.ann.create_placement_group(GroupName="hpc", Strategy="cluster")
    first = running(face, Placement={"GroupName": "hpc"}, MinCount=2, MaxCount=2)
    more = running(face, Placement={"GroupName": "hpc"})
    assert len(set(hosts(face, [*first, *more]))) == 1
    code, message, status = refused(
        face.run, Placement={"GroupName": "hpc", "AvailabilityZone": "us-east-1b"}
    )
    assert (code, status) == ("InvalidPlacementGroup.InUse", 400)
    assert message == "The placement group 'hpc' is in use in another availability zone: us-east-1a"
    # One more fits on their host; there is room elsewhere.
    assert len(face.run(Placement={"GroupName": "hpc"}, MinCount=1, MaxCount=3)) == 1
    face.cloud.settle()
    code, message, status = refused(face.run, Placement={"GroupName": "hpc"})
    assert (code, status) == ("InsufficientInstanceCapacity", 500)
    assert "1 not the one of the cluster 'hpc'" in message


def test_the_first_of_a_cluster_goes_where_all_of_it_fits(monkeypatch):
    face = cloud_of(monkeypatch, ("a", 2048, 2), ("a", 2000))  # the first has more memory, but disk for two
    face.ann.create_placement_group(GroupName="hpc", Strategy="cluster")
    ids = running(face, Placement={"GroupName": "hpc"}, MinCount=3, MaxCount=3)
    assert set(hosts(face, ids)) == {face.cloud.host_ids[1]}


def test_a_spread_group_has_a_host_for_each(face):
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    ids = face.run(MinCount=1, MaxCount=5, Placement={"GroupName": "web", "AvailabilityZone": "us-east-1a"})
    assert len(ids) == 2
    face.cloud.settle()
    assert len(set(hosts(face, ids))) == 2
    code, message, _ = refused(face.run, Placement={"GroupName": "web", "AvailabilityZone": "us-east-1a"})
    assert code == "InsufficientInstanceCapacity"
    assert "2 with an instance of the spread group 'web'" in message
    (other,) = running(face, Placement={"GroupName": "web"})  # the zone with a host for it
    assert face.describe(other)["Placement"]["AvailabilityZone"] == "us-east-1b"


def test_a_refusal_tells_how_many_there_is_room_for(monkeypatch):
    face = cloud_of(monkeypatch, ("a", 512), ("a", 512))
    where = {"AvailabilityZone": "us-east-1a"}
    asked = refused(face.run, InstanceType="t2.nano", MinCount=3, MaxCount=3, Placement=where)
    assert asked[1] == (
        "There is not sufficient t2.nano capacity for 3 instances in the availability zone us-east-1a now, "
        "but for 2."
    )


def test_a_spread_group_has_seven_instances_in_a_zone(monkeypatch):
    face = cloud_of(monkeypatch, *[("a", 1024)] * 9)
    for name, level, most in (("racks", "rack", 7), ("hosts", "host", 9)):
        face.ann.create_placement_group(GroupName=name, Strategy="spread", SpreadLevel=level)
        where = {"GroupName": name, "AvailabilityZone": "us-east-1a"}
        assert len(face.run(MinCount=1, MaxCount=20, Placement=where)) == most
        assert refused(face.run, Placement=where)[0] == "InsufficientInstanceCapacity"


def test_what_waits_in_a_group_takes_one_place_each(monkeypatch):
    """The scheduler looks only once all have asked."""
    face = cloud_of(monkeypatch, ("a", 512), ("a", 512), ("a", 512), ("b", 1536), ("b", 1024))
    for name, strategy, zone in (("web", "spread", "us-east-1a"), ("hpc", "cluster", "us-east-1b")):
        face.ann.create_placement_group(GroupName=name, Strategy=strategy)
        where = {"GroupName": name, "AvailabilityZone": zone}
        for _ in range(3):
            face.run(InstanceType="t2.nano", Placement=where)
        more = refused(face.run, InstanceType="t2.nano", Placement=where)
        assert more[0] == "InsufficientInstanceCapacity"
    face.cloud.settle()
    assert [face.state(each) for each in face.listed()] == ["running"] * 6


def test_partitions_do_not_share_hosts(face):
    face.ann.create_placement_group(GroupName="db", Strategy="partition", PartitionCount=3)
    where = {"GroupName": "db", "AvailabilityZone": "us-east-1a"}
    ids = running(face, MinCount=4, MaxCount=4, Placement=where)
    rows = [face.cloud.get(each) for each in ids]
    assert sorted(row.partition for row in rows) == [1, 1, 2, 2]  # there are two hosts for three partitions
    assert len({(row.host_id, row.partition) for row in rows}) == 2
    code, message, _ = refused(face.run, Placement={**where, "PartitionNumber": 3})
    assert code == "InsufficientInstanceCapacity"
    assert "2 with another partition of the group 'db'" in message


@pytest.mark.parametrize(
    ("placement", "code"),
    [
        ({"GroupName": "nobody"}, "InvalidPlacementGroup.Unknown"),
        ({"GroupId": "pg-00000000000000000"}, "InvalidPlacementGroup.Unknown"),
        ({"GroupId": "web"}, "InvalidPlacementGroupId.Malformed"),
        ({"GroupName": "db", "GroupId": "pg-00000000000000000"}, "InvalidParameterCombination"),
        ({"GroupName": "db", "PartitionNumber": 3}, "InvalidParameterValue"),
        ({"GroupName": "db", "PartitionNumber": 0}, "InvalidParameterValue"),
        ({"GroupName": "web", "PartitionNumber": 1}, "InvalidParameterCombination"),
        ({"PartitionNumber": 1}, "InvalidParameterCombination"),
        ({"GroupName": "theirs"}, "InvalidPlacementGroup.Unknown"),
        ({"HostId": "h-1"}, "UnsupportedOperation"),
        ({"Tenancy": "dedicated"}, "UnsupportedOperation"),
    ],
)
def test_what_is_no_placement_is_refused(face, placement, code):
    face.ann.create_placement_group(GroupName="db", Strategy="partition")
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    face.bob.create_placement_group(GroupName="theirs", Strategy="spread")
    assert refused(face.run, Placement=placement)[0] == code
    assert face.ann.describe_instances()["Reservations"] == []


# ModifyInstancePlacement --------------------------------------------------------------------------------


def test_a_stopped_instance_moves_between_groups(face):
    for name, strategy in (("web", "spread"), ("db", "partition"), ("hpc", "cluster")):
        face.ann.create_placement_group(GroupName=name, Strategy=strategy)
    zone = {"AvailabilityZone": "us-east-1a"}
    mover, neighbour = running(face, MinCount=2, MaxCount=2, Placement={**zone, "GroupName": "web"})
    code, message, status = refused(face.ann.modify_instance_placement, InstanceId=mover, GroupName="db")
    assert (code, status) == ("IncorrectInstanceState", 400)
    assert mover in message
    face.ann.stop_instances(InstanceIds=[mover])
    face.cloud.settle()
    assert face.ann.modify_instance_placement(InstanceId=mover, GroupName="db")["Return"] is True
    placed = face.describe(mover)["Placement"]
    assert (placed["GroupName"], placed["PartitionNumber"]) == ("db", 1)
    face.ann.modify_instance_placement(InstanceId=mover, PartitionNumber=2)
    assert face.describe(mover)["Placement"]["PartitionNumber"] == 2
    face.ann.modify_instance_placement(InstanceId=mover, GroupName="")
    placed = face.describe(mover)["Placement"]
    assert placed["GroupName"] == ""
    assert {"GroupId", "PartitionNumber"}.isdisjoint(placed)
    face.ann.start_instances(InstanceIds=[mover])
    face.cloud.settle()
    assert face.state(mover) == "running"
    assert hosts(face, [mover]) != hosts(face, [neighbour])


def test_a_move_holds_on_the_host_where_the_instance_is(face):
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    face.ann.create_placement_group(GroupName="hpc", Strategy="cluster")
    face.ann.create_placement_group(GroupName="db", Strategy="partition")
    zone = {"AvailabilityZone": "us-east-1a"}
    one, two = running(face, MinCount=2, MaxCount=2, Placement={**zone, "GroupName": "web"})
    three = running(face, Placement={**zone, "GroupName": "hpc"})[0]
    four = running(face, Placement={**zone, "GroupName": "db", "PartitionNumber": 1})[0]
    by_host = {face.cloud.get(each).host_id: each for each in (one, two)}
    beside_three = by_host[face.cloud.get(three).host_id]
    other = ({one, two} - {beside_three}).pop()
    beside_four = by_host[face.cloud.get(four).host_id]
    face.ann.stop_instances(InstanceIds=[one, two, three])
    face.cloud.settle()

    def move(instance, **where):
        return refused(face.ann.modify_instance_placement, InstanceId=instance, **where)[0]

    assert move(three, GroupName="web") == "InsufficientInstanceCapacity"
    assert move(other, GroupName="hpc") == "InsufficientInstanceCapacity"
    assert move(beside_four, GroupName="db", PartitionNumber=2) == "InsufficientInstanceCapacity"
    assert face.describe(three)["Placement"]["GroupName"] == "hpc"
    face.ann.modify_instance_placement(InstanceId=beside_three, GroupName="hpc")
    face.ann.modify_instance_placement(InstanceId=three, GroupName="web")
    assert face.describe(three)["Placement"]["GroupName"] == "web"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter"),
        ({"GroupName": "nobody"}, "InvalidPlacementGroup.Unknown"),
        ({"GroupId": "x"}, "InvalidPlacementGroupId.Malformed"),
        ({"PartitionNumber": 1}, "InvalidParameterCombination"),
        ({"GroupName": "db", "PartitionNumber": 9}, "InvalidParameterValue"),
        ({"Tenancy": "host"}, "UnsupportedOperation"),
        ({"Affinity": "host"}, "UnsupportedOperation"),
        ({"HostId": "h-00000000000000000"}, "UnsupportedOperation"),
        ({"InstanceId": "i-00000000000000000", "GroupName": "db"}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": "x", "GroupName": "db"}, "InvalidInstanceID.Malformed"),
    ],
)
def test_what_is_no_move_is_refused(face, parameters, code):
    face.ann.create_placement_group(GroupName="db", Strategy="partition")
    (instance,) = running(face)
    face.ann.stop_instances(InstanceIds=[instance])
    face.cloud.settle()
    call = {"InstanceId": instance} | parameters
    assert refused(face.ann.modify_instance_placement, **call)[0] == code
    assert face.describe(instance)["Placement"]["GroupName"] == ""


def test_what_is_so_already_is_accepted(face):
    (instance,) = running(face)
    reply = face.ann.modify_instance_placement(InstanceId=instance, Tenancy="default", Affinity="default")
    assert reply["Return"] is True


# Capacity -----------------------------------------------------------------------------------------------


def test_as_many_as_fit_or_none(face):
    ids = face.run(MinCount=1, MaxCount=20, Placement={"AvailabilityZone": "us-east-1a"})
    assert len(ids) == 8  # 4 GiB in two hosts, half a GiB each
    before = face.ann.describe_instances()["Reservations"]
    code, message, status = refused(face.run, Placement={"AvailabilityZone": "us-east-1a"})
    assert (code, status) == ("InsufficientInstanceCapacity", 500)
    assert message.startswith(
        "There is not sufficient t2.nano capacity for 1 instances in the availability zone us-east-1a now: "
    )
    assert face.ann.describe_instances()["Reservations"] == before
    assert len(face.ann.describe_volumes()["Volumes"]) == 8
    assert len(face.ann.describe_network_interfaces()["NetworkInterfaces"]) == 8


def test_a_launch_without_a_zone_goes_where_there_is_room(face):
    face.run(MinCount=7, MaxCount=7, Placement={"AvailabilityZone": "us-east-1a"})
    face.cloud.settle()
    ids = face.run(MinCount=2, MaxCount=2)
    assert {face.describe(each)["Placement"]["AvailabilityZone"] for each in ids} == {"us-east-1b"}
    assert refused(face.run, MinCount=2, MaxCount=2)[0] == "InsufficientInstanceCapacity"
    assert len(face.run(MinCount=1, MaxCount=2)) == 1


def test_a_type_bigger_than_every_host_is_refused(face):
    code, message, _ = refused(face.run, InstanceType="t2.large")
    assert code == "InsufficientInstanceCapacity"
    assert "with too little memory (needs 8192 MiB)" in message


def test_a_refused_token_is_free_again(face):
    crowd = face.run(MinCount=8, MaxCount=8, Placement={"AvailabilityZone": "us-east-1a"})
    where = {"ClientToken": "t", "Placement": {"AvailabilityZone": "us-east-1a"}}
    assert refused(face.run, **where)[0] == "InsufficientInstanceCapacity"
    face.ann.terminate_instances(InstanceIds=crowd)
    face.cloud.settle()
    first = face.run(**where)
    assert face.run(**where) == first


def test_hosts_that_take_nothing_are_no_capacity(monkeypatch):
    face = cloud_of(monkeypatch)
    assert refused(face.run)[0] == "InsufficientInstanceCapacity"
    assert face.ann.describe_instances()["Reservations"] == []


def test_operators_may_let_launches_wait(monkeypatch):
    waiting = msgspec.structs.replace(SETTINGS, refuse_when_full=False)
    face = cloud_of(monkeypatch, ("a", 512), settings=waiting)
    ids = face.run(MinCount=3, MaxCount=3)
    face.cloud.settle()
    assert sorted(face.state(each) for each in ids) == ["pending", "pending", "running"]


def test_a_stopped_instance_keeps_its_room(face):
    ids = running(face, MinCount=8, MaxCount=8, Placement={"AvailabilityZone": "us-east-1a"})
    face.ann.stop_instances(InstanceIds=ids[:1])
    face.cloud.settle()
    assert refused(face.run, Placement={"AvailabilityZone": "us-east-1a"})[0] == (
        "InsufficientInstanceCapacity"
    )
    face.ann.start_instances(InstanceIds=ids[:1])
    face.cloud.settle()
    assert face.state(ids[0]) == "running"


# Topology and credits -----------------------------------------------------------------------------------


def test_the_topology_tells_who_shares_a_host_and_not_which(face):
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    here = {"AvailabilityZone": "us-east-1a"}
    apart = running(face, MinCount=2, MaxCount=2, Placement={**here, "GroupName": "web"})
    third = running(face, Placement=here)[0]
    far = running(face, Placement={"AvailabilityZone": "us-east-1b"})[0]
    stopped = running(face, Placement=here)[0]
    face.ann.stop_instances(InstanceIds=[stopped])
    face.cloud.settle()
    reply = face.ann.describe_instance_topology()
    told = {each["InstanceId"]: each for each in reply["Instances"]}
    assert set(told) == {*apart, third, far, stopped}
    assert "NetworkNodes" not in told[stopped]
    nodes = {name: each["NetworkNodes"] for name, each in told.items() if name != stopped}
    one, two = apart
    assert nodes[one][:2] == nodes[two][:2]
    assert nodes[one][2] != nodes[two][2]
    assert nodes[third] in (nodes[one], nodes[two])
    assert nodes[far][0] == nodes[one][0]
    assert nodes[far][1] != nodes[one][1]
    assert told[one]["GroupName"] == "web"
    assert "GroupName" not in told[third]
    assert (told[far]["AvailabilityZone"], told[far]["ZoneId"]) == ("us-east-1b", "use1-az2")
    assert told[far]["InstanceType"] == "t2.nano"
    text = face.transport.last.text
    assert not any(name in text for name in (*face.cloud.host_ids, "memory:"))
    named = face.ann.describe_instance_topology(GroupNames=["web"])["Instances"]
    assert {each["InstanceId"] for each in named} == set(apart)
    filtered = face.ann.describe_instance_topology(Filters=[{"Name": "zone-id", "Values": ["use1-az2"]}])
    assert [each["InstanceId"] for each in filtered["Instances"]] == [far]
    theirs = face.run(face.bob, Placement=here)[0]
    face.cloud.settle()
    (other,) = face.bob.describe_instance_topology(InstanceIds=[theirs])["Instances"]
    assert not set(other["NetworkNodes"]) & {node for each in nodes.values() for node in each}


def test_the_topology_comes_in_pages(face):
    ids = running(face, MinCount=5, MaxCount=5, Placement={"AvailabilityZone": "us-east-1a"})
    pages = face.ann.get_paginator("describe_instance_topology").paginate(PaginationConfig={"PageSize": 2})
    sizes = [[each["InstanceId"] for each in page["Instances"]] for page in pages]
    assert [len(page) for page in sizes] == [2, 2, 1]
    assert [each for page in sizes for each in page] == ids
    call = face.ann.describe_instance_topology
    assert refused(call, InstanceIds=ids, MaxResults=5)[0] == "InvalidParameterCombination"
    assert refused(call, MaxResults=101)[0] == "InvalidParameterValue"
    assert refused(call, GroupNames=["x"])[0] == "InvalidPlacementGroup.Unknown"
    assert refused(call, InstanceIds=["i-00000000000000000"])[0] == "InvalidInstanceID.NotFound"
    assert refused(call, GroupNames=["x"] * 101)[0] == "InvalidParameterValue"


def test_credits_are_standard(face):
    ids = running(face, MinCount=2, MaxCount=2, CreditSpecification={"CpuCredits": "standard"})
    call = face.ann.describe_instance_credit_specifications
    told = call(InstanceIds=ids)["InstanceCreditSpecifications"]
    assert told == [{"InstanceId": each, "CpuCredits": "standard"} for each in ids]
    assert call()["InstanceCreditSpecifications"] == []
    chosen = call(InstanceIds=ids, Filters=[{"Name": "instance-id", "Values": ids[:1]}])
    assert len(chosen["InstanceCreditSpecifications"]) == 1
    assert refused(call, InstanceIds=["i-00000000000000000"])[0] == "InvalidInstanceID.NotFound"
    assert refused(call, InstanceIds=ids, MaxResults=5)[0] == "InvalidParameterCombination"
    unlimited = refused(face.run, CreditSpecification={"CpuCredits": "unlimited"})
    assert unlimited[0] == "UnsupportedOperation"


def test_types_may_be_in_groups_of_all_kinds(face):
    (kind,) = face.ann.describe_instance_types(InstanceTypes=["t2.nano"])["InstanceTypes"]
    assert kind["PlacementGroupInfo"] == {"SupportedStrategies": ["cluster", "spread", "partition"]}


def test_an_instance_that_leaves_the_life_leaves_the_group(face):
    face.ann.create_placement_group(GroupName="web", Strategy="spread")
    where = {"GroupName": "web", "AvailabilityZone": "us-east-1b"}
    (first,) = running(face, Placement=where)
    assert refused(face.run, Placement=where)[0] == "InsufficientInstanceCapacity"
    face.cloud.do(Op.TERMINATE, face.cloud.get(first))
    assert face.describe(first)["Placement"]["GroupName"] == "web"
    running(face, Placement=where)
