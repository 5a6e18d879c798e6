"""Placement groups in the engine: who may be where, through stops, failures and ends; and room for launches."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import ADMIN, NETWORK, Cloud, Op

from backend.commands import CreateTags, DeleteTags, Launch, PurgeTenant, SetHostState, SetQuota
from backend.drivers.memory import Fault
from backend.engine import EngineSettings
from backend.engine.groups import Party
from backend.engine.scheduler import _deploy
from backend.errors import BackendError, Code
from backend.launch_commands import CreatePlacementGroup, DeletePlacementGroup, PlaceInstance
from backend.launch_model import PlacementGroup, Strategy
from backend.model import Api, Capacity, HostState, Reason
from backend.store import GroupMember
from backend.store.queries import InstanceRows


def cloud_of(*memory_mib, **changes):
    """A cloud with hosts of so much memory."""
    cloud = Cloud(hosts=0, settings=EngineSettings(network=NETWORK, **changes))
    for size in memory_mib:
        cloud.add_host(Capacity(cpu=800, memory_mib=size, disk_gib=100))
    cloud.poll()
    return cloud


def group_of(cloud, strategy, name="g", **parameters):
    command = CreatePlacementGroup(name=name, strategy=strategy, **parameters)
    return cloud.engine.execute(cloud.caller, command)


def where(cloud, *instances):
    return [cloud.get(each).host_id for each in instances]


def refused(cloud, command, caller=None):
    with pytest.raises(BackendError) as caught:
        cloud.engine.execute(caller or cloud.caller, command)
    return caught.value.code


# What waits ---------------------------------------------------------------------------------------------


def test_what_waits_says_why_and_holds_up_nobody():
    cloud = cloud_of(2048, 2048)
    group_of(cloud, Strategy.SPREAD, "web")
    three = cloud.launch(minimum=3, maximum=3, group="web")
    alone = cloud.launch()[0]
    cloud.settle()
    waiting = cloud.get(three[2])
    assert [cloud.get(each).detail for each in (*three, alone)] == ["runn", "runn", "pend", "runn"]
    assert waiting.reason is Reason.NO_CAPACITY
    assert waiting.reason_text == "2 hosts: 2 with an instance of the spread group 'web'"
    cloud.add_host(Capacity(cpu=400, memory_mib=1024, disk_gib=9))
    cloud.poll()
    cloud.settle()
    assert len(set(where(cloud, *three))) == 3


def test_kinds_that_fit_nowhere_are_told_apart_by_their_groups():
    cloud = cloud_of(2048)
    group_of(cloud, Strategy.SPREAD, "one")
    group_of(cloud, Strategy.SPREAD, "two")
    ids = [cloud.launch(minimum=2, maximum=2, group=name) for name in ("one", "two")]
    cloud.settle()
    assert [cloud.get(each).detail for pair in ids for each in pair] == ["runn", "pend"] * 2
    assert [cloud.get(pair[1]).reason_text for pair in ids] == [
        f"1 hosts: 1 with an instance of the spread group '{name}'" for name in ("one", "two")
    ]


def test_a_member_that_stops_keeps_its_place_and_one_that_ends_gives_it_back():
    cloud = cloud_of(2048, 2048)
    group_of(cloud, Strategy.SPREAD)
    one, two = cloud.launch(minimum=2, maximum=2, group="g")
    cloud.settle()
    cloud.do(Op.POWEROFF, one)
    (third,) = cloud.launch(group="g")
    cloud.settle()
    assert cloud.get(third).detail == "pend"
    place = cloud.get(one).host_id
    assert cloud.do(Op.START, one).detail == "runn"
    assert where(cloud, one) == [place]
    cloud.do(Op.TERMINATE, one)
    assert where(cloud, third) == [place]
    assert where(cloud, two) != [place]


def test_a_member_whose_host_fails_goes_where_the_group_lets_it():
    cloud = cloud_of(4096, 2048, 1024)
    group_of(cloud, Strategy.SPREAD)
    first = cloud.started(group="g")
    assert where(cloud, first) == cloud.host_ids[:1]
    cloud.host(1).broken.add("prepare")
    cloud.host(1).broken.add("start")
    second = cloud.launch(group="g")[0]
    cloud.quiesce()
    assert where(cloud, second) == [cloud.host_ids[2]]


def test_a_launch_that_fails_where_its_cluster_is_has_failed():
    """There is no other host for it, so it does not wait for one in vain."""
    cloud = cloud_of(4096, 4096)
    group_of(cloud, Strategy.CLUSTER)
    first = cloud.started(group="g")
    cloud.host_of(first).broken.update({"prepare", "start"})
    second = cloud.launch(group="g")[0]
    cloud.quiesce()
    assert cloud.get(second).detail == "done"
    assert cloud.get(first).detail == "runn"


def test_instances_that_go_back_to_the_queue_obey_the_group_again():
    cloud = cloud_of(2048, 2048)
    group_of(cloud, Strategy.PARTITION, partitions=2)
    one = cloud.started(group="g", partition=1)
    two = cloud.started(group="g", partition=2)
    places = where(cloud, one, two)
    assert len(set(places)) == 2
    again = cloud.do(Op.RESUBMIT, one)
    assert (again.detail, again.partition, again.host_id) == ("runn", 1, places[0])


# Choices ------------------------------------------------------------------------------------------------


def test_a_partition_keeps_to_its_hosts_so_that_others_find_some():
    cloud = cloud_of(4096, 4096)
    group_of(cloud, Strategy.PARTITION, partitions=2)
    first = [cloud.started(group="g", partition=1) for _ in range(2)]
    second = cloud.started(group="g", partition=2)
    assert len(set(where(cloud, *first))) == 1
    assert where(cloud, second) != where(cloud, first[0])


def test_the_emptiest_partition_comes_first():
    cloud = cloud_of(4096, 4096, 4096)
    group_of(cloud, Strategy.PARTITION, partitions=3)
    cloud.started(group="g", partition=2)
    numbers = [cloud.started(group="g").partition for _ in range(5)]
    assert sorted(numbers[:2]) == [1, 3]
    assert sorted(numbers[2:]) == [1, 2, 3]


MEMBER = GroupMember(group_id="pg", instance_id="i-other", zone="us-east-1a", partition=0, host_id="h1")


def party(strategy, *members, level="rack"):
    group = PlacementGroup(
        id="pg",
        tenant_id="t",
        account_id="1",
        region="us-east-1",
        created_at=0.0,
        name="g",
        strategy=strategy,
        partitions=3 if strategy is Strategy.PARTITION else 0,
        spread_level=level if strategy is Strategy.SPREAD else "",
    )
    return Party(group=group, members=members)


def test_the_seventh_of_a_zone_is_the_last_also_for_the_claim():
    cloud = cloud_of(1024)
    (instance,) = cloud.launch()
    seven = [
        msgspec.structs.replace(MEMBER, instance_id=f"i-{number}", host_id=f"h{number}")
        for number in range(7)
    ]
    assert party(Strategy.SPREAD, *seven).choices(instance, "h9") == (
        (),
        "in a zone with 7 instances of the spread group 'g'",
    )
    assert party(Strategy.SPREAD, *seven[1:]).choices(instance, "h9")[0]
    assert party(Strategy.SPREAD, *seven, level="host").choices(instance, "h9")[0]
    elsewhere = [msgspec.structs.replace(each, zone="us-east-1b") for each in seven]
    assert party(Strategy.SPREAD, *elsewhere).choices(instance, "h9")[0]


def test_an_instance_is_no_neighbour_of_itself():
    cloud = cloud_of(1024)
    (instance,) = cloud.launch()
    itself = msgspec.structs.replace(MEMBER, instance_id=instance.id)
    for strategy in Strategy:
        assert party(strategy, itself).choices(instance, "h1")[0]
        assert party(strategy, itself).choices(instance, "h2")[0]


# Records ------------------------------------------------------------------------------------------------


def test_groups_are_tagged_and_go_with_their_tenant():
    cloud = cloud_of(1024)
    group = group_of(cloud, Strategy.CLUSTER, tags=(("a", "b"),))
    cloud.engine.execute(cloud.caller, CreateTags(ids=(group.id,), tags=(("c", "d"),)))
    assert cloud.engine.tags_of([group.id]) == {group.id: {"a": "b", "c": "d"}}
    cloud.engine.execute(cloud.caller, DeleteTags(ids=(group.id,), tags=(("a", None),)))
    assert refused(cloud, CreateTags(ids=(group.id,), tags=(("x", "y"),)), cloud.other) is (
        Code.RESOURCE_NOT_FOUND
    )
    cloud.engine.execute(ADMIN, PurgeTenant(tenant_id=cloud.tenant.id, remove=True))
    with cloud.store.read() as tx:
        assert tx.placement_groups.all() == []
        assert tx.tags.of([group.id]) == {}


def test_deleting_a_group_takes_its_tags():
    cloud = cloud_of(1024)
    group = group_of(cloud, Strategy.CLUSTER, tags=(("a", "b"),))
    cloud.engine.execute(cloud.caller, DeletePlacementGroup(name=group.id))
    assert cloud.engine.tags_of([group.id]) == {}


def test_only_stopped_instances_move():
    cloud = cloud_of(1024)
    group_of(cloud, Strategy.SPREAD)
    instance = cloud.started()
    move = PlaceInstance(instance_id=instance.id, group="g")
    assert refused(cloud, move) is Code.INSTANCE_WRONG_STATE
    cloud.operate(Op.POWEROFF, instance)
    assert refused(cloud, move) is Code.INSTANCE_BUSY
    cloud.settle()
    before = cloud.get(instance)
    moved = cloud.engine.execute(cloud.caller, move)
    assert moved.version == before.version + 1
    assert cloud.engine.execute(cloud.caller, move).version == moved.version
    assert cloud.events(instance)[-1].reason == "group_id, partition"
    cloud.do(Op.TERMINATE, instance)
    assert refused(cloud, move) is Code.INSTANCE_NOT_FOUND


# Room for launches --------------------------------------------------------------------------------------


def test_only_launches_through_ec2_are_refused():
    cloud = cloud_of(512, refuse_when_full=True)
    cloud.started()
    assert refused(cloud, Launch(image_id=cloud.image.id)) is Code.NO_CAPACITY
    occi = cloud.login("olga", cloud.tenant, Api.OCCI)
    waiting = cloud.launch(occi)[0]
    cloud.settle()
    assert cloud.get(waiting).detail == "pend"
    assert cloud.get(waiting).reason is Reason.NO_CAPACITY


def test_what_waits_has_the_room_before_a_new_launch():
    cloud = cloud_of(1024, refuse_when_full=True)
    cloud.launch(minimum=2, maximum=2)  # not placed yet
    assert refused(cloud, Launch(image_id=cloud.image.id)) is Code.NO_CAPACITY
    cloud.settle()
    assert len(cloud.host(0).running()) == 2


def test_a_refused_launch_leaves_nothing():
    cloud = cloud_of(512, refuse_when_full=True)
    cloud.started()
    before = cloud._standing()
    command = Launch(
        image_id=cloud.image.id, minimum=1, maximum=3, client_token="t", token_digest="d", tags=(("a", "b"),)
    )
    assert refused(cloud, command) is Code.NO_CAPACITY
    assert cloud._standing() == before
    assert cloud.queue.work == type(cloud.queue.work)()


def test_limits_are_told_before_capacity():
    """Waiting does not help against a quota."""
    cloud = cloud_of(512, refuse_when_full=True)
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 0}))
    assert refused(cloud, Launch(image_id=cloud.image.id, flavor="t2.large")) is Code.QUOTA_INSTANCES


@pytest.mark.parametrize("state", [HostState.DISABLED, HostState.MAINTENANCE, HostState.OFFLINE])
def test_a_host_that_takes_nothing_new_is_no_room(state):
    cloud = cloud_of(4096, refuse_when_full=True)
    cloud.engine.execute(ADMIN, SetHostState(host_id=cloud.host_ids[0], state=state.value))
    assert refused(cloud, Launch(image_id=cloud.image.id)) is Code.NO_CAPACITY


def test_a_host_that_is_being_met_may_have_room():
    cloud = cloud_of(512, refuse_when_full=True)
    cloud.started()
    cloud.add_host(Capacity(cpu=400, memory_mib=512, disk_gib=9))  # nobody has asked it yet
    two = cloud.launch(minimum=2, maximum=2)
    cloud.poll()
    cloud.settle()
    assert sorted(cloud.get(each).detail for each in two) == ["pend", "runn"]
    cloud.operate(Op.TERMINATE, *two)
    cloud.settle()
    cloud.set_host(1, HostState.INIT)  # what it has is known
    assert len(cloud.launch(minimum=1, maximum=2)) == 1


def test_a_host_that_cannot_be_met_has_no_room():
    cloud = cloud_of(512, refuse_when_full=True)
    cloud.started()
    cloud.add_host(Capacity(cpu=400, memory_mib=512, disk_gib=9)).silent = True
    cloud.poll()
    assert refused(cloud, Launch(image_id=cloud.image.id)) is Code.NO_CAPACITY


@settings(max_examples=12, deadline=None)
@given(
    hosts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    taken=st.integers(0, 4),
    strategy=st.sampled_from([None, *Strategy]),
    wanted=st.integers(1, 12),
)
def test_what_is_said_to_fit_does_fit(hosts, taken, strategy, wanted):
    """With nobody else at it, every instance of an accepted launch is placed, and one more would not be."""
    cloud = cloud_of(*(512 * size for size in hosts), refuse_when_full=True)
    cloud.engine.execute(
        ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 1000, "cores": 1000})
    )
    for _ in range(min(taken, sum(hosts))):
        cloud.started()
    if strategy is not None:
        group_of(cloud, strategy)
    group = "g" if strategy is not None else ""
    try:
        made = cloud.launch(minimum=1, maximum=wanted, group=group)
    except BackendError as error:
        made, code = [], error.code
    else:
        code = None
    assert code in {None, Code.NO_CAPACITY}
    cloud.settle()
    assert all(cloud.get(each).detail == "runn" for each in made)
    if len(made) < wanted:
        assert refused(cloud, Launch(image_id=cloud.image.id, group=group)) is Code.NO_CAPACITY


# Any order of things ------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("launch"), st.integers(1, 3), st.sampled_from(Strategy), st.integers(0, 3)),
    st.tuples(st.sampled_from(["stop", "start", "end", "resubmit"]), st.integers(0, 20)),
    st.tuples(st.just("move"), st.integers(0, 20), st.sampled_from([*Strategy, ""]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["host", "fault"]), st.integers(0, 3)),
    st.tuples(st.just("work"), st.integers(1, 40)),
)
OPS = {"stop": Op.POWEROFF, "start": Op.START, "end": Op.TERMINATE, "resubmit": Op.RESUBMIT}


def keeps_the_rules(cloud, groups):
    with cloud.store.read() as tx:
        members = tx.instances.members(list(groups))
    for group_id, rows in members.items():
        placed = [(row.host_id, row.partition) for row in rows if row.host_id]
        hosts = {host for host, _ in placed}
        match groups[group_id]:
            case Strategy.CLUSTER:
                assert len(hosts) <= 1
            case Strategy.SPREAD:
                assert len(hosts) == len(placed)
            case Strategy.PARTITION:
                assert len(set(placed)) == len(hosts)
                assert all(1 <= number <= 3 for _, number in placed)


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(STEP, min_size=5, max_size=16))
def test_the_rules_hold_whatever_is_done(steps):
    cloud = cloud_of(1024, 2048, 2048, 1536)
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 25, "cores": 1000}))
    groups = {}
    for strategy in Strategy:
        count = 3 if strategy is Strategy.PARTITION else None
        groups[group_of(cloud, strategy, strategy.value, partitions=count).id] = strategy
    ids = [each.id for each in cloud.launch(minimum=2, maximum=2, group="spread")]

    def act(kind, *given):
        match kind:
            case "launch":
                count, strategy, partition = given
                partition = partition if strategy is Strategy.PARTITION else 0
                made = cloud.launch(minimum=1, maximum=count, group=strategy.value, partition=partition)
                ids.extend(each.id for each in made)
            case "move":
                pick, group, partition = given
                command = PlaceInstance(
                    instance_id=ids[pick % len(ids)], group=group, partition=partition if group else 0
                )
                cloud.engine.execute(cloud.caller, command)
            case "host":
                on = cloud.engine.hosts()[given[0]].state is HostState.ON
                cloud.set_host(given[0], HostState.DISABLED if on else HostState.INIT)
                cloud.poll()
            case "fault":
                cloud.host(given[0]).plan.append((2, Fault.FAIL_BEFORE))
            case "work":
                for _ in range(given[0]):
                    cloud.step()
            case _:
                cloud.operate(OPS[kind], ids[given[0] % len(ids)])

    for step in steps:
        try:
            act(*step)
        except BackendError:  # what the life-cycle, a quota or a group does not allow now
            pass
        keeps_the_rules(cloud, groups)
    cloud.settle()
    keeps_the_rules(cloud, groups)


@pytest.mark.parametrize("wanted", [1, 8, 9, 21, 24, 25])
def test_room_in_a_large_cloud_is_the_sum_of_its_hosts(wanted):
    """However few of them are looked at: twelve hosts, each with room for two."""
    cloud = cloud_of(*[1024] * 12, refuse_when_full=True)
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas={"instances": 99, "cores": 99}))
    cloud.launch(minimum=wanted % 5 + 1, maximum=wanted % 5 + 1)  # these wait, and come first
    left = 24 - (wanted % 5 + 1)
    command = Launch(image_id=cloud.image.id, minimum=wanted, maximum=wanted)
    if wanted > left:
        assert refused(cloud, command) is Code.NO_CAPACITY
    else:
        cloud.engine.execute(cloud.caller, command)
        cloud.settle()
        assert sum(len(cloud.host(number).running()) for number in range(12)) == wanted + 24 - left


def test_an_instance_that_changed_its_group_meanwhile_is_not_placed_by_the_old_one(monkeypatch):
    cloud = cloud_of(2048)
    group = group_of(cloud, Strategy.SPREAD)
    instance = cloud.launch(group="g")[0]
    read, seen = InstanceRows.get, []

    def moved(rows, *key):
        """As it was at the first look."""
        found = read(rows, *key)
        seen.append(found)
        return msgspec.structs.replace(found, group_id="") if len(seen) == 1 else found

    with cloud.store.begin() as tx:
        monkeypatch.setattr(InstanceRows, "get", moved)
        assert not _deploy(cloud.engine.work(tx, ADMIN), instance.id, cloud.host_ids[0])
    assert seen[-1].group_id == group.id
    cloud.settle()
    assert cloud.get(instance).detail == "runn"
