"""Cut the served operations out of botocore's service models and write them to ``ec2/model``.

Run ``python -m conformance.ec2_model`` after adding an operation or upgrading botocore; ``--check`` only
tells whether the files are up to date (exit status 1 when they are not). Documentation is dropped, and every
shape that no served operation reaches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import botocore
import botocore.session

TARGET = Path(__file__).parent.parent / "ec2" / "model"

#: The operations served, by service: file name and botocore's service name are the same word.
SERVED: dict[str, tuple[str, ...]] = {
    "ec2": (
        "AllocateAddress",
        "AssignPrivateIpAddresses",
        "AssociateAddress",
        "AssociateDhcpOptions",
        "AssociateRouteTable",
        "AssociateVpcCidrBlock",
        "AttachInternetGateway",
        "AttachNetworkInterface",
        "AttachVolume",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CancelImportTask",
        "CopyImage",
        "CopySnapshot",
        "CreateDefaultSubnet",
        "CreateDefaultVpc",
        "CreateDhcpOptions",
        "CreateImage",
        "CreateInternetGateway",
        "CreateKeyPair",
        "CreateLaunchTemplate",
        "CreateLaunchTemplateVersion",
        "CreateNatGateway",
        "CreateNetworkAcl",
        "CreateNetworkAclEntry",
        "CreateNetworkInterface",
        "CreatePlacementGroup",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSnapshot",
        "CreateSnapshots",
        "CreateSubnet",
        "CreateTags",
        "CreateVolume",
        "CreateVpc",
        "DeleteDhcpOptions",
        "DeleteInternetGateway",
        "DeleteKeyPair",
        "DeleteLaunchTemplate",
        "DeleteLaunchTemplateVersions",
        "DeleteNatGateway",
        "DeleteNetworkAcl",
        "DeleteNetworkAclEntry",
        "DeleteNetworkInterface",
        "DeletePlacementGroup",
        "DeleteRoute",
        "DeleteRouteTable",
        "DeleteSecurityGroup",
        "DeleteSnapshot",
        "DeleteSubnet",
        "DeleteTags",
        "DeleteVolume",
        "DeleteVpc",
        "DeregisterImage",
        "DescribeAccountAttributes",
        "DescribeAddresses",
        "DescribeAddressesAttribute",
        "DescribeAggregateIdFormat",
        "DescribeAvailabilityZones",
        "DescribeDhcpOptions",
        "DescribeExportImageTasks",
        "DescribeIdFormat",
        "DescribeIdentityIdFormat",
        "DescribeImageAttribute",
        "DescribeImages",
        "DescribeImportImageTasks",
        "DescribeImportSnapshotTasks",
        "DescribeInstanceAttribute",
        "DescribeInstanceCreditSpecifications",
        "DescribeInstanceEventNotificationAttributes",
        "DescribeInstanceImageMetadata",
        "DescribeInstanceStatus",
        "DescribeInstanceTopology",
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeInternetGateways",
        "DescribeKeyPairs",
        "DescribeLaunchTemplateVersions",
        "DescribeLaunchTemplates",
        "DescribeNatGateways",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaceAttribute",
        "DescribeNetworkInterfaces",
        "DescribePlacementGroups",
        "DescribePublicIpv4Pools",
        "DescribeRegions",
        "DescribeRouteTables",
        "DescribeSecurityGroupReferences",
        "DescribeSecurityGroupRules",
        "DescribeSecurityGroups",
        "DescribeSnapshotAttribute",
        "DescribeSnapshotTierStatus",
        "DescribeSnapshots",
        "DescribeSpotDatafeedSubscription",
        "DescribeStaleSecurityGroups",
        "DescribeSubnets",
        "DescribeTags",
        "DescribeVolumeAttribute",
        "DescribeVolumeStatus",
        "DescribeVolumes",
        "DescribeVolumesModifications",
        "DescribeVpcAttribute",
        "DescribeVpcBlockPublicAccessOptions",
        "DescribeVpcClassicLink",
        "DescribeVpcClassicLinkDnsSupport",
        "DescribeVpcs",
        "DetachInternetGateway",
        "DetachNetworkInterface",
        "DetachVolume",
        "DisableAllowedImagesSettings",
        "DisableEbsEncryptionByDefault",
        "DisableImage",
        "DisableImageBlockPublicAccess",
        "DisableImageDeprecation",
        "DisableSerialConsoleAccess",
        "DisableSnapshotBlockPublicAccess",
        "DisassociateAddress",
        "DisassociateRouteTable",
        "DisassociateVpcCidrBlock",
        "EnableEbsEncryptionByDefault",
        "EnableImage",
        "EnableImageDeprecation",
        "EnableVolumeIO",
        "ExportImage",
        "GetAllowedImagesSettings",
        "GetConsoleOutput",
        "GetConsoleScreenshot",
        "GetEbsEncryptionByDefault",
        "GetImageAncestry",
        "GetImageBlockPublicAccessState",
        "GetInstanceMetadataDefaults",
        "GetInstanceTypesFromInstanceRequirements",
        "GetLaunchTemplateData",
        "GetPasswordData",
        "GetSecurityGroupsForVpc",
        "GetSerialConsoleAccessStatus",
        "GetSnapshotBlockPublicAccessState",
        "ImportImage",
        "ImportKeyPair",
        "ImportSnapshot",
        "ModifyImageAttribute",
        "ModifyInstanceAttribute",
        "ModifyInstanceCapacityReservationAttributes",
        "ModifyInstanceCpuOptions",
        "ModifyInstanceCreditSpecification",
        "ModifyInstanceMaintenanceOptions",
        "ModifyInstanceMetadataDefaults",
        "ModifyInstanceMetadataOptions",
        "ModifyInstanceNetworkPerformanceOptions",
        "ModifyInstancePlacement",
        "ModifyLaunchTemplate",
        "ModifyNetworkInterfaceAttribute",
        "ModifyPrivateDnsNameOptions",
        "ModifySecurityGroupRules",
        "ModifySnapshotAttribute",
        "ModifySubnetAttribute",
        "ModifyVolume",
        "ModifyVolumeAttribute",
        "ModifyVpcAttribute",
        "ModifyVpcTenancy",
        "MonitorInstances",
        "RebootInstances",
        "RegisterImage",
        "ReleaseAddress",
        "ReplaceNetworkAclAssociation",
        "ReplaceNetworkAclEntry",
        "ReplaceRoute",
        "ReplaceRouteTableAssociation",
        "ResetImageAttribute",
        "ResetInstanceAttribute",
        "ResetNetworkInterfaceAttribute",
        "ResetSnapshotAttribute",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
        "RunInstances",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
        "UnassignPrivateIpAddresses",
        "UnmonitorInstances",
        "UpdateSecurityGroupRuleDescriptionsEgress",
        "UpdateSecurityGroupRuleDescriptionsIngress",
    ),
    "sts": ("AssumeRole", "GetCallerIdentity", "GetSessionToken"),
}

#: Operations that only tell of things: those whose output is a list and that are not served tell of none.
TELLING = ("Describe", "Get", "List")

#: Of those that need more than ids to be told, those that list nothing all the same, whatever they are told.
ALSO_TELLING = frozenset(
    {
        "DescribeApplicationStatus",
        "DescribeByoipCidrs",
        "DescribeCapacityBlockOfferings",
        "DescribeCapacityReservationBillingRequests",
        "DescribeScheduledInstanceAvailability",
    }
)

#: Those that would list things that are there, in another way than we can tell.
NOT_TELLING = frozenset({"DescribeImageReferences"})

#: Members that are no part of what is told.
PAGING = frozenset({"NextToken", "MaxResults"})

#: What the server reads of a shape and of a reference to a shape; the rest is documentation and client hints.
SHAPE_KEYS = ("type", "required", "enum", "min", "max", "sensitive")
REFERENCE_KEYS = ("shape", "locationName", "queryName", "idempotencyToken")


def references(shape: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The references to other shapes that a shape holds."""
    yield from shape.get("members", {}).values()
    if "member" in shape:
        yield shape["member"]


def reachable(model: Mapping[str, Any], operations: Sequence[str]) -> set[str]:
    """Names of all shapes that inputs and outputs of the operations lead to."""
    found: set[str] = set()
    waiting = [
        model["operations"][name][side]["shape"]
        for name in operations
        for side in ("input", "output")
        if side in model["operations"][name]
    ]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(reference["shape"] for reference in references(model["shapes"][name]))
    return found


def pruned_reference(reference: Mapping[str, Any]) -> dict[str, Any]:
    """A reference without documentation."""
    return {key: reference[key] for key in REFERENCE_KEYS if key in reference}


def pruned_shape(shape: Mapping[str, Any]) -> dict[str, Any]:
    """A shape without documentation, its members in the model's order."""
    kept: dict[str, Any] = {key: shape[key] for key in SHAPE_KEYS if key in shape}
    if "members" in shape:
        kept["members"] = {name: pruned_reference(member) for name, member in shape["members"].items()}
    if "member" in shape:
        kept["member"] = pruned_reference(shape["member"])
    return kept


def pruned(model: Mapping[str, Any], operations: Sequence[str]) -> dict[str, Any]:
    """The part of a service model that is served, and the names of all its operations."""
    metadata = {key: model["metadata"][key] for key in ("apiVersion", "protocol", "xmlNamespace")}
    return {
        "metadata": metadata | {"source": f"botocore {botocore.__version__}"},
        "operations": {
            name: {
                side: pruned_reference(model["operations"][name][side])
                for side in ("input", "output")
                if side in model["operations"][name]
            }
            for name in operations
        },
        "shapes": {
            name: pruned_shape(model["shapes"][name]) for name in sorted(reachable(model, operations))
        },
        "known": sorted(model["operations"]),
    }


def listing(model: Mapping[str, Any], served: Sequence[str]) -> tuple[str, ...]:
    """Operations that are not served and only list things: their output has nothing but lists (and the ids
    that were asked for), and all that they need to be told is ids.
    """
    return tuple(name for name in sorted(model["operations"]) if name not in served and _lists(model, name))


def _lists(model: Mapping[str, Any], name: str) -> bool:
    operation, shapes = model["operations"][name], model["shapes"]
    if not name.startswith(TELLING) or "output" not in operation:
        return False
    needed = shapes[operation["input"]["shape"]].get("required", ())
    members = shapes[operation["output"]["shape"]]["members"].items()
    told = {
        each: shapes[reference["shape"]]["type"]
        for each, reference in members
        if each not in PAGING and each not in needed
    }
    plain = name in ALSO_TELLING or all(each.endswith(("Id", "Ids")) for each in needed)
    return plain and set(told.values()) == {"list"} and name not in NOT_TELLING


def emptied(model: Mapping[str, Any], operations: Sequence[str]) -> dict[str, Any]:
    """A service model whose operations answer empty lists: what is in the lists is left out."""
    shapes = dict(model["shapes"])
    for name in operations:
        output = model["operations"][name]["output"]["shape"]
        members = {
            each: reference | {"shape": "NoItems"}
            for each, reference in shapes[output]["members"].items()
            if model["shapes"][reference["shape"]]["type"] == "list"
        }
        shapes[output] = {"type": "structure", "members": members}
    shapes["NoItems"] = {"type": "list", "member": {"shape": "String"}}
    return pruned({**model, "shapes": shapes}, operations)


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    loader = botocore.session.get_session().get_component("data_loader")
    whole = {service: loader.load_service_model(service, "service-2") for service in SERVED}
    models = {service: pruned(whole[service], operations) for service, operations in SERVED.items()}
    models["ec2_lists"] = emptied(whole["ec2"], listing(whole["ec2"], SERVED["ec2"]))
    return {
        TARGET / f"{name}.json": json.dumps(model, indent=1, ensure_ascii=False) + "\n"
        for name, model in models.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` compare them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether the files are up to date")
    check = parser.parse_args(arguments).check
    status = 0
    for path, text in files().items():
        if check and (not path.exists() or path.read_text() != text):
            print(f"{path.name} is out of date: run python -m conformance.ec2_model")
            status = 1
        elif not check:
            path.write_text(text)
            print(f"wrote {path.name} ({len(text) // 1024} KiB)")
    return status


if __name__ == "__main__":
    sys.exit(main())
