"""Kinds and actions as declarations (OCCI Core and Infrastructure, 1.1 and 1.2 together, OCCI-AMB-25).

A kind is one row of data: the query interface, validation and both renderings are derived from it.
Required are only attributes that clients of the 1.1 suites fill in (OCCI-REAL-12): a machine has none, a
storage its size, and a link, whose device name those suites make up, no more than its ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from rendering.occi_document import (
    ID,
    SOURCE,
    SOURCE_KIND,
    SUMMARY,
    TARGET,
    TARGET_KIND,
    TITLE,
    AttributeSpec,
    AttributeType,
    Category,
    CategoryClass,
)

CORE = "http://schemas.ogf.org/occi/core#"
INFRASTRUCTURE = "http://schemas.ogf.org/occi/infrastructure#"
COMPUTE_ACTION = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
STORAGE_ACTION = "http://schemas.ogf.org/occi/infrastructure/storage/action#"

ARCHITECTURE = "occi.compute.architecture"
CORES = "occi.compute.cores"
HOSTNAME = "occi.compute.hostname"
SPEED = "occi.compute.speed"
SHARE = "occi.compute.share"
MEMORY = "occi.compute.memory"
STATE = "occi.compute.state"
STATE_MESSAGE = "occi.compute.state.message"
STORAGE_SIZE = "occi.storage.size"
STORAGE_STATE = "occi.storage.state"
STORAGE_MESSAGE = "occi.storage.state.message"
LINK_DEVICE = "occi.storagelink.deviceid"
LINK_MOUNTPOINT = "occi.storagelink.mountpoint"
LINK_STATE = "occi.storagelink.state"
LINK_MESSAGE = "occi.storagelink.state.message"

#: GiB in the largest volume that any type allows.
LARGEST_STORAGE = 65536

_INTEGER, _NUMBER = AttributeType.INTEGER, AttributeType.NUMBER

_ENTITY_ATTRIBUTES = (
    AttributeSpec(name=ID, mutable=False, description="Identifier of the entity"),
    AttributeSpec(name=TITLE, description="Name for people"),
)
_RESOURCE_ATTRIBUTES = (*_ENTITY_ATTRIBUTES, AttributeSpec(name=SUMMARY, description="Description"))
_LINK_ATTRIBUTES = (
    *_ENTITY_ATTRIBUTES,
    AttributeSpec(name=SOURCE, required=True, description="Where the link begins"),
    AttributeSpec(name=TARGET, required=True, description="Where the link leads"),
    AttributeSpec(name=TARGET_KIND, description="Kind of the target"),
)


def _kind(scheme: str, term: str, title: str, parent: str, *attributes: AttributeSpec) -> Category:
    return Category(
        scheme=scheme,
        term=term,
        class_=CategoryClass.KIND,
        title=title,
        parent=parent,
        location="" if term == "entity" else f"/{term}/",
        attributes=attributes,
        actions=tuple(action.id for action in _ACTIONS_OF.get(term, ())),
    )


def _method(*choices: str) -> AttributeSpec:
    return AttributeSpec(name="method", choices=choices, description=f"One of {', '.join(choices)}")


def _action(scheme: str, term: str, title: str, *attributes: AttributeSpec) -> Category:
    return Category(scheme=scheme, term=term, class_=CategoryClass.ACTION, title=title, attributes=attributes)


START = _action(COMPUTE_ACTION, "start", "Start the machine")
STOP = _action(COMPUTE_ACTION, "stop", "Stop the machine", _method("graceful", "acpioff", "poweroff"))
RESTART = _action(COMPUTE_ACTION, "restart", "Restart the machine", _method("graceful", "warm", "cold"))
SUSPEND = _action(COMPUTE_ACTION, "suspend", "Suspend the machine", _method("hibernate", "suspend"))
SAVE = _action(
    COMPUTE_ACTION,
    "save",
    "Save the machine as an OS template",
    _method("hot", "deferred"),
    AttributeSpec(name="name", description="Name of the new template"),
)
ONLINE = _action(STORAGE_ACTION, "online", "Bring the storage online")
OFFLINE = _action(STORAGE_ACTION, "offline", "Take the storage offline")
BACKUP = _action(STORAGE_ACTION, "backup", "Back the storage up")
SNAPSHOT = _action(STORAGE_ACTION, "snapshot", "Take a snapshot of the storage")
RESIZE = _action(
    STORAGE_ACTION,
    "resize",
    "Resize the storage",
    AttributeSpec(
        name="size",
        type=_NUMBER,
        required=True,
        minimum=1 / 1024,
        maximum=LARGEST_STORAGE,
        description="New size in GiB",
    ),
)

#: Actions by the term of the kind that defines them. Those of 1.1 stay beside 1.2's (OCCI-INFRA-032).
_ACTIONS_OF: Mapping[str, tuple[Category, ...]] = {
    "compute": (START, STOP, RESTART, SUSPEND, SAVE),
    "storage": (ONLINE, OFFLINE, BACKUP, SNAPSHOT, RESIZE),
}

ENTITY = _kind(CORE, "entity", "Entity", "", *_ENTITY_ATTRIBUTES)
RESOURCE = _kind(CORE, "resource", "Resource", ENTITY.id, *_RESOURCE_ATTRIBUTES)
LINK = _kind(CORE, "link", "Link", ENTITY.id, *_LINK_ATTRIBUTES)
COMPUTE = _kind(
    INFRASTRUCTURE,
    "compute",
    "Compute Resource",
    RESOURCE.id,
    *_RESOURCE_ATTRIBUTES,
    AttributeSpec(name=ARCHITECTURE, choices=("x86", "x64"), description="Processor architecture"),
    AttributeSpec(name=CORES, type=_INTEGER, minimum=1, maximum=128, description="Number of virtual cores"),
    AttributeSpec(name=HOSTNAME, description="Fully qualified name that the machine is given"),
    # Nothing here can set these two (OCCI-CORE-007).
    AttributeSpec(
        name=SPEED, type=_NUMBER, mutable=False, description="Processor clock in GHz, of OCCI 1.1; not kept"
    ),
    AttributeSpec(
        name=SHARE, type=_INTEGER, mutable=False, description="Relative share of processor time; not kept"
    ),
    AttributeSpec(name=MEMORY, type=_NUMBER, minimum=1 / 1024, maximum=2048, description="Memory in GiB"),
    AttributeSpec(
        name=STATE,
        mutable=False,
        choices=("active", "inactive", "suspended", "error"),
        description="State of the machine",
    ),
    AttributeSpec(name=STATE_MESSAGE, mutable=False, description="More about the state"),
)
STORAGE = _kind(
    INFRASTRUCTURE,
    "storage",
    "Storage Resource",
    RESOURCE.id,
    *_RESOURCE_ATTRIBUTES,
    AttributeSpec(
        name=STORAGE_SIZE,
        type=_NUMBER,
        required=True,
        minimum=1 / 1024,
        maximum=LARGEST_STORAGE,
        description="Size in GiB; what is no whole number of them is rounded up",
    ),
    AttributeSpec(
        name=STORAGE_STATE,
        mutable=False,
        choices=("online", "offline", "error"),
        description="State of the storage",
    ),
    AttributeSpec(name=STORAGE_MESSAGE, mutable=False, description="More about the state"),
)
STORAGELINK = _kind(
    INFRASTRUCTURE,
    "storagelink",
    "Storage Link",
    LINK.id,
    AttributeSpec(name=ID, mutable=False, description="Identifier of the link"),
    # Nothing here keeps these (OCCI-CORE-007).
    AttributeSpec(name=TITLE, mutable=False, description="Name for people; not kept"),
    AttributeSpec(name=SOURCE, required=True, description="The machine"),
    AttributeSpec(name=SOURCE_KIND, mutable=False, description="Kind of the source"),
    AttributeSpec(name=TARGET, required=True, description="The storage"),
    AttributeSpec(name=TARGET_KIND, mutable=False, description="Kind of the target"),
    AttributeSpec(name=LINK_DEVICE, description="Name of the device, given at creation"),
    AttributeSpec(name=LINK_MOUNTPOINT, mutable=False, description="Where the machine mounts it; not kept"),
    AttributeSpec(
        name=LINK_STATE,
        mutable=False,
        choices=("active", "inactive", "error"),
        description="State of the link",
    ),
    AttributeSpec(name=LINK_MESSAGE, mutable=False, description="More about the state"),
)

KINDS: tuple[Category, ...] = (ENTITY, RESOURCE, LINK, COMPUTE, STORAGE, STORAGELINK)
ACTIONS: tuple[Category, ...] = tuple(action for group in _ACTIONS_OF.values() for action in group)
