"""The sizes that a new installation offers."""

from __future__ import annotations

from typing import Final

from backend.model import Flavor

#: Name, cores, MiB, GiB of the system disk, GiB of scratch disk, term in OCCI's resource templates profile.
#: The t2 and m1 names are Amazon's, with their cores and memory. Disks are thin, and grow with the image.
#: The profile asks for its sizes exactly (GWD.222, OCCI-CRTP-003).
_TABLE: Final = (
    ("t2.nano", 1, 512, 1, 0, ""),
    ("t2.micro", 1, 1024, 1, 0, ""),
    ("t2.small", 1, 2048, 2, 0, ""),
    ("t2.medium", 2, 4096, 4, 0, ""),
    ("t2.large", 2, 8192, 8, 0, ""),
    ("m1.small", 1, 1740, 2, 1, ""),
    ("small", 1, 1024, 2, 10, "small"),
    ("medium", 2, 2048, 4, 20, "medium"),
    ("large", 4, 4096, 8, 40, "large"),
    ("mem_small", 1, 4096, 2, 10, "mem_small"),
    ("mem_medium", 2, 8192, 4, 20, "mem_medium"),
    ("mem_large", 4, 16384, 8, 40, "mem_large"),
)

DEFAULTS: Final[tuple[Flavor, ...]] = tuple(
    Flavor(name=name, vcpus=vcpus, memory_mib=memory, root_gib=root, ephemeral_gib=scratch, crtp=term)
    for name, vcpus, memory, root, scratch, term in _TABLE
)
