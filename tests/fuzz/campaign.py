"""One run of many messages: each in its time, what fails kept, progress told."""

from __future__ import annotations

import base64
import gc
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from occi_corpus import Message


class TooSlow(BaseException):
    """A message took longer than it may; not an Exception, so that nothing on the way takes it for one of its own."""


class Outcome(NamedTuple):
    """What came of a run: how many messages were sent, taken and failed, and the slowest with its seconds."""

    sent: int
    taken: int
    failed: int
    slowest: int
    slowest_seconds: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.sent} messages in {self.seconds:.0f} s: {self.taken} taken, "
            f"{self.sent - self.taken - self.failed} refused, {self.failed} failed; "
            f"the slowest, number {self.slowest}, took {self.slowest_seconds * 1000:.1f} ms of the processor"
        )


def run(make: Callable[[int], Message], judge: Callable[[int, Message], bool], **options: Any) -> Outcome:
    """Make, judge, and count; stops early after so many failures, or when interrupted (Ctrl-C).

    The options are those of :func:`_run`: the number of the ``first`` message and the ``count`` of all, the
    ``limit`` for one in seconds of processor time, ``most_failures``, and the folder to ``keep`` them in.
    """
    stopped: list[int] = []
    interrupt = signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000)  # refusals leave cycles behind, not many at a time
    try:
        return _run(make, judge, stopped, **options)
    finally:
        gc.set_threshold(*thresholds)
        signal.signal(signal.SIGINT, interrupt)


def _run(
    make: Callable[[int], Message],
    judge: Callable[[int, Message], bool],
    stopped: list[int],
    *,
    first: int,
    count: int,
    limit: float,
    most_failures: int,
    keep: Path,
    quiet: bool = False,
) -> Outcome:
    taken = failed = 0
    slowest, slowest_seconds = first, 0.0
    begun = told = time.perf_counter()
    number = first
    for number in range(first, first + count):
        if stopped:
            number -= 1
            break
        message = make(number)
        before = time.process_time()
        try:
            taken += _judged(judge, number, message, limit)
        except Exception as error:
            failed += 1
            _keep(keep, number, message, error)
            if failed >= most_failures:
                break
        after = time.process_time()
        if after - before > slowest_seconds:
            slowest, slowest_seconds = number, after - before
        told = _tell(number - first + 1, count, failed, begun, told) if not quiet else told
    if not quiet:
        print(file=sys.stderr)
    return Outcome(number - first + 1, taken, failed, slowest, slowest_seconds, time.perf_counter() - begun)


def _tell(done: int, count: int, failed: int, begun: float, told: float) -> float:
    """Say how far it is, every second on a terminal and every minute in a file; answers when it was said last."""
    now = time.perf_counter()
    on_terminal = sys.stderr.isatty()
    if now - told < (1 if on_terminal else 60):
        return told
    text = f"{done} of {count}, {done / (now - begun):.0f}/s, {failed} failed"
    print(f"\r{text} " if on_terminal else f"{text}\n", end="", file=sys.stderr, flush=True)
    return now


def _judged(judge: Callable[[int, Message], bool], number: int, message: Message, limit: float) -> bool:
    signal.setitimer(signal.ITIMER_PROF, limit)
    try:
        return judge(number, message)
    except TooSlow:
        raise TimeoutError(f"not done after {limit} s of the processor") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def arm() -> None:
    """Let time run out, from now on."""

    def expired(_signal: int, _frame: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, expired)


def _keep(folder: Path, number: int, message: Message, error: Exception) -> None:
    """A failing message with what went wrong, for people and for another try."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "number": number,
        "error": f"{type(error).__name__}: {error}"[:4000],
        **message._replace(body=b"")._asdict(),
        "body": message.body.decode("utf-8", "backslashreplace"),
        "body_base64": base64.b64encode(message.body).decode(),
    }
    (folder / f"{number}.json").write_text(json.dumps(found, indent=1, default=dict), "utf-8")
    print(f"\nnumber {number}: {found['error'][:500]}", file=sys.stderr)
