"""What becomes of an instance's interfaces when it is gone, and of its lent addresses when it is off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.engine.link_ends import memberships_ended
from backend.model import AttachState, Instance
from backend.network_model import Nic

if TYPE_CHECKING:
    from backend.engine.work import Work


def nic_changed(work: Work, nic: Nic) -> None:
    """The network has to follow a change of an interface, and the routers that send packets to it."""
    is_hop = bool(work.tx.route_tables.leading_to(nic.id, nic.vpc_id))
    work.network_changed(nic.id, *([nic.vpc_id] if is_hop else []))


def set_nic_free(work: Work, nic: Nic) -> Nic:
    """The interface is attached to nothing any more; its own addresses stay its own."""
    from backend.engine.addresses import take_back

    take_back(work, [nic])
    nic_changed(work, nic)
    free = work.tx.nics.update(
        nic,
        instance_id=None,
        index=0,
        attach=AttachState.NONE,
        attachment_id="",
        delete_on_termination=False,
        asked_at=None,
        attached_at=None,
    )
    memberships_ended(work, nic.instance_id, nic.groups)
    return free


def forget_nic(work: Work, nic: Nic) -> None:
    """The interface goes: its addresses are free again, elastic ones lead nowhere, lent ones go back."""
    from backend.engine.addresses import unlink

    for address in work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ()):
        unlink(work, address)
    work.tx.leases.free(nic.id)
    work.tx.infra.release(nic.id)
    work.tx.tags.drop([nic.id])
    work.tx.forget([nic.id])
    work.tx.nics.delete(nic.id)
    memberships_ended(work, nic.instance_id, nic.groups)
    nic_changed(work, nic)


def nics_after_end(work: Work, instance: Instance) -> None:
    """The instance is gone: interfaces go with it, or are available again without what they were lent.

    Elastic addresses lead nowhere from here on (invariant 13).
    """
    from backend.engine.addresses import unlink

    for nic in work.tx.nics.of_instance(instance.id):
        for address in work.tx.public_addresses.of_nics([nic.id]).get(nic.id, ()):
            unlink(work, address)
        if nic.delete_on_termination:
            forget_nic(work, nic)
        else:
            set_nic_free(work, nic)


def nics_after_move(work: Work, instance: Instance, detail: str) -> None:
    """Public addresses are lent from when an instance begins to boot until it is off (EC2)."""
    from backend.engine.addresses import lend, take_back

    if detail in {"poff", "susp.disk", "stop"}:
        take_back(work, work.tx.nics.of_instance(instance.id))
    elif detail.startswith("boot."):
        for address in lend(work, work.tx.nics.of_instance(instance.id)):
            work.network_changed(str(address.nic_id))
