"""boto3 as programs use it against the gateway, with real guests: clients, resources, waiters, paginators.

The tests run in the order of their lines: they share a guest.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from client_guest import SCRIPT, Guest, serial
from live_cloud import Key, LiveCloud, key_of, wait_for

pytestmark = pytest.mark.qemu
QUICK = {"Delay": 1, "MaxAttempts": 240}
PUBLIC = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvBnYkZ0m6cWQYq3V0mU0iH5cD1x4xGQ1ybIY9l8iVn me"


@pytest.fixture(scope="module")
def key(client_cloud: LiveCloud) -> Key:
    return key_of(client_cloud.tenant("boto3"))


@pytest.fixture(scope="module")
def session(client_cloud: LiveCloud, key: Key) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=key.id, aws_secret_access_key=key.secret, region_name=client_cloud.facts["region"]
    )


@pytest.fixture(scope="module")
def client(session: boto3.Session, client_cloud: LiveCloud) -> Any:
    return session.client("ec2", endpoint_url=client_cloud.endpoint)


@pytest.fixture(scope="module")
def ec2(session: boto3.Session, client_cloud: LiveCloud) -> Any:
    return session.resource("ec2", endpoint_url=client_cloud.endpoint)


@pytest.fixture(scope="module")
def instance(ec2: Any, client_cloud: LiveCloud) -> Any:
    """A running instance, launched by the resource with an interface that it describes itself."""
    subnet = next(iter(ec2.subnets.filter(Filters=[{"Name": "default-for-az", "Values": ["true"]}])))
    group = subnet.vpc.create_security_group(GroupName="boto3", Description="of boto3")
    ec2.import_key_pair(KeyName="boto3", PublicKeyMaterial=PUBLIC)
    [made] = ec2.create_instances(
        ImageId=client_cloud.image, InstanceType="t2.nano", MinCount=1, MaxCount=1, KeyName="boto3", UserData=SCRIPT,
        NetworkInterfaces=[
            {
                "DeviceIndex": 0, "SubnetId": subnet.id, "Groups": [group.id], "Description": "first",
                "PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.88", "Primary": True}],
                "DeleteOnTermination": True,
            }
        ],
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "gp3", "DeleteOnTermination": True}},
        ],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "boto3"}]},
            {"ResourceType": "network-interface", "Tags": [{"Key": "of", "Value": "boto3"}]},
        ],
        MetadataOptions={"HttpTokens": "required"}, DisableApiStop=True, DisableApiTermination=True,
    )  # fmt: skip
    made.wait_until_exists()
    made.wait_until_running(WaiterConfig=QUICK)
    made.reload()
    return made


@pytest.fixture(scope="module")
def guest(client_cloud: LiveCloud, instance: Any) -> Guest:
    return Guest(client_cloud, instance.id)


def wait(client: Any, name: str, **words: Any) -> None:
    client.get_waiter(name).wait(**words, WaiterConfig=QUICK)


# Before there is a guest --------------------------------------------------------------------------------


def test_keys(ec2: Any):
    made = ec2.create_key_pair(KeyName="made", KeyType="rsa")
    assert made.key_material.startswith("-----BEGIN RSA PRIVATE KEY-----")
    imported = ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=PUBLIC)
    named = [{"Name": "key-name", "Values": ["m*"]}]
    assert {each.name: each.key_fingerprint for each in ec2.key_pairs.filter(Filters=named)} == {
        "made": made.key_fingerprint,
        "mine": imported.key_fingerprint,
    }
    for each in (made, imported):
        each.delete()
    assert list(ec2.key_pairs.filter(Filters=named)) == []


def test_a_network_by_resources(ec2: Any):
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")
    vpc.wait_until_available()
    vpc.create_tags(Tags=[{"Key": "Name", "Value": "by resources"}])
    vpc.modify_attribute(EnableDnsHostnames={"Value": True})
    assert vpc.describe_attribute(Attribute="enableDnsHostnames")["EnableDnsHostnames"] == {"Value": True}
    subnets = [
        vpc.create_subnet(CidrBlock=f"10.30.{number}.0/24", AvailabilityZone="us-east-1a")
        for number in (1, 2)
    ]
    assert {each.id for each in vpc.subnets.all()} == {each.id for each in subnets}
    assert subnets[0].available_ip_address_count == 251
    gateway = ec2.create_internet_gateway()
    gateway.attach_to_vpc(VpcId=vpc.id)
    assert [each.id for each in vpc.internet_gateways.all()] == [gateway.id]
    table = vpc.create_route_table()
    route = table.create_route(DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.id)
    association = table.associate_with_subnet(SubnetId=subnets[0].id)
    table.reload()
    assert {(each.destination_cidr_block, each.gateway_id, each.state) for each in table.routes} == {
        ("10.30.0.0/16", "local", "active"),
        ("0.0.0.0/0", gateway.id, "active"),
    }
    acl = vpc.create_network_acl()
    acl.create_entry(
        RuleNumber=100, Protocol="6", RuleAction="allow", Egress=False, CidrBlock="0.0.0.0/0",
        PortRange={"From": 80, "To": 80},
    )  # fmt: skip
    acl.reload()
    assert {(each["RuleNumber"], each["RuleAction"]) for each in acl.entries if not each["Egress"]} == {
        (100, "allow"),
        (32767, "deny"),
    }
    group = vpc.create_security_group(GroupName="web", Description="web")
    group.authorize_ingress(IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0")
    group.authorize_egress(
        IpPermissions=[
            {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        ]
    )
    group.reload()
    assert [each["ToPort"] for each in group.ip_permissions] == [80]
    group.revoke_ingress(IpPermissions=group.ip_permissions)
    group.reload()
    assert group.ip_permissions == []
    interface = subnets[0].create_network_interface(PrivateIpAddress="10.30.1.20", Groups=[group.id])
    interface.modify_attribute(SourceDestCheck={"Value": False})
    interface.assign_private_ip_addresses(SecondaryPrivateIpAddressCount=1)
    interface.reload()
    assert (interface.source_dest_check, len(interface.private_ip_addresses)) == (False, 2)
    options = ec2.create_dhcp_options(DhcpConfigurations=[{"Key": "domain-name", "Values": ["lab.example"]}])
    options.associate_with_vpc(VpcId=vpc.id)
    vpc.reload()
    assert vpc.dhcp_options.id == options.id
    vpc.associate_dhcp_options(DhcpOptionsId="default")

    interface.delete()
    group.delete()
    acl.delete()
    association.delete()
    route.delete()
    table.delete()
    vpc.detach_internet_gateway(InternetGatewayId=gateway.id)
    gateway.delete()
    for each in subnets:
        each.delete()
    options.delete()
    vpc.delete()
    assert list(ec2.vpcs.filter(Filters=[{"Name": "tag:Name", "Values": ["by resources"]}])) == []


def test_paginators(client: Any, ec2: Any):
    volumes = [client.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"] for _ in range(12)]
    client.create_tags(Resources=volumes, Tags=[{"Key": "page", "Value": "yes"}])
    tagged = [{"Name": "tag:page", "Values": ["yes"]}]
    paginator = client.get_paginator("describe_volumes")
    pages = list(paginator.paginate(Filters=tagged, PaginationConfig={"PageSize": 5}))
    assert [len(page["Volumes"]) for page in pages] == [5, 5, 2]
    whole = [each["VolumeId"] for page in pages for each in page["Volumes"]]
    assert sorted(whole) == sorted(volumes)
    part = paginator.paginate(
        Filters=tagged, PaginationConfig={"MaxItems": 7, "PageSize": 5}
    ).build_full_result()
    rest = paginator.paginate(
        Filters=tagged, PaginationConfig={"PageSize": 5, "StartingToken": part["NextToken"]}
    ).build_full_result()
    assert [each["VolumeId"] for each in part["Volumes"] + rest["Volumes"]] == whole
    assert list(paginator.paginate(Filters=tagged).search("Volumes[].VolumeId")) == whole
    assert [len(page) for page in ec2.volumes.filter(Filters=tagged).page_size(5).pages()] == [5, 5, 2]
    assert len(list(ec2.volumes.filter(Filters=tagged).limit(3))) == 3
    wait(client, "volume_available", VolumeIds=volumes)
    for volume in volumes:
        client.delete_volume(VolumeId=volume)
    wait(client, "volume_deleted", VolumeIds=volumes)


# A guest ------------------------------------------------------------------------------------------------


def test_what_was_launched_is_what_runs(ec2: Any, instance: Any, guest: Guest):
    told = guest.ready()
    assert (told["instance_id"], told["keys"], told["user_data"]) == (instance.id, 1, "ran")
    assert told["ip"] == instance.private_ip_address == "172.31.0.88"
    assert (instance.state["Name"], guest.shown()["state"]) == ("running", "runn")
    assert guest.runs()
    output = instance.console_output()["Output"]
    assert f"user-data: hello from {instance.id}" in output
    assert [each["Value"] for each in instance.tags] == ["boto3"]
    assert instance.image.name == "guest"
    assert instance.subnet.vpc.is_default
    assert instance.key_pair.name == "boto3"
    assert instance.metadata_options["HttpTokens"] == "required"
    [interface] = instance.network_interfaces
    interface.reload()  # an instance does not tell of its interfaces' tags
    assert (interface.description, interface.tag_set) == ("first", [{"Key": "of", "Value": "boto3"}])
    assert [each["GroupName"] for each in interface.groups] == ["boto3"]
    sizes = {each.id: each.size for each in instance.volumes.all()}
    assert {each["serial"] for each in told["disks"].values()} >= {
        serial(each["Ebs"]["VolumeId"])
        for each in instance.block_device_mappings
        if each["DeviceName"] == "/dev/sdf"
    }
    assert sorted(sizes.values()) == [1, 1]
    data = instance.describe_attribute(Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(data).decode() == SCRIPT


def test_collections(ec2: Any, instance: Any):
    running = [
        {"Name": "instance-state-name", "Values": ["running"]},
        {"Name": "tag:Name", "Values": ["boto*"]},
    ]
    assert [each.id for each in ec2.instances.filter(Filters=running)] == [instance.id]
    assert [each.id for each in ec2.instances.filter(InstanceIds=[instance.id]).limit(1)] == [instance.id]
    assert instance.id in {each.id for each in instance.vpc.instances.all()}
    [answer] = ec2.instances.filter(InstanceIds=[instance.id]).create_tags(
        Tags=[{"Key": "batch", "Value": "1"}]
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    instance.reload()
    assert {"Key": "batch", "Value": "1"} in instance.tags
    instance.delete_tags(Tags=[{"Key": "batch"}])
    assert [each.id for each in ec2.classic_addresses.all()] == []
    assert "guest" in {each.name for each in ec2.images.filter(Owners=["self"])} | {
        ec2.Image(instance.image_id).name
    }


def test_volumes(ec2: Any, client: Any, instance: Any, guest: Guest):
    volume = ec2.create_volume(
        AvailabilityZone=instance.placement["AvailabilityZone"], Size=1, VolumeType="gp2",
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}],
    )  # fmt: skip
    wait(client, "volume_available", VolumeIds=[volume.id])
    answer = volume.attach_to_instance(InstanceId=instance.id, Device="/dev/sdg")
    assert answer["State"] == "attaching"
    guest.says(f"added size={1 << 30} serial={serial(volume.id)}")
    wait(client, "volume_in_use", VolumeIds=[volume.id])
    volume.reload()
    assert (volume.state, volume.attachments[0]["InstanceId"]) == ("in-use", instance.id)
    client.modify_volume(VolumeId=volume.id, Size=2, VolumeType="gp3")
    guest.says(f"resized size={2 << 30}")

    snapshot = volume.create_snapshot(Description="kept")
    snapshot.wait_until_completed()
    snapshot.reload()
    assert (snapshot.volume_id, snapshot.volume_size, snapshot.progress) == (volume.id, 2, "100%")
    snapshot.modify_attribute(
        Attribute="createVolumePermission", OperationType="add", GroupNames=["all"], UserIds=[]
    )
    shared = snapshot.describe_attribute(Attribute="createVolumePermission")["CreateVolumePermissions"]
    assert shared == [{"Group": "all"}]
    snapshot.reset_attribute(Attribute="createVolumePermission")
    restored = ec2.create_volume(
        AvailabilityZone=instance.placement["AvailabilityZone"], SnapshotId=snapshot.id
    )
    wait(client, "volume_available", VolumeIds=[restored.id])
    instance.attach_volume(VolumeId=restored.id, Device="/dev/sdh")
    guest.says(f"added size={2 << 30} serial={serial(restored.id)}")
    status = ec2.Volume(volume.id).describe_status()["VolumeStatuses"][0]["VolumeStatus"]["Status"]
    assert status == "ok"
    removed = guest.console().count(" removed")
    instance.detach_volume(VolumeId=restored.id)
    volume.detach_from_instance(InstanceId=instance.id, Device="/dev/sdg")
    wait(client, "volume_available", VolumeIds=[volume.id, restored.id])
    guest.says(" removed", removed + 2)
    snapshot.delete()
    for each in (volume, restored):
        each.delete()


def test_addresses(ec2: Any, client: Any, instance: Any):
    held = ec2.VpcAddress(client.allocate_address(Domain="vpc")["AllocationId"])
    held.associate(InstanceId=instance.id)
    held.reload()
    instance.reload()
    assert (instance.public_ip_address, held.private_ip_address) == (held.public_ip, "172.31.0.88")
    assert [each.allocation_id for each in instance.vpc_addresses.all()] == [held.allocation_id]
    assert instance.network_interfaces[0].association_attribute["PublicIp"] == held.public_ip
    public = held.public_ip
    held.association.delete()
    held.release()
    instance.reload()
    assert instance.public_ip_address != public


# What a program is told ---------------------------------------------------------------------------------


def test_errors(client: Any, instance: Any):
    with pytest.raises(ClientError) as refusal:
        client.describe_instances(InstanceIds=["i-0123456789abcdef0"])
    error, about = refusal.value.response["Error"], refusal.value.response["ResponseMetadata"]
    assert refusal.value.operation_name == "DescribeInstances"
    assert error == {
        "Code": "InvalidInstanceID.NotFound",
        "Message": "The instance ID 'i-0123456789abcdef0' does not exist",
    }
    assert about["HTTPStatusCode"] == 400
    assert about["RequestId"] == about["HTTPHeaders"]["x-amzn-requestid"]
    assert about["RetryAttempts"] == 0
    with pytest.raises(ClientError) as refusal:
        client.stop_instances(InstanceIds=[instance.id], DryRun=True)
    assert refusal.value.response["Error"]["Code"] == "DryRunOperation"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    for call in (instance.stop, instance.terminate):  # both are protected
        with pytest.raises(ClientError, match="OperationNotPermitted"):
            call()
    with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
        client.delete_volume(VolumeId="vol-0123456789abcdef0")
    assert instance.meta.client.describe_instances()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_waiter_that_fails(client: Any):
    with pytest.raises(WaiterError, match=r"InvalidInstanceID\.NotFound"):
        client.get_waiter("instance_running").wait(
            InstanceIds=["i-0123456789abcdef0"], WaiterConfig={"Delay": 1, "MaxAttempts": 2}
        )


def test_presigned_urls(client: Any, instance: Any):
    asked = {"InstanceIds": [instance.id]}
    url = client.generate_presigned_url("describe_instances", Params=asked, HttpMethod="GET", ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        body = answer.read().decode()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml;charset=UTF-8")
    assert f"<instanceId>{instance.id}</instanceId>" in body
    for bad, code in ((url.replace(instance.id, "i-0123456789abcdef0"), "AuthFailure"),):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(bad)
        assert refusal.value.code == 401
        assert f"<Code>{code}</Code>" in refusal.value.read().decode()


def test_a_program_that_knows_only_its_environment(client_cloud: LiveCloud, key: Key, instance: Any):
    program = (
        "import boto3, json; pages = boto3.client('ec2').get_paginator('describe_instances').paginate();"
        "print(json.dumps(list(pages.search('Reservations[].Instances[].InstanceId'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True,
        env={
            "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": key.id, "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_DEFAULT_REGION": client_cloud.facts["region"], "AWS_ENDPOINT_URL_EC2": client_cloud.endpoint,
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        },
    )  # fmt: skip
    assert json.loads(done.stdout) == [instance.id]


def test_both_retry_modes_agree(session: boto3.Session, client_cloud: LiveCloud):
    for mode in ("legacy", "standard", "adaptive"):
        client = session.client(
            "ec2",
            endpoint_url=client_cloud.endpoint,
            config=Config(retries={"mode": mode, "max_attempts": 2}),
        )
        assert [each["RegionName"] for each in client.describe_regions()["Regions"]] == ["us-east-1"]


# The guest's life ---------------------------------------------------------------------------------------


def test_status_checks(client: Any, instance: Any):
    wait(client, "instance_status_ok", InstanceIds=[instance.id])
    wait(client, "system_status_ok", InstanceIds=[instance.id])


def test_stopped_changed_and_started(ec2: Any, client: Any, instance: Any, guest: Guest):
    instance.modify_attribute(DisableApiStop={"Value": False})
    answer = instance.stop()
    assert answer["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    instance.wait_until_stopped(WaiterConfig=QUICK)
    instance.reload()
    assert instance.state_reason["Code"] == "Client.UserInitiatedShutdown"
    assert (guest.runs(), guest.shown()["state"]) == (False, "poff")
    instance.modify_attribute(InstanceType={"Value": "t2.micro"})
    instance.modify_attribute(UserData={"Value": SCRIPT.replace("hello", "hello again")})
    second = instance.subnet.create_network_interface(Description="second")
    wait(client, "network_interface_available", NetworkInterfaceIds=[second.id])
    attached = second.attach(InstanceId=instance.id, DeviceIndex=1)
    assert attached["AttachmentId"].startswith("eni-attach-")

    def attachment() -> str:
        second.reload()
        return second.attachment["Status"]

    wait_for(lambda: attachment() == "attached", "the second interface")
    instance.start()
    instance.wait_until_running(WaiterConfig=QUICK)
    guest.ready(2)
    console = guest.console()
    assert f"hello again from {instance.id}" in console
    assert "user-data: nics eth0 eth1" in console
    instance.reload()
    assert (instance.instance_type, guest.shown()["flavor"]) == ("t2.micro", "t2.micro")
    assert sorted(each["Attachment"]["DeviceIndex"] for each in instance.network_interfaces_attribute) == [
        0,
        1,
    ]


def test_an_image_of_it(ec2: Any, client: Any, instance: Any, guest: Guest):
    image = instance.create_image(Name="boto3", NoReboot=True, Description="as it runs")
    image.wait_until_exists()
    wait(client, "image_available", ImageIds=[image.id])
    image.reload()
    assert (image.state, image.description, image.public) == ("available", "as it runs", False)
    assert guest.runs()  # it was not asked to shut down
    image.modify_attribute(LaunchPermission={"Add": [{"Group": "all"}]})
    image.reload()
    assert image.public
    image.reset_attribute(Attribute="launchPermission")
    [other] = ec2.create_instances(ImageId=image.id, InstanceType="t2.nano", MinCount=1, MaxCount=1)
    copy = Guest(guest.cloud, other.id)
    try:
        assert copy.ready(3)["instance_id"] == other.id
        both = ec2.instances.filter(InstanceIds=[instance.id, other.id])
        assert {each.image_id for each in both} == {image.id, guest.cloud.image}
    finally:
        other.terminate()
    other.wait_until_terminated(WaiterConfig=QUICK)
    image.deregister()
    with pytest.raises(ClientError, match=r"InvalidAMIID\.Unavailable"):
        ec2.create_instances(ImageId=image.id, MinCount=1, MaxCount=1)
    for snapshot in ec2.snapshots.filter(OwnerIds=["self"]):
        snapshot.delete()


def test_rebooted_and_terminated(ec2: Any, instance: Any, guest: Guest):
    ec2.instances.filter(InstanceIds=[instance.id]).reboot()
    guest.ready(3)
    instance.modify_attribute(DisableApiTermination={"Value": False})
    ec2.instances.filter(Filters=[{"Name": "instance-id", "Values": [instance.id]}]).terminate()
    instance.wait_until_terminated(WaiterConfig=QUICK)
    assert not guest.runs()
    instance.reload()
    assert instance.state == {"Code": 48, "Name": "terminated"}
    assert list(ec2.volumes.all()) == []
    [second] = ec2.network_interfaces.all()  # made on its own, so it stays
    assert second.status == "available"
    second.delete()
    assert guest.cloud.cli("check") == []
