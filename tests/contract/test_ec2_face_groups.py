"""Security groups on the real engine, as botocore's client sees them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from ec2_face import Ec2Cloud

UNKNOWN = "sg-00000000000000000"
ANYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}


@pytest.fixture
def face(monkeypatch) -> Ec2Cloud:
    return Ec2Cloud(monkeypatch)


def refused(call, **parameters) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def group_of(face: Ec2Cloud, name: str = "web", **more) -> str:
    return face.ann.create_security_group(GroupName=name, Description=f"what {name} may", **more)["GroupId"]


def described(face: Ec2Cloud, group_id: str) -> dict:
    return face.ann.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]


def listed(face: Ec2Cloud, **filters) -> list[str]:
    wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    reply = face.ann.describe_security_groups(Filters=wanted)
    return [each["GroupName"] for each in reply["SecurityGroups"]]


def rules_of(face: Ec2Cloud, group_id: str) -> list[dict]:
    wanted = [{"Name": "group-id", "Values": [group_id]}]
    return face.ann.describe_security_group_rules(Filters=wanted)["SecurityGroupRules"]


# Groups -------------------------------------------------------------------------------------------------


def test_the_default_group(face):
    [default] = face.ann.describe_security_groups()["SecurityGroups"]
    assert (default["GroupName"], default["Description"]) == ("default", "default VPC security group")
    [inside] = default["IpPermissions"]
    assert inside["IpProtocol"] == "-1"
    assert inside["UserIdGroupPairs"] == [{"GroupId": default["GroupId"], "UserId": default["OwnerId"]}]
    [out] = default["IpPermissionsEgress"]
    assert (out["IpProtocol"], out["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}])
    assert refused(face.ann.delete_security_group, GroupId=default["GroupId"]) == (
        "CannotDelete",
        f'the specified group: "{default["GroupId"]}" name: "default" cannot be deleted by a user',
    )
    assert face.bob.describe_security_groups()["SecurityGroups"][0]["GroupId"] != default["GroupId"]


def test_what_the_network_does_not_enforce_is_a_tag(face):
    limits = face.cloud.engine.settings.network.capabilities.briefly
    [default] = face.ann.describe_security_groups()["SecurityGroups"]
    expected = [{"Key": "aws:isthmus:limits", "Value": " ".join(limits)}] if limits else []
    assert default["Tags"] == expected


def test_a_groups_life(face):
    made = face.ann.create_security_group(
        GroupName="web",
        Description="of the web",
        TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    group = described(face, made["GroupId"])
    assert group["SecurityGroupArn"] == made["SecurityGroupArn"]
    assert group["SecurityGroupArn"] == f"arn:aws:ec2:us-east-1:111122223333:security-group/{made['GroupId']}"
    assert group["IpPermissions"] == []
    assert {"Key": "a", "Value": "b"} in group["Tags"]
    assert face.ann.describe_security_groups(GroupNames=["web"])["SecurityGroups"] == [group]
    reply = face.ann.delete_security_group(GroupName="web")
    assert (reply["Return"], reply["GroupId"]) == (True, made["GroupId"])
    assert refused(face.ann.describe_security_groups, GroupIds=[made["GroupId"]]) == (
        "InvalidGroup.NotFound",
        f"The security group '{made['GroupId']}' does not exist",
    )


def test_groups_that_are_refused(face):
    create = face.ann.create_security_group
    group_of(face)
    assert refused(create, GroupName="web", Description="d") == (
        "InvalidGroup.Duplicate",
        "The security group 'web' already exists",
    )
    for name in ("default", "sg-web", "", "x" * 256):
        assert refused(create, GroupName=name, Description="d")[0] in {
            "InvalidParameterValue",
            "MissingParameter",
        }
    assert refused(create, GroupName="a")[0] == "MissingParameter"
    assert refused(create, GroupName="a", Description="")[0] == "MissingParameter"
    assert refused(create, GroupName="a", Description="d" * 256)[0] == "InvalidParameterValue"
    assert refused(create, GroupName="a", Description="d", VpcId="vpc-00000000000000000") == (
        "InvalidVpcID.NotFound",
        "The vpc ID 'vpc-00000000000000000' does not exist",
    )
    delete = face.ann.delete_security_group
    assert refused(delete, GroupId=UNKNOWN)[0] == "InvalidGroup.NotFound"
    assert refused(delete, GroupId="web")[0] == "InvalidGroupId.Malformed"
    assert refused(delete, GroupName="nobody")[0] == "InvalidGroup.NotFound"
    assert refused(delete) == (
        "MissingParameter",
        "The request must contain the parameter groupName or groupId",
    )
    assert refused(face.ann.describe_security_groups, GroupNames=["nobody"])[0] == "InvalidGroup.NotFound"


def test_a_group_in_use_is_not_deleted(face):
    web, db = group_of(face), group_of(face, "db")
    face.ann.authorize_security_group_ingress(
        GroupId=db, IpPermissions=[{**SSH, "UserIdGroupPairs": [{"GroupId": web}]}]
    )
    assert refused(face.ann.delete_security_group, GroupId=web) == (
        "DependencyViolation",
        f"resource {web} has a dependent object",
    )
    (one,) = face.run(SecurityGroupIds=[db])
    assert refused(face.ann.delete_security_group, GroupId=db)[0] == "DependencyViolation"
    face.cloud.settle()
    face.ann.terminate_instances(InstanceIds=[one])
    face.cloud.settle()
    face.ann.delete_security_group(GroupId=db)
    face.ann.delete_security_group(GroupId=web)


def test_filters_of_groups(face):
    web = group_of(face)
    group_of(face, "db", TagSpecifications=[
        {"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": "data"}]}
    ])  # fmt: skip
    face.ann.authorize_security_group_ingress(
        GroupName="db",
        IpPermissions=[
            {**SSH, "IpRanges": [{"CidrIp": "10.0.0.0/8"}], "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}]},
            {"IpProtocol": "udp", "FromPort": 53, "ToPort": 54, "UserIdGroupPairs": [{"GroupName": "web"}]},
        ],
    )
    vpc = described(face, web)["VpcId"]
    assert listed(face) == ["default", "web", "db"]
    for name, value in {
        "group-name": "d?",
        "description": "what db may",
        "tag:Name": "data",
        "tag-key": "Name",
        "ip-permission.cidr": "10.0.0.0/8",
        "ip-permission.ipv6-cidr": "2001:*",
        "ip-permission.from-port": "22",
        "ip-permission.to-port": "54",
        "ip-permission.protocol": "udp",
        "ip-permission.group-id": web,
        "ip-permission.group-name": "web",
    }.items():
        assert listed(face, **{name: value}) == ["db"], name
    assert listed(face, **{"ip-permission.protocol": "6"}) == ["db"]
    assert listed(face, **{"egress.ip-permission.cidr": "0.0.0.0/0"}) == ["default", "web", "db"]
    assert listed(face, **{"egress.ip-permission.from-port": "*"}) == []
    assert listed(face, **{"ip-permission.user-id": "111122223333"}) == ["default", "db"]
    assert listed(face, **{"ip-permission.prefix-list-id": "*"}) == []
    assert listed(face, **{"vpc-id": vpc, "owner-id": "111122223333", "group-id": web}) == ["web"]
    assert refused(listed, face=face, nonsense="x")[0] == "InvalidParameterValue"


def test_pages_of_groups(face):
    for number in range(7):
        group_of(face, f"g{number}")
    first = face.ann.describe_security_groups(MaxResults=5)
    second = face.ann.describe_security_groups(MaxResults=5, NextToken=first["NextToken"])
    names = [each["GroupName"] for page in (first, second) for each in page["SecurityGroups"]]
    assert names == ["default", *(f"g{number}" for number in range(7))]
    assert "NextToken" not in second
    assert refused(face.ann.describe_security_groups, MaxResults=4)[0] == "InvalidParameterValue"
    ids = [first["SecurityGroups"][0]["GroupId"]]
    assert refused(face.ann.describe_security_groups, MaxResults=5, GroupIds=ids)[0] == (
        "InvalidParameterCombination"
    )
    assert refused(face.ann.describe_security_group_rules, NextToken="x")[0] == "InvalidNextToken"


def test_groups_of_a_vpc(face):
    web = group_of(face)
    vpc = described(face, web)["VpcId"]
    found = face.ann.get_security_groups_for_vpc(
        VpcId=vpc, Filters=[{"Name": "group-name", "Values": ["web"]}]
    )["SecurityGroupForVpcs"]
    assert [(each["GroupId"], each["PrimaryVpcId"]) for each in found] == [(web, vpc)]
    assert face.ann.describe_stale_security_groups(VpcId=vpc)["StaleSecurityGroupSet"] == []
    assert face.ann.describe_security_group_references(GroupId=[web])["SecurityGroupReferenceSet"] == []
    for call in (face.bob.get_security_groups_for_vpc, face.bob.describe_stale_security_groups):
        assert refused(call, VpcId=vpc)[0] == "InvalidVpcID.NotFound"
    assert refused(face.bob.describe_security_group_references, GroupId=[web])[0] == "InvalidGroup.NotFound"


# Rules --------------------------------------------------------------------------------------------------


def test_authorise_and_revoke_by_what_rules_say(face):
    web = group_of(face)
    reply = face.ann.authorize_security_group_ingress(
        GroupId=web,
        IpPermissions=[
            {**SSH, "IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "office"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]},
        ],
        TagSpecifications=[
            {"ResourceType": "security-group-rule", "Tags": [{"Key": "why", "Value": "test"}]}
        ],
    )
    assert reply["Return"] is True
    ssh, members = reply["SecurityGroupRules"]
    assert ssh["SecurityGroupRuleId"].startswith("sgr-")
    assert (ssh["CidrIpv4"], ssh["FromPort"], ssh["ToPort"]) == ("10.0.0.0/8", 22, 22)
    assert ssh["Tags"] == [{"Key": "why", "Value": "test"}]
    assert (members["FromPort"], members["ToPort"]) == (-1, -1)
    assert members["ReferencedGroupInfo"] == {"GroupId": web, "UserId": "111122223333"}
    told = rules_of(face, web)
    assert [each["IsEgress"] for each in told] == [True, False, False]
    assert {each["SecurityGroupRuleId"]: each for each in told}[ssh["SecurityGroupRuleId"]] == ssh
    gone = face.ann.revoke_security_group_ingress(
        GroupId=web, IpPermissions=[{**SSH, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    )
    assert (gone["Return"], gone["UnknownIpPermissions"]) == (True, [])
    [revoked] = gone["RevokedSecurityGroupRules"]
    assert (revoked["SecurityGroupRuleId"], revoked["Description"]) == (ssh["SecurityGroupRuleId"], "office")
    [left] = described(face, web)["IpPermissions"]
    assert left["IpProtocol"] == "-1"


def test_the_default_egress_as_terraform_takes_it_away(face):
    web = group_of(face)
    everything = {"IpProtocol": "-1"}
    face.ann.revoke_security_group_egress(GroupId=web, IpPermissions=[{**everything, **ANYWHERE}])
    assert described(face, web)["IpPermissionsEgress"] == []
    assert refused(
        face.ann.revoke_security_group_egress,
        GroupId=web,
        IpPermissions=[{**everything, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
    ) == ("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
    reply = face.ann.authorize_security_group_egress(
        GroupId=web, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **ANYWHERE}]
    )
    assert reply["SecurityGroupRules"][0]["IsEgress"] is True


def test_the_flat_form(face):
    web = group_of(face)
    face.ann.authorize_security_group_ingress(
        GroupName="web", IpProtocol="tcp", FromPort=80, ToPort=81, CidrIp="0.0.0.0/0"
    )
    face.ann.authorize_security_group_ingress(GroupName="web", SourceSecurityGroupName="web")
    http, members = described(face, web)["IpPermissions"]
    assert (http["FromPort"], http["ToPort"], http["IpRanges"]) == (80, 81, [{"CidrIp": "0.0.0.0/0"}])
    assert members["UserIdGroupPairs"] == [{"GroupId": web, "UserId": "111122223333"}]
    face.ann.revoke_security_group_ingress(
        GroupName="web", IpProtocol="tcp", FromPort=80, ToPort=81, CidrIp="0.0.0.0/0"
    )
    assert len(described(face, web)["IpPermissions"]) == 1


def test_revoking_by_id_is_all_or_nothing(face):
    web, db = group_of(face), group_of(face, "db")
    made = face.ann.authorize_security_group_ingress(GroupId=web, IpPermissions=[{**SSH, **ANYWHERE}])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    revoke = face.ann.revoke_security_group_ingress
    assert refused(revoke, GroupId=web, SecurityGroupRuleIds=[rule, "sgr-00000000000000000"]) == (
        "InvalidSecurityGroupRuleId.NotFound",
        "The security group rule ID 'sgr-00000000000000000' does not exist",
    )
    assert refused(revoke, GroupId=db, SecurityGroupRuleIds=[rule])[0] == "InvalidPermission.NotFound"
    assert refused(face.ann.revoke_security_group_egress, GroupId=web, SecurityGroupRuleIds=[rule])[0] == (
        "InvalidPermission.NotFound"
    )
    assert refused(revoke, GroupId=web)[0] == "MissingParameter"
    assert len(described(face, web)["IpPermissions"]) == 1
    gone = revoke(GroupId=web, SecurityGroupRuleIds=[rule])["RevokedSecurityGroupRules"]
    assert [each["SecurityGroupRuleId"] for each in gone] == [rule]
    assert described(face, web)["IpPermissions"] == []
    assert refused(face.ann.describe_security_group_rules, SecurityGroupRuleIds=[rule])[0] == (
        "InvalidSecurityGroupRuleId.NotFound"
    )


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        ({**SSH, **ANYWHERE}, "InvalidPermission.Duplicate"),
        ({**SSH, "IpRanges": [{"CidrIp": "10.0.0.0/40"}]}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 22, **ANYWHERE}, "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 23, "ToPort": 22, **ANYWHERE}, "InvalidParameterValue"),
        ({"IpProtocol": "udp", "FromPort": 0, "ToPort": 70000, **ANYWHERE}, "InvalidParameterValue"),
        ({"IpProtocol": "nonsense", **ANYWHERE}, "InvalidParameterValue"),
        ({**SSH, "UserIdGroupPairs": [{"GroupId": UNKNOWN}]}, "InvalidGroup.NotFound"),
        ({**SSH, "UserIdGroupPairs": [{"GroupName": "nobody"}]}, "InvalidGroup.NotFound"),
        ({**SSH, "IpRanges": [{"CidrIp": "1.0.0.0/8"}, {"CidrIp": "1.2.3.4/8"}]}, "InvalidParameterValue"),
        ({**SSH, "IpRanges": [{"CidrIp": f"10.0.{n}.0/24"} for n in range(61)]}, "RulesPerSecurityGroupLimitExceeded"),
    ],
)  # fmt: skip
def test_permissions_that_are_refused_change_nothing(face, permission, code):
    web = group_of(face)
    face.ann.authorize_security_group_ingress(GroupId=web, IpPermissions=[{**SSH, **ANYWHERE}])
    before = described(face, web)
    fresh = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, **ANYWHERE}
    assert refused(
        face.ann.authorize_security_group_ingress, GroupId=web, IpPermissions=[fresh, permission]
    )[0] == code  # fmt: skip
    assert described(face, web) == before


def test_the_exact_words_of_a_duplicate(face):
    web = group_of(face)
    face.ann.authorize_security_group_ingress(GroupId=web, IpPermissions=[{**SSH, **ANYWHERE}])
    again = refused(
        face.ann.authorize_security_group_ingress, GroupId=web, IpPermissions=[{**SSH, **ANYWHERE}]
    )
    assert again == (
        "InvalidPermission.Duplicate",
        'the specified rule "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW" already exists',
    )


def test_rules_are_described_and_replaced(face):
    web = group_of(face)
    made = face.ann.authorize_security_group_ingress(GroupId=web, IpPermissions=[{**SSH, **ANYWHERE}])
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    describe = face.ann.update_security_group_rule_descriptions_ingress
    described_ssh = {**SSH, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all of us"}]}
    assert describe(GroupId=web, IpPermissions=[described_ssh])["Return"] is True
    assert rules_of(face, web)[1]["Description"] == "all of us"
    describe(GroupId=web, SecurityGroupRuleDescriptions=[{"SecurityGroupRuleId": rule, "Description": "me"}])
    assert described(face, web)["IpPermissions"][0]["IpRanges"] == [
        {"CidrIp": "0.0.0.0/0", "Description": "me"}
    ]
    assert refused(describe, GroupId=web)[0] == "MissingParameter"
    assert refused(
        face.ann.update_security_group_rule_descriptions_egress, GroupId=web, IpPermissions=[described_ssh]
    )[0] == "InvalidPermission.NotFound"  # fmt: skip
    modify = face.ann.modify_security_group_rules
    new = {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "CidrIpv4": "192.0.2.7/24"}
    modify(GroupId=web, SecurityGroupRules=[{"SecurityGroupRuleId": rule, "SecurityGroupRule": new}])
    changed = rules_of(face, web)[1]
    assert changed["SecurityGroupRuleId"] == rule
    assert (changed["IpProtocol"], changed["CidrIpv4"], changed["IsEgress"]) == ("udp", "192.0.2.0/24", False)
    assert "Description" not in changed
    for wrong in ({"IpProtocol": "tcp"}, {**new, "CidrIpv6": "::/0"}):
        changes = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": wrong}]
        assert refused(modify, GroupId=web, SecurityGroupRules=changes)[0] == "InvalidParameterValue"
    unknown = [{"SecurityGroupRuleId": "sgr-00000000000000000", "SecurityGroupRule": new}]
    assert (
        refused(modify, GroupId=web, SecurityGroupRules=unknown)[0] == "InvalidSecurityGroupRuleId.NotFound"
    )


def test_words_that_tests_of_clients_compare(face):
    web = group_of(face)
    rule = rules_of(face, web)[0]["SecurityGroupRuleId"]
    nameless = {"FromPort": 22, "ToPort": 22, "CidrIpv4": "10.0.0.0/8"}
    changes = [{"SecurityGroupRuleId": rule, "SecurityGroupRule": nameless}]
    assert refused(face.ann.modify_security_group_rules, GroupId=web, SecurityGroupRules=changes) == (
        "InvalidParameterValue",
        "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
    )
    bare = {**SSH, "IpRanges": [{"CidrIp": "192.0.2.7"}]}
    assert refused(face.ann.authorize_security_group_ingress, GroupId=web, IpPermissions=[bare]) == (
        "InvalidParameterValue",
        "CIDR block 192.0.2.7 is malformed",
    )
    wanted = [{"Name": "group-id", "Values": ["web"]}]
    assert refused(face.ann.describe_security_group_rules, Filters=wanted) == (
        "InvalidGroupId.Malformed",
        "The security group ID 'web' is malformed",
    )
    assert rules_of(face, "sg-*")


def test_rules_are_tagged_and_found_by_tag(face):
    web = group_of(face)
    rule = rules_of(face, web)[0]["SecurityGroupRuleId"]
    face.ann.create_tags(Resources=[rule, web], Tags=[{"Key": "k", "Value": "v"}])
    found = face.ann.describe_security_group_rules(Filters=[{"Name": "tag:k", "Values": ["v"]}])
    assert [each["SecurityGroupRuleId"] for each in found["SecurityGroupRules"]] == [rule]
    kinds = {each["ResourceId"]: each["ResourceType"] for each in face.ann.describe_tags()["Tags"]}
    assert kinds == {rule: "security-group-rule", web: "security-group"}


def test_groups_of_others_are_not_there(face):
    web = group_of(face)
    rule = rules_of(face, web)[0]["SecurityGroupRuleId"]
    for call, parameters in (
        (face.bob.describe_security_groups, {"GroupIds": [web]}),
        (face.bob.delete_security_group, {"GroupId": web}),
        (face.bob.authorize_security_group_ingress, {"GroupId": web, "IpPermissions": [{**SSH, **ANYWHERE}]}),
        (face.bob.revoke_security_group_egress, {"GroupId": web, "SecurityGroupRuleIds": [rule]}),
        (face.bob.run_instances, {"ImageId": face.cloud.image.id, "MinCount": 1, "MaxCount": 1, "SecurityGroupIds": [web]}),
    ):  # fmt: skip
        assert refused(call, **parameters) == (
            "InvalidGroup.NotFound",
            f"The security group '{web}' does not exist",
        )
    assert face.bob.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [web]}])[
        "SecurityGroupRules"
    ] == []  # fmt: skip


# Members ------------------------------------------------------------------------------------------------


def test_instances_in_groups(face):
    web, db = group_of(face), group_of(face, "db")
    (one,) = face.run(SecurityGroupIds=[web, db])
    (two,) = face.run(SecurityGroups=["db"])
    (three,) = face.run()
    assert face.describe(one)["SecurityGroups"] == [
        {"GroupId": web, "GroupName": "web"},
        {"GroupId": db, "GroupName": "db"},
    ]
    for name in ("instance.group-name", "group-name", "network-interface.group-name"):
        assert face.listed(**{name: "db"}) == [one, two]
    assert face.listed(**{"instance.group-id": web}) == [one]
    assert face.listed(**{"group-name": "default"}) == [three]
    modify = face.ann.modify_instance_attribute
    modify(InstanceId=three, Groups=[web])
    assert face.listed(**{"group-id": web}) == [one, three]
    got = face.ann.describe_instance_attribute(InstanceId=three, Attribute="groupSet")
    assert got["Groups"] == [{"GroupId": web, "GroupName": "web"}]
    assert refused(modify, InstanceId=three, Groups=[UNKNOWN])[0] == "InvalidGroup.NotFound"
    assert refused(modify, InstanceId=three, Groups=["web"])[0] == "InvalidGroupId.Malformed"
    assert refused(face.run, SecurityGroups=["nobody"]) == (
        "InvalidGroup.NotFound",
        "The security group 'nobody' does not exist",
    )
