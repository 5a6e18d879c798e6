"""Checks of refusals: the document, the codes, and that what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.checks import expect
from conformance.ec2 import signing, things
from conformance.ec2.reading import Node, document, refusal
from conformance.ec2.session import FORM, Ec2Session, filters
from conformance.ec2.suite import SUITE


@SUITE.check("EC2-ERR-001", cases=("unknown id", "unknown action", "missing parameter", "GET"))
def the_document(session: Ec2Session, case: str) -> None:
    """A refusal is Response with Errors/Error/Code and Message, and RequestID."""
    action, params, method = {
        "unknown id": ("DescribeVolumes", {"VolumeId.1": session.unknown("vol")}, "POST"),
        "unknown action": ("DescribeNonsense", {}, "POST"),
        "missing parameter": ("DeleteVolume", {}, "POST"),
        "GET": ("DescribeVolumes", {"VolumeId.1": session.unknown("vol")}, "GET"),
    }[case]
    answer = session.send(action, params, method=method)
    told = refusal(answer, f"{action} ({case})")
    root = Node(document(answer))
    expect(set(root.names) == {"Errors", "RequestID"}, f"the document has {', '.join(root.names)}")
    expect(root.node("Errors").names == ["Error"], f"Errors has {', '.join(root.node('Errors').names)}")
    expect(told.code and told.message, f"code or message is empty: {told}")
    expect(told.request_id, "RequestID is empty")


@SUITE.check("EC2-ERR-002", cases=("DescribeNonsense", "RunInstance", "describeInstances"))
def unknown_actions(session: Ec2Session, action: str) -> None:
    """An action that there is not is InvalidAction, 400."""
    session.refused(action, None, "InvalidAction")


@SUITE.check("EC2-ERR-003")
def no_action(session: Ec2Session) -> None:
    """A request without an action is MissingAction."""
    session.refusal_of("", {}, session.send("", {}), "MissingAction")


@SUITE.check("EC2-ERR-004", cases=("Nonsense", "Filters.1.Name", "VolumeIds.1", "VolumeId.1.Name"))
def unknown_parameters(session: Ec2Session, name: str) -> None:
    """A parameter that an action does not have is UnknownParameter."""
    session.refused("DescribeVolumes", {name: "x"}, "UnknownParameter")


@SUITE.check("EC2-ERR-004", changes=True)
def unknown_parameters_change_nothing(session: Ec2Session) -> None:
    """What has an unknown parameter is not done in part."""
    name = session.name("key")
    session.refused("CreateKeyPair", {"KeyName": name, "Nonsense": "x"}, "UnknownParameter")
    session.refused("DescribeKeyPairs", {"KeyName.1": name}, "InvalidKeyPair.NotFound")


#: Parameters of another type.
WRONG: Mapping[str, tuple[str, dict[str, object]]] = {
    "MaxResults": ("DescribeInstances", {"MaxResults": "many"}),
    "DryRun": ("DescribeInstances", {"DryRun": "perhaps"}),
    "MinCount": (
        "RunInstances",
        {"ImageId": "ami-12345678", "InstanceType": "t2.micro", "MinCount": "one", "MaxCount": 1},
    ),
    "Size": ("CreateVolume", {"AvailabilityZone": "{zone}", "Size": "large"}),
    "FromPort": (
        "AuthorizeSecurityGroupIngress",
        {
            "GroupId": "{no:sg}",
            "IpPermissions.1.IpProtocol": "tcp",
            "IpPermissions.1.FromPort": "ssh",
            "IpPermissions.1.ToPort": 22,
            "IpPermissions.1.IpRanges.1.CidrIp": "192.0.2.0/24",
        },
    ),
}


@SUITE.check("EC2-ERR-006", changes=True, cases=tuple(WRONG))
def values_of_another_type(session: Ec2Session, case: str) -> None:
    """A value of another type is InvalidParameterValue."""
    action, params = WRONG[case]
    session.refused(action, things.filled(session, params), "InvalidParameterValue")


@SUITE.check(
    "EC2-ERR-007", cases=("DeleteVolume VolumeId", "CreateSnapshot VolumeId", "CreateKeyPair KeyName")
)
def what_is_missing_is_named(session: Ec2Session, case: str) -> None:
    """The message names the missing parameter."""
    action, name = case.split()
    told = session.refused(action, {}, "MissingParameter")
    expect(name in told.message, f"the message does not name {name}: {told.message!r}")


#: What can be run dry, and how it can be seen that nothing was done.
DRY: Mapping[str, dict[str, object]] = {
    "DescribeInstances": {},
    "DescribeVolumes": {},
    "CreateKeyPair": {"KeyName": "{name}"},
    "ImportKeyPair": {"KeyName": "{name}", "PublicKeyMaterial": "{public-key}"},
    "CreateSecurityGroup": {"GroupName": "{name}", "GroupDescription": "x", "VpcId": "{home}"},
    "CreateVolume": {"AvailabilityZone": "{zone}", "Size": 1},
    "AllocateAddress": {"Domain": "vpc"},
    "RunInstances": {
        "ImageId": "{image}",
        "InstanceType": "{type}",
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": "{subnet}",
    },
    "CreateTags": {"ResourceId.1": "{volume}", "Tag.1.Key": "dry", "Tag.1.Value": "run"},
    "DeleteVolume": {"VolumeId": "{new:volume}"},
    "CreateSnapshot": {"VolumeId": "{volume}"},
    "DeleteSecurityGroup": {"GroupId": "{new:group}"},
    "AuthorizeSecurityGroupIngress": {
        "GroupId": "{group}",
        "IpPermissions.1.IpProtocol": "udp",
        "IpPermissions.1.FromPort": 9,
        "IpPermissions.1.ToPort": 9,
        "IpPermissions.1.IpRanges.1.CidrIp": "192.0.2.0/24",
    },
    "RevokeSecurityGroupIngress": {
        "GroupId": "{group}",
        "IpPermissions.1.IpProtocol": "tcp",
        "IpPermissions.1.FromPort": 22,
        "IpPermissions.1.ToPort": 22,
        "IpPermissions.1.IpRanges.1.CidrIp": "192.0.2.0/24",
    },
    "DeleteKeyPair": {"KeyName": "{new:key}"},
    "StopInstances": {"InstanceId.1": "{machine}"},
    "RebootInstances": {"InstanceId.1": "{machine}"},
    "TerminateInstances": {"InstanceId.1": "{machine}"},
    "CreateImage": {"InstanceId": "{machine}", "Name": "{name}"},
    "ReleaseAddress": {"AllocationId": "{new:address}"},
    "AttachVolume": {"VolumeId": "{new:volume}", "InstanceId": "{machine}", "Device": "/dev/sdk"},
    "DetachVolume": {"VolumeId": "{attached}"},
    "ModifyInstanceAttribute": {"InstanceId": "{machine}", "DisableApiTermination.Value": True},
    "CreateNetworkInterface": {"SubnetId": "{subnet}"},
    "CreateVpc": {"CidrBlock": "10.217.0.0/16"},
    "CreateSubnet": {"VpcId": "{vpc}", "CidrBlock": "10.213.66.0/24"},
    "DeleteVpc": {"VpcId": "{new:vpc}"},
    "CreateInternetGateway": {},
    "CreateRouteTable": {"VpcId": "{vpc}"},
    "CreateLaunchTemplate": {"LaunchTemplateName": "{name}", "LaunchTemplateData.InstanceType": "{type}"},
    "CreatePlacementGroup": {"GroupName": "{name}", "Strategy": "spread"},
}


@SUITE.check("EC2-ERR-010", changes=True, cases=tuple(DRY))
def dry_runs(session: Ec2Session, action: str) -> None:
    """A dry run that would succeed is DryRunOperation, 412."""
    params = {**things.filled(session, DRY[action]), "DryRun": "true"}
    session.refused(action, params, "DryRunOperation", status=412)


@SUITE.check("EC2-ERR-015")
def words_of_dry_runs(session: Ec2Session) -> None:
    """The message of a dry run is AWS's."""
    told = session.refused("DescribeInstances", {"DryRun": True}, "DryRunOperation", status=412)
    wanted = "Request would have succeeded, but DryRun flag is set."
    expect(told.message == wanted, f"the message is {told.message!r}, not {wanted!r}")


@SUITE.check("EC2-ERR-011", changes=True)
def dry_runs_change_nothing(session: Ec2Session) -> None:
    """Neither a key pair, a tag, a state nor a volume is different after dry runs."""
    name, volume, machine = session.name("key"), things.new_volume(session), things.machine(session)
    session.refused("CreateKeyPair", {"KeyName": name, "DryRun": True}, "DryRunOperation", status=412)
    session.refused("DescribeKeyPairs", {"KeyName.1": name}, "InvalidKeyPair.NotFound")
    dry: dict[str, Any] = {"ResourceId.1": volume, "Tag.1.Key": "dry", "Tag.1.Value": "run", "DryRun": True}
    session.refused("CreateTags", dry, "DryRunOperation", status=412)
    session.refused("DeleteVolume", {"VolumeId": volume, "DryRun": True}, "DryRunOperation", status=412)
    found = session.ok("DescribeVolumes", {"VolumeId.1": volume})
    expect("dry" not in found.texts("volumeSet/item/tagSet/item/key"), "a dry run made a tag")
    expect(found.get("volumeSet/item/status") == "available", "a dry run deleted a volume")
    session.refused("StopInstances", {"InstanceId.1": machine, "DryRun": True}, "DryRunOperation", status=412)
    state = things.instance(session, machine).text("instanceState/name")
    expect(state == "running", f"after a dry run of StopInstances the instance is {state}")


@SUITE.check("EC2-ERR-016", cases=("missing", "unknown", "type"))
def dry_runs_with_faults(session: Ec2Session, case: str) -> None:
    """A dry run with faults in its syntax is refused for these."""
    action, params, code = {
        "missing": ("DeleteVolume", {}, "MissingParameter"),
        "unknown": ("DescribeVolumes", {"Nonsense": "x"}, "UnknownParameter"),
        "type": ("DescribeVolumes", {"MaxResults": "many"}, "InvalidParameterValue"),
    }[case]
    session.refused(action, {**params, "DryRun": True}, code)


@SUITE.check("EC2-ERR-012", changes=True, cases=("DescribeVolumes", "DescribeSecurityGroups"))
def listings_of_all_or_none(session: Ec2Session, action: str) -> None:
    """A listing of several ids with an unknown one among them is refused."""
    known, param, prefix, code = {
        "DescribeVolumes": ("volume", "VolumeId", "vol", "InvalidVolume.NotFound"),
        "DescribeSecurityGroups": ("group", "GroupId", "sg", "InvalidGroup.NotFound"),
    }[action]
    params = {f"{param}.1": things.thing(session, known), f"{param}.2": session.unknown(prefix)}
    session.refused(action, params, code)


@SUITE.check("EC2-ERR-012", changes=True)
def changes_of_all_or_none(session: Ec2Session) -> None:
    """Of several resources with an unknown one among them none is tagged."""
    volume = things.thing(session, "volume")
    params = {
        "ResourceId.1": volume,
        "ResourceId.2": session.unknown("vol"),
        "Tag.1.Key": "half",
        "Tag.1.Value": "done",
    }
    session.afterwards(lambda: session.remove("DeleteTags", {"ResourceId.1": volume, "Tag.1.Key": "half"}))
    session.refused("CreateTags", params, "InvalidID", "InvalidVolume.NotFound")
    found = session.ok("DescribeTags", filters({"resource-id": volume, "key": "half"}))
    expect(not found.items("tagSet"), "the resource that is there was tagged, though the call was refused")


#: Bodies that are no requests.
NONSENSE: Mapping[str, bytes] = {
    "empty": b"",
    "bytes": bytes(range(128, 256)),
    "json": b'{"Action": "DescribeInstances"}',
    "no names": b"&&&=&=x&",
    "half a percent": b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=%",
    "long": b"Action=DescribeInstances&Version=2016-11-15&InstanceId.1=" + b"i" * 100_000,
    "deep": b"Action=DescribeInstances&Version=2016-11-15&" + b"Filter.1." * 200 + b"Name=x",
    "a list's end": b"Action=DescribeInstances&Version=2016-11-15&InstanceId.99999999999999999999=i-1",
    "negative": b"Action=DescribeInstances&Version=2016-11-15&InstanceId.-1=i-1",
    "a name twice": b"Action=DescribeInstances&Action=TerminateInstances&Version=2016-11-15&MaxResults=x",
    "no version": b"Action=DescribeNonsense",
}


#: What may be read as having parameters that there are not (see EC2-ERR-004).
ODD = frozenset({"deep", "a list's end", "negative"})


@SUITE.check("EC2-ERR-013", cases=tuple(NONSENSE))
def nonsense(session: Ec2Session, case: str) -> None:
    """What is no request is refused by an error document with a 4xx status."""
    body = NONSENSE[case]
    given = {"host": session.wire.host, "content-type": FORM}
    every = signing.in_header(session.signing, "POST", session.path, (), given, body)
    answer = session.patiently(lambda: session.wire.send("POST", session.root, every, body))
    if case in ODD and answer.status == 200:
        document(answer)
        return
    told = refusal(answer, case)
    expect(400 <= answer.status < 500, f"{case}: expected a 4xx status, got {told}")


#: Requests that name what is not there, by the parameter.
NOT_THERE: Mapping[str, tuple[str, str, str]] = {
    "DescribeInstances": ("InstanceId.1", "i", "InvalidInstanceID.NotFound"),
    "DescribeVolumes": ("VolumeId.1", "vol", "InvalidVolume.NotFound"),
    "DescribeImages": ("ImageId.1", "ami", "InvalidAMIID.NotFound"),
    "DescribeSnapshots": ("SnapshotId.1", "snap", "InvalidSnapshot.NotFound"),
    "DescribeSecurityGroups": ("GroupId.1", "sg", "InvalidGroup.NotFound"),
    "DescribeSubnets": ("SubnetId.1", "subnet", "InvalidSubnetID.NotFound"),
}


@SUITE.check("EC2-ERR-014", cases=tuple(NOT_THERE))
def what_is_not_there_is_named(session: Ec2Session, action: str) -> None:
    """The message names the id."""
    param, prefix, code = NOT_THERE[action]
    wanted = session.unknown(prefix)
    told = session.refused(action, {param: wanted}, code)
    expect(wanted in told.message, f"the message does not name {wanted}: {told.message!r}")


@SUITE.check("EC2-ERR-017", cases=("filter", "key pair"))
def markup_in_messages(session: Ec2Session, case: str) -> None:
    """Markup that a refusal repeats is escaped."""
    wanted = "<b>&\"'"
    action, params, code = {
        "filter": ("DescribeVolumes", filters({wanted: "x"}), "InvalidParameterValue"),
        "key pair": ("DescribeKeyPairs", {"KeyName.1": wanted}, "InvalidKeyPair.NotFound"),
    }[case]
    told = session.refused(action, params, code)
    expect(wanted in told.message, f"{wanted} is not in the message: {told.message!r}")
