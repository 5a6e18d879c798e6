"""OCCI's answers to refusals: one exception for its own, and one table for the backend's codes."""

from __future__ import annotations

from collections.abc import Mapping

from backend.errors import BackendError, Code
from rendering.occi_document import Failure

#: The HTTP status for each of the backend's refusals (HTTP 5.4). A quota is a 403, for clients take a 409 at
#: creation as an invitation to try again (OCCI-REAL-10).
STATUS: Mapping[Code, int] = {
    Code.PARAMETER_INVALID: 400,
    Code.PARAMETER_MISSING: 400,
    Code.USER_DATA_TOO_LARGE: 400,
    Code.TAG_INVALID: 400,
    Code.TAG_RESERVED: 400,
    Code.INSTANCE_NOT_FOUND: 404,
    Code.IMAGE_NOT_FOUND: 404,
    Code.KEY_PAIR_NOT_FOUND: 404,
    Code.FLAVOR_NOT_FOUND: 404,
    Code.ZONE_NOT_FOUND: 404,
    Code.VOLUME_NOT_FOUND: 404,
    Code.SNAPSHOT_NOT_FOUND: 404,
    Code.TASK_NOT_FOUND: 404,
    Code.RESOURCE_NOT_FOUND: 404,
    Code.MIXIN_NOT_FOUND: 404,
    Code.HOST_NOT_FOUND: 404,
    Code.TENANT_NOT_FOUND: 404,
    Code.USER_NOT_FOUND: 404,
    Code.KEY_PAIR_EXISTS: 409,
    Code.IMAGE_EXISTS: 409,
    Code.IMAGE_NAME_EXISTS: 409,
    Code.FLAVOR_EXISTS: 409,
    Code.HOST_EXISTS: 409,
    Code.TENANT_EXISTS: 409,
    Code.USER_EXISTS: 409,
    Code.ROLE_NOT_FOUND: 404,
    Code.ROLE_EXISTS: 409,
    Code.MEMBERSHIP_NOT_FOUND: 404,
    Code.IDENTITY_NOT_FOUND: 404,
    Code.IDENTITY_EXISTS: 409,
    Code.MIXIN_EXISTS: 409,
    Code.PATH_EXISTS: 409,
    Code.IMAGE_UNAVAILABLE: 409,
    Code.IMAGE_UNREADABLE: 400,
    Code.IMAGE_WRONG_STATE: 409,
    Code.VOLUME_IN_USE: 409,
    Code.VOLUME_WRONG_STATE: 409,
    Code.VOLUME_NOT_ATTACHED: 409,
    Code.VOLUME_ZONE_MISMATCH: 409,
    Code.VOLUME_IS_ROOT: 409,
    Code.VOLUME_BEING_MODIFIED: 409,
    Code.DEVICE_IN_USE: 409,
    Code.DEVICES_EXHAUSTED: 409,
    Code.SNAPSHOT_IN_USE: 409,
    Code.SNAPSHOT_WRONG_STATE: 409,
    Code.BLOCK_DEVICE_INVALID: 400,
    Code.INSTANCE_WRONG_STATE: 409,
    Code.INSTANCE_BUSY: 409,
    Code.INSTANCE_UNREACHABLE: 409,
    Code.INSTANCE_LOCKED: 403,
    Code.HIBERNATION_NOT_CONFIGURED: 409,
    Code.HOST_IN_USE: 409,
    Code.FLAVOR_IN_USE: 409,
    Code.TOKEN_MISMATCH: 409,
    Code.TOKEN_TERMINATED: 409,
    Code.STALE: 409,
    Code.NO_CAPACITY: 503,
    Code.VOLUME_CAPACITY: 503,
    Code.ADDRESSES_EXHAUSTED: 503,
    Code.QUOTA_INSTANCES: 403,
    Code.QUOTA_CORES: 403,
    Code.QUOTA_MEMORY: 403,
    Code.QUOTA_KEY_PAIRS: 403,
    Code.QUOTA_IMAGES: 403,
    Code.QUOTA_VOLUMES: 403,
    Code.QUOTA_GIGABYTES: 403,
    Code.QUOTA_SNAPSHOTS: 403,
    Code.TAG_LIMIT: 403,
    Code.GROUP_NOT_FOUND: 404,
    Code.RULE_NOT_FOUND: 404,
    Code.ROUTE_NOT_FOUND: 404,
    Code.ACL_ENTRY_NOT_FOUND: 404,
    Code.ASSOCIATION_NOT_FOUND: 404,
    Code.ADDRESS_NOT_FOUND: 404,
    Code.ATTACHMENT_NOT_FOUND: 404,
    Code.GROUP_EXISTS: 409,
    Code.RULE_EXISTS: 409,
    Code.ROUTE_EXISTS: 409,
    Code.ACL_ENTRY_EXISTS: 409,
    Code.DEFAULT_VPC_EXISTS: 409,
    Code.DEFAULT_SUBNET_EXISTS: 409,
    Code.PARAMETER_COMBINATION: 400,
    Code.VPC_RANGE: 400,
    Code.CIDR_IN_USE: 409,
    Code.CIDR_IS_PRIMARY: 409,
    Code.SUBNET_RANGE: 400,
    Code.SUBNET_CONFLICT: 409,
    Code.NETWORK_MISMATCH: 400,
    Code.NO_DEFAULT_VPC: 400,
    Code.DEPENDENCY: 409,
    Code.GROUP_IS_DEFAULT: 409,
    Code.ADDRESS_IN_USE: 409,
    Code.ALREADY_ASSOCIATED: 409,
    Code.GATEWAY_NOT_ATTACHED: 409,
    Code.NIC_IN_USE: 409,
    Code.NIC_WRONG_STATE: 409,
    Code.NIC_IS_PRIMARY: 409,
    Code.NIC_NOT_YOURS: 403,
    Code.NICS_EXHAUSTED: 409,
    Code.NETWORK_DOWN: 409,
    Code.PUBLIC_ADDRESSES_EXHAUSTED: 503,
    Code.CIDR_LIMIT: 403,
    Code.NETWORK_LIMIT: 403,
    Code.PLACEMENT_GROUP_NOT_FOUND: 404,
    Code.PLACEMENT_GROUP_EXISTS: 409,
    Code.PLACEMENT_GROUP_IN_USE: 409,
    Code.LAUNCH_TEMPLATE_NOT_FOUND: 404,
    Code.LAUNCH_TEMPLATE_EXISTS: 409,
    Code.LAUNCH_TEMPLATE_NAME_INVALID: 400,
    Code.LAUNCH_TEMPLATE_VERSION_NOT_FOUND: 404,
    Code.LAUNCH_TEMPLATE_VERSION_IS_DEFAULT: 409,
    Code.LAUNCH_TEMPLATE_LIMIT: 403,
    Code.QUOTA_VPCS: 403,
    Code.QUOTA_NICS: 403,
    Code.QUOTA_GROUPS: 403,
    Code.QUOTA_RULES: 403,
    Code.QUOTA_ADDRESSES: 403,
    Code.DENIED: 403,
    Code.NOT_OWNER: 403,
    Code.HOST_UNAVAILABLE: 503,
    Code.UNSUPPORTED: 501,
    Code.INTERNAL: 500,
}


class OcciError(Exception):
    """A request that OCCI refuses before the backend sees it; nothing has changed.

    ``allow`` are the methods to name with a 405.
    """

    def __init__(self, status: int, message: str, *, allow: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.allow = allow


_CODES = {
    400: "request.invalid",
    403: "request.refused",
    404: "not_found",
    405: "method.not_allowed",
    406: "rendering.not_acceptable",
    409: "conflict",
    412: "precondition.failed",
    413: "request.too_large",
    501: "unsupported",
}


def failure(error: OcciError | BackendError) -> Failure:
    """The document for a refusal."""
    if isinstance(error, BackendError):
        return Failure(status=STATUS[error.code], code=error.code.value, message=error.message)
    return Failure(status=error.status, code=_CODES.get(error.status, "refused"), message=error.message)
