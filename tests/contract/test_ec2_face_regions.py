"""Two regions in one installation: each has its own of everything but images, and the signature chooses."""

from __future__ import annotations

import msgspec
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from simulation import NETWORK, Cloud

from backend.engine import EngineSettings

EAST, WEST = "us-east-1", "eu-west-9"
ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]
ZONES = {EAST: ("us-east-1a", "us-east-1b"), WEST: ("eu-west-9a",)}


class Regions:
    """Clients of one tenant in both regions, and of another in the second."""

    def __init__(self, monkeypatch) -> None:
        cloud = Cloud(settings=EngineSettings(network=NETWORK, zones=ZONES))
        cloud.add_host(zone="eu-west-9a", region=WEST)
        cloud.poll()
        self.face = Ec2Cloud(monkeypatch, cloud=cloud)
        self.cloud = cloud
        ann, bob = self.face.keys["AKIAANN"], self.face.keys["AKIABOB"]
        there = {
            "AKIAANNWEST": (ann[0], msgspec.structs.replace(ann[1], region=WEST)),
            "AKIABOBWEST": (bob[0], msgspec.structs.replace(bob[1], region=WEST)),
        }
        self.face.keys.update(there)
        self.east = self.face.ann
        self.west = self.face.client("AKIAANNWEST", region=WEST)
        self.stranger = self.face.client("AKIABOBWEST", region=WEST)

    def launch(self, client, **more) -> str:
        made = client.run_instances(
            ImageId=self.cloud.image.id, InstanceType="t2.nano", MinCount=1, MaxCount=1, **more
        )
        self.cloud.quiesce()
        return made["Instances"][0]["InstanceId"]


@pytest.fixture
def regions(monkeypatch) -> Regions:
    return Regions(monkeypatch)


def code_of(call, **parameters) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def ids(client) -> list[str]:
    found = client.describe_instances()["Reservations"]
    return [each["InstanceId"] for group in found for each in group["Instances"]]


def test_both_regions_are_told_with_their_zones(regions):
    for client, region in ((regions.east, EAST), (regions.west, WEST)):
        told = client.describe_regions(AllRegions=True)["Regions"]
        assert [each["RegionName"] for each in told] == [EAST, WEST]
        assert {each["Endpoint"] for each in told} == {"cloud.example:8773"}
        assert {each["OptInStatus"] for each in told} == {"opt-in-not-required"}
        zones = client.describe_availability_zones()["AvailabilityZones"]
        assert [each["ZoneName"] for each in zones] == list(ZONES[region])
        assert {each["RegionName"] for each in zones} == {region}
        places = client.describe_instance_type_offerings(LocationType="availability-zone")
        assert {each["Location"] for each in places["InstanceTypeOfferings"]} == set(ZONES[region])
    named = regions.west.describe_regions(RegionNames=[EAST])["Regions"]
    assert [each["RegionName"] for each in named] == [EAST]
    assert code_of(regions.west.describe_regions, RegionNames=["us-west-2"]) == "InvalidParameterValue"
    assert code_of(regions.west.describe_availability_zones, ZoneNames=["us-east-1a"]) == (
        "InvalidParameterValue"
    )


def test_tags_of_rules_are_told_where_their_group_is(regions):
    group = regions.east.create_security_group(GroupName="web", Description="doors")["GroupId"]
    opened = regions.east.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANYWHERE}],
    )
    rule = opened["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    regions.east.create_tags(Resources=[group, rule], Tags=[{"Key": "Name", "Value": "door"}])
    assert {tag["ResourceId"] for tag in regions.east.describe_tags()["Tags"]} == {group, rule}
    assert regions.west.describe_tags()["Tags"] == []


def test_an_instance_is_in_the_region_that_it_was_launched_in(regions):
    here, there = regions.launch(regions.east), regions.launch(regions.west)
    assert (ids(regions.east), ids(regions.west)) == ([here], [there])
    (row,) = regions.west.describe_instances()["Reservations"][0]["Instances"]
    assert row["Placement"]["AvailabilityZone"] == "eu-west-9a"
    assert row["State"]["Name"] == "running"
    assert regions.cloud.host(1).running() == {there}
    for call in (
        regions.west.describe_instances,
        regions.west.stop_instances,
        regions.west.terminate_instances,
        regions.west.describe_instance_status,
        regions.west.monitor_instances,
    ):
        assert code_of(call, InstanceIds=[here]) == "InvalidInstanceID.NotFound"
    assert code_of(regions.west.get_console_output, InstanceId=here) == "InvalidInstanceID.NotFound"
    assert code_of(regions.west.create_tags, Resources=[here], Tags=[{"Key": "a", "Value": "b"}]) == (
        "InvalidInstanceID.NotFound"
    )
    zone = {"AvailabilityZone": "us-east-1a"}
    refused = code_of(
        regions.west.run_instances,
        ImageId=regions.cloud.image.id,
        MinCount=1,
        MaxCount=1,
        Placement=zone,
    )
    assert refused in {"InvalidParameterValue", "InvalidZone.NotFound"}
    assert regions.east.describe_instances(InstanceIds=[here])["Reservations"]


def test_each_region_has_a_default_vpc_of_the_tenants(regions):
    here, there = (client.describe_vpcs()["Vpcs"] for client in (regions.east, regions.west))
    assert [each["IsDefault"] for each in (*here, *there)] == [True, True]
    assert here[0]["VpcId"] != there[0]["VpcId"]
    subnets = regions.west.describe_subnets()["Subnets"]
    assert [each["AvailabilityZone"] for each in subnets] == ["eu-west-9a"]
    assert len(regions.east.describe_subnets()["Subnets"]) == 2
    assert code_of(regions.west.describe_vpcs, VpcIds=[here[0]["VpcId"]]) == "InvalidVpcID.NotFound"
    assert code_of(
        regions.west.create_security_group, GroupName="g", Description="d", VpcId=here[0]["VpcId"]
    ) == ("InvalidVpcID.NotFound")
    defaults = [
        attribute["AttributeValues"][0]["AttributeValue"]
        for attribute in regions.west.describe_account_attributes()["AccountAttributes"]
        if attribute["AttributeName"] == "default-vpc"
    ]
    assert defaults == [there[0]["VpcId"]]


def test_names_are_of_a_region(regions):
    for client in (regions.east, regions.west):
        client.create_key_pair(KeyName="web")
        client.create_security_group(GroupName="web", Description="d")
    assert len(regions.east.describe_key_pairs()["KeyPairs"]) == 1
    regions.west.delete_key_pair(KeyName="web")
    assert len(regions.east.describe_key_pairs()["KeyPairs"]) == 1
    assert regions.west.describe_key_pairs()["KeyPairs"] == []
    for client, name in ((regions.east, "here"), (regions.west, "there")):
        client.create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData={"InstanceType": "t2.nano", "KeyName": name}
        )
        client.create_placement_group(GroupName="web", Strategy="spread")
    templates = [c.describe_launch_templates()["LaunchTemplates"] for c in (regions.east, regions.west)]
    assert [len(each) for each in templates] == [1, 1]
    assert templates[0][0]["LaunchTemplateId"] != templates[1][0]["LaunchTemplateId"]
    other = templates[0][0]["LaunchTemplateId"]
    assert code_of(regions.west.describe_launch_templates, LaunchTemplateIds=[other]).startswith(
        "InvalidLaunchTemplateId"
    )
    regions.west.delete_placement_group(GroupName="web")
    assert len(regions.east.describe_placement_groups()["PlacementGroups"]) == 1


def test_volumes_tags_and_addresses_of_another_region_do_not_exist(regions):
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "where", "Value": "east"}]}]
    volume = regions.east.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)[
        "VolumeId"
    ]
    address = regions.east.allocate_address()["AllocationId"]
    regions.cloud.quiesce()
    there = regions.launch(regions.west)
    assert regions.west.describe_volumes(Filters=[{"Name": "size", "Values": ["1"]}])["Volumes"] == [
        each for each in regions.west.describe_volumes()["Volumes"] if each["VolumeId"] != volume
    ]
    assert volume not in {each["VolumeId"] for each in regions.west.describe_volumes()["Volumes"]}
    assert code_of(regions.west.attach_volume, VolumeId=volume, InstanceId=there, Device="/dev/sdf") == (
        "InvalidVolume.NotFound"
    )
    assert regions.west.describe_tags()["Tags"] == []
    assert [each["ResourceId"] for each in regions.east.describe_tags()["Tags"]] == [volume]
    assert regions.west.describe_addresses()["Addresses"] == []
    assert code_of(regions.west.associate_address, AllocationId=address, InstanceId=there) == (
        "InvalidAllocationID.NotFound"
    )
    assert code_of(regions.west.release_address, AllocationId=address) == "InvalidAllocationID.NotFound"
    assert (
        code_of(regions.west.create_volume, AvailabilityZone="us-east-1a", Size=1) == "InvalidZone.NotFound"
    )


def test_a_snapshot_is_copied_from_its_region_to_another(regions):
    volume = regions.east.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    regions.cloud.quiesce()
    source = regions.east.create_snapshot(VolumeId=volume)["SnapshotId"]
    regions.cloud.quiesce()
    assert regions.west.describe_snapshots()["Snapshots"] == []
    copy = regions.west.copy_snapshot
    assert code_of(copy, SourceRegion=WEST, SourceSnapshotId=source) == "InvalidSnapshot.NotFound"
    assert code_of(copy, SourceRegion="us-west-2", SourceSnapshotId=source) == "InvalidParameterValue"
    assert code_of(regions.stranger.copy_snapshot, SourceRegion=EAST, SourceSnapshotId=source) == (
        "InvalidSnapshot.NotFound"
    )
    made = copy(SourceRegion=EAST, SourceSnapshotId=source)["SnapshotId"]
    (told,) = regions.west.describe_snapshots()["Snapshots"]
    assert (told["SnapshotId"], told["State"]) == (made, "completed")
    new = regions.west.create_volume(AvailabilityZone="eu-west-9a", SnapshotId=made)
    regions.cloud.quiesce()
    assert regions.west.describe_volumes(VolumeIds=[new["VolumeId"]])["Volumes"][0]["State"] == "available"
    assert [each["SnapshotId"] for each in regions.east.describe_snapshots()["Snapshots"]] == [source]
    regions.west.delete_volume(VolumeId=new["VolumeId"])
    regions.cloud.quiesce()
    assert code_of(regions.west.delete_snapshot, SnapshotId=source) == "InvalidSnapshot.NotFound"


def test_images_are_in_every_region_and_copied_to_one(regions):
    image = regions.cloud.image.id
    for client in (regions.east, regions.west):
        assert [each["ImageId"] for each in client.describe_images()["Images"]] == [image]
    here = regions.launch(regions.east)
    made = regions.east.create_image(InstanceId=here, Name="mine", NoReboot=True)["ImageId"]
    regions.cloud.quiesce()
    there = regions.west.run_instances(ImageId=made, InstanceType="t2.nano", MinCount=1, MaxCount=1)
    regions.cloud.quiesce()
    started = there["Instances"][0]["InstanceId"]
    state = regions.west.describe_instances(InstanceIds=[started])["Reservations"][0]["Instances"][0]["State"]
    assert state["Name"] == "running"
    copied = regions.west.copy_image(SourceRegion=EAST, SourceImageId=made, Name="copied")["ImageId"]
    (told,) = regions.west.describe_images(ImageIds=[copied])["Images"]
    (disk,) = told["BlockDeviceMappings"]
    assert disk["Ebs"]["SnapshotId"] in {
        each["SnapshotId"] for each in regions.west.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    }
    assert code_of(regions.west.copy_image, SourceRegion="us-west-2", SourceImageId=made, Name="other") == (
        "InvalidRequest"
    )


def test_encryption_by_default_is_of_a_region(regions):
    regions.west.enable_ebs_encryption_by_default()
    assert regions.east.get_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert not regions.east.create_volume(AvailabilityZone="us-east-1a", Size=1)["Encrypted"]
    assert regions.west.create_volume(AvailabilityZone="eu-west-9a", Size=1)["Encrypted"]


def test_a_client_token_is_of_a_region(regions):
    asked = {"ImageId": regions.cloud.image.id, "InstanceType": "t2.nano", "ClientToken": "once"}
    here = regions.east.run_instances(MinCount=1, MaxCount=1, **asked)["Instances"][0]["InstanceId"]
    there = regions.west.run_instances(MinCount=1, MaxCount=1, **asked)["Instances"][0]["InstanceId"]
    again = regions.west.run_instances(MinCount=1, MaxCount=1, **asked)["Instances"][0]["InstanceId"]
    assert here != there == again


def test_page_tokens_are_of_a_region(regions):
    for client in (regions.east, regions.west):
        for _ in range(6):
            regions.launch(client)
    token = regions.east.describe_instances(MaxResults=5)["NextToken"]
    assert code_of(regions.west.describe_instances, MaxResults=5, NextToken=token) == "InvalidNextToken"
    assert len(regions.east.describe_instances(MaxResults=5, NextToken=token)["Reservations"]) == 1
