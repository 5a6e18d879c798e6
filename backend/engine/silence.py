"""Hosts that do not answer: what is known of their instances then (lifecycle §5.4)."""

from __future__ import annotations

from backend.engine.work import Work
from backend.lifecycle import transition
from backend.model import Desired, Host, Reason


def host_silent(work: Work, host: Host) -> int:
    """A host in error: what ran there is unknown, nothing is freed (§5.4). How many instances changed."""
    changed = 0
    for instance in work.tx.instances.on_host(host.id):
        edge = transition("host_silent", instance.detail)
        if edge is not None and instance.job_id is None:
            work.move(
                instance,
                edge.ok,
                op="host_silent",
                resched=False,
                last_seen=host.last_seen,
                reason=instance.reason if instance.desired is Desired.GONE else Reason.HOST_SILENT,
                by_user=instance.by_user if instance.desired is Desired.GONE else False,
            )
            changed += 1
    return changed
