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
NETWORK_ACTION = "http://schemas.ogf.org/occi/infrastructure/network/action#"
NETWORKINTERFACE_ACTION = "http://schemas.ogf.org/occi/infrastructure/networkinterface/action#"
IPRESERVATION_ACTION = "http://schemas.ogf.org/occi/infrastructure/ipreservation/action#"

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
VLAN = "occi.network.vlan"
LABEL = "occi.network.label"
NETWORK_STATE = "occi.network.state"
NETWORK_MESSAGE = "occi.network.state.message"
INTERFACE = "occi.networkinterface.interface"
MAC = "occi.networkinterface.mac"
INTERFACE_STATE = "occi.networkinterface.state"
INTERFACE_MESSAGE = "occi.networkinterface.state.message"
RULES = "occi.securitygroup.rules"
GROUP_STATE = "occi.securitygroup.state"
GROUP_MESSAGE = "occi.securitygroup.state.message"
GROUPLINK_STATE = "occi.securitygrouplink.state"
GROUPLINK_MESSAGE = "occi.securitygrouplink.state.message"
RESERVED_ADDRESS = "occi.ipreservation.address"
RESERVED_USED = "occi.ipreservation.used"
RESERVED_STATE = "occi.ipreservation.state"
RESERVED_MESSAGE = "occi.ipreservation.state.message"

#: GiB in the largest volume that any type allows.
LARGEST_STORAGE = 65536
#: As much as hosts can weigh.
LARGEST_SHARE = 10_000

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
UP = _action(NETWORK_ACTION, "up", "Let the network give addresses")
DOWN = _action(NETWORK_ACTION, "down", "Let the network give no further addresses")
LINK_UP = _action(NETWORKINTERFACE_ACTION, "up", "Switch the interface on")
LINK_DOWN = _action(NETWORKINTERFACE_ACTION, "down", "Switch the interface off")
RESERVED_UP = _action(IPRESERVATION_ACTION, "up", "Let the address lead where it is linked")
RESERVED_DOWN = _action(IPRESERVATION_ACTION, "down", "Let the address lead nowhere")

#: Actions by the term of the kind that defines them. Those of 1.1 stay beside 1.2's (OCCI-INFRA-032).
_ACTIONS_OF: Mapping[str, tuple[Category, ...]] = {
    "compute": (START, STOP, RESTART, SUSPEND, SAVE),
    "storage": (ONLINE, OFFLINE, BACKUP, SNAPSHOT, RESIZE),
    "network": (UP, DOWN),
    "networkinterface": (LINK_UP, LINK_DOWN),
    "ipreservation": (RESERVED_UP, RESERVED_DOWN),
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
    AttributeSpec(
        name=SPEED,
        type=_NUMBER,
        minimum=0.001,
        maximum=1000,
        description="Processor clock in GHz, of OCCI 1.1; only recorded",
    ),
    AttributeSpec(
        name=SHARE,
        type=_INTEGER,
        minimum=1,
        maximum=LARGEST_SHARE,
        description="Share of processor time beside others on the host; 100 weighs as much as none",
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


def _state(name: str, whose: str, *states: str) -> tuple[AttributeSpec, AttributeSpec]:
    return (
        AttributeSpec(name=name, mutable=False, choices=states, description=f"State of the {whose}"),
        AttributeSpec(name=f"{name}.message", mutable=False, description="More about the state"),
    )


def _ends(source: str, target: str) -> tuple[AttributeSpec, ...]:
    """What links have in common."""
    return (
        AttributeSpec(name=ID, mutable=False, description="Identifier of the link"),
        AttributeSpec(name=TITLE, description="Name for people"),
        AttributeSpec(name=SOURCE, required=True, description=source),
        AttributeSpec(name=SOURCE_KIND, mutable=False, description="Kind of the source"),
        AttributeSpec(name=TARGET, required=True, description=target),
        AttributeSpec(name=TARGET_KIND, description="Kind of the target, which is what it is"),
    )


STORAGELINK = _kind(
    INFRASTRUCTURE,
    "storagelink",
    "Storage Link",
    LINK.id,
    *_ends("The machine", "The storage"),
    AttributeSpec(name=LINK_DEVICE, description="Name of the device; changes while the machine is off"),
    AttributeSpec(name=LINK_MOUNTPOINT, description="Where the machine mounts it; only recorded"),
    *_state(LINK_STATE, "link", "active", "inactive", "error"),
)
_NETWORK_ATTRIBUTES = (
    AttributeSpec(
        name=VLAN, type=_INTEGER, minimum=0, maximum=4095, description="802.1q VLAN identifier; only recorded"
    ),
    AttributeSpec(name=LABEL, description="Tag based VLAN; only recorded"),
    *_state(NETWORK_STATE, "network", "active", "inactive", "error"),
)
NETWORK = _kind(
    INFRASTRUCTURE,
    "network",
    "Network Resource",
    RESOURCE.id,
    *_RESOURCE_ATTRIBUTES,
    *_NETWORK_ATTRIBUTES,
)
NETWORKINTERFACE = _kind(
    INFRASTRUCTURE,
    "networkinterface",
    "Network Interface",
    LINK.id,
    *_ends("The machine", "The network, or the reserved address"),
    AttributeSpec(name=INTERFACE, mutable=False, description="Name of the device in the machine"),
    AttributeSpec(name=MAC, description="MAC address; changes while the machine is off"),
    *_state(INTERFACE_STATE, "link", "active", "inactive", "error"),
)
SECURITYGROUP = _kind(
    INFRASTRUCTURE,
    "securitygroup",
    "Security Group",
    RESOURCE.id,
    *_RESOURCE_ATTRIBUTES,
    AttributeSpec(
        name=RULES,
        type=AttributeType.ARRAY,
        description="What may pass: objects with type (inbound or outbound), protocol, port, range (a CIDR) "
        "or group, and ipversion",
    ),
    *_state(GROUP_STATE, "group", "active", "inactive", "error"),
)
SECURITYGROUPLINK = _kind(
    INFRASTRUCTURE,
    "securitygrouplink",
    "Security Group Link",
    LINK.id,
    *_ends("The machine", "The security group"),
    *_state(GROUPLINK_STATE, "link", "active", "inactive", "error"),
)
IPRESERVATION = _kind(
    INFRASTRUCTURE,
    "ipreservation",
    "IP Reservation",
    NETWORK.id,
    *_RESOURCE_ATTRIBUTES,
    *_NETWORK_ATTRIBUTES,
    AttributeSpec(name=RESERVED_ADDRESS, description="The address, chosen here unless given at creation"),
    AttributeSpec(
        name=RESERVED_USED,
        type=AttributeType.BOOLEAN,
        mutable=False,
        description="Whether it leads to a machine",
    ),
    *_state(RESERVED_STATE, "reservation", "active", "inactive", "error"),
)

KINDS: tuple[Category, ...] = (
    ENTITY,
    RESOURCE,
    LINK,
    COMPUTE,
    STORAGE,
    STORAGELINK,
    NETWORK,
    NETWORKINTERFACE,
    SECURITYGROUP,
    SECURITYGROUPLINK,
    IPRESERVATION,
)
ACTIONS: tuple[Category, ...] = tuple(action for group in _ACTIONS_OF.values() for action in group)
