"""Times what a driver of this folder does with the documents of a file, and prints it as JSON.

Runs in every peer's own environment: nothing but the standard library here. A driver is a script with a table
of cases. Every document is used once, so that nobody is timed with a body that was seen before in full.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Round = Mapping[str, Any]


class Case(NamedTuple):
    """One thing to be timed.

    ``prepared`` makes a round's arguments and is not timed; ``act`` is, once with each of them. ``said``
    tells what came of it in words that all peers share: who leaves work out is found out.
    """

    prepared: Callable[[Round], list[Any]]
    act: Callable[[Any], Any]
    said: Callable[[Any], object]


def main(cases: Mapping[str, Case]) -> None:
    """Time all cases; the first round warms up and is not counted."""
    rounds = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    answers = {}
    for name, case in cases.items():
        seconds = [_timed(case.act, case.prepared(each)) for each in rounds][1:]
        answers[name] = {"seconds": seconds, "said": case.said(case.act(case.prepared(rounds[0])[0]))}
    json.dump(answers, sys.stdout)


def _timed(act: Callable[[Any], Any], arguments: list[Any]) -> float:
    """Seconds of the processor for all arguments of a round, with the collector at rest when it begins."""
    gc.collect()
    begun = time.process_time()
    for argument in arguments:
        act(argument)
    return time.process_time() - begun
