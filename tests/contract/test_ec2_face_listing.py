"""DescribeInstances: filters, pages of whole reservations, and renderings that are never stale."""

from __future__ import annotations

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_documented import documented_filters
from ec2_face import Ec2Cloud
from simulation import Cloud

from backend.commands import CreateTags, ModifyImage
from backend.errors import BackendError, Code
from backend.model import Reason
from backend.ports import DomainReason, DomainStatus
from backend.store.listing import FEW
from ec2.actions.instance_filters import FILTERS

MARK = {"Key": "Mark", "Value": "x"}


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def tagged(**tags) -> list:
    return [
        {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    ]


def test_filters_on_both_databases(monkeypatch, database):
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database))
    web1, web2 = face.run(MinCount=2, MaxCount=2, TagSpecifications=tagged(Name="web", Stage="a*b"))
    (db,) = face.run(InstanceType="t2.large", TagSpecifications=tagged(Name="db"))
    face.cloud.settle()
    (late,) = face.run()
    everything = [web1, web2, db, late]
    row = face.describe(web1)
    assert face.listed() == everything
    assert face.listed(instance_state_name="running") == [web1, web2, db]
    assert face.listed(instance_state_code=["0", "80"]) == [late]
    assert face.listed(instance_type="t2.large") == [db]
    assert face.listed(instance_type="*.large") == [db]
    assert face.listed(instance_id=[late, web1]) == [web1, late]
    assert face.listed(instance_id="i-00000000000000000") == []
    assert face.listed(private_ip_address=row["PrivateIpAddress"]) == [web1]
    assert face.listed(private_dns_name=row["PrivateDnsName"]) == [web1]
    assert face.listed(launch_index="1") == [web2]
    assert face.listed(launch_time=row["LaunchTime"].strftime("%Y-%m-%d*")) == everything
    assert face.listed(image_id=face.cloud.image.id, owner_id="111122223333") == everything
    assert face.listed(owner_id="444455556666") == []
    assert face.listed(key_name="") == []
    assert face.listed(key_name="*") == []
    assert (
        face.listed(availability_zone="us-east-1a", hypervisor="xen", source_dest_check="true") == everything
    )
    assert face.listed(vpc_id=row["VpcId"], subnet_id=row["SubnetId"]) == everything
    assert face.listed(vpc_id="vpc-00000000000000000") == []
    assert face.listed(instance_type=[]) == []

    def by_tag(name, *values):
        found = face.ann.describe_instances(Filters=[{"Name": name, "Values": list(values)}])
        return [one["InstanceId"] for each in found["Reservations"] for one in each["Instances"]]

    assert by_tag("tag:Name", "web") == [web1, web2]
    assert by_tag("tag:Name", "web", "db") == [web1, web2, db]
    assert by_tag("tag:Name", "?b") == [db]
    assert by_tag("tag:Stage", r"a\*b") == [web1, web2]
    assert by_tag("tag:Stage", "a*") == [web1, web2]
    assert by_tag("tag:Name") == []
    assert by_tag("tag-key", "Stage") == [web1, web2]
    assert by_tag("tag-value", "db") == [db]
    reservations = face.ann.describe_instances(Filters=[{"Name": "launch-index", "Values": ["1"]}])[
        "Reservations"
    ]
    assert [len(each["Instances"]) for each in reservations] == [1]
    both = [{"Name": "tag:Name", "Values": ["web"]}, {"Name": "instance-type", "Values": ["t2.large"]}]
    assert face.ann.describe_instances(Filters=both)["Reservations"] == []
    assert (
        face.ann.describe_instances(InstanceIds=[db, late], Filters=both[1:])["Reservations"][0]["Instances"][
            0
        ]["InstanceId"]
        == db
    )


def test_every_filter_is_known_and_answers(face):
    face.run(TagSpecifications=tagged(Name="x"))
    for name in FILTERS.names:
        face.ann.describe_instances(Filters=[{"Name": name, "Values": ["*", "x"]}])


@pytest.mark.parametrize(
    ("operation", "some"),
    [
        ("DescribeInstances", ["tag:Name", "network-interface.tag-key", "metadata-options.state"]),
        ("DescribeInstanceStatus", ["application-status.status", "operator.principal"]),
        ("DescribeInstanceTypes", ["nitro-enclaves-support", "reboot-migration-support"]),
        ("DescribeInstanceTypeOfferings", ["location"]),
        ("DescribeImages", ["image-allowed", "scan-result.highest-finding-severity-label"]),
        ("DescribeKeyPairs", ["tag:Name", "fingerprint"]),
        ("DescribeTags", ["tag:Name", "resource-type"]),
        ("DescribeRegions", ["region-name"]),
        ("DescribeAvailabilityZones", ["zone-id"]),
        ("DescribeSecurityGroups", ["tag:Name", "egress.ip-permission.prefix-list-id"]),
        ("DescribeSecurityGroupRules", ["security-group-rule-id"]),
        ("DescribeNetworkInterfaces", ["tag:Name", "attachment.instance-owner-id"]),
        ("DescribeAddresses", ["tag:Name", "network-border-group"]),
    ],
)  # fmt: skip
def test_every_filter_that_ec2_documents_is_known(face, operation, some):
    names = documented_filters(operation)
    assert set(some) <= set(names), "the documentation is not read as it is written"
    describe = getattr(face.ann, xform_name(operation))
    for start in range(0, len(names), 50):
        describe(Filters=[{"Name": name, "Values": ["*"]} for name in names[start : start + 50]])


def test_filters_on_what_replies_carry(face):
    (one,) = face.run()
    assert face.listed(**{"metadata-options.state": "applied"}) == [one]
    assert face.listed(**{"network-performance-options.bandwidth-weighting": "default"}) == [one]
    assert face.listed(**{"network-interface.operator.managed": "false"}) == [one]
    assert face.listed(**{"network-interface.operator.principal": "*"}) == []

    def types(name, *values):
        found = face.ann.describe_instance_types(Filters=[{"Name": name, "Values": list(values)}])
        return [each["InstanceType"] for each in found["InstanceTypes"]]

    every = ["t2.large", "t2.nano"]
    for name in ("nitro-enclaves-support", "nitro-tpm-support", "reboot-migration-support"):
        assert types(name, "unsupported") == every
        assert types(name, "supported") == []
    assert types("network-info.efa-supported", "false") == every
    assert types("network-info.encryption-in-transit-supported", "false") == every
    assert types("network-info.ipv6-addresses-per-interface", "0") == every
    assert types("instance-storage-info.disk.count", "1") == ["t2.large"]
    assert types("instance-storage-info.disk.size-in-gb", "2") == ["t2.large"]
    assert types("instance-storage-info.encryption-support", "unsupported") == ["t2.large"]
    assert types("instance-storage-info.nvme-support", "unsupported") == ["t2.large"]
    assert types("instance-storage-info.disk.type", "hdd") == ["t2.large"]
    assert types("network-info.network-performance", "*") == every
    assert types("processor-info.supported-features", "*") == []


@pytest.mark.parametrize(
    ("filters", "code", "message"),
    [
        ([{"Name": "nonsense", "Values": ["x"]}], "InvalidParameterValue", "The filter 'nonsense' is invalid"),
        ([{"Values": ["x"]}], "InvalidParameterValue", "The filter 'null' is invalid"),
        ([{"Name": "tag:", "Values": ["x"]}], "InvalidParameterValue", "The filter 'tag:' is invalid"),
        ([{"Name": "image-id", "Values": [str(n) for n in range(201)]}], "FilterLimitExceeded", None),
        ([{"Name": "image-id", "Values": ["x"]}] * 51, "FilterLimitExceeded", None),
    ],
)  # fmt: skip
def test_filters_that_are_refused(face, filters, code, message):
    with pytest.raises(ClientError) as caught:
        face.ann.describe_instances(Filters=filters)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert message is None or error["Message"] == message


def test_pages_hold_whole_reservations(face):
    launches = [face.run(MinCount=size, MaxCount=size) for size in (3, 3, 1, 7, 2)]
    pages = face.ann.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    shown = [
        [[one["InstanceId"] for one in each["Instances"]] for each in page["Reservations"]] for page in pages
    ]
    a, b, c, d, e = launches
    assert shown == [[a], [b, c], [d[:5]], [d[5:], e]]
    filtered = face.ann.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "launch-index", "Values": ["0", "1", "2"]}], PaginationConfig={"PageSize": 5}
    )
    sizes = [[len(each["Instances"]) for each in page["Reservations"]] for page in filtered]
    assert sizes == [[3], [3, 1], [3, 2]]


def test_pages_stay_in_step_while_instances_come_and_go(face):
    first, *rest = [face.run()[0] for _ in range(12)]
    page = face.ann.describe_instances(MaxResults=5)
    face.ann.terminate_instances(InstanceIds=[first])
    face.cloud.settle()
    face.cloud.clock.advance(4000)
    (new,) = face.run()
    seen = [each["Instances"][0]["InstanceId"] for each in page["Reservations"]]
    while "NextToken" in page:
        page = face.ann.describe_instances(MaxResults=5, NextToken=page["NextToken"])
        seen += [each["Instances"][0]["InstanceId"] for each in page["Reservations"]]
    assert seen == [first, *rest, new]


def test_page_tokens_belong_to_one_listing_and_one_tenant(face):
    for _ in range(6):
        face.run()
        face.run(face.bob)
    token = face.ann.describe_instances(MaxResults=5)["NextToken"]
    for client, parameters in (
        (face.bob, {}),
        (face.ann, {"Filters": [{"Name": "instance-type", "Values": ["*"]}]}),
    ):
        with pytest.raises(ClientError, match="InvalidNextToken"):
            client.describe_instances(MaxResults=5, NextToken=token, **parameters)
    for bad in ("nonsense", token[:-2], token + "x", "é"):
        with pytest.raises(ClientError, match="InvalidNextToken"):
            face.ann.describe_instances(MaxResults=5, NextToken=bad)
    for size in (4, 1001, -1):
        with pytest.raises(ClientError, match="InvalidParameterValue"):
            face.ann.describe_instances(MaxResults=size)
    with pytest.raises(
        ClientError, match="The parameter instancesSet cannot be used with the parameter maxResults"
    ):
        face.ann.describe_instances(MaxResults=5, InstanceIds=face.run())


def test_renderings_follow_every_change(face):
    (one,) = face.run()
    assert face.state(one) == "pending"
    face.cloud.settle()
    assert face.state(one) == "running"
    face.ann.create_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "a"}])
    assert face.describe(one)["Tags"] == [{"Key": "Name", "Value": "a"}]
    face.ann.create_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "b"}])
    assert face.describe(one)["Tags"] == [{"Key": "Name", "Value": "b"}]
    face.ann.terminate_instances(InstanceIds=[one])
    assert face.state(one) == "shutting-down"
    face.cloud.settle()
    assert face.state(one) == "terminated"
    face.ann.delete_tags(Resources=[one])
    assert "Tags" not in face.describe(one)


def test_a_small_cache_is_still_right(monkeypatch):
    face = Ec2Cloud(monkeypatch, rendered_instances=4)
    made = face.run(MinCount=9, MaxCount=9)
    for _ in range(3):
        assert face.listed() == made
    face.cloud.settle()
    assert face.listed(instance_state_name="running") == made


def test_why_an_instance_stopped_by_itself(face):
    keep, end = face.run()[0], face.run(InstanceInitiatedShutdownBehavior="terminate")[0]
    face.cloud.settle()
    for one in (keep, end):
        face.cloud.host().change(one, DomainStatus.OFF, DomainReason.GUEST_SHUTDOWN)
    face.cloud.settle()
    face.cloud.poll()
    face.cloud.settle()
    assert face.cloud.get(keep).reason is Reason.GUEST_SHUTDOWN
    stopped, ended = face.describe(keep), face.describe(end)
    assert (stopped["State"]["Name"], ended["State"]["Name"]) == ("stopped", "terminated")
    for row in (stopped, ended):
        assert row["StateReason"] == {
            "Code": "Client.InstanceInitiatedShutdown",
            "Message": "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
        }
        assert row["StateTransitionReason"] == ""


def test_what_xml_cannot_carry_breaks_no_listing(face):
    """The other face and operators may bring characters that EC2's own requests cannot: tags refuse them."""
    (one,) = face.run()
    engine, caller = face.cloud.engine, face.cloud.caller
    image = face.cloud.image.id
    for key, value in (("Name", "a\x01b"), ("Name", "\ufffe"), ("k\x0b", "v")):
        with pytest.raises(BackendError) as refused:
            engine.execute(caller, CreateTags(ids=(one, image), tags=((key, value),)))
        assert refused.value.code is Code.TAG_INVALID
    assert face.ann.describe_tags()["Tags"] == []
    engine.execute(caller, ModifyImage(image_id=image, description="\x00"))
    assert (
        face.ann.describe_image_attribute(ImageId=image, Attribute="description")["Description"]["Value"]
        == "\ufffd"
    )


def test_a_rule_whose_group_goes_meanwhile_is_left_out(monkeypatch):
    face = Ec2Cloud(monkeypatch)
    group = face.ann.create_security_group(GroupName="web", Description="doors")["GroupId"]
    rules = face.ann.describe_security_group_rules()["SecurityGroupRules"]
    assert group in {rule["GroupId"] for rule in rules}
    networks = face.cloud.engine.networks
    read = networks.groups_by_id

    def late(ids):
        monkeypatch.setattr(networks, "groups_by_id", read)
        face.ann.delete_security_group(GroupId=group)
        return read(ids)

    monkeypatch.setattr(networks, "groups_by_id", late)
    left = face.ann.describe_security_group_rules()["SecurityGroupRules"]
    assert left == [rule for rule in rules if rule["GroupId"] != group]


@pytest.mark.parametrize("few", [FEW, 1])
def test_tags_are_filtered_by_key_and_value_whether_few_or_many_have_them(monkeypatch, database, few):
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database))
    monkeypatch.setattr("backend.store.listing.FEW", few)
    ids = [
        face.ann.create_volume(
            AvailabilityZone="us-east-1a",
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}, MARK]}],
        )["VolumeId"]
        for name in ("web", "web", "db")
    ]

    def found(**filters):
        wanted = [{"Name": name, "Values": values} for name, values in filters.items()]
        return [(tag["ResourceId"], tag["Value"]) for tag in face.ann.describe_tags(Filters=wanted)["Tags"]]

    web = sorted((each, "web") for each in ids[:2])
    assert found(**{"tag:Name": ["web"]}) == web
    assert found(**{"tag:Name": ["web", "db"], "resource-id": [ids[2]]}) == [(ids[2], "db")]
    assert found(**{"tag:Name": ["web"], "key": ["Name"]}) == web
    assert found(**{"tag:Name": ["web"], "tag:Mark": ["x"]}) == []  # one tag is not two
    volumes = face.ann.describe_volumes(
        Filters=[{"Name": "tag:Name", "Values": ["web"]}, {"Name": "tag:Mark", "Values": ["x"]}]
    )["Volumes"]
    assert [each["VolumeId"] for each in volumes] == ids[:2]
