"""What an instance shows of itself: its serial console, its display, its password."""

from __future__ import annotations

import base64
import time

from backend.commands import AskPicture
from backend.engine.displays import picture_of
from backend.model import Picture
from ec2.actions.common import well_formed_ids
from ec2.actions.instances import still_there
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error, request_limit_exceeded
from ec2.ids import IdKind
from ec2.mapping import launch_time, moment

_LOOK_AGAIN = 0.05
_pause = time.sleep


def get_console_output(context: Ec2Context, params: Params) -> Document:
    """The last 64 KiB of the console in base64; empty while there is none (GetConsoleOutput).

    ``Latest`` makes no difference: what is kept is always the newest that was read.
    """
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    found = context.engine.console(context.caller, instance_id)
    data, at = found if found is not None else (b"", context.now)
    return {
        "InstanceId": instance_id,
        "Timestamp": moment(at),
        "Output": base64.b64encode(data).decode("ascii"),
    }


def get_console_screenshot(context: Ec2Context, params: Params) -> Document:
    """What the instance's display shows, as a JPEG in base64 (GetConsoleScreenshot).

    The worker takes the picture; this waits for it, and not for long. Who finds no place to wait comes again,
    and shares the picture that is being taken.
    """
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    command = AskPicture(instance_id=instance_id, wake=params.get("WakeUp", False))
    asked = context.engine.execute(context.caller, command)
    instance = context.engine.instance(context.caller, instance_id)
    if not context.waits.acquire(blocking=False):
        raise request_limit_exceeded()
    try:
        data = picture_of(instance, _taken(context, asked))
    finally:
        context.waits.release()
    return {"InstanceId": instance_id, "ImageData": base64.b64encode(data).decode("ascii")}


def _taken(context: Ec2Context, asked: Picture) -> Picture:
    """The picture that was asked for, once it was taken."""
    deadline = time.monotonic() + context.engine.settings.picture_patience
    while time.monotonic() < deadline:
        found = context.engine.picture(context.caller, asked.instance_id)
        if found is not None and found.taken_at is not None and found.asked_at >= asked.asked_at:
            return found
        _pause(_LOOK_AGAIN)
    raise Ec2Error("Unavailable", "The display could not be pictured in time; please try again.")


def get_password_data(context: Ec2Context, params: Params) -> Document:
    """The encrypted password of a Windows administrator (GetPasswordData): no guest here reports one."""
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    instance = context.engine.instance(context.caller, instance_id)
    still_there(instance)
    return {"InstanceId": instance.id, "Timestamp": launch_time(instance), "PasswordData": ""}
