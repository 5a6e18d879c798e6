"""Attributes that mean nothing to the engine: they are kept as notes, and shown as they were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.commands import Command, SetNotes
from occi import kinds, mixins
from occi.changing import Standing
from rendering.occi_document import TITLE, Value

Notes = tuple[tuple[str, str], ...]

#: What is noted of each kind. Resources, and interfaces, have EC2's Name tag for a title.
OF_MACHINES = (kinds.SPEED, mixins.OPENSTACK_KEY_NAME)
OF_STORAGELINKS = (TITLE, kinds.LINK_MOUNTPOINT)
OF_GROUPLINKS = (TITLE,)
OF_ADDRESSES = (TITLE,)
OF_INTERFACES = (mixins.INTERFACE_ALLOCATION,)
OF_NETWORKS = (mixins.NETWORK_ALLOCATION,)
OF_RESERVATIONS = (kinds.VLAN, kinds.LABEL)


def noted(names: Iterable[str], given: Mapping[str, Any]) -> Notes:
    """The notes that the attributes of a new entity are."""
    return tuple((name, str(given[name])) for name in names if given.get(name) not in {None, ""})


def set_notes(entity_id: str, notes: Notes, *, instance_id: str = "") -> list[Command[Any]]:
    """The command that writes notes, if there are any; a membership needs the machine that it begins at."""
    return [SetNotes(resource_id=entity_id, notes=notes, instance_id=instance_id)] if notes else []


def changed(
    standing: Standing, names: Iterable[str], given: Mapping[str, Any], *, instance_id: str = ""
) -> list[Command[Any]]:
    """The command that makes notes what an update says; what it does not name stays, what is empty goes."""
    now = standing.shown.attributes
    notes = tuple(
        (name, str(given[name])) for name in names if name in given and given[name] != now.get(name, "")
    )
    return set_notes(standing.id, notes, instance_id=instance_id)


def shown(names: Sequence[str], notes: Mapping[str, str]) -> dict[str, Value | None]:
    """The attributes that are noted of an entity, None without a note."""
    return {name: notes.get(name) for name in names}
