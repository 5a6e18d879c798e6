"""``isthmus host``: the libvirt hosts."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from backend.commands import AddHost, DeleteHost, SetHostState
from backend.drivers.libvirt import uri as uris
from backend.model import Host, HostState
from backend.ports import StepFailed
from gateway.commands import prepare
from gateway.context import HomeOption, JsonOption, Refused, command, installation_of, region_of
from gateway.installation import Installation, operator, simulated_image
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Libvirt hosts, by URI.")
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="Its id or URI.")]
COLUMNS = ("id", "uri", "zone", "state", "cores", "memory_mib", "acceleration", "message")
_ALLOWED = (
    "A host is one of: qemu:///embed?root=/DIRECTORY, qemu:///system, qemu+ssh://NAME/system (+tls, +tcp), "
    "and test:///default to simulate one."
)


def row(host: Host) -> dict[str, Any]:
    """A host as it is shown."""
    built: dict[str, Any] = msgspec.to_builtins(host)
    return built | {
        "cores": host.total.cpu // 100,
        "memory_mib": host.total.memory_mib,
        "acceleration": host.capabilities.get("acceleration", ""),
    }


app.command("prepare")(prepare.prepare)


def _find(installation: Installation, name: str) -> Host:
    for host in installation.engine.hosts():
        if name in {host.id, host.uri}:
            return host
    raise Refused(f"There is no host {name}. See: isthmus host list")


@app.command("add")
@command
def add(
    uri: Annotated[
        str, typer.Argument(help="Libvirt URI, for example qemu:///system, or test:///default to simulate.")
    ],
    zone: Annotated[
        str | None, typer.Option(help="Its zone; the first of the default region without.")
    ] = None,
    cpu_ratio: Annotated[float, typer.Option(help="Virtual cores offered for each real one.")] = 16.0,
    memory_ratio: Annotated[float, typer.Option(help="Memory offered for each real MiB.")] = 1.0,
    disk_ratio: Annotated[float, typer.Option(help="Disk offered for each real GiB.")] = 1.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a host. The worker probes it and turns it on."""
    try:
        uris.check(uri)
    except StepFailed as error:
        raise Refused(f"{error}. {_ALLOWED}") from error
    installation = installation_of(home)
    settings = installation.settings
    zone = zone or settings.regions[settings.default_region][0]
    host = installation.engine.execute(
        operator(),
        AddHost(
            uri=uri,
            region=region_of(installation, zone),
            zone=zone,
            cpu_ratio=cpu_ratio,
            memory_ratio=memory_ratio,
            disk_ratio=disk_ratio,
        ),
    )
    image = simulated_image(installation) if uri.startswith("test:") else None
    output = Output(as_json=as_json)
    output.one(row(host) | ({"image": image.id} if image else {}), ("id", "uri", "zone", "state", "image"))
    output.say("The worker meets it within seconds; see: isthmus host list")


@app.command("list")
@command
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """All hosts, with what they have."""
    hosts = [row(host) for host in installation_of(home).engine.hosts()]
    Output(as_json=as_json).rows(hosts, COLUMNS, empty="No host yet. Add one: isthmus host add URI")


def _set(home: Any, as_json: bool, name: str, state: HostState) -> None:
    installation = installation_of(home)
    host = installation.engine.execute(
        operator(), SetHostState(host_id=_find(installation, name).id, state=state.value)
    )
    Output(as_json=as_json).one(row(host), ("id", "uri", "state"))


@app.command("enable")
@command
def enable(host: HostArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Let instances be placed on a host (again)."""
    _set(home, as_json, host, HostState.INIT)


@app.command("disable")
@command
def disable(host: HostArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Place nothing new on a host; what runs there goes on."""
    _set(home, as_json, host, HostState.DISABLED)


@app.command("offline")
@command
def offline(
    host: HostArgument,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Yes, nothing runs there any more: its power is off.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a host is dead: its instances may then be started elsewhere."""
    if not confirm:
        raise Refused(
            "This counts as proof that nothing runs on the host: a machine that still does would run twice. "
            "Cut its power first, then repeat with --confirm."
        )
    _set(home, as_json, host, HostState.OFFLINE)


@app.command("delete")
@command
def delete(host: HostArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Forget a host on which nothing is left."""
    installation = installation_of(home)
    found = _find(installation, host)
    installation.engine.execute(operator(), DeleteHost(host_id=found.id))
    Output(as_json=as_json).one({"id": found.id, "deleted": True})
