"""``isthmus check``: whether hosts and image store hold what the database says, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import typer

from backend.commands import Check
from backend.model import Task
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of
from gateway.follow import follow_task, require_worker
from gateway.installation import operator
from gateway.output import Output
from gateway.scratch import living, sweep

FINDINGS = "findings"
"""In the result of the task: what was found, as a JSON list of objects."""


def findings_of(task: Task) -> list[dict[str, Any]]:
    """What a finished check found amiss."""
    return msgspec.json.decode(task.result.get(FINDINGS, "[]"), type=list[dict[str, Any]])


@command
def check(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Compare every host and the image store with the database. Exit status 1 when they differ.

    A running worker does it: hosts are asked by workers alone.
    """
    installation, output = installation_of(home), Output(as_json=as_json)
    require_worker(installation)
    run = installation.home.run
    sweep(installation.images, run)
    task = installation.engine.execute(operator(), Check())
    task = follow_task(installation, output, task, "Comparing hosts and store with the database")
    if task.finished_at is None:
        raise Refused(f"No worker did it. Start one: isthmus serve; then: isthmus task show {task.id}")
    importing = {f"work/{name}" for name in living(run)}
    found = [each for each in findings_of(task) if each.get("name") not in importing]
    columns = list(dict.fromkeys(name for each in found for name in each))
    output.rows(found, columns, empty="All is where it belongs, and nothing else is there.")
    if found:
        raise typer.Exit(1)
