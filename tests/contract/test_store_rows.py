"""Every value type survives the database unchanged, on both databases."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from backend.model import Value
from backend.store import Tx
from backend.store.rows import Rows

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
SMALL = st.integers(-(2**31), 2**31 - 1)
LARGE = st.integers(-(2**63), 2**63 - 1)
BIG_COLUMNS = {"size_bytes", "virtual_bytes"}
PLAIN = {
    str: TEXT,
    bool: st.booleans(),
    int: SMALL,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bytes: st.binary(max_size=40),
    type(None): st.none(),
    Any: TEXT,  # what one face wrote down, in its own words
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field's annotation allows."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin in {Union, types.UnionType}:
        return st.one_of(*map(values_of, arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin in {dict, Mapping}:
        members = LARGE if arguments[1] is int else values_of(arguments[1])
        return st.dictionaries(values_of(arguments[0]), members, max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return structs(kind)


def structs(kind: type[Value]) -> st.SearchStrategy[Any]:
    fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(kind)}
    fields |= {name: LARGE for name in BIG_COLUMNS & fields.keys()}
    if "groups" in fields:  # an interface is in each of its groups once
        fields["groups"] = st.lists(TEXT, max_size=3, unique=True).map(tuple)
    if "detail" in fields:  # the state is read from its first letters
        fields["detail"] = st.sampled_from(["runn", "boot.new", "done"])
    return st.builds(kind, **fields)


class Unconstrained:
    """A connection without foreign keys: the codec is tried, not the references."""

    def __init__(self, store) -> None:
        self.connection = store.engine.connect().execution_options(isthmus_read=False)
        if store.is_sqlite:
            self.connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")
        else:
            self.connection.execute(text("SET session_replication_role = replica"))
            self.connection.commit()


def rows_of(connection) -> dict[str, Rows[Any]]:
    """All row classes that a transaction offers, by noun, found rather than listed."""
    tx = Tx(connection)
    named = {name: getattr(tx, name) for name in dir(tx) if not name.startswith("_")}
    return {name: found for name, found in named.items() if isinstance(found, Rows)}


def test_every_table_with_values_is_tried(store):
    with store.begin() as tx:
        found = {rows.table.name for rows in rows_of(tx.connection).values()}
    without_values = {"context", "console", "mixin_member", "nic_group", "note"}
    from backend.store.tables import metadata

    assert found | without_values == set(metadata.tables)


@pytest.fixture
def unconstrained(store):
    found = Unconstrained(store).connection
    yield found
    found.invalidate()
    found.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_comes_back_equal(unconstrained, data):
    with unconstrained.begin() as outer:
        everything = rows_of(unconstrained)
        rows = everything[data.draw(st.sampled_from(sorted(everything)))]
        value = data.draw(structs(rows.kind))
        rows.insert(value)
        assert rows.all() == [value]
        key = [getattr(value, name) for name in rows.table.primary_key.columns.keys()]
        assert rows.get(*key) == value
        assert rows.delete(*key) is True
        assert rows.get(*key) is None
        outer.rollback()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_update_writes_what_it_says_and_only_on_the_version_read(unconstrained, data):
    from backend.errors import BackendError, Code

    with unconstrained.begin() as outer:
        everything = {
            name: rows for name, rows in rows_of(unconstrained).items() if "version" in rows.table.c
        }
        rows = everything[data.draw(st.sampled_from(sorted(everything)))]
        keys = set(rows.table.primary_key.columns.keys())
        old = msgspec.structs.replace(data.draw(structs(rows.kind)), version=7)
        other = data.draw(structs(rows.kind))
        changes = {
            name: getattr(other, name)
            for name in rows.kind.__struct_fields__
            if name not in keys | {"version"}
        }
        rows.insert(old)
        new = rows.update(old, **changes)
        assert new == msgspec.structs.replace(old, **changes, version=8)
        assert rows.all() == [new]
        with pytest.raises(BackendError) as stale:
            rows.update(old, **changes)
        assert stale.value.code is Code.STALE
        assert rows.all() == [new]
        outer.rollback()
