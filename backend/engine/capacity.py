"""Which hosts an instance fits on, and how many of a kind do: by state, zone, room and placement group.

What is found here is a choice or an estimate. Only the scheduler's claim admits, with these rules once more.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from backend.engine.groups import Party
from backend.model import Capacity, Host, HostState, Instance, Value
from backend.store import Tx, Waiting

_FEW = 4


class Fit(Value, frozen=True, kw_only=True):
    """A host that an instance fits on, and the partition that it would be in there (0: none)."""

    host: Host
    partition: int = 0


def need_of(instance: Instance) -> Capacity:
    """What an instance takes with the volumes that were to be made for it."""
    return instance.need.plus(Capacity(disk_gib=instance.root_gib))


def candidates(
    instance: Instance,
    hosts: Sequence[Host],
    used: Mapping[str, Capacity],
    littered: Collection[tuple[str, str]] = (),
    party: Party | None = None,
) -> tuple[list[Fit], str]:
    """Hosts that pass every filter, best first, and why the others do not.

    The best is what suits the placement group best, then has most free memory. The first of a cluster goes
    where most like it would fit, as the others have to follow.
    """
    fitting: list[tuple[int, int, int, str, Fit]] = []
    out: Counter[str] = Counter()
    for host in hosts:
        taken = used.get(host.id, Capacity())
        why = refusal(instance, host, taken)
        if not why and (instance.id, host.id) in littered:
            why = "with files of it to be removed first"
        choices, rule = party.choices(instance, host.id) if party is not None and not why else (((0, 0),), "")
        if why or rule:
            out[why or rule] += 1
            continue
        many = how_many(instance, host, taken) if party is not None and party.together else 0
        free = host.limit.memory_mib - taken.memory_mib
        fitting.extend(
            (rank, -many, -free, host.id, Fit(host=host, partition=partition)) for rank, partition in choices
        )
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(out.items()))
    return [fit for *_, fit in sorted(fitting, key=lambda item: item[:4])], _sentence(len(hosts), reasons)


def _sentence(hosts: int, reasons: str) -> str:
    if not hosts:
        return "There is no host."
    return f"{hosts} hosts: {reasons}" if reasons else ""


def refusal(instance: Instance, host: Host, used: Capacity) -> str:
    """Why an instance cannot go to a host where so much is used already; empty when it can."""
    if host.state is not HostState.ON:
        return f"not on ({host.state.value})"
    if host.id in instance.excluded:
        return "failed before"
    if host.zone != instance.zone or host.region != instance.region:
        return "in another zone"
    if host.overcommitted:
        return "overcommitted"
    if host.architecture and host.architecture != instance.architecture:
        return "of another architecture"
    need = used.plus(host.foreign).plus(need_of(instance))
    limit = host.limit
    if need.cpu > limit.cpu:
        return f"with too few cores (needs {instance.vcpus})"
    if need.memory_mib > limit.memory_mib:
        return f"with too little memory (needs {instance.memory_mib} MiB)"
    if need.disk_gib > limit.disk_gib:
        return f"with too little disk (needs {need_of(instance).disk_gib} GiB)"
    return ""


def how_many(instance: Instance, host: Host, used: Capacity) -> int:
    """How many of an instance's size still fit on a host, whatever else is said about it."""
    return _times(need_of(instance), host, used)


def _times(need: Capacity, host: Host, used: Capacity) -> int:
    taken, limit = used.plus(host.foreign), host.limit
    each = (
        (limit.cpu - taken.cpu, need.cpu),
        (limit.memory_mib - taken.memory_mib, need.memory_mib),
        (limit.disk_gib - taken.disk_gib, need.disk_gib),
    )
    if any(left < 0 for left, _ in each):
        return 0
    return min((left // wanted for left, wanted in each if wanted > 0), default=0)


def room(tx: Tx, instance: Instance, party: Party | None, most: int) -> tuple[int, str]:
    """How many like an instance that is to be the hosts of its zone have room for now, at most ``most``;
    and why there is not more.

    What waits for a host already comes first: of the same cluster or spread group by number, as it takes the
    places that are looked for here, and all else wherever it fits. Others may claim the room before the
    scheduler does. Hosts that are being met count as if they were on; where nobody knows yet what one of them
    has, there may be room.
    """
    every = tx.hosts.all()
    hosts = [_as_met(host) for host in every if (host.region, host.zone) == (instance.region, instance.zone)]
    if any(host.state is HostState.INIT for host in hosts):
        return most, ""
    bound = party if party is not None and (party.apart or party.together) else None
    besides = bound.group.id if bound is not None else ""
    waiting = [
        kind for kind in tx.instances.waiting(instance.region, besides=besides) if kind.zone == instance.zone
    ]
    if party is None and _have_plenty(tx, instance, hosts, waiting, most):
        return most, ""
    used, _ = _with_waiting(hosts, tx.reservations.used(), waiting)
    fits, why = candidates(instance, hosts, used, party=party)
    by_host = {fit.host.id: how_many(instance, fit.host, used.get(fit.host.id, Capacity())) for fit in fits}
    if bound is None:
        return min(sum(by_host.values()), most), why
    places = len(by_host) if bound.apart else max(by_host.values(), default=0)
    return min(max(places - bound.awaited_in(instance.zone), 0), most), why


def _have_plenty(
    tx: Tx, instance: Instance, hosts: Sequence[Host], waiting: Sequence[Waiting], most: int
) -> bool:
    """Whether some of the hosts alone have room for all that waits and for a launch: then it is no matter
    what the others have, and of a large cloud only a few hosts are summed up.
    """
    suited = [host for host in hosts if not refusal(instance, host, Capacity())]
    count = _FEW
    while count < len(suited):
        some = random.sample(suited, count)
        used, all_placed = _with_waiting(some, tx.reservations.used([host.id for host in some]), waiting)
        if (
            all_placed
            and sum(how_many(instance, host, used.get(host.id, Capacity())) for host in some) >= most
        ):
            return True
        count *= _FEW
    return False


def _as_met(host: Host) -> Host:
    """A host that is being met anew, as it was when it was last asked; one in trouble stays what it is."""
    known = host.state is HostState.INIT and not host.failures and host.total != Capacity()
    trouble = host.state is HostState.INIT and host.failures
    state = HostState.ON if known else HostState.ERR if trouble else host.state
    return host if state is host.state else msgspec.structs.replace(host, state=state)


def _with_waiting(
    hosts: Sequence[Host], used: Mapping[str, Capacity], waiting: Sequence[Waiting]
) -> tuple[dict[str, Capacity], bool]:
    """What is used once everything that waits has found its place, as far as it does: each where most memory
    is free, as the scheduler does it. And whether all did.
    """
    after, all_placed = dict(used), True
    for kind in waiting:
        need = Capacity(cpu=kind.vcpus * 100, memory_mib=kind.memory_mib, disk_gib=kind.disk_gib)
        free = [
            (after.get(host.id, Capacity()).memory_mib - host.limit.memory_mib, host.id, host)
            for host in hosts
            if _takes(host, kind) and _times(need, host, after.get(host.id, Capacity()))
        ]
        heapq.heapify(free)
        for _ in range(kind.count):
            if not free:
                all_placed = False
                break
            negative, _, host = free[0]
            taken = after[host.id] = after.get(host.id, Capacity()).plus(need)
            if _times(need, host, taken):
                heapq.heapreplace(free, (negative + need.memory_mib, host.id, host))
            else:
                heapq.heappop(free)
    return after, all_placed


def _takes(host: Host, kind: Waiting) -> bool:
    suits = host.zone == kind.zone and host.architecture in {"", kind.architecture}
    return suits and host.state is HostState.ON and not host.overcommitted
