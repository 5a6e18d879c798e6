"""What becomes of an instance's volumes when it leaves its host, or is gone (lifecycle §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.engine.link_ends import attachment_ended
from backend.engine.places import moving_name, same_store
from backend.model import AttachState, Debris, Instance, TaskKind, Volume, VolumeState

if TYPE_CHECKING:
    from backend.engine.work import Work
    from backend.store import Tx


def touch(work: Work, volume: Volume) -> Volume:
    """What an instance is shown with has changed."""
    if volume.instance_id is not None:
        work.tx.instances.touch([volume.instance_id])
    return volume


def set_free(
    work: Work, volume: Volume, state: VolumeState = VolumeState.AVAILABLE, **changes: Any
) -> Volume:
    """The volume is attached to nothing any more."""
    attachment_ended(work, volume)
    return work.tx.volumes.update(
        volume,
        state=state,
        instance_id=None,
        attach=AttachState.NONE,
        device="",
        target="",
        boot=False,
        delete_on_termination=False,
        asked_at=None,
        attached_at=None,
        **changes,
    )


def forget_volume(work: Work, volume: Volume) -> None:
    """The volume's bytes are gone, and so is it."""
    attachment_ended(work, volume)
    work.tx.tags.drop([volume.id])
    work.tx.forget([volume.id])
    work.tx.volumes.delete(volume.id)


def is_to_move(tx: Tx, volume: Volume) -> bool:
    """Whether a volume's bytes are to be, or being, brought to the host of its instance."""
    instance = tx.instances.get(volume.instance_id or "")
    there = instance.host_id if instance is not None else None
    return volume.made and there is not None and there != volume.host_id


def leave_moving_copies(work: Work, instance: Instance, volume: Volume, why: str) -> None:
    """What a move that did not come to its end may have left on either host is the reaper's."""
    there = work.tx.hosts.get(instance.host_id or "")
    here = work.tx.hosts.get(volume.host_id or "")
    if not volume.made or there is None or same_store(there, here):
        return
    for name, host in ((volume.id, there), (moving_name(volume.id), here)):
        if host is not None:
            work.tx.debris.put(Debris(instance_id=name, host_id=host.id, at=work.now, message=why))


def is_fresh(instance: Instance, volume: Volume) -> bool:
    """Whether a volume was made with the instance, and so holds nothing but what the instance wrote."""
    return volume.created_at == instance.created_at


def is_remade(instance: Instance, volume: Volume) -> bool:
    """Whether a volume begins anew when its instance goes back to the queue: what it booted from, and all
    that was made for a launch that never came to run.
    """
    if not volume.made:
        return True
    return is_fresh(instance, volume) and (volume.boot or instance.launched_at is None)


def ends_with(volume: Volume) -> bool:
    """Whether a volume is deleted with its instance; one that was never made is nothing to keep."""
    return volume.delete_on_termination or not volume.made


def volumes_after_end(work: Work, instance: Instance, *, op: str, epilog: bool) -> None:
    """The instance is gone: its volumes are deleted with it or available again.

    What no epilog has deleted is deleted from here on. After ``delete``, which asks nobody, what the instance
    wrote to is in error until somebody has looked.
    """
    from backend.engine.tasks import begin_task

    torn = op == "delete" and instance.launched_at is not None
    for volume in work.tx.volumes.of_instance(instance.id):
        leave_moving_copies(work, instance, volume, "Its instance ended.")
        if ends_with(volume) and (epilog or not volume.made):
            forget_volume(work, volume)
        elif ends_with(volume):
            set_free(work, volume, VolumeState.DELETING)
            begin_task(work, TaskKind.VOLUME_DELETE, volume.id, tenant_id=volume.tenant_id, lock=volume.id)
        elif torn:
            set_free(
                work, volume, VolumeState.ERROR, message="Its instance was deleted while it may have written."
            )
        else:
            set_free(work, volume)


def volumes_after_return(work: Work, instance: Instance) -> None:
    """The instance is back in the queue from the host that it names: what begins anew is nowhere, the rest
    stays where it is.
    """
    for volume in work.tx.volumes.of_instance(instance.id):
        if is_remade(instance, volume):
            work.tx.volumes.update(volume, host_id=None, made=False)
        else:
            leave_moving_copies(work, instance, volume, "Its instance left the host.")
