"""Ranges and tables claimed by many at once, on both databases: one gets each, the others are told why not."""

from __future__ import annotations

import pytest
from at_once import together
from simulation import Cloud

from backend.errors import BackendError, Code
from backend.network_commands import (
    AttachInternetGateway,
    CreateInternetGateway,
    CreateRouteTable,
    CreateSubnet,
    CreateVpc,
    DeleteVpc,
    PutRoute,
)
from backend.network_model import RouteTable, Subnet


@pytest.fixture
def cloud(database):
    made = Cloud(url=database)
    yield made
    made.store.close()


def codes(answers) -> list[Code]:
    assert all(isinstance(each, BackendError) for each in answers if isinstance(each, Exception)), answers
    return [each.code for each in answers if isinstance(each, BackendError)]


def test_one_of_many_gets_a_range(cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.0.0.0/16"))
    asked = ["10.0.0.0/20", "10.0.0.0/24", "10.0.8.0/21", "10.0.0.0/20"]
    answers = together(
        *(
            lambda cidr=cidr: cloud.engine.execute(cloud.caller, CreateSubnet(vpc_id=vpc.id, cidr=cidr))
            for cidr in asked
        )
    )
    found = [each for each in cloud.engine.networks.all(cloud.caller, Subnet) if each.vpc_id == vpc.id]
    assert not any(one.network.overlaps(two.network) for one in found for two in found if one.id != two.id)
    assert set(codes(answers)) <= {Code.SUBNET_CONFLICT}
    assert len(found) == len(asked) - len(codes(answers)) >= 1


def test_many_without_a_range_get_one_each(cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.0.0.0/16"))
    answers = together(*[lambda: cloud.engine.execute(cloud.caller, CreateSubnet(vpc_id=vpc.id))] * 6)
    assert {each.cidr for each in answers} == {f"10.0.{16 * number}.0/20" for number in range(6)}


def test_a_token_makes_one_table_at_once(cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.0.0.0/16"))
    command = CreateRouteTable(vpc_id=vpc.id, client_token="once")
    answers = together(*[lambda: cloud.engine.execute(cloud.caller, command)] * 4)
    assert len({each.id for each in answers}) == 1


def test_routes_of_many_all_stay(cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.0.0.0/16"))
    gateway = cloud.engine.execute(cloud.caller, CreateInternetGateway())
    cloud.engine.execute(cloud.caller, AttachInternetGateway(gateway_id=gateway.id, vpc_id=vpc.id))
    table = cloud.engine.execute(cloud.caller, CreateRouteTable(vpc_id=vpc.id))
    routes = [
        PutRoute(route_table_id=table.id, destination=f"{number}.0.0.0/8", target=gateway.id)
        for number in range(20, 28)
    ]
    answers = together(
        *(lambda command=command: cloud.engine.execute(cloud.caller, command) for command in routes)
    )
    assert codes(answers) == []
    assert len(cloud.engine.networks.one(cloud.caller, RouteTable, table.id).routes) == len(routes)


def test_a_vpc_goes_or_gets_something(cloud):
    vpc = cloud.engine.execute(cloud.caller, CreateVpc(cidr="10.0.0.0/16"))
    deeds = [
        DeleteVpc(vpc_id=vpc.id),
        CreateRouteTable(vpc_id=vpc.id),
        DeleteVpc(vpc_id=vpc.id),
        CreateSubnet(vpc_id=vpc.id),
    ]
    answers = together(*(lambda deed=deed: cloud.engine.execute(cloud.caller, deed) for deed in deeds))
    gone = answers[0] is None or answers[2] is None
    assert set(codes(answers)) <= ({Code.RESOURCE_NOT_FOUND} if gone else {Code.DEPENDENCY})
    assert len(codes(answers)) == (3 if gone else 2)
