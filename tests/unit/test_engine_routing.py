"""Route tables, gateways, network ACLs and DHCP options in the engine: what the network is told to follow."""

from __future__ import annotations

import pytest
from network_cloud import do, everything, infra_of, network_cloud, refusal, told
from simulation import Cloud, Op

from backend.commands import NicRequest, Operate
from backend.engine.network_limits import Limit
from backend.errors import Code
from backend.network_commands import (
    AllocateAddress,
    AssociateAddress,
    AssociateRouteTable,
    AttachInternetGateway,
    CreateInternetGateway,
    CreateNatGateway,
    CreateNetworkAcl,
    CreateNic,
    CreateRouteTable,
    CreateSubnet,
    CreateVpc,
    DeleteAclEntry,
    DeleteInternetGateway,
    DeleteNatGateway,
    DeleteNic,
    DeleteRoute,
    DetachInternetGateway,
    DisassociateAddress,
    DisassociateRouteTable,
    ModifySubnet,
    PutAclEntry,
    PutRoute,
    ReleaseAddress,
    ReplaceAclAssociation,
    ReplaceRouteTableAssociation,
)
from backend.network_model import (
    ANYWHERE,
    AclEntry,
    NatGateway,
    NatState,
    NetworkAcl,
    Nic,
    RouteTable,
    Subnet,
    Vpc,
)
from ec2.refusals import from_backend


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


@pytest.fixture
def vpc(cloud) -> Vpc:
    made: Vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    return made


@pytest.fixture
def subnet(cloud, vpc) -> Subnet:
    made: Subnet = do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.1.0/24"))
    return made


@pytest.fixture
def table(cloud, vpc) -> RouteTable:
    made: RouteTable = do(cloud, CreateRouteTable(vpc_id=vpc.id))
    return made


@pytest.fixture
def gateway(cloud, vpc):
    made = do(cloud, CreateInternetGateway())
    return do(cloud, AttachInternetGateway(gateway_id=made.id, vpc_id=vpc.id))


def entry(number: int, **more) -> AclEntry:
    given = {"egress": False, "allow": True, "protocol": "-1", "cidr": ANYWHERE} | more
    return AclEntry(number=number, **given)


# Route tables -------------------------------------------------------------------------------------------


def test_the_router_follows_its_tables(cloud, vpc, subnet, table, gateway):
    topology = cloud.engine.networks.topology()
    assert topology.table_of(subnet).main
    made, scopes = told(cloud, AssociateRouteTable(route_table_id=table.id, subnet_id=subnet.id))
    assert (scopes, made.subnet_id) == ({vpc.id}, subnet.id)
    again, scopes = told(cloud, AssociateRouteTable(route_table_id=table.id, subnet_id=subnet.id))
    assert (scopes, again) == (set(), made)
    route = PutRoute(route_table_id=table.id, destination="9.9.9.9/8", target=gateway.id)
    changed, scopes = told(cloud, route)
    assert (scopes, [each.destination for each in changed.routes]) == ({vpc.id}, ["9.0.0.0/8"])
    topology = cloud.engine.networks.topology()
    assert topology.table_of(topology.subnets[subnet.id]).id == table.id
    _, scopes = told(cloud, DeleteRoute(route_table_id=table.id, destination="9.0.0.0/8"))
    assert scopes == {vpc.id}
    _, scopes = told(cloud, DisassociateRouteTable(association_id=made.id))
    assert scopes == {vpc.id}
    (old,) = [each for each in everything(cloud, RouteTable) if each.vpc_id == vpc.id and each.main]
    main = ReplaceRouteTableAssociation(association_id=old.main_association_id, route_table_id=table.id)
    replaced, scopes = told(cloud, main)
    assert scopes == {vpc.id}
    assert cloud.engine.networks.one(cloud.caller, RouteTable, table.id).main_association_id == replaced.id
    assert sum(each.main for each in everything(cloud, RouteTable) if each.vpc_id == vpc.id) == 1


def test_a_route_to_an_interface_that_goes_stays(cloud, vpc, subnet, table):
    nic = do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet.id)))
    do(cloud, PutRoute(route_table_id=table.id, destination=ANYWHERE, target=nic.id))
    _, scopes = told(cloud, DeleteNic(nic_id=nic.id))
    assert vpc.id in scopes
    (route,) = cloud.engine.networks.one(cloud.caller, RouteTable, table.id).routes
    assert route.target == nic.id
    replace = PutRoute(route_table_id=table.id, destination=ANYWHERE, target=nic.id, replace=True)
    assert refusal(cloud, replace).code is Code.RESOURCE_NOT_FOUND


def test_an_instance_with_two_interfaces_is_no_target(cloud, vpc, subnet, table):
    (instance,) = cloud.launch(subnet_id=subnet.id)
    route = PutRoute(route_table_id=table.id, destination=ANYWHERE, target=instance.id)
    made = do(cloud, route)
    (nic,) = [each for each in everything(cloud, Nic) if each.instance_id == instance.id]
    assert [(each.target, each.instance_id) for each in made.routes] == [(nic.id, instance.id)]
    other = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    elsewhere = do(cloud, CreateRouteTable(vpc_id=other.id))
    far = PutRoute(route_table_id=elsewhere.id, destination=ANYWHERE, target=instance.id)
    assert refusal(cloud, far).code is Code.PARAMETER_INVALID
    unknown = PutRoute(route_table_id=table.id, destination="9.0.0.0/8", target="pcx-0")
    assert refusal(cloud, unknown).code is Code.RESOURCE_NOT_FOUND


# Gateways -----------------------------------------------------------------------------------------------


def test_the_router_follows_its_gateway(cloud, vpc):
    made, scopes = told(cloud, CreateInternetGateway())
    assert scopes == set()
    assert infra_of(cloud, made.id) is not None
    _, scopes = told(cloud, AttachInternetGateway(gateway_id=made.id, vpc_id=vpc.id))
    assert scopes == {vpc.id}
    _, scopes = told(cloud, DetachInternetGateway(gateway_id=made.id, vpc_id=vpc.id))
    assert scopes == {vpc.id}
    do(cloud, DeleteInternetGateway(gateway_id=made.id))
    assert infra_of(cloud, made.id) is None


def test_a_lent_address_keeps_the_gateway_too(cloud):
    (vpc,) = everything(cloud, Vpc)
    (instance,) = cloud.launch()
    gateway = cloud.engine.networks.topology().gateway_of(vpc.id)
    detach = DetachInternetGateway(gateway_id=gateway.id, vpc_id=vpc.id)
    assert refusal(cloud, detach).code is Code.DEPENDENCY
    cloud.settle()
    do(cloud, Operate(op=Op.TERMINATE, ids=(instance.id,)))
    cloud.settle()
    do(cloud, detach)


def test_a_nat_gateway_holds_an_address_and_an_interface(cloud, vpc, subnet, gateway):
    address = do(cloud, AllocateAddress())
    made, scopes = told(cloud, CreateNatGateway(subnet_id=subnet.id, allocation_id=address.id))
    assert vpc.id in scopes
    (nic,) = [each for each in everything(cloud, Nic) if each.id == made.nic_id]
    assert (nic.requester, nic.instance_id, nic.address) == ("nat", None, made.private_ip)
    assert refusal(cloud, DeleteNic(nic_id=nic.id)).code is Code.NIC_NOT_YOURS
    (public,) = cloud.engine.networks.public_of([nic.id])[nic.id]
    assert (public.id, public.private_ip, made.public_ip) == (address.id, made.private_ip, address.ip)
    moved = AssociateAddress(allocation_id=address.id, nic_id=nic.id)
    assert refusal(cloud, moved).code is Code.NIC_NOT_YOURS
    apart = DisassociateAddress(association_id=public.association_id)
    assert refusal(cloud, apart).code is Code.NIC_NOT_YOURS
    gone, scopes = told(cloud, DeleteNatGateway(nat_gateway_id=made.id))
    assert (gone.state, {vpc.id, nic.id} <= scopes) == (NatState.DELETED, True)
    assert do(cloud, DeleteNatGateway(nat_gateway_id=made.id)) == gone
    assert cloud.engine.networks.held([subnet.id]) == {}
    do(cloud, ReleaseAddress(allocation_id=address.id))
    do(cloud, DetachInternetGateway(gateway_id=gateway.id, vpc_id=vpc.id))


def test_a_deleted_nat_gateway_is_shown_for_an_hour(cloud, subnet):
    address = do(cloud, AllocateAddress())
    nat = CreateNatGateway(subnet_id=subnet.id, allocation_id=address.id, tags=(("a", "b"),))
    made = do(cloud, nat)
    do(cloud, DeleteNatGateway(nat_gateway_id=made.id))
    cloud.clock.advance(3000)
    cloud.worker.reap()
    assert [each.state for each in everything(cloud, NatGateway)] == [NatState.DELETED]
    cloud.clock.advance(700)
    cloud.worker.reap()
    assert everything(cloud, NatGateway) == []
    assert cloud.engine.tags_of([made.id]) == {}


def test_a_network_that_is_down_takes_no_nat_gateway(cloud, subnet):
    do(cloud, ModifySubnet(subnet_id=subnet.id, up=False))
    address = do(cloud, AllocateAddress())
    nat = CreateNatGateway(subnet_id=subnet.id, allocation_id=address.id)
    assert refusal(cloud, nat).code is Code.NETWORK_DOWN


# Network ACLs -------------------------------------------------------------------------------------------


def test_subnets_follow_their_network_acl(cloud, vpc, subnet):
    acl, scopes = told(cloud, CreateNetworkAcl(vpc_id=vpc.id))
    assert scopes == set()
    _, scopes = told(cloud, PutAclEntry(acl_id=acl.id, entry=entry(1)))
    assert scopes == set()
    replace = ReplaceAclAssociation(association_id=subnet.acl_association_id, acl_id=acl.id)
    _, scopes = told(cloud, replace)
    assert scopes == {subnet.id}
    more = entry(2, protocol="udp", from_port=1, to_port=2, icmp_type=8, icmp_code=0, cidr="10.9.9.9/8")
    changed, scopes = told(cloud, PutAclEntry(acl_id=acl.id, entry=more))
    assert scopes == {subnet.id}
    kept = next(each for each in changed.entries if each.number == 2)
    assert kept == entry(2, protocol="17", from_port=1, to_port=2, cidr="10.0.0.0/8")
    _, scopes = told(cloud, DeleteAclEntry(acl_id=acl.id, number=2, egress=False))
    assert scopes == {subnet.id}


def test_entries_stand_in_order_and_the_last_denies(cloud, vpc):
    acl = do(cloud, CreateNetworkAcl(vpc_id=vpc.id))
    for number, egress in ((200, False), (5, True), (100, False)):
        do(cloud, PutAclEntry(acl_id=acl.id, entry=entry(number, egress=egress)))
    found = cloud.engine.networks.one(cloud.caller, NetworkAcl, acl.id).entries
    assert [(each.egress, each.number, each.allow) for each in found] == [
        (True, 5, True),
        (True, 32767, False),
        (False, 100, True),
        (False, 200, True),
        (False, 32767, False),
    ]
    last = DeleteAclEntry(acl_id=acl.id, number=32767, egress=True)
    assert refusal(cloud, last).code is Code.PARAMETER_INVALID


def test_a_router_stays_small(cloud, vpc, subnet, table, gateway, monkeypatch):
    """The numbers are AWS's; each limit has a code of its own in EC2."""
    assert [limit.value[1] for limit in Limit] == [200, 200, 1000, 200, 40, 500, 1000]
    check = Limit.check
    monkeypatch.setattr(Limit, "check", lambda limit, there: check(limit, there + limit.value[1] - 2))
    do(cloud, CreateNetworkAcl(vpc_id=vpc.id))
    acl = everything(cloud, NetworkAcl)[-1]
    for number in (1, 2):
        do(cloud, PutAclEntry(acl_id=acl.id, entry=entry(number)))
        do(cloud, PutAclEntry(acl_id=acl.id, entry=entry(number, egress=True)))
        route = PutRoute(route_table_id=table.id, destination=f"{number}.0.0.0/8", target=gateway.id)
        do(cloud, route)
    do(cloud, CreateSubnet(vpc_id=vpc.id))
    for noun, command in (
        ("Subnet", CreateSubnet(vpc_id=vpc.id)),
        ("RouteTable", CreateRouteTable(vpc_id=vpc.id)),
        ("NetworkAcl", CreateNetworkAcl(vpc_id=vpc.id)),
        ("Route", PutRoute(route_table_id=table.id, destination=ANYWHERE, target=gateway.id)),
        ("NetworkAclEntry", PutAclEntry(acl_id=acl.id, entry=entry(3))),
        ("InternetGateway", CreateInternetGateway()),
    ):
        found = refusal(cloud, command)
        assert found.code is Code.NETWORK_LIMIT, noun
        assert from_backend(found).code == f"{noun}LimitExceeded"
    do(cloud, PutAclEntry(acl_id=acl.id, entry=entry(2), replace=True))
