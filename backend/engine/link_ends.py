"""What goes with a link when it ends: what clients said of it. Links have no rows of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backend.model import Volume
from backend.network_model import PublicAddress, membership_id

if TYPE_CHECKING:
    from backend.engine.work import Work


def attachment_ended(work: Work, volume: Volume) -> None:
    """A volume is attached to nothing any more."""
    work.tx.forget([f"att-{volume.id.partition('-')[2]}"])


def association_ended(work: Work, address: PublicAddress) -> None:
    """A public address leads elsewhere, or nowhere."""
    if address.association_id:
        work.tx.forget([address.association_id])


def memberships_ended(work: Work, instance_id: str | None, left: Iterable[str]) -> None:
    """An interface of an instance has left groups, or the instance; others of its may be in them still."""
    gone = set(left)
    if instance_id is None or not gone:
        return
    still = {group_id for nic in work.tx.nics.of_instance(instance_id) for group_id in nic.groups}
    work.tx.forget([membership_id(instance_id, group_id) for group_id in sorted(gone - still)])
