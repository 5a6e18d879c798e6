"""The operator's command line: ``isthmus NOUN VERB``. Every command takes ``--home`` and ``--json``."""

from __future__ import annotations

import os

import typer

from gateway.commands import (
    check,
    doctor,
    host,
    identities,
    image,
    init,
    networks,
    people,
    roles,
    serve,
    size,
    snapshot,
    store,
    task,
    trace,
    vm,
    volume,
)

app = typer.Typer(
    name="isthmus",
    help="One cloud, two standards: OCCI and the Amazon EC2 Query API over libvirt hosts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they could show secrets
)
app.command("init")(init.init)
app.command("settings")(init.settings_)
app.command("migrate")(init.migrate)
app.command("serve")(serve.serve)
app.command("web")(serve.web)
app.command("worker")(serve.worker)
app.command("metadata")(serve.metadata)
app.command("doctor")(doctor.doctor)
app.command("check")(check.check)
app.add_typer(host.app, name="host")
app.add_typer(image.app, name="image")
app.add_typer(volume.app, name="volume")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(store.app, name="store")
app.add_typer(task.app, name="task")
app.add_typer(networks.nets, name="net")
app.add_typer(networks.subnets, name="subnet")
app.add_typer(networks.nics, name="nic")
app.add_typer(networks.addresses, name="address")
app.add_typer(networks.secgroups, name="secgroup")
app.command("trace")(trace.trace_)
app.add_typer(people.tenants, name="tenant")
app.add_typer(people.users, name="user")
app.add_typer(people.keys, name="key")
app.add_typer(people.tokens, name="token")
app.add_typer(identities.app, name="identity")
app.add_typer(roles.app, name="role")
app.add_typer(size.app, name="flavor")
app.add_typer(vm.app, name="vm")
app.add_typer(vm.jobs, name="job")
app.add_typer(vm.events, name="events")


def main() -> None:
    """Run the command line. Whatever it or its children make can be read by nobody else."""
    os.umask(0o077)
    app()


if __name__ == "__main__":
    main()
