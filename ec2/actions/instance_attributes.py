"""One attribute of an instance at a time: describe, modify, reset."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backend.commands import ModifyInstance
from backend.engine.disks import is_root_device
from backend.lifecycle import EC2_OPERATIONS
from backend.model import GuestShutdown, Instance, Volume
from backend.network_commands import ModifyMetadataOptions, ModifyNic
from backend.network_model import Nic
from ec2 import mapping
from ec2.actions.common import missing, refuse_all, unsupported_value, well_formed_ids
from ec2.actions.instances import still_there
from ec2.actions.nic_requests import metadata_options
from ec2.actions.run import decode_user_data
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error
from ec2.ids import IdKind
from ec2.interface_mapping import group_identifier

_READERS: Mapping[str, Callable[[Instance], Document]] = {
    "disableApiStop": lambda row: {"DisableApiStop": {"Value": row.locked_stop}},
    "disableApiTermination": lambda row: {"DisableApiTermination": {"Value": row.locked_terminate}},
    "ebsOptimized": lambda _: {"EbsOptimized": {"Value": False}},
    "enaSupport": lambda _: {"EnaSupport": {"Value": False}},
    "enclaveOptions": lambda _: {"EnclaveOptions": {"Enabled": False}},
    "instanceInitiatedShutdownBehavior": lambda row: {
        "InstanceInitiatedShutdownBehavior": {"Value": row.on_guest_shutdown.value}
    },
    "instanceType": lambda row: {"InstanceType": {"Value": row.flavor}},
    "kernel": lambda _: {"KernelId": {}},
    "productCodes": lambda _: {"ProductCodes": []},
    "ramdisk": lambda _: {"RamdiskId": {}},
    "rootDeviceName": lambda _: {"RootDeviceName": {"Value": mapping.ROOT_DEVICE_NAME}},
    "sriovNetSupport": lambda _: {"SriovNetSupport": {}},
}
"""How each attribute is read from an instance's row; what others need is read by the action."""


def describe_instance_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of an instance (DescribeInstanceAttribute)."""
    instance = _instance(context, params)
    attribute = params["Attribute"]
    if attribute == "userData":
        data = context.engine.user_data(context.caller, instance.id)
        value = {"Value": base64.b64encode(data).decode("ascii")} if data else {}
        return {"InstanceId": instance.id, "UserData": value}
    if attribute == "blockDeviceMapping":
        volumes = mapping.attached(instance, _volumes(context, instance))
        return {"InstanceId": instance.id, "BlockDeviceMappings": mapping.block_devices(volumes)}
    if attribute in _OF_PRIMARY:
        return {"InstanceId": instance.id, **_of_primary(context, instance, attribute)}
    reader = _READERS.get(attribute)
    if reader is None:
        raise _unknown_attribute(attribute)
    return {"InstanceId": instance.id, **reader(instance)}


_OF_PRIMARY = frozenset({"groupSet", "sourceDestCheck"})
"""Attributes that are those of the instance's interface."""


def _of_primary(context: Ec2Context, instance: Instance, attribute: str) -> Document:
    nics = _nics(context, instance)
    if attribute == "sourceDestCheck":
        return {"SourceDestCheck": {"Value": nics[0].source_dest_check} if nics else {}}
    ids = nics[0].groups if nics else ()
    groups = context.engine.networks.groups_by_id(ids)
    return {"Groups": [group_identifier(groups[each]) for each in ids if each in groups]}


def _nics(context: Ec2Context, instance: Instance) -> list[Nic]:
    """The interfaces of an instance, the primary one first; an ended one has none."""
    if mapping.state_name(instance) == "terminated":
        return []
    return context.engine.networks.nics_of([instance.id]).get(instance.id, [])


def _instance(context: Ec2Context, params: Params) -> Instance:
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    return context.engine.instance(context.caller, instance_id)


def _volumes(context: Ec2Context, instance: Instance) -> list[Volume]:
    return context.engine.disks_of([instance.id]).get(instance.id, [])


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
_NOT_OFFERED = ("Kernel", "Ramdisk", "SriovNetSupport")
_AS_IT_IS: Mapping[str, bool] = {
    "ebsOptimized": False,
    "enaSupport": False,
    "enclaveOptions": False,
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
    still_there(instance)
    if attribute in _ONLY_STOPPED and _ONLY_WHERE[state] != "go":
        raise Ec2Error(
            "IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state."
        )
    if attribute in _OF_PRIMARY:
        nic = _only_nic(context, instance)
        context.engine.execute(context.caller, _nic_command(nic, attribute, value))
        return {}
    if attribute == "blockDeviceMapping":
        value = _fates(value, _volumes(context, instance))
    context.engine.execute(context.caller, _command(instance_id, attribute, value))
    return {}


def _only_nic(context: Ec2Context, instance: Instance) -> Nic:
    """The interface of an instance that has one; which of several is meant only its own call can say."""
    nics = _nics(context, instance)
    if len(nics) != 1:
        raise Ec2Error(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance.id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return nics[0]


def _nic_command(nic: Nic, attribute: str, value: Any) -> ModifyNic:
    if attribute == "groupSet":
        return ModifyNic(nic_id=nic.id, groups=tuple(well_formed_ids(IdKind.SECURITY_GROUP, value)))
    return ModifyNic(nic_id=nic.id, source_dest_check=value)


def _fates(items: Sequence[Mapping[str, Any]], volumes: Sequence[Volume]) -> tuple[tuple[str, bool], ...]:
    """What ends with the instance, by the names of devices; of its volumes nothing else can be changed here.

    Raises Ec2Error: MissingParameter, UnsupportedOperation, InvalidInstanceAttributeValue for a device that
    the instance does not have.
    """
    found = []
    for number, item in enumerate(items, 1):
        name, ebs = item.get("DeviceName"), item.get("Ebs") or {}
        if not name:
            raise missing(f"BlockDeviceMapping.{number}.DeviceName")
        refuse_all(item, ("VirtualName",))
        if item.get("NoDevice") is not None:
            raise unsupported_value(item["NoDevice"], "NoDevice")
        if "DeleteOnTermination" not in ebs:
            raise missing(f"BlockDeviceMapping.{number}.Ebs.DeleteOnTermination")
        device = mapping.ROOT_DEVICE_NAME if is_root_device(name) else name
        mapped = [volume.id for volume in volumes if volume.device == device]
        if not mapped or ebs.get("VolumeId", mapped[0]) != mapped[0]:
            raise _no_device(name)
        found.append((device, bool(ebs["DeleteOnTermination"])))
    return tuple(found)


def _no_device(name: str) -> Ec2Error:
    return Ec2Error("InvalidInstanceAttributeValue", f"No device is currently mapped at {name[:80]}")


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
    if body is not None and attribute in {"blockDeviceMapping", "groupSet"}:
        return body
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
    if attribute == "blockDeviceMapping":
        raise missing("BlockDeviceMapping")
    if attribute == "groupSet":
        return [text]
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
        case "blockDeviceMapping":
            return ModifyInstance(instance_id=instance_id, delete_on_termination=value)
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
    """Give an attribute its default again (ResetInstanceAttribute); kernel and ramdisk never leave it."""
    instance = _instance(context, params)
    if params["Attribute"] not in _RESETTABLE:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({params['Attribute']}) for parameter attribute is invalid. It cannot be reset.",
        )
    if params["Attribute"] == "sourceDestCheck":
        nic = _only_nic(context, instance)
        context.engine.execute(context.caller, ModifyNic(nic_id=nic.id, source_dest_check=True))
    return {}


# Metadata options ---------------------------------------------------------------------------------------


def modify_instance_metadata_options(context: Ec2Context, params: Params) -> Document:
    """Change how an instance may use the metadata service (ModifyInstanceMetadataOptions)."""
    instance = _instance(context, params)
    still_there(instance)
    asked = {name: value for name, value in params.items() if name != "InstanceId"}
    options = metadata_options(asked, instance.metadata)
    changed = context.engine.execute(
        context.caller, ModifyMetadataOptions(instance_id=instance.id, options=options)
    )
    return {
        "InstanceId": changed.id,
        "InstanceMetadataOptions": mapping.metadata_options(changed.metadata),
    }
