"""``isthmus serve``, ``web``, ``worker`` and ``metadata``: the processes."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from gateway import server
from gateway.context import HomeOption, JsonOption, Refused, command, home_of
from gateway.installation import Installation
from gateway.metadata import address as metadata_address
from gateway.output import Output
from gateway.server import TAKEN

ListenOption = Annotated[
    str | None, typer.Option(help="HOST:PORT; the setting `listen` without.", metavar="HOST:PORT")
]
_NOT_INSTALLED = 78


def _installation(home: HomeOption, process: str, listen: str | None = None) -> Installation:
    from gateway import logs  # other commands do not log, and start faster without

    overrides = {} if listen is None else {"listen": listen}
    installation = Installation.at(home_of(home), **overrides)
    settings = installation.settings
    logs.configure(settings.log_level, settings.log_format, process=process)
    assert installation.keys.at_rest  # a missing key is told now, not with the first request
    assert installation.keys.pages
    return installation


@command
def serve(
    listen: ListenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run everything: web processes, a worker, and the metadata service's port if guests are led to one."""
    installation = _installation(home, "supervisor", listen)
    try:
        held = server.hold(installation.home.run)
    except server.HomeTaken as error:
        Output(as_json=as_json).fail(str(error), "taken")
        raise typer.Exit(TAKEN) from error
    installation.migrate()
    installation.close()
    settings = installation.settings
    try:
        server.serve(settings.home, settings.listen, held, metadata=metadata_address(settings) is not None)
    except server.AddressTaken as error:
        raise Refused(f"{error} Another `isthmus serve`? Choose: --listen HOST:PORT") from error


@command
def web(
    listen: ListenOption = None,
    fd: Annotated[int | None, typer.Option(help="An open listening socket.", hidden=True)] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: ARG001
) -> None:
    """Run the web processes alone. Any number of machines may, on PostgreSQL."""
    from gateway import web as web_server

    server.die_with_parent()
    installation = _installation(home, "web", listen)
    if installation.store.pending_revision() is not None:
        installation.migrate()
    installation.close()
    sys.argv = ["isthmus-web"]  # gunicorn shows it
    web_server.run(installation, bind=installation.settings.listen if fd is None else f"fd://{fd}")


@command
def metadata(
    listen: Annotated[
        str | None,
        typer.Option(help="HOST:PORT; the setting `network.metadata` without.", metavar="HOST:PORT"),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: ARG001
) -> None:
    """Run the metadata service's port alone, for networks that lead guests there by their addresses."""
    from gateway.metadata import process

    server.die_with_parent()
    installation = _installation(home, "metadata")
    listen = listen or metadata_address(installation.settings)
    if listen is None:
        raise Refused(
            "Guests of this installation's network reach the metadata service by sockets of the worker's, "
            "not by a port."
        )
    try:
        process.run(installation, listen)
    except (OSError, ValueError) as error:
        raise Refused(f"Cannot listen on {listen}: {error}.") from error


@command
def worker(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: ARG001
    """Run a worker alone: one on SQLite, any number on PostgreSQL."""
    from gateway import worker as worker_process

    server.die_with_parent()
    installation = _installation(home, "worker")
    log = logging.getLogger(__name__)
    try:
        status = worker_process.run(installation)
    except ModuleNotFoundError as error:
        log.exception("%s is missing; see: isthmus doctor", error.name)
        status = _NOT_INSTALLED
    except Exception:
        log.exception("the worker broke")
        status = 1
    logging.shutdown()
    os._exit(status)  # threads that wait for hosts must not hold up the end
