"""Images: register, describe, deregister, and their attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from backend import commands
from backend.errors import DryRunPassed
from backend.model import Image, ImageState
from ec2 import mapping
from ec2.actions.common import missing, refuse_all, refuse_unless, specified_tags, well_formed_ids
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.errors import Ec2Error
from ec2.filters import FilterTable, Value
from ec2.ids import IdKind, not_found
from ec2.pages import PageLimits

LIMITS = PageLimits(default=None, ids="ImageIds", ids_word="imageIdSet")
_NAME = re.compile(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """An image with its tags; only its owner sees those."""

    image: Image
    tags: Mapping[str, str]
    own: bool


def _absent(_row: Listed) -> Value:
    return None


_NOT_YET = (
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "free-tier-eligible",
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
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state-reason-code",
    "state-reason-message",
)
"""Filters on things that no image has yet: known, and matching nothing."""

FILTERS: FilterTable[Listed] = FilterTable(
    {
        **dict.fromkeys(_NOT_YET, _absent),
        "architecture": lambda row: row.image.architecture,
        "boot-mode": lambda _: mapping.BOOT_MODE,
        "creation-date": lambda row: mapping.moment(row.image.created_at),
        "description": lambda row: row.image.description or None,
        "ena-support": lambda _: False,
        "hypervisor": lambda _: mapping.HYPERVISOR,
        "image-id": lambda row: row.image.id,
        "image-type": lambda _: "machine",
        "is-public": lambda row: row.image.public,
        "location": lambda row: mapping.image_location(row.image, own=row.own),
        "name": lambda row: row.image.name,
        "owner-id": lambda row: row.image.account_id,
        "platform-details": lambda _: mapping.PLATFORM,
        "root-device-name": lambda _: mapping.ROOT_DEVICE_NAME,
        "root-device-type": lambda _: mapping.ROOT_DEVICE_TYPE,
        "state": lambda row: mapping.IMAGE_STATES[row.image.state],
        "usage-operation": lambda _: mapping.USAGE_OPERATION,
        "virtualization-type": lambda _: "hvm",
    },
    tags=lambda row: row.tags,
    aliases={"image-location": "location"},
)


# Describe -----------------------------------------------------------------------------------------------


def describe_images(context: Ec2Context, params: Params) -> Document:
    """Own, public and shared images, oldest first (DescribeImages)."""
    matches = FILTERS.compile(params.get("Filters", ()))
    images = _chosen(context, params)
    owned = {image.id for image in images if image.tenant_id == context.caller.tenant_id}
    tags = context.engine.tags_of(sorted(owned))
    listed = [Listed(image=image, tags=tags.get(image.id, {}), own=image.id in owned) for image in images]
    rows = [((round(row.image.created_at * 1e6), row.image.id), row) for row in listed if matches(row)]
    page, token = page_of(context, params, sorted(rows, key=lambda row: row[0]), LIMITS)
    documents = [mapping.image_document(row.image, row.tags, own=row.own) for row in page]
    return {"Images": documents, "NextToken": token}


def _chosen(context: Ec2Context, params: Params) -> list[Image]:
    images = context.engine.images(context.caller)
    ids = params.get("ImageIds")
    if ids:
        wanted = well_formed_ids(IdKind.IMAGE, ids)
        unknown = set(wanted) - {image.id for image in images}
        if unknown:  # one that was the caller's and is deregistered is known, and not shown any more
            unknown -= {image.id for image in context.engine.deregistered_images(context.caller)}
        if unknown:
            raise not_found(IdKind.IMAGE, [item for item in wanted if item in unknown])
        images = [image for image in images if image.id in wanted]
    elif not params.get("IncludeDisabled"):
        images = [image for image in images if image.state is not ImageState.DISABLED]
    owners, users = params.get("Owners"), params.get("ExecutableUsers")
    if owners:
        accounts = {context.caller.account_id if owner == "self" else owner for owner in owners}
        images = [image for image in images if image.account_id in accounts]
    if users:
        images = [image for image in images if any(_executable(context, image, user) for user in users)]
    return images


def _executable(context: Ec2Context, image: Image, user: str) -> bool:
    """Whether an image may be launched by ``all``, ``self`` or an account, by explicit permission."""
    account = context.caller.account_id
    if user == "all":
        return image.public
    wanted = account if user == "self" else user
    # Whom another owner shares with is not for others to know, except that it is with themselves.
    return wanted in image.launch_accounts and account in {wanted, image.account_id}


# Register and deregister --------------------------------------------------------------------------------

_NOT_OFFERED = (
    "BillingProducts",
    "BlockDeviceMappings",
    "ImdsSupport",
    "KernelId",
    "RamdiskId",
    "SriovNetSupport",
    "TpmSupport",
    "UefiData",
)
_AS_IT_IS = {
    "Architecture": "x86_64",
    "BootMode": mapping.BOOT_MODE,
    "EnaSupport": False,
    "RootDeviceName": mapping.ROOT_DEVICE_NAME,
    "VirtualizationType": "hvm",
}


def register_image(context: Ec2Context, params: Params) -> Document:
    """Register a disk image that lies in a directory the operator allows (RegisterImage)."""
    if not _NAME.fullmatch(params["Name"]):
        raise Ec2Error(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
            "'(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
        )
    refuse_all(params, _NOT_OFFERED)
    refuse_unless(params, _AS_IT_IS)
    tags = specified_tags(params, "image", also=frozenset({"snapshot"}))
    location = params.get("ImageLocation")
    if not location:
        raise missing("ImageLocation")
    importer = context.importer
    if importer is None or not context.settings.image_directories:
        raise Ec2Error(
            "UnsupportedOperation",
            "This cloud takes no images from its own disks; ask its operator to import the image.",
        )
    file = allowed_file(location, context.settings.image_directories)
    wanted = commands.RegisterImage(
        name=params["Name"],
        path="",
        format="",
        checksum="",
        size_bytes=0,
        virtual_bytes=0,
        description=params.get("Description", ""),
        location=location,
        tags=tags,
    )
    with suppress(DryRunPassed):  # a name that is taken or a full quota is told before gigabytes are copied
        context.engine.execute(context.caller, wanted, dry_run=True)
    disk = msgspec.structs.asdict(importer.import_file(file))
    image = context.engine.execute(context.caller, msgspec.structs.replace(wanted, **disk))
    return {"ImageId": image.id}


def allowed_file(location: str, directories: tuple[Path, ...]) -> Path:
    """The file that a path or ``file://`` URL names, links followed, inside one of some directories.

    Raises Ec2Error InvalidParameterValue, the same whether a file outside exists or not.
    """
    path = location
    if "://" in location:
        parts = urlsplit(location)
        path = unquote(parts.path) if parts.scheme == "file" and parts.netloc in {"", "localhost"} else ""
    try:
        found = Path(path).resolve() if path.startswith("/") else None
        inside = found is not None and any(found.is_relative_to(each.resolve()) for each in directories)
        if found is not None and inside and found.is_file():
            return found
    except (OSError, ValueError, RuntimeError):
        pass
    raise Ec2Error(
        "InvalidParameterValue",
        f"Value ({location[:120]}) for parameter imageLocation is invalid. "
        "It is not a disk image in a directory that the operator of this cloud allows.",
    )


def deregister_image(context: Ec2Context, params: Params) -> Document:
    """Withdraw an own image; its instances live on (DeregisterImage)."""
    (image_id,) = well_formed_ids(IdKind.IMAGE, [params["ImageId"]])
    context.engine.execute(context.caller, commands.DeregisterImage(image_id=image_id))
    return {"Return": True}


# Attributes ---------------------------------------------------------------------------------------------

_READERS: Mapping[str, Callable[[Image], Document]] = {
    "blockDeviceMapping": lambda _: {"BlockDeviceMappings": []},
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


def _description(params: Params) -> str | None:
    """The new description; an empty one clears it."""
    if "Description" in params:
        text: str = params["Description"].get("Value", "")
        return text
    if params.get("Attribute") == "description":
        if "Value" not in params:
            raise missing("Value")
        return str(params["Value"])
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
