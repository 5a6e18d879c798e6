"""Elastic addresses on the real engine, as botocore's client sees them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud

from backend.model import QUOTA_DEFAULTS, QuotaName

UNKNOWN = "eipalloc-00000000000000000"


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def running(face: Ec2Cloud, **parameters) -> str:
    (one,) = face.run(**parameters)
    face.cloud.settle()
    return one


def listed(face: Ec2Cloud, **filters) -> list[str]:
    wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    return [each["AllocationId"] for each in face.ann.describe_addresses(Filters=wanted)["Addresses"]]


def test_an_addresss_life(face):
    one = running(face)
    lent = face.describe(one)["PublicIpAddress"]
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "www"}]}]
    made = face.ann.allocate_address(Domain="vpc", TagSpecifications=tags)
    ip, allocation = made["PublicIp"], made["AllocationId"]
    assert (made["Domain"], made["NetworkBorderGroup"]) == ("vpc", "us-east-1")
    [free] = face.ann.describe_addresses()["Addresses"]
    assert free["Tags"] == [{"Key": "Name", "Value": "www"}]
    assert {"AssociationId", "InstanceId", "NetworkInterfaceId"}.isdisjoint(free)
    association = face.ann.associate_address(AllocationId=allocation, InstanceId=one)["AssociationId"]
    shown = face.describe(one)
    assert shown["PublicIpAddress"] == ip != lent
    [nic] = shown["NetworkInterfaces"]
    assert nic["Association"] == {"IpOwnerId": "111122223333", "PublicDnsName": "", "PublicIp": ip}
    [led] = face.ann.describe_addresses(AllocationIds=[allocation])["Addresses"]
    assert led == free | {
        "AssociationId": association,
        "InstanceId": one,
        "NetworkInterfaceId": nic["NetworkInterfaceId"],
        "NetworkInterfaceOwnerId": "111122223333",
        "PrivateIpAddress": shown["PrivateIpAddress"],
        "SubnetId": shown["SubnetId"],
    }
    [told] = face.ann.describe_network_interfaces()["NetworkInterfaces"]
    assert told["Association"]["AllocationId"] == allocation
    assert told["Association"]["AssociationId"] == association
    code = refused(face.ann.release_address, AllocationId=allocation)[0]
    assert code == "InvalidIPAddress.InUse"
    face.ann.disassociate_address(AssociationId=association)
    assert face.describe(one).get("PublicIpAddress") != ip
    face.ann.release_address(AllocationId=allocation)
    assert face.ann.describe_addresses()["Addresses"] == []
    assert refused(face.ann.release_address, AllocationId=allocation) == (
        "InvalidAllocationID.NotFound",
        f"The allocation ID '{allocation}' does not exist",
    )


def test_an_address_moves_unless_told_not_to(face):
    one, two = face.run(MinCount=2, MaxCount=2)
    face.cloud.settle()
    made = face.ann.allocate_address()
    allocation, ip = made["AllocationId"], made["PublicIp"]
    first = face.ann.associate_address(AllocationId=allocation, InstanceId=one)["AssociationId"]
    again = face.ann.associate_address(AllocationId=allocation, InstanceId=one)["AssociationId"]
    assert again == first
    assert refused(
        face.ann.associate_address, AllocationId=allocation, InstanceId=two, AllowReassociation=False
    ) == (
        "Resource.AlreadyAssociated",
        f"resource {allocation} is already associated with associate-id {first}",
    )
    second = face.ann.associate_address(AllocationId=allocation, InstanceId=two)["AssociationId"]
    assert second != first
    assert face.describe(two)["PublicIpAddress"] == ip
    assert face.listed(**{"ip-address": ip}) == [two]
    assert refused(face.ann.disassociate_address, AssociationId=first) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{first}' does not exist",
    )


def test_old_clients_name_addresses_by_themselves(face):
    one = running(face)
    made = face.ann.allocate_address()
    ip = made["PublicIp"]
    face.ann.associate_address(PublicIp=ip, InstanceId=one)
    assert face.describe(one)["PublicIpAddress"] == ip
    face.ann.disassociate_address(PublicIp=ip)
    assert refused(face.ann.disassociate_address, PublicIp=ip)[0] == "InvalidAssociationID.NotFound"
    face.ann.release_address(PublicIp=ip)
    assert refused(face.ann.release_address, PublicIp=ip) == (
        "InvalidAddress.NotFound",
        f"Address '{ip}' not found.",
    )
    assert refused(face.ann.describe_addresses, PublicIps=[ip])[0] == "InvalidAddress.NotFound"


def test_filters_of_addresses(face):
    one = running(face)
    first, second = face.ann.allocate_address(), face.ann.allocate_address()
    face.ann.create_tags(Resources=[second["AllocationId"]], Tags=[{"Key": "Name", "Value": "second"}])
    association = face.ann.associate_address(AllocationId=first["AllocationId"], InstanceId=one)
    row = face.ann.describe_addresses(PublicIps=[first["PublicIp"]])["Addresses"][0]
    for name, value in {
        "allocation-id": first["AllocationId"],
        "association-id": association["AssociationId"],
        "instance-id": one,
        "network-interface-id": row["NetworkInterfaceId"],
        "network-interface-owner-id": "111122223333",
        "private-ip-address": row["PrivateIpAddress"],
        "public-ip": first["PublicIp"],
    }.items():
        assert listed(face, **{name: value}) == [first["AllocationId"]], name
    assert listed(face, **{"tag:Name": "second"}) == [second["AllocationId"]]
    assert len(listed(face, **{"domain": "vpc", "network-border-group": "us-east-1"})) == 2
    assert refused(listed, face=face, nonsense="x")[0] == "InvalidParameterValue"
    kinds = [tag["ResourceType"] for tag in face.ann.describe_tags()["Tags"]]
    assert kinds == ["elastic-ip"]


def test_attributes_of_addresses(face):
    made = face.ann.allocate_address()
    found = face.ann.describe_addresses_attribute(Attribute="domain-name", MaxResults=1)["Addresses"]
    assert found == [{"AllocationId": made["AllocationId"], "PublicIp": made["PublicIp"]}]
    assert refused(face.ann.describe_addresses_attribute, AllocationIds=[UNKNOWN])[0] == (
        "InvalidAllocationID.NotFound"
    )


def test_calls_that_are_refused(face):
    one = running(face)
    allocation = face.ann.allocate_address()["AllocationId"]
    allocate, associate = face.ann.allocate_address, face.ann.associate_address
    assert refused(allocate, Domain="standard")[0] == "UnsupportedOperation"
    assert refused(allocate, NetworkBorderGroup="elsewhere")[0] == "InvalidParameterValue"
    assert refused(allocate, PublicIpv4Pool="nowhere")[0] == "InvalidParameterValue"
    assert refused(allocate, Address="192.0.2.1")[0] == "InvalidIPAddress.InUse"
    assert refused(allocate, CustomerOwnedIpv4Pool="x")[0] == "UnsupportedOperation"
    assert refused(associate, InstanceId=one)[0] == "MissingParameter"
    assert refused(associate, AllocationId=allocation)[0] == "MissingParameter"
    assert refused(associate, AllocationId=UNKNOWN, InstanceId=one)[0] == "InvalidAllocationID.NotFound"
    assert refused(associate, AllocationId="x", InstanceId=one)[0] == "InvalidParameterValue"
    unknown = "i-00000000000000000"
    assert refused(associate, AllocationId=allocation, InstanceId=unknown)[0] == "InvalidInstanceID.NotFound"
    nic = "eni-00000000000000000"
    assert refused(associate, AllocationId=allocation, NetworkInterfaceId=nic) == (
        "InvalidNetworkInterfaceID.NotFound",
        f"The networkInterface ID '{nic}' does not exist",
    )
    assert refused(associate, AllocationId=allocation, InstanceId=one, PrivateIpAddress="10.9.9.9")[0] == (
        "InvalidParameterValue"
    )
    assert refused(face.ann.disassociate_address)[0] == "MissingParameter"
    assert refused(face.ann.release_address)[0] == "MissingParameter"
    assert refused(face.ann.release_address, AllocationId=allocation, PublicIp="x")[0] == (
        "InvalidParameterCombination"
    )


def test_addresses_of_others_are_not_there(face):
    one = running(face)
    made = face.ann.allocate_address()
    association = face.ann.associate_address(AllocationId=made["AllocationId"], InstanceId=one)
    assert face.bob.describe_addresses()["Addresses"] == []
    assert refused(face.bob.describe_addresses, PublicIps=[made["PublicIp"]])[0] == "InvalidAddress.NotFound"
    for call in (face.bob.release_address,):
        assert refused(call, AllocationId=made["AllocationId"])[0] == "InvalidAllocationID.NotFound"
    assert refused(face.bob.disassociate_address, AssociationId=association["AssociationId"])[0] == (
        "InvalidAssociationID.NotFound"
    )


def test_lent_addresses_come_with_running_and_go_with_stopping(face):
    one = running(face)
    lent = face.describe(one)["PublicIpAddress"]
    assert face.ann.describe_addresses()["Addresses"] == []
    assert refused(face.ann.describe_addresses, PublicIps=[lent])[0] == "InvalidAddress.NotFound"
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    stopped = face.describe(one)
    assert "PublicIpAddress" not in stopped
    assert "Association" not in stopped["NetworkInterfaces"][0]
    face.ann.start_instances(InstanceIds=[one])
    face.cloud.settle()
    assert face.describe(one)["PublicIpAddress"]


def test_elastic_addresses_stay_through_stop_and_are_free_after_the_end(face):
    one = running(face)
    made = face.ann.allocate_address()
    face.ann.associate_address(AllocationId=made["AllocationId"], InstanceId=one)
    face.ann.stop_instances(InstanceIds=[one])
    face.cloud.settle()
    assert face.describe(one)["PublicIpAddress"] == made["PublicIp"]
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    [free] = face.ann.describe_addresses()["Addresses"]
    assert "AssociationId" not in free


def test_public_names_have_the_operators_domain(monkeypatch):
    face = Ec2Cloud(monkeypatch, public_domain="compute.example")
    one = running(face)
    row = face.describe(one)
    name = f"ec2-{row['PublicIpAddress'].replace('.', '-')}.compute.example"
    assert row["PublicDnsName"] == name
    for filtered in ("dns-name", "public-dns-name", "network-interface.association.public-dns-name"):
        assert face.listed(**{filtered: name}) == [one]


def test_no_public_address_where_none_is_asked_for(face):
    one = running(face, NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": False}])
    assert "PublicIpAddress" not in face.describe(one)


def test_the_limit_of_addresses(face):
    limit = QUOTA_DEFAULTS[QuotaName.ADDRESSES.value]
    every = {face.ann.allocate_address()["PublicIp"] for _ in range(limit)}
    assert len(every) == limit
    assert refused(face.ann.allocate_address)[0] == "AddressLimitExceeded"
