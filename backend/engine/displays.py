"""Pictures of displays: asked for here, taken by the worker (:mod:`backend.engine.display_reader`).

A picture reaches whoever asked through the database, as consoles do, but only when it is asked for.
"""

from __future__ import annotations

import secrets

from backend.commands import AskPicture
from backend.engine.access import own_instances
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.lifecycle import ec2_state
from backend.model import Desired, Instance, Picture, Trouble

ERRAND = "display-"
"""How work on the queue that is about an instance's display begins; its id follows."""


def ask_picture(work: Work, command: AskPicture) -> Picture:
    """Ask for a picture of a running instance's display; who asks while one is being taken shares it."""
    [instance] = own_instances(work, [command.instance_id], ended=True)
    gone = instance.desired is Desired.GONE
    if instance.detail == "unkn" or ec2_state(instance.detail, gone=gone) != "running":
        raise wrong_state(instance, "show its display")
    host = work.tx.hosts.get(instance.host_id or "")
    if host is not None and host.capabilities.get("simulated") == "true":
        raise no_display(instance)
    known = work.tx.pictures.lock(instance.id)
    if known is not None and _will_do(work, known, command):
        return known
    asked = Picture(instance_id=instance.id, asked_at=work.now, wake=command.wake)
    if known is None:
        work.tx.pictures.insert(asked)
    else:
        work.tx.pictures.update(
            known, asked_at=work.now, wake=command.wake, taken_at=None, data=b"", trouble=Trouble.NONE
        )
    work.queue.enqueue(work.tx.connection, "job", f"{ERRAND}{secrets.token_hex(8)}", f"{ERRAND}{instance.id}")
    return asked


def _will_do(work: Work, known: Picture, command: AskPicture) -> bool:
    """Whether a picture is on its way that is what is asked for, and has not been for too long."""
    waits = known.taken_at is None and work.now - known.asked_at < work.settings.picture_patience
    return waits and known.wake >= command.wake


def no_display(instance: Instance) -> BackendError:
    """The refusal of a picture of what has no display."""
    return BackendError(
        Code.UNSUPPORTED,
        f"The instance '{instance.id}' has no display that could be pictured. One that was started before it "
        "could have one gets it when it is stopped and started.",
    )


def picture_of(instance: Instance, picture: Picture) -> bytes:
    """The JPEG of a picture that was taken; raises what kept it from being taken."""
    if picture.trouble is Trouble.NONE:
        return picture.data
    if picture.trouble is Trouble.NO_DISPLAY:
        raise no_display(instance)
    if picture.trouble is Trouble.SILENT:
        raise BackendError(
            Code.INSTANCE_UNREACHABLE,
            f"The instance '{instance.id}' is unreachable: its host does not answer.",
            ids=(instance.id,),
        )
    raise wrong_state(instance, "show its display")
