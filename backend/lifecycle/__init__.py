"""The life-cycle as data (lifecycle §20): what may follow what, and how the faces name it.

Three tables, read once at import: ``transitions.csv`` (operation, from, who, via, ok, failed, lost),
``views.csv`` (how EC2 and OCCI show each detail, what it reserves) and ``ec2_operations.csv`` (what EC2
answers for an operation in each of its states). Everything else is derived from them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from importlib import resources

import msgspec

from backend.model import State

STAY = "="
SAME = "same"


class Who(StrEnum):
    """Who may cause a transition."""

    USER = "U"
    ADMIN = "A"
    ENGINE = "E"
    MONITOR = "M"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One edge: ``via`` are the job's stages; ``failed`` and ``lost`` say where each stage leads then.

    ``=`` in ``failed`` or ``lost`` means that the stage is repeated until it succeeds. ``ok`` may be
    ``same``: nothing changes.
    """

    op: str
    origin: str
    who: frozenset[Who]
    via: tuple[str, ...]
    ok: str
    failed: tuple[str, ...]
    lost: tuple[str, ...]

    def after(self, stage: int) -> int:
        """The stage that follows a successful one: a stage that only repairs its failure is skipped."""
        following = stage + 1
        if following < len(self.via) and self.failed[stage] == self.via[following]:
            following += 1
        return following


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How the outside sees a detail (lifecycle §20.2)."""

    detail: str
    ec2: str
    occi: str
    reserved: int
    running_quota: int


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    yield from csv.DictReader(text.splitlines())


def _aligned(column: str, length: int) -> tuple[str, ...]:
    """A list column, padded with its last value: most rows name one outcome for all stages."""
    parts = [part for part in column.split(">") if part]
    if not parts or not length:
        return tuple(parts)
    return tuple((parts + [parts[-1]] * length)[:length])


def _transitions() -> Iterator[Transition]:
    for row in _rows("transitions.csv"):
        via = tuple(part for part in row["via"].split(">") if part)
        for origin in row["from"].split("|"):
            yield Transition(
                op=row["op"],
                origin=origin,
                who=frozenset(Who(letter) for letter in row["who"]),
                via=via,
                ok=row["ok"],
                failed=_aligned(row["failed"], len(via)),
                lost=_aligned(row["lost"], len(via)),
            )


TRANSITIONS: tuple[Transition, ...] = tuple(_transitions())
VIEWS: Mapping[str, View] = {
    row["detail"]: View(
        detail=row["detail"],
        ec2=row["ec2"],
        occi=row["occi"],
        reserved=int(row["reserved"] or 0),
        running_quota=int(row["running_quota"] or 0),
    )
    for row in _rows("views.csv")
}
DETAILS: frozenset[str] = frozenset(VIEWS)
EC2_OPERATIONS: Mapping[str, Mapping[str, str]] = {
    row["operation"]: {state: answer for state, answer in row.items() if state != "operation"}
    for row in _rows("ec2_operations.csv")
}

_BY_OP_AND_ORIGIN: Mapping[tuple[str, str], Transition] = {(t.op, t.origin): t for t in TRANSITIONS}

QUIET = frozenset(
    {State.PEND, State.HOLD, State.RUNN, State.STOP, State.SUSP, State.POFF, State.FAIL, State.UNKN}
)
"""States that accept operations when no job runs (lifecycle §2.3)."""
WORKING = frozenset({State.PROL, State.BOOT, State.MIGR, State.HOTP, State.SAVE, State.EPIL, State.SHUT})
"""States that always have a job."""


def transition(op: str, detail: str) -> Transition | None:
    """The edge for an operation in a detail, or None when it is not allowed there."""
    return _BY_OP_AND_ORIGIN.get((op, detail))


@cache
def operations(detail: str) -> frozenset[str]:
    """Every operation that the table allows in a detail."""
    return frozenset(t.op for t in TRANSITIONS if t.origin == detail)


def ec2_state(detail: str, *, gone: bool) -> str:
    """EC2's name for a detail; whatever is wished gone is shutting-down until it is done (§7.1)."""
    if gone and detail != "done":
        return "shutting-down"
    return VIEWS[detail].ec2


def occi_state(detail: str, *, saved: str = "none") -> str:
    """OCCI's name for a detail; ``stop`` without memory is inactive (§20.2 notes). Empty when done."""
    if detail in {"stop", "hotp@stop"} and saved == "disks":
        return "inactive"
    return VIEWS[detail].occi


def is_quiet(detail: str) -> bool:
    """Whether a detail waits for operations; ``pend.image`` does too."""
    return State(detail[:4]) in QUIET
