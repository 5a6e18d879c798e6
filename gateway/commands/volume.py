"""``isthmus volume``: disks that outlive instances."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import msgspec
import typer

from backend.commands import (
    AttachVolume,
    CreateVolume,
    DeleteVolume,
    DetachVolume,
    ModifyVolume,
    RevertVolume,
    SetVolume,
)
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import AttachState, Volume, VolumeState, id_of, uuid_of
from backend.volume_types import VOLUME_TYPES
from gateway.context import (
    HomeOption,
    JsonOption,
    Refused,
    command,
    installation_of,
    region_of,
    tenant_named,
)
from gateway.follow import Look, follow, follow_resource
from gateway.installation import Installation, acting_for, operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Volumes, of all tenants; root disks are volumes, too.")
COLUMNS = ("id", "tenant", "size_gib", "type", "state", "attached", "instance_id", "device", "zone", "host")
VolumeArgument = Annotated[str, typer.Argument(metavar="VOLUME", help="Its id, EC2's or OCCI's.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is done.")]
TypeOption = Annotated[str | None, typer.Option("--type", help=f"One of {', '.join(VOLUME_TYPES)}.")]
IopsOption = Annotated[int | None, typer.Option(min=0, help="Operations per second, if the type lets one.")]
ThroughputOption = Annotated[int | None, typer.Option(min=0, help="MiB per second, if the type lets one.")]


def volume_id(name: str) -> str:
    """The EC2 id of a volume named by either face's."""
    return id_of("vol", name) or name


def names_of(installation: Installation) -> dict[str, str]:
    """What tenants and hosts are called, by id."""
    engine = installation.engine
    found = {tenant.id: tenant.name for tenant in engine.tenants()}
    return found | {host.id: host.uri for host in engine.hosts()}


def row(volume: Volume, names: dict[str, str]) -> dict[str, Any]:
    """A volume as it is shown; a sealed passphrase is not."""
    built: dict[str, Any] = msgspec.to_builtins(volume)
    del built["secret"]
    return built | {
        "uuid": uuid_of(volume.id),
        "tenant": names.get(volume.tenant_id, volume.tenant_id),
        "host": names.get(volume.host_id or "", volume.host_id),
        "attached": volume.attach.value,
        "serial": volume.serial,
    }


def _check_type(kind: str | None) -> None:
    if kind is not None and kind not in VOLUME_TYPES:
        raise Refused(f"There is no volume type {kind}; there are: {', '.join(VOLUME_TYPES)}.")


def _shown(installation: Installation, output: Output, wanted: str) -> None:
    volume = installation.engine.volume(operator(), wanted)
    output.one(row(volume, names_of(installation)), COLUMNS)


def _followed(installation: Installation, output: Output, volume: Volume, what: str, until: Any) -> None:
    """Follow a volume until it is as wanted; ``until`` answers what was seen of its row (None: gone)."""

    def look() -> Look:
        try:
            found = installation.engine.volume(operator(), volume.id)
        except BackendError as error:
            if error.code is not Code.VOLUME_NOT_FOUND:
                raise
            return Look(percent=100, ended=True)
        seen: Look = until(found)
        return seen

    follow(installation, output, what, look, again=f"isthmus volume show {volume.id}")


def _made(volume: Volume) -> Look:
    wrong = (volume.message or "It could not be made") if volume.state is VolumeState.ERROR else ""
    return Look(percent=0, ended=volume.state is not VolumeState.CREATING, wrong=wrong)


def _plugged(volume: Volume) -> Look:
    wrong = "" if volume.attach is not AttachState.NONE else volume.message or "It was not attached"
    return Look(percent=0, ended=volume.attach is not AttachState.ATTACHING, wrong=wrong)


def _unplugged(volume: Volume) -> Look:
    match volume.attach:
        case AttachState.DETACHING:
            return Look(percent=0, ended=False)
        case AttachState.NONE:
            return Look(percent=100, ended=True)
        case AttachState.BUSY:
            wrong = "The guest does not let go of it; with --force its instance is switched off"
        case _:
            wrong = volume.message or "It is still attached"
    return Look(percent=0, ended=True, wrong=wrong)


def _gone(volume: Volume) -> Look:
    wrong = (volume.message or "It could not be deleted") if volume.state is VolumeState.ERROR else ""
    return Look(percent=0, ended=bool(wrong), wrong=wrong)


def _modified(volume: Volume) -> Look:
    change = volume.modification
    if change is None:
        return Look(percent=100, ended=True)
    wrong = (change.message or "It was not changed") if change.state == "failed" else ""
    return Look(percent=0, ended=change.ended_at is not None, wrong=wrong)


@app.command("create")
@command
def create(
    size: Annotated[int | None, typer.Option(min=1, help="GiB; what it is made of has a size, too.")] = None,
    snapshot: Annotated[str, typer.Option(help="The snapshot that it begins as.")] = "",
    image: Annotated[str, typer.Option(help="The image that it begins as.")] = "",
    zone: Annotated[str | None, typer.Option(help="Its zone; the default region's first without.")] = None,
    kind: TypeOption = None,
    iops: IopsOption = None,
    throughput: ThroughputOption = None,
    encrypted: Annotated[bool, typer.Option("--encrypted", help="Encrypt it at rest (LUKS).")] = False,
    name: Annotated[str, typer.Option(help="Its tag Name, OCCI's title.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Whose it is; the first tenant's without.")] = None,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a volume: empty, or as a snapshot or an image says."""
    if size is None and not snapshot and not image:
        raise Refused("How large? Give --size GIB, or what it is made of: --snapshot ID, --image ID.")
    _check_type(kind)
    installation, output = installation_of(home), Output(as_json=as_json)
    region = region_of(installation, zone) if zone else ""
    volume = installation.engine.execute(
        acting_for(tenant_named(installation, tenant), region),
        CreateVolume(
            size_gib=size,
            snapshot_id=id_of("snap", snapshot) or snapshot,
            image_id=image,
            zone=zone,
            type=kind or "",
            iops=iops or 0,
            throughput=throughput or 0,
            encrypted=True if encrypted else None,
            tags=(("Name", name),) if name else (),
        ),
    )
    if wait:
        _followed(installation, output, volume, f"Making {volume.id}", _made)
    _shown(installation, output, volume.id)


@app.command("list")
@command
def list_(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    vm: Annotated[str | None, typer.Option("--vm", help="Attached to this instance only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """All volumes, oldest first."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant).id if tenant else None
    instance = (id_of("i", vm) or vm) if vm else None
    names = names_of(installation)
    rows = [
        row(volume, names)
        for volume in installation.engine.volumes(operator())
        if owner in {None, volume.tenant_id} and instance in {None, volume.instance_id}
    ]
    empty = "No volume. Make one: isthmus volume create --size GIB"
    Output(as_json=as_json).rows(rows, COLUMNS, empty=empty)


@app.command("show")
@command
def show(volume: VolumeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one volume."""
    installation = installation_of(home)
    found = installation.engine.volume(operator(), volume_id(volume))
    tags = installation.engine.tags_of([found.id]).get(found.id, {})
    shown = row(found, names_of(installation)) | {"tags": tags}
    output = Output(as_json=as_json)
    if not as_json:
        shown = {name: value for name, value in shown.items() if value not in (None, "", {}, False)}
        shown.pop("modification", None)  # `volume modification` shows it
    output.one(shown)


@app.command("attach")
@command
def attach(
    volume: VolumeArgument,
    vm: Annotated[str, typer.Argument(metavar="VM", help="The instance's id, EC2's or OCCI's.")],
    device: Annotated[str, typer.Option(help="Its name there, as /dev/sdf; the first free without.")] = "",
    delete_on_termination: Annotated[
        bool, typer.Option("--delete-on-termination", help="Delete it when the instance ends.")
    ] = False,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Attach a volume to an instance of its zone, running or stopped."""
    installation, output = installation_of(home), Output(as_json=as_json)
    changed = installation.engine.execute(
        operator(),
        AttachVolume(
            volume_id=volume_id(volume),
            instance_id=id_of("i", vm) or vm,
            device=device,
            delete_on_termination=delete_on_termination,
        ),
    )
    if wait:
        _followed(installation, output, changed, f"Attaching {changed.id}", _plugged)
    _shown(installation, output, changed.id)


@app.command("detach")
@command
def detach(
    volume: VolumeArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Switch the instance off when its guest does not let go.")
    ] = False,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Detach a volume from its instance."""
    installation, output = installation_of(home), Output(as_json=as_json)
    changed = installation.engine.execute(operator(), DetachVolume(volume_id=volume_id(volume), force=force))
    if wait:
        _followed(installation, output, changed, f"Detaching {changed.id}", _unplugged)
    _shown(installation, output, changed.id)


@app.command("modify")
@command
def modify(
    volume: VolumeArgument,
    size: Annotated[int | None, typer.Option(min=1, help="GiB; a volume only grows.")] = None,
    kind: TypeOption = None,
    iops: IopsOption = None,
    throughput: ThroughputOption = None,
    online: Annotated[
        bool | None, typer.Option("--online/--offline", help="Whether it may be attached (OCCI's switch).")
    ] = None,
    delete_on_termination: Annotated[
        bool | None,
        typer.Option("--delete-on-termination/--keep", help="Whether it ends with its instance."),
    ] = None,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Grow a volume or change its type, attached or not; or what is only recorded of it."""
    wanted = ModifyVolume(
        volume_id=volume_id(volume), size_gib=size, type=kind, iops=iops, throughput=throughput
    )
    recorded = SetVolume(
        volume_id=volume_id(volume), online=online, delete_on_termination=delete_on_termination
    )
    changes = [
        each
        for each, given in (
            (wanted, (size, kind, iops, throughput)),
            (recorded, (online, delete_on_termination)),
        )
        if any(value is not None for value in given)
    ]
    if not changes:
        raise Refused("What is to change? See: isthmus volume modify --help")
    _check_type(kind)
    installation, output = installation_of(home), Output(as_json=as_json)
    changed: Volume = installation.engine.execute_all(operator(), changes)[0]
    if wait and wanted in changes:
        _followed(installation, output, changed, f"Changing {changed.id}", _modified)
    _shown(installation, output, changed.id)


@app.command("modification")
@command
def modification(volume: VolumeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """The last change of a volume's size or type, and how far it is."""
    found = installation_of(home).engine.volume(operator(), volume_id(volume))
    if found.modification is None:
        raise Refused(f"{found.id} was never changed. Grow it: isthmus volume modify {found.id} --size GIB")
    Output(as_json=as_json).one({"id": found.id, **msgspec.to_builtins(found.modification)})


@app.command("delete")
@command
def delete(
    volume: VolumeArgument,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a volume that is attached to nothing; its snapshots stay."""
    installation, output = installation_of(home), Output(as_json=as_json)
    gone = installation.engine.execute(operator(), DeleteVolume(volume_id=volume_id(volume)))
    if wait:
        _followed(installation, output, gone, f"Deleting {gone.id}", _gone)
    with installation.store.read() as tx:
        there = tx.volumes.get(gone.id) is not None
    output.one({"id": gone.id, "deleted": not there})


@app.command("revert")
@command
def revert(
    volume: VolumeArgument,
    snapshot: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="One of this volume's.")],
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Yes, what was written since is to be lost.")
    ] = False,
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a volume what a snapshot of it says: detached, or of an instance that is switched off."""
    installation, output = installation_of(home), Output(as_json=as_json)
    wanted = RevertVolume(volume_id=volume_id(volume), snapshot_id=id_of("snap", snapshot) or snapshot)
    with suppress(DryRunPassed):  # what cannot be is told before anybody is asked to confirm it
        installation.engine.execute(operator(), wanted, dry_run=True)
    if not confirm:
        raise Refused(
            "What was written to the volume since the snapshot would be lost. Keep it first, if need be: "
            f"isthmus snapshot create {volume}. Then repeat with --confirm."
        )
    changed = installation.engine.execute(operator(), wanted)
    if wait:
        follow_resource(installation, output, changed.id, f"Reverting {changed.id}")
    _shown(installation, output, changed.id)


@app.command("reset")
@command
def reset(volume: VolumeArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Take a volume out of its error: available again, or in use, as its bytes are there."""
    installation = installation_of(home)
    changed = installation.engine.execute(operator(), SetVolume(volume_id=volume_id(volume), reset=True))
    _shown(installation, Output(as_json=as_json), changed.id)
