"""The endpoint itself: order of checks, foreign ids, versions, and bad input of every kind, never a 500."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_face import ENDPOINT, VERSION, Ec2Cloud
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from ec2.actions import ACTIONS
from ec2.service import EC2, LISTS, STS
from rendering.query_shapes import Kind, ListOf, Scalar, Shape, Structure

UNKNOWN = "0123456789abcdef0"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def census(face: Ec2Cloud) -> Any:
    """Everything that a refused call must leave as it is."""
    with face.cloud.store.read() as tx:
        return (
            tx.instances.all(),
            tx.images.all(),
            tx.key_pairs.all(),
            tx.tags.all(),
            tx.jobs.all(),
            tx.events.all(),
            tx.launch_tokens.all(),
            tx.volumes.all(),
            tx.snapshots.all(),
            tx.tasks.all(),
            tx.vpcs.all(),
            tx.subnets.all(),
            tx.route_tables.all(),
            tx.internet_gateways.all(),
            tx.nat_gateways.all(),
            tx.network_acls.all(),
            tx.dhcp_options.all(),
            tx.security_groups.all(),
            tx.security_rules.all(),
            tx.nics.all(),
            tx.leases.all(),
            tx.public_addresses.all(),
        )


_ATTRIBUTES = {
    "DescribeImageAttribute": "description",
    "DescribeNetworkInterfaceAttribute": "description",
    "DescribeSnapshotAttribute": "productCodes",
    "DescribeVolumeAttribute": "autoEnableIO",
    "DescribeVpcAttribute": "enableDnsSupport",
    "ResetImageAttribute": "launchPermission",
    "ResetSnapshotAttribute": "createVolumePermission",
}


def minimal(face: Ec2Cloud, action: str) -> dict[str, str]:
    """Wire parameters that satisfy the syntax of an action, with well-formed ids of nothing."""
    given = {
        "RuleNumber": "1",
        "RuleAction": "allow",
        "RouteTableId": f"rtb-{UNKNOWN}",
        "Protocol": "-1",
        "NetworkAclId": f"acl-{UNKNOWN}",
        "NatGatewayId": f"nat-{UNKNOWN}",
        "InternetGatewayId": f"igw-{UNKNOWN}",
        "InstanceTenancy": "default",
        "Egress": "true",
        "DhcpOptionsId": f"dopt-{UNKNOWN}",
        "DhcpConfiguration.1.Value.1": "example.com",
        "DhcpConfiguration.1.Key": "domain-name",
        "DestinationCidrBlock": "0.0.0.0/0",
        "CidrBlock": "10.0.0.0/16",
        "AssociationId": f"rtbassoc-{UNKNOWN}",
        "AllocationId": f"eipalloc-{UNKNOWN}",
        "ArchitectureType.1": "x86_64",
        "AttachmentId": f"eni-attach-{UNKNOWN}",
        "Attribute": _ATTRIBUTES.get(action, "userData"),
        "BandwidthWeighting": "default",
        "CapacityReservationSpecification.CapacityReservationPreference": "open",
        "DeprecateAt": "2030-01-01T00:00:00Z",
        "Device": "/dev/sdf",
        "DeviceIndex": "1",
        "DiskImageFormat": "RAW",
        "GroupDescription": "what it may",
        "GroupId": f"sg-{UNKNOWN}",
        "GroupId.1": f"sg-{UNKNOWN}",
        "GroupName": "name",
        "InstanceCreditSpecification.1.CpuCredits": "standard",
        "InstanceCreditSpecification.1.InstanceId": f"i-{UNKNOWN}",
        "InstanceRequirements.MemoryMiB.Min": "0",
        "InstanceRequirements.VCpuCount.Min": "0",
        "InstanceSpecification.InstanceId": f"i-{UNKNOWN}",
        "S3ExportLocation.S3Bucket": "bucket",
        "SnapshotId": f"snap-{UNKNOWN}",
        "SourceImageId": f"ami-{UNKNOWN}",
        "SourceRegion": "us-east-1",
        "SourceSnapshotId": f"snap-{UNKNOWN}",
        "VirtualizationType.1": "hvm",
        "VolumeId": f"vol-{UNKNOWN}",
        "InstanceId": f"i-{UNKNOWN}",
        "InstanceId.1": f"i-{UNKNOWN}",
        "ImageId": f"ami-{UNKNOWN}",
        "KeyName": "name",
        "LaunchTemplateData.InstanceType": "t2.nano",
        "LaunchTemplateName": "name",
        "LaunchTemplateVersion.1": "1",
        "MinCount": "1",
        "MaxCount": "1",
        "Name": "name",
        "NetworkInterfaceId": f"eni-{UNKNOWN}",
        "PublicKeyMaterial": "AAAA",
        "ResourceId.1": f"i-{UNKNOWN}",
        "SecurityGroupRule.1.SecurityGroupRuleId": f"sgr-{UNKNOWN}",
        "SubnetId": f"subnet-{UNKNOWN}",
        "Tag.1.Key": "a",
        "VpcId": f"vpc-{UNKNOWN}",
    }
    endpoint = EC2.endpoints.get(action) or STS.endpoints[action]
    wanted = {}
    for member in endpoint.shape.input.members:
        if member.required or member.request_name == "InstanceId":
            nested = not isinstance(member.shape, Scalar)
            found = {key: text for key, text in given.items() if key.split(".")[0] == member.request_name}
            wanted |= {key: text for key, text in found.items() if ("." in key) == nested}
    return wanted


def test_every_operation_of_the_model_has_an_action():
    assert set(ACTIONS) == set(EC2.endpoints) | set(STS.endpoints)


def anything(shape: Any) -> Any:
    """A value that is right for a shape of botocore's: of a choice the first."""
    match shape.type_name:
        case "structure":
            wanted = shape.required_members or list(shape.members)[:1]  # an empty one is not sent at all
            return {name: anything(shape.members[name]) for name in wanted}
        case "list":
            return [anything(shape.member)]
        case "string":
            return next(iter(shape.enum), "x" * 22)
        case "timestamp":
            return "2030-01-01T00:00:00Z"
        case _:
            return 5


def test_what_this_cloud_has_none_of_is_listed_as_nothing(face):
    """For every operation of the real service that is not served: lists are empty, everything else refused."""
    model = face.ann.meta.service_model
    told = set()
    for name in set(model.operation_names) - set(ACTIONS):
        code = face.refusal(name)[1] if name not in LISTS.endpoints else ""
        if code:
            assert code == "UnsupportedOperation", name
            continue
        shape = model.operation_model(name).input_shape
        needed = {each: anything(shape.members[each]) for each in shape.required_members}
        reply = getattr(face.ann, xform_name(name))(**needed)
        del reply["ResponseMetadata"]
        assert reply, name
        assert all(value == [] for value in reply.values()), name
        told.add(name)
    assert told == set(LISTS.endpoints)
    assert {"DescribeVpnConnections", "DescribeFlowLogs", "DescribeSpotInstanceRequests"} <= told
    assert all(name.startswith(("Describe", "Get", "List")) for name in told)


@pytest.mark.parametrize(
    ("action", "parameters", "refusal"),
    [
        ("DescribeFlowLogs", {"DryRun": "true"}, (412, "DryRunOperation")),
        ("DescribeFlowLogs", {"Nonsense": "x"}, (400, "UnknownParameter")),
        ("DescribeClientVpnRoutes", {}, (400, "MissingParameter")),
    ],
)
def test_what_lists_of_nothing_refuse(face, action, parameters, refusal):
    assert face.refusal(action, **parameters)[:2] == refusal


def takes_dry_run(action: str) -> bool:
    """Whether an operation has the parameter at all: a few of the real service have not."""
    return any(member.name == "DryRun" for member in EC2.endpoints[action].shape.input.members)


@pytest.mark.parametrize("action", sorted(filter(takes_dry_run, EC2.endpoints)))
def test_dry_run_answers_before_anything_is_looked_at(face, action):
    before = census(face)
    assert face.refusal(action, DryRun="true", **minimal(face, action)) == (
        412,
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
    )
    assert face.refusal(action, DryRun="true", Nonsense="x", **minimal(face, action))[1] == "UnknownParameter"
    assert census(face) == before


def test_a_foreign_id_answers_as_an_unknown_one(face):
    """For every operation that takes an id: the same code, and the same words but for the id."""
    (mine,) = face.run(TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}])
    key = face.ann.create_key_pair(KeyName="secret", KeyType="ed25519")["KeyPairId"]
    image = face.cloud.image.id
    bob = face.bob
    launch = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    codes = [refused(bob.run_instances, **launch, KeyName=name)[0] for name in ("secret", "nobody")]
    assert codes == ["InvalidKeyPair.NotFound"] * 2
    face.ann.modify_image_attribute(ImageId=image, LaunchPermission={"Remove": [{"Group": "all"}]})
    face.cloud.settle()

    def instances(call, **more):
        return lambda item: refused(call, InstanceIds=[item], **more)

    def instance(call, **more):
        return lambda item: refused(call, InstanceId=item, **more)

    def image_of(call, **more):
        return lambda item: refused(call, ImageId=item, **more)

    questions = [
        (mine, f"i-{UNKNOWN}", instances(bob.describe_instances)),
        (mine, f"i-{UNKNOWN}", instances(bob.describe_instance_status, IncludeAllInstances=True)),
        (mine, f"i-{UNKNOWN}", instances(bob.start_instances)),
        (mine, f"i-{UNKNOWN}", instances(bob.stop_instances)),
        (mine, f"i-{UNKNOWN}", instances(bob.stop_instances, Force=True)),
        (mine, f"i-{UNKNOWN}", instances(bob.stop_instances, Hibernate=True)),
        (mine, f"i-{UNKNOWN}", instances(bob.reboot_instances)),
        (mine, f"i-{UNKNOWN}", instances(bob.terminate_instances)),
        (mine, f"i-{UNKNOWN}", instances(bob.terminate_instances, Force=True)),
        (mine, f"i-{UNKNOWN}", instance(bob.get_console_output)),
        (mine, f"i-{UNKNOWN}", instance(bob.describe_instance_attribute, Attribute="userData")),
        (mine, f"i-{UNKNOWN}", instance(bob.describe_instance_attribute, Attribute="kernel")),
        (mine, f"i-{UNKNOWN}", instance(bob.modify_instance_attribute, DisableApiStop={"Value": True})),
        (mine, f"i-{UNKNOWN}", instance(bob.modify_instance_attribute, InstanceType={"Value": "x"})),
        (mine, f"i-{UNKNOWN}", instance(bob.modify_instance_attribute, EbsOptimized={"Value": True})),
        (mine, f"i-{UNKNOWN}", instance(bob.reset_instance_attribute, Attribute="kernel")),
        (mine, f"i-{UNKNOWN}", instance(bob.reset_instance_attribute, Attribute="userData")),
        (mine, f"i-{UNKNOWN}", lambda item: refused(bob.create_tags, Resources=[item], Tags=[{"Key": "x"}])),
        (mine, f"i-{UNKNOWN}", lambda item: refused(bob.delete_tags, Resources=[item])),
        (key, f"key-{UNKNOWN}", lambda item: refused(bob.delete_tags, Resources=[item])),
        (key, f"key-{UNKNOWN}", lambda item: refused(bob.describe_key_pairs, KeyPairIds=[item])),
        (
            image,
            f"ami-{UNKNOWN}",
            lambda item: refused(bob.create_tags, Resources=[item], Tags=[{"Key": "x"}]),
        ),
        (image, f"ami-{UNKNOWN}", lambda item: refused(bob.describe_images, ImageIds=[item])),
        (image, f"ami-{UNKNOWN}", image_of(bob.describe_image_attribute, Attribute="description")),
        (image, f"ami-{UNKNOWN}", image_of(bob.modify_image_attribute, Description={"Value": "x"})),
        (image, f"ami-{UNKNOWN}", image_of(bob.deregister_image)),
        (image, f"ami-{UNKNOWN}", image_of(bob.run_instances, MinCount=1, MaxCount=1)),
        ("secret", "nobody", lambda item: refused(bob.describe_key_pairs, KeyNames=[item])),
    ]
    before = census(face)
    for foreign, unknown, ask in questions:
        code, message = ask(foreign)
        assert (code, message.replace(foreign, unknown)) == ask(unknown)
    for name in ("secret", "nobody"):
        assert bob.delete_key_pair(KeyName=name)["Return"] is True
    for item in (key, f"key-{UNKNOWN}"):
        assert "KeyPairId" not in bob.delete_key_pair(KeyPairId=item)
    assert census(face) == before
    assert bob.describe_instances()["Reservations"] == []
    assert bob.describe_instances(Filters=[{"Name": "instance-id", "Values": [mine]}])["Reservations"] == []
    assert bob.describe_images()["Images"] == [] == bob.describe_key_pairs()["KeyPairs"]
    assert bob.describe_tags(Filters=[{"Name": "resource-id", "Values": [mine, key]}])["Tags"] == []


def test_actions_and_versions(face):
    assert face.refusal("CreateVpnGateway")[:2] == (400, "UnsupportedOperation")
    assert "CreateVpnGateway" in face.refusal("CreateVpnGateway")[2]
    assert face.refusal("MakeCoffee") == (
        400,
        "InvalidAction",
        "The action MakeCoffee is not valid for this web service.",
    )
    assert face.refusal("describeRegions")[1] == "InvalidAction"
    assert face.refusal("", body=b"Version=2016-11-15")[1] == "MissingAction"
    assert face.refusal("DescribeRegions", version="2031-01-01")[1] == "NoSuchVersion"
    assert face.refusal("DescribeRegions", version="x")[1] == "NoSuchVersion"
    for version in ("2008-02-01", "2010-08-31", "2014-10-01", VERSION):
        reply = face.post("DescribeRegions", version=version)
        tree = etree.fromstring(reply.content)
        assert tree.tag == f"{{http://ec2.amazonaws.com/doc/{version}/}}DescribeRegionsResponse"
        assert tree[0].tag.endswith("requestId")
        assert tree[0].text == reply.headers["x-amzn-requestid"] == reply.headers["x-amz-request-id"]
    assert face.refusal("GetCallerIdentity", version="2011-06-15", Nonsense="1")[1] == "InvalidQueryParameter"
    reply = face.post("GetCallerIdentity", version="2011-06-15", Nonsense="1")
    assert etree.fromstring(reply.content).tag == "{https://sts.amazonaws.com/doc/2011-06-15/}ErrorResponse"


def test_get_and_post_and_lists_from_zero(face):
    (one,) = face.run()
    reply = face.post("DescribeInstances", method="GET", **{"InstanceId.0": one})
    assert reply.status_code == 200
    assert one in reply.text
    face.post("CreateTags", **{"ResourceId.0": one, "Tag.0.Key": "a", "Tag.0.Value": "b", "Tag.2.Key": "c"})
    assert face.describe(one)["Tags"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": ""}]


def test_signatures_come_first(face):
    reply = face.transport._client.simulate_post("/", body=b"Action=MakeCoffee&Version=x")
    assert reply.status_code == 401
    assert "AuthFailure" in reply.text
    ann = face.ann
    face.keys["AKIAANN"] = ("another", face.cloud.caller)
    assert refused(ann.describe_instances)[0] == "AuthFailure"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"Action=DescribeRegions&Version=2016-11-15&x=%ff", 400, "MalformedQueryString"),
        (b"Action=DescribeRegions&Version=2016-11-15&x=%zz", 400, "MalformedQueryString"),
        (b"Action=DescribeRegions&Version=2016-11-15&RegionName.1=%00", 400, "InvalidParameterValue"),
        (b"Action=DescribeRegions&Action=DescribeImages&Version=2016-11-15", 400, "MalformedQueryString"),
        (b"Action=DescribeRegions&Version=2016-11-15&" + b"RegionName.1=a&" * 100_000, 413, "RequestEntityTooLarge"),
        (b"Action=DescribeRegions&Version=2016-11-15&RegionName.1=" + b"a" * (10 << 20), 413, "RequestEntityTooLarge"),
        (b"Action=DescribeRegions&Version=2016-11-15&" + b".".join([b"a"] * 9000) + b"=1", 400, "UnknownParameter"),
        (b"Action=DescribeRegions&Version=2016-11-15&DryRun=maybe", 400, "InvalidParameterValue"),
        (b'{"Action": "DescribeRegions"}', 400, "MissingAction"),
        (b"\x1f\x8b\x08\x00", 400, "MalformedQueryString"),
    ],
    ids=range(10),
)  # fmt: skip
def test_hostile_bodies(face, body, status, code):
    assert face.refusal("", body=body)[:2] == (status, code)


def test_a_failure_inside_is_an_internal_error_with_its_id(face, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(type(face.cloud.engine), "listing", broken)
    with structlog.testing.capture_logs() as lines:
        status, code, message = face.refusal("DescribeImages")
    assert (status, code) == (500, "InternalError")
    (line,) = lines
    assert (line["event"], line["action"]) == ("ec2.internal_error", "DescribeImages")
    assert line["request_id"] == face.transport.last.headers["x-amzn-requestid"]
    assert "secret" not in message


def test_lenient_mode_ignores_what_the_model_does_not_know(monkeypatch):
    face = Ec2Cloud(monkeypatch, lenient=True)
    strict = Ec2Cloud(monkeypatch)
    for unknown in ("FutureParameter", "Filter.1.Future", "Filter.1.Value.Future"):
        wanted = {"Filter.1.Name": "region-name", "Filter.1.Value.1": "*", unknown: "x"}
        assert strict.refusal("DescribeRegions", **wanted)[1] == "UnknownParameter", unknown
        assert face.post("DescribeRegions", **wanted).status_code == 200, unknown


# Fuzz ---------------------------------------------------------------------------------------------------

HOSTILE = [
    "",
    "x",
    "-1",
    "0",
    "true",
    "99999999999999999999",
    "<a>&amp;]]></a>",
    "'; DROP TABLE instance; --",
    "$(reboot)`reboot`",
    "../../etc/passwd",
    "i-0123456789abcdef0",
    "ami-0123456789abcdef0",
    "key-0123456789abcdef0",
    "userData",
    "launchPermission",
    "instance",
    "all",
    "add",
    "é𝄞",
    "\r\n\t",
    "*?\\",
    "AAAA",
    "2026-01-01T00:00:00Z",
]


@st.composite
def fields(draw: st.DrawFn, shape: Structure, prefix: str = "", depth: int = 0) -> dict[str, str]:
    """Parameters of an input shape: often right in form, seldom in meaning."""
    found: dict[str, str] = {}
    for member in shape.members:
        if not member.required and draw(st.integers(0, 4)):
            continue
        found |= draw(values(member.shape, prefix + member.request_name, depth))
    return found


def values(shape: Shape, path: str, depth: int) -> st.SearchStrategy[dict[str, str]]:
    match shape:
        case Structure():
            return fields(shape, f"{path}.", depth + 1) if depth < 4 else st.just({path: "x"})
        case ListOf():
            return st.one_of(
                values(shape.item, f"{path}.1", depth + 1), values(shape.item, f"{path}.0", depth + 1)
            )
        case Scalar():
            return scalars(shape).map(lambda text: {path: text})


def scalars(shape: Scalar) -> st.SearchStrategy[str]:
    good = {
        Kind.BOOLEAN: st.sampled_from(["true", "false"]),
        Kind.INTEGER: st.integers(-2, 7).map(str),
        Kind.LONG: st.integers(-2, 7).map(str),
    }.get(shape.kind, st.sampled_from(sorted(shape.choices) or HOSTILE))
    return st.one_of(
        good, good, good, st.sampled_from(HOSTILE), st.text(max_size=8).filter(lambda t: "\ud800" not in t)
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    action = draw(st.sampled_from(sorted(EC2.endpoints)))
    wanted = draw(fields(EC2.endpoints[action].shape.input))
    wanted.pop("DryRun", None)
    return action, wanted


@pytest.fixture(scope="module")
def shared():
    patch = pytest.MonkeyPatch()
    face = Ec2Cloud(patch)
    made = face.run()
    face.cloud.settle()
    yield face, made[0]
    patch.undo()


@given(request=requests(), real=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_too_strange(shared, request, real):
    """Whatever is asked: a reply by the protocol, a refusal that changed nothing, and never a 5xx."""
    face, instance = shared
    action, wanted = request
    if real:
        ids = {f"i-{UNKNOWN}": instance, f"ami-{UNKNOWN}": face.cloud.image.id}
        wanted = {name: ids.get(value, value) for name, value in wanted.items()}
    body = urlencode({"Action": action, "Version": VERSION, **wanted}, errors="surrogatepass").encode()
    before = census(face)
    reply = face.post(action, body=body)
    assert reply.status_code < 500, (action, wanted, reply.text)
    if reply.status_code != 200:
        assert etree.fromstring(reply.content).findtext(".//Code")
        assert census(face) == before


def test_endpoint_is_the_one_the_client_called(face):
    assert ENDPOINT.endswith(face.ann.describe_regions()["Regions"][0]["Endpoint"])
