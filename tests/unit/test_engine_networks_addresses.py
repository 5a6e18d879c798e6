"""Public addresses in the engine: elastic ones, those lent to running instances, and choosing free ones."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_cloud import network_cloud
from network_deeds import do, follows, nic_as_is, nics_of, public_of, refusal, subnet_in, told
from simulation import ADMIN, NETWORK, Cloud, Op

from backend.commands import NicRequest, SetQuota
from backend.drivers.memory import Fault
from backend.engine import EngineSettings
from backend.engine.claims import addresses_of, choose
from backend.errors import Code
from backend.model import AttachState
from backend.network_commands import (
    AllocateAddress,
    AssociateAddress,
    AttachNic,
    CreateNatGateway,
    CreateNic,
    CreateSubnet,
    DeleteNatGateway,
    DetachNic,
    DisassociateAddress,
    ModifyAddress,
    ReleaseAddress,
)
from backend.network_model import Nic, PublicAddress

POOL = set(ipaddress.IPv4Network(NETWORK.pools["public"][0]))


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


def pool_of(*texts: str) -> Cloud:
    """A cloud with these public addresses."""
    network = msgspec.structs.replace(NETWORK, pools={"public": texts} if texts else {})
    return Cloud(settings=EngineSettings(network=network))


def elastic(cloud: Cloud) -> PublicAddress:
    return do(cloud, AllocateAddress())


def as_is(cloud: Cloud, address: PublicAddress) -> PublicAddress:
    return cloud.engine.networks.one(cloud.caller, PublicAddress, address.id)


def alone(cloud: Cloud, **parameters) -> Nic:
    return do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet_in(cloud).id, **parameters)))


def lent(cloud: Cloud, instance) -> list[str]:
    return [each.ip for nic in nics_of(cloud, instance) for each in public_of(cloud, nic) if each.auto]


def led_to(cloud: Cloud, nic: Nic) -> set[tuple[str, str]]:
    """What leads to an interface in the network itself."""
    return set(cloud.network.there[nic.id][-1])


# Choosing -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 40)), min_size=1, max_size=4),
    st.integers(0, 60),
    st.sets(st.integers(0, 2100), max_size=80),
)
def test_addresses_are_chosen_once_each_and_to_the_last(spans, count, held):
    ranges, edge = [], 0
    for gap, length in spans:  # none twice, as the settings have them
        ranges.append(range(edge + gap, edge + gap + length))
        edge += gap + length
    taken = {str(ipaddress.IPv4Address(number)) for number in held}
    free = {str(ipaddress.IPv4Address(number)) for each in ranges for number in each} - taken
    chosen = choose(ranges, count, lambda some: taken & set(some))
    assert len(chosen) == len(set(chosen)) == min(count, len(free))
    assert set(chosen) <= free


def test_the_last_free_address_of_many_is_found():
    every = [range(1 << 24, (1 << 24) + 3000)]
    last = str(ipaddress.IPv4Address((1 << 24) + 2999))
    assert choose(every, 3, lambda some: set(some) - {last}) == [last]


@pytest.mark.parametrize(
    ("texts", "sizes"),
    [
        (["203.0.113.10-203.0.113.12", "10.0.0.0/30"], [3, 4]),
        ([" 10.0.0.1 - 10.0.0.1 "], [1]),
        (["10.0.0.7"], [1]),
        ([], []),
    ],
)
def test_pools_are_ranges_and_cidrs(texts, sizes):
    assert [len(each) for each in addresses_of(texts)] == sizes


@pytest.mark.parametrize("text", ["10.0.0.2-10.0.0.1", "10.0.0.1/8", "a", "", "10.0.0.0-", "fd00::/64"])
def test_what_is_no_pool(text):
    with pytest.raises(ValueError):
        addresses_of([text])


# Elastic addresses --------------------------------------------------------------------------------------


def test_an_elastic_address_is_its_owners_until_released(cloud):
    command = AllocateAddress(ip="203.0.113.7", summary="s", tags=(("a", "b"),))
    address = do(cloud, command)
    assert (address.ip, address.pool, address.auto, address.nic_id) == ("203.0.113.7", "public", False, None)
    taken = refusal(cloud, AllocateAddress(ip="203.0.113.7"), cloud.other)
    assert (taken.code, taken.context["value"]) == (Code.ADDRESS_IN_USE, "203.0.113.7")
    assert do(cloud, ModifyAddress(allocation_id=address.id, summary="t")).summary == "t"
    do(cloud, ReleaseAddress(allocation_id=address.id))
    assert refusal(cloud, ReleaseAddress(allocation_id=address.id)).code is Code.RESOURCE_NOT_FOUND
    assert do(cloud, AllocateAddress(ip="203.0.113.7"), cloud.other).tenant_id == cloud.other_tenant.id
    with cloud.store.read() as tx:
        assert tx.tags.of([address.id]) == {}


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ip": "203.0.113.64"}, Code.ADDRESS_IN_USE),
        ({"ip": "8.8.8.8"}, Code.ADDRESS_IN_USE),
        ({"ip": "nonsense"}, Code.PARAMETER_INVALID),
        ({"ip": "::1"}, Code.PARAMETER_INVALID),
        ({"pool": "none"}, Code.PARAMETER_INVALID),
    ],
)
def test_addresses_that_nobody_can_have(cloud, parameters, code):
    assert refusal(cloud, AllocateAddress(**parameters)).code is code


def test_a_pool_is_given_out_to_the_last_address_and_no_further():
    cloud = pool_of("198.51.100.1-198.51.100.3")
    assert {elastic(cloud).ip for _ in range(3)} == {f"198.51.100.{number}" for number in (1, 2, 3)}
    assert refusal(cloud, AllocateAddress()).code is Code.PUBLIC_ADDRESSES_EXHAUSTED
    assert refusal(pool_of(), AllocateAddress()).code is Code.PUBLIC_ADDRESSES_EXHAUSTED


def test_a_tenant_has_so_many_addresses_and_no_more(cloud):
    do(cloud, SetQuota(tenant_id=cloud.tenant.id, quotas={"floating_ips": 1}), ADMIN)
    cloud.started()  # what is lent counts for nobody
    elastic(cloud)
    over = refusal(cloud, AllocateAddress())
    assert (over.code, over.context["limit"], over.context["used"]) == (Code.QUOTA_ADDRESSES, 1, 1)


def test_an_address_leads_to_one_private_address_and_back(cloud):
    instance = cloud.started()
    [nic] = nics_of(cloud, instance)
    address = elastic(cloud)
    version = cloud.get(instance).version
    linked, scopes = told(cloud, AssociateAddress(allocation_id=address.id, instance_id=instance.id))
    assert (linked.nic_id, linked.private_ip) == (nic.id, nic.address)
    assert linked.association_id.startswith("eipassoc-")
    assert scopes == {nic.id}
    assert cloud.get(instance).version > version  # what is shown of it has changed
    assert public_of(cloud, nic) == (linked,)  # and what was lent went back
    again, scopes = told(cloud, AssociateAddress(allocation_id=address.id, nic_id=nic.id))
    assert (again, scopes) == (linked, set())
    used = refusal(cloud, ReleaseAddress(allocation_id=address.id))
    assert (used.code, used.context["value"]) == (Code.ADDRESS_IN_USE, address.ip)
    _, scopes = told(cloud, DisassociateAddress(association_id=linked.association_id))
    assert scopes == {nic.id}
    assert as_is(cloud, address).nic_id is None
    gone = refusal(cloud, DisassociateAddress(association_id=linked.association_id))
    assert gone.code is Code.ASSOCIATION_NOT_FOUND
    follows(cloud)


def test_an_address_moves_and_displaces_only_when_that_is_asked_for(cloud):
    here, there = alone(cloud, secondary_count=1), alone(cloud)
    first, second = elastic(cloud), elastic(cloud)
    linked = do(cloud, AssociateAddress(allocation_id=first.id, nic_id=here.id))
    kept = refusal(cloud, AssociateAddress(allocation_id=first.id, nic_id=there.id, move=False))
    assert (kept.code, kept.context["ids"]) == (Code.ALREADY_ASSOCIATED, (first.id,))
    assert linked.association_id in kept.message
    kept = refusal(cloud, AssociateAddress(allocation_id=second.id, nic_id=here.id, move=False))
    assert (kept.code, kept.context["ids"]) == (Code.ALREADY_ASSOCIATED, (first.id,))
    do(cloud, AssociateAddress(allocation_id=second.id, nic_id=here.id))
    assert as_is(cloud, first).nic_id is None
    moved, scopes = told(cloud, AssociateAddress(allocation_id=second.id, nic_id=there.id))
    assert (moved.nic_id, scopes) == (there.id, {here.id, there.id})
    more = cloud.engine.networks.leases_of([here.id])[here.id][1]
    do(cloud, AssociateAddress(allocation_id=first.id, nic_id=here.id))
    do(cloud, AssociateAddress(allocation_id=second.id, nic_id=here.id, private_ip=more))
    assert {each.private_ip for each in public_of(cloud, here)} == {here.address, more}
    follows(cloud)


def test_what_an_address_cannot_lead_to(cloud):
    instance, other, spare, address = cloud.started(), cloud.started(), alone(cloud), elastic(cloud)
    [nic] = nics_of(cloud, instance)

    def associate(**parameters):
        return refusal(cloud, AssociateAddress(allocation_id=address.id, **parameters)).code

    assert associate() is Code.PARAMETER_MISSING
    assert associate(nic_id=nic.id, private_ip="10.9.9.9") is Code.PARAMETER_INVALID
    assert associate(instance_id=instance.id, private_ip="10.9.9.9") is Code.PARAMETER_INVALID
    assert associate(nic_id=nic.id, instance_id=other.id) is Code.PARAMETER_COMBINATION
    assert associate(instance_id="i-none") is Code.INSTANCE_NOT_FOUND
    do(cloud, AttachNic(nic_id=spare.id, instance_id=instance.id))
    cloud.settle()
    assert associate(instance_id=instance.id) is Code.PARAMETER_COMBINATION
    by_address = AssociateAddress(allocation_id=address.id, instance_id=instance.id, private_ip=spare.address)
    assert do(cloud, by_address).nic_id == spare.id
    cloud.operate(Op.TERMINATE, other)
    assert associate(instance_id=other.id) in {Code.INSTANCE_WRONG_STATE, Code.INSTANCE_BUSY}


def test_an_address_that_is_down_leads_nowhere_for_a_while(cloud):
    instance, address = cloud.started(), elastic(cloud)
    [nic] = nics_of(cloud, instance)
    do(cloud, AssociateAddress(allocation_id=address.id, nic_id=nic.id))
    follows(cloud)
    assert led_to(cloud, nic) == {(address.ip, nic.address)}
    _, scopes = told(cloud, ModifyAddress(allocation_id=address.id, up=False))
    assert scopes == {nic.id}
    follows(cloud)
    assert led_to(cloud, nic) == set()
    do(cloud, ModifyAddress(allocation_id=address.id, up=True))
    follows(cloud)
    assert led_to(cloud, nic) == {(address.ip, nic.address)}


def test_the_end_of_an_instance_leaves_its_elastic_address_free(cloud):
    instance, address = cloud.started(), elastic(cloud)
    do(cloud, AssociateAddress(allocation_id=address.id, instance_id=instance.id))
    for op in (Op.POWEROFF, Op.START):  # it stays through a stop
        cloud.do(op, instance)
        assert as_is(cloud, address).nic_id == nics_of(cloud, instance)[0].id
    cloud.do(Op.TERMINATE, instance)
    free = as_is(cloud, address)
    assert (free.nic_id, free.private_ip, free.association_id, free.associated_at) == (None, "", "", None)
    do(cloud, ReleaseAddress(allocation_id=address.id))
    follows(cloud)


def test_the_address_of_a_nat_gateway_leads_nowhere_else(cloud):
    address, nic = elastic(cloud), alone(cloud)
    gateway = do(cloud, CreateNatGateway(subnet_id=subnet_in(cloud).id, allocation_id=address.id))
    held = as_is(cloud, address)
    assert held.nic_id == gateway.nic_id
    moved = refusal(cloud, AssociateAddress(allocation_id=address.id, nic_id=nic.id))
    assert (moved.code, moved.context["ids"]) == (Code.NIC_NOT_YOURS, (gateway.nic_id,))
    taken = refusal(cloud, DisassociateAddress(association_id=held.association_id))
    assert taken.code is Code.NIC_NOT_YOURS
    do(cloud, DeleteNatGateway(nat_gateway_id=gateway.id))
    assert do(cloud, AssociateAddress(allocation_id=address.id, nic_id=nic.id)).nic_id == nic.id


# Lent addresses -----------------------------------------------------------------------------------------


def test_an_address_is_lent_from_boot_to_stop_and_another_one_from_the_next_boot(cloud):
    (instance,) = cloud.launch()
    [nic] = nics_of(cloud, instance)
    [first] = public_of(cloud, nic)
    assert (first.auto, first.private_ip) == (True, nic.address)
    assert ipaddress.IPv4Address(first.ip) in POOL
    cloud.settle()
    assert public_of(cloud, nic) == (first,)
    assert cloud.engine.networks.all(cloud.caller, PublicAddress) == []  # it is nobody's
    for command in (
        ReleaseAddress(allocation_id=first.id),
        ModifyAddress(allocation_id=first.id, up=False),
        AssociateAddress(allocation_id=first.id, nic_id=nic.id),
    ):
        assert refusal(cloud, command).code is Code.RESOURCE_NOT_FOUND
    held = refusal(cloud, DisassociateAddress(association_id=first.association_id))
    assert held.code is Code.ASSOCIATION_NOT_FOUND
    cloud.do(Op.REBOOT, instance)
    assert public_of(cloud, nic) == (first,)
    cloud.do(Op.POWEROFF, instance)
    assert public_of(cloud, nic) == ()
    follows(cloud)
    assert do(cloud, AllocateAddress(ip=first.ip), cloud.other).ip == first.ip
    cloud.do(Op.START, instance)
    [second] = public_of(cloud, nic)
    assert second.ip != first.ip
    follows(cloud)
    cloud.do(Op.SUSPEND, instance)
    assert lent(cloud, instance) == []
    cloud.do(Op.START, instance)
    assert len(lent(cloud, instance)) == 1
    cloud.do(Op.TERMINATE, instance)
    with cloud.store.read() as tx:
        assert [each for each in tx.public_addresses.all() if each.auto] == []
    follows(cloud)


def test_who_is_lent_an_address_is_said_by_the_launch_and_else_by_the_subnet(cloud):
    quiet = do(cloud, CreateSubnet(vpc_id=subnet_in(cloud).vpc_id, cidr="172.31.128.0/24", zone="us-east-1a"))
    assert len(lent(cloud, cloud.started())) == 1
    assert lent(cloud, cloud.started(public_ip=False)) == []
    assert lent(cloud, cloud.started(subnet_id=quiet.id)) == []
    asked = cloud.started(subnet_id=quiet.id, public_ip=True)
    assert len(lent(cloud, asked)) == 1
    cloud.do(Op.POWEROFF, asked)
    cloud.do(Op.START, asked)
    assert len(lent(cloud, asked)) == 1
    both = (NicRequest(subnet_id=subnet_in(cloud).id), NicRequest(index=1, subnet_id=subnet_in(cloud).id))
    several = cloud.started(nics=both)
    assert [len(public_of(cloud, nic)) for nic in nics_of(cloud, several)] == [1, 0]


def test_who_has_an_elastic_address_is_lent_none(cloud):
    instance, address = cloud.do(Op.POWEROFF, cloud.started()), elastic(cloud)
    do(cloud, AssociateAddress(allocation_id=address.id, instance_id=instance.id))
    cloud.do(Op.START, instance)
    assert lent(cloud, instance) == []
    assert as_is(cloud, address).nic_id == nics_of(cloud, instance)[0].id


def test_when_the_pool_is_empty_instances_run_without():
    cloud = pool_of("198.51.100.1")
    first, second = cloud.started(), cloud.started()
    assert (lent(cloud, first), lent(cloud, second)) == (["198.51.100.1"], [])
    cloud.do(Op.POWEROFF, first)
    cloud.do(Op.POWEROFF, second)
    cloud.do(Op.START, second)
    assert lent(cloud, second) == ["198.51.100.1"]
    assert lent(pool_of(), cloud.started()) == []


def test_an_interface_that_is_plugged_in_is_lent_an_address_and_gives_it_back(cloud):
    instance, nic = cloud.started(), alone(cloud, public_ip=True)
    assert public_of(cloud, nic) == ()  # it belongs to nothing that runs
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    cloud.settle()
    assert len(public_of(cloud, nic)) == 1
    cloud.do(Op.POWEROFF, instance)
    assert public_of(cloud, nic) == ()
    cloud.do(Op.START, instance)
    [address] = public_of(cloud, nic)
    assert address.auto
    do(cloud, DetachNic(nic_id=nic.id))
    cloud.settle()
    assert nic_as_is(cloud, nic).attach is AttachState.NONE
    assert public_of(cloud, nic) == ()
    follows(cloud)


def test_what_is_lent_to_an_instance_that_cannot_start_goes_back(cloud):
    (instance,) = cloud.launch()
    cloud.host().broken = {"start"}
    cloud.quiesce()
    assert cloud.get(instance).detail in {"done", "fail.boot", "fail"}, cloud.get(instance).detail
    cloud.host().broken = set()
    cloud.do(Op.TERMINATE, instance)
    with cloud.store.read() as tx:
        assert tx.public_addresses.all() == []


def test_a_crash_does_not_take_the_address_from_under_a_guest(cloud):
    instance = cloud.started()
    [address] = lent(cloud, instance)
    cloud.host().plan = [(0, Fault.SILENT_BEFORE)]
    cloud.poll()
    cloud.quiesce()
    assert lent(cloud, instance) == [address]
