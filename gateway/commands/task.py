"""``isthmus task``: storage work that takes time, and how far it is."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from backend.model import Task, TaskKind
from gateway.commands.volume import names_of
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of
from gateway.follow import follow_task
from gateway.installation import operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Work on volumes, snapshots and images.")
COLUMNS = ("id", "kind", "resource_id", "tenant", "state", "progress", "actor", "created_at", "message")
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Its id.")]


def row(task: Task, names: dict[str, str]) -> dict[str, Any]:
    """A task as it is shown."""
    built: dict[str, Any] = msgspec.to_builtins(task)
    return built | {"tenant": names.get(task.tenant_id, task.tenant_id)}


@app.command("list")
@command
def list_(
    kind: Annotated[
        list[TaskKind] | None, typer.Option(help="Of this kind only; may be repeated.", metavar="KIND")
    ] = None,
    of: Annotated[str | None, typer.Option(help="About this volume, snapshot or image only.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Unfinished ones only.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest tasks of all tenants."""
    installation = installation_of(home)
    names = names_of(installation)
    found = installation.engine.tasks(operator(), tuple(kind or ()))
    rows = [
        row(task, names)
        for task in found
        if not (open_only and task.finished_at is not None) and of in {None, task.resource_id}
    ]
    Output(as_json=as_json).rows(rows[:limit], COLUMNS, empty="No task.")


@app.command("show")
@command
def show(task: TaskArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one task."""
    installation = installation_of(home)
    shown = row(installation.engine.task(operator(), task), names_of(installation))
    output = Output(as_json=as_json)
    if not as_json:
        shown = {name: value for name, value in shown.items() if value not in (None, "", {}, False)}
    output.one(shown)


@app.command("wait")
@command
def wait(task: TaskArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Follow a task until it has ended; exit status 1 when it failed."""
    installation, output = installation_of(home), Output(as_json=as_json)
    found = follow_task(installation, output, installation.engine.task(operator(), task))
    if found.finished_at is None:
        raise Refused(f"{found.id} has not ended: no worker is running. Start it: isthmus serve")
    output.one(row(found, names_of(installation)), COLUMNS)
