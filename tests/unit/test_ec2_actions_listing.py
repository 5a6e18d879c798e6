"""Listing: what goes to the database means the same there, pages, and the cache of renderings."""

from __future__ import annotations

import msgspec
import pytest
from ec2_instances import a_group, a_nic, a_volume, an_address, an_instance
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.engine import InstanceKey
from backend.model import Desired
from ec2.actions.common import refuse_unless, specified_tags, tag_pairs
from ec2.actions.instance_filters import FILTERS, narrowed
from ec2.actions.instances import whole_reservations
from ec2.actions.run import decode_user_data, request_digest
from ec2.errors import Ec2Error
from ec2.rendered import RenderedInstances, by_launch, reservations, show
from ec2.service import EC2

WORDS = st.sampled_from(["", "a", "b", "web", "t2.nano"])


@st.composite
def rows(draw):
    number = draw(st.integers(0, 3))
    row = an_instance(
        id=f"i-{number:017x}",
        launch_id=f"r-{draw(st.integers(0, 2))}",
        flavor=draw(WORDS.filter(bool)),
        key_name=draw(WORDS),
        client_token=draw(WORDS),
        detail=draw(st.sampled_from(["runn", "poff", "done"])),
        desired=draw(st.sampled_from([Desired.RUN, Desired.GONE])),
    )
    return show(row, draw(st.dictionaries(WORDS.filter(bool), WORDS, max_size=2)))


FILTER = st.builds(
    lambda name, values: {"Name": name, "Values": values},
    st.sampled_from(
        [
            "instance-type",
            "key-name",
            "client-token",
            "reservation-id",
            "tag:a",
            "tag:web",
            "tag-key",
            "instance-state-name",
        ]
    ),
    st.lists(
        st.sampled_from(["", "a", "b", "web", "w*", "?", "*", "r-1", "running", "\\*", "t2.nano"]), max_size=3
    ),
)


@given(row=rows(), filters=st.lists(FILTER, max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_the_database_decides_means_the_same(row, filters):
    query, rest = narrowed(filters)
    expected = FILTERS.compile(filters)(row)
    if query is None:
        assert not expected
        return
    by_column = all(getattr(row.instance, column) in values for column, values in query.equal.items())
    by_tag = all(row.tags.get(key) in values if values else key in row.tags for key, values in query.tags)
    assert (by_column and by_tag and FILTERS.compile(rest)(row)) == expected


@given(st.lists(st.integers(1, 9), max_size=8), st.integers(5, 9))
def test_pages_show_everything_once_and_cut_only_what_is_too_long(sizes, size):
    groups = [[show_key(launch, index) for index in range(length)] for launch, length in enumerate(sizes)]
    left, seen = groups, []
    while True:
        page, more = whole_reservations(left, size)
        assert len(page) <= size
        cut = [group for group in left if page and group[0] in page and group[-1] not in page]
        assert all(len(group) > size for group in cut)
        seen += page
        if not more:
            break
        assert page
        left = [rest for group in left if (rest := [row for row in group if row not in seen])]
    assert seen == [row for group in groups for row in group]


def show_key(launch, index):
    return (launch, index)


class Database:
    """Rows and tags that the cache reads, and how often it does. It is its own reads of networks."""

    def __init__(self, count: int) -> None:
        self.rows = {
            f"i-{n:017x}": an_instance(id=f"i-{n:017x}", launch_id=f"r-{n // 3}") for n in range(count)
        }
        self.read = 0
        self.networks = self

    def nics_of(self, ids):
        return {item: [a_nic(id=item.replace("i-", "eni-"), instance_id=item)] for item in ids}

    def leases_of(self, ids):
        return {item: ("10.1.2.3",) for item in ids}

    def public_of(self, ids):
        return {item: (an_address(nic_id=item),) for item in ids}

    def groups_by_id(self, ids):
        return {item: a_group(id=item) for item in ids}

    def keys(self) -> list[InstanceKey]:
        return [
            InstanceKey(
                id=row.id,
                version=row.version,
                launch_id=row.launch_id,
                launch_index=0,
                created_at=row.created_at,
            )
            for row in self.rows.values()
        ]

    def instances(self, _caller, query):
        self.read += len(query.ids)
        return [self.rows[item] for item in query.ids if item in self.rows]

    def tags_of(self, ids):
        return {item: {"n": item} for item in ids}

    def group_names(self, _instances):
        return {}

    def disks_of(self, ids):
        return {item: [a_volume(id=item.replace("i-", "vol-"), instance_id=item)] for item in ids}

    def change(self, item: str, **changes) -> None:
        self.rows[item] = msgspec.structs.replace(
            self.rows[item], version=self.rows[item].version + 1, **changes
        )


@given(st.integers(1, 30), st.lists(st.integers(0, 11), max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_cache_is_never_stale_and_never_too_big(limit, changed):
    database, cache = Database(12), RenderedInstances(limit)
    for number in [None, *changed]:
        if number is not None:
            database.change(f"i-{number:017x}", detail="poff")
        found = cache.rows(database, None, database.keys())
        assert [row.instance for row in found] == list(database.rows.values())
        assert all(row.volumes[0].instance_id == row.instance.id for row in found)
        assert all(f"<volumeId>{row.volumes[0].id}<" in row.xml for row in found)
        assert all(f"<code>{80 if row.instance.detail == 'poff' else 16}<" in row.xml for row in found)
        assert len(cache._kept) <= max(limit, 2)


def test_a_warm_cache_reads_only_what_changed():
    database, cache = Database(12), RenderedInstances(100)
    cache.rows(database, None, database.keys())
    assert database.read == 12
    database.change("i-00000000000000003")
    cache.rows(database, None, database.keys())
    assert database.read == 13
    keys = database.keys()
    del database.rows["i-00000000000000005"]
    database.change("i-00000000000000006")
    stale = [
        key if key.id != "i-00000000000000005" else msgspec.structs.replace(key, version=9) for key in keys
    ]
    assert len(cache.rows(database, None, stale)) == 11


def test_an_id_that_comes_back_is_another_instance():
    database, cache = Database(1), RenderedInstances(100)
    cache.rows(database, None, database.keys())
    (item,) = database.rows
    database.rows[item] = an_instance(id=item, created_at=1.0, flavor="t2.other")
    assert "t2.other" in cache.rows(database, None, database.keys())[0].xml


def test_reservations_are_what_the_writer_of_the_model_makes():
    database = Database(7)
    shown = RenderedInstances(100).rows(database, None, database.keys())
    documents = [
        {
            "ReservationId": group[0].instance.launch_id,
            "OwnerId": "111122223333",
            "Groups": [],
            "Instances": [row.xml for row in group],
        }
        for group in by_launch(shown)
    ]
    endpoint = EC2.endpoints["DescribeInstances"]
    assert endpoint.reply(
        {"Reservations": reservations(shown)}, version="2016-11-15", request_id="x"
    ) == endpoint.reply({"Reservations": documents}, version="2016-11-15", request_id="x")
    assert reservations([]) == ""


# Parameters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [("", b""), ("IyE=", b"#!"), ("Iy\r\nE=\n", b"#!"), (" I y E = ", b"#!")]
)
def test_user_data(text, expected):
    assert decode_user_data(text) == expected


@pytest.mark.parametrize("text", ["I", "IyE", "Iy*=", "é", "IyE=IyE="])
def test_user_data_that_is_no_base64(text):
    with pytest.raises(Ec2Error, match="InvalidUserData.Malformed"):
        decode_user_data(text)


def test_the_digest_of_a_request_leaves_out_its_token_only():
    one = {"ImageId": "ami-1", "MinCount": 1, "ClientToken": "a"}
    assert request_digest(one) == request_digest({"ClientToken": "b", "MinCount": 1, "ImageId": "ami-1"})
    for change in (
        {"MinCount": 2},
        {"ImageId": "ami-2"},
        {"UserData": ""},
        {"Monitoring": {"Enabled": False}},
    ):
        assert request_digest(one) != request_digest(one | change)


@pytest.mark.parametrize(
    ("params", "good"),
    [
        ({}, True),
        ({"A": False}, True),
        ({"A": True}, False),
        ({"B": {"C": "x"}}, True),
        ({"B": {"C": "y"}}, True),
        ({"B": {"C": "z"}}, False),
        ({"B": {"D": []}}, True),
        ({"B": {"D": ["x"]}}, False),
        ({"B": {}}, True),
    ],
)
def test_options_are_accepted_when_they_state_what_is_the_case(params, good):
    offered = {"A": False, "B": {"C": ("x", "y")}}
    if good:
        refuse_unless(params, offered)
    else:
        with pytest.raises(Ec2Error, match="UnsupportedOperation"):
            refuse_unless(params, offered)


def test_tag_specifications_add_up():
    tags = [{"Key": "a", "Value": "1"}], [{"Key": "b"}]
    params = {"TagSpecifications": [{"ResourceType": "instance", "Tags": each} for each in tags]}
    assert specified_tags(params, "instance") == (("a", "1"), ("b", ""))
    params["TagSpecifications"].append({"ResourceType": "instance", "Tags": tags[0]})
    with pytest.raises(Ec2Error, match="Duplicate tag key 'a' specified"):
        specified_tags(params, "instance")
    with pytest.raises(Ec2Error, match="Tag.2.Key"):
        tag_pairs([{"Key": "a"}, {"Value": "b"}])
