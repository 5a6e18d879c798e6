"""One attribute of an instance at a time: describe, modify, reset."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from backend.commands import ModifyInstance
from backend.lifecycle import EC2_OPERATIONS
from backend.model import GuestShutdown, Instance
from ec2 import mapping
from ec2.actions.common import refuse_all, unsupported_value, well_formed_ids
from ec2.actions.run import decode_user_data
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind

_READERS: Mapping[str, Callable[[Instance], Document]] = {
    "blockDeviceMapping": lambda _: {"BlockDeviceMappings": []},
    "disableApiStop": lambda row: {"DisableApiStop": {"Value": row.locked_stop}},
    "disableApiTermination": lambda row: {"DisableApiTermination": {"Value": row.locked_terminate}},
    "ebsOptimized": lambda _: {"EbsOptimized": {"Value": False}},
    "enaSupport": lambda _: {"EnaSupport": {"Value": False}},
    "enclaveOptions": lambda _: {"EnclaveOptions": {"Enabled": False}},
    "groupSet": lambda _: {"Groups": []},
    "instanceInitiatedShutdownBehavior": lambda row: {
        "InstanceInitiatedShutdownBehavior": {"Value": row.on_guest_shutdown.value}
    },
    "instanceType": lambda row: {"InstanceType": {"Value": row.flavor}},
    "kernel": lambda _: {"KernelId": {}},
    "productCodes": lambda _: {"ProductCodes": []},
    "ramdisk": lambda _: {"RamdiskId": {}},
    "rootDeviceName": lambda _: {"RootDeviceName": {"Value": mapping.ROOT_DEVICE_NAME}},
    "sourceDestCheck": lambda _: {"SourceDestCheck": {"Value": True}},
    "sriovNetSupport": lambda _: {"SriovNetSupport": {}},
}
"""How each attribute is read from an instance; ``userData`` has a table of its own in the store."""


def describe_instance_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of an instance (DescribeInstanceAttribute)."""
    instance = _instance(context, params)
    attribute = params["Attribute"]
    if attribute == "userData":
        data = context.engine.user_data(context.caller, instance.id)
        value = {"Value": base64.b64encode(data).decode("ascii")} if data else {}
        return {"InstanceId": instance.id, "UserData": value}
    reader = _READERS.get(attribute)
    if reader is None:
        raise _unknown_attribute(attribute)
    return {"InstanceId": instance.id, **reader(instance)}


def _instance(context: Ec2Context, params: Params) -> Instance:
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    return context.engine.instance(context.caller, instance_id)


def _unknown_attribute(attribute: str) -> Ec2Error:
    return Ec2Error(
        "InvalidParameterValue",
        f"Value ({attribute[:120]}) for parameter attribute is invalid. Unknown attribute.",
    )


# Modify -------------------------------------------------------------------------------------------------

_MEMBERS: Mapping[str, str] = {
    "blockDeviceMapping": "BlockDeviceMappings",
    "disableApiStop": "DisableApiStop",
    "disableApiTermination": "DisableApiTermination",
    "ebsOptimized": "EbsOptimized",
    "enaSupport": "EnaSupport",
    "enclaveOptions": "EnclaveOptions",
    "groupSet": "Groups",
    "instanceInitiatedShutdownBehavior": "InstanceInitiatedShutdownBehavior",
    "instanceType": "InstanceType",
    "kernel": "Kernel",
    "ramdisk": "Ramdisk",
    "sourceDestCheck": "SourceDestCheck",
    "sriovNetSupport": "SriovNetSupport",
    "userData": "UserData",
}
"""The member that carries each attribute; the older spelling names the attribute and gives ``Value``."""

_ONLY_STOPPED = frozenset({"instanceType", "userData"})
_ONLY_WHERE = EC2_OPERATIONS["ModifyInstanceType"]
_NOT_OFFERED = ("BlockDeviceMappings", "Groups", "Kernel", "Ramdisk", "SriovNetSupport")
_AS_IT_IS: Mapping[str, bool] = {
    "ebsOptimized": False,
    "enaSupport": False,
    "enclaveOptions": False,
    "sourceDestCheck": True,
}
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def modify_instance_attribute(context: Ec2Context, params: Params) -> Document:
    """Change one attribute (ModifyInstanceAttribute); size and user data only while stopped."""
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    attribute, value = _wanted(params)
    instance = context.engine.instance(context.caller, instance_id)
    if attribute in _AS_IT_IS:
        if value is not _AS_IT_IS[attribute]:
            raise unsupported_value(value, _MEMBERS[attribute])
        return {}
    state = mapping.state_name(instance)
    if state == "terminated":
        raise Ec2Error("IncorrectInstanceState", f"The instance '{instance.id}' is terminated.")
    if attribute in _ONLY_STOPPED and _ONLY_WHERE[state] != "go":
        raise Ec2Error(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
        )
    context.engine.execute(context.caller, _command(instance_id, attribute, value))
    return {}


def _wanted(params: Params) -> tuple[str, Any]:
    """The attribute and the value that a request gives it, in either spelling; exactly one is allowed."""
    given = [name for name, member in _MEMBERS.items() if member in params]
    named = params.get("Attribute")
    if named is not None and "Value" in params:
        given.append(named)
    if len(set(given)) > 1:
        fields = ", ".join(sorted(set(given)))
        raise Ec2Error(
            "InvalidParameterCombination", f"Fields for multiple attribute types specified: {fields}"
        )
    if not given:
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    refuse_all(params, _NOT_OFFERED)
    attribute = given[0]
    if attribute not in _MEMBERS or _MEMBERS[attribute] in _NOT_OFFERED:
        raise unsupported_value(attribute, "Attribute")
    return attribute, _value(params, attribute)


def _value(params: Params, attribute: str) -> Any:
    body = params.get(_MEMBERS[attribute])
    if body is None:
        return _older_value(attribute, params["Value"])
    member = "Enabled" if attribute == "enclaveOptions" else "Value"
    if member not in body:
        # "UserData=" empties the user data; every other attribute needs a value.
        if attribute == "userData":
            return b""
        raise Ec2Error(
            "MissingParameter", f"The request must contain the parameter {_MEMBERS[attribute]}.{member}"
        )
    return body[member]


def _older_value(attribute: str, text: str) -> Any:
    if attribute == "userData":
        return decode_user_data(text)
    if attribute in {"instanceType", "instanceInitiatedShutdownBehavior"}:
        return text
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({text[:120]}) for parameter value is invalid. It must be true or false.",
        )
    return value


def _command(instance_id: str, attribute: str, value: Any) -> ModifyInstance:
    match attribute:
        case "disableApiStop":
            return ModifyInstance(instance_id=instance_id, locked_stop=value)
        case "disableApiTermination":
            return ModifyInstance(instance_id=instance_id, locked_terminate=value)
        case "instanceType":
            return ModifyInstance(instance_id=instance_id, flavor=value)
        case "userData":
            return ModifyInstance(instance_id=instance_id, user_data=value)
        case _:
            return ModifyInstance(instance_id=instance_id, on_guest_shutdown=_shutdown(value))


def _shutdown(value: str) -> GuestShutdown:
    try:
        return GuestShutdown(value)
    except ValueError:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({value[:120]}) for parameter instanceInitiatedShutdownBehavior is invalid. "
            "It must be stop or terminate.",
        ) from None


# Reset --------------------------------------------------------------------------------------------------

_RESETTABLE = frozenset({"kernel", "ramdisk", "sourceDestCheck"})


def reset_instance_attribute(context: Ec2Context, params: Params) -> Document:
    """Give an attribute its default again (ResetInstanceAttribute); these three never leave it here."""
    _instance(context, params)
    if params["Attribute"] not in _RESETTABLE:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({params['Attribute']}) for parameter attribute is invalid. It cannot be reset.",
        )
    return {}
