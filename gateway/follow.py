"""Following work that a worker does, on the command line: a progress bar until it has ended.

To stop following stops nothing: the work is in the database, and the message says how to look again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import typer

from backend.model import JobState, Task, Value
from gateway.context import Refused
from gateway.health import HEARTBEAT_AGE
from gateway.installation import Installation, operator
from gateway.output import Output

_POLL: Final = 0.3
_INTERRUPTED: Final = 130
"""The exit status of what Ctrl-C ended."""


class Look(Value, frozen=True, kw_only=True):
    """How far something is: percent, whether it ended, and what went wrong."""

    percent: int
    ended: bool
    wrong: str = ""


def has_worker(installation: Installation) -> bool:
    """Whether a worker has given a sign of life just now."""
    with installation.store.read() as tx:
        beats = tx.workers.all()
    return any(time.time() - beat.seen_at < HEARTBEAT_AGE for beat in beats)


def require_worker(installation: Installation) -> None:
    """Refuse what cannot begin without a worker."""
    if not has_worker(installation):
        raise Refused("No worker is running. Start it: isthmus serve")


def follow(
    installation: Installation, output: Output, what: str, look: Callable[[], Look], *, again: str
) -> None:
    """Show how far something is until it has ended; ``again`` is the command to look with later.

    Without a worker nothing is waited for.

    Raises:
        Refused: it went wrong.
        typer.Exit: the user had seen enough.
    """
    if not (seen := look()).ended and not has_worker(installation):
        output.hint(f"No worker is running; the work begins when one is: isthmus serve. Then: {again}")
        return
    try:
        with output.working(what) as tell:
            while not seen.ended:
                tell(seen.percent)
                time.sleep(_POLL)
                seen = look()
    except KeyboardInterrupt:
        output.hint(f"It goes on. Look again: {again}")
        raise typer.Exit(_INTERRUPTED) from None
    if seen.wrong:
        raise Refused(f"{seen.wrong.rstrip('.')}. See: {again}")


def follow_task(installation: Installation, output: Output, task: Task, what: str = "") -> Task:
    """Follow storage work to its end; answers its row as it is then.

    Raises:
        Refused: it failed.
    """

    def look() -> Look:
        found = installation.engine.task(operator(), task.id)
        failed = found.state is JobState.FAILED
        wrong = (found.message or "It failed") if failed else ""
        return Look(percent=found.progress, ended=found.finished_at is not None, wrong=wrong)

    follow(installation, output, what or task.kind.value, look, again=f"isthmus task show {task.id}")
    return installation.engine.task(operator(), task.id)


def follow_resource(installation: Installation, output: Output, resource_id: str, what: str) -> None:
    """Follow the newest storage work about something, if there is any, to its end.

    Raises:
        Refused: it failed.
    """
    for task in installation.engine.tasks(operator()):  # the newest first
        if task.resource_id == resource_id:
            follow_task(installation, output, task, what)
            return
