"""What an instance shows of itself: its serial console as the worker last read it, and its password."""

from __future__ import annotations

import base64

from ec2.actions.common import well_formed_ids
from ec2.actions.instances import still_there
from ec2.context import Document, Ec2Context, Params
from ec2.ids import IdKind
from ec2.mapping import launch_time, moment


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


def get_password_data(context: Ec2Context, params: Params) -> Document:
    """The encrypted password of a Windows administrator (GetPasswordData): no guest here reports one."""
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    instance = context.engine.instance(context.caller, instance_id)
    still_there(instance)
    return {"InstanceId": instance.id, "Timestamp": launch_time(instance), "PasswordData": ""}
