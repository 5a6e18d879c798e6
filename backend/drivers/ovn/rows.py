"""Rows of a northbound database as values, and the part of its schema that the driver uses."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

OWNER: Final = "isthmus"
KEY: Final = "isthmus-key"
"""The ``external_ids`` of every row of ours: whose it is, and what it is called within its table."""

INSTALLATION: Final = "installation"
"""The owner of what everybody shares."""

GLOBAL: Final = "NB_Global"


class Ref(NamedTuple):
    """A row of ours by table and key; ``owner`` is whose plan makes it."""

    table: str
    key: str
    owner: str


Scalar: TypeAlias = str | int | bool | Ref
Column: TypeAlias = Scalar | tuple[Scalar, ...] | Mapping[str, str]


class Link(NamedTuple):
    """A place in a set of another row's, such as the ports of a switch."""

    parent: Ref
    column: str


class Row(NamedTuple):
    """A row as it is to be. ``columns`` are all that the driver decides in this table; the links all its
    places.

    A set (also an optional value) is a tuple.
    """

    owner: str
    table: str
    key: str
    columns: Mapping[str, Column]
    links: tuple[Link, ...] = ()

    @property
    def ref(self) -> Ref:
        """The way to name it."""
        return Ref(self.table, self.key, self.owner)

    @property
    def external_ids(self) -> dict[str, str]:
        """What marks it as ours."""
        return {OWNER: self.owner, KEY: self.key}


# The schema ---------------------------------------------------------------------------------------------
# Only what is used is replicated, so that other columns may come and go with OVN's versions. Types are those
# of ovn-nb.ovsschema (RFC 7047, 3.2).

_MANY: Final = "unlimited"
_TEXT: Final[Any] = "string"
_NUMBER: Final[Any] = "integer"
_TEXTS: Final[Any] = {"key": "string", "min": 0, "max": _MANY}
_MAYBE: Final[Any] = {"key": "string", "min": 0, "max": 1}
_MAP: Final[Any] = {"key": "string", "value": "string", "min": 0, "max": _MANY}


def _refs(table: str, most: object = _MANY, kind: str = "weak") -> Any:
    return {"key": {"type": "uuid", "refTable": table, "refType": kind}, "min": 0, "max": most}


_NORTHBOUND: Final[Mapping[str, Mapping[str, Any]]] = {
    GLOBAL: {"nb_cfg": _NUMBER, "sb_cfg": _NUMBER, "hv_cfg": _NUMBER},
    "Logical_Switch": {
        "name": _TEXT,
        "ports": _refs("Logical_Switch_Port", kind="strong"),
        "acls": _refs("ACL", kind="strong"),
        "load_balancer": _refs("Load_Balancer"),
        "other_config": _MAP,
    },
    "Logical_Switch_Port": {
        "name": _TEXT,
        "type": _TEXT,
        "options": _MAP,
        "addresses": _TEXTS,
        "port_security": _TEXTS,
        "enabled": {"key": "boolean", "min": 0, "max": 1},
        "dhcpv4_options": _refs("DHCP_Options", 1),
    },
    "Logical_Router": {
        "name": _TEXT,
        "options": _MAP,
        "ports": _refs("Logical_Router_Port", kind="strong"),
        "static_routes": _refs("Logical_Router_Static_Route", kind="strong"),
        "policies": _refs("Logical_Router_Policy", kind="strong"),
        "nat": _refs("NAT", kind="strong"),
    },
    "Logical_Router_Port": {
        "name": _TEXT,
        "mac": _TEXT,
        "networks": {"key": "string", "min": 1, "max": _MANY},
        "options": _MAP,
        "ha_chassis_group": _refs("HA_Chassis_Group", 1, "strong"),
    },
    "Logical_Router_Static_Route": {
        "route_table": _TEXT,
        "ip_prefix": _TEXT,
        "nexthop": _TEXT,
        "output_port": _MAYBE,
    },
    "Logical_Router_Policy": {"priority": _NUMBER, "match": _TEXT, "action": _TEXT},
    "NAT": {
        "type": _TEXT,
        "external_ip": _TEXT,
        "external_mac": _MAYBE,
        "logical_ip": _TEXT,
        "logical_port": _MAYBE,
    },
    "DHCP_Options": {"cidr": _TEXT, "options": _MAP},
    "Port_Group": {
        "name": _TEXT,
        "ports": _refs("Logical_Switch_Port"),
        "acls": _refs("ACL", kind="strong"),
    },
    "ACL": {"priority": _NUMBER, "direction": _TEXT, "match": _TEXT, "action": _TEXT},
    "Load_Balancer": {"name": _TEXT, "vips": _MAP, "protocol": _MAYBE},
    "HA_Chassis_Group": {"name": _TEXT, "ha_chassis": _refs("HA_Chassis", kind="strong")},
    "HA_Chassis": {"chassis_name": _TEXT, "priority": _NUMBER},
}

LINKS: Final[Mapping[str, tuple[str, ...]]] = {
    "Logical_Switch": ("ports", "acls"),
    "Logical_Router": ("ports", "static_routes", "policies", "nat"),
    "Port_Group": ("ports", "acls"),
    "HA_Chassis_Group": ("ha_chassis",),
}
"""The columns that hold other rows' places: changed member by member, never compared as a whole."""

ROOTS: Final = frozenset(
    {"Logical_Switch", "Logical_Router", "DHCP_Options", "Port_Group", "Load_Balancer", "HA_Chassis_Group"}
)
"""Tables whose rows live until they are deleted; those of others end with their last place in a set."""


def northbound_schema() -> dict[str, Any]:
    """The part of OVN_Northbound that is replicated."""
    tables = {
        name: columns if name == GLOBAL else {**columns, "external_ids": _MAP}
        for name, columns in _NORTHBOUND.items()
    }
    return _schema("OVN_Northbound", tables, ROOTS | {GLOBAL})


def southbound_schema() -> dict[str, Any]:
    """The part of OVN_Southbound that is replicated: which chassis there are, and how far each has come."""
    tables = {
        "Chassis": {"name": _TEXT, "other_config": _MAP},
        "Chassis_Private": {"name": _TEXT, "nb_cfg": _NUMBER},
    }
    return _schema("OVN_Southbound", tables, frozenset(tables))


def _schema(name: str, tables: Mapping[str, Mapping[str, Any]], roots: frozenset[str]) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0.0",
        "tables": {
            table: {
                "isRoot": table in roots,
                "columns": {column: {"type": kind} for column, kind in columns.items()},
            }
            for table, columns in tables.items()
        },
    }


Identity: TypeAlias = uuid.UUID
"""How a database itself names a row."""
