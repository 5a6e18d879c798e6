"""Rows to value types and back: columns and fields have the same names, so one mapping serves all tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from backend.errors import BackendError, Code
from backend.model import Value

T = TypeVar("T", bound=Value)


class Rows(Generic[T]):
    """The rows of one table as values of one type, inside one transaction.

    Rows with a ``version`` are updated by compare-and-set: a stale value changes nothing and raises
    :data:`~backend.errors.Code.STALE`.
    """

    def __init__(self, connection: Connection, table: Table, kind: type[T]) -> None:
        self.connection = connection
        self.table = table
        self.kind = kind
        self._names = kind.__struct_fields__
        self._json, self.columns = _layout(table, self._names)
        self._words = _words(kind)
        self._keys = tuple(table.primary_key.columns.keys())
        self._versioned = "version" in table.c

    def insert(self, value: T) -> None:
        """Add one row."""
        self.connection.execute(_insertion(self.table), self.encode(value))

    def insert_all(self, values: Iterable[T]) -> None:
        """Add many rows in one statement."""
        rows = [self.encode(value) for value in values]
        if rows:
            self.connection.execute(_insertion(self.table), rows)

    def get(self, *key: str | int) -> T | None:
        """The row of a primary key, or None."""
        row = self.connection.execute(_by_key(self.table, self.columns), _key(key)).one_or_none()
        return self.decode(row) if row is not None else None

    def lock(self, *key: str | int) -> T | None:
        """The row of a primary key, locked until the transaction ends: claims on it come one by one."""
        statement = _by_key(self.table, self.columns, lock=True)
        row = self.connection.execute(statement, _key(key)).one_or_none()
        return self.decode(row) if row is not None else None

    def update(self, old: T, **changes: Any) -> T:
        """Write changes of a value read before; answers the new value.

        Raises:
            BackendError: STALE when the row is not as it was read.
        """
        if self._versioned:
            changes["version"] = getattr(old, "version") + 1  # noqa: B009 - only versioned types get here
        new = msgspec.structs.replace(old, **changes)
        given = _key([getattr(old, name) for name in self._keys])
        if self._versioned:
            given["read_version"] = getattr(old, "version")  # noqa: B009
        statement = _change(self.table, tuple(sorted(changes)), self._versioned)
        result = self.connection.execute(statement, given | self._encode(changes))
        if result.rowcount != 1:
            raise BackendError(Code.STALE, f"The {self.table.name} was changed by somebody else.")
        return new

    def touch(self, ids: Collection[str]) -> None:
        """Raise the versions of rows by id, because something shown with them (a tag) changed."""
        c = self.table.c
        if ids:
            changed = update(self.table).where(c.id.in_(list(ids))).values(version=c.version + 1)
            self.connection.execute(changed)

    def delete(self, *key: str | int) -> bool:
        """Remove a row; whether there was one."""
        return bool(self.connection.execute(delete(self.table).where(self._at(key))).rowcount)

    def delete_where(self, condition: ColumnElement[bool]) -> int:
        """Remove rows; how many."""
        return self.connection.execute(delete(self.table).where(condition)).rowcount

    def where(
        self, *conditions: ColumnElement[bool], order: Sequence[Any] = (), limit: int | None = None
    ) -> list[T]:
        """All rows that meet the conditions."""
        query = select(*self.columns).where(*conditions).order_by(*order)
        if limit is not None:
            query = query.limit(limit)
        return [self.decode(row) for row in self.connection.execute(query)]

    def all(self) -> list[T]:
        """Every row, by primary key."""
        return self.where(order=list(self.table.primary_key.columns))

    def encode(self, value: T) -> dict[str, Any]:
        """A value as column values."""
        return self._encode(msgspec.structs.asdict(value))

    def decode(self, row: Sequence[Any]) -> T:
        """A row (its columns in field order) as a value."""
        fields: dict[str, Any] = dict(zip(self._names, row, strict=True))
        for name in self._json:
            fields[name] = msgspec.json.decode(fields[name])
        return msgspec.convert(fields, self.kind, strict=False)

    def _encode(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields as column values, in place: most are so already."""
        for name in self._json:
            if name in fields:
                fields[name] = msgspec.json.encode(fields[name]).decode()
        for name in self._words:
            if isinstance(fields.get(name), Enum):
                fields[name] = fields[name].value
        return fields

    def _at(self, key: Sequence[str | int]) -> ColumnElement[bool]:
        return and_(*(self.table.c[name] == part for name, part in zip(self._keys, key, strict=True)))


# A statement that is built once is compiled and looked up once, which is most of the cost of a small one.


def _key(parts: Sequence[str | int]) -> dict[str, Any]:
    return {f"key_{number}": part for number, part in enumerate(parts)}


def _has_key(table: Table) -> ColumnElement[bool]:
    columns = table.primary_key.columns
    return and_(*(column == bindparam(f"key_{number}") for number, column in enumerate(columns)))


@cache
def _insertion(table: Table) -> Insert:
    return insert(table)


@cache
def _by_key(table: Table, columns: tuple[Column[Any], ...], *, lock: bool = False) -> Select[Any]:
    found = select(*columns).where(_has_key(table))
    return found.with_for_update() if lock else found


@cache
def _change(table: Table, names: tuple[str, ...], versioned: bool) -> Update:
    at = _has_key(table)
    if versioned:
        at = and_(at, table.c.version == bindparam("read_version"))
    return update(table).where(at).values({table.c[name]: bindparam(name) for name in names})


def columns_of(table: Table, kind: type[Value]) -> tuple[Column[Any], ...]:
    """A type's columns in field order, as :meth:`Rows.decode` wants them."""
    return _layout(table, kind.__struct_fields__)[1]


@cache
def _layout(table: Table, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Column[Any], ...]]:
    """The JSON columns among some, and all: found once, as every transaction makes all row classes."""
    return tuple(name for name in names if _is_json(table, name)), tuple(table.c[name] for name in names)


@cache
def _words(kind: type[Value]) -> tuple[str, ...]:
    """The fields that hold a word of an enumeration."""
    found = [(field.name, field.type) for field in msgspec.structs.fields(kind)]
    return tuple(name for name, kind_of in found if isinstance(kind_of, type) and issubclass(kind_of, Enum))


def _is_json(table: Table, name: str) -> bool:
    """JSON columns are those declared as text whose field is a tuple, a mapping or a struct."""
    return isinstance(table.c[name].type, Text) and name in _JSON_FIELDS.get(table.name, ())


_JSON_FIELDS: Mapping[str, tuple[str, ...]] = {
    "tenant": ("quotas", "encrypted_regions"),
    "tenant_role": ("trusted",),
    "launch_template_version": ("data",),
    "host": ("total", "reserved", "foreign", "capabilities"),
    "image": ("launch_accounts", "mappings"),
    "volume": ("modification",),
    "snapshot": ("accounts",),
    "task": ("arguments", "result"),
    "instance": ("metadata", "public_keys", "excluded"),
    "vpc": ("blocks",),
    "route_table": ("routes",),
    "dhcp_options": ("options",),
    "network_acl": ("entries",),
    "nic": ("groups",),
    "job": ("stages", "on_failed", "on_lost"),
    "creation_key": ("made",),
}
