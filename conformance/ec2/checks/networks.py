"""Checks of security groups, addresses and VPCs."""

from __future__ import annotations

from conformance.checks import expect
from conformance.ec2 import things
from conformance.ec2.reading import Node
from conformance.ec2.session import Ec2Session, filters
from conformance.ec2.suite import SUITE


def _group(session: Ec2Session, group_id: str) -> Node:
    return session.ok("DescribeSecurityGroups", {"GroupId.1": group_id}).node("securityGroupInfo/item")


def _ports(session: Ec2Session, group_id: str) -> set[tuple[str, str]]:
    """Port and source of the ingress rules of a group."""
    return {
        (each.get("fromPort"), block)
        for each in _group(session, group_id).items("ipPermissions")
        for block in each.texts("ipRanges/item/cidrIp")
    }


@SUITE.check("EC2-GROUP-001", changes=True)
def a_new_group(session: Ec2Session) -> None:
    """A new group lets everything out, and nothing in."""
    found = _group(session, things.new_group(session))
    expect(not found.items("ipPermissions"), "a new group has rules for what comes in")
    out = [
        (each.get("ipProtocol"), each.texts("ipRanges/item/cidrIp"))
        for each in found.items("ipPermissionsEgress")
    ]
    expect(("-1", ["0.0.0.0/0"]) in out, f"a new group lets out {out}, not everything")


@SUITE.check("EC2-GROUP-002", changes=True)
def a_rule(session: Ec2Session) -> None:
    """A rule is told until it is revoked: by what it says, and by its id."""
    group = things.new_group(session)
    for port in (80, 443):
        session.ok("AuthorizeSecurityGroupIngress", things.rule(group, port, "198.51.100.0/24"))
    block = "198.51.100.0/24"
    expect(
        _ports(session, group) == {("80", block), ("443", block)}, f"the rules are {_ports(session, group)}"
    )
    session.ok("RevokeSecurityGroupIngress", things.rule(group, 80, block))
    expect(
        _ports(session, group) == {("443", block)}, f"80 was revoked, and there is {_ports(session, group)}"
    )
    rules = session.ok("DescribeSecurityGroupRules", filters({"group-id": group})).items(
        "securityGroupRuleSet"
    )
    ids = [each.text("securityGroupRuleId") for each in rules if each.get("isEgress") == "false"]
    expect(len(ids) == 1, f"{len(ids)} rules are told for what comes in, not 1")
    session.ok("RevokeSecurityGroupIngress", {"GroupId": group, "SecurityGroupRuleId.1": ids[0]})
    expect(not _ports(session, group), f"all were revoked, and there is {_ports(session, group)}")


@SUITE.check("EC2-GROUP-003", changes=True)
def rules_of_all_or_none(session: Ec2Session) -> None:
    """Of two rules one of which is there already none is taken."""
    group = things.new_group(session)
    session.ok("AuthorizeSecurityGroupIngress", things.rule(group, 80, "198.51.100.0/24"))
    two = things.rule(group, 443, "198.51.100.0/24") | {
        "IpPermissions.2.IpProtocol": "tcp",
        "IpPermissions.2.FromPort": 80,
        "IpPermissions.2.ToPort": 80,
        "IpPermissions.2.IpRanges.1.CidrIp": "198.51.100.0/24",
    }
    session.refused("AuthorizeSecurityGroupIngress", two, "InvalidPermission.Duplicate")
    expect(len(_ports(session, group)) == 1, f"after the refusal there is {_ports(session, group)}")


@SUITE.check("EC2-GROUP-004", changes=True)
def the_flat_form(session: Ec2Session) -> None:
    """A rule in the flat form is a rule."""
    group = things.new_group(session)
    flat = {"GroupId": group, "IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "CidrIp": "192.0.2.7/32"}
    session.ok("AuthorizeSecurityGroupIngress", flat)
    found = _ports(session, group)
    expect(found == {("8080", "192.0.2.7/32")}, f"the rules are {found}")
    session.ok("RevokeSecurityGroupIngress", flat)
    expect(not _ports(session, group), "the flat form does not revoke")


@SUITE.check("EC2-GROUP-004", changes=True)
def a_group_as_source(session: Ec2Session) -> None:
    """The source of a rule may be a group, and is told by its id."""
    group, source = things.new_group(session), things.group(session)
    params = {
        "GroupId": group,
        "IpPermissions.1.IpProtocol": "-1",
        "IpPermissions.1.Groups.1.GroupId": source,
    }
    session.ok("AuthorizeSecurityGroupIngress", params)
    found = _group(session, group).node("ipPermissions/item")
    told = (found.get("ipProtocol"), found.texts("groups/item/groupId"))
    expect(told == ("-1", [source]), f"the rule is told as {told}")


@SUITE.check("EC2-GROUP-005", "EC2-OP-CreateSecurityGroup", changes=True)
def a_groups_name(session: Ec2Session) -> None:
    """A name that is taken is InvalidGroup.Duplicate."""
    group = _group(session, things.group(session))
    params = {"GroupName": group.text("groupName"), "GroupDescription": "x", "VpcId": things.home(session)}
    session.refused("CreateSecurityGroup", params, "InvalidGroup.Duplicate")


@SUITE.check("EC2-GROUP-006", changes=True)
def the_default_group(session: Ec2Session) -> None:
    """The default group of a VPC is not deleted."""
    vpc = things.thing(session, "vpc")
    found = session.ok("DescribeSecurityGroups", filters({"vpc-id": vpc, "group-name": "default"}))
    group = found.text("securityGroupInfo/item/groupId")
    session.refused("DeleteSecurityGroup", {"GroupId": group}, "CannotDelete", "InvalidGroup.Reserved")
    _group(session, group)


@SUITE.check("EC2-WAIT-009", changes=True)
def groups_exist(session: Ec2Session) -> None:
    """The waiter SecurityGroupExists succeeds, and a deleted group is InvalidGroup.NotFound."""
    group = things.new_group(session)
    _group(session, group)
    session.ok("DeleteSecurityGroup", {"GroupId": group})
    session.refused("DescribeSecurityGroups", {"GroupId.1": group}, "InvalidGroup.NotFound")


@SUITE.check("EC2-STATE-020", changes=True)
def an_address(session: Ec2Session) -> None:
    """An address is told with the interface that it leads to, and with none afterwards."""
    interface = things.NEW["interface"](session)
    address = things.new_address(session)
    params = {"AllocationId": address, "NetworkInterfaceId": interface}
    association = session.make("AssociateAddress", params).text("associationId")
    found = session.ok("DescribeAddresses", {"AllocationId.1": address}).node("addressesSet/item")
    told = (found.get("networkInterfaceId"), found.get("associationId"))
    expect(told == (interface, association), f"the address leads to {told}, not {(interface, association)}")
    nic = session.ok("DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
    public = nic.get("networkInterfaceSet/item/association/publicIp")
    expect(
        public == found.text("publicIp"),
        f"the interface has the address {public!r}, not {found.text('publicIp')}",
    )
    session.refused("ReleaseAddress", {"AllocationId": address}, "InvalidIPAddress.InUse")
    session.ok("DisassociateAddress", {"AssociationId": association})
    found = session.ok("DescribeAddresses", {"AllocationId.1": address}).node("addressesSet/item")
    expect(not found.get("associationId"), "an address that was disassociated has an association")
    expect(not found.get("networkInterfaceId"), "an address that was disassociated leads to an interface")


@SUITE.check("EC2-NET-001", changes=True, cases=("route table", "network ACL", "security group"))
def what_a_vpc_brings(session: Ec2Session, case: str) -> None:
    """A new VPC has a main route table, a network ACL and a default group."""
    vpc = things.thing(session, "vpc")
    wanted = filters({"vpc-id": vpc})
    if case == "route table":
        found = session.ok("DescribeRouteTables", filters({"vpc-id": vpc, "association.main": "true"}))
        routes = {
            (each.get("destinationCidrBlock"), each.get("gatewayId"), each.get("state"))
            for each in found.all("routeTableSet/item/routeSet/item")
        }
        expect((things.BLOCK, "local", "active") in routes, f"the routes of the main table are {routes}")
    elif case == "network ACL":
        found = session.ok("DescribeNetworkAcls", wanted)
        expect("true" in found.texts("networkAclSet/item/default"), "there is no default network ACL")
    else:
        names = session.ok("DescribeSecurityGroups", wanted).texts("securityGroupInfo/item/groupName")
        expect("default" in names, f"the groups are {names}")


@SUITE.check("EC2-NET-002", "EC2-WAIT-010", changes=True)
def a_new_subnet(session: Ec2Session) -> None:
    """A subnet of 256 addresses has 251 to give, and becomes available."""
    subnet = things.new_subnet(session, 5)

    def available() -> Node | None:
        found = session.ok("DescribeSubnets", {"SubnetId.1": subnet}).node("subnetSet/item")
        state = found.text("state")
        expect(state in {"pending", "available"}, f"a new subnet is {state}")
        return found if state == "available" else None

    found = session.until(f"availability of {subnet}", available)
    count = found.get("availableIpAddressCount")
    expect(count == "251", f"availableIpAddressCount of a /24 is {count}, not 251")


@SUITE.check("EC2-WAIT-010", changes=True)
def interfaces_become_available(session: Ec2Session) -> None:
    """The waiter NetworkInterfaceAvailable succeeds."""
    interface = things.NEW["interface"](session)

    def available() -> bool | None:
        found = session.ok("DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
        state = found.text("networkInterfaceSet/item/status")
        expect(state in {"pending", "available"}, f"a new interface is {state}")
        return True if state == "available" else None

    session.until(f"availability of {interface}", available)


#: What can be made and deleted: how it is deleted, how told, and what is said of what is gone.
GOING = {
    "subnet": ("DeleteSubnet", "SubnetId", "DescribeSubnets", "InvalidSubnetID.NotFound"),
    "table": ("DeleteRouteTable", "RouteTableId", "DescribeRouteTables", "InvalidRouteTableID.NotFound"),
    "gateway": (
        "DeleteInternetGateway",
        "InternetGatewayId",
        "DescribeInternetGateways",
        "InvalidInternetGatewayID.NotFound",
    ),
    "acl": ("DeleteNetworkAcl", "NetworkAclId", "DescribeNetworkAcls", "InvalidNetworkAclID.NotFound"),
    "interface": (
        "DeleteNetworkInterface",
        "NetworkInterfaceId",
        "DescribeNetworkInterfaces",
        "InvalidNetworkInterfaceID.NotFound",
    ),
    "vpc": ("DeleteVpc", "VpcId", "DescribeVpcs", "InvalidVpcID.NotFound"),
    "address": ("ReleaseAddress", "AllocationId", "DescribeAddresses", "InvalidAllocationID.NotFound"),
}


@SUITE.check("EC2-NET-003", changes=True, cases=tuple(GOING))
def what_was_deleted(session: Ec2Session, kind: str) -> None:
    """What was deleted is told no more, and is NotFound."""
    delete, param, describe, code = GOING[kind]
    made = things.thing(session, f"new:{kind}")
    session.ok(describe, {f"{param}.1": made})
    session.ok(delete, {param: made})
    session.refused(describe, {f"{param}.1": made}, code)
    session.refused(delete, {param: made}, code)
