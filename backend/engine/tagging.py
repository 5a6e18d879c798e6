"""Tags: what is a good one, and setting them on resources of any kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from backend.commands import CreateTags, DeleteTags
from backend.engine.access import own_image, own_instances, own_key_pair, own_snapshot, own_volume
from backend.engine.network_access import own, own_rule
from backend.engine.work import Work
from backend.errors import BackendError, Code
from backend.launch_model import LaunchTemplate, PlacementGroup
from backend.model import Owned, Tag
from backend.network_model import (
    DhcpOptions,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Nic,
    PublicAddress,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)
from backend.store import Tx

Tags = Sequence[tuple[str, str]]
TAG_LIMIT = 50
_KEY_LENGTH = 128
_VALUE_LENGTH = 256
_MOST_RESOURCES = 1000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What XML cannot carry, and so no tag may hold."""


def check_tags(tags: Tags) -> None:
    """Refuse tags that break EC2's limits (spec ec2 §10), which hold for both faces."""
    for key, value in tags:
        if not 1 <= len(key) <= _KEY_LENGTH or len(value) > _VALUE_LENGTH:
            raise BackendError(
                Code.TAG_INVALID,
                "Tag keys have 1 to 128 characters, tag values at most 256.",
                parameter="Tag",
                value=key[:_KEY_LENGTH],
            )
        if _CONTROL.search(key) or _CONTROL.search(value):
            raise BackendError(
                Code.TAG_INVALID, "Tags cannot hold control characters.", parameter="Tag", value=repr(key)
            )
        _refuse_reserved(key)
    if len(dict(tags)) > TAG_LIMIT:
        raise _limit()


def is_reserved(key: str) -> bool:
    """Whether a key is the service's own: users neither give nor take such tags, and they do not count."""
    return key.lower().startswith("aws:")


def _refuse_reserved(key: str) -> None:
    if is_reserved(key):
        raise BackendError(
            Code.TAG_RESERVED, "Tag keys starting with 'aws:' are reserved for internal use", value=key
        )


def _limit() -> BackendError:
    return BackendError(Code.TAG_LIMIT, "The maximum number of Tags for a resource has been reached.")


def give_tags(
    work: Work,
    resource_ids: Iterable[str],
    resource_type: str,
    tags: Iterable[tuple[str, str]],
    *,
    tenant_id: str = "",
) -> None:
    """Give new resources the tags that they come with; they are the caller's unless a tenant is named."""
    given = tuple(tags)
    check_tags(given)
    _insert(work, resource_ids, resource_type, given, tenant_id)


def give_origin(
    work: Work, resource_ids: Iterable[str], resource_type: str, tags: Iterable[tuple[str, str]]
) -> None:
    """Give new resources of the caller's tags of the service's own, with reserved keys."""
    _insert(work, resource_ids, resource_type, tuple(tags), "")


def _insert(work: Work, resource_ids: Iterable[str], resource_type: str, given: Tags, tenant_id: str) -> None:
    work.tx.tags.insert_all(
        Tag(
            resource_id=each,
            resource_type=resource_type,
            tenant_id=tenant_id or work.caller.tenant_id,
            key=key,
            value=value,
        )
        for each in resource_ids
        for key, value in dict(given).items()
    )


def create_tags(work: Work, command: CreateTags) -> None:
    """Set tags on all resources named, or on none (CreateTags)."""
    check_tags(command.tags)
    kinds = _resources(work, command.ids)
    _touch(work, kinds)  # first: whoever tags the same instances waits here
    have = work.tx.tags.of(list(kinds))
    for resource_id in kinds:
        after = have.get(resource_id, {}) | dict(command.tags)
        if sum(not is_reserved(key) for key in after) > TAG_LIMIT:
            raise _limit()
    work.tx.tags.put(
        Tag(resource_id=resource_id, resource_type=kind, tenant_id=tenant_id, key=key, value=value)
        for resource_id, (kind, tenant_id) in kinds.items()
        for key, value in dict(command.tags).items()
    )


def delete_tags(work: Work, command: DeleteTags) -> None:
    """Remove tags by key, by key and value, or all but the service's own (DeleteTags)."""
    for key, _ in command.tags:
        _refuse_reserved(key)
    kinds = _resources(work, command.ids)
    _touch(work, kinds)
    for resource_id, have in work.tx.tags.of(list(kinds)).items():
        for key, value in command.tags or [(key, None) for key in have if not is_reserved(key)]:
            if key in have and value in {None, have[key]}:
                work.tx.tags.delete(resource_id, key)


def _touch(work: Work, kinds: dict[str, tuple[str, str]]) -> None:
    """Renderings of instances hold their own tags and those of their interfaces, others their own."""
    instances = {resource_id for resource_id, (kind, _) in kinds.items() if kind == "instance"}
    nics = [resource_id for resource_id, (kind, _) in kinds.items() if kind == "network-interface"]
    instances |= {nic.instance_id for nic in work.tx.nics.some(nics).values() if nic.instance_id}
    if instances:
        work.tx.instances.touch(sorted(instances))
    for kind, rows in _SHOWN.items():
        of_kind = [resource_id for resource_id, (each, _) in kinds.items() if each == kind]
        if of_kind:
            rows(work.tx).touch(of_kind)


def _resources(work: Work, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Kind and tenant of each resource; one unknown id refuses all."""
    wanted = list(dict.fromkeys(ids))
    if not 1 <= len(wanted) <= _MOST_RESOURCES:
        raise BackendError(
            Code.PARAMETER_INVALID,
            "Between 1 and 1000 resources can be tagged at once.",
            parameter="resource",
        )
    instances = [item for item in wanted if item.startswith("i-")]
    kinds = {item.id: ("instance", item.tenant_id) for item in own_instances(work, instances, ended=True)}
    for item in wanted:
        if item.startswith("ami-"):
            kinds[item] = ("image", own_image(work, item).tenant_id)
        elif item.startswith("vol-"):
            kinds[item] = ("volume", own_volume(work, item).tenant_id)
        elif item.startswith("snap-"):
            kinds[item] = ("snapshot", own_snapshot(work, item).tenant_id)
        elif item.startswith("key-"):
            kinds[item] = ("key-pair", _key_pair_tenant(work, item))
        elif (kind := TAGGED.get(item.partition("-")[0])) is not None:
            kinds[item] = (kind[0], own(work, kind[1], item).tenant_id)
        elif item.startswith("sgr-"):
            kinds[item] = ("security-group-rule", own_rule(work, item).tenant_id)
        elif item not in kinds:
            raise _unknown(item)
    return dict(sorted(kinds.items()))  # one order for all callers: no deadlock


TAGGED: Mapping[str, tuple[str, type[Owned]]] = {
    "vpc": ("vpc", Vpc),
    "subnet": ("subnet", Subnet),
    "rtb": ("route-table", RouteTable),
    "igw": ("internet-gateway", InternetGateway),
    "nat": ("natgateway", NatGateway),
    "dopt": ("dhcp-options", DhcpOptions),
    "acl": ("network-acl", NetworkAcl),
    "sg": ("security-group", SecurityGroup),
    "eni": ("network-interface", Nic),
    "eipalloc": ("elastic-ip", PublicAddress),
    "pg": ("placement-group", PlacementGroup),
    "lt": ("launch-template", LaunchTemplate),
}
"""What a tenant has in a region by the prefix of their ids: EC2's resource type, and the rows."""


_SHOWN: Mapping[str, Callable[[Tx], Any]] = {
    "volume": lambda tx: tx.volumes,
    "subnet": lambda tx: tx.subnets,
    "security-group": lambda tx: tx.security_groups,
    "network-interface": lambda tx: tx.nics,
    "elastic-ip": lambda tx: tx.public_addresses,
}
"""The rows whose versions change with their tags, besides instances: whatever is shown of a thing raises it,
so that a request that depends on what it has read can hold it."""


def _key_pair_tenant(work: Work, key_pair_id: str) -> str:
    pair = own_key_pair(work, key_pair_id)
    if pair is None:
        raise _unknown(key_pair_id)
    return pair.tenant_id


def _unknown(resource_id: str) -> BackendError:
    return BackendError(Code.RESOURCE_NOT_FOUND, f"The ID '{resource_id}' is not valid", ids=(resource_id,))
