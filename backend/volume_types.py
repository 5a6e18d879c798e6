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
    ``asks_iops``: the caller must say how many; ``may_ask_iops`` and ``may_ask_throughput``: may, between the
    least and the most. A volume may be asked to have more than ``least_iops`` only up to
    ``most_iops_per_gib`` for its size, and one I/O operation a second carries at most ``throughput_per_iops``
    MiB/s.
    """

    name: str
    least_gib: int = 1
    most_gib: int = 16384
    iops: int = 0
    iops_per_gib: int = 0
    least_iops: int = 100
    most_iops: int = 0
    most_iops_per_gib: int = 0
    throughput: int = 0
    most_throughput: int = 0
    throughput_per_iops: float = 0.25
    asks_iops: bool = False
    may_ask_iops: bool = False
    may_ask_throughput: bool = False

    def limits(self, size_gib: int, iops: int = 0, throughput: int = 0) -> tuple[int, int]:
        """I/O operations and MiB a second for a volume of a size; 0 is no limit."""
        own = max(self.iops, self.iops_per_gib * size_gib)
        wanted = iops or (min(own, self.most_iops) if self.most_iops else own)
        return wanted, throughput or self.throughput

    def refusal(self, size_gib: int, iops: int, throughput: int) -> tuple[str, str] | None:
        """Which of ``size``, ``iops`` and ``throughput`` a volume cannot have, with EC2's sentence.

        0 asks for nothing. Whether a limit may be asked for at all is not judged here.
        """
        if not self.least_gib <= size_gib <= self.most_gib:
            return (
                "size",
                f"Volumes of the type {self.name} have {self.least_gib} to {self.most_gib} GiB.",
            )
        wrong = _outside("Volume iops", iops, self.least_iops, self.most_iops)
        if wrong or not self._fits_size(iops, size_gib):
            return "iops", wrong or (
                f"Iops to volume size ratio of {iops / size_gib:.6f} is too high; "
                f"maximum is {self.most_iops_per_gib}."
            )
        wrong = _outside("Volume throughput", throughput, self.throughput, self.most_throughput)
        ratio = throughput / (iops or self.iops or 1)
        if wrong or ratio > self.throughput_per_iops:
            return "throughput", wrong or (
                f"Throughput (MiBps) to iops ratio of {ratio:.6f} is too high; "
                f"maximum is {self.throughput_per_iops:.6f} MiBps per iops."
            )
        return None

    def _fits_size(self, iops: int, size_gib: int) -> bool:
        most = self.most_iops_per_gib * size_gib
        return iops <= max(most, self.iops) or not self.most_iops_per_gib


def _outside(what: str, asked: int, least: int, most: int) -> str:
    """EC2's sentence about a limit that is asked for and out of range."""
    if asked and asked < least:
        return f"{what} of {asked} is too low; minimum is {least}."
    return f"{what} of {asked} is too high; maximum is {most}." if asked > most else ""


DEFAULT_TYPE = "gp2"

VOLUME_TYPES: Mapping[str, VolumeType] = {
    each.name: each
    for each in (
        VolumeType(name="standard", most_gib=1024),
        VolumeType(name="gp2", iops=3000, iops_per_gib=3, most_iops=16000, throughput=250),
        VolumeType(
            name="gp3",
            iops=3000,
            least_iops=3000,
            most_iops_per_gib=500,
            most_iops=16000,
            throughput=125,
            most_throughput=1000,
            may_ask_iops=True,
            may_ask_throughput=True,
        ),
        VolumeType(
            name="io1",
            least_gib=4,
            most_iops_per_gib=50,
            iops=100,
            most_iops=64000,
            throughput=1000,
            asks_iops=True,
            may_ask_iops=True,
        ),
        VolumeType(
            name="io2",
            least_gib=4,
            most_iops_per_gib=500,
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
