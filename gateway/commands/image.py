"""``isthmus image``: the disk images, where they come from, and where they go."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from backend.commands import (
    CopyImage,
    CreateImage,
    CreateVolume,
    DeleteSnapshot,
    DeregisterImage,
    ExportImage,
    ModifyImage,
    PublishImage,
    RegisterImage,
    TestImage,
)
from backend.drivers.libvirt.domain_xml import MACHINES
from backend.engine.images import EXPORT_FORMATS
from backend.images import FORMATS, IN_PLACE, ImageTemplate, parse_template
from backend.model import Caller, Image, ImageState, Publication, SeedKind, id_of, new_id
from gateway.commands.volume import WaitOption
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, tenant_named
from gateway.follow import Look, follow, follow_task, require_worker
from gateway.installation import Installation, acting_for, import_image, operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Disk images that instances boot from.")
COLUMNS = ("id", "name", "state", "public", "publication", "line", "format", "virtual_mib", "created_at")
ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="Its id.")]
ReasonOption = Annotated[str, typer.Option(help="Why; the owners of its instances are told.")]
_PREFIX = "ami-"


def row(image: Image) -> dict[str, Any]:
    """An image as it is shown; a sealed passphrase is not."""
    built: dict[str, Any] = msgspec.to_builtins(image)
    del built["secret"]
    return built | {"virtual_mib": image.virtual_bytes >> 20}


def _check_id(image_id: str) -> None:
    digits = image_id.removeprefix(_PREFIX)
    if digits == image_id or len(digits) not in {8, 17} or set(digits) - set("0123456789abcdef"):
        raise Refused(f"{image_id} is no image id: ami- and 8 or 17 hexadecimal digits.")


def _shown(installation: Installation, output: Output, image_id: str) -> None:
    output.one(row(installation.engine.image(operator(), image_id)), COLUMNS)


SeedOption = Annotated[
    SeedKind | None,
    typer.Option(help="The disk that tells its guests who they are, besides the metadata service."),
]

# In and out ---------------------------------------------------------------------------------------------


@app.command("import")
@command
def import_(
    source: Annotated[
        str | None, typer.Argument(metavar="FILE|URL|-", help="The disk image; - reads the input.")
    ] = None,
    name: Annotated[str, typer.Option(help="Its name, 3 to 128 characters.")] = "",
    form: Annotated[
        str, typer.Option("--format", help=f"{', '.join(FORMATS)}; as its bytes say without.")
    ] = "",
    checksum: Annotated[
        str, typer.Option(help="What its bytes must hash to: sha256:DIGITS, or sha512, sha1, md5.")
    ] = "",
    template: Annotated[
        Path | None,
        typer.Option(help="An OpenNebula image template, instead of all this.", exists=True, dir_okay=False),
    ] = None,
    line: Annotated[
        str, typer.Option(help="The product line that it is the next version of; see `image test`.")
    ] = "",
    changelog: Annotated[str, typer.Option(help="What is new in this version.")] = "",
    image_id: Annotated[
        str | None, typer.Option("--id", help="Its id, for people who migrate: ami-…; random without.")
    ] = None,
    seed: SeedOption = None,
    public: Annotated[bool, typer.Option("--public", help="All tenants may use it.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Whose it is; the first tenant's without.")] = None,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    architecture: Annotated[str, typer.Option(help=f"What it runs on: {', '.join(MACHINES)}.")] = "x86_64",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a disk image, bring it into the store, and register it."""
    if image_id is not None:
        _check_id(image_id)
    if architecture not in MACHINES:
        raise Refused(f"No host can be {architecture}; there are: {', '.join(MACHINES)}.")
    asked = ImageTemplate(
        name=name, path=source or "", format=form, public=public, description=description, digest=checksum
    )
    if template is not None:
        if source is not None or name:
            raise Refused("A template says what to import and under which name: give neither besides it.")
        asked = parse_template(template.read_text())
    elif source is None or not name:
        raise Refused("What, and under which name? isthmus image import FILE|URL|- --name NAME")
    output, installation = Output(as_json=as_json), installation_of(home)
    owner = acting_for(tenant_named(installation, tenant))
    if asked.ignored:
        output.hint(f"Without a meaning here: {', '.join(asked.ignored)}.")
    if not asked.path:
        _empty_disk(installation, output, owner, asked)
        return
    wanted = RegisterImage(
        name=asked.name,
        architecture=architecture,
        description=asked.description,
        location="" if asked.path == IN_PLACE else PurePath(asked.path).name,
        public=asked.public,
        image_id=image_id or new_id("ami"),
        line=line,
        changelog=changelog,
        seed=seed or SeedKind.DEFAULT,
    )
    then = [_volume_of(asked, CreateVolume(image_id=str(wanted.image_id)))] if asked.persistent else []
    with output.copying(f"Importing {wanted.location or 'the input'}") as progress:
        image, others = import_image(
            installation,
            owner,
            _located(asked.path),
            wanted,
            form=asked.format,
            digest=asked.digest,
            then=then,
            progress=progress,
        )
    shown = row(image)
    for volume in others:
        shown["volume"] = volume.id
        output.hint(f"The disk that keeps what is written to it is the volume {volume.id}.")
    output.one(shown, ("id", "name", "format", "virtual_mib", "checksum", "public", "line", "volume"))


def _located(source: str) -> str | BinaryIO:
    """A path or URL as the image store takes it, or the input."""
    if source == IN_PLACE:
        return sys.stdin.buffer
    if "://" in source:
        return source
    path = Path(source).expanduser().absolute()
    if not path.is_file():
        raise Refused(f"There is no file {path}. Give a disk image, an http(s) URL, or - for the input.")
    return str(path)


def _empty_disk(installation: Installation, output: Output, owner: Caller, asked: ImageTemplate) -> None:
    """A template's empty disk is a volume, which is persistent in OpenNebula's words."""
    if asked.filesystem:
        raise Refused(
            f"FSTYPE = {asked.filesystem}: volumes are made empty. Leave it out, and have a guest format it."
        )
    size = -(-asked.size_mib // 1024)
    volume = installation.engine.execute(owner, _volume_of(asked, CreateVolume(size_gib=size)))
    output.one(
        {"volume": volume.id, "name": asked.name, "size_gib": volume.size_gib, "state": volume.state.value}
    )


def _volume_of(asked: ImageTemplate, command: CreateVolume) -> CreateVolume:
    return msgspec.structs.replace(command, summary=asked.description, tags=(("Name", asked.name),))


@app.command("create")
@command
def create(
    vm: Annotated[str, typer.Argument(metavar="VM", help="The instance's id, EC2's or OCCI's.")],
    name: Annotated[str, typer.Option(help="The image's name, 3 to 128 characters.")],
    no_reboot: Annotated[
        bool, typer.Option("--no-reboot", help="Do not shut a running instance down for it.")
    ] = False,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an image of an instance's disks; its owner's."""
    installation, output = installation_of(home), Output(as_json=as_json)
    image = installation.engine.execute(
        operator(),
        CreateImage(
            instance_id=id_of("i", vm) or vm, name=name, description=description, no_reboot=no_reboot
        ),
    )

    def look() -> Look:
        found = installation.engine.image(operator(), image.id)
        disks = [found.snapshot_id, *(each.snapshot_id for each in found.mappings)]
        kept = installation.engine.snapshots_by_id(operator(), [each for each in disks if each])
        wrong = (found.message or "It could not be made") if found.state is ImageState.ERROR else ""
        return Look(
            percent=sum(each.progress for each in kept) // max(len(kept), 1),
            ended=found.state is not ImageState.LOCKED,
            wrong=wrong,
        )

    if wait:
        again = f"isthmus image show {image.id}"
        follow(installation, output, f"Making {image.id}", look, again=again)
    _shown(installation, output, image.id)


@app.command("copy")
@command
def copy(
    image: ImageArgument,
    name: Annotated[str, typer.Option(help="The copy's name, 3 to 128 characters.")],
    tenant: Annotated[str | None, typer.Option(help="Whose the copy is; the owner's without.")] = None,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """An image of a tenant's own with the bytes of another's."""
    installation = installation_of(home)
    source = installation.engine.image(operator(), image)
    owner = tenant_named(installation, tenant or source.tenant_id)
    made = installation.engine.execute(
        acting_for(owner), CopyImage(source_id=source.id, name=name, description=description)
    )
    _shown(installation, Output(as_json=as_json), made.id)


@app.command("export")
@command
def export(
    image: ImageArgument,
    file: Annotated[Path, typer.Argument(help="A file that is not there yet; the worker writes it.")],
    form: Annotated[
        str, typer.Option("--format", help=f"One of {', '.join(sorted(EXPORT_FORMATS))}.")
    ] = "qcow2",
    wait: WaitOption = True,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an image to a file that depends on no other."""
    path = file.expanduser().absolute()
    if path.exists():
        raise Refused(f"{path} is there already; nothing was changed.")
    if not path.parent.is_dir():
        raise Refused(f"There is no directory {path.parent}.")
    installation, output = installation_of(home), Output(as_json=as_json)
    task = installation.engine.execute(operator(), ExportImage(image_id=image, form=form, path=str(path)))
    if wait:
        task = follow_task(installation, output, task, f"Exporting {image}")
    output.one(
        {"image": image, "format": form, "file": str(path), "task": task.id, "state": task.state.value}
    )


# Looking ------------------------------------------------------------------------------------------------


@app.command("list")
@command
def list_(
    every: Annotated[bool, typer.Option("--all", help="Deregistered ones too.")] = False,
    line: Annotated[str | None, typer.Option(help="Versions of this product line only.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The images of all tenants."""
    images = sorted(installation_of(home).engine.images(operator()), key=lambda image: image.created_at)
    shown = [
        row(image)
        for image in images
        if (every or image.deregistered_at is None)
        and (line is None or line in {image.line, image.line.rpartition("/")[0]})
    ]
    Output(as_json=as_json).rows(
        shown, COLUMNS, empty="No image yet. Add one: isthmus image import FILE --name NAME"
    )


@app.command("show")
@command
def show(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one image."""
    shown = row(installation_of(home).engine.image(operator(), image))
    output = Output(as_json=as_json)
    if not as_json:
        shown = {name: value for name, value in shown.items() if value not in (None, "", [], False)}
    output.one(shown)


# Changing -----------------------------------------------------------------------------------------------


@app.command("modify")
@command
def modify(
    image: ImageArgument,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who may use it.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it can be launched.")
    ] = None,
    share: Annotated[
        list[str] | None, typer.Option(help="A tenant that may use it; may be repeated.")
    ] = None,
    unshare: Annotated[list[str] | None, typer.Option(help="A tenant that may no more.")] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    seed: SeedOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change who may use an image, and how its guests get their data."""
    installation = installation_of(home)
    changed = installation.engine.execute(
        operator(),
        ModifyImage(
            image_id=image,
            public=public,
            enabled=enabled,
            add_accounts=tuple(tenant_named(installation, each).account_id for each in share or ()),
            remove_accounts=tuple(tenant_named(installation, each).account_id for each in unshare or ()),
            description=description,
            seed=seed,
        ),
    )
    Output(as_json=as_json).one(row(changed), COLUMNS)


def _enable(home: Path | None, as_json: bool, image: str, *, on: bool) -> None:
    changed = installation_of(home).engine.execute(operator(), ModifyImage(image_id=image, enabled=on))
    Output(as_json=as_json).one(row(changed), COLUMNS)


@app.command("enable")
@command
def enable(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let an image be launched again."""
    _enable(home, as_json, image, on=True)


@app.command("disable")
@command
def disable(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let no instance be made of an image; its permissions go, what runs goes on."""
    _enable(home, as_json, image, on=False)


@app.command("deregister")
@command
def deregister(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Withdraw an image; its bytes go when no instance uses them any more, its snapshots stay."""
    gone = installation_of(home).engine.execute(operator(), DeregisterImage(image_id=image))
    Output(as_json=as_json).one(row(gone), ("id", "name", "state"))


@app.command("delete")
@command
def delete(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Withdraw an image and delete the snapshots that it is made of, unless others are, too."""
    installation = installation_of(home)
    found = installation.engine.image(operator(), image)
    disks = set(found.snapshot_ids)
    for other in installation.engine.images(operator()):
        if other.id != found.id and other.state is not ImageState.GONE:
            disks -= set(other.snapshot_ids)
    there = {each.id for each in installation.engine.snapshots(operator())}
    doomed = sorted(disks & there)
    installation.engine.execute_all(
        operator(),
        [DeregisterImage(image_id=found.id), *(DeleteSnapshot(snapshot_id=each) for each in doomed)],
    )
    Output(as_json=as_json).one({"id": found.id, "name": found.name, "deleted": True, "snapshots": doomed})


# Publishing (lifecycle §9.2) ----------------------------------------------------------------------------


def _publish(home: Path | None, as_json: bool, image: str, to: Publication, reason: str = "") -> None:
    changed = installation_of(home).engine.execute(
        operator(), PublishImage(image_id=image, publication=to, reason=reason)
    )
    Output(as_json=as_json).one(
        row(changed), ("id", "name", "line", "line_version", "publication", "message")
    )


@app.command("publish")
@command
def publish(
    image: ImageArgument, reason: ReasonOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Recommend a version that passed its test; the one published before is deprecated."""
    _publish(home, as_json, image, Publication.PUBLISHED, reason)


@app.command("revoke")
@command
def revoke(
    image: ImageArgument, reason: ReasonOption = "", home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Let nobody launch a version any more; what runs goes on, and has it in its history."""
    _publish(home, as_json, image, Publication.REVOKED, reason)


@app.command("deprecate")
@command
def deprecate(
    image: ImageArgument,
    at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"], help="From when, UTC.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Take the deprecation off.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Warn of an image that has a better successor; it still works."""
    installation = installation_of(home)
    found = installation.engine.image(operator(), image)
    if found.publication is Publication.PUBLISHED and at is None and not off:
        _publish(home, as_json, image, Publication.DEPRECATED)
        return
    moment = at.replace(tzinfo=UTC).timestamp() if at is not None else time.time()
    changed = installation.engine.execute(
        operator(), ModifyImage(image_id=image, deprecate_at=0.0 if off else moment)
    )
    Output(as_json=as_json).one(row(changed), ("id", "name", "deprecated_at"))


@app.command("test")
@command
def boot(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Boot an image and go through the check list; exit status 1 when it did not pass."""
    installation, output = installation_of(home), Output(as_json=as_json)
    require_worker(installation)
    task = installation.engine.execute(operator(), TestImage(image_id=image))
    task = follow_task(installation, output, task, f"Testing {image}")
    checks: list[dict[str, str]] = msgspec.json.decode(task.result.get("checks", "[]"))
    passed = task.result.get("passed") == "true"
    line = installation.engine.image(operator(), image).line
    if as_json:
        output.document({"image": image, "task": task.id, "passed": passed, "checks": checks})
    else:
        output.rows(checks, ("name", "result", "words"), empty="Nothing was checked.")
        output.say("")
        output.say(_verdict(image, passed=passed, in_line=bool(line)))
    if not passed:
        raise typer.Exit(1)


def _verdict(image: str, *, passed: bool, in_line: bool) -> str:
    if not passed:
        return "Not passed. Mend it, and import it again."
    return f"Passed. Recommend it: isthmus image publish {image}" if in_line else "Passed."
