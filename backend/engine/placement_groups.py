"""Placement groups: making and deleting them, and moving stopped instances between them.

The rules themselves are in :mod:`backend.engine.groups`, and the scheduler obeys them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from backend.commands import Launch
from backend.engine.access import own_instances
from backend.engine.groups import Party, locked_party
from backend.engine.network_reads import may_see
from backend.engine.registry import lock_tenant
from backend.engine.tagging import check_tags, give_tags
from backend.engine.work import Work, wrong_state
from backend.errors import BackendError, Code
from backend.launch_commands import CreatePlacementGroup, DeletePlacementGroup, PlaceInstance
from backend.launch_model import PlacementGroup, Strategy
from backend.lifecycle import ec2_state
from backend.model import Desired, Instance, new_id

GROUP_LIMIT = 500
"""How many groups a tenant may have in a region, as in EC2."""
MOST_PARTITIONS = 7
DEFAULT_PARTITIONS = 2
SPREAD_LEVELS = ("rack", "host")
_LONGEST_NAME = 255


def create_placement_group(work: Work, command: CreatePlacementGroup) -> PlacementGroup:
    """Make a placement group (CreatePlacementGroup); its name is the tenant's only one in the region."""
    _check_name(command.name)
    check_tags(command.tags)
    caller, tx = work.caller, work.tx
    group = PlacementGroup(
        id=new_id("pg"),
        tenant_id=caller.tenant_id,
        account_id=caller.account_id,
        region=work.region,
        created_at=work.now,
        name=command.name,
        strategy=command.strategy,
        partitions=_partitions(command),
        spread_level=_spread_level(command),
    )
    lock_tenant(work, caller.tenant_id)
    if tx.placement_groups.named(caller.tenant_id, work.region, command.name) is not None:
        raise BackendError(
            Code.PLACEMENT_GROUP_EXISTS,
            f"The placement group '{command.name}' already exists.",
            name=command.name,
        )
    if tx.placement_groups.count(caller.tenant_id, work.region) >= GROUP_LIMIT:
        raise BackendError(
            Code.NETWORK_LIMIT,
            f"You have reached the limit of {GROUP_LIMIT} placement groups in a region.",
            noun="PlacementGroup",
            limit=GROUP_LIMIT,
        )
    tx.placement_groups.insert(group)
    give_tags(work, [group.id], "placement-group", command.tags)
    return group


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isascii() or not name.isprintable():
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A placement group's name has 1 to {_LONGEST_NAME} ASCII characters.",
            parameter="groupName",
            value=name,
        )


def _partitions(command: CreatePlacementGroup) -> int:
    if command.strategy is not Strategy.PARTITION:
        if command.partitions is not None:
            raise BackendError(
                Code.PARAMETER_COMBINATION,
                "The parameter partitionCount is valid only when the strategy is partition.",
            )
        return 0
    count = DEFAULT_PARTITIONS if command.partitions is None else command.partitions
    if not 1 <= count <= MOST_PARTITIONS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A placement group has 1 to {MOST_PARTITIONS} partitions.",
            parameter="partitionCount",
            value=count,
        )
    return count


def _spread_level(command: CreatePlacementGroup) -> str:
    if command.strategy is not Strategy.SPREAD:
        if command.spread_level:
            raise BackendError(
                Code.PARAMETER_COMBINATION,
                "The parameter spreadLevel is valid only when the strategy is spread.",
            )
        return ""
    level = command.spread_level or SPREAD_LEVELS[0]
    if level not in SPREAD_LEVELS:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"A spread level is one of {', '.join(SPREAD_LEVELS)}.",
            parameter="spreadLevel",
            value=level,
        )
    return level


def delete_placement_group(work: Work, command: DeletePlacementGroup) -> None:
    """Delete a group by name or id (DeletePlacementGroup), once all its instances have ended."""
    group = own_placement_group(work, command.name)
    if work.tx.instances.members([group.id]):
        raise BackendError(
            Code.PLACEMENT_GROUP_IN_USE,
            f"The placement group '{group.name}' is in use and may not be deleted.",
            name=group.name,
        )
    work.tx.tags.drop([group.id])
    work.tx.placement_groups.delete(group.id)


def own_placement_group(work: Work, name: str) -> PlacementGroup:
    """A group of the caller's by name or id, locked: its party changes no more in this transaction.

    Raises:
        BackendError: PLACEMENT_GROUP_NOT_FOUND.
    """
    rows = work.tx.placement_groups
    found = rows.named(work.caller.tenant_id, work.region, name)
    group = rows.lock(found.id if found is not None else name)
    if group is None or not may_see(work.caller, group):
        raise BackendError(
            Code.PLACEMENT_GROUP_NOT_FOUND, f"The placement group '{name[:255]}' is unknown.", ids=(name,)
        )
    return group


# Instances of groups ------------------------------------------------------------------------------------


def party_of_launch(work: Work, command: Launch) -> Party | None:
    """The party that a launch's instances join, its group locked; None when it names none."""
    return _named_party(work, command.group, command.partition)


def _named_party(work: Work, name: str, partition: int) -> Party | None:
    """The party of a group that has a partition (0: any), locked; None without a name."""
    if not name:
        if partition:
            raise BackendError(
                Code.PARAMETER_COMBINATION,
                "The parameter partitionNumber needs a placement group with the strategy partition.",
            )
        return None
    group = own_placement_group(work, name)
    _check_partition(group, partition)
    return locked_party(work.tx, group)


def _check_partition(group: PlacementGroup, partition: int) -> None:
    """Refuse a partition that the group has not; 0 leaves it to the scheduler."""
    if partition and group.strategy is not Strategy.PARTITION:
        raise BackendError(
            Code.PARAMETER_COMBINATION,
            f"The placement group '{group.name}' has no partitions: its strategy is {group.strategy.value}.",
        )
    if not 0 <= partition <= group.partitions:
        raise BackendError(
            Code.PARAMETER_INVALID,
            f"The placement group '{group.name}' has {group.partitions} partitions.",
            parameter="partitionNumber",
            value=partition,
        )


def check_zone(party: Party, zone: str) -> None:
    """Refuse a zone that is not the one in which a cluster is already."""
    if party.zone not in {None, zone}:
        raise BackendError(
            Code.PLACEMENT_GROUP_IN_USE,
            f"The placement group '{party.group.name}' is in use in another availability zone: {party.zone}",
            name=party.group.name,
        )


def no_place_left(party: Party, zone: str) -> BackendError:
    """The refusal of more instances than a spread group may have in a zone."""
    return BackendError(
        Code.NO_CAPACITY,
        f"The spread placement group '{party.group.name}' has no room for so many instances in the "
        f"availability zone {zone}.",
    )


def place_instance(work: Work, command: PlaceInstance) -> Instance:
    """Move a stopped instance into a group, to another partition, or out of all (ModifyInstancePlacement).

    It stays on its host, where its disks are, and so has to suit the group there.
    """
    instance = own_instances(work, [command.instance_id])[0]
    party = _party_to_be(work, command, instance)
    stopped = ec2_state(instance.detail, gone=instance.desired is Desired.GONE) == "stopped"
    if not stopped or instance.job_id is not None:
        raise wrong_state(instance, "modify")
    group_id, partition = "", 0
    if party is not None:
        check_zone(party, instance.zone)
        group_id, partition = party.group.id, _partition_there(party, instance, command.partition)
    if (group_id, partition) == (instance.group_id, instance.partition):
        return instance
    moved = work.tx.instances.update(instance, group_id=group_id, partition=partition)
    work.note(moved, op="modify", old=instance.detail, why="group_id, partition")
    return moved


def _party_to_be(work: Work, command: PlaceInstance, instance: Instance) -> Party | None:
    """The party that an instance is to belong to, without itself."""
    party = _named_party(work, command.group, command.partition)
    if party is None:
        return None
    others = tuple(each for each in party.members if each.instance_id != instance.id)
    return Party(group=party.group, members=others)


def _partition_there(party: Party, instance: Instance, wanted: int) -> int:
    """The partition in which an instance suits the group where it is; one that waits has still to get it."""
    left = party.left_in(instance.zone)
    if left is not None and left < 1:
        raise no_place_left(party, instance.zone)
    if instance.host_id is None:
        return wanted
    choices, why = party.choices(msgspec.structs.replace(instance, partition=wanted), instance.host_id)
    if not choices:
        raise BackendError(
            Code.NO_CAPACITY,
            f"The instance '{instance.id}' cannot be in the placement group '{party.group.name}' where its "
            f"disks are: its host is {why}.",
            ids=(instance.id,),
        )
    return min(choices)[1]


HANDLERS: Mapping[type, Callable[[Work, Any], Any]] = {
    CreatePlacementGroup: create_placement_group,
    DeletePlacementGroup: delete_placement_group,
    PlaceInstance: place_instance,
}
