"""What the store promises: claims given once, listings in order and in pages, sums, all-or-nothing."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from store_samples import (
    REGION,
    TENANT,
    content,
    host,
    image,
    instance,
    job,
    snapshot,
    tag,
    task,
    tenant,
    volume,
)

from backend.errors import BackendError, Code
from backend.model import (
    BlockDevice,
    Debris,
    ImageState,
    JobState,
    KeyPair,
    Placement,
    Reservation,
    Role,
    SnapshotState,
    Stay,
    TaskKind,
    User,
    UserMixin,
    VolumeState,
)
from backend.network_model import Lease, NetworkAcl, Nic, Subnet, Vpc
from backend.store import Conflict, InstanceQuery, LaunchToken, VolumeToken
from backend.store.tables import instance as instance_table


@pytest.fixture
def cloud(store):
    """Two tenants with an image, and two hosts."""
    with store.begin() as tx:
        tx.tenants.insert_all([tenant(1), tenant(2)])
        tx.images.insert(image(1))
        tx.hosts.insert_all([host(1), host(2)])
    return store


def refused(store, act) -> bool:
    try:
        with store.begin() as tx:
            act(tx)
    except Conflict:
        return True
    return False


# Claims -------------------------------------------------------------------------------------------------


def test_addresses_and_macs_have_one_holder_in_a_subnet(cloud):
    owned: dict[str, Any] = {"tenant_id": TENANT, "account_id": "1", "region": REGION, "created_at": 1.0}

    def nic(number, subnet_id, **changes):
        fields = {"zone": "north-a", "vpc_id": "vpc-1", "mac": f"m{number}", "address": f"10.0.0.{number}"}
        return Nic(id=f"eni-{number}", subnet_id=subnet_id, **{**owned, **fields, **changes})

    def lease(number, subnet_id, address="10.0.0.9"):
        return Lease(subnet_id=subnet_id, address=address, nic_id=f"eni-{number}")

    with cloud.begin() as tx:
        tx.vpcs.insert(Vpc(id="vpc-1", cidr="10.0.0.0/16", **owned))
        tx.network_acls.insert(NetworkAcl(id="acl-1", vpc_id="vpc-1", **owned))
        for name in "ab":
            fields = {"cidr": f"10.0.{name}", "acl_id": "acl-1", "acl_association_id": f"aclassoc-{name}"}
            tx.subnets.insert(
                Subnet(id=f"subnet-{name}", vpc_id="vpc-1", zone="north-a", **{**owned, **fields})
            )
        tx.nics.insert_all([nic(1, "subnet-a"), nic(2, "subnet-a"), nic(3, "subnet-b")])
        tx.leases.insert(lease(1, "subnet-a"))
    assert refused(cloud, lambda tx: tx.nics.insert(nic(4, "subnet-a", mac="m1")))
    assert refused(cloud, lambda tx: tx.leases.insert(lease(2, "subnet-a")))
    assert not refused(cloud, lambda tx: tx.leases.insert(lease(3, "subnet-b")))
    with cloud.begin() as tx:
        assert tx.leases.taken("subnet-a", ["10.0.0.9", "10.0.0.10"]) == {"10.0.0.9"}
        tx.leases.free("eni-1")
        assert tx.leases.taken("subnet-a", ["10.0.0.9"]) == set()
    assert not refused(cloud, lambda tx: tx.leases.insert(lease(2, "subnet-a")))


def test_names_and_tokens_are_given_once(cloud):
    def key(number, name, owner=TENANT, region=REGION):
        return KeyPair(
            id=f"key-{number}",
            tenant_id=owner,
            region=region,
            name=name,
            key_type="ed25519",
            fingerprint="f",
            public_key="k",
            created_at=1.0,
        )

    def token(region="north"):
        return LaunchToken(
            tenant_id=TENANT, region=region, token="x", digest="d", launch_id="r-1", created_at=1.0
        )

    def user(number, name):
        return User(
            id=f"u-{number}", tenant_id=TENANT, name=name, role=Role.MEMBER, password_hash="", created_at=1.0
        )

    def mixin(term, location):
        return UserMixin(
            tenant_id=TENANT, scheme="s#", term=term, title="", location=location, created_at=1.0
        )

    with cloud.begin() as tx:
        tx.key_pairs.insert(key(1, "laptop"))
        tx.launch_tokens.insert(token())
        tx.users.insert(user(1, "ann"))
        tx.mixins.insert(mixin("a", "/a/"))
    assert refused(cloud, lambda tx: tx.key_pairs.insert(key(2, "laptop")))
    assert not refused(cloud, lambda tx: tx.key_pairs.insert(key(3, "laptop", "t-2")))
    assert not refused(cloud, lambda tx: tx.key_pairs.insert(key(4, "laptop", region="south")))
    assert refused(cloud, lambda tx: tx.launch_tokens.insert(token()))
    assert not refused(cloud, lambda tx: tx.launch_tokens.insert(token("south")))
    assert refused(cloud, lambda tx: tx.users.insert(user(2, "ann")))
    assert refused(cloud, lambda tx: tx.mixins.insert(mixin("b", "/a/")))
    assert refused(cloud, lambda tx: tx.hosts.insert(host(9, uri=host(1).uri)))
    assert refused(cloud, lambda tx: tx.tenants.insert(msgspec.structs.replace(tenant(1), id="t-9")))


def test_an_image_name_is_free_again_when_the_image_is_gone(cloud):
    assert refused(cloud, lambda tx: tx.images.insert(image(2, name="image1")))
    with cloud.begin() as tx:
        tx.images.update(tx.images.get(image(1).id), state=ImageState.GONE)
    assert not refused(cloud, lambda tx: tx.images.insert(image(2, name="image1")))


def test_one_placement_per_epoch(cloud):
    def placement(epoch, on="h-1"):
        return Placement(instance_id=instance(1).id, epoch=epoch, host_id=on, opened_at=1.0)

    with cloud.begin() as tx:
        tx.placements.insert(placement(1))
        assert tx.placements.last_epoch(instance(1).id) == 1
    assert refused(cloud, lambda tx: tx.placements.insert(placement(1, "h-2")))
    with cloud.begin() as tx:
        tx.placements.insert(placement(2, "h-2"))
        tx.placements.close(placement(1), 5.0, "undefined")
        assert [item.epoch for item in tx.placements.open_of(instance(1).id)] == [2]
        assert tx.placements.open_on("h-1") == []
        assert [item.closed_by for item in tx.placements.of(instance(1).id)] == ["undefined", ""]


def test_a_row_must_refer_to_what_is_there(cloud):
    assert refused(cloud, lambda tx: tx.instances.insert(instance(1, image_id="ami-none")))
    assert refused(cloud, lambda tx: tx.jobs.insert(job(1, "i-none")))


# Transactions -------------------------------------------------------------------------------------------


def test_an_error_leaves_nothing_behind(cloud):
    def half_a_launch():
        with cloud.begin() as tx:
            tx.instances.insert(instance(1))
            tx.tags.put([tag(instance(1).id, "Name", "web")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_a_launch()
    with cloud.read() as tx:
        assert tx.instances.all() == []
        assert tx.tags.all() == []


def test_of_many_writers_of_one_version_one_wins(cloud):
    with cloud.begin() as tx:
        tx.instances.insert(instance(1))
        seen = tx.instances.get(instance(1).id)
    outcomes, start = [], threading.Barrier(6)

    def write(number):
        start.wait()
        try:
            with cloud.begin() as tx:
                tx.instances.update(seen, summary=f"writer {number}")
            outcomes.append("won")
        except BackendError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == sorted(["won", *[Code.STALE] * 5], key=str)
    with cloud.read() as tx:
        assert tx.instances.get(seen.id).version == seen.version + 1


def test_quota_claims_are_checked_one_at_a_time(cloud):
    """Two launches that each just fit must not both pass."""
    limit, start, admitted = 4, threading.Barrier(4), []

    def launch(number):
        start.wait()
        with cloud.begin() as tx:
            tx.tenants.lock(TENANT)
            if tx.instances.usage(TENANT)[1] + 2 <= limit:
                tx.instances.insert(instance(number))
                admitted.append(number)

    threads = [threading.Thread(target=launch, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 2
    with cloud.read() as tx:
        assert tx.instances.usage(TENANT) == (2, 4, 4096)
        assert tx.instances.usage("t-2") == (0, 0, 0)


# Listings -----------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(cloud):
    """Twelve instances: launches of three, two of tenant 2, one in the south, one ended."""
    items = [
        instance(
            number, launch_id=f"r-{number // 3}", launch_index=number % 3, created_at=100.0 + number // 3
        )
        for number in range(12)
    ]
    items[3] = msgspec.structs.replace(items[3], tenant_id="t-2", detail="pend")
    items[4] = msgspec.structs.replace(items[4], tenant_id="t-2")
    items[5] = msgspec.structs.replace(items[5], region="south", flavor="m1.large")
    items[6] = msgspec.structs.replace(items[6], detail="done", ended_at=500.0)
    with cloud.begin() as tx:
        tx.instances.insert_all(reversed(items))
        tx.tags.put(
            [tag(items[0].id, "Name", "web"), tag(items[1].id, "Name", "db"), tag(items[1].id, "x", "")]
        )
        tx.tags.put([tag(items[3].id, "Name", "web", "t-2")])
    return cloud


def numbers(items):
    return [int(item.id.partition("-")[2], 16) for item in items]


def listed(store, **query):
    with store.read() as tx:
        found = tx.instances.find(InstanceQuery(**query))
        assert [item.id for item in tx.instances.keys(InstanceQuery(**query))] == [item.id for item in found]
    return numbers(found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]),
        ({"done_since": 400.0}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ({"done_since": 500.0}, [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]),
        ({"tenant_id": "t-2"}, [3, 4]),
        ({"tenant_id": TENANT, "region": "south"}, [5]),
        ({"ids": (instance(1).id, instance(3).id, "i-none")}, [1, 3]),
        ({"ids": ()}, []),
        ({"tenant_id": TENANT, "ids": (instance(3).id,)}, []),
        ({"equal": {"flavor": ("m1.large", "m1.huge")}}, [5]),
        ({"equal": {"detail": ("pend",), "flavor": ("m1.large",)}}, []),
        ({"tags": (("Name", ("web",)),)}, [0, 3]),
        ({"tenant_id": TENANT, "tags": (("Name", ("web", "db")),)}, [0, 1]),
        ({"tags": (("Name", ()), ("x", ("",)))}, [1]),
        ({"tags": (("Name", ("web",)), ("x", ()))}, []),
    ],
)
def test_a_listing_holds_what_meets_every_condition(fleet, query, expected):
    assert listed(fleet, **query) == expected


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_pages_join_to_the_whole_listing(fleet, size):
    whole = listed(fleet, region=REGION)
    pages, after = [], None
    while True:
        with fleet.read() as tx:
            page = tx.instances.keys(InstanceQuery(region=REGION, after=after, limit=size))
        if not page:
            break
        pages.extend(numbers(page))
        after = (page[-1].created_at, page[-1].launch_id, page[-1].launch_index)
    assert pages == whole


def test_a_tag_of_another_tenant_on_the_same_id_selects_nothing(cloud):
    with cloud.begin() as tx:
        tx.instances.insert(instance(1))
        tx.tags.put([tag(instance(1).id, "Name", "mine", "t-2")])
    assert listed(cloud, tenant_id=TENANT, tags=(("Name", ("mine",)),)) == []


PARTIAL = [
    index.name for index in instance_table.indexes if index.dialect_options["sqlite"]["where"] is not None
]


def test_details_hosts_and_wishes(fleet):
    with fleet.begin() as tx:
        first = tx.instances.get(instance(0).id)
        first = tx.instances.update(first, host_id="h-1", desired="gone")
        tx.instances.update(tx.instances.get(instance(6).id), host_id="h-1", desired="gone")
    with fleet.read() as tx:
        assert tx.instances.on_host("h-1") == [first]
        assert tx.instances.wished_gone() == [first]
        assert [item.id for item in tx.instances.in_details(["pend", "boot.new"])] == [instance(3).id]
        assert tx.instances.count_by_detail() == {"runn": 10, "pend": 1}
        assert tx.instances.count_with_image(image().id) == 11
        assert tx.instances.count_of_flavor("m1.large") == 1
        assert [item.launch_index for item in tx.instances.of_launch("r-0")] == [0, 1, 2]
        assert set(tx.instances.some([instance(6).id, "i-none"])) == {instance(6).id}


def test_what_ended_long_ago_leaves_the_listings_and_keeps_its_row(fleet):
    ended = instance(6).id
    with fleet.begin() as tx:
        tx.blobs.put_user_data([ended, instance(0).id], b"data")
        tx.tags.put([tag(ended, "Name", "old", TENANT), tag(instance(0).id, "Name", "new", TENANT)])
        assert tx.instances.archive(500.0) == 0
        assert tx.instances.archive(501.0) == 1
        assert tx.instances.archive(501.0) == 0
        assert tx.instances.get(ended).detail == "done"
        assert list(tx.tags.of([ended, instance(0).id])) == [instance(0).id]
        assert (tx.blobs.user_data(ended), tx.blobs.user_data(instance(0).id)) == (b"", b"data")
    for query in (
        InstanceQuery(done_since=0.0),
        InstanceQuery(tenant_id=TENANT, region=REGION, done_since=0.0),
    ):
        with fleet.read() as tx:
            assert ended not in {key.id for key in tx.instances.keys(query)}


def test_what_is_asked_every_second_does_not_look_at_what_ended(fleet):
    """On SQLite, where plans are the same at every size: partial indexes, and no scan of the table."""
    if not fleet.is_sqlite:
        pytest.skip("PostgreSQL chooses by statistics")
    asked = []
    event.listen(fleet.engine, "before_cursor_execute", lambda *e: asked.append((e[2], e[3])))
    with fleet.begin() as tx:
        tx.instances.keys(InstanceQuery(tenant_id=TENANT, region=REGION, done_since=1.0))
        tx.instances.keys(InstanceQuery(tenant_id=TENANT, region=REGION, done_since=1.0, limit=5))
        tx.instances.usage(TENANT)
        tx.instances.on_host("h-1")
        tx.instances.wished_gone()
        tx.instances.in_details(["pend"])
        tx.instances.archive(1.0)
        statements = [item for item in asked if "instance" in item[0]]
        assert len(statements) == 7
        for statement, parameters in statements:
            plan = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps = [row[-1] for row in plan if "instance" in row[-1]]
            assert steps
            for step in steps:
                assert step.startswith("SEARCH instance USING"), (statement, step)
                assert any(f" {name} " in f" {step} " for name in PARTIAL), (statement, step)


def test_touch_raises_the_version_that_renderings_are_cached_under(fleet):
    with fleet.begin() as tx:
        tx.instances.touch([instance(0).id, instance(6).id])
    with fleet.read() as tx:
        assert tx.instances.get(instance(0).id).version == 2
        assert tx.instances.get(instance(6).id).version == 2  # ended, but still listed for a while
        assert tx.instances.get(instance(1).id).version == 1


# The other nouns ----------------------------------------------------------------------------------------


def test_tags_are_set_by_key_and_dropped_by_resource(fleet):
    one = instance(1).id
    with fleet.begin() as tx:
        tx.tags.put([tag(one, "Name", "db2"), tag(one, "a", "1")])
        assert tx.tags.of([one, instance(9).id]) == {one: {"Name": "db2", "a": "1", "x": ""}}
        tx.tags.drop([one])
        assert tx.tags.of([one]) == {}
        assert [item.value for item in tx.tags.of_tenant("t-2")] == ["web"]


def test_capacity_in_use_is_summed_by_host(cloud):
    def claim(number, on, cpu):
        return Reservation(
            instance_id=f"i-{number}", host_id=on, cpu=cpu, memory_mib=10, disk_gib=1, opened_at=1.0
        )

    with cloud.begin() as tx:
        assert tx.reservations.used() == {}
        tx.reservations.insert_all([claim(1, "h-1", 100), claim(2, "h-1", 250), claim(2, "h-2", 50)])
        used = tx.reservations.used()
        assert (used["h-1"].cpu, used["h-1"].memory_mib, used["h-1"].disk_gib) == (350, 20, 2)
        tx.reservations.release("i-2")
        assert set(tx.reservations.used()) == {"h-1"}
        assert tx.reservations.on("h-1") == tx.reservations.of("i-1")


def test_jobs_open_busy_and_released(fleet):
    mine = instance(0).id
    with fleet.begin() as tx:
        tx.jobs.insert(job(1, mine, busy="w1", state=JobState.SUPERSEDED, finished_at=3.0))
        tx.jobs.insert(job(2, mine))
        assert [item.id for item in tx.jobs.open()] == ["job-2"]
        assert [item.id for item in tx.jobs.busy_elsewhere(mine, "job-2")] == ["job-1"]
        assert [item.id for item in tx.jobs.of_instance(mine)] == ["job-1", "job-2"]
        assert [item.id for item in tx.jobs.recent(TENANT, 1)] == ["job-2"]
        assert tx.jobs.recent("t-2", 5) == []
        assert tx.jobs.release("w2") == 0
        assert tx.jobs.release("w1") == 1
        assert tx.jobs.busy_elsewhere(mine, "job-2") == []


def test_images_are_seen_by_owner_by_everybody_or_by_those_named(cloud):
    with cloud.begin() as tx:
        tx.images.insert(image(2, public=True))
        tx.images.insert(image(3, launch_accounts=("000000000002",)))
        tx.images.insert(image(4, state=ImageState.GONE, public=True))

        def names(owner, account):
            return [item.name for item in tx.images.visible(owner, account)]

        assert names(TENANT, "000000000001") == ["image1", "image2", "image3"]
        assert names("t-2", "000000000002") == ["image2", "image3"]
        assert names("t-3", "00000000000_") == ["image2"]
        assert [item.name for item in tx.images.gone()] == ["image4"]


# Storage ------------------------------------------------------------------------------------------------


def ids(rows):
    return [row.id for row in rows]


def test_volumes_are_listed_by_tenant_region_instance_and_host(cloud):
    one, two = instance(1), instance(2)
    made = [
        volume(3, instance_id=one.id, target="vdc", host_id="h-1"),
        volume(1, instance_id=one.id, target="vda", boot=True, host_id="h-1"),
        volume(2, instance_id=one.id, target="vdb", host_id="h-1"),
        volume(4, region="south", state=VolumeState.ERROR, host_id="h-2"),
        volume(5, tenant_id="t-2", instance_id=two.id, target="vda", boot=True, size_gib=7),
    ]
    with cloud.begin() as tx:
        tx.instances.insert_all([one, two])
        tx.volumes.insert_all(made)
    with cloud.read() as tx:
        rows = tx.volumes
        assert numbers(rows.of_tenant(TENANT, REGION)) == [1, 2, 3]
        assert numbers(rows.of_tenant(TENANT, None)) == [1, 2, 3, 4]
        assert numbers(rows.of_tenant(None, None)) == [1, 2, 3, 4, 5]
        assert numbers(rows.of_instance(one.id)) == [1, 2, 3]  # the root first, then by target
        found = rows.of_instances([one.id, two.id, "i-none"])
        assert {name: numbers(each) for name, each in found.items()} == {one.id: [1, 2, 3], two.id: [5]}
        assert numbers(rows.on_host("h-1")) == [1, 2, 3]
        assert rows.usage(TENANT) == (4, 40)
        assert rows.usage("t-2") == (1, 7)
        assert rows.usage("t-none") == (0, 0)
        assert rows.count_by_state() == {"available": 4, "error": 1}
        assert numbers(rows.in_state(VolumeState.ERROR)) == [4]
        assert rows.some([volume(4).id, "vol-none"]) == {volume(4).id: made[3]}


def test_a_target_of_an_instance_is_given_once(cloud):
    one = instance(1)
    with cloud.begin() as tx:
        tx.instances.insert(one)
        tx.volumes.insert(volume(1, instance_id=one.id, target="vdc"))
        tx.volumes.insert_all([volume(2), volume(3)])  # what is attached to nothing has no target
    assert refused(cloud, lambda tx: tx.volumes.insert(volume(4, instance_id=one.id, target="vdc")))
    assert not refused(cloud, lambda tx: tx.volumes.insert(volume(4, instance_id=one.id, target="vdd")))


def test_what_a_snapshot_is_needed_for_is_known(cloud):
    name = snapshot(1).id
    mapped = image(3, mappings=(BlockDevice(device="/dev/sdf", snapshot_id=name),))
    with cloud.begin() as tx:
        tx.images.insert_all([image(2, snapshot_id=name), mapped])
        tx.images.insert(image(4, snapshot_id=name, state=ImageState.GONE))
        tx.images.insert(image(5, snapshot_id=f"{name}0"))
        tx.volumes.insert_all([volume(1, snapshot_id=name), volume(2, snapshot_id=name, made=True)])
    with cloud.read() as tx:
        assert numbers(tx.images.of_snapshot(name)) == [2, 3]
        assert numbers(tx.volumes.to_be_made_of(name)) == [1]


def test_snapshots_are_seen_by_owner_by_everybody_or_by_those_named(cloud):
    with cloud.begin() as tx:
        tx.snapshots.insert_all(
            [
                snapshot(4, volume_id=volume(9).id, state=SnapshotState.PENDING),
                snapshot(1),
                snapshot(2, public=True),
                snapshot(3, accounts=("000000000002",), region="south"),
            ]
        )

        def seen(tenant_id, account, region=None):
            return numbers(tx.snapshots.visible(tenant_id, account, region))

        assert seen(TENANT, "000000000001") == [1, 2, 3, 4]
        assert seen("t-2", "000000000002") == [2, 3]
        assert seen("t-2", "000000000002", REGION) == [2]
        assert seen("t-3", "00000000000_") == [2]
        assert seen(None, "") == [1, 2, 3, 4]
        assert numbers(tx.snapshots.of_volume(volume(1).id)) == [1, 2, 3]
        assert (tx.snapshots.count(TENANT), tx.snapshots.count("t-2")) == (4, 0)
        assert tx.snapshots.count_by_state() == {"completed": 3, "pending": 1}
        assert list(tx.snapshots.some([snapshot(2).id, "snap-none"])) == [snapshot(2).id]


def test_contents_are_kept_once_and_known_by_what_they_differ_from(cloud):
    whole, first, second = content("1"), content("2", parent="1" * 64), content("3", parent="2" * 64)
    with cloud.begin() as tx:
        assert [tx.contents.put(each) for each in (whole, first, second)] == [whole, first, second]
        assert tx.contents.put(content("1", path="/elsewhere")) == whole
        assert tx.contents.chain("3" * 64) == [second, first, whole]
        assert tx.contents.chain("9" * 64) == []
        gone = tx.contents.update(whole, path="")
        again = tx.contents.put(content("1", path="/contents/again"))
        assert (again.path, gone.path) == ("/contents/again", "")


def test_only_contents_that_nothing_refers_to_are_unused(cloud):
    with cloud.begin() as tx:
        for letter in "123456789abc":
            tx.contents.insert(content(letter, parent="9" * 64 if letter == "8" else ""))
        tx.images.insert(image(2, checksum="1" * 64))
        tx.images.insert(image(3, checksum="2" * 64, state=ImageState.GONE))
        tx.snapshots.insert(snapshot(1, content="3" * 64))
        tx.volumes.insert(volume(1, content="4" * 64))  # yet to be made
        tx.volumes.insert(volume(2, content="5" * 64, made=True))
        tx.volumes.insert(volume(3, content="6" * 64, made=True, boot=True))  # may be made again
        unused = [item.checksum[0] for item in tx.contents.unused()]
        assert [letter for letter in "123456789abcd" if tx.contents.is_unused(letter * 64)] == sorted(unused)
    assert sorted(unused) == ["2", "5", "7", "8", "a", "b"]


def test_tasks_in_the_order_accepted_open_and_released(cloud):
    with cloud.begin() as tx:
        tx.tasks.insert_all(
            [
                task(3, lock="vol-a", instance_id="i-1", kind=TaskKind.VOLUME_ATTACH),
                task(1, lock="vol-a", busy="w1"),
                task(2, lock="vol-b", instance_id="i-1", resource_id="vol-b"),
                task(4, lock="vol-a", finished_at=5.0, busy="w1"),
                task(5, tenant_id="t-2", resource_id="snap-1", kind=TaskKind.SNAPSHOT_CREATE),
            ]
        )
        rows = tx.tasks
        assert ids(rows.open()) == ["task-1", "task-2", "task-3", "task-5"]
        assert ids(rows.open_of_instance("i-1")) == ["task-2", "task-3"]
        assert ids(rows.open_with_lock("vol-a")) == ["task-1", "task-3"]
        assert ids(rows.open_of_resource(volume(1).id)) == ["task-1", "task-3"]
        assert ids(rows.of(TENANT, (), 2)) == ["task-4", "task-3"]
        assert ids(rows.of(None, (TaskKind.SNAPSHOT_CREATE, TaskKind.VOLUME_ATTACH), 9)) == [
            "task-5",
            "task-3",
        ]
        assert rows.release("w1") == 2
        assert all(not item.busy for item in rows.all())
        assert rows.forget_before(5.0) == 0
        assert rows.forget_before(6.0) == 1


def test_user_data_and_consoles_are_kept_apart_and_go_with_the_instance(cloud):
    one, two = instance(1), instance(2)
    with cloud.begin() as tx:
        tx.instances.insert_all([one, two])
        assert tx.blobs.user_data(one.id) == b""
        assert tx.blobs.console(one.id) is None
        tx.blobs.put_user_data([one.id, two.id], b"\x00\xff")
        tx.blobs.put_console(one.id, b"boot", 5.0)
        tx.blobs.put_console(one.id, b"boot\nready", 6.0)
    with cloud.begin() as tx:
        assert tx.blobs.user_data(two.id) == b"\x00\xff"
        assert tx.blobs.console(one.id) == (b"boot\nready", 6.0)
        tx.blobs.put_user_data([two.id], b"")
        assert tx.blobs.user_data(two.id) == b""
        tx.instances.delete(one.id)
        assert tx.blobs.user_data(one.id) == b""
        assert tx.blobs.console(one.id) is None


def test_mixins_and_members(cloud):
    with cloud.begin() as tx:
        for term in ("a", "b"):
            tx.mixins.insert(
                UserMixin(
                    tenant_id=TENANT, scheme="s#", term=term, title="", location=f"/{term}/", created_at=1.0
                )
            )
        for _ in range(2):
            tx.mixins.associate(TENANT, "s#", "a", "i-1")
        tx.mixins.associate(TENANT, "s#", "a", "i-2")
        tx.mixins.associate(TENANT, "s#", "b", "i-1")
        assert tx.mixins.members(TENANT, "s#", "a") == ["i-1", "i-2"]
        assert tx.mixins.members("t-2", "s#", "a") == []
        assert tx.mixins.of_resources(TENANT, ["i-1"]) == {"i-1": [("s#", "a"), ("s#", "b")]}
        tx.mixins.dissociate(TENANT, "s#", "a", ["i-2"])
        tx.mixins.forget(["i-1"])
        assert tx.mixins.members(TENANT, "s#", "a") == []
        assert tx.mixins.members(TENANT, "s#", "b") == []


def test_workers_stays_debris_and_tokens(cloud):
    def stay(seq, ended):
        return Stay(
            instance_id="i-1",
            seq=seq,
            host_id="h-1",
            tenant_id=TENANT,
            owner="ann",
            vcpus=1,
            memory_mib=1,
            started_at=1.0,
            ended_at=ended,
        )

    with cloud.begin() as tx:
        tx.workers.beat("w1", 1.0)
        tx.workers.beat("w1", 9.0)
        assert [(item.started_at, item.seen_at) for item in tx.workers.all()] == [(1.0, 9.0)]
        tx.stays.insert_all([stay(1, 2.0), stay(2, None)])
        assert tx.stays.open_of("i-1").seq == 2
        assert [item.seq for item in tx.stays.of("i-1")] == [1, 2]
        for at in (1.0, 2.0):
            tx.debris.put(Debris(instance_id="i-1", host_id="h-1", at=at))
        assert [item.at for item in tx.debris.on("h-1")] == [2.0]
        [item] = tx.debris.on("h-1")
        claimed = tx.debris.update(item, busy="w1")
        tx.debris.put(Debris(instance_id="i-1", host_id="h-1", at=3.0, message="again"))
        [again] = tx.debris.on("h-1")
        assert (again.at, again.message, again.busy) == (3.0, "again", "w1")
        assert again.version > claimed.version
        assert (tx.debris.release("w2"), tx.debris.release("w1")) == (0, 1)
        assert [item.busy for item in tx.debris.on("h-1")] == [""]
        assert (tx.debris.forget_host("h-1"), tx.debris.on("h-1")) == (1, [])
        old = LaunchToken(tenant_id=TENANT, region="n", token="x", digest="", launch_id="", created_at=1.0)
        tx.launch_tokens.insert(old)
        assert tx.launch_tokens.forget_before(1.0) == 0
        assert tx.launch_tokens.forget_before(1.5) == 1
        tx.volume_tokens.insert(
            VolumeToken(tenant_id=TENANT, region="n", token="x", digest="", volume_id="v", created_at=1.0)
        )
        assert tx.volume_tokens.forget_before(1.0) == 0
        assert tx.volume_tokens.forget_before(1.5) == 1


def test_forgetting_a_tenant_leaves_nothing_of_it_and_everything_of_others(fleet):
    with fleet.begin() as tx:
        theirs = instance(3).id
        tx.jobs.insert(job(1, theirs))
        tx.blobs.put_user_data([theirs], b"x")
        for number, owner in ((1, "t-2"), (2, TENANT)):
            tx.volumes.insert(volume(number, tenant_id=owner))
            tx.snapshots.insert(snapshot(number, tenant_id=owner))
            tx.tasks.insert(task(number, tenant_id=owner))
        tx.forget_tenant("t-2")
    with fleet.read() as tx:
        assert tx.tenants.get("t-2") is None
        assert tx.jobs.all() == []
        assert tx.tags.of_tenant("t-2") == []
        assert len(tx.instances.all()) == 10
        assert len(tx.tags.of_tenant(TENANT)) == 3
        for rows in (tx.volumes, tx.snapshots, tx.tasks):
            assert [item.tenant_id for item in rows.all()] == [TENANT]
