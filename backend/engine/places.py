"""Where bytes lie: hosts that see the same files, and what a volume is called on its way between others."""

from __future__ import annotations

from backend.model import Host

_MOVING = ".mv"


def same_store(one: Host | None, other: Host | None) -> bool:
    """Whether two hosts see the same files: they are one, or both declare the same shared store."""
    if one is None or other is None:
        return False
    shared = one.capabilities.get("store", "")
    return one.id == other.id or (bool(shared) and shared == other.capabilities.get("store"))


def moving_name(volume_id: str) -> str:
    """What a volume's copy is called while it moves, on its old host and in the store."""
    return f"{volume_id}{_MOVING}"


def volume_of(name: str) -> str:
    """The volume that files of a name would be of, itself or a copy on its way."""
    return name.removesuffix(_MOVING)
