"""Volume types: what EC2's words promise, as limits that a hypervisor can keep.

Sizes in GiB, throughput in MiB/s. ``gp2`` earns credits for bursts in EC2; here a small one may always do
what a burst may.
"""

from __future__ import annotations

from collections.abc import Mapping

from backend.model import Value


class VolumeType(Value, frozen=True, kw_only=True):
    """One type: the sizes it may have, and its limits; 0 is no limit.

    ``iops`` and ``throughput`` are what every volume gets, ``iops_per_gib`` more by size up to ``most_iops``.
    ``asks_iops``: the caller must say how many; ``may_ask_iops`` and ``may_ask_throughput``: may.
    """

    name: str
    least_gib: int = 1
    most_gib: int = 16384
    iops: int = 0
    iops_per_gib: int = 0
    most_iops: int = 0
    throughput: int = 0
    most_throughput: int = 0
    asks_iops: bool = False
    may_ask_iops: bool = False
    may_ask_throughput: bool = False

    def limits(self, size_gib: int, iops: int = 0, throughput: int = 0) -> tuple[int, int]:
        """I/O operations and MiB a second for a volume of a size; 0 is no limit."""
        own = max(self.iops, self.iops_per_gib * size_gib)
        wanted = iops or (min(own, self.most_iops) if self.most_iops else own)
        return wanted, throughput or self.throughput


DEFAULT_TYPE = "gp2"

VOLUME_TYPES: Mapping[str, VolumeType] = {
    each.name: each
    for each in (
        VolumeType(name="standard", most_gib=1024),
        VolumeType(name="gp2", iops=3000, iops_per_gib=3, most_iops=16000, throughput=250),
        VolumeType(
            name="gp3",
            iops=3000,
            most_iops=16000,
            throughput=125,
            most_throughput=1000,
            may_ask_iops=True,
            may_ask_throughput=True,
        ),
        VolumeType(
            name="io1",
            least_gib=4,
            iops=100,
            most_iops=64000,
            throughput=1000,
            asks_iops=True,
            may_ask_iops=True,
        ),
        VolumeType(
            name="io2",
            least_gib=4,
            iops=100,
            most_iops=64000,
            throughput=1000,
            asks_iops=True,
            may_ask_iops=True,
        ),
        VolumeType(name="st1", least_gib=125, throughput=500),
        VolumeType(name="sc1", least_gib=125, throughput=250),
    )
}
"""The types by name (EC2 "Amazon EBS volume types")."""
