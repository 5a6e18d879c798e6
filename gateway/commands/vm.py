"""``isthmus vm``, ``job`` and ``events``: instances, what is being done to them, and what was."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from backend.commands import CreateSnapshots, Launch, Op, Operate
from backend.engine import InstanceQuery
from backend.model import Event, Instance, Job, id_of, uuid_of
from gateway.commands import snapshot, volume
from gateway.context import (
    HomeOption,
    JsonOption,
    Refused,
    command,
    installation_of,
    region_of,
    tenant_named,
    user_named,
)
from gateway.installation import acting_as, operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Instances, of all tenants.")
jobs = typer.Typer(no_args_is_help=True, help="What is being done to instances.")
events = typer.Typer(no_args_is_help=True, help="What happened to instances, by whom and why.")

COLUMNS = ("id", "tenant", "state", "flavor", "image_id", "address", "host", "zone", "created_at")
TargetsArgument = Annotated[list[str], typer.Argument(metavar="VM…", help="Instance ids, EC2's or OCCI's.")]
TargetArgument = Annotated[str, typer.Argument(metavar="VM", help="Its id, EC2's or OCCI's.")]
LimitOption = Annotated[int, typer.Option(min=1, help="How many, the newest.")]
VmOption = Annotated[str | None, typer.Option("--vm", help="Of this instance only.")]


def _id(name: str) -> str:
    return id_of("i", name) or name


def row(instance: Instance, names: dict[str, str]) -> dict[str, Any]:
    """An instance as it is shown; ``state`` is the life-cycle's own word."""
    built: dict[str, Any] = msgspec.to_builtins(instance)
    return built | {
        "uuid": uuid_of(instance.id),
        "state": instance.detail,
        "tenant": names.get(instance.tenant_id, instance.tenant_id),
        "host": names.get(instance.host_id or "", instance.host_id),
    }


@app.command("launch")
@command
def launch(
    image: Annotated[str, typer.Option(help="The id of an image that the tenant may use.")],
    tenant: Annotated[str | None, typer.Option(help="Whose they are; the first tenant's without.")] = None,
    flavor: Annotated[str | None, typer.Option("--type", help="Their size; the default one without.")] = None,
    zone: Annotated[str | None, typer.Option(help="Their zone; any of the default region without.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many: all of them, or none.")] = 1,
    name: Annotated[str, typer.Option(help="Their tag Name, OCCI's title.")] = "",
    user_data: Annotated[
        Path | None, typer.Option(help="A file for cloud-init, at most 16 KiB.", exists=True, dir_okay=False)
    ] = None,
    key: Annotated[str | None, typer.Option(help="The name of a key pair of the tenant's.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Place none before it is released.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start instances as a tenant's user. What fails to start stays, with its reason: see `vm show`."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant)
    region = region_of(installation, zone) if zone else installation.settings.default_region
    made = installation.engine.execute(
        acting_as(user_named(installation, None, owner.id), owner, region),
        Launch(
            image_id=image,
            flavor=flavor,
            minimum=count,
            maximum=count,
            zone=zone,
            key_name=key,
            user_data=user_data.read_bytes() if user_data else b"",
            tags=(("Name", name),) if name else (),
            held=hold,
        ),
    )
    names = volume.names_of(installation)
    Output(as_json=as_json).rows([row(each, names) for each in made.instances], COLUMNS)


@app.command("list")
@command
def list_(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """All instances; ended ones for an hour."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant).id if tenant else None
    names = volume.names_of(installation)
    found = installation.engine.instances(operator(), InstanceQuery(tenant_id=owner))
    Output(as_json=as_json).rows([row(each, names) for each in found], COLUMNS, empty="No instance.")


@app.command("show")
@command
def show(vm: TargetArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one instance: its rows, tags, jobs and events."""
    installation = installation_of(home)
    engine, instance_id = installation.engine, _id(vm)
    found = engine.instance(operator(), instance_id)
    shown = row(found, volume.names_of(installation))
    shown["group"] = engine.group_names([found]).get(found.group_id, "")
    output = Output(as_json=as_json)
    history = [_event_row(event) for event in engine.events(operator(), instance_id=instance_id)]
    work = [_job_row(job) for job in engine.jobs(operator(), instance_id=instance_id)]
    if as_json:
        stays = msgspec.to_builtins(engine.stays(operator(), instance_id))
        tags = engine.tags_of([instance_id]).get(instance_id, {})
        output.document(shown | {"tags": tags, "jobs": work, "events": history, "stays": stays})
        return
    output.one({name: value for name, value in shown.items() if value not in (None, "", [], False)})
    output.say("")
    output.rows(history, ("at", "op", "old", "new", "actor", "reason"), empty="No event.")
    output.say("")
    output.rows(work, ("id", "op", "state", "at_stage", "attempt", "finished_at", "message"), empty="No job.")


def _operate(home: Any, as_json: bool, targets: list[str], op: Op, *, force_at_timeout: bool = False) -> None:
    installation = installation_of(home)
    changes = installation.engine.execute(
        operator(),
        Operate(op=op, ids=tuple(_id(each) for each in targets), force_at_timeout=force_at_timeout),
    )
    rows = [
        {"id": change.after.id, "before": change.before.detail, "after": change.after.detail}
        for change in changes
    ]
    Output(as_json=as_json).rows(rows, ("id", "before", "after"))


def _simple(name: str, op: Op, text: str) -> Callable[..., None]:
    """A command that does one operation on instances."""

    @app.command(name, help=text)
    @command
    def operation(vms: TargetsArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
        _operate(home, as_json, vms, op)

    return operation


_OPERATIONS = [
    _simple("start", Op.START, "Start stopped, suspended or held instances."),
    _simple("suspend", Op.SUSPEND, "Save memory to disk and switch off."),
    _simple("pause", Op.PAUSE, "Stop the processors, keep memory."),
    _simple("reboot", Op.REBOOT, "Ask the guest to reboot."),
    _simple("reset", Op.RESET, "Reset the processors, without asking."),
    _simple("hold", Op.HOLD, "Keep waiting instances from being placed."),
    _simple("release", Op.RELEASE, "Let held instances be placed."),
    _simple("terminate", Op.TERMINATE, "End instances and remove their disks; protected ones refuse."),
    _simple("delete", Op.DELETE, "End instances as OCCI's DELETE does."),
]


@app.command("stop")
@command
def stop(
    vms: TargetsArgument,
    hard: Annotated[bool, typer.Option("--hard", help="Pull the plug.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Press the power button; after the grace the power goes."""
    _operate(home, as_json, vms, Op.POWEROFF_HARD if hard else Op.POWEROFF, force_at_timeout=True)


@app.command("recover")
@command
def recover(
    vms: TargetsArgument,
    recreate: Annotated[
        bool, typer.Option("--recreate", help="Throw the disks away and begin from the image.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again what failed."""
    _operate(home, as_json, vms, Op.RECOVER_RECREATE if recreate else Op.RECOVER_RETRY)


@app.command("console")
@command
def console(vm: TargetArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The last 64 KiB of the serial console."""
    found = installation_of(home).engine.console(operator(), _id(vm))
    if as_json:
        text, at = found or (b"", None)
        Output(as_json=True).document({"output": text.decode("utf-8", "replace"), "at": at})
        return
    if found is None:
        raise Refused("Nothing was read from this console yet.")
    sys.stdout.buffer.write(found[0])
    sys.stdout.buffer.flush()


# Disks --------------------------------------------------------------------------------------------------


@app.command("disks")
@command
def disks(vm: TargetArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The volumes of an instance, the root first."""
    installation = installation_of(home)
    found = installation.engine.instance(operator(), _id(vm))
    names = volume.names_of(installation)
    volumes = installation.engine.disks_of([found.id]).get(found.id, [])
    columns = ("id", "size_gib", "type", "attached", "device", "target", "boot", "delete_on_termination")
    Output(as_json=as_json).rows([volume.row(each, names) for each in volumes], columns, empty="No volume.")


@app.command("snapshot")
@command
def snapshot_(
    vm: TargetArgument,
    description: Annotated[str, typer.Option(help="A sentence about them.")] = "",
    exclude_boot: Annotated[bool, typer.Option("--no-root", help="All but the root disk.")] = False,
    wait: volume.WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep all volumes of an instance as they are now; the guest goes on."""
    installation, output = installation_of(home), Output(as_json=as_json)
    made = installation.engine.execute(
        operator(),
        CreateSnapshots(instance_id=_id(vm), description=description, exclude_boot=exclude_boot),
    )
    if wait:
        snapshot.follow_snapshots(installation, output, made)
    snapshot.show_snapshots(installation, output, made)


# Jobs and events ----------------------------------------------------------------------------------------


def _job_row(job: Job) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(job)
    at = job.stages[job.stage] if job.stage < len(job.stages) else ""
    return built | {"at_stage": at}


def _event_row(event: Event) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(event)
    return built


@jobs.command("list")
@command
def list_jobs(
    vm: VmOption = None,
    limit: LimitOption = 50,
    open_only: Annotated[bool, typer.Option("--open", help="Unfinished ones only.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Jobs, the newest first (of one instance: in order)."""
    engine = installation_of(home).engine
    found = engine.jobs(operator(), instance_id=_id(vm) if vm else None, limit=limit)
    rows = [_job_row(job) for job in found if not open_only or job.finished_at is None]
    columns = ("id", "instance_id", "op", "state", "at_stage", "attempt", "actor", "created_at", "message")
    Output(as_json=as_json).rows(rows, columns, empty="No job.")


@events.command("list")
@command
def list_events(
    vm: VmOption = None, limit: LimitOption = 50, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Events, the newest first (of one instance: in order)."""
    engine = installation_of(home).engine
    found = engine.events(operator(), instance_id=_id(vm) if vm else None, limit=limit)
    columns = ("at", "instance_id", "op", "old", "new", "actor", "reason")
    Output(as_json=as_json).rows([_event_row(event) for event in found], columns, empty="No event.")
