"""A launch's parameters over a template's, what a new version inherits, and the two shapes of the data."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.session
import pytest

from backend.engine.launch_templates import check_name, inherited, number_of
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate
from ec2.launch_data import NOT_INHERITED, overlaid, told


def tags(kind, **pairs):
    return {
        "ResourceType": kind,
        "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()],
    }


@pytest.mark.parametrize(
    ("data", "request_", "launch"),
    [
        pytest.param({}, {"ImageId": "a"}, {"ImageId": "a"}, id="nothing in the template"),
        pytest.param({"ImageId": "a"}, {"MinCount": 1}, {"ImageId": "a", "MinCount": 1}, id="both"),
        pytest.param({"ImageId": "a"}, {"ImageId": "b"}, {"ImageId": "b"}, id="the request wins"),
        pytest.param(
            {"DisableApiStop": True}, {"DisableApiStop": False}, {"DisableApiStop": False}, id="false wins"
        ),
        pytest.param({"RamDiskId": "ari"}, {}, {"RamdiskId": "ari"}, id="spelled as RunInstances does"),
        pytest.param(
            {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}},
            {"MetadataOptions": {"HttpPutResponseHopLimit": 3}},
            {"MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}},
            id="members inside a structure",
        ),
        pytest.param(
            {"SecurityGroupIds": ["a", "b"]},
            {"SecurityGroupIds": ["c"]},
            {"SecurityGroupIds": ["c"]},
            id="a list as a whole",
        ),
        pytest.param(
            {"SecurityGroups": ["a"]},
            {"SecurityGroupIds": ["c"]},
            {"SecurityGroupIds": ["c"]},
            id="groups in either way",
        ),
        pytest.param(
            {"SecurityGroupIds": ["a"]},
            {"SecurityGroupIds": []},
            {"SecurityGroupIds": ["a"]},
            id="an empty list asks for nothing",
        ),
        pytest.param(
            {"BlockDeviceMappings": [{"DeviceName": "a", "Ebs": {"VolumeSize": 1}}, {"DeviceName": "b"}]},
            {"BlockDeviceMappings": [{"DeviceName": "c"}, {"DeviceName": "a", "NoDevice": ""}]},
            {
                "BlockDeviceMappings": [
                    {"DeviceName": "a", "NoDevice": ""},
                    {"DeviceName": "b"},
                    {"DeviceName": "c"},
                ]
            },
            id="block devices by name",
        ),
        pytest.param(
            {"TagSpecifications": [tags("instance", a="1", b="2"), tags("volume", a="3")]},
            {"TagSpecifications": [tags("instance", b="4", c="5")]},
            {
                "TagSpecifications": [
                    tags("instance", a="1"),
                    tags("volume", a="3"),
                    tags("instance", b="4", c="5"),
                ]
            },
            id="tags by key",
        ),
        pytest.param(
            {"TagSpecifications": [tags("instance", a="1")]},
            {"TagSpecifications": [tags("instance", a="2")]},
            {"TagSpecifications": [tags("instance", a="2")]},
            id="no specification is left empty",
        ),
    ],
)
def test_a_launch_over_a_template(data, request_, launch):
    assert overlaid(data, request_) == launch


def test_neither_side_is_changed():
    data = {"BlockDeviceMappings": [{"DeviceName": "a"}], "Placement": {"Tenancy": "default"}}
    request = {"BlockDeviceMappings": [{"DeviceName": "b"}], "Placement": {"GroupName": "g"}}
    overlaid(data, request)
    assert data == {"BlockDeviceMappings": [{"DeviceName": "a"}], "Placement": {"Tenancy": "default"}}
    assert request == {"BlockDeviceMappings": [{"DeviceName": "b"}], "Placement": {"GroupName": "g"}}


def test_a_version_inherits_members_as_a_whole_and_no_snapshots():
    source = {
        "ImageId": "a",
        "KeyName": "k",
        "BlockDeviceMappings": [{"DeviceName": "d", "Ebs": {"SnapshotId": "s", "VolumeSize": 2}}],
    }
    assert inherited(source, {"ImageId": "b"}, NOT_INHERITED) == {
        "ImageId": "b",
        "KeyName": "k",
        "BlockDeviceMappings": [{"DeviceName": "d", "Ebs": {"VolumeSize": 2}}],
    }
    own = {"BlockDeviceMappings": [{"DeviceName": "e", "Ebs": {"SnapshotId": "t"}}]}
    assert inherited(source, own, NOT_INHERITED) == source | own
    assert inherited(source, {}, (("KeyName",),)) == {
        name: value for name, value in source.items() if name != "KeyName"
    }


def test_data_is_told_as_it_came():
    data = {"ImageId": "a", "InstanceMarketOptions": {"SpotOptions": {"ValidUntil": "2030-01-02T03:04:05Z"}}}
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert told(data) == {
        "ImageId": "a",
        "InstanceMarketOptions": {"SpotOptions": {"ValidUntil": moment}},
    }
    assert told({"InstanceMarketOptions": {}}) == {"InstanceMarketOptions": {}}


def shapes(name, path=()):
    """Every member of a shape by its path, with its type."""
    model = botocore.session.get_session().get_component("data_loader").load_service_model("ec2", "service-2")
    shape = model["shapes"][name]
    if shape["type"] == "list":
        yield from _inside(model, shape["member"]["shape"], path)
    for member, reference in shape.get("members", {}).items():
        yield from _inside(model, reference["shape"], (*path, member))


def _inside(model, name, path):
    shape = model["shapes"][name]
    yield path, shape["type"]
    if shape["type"] == "list":
        yield from _inside(model, shape["member"]["shape"], path)
    for member, reference in shape.get("members", {}).items():
        yield from _inside(model, reference["shape"], (*path, member))


def test_what_is_asked_for_can_be_told_and_holds_one_time():
    asked, said = dict(shapes("RequestLaunchTemplateData")), dict(shapes("ResponseLaunchTemplateData"))
    assert set(asked) <= set(said)
    assert [path for path, kind in asked.items() if kind == "timestamp"] == [
        ("InstanceMarketOptions", "SpotOptions", "ValidUntil")
    ]


def test_a_launch_knows_every_member_of_a_template():
    """Whatever a template may say is a parameter of RunInstances, or refused there by its name."""
    members = {path[0] for path, _ in shapes("RequestLaunchTemplateData")}
    launch = {path[0] for path, _ in shapes("RunInstancesRequest")}
    spelled = set(overlaid(dict.fromkeys(members, ""), {}))
    assert spelled - launch == {"InstanceRequirements"}


# Names of templates and versions ------------------------------------------------------------------------

TEMPLATE = LaunchTemplate(
    id="lt-1",
    tenant_id="t",
    account_id="a",
    region="r",
    created_at=0.0,
    name="name",
    created_by="",
    default_version=2,
    latest_version=7,
    last_version=9,
)


@pytest.mark.parametrize(("named", "number"), [("$Latest", 7), ("$Default", 2), ("3", 3), ("10000", 10_000)])
def test_versions_have_numbers(named, number):
    assert number_of(TEMPLATE, named) == number


@pytest.mark.parametrize("named", ["", "0", "-1", "1.0", "$latest", "latest", "٣", "01", "2147483648"])
def test_what_is_no_version(named):
    with pytest.raises(BackendError) as refused:
        number_of(TEMPLATE, named)
    assert refused.value.code is Code.PARAMETER_INVALID


@pytest.mark.parametrize("name", ["abc", "a" * 128, "(web).v1/blue-green_2"])
def test_names(name):
    check_name(name)


@pytest.mark.parametrize("name", ["", "ab", "a" * 129, "a b c", "wéb", "web\n", "web:1", "w*b"])
def test_what_is_no_name(name):
    with pytest.raises(BackendError) as refused:
        check_name(name)
    assert refused.value.code is Code.LAUNCH_TEMPLATE_NAME_INVALID
