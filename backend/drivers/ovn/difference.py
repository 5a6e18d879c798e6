"""What must change in a northbound database so that some owners' rows are as planned: pure.

The changes are data: they become the operations of one OVSDB transaction (RFC 7047), or lines for an
operator.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from backend.drivers.ovn.rows import GLOBAL, ROOTS, Column, Ref, Row


class New(NamedTuple):
    """A row to be made, by a name that is good for the transaction."""

    name: str


Target: TypeAlias = uuid.UUID | New
"""A row: one that is there, or one to be made."""


class Place(NamedTuple):
    """A set in another row in which a row is."""

    table: str
    row: Target
    column: str


class Stored(Protocol):
    """The database as it is."""

    def owned(self, owner: str) -> Collection[tuple[str, uuid.UUID]]:
        """The rows of an owner, with their tables."""
        ...

    def find(self, table: str, key: str) -> uuid.UUID | None:
        """A row of ours by its key."""
        ...

    def places(self, row: uuid.UUID) -> Collection[Place]:
        """The sets (:data:`~backend.drivers.ovn.rows.LINKS`) of rows of ours that a row is in."""
        ...

    def value(self, table: str, row: uuid.UUID, column: str) -> Any:
        """A column: sets are frozensets, references UUIDs."""
        ...

    def name(self, table: str, row: uuid.UUID) -> str:
        """What a row is called, for people."""
        ...


class Missing(Exception):  # noqa: N818 - a fact, which the caller may mend
    """A row that another one refers to is neither there nor planned."""

    def __init__(self, ref: Ref, asker: Row) -> None:
        super().__init__(f"{asker.key} needs {ref.table} {ref.key}, which is not there")
        self.ref = ref


class Insert(NamedTuple):
    """A row to be made."""

    row: Row
    target: New
    columns: Mapping[str, Any]


class Update(NamedTuple):
    """Columns of a row to be set: each as it is to be, and as it was."""

    table: str
    row: uuid.UUID
    name: str
    columns: Mapping[str, tuple[Any, Any]]


class Delete(NamedTuple):
    """A row to be deleted, or, where rows end with their last place, one that leaves all of them."""

    table: str
    row: uuid.UUID
    name: str


class Join(NamedTuple):
    """A row to be put into a set, or taken out of it."""

    place: Place
    row: Target
    name: str
    leave: bool = False


Change: TypeAlias = Insert | Update | Delete | Join


def difference(stored: Stored, plans: Mapping[str, Sequence[Row]]) -> list[Change]:
    """The changes after which each of these owners has exactly these rows; nothing else is touched.

    A planned row that another owner has is taken over.

    Raises:
        Missing: A plan refers to a row that is nowhere.
    """
    names = _Names(stored, (row for rows in plans.values() for row in rows))
    changes: list[Change] = []
    kept: set[uuid.UUID] = set()
    for rows in plans.values():
        for row in rows:
            target = names.of(row.ref, row)
            wanted = {column: names.resolved(value, row) for column, value in row.columns.items()}
            wanted["external_ids"] = row.external_ids
            places = {Place(link.parent.table, names.of(link.parent, row), link.column) for link in row.links}
            if isinstance(target, New):
                changes.append(Insert(row, target, wanted))
            else:
                kept.add(target)
                changes += _updates(stored, row.table, target, wanted)
            changes += _moves(stored, target, row.key, places)
    for owner in plans:
        for table, surplus in stored.owned(owner):
            if surplus not in kept:
                name = stored.name(table, surplus)
                if table in ROOTS:
                    changes.append(Delete(table, surplus, name))
                else:
                    changes += _moves(stored, surplus, name, set())
    return changes


class _Names:
    """The rows that plans speak of, as targets."""

    def __init__(self, stored: Stored, rows: Iterable[Row]) -> None:
        self._stored = stored
        self._new: dict[tuple[str, str], New] = {}
        self._found: dict[tuple[str, str], uuid.UUID] = {}
        for row in rows:
            at = row.table, row.key
            found = stored.find(*at)
            if found is None:
                self._new[at] = New(f"row{len(self._new)}")
            else:
                self._found[at] = found

    def of(self, ref: Ref, asker: Row) -> Target:
        at = ref.table, ref.key
        target = self._found.get(at) or self._new.get(at) or self._stored.find(*at)
        if target is None:
            raise Missing(ref, asker)
        return target

    def resolved(self, value: Column, asker: Row) -> Any:
        if isinstance(value, Ref):
            return self.of(value, asker)
        if isinstance(value, tuple):
            return frozenset(self.resolved(each, asker) for each in value)
        return value if isinstance(value, str | int | bool) else dict(value)


def _updates(stored: Stored, table: str, row: uuid.UUID, wanted: Mapping[str, Any]) -> list[Change]:
    changed = {
        column: (value, was)
        for column, value in wanted.items()
        if (was := stored.value(table, row, column)) != value
    }
    return [Update(table, row, stored.name(table, row), changed)] if changed else []


def _moves(stored: Stored, row: Target, name: str, wanted: set[Place]) -> list[Change]:
    there = set() if isinstance(row, New) else set(stored.places(row))
    return [
        *(Join(place, row, name) for place in sorted(wanted - there, key=str)),
        *(Join(place, row, name, leave=True) for place in sorted(there - wanted, key=str)),
    ]


# As a transaction ---------------------------------------------------------------------------------------


def operations(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The operations of a transaction: what is new, what is set, what moves, what goes."""
    inserts: dict[Target, dict[str, Any]] = {}
    updates: list[dict[str, Any]] = []
    deletes: list[dict[str, Any]] = []
    moves: dict[tuple[Place, bool], list[Target]] = {}
    for change in changes:
        match change:
            case Insert(row, target, columns):
                values = {column: _json(value) for column, value in columns.items()}
                inserts[target] = {
                    "op": "insert",
                    "table": row.table,
                    "uuid-name": target.name,
                    "row": values,
                }
            case Update(table, identity, _, changed):
                values = {column: _json(value) for column, (value, _was) in changed.items()}
                updates.append({"op": "update", "table": table, "where": _is(identity), "row": values})
            case Delete(table, identity, _):
                deletes.append({"op": "delete", "table": table, "where": _is(identity)})
            case Join(place, target, _, leave):
                moves.setdefault((place, leave), []).append(target)
    mutations: list[dict[str, Any]] = []
    for (place, leave), members in moves.items():
        value = ["set", [_json(member) for member in members]]
        if isinstance(place.row, New):
            inserts[place.row]["row"][place.column] = value
        else:
            mutation = [place.column, "delete" if leave else "insert", value]
            mutations.append(
                {"op": "mutate", "table": place.table, "where": _is(place.row), "mutations": [mutation]}
            )
    return [*inserts.values(), *updates, *mutations, *deletes]


def step(row: uuid.UUID, seen: int) -> list[dict[str, Any]]:
    """Count the configuration up: fails, as out of date, unless it still is what was seen.

    Thus of two writers that have read the same state one begins again, and whoever waits for hosts knows what
    to wait for.
    """
    return [
        {
            "op": "wait",
            "table": GLOBAL,
            "timeout": 0,
            "where": _is(row),
            "columns": ["nb_cfg"],
            "until": "==",
            "rows": [{"nb_cfg": seen}],
        },
        {"op": "update", "table": GLOBAL, "where": _is(row), "row": {"nb_cfg": seen + 1}},
    ]


def _is(row: uuid.UUID) -> list[Any]:
    return [["_uuid", "==", ["uuid", str(row)]]]


def _json(value: Any) -> Any:
    if isinstance(value, frozenset):
        return ["set", sorted(map(_atom, value), key=str)]
    if isinstance(value, dict):
        return ["map", [[key, value[key]] for key in sorted(value)]]
    return _atom(value)


def _atom(value: Any) -> Any:
    if isinstance(value, New):
        return ["named-uuid", value.name]
    return ["uuid", str(value)] if isinstance(value, uuid.UUID) else value


# For people ---------------------------------------------------------------------------------------------


def told(change: Change, stored: Stored) -> str:
    """A change as what is wrong until it is made."""
    match change:
        case Insert(row, _, _):
            return f"{row.table} {row.key}: missing"
        case Update(table, _, name, columns):
            wrong = "; ".join(
                f"{column} is {_plain(was)}, not {_plain(value)}" for column, (value, was) in columns.items()
            )
            return f"{table} {name}: {wrong}"
        case Delete(table, _, name):
            return f"{table} {name}: belongs to nothing"
        case Join(place, _, name, leave):
            where = place.row.name if isinstance(place.row, New) else stored.name(place.table, place.row)
            return f"{place.table} {where}: {place.column} {'should not have' if leave else 'lacks'} {name}"


def _plain(value: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(map(str, value))) or "empty"
    if isinstance(value, dict):
        return ", ".join(f"{key}={value[key]}" for key in sorted(value)) or "empty"
    return repr(value)
