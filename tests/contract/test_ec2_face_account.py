"""What is recorded of an account and of instances besides: encryption by default, detailed monitoring."""

from __future__ import annotations

import msgspec
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud

from backend.commands import CreateVolume
from backend.model import Api

ZONE = "us-east-1a"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def launch(face: Ec2Cloud, count: int = 1, **more) -> list[str]:
    made = face.ann.run_instances(
        ImageId=face.cloud.image.id, InstanceType="t2.nano", MinCount=count, MaxCount=count, **more
    )
    face.cloud.quiesce()
    return [each["InstanceId"] for each in made["Instances"]]


def code_of(call, **parameters) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def monitoring(face: Ec2Cloud) -> dict[str, str]:
    found = face.ann.describe_instances()["Reservations"]
    return {each["InstanceId"]: each["Monitoring"]["State"] for group in found for each in group["Instances"]}


# Monitoring ---------------------------------------------------------------------------------------------


def test_monitoring_is_on_from_the_launch_when_asked_for(face):
    made = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        InstanceType="t2.nano",
        MinCount=1,
        MaxCount=1,
        Monitoring={"Enabled": True},
    )
    assert made["Instances"][0]["Monitoring"] == {"State": "pending"}
    face.cloud.quiesce()
    assert list(monitoring(face).values()) == ["enabled"]


def test_monitoring_is_switched_on_and_off(face):
    one, two = launch(face, 2)
    answer = face.ann.monitor_instances(InstanceIds=[one])
    assert answer["InstanceMonitorings"] == [{"InstanceId": one, "Monitoring": {"State": "pending"}}]
    assert monitoring(face) == {one: "enabled", two: "disabled"}
    found = face.ann.describe_instances(Filters=[{"Name": "monitoring-state", "Values": ["enabled"]}])
    assert [each["InstanceId"] for group in found["Reservations"] for each in group["Instances"]] == [one]
    again = face.ann.monitor_instances(InstanceIds=[two, one])["InstanceMonitorings"]
    assert [each["Monitoring"]["State"] for each in again] == ["pending", "enabled"]
    off = face.ann.unmonitor_instances(InstanceIds=[one])["InstanceMonitorings"]
    assert off == [{"InstanceId": one, "Monitoring": {"State": "disabling"}}]
    off = face.ann.unmonitor_instances(InstanceIds=[one])["InstanceMonitorings"]
    assert off == [{"InstanceId": one, "Monitoring": {"State": "disabled"}}]
    assert monitoring(face) == {one: "disabled", two: "enabled"}


def test_monitoring_is_for_all_or_none(face):
    (one,) = launch(face)
    unknown = "i-0123456789abcdef0"
    for call in (face.ann.monitor_instances, face.ann.unmonitor_instances):
        assert code_of(call, InstanceIds=[one, unknown]) == "InvalidInstanceID.NotFound"
        assert code_of(call, InstanceIds=[one, "i-x"]) == "InvalidInstanceID.Malformed"
        assert code_of(call, InstanceIds=[]) == "InvalidParameterCombination"
        assert code_of(call, InstanceIds=[one], DryRun=True) == "DryRunOperation"
    assert code_of(face.bob.monitor_instances, InstanceIds=[one]) == "InvalidInstanceID.NotFound"
    assert monitoring(face) == {one: "disabled"}
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.quiesce()
    assert code_of(face.ann.monitor_instances, InstanceIds=[one]) == "IncorrectInstanceState"


def test_there_are_no_categories_of_measurements(face):
    (one,) = launch(face)
    some = {"MetricCategoryIds": ["cat-1"]}
    assert code_of(face.ann.monitor_instances, InstanceIds=[one], **some) == "UnsupportedOperation"
    wanted = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1, "InstanceType": "t2.nano"}
    asked = {"Enabled": True, **some}
    assert code_of(face.ann.run_instances, **wanted, Monitoring=asked) == "UnsupportedOperation"


def test_there_is_no_password(face):
    (one,) = launch(face)
    answer = face.ann.get_password_data(InstanceId=one)
    assert (answer["InstanceId"], answer["PasswordData"]) == (one, "")
    assert answer["Timestamp"].tzinfo is not None
    assert code_of(face.bob.get_password_data, InstanceId=one) == "InvalidInstanceID.NotFound"
    assert code_of(face.ann.get_password_data, InstanceId="x") == "InvalidInstanceID.Malformed"


# Encryption by default ----------------------------------------------------------------------------------


def test_encryption_by_default_is_told(face):
    def told(client):
        answer = client.get_ebs_encryption_by_default()
        return answer["EbsEncryptionByDefault"], answer["SseType"]

    assert told(face.ann) == (False, "none")
    assert face.ann.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert face.ann.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is True
    assert told(face.ann) == (True, "sse-ebs")
    assert told(face.bob) == (False, "none")
    assert face.ann.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False
    assert told(face.ann) == (False, "none")


def test_encryption_by_default_is_of_every_new_volume(face):
    before = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)
    face.cloud.quiesce()
    plain = face.ann.create_snapshot(VolumeId=before["VolumeId"])["SnapshotId"]
    face.cloud.quiesce()
    face.ann.enable_ebs_encryption_by_default()
    empty = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)
    denied = face.ann.create_volume(AvailabilityZone=ZONE, Size=1, Encrypted=False)
    copied = face.ann.create_volume(AvailabilityZone=ZONE, SnapshotId=plain)
    assert [each["Encrypted"] for each in (before, empty, denied, copied)] == [False, True, True, True]
    (instance,) = launch(
        face,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/vda", "Ebs": {"Encrypted": False}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
            {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": plain}},
        ],
    )
    (row,) = face.ann.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert row["State"]["Name"] == "running"
    mine = [{"Name": "attachment.instance-id", "Values": [instance]}]
    volumes = face.ann.describe_volumes(Filters=mine)["Volumes"]
    assert [each["Encrypted"] for each in volumes] == [True] * 3
    rows = {each.id: each for each in face.cloud.engine.volumes(face.cloud.caller)}
    secrets = [each.secret for each in rows.values() if each.encrypted]
    assert len(set(secrets)) == len(secrets) == 6
    assert not rows[before["VolumeId"]].encrypted
    snapshot = face.ann.create_snapshot(VolumeId=empty["VolumeId"])
    assert snapshot["Encrypted"]
    face.ann.disable_ebs_encryption_by_default()
    assert not face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["Encrypted"]
    assert not face.bob.create_volume(AvailabilityZone=ZONE, Size=1)["Encrypted"]


def test_what_is_copied_unencrypted_is_refused_where_all_is_to_be_encrypted(face):
    volume = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    face.cloud.quiesce()
    plain = face.ann.create_snapshot(VolumeId=volume)["SnapshotId"]
    face.cloud.quiesce()
    copy = {"SourceRegion": "us-east-1", "SourceSnapshotId": plain}
    image = {"SourceRegion": "us-east-1", "SourceImageId": face.cloud.image.id, "Name": "copy"}
    face.ann.enable_ebs_encryption_by_default()
    assert code_of(face.ann.copy_snapshot, **copy) == "UnsupportedOperation"
    assert code_of(face.ann.copy_image, **image) == "UnsupportedOperation"
    safe = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    face.cloud.quiesce()
    kept = face.ann.create_snapshot(VolumeId=safe)["SnapshotId"]
    face.cloud.quiesce()
    face.ann.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=kept)
    face.ann.disable_ebs_encryption_by_default()
    face.ann.copy_snapshot(**copy)
    face.ann.copy_image(**image)


def test_encryption_by_default_needs_somebody_who_keeps_the_keys(face):
    face.cloud.engine.vault = None
    assert code_of(face.ann.enable_ebs_encryption_by_default) == "UnsupportedOperation"
    assert face.ann.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"] is False


# Settings that there are not ----------------------------------------------------------------------------


def test_what_an_untouched_account_says(face):
    ann = face.ann

    def said(answer) -> dict:
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    by = {"ManagedBy": "account"}
    assert said(ann.get_serial_console_access_status()) == {"SerialConsoleAccessEnabled": False, **by}
    assert said(ann.get_snapshot_block_public_access_state()) == {"State": "unblocked", **by}
    unblocked = {"ImageBlockPublicAccessState": "unblocked"}
    assert said(ann.get_image_block_public_access_state()) == {**unblocked, **by}
    assert said(ann.get_allowed_images_settings()) == {"State": "disabled", "ImageCriteria": [], **by}
    assert said(ann.get_instance_metadata_defaults()) == {"AccountLevel": {}}
    assert ann.describe_instance_event_notification_attributes()["InstanceTagAttribute"] == {
        "InstanceTagKeys": [],
        "IncludeAllTagsOfInstance": False,
    }
    options = ann.describe_vpc_block_public_access_options()["VpcBlockPublicAccessOptions"]
    assert (options["AwsAccountId"], options["AwsRegion"]) == (face.cloud.caller.account_id, "us-east-1")
    assert (options["State"], options["InternetGatewayBlockMode"]) == ("default-state", "off")
    assert code_of(ann.describe_spot_datafeed_subscription) == "InvalidSpotDatafeed.NotFound"


def test_settings_are_taken_back_but_not_made(face):
    ann = face.ann
    assert ann.disable_serial_console_access()["SerialConsoleAccessEnabled"] is False
    assert ann.disable_image_block_public_access()["ImageBlockPublicAccessState"] == "unblocked"
    assert ann.disable_snapshot_block_public_access()["State"] == "unblocked"
    assert ann.disable_allowed_images_settings()["AllowedImagesSettingsState"] == "disabled"
    assert ann.modify_instance_metadata_defaults(HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
    assert code_of(ann.modify_instance_metadata_defaults, HttpTokens="required") == "UnsupportedOperation"
    for refused in (
        ann.enable_serial_console_access,
        ann.get_ebs_default_kms_key_id,
    ):
        assert code_of(refused) == "UnsupportedOperation"


def test_all_ids_are_long(face):
    every = face.ann.describe_id_format()["Statuses"]
    assert len(every) == 31
    assert all(each["UseLongIds"] for each in every)
    assert face.ann.describe_id_format(Resource="volume")["Statuses"] == [
        {"Resource": "volume", "UseLongIds": True}
    ]
    assert code_of(face.ann.describe_id_format, Resource="cloud") == "InvalidParameterValue"
    arn = "arn:aws:iam::111122223333:root"
    assert face.ann.describe_identity_id_format(PrincipalArn=arn)["Statuses"] == every
    whole = face.ann.describe_aggregate_id_format()
    assert (whole["UseLongIdsAggregated"], whole["Statuses"]) == (True, every)
    assert face.ann.describe_principal_id_format()["Principals"] == []


def test_the_pools_of_public_addresses(face):
    first = face.ann.allocate_address()
    (pool,) = face.ann.describe_public_ipv4_pools()["PublicIpv4Pools"]
    assert pool == {
        "PoolId": "public",
        "Description": "",
        "PoolAddressRanges": [
            {
                "FirstAddress": "203.0.113.0",
                "LastAddress": "203.0.113.63",
                "AddressCount": 64,
                "AvailableAddressCount": 63,
            }
        ],
        "TotalAddressCount": 64,
        "TotalAvailableAddressCount": 63,
        "NetworkBorderGroup": "us-east-1",
        "Tags": [],
    }
    assert first["PublicIpv4Pool"] == pool["PoolId"]
    assert face.ann.describe_public_ipv4_pools(PoolIds=["public"])["PublicIpv4Pools"] == [pool]
    unknown = "ipv4pool-ec2-0123456789abcdef0"
    assert code_of(face.ann.describe_public_ipv4_pools, PoolIds=[unknown]) == (
        "InvalidPublicIpv4PoolID.NotFound"
    )
    mine = [{"Name": "tag:a", "Values": ["b"]}]
    assert face.ann.describe_public_ipv4_pools(Filters=mine)["PublicIpv4Pools"] == []


def test_snapshots_are_in_the_standard_tier(face):
    volume = face.ann.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    face.cloud.quiesce()
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]
    one = face.ann.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    (told,) = face.ann.describe_snapshot_tier_status()["SnapshotTierStatuses"]
    assert told == {
        "SnapshotId": one,
        "VolumeId": volume,
        "Status": "pending",
        "OwnerId": face.cloud.caller.account_id,
        "Tags": [{"Key": "a", "Value": "b"}],
        "StorageTier": "standard",
    }
    face.cloud.quiesce()
    two = face.ann.create_snapshot(VolumeId=volume)["SnapshotId"]
    face.cloud.quiesce()
    face.ann.modify_snapshot_attribute(
        SnapshotId=two, CreateVolumePermission={"Add": [{"UserId": face.cloud.other.account_id}]}
    )
    by_id = [{"Name": "snapshot-id", "Values": [two]}]
    (told,) = face.ann.describe_snapshot_tier_status(Filters=by_id)["SnapshotTierStatuses"]
    assert (told["SnapshotId"], told["Status"]) == (two, "completed")
    pages = face.ann.get_paginator("describe_snapshot_tier_status").paginate(PaginationConfig={"PageSize": 1})
    found = [each["SnapshotId"] for page in pages for each in page["SnapshotTierStatuses"]]
    assert sorted(found) == sorted([one, two])
    archived = [{"Name": "last-tiering-operation", "Values": ["archival-completed"]}]
    assert face.ann.describe_snapshot_tier_status(Filters=archived)["SnapshotTierStatuses"] == []
    assert face.bob.describe_snapshot_tier_status()["SnapshotTierStatuses"] == []


def test_instances_with_their_images(face):
    one, two = launch(face, 2)
    face.ann.create_tags(Resources=[one], Tags=[{"Key": "a", "Value": "b"}])
    tagged = [{"Name": "tag:a", "Values": ["b"]}]
    (told,) = face.ann.describe_instance_image_metadata(Filters=tagged)["InstanceImageMetadata"]
    image = face.cloud.image
    assert told["InstanceId"] == one
    assert (told["State"]["Name"], told["AvailabilityZone"], told["InstanceType"]) == (
        "running",
        ZONE,
        "t2.nano",
    )
    metadata = told["ImageMetadata"]
    assert metadata.pop("CreationDate").endswith("Z")
    assert metadata == {
        "ImageId": image.id,
        "Name": image.name,
        "OwnerId": image.account_id,
        "State": "available",
        "ImageAllowed": True,
        "IsPublic": True,
    }
    every = face.ann.get_paginator("describe_instance_image_metadata").paginate(
        PaginationConfig={"PageSize": 1}
    )
    assert [each["InstanceId"] for page in every for each in page["InstanceImageMetadata"]] == [one, two]
    named = face.ann.describe_instance_image_metadata(InstanceIds=[two])["InstanceImageMetadata"]
    assert [each["InstanceId"] for each in named] == [two]
    assert code_of(face.bob.describe_instance_image_metadata, InstanceIds=[two]) == (
        "InvalidInstanceID.NotFound"
    )
    assert face.bob.describe_instance_image_metadata()["InstanceImageMetadata"] == []
    face.ann.deregister_image(ImageId=image.id)
    told = face.ann.describe_instance_image_metadata(InstanceIds=[two])["InstanceImageMetadata"]
    assert told[0]["ImageMetadata"]["State"] == "deregistered"


def test_an_image_with_those_that_it_was_copied_from(face):
    first = face.cloud.image.id
    region = {"SourceRegion": "us-east-1"}
    second = face.ann.copy_image(SourceImageId=first, Name="second", **region)["ImageId"]
    third = face.ann.copy_image(SourceImageId=second, Name="third", **region)["ImageId"]
    line = face.ann.get_image_ancestry(ImageId=third)["ImageAncestryEntries"]
    assert [(each["ImageId"], each.get("SourceImageId")) for each in line] == [
        (third, second),
        (second, first),
        (first, None),
    ]
    assert line[0]["SourceImageRegion"] == "us-east-1"
    assert code_of(face.bob.get_image_ancestry, ImageId=third) == "InvalidAMIID.NotFound"


# Options that are as they are ---------------------------------------------------------------------------


def test_options_are_accepted_as_they_are_and_refused_otherwise(face):
    (one,) = launch(face)
    ann = face.ann
    told = ann.modify_instance_maintenance_options(InstanceId=one, AutoRecovery="disabled")
    assert (told["InstanceId"], told["AutoRecovery"], told["RebootMigration"]) == (
        one,
        "disabled",
        "disabled",
    )
    assert ann.modify_private_dns_name_options(InstanceId=one, PrivateDnsHostnameType="ip-name")["Return"]
    told = ann.modify_instance_cpu_options(InstanceId=one, CoreCount=1, ThreadsPerCore=1)
    assert (told["CoreCount"], told["ThreadsPerCore"]) == (1, 1)
    weighting = ann.modify_instance_network_performance_options
    assert weighting(InstanceId=one, BandwidthWeighting="default")["BandwidthWeighting"] == "default"
    capacity = ann.modify_instance_capacity_reservation_attributes
    anyhow = {"CapacityReservationPreference": "open"}
    assert capacity(InstanceId=one, CapacityReservationSpecification=anyhow)["Return"] is True
    only = {"CapacityReservationPreference": "capacity-reservations-only"}
    for call, more in (
        (ann.modify_instance_maintenance_options, {"AutoRecovery": "default"}),
        (ann.modify_private_dns_name_options, {"PrivateDnsHostnameType": "resource-name"}),
        (ann.modify_instance_cpu_options, {"CoreCount": 2, "ThreadsPerCore": 1}),
        (weighting, {"BandwidthWeighting": "vpc-1"}),
        (capacity, {"CapacityReservationSpecification": only}),
    ):
        assert code_of(call, InstanceId=one, **more) == "UnsupportedOperation"
    unknown = "i-0123456789abcdef0"
    assert code_of(weighting, InstanceId=unknown, BandwidthWeighting="vpc-1") == "InvalidInstanceID.NotFound"


def test_credits_have_an_outcome_for_each_instance(face):
    one, two = launch(face, 2)
    unknown = "i-0123456789abcdef0"
    answer = face.ann.modify_instance_credit_specification(
        InstanceCreditSpecifications=[
            {"InstanceId": one, "CpuCredits": "standard"},
            {"InstanceId": two, "CpuCredits": "unlimited"},
            {"InstanceId": unknown, "CpuCredits": "standard"},
            {"InstanceId": "i-x", "CpuCredits": "standard"},
        ]
    )
    assert answer["SuccessfulInstanceCreditSpecifications"] == [{"InstanceId": one}]
    failed = answer["UnsuccessfulInstanceCreditSpecifications"]
    assert [(each["InstanceId"], each["Error"]["Code"]) for each in failed] == [
        (two, "InstanceCreditSpecification.NotSupported"),
        (unknown, "InvalidInstanceID.NotFound"),
        ("i-x", "InvalidInstanceID.Malformed"),
    ]
    wrong = [{"InstanceId": one, "CpuCredits": "many"}]
    assert (
        code_of(face.ann.modify_instance_credit_specification, InstanceCreditSpecifications=wrong)
        == "InvalidParameterValue"
    )


def test_lists_that_need_more_than_ids_are_empty_too(face):
    assert face.ann.describe_byoip_cidrs(MaxResults=10)["ByoipCidrs"] == []
    assert (
        face.ann.describe_capacity_block_offerings(CapacityDurationHours=24)["CapacityBlockOfferings"] == []
    )
    assert code_of(face.ann.describe_image_references, ImageIds=[face.cloud.image.id]) == (
        "UnsupportedOperation"
    )


def test_a_launch_may_ask_for_the_cores_that_its_type_has(face):
    wanted = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1, "InstanceType": "t2.large"}
    made = face.ann.run_instances(**wanted, CpuOptions={"CoreCount": 2, "ThreadsPerCore": 1})
    assert made["Instances"][0]["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 1}
    for options in ({"CoreCount": 1, "ThreadsPerCore": 1}, {"CoreCount": 1, "ThreadsPerCore": 2}):
        assert code_of(face.ann.run_instances, **wanted, CpuOptions=options) == "UnsupportedOperation"
    unknown = {**wanted, "InstanceType": "x9.none", "CpuOptions": {"CoreCount": 2}}
    assert code_of(face.ann.run_instances, **unknown) == "InvalidParameterValue"


# Types by requirements ----------------------------------------------------------------------------------

EVERY = {"VCpuCount": {"Min": 0}, "MemoryMiB": {"Min": 0}}


@pytest.mark.parametrize(
    ("requirements", "expected"),
    [
        ({}, ["t2.large", "t2.nano"]),
        ({"VCpuCount": {"Min": 2}}, ["t2.large"]),
        ({"VCpuCount": {"Min": 1, "Max": 1}}, ["t2.nano"]),
        ({"MemoryMiB": {"Min": 512, "Max": 8191}}, ["t2.nano"]),
        ({"MemoryGiBPerVCpu": {"Min": 4, "Max": 4}}, ["t2.large"]),
        ({"ExcludedInstanceTypes": ["t2.n*"]}, ["t2.large"]),
        ({"AllowedInstanceTypes": ["*.nano", "c5.*"]}, ["t2.nano"]),
        ({"LocalStorage": "required"}, ["t2.large"]),
        ({"LocalStorage": "excluded"}, ["t2.nano"]),
        ({"TotalLocalStorageGB": {"Min": 1}}, ["t2.large"]),
        ({"BareMetal": "required"}, []),
        ({"BurstablePerformance": "excluded", "BareMetal": "included"}, ["t2.large", "t2.nano"]),
        ({"InstanceGenerations": ["previous"]}, []),
        ({"AcceleratorCount": {"Min": 1}}, []),
        ({"AcceleratorCount": {"Max": 0}}, ["t2.large", "t2.nano"]),
        ({"AcceleratorTypes": ["gpu"]}, []),
        ({"NetworkInterfaceCount": {"Min": 9}}, []),
        ({"RequireHibernateSupport": True}, ["t2.large", "t2.nano"]),
        ({"RequireEncryptionInTransit": True}, []),
    ],
)
def test_types_by_what_they_must_have(face, requirements, expected):
    found = face.ann.get_instance_types_from_instance_requirements(
        ArchitectureTypes=["x86_64"], VirtualizationTypes=["hvm"], InstanceRequirements=EVERY | requirements
    )
    assert [each["InstanceType"] for each in found["InstanceTypes"]] == expected


def test_requirements_that_nobody_could_judge_are_refused(face):
    ask = face.ann.get_instance_types_from_instance_requirements
    wanted = {"ArchitectureTypes": ["x86_64"], "VirtualizationTypes": ["hvm"]}
    assert code_of(ask, **wanted, InstanceRequirements=EVERY | {"CpuManufacturers": ["amd"]}) == (
        "UnsupportedOperation"
    )
    assert code_of(ask, **wanted, InstanceRequirements={"VCpuCount": {"Min": 1}}) == "MissingParameter"
    arm = wanted | {"ArchitectureTypes": ["arm64"]}
    assert ask(**arm, InstanceRequirements=EVERY)["InstanceTypes"] == []


# Encryption by default, on both faces -------------------------------------------------------------------


def test_encryption_by_default_is_of_volumes_made_through_the_other_face_too(face):
    face.ann.enable_ebs_encryption_by_default()
    caller = msgspec.structs.replace(face.cloud.caller, api=Api.OCCI)
    volume = face.cloud.engine.execute(caller, CreateVolume(size_gib=1))
    (instance,) = face.cloud.launch(caller)
    face.cloud.quiesce()
    assert volume.encrypted
    assert [disk.encrypted for disk in face.cloud.disks(instance)] == [True]
