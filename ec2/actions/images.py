"""Images: make, register, copy, describe, deregister, and their attributes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from backend import commands
from backend.engine.disks import is_root_device
from backend.errors import BackendError, Code, DryRunPassed
from backend.model import BlockDevice, Content, Image, ImageState
from ec2 import image_mapping, mapping
from ec2.actions.block_devices import block_devices
from ec2.actions.common import (
    described,
    missing,
    owner_accounts,
    refuse_all,
    refuse_unless,
    specified_tags,
    unsupported_value,
    well_formed_ids,
)
from ec2.actions.run import client_token, request_digest
from ec2.context import Document, Ec2Context, ImageImporter, Params
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.ids import IdKind, not_found
from ec2.listing import Column, Listing, flag
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="ImageIds", ids_word="imageIdSet")
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An image with its tags, which only its owner sees, and the region in which it is looked at."""

    image: Image
    tags: Mapping[str, str]
    own: bool
    region: str = ""

    @property
    def source_region(self) -> str | None:
        """Where the image is that this one was made of: images are in every region."""
        return image_mapping.source_region(self.image, self.region, own=self.own)


def _absent(_row: Listed) -> Value:
    return None


_NEVER = (
    "image-allowed",
    "image-watermark.source-image-creation-time",
    "image-watermark.source-image-id",
    "image-watermark.source-image-region",
    "image-watermark.watermark-creation-time",
    "image-watermark.watermark-key",
    "instance-type-specification.supported-instance-type",
    "instance-type-specification.unsupported-instance-type",
    "kernel-id",
    "manifest-location",
    "owner-alias",
    "platform",
    "product-code",
    "product-code.type",
    "public-ssm-parameter-name",
    "ramdisk-id",
    "scan-result.critical-fix-available-since",
    "scan-result.finding-scan-date",
    "scan-result.high-fix-available-since",
    "scan-result.highest-finding-severity-label",
    "scan-result.informational-fix-available-since",
    "scan-result.low-fix-available-since",
    "scan-result.medium-fix-available-since",
    "sriov-net-support",
)
"""Filters on things that no image has: known, and matching nothing."""


def _of_devices(name: str) -> Callable[[Listed], Value]:
    """What the volumes of an image's block device mapping have under a name."""
    return lambda row: [each.get("Ebs", {}).get(name) for each in image_mapping.block_devices(row.image)]


def _of_reason(name: str) -> Callable[[Listed], Value]:
    return lambda row: (image_mapping.state_reason(row.image) or {}).get(name)


FILTERS: FilterTable[Listed] = FilterTable(
    {
        **dict.fromkeys(_NEVER, _absent),
        "free-tier-eligible": lambda _: False,
        "architecture": lambda row: row.image.architecture,
        "block-device-mapping.delete-on-termination": _of_devices("DeleteOnTermination"),
        "block-device-mapping.device-name": lambda row: [
            each["DeviceName"] for each in image_mapping.block_devices(row.image)
        ],
        "block-device-mapping.encrypted": _of_devices("Encrypted"),
        "block-device-mapping.snapshot-id": _of_devices("SnapshotId"),
        "block-device-mapping.volume-size": _of_devices("VolumeSize"),
        "block-device-mapping.volume-type": _of_devices("VolumeType"),
        "boot-mode": lambda _: mapping.BOOT_MODE,
        "creation-date": lambda row: mapping.moment(row.image.created_at),
        "description": lambda row: row.image.description or None,
        "ena-support": lambda _: False,
        "hypervisor": lambda _: mapping.HYPERVISOR,
        "image-id": lambda row: row.image.id,
        "image-type": lambda _: "machine",
        "is-public": lambda row: row.image.public,
        "location": lambda row: image_mapping.image_location(row.image, own=row.own),
        "name": lambda row: row.image.name,
        "owner-id": lambda row: row.image.account_id,
        "platform-details": lambda _: mapping.PLATFORM,
        "root-device-name": lambda row: image_mapping.root_device_name(row.image),
        "root-device-type": lambda _: mapping.ROOT_DEVICE_TYPE,
        "state": lambda row: image_mapping.image_state(row.image),
        "source-image-region": lambda row: row.source_region,
        "source-image-id": lambda row: row.image.source_image_id or None if row.own else None,
        "source-instance-id": lambda row: row.image.source_instance_id or None if row.own else None,
        "state-reason-code": _of_reason("Code"),
        "state-reason-message": _of_reason("Message"),
        "usage-operation": lambda _: mapping.USAGE_OPERATION,
        "virtualization-type": lambda _: "hvm",
    },
    tags=lambda row: row.tags,
    aliases={"image-location": "location"},
)


COLUMNS: Mapping[str, Column] = {
    "architecture": Column("architecture"),
    "description": Column("description"),
    "image-id": Column("id"),
    "is-public": flag("public"),
    "name": Column("name"),
    "owner-id": Column("account_id"),
    "source-image-id": Column("source_image_id", exact=False),
    "source-instance-id": Column("source_instance_id", exact=False),
}
"""Filters that the database can decide, or at least narrow."""


def _with_tags(context: Ec2Context, images: Sequence[Image]) -> list[Listed]:
    owned = {image.id for image in images if image.tenant_id == context.caller.tenant_id}
    tags = context.engine.tags_of(sorted(owned))
    return [
        Listed(image=image, tags=tags.get(image.id, {}), own=image.id in owned, region=context.region)
        for image in images
    ]


LISTING = Listing(kind=Image, dress=_with_tags, filters=FILTERS, columns=COLUMNS, limits=LIMITS)


# Describe -----------------------------------------------------------------------------------------------


def describe_images(context: Ec2Context, params: Params) -> Document:
    """Own, public and shared images, oldest first (DescribeImages)."""
    owners = params.get("Owners")
    among = {"account_id": owner_accounts(context, owners)} if owners else {}
    page, token = LISTING.page(
        context,
        params,
        named=_named(context, params),
        keep=lambda image: _is_chosen(context, params, image),
        among=among,
    )
    documents = [
        image_mapping.image_document(row.image, row.tags, own=row.own, region=row.region) for row in page
    ]
    return {"Images": documents, "NextToken": token}


def _named(context: Ec2Context, params: Params) -> list[Image] | None:
    """The images that a call names, all of which must exist; None when it names none.

    One that was the caller's and is deregistered is known, and not shown any more.
    """
    ids = params.get("ImageIds")
    if not ids:
        return None
    wanted = well_formed_ids(IdKind.IMAGE, ids)
    known = context.engine.images_known(context.caller, wanted)
    unknown = [item for item in wanted if item not in known]
    if unknown:
        raise not_found(IdKind.IMAGE, unknown)
    return [image for image in known.values() if image.state is not ImageState.GONE]


def _is_chosen(context: Ec2Context, params: Params, image: Image) -> bool:
    """Whether an image is one of those that a call asks for, apart from its ids and filters."""
    owners, users = params.get("Owners"), params.get("ExecutableUsers")
    if not params.get("ImageIds") and not _is_listed(context, params, image):
        return False
    if owners and image.account_id not in owner_accounts(context, owners):
        return False
    return not users or any(_executable(context, image, user) for user in users)


def _is_listed(context: Ec2Context, params: Params, image: Image) -> bool:
    """Whether an image is there for who asks for no image in particular."""
    own = image.tenant_id == context.caller.tenant_id
    if image_mapping.image_state(image) == "disabled" and not (own and params.get("IncludeDisabled")):
        return False
    deprecated = image.deprecated_at is not None and image.deprecated_at <= context.now
    return own or not deprecated or bool(params.get("IncludeDeprecated"))


def _executable(context: Ec2Context, image: Image, user: str) -> bool:
    """Whether an image may be launched by ``all``, ``self`` or an account, by explicit permission."""
    account = context.caller.account_id
    if user == "all":
        return image.public
    wanted = account if user == "self" else user
    # Whom another owner shares with is not for others to know, except that it is with themselves.
    return wanted in image.launch_accounts and account in {wanted, image.account_id}


# Make, copy, register, deregister -----------------------------------------------------------------------

_BOTH = frozenset({"image", "snapshot"})


def _name(params: Params) -> str:
    name: str = params["Name"]
    if not _NAME.fullmatch(name):
        raise Ec2Error(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
        )
    return name


def create_image(context: Ec2Context, params: Params) -> Document:
    """Make an image of an instance's volumes; it is shut down for that unless NoReboot (CreateImage)."""
    (instance_id,) = well_formed_ids(IdKind.INSTANCE, [params["InstanceId"]])
    name = _name(params)
    refuse_all(params, ("BootModeOverride",))
    refuse_unless(params, {"SnapshotLocation": "regional"})
    image = context.engine.execute(
        context.caller,
        commands.CreateImage(
            instance_id=instance_id,
            name=name,
            description=described(params),
            no_reboot=params.get("NoReboot", False),
            mappings=block_devices(params.get("BlockDeviceMappings", ())),
            tags=specified_tags(params, "image", also=_BOTH),
            snapshot_tags=specified_tags(params, "snapshot", also=_BOTH),
        ),
    )
    return {"ImageId": image.id}


_NOT_OFFERED_OF_COPIES = (
    "DestinationAvailabilityZone",
    "DestinationAvailabilityZoneId",
    "DestinationOutpostArn",
    "KmsKeyId",
)


def copy_image(context: Ec2Context, params: Params) -> Document:
    """An image of the caller's own with the bytes of another, ready at once (CopyImage)."""
    (source_id,) = well_formed_ids(IdKind.IMAGE, [params["SourceImageId"]])
    name = _name(params)
    refuse_all(params, _NOT_OFFERED_OF_COPIES)
    if params["SourceRegion"] not in context.engine.settings.zones:
        raise Ec2Error("InvalidRequest", f"The source region {params['SourceRegion'][:120]} is not known.")
    source = context.engine.image(context.caller, source_id)
    if params.get("Encrypted") and not source.encrypted:
        raise unsupported_value(True, "Encrypted")
    tags = dict(specified_tags(params, "image", also=_BOTH))
    if params.get("CopyImageTags") and source.tenant_id == context.caller.tenant_id:
        tags = context.engine.tags_of([source_id]).get(source_id, {}) | tags
    image = context.engine.execute(
        context.caller,
        commands.CopyImage(
            source_id=source_id,
            name=name,
            description=described(params, source.description),
            tags=tuple(tags.items()),
            snapshot_tags=specified_tags(params, "snapshot", also=_BOTH),
            client_token=client_token(params),
            token_digest=request_digest(params),
        ),
    )
    return {"ImageId": image.id}


_NOT_OFFERED = (
    "BillingProducts",
    "KernelId",
    "RamdiskId",
    "TpmSupport",
    "UefiData",
)
_AS_IT_IS = {
    "Architecture": "x86_64",
    "BootMode": mapping.BOOT_MODES,
    "EnaSupport": (True, False),
    "ImdsSupport": "v2.0",
    "SriovNetSupport": "simple",
    "VirtualizationType": "hvm",
}
"""Options that describe a disk image, accepted as far as a guest can do without what they speak of."""
_TO_COME = Content(checksum="", path="", format="", size_bytes=0, virtual_bytes=0)


def register_image(context: Ec2Context, params: Params) -> Document:
    """Register an image of a snapshot, or of a disk image from where the operator allows (RegisterImage)."""
    name = _name(params)
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, _AS_IT_IS)
    mappings, snapshot_id = _registered_devices(params)
    location = params.get("ImageLocation")
    if not location and not snapshot_id:
        raise missing("ImageLocation")
    if location and snapshot_id:
        raise Ec2Error(
            "InvalidParameterCombination",
            "An image is either of the snapshot of its root device, or of an ImageLocation.",
        )
    wanted = commands.RegisterImage(
        name=name,
        snapshot_id=snapshot_id,
        description=described(params),
        location=location or "",
        mappings=mappings,
        tags=specified_tags(params, "image", also=_BOTH),
    )
    if location:
        wanted = msgspec.structs.replace(wanted, content=_brought(context, wanted))
    return {"ImageId": context.engine.execute(context.caller, wanted).id}


def _registered_devices(params: Params) -> tuple[tuple[BlockDevice, ...], str]:
    """The mapping, with the root under the name that the request gives it, and the root's snapshot."""
    mappings = block_devices(params.get("BlockDeviceMappings", ()))
    root = params.get("RootDeviceName")
    if root and not is_root_device(root):
        raise unsupported_value(root, "RootDeviceName")
    named = [each for each in mappings if is_root_device(each.device)]
    if root and any(each.device != root for each in named):
        raise Ec2Error(
            "InvalidBlockDeviceMapping", f"The root device {root} is mapped under another name, or twice."
        )
    if root and not named and root != mapping.ROOT_DEVICE_NAME:
        return (BlockDevice(device=root), *mappings), ""
    return mappings, named[0].snapshot_id if named else ""


def _brought(context: Ec2Context, wanted: commands.RegisterImage) -> Content:
    """The disk image, in the store; a taken name or a full quota is told before gigabytes are copied."""
    importer, location = allowed_location(context, wanted.location, "imageLocation")
    with suppress(DryRunPassed):
        trial = msgspec.structs.replace(wanted, content=_TO_COME, mappings=())
        context.engine.execute(context.caller, trial, dry_run=True)
    return importer.import_location(location, "")


def allowed_location(context: Ec2Context, location: str, parameter: str) -> tuple[ImageImporter, str]:
    """Who brings disk images in, and a location as it takes it.

    Raises Ec2Error InvalidParameterValue, the same whether what may not be taken exists or not.
    """
    importer = context.importer
    if importer is None:
        raise Ec2Error(
            "UnsupportedOperation",
            "This cloud takes no disk images of its users; ask its operator to import the image.",
        )
    found = importer.resolve(location, context.caller.tenant_id)
    if found is None:
        why = (
            "You have no complete upload of that name."
            if location.startswith(image_mapping.UPLOAD)
            else "It is not a disk image in a place that the operator of this cloud allows."
        )
        raise Ec2Error(
            "InvalidParameterValue", f"Value ({location[:120]}) for parameter {parameter} is invalid. {why}"
        )
    return importer, found


def deregister_image(context: Ec2Context, params: Params) -> Document:
    """Withdraw an own image; its instances live on, its snapshots unless told otherwise (DeregisterImage)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    image = context.engine.execute(context.caller, commands.DeregisterImage(image_id=image_id))
    if not params.get("DeleteAssociatedSnapshots"):
        return {"Return": True}
    return {
        "Return": True,
        "DeleteSnapshotResults": [
            {"SnapshotId": each, "ReturnCode": _deleted(context, each)} for each in image.snapshot_ids
        ],
    }


_RETURN_CODES: Mapping[Code, str] = {
    Code.SNAPSHOT_IN_USE: "skipped",
    Code.NOT_OWNER: "missing-permissions",
}


def _deleted(context: Ec2Context, snapshot_id: str) -> str:
    """How the deletion of a snapshot went."""
    try:
        context.engine.execute(context.caller, commands.DeleteSnapshot(snapshot_id=snapshot_id))
    except BackendError as error:
        return _RETURN_CODES.get(error.code, "client-error")
    return "success"


# Availability -------------------------------------------------------------------------------------------


def enable_image(context: Ec2Context, params: Params) -> Document:
    """Let an own image that was disabled be launched again (EnableImage)."""
    return _modified(context, params, enabled=True)


def disable_image(context: Ec2Context, params: Params) -> Document:
    """Have an own image launched no more, and seen by nobody else (DisableImage)."""
    return _modified(context, params, enabled=False)


_MINUTE = 60
_LONGEST_DEPRECATION = 10 * 366 * 86_400


def enable_image_deprecation(context: Ec2Context, params: Params) -> Document:
    """Say from when on an own image is out of date; seconds are rounded (EnableImageDeprecation)."""
    given: datetime = params["DeprecateAt"]
    when = math.floor(given.timestamp() / _MINUTE + 0.5) * _MINUTE
    if not context.now - _MINUTE <= when <= context.now + _LONGEST_DEPRECATION:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({given.isoformat()}) for parameter deprecateAt is invalid. "
            "It is a time in the next ten years.",
        )
    return _modified(context, params, deprecate_at=float(when))


def disable_image_deprecation(context: Ec2Context, params: Params) -> Document:
    """Take the deprecation off an own image (DisableImageDeprecation)."""
    return _modified(context, params, deprecate_at=0.0)


def _modified(context: Ec2Context, params: Params, **changes: Any) -> Document:
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    context.engine.execute(context.caller, commands.ModifyImage(image_id=image_id, **changes))
    return {"Return": True}


# Attributes ---------------------------------------------------------------------------------------------

_READERS: Mapping[str, Callable[[Image], Document]] = {
    "blockDeviceMapping": lambda image: {"BlockDeviceMappings": image_mapping.block_devices(image)},
    "bootMode": lambda _: {"BootMode": {"Value": mapping.BOOT_MODE}},
    "deregistrationProtection": lambda _: {"DeregistrationProtection": {"Value": "disabled"}},
    "description": lambda image: {
        "Description": {"Value": mapping.writable(image.description)} if image.description else {}
    },
    "imdsSupport": lambda _: {"ImdsSupport": {}},
    "kernel": lambda _: {"KernelId": {}},
    "launchPermission": lambda image: {"LaunchPermissions": _permissions(image)},
    "productCodes": lambda _: {"ProductCodes": []},
    "ramdisk": lambda _: {"RamdiskId": {}},
    "sriovNetSupport": lambda _: {"SriovNetSupport": {}},
    "tpmSupport": lambda _: {"TpmSupport": {}},
}


def describe_image_attribute(context: Ec2Context, params: Params) -> Document:
    """One attribute of an own image (DescribeImageAttribute)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    image = context.engine.image(context.caller, image_id)
    if image.tenant_id != context.caller.tenant_id:
        raise Ec2Error("AuthFailure", f"Not authorized for image:{image_id}")
    reader = _READERS.get(params["Attribute"])
    if reader is None:
        raise Ec2Error(
            "UnsupportedOperation", f"The attribute {params['Attribute']} is not supported by this cloud."
        )
    return {"ImageId": image.id, **reader(image)}


def _permissions(image: Image) -> list[Document]:
    everyone = [{"Group": "all"}] if image.public else []
    return everyone + [{"UserId": account} for account in image.launch_accounts]


_ACCOUNT = re.compile("[0-9]{12}")


class _Permissions(msgspec.Struct, kw_only=True):
    """Accounts and the group to add and to remove."""

    public: bool | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def modify_image_attribute(context: Ec2Context, params: Params) -> Document:
    """Change who may launch an own image, or its description (ModifyImageAttribute)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    refuse_all(params, ("ProductCodes", "OrganizationArns", "OrganizationalUnitArns", "ImdsSupport"))
    description = _description(params)
    added, removed = _permission_items(params)
    if (added or removed) and description is not None:
        raise Ec2Error(
            "InvalidParameterCombination",
            "Fields for multiple attribute types specified: description, launchPermission",
        )
    if not added and not removed and description is None:
        raise Ec2Error("InvalidParameterCombination", "No attributes specified.")
    wanted = _permission_change(added, removed)
    context.engine.execute(
        context.caller,
        commands.ModifyImage(
            image_id=image_id,
            description=description,
            public=wanted.public,
            add_accounts=wanted.add,
            remove_accounts=wanted.remove,
        ),
    )
    return {}


def reset_image_attribute(context: Ec2Context, params: Params) -> Document:
    """Make an own image private, the only attribute there is to reset (ResetImageAttribute)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    context.engine.execute(context.caller, commands.ModifyImage(image_id=image_id, reset_permissions=True))
    return {}


def _description(params: Params) -> str | None:
    """The new description; an empty one clears it."""
    if "Description" in params:
        return described({"Description": params["Description"].get("Value", "")})
    if params.get("Attribute") == "description":
        if "Value" not in params:
            raise missing("Value")
        return described({"Description": params["Value"]})
    if params.get("Attribute") not in {None, "launchPermission"}:
        raise Ec2Error(
            "InvalidParameterValue",
            f"Value ({params['Attribute'][:120]}) for parameter attribute is invalid. Unknown attribute.",
        )
    return None


_Items = list[tuple[str, str]]


def _permission_items(params: Params) -> tuple[_Items, _Items]:
    """(kind, item) pairs to add and to remove, in both spellings."""
    both: dict[str, _Items] = {"add": [], "remove": []}
    for name, items in params.get("LaunchPermission", {}).items():
        both[name.lower()] = [pair for item in items for pair in _members(item)]
    older = [("userId", item) for item in params.get("UserIds", ())]
    older += [("userGroup", item) for item in params.get("UserGroups", ())]
    if older:
        operation = params.get("OperationType")
        if operation is None:
            raise missing("OperationType")
        both[operation] += older
    return both["add"], both["remove"]


def _members(item: Mapping[str, str]) -> _Items:
    if item.get("OrganizationArn") or item.get("OrganizationalUnitArn"):
        raise Ec2Error("UnsupportedOperation", "Images cannot be shared with organizations in this cloud.")
    words = {"UserId": "userId", "Group": "userGroup"}
    return [(words[name], value) for name, value in item.items() if name in words]


def _permission_change(added: _Items, removed: _Items) -> _Permissions:
    for kind, item in added + removed:
        good = item == "all" if kind == "userGroup" else _ACCOUNT.fullmatch(item)
        if not good:
            raise Ec2Error(
                "InvalidAMIAttributeItemValue",
                f'Invalid attribute item value "{item[:120]}" for {kind} item type.',
            )
    change = _Permissions()
    if ("userGroup", "all") in added + removed:
        change.public = ("userGroup", "all") in added
    change.add = tuple(item for kind, item in added if kind == "userId")
    change.remove = tuple(item for kind, item in removed if kind == "userId")
    return change
