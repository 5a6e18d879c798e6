"""The backend's refusals in EC2's words: one table, complete (a test asserts it).

Codes are those of the EC2 API reference, "Error codes"; messages that clients compare are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from backend.errors import BackendError, Code
from backend.model import ImageState
from ec2.errors import Ec2Error
from ec2.ids import IMAGE_UNAVAILABLE, UNKNOWN_ID, IdKind, kind_of, not_found

Builder = Callable[[BackendError], Ec2Error]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A code with its sentence; without one, the backend's own."""

    code: str
    message: str = ""

    def __call__(self, error: BackendError) -> Ec2Error:
        """The EC2 error."""
        return Ec2Error(self.code, self.message or error.message)


def _ids(error: BackendError) -> Sequence[str]:
    ids = error.context.get("ids", ())
    return [str(item) for item in ids] if isinstance(ids, tuple | list) else []


def _name(error: BackendError) -> str:
    return str(error.context.get("name", ""))


def _missing(kind: IdKind) -> Builder:
    return lambda error: not_found(kind, _ids(error))


def _resource(error: BackendError) -> Ec2Error:
    """A thing to be tagged that is not there: its kind's NotFound, else the id is of no kind."""
    ids = _ids(error)
    kind = kind_of(ids[0]) if ids else None
    return not_found(kind, ids) if kind is not None else UNKNOWN_ID.error(ids)


def _attachment(error: BackendError) -> Ec2Error:
    """An attachment that is not there; an interface without one is told in the backend's words."""
    ids = _ids(error)
    if ids and ids[0].startswith(IdKind.NETWORK_INTERFACE_ATTACHMENT.value):
        return not_found(IdKind.NETWORK_INTERFACE_ATTACHMENT, ids)
    return Ec2Error("InvalidAttachmentID.NotFound", error.message)


def _parameter(error: BackendError) -> Ec2Error:
    if error.context.get("dependency"):
        return Ec2Error("InvalidParameterDependency", error.message)
    value, name = error.context.get("value"), str(error.context.get("parameter", ""))
    if value is None or not name:
        return Ec2Error("InvalidParameterValue", error.message)
    word = name[:1].lower() + name[1:]
    message = f"Value ({str(value)[:120]}) for parameter {word} is invalid. {error.message}"
    return Ec2Error("InvalidParameterValue", message)


def _missing_parameter(error: BackendError) -> Ec2Error:
    name = str(error.context.get("parameter", ""))
    wire = {"image": "ImageId", "iops": "iops"}.get(name, name[:1].upper() + name[1:])
    return Ec2Error("MissingParameter", f"The request must contain the parameter {wire}")


_UNAVAILABLE: Mapping[str, str] = {
    ImageState.LOCKED.value: "is pending",
    ImageState.DISABLED.value: "is disabled",
    ImageState.ERROR.value: "has failed",
    ImageState.READY.value: "is not published, or was revoked,",
}


def _image_unavailable(error: BackendError) -> Ec2Error:
    """An image that is there and cannot be launched now, or was deregistered."""
    ids, word = _ids(error), _UNAVAILABLE.get(str(error.context.get("state", "")))
    if not ids or word is None:
        return IMAGE_UNAVAILABLE.error(ids)
    return Ec2Error(IMAGE_UNAVAILABLE.code, f"The image id '[{ids[0]}]' {word} and cannot be used now")


_VERBS = {
    "start": "started",
    "poweroff": "stopped",
    "poweroff_hard": "stopped",
    "suspend": "stopped",
    "reboot": "rebooted",
    "terminate": "terminated",
    "cancel": "terminated",
    "modify": "modified",
    "resize": "modified",
    "change user data": "modified",
    "create_image": "saved as an image",
}


_PLUGGING: Mapping[str, str] = {
    "attach a volume to": "volumes are attached or detached",
    "detach a volume from": "volumes are attached or detached",
    "attach a network interface to": "network interfaces are attached or detached",
    "detach a network interface from": "network interfaces are attached or detached",
    "associate an address with": "addresses are associated",
}


def _wrong_state(error: BackendError) -> Ec2Error:
    op = str(error.context.get("op", ""))
    verb = _VERBS.get(op)
    ids = _ids(error)
    if op in _PLUGGING and ids:
        sentence = f"The instance '{ids[0]}' is not in a state in which {_PLUGGING[op]}."
        return Ec2Error("IncorrectInstanceState", sentence)
    if verb is None or not ids:
        return Ec2Error("IncorrectInstanceState", error.message)
    if verb == "modified" and str(error.context.get("state", "")).startswith("susp"):
        # EC2 calls it stopped like any other, and "not stopped" would be no help.
        return Ec2Error(
            "IncorrectInstanceState", f"The instance '{ids[0]}' is hibernated; start and stop it first."
        )
    sentence = f"The instance '{ids[0]}' is not in a state from which it can be {verb}."
    return Ec2Error("IncorrectInstanceState", sentence)


_UNFIT = frozenset({"modify"})


def _volume_state(error: BackendError) -> Ec2Error:
    """A volume that cannot be worked on now; EC2 has a code of its own for modifications."""
    code = "IncorrectModificationState" if error.context.get("op") in _UNFIT else "IncorrectState"
    ids, state = _ids(error), error.context.get("state")
    if not ids or not state:
        return Ec2Error(code, error.message)
    return Ec2Error(code, f"Volume '{ids[0]}' is in the '{state}' state.")


def _not_attached(error: BackendError) -> Ec2Error:
    ids, instance, device = _ids(error), error.context.get("instance"), error.context.get("device")
    if not ids or not instance:
        return Ec2Error("InvalidAttachment.NotFound", error.message)
    place = f" as device {str(device)[:80]}" if device else ""
    sentence = f"The volume {ids[0]} is not attached to instance {instance}{place}"
    return Ec2Error("InvalidAttachment.NotFound", sentence)


def _device_in_use(error: BackendError) -> Ec2Error:
    device = str(error.context.get("device", ""))[:80]
    return Ec2Error(
        "InvalidParameterValue",
        f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
    )


def _snapshot_state(error: BackendError) -> Ec2Error:
    state = str(error.context.get("state", "unknown"))
    return Ec2Error("IncorrectState", f"Snapshot '{', '.join(_ids(error))}' is in the '{state}' state.")


_LOCKS = {"terminate": ("terminated", "disableApiTermination"), "stop": ("stopped", "disableApiStop")}


def _locked(error: BackendError) -> Ec2Error:
    verb, attribute = _LOCKS[str(error.context.get("lock", "terminate"))]
    return Ec2Error(
        "OperationNotPermitted",
        f"The instance '{', '.join(_ids(error))}' may not be {verb}. "
        f"Modify its '{attribute}' instance attribute and try again.",
    )


def _hibernation(error: BackendError) -> Ec2Error:
    sentence = f"The instance '{', '.join(_ids(error))}' is not configured for hibernation."
    return Ec2Error("UnsupportedHibernationConfiguration", sentence)


def _not_owner(error: BackendError) -> Ec2Error:
    ids = _ids(error)
    word = _OWNED.get(kind_of(ids[0]) if ids else None, "image")
    return Ec2Error("AuthFailure", f"Not authorized for {word}:{', '.join(ids)}")


_OWNED: Mapping[IdKind | None, str] = {IdKind.SNAPSHOT: "snapshot", IdKind.VOLUME: "volume"}


ANSWERS: Mapping[Code, Builder] = {
    Code.PARAMETER_INVALID: _parameter,
    Code.PARAMETER_MISSING: _missing_parameter,
    Code.USER_DATA_TOO_LARGE: Answer(
        code="InvalidParameterValue", message="User data is limited to 16384 bytes"
    ),
    Code.TAG_INVALID: Answer(code="InvalidParameterValue"),
    Code.TAG_RESERVED: Answer(
        code="InvalidParameterValue", message="Tag keys starting with 'aws:' are reserved for internal use"
    ),
    Code.INSTANCE_NOT_FOUND: _missing(IdKind.INSTANCE),
    Code.IMAGE_NOT_FOUND: _missing(IdKind.IMAGE),
    Code.KEY_PAIR_NOT_FOUND: lambda error: not_found(IdKind.KEY_PAIR, [_name(error)]),
    Code.FLAVOR_NOT_FOUND: lambda error: Ec2Error(
        "InvalidParameterValue", f"Invalid value '{_name(error)[:120]}' for InstanceType."
    ),
    Code.ZONE_NOT_FOUND: lambda error: Ec2Error(
        "InvalidParameterValue", f"Invalid availability zone: [{_name(error)[:120]}]"
    ),
    Code.VOLUME_NOT_FOUND: _missing(IdKind.VOLUME),
    Code.SNAPSHOT_NOT_FOUND: _missing(IdKind.SNAPSHOT),
    Code.TASK_NOT_FOUND: _missing(IdKind.IMAGE_IMPORT),
    Code.RESOURCE_NOT_FOUND: _resource,
    # Nouns that EC2 has no word for: no action of this face leads to them.
    Code.MIXIN_NOT_FOUND: Answer(code="InvalidID.NotFound"),
    Code.HOST_NOT_FOUND: Answer(code="InvalidHostID.NotFound"),
    Code.TENANT_NOT_FOUND: Answer(
        code="AuthFailure", message="AWS was not able to validate the provided access credentials"
    ),
    Code.USER_NOT_FOUND: Answer(
        code="AuthFailure", message="AWS was not able to validate the provided access credentials"
    ),
    Code.KEY_PAIR_EXISTS: lambda error: Ec2Error(
        "InvalidKeyPair.Duplicate", f"The keypair '{_name(error)}' already exists."
    ),
    Code.IMAGE_EXISTS: Answer(code="InvalidAMIID.Duplicate"),
    Code.IMAGE_NAME_EXISTS: Answer(code="InvalidAMIName.Duplicate"),
    Code.FLAVOR_EXISTS: Answer(code="InvalidInstanceType.Duplicate"),
    Code.HOST_EXISTS: Answer(code="InvalidHost.Duplicate"),
    Code.TENANT_EXISTS: Answer(code="InvalidAccount.Duplicate"),
    Code.USER_EXISTS: Answer(code="InvalidUser.Duplicate"),
    Code.ROLE_NOT_FOUND: Answer(code="NoSuchEntity"),
    Code.ROLE_EXISTS: Answer(code="EntityAlreadyExists"),
    Code.MEMBERSHIP_NOT_FOUND: Answer(code="NoSuchEntity"),
    Code.IDENTITY_NOT_FOUND: Answer(code="NoSuchEntity"),
    Code.IDENTITY_EXISTS: Answer(code="EntityAlreadyExists"),
    Code.MIXIN_EXISTS: Answer(code="InvalidParameterValue"),
    Code.PATH_EXISTS: Answer(code="InvalidParameterValue"),
    Code.IMAGE_UNAVAILABLE: _image_unavailable,
    Code.IMAGE_UNREADABLE: Answer(code="InvalidParameterValue"),
    Code.IMAGE_WRONG_STATE: Answer(code="IncorrectState"),
    Code.VOLUME_IN_USE: Answer(code="VolumeInUse"),
    Code.VOLUME_WRONG_STATE: _volume_state,
    Code.VOLUME_NOT_ATTACHED: _not_attached,
    Code.VOLUME_ZONE_MISMATCH: Answer(code="InvalidVolume.ZoneMismatch"),
    Code.VOLUME_IS_ROOT: Answer(code="OperationNotPermitted"),
    Code.VOLUME_BEING_MODIFIED: Answer(code="IncorrectModificationState"),
    Code.DEVICE_IN_USE: _device_in_use,
    Code.DEVICES_EXHAUSTED: Answer(code="AttachmentLimitExceeded"),
    Code.SNAPSHOT_IN_USE: Answer(code="InvalidSnapshot.InUse"),
    Code.SNAPSHOT_WRONG_STATE: _snapshot_state,
    Code.BLOCK_DEVICE_INVALID: Answer(code="InvalidBlockDeviceMapping"),
    Code.INSTANCE_WRONG_STATE: _wrong_state,
    Code.INSTANCE_BUSY: Answer(code="IncorrectInstanceState"),
    Code.INSTANCE_UNREACHABLE: Answer(code="IncorrectInstanceState"),
    Code.INSTANCE_LOCKED: _locked,
    Code.HIBERNATION_NOT_CONFIGURED: _hibernation,
    Code.HOST_IN_USE: Answer(code="IncorrectState"),
    Code.FLAVOR_IN_USE: Answer(code="IncorrectState"),
    Code.TOKEN_MISMATCH: Answer(
        code="IdempotentParameterMismatch",
        message="Arguments on this idempotent request are inconsistent with arguments used in previous "
        "request(s).",
    ),
    Code.TOKEN_TERMINATED: Answer(
        code="IdempotentInstanceTerminated",
        message="The instances launched with this client token have been terminated; use another token.",
    ),
    Code.STALE: Answer(code="Unavailable", message="The resource is being changed; please try again."),
    Code.NO_CAPACITY: Answer(code="InsufficientInstanceCapacity"),
    Code.VOLUME_CAPACITY: Answer(code="InsufficientVolumeCapacity"),
    Code.ADDRESSES_EXHAUSTED: Answer(code="InsufficientFreeAddressesInSubnet"),
    Code.QUOTA_INSTANCES: Answer(code="InstanceLimitExceeded"),
    Code.QUOTA_CORES: Answer(code="VcpuLimitExceeded"),
    Code.QUOTA_MEMORY: Answer(code="InstanceLimitExceeded"),
    Code.QUOTA_KEY_PAIRS: Answer(code="ResourceLimitExceeded"),
    Code.QUOTA_IMAGES: Answer(code="ResourceLimitExceeded"),
    Code.QUOTA_VOLUMES: Answer(code="VolumeLimitExceeded"),
    Code.QUOTA_GIGABYTES: Answer(code="VolumeLimitExceeded"),
    Code.QUOTA_SNAPSHOTS: Answer(code="SnapshotLimitExceeded"),
    Code.TAG_LIMIT: Answer(
        code="TagLimitExceeded", message="The maximum number of Tags for a resource has been reached."
    ),
    Code.GROUP_NOT_FOUND: lambda error: not_found(IdKind.SECURITY_GROUP, _ids(error) or [_name(error)]),
    Code.RULE_NOT_FOUND: Answer(code="InvalidPermission.NotFound"),
    Code.ROUTE_NOT_FOUND: Answer(code="InvalidRoute.NotFound"),
    Code.ACL_ENTRY_NOT_FOUND: Answer(code="InvalidNetworkAclEntry.NotFound"),
    Code.ASSOCIATION_NOT_FOUND: Answer(code="InvalidAssociationID.NotFound"),
    Code.ADDRESS_NOT_FOUND: Answer(code="InvalidAddress.NotFound"),
    Code.ATTACHMENT_NOT_FOUND: _attachment,
    Code.GROUP_EXISTS: lambda error: Ec2Error(
        "InvalidGroup.Duplicate", f"The security group '{_name(error)}' already exists"
    ),
    Code.RULE_EXISTS: Answer(code="InvalidPermission.Duplicate"),
    Code.ROUTE_EXISTS: Answer(code="RouteAlreadyExists"),
    Code.ACL_ENTRY_EXISTS: Answer(code="NetworkAclEntryAlreadyExists"),
    Code.DEFAULT_VPC_EXISTS: Answer(code="DefaultVpcAlreadyExists"),
    Code.DEFAULT_SUBNET_EXISTS: Answer(code="DefaultSubnetAlreadyExistsInAvailabilityZone"),
    Code.PARAMETER_COMBINATION: Answer(code="InvalidParameterCombination"),
    Code.VPC_RANGE: Answer(code="InvalidVpc.Range"),
    Code.CIDR_IN_USE: Answer(code="InvalidCidrBlock.InUse"),
    Code.CIDR_IS_PRIMARY: Answer(code="OperationNotPermitted"),
    Code.SUBNET_RANGE: Answer(code="InvalidSubnet.Range"),
    Code.SUBNET_CONFLICT: Answer(code="InvalidSubnet.Conflict"),
    Code.NETWORK_MISMATCH: Answer(code="InvalidParameter"),
    Code.NO_DEFAULT_VPC: Answer(code="VPCIdNotSpecified"),
    Code.DEPENDENCY: Answer(code="DependencyViolation"),
    Code.GROUP_IS_DEFAULT: Answer(code="CannotDelete"),
    Code.ADDRESS_IN_USE: Answer(code="InvalidIPAddress.InUse"),
    Code.ALREADY_ASSOCIATED: Answer(code="Resource.AlreadyAssociated"),
    Code.GATEWAY_NOT_ATTACHED: Answer(code="Gateway.NotAttached"),
    Code.NIC_IN_USE: Answer(code="InvalidNetworkInterface.InUse"),
    Code.NIC_WRONG_STATE: Answer(code="IncorrectState"),
    Code.NIC_IS_PRIMARY: Answer(code="OperationNotPermitted"),
    Code.NIC_NOT_YOURS: Answer(code="OperationNotPermitted"),
    Code.NICS_EXHAUSTED: Answer(code="AttachmentLimitExceeded"),
    Code.NETWORK_DOWN: Answer(code="IncorrectState"),
    Code.PUBLIC_ADDRESSES_EXHAUSTED: Answer(code="InsufficientAddressCapacity"),
    Code.CIDR_LIMIT: Answer(code="CidrLimitExceeded"),
    Code.NETWORK_LIMIT: lambda error: Ec2Error(
        f"{error.context.get('noun', 'Resource')}LimitExceeded", error.message
    ),
    Code.LAUNCH_TEMPLATE_NOT_FOUND: Answer(code="InvalidLaunchTemplateName.NotFoundException"),
    Code.LAUNCH_TEMPLATE_EXISTS: Answer(
        code="InvalidLaunchTemplateName.AlreadyExistsException",
        message="Launch template name already in use.",
    ),
    Code.LAUNCH_TEMPLATE_NAME_INVALID: Answer(
        code="InvalidLaunchTemplateName.MalformedException",
        message="A launch template name must be between 3 and 128 characters, and may contain letters, "
        "numbers, and the following characters: - ( ) . / _.",
    ),
    Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND: Answer(code="InvalidLaunchTemplateId.VersionNotFound"),
    Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT: Answer(code="OperationNotPermitted"),
    Code.LAUNCH_TEMPLATE_LIMIT: Answer(code="ResourceLimitExceeded"),
    Code.PLACEMENT_GROUP_NOT_FOUND: lambda error: not_found(
        IdKind.PLACEMENT_GROUP, _ids(error) or [_name(error)]
    ),
    Code.PLACEMENT_GROUP_EXISTS: Answer(code="InvalidPlacementGroup.Duplicate"),
    Code.PLACEMENT_GROUP_IN_USE: Answer(code="InvalidPlacementGroup.InUse"),
    Code.QUOTA_VPCS: Answer(code="VpcLimitExceeded"),
    Code.QUOTA_NICS: Answer(code="NetworkInterfaceLimitExceeded"),
    Code.QUOTA_GROUPS: Answer(code="SecurityGroupLimitExceeded"),
    Code.QUOTA_RULES: Answer(code="RulesPerSecurityGroupLimitExceeded"),
    Code.QUOTA_ADDRESSES: Answer(code="AddressLimitExceeded"),
    Code.DENIED: Answer(
        code="UnauthorizedOperation", message="You are not authorized to perform this operation."
    ),
    Code.NOT_OWNER: _not_owner,
    Code.HOST_UNAVAILABLE: Answer(code="Unavailable"),
    Code.UNSUPPORTED: Answer(code="UnsupportedOperation"),
    Code.INTERNAL: Answer(code="InternalError", message="An internal error has occurred"),
}
"""What EC2 says to each reason for which the backend refuses a command."""


def from_backend(error: BackendError) -> Ec2Error:
    """The EC2 error of a refusal."""
    return ANSWERS[error.code](error)
