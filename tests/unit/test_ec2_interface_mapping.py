"""Groups, rules, interfaces and addresses as EC2's documents, and permissions as requests say them."""

from __future__ import annotations

import pytest
from ec2_instances import AT, a_group, a_nic, a_rule, an_address, an_instance, an_interface

from backend.model import AttachState, MetadataOptions
from backend.network_commands import RuleSpec
from ec2 import instance_mapping, interface_mapping, mapping
from ec2.actions.nic_requests import launch_nics, metadata_options, nic_request
from ec2.actions.security_groups import rule_specs
from ec2.errors import Ec2Error

OWNER = "111122223333"
GROUP = "sg-0123456789abcdef0"
OTHER = "sg-0fedcba9876543210"


# Rules --------------------------------------------------------------------------------------------------


def test_permissions_gather_peers_by_protocol_and_ports():
    rules = [
        a_rule(id="sgr-1"),
        a_rule(id="sgr-2", cidr="2001:db8::/32", description="ours"),
        a_rule(id="sgr-3", cidr="", peer_group_id=OTHER),
        a_rule(id="sgr-4", protocol="-1", from_port=-1, to_port=-1, cidr="10.0.0.0/8"),
        a_rule(id="sgr-5", protocol="icmp", from_port=8, to_port=-1),
        a_rule(id="sgr-6", protocol="50", from_port=-1, to_port=-1),
    ]
    https, everything, ping, esp = interface_mapping.permissions(rules, OWNER)
    assert (https["IpProtocol"], https["FromPort"], https["ToPort"]) == ("tcp", 443, 443)
    assert https["IpRanges"] == [{"CidrIp": "0.0.0.0/0", "Description": None}]
    assert https["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/32", "Description": "ours"}]
    assert https["UserIdGroupPairs"] == [{"GroupId": OTHER, "UserId": OWNER, "Description": None}]
    assert https["PrefixListIds"] == []
    assert everything["IpProtocol"] == "-1"
    assert {"FromPort", "ToPort"}.isdisjoint(everything)
    assert (ping["FromPort"], ping["ToPort"]) == (8, -1)
    assert {"FromPort", "ToPort"}.isdisjoint(esp)


def test_a_group_tells_its_rules_by_direction():
    out = a_rule(egress=True, protocol="-1", from_port=-1, to_port=-1)
    document = interface_mapping.group_document(a_group(), [a_rule(), out], {})
    assert [each["IpProtocol"] for each in document["IpPermissions"]] == ["tcp"]
    assert [each["IpProtocol"] for each in document["IpPermissionsEgress"]] == ["-1"]
    assert document["SecurityGroupArn"] == f"arn:aws:ec2:eu-central-1:{OWNER}:security-group/{GROUP}"
    assert document["Tags"] == []


@pytest.mark.parametrize(
    ("changes", "members"),
    [
        ({}, {"CidrIpv4": "0.0.0.0/0", "CidrIpv6": None, "ReferencedGroupInfo": None}),
        ({"cidr": "::/0"}, {"CidrIpv4": None, "CidrIpv6": "::/0", "ReferencedGroupInfo": None}),
        (
            {"cidr": "", "peer_group_id": OTHER},
            {"CidrIpv4": None, "CidrIpv6": None, "ReferencedGroupInfo": {"GroupId": OTHER, "UserId": OWNER}},
        ),
        ({"protocol": "-1", "from_port": -1, "to_port": -1}, {"FromPort": -1, "ToPort": -1}),
    ],
)
def test_a_rule_names_its_one_peer(changes, members):
    document = interface_mapping.rule_document(a_rule(**changes), a_group(), {})
    assert {name: document[name] for name in members} == members
    assert document["GroupOwnerId"] == OWNER
    assert document["Tags"] == []


def specs(**params) -> tuple[RuleSpec, ...]:
    return rule_specs(params, OWNER, egress=False)


def test_a_permission_becomes_a_rule_for_each_peer():
    found = specs(
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 0,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "office"}],
                "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
                "UserIdGroupPairs": [{"GroupId": OTHER, "UserId": OWNER}, {"GroupName": "db"}],
            }
        ]
    )
    base = {"egress": False, "protocol": "tcp", "from_port": 0, "to_port": 22}
    assert found == (
        RuleSpec(**base, cidr="10.0.0.0/8", description="office"),
        RuleSpec(**base, cidr="::/0"),
        RuleSpec(**base, peer_group=OTHER),
        RuleSpec(**base, peer_group="db"),
    )


def test_the_flat_form_of_old_clients():
    ssh = specs(IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    assert ssh == (RuleSpec(egress=False, protocol="tcp", from_port=22, to_port=22, cidr="0.0.0.0/0"),)
    members = specs(SourceSecurityGroupName="db", SourceSecurityGroupOwnerId=OWNER)
    assert members == (RuleSpec(egress=False, protocol="-1", peer_group="db"),)
    assert specs() == ()


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"IpPermissions": [{"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}, "InvalidParameterValue"),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.1"}]}]},
            "InvalidParameterValue",
        ),
        ({"IpPermissions": [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}]}, "MissingParameter"),
        ({"IpPermissions": [{"IpProtocol": "-1", "IpRanges": [{}]}]}, "MissingParameter"),
        ({"IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{}]}]}, "MissingParameter"),
        ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}, "MissingParameter"),
        ({"CidrIp": "0.0.0.0/0"}, "InvalidParameterValue"),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]}]},
            "InvalidPrefixListID.NotFound",
        ),
        (
            {"IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "web"}]}]},
            "InvalidGroupId.Malformed",
        ),
        (
            {
                "IpPermissions": [
                    {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": OTHER, "UserId": "444455556666"}]}
                ]
            },
            "InvalidGroup.NotFound",
        ),
        ({"IpProtocol": "tcp", "IpPermissions": [{"IpProtocol": "-1"}]}, "InvalidParameterCombination"),
    ],
)
def test_permissions_that_are_refused(params, code):
    with pytest.raises(Ec2Error) as caught:
        specs(**params)
    assert caught.value.code == code


# Interfaces ---------------------------------------------------------------------------------------------


def test_an_interface_with_an_elastic_address():
    row = an_interface(public=(an_address(),), addresses=("10.1.2.3", "10.1.2.9"), tags={"Name": "front"})
    document = interface_mapping.interface_document(row)
    assert document["Status"] == "in-use"
    assert document["Association"] == {
        "AllocationId": "eipalloc-0123456789abcdef0",
        "AssociationId": "eipassoc-0123456789abcdef0",
        "IpOwnerId": OWNER,
        "PublicDnsName": "",
        "PublicIp": "203.0.113.10",
    }
    assert document["Attachment"]["AttachTime"] == mapping.moment(AT)
    assert document["Attachment"]["InstanceId"] == "i-0123456789abcdef0"
    first, second = document["PrivateIpAddresses"]
    assert (first["Primary"], first["PrivateIpAddress"]) == (True, "10.1.2.3")
    assert (second["Primary"], second["PrivateIpAddress"]) == (False, "10.1.2.9")
    assert second["Association"] is None
    assert second["PrivateDnsName"] == "ip-10-1-2-9.eu-central-1.compute.internal"
    assert document["Groups"] == [{"GroupId": GROUP, "GroupName": "web"}]
    assert document["TagSet"] == [{"Key": "Name", "Value": "front"}]
    assert document["PublicDnsName"] is None


def test_what_is_lent_is_the_clouds_and_has_no_ids():
    row = an_interface(public=(an_address(auto=True),))
    association = interface_mapping.interface_document(row)["Association"]
    assert association == {"IpOwnerId": "amazon", "PublicDnsName": "", "PublicIp": "203.0.113.10"}


def test_public_names_where_the_operator_has_a_domain():
    row = an_interface(public=(an_address(),), public_domain="compute.example")
    name = "ec2-203-0-113-10.compute.example"
    document = instance_mapping.instance_document(an_instance(), {}, (), [row])
    assert document["PublicDnsName"] == name
    assert document["NetworkInterfaces"][0]["Association"]["PublicDnsName"] == name
    assert interface_mapping.interface_document(row)["PublicDnsName"] == name


@pytest.mark.parametrize(
    ("attach", "status", "attachment"),
    [
        (AttachState.NONE, "available", None),
        (AttachState.ATTACHING, "in-use", "attaching"),
        (AttachState.ATTACHED, "in-use", "attached"),
        (AttachState.DETACHING, "in-use", "detaching"),
        (AttachState.BUSY, "in-use", "detaching"),
    ],
)
def test_states_of_interfaces(attach, status, attachment):
    nic = a_nic(attach=attach)
    document = interface_mapping.interface_document(an_interface(nic))
    assert document["Status"] == status
    assert (document["Attachment"] or {}).get("Status") == attachment


def test_an_interface_of_a_gateway_is_not_the_tenants():
    nic = a_nic(requester="nat-0123456789abcdef0", instance_id=None, attach=AttachState.NONE)
    document = interface_mapping.interface_document(an_interface(nic, groups=()))
    assert (document["Status"], document["InterfaceType"]) == ("in-use", "nat_gateway")
    assert document["RequesterManaged"] is True
    assert document["Attachment"] is None


def test_an_instance_is_on_its_interfaces():
    second = a_nic(id="eni-2", index=1, address="10.1.2.4", groups=(), source_dest_check=False)
    rows = [an_interface(second, groups=()), an_interface(public=(an_address(),))]
    document = instance_mapping.instance_document(an_instance(), {}, (), rows)
    assert document["SecurityGroups"] == [{"GroupId": GROUP, "GroupName": "web"}]
    assert document["SourceDestCheck"] is True
    assert document["PublicIpAddress"] == "203.0.113.10"
    assert document["VpcId"] == "vpc-0123456789abcdef0"
    assert len(document["NetworkInterfaces"]) == 2


def test_an_address_tells_where_it_leads():
    free = an_address(nic_id=None, private_ip="", association_id="")
    assert "InstanceId" not in interface_mapping.address_document(free, None, {})
    led = interface_mapping.address_document(an_address(), a_nic(), {})
    assert (led["InstanceId"], led["PrivateIpAddress"]) == ("i-0123456789abcdef0", "10.1.2.3")
    assert led["SubnetId"] == "subnet-0123456789abcdef0"
    assert interface_mapping.address_document(an_address(), a_nic(instance_id=None), {})["InstanceId"] == ""


def test_limits_are_a_tag():
    assert mapping.with_limits({"a": "b"}, ()) == {"a": "b"}
    assert mapping.with_limits({"a": "b"}, ("One.", "Two.")) == {"a": "b", "aws:isthmus:limits": "One. Two."}


# Requests -----------------------------------------------------------------------------------------------


def test_an_interface_as_asked_for():
    asked = {
        "DeviceIndex": 0,
        "SubnetId": "subnet-0123456789abcdef0",
        "Groups": [GROUP],
        "PrivateIpAddresses": [
            {"PrivateIpAddress": "10.0.0.9"},
            {"PrivateIpAddress": "10.0.0.8", "Primary": True},
        ],
        "AssociatePublicIpAddress": True,
    }
    [found] = launch_nics({"NetworkInterfaces": [asked]})
    assert (found.address, found.secondary, found.groups) == ("10.0.0.8", ("10.0.0.9",), (GROUP,))
    assert (found.public_ip, found.delete_on_termination) == (True, True)
    [there] = launch_nics(
        {"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": "eni-0123456789abcdef0"}]}
    )
    assert there.delete_on_termination is False
    assert launch_nics({}) == ()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"SubnetId": "subnet-0123456789abcdef0"},
            "Network interfaces and an instance-level subnet ID may not be specified on the same request",
        ),
        (
            {"SecurityGroups": ["web"]},
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        ),
        (
            {"PrivateIpAddress": "10.0.0.4"},
            "Network interfaces and an instance-level private address may not be specified on the same request",
        ),
    ],
)
def test_interfaces_exclude_a_place_of_the_instance(params, message):
    with pytest.raises(Ec2Error) as caught:
        launch_nics({"NetworkInterfaces": [{"DeviceIndex": 0}], **params})
    assert (caught.value.code, caught.value.message) == ("InvalidParameterCombination", message)


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([{}], "InvalidParameterValue"),
        ([{"DeviceIndex": 0}, {"DeviceIndex": 0}], "InvalidParameterValue"),
        ([{"DeviceIndex": 0, "AssociatePublicIpAddress": True}, {"DeviceIndex": 1}], "InvalidParameterCombination"),
        (
            [{"DeviceIndex": 0, "NetworkInterfaceId": "eni-0123456789abcdef0", "Groups": [GROUP]}],
            "InvalidParameterCombination",
        ),
        ([{"DeviceIndex": 0, "NetworkInterfaceId": "eni"}], "InvalidParameterValue"),
        ([{"DeviceIndex": 0, "Groups": ["web"]}], "InvalidGroupId.Malformed"),
        ([{"DeviceIndex": 0, "Ipv6AddressCount": 1}], "UnsupportedOperation"),
        ([{"DeviceIndex": 0, "InterfaceType": "efa"}], "UnsupportedOperation"),
        ([{"DeviceIndex": 0, "NetworkCardIndex": 1}], "UnsupportedOperation"),
        ([{"DeviceIndex": 0, "SecondaryPrivateIpAddressCount": -1}], "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_interfaces_that_are_refused(items, code):
    with pytest.raises(Ec2Error) as caught:
        launch_nics({"NetworkInterfaces": items})
    assert caught.value.code == code


def test_one_primary_address_and_either_addresses_or_their_number():
    two = [
        {"PrivateIpAddress": "10.0.0.4", "Primary": True},
        {"PrivateIpAddress": "10.0.0.5", "Primary": True},
    ]
    for item in (
        {"PrivateIpAddresses": two},
        {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.4"}], "SecondaryPrivateIpAddressCount": 1},
    ):
        with pytest.raises(Ec2Error) as caught:
            nic_request(item, index=0)
        assert caught.value.code == "InvalidParameterCombination"


def test_metadata_options_change_what_is_said():
    before = MetadataOptions(tokens="required", hop_limit=3)
    after = metadata_options({"HttpEndpoint": "disabled", "InstanceMetadataTags": "enabled"}, before)
    assert after == MetadataOptions(tokens="required", hop_limit=3, endpoint=False, tags=True)
    assert mapping.metadata_options(after)["HttpEndpoint"] == "disabled"
    for asked, code in (
        ({"HttpPutResponseHopLimit": 65}, "InvalidParameterValue"),
        ({"HttpPutResponseHopLimit": 0}, "InvalidParameterValue"),
        ({"HttpProtocolIpv6": "enabled"}, "UnsupportedOperation"),
    ):
        with pytest.raises(Ec2Error) as caught:
            metadata_options(asked, before)
        assert caught.value.code == code
