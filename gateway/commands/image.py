"""``isthmus image``: the disk images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from backend.commands import DeregisterImage, ModifyImage, RegisterImage
from backend.drivers.libvirt.domain_xml import MACHINES
from backend.model import Image
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, tenant_named
from gateway.installation import acting_for, import_image, operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Disk images that instances boot from.")
COLUMNS = ("id", "name", "state", "public", "format", "virtual_mib", "created_at")
_PREFIX = "ami-"


def row(image: Image) -> dict[str, Any]:
    """An image as it is shown."""
    built: dict[str, Any] = msgspec.to_builtins(image)
    return built | {"virtual_mib": image.virtual_bytes >> 20}


def _check_id(image_id: str) -> None:
    digits = image_id.removeprefix(_PREFIX)
    if digits == image_id or len(digits) not in {8, 17} or set(digits) - set("0123456789abcdef"):
        raise Refused(f"{image_id} is no image id: ami- and 8 or 17 hexadecimal digits.")


@app.command("import")
@command
def import_(
    file: Annotated[
        Path, typer.Argument(help="A qcow2 or raw disk image.", exists=True, dir_okay=False, readable=True)
    ],
    name: Annotated[str, typer.Option(help="Its name, 3 to 128 characters.")],
    image_id: Annotated[
        str | None, typer.Option("--id", help="Its id, for people who migrate: ami-…; random without.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="All tenants may use it.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Whose it is; the first tenant's without.")] = None,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    architecture: Annotated[str, typer.Option(help=f"What it runs on: {', '.join(MACHINES)}.")] = "x86_64",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a disk image, copy it into the store, and register it."""
    if image_id is not None:
        _check_id(image_id)
    if architecture not in MACHINES:
        raise Refused(f"No host can be {architecture}; there are: {', '.join(MACHINES)}.")
    output = Output(as_json=as_json)
    installation = installation_of(home)
    owner = tenant_named(installation, tenant)
    wanted = RegisterImage(
        name=name,
        path="",
        format="",
        checksum="",
        size_bytes=0,
        virtual_bytes=0,
        architecture=architecture,
        description=description,
        location=file.name,
        public=public,
        image_id=image_id,
    )
    with output.copying(f"Importing {file.name}") as progress:
        image = import_image(installation, acting_for(owner), file, wanted, progress)
    output.one(row(image), ("id", "name", "format", "virtual_mib", "checksum", "public"))


@app.command("list")
@command
def list_(
    every: Annotated[bool, typer.Option("--all", help="Deregistered ones too.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The images of all tenants."""
    images = installation_of(home).engine.images(operator())
    shown = [row(image) for image in images if every or image.deregistered_at is None]
    Output(as_json=as_json).rows(
        shown, COLUMNS, empty="No image yet. Add one: isthmus image import FILE --name NAME"
    )


ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="Its id.")]


@app.command("show")
@command
def show(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All about one image."""
    Output(as_json=as_json).one(row(installation_of(home).engine.image(operator(), image)))


@app.command("modify")
@command
def modify(
    image: ImageArgument,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who may use it.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it can be launched.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change who may use an image."""
    changed = installation_of(home).engine.execute(
        operator(), ModifyImage(image_id=image, public=public, enabled=enabled, description=description)
    )
    Output(as_json=as_json).one(row(changed), COLUMNS)


@app.command("deregister")
@command
def deregister(image: ImageArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Withdraw an image; its bytes go when no instance uses them any more."""
    gone = installation_of(home).engine.execute(operator(), DeregisterImage(image_id=image))
    Output(as_json=as_json).one(row(gone), ("id", "name", "state"))
