"""Shares of processor time of instances that run: asked for here, set on their hosts by the worker.

A share is given anew at every start. What could not be set meanwhile, as the host was silent, is set then.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from backend.model import Instance
from backend.ports import Hosts, HostSilent, StepFailed

if TYPE_CHECKING:
    from backend.engine import Engine
    from backend.engine.work import Work

_log = logging.getLogger(__name__)

ERRAND = "share-"
"""How work on the queue that is about an instance's share begins; its id follows."""


def share_changed(work: Work, instance: Instance) -> None:
    """Have the share of an instance set where it runs, if it is on a host."""
    if instance.host_id is not None:
        key = f"{ERRAND}{secrets.token_hex(8)}"
        work.queue.enqueue(work.tx.connection, "job", key, f"{ERRAND}{instance.id}")


def set_share(engine: Engine, hosts: Hosts, instance_id: str) -> None:
    """Give a running domain the share that its instance is to have by now."""
    with engine.store.read() as tx:
        instance = tx.instances.get(instance_id)
        host = tx.hosts.get(instance.host_id or "") if instance is not None else None
    if instance is None or host is None:
        return
    try:
        hosts.driver(host.id, host.uri).weigh(instance_id, instance.cpu_share)
    except (HostSilent, StepFailed) as error:
        _log.warning("%s has its share of processor time from its next start on: %s", instance_id, error)
