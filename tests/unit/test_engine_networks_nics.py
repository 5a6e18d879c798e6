"""Network interfaces in the engine: what they are made with, their addresses and MACs, and what is refused."""

from __future__ import annotations

import msgspec
import pytest
from network_cloud import network_cloud
from network_deeds import (
    default_group,
    default_vpc,
    do,
    follows,
    leases_of,
    nic_as_is,
    nics_of,
    public_of,
    refusal,
    subnet_in,
    told,
)
from simulation import ADMIN, NETWORK, Cloud, Op

from backend.commands import Launch, NicRequest, Operate, SetQuota
from backend.engine import EngineSettings
from backend.errors import Code
from backend.model import AttachState
from backend.network_commands import (
    AllocateAddress,
    AssignAddresses,
    AssociateAddress,
    AttachNic,
    CreateNatGateway,
    CreateNic,
    CreateSecurityGroup,
    CreateSubnet,
    CreateVpc,
    DeleteNic,
    DeleteSubnet,
    DetachNic,
    ModifyNic,
    ModifySubnet,
    UnassignAddresses,
)
from backend.network_model import Nic


@pytest.fixture
def cloud() -> Cloud:
    return network_cloud()


@pytest.fixture
def small(cloud):
    """A subnet of eleven addresses that interfaces can have: .4 to .14."""
    vpc = do(cloud, CreateVpc(cidr="10.0.0.0/16"))
    return do(cloud, CreateSubnet(vpc_id=vpc.id, cidr="10.0.0.0/28", zone="us-east-1a"))


def create(cloud, subnet, **parameters) -> Nic:
    return do(cloud, CreateNic(nic=NicRequest(subnet_id=subnet.id, **parameters)))


def refused(cloud, subnet, **parameters):
    return refusal(cloud, CreateNic(nic=NicRequest(subnet_id=subnet.id, **parameters)))


# Made with an instance ----------------------------------------------------------------------------------


def test_an_instance_without_a_word_about_networks_is_in_the_default_subnet_of_its_zone(cloud):
    subnet = subnet_in(cloud)
    instance = cloud.started()
    [nic] = nics_of(cloud, instance)
    assert (instance.vpc_id, instance.subnet_id) == (subnet.vpc_id, subnet.id)
    assert (instance.address, instance.mac) == (nic.address, nic.mac)
    assert (nic.index, nic.attach, nic.zone) == (0, AttachState.ATTACHED, "us-east-1a")
    assert nic.groups == (default_group(cloud).id,)
    assert leases_of(cloud, nic) == (nic.address,)
    assert nic.delete_on_termination
    assert nic.asked_at is not None
    assert nic.attached_at is not None
    assert nic.asked_at <= nic.attached_at
    assert nic.mac == "52:54:" + ":".join(f"{int(octet):02x}" for octet in nic.address.split("."))
    follows(cloud)


def test_address_and_mac_stay_through_stops_starts_hibernation_and_a_crash(cloud):
    instance = cloud.started()
    first = nics_of(cloud, instance)
    for op, detail in (
        (Op.POWEROFF, "poff"),
        (Op.START, "runn"),
        (Op.RESTART_COLD, "runn"),
        (Op.PAUSE, "susp.ram"),
        (Op.RESUME, "runn"),
        (Op.SUSPEND, "susp.disk"),
        (Op.START, "runn"),
        (Op.REBOOT, "runn"),
    ):
        now = cloud.do(op, instance)
        assert now.detail == detail
        assert (now.address, now.mac) == (instance.address, instance.mac)
        [nic] = nics_of(cloud, instance)
        assert (nic.id, nic.address, nic.mac) == (first[0].id, first[0].address, first[0].mac)
    cloud.host().power_cycle()
    cloud.quiesce()
    assert cloud.get(instance).address == instance.address
    assert leases_of(cloud, first[0]) == (instance.address,)


def test_the_end_of_an_instance_frees_its_address_and_takes_what_was_made_with_it(cloud, small):
    instance = cloud.started(subnet_id=small.id, address="10.0.0.9")
    kept = create(cloud, small, address="10.0.0.10")
    do(cloud, AttachNic(nic_id=kept.id, instance_id=instance.id))
    cloud.settle()
    taken = refused(cloud, small, address="10.0.0.9")
    assert (taken.code, taken.context["value"]) == (Code.ADDRESS_IN_USE, "10.0.0.9")
    assert cloud.do(Op.TERMINATE, instance).detail == "done"
    [left] = [each for each in cloud.engine.networks.all(cloud.caller, Nic) if each.subnet_id == small.id]
    assert (left.id, left.instance_id, left.attach) == (kept.id, None, AttachState.NONE)
    assert (left.attachment_id, left.index, left.asked_at, left.attached_at) == ("", 0, None, None)
    assert create(cloud, small, address="10.0.0.9").address == "10.0.0.9"
    cloud.settle()
    follows(cloud)


def test_an_interface_may_be_told_to_outlive_its_instance_and_to_end_with_it(cloud, small):
    request = NicRequest(subnet_id=small.id, delete_on_termination=False)
    instance = cloud.started(nics=(request,))
    [primary] = nics_of(cloud, instance)
    second = create(cloud, small)
    do(cloud, AttachNic(nic_id=second.id, instance_id=instance.id))
    cloud.settle()
    do(cloud, ModifyNic(nic_id=second.id, delete_on_termination=True))
    cloud.do(Op.TERMINATE, instance)
    assert nic_as_is(cloud, second) is None
    assert nic_as_is(cloud, primary).instance_id is None
    again = cloud.started(nics=(NicRequest(nic_id=primary.id),))
    assert (again.address, again.mac) == (primary.address, primary.mac)


def test_several_interfaces_of_a_launch_in_their_order(cloud, small):
    group = do(cloud, CreateSecurityGroup(name="web", description="", vpc_id=small.vpc_id))
    existing = create(cloud, small, address="10.0.0.14")
    instance = cloud.started(
        nics=(
            NicRequest(index=2, nic_id=existing.id),
            NicRequest(index=0, subnet_id=small.id, address="10.0.0.5", secondary=("10.0.0.6",)),
            NicRequest(
                index=1, subnet_id=small.id, secondary_count=2, groups=("web",), mac="02-AB-CD-00-00-01"
            ),
        ),
        nic_tags=(("a", "b"),),
    )
    first, second, third = nics_of(cloud, instance)
    assert (instance.address, instance.mac, instance.subnet_id) == ("10.0.0.5", first.mac, small.id)
    assert leases_of(cloud, first) == ("10.0.0.5", "10.0.0.6")
    assert len(leases_of(cloud, second)) == 3
    assert (second.mac, second.groups) == ("02:ab:cd:00:00:01", (group.id,))
    assert (third.id, third.index, third.attach) == (existing.id, 2, AttachState.ATTACHED)
    assert set(cloud.host().interfaces[instance.id]) == {each.mac for each in (first, second, third)}
    with cloud.store.read() as tx:
        assert tx.tags.of([first.id, second.id]) == {first.id: {"a": "b"}, second.id: {"a": "b"}}
    follows(cloud)


def test_as_many_instances_as_a_subnet_has_addresses_for(cloud, small):
    made = cloud.launch(minimum=1, maximum=20, subnet_id=small.id)
    assert len(made) == 11
    assert {each.address for each in made} == {f"10.0.0.{number}" for number in range(4, 15)}
    full = refusal(cloud, Launch(image_id=cloud.image.id, subnet_id=small.id))
    assert (full.code, full.context["ids"]) == (Code.ADDRESSES_EXHAUSTED, (small.id,))
    assert refused(cloud, small).code is Code.ADDRESSES_EXHAUSTED
    cloud.do(Op.TERMINATE, made[3])
    assert cloud.launch(subnet_id=small.id)[0].address == made[3].address


def test_a_launch_takes_secondary_addresses_into_account(cloud, small):
    nics = (NicRequest(subnet_id=small.id, secondary_count=3),)
    assert len(cloud.launch(minimum=1, maximum=9, nics=nics)) == 2
    assert refusal(cloud, Launch(image_id=cloud.image.id, nics=nics)).code is Code.ADDRESSES_EXHAUSTED


def test_an_instance_can_be_in_any_zone_by_its_subnet(cloud):
    cloud.add_host(zone="us-east-1b")
    cloud.poll()
    other = subnet_in(cloud, "us-east-1b")
    instance = cloud.started(subnet_id=other.id)
    assert (instance.zone, nics_of(cloud, instance)[0].zone) == ("us-east-1b", "us-east-1b")
    assert instance.host_id == cloud.host_ids[1]


@pytest.mark.parametrize(
    ("parameters", "code", "parameter"),
    [
        ({"address": "10.0.0.3"}, Code.PARAMETER_INVALID, "address"),
        ({"address": "10.0.0.15"}, Code.PARAMETER_INVALID, "address"),
        ({"address": "10.0.0.16"}, Code.PARAMETER_INVALID, "address"),
        ({"address": "10.0.0"}, Code.PARAMETER_INVALID, "address"),
        ({"address": "fd00::1"}, Code.PARAMETER_INVALID, "address"),
        ({"address": "10.0.0.010"}, Code.PARAMETER_INVALID, "address"),
        ({"secondary": ("10.0.0.1",)}, Code.PARAMETER_INVALID, "address"),
        ({"address": "10.0.0.5", "secondary": ("10.0.0.5",)}, Code.PARAMETER_INVALID, "privateIpAddresses"),
        ({"secondary": ("10.0.0.5", "10.0.0.5")}, Code.PARAMETER_INVALID, "privateIpAddresses"),
        ({"secondary_count": 51}, Code.PARAMETER_INVALID, "privateIpAddresses"),
        ({"secondary_count": -1}, Code.PARAMETER_INVALID, "privateIpAddresses"),
        ({"secondary_count": 20}, Code.ADDRESSES_EXHAUSTED, None),
        ({"mac": "02:00:00:00:00"}, Code.PARAMETER_INVALID, "mac"),
        ({"mac": "03:00:00:00:00:01"}, Code.PARAMETER_INVALID, "mac"),
        ({"mac": "02:00:00:00:00:0g"}, Code.PARAMETER_INVALID, "mac"),
        ({"mac": "02:00:00:00:00:0²"}, Code.PARAMETER_INVALID, "mac"),
        ({"groups": ("none",)}, Code.GROUP_NOT_FOUND, None),
        ({"groups": ("sg-none",)}, Code.RESOURCE_NOT_FOUND, None),
        ({"groups": tuple(f"g{number}" for number in range(17))}, Code.PARAMETER_INVALID, "securityGroups"),
    ],
)
def test_what_no_interface_can_be(cloud, small, parameters, code, parameter):
    for answer in (
        refused(cloud, small, **parameters),
        refusal(cloud, Launch(image_id=cloud.image.id, nics=(NicRequest(subnet_id=small.id, **parameters),))),
    ):
        assert (answer.code, answer.context.get("parameter")) == (code, parameter)


def test_a_group_of_another_vpc_is_none_of_this_one(cloud, small):
    elsewhere = default_group(cloud)
    assert refused(cloud, small, groups=(elsewhere.id,)).code is Code.NETWORK_MISMATCH
    nic = create(cloud, small)
    assert refusal(cloud, ModifyNic(nic_id=nic.id, groups=(elsewhere.id,))).code is Code.NETWORK_MISMATCH
    assert refusal(cloud, ModifyNic(nic_id=nic.id, join=(elsewhere.id,))).code is Code.NETWORK_MISMATCH


def test_an_address_or_a_mac_is_given_once(cloud, small):
    nic = create(cloud, small, address="10.0.0.7", mac="02:00:00:00:00:07")
    assert refused(cloud, small, address="10.0.0.7").code is Code.ADDRESS_IN_USE
    assert refused(cloud, small, secondary=("10.0.0.7",)).code is Code.ADDRESS_IN_USE
    twice = refused(cloud, small, mac="02:00:00:00:00:07")
    assert (twice.code, twice.context["value"]) == (Code.ADDRESS_IN_USE, "02:00:00:00:00:07")
    other = do(cloud, CreateSubnet(vpc_id=small.vpc_id, cidr="10.0.1.0/28"))
    assert create(cloud, other, mac="02:00:00:00:00:07").mac == nic.mac  # another network


def test_the_mac_of_an_address_is_kept_for_it(cloud, small):
    kept = refused(cloud, small, address="10.0.0.5", mac="52:54:0a:00:00:06")
    assert (kept.code, kept.message) == (Code.PARAMETER_INVALID, "It is the MAC of the address 10.0.0.6.")
    assert create(cloud, small, address="10.0.0.6", mac="52:54:0A:00:00:06").address == "10.0.0.6"
    assert create(cloud, small, mac="52:54:00:00:00:06").mac == "52:54:00:00:00:06"  # QEMU's own


def test_interfaces_of_one_launch_share_nothing(cloud, small):
    def launch(*nics, **more):
        return refusal(cloud, Launch(image_id=cloud.image.id, nics=nics, **more))

    mine = NicRequest(subnet_id=small.id, address="10.0.0.5")
    spare = create(cloud, small)
    again = msgspec.structs.replace(mine, index=1)
    assert launch(mine, again).code is Code.ADDRESS_IN_USE
    further = NicRequest(index=1, subnet_id=small.id, secondary=("10.0.0.5",))
    assert launch(mine, further).code is Code.ADDRESS_IN_USE
    mac = NicRequest(subnet_id=small.id, mac="02:00:00:00:00:07")
    assert launch(mac, msgspec.structs.replace(mac, index=1)).code is Code.ADDRESS_IN_USE
    assert launch(NicRequest(nic_id=spare.id), NicRequest(index=1, nic_id=spare.id)).code is Code.NIC_IN_USE
    for request in (
        mine,
        mac,
        NicRequest(nic_id=spare.id),
        NicRequest(subnet_id=small.id, secondary=("10.0.0.5",)),
    ):
        assert launch(request, maximum=2).code is Code.PARAMETER_COMBINATION


def test_what_a_launch_cannot_combine(cloud, small):
    other_zone = do(cloud, CreateSubnet(vpc_id=small.vpc_id, cidr="10.0.1.0/28", zone="us-east-1b"))
    other_vpc = subnet_in(cloud)
    here = NicRequest(subnet_id=small.id)

    def launch(**parameters):
        return refusal(cloud, Launch(image_id=cloud.image.id, **parameters)).code

    assert launch(nics=(here,), subnet_id=small.id) is Code.PARAMETER_COMBINATION
    assert launch(nics=(here,), groups=("default",)) is Code.PARAMETER_COMBINATION
    assert launch(nics=(here,), public_ip=False) is Code.PARAMETER_COMBINATION
    assert launch(nics=(here, NicRequest(index=1, subnet_id=other_zone.id))) is Code.NETWORK_MISMATCH
    assert launch(nics=(here, NicRequest(index=1, subnet_id=other_vpc.id))) is Code.NETWORK_MISMATCH
    assert launch(nics=(NicRequest(index=1, subnet_id=small.id),)) is Code.PARAMETER_INVALID
    assert launch(nics=(here, NicRequest(index=0, subnet_id=small.id))) is Code.PARAMETER_INVALID
    assert launch(nics=(here, NicRequest(index=8, subnet_id=small.id))) is Code.PARAMETER_INVALID
    assert launch(nics=(here, here)) is Code.PARAMETER_INVALID
    nine = tuple(NicRequest(index=index, subnet_id=small.id) for index in range(9))
    assert launch(nics=nine) is Code.NICS_EXHAUSTED
    two = (msgspec.structs.replace(here, public_ip=True), NicRequest(index=1, subnet_id=small.id))
    assert launch(nics=two) is Code.PARAMETER_COMBINATION
    assert launch(subnet_id=small.id, zone="us-east-1b") is Code.PARAMETER_INVALID
    used = nics_of(cloud, cloud.started(subnet_id=small.id))[0]
    assert launch(nics=(NicRequest(nic_id=used.id),)) is Code.NIC_IN_USE


def test_a_network_that_is_down_gives_no_addresses_and_leaves_what_is_there(cloud, small):
    instance = cloud.started(subnet_id=small.id)
    do(cloud, ModifySubnet(subnet_id=small.id, up=False))
    down = refused(cloud, small)
    assert (down.code, down.context["ids"]) == (Code.NETWORK_DOWN, (small.id,))
    assert refusal(cloud, Launch(image_id=cloud.image.id, subnet_id=small.id)).code is Code.NETWORK_DOWN
    [nic] = nics_of(cloud, instance)
    assert refusal(cloud, AssignAddresses(nic_id=nic.id, count=1)).code is Code.NETWORK_DOWN
    assert cloud.do(Op.START, cloud.do(Op.POWEROFF, instance)).address == instance.address
    do(cloud, ModifySubnet(subnet_id=small.id, up=True))
    assert create(cloud, small)


def test_a_tenant_has_so_many_interfaces_and_no_more(cloud, small):
    do(cloud, SetQuota(tenant_id=cloud.tenant.id, quotas={"nics": 2}), ADMIN)
    create(cloud, small)
    both = tuple(NicRequest(index=index, subnet_id=small.id) for index in range(2))
    over = refusal(cloud, Launch(image_id=cloud.image.id, nics=both))
    assert (over.code, over.context["limit"], over.context["used"]) == (Code.QUOTA_NICS, 2, 1)
    cloud.launch(subnet_id=small.id)
    assert refused(cloud, small).code is Code.QUOTA_NICS


# Alone --------------------------------------------------------------------------------------------------


def test_an_interface_of_its_own(cloud, small):
    request = NicRequest(subnet_id=small.id, secondary_count=1, description="mine")
    command = CreateNic(nic=request, client_token="t", summary="s", tags=(("a", "b"),))
    nic, scopes = told(cloud, command)
    assert (nic.instance_id, nic.attach, nic.description, nic.summary) == (
        None,
        AttachState.NONE,
        "mine",
        "s",
    )
    assert not nic.delete_on_termination
    assert scopes == {nic.id}
    assert len(leases_of(cloud, nic)) == 2
    assert do(cloud, command) == nic  # asked again with its token
    follows(cloud)
    assert nic.id in cloud.network.there
    gone, scopes = told(cloud, DeleteNic(nic_id=nic.id))
    assert (gone.id, scopes) == (nic.id, {nic.id})
    follows(cloud)
    assert nic.id not in cloud.network.there
    assert refusal(cloud, DeleteNic(nic_id=nic.id)).code is Code.RESOURCE_NOT_FOUND
    with cloud.store.read() as tx:
        assert tx.tags.of([nic.id]) == {}
        assert tx.leases.count([small.id]) == {}


def test_what_is_attached_is_not_deleted_and_holds_its_subnet(cloud, small):
    instance = cloud.started(subnet_id=small.id)
    [nic] = nics_of(cloud, instance)
    held = refusal(cloud, DeleteNic(nic_id=nic.id))
    assert (held.code, held.context["ids"]) == (Code.NIC_IN_USE, (nic.id,))
    assert refusal(cloud, DeleteSubnet(subnet_id=small.id))
    cloud.do(Op.TERMINATE, instance)
    do(cloud, DeleteSubnet(subnet_id=small.id))


def test_changes_of_an_interface(cloud, small):
    instance = cloud.started(subnet_id=small.id)
    [nic] = nics_of(cloud, instance)
    group = do(cloud, CreateSecurityGroup(name="web", description="", vpc_id=small.vpc_id))
    before = cloud.get(instance).version
    changed, scopes = told(
        cloud,
        ModifyNic(
            nic_id=nic.id,
            description="d",
            groups=("web", group.id),
            source_dest_check=False,
            delete_on_termination=False,
            up=False,
            summary="s",
        ),
    )
    assert (changed.description, changed.groups, changed.source_dest_check) == ("d", (group.id,), False)
    assert (changed.delete_on_termination, changed.up, changed.summary) == (False, False, "s")
    assert scopes == {nic.id}
    assert cloud.get(instance).version > before
    default = default_group(cloud, small.vpc_id).id
    assert do(cloud, ModifyNic(nic_id=nic.id, join=(default,))).groups == (group.id, default)
    assert do(cloud, ModifyNic(nic_id=nic.id, leave=(group.id,))).groups == (default,)
    alone = refusal(cloud, ModifyNic(nic_id=nic.id, leave=(default,)))
    assert (alone.code, alone.context["ids"]) == (Code.NIC_WRONG_STATE, (nic.id,))
    assert refusal(cloud, ModifyNic(nic_id=nic.id, groups=())).code is Code.PARAMETER_MISSING
    spare = create(cloud, small)
    unattached = refusal(cloud, ModifyNic(nic_id=spare.id, delete_on_termination=True))
    assert unattached.code is Code.ATTACHMENT_NOT_FOUND
    version = nic_as_is(cloud, nic).version
    same, scopes = told(cloud, ModifyNic(nic_id=nic.id))
    assert (same.version, scopes) == (version, set())
    follows(cloud)


# Addresses ----------------------------------------------------------------------------------------------


def test_further_addresses_come_and_go(cloud, small):
    nic = create(cloud, small, address="10.0.0.4")
    changed, scopes = told(cloud, AssignAddresses(nic_id=nic.id, addresses=("10.0.0.8", "10.0.0.6")))
    assert (changed.address, scopes) == ("10.0.0.4", {nic.id})
    assert leases_of(cloud, nic)[0] == "10.0.0.4"
    assert set(leases_of(cloud, nic)) == {"10.0.0.4", "10.0.0.8", "10.0.0.6"}
    do(cloud, AssignAddresses(nic_id=nic.id, addresses=("10.0.0.8",)))  # has it already
    do(cloud, AssignAddresses(nic_id=nic.id, count=2))
    assert len(leases_of(cloud, nic)) == 5
    do(cloud, UnassignAddresses(nic_id=nic.id, addresses=("10.0.0.8",)))
    assert "10.0.0.8" not in leases_of(cloud, nic)
    assert create(cloud, small, address="10.0.0.8")
    follows(cloud)


def test_addresses_that_cannot_be_assigned(cloud, small):
    nic, other = create(cloud, small, address="10.0.0.4"), create(cloud, small, address="10.0.0.5")

    def assign(**parameters):
        return refusal(cloud, AssignAddresses(nic_id=nic.id, **parameters)).code

    assert assign() is Code.PARAMETER_COMBINATION
    assert assign(addresses=("10.0.0.6",), count=1) is Code.PARAMETER_COMBINATION
    assert assign(count=-1) is Code.PARAMETER_INVALID
    assert assign(count=50) is Code.PARAMETER_INVALID
    assert assign(count=10) is Code.ADDRESSES_EXHAUSTED
    assert assign(addresses=("10.0.0.3",)) is Code.PARAMETER_INVALID
    assert assign(addresses=("10.0.0.5",)) is Code.ADDRESS_IN_USE
    assert assign(addresses=("10.0.0.5",), reassign=True) is Code.ADDRESS_IN_USE  # a primary one
    for addresses in (("10.0.0.4",), ("10.0.0.9",), ("nonsense",)):
        command = UnassignAddresses(nic_id=nic.id, addresses=addresses)
        assert refusal(cloud, command).code is Code.PARAMETER_INVALID
    assert do(cloud, AssignAddresses(nic_id=other.id, addresses=("10.0.0.9", "10.0.0.9")))
    assert leases_of(cloud, other) == ("10.0.0.5", "10.0.0.9")


def test_an_address_moves_with_all_that_led_to_it_left_behind(cloud, small):
    here, there = create(cloud, small), create(cloud, small)
    do(cloud, AssignAddresses(nic_id=here.id, addresses=("10.0.0.9",)))
    elastic = do(cloud, AllocateAddress())
    do(cloud, AssociateAddress(allocation_id=elastic.id, nic_id=here.id, private_ip="10.0.0.9"))
    _, scopes = told(cloud, AssignAddresses(nic_id=there.id, addresses=("10.0.0.9",), reassign=True))
    assert scopes == {here.id, there.id}
    assert "10.0.0.9" in leases_of(cloud, there)
    assert leases_of(cloud, here) == (here.address,)
    assert public_of(cloud, here) == public_of(cloud, there) == ()
    follows(cloud)


# Attaching, detaching -----------------------------------------------------------------------------------


def plugged(cloud, instance):
    return set(cloud.host_of(instance).nics(instance.id))


def test_an_interface_is_plugged_into_a_running_instance_and_out_of_it(cloud, small):
    instance, nic = cloud.started(subnet_id=small.id), create(cloud, small)
    asked, scopes = told(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    assert (asked.attach, asked.index, asked.instance_id) == (AttachState.ATTACHING, 1, instance.id)
    assert asked.attachment_id.startswith("eni-attach-")
    assert scopes == {nic.id}
    again = refusal(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    assert (again.code, again.context["instance"]) == (Code.NIC_IN_USE, instance.id)
    early = refusal(cloud, DetachNic(nic_id=nic.id))
    assert early.code is Code.NIC_WRONG_STATE
    cloud.settle()
    there = nic_as_is(cloud, nic)
    assert (there.attach, there.attached_at is not None) == (AttachState.ATTACHED, True)
    assert plugged(cloud, instance) == {instance.mac, nic.mac}
    leaving = do(cloud, DetachNic(attachment_id=there.attachment_id))
    assert leaving.attach is AttachState.DETACHING
    assert do(cloud, DetachNic(nic_id=nic.id)) == leaving  # asked again
    cloud.settle()
    free = nic_as_is(cloud, nic)
    assert (free.attach, free.instance_id, free.attachment_id) == (AttachState.NONE, None, "")
    assert (free.address, free.mac) == (nic.address, nic.mac)
    assert plugged(cloud, instance) == {instance.mac}
    assert cloud.get(instance).detail == "runn"
    follows(cloud)


def test_an_interface_that_was_a_link_only_goes_when_it_is_off(cloud, small):
    instance, nic = cloud.started(subnet_id=small.id), create(cloud, small)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id, index=5))
    cloud.settle()
    assert nic_as_is(cloud, nic).index == 5
    do(cloud, DetachNic(nic_id=nic.id, then_delete=True))
    cloud.settle()
    assert nic_as_is(cloud, nic) is None
    assert create(cloud, small, address=nic.address)


def test_interfaces_of_a_stopped_instance_are_there_when_it_starts(cloud, small):
    instance = cloud.do(Op.POWEROFF, cloud.started(subnet_id=small.id))
    nic, passing = create(cloud, small), create(cloud, small)
    for each in (nic, passing):
        do(cloud, AttachNic(nic_id=each.id, instance_id=instance.id))
    cloud.settle()
    assert nic_as_is(cloud, nic).attach is AttachState.ATTACHED
    do(cloud, DetachNic(nic_id=passing.id))
    cloud.settle()
    assert nic_as_is(cloud, passing).instance_id is None
    cloud.do(Op.START, instance)
    assert plugged(cloud, instance) == {instance.mac, nic.mac}


def test_a_stopped_instance_starts_when_its_interface_is_there(cloud, small):
    instance = cloud.do(Op.POWEROFF, cloud.started(subnet_id=small.id))
    nic = create(cloud, small)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    busy = refusal(cloud, Operate(op=Op.START, ids=(instance.id,)))
    assert busy.code is Code.INSTANCE_BUSY
    cloud.settle()
    assert cloud.do(Op.START, instance).detail == "runn"
    assert plugged(cloud, instance) == {instance.mac, nic.mac}


def test_where_an_interface_cannot_go(cloud, small):
    instance = cloud.started(subnet_id=small.id)
    foreign_zone = do(cloud, CreateSubnet(vpc_id=small.vpc_id, cidr="10.0.1.0/28", zone="us-east-1b"))

    def attach(subnet, **parameters):
        nic = create(cloud, subnet)
        parameters.setdefault("instance_id", instance.id)
        return refusal(cloud, AttachNic(nic_id=nic.id, **parameters)).code

    assert attach(foreign_zone) is Code.NETWORK_MISMATCH
    assert attach(subnet_in(cloud)) is Code.NETWORK_MISMATCH
    assert attach(small, index=0) is Code.PARAMETER_INVALID
    assert attach(small, index=8) is Code.PARAMETER_INVALID
    assert attach(small, index=-1) is Code.PARAMETER_INVALID
    assert attach(small, instance_id="i-none") is Code.INSTANCE_NOT_FOUND
    (waiting,) = cloud.launch(subnet_id=small.id, held=True)
    assert attach(small, instance_id=waiting.id) is Code.INSTANCE_WRONG_STATE
    saved = cloud.do(Op.SUSPEND, cloud.started(subnet_id=small.id))
    assert attach(small, instance_id=saved.id) is Code.INSTANCE_WRONG_STATE
    ended = cloud.do(Op.TERMINATE, instance)
    assert attach(small, instance_id=ended.id) is Code.INSTANCE_WRONG_STATE


def test_an_instance_has_room_for_so_many(cloud):
    wide = subnet_in(cloud)
    instance = cloud.started()
    made = [create(cloud, wide) for _ in range(8)]
    for nic in made[:7]:
        do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    assert refusal(cloud, AttachNic(nic_id=made[7].id, instance_id=instance.id)).code is Code.NICS_EXHAUSTED
    cloud.settle()
    assert sorted(each.index for each in nics_of(cloud, instance)) == list(range(8))
    taken = refusal(cloud, AttachNic(nic_id=made[7].id, instance_id=instance.id, index=3))
    assert taken.code is Code.NICS_EXHAUSTED
    do(cloud, DetachNic(nic_id=made[2].id))
    cloud.settle()
    taken = refusal(cloud, AttachNic(nic_id=made[7].id, instance_id=instance.id, index=4))
    assert taken.code is Code.PARAMETER_INVALID
    assert do(cloud, AttachNic(nic_id=made[7].id, instance_id=instance.id)).index == 3


def test_what_cannot_be_detached(cloud, small):
    instance = cloud.started(subnet_id=small.id)
    [primary] = nics_of(cloud, instance)
    assert refusal(cloud, DetachNic(nic_id=primary.id)).code is Code.NIC_IS_PRIMARY
    assert refusal(cloud, DetachNic(attachment_id=primary.attachment_id)).code is Code.NIC_IS_PRIMARY
    spare = create(cloud, small)
    for command in (DetachNic(nic_id=spare.id), DetachNic(attachment_id="eni-attach-none")):
        assert refusal(cloud, command).code is Code.ATTACHMENT_NOT_FOUND
    assert refusal(cloud, DetachNic(nic_id="eni-none")).code is Code.RESOURCE_NOT_FOUND


def test_where_interfaces_cannot_be_plugged_the_instance_is_stopped_first():
    capabilities = msgspec.structs.replace(NETWORK.capabilities, hotplug=False)
    network = msgspec.structs.replace(NETWORK, capabilities=capabilities)
    cloud = Cloud(settings=EngineSettings(network=network))
    instance, nic = cloud.started(), create(cloud, subnet_in(cloud))
    refused_ = refusal(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    assert (refused_.code, refused_.context["ids"]) == (Code.UNSUPPORTED, (instance.id,))
    cloud.do(Op.POWEROFF, instance)
    do(cloud, AttachNic(nic_id=nic.id, instance_id=instance.id))
    cloud.settle()
    cloud.do(Op.START, instance)
    assert plugged(cloud, instance) == {instance.mac, nic.mac}
    assert refusal(cloud, DetachNic(nic_id=nic.id)).code is Code.UNSUPPORTED


def test_what_a_nat_gateway_keeps_is_nobodys_to_change(cloud):
    subnet = subnet_in(cloud)
    address = do(cloud, AllocateAddress())
    gateway = do(cloud, CreateNatGateway(subnet_id=subnet.id, allocation_id=address.id))
    instance = cloud.started()
    for command in (
        DeleteNic(nic_id=gateway.nic_id),
        ModifyNic(nic_id=gateway.nic_id, up=False),
        AssignAddresses(nic_id=gateway.nic_id, count=1),
        UnassignAddresses(nic_id=gateway.nic_id, addresses=()),
        AttachNic(nic_id=gateway.nic_id, instance_id=instance.id),
        DetachNic(nic_id=gateway.nic_id),
        AssociateAddress(allocation_id=address.id, nic_id=gateway.nic_id),
        Launch(image_id=cloud.image.id, nics=(NicRequest(nic_id=gateway.nic_id),)),
    ):
        answer = refusal(cloud, command)
        assert (answer.code, answer.context["ids"]) == (Code.NIC_NOT_YOURS, (gateway.nic_id,)), command
    assert default_vpc(cloud).id == gateway.vpc_id
