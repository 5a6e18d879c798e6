"""DescribeInstances, and the four operations of an instance's life: start, stop, reboot, terminate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from backend.commands import Change, Op, Operate
from backend.engine import InstanceKey, InstanceQuery
from backend.errors import BackendError, Code
from backend.lifecycle import transition
from backend.model import Instance
from ec2 import mapping
from ec2.actions.common import well_formed_ids
from ec2.actions.instance_filters import FILTERS, narrowed
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind, not_found
from ec2.pages import PageLimits, Position, page_size
from ec2.rendered import Shown, by_launch, reservations

# Without MaxResults everything comes at once: clients that never learned to page miss nothing.
LIMITS = PageLimits(default=None, ids="InstanceIds", ids_word="instancesSet")
_BATCH = 1000


# Listing ------------------------------------------------------------------------------------------------


def describe_instances(context: Ec2Context, params: Params) -> Document:
    """List reservations by id or filter, in pages of whole reservations (DescribeInstances)."""
    size = page_size(params, LIMITS)
    query, rest = narrowed(params.get("Filters", ()))
    matches = FILTERS.compile(rest) if rest else None
    ids = params.get("InstanceIds")
    if ids:
        chosen = rows_of(context, keys_of(context, ids, query))
        return {"Reservations": reservations(filter(matches, chosen) if matches is not None else chosen)}
    if query is None:
        return {"Reservations": []}
    if size is None:
        rows = rows_of(context, context.engine.instance_keys(context.caller, paged(context, params, query)))
        return {"Reservations": reservations(filter(matches, rows) if matches is not None else rows)}
    batches = in_turn(context, paged(context, params, query), size + 1, whole=matches is not None)
    groups = (group for batch in batches for group in by_launch(filter(matches, batch)))
    shown, more = whole_reservations(groups, size)
    token = context.next_token(params, position(shown[-1])) if more else None
    return {"Reservations": reservations(shown), "NextToken": token}


def rows_of(context: Ec2Context, keys: Sequence[InstanceKey]) -> list[Shown]:
    """What is told of the instances of some keys, in their order."""
    return context.rendered.rows(context.engine, context.caller, keys)


def in_turn(context: Ec2Context, query: InstanceQuery, first: int, *, whole: bool) -> Iterator[list[Shown]]:
    """The instances of a listing, read as they are needed, ``first`` of them in the first go.

    With ``whole`` launches none is cut: of the last one that was read, the rest may be yet to come.
    """
    held: list[InstanceKey] = []
    limit = first
    while True:
        keys = context.engine.instance_keys(context.caller, msgspec.structs.replace(query, limit=limit))
        held += keys
        if len(keys) < limit:
            yield rows_of(context, held)
            return
        last = keys[-1]
        done = [key for key in held if key.launch_id != last.launch_id] if whole else held
        if done:
            yield rows_of(context, done)
            held = held[len(done) :]
        query = msgspec.structs.replace(query, after=(last.created_at, last.launch_id, last.launch_index))
        limit = max(limit, _BATCH)


def keys_of(context: Ec2Context, ids: Sequence[str], query: InstanceQuery | None) -> list[InstanceKey]:
    """Keys of instances named by the caller: all must exist, then filters choose among them."""
    wanted = well_formed_ids(IdKind.INSTANCE, ids)
    found = context.engine.instance_keys(context.caller, InstanceQuery(ids=tuple(wanted)))
    unknown = set(wanted).difference(key.id for key in found)
    if unknown:
        raise not_found(IdKind.INSTANCE, [each for each in wanted if each in unknown])
    if query is None:
        return []
    if query == InstanceQuery():
        return found
    return context.engine.instance_keys(context.caller, msgspec.structs.replace(query, ids=tuple(wanted)))


def paged(context: Ec2Context, params: Params, query: InstanceQuery) -> InstanceQuery:
    """A query that begins after the page before."""
    after = context.after(params)
    if after is None:
        return query
    if len(after) != 3:
        raise Ec2Error("InvalidNextToken", "The specified NextToken is not valid.")
    created, launch, index = after
    return msgspec.structs.replace(query, after=(float(created), str(launch), int(index)))


def position(row: Shown) -> Position:
    """Where a row stands in the listing; the time as text, since it must come back exactly."""
    return (repr(row.instance.created_at), row.instance.launch_id, row.instance.launch_index)


def whole_reservations(groups: Iterable[list[Shown]], size: int) -> tuple[list[Shown], bool]:
    """Rows of a page, and whether more follow: a reservation is only cut when it alone is too long."""
    shown: list[Shown] = []
    for group in groups:
        if len(shown) + len(group) > size:
            return (shown, True) if shown else (group[:size], True)
        shown.extend(group)
    return shown, False


# Operations ---------------------------------------------------------------------------------------------


def start_instances(context: Ec2Context, params: Params) -> Document:
    """Start stopped instances (StartInstances)."""
    return {"StartingInstances": _states(_operate(context, params, Op.START))}


def stop_instances(context: Ec2Context, params: Params) -> Document:
    """Stop running instances: by the power button and, when that is ignored, hard (StopInstances)."""
    if params.get("Hibernate"):
        _require_hibernation(context, params)
        op = Op.SUSPEND
    elif params.get("Force") or params.get("SkipOsShutdown"):
        op = Op.POWEROFF_HARD
    else:
        op = Op.POWEROFF
    return {"StoppingInstances": _states(_operate(context, params, op))}


def _require_hibernation(context: Ec2Context, params: Params) -> None:
    """Only instances launched for it hibernate in EC2; they stay so for life, so this needs no lock."""
    for instance in context.engine.instances_by_id(context.caller, wanted(params)):
        if not instance.hibernation:
            raise BackendError(
                Code.HIBERNATION_NOT_CONFIGURED,
                "The instance is not configured for hibernation.",
                ids=(instance.id,),
            )


def reboot_instances(context: Ec2Context, params: Params) -> Document:
    """Ask guests to reboot, and reset those that do not (RebootInstances)."""
    _operate(context, params, Op.REBOOT)
    return {}


def terminate_instances(context: Ec2Context, params: Params) -> Document:
    """End instances for good (TerminateInstances); with Force or SkipOsShutdown without asking the guest."""
    changes = _operate(context, params, Op.TERMINATE)
    if params.get("Force") or params.get("SkipOsShutdown"):
        _hurry(context, changes)
    return {"TerminatingInstances": _states(changes)}


def _hurry(context: Ec2Context, changes: tuple[Change, ...]) -> None:
    """Cut short the shutdowns that the termination began; one that is over already needs no hurry."""
    for change in changes:
        if transition(Op.CANCEL.value, change.after.detail) is not None:
            try:
                context.engine.execute(context.caller, Operate(op=Op.CANCEL, ids=(change.after.id,)))
            except BackendError:
                continue


def _operate(context: Ec2Context, params: Params, op: Op) -> tuple[Change, ...]:
    # EC2 promises that a stop and a reboot end, whatever the guest does.
    forced = op in {Op.POWEROFF, Op.REBOOT}
    command = Operate(op=op, ids=wanted(params), force_at_timeout=forced)
    return context.engine.execute(context.caller, command)


def wanted(params: Params) -> tuple[str, ...]:
    """The ids of a call on instances, each once; raises when there are none or one is ill-formed."""
    ids = params.get("InstanceIds")
    if not ids:
        raise Ec2Error("InvalidParameterCombination", "No instances specified")
    return tuple(well_formed_ids(IdKind.INSTANCE, ids))


def still_there(instance: Instance) -> None:
    """Refuse what an ended instance cannot be asked for any more."""
    if mapping.state_name(instance) == "terminated":
        raise Ec2Error("IncorrectInstanceState", f"The instance '{instance.id}' is terminated.")


def _states(changes: tuple[Change, ...]) -> list[Document]:
    return [mapping.state_change(change.before, change.after) for change in changes]
