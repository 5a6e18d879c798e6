"""Launching: what is claimed, what is refused, what a token repeats."""

from __future__ import annotations

import pytest
from simulation import ADMIN, Cloud, Op

from backend.commands import DeregisterImage, ImportKeyPair, Launch, ModifyImage, SetQuota
from backend.engine import EngineSettings, RowQuery
from backend.engine.settings import NetworkSettings
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import BlockDevice, Capacity, GuestShutdown, QuotaName, Reason, Tag


@pytest.fixture
def cloud():
    return Cloud()


def refusal(cloud, command, caller=None, **flags):
    before = cloud._standing()
    with pytest.raises(BackendError) as refused:
        cloud.engine.execute(caller or cloud.caller, command, **flags)
    assert cloud._standing() == before
    return refused.value


def limit(cloud, **quotas):
    cloud.engine.execute(ADMIN, SetQuota(tenant_id=cloud.tenant.id, quotas=quotas))


def test_a_launch_goes_through_its_stages_to_running(cloud):
    instance = cloud.started(user_data=b"#!/bin/sh\n", tags=(("Name", "web"),))
    assert cloud.details(instance) == ["pend", "prol.new", "boot.new", "runn"]
    assert cloud.host().running() == {instance.id}
    assert cloud.host().files_of(instance.id) == {"seed"}
    (root,) = cloud.disks(instance)
    assert cloud.host().disks(instance.id) == {"vda": root.id}
    assert cloud.host().volumes[root.id].content == b"image guest"
    assert (root.boot, root.made, root.delete_on_termination) == (True, True, True)
    assert instance.launched_at is not None
    assert cloud.engine.tags_of([instance.id]) == {instance.id: {"Name": "web"}}


def test_ephemeral_storage_is_a_second_disk(cloud):
    instance = cloud.started(flavor="t2.large")
    assert cloud.host().files_of(instance.id) == {"vdb", "seed"}
    (root,) = cloud.disks(instance)
    assert cloud.host().disks(instance.id) == {"vda": root.id, "vdb": f"{instance.id}.vdb"}
    assert cloud.host().volumes[f"{instance.id}.vdb"].virtual_bytes == 2 << 30
    assert cloud.host().volumes[root.id].virtual_bytes == 4 << 30


def test_a_launch_without_a_zone_goes_where_there_is_most_room():
    zones = {"us-east-1": ("us-east-1a", "us-east-1b", "us-east-1c")}
    cloud = Cloud(hosts=0, settings=EngineSettings(zones=zones))
    assert cloud.launch()[0].zone == "us-east-1a"  # no host anywhere: one zone is as good as another
    small = Capacity(cpu=400, memory_mib=4096, disk_gib=100)
    cloud.add_host(small, zone="us-east-1c")
    cloud.poll()
    assert cloud.started().zone == "us-east-1c"
    cloud.add_host(small, zone="us-east-1b")
    cloud.poll()
    assert [cloud.started().zone for _ in range(3)] == ["us-east-1b", "us-east-1b", "us-east-1c"]
    assert cloud.started(zone="us-east-1b").zone == "us-east-1b"


def test_as_many_as_the_quota_leaves_but_at_least_the_minimum(cloud):
    limit(cloud, instances=5)
    assert len(cloud.launch(minimum=1, maximum=3)) == 3
    assert len(cloud.launch(minimum=1, maximum=3)) == 2
    error = refusal(cloud, Launch(image_id=cloud.image.id))
    assert (error.code, error.context["limit"]) == (Code.QUOTA_INSTANCES, 5)


def test_the_minimum_is_all_or_nothing(cloud):
    limit(cloud, instances=5)
    error = refusal(cloud, Launch(image_id=cloud.image.id, minimum=6, maximum=9))
    assert error.code is Code.QUOTA_INSTANCES
    assert cloud.engine.usage(cloud.tenant.id) == (0, 0, 0)


@pytest.mark.parametrize(
    ("quota", "code"), [(QuotaName.CORES, Code.QUOTA_CORES), (QuotaName.MEMORY_MIB, Code.QUOTA_MEMORY)]
)
def test_sizes_count_too(cloud, quota, code):
    limit(cloud, **{quota.value: 1})
    assert refusal(cloud, Launch(image_id=cloud.image.id, flavor="t2.large")).code is code


def test_an_ended_instance_gives_its_share_back(cloud):
    limit(cloud, instances=1)
    cloud.do(Op.TERMINATE, cloud.started())
    assert cloud.started()


def test_instances_of_one_launch_share_it_and_nothing_else(cloud):
    made = cloud.launch(minimum=4, maximum=4)
    assert len({item.launch_id for item in made}) == 1
    assert [item.launch_index for item in made] == [0, 1, 2, 3]
    for name in ("id", "address", "mac"):
        assert len({getattr(item, name) for item in made}) == 4


def test_addresses_are_never_given_twice_and_come_back():
    cloud = Cloud(settings=EngineSettings(network=NetworkSettings(default_vpc="10.0.0.0/27")))
    first = cloud.launch(minimum=1, maximum=100)
    assert len({item.address for item in first}) == len(first) == 11, "of a /28, five are nobody's"
    assert refusal(cloud, Launch(image_id=cloud.image.id)).code is Code.ADDRESSES_EXHAUSTED
    cloud.operate(Op.TERMINATE, first[7])
    assert cloud.launch()[0].address == first[7].address


def test_a_known_token_gives_the_same_answer_and_makes_nothing(cloud):
    command = Launch(image_id=cloud.image.id, maximum=2, client_token="t", token_digest="a")
    first = cloud.engine.execute(cloud.caller, command)
    cloud.settle()
    again = cloud.engine.execute(cloud.caller, command)
    assert again.replayed
    assert not first.replayed
    assert [item.id for item in again.instances] == [item.id for item in first.instances]
    assert again.instances[0].detail == "runn"
    assert cloud.engine.usage(cloud.tenant.id)[0] == 2


def test_a_token_belongs_to_its_parameters_and_its_tenant(cloud):
    command = Launch(image_id=cloud.image.id, client_token="t", token_digest="a")
    (mine,) = cloud.engine.execute(cloud.caller, command).instances
    other = Launch(image_id=cloud.image.id, client_token="t", token_digest="b")
    assert refusal(cloud, other).code is Code.TOKEN_MISMATCH
    (theirs,) = cloud.engine.execute(cloud.other, other).instances
    assert theirs.id != mine.id


def test_a_token_of_ended_instances_starts_nothing_new(cloud):
    command = Launch(image_id=cloud.image.id, client_token="t", token_digest="a")
    (instance,) = cloud.engine.execute(cloud.caller, command).instances
    cloud.operate(Op.TERMINATE, instance)
    assert refusal(cloud, command).code is Code.TOKEN_TERMINATED


def test_a_dry_run_says_yes_and_changes_nothing(cloud):
    before = cloud._standing()
    with pytest.raises(DryRunPassed):
        cloud.engine.execute(
            cloud.caller, Launch(image_id=cloud.image.id, client_token="t", tags=(("a", "b"),)), dry_run=True
        )
    assert cloud._standing() == before
    assert not cloud.queue.work
    assert not cloud.engine.listing(cloud.caller, Tag, RowQuery())


def test_a_dry_run_of_what_would_be_refused_is_refused(cloud):
    assert refusal(cloud, Launch(image_id="ami-0"), dry_run=True).code is Code.IMAGE_NOT_FOUND


def test_a_foreign_private_image_is_an_unknown_one(cloud):
    private = cloud.register("private", cloud.other, public=False)
    foreign = refusal(cloud, Launch(image_id=private.id))
    unknown = refusal(cloud, Launch(image_id="ami-00000000000000000"))
    assert foreign.code is unknown.code is Code.IMAGE_NOT_FOUND
    assert foreign.message.replace(private.id, "?") == unknown.message.replace("ami-00000000000000000", "?")


def test_a_shared_image_may_be_launched(cloud):
    private = cloud.register("private", cloud.other, public=False)
    cloud.engine.execute(
        cloud.other, ModifyImage(image_id=private.id, add_accounts=(cloud.caller.account_id,))
    )
    assert cloud.started(image_id=private.id)


def test_a_withdrawn_or_disabled_image_is_not_launched(cloud):
    cloud.engine.execute(cloud.caller, ModifyImage(image_id=cloud.image.id, enabled=False))
    assert refusal(cloud, Launch(image_id=cloud.image.id)).code is Code.IMAGE_UNAVAILABLE
    cloud.engine.execute(cloud.caller, DeregisterImage(image_id=cloud.image.id))
    assert refusal(cloud, Launch(image_id=cloud.image.id)).code is Code.IMAGE_UNAVAILABLE
    assert refusal(cloud, Launch(image_id=cloud.image.id), cloud.other).code is Code.IMAGE_NOT_FOUND


def test_a_key_is_the_tenants_own(cloud):
    pair = ImportKeyPair(name="k", key_type="ed25519", fingerprint="f", public_key="ssh-ed25519 AAAA ann")
    cloud.engine.execute(cloud.caller, pair)
    command = Launch(image_id=cloud.image.id, key_name="k")
    assert refusal(cloud, command, cloud.other).code is Code.KEY_PAIR_NOT_FOUND
    assert cloud.launch(key_name="k")[0].public_keys == ("ssh-ed25519 AAAA ann",)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"minimum": 0}, Code.PARAMETER_INVALID),
        ({"minimum": 3, "maximum": 2}, Code.PARAMETER_INVALID),
        ({"vcpus": 0}, Code.PARAMETER_INVALID),
        ({"flavor": "none"}, Code.FLAVOR_NOT_FOUND),
        ({"zone": "nowhere"}, Code.ZONE_NOT_FOUND),
        ({"user_data": b"x" * 16385}, Code.USER_DATA_TOO_LARGE),
        ({"tags": (("aws:x", "y"),)}, Code.TAG_RESERVED),
        ({"tags": (("", "y"),)}, Code.TAG_INVALID),
        ({"tags": tuple((str(n), "") for n in range(51))}, Code.TAG_LIMIT),
    ],
)
def test_what_is_malformed_is_refused(cloud, parameters, code):
    assert refusal(cloud, Launch(**{"image_id": cloud.image.id, **parameters})).code is code


def test_a_held_instance_waits_until_it_is_released(cloud):
    (instance,) = cloud.launch(held=True)
    cloud.quiesce()
    assert cloud.get(instance).detail == "hold"
    assert cloud.do(Op.RELEASE, instance).detail == "runn"


def test_what_waits_can_be_held_and_an_end_is_at_once(cloud):
    cloud.host().silent = True
    (instance,) = cloud.launch()
    cloud.operate(Op.HOLD, instance)
    (change,) = cloud.operate(Op.TERMINATE, instance)
    assert (change.before.detail, change.after.detail) == ("hold", "done")
    assert change.after.ended_at is not None
    assert change.after.reason is Reason.USER_SHUTDOWN


def test_what_the_launch_says_is_kept(cloud):
    (instance,) = cloud.launch(
        on_guest_shutdown=GuestShutdown.TERMINATE, locked_terminate=True, hostname="h", summary="s"
    )
    assert instance.on_guest_shutdown is GuestShutdown.TERMINATE
    assert instance.locked_terminate
    assert (instance.hostname, instance.summary) == ("h", "s")


def test_nothing_takes_the_place_of_the_root(cloud):
    snapshot = BlockDevice(device="/dev/sda1", snapshot_id="snap-0123456789abcdef0")
    for mapping in (snapshot, BlockDevice(device="/dev/vda", no_device=True)):
        with pytest.raises(BackendError) as refused:
            cloud.launch(mappings=(mapping,))
        assert refused.value.code is Code.BLOCK_DEVICE_INVALID
