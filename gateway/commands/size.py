"""``isthmus flavor``: the sizes on offer."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from backend.commands import DeleteFlavor, PutFlavor
from backend.model import Flavor
from gateway.context import HomeOption, JsonOption, command, installation_of
from gateway.installation import operator
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Sizes: EC2's instance types, OCCI's resource templates.")
COLUMNS = ("name", "vcpus", "memory_mib", "root_gib", "ephemeral_gib", "crtp")


@app.command("list")
@command
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All sizes."""
    flavors = [msgspec.to_builtins(flavor) for flavor in installation_of(home).engine.flavors()]
    Output(as_json=as_json).rows(flavors, COLUMNS)


@app.command("add")
@command
def add(
    name: Annotated[str, typer.Argument(help="Its name, for example c1.large.")],
    vcpus: Annotated[int, typer.Option(min=1, help="Cores.")],
    memory_mib: Annotated[int, typer.Option(min=1, help="Memory, MiB.")],
    root_gib: Annotated[int, typer.Option(min=0, help="System disk, GiB; it grows with the image.")] = 1,
    ephemeral_gib: Annotated[int, typer.Option(min=0, help="Scratch disk, GiB.")] = 0,
    crtp: Annotated[str, typer.Option(help="Term in OCCI's resource templates profile.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a size, or change one; instances keep what they have."""
    flavor = Flavor(
        name=name,
        vcpus=vcpus,
        memory_mib=memory_mib,
        root_gib=root_gib,
        ephemeral_gib=ephemeral_gib,
        crtp=crtp,
    )
    put = installation_of(home).engine.execute(operator(), PutFlavor(flavor=flavor))
    Output(as_json=as_json).one(msgspec.to_builtins(put), COLUMNS)


@app.command("delete")
@command
def delete(
    name: Annotated[str, typer.Argument(help="Its name.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw a size; instances of it go on."""
    installation_of(home).engine.execute(operator(), DeleteFlavor(name=name))
    Output(as_json=as_json).one({"name": name, "deleted": True})
