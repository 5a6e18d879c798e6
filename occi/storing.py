"""Volumes as storage resources, and their attachments as links (lifecycle §8.2)."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence

from backend.lifecycle import occi_state
from backend.model import AttachState, Instance, Volume, VolumeState, uuid_of
from occi import kinds, names, noting
from occi.catalog import Catalog
from rendering.occi_document import (
    ID,
    SOURCE,
    SOURCE_KIND,
    SUMMARY,
    TARGET,
    TARGET_KIND,
    TITLE,
    Category,
    Entity,
    Link,
    Value,
)

#: 1.2's words, for IM waits for ``online`` (OCCI-REAL-06). What 1.1 calls resize, snapshot and backup goes on
#: while the storage is used; the message tells of it.
_STATES: Mapping[VolumeState, str] = {
    VolumeState.CREATING: "offline",
    VolumeState.AVAILABLE: "online",
    VolumeState.IN_USE: "online",
    VolumeState.DELETING: "offline",
    VolumeState.ERROR: "error",
}
_WHOLE = frozenset({VolumeState.AVAILABLE, VolumeState.IN_USE})
_LINK_WORDS: Mapping[AttachState, str] = {
    AttachState.NONE: "",
    AttachState.ATTACHING: "the machine is given the disk",
    AttachState.ATTACHED: "",
    AttachState.DETACHING: "the machine is asked to let go",
    AttachState.BUSY: "the machine does not let go",
}


def whole_gib(gib: float) -> int:
    """The size, in whole GiB, of a storage that a client wants so large."""
    return max(math.ceil(gib), 1)


def is_shown(volume: Volume) -> bool:
    """Whether OCCI knows a volume: what was deleted is gone at once (OCCI-AMB-07)."""
    return volume.state is not VolumeState.DELETING


def state(volume: Volume) -> str:
    """The state of a storage."""
    return _STATES[volume.state] if volume.online or volume.state not in _WHOLE else "offline"


def state_message(volume: Volume) -> str:
    """EC2's word for the state, and a few about what goes on. Causes are for operators."""
    return ": ".join(filter(None, (volume.state.value, _words(volume))))


def _words(volume: Volume) -> str:
    change = volume.modification
    if volume.state is VolumeState.ERROR:
        return "what was asked for could not be done"
    if change is None or change.state != "modifying":
        return "" if volume.online else "taken offline by its owner"
    if change.size_gib != change.old_size_gib:
        return f"growing from {change.old_size_gib} to {change.size_gib} GiB"
    return f"becoming {change.type}"


def offered(volume: Volume) -> tuple[Category, ...]:
    """The actions applicable now."""
    if volume.state not in _WHOLE or not volume.made:
        return ()
    change = volume.modification
    is_changing = change is not None and change.state == "modifying"
    switch = kinds.OFFLINE if volume.online else kinds.ONLINE
    return (switch, kinds.BACKUP, kinds.SNAPSHOT, *(() if is_changing else (kinds.RESIZE,)))


def entity(
    volume: Volume, catalog: Catalog, *, title: str = "", associated: Sequence[tuple[str, str]] = ()
) -> Entity:
    """A volume as a storage resource; ``associated`` are the mixins on record, as scheme and term."""
    values: dict[str, Value | None] = {
        ID: uuid_of(volume.id),
        TITLE: title or None,
        SUMMARY: volume.summary or None,
        kinds.STORAGE_SIZE: float(volume.size_gib),
        kinds.STORAGE_STATE: state(volume),
        kinds.STORAGE_MESSAGE: state_message(volume),
    }
    return Entity(
        kind=kinds.STORAGE,
        location=names.path_of(volume.id),
        mixins=(*catalog.places(volume.zone, volume.region), *catalog.own_tags(associated)),
        attributes={name: value for name, value in values.items() if value is not None},
        actions=offered(volume),
    )


def link(volume: Volume, instance: Instance, notes: Mapping[str, str]) -> Link:
    """A volume's attachment to an instance as the link between them; ``notes`` are what is noted of it."""
    own_id = names.link_id(volume.id)
    target = names.path_of(volume.id)
    noted = noting.shown(noting.OF_STORAGELINKS, notes)
    return Link(
        target=target,
        rel=(kinds.STORAGE.id,),
        location=names.path_of(own_id),
        kind=kinds.STORAGELINK,
        attributes={
            ID: uuid_of(own_id),
            **{name: value for name, value in noted.items() if value is not None},
            SOURCE: names.path_of(instance.id),
            SOURCE_KIND: kinds.COMPUTE.id,
            TARGET: target,
            TARGET_KIND: kinds.STORAGE.id,
            kinds.LINK_DEVICE: device(volume),
            kinds.LINK_STATE: link_state(volume, instance),
            kinds.LINK_MESSAGE: link_message(volume),
        },
    )


def device(volume: Volume) -> str:
    """The name of an attached volume's device: the client's own, unless its letter was not to be had.

    Clients mount what the server names (IM), and another disk may be there.
    """
    letter = volume.device.rstrip(string.digits)[-1:]
    return volume.device if letter == volume.target[-1:] else f"/dev/{volume.target}"


def link_state(volume: Volume, instance: Instance) -> str:
    """The state of a link: active while the machine runs and has the disk."""
    if volume.state is VolumeState.ERROR:
        return "error"
    runs = occi_state(instance.detail, saved=instance.saved) == "active"
    return "active" if runs and volume.attach is AttachState.ATTACHED else "inactive"


def link_message(volume: Volume) -> str:
    """How far an attachment is, and by what the guest finds the disk, which no device name promises."""
    words = _LINK_WORDS[volume.attach] or f"the serial of the disk is {volume.serial}"
    return ": ".join(filter(None, (volume.attach.value, words)))
