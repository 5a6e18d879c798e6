"""The rules of placement groups when two workers claim at once, on both databases: one of two gives way."""

from __future__ import annotations

import pytest
from simulation import ADMIN, Cloud, Op
from test_engine_concurrency import together

from backend.commands import Launch, SetQuota
from backend.engine.groups import parties
from backend.engine.scheduler import Scheduler, _deploy
from backend.engine.work import ENGINE
from backend.errors import BackendError, Code
from backend.launch_commands import CreatePlacementGroup, DeletePlacementGroup, PlaceInstance
from backend.launch_model import Strategy
from backend.model import Capacity
from backend.store import Conflict

TRIALS = 4


@pytest.fixture
def cloud(database):
    made = Cloud(hosts=0, url=database)
    for _ in range(4):
        made.add_host(Capacity(cpu=800, memory_mib=8192, disk_gib=100))
    made.poll()
    made.engine.execute(ADMIN, SetQuota(tenant_id=made.tenant.id, quotas={"instances": 1000, "cores": 1000}))
    yield made
    made.store.close()


def group_of(cloud, strategy, name="g"):
    command = CreatePlacementGroup(name=name, strategy=strategy, spread_level="")
    return cloud.engine.execute(cloud.caller, command)


def claim(cloud, instance, host, partition=0):
    """What a scheduler does with what it chose; whether it was admitted."""

    def deed():
        try:
            with cloud.store.begin() as tx:
                return _deploy(cloud.engine.work(tx, ENGINE), instance.id, cloud.host_ids[host], partition)
        except (Conflict, BackendError):  # the scheduler looks once more then
            return False

    return deed


def places(cloud, group):
    """Host and partition of each placed instance of a group."""
    with cloud.store.read() as tx:
        party = parties(tx, [group.id])[group.id]
    return [(each.host_id, each.partition) for each in party.members if each.host_id]


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        (Strategy.SPREAD, (0, 0), (0, 0)),
        (Strategy.CLUSTER, (0, 0), (1, 0)),
        (Strategy.PARTITION, (0, 1), (0, 2)),
    ],
)
def test_of_two_claims_against_the_rule_one_is_admitted(cloud, strategy, first, second):
    for trial in range(TRIALS):
        group = group_of(cloud, strategy, f"g{trial}")
        one, two = cloud.launch(minimum=2, maximum=2, group=group.id)
        answers = together(claim(cloud, one, *first), claim(cloud, two, *second))
        assert sorted(answers) == [False, True], (trial, answers)
        assert len(places(cloud, group)) == 1


def test_claims_that_suit_each_other_are_both_admitted(cloud):
    group = group_of(cloud, Strategy.SPREAD)
    ids = cloud.launch(minimum=4, maximum=4, group=group.name)
    answers = together(*(claim(cloud, each, number) for number, each in enumerate(ids)))
    assert answers == [True] * 4
    assert len({host for host, _ in places(cloud, group)}) == 4


def test_a_move_into_a_group_beside_a_claim(cloud):
    for trial in range(TRIALS):
        group = group_of(cloud, Strategy.SPREAD, f"g{trial}")
        mover = cloud.do(Op.POWEROFF, cloud.started())
        (new,) = cloud.launch(group=group.id)
        command = PlaceInstance(instance_id=mover.id, group=group.id)
        host = cloud.host_ids.index(mover.host_id)
        moved, admitted = together(
            lambda command=command: cloud.engine.execute(cloud.caller, command), claim(cloud, new, host)
        )
        if isinstance(moved, BackendError):
            assert moved.code is Code.NO_CAPACITY
            assert admitted
        else:
            assert not admitted
        assert len(places(cloud, group)) == 1


def test_a_group_is_not_deleted_under_a_launch(cloud):
    for trial in range(TRIALS):
        group = group_of(cloud, Strategy.CLUSTER, f"g{trial}")
        launched, deleted = together(
            lambda group=group: cloud.engine.execute(
                cloud.caller, Launch(image_id=cloud.image.id, group=group.name)
            ),
            lambda group=group: cloud.engine.execute(cloud.caller, DeletePlacementGroup(name=group.name)),
        )
        if isinstance(launched, BackendError):
            assert launched.code is Code.PLACEMENT_GROUP_NOT_FOUND
            assert deleted is None
        else:
            assert isinstance(deleted, BackendError)
            assert deleted.code is Code.PLACEMENT_GROUP_IN_USE


def test_two_of_one_name_are_one(cloud):
    command = CreatePlacementGroup(name="once")
    answers = together(*[lambda: cloud.engine.execute(cloud.caller, command)] * 4)
    refusals = [each for each in answers if isinstance(each, BackendError)]
    assert [each.code for each in refusals] == [Code.PLACEMENT_GROUP_EXISTS] * 3


def test_a_spread_group_is_not_overfilled_by_launches_at_once(cloud):
    group = group_of(cloud, Strategy.SPREAD)
    command = Launch(image_id=cloud.image.id, minimum=2, maximum=2, group=group.name)
    answers = together(*[lambda: cloud.engine.execute(cloud.caller, command)] * 5)
    refusals = [each for each in answers if isinstance(each, BackendError)]
    assert [each.code for each in refusals] == [Code.NO_CAPACITY] * 2
    with cloud.store.read() as tx:
        assert len(parties(tx, [group.id])[group.id].members) == 6


def test_two_schedulers_at_once(cloud):
    """Two workers pass over the same queue again and again; what fits is placed, and the rules hold."""
    groups = {strategy: group_of(cloud, strategy, strategy.value) for strategy in Strategy}
    for strategy, count in ((Strategy.SPREAD, 6), (Strategy.CLUSTER, 5), (Strategy.PARTITION, 6)):
        cloud.launch(minimum=count, maximum=count, group=groups[strategy].id)
    cloud.launch(minimum=6, maximum=6)
    workers = [Scheduler(cloud.engine), Scheduler(cloud.engine)]

    def work(scheduler):
        def deed():
            for _ in range(4):
                try:
                    scheduler.run()
                except Conflict:
                    continue

        return deed

    answers = together(*(work(each) for each in workers))
    assert answers == [None, None]
    workers[0].run()
    spread = places(cloud, groups[Strategy.SPREAD])
    assert len(spread) == len({host for host, _ in spread}) == 4
    cluster = places(cloud, groups[Strategy.CLUSTER])
    assert len(cluster) == 5
    assert len({host for host, _ in cluster}) == 1
    partitions = places(cloud, groups[Strategy.PARTITION])
    assert sorted(number for _, number in partitions) == [1, 1, 1, 2, 2, 2]
    assert len(set(partitions)) == len({host for host, _ in partitions})
    with cloud.store.read() as tx:
        waiting = tx.instances.in_details(["pend"])
    assert [row.reason_text for row in waiting] == [
        "4 hosts: 4 with an instance of the spread group 'spread'"
    ] * 2
