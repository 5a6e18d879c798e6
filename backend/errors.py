"""Refusals of the backend: one exception, a stable code each.

Three rules for codes: never change a value, never reuse one, and give every new one an answer in both
faces (a test asserts that their tables are complete).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class ErrorClass(Enum):
    """What kind of refusal it is: who is wrong, and whether waiting may help."""

    INVALID = "invalid"
    NOT_FOUND = "not-found"
    EXISTS = "exists"
    WRONG_STATE = "wrong-state"
    CONFLICT = "conflict"
    NO_CAPACITY = "no-capacity"
    LIMIT = "limit"
    BUSY = "busy"
    DENIED = "denied"
    HOST_UNAVAILABLE = "host-unavailable"
    INTERNAL = "internal"


class Code(Enum):
    """Every reason for which the backend refuses a command."""

    PARAMETER_INVALID = "parameter.invalid"
    PARAMETER_MISSING = "parameter.missing"
    USER_DATA_TOO_LARGE = "user_data.too_large"
    TAG_INVALID = "tag.invalid"
    TAG_RESERVED = "tag.reserved"
    INSTANCE_NOT_FOUND = "instance.not_found"
    IMAGE_NOT_FOUND = "image.not_found"
    KEY_PAIR_NOT_FOUND = "key_pair.not_found"
    FLAVOR_NOT_FOUND = "flavor.not_found"
    ZONE_NOT_FOUND = "zone.not_found"
    VOLUME_NOT_FOUND = "volume.not_found"
    SNAPSHOT_NOT_FOUND = "snapshot.not_found"
    TASK_NOT_FOUND = "task.not_found"
    RESOURCE_NOT_FOUND = "resource.not_found"
    MIXIN_NOT_FOUND = "mixin.not_found"
    HOST_NOT_FOUND = "host.not_found"
    TENANT_NOT_FOUND = "tenant.not_found"
    USER_NOT_FOUND = "user.not_found"
    KEY_PAIR_EXISTS = "key_pair.exists"
    IMAGE_EXISTS = "image.exists"
    IMAGE_NAME_EXISTS = "image.name_exists"
    FLAVOR_EXISTS = "flavor.exists"
    HOST_EXISTS = "host.exists"
    TENANT_EXISTS = "tenant.exists"
    USER_EXISTS = "user.exists"
    ROLE_NOT_FOUND = "role.not_found"
    ROLE_EXISTS = "role.exists"
    MEMBERSHIP_NOT_FOUND = "membership.not_found"
    IDENTITY_NOT_FOUND = "identity.not_found"
    IDENTITY_EXISTS = "identity.exists"
    MIXIN_EXISTS = "mixin.exists"
    PATH_EXISTS = "path.exists"
    IMAGE_UNAVAILABLE = "image.unavailable"
    IMAGE_UNREADABLE = "image.unreadable"
    IMAGE_WRONG_STATE = "image.wrong_state"
    VOLUME_IN_USE = "volume.in_use"
    VOLUME_WRONG_STATE = "volume.wrong_state"
    VOLUME_NOT_ATTACHED = "volume.not_attached"
    VOLUME_ZONE_MISMATCH = "volume.zone_mismatch"
    VOLUME_IS_ROOT = "volume.is_root"
    VOLUME_BEING_MODIFIED = "volume.being_modified"
    DEVICE_IN_USE = "device.in_use"
    DEVICES_EXHAUSTED = "device.exhausted"
    SNAPSHOT_IN_USE = "snapshot.in_use"
    SNAPSHOT_WRONG_STATE = "snapshot.wrong_state"
    BLOCK_DEVICE_INVALID = "block_device.invalid"
    INSTANCE_WRONG_STATE = "instance.wrong_state"
    INSTANCE_BUSY = "instance.busy"
    INSTANCE_UNREACHABLE = "instance.unreachable"
    INSTANCE_LOCKED = "instance.locked"
    HIBERNATION_NOT_CONFIGURED = "instance.hibernation_not_configured"
    HOST_IN_USE = "host.in_use"
    FLAVOR_IN_USE = "flavor.in_use"
    TOKEN_MISMATCH = "token.mismatch"  # noqa: S105
    TOKEN_TERMINATED = "token.terminated"  # noqa: S105
    STALE = "version.stale"
    NO_CAPACITY = "capacity.none"
    VOLUME_CAPACITY = "capacity.volumes"
    ADDRESSES_EXHAUSTED = "capacity.addresses"
    QUOTA_INSTANCES = "quota.instances"
    QUOTA_CORES = "quota.cores"
    QUOTA_MEMORY = "quota.memory"
    QUOTA_KEY_PAIRS = "quota.key_pairs"
    QUOTA_IMAGES = "quota.images"
    QUOTA_VOLUMES = "quota.volumes"
    QUOTA_GIGABYTES = "quota.gigabytes"
    QUOTA_SNAPSHOTS = "quota.snapshots"
    TAG_LIMIT = "quota.tags"
    GROUP_NOT_FOUND = "security_group.not_found"
    RULE_NOT_FOUND = "security_rule.not_found"
    ROUTE_NOT_FOUND = "route.not_found"
    ACL_ENTRY_NOT_FOUND = "acl_entry.not_found"
    ASSOCIATION_NOT_FOUND = "association.not_found"
    ADDRESS_NOT_FOUND = "address.not_found"
    ATTACHMENT_NOT_FOUND = "attachment.not_found"
    GROUP_EXISTS = "security_group.exists"
    RULE_EXISTS = "security_rule.exists"
    ROUTE_EXISTS = "route.exists"
    ACL_ENTRY_EXISTS = "acl_entry.exists"
    DEFAULT_VPC_EXISTS = "vpc.default_exists"
    DEFAULT_SUBNET_EXISTS = "subnet.default_exists"
    PARAMETER_COMBINATION = "parameter.combination"
    VPC_RANGE = "vpc.range"
    CIDR_IN_USE = "vpc.cidr_in_use"
    CIDR_IS_PRIMARY = "vpc.cidr_is_primary"
    SUBNET_RANGE = "subnet.range"
    SUBNET_CONFLICT = "subnet.conflict"
    NETWORK_MISMATCH = "network.mismatch"
    NO_DEFAULT_VPC = "vpc.no_default"
    DEPENDENCY = "network.in_use"
    GROUP_IS_DEFAULT = "security_group.is_default"
    ADDRESS_IN_USE = "address.in_use"
    ALREADY_ASSOCIATED = "network.already_associated"
    GATEWAY_NOT_ATTACHED = "gateway.not_attached"
    NIC_IN_USE = "nic.in_use"
    NIC_WRONG_STATE = "nic.wrong_state"
    NIC_IS_PRIMARY = "nic.is_primary"
    NIC_NOT_YOURS = "nic.managed"
    NICS_EXHAUSTED = "nic.exhausted"
    NETWORK_DOWN = "network.down"
    PUBLIC_ADDRESSES_EXHAUSTED = "capacity.public_addresses"
    CIDR_LIMIT = "quota.cidrs"
    NETWORK_LIMIT = "quota.networks"
    LAUNCH_TEMPLATE_NOT_FOUND = "launch_template.not_found"
    LAUNCH_TEMPLATE_EXISTS = "launch_template.exists"
    LAUNCH_TEMPLATE_NAME_INVALID = "launch_template.name_invalid"
    LAUNCH_TEMPLATE_VERSION_NOT_FOUND = "launch_template_version.not_found"
    LAUNCH_TEMPLATE_VERSION_IS_DEFAULT = "launch_template_version.is_default"
    LAUNCH_TEMPLATE_LIMIT = "quota.launch_templates"
    PLACEMENT_GROUP_NOT_FOUND = "placement_group.not_found"
    PLACEMENT_GROUP_EXISTS = "placement_group.exists"
    PLACEMENT_GROUP_IN_USE = "placement_group.in_use"
    QUOTA_VPCS = "quota.vpcs"
    QUOTA_NICS = "quota.nics"
    QUOTA_GROUPS = "quota.security_groups"
    QUOTA_RULES = "quota.security_group_rules"
    QUOTA_ADDRESSES = "quota.floating_ips"
    DENIED = "denied"
    NOT_OWNER = "denied.not_owner"
    HOST_UNAVAILABLE = "host.unavailable"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


CLASSES: Mapping[Code, ErrorClass] = {
    Code.PARAMETER_INVALID: ErrorClass.INVALID,
    Code.PARAMETER_MISSING: ErrorClass.INVALID,
    Code.USER_DATA_TOO_LARGE: ErrorClass.INVALID,
    Code.TAG_INVALID: ErrorClass.INVALID,
    Code.TAG_RESERVED: ErrorClass.INVALID,
    Code.INSTANCE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.IMAGE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.KEY_PAIR_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.FLAVOR_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ZONE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.VOLUME_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.SNAPSHOT_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.TASK_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.RESOURCE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.MIXIN_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.HOST_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.TENANT_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.USER_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.KEY_PAIR_EXISTS: ErrorClass.EXISTS,
    Code.IMAGE_EXISTS: ErrorClass.EXISTS,
    Code.IMAGE_NAME_EXISTS: ErrorClass.EXISTS,
    Code.FLAVOR_EXISTS: ErrorClass.EXISTS,
    Code.HOST_EXISTS: ErrorClass.EXISTS,
    Code.TENANT_EXISTS: ErrorClass.EXISTS,
    Code.USER_EXISTS: ErrorClass.EXISTS,
    Code.ROLE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ROLE_EXISTS: ErrorClass.EXISTS,
    Code.MEMBERSHIP_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.IDENTITY_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.IDENTITY_EXISTS: ErrorClass.EXISTS,
    Code.MIXIN_EXISTS: ErrorClass.EXISTS,
    Code.PATH_EXISTS: ErrorClass.EXISTS,
    Code.IMAGE_UNAVAILABLE: ErrorClass.WRONG_STATE,
    Code.IMAGE_UNREADABLE: ErrorClass.INVALID,
    Code.IMAGE_WRONG_STATE: ErrorClass.WRONG_STATE,
    Code.VOLUME_IN_USE: ErrorClass.WRONG_STATE,
    Code.VOLUME_WRONG_STATE: ErrorClass.WRONG_STATE,
    Code.VOLUME_NOT_ATTACHED: ErrorClass.WRONG_STATE,
    Code.VOLUME_ZONE_MISMATCH: ErrorClass.WRONG_STATE,
    Code.VOLUME_IS_ROOT: ErrorClass.WRONG_STATE,
    Code.VOLUME_BEING_MODIFIED: ErrorClass.WRONG_STATE,
    Code.DEVICE_IN_USE: ErrorClass.CONFLICT,
    Code.DEVICES_EXHAUSTED: ErrorClass.LIMIT,
    Code.SNAPSHOT_IN_USE: ErrorClass.WRONG_STATE,
    Code.SNAPSHOT_WRONG_STATE: ErrorClass.WRONG_STATE,
    Code.BLOCK_DEVICE_INVALID: ErrorClass.INVALID,
    Code.INSTANCE_WRONG_STATE: ErrorClass.WRONG_STATE,
    Code.INSTANCE_BUSY: ErrorClass.BUSY,
    Code.INSTANCE_UNREACHABLE: ErrorClass.WRONG_STATE,
    Code.INSTANCE_LOCKED: ErrorClass.DENIED,
    Code.HIBERNATION_NOT_CONFIGURED: ErrorClass.WRONG_STATE,
    Code.HOST_IN_USE: ErrorClass.WRONG_STATE,
    Code.FLAVOR_IN_USE: ErrorClass.WRONG_STATE,
    Code.TOKEN_MISMATCH: ErrorClass.CONFLICT,
    Code.TOKEN_TERMINATED: ErrorClass.CONFLICT,
    Code.STALE: ErrorClass.CONFLICT,
    Code.NO_CAPACITY: ErrorClass.NO_CAPACITY,
    Code.VOLUME_CAPACITY: ErrorClass.NO_CAPACITY,
    Code.ADDRESSES_EXHAUSTED: ErrorClass.NO_CAPACITY,
    Code.QUOTA_INSTANCES: ErrorClass.LIMIT,
    Code.QUOTA_CORES: ErrorClass.LIMIT,
    Code.QUOTA_MEMORY: ErrorClass.LIMIT,
    Code.QUOTA_KEY_PAIRS: ErrorClass.LIMIT,
    Code.QUOTA_IMAGES: ErrorClass.LIMIT,
    Code.QUOTA_VOLUMES: ErrorClass.LIMIT,
    Code.QUOTA_GIGABYTES: ErrorClass.LIMIT,
    Code.QUOTA_SNAPSHOTS: ErrorClass.LIMIT,
    Code.TAG_LIMIT: ErrorClass.LIMIT,
    Code.GROUP_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.RULE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ROUTE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ACL_ENTRY_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ASSOCIATION_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ADDRESS_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.ATTACHMENT_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.GROUP_EXISTS: ErrorClass.EXISTS,
    Code.RULE_EXISTS: ErrorClass.EXISTS,
    Code.ROUTE_EXISTS: ErrorClass.EXISTS,
    Code.ACL_ENTRY_EXISTS: ErrorClass.EXISTS,
    Code.DEFAULT_VPC_EXISTS: ErrorClass.EXISTS,
    Code.DEFAULT_SUBNET_EXISTS: ErrorClass.EXISTS,
    Code.PARAMETER_COMBINATION: ErrorClass.INVALID,
    Code.VPC_RANGE: ErrorClass.INVALID,
    Code.CIDR_IN_USE: ErrorClass.WRONG_STATE,
    Code.CIDR_IS_PRIMARY: ErrorClass.WRONG_STATE,
    Code.SUBNET_RANGE: ErrorClass.INVALID,
    Code.SUBNET_CONFLICT: ErrorClass.CONFLICT,
    Code.NETWORK_MISMATCH: ErrorClass.INVALID,
    Code.NO_DEFAULT_VPC: ErrorClass.INVALID,
    Code.DEPENDENCY: ErrorClass.WRONG_STATE,
    Code.GROUP_IS_DEFAULT: ErrorClass.WRONG_STATE,
    Code.ADDRESS_IN_USE: ErrorClass.CONFLICT,
    Code.ALREADY_ASSOCIATED: ErrorClass.CONFLICT,
    Code.GATEWAY_NOT_ATTACHED: ErrorClass.WRONG_STATE,
    Code.NIC_IN_USE: ErrorClass.WRONG_STATE,
    Code.NIC_WRONG_STATE: ErrorClass.WRONG_STATE,
    Code.NIC_IS_PRIMARY: ErrorClass.WRONG_STATE,
    Code.NIC_NOT_YOURS: ErrorClass.DENIED,
    Code.NICS_EXHAUSTED: ErrorClass.LIMIT,
    Code.NETWORK_DOWN: ErrorClass.WRONG_STATE,
    Code.PUBLIC_ADDRESSES_EXHAUSTED: ErrorClass.NO_CAPACITY,
    Code.CIDR_LIMIT: ErrorClass.LIMIT,
    Code.NETWORK_LIMIT: ErrorClass.LIMIT,
    Code.LAUNCH_TEMPLATE_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.LAUNCH_TEMPLATE_EXISTS: ErrorClass.EXISTS,
    Code.LAUNCH_TEMPLATE_NAME_INVALID: ErrorClass.INVALID,
    Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT: ErrorClass.WRONG_STATE,
    Code.LAUNCH_TEMPLATE_LIMIT: ErrorClass.LIMIT,
    Code.PLACEMENT_GROUP_NOT_FOUND: ErrorClass.NOT_FOUND,
    Code.PLACEMENT_GROUP_EXISTS: ErrorClass.EXISTS,
    Code.PLACEMENT_GROUP_IN_USE: ErrorClass.WRONG_STATE,
    Code.QUOTA_VPCS: ErrorClass.LIMIT,
    Code.QUOTA_NICS: ErrorClass.LIMIT,
    Code.QUOTA_GROUPS: ErrorClass.LIMIT,
    Code.QUOTA_RULES: ErrorClass.LIMIT,
    Code.QUOTA_ADDRESSES: ErrorClass.LIMIT,
    Code.DENIED: ErrorClass.DENIED,
    Code.NOT_OWNER: ErrorClass.DENIED,
    Code.HOST_UNAVAILABLE: ErrorClass.HOST_UNAVAILABLE,
    Code.UNSUPPORTED: ErrorClass.INVALID,
    Code.INTERNAL: ErrorClass.INTERNAL,
}


class BackendError(Exception):
    """A command was refused; nothing has changed.

    Attributes:
        code: the stable reason.
        message: one sentence for a person; never holds a secret.
        context: facts for the faces, such as ``ids`` (those not found), ``state``, ``parameter``, ``value``.
    """

    def __init__(self, code: Code, message: str, **context: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context: Mapping[str, object] = context

    @property
    def error_class(self) -> ErrorClass:
        """The class of the refusal."""
        return CLASSES[self.code]

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later without a change by the caller."""
        return self.error_class in {ErrorClass.BUSY, ErrorClass.NO_CAPACITY, ErrorClass.HOST_UNAVAILABLE}


class DryRunPassed(Exception):  # noqa: N818 - it reports a success
    """The command would have been accepted; it was rolled back because the caller asked for a dry run."""
