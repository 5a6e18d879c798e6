"""The metadata service of an installation, put together; and the process that serves its port."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from backend.network_model import Nic
from gateway.installation import Installation, operator
from gateway.metadata.guests import Guests
from gateway.metadata.server import Doors, Server, listening_port
from gateway.metadata.service import MetadataService
from gateway.metadata.tokens import Tokens
from gateway.settings import listen_address

FOLDER: Final = "metadata"
"""Where sockets are, in the home's ``run``."""

_log = logging.getLogger(__name__)


def service(installation: Installation) -> MetadataService:
    """The rules, over an installation's database and keys."""
    engine = installation.engine
    guests = Guests(engine.networks, public_domain=installation.settings.ec2.public_domain)
    return MetadataService(guests, Tokens(installation.keys.pages, engine.clock))


def doors(installation: Installation) -> Doors:
    """The sockets of user networks' interfaces; see :class:`Doors`."""
    folder = installation.home.run / FOLDER
    return Doors(service(installation), folder, lambda: _attached(installation))


def _attached(installation: Installation) -> Iterator[str]:
    nics = installation.engine.networks.all(operator(), Nic)
    return (nic.id for nic in nics if nic.instance_id is not None)


def run(installation: Installation, listen: str) -> None:
    """Serve HOST:PORT until SIGTERM or SIGINT.

    Raises:
        OSError: it cannot be had.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(installation, listen))


async def _serve(installation: Installation, listen: str) -> None:
    engine = installation.engine
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(service(installation), hops=engine.settings.network.capabilities.metadata_hops)
    listener = await server.on_port(listening_port(*listen_address(listen)), engine.networks.nic_at)
    _log.info("the metadata service listens at %s", listen)
    await stop.wait()
    listener.close()
    await server.close()
    _log.info("the metadata service is stopping")
