"""Network interfaces on the real engine, as botocore's client sees them, and instances launched on them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud

UNKNOWN = "eni-00000000000000000"


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


def default_subnet(face: Ec2Cloud) -> str:
    (one,) = face.run()
    subnet: str = face.describe(one)["SubnetId"]
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    return subnet


def nic_of(face: Ec2Cloud, **parameters) -> dict:
    return face.ann.create_network_interface(**parameters)["NetworkInterface"]


def described(face: Ec2Cloud, nic_id: str) -> dict:
    return face.ann.describe_network_interfaces(NetworkInterfaceIds=[nic_id])["NetworkInterfaces"][0]


def listed(face: Ec2Cloud, **filters) -> list[str]:
    wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    reply = face.ann.describe_network_interfaces(Filters=wanted)
    return [each["NetworkInterfaceId"] for each in reply["NetworkInterfaces"]]


# Alone --------------------------------------------------------------------------------------------------


def test_an_interfaces_life(face):
    subnet = default_subnet(face)
    reply = face.ann.create_network_interface(
        SubnetId=subnet,
        Description="front",
        ClientToken="token-1",
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    assert reply["ClientToken"] == "token-1"
    nic = reply["NetworkInterface"]
    nic_id = nic["NetworkInterfaceId"]
    assert described(face, nic_id) == nic
    assert nic["Status"] == "available"
    assert nic["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert nic["Groups"][0]["GroupName"] == "default"
    assert "Attachment" not in nic
    again = nic_of(face, SubnetId=subnet, ClientToken="token-1")
    assert again["NetworkInterfaceId"] == nic_id
    other = {"SubnetId": subnet, "ClientToken": "token-1", "PrivateIpAddress": "172.31.0.99"}
    assert refused(face.ann.create_network_interface, **other)[0] == "IdempotentParameterMismatch"
    modify = face.ann.modify_network_interface_attribute
    modify(NetworkInterfaceId=nic_id, Description={"Value": "back"})
    modify(NetworkInterfaceId=nic_id, SourceDestCheck={"Value": False})
    group = face.ann.create_security_group(GroupName="web", Description="d")["GroupId"]
    modify(NetworkInterfaceId=nic_id, Groups=[group])
    changed = described(face, nic_id)
    assert (changed["Description"], changed["SourceDestCheck"]) == ("back", False)
    assert changed["Groups"] == [{"GroupId": group, "GroupName": "web"}]
    face.ann.reset_network_interface_attribute(NetworkInterfaceId=nic_id, SourceDestCheck="true")
    read = face.ann.describe_network_interface_attribute
    assert read(NetworkInterfaceId=nic_id, Attribute="sourceDestCheck")["SourceDestCheck"] == {"Value": True}
    assert read(NetworkInterfaceId=nic_id, Attribute="description")["Description"] == {"Value": "back"}
    assert read(NetworkInterfaceId=nic_id, Attribute="groupSet")["Groups"] == changed["Groups"]
    assert "Attachment" not in read(NetworkInterfaceId=nic_id, Attribute="attachment")
    face.ann.delete_network_interface(NetworkInterfaceId=nic_id)
    assert refused(face.ann.delete_network_interface, NetworkInterfaceId=nic_id) == (
        "InvalidNetworkInterfaceID.NotFound",
        f"The networkInterface ID '{nic_id}' does not exist",
    )


def test_private_addresses(face):
    subnet = default_subnet(face)
    nic = nic_of(face, SubnetId=subnet, SecondaryPrivateIpAddressCount=2)
    nic_id = nic["NetworkInterfaceId"]
    assert [each["Primary"] for each in nic["PrivateIpAddresses"]] == [True, False, False]
    assign = face.ann.assign_private_ip_addresses
    reply = assign(NetworkInterfaceId=nic_id, SecondaryPrivateIpAddressCount=1)
    [new] = [each["PrivateIpAddress"] for each in reply["AssignedPrivateIpAddresses"]]
    addresses = [each["PrivateIpAddress"] for each in described(face, nic_id)["PrivateIpAddresses"]]
    assert new in addresses
    assert len(addresses) == 4
    other = nic_of(face, SubnetId=subnet)["NetworkInterfaceId"]
    wanted = {"NetworkInterfaceId": other, "PrivateIpAddresses": [new]}
    assert refused(assign, **wanted)[0] == "InvalidIPAddress.InUse"
    assert assign(**wanted, AllowReassignment=True)["AssignedPrivateIpAddresses"] == [
        {"PrivateIpAddress": new}
    ]
    assert listed(face, **{"addresses.private-ip-address": new}) == [other]
    face.ann.unassign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=[new])
    assert len(described(face, other)["PrivateIpAddresses"]) == 1
    for parameters, code in (
        ({"NetworkInterfaceId": nic_id}, "MissingParameter"),
        (
            {"NetworkInterfaceId": nic_id, "PrivateIpAddresses": [new], "SecondaryPrivateIpAddressCount": 1},
            "InvalidParameterCombination",
        ),
        ({"NetworkInterfaceId": nic_id, "PrivateIpAddresses": ["10.9.9.9"]}, "InvalidParameterValue"),
        ({"NetworkInterfaceId": UNKNOWN, "SecondaryPrivateIpAddressCount": 1}, "InvalidNetworkInterfaceID.NotFound"),
    ):  # fmt: skip
        assert refused(assign, **parameters)[0] == code
    primary = nic["PrivateIpAddress"]
    assert refused(
        face.ann.unassign_private_ip_addresses, NetworkInterfaceId=nic_id, PrivateIpAddresses=[primary]
    )[0] == "InvalidParameterValue"  # fmt: skip


def test_interfaces_that_are_refused(face):
    subnet = default_subnet(face)
    taken = nic_of(face, SubnetId=subnet)["PrivateIpAddress"]
    create = face.ann.create_network_interface
    for parameters, code in (
        ({"SubnetId": "subnet-00000000000000000"}, "InvalidSubnetID.NotFound"),
        ({"SubnetId": "x"}, "InvalidParameterValue"),
        ({}, "MissingParameter"),
        ({"SubnetId": subnet, "PrivateIpAddress": taken}, "InvalidIPAddress.InUse"),
        ({"SubnetId": subnet, "PrivateIpAddress": "10.9.9.9"}, "InvalidParameterValue"),
        ({"SubnetId": subnet, "Groups": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": subnet, "Ipv6AddressCount": 1}, "UnsupportedOperation"),
        ({"SubnetId": subnet, "InterfaceType": "efa"}, "UnsupportedOperation"),
    ):
        assert refused(create, **parameters)[0] == code, parameters
    modify = face.ann.modify_network_interface_attribute
    nic = nic_of(face, SubnetId=subnet)["NetworkInterfaceId"]
    for parameters, code in (
        ({}, "InvalidParameterCombination"),
        ({"Description": {"Value": "x"}, "SourceDestCheck": {"Value": True}}, "InvalidParameterCombination"),
        ({"Attachment": {"AttachmentId": "eni-attach-00000000"}}, "MissingParameter"),
        (
            {"Attachment": {"AttachmentId": "eni-attach-00000000", "DeleteOnTermination": True}},
            "InvalidAttachmentID.NotFound",
        ),
        ({"Groups": ["web"]}, "InvalidGroupId.Malformed"),
        ({"AssociatePublicIpAddress": True}, "UnsupportedOperation"),
    ):
        assert refused(modify, NetworkInterfaceId=nic, **parameters)[0] == code, parameters
    assert refused(face.ann.describe_network_interface_attribute, NetworkInterfaceId=nic)[0] == (
        "MissingParameter"
    )


# Attached -----------------------------------------------------------------------------------------------


def test_an_interface_is_attached_and_detached(face):
    one = running(face)
    subnet = face.describe(one)["SubnetId"]
    nic_id = nic_of(face, SubnetId=subnet)["NetworkInterfaceId"]
    reply = face.ann.attach_network_interface(NetworkInterfaceId=nic_id, InstanceId=one, DeviceIndex=1)
    attachment = reply["AttachmentId"]
    told = described(face, nic_id)
    assert (told["Status"], told["Attachment"]["Status"]) == ("in-use", "attaching")
    assert told["Attachment"]["AttachmentId"] == attachment
    face.cloud.settle()
    first, second = face.describe(one)["NetworkInterfaces"]
    assert (first["Attachment"]["DeviceIndex"], second["Attachment"]["DeviceIndex"]) == (0, 1)
    assert (second["NetworkInterfaceId"], second["Attachment"]["Status"]) == (nic_id, "attached")
    assert face.listed(**{"network-interface.network-interface-id": nic_id}) == [one]
    modify = face.ann.modify_network_interface_attribute
    modify(NetworkInterfaceId=nic_id, Attachment={"AttachmentId": attachment, "DeleteOnTermination": True})
    assert face.describe(one)["NetworkInterfaces"][1]["Attachment"]["DeleteOnTermination"] is True
    several = (
        f"There are multiple interfaces attached to instance '{one}'. "
        "Please specify an interface ID for the operation instead."
    )
    for call, parameters in (
        (face.ann.modify_instance_attribute, {"SourceDestCheck": {"Value": False}}),
        (face.ann.modify_instance_attribute, {"Groups": [first["Groups"][0]["GroupId"]]}),
        (face.ann.reset_instance_attribute, {"Attribute": "sourceDestCheck"}),
    ):
        assert refused(call, InstanceId=one, **parameters) == ("InvalidInstanceID", several)
    assert refused(face.ann.delete_network_interface, NetworkInterfaceId=nic_id)[0] == (
        "InvalidNetworkInterface.InUse"
    )
    assert refused(
        face.ann.attach_network_interface, NetworkInterfaceId=nic_id, InstanceId=one, DeviceIndex=2
    )[0] == "InvalidNetworkInterface.InUse"  # fmt: skip
    assert refused(face.ann.detach_network_interface, AttachmentId=first["Attachment"]["AttachmentId"]) == (
        "OperationNotPermitted",
        "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    )
    face.ann.detach_network_interface(AttachmentId=attachment)
    assert described(face, nic_id)["Attachment"]["Status"] == "detaching"
    face.cloud.settle()
    assert described(face, nic_id)["Status"] == "available"
    assert len(face.describe(one)["NetworkInterfaces"]) == 1
    assert refused(face.ann.detach_network_interface, AttachmentId=attachment) == (
        "InvalidAttachmentID.NotFound",
        f"The attachment ID '{attachment}' does not exist",
    )


def test_attachments_that_are_refused(face):
    one = running(face)
    nic_id = nic_of(face, SubnetId=face.describe(one)["SubnetId"])["NetworkInterfaceId"]
    attach = face.ann.attach_network_interface
    for parameters, code in (
        ({"InstanceId": one, "DeviceIndex": 0}, "InvalidParameterValue"),
        ({"InstanceId": one, "DeviceIndex": 99}, "InvalidParameterValue"),
        ({"InstanceId": "i-00000000000000000", "DeviceIndex": 1}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": one, "DeviceIndex": 1, "NetworkCardIndex": 1}, "UnsupportedOperation"),
        ({"InstanceId": one}, "MissingParameter"),
    ):
        assert refused(attach, NetworkInterfaceId=nic_id, **parameters)[0] == code, parameters
    assert refused(attach, NetworkInterfaceId=UNKNOWN, InstanceId=one, DeviceIndex=1)[0] == (
        "InvalidNetworkInterfaceID.NotFound"
    )
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    assert refused(attach, NetworkInterfaceId=nic_id, InstanceId=one, DeviceIndex=1)[0] == (
        "IncorrectInstanceState"
    )


# Launched -----------------------------------------------------------------------------------------------


def test_a_launch_in_a_subnet(face):
    subnet = default_subnet(face)
    address = nic_of(face, SubnetId=subnet)
    face.ann.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])
    reply = face.ann.run_instances(
        ImageId=face.cloud.image.id,
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress=address["PrivateIpAddress"],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": [{"Key": "of", "Value": "nic"}]}],
    )
    [instance] = reply["Instances"]
    one = instance["InstanceId"]
    assert (instance["SubnetId"], instance["PrivateIpAddress"]) == (subnet, address["PrivateIpAddress"])
    [nic] = instance["NetworkInterfaces"]
    assert nic["Attachment"]["DeviceIndex"] == 0
    assert nic["Attachment"]["DeleteOnTermination"] is True
    told = described(face, nic["NetworkInterfaceId"])
    assert told["TagSet"] == [{"Key": "of", "Value": "nic"}]
    assert instance["SecurityGroups"] == nic["Groups"] == told["Groups"]
    for name, value in {
        "subnet-id": subnet,
        "vpc-id": instance["VpcId"],
        "private-ip-address": instance["PrivateIpAddress"],
        "network-interface.subnet-id": subnet,
        "network-interface.vpc-id": instance["VpcId"],
        "network-interface.mac-address": nic["MacAddress"],
        "network-interface.addresses.private-ip-address": instance["PrivateIpAddress"],
        "network-interface.addresses.primary": "true",
        "network-interface.attachment.device-index": "0",
        "network-interface.attachment.instance-id": one,
        "network-interface.attachment.attachment-id": nic["Attachment"]["AttachmentId"],
        "network-interface.availability-zone": "us-east-1a",
        "network-interface.group-id": nic["Groups"][0]["GroupId"],
        "network-interface.owner-id": "111122223333",
        "network-interface.private-dns-name": instance["PrivateDnsName"],
        "network-interface.requester-managed": "false",
        "network-interface.source-dest-check": "true",
        "network-interface.status": "in-use",
        "network-interface.tag-key": "of",
        "network-interface.tag-value": "nic",
        "source-dest-check": "true",
    }.items():
        assert face.listed(**{name: value}) == [one], name
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    ended = face.describe(one)
    assert {"VpcId", "SubnetId", "PrivateIpAddress", "PublicIpAddress"}.isdisjoint(ended)
    assert ended["NetworkInterfaces"] == ended["SecurityGroups"] == []
    assert listed(face) == []


def test_a_launch_with_interfaces_of_its_own(face):
    subnet = default_subnet(face)
    there = nic_of(face, SubnetId=subnet)["NetworkInterfaceId"]
    one = running(
        face,
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet, "Description": "front", "SecondaryPrivateIpAddressCount": 1},
            {"DeviceIndex": 1, "NetworkInterfaceId": there},
        ],
    )  # fmt: skip
    first, second = face.describe(one)["NetworkInterfaces"]
    assert (first["Description"], len(first["PrivateIpAddresses"])) == ("front", 2)
    assert second["NetworkInterfaceId"] == there
    assert (first["Attachment"]["DeleteOnTermination"], second["Attachment"]["DeleteOnTermination"]) == (
        True,
        False,
    )
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    assert listed(face) == [there]
    assert described(face, there)["Status"] == "available"


def test_launches_that_are_refused(face):
    subnet = default_subnet(face)
    launch = {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 2}
    nic = nic_of(face, SubnetId=subnet)
    for parameters, code in (
        ({"SubnetId": "subnet-00000000000000000"}, "InvalidSubnetID.NotFound"),
        ({"SubnetId": "x"}, "InvalidParameterValue"),
        ({"SubnetId": subnet, "SecurityGroups": ["default"]}, "InvalidParameterCombination"),
        ({"SubnetId": subnet, "NetworkInterfaces": [{"DeviceIndex": 0}]}, "InvalidParameterCombination"),
        ({"PrivateIpAddress": "10.9.9.9", "MaxCount": 1}, "InvalidParameterValue"),
        ({"PrivateIpAddress": nic["PrivateIpAddress"], "MaxCount": 1}, "InvalidIPAddress.InUse"),
        ({"PrivateIpAddress": "172.31.0.77"}, "InvalidParameterCombination"),
        ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": UNKNOWN}]}, "InvalidNetworkInterfaceID.NotFound"),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": nic["NetworkInterfaceId"]}]},
            "InvalidParameterCombination",
        ),
        ({"SecurityGroupIds": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
    ):  # fmt: skip
        assert refused(face.ann.run_instances, **(launch | parameters))[0] == code, parameters
    assert face.listed() == face.listed(**{"instance-state-name": "terminated"})
    assert listed(face) == [nic["NetworkInterfaceId"]]


# Attributes of instances --------------------------------------------------------------------------------


def test_the_check_of_source_and_destination(face):
    one = running(face)
    read = face.ann.describe_instance_attribute
    face.ann.modify_instance_attribute(InstanceId=one, SourceDestCheck={"Value": False})
    assert read(InstanceId=one, Attribute="sourceDestCheck")["SourceDestCheck"] == {"Value": False}
    assert face.describe(one)["SourceDestCheck"] is False
    assert face.listed(**{"source-dest-check": "false"}) == [one]
    face.ann.reset_instance_attribute(InstanceId=one, Attribute="sourceDestCheck")
    assert face.describe(one)["NetworkInterfaces"][0]["SourceDestCheck"] is True


def test_metadata_options(face):
    (one,) = face.run(MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2})
    assert face.describe(one)["MetadataOptions"] == {
        "State": "applied",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "disabled",
    }
    face.cloud.settle()
    reply = face.ann.modify_instance_metadata_options(InstanceId=one, InstanceMetadataTags="enabled")
    assert reply["InstanceMetadataOptions"]["HttpTokens"] == "required"
    assert reply["InstanceMetadataOptions"] == face.describe(one)["MetadataOptions"]
    assert face.listed(**{"metadata-options.instance-metadata-tags": "enabled"}) == [one]
    assert face.listed(**{"metadata-options.http-tokens": "optional"}) == []
    modify = face.ann.modify_instance_metadata_options
    assert refused(modify, InstanceId=one, HttpPutResponseHopLimit=99)[0] == "InvalidParameterValue"
    assert refused(modify, InstanceId=one, HttpTokens="maybe")[0] == "InvalidParameterValue"
    assert refused(modify, InstanceId="i-00000000000000000")[0] == "InvalidInstanceID.NotFound"
    assert refused(face.bob.modify_instance_metadata_options, InstanceId=one)[0] == (
        "InvalidInstanceID.NotFound"
    )


def test_limits_are_told(face):
    told = {
        each["AttributeName"]: each["AttributeValues"][0]["AttributeValue"]
        for each in face.ann.describe_account_attributes()["AccountAttributes"]
    }
    assert told["default-vpc"].startswith("vpc-")
    assert told["vpc-max-elastic-ips"] == told["max-elastic-ips"] == "50"
    assert int(told["vpc-max-security-groups-per-interface"]) >= 5
    [info] = face.ann.describe_instance_types(InstanceTypes=["t2.nano"])["InstanceTypes"]
    assert info["NetworkInfo"]["MaximumNetworkInterfaces"] >= 2
    assert info["NetworkInfo"]["Ipv4AddressesPerInterface"] >= 2


# Listing ------------------------------------------------------------------------------------------------


def test_filters_of_interfaces(face):
    one = running(face)
    instance = face.describe(one)
    alone = nic_of(face, SubnetId=instance["SubnetId"], Description="alone")
    first, other = instance["NetworkInterfaces"][0]["NetworkInterfaceId"], alone["NetworkInterfaceId"]
    assert listed(face) == [first, other]
    row = described(face, first)
    for name, value in {
        "attachment.instance-id": one,
        "attachment.attachment-id": row["Attachment"]["AttachmentId"],
        "attachment.delete-on-termination": "true",
        "attachment.device-index": "0",
        "attachment.instance-owner-id": "111122223333",
        "attachment.status": "attached",
        "attachment.attach-time": row["Attachment"]["AttachTime"].strftime("%Y-*"),
        "association.public-ip": row["Association"]["PublicIp"],
        "association.ip-owner-id": "amazon",
        "addresses.association.public-ip": row["Association"]["PublicIp"],
        "addresses.association.owner-id": "amazon",
        "mac-address": row["MacAddress"],
        "network-interface-id": first,
        "private-ip-address": row["PrivateIpAddress"],
        "private-dns-name": row["PrivateDnsName"],
        "status": "in-use",
    }.items():
        assert listed(face, **{name: value}) == [first], name
    for name, value in {
        "addresses.primary": "true",
        "availability-zone": "us-east-1a",
        "availability-zone-id": "use1-az1",
        "group-id": row["Groups"][0]["GroupId"],
        "group-name": "default",
        "interface-type": "interface",
        "operator.managed": "false",
        "owner-id": "111122223333",
        "requester-managed": "false",
        "source-dest-check": "true",
        "subnet-id": row["SubnetId"],
        "vpc-id": row["VpcId"],
    }.items():
        assert listed(face, **{name: value}) == [first, other], name
    assert listed(face, **{"status": "available", "description": "al*"}) == [other]
    assert listed(face, **{"ipv6-addresses.ipv6-address": "*"}) == []
    assert refused(listed, face=face, nonsense="x")[0] == "InvalidParameterValue"
    assert face.bob.describe_network_interfaces()["NetworkInterfaces"] == []
    assert refused(face.bob.describe_network_interfaces, NetworkInterfaceIds=[first])[0] == (
        "InvalidNetworkInterfaceID.NotFound"
    )


def test_what_is_shown_of_interfaces_is_never_stale(face):
    one = running(face)
    [nic] = face.describe(one)["NetworkInterfaces"]
    nic_id = nic["NetworkInterfaceId"]
    assert face.listed(**{"network-interface.tag-key": "*"}) == []
    face.ann.create_tags(Resources=[nic_id], Tags=[{"Key": "k", "Value": "v"}])
    assert face.listed(**{"network-interface.tag-value": "v"}) == [one]
    face.ann.delete_tags(Resources=[nic_id])
    assert face.listed(**{"network-interface.tag-value": "v"}) == []
    face.ann.modify_network_interface_attribute(NetworkInterfaceId=nic_id, Description={"Value": "new"})
    assert face.describe(one)["NetworkInterfaces"][0]["Description"] == "new"
    new = face.ann.assign_private_ip_addresses(NetworkInterfaceId=nic_id, SecondaryPrivateIpAddressCount=1)
    address = new["AssignedPrivateIpAddresses"][0]["PrivateIpAddress"]
    assert face.listed(**{"network-interface.addresses.private-ip-address": address}) == [one]
    face.ann.unassign_private_ip_addresses(NetworkInterfaceId=nic_id, PrivateIpAddresses=[address])
    assert face.listed(**{"network-interface.addresses.private-ip-address": address}) == []


def test_pages_of_interfaces(face):
    subnet = default_subnet(face)
    every = [nic_of(face, SubnetId=subnet)["NetworkInterfaceId"] for _ in range(7)]
    first = face.ann.describe_network_interfaces(MaxResults=5)
    second = face.ann.describe_network_interfaces(MaxResults=5, NextToken=first["NextToken"])
    pages = [each["NetworkInterfaceId"] for page in (first, second) for each in page["NetworkInterfaces"]]
    assert pages == every
    assert refused(face.ann.describe_network_interfaces, MaxResults=5, NetworkInterfaceIds=every)[0] == (
        "InvalidParameterCombination"
    )


def test_listing_instances_takes_as_many_queries_for_many_as_for_few(face):
    def queries(count: int) -> int:
        face.face._rendered.__init__(100)
        seen = 0

        def count_one(*_: object) -> None:
            nonlocal seen
            seen += 1

        from sqlalchemy import event

        event.listen(face.cloud.store.engine, "before_cursor_execute", count_one)
        try:
            assert len(face.listed()) == count
        finally:
            event.remove(face.cloud.store.engine, "before_cursor_execute", count_one)
        return seen

    face.run(MinCount=2, MaxCount=2)
    few = queries(2)
    face.run(MinCount=30, MaxCount=30)
    assert queries(32) == few


def test_the_interface_of_a_nat_gateway_is_shown_and_not_the_tenants_to_change(face):
    subnet = default_subnet(face)
    allocation = face.ann.allocate_address()["AllocationId"]
    face.ann.create_nat_gateway(SubnetId=subnet, AllocationId=allocation)
    face.cloud.settle()
    [nic] = face.ann.describe_network_interfaces(
        Filters=[{"Name": "interface-type", "Values": ["nat_gateway"]}]
    )["NetworkInterfaces"]
    assert (nic["Status"], nic["RequesterManaged"]) == ("in-use", True)
    assert nic["Association"]["AllocationId"] == allocation
    assert listed(face, **{"requester-managed": "true"}) == [nic["NetworkInterfaceId"]]
    nic_id = nic["NetworkInterfaceId"]
    for call, parameters in (
        (face.ann.delete_network_interface, {}),
        (face.ann.modify_network_interface_attribute, {"Description": {"Value": "mine"}}),
        (face.ann.assign_private_ip_addresses, {"SecondaryPrivateIpAddressCount": 1}),
    ):
        assert refused(call, NetworkInterfaceId=nic_id, **parameters)[0] == "OperationNotPermitted"
    assert refused(face.ann.release_address, AllocationId=allocation)[0] == "InvalidIPAddress.InUse"
