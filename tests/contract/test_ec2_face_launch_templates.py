"""Launch templates through the EC2 face, on both databases: written, numbered, launched from, taken away."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from network_cloud import ZONES
from simulation import ADMIN, NETWORK, Cloud
from test_engine_concurrency import together

from backend import launch_commands as commands
from backend.commands import PurgeTenant
from backend.engine import EngineSettings, launch_templates
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate

UNKNOWN = "lt-0123456789abcdef0"
NAMES = (
    "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, "
    "and the following characters: - ( ) . / _."
)
ORIGIN = ("aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version")


@pytest.fixture
def cloud(database):
    made = Cloud(url=database, settings=EngineSettings(zones={"us-east-1": ZONES}, network=NETWORK))
    yield made
    made.store.close()


@pytest.fixture
def face(monkeypatch, cloud) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch, cloud=cloud)


@pytest.fixture
def ec2(face) -> Any:
    return face.ann


def refused(call, **parameters) -> tuple[str, str]:
    """Code and message of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def tagged(kind: str, **tags: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def create(ec2: Any, name: str = "web", **data: Any) -> str:
    made = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData=data or {"InstanceType": "t2.nano"}
    )
    return made["LaunchTemplate"]["LaunchTemplateId"]


def versions(ec2: Any, **parameters: Any) -> list[int]:
    found = ec2.describe_launch_template_versions(**parameters)["LaunchTemplateVersions"]
    return [each["VersionNumber"] for each in found]


def add(ec2: Any, template: str, *types: str) -> None:
    for each in types:
        ec2.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData={"InstanceType": each}
        )


def names(ec2: Any, **parameters: Any) -> list[str]:
    found = ec2.describe_launch_templates(**parameters)["LaunchTemplates"]
    return [each["LaunchTemplateName"] for each in found]


# Making and telling -------------------------------------------------------------------------------------

EVERYTHING = {
    "KernelId": "aki-1",
    "EbsOptimized": True,
    "IamInstanceProfile": {"Name": "role"},
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "VolumeType": "gp3", "Encrypted": False}},
        {"DeviceName": "/dev/sdg", "NoDevice": ""},
    ],
    "NetworkInterfaces": [
        {
            "DeviceIndex": 0,
            "Groups": ["sg-00000000"],
            "Ipv6Addresses": [{"Ipv6Address": "2001:db8::1"}],
            "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": "10.0.0.4"}],
            "NetworkCardIndex": 0,
        }
    ],
    "ImageId": "ami-00000000",
    "InstanceType": "m5.large",
    "KeyName": "key",
    "Monitoring": {"Enabled": True},
    "Placement": {"GroupName": "g", "HostResourceGroupArn": "arn:aws:x", "PartitionNumber": 2},
    "RamDiskId": "ari-1",
    "DisableApiTermination": False,
    "InstanceInitiatedShutdownBehavior": "terminate",
    "UserData": "IyEvYmluL3No",
    "TagSpecifications": tagged("instance", a="b"),
    "ElasticGpuSpecifications": [{"Type": "eg1.medium"}],
    "ElasticInferenceAccelerators": [{"Type": "eia1.medium", "Count": 2}],
    "SecurityGroupIds": ["sg-00000001"],
    "SecurityGroups": ["default"],
    "InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.1"}},
    "CreditSpecification": {"CpuCredits": "unlimited"},
    "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 1},
    "CapacityReservationSpecification": {
        "CapacityReservationTarget": {"CapacityReservationId": "cr-00000000"}
    },
    "LicenseSpecifications": [{"LicenseConfigurationArn": "arn:aws:license"}],
    "HibernationOptions": {"Configured": True},
    "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
    "EnclaveOptions": {"Enabled": False},
    "InstanceRequirements": {
        "VCpuCount": {"Min": 1, "Max": 4},
        "MemoryMiB": {"Min": 512},
        "MemoryGiBPerVCpu": {"Min": 0.5, "Max": 8.0},
        "CpuManufacturers": ["intel", "amd"],
    },
    "PrivateDnsNameOptions": {"HostnameType": "ip-name", "EnableResourceNameDnsARecord": False},
    "MaintenanceOptions": {"AutoRecovery": "default"},
    "DisableApiStop": True,
    "NetworkPerformanceOptions": {"BandwidthWeighting": "vpc-1"},
    "SecondaryInterfaces": [{"DeviceIndex": 1, "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.5"}]}],
}


def test_data_is_told_as_it_came(ec2):
    create(ec2, **EVERYTHING)
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="web")["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"] == EVERYTHING


def test_a_template_with_its_first_version(ec2, face):
    made = ec2.create_launch_template(
        LaunchTemplateName="web",
        VersionDescription="first",
        LaunchTemplateData={"ImageId": face.cloud.image.id},
        TagSpecifications=tagged("launch-template", team="a"),
    )
    assert "Warning" not in made
    template = made["LaunchTemplate"]
    assert template.pop("CreateTime")
    assert template == {
        "LaunchTemplateId": template["LaunchTemplateId"],
        "LaunchTemplateName": "web",
        "CreatedBy": "arn:aws:iam::111122223333:user/ann",
        "DefaultVersionNumber": 1,
        "LatestVersionNumber": 1,
        "Operator": {"Managed": False},
        "Tags": [{"Key": "team", "Value": "a"}],
    }
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="web")["LaunchTemplateVersions"]
    assert version.pop("CreateTime")
    assert version == {
        "LaunchTemplateId": template["LaunchTemplateId"],
        "LaunchTemplateName": "web",
        "VersionNumber": 1,
        "VersionDescription": "first",
        "CreatedBy": "arn:aws:iam::111122223333:user/ann",
        "DefaultVersion": True,
        "LaunchTemplateData": {"ImageId": face.cloud.image.id},
        "Operator": {"Managed": False},
    }


def test_what_a_template_cannot_be(ec2, face):
    data = {"InstanceType": "t2.nano"}
    create(ec2)
    assert refused(ec2.create_launch_template, LaunchTemplateName="web", LaunchTemplateData=data) == (
        "InvalidLaunchTemplateName.AlreadyExistsException",
        "Launch template name already in use.",
    )
    for name in ("ab", "a b c", "x" * 129):
        assert refused(ec2.create_launch_template, LaunchTemplateName=name, LaunchTemplateData=data) == (
            "InvalidLaunchTemplateName.MalformedException",
            NAMES,
        )
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"LaunchTemplateData": {}}, "MissingParameter"),
        ({"LaunchTemplateData": {"UserData": "no base64!"}}, "InvalidUserData.Malformed"),
        ({"LaunchTemplateData": {"UserData": "QUFB" * 5462}}, "InvalidParameterValue"),
        ({"LaunchTemplateData": {"TagSpecifications": tagged("subnet", a="b")}}, "InvalidParameterValue"),
        (
            {"LaunchTemplateData": {"TagSpecifications": tagged("volume", **{"aws:a": ""})}},
            "InvalidParameterValue",
        ),
        ({"LaunchTemplateData": {"Operator": {"Principal": "x"}}}, "UnsupportedOperation"),
        ({"TagSpecifications": tagged("instance", a="b")}, "InvalidParameterValue"),
        ({"VersionDescription": "x" * 256}, "InvalidParameterValue"),
        ({"ClientToken": "x" * 129}, "InvalidParameterValue"),
    ]
    for parameters, code in wrong:
        asked = {"LaunchTemplateName": "new", "LaunchTemplateData": data} | parameters
        assert refused(ec2.create_launch_template, **asked)[0] == code, parameters
    assert names(ec2) == ["web"]
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.create_launch_template(LaunchTemplateName="new", LaunchTemplateData=data, DryRun=True)
    assert names(ec2) == ["web"]


def test_an_empty_member_is_data(face, ec2):
    """Terraform sends user data always, so that the data is never empty."""
    reply = face.post(
        "CreateLaunchTemplate", LaunchTemplateName="terraform", **{"LaunchTemplateData.UserData": ""}
    )
    assert reply.status_code == 200
    assert names(ec2) == ["terraform"]


def test_what_no_launch_would_take_is_told_of(ec2, face):
    data = {
        "ImageId": "ami-0123456789abcdef0",
        "InstanceType": "x1e.32xlarge",
        "KeyName": "nobody",
        "IamInstanceProfile": {"Name": "role"},
        "EbsOptimized": True,
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
        "BlockDeviceMappings": [{"Ebs": {"VolumeSize": 1}}],
        "MetadataOptions": {"HttpPutResponseHopLimit": 99},
    }
    made = ec2.create_launch_template(LaunchTemplateName="odd", LaunchTemplateData=data)
    codes = sorted(each["Code"] for each in made["Warning"]["Errors"])
    assert codes == [
        "InvalidAMIID.NotFound",
        "InvalidGroup.NotFound",
        "InvalidKeyPair.NotFound",
        "InvalidParameterValue",
        "InvalidParameterValue",
        "MissingParameter",
        "UnsupportedOperation",
        "UnsupportedOperation",
    ]
    second = ec2.create_launch_template_version(
        LaunchTemplateName="odd", SourceVersion="1", LaunchTemplateData={"KeyName": ""}
    )
    assert len(second["Warning"]["Errors"]) == 7
    fine = {"ImageId": face.cloud.image.id, "SecurityGroups": ["default"], "Monitoring": {"Enabled": True}}
    assert "Warning" not in ec2.create_launch_template(LaunchTemplateName="ok.", LaunchTemplateData=fine)


# Versions -----------------------------------------------------------------------------------------------


def test_versions_are_numbered_and_inherit(ec2):
    template = create(ec2, ImageId="ami-00000001", KeyName="k", Monitoring={"Enabled": True})
    made = ec2.create_launch_template_version(
        LaunchTemplateId=template,
        SourceVersion="1",
        LaunchTemplateData={"ImageId": "ami-00000002"},
        VersionDescription="second",
    )["LaunchTemplateVersion"]
    assert (made["VersionNumber"], made["DefaultVersion"]) == (2, False)
    assert made["LaunchTemplateData"] == {
        "ImageId": "ami-00000002",
        "KeyName": "k",
        "Monitoring": {"Enabled": True},
    }
    for source, image in (("$Latest", "ami-00000002"), ("$Default", "ami-00000001")):
        made = ec2.create_launch_template_version(
            LaunchTemplateName="web", SourceVersion=source, LaunchTemplateData={"KeyName": source}
        )["LaunchTemplateVersion"]
        assert made["LaunchTemplateData"] == {
            "ImageId": image,
            "KeyName": source,
            "Monitoring": {"Enabled": True},
        }
    made = ec2.create_launch_template_version(
        LaunchTemplateName="web", LaunchTemplateData={"KeyName": "alone"}
    )["LaunchTemplateVersion"]
    assert made["LaunchTemplateData"] == {"KeyName": "alone"}
    assert made["VersionNumber"] == 5
    (template,) = ec2.describe_launch_templates()["LaunchTemplates"]
    assert (template["DefaultVersionNumber"], template["LatestVersionNumber"]) == (1, 5)


def test_versions_of_what_is_not_there(ec2):
    template = create(ec2)
    data = {"InstanceType": "t2.nano"}
    call = ec2.create_launch_template_version
    assert refused(call, LaunchTemplateId=UNKNOWN, LaunchTemplateData=data) == (
        "InvalidLaunchTemplateId.NotFound",
        f"The specified launch template, with template ID {UNKNOWN}, does not exist.",
    )
    assert refused(call, LaunchTemplateName="nobody", LaunchTemplateData=data) == (
        "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name nobody, does not exist.",
    )
    assert refused(call, LaunchTemplateId="lt-xyz", LaunchTemplateData=data)[0] == (
        "InvalidLaunchTemplateId.Malformed"
    )
    assert refused(call, LaunchTemplateName="a b", LaunchTemplateData=data)[0] == (
        "InvalidLaunchTemplateName.MalformedException"
    )
    assert refused(call, LaunchTemplateId=template, SourceVersion="9", LaunchTemplateData=data) == (
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version 9 for the launch template with ID {template}.",
    )
    assert refused(call, LaunchTemplateId=template, SourceVersion="new", LaunchTemplateData=data)[0] == (
        "InvalidParameterValue"
    )
    assert refused(call, LaunchTemplateData=data)[0] == "MissingParameter"
    assert refused(call, LaunchTemplateId=template, LaunchTemplateName="web", LaunchTemplateData=data)[0] == (
        "InvalidParameterCombination"
    )
    assert refused(call, LaunchTemplateId=template, LaunchTemplateData={})[0] == "MissingParameter"
    assert versions(ec2, LaunchTemplateId=template) == [1]


def test_a_template_has_so_many_versions(ec2, monkeypatch):
    template = create(ec2)
    monkeypatch.setattr(launch_templates, "MOST_VERSIONS", 2)
    add(ec2, template, "t2.nano")
    data = {"InstanceType": "t2.nano"}
    assert refused(ec2.create_launch_template_version, LaunchTemplateId=template, LaunchTemplateData=data)[
        0
    ] == ("ResourceLimitExceeded")
    monkeypatch.setattr(launch_templates, "MOST_TEMPLATES", 1)
    assert refused(ec2.create_launch_template, LaunchTemplateName="two", LaunchTemplateData=data)[0] == (
        "ResourceLimitExceeded"
    )


def test_aliases_of_images_are_kept_and_not_resolved(ec2):
    alias = "resolve:ssm:/images/web"
    create(ec2, ImageId=alias)
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateName="web")["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"] == {"ImageId": alias}
    assert refused(ec2.describe_launch_template_versions, LaunchTemplateName="web", ResolveAlias=True)[0] == (
        "UnsupportedOperation"
    )
    launch = {"LaunchTemplate": {"LaunchTemplateName": "web"}, "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, **launch)[0] == "InvalidAMIID.Malformed"


# Describing ---------------------------------------------------------------------------------------------


def test_templates_by_id_name_and_filter(ec2):
    one, two = create(ec2, "one"), create(ec2, "two")
    ec2.create_tags(Resources=[two], Tags=[{"Key": "team", "Value": "b"}])
    assert names(ec2) == ["one", "two"]
    assert names(ec2, LaunchTemplateIds=[two]) == ["two"]
    assert names(ec2, LaunchTemplateNames=["two", "one"]) == ["one", "two"]
    by = [
        ("launch-template-name", "t*"),
        ("launch-template-name", "two"),
        ("tag:team", "b"),
        ("tag-key", "team"),
    ]
    for name, value in by:
        assert names(ec2, Filters=[{"Name": name, "Values": [value]}]) == ["two"]
    assert names(ec2, Filters=[{"Name": "create-time", "Values": ["1999*"]}]) == []
    assert names(ec2, LaunchTemplateIds=[one], Filters=[{"Name": "tag-key", "Values": ["team"]}]) == []
    call = ec2.describe_launch_templates
    assert refused(call, LaunchTemplateNames=["one", "six"]) == (
        "InvalidLaunchTemplateName.NotFoundException",
        "At least one of the launch templates specified in the request does not exist.",
    )
    assert refused(call, LaunchTemplateIds=[UNKNOWN])[0] == "InvalidLaunchTemplateId.NotFound"
    assert refused(call, LaunchTemplateIds=["lt-1"])[0] == "InvalidLaunchTemplateId.Malformed"
    assert refused(call, LaunchTemplateIds=[one], LaunchTemplateNames=["two"])[0] == (
        "InvalidParameterCombination"
    )
    assert refused(call, Filters=[{"Name": "color", "Values": ["red"]}])[0] == "InvalidParameterValue"


def test_pages(ec2):
    for number in range(5):
        create(ec2, f"web{number}")
    pages = list(ec2.get_paginator("describe_launch_templates").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["LaunchTemplates"]) for page in pages] == [2, 2, 1]
    assert [each["LaunchTemplateName"] for page in pages for each in page["LaunchTemplates"]] == [
        f"web{number}" for number in range(5)
    ]
    template = create(ec2, "many")
    add(ec2, template, *["t2.nano"] * 4)
    listing = ec2.get_paginator("describe_launch_template_versions")
    for more in ({}, {"Filters": [{"Name": "instance-type", "Values": ["t2.*"]}]}, {"MaxVersion": "5"}):
        pages = list(listing.paginate(LaunchTemplateId=template, PaginationConfig={"PageSize": 2}, **more))
        found = [[each["VersionNumber"] for each in page["LaunchTemplateVersions"]] for page in pages]
        assert found == [[5, 4], [3, 2], [1]]
    pages = list(listing.paginate(Versions=["$Latest"], PaginationConfig={"PageSize": 4}))
    assert [len(page["LaunchTemplateVersions"]) for page in pages] == [4, 2]
    for size in (0, 201):
        for call in (ec2.describe_launch_templates, ec2.describe_launch_template_versions):
            more = {} if call == ec2.describe_launch_templates else {"LaunchTemplateId": template}
            assert refused(call, MaxResults=size, **more)[0] == "InvalidParameterValue"


def test_which_versions(ec2):
    one, two = create(ec2, "one"), create(ec2, "two")
    add(ec2, one, "t2.micro", "t2.small", "t2.medium")
    ec2.modify_launch_template(LaunchTemplateId=one, DefaultVersion="2")
    assert versions(ec2, LaunchTemplateId=one) == [4, 3, 2, 1]
    assert versions(ec2, LaunchTemplateId=one, Versions=["1", "3"]) == [3, 1]
    assert versions(ec2, LaunchTemplateName="one", Versions=["$Latest", "$Default", "4"]) == [4, 2]
    assert versions(ec2, LaunchTemplateId=one, MinVersion="2") == [4, 3, 2]
    assert versions(ec2, LaunchTemplateId=one, MaxVersion="2") == [2, 1]
    assert versions(ec2, LaunchTemplateId=one, MinVersion="2", MaxVersion="3") == [3, 2]
    assert versions(ec2, Versions=["$Latest"]) == [4, 1]
    assert versions(ec2, Versions=["$Default"]) == [2, 1]
    assert versions(ec2, Versions=["$Latest", "$Default"]) == [4, 2, 1]
    found = ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"]
    assert [each["LaunchTemplateId"] for each in found] == [one, two]
    by = [("instance-type", "t2.small", [3]), ("is-default-version", "true", [2]), ("image-id", "*", [])]
    for name, value, numbers in by:
        filters = [{"Name": name, "Values": [value]}]
        assert versions(ec2, LaunchTemplateId=one, Filters=filters) == numbers


def test_which_versions_are_not_there(ec2):
    template = create(ec2)
    call = ec2.describe_launch_template_versions
    code, message = refused(call)
    assert code == "MissingParameter"
    assert "$Latest, $Default or both" in message
    assert refused(call, Versions=["1"]) == ("InvalidParameterValue", message)
    assert refused(call, Versions=["$Latest", "1"]) == ("InvalidParameterValue", message)
    assert refused(call, LaunchTemplateName="web", Versions=["3"]) == (
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version 3 for the launch template with ID {template}.",
    )
    assert refused(call, LaunchTemplateName="nobody") == (
        "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name nobody, does not exist.",
    )
    assert refused(call, LaunchTemplateId=UNKNOWN) == (
        "InvalidLaunchTemplateId.NotFound",
        f"The specified launch template, with template ID {UNKNOWN}, does not exist.",
    )
    assert refused(call, LaunchTemplateName="web", MinVersion="first")[0] == "InvalidParameterValue"
    assert refused(call, LaunchTemplateName="web", Versions=["first"])[0] == "InvalidParameterValue"


BY = {
    "ebs-optimized": "true",
    "host-resource-group-arn": "arn:aws:x",
    "http-endpoint": "enabled",
    "http-protocol-ipv4": "enabled",
    "http-tokens": "required",
    "image-id": "ami-00000000",
    "instance-type": "m5.*",
    "is-default-version": "true",
    "kernel-id": "aki-1",
    "license-configuration-arn": "arn:aws:license",
    "network-card-index": "0",
    "ram-disk-id": "ari-1",
    "create-time": "2027*",
    "iam-instance-profile": "arn:aws:iam::1:instance-profile/x",
}


def test_filters_of_versions(ec2):
    profile = {"Arn": "arn:aws:iam::1:instance-profile/x"}
    create(ec2, **EVERYTHING | {"IamInstanceProfile": profile})
    for name, value in BY.items():
        assert versions(ec2, LaunchTemplateName="web", Filters=[{"Name": name, "Values": [value]}]) == [1], (
            name
        )
        assert versions(ec2, LaunchTemplateName="web", Filters=[{"Name": name, "Values": ["no"]}]) == [], name
    every = [{"Name": name, "Values": [value]} for name, value in BY.items()]
    assert versions(ec2, Versions=["$Latest"], Filters=every) == [1]


# Changing and deleting ----------------------------------------------------------------------------------


def test_another_default(ec2):
    template = create(ec2)
    add(ec2, template, "t2.micro")
    changed = ec2.modify_launch_template(LaunchTemplateName="web", DefaultVersion="2")["LaunchTemplate"]
    assert (changed["DefaultVersionNumber"], changed["LatestVersionNumber"]) == (2, 2)
    found = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert [each["DefaultVersion"] for each in found] == [True, False]
    call = ec2.modify_launch_template
    assert refused(call, LaunchTemplateId=template, DefaultVersion="666") == (
        "InvalidLaunchTemplateId.VersionNotFound",
        "The launch template version 666 is not found for the specified launch template.",
    )
    assert refused(call, LaunchTemplateId="template_n", LaunchTemplateName="web", DefaultVersion="2") == (
        "InvalidParameterCombination",
        "Either provide launch template ID or launch template name to modify the template.",
    )
    assert refused(call, LaunchTemplateId=template)[0] == "MissingParameter"
    assert refused(call, DefaultVersion="2")[0] == "MissingParameter"


def test_versions_go_one_by_one(ec2):
    template = create(ec2)
    add(ec2, template, "t2.micro", "t2.small", "t2.medium")
    done = ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["4", "1", "2", "9", "2"])
    gone = done["SuccessfullyDeletedLaunchTemplateVersions"]
    assert gone == [
        {"LaunchTemplateId": template, "LaunchTemplateName": "web", "VersionNumber": number}
        for number in (4, 2)
    ]
    stay = done["UnsuccessfullyDeletedLaunchTemplateVersions"]
    assert [(each["VersionNumber"], each["ResponseError"]["Code"]) for each in stay] == [
        (1, "unexpectedError"),
        (9, "launchTemplateVersionDoesNotExist"),
    ]
    assert all(each["ResponseError"]["Message"] for each in stay)
    assert versions(ec2, LaunchTemplateId=template) == [3, 1]
    assert versions(ec2, LaunchTemplateId=template, Versions=["$Latest"]) == [3]
    add(ec2, template, "t2.nano")
    assert versions(ec2, LaunchTemplateId=template) == [5, 3, 1]
    call = ec2.delete_launch_template_versions
    assert refused(call, LaunchTemplateId=template, Versions=["$Latest"])[0] == "InvalidParameterValue"
    too_many = [str(number) for number in range(1, 202)]
    assert refused(call, LaunchTemplateId=template, Versions=too_many)[0] == "InvalidParameterValue"
    assert refused(call, LaunchTemplateId=template, Versions=[])[0] == "MissingParameter"
    assert refused(call, LaunchTemplateId=UNKNOWN, Versions=["1"])[0] == "InvalidLaunchTemplateId.NotFound"
    assert versions(ec2, LaunchTemplateId=template) == [5, 3, 1]


def test_a_template_goes_with_everything(ec2):
    template = create(ec2)
    add(ec2, template, "t2.micro")
    ec2.create_tags(Resources=[template], Tags=[{"Key": "a", "Value": "b"}])
    gone = ec2.delete_launch_template(LaunchTemplateName="web")["LaunchTemplate"]
    assert (gone["LaunchTemplateId"], gone["LatestVersionNumber"]) == (template, 2)
    assert names(ec2) == []
    assert ec2.describe_tags()["Tags"] == []
    assert refused(ec2.delete_launch_template, LaunchTemplateId=template)[0] == (
        "InvalidLaunchTemplateId.NotFound"
    )
    assert refused(ec2.delete_launch_template)[0] == "MissingParameter"
    assert create(ec2) != template


def test_what_is_others_is_not_there(face, ec2, cloud):
    template = create(ec2)
    bob = face.bob
    assert names(bob) == []
    assert refused(bob.delete_launch_template, LaunchTemplateId=template)[0] == (
        "InvalidLaunchTemplateId.NotFound"
    )
    assert refused(bob.describe_launch_template_versions, LaunchTemplateName="web")[0] == (
        "InvalidLaunchTemplateName.NotFoundException"
    )
    assert bob.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"] == []
    assert refused(bob.create_tags, Resources=[template], Tags=[{"Key": "a", "Value": "b"}])[0] == (
        "InvalidLaunchTemplateId.NotFound"
    )
    create(bob)
    cloud.engine.execute(ADMIN, PurgeTenant(tenant_id=cloud.other.tenant_id))
    assert names(ec2) == ["web"]
    assert [each.id for each in cloud.engine.networks.all(ADMIN, LaunchTemplate)] == [template]


def test_tags_of_templates(ec2):
    template = create(ec2)
    ec2.create_tags(Resources=[template], Tags=[{"Key": "a", "Value": "b"}])
    (tag,) = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["launch-template"]}])["Tags"]
    assert tag == {"Key": "a", "Value": "b", "ResourceId": template, "ResourceType": "launch-template"}
    ec2.delete_tags(Resources=[template])
    assert "Tags" not in ec2.describe_launch_templates()["LaunchTemplates"][0]


# Launching ----------------------------------------------------------------------------------------------


def launch(ec2: Any, **parameters: Any) -> dict[str, Any]:
    reply = ec2.run_instances(**{"MinCount": 1, "MaxCount": 1} | parameters)
    (instance,) = reply["Instances"]
    return instance


def tags_of(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def test_a_launch_from_a_template(ec2, face):
    data = {
        "ImageId": face.cloud.image.id,
        "InstanceType": "t2.nano",
        "UserData": base64.b64encode(b"hello").decode(),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "DisableApiTermination": True,
        "TagSpecifications": tagged("instance", a="1", b="2") + tagged("volume", disk="yes"),
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}],
        "MetadataOptions": {"HttpTokens": "required"},
    }
    template = create(ec2, **data)
    instance = launch(ec2, LaunchTemplate={"LaunchTemplateId": template})
    assert instance["ImageId"] == face.cloud.image.id
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert tags_of(instance) == {"a": "1", "b": "2", ORIGIN[0]: template, ORIGIN[1]: "1"}
    identity = instance["InstanceId"]
    assert face.describe(identity)["Tags"] == instance["Tags"]
    read = ec2.describe_instance_attribute
    assert read(InstanceId=identity, Attribute="userData")["UserData"] == {"Value": data["UserData"]}
    assert read(InstanceId=identity, Attribute="disableApiTermination")["DisableApiTermination"]["Value"]
    volumes = ec2.describe_volumes(Filters=[{"Name": "tag:disk", "Values": ["yes"]}])["Volumes"]
    assert sorted(each["Attachments"][0]["Device"] for each in volumes) == ["/dev/sdf", "/dev/vda"]


def test_the_request_comes_before_the_template(ec2, face):
    template = create(
        ec2,
        ImageId="ami-0123456789abcdef0",
        InstanceType="t2.nano",
        TagSpecifications=tagged("instance", a="1", b="2"),
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 3}},
        ],
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    )
    instance = launch(
        ec2,
        LaunchTemplate={"LaunchTemplateName": "web", "Version": "$Latest"},
        ImageId=face.cloud.image.id,
        TagSpecifications=tagged("instance", b="3"),
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 4}}],
        MetadataOptions={"HttpPutResponseHopLimit": 3},
    )
    assert tags_of(instance) == {"a": "1", "b": "3", ORIGIN[0]: template, ORIGIN[1]: "1"}
    options = instance["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 3)
    mapped = {
        each["DeviceName"]: each["Ebs"]["VolumeId"] for each in instance["BlockDeviceMappings"]
    } or _mapped(face, instance)
    sizes = {
        device: ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"]
        for device, volume in mapped.items()
    }
    assert (sizes["/dev/sdf"], sizes["/dev/sdg"]) == (4, 3)


def _mapped(face: Ec2Cloud, instance: dict[str, Any]) -> dict[str, str]:
    told = face.describe(instance["InstanceId"])["BlockDeviceMappings"]
    return {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in told}


def test_the_version_of_a_launch(ec2, face):
    template = create(ec2, ImageId=face.cloud.image.id)
    for number in ("2", "3"):
        ec2.create_launch_template_version(
            LaunchTemplateId=template,
            SourceVersion="1",
            LaunchTemplateData={"TagSpecifications": tagged("instance", version=number)},
        )
    ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    for version, number in ((None, "2"), ("$Default", "2"), ("$Latest", "3"), ("3", "3"), ("1", "1")):
        said = {"LaunchTemplateId": template} | ({"Version": version} if version else {})
        assert tags_of(launch(ec2, LaunchTemplate=said))[ORIGIN[1]] == number


def test_launches_that_no_template_allows(ec2, face):
    template = create(ec2, InstanceType="t2.nano")
    call, one = ec2.run_instances, {"MinCount": 1, "MaxCount": 1}
    wrong: list[tuple[dict[str, str], str]] = [
        ({"LaunchTemplateId": template}, "MissingParameter"),  # no image
        ({"LaunchTemplateId": UNKNOWN}, "InvalidLaunchTemplateId.NotFound"),
        ({"LaunchTemplateId": "lt-x"}, "InvalidLaunchTemplateId.Malformed"),
        ({"LaunchTemplateName": "nobody"}, "InvalidLaunchTemplateName.NotFoundException"),
        ({"LaunchTemplateName": "web", "Version": "2"}, "InvalidLaunchTemplateId.VersionNotFound"),
        ({"LaunchTemplateName": "web", "Version": "new"}, "InvalidParameterValue"),
        ({"LaunchTemplateName": "web", "LaunchTemplateId": template}, "InvalidParameterCombination"),
        ({"Version": "1"}, "MissingParameter"),
    ]
    for said, code in wrong:
        assert refused(call, LaunchTemplate=said, **one)[0] == code, said
    image = face.cloud.image.id
    for member, value in (
        ("IamInstanceProfile", {"Name": "x"}),
        ("KernelId", "aki-1"),
        ("InstanceRequirements", {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 1}}),
        ("InstanceMarketOptions", {"MarketType": "spot"}),
    ):
        create(ec2, f"odd-{member}", ImageId=image, **{member: value})
        said = {"LaunchTemplateName": f"odd-{member}"}
        assert refused(call, LaunchTemplate=said, **one)[0] == "UnsupportedOperation", member
    create(ec2, "nics", ImageId=image, NetworkInterfaces=[{"DeviceIndex": 0}])
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    assert refused(call, LaunchTemplate={"LaunchTemplateName": "nics"}, SubnetId=subnet, **one) == (
        "InvalidParameterCombination",
        "Network interfaces and an instance-level subnet ID may not be specified on the same request",
    )
    assert face.listed() == []


def test_the_origin_of_an_instance_stays(ec2, face):
    template = create(ec2, ImageId=face.cloud.image.id, TagSpecifications=tagged("instance", a="1"))
    identity = launch(ec2, LaunchTemplate={"LaunchTemplateId": template})["InstanceId"]
    told = ec2.describe_tags(Filters=[{"Name": "key", "Values": [ORIGIN[0]]}])["Tags"]
    assert [(each["ResourceId"], each["Value"]) for each in told] == [(identity, template)]
    assert face.listed(**{f"tag:{ORIGIN[0]}": template}) == [identity]
    assert refused(ec2.delete_tags, Resources=[identity], Tags=[{"Key": ORIGIN[0]}]) == (
        "InvalidParameterValue",
        "Tag keys starting with 'aws:' are reserved for internal use",
    )
    assert refused(ec2.create_tags, Resources=[identity], Tags=[{"Key": ORIGIN[1], "Value": "9"}])[0] == (
        "InvalidParameterValue"
    )
    ec2.delete_tags(Resources=[identity])
    assert set(tags_of(face.describe(identity))) == set(ORIGIN)
    fifty = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    ec2.create_tags(Resources=[identity], Tags=fifty)
    assert len(face.describe(identity)["Tags"]) == 52
    assert refused(ec2.create_tags, Resources=[identity], Tags=[{"Key": "more", "Value": ""}])[0] == (
        "TagLimitExceeded"
    )
    ec2.delete_launch_template(LaunchTemplateId=template)
    assert tags_of(face.describe(identity))[ORIGIN[0]] == template


def test_a_token_of_a_launch_covers_the_template(ec2, face):
    template = create(ec2, ImageId=face.cloud.image.id)
    said = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"}, "ClientToken": "once"}
    first = launch(ec2, **said)
    ec2.create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"InstanceType": "t2.nano"}
    )
    again = launch(ec2, **said)
    assert (again["InstanceId"], again["Tags"]) == (first["InstanceId"], first["Tags"])
    other = said | {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"}}
    assert refused(ec2.run_instances, MinCount=1, MaxCount=1, **other)[0] == "IdempotentParameterMismatch"
    ec2.delete_launch_template(LaunchTemplateId=template)
    assert launch(ec2, **said)["InstanceId"] == first["InstanceId"]
    assert len(face.listed()) == 1


def test_an_instance_can_be_launched_again(ec2, face):
    subnet = ec2.describe_subnets()["Subnets"][1]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=subnet["VpcId"])["GroupId"]
    user_data = "#!/bin/sh\n"  # the client encodes it
    first = launch(
        ec2,
        ImageId=face.cloud.image.id,
        InstanceType="t2.nano",
        UserData=user_data,
        DisableApiStop=True,
        Monitoring={"Enabled": True},
        SubnetId=subnet["SubnetId"],
        SecurityGroupIds=[group],
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=tagged("instance", a="1") + tagged("volume", b="2"),
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2, "VolumeType": "gp3"}}],
    )
    data = ec2.get_launch_template_data(InstanceId=first["InstanceId"])["LaunchTemplateData"]
    assert base64.b64decode(data["UserData"]) == user_data.encode()
    assert data["TagSpecifications"] == tagged("instance", a="1") + tagged("volume", b="2")
    (nic,) = data["NetworkInterfaces"]
    assert (nic["SubnetId"], nic["Groups"], nic["DeviceIndex"]) == (subnet["SubnetId"], [group], 0)
    assert not {"NetworkInterfaceId", "PrivateIpAddress"} & set(nic)
    made = ec2.create_launch_template(LaunchTemplateName="again", LaunchTemplateData=data)
    assert "Warning" not in made
    second = launch(ec2, LaunchTemplate={"LaunchTemplateName": "again"})
    told = ec2.get_launch_template_data(InstanceId=second["InstanceId"])["LaunchTemplateData"]
    assert told == data
    call = ec2.get_launch_template_data
    assert refused(call, InstanceId="i-0123456789abcdef0")[0] == "InvalidInstanceID.NotFound"
    assert refused(call, InstanceId="x")[0] == "InvalidInstanceID.Malformed"
    assert refused(face.bob.get_launch_template_data, InstanceId=first["InstanceId"])[0] == (
        "InvalidInstanceID.NotFound"
    )


# Tokens and races ---------------------------------------------------------------------------------------


def test_tokens_make_one_template_and_one_version(ec2):
    said = {"LaunchTemplateName": "web", "LaunchTemplateData": {"InstanceType": "a"}, "ClientToken": "t"}
    first = ec2.create_launch_template(**said)["LaunchTemplate"]
    assert ec2.create_launch_template(**said)["LaunchTemplate"] == first
    assert refused(ec2.create_launch_template, **said | {"LaunchTemplateName": "other"})[0] == (
        "IdempotentParameterMismatch"
    )
    said = {"LaunchTemplateName": "web", "LaunchTemplateData": {"InstanceType": "b"}, "ClientToken": "t"}
    second = ec2.create_launch_template_version(**said)["LaunchTemplateVersion"]
    assert ec2.create_launch_template_version(**said)["LaunchTemplateVersion"] == second
    assert refused(ec2.create_launch_template_version, **said | {"SourceVersion": "1"})[0] == (
        "IdempotentParameterMismatch"
    )
    assert versions(ec2, LaunchTemplateName="web") == [2, 1]


def codes(answers: list[Any]) -> list[Code]:
    assert all(isinstance(each, BackendError) for each in answers if isinstance(each, Exception)), answers
    return [each.code for each in answers if isinstance(each, BackendError)]


def at_once(cloud: Cloud, *asked: Any) -> list[Any]:
    return together(*(lambda each=each: cloud.engine.execute(cloud.caller, each) for each in asked))


def test_one_of_many_gets_a_name(cloud):
    answers = at_once(cloud, *[commands.CreateLaunchTemplate(name="web", data={"a": 1})] * 6)
    assert codes(answers) == [Code.LAUNCH_TEMPLATE_EXISTS] * 5
    assert len(cloud.engine.networks.all(cloud.caller, LaunchTemplate)) == 1


def test_many_with_a_token_get_one_template(cloud):
    command = commands.CreateLaunchTemplate(name="web", data={"a": 1}, client_token="t", token_digest="d")
    answers = at_once(cloud, *[command] * 6)
    assert codes(answers) == []
    assert len({each.id for each in answers}) == 1


def test_many_versions_have_numbers_of_their_own(cloud):
    template = cloud.engine.execute(cloud.caller, commands.CreateLaunchTemplate(name="web", data={"a": 1}))
    new = commands.CreateLaunchTemplateVersion(template_id=template.id, data={"b": 2}, source="$Latest")
    answers = at_once(cloud, *[new] * 6)
    assert codes(answers) == []
    assert sorted(each.version.number for each in answers) == list(range(2, 8))
    (template,) = cloud.engine.networks.all(cloud.caller, LaunchTemplate)
    assert (template.latest_version, template.last_version) == (7, 7)


def test_many_with_a_token_get_one_version(cloud):
    for name in ("one", "two"):
        cloud.engine.execute(cloud.caller, commands.CreateLaunchTemplate(name=name, data={"a": 1}))
    new = [
        commands.CreateLaunchTemplateVersion(name=name, data={}, client_token="t", token_digest=name)
        for name in ("one", "one", "one", "two")
    ]
    answers = at_once(cloud, *new)
    refusals = codes(answers)
    assert set(refusals) == {Code.TOKEN_MISMATCH}
    made = {(each.template.name, each.version.number) for each in answers if not isinstance(each, Exception)}
    assert made in ({("one", 2)}, {("two", 2)})


def test_a_version_becomes_the_default_one_or_goes(cloud):
    engine, caller = cloud.engine, cloud.caller
    template = engine.execute(caller, commands.CreateLaunchTemplate(name="web", data={"a": 1}))
    for _ in range(3):
        engine.execute(caller, commands.CreateLaunchTemplateVersion(template_id=template.id, data={}))
    chosen, gone, *_ = at_once(
        cloud,
        commands.SetDefaultVersion(template_id=template.id, version="2"),
        commands.DeleteLaunchTemplateVersions(template_id=template.id, versions=(2,)),
        commands.CreateLaunchTemplateVersion(template_id=template.id, data={}, source="$Default"),
    )
    (now,) = engine.networks.all(caller, LaunchTemplate)
    there = [each.number for each in engine.launch_templates.versions(now)]
    assert now.default_version in there
    if isinstance(chosen, BackendError):
        assert chosen.code is Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND
        assert there == [5, 4, 3, 1]
    else:
        assert gone.versions[0].refusal is Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT
        assert there == [5, 4, 3, 2, 1]


def test_a_template_goes_once(cloud):
    template = cloud.engine.execute(cloud.caller, commands.CreateLaunchTemplate(name="web", data={"a": 1}))
    answers = at_once(
        cloud,
        *[commands.DeleteLaunchTemplate(template_id=template.id)] * 3,
        commands.CreateLaunchTemplateVersion(template_id=template.id, data={}),
    )
    assert codes(answers).count(Code.RESOURCE_NOT_FOUND) in {2, 3}
    assert len(codes(answers[:3])) == 2
    assert cloud.engine.networks.all(cloud.caller, LaunchTemplate) == []
