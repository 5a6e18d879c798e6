"""What launch templates say: a launch's parameters by the SDKs' names, kept as they came. Pure functions.

A launch takes a template's parameters and puts its own in their place: members inside a structure one by one,
block devices by their names, tags by their keys, other lists as a whole (EC2 user guide, "Launch instances
using a launch template").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Data = Mapping[str, Any]
Items = Sequence[Mapping[str, Any]]

_RENAMED = {"ElasticGpuSpecifications": "ElasticGpuSpecification", "RamDiskId": "RamdiskId"}
"""Members that RunInstances spells otherwise."""

_GROUPS = frozenset({"SecurityGroupIds", "SecurityGroups"})
"""Two ways to say one thing: who says it in either way takes the place of both."""


def overlaid(data: Data, request: Data) -> dict[str, Any]:
    """The parameters of a launch from a template's data and what the request says itself."""
    base = {_RENAMED.get(name, name): value for name, value in data.items()}
    if any(request.get(name) for name in _GROUPS):
        base = {name: value for name, value in base.items() if name not in _GROUPS}
    return _over(base, request)


def _over(base: Data, request: Data) -> dict[str, Any]:
    merged = dict(base)
    for name, value in request.items():
        have = merged.get(name)
        if have is not None and value in ([], {}):
            continue  # empty: it asks for nothing
        if isinstance(have, Mapping) and isinstance(value, Mapping):
            merged[name] = _over(have, value)
        elif isinstance(have, list) and isinstance(value, list) and name in _KEYED:
            merged[name] = _KEYED[name](have, value)
        else:
            merged[name] = value
    return merged


def _by_device(base: Items, request: Items) -> list[Mapping[str, Any]]:
    """Block devices: one of a name takes the place of the template's of that name."""
    own = {item["DeviceName"]: item for item in request if item.get("DeviceName")}
    kept = [own.get(str(item.get("DeviceName")), item) for item in base]
    return kept + [item for item in request if item not in kept]


def _by_tag(base: Items, request: Items) -> list[Mapping[str, Any]]:
    """Tags: a key takes the place of the template's of that key, for the same kind of resource."""
    own = {(each.get("ResourceType"), tag.get("Key")) for each in request for tag in each.get("Tags") or ()}
    left = []
    for each in base:
        kind, tags = each.get("ResourceType"), each.get("Tags") or ()
        if kept := [tag for tag in tags if (kind, tag.get("Key")) not in own]:
            left.append({**each, "Tags": kept})
    return [*left, *request]


_KEYED: Mapping[str, Callable[[Items, Items], list[Mapping[str, Any]]]] = {
    "BlockDeviceMappings": _by_device,
    "TagSpecifications": _by_tag,
}
"""Lists whose items are known by a key."""

NOT_INHERITED = (("BlockDeviceMappings", "Ebs", "SnapshotId"),)
"""What a new version does not take from the one that it is based on (CreateLaunchTemplateVersion)."""

_MOMENT = ("InstanceMarketOptions", "SpotOptions", "ValidUntil")
"""The one member that is a time (a test asserts it), which is kept as text."""


def told(data: Data) -> dict[str, Any]:
    """``ResponseLaunchTemplateData``: what was kept, as it came."""
    return _with_moment(data, _MOMENT)


def _with_moment(data: Data, path: Sequence[str]) -> dict[str, Any]:
    name, *rest = path
    if name not in data:
        return dict(data)
    value = data[name]
    inner = _with_moment(value, rest) if rest else datetime.fromisoformat(value)
    return {**data, name: inner}
