"""The EC2 face on the real engine: an instance's whole life, as botocore's client sees it."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from simulation import Cloud

from backend.lifecycle import EC2_OPERATIONS
from backend.model import Desired

UNKNOWN = "i-00000000000000000"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_run_answers_everything_the_engine_has_decided(face):
    reply = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        MinCount=2,
        MaxCount=2,
        InstanceType="t2.large",
        Placement={"AvailabilityZone": "us-east-1a"},
        InstanceInitiatedShutdownBehavior="terminate",
        HibernationOptions={"Configured": True},
        ClientToken="token-1",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "<web> & 'co'\r\n"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "Of", "Value": "disk"}]},
        ],
    )
    first, second = reply["Instances"]
    assert reply["OwnerId"] == "111122223333"
    assert reply["ReservationId"].startswith("r-")
    assert [first["AmiLaunchIndex"], second["AmiLaunchIndex"]] == [0, 1]
    assert first["State"] == {"Code": 0, "Name": "pending"}
    assert first["InstanceType"] == "t2.large"
    assert first["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 1}
    assert first["Tags"] == [{"Key": "Name", "Value": "<web> & 'co'\r\n"}]
    assert first["ClientToken"] == "token-1"
    assert first["HibernationOptions"] == {"Configured": True}
    assert first["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert first["PrivateDnsName"] == f"ip-{first['PrivateIpAddress'].replace('.', '-')}.ec2.internal"
    described = face.ann.describe_instances()["Reservations"]
    assert [one["ReservationId"] for one in described] == [reply["ReservationId"]]
    assert described[0]["Instances"] == reply["Instances"]


def test_a_whole_life(face):
    (one,) = face.run()
    assert face.state(one) == "pending"
    face.cloud.settle()
    running = face.describe(one)
    assert running["State"] == {"Code": 16, "Name": "running"}
    assert running["StateTransitionReason"] == ""
    assert "StateReason" not in running
    change = face.ann.stop_instances(InstanceIds=[one])["StoppingInstances"]
    assert change == [
        {
            "InstanceId": one,
            "PreviousState": {"Code": 16, "Name": "running"},
            "CurrentState": {"Code": 64, "Name": "stopping"},
        }
    ]
    face.cloud.settle()
    stopped = face.describe(one)
    assert stopped["State"]["Name"] == "stopped"
    assert stopped["StateReason"] == {
        "Code": "Client.UserInitiatedShutdown",
        "Message": "Client.UserInitiatedShutdown: User initiated shutdown",
    }
    assert stopped["StateTransitionReason"].startswith("User initiated (2027-01-15 08:")
    assert stopped["PrivateIpAddress"] == running["PrivateIpAddress"]
    again = face.ann.stop_instances(InstanceIds=[one])["StoppingInstances"][0]
    assert again["PreviousState"] == again["CurrentState"] == {"Code": 80, "Name": "stopped"}
    assert refused(face.ann.reboot_instances, InstanceIds=[one]) == (
        "IncorrectInstanceState",
        f"The instance '{one}' is not in a state from which it can be rebooted.",
    )
    assert stopped["LaunchTime"] == running["LaunchTime"]
    face.cloud.clock.advance(60)
    started = face.ann.start_instances(InstanceIds=[one])["StartingInstances"][0]
    assert (face.describe(one)["LaunchTime"] - running["LaunchTime"]).total_seconds() >= 60
    assert started["CurrentState"]["Name"] == "pending"
    assert started["PreviousState"]["Name"] == "stopped"
    face.cloud.settle()
    face.ann.reboot_instances(InstanceIds=[one])
    assert face.state(one) == "running"
    face.cloud.settle()
    ended = face.ann.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]
    assert ended["CurrentState"] == {"Code": 32, "Name": "shutting-down"}
    face.cloud.settle()
    gone = face.describe(one)
    assert gone["State"] == {"Code": 48, "Name": "terminated"}
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert "PrivateIpAddress" not in gone
    assert gone["PrivateDnsName"] == ""
    assert refused(face.ann.start_instances, InstanceIds=[one])[0] == "IncorrectInstanceState"
    assert face.ann.terminate_instances(InstanceIds=[one])["TerminatingInstances"][0]["PreviousState"] == {
        "Code": 48,
        "Name": "terminated",
    }
    modify = face.ann.modify_instance_attribute
    assert refused(modify, InstanceId=one, DisableApiStop={"Value": True})[0] == "IncorrectInstanceState"
    face.cloud.clock.advance(3700)
    assert refused(face.ann.describe_instances, InstanceIds=[one])[0] == "InvalidInstanceID.NotFound"
    assert face.listed() == []


def test_forced_stop_and_forced_end_do_not_ask_the_guest(face):
    one, two = face.run(MinCount=2, MaxCount=2)
    face.cloud.settle()
    face.ann.stop_instances(InstanceIds=[one], Force=True)
    reply = face.ann.terminate_instances(InstanceIds=[one, two], SkipOsShutdown=True)
    assert [each["InstanceId"] for each in reply["TerminatingInstances"]] == [one, two]
    ops = [job.op for job in face.cloud.engine.jobs(face.cloud.caller, instance_id=two)]
    assert ops[-2:] == ["terminate", "cancel"]
    face.cloud.settle()
    assert face.state(one) == face.state(two) == "terminated"


def test_hibernation_only_where_it_was_configured(face):
    (plain,) = face.run()
    (configured,) = face.run(HibernationOptions={"Configured": True})
    face.cloud.settle()
    code, _ = refused(face.ann.stop_instances, InstanceIds=[configured, plain], Hibernate=True)
    assert code == "UnsupportedHibernationConfiguration"
    assert face.state(configured) == "running"
    face.ann.stop_instances(InstanceIds=[configured], Hibernate=True)
    face.cloud.settle()
    row = face.describe(configured)
    assert row["State"]["Name"] == "stopped"
    assert row["StateReason"]["Code"] == "Client.UserInitiatedHibernate"


def test_calls_on_several_instances_are_all_or_nothing(face):
    one, two = face.run(MinCount=2, MaxCount=2)
    face.cloud.settle()
    for call in (face.ann.stop_instances, face.ann.terminate_instances, face.ann.reboot_instances):
        assert refused(call, InstanceIds=[one, UNKNOWN]) == (
            "InvalidInstanceID.NotFound",
            f"The instance ID '{UNKNOWN}' does not exist",
        )
        assert refused(call, InstanceIds=[one, "i-nonsense"]) == (
            "InvalidInstanceID.Malformed",
            'Invalid id: "i-nonsense" (expecting "i-...")',
        )
        assert refused(call, InstanceIds=[]) == ("InvalidParameterCombination", "No instances specified")
    assert refused(face.ann.describe_instances, InstanceIds=[UNKNOWN, one, "i-11111111111111111"]) == (
        "InvalidInstanceID.NotFound",
        f"The instance IDs '{UNKNOWN}, i-11111111111111111' do not exist",
    )
    assert {face.state(one), face.state(two)} == {"running"}


STATES = {
    "pending": "boot.new",
    "running": "runn",
    "stopping": "shut.poff",
    "stopped": "poff",
    "shutting-down": "epil.done",
    "terminated": "done",
}
OPERATIONS = [
    "StartInstances",
    "StopInstances",
    "StopInstances.Force",
    "RebootInstances",
    "TerminateInstances",
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("state", sorted(STATES))
def test_operations_by_state(face, operation, state):
    """The table of lifecycle §20.3, through the wire."""
    (one,) = face.run()
    face.cloud.settle()
    gone = state in {"shutting-down", "terminated"}
    changes = {"desired": Desired.GONE} if gone else {}
    if state == "terminated":
        changes["ended_at"] = face.cloud.clock.now
    row = face.cloud.get(one)
    with face.cloud.store.begin() as tx:
        tx.instances.update(row, detail=STATES[state], **changes)
    assert face.state(one) == state
    before = face.cloud.get(one)
    name, _, force = operation.partition(".")
    call = getattr(face.ann, xform_name(name))
    parameters = {"InstanceIds": [one]} | ({"Force": True} if force else {})
    expected = EC2_OPERATIONS[operation][state]
    if expected not in {"go", "noop"}:
        assert refused(call, **parameters)[0] == expected
        assert face.cloud.get(one) == before
        return
    reply = call(**parameters)
    for changes in (value for key, value in reply.items() if key.endswith("Instances")):
        assert changes[0]["PreviousState"]["Name"] == state
        assert changes[0]["CurrentState"]["Name"] == face.state(one)
    assert (face.cloud.get(one) == before) == (expected == "noop")


def test_a_client_token_wins_once_among_many(monkeypatch, database):
    face = Ec2Cloud(monkeypatch, cloud=Cloud(url=database))

    def attempt(_):
        return face.run(MinCount=2, MaxCount=2, ClientToken="race")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert face.listed() == answers[0]


def test_protection(face):
    (one,) = face.run(DisableApiTermination=True, DisableApiStop=True)
    face.cloud.settle()
    assert refused(face.ann.terminate_instances, InstanceIds=[one]) == (
        "OperationNotPermitted",
        (
            f"The instance '{one}' may not be terminated. "
            "Modify its 'disableApiTermination' instance attribute and try again."
        ),
    )
    assert refused(face.ann.stop_instances, InstanceIds=[one])[0] == "OperationNotPermitted"
    face.ann.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
    face.ann.modify_instance_attribute(InstanceId=one, Attribute="disableApiStop", Value="false")
    face.ann.terminate_instances(InstanceIds=[one])
    assert face.state(one) == "shutting-down"


def test_a_client_token_makes_one_reservation(face):
    first = face.run(ClientToken="abc", MinCount=1, MaxCount=2)
    assert face.run(ClientToken="abc", MinCount=1, MaxCount=2) == first
    assert (
        refused(
            face.ann.run_instances, ImageId=face.cloud.image.id, MinCount=1, MaxCount=1, ClientToken="abc"
        )[0]
        == "IdempotentParameterMismatch"
    )
    too_long = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1, "ClientToken": "x" * 65}
    assert refused(face.ann.run_instances, **too_long)[0] == "InvalidParameterValue"
    other = face.run(face.bob, ClientToken="abc")
    assert other != first
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=first)
    face.cloud.settle()
    assert (
        refused(
            face.ann.run_instances, ImageId=face.cloud.image.id, MinCount=1, MaxCount=2, ClientToken="abc"
        )[0]
        == "IdempotentInstanceTerminated"
    )


def test_user_data(face):
    script = b"#!/bin/sh\n</user-data>]]>&\x00\xff"
    (one,) = face.run(UserData=script)
    got = face.ann.describe_instance_attribute(InstanceId=one, Attribute="userData")
    assert base64.b64decode(got["UserData"]["Value"]) == script
    assert face.refusal(
        "RunInstances", ImageId=face.cloud.image.id, MinCount="1", MaxCount="1", UserData="$%&"
    ) == (400, "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
    code, _ = refused(
        face.ann.run_instances,
        ImageId=face.cloud.image.id,
        MinCount=1,
        MaxCount=1,
        UserData=b"x" * (16 * 1024 + 1),
    )
    assert code == "InvalidParameterValue"
    face.cloud.settle()
    assert refused(face.ann.modify_instance_attribute, InstanceId=one, UserData={"Value": b"new"})[0] == (
        "IncorrectInstanceState"
    )
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    face.ann.modify_instance_attribute(InstanceId=one, UserData={"Value": b"new"})
    got = face.ann.describe_instance_attribute(InstanceId=one, Attribute="userData")
    assert base64.b64decode(got["UserData"]["Value"]) == b"new"
    face.ann.modify_instance_attribute(InstanceId=one, UserData={"Value": b""})
    assert face.ann.describe_instance_attribute(InstanceId=one, Attribute="userData")["UserData"] == {}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ImageId": "ami-0000000000000000f"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "nonsense"}, "InvalidAMIID.Malformed"),
        ({"ImageId": None}, "MissingParameter"),
        ({"InstanceType": "z9.huge"}, "InvalidParameterValue"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZoneId": "use1-az9"}}, "InvalidParameterValue"),
        ({"Placement": {"Tenancy": "dedicated"}}, "UnsupportedOperation"),
        ({"Placement": {"HostId": "h-0123456789abcdef0"}}, "UnsupportedOperation"),
        ({"Placement": {"GroupName": "nobody"}}, "InvalidPlacementGroup.Unknown"),
        ({"Placement": {"GroupId": "pg-0123456789abcdef0"}}, "InvalidPlacementGroup.Unknown"),
        ({"Placement": {"PartitionNumber": 1}}, "InvalidParameterCombination"),
        ({"MinCount": 0}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterCombination"),
        ({"MinCount": 2000, "MaxCount": 2000}, "InstanceLimitExceeded"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "Ipv6AddressCount": 1}]}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {}}]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"KmsKeyId": "k"}}]}, "UnsupportedOperation"),
        ({"LaunchTemplate": {"LaunchTemplateName": "nobody"}}, "InvalidLaunchTemplateName.NotFoundException"),
        ({"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0"}}, "InvalidLaunchTemplateId.NotFound"),
        ({"IamInstanceProfile": {"Name": "p"}}, "UnsupportedOperation"),
        ({"MetadataOptions": {"HttpProtocolIpv6": "enabled"}}, "UnsupportedOperation"),
        ({"InstanceMarketOptions": {"MarketType": "spot"}}, "UnsupportedOperation"),
        ({"InstanceInitiatedShutdownBehavior": "explode"}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "instance"}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": ""}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a"}, {"Key": "a"}]}]}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": str(n), "Value": ""} for n in range(51)]}]}, "TagLimitExceeded"),
    ],
)  # fmt: skip
def test_launches_that_are_refused_change_nothing(face, parameters, code):
    wanted = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1} | parameters
    wanted = {name: value for name, value in wanted.items() if value is not None}
    assert refused(face.ann.run_instances, **wanted)[0] == code
    assert face.listed() == []
    assert not face.ann.describe_tags()["Tags"]


def test_options_that_state_what_is_the_case_are_accepted(face):
    (one,) = face.run(
        Monitoring={"Enabled": False},
        EbsOptimized=False,
        MetadataOptions={"HttpTokens": "optional", "HttpEndpoint": "disabled"},
        CpuOptions={"ThreadsPerCore": 1},
        CapacityReservationSpecification={"CapacityReservationPreference": "open"},
        PrivateDnsNameOptions={"HostnameType": "ip-name"},
        Placement={"AvailabilityZoneId": "use1-az1", "Tenancy": "default", "GroupName": ""},
        SecurityGroupIds=[],
    )
    assert face.describe(one)["Placement"]["AvailabilityZone"] == "us-east-1a"


def test_attributes(face):
    (one,) = face.run()
    face.cloud.settle()

    def read(attribute):
        reply = face.ann.describe_instance_attribute(InstanceId=one, Attribute=attribute)
        assert reply["InstanceId"] == one
        return {
            name: value for name, value in reply.items() if name not in {"InstanceId", "ResponseMetadata"}
        }

    assert read("instanceType") == {"InstanceType": {"Value": "t2.nano"}}
    assert read("disableApiTermination") == {"DisableApiTermination": {"Value": False}}
    assert read("instanceInitiatedShutdownBehavior") == {
        "InstanceInitiatedShutdownBehavior": {"Value": "stop"}
    }
    assert read("userData") == {"UserData": {}}
    assert read("groupSet") == {"Groups": face.describe(one)["SecurityGroups"]}
    assert read("rootDeviceName") == {"RootDeviceName": {"Value": "/dev/vda"}}
    for attribute in ("kernel", "ramdisk", "productCodes", "sourceDestCheck", "ebsOptimized", "enaSupport"):
        assert len(read(attribute)) == 1
    assert refused(face.ann.describe_instance_attribute, InstanceId=one, Attribute="Kernel") == (
        "InvalidParameterValue",
        "Value (Kernel) for parameter attribute is invalid. Unknown attribute.",
    )
    modify = face.ann.modify_instance_attribute
    modify(InstanceId=one, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    assert (
        read("instanceInitiatedShutdownBehavior")["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    )
    assert (
        refused(modify, InstanceId=one, InstanceInitiatedShutdownBehavior={"Value": "x"})[0]
        == "InvalidParameterValue"
    )
    assert refused(modify, InstanceId=one, InstanceType={"Value": "t2.large"}) == (
        "IncorrectInstanceState",
        f"The instance '{one}' is not in the 'stopped' state.",
    )
    assert refused(modify, InstanceId=one)[0] == "InvalidParameterCombination"
    assert refused(modify, InstanceId=one, DisableApiStop={"Value": True}, EbsOptimized={"Value": False})[
        0
    ] == ("InvalidParameterCombination")
    assert refused(modify, InstanceId=one, EbsOptimized={"Value": True})[0] == "UnsupportedOperation"
    assert refused(modify, InstanceId=one, Groups=["sg-0123456789abcdef0"])[0] == "InvalidGroup.NotFound"
    modify(InstanceId=one, SourceDestCheck={"Value": True})
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    modify(InstanceId=one, InstanceType={"Value": "t2.large"})
    assert face.describe(one)["InstanceType"] == "t2.large"
    assert refused(modify, InstanceId=one, InstanceType={"Value": "x"})[0] == "InvalidParameterValue"
    face.ann.reset_instance_attribute(InstanceId=one, Attribute="sourceDestCheck")
    assert (
        refused(face.ann.reset_instance_attribute, InstanceId=one, Attribute="userData")[0]
        == "InvalidParameterValue"
    )


def test_why_an_instance_cannot_be_modified(face):
    (one,) = face.run(HibernationOptions={"Configured": True})
    face.cloud.settle()
    modify = face.ann.modify_instance_attribute
    changes = ({"InstanceType": {"Value": "t2.large"}}, {"UserData": {"Value": b"x"}})

    def sentences():
        """Of both changes that need a stop, and of one that does not."""
        found = {refused(modify, InstanceId=one, **change) for change in changes}
        return found, refused(modify, InstanceId=one, DisableApiTermination={"Value": True})

    face.ann.stop_instances(InstanceIds=[one], Hibernate=True)
    face.cloud.settle()
    hibernated = f"The instance '{one}' is hibernated; start and stop it first."
    for change in changes:
        assert refused(modify, InstanceId=one, **change) == ("IncorrectInstanceState", hibernated)
    modify(InstanceId=one, DisableApiStop={"Value": True})
    modify(InstanceId=one, DisableApiStop={"Value": False})
    face.ann.start_instances(InstanceIds=[one])
    face.cloud.settle()
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    for change in changes:
        modify(InstanceId=one, **change)
    face.ann.start_instances(InstanceIds=[one])
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=[one])
    stopped = ("IncorrectInstanceState", f"The instance '{one}' is not in the 'stopped' state.")
    ending = f"The instance '{one}' is not in a state from which it can be modified."
    assert sentences() == ({stopped}, ("IncorrectInstanceState", ending))
    face.cloud.settle()
    terminated = ("IncorrectInstanceState", f"The instance '{one}' is terminated.")
    assert sentences() == ({terminated}, terminated)


def test_status_checks(face):
    one, two = face.run(MinCount=2, MaxCount=2)
    assert face.ann.describe_instance_status()["InstanceStatuses"] == []
    every = face.ann.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    assert [each["InstanceStatus"]["Status"] for each in every] == ["not-applicable"] * 2
    face.cloud.settle()

    def status(instance_id):
        (found,) = face.ann.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
        return found["InstanceStatus"]["Status"], found["SystemStatus"]["Status"]

    assert status(one) == ("initializing", "initializing")
    face.cloud.clock.advance(61)
    assert status(one) == ("ok", "ok")
    details = face.ann.describe_instance_status()["InstanceStatuses"][0]["SystemStatus"]["Details"]
    assert details == [{"Name": "reachability", "Status": "passed"}]
    face.ann.stop_instances(InstanceIds=[two])
    found = face.ann.describe_instance_status(
        IncludeAllInstances=True, Filters=[{"Name": "instance-state-name", "Values": ["stopping"]}]
    )
    assert [each["InstanceId"] for each in found["InstanceStatuses"]] == [two]
    assert (
        refused(face.ann.describe_instance_status, InstanceIds=[UNKNOWN])[0] == "InvalidInstanceID.NotFound"
    )


def test_console_output(face):
    (one,) = face.run()
    reply = face.ann.get_console_output(InstanceId=one)
    assert reply["Output"] == ""
    assert reply["InstanceId"] == one
    face.cloud.settle()
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    reply = face.ann.get_console_output(InstanceId=one, Latest=True)
    assert one in reply["Output"]
    assert refused(face.ann.get_console_output, InstanceId=UNKNOWN)[0] == "InvalidInstanceID.NotFound"
