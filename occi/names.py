"""Names of entities: the engine's ids ⇄ paths.

An entity is known here by the engine's id (``i-…``, ``vol-…``), whose prefix tells the kind. Some have no row
of their own: a storagelink is the attachment of one volume, and has that volume's digits; a link to a public
address is its association; a link to a security group, and the network that a pool of public addresses is,
are known by digits computed from what they are made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

from backend.model import id_of, uuid_of
from backend.network_model import membership_id
from occi import kinds
from occi.errors import OcciError
from rendering.occi_document import Category

#: The kinds that have entities, by the prefix of their ids.
KINDS: Mapping[str, Category] = {
    "i": kinds.COMPUTE,
    "vol": kinds.STORAGE,
    "att": kinds.STORAGELINK,
    "subnet": kinds.NETWORK,
    "pool": kinds.NETWORK,
    "eni": kinds.NETWORKINTERFACE,
    "eipassoc": kinds.NETWORKINTERFACE,
    "sg": kinds.SECURITYGROUP,
    "sglink": kinds.SECURITYGROUPLINK,
    "eipalloc": kinds.IPRESERVATION,
}
#: What a kind's entities are called in sentences.
WORDS: Mapping[str, str] = {
    kinds.COMPUTE.id: "machine",
    kinds.STORAGE.id: "storage",
    kinds.STORAGELINK.id: "link",
    kinds.NETWORK.id: "network",
    kinds.NETWORKINTERFACE.id: "link",
    kinds.SECURITYGROUP.id: "security group",
    kinds.SECURITYGROUPLINK.id: "link",
    kinds.IPRESERVATION.id: "reservation",
}
_PREFIXES: Mapping[str, tuple[str, ...]] = {
    kind.location: tuple(prefix for prefix, each in KINDS.items() if each is kind) for kind in KINDS.values()
}


def kind_of(entity_id: str) -> Category:
    """The kind of an entity."""
    return KINDS[entity_id.partition("-")[0]]


def path_of(entity_id: str) -> str:
    """The path of an entity."""
    return f"{kind_of(entity_id).location}{uuid_of(entity_id)}"


def is_path(path: str) -> bool:
    """Whether a path is of the form that entities have."""
    above, _, name = path.rpartition("/")
    return bool(name) and f"{above}/" in _PREFIXES


def id_at(path: str) -> str:
    """The id of the entity at a path, by its UUID or its EC2 id (D3); 404 when there can be none."""
    above, _, name = path.rpartition("/")
    for prefix in _PREFIXES.get(f"{above}/", ()):
        entity_id = id_of(prefix, name)
        if entity_id is not None:
            return entity_id
    raise OcciError(404, f"There is nothing at {path[:200]}.")


def place(path: str) -> tuple[Category, str]:
    """The kind whose collection a path of the form that entities have lies in, and the path's last part."""
    above, _, name = path.rpartition("/")
    return KINDS[_PREFIXES[f"{above}/"][0]], name


def has_form_of_id(path: str) -> bool:
    """Whether the last part of a path is written as the ids of its kind are."""
    try:
        return bool(id_at(path))
    except OcciError:
        return False


def id_in(uri: str) -> str:
    """The id of the entity that a URI means: clients write paths and absolute URIs (OCCI-REAL-08)."""
    return id_at(path_in(uri))


def id_of_kind(kind: Category, uri: str) -> str:
    """The id of the entity of a kind that a URI, a UUID or an EC2 id means; 404 when it can be none."""
    path = path_in(uri)
    entity_id = id_at(path if "/" in path else f"{kind.location}{path}")
    if kind_of(entity_id) is not kind:
        raise OcciError(404, f"{uri[:200]} is no {kind.term}.")
    return entity_id


def path_in(uri: str) -> str:
    """The path in a URI; 400 for what is none."""
    try:
        return urlsplit(uri).path
    except ValueError as error:
        raise OcciError(400, f"{uri[:200]} is not a URI.") from error


def link_id(volume_id: str) -> str:
    """The id of the link that a volume's attachment is."""
    return f"att-{volume_id.partition('-')[2]}"


def volume_id(link_id: str) -> str:
    """The id of the volume that a link leads to."""
    return f"vol-{link_id.partition('-')[2]}"


def pool_id(pool: str) -> str:
    """The id of the network that a pool of public addresses is."""
    return f"pool-{hashlib.sha256(pool.encode()).hexdigest()[:17]}"


def group_link_id(instance_id: str, group_id: str) -> str:
    """The id of the link from a machine to a security group."""
    return membership_id(instance_id, group_id)
