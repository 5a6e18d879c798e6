"""Listings of the EC2 face: filters, pages and ids, the same for every kind of row.

The database decides what it can of the filters (:func:`narrowed`) and gives rows page by page; all filters
are then asked of what is told of each row, and a page that these left too short is filled from the next
rows. So a listing costs a handful of questions whatever its size, and a page the same wherever it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from backend.engine import RowQuery
from backend.model import Value
from ec2.context import Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.filters import Filter, FilterTable, plain_values
from ec2.mapping import LIMITS_TAG
from ec2.pages import PageLimits, Position, page_size

T = TypeVar("T", bound=Value)
R = TypeVar("R")

_MOMENTS = frozenset({"created_at", "started_at"})
_FURTHER = 1000
"""How many rows are looked at in one go once the first ones did not fill a page."""


def _text(text: str) -> Sequence[str]:
    """A column's text. An empty one stands for a value that is not there, and that matches nothing."""
    return (text,) if text else ()


class Column(msgspec.Struct, frozen=True):
    """A filter that looks at a column: its name, and the values of the column for a filter's text.

    ``read`` answers nothing for a text that no row can have there. A column that is not ``exact`` leaves rows
    that the filter has yet to be asked of.
    """

    name: str
    read: Callable[[str], Sequence[str | int | bool]] = _text
    exact: bool = True


def flag(name: str) -> Column:
    """A column of truth values."""
    return Column(name, lambda text: {"true": (True,), "false": (False,)}.get(text, ()))


def whole(name: str) -> Column:
    """A column of numbers."""
    return Column(name, _number)


def as_it_is(text: str) -> Sequence[str]:
    """A column's text, which a filter matches when it is empty, too."""
    return (text,)


def _number(text: str) -> Sequence[int]:
    """The number whose text this is: a filter is held against how a reply writes it."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return ()
    return (int(text),) if str(int(text)) == text else ()


Columns = Mapping[str, Column]


def narrowed(
    table: FilterTable[Any], columns: Columns, filters: Sequence[Filter]
) -> tuple[RowQuery | None, list[Filter]]:
    """What the database can decide of some filters, and those that it cannot, or not fully.

    None when nothing meets them. The question finds every row that meets them all.
    """
    equal: dict[str, frozenset[Any]] = {}
    tags: list[tuple[str, tuple[str, ...]]] = []
    rest: list[Filter] = []
    for each in filters:
        name, plain = each.get("Name") or "", plain_values(each.get("Values") or ())
        column = columns.get(table.canonical(name))
        tag = _tag(name, plain) if column is None else None
        if plain is not None and column is not None:
            read = frozenset(value for text in plain for value in column.read(text))
            equal[column.name] = equal[column.name] & read if column.name in equal else read
        elif tag is not None:
            tags.append(tag)
        if tag is None and (plain is None or column is None or not column.exact):
            rest.append(each)
    if not all(equal.values()) or any(not each.get("Values") for each in filters):
        return None, rest
    return RowQuery(
        equal={name: tuple(sorted(values)) for name, values in equal.items()}, tags=tuple(tags)
    ), rest


def _tag(name: str, plain: frozenset[str] | None) -> tuple[str, tuple[str, ...]] | None:
    """The key and the values of a filter on tags; None for another, and for a tag that nobody has set."""
    if not plain:
        return None
    if name == "tag-key" and len(plain) == 1:
        tag: tuple[str, tuple[str, ...]] = (min(plain), ())
    elif name.startswith("tag:"):
        tag = (name[4:], tuple(sorted(plain)))
    else:
        return None
    return None if tag[0] == LIMITS_TAG else tag


class Listing(msgspec.Struct, Generic[T, R], frozen=True, kw_only=True):
    """How a kind of rows is listed.

    ``dress`` gives some rows with all that is told of them, in a fixed number of questions, and None for one
    that went meanwhile; ``filters`` are asked of the result, and ``columns`` says which of these are columns
    of the row. ``order`` are the columns of a position, as the store lists the kind, and ``member`` the
    parameter with the filters.
    """

    kind: type[T]
    dress: Callable[[Ec2Context, Sequence[T]], Sequence[R | None]]
    filters: FilterTable[R]
    columns: Columns = {}
    limits: PageLimits = PageLimits(default=None)
    order: tuple[str, ...] = ("created_at", "id")
    member: str = "Filters"

    def page(
        self,
        context: Ec2Context,
        params: Params,
        *,
        named: Sequence[T] | None = None,
        keep: Callable[[T], bool] | None = None,
        among: Mapping[str, tuple[Any, ...]] | None = None,
    ) -> tuple[list[R], str | None]:
        """The rows of the page asked for in order, and the token of the next one.

        ``named`` are the rows that the call names by id, read already. ``keep`` is one more condition, and
        ``among`` more values of columns.
        """
        given = params.get(self.member, ())
        matches = self.filters.compile(given)
        size, after = page_size(params, self.limits), self._after(context, params)
        query, _ = narrowed(self.filters, self.columns, given)
        if query is None:
            return [], None
        most = None if size is None else size + 1
        if named is None:
            batches = self._read(context, _with(query, among or {}), after, most)
        else:
            left = [row for row in named if after is None or self._place(row) > after]
            batches = iter([sorted(left, key=self._place)])
        found: list[tuple[T, R]] = []
        for batch in batches:
            rows = batch if keep is None else [row for row in batch if keep(row)]
            dressed = zip(rows, self.dress(context, rows), strict=True)
            found += [(row, shown) for row, shown in dressed if shown is not None and matches(shown)]
            if size is not None and len(found) > size:
                last = found[size - 1][0]
                token = context.next_token(params, self.position(last))
                return [shown for _, shown in found[:size]], token
        return [shown for _, shown in found], None

    def position(self, row: T) -> Position:
        """Where a row stands; a time as text, since it must come back exactly."""
        return tuple(repr(part) if isinstance(part, float) else part for part in self._place(row))

    def _place(self, row: T) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.order)

    def _after(self, context: Ec2Context, params: Params) -> tuple[Any, ...] | None:
        after = context.after(params)
        if after is None:
            return None
        if len(after) != len(self.order) or not all(isinstance(part, str) for part in after):
            raise Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
        return tuple(
            float(part) if name in _MOMENTS else part for name, part in zip(self.order, after, strict=True)
        )

    def _read(
        self, context: Ec2Context, query: RowQuery, after: tuple[Any, ...] | None, most: int | None
    ) -> Iterator[list[T]]:
        """Rows in order, from after a position; ``most`` in the first go."""
        while True:
            asked = msgspec.structs.replace(query, after=after, limit=most)
            rows = context.engine.listing(context.caller, self.kind, asked)
            yield rows
            if most is None or len(rows) < most:
                return
            after, most = self._place(rows[-1]), max(most, _FURTHER)


def _with(query: RowQuery, among: Mapping[str, tuple[Any, ...]]) -> RowQuery:
    """A question with more values of columns; where it has some already, what both allow."""
    equal = dict(query.equal)
    for name, values in among.items():
        equal[name] = tuple(each for each in values if name not in equal or each in equal[name])
    return msgspec.structs.replace(query, equal=equal)
