"""Settings of an account that this cloud has not: what EC2 says of an account that never touched them.

Consoles and Terraform ask for these before anything else. What would change one answers with what it is, or
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ec2.actions.common import refuse_unless
from ec2.context import Document, Ec2Context, Params
from ec2.errors import Ec2Error

_BY_ACCOUNT = "account"
_NO_PREFERENCE = "no-preference"


def fixed(document: Document) -> Callable[[Ec2Context, Params], Document]:
    """An action that always answers the same, whoever asks."""
    return lambda _context, _params: document


get_serial_console_access_status = fixed({"SerialConsoleAccessEnabled": False, "ManagedBy": _BY_ACCOUNT})
"""Nobody is let in to a serial console; it can be read (GetSerialConsoleAccessStatus)."""
disable_serial_console_access = fixed({"SerialConsoleAccessEnabled": False})
"""It never is (DisableSerialConsoleAccess)."""

get_image_block_public_access_state = fixed(
    {"ImageBlockPublicAccessState": "unblocked", "ManagedBy": _BY_ACCOUNT}
)
"""Images may be made public (GetImageBlockPublicAccessState)."""
disable_image_block_public_access = fixed({"ImageBlockPublicAccessState": "unblocked"})
"""They may be (DisableImageBlockPublicAccess)."""

get_snapshot_block_public_access_state = fixed({"State": "unblocked", "ManagedBy": _BY_ACCOUNT})
"""Snapshots may be made public (GetSnapshotBlockPublicAccessState)."""
disable_snapshot_block_public_access = fixed({"State": "unblocked"})
"""They may be (DisableSnapshotBlockPublicAccess)."""

get_allowed_images_settings = fixed({"State": "disabled", "ImageCriteria": [], "ManagedBy": _BY_ACCOUNT})
"""Every image that is seen may be launched (GetAllowedImagesSettings)."""
disable_allowed_images_settings = fixed({"AllowedImagesSettingsState": "disabled"})
"""They all may be (DisableAllowedImagesSettings)."""

get_instance_metadata_defaults = fixed({"AccountLevel": {}})
"""Launches alone say how the metadata service is used (GetInstanceMetadataDefaults)."""

describe_event_tags = fixed(
    {"InstanceTagAttribute": {"InstanceTagKeys": [], "IncludeAllTagsOfInstance": False}}
)
"""No tag goes with an event's notification (DescribeInstanceEventNotificationAttributes)."""

_DEFAULTS: Mapping[str, Any] = {
    "HttpTokens": _NO_PREFERENCE,
    "HttpTokensEnforced": _NO_PREFERENCE,
    "HttpPutResponseHopLimit": -1,
    "HttpEndpoint": _NO_PREFERENCE,
    "InstanceMetadataTags": _NO_PREFERENCE,
}


def modify_instance_metadata_defaults(_context: Ec2Context, params: Params) -> Document:
    """Take defaults off, which there are none of (ModifyInstanceMetadataDefaults)."""
    refuse_unless(params, _DEFAULTS)
    return {"Return": True}


def describe_vpc_block_public_access_options(context: Ec2Context, _params: Params) -> Document:
    """VPCs of the region may reach the internet, and be reached (DescribeVpcBlockPublicAccessOptions)."""
    return {
        "VpcBlockPublicAccessOptions": {
            "AwsAccountId": context.caller.account_id,
            "AwsRegion": context.region,
            "State": "default-state",
            "InternetGatewayBlockMode": "off",
            "ManagedBy": _BY_ACCOUNT,
            "ExclusionsAllowed": "allowed",
        }
    }


def describe_spot_datafeed_subscription(_context: Ec2Context, _params: Params) -> Document:
    """There is none, which EC2 tells by an error (DescribeSpotDatafeedSubscription)."""
    raise Ec2Error("InvalidSpotDatafeed.NotFound", "Spot datafeed subscription does not exist.")
