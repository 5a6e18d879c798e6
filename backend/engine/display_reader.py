"""Takes the pictures of displays that are asked for (:mod:`backend.engine.displays`), in the worker."""

from __future__ import annotations

import logging

from backend.engine import Engine
from backend.images.jpeg import jpeg_of
from backend.model import Picture, Trouble
from backend.ports import Hosts, HostSilent, NoDisplay, StepFailed

_log = logging.getLogger(__name__)


class DisplayReader:
    """Reads displays from hosts into the database."""

    def __init__(self, engine: Engine, hosts: Hosts) -> None:
        self._engine = engine
        self._hosts = hosts

    def read(self, instance_id: str) -> None:
        """Take the picture that is asked for of an instance, if it still is."""
        with self._engine.store.read() as tx:
            asked, instance = tx.pictures.get(instance_id), tx.instances.get(instance_id)
            host = tx.hosts.get(instance.host_id or "") if instance is not None else None
        if asked is None or asked.taken_at is not None:
            return
        data, trouble = b"", Trouble.FAILED
        if host is not None:
            data, trouble = self._take(asked, host.id, host.uri)
        with self._engine.store.begin() as tx:
            fresh = tx.pictures.lock(instance_id)
            if fresh is not None and fresh.asked_at == asked.asked_at:
                tx.pictures.update(fresh, taken_at=self._engine.clock(), data=data, trouble=trouble)

    def _take(self, asked: Picture, host_id: str, uri: str) -> tuple[bytes, Trouble]:
        try:
            seen = self._hosts.driver(host_id, uri).display(asked.instance_id, wake=asked.wake)
            return jpeg_of(seen), Trouble.NONE
        except NoDisplay:
            return b"", Trouble.NO_DISPLAY
        except HostSilent:
            return b"", Trouble.SILENT
        except (StepFailed, ValueError) as error:
            _log.info("no picture of %s: %s", asked.instance_id, error)
            return b"", Trouble.FAILED
