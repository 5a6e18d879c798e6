"""VPCs and subnets in the engine: ranges, what a VPC is made with, and what the network is told to follow."""

from __future__ import annotations

import msgspec
import pytest
from network_cloud import do, everything, infra_of, network_cloud, refusal, told
from simulation import ADMIN, NETWORK, Cloud

from backend.commands import CreateTenant, Launch, NicRequest
from backend.engine import EngineSettings
from backend.engine.cidrs import left_of, network_of
from backend.errors import BackendError, Code
from backend.model import Api
from backend.network_commands import (
    AssociateCidr,
    CreateDhcpOptions,
    CreateNic,
    CreateSubnet,
    CreateVpc,
    DeleteDhcpOptions,
    DeleteNetworkAcl,
    DeleteSubnet,
    DeleteVpc,
    DisassociateCidr,
    ModifySubnet,
    ModifyVpc,
    PutRoute,
)
from backend.network_model import (
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


# Ranges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [("10.1.2.3/16", "10.1.0.0/16"), ("10.0.0.0/0", "0.0.0.0/0"), ("1.2.3.4/32", "1.2.3.4/32")],
)
def test_bits_of_the_host_are_cut_off(text, normal):
    assert str(network_of(text)) == normal


@pytest.mark.parametrize(
    "text", ["", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/255.0.0.0"]
)
def test_what_is_no_cidr(text):
    with pytest.raises(BackendError) as refused:
        network_of(text)
    assert (refused.value.code, refused.value.context["value"]) == (Code.PARAMETER_INVALID, text)


def test_what_others_leave_of_a_range():
    taken = [network_of(text) for text in ("10.0.0.0/18", "10.0.192.0/19", "10.9.0.0/16")]
    assert [str(each) for each in left_of(network_of("10.0.0.0/16"), taken)] == [
        "10.0.64.0/18",
        "10.0.128.0/18",
        "10.0.224.0/19",
    ]
    assert left_of(network_of("10.0.0.0/24"), [network_of("10.0.0.0/8")]) == []


def test_a_subnet_without_a_range_takes_the_next_free_one(cloud):
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/18"))
    chosen = [do(cloud, CreateSubnet(vpc_id=vpc.id)).cidr for _ in range(2)]
    assert chosen == ["10.0.0.0/20", "10.0.16.0/20"]
    do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.40.0/21"))
    assert do(cloud, CreateSubnet(vpc_id=vpc.id)).cidr == "10.0.48.0/20"
    assert do(cloud, CreateSubnet(vpc_id=vpc.id)).cidr == "10.0.32.0/21"  # the largest that is left
    assert refusal(cloud, CreateSubnet(vpc_id=vpc.id)).code is Code.ADDRESSES_EXHAUSTED
    do(cloud, AssociateCidr(vpc_id=vpc.id, cidr="10.7.0.0/24"))
    assert do(cloud, CreateSubnet(vpc_id=vpc.id)).cidr == "10.7.0.0/24"


def test_a_network_without_a_vpc_is_in_the_default_one(cloud):
    (default,) = everything(cloud, Vpc)
    made = do(cloud, CreateSubnet(label="blue", vlan=7, summary="mine", tags=(("a", "b"),)))
    assert (made.vpc_id, made.cidr, made.zone) == (default.id, "172.31.32.0/20", "us-east-1a")
    assert (made.label, made.vlan, made.summary, made.default) == ("blue", 7, "mine", False)
    assert cloud.engine.tags_of([made.id])[made.id] == {"a": "b"}
    changed = do(cloud, ModifySubnet(subnet_id=made.id, label="red", vlan=8, up=False))
    assert (changed.label, changed.vlan, changed.up, changed.summary) == ("red", 8, False, "mine")
    assert refusal(cloud, ModifySubnet(subnet_id=made.id, vlan=4096)).code is Code.PARAMETER_INVALID
    assert refusal(cloud, CreateSubnet(vlan=-1)).code is Code.PARAMETER_INVALID
    assert refusal(cloud, CreateNic(nic=NicRequest(subnet_id=made.id))).code is Code.NETWORK_DOWN


@pytest.mark.parametrize(
    ("block", "zones", "expected"),
    [
        ("10.0.0.0/16", 2, ["10.0.0.0/20", "10.0.16.0/20"]),
        ("10.0.0.0/24", 2, ["10.0.0.0/28", "10.0.0.16/28"]),
        ("10.0.0.0/16", 20, [f"10.0.{8 * number}.0/21" for number in range(20)]),
        ("10.0.0.0/28", 2, ["10.0.0.0/28"]),
    ],
)
def test_the_default_vpc_is_shared_out_among_the_zones(block, zones, expected):
    names = tuple(f"us-east-1{chr(ord('a') + number)}" for number in range(zones))
    network = msgspec.structs.replace(NETWORK, default_vpc=block)
    cloud = Cloud(settings=EngineSettings(zones={"us-east-1": names}, network=network))
    found = sorted(everything(cloud, Subnet), key=lambda each: each.network)
    assert [each.cidr for each in found] == expected
    assert [each.zone for each in found] == list(names[: len(expected)])


def test_each_region_has_a_default_vpc():
    zones = {"us-east-1": ("us-east-1a",), "eu-west-1": ("eu-west-1a", "eu-west-1b")}
    cloud = Cloud(settings=EngineSettings(zones=zones, network=NETWORK))
    tenant = cloud.engine.execute(ADMIN, CreateTenant(name="gamma"))
    caller = msgspec.structs.replace(cloud.caller, tenant_id=tenant.id, account_id=tenant.account_id)
    for region, names in zones.items():
        there = msgspec.structs.replace(caller, region=region)
        (vpc,) = everything(cloud, Vpc, there)
        assert (vpc.default, vpc.tenant_id, vpc.account_id) == (True, tenant.id, tenant.account_id)
        subnets = everything(cloud, Subnet, there)
        assert {each.zone for each in subnets} == set(names)


# What a VPC is made with --------------------------------------------------------------------------------


def test_a_vpc_leaves_nothing_behind(cloud):
    kinds = (Vpc, Subnet, RouteTable, NetworkAcl, SecurityGroup, InternetGateway, DhcpOptions)
    before = {kind: everything(cloud, kind) for kind in kinds}
    vpc, scopes = told(cloud, CreateVpc(cidr="10.0.0.0/16", tags=(("a", "b"),)))
    (group,) = [each for each in everything(cloud, SecurityGroup) if each.vpc_id == vpc.id]
    assert scopes == {vpc.id, group.id}
    assert infra_of(cloud, vpc.id) is not None
    (acl,) = [each for each in everything(cloud, NetworkAcl) if each.vpc_id == vpc.id]
    assert refusal(cloud, DeleteNetworkAcl(acl_id=acl.id)).code is Code.PARAMETER_INVALID
    _, scopes = told(cloud, DeleteVpc(vpc_id=vpc.id))
    assert scopes == {vpc.id, group.id}
    assert infra_of(cloud, vpc.id) is None
    assert {kind: everything(cloud, kind) for kind in kinds} == before
    assert cloud.engine.tags_of([vpc.id]) == {}


def test_what_is_in_a_vpc_belongs_to_its_owner(cloud):
    (vpc,) = everything(cloud, Vpc)
    caller = msgspec.structs.replace(ADMIN, api=Api.CLI)
    made = do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="172.31.128.0/24"), caller)
    assert (made.tenant_id, made.account_id, made.region) == (vpc.tenant_id, vpc.account_id, vpc.region)


def test_the_network_follows_what_is_drawn(cloud):
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    subnet, scopes = told(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/24"))
    assert scopes == {vpc.id, subnet.id}
    options = do(cloud, CreateDhcpOptions(options=(("domain-name", ("example.com",)),)))
    _, scopes = told(cloud, ModifyVpc(vpc_id=vpc.id, dhcp_options_id=options.id))
    assert scopes == {vpc.id, subnet.id}
    assert refusal(cloud, DeleteDhcpOptions(dhcp_options_id=options.id)).code is Code.DEPENDENCY
    _, scopes = told(cloud, ModifyVpc(vpc_id=vpc.id, summary="only words", dhcp_options_id=options.id))
    assert scopes == set()
    _, scopes = told(cloud, AssociateCidr(vpc_id=vpc.id, cidr="10.1.0.0/16"))
    assert scopes == {vpc.id}
    _, scopes = told(cloud, ModifySubnet(subnet_id=subnet.id, map_public_ip=True))
    assert scopes == set()
    _, scopes = told(cloud, ModifySubnet(subnet_id=subnet.id, up=False))
    assert scopes == {subnet.id}
    _, scopes = told(cloud, DeleteSubnet(subnet_id=subnet.id))
    assert scopes == {vpc.id, subnet.id}
    refusal(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.9.0.0/24"))


def test_names_of_instances_follow_their_vpc(cloud):
    (vpc,) = everything(cloud, Vpc)
    (instance,) = cloud.launch()
    before = cloud.get(instance.id).version
    do(cloud, ModifyVpc(vpc_id=vpc.id, summary="words"))
    assert cloud.get(instance.id).version == before
    do(cloud, ModifyVpc(vpc_id=vpc.id, dns_hostnames=False))
    assert cloud.get(instance.id).version == before + 1


def test_a_block_is_not_taken_from_under_a_subnet_or_a_route(cloud):
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    (table,) = [each for each in everything(cloud, RouteTable) if each.vpc_id == vpc.id]
    subnet = do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/24"))
    nic = do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet.id)))
    route = PutRoute(route_table_id=table.id, destination="192.168.7.0/24", target=nic.id)
    do(cloud, route)
    assert refusal(cloud, AssociateCidr(vpc_id=vpc.id, cidr="192.168.0.0/16")).code is Code.VPC_RANGE
    larger = do(cloud, AssociateCidr(vpc_id=vpc.id, cidr="192.168.7.128/25"))
    assert larger.cidrs == ("10.0.0.0/16", "192.168.7.128/25")  # more specific than the route
    assert refusal(cloud, DisassociateCidr(association_id="")).code is Code.RESOURCE_NOT_FOUND
    primary = DisassociateCidr(association_id=vpc.association_id)
    assert refusal(cloud, primary).code is Code.CIDR_IS_PRIMARY


def test_a_launch_fits_into_the_smallest_subnet(cloud):
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/28"))
    subnet = do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/28"))
    launch = Launch(image_id=cloud.image.id, subnet_id=subnet.id, minimum=1, maximum=20)
    launched = do(cloud, launch).instances
    assert {each.address for each in launched} == {f"10.0.0.{number}" for number in range(4, 15)}
    assert refusal(cloud, DeleteSubnet(subnet_id=subnet.id)).code is Code.DEPENDENCY
