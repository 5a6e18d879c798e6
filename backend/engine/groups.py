"""The rules of placement groups: which hosts may carry an instance of one. Pure but for reading its members.

A *party* is a group with its instances that have not ended. It is true as long as the group's row is locked:
whoever places an instance of a group, or moves one into it, holds that lock.

Source: EC2 user guide, "Placement strategies" and "Placement group rules and limitations".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from backend.launch_model import PlacementGroup, Strategy
from backend.model import Instance, Value
from backend.store import GroupMember, Tx

SPREAD_LIMIT = 7
"""How many instances of a spread group at rack level a zone may hold."""

Choice = tuple[int, int]
"""How well a host suits, the lowest number best, and the partition that the instance would be in."""


class Party(Value, frozen=True, kw_only=True):
    """A placement group and its instances that have not ended."""

    group: PlacementGroup
    members: tuple[GroupMember, ...] = ()

    @property
    def together(self) -> bool:
        """Whether all its instances share a host."""
        return self.group.strategy is Strategy.CLUSTER

    @property
    def apart(self) -> bool:
        """Whether no two of its instances share a host."""
        return self.group.strategy is Strategy.SPREAD

    @property
    def zone(self) -> str | None:
        """The zone of a cluster that has instances."""
        return next((each.zone for each in self.members), None) if self.together else None

    def left_in(self, zone: str) -> int | None:
        """How many more instances the group takes in a zone; None when only room limits them."""
        if not self.apart or self.group.spread_level != "rack":
            return None
        return SPREAD_LIMIT - sum(each.zone == zone for each in self.members)

    def awaited_in(self, zone: str) -> int:
        """How many of its instances still wait for a host in a zone."""
        return sum(each.host_id is None and each.zone == zone for each in self.members)

    def with_placed(self, instance: Instance, host_id: str, partition: int) -> Party:
        """The party after one of its instances was given a host."""
        placed = GroupMember(
            group_id=self.group.id,
            instance_id=instance.id,
            zone=instance.zone,
            partition=partition,
            host_id=host_id,
        )
        others = (each for each in self.members if each.instance_id != instance.id)
        return Party(group=self.group, members=(*others, placed))

    def choices(self, instance: Instance, host_id: str) -> tuple[tuple[Choice, ...], str]:
        """What an instance of the group could be on a host, or why it cannot be there.

        One without a partition goes to the emptiest one that has a host for it, and to hosts which carry
        that partition before others, so that these stay free for the other partitions.
        """
        others = [each for each in self.members if each.instance_id != instance.id and each.host_id]
        there = [each for each in others if each.host_id == host_id]
        name = f"'{self.group.name}'"
        match self.group.strategy:
            case Strategy.CLUSTER:
                wrong = bool(others) and not there
                return ((), f"not the one of the cluster {name}") if wrong else (((0, 0),), "")
            case Strategy.SPREAD:
                if self._is_full(instance, others):
                    return (), f"in a zone with {SPREAD_LIMIT} instances of the spread group {name}"
                return ((), f"with an instance of the spread group {name}") if there else (((0, 0),), "")
            case Strategy.PARTITION:
                found = self._partitions(instance, others, {each.partition for each in there})
                return found, "" if found else f"with another partition of the group {name}"

    def partitions_on(self, instance: Instance, host_id: str) -> frozenset[int]:
        """The partitions that an instance may be in on a host, 0 for none; empty when it cannot be there."""
        return frozenset(number for _, number in self.choices(instance, host_id)[0])

    def _is_full(self, instance: Instance, others: Collection[GroupMember]) -> bool:
        limited = self.group.spread_level == "rack"
        return limited and sum(each.zone == instance.zone for each in others) >= SPREAD_LIMIT

    def _partitions(
        self, instance: Instance, others: Collection[GroupMember], there: Collection[int]
    ) -> tuple[Choice, ...]:
        """The partitions that an instance may be in on a host that carries some already."""
        counts = Counter(each.partition for each in others)
        wanted = [instance.partition] if instance.partition else range(1, self.group.partitions + 1)
        allowed = [number for number in wanted if not there or set(there) == {number}]
        return tuple((2 * counts[number] + (number not in there), number) for number in allowed)


def parties(tx: Tx, group_ids: Collection[str]) -> dict[str, Party]:
    """Parties by group."""
    if not group_ids:
        return {}
    members = tx.instances.members(group_ids)
    return {
        group_id: Party(group=group, members=tuple(members.get(group_id, ())))
        for group_id, group in tx.placement_groups.some(group_ids).items()
    }


def party_of(tx: Tx, instance: Instance) -> Party | None:
    """The party of an instance, its group locked, so that it stays true; None without a group."""
    group = tx.placement_groups.lock(instance.group_id) if instance.group_id else None
    return None if group is None else locked_party(tx, group)


def locked_party(tx: Tx, group: PlacementGroup) -> Party:
    """The party of a group whose row is locked."""
    return Party(group=group, members=tuple(tx.instances.members([group.id]).get(group.id, ())))
