"""What the listings of networks share: things by id or all, filters on what is told of them, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from backend.model import Owned
from ec2.actions.common import well_formed_ids
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.filters import FilterTable, Plain, Value
from ec2.ids import IdKind
from ec2.listing import Listing
from ec2.mapping import with_limits
from ec2.pages import PageLimits, Position

T = TypeVar("T", bound=Owned)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of a listing: where it stands, its tags, and its reply document."""

    position: Position
    tags: Mapping[str, str]
    document: Document


Tell = Callable[[T, Mapping[str, str]], Document]
"""The reply document of a thing with its tags."""


def at(*path: str) -> Callable[[Told], Value]:
    """What stands at a place of the reply document; in a list, at that place of any of its items."""
    return lambda row: _values(row.document, path)


def _values(value: Any, path: Sequence[str]) -> list[Plain]:
    if value is None:
        return []
    if isinstance(value, list):
        return [found for item in value for found in _values(item, path)]
    if path:
        return _values(value.get(path[0]), path[1:])
    assert isinstance(value, str | bool | int | datetime)
    return [value]


def absent(_row: object) -> Value:
    """What nothing has: known as a filter, and matching nothing."""
    return None


def table(
    accessors: Mapping[str, Callable[[Told], Value]], aliases: Mapping[str, str] | None = None
) -> FilterTable[Told]:
    """The filters of a listing, tags included."""
    return FilterTable(accessors, tags=lambda row: row.tags, aliases=aliases)


def chosen(context: Ec2Context, params: Params, kind: type[T], id_kind: IdKind, member: str) -> list[T]:
    """The things that a call names, all of which must exist, or every one there is."""
    ids = params.get(member)
    if not ids:
        return context.engine.networks.all(context.caller, kind)
    return context.engine.networks.some(context.caller, kind, well_formed_ids(id_kind, ids))


def told(context: Ec2Context, things: Iterable[T], tell: Tell[T]) -> list[Told]:
    """Things with their tags and documents. What the network driver does not enforce is said in a tag."""
    found = list(things)
    tags = context.engine.tags_of([each.id for each in found])
    return [
        Told(
            position=(round(each.created_at * 1e6), each.id),
            tags=tags.get(each.id, {}),
            document=tell(each, said(context, tags.get(each.id, {}))),
        )
        for each in found
    ]


def listed(
    context: Ec2Context, params: Params, listing: Listing[T, Told], id_kind: IdKind, member: str
) -> tuple[list[Document], str | None]:
    """The documents of the page asked for, of things named by id or of all, and the token of the next one."""
    ids, named = params.get(member), None
    if ids:
        named = context.engine.networks.some(context.caller, listing.kind, well_formed_ids(id_kind, ids))
    shown, token = listing.page(context, params, named=named)
    return [row.document for row in shown], token


def said(context: Ec2Context, tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tags to be shown of something of networks: its own, and what is not enforced here."""
    return with_limits(tags, context.engine.settings.network.capabilities.briefly)


def page(
    context: Ec2Context,
    params: Params,
    filters: FilterTable[Told],
    rows: Iterable[Told],
    limits: PageLimits,
    *,
    member: str = "Filters",
) -> tuple[list[Document], str | None]:
    """The documents of the page asked for, oldest first, and the token of the next one."""
    matches = filters.compile(params.get(member, ()))
    found = sorted(((row.position, row) for row in rows if matches(row)), key=lambda row: row[0])
    shown, token = page_of(context, params, found, limits)
    return [row.document for row in shown], token


def tags_of(context: Ec2Context, identity: str) -> Mapping[str, str]:
    """The tags to be shown of one thing."""
    return said(context, context.engine.tags_of([identity]).get(identity, {}))


def id_in(params: Params, member: str, kind: IdKind) -> str:
    """The id that a call names in a member; raises the error for one of another shape."""
    (found,) = well_formed_ids(kind, [params[member]])
    return found
