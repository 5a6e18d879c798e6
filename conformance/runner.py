"""Carrying out checks: one after another, each cleaned up after, whatever happens."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from conformance.checks import (
    Absent,
    Check,
    Failed,
    Finding,
    Level,
    Requirement,
    Suite,
    Unknown,
    Value,
    Verdict,
)
from conformance.wire import Exchange, Wire

#: The verdict on a requirement is the first of these that one of its checks has: what passed outweighs an
#: option that is not there.
ORDER = (Verdict.BROKEN, Verdict.FAILED, Verdict.UNKNOWN, Verdict.PASSED, Verdict.ABSENT)
T = TypeVar("T")


class Session:
    """What checks talk to the endpoint through, and what they left there.

    ``deadline`` is how long, in seconds, something may take that an endpoint does by itself, as starting a
    machine; ``poll`` how long to wait before it is asked for again.
    """

    def __init__(self, wire: Wire, *, deadline: float = 300.0, poll: float = 0.5) -> None:
        self.wire = wire
        self.deadline = deadline
        self.poll = poll
        self._undo: list[Callable[[], None]] = []
        self._undo_at_end: list[Callable[[], None]] = []
        self._shared: dict[str, Any] = {}
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Say in the report what the endpoint does where the standard leaves it a choice."""
        if text not in self._notes:
            self._notes.append(text)

    def noted(self) -> str:
        """What was said since this was asked last."""
        said, self._notes = "; ".join(self._notes), []
        return said

    def afterwards(self, undo: Callable[[], None], *, at_end: bool = False) -> None:
        """Have something done after the check, or after all checks, however it ends; the last comes first."""
        (self._undo_at_end if at_end else self._undo).append(undo)

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """What several checks use, made by the first that does; clean up with ``at_end``.

        Raises:
            Absent: it is not offered.
            Unknown: making it failed before; it is not tried again.
        """
        if name not in self._shared:
            try:
                self._shared[name] = make()
            except Finding as finding:
                absent = isinstance(finding, Absent)
                self._shared[name] = finding if absent else Unknown(f"{name} could not be had: {finding}")
                raise
        found = self._shared[name]
        if isinstance(found, Finding):
            raise found
        made: T = found
        return made

    def forget(self, name: str) -> None:
        """Have what is shared made anew by the next check that uses it, as after it was spoilt."""
        self._shared.pop(name, None)

    def until(
        self, what: str, probe: Callable[[], T | None], *, within: float | None = None, due: bool = False
    ) -> T:
        """The first answer of ``probe`` that says something, asked again and again until the deadline.

        It is asked often at first, then every ``poll`` seconds. ``within`` (seconds) is an earlier deadline.
        ``due`` says that the endpoint promised it, so that it fails the check when it stays out.

        Raises:
            Unknown: the deadline passed.
            Failed: it passed, and it was due.
        """
        patience = min(self.deadline, within or self.deadline)
        ends, pause = time.monotonic() + patience, min(self.poll, 0.05)
        while (found := probe()) is None:
            if time.monotonic() >= ends:
                raise (Failed if due else Unknown)(f"{what} did not come about within {patience:g} s")
            time.sleep(pause)
            pause = min(self.poll, pause * 2)
        return found

    def clean(self, *, at_end: bool = False) -> list[str]:
        """Undo what was registered; answers what went wrong."""
        stack = self._undo_at_end if at_end else self._undo
        trouble = []
        while stack:
            try:
                stack.pop()()
            except Exception as error:
                trouble.append(f"{type(error).__name__}: {error}")
        return trouble


S = TypeVar("S", bound=Session)


class Result(Value, frozen=True, kw_only=True):
    """What a check found, and unless it passed the conversation that led there.

    ``litter`` is what could not be cleaned up.
    """

    id: str
    cites: tuple[str, ...]
    level: Level
    title: str
    verdict: Verdict
    message: str
    seconds: float
    exchanges: tuple[Exchange, ...] = ()
    litter: tuple[str, ...] = ()


class Judged(Value, frozen=True, kw_only=True):
    """A requirement with the verdict that its checks add up to; None when none was carried out."""

    requirement: Requirement
    verdict: Verdict | None
    results: tuple[Result, ...]


class Report(Value, frozen=True, kw_only=True):
    """A whole run."""

    suite: str
    endpoint: str
    server: str
    began: float
    seconds: float
    read_only: bool
    results: tuple[Result, ...]
    requirements: tuple[Requirement, ...]
    litter: tuple[str, ...] = ()

    @property
    def matrix(self) -> list[Judged]:
        """Every requirement, in its order, with what its checks found."""
        by_id: dict[str, list[Result]] = {}
        for result in self.results:
            for cited in result.cites:
                by_id.setdefault(cited, []).append(result)
        return [
            Judged(
                requirement=each,
                verdict=worst(result.verdict for result in by_id.get(each.id, ())),
                results=tuple(by_id.get(each.id, ())),
            )
            for each in self.requirements
        ]

    def failures(self, level: Level) -> list[Result]:
        """The checks of a level that failed, or that this tool could not carry out properly."""
        bad = {Verdict.FAILED, Verdict.BROKEN}
        return [result for result in self.results if result.level is level and result.verdict in bad]


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """What some verdicts add up to, or None."""
    return min(verdicts, key=ORDER.index, default=None)


class Progress(Protocol):
    """Told of each check before and after."""

    def begins(self, number: int, total: int, title: str) -> None:
        """A check is about to be carried out."""
        ...

    def ended(self, result: Result) -> None:
        """It was."""
        ...


class Silent:
    """Nobody is told."""

    def begins(self, number: int, total: int, title: str) -> None:
        """Nothing."""

    def ended(self, result: Result) -> None:
        """Nothing."""


class Run(Generic[S]):
    """One run of a suite's checks against an endpoint."""

    def __init__(self, suite: Suite[S], session: S, *, read_only: bool = False) -> None:
        self.suite = suite
        self.session = session
        self.read_only = read_only
        self._server = ""

    def __call__(self, checks: Sequence[Check[S]], progress: Progress | None = None) -> Report:
        """Carry out checks one by one; answers the report. Cleans up on an interrupt, too."""
        progress = progress or Silent()
        began, started = time.time(), time.perf_counter()
        wanted = [check for check in checks if not (self.read_only and check.changes)]
        results: list[Result] = []
        litter: list[str] = []
        try:
            for number, check in enumerate(wanted, 1):
                progress.begins(number, len(wanted), check.title)
                results.append(self._carried_out(check))
                progress.ended(results[-1])
        finally:
            litter = self.session.clean() + self.session.clean(at_end=True)
        return Report(
            suite=self.suite.name,
            endpoint=self.session.wire.origin + self.session.wire.prefix,
            server=self._server,
            began=began,
            seconds=time.perf_counter() - started,
            read_only=self.read_only,
            results=tuple(results),
            requirements=tuple(self.suite.requirements.values()),
            litter=tuple(litter),
        )

    def _carried_out(self, check: Check[S]) -> Result:
        wire = self.session.wire
        wire.exchanges = []
        started = time.perf_counter()
        verdict, message = Verdict.PASSED, ""
        try:
            check.run(self.session)
        except Finding as finding:
            verdict, message = finding.verdict, str(finding)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
            verdict = Verdict.BROKEN
        notes = self.session.noted()
        said = tuple(wire.exchanges)
        self._server = self._server or _named(said)
        litter = self.session.clean()
        return Result(
            id=check.id,
            cites=check.cites,
            level=check.level,
            title=check.title,
            verdict=verdict,
            message=message or notes,
            seconds=time.perf_counter() - started,
            exchanges=said if verdict is not Verdict.PASSED else (),
            litter=tuple(litter),
        )


def _named(exchanges: Sequence[Exchange]) -> str:
    """What the endpoint calls itself, or nothing."""
    for exchange in exchanges:
        for name, value in exchange.received:
            if name.lower() == "server":
                return value
    return ""
