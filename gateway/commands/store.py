"""``isthmus store``: where bytes lie, on the hosts and in the gateway's image store, and who needs them."""

from __future__ import annotations

import shutil
from typing import Any

import typer

from backend.model import Capacity, Host, ImageState
from gateway.context import HomeOption, JsonOption, command, installation_of
from gateway.installation import Installation
from gateway.output import Output

app = typer.Typer(no_args_is_help=True, help="Stores: the hosts' and the gateway's.")
HOST_COLUMNS = ("host", "store", "state", "total_gib", "offered_gib", "promised_gib", "free_gib", "volumes")
CONTENT_COLUMNS = ("checksum", "format", "size_mib", "virtual_mib", "parent", "used_by")
_SHORT = 12


@app.command("list")
@command
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Every host's store, and the contents of the gateway's image store with who refers to them."""
    installation, output = installation_of(home), Output(as_json=as_json)
    hosts = [_host_row(installation, host) for host in installation.engine.hosts()]
    contents = _contents(installation)
    disk = shutil.disk_usage(installation.home.images)
    images = {
        "path": str(installation.home.images),
        "total_gib": disk.total >> 30,
        "free_gib": disk.free >> 30,
        "contents": len(contents),
        "size_mib": sum(each["size_mib"] for each in contents),
    }
    if as_json:
        output.document({"hosts": hosts, "images": images, "contents": contents})
        return
    output.rows(hosts, HOST_COLUMNS, empty="No host yet. Add one: isthmus host add URI")
    output.say("")
    output.one(images)
    output.say("")
    shown = [
        each | {"checksum": each["checksum"][:_SHORT], "parent": each["parent"][:_SHORT]} for each in contents
    ]
    output.rows(shown, CONTENT_COLUMNS, empty="No content.")


def _host_row(installation: Installation, host: Host) -> dict[str, Any]:
    """A host's store by what is recorded: what was offered of it, and promised to volumes and instances."""
    with installation.store.read() as tx:
        volumes = tx.volumes.on_host(host.id)
        promised = tx.reservations.used().get(host.id, Capacity()).disk_gib
    return {
        "host": host.uri,
        "id": host.id,
        "store": host.capabilities.get("store", ""),
        "state": host.state.value,
        "total_gib": host.total.disk_gib,
        "offered_gib": host.limit.disk_gib,
        "promised_gib": promised,
        "free_gib": host.limit.disk_gib - promised,
        "volumes": len(volumes),
    }


def _contents(installation: Installation) -> list[dict[str, Any]]:
    with installation.store.read() as tx:
        contents, volumes = tx.contents.all(), tx.volumes.of_tenant(None, None)
        images, snapshots = tx.images.all(), tx.snapshots.visible(None, "", None)
    users: dict[str, list[str]] = {}
    for image in images:
        if image.state is not ImageState.GONE:
            users.setdefault(image.checksum, []).append(image.id)
    for snapshot in snapshots:
        users.setdefault(snapshot.content, []).append(snapshot.id)
    for volume in volumes:
        users.setdefault(volume.content, []).append(volume.id)
    for content in contents:
        users.setdefault(content.parent, []).append(f"content {content.checksum[:_SHORT]}")
    return [
        {
            "checksum": content.checksum,
            "format": content.format,
            "size_mib": content.size_bytes >> 20,
            "virtual_mib": content.virtual_bytes >> 20,
            "parent": content.parent,
            "encrypted": content.encrypted,
            "path": content.path,
            "used_by": users.get(content.checksum, []),
        }
        for content in contents
    ]
