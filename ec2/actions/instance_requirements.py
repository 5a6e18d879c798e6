"""GetInstanceTypesFromInstanceRequirements: types by what they must have, instead of by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ec2.actions.common import refuse_all
from ec2.actions.instance_types import type_documents
from ec2.context import Document, Ec2Context, Params, page_of
from ec2.pages import PageLimits, Position

LIMITS = PageLimits(minimum=1, maximum=1000, default=1000)
_UNKNOWN = (
    "BaselineEbsBandwidthMbps",
    "BaselinePerformanceFactors",
    "CpuManufacturers",
    "NetworkBandwidthGbps",
)
"""What differs by host, or is not measured: nobody could say which types have it."""

_MIB = 1024


def _within(measure: Callable[[Document], float]) -> Callable[[Document, Any], bool]:
    """Whether a measure of a type is in a range, whose ends are optional."""

    def holds(kind: Document, wanted: Mapping[str, float]) -> bool:
        return wanted.get("Min", 0) <= measure(kind) <= wanted.get("Max", float("inf"))

    return holds


def _choice(has: Callable[[Document], bool]) -> Callable[[Document, Any], bool]:
    """Whether types with something are included, excluded or required."""
    return lambda kind, word: word == "included" or has(kind) is (word == "required")


def _named(kind: Document, patterns: Sequence[str]) -> bool:
    """Whether the type's name is one of some, in which an asterisk stands for anything."""
    forms = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return any(re.fullmatch(form, kind["InstanceType"]) for form in forms)


def _storage(kind: Document) -> Document:
    return kind["InstanceStorageInfo"] or {"TotalSizeInGB": 0, "Disks": []}


_NONE = _within(lambda _: 0)
_REQUIREMENTS: Mapping[str, Callable[[Document, Any], bool]] = {
    "AcceleratorCount": _NONE,
    "AcceleratorManufacturers": lambda _, wanted: not wanted,
    "AcceleratorNames": lambda _, wanted: not wanted,
    "AcceleratorTotalMemoryMiB": _NONE,
    "AcceleratorTypes": lambda _, wanted: not wanted,
    "AllowedInstanceTypes": lambda kind, wanted: not wanted or _named(kind, wanted),
    "BareMetal": _choice(lambda kind: kind["BareMetal"]),
    "BurstablePerformance": _choice(lambda kind: kind["BurstablePerformanceSupported"]),
    "ExcludedInstanceTypes": lambda kind, wanted: not _named(kind, wanted),
    "InstanceGenerations": lambda _, wanted: not wanted or "current" in wanted,
    "LocalStorage": _choice(lambda kind: kind["InstanceStorageSupported"]),
    "LocalStorageTypes": lambda kind, wanted: (
        not wanted or all(disk["Type"] in wanted for disk in _storage(kind)["Disks"])
    ),
    "MemoryGiBPerVCpu": _within(
        lambda kind: kind["MemoryInfo"]["SizeInMiB"] / _MIB / kind["VCpuInfo"]["DefaultVCpus"]
    ),
    "MemoryMiB": _within(lambda kind: kind["MemoryInfo"]["SizeInMiB"]),
    "NetworkInterfaceCount": _within(lambda kind: kind["NetworkInfo"]["MaximumNetworkInterfaces"]),
    "RequireEncryptionInTransit": lambda kind, wanted: (
        not wanted or kind["NetworkInfo"]["EncryptionInTransitSupported"]
    ),
    "RequireHibernateSupport": lambda kind, wanted: not wanted or kind["HibernationSupported"],
    "TotalLocalStorageGB": _within(lambda kind: _storage(kind)["TotalSizeInGB"]),
    "VCpuCount": _within(lambda kind: kind["VCpuInfo"]["DefaultVCpus"]),
}
"""What each requirement asks of a type; those about prices, which there are none of, ask nothing."""


def get_instance_types_from_requirements(context: Ec2Context, params: Params) -> Document:
    """The names of types that meet all requirements (GetInstanceTypesFromInstanceRequirements)."""
    wanted = params["InstanceRequirements"]
    refuse_all(wanted, _UNKNOWN)
    kinds = [
        kind
        for kind in type_documents(context)
        if set(params["ArchitectureTypes"]) & set(kind["ProcessorInfo"]["SupportedArchitectures"])
        and set(params["VirtualizationTypes"]) & set(kind["SupportedVirtualizationTypes"])
        and all(_REQUIREMENTS[name](kind, value) for name, value in wanted.items() if name in _REQUIREMENTS)
    ]
    rows: list[tuple[Position, Document]] = [
        ((kind["InstanceType"],), {"InstanceType": kind["InstanceType"]}) for kind in kinds
    ]
    page, token = page_of(context, params, rows, LIMITS)
    return {"InstanceTypes": page, "NextToken": token}
