"""The kind ipreservation (OCCI-EXT-006): public addresses that are held for their owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.engine import Do
from backend.errors import BackendError, Code
from backend.model import uuid_of
from backend.network_commands import AllocateAddress, ModifyAddress, ReleaseAddress
from backend.network_model import PublicAddress
from occi import kinds, mixins, names, noting
from occi.changing import Standing, full, given_attributes, named_mixins, naming, tagging
from occi.creation import described, name_tag, refuse_links, tags_among
from occi.deeds import Creation, Deed, carry_out
from occi.errors import OcciError
from occi.scope import Scope
from occi.values import checked_summary
from rendering.occi_document import ID, SUMMARY, TITLE, Category, Entity, Request, Value

_VOLATILE = frozenset(
    {
        kinds.RESERVED_STATE,
        kinds.RESERVED_MESSAGE,
        kinds.RESERVED_USED,
        kinds.NETWORK_STATE,
        kinds.NETWORK_MESSAGE,
    }
)


# Reading ------------------------------------------------------------------------------------------------


def ids(scope: Scope) -> list[str]:
    """All addresses that the caller has reserved, oldest first."""
    return [address.id for address in scope.engine.networks.all(scope.caller, PublicAddress)]


def check(scope: Scope, wanted: Sequence[str]) -> None:
    """Raise RESOURCE_NOT_FOUND for reservations that are not there."""
    _own(scope, wanted)


def _own(scope: Scope, wanted: Sequence[str]) -> list[PublicAddress]:
    found = scope.engine.networks.some(scope.caller, PublicAddress, wanted)
    lent = tuple(address.id for address in found if address.auto)
    if lent:
        raise BackendError(Code.RESOURCE_NOT_FOUND, f"No such reservation: {', '.join(lent)}", ids=lent)
    return found


def entities(
    scope: Scope,
    wanted: Sequence[str] | None = None,
    *,
    in_full: bool = True,  # noqa: ARG001 - nothing here is costly
) -> list[Entity]:
    """Renderings of all reservations or of some; those that have gone meanwhile are left out."""
    found = scope.engine.networks.all(scope.caller, PublicAddress)
    named = None if wanted is None else set(wanted)
    return _rendered(scope, [address for address in found if named is None or address.id in named])


def _rendered(scope: Scope, found: Sequence[PublicAddress]) -> list[Entity]:
    own = [address.id for address in found]
    tags, associated = scope.engine.tags_of(own), scope.engine.mixins_of(scope.caller, own)
    notes = scope.engine.notes_of(own)
    return [
        _entity(
            scope,
            address,
            title=tags.get(address.id, {}).get("Name", ""),
            associated=associated.get(address.id, ()),
            notes=notes.get(address.id, {}),
        )
        for address in found
    ]


def _entity(
    scope: Scope,
    address: PublicAddress,
    *,
    title: str,
    associated: Sequence[tuple[str, str]],
    notes: Mapping[str, str],
) -> Entity:
    state = "active" if address.up else "inactive"
    word = f"leads to {address.private_ip}" if address.nic_id is not None else "leads nowhere"
    values: dict[str, Value | None] = {
        ID: uuid_of(address.id),
        TITLE: title or None,
        SUMMARY: address.summary or None,
        kinds.VLAN: int(notes[kinds.VLAN]) if kinds.VLAN in notes else None,
        kinds.LABEL: notes.get(kinds.LABEL),
        kinds.NETWORK_STATE: state,
        kinds.NETWORK_MESSAGE: word,
        kinds.RESERVED_ADDRESS: address.ip,
        kinds.RESERVED_USED: address.nic_id is not None,
        kinds.RESERVED_STATE: state,
        kinds.RESERVED_MESSAGE: word,
    }
    pool = scope.catalog.find(mixins.pool_of(address.pool).id)
    return Entity(
        kind=kinds.IPRESERVATION,
        location=names.path_of(address.id),
        mixins=(*([pool] if pool is not None else []), *scope.catalog.own_tags(associated)),
        attributes={name: value for name, value in values.items() if value is not None},
        actions=(kinds.RESERVED_DOWN,) if address.up else (kinds.RESERVED_UP,),
    )


# Writing ------------------------------------------------------------------------------------------------


def creation(scope: Scope, request: Request) -> Creation:
    """What reserves an address, a certain one if given: of the pool that a mixin names, or of the first."""
    refuse_links(request)
    associated, given = described(scope, kinds.IPRESERVATION, request)
    command = AllocateAddress(
        ip=given.get(kinds.RESERVED_ADDRESS, ""),
        pool=_pool(scope, associated),
        summary=checked_summary(given.get(SUMMARY, "")),
        tags=name_tag(given),
        mixins=tags_among(scope, associated),
    )
    notes = noting.noted(noting.OF_RESERVATIONS, given)

    def make(do: Do) -> str:
        address_id = str(do(command).id)
        for each in noting.set_notes(address_id, notes):
            do(each)
        return address_id

    return make


def _pool(scope: Scope, associated: Sequence[Category]) -> str:
    found = [scope.catalog.pools[mixin.id] for mixin in associated if mixin.id in scope.catalog.pools]
    if len(found) > 1:
        raise OcciError(400, "An address is of one pool.")
    return found[0] if found else ""


def update(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What changes all that a request gives (POST)."""
    return _changes(scope, entity_id, request)


def replace(scope: Scope, entity_id: str, request: Request) -> Sequence[Deed]:
    """What makes a reservation what a full rendering says (PUT): title, summary and tags may be missing."""
    return _changes(scope, entity_id, full(scope, request), replacing=True)


def _changes(scope: Scope, entity_id: str, request: Request, *, replacing: bool = False) -> Sequence[Deed]:
    refuse_links(request)
    [address] = _own(scope, [entity_id])
    [shown] = _rendered(scope, [address])
    standing = Standing(entity_id, shown)
    wanted = named_mixins(scope, standing, request)
    given = given_attributes(scope, standing, request, wanted, volatile=_VOLATILE if replacing else ())
    other_pool = _pool(scope, wanted) not in {"", address.pool}
    if other_pool or given.get(kinds.RESERVED_ADDRESS, address.ip) != address.ip:
        raise OcciError(501, "A reservation keeps its address: make another.")
    if replacing:
        given = {TITLE: "", SUMMARY: "", kinds.VLAN: "", kinds.LABEL: "", **given}
    summary = checked_summary(given.get(SUMMARY, address.summary))
    return [
        *([ModifyAddress(allocation_id=address.id, summary=summary)] if summary != address.summary else []),
        *naming(standing, given.get(TITLE)),
        *noting.changed(standing, noting.OF_RESERVATIONS, given),
        *tagging(scope, standing, wanted, replacing=replacing),
    ]


def act(scope: Scope, wanted: Sequence[str], action: Category, _given: Mapping[str, Any]) -> None:
    """Let addresses lead where they are linked, or nowhere for a while: all of them or none.

    Raises:
        OcciError: 409, one does so already.
    """
    up = action is kinds.RESERVED_UP
    found = _own(scope, wanted)
    if any(address.up is up for address in found):
        needed = "inactive" if up else "active"
        raise OcciError(409, f"The action {action.term} needs the reservation to be {needed}.")
    carry_out(scope, [ModifyAddress(allocation_id=address.id, up=up) for address in found])


def deletion(_scope: Scope, wanted: Sequence[str]) -> list[Deed]:
    """What gives addresses back, which must lead nowhere."""
    return [ReleaseAddress(allocation_id=each) for each in wanted]
