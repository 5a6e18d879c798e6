"""Listings: pages are complete while rows come and go, indexes answer them, and Python would filter the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from store_samples import REGION, TENANT, image, instance, snapshot, tag, tenant, volume

from backend.model import ImageState, KeyPair, Publication, Tag, VolumeState
from backend.network_model import SecurityGroup, Vpc
from backend.store import RowQuery, Store, View
from backend.store.listing import FEW

MINE = View(tenant_id=TENANT, account_id="000000000001", region=REGION, done_since=0.0)


@pytest.fixture
def cloud(store) -> Store:
    with store.begin() as tx:
        tx.tenants.insert_all([tenant(1), tenant(2)])
        tx.images.insert(image(1))
    return store


def names(rows: Sequence[Any]) -> list[str]:
    return [row.id for row in rows]


# Pages --------------------------------------------------------------------------------------------------


def volume_at(number: int, **changes: Any) -> Any:
    """Several volumes share a moment, so that positions need the id, too."""
    return volume(number, created_at=1000.0 + number // 3 / 7, tenant_id=TENANT, **changes)


@given(
    there=st.sets(st.integers(0, 40), max_size=25),
    size=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sets(st.integers(0, 40), max_size=3), st.booleans()), max_size=12),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_show_what_stays_once_and_in_order_while_rows_come_and_go(cloud, there, size, steps):
    with cloud.begin() as tx:
        for each in tx.volumes.all():
            tx.volumes.delete(each.id)
        tx.volumes.insert_all(volume_at(number) for number in sorted(there))
    stay, ever = set(there), set(there)
    seen: list[str] = []
    after = None
    turns = iter(steps)
    while True:
        with cloud.read() as tx:
            rows = tx.volumes.listing(MINE, RowQuery(after=after, limit=size))
        seen += names(rows)
        if len(rows) < size:
            break
        after = (rows[-1].created_at, rows[-1].id)
        numbers, come = next(turns, (set(), True))
        with cloud.begin() as tx:
            have = {each.id for each in tx.volumes.all()}
            for number in numbers:
                one = volume_at(number)
                if come and one.id not in have:
                    tx.volumes.insert(one)
                    ever.add(number)
                elif not come and one.id in have:
                    tx.volumes.delete(one.id)
                    stay.discard(number)
    order = names(sorted(map(volume_at, range(41)), key=lambda each: (each.created_at, each.id)))
    assert seen == [each for each in order if each in seen]  # in order, and nothing twice
    assert set(seen) >= {volume_at(number).id for number in stay}
    assert set(seen) <= {volume_at(number).id for number in ever}


def test_what_several_ways_lead_to_is_shown_once_and_in_order(cloud):
    """Own, public and shared images in turn, some of which are all of these."""
    kinds: list[dict[str, Any]] = [
        {},
        {"tenant_id": "t-2", "account_id": "000000000002", "public": True},
        {"tenant_id": "t-2", "account_id": "000000000002", "launch_accounts": ("000000000001",)},
        {"public": True, "launch_accounts": ("000000000001", "000000000003")},
        {"tenant_id": "t-2", "account_id": "000000000002"},
        {"tenant_id": "t-2", "public": True, "launch_accounts": ("000000000001",)},
        {"tenant_id": "t-2", "public": True, "state": ImageState.DISABLED},
        {"tenant_id": "t-2", "public": True, "publication": Publication.TESTING},
        {"public": True, "state": ImageState.GONE},
    ]
    with cloud.begin() as tx:
        tx.images.insert_all(image(number, **kinds[number % 9]) for number in range(2, 38))
    seen = [number for number in range(1, 38) if number == 1 or number % 9 in {0, 1, 2, 3, 5}]
    after, pages = None, []
    while True:
        with cloud.read() as tx:
            rows = tx.images.listing(MINE, RowQuery(after=after, limit=4))
            pages += names(rows)
        if len(rows) < 4:
            break
        after = (rows[-1].created_at, rows[-1].id)
    assert pages == [image(number).id for number in seen]
    with cloud.read() as tx:
        assert names(tx.images.visible(TENANT, "000000000001")) == pages


# Filters ------------------------------------------------------------------------------------------------

STATES = (VolumeState.AVAILABLE, VolumeState.IN_USE, VolumeState.ERROR)
ROW = st.fixed_dictionaries(
    {
        "zone": st.sampled_from(["a", "b"]),
        "size_gib": st.integers(1, 3),
        "encrypted": st.booleans(),
        "state": st.sampled_from(STATES),
        "snapshot_id": st.sampled_from(["", "snap-1", "snap-2"]),
        "tenant_id": st.sampled_from([TENANT, TENANT, "t-2"]),
        "region": st.sampled_from([REGION, REGION, "south"]),
    }
)
TAGS = st.dictionaries(st.sampled_from(["Name", "x"]), st.sampled_from(["", "web", "Web"]), max_size=2)
EQUAL: Mapping[str, Any] = {
    "zone": st.sampled_from(["a", "b", "c"]),
    "size_gib": st.integers(0, 4),
    "encrypted": st.booleans(),
    "state": st.sampled_from([each.value for each in STATES]),
    "snapshot_id": st.sampled_from(["snap-1", "snap-3"]),
}
QUERY = st.builds(
    RowQuery,
    equal=st.fixed_dictionaries(
        {}, optional={name: st.lists(value, max_size=2).map(tuple) for name, value in EQUAL.items()}
    ),
    tags=st.lists(
        st.tuples(
            st.sampled_from(["Name", "x", "y"]),
            st.lists(st.sampled_from(["", "web", "db"]), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    limit=st.none() | st.integers(1, 5),
)


@pytest.mark.parametrize("few", [FEW, 0])
@given(
    rows=st.lists(st.tuples(ROW, TAGS), max_size=12),
    queries=st.lists(QUERY, min_size=1, max_size=6),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_database_finds_what_python_would(cloud, monkeypatch, few, rows, queries):
    """Whether what has a tag is looked up first, or each row is asked for it."""
    monkeypatch.setattr("backend.store.listing.FEW", few)
    made = [volume_at(number) for number in range(len(rows))]
    made = [msgspec.structs.replace(one, **fields) for one, (fields, _) in zip(made, rows, strict=True)]
    tags = {one.id: given for one, (_, given) in zip(made, rows, strict=True)}
    with cloud.begin() as tx:
        for each in tx.volumes.all():
            tx.tags.drop([each.id])
            tx.volumes.delete(each.id)
        tx.volumes.insert_all(made)
        tx.tags.put(
            Tag(resource_id=one, resource_type="volume", tenant_id=TENANT, key=key, value=value)
            for one, given in tags.items()
            for key, value in given.items()
        )

    def meets(one: Any, query: RowQuery) -> bool:
        return (
            (one.tenant_id, one.region) == (TENANT, REGION)
            and all(getattr(one, name) in values for name, values in query.equal.items())
            and all(
                key in tags[one.id] and (not values or tags[one.id][key] in values)
                for key, values in query.tags
            )
        )

    for query in queries:
        with cloud.read() as tx:
            found = tx.volumes.listing(MINE, query)
        assert names(found) == names([one for one in made if meets(one, query)])[: query.limit]


def test_tags_of_what_is_not_there_to_be_seen_are_not_listed(cloud):
    def tagged(resource_id: str, kind: str) -> Tag:
        return Tag(resource_id=resource_id, resource_type=kind, tenant_id=TENANT, key="k", value="v")

    with cloud.begin() as tx:
        tx.volumes.insert_all([volume(1), volume(2, region="south")])
        tx.instances.insert_all(
            [
                instance(1),
                instance(2, region="south"),
                instance(3, detail="done", ended_at=5.0),
                instance(4, detail="done", ended_at=50.0),
            ]
        )
        tx.tags.insert_all(
            [
                *(tagged(instance(number).id, "instance") for number in range(1, 5)),
                tagged(volume(1).id, "volume"),
                tagged(volume(2).id, "volume"),
                tagged(image(1).id, "image"),
            ]
        )
    view = msgspec.structs.replace(MINE, done_since=10.0)
    with cloud.read() as tx:
        found = [item.resource_id for item in tx.tags.listing(view, RowQuery())]
        assert found == [image(1).id, instance(1).id, instance(4).id, volume(1).id]
        by_key = tx.tags.listing(view, RowQuery(equal={"key": ("k",), "value": ("v",)}, limit=3))
        assert [item.resource_id for item in by_key] == found[:3]


# Plans --------------------------------------------------------------------------------------------------

LISTED: Mapping[str, Callable[[Any], Any]] = {
    "instance": lambda tx: tx.instances,
    "volume": lambda tx: tx.volumes,
    "snapshot": lambda tx: tx.snapshots,
    "image": lambda tx: tx.images,
    "tag": lambda tx: tx.tags,
    "key_pair": lambda tx: tx.key_pairs,
    "nic": lambda tx: tx.nics,
    "subnet": lambda tx: tx.subnets,
    "vpc": lambda tx: tx.vpcs,
    "security_group": lambda tx: tx.security_groups,
    "security_rule": lambda tx: tx.security_rules,
    "public_address": lambda tx: tx.public_addresses,
}


@contextmanager
def asked(store: Store):
    """The statements with their parameters that a block sends."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


def plan(tx: Any, store: Store, statement: str, parameters: Any) -> list[str]:
    word = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
    rows = tx.connection.exec_driver_sql(f"{word} {statement}", parameters).all()
    return [row[-1].strip() for row in rows]


def after_of(rows: Any) -> tuple[Any, ...]:
    return tuple(1.0 if name.endswith("_at") else 1 if name.endswith("index") else "m" for name in rows.order)


def questions(rows: Any) -> list[RowQuery]:
    tagless = rows.table.name == "tag"
    found = [
        RowQuery(limit=5),
        RowQuery(limit=1000, after=after_of(rows)),
        RowQuery(equal={rows.identity: ("a", "b")}),
        RowQuery(equal={rows.identity: tuple(map(str, range(1000)))}),
    ]
    if tagless:
        return [
            *found,
            RowQuery(equal={"key": ("Name",), "value": ("web",)}),
            RowQuery(equal={"key": ("x",)}),
        ]
    return [*found, RowQuery(tags=(("Name", ("web",)),)), RowQuery(tags=(("Name", ("web",)),), limit=5)]


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("few", [FEW, -1])
def test_no_listing_goes_through_a_table(cloud, monkeypatch, name, few):
    """By page, by id and by tag, whether few or many have the tag: an index answers each question.

    PostgreSQL chooses by size, and is told that going through a table is dear.
    """
    monkeypatch.setattr("backend.store.listing.FEW", few)
    with cloud.begin() as tx:
        if not cloud.is_sqlite:
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        with asked(cloud) as sent:
            for query in questions(LISTED[name](tx)):
                LISTED[name](tx).listing(MINE, query)
        assert sent
        for statement, parameters in list(sent):
            for step in plan(tx, cloud, statement, parameters):
                if cloud.is_sqlite:
                    # Going through an index of a part is what public and shared things have one for.
                    assert "SCAN" not in step or "ix_image_" in step, (statement, step)
                else:
                    assert "Seq Scan" not in step, (statement, step)


@pytest.mark.parametrize("name", sorted(set(LISTED) - {"image", "snapshot"}))
def test_pages_are_read_in_the_order_of_an_index(cloud, name):
    """Nothing is sorted: the first rows of the index are the first of the page. On SQLite, where a plan does
    not depend on how many rows there are.
    """
    if not cloud.is_sqlite:
        pytest.skip("PostgreSQL chooses by statistics")
    with cloud.begin() as tx:
        rows = LISTED[name](tx)
        with asked(cloud) as sent:
            rows.listing(MINE, RowQuery(limit=5))
            rows.listing(MINE, RowQuery(limit=5, after=after_of(rows)))
        for statement, parameters in list(sent):
            steps = plan(tx, cloud, statement, parameters)
            assert not [step for step in steps if "TEMP B-TREE" in step], (statement, steps)


def test_ids_are_looked_up_whatever_a_tenant_has(cloud):
    """SQLite does not know that a tenant has many rows: without care it would go through all of them."""
    if not cloud.is_sqlite:
        pytest.skip("PostgreSQL chooses by statistics")
    with cloud.begin() as tx:
        for name, of in LISTED.items():
            rows = of(tx)
            with asked(cloud) as sent:
                rows.listing(MINE, RowQuery(equal={rows.identity: tuple(map(str, range(1000)))}))
            for statement, parameters in list(sent):
                steps = [
                    step for step in plan(tx, cloud, statement, parameters) if f" {rows.table.name} " in step
                ]
                assert any(f"{rows.identity}=?" in step for step in steps), (name, steps)


# How many questions -------------------------------------------------------------------------------------


def test_a_listing_is_one_question_however_long(cloud):
    vpc = Vpc(id="vpc-1", tenant_id=TENANT, account_id="1", region=REGION, created_at=1.0, cidr="10.0.0.0/16")
    owned: dict[str, Any] = {"tenant_id": TENANT, "account_id": "1", "region": REGION, "created_at": 2.0}

    def fill(numbers: range) -> None:
        with cloud.begin() as tx:
            tx.volumes.insert_all(volume(number) for number in numbers)
            tx.snapshots.insert_all(snapshot(number) for number in numbers)
            tx.instances.insert_all(instance(number) for number in numbers)
            tx.tags.insert_all(tag(instance(number).id, "Name", "web") for number in numbers)
            tx.key_pairs.insert_all(
                KeyPair(
                    id=f"key-{number}",
                    tenant_id=TENANT,
                    region=REGION,
                    name=f"k{number}",
                    key_type="rsa",
                    fingerprint="f",
                    public_key="p",
                    created_at=1.0,
                )
                for number in numbers
            )
            tx.security_groups.insert_all(
                SecurityGroup(id=f"sg-{number}", vpc_id="vpc-1", name=f"g{number}", description="d", **owned)
                for number in numbers
            )

    with cloud.begin() as tx:
        tx.vpcs.insert(vpc)
    kinds = ("instance", "volume", "snapshot", "tag", "key_pair", "security_group")
    counts: list[dict[str, int]] = []
    for numbers in (range(2, 12), range(12, 102)):
        fill(numbers)
        sent_by: dict[str, int] = {}
        for name in kinds:
            with cloud.read() as tx, asked(cloud) as sent:
                found = LISTED[name](tx).listing(MINE, RowQuery())
            assert len(found) == numbers.stop - 2
            sent_by[name] = len(sent)
        counts.append(sent_by)
    assert counts[0] == counts[1]
    assert counts[0] == dict.fromkeys(kinds, 1) | {"snapshot": 3}
