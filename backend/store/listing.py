"""Listings: the rows that a caller may see and asks for, in order, page by page, answered by an index.

A page begins after the position of the last row of the page before (keyset), so it costs the same wherever it
lies and stays in step while rows come and go. What a caller may see is a union of a few *ways* (a tenant's
own, public, shared), each of which one index answers in order; the rows of all ways are merged. Statements
are built once for each shape of a question: making one takes longer than running it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Column, ColumnElement, Integer, Select, Table, bindparam, exists, func, select, tuple_

from backend.model import Value
from backend.store import tables
from backend.store.rows import Rows

T = TypeVar("T", bound=Value)

CHUNK = 500  # ids in one IN list; both databases allow more, plans stay good with this
_WILD = re.compile("[/%_]")  # what means something to LIKE, which is told that / takes it away
FEW = 2000
"""Up to so many rows with a tag, or a value in a column that has an index, are looked up by their ids; of
more, each row of a listing is asked, which finds enough for a page soon."""


class View(Value, frozen=True, kw_only=True):
    """What a caller may see: of its tenant (None: of all), in a region (None: in all).

    ``account_id`` is whom others share with. ``done_since``: ended instances are there only when they ended
    after this time, Unix seconds; None hides all of them.
    """

    tenant_id: str | None = None
    account_id: str = ""
    region: str | None = None
    done_since: float | None = None


class RowQuery(Value, frozen=True, kw_only=True):
    """Which rows: every condition must hold. ``after`` is the position of the last row of the page before.

    ``equal`` compares columns with any of several values; ``tags`` are (key, values) of which one must match,
    with no values the key must be there.
    """

    equal: Mapping[str, tuple[Any, ...]] = {}
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    after: tuple[Any, ...] | None = None
    limit: int | None = None


class Shape(Value, frozen=True, kw_only=True):
    """What of a question decides the text of its statement; all else are bound values."""

    scoped: bool
    regional: bool
    done: bool
    equal: tuple[str, ...] = ()
    tags: tuple[bool, ...] = ()
    after: bool = False
    limit: bool = False


class ListedRows(Rows[T]):
    """Rows that can be listed: ``order`` names the columns of a position, the last ones a unique key.

    ``identity`` is the column by which single rows are looked up.
    """

    order: ClassVar[tuple[str, ...]] = ("created_at", "id")
    identity: ClassVar[str] = "id"

    @classmethod
    def ways(cls, table: Table, shape: Shape) -> list[list[ColumnElement[bool]]]:
        """The conditions of each way to see a row; bound are ``tenant``, ``region``, ``account``, ``since``.

        Unless a noun says otherwise: its tenant's, in its region.
        """
        return [own(table, shape)]

    @classmethod
    def has_tag(cls, table: Table, shape: Shape, number: int) -> ColumnElement[bool]:
        """Whether a row has a tag of the question; bound are ``key_N`` and ``values_N``.

        Asked of one row after the other, by the primary key of tags.
        """
        t = tables.tag.c
        conditions = [t.resource_id == table.c.id, *is_tag(shape, number)]
        if shape.scoped:
            conditions.append(t.tenant_id == bindparam("tenant"))
        return exists().where(*conditions)

    def listing(self, view: View, query: RowQuery) -> list[T]:
        """The rows of a page in order."""
        return [self.decode(row) for row in self.cells(view, query, self.columns)]

    def cells(self, view: View, query: RowQuery, columns: tuple[Column[Any], ...]) -> Sequence[Sequence[Any]]:
        """Some columns of the rows of a page, in order."""
        if not all(query.equal.values()):
            return []
        narrowed = self._narrowed(view, query)
        if narrowed is None:
            return []
        shape = _shape(view, narrowed)
        given = _bound(view, narrowed)
        wanted = columns + tuple(self.table.c[name] for name in self.order)
        kind: Any = type(self)
        found = [
            self.connection.execute(statement, given).all()
            for statement in _statements(kind, self.table, wanted, shape)
        ]
        if len(found) == 1:
            return [row[: len(columns)] for row in found[0]]
        seen = {_position(row, columns): row for rows in found for row in rows}
        return [seen[position][: len(columns)] for position in sorted(seen)][: query.limit]

    def some(self, ids: Collection[str]) -> dict[str, T]:
        """Rows by id; unknown ids are left out."""
        return {getattr(item, "id"): item for item in self.having("id", ids)}  # noqa: B009 - every one has it

    def having(self, column: str, values: Collection[str]) -> list[T]:
        """Rows with one of some values in a column, in order as long as they are few."""
        wanted = list(dict.fromkeys(values))
        statement = _with_values(self.table, self.columns, column, self.order)
        found: list[T] = []
        for start in range(0, len(wanted), CHUNK):
            part = wanted[start : start + CHUNK]
            found += map(self.decode, self.connection.execute(statement, {"values": part}))
        return found

    def _narrowed(self, view: View, query: RowQuery) -> RowQuery | None:
        """The question with conditions that few rows meet replaced by the ids of these; None: no row does."""
        found = [self._few_with(view, query)] if self.identity not in query.equal else []
        tags = []
        for key, values in query.tags:
            few = self._few_tagged(view, key, values)
            found.append(few)
            if few is None:
                tags.append((key, values))
        sets = [few for few in found if few is not None]
        if not sets:
            return query
        if self.identity in query.equal:
            sets.append(set(query.equal[self.identity]))
        chosen = set.intersection(*sets)
        if not chosen:
            return None
        return RowQuery(
            equal={**query.equal, self.identity: tuple(sorted(chosen))},
            tags=tuple(tags),
            after=query.after,
            limit=query.limit,
        )

    def _few_with(self, view: View, query: RowQuery) -> set[str] | None:  # noqa: ARG002 - tags ask it
        """The ids of rows with some values in a column that has an index; None for many, or without one."""
        name = next((name for name in _indexed(self.table) if name in query.equal), None)
        if name is None:
            return None
        return self._few(_with_value(self.table, name, self.identity), {"values": query.equal[name]})

    def _few_tagged(self, view: View, key: str, values: Sequence[str]) -> set[str] | None:
        """The ids of resources with a tag; None for many."""
        given = {"tenant": view.tenant_id, "keys": (key,), "values": tuple(values)}
        return self._few(tagged(view.tenant_id is not None, bool(values)), given)

    def _few(self, statement: Select[Any], given: Mapping[str, Any]) -> set[str] | None:
        found = self.connection.execute(statement, {**given, "most": FEW + 1}).scalars().all()
        return None if len(found) > FEW else set(found)


def _position(row: Sequence[Any], columns: Sequence[Any]) -> tuple[Any, ...]:
    """Where a row stands, which is told after the columns asked for."""
    return tuple(row[len(columns) :])


def own(table: Table, shape: Shape) -> list[ColumnElement[bool]]:
    """A tenant's own rows, in the region when there is one."""
    found: list[ColumnElement[bool]] = []
    if shape.scoped:
        found.append(beside(table.c.tenant_id, shape) == bindparam("tenant"))
    if shape.regional and "region" in table.c:
        found.append(beside(table.c.region, shape) == bindparam("region"))
    return found


def beside(column: ColumnElement[Any], shape: Shape) -> ColumnElement[Any]:
    """A column that is compared; with ids given as an expression that no index answers, so that SQLite, which
    knows nothing of how many rows there are, looks the ids up instead of going through all of a tenant's.
    """
    return func.coalesce(column, "") if {"id", "resource_id"} & {*shape.equal} else column


def _shape(view: View, query: RowQuery) -> Shape:
    return Shape(
        scoped=view.tenant_id is not None,
        regional=view.region is not None,
        done=view.done_since is not None,
        equal=tuple(sorted(query.equal)),
        tags=tuple(bool(values) for _, values in query.tags),
        after=query.after is not None,
        limit=query.limit is not None,
    )


def _bound(view: View, query: RowQuery) -> dict[str, Any]:
    given: dict[str, Any] = {
        "tenant": view.tenant_id,
        "region": view.region,
        "account": '"' + _WILD.sub(r"/\g<0>", view.account_id) + '"',
        "since": view.done_since,
    }
    given |= {f"is_{name}": values for name, values in query.equal.items()}
    for number, (key, values) in enumerate(query.tags):
        given |= {f"key_{number}": key, f"values_{number}": values}
    given |= {f"after_{number}": part for number, part in enumerate(query.after or ())}
    return given | ({} if query.limit is None else {"most": query.limit})


@lru_cache(maxsize=1024)
def _statements(
    kind: type[ListedRows[Any]], table: Table, columns: tuple[Column[Any], ...], shape: Shape
) -> list[Select[Any]]:
    """The question of each way. Clients choose the filters, so that only the shapes used last are kept."""
    c = table.c
    order = [c[name] for name in kind.order]
    conditions: list[ColumnElement[bool]] = [
        c[name].in_(bindparam(f"is_{name}", expanding=True)) for name in shape.equal
    ]
    conditions += [kind.has_tag(table, shape, number) for number in range(len(shape.tags))]
    if shape.after:
        last = [bindparam(f"after_{number}", type_=column.type) for number, column in enumerate(order)]
        conditions.append(tuple_(*order) > tuple_(*last))
    found = []
    for way in kind.ways(table, shape):
        statement = select(*columns).where(*way, *conditions).order_by(*order)
        found.append(statement.limit(bindparam("most", type_=Integer)) if shape.limit else statement)
    return found


def is_tag(shape: Shape, number: int) -> list[ColumnElement[bool]]:
    """Whether a tag has the key, and one of the values, of a question."""
    t = tables.tag.c
    conditions = [t.key == bindparam(f"key_{number}")]
    if shape.tags[number]:
        conditions.append(t.value.in_(bindparam(f"values_{number}", expanding=True)))
    return conditions


@lru_cache
def tagged(scoped: bool, valued: bool) -> Select[Any]:
    """The ids of at most ``most`` resources with one of some ``keys``, and one of some ``values``."""
    t = tables.tag.c
    conditions: list[ColumnElement[bool]] = [t.key.in_(bindparam("keys", expanding=True))]
    if scoped:
        conditions.append(t.tenant_id == bindparam("tenant"))
    if valued:
        conditions.append(t.value.in_(bindparam("values", expanding=True)))
    return select(t.resource_id).where(*conditions).limit(bindparam("most", type_=Integer))


@cache
def _indexed(table: Table) -> tuple[str, ...]:
    """The columns that begin an index of all rows, but for those of listings: what may find few rows."""
    full = [index for index in table.indexes if index.dialect_options["sqlite"]["where"] is None]
    firsts = {index.columns[0].name for index in full}
    firsts |= {column.name for column in table.columns if column.unique}
    return tuple(sorted(firsts - {"tenant_id", "region"}))


@lru_cache
def _with_value(table: Table, column: str, identity: str) -> Select[Any]:
    c = table.c
    chosen = c[column].in_(bindparam("values", expanding=True))
    return select(c[identity]).where(chosen).limit(bindparam("most", type_=Integer))


@lru_cache
def _with_values(
    table: Table, columns: tuple[Column[Any], ...], column: str, order: tuple[str, ...]
) -> Select[Any]:
    c = table.c
    chosen = c[column].in_(bindparam("values", expanding=True))
    return select(*columns).where(chosen).order_by(*(c[name] for name in order))
