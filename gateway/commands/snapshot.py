"""``isthmus snapshot``: volumes as they were at one moment."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from backend.commands import CopySnapshot, CreateSnapshot, DeleteSnapshot, ModifySnapshot
from backend.model import Snapshot, SnapshotState, id_of, uuid_of
from gateway.commands.volume import WaitOption, names_of, volume_id
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, tenant_named
from gateway.follow import Look, follow
from gateway.installation import Installation, acting_for, operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Snapshots of volumes, of all tenants.")
COLUMNS = ("id", "tenant", "volume_id", "size_gib", "state", "progress", "started_at", "description")
SnapshotArgument = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Its id.")]
DescriptionOption = Annotated[str, typer.Option(help="A sentence about it.")]


def snapshot_id(name: str) -> str:
    """The EC2 id of a snapshot named by either face's."""
    return id_of("snap", name) or name


def row(snapshot: Snapshot, names: dict[str, str]) -> dict[str, Any]:
    """A snapshot as it is shown; a sealed passphrase is not."""
    built: dict[str, Any] = msgspec.to_builtins(snapshot)
    del built["secret"]
    return built | {
        "uuid": uuid_of(snapshot.id),
        "tenant": names.get(snapshot.tenant_id, snapshot.tenant_id),
    }


def follow_snapshots(installation: Installation, output: Output, made: tuple[Snapshot, ...]) -> None:
    """Follow snapshots until all are complete.

    Raises:
        Refused: one could not be made.
    """
    ids = [snapshot.id for snapshot in made]

    def look() -> Look:
        found = installation.engine.snapshots_by_id(operator(), ids)
        wrong = next((each for each in found if each.state is SnapshotState.ERROR), None)
        return Look(
            percent=sum(each.progress for each in found) // max(len(found), 1),
            ended=all(each.state is not SnapshotState.PENDING for each in found),
            wrong="" if wrong is None else f"{wrong.id}: {wrong.message or 'it could not be made'}",
        )

    what = ids[0] if len(ids) == 1 else f"{len(ids)} snapshots"
    follow(installation, output, f"Making {what}", look, again="isthmus snapshot list")


def show_snapshots(installation: Installation, output: Output, made: tuple[Snapshot, ...]) -> None:
    """A table of snapshots as they are now."""
    names = names_of(installation)
    found = installation.engine.snapshots_by_id(operator(), [snapshot.id for snapshot in made])
    output.rows([row(snapshot, names) for snapshot in found], COLUMNS)


def _shown(installation: Installation, output: Output, wanted: str) -> None:
    found = installation.engine.snapshot(operator(), wanted)
    output.one(row(found, names_of(installation)), COLUMNS)


@app.command("create")
@command
def create(
    volume: Annotated[str, typer.Argument(metavar="VOLUME", help="The volume's id, EC2's or OCCI's.")],
    description: DescriptionOption = "",
    name: Annotated[str, typer.Option(help="Its tag Name.")] = "",
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a volume as it is now, attached or not; the guest goes on."""
    installation, output = installation_of(home), Output(as_json=as_json)
    made = installation.engine.execute(
        operator(),
        CreateSnapshot(
            volume_id=volume_id(volume),
            description=description,
            tags=(("Name", name),) if name else (),
        ),
    )
    if wait:
        follow_snapshots(installation, output, (made,))
    _shown(installation, output, made.id)


@app.command("list")
@command
def list_(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    volume: Annotated[str | None, typer.Option(help="Of this volume only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """All snapshots, oldest first."""
    installation = installation_of(home)
    owner = tenant_named(installation, tenant).id if tenant else None
    of_volume = volume_id(volume) if volume else None
    names = names_of(installation)
    rows = [
        row(snapshot, names)
        for snapshot in installation.engine.snapshots(operator())
        if owner in {None, snapshot.tenant_id} and of_volume in {None, snapshot.volume_id}
    ]
    empty = "No snapshot. Make one: isthmus snapshot create VOLUME"
    Output(as_json=as_json).rows(rows, COLUMNS, empty=empty)


@app.command("show")
@command
def show(snapshot: SnapshotArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one snapshot."""
    installation = installation_of(home)
    found = installation.engine.snapshot(operator(), snapshot_id(snapshot))
    tags = installation.engine.tags_of([found.id]).get(found.id, {})
    Output(as_json=as_json).one(row(found, names_of(installation)) | {"tags": tags})


@app.command("copy")
@command
def copy(
    snapshot: SnapshotArgument,
    tenant: Annotated[str | None, typer.Option(help="Whose the copy is; the owner's without.")] = None,
    description: DescriptionOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """A snapshot of a tenant's own with the bytes of another's."""
    installation = installation_of(home)
    source = installation.engine.snapshot(operator(), snapshot_id(snapshot))
    owner = tenant_named(installation, tenant or source.tenant_id)
    made = installation.engine.execute(
        acting_for(owner, source.region), CopySnapshot(source_id=source.id, description=description)
    )
    _shown(installation, Output(as_json=as_json), made.id)


@app.command("share")
@command
def share(
    snapshot: SnapshotArgument,
    add: Annotated[list[str] | None, typer.Option(help="A tenant that may use it; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tenant that may no more.")] = None,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Whether all may.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change who may make volumes of a snapshot."""
    if not add and not remove and public is None:
        raise Refused("With whom? Give --add TENANT, --remove TENANT, --public or --private.")
    installation = installation_of(home)
    changed = installation.engine.execute(
        operator(),
        ModifySnapshot(
            snapshot_id=snapshot_id(snapshot),
            public=public,
            add_accounts=tuple(tenant_named(installation, each).account_id for each in add or ()),
            remove_accounts=tuple(tenant_named(installation, each).account_id for each in remove or ()),
        ),
    )
    Output(as_json=as_json).one(row(changed, names_of(installation)), ("id", "tenant", "public", "accounts"))


@app.command("delete")
@command
def delete(snapshot: SnapshotArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Delete a snapshot that no image is made of; others of the same volume stay whole."""
    gone = installation_of(home).engine.execute(operator(), DeleteSnapshot(snapshot_id=snapshot_id(snapshot)))
    Output(as_json=as_json).one({"id": gone.id, "deleted": True})
