"""What a listing leaves to the database finds every row that its filters match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from ec2_instances import a_nic, a_volume
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.model import AttachState, Image, ImageState, Snapshot, SnapshotState, VolumeState
from ec2.actions import images, network_interfaces, snapshots, volumes
from ec2.interface_mapping import Interface
from ec2.listing import narrowed
from ec2.mapping import LIMITS_TAG

WORDS = st.sampled_from(["", "a", "b"])
SOME = WORDS.filter(bool)  # what every row has
TEXTS = st.sampled_from(
    ["", "a", "b", "A", "a*", "\\*", "1", "01", "2", "true", "false", "True", "available"]
)
OWNED: dict[str, Any] = {"tenant_id": "t-1", "account_id": "a", "region": "us-east-1"}
SNAPSHOT = Snapshot(**OWNED, id="a", volume_id="b", size_gib=1, state=SnapshotState.COMPLETED, started_at=1.0)
IMAGE = Image(
    id="a",
    tenant_id="t-1",
    account_id="a",
    name="b",
    state=ImageState.READY,
    format="raw",
    checksum="c",
    size_bytes=1,
    virtual_bytes=1,
    created_at=1.0,
)

ROWS: Mapping[str, Any] = {
    "volumes": st.builds(
        lambda tags, **fields: volumes.Listed(
            volume=msgspec.structs.replace(a_volume(), **fields), tags=tags
        ),
        tags=st.dictionaries(SOME, WORDS, max_size=2),
        zone=SOME,
        size_gib=st.integers(1, 2),
        encrypted=st.booleans(),
        snapshot_id=WORDS,
        state=st.sampled_from([VolumeState.AVAILABLE, VolumeState.IN_USE]),
        instance_id=st.sampled_from([None, "a", "b"]),
        attach=st.sampled_from(list(AttachState)),
        type=SOME,
    ),
    "snapshots": st.builds(
        lambda tags, **fields: snapshots.Listed(
            snapshot=msgspec.structs.replace(SNAPSHOT, **fields), tags=tags
        ),
        tags=st.dictionaries(SOME, WORDS, max_size=2),
        description=WORDS,
        encrypted=st.booleans(),
        volume_id=SOME,
        size_gib=st.integers(1, 2),
    ),
    "images": st.builds(
        lambda tags, own, **fields: images.Listed(
            image=msgspec.structs.replace(IMAGE, **fields), tags=tags, own=own, region="us-east-1"
        ),
        tags=st.dictionaries(SOME, WORDS, max_size=2),
        own=st.booleans(),
        name=SOME,
        description=WORDS,
        public=st.booleans(),
        source_image_id=WORDS,
        source_instance_id=WORDS,
    ),
    "interfaces": st.builds(
        lambda tags, **fields: Interface(
            nic=msgspec.structs.replace(a_nic(), **fields), addresses=("10.0.0.4",), tags=tags
        ),
        tags=st.dictionaries(SOME, WORDS, max_size=2),
        description=WORDS,
        subnet_id=SOME,
        vpc_id=SOME,
        instance_id=st.sampled_from([None, "a", "b"]),
        attachment_id=SOME,
        attach=st.sampled_from(list(AttachState)),
        source_dest_check=st.booleans(),
    ),
}
LISTINGS: Mapping[str, Any] = {
    "volumes": (volumes.LISTING, lambda row: row.volume),
    "snapshots": (snapshots.LISTING, lambda row: row.snapshot),
    "images": (images.LISTING, lambda row: row.image),
    "interfaces": (network_interfaces.LISTING, lambda row: row.nic),
}


@pytest.mark.parametrize("name", LISTINGS)
@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_left_to_the_database_finds_every_row_that_matches(name, data):
    listing, stored = LISTINGS[name]
    row = data.draw(ROWS[name])
    known = [*sorted(listing.columns), "tag:a", "tag:b", "tag-key", "tag-value", f"tag:{LIMITS_TAG}"]
    filters = data.draw(
        st.lists(
            st.builds(
                lambda filter_name, values: {"Name": filter_name, "Values": values},
                st.sampled_from(known),
                st.lists(TEXTS, max_size=3),
            ),
            max_size=3,
        )
    )
    query, _ = narrowed(listing.filters, listing.columns, filters)
    matches = listing.filters.compile(filters)(row)
    if query is None:
        assert not matches
        return
    found = all(getattr(stored(row), column) in values for column, values in query.equal.items()) and all(
        row.tags.get(key) in values if values else key in row.tags for key, values in query.tags
    )
    assert found or not matches
