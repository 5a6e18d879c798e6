"""moto as an oracle for what is said of groups, interfaces and addresses: the same calls to both clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud
from moto import mock_aws
from test_ec2_face_moto import members

EXPLAINED = {
    "NetworkInterface.RequesterId": "nobody here asks for interfaces on behalf of others",
    "NetworkInterfaces[].RequesterId": "nobody here asks for interfaces on behalf of others",
    "Addresses[].InstanceId": "absent as long as the address leads nowhere",
    "Addresses[].NetworkInterfaceId": "absent as long as the address leads nowhere",
    "Instances[].Platform": "moto's sample image is one of Windows",
    "Instances[].SriovNetSupport": "the interface is virtio",
    "Instances[].StateReason": "a running instance has no reason; moto gives an empty one",
}
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
TAGS = [{"Key": "a", "Value": "b"}]


def tagged(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def code_of(call: Callable[..., Any], **parameters: Any) -> dict[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return {"code": caught.value.response["Error"]["Code"]}


def conversation(client: Any, image: str, settle: Callable[[], None]) -> Iterator[tuple[str, Any]]:
    """The same calls to either cloud."""
    yield "groups", client.describe_security_groups(GroupNames=["default"])
    made = client.create_security_group(
        GroupName="web", Description="d", TagSpecifications=tagged("security-group")
    )
    web = made["GroupId"]
    yield "group", made
    yield "again", code_of(client.create_security_group, GroupName="web", Description="d")
    yield (
        "in",
        client.authorize_security_group_ingress(
            GroupId=web, IpPermissions=[SSH], TagSpecifications=tagged("security-group-rule")
        ),
    )
    yield "twice", code_of(client.authorize_security_group_ingress, GroupId=web, IpPermissions=[SSH])
    members_of = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}
    yield "members", client.authorize_security_group_ingress(GroupId=web, IpPermissions=[members_of])
    yield "out", client.authorize_security_group_egress(GroupId=web, IpPermissions=[SSH])
    yield "web", client.describe_security_groups(GroupIds=[web])
    rules = client.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [web]}])
    yield "rules", rules
    ssh = next(each for each in rules["SecurityGroupRules"] if not each["IsEgress"])
    said = [{"SecurityGroupRuleId": ssh["SecurityGroupRuleId"], "Description": "words"}]
    yield (
        "said",
        client.update_security_group_rule_descriptions_ingress(
            GroupId=web, SecurityGroupRuleDescriptions=said
        ),
    )
    yield "revoked", client.revoke_security_group_ingress(GroupId=web, IpPermissions=[members_of])
    yield "not there", code_of(client.revoke_security_group_ingress, GroupId=web, IpPermissions=[members_of])
    instance = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, SecurityGroupIds=[web])
    instance_id = instance["Instances"][0]["InstanceId"]
    settle()
    subnet = client.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0][
        "SubnetId"
    ]
    made = client.create_network_interface(
        SubnetId=subnet, Groups=[web], Description="d", TagSpecifications=tagged("network-interface")
    )
    nic = made["NetworkInterface"]["NetworkInterfaceId"]
    yield "nic", made
    yield (
        "assigned",
        client.assign_private_ip_addresses(NetworkInterfaceId=nic, SecondaryPrivateIpAddressCount=1),
    )
    attached = client.attach_network_interface(NetworkInterfaceId=nic, InstanceId=instance_id, DeviceIndex=1)
    yield "attached", attached
    settle()
    address = client.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))
    yield "address", address
    yield "free", client.describe_addresses()
    associated = client.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=nic)
    yield "associated", associated
    yield "led", client.describe_addresses(AllocationIds=[address["AllocationId"]])
    yield "nics", client.describe_network_interfaces(NetworkInterfaceIds=[nic])
    yield "instance", client.describe_instances(InstanceIds=[instance_id])
    yield "attributes", client.describe_addresses_attribute(AllocationIds=[address["AllocationId"]])
    yield "disassociated", client.disassociate_address(AssociationId=associated["AssociationId"])
    yield "released", client.release_address(AllocationId=address["AllocationId"])
    yield "unknown", code_of(client.release_address, AllocationId=address["AllocationId"])
    yield "detached", client.detach_network_interface(AttachmentId=attached["AttachmentId"], Force=True)
    settle()
    yield "deleted", client.delete_network_interface(NetworkInterfaceId=nic)
    yield "no nic", code_of(client.describe_network_interfaces, NetworkInterfaceIds=[nic])
    options = client.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    yield "options", options


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    with mock_aws():
        client = boto3.client(
            "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        image = client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        return dict(conversation(client, image, lambda: None))


@pytest.fixture
def ours(monkeypatch, theirs) -> dict[str, Any]:
    face = Ec2Cloud(monkeypatch)
    return dict(conversation(face.ann, face.cloud.image.id, face.cloud.settle))


def test_what_moto_says_and_we_do_not_is_explained(ours, theirs):
    lacking = {
        (name, path.removeprefix("Reservations[]."))
        for name, reply in theirs.items()
        for path in set(members(reply)) - set(members(ours[name]))
    }
    unexplained = {
        (name, path) for name, path in lacking if not any(path.startswith(known) for known in EXPLAINED)
    }
    assert unexplained == set()
    assert {known for known in EXPLAINED if any(path.startswith(known) for _, path in lacking)} == set(
        EXPLAINED
    )


def test_the_same_refusals(ours, theirs):
    for name, reply in theirs.items():
        if "code" in reply:
            assert ours[name] == reply, name


def test_the_same_words(ours, theirs):
    def permissions(reply):
        group = reply["web"]["SecurityGroups"][0]
        return [
            {name: each[name] for name in ("IpProtocol", "FromPort", "ToPort", "IpRanges") if name in each}
            for each in (*group["IpPermissions"], *group["IpPermissionsEgress"])
        ]

    def words(nic):
        attachment = nic["Attachment"]
        return (
            nic["Status"],
            nic["InterfaceType"],
            nic["SourceDestCheck"],
            nic["RequesterManaged"],
            attachment["DeviceIndex"],
            len(nic["PrivateIpAddresses"]),
        )

    mine, other = (each["nics"]["NetworkInterfaces"][0] for each in (ours, theirs))
    assert words(mine) == words(other)
    assert sorted(map(str, permissions(ours))) == sorted(map(str, permissions(theirs)))
    for name in ("address", "free", "led"):
        assert ours[name].get("Domain") == theirs[name].get("Domain")
