"""The tables of OCCI's documents as data: kinds, mixins and actions, with what each attribute is.

Types are those that JSON names (JSON 3.5.1); ``versions`` are the versions of the standard that have a row.
"""

from __future__ import annotations

from typing import Any

from conformance.checks import Value
from conformance.occi.documents import (
    COMPUTE,
    CORE,
    INFRASTRUCTURE,
    NETWORK,
    NETWORKINTERFACE,
    OS_TPL,
    RESOURCE_TPL,
    STORAGE,
    STORAGELINK,
)

SCHEMAS = "http://schemas.ogf.org/occi/"
ENTITY, RESOURCE, LINK = f"{CORE}entity", f"{CORE}resource", f"{CORE}link"
COMPUTE_ACTION = f"{SCHEMAS}infrastructure/compute/action#"
NETWORK_ACTION = f"{SCHEMAS}infrastructure/network/action#"
STORAGE_ACTION = f"{SCHEMAS}infrastructure/storage/action#"
START, STOP, RESTART, SUSPEND, SAVE = (
    COMPUTE_ACTION + term for term in ("start", "stop", "restart", "suspend", "save")
)
UP, DOWN = f"{NETWORK_ACTION}up", f"{NETWORK_ACTION}down"
ONLINE, OFFLINE, BACKUP, SNAPSHOT, RESIZE = (
    STORAGE_ACTION + term for term in ("online", "offline", "backup", "snapshot", "resize")
)
IPNETWORK = f"{SCHEMAS}infrastructure/network#ipnetwork"
IPNETWORKINTERFACE = f"{SCHEMAS}infrastructure/networkinterface#ipnetworkinterface"
SSH_KEY = f"{SCHEMAS}infrastructure/credentials#ssh_key"
USER_DATA = f"{SCHEMAS}infrastructure/compute#user_data"
BOTH = ("1.1", "1.2")
NEW = ("1.2",)
OLD = ("1.1",)


class Attribute(Value, frozen=True, kw_only=True):
    """A row of a table. ``one`` is multiplicity 1; ``choices``, ``least`` and ``most`` bound the value."""

    name: str
    type: str = "string"
    one: bool = False
    required: bool = False
    mutable: bool = True
    whole: bool = False
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    versions: tuple[str, ...] = BOTH

    def strays(self, value: Any) -> str:
        """What is wrong with a value of the attribute; empty when nothing is."""
        wanted: Any = {"number": (int, float), "string": str, "boolean": bool, "array": list}[self.type]
        if not isinstance(value, wanted) or (self.type == "number" and isinstance(value, bool)):
            return f"{self.name} is {value!r} and should be a {self.type}"
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}, which is none of {', '.join(self.choices)}"
        if self.whole and value != int(value):
            return f"{self.name} is {value!r} and should be a whole number"
        if self.least is not None and value < self.least:
            return f"{self.name} is {value!r}, less than {self.least:g}"
        if self.most is not None and value > self.most:
            return f"{self.name} is {value!r}, more than {self.most:g}"
        if self.one and value == "":
            return f"{self.name} is empty"
        return ""


class Action(Value, frozen=True, kw_only=True):
    """A row of a table of actions."""

    id: str
    parameters: tuple[str, ...] = ()
    versions: tuple[str, ...] = BOTH


class Type(Value, frozen=True, kw_only=True):
    """A kind or mixin that the standard describes, and the requirement that does.

    ``above`` is a kind's parent or the mixin that a mixin depends on, ``applies`` the kind that it goes with.
    """

    id: str
    requirement: str
    above: str = ""
    applies: str = ""
    attributes: tuple[Attribute, ...] = ()
    actions: tuple[Action, ...] = ()
    versions: tuple[str, ...] = BOTH


def _state(kind: str, *states: str) -> tuple[Attribute, Attribute]:
    name = f"occi.{kind}.state"
    return (
        Attribute(name=name, one=True, mutable=False, choices=(*states, "error")),
        Attribute(name=f"{name}.message", mutable=False, versions=NEW),
    )


CORE_KINDS = (
    Type(
        id=ENTITY,
        requirement="OCCI-CORE-010",
        attributes=(
            Attribute(name="occi.core.id", one=True, mutable=False),
            Attribute(name="occi.core.title"),
        ),
    ),
    Type(
        id=RESOURCE,
        requirement="OCCI-CORE-012",
        above=ENTITY,
        attributes=(Attribute(name="occi.core.summary"),),
    ),
    Type(
        id=LINK,
        requirement="OCCI-CORE-012",
        above=ENTITY,
        attributes=(
            Attribute(name="occi.core.source", one=True, required=True),
            Attribute(name="occi.core.target", one=True, required=True),
        ),
    ),
)
KINDS = (
    Type(
        id=COMPUTE,
        requirement="OCCI-INFRA-010",
        above=RESOURCE,
        attributes=(
            Attribute(name="occi.compute.architecture", choices=("x86", "x64")),
            Attribute(name="occi.compute.cores", type="number", whole=True, least=1),
            Attribute(name="occi.compute.hostname"),
            Attribute(name="occi.compute.speed", type="number", least=0, versions=OLD),
            Attribute(name="occi.compute.share", type="number", whole=True, least=0, versions=NEW),
            Attribute(name="occi.compute.memory", type="number", least=0),
            *_state("compute", "active", "inactive", "suspended"),
        ),
        actions=(
            Action(id=START),
            Action(id=STOP, parameters=("method",)),
            Action(id=RESTART, parameters=("method",)),
            Action(id=SUSPEND, parameters=("method",)),
            Action(id=SAVE, parameters=("method", "name"), versions=NEW),
        ),
    ),
    Type(
        id=NETWORK,
        requirement="OCCI-INFRA-020",
        above=RESOURCE,
        attributes=(
            Attribute(name="occi.network.vlan", type="number", whole=True, least=0, most=4095),
            Attribute(name="occi.network.label"),
            *_state("network", "active", "inactive"),
        ),
        actions=(Action(id=UP), Action(id=DOWN)),
    ),
    Type(
        id=STORAGE,
        requirement="OCCI-INFRA-030",
        above=RESOURCE,
        attributes=(
            Attribute(name="occi.storage.size", type="number", one=True, least=0),
            *_state("storage", "online", "offline", "backup", "snapshot", "resize", "degraded"),
        ),
        actions=(
            Action(id=ONLINE),
            Action(id=OFFLINE),
            Action(id=BACKUP, versions=OLD),
            Action(id=SNAPSHOT, versions=OLD),
            Action(id=RESIZE, parameters=("size",), versions=OLD),
        ),
    ),
    Type(
        id=NETWORKINTERFACE,
        requirement="OCCI-INFRA-040",
        above=LINK,
        attributes=(
            Attribute(name="occi.networkinterface.interface", one=True, mutable=False),
            Attribute(name="occi.networkinterface.mac", one=True),
            *_state("networkinterface", "active", "inactive"),
        ),
    ),
    Type(
        id=STORAGELINK,
        requirement="OCCI-INFRA-050",
        above=LINK,
        attributes=(
            Attribute(name="occi.storagelink.deviceid", one=True),
            Attribute(name="occi.storagelink.mountpoint"),
            *_state("storagelink", "active", "inactive"),
        ),
    ),
)
MIXINS = (
    Type(
        id=IPNETWORK,
        requirement="OCCI-INFRA-021",
        applies=NETWORK,
        attributes=(
            Attribute(name="occi.network.address"),
            Attribute(name="occi.network.gateway"),
            Attribute(name="occi.network.allocation", choices=("dynamic", "static")),
        ),
    ),
    Type(
        id=IPNETWORKINTERFACE,
        requirement="OCCI-INFRA-041",
        applies=NETWORKINTERFACE,
        attributes=(
            Attribute(name="occi.networkinterface.address", one=True),
            Attribute(name="occi.networkinterface.gateway"),
            Attribute(name="occi.networkinterface.allocation", one=True, choices=("dynamic", "static")),
        ),
    ),
    Type(
        id=SSH_KEY,
        requirement="OCCI-INFRA-079",
        applies=COMPUTE,
        attributes=(Attribute(name="occi.credentials.ssh.publickey", one=True),),
        versions=NEW,
    ),
    Type(
        id=USER_DATA,
        requirement="OCCI-INFRA-080",
        applies=COMPUTE,
        attributes=(Attribute(name="occi.compute.userdata", one=True),),
        versions=NEW,
    ),
)
PARENT_MIXINS = (OS_TPL, RESOURCE_TPL)


class Size(Value, frozen=True, kw_only=True):
    """A template of the compute resource templates profile; sizes in GiB."""

    term: str
    title: str
    cores: int
    memory: float
    ephemeral: float
    must: bool


def _size(term: str, cores: int, memory: float, ephemeral: float) -> Size:
    must, size = not term.startswith("mem_"), term.removeprefix("mem_")
    title = f"A {size} Compute instance" + ("" if must else " for memory-intensive applications")
    return Size(term=term, title=title, cores=cores, memory=memory, ephemeral=ephemeral, must=must)


CRTP_SCHEMES = tuple(f"{SCHEMAS}infrastructure/compute/template/{each}#" for each in ("1.1", "1.0"))
SIZES = (
    _size("small", 1, 1.0, 10.0),
    _size("medium", 2, 2.0, 20.0),
    _size("large", 4, 4.0, 40.0),
    _size("mem_small", 1, 4.0, 10.0),
    _size("mem_medium", 2, 8.0, 20.0),
    _size("mem_large", 4, 16.0, 40.0),
)
EPHEMERAL = (
    Attribute(name="occi.compute.ephemeral_storage.size", type="number", mutable=False, least=0, one=True),
    Attribute(name="occi.compute.ephemeral_storage.deviceid", one=True),
)

# Seen in the EGI federation, not standard; its types stand under the standard's schemes.
SECURITYGROUP, SECURITYGROUPLINK, IPRESERVATION, AVAILABILITY_ZONE, REGION = (
    INFRASTRUCTURE + term
    for term in ("securitygroup", "securitygrouplink", "ipreservation", "availability_zone", "region")
)
IPRESERVATION_UP, IPRESERVATION_DOWN = (
    f"{SCHEMAS}infrastructure/ipreservation/action#{term}" for term in ("up", "down")
)
LINK_ACTIONS = tuple(
    f"{SCHEMAS}infrastructure/{kind}/action#{term}"
    for kind, term in (
        ("networkinterface", "up"),
        ("networkinterface", "down"),
        ("storagelink", "online"),
        ("storagelink", "offline"),
    )
)
FEDERATION = (
    Type(
        id=SECURITYGROUP,
        requirement="OCCI-EXT-004",
        above=RESOURCE,
        attributes=(
            Attribute(name="occi.securitygroup.rules", type="array", one=True),
            *_state("securitygroup", "active", "inactive"),
        ),
    ),
    Type(
        id=SECURITYGROUPLINK,
        requirement="OCCI-EXT-005",
        above=LINK,
        attributes=_state("securitygrouplink", "active", "inactive"),
    ),
    Type(
        id=IPRESERVATION,
        requirement="OCCI-EXT-006",
        above=NETWORK,
        attributes=(
            Attribute(name="occi.ipreservation.address", one=True),
            Attribute(name="occi.ipreservation.used", type="boolean", one=True, mutable=False),
            *_state("ipreservation", "active", "inactive"),
        ),
        actions=(Action(id=IPRESERVATION_UP), Action(id=IPRESERVATION_DOWN)),
    ),
)
#: Everything that the standard, its profile and the federation name under the standard's schemes.
RESERVED = frozenset(
    {
        *PARENT_MIXINS,
        AVAILABILITY_ZONE,
        REGION,
        *LINK_ACTIONS,
        *(scheme + size.term for scheme in CRTP_SCHEMES for size in SIZES),
        *(each.id for each in (*CORE_KINDS, *KINDS, *MIXINS, *FEDERATION)),
        *(action.id for each in (*KINDS, *FEDERATION) for action in each.actions),
    }
)
#: Where further documents of the standard (Platform, SLA, Monitoring) have theirs.
OTHER_DOCUMENTS = tuple(SCHEMAS + each for each in ("platform", "sla", "monitoring"))
#: Names of attributes that begin with ``occi.`` by right.
STANDARD_NAMES = frozenset(
    attribute.name
    for attributes in (EPHEMERAL, *(each.attributes for each in (*CORE_KINDS, *KINDS, *MIXINS, *FEDERATION)))
    for attribute in attributes
) | {"occi.core.target.kind", "occi.core.source.kind"}


def type_of(type_id: str) -> Type:
    """The description of a type that stands in one of the tables."""
    return next(each for each in (*CORE_KINDS, *KINDS, *MIXINS, *FEDERATION) if each.id == type_id)
