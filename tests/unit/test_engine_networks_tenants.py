"""Networks of others do not exist: each command about a foreign thing is answered as about an unknown one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from network_cloud import network_cloud
from network_deeds import default_group, do, nics_of, subnet_in
from simulation import Cloud, Op

from backend.commands import Launch, NicRequest
from backend.errors import BackendError, Code
from backend.model import MetadataOptions
from backend.network_commands import (
    ALL,
    AllocateAddress,
    AssignAddresses,
    AssociateAddress,
    AssociateCidr,
    AssociateRouteTable,
    AttachInternetGateway,
    AttachNic,
    AuthorizeRules,
    CreateDhcpOptions,
    CreateInternetGateway,
    CreateNatGateway,
    CreateNetworkAcl,
    CreateNic,
    CreateRouteTable,
    CreateSecurityGroup,
    CreateSubnet,
    CreateVpc,
    DeleteAclEntry,
    DeleteDhcpOptions,
    DeleteInternetGateway,
    DeleteNatGateway,
    DeleteNetworkAcl,
    DeleteNic,
    DeleteRoute,
    DeleteRouteTable,
    DeleteSecurityGroup,
    DeleteSubnet,
    DeleteVpc,
    DescribeRules,
    DetachInternetGateway,
    DetachNic,
    DisassociateAddress,
    DisassociateCidr,
    DisassociateRouteTable,
    ModifyAddress,
    ModifyMetadataOptions,
    ModifyNic,
    ModifyRules,
    ModifySecurityGroup,
    ModifySubnet,
    ModifyVpc,
    PutAclEntry,
    PutRoute,
    ReleaseAddress,
    ReplaceAclAssociation,
    ReplaceRouteTableAssociation,
    RevokeRules,
    RuleSpec,
    UnassignAddresses,
)
from backend.network_model import (
    ANYWHERE,
    AclEntry,
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)

Ids = Mapping[str, str]
KINDS = (
    "vpc", "subnet", "rtb", "rtbassoc", "igw", "nat", "dopt", "acl", "aclassoc", "sg", "sgr", "eni",
    "eni-attach", "eipalloc", "eipassoc", "vpc-cidr-assoc", "i",
)  # fmt: skip
UNKNOWN = {kind: f"{kind}-00000000000000000" for kind in KINDS}
ENTRY = AclEntry(number=7, egress=False, allow=True, protocol="-1", cidr=ANYWHERE)
SSH = RuleSpec(egress=False, protocol="tcp", from_port=22, to_port=22, cidr=ANYWHERE)


def from_group(name: str) -> RuleSpec:
    return RuleSpec(egress=False, protocol="tcp", from_port=22, to_port=22, peer_group=name)


def nic(**parameters: Any) -> NicRequest:
    return NicRequest(**parameters)


# Ids that begin with "my" are the caller's own, whoever the others belong to.
BY_ID: Mapping[str, Callable[[Ids], Any]] = {
    "DeleteVpc": lambda ids: DeleteVpc(vpc_id=ids["vpc"]),
    "ModifyVpc": lambda ids: ModifyVpc(vpc_id=ids["vpc"], dns_hostnames=True),
    "ModifyVpc options": lambda ids: ModifyVpc(vpc_id=ids["my vpc"], dhcp_options_id=ids["dopt"]),
    "AssociateCidr": lambda ids: AssociateCidr(vpc_id=ids["vpc"], cidr="10.9.0.0/16"),
    "DisassociateCidr": lambda ids: DisassociateCidr(association_id=ids["vpc-cidr-assoc"]),
    "CreateSubnet": lambda ids: CreateSubnet(vpc_id=ids["vpc"], cidr="10.0.99.0/24"),
    "DeleteSubnet": lambda ids: DeleteSubnet(subnet_id=ids["subnet"]),
    "ModifySubnet": lambda ids: ModifySubnet(subnet_id=ids["subnet"], up=False),
    "CreateRouteTable": lambda ids: CreateRouteTable(vpc_id=ids["vpc"]),
    "DeleteRouteTable": lambda ids: DeleteRouteTable(route_table_id=ids["rtb"]),
    "AssociateRouteTable": lambda ids: AssociateRouteTable(
        route_table_id=ids["rtb"], subnet_id=ids["my subnet"]
    ),
    "AssociateRouteTable subnet": lambda ids: AssociateRouteTable(
        route_table_id=ids["my rtb"], subnet_id=ids["subnet"]
    ),
    "DisassociateRouteTable": lambda ids: DisassociateRouteTable(association_id=ids["rtbassoc"]),
    "ReplaceRouteTableAssociation": lambda ids: ReplaceRouteTableAssociation(
        association_id=ids["rtbassoc"], route_table_id=ids["my rtb"]
    ),
    "ReplaceRouteTableAssociation table": lambda ids: ReplaceRouteTableAssociation(
        association_id=ids["my rtbassoc"], route_table_id=ids["rtb"]
    ),
    "PutRoute": lambda ids: PutRoute(
        route_table_id=ids["rtb"], destination=ANYWHERE, target=ids["my igw"], replace=True
    ),
    **{
        f"PutRoute {kind}": lambda ids, kind=kind: PutRoute(
            route_table_id=ids["my rtb"], destination="8.8.8.0/24", target=ids[kind]
        )
        for kind in ("igw", "nat", "eni", "i")
    },
    "DeleteRoute": lambda ids: DeleteRoute(route_table_id=ids["rtb"], destination=ANYWHERE),
    "DeleteInternetGateway": lambda ids: DeleteInternetGateway(gateway_id=ids["igw"]),
    "AttachInternetGateway": lambda ids: AttachInternetGateway(gateway_id=ids["igw"], vpc_id=ids["my vpc"]),
    "AttachInternetGateway vpc": lambda ids: AttachInternetGateway(
        gateway_id=ids["my spare igw"], vpc_id=ids["vpc"]
    ),
    "DetachInternetGateway": lambda ids: DetachInternetGateway(gateway_id=ids["igw"], vpc_id=ids["vpc"]),
    "DetachInternetGateway vpc": lambda ids: DetachInternetGateway(
        gateway_id=ids["my igw"], vpc_id=ids["vpc"]
    ),
    "CreateNatGateway": lambda ids: CreateNatGateway(
        subnet_id=ids["subnet"], allocation_id=ids["my eipalloc"]
    ),
    "CreateNatGateway address": lambda ids: CreateNatGateway(
        subnet_id=ids["my subnet"], allocation_id=ids["eipalloc"]
    ),
    "DeleteNatGateway": lambda ids: DeleteNatGateway(nat_gateway_id=ids["nat"]),
    "DeleteDhcpOptions": lambda ids: DeleteDhcpOptions(dhcp_options_id=ids["dopt"]),
    "CreateNetworkAcl": lambda ids: CreateNetworkAcl(vpc_id=ids["vpc"]),
    "DeleteNetworkAcl": lambda ids: DeleteNetworkAcl(acl_id=ids["acl"]),
    "PutAclEntry": lambda ids: PutAclEntry(acl_id=ids["acl"], entry=ENTRY),
    "PutAclEntry replace": lambda ids: PutAclEntry(acl_id=ids["acl"], entry=ENTRY, replace=True),
    "DeleteAclEntry": lambda ids: DeleteAclEntry(acl_id=ids["acl"], number=100, egress=True),
    "ReplaceAclAssociation": lambda ids: ReplaceAclAssociation(
        association_id=ids["aclassoc"], acl_id=ids["my acl"]
    ),
    "ReplaceAclAssociation acl": lambda ids: ReplaceAclAssociation(
        association_id=ids["my aclassoc"], acl_id=ids["acl"]
    ),
    "CreateSecurityGroup": lambda ids: CreateSecurityGroup(name="new", description="", vpc_id=ids["vpc"]),
    "CreateSecurityGroup rules": lambda ids: CreateSecurityGroup(
        name="new", description="", rules=(from_group(ids["sg"]),)
    ),
    "DeleteSecurityGroup": lambda ids: DeleteSecurityGroup(group_id=ids["sg"]),
    "AuthorizeRules": lambda ids: AuthorizeRules(group_id=ids["sg"], rules=(SSH,)),
    "AuthorizeRules peer": lambda ids: AuthorizeRules(
        group_id=ids["my sg"], rules=(SSH, from_group(ids["sg"]))
    ),
    "RevokeRules": lambda ids: RevokeRules(group_id=ids["sg"], egress=False, rule_ids=(ids["sgr"],)),
    "RevokeRules peer": lambda ids: RevokeRules(
        group_id=ids["my sg"], egress=False, rules=(from_group(ids["sg"]),)
    ),
    "RevokeRules by id": lambda ids: RevokeRules(group_id=ids["my sg"], egress=False, rule_ids=(ids["sgr"],)),
    "ModifyRules": lambda ids: ModifyRules(group_id=ids["sg"], changes=((ids["sgr"], SSH),)),
    "ModifyRules rule": lambda ids: ModifyRules(group_id=ids["my sg"], changes=((ids["sgr"], SSH),)),
    "ModifyRules peer": lambda ids: ModifyRules(
        group_id=ids["my sg"], changes=((ids["my sgr"], from_group(ids["sg"])),)
    ),
    "DescribeRules": lambda ids: DescribeRules(
        group_id=ids["sg"], egress=False, descriptions=((ids["sgr"], "x"),)
    ),
    "DescribeRules by id": lambda ids: DescribeRules(
        group_id=ids["my sg"], egress=False, descriptions=((ids["sgr"], "x"),)
    ),
    "ModifySecurityGroup": lambda ids: ModifySecurityGroup(group_id=ids["sg"], rules=()),
    "ModifySecurityGroup peer": lambda ids: ModifySecurityGroup(
        group_id=ids["my sg"], rules=(from_group(ids["sg"]),)
    ),
    "CreateNic": lambda ids: CreateNic(nic=nic(subnet_id=ids["subnet"])),
    "CreateNic address": lambda ids: CreateNic(nic=nic(subnet_id=ids["subnet"], address="10.0.0.9")),
    "CreateNic group": lambda ids: CreateNic(nic=nic(subnet_id=ids["my subnet"], groups=(ids["sg"],))),
    "DeleteNic": lambda ids: DeleteNic(nic_id=ids["eni"]),
    "AttachNic": lambda ids: AttachNic(nic_id=ids["eni"], instance_id=ids["my i"]),
    "AttachNic instance": lambda ids: AttachNic(nic_id=ids["my spare eni"], instance_id=ids["i"]),
    "DetachNic": lambda ids: DetachNic(nic_id=ids["eni"]),
    "DetachNic attachment": lambda ids: DetachNic(attachment_id=ids["eni-attach"]),
    "ModifyNic": lambda ids: ModifyNic(nic_id=ids["eni"], up=False),
    "ModifyNic groups": lambda ids: ModifyNic(nic_id=ids["my eni"], groups=(ids["my sg"], ids["sg"])),
    "ModifyNic join": lambda ids: ModifyNic(nic_id=ids["my eni"], join=(ids["sg"],)),
    "AssignAddresses": lambda ids: AssignAddresses(nic_id=ids["eni"], count=1),
    "UnassignAddresses": lambda ids: UnassignAddresses(nic_id=ids["eni"], addresses=("10.0.0.9",)),
    "AssociateAddress": lambda ids: AssociateAddress(allocation_id=ids["eipalloc"], nic_id=ids["my eni"]),
    "AssociateAddress nic": lambda ids: AssociateAddress(allocation_id=ids["my eipalloc"], nic_id=ids["eni"]),
    "AssociateAddress instance": lambda ids: AssociateAddress(
        allocation_id=ids["my eipalloc"], instance_id=ids["i"]
    ),
    "DisassociateAddress": lambda ids: DisassociateAddress(association_id=ids["eipassoc"]),
    "ReleaseAddress": lambda ids: ReleaseAddress(allocation_id=ids["eipalloc"]),
    "ModifyAddress": lambda ids: ModifyAddress(allocation_id=ids["eipalloc"], up=False),
    "ModifyMetadataOptions": lambda ids: ModifyMetadataOptions(
        instance_id=ids["i"], options=MetadataOptions()
    ),
    "Launch subnet": lambda ids: Launch(image_id=ids["my ami"], subnet_id=ids["subnet"]),
    "Launch address": lambda ids: Launch(image_id=ids["my ami"], subnet_id=ids["subnet"], address="10.0.0.9"),
    "Launch group": lambda ids: Launch(image_id=ids["my ami"], groups=(ids["sg"],)),
    "Launch nic": lambda ids: Launch(image_id=ids["my ami"], nics=(nic(nic_id=ids["eni"]),)),
    "Launch new nic": lambda ids: Launch(image_id=ids["my ami"], nics=(nic(subnet_id=ids["subnet"]),)),
    "Launch second nic": lambda ids: Launch(
        image_id=ids["my ami"], nics=(nic(subnet_id=ids["my subnet"]), nic(index=1, nic_id=ids["eni"]))
    ),
    "Launch group of a nic": lambda ids: Launch(
        image_id=ids["my ami"], nics=(nic(subnet_id=ids["my subnet"], groups=(ids["sg"],)),)
    ),
}
WITHOUT_IDS = {
    "CreateVpc",
    "CreateDefaultVpc",
    "CreateInternetGateway",
    "CreateDhcpOptions",
    "AllocateAddress",
}
NOUNS = (
    Vpc, Subnet, RouteTable, InternetGateway, NatGateway, DhcpOptions, NetworkAcl, SecurityGroup, Nic,
    PublicAddress,
)  # fmt: skip


def things(cloud: Cloud, caller: Any) -> dict[str, str]:
    """One of everything that a tenant can have, all in use, by kind."""
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"), caller)
    do(cloud, AssociateCidr(vpc_id=vpc.id, cidr="10.1.0.0/16"), caller)
    vpc = cloud.engine.networks.one(caller, Vpc, vpc.id)
    subnet = do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/24", zone="us-east-1a"), caller)
    table = do(cloud, CreateRouteTable(vpc_id=vpc.id), caller)
    used = do(cloud, AssociateRouteTable(route_table_id=table.id, subnet_id=subnet.id), caller)
    gateway = do(cloud, CreateInternetGateway(), caller)
    do(cloud, AttachInternetGateway(gateway_id=gateway.id, vpc_id=vpc.id), caller)
    do(cloud, PutRoute(route_table_id=table.id, destination=ANYWHERE, target=gateway.id), caller)
    held, linked = (do(cloud, AllocateAddress(), caller) for _ in range(2))
    nat = do(cloud, CreateNatGateway(subnet_id=subnet.id, allocation_id=held.id), caller)
    options = do(cloud, CreateDhcpOptions(options=(("domain-name", ("example.org",)),)), caller)
    group = do(cloud, CreateSecurityGroup(name="web", description="", vpc_id=vpc.id), caller)
    [rule] = do(cloud, AuthorizeRules(group_id=group.id, rules=(SSH,)), caller)
    instance = cloud.started(caller, nics=(NicRequest(subnet_id=subnet.id, groups=(group.id,)),))
    mine = do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet.id)), caller)
    do(cloud, AttachNic(nic_id=mine.id, instance_id=instance.id), caller)
    cloud.settle()
    attached = cloud.engine.networks.one(caller, Nic, mine.id)
    led = do(cloud, AssociateAddress(allocation_id=linked.id, nic_id=mine.id), caller)
    return {
        "vpc": vpc.id, "subnet": subnet.id, "rtb": table.id, "rtbassoc": used.id, "igw": gateway.id,
        "nat": nat.id, "dopt": options.id, "acl": subnet.acl_id, "aclassoc": subnet.acl_association_id,
        "sg": group.id, "sgr": rule.id, "eni": mine.id, "eni-attach": attached.attachment_id,
        "eipalloc": linked.id, "eipassoc": led.association_id,
        "vpc-cidr-assoc": vpc.blocks[0].association_id, "i": instance.id,
    }  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> tuple[Cloud, dict[str, str], dict[str, str]]:
    """Bob's things, which Ann may not know of, and hers; nothing here changes either."""
    cloud = network_cloud()
    theirs, mine = things(cloud, cloud.other), things(cloud, cloud.caller)
    assert set(theirs) == set(KINDS)
    spare = do(cloud, CreateInternetGateway())
    unplugged = do(cloud, CreateNic(nic=NicRequest(subnet_id=mine["subnet"])))
    own = {f"my {kind}": identity for kind, identity in mine.items()}
    return (
        cloud,
        theirs,
        own | {"my ami": cloud.image.id, "my spare igw": spare.id, "my spare eni": unplugged.id},
    )


@pytest.mark.parametrize("name", BY_ID)
def test_a_foreign_id_is_answered_like_an_unknown_one(shared, name):
    cloud, theirs, mine = shared
    before = cloud._standing()

    def answer(ids):
        with pytest.raises(BackendError) as refused:
            do(cloud, BY_ID[name](ids | mine))
        text = f"{refused.value.message} {sorted(refused.value.context.items())}"
        for kind in sorted(ids, key=len, reverse=True):
            text = text.replace(ids[kind], kind)
        return (refused.value.code, text)

    foreign = answer(theirs)
    assert foreign == answer(UNKNOWN)
    assert foreign[0].value.endswith(("not_found", "not_attached", "none")), foreign
    assert cloud._standing() == before


def test_every_command_about_networks_is_covered_above():
    covered = {name.split()[0] for name in BY_ID} - {"Launch"}
    assert not covered & WITHOUT_IDS
    assert covered | WITHOUT_IDS == {kind.__name__ for kind in ALL}


def test_every_field_that_names_something_is_covered_above(shared):
    """A command that gets a further id gets a further line above."""
    _, theirs, mine = shared
    kinds = {kind.__name__: kind for kind in ALL}
    named = {
        (name.split()[0], field)
        for name, make in BY_ID.items()
        for command in [make(theirs | mine)]
        for field in command.__struct_fields__
        if any(identity in repr(getattr(command, field)) for identity in theirs.values())
    }
    for kind in kinds.values():
        for field in kind.__struct_fields__:
            if field.endswith("_id"):
                assert (kind.__name__, field) in named, (kind.__name__, field)


@pytest.mark.parametrize("kind", NOUNS)
def test_listings_show_a_tenants_own(shared, kind):
    cloud, theirs, _ = shared
    for caller, tenant in ((cloud.caller, cloud.tenant), (cloud.other, cloud.other_tenant)):
        found = cloud.engine.networks.all(caller, kind)
        assert found
        assert {each.tenant_id for each in found} == {tenant.id}
    [foreign] = [each for each in cloud.engine.networks.all(cloud.other, kind) if each.id in theirs.values()][
        :1
    ]
    unknown = f"{foreign.id.rpartition('-')[0]}-00000000000000000"
    for identity in (foreign.id, unknown):
        with pytest.raises(BackendError) as refused:
            cloud.engine.networks.one(cloud.caller, kind, identity)
        assert (refused.value.code, refused.value.context["ids"]) == (
            Code.RESOURCE_NOT_FOUND, (identity,),
        )  # fmt: skip


def test_rules_shown_are_those_of_ones_own_groups(shared):
    cloud, theirs, mine = shared
    shown = {rule.id for rule in cloud.engine.networks.rules(cloud.caller)}
    assert mine["my sgr"] in shown
    assert theirs["sgr"] not in shown


def test_what_is_of_another_region_is_not_of_this_one(shared):
    cloud, _, mine = shared
    elsewhere = msgspec.structs.replace(cloud.caller, region="eu-1")
    for kind, prefix in ((Vpc, "my vpc"), (Nic, "my eni"), (SecurityGroup, "my sg")):
        with pytest.raises(BackendError) as refused:
            cloud.engine.networks.one(elsewhere, kind, mine[prefix])
        assert refused.value.code is Code.RESOURCE_NOT_FOUND


def test_a_group_of_another_tenant_is_not_reached_by_name():
    cloud = network_cloud()
    do(cloud, CreateSecurityGroup(name="theirs", description=""), cloud.other)
    with pytest.raises(BackendError) as refused:
        do(cloud, AuthorizeRules(group_id=default_group(cloud).id, rules=(from_group("theirs"),)))
    assert refused.value.code is Code.GROUP_NOT_FOUND


def test_an_address_that_another_tenant_has_in_its_own_network_is_free_here():
    cloud = network_cloud()
    first = cloud.started(address=subnet_in(cloud).address(9))
    second = cloud.started(cloud.other, address=subnet_in(cloud, caller=cloud.other).address(9))
    assert (first.address, first.mac) == (second.address, second.mac)
    assert first.subnet_id != second.subnet_id
    assert nics_of(cloud, first)[0].groups != nics_of(cloud, second)[0].groups
    cloud.do(Op.TERMINATE, first)
    assert nics_of(cloud, second)
